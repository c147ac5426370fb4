"""Small things that Twisted's users know: the same answers on both."""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.defer
import twisted.internet.protocol
import twisted.internet.task
import twisted.protocols.loopback
import twisted.test.iosim

import reactor.defer
import reactor.protocol
import reactor.task
import reactor.testing
from reactor import EpollReactor, Factory, Protocol
from reactor.defer import Deferred
from reactor.endpoints import connectProtocol
from reactor.error import ConnectionRefusedError
from reactor.loops.workers import THREAD_POOL_SIZE
from reactor.testing import connectableEndpoint, connectedServerAndClient, loopbackUNIX
from reactor.threads import deferToThreadPool
from tests.support.tlsworlds import TLSWorld
from tests.support.worlds import LOOPS, OURS, SIDES, World, turnUntil

MODULES = {
    "ours": SimpleNamespace(protocol=reactor.protocol, loopback=reactor.testing, iosim=reactor.testing),
    "twisted": SimpleNamespace(
        protocol=twisted.internet.protocol, loopback=twisted.protocols.loopback, iosim=twisted.test.iosim
    ),
}
BOTH = pytest.mark.parametrize("module", MODULES.values(), ids=MODULES)


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class Tracing:
    """Takes what protocols and consumers are told."""

    def __init__(self) -> None:
        self.trace: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args: self.trace.append((name, *args))


@BOTH
def test_adapters(module: Any) -> None:
    """Data that is written goes to the protocol, received data to the consumer, and nothing else goes anywhere."""
    original: Any = Tracing()
    consumer = module.protocol.ProtocolToConsumerAdapter(original)
    consumer.registerProducer(object(), True)
    consumer.write(b"one")
    consumer.unregisterProducer()
    assert consumer.original is original
    protocol = module.protocol.ConsumerToProtocolAdapter(original)
    protocol.makeConnection(object())
    protocol.connectionMade()
    protocol.dataReceived(b"two")
    protocol.connectionLost(None)
    assert protocol.original is original
    assert original.trace == [("dataReceived", b"one"), ("write", b"two")]


@BOTH
def test_loopbackRelay(module: Any) -> None:
    """Nothing arrives before clearBuffer, and the end comes once, after the data."""
    target, log = Tracing(), io.StringIO()
    relay = module.loopback.LoopbackRelay(target, log)
    relay.write(b"a")
    relay.writeSequence([b"b", b"c"])
    relay.loseConnection()
    assert target.trace == []
    producer: Any = Tracing()
    relay.registerProducer(producer, False)
    relay.clearBuffer()
    relay.unregisterProducer()
    relay.loseConnection()
    relay.clearBuffer()
    assert [event[0] for event in target.trace] == ["dataReceived", "connectionLost"]
    assert target.trace[0][1] == b"abc"
    assert producer.trace == [("resumeProducing",)]
    assert (relay.getHost(), relay.getPeer(), relay.logPrefix()) == ("loopback", "loopback", "Loopback('Tracing')")
    assert log.getvalue() == "loopback writing b'a'\nloopback writing b'bc'\nloopback receiving b'abc'\n"


