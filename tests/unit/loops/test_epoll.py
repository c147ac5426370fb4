"""EpollReactor: what is epoll's own, beside the contract of reactors in tests/contract/test_matrix.py."""

from __future__ import annotations

import pathlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.loops.epoll import EpollReactor
from tests.conftest import openFiles
from tests.support.worlds import DEADLINE, OURS, World, dial, silentServer


@pytest.fixture
def make() -> Iterator[Callable[[], EpollReactor]]:
    made: list[EpollReactor] = []

    def makeOne() -> EpollReactor:
        made.append(EpollReactor())
        return made[-1]

    yield makeOne
    for each in made:
        OURS.close(each)


def test_closeGivesBackEveryDescriptor() -> None:
    before = openFiles()
    reactor = EpollReactor()
    assert len(openFiles()) == len(before) + 3
    reactor.close()
    assert openFiles() == before


class StrictEpoll:
    """epoll as PyPy has it: a timeout is a number."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.timeouts: list[float] = []

    def poll(self, timeout: float, most: int) -> Any:
        self.timeouts.append(timeout + 0)
        return self._real.poll(timeout, most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def test_theTimeoutIsANumber(make: Callable[[], EpollReactor], monkeypatch: pytest.MonkeyPatch) -> None:
    """With no delayed call the loop sleeps until something happens, which None says on CPython alone."""
    reactor = make()
    strict = StrictEpoll(reactor._epoll)
    monkeypatch.setattr(reactor, "_epoll", strict)
    timer = threading.Timer(0.01, reactor.callFromThread, (reactor.stop,))
    reactor.callWhenRunning(timer.start)
    reactor.run()
    timer.join()
    assert -1 in strict.timeouts
    monkeypatch.undo()


def test_aCallbackThatCrashesAndRunsAgain(make: Callable[[], EpollReactor]) -> None:
    """The turn that it interrupts does not sleep afterwards: nobody would wake it. Signals are given back."""
    reactor, before = make(), signal.getsignal(signal.SIGTERM)
    told: list[object] = []

    def again() -> None:
        reactor.crash()
        reactor.callLater(0.001, told.append, "again")
        reactor.callLater(0.002, reactor.stop)
        reactor.run()

    reactor.callLater(0, again)
    signal.setitimer(signal.ITIMER_REAL, DEADLINE)
    reactor.run()
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert told == ["again"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.set_wakeup_fd(-1) == -1


class Ear:
    """A reader or writer that notes when it is called, and does something."""

    def __init__(self, fd: int, told: list[object], does: Callable[[], object] = lambda: None) -> None:
        self.fd, self.told, self.does = fd, told, does

    def fileno(self) -> int:
        return self.fd

    def doRead(self) -> None:
        self.told.append(self)
        self.does()

    doWrite = doRead

    def connectionLost(self, reason: object) -> None:
        self.told.append("lost")


def test_aDescriptorThatEpollRefusesLeavesNoTrace(make: Callable[[], EpollReactor], tmp_path: pathlib.Path) -> None:
    """A regular file is always ready, and cannot be polled."""
    reactor = make()
    with open(tmp_path / "file", "w") as file:
        ear = Ear(file.fileno(), [])
        for add in (reactor.addReader, reactor.addWriter):
            with pytest.raises(PermissionError):
                add(ear)
        with pytest.raises(OSError, match="Bad file"):
            reactor.addReader(Ear(9999, []))
        with pytest.raises(ValueError, match="negative"):
            reactor.addReader(Ear(-1, []))
    assert reactor.getReaders() == reactor.getWriters() == []


def test_eventsOfWhoHasGone(make: Callable[[], EpollReactor]) -> None:
    """Ten readers are ready in one batch; the first that is called removes the others, and they hear nothing."""
    reactor, told = make(), list[object]()
    pairs = [socket.socketpair() for _ in range(10)]
    ears = [Ear(ours.fileno(), told) for ours, _ in pairs]

    def removeOthers() -> None:
        for ear in ears:
            if ear is not told[0]:
                reactor.removeReader(ear)

    for ear, (_, theirs) in zip(ears, pairs, strict=True):
        ear.does = removeOthers
        reactor.addReader(ear)
        theirs.send(b"x")
    reactor.iterate(0)
    assert len(told) == 1
    reactor.removeAll()
    for pair in pairs:
        for end in pair:
            end.close()


def test_staleEventsNeverReachANewOwner() -> None:
    """In one batch, the handler of the first event closes nine ready connections and opens as many new ones.

    Their numbers cannot come round within the batch; what happens to them later belongs to their new owners only.
    """
    world = World()
    opened: list[socket.socket] = []
    clients: list[Any] = []

    def boom(protocol: Any, data: bytes) -> None:
        for other in factory.built:
            if other is not protocol:
                other.transport.connectionLost(Failure(ConnectionDone()))
        numbers = {protocol.transport.socket.fileno() for protocol in factory.built} - {-1}
        for _ in range(20):
            opened.extend(socket.socketpair())
        # Still open in the kernel, so nobody else has their numbers.
        assert len(numbers) == 10
        assert not numbers & {end.fileno() for end in opened}
        for _ in range(9):
            clients.append(world.clientFactory())
            world.connect(port, clients[-1])

    factory = world.serverFactory({"data": boom})
    port = world.listen(factory)
    peers = [dial(port) for _ in range(10)]
    world.until(lambda: len(factory.built) == 10)
    before = list(factory.built)
    for peer in peers:
        peer.sendall(b"boom")
    world.until(lambda: len(factory.built) == 19)
    world.until(lambda: all(client.built for client in clients))
    heard = [protocol for protocol in before if protocol.received]
    assert len(heard) == 1
    for protocol in before:
        assert len([event for event in protocol.trace if event[0] == "lost"]) == (protocol is not heard[0])
    for protocol in factory.built[10:]:
        assert protocol.trace == ["made"]
    for end in [*peers, *opened]:
        end.close()
    world.close()


def test_foreignNumbersThatComeRoundWithinABatch(make: Callable[[], EpollReactor]) -> None:
    """A program closes descriptors of its own in a batch, and a connecting socket gets the number of a ready one.

    The stale event only wakes the attempt, which does not take it for an answer.
    """
    reactor, told = make(), list[object]()
    world = World()
    world.close()
    world.reactor = reactor
    with silentServer() as (host, number):
        pairs = [socket.socketpair() for _ in range(8)]
        factory = world.clientFactory()

        def swap() -> None:
            if len(told) > 1:
                return
            mine = told[0]
            for ear, (ours, _) in zip(ears, pairs, strict=True):
                if ear is not mine:
                    reactor.removeReader(ear)
                    reactor.removeWriter(ear)
                    ours.close()
            for _ in pairs[1:]:
                reactor.connectTCP(host, number, factory)

        ears = [Ear(ours.fileno(), told, swap) for ours, _ in pairs]
        for ear, (_, theirs) in zip(ears, pairs, strict=True):
            reactor.addReader(ear)
            reactor.addWriter(ear)
            theirs.send(b"x")
        reactor.iterate(0)
        reactor.removeReader(told[0])
        reactor.removeWriter(told[0])
        for _ in range(3):
            reactor.iterate(0)
        assert factory.trace.count("build") == 0
        assert [event for event in factory.trace if event[0] == "failed"] == []
        reactor.disconnectAll()
        for pair in pairs:
            for end in pair:
                end.close()


def test_keyboardInterruptBetweenCallbacks(make: Callable[[], EpollReactor], monkeypatch: pytest.MonkeyPatch) -> None:
    """Raised by a signal handler that is not ours, in the poll itself: the reactor stops in order, and it leaves."""
    reactor, order = make(), list[str]()
    reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
    turn, left = reactor._turn, [1]

    def interrupted(longest: float | None) -> None:
        if left and left.pop():
            raise KeyboardInterrupt
        turn(longest)

    monkeypatch.setattr(reactor, "_turn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reactor.run(installSignalHandlers=False)
    assert order == ["shutdown"]


def test_itsMethodsAreFoundWithoutADict() -> None:
    """CPython 3.11 looks methods up slowly beyond 29 attributes, which costs 7% of an event (`make guard`)."""
    with closing(EpollReactor()) as reactor:
        assert len(vars(reactor)) <= 29


def test_catchingUpWhenNothingIsWatched() -> None:
    """As when the system has refused to watch the waker."""
    reactor = EpollReactor()
    reactor.removeReader(reactor._waker)
    reactor._catchUp()
    reactor.close()
