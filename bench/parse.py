"""Cutting lines out of reads of 64 KiB: time per line, beside Twisted, asyncio and a split in a loop.

    python bench/parse.py [--rounds N] [--length BYTES ...]

Every rival is fed the same reads in the same process, one after the other, for several rounds; the table shows the best
round of each, and how many times the speed of the naive loop that is. Each calls a method of Python for every line (or
every batch), which counts it; after each round the count is compared. Before the rounds each is fed the same bytes in
uneven pieces, and the lines themselves are compared.

    naive          for line in read.split(delimiter): no buffer, no limit, no anything
    ours           LineReceiver.lineReceived
    ours-batch     LineReceiver.linesReceived
    ours-asked     LineReceiver with a delimiter that is a property: each setting is asked for before each line
    ours-only      LineOnlyReceiver
    ours-pure      LineReceiver on the line core in Python
    twisted        LineReceiver, twisted-only LineOnlyReceiver
    asyncio        a Protocol that searches a bytearray
    readline       asyncio's StreamReader.readline
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from twisted.protocols import basic

from reactor import linecore
from reactor.linecore import _pure
from reactor.linereceiver import LineOnlyReceiver, LineReceiver

READ = 65536
DELIMITER = b"\r\n"
LENGTHS = (8, 32, 100, 1000)
Reads = list[bytes]


class Transport:
    __slots__ = ("disconnecting",)

    def __init__(self) -> None:
        self.disconnecting = False


class Counting:
    count = 0

    def lineReceived(self, line: bytes) -> None:
        self.count += 1


class Fed:
    """A rival that is a protocol: every read goes into dataReceived."""

    transport: Any

    def run(self, reads: Reads) -> None:
        self.transport = Transport()
        dataReceived: Callable[[bytes], Any] = self.dataReceived  # type: ignore[attr-defined]
        for read in reads:
            dataReceived(read)


class Naive(Counting, Fed):
    def dataReceived(self, data: bytes) -> None:
        lineReceived = self.lineReceived
        for line in data.split(DELIMITER)[:-1]:
            lineReceived(line)


class Ours(Counting, Fed, LineReceiver):
    pass


class OursBatch(Ours):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.count += len(lines)


class OursAsked(Ours):
    @property
    def delimiter(self) -> bytes:  # type: ignore[override]
        return DELIMITER


class OursOnly(Counting, Fed, LineOnlyReceiver):
    pass


class OursPure(Ours):
    delimiter = DELIMITER  # as a class has it in a process where nothing is compiled
    _bufferClass: Any = _pure.LineBuffer


class Twisted(Counting, Fed, basic.LineReceiver):
    pass


class TwistedOnly(Counting, Fed, basic.LineOnlyReceiver):
    pass


class AsyncioProtocol(Counting, Fed, asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = bytearray()

    def dataReceived(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        begin = 0
        while (end := buffer.find(DELIMITER, begin)) >= 0:
            self.lineReceived(bytes(buffer[begin:end]))
            begin = end + 2
        del buffer[:begin]


class Readline(Counting):
    def run(self, reads: Reads) -> None:
        asyncio.run(self.read(reads))

    async def read(self, reads: Reads) -> None:
        reader = asyncio.StreamReader(limit=2 * READ)
        for read in reads:
            reader.feed_data(read)
            for _ in range(read.count(b"\n")):
                self.lineReceived((await reader.readline())[:-2])


RIVALS: dict[str, type[Any]] = {
    "naive": Naive,
    "ours": Ours,
    "ours-batch": OursBatch,
    "ours-asked": OursAsked,
    "ours-only": OursOnly,
    "ours-pure": OursPure,
    "twisted": Twisted,
    "twisted-only": TwistedOnly,
    "asyncio": AsyncioProtocol,
    "readline": Readline,
}


def readsOf(length: int) -> tuple[Reads, list[bytes]]:
    """About a megabyte in reads of about 64 KiB, each a whole number of lines, and the lines."""
    rng = random.Random(length)
    lines = [bytes(rng.choices(range(32, 127), k=length)) for _ in range(READ // (length + len(DELIMITER)))]
    return [DELIMITER.join([*lines, b""])] * 16, lines * 16


def uneven(stream: bytes) -> Reads:
    rng = random.Random(1)
    pieces = []
    begin = 0
    while begin < len(stream):
        size = rng.choice((1, 100, 1500, READ))
        pieces.append(stream[begin : begin + size])
        begin += size
    return pieces


def checkLines(name: str, kind: type[Any], reads: Reads, lines: list[bytes]) -> None:
    """See that this rival finds these lines, in uneven pieces too if it has a buffer."""
    found: list[bytes] = []
    attributes = {"lineReceived": lambda self, line: found.append(line)}
    if getattr(kind, "linesReceived", None) is not None:
        attributes["linesReceived"] = lambda self, lines: found.extend(lines)
    type(name, (kind,), attributes)().run(reads if kind is Naive else uneven(b"".join(reads)))
    if found != lines:
        raise SystemExit(f"{name} does not find the lines")


def timePerLine(name: str, kind: type[Any], reads: Reads, count: int) -> float:
    rival = kind()
    begin = time.process_time()
    rival.run(reads)
    spent = time.process_time() - begin
    if rival.count != count:
        raise SystemExit(f"{name} counts {rival.count} lines, not {count}")
    return spent / count


def measure(length: int, rounds: int) -> None:
    reads, lines = readsOf(length)
    for name, kind in RIVALS.items():
        checkLines(name, kind, reads, lines)
    best = dict.fromkeys(RIVALS, float("inf"))
    for _ in range(rounds):
        for name, kind in RIVALS.items():
            best[name] = min(best[name], timePerLine(name, kind, reads, len(lines)))
    print(f"\nlines of {length} bytes\n  {'':14} {'ns/line':>9} {'lines/s':>12} {'naive = 1':>10}")
    for name, seconds in best.items():
        print(f"  {name:14} {seconds * 1e9:9.1f} {1 / seconds:12,.0f} {best['naive'] / seconds:10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--length", type=int, action="append", metavar="BYTES", help="of a line (repeat for more)")
    arguments = parser.parse_args()
    print(f"linereactor {version('linereactor')}, line core {linecore.IMPLEMENTATION}; twisted {version('twisted')}")
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.platform()}")
    for length in arguments.length or LENGTHS:
        measure(length, arguments.rounds)


if __name__ == "__main__":
    main()
