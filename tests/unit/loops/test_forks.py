"""Forks: whatever a child does, its parent sees nothing of it; work that had not begun is there twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from reactor.defer import succeed
from reactor.error import ReactorNotRunning
from reactor.loops import forks
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.epoll import EpollReactor
from reactor.loops.resolving import RESOLVER_THREADS
from reactor.protocol import DatagramProtocol, ProcessProtocol, Protocol, ServerFactory
from reactor.stdio import StandardIO
from reactor.task import LoopingCall
from reactor.testing.wire import PumpReactor
from reactor.transports.unix.path import PathLock
from tests.support.forking import child, childEndsHere, fork, inChild
from tests.support.worlds import (
    ASYNCIO,
    DEADLINE,
    LOOPBACK,
    LOOPS,
    OURS,
    UVLOOP,
    World,
    dial,
    readAll,
    runProgram,
    turnUntil,
)

# Python 3.12 and newer warn of forks where there are threads, which is what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def side(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def reactor(side: Any) -> Iterator[Any]:
    made = side.makeReactor()
    before = getattr(made, "eventloop", None)
    yield made
    assert getattr(made, "eventloop", None) is before
    side.close(made)


@pytest.fixture
def world(side: Any) -> Iterator[World]:
    world = World(side)
    yield world
    world.close()


def ask(reactor: Any, peer: socket.socket, text: bytes = b"question") -> None:
    """Have an Echo of `reactor` answer, which is turned until it has."""
    peer.sendall(text)
    turnUntil(reactor, lambda: select.select([peer], [], [], 0)[0])
    assert peer.recv(100) == text


def test_whatWasPreparedIsTheChildsAsWell(reactor: Any) -> None:
    """Pre-forking: each of the two has the port, the calls and the triggers."""
    port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
    told: list[str] = []
    reactor.callLater(0.001, told.append, "later")
    reactor.callFromThread(told.append, "thread")
    reactor.callWhenRunning(told.append, "running")
    reactor.addReader(closed := socket.socket())
    closed.close()

    def serve() -> None:
        reactor.callWhenRunning(told.append, "child's")
        with dial(port) as peer:
            peer.sendall(b"question")
            peer.shutdown(socket.SHUT_WR)
            looping = LoopingCall(lambda: reactor.stop() if select.select([peer], [], [], 0)[0] else None)
            looping.clock = reactor
            looping.start(0.002, now=False)
            reactor.run()
            assert readAll(peer) == b"question"
        assert sorted(told) == ["child's", "later", "running", "thread"]

    inChild(serve)
    assert told == []
    with dial(port) as peer:
        ask(reactor, peer)
    assert told == ["thread", "later"]


def test_whatIsAtWorkIsTheParents(world: World) -> None:
    reactor = world.reactor
    server, client = world.pair()
    due = reactor.callLater(1000, server.trace.append, "late")
    reactor.addSystemEventTrigger("during", "shutdown", server.trace.append, "stopped")

    def touch() -> None:
        assert not reactor.getReaders() + reactor.getWriters() + reactor.getDelayedCalls()
        with pytest.raises(ReactorNotRunning):
            reactor.stop()
        for end in (server, client):
            reactor.removeReader(end.transport)
            end.transport.write(b"from the child")
        server.transport.loseConnection()
        client.transport.abortConnection()
        due.cancel()
        turnUntil(reactor, lambda: len(server.trace) == len(client.trace) == 2)
        assert (server.trace[1], client.trace[1]) == (("lost", "ConnectionLost"), ("lost", "ConnectionAborted"))
        reactor.callLater(0.01, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert "stopped" not in server.trace
        reactor.close()

    with child(touch):
        server.transport.write(b"question")
        client.transport.write(b"answer")
        world.until(lambda: (server.received, client.received) == (b"answer", b"question"))
    assert server.trace == client.trace == ["made", "data"]
    assert due.active()


def test_theChildsCopiesKeepNothingAlive(world: World) -> None:
    """While the child lives, its parent's end of a connection, or of a port, is the end."""
    server, client = world.pair()
    port = world.listen(world.serverFactory())
    udp = world.reactor.listenUDP(0, DatagramProtocol(), interface=LOOPBACK)
    with child(lambda: None):
        server.transport.abortConnection()
        world.until(lambda: len(client.trace) == 2)
        assert client.trace[1] == ("lost", "ConnectionLost")
        port.stopListening()
        udp.stopListening()
        world.until(lambda: not port.connected and not udp.connected)
        with socket.create_server((LOOPBACK, port.getHost().port)), socket.socket(type=socket.SOCK_DGRAM) as other:
            other.bind((LOOPBACK, udp.getHost().port))


