"""Descriptors over UNIX sockets: sent, received, refused; nothing is left open, whatever happens."""

from __future__ import annotations

import array
import errno
import fcntl
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import twisted.internet.interfaces
from zope.interface import classImplements

from reactor import LineReceiver, Protocol, ProtocolWrapper, ServerFactory, WrappingFactory
from reactor.error import FileDescriptorOverrun, OutputLimitExceeded
from reactor.transports.descriptors import DESCRIPTOR_LIMIT
from tests.support.tlsworlds import serverOptions
from tests.support.worlds import LOOPS, TWISTED, Producer, UNIXWorld, runUntil


class Took:
    """fileDescriptorReceived for a recording protocol: what a descriptor's file holds stands in the trace."""

    trace: list[Any]
    hooks: Any
    transport: Any

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.trace.append(("descriptor", os.pread(descriptor, 99, 0)))
        self.inherited = not fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.close(descriptor)
        hook = self.hooks.get("descriptor")
        if hook is not None:
            hook(self)


class DescriptorWorld(UNIXWorld):
    """UNIX sockets whose clients take descriptors. `files` makes descriptors with contents of their own."""

    def __init__(self, side: Any) -> None:
        super().__init__(side)
        self._taking = type("Taking", (Took, self._halves), {})
        if side is TWISTED:
            classImplements(self._taking, twisted.internet.interfaces.IFileDescriptorReceiver)
            classImplements(self._plain, twisted.internet.interfaces.IProtocol)
        self.mine: list[int] = []

    def taking(self, hooks: Any = None) -> Any:
        factory = self.clientFactory(hooks)
        factory.protocolClass = type("Taking", (Took, self._plain), {})
        if self.side is TWISTED:
            classImplements(factory.protocolClass, twisted.internet.interfaces.IFileDescriptorReceiver)
        return factory

    def file(self, text: bytes) -> int:
        descriptor = os.memfd_create("tried")
        os.write(descriptor, text)
        self.mine.append(descriptor)
        return descriptor

    def join(self, made: Callable[[Any], None], hooks: Any = None, factory: Any = None) -> tuple[Any, Any]:
        """Connect a sender, whose connectionMade is `made`, and a client that takes descriptors."""
        servers, clients = self.serverFactory({"made": made}), factory or self.taking(hooks)
        self.connect(self.listen(servers), clients)
        self.until(lambda: servers.built and clients.built)
        return servers.only, clients.only

    def close(self) -> None:
        super().close()
        for descriptor in self.mine:
            os.close(descriptor)


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[DescriptorWorld]:
    before = opened()
    world = DescriptorWorld(request.param)
    yield world
    world.close()
    assert opened() <= before + 1, "a descriptor has been left open"  # a directory that is listed has one


def eachAndTwisted() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in (*LOOPS, TWISTED)])


@eachAndTwisted()
def test_asTwistedDoes(side: Any) -> None:
    """Descriptors in their order, each before the byte that it came with."""
    world = DescriptorWorld(side)

    def send(server: Any) -> None:
        for text in (b"one", b"two", b"three"):
            server.transport.sendFileDescriptor(world.file(text))
        server.transport.write(b"bytes")

    _, client = world.join(send)
    world.until(lambda: client.received == b"bytes")
    found = [event for event in client.trace if event != "data"]
    assert found == ["made", *[("descriptor", text) for text in (b"one", b"two", b"three")]]
    assert client.trace.index(("descriptor", b"one")) < client.trace.index("data")
    assert client.inherited is (side is TWISTED)  # ours has O_CLOEXEC
    world.close()


@eachAndTwisted()
def test_bytesOfBefore(side: Any) -> None:
    """A byte that was written before carries a descriptor, too."""
    world = DescriptorWorld(side)

    def send(server: Any) -> None:
        server.transport.write(b"x")
        server.transport.sendFileDescriptor(world.file(b"one"))

    _, client = world.join(send)
    world.until(lambda: client.received == b"x")
    assert client.trace[1] == ("descriptor", b"one")
    world.close()


@eachAndTwisted()
def test_moreDescriptorsThanBytes(side: Any) -> None:
    world = DescriptorWorld(side)
    server, client = world.join(lambda server: server.transport.sendFileDescriptor(world.file(b"alone")))
    world.until(lambda: server.lost is not None and client.lost is not None)
    assert server.lost.type.__name__ == "FileDescriptorOverrun"
    assert client.trace[1:] == [("lost", "ConnectionDone")]
    world.close()


