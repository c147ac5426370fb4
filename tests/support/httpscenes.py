"""HTTP servers for tests: one connection in memory whose time the test tells, and the answers that a client reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from reactor.failure import Failure
from reactor.http import HTTPChannel, HTTPFactory
from reactor.protocol import Protocol, connectionDone
from reactor.task import Clock
from reactor.testing import connect, makeFakeClient, makeFakeServer

HOST = b"Host: example\r\n"


def get(path: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """The bytes of a request without a body."""
    return b"%b %b %b\r\n%b%b\r\n" % (method, path, version, HOST, b"".join(each + b"\r\n" for each in fields))


def post(body: bytes, *fields: bytes, path: bytes = b"/") -> bytes:
    """The bytes of a request with a body whose length is announced."""
    return get(path, b"Content-Length: %d" % len(body), *fields, method=b"POST") + body


def chunked(*pieces: bytes, trailers: Iterable[bytes] = (), path: bytes = b"/") -> bytes:
    """The bytes of a request with a chunked body."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    end = b"0\r\n%b\r\n" % b"".join(each + b"\r\n" for each in trailers)
    return get(path, b"Transfer-Encoding: chunked", method=b"POST") + body + end


class Answer(NamedTuple):
    """One answer. `fields` are by lower-case name; `ended` is whether its end is certain."""

    code: int
    fields: dict[bytes, bytes]
    body: bytes
    ended: bool = True

    @property
    def closes(self) -> bool:
        return self.fields.get(b"connection", b"").lower() == b"close"


def answersIn(data: bytes, methods: Sequence[bytes] = ()) -> list[Answer]:
    """The answers in `data`, read strictly. AssertionError for bytes that are none.

    `methods` are those of the first requests; all later ones are GET.
    """
    found: list[Answer] = []
    finals = at = 0
    while at < len(data):
        end = data.find(b"\r\n\r\n", at)
        assert end >= 0, data[at : at + 200]
        status, *lines = data[at:end].split(b"\r\n")
        at = end + 4
        assert status.startswith(b"HTTP/1.1 "), status
        assert status[12:13] == b" ", status
        code = int(status[9:12])
        fields: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b": ")
            assert colon, line
            assert name.lower() not in fields or name.lower() == b"set-cookie", line
            fields[name.lower()] = value
        method = methods[finals] if finals < len(methods) else b"GET"
        finals += code >= 200
        if code < 200 or code in (204, 304) or method == b"HEAD":
            found.append(Answer(code, fields, b""))
        elif b"transfer-encoding" in fields:
            assert b"content-length" not in fields
            body, at, ended = unchunked(data, at)
            found.append(Answer(code, fields, body, ended))
        elif b"content-length" in fields:
            body = data[at : at + int(fields[b"content-length"])]
            at += len(body)
            found.append(Answer(code, fields, body, len(body) == int(fields[b"content-length"])))
        else:
            found.append(Answer(code, fields, data[at:], False))
            break
    return found


def unchunked(data: bytes, at: int = 0) -> tuple[bytes, int, bool]:
    """The content of a chunked body from `at` on, where it ends, and whether its end is there."""
    pieces: list[bytes] = []
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            break
        length = int(data[at:end], 16)
        at = end + 2
        if not length:
            assert data[at : at + 2] == b"\r\n", data[at : at + 80]
            return b"".join(pieces), at + 2, True
        pieces.append(data[at : at + length])
        at += length
        if len(data) < at + 2:
            break
        assert data[at : at + 2] == b"\r\n", data[at : at + 80]
        at += 2
    return b"".join(pieces), len(data), False


class Peer(Protocol):
    """The client's end: it keeps what it gets."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Staying(Peer):
    """A client that keeps its half open when the server ends the other."""

    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


class Scene:
    """A server's channel and a client in memory, with a Clock. `settings` are attributes of the channel."""

    def __init__(
        self,
        handler: Callable[[Any], Any] | None = None,
        factory: HTTPFactory | None = None,
        peer: Peer | None = None,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        if factory is None:
            assert handler is not None
            factory = HTTPFactory.forHandler(handler)
        self.factory = factory
        self.factory.reactor = self.clock
        self.channel: HTTPChannel = self.factory.buildProtocol(None)
        for name, value in settings.items():
            setattr(self.channel, name, value)
        self.peer = peer or Peer()
        server, client = makeFakeServer(self.channel), makeFakeClient(self.peer)
        self.transport = server
        self.pump = connect(self.channel, server, self.peer, client, clock=self.clock)

    def send(self, *pieces: bytes) -> list[Answer]:
        """Send the pieces, each in a read of its own, and return the answers that come."""
        for piece in pieces:
            self.peer.transport.write(piece)
            self.pump.flush()
        return self.take()

    def take(self, *methods: bytes) -> list[Answer]:
        """The answers that have come since the last look; `methods` are those of the requests."""
        self.pump.flush()
        data = bytes(self.peer.received)
        self.peer.received.clear()
        return answersIn(data, methods)

    def ask(self, *pieces: bytes) -> Answer:
        """Send the pieces, and return the one answer that comes."""
        (answer,) = self.send(*pieces)
        return answer

    def advance(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        steps = max(1, round(seconds * 8))
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            self.pump.flush()

    @property
    def isOpen(self) -> bool:
        """Whether the client's end has not been closed."""
        return self.peer.lost is None

    def leave(self) -> None:
        """The client resets the connection."""
        self.peer.transport.abortConnection()
        self.pump.flush()


class Answering:
    """A handler that keeps its requests, so that the test answers them; it gives what `kind` makes for each."""

    def __init__(self, kind: Callable[[Any], Any]) -> None:
        self.kind = kind
        self.requests: list[Any] = []
        self.answers: list[Any] = []

    def __call__(self, request: Any) -> Any:
        self.requests.append(request)
        answer = self.kind(request)
        self.answers.append(answer)
        return answer
