"""Policies: the same scripts on ours and on Twisted's, the contract of transports through wrappers, limits exactly."""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.address
import twisted.internet.error
import twisted.internet.protocol
import twisted.internet.task
import twisted.internet.testing
import twisted.protocols.basic
import twisted.protocols.policies
import twisted.python.failure

import reactor.address
import reactor.error
import reactor.protocol
from reactor import EpollReactor, Failure, LineReceiver, Protocol, ServerFactory, policies
from reactor.error import ConnectionDone
from reactor.policies import (
    LimitConnectionsByPeer,
    LimitTotalConnectionsFactory,
    ProtocolWrapper,
    SpewingFactory,
    ThrottlingFactory,
    TimeoutFactory,
    TimeoutMixin,
    TrafficLoggingFactory,
    WrappingFactory,
)
from reactor.task import Clock
from reactor.testing import StringTransport
from reactor.transports.stream import Connection
from tests.contract.transport import TransportContract
from tests.support.tlsworlds import TLSWorld, clientOptions, serverOptions
from tests.support.worlds import Producer, UNIXWorld, World, dial, readAll, reset, runUntil, turnUntil

OURS = SimpleNamespace(
    policies=policies,
    protocol=reactor.protocol,
    StringTransport=StringTransport,
    Clock=Clock,
    Failure=Failure,
    error=reactor.error,
    address=reactor.address,
    LineReceiver=LineReceiver,
)
THEIRS = SimpleNamespace(
    policies=twisted.protocols.policies,
    protocol=twisted.internet.protocol,
    StringTransport=twisted.internet.testing.StringTransport,
    Clock=twisted.internet.task.Clock,
    Failure=twisted.python.failure.Failure,
    error=twisted.internet.error,
    address=twisted.internet.address,
    LineReceiver=twisted.protocols.basic.LineReceiver,
)


class WrappedWorld(World):
    """Every protocol, of servers and of clients, has wrappers of three kinds between itself and its transport."""

    def wrap(self, factory: Any) -> Any:
        throttling = ThrottlingFactory(WrappingFactory(factory), readLimit=1 << 40, writeLimit=1 << 40)
        timeout = TimeoutFactory(throttling)
        throttling.callLater = timeout.callLater = self.reactor.callLater  # type: ignore[method-assign]
        for each in (timeout, throttling, throttling.wrappedFactory):
            each.noisy = False
        return timeout

    def listen(self, factory: Any) -> Any:
        return super().listen(self.wrap(factory))

    def connect(self, port: Any, factory: Any) -> Any:
        return super().connect(port, self.wrap(factory))


class WrappedTLSWorld(WrappedWorld, TLSWorld):
    """The same over TLS."""


class WrappedUNIXWorld(WrappedWorld, UNIXWorld):
    """The same over UNIX sockets."""


class TestTheContractThroughWrappers(TransportContract):
    @pytest.fixture(params=[WrappedWorld, WrappedTLSWorld, WrappedUNIXWorld])
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = request.param()
        yield world
        world.close()


def test_startTLSThroughWrappers() -> None:
    world = WrappedWorld()
    try:
        server, client = world.pair()
        told: list[str] = []
        server.handshakeCompleted = lambda: told.append("handshake")
        wrapper = server.transport
        server.transport.startTLS(serverOptions())
        client.transport.startTLS(clientOptions())
        client.transport.write(b"secret")
        world.until(lambda: server.received == b"secret")
        assert told == ["handshake"]
        assert server.transport is wrapper
        assert wrapper.getTLSVersion() == client.transport.getTLSVersion() == "TLSv1.3"
        client.transport.loseConnection()
        world.until(lambda: server.lost is not None and client.lost is not None)
        assert server.lost.check(ConnectionDone)
    finally:
        world.close()


# Scripts for both. Each gets the names of one side and says what happened.

Script = Callable[[Any, Callable[..., None]], object]


def traceOf(kit: Any, script: Script) -> list[Any]:
    trace: list[Any] = []
    script(kit, lambda *words: trace.append(words))
    return trace


class Stage:
    """A recording protocol class, its factory, and a Clock, of one side."""

    def __init__(self, kit: Any, say: Callable[..., None], base: str = "Factory") -> None:
        self.kit = kit
        self.say = say
        self.clock = kit.Clock()

        class Recording(kit.protocol.Protocol):  # type: ignore[misc]
            def connectionMade(self) -> None:
                say("made", self.factory is not None, self.transport.disconnecting)

            def dataReceived(self, data: bytes) -> None:
                say("data", data)

            def connectionLost(self, reason: Any) -> None:
                say("lost", type(reason.value).__name__)

        class Recorded(getattr(kit.protocol, base)):  # type: ignore[misc]
            noisy = False
            protocol = Recording

            def startFactory(self) -> None:
                say("start")

            def stopFactory(self) -> None:
                say("stop")

            def startedConnecting(self, connector: Any) -> None:
                say("started", connector)

            def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
                say("failed", connector, reason)

            def clientConnectionLost(self, connector: Any, reason: Any) -> None:
                say("lostIt", connector, reason)

        self.protocolClass = Recording
        self.factory = Recorded()

    def timed(self, factory: Any) -> Any:
        def callLater(period: float, func: Callable[[], object]) -> Any:
            self.say("callLater", round(period, 6))
            return self.clock.callLater(period, func)

        factory.callLater = callLater
        factory.noisy = False
        return factory

    def connect(self, factory: Any, **arguments: Any) -> tuple[Any, Any]:
        """A protocol of `factory`, the outermost, and its transport."""
        protocol = factory.buildProtocol(None)
        transport = self.kit.StringTransport(**arguments)
        protocol.makeConnection(transport)
        return protocol, transport

    def done(self) -> Any:
        return self.kit.Failure(self.kit.error.ConnectionDone())


