"""A worker alone: its supervisor is a plain socket, and nothing is a process."""

from __future__ import annotations

import array
import faulthandler
import json
import logging
import os
import random
import re
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred, fail
from reactor.protocol import Factory, Protocol
from reactor.service import worker as workers
from reactor.service.control import formatSockets
from reactor.service.worker import NOT_FOR_WORKERS, Worker
from tests.support.worlds import DEADLINE, LOOPBACK, OURS, World, runUntil


class Supervised:
    """A Worker on a reactor of its own, and its supervisor's end of the channel, which sees each message."""

    def __init__(self, **variables: str) -> None:
        self.world = World(OURS)
        self.reactor = self.world.reactor
        self.supervisor, theirs = socket.socketpair()
        self.supervisor.setblocking(False)
        self.listening = socket.create_server((LOOPBACK, 0))
        self.address = self.listening.getsockname()
        names = {"echo": [os.dup(self.listening.fileno())]}
        environment = {
            "LINEREACTOR_CONTROL": str(theirs.detach()),
            "LINEREACTOR_SOCKETS": formatSockets(names),
            "LINEREACTOR_WORKER": "3",
            "LINEREACTOR_GENERATION": "2",
            "LINEREACTOR_CONTROL_BEAT": "0.01",
            "PATH": "/bin",
            **variables,
        }
        worker = Worker.fromEnvironment(self.reactor, environment)
        assert worker is not None
        assert environment == {"PATH": "/bin"}
        self.worker = worker
        self._read = b""
        self.messages: list[dict[str, Any]] = []

    def look(self) -> None:
        """Take the messages that have come."""
        try:
            self._read += self.supervisor.recv(1 << 20)
        except BlockingIOError:
            return
        *lines, self._read = self._read.split(b"\n")
        self.messages += map(json.loads, lines)

    def told(self, event: str) -> dict[str, Any] | None:
        """The last message of an event, None if there is none yet."""
        self.look()
        return next((message for message in reversed(self.messages) if message["event"] == event), None)

    def order(self, **message: Any) -> None:
        """Send an order."""
        self.supervisor.sendall(json.dumps(message).encode() + b"\n")

    def give(self, name: str, sock: socket.socket) -> None:
        """Order to take a socket."""
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [sock.fileno()]))
        data = json.dumps({"order": "take", "name": name}).encode() + b"\n"
        self.supervisor.sendmsg([data[:1]], [rights])
        self.supervisor.sendall(data[1:])

    def until(self, condition: Callable[[], object]) -> None:
        """Turn the reactor until a condition is true. It does not count as running."""
        self.world.until(condition)

    def run(self, *conditions: Callable[[], object]) -> None:
        """Run the reactor until the worker stops it. Meanwhile each condition must come true, one after the other."""
        left = list(conditions)

        def look() -> None:
            self.look()
            while left and left[0]():
                left.pop(0)
            again.reset(0.001) if again.active() else self.reactor.callLater(0.001, look)

        again = self.reactor.callLater(0, look)
        guard = self.reactor.callLater(DEADLINE, self.reactor.crash)
        self.reactor.run(installSignalHandlers=False)
        assert guard.active(), "the worker has not stopped in time"
        guard.cancel()
        self.look()
        assert not left

    def close(self) -> None:
        self.supervisor.close()
        self.listening.close()
        self.worker._closeSockets()
        self.world.close()


@pytest.fixture
def make() -> Iterator[Callable[..., Supervised]]:
    """Make workers, and take back what they do to the signals of this process."""
    numbers = [getattr(signal, name) for name in (*NOT_FOR_WORKERS, "SIGUSR1", "SIGTERM", "SIGINT")]
    before = {number: signal.getsignal(number) for number in numbers}
    wasEnabled = faulthandler.is_enabled()
    made: list[Supervised] = []

    def build(**variables: str) -> Supervised:
        made.append(Supervised(**variables))
        return made[-1]

    yield build
    for each in made:
        each.close()
    for number, handler in before.items():
        signal.signal(number, handler)
    if not wasEnabled:
        faulthandler.disable()


