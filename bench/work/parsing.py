"""Parse: streams of lines, cut into reads, with an empty handler.

The handler that is measured does nothing, so nothing is checked while the clock runs. `verify` then feeds the same
reads, and uneven ones, to the same class with a handler that keeps its lines.
"""

from __future__ import annotations

import random
from typing import Any

from bench.work.lines import WHOLE, feedAll, kindOf
from bench.work.task import expect

READ = 65536
STREAM = 1 << 20


class Parse:
    """Options: `length` of a line in bytes; `delimiter`, if not the default; `chunk`, the bytes of a read.

    Without `chunk` a read is as many whole lines as 64 KiB hold, so that rivals without a buffer can take part. The
    stream has about a megabyte, and every run feeds it as often as needed. The unit is a line.
    """

    def __init__(self, rival: str, length: int, delimiter: bytes | None = None, chunk: int | None = None) -> None:
        self.rival = rival
        self.kind = kindOf(rival, delimiter)
        ends = b"\r\n" if delimiter is None else delimiter
        rng = random.Random(length)
        perRead = max(READ // (length + len(ends)), 1)
        total = STREAM if (chunk or READ) >= 64 else STREAM // 16
        repeats = max(total // (perRead * (length + len(ends))), 1)
        alphabet = bytes(byte for byte in range(32, 127) if byte not in ends)
        lines = [bytes(rng.choices(alphabet, k=length)) for _ in range(perRead)]
        read = ends.join([*lines, b""])
        self.lines = lines * repeats
        self.reads = [read] * repeats if chunk is None else pieces(read * repeats, [chunk])

    def run(self, count: int) -> int:
        times = max(round(count / len(self.lines)), 1)
        feedAll(self.kind, self.reads * times)
        return times * len(self.lines)

    def verify(self) -> None:
        found: list[bytes] = []
        keep: dict[str, Any] = {"lineReceived": lambda self, line: found.append(line)}
        if hasattr(self.kind, "linesReceived"):
            keep["linesReceived"] = lambda self, lines: found.extend(lines)
        keeping = type(self.kind.__name__, (self.kind,), keep)
        feedAll(keeping, self.reads)
        expect("the lines", found, self.lines)
        if self.rival not in WHOLE:
            found.clear()
            feedAll(keeping, pieces(b"".join(self.reads), [1, 100, 1500, READ, 7]))
            expect("the lines of uneven reads", found, self.lines)


def pieces(stream: bytes, sizes: list[int]) -> list[bytes]:
    """Yield `stream` in pieces of these sizes, again and again."""
    found: list[bytes] = []
    begin = 0
    while begin < len(stream):
        size = sizes[len(found) % len(sizes)]
        found.append(stream[begin : begin + size])
        begin += size
    return found


def sendLine(self: Any, line: bytes) -> None:
    self.sendLine(b"+PONG")


def write(self: Any, line: bytes) -> None:
    self.transport.write(b"+PONG\r\n")


ANSWERS = {
    "ours": sendLine,
    "ours-only": sendLine,
    "twisted": sendLine,
    "twisted-only": sendLine,
    "asyncio": write,
    "asyncio-tuned": write,
}


class Answer:
    """Dispatch: each read is one line, and its handler answers with sendLine. The unit is a line."""

    def __init__(self, rival: str, length: int) -> None:
        self.kind = kindOf(rival, lineReceived=ANSWERS[rival])
        self.line = b"x" * length + b"\r\n"

    def run(self, count: int) -> int:
        receiver = feedAll(self.kind, [self.line] * count)
        expect("bytes answered", receiver.transport.written, 7 * count)
        return count

    def verify(self) -> None:
        pass
