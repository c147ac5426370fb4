"""Servers for tests of the HTTP client: one in memory whose every byte a test gives, and one that follows a script."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.http.client import Client
from reactor.protocol import Protocol, ServerFactory
from reactor.testing import MemoryReactorClock, StringTransport
from reactor.tlsoptions import optionsForClientTLS
from tests.support.tlsworlds import TRUST, serverOptions
from tests.support.worlds import LOOPBACK, World

URL = "http://server.test/"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Wire(StringTransport):
    """The transport of a connection in memory, which a test speaks for. It ends when the client ends it."""

    protocol: Any
    ended: Callable[[], None]

    def abortConnection(self) -> None:
        super().abortConnection()
        self.aborted = True

    aborted = False

    def says(self, data: bytes) -> None:
        """The server sends `data`."""
        self.protocol.dataReceived(data)

    def asked(self) -> bytes:
        """The bytes that the client has sent since the last call."""
        data = self.value()
        self.clear()
        return data

    def ends(self, reason: Exception | None = None) -> None:
        """The server ends the connection, or the one that the client has ended is over."""
        self.disconnected = True
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class Full(Wire):
    """The transport of a peer that takes nothing, until a test resumes the producer."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        super().registerProducer(producer, streaming)
        assert streaming
        producer.pauseProducing()


class _ReactorWithThreads(MemoryReactorClock):
    def callFromThread(self, call: Any, *arguments: Any) -> None:
        self.callLater(0, call, *arguments)


class MemoryWorld:
    """A reactor in memory, a Client on it, and the connections that it has made."""

    def __init__(self, **options: Any) -> None:
        self.reactor: Any = _ReactorWithThreads()
        self.client = Client(self.reactor, **options)
        self.wires: list[Wire] = []

    def connect(self, kind: type[Wire] = Wire) -> Wire:
        """The oldest attempt to connect succeeds."""
        factory = self.reactor.tcpClients.pop(0)[2]
        wire = kind()
        wire.protocol = factory.buildProtocol(None)
        self.wires.append(wire)
        wire.protocol.makeConnection(wire)
        return wire

    def ask(self, method: str = "GET", url: str = URL, *arguments: Any, **options: Any) -> Asked:
        """Send a request."""
        return Asked(self.client.request(method, url, *arguments, **options))

    def get(self, response: bytes = b"", **options: Any) -> tuple[Asked, Wire]:
        """Send a request on a new connection, and let the server answer."""
        asked = self.ask(**options)
        wire = self.connect()
        if response:
            wire.says(response)
        return asked, wire


class Asked:
    """The outcome of a Deferred: a `result`, or an `error`."""

    def __init__(self, deferred: Deferred[Any]) -> None:
        self.deferred = deferred
        self.result: Any = None
        self.error: Any = None
        deferred.addCallbacks(self._got, self._failed)

    def _got(self, result: Any) -> None:
        self.result = result

    def _failed(self, failure: Failure) -> None:
        self.error = failure.value

    @property
    def isOver(self) -> bool:
        return self.result is not None or self.error is not None

    def body(self, limit: int | None = None) -> Asked:
        """The outcome of the whole body."""
        return Asked(self.result.body.whole(limit))


class Sized(list[bytes]):
    """Pieces that know their length, as the body of a request or a response does."""

    def __init__(self, *pieces: bytes, length: int | None) -> None:
        super().__init__(pieces)
        self.length = length


class Scripted(Protocol):
    """A server's connection: for each request it does the next steps of the script of its factory.

    A step is bytes to send, a function that gets the protocol, or "close" or "reset". A request has come when its head
    is whole, and as many bytes of its body as it says.
    """

    def connectionMade(self) -> None:
        self.received = b""
        self.factory.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, rest = self.received.partition(b"\r\n\r\n")
            size = [int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")]
            if size and len(rest) < size[0]:
                return
            self.received = rest[size[0] :] if size else rest
            self.factory.heads.append(head)
            self.answer()

    def answer(self) -> None:
        script = self.factory.script
        for step in script.pop(0) if len(script) > 1 else script[0]:
            if step == "close":
                self.transport.loseConnection()
            elif step == "reset":
                self.transport.abortConnection()
            elif callable(step):
                step(self)
            else:
                self.transport.write(step)


class ScriptedFactory(ServerFactory[Scripted]):
    protocol = Scripted
    noisy = False

    def __init__(self, script: list[list[Any]]) -> None:
        self.script = script
        self.heads: list[bytes] = []
        self.connections: list[Scripted] = []


class ServerWorld(World):
    """A reactor of any side, with servers on it, plain or with TLS."""

    def __init__(self, side: Any, isTLS: bool = False) -> None:
        super().__init__(side)
        self.isTLS = isTLS
        self.context: Any = None
        if isTLS:
            self.context = optionsForClientTLS(LOOPBACK, TRUST, closeTimeout=0.5)

    def serve(self, *script: list[Any]) -> tuple[str, ScriptedFactory]:
        """Start a server; the last part of its script is for all further requests. Return its URL."""
        return self.serveFactory(factory := ScriptedFactory(list(script))), factory

    def serveFactory(self, factory: Any) -> str:
        """Start a server for `factory`; return its URL."""
        if self.isTLS:
            port = self.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        else:
            port = self.reactor.listenTCP(0, factory, interface=LOOPBACK)
        return f"http{'s' * self.isTLS}://{LOOPBACK}:{port.getHost().port}/"

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine to its end; return its result."""
        done = Asked(Deferred.fromCoroutine(coroutine).addCallback(lambda result: (result,)))
        self.until(lambda: done.isOver)
        if done.error is not None:
            raise done.error
        return done.result[0]
