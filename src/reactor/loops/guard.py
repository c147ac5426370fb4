"""Exceptions between callbacks: of a program's own signal handler, or for lack of memory.

Such an exception belongs to no connection, so it is reported, and the loop goes on. A loop that fails again at once
rests, and its reports are limited: it must not spin, nor fill a disk.

A signal's handler can raise wherever the interpreter handles signals, even in the code that handles its last exception.
Without memory, no function can be called. So the code that catches such an exception only stores it, in `taken`, inside
another `try` that does the same. The next block reports it.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from reactor._logger import getLogger
from reactor.failure import Failure, failureOf
from reactor.transports.resting import Rest

if TYPE_CHECKING:
    from reactor.loops.base import ReactorBase

log = getLogger("reactor")

LOOP_REST = 0.01  # seconds
WAKER_REST = 0.01  # seconds
LOG_INTERVAL = 1.0  # seconds

RAISED = (Exception, KeyboardInterrupt, SystemExit)  # all other exceptions leave run() at once


class LoopGuard:
    """The loop of `reactor` puts exceptions, RAISED, into `taken`; `settle` reports them as failures of "the loop".

    run() raises `exit` at its end. `unreported` counts exceptions above the limit of one report in LOG_INTERVAL, and
    those for whose report there was no memory. The end of run() logs their number. During `wakerRest` the waker is not
    watched.
    """

    def __init__(self, reactor: ReactorBase) -> None:
        self.taken: BaseException | None = None
        self.exit: BaseException | None = None
        self.unreported = 0
        self._told = 0  # of the unreported ones
        self.wakerRest = Rest(reactor, WAKER_REST)
        self._reactor = reactor
        self._nextWakerLog = float("-inf")
        self._resting = False
        self._last = float("-inf")
        self._nextLog = float("-inf")

    def settle(self) -> float:
        """Report the stored exception. Return the rest of the loop in seconds: 0, if it has not just failed."""
        error, self.taken = self.taken, None
        if error is None:
            return 0.0
        now = time.monotonic()
        again, self._last = now - self._last < LOOP_REST * 2, now
        if again and now < self._nextLog and isinstance(error, Exception):
            self.unreported += 1
        else:
            self._nextLog = now + LOG_INTERVAL
            self._reactor.reportFailure(failureOf(error), "the loop")
        return LOOP_REST if again else 0.0

    def rest(self) -> None:
        """Report the stored exception, and sleep if the loop has failed twice at once.

        It does not sleep again if a signal's handler has cut a sleep short, as many signals must not stop the loop.
        """
        seconds = self.settle()
        interrupted, self._resting = self._resting, bool(seconds)
        if seconds and not interrupted:
            time.sleep(seconds)
        self._resting = False

    def tellUnreported(self) -> None:
        """Log how many exceptions were not reported since the last time, if any."""
        number, self._told = self.unreported - self._told, self.unreported
        if number:
            with suppress(MemoryError):
                log.warning("%d more exceptions were not reported, for their number or for lack of memory", number)

    def wakerFailed(self, failure: Failure) -> None:
        """Let the waker rest: it cannot be read, or not be watched. Each turn looks at the queues meanwhile."""
        self.wakerRest.take(self._reactor._heedWaker, self.wakerFailed)
        self._reactor._ignoreWaker()
        now = time.monotonic()
        if now >= self._nextWakerLog or not isinstance(failure.value, Exception):
            self._nextWakerLog = now + LOG_INTERVAL
            self._reactor.reportFailure(failure, "the waker")
