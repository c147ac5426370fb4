"""UNIX stream sockets: what is their own, beside the contract of streams in tests/contract/test_matrix.py."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import ClientCreator, DatagramProtocol, Failure, LineReceiver, Protocol, ServerFactory, UNIXAddress
from reactor.error import BadFileError, CannotListenError, ConnectError
from reactor.transports.connecting import CONNECT_REST
from tests.support.datagrams import leavingSockets
from tests.support.worlds import DEADLINE, LOOPS, TWISTED, UNIXWorld, readAll, runProgram


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[UNIXWorld]:
    world = UNIXWorld(request.param)
    yield world
    world.close()


@pytest.fixture
def twisted() -> Iterator[UNIXWorld]:
    world = UNIXWorld(TWISTED)
    yield world
    world.close()


def failuresIn(factory: Any) -> list[Any]:
    return [event for event in factory.trace if event[0] == "failed"]


class TestLikeTwisted:
    """The same script on both, and one trace."""

    def life(self, world: UNIXWorld) -> list[Any]:
        servers, clients = world.serverFactory(), world.clientFactory()
        port = world.listen(servers)
        path = os.fsdecode(port.getHost().name)
        connector = world.connect(port, clients)
        world.until(lambda: servers.built and clients.built and "made" in servers.trace and "made" in clients.trace)
        server, client = servers.only, clients.only
        addresses = [
            (type(address).__name__, address.name if address.name is None else os.fsdecode(address.name) == path)
            for address in (
                port.getHost(),
                connector.getDestination(),
                server.transport.getHost(),
                server.transport.getPeer(),
                client.transport.getHost(),
                client.transport.getPeer(),
            )
        ]
        client.transport.setTcpNoDelay(True)
        client.transport.write(b"hello")
        world.until(lambda: server.received == b"hello")
        server.transport.write(b"bye")
        server.transport.loseConnection()
        world.until(lambda: server.lost is not None and client.lost is not None)
        stopped = list[Any]()
        port.stopListening().addCallback(stopped.append)
        world.until(lambda: stopped)
        assert not os.path.exists(path)
        return [servers.trace, clients.trace, addresses, stopped, client.received, client.transport.getTcpNoDelay()]

    def test_life(self, world: UNIXWorld, twisted: UNIXWorld) -> None:
        ours = self.life(world)
        assert ours == self.life(twisted)
        assert ours[2] == [
            ("UNIXAddress", True),
            ("UNIXAddress", True),
            ("UNIXAddress", True),
            ("UNIXAddress", None),
            ("UNIXAddress", None),
            ("UNIXAddress", True),
        ]

    def addressOfABoundClient(self, world: UNIXWorld) -> Any:
        seen = list[Any]()
        servers = world.serverFactory(build=lambda factory, address: seen.append(address))
        port, path = world.listen(servers), world.path()
        with socket.socket(socket.AF_UNIX) as client:
            client.bind(path)
            client.connect(port.getHost().name)
            world.until(lambda: seen)
        (address,) = seen
        return os.fsdecode(address.name) == path

    def test_aClientWithAName(self, world: UNIXWorld, twisted: UNIXWorld) -> None:
        assert self.addressOfABoundClient(world)
        assert self.addressOfABoundClient(twisted)

    def failure(self, world: UNIXWorld, prepare: str) -> Any:
        path = world.path()
        if prepare == "dead":
            with socket.socket(socket.AF_UNIX) as dead:
                dead.bind(path)
        elif prepare == "file":
            pathlib.Path(path).touch()
        clients = world.clientFactory()
        world.reactor.connectUNIX(path, clients, checkPID=prepare == "unlocked")
        world.until(lambda: "stop" in clients.trace)
        return clients.trace

    @pytest.mark.parametrize("prepare", ["nothing", "dead", "file", "unlocked"])
    def test_failure(self, world: UNIXWorld, twisted: UNIXWorld, prepare: str) -> None:
        ours = self.failure(world, prepare)
        assert ours == self.failure(twisted, prepare)
        kind = {"nothing": "ConnectError", "unlocked": "BadFileError"}.get(prepare, "ConnectionRefusedError")
        assert ours == ["start", ("started", "connecting"), ("failed", "disconnected", kind), "stop"]

    def refusal(self, world: UNIXWorld, prepare: str) -> tuple[Any, ...]:
        path = world.path()
        if prepare == "file":
            pathlib.Path(path).touch()
        elif prepare == "no directory":
            path += "/s"
        else:
            world.reactor.listenUNIX(path, world.serverFactory(), wantPID=True)
        factory = world.serverFactory()
        with pytest.raises(world.side.error.CannotListenError) as caught:
            world.reactor.listenUNIX(path, factory, wantPID=prepare == "live")
        error = caught.value
        number = error.socketError.errno if isinstance(error.socketError, OSError) else None
        return os.fsdecode(error.port) == path, number if prepare != "live" else None, "stop" in factory.trace

    @leavingSockets
    @pytest.mark.parametrize("wantPID", [True, False])
    def test_twistedBesideADeadLockOfOurs(self, twisted: UNIXWorld, wantPID: bool) -> None:
        path = twisted.path()
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        pathlib.Path(path + ".lock").touch()
        with pytest.raises((OSError, twisted.side.error.CannotListenError)):
            twisted.reactor.listenUNIX(path, twisted.serverFactory(), wantPID=wantPID)
        assert sorted(os.listdir(twisted.directory.name)) == ["0", "0.lock"]

    @leavingSockets
    @pytest.mark.parametrize("prepare", ["file", "no directory", "live"])
    def test_refusal(self, world: UNIXWorld, twisted: UNIXWorld, prepare: str) -> None:
        assert self.refusal(world, prepare) == self.refusal(twisted, prepare)


class TestPort:
    def test_messagesNameThePath(self, world: UNIXWorld) -> None:
        path = world.path()
        world.reactor.listenUNIX(path, world.serverFactory())
        factory = world.serverFactory()
        with pytest.raises(CannotListenError, match=re.escape(f"unix:{path}: ")) as caught:
            world.reactor.listenUNIX(path, factory)
        assert "a live process holds its lock file" in str(caught.value)
        assert factory.trace == []
        for wrong, why in (("x" * 108, "107 is the most"), ("", "an empty path"), (None, "an empty path")):
            with pytest.raises(CannotListenError, match=why):
                world.reactor.listenUNIX(wrong, factory)

    @pytest.mark.parametrize("make", [str, os.fsencode, pathlib.Path])
    def test_kindsOfPath(self, world: UNIXWorld, make: Callable[[str], Any]) -> None:
        path = make(world.path())
        servers, clients = world.serverFactory(), world.clientFactory()
        world.reactor.listenUNIX(path, servers)
        world.reactor.connectUNIX(path, clients)
        world.until(lambda: "made" in clients.trace and "made" in servers.trace)

    def test_defaults(self, world: UNIXWorld) -> None:
        path = world.path()
        port = world.reactor.listenUNIX(path, world.serverFactory())
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.path.exists(path + ".lock")
        assert (port.backlog, port.wantPID) == (50, True)
        other = world.reactor.listenUNIX(world.path(), world.serverFactory(), mode=0o666, wantPID=False)
        name = os.fsdecode(other.getHost().name)
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o666
        assert not os.path.exists(name + ".lock")

    def test_theEndRemovesTheFilesAndItCanBeginAgain(self, world: UNIXWorld) -> None:
        servers = world.serverFactory()
        port = world.listen(servers)
        path = os.fsdecode(port.getHost().name)
        for _ in range(2):
            with dialUNIX(path):
                pass
            stopped = list[Any]()
            port.stopListening().addCallback(stopped.append)
            world.until(lambda stopped=stopped: stopped)
            assert os.listdir(world.directory.name) == []
            port.startListening()
            assert port.getHost() == UNIXAddress(path)

    def test_theReactorsEndRemovesThem(self, world: UNIXWorld) -> None:
        world.listen(world.serverFactory())
        world.reactor.listenUNIXDatagram(world.path(), DatagramProtocol())
        assert len(os.listdir(world.directory.name)) == 4
        world.reactor.callLater(0, world.reactor.stop)
        world.reactor.run(installSignalHandlers=False)
        assert os.listdir(world.directory.name) == []

    @pytest.mark.parametrize("where", ["listen", "doStart"])
    def test_aFailedStartLeavesNothing(self, world: UNIXWorld, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(errno.ENOBUFS, "no")

        factory = world.serverFactory()
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket if where == "listen" else factory, where, refuse, raising=False)
            with pytest.raises(CannotListenError if where == "listen" else OSError, match="no"):
                world.listen(factory)
        assert os.listdir(world.directory.name) == []
        world.listen(factory)

    def test_killedAndStartedAgain(self, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Twenty times a server is killed without warning, and the next one is there at once."""
        monkeypatch.chdir(tmp_path)
        result = runProgram(
            """
import os, signal, socket
from reactor import EpollReactor, Protocol, ServerFactory
for number in range(20):
    results, sink = os.pipe()
    child = os.fork()
    if child == 0:
        reactor = EpollReactor()
        reactor.listenUNIX("s", ServerFactory.forProtocol(Protocol))
        reactor.callLater(0, os.write, sink, b"1")
        reactor.run(installSignalHandlers=False)
    os.close(sink)
    assert os.read(results, 1) == b"1"
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    os.close(results)
print(sorted(os.listdir()))
"""
        )
        assert (result.stdout, result.stderr) == ("['s', 's.lock']\n", "")

    def test_abstractNames(self, world: UNIXWorld) -> None:
        name = f"\0linereactor test {os.getpid()}"
        servers, clients = world.serverFactory(), world.clientFactory()
        port = world.reactor.listenUNIX(name, servers)
        assert port.getHost().name == os.fsencode(name)
        with pytest.raises(CannotListenError, match="in use"):
            world.reactor.listenUNIX(name, servers)
        world.reactor.connectUNIX(name, clients, checkPID=True)
        world.until(lambda: "made" in clients.trace and "made" in servers.trace)
        assert clients.only.transport.getPeer() == port.getHost() == servers.only.transport.getHost()
        assert os.listdir(world.directory.name) == []