class Greeting(Protocol):
    """Writes a byte."""

    def connectionMade(self) -> None:
        """Greet."""
        assert self.transport is not None
        self.transport.write(b"!")


def greeted(address: Any) -> socket.socket:
    return socket.create_connection(address, DEADLINE)


def test_withoutASupervisorThereIsNoWorker() -> None:
    environment = {"PATH": "/bin"}
    assert Worker.fromEnvironment(World().reactor, environment) is None
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LINEREACTOR_SOCKETS": "echo"}, "LINEREACTOR_SOCKETS has the form name=descriptor"),
        ({"LINEREACTOR_SOCKETS": "echo=²"}, "LINEREACTOR_SOCKETS has the form name=descriptor"),
        ({"LINEREACTOR_SOCKETS": "echo=99999"}, "'echo' in LINEREACTOR_SOCKETS is descriptor 99999: Bad file"),
        ({"LINEREACTOR_SOCKETS": "a=FILE"}, "'a' in LINEREACTOR_SOCKETS is descriptor FILE, which is no socket"),
        ({"LINEREACTOR_SOCKETS": "a=OTHER,b=OTHER"}, "descriptor OTHER is named twice"),
        ({"LINEREACTOR_SOCKETS": "a=ONE"}, "descriptor ONE is named twice"),
        ({"LINEREACTOR_WORKER": "one"}, "LINEREACTOR_WORKER is a whole number from 0, and not 'one'"),
        ({"LINEREACTOR_WORKER": "-1"}, "LINEREACTOR_WORKER is a whole number"),
        ({"LINEREACTOR_GENERATION": "9" * 5000}, "LINEREACTOR_GENERATION is a whole number"),
        ({"LINEREACTOR_CONTROL_GRACE": "soon"}, "LINEREACTOR_CONTROL_GRACE is a number of seconds from 0, and not"),
        ({"LINEREACTOR_CONTROL_GRACE": "nan"}, "LINEREACTOR_CONTROL_GRACE is a number of seconds from 0, and not"),
        ({"LINEREACTOR_CONTROL_BEAT": "-1"}, "LINEREACTOR_CONTROL_BEAT is a number of seconds from 0, and not '-1'"),
        ({"LINEREACTOR_CONTROL": "99999"}, "LINEREACTOR_CONTROL is descriptor 99999: Bad file descriptor"),
        ({"LINEREACTOR_CONTROL": ""}, "LINEREACTOR_CONTROL is a whole number from 0, and not ''"),
        ({"LINEREACTOR_CONTROL": "FILE"}, "LINEREACTOR_CONTROL is descriptor FILE, which is no socket"),
        ({"LINEREACTOR_CONTROL": "UDP"}, "LINEREACTOR_CONTROL is descriptor UDP, which is no channel of a supervisor"),
        ({"LINEREACTOR_CONTROL": "DEAF"}, "LINEREACTOR_CONTROL is descriptor DEAF, which is no channel"),
    ],
)
def test_wrongVariables(variables: dict[str, str], told: str) -> None:
    """Each has an error that names it, and no descriptor is closed: a wrong one belongs to other code."""
    one, other = socket.socketpair()
    with one, other, open(os.devnull) as file, socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as deaf:
        numbers: dict[str, Any] = {"ONE": one, "OTHER": other, "FILE": file, "UDP": udp, "DEAF": deaf}

        def filled(text: str) -> str:
            for name, owner in numbers.items():
                text = text.replace(name, str(owner.fileno())) if text.isupper() or "=" in text else text
            return text

        given = {name: filled(text) for name, text in variables.items()}
        for name, owner in numbers.items():
            told = re.sub(rf"\b{name}\b", str(owner.fileno()), told)
        world = World()
        with pytest.raises(ValueError, match=re.escape(told)):
            Worker.fromEnvironment(world.reactor, {"LINEREACTOR_CONTROL": str(one.fileno()), **given})
        for owner in numbers.values():
            os.fstat(owner.fileno())
        world.close()


