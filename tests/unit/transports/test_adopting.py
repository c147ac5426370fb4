"""Sockets that somebody else has opened: adopted by the reactor, by an endpoint, handed over by systemd."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.python.systemd import ListenFDs as TheirFDs

from reactor.address import UNIXAddress
from reactor.endpoints import AdoptedStreamServerEndpoint, serverFromString
from reactor.endpoints.systemd import ListenFDs
from reactor.error import AlreadyListened, CannotListenError, UnsupportedAddressFamily, UnsupportedSocketType
from tests.support.knocking import knock
from tests.support.worlds import LOOPS, OURS, TWISTED, World, readAll

SIDES = [pytest.param(side, id=side.name) for side in (*LOOPS, TWISTED)]


@pytest.fixture(params=SIDES)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


@pytest.fixture
def ours() -> Iterator[World]:
    world = World(OURS)
    yield world
    world.close()


def listener(family: int, tmp_path: pathlib.Path) -> socket.socket:
    """A listening, non-blocking socket, as Twisted wants it."""
    sock = socket.socket(family)
    sock.bind(
        str(tmp_path / "s") if family == socket.AF_UNIX else ("::1" if family == socket.AF_INET6 else "127.0.0.1", 0)
    )
    sock.listen(3)
    sock.setblocking(False)
    return sock


def dialled(sock: socket.socket) -> socket.socket:
    peer = socket.socket(sock.family)
    peer.settimeout(20)
    peer.connect(sock.getsockname())
    return peer


FAMILIES = [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX]


@pytest.mark.parametrize("family", FAMILIES)
def test_adoptedPortAccepts(world: World, family: int, tmp_path: pathlib.Path) -> None:
    """As on Twisted. The descriptor stays the caller's; at the end the socket listens on for others."""
    factory = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
    with listener(family, tmp_path) as sock:
        port = world.reactor.adoptStreamPort(sock.fileno(), family, factory)
        assert port.fileno() != sock.fileno()
        assert not os.get_inheritable(port.fileno())
        with dialled(sock) as peer:
            peer.sendall(b"hello")
            world.until(lambda: factory.built and factory.only.received == b"hello")
            factory.only.transport.loseConnection()
            world.until(lambda: factory.only.lost is not None)
            assert readAll(peer) == b"hello"
        name = port.getHost().name if family == socket.AF_UNIX else port.getHost().port
        expected = sock.getsockname() if family == socket.AF_UNIX else sock.getsockname()[1]
        assert name == (os.fsencode(expected) if family == socket.AF_UNIX else expected)
        stopped: list[Any] = []
        port.stopListening().addCallback(stopped.append)
        world.until(lambda: stopped)
        assert factory.trace[0] == "start"
        assert factory.trace[-1] == "stop"
        if family == socket.AF_UNIX and world.reactor.__module__.startswith("twisted"):
            return  # it removes a path that is not its own
        with dialled(sock):
            sock.setblocking(True)
            sock.accept()[0].close()
        if family == socket.AF_UNIX:
            assert os.path.exists(sock.getsockname())


@pytest.mark.parametrize("family", FAMILIES)
def test_adoptedPortShutsNobodyOut(ours: World, family: int, tmp_path: pathlib.Path) -> None:
    """Other processes may serve the socket."""
    with listener(family, tmp_path) as sock:
        port = ours.reactor.adoptStreamPort(sock.fileno(), family, ours.serverFactory({}))
        port.shutOut()
        client, isIn = knock(family, sock.getsockname())
        assert isIn
        client.close()
        port.stopListening()


@pytest.mark.parametrize("family", FAMILIES)
def test_adoptedConnection(world: World, family: int, tmp_path: pathlib.Path) -> None:
    """The peer sees the end although the caller has the socket still, as with Twisted."""
    factory = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
    with listener(family, tmp_path) as sock, dialled(sock) as peer:
        sock.setblocking(True)
        accepted = sock.accept()[0]
        accepted.setblocking(False)
        with accepted:
            transport = world.reactor.adoptStreamConnection(accepted.fileno(), family, factory)
            protocol = factory.only
            assert protocol.transport is transport
            assert protocol.trace == ["made"]
            peer.sendall(b"hello")
            world.until(lambda: protocol.received == b"hello")
            protocol.transport.loseConnection()
            world.until(lambda: protocol.lost is not None)
            assert readAll(peer) == b"hello"
            assert accepted.fileno() >= 0


