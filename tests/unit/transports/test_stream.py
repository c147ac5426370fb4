"""Connection over TCP with plain sockets at the other end: how peers end, what the system refuses, storms."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import random
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.protocol import ClientFactory, Protocol
from reactor.transports import stream
from reactor.transports.output import ENDED
from reactor.transports.stream import READ_SIZE
from tests.conftest import openFiles
from tests.contract.transport import METHODS, callEverything
from tests.support.worlds import LOOPBACK, LOOPS, Producer, UNIXWorld, World, dial, readAll, refusedPort, reset


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@contextlib.contextmanager
def server(world: World, hooks: Any = None, halves: bool = False) -> Iterator[tuple[Any, socket.socket]]:
    """A server's protocol, and the plain socket that is connected to it."""
    factory = world.serverFactory(hooks, halves)
    port = world.listen(factory)
    with dial(port) as peer:
        world.until(lambda: factory.built)
        yield factory.only, peer


def lost(protocol: Any) -> Any:
    return lambda: protocol.lost


class TestEndings:
    def test_theLastWordIsReadAlthoughWeHaveNotRead(self, world: World) -> None:
        """A refusal that is sent while the peer still sends: closing does not reset what the peer has yet to read."""

        def refuse(protocol: Any, data: bytes) -> None:
            protocol.transport.write(b"too much")
            protocol.transport.loseConnection()

        with server(world, {"data": refuse}) as (protocol, peer):
            peer.sendall(b"x" * 500_000)
            world.until(lost(protocol))
            assert readAll(peer) == b"too much"
        assert protocol.trace == ["made", "data", ("lost", "ConnectionDone")]

    def test_peerCloses(self, world: World) -> None:
        with server(world) as (protocol, peer):
            peer.sendall(b"last words")
            peer.close()
            world.until(lost(protocol))
        assert protocol.trace == ["made", "data", ("lost", "ConnectionDone")]
        assert protocol.received == b"last words"

    def test_peerResets(self, world: World) -> None:
        with server(world) as (protocol, peer):
            reset(peer)
            world.until(lost(protocol))
        assert protocol.trace == ["made", ("lost", "ConnectionLost")]
        assert "reset" in str(protocol.lost.value)

    def test_peerResetsWhileWeSend(self, world: World) -> None:
        with server(world) as (protocol, peer):
            protocol.transport.pauseProducing()
            protocol.transport.write(b"x" * 10_000_000)
            world.reactor.iterate(0)
            reset(peer)
            world.until(lost(protocol))
        assert protocol.trace == ["made", ("lost", "ConnectionLost")]

    def test_aResetIsSeenByOurAbort(self, world: World) -> None:
        with server(world) as (protocol, peer):
            protocol.transport.abortConnection()
            world.until(lost(protocol))
            with pytest.raises(ConnectionResetError):
                peer.recv(1)
        assert type(protocol.lost.value) is ConnectionAborted

    def test_anAbortOfASocketThatHasNoReset(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        with server(world) as (protocol, peer):
            os.close(protocol.transport.fileno())
            protocol.transport.abortConnection()
            world.until(lost(protocol))
        assert type(protocol.lost.value) is ConnectionAborted
        assert peer.fileno() == -1

    def test_halfAPeer(self, world: World) -> None:
        """A protocol that knows of halves can still answer; for another it is the end."""
        for halves in (True, False):
            with server(world, halves=halves) as (protocol, peer):
                peer.sendall(b"question")
                peer.shutdown(socket.SHUT_WR)
                if halves:
                    world.until(lambda protocol=protocol: "readLost" in protocol.trace)
                    protocol.transport.resumeProducing()  # there is nothing more to read
                    world.reactor.iterate(0)
                    protocol.transport.write(b"answer")
                    protocol.transport.loseConnection()
                world.until(lost(protocol))
                assert readAll(peer) == b"answer" * halves
                assert protocol.trace == ["made", "data", *["readLost"] * halves, ("lost", "ConnectionDone")]

    def test_shutdownOfAPeerThatHasReset(self, world: World) -> None:
        with server(world, halves=True) as (protocol, peer):
            protocol.transport.pauseProducing()
            reset(peer)
            protocol.transport.loseWriteConnection()
            world.until(lost(protocol))
        assert protocol.trace == ["made", ("lost", "ConnectionLost")]

    def test_connectionLostOnce(self, world: World) -> None:
        with server(world) as (protocol, _):
            for _ in range(3):
                protocol.transport.connectionLost(Failure(ConnectionDone()))
            protocol.transport.failConnection(Failure(ConnectionLost()))
        assert protocol.trace == ["made", ("lost", "ConnectionDone")]
        assert protocol.transport.fileno() == -1
        protocol.transport.startReading()
        protocol.transport.stopReading()
        assert protocol.transport not in world.reactor.getReaders()
        assert protocol.transport.protocol is None
        assert protocol.transport.logPrefix() == "NoneType"

    def test_everythingSentBeforeTheEnd(self, world: World) -> None:
        """A slow reader with a small window gets all of it, whatever the size, and then the end of the stream."""
        factory = world.serverFactory()
        port = world.listen(factory)
        data = os.urandom(1 << 20) * 5
        with dial(port, receiveBuffer=4096) as peer:
            world.until(lambda: factory.built)
            factory.only.transport.write(data)
            factory.only.transport.loseConnection()
            peer.setblocking(False)
            got = bytearray()
            while True:
                world.reactor.iterate(0)
                with contextlib.suppress(BlockingIOError):
                    chunk = peer.recv(100_000)
                    if not chunk:
                        break
                    got += chunk
            assert got == data
        world.until(lost(factory.only))


class TestHandle:
    """A port keeps to the bare socket of the interpreter, which becomes a socket.socket when somebody asks for it."""

    def test_itIsTheSocketItself(self, world: World) -> None:
        with server(world) as (protocol, peer):
            transport = protocol.transport
            number = transport.fileno()
            handle = transport.getHandle()
            assert type(handle) is socket.socket
            assert handle is transport.getHandle() is transport.socket
            assert (handle.fileno(), handle.gettimeout()) == (number, 0.0)
            assert handle.getpeername() == peer.getsockname()
            assert (handle.family, handle.type) == (peer.family, socket.SOCK_STREAM)
            peer.sendall(b"x")
            world.until(lambda: protocol.received)
            transport.write(b"answer")
            world.reactor.iterate(0)
            assert peer.recv(100) == b"answer"
            transport.loseConnection()
            world.until(lost(protocol))
            assert handle.fileno() == -1

    def test_afterTheEnd(self, world: World) -> None:
        with server(world) as (protocol, peer):
            peer.close()
            world.until(lost(protocol))
            handle = protocol.transport.getHandle()
            assert type(handle) is socket.socket
            assert handle is protocol.transport.getHandle()
            assert handle.fileno() == -1
            with pytest.raises(OSError, match="Bad file descriptor"):
                handle.getpeername()

    def test_askedForWhileItEnds(self, world: World) -> None:
        """Its number is in use until the batch is over, and then no longer."""
        handles: list[socket.socket] = []

        def keep(protocol: Any, *_: object) -> None:
            handles.append(protocol.transport.getHandle())
            assert os.fstat(handles[0].fileno())

        factory = world.serverFactory({"lost": keep})
        port = world.listen(factory)
        dial(port).close()
        world.until(lambda: factory.built and factory.only.lost)
        (handle,) = handles
        assert handle.fileno() == -1

    def test_whereNoSocketCanBeMade(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        with server(world) as (protocol, _):
            monkeypatch.setattr(stream, "Socket", refuse)
            handle = protocol.transport.getHandle()
            assert handle.fileno() == protocol.transport.fileno()
            monkeypatch.undo()
            assert type(protocol.transport.getHandle()) is socket.socket


class TestSystem:
    @pytest.mark.parametrize("error", [BlockingIOError, InterruptedError])
    def test_recvHasNothing(self, world: World, error: type[OSError]) -> None:
        with server(world) as (protocol, _):
            protocol.transport.socket = Failing(protocol.transport.socket, recv=error())
            protocol.transport.doRead()
            assert protocol.lost is None
            protocol.transport.socket = protocol.transport.socket.real

    @pytest.mark.parametrize("number", [errno.ECONNRESET, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EBADF])
    @pytest.mark.parametrize("method", ["recv", "send"])
    def test_errors(self, world: World, number: int, method: str) -> None:
        with server(world) as (protocol, peer):
            protocol.transport.socket = Failing(
                protocol.transport.socket, **{method: OSError(number, os.strerror(number))}
            )
            protocol.transport.write(b"x" * (method == "send"))
            peer.sendall(b"x")
            world.until(lost(protocol))
        assert type(protocol.lost.value) is ConnectionLost
        assert os.strerror(number) in str(protocol.lost.value)

    @pytest.mark.parametrize("error", [BlockingIOError, InterruptedError])
    def test_sendTakesNothing(self, world: World, error: type[OSError]) -> None:
        with server(world) as (protocol, peer):
            real = protocol.transport.socket
            protocol.transport.socket = Failing(real, send=error())
            protocol.transport.write(b"later")
            world.reactor.iterate(0)
            assert protocol.transport in world.reactor.getWriters()
            protocol.transport.socket = real
            world.until(lambda: protocol.transport not in world.reactor.getWriters())
            assert peer.recv(10) == b"later"

    @pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM])
    @pytest.mark.parametrize("side", LOOPS, ids=[each.name for each in LOOPS])
    def test_sendHasNoMemory(self, side: Any, number: int) -> None:
        """It is tried again, and polling, which would call the socket writable all the time, is not asked meanwhile."""
        with contextlib.closing(World(side)) as world, server(world) as (protocol, peer):
            transport, real = protocol.transport, protocol.transport.socket
            failing = transport.socket = Failing(real, send=OSError(number, os.strerror(number)))
            transport.write(b"first, ")
            world.until(lambda: failing.asked >= 3)
            assert transport not in world.reactor.getWriters()
            assert len(restsOf(world)) == 1
            peer.sendall(b"x")
            world.until(lambda: protocol.received)
            transport.write(b"second")
            transport.socket = real
            world.until(lambda: not transport.unsent)
            assert (peer.recv(100), protocol.lost) == (b"first, second", None)
            world.until(lambda: not restsOf(world))

    def test_noMemoryBehindAFullBuffer(self, world: World) -> None:
        data = random.Random(1).randbytes(10_000_000)
        with server(world) as (protocol, peer):
            transport, real = protocol.transport, protocol.transport.socket
            producer = Producer()
            transport.registerProducer(producer, True)
            transport.write(data)
            world.until(lambda: transport in world.reactor.getWriters())
            failing = transport.socket = Failing(real, send=OSError(errno.ENOBUFS, "no"))
            got = bytearray()
            while not failing.asked:
                got += peer.recv(100_000)
                world.reactor.iterate(0)
            assert transport not in world.reactor.getWriters()
            transport.socket = real
            peer.setblocking(False)

            def read() -> bool:
                with contextlib.suppress(BlockingIOError):
                    got.extend(peer.recv(1_000_000))
                return len(got) == len(data)

            world.until(read)
            assert got == data
            world.until(lambda: producer.trace == producer.trace[:1] + ["resume"] * len(producer.trace[:1]))

    def test_aProducerThatRaisesAfterwards(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> None:
            raise ValueError("no more")

        with server(world) as (protocol, _):
            transport, real = protocol.transport, protocol.transport.socket
            transport.registerProducer(Producer(), True)
            failing = transport.socket = Failing(real, send=OSError(errno.ENOBUFS, "no"))
            transport.write(b"x" * (transport.highWater + 1))
            world.until(lambda: failing.asked)
            transport.producer.hooks["resume"] = fail
            transport.socket = real
            world.until(lost(protocol))
        assert type(protocol.lost.value) is ValueError
        assert len(caplog.records) == 1

    @pytest.mark.parametrize("how", ["abortConnection", "loseConnection", "peer"])
    def test_theEndWithoutMemory(self, world: World, how: str) -> None:
        with server(world) as (protocol, peer):
            transport, real = protocol.transport, protocol.transport.socket
            failing = transport.socket = Failing(real, send=OSError(errno.ENOBUFS, "no"))
            transport.write(b"last words")
            world.until(lambda: failing.asked)
            if how == "peer":
                peer.close()
            else:
                getattr(transport, how)()
                world.reactor.iterate(0)
                transport.socket = real
            world.until(lost(protocol))
            assert restsOf(world) == []
            if how == "loseConnection":
                assert readAll(peer) == b"last words"

    def test_oneReadAnEvent(self, world: World) -> None:
        sizes: list[int] = []
        with server(world, {"data": lambda _, data: sizes.append(len(data))}) as (protocol, peer):
            protocol.transport.pauseProducing()
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer.send(b"x" * 100_000)
            protocol.transport.resumeProducing()
            world.reactor.iterate(0)
            assert sizes == [READ_SIZE]


def restsOf(world: World) -> list[Any]:
    return [call for call in world.reactor.getDelayedCalls() if call.func.__name__ == "_endRest"]


class Failing:
    """A socket one of whose methods fails, and which counts the attempts."""

    asked = 0

    def __init__(self, real: socket.socket, **errors: OSError) -> None:
        self.real, self.errors = real, errors

    def __getattr__(self, name: str) -> Any:
        if name in self.errors:

            def fail(*_: object) -> None:
                self.asked += 1
                raise self.errors[name]

            return fail
        return getattr(self.real, name)


class TestTalk:
    def test_aPipelinedClientIsAnsweredWithOneSend(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def answer(protocol: Any, data: bytes) -> None:
            for _ in data.splitlines():
                protocol.transport.write(b"+PONG\r\n")

        with server(world, {"data": answer}) as (protocol, peer):
            sends: list[int] = []
            real = protocol.transport._send
            monkeypatch.setattr(
                type(protocol.transport),
                "_send",
                lambda _, data: sends.append(len(data)) or real(data),  # type: ignore[func-returns-value]
            )
            peer.sendall(b"PING\r\n" * 100)
            world.until(lambda: sends)
            assert sends == [700]
            assert len(peer.recv(1000)) == 700

    def test_anAnswerIsSentInItsOwnEvent(self, world: World) -> None:
        """One turn of the loop, from the question to the answer on the wire."""
        with server(world, {"data": lambda protocol, data: protocol.transport.write(data)}) as (_, peer):
            peer.sendall(b"?")
            world.reactor.iterate(1)
            peer.setblocking(False)
            assert peer.recv(10) == b"?"
            assert world.reactor.getWriters() == []

    def test_logPrefix(self, world: World) -> None:
        with server(world) as (protocol, _):
            assert protocol.transport.logPrefix() == "Plain"
            assert "Plain" in repr(protocol.transport)
            protocol.transport.protocol = object()
            assert protocol.transport.logPrefix() == "object"
            protocol.transport.protocol = protocol


class TestLongDeliveries:
    """A protocol that takes long for a full read gets less at a time, so the others wait less."""

    def sizes(
        self, world: World, monkeypatch: pytest.MonkeyPatch, costs: Any, limit: int = 8192, hook: Any = None
    ) -> list[int]:
        """Return the sizes of the reads of 64 KiB. The protocol takes `costs(n)` seconds for the byte number n."""
        now = [0.0]
        got: list[int] = []

        def take(protocol: Any, data: bytes) -> None:
            got.append(len(data))
            now[0] += len(data) * costs(sum(got))
            if hook is not None:
                hook(protocol)

        monkeypatch.setattr(stream, "monotonicTime", lambda reactor: now[0])
        factory = world.serverFactory({"made": lambda made: setattr(made.transport, "bufferSize", limit), "data": take})
        client = world.clientFactory()
        world.connect(world.listen(factory), client)
        world.until(lambda: client.built and factory.built)
        client.only.transport.write(b"x" * 65536)
        world.until(lambda: sum(got) == 65536)
        assert factory.only.transport.bufferSize == limit or hook is not None
        return got

    @pytest.mark.parametrize("make", [World, UNIXWorld])
    def test_readsAreSmaller(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """The next read takes about TURN. When the protocol is quick again, reads grow to what they were."""
        world = make()
        got = self.sizes(world, monkeypatch, lambda at: 1e-5 if at < 16384 else 1e-8)
        world.close()
        assert got[0] == 8192
        assert got[1] == pytest.approx(stream.TURN / 1e-5, abs=1)
        assert max(got[1:]) == 8192

    def test_quickOnesStay(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        got = self.sizes(world, monkeypatch, lambda at: 1e-7)
        assert got[:4] == [8192] * 4

    def test_theyHaveAnEnd(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """However long it takes, a read has room for LEAST_READ bytes, or for those that the program has set."""
        assert set(self.sizes(world, monkeypatch, lambda at: 1.0)[1:-1]) == {stream.LEAST_READ}
        assert set(self.sizes(world, monkeypatch, lambda at: 1.0, limit=100)[:-1]) == {100}

    def test_theProgramsOwnSizeStands(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A size that the protocol sets while it gets data is not changed by how long that took."""

        def choose(protocol: Any) -> None:
            protocol.transport.bufferSize = 4096

        got = self.sizes(world, monkeypatch, lambda at: 1.0 if at <= 8192 else 1e-9, hook=choose)
        assert got[:4] == [8192, 4096, 4096, 4096]


class TestLarge:
    """writeLarge: nothing is copied, and the order and the marks are those of write."""

    PIECE = bytes(range(256)) * 256

    def test_twoPiecesGoTogether(self, world: World) -> None:
        with server(world) as (protocol, peer):
            transport = protocol.transport
            transport.write(b"head ")
            transport.writeLarge(self.PIECE)
            assert (transport.unsent, readOf(peer, 5 + len(self.PIECE))) == (0, b"head " + self.PIECE)
            transport.writeLarge(self.PIECE)
            assert transport.unsent == len(self.PIECE)
            assert transport._front() is self.PIECE
            transport.writeLarge(memoryview(self.PIECE)[10:])
            assert transport.unsent == 0
            transport.write(b" end")
            world.reactor.iterate(0)
            assert readOf(peer, 2 * len(self.PIECE) - 6) == self.PIECE + self.PIECE[10:] + b" end"

    def test_oneAloneIsSentWithTheTurn(self, world: World) -> None:
        with server(world) as (protocol, peer):
            protocol.transport.writeLarge(self.PIECE)
            world.reactor.iterate(0)
            assert readOf(peer, len(self.PIECE)) == self.PIECE
            protocol.transport.writeLarge(self.PIECE + b"x")  # above the high-water mark: it does not wait
            assert protocol.transport.unsent == 0
            assert readOf(peer, len(self.PIECE) + 1) == self.PIECE + b"x"

    @pytest.mark.parametrize("head", [b"", b"head", b"h" * 30_000])
    @pytest.mark.parametrize("room", [0, 1, 4, 5, 29_999, 30_000, 30_001, 66_000, 130_000])
    def test_thePeerTakesAPart(self, world: World, head: bytes, room: int) -> None:
        """All arrives in order, however much the peer takes at first, and the producer waits for the rest."""
        with server(world) as (protocol, peer):
            transport, producer = protocol.transport, Producer()
            transport.registerProducer(producer, True)
            real, transport._sock = transport._sock, Narrow(transport._sock, room)
            large = self.PIECE * 2
            transport.write(head)
            transport.writeLarge(large)
            rest = len(head) + len(large) - room
            assert (transport.unsent, producer.trace) == (rest, ["pause"] if rest > 65536 else [])
            transport.writeLarge(b"last" * 10_000)
            assert (transport.unsent, producer.trace) == (rest + 40_000, ["pause"] if rest + 40_000 > 65536 else [])
            transport._sock = real
            received = bytearray()
            world.until(lambda: received.extend(available(peer)) or not transport.unsent)  # type: ignore[func-returns-value]
            received += readOf(peer, len(head) + len(large) + 40_000 - len(received))
            assert received == head + large + b"last" * 10_000
            world.until(lambda: producer.trace == producer.trace[:1] + ["resume"] * len(producer.trace[:1]))

    def test_aProducerThatIsPausedIsResumed(self, world: World) -> None:
        """The loop sends output above the mark, and resumes the producer."""
        with server(world) as (protocol, peer):
            transport, producer = protocol.transport, Producer()
            transport.registerProducer(producer, True)
            transport.write(b"x" * 70_000)
            transport.writeLarge(self.PIECE)
            assert (transport.unsent, producer.trace) == (70_000 + len(self.PIECE), ["pause"])
            received = bytearray()
            world.until(lambda: received.extend(available(peer)) or producer.trace[1:])  # type: ignore[func-returns-value]
            assert producer.trace == ["pause", "resume"]
            received += readOf(peer, 70_000 + len(self.PIECE) - len(received))
            assert received == b"x" * 70_000 + self.PIECE

    def test_aBrokenSocketEndsLater(self, world: World) -> None:
        with server(world) as (protocol, _):
            transport = protocol.transport
            transport._sock = Failing(
                transport._sock, sendmsg=OSError(errno.EPIPE, "no"), send=OSError(errno.EPIPE, "no")
            )
            transport.writeLarge(self.PIECE * 2)
            assert "lost" not in str(protocol.trace)
            world.until(lost(protocol))
            assert type(protocol.lost.value) is ConnectionLost

    def test_afterTheEndItIsDropped(self, world: World) -> None:
        with server(world) as (protocol, peer):
            protocol.transport.write(b"last")
            protocol.transport.loseWriteConnection()
            world.until(lambda: protocol.transport._writeHalf == ENDED)
            protocol.transport.writeLarge(self.PIECE * 2)
            assert protocol.transport.unsent == 0
            assert readAll(peer) == b"last"


class Narrow:
    """A socket that takes `room` bytes in all."""

    def __init__(self, real: socket.socket, room: int) -> None:
        self.real, self.room = real, room

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def sendmsg(self, pieces: tuple[bytes, ...]) -> int:
        return self.send(b"".join(pieces))

    def send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError(errno.EAGAIN, "full")
        sent = self.real.send(data[: self.room])
        self.room -= sent
        return sent


def readOf(peer: socket.socket, size: int) -> bytes:
    """The next `size` bytes, which have been sent."""
    peer.settimeout(30)
    received = b""
    while len(received) < size:
        piece = peer.recv(size - len(received))
        assert piece, f"the connection ended after {len(received)} bytes of {size}"
        received += piece
    return received


def available(peer: socket.socket) -> bytes:
    """The bytes that have come, without waiting."""
    peer.setblocking(False)
    try:
        return peer.recv(1 << 20)
    except BlockingIOError:
        return b""


class TestStorms:
    def test_resetsAtEveryMoment(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Before the accept, after it, in mid line, with a full buffer: nothing escapes, nothing is left."""

        def act(protocol: Any, data: bytes) -> None:
            if data.startswith(b"flood"):
                protocol.transport.write(b"x" * 1_000_000)

        factory = world.serverFactory({"data": act})
        port = world.listen(factory)
        files = len(openFiles())
        rng = random.Random(7)
        for number in range(400):
            peer = dial(port)
            kind = number % 4
            if kind:
                world.until(lambda number=number: len(factory.built) == number + 1)
            if kind == 2:
                peer.sendall(b"half a li")
            elif kind == 3:
                peer.sendall(b"flood\n")
                world.reactor.iterate(0)
            if rng.random() < 0.8:
                reset(peer)
            else:
                peer.close()
            world.until(lambda number=number: len(factory.built) == number + 1)
        world.until(lambda: all(protocol.lost for protocol in factory.built))
        assert all(protocol.trace[-1][0] == "lost" for protocol in factory.built)
        assert {type(protocol.lost.value) for protocol in factory.built} <= {ConnectionDone, ConnectionLost}
        assert caplog.records == []
        assert world.reactor.getReaders() == [port]
        assert world.reactor.getWriters() == []
        assert len(world.reactor._open) == 1
        assert len(openFiles()) == files

    def test_nothingIsLeftForTheCollector(self, world: World) -> None:
        """Connections, attempts, connectors and ports are freed when they are over, without the garbage collector."""
        port = world.listen(world.serverFactory())
        port.factory.buildProtocol = lambda addr: Protocol()
        refs: list[Any] = []

        class Client(Protocol):
            def connectionMade(self) -> None:
                refs.append(weakref.ref(self.transport))
                (self.transport.loseConnection if len(refs) % 2 else self.transport.abortConnection)()

        gc.collect()
        gc.disable()
        try:
            for number in range(20):
                factory: Any = ClientFactory.forProtocol(Client)
                factory.noisy = False
                where = port.getHost().port if number % 3 else refusedPort()
                refs.append(weakref.ref(world.reactor.connectTCP(LOOPBACK, where, factory)))
                refs.append(weakref.ref(factory))
                del factory
            other = world.listen(world.serverFactory())
            refs.append(weakref.ref(other))
            other.stopListening()
            del other
            world.until(lambda: not [ref for ref in refs if ref() is not None])
        finally:
            gc.enable()
        assert len(refs) == 41 + 13
        world.until(lambda: len(world.reactor._open) == 1)

    def test_tokensDoNotCross(self, world: World) -> None:
        """Clients with secrets come and go in every way while numbers of descriptors are re-used at once."""
        rng = random.Random(11)

        def answer(protocol: Any, data: bytes) -> None:
            if not hasattr(protocol, "token"):
                protocol.token, data = data[:16], data[16:]
            if data:
                protocol.transport.write(hashlib.sha256(protocol.token + data).digest())
            fate = rng.random()
            if fate < 0.1:
                protocol.transport.abortConnection()
            elif fate < 0.2:
                protocol.transport.loseConnection()
            elif fate < 0.3 and factory.built:
                rng.choice(factory.built).transport.abortConnection()

        factory = world.serverFactory({"data": answer})
        port = world.listen(factory)
        peers: list[tuple[socket.socket, bytes, list[bytes]]] = []
        answered = 0
        for number in range(1500):
            if len(peers) < 30:
                peer, token = dial(port), rng.randbytes(16)
                peer.setblocking(False)
                peer.send(token)
                peers.append((peer, token, []))
            world.reactor.iterate(0)
            index = rng.randrange(len(peers))
            peer, token, owed = peers[index]
            try:
                if not owed:
                    owed.append(b"%d" % number)
                    peer.send(owed[0])
                else:
                    reply = peer.recv(64)
                    if reply:
                        assert reply == hashlib.sha256(token + owed.pop()).digest()
                        answered += 1
                    else:
                        raise ConnectionResetError
            except BlockingIOError:
                pass
            except OSError:
                peer.close()
                del peers[index]
                with contextlib.ExitStack() as others:
                    for _ in range(rng.randrange(3)):
                        others.enter_context(socket.socket())
            else:
                if rng.random() < 0.02:
                    reset(peer)
                    del peers[index]
            factory.built[:] = factory.built[-30:]
        assert answered > 200
        for peer, _, _ in peers:
            peer.close()

    def test_randomWalks(self, world: World) -> None:
        """Any method in any state, from any callback: connectionLost comes once, last, and nothing escapes."""
        for seed in range(150):
            rng = random.Random(seed)

            def anything(protocol: Any, *_: object, rng: random.Random = rng) -> None:
                for name in rng.choices(METHODS[:-4] if rng.random() < 0.7 else METHODS, k=rng.randrange(4)):
                    callEverything(protocol.transport, (name,))

            hooks: Any = dict.fromkeys(("made", "data", "readLost", "writeLost", "lost"), anything)
            ends = world.pair(hooks, hooks, rng.random() < 0.5, rng.random() < 0.5)
            for _ in range(15):
                end = rng.choice(ends)
                anything(end)
                world.reactor.iterate(0)
            for end in ends:
                end.hooks = {}
                end.transport.abortConnection()
            world.until(lambda ends=ends: all(end.lost for end in ends))
            world.reactor.iterate(0)
            for end in ends:
                assert [event[0] for event in end.trace].count("lost") == 1, seed
                assert end.trace[0] == "made"
                assert end.trace[-1][0] == "lost"
                assert end.trace.count("readLost") <= 1
                assert end.trace.count("writeLost") <= 1
        assert world.reactor.getReaders() == world.reactor.getWriters() == []
