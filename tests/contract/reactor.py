"""Tests of every reactor. A subclass has the fixture `make`, which returns a new reactor at each call."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import _current, current, defer
from reactor.error import (
    AlreadyCalled,
    AlreadyCancelled,
    ConnectionLost,
    ReactorAlreadyRunning,
    ReactorNotRestartable,
    ReactorNotRunning,
)
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.policies import TimeoutMixin
from reactor.protocol import ClientCreator, ClientFactory, Protocol, ServerFactory
from reactor.task import LoopingCall
from reactor.timers import LATE
from tests.conftest import openFiles
from tests.contract.failures import FailureContract
from tests.contract.memory import MemoryContract
from tests.contract.refusals import RefusalContract
from tests.support.worlds import DEADLINE, LOOPBACK, dial, readAll, runUntil, turnUntil

Make = Callable[[], Any]


class Boom(Exception):
    pass


def boom(*_: object) -> None:
    raise Boom


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[type[BaseException]]:
    infos = [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR]
    return [info[0] for info in infos if info and info[0]]


def start(reactor: Any) -> None:
    """Run until stop(), and fail at the deadline."""
    late = reactor.callLater(DEADLINE, reactor.crash)
    reactor.run(installSignalHandlers=False)
    assert late.active(), "the reactor has not stopped in time"
    late.cancel()


class Ear:
    """A reader of a pipe or socket of a program's own."""

    def __init__(self, fd: int, told: list[Any], does: Callable[[Ear], Any] = lambda ear: None) -> None:
        self.fd, self.told, self.does = fd, told, does

    def fileno(self) -> int:
        return self.fd

    def doRead(self) -> Any:
        self.told.append(("read", os.read(self.fd, 4096)))
        return self.does(self)

    def doWrite(self) -> Any:
        self.told.append("write")
        return self.does(self)

    def connectionLost(self, reason: Failure) -> None:
        self.told.append(("lost", type(reason.value)))

    def logPrefix(self) -> str:
        return "ear"