@eachAndTwisted()
def test_nobodyTakesThem(side: Any) -> None:
    """A protocol without the method gets the bytes, and nothing of the descriptors is left."""
    world = DescriptorWorld(side)
    before = opened()

    def send(server: Any) -> None:
        for _ in range(20):
            server.transport.sendFileDescriptor(world.mine[0])
        server.transport.write(b"x" * 20)

    world.file(b"unwanted")
    _, client = world.join(send, factory=world.clientFactory())
    world.until(lambda: client.received == b"x" * 20)
    world.close()
    assert opened() <= before


def test_itMayBeClosedAtOnce(world: DescriptorWorld) -> None:
    """The duplicate is made in the call, and an end that is no descriptor is refused there."""

    def send(server: Any) -> None:
        reading, writing = os.pipe()
        server.transport.sendFileDescriptor(reading)
        os.close(reading)
        os.close(writing)
        with pytest.raises(OSError, match="Bad file") as info:
            server.transport.sendFileDescriptor(reading)
        assert info.value.errno == errno.EBADF
        server.transport.write(b"x")

    got: list[int] = []
    clients = world.taking()
    clients.protocolClass.fileDescriptorReceived = lambda self, descriptor: got.append(descriptor)
    _, client = world.join(send, factory=clients)
    world.until(lambda: client.received == b"x")
    assert os.read(got[0], 9) == b""  # the pipe's other end has been closed
    os.close(got[0])


def test_thoseOfAConnectionThatEnds(world: DescriptorWorld) -> None:
    """A descriptor that waits at the end is closed: its reader sees that nobody has the other end."""
    reading, writing = os.pipe()

    def send(server: Any) -> None:
        server.transport.write(b"x")
        server.transport.sendFileDescriptor(writing)
        server.transport.abortConnection()
        server.transport.sendFileDescriptor(writing)  # dropped, as a write would be

    server, _ = world.join(send)
    os.close(writing)
    world.until(lambda: server.lost is not None)
    assert os.read(reading, 9) == b""
    os.close(reading)


def test_whatACallbackLeavesOver(world: DescriptorWorld) -> None:
    """Several come at once; the first closes the connection, or raises: the rest is closed here."""
    for hook, end in ((lambda client: client.transport.loseConnection(), "ConnectionDone"), (_raise, "LookupError")):
        receiving, sending = socket.socketpair()
        reading, writing = os.pipe()
        rights = array.array("i", [world.file(b"first"), writing])
        sending.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(writing)
        factory = world.taking({"descriptor": hook})
        world.reactor.adoptStreamConnection(receiving.fileno(), socket.AF_UNIX, factory)
        receiving.close()
        world.until(lambda factory=factory: factory.only.lost is not None)
        assert factory.only.trace == ["made", ("descriptor", b"first"), ("lost", end)]
        assert os.read(reading, 9) == b""
        os.close(reading)
        sending.close()


def _raise(client: Any) -> None:
    raise LookupError("a descriptor of no use")


def test_theLimit(world: DescriptorWorld) -> None:
    """A peer that takes nothing costs DESCRIPTOR_LIMIT duplicates; at the next the connection is reset, and counted."""
    servers = world.serverFactory()
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(os.fsdecode(world.listen(servers).getHost().name))
    world.until(lambda: servers.built)
    server, producer, descriptor = servers.only, Producer(), world.file(b"much")
    server.transport.registerProducer(producer, True)
    server.transport.write(b"x" * 8_000_000)
    world.until(lambda: world.reactor.getWriters())
    before = opened()
    for _ in range(DESCRIPTOR_LIMIT):
        server.transport.sendFileDescriptor(descriptor)
    assert opened() == before + DESCRIPTOR_LIMIT
    assert server.lost is None
    assert producer.trace == ["pause"]
    server.transport.sendFileDescriptor(descriptor)
    assert world.reactor.overflowCount == 1
    world.until(lambda: server.lost is not None)
    assert server.lost.check(OutputLimitExceeded)  # type: ignore[attr-defined]
    assert opened() <= before - 1
    peer.close()


