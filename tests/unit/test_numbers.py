"""Descriptors 0 to 2 of a process in which they are closed: the library takes none of them, and leaves them free."""

from __future__ import annotations

import errno
import os
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import pytest

from reactor import _numbers
from tests.support.worlds import ROOT

PROGRAM = """
import errno, os, socket, sys
closed = [int(each) for each in sys.argv[3]]
saying = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
saying = os.dup2(saying, 100)
seen = set()

def look(what):
    for number in closed:
        try:
            os.fstat(number)
        except OSError as error:
            assert error.errno == errno.EBADF
        else:
            if number not in seen:
                seen.add(number)
                os.write(saying, f"{what}: {number} is {os.readlink(f'/proc/self/fd/{number}')}\\n".encode())

import reactor.testing
from reactor import (ClientFactory, DatagramProtocol, EpollReactor, AsyncioReactor, Protocol, ProcessProtocol,
    ServerFactory, TrafficLoggingFactory)
from reactor.stdio import StandardIO

spare = [os.pipe(), os.pipe()]
kept = [os.dup(fd) for pair in spare for fd in pair]
for fd in (*spare[0], *spare[1]):
    os.close(fd)
for number in closed:
    try:
        os.close(number)
    except OSError:
        pass
low = [fd for fd in kept if fd <= 2]
assert not low
os.chdir(sys.argv[4])
look("before")
if sys.argv[2] == "uvloop":
    import uvloop
    from reactor._numbers import threeTaken
    with threeTaken():
        eventloop = uvloop.new_event_loop()
    loop = AsyncioReactor(eventloop)
else:
    loop = AsyncioReactor() if sys.argv[2] == "asyncio" else EpollReactor()
look("the reactor")
done = []

class Both(Protocol):
    def connectionMade(self):
        look("a connection")
        self.transport.write(b"x")
    def dataReceived(self, data):
        look("data")
        done.append("data")
    def connectionLost(self, reason=None):
        look("the end of a connection")

class Datagrams(DatagramProtocol):
    def datagramReceived(self, data, address):
        look("a datagram")
        done.append("datagram")

class Child(ProcessProtocol):
    def connectionMade(self):
        look("a child")
    def outReceived(self, data):
        look("a child's data")
    def processEnded(self, reason):
        look("the end of a child")
        done.append("child")

def clients():
    factory = ClientFactory()
    factory.protocol = Both
    factory.noisy = False
    return factory

def begin():
    server = TrafficLoggingFactory(ServerFactory.forProtocol(Both), "traffic")
    port = loop.listenTCP(0, server, interface="127.0.0.1")
    look("a port")
    loop.connectTCP("127.0.0.1", port.getHost().port, clients())
    look("an attempt")
    loop.adoptStreamPort(port.fileno(), socket.AF_INET, server)
    look("an adopted port")
    loop.listenUNIX("path", ServerFactory.forProtocol(Both))
    look("a port of UNIX")
    loop.connectUNIX("path", clients())
    look("an attempt of UNIX")
    udp = loop.listenUDP(0, Datagrams(), interface="127.0.0.1")
    look("a port of UDP")
    udp.write(b"x", ("127.0.0.1", udp.getHost().port))
    loop.adoptDatagramPort(udp.fileno(), socket.AF_INET, DatagramProtocol())
    loop.listenUNIXDatagram("datagrams", Datagrams())
    look("a port of UNIX datagrams")
    loop.spawnProcess(Child(), "/bin/echo", ["echo", "x"])
    look("a process")
    loop.spawnProcess(Child(), "/bin/cat", ["cat"], childFDs={0: "r", 1: "r", 5: "w"})
    loop.spawnProcess(Child(), "/bin/echo", ["echo", "x"], usePTY=True)
    look("a process on a terminal")
    StandardIO(Both(), kept[0], kept[3], reactor=loop)
    look("StandardIO")
    stopping = loop.listenTCP(0, server, interface="127.0.0.1")
    with socket.create_connection(("127.0.0.1", stopping.getHost().port)) as client:
        os.dup2(client.fileno(), 101)
    stopping.stopListening()
    look("the last that a port accepts")
    wait()

def wait():
    look("a turn")
    if done.count("data") >= 4 and "datagram" in done and done.count("child") >= 2:
        loop.stop()
    else:
        loop.callLater(0.01, wait)

loop.callWhenRunning(begin)
loop.callLater(20, loop.stop)
loop.run()
look("the end")
ended = done.count("data") >= 4 and "datagram" in done and done.count("child") >= 2
loop.close()
look("close")
os.write(saying, b"done\\n" if ended else repr(done).encode())
"""


@pytest.mark.parametrize("closed", ["012", "01", "1", "02", "2"])
@pytest.mark.parametrize("loop", ["epoll", "asyncio", "uvloop"])
def test_theLibraryTakesNoneOfThem(loop: str, closed: str, tmp_path: pathlib.Path) -> None:
    """Sockets of every kind, accepted ones, pipes, pidfds, terminals, files, epolls, wakers; they stay free."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = tmp_path / "said"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(said), loop, closed, str(tmp_path)],
        timeout=60,
        env=environment,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if "2" not in closed else subprocess.DEVNULL,
    )
    assert said.read_text() == "done\n"


def test_whatCloseSays(monkeypatch: pytest.MonkeyPatch) -> None:
    """That something went wrong, for example: the descriptor is closed. But one that was not open is told."""
    closed = list[int]()

    def close(fd: int) -> None:
        os.close(fd)
        closed.append(fd)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_numbers, "os", SimpleNamespace(**{**vars(os), "close": close}))
    fd = os.open(os.devnull, os.O_RDONLY)
    _numbers.closeNumber(fd)
    assert closed == [fd]
    with _numbers.threeTaken():
        pass
    assert len(closed) > 1
    with pytest.raises(OSError, match="descriptor"):
        _numbers.closeNumber(fd)


def test_aFlagThatPyPyDoesNotName(monkeypatch: pytest.MonkeyPatch) -> None:
    """O_PATH opens what may not be read, which needs the flag."""
    named = _numbers.ofSystem("O_PATH")
    monkeypatch.delattr(os, "O_PATH", raising=False)
    assert _numbers.ofSystem("O_PATH") == named != 0
    assert _numbers.ofSystem("O_NOTHING") == 0
