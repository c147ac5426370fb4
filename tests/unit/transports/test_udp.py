"""UDP: ports, connected ports, multicast; beside Twisted, and with plain sockets and socat."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pathlib
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import DatagramProtocol, IPv4Address, IPv6Address, LineReceiver, ServerFactory
from reactor.error import (
    AlreadyListened,
    CannotListenError,
    InvalidAddressError,
    MessageLengthError,
    MulticastJoinError,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from reactor.transports import datagram
from reactor.transports.datagram import RECEIVE_BATCH, RECEIVE_REST
from reactor.transports.udp import UDPPort
from tests.support.datagrams import DatagramWorld, OnBothSides, leavingSockets, nameOf, refusedName, stopped, worldOf
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, TWISTED, dial

GROUP = "239.255.42.7"
GROUP6 = "ff01::4207"
IPv6 = pytest.param("::1", id="IPv6")
HOSTS = pytest.mark.parametrize("host", [pytest.param(LOOPBACK, id="IPv4"), IPv6])


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[DatagramWorld]:
    with worldOf(request.param) as world:
        yield world


class Boom(Exception):
    pass


def raising(error: BaseException) -> Callable[..., None]:
    def hook(*_: object) -> None:
        raise error

    return hook


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[BaseException | None]:
    found = [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR]
    return [info[1] if info else None for info in found]


def warningsIn(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def echo(protocol: Any, datagram: bytes, addr: Any) -> None:
    protocol.transport.write(datagram, addr)


class TestLikeTwisted(OnBothSides):
    """The same script on both, and one trace."""

    @HOSTS
    def test_life(self, host: str) -> None:
        def script(world: DatagramWorld) -> Any:
            server, client = world.listen(host, received=echo), world.listen(host)
            port = client.transport
            for size in (0, 1, 1472, 8192):
                client.transport.write(b"x" * size, nameOf(server))
            world.until(lambda: len(client.received) == 4)
            senders = set(client.senders) == {nameOf(server)}
            kinds = [type(address).__name__ for address in (server.transport.getHost(), client.transport.getHost())]
            world.until(stopped(port))
            assert port.stopListening() is None
            return [server.trace, client.trace, senders, kinds, client.transport, server.transport.getHost().type]

        server, client, senders, kinds, transport, kind = self.both(script)
        assert [len(event[1]) for event in server[1:]] == [0, 1, 1472, 8192]
        assert client == [*server, ("stop", None)]
        assert (senders, transport, kind) == (True, None, "UDP")
        assert kinds == ["IPv6Address" if ":" in host else "IPv4Address"] * 2

    def test_connected(self) -> None:
        def script(world: DatagramWorld) -> Any:
            server, client, stranger = world.listen(received=echo), world.listen(), world.socket()
            client.transport.connect(*nameOf(server))
            with pytest.raises(RuntimeError):
                client.transport.connect(*nameOf(server))
            stranger.sendto(b"strange", nameOf(client))
            client.transport.write(b"one")
            client.transport.write(b"two", nameOf(server))
            world.until(lambda: len(client.received) == 2)
            assert client.senders == [nameOf(server)] * 2
            return [server.trace, client.trace]

        assert self.both(script)[1] == ["start", ("received", b"one"), ("received", b"two")]

    def test_refusedOnAPortThatIsNotConnected(self) -> None:
        """Nobody is told."""

        def script(world: DatagramWorld) -> Any:
            client, marker, name = world.listen(), world.listen(), refusedName()
            client.transport.write(b"1", name)
            client.transport.write(b"2", name)
            client.transport.write(b"3", nameOf(marker))
            world.until(lambda: marker.received)
            return [client.trace, marker.trace]

        assert self.both(script) == [["start"], ["start", ("received", b"3")]]

    def test_wrongAddresses(self) -> None:
        def script(world: DatagramWorld) -> Any:
            found = []
            four, six = world.listen().transport, world.listen("::1").transport
            attempts: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
                (four.write, (b"x", ("localhost", 7))),
                (four.write, (b"x", ("", 7))),
                (four.write, (b"x", ("::1", 7))),
                (six.write, (b"x", (LOOPBACK, 7))),
                (six.write, (b"x", ("<broadcast>", 7))),
                (four.connect, ("localhost", 7)),
                (four.connect, ("<broadcast>", 7)),
                (world.reactor.listenUDP, (0, world.protocol(), "localhost")),
            ]
            for call, arguments in attempts:
                with pytest.raises(world.side.error.InvalidAddressError) as caught:
                    call(*arguments)
                found.append(caught.value.address)
            return found

        self.both(script)

    def test_tooLong(self) -> None:
        def script(world: DatagramWorld) -> Any:
            client, connected = world.listen(), world.listen()
            connected.transport.connect(*nameOf(client))
            found = []
            call: Callable[[bytes], object]
            for size in (65507, 65508, 70_000):
                for call in (
                    lambda data: client.transport.write(data, nameOf(connected)),
                    lambda data: connected.transport.write(data),
                ):
                    try:
                        call(b"x" * size)
                        found.append("sent")
                    except world.side.error.MessageLengthError:
                        found.append("too long")
            return found

        assert self.both(script) == ["sent"] * 2 + ["too long"] * 4

    def test_exceptionsCostNothing(self, caplog: pytest.LogCaptureFixture) -> None:
        error = Boom("x")

        def script(world: DatagramWorld) -> Any:
            server, peer = world.listen(received=raising(error)), world.socket()
            for number in range(3):
                peer.sendto(b"%d" % number, nameOf(server))
            world.until(lambda: len(server.received) == 3)
            return server.trace

        self.both(script)
        assert errorsIn(caplog) == [error] * (3 * len(LOOPS))

    @leavingSockets
    def test_cannotListen(self) -> None:
        def script(world: DatagramWorld) -> Any:
            taken, protocol = world.listen(), world.protocol()
            with pytest.raises(world.side.error.CannotListenError) as caught:
                world.reactor.listenUDP(nameOf(taken)[1], protocol, interface=LOOPBACK)
            error = caught.value
            return protocol.trace, error.interface, error.port == nameOf(taken)[1], error.socketError.errno

        assert self.both(script) == ([], LOOPBACK, True, errno.EADDRINUSE)

    def test_broadcast(self) -> None:
        def script(world: DatagramWorld) -> Any:
            transport = world.listen("").transport
            found = [transport.getBroadcastAllowed()]
            with pytest.raises(PermissionError):
                transport.write(b"x", ("<broadcast>", 9))
            transport.setBroadcastAllowed(True)
            found.append(transport.getBroadcastAllowed())
            transport.setBroadcastAllowed(False)
            found.append(transport.getBroadcastAllowed())
            return found

        assert self.both(script) == [False, True, False]

    def test_stopInACallback(self) -> None:
        """A datagram that waits in the kernel is no longer delivered."""

        def script(world: DatagramWorld) -> Any:
            server = world.listen(received=lambda protocol, *_: protocol.transport.stopListening())
            peer, name = world.socket(), nameOf(server)
            for number in range(3):
                peer.sendto(b"%d" % number, name)
            world.until(lambda: ("stop", None) in server.trace)
            return server.trace if world.side is not TWISTED else [server.trace[0], server.trace[1], server.trace[-1]]

        assert self.both(script) == ["start", ("received", b"0"), ("stop", None)]

    def test_adopted(self) -> None:
        def script(world: DatagramWorld) -> Any:
            mine, protocol = world.socket(), world.protocol(received=echo)
            mine.setblocking(False)
            port = world.reactor.adoptDatagramPort(mine.fileno(), socket.AF_INET, protocol)
            name = mine.getsockname()
            mine.close()
            peer = world.socket()
            peer.sendto(b"hello", name)
            world.until(lambda: protocol.received)
            with pytest.raises(world.side.error.UnsupportedAddressFamily):
                world.reactor.adoptDatagramPort(peer.fileno(), socket.AF_UNIX, protocol)
            return peer.recv(10), port.getHost().port == name[1], protocol.trace

        assert self.both(script)[:2] == (b"hello", True)

    def test_multicast(self) -> None:
        def script(world: DatagramWorld) -> Any:
            found = list[Any]()
            protocol, sender = world.protocol(), world.socket()
            port = world.reactor.listenMulticast(0, protocol)
            note = lambda result: found.append(result if result is None else type(result.value).__name__)  # noqa: E731
            port.joinGroup(GROUP, LOOPBACK).addBoth(note)
            port.joinGroup(GROUP, LOOPBACK).addBoth(note)  # already
            port.joinGroup(LOOPBACK, LOOPBACK).addBoth(note)  # no group
            port.joinGroup("ff02::1", LOOPBACK).addBoth(note)  # of the other family
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            name = (GROUP, port.getHost().port)
            sender.sendto(b"to all", name)
            world.until(lambda: protocol.received)
            port.leaveGroup(GROUP, LOOPBACK).addBoth(note)
            port.leaveGroup(GROUP, LOOPBACK).addBoth(note)  # no longer
            sender.sendto(b"to nobody", name)
            sender.sendto(b"to you", (LOOPBACK, name[1]))
            world.until(lambda: b"to you" in protocol.received)
            return found, protocol.received

        no = "MulticastJoinError"
        assert self.both(script) == ([None, no, no, no, None, no], [b"to all", b"to you"])

    def test_optionsOfMulticast(self) -> None:
        def script(world: DatagramWorld) -> Any:
            found = list[Any]()
            port = world.reactor.listenMulticast(0, world.protocol(), interface=LOOPBACK)
            six = world.reactor.listenMulticast(0, world.protocol(), interface="::1")
            found += [port.getTTL(), port.getLoopbackMode(), port.getOutgoingInterface(), six.getOutgoingInterface()]
            port.setTTL(7)
            for each in (port, six):
                each.setLoopbackMode(0)
                found.append(each.getLoopbackMode())
                each.setLoopbackMode(1)
                found.append(each.getLoopbackMode())
            port.setOutgoingInterface(LOOPBACK).addBoth(found.append)
            six.setOutgoingInterface(1).addBoth(found.append)
            found += [port.getTTL(), port.getOutgoingInterface(), six.getOutgoingInterface()]
            port.setOutgoingInterface("192.0.2.1").addErrback(lambda failure: found.append(failure.value.errno))
            return found

        four = [1, True, "0.0.0.0", 0, False, True, False, True, 1, 1, 7, LOOPBACK, 1, errno.EADDRNOTAVAIL]
        assert self.both(script) == four

    @leavingSockets
    def test_listenMultiple(self) -> None:
        def script(world: DatagramWorld) -> Any:
            first = world.reactor.listenMulticast(0, world.protocol(), listenMultiple=True)
            number = first.getHost().port
            with pytest.raises(world.side.error.CannotListenError):
                world.reactor.listenMulticast(number, world.protocol())
            protocols = [world.protocol(), world.protocol()]
            for protocol in protocols:
                port = world.reactor.listenMulticast(number, protocol, listenMultiple=True)
                port.joinGroup(GROUP, LOOPBACK)
                port.setOutgoingInterface(LOOPBACK)
            port.write(b"to all", (GROUP, number))
            world.until(lambda: all(protocol.received for protocol in protocols))
            return [protocol.received for protocol in protocols]

        assert self.both(script) == [[b"to all"]] * 2


class TestLength:
    """Nothing is cut."""

    @HOSTS
    def test_sizes(self, world: DatagramWorld, host: str) -> None:
        server = world.listen(host, maxPacketSize=65507)
        peer = world.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        data = bytes(range(256)) * 256
        for size in (0, 1, 1472, 8192, 8193, 65507):
            peer.sendto(data[:size], nameOf(server))
            world.until(lambda size=size: server.received and server.received[-1] == data[:size])
        assert server.transport.oversizedCount == 0

    @pytest.mark.parametrize("limit", [0, 100, 8192])
    def test_oneTooLongIsReportedWhole(
        self, world: DatagramWorld, caplog: pytest.LogCaptureFixture, limit: int
    ) -> None:
        whole = list[Any]()
        server = world.listen(maxPacketSize=limit, exceeded=lambda protocol, *seen: whole.append(seen))
        peer = world.socket()
        for size in (limit, limit + 1, 65507, 0):
            peer.sendto(b"x" * size, nameOf(server))
        world.until(lambda: server.received[-1:] == [b""] and len(server.trace) == 5)
        assert server.received == [b"x" * limit, b""]
        name = peer.getsockname()
        assert whole == [(b"x" * (limit + 1), name), (b"x" * 65507, name)]
        assert server.transport.oversizedCount == 2
        assert len(warningsIn(caplog)) == 1  # a flood must not fill the disk
        assert f"over {limit} bytes" in warningsIn(caplog)[0]

    def test_theDefaultIsTheModels(self, world: DatagramWorld) -> None:
        assert world.listen().transport.maxPacketSize == 8192
        with pytest.raises(ValueError, match="-1"):
            world.listen(maxPacketSize=-1)

    def test_aProtocolWithoutTheCallback(self, world: DatagramWorld) -> None:
        """A protocol that was written without this package."""

        class Foreign:
            def __init__(self) -> None:
                self.transport: Any = None
                self.received: list[bytes] = []

            def makeConnection(self, transport: Any) -> None:
                self.transport = transport

            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                self.received.append(datagram)

            def connectionRefused(self) -> None: ...

            def doStop(self) -> None: ...

        protocol = Foreign()
        port = world.reactor.listenUDP(0, protocol, interface=LOOPBACK, maxPacketSize=10)
        peer = world.socket()
        peer.sendto(b"x" * 11, nameOf(protocol))
        peer.sendto(b"short", nameOf(protocol))
        world.until(lambda: protocol.received)
        assert (protocol.received, port.oversizedCount) == ([b"short"], 1)
        assert port.logPrefix() == "Foreign (UDP)"

    def test_exceptionInTheCallback(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        error = Boom("x")
        server, peer = world.listen(maxPacketSize=1, exceeded=raising(error)), world.socket()
        peer.sendto(b"xx", nameOf(server))
        peer.sendto(b"x", nameOf(server))
        world.until(lambda: server.received)
        assert errorsIn(caplog) == [error]

    def test_whatIsSentIsBytesLike(self, world: DatagramWorld) -> None:
        server, client = world.listen(), world.listen()
        for data in (b"1", bytearray(b"2"), memoryview(b"3")):
            client.transport.write(data, nameOf(server))
        world.until(lambda: len(server.received) == 3)
        with pytest.raises(TypeError):
            client.transport.write("text", nameOf(server))
        with pytest.raises(MessageLengthError, match="70000 bytes"):
            client.transport.write(bytearray(70_000), nameOf(server))


class TestFlood:
    """By counts, not by the clock."""

    def test_aBatchIsBounded(self, world: DatagramWorld) -> None:
        server, peer = world.listen(), world.socket()
        for number in range(3 * RECEIVE_BATCH):
            peer.sendto(b"%d" % number, nameOf(server))
        for turn in range(1, 4):
            world.reactor.iterate(0)
            assert len(server.received) == turn * RECEIVE_BATCH
        assert server.received == [b"%d" % number for number in range(3 * RECEIVE_BATCH)]

    def test_aFloodDoesNotStarveTCP(self, world: DatagramWorld) -> None:
        """A port that sends each datagram to itself again always has a full batch; a dialogue over TCP goes on."""
        server = world.listen(received=lambda protocol, data, addr: protocol.transport.write(data, addr))
        for _ in range(2 * RECEIVE_BATCH):
            server.transport.write(b"again", nameOf(server))

        class Echo(LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                counts.append(len(server.received))
                self.sendLine(line)

        counts = list[int]()
        factory = ServerFactory.forProtocol(Echo)
        factory.noisy = False
        with dial(world.reactor.listenTCP(0, factory, interface=LOOPBACK)) as client:
            world.until(lambda: len(server.received) > 10 * RECEIVE_BATCH)
            for _ in range(100):
                expected = len(counts) + 1
                client.sendall(b"line\r\n")
                before = len(server.received)
                world.until(lambda expected=expected: len(counts) >= expected)
                assert counts[-1] - before <= 5 * RECEIVE_BATCH
                assert client.recv(100) == b"line\r\n"
            assert len(server.received) > 100 * RECEIVE_BATCH // 2  # the flood was there
        world.until(stopped(server.transport))

    def test_whatTheKernelDropsIsCounted(self, world: DatagramWorld) -> None:
        """The number is the one that SO_RXQ_OVFL gives."""
        server, peer = world.listen(), world.socket()
        port = server.transport
        assert port.getDroppedCount() == 0
        assert port.setReceiveBufferSize(4096) == port.getReceiveBufferSize() < 20_000
        for _ in range(100):
            peer.sendto(b"x" * 1000, nameOf(server))
        assert port.getDroppedCount() > 0
        world.until(lambda: len(server.received) + port.getDroppedCount() == 100)
        sock, overflow = port.getHandle(), 40
        sock.setsockopt(socket.SOL_SOCKET, overflow, 1)
        peer.sendto(b"x", nameOf(server))
        ancillary = sock.recvmsg(10, 100)[1]
        assert ancillary == [(socket.SOL_SOCKET, overflow, struct.pack("I", port.getDroppedCount()))]
        count = port.getDroppedCount()
        world.until(stopped(port))
        assert port.getDroppedCount() == count

    def test_aSystemThatDoesNotCount(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datagram, "_SO_MEMINFO", 9999)
        assert world.listen().transport.getDroppedCount() == 0

    def test_moreRoom(self, world: DatagramWorld) -> None:
        port = world.listen().transport
        before = port.getReceiveBufferSize()
        assert port.setReceiveBufferSize(2 * before) > before

    def test_pause(self, world: DatagramWorld) -> None:
        server = world.listen(received=lambda protocol, *_: protocol.transport.pauseProducing())
        peer, marker = world.socket(), world.listen()
        for number in range(3):
            peer.sendto(b"%d" % number, nameOf(server))
        peer.sendto(b"later", nameOf(marker))
        world.until(lambda: marker.received)
        assert server.received == [b"0"]
        for expected in (2, 3):
            server.transport.resumeProducing()
            server.transport.resumeProducing()
            world.until(lambda expected=expected: len(server.received) == expected)

    def test_pauseInStartProtocol(self, world: DatagramWorld) -> None:
        server = world.listen(start=lambda protocol: protocol.transport.pauseProducing())
        marker, peer = world.listen(), world.socket()
        for each in (server, marker):
            peer.sendto(b"x", nameOf(each))
        world.until(lambda: marker.received)
        assert server.received == []


class TestSending:
    @pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM])
    def test_whatCannotBeSentNowIsCounted(
        self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
    ) -> None:
        server, client, connected = world.listen(), world.listen(), world.listen()
        connected.transport.connect(*nameOf(server))

        def refuse(*_: Any) -> None:
            raise OSError(number, os.strerror(number))

        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "sendto", refuse)
            patch.setattr(socket.socket, "send", refuse)
            for _ in range(3):
                client.transport.write(b"x", nameOf(server))
                connected.transport.write(b"x")
        client.transport.write(b"y", nameOf(server))
        world.until(lambda: server.received)
        assert server.received == [b"y"]
        assert (client.transport.unsentCount, connected.transport.unsentCount) == (3, 3)
        assert len(warningsIn(caplog)) == 2
        assert "dropped unsent" in warningsIn(caplog)[0]

    def test_otherErrorsAreRaised(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(errno.ENETUNREACH, "no")

        client = world.listen()
        monkeypatch.setattr(socket.socket, "sendto", refuse)
        with pytest.raises(OSError, match="no"):
            client.transport.write(b"x", (LOOPBACK, 9))
        assert client.transport.unsentCount == 0

    def test_noAnswerToPort0(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        """A peer may send from port 0 (RFC 768), and must not be able to make an answer raise."""
        server = world.listen(received=lambda protocol, data, addr: protocol.transport.write(data, (addr[0], 0)))
        peer = world.socket()
        peer.sendto(b"x", nameOf(server))
        world.until(lambda: server.transport.unsentCount)
        assert errorsIn(caplog) == []

    def test_anAddressIsNeeded(self, world: DatagramWorld) -> None:
        client, server = world.listen(), world.listen()
        with pytest.raises(InvalidAddressError, match="not connected"):
            client.transport.write(b"x")
        client.transport.connect(*nameOf(server))
        with pytest.raises(InvalidAddressError, match="is connected"):
            client.transport.write(b"x", nameOf(client))

    def test_afterTheEndItIsDropped(self, world: DatagramWorld) -> None:
        client = world.listen()
        port, name = client.transport, nameOf(client)
        done = stopped(port)
        assert port.stopListening() is port._stopped
        world.until(done)
        port.write(b"x", name)
        port.pauseProducing()
        port.resumeProducing()
        assert port.getHost().port == name[1]
        with pytest.raises(RuntimeError, match="not listening"):
            port.getHandle()

    def test_betweenStopAndEndItIsSent(self, world: DatagramWorld) -> None:
        server, client = world.listen(), world.listen()
        done = stopped(client.transport)
        client.transport.write(b"last", nameOf(server))
        world.until(lambda: done() and server.received)

    def test_theFirstAfterARefusalIsSent(self, world: DatagramWorld) -> None:
        """The system tells of the refusal instead of sending; here it is sent all the same."""
        client, name = world.listen(), refusedName()
        client.transport.connect(*name)
        client.transport.write(b"nobody there")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(name)
            late.settimeout(DEADLINE)
            client.transport.write(b"somebody there")
            assert late.recv(100) == b"somebody there"
        assert client.trace == ["start", "refused"]

    def test_exceptionInConnectionRefused(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        """Told from write, or when reading: it is logged, and the port goes on."""
        error = Boom("x")
        client = world.listen(refused=raising(error))
        client.transport.connect(*refusedName())
        client.transport.write(b"1")
        client.transport.write(b"2")
        world.until(lambda: client.trace.count("refused") == 2)
        assert errorsIn(caplog) == [error, error]
        assert client.transport.connected


class TestReceiveErrors:
    def failing(self, errors: list[int]) -> Callable[..., Any]:
        real = socket.socket.recvfrom_into

        def receive(sock: socket.socket, *arguments: Any) -> Any:
            if errors:
                number = errors.pop(0)
                raise OSError(number, os.strerror(number))
            return real(sock, *arguments)

        return receive

    def test_oneErrorOfTheNetworkIsPassedOver(
        self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, peer = world.listen(), world.socket()
        peer.sendto(b"x", nameOf(server))
        monkeypatch.setattr(socket.socket, "recvfrom_into", self.failing([errno.EHOSTUNREACH]))
        world.reactor.iterate(0)
        assert server.received == [b"x"]
        assert len(warningsIn(caplog)) == 1

    def test_errorsThatDoNotEndMakeItRest(
        self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        server, peer = world.listen(), world.socket()
        peer.sendto(b"x", nameOf(server))
        errors = [errno.ENOMEM] * 5
        monkeypatch.setattr(socket.socket, "recvfrom_into", self.failing(errors))
        world.reactor.iterate(0)
        for _ in range(10):
            world.reactor.iterate(0)
        assert len(errors) == 3
        assert (server.received, server.transport.connected) == ([], True)
        (call,) = world.reactor.getDelayedCalls()
        assert 0 < call.getTime() - world.reactor.seconds() <= RECEIVE_REST
        server.transport.resumeProducing()  # does not cut the rest short
        world.reactor.iterate(0)
        assert len(errors) == 3
        world.until(lambda: server.received)
        assert errors == []
        assert len(warningsIn(caplog)) == 1

    def test_theEndDuringTheRest(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        server, peer = world.listen(), world.socket()
        peer.sendto(b"x", nameOf(server))
        monkeypatch.setattr(socket.socket, "recvfrom_into", self.failing([errno.ENOMEM] * 2))
        world.reactor.iterate(0)
        world.until(stopped(server.transport))
        assert world.reactor.getDelayedCalls() == []

    def test_wokenForNothing(self, world: DatagramWorld) -> None:
        server = world.listen()
        server.transport.doRead()
        assert server.trace == ["start"]

    def test_refusalsOnAPortThatIsNotConnectedAreNobodys(
        self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = world.listen()
        monkeypatch.setattr(socket.socket, "recvfrom_into", self.failing([errno.ECONNREFUSED]))
        server.transport.doRead()
        assert server.trace == ["start"]


class TestPort:
    def test_describesItself(self, world: DatagramWorld) -> None:
        four, six = world.listen(), world.listen("::1")
        assert four.transport.getHost() == IPv4Address("UDP", *nameOf(four))
        assert six.transport.getHost() == IPv6Address("UDP", *nameOf(six))
        assert repr(four.transport) == f"<UDPPort of Recorder on {four.transport.getHost()}>"
        assert four.transport.logPrefix() == "Recorder (UDP)"
        port = four.transport
        world.until(stopped(port))
        assert repr(port) == "<UDPPort of Recorder on (not listening)>"

    def test_theHostOfAConnectedPort(self, world: DatagramWorld) -> None:
        server, client = world.listen(), world.listen("")
        assert client.transport.getHost().host == "0.0.0.0"
        client.transport.connect(*nameOf(server))
        assert client.transport.getHost().host == LOOPBACK

    def test_startAgain(self, world: DatagramWorld) -> None:
        server, peer = world.listen(), world.socket()
        port = server.transport
        port.connect(*peer.getsockname())
        world.until(stopped(port))
        port.startListening()
        port.startListening()
        world.socket().sendto(b"x", nameOf(server))  # and it is no longer connected
        world.until(lambda: server.received)
        assert server.trace == ["start", ("stop", None), "start", ("received", b"x")]

    def test_theReactorsEnd(self, world: DatagramWorld) -> None:
        server = world.listen()
        port = server.transport
        done = stopped(port)
        world.reactor.disconnectAll()
        assert server.trace == ["start", ("stop", None)]
        assert done()
        assert port.fileno() == -1
        port.startListening()
        world.reactor.iterate(0)  # the stop from before is over
        assert port.connected

    def test_startProtocolRaises(self, world: DatagramWorld) -> None:
        error = Boom("x")
        protocol = world.protocol(start=raising(error))
        with pytest.raises(Boom):
            world.reactor.listenUDP(0, protocol, interface=LOOPBACK)
        assert protocol.transport is None
        assert world.reactor.getReaders() == []
        protocol.hooks.clear()
        world.reactor.listenUDP(0, protocol, interface=LOOPBACK)
        assert protocol.transport.connected  # type: ignore[attr-defined]

    def test_stopProtocolRaises(self, world: DatagramWorld, caplog: pytest.LogCaptureFixture) -> None:
        error = Boom("x")
        server = world.listen(stop=raising(error))
        world.until(stopped(server.transport))
        assert errorsIn(caplog) == [error]

    def test_aDescriptorClosedBehindItsBack(self, world: DatagramWorld) -> None:
        server = world.listen()
        port, host = server.transport, server.transport.getHost()
        world.reactor.removeReader(port)
        port.getHandle().close()
        assert port.getHost() == host
        world.until(stopped(port))
        assert server.trace == ["start", ("stop", None)]

    def test_neverListened(self, world: DatagramWorld) -> None:
        port = UDPPort(world.reactor, 7, DatagramProtocol())
        with pytest.raises(RuntimeError, match="never"):
            port.getHost()
        assert (port.stopListening(), port.fileno(), port.getDroppedCount()) == (None, -1, 0)
        port.connectionLost(None)  # type: ignore[arg-type]
        for number in (-1, 65536, "7"):
            with pytest.raises(ValueError, match="65535"):
                UDPPort(world.reactor, number, DatagramProtocol())  # type: ignore[arg-type]

    def test_noSocketToBeHad(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise OSError(errno.EMFILE, "no")

        protocol = world.protocol()
        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(CannotListenError, match="no"):
            world.reactor.listenUDP(0, protocol)
        monkeypatch.undo()

    def test_adoptedPortsListenOnce(self, world: DatagramWorld) -> None:
        protocol, sock = world.protocol(), world.socket()
        port = world.reactor.adoptDatagramPort(sock.fileno(), socket.AF_INET, protocol, 100)
        assert port.maxPacketSize == 100
        world.until(stopped(port))
        with pytest.raises(AlreadyListened):
            port.startListening()

    def test_onlyDatagramSocketsAreAdopted(self, world: DatagramWorld) -> None:
        with socket.socket() as stream, pytest.raises(UnsupportedSocketType):
            world.reactor.adoptDatagramPort(stream.fileno(), socket.AF_INET, world.protocol())
        with pytest.raises(UnsupportedAddressFamily):
            world.reactor.adoptDatagramPort(stream.fileno(), socket.AF_UNIX, world.protocol())


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: str(side.name))
def test_endedInStartProtocol(side: Any) -> None:
    """The protocol is stopped, once, and can be used again."""
    reactor, told = side.makeReactor(), list[str]()

    class Brief(DatagramProtocol):
        noisy = False

        def startProtocol(self) -> None:
            told.append("start")
            reactor.disconnectAll()

        def stopProtocol(self) -> None:
            told.append("stop")

    protocol = Brief()
    for _ in range(2):
        assert not reactor.listenUDP(0, protocol, interface=LOOPBACK).connected
        assert (protocol.transport, protocol.numPorts, reactor.getReaders()) == (None, 0, [])  # type: ignore[comparison-overlap]
    assert told == ["start", "stop"] * 2
    side.close(reactor)


class TestMulticast:
    def test_IPv6(self, world: DatagramWorld) -> None:
        def joined() -> bool:
            """Whether the kernel says so. (A loopback device has no route for groups, so none could be sent to.)"""
            lines = pathlib.Path("/proc/net/igmp6").read_text().splitlines()
            return any(line.split()[1:3] == ["lo", "ff010000000000000000000000004207"] for line in lines)

        found, index = list[Any](), socket.if_nametoindex("lo")
        port = world.reactor.listenMulticast(0, world.protocol(), interface="::")
        port.joinGroup(GROUP6, "lo").addBoth(found.append)
        assert joined()
        port.leaveGroup(GROUP6, str(index)).addBoth(found.append)
        assert not joined()
        for interface in ("lo", "", index):
            port.setOutgoingInterface(interface).addBoth(found.append)
            assert port.getOutgoingInterface() == (index if interface else 0)
        port.joinGroup(GROUP6, "nowhere0").addErrback(lambda failure: found.append(failure.check(MulticastJoinError)))
        assert found == [None, None, 1, 1, 1, MulticastJoinError]
        port.setTTL(9)
        assert port.getTTL() == 9
        assert port.getHandle().getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == 9

    def test_namesAreLookedUp(self, world: DatagramWorld) -> None:
        class Resolver:
            def getHostByName(self, name: str, timeout: Any = ()) -> Any:
                return world.side.defer.succeed({"group.example": GROUP, "here.example": LOOPBACK}[name])

        world.reactor.installResolver(Resolver())
        protocol, found = world.protocol(), list[Any]()
        port = world.reactor.listenMulticast(0, protocol)
        port.joinGroup("group.example", "here.example").addBoth(found.append)
        port.setOutgoingInterface("here.example").addBoth(found.append)
        world.until(lambda: len(found) == 2)
        assert sorted(found, key=str) == [1, None]
        port.write(b"x", (GROUP, port.getHost().port))
        world.until(lambda: protocol.received)

    @pytest.mark.parametrize("wrong", [-1, 256])
    def test_wrongTTL(self, world: DatagramWorld, wrong: int) -> None:
        port = world.reactor.listenMulticast(0, world.protocol())
        with pytest.raises(ValueError, match="255"):
            port.setTTL(wrong)

    def test_withoutReusePort(self, world: DatagramWorld, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(socket, "SO_REUSEPORT")
        port = world.reactor.listenMulticast(0, world.protocol(), listenMultiple=True)
        assert port.getHandle().getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


@pytest.mark.needs("nc", "socat")
class TestPrograms:
    @contextlib.contextmanager
    def talk(self, *command: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()

    @pytest.mark.parametrize("command", ["socat -T5 - UDP:HOST:PORT", "nc -u HOST PORT"])
    def test_asAServer(self, world: DatagramWorld, command: str) -> None:
        server = world.listen(received=lambda protocol, data, addr: protocol.transport.write(data.upper(), addr))
        host, port = nameOf(server)
        with self.talk(*command.replace("HOST", host).replace("PORT", str(port)).split()) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"hello\n")
            client.stdin.flush()
            world.until(lambda: server.received)
            assert client.stdout.readline() == b"HELLO\n"

    def test_asAClient(self, world: DatagramWorld) -> None:
        host, port = refusedName()
        client = world.listen(refused=lambda protocol: protocol.transport.write(b"hello"))
        with self.talk("socat", f"UDP-LISTEN:{port},bind={host}", "EXEC:cat"):
            client.transport.connect(host, port)
            client.transport.write(b"hello")
            world.until(lambda: client.received)
            assert set(client.received) == {b"hello"}
