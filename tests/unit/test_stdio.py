"""Standard input and output as a transport: pipes, terminals, sockets, files; and the numbers they leave behind."""

from __future__ import annotations

import contextlib
import errno
import inspect
import os
import pathlib
import pty
import select
import signal
import socket
import stat
import subprocess
import sys
import tty
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.internet.stdio

from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost, OutputLimitExceeded
from reactor.linereceiver import LineReceiver
from reactor.stdio import PipeAddress, StandardIO
from tests.contract.transport import TransportContract
from tests.support.worlds import LOOPS, TWISTED, Producer, World

SIDES = [pytest.param(side, id=side.name) for side in LOOPS]


@pytest.fixture(params=SIDES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class StdioWorld(World):
    """Two StandardIOs, each on the other ends of the other's descriptors."""

    hasConnectors = False
    hasErrors = False  # of pipes

    afterReset = "ConnectionDone"  # there is no reset

    def __init__(self, side: Any) -> None:
        super().__init__(side)
        self.wires = Wires()

    def close(self) -> None:
        super().close()
        self.wires.close(*list(self.wires.open))

    def wired(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Standard input and output of a server and of a client."""
        (serverIn, clientOut), (clientIn, serverOut) = self.wires.pipe(), self.wires.pipe()
        return (serverIn, serverOut), (clientIn, clientOut)

    def pair(
        self, server: Any = None, client: Any = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        ends = self.wired()
        kinds = ((server, halves), (client, clientHalves))
        one, two = (begin(self, *fds, hooks, half) for fds, (hooks, half) in zip(ends, kinds, strict=True))
        return one, two


class SocketsWorld(StdioWorld):
    """Each has one end of a pair of sockets as both."""

    hasErrors = True

    def wired(self) -> tuple[tuple[int, int], tuple[int, int]]:
        one, two = socket.socketpair()
        ends = (one.detach(), two.detach())
        self.wires.open.update(ends)
        return (ends[0], ends[0]), (ends[1], ends[1])


def fixtureOf(kind: Any) -> Any:
    @pytest.fixture(params=SIDES)
    def world(self: Any, request: pytest.FixtureRequest) -> Iterator[World]:
        world = kind(request.param)
        yield world
        world.close()

    return world


class TestPipes(TransportContract):
    world = fixtureOf(StdioWorld)


class TestSockets(TransportContract):
    world = fixtureOf(SocketsWorld)


class Wires:
    """Descriptors of a test, closed at its end; `close` closes one now."""

    def __init__(self) -> None:
        self.open: set[int] = set()

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self.open.update(ends)
        return ends

    def file(self, path: Any, flags: int) -> int:
        fd = os.open(path, flags, 0o600)
        self.open.add(fd)
        return fd

    def close(self, *fds: int) -> None:
        for fd in fds:
            self.open.discard(fd)
            os.close(fd)


@pytest.fixture
def wires() -> Iterator[Wires]:
    wires = Wires()
    yield wires
    wires.close(*list(wires.open))


def begin(world: World, stdin: int, stdout: int, hooks: Any = None, halves: bool = False) -> Any:
    """A recording protocol on the two."""
    protocol = world.serverFactory(hooks or {}, halves).buildProtocol(None)
    StandardIO(protocol, stdin, stdout, reactor=world.reactor)
    return protocol


def echo(protocol: Any, data: bytes) -> None:
    protocol.transport.write(data)


def readAll(fd: int) -> bytes:
    pieces = []
    while piece := os.read(fd, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def test_pipes(world: World, wires: Wires) -> None:
    """Lines go through; at the end both other sides see it, and the numbers are still taken."""
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout, {"data": echo})
    assert protocol.trace == ["made"]
    assert protocol.transport.getHost() == protocol.transport.getPeer() == PipeAddress()
    os.write(toUs, b"one\n")
    world.until(lambda: protocol.received == b"one\n")
    assert os.read(fromUs, 10) == b"one\n"
    wires.close(toUs)
    world.until(lambda: protocol.lost is not None)
    assert protocol.trace == ["made", "data", ("lost", "ConnectionDone")]
    assert readAll(fromUs) == b""
    assert [stat.S_ISCHR(os.fstat(fd).st_mode) for fd in (stdin, stdout)] == [True, True]
    assert os.get_blocking(stdin)


@pytest.fixture
def alarm() -> Iterator[None]:
    """A call that blocks for ten seconds is interrupted."""

    def ring(*_: object) -> None:
        raise AssertionError("it blocks")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refuseReopening(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system does it for another user's terminal or pipe."""
    real = os.open

    def refusing(path: Any, *arguments: Any, **options: Any) -> int:
        if str(path).startswith("/proc/self/fd/"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", refusing)


def sharedPair(kind: str, wires: Wires) -> tuple[int, int]:
    """Two connected descriptors: the first is for us."""
    if kind == "socket":
        pair = tuple(each.detach() for each in socket.socketpair())
    elif kind == "pipe":
        pair = os.pipe()[::-1]
    else:
        pair = os.openpty()
        if kind == "terminal":
            pair = pair[::-1]
        else:
            tty.setraw(pair[1])
    wires.open.update(pair)
    return pair[0], pair[1]


SHARED = ["pipe", "socket", "terminal", "master"]


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("reopening", ["granted", "refused"])
@pytest.mark.parametrize("kind", SHARED)
def test_aStalledReaderBlocksNobody(
    world: World,
    wires: Wires,
    alarm: None,
    kind: str,
    reopening: str,
    timeout: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes nothing, then all. O_NONBLOCK is not set on what we share with other processes, not for a moment."""
    if reopening == "refused":
        refuseReopening(monkeypatch)
    monkeypatch.setattr(os, "set_blocking", forbidden if timeout is None else os.set_blocking)
    ours, theirs = sharedPair(kind, wires)
    socket.setdefaulttimeout(timeout)
    try:
        stdin, _toUs = wires.pipe()
        data = b"".join(b"line %d of many\n" % number for number in range(20_000))
        wanted = data.replace(b"\n", b"\r\n") if kind == "terminal" else data
        protocol = begin(world, stdin, ours, {"made": lambda protocol: protocol.transport.write(data)})
    finally:
        socket.setdefaulttimeout(None)
    for _ in range(50):
        world.reactor.iterate(0)
    assert 0 < protocol.transport.unsent < len(data)
    assert os.get_blocking(ours)
    found = bytearray()

    def look() -> bool:
        if select.select([theirs], [], [], 0)[0]:
            found.extend(os.read(theirs, 1 << 16))
        return len(found) >= len(wanted)

    world.until(look)
    assert found == wanted
    protocol.transport.loseConnection()
    world.until(lambda: protocol.lost is not None)
    assert protocol.lost.check(ConnectionDone)
    assert os.get_blocking(ours)


def forbidden(*_: object) -> None:
    raise AssertionError("a flag of an open file is being set")


@pytest.mark.parametrize("kind", ["socket", "terminal", "master"])
def test_readingWhatIsShared(
    world: World, wires: Wires, alarm: None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who has the same open file has taken what we were woken for: we do not wait for more."""
    refuseReopening(monkeypatch)
    ours, theirs = sharedPair(kind, wires)
    if kind == "terminal":
        tty.setraw(ours)
    protocol = begin(world, ours, wires.file(os.devnull, os.O_WRONLY))
    os.write(theirs, b"for another")
    assert select.select([ours], [], [], 10)[0]
    assert os.read(ours, 100) == b"for another"
    protocol.transport._input.doRead()
    assert protocol.trace == ["made"]
    os.write(theirs, b"for us")
    world.until(lambda: protocol.received == b"for us")
    assert os.get_blocking(ours)


def test_moreThanAPipeHolds(world: World, wires: Wires) -> None:
    """Data that was written is sent after the end of the input, however slowly it is read."""
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    data = os.urandom(1_000_000)
    protocol = begin(world, stdin, stdout, {"made": lambda protocol: protocol.transport.write(data)})
    wires.close(toUs)
    os.set_blocking(fromUs, False)
    found = bytearray()

    def look() -> bool:
        with contextlib.suppress(BlockingIOError):
            found.extend(os.read(fromUs, 1 << 16))
        return len(found) == len(data) and protocol.lost is not None

    world.until(look)
    assert found == data
    assert protocol.lost.check(world.side.error.ConnectionDone)


def test_files(world: World, wires: Wires, tmp_path: pathlib.Path) -> None:
    """epoll refuses them; they are read to the end and written as it comes."""
    data = os.urandom(300_000)
    (tmp_path / "in").write_bytes(data)
    stdin, stdout = wires.file(tmp_path / "in", os.O_RDONLY), wires.file(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    protocol = begin(world, stdin, stdout, {"data": echo})
    world.until(lambda: protocol.lost is not None)
    assert (tmp_path / "out").read_bytes() == data
    assert protocol.lost.check(ConnectionDone)
    assert stat.S_ISREG(os.fstat(stdout).st_mode)
    assert world.reactor.getDelayedCalls() == []


def test_muchIntoAFile(world: World, wires: Wires, tmp_path: pathlib.Path) -> None:
    """More than one send is given, into what epoll does not watch."""
    (stdin, _toUs), stdout = wires.pipe(), wires.file(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    data = os.urandom(500_000)
    protocol = begin(world, stdin, stdout, {"made": lambda protocol: protocol.transport.write(data)})
    protocol.transport.loseConnection()
    world.until(lambda: protocol.lost is not None)
    assert (tmp_path / "out").read_bytes() == data


def test_filesPause(world: World, wires: Wires, tmp_path: pathlib.Path) -> None:
    (tmp_path / "in").write_bytes(bytes(200_000))
    stdin = wires.file(tmp_path / "in", os.O_RDONLY)
    protocol = begin(
        world,
        stdin,
        wires.file(os.devnull, os.O_WRONLY),
        {"data": lambda protocol, _: protocol.transport.pauseProducing()},
    )
    world.until(lambda: protocol.received)
    for _ in range(5):
        world.reactor.iterate(0)
    assert len(protocol.received) == 65536
    protocol.hooks.clear()
    protocol.transport.resumeProducing()
    protocol.transport.resumeProducing()
    world.until(lambda: protocol.lost is not None)
    assert len(protocol.received) == 200_000
    protocol.transport.resumeProducing()


def test_callbacksOnAFileRaise(world: World, wires: Wires, tmp_path: pathlib.Path, caplog: Any) -> None:
    def boom(*_: object) -> None:
        raise LookupError("boom")

    (tmp_path / "in").write_bytes(b"x")
    protocol = begin(
        world,
        wires.file(tmp_path / "in", os.O_RDONLY),
        wires.file(os.devnull, os.O_WRONLY),
        {"data": boom, "lost": boom},
    )
    world.until(lambda: protocol.lost is not None)
    assert protocol.lost.check(LookupError)
    assert len(caplog.records) == 2


def test_callbacksOnAPipeRaise(world: World, wires: Wires, caplog: Any) -> None:
    def boom(*_: object) -> None:
        raise LookupError("boom")

    (stdin, toUs), (_fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout, {"data": boom})
    os.write(toUs, b"x")
    world.until(lambda: protocol.lost is not None)
    assert protocol.lost.check(LookupError)
    (stdin, _toUs), (_fromUs, stdout) = wires.pipe(), wires.pipe()
    assert begin(world, stdin, stdout, {"made": boom}).lost.check(LookupError)
    assert len(caplog.records) == 2


def test_terminal(world: World, wires: Wires) -> None:
    """One terminal is both; it stays blocking, and its hang-up is the end."""
    ours, theirs = pty.openpty()
    wires.open.update((ours, theirs))
    tty.setraw(theirs)
    protocol = begin(world, theirs, theirs, {"data": echo})
    os.write(ours, b"hello")
    world.until(lambda: protocol.received == b"hello")
    assert os.read(ours, 100) == b"hello"
    assert os.get_blocking(theirs)
    wires.close(ours)
    world.until(lambda: protocol.lost is not None)
    assert protocol.lost.check(ConnectionDone)
    assert stat.S_ISCHR(os.fstat(theirs).st_mode)


def test_socket(world: World, wires: Wires) -> None:
    """As inetd passes one, for both. Its flag is nobody's business but its owner's."""
    one, two = socket.socketpair()
    with one, two:
        keep = os.dup(one.fileno())
        wires.open.add(keep)
        protocol = begin(world, one.fileno(), one.fileno(), {"data": echo}, halves=True)
        assert os.get_blocking(keep)
        two.sendall(b"hello")
        two.shutdown(socket.SHUT_WR)
        world.until(lambda: "readLost" in protocol.trace)
        assert two.recv(100) == b"hello"
        protocol.transport.write(b"and")
        protocol.transport.loseWriteConnection()
        world.until(lambda: "writeLost" in protocol.trace)
        assert two.recv(100) == b"and"
        protocol.transport.write(b"dropped")
        protocol.transport.loseWriteConnection()
        protocol.transport.loseConnection()
        assert protocol.trace == ["made", "data", "readLost", "writeLost", ("lost", "ConnectionDone")]
        assert os.get_blocking(keep)


def test_bothSidesOfATerminal(world: World, wires: Wires) -> None:
    """The master's side is one more terminal if it is opened anew, so it is not."""
    master, slave = pty.openpty()
    wires.open.update((master, slave))
    tty.setraw(slave)
    sizes = [200_000, 300_000]
    ends = [begin(world, fd, fd) for fd in (master, slave)]
    for end, size in zip(ends, sizes, strict=True):
        end.transport.write(b"x" * size)
        end.transport.pauseProducing()
        world.reactor.callLater(0, end.transport.resumeProducing)
    world.until(lambda: [len(end.received) for end in ends] == sizes[::-1])
    for end in ends:
        end.transport.loseConnection()
    world.until(lambda: all(end.lost is not None for end in ends))
    assert os.get_blocking(master)


@pytest.mark.parametrize("again", [False, True])
def test_numbersThatTheProgramHasClosed(world: World, wires: Wires, again: bool) -> None:
    """They may stand for something else by now, which stays; with nothing there the protocol is told all the same."""
    (stdin, toUs), (_, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout)
    wires.close(stdin, stdout)
    others = {wires.file(__file__, os.O_RDONLY) for _ in range(2 * again)}
    assert others == {stdin, stdout} or not again
    wires.close(toUs)
    world.until(lambda: protocol.lost is not None)
    assert protocol.trace == ["made", ("lost", "ConnectionDone")]
    assert all(os.readlink(f"/proc/self/fd/{fd}") == __file__ for fd in others)


EVERY = [*SIDES, pytest.param(TWISTED, id="twisted")]


@pytest.fixture(params=EVERY)
def anyWorld(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def beginAny(world: World, stdin: int, stdout: int, halves: bool) -> Any:
    protocol = world.serverFactory({}, halves).buildProtocol(None)
    kind: Any = twisted.internet.stdio.StandardIO if world.side is TWISTED else StandardIO
    kind(protocol, stdin, stdout, reactor=world.reactor)
    return protocol


@pytest.mark.parametrize("unsent", [0, 1_000_000])
def test_theReaderHasGoneForOneWhoIsToldOfHalves(anyWorld: World, wires: Wires, unsent: int) -> None:
    """At once, with nothing to send too; input is read as before."""
    world = anyWorld
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = beginAny(world, stdin, stdout, halves=True)
    producer = Producer()
    protocol.transport.registerProducer(producer, True)
    if unsent:
        protocol.transport.write(b"x" * unsent)
    world.reactor.iterate(0)
    wires.close(fromUs)
    world.until(lambda: "writeLost" in protocol.trace)
    protocol.transport.write(b"dropped")
    os.write(toUs, b"more")
    world.until(lambda: protocol.received == b"more")
    wires.close(toUs)
    world.until(lambda: "readLost" in protocol.trace)
    assert protocol.trace == ["made", "writeLost", "data", "readLost"]
    assert producer.trace == [*["pause"] * bool(unsent), "stop"]
    protocol.transport.loseConnection()
    assert world.side is TWISTED or protocol.lost.check(ConnectionDone)  # Twisted's has no end then


def closers(transport: Any) -> dict[str, Any]:
    receiver = LineReceiver()
    receiver.transport = transport

    def fail() -> None:
        raise LookupError("boom")

    return {
        "loses": transport.loseConnection,
        "receiver": receiver.stopProducing,
        "transport": transport.stopProducing,
        "aborts": transport.abortConnection,
        "unregisters": lambda: (transport.unregisterProducer(), transport.loseConnection()),
        "writes": lambda: (transport.write(b"for nobody"), transport.loseConnection()),
        "raises": fail,
    }


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("unsent", [0, 1_000_000])
@pytest.mark.parametrize("how", ["loses", "receiver", "transport", "aborts", "unregisters", "writes", "raises"])
def test_aProducerThatClosesWhenTheReaderHasGone(
    world: World, wires: Wires, how: str, unsent: int, streaming: bool
) -> None:
    """The end comes all the same, once and last, and only one of them: what it closes has no half left to tell of."""
    (stdin, _toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout, halves=True)
    transport = protocol.transport
    producer = Producer(stop=closers(transport)[how])
    transport.registerProducer(producer, streaming)
    transport.write(b"x" * unsent)
    world.reactor.iterate(0)
    wires.close(fromUs)
    if how == "raises":
        world.until(lambda: "writeLost" in protocol.trace)
        transport.loseConnection()
    world.until(lambda: protocol.lost is not None)
    assert producer.trace[-1:] == ["stop"]
    assert producer.trace.count("stop") == 1
    last = ("lost", "ConnectionAborted" if how == "aborts" else "ConnectionDone")
    assert protocol.trace == ["made", *["writeLost"] * (how == "raises"), last]
    assert transport.disconnected
    assert not transport.connected
    assert world.reactor.getReaders() == world.reactor.getWriters() == []


def test_aProducerThatClosesInTwisted(anyWorld: World, wires: Wires) -> None:
    world = anyWorld
    (stdin, _toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = beginAny(world, stdin, stdout, halves=True)
    protocol.transport.registerProducer(Producer(stop=protocol.transport.loseConnection), True)
    world.reactor.iterate(0)
    wires.close(fromUs)
    world.until(lambda: protocol.lost is not None)
    assert protocol.trace == ["made", ("lost", "ConnectionDone")]


def test_aProducerThatComesTooLate(anyWorld: World, wires: Wires) -> None:
    """It is told at once that nobody reads."""
    world = anyWorld
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = beginAny(world, stdin, stdout, halves=True)
    wires.close(fromUs)
    world.until(lambda: "writeLost" in protocol.trace)
    for streaming in (True, False):
        producer = Producer()
        protocol.transport.registerProducer(producer, streaming)
        assert producer.trace == ["stop"]
    wires.close(toUs)
    world.until(lambda: "readLost" in protocol.trace)
    assert protocol.trace == ["made", "writeLost", "readLost"]


@pytest.mark.parametrize("unsent", [0, 1_000_000])
def test_theReaderHasGone(world: World, wires: Wires, unsent: int, caplog: pytest.LogCaptureFixture) -> None:
    """At once, for others: a program that writes for nobody has no work. It is a record, as of every broken stream."""
    caplog.set_level("INFO")
    (stdin, _toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout)
    protocol.transport.write(b"x" * unsent)
    world.reactor.iterate(0)
    wires.close(fromUs)
    world.until(lambda: protocol.lost is not None)
    assert type(protocol.lost.value) is ConnectionLost
    assert world.reactor.getReaders() == []
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("PipeAddress(): broken off: ")


@pytest.mark.parametrize("last", ["end", "more", "answer", "close"])
def test_whatCanBeReadComesFirst(world: World, wires: Wires, last: str) -> None:
    """The reader has disconnected, and before that has said something; a pause does not lose it either."""
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()

    def data(protocol: Any, _: bytes) -> None:
        if last == "answer":
            protocol.transport.write(b"for nobody")
        elif last == "close":
            protocol.transport.loseConnection()

    protocol = begin(world, stdin, stdout, {"data": data})
    protocol.transport.pauseProducing()
    os.write(toUs, b"last words")
    wires.close(fromUs)
    if last == "end":
        wires.close(toUs)
    for _ in range(5):
        world.reactor.iterate(0)
    assert protocol.trace == ["made"]
    protocol.transport.resumeProducing()
    world.until(lambda: protocol.lost is not None)
    assert protocol.received == b"last words"
    assert type(protocol.lost.value) is (ConnectionDone if last in ("end", "close") else ConnectionLost)


def test_onlyTheReaderComesBackFromAPause(world: World, wires: Wires) -> None:
    """Nothing was said meanwhile: then the news is that nobody reads."""
    (stdin, _toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout)
    protocol.transport.pauseProducing()
    wires.close(fromUs)
    for _ in range(5):
        world.reactor.iterate(0)
    assert protocol.trace == ["made"]
    protocol.transport.resumeProducing()
    world.until(lambda: protocol.lost is not None)
    assert type(protocol.lost.value) is ConnectionLost


def test_aPipeForBothWays(world: World, wires: Wires, tmp_path: pathlib.Path) -> None:
    """A pipe that is open for both reads itself, so its other side cannot disconnect."""
    os.mkfifo(tmp_path / "fifo")
    both = wires.file(tmp_path / "fifo", os.O_RDWR)
    protocol = begin(world, both, both)
    protocol.transport.write(b"to ourselves")
    world.until(lambda: protocol.received == b"to ourselves")
    protocol.transport.loseConnection()
    world.until(lambda: protocol.lost is not None)


def test_watchingFails(world: World, wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left of it, and both descriptors are as before."""
    (stdin, toUs), (fromUs, stdout) = wires.pipe(), wires.pipe()
    add = world.reactor.addReader

    def refuse(reader: Any) -> None:
        if isinstance(reader, StandardIO):
            raise OSError(errno.ENOSPC, "no more watches")
        add(reader)

    monkeypatch.setattr(world.reactor, "addReader", refuse)
    with pytest.raises(OSError, match="no more watches"):
        begin(world, stdin, stdout)
    assert world.reactor.getReaders() == []
    os.write(toUs, b"x")
    assert os.read(stdin, 10) == b"x"
    os.write(stdout, b"y")
    assert os.read(fromUs, 10) == b"y"


def test_readingFails(world: World, wires: Wires, tmp_path: pathlib.Path) -> None:
    """A directory can be opened, and not read."""
    protocol = begin(world, wires.file(tmp_path, os.O_RDONLY), wires.file(os.devnull, os.O_WRONLY))
    world.until(lambda: protocol.lost is not None)
    assert type(protocol.lost.value) is ConnectionLost


def test_abortAndTheLimit(world: World, wires: Wires) -> None:
    """Both end it on the next turn; a producer is told."""
    for act, reason in (
        (lambda transport: transport.abortConnection(), ConnectionAborted),
        (lambda transport: [transport.write(b"x" * 100) for _ in range(1000)], OutputLimitExceeded),
    ):
        (stdin, _toUs), (_fromUs, stdout) = wires.pipe(), wires.pipe()
        protocol = begin(world, stdin, stdout)
        producer = Producer()
        protocol.transport.registerProducer(producer, True)
        protocol.transport.setOutputLimits(10, 1000)
        act(protocol.transport)
        protocol.transport.abortConnection()
        assert protocol.lost is None
        world.until(lambda protocol=protocol: protocol.lost is not None)
        assert type(protocol.lost.value) is reason  # type: ignore[attr-defined]
        assert producer.trace[-1] == "stop"


def test_pausedAndStopped(world: World, wires: Wires) -> None:
    (stdin, toUs), (_fromUs, stdout) = wires.pipe(), wires.pipe()
    protocol = begin(world, stdin, stdout)
    transport = protocol.transport
    transport.pauseProducing()
    os.write(toUs, b"x")
    for _ in range(5):
        world.reactor.iterate(0)
    assert protocol.received == b""
    transport.resumeProducing()
    world.until(lambda: protocol.received == b"x")
    assert "StandardIO of" in repr(transport)
    assert transport.logPrefix()
    ended: list[Any] = []
    transport.ended = ended.append
    transport.stopProducing()
    transport.loseConnection()
    world.until(lambda: ended)
    assert ended == [protocol.lost]


def test_theReactorStops(wires: Wires) -> None:
    (stdin, _toUs), (_fromUs, stdout) = wires.pipe(), wires.pipe()
    world = World(LOOPS[0])
    protocol = begin(world, stdin, stdout)
    assert protocol.transport.reactor is world.reactor
    world.close()
    assert type(protocol.lost.value) is ConnectionLost


def test_notOpen(world: World, wires: Wires) -> None:
    stdin, _toUs = wires.pipe()
    closed, _other = wires.pipe()
    wires.close(closed)
    for pair in ((closed, stdin), (stdin, closed)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            begin(world, *pair)
    assert stat.S_ISFIFO(os.fstat(stdin).st_mode)


def test_signature() -> None:
    ours, theirs = (inspect.signature(each) for each in (StandardIO, twisted.internet.stdio.StandardIO))
    assert [(p.name, p.default) for p in ours.parameters.values()] == [
        (p.name, p.default) for p in theirs.parameters.values()
    ]


PROGRAM = """
import reactor
from reactor import LineReceiver, ServerFactory
from reactor.endpoints import StandardIOEndpoint, serverFromString

class Upper(LineReceiver):
    delimiter = b"\\n"
    def lineReceived(self, line):
        self.sendLine(line.upper())
    def connectionLost(self, reason=None):
        reactor.stop()

serverFromString(reactor, "stdio:").listen(ServerFactory.forProtocol(Upper))
reactor.run()
print("still here", flush=True)
"""


def test_programs(tmp_path: pathlib.Path) -> None:
    """Through the module as its reactor; a later print() goes to nobody, and does no harm."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=b"a\nb\n", capture_output=True, timeout=20, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (b"A\nB\n", b"", 0)
    (tmp_path / "in").write_bytes(b"c\n")
    with open(tmp_path / "in") as stdin, open(tmp_path / "out", "wb") as stdout:
        subprocess.run([sys.executable, "-c", PROGRAM], stdin=stdin, stdout=stdout, timeout=20, check=True)
    assert (tmp_path / "out").read_bytes() == b"C\nstill here\n"


def test_theCommand() -> None:
    """serve on standard input ends when that does."""
    command = [sys.executable, "-m", "reactor", "serve", "--listen", "stdio:"]
    done = subprocess.run(command, input=b"hello\n", capture_output=True, timeout=20, check=False)
    assert (done.stdout, done.returncode) == (b"hello\n", 0)
    assert b"echo on standard input" in done.stderr
