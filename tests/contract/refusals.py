"""Every reactor, when a single system call is refused or interrupted. The fixture is reactor.py's.

The battery's tests/battery/systemcalls.py has found these; here each has a name.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import SimpleNamespace
from typing import Any

import pytest

from reactor import threads
from reactor.failure import Failure
from reactor.protocol import ClientFactory, ProcessProtocol, Protocol, ServerFactory
from reactor.transports import connecting
from reactor.transports.children import spawning
from tests.conftest import openFiles
from tests.support.worlds import DEADLINE, LOOPBACK, dial, turnUntil

Make = Callable[[], Any]

CLOSING = [errno.EIO, errno.EINTR, errno.ENOSPC]


def refused(code: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


def factoryOf(kind: Any) -> Any:
    factory = ServerFactory.forProtocol(kind)
    factory.noisy = False
    return factory


class Child(ProcessProtocol):
    def __init__(self) -> None:
        self.ends = list[Any]()

    def processEnded(self, reason: Failure) -> None:
        self.ends.append(reason.value)


class Client(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.told = list[str]()

    def buildProtocol(self, addr: Any) -> Protocol:
        told = self.told

        class Told(Protocol):
            def connectionMade(self) -> None:
                told.append("made")
                self.transport.loseConnection()

        return Told()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append("failed")

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append("lost")


def children() -> list[str]:
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as found:
        return found.read().split()


def isAsleep() -> bool:
    """Whether the main thread waits for something: as a rule, for what its poll will tell (proc(5), state S)."""
    with open(f"/proc/self/task/{threading.main_thread().native_id}/stat") as found:
        return found.read().rpartition(")")[2].split()[0] == "S"


class Closing:
    """close(2) may say that something went wrong: the descriptor is closed all the same, so nothing has."""

    @pytest.fixture(params=CLOSING, ids=errno.errorcode.get)
    def complaining(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Have the package's own calls of close fail, after the fact; the numbers are listed."""
        closed = list[int]()

        def close(fd: int) -> None:
            os.close(fd)
            closed.append(fd)
            raise OSError(request.param, os.strerror(request.param))

        monkeypatch.setattr("reactor._numbers.os", SimpleNamespace(**{**vars(os), "close": close}))
        return closed

    @pytest.mark.parametrize("usePTY", [False, True])
    def test_aChildIsStartedAllTheSame(self, make: Make, complaining: list[int], usePTY: bool) -> None:
        reactor, child, before = make(), Child(), openFiles()
        reactor.spawnProcess(child, "/bin/true", usePTY=usePTY)
        turnUntil(reactor, lambda: child.ends)
        reactor.iterate(0)
        assert complaining
        assert child.ends[0].exitCode == 0
        assert children() == []
        assert set(openFiles()) <= set(before)

    def test_aUNIXPortStops(self, make: Make, complaining: list[int], tmp_path: Any) -> None:
        reactor, path = make(), str(tmp_path / "s")
        factory = factoryOf(Echo)
        port = reactor.listenUNIX(path, factory)
        client = Client()
        reactor.connectUNIX(path, client, checkPID=True)
        turnUntil(reactor, lambda: "lost" in client.told)
        stopped = port.stopListening()
        turnUntil(reactor, lambda: stopped.called)
        assert complaining
        assert client.told == ["made", "lost"]
        assert factory.numPorts == 0
        assert os.listdir(tmp_path) == []


