"""Processes that own a UNIX socket, or try to: what the trials start by fork, release at once, ask and kill.

It is run as a program of its own, without threads, so that it can fork: see run().
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Callable
from typing import Any

import reactor
from reactor.error import CannotListenError
from tests.support.worlds import DEADLINE, TWISTED, runProgram

REPLY = struct.Struct("i200s")
PATH = "s"  # in the current directory, which is the trial's
WON = ""
NOBODY = 65534

_PROGRAM = """
import os, sys
from tests.battery import unixowners
os.chdir(sys.argv[1])
getattr(unixowners, sys.argv[2])(*sys.argv[3:])
"""


def run(directory: Any, trial: str, *arguments: object, timeout: float = 100) -> str:
    """Run function `trial` of this module in a process and directory of its own; return what it printed."""
    result = runProgram(_PROGRAM, str(directory), trial, *map(str, arguments), timeout=timeout)
    assert result.stderr == "", result.stderr
    return result.stdout


# The things that a process does when the gate opens.


def _classes(protocol: Any) -> tuple[Any, Any]:
    """Return a protocol that tells each client its process's number, and one that answers every datagram with it."""

    class Server(protocol.Protocol):  # type: ignore[misc]
        def connectionMade(self) -> None:
            self.transport.write(b"%d\n" % os.getpid())
            self.transport.loseConnection()

    class Answerer(protocol.DatagramProtocol):  # type: ignore[misc]
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.transport.write(b"%d\n" % os.getpid(), addr)

    return Server, Answerer


def listenOurs(kind: str, wantPID: bool = True) -> tuple[Any, Any]:
    """Listen with ours; return reactor and port."""
    server, answerer = _classes(reactor.protocol)
    loop = reactor.EpollReactor()
    if kind == "stream":
        return loop, loop.listenUNIX(PATH, reactor.ServerFactory.forProtocol(server), wantPID=wantPID)
    return loop, loop.listenUNIXDatagram(PATH, answerer(), wantPID=wantPID)


def listenTwisted(kind: str, wantPID: bool = True) -> tuple[Any, Any]:
    """Listen with Twisted's; its ports for datagrams take no lock."""
    server, answerer = _classes(TWISTED.protocol)
    loop = TWISTED.makeReactor()
    if kind == "stream":
        return loop, loop.listenUNIX(PATH, TWISTED.protocol.ServerFactory.forProtocol(server), wantPID=wantPID)
    return loop, loop.listenUNIXDatagram(PATH, answerer())


class Starters:
    """Child processes that have come to a gate, and what each of them says after it was opened."""

    def __init__(self) -> None:
        self._gate, self._opener = os.pipe()
        self._results, self._sink = os.pipe()
        self.processes: set[int] = set()
        self.said: dict[int, str] = {}

    def add(self, listen: Callable[..., tuple[Any, Any]], *arguments: Any) -> int:
        """Start one that will listen, and serve until it is killed. Return its number."""
        child = os.fork()
        if child:
            self.processes.add(child)
            return child
        try:
            os.close(self._opener)
            os.read(self._gate, 1)
            self._start(listen, arguments)
        finally:
            os._exit(1)

    def _start(self, listen: Callable[..., tuple[Any, Any]], arguments: tuple[Any, ...]) -> None:
        loop, said = None, WON
        try:
            loop, _ = listen(*arguments)
        except Exception as error:
            # Twisted's lock does not know what to make of ours, and says so in its way.
            refused = isinstance(error, (CannotListenError, TWISTED.error.CannotListenError, OSError))
            said = f"refused: {error}" if refused else repr(error)
        os.write(self._sink, REPLY.pack(os.getpid(), said.encode()[:200]))
        if loop is not None:
            loop.run(installSignalHandlers=False)

    def go(self) -> set[int]:
        """Open the gate; return the numbers of those that listen now."""
        os.close(self._opener)
        for _ in self.processes:
            process, said = REPLY.unpack(os.read(self._results, REPLY.size))
            self.said[process] = said.rstrip(b"\0").decode()
        for fd in (self._gate, self._results, self._sink):
            os.close(fd)
        assert all(said == WON or said.startswith("refused: ") for said in self.said.values()), self.said
        return {process for process, said in self.said.items() if said == WON}

    def kill(self) -> None:
        """Kill those that are left, as nothing can prevent."""
        for process in self.processes:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        self.processes.clear()