def wrapping(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say, "ClientFactory")
    factory = kit.policies.WrappingFactory(stage.factory)
    factory.noisy = False
    say(factory.logPrefix(), factory.protocols)
    factory.doStart()
    factory.startedConnecting("connector")
    wrapper, transport = stage.connect(factory)
    inner = wrapper.wrappedProtocol
    say(inner.transport is wrapper, wrapper.transport is transport, inner.factory is stage.factory)
    say(wrapper.factory is factory, factory.protocols == {wrapper: 1}, wrapper.logPrefix())
    wrapper.dataReceived(b"one")
    inner.transport.write(b"two")
    inner.transport.writeSequence([b"three", b"four"])
    say(transport.value(), inner.transport.getPeer() == transport.getPeer(), inner.transport.getHost().port)
    producer = Producer()
    inner.transport.registerProducer(producer, True)
    say(transport.producer is producer, transport.streaming)
    inner.transport.unregisterProducer()
    say(transport.producer)
    inner.transport.pauseProducing()
    say(transport.producerState)
    inner.transport.resumeProducing()
    say(transport.producerState, bool(wrapper.disconnecting))
    inner.transport.loseConnection()
    say(transport.disconnecting, bool(wrapper.disconnecting), hasattr(wrapper, "noSuchMethod"))
    wrapper.connectionLost(stage.done())
    say(factory.protocols, wrapper.wrappedProtocol)
    factory.clientConnectionLost("connector", "reason")
    factory.clientConnectionFailed("connector", "reason")
    factory.doStop()


def linesThroughAWrapper(kit: Any, say: Callable[..., None]) -> None:
    class Liner(kit.LineReceiver):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            say(line)
            if line == b"raw":
                self.setRawMode()
            elif line == b"pause":
                self.pauseProducing()
            elif line == b"close":
                self.transport.loseConnection()

        def rawDataReceived(self, data: bytes) -> None:
            say("raw", data)
            self.setLineMode(data[1:])

    factory = kit.policies.WrappingFactory(kit.protocol.ServerFactory.forProtocol(Liner))
    wrapper = factory.buildProtocol(None)
    transport = kit.StringTransport()
    wrapper.makeConnection(transport)
    wrapper.dataReceived(b"a\r\nb\r\nraw\r\n!c\r\npause\r\nd\r\n")
    say(transport.producerState)
    wrapper.wrappedProtocol.resumeProducing()
    say(transport.producerState)
    wrapper.wrappedProtocol.sendLine(b"answer")
    wrapper.dataReceived(b"e\r\nclose\r\nf\r\n")
    say(transport.value(), transport.disconnecting)
    wrapper.dataReceived(b"g\r\n")


def timeouts(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say)
    factory = stage.timed(kit.policies.TimeoutFactory(stage.factory, 10))
    say(kit.policies.TimeoutFactory(stage.factory).timeoutPeriod)
    wrapper, transport = stage.connect(factory)
    for act in (
        lambda: wrapper.dataReceived(b"x"),
        lambda: wrapper.write(b"x"),
        lambda: wrapper.writeSequence([b"x", b"y"]),
        lambda: wrapper.setTimeout(9.5),
        lambda: None,
    ):
        stage.clock.advance(9)
        act()
        say(transport.disconnecting, stage.clock.seconds(), [call.getTime() for call in stage.clock.getDelayedCalls()])
    stage.clock.advance(1)
    say(transport.disconnecting)
    wrapper.connectionLost(stage.done())
    other, transport = stage.connect(factory)
    other.cancelTimeout()
    other.cancelTimeout()
    other.resetTimeout()
    stage.clock.advance(100)
    say(transport.disconnecting, len(stage.clock.getDelayedCalls()))
    other.setTimeout(3)
    other.setTimeout(None)
    other.setTimeout(4)
    other.connectionLost(stage.done())
    say(len(stage.clock.getDelayedCalls()))


