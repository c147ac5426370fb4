"""The lines of collect's file: their end, and an escape for that end inside a line.

Lines that end in NUL, or in bytes of the user's choice, may hold LFs; a traceback does. So the file's lines have the
same end. All others end in LF, as programs that read a file expect. The end of the file's lines cannot stand inside a
line, because one client's line would look like two. There it is written as rsyslog writes control characters: `#` and
three octal digits for each byte (`#012` for an LF).
"""

from __future__ import annotations

from collections.abc import Iterable

LF = b"\n"
TEXT = (b"\n", b"\r\n")  # the end of a line of text


class Framing:
    """The ends of a file's lines: `delimiter` in the file, `incoming` from clients; None: see the module.

    `escapes`: every line is searched for the file's end, also if the end of the clients' lines excludes it.
    """

    def __init__(self, incoming: bytes = LF, delimiter: bytes | None = None, escapes: bool = False) -> None:
        if delimiter is None:
            delimiter = LF if incoming in TEXT else incoming
        self.delimiter = delimiter
        self._escaped = b"".join(b"#%03o" % octet for octet in delimiter)
        self._mayContain = escapes or incoming not in delimiter  # a line never holds its own end

    def join(self, lines: Iterable[bytes]) -> bytes:
        """Return `lines`, each with its end."""
        delimiter = self.delimiter
        if self._mayContain:
            lines = [line.replace(delimiter, self._escaped) if delimiter in line else line for line in lines]
        return delimiter.join([*lines, b""])

    def escape(self, message: bytes) -> bytes:
        """Return a message that did not come as a line, with the file's end inside it escaped."""
        return message.replace(self.delimiter, self._escaped)

    def lastLine(self, rest: bytes) -> bytes:
        """Return the bytes behind a client's last end, as a line.

        The beginning of an end that would be found too early is part of the line.
        """
        at = (rest + self.delimiter).find(self.delimiter)
        return rest if self._mayContain else rest[:at]

    def ending(self, tail: bytes) -> bytes:
        """Return the bytes that end the last line of a file whose last bytes are `tail`.

        If the file has a part of the end already, they are the rest of it.
        """
        delimiter = self.delimiter
        if not tail or tail.endswith(delimiter):
            return b""
        sizes = range(len(delimiter) - 1, 0, -1)
        return delimiter[next((size for size in sizes if tail.endswith(delimiter[:size])), 0) :]

    def whole(self, written: bytes) -> int:
        """Return the number of bytes of `written`, which begins with a line, that are whole lines."""
        end = 0
        while (at := written.find(self.delimiter, end)) >= 0:
            end = at + len(self.delimiter)
        return end
