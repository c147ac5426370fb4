"""What is raised between callbacks: by a signal's handler that is the program's own, or for want of memory.

It belongs to nobody's connection, so it is reported, and the loop goes on. A loop that fails again at once rests, and
its reports are bounded: it must not spin, nor fill a disk.

A signal's handler can raise wherever the interpreter looks for signals, and so also in what deals with its last
exception; and where there is no memory, nothing can be called. So whoever catches such an exception only notes it, in
`taken`, inside another `try` that does the same; it is reported inside the next block.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reactor.failure import Failure, failureOf
from reactor.transports.resting import Rest

if TYPE_CHECKING:
    from reactor.loops.base import ReactorBase

LOOP_REST = 0.01  # seconds
WAKER_REST = 0.01  # seconds
LOG_INTERVAL = 1.0  # seconds

RAISED = (Exception, KeyboardInterrupt, SystemExit)  # what else there is leaves run() at once


class LoopGuard:
    """The loop of `reactor` puts what it catches, RAISED, into `taken`; `settle` reports that as failure of "the loop".

    `exit` is what run() raises at its end. `unreported` counts what was raised by a loop that failed faster than it can
    be reported, once a LOG_INTERVAL. During `wakerRest` the waker is not watched.
    """

    def __init__(self, reactor: ReactorBase) -> None:
        self.taken: BaseException | None = None
        self.exit: BaseException | None = None
        self.unreported = 0
        self.wakerRest = Rest(reactor, WAKER_REST)
        self._reactor = reactor
        self._nextWakerLog = float("-inf")
        self._resting = False
        self._last = float("-inf")
        self._nextLog = float("-inf")

    def settle(self) -> float:
        """Report what was taken. Return for how long the loop should rest, in seconds: 0, if it has not just failed."""
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
        """Report what was taken, and sleep if the loop has failed twice at once; but not after a sleep that a signal's
        handler has cut short, as a stream of them must not keep the loop from turning.
        """
        seconds = self.settle()
        interrupted, self._resting = self._resting, bool(seconds)
        if seconds and not interrupted:
            time.sleep(seconds)
        self._resting = False

    def wakerFailed(self, failure: Failure) -> None:
        """The waker cannot be read, or not be watched: it rests. What it announces is looked for on each turn."""
        self.wakerRest.take(self._reactor._heedWaker, self.wakerFailed)
        self._reactor._ignoreWaker()
        now = time.monotonic()
        if now >= self._nextWakerLog or not isinstance(failure.value, Exception):
            self._nextWakerLog = now + LOG_INTERVAL
            self._reactor.reportFailure(failure, "the waker")