def test_adoptedConnectionsReset(ours: World) -> None:
    """With the caller's descriptor closed, abortConnection() is a reset."""
    factory = ours.serverFactory({})
    with listener(socket.AF_INET, pathlib.Path()) as sock, dialled(sock) as peer:
        sock.setblocking(True)
        accepted = sock.accept()[0]
        ours.reactor.adoptStreamConnection(accepted.fileno(), socket.AF_INET, factory)
        protocol = factory.only
        accepted.close()
        protocol.transport.abortConnection()
        ours.until(lambda: protocol.lost is not None)
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_adoptedConnectionWithoutProtocol(ours: World, tmp_path: pathlib.Path) -> None:
    class Refusing:
        def buildProtocol(self, addr: Any) -> None:
            assert addr == UNIXAddress(None)

    class Broken:
        def buildProtocol(self, addr: Any) -> None:
            raise LookupError("no")

    with listener(socket.AF_UNIX, tmp_path) as sock, dialled(sock):
        sock.setblocking(True)
        with sock.accept()[0] as accepted:
            assert ours.reactor.adoptStreamConnection(accepted.fileno(), socket.AF_UNIX, Refusing()) is None
            with pytest.raises(LookupError):
                ours.reactor.adoptStreamConnection(accepted.fileno(), socket.AF_UNIX, Broken())


def test_whatCannotBeAdopted(ours: World, tmp_path: pathlib.Path) -> None:
    """Nothing is left open by it: conftest.py looks."""
    adopt, factory = ours.reactor.adoptStreamPort, ours.serverFactory({})
    with listener(socket.AF_INET, tmp_path) as sock, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        with pytest.raises(UnsupportedAddressFamily):
            adopt(sock.fileno(), socket.AF_INET6, factory)
        with pytest.raises(UnsupportedAddressFamily):
            adopt(sock.fileno(), socket.AF_PACKET, factory)
        with pytest.raises(UnsupportedSocketType):
            adopt(datagrams.fileno(), socket.AF_INET, factory)
    with open(os.devnull) as file, pytest.raises(OSError, match="socket"):
        adopt(file.fileno(), socket.AF_INET, factory)
    with socket.socket() as deaf, pytest.raises(CannotListenError, match="does not listen"):
        adopt(deaf.fileno(), socket.AF_INET, factory)
    assert factory.trace == []


def test_adoptedPortsListenOnce(ours: World, tmp_path: pathlib.Path) -> None:
    with listener(socket.AF_INET, tmp_path) as sock:
        port = ours.reactor.adoptStreamPort(sock.fileno(), socket.AF_INET, ours.serverFactory({}))
    port.stopListening()
    ours.until(lambda: port.disconnected)
    with pytest.raises(CannotListenError) as caught:
        port.startListening()
    assert caught.value.socketError.errno == errno.EBADF  # type: ignore[union-attr]


