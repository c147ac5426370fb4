"""EndSignals: SIGTERM and SIGINT as requests to end.

timeout(1) signals the process that it has started, and then its process group, with that process in it. A terminal and
a supervisor of processes may do the same. So signals within SAME_REQUEST are one request.
"""

from __future__ import annotations

import signal
from collections.abc import Callable

from reactor.loops.base import ReactorBase

SAME_REQUEST = 0.1  # seconds in which a further SIGTERM or SIGINT is the same request as the one before
NUMBERS = (signal.SIGTERM, signal.SIGINT)


class EndSignals:
    """Calls `asked(number)`, with the number of the signal, for each request to end, in the loop of `reactor`."""

    def __init__(self, reactor: ReactorBase, asked: Callable[[int], object]) -> None:
        self._reactor = reactor
        self._asked = asked
        self._askedAt: float | None = None
        self._heard: list[int] = []

    def install(self) -> None:
        """Hear the signals, in place of the reactor, while it runs. As there, a handler of SIGINT's own stays."""
        for number in NUMBERS:
            if number == signal.SIGTERM or signal.getsignal(number) is signal.default_int_handler:
                self._reactor.addSignalHandler(number, self._signalled, number)
                self._heard.append(number)

    def remove(self) -> None:
        """Leave the signals to the reactor again. Later calls do nothing."""
        while self._heard:
            self._reactor.removeSignalHandler(self._heard.pop())

    def _signalled(self, number: int) -> None:
        now = self._reactor.monotonic()
        if self._askedAt is None or now - self._askedAt > SAME_REQUEST:
            self._askedAt = now
            self._asked(number)
