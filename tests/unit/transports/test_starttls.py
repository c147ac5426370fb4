"""startTLS on TCP, UNIX sockets and in memory: both sides, what was written before, old references, injection."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import (
    Int16StringReceiver,
    LineOnlyReceiver,
    NetstringReceiver,
    OctetCountedReceiver,
    Protocol,
    error,
    optionsForClientTLS,
)
from reactor.interfaces import ITLSTransport
from reactor.tlsoptions import HANDSHAKE_TIMEOUT, CertificateOptions, defaultClientContext
from reactor.transports.tcp import TCPConnection
from tests.support.tlsworlds import HOST, TRUST, certificatePath, clientOptions, serverOptions, write
from tests.support.upgrading import HEARD, KINDS, TALK, Caller, Dialogue, FedBack, Kept, KeptClient, Quiet, memory
from tests.support.worlds import Producer, UNIXWorld, World, dial


@pytest.fixture(params=[World, UNIXWorld])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = request.param()
    yield world
    world.close()


@pytest.fixture
def tcp() -> Iterator[World]:
    world = World()
    yield world
    world.close()


class TestUpgrade:
    def test_onSockets(self, world: World) -> None:
        servers, clients = Kept(), KeptClient()
        connector = world.connect(world.listen(servers), clients)
        world.until(lambda: clients.built and len(clients.built[0].events) == 3)
        assert clients.built[0].events == TALK
        assert servers.built[0].events == HEARD
        assert connector.state == "connected"
        connector.disconnect()  # to which the connection is what it was before
        world.until(lambda: clients.lost and servers.built[0].events[-1] == "ConnectionDone")
        assert clients.lost[0].check(error.ConnectionDone)
        assert clients.built[0].events[-1] == "ConnectionDone"
        assert connector.state == "disconnected"

    def test_inMemory(self) -> None:
        server, client, pump = memory()
        assert (server.events, client.events) == (HEARD, TALK)
        old: ITLSTransport = pump.serverIO
        assert old is not server.transport
        client.transport.loseConnection()
        pump.flush()
        assert (server.events[-1], client.events[-1]) == ("ConnectionDone", "ConnectionDone")

    def test_theOtherWayRound(self) -> None:
        """normal=False: the side that has accepted is the client, and so the first to speak."""

        class Accepting(Dialogue):
            def lineReceived(self, line: bytes) -> Any:
                self.events.append((line, self.transport.TLS))
                if line == b"STARTTLS":
                    self.transport.startTLS(clientOptions(), normal=False)

        class Connecting(Caller):
            def connectionMade(self) -> None:
                self.sendLine(b"STARTTLS")
                self.transport.startTLS(serverOptions(), normal=False)
                self.sendLine(b"secret")

        server, client, _ = memory(Accepting, Connecting)
        assert (server.events, client.events) == (HEARD, ["handshake"])

    @pytest.mark.parametrize("how", ["argument", "options", "connection", "wrong"])
    def test_whoIsVerified(self, tcp: World, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
        """The argument counts, then the options' host, then the host that was connected to."""
        monkeypatch.setenv("SSL_CERT_FILE", write("root.pem", TRUST))
        defaultClientContext.cache_clear()

        class Calling(Caller):
            def begin(self) -> None:
                match how:
                    case "argument":
                        self.transport.startTLS(optionsForClientTLS("other.test", TRUST), hostname=HOST)
                    case "options":
                        self.transport.startTLS(optionsForClientTLS(HOST, TRUST))
                    case "connection":  # 127.0.0.1, which the certificate names too
                        self.transport.startTLS()
                    case "wrong":
                        self.transport.startTLS(hostname="other.test")

        servers, clients = Kept(), KeptClient(Calling)
        tcp.connect(tcp.listen(servers), clients)
        tcp.until(lambda: (clients.built and len(clients.built[0].events) == 3) or clients.lost)
        defaultClientContext.cache_clear()
        if how == "wrong":
            assert clients.built[0].events == [(b"go ahead", False), "SSLError"]
            assert "Hostname mismatch" in str(clients.lost[0].value)
            tcp.until(lambda: servers.built[0].events[-1] == "SSLError")
        else:
            assert clients.built[0].events == TALK

    def test_plainContexts(self) -> None:
        """An ssl.SSLContext knows no name: it has to be told where the connection does not know one either."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=TRUST.decode())

        class Named(Caller):
            def begin(self) -> None:
                self.transport.startTLS(context, hostname=HOST)

        class Nameless(Caller):
            def begin(self) -> None:
                with pytest.raises(ValueError, match="host's name"):
                    self.transport.startTLS(context)
                self.transport.startTLS(clientOptions())

        for kind in (Named, Nameless):
            assert memory(client=kind)[1].events == TALK

    def test_whatIsMissing(self) -> None:
        server, _, pump = memory(client=Protocol)
        with pytest.raises(ValueError, match="certificate"):
            server.transport.startTLS()
        with pytest.raises(OSError, match="No such file"):
            server.transport.startTLS(Missing())
        server.sendLine(b"nothing has changed")
        pump.flush()
        assert server.transport is pump.serverIO
        server.transport.startTLS(serverOptions())
        with pytest.raises(RuntimeError, match="already"):
            server.transport.startTLS(serverOptions())
        with pytest.raises(RuntimeError, match="already"):
            pump.serverIO.startTLS(serverOptions())

    def test_tooLate(self) -> None:
        for end in ("loseConnection", "loseWriteConnection"):
            server, _, pump = memory(client=Protocol)
            getattr(server.transport, end)()
            with pytest.raises(RuntimeError, match="too late"):
                server.transport.startTLS(serverOptions())
            pump.flush()
        server.transport.abortConnection()
        pump.reactor.clock.advance(0)
        pump.flush()
        server.transport.startTLS(serverOptions())  # as harmless as all else after the end
        assert server.transport is pump.serverIO

    def test_afterThePeersEnd(self) -> None:
        class Halves(Dialogue):
            def readConnectionLost(self) -> None:
                self.events.append("readLost")

            def writeConnectionLost(self) -> None:
                pass

        server, client, pump = memory(Halves, Protocol)
        client.transport.loseWriteConnection()
        pump.flush()
        assert server.events == ["readLost"]
        with pytest.raises(RuntimeError, match="too late"):
            server.transport.startTLS(serverOptions())

    def test_whatWasWrittenBeforeIsPlainAndWhatComesThenIsNot(self, tcp: World) -> None:
        class Talkative(Dialogue):
            def begin(self) -> None:
                self.transport.write(b"p" * 5_000_000)
                self.transport.startTLS(serverOptions())
                self.transport.write(b"secret")
                self.transport.loseConnection()

        servers = Kept(Talkative)
        with dial(tcp.listen(servers), receiveBuffer=4096) as peer:
            peer.sendall(b"STARTTLS\r\n")
            tcp.until(lambda: servers.built and servers.built[0].lines)
            for _ in range(50):
                tcp.reactor.iterate(0)
            plain = b""
            peer.setblocking(False)
            while len(plain) < 5_000_010:
                tcp.reactor.iterate(0)
                try:
                    plain += peer.recv(5_000_010 - len(plain))
                except BlockingIOError:
                    continue
            assert plain == b"go ahead\r\n" + b"p" * 5_000_000
            peer.setblocking(True)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=TRUST.decode())
            tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
            heard = b""
            peer.setblocking(False)
            done = False
            while True:
                try:
                    if not done:
                        tls.do_handshake()
                        done = True
                    if not (data := tls.read(1000)):
                        break
                    heard += data
                    continue
                except ssl.SSLWantReadError:
                    pass
                peer.send(outgoing.read())
                tcp.reactor.iterate(0)
                try:
                    incoming.write(peer.recv(65536))
                except BlockingIOError:
                    continue
            assert heard == b"secret"

    def test_whileTheSystemHasNoMemory(self, tcp: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Data that waits for memory moves along, and is sent in plain when there is some."""

        class Delayed(Dialogue):
            def begin(self) -> None:
                tcp.reactor.callLater(0, super().begin)

        refused, real = list[Any](), TCPConnection._send

        def send(connection: Any, data: Any) -> int:
            if b"go ahead" in data and len(refused) < 5:
                refused.append(connection)
                raise OSError(errno.ENOBUFS, "no")
            return real(connection, data)

        servers, clients = Kept(Delayed), KeptClient()
        monkeypatch.setattr(TCPConnection, "_send", send)
        tcp.connect(tcp.listen(servers), clients)
        tcp.until(lambda: clients.built and len(clients.built[0].events) == 3)
        assert clients.built[0].events == TALK
        assert len(set(map(id, refused))) == 2

    def test_aSocketThatTheSystemRefusesToWatch(self, tcp: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """startTLS raises, and nothing has happened: the connection goes on in plain."""
        server, client = tcp.pair()
        transport = server.transport

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOMEM, "no memory to watch it")

        with monkeypatch.context() as patch:
            patch.setattr(tcp.reactor, "addReader", refuse)
            with pytest.raises(OSError, match="no memory"):
                transport.startTLS(serverOptions())
        assert server.transport is transport
        assert type(transport) is TCPConnection
        client.transport.write(b"in plain")
        tcp.until(lambda: server.received == b"in plain")
        server.transport.write(b"an answer")
        tcp.until(lambda: client.received == b"an answer")

    def test_thePeerThatDoesNotBegin(self) -> None:
        server, client, pump = memory(lambda: Impatient(), Protocol)
        client.transport.write(b"STARTTLS\r\n")
        pump.flush()
        pump.reactor.clock.advance(HANDSHAKE_TIMEOUT)
        pump.flush()
        assert server.events == [(b"STARTTLS", False), "TimeoutError"]
        assert client.transport.disconnected

    @pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
    def test_thePeerThatLeaves(self, end: str) -> None:
        server, client, pump = memory(client=Protocol)
        client.transport.write(b"STARTTLS\r\n")
        pump.flush()
        getattr(client.transport, end)()
        pump.flush()
        pump.reactor.clock.advance(0)
        pump.flush()
        assert server.events == [(b"STARTTLS", False), "SSLError"]

    @pytest.mark.parametrize("end", ["loseConnection", "abortConnection"])
    def test_weLeaveDuringTheHandshake(self, end: str) -> None:
        class Leaving(Caller):
            def begin(self) -> None:
                super().begin()
                self.transport.write(b"so long\r\n")
                getattr(self.transport, end)()

        server, client, pump = memory(client=Leaving)
        pump.reactor.clock.advance(0)
        pump.flush()
        if end == "loseConnection":  # which sends what was written, so the handshake is done first
            assert server.events[1:] == ["handshake", (b"so long", True), (b"secret", True), "ConnectionDone"]
            assert client.events == [(b"go ahead", False), "ConnectionDone"]
        else:
            assert server.events == [(b"STARTTLS", False), "SSLError"]
            assert client.events == [(b"go ahead", False), "ConnectionAborted"]

    def test_pausedProtocolsStayPaused(self) -> None:
        class Paused(Dialogue):
            def begin(self) -> None:
                self.transport.pauseProducing()
                super().begin()

        server, client, pump = memory(Paused)
        assert client.events == [(b"go ahead", False), "handshake"]
        assert server.events == [(b"STARTTLS", False), "handshake"]
        server.transport.resumeProducing()
        pump.flush()
        assert (server.events, client.events) == (HEARD, TALK)

    def test_anAsynchronousHandler(self, tcp: World) -> None:
        class Waiting(Dialogue):
            async def lineReceived(self, line: bytes) -> None:
                await tcp.side.task.deferLater(tcp.reactor, 0.001)
                super().lineReceived(line)

        servers, clients = Kept(Waiting), KeptClient()
        tcp.connect(tcp.listen(servers), clients)
        tcp.until(lambda: clients.built and len(clients.built[0].events) == 3)
        assert (servers.built[0].events, clients.built[0].events) == (HEARD, TALK)


