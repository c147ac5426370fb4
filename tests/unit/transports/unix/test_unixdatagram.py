"""Datagrams over UNIX sockets, beside Twisted, and with plain sockets and socat."""

from __future__ import annotations

import errno
import logging
import os
import pathlib
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import UNIXAddress
from reactor.error import CannotListenError
from reactor.transports.datagram import RECEIVE_SIZE
from tests.support.datagrams import DatagramWorld, OnBothSides, leavingSockets, stopped, worldOf
from tests.support.worlds import LOOPS

CONNECTED = "ConnectedDatagramProtocol"


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[DatagramWorld]:
    with worldOf(request.param) as world:
        yield world


def listen(world: DatagramWorld, address: Any = None, **arguments: Any) -> Any:
    """The recording protocol of a new port, at a path of its own. Arguments are listenUNIXDatagram's, or hooks."""
    own = {name: arguments.pop(name) for name in ("maxPacketSize", "mode", "wantPID") if name in arguments}
    protocol = world.protocol(**arguments)
    world.reactor.listenUNIXDatagram(world.path() if address is None else address, protocol, **own)
    return protocol


def connect(world: DatagramWorld, server: Any, bind: bool = False, **hooks: Any) -> Any:
    """The recording protocol of a port that is connected to that of `server`, or to a path."""
    protocol = world.protocol(CONNECTED, **hooks)
    path = server if isinstance(server, str) else os.fsdecode(server.transport.getHost().name)
    world.reactor.connectUNIXDatagram(path, protocol, bindAddress=world.path() if bind else None)
    return protocol


def pathOf(protocol: Any) -> str:
    return os.fsdecode(protocol.transport.getHost().name)


