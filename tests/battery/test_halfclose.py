"""Connections whose halves end apart, on every transport and every reactor.

The side that ends its half has written something before, or nothing. The other side may answer, and end the other half
or all. All that was queued arrives, unless the peer's protocol knows no halves and has ended. connectionLost comes
once, last, with the right reason. Where Twisted can do the same, over TCP and UNIX sockets, its trace is the same.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.battery.sizes import FULL
from tests.contract.cells import CELLS, makeWorld
from tests.support.tlsworlds import HOST, TRUST, TLSWorld, certificatePath
from tests.support.worlds import (
    ASYNCIO,
    DEADLINE,
    TWISTED,
    UVLOOP,
    IPv6World,
    UNIXWorld,
    World,
    dial,
    readAll,
    reset,
)
from tests.unit.aio.test_aio import AioWorld

MiB = 1 << 20
QUEUED = [0, MiB, 12 * MiB]
DONE, LOST = ("lost", "ConnectionDone"), ("lost", "ConnectionLost")
HALVES = list(itertools.product([False, True], [False, True]))
SIZES = pytest.mark.parametrize("queued", QUEUED, ids=["nothing", "1 MiB", "12 MiB"])
WHO = ["server", "client"]


@functools.cache
def data(seed: int, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


class TLS12World(TLSWorld):
    """TLS 1.2, where RFC 5246 would have the side that is told discard what it has not sent."""

    def contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificatePath())
        server.maximum_version = ssl.TLSVersion.TLSv1_2
        client = ssl.create_default_context(cadata=TRUST.decode())
        client.check_hostname = False
        return server, client

    def listen(self, factory: Any) -> Any:
        return self.reactor.listenSSL(0, factory, self.contexts()[0], interface=self.host)

    def connect(self, port: Any, factory: Any) -> Any:
        return self.reactor.connectSSL(self.host, port.getHost().port, factory, self.contexts()[1])


OTHERS: dict[tuple[str, str], Callable[[], World]] = {
    ("asyncio's TCP", "asyncio"): lambda: AioWorld(ASYNCIO),
    ("asyncio's TCP", "uvloop"): lambda: AioWorld(UVLOOP),
    ("TLS 1.2 over TCP", "epoll"): TLS12World,
    ("TCP4", "twisted"): lambda: World(TWISTED),
    ("TCP6", "twisted"): lambda: IPv6World(TWISTED),
    ("UNIX", "twisted"): lambda: UNIXWorld(TWISTED),
}
SOCKETS, SECURE = ("TCP4", "TCP6", "UNIX"), ("TLS over TCP", "TLS 1.2 over TCP")


def worlds(*transports: str) -> Any:
    """A fixture: the worlds of these transports, or all, on every reactor."""
    cells = [cell for cell in [*CELLS, *OTHERS] if not transports or cell[0] in transports]

    @pytest.fixture(params=cells, ids=" on ".join)
    def world(request: pytest.FixtureRequest) -> Iterator[World]:
        made = OTHERS[request.param]() if request.param in OTHERS else makeWorld(request.param)
        yield made
        made.close()

    return world


world = worlds()
socketWorld = worlds(*SOCKETS)
tlsWorld = worlds(*SECURE)
peerWorld = worlds(*SOCKETS, *SECURE)


def lose(protocol: Any, *_: object) -> None:
    protocol.transport.loseConnection()


def ended(*protocols: Any) -> Callable[[], bool]:
    return lambda: all(protocol.lost is not None for protocol in protocols)


def onceAndLast(*protocols: Any) -> None:
    for protocol in protocols:
        assert [event[0] for event in protocol.trace if isinstance(event, tuple)] == ["lost"]
        assert isinstance(protocol.trace[-1], tuple)


# The scripts. `first` ends its half with `size` bytes queued. The other may answer with as much, when it is told.


def oneEnds(world: World, who: str, halves: tuple[bool, bool], size: int) -> tuple[Any, Any]:
    """The other answers and ends all."""

    def answer(protocol: Any) -> None:
        protocol.transport.write(data(2, size))
        protocol.transport.loseConnection()

    first, second = pair(world, who, halves, {"readLost": lose}, {"readLost": answer})
    first.transport.write(data(1, size))
    first.transport.loseWriteConnection()
    return first, second


def bothEnd(world: World, who: str, halves: tuple[bool, bool], size: int) -> tuple[Any, Any]:
    """The other answers and ends its half; both close when both halves are over."""

    def answer(protocol: Any) -> None:
        protocol.transport.write(data(2, size))
        protocol.transport.loseWriteConnection()

    first, second = pair(world, who, halves, {"readLost": lose}, {"readLost": answer, "writeLost": lose})
    first.transport.write(data(1, size))
    first.transport.loseWriteConnection()
    return first, second


def atOnce(world: World, who: str, halves: tuple[bool, bool], size: int) -> tuple[Any, Any]:
    """Both in the same turn."""

    def loseIfOver(protocol: Any) -> None:
        if {"readLost", "writeLost"} <= set(protocol.trace):
            protocol.transport.loseConnection()

    hooks = {"readLost": loseIfOver, "writeLost": loseIfOver}
    first, second = pair(world, who, halves, hooks, hooks)
    for number, each in enumerate((first, second), 1):
        each.transport.write(data(number, size))
        each.transport.loseWriteConnection()
    return first, second


def pair(world: World, who: str, halves: tuple[bool, bool], first: Any, second: Any) -> tuple[Any, Any]:
    if who == "server":
        return world.pair(first, second, *halves)
    client, server = world.pair(second, first, *reversed(halves))
    return server, client


def casesOf(queued: int) -> list[tuple[str, tuple[bool, bool]]]:
    """Return the side that begins, and whether each side knows halves. With 12 MiB, only cases where both know them."""
    whole = FULL or queued <= MiB
    return [(who, halves) for who in WHO for halves in HALVES if whole or halves == (True, True)]


Script = Callable[[World, str, tuple[bool, bool], int], tuple[Any, Any]]


def expected(script: Script, halves: tuple[bool, bool], size: int) -> tuple[list[Any], list[Any]]:
    """The traces of the side that ends its half, and of the other."""
    got = ["data"] if size else []
    firstHalves, secondHalves = halves
    answered = got if secondHalves else []
    first = ["made", "writeLost", *answered, "readLost", DONE] if firstHalves else ["made", *answered, DONE]
    if not secondHalves:
        return first, ["made", *got, DONE]
    return first, ["made", *got, "readLost", *(["writeLost"] if script is bothEnd else []), DONE]


def allArrived(halves: tuple[bool, bool], size: int, first: Any, second: Any) -> None:
    assert second.received == data(1, size)
    assert first.received == (data(2, size) if halves[1] else b"")


@SIZES
@pytest.mark.parametrize("script", [oneEnds, bothEnd])
def test_oneAfterTheOther(world: World, script: Script, queued: int) -> None:
    for who, halves in casesOf(queued):
        first, second = script(world, who, halves, queued)
        world.until(ended(first, second))
        onceAndLast(first, second)
        assert (first.trace, second.trace) == expected(script, halves, queued), (who, halves)
        allArrived(halves, queued, first, second)


@SIZES
def test_atOnce(world: World, queued: int) -> None:
    """A protocol that knows no halves ends with the peer's, and what it has not sent by then is dropped."""
    for who, halves in casesOf(queued):
        first, second = atOnce(world, who, halves, queued)
        world.until(ended(first, second))
        onceAndLast(first, second)
        for me, other, seed, knows, otherKnows in (
            (first, second, 2, halves[0], halves[1]),
            (second, first, 1, halves[1], halves[0]),
        ):
            where = (who, halves, me.trace, other.trace)
            assert me.trace[-1] == DONE, where
            assert data(seed, queued).startswith(me.received), where
            if otherKnows:
                assert len(me.received) == queued, where
            if knows and otherKnows:  # data comes before writeLost and after it, as it happens
                assert sorted(event for event in me.trace[:-1] if event != "data") == [
                    "made",
                    "readLost",
                    "writeLost",
                ], where
                assert ("data" in me.trace) == bool(queued), where
            if not knows:
                assert me.trace == ["made", *["data"] * bool(me.received), DONE], where