def one(listen: Callable[..., tuple[Any, Any]], *arguments: Any) -> tuple[Starters, int | None]:
    """Start one alone; return it, and its number if it listens."""
    starters = Starters()
    starters.add(listen, *arguments)
    return starters, next(iter(starters.go()), None)


def ask(kind: str, path: str = PATH) -> int:
    """The number of the process that answers at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) as client:
        client.settimeout(DEADLINE)
        if kind == "datagram":
            client.bind("")  # an abstract name that the system chooses
        client.connect(path)
        if kind == "datagram":
            client.send(b"?")
        return int(client.recv(100))


def clear() -> None:
    for name in os.listdir():
        os.unlink(name)


# Trials.


def race(before: str, kind: str, starters: str, rounds: str) -> None:
    """In each round some start at once, where there is nothing, or what a killed owner has left.

    Print how many rounds had one winner, which was reached. Then print how many of the winners were reached again after
    the others had ended.
    """
    won = stayed = 0
    for number in range(int(rounds)):
        if before == "nothing":
            clear()
        elif before == "Twisted's" or number == 0:
            clear()
            dead, owner = one(listenTwisted, kind) if before == "Twisted's" else one(listenOurs, kind)
            assert owner is not None
            dead.kill()
            assert os.path.islink(PATH + ".lock") is (before == "Twisted's" and kind == "stream")
        group = Starters()
        for _ in range(int(starters)):
            group.add(listenOurs, kind)
        winners = group.go()
        won += len(winners) == 1 and ask(kind) in winners
        for loser in group.processes - winners:
            os.waitpid(loser, 0)
        group.processes &= winners
        stayed += ask(kind) in winners
        group.kill()
    print(won, stayed)


def stopAndStart(kind: str, rounds: str) -> None:
    """In each round an owner stops in order while another starts.

    Print in how many rounds that was done without a stolen or a lost path. A process that could start is reached. If
    none could, there is nothing left in the directory.
    """
    good = 0

    def listenAndStop() -> tuple[Any, Any]:
        loop, port = listenOurs(kind)
        os.write(ready, b"1")
        os.read(stop, 1)
        port.stopListening()
        loop.iterate(0)
        os._exit(0)

    for _ in range(int(rounds)):
        clear()
        (isReady, ready), (stop, stopper) = os.pipe(), os.pipe()
        owner = os.fork()
        if owner == 0:
            os.close(stopper)
            listenAndStop()
        assert os.read(isReady, 1)
        group = Starters()
        follower = group.add(lambda stopper=stopper: (os.close(stopper), listenOurs(kind))[1])  # type: ignore[func-returns-value]
        os.close(stopper)  # the follower's is the last one, so it stops the owner and starts
        winners = group.go()
        os.waitpid(owner, 0)
        good += ask(kind) == follower if winners else os.listdir() == []
        if winners:
            group.kill()
        for fd in (isReady, ready, stop):
            os.close(fd)
    print(good)


def liveOwner(owner: str, kind: str, times: str) -> None:
    """Others start, all at once, while one lives.

    Print how many of them could, and whether the owner still answers and has its file. Then, after the owner has been
    killed, print whether the next could start.
    """
    listen, wantPID = {
        "ours": (listenOurs, True),
        "ours without a lock": (listenOurs, False),
        "Twisted's": (listenTwisted, True),
        "Twisted's without a lock": (listenTwisted, False),
    }[owner]
    first, process = one(listen, kind, wantPID)
    before = os.lstat(PATH).st_ino
    others = Starters()
    for _ in range(int(times)):
        for each in (listenOurs, listenTwisted):
            others.add(each, kind, True)
            others.add(each, kind, False)
    stolen = len(others.go())
    others.kill()
    kept = ask(kind) == process and os.lstat(PATH).st_ino == before
    first.kill()
    following, process = one(listenOurs, kind)
    print(stolen, kept, process is not None and ask(kind) == process)
    following.kill()


def passedOn(how: str) -> None:
    """The owner has a child when it is killed: one that accepts from the same socket, or one that runs a program.

    Print whether the path could be taken while the child lived, and after the child's end.
    """
    said, sink = os.pipe()

    def listen() -> tuple[Any, Any]:
        loop, port = listenOurs("stream")
        if how == "fork":
            child = os.fork()
            if child == 0:
                port.socket.setblocking(True)
                while True:
                    with port.socket.accept()[0] as connection:
                        connection.sendall(b"%d\n" % os.getpid())
        else:
            child = subprocess.Popen(["sleep", "100"], close_fds=False).pid
        os.write(sink, struct.pack("i", child))
        loop.removeReader(port)
        return loop, port

    owner, process = one(listen)
    (child,) = struct.unpack("i", os.read(said, 4))
    assert process is not None
    owner.kill()
    found = []
    if how == "fork":
        assert ask("stream") == child
    for alive in (True, False):
        if not alive:
            end = os.pidfd_open(child)  # which is not a child of this process
            os.kill(child, signal.SIGKILL)
            assert select.select([end], [], [], DEADLINE)[0]
            os.close(end)
        following, process = one(listenOurs, "stream")
        found.append(process is not None and ask("stream") == process)
        following.kill()
    print(*found)


class Counts:
    """Numbers that two processes share, as one of them counts: attempts, those that got in, those that were refused."""

    def __init__(self) -> None:
        self._numbers = memoryview(mmap.mmap(-1, 24)).cast("Q")

    def __getitem__(self, index: int) -> int:
        return self._numbers[index]

    def add(self, index: int) -> None:
        self._numbers[index] += 1


ATTEMPTS, CONNECTED, REFUSED = range(3)


def intrude(kind: str, mask: str, mode: str, how: str, rounds: str) -> None:
    """A process of another user tries to connect all the time while sockets are made.

    Our ports make them, until the process has tried within that many rounds. Or bind() and chmod() make them, until it
    got in. Print how often it got in, and how often it was refused.
    """
    os.umask(int(mask, 8))
    type_ = socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM
    counts = Counts()
    child = os.fork()
    if child == 0:
        try:
            _connectAlways(type_, counts)
        finally:
            os._exit(1)
    make = _naive if how == "naive" else _ports(kind)
    watched, end = 0, time.monotonic() + 3 * DEADLINE
    while (counts[CONNECTED] == 0 if how == "naive" else watched < int(rounds)) and time.monotonic() < end:
        before = counts[ATTEMPTS]
        make(type_, int(mode, 8))
        watched += counts[ATTEMPTS] > before
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert how == "naive" or watched == int(rounds), f"tried in {watched} rounds of {rounds}"
    print(counts[CONNECTED], counts[REFUSED])


def _naive(type_: int, mode: int) -> None:
    with socket.socket(socket.AF_UNIX, type_) as sock:
        sock.bind(PATH)
        if type_ == socket.SOCK_STREAM:
            sock.listen()
        os.chmod(PATH, mode)
    os.unlink(PATH)


def _ports(kind: str) -> Callable[[int, int], None]:
    server, answerer = _classes(reactor.protocol)
    loop, factory = reactor.EpollReactor(), reactor.ServerFactory.forProtocol(server)

    def make(type_: int, mode: int) -> None:
        if kind == "stream":
            port: Any = loop.listenUNIX(PATH, factory, mode=mode)
        else:
            port = loop.listenUNIXDatagram(PATH, answerer(), mode=mode)
        port.stopListening()
        loop.iterate(0)

    return make


def _connectAlways(type_: int, counts: Counts) -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    while True:
        with socket.socket(socket.AF_UNIX, type_) as client:
            client.setblocking(False)
            code = client.connect_ex(PATH)
        if code in (0, errno.EAGAIN):  # let in, though the queue may be full
            counts.add(CONNECTED)
        elif code == errno.EACCES:
            counts.add(REFUSED)
        counts.add(ATTEMPTS)
