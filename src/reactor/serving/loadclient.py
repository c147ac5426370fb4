"""One connection of a load: it sends its own lines, and checks that they come back.

In a closed load it has at most P lines in flight, and a latency begins with the write. In an open load, each line is
due at a time that is known beforehand. It is sent then, or late if this process is. Its latency begins with the time at
which it was due. So a server that stands still counts for all the lines that it holds up, also for those not sent yet
(no coordinated omission).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from reactor.failure import Failure
from reactor.linereceiver import LineReceiver

SHOWN_BYTES = 60


class LoadClient(LineReceiver):
    """One connection: sends its own lines, number 0 to `total` - 1, and checks that they come back.

    `dueAt`, in an open load, returns the time at which a line is due, by the line's number on this connection.
    `factory` gets the results.
    """

    delimiter = b"\n"
    stripCR = True
    factory: Any

    def __init__(
        self, number: int, total: float, length: int, latencies: Any, dueAt: Callable[[int], float] | None = None
    ) -> None:
        self.MAX_LENGTH = length + 1
        self.number = number
        self.total = total
        self.received = 0
        self.sent = 0
        self.isLeaving = False
        self._prefix = b"%08x" % number
        self._filler = b"x" * (length - 16)
        self._latencies = latencies
        self._dueAt = dueAt
        self._batches: deque[tuple[float, int]] = deque()

    def connectionMade(self) -> None:
        """Wait for the other connections."""
        self.factory.connectionMade(self)

    def send(self, count: int) -> None:
        """Send `count` more lines, or as many as are left."""
        first, self.sent = self.sent, int(min(self.sent + count, self.total))
        if first == self.sent:
            return
        if self._dueAt is None:
            self._batches.append((time.perf_counter(), self.sent - first))
        self.transport.write(b"\r\n".join([*self._lines(first, self.sent), b""]))

    def endSending(self) -> None:
        """Send no more: the lines that are in flight are the last."""
        self.total = self.sent

    def leave(self) -> None:
        """Send no more, and close the connection in order, behind the replies that are in flight."""
        self.endSending()
        self.isLeaving = True
        if self.received >= self.sent:
            self.transport.loseConnection()

    def linesReceived(self, lines: list[bytes]) -> None:
        """Check the replies of a read, and in a closed load send as many lines."""
        now = time.perf_counter()
        count, before = len(lines), self.received
        if lines != self._lines(before, min(before + count, self.sent)):
            self._reportWrong(lines)
            return
        self.received += count
        if self._dueAt is None:
            self._time(now, count)
        else:
            add, dueAt = self._latencies.add, self._dueAt
            for number in range(before, before + count):
                add(now - dueAt(number))
        self.factory.repliesReceived(count)
        if self.isLeaving:
            self.leave()
        elif self._dueAt is None and self.received < self.total:
            self.send(count)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Fail: no line this long was sent."""
        self._reportWrong([line])

    def connectionLost(self, reason: Any = None) -> None:
        """Fail, unless the load is over: the end came too early."""
        assert isinstance(reason, Failure)
        self.factory.connectionLost(self, reason)

    def _lines(self, first: int, end: int) -> list[bytes]:
        prefix, filler = self._prefix, self._filler
        return [b"%b%08x%b" % (prefix, number, filler) for number in range(first, end)]

    def _time(self, now: float, count: int) -> None:
        batches = self._batches
        while count:
            sentAt, size = batches[0]
            taken = min(size, count)
            self._latencies.add(now - sentAt, taken)
            count -= taken
            if taken == size:
                batches.popleft()
            else:
                batches[0] = (sentAt, size - taken)

    def _reportWrong(self, lines: list[bytes]) -> None:
        expected = self._lines(self.received, min(self.received + len(lines), self.sent))
        pairs = zip(lines, [*expected, *[None] * len(lines)], strict=False)
        at, (got, wanted) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        shown = "nothing more" if wanted is None else shortened(wanted)
        where = f"connection {self.number}, reply {self.received + at}"
        self.factory.fail(f"{where}: {shown} was expected, {shortened(got)} came")


def shortened(line: bytes) -> str:
    """Return a line in a form to show."""
    return repr(line) if len(line) <= SHOWN_BYTES else f"{line[:SHOWN_BYTES]!r}... ({len(line)} bytes)"