@SIZES
def test_closingAfterIt(world: World, queued: int) -> None:
    """loseConnection before our half has ended, and after it: everything is sent; after it, the end comes at once."""
    for who, known, when in itertools.product(WHO, [False, True], ["before", "after"]):
        first, second = pair(
            world, who, (known, True), {"writeLost": lose} if when == "after" else {}, {"readLost": lose}
        )
        first.transport.write(data(1, queued))
        first.transport.loseWriteConnection()
        if when == "before":
            lose(first)
        elif not known:
            world.until(lambda second=second: "readLost" in second.trace)
            if first.lost is None:
                lose(first)
        world.until(ended(first, second))
        assert first.trace == ["made", *["writeLost"] * (known and when == "after"), DONE], (who, known, when)
        if isinstance(world, UNIXWorld) and world.side is TWISTED and second.trace[-1] == LOST:
            second.trace[-1] = DONE  # Twisted takes the hang-up flag for an error, if it comes before its own close
        assert second.trace == ["made", *["data"] * bool(queued), "readLost", DONE], (who, known, when)
        assert second.received == data(1, queued)


@SIZES
def test_whileTheOtherIsPaused(world: World, queued: int) -> None:
    """Neither data nor the end come before reading goes on, and then both."""
    for who, known in itertools.product(WHO, [False, True]):
        first, second = pair(world, who, (True, known), {"readLost": lose}, {"readLost": lose})
        second.transport.pauseProducing()
        world.until(quiet(world))
        before = len(second.received)
        first.transport.write(data(1, queued))
        first.transport.loseWriteConnection()
        world.until(quiet(world))
        assert (len(second.received), second.lost) == (before, None)
        assert "readLost" not in second.trace
        second.transport.resumeProducing()
        world.until(ended(first, second))
        onceAndLast(first, second)
        assert second.received == data(1, queued)
        assert second.trace == ["made", *["data"] * bool(queued), *["readLost"] * known, DONE]
        assert first.trace == ["made", "writeLost", "readLost", DONE]


