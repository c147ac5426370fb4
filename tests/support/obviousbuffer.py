"""The obviously right line buffer: it keeps every byte, and splits them all again for every question."""

from __future__ import annotations

from typing import Any


class LineBuffer:
    def __init__(self, delimiter: bytes = b"\r\n", maxLength: int = 16384, stripCR: bool = False) -> None:
        self.data = b""
        self.delimiter = delimiter
        self.maxLength = maxLength
        self.stripCR = stripCR
        self.lineCount = 0
        self.dropping = False

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        self.data += bytes(memoryview(data))
        self.drop()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, bytes(memoryview(value)) if name == "delimiter" else value)

    def __len__(self) -> int:
        return len(self.peek())

    def drop(self) -> None:
        """Forget the line that is being skipped, as far as it is there."""
        if self.dropping and self.delimiter:
            _line, found, rest = self.data.partition(self.delimiter)
            self.dropping = not found
            self.lineCount += bool(found)
            self.data = rest if found else self.data[max(0, len(self.data) - len(self.delimiter) + 1) :]
        elif self.dropping:
            self.data = b""

    @property
    def skipping(self) -> bool:
        self.drop()
        return self.dropping

    def whole(self) -> bytes | None:
        """The line at the front with its CR, or None. An empty delimiter never comes."""
        self.drop()
        line, found, _rest = self.data.partition(self.delimiter) if self.delimiter else (b"", b"", b"")
        return line if found else None

    def stripped(self, line: bytes) -> bytes:
        return line[:-1] if self.stripCR and line.endswith(b"\r") else line

    def __iter__(self) -> LineBuffer:
        return self

    def __next__(self) -> bytes:
        line = self.whole()
        if line is None or len(self.stripped(line)) > self.maxLength:
            raise StopIteration
        self.cut(self.delimiter)
        return self.stripped(line)

    def cut(self, delimiter: bytes) -> bytes | None:
        self.delimiter = delimiter
        line = self.whole()
        if line is not None:
            self.data = self.data[len(line) + len(self.delimiter) :]
            self.lineCount += 1
        return line

    def lines(self, untilEmpty: bool = False) -> list[bytes]:
        lines = []
        for line in self:
            lines.append(line)
            if untilEmpty and not line:
                break
        return lines

    @property
    def exceeded(self) -> bool:
        line = self.whole()
        if line is not None:
            return len(self.stripped(line)) > self.maxLength
        return 0 < len(self) >= self.maxLength + len(self.delimiter) + self.stripCR

    def peek(self) -> bytes:
        return b"" if self.skipping else self.data

    def take(self, count: int | None = None) -> bytes:
        if count is not None and count < 0:
            raise ValueError(count)
        if self.skipping:
            return b""
        data = self.data
        self.clear()
        if count is not None:
            self.data = data[count:]
        return data[:count]

    def clear(self) -> None:
        self.data = b""
        self.dropping = False

    def skip(self) -> bytes:
        line = self.cut(self.delimiter)
        if line is not None:
            return line
        line = self.peek()
        self.dropping = self.dropping or bool(self.delimiter)
        self.data = self.data if self.delimiter else b""
        self.drop()
        return line
