"""ReconnectingClientFactory and ClientCreator, beside Twisted's."""

from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import reactor as package
from reactor import Clock
from tests.support.worlds import LOOPBACK, OURS, SIDES, World, refusedPort, silentServer

ENDINGS = ("Failed", "Lost")


@pytest.fixture(autouse=True)
def _noErrors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing here raises where nobody looks."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR] == []


class Connector:
    """The part of a connector that a factory needs."""

    def __init__(self, side: Any, trace: list[Any]) -> None:
        self.side, self.trace = side, trace

    def connect(self) -> None:
        self.trace.append("connect")

    def stopConnecting(self) -> None:
        self.trace.append("stopConnecting")
        raise self.side.error.NotConnectingError


@pytest.mark.parametrize("seed", range(60))
def test_reconnecting(seed: int) -> None:
    """Random scripts of failures, losses, resets and time passing: the same delays, the same connects."""
    traces = []
    for side in SIDES:
        rng = random.Random(seed)
        trace: list[Any] = []
        clock, connector = side.task.Clock(), Connector(side, trace)
        factory = side.protocol.ReconnectingClientFactory()
        factory.noisy, factory.clock = False, clock
        factory.jitter = rng.choice([None, 0, 0.119626565582])
        factory.maxRetries = rng.choice([None, None, 3])
        factory.maxDelay = rng.choice([3600, 10])
        random.seed(seed)
        for _ in range(30):
            action = rng.choice(["Failed", "Lost", "Failed", "Lost", "reset", "stop", "retry", "later"])
            # One attempt at a time, as a connector has it.
            if action in ENDINGS and not clock.getDelayedCalls():
                getattr(factory, f"clientConnection{action}")(connector, None)
            elif action == "reset" and not clock.getDelayedCalls():
                factory.resetDelay()
            elif action == "stop" and rng.random() < 0.3:
                factory.stopTrying()
            elif action == "retry" and not clock.getDelayedCalls():
                try:
                    factory.retry()
                except ValueError:
                    trace.append("ValueError")
            else:
                clock.advance(rng.choice([0.5, 3, 100]))
            delays = [round(call.getTime() - clock.seconds(), 9) for call in clock.getDelayedCalls()]
            trace.append((action, delays, round(factory.delay, 9), factory.retries, bool(factory.continueTrying)))
        traces.append(trace)
    assert traces[0] == traces[1]


def test_jitterNeverGoesBackInTime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "normalvariate", lambda mean, deviation: -1.0)
    factory: Any = package.ReconnectingClientFactory()
    factory.noisy, factory.clock = False, OURS.task.Clock()
    trace: list[Any] = []
    factory.clientConnectionFailed(Connector(OURS, trace), None)
    factory.clock.advance(0)
    assert trace == ["connect"]


def test_delaysOfReconnecting() -> None:
    for side in SIDES:
        clock = side.task.Clock()
        factory = side.protocol.ReconnectingClientFactory()
        factory.noisy, factory.clock, factory.jitter = False, clock, None
        delays = []
        for _ in range(12):
            factory.clientConnectionFailed(Connector(side, []), None)
            delays.append(clock.getDelayedCalls()[0].getTime() - clock.seconds())
            clock.advance(4000)
        assert [round(delay, 4) for delay in delays[:4]] == [1.0, 2.7183, 7.3891, 20.0855]
        assert delays[-1] == 3600


@pytest.mark.parametrize("state", ["new", "waiting"])
def test_pickledReconnecting(state: str) -> None:
    traces = []
    for side in SIDES:
        factory = side.protocol.ReconnectingClientFactory()
        factory.noisy, factory.clock, factory.extra = False, side.task.Clock(), 1
        if state == "waiting":
            factory.clientConnectionFailed(Connector(side, []), None)
        traces.append(vars(pickle.loads(pickle.dumps(factory))))
    assert traces[0] == traces[1]


def test_reconnectingOverSockets() -> None:
    """Refused, refused, connected and lost, connected again."""
    traces = []
    for side in SIDES:
        world, trace = World(side), list[Any]()
        number = refusedPort()

        class Client(side.protocol.Protocol):  # type: ignore[misc, name-defined]
            def connectionMade(self, trace: list[Any] = trace) -> None:
                trace.append("made")
                self.factory.resetDelay()
                if trace.count("made") == 1:
                    self.transport.loseConnection()

        class Factory(side.protocol.ReconnectingClientFactory):  # type: ignore[misc, name-defined]
            initialDelay = delay = 0.001
            noisy = False
            protocol = Client

            def clientConnectionFailed(self, connector: Any, reason: Any, trace: list[Any] = trace) -> None:
                trace.append(("failed", type(reason.value).__name__))
                super().clientConnectionFailed(connector, reason)

            def stopFactory(self, trace: list[Any] = trace) -> None:
                trace.append("stop")

        factory = Factory()
        factory.clock = world.reactor
        connector = world.reactor.connectTCP(LOOPBACK, number, factory)
        world.until(lambda trace=trace: len(trace) == 4)
        world.reactor.listenTCP(number, world.serverFactory(), interface=LOOPBACK)
        world.until(lambda trace=trace: trace.count("made") == 2)
        factory.stopTrying()
        connector.disconnect()
        world.until(lambda trace=trace: trace[-1] == "stop" and trace[-2] == "made")
        traces.append([event for event in trace if event == "made" or event[0] == "failed"][:2] + trace[-2:])
        world.close()
    assert traces[0] == traces[1]