def quiet(world: World) -> Callable[[], bool]:
    """Return a condition: a byte has passed to and fro between two others."""
    one, other = world.pair({"data": lambda protocol, data: protocol.transport.write(data)}, {"data": lose})
    other.transport.write(b"x")
    return ended(one, other)


@SIZES
def test_whileItselfIsPaused(world: World, queued: int) -> None:
    """A pause is about reading: data that was written is sent, and our half ends."""
    for who in WHO:
        first, second = oneEnds(world, who, (True, True), queued)
        first.transport.pauseProducing()
        world.until(lambda second=second: "readLost" in second.trace)
        world.until(quiet(world))
        assert first.trace == ["made", "writeLost"]
        first.transport.resumeProducing()
        world.until(ended(first, second))
        assert (first.trace, second.trace) == expected(oneEnds, (True, True), queued)
        allArrived((True, True), queued, first, second)


PIECES = 20


@pytest.mark.parametrize("streaming", [False, True], ids=["pull", "push"])
def test_whileAProducerStreams(world: World, streaming: bool) -> None:
    """It is asked, or resumed, until it has unregistered; our half ends then."""
    piece = data(3, 100_000)

    class Pieces:
        left = PIECES

        def resumeProducing(self) -> None:
            if self.left:
                self.left -= 1
                first.transport.write(piece)
                if self.left == PIECES - 5:
                    first.transport.loseWriteConnection()
            else:
                first.transport.unregisterProducer()

        def pauseProducing(self) -> None:
            pass

        def stopProducing(self) -> None:
            raise AssertionError("the producer has unregistered")

    for who in WHO:
        first, second = pair(world, who, (True, True), {"readLost": lose}, {"readLost": lose})
        producer = Pieces()
        first.transport.registerProducer(producer, streaming)
        if streaming:
            producer.resumeProducing()
        if world.side is TWISTED:  # the half is forgotten, which tests/parity/test_differences.py has
            world.until(lambda second=second: len(second.received) == len(piece) * PIECES)
            assert first.trace == second.trace[:1] == ["made"]
            continue
        world.until(ended(first, second))
        assert second.received == piece * PIECES
        assert first.trace == ["made", "writeLost", "readLost", DONE]
        assert second.trace == ["made", "data", "readLost", DONE]