class Running:
    def test_runAndStop(self, make: Make) -> None:
        reactor = make()
        seen: list[Any] = []
        assert reactor.running is False

        def look() -> None:
            seen.append((reactor.running, current() is reactor))
            reactor.stop()
            seen.append(reactor.running)
            with pytest.raises(ReactorNotRunning):
                reactor.stop()

        reactor.callLater(0, look)
        start(reactor)
        assert seen == [(True, True), True]
        assert reactor.running is False

    def test_stopBeforeRun(self, make: Make) -> None:
        with pytest.raises(ReactorNotRunning):
            make().stop()

    def test_runInsideRun(self, make: Make) -> None:
        reactor, seen = make(), []

        def again() -> None:
            with pytest.raises(ReactorAlreadyRunning):
                reactor.run()
            seen.append(True)
            reactor.stop()

        reactor.callLater(0, again)
        start(reactor)
        assert seen == [True]

    def test_runsAgainWithItsDelayedCalls(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        reactor.callLater(0, reactor.stop)
        kept = reactor.callLater(DEADLINE, order.append, "kept")
        stop = reactor.callLater(DEADLINE, reactor.stop)
        cancelled = reactor.callLater(DEADLINE, order.append, "cancelled")
        reactor.callWhenRunning(order.append, 1)
        start(reactor)
        assert order == [1]
        assert kept.active()
        cancelled.cancel()
        kept.reset(0.001)
        stop.reset(0.002)
        reactor.callWhenRunning(order.append, 2)
        start(reactor)
        assert order == [1, 2, "kept"]

    def test_runsAgainWithNewPortsAndConnections(self, make: Make) -> None:
        reactor = make()
        for _ in range(3):
            lost: list[Any] = []

            class Echo(Protocol):
                def dataReceived(self, data: bytes) -> None:
                    self.transport.write(data)

                def connectionLost(self, reason: Any = None, lost: list[Any] = lost) -> None:
                    lost.append(type(reason.value))

            port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
            peer = dial(port)
            peer.sendall(b"hello")

            class Ask(Protocol):
                def connectionMade(self) -> None:
                    self.transport.write(b"x")

                def dataReceived(self, data: bytes) -> None:
                    self.factory.reactor.stop()

            factory: Any = ClientFactory.forProtocol(Ask)
            factory.reactor = reactor
            reactor.connectTCP(LOOPBACK, port.getHost().port, factory)
            start(reactor)
            assert lost == [ConnectionLost, ConnectionLost]
            assert readAll(peer) == b"hello"
            peer.close()
            with pytest.raises(ConnectionRefusedError):
                dial(port.getHost().port)
            assert reactor.getReaders() == reactor.getWriters() == []

    def test_crashKeepsEverything(self, make: Make) -> None:
        reactor, order = make(), list[Any]()

        class Keep(Protocol):
            def connectionMade(self) -> None:
                order.append("made")
                reactor.crash()

            def dataReceived(self, data: bytes) -> None:
                order.append(data)
                reactor.stop()

            def connectionLost(self, reason: Any = None) -> None:
                order.append(type(reason.value))

        reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Keep), interface=LOOPBACK)
        peer = dial(port)
        start(reactor)
        assert order == ["made"]
        peer.sendall(b"still there")
        start(reactor)
        assert order == ["made", b"still there", "shutdown", ConnectionLost]
        peer.close()

    @pytest.mark.parametrize("how", ["callLater", "callFromThread", "startup"])
    def test_crashEndsTheLoopAtOnce(self, make: Make, how: str) -> None:
        reactor = make()
        if how == "startup":
            reactor.callWhenRunning(reactor.crash)
        elif how == "callLater":
            reactor.callLater(0, reactor.crash)
        else:
            reactor.callFromThread(reactor.crash)
        started = time.monotonic()
        reactor.run(installSignalHandlers=False)
        assert time.monotonic() - started < DEADLINE

    def test_stopFromEveryPlace(self, make: Make) -> None:
        reactor = make()
        place: Callable[[], object]
        for place in (
            lambda: reactor.callLater(0, reactor.stop),
            lambda: reactor.callFromThread(reactor.stop),
            lambda: reactor.callWhenRunning(reactor.stop),
            lambda: reactor.addSystemEventTrigger("before", "startup", reactor.stop),
            lambda: reactor.addSystemEventTrigger("during", "startup", reactor.stop),
        ):
            place()
            start(reactor)

    def test_callWhenRunning(self, make: Make) -> None:
        reactor, order = make(), []

        def now() -> None:
            order.append("first")
            assert reactor.callWhenRunning(order.append, "at once") is None
            order.append("second")
            reactor.stop()

        assert reactor.callWhenRunning(now) is not None
        removed = reactor.callWhenRunning(order.append, "removed")
        reactor.removeSystemEventTrigger(removed)
        start(reactor)
        assert order == ["first", "at once", "second"]

    def test_iterate(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        reactor.callLater(0, order.append, "call")
        reactor.callFromThread(order.append, "thread")
        reactor.iterate()
        assert order == ["thread", "call"]
        started = time.monotonic()
        reactor.iterate(0.01)
        assert 0.005 < time.monotonic() - started < DEADLINE
        assert not reactor.running
        reactor.callLater(0, reactor.stop)
        start(reactor)
        started = time.monotonic()
        reactor.iterate(0.01)  # sleeps after a run, too
        assert 0.005 < time.monotonic() - started < DEADLINE

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    @pytest.mark.parametrize(
        "where",
        ["callLater", "callFromThread", "startup", "made", "data", "lost", "reader", "producer", "build", "after"],
    )
    def test_exitsStopInOrderAndLeaveRun(
        self, make: Make, kind: type[BaseException], where: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        reactor, order = make(), []
        leaving = kind("now")

        def leave(*_: object) -> None:
            raise leaving

        class Server(Protocol):
            def connectionMade(self) -> None:
                if where == "made":
                    leave()
                if where == "producer":
                    self.transport.registerProducer(self, False)

            resumeProducing = leave

            def stopProducing(self) -> None:
                order.append("producer stopped")

            def dataReceived(self, data: bytes) -> None:
                if where == "data":
                    leave()
                self.transport.loseConnection()

            def connectionLost(self, reason: Any = None) -> None:
                order.append("lost")
                if where == "lost":
                    leave()

        factory = ServerFactory.forProtocol(Server)
        if where == "build":
            factory.buildProtocol = leave  # type: ignore[assignment, method-assign]
        port = reactor.listenTCP(0, factory, interface=LOOPBACK)
        peer = dial(port)
        peer.sendall(b"x")
        phase = {"startup": ("during", "startup"), "after": ("after", "shutdown")}.get(where)
        if phase:
            reactor.addSystemEventTrigger(*phase, leave)
        reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
        if where in ("callLater", "callFromThread"):
            getattr(reactor, where)(*([0] if where == "callLater" else []), leave)
        ends = os.pipe()
        if where == "reader":
            reactor.addReader(Ear(ends[0], [], leave))
            os.write(ends[1], b"x")
        if where == "after":
            reactor.callLater(0, reactor.stop)
        with pytest.raises(kind) as caught:
            reactor.run(installSignalHandlers=False)
        assert caught.value is leaving
        assert "shutdown" in order
        assert errorsIn(caplog) == []
        assert not reactor.running
        assert reactor.getReaders() == []
        for end in ends:
            os.close(end)
        peer.close()
        reactor.callLater(0, reactor.stop)
        start(reactor)

    def test_iterateLetsExitsOut(self, make: Make) -> None:
        reactor = make()

        def leave() -> None:
            raise SystemExit(3)

        reactor.callLater(0, leave)
        with pytest.raises(SystemExit):
            reactor.iterate()
        reactor.iterate()

    def test_twoReactorsInTwoThreads(self, make: Make) -> None:
        answers: dict[str, bytes] = {}

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                assert current() is self.factory.reactor
                self.transport.write(data.upper())
                self.transport.loseConnection()

        class Ask(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(self.factory.name.encode())

            def dataReceived(self, data: bytes) -> None:
                answers[self.factory.name] = data

            def connectionLost(self, reason: Any = None) -> None:
                self.factory.reactor.stop()

        reactors = [make(), make()]
        ports = []
        for reactor in reactors:
            factory: Any = ServerFactory.forProtocol(Echo)
            factory.reactor = reactor
            ports.append(reactor.listenTCP(0, factory, interface=LOOPBACK))
        clients = [make(), make()]
        for name, reactor, port in zip(("one", "two"), clients, ports, strict=True):
            asking: Any = ClientFactory.forProtocol(Ask)
            asking.reactor, asking.name = reactor, name
            reactor.connectTCP(LOOPBACK, port.getHost().port, asking)
        threads = [threading.Thread(target=each.run) for each in reactors + clients]
        for thread in threads:
            thread.start()
        for thread in threads[2:]:
            thread.join(DEADLINE)
        for reactor in reactors:
            reactor.callFromThread(reactor.stop)
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert answers == {"one": b"ONE", "two": b"TWO"}

    def test_whatIsWrittenAtTheLastMomentIsSent(self, make: Make) -> None:
        """Before run() returns: from a delayed call, a callback and shutdown triggers, and with crash()."""
        for how in ("stop", "crash"):
            reactor = make()
            servers: list[Any] = []

            class Server(Protocol):
                def connectionMade(self, servers: list[Any] = servers) -> None:
                    servers.append(self)

                def dataReceived(self, data: bytes, reactor: Any = reactor, how: str = how) -> None:
                    other = next(each for each in self.factory.servers if each is not self)
                    other.transport.write(b"from a callback, ")
                    reactor.callLater(0, self.finish, other, getattr(reactor, how))

                def finish(self, other: Any, end: Callable[[], None]) -> None:
                    other.transport.write(b"from a call")
                    end()

            factory: Any = ServerFactory.forProtocol(Server)
            factory.servers = servers
            port = reactor.listenTCP(0, factory, interface=LOOPBACK)
            quiet, loud = dial(port), dial(port)
            turnUntil(reactor, lambda servers=servers: len(servers) == 2)
            quietServer = next(s for s in servers if s.transport.getPeer().port == quiet.getsockname()[1])
            reactor.addSystemEventTrigger("during", "shutdown", quietServer.transport.write, b", from a trigger")
            loud.sendall(b"x")
            start(reactor)
            expected = b"from a callback, from a call" + b", from a trigger" * (how == "stop")
            quiet.settimeout(DEADLINE)
            received = b""
            while len(received) < len(expected):
                received += quiet.recv(1000)
            assert received == expected
            quiet.close()
            loud.close()
            reactor.disconnectAll()

    def test_closeEndsEverythingAndGivesItBack(self, make: Make) -> None:
        lost = list[Any]()

        class Server(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                lost.append(type(reason.value))

        reactor = make()
        reactor.callLater(1000, boom)
        reactor.callInThread(lost.append, "thread")
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Server), interface=LOOPBACK)
        peer = dial(port)
        turnUntil(reactor, lambda: len(reactor.getReaders()) == 2 and lost)
        reactor.close()
        reactor.close()
        assert lost == ["thread", ConnectionLost]
        assert readAll(peer) == b""
        peer.close()
        with pytest.raises(ConnectionRefusedError):
            dial(port.getHost().port)

    def test_whatIsClosedDoesNotRun(self, make: Make) -> None:
        """It no longer has descriptors, and would fail for ever."""
        reactor = make()
        reactor.close()
        with pytest.raises(ReactorNotRestartable, match="has been closed"):
            start(reactor)
        assert not reactor.running

    def test_aNoteLivesAsLongAsItsTransport(self, make: Make) -> None:
        reactor = make()
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Protocol), interface=LOOPBACK)
        notes = [reactor.noteOf(port)]
        for note in ("first", "second"):
            reactor.keepNote(port, note)
            notes.append(reactor.noteOf(port))
        port.stopListening()
        turnUntil(reactor, lambda: not reactor.openTransports())
        reactor.keepNote(port, "late")
        assert [*notes, reactor.noteOf(port)] == [None, "first", "second", None]

    def test_closeIsRefusedWhileRunning(self, make: Make) -> None:
        reactor, refused = make(), list[bool]()

        def close() -> None:
            with pytest.raises(ReactorAlreadyRunning):
                reactor.close()
            refused.append(reactor.running)
            reactor.stop()

        reactor.callLater(0, close)
        start(reactor)
        assert refused == [True]