def test_itIsReadyAndBeats(make: Callable[..., Supervised]) -> None:
    server = make()
    worker = server.worker
    assert (worker.number, worker.generation, worker.pid) == (3, 2, os.getpid())
    counted = {"listeners": {"echo": {"linesIn": 7}}, "pid": "not that of a program"}
    worker.reports(lambda: counted)
    assert worker.snapshot()["state"] == "starting"
    worker.ready()
    worker.ready()
    assert server.told("ready") is None  # it does not run yet

    def drain() -> bool:
        if server.told("beat") is None:
            return False
        server.order(order="drain", grace=1)
        return True

    server.run(drain)
    assert server.told("ready") == {"event": "ready", "pid": os.getpid(), "takes": False}
    beats = [message["snapshot"] for message in server.messages if message["event"] == "beat"]
    snapshot = beats[0]
    assert beats[-1]["state"] == "draining"  # the last one, with what has been counted since
    assert {name: snapshot[name] for name in ("pid", "worker", "generation", "state", "listeners")} == {
        "pid": os.getpid(),
        "worker": 3,
        "generation": 2,
        "state": "ready",
        "listeners": {"echo": {"linesIn": 7}},
    }
    assert snapshot["started"] <= snapshot["time"]
    assert [message["event"] for message in server.messages].count("ready") == 1
    assert server.messages[-2] == {"event": "draining"}


def test_countersThatFailCostOnlyThemselves(make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture) -> None:
    server = make()
    server.worker.reports(lambda: 1 / 0)  # type: ignore[arg-type,return-value]
    assert server.worker.snapshot()["worker"] == 3
    assert "the counters of a worker" in caplog.text


@pytest.mark.parametrize("counters", [{"set": {1}}, {"text": "x" * (1 << 20)}, {"bytes": b""}])
def test_countersThatCannotBeSentLeaveTheBeat(
    make: Callable[..., Supervised], counters: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Without beats, the watchdog would end the worker."""
    server = make()
    server.worker.reports(lambda: counters)
    server.worker.ready()

    def end() -> bool:
        if server.messages[-2:] != [{"event": "beat"}] * 2:
            return False
        server.order(order="drain", grace=1)
        return True

    server.run(end)
    assert "the counters of a worker" in caplog.text


def test_listenAcceptsAndDrainCloses(make: Callable[..., Supervised]) -> None:
    server = make()
    (port,) = server.worker.listen("echo", Factory.forProtocol(Greeting))
    assert port.getHost().port == server.address[1]
    with pytest.raises(KeyError):
        server.worker.listen("other", Factory())
    server.worker.ready()
    server.listening.close()  # as the supervisor does at the end
    with greeted(server.address) as peer:
        peer.setblocking(False)
        server.order(order="drain", grace=1)
        server.run()
        assert peer.recv(10) == b"!"  # the last clients are let in
    ready = server.told("ready")
    assert ready is not None
    assert ready["takes"]
    with pytest.raises(ConnectionRefusedError):
        greeted(server.address)


def test_drainWaitsForTheProgram(make: Callable[..., Supervised]) -> None:
    server = make()
    waits: Deferred[None] = Deferred()
    graces: list[float] = []

    def drain(grace: float) -> Deferred[None]:
        graces.append(grace)
        return waits

    server.worker.onDrain(drain)
    server.worker.onDrain(lambda grace: None)
    server.worker.ready()
    server.order(order="drain", grace=9, sendFin=True)
    server.order(order="drain", grace=1)  # it has begun already

    def end() -> bool:
        if not graces:
            return False
        assert server.worker.isDraining
        assert server.worker.sendFin
        assert server.worker.sockets == {}
        server.reactor.callLater(0, waits.callback, None)
        return True

    server.run(end)
    assert graces == [9]
    assert [message["event"] for message in server.messages[-2:]] == ["draining", "beat"]


@pytest.mark.parametrize("fails", [lambda grace: 1 / 0, lambda grace: fail(ValueError("late"))])
def test_aDrainThatFailsIsOver(
    make: Callable[..., Supervised], fails: Callable[[float], object], caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.worker.onDrain(fails)
    server.worker.ready()
    server.order(order="drain", grace=100)
    server.run()
    assert "the drain of a worker" in caplog.text


def test_theGraceIsADeadline(make: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for the triggers of a shutdown that wait for ever."""
    monkeypatch.setattr(workers, "LEEWAY", 0.01)
    server = make()
    server.worker.onDrain(lambda grace: Deferred())
    server.reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred())
    server.worker.ready()
    server.order(order="drain", grace=0.02)
    server.run()


