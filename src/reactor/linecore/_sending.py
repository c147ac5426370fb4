"""Sending in Python: the buffer that gathers output, and lines with their delimiter."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Self

from reactor._arguments import checkDelimiter
from reactor._views import content


def asBytes(data: bytes | bytearray | memoryview) -> bytes:
    """Return the content of a bytes-like object, bytes as they are. TypeError for anything else, str included."""
    if type(data) is bytes:
        return data
    try:
        return content(data)
    except TypeError:
        raise TypeError(f"Data must be bytes-like, not {type(data).__name__}") from None


def checkLine(line: Any) -> None:
    """TypeError, in words that help, for what is given to be sent as a line and is not bytes-like."""
    if isinstance(line, str | int):
        raise TypeError(f"a line is sent as bytes, not {type(line).__name__}: encode it")
    try:
        memoryview(line).release()
    except TypeError:
        raise TypeError(f"a line is sent as bytes, not {line!r}") from None


class Disconnectable:
    """Base of transports that count when they begin to close. Here nothing is counted."""

    __slots__ = ("disconnecting",)
    disconnecting: bool

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.disconnecting = False
        return self


class Tally:
    """Counts what a connection carries, and adds it to `whole`. The package's docstring is the contract."""

    __slots__ = (
        "bytesIn",
        "bytesMark",
        "bytesOut",
        "counted",
        "lines",
        "linesMark",
        "maxPending",
        "overlong",
        "pending",
        "requests",
        "source",
        "whole",
    )

    bytesIn: int
    bytesOut: int
    lines: int
    requests: int
    overlong: int
    pending: int
    maxPending: int
    linesMark: int
    bytesMark: int
    whole: Tally | None
    counted: int
    source: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.bytesIn = self.bytesOut = self.lines = self.requests = self.overlong = self.pending = 0
        self.maxPending = self.linesMark = self.bytesMark = sys.maxsize
        self.whole = None
        self.counted = self.source = 0
        return self

    def addRequest(self) -> None:
        self.requests += 1
        if self.whole is not None:
            self.whole.requests += 1

    def addLines(self, lines: int, pending: int = 0) -> None:
        tallyLines(self, lines, pending)

    def addOverlong(self) -> None:
        self.overlong += 1
        if self.whole is not None:
            self.whole.overlong += 1

    def leave(self) -> None:
        if self.whole is not None:
            self.whole.pending -= self.pending
            self.whole = None

    def ended(self, transport: Any, reason: Any) -> None:
        pass

    def _passedLimit(self) -> None:
        pass

    def _passedRate(self) -> None:
        pass


def tallyLines(tally: Tally, lines: int, pending: int) -> None:
    """Count `lines` more, and `pending` bytes more, or fewer, that have not been delivered."""
    tally.lines += lines
    tally.pending += pending
    whole = tally.whole
    if whole is not None:
        whole.lines += lines
        whole.pending += pending
        if pending > 0 and whole.pending > whole.maxPending:
            whole._passedLimit()
    if tally.lines > tally.linesMark:
        tally._passedRate()


class OutputBuffer(Disconnectable):
    """Bytes that were written and not yet sent. The package's docstring is the contract."""

    __slots__ = ("_mark", "_waiting", "countsBytes", "highWater", "tally")
    _mark: int
    _waiting: bytes | bytearray
    tally: Tally | None
    countsBytes: bool
    highWater: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._waiting = b""
        self._mark = -1
        self.tally = None
        self.countsBytes = False
        self.highWater = 0
        return self

    @property
    def unsent(self) -> int:
        """How many bytes were written that the kernel has not taken yet."""
        return len(self._waiting)

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Send `data`, in order. Takes any bytes-like object and keeps its present content; dropped after the end."""
        added = asBytes(data)
        if not self._waiting:
            self._waiting = added
        else:
            self._extend(added)
        if len(self._waiting) > self._mark:
            self._passedMark(len(added))

    def _extend(self, added: bytes) -> None:
        try:
            self._gathered().extend(added)
        except BufferError:  # other code still has the bytes in hand
            self._waiting = bytearray(self._waiting) + added

    def _hold(self, highWater: int) -> None:
        if self._mark < 0:
            self._mark = highWater

    def _holdRead(self, data: bytes) -> None:
        if self._mark < 0:
            self._mark = self.highWater
        tally = self.tally
        if tally is not None and self.countsBytes:
            tally.bytesIn += len(data)
            if tally.whole is not None:
                tally.whole.bytesIn += len(data)
            if tally.bytesIn > tally.bytesMark:
                tally._passedRate()

    def _tallySent(self, count: int) -> None:
        tally = self.tally
        if tally is not None and self.countsBytes:
            tally.bytesOut += count
            if tally.whole is not None:
                tally.whole.bytesOut += count

    def _front(self) -> bytes | bytearray | None:
        if not self._waiting:
            self._mark = -1
            return None
        return self._waiting

    def _drop(self, count: int) -> bool:
        if self.tally is not None:
            self._tallySent(count)
        if count < len(self._waiting):
            if count:
                self._cutFront(count)
            return False
        self._discardOutput()
        return True

    def _cutFront(self, count: int) -> None:
        try:
            del self._gathered()[:count]
        except BufferError:  # as above
            self._waiting = self._waiting[count:]

    def _discardOutput(self) -> None:
        self._waiting = b""
        self._mark = -1

    def _gathered(self) -> bytearray:
        waiting = self._waiting
        if not isinstance(waiting, bytearray):
            self._waiting = waiting = bytearray(waiting)
        return waiting

    def _passedMark(self, added: int) -> None:
        raise NotImplementedError


def sendLine(owner: Any, transport: Any, line: bytes) -> Any:
    """Do and return what `transport.write(line + owner.delimiter)` does. TypeError if `line` is not bytes-like."""
    write = transport.write
    delimiter = owner.delimiter
    try:
        whole = line + delimiter
    except TypeError:
        checkLine(line)
        checkDelimiter(delimiter)
        raise
    return write(whole)


def sendLines(owner: Any, transport: Any, lines: Iterable[bytes]) -> Any:
    """The same for each of `lines`, in one write; none if there are no lines."""
    delimiter = owner.delimiter
    pieces = [*lines, b""]
    try:
        data = delimiter.join(pieces)
    except (TypeError, AttributeError):
        checkDelimiter(delimiter)
        for line in pieces:
            checkLine(line)
        raise
    return transport.write(data) if data else None