class TestConnector:
    def test_checkPID(self, world: UNIXWorld) -> None:
        servers = world.serverFactory()
        port = world.listen(servers)
        path = os.fsdecode(port.getHost().name)
        clients = world.clientFactory()
        world.reactor.connectUNIX(path, clients, checkPID=True)
        world.until(lambda: "made" in clients.trace)
        with socket.socket(socket.AF_UNIX) as other:
            unlocked = world.path()
            other.bind(unlocked)
            other.listen()
            clients, reasons = world.clientFactory(), list[Any]()
            clients.clientConnectionFailed = lambda connector, reason: reasons.append(reason.value)
            world.reactor.connectUNIX(unlocked, clients, checkPID=True)
            world.until(lambda: reasons)
        assert isinstance(reasons[0], BadFileError)
        assert "no live process holds the lock" in str(reasons[0])

    @pytest.mark.parametrize(("path", "why"), [("x" * 108, "107 is the most"), ("", "an empty path")])
    def test_wrongPaths(self, world: UNIXWorld, path: str, why: str) -> None:
        reasons = list[Any]()
        clients = world.clientFactory()
        clients.clientConnectionFailed = lambda connector, reason: reasons.append(reason.value)
        connector = world.reactor.connectUNIX(path, clients)
        assert reasons == []
        world.until(lambda: reasons)
        assert type(reasons[0]) is ConnectError
        assert why in str(reasons[0])
        assert connector.state == "disconnected"

    def test_aFullQueueIsTriedAgain(self, world: UNIXWorld) -> None:
        """The kernel says EAGAIN and never tells when there is room."""
        path = world.path()
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as filler:
            server.bind(path)
            server.listen(0)
            filler.connect(path)
            clients = world.clientFactory()
            connector = world.reactor.connectUNIX(path, clients)
            turns = list[float]()
            world.reactor.callLater(3.5 * CONNECT_REST, turns.append, 0)
            count = 0
            while not turns:
                world.reactor.iterate(1)
                count += 1
            assert connector.state == "connecting"
            assert count < 20  # it rests meanwhile, and does not spin
            server.accept()[0].close()
            world.until(lambda: "made" in clients.trace)

    @pytest.mark.parametrize("how", ["timeout", "stopConnecting", "reactor"])
    def test_aFullQueueAndTheEnd(self, world: UNIXWorld, how: str) -> None:
        path = world.path()
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as filler:
            server.bind(path)
            server.listen(0)
            filler.connect(path)
            clients = world.clientFactory()
            connector = world.reactor.connectUNIX(path, clients, timeout=0.02 if how == "timeout" else 30)
            world.reactor.iterate(0)
            if how == "stopConnecting":
                connector.stopConnecting()
            elif how == "reactor":
                world.reactor.disconnectAll()
            world.until(lambda: failuresIn(clients))
        kind = {"timeout": "TimeoutError", "stopConnecting": "UserError", "reactor": "ConnectError"}[how]
        assert failuresIn(clients) == [("failed", "disconnected", kind)]
        assert world.reactor.getDelayedCalls() == []

    def test_clientCreator(self, world: UNIXWorld) -> None:
        servers = world.serverFactory()
        port = world.listen(servers)
        path = os.fsdecode(port.getHost().name)
        found = list[Any]()
        creator = ClientCreator(world.reactor, Protocol)
        creator.connectUNIX(path, timeout=5, checkPID=True).addCallback(found.append)
        creator.connectUNIX(path + "x").addErrback(found.append)
        world.until(lambda: len(found) == 2)
        kinds = {type(each) for each in found}
        assert kinds == {Protocol, Failure}
        (protocol,) = (each for each in found if type(each) is Protocol)
        assert protocol.transport.getPeer() == UNIXAddress(path)