def test_theBacklogStays(ours: World, tmp_path: pathlib.Path) -> None:
    """listen() is not called again: as many wait as the owner wanted."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "s"))
        sock.listen(0)
        port = ours.reactor.adoptStreamPort(sock.fileno(), socket.AF_UNIX, ours.serverFactory({}))
        port.pauseProducing()
        peers = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        codes = []
        for peer in peers:
            peer.setblocking(False)
            codes.append(peer.connect_ex(str(tmp_path / "s")))
            peer.close()
        assert codes == [0, errno.EAGAIN, errno.EAGAIN]


def test_adoptedEndpoint(ours: World, tmp_path: pathlib.Path) -> None:
    """It closes the descriptor, which is its own by then, and is good for one time."""
    results: list[Any] = []
    number = listener(socket.AF_INET, tmp_path).detach()
    endpoint = AdoptedStreamServerEndpoint(ours.reactor, number, socket.AF_INET)
    for _ in range(2):
        endpoint.listen(ours.serverFactory({})).addBoth(results.append)
    assert results[0].connected
    assert results[1].check(AlreadyListened)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
    bad = AdoptedStreamServerEndpoint(ours.reactor, number, socket.AF_INET)
    bad.listen(ours.serverFactory({})).addErrback(results.append)
    assert results[2].check(OSError)


@pytest.mark.parametrize("isOwn", [False, True])
@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_processesShareTheClientsOfABurst(side: Any, isOwn: bool) -> None:
    """A turn takes one client of a socket that others may have, and a batch of one that has SO_REUSEPORT."""
    one, other = World(side), World(side)
    factories = [world.serverFactory({}) for world in (one, other)]
    with socket.socket() as sock, contextlib.ExitStack() as stack:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, isOwn)
        sock.bind(("127.0.0.1", 0))
        sock.listen(40)
        sock.setblocking(False)
        for world, factory in zip((one, other), factories, strict=True):
            world.reactor.adoptStreamPort(sock.fileno(), socket.AF_INET, factory)
            world.reactor.iterate(0)
        for _ in range(40):
            stack.enter_context(dialled(sock))
        for _ in range(100):
            for world in (one, other):
                world.reactor.iterate(0)
            if sum(len(factory.built) for factory in factories) == 40:
                break
        assert [len(factory.built) for factory in factories] == ([40, 0] if isOwn else [20, 20])
        one.close()
        other.close()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LISTEN_FDS": "2"},
        {"LISTEN_FDS": "2", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a:b"},
        {"LISTEN_FDS": "2", "LISTEN_PID": "me", "LISTEN_FDNAMES": "a:b"},
        {"LISTEN_FDS": "x", "LISTEN_PID": "me"},
        {"LISTEN_FDS": "1", "LISTEN_PID": "me", "LISTEN_FDNAMES": "web.socket"},
        {"LISTEN_FDS": "0", "LISTEN_PID": "me"},
    ],
)
def test_theEnvironmentAsTwistedReadsIt(variables: dict[str, str]) -> None:
    variables = {name: str(os.getpid()) if value == "me" else value for name, value in variables.items()}
    found = ListenFDs.fromEnvironment(variables, 7)
    theirs = TheirFDs.fromEnvironment(dict(variables), 7)
    assert (found.descriptors, found.names) == (theirs.inheritedDescriptors(), theirs.inheritedNamedDescriptors())


def test_systemdBefore227() -> None:
    """There were no names; the indices are good. (Twisted finds nothing then.)"""
    found = ListenFDs.fromEnvironment({"LISTEN_FDS": "2", "LISTEN_PID": str(os.getpid())})
    assert (found.descriptors, found.names) == ([3, 4], {})
    assert found.find(1, None) == 4
    for index in (2, -1):
        with pytest.raises(ValueError, match="2 sockets were passed"):
            found.find(index, None)
    with pytest.raises(ValueError, match="not both"):
        found.find(0, "a")


def test_systemdString(ours: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By index and by name, with descriptors where systemd puts them, in a process of its own."""
    program = (
        "import os, sys\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "for n in (50, 51): os.dup2(int(sys.argv.pop(1)), n)\n"
        "os.dup2(50, 3), os.dup2(51, 4)\n"
        "from reactor.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    with listener(socket.AF_INET, tmp_path) as first, listener(socket.AF_UNIX, tmp_path) as second:
        numbers = (first.fileno(), second.fileno())
        start = [sys.executable, "-c", program, *map(str, numbers)]
        listen = ["--listen", "systemd:domain=INET:index=0", "--listen", "systemd:domain=UNIX:name=lines"]
        process = subprocess.Popen(
            [*start, "serve", *listen],
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:lines"},
            pass_fds=numbers,
            stderr=subprocess.PIPE,
        )
        try:
            for sock in (first, second):
                with dialled(sock) as peer:
                    peer.settimeout(5)
                    peer.sendall(b"hello\n")
                    assert peer.recv(100) == b"hello\n"
        finally:
            process.terminate()
            _out, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"echo on 127.0.0.1:" in said
    assert os.fsencode(tmp_path / "s") in said
    assert (tmp_path / "s").exists()


def test_systemdEndpointIsAdopted(ours: World, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ListenFDs, "fromEnvironment", lambda: ListenFDs([9], {"a": 9}))
    for text in ("systemd:domain=UNIX:index=0", "systemd:UNIX:name=a"):
        endpoint = serverFromString(ours.reactor, text)
        assert (endpoint.fileno, endpoint.addressFamily) == (9, socket.AF_UNIX)


def test_theModuleAdopts() -> None:
    """The functions of the package speak to the current reactor."""
    program = (
        "import reactor, socket\n"
        "from reactor import ServerFactory, Protocol\n"
        "class Bye(Protocol):\n"
        "    def connectionMade(self): self.transport.loseConnection(); reactor.callLater(0, reactor.stop)\n"
        "one, two = socket.socketpair()\n"
        "reactor.adoptStreamConnection(one.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(Bye))\n"
        "listening = socket.create_server(('127.0.0.1', 0))\n"
        "print(reactor.adoptStreamPort(listening.fileno(), socket.AF_INET, ServerFactory()).getHost().host)\n"
        "reactor.resolveAll('localhost', 7).addCallback(lambda found: print(found[0][1][1]))\n"
        "reactor.run()\n"
        "print(two.recv(1))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.splitlines()[0] == "127.0.0.1", done.stderr
    assert done.stdout.splitlines()[-1] == "b''"