def test_aPushProducerThatIsNotPaused(world: World) -> None:
    """It is not waited for: what it writes later is dropped, and it is told the end of the connection only."""
    for who in WHO:
        first, second = pair(world, who, (True, True), {"readLost": lose}, {"readLost": lose})
        told: list[str] = []
        first.transport.registerProducer(Telling(told), True)
        first.transport.write(b"before")
        first.transport.loseWriteConnection()
        world.until(lambda first=first: "writeLost" in first.trace)
        first.transport.write(b"after")
        world.until(ended(first, second))
        assert (second.received, told) == (b"before", ["stop"])


class Telling:
    def __init__(self, told: list[str]) -> None:
        self.pauseProducing = functools.partial(told.append, "pause")
        self.resumeProducing = functools.partial(told.append, "resume")
        self.stopProducing = functools.partial(told.append, "stop")


# The peer is somebody else.


class PlainPeer:
    """A blocking socket."""

    def __init__(self, world: World, port: Any) -> None:
        if isinstance(world, UNIXWorld):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(DEADLINE)
            self.socket.connect(port.getHost().name)
        else:
            self.socket = dial(port, world.host)

    def send(self, what: bytes) -> None:
        self.socket.sendall(what)

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def readSome(self) -> bytes:
        return self.socket.recv(1)

    def readAll(self) -> bytes:
        return readAll(self.socket)

    def reset(self) -> None:
        reset(self.socket)

    def close(self) -> None:
        self.socket.close()


class TLSPeer(PlainPeer):
    """The same with TLS of the standard library's: an SSLObject, as an SSLSocket cannot end one half."""

    def __init__(self, world: World, port: Any) -> None:
        super().__init__(world, port)
        context = ssl.create_default_context(cadata=TRUST.decode())
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        self.do(self.tls.do_handshake)

    def do(self, step: Callable[..., Any]) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.flush()
                arrived = self.socket.recv(MiB)
                self.incoming.write(arrived) if arrived else self.incoming.write_eof()
            finally:
                self.flush()

    def flush(self) -> None:
        self.socket.sendall(self.outgoing.read())

    def send(self, what: bytes) -> None:
        for start in range(0, len(what), MiB):
            self.do(lambda start=start: self.tls.write(what[start : start + MiB]))

    def end(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):  # the other's close_notify has not come yet
            self.tls.unwrap()
        self.flush()

    def readSome(self) -> bytes:
        some: bytes = self.do(lambda: self.tls.read(1))
        return some

    def readAll(self) -> bytes:
        pieces = []
        with contextlib.suppress(ssl.SSLZeroReturnError):
            while piece := self.do(lambda: self.tls.read(MiB)):
                pieces.append(piece)
        return b"".join(pieces)


def withPeer(
    world: World, halves: bool, hooks: Any, act: Callable[[Any], Any], finish: Callable[[Any], None] | None = None
) -> tuple[Any, Any]:
    """Have `act` live in a thread with a peer that is connected to a server of ours; return what both came to.

    `finish` ends the server's connection, when the peer has left and both halves have ended.
    """
    factory = world.serverFactory(hooks, halves)
    port = world.listen(factory)
    kind = TLSPeer if isinstance(world, TLSWorld) else PlainPeer
    results: list[Any] = []

    def live() -> None:
        peer = kind(world, port)
        try:
            results.append(act(peer))
        finally:
            peer.close()

    thread = threading.Thread(target=live)
    thread.start()
    if finish is not None:
        world.until(lambda: factory.built and {"readLost", "writeLost"} <= set(factory.trace) and not thread.is_alive())
        world.until(quiet(world))
        assert factory.only.lost is None
        finish(factory.only)
    world.until(lambda: factory.built and factory.only.lost is not None)
    world.until(lambda: not thread.is_alive())
    thread.join()
    port.stopListening()
    onceAndLast(factory.only)
    (result,) = results
    return factory.only, result