def test_theCurrentReactorIsTheClock(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    factory: Any = package.ReconnectingClientFactory()
    factory.noisy = False
    trace: list[Any] = []
    factory.initialDelay = factory.delay = 0
    world.reactor.callWhenRunning(factory.clientConnectionLost, Connector(OURS, trace), None)
    world.reactor.callLater(0.001, world.reactor.stop)
    world.reactor.run(installSignalHandlers=False)
    assert factory.clock is world.reactor
    assert trace == ["connect"]
    world.close()


@pytest.mark.parametrize("noisy", [False, True])
def test_whatReconnectingLogs(caplog: pytest.LogCaptureFixture, noisy: bool) -> None:
    caplog.set_level(logging.INFO)
    clock = OURS.task.Clock()
    factory: Any = package.ReconnectingClientFactory()
    factory.noisy, factory.clock, factory.maxRetries = noisy, clock, 1
    connector = Connector(OURS, [])
    factory.clientConnectionFailed(connector, None)
    clock.advance(5)
    factory.clientConnectionFailed(connector, None)
    factory.stopTrying()
    factory.clientConnectionLost(connector, None)
    factory.retry(connector)
    assert [record.getMessage().split()[0] for record in caplog.records if "Connector" in record.getMessage()] == [
        word for word in (f"{connector!r}".split()[0], "Abandoning", "Abandoning") if noisy
    ]


# ClientCreator.


def creator(world: World, trace: list[Any], **hooks: Callable[..., object]) -> Any:
    class Once(world.side.protocol.Protocol):  # type: ignore[misc, name-defined]
        def __init__(self, *args: object, **kwargs: object) -> None:
            trace.append(("init", args, kwargs))

        def connectionMade(self) -> None:
            trace.append(("made", self.factory))
            if "made" in hooks:
                hooks["made"](self)

        def connectionLost(self, reason: Any = None) -> None:
            trace.append(("lost", type(reason.value).__name__))

    return world.side.protocol.ClientCreator(world.reactor, Once, 1, key=2)


def fired(trace: list[Any]) -> Callable[[Any], None]:
    def callback(result: Any) -> None:
        value = getattr(result, "value", None)
        trace.append(("fired", type(result).__name__ if value is None else type(value).__name__))

    return callback


@pytest.mark.parametrize("stage", ["at once", "on the way", "made", "fired", "never"])
def test_creatorConnects(stage: str) -> None:
    traces = []
    for side in SIDES:
        world, trace = World(side), list[Any]()
        servers = world.serverFactory()
        port = world.listen(servers)
        made: list[Any] = []
        hooks: dict[str, Any] = {"made": lambda _, made=made: made[0].cancel()} if stage == "made" else {}
        done = creator(world, trace, **hooks).connectTCP(LOOPBACK, port.getHost().port)
        made.append(done)
        done.addBoth(fired(trace))
        if stage == "at once":
            done.cancel()
        world.until(lambda trace=trace: "fired" in [event[0] for event in trace])
        if stage == "fired":
            done.cancel()
        if stage == "made":
            world.until(lambda trace=trace: ("lost", "ConnectionDone") in trace)
        if stage in ("fired", "never"):
            world.until(lambda servers=servers: servers.built)
            servers.only.transport.loseConnection()
            world.until(lambda trace=trace: trace[-1][0] == "lost")
        traces.append(trace)
        world.close()
    assert traces[0] == traces[1]


@pytest.mark.parametrize("stage", ["timeout", "cancelled", "refused", "cancelled after the failure"])
def test_creatorFails(stage: str) -> None:
    traces = []
    for side in SIDES:
        world, trace = World(side), list[Any]()
        with silentServer() as (host, number):
            if "ref" in stage or "after" in stage:
                number = refusedPort()
            # From another address: from the same one it could get the port that is refused, and connect to itself.
            done = creator(world, trace).connectTCP(host, number, timeout=0.01, bindAddress=("127.0.0.2", 0))
            done.addBoth(fired(trace))
            world.reactor.iterate(0)
            if "cancelled" in stage:
                done.cancel()
            world.until(lambda trace=trace: trace[-1][0] == "fired")
        world.reactor.iterate(0)
        traces.append(trace)
        world.close()
    assert traces[0] == traces[1]
    assert len(traces[0]) == 2


def test_orderOfFiring() -> None:
    """Never inside connectTCP or connectionMade: on a turn of its own, after connectionMade."""
    traces = []
    for side in SIDES:
        world, trace = World(side), list[Any]()
        port = world.listen(world.serverFactory())
        hooks = {"made": lambda _, world=world, trace=trace: world.reactor.callLater(0, trace.append, ("call",))}
        done = creator(world, trace, **hooks).connectTCP(LOOPBACK, port.getHost().port)
        done.addBoth(fired(trace))
        trace.append(("returned",))
        world.until(lambda trace=trace: len(trace) == 5)
        traces.append(trace)
        world.close()
    assert traces[0] == traces[1]


def test_resetDelayLeavesWhatIsToCome() -> None:
    """resetDelay() while a call is pending: stopTrying() still cancels it. (Twisted's forgets it.)"""
    clock = Clock()
    connected: list[str] = []

    def connector(name: str) -> Any:
        return SimpleNamespace(connect=lambda: connected.append(name), stopConnecting=lambda: None)

    factory: Any = package.ReconnectingClientFactory()
    factory.noisy, factory.clock, factory.jitter = False, clock, 0
    one, other = connector("one"), connector("other")
    factory.retry(one)
    factory.resetDelay()
    clock.advance(1)
    assert connected == ["one"]
    factory.retry(one)
    factory.retry(other)  # a factory may serve several connectors
    factory.retry(one)  # asked for again: once is enough
    factory.resetDelay()
    assert len(clock.getDelayedCalls()) == 2
    factory.stopTrying()
    assert (clock.getDelayedCalls(), connected) == ([], ["one"])
    factory.resetDelay()
    factory.retry(other)
    clock.advance(factory.initialDelay)
    assert connected == ["one", "other"]