def timeoutMixin(kit: Any, say: Callable[..., None]) -> None:
    clock = kit.Clock()

    class Mixed(kit.policies.TimeoutMixin, kit.protocol.Protocol):  # type: ignore[misc]
        def callLater(self, period: float, func: Callable[[], object]) -> Any:
            say("callLater", period)
            return clock.callLater(period, func)

    protocol = Mixed()
    transport = kit.StringTransport()
    protocol.makeConnection(transport)
    say(protocol.timeOut)
    protocol.resetTimeout()
    say(protocol.setTimeout(5), protocol.timeOut)
    clock.advance(4)
    protocol.resetTimeout()
    clock.advance(4)
    say(transport.disconnecting, protocol.setTimeout(7), protocol.setTimeout(None), protocol.setTimeout(None))
    clock.advance(10)
    protocol.resetTimeout()
    say(transport.disconnecting, len(clock.getDelayedCalls()), protocol.setTimeout(2))
    clock.advance(2)
    say(transport.disconnecting, protocol.timeOut)
    protocol.resetTimeout()
    say(len(clock.getDelayedCalls()), protocol.setTimeout(3), protocol.setTimeout(4))
    clock.getDelayedCalls()[0].cancel()
    say(protocol.setTimeout(None))


def totals(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say)

    class Limited(kit.policies.LimitTotalConnectionsFactory):  # type: ignore[misc]
        protocol = stage.protocolClass

    class Overflow(stage.protocolClass):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.write(b"full")
            self.transport.loseConnection()

    factory = Limited()
    say(factory.connectionCount, factory.connectionLimit, factory.overflowProtocol)
    unlimited = [stage.connect(factory) for _ in range(5)]
    say(factory.connectionCount)
    for wrapper, _ in unlimited:
        wrapper.connectionLost(stage.done())
    factory.connectionLimit = 2
    kept = [stage.connect(factory) for _ in range(2)]
    say(factory.connectionCount, factory.buildProtocol(None))
    factory.overflowProtocol = Overflow
    refused, transport = stage.connect(factory)
    say(transport.value(), transport.disconnecting, factory.connectionCount, refused.wrappedProtocol.factory is factory)
    refused.connectionLost(stage.done())
    kept[0][0].connectionLost(stage.done())
    say(factory.connectionCount)
    say(stage.connect(factory)[1].value(), factory.connectionCount)


def throttledReads(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say)
    factory = stage.timed(kit.policies.ThrottlingFactory(stage.factory, 2, readLimit=10))
    one, first = stage.connect(factory)
    two, second = stage.connect(factory)
    say(factory.buildProtocol(None), factory.connectionCount)

    def states() -> None:
        say(stage.clock.seconds(), first.producerState, second.producerState, factory.readThisSecond)

    one.dataReceived(b"x" * 10)
    states()
    stage.clock.advance(1)
    states()
    one.dataReceived(b"x" * 20)
    two.dataReceived(b"x" * 5)
    states()
    stage.clock.advance(1)
    states()
    for _ in range(7):
        stage.clock.advance(0.25)
        states()
    one.connectionLost(stage.done())
    two.connectionLost(stage.done())
    say(len(stage.clock.getDelayedCalls()), factory.connectionCount)
    stage.connect(factory)
    say(len(stage.clock.getDelayedCalls()))


def throttledWrites(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say)
    factory = stage.timed(kit.policies.ThrottlingFactory(stage.factory, writeLimit=10))
    one, _ = stage.connect(factory)
    two, _ = stage.connect(factory)
    producer, other = Producer(), Producer()
    one.registerProducer(producer, True)
    two.registerProducer(other, True)
    say(one.producer is producer)
    one.write(b"x" * 8)
    two.writeSequence([b"x" * 8, b"x" * 9])
    say(factory.writtenThisSecond, producer.trace)
    for _ in range(8):
        stage.clock.advance(0.5)
        say(stage.clock.seconds(), list(producer.trace), list(other.trace), factory.writtenThisSecond)
    for wrapper in (one, two):
        wrapper.connectionLost(stage.done())
    say(len(stage.clock.getDelayedCalls()))


def trafficLog(kit: Any, say: Callable[..., None]) -> None:
    stage = Stage(kit, say)
    factory = kit.policies.TrafficLoggingFactory(stage.factory, "prefix")
    opened: dict[str, io.StringIO] = {}
    factory.open = lambda name: opened.setdefault(name, io.StringIO())
    one, transport = stage.connect(factory)
    one.dataReceived(b"came\r\n")
    one.write(b"went")
    one.writeSequence([b"in", b"pieces"])
    one.loseConnection()
    say(transport.value(), transport.disconnecting)
    stage.connect(factory)
    factory.resetCounter()
    say(sorted(opened), {name: file.getvalue() for name, file in opened.items()})
    one.connectionLost("the reason")  # what is logged is its repr()


@pytest.mark.parametrize(
    "script",
    [wrapping, linesThroughAWrapper, timeouts, timeoutMixin, totals, throttledReads, throttledWrites],
    ids=lambda script: script.__name__,
)
def test_likeTwisted(script: Script) -> None:
    ours = traceOf(OURS, script)
    assert ours == traceOf(THEIRS, script)
    assert len(ours) > 5


