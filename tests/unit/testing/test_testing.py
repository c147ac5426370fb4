"""reactor.testing: the in-memory pair on its own under the transport contract, the doubles beside Twisted's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.address
import twisted.internet.defer
import twisted.internet.error
import twisted.internet.protocol
import twisted.internet.task
import twisted.internet.testing
import twisted.protocols.basic
import twisted.protocols.loopback
import twisted.test.iosim

import reactor
from reactor import Failure, LineReceiver, defer, error, protocol, task, testing
from reactor.testing import (
    Clock,
    ConnectionCompleter,
    FakeTransport,
    MemoryReactor,
    MemoryReactorClock,
    MemorySocket,
    PumpReactor,
    StringTransport,
    connect,
    connectedServerAndClient,
    loopbackAsync,
    loopbackTCP,
    makeFakeClient,
    makeFakeServer,
)
from reactor.tlsoptions import defaultClientContext
from tests.contract.transport import TransportContract
from tests.support.worlds import DEADLINE, OURS, Hooks, World, runProgram

MEMORY = SimpleNamespace(**{**vars(OURS), "name": "memory", "makeReactor": PumpReactor})


class MemoryWorld(World):
    """Recording protocols on in-memory pairs."""

    hasConnectors = False

    def __init__(self) -> None:
        super().__init__(MEMORY)

    def pair(
        self, server: Hooks | None = None, client: Hooks | None = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        servers, clients = self.serverFactory(server, halves), self.clientFactory(client, clientHalves)
        ends = servers.buildProtocol(None), clients.buildProtocol(None)
        connect(ends[0], makeFakeServer(ends[0]), ends[1], makeFakeClient(ends[1]), greet=False, clock=self.reactor)
        assert [end.trace[:1] for end in ends] == [["made"], ["made"]]
        return ends


class TestMemoryPair(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = MemoryWorld()
        yield world
        world.close()


class Greeter(LineReceiver):
    """Greets, answers each line, and leaves at "bye"."""

    def connectionMade(self) -> None:
        self.lost: Any = None
        self.lines: list[bytes] = []
        self.sendLine(b"welcome")

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if line == b"bye":
            self.transport.loseConnection()
        else:
            self.sendLine(b"you said " + line)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class Listener(Greeter):
    def connectionMade(self) -> None:
        self.lost = None
        self.lines = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)


class TestPump:
    def test_aDialogue(self) -> None:
        client, server, pump = connectedServerAndClient(Greeter, Listener)
        assert (pump.client, pump.server) == (client, server)
        assert type(client) is Listener
        assert client.lines == [b"welcome"]
        client.sendLine(b"hello")
        assert server.lines == []
        assert pump.flush() is True
        assert pump.flush() is False
        assert client.lines == [b"welcome", b"you said hello"]
        client.sendLine(b"bye")
        pump.flush()
        assert client.lost.check(error.ConnectionDone)
        assert server.lost.check(error.ConnectionDone)

    def test_nothingMovesByItself(self) -> None:
        client, server, pump = connectedServerAndClient(Greeter, Listener, greet=False)
        assert client.lines == []
        while not client.lines:
            assert pump.pump() is True
        client.sendLine(b"x")
        assert pump.pump() is True
        assert server.lines == [b"x"]

    def test_addressesAgree(self) -> None:
        _, _, pump = connectedServerAndClient(Greeter, Listener)
        assert pump.clientIO.getPeer() == pump.serverIO.getHost() != pump.clientIO.getHost() == pump.serverIO.getPeer()

    def test_addressesThatAreGiven(self) -> None:
        mine, yours = reactor.UNIXAddress("/mine"), reactor.IPv4Address("TCP", "1.2.3.4", 5)
        _, _, pump = connectedServerAndClient(
            Greeter, Listener, lambda protocol: FakeTransport(protocol, False, hostAddress=mine, peerAddress=yours)
        )
        assert (pump.clientIO.getHost(), pump.clientIO.getPeer()) == (mine, yours)
        assert pump.serverIO.getPeer() == mine

    def test_timeIsTheTests(self) -> None:
        clock, called = Clock(), list[str]()
        _, server, pump = connectedServerAndClient(Greeter, Listener, clock=clock)
        assert pump.clock is clock
        server.transport.reactor.callLater(10, called.append, "the transport's reactor")
        clock.callLater(10, called.append, "the clock")
        pump.flush()
        assert called == []
        clock.advance(10)
        assert called == ["the clock"]
        pump.flush()
        assert called == ["the clock", "the transport's reactor"]
        clock.callLater(0, called.append, "now")
        assert pump.pump(advanceClock=False) is False
        pump.pump()
        assert called[2:] == ["now"]

    def test_twoThatNeverCeaseToTalk(self) -> None:
        class Parrot(protocol.Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

        client, _, pump = connectedServerAndClient(Parrot, Parrot)
        client.transport.write(b"x")
        with pytest.raises(AssertionError, match="come to rest"):
            pump.flush()

    def test_debugPrintsWhatIsWritten(self, capsys: pytest.CaptureFixture[str]) -> None:
        client, _, pump = connectedServerAndClient(Greeter, Listener, debug=True)
        client.sendLine(b"hello")
        pump.flush()
        assert capsys.readouterr().out.splitlines() == [
            r"server wrote b'welcome\r\n'",
            r"client wrote b'hello\r\n'",
        ]

    def test_aResetIsSeen(self) -> None:
        client, server, pump = connectedServerAndClient(Greeter, Listener)
        server.transport.abortConnection()
        pump.flush()
        assert server.lost.check(error.ConnectionAborted)
        assert client.lost.check(error.ConnectionLost)
        assert not client.lost.check(error.ConnectionAborted)

    def test_tcpOptionsAreKept(self) -> None:
        transport = makeFakeServer(Greeter())
        assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (False, False)
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (True, True)

    def test_aTransportWithoutAPeer(self) -> None:
        """The test is the network."""
        greeter = Greeter()
        transport = makeFakeServer(greeter)
        assert transport.isServer
        assert "S" in repr(transport)
        assert transport.getOutBuffer() is None
        transport.start()
        assert transport.getOutBuffer() == b"welcome\r\n"
        assert transport.getOutBuffer() is None
        transport.bufferReceived(b"hello\r\n")
        transport.bufferReceived(b"")
        assert transport.getOutBuffer() == b"you said hello\r\n"
        with pytest.raises(TypeError):
            transport.bufferReceived(None)  # type: ignore[arg-type]
        transport.reportDisconnect()
        assert greeter.lost.check(error.ConnectionDone)

    def test_getOutBufferServesProducers(self) -> None:
        transport = makeFakeClient(Listener())
        producer = testing.NonStreamingProducer(transport)
        done: list[None] = []
        producer.result.addCallback(done.append)
        transport.registerProducer(producer, False)
        assert transport.getOutBuffer() == b"0123456789"
        assert done == [None]

    def test_whatWasWrittenBeforeConnectArrives(self) -> None:
        server, client = Greeter(), Listener()
        serverIO, clientIO = makeFakeServer(server), makeFakeClient(client)
        clientIO.write(b"early\r\n")
        connect(server, serverIO, client, clientIO)
        assert server.lines == [b"early"]

    def test_moreThanIsInFlight(self) -> None:
        client, server, pump = connectedServerAndClient(Greeter, Listener)
        received: list[bytes] = []
        client.setRawMode()
        client.rawDataReceived = received.append  # type: ignore[assignment, method-assign]
        server.transport.write(b"x" * 1_000_000)
        pump.pump()
        assert len(pump.serverIO.wire.outgoing) <= 65536
        pump.flush()
        assert sum(map(len, received)) == 1_000_000


class TestPumpReactor:
    def test_itDoesNotSleep(self) -> None:
        """An hour takes no time."""
        pumping, order = PumpReactor(), list[Any]()
        pumping.callLater(3600, order.append, "hour")
        pumping.callLater(60, lambda: order.append(pumping.seconds()))
        pumping.callLater(7200, pumping.stop)
        pumping.run(installSignalHandlers=False)
        assert order == [60.0, "hour"]
        assert pumping.seconds() == pumping.clock.seconds() == 7200
        pumping.iterate(5)
        assert pumping.seconds() == 7205
        pumping.close()

    def test_itWaitsForThreads(self) -> None:
        pumping = PumpReactor()
        thread = threading.Thread(target=pumping.callFromThread, args=(pumping.stop,))
        pumping.callWhenRunning(thread.start)
        pumping.run(installSignalHandlers=False)
        thread.join(DEADLINE)
        assert pumping.turn() is False

    def test_exitsLeaveRun(self) -> None:
        pumping = PumpReactor()

        class Impatient(Clock):
            def advance(self, amount: float) -> None:
                raise KeyboardInterrupt

        pumping.clock = Impatient()
        pumping.callLater(1, print)
        with pytest.raises(KeyboardInterrupt):
            pumping.run(installSignalHandlers=False)

    def test_itRunsWithSignalHandlers(self) -> None:
        program = (
            "from reactor.testing import PumpReactor; r = PumpReactor(); r.callLater(1, r.stop); r.run(); r.close()"
        )
        assert runProgram(program).returncode == 0

    def test_itHasNoDescriptors(self) -> None:
        pumping = PumpReactor()
        with pytest.raises(TypeError, match="memory"):
            pumping.listenTCP(0, protocol.ServerFactory(), interface="127.0.0.1")
        ours, theirs = socket.socketpair()
        with pytest.raises(TypeError, match="memory"):
            pumping.addWriter(SimpleNamespace(socket=ours))
        ours.close()
        theirs.close()
        pumping.close()

    def test_whatItWatches(self) -> None:
        _, _, pump = connectedServerAndClient(Greeter, Listener)
        assert pump.reactor.getReaders() == [pump.serverIO, pump.clientIO]
        assert pump.reactor.isReading(pump.serverIO)
        assert pump.reactor.getWriters() == []
        pump.reactor.close()
        assert pump.reactor.getReaders() == []
        assert not pump.reactor.isReading(pump.serverIO)

    def test_socketsAfterTheEnd(self) -> None:
        one, other, alone = MemorySocket(), MemorySocket(), MemorySocket()
        one.join(other)
        other.close()
        other.close()
        alone.close()
        with pytest.raises(BrokenPipeError):
            one.send(b"x")
        assert (one.recv(10), one.isReadable(), one.isWritable(), one.fileno()) == (b"", True, True, -1)
        one, other = MemorySocket(), MemorySocket()
        one.join(other)
        one.send(b"unread")
        other.close()
        for call in (lambda: one.send(b"x"), lambda: one.recv(1)):
            with pytest.raises(ConnectionResetError):
                call()


# The same script on both sides.

KITS = {
    "ours": SimpleNamespace(
        testing=testing,
        loopback=testing,
        iosim=testing,
        defer=defer,
        error=error,
        protocol=protocol,
        Clock=task.Clock,
        LineReceiver=LineReceiver,
        address=reactor.address,
    ),
    "twisted": SimpleNamespace(
        testing=twisted.internet.testing,
        loopback=twisted.protocols.loopback,
        iosim=twisted.test.iosim,
        defer=twisted.internet.defer,
        error=twisted.internet.error,
        protocol=twisted.internet.protocol,
        Clock=twisted.internet.task.Clock,
        LineReceiver=twisted.protocols.basic.LineReceiver,
        address=twisted.internet.address,
    ),
}


def same(script: Callable[[Any, Callable[..., None]], None]) -> list[Any]:
    """Run a script with our kit and with Twisted's; return what it said, which must be the same."""
    traces = []
    for kit in KITS.values():
        trace: list[Any] = []
        script(kit, lambda *words, trace=trace: trace.append(words))
        traces.append(trace)
    assert traces[0] == traces[1]
    assert traces[0]
    return traces[0]