class TestConnection:
    def test_credentials(self, world: UNIXWorld) -> None:
        server, client = world.pair()
        mine = (os.getpid(), os.geteuid(), os.getegid())
        assert server.transport.getPeerCredentials() == client.transport.getPeerCredentials() == mine
        assert server.transport.getPeerCredentials()._fields == ("pid", "uid", "gid")
        client.transport.loseConnection()
        world.until(lambda: client.lost is not None and server.lost is not None)
        with pytest.raises(OSError, match="descriptor"):
            client.transport.getPeerCredentials()

    @pytest.mark.needs("nc")
    def test_credentialsOfAnother(self, world: UNIXWorld) -> None:
        servers = world.serverFactory()
        port = world.listen(servers)
        with talk("nc", "-U", os.fsdecode(port.getHost().name)) as client:
            world.until(lambda: "made" in servers.trace)
            assert servers.only.transport.getPeerCredentials().pid == client.pid

    def test_optionsOfTCP(self, world: UNIXWorld) -> None:
        server, _ = world.pair()
        server.transport.setTcpNoDelay(True)
        server.transport.setTcpKeepAlive(True)
        assert (server.transport.getTcpNoDelay(), server.transport.getTcpKeepAlive()) == (False, True)
        server.transport.setTcpKeepAlive(False)
        assert server.transport.getTcpKeepAlive() is False


