"""Servers behind a balancer: who is believed, what comes behind a header, and that nothing is in the way after it."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf
from typing import Any

import pytest

from reactor.address import IPv4Address, IPv6Address, UNIXAddress
from reactor.endpoints import TCP4ServerEndpoint
from reactor.error import ConnectionUnwanted
from reactor.haproxy import HAProxyWrappingFactory, encodeV1, encodeV2, proxyEndpoint
from reactor.haproxy.header import ALPN, AUTHORITY
from reactor.linereceiver import LineReceiver
from reactor.policies import LimitConnectionsByPeer, WrappingFactory
from reactor.protocol import Protocol, ServerFactory
from reactor.protocol.standins import StandIn, standBefore
from reactor.service.server import Server
from reactor.service.watch import handshaking
from reactor.testing import StringTransport
from reactor.transports.tcp import TCPConnection
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tlsports import TLSFactory
from tests.support.tlsworlds import CLOSE_TIMEOUT, HOST, TRUST, serverOptions
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, UNIXWorld, World, dial, readAll

CLIENT, SERVER = IPv4Address("TCP", "192.0.2.1", 56324), IPv4Address("TCP", "198.51.100.7", 443)
CLIENT6, SERVER6 = IPv6Address("TCP", "2001:db8::1", 1), IPv6Address("TCP", "2001:db8::2", 2)
TEXT, BINARY = encodeV1(CLIENT, SERVER), encodeV2(CLIENT, SERVER)
HEADERS = {"v1": TEXT, "v2": encodeV2(CLIENT, SERVER, [(ALPN, b"x"), (AUTHORITY, b"example.org")], checksum=True)}

assert CLOSE_TIMEOUT  # of serverOptions: the ends of both sides are in one thread


class Seen(LineReceiver):
    """Notes what it sees at each step."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.lost: Any = None

    def connectionMade(self) -> None:
        self.atStart = (self.transport.getPeer(), self.transport.getHost(), self.transport.proxyHeader)

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.sendLine(line.upper())

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class Kept(ServerFactory[Any]):
    """Keeps its protocols, and the addresses with which they were built."""

    noisy = False

    def __init__(self, protocol: Callable[[], Any] = Seen) -> None:
        self.made: list[Any] = []
        self.addresses: list[Any] = []
        self.make = protocol

    def buildProtocol(self, addr: Any) -> Any:
        self.addresses.append(addr)
        self.made.append(self.make())
        return self.made[-1]


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


@pytest.fixture
def tcp() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def unix() -> Iterator[UNIXWorld]:
    world = UNIXWorld()
    yield world
    world.close()


def serve(world: World, factory: Any, **settings: Any) -> tuple[Any, HAProxyWrappingFactory]:
    wrapping = HAProxyWrappingFactory(factory, **settings)
    return world.listen(wrapping), wrapping


def sent(world: World, port: Any, *pieces: bytes) -> socket.socket:
    """A client that sends `pieces`; the server has a turn after each."""
    peer = dial(port)
    for piece in pieces:
        peer.sendall(piece)
        world.reactor.iterate(0.001)
    return peer


def isReset(world: World, peer: socket.socket) -> bool:
    """Whether the server resets the connection of `peer`. It fails if the server sends anything, or does nothing."""
    peer.setblocking(False)
    found: list[object] = []

    def look() -> bool:
        try:
            found.append(peer.recv(1000))
        except BlockingIOError:
            return False
        except ConnectionResetError:
            found.append("reset")
        return True

    world.until(look)
    peer.close()
    assert found[0] in (b"", "reset")
    return found[0] == "reset"


