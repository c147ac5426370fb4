"""HTTPClient beyond Twisted's: what it refuses, coroutines as handlers, and a real server."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import ClientCreator, EpollReactor, error
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.http import HTTPClient
from reactor.protocol import Protocol, connectionDone
from reactor.testing import StringTransport, connectedServerAndClient
from tests.support.worlds import turnUntil


class Client(HTTPClient):
    def __init__(self) -> None:
        self.told: list[Any] = []

    def handleStatus(self, version: bytes, status: bytes, message: bytes) -> Any:
        self.told.append(status)

    def handleHeader(self, key: bytes, val: bytes) -> Any:
        self.told.append(key)

    def handleResponse(self, response: bytes) -> Any:
        self.told.append(response)


def connected() -> tuple[Client, StringTransport]:
    client, transport = Client(), StringTransport()
    client.makeConnection(transport)
    return client, transport


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"hello\r\n", []),
        (b"\r\n", []),
        (b"HTTP/1.0 200 OK\r\nserver\r\nA: b\r\n\r\n", [b"200"]),
        (b"HTTP/1.0 200 OK\r\nserver\r\n\r\n", [b"200"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0x5\r\n\r\nhello", [b"200", b"Content-Length"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: +5\r\n\r\nhello", [b"200", b"Content-Length"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5_0\r\n\r\nhello", [b"200", b"Content-Length"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: \r\n\r\nhello", [b"200", b"Content-Length"]),
        (b"HTTP/1.0 200 OK\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\nhello", [b"200", b"Content-Length"]),
    ],
)
def test_brokenAnswers(answer: bytes, told: list[bytes]) -> None:
    """The connection closes at once, and nothing more is told, at its end either."""
    client, transport = connected()
    client.dataReceived(answer)
    assert transport.disconnecting
    client.dataReceived(b"A: b\r\n\r\nbody")
    client.connectionLost()
    assert client.told == told


def test_theLimitsOfAHead() -> None:
    client, transport = connected()
    status = b"HTTP/1.0 200 OK\r\n"
    client.dataReceived(status + b"A: b\r\n" * 100 + b"\r\n")
    assert not transport.disconnecting
    client, transport = connected()
    client.dataReceived(status + b"A: b\r\n" * 101)
    assert transport.disconnecting
    field = b"A: %s\r\n" % (b"b" * (16384 - len(status) - len(b"A: \r\n\r\n")))
    client, transport = connected()
    client.dataReceived(status + field + b"\r\n")
    assert (transport.disconnecting, client.told) == (False, [b"200", b"A"])
    client, transport = connected()
    client.dataReceived(status + field + b"c\r\n")
    assert transport.disconnecting


def test_theReasonOfARefusal() -> None:
    reasons: list[type[BaseException]] = []

    class Noting(Client):
        def connectionLost(self, reason: Failure = connectionDone) -> None:
            reasons.append(reason.type)

    _client, server, pump = connectedServerAndClient(Protocol, Noting)
    server.transport.write(b"hello\r\n")
    pump.flush()
    assert reasons == [error.FramingBroken]


def test_whatIsSent() -> None:
    client, transport = connected()
    client.sendCommand("POST", "/")
    client.sendHeader("X", "grün")
    client.sendHeader(b"Content-Length", 3)
    client.endHeaders()
    assert transport.value() == "POST / HTTP/1.0\r\nX: grün\r\nContent-Length: 3\r\n\r\n".encode()
    for wrong in ((b"GE T", b"/"), (b"GET", b"/a b"), (b"GET", b""), (b"", b"/"), (b"GET", "/ä")):
        with pytest.raises(ValueError, match=r"a method|a request's target"):
            client.sendCommand(*wrong)
    for name, value in ((b"A\r\nB", b"c"), (b"A", b"b\nc"), (b"A", "\0")):
        with pytest.raises(ValueError, match="a header's"):
            client.sendHeader(name, value)
    assert transport.value().endswith(b"3\r\n\r\n")
    with pytest.raises(AttributeError, match=r"sendCommand\(\) needs"):
        Client().sendCommand(b"GET", b"/")


def test_coroutinesAsHandlers() -> None:
    waiting: Deferred[None] = Deferred()

    class Asking(Client):
        async def handleResponse(self, response: bytes) -> None:
            self.told.append("begun")
            await waiting
            self.told.append(response)

        async def handleHeader(self, key: bytes, val: bytes) -> None:
            self.told.append((key, val))

    client = Asking()
    client.makeConnection(StringTransport())
    client.dataReceived(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello")
    client.connectionLost()
    waiting.callback(None)
    assert client.told == [b"200", (b"A", b"b"), "begun", b"hello"]


def test_aHandlersFailureEndsTheConnection(caplog: pytest.LogCaptureFixture) -> None:
    waiting: Deferred[None] = Deferred()

    class Failing(Client):
        async def handleHeader(self, key: bytes, val: bytes) -> None:
            await waiting
            raise RuntimeError("as the test says")

    client, transport = Failing(), StringTransport()
    client.makeConnection(transport)
    client.dataReceived(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello")
    assert not transport.disconnecting
    waiting.callback(None)
    assert transport.disconnected
    assert "as the test says" in caplog.text


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("X-Path", self.path)
        self.end_headers()
        self.wfile.write(body * 1000)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_aRealServer(port: int) -> None:
    class Posting(Client):
        def connectionMade(self) -> None:
            self.sendCommand(b"POST", b"/here")
            self.sendHeader(b"Content-Length", 4)
            self.endHeaders()
            self.transport.write(b"body")

        def handleHeader(self, key: bytes, val: bytes) -> None:
            if key == b"X-Path":
                self.told.append(val)

    reactor = EpollReactor()
    clients: list[Posting] = []
    ClientCreator(reactor, Posting).connectTCP("127.0.0.1", port).addCallback(clients.append)
    turnUntil(reactor, lambda: clients and len(clients[0].told) == 3)
    assert clients[0].told == [b"200", b"/here", b"body" * 1000]
