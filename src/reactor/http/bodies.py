"""The framing of bodies, in both directions (RFC 9112, 6 and 7). Bytes in, bytes out, and where the body ends.

A decoder's `feed(data)` returns (piece, rest). `piece` is what `data` has of the body. `rest` is None while more of the
body is to come; at its end `rest` is what follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from reactor.http.errors import HTTPError
from reactor.http.grammar import TOKEN
from reactor.http.head import CHUNKED, MAX_FIELDS, MAX_HEAD, MAX_LINE, NOT_IN_TRAILERS, UNTIL_CLOSE, Pair, parseField

MAX_SIZE_LINE = 256

_QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
SIZE_LINE = re.compile(  # RFC 9112, 7.1 and 7.1.1
    rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?)*" % (TOKEN.pattern, TOKEN.pattern, _QUOTED)
)

_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class Decoder(Protocol):
    """Finds the end of a body."""

    @property
    def trailers(self) -> Sequence[Pair]:
        """The fields after the body."""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]: ...

    def close(self) -> bool:
        """Called at the end of the connection. Whether the body is complete."""


class LengthDecoder:
    """A body of `left` bytes."""

    __slots__ = ("left",)

    trailers: Sequence[Pair] = ()

    def __init__(self, left: int) -> None:
        self.left = left

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        size, left = len(data), self.left
        if size < left:
            self.left = left - size
            return data, None
        self.left = 0
        return (data, b"") if size == left else (data[:left], data[left:])

    def close(self) -> bool:
        return not self.left


class UntilCloseDecoder:
    """The body of a response that ends with the connection."""

    __slots__ = ()

    trailers: Sequence[Pair] = ()

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        return data, None

    def close(self) -> bool:
        return True


class ChunkedDecoder:
    """A chunked body. HTTPError 400 where the framing is broken, 431 for trailers that are too large.

    `fields` and `size` are the number of fields of the head and its bytes: the limits of a head count trailers in.
    These are `maxFields` and `maxSize`. A chunk's size line may have `MAX_SIZE_LINE` bytes. Nothing uses its
    extensions.
    """

    __slots__ = ("_fields", "_held", "_left", "_maxFields", "_maxSize", "_size", "_state", "trailers")

    def __init__(self, fields: int = 0, size: int = 0, maxFields: int = MAX_FIELDS, maxSize: int = MAX_HEAD) -> None:
        self._maxFields = maxFields
        self._maxSize = maxSize
        self.trailers: list[Pair] = []
        self._fields = fields
        self._size = size
        self._held = b""
        self._left = 0
        self._state = _SIZE

    def close(self) -> bool:
        return False

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at, end = 0, len(data)
        while True:
            if self._state == _DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = _DATA_END
            if self._state == _DATA_END:
                if not b"\r\n".startswith(data[at : at + 2]):
                    raise HTTPError(400, "a chunk is longer than its size")
                if end - at < 2:
                    break
                at += 2
                self._state = _SIZE
            line = self._lineAt(data, at)
            if line is None:
                break
            at += len(line) + 2
            if self._state == _SIZE:
                self._sizeReceived(line)
            elif not line:
                return b"".join(pieces), data[at:]
            else:
                self._trailerReceived(line)
        self._held = data[at:]
        return b"".join(pieces), None

    def _lineAt(self, data: bytes, at: int) -> bytes | None:
        limit, code = (MAX_SIZE_LINE, 400) if self._state == _SIZE else (MAX_LINE, 431)
        end = data.find(b"\r\n", at, at + limit + 2)
        if end >= 0:
            return data[at:end]
        if len(data) - at > limit + 1:
            raise HTTPError(code, f"a line of a chunked body has more than {limit} bytes")
        return None

    def _sizeReceived(self, line: bytes) -> None:
        parts = SIZE_LINE.fullmatch(line)
        if parts is None:
            raise HTTPError(400, "a chunk's size is no hexadecimal number, or its extension is malformed")
        self._left = int(parts[1], 16)
        self._state = _DATA if self._left else _TRAILERS

    def _trailerReceived(self, line: bytes) -> None:
        self._fields += 1
        self._size += len(line) + 2
        if self._fields > self._maxFields or self._size > self._maxSize:
            raise HTTPError(431, "head and trailers together are too large")
        name, value = parseField(line)
        if name in NOT_IN_TRAILERS:
            raise HTTPError(400, f"{name.decode()} as a trailer")
        self.trailers.append((name, value))


def decoderFor(
    length: int, fields: int = 0, size: int = 0, maxFields: int = MAX_FIELDS, maxSize: int = MAX_HEAD
) -> Decoder:
    """Return the decoder for a body of `length` bytes, or CHUNKED or UNTIL_CLOSE; the rest as of ChunkedDecoder."""
    if length == CHUNKED:
        return ChunkedDecoder(fields, size, maxFields, maxSize)
    return UntilCloseDecoder() if length == UNTIL_CLOSE else LengthDecoder(length)


def chunk(data: bytes | memoryview) -> bytes:
    """Return `data` as one chunk; b"" gives b"", since an empty chunk would end the body (RFC 9112, 7.1)."""
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n")) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