def test_aProducerIsPausedAndResumed(world: DescriptorWorld) -> None:
    producer = Producer()

    def send(server: Any) -> None:
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x" * DESCRIPTOR_LIMIT)
        for _ in range(DESCRIPTOR_LIMIT // 2 + 1):
            server.transport.sendFileDescriptor(world.mine[0])

    world.file(b"one")
    _, client = world.join(send)
    world.until(lambda: len(client.received) == DESCRIPTOR_LIMIT and producer.trace == ["pause", "resume"])
    assert len([event for event in client.trace if event[0] == "descriptor"]) == DESCRIPTOR_LIMIT // 2 + 1


def test_noNumberLeft(world: DescriptorWorld) -> None:
    """A descriptor that cannot be received ends the connection: the next one would be taken for it."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)

    def allow(*_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    def send() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        sending.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))])

    receiving, sending = socket.socketpair()
    factory, descriptor = world.taking({"lost": allow}), world.file(b"one")
    world.reactor.adoptStreamConnection(receiving.fileno(), socket.AF_UNIX, factory)
    receiving.close()
    world.reactor.callLater(0, send)
    try:
        runUntil(world.reactor, lambda: factory.only.lost is not None)
    finally:
        allow()
    assert factory.only.trace == ["made", ("lost", "ConnectionLost")]
    sending.close()


def test_tls(world: DescriptorWorld) -> None:
    """Under TLS there are none: sending one is an error, and the kernel closes one that comes."""
    servers = world.serverFactory()
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(os.fsdecode(world.listen(servers).getHost().name))
    world.until(lambda: servers.built)
    transport = servers.only.transport
    transport.startTLS(serverOptions())
    with pytest.raises(RuntimeError, match="under TLS"):
        transport.sendFileDescriptor(0)
    transport.abortConnection()
    peer.close()


def test_startTLSForADescriptor(world: DescriptorWorld) -> None:
    """The byte that came with it is plain, and is not delivered as if it were protected."""
    receiving, sending = socket.socketpair()
    factory = world.taking({"descriptor": lambda client: client.transport.startTLS(serverOptions())})
    world.reactor.adoptStreamConnection(receiving.fileno(), socket.AF_UNIX, factory)
    receiving.close()
    sending.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [world.file(b"one")]))])
    world.until(lambda: factory.only.lost is not None)
    assert factory.only.trace == ["made", ("descriptor", b"one"), ("lost", "SSLError")]
    sending.close()


def test_wrappersAndLines(world: DescriptorWorld) -> None:
    """A wrapper passes descriptors on, and a LineReceiver may take them beside its lines."""
    trace: list[Any] = []

    class Lines(LineReceiver):
        def fileDescriptorReceived(self, descriptor: int) -> None:
            trace.append(os.pread(descriptor, 9, 0))
            os.close(descriptor)

        def lineReceived(self, line: bytes) -> None:
            trace.append(line)

    class Unwilling(Protocol):
        pass

    for protocol in (Lines, Unwilling):
        factory: Any = WrappingFactory(ServerFactory.forProtocol(protocol))
        assert factory.protocol is ProtocolWrapper
        sending = socket.socket(socket.AF_UNIX)
        sending.connect(os.fsdecode(world.reactor.listenUNIX(world.path(), factory).getHost().name))
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [world.file(b"one")]))]
        sending.sendmsg([b"with it\r\n"], rights)
        sending.close()
        world.until(lambda factory=factory: not factory.protocols and trace)
    world.until(lambda: len(trace) == 2)
    assert trace == [b"one", b"with it"]


def test_anotherProtocolInPlace(world: DescriptorWorld) -> None:
    """The transport asks the protocol of the moment."""
    receiving, sending = socket.socketpair()
    first, second = world.clientFactory(), world.taking()
    transport = world.reactor.adoptStreamConnection(receiving.fileno(), socket.AF_UNIX, first)
    receiving.close()
    transport.protocol = second.buildProtocol(None)
    sending.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [world.file(b"one")]))])
    world.until(lambda: second.only.received)
    assert second.only.trace == [("descriptor", b"one"), "data"]
    sending.close()
    world.until(lambda: second.only.lost is not None)


@pytest.mark.parametrize("takes", [False, True])
def test_aResetIsTold(world: DescriptorWorld, takes: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error of the stream is a record, whether the protocol takes descriptors or not."""
    caplog.set_level(logging.INFO)
    receiving, sending = socket.socketpair()
    factory = world.taking() if takes else world.clientFactory()
    transport = world.reactor.adoptStreamConnection(receiving.fileno(), socket.AF_UNIX, factory)
    receiving.close()
    transport.writeNow(b"never read")
    sending.close()  # with something unread, which resets the other end
    world.until(lambda: factory.only.lost is not None)
    assert factory.only.trace == ["made", ("lost", "ConnectionLost")]
    assert "reset by peer" in caplog.text


def test_theErrorIsTwisteds() -> None:
    assert FileDescriptorOverrun.__mro__[1].__name__ == "ConnectionLost"