class Connecting:
    def test_interrupted(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connect() that a signal has interrupted goes on."""

        class Interrupted(socket.socket):
            def connect_ex(self, address: Any) -> int:
                code = super().connect_ex(address)
                return errno.EINTR if code in (0, errno.EINPROGRESS) else code

        monkeypatch.setattr(connecting, "openSocket", Interrupted)
        reactor, client = make(), Client()
        port = reactor.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)
        reactor.connectTCP(LOOPBACK, port.getHost().port, client)
        turnUntil(reactor, lambda: "lost" in client.told)
        assert client.told == ["made", "lost"]

    def test_noRoomAtPresent(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """A socket whose connect() says EAGAIN is not connecting, yet writable: another is tried a little later."""
        tried = list[float]()

        class Full(socket.socket):
            def connect_ex(self, address: Any) -> int:
                tried.append(time.monotonic())
                return super().connect_ex(address) if len(tried) > 3 else errno.EAGAIN

        monkeypatch.setattr(connecting, "openSocket", Full)
        reactor, client = make(), Client()
        port = reactor.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)
        reactor.connectTCP(LOOPBACK, port.getHost().port, client)
        turnUntil(reactor, lambda: "lost" in client.told)
        assert client.told == ["made", "lost"]
        assert len(tried) == 4
        assert tried[-1] - tried[0] >= 3 * connecting.CONNECT_REST * 0.9

    @pytest.mark.parametrize("code", [errno.ENOBUFS, errno.ENOMEM])
    def test_thePeersNameIsRefused(self, make: Make, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
        """It is not asked for over and over: the attempt fails."""
        asked = list[int]()

        class Nameless(socket.socket):
            def getpeername(self) -> Any:
                asked.append(1)
                raise OSError(code, os.strerror(code))

        monkeypatch.setattr(connecting, "openSocket", Nameless)
        reactor, client = make(), Client()
        port = reactor.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)
        reactor.connectTCP(LOOPBACK, port.getHost().port, client)
        turnUntil(reactor, lambda: client.told)
        assert client.told == ["failed"]
        assert len(asked) <= 3


class Threads:
    def test_anAnswerThatIsThereAtOnce(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """It comes although nobody can be woken for it: the caller is awake."""

        class AtOnce(Executor):
            def submit(self, f: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
                future: Future[Any] = Future()
                future.set_result(f(*args, **kwargs))
                return future

        reactor, answers = make(), list[Any]()
        monkeypatch.setattr(reactor, "_wake", refused(errno.ENOBUFS))
        threads.deferToThreadPool(reactor, AtOnce(), int, "7").addCallback(answers.append)
        monkeypatch.undo()
        turnUntil(reactor, lambda: answers)
        assert answers == [7]


class Signals:
    def test_aSignalIsHeardAtOnce(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """By a loop that sleeps, and that its handler cannot wake."""
        reactor, heard, sent = make(), list[float](), list[float]()

        def hear() -> None:
            heard.append(time.monotonic())
            reactor.stop()

        def send() -> None:
            end = time.monotonic() + DEADLINE / 2
            while not isAsleep() and time.monotonic() < end:
                time.sleep(0.005)
            with monkeypatch.context() as patch:
                patch.setattr(reactor, "_wake", refused(errno.ENOMEM))
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGUSR2)
                while not heard and time.monotonic() < sent[0] + DEADLINE / 2:
                    time.sleep(0.005)

        reactor.addSignalHandler(signal.SIGUSR2, hear)
        thread = threading.Thread(target=send)
        reactor.callWhenRunning(thread.start)
        late = reactor.callLater(DEADLINE / 2, hear)
        reactor.run(installSignalHandlers=False)
        thread.join()
        assert heard[0] - sent[0] < DEADLINE / 4
        late.cancel()


class Descriptors:
    def test_whatAConnectionIsWatchedFor(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """The system does not say which file a number stands for: that is no reason to forget who has it."""
        reactor, data = make(), b"y" * 4_000_000
        ends = list[Any]()

        class Large(Echo):
            def connectionMade(self) -> None:
                monkeypatch.setattr(os, "fstat", refused(errno.ENOMEM))
                self.transport.write(data)

            def connectionLost(self, reason: Any = None) -> None:
                ends.append(reason)

        port = reactor.listenTCP(0, factoryOf(Large), interface=LOOPBACK)
        with dial(port) as peer:
            heard = bytearray()
            while len(heard) < len(data):
                turnUntil(reactor, lambda: select.select([peer], [], [], 0)[0])
                heard += peer.recv(1 << 20)
            monkeypatch.undo()
            peer.sendall(b"hello")
            turnUntil(reactor, lambda: select.select([peer], [], [], 0)[0])
            assert peer.recv(100) == b"hello"
        turnUntil(reactor, lambda: ends)

    def test_theFirstLookIsRefused(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, told = make(), list[str]()
        ours, theirs = socket.socketpair()

        class Reader:
            def fileno(self) -> int:
                return ours.fileno()

            def doRead(self) -> None:
                told.append(ours.recv(1).decode())

            def doWrite(self) -> None:
                told.append("w")
                reactor.removeWriter(self)

        reader = Reader()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", refused(errno.EIO))
            reactor.addReader(reader)
        reactor.addWriter(reader)
        theirs.send(b"r")
        turnUntil(reactor, lambda: len(told) == 2)
        assert sorted(told) == ["r", "w"]
        reactor.removeReader(reader)
        ours.close()
        theirs.close()

    def test_aChildThatCannotBePrepared(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step in the child before exec fails: that is an OSError of spawnProcess as well."""
        reactor, before = make(), openFiles()
        monkeypatch.setattr(spawning, "_preparation", lambda *_: refused(errno.EIO))
        with pytest.raises(OSError, match="could not be prepared"):
            reactor.spawnProcess(Child(), "/bin/true", usePTY=True)
        reactor.iterate(0)
        assert children() == []
        assert set(openFiles()) <= set(before)


class RefusalContract(Closing, Connecting, Threads, Signals, Descriptors):
    """All of it. A subclass has the fixture `make`."""