def test_trafficIsLoggedLikeTwisted() -> None:
    def withoutReason(kit: Any, say: Callable[..., None]) -> None:
        with contextlib.suppress(AttributeError):  # "the reason" is not a Failure, as the recording protocol expects
            trafficLog(kit, say)

    ours = traceOf(OURS, withoutReason)
    assert ours == traceOf(THEIRS, withoutReason)
    assert ours[-1] == (
        ["prefix-1", "prefix-2"],
        {
            "prefix-1": "*\nC 1: b'came\\r\\n'\nS 1: b'went'\nSV 1: [b'in', b'pieces']\nS 1: *\n",
            "prefix-2": "*\n",
        },
    )


# Ours alone.


class Idle(Protocol):
    """Does nothing, and says what it is told."""

    def __init__(self) -> None:
        self.lost: list[Any] = []
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = reactor.protocol.connectionDone) -> None:
        self.lost.append(reason.type)


def quiet(protocol: Callable[[], Any] = Idle) -> ServerFactory[Any]:
    factory = ServerFactory.forProtocol(protocol)
    factory.noisy = False
    return factory


def made(factory: Any, transport: Any = None) -> tuple[Any, Any]:
    wrapper = factory.buildProtocol(None)
    transport = transport or StringTransport()
    wrapper.makeConnection(transport)
    return wrapper, transport


DONE = Failure(ConnectionDone())


class TestWrapping:
    def test_aProtocolIsToldWhatItHasMethodsFor(self) -> None:
        class Halves(Idle):
            def readConnectionLost(self) -> None:
                self.lost.append("read")

            def writeConnectionLost(self) -> None:
                self.lost.append("write")

        class Told(Idle):
            def handshakeCompleted(self) -> None:
                self.lost.append("handshake")

        class Chatty(StringTransport):
            def handshakeCompleted(self) -> None:
                raise AssertionError("that is the protocol's")

            readConnectionLost = handshakeCompleted

        told = ("readConnectionLost", "writeConnectionLost", "handshakeCompleted")
        for kind, has in ((Idle, 0), (Halves, 2), (Told, 1)):
            outer, _ = made(WrappingFactory(WrappingFactory(quiet(kind))), Chatty())
            inner = outer.wrappedProtocol.wrappedProtocol
            names = [name for name in told if hasattr(outer, name)]
            assert len(names) == has
            for name in names:
                getattr(outer, name)()
            assert len(inner.lost) == has

    def test_whatTheTransportIsAskedForPassesThrough(self) -> None:
        class Stopping(StringTransport):
            stopped = failed = False

            def stopConsuming(self) -> None:
                self.stopped = True
                self.loseConnection()

            def failConnection(self, failure: Failure) -> None:
                self.failed = True

        wrapper, transport = made(WrappingFactory(quiet()), Stopping())
        wrapper.failConnection(DONE)
        assert transport.failed
        assert not wrapper.disconnecting
        wrapper.stopConsuming()
        assert (transport.stopped, wrapper.disconnecting) == (True, True)
        with pytest.raises(AttributeError, match="noSuchMethod"):
            wrapper.noSuchMethod()

    def test_theEndIsToldWhateverTheFactoryRaises(self) -> None:
        class Raising(WrappingFactory):
            def unregisterProtocol(self, p: Any) -> None:
                raise ValueError("no")

        wrapper, _ = made(Raising(quiet()))
        inner = wrapper.wrappedProtocol
        with pytest.raises(ValueError, match="no"):
            wrapper.connectionLost(DONE)
        assert inner.lost == [ConnectionDone]

    def test_aProtocolThatWasNeverConnectedIsNotToldOfAnEnd(self) -> None:
        class Raising(ProtocolWrapper):
            def connectionMade(self) -> None:
                raise OSError("no room for a log")

        factory = WrappingFactory(quiet())
        factory.protocol = Raising
        wrapper = factory.buildProtocol(None)
        inner = wrapper.wrappedProtocol
        with pytest.raises(OSError, match="no room"):
            wrapper.makeConnection(StringTransport())
        wrapper.connectionLost(DONE)
        assert (inner.lost, factory.protocols) == ([], {})

    def test_anAsynchronousHandlerThatFailsEndsTheConnection(self, caplog: pytest.LogCaptureFixture) -> None:
        class Failing(LineReceiver):
            async def lineReceived(self, line: bytes) -> None:
                raise ValueError("no")

        world = WrappedWorld()
        try:
            port = world.listen(quiet(Failing))
            with contextlib.closing(dial(port)) as peer:
                peer.sendall(b"line\r\n")
                turnUntil(world.reactor, lambda: "ValueError: no" in caplog.text)
                peer.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    assert peer.recv(1) == b""
        finally:
            world.close()


