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
    """All that a receiver asks of a transport while it delivers, for the rivals and for "ours-foreign"."""

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
    """What our receivers have in its place: of linereactor, as transports in a program are; it counts, too."""

    written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)


def emptyLine(self: Any, line: bytes) -> None:
    """The handler that is measured."""


def emptyLines(self: Any, lines: list[bytes]) -> None:
    """The same, for those that get all lines of a read at once."""


class Naive:
    """No buffer, no limit, no anything: needs reads that end with a line."""

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
    """What most asyncio protocols do: search a bytearray."""

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
    """The naive loop, with the rest of the read before."""

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


WHOLE = ("naive", "split", "bytesio")  # who needs reads of whole lines
PLAIN: dict[str, type[Naive]] = {
    "naive": Naive,
    "split": Split,
    "bytesio": Iterated,
    "asyncio": Searched,
    "asyncio-tuned": Tuned,
    "asyncio-streams": Readline,
}


def receiverOf(rival: str) -> Any:
    """The receiver of ours or of Twisted's that a program would inherit from."""
    if rival.startswith("twisted"):
        basic = importlib.import_module("twisted.protocols.basic")
        return basic.LineOnlyReceiver if rival == "twisted-only" else basic.LineReceiver
    return LineOnlyReceiver if rival == "ours-only" else LineReceiver


def settingsOf(rival: str, delimiter: bytes | None) -> dict[str, Any]:
    """What a class of a program has in it to set `delimiter` and MAX_LENGTH, in the way that the rival is about."""
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
    """The class that a program would write with this rival. Without `delimiter` nothing is set: the default is CRLF.

    Else the receivers have `delimiter` and MAX_LENGTH as attributes of that class; "ours-instance" sets them on each
    instance, and to "ours-asked" they are properties, which have to be asked for before each line.
    """
    if rival in PLAIN:
        return type(PLAIN[rival].__name__, (PLAIN[rival],), {"delimiter": delimiter or b"\r\n", **methods})
    handler: dict[str, Any] = {"linesReceived": emptyLines} if rival == "ours-batch" else {"lineReceived": emptyLine}
    handler["standIn"] = OurTransport if rival.startswith("ours") and rival != "ours-foreign" else Transport
    if rival == "ours-pure":
        handler["_bufferClass"] = _pure.LineBuffer
        delimiter = delimiter or b"\r\n"  # as the class has it where nothing is compiled
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
