"""ReactorBase: the parts of a turn, what is reported, what is closed when. The rest is under the reactor contract."""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reactor as package
from reactor.defer import Deferred
from reactor.error import ReactorNotRunning
from reactor.failure import Failure
from reactor.loops import guests
from reactor.loops.base import (
    CLOSED,
    ENDED,
    FRESH,
    LEFT,
    LONGEST_SLEEP,
    MOVES,
    RUNNING,
    SHUTTING,
    STOPPING,
    ReactorBase,
)
from reactor.loops.epoll import EpollReactor
from tests.support.worlds import DEADLINE, OURS, World


class Boom(Exception):
    pass


class Silent:
    """Cannot even describe itself."""

    def __repr__(self) -> str:
        raise Boom("in repr")

    def fail(self, *_: object) -> None:
        raise Boom("in call")


@pytest.fixture
def reactor() -> Iterator[EpollReactor]:
    reactor = EpollReactor()
    yield reactor
    OURS.close(reactor)


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[type[BaseException]]:
    return [record.exc_info[0] for record in caplog.records if record.exc_info and record.exc_info[0]]


class TestReporting:
    def test_oneRecordWithTheTraceback(self, reactor: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
        reactor.callFromThread(Silent().fail)
        reactor.iterate(0)
        (record,) = caplog.records
        assert (record.name, record.levelno) == ("reactor", logging.ERROR)
        assert record.exc_info
        assert record.exc_info[0] is Boom
        assert "in call" in caplog.text
        assert "in fail" in caplog.text

    @pytest.mark.parametrize("where", ["callLater", "callFromThread", "trigger", "reader", "closing", "transport"])
    def test_whatCannotDescribeItself(
        self, reactor: EpollReactor, caplog: pytest.LogCaptureFixture, where: str
    ) -> None:
        silent = Silent()
        if where == "callLater":
            reactor.callLater(0, silent.fail)
        elif where == "callFromThread":
            reactor.callFromThread(silent.fail)
        elif where == "trigger":
            reactor.addSystemEventTrigger("during", "lunch", silent.fail)
            reactor.fireSystemEvent("lunch")
        elif where == "reader":
            reactor._ownerFailed(Reader(7, silent.fail), Failure(Boom()))
        elif where == "closing":
            reactor.opened(Reader(7, silent.fail))
            reactor.disconnectAll()
        else:
            reactor.reportFailure(Failure(Boom()), "something of", silent)
        reactor.iterate(0)
        assert errorsIn(caplog) == [Boom] * (2 if where == "reader" else 1)
        reactor._open.clear()

    def test_betweenTwoOwners(self, reactor: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
        """An exception of a signal handler while no owner is at work costs nobody a descriptor."""
        reactor._ownerFailed(None, Failure(Boom()))
        assert errorsIn(caplog) == [Boom]

    def test_theFirstExitCounts(self, reactor: EpollReactor) -> None:
        def leave(code: int) -> None:
            raise SystemExit(code)

        for code in (1, 2, 3):
            reactor.callLater(0, leave, code)
        with pytest.raises(SystemExit) as caught:
            reactor.run(installSignalHandlers=False)
        assert caught.value.code == 1

    def test_callInThread(self, reactor: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
        reactor.callInThread(Silent().fail)
        reactor._threadPool.shutdown()  # type: ignore[union-attr]
        assert errorsIn(caplog) == [Boom]


class TestPhases:
    """The table at the top of loops/base.py."""

    def test_aRunInOrder(self, reactor: EpollReactor) -> None:
        seen: list[tuple[str, int]] = []

        def see(when: str) -> None:
            seen.append((when, reactor._phase))

        def stop() -> None:
            reactor.stop()
            see("stop")

        see("made")
        for event, phase in (
            ("startup", "before"),
            ("startup", "after"),
            ("shutdown", "before"),
            ("shutdown", "after"),
        ):
            reactor.addSystemEventTrigger(phase, event, see, f"{phase} {event}")
        reactor.callLater(0, stop)
        leave = reactor._end
        reactor._end = lambda: (see("end"), leave())  # type: ignore[assignment, func-returns-value]
        reactor.run(installSignalHandlers=False)
        see("left")
        assert seen == [
            ("made", FRESH),
            ("before startup", RUNNING),
            ("after startup", RUNNING),
            ("stop", STOPPING),
            ("before shutdown", SHUTTING),
            ("after shutdown", SHUTTING),
            ("end", ENDED),
            ("left", FRESH),
        ]

    @pytest.mark.parametrize("stopping", [False, True])
    def test_crashLeavesWithoutAnEnd(self, reactor: EpollReactor, stopping: bool) -> None:
        def crash() -> None:
            if stopping:
                reactor.stop()
            reactor.crash()
            with pytest.raises(ReactorNotRunning):
                reactor.stop()

        reactor.addSystemEventTrigger("before", "shutdown", Deferred)  # which nothing fires
        reactor.callLater(0, crash)
        reactor.run(installSignalHandlers=False)
        assert (reactor._phase, reactor.running, reactor._looping) == (LEFT, False, False)

    def test_iterateLeaves(self, reactor: EpollReactor) -> None:
        reactor.iterate(0)
        assert reactor._phase == LEFT

    def test_anExitStops(self, reactor: EpollReactor) -> None:
        phases: list[int] = []

        def leave() -> None:
            reactor.reportFailure(Failure(SystemExit(1)), "a test")
            phases.append(reactor._phase)

        reactor.callLater(0, leave)
        with pytest.raises(SystemExit):
            reactor.run(installSignalHandlers=False)
        assert [*phases, reactor._phase] == [STOPPING, FRESH]

    def test_aShutdownThatCrashHasCutEndsNoLaterRun(self, reactor: EpollReactor) -> None:
        """Its triggers' Deferreds fire after run() has been left: the next run begins anew, and sleeps."""
        waited, sleeps = Deferred[None](), list[float | None]()
        reactor.addSystemEventTrigger("before", "shutdown", lambda: waited)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: reactor.callLater(0, reactor.crash) and None)
        reactor.callLater(0, reactor.stop)
        reactor.run(installSignalHandlers=False)
        waited.callback(None)
        assert (reactor._phase, reactor._looping) == (LEFT, False)

        def look() -> None:
            sleeps.append(reactor._sleepTime())
            reactor.stop()

        reactor.callLater(0, look)
        reactor.run(installSignalHandlers=False)
        assert (sleeps, reactor._phase) == ([None], FRESH)

    def test_whatTheTableDoesNotNameMovesNothing(self, reactor: EpollReactor) -> None:
        events = {event for moves in MOVES.values() for event in moves}
        assert set(MOVES) == set(range(7))
        for phase in MOVES:
            for event in events:
                reactor._phase = phase
                reactor._move(event)
                assert reactor._phase == MOVES[phase].get(event, phase)
        assert MOVES[CLOSED] == {}
        reactor._phase = FRESH


class Reader:
    def __init__(self, fd: int, does: Callable[..., Any]) -> None:
        self.fd, self.does = fd, does

    def __repr__(self) -> str:
        raise Boom("in repr")

    def fileno(self) -> int:
        return self.fd

    def doRead(self) -> Any:
        return self.does()

    def connectionLost(self, reason: Failure) -> None:
        self.does()


class TestTurns:
    def test_orderInOneTurn(self, reactor: EpollReactor) -> None:
        """Calls from threads, delayed calls, output, then descriptors."""
        order: list[str] = []
        ends = os.pipe()
        os.write(ends[1], b"x")

        class Flushed:
            def flush(self) -> None:
                order.append("flush")

        reader: Any = Reader(ends[0], lambda: order.append("read"))
        reactor.addReader(reader)
        flushed: Any = Flushed()
        reactor.callLater(0, reactor.flushSoon, flushed)
        reactor.callLater(0, order.append, "timer")
        reactor.callFromThread(order.append, "thread")
        reactor.iterate(0)
        assert order == ["thread", "timer", "flush", "read"]
        reactor.removeAll()
        for end in ends:
            os.close(end)

    def test_aFailingFlushCostsThatTransport(self, reactor: EpollReactor) -> None:
        failed: list[Any] = []

        class Bad:
            def flush(self) -> None:
                raise Boom

            def failConnection(self, failure: Failure) -> None:
                failed.append(failure.type)

        bad: Any = Bad()
        good: Any = Bad()
        good.flush = lambda: failed.append("good")
        reactor.flushSoon(bad)
        reactor.flushSoon(good)
        reactor.iterate(0)
        assert failed == [Boom, "good"]

    def test_outputOfOutputWaitsForTheNextTurn(self, reactor: EpollReactor) -> None:
        """A producer that always writes more does not hold up the loop."""
        count = [0]

        class Endless:
            def flush(self) -> None:
                count[0] += 1
                reactor.flushSoon(endless)

        endless: Any = Endless()
        reactor.flushSoon(endless)
        for number in range(1, 4):
            reactor.iterate(DEADLINE)  # it does not sleep, either
            assert number <= count[0] <= number * 2
        reactor._toFlush.clear()

    def test_outputThatIsAskedForTwiceIsFlushedOnce(self, reactor: EpollReactor) -> None:
        """Else a producer that a flush resumes, and whose write asks for the next one, would have ever more turns."""
        flushed: list[int] = []

        class Transport:
            def flush(self) -> None:
                flushed.append(1)

        transport: Any = Transport()
        for _ in range(2):
            reactor.flushSoon(transport)
            reactor.flushSoon(transport)
            reactor.iterate(0)
        assert flushed == [1, 1]

    def test_iterateFromACall(self, reactor: EpollReactor) -> None:
        order: list[Any] = []

        def nested() -> None:
            order.append("outer")
            reactor.iterate(0)
            order.append("back")

        reactor.callFromThread(nested)
        reactor.callFromThread(order.append, "thread")
        reactor.callLater(0, order.append, "timer")
        reactor.iterate(0)
        assert order == ["outer", "thread", "timer", "back"]

    def test_iterateFromADelayedCall(self, reactor: EpollReactor) -> None:
        order: list[Any] = []

        def nested() -> None:
            order.append("outer")
            reactor.iterate(0)
            order.append("back")

        for call in (nested, lambda: order.append(1), lambda: order.append(2)):
            reactor.callLater(0, call)
        reactor.iterate(0)
        assert order == ["outer", 1, 2, "back"]

    def test_sleepIsBounded(self, reactor: EpollReactor) -> None:
        assert reactor._beginTurn() is None
        far = reactor.callLater(10**8, print)
        assert reactor._beginTurn() == LONGEST_SLEEP
        reactor.callFromThread(print, end="")
        reactor.callFromThread(reactor.callFromThread, print)
        assert reactor._beginTurn() == 0.0
        far.cancel()
        reactor._threadCalls.clear()


class TestClosing:
    def test_socketsClosedInABatchAreClosedAfterIt(self, reactor: EpollReactor) -> None:
        ours, theirs = socket.socketpair()
        number = ours.fileno()
        open_: list[bool] = []

        def close() -> None:
            os.read(ends[0], 1)
            reactor.closeSoon(ours)
            reactor.iterate(0)  # a turn inside the batch closes nothing, either
            open_.append(os.path.exists(f"/proc/self/fd/{number}"))

        ends = os.pipe()
        os.write(ends[1], b"x")
        reader: Any = Reader(ends[0], close)
        reactor.addReader(reader)
        reactor.iterate(0)
        assert open_ == [True]
        assert ours.fileno() == -1
        reactor.removeAll()
        theirs.close()
        for end in ends:
            os.close(end)

    def test_outsideABatchAtOnce(self, reactor: EpollReactor) -> None:
        ours, theirs = socket.socketpair()
        reactor.closeSoon(ours)
        assert ours.fileno() == -1
        theirs.close()

    def test_closedBehindOurBack(self) -> None:
        """The descriptor itself, under a connection: the connection ends as it should, others are untouched."""
        world = World()
        server, client = world.pair()
        os.close(server.transport.fileno())
        server.transport.loseConnection()
        world.until(lambda: server.lost)
        assert server.trace == ["made", ("lost", "ConnectionDone")]
        world.until(lambda: client.lost)
        world.close()

    def test_handleClosed(self) -> None:
        world = World()
        server, client = world.pair()
        server.transport.getHandle().close()
        server.transport.write(b"x")
        world.until(lambda: server.lost)
        assert server.trace == ["made", ("lost", "ConnectionLost")]
        world.until(lambda: client.lost)
        world.close()

    def test_whatOthersCloseMeanwhile(self, reactor: EpollReactor) -> None:
        """disconnectAll: each is told once, also when one's end ends another."""
        told: list[int] = []

        class Linked:
            def __init__(self, number: int) -> None:
                self.number = number
                self.other: Any = None

            def fileno(self) -> int:
                return -1

            def connectionLost(self, reason: Failure) -> None:
                if self in reactor._open:
                    reactor.closed(self)
                    told.append(self.number)
                    self.other.connectionLost(reason)

        one, two = Linked(1), Linked(2)
        one.other, two.other = two, one
        reactor.opened(one)
        reactor.opened(two)
        reactor.disconnectAll()
        assert told == [1, 2]


class TestThreads:
    def test_thePoolEndsWithTheRunAndComesBack(self, reactor: EpollReactor) -> None:
        seen: list[int] = []
        for number in range(2):
            reactor.callInThread(seen.append, number)
            reactor.callInThread(reactor.callFromThread, reactor.stop)
            reactor.run(installSignalHandlers=False)
            assert reactor._threadPool is None
        assert seen == [0, 1]
        for thread in set(threading.enumerate()) - {threading.main_thread()}:
            thread.join(DEADLINE)


def test_aReactorIsFourThings() -> None:
    """The methods that a subclass has to supply, and nothing else."""

    half = ReactorBase()
    for method, args in [
        (half._loop, ()),
        (half._turn, (0,)),
        (half._catchUp, ()),
        (half._wake, ()),
        (half._wakeupFd, ()),
        (half._closeLoop, ()),
        (half.addReader, (None,)),
        (half.addWriter, (None,)),
        (half.removeReader, (None,)),
        (half.removeWriter, (None,)),
        (half.getReaders, ()),
        (half.getWriters, ()),
    ]:
        with pytest.raises(NotImplementedError):
            method(*args)  # type: ignore[operator]


class Handled(Exception):
    """The exception of a signal's handler."""


@pytest.mark.parametrize("what", ["delayed call", "thread's call"])
def test_aSecondExceptionWhileTheFirstIsReported(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An end of the reactor's own is made again before the report. A call due behind it is made a turn later."""
    reactor, made, reported = EpollReactor(), list[str](), list[BaseException]()

    class Own:
        _isReactorsOwn = True

        def connectionLost(self) -> None:
            made.append("end")
            if len(made) == 1:
                raise Handled("the first")

    def report(failure: Failure, *about: object) -> None:
        reported.append(failure.value)
        raise Handled("the second")

    schedule: Any = (
        reactor.callFromThread if what == "thread's call" else lambda call, *a: reactor.callLater(0, call, *a)
    )
    schedule(Own().connectionLost)
    schedule(made.append, "next")
    with monkeypatch.context() as patch:
        patch.setattr(reactor, "reportFailure", report)
        with pytest.raises(Handled, match="the second"):
            reactor.iterate(0)
    assert [str(error) for error in reported] == ["the first"]
    assert made == ["end", "end"]
    reactor.iterate(0)
    assert made == ["end", "end", "next"]
    OURS.close(reactor)


@pytest.mark.parametrize("what", ["delayed call", "thread's call"])
def test_anEndThatIsBrokenOffTwice(what: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is made a third time; a program's own call is made once, whatever it raises."""
    reactor, made = EpollReactor(), list[str]()

    class Own:
        _isReactorsOwn = True

        def connectionLost(self) -> None:
            made.append("own")
            if len(made) < 3:
                raise Handled

    class Program:
        def connectionLost(self) -> None:
            made.append("program's")
            raise ValueError

    schedule: Any = reactor.callFromThread if what == "thread's call" else lambda call: reactor.callLater(0, call)
    schedule(Own().connectionLost)
    with pytest.raises(Handled):
        reactor.iterate(0)
    schedule(Program().connectionLost)
    reactor.iterate(0)
    reactor.iterate(0)
    assert made == ["own"] * 3 + ["program's"]
    assert len(caplog.records) == 2
    OURS.close(reactor)


def test_whatTheLoopMayRepeatExists() -> None:
    """Each name is a method of a class of the reactor's own: a method that gets another name must be renamed there."""
    for module in pkgutil.walk_packages(package.__path__, "reactor."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    waiting, names = [object], set[str]()
    while waiting:
        kind = waiting.pop()
        waiting.extend(type.__subclasses__(kind))
        if getattr(kind, "_isReactorsOwn", None) is True:
            names |= {name for name in dir(kind) if callable(getattr(kind, name, None))}
    assert guests._REPEATABLE - names == set()