def test_theFilesOfUNIXSocketsAreTheParents(reactor: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path, datagrams = f"{directory}/stream", f"{directory}/datagrams"
        port = reactor.listenUNIX(path, ServerFactory.forProtocol(Echo))
        bound = reactor.listenUNIXDatagram(datagrams, DatagramProtocol())
        unbound = reactor.listenUNIXDatagram(None, DatagramProtocol(), wantPID=False)
        bare = reactor.listenUNIX(f"{directory}/bare", ServerFactory.forProtocol(Echo), wantPID=False)
        reactor.iterate(0)

        def stop() -> None:
            for each in (port, bound, unbound, bare):
                each.stopListening()
            turnUntil(reactor, lambda: not any(each.connected for each in (port, bound, unbound, bare)))

        with child(stop):
            assert sorted(os.listdir(directory)) == ["bare", "datagrams", "datagrams.lock", "stream", "stream.lock"]
            lock = PathLock(os.fsencode(path))
            assert lock.isHeld()
            os.rename(f"{path}.lock", f"{directory}/other.lock")
            for each in (port, bound, unbound, bare):
                each.stopListening()
            turnUntil(reactor, lambda: not any(each.connected for each in (port, bound, unbound, bare)))
            assert not PathLock(os.fsencode(f"{directory}/other")).isHeld()
            os.unlink(f"{directory}/other.lock")
            assert os.listdir(directory) == []


def test_standardInputAndOutputStayTheChilds(reactor: Any) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(DEADLINE)
        transport = StandardIO(Echo(), theirs.fileno(), theirs.fileno(), reactor=reactor)
        reactor.iterate(0)

        def touch() -> None:
            assert theirs.send(b"from the child") == 14
            transport.loseConnection()
            turnUntil(reactor, lambda: transport.disconnected)

        with child(touch):
            assert ours.recv(100) == b"from the child"
            assert os.get_blocking(theirs.fileno()), "somebody has changed the flags of what is shared"
            ask(reactor, ours)
        transport.loseConnection()
        turnUntil(reactor, lambda: transport.disconnected)


def test_runEndsInAChildMadeByACallback(reactor: Any) -> None:
    """And signals are the child's own, as they were before run()."""
    left: list[int] = []
    before = signal.getsignal(signal.SIGTERM)
    port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)

    def work() -> None:
        ours = signal.getsignal(signal.SIGTERM)
        left.append(fork())
        assert signal.getsignal(signal.SIGTERM) is (ours if left[0] else before)
        if left[0]:
            reactor.callLater(0, reactor.stop)

    def isAsBefore() -> bool:
        return left == [0] and signal.set_wakeup_fd(-1) == -1 and not reactor.running and port.fileno() != -1

    reactor.callLater(0, work)
    reactor.callLater(0, left.append, -1)  # due in the same turn: the parent's
    with childEndsHere(isAsBefore):
        reactor.run()
    assert os.waitpid(left[0], 0)[1] == 0
    assert left[1:] == [-1]


def test_whatAChildRaisesLeavesIt(reactor: Any) -> None:
    """sys.exit() in a callback ends the child with its code; the parent goes on."""
    text = (
        "import os, signal, sys; from tests.support.worlds import LOOPS\n"
        "side = [side for side in LOOPS if side.name == sys.argv[1]][0]; reactor = side.makeReactor()\n"
        "def work():\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        signal.alarm(20); sys.exit(3)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); reactor.callLater(0, reactor.stop)\n"
        "reactor.callLater(0, work); reactor.run(); print('end'); side.close(reactor)"
    )
    name = "ours" if isinstance(reactor, EpollReactor) else type(reactor.eventloop).__module__.partition(".")[0]
    done = runProgram(text, name)
    assert (done.stdout, done.stderr, done.returncode) == ("3\nend\n", "", 0)


