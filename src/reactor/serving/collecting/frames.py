"""Frames: the messages of syslog over TCP in both framings of RFC 6587, without sockets.

A message is a line (section 3.4.2), or octet-counted (3.4.1): its length in decimal digits, a space, and that many
bytes. Each message may have the other framing than the last one. Three rules tell them apart:

- "auto": a message is octet-counted if it begins with one to ten digits, the first not 0, a space and "<". A message of
  syslog begins with "<". So a line of another kind that begins with a number is a line.
- "counted": every message is octet-counted. Other bytes are an error, after which no message can be found any more.
- "lines": every message is a line. This module is not needed then.

Some senders end a counted message with a delimiter. One delimiter at its end, or directly behind it, is left out.

The search for the next counted message is one regular expression over all lines of a read, which the line core then
splits. So lines cost one search a read more than without frames.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from reactor._logger import quoted
from reactor.linecore import LineBuffer, Tally

AUTO, LINES, COUNTED = MODES = ("auto", "lines", "counted")

# ten digits: a length of at most 10 GB, of which nothing is allocated before it comes
_LENGTH = rb"[1-9][0-9]{0,9}"


class FrameError(Exception):
    """The bytes of a connection cannot be told apart any more: `str(error)` tells why."""


class TooLongError(FrameError):
    """A message is longer than the limit."""


class Frames:
    """Bytes go in as they were read, messages come out.

    `delimiter` ends a line; for "auto" it is one byte. A message has at most `maxLength` bytes, without its delimiter.
    `stripCR`: a CR before the delimiter is left out. `skips`: longer messages are dropped, and counted in
    `overlongCount`; else they are an error. `escape` is called with each counted message, as it may hold delimiters.
    `messageCount` counts all messages that ended, dropped ones included.
    """

    def __init__(
        self,
        mode: str,
        delimiter: bytes,
        maxLength: int,
        stripCR: bool = False,
        skips: bool = False,
        escape: Callable[[bytes], bytes] = bytes,
    ) -> None:
        if mode == AUTO and len(delimiter) != 1:
            raise ValueError(f"a delimiter of one byte is needed to tell frames from lines, not {quoted(delimiter)}")
        self.overlongCount = 0
        self.frameCount = 0
        self._told = 0
        self._delimiter = delimiter
        self._maxLength = maxLength
        self._stripCR = stripCR
        self._skips = skips
        self._escape = escape
        self._mayBeLine = mode == AUTO
        self._lines = LineBuffer(delimiter, maxLength, stripCR)
        mark = b"<" if mode == AUTO else b""
        self._head = re.compile(rb"(%s) %s" % (_LENGTH, mark))
        self._begun = re.compile(rb"%s ?\Z" % _LENGTH)
        self._next = re.compile(rb"%s%s(?: <| ?\Z)" % (re.escape(delimiter), _LENGTH))
        self._held = b""  # the beginning of a message whose framing is not known yet
        self._body = bytearray()
        self._lacking = 0  # bytes of a counted message
        self._isDropped = False
        self._inLine = False
        self._isBehindFrame = False

    @property
    def messageCount(self) -> int:
        """The number of messages that have ended."""
        return self.frameCount + self._lines.lineCount

    def __len__(self) -> int:
        """Return the number of bytes that wait for more of their message."""
        return len(self._held) + len(self._body) + len(self._lines)

    def count(self, tally: Tally) -> None:
        """Count the messages and the waiting bytes for `tally`, in place of any other buffer of the connection."""
        self._lines.count(tally)
        ended, self._told = self.messageCount - self._told, self.messageCount
        tally.addLines(ended, len(self) - tally.pending)

    def feed(self, data: bytes) -> tuple[list[bytes], FrameError | None]:
        """Take data; return the messages that are whole by now, and the error that ends the connection behind them."""
        messages: list[bytes] = []
        if self._held:
            data, self._held = self._held + data, b""
        at = 0
        try:
            while at < len(data):
                if self._lacking:
                    at = self._more(data, at, messages)
                elif self._inLine:
                    at = self._line(data, at, messages)
                else:
                    at = self._begin(data, at, messages)
        except FrameError as error:
            return messages, error
        return messages, None

    def take(self) -> tuple[bytes, bool]:
        """Return the bytes of the unfinished message, and forget them; and whether it is a counted one."""
        isCounted = bool(self._lacking) or not self._mayBeLine
        rest = bytes(self._body) + self._held + self._lines.take()
        self._held = b""
        self._body.clear()
        self._lacking = 0
        return rest, isCounted

    def _begin(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Decide on the framing of the message that begins at `at`; return where the rest begins.

        A counted message that has come whole is taken at once, and so are those behind it.
        """
        if self._isBehindFrame:
            self._isBehindFrame = False
            if data.startswith(self._delimiter, at):
                return at + len(self._delimiter)
        match, longest, available = self._head.match, self._maxLength, len(data)
        while (found := match(data, at)) is not None:
            size = int(found[1])
            at = found.end(1) + 1
            if size > longest or at + size > available:
                self._lacking = size
                self._isDropped = size > longest + len(self._delimiter) + self._stripCR
                if self._isDropped:
                    self._tooLong()
                return at
            self.frameCount += 1
            self._isBehindFrame = True
            self._counted(data[at : at + size], messages)
            at += size
        if self._isBehindFrame or at == available:
            return at
        if self._begun.match(data, at) is not None:
            self._held = data[at:]
            return len(data)
        if not self._mayBeLine:
            raise FrameError(f"no octet count before a message: {data[at : at + 20]!r}")
        self._inLine = True
        return at

    def _more(self, data: bytes, at: int, messages: list[bytes]) -> int:
        end = min(at + self._lacking, len(data))
        self._lacking -= end - at
        if not self._isDropped:
            self._body += data[at:end]
        if not self._lacking:
            self.frameCount += 1
            self._isBehindFrame = True
            if not self._isDropped:
                message = bytes(self._body)
                self._body.clear()
                self._counted(message, messages)
        return end

    def _counted(self, message: bytes, messages: list[bytes]) -> None:
        if message.endswith(self._delimiter):
            message = message.removesuffix(self._delimiter)
            self._isBehindFrame = False
            if self._stripCR:
                message = message.removesuffix(b"\r")
        if len(message) > self._maxLength:
            self._tooLong()
        else:
            messages.append(self._escape(message))

    def _line(self, data: bytes, at: int, messages: list[bytes]) -> int:
        """Give the line core all lines up to the next counted message."""
        found = self._next.search(data, at)
        end = len(data) if found is None else found.start() + len(self._delimiter)
        lines = self._lines
        lines.feed(data[at:end] if at or end < len(data) else data)
        messages += lines.lines()
        while lines.exceeded:
            self._tooLong()
            lines.skip()
            messages += lines.lines()
        self._inLine = len(lines) > 0 or lines.skipping
        return end

    def _tooLong(self) -> None:
        if not self._skips:
            raise TooLongError(f"a message of more than {self._maxLength} bytes")
        self.overlongCount += 1
