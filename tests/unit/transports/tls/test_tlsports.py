"""listenSSL and connectSSL on sockets: what factories and connectors are told, crossed wires, deaf peers, renewal."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import re
import socket
import ssl
import termios
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import OpenSSL.SSL
import pytest
import twisted.internet.ssl

import reactor
from reactor import CertificateOptions, LineReceiver, Protocol, error, optionsForClientTLS
from reactor._logger import LOG_BURST
from reactor.endpoints import SSL4ClientEndpoint, SSL4ServerEndpoint, wrapClientTLS, wrapServerTLS
from reactor.policies import WrappingFactory
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tlsports import TLSConnector, TLSFactory
from tests.support.rawtls import peerContext
from tests.support.tlsworlds import CA, HOST, TRUST, TLSWorld, certificatePath, clientOptions, pemOf, serverOptions
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, World, dial, readAll, refusedPort, reset, silentServer

SIDES = [pytest.param(side, id=side.name) for side in LOOPS]


@pytest.fixture(params=SIDES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = TLSWorld(request.param)
    yield world
    world.close()


def ended(factory: Any) -> Any:
    return lambda: factory.trace and factory.trace[-1] == "stop"


def patient() -> CertificateOptions:
    return CertificateOptions(certificatePath())


class TestFactories:
    def test_orderOnBothSides(self, world: World) -> None:
        servers, clients = world.serverFactory(), world.clientFactory()
        port = world.listen(servers)
        connector = world.connect(port, clients)
        assert servers.trace == ["start"]
        assert clients.trace == ["start", ("started", "connecting")]
        world.until(lambda: "made" in servers.trace and "made" in clients.trace)
        assert servers.trace == ["start", "build", "made"]
        assert clients.trace == ["start", ("started", "connecting"), "build", "made"]
        assert connector.state == "connected"
        assert connector.transport is clients.only.transport
        assert isinstance(connector, TLSConnector)
        assert isinstance(clients.only.transport, TLSConnection)
        connector.disconnect()
        world.until(ended(clients))
        lost = [("lost", "ConnectionDone"), ("connectorLost", "disconnected", "ConnectionDone"), "stop"]
        assert clients.trace[4:] == lost
        world.until(lambda: servers.trace[-1] == ("lost", "ConnectionDone"))
        port.stopListening()
        world.until(ended(servers))

    def test_connectAgain(self, world: World) -> None:
        servers, clients = world.serverFactory(), world.clientFactory()
        clients.hooks["connectorLost"] = lambda factory, connector, _: len(factory.built) < 3 and connector.connect()
        connector = world.connect(world.listen(servers), clients)
        for number in range(3):
            world.until(lambda count=number: len(clients.built) > count and clients.built[count].trace == ["made"])
            connector.disconnect()
        world.until(ended(clients))
        assert len(clients.built) == 3
        assert world.reactor.getDelayedCalls() == []

    def test_theServersFactoryBuildsNothing(self, world: World) -> None:
        servers, clients = world.serverFactory(build=lambda *_: None), world.clientFactory()
        world.connect(world.listen(servers), clients)
        world.until(ended(clients))
        assert clients.trace[-3:] == [
            ("lost", "ConnectionDone"),
            ("connectorLost", "disconnected", "ConnectionDone"),
            "stop",
        ]

    def test_theClientsFactoryBuildsNothing(self, world: World) -> None:
        servers, clients = world.serverFactory(), world.clientFactory(build=lambda *_: None)
        world.connect(world.listen(servers), clients)
        world.until(ended(clients))
        assert clients.trace[2:] == ["build", ("connectorLost", "disconnected", "ConnectionDone"), "stop"]
        world.until(lambda: servers.trace[-1] == ("lost", "ConnectionDone"))

    @pytest.mark.parametrize("who", ["server", "client"])
    def test_buildProtocolRaises(self, world: World, caplog: pytest.LogCaptureFixture, who: str) -> None:
        hook: Any = {"build": lambda *_: 1 / 0}
        servers = world.serverFactory(**(hook if who == "server" else {}))
        clients = world.clientFactory(**(hook if who == "client" else {}))
        world.connect(world.listen(servers), clients)
        world.until(ended(clients))
        if who == "client":
            assert clients.trace[2:] == ["build", ("failed", "disconnected", "ConnectError"), "stop"]
        else:
            assert clients.trace[-2] == ("connectorLost", "disconnected", "ConnectionLost")
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [ZeroDivisionError]

    def test_theWrapper(self, world: World) -> None:
        factory = TLSFactory(world.reactor, world.serverFactory(), serverOptions())
        assert factory.logPrefix() == "Server (TLS)"
        factory.wrappedFactory = object()  # type: ignore[assignment]
        assert factory.logPrefix() == "object (TLS)"
        with pytest.raises(ValueError, match="certificate"):
            world.reactor.listenSSL(0, world.serverFactory(), None, interface=LOOPBACK)

    def test_theModuleIsAReactorToo(self) -> None:
        """The functions of the package speak to the current reactor."""
        made: list[Any] = []

        class Greeting(Protocol):
            def connectionMade(self) -> None:
                made.append(self)
                self.transport.loseConnection()

        port = reactor.listenSSL(0, reactor.ServerFactory.forProtocol(Protocol), serverOptions(), interface=LOOPBACK)
        clients = reactor.ClientFactory.forProtocol(Greeting)
        clients.clientConnectionLost = lambda *_: reactor.stop()  # type: ignore[method-assign]
        reactor.connectSSL(LOOPBACK, port.getHost().port, clients, clientOptions())
        reactor.run(installSignalHandlers=False)
        assert len(made) == 1
        reactor.current().close()  # type: ignore[attr-defined]


class TestFailures:
    def failed(self, world: World, clients: Any) -> BaseException:
        reasons: list[Any] = []
        clients.hooks["failed"] = lambda factory, connector, reason: reasons.append(reason.value)
        world.until(ended(clients))
        assert clients.trace[:2] == ["start", ("started", "connecting")]
        assert clients.built == []
        world.until(lambda: not world.reactor.getDelayedCalls())
        (reason,) = reasons
        assert isinstance(reason, BaseException)
        return reason

    def test_refused(self, world: World) -> None:
        clients = world.clientFactory()
        world.reactor.connectSSL(LOOPBACK, refusedPort(), clients, clientOptions())
        assert isinstance(self.failed(world, clients), error.ConnectionRefusedError)

    def test_theKernelsTimeout(self, world: World) -> None:
        with silentServer() as (host, port):
            clients = world.clientFactory()
            world.reactor.connectSSL(host, port, clients, clientOptions(), timeout=0.01)
            assert isinstance(self.failed(world, clients), error.TimeoutError)

    def test_aServerThatSaysNothing(self, world: World) -> None:
        port = world.reactor.listenTCP(0, world.serverFactory(), interface=LOOPBACK)
        clients = world.clientFactory()
        options = optionsForClientTLS(HOST, TRUST, handshakeTimeout=0.05)
        world.reactor.connectSSL(LOOPBACK, port.getHost().port, clients, options)
        assert isinstance(self.failed(world, clients), error.TimeoutError)

    @pytest.mark.parametrize("how", ["lose", "abort", "plain"])
    def test_aServerThatHasNoTLS(self, world: World, how: str) -> None:
        def answer(protocol: Any, _: bytes) -> None:
            if how == "plain":
                protocol.transport.write(b"400 Bad Request\r\n")
            else:
                getattr(protocol.transport, how + "Connection")()

        port = world.reactor.listenTCP(0, world.serverFactory({"data": answer}), interface=LOOPBACK)
        clients = world.clientFactory()
        connector = world.connect(port, clients)
        assert isinstance(self.failed(world, clients), error.SSLError)
        assert connector.state == "disconnected"
        assert connector.transport is None

    def test_stopConnectingDuringTheHandshake(self, world: World) -> None:
        servers = world.serverFactory()
        port = world.reactor.listenTCP(0, servers, interface=LOOPBACK)
        for stop in ("stopConnecting", "disconnect"):
            clients = world.clientFactory()
            connector = world.connect(port, clients)
            world.until(lambda: servers.built and "data" in servers.built[-1].trace)
            assert connector.state == "connecting"
            getattr(connector, stop)()
            assert clients.trace[-2:] == [("failed", "disconnected", "UserError"), "stop"]
            world.until(lambda: servers.built[-1].lost is not None)
            servers.built.clear()
            with pytest.raises(error.NotConnectingError):
                connector.stopConnecting()

    def test_theReactorStopsDuringTheHandshake(self, world: World) -> None:
        servers = world.serverFactory()
        port = world.reactor.listenTCP(0, servers, interface=LOOPBACK)
        clients = world.clientFactory()
        world.connect(port, clients)
        world.until(lambda: servers.built and "data" in servers.built[-1].trace)
        world.reactor.disconnectAll()
        assert clients.trace[-2:] == [("failed", "disconnected", "SSLError"), "stop"]

    def test_noContext(self, world: World) -> None:
        """Asked for the second time, for the connection itself."""
        clients, options = world.clientFactory(), Unreliable(clientOptions())
        port = world.listen(world.serverFactory())
        connector = world.reactor.connectSSL(LOOPBACK, port.getHost().port, clients, options)
        options.broken = True
        assert isinstance(self.failed(world, clients), error.ConnectError)
        assert connector.state == "disconnected"

    def test_noContextOnTheServer(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """That connection is lost, and the port listens on."""
        options = Unreliable(serverOptions())
        servers, clients = world.serverFactory(), world.clientFactory()
        port = world.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
        options.broken = True
        world.connect(port, clients)
        assert isinstance(self.failed(world, clients), error.SSLError)
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [FileNotFoundError]
        options.broken = False
        clients = world.clientFactory()
        world.connect(port, clients)
        world.until(lambda: clients.built)


class TestSendOnly:
    """Clients that write and close, and never read.

    Nothing may wait for them unread, or their kernel resets the connection at close, and drops what it had not sent.
    """

    LINES = 2000

    def test_nothingIsLost(self, world: World) -> None:
        servers = world.serverFactory()
        port = world.listen(servers)
        unread: list[bytes] = []

        def send() -> None:
            context = peerContext(isClient=True)
            client = context.wrap_socket(dial(port), server_hostname=HOST)
            client.sendall(b"".join(b"%066d\n" % number for number in range(self.LINES)))
            unread.append(fcntl.ioctl(client.fileno(), termios.FIONREAD, bytes(4)))
            client.close()

        sending = threading.Thread(target=send)
        sending.start()
        world.until(lambda: servers.built and servers.only.lost)
        sending.join()
        assert unread == [bytes(4)]
        assert servers.only.received.count(b"\n") == self.LINES


class Unreliable:
    """A context factory that fails while it is `broken`."""

    def __init__(self, options: Any) -> None:
        self.options = options
        self.broken = False

    def getContext(self) -> ssl.SSLContext:
        if self.broken:
            raise FileNotFoundError("no such certificate")
        context: ssl.SSLContext = self.options.getContext()
        return context


class Returning:
    """A context factory that returns `context`, or raises it."""

    def __init__(self, context: Any) -> None:
        self.context = context

    def getContext(self) -> Any:
        if isinstance(self.context, Exception):
            raise self.context
        return self.context


PYOPENSSL = "belongs to pyOpenSSL.*CertificateOptions.*optionsForClientTLS.*SSLContext"


class TestWrongContexts:
    """A mistake is found where it is made: listenSSL, connectSSL, startTLS and endpoints ask at once, as in Twisted."""

    WRONG: ClassVar[list[tuple[Callable[[], Any], type[Exception], str]]] = [
        (lambda: OpenSSL.SSL.Context(OpenSSL.SSL.TLS_METHOD), TypeError, PYOPENSSL),
        (lambda: Returning(OpenSSL.SSL.Context(OpenSSL.SSL.TLS_METHOD)), TypeError, PYOPENSSL),
        (lambda: twisted.internet.ssl.CertificateOptions(), TypeError, PYOPENSSL),
        (lambda: twisted.internet.ssl.optionsForClientTLS(HOST), TypeError, PYOPENSSL),
        (lambda: "server.pem", TypeError, "'server.pem' is neither an ssl.SSLContext nor has it getContext"),
        (lambda: CertificateOptions, TypeError, "CertificateOptions is a class, and an object of it is needed"),
        (lambda: Returning(None), TypeError, "getContext.. of .* returned None"),
        (lambda: Returning(LookupError("my own")), LookupError, "my own"),
    ]

    @pytest.mark.parametrize(("make", "kind", "words"), WRONG)
    @pytest.mark.parametrize("isClient", [False, True])
    def test_atOnce(
        self, world: World, make: Callable[[], Any], kind: type[Exception], words: str, isClient: bool
    ) -> None:
        self.check(world, make(), kind, words, isClient)

    @pytest.mark.parametrize("isClient", [False, True])
    def test_contextsOfTheOtherSide(self, world: World, isClient: bool) -> None:
        context = peerContext(not isClient)
        self.check(world, context, ValueError, "for the other side: a .* needs ssl.SSLContext.ssl.PROTOCOL", isClient)

    def check(self, world: World, wrong: Any, kind: type[Exception], words: str, isClient: bool) -> None:
        factory = world.clientFactory() if isClient else world.serverFactory()
        begin = world.reactor.connectSSL if isClient else world.reactor.listenSSL
        with pytest.raises(kind, match=words):
            begin(*((LOOPBACK, 1) if isClient else (0,)), factory, wrong)
        opened: list[Any] = []
        if isClient:
            endpoint = wrapClientTLS(wrong, SimpleNamespace(connect=opened.append))
            failed = [endpoint.connect(factory), SSL4ClientEndpoint(world.reactor, LOOPBACK, 1, wrong).connect(factory)]
        else:
            endpoint = wrapServerTLS(wrong, SimpleNamespace(listen=opened.append))
            failed = [endpoint.listen(factory), SSL4ServerEndpoint(world.reactor, 0, wrong).listen(factory)]
        for deferred in failed:
            failures: list[Any] = []
            deferred.addErrback(failures.append)
            assert failures[0].check(kind)
            assert re.search(words, str(failures[0].value))
        assert (opened, factory.trace, world.reactor.getReaders(), world.reactor.openTransports()) == ([], [], [], [])

    def test_serversNeedAContext(self, world: World) -> None:
        with pytest.raises(ValueError, match="a server needs a context with a certificate"):
            world.reactor.listenSSL(0, world.serverFactory(), None)
        failures: list[Any] = []
        wrapServerTLS(cast("Any", None), None).listen(world.serverFactory()).addErrback(failures.append)
        assert failures[0].check(ValueError)


class TestCrossedWires:
    """Plain bytes, half a hello or silence on a port of TLS, and a ClientHello on a plain port."""

    @pytest.mark.parametrize(
        "words", [b"hello\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x80\x2e\x01\x00\x02" + bytes(65531)]
    )
    @pytest.mark.timing
    def test_plainBytesOnATLSPort(self, world: World, caplog: pytest.LogCaptureFixture, words: bytes) -> None:
        caplog.set_level(logging.INFO, "reactor.tls")
        servers = world.serverFactory()
        port = world.reactor.listenSSL(0, servers, patient(), interface=LOOPBACK)
        with dial(port) as peer:
            peer.sendall(words)
            peer.setblocking(False)
            begin, said = time.monotonic(), b""
            while True:
                world.reactor.iterate(0.01)
                try:
                    piece = peer.recv(1000)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    break
                if not piece:
                    break
                said += piece
            took = time.monotonic() - begin
        assert took < 5.0  # milliseconds, in fact: no deadline, 10 s, may have been waited for
        assert said[:1] in (b"", b"\x15")  # at most an alert
        assert [record.levelname for record in caplog.records if record.name == "reactor.tls"] == ["INFO"]
        assert caplog.records[-1].getMessage().startswith("no TLS with IPv4Address")
        assert servers.built == []

    def test_aClientHelloOnAPlainPort(self, world: World) -> None:
        """It is a line that never ends, or one that nobody understands."""
        lost: list[Any] = []

        class Lines(LineReceiver):
            MAX_LENGTH = 100

            def lineReceived(self, line: bytes) -> None:
                self.transport.loseConnection()

            def connectionLost(self, reason: Any = None) -> None:
                lost.append(reason)

        port = world.reactor.listenTCP(0, reactor.ServerFactory.forProtocol(Lines), interface=LOOPBACK)
        clients = world.clientFactory()
        world.connect(port, clients)
        world.until(ended(clients))
        assert clients.trace[2] == ("failed", "disconnected", "SSLError")
        world.until(lambda: lost)

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_bytesThenTheEnd(self, world: World, caplog: pytest.LogCaptureFixture, how: str) -> None:
        caplog.set_level(logging.INFO, "reactor.tls")
        servers = world.serverFactory()
        options = CertificateOptions(certificatePath(), handshakeTimeout=2 * DEADLINE)
        port = world.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
        peer = dial(port)
        peer.sendall(b"\x16\x03")
        peer.close() if how == "close" else reset(peer)
        world.until(lambda: caplog.records)
        assert servers.built == []

    def test_silenceIsEndedInTime(self, world: World) -> None:
        options = CertificateOptions(certificatePath(), handshakeTimeout=0.05)
        port = world.reactor.listenSSL(0, world.serverFactory(), options, interface=LOOPBACK)
        with dial(port) as silent, dial(port) as half:
            half.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            world.until(lambda: len(world.reactor.getReaders()) == 3)
            world.until(lambda: len(world.reactor.getReaders()) == 1)
            assert readAll(silent) == readAll(half) == b""
            assert world.reactor.getDelayedCalls() == []


def hasEnded(peer: socket.socket) -> bool:
    try:
        return peer.recv(4096) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def test_peersThatSpeakNoTLSFillNoLog(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Each gets a record only up to the limit; the reactor's end tells of how many there was none."""
    caplog.set_level(logging.INFO, "reactor.tls")
    port = world.listen(world.serverFactory())
    for _ in range(LOG_BURST + 3):
        with contextlib.closing(dial(port)) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            peer.setblocking(False)
            world.until(lambda peer=peer: hasEnded(peer))
    told = [record.getMessage() for record in caplog.records if "no TLS with" in record.getMessage()]
    assert len(told) == LOG_BURST
    world.reactor.callLater(0, world.reactor.stop)
    world.reactor.run()
    assert '3 more records were left out like this one: "no TLS with %s: %s"' in caplog.text