def test_aChildRunsTheReactorInsideACallback(reactor: Any) -> None:
    """With threads of its own, and a resolver."""
    told: list[str] = []

    def work() -> None:
        reactor.callInThread(told.append, "thread")
        reactor.resolve("localhost").addCallback(told.append)
        turns = LoopingCall(lambda: reactor.stop() if len(told) == 2 else None)
        turns.clock = reactor
        turns.start(0.001)
        reactor.run()
        assert sorted(told) == [LOOPBACK, "thread"]
        assert signal.set_wakeup_fd(-1) == -1

    def fork() -> None:
        inChild(work)
        reactor.stop()

    reactor.getThreadPool().submit(int).result()
    reactor.callLater(0, fork)
    reactor.run()
    assert told == []


@pytest.mark.parametrize("inside", [False, True])
def test_aChildRunsTheReactorAfterwards(reactor: Any, inside: bool) -> None:
    """When the run() in which it was made has returned, whether it ran the reactor inside the callback or not."""
    parent, told = os.getpid(), list[str]()

    def turn(name: str) -> None:
        reactor.callLater(0.001, told.append, name)
        reactor.callLater(0.002, reactor.stop)
        reactor.run()

    def work() -> None:
        if pid := fork():
            told.append(str(os.waitpid(pid, 0)[1]))
            reactor.stop()
        elif inside:
            turn("inside")

    reactor.callLater(0, work)
    with childEndsHere(lambda: told == [*["inside"] * inside, "after"]):
        reactor.run()
        if os.getpid() != parent:
            turn("after")
    assert told == ["0"]


def test_iterateEndsInTheChild(reactor: Any) -> None:
    children: list[int] = []
    reactor.callLater(0, lambda: children.append(fork()))
    with childEndsHere():
        reactor.iterate(0.01)
    assert os.waitpid(children[0], 0)[1] == 0


