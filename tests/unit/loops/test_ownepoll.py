"""OwnEpoll: watches that last, whatever errors a descriptor shows, and that end when they are ended."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator

import pytest

from reactor.loops.ownepoll import OwnEpoll


@pytest.fixture
def eventloop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def epoll(eventloop: asyncio.AbstractEventLoop) -> Iterator[OwnEpoll]:
    made = OwnEpoll(eventloop, lambda error: pytest.fail(repr(error)))
    yield made
    made.close()


@pytest.fixture
def pairs() -> Iterator[Callable[[], tuple[socket.socket, socket.socket]]]:
    made: list[socket.socket] = []

    def makeOne() -> tuple[socket.socket, socket.socket]:
        pair = socket.socketpair()
        made.extend(pair)
        return pair

    yield makeOne
    for each in made:
        each.close()


Pairs = Callable[[], tuple[socket.socket, socket.socket]]


def pollOnce(eventloop: asyncio.AbstractEventLoop) -> None:
    eventloop.call_soon(eventloop.stop)
    eventloop.run_forever()


def test_readersAndWriters(eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, pairs: Pairs) -> None:
    one, other = pairs()
    told: list[str] = []
    fd = one.fileno()
    epoll.add_reader(fd, told.append, "read")
    pollOnce(eventloop)
    assert told == []
    other.send(b"x")
    pollOnce(eventloop)
    assert told == ["read"]
    epoll.add_writer(fd, told.append, "write")
    pollOnce(eventloop)
    assert told == ["read", "read", "write"]
    epoll.remove_reader(fd)
    pollOnce(eventloop)
    assert told == ["read", "read", "write", "write"]
    epoll.remove_writer(fd)
    pollOnce(eventloop)
    assert len(told) == 4
    epoll.add_writer(fd, told.append, "again")
    pollOnce(eventloop)
    assert told[4:] == ["again"]


@pytest.mark.parametrize("remove", [False, True])
def test_anErrorIsToldUntilSomebodyCares(eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, remove: bool) -> None:
    """A pipe that nobody reads shows nothing but an error."""
    reading, writing = os.pipe()
    told: list[str] = []
    epoll.add_writer(writing, told.append, "write")
    if remove:
        epoll.add_reader(writing, told.append, "read")
        epoll.remove_writer(writing)
    os.close(reading)
    for _ in range(3):
        pollOnce(eventloop)
    assert told == ["read" if remove else "write"] * 3
    (epoll.remove_reader if remove else epoll.remove_writer)(writing)
    os.close(writing)


def test_whatEndsInABatchIsNotWokenByIt(eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, pairs: Pairs) -> None:
    """Two are ready; who is first removes the other, and its number goes to a third, which is ready too."""
    ends = [pairs() for _ in range(3)]
    told: list[int] = []
    watched = {index: ends[index][0].fileno() for index in range(2)}

    def read(index: int) -> None:
        told.append(index)
        other = 1 - index
        fd = watched.pop(other)
        epoll.remove_reader(fd)
        os.dup2(ends[2][0].fileno(), fd)
        epoll.add_reader(fd, told.append, 2)

    for index in watched:
        epoll.add_reader(watched[index], read, index)
    for _, other in ends:
        other.send(b"x")
    pollOnce(eventloop)
    assert len(told) == 1
    epoll.remove_reader(next(iter(watched.values())))
    pollOnce(eventloop)
    assert told[1:] == [2]


def test_aReaderThatRemovesTheWriterOfItsDescriptor(
    eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, pairs: Pairs
) -> None:
    one, other = pairs()
    told: list[str] = []
    epoll.add_reader(one.fileno(), lambda fd: epoll.remove_writer(fd), one.fileno())
    epoll.add_writer(one.fileno(), told.append, "write")
    other.send(b"x")
    pollOnce(eventloop)
    assert told == []


def test_aDescriptorThatWasClosed(eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, pairs: Pairs) -> None:
    (one, _), (another, _) = pairs(), pairs()
    fd, told = one.fileno(), list[str]()
    epoll.add_reader(fd, told.append, "read")
    one.close()
    with pytest.raises(OSError, match=r"\[Errno"):
        epoll.remove_reader(fd)
    with pytest.raises(OSError, match=r"\[Errno"):
        epoll.add_reader(fd, told.append, "read")
    os.dup2(another.fileno(), fd)
    epoll.add_writer(fd, told.append, "write")
    pollOnce(eventloop)
    assert told == ["write"]
    os.close(fd)


def test_whatCannotBeWatchedIsRefused(eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll) -> None:
    with open(__file__) as file:
        for _ in range(2):
            with pytest.raises(PermissionError):
                epoll.add_reader(file.fileno(), print, "read")


@pytest.mark.parametrize("closedBefore", [False, True])
def test_close(pairs: Pairs, closedBefore: bool) -> None:
    eventloop, (one, other) = asyncio.new_event_loop(), pairs()
    epoll, told = OwnEpoll(eventloop, lambda error: pytest.fail(repr(error))), list[str]()
    epoll.add_reader(one.fileno(), told.append, "read")
    other.send(b"x")
    if closedBefore:
        eventloop.close()
    epoll.close()
    if not closedBefore:
        pollOnce(eventloop)
        eventloop.close()
    assert told == []
    with pytest.raises(ValueError, match="closed"):
        epoll.add_reader(one.fileno(), told.append, "read")
    assert select.select([one], [], [], 0)[0] == [one]


def test_thePollFails(eventloop: asyncio.AbstractEventLoop, pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner is told, each time, and nothing is lost."""
    failures, told = list[Exception](), list[str]()
    epoll = OwnEpoll(eventloop, failures.append)
    one, other = pairs()
    epoll.add_reader(one.fileno(), told.append, "read")
    other.send(b"x")
    real = epoll._epoll

    class Failing:
        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(epoll, "_epoll", Failing())
    pollOnce(eventloop)
    pollOnce(eventloop)
    assert [type(failure) for failure in failures] == [OSError, OSError]
    assert told == []
    monkeypatch.setattr(epoll, "_epoll", real)
    pollOnce(eventloop)
    assert told == ["read"]
    epoll.close()


class Interruption(Exception):
    pass


class Interrupted:
    """An epoll behind whose registrations a signal's handler raises, for the first `times`."""

    def __init__(self, epoll: select.epoll, times: int = 1) -> None:
        self.epoll = epoll
        self.times = times

    def __getattr__(self, name: str) -> object:
        return getattr(self.epoll, name)

    def register(self, fd: int, events: int) -> None:
        self.epoll.register(fd, events)
        self.times -= 1
        if self.times >= 0:
            raise Interruption


@pytest.mark.parametrize("how", ["add_reader", "add_writer"])
def test_anExceptionBehindTheRegistration(
    eventloop: asyncio.AbstractEventLoop, epoll: OwnEpoll, pairs: Pairs, how: str
) -> None:
    """Nothing is watched then; and the next attempt succeeds, though the kernel knew the number already."""
    one, other = pairs()
    other.send(b"x")
    told: list[str] = []
    real = epoll._epoll
    epoll._epoll = Interrupted(real)
    with pytest.raises(Interruption):
        getattr(epoll, how)(one.fileno(), told.append, "first")
    pollOnce(eventloop)
    assert told == []
    with pytest.raises(FileNotFoundError):
        real.unregister(one.fileno())
    getattr(epoll, how)(one.fileno(), told.append, "second")
    pollOnce(eventloop)
    assert told == ["second"]
    epoll._epoll = real