def endUnread(protocol: Any, peer: socket.socket) -> None:
    protocol.transport.write(b"unread")
    protocol.transport.reactor.iterate(0)
    peer.close()


def endWithWordsUnread(protocol: Any, peer: socket.socket) -> None:
    peer.sendall(b"last")
    endUnread(protocol, peer)


def endOfTheirHalf(protocol: Any, peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_WR)


def endOfTheirReading(protocol: Any, peer: socket.socket) -> None:
    peer.shutdown(socket.SHUT_RD)
    protocol.transport.write(b"x")


def leaveUnread(protocol: Any, peer: socket.socket) -> None:
    protocol.transport.pauseProducing()
    peer.sendall(b"unread")
    protocol.transport.write(b"last")
    protocol.transport.loseConnection()


def endBehindAFullBuffer(protocol: Any, peer: socket.socket) -> None:
    protocol.transport.write(b"x" * 5_000_000)
    protocol.transport.reactor.iterate(0)
    peer.close()


def abortAFullBuffer(protocol: Any, peer: socket.socket) -> None:
    protocol.transport.write(b"x" * 5_000_000)
    protocol.transport.reactor.iterate(0)
    protocol.transport.abortConnection()


def endOfOurHalf(protocol: Any, peer: socket.socket) -> None:
    protocol.transport.write(b"last")
    protocol.transport.loseWriteConnection()
    protocol.transport.reactor.iterate(0)
    protocol.transport.reactor.iterate(0)
    peer.sendall(b"more")
    peer.close()


