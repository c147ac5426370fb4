"""Forks under load: the parent does not see what its children do, and no descriptor of ours reaches another program."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.protocol import DatagramProtocol, ProcessProtocol, Protocol, ServerFactory
from reactor.stdio import StandardIO
from tests.battery.checkedload import CheckedLoad
from tests.battery.forkserver import KINDS
from tests.battery.sizes import size
from tests.contract.cells import CELLS, makeWorld
from tests.support.worlds import LOOPBACK, ROOT, turnUntil

# Python 3.12 and newer warn of forks where there are threads, which is what is tried here.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

FORKS = size(90, 900)  # ten of each kind
LISTING = "import os; print(*sorted(map(int, os.listdir('/proc/self/fd')[:-1])))"


@pytest.mark.parametrize("kind", KINDS)
def test_forksUnderLoad(kind: str, tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.battery.forkserver"]
    with subprocess.Popen(
        [*command, kind, str(FORKS), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            tcp, udp = map(int, server.stdout.readline().split())
            with CheckedLoad(tcp) as load, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                datagrams.settimeout(10)
                asked = 0
                while server.stdout.readline() != "forked\n":
                    asked += 1
                    datagrams.sendto(b"%d" % asked, (LOOPBACK, udp))
                    assert datagrams.recv(100) == b"%d" % asked
            output, errors = server.communicate(timeout=30)
        finally:
            server.kill()
    seen = json.loads(output)
    assert (seen["problems"], errors) == ([], "")
    assert seen["lost"] in ([], ["ConnectionDone()"] * len(seen["lost"])), "connections of the parent were disturbed"
    assert seen["cat"] == "to the cat", "the pipe to a child of the parent was disturbed"
    assert seen["unix"], "the file of the parent's UNIX socket is no longer there"
    assert (seen["wakes"], seen["usr1"]) == (FORKS, FORKS), "calls from threads, or signals, were lost"
    assert asked == FORKS
    assert load.rounds > FORKS
    assert server.returncode == 0


def openMore(reactor: Any, path: str, stack: contextlib.ExitStack) -> None:
    """Open things that are not a connection, or a port for connections."""
    reactor.listenUDP(0, DatagramProtocol(), interface=LOOPBACK)
    reactor.listenMulticast(0, DatagramProtocol(), interface=LOOPBACK)
    reactor.listenUNIXDatagram(path, DatagramProtocol())
    port = reactor.listenTCP(0, ServerFactory(), interface=LOOPBACK)
    reactor.adoptStreamPort(port.fileno(), socket.AF_INET, ServerFactory())
    for terminal in (False, True):
        process = reactor.spawnProcess(ProcessProtocol(), "/bin/cat", usePTY=terminal)
        stack.callback(turnUntil, reactor, lambda process=process: process.pid is None)
        stack.callback(process.signalProcess, "KILL")
    found: list[Any] = []
    reactor.resolve("localhost").addBoth(found.append)
    reactor.callInThread(found.append, "thread")
    turnUntil(reactor, lambda: len(found) == 2)
    stack.callback(reactor.getThreadPool().shutdown)
    pipe = os.pipe()
    standard = StandardIO(Protocol(), *pipe, reactor=reactor)
    for fd in pipe:
        stack.callback(os.close, fd)
    stack.callback(turnUntil, reactor, lambda: standard.disconnected)
    stack.callback(standard.loseConnection)


@contextlib.contextmanager
def everythingOpen(directory: pathlib.Path) -> Iterator[None]:
    """Ports, connections, children, threads, names and signals of a reactor of every kind."""
    with contextlib.ExitStack() as stack:
        for transport, name in CELLS:
            world = makeWorld((transport, name))
            stack.callback(world.close)
            world.pair()
            world.listen(world.serverFactory())
            if transport == "TCP4":
                openMore(world.reactor, f"{directory}/{name}", stack)
        yield


def byFork() -> list[str]:
    """Return what a child that os.fork made has open, after its exec."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.dup2(writing, 1)
            os.execv(sys.executable, [sys.executable, "-c", LISTING])
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, encoding="ascii") as output:
        found = output.read().split()
    os.waitpid(pid, 0)
    return found


def bySpawn() -> list[str]:
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        sys.executable, [sys.executable, "-c", LISTING], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)]
    )
    os.close(writing)
    with open(reading, encoding="ascii") as output:
        found = output.read().split()
    os.waitpid(pid, 0)
    return found


def bySubprocess() -> list[str]:
    done = subprocess.run([sys.executable, "-c", LISTING], stdout=subprocess.PIPE, close_fds=False, check=True)
    return done.stdout.decode().split()


@pytest.mark.parametrize("start", [byFork, bySpawn, bySubprocess])
def test_noDescriptorReachesAnotherProgram(start: Callable[[], list[str]], tmp_path: pathlib.Path) -> None:
    before = start()
    with everythingOpen(tmp_path):
        assert start() == before, "descriptors of ours reach a program that is executed"