class TestTimeouts:
    def test_nothingIsResetOnceTheTimeIsOver(self) -> None:
        clock = Clock()
        factory = TimeoutFactory(quiet(), 5)
        factory.callLater = clock.callLater  # type: ignore[method-assign, assignment]
        wrapper, transport = made(factory)
        clock.advance(5)
        assert transport.disconnecting
        wrapper.write(b"last words")
        wrapper.connectionLost(DONE)
        assert clock.getDelayedCalls() == []

    def test_theReactorIsTheCurrentOne(self) -> None:
        world = World()
        try:
            lost: list[str] = []

            class Mixed(TimeoutMixin, Protocol):
                def connectionMade(self) -> None:
                    self.setTimeout(0.01)

                def connectionLost(self, reason: Failure = DONE) -> None:
                    self.setTimeout(None)
                    lost.append("mixin")

            class Other(Protocol):
                def connectionLost(self, reason: Failure = DONE) -> None:
                    lost.append("factory")

            ports = [world.listen(quiet(Mixed)), world.listen(TimeoutFactory(quiet(Other), 0.01))]
            throttled = world.listen(ThrottlingFactory(quiet(Idle), readLimit=10))
            with contextlib.ExitStack() as stack:
                for port in (*ports, throttled):
                    stack.enter_context(contextlib.closing(dial(port)))
                runUntil(world.reactor, lambda: len(lost) == 2)
            assert sorted(lost) == ["factory", "mixin"]
        finally:
            world.close()


class TestThrottling:
    def factory(self, **limits: Any) -> tuple[ThrottlingFactory, Clock]:
        clock = Clock()
        factory = ThrottlingFactory(quiet(), **limits)
        factory.callLater = clock.callLater  # type: ignore[method-assign, assignment]
        return factory, clock

    @pytest.mark.parametrize("limits", [{"readLimit": 0}, {"writeLimit": -1}])
    def test_limitsAreAboveZero(self, limits: Any) -> None:
        with pytest.raises(ValueError, match="above 0"):
            ThrottlingFactory(quiet(), **limits)

    def test_aRefusalIsARecord(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "reactor.policies")
        factory, _ = self.factory(maxConnectionCount=1)
        made(factory)
        assert factory.buildProtocol(None) is None
        assert factory.refusedCount == 1
        assert [record.getMessage() for record in caplog.records] == ["Max connection count reached!"]

    def test_whatTheProtocolHasPausedStaysPaused(self) -> None:
        factory, clock = self.factory(readLimit=10)
        one, paused = made(factory)
        two, resumed = made(factory)
        one.pauseProducing()
        one.dataReceived(b"x" * 20)
        clock.advance(1)
        two.pauseProducing()
        two.resumeProducing()
        assert (paused.producerState, resumed.producerState) == ("paused", "paused")
        clock.advance(1)
        assert (paused.producerState, resumed.producerState) == ("paused", "producing")
        one.resumeProducing()
        assert paused.producerState == "producing"

    def test_whoComesLaterIsThrottledToo(self) -> None:
        factory, clock = self.factory(readLimit=10, writeLimit=10)
        one, _ = made(factory)
        one.dataReceived(b"x" * 20)
        one.write(b"x" * 20)
        clock.advance(1)
        late, transport = made(factory)
        assert transport.producerState == "paused"
        push, pull = Producer(), Producer()
        late.registerProducer(push, True)
        assert push.trace == ["pause"]
        late.unregisterProducer()
        late.registerProducer(pull, False)
        transport.producer.resumeProducing()
        assert pull.trace == []
        clock.advance(1)
        assert (transport.producerState, pull.trace) == ("producing", ["resume"])

    def test_theTransportAndTheThrottleBothStopAProducer(self) -> None:
        factory, _ = self.factory(writeLimit=10)
        wrapper, transport = made(factory)
        producer = Producer()
        wrapper.registerProducer(producer, True)
        valve = transport.producer
        valve.pauseProducing()
        wrapper.throttleWrites()
        valve.resumeProducing()
        valve.pauseProducing()
        wrapper.unthrottleWrites()
        assert producer.trace == ["pause"]
        valve.resumeProducing()
        wrapper.throttleWrites()
        valve.stopProducing()
        assert producer.trace == ["pause", "resume", "pause", "stop"]

    def test_excessWhileThrottledIsPaidForToo(self) -> None:
        factory, clock = self.factory(readLimit=10, writeLimit=10)
        wrapper, transport = made(factory)
        producer = Producer()
        wrapper.registerProducer(producer, True)
        for _ in range(2):
            wrapper.write(b"x" * 30)
            wrapper.dataReceived(b"x" * 30)
            clock.advance(1)
        clock.advance(2.5)
        assert (producer.trace, transport.producerState) == (["pause"], "paused")
        clock.advance(0.5)
        assert (producer.trace, transport.producerState) == (["pause", "resume"], "producing")

    def test_aSecondProducerIsRefusedAndTheFirstKept(self) -> None:
        factory, _ = self.factory()
        wrapper, _ = made(factory)
        first = Producer()
        wrapper.registerProducer(first, True)
        with pytest.raises(RuntimeError):
            wrapper.registerProducer(Producer(), True)
        assert wrapper.producer is first
        wrapper.throttleWrites()
        assert first.trace == ["pause"]

    def test_aProducerThatRaisesCostsItsConnectionOnly(self) -> None:
        class Failing(StringTransport):
            failure: Any = None

            def failConnection(self, failure: Failure) -> None:
                self.failure = failure

        def refuse() -> None:
            raise ValueError("no")

        factory, clock = self.factory(writeLimit=10)
        wrappers = [made(factory, Failing()) for _ in range(2)]
        producers = [Producer(pause=refuse), Producer()]
        for (wrapper, _), producer in zip(wrappers, producers, strict=True):
            wrapper.registerProducer(producer, True)
        wrappers[0][0].write(b"x" * 20)
        clock.advance(1)
        assert wrappers[0][1].failure.check(ValueError)
        assert wrappers[1][1].failure is None
        assert producers[1].trace == ["pause"]

    def test_theChecksEndWithTheLastConnectionAndBeginAgain(self) -> None:
        factory, clock = self.factory(maxConnectionCount=1, readLimit=10, writeLimit=10)
        for _ in range(2):
            wrapper, _ = made(factory)
            wrapper.dataReceived(b"x" * 50)
            clock.advance(1)
            assert factory.buildProtocol(None) is None
            assert len(clock.getDelayedCalls()) == 3
            wrapper.connectionLost(DONE)
            assert clock.getDelayedCalls() == []
        assert (factory.connectionCount, factory.refusedCount) == (0, 2)

    def test_bytesAreCountedWhateverTheyComeIn(self) -> None:
        factory, _ = self.factory(writeLimit=10)
        wrapper, transport = made(factory)
        wrapper.writeSequence(piece for piece in (b"ab", bytearray(b"cd"), memoryview(b"efgh").cast("I")))
        wrapper.write(memoryview(b"ijkl").cast("I"))
        assert (factory.writtenThisSecond, transport.value()) == (12, b"abcdefghijkl")
        with pytest.raises(TypeError):
            wrapper.write("text")

    def test_aTransferIsAsSlowAsItShouldBe(self) -> None:
        """A real connection under a Clock's second: each second's excess stops the reading, and nothing is lost."""
        world = World()
        try:
            factory = ThrottlingFactory(quiet(), readLimit=100_000)
            factory.noisy = False
            clock = Clock()
            factory.callLater = clock.callLater  # type: ignore[method-assign, assignment]
            port = world.listen(factory)
            data = os.urandom(1_000_000)
            with contextlib.closing(dial(port)) as peer:
                turnUntil(world.reactor, lambda: factory.protocols)
                (wrapper,) = factory.protocols
                inner = wrapper.wrappedProtocol
                peer.setblocking(False)
                sent, seconds = 0, 0.0
                while len(inner.got) < len(data):
                    with contextlib.suppress(BlockingIOError):
                        sent += peer.send(data[sent : sent + 10_000])
                    world.reactor.iterate(0)
                    if factory.readThisSecond > 100_000 or factory.unthrottleReadsID is not None:
                        clock.advance(0.25)
                        seconds += 0.25
                assert inner.got == data
            assert 8 <= seconds + 1 <= 20
        finally:
            world.close()