def test_loopbackUNIX(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two protocols talk over a UNIX socket; when they are done, neither it nor its directory is left."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    loop = EpollReactor()
    trace: list[Any] = []

    class Server(Protocol):
        def connectionMade(self) -> None:
            trace.append(type(self.transport.getHost()).__name__)

        def dataReceived(self, data: bytes) -> None:
            trace.append(data)
            self.transport.loseConnection()

    class Client(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")

    def talk() -> None:
        loopbackUNIX(Server(), Client(), noisy=False).addBoth(trace.append).addBoth(lambda _: loop.stop())

    loop.callWhenRunning(talk)
    loop.run(installSignalHandlers=False)
    assert trace == ["UNIXAddress", b"hello", None]
    assert os.listdir(tmp_path) == []
    OURS.close(loop)


@BOTH
def test_connectableEndpoint(module: Any) -> None:
    """Its connections are made, or fail, when the test says so."""
    endpoint, completer = module.iosim.connectableEndpoint()
    results: list[Any] = []
    made = module.protocol.Protocol()
    endpoint.connect(module.protocol.Factory.forProtocol(lambda: made)).addCallback(results.append)
    assert results == []
    pump = completer.succeedOnce()
    assert results == [made]
    made.transport.write(b"x")
    pump.flush()
    endpoint.connect(module.protocol.Factory.forProtocol(module.protocol.Protocol)).addErrback(results.append)
    completer.failOnce()
    assert results[1].type.__name__ == "ConnectionRefusedError"


def test_connectableEndpointOfOurs() -> None:
    endpoint, completer = connectableEndpoint(debug=True)
    failures: list[Any] = []
    connectProtocol(endpoint, Protocol()).addErrback(failures.append)
    completer.failOnce()
    assert failures[0].check(ConnectionRefusedError)


class TestBufferSize:
    """transport.bufferSize bounds what one read gives."""

    def test_over(self, world: World) -> None:
        sizes: list[int] = []
        hooks = {"made": lambda made: setattr(made.transport, "bufferSize", 500)}
        server, client = world.pair(server={**hooks, "data": lambda _, data: sizes.append(len(data))})
        client.transport.write(b"x" * 1200)
        world.until(lambda: len(server.received) == 1200)
        assert server.transport.bufferSize == 500
        assert max(sizes) == 500

    def test_unix(self, world: World) -> None:
        ours, peers = [], list[Any]()
        server, client, pump = connectedServerAndClient(Protocol, Protocol)
        server.dataReceived = lambda data: ours.append(len(data))  # type: ignore[method-assign]
        server.transport.bufferSize = 7
        client.transport.write(b"x" * 20)
        pump.flush()
        assert (ours, peers) == ([7, 7, 6], [])

    def test_tls(self) -> None:
        """Over TLS it bounds the ciphertext that is read at a time; everything arrives."""
        world = TLSWorld()
        server, client = world.pair(server={"made": lambda made: setattr(made.transport, "bufferSize", 100)})
        client.transport.write(b"x" * 5000)
        world.until(lambda: len(server.received) == 5000)
        assert server.transport.bufferSize == server.transport.lower.bufferSize == 100
        world.close()

    @pytest.mark.parametrize("wrong", [0, -1, 1.5, "7", None])
    def test_wrong(self, world: World, wrong: Any) -> None:
        server, _ = world.pair()
        with pytest.raises(ValueError, match="at least one byte"):
            server.transport.bufferSize = wrong
        assert server.transport.bufferSize == 65536


class TestNoThreads:
    """suggestThreadPoolSize(0): work waits, and is done in order once there is a size."""

    def test_workWaits(self, world: World) -> None:
        loop = world.reactor
        loop.suggestThreadPoolSize(0)
        trace: list[Any] = []
        loop.callInThread(trace.append, "first")
        second = deferToThreadPool(loop, loop.getThreadPool(), trace.append, "second")
        given = deferToThreadPool(loop, loop.getThreadPool(), trace.append, "given up")
        failed = deferToThreadPool(loop, loop.getThreadPool(), int, "no number")
        failures: list[Any] = []
        failed.addErrback(failures.append)
        given.addErrback(failures.append)
        given.cancel()
        loop.iterate(0)
        assert trace == []
        loop.suggestThreadPoolSize(1)
        second.addCallback(lambda _: trace.append("done"))
        world.until(lambda: trace == ["first", "second", "done"] and len(failures) == 2)
        assert [failure.type.__name__ for failure in failures] == ["CancelledError", "ValueError"]
        loop.suggestThreadPoolSize(0)
        loop.callInThread(trace.append, "last")
        loop.suggestThreadPoolSize(THREAD_POOL_SIZE)
        world.until(lambda: trace[-1] == "last")

    def test_fromAnyThread(self, world: World) -> None:
        loop = world.reactor
        loop.suggestThreadPoolSize(0)
        done: list[int] = []
        pool = loop.getThreadPool()
        threads = [threading.Thread(target=pool.submit, args=(done.append, number)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        loop.suggestThreadPoolSize(2)
        world.until(lambda: sorted(done) == list(range(20)))

    def test_lessThanNone(self, world: World) -> None:
        with pytest.raises(ValueError, match="no less than no threads"):
            world.reactor.suggestThreadPoolSize(-1)


@pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in SIDES])
def test_aChildHasNoAddress(side: Any) -> None:
    world = World(side)
    ended: list[Any] = []
    child = side.protocol.ProcessProtocol()
    child.processEnded = ended.append
    transport = world.reactor.spawnProcess(child, "/bin/true", ["true"]) if side is OURS else None
    for name in ("getHost", "getPeer"):
        if transport is not None:
            with pytest.raises(NotImplementedError):
                getattr(transport, name)()
        else:
            with pytest.raises(NotImplementedError):
                getattr(twisted.internet.process.Process, name)(None)
    if transport is not None:
        turnUntil(world.reactor, lambda: ended)
    world.close()


@pytest.mark.parametrize("defer", [reactor.defer, twisted.internet.defer], ids=["ours", "twisted"])
def test_aDeferredThatReturnsItself(defer: Any) -> None:
    """Where warnings are errors, this one is the failure of the callback."""
    deferred, results = defer.Deferred(), list[Any]()
    deferred.addCallback(lambda _: deferred)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        deferred.callback(1)
        deferred.addErrback(results.append)
    assert results[0].type is DeprecationWarning


@pytest.mark.parametrize("defer", [reactor.defer, twisted.internet.defer], ids=["ours", "twisted"])
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_timeout(defer: Any) -> None:
    deferred, results = defer.Deferred(), list[Any]()
    deferred.addErrback(results.append)
    defer.timeout(deferred)
    assert (results[0].type, str(results[0].value)) == (defer.TimeoutError, "Callback timed out")


@pytest.mark.parametrize("arguments", [((), {}), ((1,), {"key": "value"})])
def test_whatALoopingCallShows(arguments: Any) -> None:
    def call(*args: Any, **kwargs: Any) -> None:
        pass

    made = [module.LoopingCall(call, *arguments[0], **arguments[1]) for module in (reactor.task, twisted.internet.task)]
    assert repr(made[0]) == repr(made[1])
    for each in made:
        each.clock = reactor.task.Clock()
        each.start(3, now=False)
    assert repr(made[0]) == repr(made[1])
    for each in made:
        each.stop()


@pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in SIDES])
def test_callsAndTriggers(side: Any) -> None:
    world = World(side)
    call = world.reactor.callLater(99, print)
    assert abs(call.seconds() - world.reactor.seconds()) < 50
    call.cancel()
    for wrong in ("b", None, 7):
        with pytest.raises((ValueError, TypeError)):
            world.reactor.removeSystemEventTrigger(wrong)
    world.close()


def test_removedTriggerIsAValueError(world: World) -> None:
    with pytest.raises(ValueError, match="removes a trigger, not 'b'"):
        world.reactor.removeSystemEventTrigger("b")


def test_factoriesOfLoopbacks() -> None:
    factory = reactor.testing.LoopbackClientFactory(Protocol())
    assert isinstance(factory, Factory)
    assert isinstance(factory.deferred, Deferred)
    factory.clientConnectionLost(None, None)  # type: ignore[arg-type]
    assert (factory.disconnected, factory.deferred.called) == (1, True)