class TestTrusted:
    @pytest.mark.parametrize("name", HEADERS)
    def test_whoTheClientIs(self, world: World, name: str) -> None:
        """The addresses are right from buildProtocol on, and the bytes behind the header are the protocol's."""
        factory = Kept()
        port, wrapping = serve(world, factory)
        peer = sent(world, port, HEADERS[name] + b"one\ntwo\nthr")
        world.until(lambda: factory.made and len(factory.made[0].lines) == 2)
        peer.sendall(b"ee\n")
        (protocol,) = factory.made
        world.until(lambda: len(protocol.lines) == 3)
        assert protocol.lines == [b"one", b"two", b"three"]
        assert factory.addresses == [CLIENT]
        assert protocol.atStart[:2] == (CLIENT, SERVER)
        assert protocol.atStart[2].raw == HEADERS[name]
        if name == "v2":
            assert (protocol.atStart[2].authority, protocol.transport.proxyHeader.alpn) == ("example.org", b"x")
        peer.shutdown(socket.SHUT_WR)
        world.until(lambda: protocol.lost)
        assert (protocol.transport.getPeer(), protocol.transport.getHost()) == (CLIENT, SERVER)
        assert readAll(peer) == b"ONE\nTWO\nTHREE\n"
        assert set(wrapping.refused.values()) == {0}
        peer.close()

    @pytest.mark.parametrize("name", HEADERS)
    def test_byteByByte(self, tcp: World, name: str) -> None:
        factory = Kept()
        port, _ = serve(tcp, factory)
        data = HEADERS[name] + b"one\n"
        peer = sent(tcp, port, *[data[number : number + 1] for number in range(len(data))])
        tcp.until(lambda: factory.made and factory.made[0].lines == [b"one"])
        peer.close()

    @pytest.mark.parametrize("header", [encodeV2(local=True), encodeV2(), encodeV1()])
    def test_realAddressesWithoutOthers(self, tcp: World, header: bytes) -> None:
        factory = Kept()
        port, _ = serve(tcp, factory)
        with sent(tcp, port, header + b"one\n") as peer:
            tcp.until(lambda: factory.made and factory.made[0].lines)
            own = IPv4Address("TCP", *peer.getsockname())
        (protocol,) = factory.made
        assert protocol.atStart[:2] == (own, port.getHost())
        assert protocol.atStart[2] is not None
        assert factory.addresses == [own]

    def test_otherFamilies(self, tcp: World) -> None:
        factory = Kept()
        port, _ = serve(tcp, factory)
        pairs: list[tuple[Any, Any]] = [(CLIENT6, SERVER6), (UNIXAddress("/a"), UNIXAddress("/b"))]
        for number, (source, destination) in enumerate(pairs):
            with sent(tcp, port, encodeV2(source, destination) + b"\n"):
                tcp.until(lambda number=number: len(factory.made) > number)
                assert factory.made[number].atStart[:2] == (source, destination)

    def test_secondHeaderIsPayload(self, tcp: World) -> None:
        factory = Kept()
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + encodeV1(CLIENT6, SERVER6)):
            tcp.until(lambda: factory.made and factory.made[0].lines)
        assert factory.made[0].lines == [encodeV1(CLIENT6, SERVER6)[:-1]]
        assert factory.made[0].atStart[0] == CLIENT

    def test_overUNIX(self, unix: UNIXWorld) -> None:
        factory = Kept()
        port, _ = serve(unix, factory)
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(port.getHost().name)
            peer.sendall(TEXT + b"one\n")
            unix.until(lambda: factory.made and factory.made[0].lines)
        assert factory.made[0].atStart[:2] == (CLIENT, SERVER)

    def test_endAtOnce(self, tcp: World) -> None:
        """The header, the data and the end of the stream are there before the first read."""
        factory = Kept()
        port, wrapping = serve(tcp, factory)
        with dial(port) as peer:
            peer.sendall(TEXT + b"one\n")
            peer.shutdown(socket.SHUT_WR)
            tcp.until(lambda: factory.made and factory.made[0].lost)
            assert readAll(peer) == b"ONE\n"
        assert wrapping.refused["unfinished"] == 0