class Missing:
    def getContext(self) -> ssl.SSLContext:
        return CertificateOptions("/no/such/file").getContext()


class Impatient(Dialogue):
    def begin(self) -> None:
        self.transport.startTLS(CertificateOptions(certificatePath()))


class TestOldReferences:
    """The transport from before stands for the TLS connection: nothing that is written to it is sent in plain."""

    def test_itIsTheSame(self) -> None:
        kept: list[Any] = []

        class Keeping(Dialogue):
            def begin(self) -> None:
                kept.append(self.transport)
                super().begin()

        server, client, pump = memory(Keeping)
        (old,) = kept
        assert isinstance(old, TCPConnection)
        assert old.TLS
        assert repr(old) == repr(server.transport)
        assert old.negotiatedProtocol is None  # type: ignore[attr-defined]
        old.write(b"through the old one\r\n")
        old.writeSequence([b"and ", b"again\r\n"])
        pump.flush()
        assert client.events[3:] == [(b"through the old one", True), (b"and again", True)]
        assert (old.connected, old.disconnected, old.disconnecting) == (True, False, False)
        old.highWater = 7  # what is set there is set where it counts
        assert server.transport.highWater == old.highWater == 7
        old.loseConnection()
        assert server.transport.disconnecting
        pump.flush()
        assert (old.connected, old.disconnected) == (False, True)
        assert old.getPeer() == server.transport.getPeer()

    def test_linesGoThroughIt(self, world: World) -> None:
        """A receiver that somebody else feeds hears of no other transport."""

        class Ignorant(Dialogue):
            def begin(self) -> None:
                old = self.transport
                super().begin()
                self.transport = old

        servers, clients = Kept(Ignorant), KeptClient()
        world.connect(world.listen(servers), clients)
        world.until(lambda: clients.built and len(clients.built[0].events) == 3)
        assert clients.built[0].events == TALK

    def test_producersMoveAlong(self) -> None:
        """A producer that had registered before goes on, with the consumer it knows."""
        trace: list[str] = []

        class Producing(Dialogue):
            def connectionMade(self) -> None:
                old = self.transport
                self.producer = Producer(resume=lambda: (trace.append("resume"), old.write(b"more\r\n"))[0])  # type: ignore[func-returns-value]
                self.transport.registerProducer(self.producer, True)
                old.write(b"x" * 65536 + b"\r\n")

        server, client, pump = memory(Producing, lambda: Quiet())
        assert server.transport.producer is server.producer
        client.sendLine(b"STARTTLS")
        pump.flush()
        assert (b"more", True) not in client.events or trace
        assert server.producer.trace.count("pause") == 1
        assert trace == ["resume"]
        assert server.transport.producer is server.producer
        pump.clientIO.abortConnection()
        pump.reactor.clock.advance(0)
        pump.flush()
        assert server.producer.trace[-1] == "stop"

    def test_pullProducersAreAskedOn(self) -> None:
        class Pulled(Dialogue):
            def connectionMade(self) -> None:
                self.pieces = [b"%d\r\n" % number for number in range(5)]
                self.transport.registerProducer(Producer(resume=self.produce), False)

            def produce(self) -> None:
                if self.pieces and (self.transport.TLS or len(self.pieces) > 3):
                    self.transport.write(self.pieces.pop(0))
                elif not self.pieces:
                    self.transport.unregisterProducer()

        server, client, pump = memory(Pulled, lambda: Quiet())
        client.sendLine(b"STARTTLS")
        pump.flush()
        assert server.transport.TLS
        assert server.pieces == []
        assert [line for line, tls in filter(lambda event: isinstance(event, tuple), client.events) if tls] == [
            b"2",
            b"3",
            b"4",
        ]

    def test_aPullProducerThatWroteNothingIsAskedOn(self) -> None:
        """By the new transport, and by that one alone."""

        class Pulled(Dialogue):
            def connectionMade(self) -> None:
                self.times: list[float] = []
                self.transport.registerProducer(Producer(resume=self.produce), False)

            def produce(self) -> None:
                self.times.append(self.transport.reactor.seconds())
                if len(self.times) == 4:
                    self.transport.write(b"ready\r\n")
                    self.transport.unregisterProducer()

        server, client, pump = memory(Pulled, lambda: Quiet())
        old = server.transport
        server.transport.startTLS(serverOptions())
        client.transport.startTLS(clientOptions())
        assert (server.times, old is server.transport) == ([0.0], False)
        pump.flush()
        for _ in range(3):
            pump.clock.advance(0.01)
            pump.flush()
        assert server.times == pytest.approx([0, 0, 0.01, 0.02])  # the end of the handshake asks, too
        assert client.events[-1] == (b"ready", True)

    def test_limitsMoveAlong(self) -> None:
        server, _, _ = memory(client=Protocol)
        server.transport.setOutputLimits(11, 22)
        server.transport.startTLS(serverOptions())
        assert (server.transport.highWater, server.transport.outputLimit) == (11, 22)


