"""Every reactor, when the system, or something between two callbacks, fails. The fixture is reactor.py's.

A failure costs one operation: a call that raises has not happened. An object that the reactor owns logs the failure and
lives on.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import threads
from reactor.error import ConnectionFdescWentAway, DNSLookupError
from reactor.failure import Failure
from reactor.loops.guard import LOOP_REST, WAKER_REST
from reactor.protocol import DatagramProtocol, ProcessProtocol, Protocol, ServerFactory
from tests.conftest import openFiles
from tests.contract.interrupted import Interrupted, InterruptedEnds, InterruptedLoops, InterruptedRests
from tests.support.worlds import DEADLINE, LOOPBACK, dial, runUntil, turnUntil

Make = Callable[[], Any]


class Boom(Exception):
    pass


def noMemory(*_: object) -> Any:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def noThread(*_: object) -> Any:
    raise RuntimeError("can't start new thread")


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[type[BaseException]]:
    infos = [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR]
    return [info[0] for info in infos if info and info[0]]


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


def listen(reactor: Any) -> Any:
    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    return reactor.listenTCP(0, factory, interface=LOOPBACK)


class DeafWaker:
    """Takes the place of the end that a waker reads: it fails `times` times."""

    def __init__(self, real: Any, times: int, error: BaseException) -> None:
        self.real, self.times, self.error = real, times, error
        self.tried = 0

    def fileno(self) -> int:
        return int(self.real.fileno())

    def recv_into(self, buffer: Any) -> int:
        self.tried += 1
        if self.tried <= self.times:
            raise self.error
        return int(self.real.recv_into(buffer))

    def close(self) -> None:
        self.real.close()


class LostDescriptors:
    @pytest.mark.parametrize("way", ["Reader", "Writer"])
    def test_aFilenoThatBecomesMinusOne(self, make: Make, way: str) -> None:
        """The descriptor is removed, and told so, as by Twisted: its old number would be called for ever."""
        reactor, told = make(), list[Any]()
        ours, theirs = socket.socketpair()

        class Going:
            fd = ours.fileno()

            def fileno(self) -> int:
                return self.fd

            def doRead(self) -> None:
                told.append("called")
                self.fd = -1

            doWrite = doRead

            def connectionLost(self, reason: Failure) -> None:
                told.append(reason.type)

        theirs.send(b"x")
        getattr(reactor, f"add{way}")(Going())
        turnUntil(reactor, lambda: len(told) > 1)
        reactor.iterate(0)
        assert told == ["called", ConnectionFdescWentAway]
        assert getattr(reactor, f"get{way}s")() == []
        ours.close()
        theirs.close()

    def test_aMethodCalledFailConnectionMakesNobodyOurs(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """A program's descriptor that fails is removed, and told so, whatever other methods it has."""
        reactor, told = make(), list[Any]()
        ours, theirs = socket.socketpair()

        class Failing:
            def fileno(self) -> int:
                return ours.fileno()

            def doRead(self) -> None:
                raise Boom

            def failConnection(self, *_: object) -> None:
                told.append("a method of the program's own")

            def connectionLost(self, reason: Failure) -> None:
                told.append(reason.type)

        theirs.send(b"x")
        reactor.addReader(Failing())
        turnUntil(reactor, lambda: told)
        reactor.iterate(0)
        assert told == [Boom]
        assert reactor.getReaders() == []
        assert errorsIn(caplog) == [Boom]
        ours.close()
        theirs.close()