class TestEndings:
    """A side that leaves with something unread resets the connection, though there is no other reset."""

    @pytest.mark.parametrize("halves", [False, True])
    @pytest.mark.parametrize(
        ("end", "reason", "last"),
        [
            (endUnread, "ConnectionLost", None),
            (endWithWordsUnread, "ConnectionLost", None),
            (endOfTheirHalf, "ConnectionDone", "end"),
            (endOfTheirReading, "ConnectionLost", "end"),
            (leaveUnread, "ConnectionDone", "ConnectionResetError"),
            (endBehindAFullBuffer, "ConnectionLost", None),
            (abortAFullBuffer, "ConnectionAborted", "end"),
            (endOfOurHalf, "ConnectionLost", None),
        ],
    )
    def test_likeTwisted(
        self,
        world: UNIXWorld,
        twisted: UNIXWorld,
        end: Callable[[Any, socket.socket], None],
        reason: str,
        last: str | None,
        halves: bool,
    ) -> None:
        said = []
        for each in (world, twisted):
            servers = each.serverFactory({"readLost": lambda protocol: protocol.transport.loseConnection()}, halves)
            with dialUNIX(os.fsdecode(each.listen(servers).getHost().name)) as peer:
                each.until(lambda servers=servers: "made" in servers.trace)
                end(servers.only, peer)
                each.until(lambda servers=servers: servers.only.lost)
                said.append((servers.only.trace, lastOf(peer)))
        assert said[0] == said[1]
        assert said[0][0][-1] == ("lost", reason)
        assert said[0][1] == last


def lastOf(peer: socket.socket) -> str | None:
    """Return what a socket reads after all data, None if it is closed."""
    if peer.fileno() < 0:
        return None
    try:
        readAll(peer)
    except OSError as error:
        return type(error).__name__
    return "end"


def dialUNIX(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(DEADLINE)
    peer.connect(path)
    return peer


@contextlib.contextmanager
def talk(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program of the system."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


class Echo(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Web(LineReceiver):
    """Just enough for one request."""

    def lineReceived(self, line: bytes) -> None:
        if not line:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            self.transport.loseConnection()


@pytest.mark.needs("curl", "nc", "socat")
class TestPrograms:
    """Clients that others have written."""

    def serve(self, world: UNIXWorld, protocol: Any) -> str:
        factory = ServerFactory.forProtocol(protocol)
        factory.noisy = False
        return os.fsdecode(world.listen(factory).getHost().name)

    def answer(self, world: UNIXWorld, process: subprocess.Popen[bytes], question: bytes, size: int) -> bytes:
        """Return `size` bytes that `process` prints after reading `question`."""
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(question)
        process.stdin.flush()
        os.set_blocking(process.stdout.fileno(), False)
        received = bytearray()

        def read() -> bool:
            with contextlib.suppress(BlockingIOError):
                received.extend(os.read(process.stdout.fileno(), 65536))  # type: ignore[union-attr]
            return len(received) >= size

        world.until(read)
        return bytes(received)

    @pytest.mark.parametrize("command", ["nc -U PATH", "socat STDIO UNIX-CONNECT:PATH"])
    def test_lines(self, world: UNIXWorld, command: str) -> None:
        path = self.serve(world, Echo)
        question = b"one\r\n\r\nthree\r\n"
        with talk(*command.replace("PATH", path).split()) as client:
            assert self.answer(world, client, question, len(question)) == question

    def test_anAbstractName(self, world: UNIXWorld) -> None:
        name = f"linereactor-{os.getpid()}"
        world.reactor.listenUNIX(f"\0{name}", ServerFactory.forProtocol(Echo))
        with talk("socat", "STDIO", f"ABSTRACT-CONNECT:{name}") as client:
            assert self.answer(world, client, b"line\r\n", 6) == b"line\r\n"

    def test_curl(self, world: UNIXWorld) -> None:
        path = self.serve(world, Web)
        with talk("curl", "--silent", "--show-error", "--unix-socket", path, "http://localhost/") as client:
            assert self.answer(world, client, b"", 5) == b"hello"

    def test_aServerOfSocat(self, world: UNIXWorld) -> None:
        path = world.path()
        with talk("socat", f"UNIX-LISTEN:{path}", "EXEC:cat"):
            world.until(lambda: os.path.exists(path))
            clients = world.clientFactory(
                {"made": lambda protocol: protocol.transport.write(b"to and fro")},
                # The path is there a moment before socat listens.
                failed=lambda _, connector, reason: world.reactor.callLater(0.01, connector.connect),
            )
            world.reactor.connectUNIX(path, clients)
            world.until(lambda: clients.built and clients.only.received)
            assert clients.only.received == b"to and fro"
            clients.only.transport.loseConnection()
            world.until(lambda: clients.only.lost is not None)