def warningsIn(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


class TestLikeTwisted(OnBothSides):
    """The same script on both, and one trace."""

    def test_life(self) -> None:
        def script(world: DatagramWorld) -> Any:
            server = listen(world, received=lambda protocol, data, addr: protocol.transport.write(data, addr))
            client = connect(world, server, bind=True)
            peer, host = client.transport.getPeer(), client.transport.getHost()
            for size in (0, 1, 8192):
                client.transport.write(b"x" * size)
            world.until(lambda: len(client.received) == 3)
            senders = {os.fsdecode(sender) == os.fsdecode(host.name) for sender in server.senders}
            addresses = peer == server.transport.getHost(), type(peer).__name__
            for each in (client, server):
                world.until(stopped(each.transport))
            return [server.trace, client.trace, senders, addresses]

        server, client, senders, addresses = self.both(script)
        assert client == server
        assert (server[0], server[-1], senders, addresses) == ("start", ("stop", None), {True}, (True, "UNIXAddress"))

    @leavingSockets
    def test_connectionFailed(self) -> None:
        def script(world: DatagramWorld) -> Any:
            said = []
            dead, taken = world.path(), world.path()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
                gone.bind(dead)
            pathlib.Path(taken).touch()
            server = listen(world)
            for address, bind in ((world.path(), None), (dead, None), (pathOf(server), taken)):
                protocol = world.protocol(CONNECTED)
                world.reactor.connectUNIXDatagram(address, protocol, bindAddress=bind)
                said.append(list(protocol.trace))  # at once
                world.reactor.iterate(0)
                said.append(list(protocol.trace))
            return said

        kinds = ["FileNotFoundError"] * 2 + ["ConnectionRefusedError"] * 2 + ["CannotListenError"] * 2
        assert self.both(script) == [[("failed", kind)] for kind in kinds]

    def test_startProtocolRaises(self) -> None:
        def script(world: DatagramWorld) -> Any:
            def fail(_: Any) -> None:
                raise LookupError("no")

            protocol, server = world.protocol(CONNECTED, start=fail), listen(world)
            world.reactor.connectUNIXDatagram(pathOf(server), protocol)
            return protocol.trace

        assert self.both(script) == ["start", ("failed", "LookupError")]

    def test_thePeerGoes(self) -> None:
        def script(world: DatagramWorld) -> Any:
            server = listen(world)
            client = connect(world, server)
            world.until(stopped(server.transport))
            client.transport.write(b"x")
            return client.trace

        assert self.both(script) == ["start", "refused"]

    def test_errorsOfWrite(self) -> None:
        def script(world: DatagramWorld) -> Any:
            said, client, dead = [], listen(world), world.path()
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
                gone.bind(dead)
            connected = connect(world, client)
            call: Callable[[], object]
            for call in (
                lambda: client.transport.write(b"x", world.path()),
                lambda: client.transport.write(b"x", dead),
                lambda: client.transport.write(b"x" * 10_000_000, pathOf(client)),
                lambda: connected.transport.write(b"x" * 10_000_000),
            ):
                with pytest.raises(Exception, match=r".") as caught:
                    call()
                said.append(type(caught.value).__name__)
            return said

        refused = "ConnectionRefusedError"
        assert self.both(script) == ["FileNotFoundError", refused, "MessageLengthError", "MessageLengthError"]

    @leavingSockets
    def test_cannotListen(self) -> None:
        def script(world: DatagramWorld) -> Any:
            path, protocol = world.path(), world.protocol()
            pathlib.Path(path).touch()
            with pytest.raises(world.side.error.CannotListenError) as caught:
                world.reactor.listenUNIXDatagram(path, protocol)
            return protocol.trace, caught.value.port == path, caught.value.socketError.errno

        assert self.both(script) == ([], True, errno.EADDRINUSE)


class TestPath:
    def test_modeAndFiles(self, world: DatagramWorld) -> None:
        server = listen(world)
        path, port = pathOf(server), server.transport
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        assert os.path.exists(path + ".lock")
        open_ = listen(world, mode=0o666, wantPID=False)
        assert stat.S_IMODE(os.stat(pathOf(open_)).st_mode) == 0o666
        assert not os.path.exists(pathOf(open_) + ".lock")
        for each in (port, open_.transport):
            world.until(stopped(each))
        assert os.listdir(world.directory.name) == []

    def test_aDeadOwnersPathIsTakenOverAndALiveOnesIsNot(self, world: DatagramWorld) -> None:
        path = world.path()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
            dead.bind(path)
        server = listen(world, path)
        for wantPID in (True, False):
            with pytest.raises(CannotListenError, match="unix:"):
                listen(world, path, wantPID=wantPID)
        sender = world.socket(socket.AF_UNIX)
        sender.sendto(b"x", path)
        world.until(lambda: server.received)

    def test_aBindAddressIsRemovedToo(self, world: DatagramWorld) -> None:
        server = listen(world)
        client = connect(world, server, bind=True)
        assert stat.S_IMODE(os.stat(pathOf(client)).st_mode) == 0o600
        world.until(stopped(client.transport))
        assert len(os.listdir(world.directory.name)) == 2
        path = world.path()
        failing = world.protocol(CONNECTED)
        port = world.reactor.connectUNIXDatagram(world.path(), failing, bindAddress=path)
        assert failing.trace == [("failed", "FileNotFoundError")]
        assert len(os.listdir(world.directory.name)) == 2
        assert (port.stopListening(), port.fileno()) == (None, -1)

    def test_abstractNames(self, world: DatagramWorld) -> None:
        name = f"\0linereactor datagrams {os.getpid()}"
        server = listen(world, name)
        client = connect(world, name)
        client.transport.write(b"x")
        world.until(lambda: server.received)
        assert server.transport.getHost() == client.transport.getPeer() == UNIXAddress(name)
        assert os.listdir(world.directory.name) == []

    @pytest.mark.parametrize(("path", "why"), [("x" * 108, "107 is the most"), ("", "an empty path")])
    def test_wrongPaths(self, world: DatagramWorld, path: str, why: str) -> None:
        with pytest.raises(CannotListenError, match=why):
            listen(world, path)
        reasons = list[str]()
        connect(world, path, failed=lambda protocol, failure: reasons.append(failure.getErrorMessage()))
        assert len(reasons) == 1
        assert why in reasons[0]


class TestDatagrams:
    def test_aPeerWithoutAName(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        """It cannot be answered, and must not be able to make an answer raise."""
        server = listen(world, received=lambda protocol, data, addr: protocol.transport.write(data, addr))
        world.socket(socket.AF_UNIX).sendto(b"x", pathOf(server))
        world.until(lambda: server.received)
        assert (server.senders, server.transport.unsentCount) == ([None], 1)
        assert [record.levelno for record in caplog.records if record.levelno > logging.INFO] == [logging.WARNING]

    def test_aPortWithoutAName(self, world: DatagramWorld) -> None:
        server, client = listen(world), world.protocol()
        port = world.reactor.listenUNIXDatagram(None, client)
        assert port.getHost() == UNIXAddress(None)
        for address in (pathOf(server), os.fsencode(pathOf(server)), pathlib.Path(pathOf(server))):
            port.write(b"x", address)
        world.until(lambda: len(server.received) == 3)

    def test_aFullQueueDropsAndCounts(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        server, loose = listen(world), listen(world)
        client = connect(world, server)
        count = 0
        while not client.transport.unsentCount:
            client.transport.write(b"%d" % count)
            count += 1
            assert count < 100_000
        loose.transport.write(b"x", pathOf(server))
        assert loose.transport.unsentCount == 1
        assert len(warningsIn(caplog)) == 2
        world.until(lambda: len(server.received) == count - 1)
        client.transport.write(b"room again")
        world.until(lambda: server.received[-1] == b"room again")
        assert server.received[:-1] == [b"%d" % number for number in range(count - 1)]

    @pytest.mark.parametrize("size", [8193, RECEIVE_SIZE, RECEIVE_SIZE + 1, 100_000])
    def test_oneTooLongIsReported(self, world: DatagramWorld, size: int) -> None:
        server = listen(world)
        client = connect(world, server)
        client.transport.write(b"x" * size)
        client.transport.write(b"short")
        world.until(lambda: server.received)
        assert server.trace == ["start", ("exceeded", min(size, RECEIVE_SIZE)), ("received", b"short")]
        assert server.transport.oversizedCount == 1

    @pytest.mark.parametrize("limit", [RECEIVE_SIZE - 1, RECEIVE_SIZE, 100_000])
    def test_aGreaterLimit(self, world: DatagramWorld, limit: int) -> None:
        server = listen(world, maxPacketSize=limit)
        client = connect(world, server)
        client.transport.write(b"x" * limit)
        client.transport.write(b"x" * (limit + 1))
        world.until(lambda: len(server.trace) == 3)
        assert server.received == [b"x" * limit]
        assert server.trace[2] == ("exceeded", limit + 1)

    def test_tooLongForAConnectedOne(self, world: DatagramWorld) -> None:
        server = listen(world)
        client = world.protocol(CONNECTED)
        port = world.reactor.connectUNIXDatagram(pathOf(server), client, 10, bindAddress=world.path())
        server.transport.write(b"x" * 11, os.fsdecode(port.getHost().name))
        server.transport.write(b"x" * 10, os.fsdecode(port.getHost().name))
        world.until(lambda: client.received)
        assert client.trace == ["start", ("exceeded", 11), ("received", b"x" * 10)]
        assert client.senders == ["peer", "peer"]  # they are called with the datagram alone

    def test_nothingIsDroppedByTheKernel(self, world: DatagramWorld) -> None:
        assert listen(world).transport.getDroppedCount() == 0


class TestPeerThatGoes:
    def test_itIsToldEachTime(self, world: DatagramWorld) -> None:
        server = listen(world)
        client = connect(world, server)
        world.until(stopped(server.transport))
        for _ in range(3):
            client.transport.write(b"x")
        assert client.trace == ["start"] + ["refused"] * 3

    def test_otherErrorsAreRaised(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(errno.EPERM, "no")

        client = connect(world, listen(world))
        monkeypatch.setattr(socket.socket, "send", refuse)
        with pytest.raises(PermissionError):
            client.transport.write(b"x")
        assert client.trace == ["start"]

    def test_anotherTakesItsPlace(self, world: DatagramWorld) -> None:
        server = listen(world)
        path, client = pathOf(server), connect(world, server)
        client.transport.write(b"to the first")
        world.until(lambda: server.received)
        world.until(stopped(server.transport))
        following = listen(world, path)
        client.transport.write(b"to the next")
        world.until(lambda: following.received == [b"to the next"])
        assert client.trace == ["start"]


class TestPrograms:
    @pytest.mark.needs("socat")
    def test_socat(self, world: DatagramWorld) -> None:
        server = listen(world, received=lambda protocol, data, addr: protocol.transport.write(data.upper(), addr))
        command = ["socat", "-T5", "-", f"UNIX-SENDTO:{pathOf(server)},bind={world.path()}"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            world.until(lambda: server.received)
            assert client.stdout.readline() == b"HELLO\n"
            client.kill()
