"""How lines stand in collect's file: where each ends, and what becomes of that end inside a line.

Lines that end in NUL, or in bytes of the user's choice, may hold LFs (a traceback does), so the file's lines end in the
same. All others end in LF, which is what reads a file expects. Whatever the file's lines end in cannot stand inside one
of them, or one client's line would be taken for two: where it would, it is written as rsyslog writes control
characters, `#` and three octal digits for each byte (`#012` for an LF).
"""

from __future__ import annotations

from collections.abc import Iterable

LF = b"\n"
TEXT = (b"\n", b"\r\n")  # what ends lines of text


class Framing:
    """The ends of a file's lines. `delimiter` ends them there, `incoming` on the way in; None: as the module says."""

    def __init__(self, incoming: bytes = LF, delimiter: bytes | None = None) -> None:
        if delimiter is None:
            delimiter = LF if incoming in TEXT else incoming
        self.delimiter = delimiter
        self._escaped = b"".join(b"#%03o" % octet for octet in delimiter)
        self._mayContain = incoming not in delimiter  # a line holds nothing that holds its own end

    def join(self, lines: Iterable[bytes]) -> bytes:
        """Return `lines`, each with its end."""
        delimiter = self.delimiter
        if self._mayContain:
            lines = [line.replace(delimiter, self._escaped) if delimiter in line else line for line in lines]
        return delimiter.join([*lines, b""])

    def lastLine(self, rest: bytes) -> bytes:
        """Return what a client said after its last end, as a line: an end that has begun and would be found too early
        is the line's own.
        """
        at = (rest + self.delimiter).find(self.delimiter)
        return rest if self._mayContain else rest[:at]

    def ending(self, tail: bytes) -> bytes:
        """Return what must follow `tail`, the last bytes of a file, for its last line to be ended: a part of the end
        that stands there already is gone on with.
        """
        delimiter = self.delimiter
        if not tail or tail.endswith(delimiter):
            return b""
        sizes = range(len(delimiter) - 1, 0, -1)
        return delimiter[next((size for size in sizes if tail.endswith(delimiter[:size])), 0) :]

    def whole(self, written: bytes) -> int:
        """Return how many bytes of `written`, which begins with a line, are whole lines."""
        end = 0
        while (at := written.find(self.delimiter, end)) >= 0:
            end = at + len(self.delimiter)
        return end