def test_aNameThatIsLookedUpInBoth(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question was prepared; in the parent threads hang from a run before, as many as there may be."""
    reactor, answers, gate = side.makeReactor(), list[Any](), threading.Event()
    real = socket.getaddrinfo

    def hang(name: str, *arguments: Any, **options: Any) -> Any:
        gate.wait(DEADLINE)
        return real(LOOPBACK, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    hanging = [reactor.resolve("localhost") for _ in range(RESOLVER_THREADS)]
    turnUntil(reactor, lambda: reactor._ownResolver._threads == RESOLVER_THREADS)
    for answer in hanging:
        answer.addErrback(answers.append).cancel()
    reactor.callLater(0, reactor.stop)
    reactor.run()
    monkeypatch.undo()
    answers.clear()
    reactor.resolve("localhost").addBoth(answers.append)
    try:
        inChild(lambda: turnUntil(reactor, lambda: answers == [LOOPBACK]))
    finally:
        gate.set()
    turnUntil(reactor, lambda: answers == [LOOPBACK] and not reactor._ownResolver._threads)
    side.close(reactor)


def test_aNameForWhichAThreadOfTheParentAsks(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread is left from a run before, and takes the name before the fork. The child asks itself."""
    reactor, answers, begun = side.makeReactor(), list[Any](), list[str]()
    gates = {"first.invalid": threading.Event(), "second.invalid": threading.Event()}

    def hang(name: str, port: int, **options: Any) -> Any:
        begun.append(name)
        gates[name].wait(DEADLINE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (LOOPBACK, port))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    reactor.resolve("first.invalid").addErrback(lambda _: None)
    turnUntil(reactor, lambda: begun == ["first.invalid"])
    reactor.callLater(0, reactor.stop)
    reactor.run()
    reactor.resolve("second.invalid").addBoth(answers.append)
    gates["first.invalid"].set()
    end = time.monotonic() + DEADLINE
    while begun[-1] != "second.invalid":
        assert time.monotonic() < end

    def asksItself() -> None:
        gates["second.invalid"] = threading.Event()  # the one from before may be locked by the parent's thread
        gates["second.invalid"].set()
        turnUntil(reactor, lambda: answers == [LOOPBACK])

    try:
        inChild(asksItself)
    finally:
        gates["second.invalid"].set()
    turnUntil(reactor, lambda: answers == [LOOPBACK] and not reactor._ownResolver._threads)
    assert not reactor._ownResolver._asked
    side.close(reactor)


def test_aResolverOfTheProgramsOwnStays(reactor: Any) -> None:
    reactor.installResolver(SimpleNamespace(getHostByName=lambda name, timeout: succeed("127.0.0.9")))
    answers: list[str] = []

    def look() -> None:
        reactor.resolve("name").addCallback(answers.append)
        assert answers == ["127.0.0.9"]

    inChild(look)


def test_aProcessOfTheParents(reactor: Any) -> None:
    class Heard(ProcessProtocol):
        data = b""
        ended = False

        def childDataReceived(self, childFD: int, data: bytes) -> None:
            self.data += data

        def processEnded(self, reason: Any) -> None:
            self.ended = True

    heard = Heard()
    process = reactor.spawnProcess(heard, "/bin/cat")
    reactor.iterate(0)

    def touch() -> None:
        process.write(b"from the child")
        process.loseConnection()
        turnUntil(reactor, lambda: not process._pipes)

    with child(touch):
        process.write(b"question")
        turnUntil(reactor, lambda: heard.data == b"question")
        process.closeStdin()
        turnUntil(reactor, lambda: heard.ended)


@pytest.mark.parametrize("prepare", [None, os.getpid])
def test_subprocessPassesDescriptorsOn(world: World, prepare: Any) -> None:
    server, client = world.pair()
    text = "import socket; socket.socket(fileno=0).send(b'from a program')"
    subprocess.run(
        [sys.executable, "-c", text],
        stdin=server.transport.getHandle(),
        preexec_fn=prepare,
        check=True,
        timeout=DEADLINE,
    )
    world.until(lambda: client.received == b"from a program")


def test_aReactorThatIsClosedIsLeftAlone(side: Any) -> None:
    reactor = side.makeReactor()
    side.close(reactor)
    inChild(reactor.close)


def test_aReactorInMemoryIsTheChildsOwn() -> None:
    reactor = PumpReactor()
    called: list[str] = []
    reactor.callLater(0, called.append, "now")

    def turn() -> None:
        reactor.iterate()
        assert called == ["now"]

    inChild(turn)


def test_socketsThatWaitToBeClosed(reactor: Any) -> None:
    """A socket closed in the batch in which the fork is made is closed in the child as well."""
    ours, theirs = socket.socketpair()
    other = socket.socket()

    class Forks:
        def fileno(self) -> int:
            return theirs.fileno()

        def doRead(self) -> None:
            theirs.recv(1)
            reactor.closeSoon(other)
            told.append("read")
            inChild(check)

        def connectionLost(self, reason: Any) -> None:
            told.append("lost")

    def check() -> None:
        assert other.fileno() == -1

    told: list[str] = []
    with ours, theirs:
        reactor.addReader(forking := Forks())
        ours.send(b"!")
        turnUntil(reactor, lambda: told)
        reactor.removeReader(forking)
    assert told == ["read"]
    assert other.fileno() == -1


@pytest.mark.parametrize("side", [ASYNCIO, UVLOOP], ids=lambda side: side.name)
def test_startEndsInTheChild(side: Any) -> None:
    eventloop = asyncio.SelectorEventLoop() if side is ASYNCIO else uvloop.new_event_loop()
    parent, seen = os.getpid(), list[str]()

    async def main() -> None:
        reactor = AsyncioReactor()
        pids: list[int] = []

        def work() -> None:
            pids.append(fork())
            if pids[0]:
                reactor.callLater(0, reactor.stop)

        reactor.callLater(0, work)
        ended = reactor.start()
        await ended
        seen.append("ended")
        if os.getpid() != parent:
            os._exit(0 if reactor.eventloop is not eventloop else 1)
        assert os.waitpid(pids[0], 0)[1] == 0
        reactor.close()

    with childEndsHere(lambda: False):  # it has ended in main()
        eventloop.run_until_complete(main())
    eventloop.close()
    assert seen == ["ended"]


def test_startThatHasEndedAlready() -> None:
    """The Future of start() was cancelled, and the fork comes before the reactor has seen that."""
    parent = os.getpid()

    async def main() -> None:
        reactor = AsyncioReactor()
        ended = reactor.start()
        ended.cancel()
        inChild(lambda: None)
        with contextlib.suppress(asyncio.CancelledError):
            await ended
        for _ in range(5):
            await asyncio.sleep(0)
        reactor.close()

    asyncio.run(main())
    assert os.getpid() == parent


def test_anEventLoopWithoutAnEpollOfItsOwn() -> None:
    """select() and poll() share nothing."""

    class Selecting(asyncio.SelectorEventLoop):
        def __init__(self) -> None:
            super().__init__(selectors.SelectSelector())

    eventloop = Selecting()
    reactor = AsyncioReactor(eventloop)
    port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)

    def serve() -> None:
        assert type(reactor.eventloop) is Selecting
        with dial(port) as peer:
            ask(reactor, peer)

    inChild(serve)
    reactor.disconnectAll()
    reactor.close()
    eventloop.close()