def attempt(say: Callable[..., None], call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    try:
        result = call(*args, **kwargs)
        say(getattr(call, "__name__", "call"), type(result).__name__ if hasattr(result, "__dict__") else result)
    except Exception as raised:
        say(getattr(call, "__name__", "call"), "raised", type(raised).__name__)


STATE = ("disconnecting", "disconnected", "connected", "producer", "streaming", "producerState")
CALLS: tuple[tuple[Any, ...], ...] = (
    ("write", b"one"),
    ("write", "text"),
    ("writeSequence", [b"two", b"three"]),
    ("registerProducer", "producer", True),
    ("unregisterProducer",),
    ("pauseProducing",),
    ("resumeProducing",),
    ("stopProducing",),
    ("clear",),
    ("loseConnection",),
    ("abortConnection",),
    ("value",),
)


class TestStringTransport:
    @pytest.mark.parametrize("lenient", [False, True])
    @pytest.mark.parametrize("kind", ["StringTransport", "StringTransportWithDisconnection"])
    def test_everyPairOfCalls(self, kind: str, lenient: bool) -> None:
        """Each call after each other call, twice: what comes of it and what state it leaves."""

        def script(kit: Any, say: Callable[..., None]) -> None:
            for first in CALLS:
                for second in CALLS:
                    transport = getattr(kit.testing, kind)(lenient=lenient)
                    transport.protocol = SimpleNamespace(
                        connectionLost=lambda reason: say("lost", type(reason.value).__name__, str(reason.value))
                    )
                    for name, *args in (first, second, second, first):
                        attempt(say, getattr(transport, name), *args)
                        say(*(getattr(transport, each) for each in STATE), transport.value())

        assert len(same(script)) > 1000

    def test_addresses(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            transport = kit.testing.StringTransport()
            for address in (transport.getPeer(), transport.getHost()):
                say(type(address).__name__, address.type, address.host, address.port)
            transport = kit.testing.StringTransport("host", "peer")
            say(transport.getPeer(), transport.getHost(), transport.hostAddr, transport.peerAddr)

        same(script)

    def test_whatOurTransportsTakeItTakes(self) -> None:
        transport = StringTransport()
        transport.write(bytearray(b"a"))
        transport.writeSequence(piece for piece in (b"b", memoryview(b"c")))
        assert transport.value() == b"abc"

    def test_aLineReceiverOnIt(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            class Echo(kit.LineReceiver):  # type: ignore[misc]
                def lineReceived(self, line: bytes) -> None:
                    self.sendLine(line)
                    if line == b"bye":
                        self.transport.loseConnection()

            echo, transport = Echo(), kit.testing.StringTransport()
            echo.makeConnection(transport)
            echo.dataReceived(b"one\r\nbye\r\ntwo\r\n")
            say(transport.value(), transport.disconnecting)

        assert same(script) == [(b"one\r\nbye\r\n", True)]


class TestDoubles:
    def test_accumulatingProtocol(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            one = kit.testing.AccumulatingProtocol()
            say(one.made, one.closed, one.closedReason, one.data)
            one.makeConnection(kit.testing.StringTransport())
            one.dataReceived(b"a")
            one.dataReceived(b"b")
            one.closedDeferred = kit.defer.Deferred()
            one.closedDeferred.addCallback(say)
            one.connectionLost("reason")
            say(one.made, one.closed, one.closedReason, one.data, one.closedDeferred)
            other = kit.testing.AccumulatingProtocol()
            other.factory = kit.protocol.Factory()
            other.factory.protocolConnectionMade = kit.defer.Deferred()
            other.factory.protocolConnectionMade.addCallback(lambda made: say(made is other))
            other.connectionMade()
            say(other.factory.protocolConnectionMade)
            other.connectionMade()
            other.connectionLost("other")
            say(other.closedReason)

        same(script)

    def test_lineSendingProtocol(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            lines = [b"one", b"two"]
            sending, transport = kit.testing.LineSendingProtocol(lines), kit.testing.StringTransport()
            sending.makeConnection(transport)
            say(transport.value())
            sending.dataReceived(b"a\r\nb\r\n")
            say(transport.value(), sending.response, sending.lines, lines, sending.lostConn)
            sending.connectionLost("reason")
            say(sending.lostConn)

        same(script)

    def test_aLineSendingProtocolThatWaits(self) -> None:
        """Twisted's takes its own last line for the first that it received."""
        sending, transport = testing.LineSendingProtocol([b"one", b"two"], start=False), StringTransport()
        sending.makeConnection(transport)
        assert transport.value() == b""
        sending.dataReceived(b"a\r\nb\r\n")
        assert (transport.value(), sending.response, sending.lines) == (b"one\r\ntwo\r\n", [b"a", b"b"], [])

    def test_fakeDatagramTransport(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            transport = kit.testing.FakeDatagramTransport()
            transport.write(b"one", ("127.0.0.1", 7))
            transport.write(b"two")
            say(transport.written[0], transport.written[1][1] is kit.testing.FakeDatagramTransport.noAddr)

        same(script)

    def test_nonStreamingProducer(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            for stop in (False, True):
                transport = kit.testing.StringTransport()
                producer = kit.testing.NonStreamingProducer(transport)
                producer.result.addCallback(say)
                transport.registerProducer(producer, False)
                for _ in range(11):
                    attempt(say, producer.resumeProducing)
                    if stop:
                        producer.stopProducing()
                        break
                attempt(say, producer.resumeProducing)
                attempt(say, producer.pauseProducing)
                say(transport.value(), producer.counter, producer.stopped, transport.producer is None)

        same(script)

    def test_aFileThatStaysOpen(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            file = kit.testing.StringIOWithoutClosing(b"text")
            file.close()
            say(file.read(), file.closed)

        same(script)

    def test_waitUntilAllDisconnected(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            clock = kit.Clock()
            ends = [SimpleNamespace(transport=SimpleNamespace(connected=True)) for _ in range(2)]
            kit.testing.waitUntilAllDisconnected(clock, ends).addCallback(lambda _: say("all"))
            for end in ends:
                clock.pump([0.01] * 3)
                say("waiting")
                end.transport.connected = False
            clock.advance(0.01)

        assert same(script) == [("waiting",), ("waiting",), ("all",)]


def described(value: Any) -> Any:
    fields = ("type", "host", "port", "name")
    return (type(value).__name__.removeprefix("_"), *(getattr(value, name) for name in fields if hasattr(value, name)))


class Named:
    """Passes for a factory, and for a protocol, of both packages; its name is all that it has."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args: None

    def __repr__(self) -> str:
        return self.name


FACTORY: Any = Named("factory")
PROTOCOL: Any = Named("protocol")


class TestMemoryReactor:
    def test_listening(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            memory = kit.testing.MemoryReactor()
            ports = [
                memory.listenTCP(7, FACTORY),
                memory.listenTCP(7, FACTORY, 3, "::1"),
                memory.listenSSL(8, FACTORY, "context", 3, "interface"),
                memory.listenUNIX("/path", FACTORY, 3, 0o600, 1),
                memory.adoptStreamPort(3, socket.AF_INET, FACTORY),
                memory.adoptStreamPort(3, socket.AF_INET6, FACTORY),
                memory.adoptDatagramPort(3, socket.AF_INET, PROTOCOL, 1000),
                memory.adoptDatagramPort(3, socket.AF_INET6, PROTOCOL),
            ]
            for port in ports:
                say(described(port.getHost()), port.startListening(), port.stopListening())
            attempt(say, memory.adoptStreamPort, 3, socket.AF_UNIX, FACTORY)
            attempt(say, memory.adoptDatagramPort, 3, socket.AF_UNIX, PROTOCOL)
            memory.adoptStreamConnection(4, socket.AF_INET, FACTORY)
            say(memory.tcpServers, memory.sslServers, memory.unixServers, memory.adoptedPorts)
            say(memory.adoptedStreamConnections)

        same(script)

    def test_connecting(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            memory, started = kit.testing.MemoryReactor(), list[Any]()
            factory: Any = Named("client")
            factory.startedConnecting = started.append
            connectors = [
                memory.connectTCP("host", 7, factory, 3, ("bind", 0)),
                memory.connectTCP("::1", 7, factory),
                memory.connectSSL("host", 8, factory, "context"),
                memory.connectUNIX("/path", factory, 3, 1),
            ]
            say(started == connectors == memory.connectors)
            for connector in connectors:
                say(described(connector.getDestination()), connector.stoppedConnecting, connector._disconnected)
                connector.connect()
                connector.stopConnecting()
                connector.disconnect()
                say(connector.stoppedConnecting, connector._disconnected)
            for calls in (memory.tcpClients, memory.sslClients, memory.unixClients):
                say([[None if each is factory else each for each in call] for call in calls])

        same(script)

    def test_whatIsNoFactory(self) -> None:
        """It raises what a reactor raises, and remembers nothing."""
        real, memory = reactor.EpollReactor(), MemoryReactor()
        context = defaultClientContext()
        listening = socket.create_server(("127.0.0.1", 0))
        ends = socket.socketpair()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind(("127.0.0.1", 0))
        calls: list[tuple[str, Callable[[Any, Any], object]]] = [
            ("tcpServers", lambda on, it: on.listenTCP(0, it)),
            ("tcpClients", lambda on, it: on.connectTCP("127.0.0.1", 1, it)),
            ("sslServers", lambda on, it: on.listenSSL(0, it, context)),
            ("sslClients", lambda on, it: on.connectSSL("127.0.0.1", 1, it, context)),
            ("unixServers", lambda on, it: on.listenUNIX("\0name", it)),
            ("unixClients", lambda on, it: on.connectUNIX("\0name", it)),
            ("adoptedPorts", lambda on, it: on.adoptStreamPort(listening.fileno(), socket.AF_INET, it)),
            ("adoptedStreamConnections", lambda on, it: on.adoptStreamConnection(ends[0].fileno(), socket.AF_UNIX, it)),
            ("adoptedPorts", lambda on, it: on.adoptDatagramPort(datagrams.fileno(), socket.AF_INET, it)),
        ]
        mistakes: tuple[Any, ...] = (LineReceiver, protocol.ServerFactory, LineReceiver(), None, "text")
        for number, (kept, call) in enumerate(calls):
            isDatagram = number == len(calls) - 1
            clientless = [protocol.ServerFactory()] if kept.endswith("Clients") else []
            for mistake in (
                *[each for each in mistakes if not (isDatagram and isinstance(each, LineReceiver))],
                *clientless,
            ):
                told = []
                for on in (real, memory):
                    with pytest.raises(TypeError) as raised:
                        call(on, mistake)
                    told.append(str(raised.value))
                assert told[0] == told[1]
            assert getattr(memory, kept) == memory.connectors == []
        for each in (listening, *ends, datagrams):
            each.close()
        OURS.close(real)

    def test_portsThatAreNone(self) -> None:
        memory = MemoryReactor()
        listeners: list[Callable[[int, Any], Any]] = [
            memory.listenTCP,
            lambda port, factory: memory.listenSSL(port, factory, None),
        ]
        for listen in listeners:
            with pytest.raises(ValueError, match="a port is a number"):
                listen(70000, protocol.ServerFactory())
        assert memory.tcpServers == memory.sslServers == []

    def test_running(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            memory = kit.testing.MemoryReactorClock()
            memory.install()
            memory.callWhenRunning(lambda word: say(word, memory.running), "hook")
            memory.addSystemEventTrigger("before", "shutdown", say, 1, two=2)
            for call in (lambda: memory.iterate(), lambda: memory.fireSystemEvent("x")):
                attempt(say, call)
            attempt(say, memory.removeSystemEventTrigger, None)
            say(memory.running, memory.hasRun, memory.hasStopped, memory.hasCrashed, memory.hasInstalled)
            memory.run()
            say(memory.running, memory.hasRun, memory.hasStopped, memory.hasCrashed, memory.hasInstalled)
            memory.callWhenRunning(say, "at once")
            say(memory.triggers == {"before": {"shutdown": [(say, (1,), {"two": 2})]}})
            memory.callLater(3, say, "later")
            memory.advance(3)
            memory.crash()
            say(memory.running, memory.hasCrashed)
            attempt(say, memory.run)

        same(script)

    def test_descriptors(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            memory = kit.testing.MemoryReactor()
            for add, remove, get in (
                (memory.addReader, memory.removeReader, memory.getReaders),
                (memory.addWriter, memory.removeWriter, memory.getWriters),
            ):
                add("one")
                add("one")
                add("two")
                remove("two")
                remove("two")
                say(get())
            say(memory.removeAll(), memory.readers, memory.writers)

        same(script)

    def test_raising(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            raising = kit.testing.RaisingMemoryReactor(ValueError("listen"), KeyError("connect"))
            attempt(say, raising.listenTCP, 7, "factory")
            attempt(say, raising.connectTCP, "host", 7, "factory")
            attempt(say, raising.listenSSL, 7, "factory", "context")
            attempt(say, raising.connectSSL, "host", 7, "factory", "context")
            attempt(say, raising.listenUNIX, "/path", "factory")
            attempt(say, raising.connectUNIX, "/path", "factory")
            attempt(say, raising.adoptStreamPort, 3, 2, "factory")
            attempt(say, raising.adoptStreamConnection, 3, 2, "factory")
            attempt(say, raising.adoptDatagramPort, 3, 2, "protocol", 8192)

        assert len(same(script)) == 9

    def test_namesAreResolvedAtOnce(self) -> None:
        found: list[Any] = []
        memory = MemoryReactor()
        memory.resolve("somewhere").addCallback(found.append)
        memory.resolveAll("somewhere", 7).addCallback(found.append)
        assert found == ["127.0.0.1", [(socket.AF_INET, ("127.0.0.1", 7))]]

    def test_completer(self) -> None:
        """Connections that a program asked a MemoryReactor for are made, or fail."""

        def script(kit: Any, say: Callable[..., None]) -> None:
            memory = kit.testing.MemoryReactorClock()
            completer = kit.iosim.ConnectionCompleter(memory)

            class Talk(kit.protocol.Protocol):  # type: ignore[misc]
                def connectionMade(self) -> None:
                    self.transport.write(b"hello")

                def dataReceived(self, data: bytes) -> None:
                    say(type(self.factory).__name__, data)

            class Clients(kit.protocol.ClientFactory):  # type: ignore[misc]
                protocol = Talk
                noisy = False

                def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                    say("failed", connector in connectors, type(reason.value).__name__)

            say(completer.succeedOnce())
            connectors = [memory.connectTCP("host", port, Clients()) for port in (1, 7)]
            say(completer.succeedOnce())
            memory.listenTCP(7, kit.protocol.ServerFactory.forProtocol(Talk))
            pump = completer.succeedOnce()
            say(pump.clock is memory, len(memory.tcpClients), memory.connectors == connectors[:1])
            completer.failOnce()

        same(script)

    def test_completerWithAReason(self) -> None:
        memory, failed = MemoryReactor(), list[Any]()

        class Clients(protocol.ClientFactory[Any]):
            def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
                failed.append(reason.value)

        memory.connectTCP("host", 7, Clients())
        ConnectionCompleter(memory).failOnce(Failure(error.TimeoutError()))
        assert [type(each) for each in failed] == [error.TimeoutError]
        memory.connectTCP("host", 7, Clients.forProtocol(protocol.Protocol))
        memory.listenTCP(7, protocol.ServerFactory.forProtocol(protocol.Protocol))
        pump = ConnectionCompleter(memory).succeedOnce()
        assert pump is not None
        assert isinstance(pump.clock, Clock)

    def test_aClockToo(self) -> None:
        assert issubclass(MemoryReactorClock, Clock)


class TestLoopback:
    @pytest.mark.parametrize("policy", ["identityPumpPolicy", "collapsingPumpPolicy"])
    @pytest.mark.parametrize("closer", ["server", "client", "both"])
    @pytest.mark.parametrize("how", ["loseConnection", "abortConnection"])
    def test_traces(self, policy: str, closer: str, how: str) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            class Talk(kit.protocol.Protocol):  # type: ignore[misc]
                def __init__(self, name: str) -> None:
                    self.name = name

                def connectionMade(self) -> None:
                    say(self.name, "made")
                    self.transport.writeSequence([b"a", b"b"])
                    self.transport.write(b"c")
                    self.transport.write(b"d" if self.name == "server" else b"e")

                def dataReceived(self, data: bytes) -> None:
                    say(self.name, data)
                    if data.endswith((b"d", b"e")) and closer in (self.name, "both"):
                        self.transport.write(b"last words")
                        getattr(self.transport, how)()

                def connectionLost(self, reason: Any) -> None:
                    say(self.name, "lost", type(reason.value).__name__)

            ended = kit.loopback.loopbackAsync(Talk("server"), Talk("client"), getattr(kit.loopback, policy))
            ended.addCallback(lambda result: say("ended", result))

        same(script)

    def test_aProducer(self) -> None:
        def script(kit: Any, say: Callable[..., None]) -> None:
            class Produce(kit.protocol.Protocol):  # type: ignore[misc]
                def connectionMade(self) -> None:
                    producer = kit.testing.NonStreamingProducer(self.transport)
                    producer.result.addCallback(lambda _: self.transport.loseConnection())
                    self.transport.registerProducer(producer, False)

            receiving = kit.testing.AccumulatingProtocol()
            kit.loopback.loopbackAsync(Produce(), receiving).addCallback(say)
            say(receiving.data, receiving.closed)

        same(script)

    def test_aPullProducerThatWritesNothingIsAskedAgain(self) -> None:
        loop = PumpReactor()
        server, client = testing.AccumulatingProtocol(), testing.AccumulatingProtocol()
        asked: list[float] = []

        def produce() -> None:
            asked.append(loop.seconds())
            if len(asked) in (3, 5):
                server.transport.write(b"x")
            if len(asked) == 5:
                server.transport.unregisterProducer()
                server.transport.loseConnection()

        def begin() -> None:
            loopbackAsync(server, client).addBoth(lambda _: loop.stop())
            server.transport.registerProducer(SimpleNamespace(resumeProducing=produce), False)

        loop.callWhenRunning(begin)
        deadline = loop.callLater(5, loop.stop)
        loop.run()
        assert deadline.active()
        assert client.data == b"xx"
        assert [round(time - asked[0], 3) for time in asked] == [0, 0.01, 0.02, 0.02, 0.03]

    def test_whatIsWrittenLaterIsDeliveredOnALaterTurn(self) -> None:
        loop = PumpReactor()
        server, client = testing.AccumulatingProtocol(), testing.AccumulatingProtocol()
        ended: list[Any] = []

        def begin() -> None:
            loopbackAsync(server, client).addCallback(ended.append).addBoth(lambda _: loop.stop())
            client.transport.write(b"hello")
            client.transport.write(b" there")
            assert server.data == b""
            loop.callLater(1, answer)

        def answer() -> None:
            assert server.data == b"hello there"
            producer = SimpleNamespace(resumeProducing=bool, pauseProducing=bool, stopProducing=bool)
            server.transport.registerProducer(producer, True)
            with pytest.raises(RuntimeError):
                server.transport.registerProducer(producer, True)
            server.transport.unregisterProducer()
            server.transport.pauseProducing()
            server.transport.resumeProducing()
            server.transport.write(b"bye")
            assert (server.transport.getHost(), server.transport.getPeer()) == (
                client.transport.getPeer(),
                client.transport.getHost(),
            )
            server.transport.loseConnection()
            assert server.transport.disconnecting

        loop.callWhenRunning(begin)
        loop.run(installSignalHandlers=False)
        assert (client.data, ended) == (b"bye", [None])
        assert client.transport.disconnected
        assert not server.transport.connected

    @pytest.mark.parametrize("late", [False, True])
    def test_exceptions(self, late: bool) -> None:
        """An exception of a protocol is not lost: it comes in the call that begins, or through the Deferred."""
        loop, failed = PumpReactor(), list[Any]()

        class Broken(protocol.Protocol):
            def dataReceived(self, data: bytes) -> None:
                raise ValueError("broken")

        def begin() -> None:
            client = protocol.Protocol()
            if late:
                loopbackAsync(Broken(), client).addErrback(lambda failure: failed.append(failure.type))
                client.transport.write(b"x")
            else:
                with pytest.raises(ValueError, match="broken"):
                    loopbackAsync(Broken(), testing.LineSendingProtocol([b"x"]))
                failed.append(ValueError)
            loop.callLater(1, loop.stop)

        loop.callWhenRunning(begin)
        loop.run(installSignalHandlers=False)
        assert failed == [ValueError]

    def test_overTCP(self) -> None:
        world = World()
        loop, ended = world.reactor, list[Any]()
        server, client = Greeter(), testing.LineSendingProtocol([b"hello", b"bye"])

        def begin() -> None:
            loopbackTCP(server, client, noisy=False).addBoth(ended.append).addBoth(lambda _: loop.stop())

        loop.callWhenRunning(begin)
        loop.run(installSignalHandlers=False)
        assert ended == [None]
        assert client.response == [b"welcome", b"you said hello"]
        assert (server.lines, client.lostConn) == ([b"hello", b"bye"], True)
        assert server.lost.check(error.ConnectionDone)
        world.close()

    def test_overTCPWithoutAConnection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()
        loop, ended = world.reactor, list[Any]()
        connecting = loop.connectTCP
        monkeypatch.setattr(loop, "connectTCP", lambda host, port, factory: connecting(host, port, factory, timeout=0))

        def begin() -> None:
            loopbackTCP(Greeter(), Greeter(), noisy=False).addErrback(lambda failure: ended.append(failure.type))
            loop.callLater(0.01, loop.stop)

        loop.callWhenRunning(begin)
        loop.run(installSignalHandlers=False)
        assert ended == [error.TimeoutError]
        world.close()