def test_nowIsNow(make: Callable[..., Supervised]) -> None:
    server = make()
    server.worker.onDrain(lambda grace: Deferred())
    server.reactor.addSystemEventTrigger("before", "shutdown", lambda: Deferred())
    server.worker.ready()
    server.order(order="drain", grace=1000)
    server.order(order="now")
    server.run()


def test_theEndOfTheSupervisorIsADrain(make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture) -> None:
    server = make(LINEREACTOR_CONTROL_GRACE="7.5")
    graces: list[float] = []
    server.worker.onDrain(graces.append)
    server.worker.ready()
    server.supervisor.close()
    server.supervisor = socket.socket()  # the test's end reads from it
    server.look = lambda: None  # type: ignore[method-assign]
    server.run()
    assert graces == [7.5]
    assert "the supervisor has ended, so this worker ends, too" in caplog.text


def test_itsOwnStopIsNotTheEndOfTheSupervisor(
    make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture
) -> None:
    server = make()
    server.worker.ready()
    server.reactor.callWhenRunning(server.reactor.stop)
    server.run()
    assert "supervisor" not in caplog.text


def test_filesAreReopened(make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture) -> None:
    """A call that fails keeps no other from its turn."""
    server = make()
    calls: list[int] = []
    server.worker.onReopen(lambda: 1 / 0)
    server.worker.onReopen(lambda: calls.append(1))
    server.order(order="reopen")
    server.order(order="reopen")
    server.until(lambda: len(calls) == 2)
    assert "ZeroDivisionError" in caplog.text


def test_furtherSocketsAreTaken(make: Callable[..., Supervised]) -> None:
    """By the factory of their name, else by the program's call."""
    server = make()
    taken: list[tuple[str, socket.socket]] = []
    ports = server.worker.listen("echo", Factory.forProtocol(Greeting))
    server.worker.onTake(lambda name, sock: taken.append((name, sock)))
    with socket.create_server((LOOPBACK, 0)) as second, socket.create_server((LOOPBACK, 0)) as third:
        server.give("echo", second)
        server.give("other", third)
        server.until(lambda: len(ports) == 2 and taken)
        ((name, sock),) = taken
        with sock:
            assert (name, sock.getsockname(), sock.get_inheritable()) == ("other", third.getsockname(), False)
        with greeted(second.getsockname()) as peer:
            peer.setblocking(False)

            def heard() -> bool:
                try:
                    return peer.recv(1) == b"!"
                except BlockingIOError:
                    return False

            server.until(heard)
    for port in ports:
        port.stopListening()
    server.reactor.iterate(0)


def test_aSocketThatNobodyTakesIsClosed(make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture) -> None:
    server = make()
    with socket.create_server((LOOPBACK, 0)) as further:
        server.give("other", further)
        server.until(lambda: "nobody takes a further socket of 'other'" in caplog.text)


def test_aDrainingWorkerTakesNothing(make: Callable[..., Supervised]) -> None:
    server = make()
    taken: list[str] = []
    server.worker.onTake(lambda name, sock: taken.append(name))
    server.worker.onDrain(lambda grace: Deferred())
    server.order(order="drain", grace=0.1)
    with socket.create_server((LOOPBACK, 0)) as further:
        server.give("echo", further)
        server.order(order="reopen")
        reopened: list[int] = []
        server.worker.onReopen(lambda: reopened.append(1))
        server.until(lambda: reopened)
    assert taken == []