class TestInjection:
    """Plain bytes behind the command are never read as if they had come protected (CVE-2011-0411)."""

    @pytest.mark.parametrize("kind", KINDS)
    def test_inSingleBytes(self, kind: Any) -> None:
        server, client, pump = memory(kind, Protocol)
        for byte in b"STARTTLS\r\nEVIL\r\nEVIL\r\n":
            client.transport.write(bytes([byte]))
            pump.flush()
        assert server.lines == [b"STARTTLS"]
        assert server.events[-1] == "SSLError"
        assert client.transport.disconnected

    def test_halfALineBehindTheCommand(self, tcp: World) -> None:
        """Nothing that could be delivered yet, but it would be the beginning of the first protected line."""
        servers = Kept()
        with dial(tcp.listen(servers)) as peer:
            peer.sendall(b"STARTTLS\r\nEV")
            tcp.until(lambda: servers.built and servers.built[0].events[-1:] == ["SSLError"])
            assert servers.built[0].lines == [b"STARTTLS"]

    def test_whatTheProtocolKeepsMeanwhile(self) -> None:
        server, client, _ = memory(FedBack)
        assert server.events == [(b"STARTTLS", False), "SSLError"]
        assert client.events[-1] != (b"you said EVIsecret", True)

    @pytest.mark.parametrize(
        ("receiver", "upgrade", "evil"),
        [
            (Int16StringReceiver, b"\0\x08STARTTLS", b"\0\x04EVIL"),
            (Int16StringReceiver, b"\0\x08STARTTLS", b"\0"),
            (NetstringReceiver, b"8:STARTTLS,", b"4:EVIL,"),
            (NetstringReceiver, b"8:STARTTLS,", b"4:EV"),
            (OctetCountedReceiver, b"8 STARTTLS", b"4 EVIL"),
        ],
    )
    def test_strings(self, receiver: Any, upgrade: bytes, evil: bytes) -> None:
        class Upgrading(receiver):  # type: ignore[misc]
            strings: tuple[bytes, ...] = ()
            lost: Any = None

            def stringReceived(self, string: bytes) -> None:
                self.strings += (string,)
                self.transport.startTLS(serverOptions())

            def connectionLost(self, reason: Any = None) -> None:
                self.lost = reason

        for attack in (b"", evil):
            server, client, pump = memory(Upgrading, Protocol)
            client.transport.write(upgrade + attack)
            pump.flush()
            pump.reactor.clock.advance(0)
            pump.flush()
            assert server.strings == (b"STARTTLS",)
            assert bool(server.lost) is bool(attack)
            if attack:
                assert server.lost.check(error.SSLError)

    def test_halfAString(self) -> None:
        receiver = NetstringReceiver()
        receiver.dataReceived(b"12:abc")
        assert receiver.takeUndelivered() == b"12:abc"
        assert receiver.takeUndelivered() == b""
        lines = LineOnlyReceiver()
        assert lines.takeUndelivered() == b""
        lines.dataReceived(b"half a")
        assert lines.takeUndelivered() == b"half a"


def test_manyUpgradesLeaveNothing(world: World) -> None:
    """No transport, alias or engine outlives its connection in the reactor's books."""
    servers, clients = Kept(), KeptClient()
    port = world.listen(servers)
    for number in range(30):
        connector = world.connect(port, clients)
        world.until(lambda count=number: len(clients.built) > count and len(clients.built[count].events) == 3)
        connector.disconnect()
    world.until(
        lambda: len(clients.lost) == 30 and all(server.events[-1] == "ConnectionDone" for server in servers.built)
    )
    assert list(world.reactor._open) == [port]
    assert world.reactor.getReaders() == [port]
    assert world.reactor.getWriters() == []
    assert world.reactor.getDelayedCalls() == []