class TestDeafPeers:
    """A deaf peer is a plain socket under a TLS of its own."""

    def peer(self, world: World, port: Any, receiveBuffer: int | None = None) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # some builds have it on
        context.load_verify_locations(cadata=TRUST.decode())
        tls = context.wrap_socket(
            dial(port, receiveBuffer=receiveBuffer), server_hostname=HOST, do_handshake_on_connect=False
        )
        tls.setblocking(False)
        while True:
            try:
                tls.do_handshake()
                return tls
            except ssl.SSLWantReadError:
                world.reactor.iterate(0.01)

    @pytest.mark.parametrize("unread", [0, 30_000_000])
    def test_loseConnection(self, world: World, unread: int) -> None:
        options = CertificateOptions(certificatePath(), closeTimeout=0.1)
        servers = world.serverFactory()
        port = world.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
        with self.peer(world, port, receiveBuffer=4096):
            world.until(lambda: servers.built and servers.only.trace == ["made"])
            transport = servers.only.transport
            transport.setOutputLimits(outputLimit=1 << 30)
            transport.write(b"x" * unread)
            transport.loseConnection()
            world.until(lambda: servers.only.lost is not None)
            world.until(lambda: transport.lower.disconnected)
            assert servers.only.trace[-1] == ("lost", "ConnectionLost" if unread else "ConnectionDone")
        assert world.reactor.getDelayedCalls() == []

    def test_unreadInputDoesNotDestroyOutput(self, world: World) -> None:
        """The peer keeps talking while it is sent the last of what it asked for: a close would reset it."""
        servers = world.serverFactory()
        port = world.reactor.listenSSL(0, servers, patient(), interface=LOOPBACK)
        with self.peer(world, port) as peer:
            world.until(lambda: servers.built and servers.only.trace == ["made"])
            servers.only.transport.write(b"x" * 5_000_000)
            servers.only.transport.loseConnection()
            heard = 0
            while True:
                with contextlib.suppress(ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    peer.send(b"y" * 100)
                world.reactor.iterate(0)
                try:
                    piece = peer.recv(65536)
                except ssl.SSLWantReadError:
                    continue
                if not piece:
                    break
                heard += len(piece)
            assert heard == 5_000_000
            peer.setblocking(True)
            peer.shutdown(socket.SHUT_RDWR)
        world.until(lambda: servers.only.lost is not None)
        assert servers.only.trace[-1] == ("lost", "ConnectionDone")


class TestStop:
    """reactor.stop() closes at once, and yet nobody has to take that for a truncation."""

    def end(self, world: World, servers: Any, port: Any) -> Any:
        """Return what the peer of a connection sees when the reactor stops: b"" for close_notify, or an exception."""
        with TestDeafPeers().peer(world, port) as peer:
            peer.suppress_ragged_eofs = False  # type: ignore[attr-defined]
            world.until(lambda: servers.built)
            world.reactor.callLater(0, world.reactor.stop)
            world.reactor.run(installSignalHandlers=False)
            peer.setblocking(True)
            try:
                while peer.recv(1 << 20):
                    pass
            except OSError as error:
                return error
            return b""

    def test_closeNotify(self, world: World) -> None:
        servers = world.serverFactory({"lost": lambda protocol, _: protocol.transport.write(b"too late")})
        assert self.end(world, servers, world.listen(servers)) == b""
        assert servers.only.trace == ["made", ("lost", "ConnectionLost")]

    def test_behindAWrapper(self, world: World) -> None:
        servers = world.serverFactory()
        wrapped = WrappingFactory(TLSFactory(world.reactor, servers, serverOptions()))
        assert self.end(world, servers, world.reactor.listenTCP(0, wrapped, interface=LOOPBACK)) == b""

    def test_whatCouldNotBeSent(self, world: World) -> None:
        servers = world.serverFactory({"made": lambda protocol: protocol.transport.write(b"x" * 30_000_000)})
        assert isinstance(self.end(world, servers, world.listen(servers)), OSError)


def test_renewalUnderLoad(world: World, tmp_path: Any) -> None:
    """Clients connect and talk while the files change, to good and to bad: none fails, none is cut off."""
    path = tmp_path / "server.pem"
    certificates = [pemOf(CA.issue_cert(HOST)) for _ in range(3)]
    path.write_bytes(certificates[0])
    now = [0.0]
    servers = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
    options = CertificateOptions(path, seconds=lambda: now[0], closeTimeout=1.0)
    port = world.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
    clients = world.clientFactory({"made": lambda protocol: protocol.transport.write(b"hello")})
    seen = set()
    for number in range(30):
        if number % 3 == 0:
            path.write_bytes(b"nonsense" * (number + 1) if number % 2 else certificates[number // 3 % 3])
        now[0] += 2
        world.connect(port, clients)
        world.until(lambda count=number: len(clients.built) > count and clients.built[count].received == b"hello")
        seen.add(clients.built[-1].transport.getPeerCertificate())
    for client in clients.built:
        client.transport.write(b" again")
    world.until(lambda: all(client.received == b"hello again" for client in clients.built))
    assert len(seen) == 3
    assert not [event for event in clients.trace if event[0] == "failed"]
