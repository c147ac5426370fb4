"""A request on its way out: its head as bytes, checked before anything is sent, and what is known of its body."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, TypeAlias

from reactor.http.grammar import checkMethod, checkTarget, checkValue
from reactor.http.head import CHUNKED, HOST, LONGEST_LENGTH, words
from reactor.http.headers import Headers, canonicalName
from reactor.http.urls import Destination, parseURL

Text: TypeAlias = bytes | str
HeadersLike: TypeAlias = Headers | Mapping[Any, Text | Iterable[Text]] | Iterable[tuple[Text, Text | Iterable[Text]]]
BodyLike: TypeAlias = bytes | bytearray | memoryview | Iterable[bytes] | AsyncIterable[bytes]

AGENT = b"linereactor"
# RFC 9110, 9.2.2. Sent twice, they do what they do when they are sent once.
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"TRACE"))
_WITH_CONTENT = frozenset((b"POST", b"PUT", b"PATCH"))  # a server waits for a length: RFC 9110, 8.6
# A piece of a long body of bytes. Sent at once it would be output that waits without a bound.
REQUEST_STEP = 64 * 1024


class Outgoing:
    """A request, ready to be sent.

    - `head` has everything up to the empty line.
    - `length` is the body's length in bytes, or CHUNKED. `whole` is the body if it leaves together with the head.
    - `body` is the rest, to be sent in pieces, or None: bytes, an iterable, or an asynchronous one.
    - `expects`: the body waits for a 100. `upgrades`: the peer may answer 101. `closes`: no request follows.
    """

    __slots__ = ("body", "closes", "destination", "expects", "head", "length", "method", "upgrades", "whole")

    def __init__(self, method: bytes, destination: Destination) -> None:
        self.method = method
        self.destination = destination
        self.head = b""
        self.whole = b""
        self.body: Any = None
        self.length = 0
        self.expects = self.upgrades = self.closes = False

    @property
    def isIdempotent(self) -> bool:
        """Whether the request may be sent again after a connection that has ended (RFC 9110, 9.2.2)."""
        return self.method in IDEMPOTENT

    @property
    def isReplayable(self) -> bool:
        """Whether the whole of it can be sent a second time."""
        return self.body is None or isinstance(self.body, bytes)


def prepare(method: Text, url: Text, headers: HeadersLike | None, body: BodyLike, closes: bool) -> Outgoing:
    """Return the request. With `closes` it asks for the end of the connection after it.

    ValueError and TypeError for what cannot be sent as it is: see Client.request.
    """
    name = checkMethod(method)
    if name == b"CONNECT":
        raise ValueError("CONNECT is for proxies, and this client speaks to the server itself")
    request = Outgoing(name, parseURL(url))
    fields = _fieldsOf(headers)
    _takeBody(request, body)
    _setFraming(request, fields)
    _setExpectation(request, fields)
    _setConnection(request, fields, closes)
    fields.setdefault(b"User-Agent", [AGENT])
    fields.setdefault(b"Accept-Encoding", [b"identity"])
    host = _onlyOf(fields, b"Host", request.destination.hostField)
    if not HOST.fullmatch(host):
        raise ValueError(f"Host is a host and perhaps a port, not {host!r}")
    target = checkTarget(request.destination.target)
    if name == b"OPTIONS" and target == b"/" and not _hasPath(url):
        target = b"*"  # RFC 9112, 3.2.4
    lines = [b"%b %b HTTP/1.1" % (name, target), b"Host: " + host]
    lines += [b"%b: %b" % (field, value) for field, values in fields.items() for value in values]
    request.head = b"\r\n".join(lines) + b"\r\n\r\n"
    return request


def _hasPath(url: Text) -> bool:
    text = url if isinstance(url, str) else url.decode("ascii")
    return "/" in text.partition("#")[0].partition("://")[2]


def _fieldsOf(headers: HeadersLike | None) -> dict[bytes, list[bytes]]:
    """Return the values of each field by its name, both checked."""
    fields: dict[bytes, list[bytes]] = {}
    if headers is None:
        return fields
    if isinstance(headers, Headers):
        return {name: list(values) for name, values in headers.getAllRawHeaders()}
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    if isinstance(pairs, str | bytes):
        raise TypeError(f"headers are a Headers, a mapping or pairs, not {headers!r}")
    for name, value in pairs:
        isOne = isinstance(value, str | bytes) or not isinstance(value, Iterable)
        values: Iterable[Any] = (value,) if isOne else value
        fields.setdefault(canonicalName(name), []).extend([checkValue(each) for each in values])
    return fields


def _onlyOf(fields: dict[bytes, list[bytes]], name: bytes, default: bytes) -> bytes:
    """Take the field `name` out, and return its value."""
    values = fields.pop(name, [])
    if len(values) > 1:
        raise ValueError(f"{name.decode()} is given {len(values)} times")
    return values[0].strip(b" \t") if values else default


def _takeBody(request: Outgoing, body: Any) -> None:
    if isinstance(body, bytes | bytearray | memoryview):
        data = bytes(body)
        request.length = len(data)
        if len(data) <= REQUEST_STEP:
            request.whole = data
        else:
            request.body = data
    elif isinstance(body, str):
        raise TypeError("a body is bytes, not str: encode it")
    elif hasattr(body, "__aiter__") or hasattr(body, "__iter__"):
        request.body = body
        length = getattr(body, "length", None)
        request.length = length if type(length) is int and length >= 0 else CHUNKED
    else:
        raise TypeError(f"a body is bytes, or an iterable of bytes that may be asynchronous, not {body!r}")


def _setFraming(request: Outgoing, fields: dict[bytes, list[bytes]]) -> None:
    """Decide between Content-Length and chunks (RFC 9112, 6). The program may give the length of an iterable."""
    if b"Transfer-Encoding" in fields:
        raise ValueError("Transfer-Encoding is the client's: give the body as an iterable to have it sent in chunks")
    isGiven = b"Content-Length" in fields
    if isGiven:
        given = _onlyOf(fields, b"Content-Length", b"")
        if not (given.isdigit() and len(given) <= LONGEST_LENGTH):
            raise ValueError(f"Content-Length is a number of bytes, not {given!r}")
        if request.length == CHUNKED:
            request.length = int(given)
        elif request.length != int(given):
            raise ValueError(f"Content-Length is {int(given)}, and the body has {request.length} bytes")
    if request.length == CHUNKED:
        fields[b"Transfer-Encoding"] = [b"chunked"]
    elif request.length or isGiven or request.body is not None or request.method in _WITH_CONTENT:
        fields[b"Content-Length"] = [b"%d" % request.length]


def _setExpectation(request: Outgoing, fields: dict[bytes, list[bytes]]) -> None:
    values = fields.get(b"Expect")
    if not values:
        return
    if [value.strip(b" \t").lower() for value in values] != [b"100-continue"]:
        raise ValueError("the only expectation of RFC 9110 is 100-continue")
    if request.body is None and not request.whole:
        raise ValueError("a request without a body has none to hold back: it expects no 100-continue")
    if request.whole:
        request.body, request.whole = request.whole, b""
    request.expects = True


def _setConnection(request: Outgoing, fields: dict[bytes, list[bytes]], closes: bool) -> None:
    options = words(b",".join(fields.get(b"Connection", ())))
    request.upgrades = b"upgrade" in options and bool(fields.get(b"Upgrade"))
    if closes and b"close" not in options and not request.upgrades:
        fields[b"Connection"] = [*fields.get(b"Connection", ()), b"close"]
    request.closes = closes or b"close" in options