@pytest.mark.parametrize("side", [ASYNCIO, UVLOOP], ids=lambda side: side.name)
def test_anEventLoopThatIsClosed(side: Any) -> None:
    eventloop = asyncio.SelectorEventLoop() if side is ASYNCIO else uvloop.new_event_loop()
    reactor = AsyncioReactor(eventloop)
    eventloop.close()

    def serve() -> None:
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
        with dial(port) as peer:
            ask(reactor, peer)

    inChild(serve)
    reactor.close()


def test_noDescriptorLeft() -> None:
    """A process at its limit forks, and its parent's epoll is its parent's all the same, whatever other reactors do."""
    others = [AsyncioReactor(asyncio.SelectorEventLoop()) for _ in range(5)]
    world = World(OURS)
    server, client = world.pair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    pid = 0
    with contextlib.ExitStack() as held:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, hard))
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with contextlib.suppress(OSError):
            while True:
                held.callback(os.close, os.dup(0))
        with childEndsHere():
            pid = fork()
            if not pid:
                server.transport.abortConnection()
                client.transport.loseConnection()
                world.until(lambda: len(client.trace) == 2)
        assert os.waitpid(pid, 0)[1] == 0
        server.transport.write(b"question")
        world.until(lambda: client.received == b"question")
    world.close()
    for other in others:
        other.close()
        other.eventloop.close()


def test_replaceByDead() -> None:
    ours, theirs = socket.socketpair()
    port = socket.create_server((LOOPBACK, 0))
    unrelated = os.dup(0)
    forks.replaceByDead([ours.fileno(), port.fileno()])
    assert theirs.recv(1) == b""
    fd = ours.fileno()
    for broken in (
        *(ours.getsockname, port.accept, lambda: ours.send(b"x"), lambda: ours.recv(1), lambda: os.read(fd, 1)),
        *(lambda: os.write(fd, b"x"), lambda: ours.shutdown(socket.SHUT_RDWR)),
    ):
        with pytest.raises(OSError, match=r"^\[Errno"):
            broken()
    assert not os.get_inheritable(ours.fileno())
    assert os.path.sameopenfile(unrelated, 0)
    forks.replaceByDead([])
    os.close(unrelated)
    for sock in (ours, theirs, port):
        sock.close()


def test_replaceEpoll() -> None:
    reading, writing = os.pipe()
    with select.epoll() as epoll:
        epoll.register(writing, select.EPOLLOUT)
        parents = os.dup(epoll.fileno())
        forks.replaceEpoll(epoll.fileno(), {reading: select.EPOLLIN, 99999: select.EPOLLIN})
        assert not os.get_inheritable(epoll.fileno())
        epoll.unregister(reading)
        assert epoll.poll(0) == []
        with select.epoll.fromfd(parents) as copy:
            assert copy.poll(0) == [(writing, select.EPOLLOUT)]
    os.close(reading)
    os.close(writing)


def test_interestsOf() -> None:
    assert forks.interestsOf([1, 2], [2, 3]) == {
        1: select.EPOLLIN,
        2: select.EPOLLIN | select.EPOLLOUT,
        3: select.EPOLLOUT,
    }