class TestRefused:
    @pytest.mark.parametrize("data", [b"", TEXT + b"one\n", BINARY, b"GET / HTTP/1.0\r\n\r\n"])
    def test_untrusted(self, world: World, data: bytes) -> None:
        """No byte of it is looked at, and it costs no call of the program's factory."""
        factory = Kept()
        port, wrapping = serve(world, factory, trusted=["10.0.0.0/8", "unix"])
        peer = dial(port)
        peer.sendall(data)
        assert isReset(world, peer)
        assert factory.made == []
        assert wrapping.refused == {"untrusted": 1, "invalid": 0, "timeout": 0, "unfinished": 0}

    @pytest.mark.parametrize(
        "data", [b"one\n", b"\x16\x03\x01", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY " + b"x" * 101, BINARY[:12] + b"\x31"]
    )
    def test_noHeader(self, world: World, data: bytes) -> None:
        factory = Kept()
        port, wrapping = serve(world, factory)
        assert isReset(world, sent(world, port, data))
        assert factory.made == []
        assert wrapping.refused["invalid"] == 1

    @pytest.mark.parametrize("data", [b"", b"P", BINARY[:-1]])
    def test_theDeadline(self, world: World, data: bytes) -> None:
        factory = Kept()
        port, wrapping = serve(world, factory, headerTimeout=0.05)
        assert isReset(world, sent(world, port, data))
        assert factory.made == []
        assert wrapping.refused["timeout"] == 1

    def test_aTrickleGainsNoTime(self, tcp: World) -> None:
        factory = Kept()
        port, wrapping = serve(tcp, factory, headerTimeout=0.1)
        peer = dial(port)
        trickle = iter(BINARY)

        def drip() -> bool:
            if not wrapping.refused["timeout"]:
                peer.sendall(bytes([next(trickle)]))
                tcp.reactor.iterate(0.01)
            return bool(wrapping.refused["timeout"])

        tcp.until(drip)
        peer.close()
        assert factory.made == []

    @pytest.mark.parametrize("data", [b"", b"PROXY "])
    def test_anEndBeforeTheHeader(self, tcp: World, data: bytes) -> None:
        """Health checks that only connect: nothing is built, nothing fails, and the deadline is called off."""
        factory = Kept()
        port, wrapping = serve(tcp, factory)
        sent(tcp, port, data).close()
        tcp.until(lambda: wrapping.refused["unfinished"])
        assert factory.made == []
        assert tcp.reactor.getDelayedCalls() == []

    def test_aDrainWaitsForHeaders(self, tcp: World) -> None:
        """The end in order goes on a little for a peer whose header is on its way, as for a TLS handshake."""
        factory = Kept()
        port, _ = serve(tcp, factory)
        assert not handshaking(tcp.reactor)
        with sent(tcp, port, TEXT[:9]) as peer:
            tcp.until(lambda: handshaking(tcp.reactor))
            peer.sendall(TEXT[9:])
            tcp.until(lambda: factory.made)
            assert not handshaking(tcp.reactor)
            secure = tcp.listen(TLSFactory(tcp.reactor, HAProxyWrappingFactory(factory), serverOptions()))
            with dial(secure) as other:
                talk = shelter(tcp, other)
                assert handshaking(tcp.reactor)
                assert talk(BINARY + b"one\n") == b"ONE\n"
                assert not handshaking(tcp.reactor)

    def test_theReactorStopsBeforeTheHeader(self, world: World) -> None:
        port, wrapping = serve(world, Kept())
        with sent(world, port, b"PROXY "):
            world.until(lambda: len(world.reactor.getDelayedCalls()) == 1)
            world.reactor.disconnectAll()
        assert wrapping.refused["unfinished"] == 1
        assert world.reactor.getDelayedCalls() == []

    def test_aHeaderBeyondTheLimit(self, tcp: World) -> None:
        factory = Kept()
        port, wrapping = serve(tcp, factory, maxHeaderLength=len(BINARY))
        assert isReset(tcp, sent(tcp, port, HEADERS["v2"]))
        with sent(tcp, port, BINARY + b"one\n"):
            tcp.until(lambda: factory.made and factory.made[0].lines)
        assert wrapping.refused["invalid"] == 1

    def test_otherVersions(self, tcp: World) -> None:
        port, _ = serve(tcp, Kept(), versions=[2])
        assert isReset(tcp, sent(tcp, port, TEXT))

    def test_aFloodHasFewRecords(self, tcp: World, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "reactor.haproxy")
        _, wrapping = serve(tcp, Kept(), trusted=["10.0.0.0/8"])
        for _ in range(1234):
            wrapping.buildProtocol(CLIENT)
        assert wrapping.refused["untrusted"] == 1234
        assert [record.getMessage().split(";")[0] for record in caplog.records] == [
            f"PROXY protocol: {number} refused as untrusted" for number in (1, 10, 100, 1000)
        ]

    def test_whatIsNoSetting(self) -> None:
        wrong: list[tuple[dict[str, Any], type[Exception]]] = [
            ({"trusted": ["10.0.0.1/8"]}, ValueError),
            ({"trusted": ["example.org"]}, ValueError),
            ({"trusted": "10.0.0.0/8"}, TypeError),
            ({"versions": [3]}, ValueError),
            ({"versions": []}, ValueError),
            ({"headerTimeout": "long"}, TypeError),
            ({"headerTimeout": 0}, ValueError),
            ({"headerTimeout": inf}, ValueError),
            ({"maxHeaderLength": "long"}, TypeError),
        ]
        for settings, error in wrong:
            with pytest.raises(error):
                HAProxyWrappingFactory(Kept(), **settings)
        for settings, text in (({"trusted": ["10.0.0.1/8"]}, "host bits"), ({"versions": [0]}, "are 1 and 2")):
            with pytest.raises(ValueError, match=text):
                proxyEndpoint(None, **settings)


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", IPv4Address("TCP", "10.255.0.1", 1), IPv4Address("TCP", "11.0.0.1", 1)),
        ("10.0.0.0/8", IPv6Address("TCP", "::ffff:10.0.0.1", 1), IPv6Address("TCP", "::10.0.0.1", 1)),
        ("fe80::/10", IPv6Address("TCP", "fe80::1%eth0", 1), CLIENT6),
        ("192.0.2.1", CLIENT, SERVER),
        ("unix", UNIXAddress(None), CLIENT),
        ("0.0.0.0/0", CLIENT, UNIXAddress(None)),
        ("0.0.0.0/0", CLIENT, None),
    ],
)
def test_networks(network: str, inside: Any, outside: Any) -> None:
    wrapping = HAProxyWrappingFactory(Kept(), [network])
    assert inside in wrapping.trusted
    assert outside not in wrapping.trusted