class Triggers:
    def test_phasesInOrder(self, make: Make) -> None:
        reactor, order = make(), []
        for event in ("shutdown", "startup"):
            for phase in ("after", "during", "before"):
                reactor.addSystemEventTrigger(
                    phase, event, lambda phase=phase, event=event: order.append((phase, event, reactor.running))
                )
        reactor.callWhenRunning(reactor.stop)
        start(reactor)
        assert order == [
            ("before", "startup", False),
            ("during", "startup", True),
            ("after", "startup", True),
            ("before", "shutdown", True),
            ("during", "shutdown", True),
            ("after", "shutdown", False),
        ]

    @pytest.mark.parametrize("phase", ["before", "during"])
    def test_shutdownWaitsForDeferredsWithTheReactorRunning(self, make: Make, phase: str) -> None:
        reactor, order = make(), list[Any]()

        class Server(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                order.append("connectionLost")

        def wait() -> defer.Deferred[None]:
            done: defer.Deferred[None] = defer.Deferred()
            reactor.callLater(0.005, done.callback, None)
            done.addCallback(lambda _: order.append(("waited", reactor.running)))
            return done

        port = reactor.listenTCP(0, ServerFactory.forProtocol(Server), interface=LOOPBACK)
        with dial(port):
            reactor.callLater(0.001, reactor.stop)
            reactor.addSystemEventTrigger(phase, "shutdown", wait)
            reactor.addSystemEventTrigger("after", "shutdown", order.append, "after")
            start(reactor)
        assert order == [("waited", True), "connectionLost", "after"]

    def test_aFailedTriggerStopsNothing(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        reactor, order = make(), list[Any]()
        for phase in ("before", "during", "after"):
            reactor.addSystemEventTrigger(phase, "shutdown", boom)
            reactor.addSystemEventTrigger(phase, "shutdown", lambda: defer.fail(Boom()))
            reactor.addSystemEventTrigger(phase, "shutdown", order.append, phase)
        reactor.callLater(0, reactor.stop)
        start(reactor)
        assert order == ["before", "during", "after"]
        assert errorsIn(caplog) == [Boom] * 6

    def test_fireSystemEvent(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        for phase in ("after", "before", "during"):
            reactor.addSystemEventTrigger(phase, "lunch", order.append, phase)
        kept = reactor.addSystemEventTrigger("during", "lunch", order.append, "never")
        reactor.removeSystemEventTrigger(kept)
        reactor.fireSystemEvent("lunch")
        reactor.fireSystemEvent("lunch")
        reactor.fireSystemEvent("supper")
        assert order == ["before", "during", "after"]
        with pytest.raises(ValueError, match="not in list"):
            reactor.removeSystemEventTrigger(kept)
        with pytest.raises(KeyError):
            reactor.addSystemEventTrigger("never", "lunch", boom)

    def test_aShutdownThatACrashLeftBehindStaysForgotten(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        slow: defer.Deferred[None] = defer.Deferred()
        reactor.addSystemEventTrigger("before", "shutdown", lambda: slow)
        reactor.callLater(0, reactor.stop)
        reactor.callLater(0.002, reactor.crash)
        reactor.run(installSignalHandlers=False)
        reactor.addSystemEventTrigger("during", "shutdown", order.append, "during")
        reactor.callLater(0, slow.callback, None)
        reactor.callLater(0.002, order.append, "still running")
        reactor.callLater(0.003, reactor.stop)
        start(reactor)
        assert order == ["still running", "during"]


class Time:
    def test_order(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        delays = {"c": 0.003, "a": 0.001, "b": 0.002, "now": 0}
        calls = {name: reactor.callLater(delay, order.append, name) for name, delay in delays.items()}
        due = sorted(calls, key=lambda name: calls[name].getTime())  # "now a b c", unless the machine stood still
        reactor.callLater(0.004, reactor.stop)
        start(reactor)
        assert order == due

    def test_neverEarly(self, make: Make) -> None:
        reactor, early = make(), []

        def look(due: float) -> None:
            early.append(reactor.monotonic() < due)

        for number in range(50):
            delay = number / 10_000
            reactor.callLater(delay, look, reactor.monotonic() + delay)
        reactor.callLater(0.006, reactor.stop)
        start(reactor)
        assert early == [False] * 50

    def test_equalTimesRunInOrder(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, order = make(), list[Any]()
        monkeypatch.setattr(reactor._timers, "seconds", lambda: 100.0)
        for number in range(20):
            reactor.callLater(0.001, order.append, number)
        monkeypatch.undo()
        reactor.iterate(0)
        assert order == list(range(20))

    def test_aCallMadeByACallWaitsForTheNextTurn(self, make: Make) -> None:
        reactor, order = make(), []

        def again(number: int) -> None:
            order.append(number)
            reactor.callLater(0, again, number + 1)

        reactor.callLater(0, again, 0)
        for number in range(3):
            reactor.iterate(0)
            assert order == list(range(number + 1))
        reactor.callFromThread(order.append, "thread")
        reactor.iterate(0)
        assert order == [0, 1, 2, "thread", 3]

    def test_errorsAreLoggedAndTheLoopGoesOn(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        reactor, order = make(), list[Any]()

        class BaseBoom(BaseException):
            pass

        def worse() -> None:
            raise BaseBoom

        class Silent:
            def __repr__(self) -> str:
                raise Boom("in repr")

            def __call__(self) -> None:
                raise Boom("in call")

        for call in (boom, worse, Silent()):
            reactor.callLater(0, call)
            reactor.callFromThread(call)
        reactor.callLater(0.001, order.append, 1)
        reactor.callLater(0.002, reactor.stop)
        start(reactor)
        assert order == [1]
        assert errorsIn(caplog) == [Boom, BaseBoom, Boom] * 2

    @pytest.mark.parametrize("kind", [Boom, GeneratorExit, KeyboardInterrupt, SystemExit])
    def test_aLoggingHandlerThatRaises(
        self, make: Make, kind: type[BaseException], capsys: pytest.CaptureFixture[str]
    ) -> None:
        class Failing(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                raise kind("of the handler")

        leaves = kind in (KeyboardInterrupt, SystemExit)
        reactor, order, handler = make(), [], Failing()
        logging.getLogger("reactor").addHandler(handler)
        for call in (boom, lambda: order.append("next")):
            reactor.callLater(0, call)
        reactor.callLater(0.001, lambda: leaves or reactor.stop())
        try:
            with pytest.raises(kind) if leaves else contextlib.nullcontext():
                reactor.run(installSignalHandlers=False)
        finally:
            logging.getLogger("reactor").removeHandler(handler)
        assert order == ["next"]
        assert ("of the handler" in capsys.readouterr().err) is not leaves
        for left in reactor.getDelayedCalls():
            left.cancel()

    def test_delayedCalls(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        assert reactor.getDelayedCalls() == []
        cancelled, moved, sooner = (reactor.callLater(100, order.append, name) for name in ("no", "moved", "sooner"))
        assert set(reactor.getDelayedCalls()) == {cancelled, moved, sooner}
        cancelled.cancel()
        ran = reactor.callLater(0, order.append, "ran")
        moved.reset(0.002)
        sooner.delay(-100)
        assert abs(moved.getTime() - reactor.seconds()) < DEADLINE
        runUntil(reactor, lambda: len(order) == 3)
        assert order == ["sooner", "ran", "moved"]
        for method in (cancelled.cancel, lambda: cancelled.reset(1), lambda: cancelled.delay(1)):
            with pytest.raises(AlreadyCancelled):
                method()
        with pytest.raises(AlreadyCalled):
            ran.cancel()
        assert not ran.active()
        with pytest.raises(AssertionError):
            reactor.callLater(-1, boom)
        assert reactor.getDelayedCalls() == []

    def test_aCallFarInTheFutureKeepsNobodyFromSleeping(self, make: Make) -> None:
        """The timeout that polls take is bounded (OverflowError above 24 days, for epoll)."""
        reactor = make()
        far = reactor.callLater(10**9, boom)
        thread = threading.Thread(target=lambda: reactor.callFromThread(reactor.stop))
        reactor.callWhenRunning(thread.start)
        reactor.run(installSignalHandlers=False)
        thread.join()
        far.cancel()

    def test_theCalendarDoesNotMatter(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, order = make(), list[Any]()
        monkeypatch.setattr(time, "time", lambda: 10.0**12)
        reactor.callLater(0.002, order.append, "on time")
        reactor.callLater(0.001, monkeypatch.setattr, time, "time", lambda: 0.0)
        reactor.callLater(1000, order.append, "early")
        runUntil(reactor, lambda: order)
        assert order == ["on time"]
        assert all(call.getTime() > reactor.seconds() for call in reactor.getDelayedCalls())

    def test_whatProgramsAreToldIsTheCalendars(self, make: Make) -> None:
        """Programs subtract time.time() from getTime(), as Twisted's two times are that."""
        reactor = make()
        before = time.time()
        call = reactor.callLater(3600, boom)
        assert before <= reactor.seconds() <= time.time()
        assert call.getTime() == call.getTime() == call.time
        assert abs(call.getTime() - 3600 - before) < DEADLINE
        call.reset(60)
        call.delay(30)
        assert abs(call.getTime() - 90 - reactor.seconds()) < DEADLINE
        assert abs(reactor.monotonic() - time.monotonic()) < DEADLINE
        call.cancel()

    def test_whatIsLeftIsTrueAcrossJumps(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor = make()
        frozen = [time.monotonic()]
        monkeypatch.setattr(reactor, "monotonic", lambda: frozen[0])
        monkeypatch.setattr(reactor._timers, "seconds", lambda: frozen[0])
        wall = 1.0e9
        monkeypatch.setattr(time, "time", lambda: wall)
        call = reactor.callLater(100, boom)
        for wall in (1.0e9, 2.0e9, 1.0e9 - 7200, 1.0e9 + 0.5, 0.0):
            assert abs(call.getTime() - reactor.seconds() - 100) < 1e-6
            assert call.getTime() == wall + 100
        frozen[0] += 40
        wall += 40
        assert call.getTime() == wall + 60
        call.reset(5)
        wall += 86400
        assert call.getTime() == wall + 5
        call.cancel()

    def test_loopingCallsDoNotJump(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither the next call nor the count of intervals, whether the reactor is its clock by name or not."""
        reactor, counts = make(), list[Any]()
        wall = itertools.cycle((2.0e9, 1.0e9, 0.0))
        monkeypatch.setattr(time, "time", lambda: next(wall))
        for clock in (None, reactor):
            looping = LoopingCall.withCount(counts.append)
            if clock is not None:
                looping.clock = clock
            with _current.running(reactor):
                looping.start(0.5)
            call: Any = looping.call
            assert 0 < call.deadline - reactor.monotonic() <= 0.5
            looping.stop()
        assert counts == [1, 1]

    def test_manyTimers(self, make: Make) -> None:
        reactor, count = make(), [0]

        def tick() -> None:
            count[0] += 1

        calls = [reactor.callLater(0.001 * (number % 7), tick) for number in range(100_000)]
        for call in calls[::2]:
            call.cancel()
        runUntil(reactor, lambda: count[0] == 50_000)
        assert reactor.getDelayedCalls() == []


class Threads:
    def test_callFromThreadStorm(self, make: Make) -> None:
        reactor, count = make(), 5_000
        seen: list[list[int]] = [[] for _ in range(8)]

        def send(index: int) -> None:
            for number in range(count):
                reactor.callFromThread(seen[index].append, number)

        threads = [threading.Thread(target=send, args=(index,)) for index in range(8)]
        for thread in threads:
            reactor.callWhenRunning(thread.start)
        runUntil(reactor, lambda: all(len(each) == count for each in seen))
        for thread in threads:
            thread.join()
        assert all(each == list(range(count)) for each in seen)

    def test_callFromThreadWakesASleepingLoop(self, make: Make) -> None:
        for _ in range(50):
            reactor = make()
            thread = threading.Thread(target=reactor.callFromThread, args=(reactor.stop,))
            reactor.callWhenRunning(thread.start)
            started = time.monotonic()
            reactor.run(installSignalHandlers=False)
            thread.join()
            assert time.monotonic() - started < DEADLINE

    def test_callsBeforeRunAndBetweenRuns(self, make: Make) -> None:
        reactor, order = make(), list[Any]()
        reactor.callFromThread(order.append, 1)
        reactor.callFromThread(reactor.stop)
        start(reactor)
        reactor.callFromThread(order.append, 2)
        assert order == [1]
        reactor.callFromThread(reactor.stop)
        start(reactor)
        assert order == [1, 2]

    def test_aCallThatCallsWaitsForTheNextTurn(self, make: Make) -> None:
        reactor, order = make(), []

        def again() -> None:
            order.append("again")
            reactor.callFromThread(again)

        reactor.callFromThread(again)
        reactor.callLater(0, order.append, "timer")
        reactor.iterate(0)
        assert order == ["again", "timer"]
        reactor.iterate(1)
        assert order == ["again", "timer", "again"]

    def test_callInThread(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        reactor, seen = make(), []

        def work(name: str, *, key: int) -> None:
            seen.append((name, key, current() is reactor, threading.current_thread() is threading.main_thread()))
            reactor.callFromThread(reactor.callInThread, boom)

        reactor.callInThread(work, "x", key=1)
        runUntil(reactor, lambda: caplog.records)
        assert seen == [("x", 1, True, False)]
        assert errorsIn(caplog) == [Boom]

    def test_suggestThreadPoolSize(self, make: Make) -> None:
        reactor, seen = make(), list[Any]()
        reactor.suggestThreadPoolSize(1)
        pool = reactor.getThreadPool()
        reactor.suggestThreadPoolSize(1)
        assert reactor.getThreadPool() is pool
        for number in range(5):
            reactor.callInThread(seen.append, number)
        reactor.suggestThreadPoolSize(3)
        gate = threading.Barrier(3, timeout=DEADLINE)
        for _ in range(3):
            reactor.callInThread(lambda: seen.append(gate.wait() >= 0))
        runUntil(reactor, lambda: len(seen) == 8)
        assert sorted(seen) == [0, 1, True, True, True, 2, 3, 4]
        with pytest.raises(ValueError, match="no less than no threads"):
            reactor.suggestThreadPoolSize(-1)


class Descriptors:
    @pytest.fixture
    def pipe(self) -> Iterator[tuple[int, int]]:
        ends = os.pipe()
        os.set_blocking(ends[0], False)
        yield ends
        for end in ends:
            with contextlib.suppress(OSError):
                os.close(end)

    def test_readersAndWriters(self, make: Make, pipe: tuple[int, int]) -> None:
        reactor, told = make(), list[Any]()
        reader, writer = Ear(pipe[0], told), Ear(pipe[1], told, lambda ear: reactor.removeWriter(ear))
        for _ in range(2):
            reactor.addReader(reader)
            reactor.addWriter(writer)
        assert (reactor.getReaders(), reactor.getWriters()) == ([reader], [writer])
        assert (reactor.isReading(reader), reactor.isReading(writer)) == (True, False)
        os.write(pipe[1], b"x")
        turnUntil(reactor, lambda: len(told) == 2)
        assert sorted(told, key=str) == sorted([("read", b"x"), "write"], key=str)
        reactor.iterate(0)
        assert len(told) == 2
        reactor.addWriter(writer)
        assert set(reactor.removeAll()) == {reader, writer}
        assert reactor.removeAll() == []
        for _ in range(2):
            reactor.removeReader(reader)
            reactor.removeWriter(writer)
        assert not reactor.isReading(reader)
        os.write(pipe[1], b"y")
        reactor.iterate(0)
        assert len(told) == 2

    def test_oneDescriptorBothWays(self, make: Make) -> None:
        reactor, told = make(), list[Any]()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        both = Ear(ours.fileno(), told)
        reactor.addReader(both)
        reactor.addWriter(both)
        reactor.iterate(0)
        assert told == ["write"]
        theirs.send(b"x")
        reactor.iterate(0)
        assert told == ["write", ("read", b"x"), "write"]
        reactor.removeWriter(both)
        theirs.send(b"y")
        reactor.iterate(0)
        assert told[3:] == [("read", b"y")]
        reactor.addWriter(both)
        reactor.removeReader(both)
        theirs.send(b"z")
        reactor.iterate(0)
        assert told[4:] == ["write"]
        reactor.removeWriter(both)
        ours.close()
        theirs.close()

    @pytest.mark.parametrize("how", ["return", "raise"])
    @pytest.mark.parametrize("way", ["read", "write"])
    def test_aReasonEndsADescriptor(
        self, make: Make, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture, how: str, way: str
    ) -> None:
        reactor, told = make(), list[Any]()

        def end(ear: Ear) -> Any:
            if how == "raise":
                raise Boom
            return Boom()

        ear = Ear(pipe[0 if way == "read" else 1], told, end)
        os.write(pipe[1], b"x")
        (reactor.addReader if way == "read" else reactor.addWriter)(ear)
        reactor.iterate(0)
        reactor.iterate(0)
        assert told == [("read", b"x") if way == "read" else "write", ("lost", Boom)]
        assert reactor.getReaders() == reactor.getWriters() == []
        assert errorsIn(caplog) == [Boom] * (how == "raise")

    def test_aReaderThatEndsBadly(self, make: Make, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
        reactor = make()

        class Bad(Ear):
            connectionLost = boom  # type: ignore[assignment]

            def __repr__(self) -> str:
                raise Boom("in repr")

        reactor.addReader(Bad(pipe[0], [], boom))
        os.write(pipe[1], b"x")
        reactor.iterate(0)
        assert reactor.getReaders() == []
        assert errorsIn(caplog) == [Boom, Boom]

    @pytest.mark.parametrize("how", ["raises", "hidden"])
    def test_aReaderThatCannotEvenFail(
        self, make: Make, pipe: tuple[int, int], caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        """Its failConnection raises, or the look for it; the loop goes on."""
        reactor, order = make(), list[Any]()

        class Bad(Ear):
            def __getattr__(self, name: str) -> Any:
                if name != "failConnection":
                    raise AttributeError(name)
                return boom if how == "raises" else boom()

        bad = Bad(pipe[0], [], boom)
        reactor.addReader(bad)
        os.write(pipe[1], b"x")
        reactor.callLater(0.001, order.append, "on")
        runUntil(reactor, lambda: order and errorsIn(caplog))
        assert errorsIn(caplog) == [Boom]
        reactor.removeReader(bad)

    def test_stopEndsDescriptorsOfTheProgram(self, make: Make, pipe: tuple[int, int]) -> None:
        reactor, told = make(), list[Any]()
        reactor.addReader(Ear(pipe[0], told))
        reactor.callLater(0, reactor.stop)
        start(reactor)
        assert told == [("lost", ConnectionLost)]

    def test_aClosedDescriptorIsForgotten(self, make: Make, pipe: tuple[int, int]) -> None:
        """It is closed behind the reactor's back, removed afterwards, and its number comes round again."""
        reactor, told = make(), list[Any]()
        ear = Ear(pipe[0], told)
        reactor.addReader(ear)
        reactor.addReader(ear)
        os.close(pipe[0])
        reactor.iterate(0)
        reactor.removeReader(ear)
        assert reactor.getReaders() == []
        again = os.pipe()
        try:
            assert again[0] == pipe[0]
            reactor.addReader(Ear(again[0], told))
            os.write(again[1], b"new")
            reactor.iterate(0)
            assert told == [("read", b"new")]
        finally:
            reactor.removeAll()
            for end in again:
                os.close(end)

    @pytest.mark.parametrize("stale", ["addReader", "addWriter", "both"])
    @pytest.mark.parametrize("fresh", ["addReader", "addWriter"])
    def test_aNumberThatComesRoundBelongsToItsNewOwner(self, make: Make, stale: str, fresh: str) -> None:
        reactor, told = make(), list[Any]()
        first, gone = socket.socketpair()
        old = Ear(first.fileno(), ["old"], boom)
        for add in ("addReader", "addWriter") if stale == "both" else (stale,):
            getattr(reactor, add)(old)
        number = first.fileno()
        first.close()
        ours, theirs = socket.socketpair()
        if ours.fileno() != number:
            ours, theirs = theirs, ours
        assert ours.fileno() == number
        theirs.send(b"x")
        getattr(reactor, fresh)(Ear(number, told))
        assert old not in reactor.getReaders() + reactor.getWriters()
        reactor.removeReader(old)
        reactor.removeWriter(old)
        reactor.iterate(0)
        assert told == [("read", b"x") if fresh == "addReader" else "write"]
        assert old.told == ["old"]
        reactor.removeAll()
        for each in (gone, ours, theirs):
            each.close()

    def test_aReaderWhoseDescriptorHasGoneCanBeRemoved(self, make: Make, pipe: tuple[int, int]) -> None:
        reactor = make()
        ear = Ear(pipe[0], [])
        reactor.addReader(ear)
        reactor.addWriter(ear)
        ear.fd = -1
        reactor.removeReader(ear)
        reactor.removeWriter(ear)
        reactor.removeWriter(ear)
        assert reactor.getReaders() == reactor.getWriters() == []

    @pytest.mark.parametrize("how", ["return", "raise"])
    def test_aReaderThatClosesItsFile(self, make: Make, pipe: tuple[int, int], how: str) -> None:
        """fileno() of a closed file raises; the reader is ended all the same, and run() goes on."""
        reactor, told = make(), list[Any]()

        class FileEar(Ear):
            file = os.fdopen(pipe[0], "rb")

            def fileno(self) -> int:
                return self.file.fileno()

            def doRead(self) -> Any:
                self.file.close()
                if how == "raise":
                    raise Boom
                return Boom()

        reactor.addReader(FileEar(pipe[0], told))
        os.write(pipe[1], b"x")
        runUntil(reactor, lambda: told)
        assert told == [("lost", Boom)]
        assert reactor.getReaders() == []

    def test_everyDescriptorIsClosedOnExec(self, make: Make) -> None:
        before = set(openFiles().values())
        reactor = make()
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Protocol), interface=LOOPBACK)
        ClientCreator(reactor, Protocol).connectTCP(LOOPBACK, port.getHost().port)
        turnUntil(reactor, lambda: len(reactor.getReaders()) == 3)
        ours = set(openFiles().values()) - before
        assert len(ours) >= 4
        command = ["ls", "-l", "/proc/self/fd"]
        child = subprocess.run(command, close_fds=False, capture_output=True, text=True, check=True)
        assert not [what for what in ours if what in child.stdout]
        reactor.disconnectAll()


class Fairness:
    def test_busyTimersDoNotStarveTheNetwork(self, make: Make) -> None:
        reactor, answers = make(), []

        def busy() -> None:
            reactor.callLater(0, busy)

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(data)

        class Ask(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"?")

            def dataReceived(self, data: bytes) -> None:
                answers.append(data)
                self.transport.write(b"?")

        busy()
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
        ClientCreator(reactor, Ask).connectTCP(LOOPBACK, port.getHost().port)
        runUntil(reactor, lambda: len(answers) > 20)

    def test_aFloodDoesNotStarveTheOthers(self, make: Make) -> None:
        """One connection that never stops sending, one thread call and one reader that are always ready."""
        reactor, turns = make(), {"timer": 0, "polite": 0, "thread": 0}

        class Flood(Protocol):
            def connectionMade(self) -> None:
                self.transport.registerProducer(self, False)

            def resumeProducing(self) -> None:
                self.transport.write(b"x" * 100_000)

            def stopProducing(self) -> None:
                pass

        class Polite(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"?")

            def dataReceived(self, data: bytes) -> None:
                turns["polite"] += 1
                self.transport.write(b"?")

        class Echo(Protocol):
            def dataReceived(self, data: bytes) -> None:
                if data == b"?":
                    self.transport.write(data)

        def tick(name: str, again: Callable[..., Any]) -> None:
            turns[name] += 1
            again(tick, name, again)

        port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
        for kind in (Flood, Polite):
            ClientCreator(reactor, kind).connectTCP(LOOPBACK, port.getHost().port)
        tick("thread", reactor.callFromThread)
        tick("timer", lambda *call: reactor.callLater(0, *call))
        runUntil(reactor, lambda: min(turns.values()) > 20)


class LateTurns:
    """After a stall: data that had come in time is seen before the delayed calls that came due."""

    def test_readsBeforeTheCalls(self, make: Make) -> None:
        reactor, told = make(), list[Any]()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ear = Ear(ours.fileno(), told, lambda ear: reactor.removeWriter(ear) if told[-1] == "write" else None)
            reactor.addReader(ear)

            def meanwhile() -> None:
                theirs.send(b"in time")
                reactor.addWriter(ear)

            with stalling(reactor, meanwhile, told):
                start(reactor)
            assert sorted(map(str, told[:2])) == [str(("read", b"in time")), "write"]
            assert told[2] == "call"

    def test_readsOnce(self, make: Make) -> None:
        """A peer that has sent much does not put the calls off."""
        reactor, told = make(), list[Any]()
        ours, theirs = socket.socketpair()

        class Sip(Ear):
            def doRead(self) -> None:
                told.append(os.read(self.fd, 1))

        with ours, theirs:
            sip = Sip(ours.fileno(), told)
            reactor.addReader(sip)
            with stalling(reactor, lambda: theirs.send(b"x" * 1000), told):
                start(reactor)
            assert 1 <= told.index("call") <= 2  # an event loop of others may have had one read in hand
            reactor.removeReader(sip)

    def test_readsEverybody(self, make: Make) -> None:
        """More than one batch of events."""
        reactor, told = make(), list[Any]()

        class Many(Ear):
            def doRead(self) -> None:
                told.append(self.fd)
                reactor.removeReader(self)

        with contextlib.ExitStack() as open_:
            files = [os.eventfd(0) for _ in range(600)]
            for file in files:
                open_.callback(os.close, file)
                reactor.addReader(Many(file, told))

            def meanwhile() -> None:
                for file in files:
                    os.eventfd_write(file, 1)

            with stalling(reactor, meanwhile, told):
                start(reactor)
            assert (len(told), told[-1]) == (601, "call")

    def test_anOwnerThatTheOneBeforeHasEnded(self, make: Make) -> None:
        """It is not called, and neither is one that has its number meanwhile."""
        reactor, told = make(), []
        pairs = [socket.socketpair() for _ in range(2)]
        with contextlib.ExitStack() as open_:
            for sock in (sock for pair in pairs for sock in pair):
                open_.enter_context(sock)

            class Only(Ear):
                def doRead(self) -> None:
                    told.append("read")
                    for ear in ears:
                        reactor.removeReader(ear)
                        reactor.removeWriter(ear)

            ears = [Only(pair[0].fileno(), told) for pair in pairs]
            for ear in ears:
                reactor.addReader(ear)

            def meanwhile() -> None:
                for ear, pair in zip(ears, pairs, strict=True):
                    reactor.addWriter(ear)
                    pair[1].send(b"x")

            with stalling(reactor, meanwhile, told):
                start(reactor)
            assert told == ["read", "call"]

    def test_deadlinesThatAPeerHasMet(self, make: Make) -> None:
        """It is judged by its own rule: a completed line begins the time anew, bytes alone do not."""
        reactor = make()
        lost: list[Any] = []

        class Deadline(TimeoutMixin, LineReceiver):
            delimiter = b"\n"
            lines = 0

            def callLater(self, period: float, func: Callable[[], object]) -> Any:
                return reactor.callLater(period, func)

            def connectionMade(self) -> None:
                self.setTimeout(0.3)

            def lineReceived(self, line: bytes) -> None:
                self.resetTimeout()
                self.lines += 1

            def timeoutConnection(self) -> None:
                lost.append((self.lines, [each.lines for each in protocols]))

        protocols: list[Deadline] = []

        def build() -> Deadline:
            protocols.append(Deadline())
            return protocols[-1]

        port = reactor.listenTCP(0, ServerFactory.forProtocol(build), interface=LOOPBACK)
        with dial(port) as diligent, dial(port) as dribbling:
            diligent.sendall(b"line\n")
            dribbling.sendall(b"line\n")
            turnUntil(reactor, lambda: [each.lines for each in protocols] == [1, 1])
            diligent.sendall(b"a line in time\n")
            dribbling.sendall(b"and so on, and on")
            standStill(0.5)
            turnUntil(reactor, lambda: lost)
            assert lost == [(1, [2, 1])]
        reactor.disconnectAll()


def standStill(seconds: float = 1.5 * LATE) -> None:
    """Do to the loop what a callback does that takes its time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


@contextlib.contextmanager
def stalling(reactor: Any, meanwhile: Callable[[], object], told: list[Any]) -> Iterator[None]:
    """Have the callback of a reader take its time, as the first thing; `meanwhile` is called during it.

    Two calls become due during it, too: one tells "call", one stops the reactor.
    """
    file = os.eventfd(1)

    def stall(ear: Ear) -> None:
        reactor.removeReader(ear)
        reactor.callLater(0.02, told.append, "call")
        reactor.callLater(0.03, reactor.stop)
        meanwhile()
        standStill()

    reactor.addReader(Ear(file, [], stall))
    yield
    os.close(file)


class Names:
    def test_resolve(self, make: Make) -> None:
        reactor, found = make(), list[Any]()
        for name in ("127.0.0.9", "::1", "", "localhost"):
            reactor.resolve(name).addCallback(found.append)
        runUntil(reactor, lambda: len(found) == 4)
        assert sorted(found[:3]) == ["0.0.0.0", "127.0.0.9", "::1"]
        assert found[3] in ("127.0.0.1", "::1")

    def test_connectByName(self, make: Make) -> None:
        reactor, made = make(), list[Any]()
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Protocol), interface=LOOPBACK)
        ClientCreator(reactor, Protocol).connectTCP("localhost", port.getHost().port).addBoth(made.append)
        runUntil(reactor, lambda: made)
        assert isinstance(made[0], Protocol)


class ReactorContract(
    Running,
    Triggers,
    Time,
    Threads,
    Descriptors,
    Fairness,
    LateTurns,
    Names,
    FailureContract,
    RefusalContract,
    MemoryContract,
):
    """All of it. A subclass has the fixture `make`."""
