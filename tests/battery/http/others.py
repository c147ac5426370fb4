"""Other projects' parsers of HTTP/1.1, and how each reads a stream: the requests, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import aiohttp.base_protocol
import aiohttp.http_exceptions
import aiohttp.http_parser
import h11
import httptools
import twisted.internet.task
import twisted.internet.testing
import twisted.web.http

from tests.battery.http.cases import Pairs, Seen


class Reading(NamedTuple):
    """The requests in a stream; `end` is one of a Verdict's, and `error` the reason to refuse the rest."""

    requests: tuple[Seen, ...]
    end: str
    error: str = ""


Reader = Callable[[Iterable[bytes]], Reading]


def sortedPairs(fields: Iterable[tuple[bytes, bytes]]) -> Pairs:
    return tuple(sorted(((name.lower(), value) for name, value in fields), key=lambda pair: pair[0]))


def byH11(pieces: Iterable[bytes]) -> Reading:
    connection = h11.Connection(h11.SERVER)
    found: list[Seen] = []
    head: Any = None
    body = b""
    for piece in pieces:
        connection.receive_data(piece)
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                return Reading(tuple(found), "refused", f"{error}")
            if event is h11.NEED_DATA:
                break
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                fields = sortedPairs((bytes(name), bytes(value)) for name, value in head.headers)
                found.append(Seen(bytes(head.method), bytes(head.target), fields, bytes(body)))
                head = None
                connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is h11.MUST_CLOSE:
                    return Reading(tuple(found), "closed")
                connection.start_next_cycle()
            else:
                return Reading(tuple(found), "closed")
    return Reading(tuple(found), "within" if head is not None or connection.trailing_data[0] else "open")


class _ForHttptools:
    """The callbacks that httptools makes."""

    def __init__(self) -> None:
        self.found: list[Seen] = []
        self.parser: Any = None
        self.end = "open"

    def on_message_begin(self) -> None:
        self.url = self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.inHead = True
        self.end = "within"

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.inHead:
            self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.inHead = False

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.end == "closed":
            return
        self.found.append(Seen(self.parser.get_method(), self.url, sortedPairs(self.fields), self.body))
        self.end = "open" if self.parser.should_keep_alive() else "closed"


def byHttptools(pieces: Iterable[bytes]) -> Reading:
    callbacks = _ForHttptools()
    callbacks.parser = parser = httptools.HttpRequestParser(callbacks)
    for piece in pieces:
        try:
            parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            return Reading(tuple(callbacks.found), "closed")
        except httptools.HttpParserError as error:
            return Reading(tuple(callbacks.found), "closed" if callbacks.end == "closed" else "refused", f"{error}")
        if callbacks.end == "closed":
            break
    return Reading(tuple(callbacks.found), callbacks.end)


@contextlib.contextmanager
def aiohttpReader() -> Iterator[Reader]:
    """The parser in Python, which needs an event loop; that never runs."""
    loop = asyncio.new_event_loop()
    protocol = aiohttp.base_protocol.BaseProtocol(loop)
    refusals = (aiohttp.http_exceptions.HttpProcessingError, aiohttp.http_exceptions.PayloadEncodingError, ValueError)

    def read(pieces: Iterable[bytes]) -> Reading:
        """Read byte by byte what is refused: the parser forgets the messages before an error in the same piece."""
        data = b"".join(pieces)
        reading = readOnce([data])
        return readOnce(bytes([each]) for each in data) if reading.end == "refused" else reading

    def readOnce(pieces: Iterable[bytes]) -> Reading:
        parser = aiohttp.http_parser.HttpRequestParserPy(protocol, loop, 1 << 22, auto_decompress=False)
        found: list[Seen] = []
        waiting: list[tuple[Any, Any]] = []
        left = b""

        def take(isTunnel: bool) -> str | None:
            while waiting:
                message, payload = waiting[0]
                if payload.exception() is not None:
                    raise payload.exception()
                if not payload.is_eof() and not isTunnel:
                    return "within"
                del waiting[0]
                body = b"" if isTunnel else payload.read_nowait(-1)
                fields = sortedPairs((bytes(name), value.strip(b" \t")) for name, value in message.raw_headers)
                target = message.path.encode("utf-8", "surrogateescape")
                found.append(Seen(message.method.encode(), target, fields, body))
                if message.should_close:
                    return "closed"
            return None

        end = None
        for piece in pieces:
            try:
                messages, upgraded, left = parser.feed_data(piece)
                waiting += messages
                end = take(upgraded)
            except refusals as error:
                return Reading(tuple(found), "refused", f"{type(error).__name__}: {error}")
            if end == "closed" or upgraded:
                return Reading(tuple(found), "closed")
        return Reading(tuple(found), end or ("within" if left or parser._tail or parser._lines else "open"))

    try:
        yield read
    finally:
        loop.close()


class _TwistedRequest(twisted.web.http.Request):
    def gotLength(self, length: int | None) -> None:
        self.content = io.BytesIO()  # a long body would have a temporary file

    def process(self) -> None:
        request: Any = self
        headers = request.requestHeaders.getAllRawHeaders()
        fields = sortedPairs((name, each) for name, values in headers for each in values)
        request.content.seek(0)
        request.channel.found.append(Seen(request.method, request.uri, fields, request.content.read()))
        request.setHeader(b"Content-Length", b"0")
        request.finish()


def byTwisted(pieces: Iterable[bytes]) -> Reading:
    channel: Any = twisted.web.http.HTTPChannel()
    found: list[Seen] = []
    channel.requestFactory = _TwistedRequest
    channel.callLater = twisted.internet.task.Clock().callLater
    channel.timeOut = None
    channel.factory = channel.site = _Quiet()
    channel.found = found
    transport = twisted.internet.testing.StringTransport(lenient=True)
    channel.makeConnection(transport)
    for piece in pieces:
        try:
            channel.dataReceived(piece)
        except ValueError as error:  # int() takes no more than 4300 digits
            return Reading(tuple(found), "refused", f"{error}")
        if transport.disconnecting:
            refused = transport.value().count(b"HTTP/1.1 4") + transport.value().count(b"HTTP/1.1 5")
            return Reading(tuple(found), "refused" if refused else "closed", "refused" if refused else "")
    return Reading(tuple(found), "within" if len(channel.requests) or channel._buffer else "open")


class _Quiet:
    def log(self, request: Any) -> None:
        """Write no log."""
