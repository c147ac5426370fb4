"""Results of callbacks: coroutines are run beside what follows, generators are errors, all else is not heeded.

The callbacks of stream protocols are in the transport contract; here are all others, on every loop.
"""

from __future__ import annotations

import logging
import socket
import types
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from reactor import (
    ClientFactory,
    Clock,
    Cooperator,
    DatagramProtocol,
    Deferred,
    Factory,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
    OctetCountedReceiver,
    ProcessProtocol,
    Protocol,
    ServerFactory,
    TimeoutMixin,
    deferLater,
    ensureDeferred,
)
from reactor._beside import Running, beside, both, isCoroutine, refused, started
from reactor.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from reactor.error import ConnectError
from reactor.policies import TimeoutFactory, TrafficLoggingFactory, WrappingFactory
from reactor.protocol import AbstractDatagramProtocol, ConnectedDatagramProtocol
from reactor.testing import MemoryReactor, StringTransport, loopbackAsync
from tests.support.worlds import ASYNCIO, LOOPBACK, OURS, UVLOOP, Producer, World


class Boom(Exception):
    pass


class Gate:
    """Coroutines that wait until open(), and what became of them."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[None]] = []
        self.begun: list[str] = []
        self.done: list[str] = []

    async def run(self, name: str, fails: bool = False) -> None:
        self.begun.append(name)
        self.waiting.append(Deferred())
        await self.waiting[-1]
        self.done.append(name)
        if fails:
            raise Boom(name)

    def callback(self, name: str, fails: bool = False) -> Callable[..., Awaitable[None]]:
        return lambda *_, **__: self.run(name, fails)

    def method(self, name: str, fails: bool = False) -> Any:
        return lambda *_, **__: self.run(name, fails)

    def open(self) -> None:
        while self.waiting:
            self.waiting.pop().callback(None)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture(params=[OURS, ASYNCIO, UVLOOP], ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.close()


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [each.exc_info for each in caplog.records if each.levelno >= logging.ERROR]
    return [str(info[1]) if info else "" for info in found]


class TestTheRule:
    def test_aCoroutineIsStartedAtOnce(self, gate: Gate) -> None:
        running = started(gate.run("a"))
        assert type(running) is Running
        assert (gate.begun, gate.done) == (["a"], [])
        assert started(running) is running
        gate.open()
        assert gate.done == ["a"]

    def test_whatItRaisesAtOnceIsRaised(self, caplog: pytest.LogCaptureFixture) -> None:
        async def fail() -> None:
            raise Boom("at once")

        with pytest.raises(Boom, match="at once"):
            beside(fail(), lambda failure: pytest.fail(repr(failure)))
        assert errorsIn(caplog) == []

    def test_whatItRaisesLaterIsTold(self, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        told: list[str] = []
        beside(gate.run("late", fails=True), lambda failure: told.append(str(failure.value)))
        gate.open()
        assert (told, errorsIn(caplog)) == (["late"], [])
        beside(gate.run("nobody", fails=True))
        gate.open()
        assert errorsIn(caplog) == ["nobody"]

    def test_allElseIsNotHeeded(self) -> None:
        failed: Deferred[None] = Deferred()
        for result in (None, 0, 1, "text", failed, object(), [], iter([])):
            assert started(result) is None
        assert not failed.callbacks

    def test_generators(self) -> None:
        closed: list[str] = []

        def plain() -> Any:
            yield closed.append("never")  # type: ignore[func-returns-value]

        async def twice() -> Any:
            yield

        with pytest.raises(TypeError, match=r"plain is a generator, and nothing of it has run: make it an `async def`"):
            isCoroutine(plain())
        with pytest.raises(TypeError, match="twice is an asynchronous generator"):
            isCoroutine(twice())

        @types.coroutine
        def old() -> Any:
            closed.append("ran")
            yield Deferred()

        assert isinstance(started(old()), Running)
        assert closed == ["ran"]

    def test_both(self, gate: Gate) -> None:
        one, told = gate.run("one"), list[str]()
        assert both(None, 3) is None
        first = both(one, None)
        assert both(None, first) is first
        joined = both(first, gate.run("two", fails=True))
        beside(joined, lambda failure: told.append(str(failure.value)))
        gate.open()
        assert told == ["two"]

    def test_refused(self, gate: Gate) -> None:
        refused(Protocol(), "buildProtocol")
        with pytest.raises(TypeError, match=r"buildProtocol has returned a coroutine, Gate\.run, and nothing waits"):
            refused(gate.run("x"), "buildProtocol")
        assert gate.begun == []


CALLS: dict[str, Callable[[Any, Callable[[], object]], object]] = {
    "callLater": lambda reactor, call: reactor.callLater(0, call),
    "callFromThread": lambda reactor, call: reactor.callFromThread(call),
    "callWhenRunning": lambda reactor, call: reactor.callWhenRunning(call),
    "during startup": lambda reactor, call: reactor.addSystemEventTrigger("during", "startup", call),
    "after shutdown": lambda reactor, call: reactor.addSystemEventTrigger("after", "shutdown", call),
}


class TestReactors:
    @pytest.mark.parametrize("how", CALLS)
    def test_calls(self, world: World, gate: Gate, how: str, caplog: pytest.LogCaptureFixture) -> None:
        reactor = world.reactor
        CALLS[how](reactor, gate.callback(how, fails=True))
        reactor.callLater(0, lambda: reactor.callLater(0, reactor.stop))
        reactor.run()
        assert gate.begun == [how]
        gate.open()
        assert errorsIn(caplog) == [how]

    def test_aCallWhileItRuns(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        reactor = world.reactor
        reactor.callLater(0, reactor.callWhenRunning, gate.callback("now", fails=True))
        reactor.callLater(0.001, reactor.stop)
        reactor.run()
        gate.open()
        assert (gate.done, errorsIn(caplog)) == (["now"], ["now"])

    @pytest.mark.parametrize("phase", ["before", "during"])
    def test_shutdownWaits(self, world: World, gate: Gate, phase: str, caplog: pytest.LogCaptureFixture) -> None:
        reactor = world.reactor
        reactor.addSystemEventTrigger(phase, "shutdown", gate.callback(phase, fails=True))
        running: list[bool] = []

        def later() -> None:
            running.append(reactor.running)
            gate.open()

        reactor.callLater(0, reactor.stop)
        reactor.callLater(0.02, later)
        reactor.run()
        assert (running, gate.done, errorsIn(caplog)) == ([True], [phase], [phase])

    def test_aGeneratorIsLogged(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def forgotten() -> Any:
            yield

        reactor = world.reactor
        for call in CALLS.values():
            call(reactor, forgotten)
        reactor.callLater(0.001, reactor.stop)
        reactor.run()
        assert len(errorsIn(caplog)) == len(CALLS)
        assert all("forgotten is a generator" in error for error in errorsIn(caplog))

    def test_callInThread(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        """Coroutines are for the reactor's thread."""
        world.reactor.callInThread(gate.callback("thread"))
        world.until(lambda: caplog.records)
        assert "callInThread's function has returned a coroutine" in errorsIn(caplog)[0]
        assert gate.begun == []

    def test_descriptorsOfPrograms(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        one, other = socket.socketpair()
        lost: list[Any] = []

        class Own:
            def fileno(self) -> int:
                return one.fileno()

            async def doRead(self) -> None:
                pass

            def connectionLost(self, reason: Any) -> None:
                lost.append(reason.value)

        world.reactor.addReader(Own())
        other.send(b"x")
        world.until(lambda: lost)
        assert isinstance(lost[0], TypeError)
        assert "doRead or doWrite has returned a coroutine" in errorsIn(caplog)[0]
        one.close()
        other.close()


class TestFactories:
    @pytest.mark.parametrize("wrapped", [False, True])
    @pytest.mark.parametrize("when", ["atOnce", "late"])
    def test_startFactoryOfAPort(self, world: World, gate: Gate, when: str, wrapped: bool, caplog: Any) -> None:
        """Its failure closes the port, as an exception keeps it from being opened."""

        class Lines(ServerFactory[Any]):
            noisy = False
            stopFactory = gate.method("stop", fails=True)

            async def startFactory(self) -> None:
                if when == "late":
                    await gate.run("start", fails=True)
                raise Boom("at once")

        factory: Any = WrappingFactory(Lines()) if wrapped else Lines()
        factory.noisy = False
        if when == "atOnce":
            with pytest.raises(Boom, match="at once"):
                world.listen(factory)
            return
        port = world.listen(factory)
        assert port.connected
        gate.open()
        assert (port.connected, factory.numPorts) == (False, 0)
        assert (gate.done, errorsIn(caplog)) == (["start", "stop"], ["start", "stop"])

    def test_clientCallbacks(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Client(ClientFactory[Any]):
            protocol = Protocol
            noisy = False
            startFactory = gate.method("startFactory")
            stopFactory = gate.method("stopFactory", fails=True)
            startedConnecting = gate.method("startedConnecting", fails=True)
            clientConnectionLost = gate.method("clientConnectionLost", fails=True)
            clientConnectionFailed = gate.method("clientConnectionFailed", fails=True)

        servers = world.serverFactory()
        port = world.listen(servers)
        connector = world.connect(port, Client())
        world.until(lambda: "made" in servers.trace)
        servers.only.transport.loseConnection()
        world.until(lambda: "stopFactory" in gate.begun)
        expected = ["startFactory", "startedConnecting", "clientConnectionLost", "stopFactory"]
        assert gate.begun == expected
        port.stopListening()
        world.until(lambda: port.disconnected)
        connector.connect()
        world.until(lambda: len(gate.begun) == 8)
        assert gate.begun[6:] == ["clientConnectionFailed", "stopFactory"]
        gate.open()
        assert sorted(errorsIn(caplog)) == sorted(name for name in gate.begun if name != "startFactory")

    def test_startFactoryOfAClient(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Client(ClientFactory[Any]):
            protocol = Protocol
            noisy = False
            startFactory = gate.method("start", fails=True)

        connector = world.connect(world.listen(world.serverFactory()), Client())
        gate.open()
        assert (connector.state, errorsIn(caplog)) == ("disconnected", ["start"])

    def test_buildProtocolMustNotBeOne(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        class Late(ClientFactory[Any]):
            noisy = False
            failed: Any = None

            async def buildProtocol(self, addr: Any) -> Any:
                return Protocol()

            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                self.failed = reason.value

        factory = Late()
        clients = world.clientFactory()
        world.connect(world.listen(factory), clients)
        world.until(lambda: "connectorLost" in str(clients.trace))
        world.connect(world.listen(world.serverFactory()), factory)
        world.until(lambda: factory.failed)
        assert isinstance(factory.failed, ConnectError)
        sentence = "buildProtocol has returned a coroutine, "
        assert [error[: len(sentence)] for error in errorsIn(caplog)] == [sentence] * 2

    def test_endpoints(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        """The Deferred of connect() fires with the protocol while connectionMade still runs; it fails if that has."""
        found: list[Any] = []

        class Slow(Protocol):
            connectionMade = gate.method("made", fails=True)
            lost: Any = None

            def connectionLost(self, reason: Any = None) -> None:
                self.lost = reason.value

        class Failing(Protocol):
            async def connectionMade(self) -> None:
                raise Boom("at once")

        servers = world.serverFactory()
        TCP4ServerEndpoint(world.reactor, 0, interface=LOOPBACK).listen(servers).addCallback(found.append)
        endpoint = TCP4ClientEndpoint(world.reactor, LOOPBACK, found.pop().getHost().port)
        for kind in (Slow, Failing):
            factory: Any = Factory.forProtocol(kind)
            factory.noisy = False
            endpoint.connect(factory).addBoth(found.append)
        world.until(lambda: len(found) == 2)
        slow = next(each for each in found if isinstance(each, Slow))
        failed = next(each for each in found if each is not slow)
        assert failed.check(Boom)
        gate.open()
        world.until(lambda: slow.lost)
        assert str(slow.lost) == "made"
        assert sorted(errorsIn(caplog)) == ["at once", "made"]


class TestDatagrams:
    def test_callbacks(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Asynchronous(DatagramProtocol):
            noisy = False
            startProtocol = gate.method("start")
            stopProtocol = gate.method("stop", fails=True)
            datagramReceived = gate.method("datagram", fails=True)
            datagramLengthExceeded = gate.method("long", fails=True)

        port = world.reactor.listenUDP(0, Asynchronous(), interface=LOOPBACK, maxPacketSize=5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for datagram in (b"1", b"too long", b"2"):
                peer.sendto(datagram, (LOOPBACK, port.getHost().port))
            world.until(lambda: len(gate.begun) == 4)
        port.stopListening()
        world.until(lambda: port.disconnected)
        assert gate.begun == ["start", "datagram", "long", "datagram", "stop"]
        gate.open()
        assert sorted(errorsIn(caplog)) == ["datagram", "datagram", "long", "stop"]

    def test_startProtocolThatFails(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Failing(DatagramProtocol):
            noisy = False
            startProtocol = gate.method("start", fails=True)

        port = world.reactor.listenUDP(0, Failing(), interface=LOOPBACK)
        gate.open()
        assert (port.connected, errorsIn(caplog)) == (False, ["start"])

    def test_aRefusal(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Refused(DatagramProtocol):
            noisy = False
            connectionRefused = gate.method("refused", fails=True)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
            nobody.bind((LOOPBACK, 0))
            address = nobody.getsockname()
        protocol: AbstractDatagramProtocol = Refused()
        port = world.reactor.listenUDP(0, protocol, interface=LOOPBACK)
        port.connect(*address)
        port.write(b"x")
        world.until(lambda: gate.begun)
        gate.open()
        assert errorsIn(caplog) == ["refused"] * len(gate.done)

    def test_nobodyAtAUnixSocket(self, world: World, gate: Gate, caplog: Any, tmp_path: Any) -> None:
        class Failing(ConnectedDatagramProtocol):
            noisy = False
            connectionFailed = gate.method("failed", fails=True)

        world.reactor.connectUNIXDatagram(str(tmp_path / "nobody"), Failing())
        gate.open()
        assert errorsIn(caplog) == ["failed"]


class TestChildren:
    def test_callbacks(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        names = ["connectionMade", "inConnectionLost", "outConnectionLost", "errConnectionLost"]
        names += ["processExited", "processEnded"]
        kind = type("Child", (ProcessProtocol,), {name: gate.method(name, fails=True) for name in names})
        world.reactor.spawnProcess(kind(), "/bin/true", ["true"], env={})
        world.until(lambda: "processEnded" in gate.begun)
        assert sorted(gate.begun) == sorted(names)
        gate.open()
        assert sorted(errorsIn(caplog)) == sorted(names)

    @pytest.mark.parametrize("terminal", [False, True])
    def test_output(self, world: World, gate: Gate, terminal: bool, caplog: pytest.LogCaptureFixture) -> None:
        """The coroutine that handles output may fail later: that closes the descriptor, as an exception does."""
        ended: list[Any] = []

        class Child(ProcessProtocol):
            outReceived = gate.method("out", fails=True)

            def processEnded(self, reason: Any) -> None:
                ended.append(reason)

        script = ["sh", "-c", "echo x; exec cat"]
        process = world.reactor.spawnProcess(Child(), "/bin/sh", script, env={}, usePTY=terminal)
        world.until(lambda: gate.begun)
        gate.open()
        assert errorsIn(caplog) == ["out"]
        process.loseConnection()
        world.until(lambda: ended)


class TestReceivers:
    """On a transport of somebody else's, too: there a failure is logged, and costs the connection."""

    def feed(self, kind: Any, data: bytes, world: World | None) -> Any:
        if world is None:
            protocol, transport = kind(), StringTransport()
            protocol.makeConnection(transport)
            protocol.dataReceived(data)
            return protocol
        built: list[Any] = []

        class Build(ServerFactory[Any]):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                built.append(kind())
                return built[0]

        clients = world.clientFactory({"made": lambda client: client.transport.write(data)})
        world.connect(world.listen(Build()), clients)
        world.until(lambda: built)
        return built[0]

    @pytest.mark.parametrize("foreign", [False, True])
    @pytest.mark.parametrize(
        ("base", "name", "data", "count"),
        [
            (LineOnlyReceiver, "lineReceived", b"a\r\nb\r\nc\r\n", 3),
            (LineOnlyReceiver, "lineLengthExceeded", b"x" * 17_000, 1),
            (NetstringReceiver, "stringReceived", b"1:a,1:b,", 2),
            (OctetCountedReceiver, "framingFailed", b"nonsense", 1),
        ],
    )
    def test_handlersThatNobodyWaitsFor(
        self, world: World, gate: Gate, base: Any, name: str, data: bytes, count: int, foreign: bool, caplog: Any
    ) -> None:
        kind = type("Kind", (base,), {name: gate.method(name, fails=True)})
        protocol = self.feed(kind, data, None if foreign else world)
        world.until(lambda: len(gate.begun) == count)
        gate.open()
        assert errorsIn(caplog) == [name] * count
        transport = protocol.transport
        assert transport.disconnecting

    def test_aGeneratorDoesNotStall(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        lost: list[Any] = []

        class Lines(LineReceiver):
            def lineReceived(self, line: bytes) -> Any:
                yield line

            def connectionLost(self, reason: Any = None) -> None:
                lost.append(reason.value)

        self.feed(Lines, b"a\r\nb\r\n", world)
        world.until(lambda: lost)
        assert isinstance(lost[0], TypeError)
        assert "lineReceived is a generator" in errorsIn(caplog)[0]


class TestPolicies:
    @pytest.mark.parametrize("kind", ["wrapping", "timeout", "traffic"])
    def test_wrappersPassResultsOn(self, world: World, gate: Gate, kind: str, caplog: Any, tmp_path: Any) -> None:
        class Wrapped(Protocol):
            connectionMade = gate.method("made")
            dataReceived = gate.method("data")
            connectionLost = gate.method("lost", fails=True)

        inner: Any = ServerFactory.forProtocol(Wrapped)
        kinds: dict[str, Callable[[], Any]] = {
            "wrapping": lambda: WrappingFactory(inner),
            "timeout": lambda: TimeoutFactory(inner, None),
            "traffic": lambda: TrafficLoggingFactory(inner, str(tmp_path / "log")),
        }
        factory = kinds[kind]()
        inner.noisy = factory.noisy = False
        clients = world.clientFactory({"made": lambda client: client.transport.write(b"x")})
        world.connect(world.listen(factory), clients)
        world.until(lambda: "data" in gate.begun)
        clients.only.transport.loseConnection()
        world.until(lambda: "lost" in gate.begun)
        assert gate.begun == ["made", "data", "lost"]
        gate.open()
        assert (sorted(gate.done), errorsIn(caplog)) == (["data", "lost", "made"], ["lost"])

    def test_timeouts(self, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        clock = Clock()

        class Idle(Protocol, TimeoutMixin):
            timeoutConnection = gate.method("idle", fails=True)

            def callLater(self, period: float, func: Any) -> Any:
                return clock.callLater(period, func)

        Idle().setTimeout(3)
        factory = TimeoutFactory(Factory(), 3)
        factory.callLater = clock.callLater  # type: ignore[method-assign, assignment]
        protocol = factory.protocol
        assert protocol is not None
        wrapper = protocol(factory, Protocol(), 3)
        wrapper.timeoutFunc = gate.callback("timeoutFunc")
        clock.advance(3)
        assert gate.begun == ["idle", "timeoutFunc"]
        gate.open()
        assert errorsIn(caplog) == ["idle"]

    def test_producers(self, world: World, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        class Asynchronous(Producer):
            resumeProducing = gate.method("resume")
            pauseProducing = gate.method("pause", fails=True)
            stopProducing = gate.method("stop", fails=True)

        server, client = world.pair()
        server.transport.registerProducer(Asynchronous(), True)
        server.transport.write(bytes(100_000))
        world.until(lambda: gate.begun == ["pause", "resume"])
        client.transport.loseConnection()
        world.until(lambda: "stop" in gate.begun)
        gate.open()
        assert errorsIn(caplog) == ["stop", "pause"]


class TestTime:
    def test_clock(self, gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
        clock = Clock()
        clock.callLater(1, gate.callback("late", fails=True))
        clock.advance(1)
        gate.open()
        assert errorsIn(caplog) == ["late"]

    def test_deferLaterWaits(self, gate: Gate) -> None:
        clock, found = Clock(), list[Any]()

        async def answer() -> int:
            await gate.run("answer")
            return 3

        deferLater(clock, 1, answer).addBoth(found.append)
        clock.advance(1)
        assert found == []
        gate.open()
        assert found == [3]

    def test_cooperatorsWait(self, gate: Gate) -> None:
        turns: list[Callable[[], None]] = []

        def schedule(turn: Callable[[], None]) -> Any:
            turns.append(turn)
            return types.SimpleNamespace(cancel=turns.clear)

        steps: list[str] = []

        def work() -> Any:
            yield gate.run("step")
            steps.append("behind")
            yield

        cooperator = Cooperator(scheduler=schedule)
        done = cooperator.coiterate(work())
        turns.pop()()
        assert (gate.begun, steps, turns) == (["step"], [], [])
        gate.open()
        turns.pop()()
        assert steps == ["behind"]
        assert done.called


def test_standIns(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """The package's doubles for tests do as the real ones."""
    memory = MemoryReactor()
    memory.callWhenRunning(gate.callback("whenRunning"))
    memory.run()
    memory.callWhenRunning(gate.callback("running"))

    class Talking(Protocol):
        connectionMade = gate.method("made")
        dataReceived = gate.method("data")
        connectionLost = gate.method("lost")

    class Starting(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"x")
            self.transport.loseConnection()

    loopbackAsync(Talking(), Starting())
    assert gate.begun == ["whenRunning", "running", "made", "data", "lost"]
    gate.open()
    assert errorsIn(caplog) == []


def test_coroutinesMayBeOfAnyKind() -> None:
    """An object that only looks like a coroutine (as Cython's do) is run, too."""

    class Looking:
        def __init__(self) -> None:
            self.steps = ensureSteps()

        def __await__(self) -> Any:
            return self.steps

        def send(self, value: Any) -> Any:
            return self.steps.send(value)

        def throw(self, *error: Any) -> Any:
            return self.steps.throw(*error)

        def close(self) -> None:
            self.steps.close()

    ran: list[int] = []

    def ensureSteps() -> Any:
        ran.append(1)
        return (yield ensureDeferred(answer()))

    async def answer() -> int:
        return 2

    assert isinstance(started(Looking()), Running)
    assert ran == [1]
