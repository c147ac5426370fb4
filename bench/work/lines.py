"""Cutting lines: the rivals, each with a `dataReceived` that calls `lineReceived(line)` or `linesReceived(lines)`."""

from __future__ import annotations

import asyncio
import importlib
import io
from typing import Any

from reactor import LineOnlyReceiver, LineReceiver
from reactor.linecore import _pure
from reactor.testing import StringTransport

LONGEST = 20_000  # MAX_LENGTH, where a case has one of its own


class Transport:
    """The parts of a transport that a receiver needs while it delivers, for the rivals and for "ours-foreign"."""

    __slots__ = ("disconnecting", "written")

    def __init__(self) -> None:
        self.disconnecting = False
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)

    def writeSequence(self, pieces: Any) -> None:
        for piece in pieces:
            self.written += len(piece)


class OurTransport(StringTransport):
    """The transport of our receivers: one of linereactor, as in a program. It counts, too."""

    written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)


def emptyLine(self: Any, line: bytes) -> None:
    """The handler that is measured."""


def emptyLines(self: Any, lines: list[bytes]) -> None:
    """The handler that is measured, for receivers that get all lines of a read at once."""


class Naive:
    """No buffer and no limit: needs reads that end with a line."""

    delimiter = b"\r\n"
    lineReceived = emptyLine
    transport: Transport
    standIn = Transport

    def dataReceived(self, data: bytes) -> None:
        lineReceived = self.lineReceived
        lines = data.split(self.delimiter)
        lines.pop()
        for line in lines:
            lineReceived(line)


class Split(Naive):
    """bytes.split, and nothing else: one call for all lines of a read."""

    linesReceived = emptyLines

    def dataReceived(self, data: bytes) -> None:
        lines = data.split(self.delimiter)
        lines.pop()
        self.linesReceived(lines)


class Iterated(Naive):
    """io.BytesIO, iterated: needs reads that end with a line, and knows no delimiter but LF."""

    def dataReceived(self, data: bytes) -> None:
        lineReceived = self.lineReceived
        size = -len(self.delimiter)
        for line in io.BytesIO(data):
            lineReceived(line[:size])


class Searched(Naive):
    """The way of most asyncio protocols: search a bytearray."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def dataReceived(self, data: bytes) -> None:
        buffer = self.buffer
        buffer += data
        delimiter = self.delimiter
        begin = 0
        while (end := buffer.find(delimiter, begin)) >= 0:
            self.lineReceived(bytes(buffer[begin:end]))
            begin = end + len(delimiter)
        del buffer[:begin]


class Tuned(Naive):
    """The naive loop, with the rest of the last read."""

    rest = b""

    def dataReceived(self, data: bytes) -> None:
        if self.rest:
            data = self.rest + data
        lines = data.split(self.delimiter)
        self.rest = lines.pop()
        lineReceived = self.lineReceived
        for line in lines:
            lineReceived(line)


class Readline(Naive):
    """asyncio's StreamReader.readline, which is fed by itself and so never waits."""

    def feedAll(self, reads: list[bytes]) -> None:
        asyncio.run(self.readAll(reads))

    async def readAll(self, reads: list[bytes]) -> None:
        reader = asyncio.StreamReader(limit=1 << 22)
        size = len(self.delimiter)
        for read in reads:
            reader.feed_data(read)
            for _ in range(read.count(b"\n")):
                self.lineReceived((await reader.readline())[:-size])


WHOLE = ("naive", "split", "bytesio")  # rivals that need reads of whole lines
PLAIN: dict[str, type[Naive]] = {
    "naive": Naive,
    "split": Split,
    "bytesio": Iterated,
    "asyncio": Searched,
    "asyncio-tuned": Tuned,
    "asyncio-streams": Readline,
}


def receiverOf(rival: str) -> Any:
    """Return our receiver or Twisted's, from which a program would inherit."""
    if rival.startswith("twisted"):
        basic = importlib.import_module("twisted.protocols.basic")
        return basic.LineOnlyReceiver if rival == "twisted-only" else basic.LineReceiver
    return LineOnlyReceiver if rival == "ours-only" else LineReceiver


def settingsOf(rival: str, delimiter: bytes | None) -> dict[str, Any]:
    """Return the contents of a program's class that set `delimiter` and MAX_LENGTH, in the rival's way."""
    if delimiter is None:
        return {}
    if rival == "ours-instance":

        def __init__(self: Any) -> None:
            self.delimiter = delimiter
            self.MAX_LENGTH = LONGEST

        return {"__init__": __init__}
    if rival == "ours-asked":
        return {"delimiter": property(lambda self: delimiter), "MAX_LENGTH": property(lambda self: LONGEST)}
    return {"delimiter": delimiter, "MAX_LENGTH": LONGEST}


def kindOf(rival: str, delimiter: bytes | None = None, **methods: Any) -> type[Any]:
    """Return the class that a program would write with this rival. Without `delimiter` it sets nothing: CRLF.

    Otherwise `delimiter` and MAX_LENGTH are attributes of that class. "ours-instance" sets them on each instance. For
    "ours-asked" they are properties, which are read before each line.
    """
    if rival in PLAIN:
        return type(PLAIN[rival].__name__, (PLAIN[rival],), {"delimiter": delimiter or b"\r\n", **methods})
    handler: dict[str, Any] = {"linesReceived": emptyLines} if rival == "ours-batch" else {"lineReceived": emptyLine}
    handler["standIn"] = OurTransport if rival.startswith("ours") and rival != "ours-foreign" else Transport
    if rival == "ours-pure":
        handler["_bufferClass"] = _pure.LineBuffer
        delimiter = delimiter or b"\r\n"  # as in a class of the pure core
    return type("Receiver", (receiverOf(rival),), {**handler, **settingsOf(rival, delimiter), **methods})


def feedAll(kind: type[Any], reads: list[bytes]) -> Any:
    """Feed all reads to a new instance, and return it."""
    receiver = kind()
    receiver.transport = kind.standIn()
    if isinstance(receiver, Readline):
        receiver.feedAll(reads)
        return receiver
    dataReceived = receiver.dataReceived
    for read in reads:
        dataReceived(read)
    return receiver
