"""LineBuffer in Python: it runs where the compiled one is missing, and says how that one must behave.

The bytes not yet taken are `_data[_pos:]`; none of `_data[_pos:_searched]` begins a delimiter. `_data` is a read that
was adopted without a copy. If a tail was longer than the read that followed it, `_data` is a bytearray that grows. So a
byte is copied a bounded number of times, whatever the cuts.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, Self

from reactor._arguments import checkDelimiter
from reactor._views import content, piece
from reactor.linecore._sending import Tally, sendLine, sendLines, tallyLines

KEPT: Final = 0
FAST: Final = 1
STALE: Final = 2
SLOW: Final = 3
WATCHED: Final = 4
BATCHED: Final = 5

UNLIMITED: Final = sys.maxsize // 2


class Lines:
    """Lines that were cut, which can all be had from rest(), and none by iterating: nothing is announced here."""

    __slots__ = ("_lines",)

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines

    def __bool__(self) -> bool:
        return bool(self._lines)

    def watch(self, owner: object, maxLength: int, transport: object) -> bool:
        return True

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        raise StopIteration

    def rest(self) -> list[bytes]:
        rest, self._lines = self._lines, []
        return rest


class LineBuffer:
    """Bytes go in as they were read, lines come out. The package's docstring is the contract."""

    __slots__ = (
        "_counts",
        "_data",
        "_delimiter",
        "_pos",
        "_searched",
        "_skipping",
        "busy",
        "lineCount",
        "maxLength",
        "stripCR",
        "waiting",
    )

    def __init__(self, delimiter: bytes = b"\r\n", maxLength: int = 16384, stripCR: bool = False) -> None:
        self._data: bytes | bytearray = b""
        self._delimiter = b""
        self._pos = 0
        self._searched = 0
        self._skipping = False
        self.delimiter = delimiter
        self.maxLength = maxLength
        self.stripCR = stripCR
        self.lineCount = 0
        self.busy = False
        self.waiting = False
        self._counts = False

    def count(self, tally: Tally) -> None:
        self._counts = True
        tally.source = id(self)
        tally.counted = self.lineCount

    def finish(self, transport: object) -> None:
        self.busy = False
        if self._counts:
            self._tell(transport)

    def _tell(self, transport: object) -> None:
        tally = getattr(transport, "tally", None)
        if isinstance(tally, Tally) and tally.source == id(self):
            lines, more = self.lineCount - tally.counted, len(self._data) - self._pos - tally.pending
            if lines or more:
                tally.counted = self.lineCount
                tallyLines(tally, lines, more)

    @property
    def delimiter(self) -> bytes:
        return self._delimiter

    @delimiter.setter
    def delimiter(self, delimiter: bytes) -> None:
        if type(delimiter) is not bytes:
            checkDelimiter(delimiter)
            delimiter = content(delimiter)
        if delimiter != self._delimiter:
            self._searched = self._pos
        self._delimiter = delimiter

    @property
    def skipping(self) -> bool:
        if self._skipping:
            self._find()
        return self._skipping

    def __len__(self) -> int:
        return 0 if self.skipping else len(self._data) - self._pos

    @property
    def holds(self) -> bool:
        return len(self._data) > self._pos

    hasFollowed = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        self._add(data)
        if self._skipping:
            self._find()

    def _add(self, data: bytes | bytearray | memoryview) -> None:
        if type(data) is not bytes:
            data = content(data)
        held = len(self._data) - self._pos
        if not held:
            self._data = data
            self._pos = self._searched = 0
        elif isinstance(self._data, bytearray):
            self._data += data
        else:
            rest = memoryview(self._data)[self._pos :]  # of bytes, which never change
            self._data = b"".join((rest, data)) if held <= len(data) else bytearray(rest) + data
            self._searched -= self._pos
            self._pos = 0

    def __iter__(self) -> LineBuffer:
        return self

    def __next__(self) -> bytes:
        end = self._find()
        if end < 0:
            raise StopIteration
        last = self._lastOf(end)
        if last - self._pos > self.maxLength:
            raise StopIteration
        return self._cut(last, end)

    def cut(self, delimiter: bytes) -> bytes | None:
        data = self._data
        if delimiter is self._delimiter and delimiter and type(data) is bytes and not self._skipping:
            # The code below does the same for every case; most lines need only this.
            end = data.find(delimiter, self._searched)
            after = end + len(delimiter)
            if end >= 0 and after < len(data):
                line = data[self._pos : end]
                self._pos = self._searched = after
                self.lineCount += 1
                return line
        self.delimiter = delimiter
        end = self._find()
        return None if end < 0 else self._cut(end, end)

    def lines(self, untilEmpty: bool = False) -> list[bytes]:
        if untilEmpty:
            head: list[bytes] = []
            for line in self:
                head.append(line)
                if not line:
                    break
            return head
        if self.maxLength < UNLIMITED or self.stripCR or self._find() < 0:
            return list(self)
        *lines, rest = self.peek().split(self._delimiter)
        self._data = rest
        self._pos = 0
        self._searched = max(0, len(rest) - len(self._delimiter) + 1)
        self.lineCount += len(lines)
        return lines

    @property
    def exceeded(self) -> bool:
        end = self._find()
        if end >= 0:
            return self._lastOf(end) - self._pos > self.maxLength
        return 0 < len(self) >= self.maxLength + len(self._delimiter) + bool(self.stripCR)

    def peek(self) -> bytes:
        if self.skipping:
            return b""
        return piece(self._data, self._pos)

    def take(self, count: int | None = None) -> bytes:
        if count is not None and count < len(self):
            return self._takeFront(count)
        if self.skipping:
            return b""
        taken = self.peek()
        self.clear()
        return taken

    def _takeFront(self, count: int) -> bytes:
        if count < 0:
            raise ValueError(f"cannot take {count} bytes")
        end = self._pos + count
        searched = max(0, self._searched - end)
        taken = piece(self._data, self._pos, end)
        self._drop(end)
        self._searched = self._pos + searched
        return taken

    def clear(self) -> None:
        self._data = b""
        self._pos = self._searched = 0
        self._skipping = False

    def skip(self) -> bytes:
        end = self._find()
        if end >= 0:
            return self._cut(end, end)
        if self._skipping:
            return b""
        if not self._delimiter:
            return self.take()
        dropped = self.peek()
        self._skipping = True
        self._find()
        return dropped

    def receive(self, owner: Any, data: bytes | bytearray | memoryview, transport: object) -> int:
        self._add(data)
        if self.busy or self.waiting:
            if self._counts:
                self._tell(transport)
            return KEPT
        if self._skipping and not owner.paused:
            self.delimiter = owner.delimiter
            self._find()
        self.busy = True
        return SLOW

    def split(self, data: bytes | bytearray | memoryview, delimiter: bytes) -> Lines:
        self.delimiter = delimiter
        if not self._delimiter:
            raise ValueError("the delimiter is empty")
        self.maxLength = UNLIMITED
        self.feed(data)
        return Lines(self.lines())

    def send(self, owner: Any, transport: Any, line: bytes) -> Any:
        return sendLine(owner, transport, line)

    def sendAll(self, owner: Any, transport: Any, lines: Iterable[bytes]) -> Any:
        return sendLines(owner, transport, lines)

    def _find(self) -> int:
        """The start of the next delimiter, or -1. Ends a skipped line as soon as its delimiter is there."""
        size = len(self._delimiter)
        if not size:
            if self._skipping:
                self._drop(len(self._data))
            return -1
        while True:
            end = self._data.find(self._delimiter, self._searched)
            if end < 0:
                self._searched = max(self._pos, len(self._data) - size + 1)
                if self._skipping:
                    self._drop(self._searched)
                elif type(self._data) is bytes and self._pos > len(self._data) // 2:
                    self._unpin()
                return -1
            self._searched = end
            if not self._skipping:
                return end
            self._skipping = False
            self.lineCount += 1
            self._drop(end + size)

    def _lastOf(self, end: int) -> int:
        """Where the line that is delimited at `end` ends, its CR not counted if that is wished."""
        return end - 1 if self.stripCR and self._pos < end and self._data[end - 1] == 13 else end

    def _cut(self, last: int, end: int) -> bytes:
        data = self._data
        line = data[self._pos : last] if isinstance(data, bytes) else piece(data, self._pos, last)
        self.lineCount += 1
        self._drop(end + len(self._delimiter))
        return line

    def _unpin(self) -> None:
        """Let go of a read of which only a small rest is needed."""
        self._data = self._data[self._pos :]
        self._searched -= self._pos
        self._pos = 0

    def _drop(self, pos: int) -> None:
        """Forget what lies before `pos`."""
        if pos == len(self._data):
            self._data = b""
            pos = 0
        elif isinstance(self._data, bytearray) and pos > len(self._data) // 2:
            del self._data[:pos]
            pos = 0
        self._pos = self._searched = pos