class BetweenCallbacks:
    @pytest.fixture
    def alarm(self) -> Iterator[Callable[[Callable[..., Any]], object]]:
        before = signal.getsignal(signal.SIGALRM)
        yield lambda handler: signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def test_aHandlerOfASignalThatRaises(
        self, make: Make, alarm: Callable[[Any], object], caplog: pytest.LogCaptureFixture
    ) -> None:
        """The loop sleeps, and the exception belongs to nobody: it is logged, and no connection is lost."""
        reactor, answers, raised = make(), list[bytes](), threading.Semaphore(0)

        def raising(*_: object) -> None:
            raised.release()
            raise Boom

        def talk() -> None:
            with dial(port) as peer:
                for _ in range(3):
                    peer.sendall(b"x")
                    answers.append(peer.recv(10))
                    reactor.callFromThread(signal.setitimer, signal.ITIMER_REAL, 0.03)
                    raised.acquire(timeout=DEADLINE)
            reactor.callFromThread(reactor.stop)

        alarm(raising)
        port = listen(reactor)
        thread = threading.Thread(target=talk)
        reactor.callWhenRunning(thread.start)
        reactor.run(installSignalHandlers=False)
        thread.join()
        assert answers == [b"x"] * 3
        assert set(errorsIn(caplog)) == {Boom}

    @pytest.mark.parametrize("error", [Boom, MemoryError])
    @pytest.mark.timing  # a machine that stands still ends the row of failures
    def test_aTurnThatFails(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
    ) -> None:
        """It is tried again, without a spin and without a record for each; timers, which nobody re-arms, still come."""
        reactor, failed, order = make(), list[float](), list[str]()
        real = reactor._beginTurn

        def fail() -> Any:
            if len(failed) < 20:
                failed.append(time.monotonic())
                raise error("of a turn")
            return real()

        reactor.callLater(0.001, order.append, "timer")
        monkeypatch.setattr(reactor, "_beginTurn", fail)
        runUntil(reactor, lambda: order)
        assert len(failed) == 20
        assert failed[-1] - failed[0] >= 18 * LOOP_REST * 0.9
        assert 1 <= len(errorsIn(caplog)) <= 3
        unreported = reactor._guard.unreported
        assert unreported == 20 - len(errorsIn(caplog))
        reactor._guard.tellUnreported()
        text = f"{unreported} more exceptions were not reported, for their number or for lack of memory"
        assert [record.getMessage() for record in caplog.records].count(text) == 1

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_exitsBetweenCallbacksStopInOrder(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
    ) -> None:
        reactor, order = make(), list[str]()

        def leave() -> Any:
            monkeypatch.undo()
            raise kind("now")

        reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
        monkeypatch.setattr(reactor, "_beginTurn", leave)
        with pytest.raises(kind, match="now"):
            reactor.run(installSignalHandlers=False)
        assert order == ["shutdown"]

    def test_aShutdownThatIsInterrupted(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """The triggers that are left run on the next turn, and run() ends."""
        reactor, order = make(), list[str]()
        real, failures = reactor._events.fire, [Boom()]

        def fire(eventType: str, *args: Any, **kwargs: Any) -> Any:
            if eventType == "shutdown" and failures:
                raise failures.pop()
            return real(eventType, *args, **kwargs)

        for phase in ("before", "during", "after"):
            reactor.addSystemEventTrigger(phase, "shutdown", order.append, phase)
        monkeypatch.setattr(reactor._events, "fire", fire)
        reactor.callLater(0, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert order == ["before", "during", "after"]

    def test_aDisconnectionThatIsInterrupted(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, failures = make(), [Boom()]
        real, port = reactor.disconnectAll, listen(reactor)

        def disconnectAll() -> None:
            if failures:
                raise failures.pop()
            real()

        monkeypatch.setattr(reactor, "disconnectAll", disconnectAll)
        reactor.callLater(0, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert not port.connected

    def test_whatIsLeftToFlushAndToClose(self, make: Make) -> None:
        """An exception between two transports does not cost those that were to come their turn."""
        reactor, flushed = make(), list[str]()

        class Output:
            def __init__(self, name: str) -> None:
                self.name = name

            def flush(self) -> None:
                if self.name == "bad":
                    raise Boom
                flushed.append(self.name)

            def failConnection(self, failure: Failure) -> None:
                self.name = "mended"
                raise failure.value

        for name in ("first", "bad", "last"):
            reactor.flushSoon(Output(name))
        with pytest.raises(Boom):
            reactor._flushOutput()
        reactor.iterate(0)
        assert flushed[0] == "first"
        assert flushed[-1] == "last"


class FailingWakeUps:
    def test_aCallThatIsRefusedIsNotMade(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, order = make(), list[str]()
        reactor.callFromThread(order.append, "first")
        with monkeypatch.context() as patch:
            patch.setattr(reactor, "_wake", noMemory)
            with pytest.raises(OSError, match="memory"):
                reactor.callFromThread(order.append, "refused")
        reactor.callFromThread(order.append, "last")
        reactor.iterate(0)
        assert order == ["first", "last"]

    def test_aLoopThatCameRoundByItselfHasTakenTheCall(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, order = make(), list[str]()

        def wake() -> None:
            reactor._runThreadCalls()
            noMemory()

        monkeypatch.setattr(reactor, "_wake", wake)
        reactor.callFromThread(order.append, "made")
        assert order == ["made"]

    def test_aSignalIsHeardAllTheSame(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has woken the loop by itself."""
        reactor, heard = make(), list[str]()
        reactor.addSignalHandler(signal.SIGUSR2, heard.append, "usr2")

        def send() -> None:
            monkeypatch.setattr(reactor, "_wake", noMemory)
            os.kill(os.getpid(), signal.SIGUSR2)

        reactor.callLater(0, send)
        runUntil(reactor, lambda: heard)
        monkeypatch.undo()
        assert heard == ["usr2"]

    @pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "none"), OSError(errno.EIO, "none"), MemoryError()])
    @pytest.mark.parametrize("times", [1, 5])
    def test_aWakerThatCannotBeRead(
        self, make: Make, caplog: pytest.LogCaptureFixture, error: Exception, times: int
    ) -> None:
        """It rests, and is read again; nothing that it announces waits for the next timer, and one record is enough."""
        reactor = make()
        deaf = reactor._waker._reading = DeafWaker(reactor._waker._reading, times, error)
        came = list[float]()
        for _ in range(3):
            sent = time.monotonic()
            thread = threading.Thread(target=reactor.callFromThread, args=(came.append, 1))
            thread.start()
            while not came:
                reactor.iterate(DEADLINE)
            thread.join()
            assert time.monotonic() - sent < DEADLINE / 4
            came.clear()
        turnUntil(reactor, lambda: deaf.tried > times)
        assert errorsIn(caplog) == [type(error)]

    def test_aWakerThatCannotBeWatched(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, real, tried, came = make(), None, list[float](), list[int]()
        real = reactor._heedWaker

        def heed() -> None:
            tried.append(time.monotonic())
            if len(tried) < 4:
                noMemory()
            real()

        monkeypatch.setattr(reactor, "_heedWaker", heed)
        reactor._waker._reading = DeafWaker(reactor._waker._reading, 1, OSError(errno.ENOMEM, "none"))
        reactor.callFromThread(came.append, 1)
        turnUntil(reactor, lambda: len(tried) == 4)
        assert came == [1]
        assert tried[-1] - tried[0] >= 3 * WAKER_REST * 0.9
        thread = threading.Thread(target=reactor.callFromThread, args=(came.append, 2))
        thread.start()
        while len(came) < 2:
            reactor.iterate(DEADLINE)
        thread.join()

    @pytest.mark.parametrize("error", [OSError(errno.ENOMEM, "none"), MemoryError()])
    def test_anAnswerOfAThreadComesAllTheSame(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        """A thread can wait until the system has memory to wake the loop."""
        reactor, answers, failures = make(), list[Any](), list[int]()
        real, home, gate = reactor._wake, threading.get_ident(), threading.Event()

        def wake() -> None:
            if threading.get_ident() != home and len(failures) < 3:
                failures.append(1)
                raise error
            real()

        monkeypatch.setattr(reactor, "_wake", wake)
        threads.deferToThreadPool(reactor, reactor.getThreadPool(), gate.wait, DEADLINE).addCallback(answers.append)
        gate.set()
        turnUntil(reactor, lambda: answers)
        reactor.resolve("localhost").addBoth(answers.append)
        turnUntil(reactor, lambda: len(answers) == 2)
        assert answers[0] is True
        assert failures == [1, 1, 1]

    def test_aLookUpThatCannotBegin(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, answers = make(), list[Any]()
        with monkeypatch.context() as patch:
            patch.setattr(reactor, "_wake", noMemory)
            reactor.resolve("localhost").addBoth(answers.append)
        assert answers[0].type is DNSLookupError
        assert reactor.getDelayedCalls() == []
        reactor.resolve("localhost").addBoth(answers.append)
        turnUntil(reactor, lambda: len(answers) == 2)
        assert isinstance(answers[1], str)


class FailingThreads:
    def test_aCallWithoutAThreadIsNotMade(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not by the thread that somebody else's call gets, either."""
        reactor, done, told = make(), list[str](), list[Any]()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", noThread)
            pool = reactor.getThreadPool()
            threads.deferToThreadPool(reactor, pool, done.append, "deferred").addErrback(lambda f: told.append(f.type))
            with pytest.raises(RuntimeError, match="thread"):
                reactor.callInThread(done.append, "called")
        assert told == [RuntimeError]
        threads.deferToThreadPool(reactor, reactor.getThreadPool(), done.append, "later").addCallback(told.append)
        turnUntil(reactor, lambda: len(told) == 2)
        assert done == ["later"]

    def test_aLookUpWithoutAThread(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        for refuse in (noThread, lambda *_: (_ for _ in ()).throw(MemoryError())):
            reactor, answers = make(), list[Any]()
            with monkeypatch.context() as patch:
                patch.setattr(threads, "start_new_thread", refuse)
                reactor.resolve("localhost").addBoth(answers.append)
                turnUntil(reactor, lambda answers=answers: answers)
            assert answers[0].type is DNSLookupError
            reactor.resolve("localhost").addBoth(answers.append)
            turnUntil(reactor, lambda answers=answers: len(answers) == 2)
            assert isinstance(answers[1], str)


class Child(ProcessProtocol):
    def __init__(self) -> None:
        self.ends = list[Any]()

    def processEnded(self, reason: Failure) -> None:
        self.ends.append(reason.value)


def children() -> list[str]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as found:
        return found.read().split()


class FailingChildren:
    @pytest.mark.parametrize("usePTY", [False, True, "given"])
    @pytest.mark.parametrize("refused", range(5))
    def test_aChildThatCannotBeWatched(
        self, make: Make, monkeypatch: pytest.MonkeyPatch, refused: int, usePTY: Any
    ) -> None:
        """spawnProcess that raises has started nothing, and leaves nothing; else the child's end is told."""
        reactor, child, count = make(), Child(), list[int]()
        given = os.openpty() if usePTY == "given" else None
        before, real = openFiles(), reactor.addReader

        def addReader(reader: Any) -> None:
            count.append(1)
            if len(count) == refused + 1:
                raise OSError(errno.ENOSPC, "no room for one more")
            real(reader)

        with monkeypatch.context() as patch:
            patch.setattr(reactor, "addReader", addReader)
            try:
                reactor.spawnProcess(child, "true", usePTY=(*given, "") if given else usePTY)
                raised = 0
            except OSError as error:
                raised = error.errno or -1
            if not raised:
                turnUntil(reactor, lambda: child.ends)
                assert child.ends[0].exitCode == 0
            elif given:
                for fd in given:
                    os.close(fd)
        assert raised in (0, errno.ENOSPC)
        assert children() == []
        reactor.iterate(0)
        assert (count[refused:] != []) is (refused < (2 if usePTY else 4))
        assert set(openFiles()) <= set(before)

    def test_neitherPidfdNorThread(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """A timer asks for the child's end."""
        reactor, child = make(), Child()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", noMemory)
            patch.setattr(threads, "start_new_thread", noThread)
            reactor.spawnProcess(child, "true")
            turnUntil(reactor, lambda: child.ends)
        assert child.ends[0].exitCode == 0
        assert children() == []

    def test_aChildThatNobodyCanWaitFor(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """As there is no memory even for a timer: it does not stay as a zombie."""
        reactor, before = make(), openFiles()

        def callLater(*_: object) -> Any:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", noMemory)
            patch.setattr(threads, "start_new_thread", noThread)
            patch.setattr(reactor, "callLater", callLater)
            with pytest.raises(MemoryError):
                reactor.spawnProcess(Child(), "sleep", ["sleep", "1000"])
        assert children() == []
        assert openFiles().keys() == before.keys()


class RestingPorts:
    @pytest.fixture(params=["TCP", "UNIX", "UDP", "UNIX datagrams"])
    def port(self, make: Make, request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[tuple[Any, Any, Any]]:
        """A reactor, a port, and a function that sends something to it and says how much has come."""
        reactor, came = make(), list[bytes]()

        class Heard(Protocol):
            def dataReceived(self, data: bytes) -> None:
                came.append(data)
                self.transport.loseConnection()

        class Datagrams(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                came.append(datagram)

        factory, path = ServerFactory.forProtocol(Heard), str(tmp_path / "s")
        factory.noisy = False
        if request.param == "TCP":
            port = reactor.listenTCP(0, factory, interface=LOOPBACK)
            target: Any = (LOOPBACK, port.getHost().port)
        elif request.param == "UNIX":
            port, target = reactor.listenUNIX(path, factory), path
        elif request.param == "UDP":
            port = reactor.listenUDP(0, Datagrams(), interface=LOOPBACK)
            target = (LOOPBACK, port.getHost().port)
        else:
            port, target = reactor.listenUNIXDatagram(path, Datagrams()), path
        family = socket.AF_UNIX if isinstance(target, str) else socket.AF_INET
        kind = socket.SOCK_DGRAM if isinstance(port.__dict__.get("protocol"), Datagrams) else socket.SOCK_STREAM

        def send() -> list[bytes]:
            with socket.socket(family, kind) as peer:
                peer.connect(target)
                peer.sendall(b"x")
            return came

        yield reactor, port, send
        reactor.disconnectAll()

    @pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "none"), Boom("of our own")])
    def test_aPortRestsAndGoesOn(
        self,
        port: tuple[Any, Any, Any],
        error: Exception,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """After what it could not read, and after a rest that could not end as the system refused to watch it."""
        reactor, listening, send = port
        real, failures, refused = listening.doRead, [error], list[float]()
        watch = reactor.addReader

        def doRead() -> None:
            if failures:
                monkeypatch.setattr(reactor, "addReader", addReader)
                raise failures.pop()
            real()

        def addReader(reader: Any) -> None:
            if reader is listening and len(refused) < 3:
                refused.append(time.monotonic())
                noMemory()
            watch(reader)

        monkeypatch.setattr(listening, "doRead", doRead)
        came = send()
        turnUntil(reactor, lambda: came)
        assert len(refused) == 3
        assert refused[2] - refused[0] >= 0.2 * 0.9
        assert came == [b"x"]
        assert listening.connected
        assert caplog.records

    def test_aPauseThatCannotEnd(self, port: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, listening, send = port
        listening.pauseProducing()
        came = send()
        with monkeypatch.context() as patch:
            patch.setattr(reactor, "addReader", noMemory)
            listening.resumeProducing()
        assert came == []
        turnUntil(reactor, lambda: came)

    def test_aRestThatEndsWithThePort(self, port: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, listening, send = port
        listening.doRead = lambda: noMemory()
        send()
        turnUntil(reactor, lambda: listening._rest)
        stopped = listening.stopListening()
        turnUntil(reactor, lambda: stopped.called)
        assert not listening._rest
        assert reactor.getDelayedCalls() == []

    def test_aRestWithoutMemoryForItsTimer(self, port: tuple[Any, Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends with the turn, and nobody is deaf."""
        reactor, listening, send = port
        real, failures = listening.doRead, [1]

        def callLater(*_: object) -> Any:
            raise MemoryError

        def doRead() -> None:
            if failures:
                failures.pop()
                monkeypatch.setattr(reactor, "callLater", callLater)
                noMemory()
            monkeypatch.undo()
            real()

        listening.doRead = doRead
        came = send()
        turnUntil(reactor, lambda: came)
        assert came == [b"x"]


class FailureContract(
    LostDescriptors,
    BetweenCallbacks,
    FailingWakeUps,
    FailingThreads,
    FailingChildren,
    RestingPorts,
    Interrupted,
    InterruptedEnds,
    InterruptedLoops,
    InterruptedRests,
):
    """All of it. A subclass has the fixture `make`."""