def test_itRetires(make: Callable[..., Supervised]) -> None:
    server = make()
    server.worker.retire()
    server.worker.retire()
    server.until(lambda: server.told("retiring"))
    assert server.messages == [{"event": "retiring"}]
    assert not server.worker.isDraining  # until there is another


@pytest.mark.parametrize("limits", [{"maxLines": 100}, {"maxLifetime": 0.02}])
def test_itRetiresByItsLimits(make: Callable[..., Supervised], limits: dict[str, Any]) -> None:
    server = make()
    lines = {"count": 0}

    def stats() -> dict[str, Any]:
        lines["count"] += 10
        return {"listeners": {"echo": {"linesIn": lines["count"]}}}

    server.worker.reports(stats)
    server.worker.limitLife(**limits)
    server.worker.ready()

    def end() -> bool:
        if server.told("retiring") is None:
            return False
        server.order(order="drain", grace=1)
        return True

    server.run(end)
    if "maxLines" in limits:
        assert 80 <= lines["count"] <= 140  # the jitter is a tenth, and a beat has passed before this looks


def test_limitsDiffer(make: Callable[..., Supervised], monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        shares.append((low, high))
        return 1.05

    monkeypatch.setattr(random, "uniform", uniform)
    server = make()
    server.worker.limitLife(maxLifetime=1000.0, jitter=0.2)
    assert shares == [(0.8, 1.2)]
    (call,) = server.reactor.getDelayedCalls()
    assert 1049 < call.getTime() - server.reactor.seconds() <= 1050
    call.cancel()


def test_itSaysWhyItFails(make: Callable[..., Supervised]) -> None:
    """At once, as it exits behind that, and its reactor may never run."""
    server = make()
    server.worker.failed("no such application")
    assert server.told("failed") == {"event": "failed", "reason": "no such application"}


def test_anAdminProcessHearsTheStatus(make: Callable[..., Supervised]) -> None:
    server = make()
    heard: list[Any] = []
    server.worker.onStatus(heard.append)
    server.order(event="status", status={"state": "ready"})
    server.until(lambda: heard)
    assert heard == [{"state": "ready"}]


def test_unknownOrdersAreLogged(make: Callable[..., Supervised], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    server = make()
    server.order(order="dance")
    server.until(lambda: "an unknown message of the supervisor" in caplog.text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_aSignalDrains(make: Callable[..., Supervised], number: int) -> None:
    """A second one changes nothing: how long a drain may take is the supervisor's decision."""
    server = make(LINEREACTOR_CONTROL_GRACE="3")
    waits: Deferred[None] = Deferred()
    graces: list[float] = []

    def drain(grace: float) -> Deferred[None]:
        graces.append(grace)
        os.kill(os.getpid(), number)
        server.reactor.callLater(0.05, waits.callback, None)
        return waits

    server.worker.onDrain(drain)
    server.worker.ready()
    server.reactor.callWhenRunning(os.kill, os.getpid(), number)
    for other in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1):
        os.kill(os.getpid(), other)
    server.run()
    assert graces == [3]
    assert waits.called


def test_aSecondSignalOfALoneWorkerCounts(make: Callable[..., Supervised]) -> None:
    server = make(LINEREACTOR_CONTROL_GRACE="1000")
    server.worker.onDrain(lambda grace: Deferred())
    server.worker.ready()
    server.supervisor.close()
    server.look = lambda: None  # type: ignore[method-assign]

    def end() -> bool:
        if server.worker.isDraining:
            os.kill(os.getpid(), signal.SIGTERM)
        return server.worker.isDraining

    server.run(end)


def test_theReactorRunsMeanwhile(make: Callable[..., Supervised]) -> None:
    """A worker changes nothing for the program: its reactor may run and stop as always."""
    server = make()
    done: list[int] = []
    server.reactor.callLater(0.01, done.append, 1)
    runUntil(server.reactor, lambda: done)
