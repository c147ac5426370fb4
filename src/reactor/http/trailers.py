"""Trailers on their way out: the fields after a chunked body (RFC 9112, 7.1.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from reactor.http.bodies import LAST_CHUNK
from reactor.http.head import NOT_IN_TRAILERS
from reactor.http.headers import Headers


def lastChunk(trailers: Headers | Mapping[Any, Any] | Iterable[tuple[Any, Any]] | None) -> bytes:
    """Return the end of a chunked body, with these fields: Headers, a mapping of names to values, or pairs.

    ValueError for fields that would decide about the message, for example Content-Length (RFC 9110, 6.5.1).
    """
    if not isinstance(trailers, Headers):
        if not trailers:
            return LAST_CHUNK
        pairs = trailers.items() if isinstance(trailers, Mapping) else trailers
        trailers = Headers()
        for name, value in pairs:
            trailers.addRawHeader(name, value)
    for name, _ in trailers.getAllRawHeaders():
        if name.lower() in NOT_IN_TRAILERS:
            raise ValueError(f"{name.decode()} is no trailer")
    return b"0\r\n%b\r\n" % trailers.asLines()