KNOWN = pytest.mark.parametrize("known", [False, True], ids=["no halves", "halves"])


@SIZES
@KNOWN
def test_aPeerEndsItsHalfThenReads(peerWorld: World, known: bool, queued: int) -> None:
    def answer(protocol: Any) -> None:
        protocol.transport.write(data(2, queued))
        protocol.transport.loseConnection()

    def act(peer: PlainPeer) -> bytes:
        peer.send(data(1, queued))
        peer.end()
        return peer.readAll()

    server, got = withPeer(peerWorld, known, {"readLost": answer}, act)
    assert server.received == data(1, queued)
    assert got == (data(2, queued) if known else b"")
    assert server.trace == ["made", *["data"] * bool(queued), *["readLost"] * known, DONE]


@SIZES
@KNOWN
def test_weEndOurHalfThenRead(peerWorld: World, known: bool, queued: int) -> None:
    def end(protocol: Any) -> None:
        protocol.transport.write(data(1, queued))
        protocol.transport.loseWriteConnection()

    def act(peer: PlainPeer) -> bytes:
        got = peer.readAll()
        peer.send(data(2, queued))
        peer.end()
        return got

    server, got = withPeer(peerWorld, known, {"made": end, "readLost": lose}, act)
    assert got == data(1, queued)
    assert server.received == data(2, queued)
    halves = ["writeLost", *["data"] * bool(queued), "readLost"] if known else ["data"] * bool(queued)
    assert server.trace == ["made", *halves, DONE]


def test_aResetWhileWeAnswer(peerWorld: World) -> None:
    """The peer has ended its half, and gives up what it asked for."""

    def answer(protocol: Any) -> None:
        protocol.transport.write(data(2, 12 * MiB))

    def act(peer: PlainPeer) -> None:
        peer.send(b"question")
        peer.end()
        assert peer.readSome()
        peer.reset()

    server, _ = withPeer(peerWorld, True, {"readLost": answer}, act)
    assert server.trace == ["made", "data", "readLost", LOST]


@KNOWN
def test_aResetWhileWeRead(peerWorld: World, known: bool) -> None:
    """We have ended our half. A UNIX socket knows no reset, and TLS no end without close_notify."""

    def act(peer: PlainPeer) -> None:
        peer.readAll()
        peer.reset()

    def end(protocol: Any) -> None:
        protocol.transport.loseWriteConnection()

    server, _ = withPeer(peerWorld, known, {"made": end, "readLost": lose}, act)
    isReset = peerWorld.afterReset == "ConnectionLost"
    assert server.trace == [
        "made",
        *["writeLost"] * known,
        *["readLost"] * (known and not isReset),
        LOST if isReset else DONE,
    ]


@KNOWN
def test_truncationAfterIt(tlsWorld: World, known: bool) -> None:
    """We have ended our half; the peer's stream ends without close_notify, which nobody may take for its end."""

    def act(peer: TLSPeer) -> None:
        peer.readAll()
        peer.send(b"not all")
        peer.socket.shutdown(socket.SHUT_WR)

    def end(protocol: Any) -> None:
        protocol.transport.loseWriteConnection()

    server, _ = withPeer(tlsWorld, known, {"made": end, "readLost": lose}, act)
    assert server.trace == ["made", *["writeLost"] * known, "data", LOST]


def test_aResetWhenBothHaveEnded(socketWorld: World) -> None:
    """Nobody hears of it, until our side closes."""

    def act(peer: PlainPeer) -> None:
        peer.readAll()
        peer.end()
        peer.reset()

    def end(protocol: Any) -> None:
        protocol.transport.loseWriteConnection()

    server, _ = withPeer(socketWorld, True, {"made": end}, act, lose)
    assert server.trace == ["made", "writeLost", "readLost", DONE]
