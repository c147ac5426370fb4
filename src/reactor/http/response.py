"""Response: an answer as a value."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any

from reactor.http.grammar import checkName, checkValue
from reactor.http.headers import Headers

Fields = Headers | Mapping[Any, Any] | Iterable[tuple[Any, Any]]
Body = bytes | bytearray | memoryview | Iterable[bytes] | AsyncIterable[bytes]

NO_FIELDS: dict[bytes, list[bytes]] = {}


class Response:
    """The answer to a request: a code, a body, and fields.

    - `code`: the status code, 200 to 599.
    - `body`: bytes, or an iterable or asynchronous iterable of bytes. Pieces are asked for as fast as the peer takes
      them. The length of such a body is its attribute `length`, in bytes, or a Content-Length in `headers`. Without
      either the answer is chunked, with the fields of its attribute `trailers` after the last chunk. The `close()` of
      a body, `aclose()` of a generator, is called whatever happens.
    - `headers`: Headers, a mapping of names to a value, or to a list of values, or pairs. Names and values are bytes or
      ASCII text. ValueError for what no field may have (RFC 9110, 5), and for Transfer-Encoding, which is
      the server's. The server adds Content-Length and Date.

    A Response whose body is bytes may be the answer to any number of requests.
    """

    __slots__ = ("body", "code", "fields")

    def __init__(self, code: int = 200, body: Body = b"", headers: Fields | None = None) -> None:
        if type(code) is not int or not 200 <= code <= 599:
            raise ValueError(f"the code of a response is a number from 200 to 599, not {code!r}")
        if type(body) is not bytes:
            if isinstance(body, str):
                raise TypeError("a response's body is bytes: encode the text")
            if isinstance(body, bytearray | memoryview):
                body = bytes(body)
            elif not hasattr(body, "__aiter__") and not hasattr(body, "__iter__"):
                raise TypeError(f"a response's body is bytes, or an iterable of bytes, not {body!r}")
        self.code = code
        self.body: Any = body
        #: The fields by their names in lower case.
        self.fields = NO_FIELDS
        if headers is not None:
            self._take(headers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.code})"

    def _take(self, headers: Fields) -> None:
        if isinstance(headers, Headers):
            pairs: Iterable[tuple[Any, Any]] = headers.getAllRawHeaders()
        else:
            pairs = headers.items() if isinstance(headers, Mapping) else headers
        fields: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            written = checkName(name)
            values = [checkValue(each) for each in ((value,) if isinstance(value, bytes | str) else value)]
            fields.setdefault(written.lower(), []).extend(values)
        if b"transfer-encoding" in fields:
            raise ValueError("the server decides about Transfer-Encoding")
        length = fields.get(b"content-length")
        size = sizeOf(self.body) if self.body else -1
        if length is not None and (
            len(length) != 1 or not length[0].isdigit() or (size >= 0 and int(length[0]) != size)
        ):
            raise ValueError(f"the body has not the length that the headers announce: {length!r}")
        self.fields = fields


def sizeOf(body: Any) -> int:
    """Return the length of a body in bytes, or -1 if it is not known before its end."""
    if type(body) is bytes:
        return len(body)
    length = getattr(body, "length", None)
    return -1 if length is None else length