class TestLogging:
    def test_filesAreClosedWithTheirConnections(self, tmp_path: pathlib.Path) -> None:
        class LastWords(Idle):
            def connectionLost(self, reason: Failure = DONE) -> None:
                self.transport.write(b"last")
                self.kept = self.transport

        factory = TrafficLoggingFactory(quiet(LastWords), str(tmp_path / "log"), lengthLimit=20)
        wrapper, transport = made(factory)
        inner = wrapper.wrappedProtocol
        wrapper.dataReceived(b"x" * 20)
        wrapper.dataReceived(b"x" * 21)
        wrapper.lengthLimit = 5
        wrapper.write(bytearray(b"y" * 21))
        wrapper.writeSequence(piece for piece in (b"a", b"b" * 6))
        assert transport.value() == b"y" * 21 + b"abbbbbb"
        wrapper.connectionLost(DONE)
        assert wrapper.logfile.closed
        inner.kept.write(b"and more")
        assert (tmp_path / "log-1").read_text().splitlines() == [
            "*",
            f"C 1: {b'x' * 20!r}",
            "C 1: b'xxxxxxxx<... elided>'",
            "S 1: b'<... elided>'",
            "SV 1: [b'a', b'<... elided>']",
            f"C 1: {DONE!r}",
            "S 1: b'last'",
        ]

    def test_aFullDiskDoesNotKeepTheEndFromTheProtocol(self) -> None:
        class Full(io.StringIO):
            def flush(self) -> None:
                raise OSError("disk full")

        factory = TrafficLoggingFactory(quiet(), "log")
        factory.open = lambda name: io.StringIO()  # type: ignore[method-assign]
        wrapper, _ = made(factory)
        inner = wrapper.wrappedProtocol
        wrapper.logfile = Full()
        with pytest.raises(OSError, match="disk full"):
            wrapper.connectionLost(DONE)
        assert inner.lost == [ConnectionDone]

    def test_spewing(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "reactor.policies")
        wrapper, transport = made(SpewingFactory(quiet()))
        wrapper.dataReceived(b"in")
        wrapper.write(b"out")
        assert [record.getMessage() for record in caplog.records] == ["Received: b'in'", "Sending: b'out'"]
        assert (wrapper.wrappedProtocol.got, transport.value()) == (b"in", b"out")


# Limits, exact, on real sockets.


