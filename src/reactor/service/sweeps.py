"""LineSweep: the deadline of each line (slowloris), with one timer for all connections of a listener."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reactor._closing import closeFor
from reactor.error import LineDeadlineExceeded
from reactor.interfaces import IDelayedCall
from reactor.service.entries import Entry
from reactor.service.watch import isRead
from reactor.task import LoopingCall
from reactor.timers import monotonicTime

if TYPE_CHECKING:
    from reactor.service.listener import Listener

SWEEPS = 8
LONGEST_PERIOD = 0.5
SLICE = 1000


class LineSweep:
    """Closes connections whose line has not ended `deadline` seconds after its first byte.

    A sweep comes every eighth of `deadline`, and at least twice a second; it looks at SLICE connections a turn. So a
    connection has between `deadline` and two sweeps more. The time in which the server itself does not read does not
    count, because a handler works, or a rate is passed.
    """

    def __init__(self, listener: Listener, deadline: float) -> None:
        self._listener = listener
        self._reactor = listener.server.reactor
        self._deadline = deadline
        self._period = min(deadline / SWEEPS, LONGEST_PERIOD)
        self._left: list[Entry] = []
        self._last = 0.0
        self._next: IDelayedCall | None = None
        self._loop = LoopingCall(self._begin)
        self._loop.clock = self._reactor

    def start(self) -> None:
        """Begin to sweep."""
        self._last = monotonicTime(self._reactor)
        self._loop.start(self._period, now=False)

    def stop(self) -> None:
        """Sweep no more."""
        if self._loop.running:
            self._loop.stop()
        self._left.clear()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        if self._left:
            return
        now = monotonicTime(self._reactor)
        self._pause, self._last = now - self._last, now
        self._left = list(self._listener.entries)
        self._sweep()

    def _sweep(self) -> None:
        some = self._left[-SLICE:]
        del self._left[-SLICE:]
        self._next = self._reactor.callLater(0, self._sweep) if self._left else None
        now = monotonicTime(self._reactor)
        for entry in some:
            if not entry.pending:
                entry.since = None
            elif entry.since is None or entry.sinceLines != entry.lines:
                entry.since, entry.sinceLines = now, entry.lines
            else:
                self._look(entry, entry.since, now)

    def _look(self, entry: Entry, since: float, now: float) -> None:
        transport = entry.transport
        if transport.disconnected or transport.disconnecting or entry.listener is None or entry.listener.isHTTP:
            return
        if not isRead(transport, self._reactor):
            entry.since = since + self._pause
        elif now - since >= self._deadline:
            entry.why = entry.why or "line-deadline"
            closeFor(transport, LineDeadlineExceeded(f"{self._deadline:g} s"))
