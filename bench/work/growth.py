"""Growth: input that is cut, flooded or interrupted, at sizes that double. The cost of a byte must stay the same.

The unit is a byte. `run(count)` makes inputs of that size, again and again if they are small. The result is the
exponent: 1 if twice the bytes cost twice the time, 2 if they cost four times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.work.lines import Transport, receiverOf
from bench.work.task import WrongAnswer, expect

LONG = 1 << 30  # lines are as long as the input here, which is more than the default MAX_LENGTH
READ = 65536
FLOODED = b"a" * 15 + b"b"
LEAST = 1 << 19  # bytes a run, at the least


class StubTransport(Transport):
    """A transport that can be paused, too."""

    __slots__ = ()

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass


class Growth:
    """Option: `how`, the name of a method here.

    The input goes to a LineReceiver (ours or Twisted's) or, where possible, to a LineOnlyReceiver.
    """

    def __init__(self, rival: str, how: str) -> None:
        self.base = receiverOf(rival)
        self.work: Callable[[int], int] = getattr(self, how)
        self.often = rival.startswith("ours")  # if time grows with the square, once is enough

    def run(self, count: int) -> int:
        times = max(LEAST // count, 1) if self.often else 1
        return sum(self.work(count) for _ in range(times))

    def verify(self) -> None:
        pass

    def receiver(self, **attributes: Any) -> Any:
        made = type("Receiver", (self.base,), {"MAX_LENGTH": LONG, **attributes})()
        made.transport = StubTransport()
        return made

    def trickle(self, count: int, size: int) -> int:
        """One line of `count` bytes, `size` at a time."""
        found: list[int] = []
        receiver = self.receiver(lineReceived=lambda self, line: found.append(len(line)))
        feed = receiver.dataReceived
        piece = b"x" * size
        for _ in range(count // size):
            feed(piece)
        feed(b"\r\n")
        expect("lengths of lines", found, [count // size * size])
        return count

    def trickle1(self, count: int) -> int:
        return self.trickle(count, 1)

    def trickle16(self, count: int) -> int:
        return self.trickle(count, 16)

    def flood(self, count: int, delimiter: bytes, first: bytes) -> int:
        """One line that consists of beginnings of its delimiter."""
        found: list[int] = []
        receiver = self.receiver(delimiter=delimiter, lineReceived=lambda self, line: found.append(len(line)))
        feed = receiver.dataReceived
        piece = first * (READ // len(first))
        for _ in range(count // READ):
            feed(piece)
        feed(delimiter)
        expect("lengths of lines", found, [len(piece) * (count // READ)])
        return count

    def floodOfCR(self, count: int) -> int:
        return self.flood(count, b"\r\n", b"\r")

    def floodOfPrefixes(self, count: int) -> int:
        return self.flood(count, FLOODED, FLOODED[:1])

    def toggles(self, count: int) -> int:
        """In reads of 64 KiB: a line that asks for raw data, 100 bytes of that, and so on."""
        lines = raw = 0

        def lineReceived(self: Any, line: bytes) -> None:
            nonlocal lines
            lines += 1
            self.wanted = 100
            self.setRawMode()

        def rawDataReceived(self: Any, data: bytes) -> None:
            nonlocal raw
            got = data[: self.wanted]
            raw += len(got)
            self.wanted -= len(got)
            if not self.wanted:
                self.setLineMode(data[len(got) :])

        receiver = self.receiver(lineReceived=lineReceived, rawDataReceived=rawDataReceived)
        unit = b"y" * 26 + b"\r\n" + b"z" * 100  # 128 bytes, so that reads hold whole ones
        for _ in range(count // READ):
            receiver.dataReceived(unit * (READ // len(unit)))
        expect("lines and raw bytes", (lines, raw), (count // 128, count // 128 * 100))
        return count

    def pauses(self, count: int) -> int:
        """All at once, lines of 1022 bytes; each pauses, and is resumed from outside."""
        lines = 0

        def lineReceived(self: Any, line: bytes) -> None:
            nonlocal lines
            lines += 1
            self.pauseProducing()

        receiver = self.receiver(lineReceived=lineReceived)
        receiver.dataReceived((b"y" * 1022 + b"\r\n") * (count // 1024))
        for expected in range(1, count // 1024 + 1):
            if lines != expected:
                raise WrongAnswer(f"{lines} lines after {expected} pauses")
            receiver.resumeProducing()
        return count