def limitedTotal() -> Any:
    class Limited(LimitTotalConnectionsFactory):
        noisy = False
        protocol = Idle
        connectionLimit = 7

    return Limited()


def limitedByPeer() -> Any:
    class Limited(LimitConnectionsByPeer):
        noisy = False
        maxConnectionsPerPeer = 7

    return Limited(quiet())


def limitedThrottle() -> Any:
    factory = ThrottlingFactory(quiet(), 7)
    factory.noisy = False
    return factory


def liveCount(factory: Any) -> int:
    if isinstance(factory, LimitConnectionsByPeer):
        assert len(factory.protocols) == sum(factory.peerConnections.values())
        return len(factory.protocols)
    count: int = factory.connectionCount
    return count


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def serves(world: World, peer: socket.socket, factory: Any) -> bool:
    """Whether the server has kept `peer`; it must have decided."""
    peer.setblocking(False)
    try:
        return peer.recv(1) != b""
    except BlockingIOError:
        return True


@pytest.mark.parametrize("make", [limitedTotal, limitedByPeer, limitedThrottle])
def test_limitsAreExactAndTheNewestAreRefused(world: World, make: Callable[[], Any]) -> None:
    factory = make()
    port = world.listen(factory)
    turnUntil(world.reactor, lambda: True)
    before = len(os.listdir("/dev/fd"))
    for round_ in range(1, 6):
        peers = [dial(port) for _ in range(20)]
        turnUntil(world.reactor, lambda wanted=13 * round_: factory.refusedCount == wanted)
        world.reactor.iterate(0)
        assert liveCount(factory) == 7
        assert [serves(world, peer, factory) for peer in peers] == [True] * 7 + [False] * 13
        # One leaves, by a reset or in order: there is room for exactly one.
        (reset if round_ % 2 else socket.socket.close)(peers[3])
        turnUntil(world.reactor, lambda: liveCount(factory) == 6)
        heirs = [dial(port), dial(port)]
        turnUntil(world.reactor, lambda wanted=13 * round_ + 1: factory.refusedCount == wanted)
        world.reactor.iterate(0)
        assert [serves(world, peer, factory) for peer in heirs] == [True, False]
        assert liveCount(factory) == 7
        for peer in peers + heirs:
            peer.close()
        turnUntil(world.reactor, lambda: liveCount(factory) == 0)
        factory.refusedCount -= 1
        world.reactor.iterate(0)
        assert len(os.listdir("/dev/fd")) == before


def test_peersAreCountedApart(world: World) -> None:
    class Limited(LimitConnectionsByPeer):
        noisy = False
        maxConnectionsPerPeer = 2

    factory = Limited(quiet())
    port = world.listen(factory)
    number = port.getHost().port
    with contextlib.ExitStack() as stack:
        for host in ("127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2", "127.0.0.1"):
            peer = socket.create_connection(("127.0.0.1", number), source_address=(host, 0))
            stack.enter_context(contextlib.closing(peer))
        turnUntil(world.reactor, lambda: factory.refusedCount == 1)
        assert factory.peerConnections == {"127.0.0.1": 2, "127.0.0.2": 2}
        # The factory's ports may end and begin again: connections that are there still count.
        port.stopListening()
        factory.doStart()
        assert factory.peerConnections == {"127.0.0.1": 2, "127.0.0.2": 2}
        factory.doStop()
    turnUntil(world.reactor, lambda: factory.peerConnections == {})