class TestBehindTheHeader:
    def test_nothingIsInTheWay(self, tcp: World) -> None:
        """The transport is the socket's own, and calls the protocol itself: a line costs what it always does."""
        factory = Kept()
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT):
            tcp.until(lambda: factory.made)
            (protocol,) = factory.made
            assert type(protocol.transport) is TCPConnection
            assert protocol.transport.protocol is protocol
        tcp.until(lambda: protocol.lost)
        assert tcp.reactor.getDelayedCalls() == []

    def test_pausedInConnectionMade(self, world: World) -> None:
        """Data that came with the header waits until the protocol resumes, and keeps its place."""

        class Paused(Seen):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()

        factory = Kept(Paused)
        port, _ = serve(world, factory)
        peer = sent(world, port, TEXT + b"one\n")
        world.until(lambda: factory.made)
        peer.sendall(b"two\n")
        (protocol,) = factory.made
        for _ in range(5):
            world.reactor.iterate(0.001)
        assert protocol.lines == []
        protocol.transport.resumeProducing()
        protocol.transport.pauseProducing()
        for _ in range(5):
            world.reactor.iterate(0.001)
        assert protocol.lines == []
        protocol.transport.resumeProducing()
        protocol.transport.resumeProducing()
        world.until(lambda: len(protocol.lines) == 2)
        assert protocol.lines == [b"one", b"two"]
        peer.shutdown(socket.SHUT_WR)
        world.until(lambda: protocol.lost)
        assert readAll(peer) == b"ONE\nTWO\n"
        peer.close()

    @pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
    def test_closedWhilePaused(self, tcp: World, how: str) -> None:
        class Paused(Seen):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()

        factory = Kept(Paused)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"one\n"):
            tcp.until(lambda: factory.made)
            (protocol,) = factory.made
            protocol.transport.resumeProducing()
            getattr(protocol.transport, how)()
            tcp.until(lambda: protocol.lost)
        assert protocol.lines == []
        assert tcp.reactor.getDelayedCalls() == []

    @pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
    def test_closedInConnectionMade(self, tcp: World, how: str) -> None:
        class Closing(Seen):
            def connectionMade(self) -> None:
                self.transport.write(b"bye")
                getattr(self.transport, how)()

        factory = Kept(Closing)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"one\n"):
            tcp.until(lambda: factory.made and factory.made[0].lost)
        assert factory.made[0].lines == []

    @pytest.mark.parametrize("where", ["connectionMade", "lineReceived"])
    def test_exceptionsEndTheConnection(self, tcp: World, caplog: pytest.LogCaptureFixture, where: str) -> None:
        class Failing(Seen):
            pass

        def fail(self: Any, *_: Any) -> None:
            raise ZeroDivisionError

        setattr(Failing, where, fail)
        factory = Kept(Failing)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"one\n"):
            tcp.until(lambda: factory.made and factory.made[0].lost)
        assert factory.made[0].lost.check(ZeroDivisionError)
        assert "ZeroDivisionError" in caplog.text

    def test_lateExceptions(self, tcp: World, caplog: pytest.LogCaptureFixture) -> None:
        """One that is raised by data that has waited."""

        class Failing(Seen):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()

            def lineReceived(self, line: bytes) -> None:
                raise ZeroDivisionError

        factory = Kept(Failing)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"one\n"):
            tcp.until(lambda: factory.made)
            factory.made[0].transport.resumeProducing()
            tcp.until(lambda: factory.made[0].lost)
        assert factory.made[0].lost.check(ZeroDivisionError)
        assert "ZeroDivisionError" in caplog.text

    def test_coroutines(self, tcp: World) -> None:
        class Slow(Seen):
            async def connectionMade(self) -> None:  # type: ignore[override]
                self.transport.write(b"hello\n")

            async def lineReceived(self, line: bytes) -> None:  # type: ignore[override]
                self.lines.append(line)

        factory = Kept(Slow)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"one\ntwo\n") as peer:
            tcp.until(lambda: factory.made and len(factory.made[0].lines) == 2)
            assert peer.recv(100) == b"hello\n"

    def test_noProtocol(self, tcp: World) -> None:
        """The program's factory wants no such client: it is closed, and counted, as without PROXY."""
        factory = Kept()
        port, _ = serve(tcp, LimitConnectionsByPeer(factory))
        peers = [sent(tcp, port, encodeV1(CLIENT, SERVER) + b"one\n") for _ in range(5)]
        tcp.until(lambda: len(factory.made) == 5)
        with sent(tcp, port, encodeV1(CLIENT, SERVER)) as last:
            tcp.until(lambda: tcp.reactor.closeCounts[ConnectionUnwanted])
            assert readAll(last) == b""
        with sent(tcp, port, encodeV2(CLIENT6, SERVER6)):  # another client, by the same balancer
            tcp.until(lambda: len(factory.made) == 6)
        for peer in peers:
            peer.close()

    def test_aFactoryThatRaises(self, tcp: World, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> Any:
            raise ZeroDivisionError

        port, wrapping = serve(tcp, Kept(fail))
        with sent(tcp, port, TEXT) as peer:
            tcp.until(lambda: "ZeroDivisionError" in caplog.text)
            assert readAll(peer) == b""
        assert set(wrapping.refused.values()) == {0}

    def test_halves(self, tcp: World) -> None:
        class Halves(Seen):
            ended = False

            def readConnectionLost(self) -> None:
                self.ended = True
                self.sendLine(b"end")
                self.transport.loseConnection()

            def writeConnectionLost(self) -> None:
                pass

        factory = Kept(Halves)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT) as peer:
            peer.shutdown(socket.SHUT_WR)
            tcp.until(lambda: factory.made and factory.made[0].ended)
            tcp.until(lambda: factory.made[0].lost)
            assert readAll(peer) == b"end\n"

    @pytest.mark.parametrize("outside", [True, False])
    def test_policies(self, tcp: World, outside: bool) -> None:
        """A policy around the factory sees clients; one around this factory stays in the path, and sees the header."""
        factory = Kept()
        wrapped: Any = HAProxyWrappingFactory(factory if outside else WrappingFactory(factory))
        port = tcp.listen(WrappingFactory(wrapped) if outside else wrapped)
        with sent(tcp, port, TEXT + b"one\n") as peer:
            tcp.until(lambda: factory.made and factory.made[0].lines)
            peer.sendall(b"two\n")
            (protocol,) = factory.made
            tcp.until(lambda: len(protocol.lines) == 2)
            assert protocol.atStart[:2] == (CLIENT, SERVER)
            assert protocol.transport.proxyHeader.raw == TEXT
        tcp.until(lambda: protocol.lost)

    def test_outerPolicyAndPause(self, tcp: World) -> None:
        class Paused(Seen):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()

        factory = Kept(Paused)
        port = tcp.listen(WrappingFactory(HAProxyWrappingFactory(factory)))
        with sent(tcp, port, TEXT + b"one\n"):
            tcp.until(lambda: factory.made)
            (protocol,) = factory.made
            tcp.reactor.iterate(0.001)
            assert protocol.lines == []
            protocol.transport.resumeProducing()
            tcp.until(lambda: protocol.lines == [b"one"])
        tcp.until(lambda: protocol.lost)

    def test_standIns(self, tcp: World) -> None:
        """An object that came before the reader meanwhile stays, as the command's counter of reads does."""

        class Watching(StandIn):
            reads = 0

            def dataReceived(self, data: bytes) -> Any:
                self.reads += 1
                return self.wrappedProtocol.dataReceived(data)

        factory, watching = Kept(), Watching()
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT[:10]) as peer:
            tcp.until(lambda: len(tcp.reactor.openTransports()) == 2)
            (connection,) = [each for each in tcp.reactor.openTransports() if hasattr(each, "protocol")]
            standBefore(watching, connection)
            peer.sendall(TEXT[10:] + b"one\n")
            tcp.until(lambda: factory.made and factory.made[0].lines)
            assert watching.wrappedProtocol is factory.made[0]
            assert watching.reads == 2  # the header's, and what came behind it
        tcp.until(lambda: factory.made[0].lost)

    def test_otherTransports(self, tcp: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A transport of another package keeps a wrapper, whose addresses are the header's."""
        monkeypatch.setattr("reactor._current._default", tcp.reactor)  # the deadline's
        factory = Kept()
        reader = HAProxyWrappingFactory(factory).buildProtocol(UNIXAddress(None))
        transport = StringTransport()
        reader.makeConnection(transport)
        reader.dataReceived(TEXT[:7])
        reader.dataReceived(TEXT[7:] + b"one\n")
        reader.dataReceived(b"two\n")
        (protocol,) = factory.made
        assert protocol.lines == [b"one", b"two"]
        assert protocol.atStart[:2] == (CLIENT, SERVER)
        assert transport.value() == b"ONE\nTWO\n"
        reader.connectionLost()
        assert protocol.lost is not None
        assert tcp.reactor.getDelayedCalls() == []
        late = HAProxyWrappingFactory(factory, headerTimeout=0.01).buildProtocol(UNIXAddress(None))
        late.makeConnection(transport)
        tcp.until(lambda: transport.disconnecting)
        local = HAProxyWrappingFactory(factory).buildProtocol(UNIXAddress(None))
        local.makeConnection(StringTransport(peerAddress=CLIENT6, hostAddress=SERVER6))
        local.dataReceived(encodeV1())
        assert factory.made[1].atStart[:2] == (CLIENT6, SERVER6)


def shelter(world: World, peer: socket.socket, before: bytes = b"") -> Callable[[bytes], bytes]:
    """TLS for a client whose server is in the same thread: returns a function that sends and receives.

    `before` goes out with the first bytes of the handshake.
    """
    context = ssl.create_default_context(cadata=TRUST.decode())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    secure = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    peer.setblocking(False)
    held = [before]

    def turn(step: Callable[[], Any]) -> Any:
        found: list[Any] = []

        def one() -> bool:
            with suppress(ssl.SSLWantReadError):
                found.append(step())
            if data := held.pop() + outgoing.read():
                peer.sendall(data)
            held.append(b"")
            with suppress(BlockingIOError):
                incoming.write(peer.recv(65536))
            return bool(found)

        world.until(one)
        return found[0]

    def talk(data: bytes) -> bytes:
        secure.write(data)
        answer: bytes = turn(lambda: secure.read(1000))
        return answer

    turn(secure.do_handshake)
    return talk


class TestTLS:
    def test_headerBeforeTLS(self, world: World) -> None:
        """Balancers send the header in plain, and TLS behind it; here both are in one packet."""
        factory = Kept()
        port, _ = serve(world, TLSFactory(world.reactor, factory, serverOptions()))
        with dial(port) as peer:
            talk = shelter(world, peer, BINARY)
            assert talk(b"one\n") == b"ONE\n"
            (protocol,) = factory.made
            assert type(protocol.transport) is TLSConnection
            assert protocol.atStart[:2] == (CLIENT, SERVER)
            assert protocol.transport.proxyHeader.raw == BINARY
            assert factory.addresses == [CLIENT]

    def test_headerInsideTLS(self, world: World) -> None:
        factory = Kept()
        wrapping = HAProxyWrappingFactory(factory)
        port = world.listen(TLSFactory(world.reactor, wrapping, serverOptions()))
        with dial(port) as peer:
            talk = shelter(world, peer)
            assert talk(BINARY + b"one\n") == b"ONE\n"
            (protocol,) = factory.made
            assert protocol.atStart[:2] == (CLIENT, SERVER)
            assert protocol.transport.protocol is protocol

    def test_pausedInsideTLS(self, tcp: World) -> None:
        class Paused(Seen):
            def connectionMade(self) -> None:
                self.transport.pauseProducing()
                tcp.reactor.callLater(0.02, self.resume)

            def resume(self) -> None:
                self.early = list(self.lines)
                self.transport.resumeProducing()

        factory = Kept(Paused)
        port = tcp.listen(TLSFactory(tcp.reactor, HAProxyWrappingFactory(factory), serverOptions()))
        with dial(port) as peer:
            talk = shelter(tcp, peer)
            assert talk(BINARY + b"one\n") == b"ONE\n"
        assert factory.made[0].early == []

    def test_headerInPlainWhereTLSIsDue(self, tcp: World) -> None:
        """Neither order is taken for the other."""
        factory = Kept()
        port = tcp.listen(TLSFactory(tcp.reactor, HAProxyWrappingFactory(factory), serverOptions()))
        with sent(tcp, port, BINARY) as peer:
            peer.settimeout(DEADLINE)
            tcp.until(lambda: not [each for each in tcp.reactor.openTransports() if hasattr(each, "protocol")])
        assert factory.made == []

    def test_startTLSInConnectionMade(self, world: World) -> None:
        """The bytes behind the header are the client's handshake, not plain data of the protocol."""

        class Starting(Seen):
            def connectionMade(self) -> None:
                super().connectionMade()
                self.transport.startTLS(serverOptions())

        factory = Kept(Starting)
        port, _ = serve(world, factory)
        with dial(port) as peer:
            talk = shelter(world, peer, BINARY)
            assert talk(b"one\n") == b"ONE\n"
            (protocol,) = factory.made
            assert protocol.transport.getPeer() == CLIENT
            assert protocol.lines == [b"one"]

    @pytest.mark.parametrize("pause", [False, True])
    def test_noPlainBytesCountAsTLS(self, tcp: World, pause: bool, caplog: pytest.LogCaptureFixture) -> None:
        """Plain data behind the header, where the protocol goes on with TLS, ends the connection (CVE-2011-0411)."""

        class Starting(Seen):
            def connectionMade(self) -> None:
                if pause:
                    self.transport.pauseProducing()
                    tcp.reactor.callLater(0, self.begin)
                else:
                    self.begin()

            def begin(self) -> None:
                self.transport.startTLS(serverOptions())
                self.transport.resumeProducing()

        factory = Kept(Starting)
        port, _ = serve(tcp, factory)
        with sent(tcp, port, TEXT + b"evil\n"):
            tcp.until(lambda: factory.made and factory.made[0].lost)
        assert factory.made[0].lines == []
        assert type(factory.made[0].lost.value).__name__ == "SSLError"


class TestWrapping:
    def test_startAndStop(self, tcp: World) -> None:
        factory = tcp.serverFactory()
        port, _ = serve(tcp, factory)
        port.stopListening()
        tcp.until(lambda: "stop" in factory.trace)
        assert factory.trace == ["start", "stop"]

    def test_names(self) -> None:
        class Named(Protocol):
            pass

        assert HAProxyWrappingFactory(Kept(Named)).logPrefix() == "Kept (PROXY)"
        with pytest.raises(TypeError):
            HAProxyWrappingFactory(Named)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trusted", "data", "why"),
    [
        (["10.0.0.0/8"], TEXT, "proxy"),
        (["127.0.0.1"], b"one\n", "proxy"),
        (["127.0.0.1"], TEXT + b"one\n", "done"),
    ],
)
def test_recordsOfAServer(tcp: World, trusted: list[str], data: bytes, why: str) -> None:
    """The word for a connection without a good header is a word of its own; the peer of a good one is the client."""
    server = Server(tcp.reactor)
    records: list[Any] = []
    server.onEnded = records.append
    listeners: list[Any] = []
    endpoint = proxyEndpoint(TCP4ServerEndpoint(tcp.reactor, 0, interface=LOOPBACK), trusted)
    server.addListener(endpoint, Kept(), name="it").addCallback(listeners.append)
    with sent(tcp, listeners[0].ports[0], data) as peer:
        peer.settimeout(None)
        if why == "done":
            tcp.until(lambda: tcp.reactor.openTransports() and listeners[0].connections())
            peer.shutdown(socket.SHUT_WR)
        tcp.until(lambda: records)
    assert records[0].why == why
    assert (records[0].peer == CLIENT) == (why == "done")
    assert listeners[0].counters()["refused"] == ({} if why == "done" else {"proxy": 1})


def test_aSnapshotWhileAHeaderIsStillToCome(tcp: World) -> None:
    """The connection is open and accepted. The busiest peers have it when its client is known."""
    server = Server(tcp.reactor)
    listeners: list[Any] = []
    endpoint = proxyEndpoint(TCP4ServerEndpoint(tcp.reactor, 0, interface=LOOPBACK), [LOOPBACK])
    server.addListener(endpoint, Kept(), name="it").addCallback(listeners.append)
    with sent(tcp, listeners[0].ports[0], TEXT[:5]) as peer:
        tcp.until(lambda: listeners[0].counters()["bytesIn"] == 5)
        snapshot = server.stats()
        assert (snapshot["listeners"]["it"]["open"], snapshot["listeners"]["it"]["accepted"]) == (1, 1)
        assert snapshot["peers"] == []
        peer.sendall(TEXT[5:])
        tcp.until(lambda: server.stats()["peers"])
        assert [(each["peer"], each["open"]) for each in server.stats()["peers"]] == [(CLIENT.host, 1)]