class Failing:
    """Takes the place of a reactor's addReader: the system refuses to watch connections."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused = 0
        self.add = world.reactor.addReader
        monkeypatch.setattr(world.reactor, "addReader", self)

    def __call__(self, reader: Any) -> None:
        if isinstance(reader, Connection):
            self.refused += 1
            raise OSError(errno.ENOSPC, "no more watches")
        self.add(reader)


@pytest.mark.parametrize("make", [limitedTotal, limitedByPeer, limitedThrottle])
@pytest.mark.parametrize("depth", [0, 1])
def test_aConnectionThatIsNeverMadeIsNotCounted(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, make: Callable[[], Any], depth: int
) -> None:
    """The system refuses to watch the socket, after the protocol was built: of servers, clients and what is adopted."""
    factory = make()
    outer = factory
    if depth:
        outer = TimeoutFactory(TrafficLoggingFactory(factory, "log"), 1)
        outer.callLater = world.reactor.callLater  # type: ignore[method-assign]
        logs: list[io.StringIO] = []
        outer.wrappedFactory.open = lambda name: logs.append(io.StringIO()) or logs[-1]  # type: ignore[func-returns-value]
    port = world.listen(outer)
    refusing = Failing(world, monkeypatch)
    for number in range(1, 4):
        with dial(port) as peer:
            turnUntil(world.reactor, lambda number=number: refusing.refused == number)
            world.reactor.iterate(0)
            assert peer.recv(1) == b""
    with dial(port) as peer, pytest.raises(OSError, match="no more watches"):
        world.reactor.adoptStreamConnection(peer.fileno(), socket.AF_INET, outer)
    turnUntil(world.reactor, lambda: refusing.refused == 5)
    assert liveCount(factory) == 0
    assert getattr(factory, "peerConnections", {}) == {}
    assert world.reactor.getDelayedCalls() == []
    assert not any(record.message.startswith("unhandled error in connectionNotMade") for record in caplog.records)


def test_aClientThatIsNeverConnectedIsNotCounted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    port = world.listen(quiet())
    clients = world.clientFactory()
    throttling = ThrottlingFactory(clients, 7, 1 << 30, 1 << 30)
    throttling.callLater = world.reactor.callLater  # type: ignore[method-assign]
    Failing(world, monkeypatch)
    world.connect(port, throttling)
    world.until(lambda: clients.trace[-1] == "stop")
    assert (throttling.connectionCount, clients.trace[:3]) == (0, ["start", ("started", "connecting"), "build"])
    assert world.reactor.getDelayedCalls() == []


def test_peersOfAUnixSocketAreOne() -> None:
    factory = LimitConnectionsByPeer(quiet())
    address = reactor.UNIXAddress(None)
    wrappers = []
    for _ in range(5):
        wrapper = factory.buildProtocol(address)
        wrapper.makeConnection(StringTransport(peerAddress=address))
        wrappers.append(wrapper)
    assert (factory.buildProtocol(address), factory.peerConnections) == (None, {None: 5})
    wrappers[0].connectionLost(DONE)
    assert factory.buildProtocol(address) is not None


def test_thePoliteRefusal(world: World) -> None:
    class Sorry(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"sorry, full\r\n")
            self.transport.loseConnection()

    factory = limitedTotal()
    factory.connectionLimit = 1
    factory.overflowProtocol = Sorry
    port = world.listen(factory)
    with contextlib.closing(dial(port)), contextlib.closing(dial(port)) as second:
        turnUntil(world.reactor, lambda: factory.refusedCount == 1 and factory.connectionCount == 1)
        assert readAll(second) == b"sorry, full\r\n"


@pytest.mark.parametrize(
    "make",
    [
        WrappingFactory,
        TimeoutFactory,
        LimitConnectionsByPeer,
        lambda factory: ThrottlingFactory(factory, readLimit=1),
        lambda factory: TrafficLoggingFactory(factory, "/nonexistent/log"),
    ],
)
def test_whatTheWrappedFactoryRefusesIsRefused(make: Callable[[Any], Any]) -> None:
    factory = make(quiet(lambda: None))
    factory.wrappedFactory.buildProtocol = lambda addr: None
    assert factory.buildProtocol(reactor.IPv4Address("TCP", "127.0.0.1", 1)) is None
    assert getattr(factory, "connectionCount", 0) == 0
    assert getattr(factory, "peerConnections", {}) == {}
    assert factory.protocols == {}


def test_linesThatAWrappedProtocolHasSkippedAreCounted(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """However many wrappers are around it: its connection's end tells of them, at the level that it wishes."""

    class Skipping(LineReceiver):
        MAX_LENGTH, overlong, skippedLevel = 3, "skip", logging.WARNING

        def lineReceived(self, line: bytes) -> None:
            self.transport.loseConnection()

    port = world.listen(LimitConnectionsByPeer(WrappingFactory(quiet(Skipping))))
    with contextlib.closing(dial(port)) as peer:
        peer.sendall(b"1234\r\n12345\r\nend\r\n")
        turnUntil(world.reactor, lambda: world.reactor.skippedLineCount)
        assert readAll(peer) == b""
    assert world.reactor.skippedLineCount == 2
    (record,) = caplog.records
    assert record.getMessage().endswith("lines that were too long, and skipped: 2")
    assert record.levelno == logging.WARNING


def test_severalPoliciesOnOneAnother(world: World) -> None:
    """Four of them around a LineReceiver, which works as it does alone."""

    class Echo(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)
            if line == b"quit":
                self.transport.loseConnection()

    assert isinstance(world.reactor, EpollReactor)
    log: dict[str, io.StringIO] = {}
    traffic = TrafficLoggingFactory(quiet(Echo), "log")
    traffic.open = lambda name: log.setdefault(name, io.StringIO())  # type: ignore[method-assign]
    throttling = ThrottlingFactory(traffic, 10, 1 << 30, 1 << 30)
    factory = TimeoutFactory(LimitConnectionsByPeer(throttling), 30)
    factory.callLater = throttling.callLater = world.reactor.callLater  # type: ignore[method-assign, assignment]
    port = world.listen(factory)
    with contextlib.closing(dial(port)) as peer:
        peer.sendall(b"one\r\nquit\r\nthree\r\n")
        turnUntil(world.reactor, lambda: throttling.connectionCount == 0 and log)
        assert readAll(peer) == b"one\r\nquit\r\n"
    assert world.reactor.getDelayedCalls() == []
    lines = log["log-1"].getvalue().splitlines()
    assert lines[0] == "*"
    assert lines[1:-2] == ["C 1: b'one\\r\\nquit\\r\\nthree\\r\\n'", "S 1: b'one\\r\\n'", "S 1: b'quit\\r\\n'"]
    assert lines[-2] == "S 1: *"
