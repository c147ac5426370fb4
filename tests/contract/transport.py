"""Tests of every stream transport, whatever carries it.

A subclass has the fixture `world`, a World of tests.support.worlds.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import itertools
import logging
import zlib
from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionUnwanted,
    FramingBroken,
    IdleTimeout,
    LineLengthExceeded,
    OutputLimitExceeded,
)
from reactor.failure import Failure
from reactor.filesender import FileSender
from reactor.linereceiver import LineOnlyReceiver, LineReceiver
from reactor.policies import LimitTotalConnectionsFactory, ProtocolWrapper, TimeoutFactory, TimeoutMixin
from reactor.protocol import Protocol, ServerFactory, closeFor
from reactor.stringreceivers import Int8StringReceiver, NetstringReceiver, OctetCountedReceiver
from tests.support.worlds import Producer, World

HIGH_WATER = 64 * 1024
PIECE = b"x" * 1024


class Boom(Exception):
    pass


class BaseBoom(BaseException):
    pass


def raising(error: BaseException) -> Callable[..., None]:
    def hook(*_: object) -> None:
        raise error

    return hook


def lost(*protocols: Any) -> Callable[[], bool]:
    return lambda: all(protocol.lost is not None for protocol in protocols)


def reasonOf(protocol: Any) -> type[BaseException]:
    kind: type[BaseException] = type(protocol.lost.value)
    return kind


def errorsIn(caplog: pytest.LogCaptureFixture) -> list[BaseException | None]:
    found = [record.exc_info for record in caplog.records if record.levelno >= logging.ERROR]
    return [info[1] if info else None for info in found]


def recordsOf(caplog: pytest.LogCaptureFixture, words: str) -> list[tuple[str, str]]:
    found = [(record.levelname, record.getMessage()) for record in caplog.records]
    return [(level, text) for level, text in found if words in text]


class Idle(TimeoutMixin, Protocol):
    """Has a deadline of its own."""

    def connectionMade(self) -> None:
        self.callLater = self.transport.reactor.callLater  # type: ignore[method-assign]
        self.setTimeout(0.01)


class Sorry(Protocol):
    """Refuses politely, in its own time."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"sorry, full")
        self.transport.loseConnection()


def makeOverflow(reactor: Any) -> Any:
    factory = LimitTotalConnectionsFactory()
    factory.connectionLimit, factory.overflowProtocol = 0, Sorry
    return factory.buildProtocol(None)


def makeTimedOut(reactor: Any) -> Any:
    factory = TimeoutFactory(ServerFactory.forProtocol(Protocol), 0.01)
    factory.callLater = reactor.callLater  # type: ignore[method-assign]
    return factory.buildProtocol(None)


def short(kind: Any) -> Callable[[Any], Any]:
    """A maker of receivers that take no more than three bytes."""

    def make(reactor: Any) -> Any:
        receiver = kind()
        receiver.MAX_LENGTH = 3
        return receiver

    return make


# Things that close a connection by themselves: how each is made, what is sent to it, the reason, and how that ends.
CLOSERS: dict[str, tuple[Callable[[Any], Any], bytes, type[ConnectionDone], str]] = {
    "TimeoutMixin": (lambda reactor: Idle(), b"", IdleTimeout, "0.01 s"),
    "TimeoutFactory": (makeTimedOut, b"", IdleTimeout, "0.01 s"),
    "overflowProtocol": (makeOverflow, b"x", ConnectionUnwanted, "there are 0 already"),
    "LineReceiver": (short(LineReceiver), b"1234\r\n", LineLengthExceeded, "a line of more than 3 bytes"),
    "LineOnlyReceiver": (short(LineOnlyReceiver), b"1234\r\n", LineLengthExceeded, "a line of more than 3 bytes"),
    "Int8StringReceiver": (
        short(Int8StringReceiver),
        b"\x041234",
        LineLengthExceeded,
        "a string of 4 bytes, and 3 are allowed",
    ),
    "NetstringReceiver, too long": (
        short(NetstringReceiver),
        b"4:1234,",
        LineLengthExceeded,
        "it is longer than 3 bytes",
    ),
    "NetstringReceiver": (short(NetstringReceiver), b"nonsense", FramingBroken, "it does not begin with a length"),
    "OctetCountedReceiver, too long": (
        short(OctetCountedReceiver),
        b"4 1234",
        LineLengthExceeded,
        "it is longer than 3 bytes",
    ),
    "OctetCountedReceiver": (
        short(OctetCountedReceiver),
        b"nonsense",
        FramingBroken,
        "it does not begin with a length",
    ),
}


class Life:
    def test_orderOfCallbacks(self, world: World) -> None:
        server, client = world.pair()
        for transport in (server.transport, client.transport):
            assert (transport.connected, transport.disconnected, transport.disconnecting) == (True, False, False)
        client.transport.write(b"hello")
        world.until(lambda: server.received)
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert server.trace == ["made", "data", ("lost", "ConnectionDone")]
        assert client.trace == ["made", ("lost", "ConnectionDone")]
        for protocol in (server, client):
            transport = protocol.transport
            assert (transport.connected, transport.disconnected) == (False, True)
            assert protocol.connected == 1

    def test_addressesAgreeAndOutliveTheConnection(self, world: World) -> None:
        server, client = world.pair()
        ends = [(end.transport.getHost(), end.transport.getPeer()) for end in (server, client)]
        assert server.transport.getPeer() == client.transport.getHost()
        assert client.transport.getPeer() == server.transport.getHost()
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert ends == [(end.transport.getHost(), end.transport.getPeer()) for end in (server, client)]

    def test_addressesAreChangedForOneConnectionOnly(self, world: World) -> None:
        (first, _), (second, _) = world.pair(), world.pair()
        for ask in ("getHost", "getPeer"):
            address = getattr(first.transport, ask)()
            before = copy(getattr(second.transport, ask)())
            if address is not None:  # in memory there may be none
                address.port = address.name = None
            assert getattr(second.transport, ask)() == before

    def test_aClientKnowsItsConnector(self, world: World) -> None:
        """As Twisted has it: transport.connector, also after the end. A connection that a port accepts has none."""
        server, client = world.pair()
        assert not hasattr(server.transport, "connector")
        if not world.hasConnectors:
            assert not hasattr(client.transport, "connector")  # nothing has connected
            return
        connector = client.transport.connector
        assert (connector.getDestination(), connector.state) == (client.transport.getPeer(), "connected")
        assert connector.transport.connector is connector
        connector.disconnect()
        world.until(lost(server, client))
        assert (client.transport.connector, connector.state) == (connector, "disconnected")

    def test_loseConnectionIsNeverSynchronous(self, world: World) -> None:
        server, client = world.pair()
        client.transport.loseConnection()
        client.transport.loseConnection()
        assert client.lost is None
        assert client.transport.disconnecting
        assert client.transport.connected
        world.until(lost(server, client))
        assert client.trace == ["made", ("lost", "ConnectionDone")]

    def test_whatIsWrittenAfterLoseConnectionIsSent(self, world: World) -> None:
        server, client = world.pair()
        client.transport.write(b"A")
        client.transport.loseConnection()
        client.transport.write(b"B")
        world.until(lost(server, client))
        assert server.received == b"AB"

    @pytest.mark.parametrize("size", [1, 5_000_000])
    def test_loseConnectionSendsEverythingFirst(self, world: World, size: int) -> None:
        server, client = world.pair()
        client.transport.write(b"x" * size)
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert len(server.received) == size
        assert (reasonOf(server), reasonOf(client)) == (ConnectionDone, ConnectionDone)

    def test_nothingIsReceivedAfterLoseConnection(self, world: World) -> None:
        server, client = world.pair(server={"data": lambda protocol, data: protocol.transport.loseConnection()})
        client.transport.write(b"1")
        world.until(lambda: server.received)
        client.transport.write(b"2")
        world.until(lost(server, client))
        assert server.received == b"1"
        assert reasonOf(server) is ConnectionDone

    def test_loseConnectionInConnectionMade(self, world: World) -> None:
        def greet(protocol: Any) -> None:
            protocol.transport.write(b"bye")
            protocol.transport.loseConnection()

        server, client = world.pair(server={"made": greet})
        world.until(lost(server, client))
        assert server.trace == ["made", ("lost", "ConnectionDone")]
        assert client.received == b"bye"
        assert client.trace[-1] == ("lost", "ConnectionDone")

    @pytest.mark.parametrize("half", [False, True])
    def test_aCloseTellsItsReason(self, world: World, half: bool) -> None:
        """The first one, on this side alone; it is counted. Data that was written is sent as always."""
        server, client = world.pair(halves=True)
        if half:
            server.transport.loseWriteConnection()
            world.until(lambda: "writeLost" in server.trace)
        reason = IdleTimeout("5 s")
        before = server.transport.reactor.closeCounts[IdleTimeout]
        if not half:
            server.transport.write(b"x" * 1_000_000)
        closeFor(server.transport, reason)
        closeFor(server.transport, LineLengthExceeded())
        world.until(lost(server))
        assert server.lost.value is reason
        assert server.lost.check(ConnectionDone)
        if not half:
            client.transport.loseConnection()
            world.until(lambda: "readLost" in client.trace or client.lost)
        counts = server.transport.reactor.closeCounts
        assert (counts[IdleTimeout] - before, counts[LineLengthExceeded]) == (1, 0)

    def test_aLineThatIsTooLongIsTheReason(self, world: World) -> None:
        server, client = world.pair(server={"data": lambda protocol, data: lines.dataReceived(data)})
        lines = LineOnlyReceiver()
        lines.MAX_LENGTH = 3
        lines.makeConnection(server.transport)
        client.transport.write(b"1234\r\n")
        world.until(lost(server, client))
        assert (reasonOf(server), reasonOf(client)) == (LineLengthExceeded, ConnectionDone)
        assert "more than 3 bytes" in str(server.lost.value)

    @pytest.mark.parametrize("closer", CLOSERS)
    def test_whateverClosesTellsItsReason(self, world: World, closer: str, caplog: pytest.LogCaptureFixture) -> None:
        """To the protocol, by a count, and by a record (the string receivers' own tell more, at another level)."""
        caplog.set_level(logging.DEBUG)
        make, sent, reason, text = CLOSERS[closer]
        server, client = world.pair(server={"data": lambda protocol, data: closing.dataReceived(data)})
        transport, peer = server.transport, server.transport.getPeer()
        counts, before = transport.reactor.closeCounts, transport.reactor.closeCounts[reason]
        closing = make(transport.reactor)
        closing.makeConnection(transport)
        client.transport.write(sent)
        world.until(lost(server, client))
        assert (reasonOf(server), reasonOf(client)) == (reason, ConnectionDone)
        assert server.lost.check(ConnectionDone)
        assert str(server.lost.value).endswith(f": {text}.")
        assert counts[reason] - before == 1
        assert [said for _, said in recordsOf(caplog, "closed from here")] == [
            f"{peer}: closed from here: {server.lost.value}"
        ]

    def test_aCloseForAReasonIsARecord(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Of level INFO, with the peer and the reason; a plain close is none."""
        caplog.set_level(logging.INFO)
        server, client = world.pair()
        peer = server.transport.getPeer()
        closeFor(server.transport, IdleTimeout("5 s"))
        world.until(lost(server, client))
        assert recordsOf(caplog, "closed from here") == [
            ("INFO", f"{peer}: closed from here: Connection was closed cleanly, as it was idle: 5 s.")
        ]

    def test_aConnectionThatBreaksOffIsARecord(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """One, of level INFO, however many layers hear of it; an end that this side has made itself is none."""
        caplog.set_level(logging.INFO)
        server, client = world.pair()
        peer = client.transport.getPeer()
        server.transport.pauseProducing()
        client.transport.write(b"unread")
        world.until(lambda: not client.transport.unsent)
        server.transport.abortConnection()
        world.until(lost(server, client))
        said = recordsOf(caplog, "broken off")
        if world.hasErrors:
            assert reasonOf(client) is ConnectionLost
            assert said == [("INFO", f"{peer}: broken off: {said[0][1].rpartition(': ')[2]}")]
        else:
            assert (reasonOf(client), said) == (ConnectionDone, [])

    def test_aPeerThatResetsAfterOurCloseIsNoSecondRecord(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """Everything was sent, and the protocol has its reason; TLS still waits for an answer, which is a reset."""
        caplog.set_level(logging.INFO)
        server, client = world.pair()
        client.transport.pauseProducing()
        closeFor(server.transport, IdleTimeout("5 s"))
        world.until(lambda: server.lost or server.transport.endIsKnown)
        client.transport.abortConnection()
        world.until(lost(server, client))
        assert reasonOf(server) is IdleTimeout
        assert len(recordsOf(caplog, "closed from here")) == 1
        assert recordsOf(caplog, "broken off") == []

    def test_linesThatWereSkippedAreCountedAndTold(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        """When their connection ends, whichever side ends it: by the reactor, and by one record."""
        caplog.set_level(logging.INFO)
        lines = LineReceiver()
        lines.MAX_LENGTH, lines.overlong, got = 3, "skip", list[bytes]()
        lines.lineReceived = got.append  # type: ignore[assignment, method-assign]

        def deliver(protocol: Any, data: bytes) -> None:
            lines.dataReceived(data)
            protocol.overlongCount = lines.overlongCount

        server, client = world.pair(server={"data": deliver})
        lines.makeConnection(server.transport)
        reactor, peer = server.transport.reactor, server.transport.getPeer()
        before = reactor.skippedLineCount
        client.transport.write(b"1\r\n1234\r\n2\r\n12345\r\n3\r\n")
        world.until(lambda: len(got) == 3)
        assert reactor.skippedLineCount == before
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert reactor.skippedLineCount - before == 2
        assert recordsOf(caplog, "skipped") == [("INFO", f"{peer}: lines that were too long, and skipped: 2")]

    def test_abortConnection(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        server.transport.write(b"x" * 5_000_000)
        server.transport.abortConnection()
        server.transport.abortConnection()
        server.transport.write(b"dropped")
        server.transport.loseConnection()
        assert server.lost is None
        assert server.transport.disconnecting
        client.transport.resumeProducing()
        world.until(lost(server, client))
        assert server.trace == ["made", ("lost", "ConnectionAborted")]
        assert client.trace[-1] == ("lost", world.afterReset)
        assert b"dropped" not in client.received

    def test_abortCutsLoseConnectionShort(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        server.transport.write(b"x" * 15_000_000)
        server.transport.loseConnection()
        server.transport.abortConnection()
        world.until(lost(server))
        assert reasonOf(server) is ConnectionAborted
        client.transport.resumeProducing()
        world.until(lost(client))
        assert len(client.received) < 15_000_000

    def test_noDataAfterAbort(self, world: World) -> None:
        server, client = world.pair(server={"data": lambda protocol, data: protocol.transport.abortConnection()})
        client.transport.write(b"x" * 1_000_000)
        world.until(lost(server, client))
        assert server.trace == ["made", "data", ("lost", "ConnectionAborted")]
        assert len(server.received) <= HIGH_WATER

    def test_everyMethodIsHarmlessAfterTheLoss(self, world: World) -> None:
        server, client = world.pair()
        client.transport.loseConnection()
        world.until(lost(server, client))
        for transport in (server.transport, client.transport):
            callEverything(transport)
            callEverything(transport)
        assert server.trace == client.trace == ["made", ("lost", "ConnectionDone")]

    @pytest.mark.parametrize("kind", [Boom, BaseBoom, GeneratorExit, MemoryError])
    @pytest.mark.parametrize("where", ["made", "data"])
    @pytest.mark.parametrize("who", ["server", "client"])
    def test_anExceptionCostsThatConnection(
        self, world: World, caplog: pytest.LogCaptureFixture, kind: type[BaseException], where: str, who: str
    ) -> None:
        error = kind("x")
        hooks: Any = {who: {where: raising(error)}}
        server, client = world.pair(**hooks)
        for protocol in (server, client):
            with contextlib.suppress(AttributeError):
                protocol.transport.write(b"x")
        world.until(lost(server, client))
        guilty, other = (server, client) if who == "server" else (client, server)
        assert guilty.lost.value is error
        assert guilty.trace[-1] == ("lost", type(error).__name__)
        assert reasonOf(other) in (ConnectionDone, ConnectionLost)
        assert errorsIn(caplog) == [error]

    @pytest.mark.parametrize("kind", [Boom, BaseBoom])
    def test_anExceptionInConnectionLostIsLoggedOnce(
        self, world: World, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
    ) -> None:
        error = kind("x")
        server, client = world.pair(server={"lost": raising(error)})
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert server.trace == ["made", ("lost", "ConnectionDone")]
        assert errorsIn(caplog) == [error]

    def test_noLineAfterTheEnd(self, world: World) -> None:
        """connectionLost comes inside lineReceived, whose read has more lines."""

        class Lines(LineReceiver):
            def connectionMade(self) -> None:
                self.told: list[object] = []

            def lineReceived(self, line: bytes) -> None:
                self.told.append(line)
                transport = server.transport
                while isinstance(transport, ProtocolWrapper):
                    transport = transport.transport
                transport.connectionLost(Failure(ConnectionLost()))

            def connectionLost(self, reason: Any = None) -> None:
                self.told.append(self.transport.disconnecting)

        server, client = world.pair(server={"data": lambda protocol, data: lines.dataReceived(data)})
        lines = Lines()
        lines.makeConnection(server.transport)
        server.hooks["lost"] = lambda protocol, reason: lines.connectionLost(reason)
        client.transport.write(b"1\r\n2\r\n3\r\n")
        world.until(lost(server, client))
        assert lines.told == [b"1", False]

    def test_reentrancy(self, world: World) -> None:
        """From every callback, every method of the transport, twice; nothing is lost twice and nothing escapes."""
        for where, first in itertools.product(("made", "data", "lost", "readLost", "writeLost"), range(len(METHODS))):
            calls = METHODS[first:] + METHODS[:first]
            server, client = world.pair(
                server={where: lambda protocol, *_, calls=calls: callEverything(protocol.transport, calls)}, halves=True
            )
            client.transport.write(b"x")
            if where == "writeLost":
                server.transport.loseWriteConnection()
            client.transport.loseWriteConnection()
            world.until(lambda server=server: server.lost is not None or "readLost" in server.trace)
            server.transport.loseConnection()
            world.until(lost(server, client))
            assert [event for event in server.trace if event[0] == "lost"] == [server.trace[-1]], (where, calls)
            assert server.trace.count("readLost") <= 1
            assert server.trace.count("writeLost") <= 1


METHODS = (
    "write",
    "writeSequence",
    "pauseProducing",
    "resumeProducing",
    "registerProducer",
    "unregisterProducer",
    "loseWriteConnection",
    "getHost",
    "getPeer",
    "setOutputLimits",
    "stopProducing",
    "loseConnection",
    "stopConsuming",
    "abortConnection",
)
ARGUMENTS: dict[str, tuple[Any, ...]] = {"write": (b"again",), "writeSequence": ([b"a", b"b"],)}


def callEverything(transport: Any, names: tuple[str, ...] = METHODS) -> None:
    for name in names:
        for _ in range(2):
            arguments = (Producer(), True) if name == "registerProducer" else ARGUMENTS.get(name, ())
            with contextlib.suppress(RuntimeError):  # registerProducer has its rule, and keeps it
                getattr(transport, name)(*arguments)


class Writing:
    def test_kindsOfBytes(self, world: World) -> None:
        server, client = world.pair()
        changing = bytearray(b"one")
        client.transport.write(changing)
        changing[:] = b"ONE"
        under = bytearray(b"t.w.o.")
        client.transport.write(memoryview(under)[::2])
        under[:] = b"T.W.O."
        client.transport.write(b"")
        client.transport.write(b"three")
        world.until(lambda: len(server.received) == 11)
        assert server.received == b"onetwothree"

    @pytest.mark.parametrize("wrong", ["text", 3, None, ["list"], [b"list"]])
    def test_wrongTypes(self, world: World, wrong: Any) -> None:
        server, client = world.pair()
        with pytest.raises(TypeError, match="bytes"):
            client.transport.write(wrong)
        with pytest.raises(TypeError):
            client.transport.writeSequence([b"good", wrong])
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert server.received == b""

    @pytest.mark.parametrize("make", [list, tuple, iter, lambda pieces: (piece for piece in pieces)])
    def test_writeSequenceTakesAnyIterableOnce(self, world: World, make: Callable[[list[Any]], Any]) -> None:
        server, client = world.pair()
        client.transport.writeSequence(make([b"a", bytearray(b"b"), memoryview(b"c"), b""]))
        client.transport.writeSequence(make([]))
        world.until(lambda: len(server.received) == 3)
        assert server.received == b"abc"

    def test_orderOverManyWrites(self, world: World) -> None:
        server, client = world.pair()
        pieces = [b"%d," % number for number in range(20_000)]
        for piece in pieces:
            client.transport.write(piece)
        client.transport.loseConnection()
        world.until(lost(server))
        assert server.received == b"".join(pieces)

    def test_anEmptyWriteChangesNothing(self, world: World) -> None:
        server, client = world.pair()
        client.transport.write(b"")
        client.transport.write(b"x")
        client.transport.write(b"")
        world.until(lambda: server.received)
        client.transport.write(b"")
        client.transport.write(b"y")
        world.until(lambda: len(server.received) == 2)

    def test_writesFromEveryKindOfCallback(self, world: World) -> None:
        """From the own events, from another connection's, from a delayed call, from another thread's call."""
        first = world.pair()
        second = world.pair(server={"data": lambda _, data: first[0].transport.write(data)})
        second[1].transport.write(b"1")
        world.until(lambda: first[1].received == b"1")
        world.reactor.callLater(0, first[0].transport.write, b"2")
        world.until(lambda: first[1].received == b"12")
        world.reactor.callFromThread(first[0].transport.write, b"3")
        world.until(lambda: first[1].received == b"123")

    def test_bothDirectionsAtOnceWithPauses(self, world: World) -> None:
        """Nothing is lost, doubled or moved: 16 MiB each way, reading paused now and then."""
        size, piece = 16 << 20, 60_000
        sums = {"server": hashlib.sha256(), "client": hashlib.sha256()}
        counts = {"server": 0, "client": 0}

        def receive(name: str) -> Callable[[Any, bytes], None]:
            def hook(protocol: Any, data: bytes) -> None:
                protocol.received.clear()
                sums[name].update(data)
                counts[name] += len(data)
                if counts[name] // 500_000 != (counts[name] - len(data)) // 500_000:
                    protocol.transport.pauseProducing()
                    world.reactor.callLater(0, world.reactor.callLater, 0, protocol.transport.resumeProducing)

            return hook

        ends = world.pair(server={"data": receive("server")}, client={"data": receive("client")})
        data = [bytes(range(256)) * (piece // 256 + 1), bytes(range(255, -1, -1)) * (piece // 256 + 1)]
        expected = [hashlib.sha256(), hashlib.sha256()]
        for end, content, digest in zip(ends, data, expected, strict=True):
            end.transport.registerProducer(Streamer(end.transport, content[:piece], size, digest), True)
            end.transport.producer.resumeProducing()
        total = size // piece * piece + piece
        world.until(lambda: min(counts.values()) >= total)
        assert counts == {"server": total, "client": total}
        assert sums["server"].digest() == expected[1].digest()
        assert sums["client"].digest() == expected[0].digest()
        for end in ends:
            end.transport.loseConnection()
        world.until(lost(*ends))


class Streamer:
    """A push producer of `size` bytes and a little, in numbered pieces."""

    def __init__(self, transport: Any, piece: bytes, size: int, digest: Any) -> None:
        self.transport, self.piece, self.left, self.digest = transport, piece, size, digest
        self.paused = False
        self.number = 0

    def resumeProducing(self) -> None:
        self.paused = False
        while not self.paused and self.left > 0:
            self.number += 1
            piece = self.number.to_bytes(8, "big") + self.piece[8:]
            self.left -= len(piece)
            self.digest.update(piece)
            self.transport.write(piece)
        if self.left <= 0 and self.transport.producer is self:
            self.transport.unregisterProducer()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0


class Reading:
    def test_pausedReadingDeliversNothingAndLosesNothing(self, world: World) -> None:
        server, client = world.pair(server={"data": lambda protocol, data: protocol.transport.pauseProducing()})
        client.transport.write(b"1")
        world.until(lambda: server.received)
        client.transport.write(b"2" * 100_000)
        marker = world.pair()
        marker[0].transport.write(b"later")
        world.until(lambda: marker[1].received)
        assert server.received == b"1"
        server.hooks.clear()
        server.transport.resumeProducing()
        world.until(lambda: len(server.received) == 100_001)

    def test_pauseInConnectionMade(self, world: World) -> None:
        server, client = world.pair(server={"made": lambda protocol: protocol.transport.pauseProducing()})
        client.transport.write(b"1")
        marker = world.pair()
        marker[0].transport.write(b"later")
        world.until(lambda: marker[1].received)
        assert server.trace == ["made"]
        server.transport.resumeProducing()
        world.until(lambda: server.received == b"1")

    def test_thePeersEndIsSeenAfterAPause(self, world: World) -> None:
        server, client = world.pair()
        server.transport.pauseProducing()
        client.transport.write(b"last words")
        client.transport.loseConnection()
        world.until(lost(client))
        assert server.lost is None
        server.transport.resumeProducing()
        world.until(lost(server))
        assert server.received == b"last words"
        assert reasonOf(server) is ConnectionDone

    def test_stopProducingClosesInOrder(self, world: World) -> None:
        server, client = world.pair()
        server.transport.write(b"x" * 200_000)
        server.transport.stopProducing()
        world.until(lost(server, client))
        assert len(client.received) == 200_000
        assert reasonOf(server) is ConnectionDone

    def test_resumeDoesNotRevokeLoseConnection(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        server.transport.write(b"x" * 15_000_000)
        server.transport.loseConnection()
        server.transport.resumeProducing()
        client.transport.write(b"unread")
        marker = world.pair()
        marker[0].transport.write(b"later")
        world.until(lambda: marker[1].received)
        assert server.received == b""
        client.transport.abortConnection()
        server.transport.abortConnection()
        world.until(lost(server, client))

    def test_aReaderThatTheSystemRefusesToWatch(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The protocol would no longer hear of the connection, so it ends: not inside the call that asked for more."""
        server, _ = world.pair()
        transport = server.transport
        transport.pauseProducing()

        def refuse(*_: object) -> None:
            raise OSError(errno.ENOMEM, "no memory to watch it")

        with monkeypatch.context() as patch:
            patch.setattr(transport.reactor, "addReader", refuse)
            transport.resumeProducing()
        assert server.lost is None
        world.until(lambda: server.lost)
        assert server.lost.type is ConnectionLost  # type: ignore[attr-defined]


class HalfClose:
    """loseWriteConnection and the two callbacks, which protocols have or have not."""

    @pytest.mark.parametrize("queued", [0, 3_000_000])
    @pytest.mark.parametrize("serverHalves", [False, True])
    @pytest.mark.parametrize("clientHalves", [False, True])
    def test_oneSideEndsItsHalf(self, world: World, queued: int, serverHalves: bool, clientHalves: bool) -> None:
        server, client = world.pair(halves=serverHalves, clientHalves=clientHalves)
        client.transport.write(b"c" * queued)
        client.transport.loseWriteConnection()
        client.transport.loseWriteConnection()
        client.transport.write(b"" if clientHalves else b"tail")
        if not serverHalves and clientHalves:
            world.until(lambda: server.lost is not None and "readLost" in client.trace)
            assert client.trace == ["made", "writeLost", "readLost"]
            client.transport.loseConnection()
            assert reasonOf(client) is ConnectionDone
        elif not serverHalves:
            world.until(lost(server, client))
            assert reasonOf(server) is ConnectionDone
            assert client.trace == ["made", ("lost", "ConnectionDone")]
        else:
            world.until(lambda: "readLost" in server.trace)
            assert client.lost is None
            server.transport.write(b"s" * 100_000)
            server.transport.loseConnection()
            world.until(lost(server) if clientHalves else lost(server, client))
            assert server.trace == ["made", *["data"] * bool(server.received), "readLost", ("lost", "ConnectionDone")]
            if clientHalves:
                world.until(lambda: "readLost" in client.trace)
                client.transport.loseConnection()
                assert client.trace[-1] == ("lost", "ConnectionDone")
            assert len(client.received) == 100_000
        assert len(server.received) in (queued, queued + (0 if clientHalves else 4))

    def test_writesAfterTheHalfHasEndedAreDropped(self, world: World) -> None:
        server, client = world.pair(halves=True, clientHalves=True)
        client.transport.write(b"before")
        client.transport.loseWriteConnection()
        world.until(lambda: "writeLost" in client.trace)
        client.transport.write(b"after")
        client.transport.writeSequence([b"after"])
        client.transport.loseWriteConnection()
        world.until(lambda: "readLost" in server.trace)
        assert server.received == b"before"
        server.transport.write(b"answer")
        world.until(lambda: client.received == b"answer")
        client.transport.loseConnection()
        assert client.lost is not None  # nothing is left to wait for
        world.until(lambda: server.transport is not None)
        server.transport.loseConnection()
        world.until(lost(server))
        assert client.trace == ["made", "writeLost", "data", ("lost", "ConnectionDone")]

    def test_answersInDataReceivedAfterTheHalfHasEndedAreDropped(self, world: World) -> None:
        """And cost nothing: the peer may go on."""
        hooks: Any = {"data": lambda end, _: end.transport.write(b"answer")}
        server, client = world.pair(client=hooks, halves=True, clientHalves=True)
        client.transport.loseWriteConnection()
        world.until(lambda: "writeLost" in client.trace and "readLost" in server.trace)
        for count in (1, 2):
            server.transport.write(b"x")
            world.until(lambda count=count: len(client.received) == count)
            world.reactor.iterate(0)
        server.transport.loseConnection()
        world.until(lambda: "readLost" in client.trace)
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert client.trace == ["made", "writeLost", "data", "readLost", ("lost", "ConnectionDone")]
        assert server.received == b""

    def test_bothHalvesEndApart(self, world: World) -> None:
        ends = world.pair(halves=True, clientHalves=True)
        for end in ends:
            end.transport.loseWriteConnection()
        world.until(lambda: all("readLost" in end.trace and "writeLost" in end.trace for end in ends))
        assert all(end.lost is None for end in ends)
        for end in ends:
            end.transport.loseConnection()
            assert reasonOf(end) is ConnectionDone

    def test_loseConnectionOverridesLoseWriteConnection(self, world: World) -> None:
        server, client = world.pair(halves=True, clientHalves=True)
        client.transport.write(b"x" * 1_000_000)
        client.transport.loseWriteConnection()
        client.transport.loseConnection()
        world.until(lost(client))
        world.until(lambda: "readLost" in server.trace)
        assert client.trace == ["made", ("lost", "ConnectionDone")]
        assert len(server.received) == 1_000_000
        server.transport.loseConnection()
        world.until(lost(server))

    @pytest.mark.parametrize("where", ["readLost", "writeLost"])
    def test_exceptions(self, world: World, caplog: pytest.LogCaptureFixture, where: str) -> None:
        error = Boom(where)
        server, client = world.pair(server={where: raising(error)}, halves=True)
        if where == "readLost":
            client.transport.loseWriteConnection()
        else:
            server.transport.loseWriteConnection()
        world.until(lost(server, client))
        assert server.lost.value is error
        assert server.trace == ["made", where, ("lost", "Boom")]
        assert errorsIn(caplog) == [error]

    def test_writesFromReadConnectionLostAreSent(self, world: World) -> None:
        def answer(protocol: Any) -> None:
            protocol.transport.write(b"sum of %d bytes" % len(protocol.received))
            protocol.transport.loseConnection()

        server, client = world.pair(server={"readLost": answer}, halves=True, clientHalves=True)
        client.transport.write(b"x" * 1000)
        client.transport.loseWriteConnection()
        world.until(lambda: "readLost" in client.trace)
        assert client.received == b"sum of 1000 bytes"
        client.transport.loseConnection()
        world.until(lost(server, client))


class Producing:
    def test_pushProducerIsPausedOnceAboveTheMarkAndResumedWhenEmpty(self, world: World) -> None:
        server, client = world.pair()
        producer = Producer()
        client.transport.pauseProducing()
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x" * HIGH_WATER)
        assert producer.trace == []
        server.transport.write(b"x")
        assert producer.trace == ["pause"]
        for _ in range(100):
            server.transport.write(b"x" * 100_000)
        assert producer.trace == ["pause"]
        client.transport.resumeProducing()
        world.until(lambda: len(client.received) == HIGH_WATER + 1 + 10_000_000)
        world.until(lambda: producer.trace == ["pause", "resume"])
        server.transport.write(b"x" * (HIGH_WATER + 1))
        assert producer.trace == ["pause", "resume", "pause"]
        world.until(lambda: producer.trace == ["pause", "resume", "pause", "resume"])

    def test_theMarkIsWatchedInDataReceivedToo(self, world: World) -> None:
        producer = Producer()

        def answer(protocol: Any, data: bytes) -> None:
            if protocol.transport.producer is None:
                protocol.transport.registerProducer(producer, True)
            for _ in range(65):
                protocol.transport.write(PIECE)

        _, client = world.pair(server={"data": answer})
        client.transport.write(b"x")
        world.until(lambda: len(client.received) == 65 * 1024)
        world.until(lambda: producer.trace == ["pause", "resume"])

    def test_aProducerRegisteredAboveTheMarkIsPausedAtTheNextWrite(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        server.transport.write(b"x" * 10_000_000)
        server.transport.write(b"x")
        producer = Producer()
        server.transport.registerProducer(producer, True)
        assert producer.trace == []
        server.transport.write(b"x")
        assert producer.trace == ["pause"]
        client.transport.resumeProducing()
        world.until(lambda: producer.trace == ["pause", "resume"])

    def test_pullProducerIsAskedOnceThenAtEachEmptyBuffer(self, world: World) -> None:
        server, client = world.pair()
        pieces = [b"%d" % number * 100_000 for number in range(5)]

        def produce() -> None:
            if pieces:
                server.transport.write(pieces.pop(0))
            else:
                server.transport.unregisterProducer()

        producer = Producer(resume=produce)
        server.transport.registerProducer(producer, False)
        assert producer.trace == ["resume"]
        world.until(lambda: len(client.received) == 500_000 and server.transport.producer is None)
        assert client.received == b"".join(b"%d" % number * 100_000 for number in range(5))
        assert producer.trace == ["resume"] * 6

    @pytest.mark.timing
    def test_aPullProducerThatWritesNothingIsAskedAgain(self, world: World) -> None:
        """Soon, and not all the time; also in the middle, when the connection is closing, and not once it is done."""
        server, client = world.pair()
        times: list[float] = []

        def produce() -> None:
            times.append(world.reactor.seconds())
            if len(times) in (5, 10):
                server.transport.write(b"x")
            elif len(times) == 15:
                server.transport.write(b"y")
                server.transport.unregisterProducer()

        server.transport.registerProducer(Producer(resume=produce), False)
        server.transport.loseConnection()
        world.until(lost(server, client))
        assert (client.received, len(times)) == (b"xxy", 15)
        waits = [after - before for before, after in itertools.pairwise(times)]
        assert sum(wait >= 0.009 for wait in waits) == 12

    def test_aPullProducerIsAskedNoMoreThanOneAtATime(self, world: World) -> None:
        """Data that others write brings further questions, and each of them at most one more timer."""
        server, client = world.pair()

        def timers() -> int:
            return len([call for call in world.reactor.getDelayedCalls() if "_askAgain" in repr(call)])

        producer = Producer()
        server.transport.registerProducer(producer, False)
        for number in range(1, 6):
            server.transport.write(b"x")
            world.until(lambda number=number: len(client.received) == number)
            assert timers() <= 1
        world.until(lambda: server.transport._asking)
        server.transport.unregisterProducer()
        assert (server.transport._asking, timers()) == (None, 0)
        server.transport.registerProducer(producer, False)
        server.transport.abortConnection()
        world.until(lost(server, client))
        assert producer.trace[-1] == "stop"
        assert (server.transport._asking, timers()) == (None, 0)

    def test_aPullProducerThatRaisesWhenAskedAgain(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        server, client = world.pair()
        error = Boom()

        def produce() -> None:
            if len(producer.trace) == 3:
                raise error

        producer = Producer(resume=produce)
        server.transport.registerProducer(producer, False)
        world.until(lost(server, client))
        assert server.lost.value is error
        assert errorsIn(caplog) == [error]

    def test_aFileSentCompressed(self, world: World) -> None:
        """Most pieces give nothing: what they become is sent all the same, however long that takes."""
        server, client = world.pair()
        size = 100 * FileSender.CHUNK_SIZE
        compressor = zlib.compressobj(9)
        sender = FileSender()
        sent = sender.beginFileTransfer(io.BytesIO(bytes(size)), server.transport, compressor.compress)

        def finish(last: bytes) -> None:
            server.transport.write(compressor.flush())
            server.transport.loseConnection()

        sent.addCallback(finish)
        world.until(lost(server, client))
        assert zlib.decompress(client.received) == bytes(size)

    def test_registrationRules(self, world: World) -> None:
        server, client = world.pair()
        first, second = Producer(), Producer()
        server.transport.registerProducer(first, True)
        with pytest.raises(RuntimeError):
            server.transport.registerProducer(second, True)
        with pytest.raises(RuntimeError):
            server.transport.registerProducer(first, False)
        server.transport.unregisterProducer()
        server.transport.unregisterProducer()
        server.transport.registerProducer(second, False)
        assert (first.trace, second.trace) == ([], ["resume"])
        client.transport.abortConnection()
        world.until(lost(server, client))
        assert (first.trace, second.trace) == ([], ["resume", "stop"])
        server.transport.registerProducer(first, True)
        assert first.trace == ["stop"]
        assert server.transport.producer is None

    def test_stopProducingComesBeforeConnectionLost(self, world: World) -> None:
        order: list[str] = []
        server, client = world.pair(server={"lost": lambda *_: order.append("lost")})
        server.transport.registerProducer(Producer(stop=lambda: order.append("stop")), True)
        client.transport.loseConnection()
        world.until(lost(server, client))
        assert order == ["stop", "lost"]

    @pytest.mark.parametrize("word", ["resume", "stop"])
    def test_exceptionsOfProducers(self, world: World, caplog: pytest.LogCaptureFixture, word: str) -> None:
        error = Boom(word)
        server, client = world.pair()
        server.transport.registerProducer(Producer(**{word: raising(error)}), True)
        server.transport.write(b"x" * (HIGH_WATER + 1))
        if word == "stop":
            client.transport.loseConnection()
        world.until(lost(server, client))
        assert server.lost.value is error if word == "resume" else reasonOf(server) is not Boom
        assert errorsIn(caplog) == [error]
        assert len([event for event in server.trace if event[0] == "lost"]) == 1

    def test_loseConnectionWaitsForAPullProducer(self, world: World) -> None:
        server, client = world.pair()
        pieces = [b"a" * 70_000, b"b" * 70_000, b"c" * 70_000]

        def produce() -> None:
            if pieces:
                server.transport.write(pieces.pop(0))
            else:
                server.transport.unregisterProducer()

        producer = Producer(resume=produce)
        server.transport.registerProducer(producer, False)
        server.transport.loseConnection()
        world.until(lost(server, client))
        assert len(client.received) == 210_000
        assert "stop" not in producer.trace

    def test_loseConnectionWaitsForAPausedPushProducer(self, world: World) -> None:
        server, client = world.pair()

        def finish() -> None:
            server.transport.write(b"the end")
            server.transport.unregisterProducer()

        producer = Producer(resume=finish)
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x" * 100_000)
        server.transport.loseConnection()
        world.until(lost(server, client))
        assert client.received.endswith(b"xthe end")
        assert producer.trace == ["pause", "resume"]

    def test_loseConnectionDoesNotWaitForAPushProducerThatIsNotPaused(self, world: World) -> None:
        server, client = world.pair()
        producer = Producer()
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x")
        server.transport.loseConnection()
        world.until(lost(server, client))
        assert producer.trace == ["stop"]
        assert client.received == b"x"

    def test_stopConsumingDetachesAndCloses(self, world: World) -> None:
        server, client = world.pair()
        producer = Producer()
        server.transport.registerProducer(producer, False)
        server.transport.write(b"x")
        server.transport.stopConsuming()
        world.until(lost(server, client))
        assert producer.trace == ["resume"]
        assert (client.received, reasonOf(server)) == (b"x", ConnectionDone)


class Proxying:
    def test_aTransportIsTheProducerOfAnother(self, world: World) -> None:
        """A proxy: a peer that does not read stops the peer that sends, two connections away.

        Little is kept, nothing lost, and the other direction goes on. The end of one connection is the end of the
        other.
        """
        joined: dict[Any, Any] = {}
        digest, count = hashlib.sha256(), 0

        def passOn(protocol: Any, data: bytes) -> None:
            protocol.received.clear()
            joined[protocol].transport.write(data)

        def take(protocol: Any, data: bytes) -> None:
            nonlocal count
            protocol.received.clear()
            digest.update(data)
            count += len(data)

        inner, source = world.pair(server={"data": passOn})
        sink, outer = world.pair(server={"data": take}, client={"data": passOn})
        for one, other in ((inner, outer), (outer, inner)):
            joined[one] = other
            one.transport.registerProducer(other.transport, True)
        sink.transport.pauseProducing()
        piece, expected = bytes(60_000), hashlib.sha256()
        streamer = Streamer(source.transport, piece, 64 << 20, expected)
        source.transport.registerProducer(streamer, True)
        streamer.resumeProducing()
        seen: list[tuple[int, int]] = []

        def standsStill() -> bool:
            seen.append((streamer.number, outer.transport.unsent))
            return streamer.paused and outer.transport.producerPaused and len(seen) > 10 and len(set(seen[-10:])) == 1

        world.until(standsStill)
        assert max(end.transport.unsent for end in (inner, outer)) < 4 * HIGH_WATER
        sink.transport.write(b"answer")
        world.until(lambda: source.received == b"answer")
        streamer.left = 1 << 20
        sink.transport.resumeProducing()
        world.until(lambda: streamer.left <= 0 and count >= streamer.number * len(piece))
        assert count == streamer.number * len(piece)
        assert digest.digest() == expected.digest()
        source.transport.loseConnection()
        world.until(lost(source, inner, outer, sink))
        assert {reasonOf(end) for end in (source, inner, outer, sink)} == {ConnectionDone}


def reach(world: World, where: str, hook: Callable[..., object]) -> tuple[Any, Any]:
    """Have a callback of the server called, `where`, whose result is that of `hook`. Return server and client."""
    server, client = world.pair(server={where: hook}, halves=where in ("readLost", "writeLost"))
    if where == "data":
        client.transport.write(b"x")
    elif where == "readLost":
        client.transport.loseWriteConnection()
    elif where == "writeLost":
        server.transport.loseWriteConnection()
    elif where == "lost":
        client.transport.loseConnection()
    world.until(lambda: any(event == where or event[0] == where for event in server.trace))
    return server, client


class Coroutines:
    """Callbacks that give back more than None: coroutines are run beside what follows, and all else is not heeded."""

    @pytest.mark.parametrize("where", ["made", "data", "lost"])
    def test_aCoroutineIsRunBeside(self, world: World, where: str) -> None:
        gate: Deferred[None] = Deferred()
        seen: list[str] = []

        async def wait() -> None:
            seen.append("begun")
            await gate
            seen.append("ended")

        server, client = reach(world, where, lambda *_: wait())
        assert seen[:1] == ["begun"]
        if where != "lost":
            client.transport.write(b"more")  # nothing is held back
            world.until(lambda: server.received.endswith(b"more"))
            assert "ended" not in seen
            client.transport.loseConnection()
        world.until(lost(server, client))
        gate.callback(None)
        assert seen.count("ended") == seen.count("begun") >= 1

    @pytest.mark.parametrize("late", [False, True], ids=["atOnce", "late"])
    @pytest.mark.parametrize("where", ["made", "data", "readLost", "writeLost"])
    def test_aCoroutineThatFailsCostsThatConnection(
        self, world: World, caplog: pytest.LogCaptureFixture, where: str, late: bool
    ) -> None:
        error = Boom(where)
        gate: Deferred[None] = Deferred()

        async def fail() -> None:
            if late:
                await gate
            raise error

        server, client = reach(world, where, lambda *_: fail())
        if late:
            assert server.lost is None
            gate.callback(None)
        world.until(lambda: server.lost is not None)
        assert server.lost.value is error
        assert errorsIn(caplog) == [error]
        client.transport.abortConnection()
        world.until(lost(client))

    @pytest.mark.parametrize("late", [False, True], ids=["atOnce", "late"])
    def test_aCoroutineOfConnectionLostThatFailsIsLogged(
        self, world: World, caplog: pytest.LogCaptureFixture, late: bool
    ) -> None:
        gate: Deferred[None] = Deferred()
        error = Boom("lost")

        async def fail() -> None:
            if late:
                await gate
            raise error

        server, client = reach(world, "lost", lambda *_: fail())
        world.until(lost(server, client))
        gate.callback(None)
        assert errorsIn(caplog) == [error]

    def test_aCancelledCoroutineOfALostConnectionIsNoError(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        gate: Deferred[None] = Deferred()

        async def wait() -> None:
            await gate

        server, client = reach(world, "made", lambda *_: wait())
        client.transport.loseConnection()
        world.until(lost(server, client))
        gate.cancel()
        assert errorsIn(caplog) == []

    @pytest.mark.parametrize("where", ["made", "data"])
    def test_aGeneratorIsAnError(self, world: World, caplog: pytest.LogCaptureFixture, where: str) -> None:
        def forgotten(*_: object) -> Any:
            yield

        server, client = reach(world, where, forgotten)
        world.until(lost(server))
        assert reasonOf(server) is TypeError
        assert "forgotten is a generator, and nothing of it has run" in str(server.lost.value)
        assert len(errorsIn(caplog)) == 1
        client.transport.abortConnection()
        world.until(lost(client))

    @pytest.mark.parametrize("where", ["made", "data", "lost"])
    def test_aDeferredIsNotHeeded(self, world: World, where: str) -> None:
        answers: list[Deferred[None]] = []

        def answer(*_: object) -> Deferred[None]:
            answers.append(Deferred())
            return answers[-1]

        server, client = reach(world, where, answer)
        if where != "lost":
            client.transport.write(b"more")
            world.until(lambda: server.received.endswith(b"more"))
            client.transport.loseConnection()
        world.until(lost(server, client))
        assert all(not each.callbacks for each in answers)


class OutputLimit:
    """The hard cap: a peer that does not read costs the cap and one write, on every way out."""

    CAP = 100_000

    @pytest.mark.parametrize(
        "how", ["write", "writeSequence", "sendLine", "sendLines", "sendLine of lines only", "inDataReceived"]
    )
    def test_aBacklogAboveTheCapEndsTheConnection(
        self, world: World, caplog: pytest.LogCaptureFixture, how: str
    ) -> None:
        sizes: list[int] = []

        def write(transport: Any) -> None:
            lines: Any = LineOnlyReceiver() if "only" in how else LineReceiver()
            lines.transport = transport
            if how == "writeSequence":
                transport.writeSequence([PIECE[:512], PIECE[512:]])
            elif how == "sendLines":
                lines.sendLines([PIECE[:500], PIECE[:520]])
            elif "sendLine" in how:
                lines.sendLine(PIECE[:-2])
            else:
                transport.write(PIECE)
            sizes.append(transport.unsent)

        def flood(protocol: Any, _: bytes) -> None:
            transport = protocol.transport
            transport.setOutputLimits(highWater=10_000, outputLimit=self.CAP)
            while not transport.disconnecting:
                write(transport)

        server, client = world.pair(server={"data": flood} if how == "inDataReceived" else {})
        counts = server.transport.reactor
        before = counts.overflowCount
        client.transport.pauseProducing()
        if how == "inDataReceived":
            client.transport.write(b"go")
            world.until(lambda: sizes)
        else:
            flood(server, b"")
        assert server.lost is None
        assert self.CAP < max(sizes) <= self.CAP + len(PIECE)
        assert sizes[-1] == 0  # let go of at once
        write(server.transport)
        assert sizes[-1] == 0
        world.until(lost(server))
        client.transport.resumeProducing()
        world.until(lost(client))
        assert reasonOf(server) is OutputLimitExceeded
        assert isinstance(server.lost.value, ConnectionLost)  # type: ignore[attr-defined]
        assert counts.overflowCount == before + 1
        assert reasonOf(client).__name__ == world.afterReset
        assert [record.levelno for record in caplog.records if record.levelno >= logging.WARNING] == [logging.WARNING]

    @pytest.mark.parametrize("who", ["callLater", "another connection"])
    def test_theCapHoldsForWhoeverWrites(self, world: World, who: str) -> None:
        """Little by little, each time from outside the connection's own events."""
        server, client = world.pair()
        sizes: list[int] = []

        def write(*_given: object) -> None:
            for _ in range(10):
                server.transport.write(PIECE)
                sizes.append(server.transport.unsent)
            if not server.transport.disconnecting:
                askAgain()

        def askAgain() -> None:
            if who == "callLater":
                world.reactor.callLater(0, write)
            else:
                asking.transport.write(b"more")

        client.transport.pauseProducing()
        server.transport.setOutputLimits(highWater=10_000, outputLimit=self.CAP)
        answering, asking = world.pair(server={"data": write})
        askAgain()
        world.until(lost(server))
        assert self.CAP < max(sizes) <= self.CAP + len(PIECE)
        assert sizes[-1] == 0
        assert reasonOf(server) is OutputLimitExceeded
        assert answering.lost is None
        client.transport.abortConnection()
        world.until(lost(client))

    def test_limitsSetInDataReceivedCountForItsOwnWrites(self, world: World) -> None:
        def flood(protocol: Any, data: bytes) -> None:
            protocol.transport.setOutputLimits(highWater=10, outputLimit=100)
            for _ in range(3):
                protocol.transport.write(b"x" * 100)

        server, client = world.pair(server={"data": flood})
        client.transport.write(b"go")
        world.until(lost(server, client))
        assert reasonOf(server) is OutputLimitExceeded

    def test_oneWriteAboveTheCapIsSent(self, world: World) -> None:
        server, client = world.pair()
        server.transport.setOutputLimits(highWater=0, outputLimit=0)
        server.transport.write(b"x" * 1_000_000)
        world.until(lambda: len(client.received) == 1_000_000)
        server.transport.write(b"y")
        world.until(lambda: client.received.endswith(b"y"))
        assert server.lost is None

    def test_defaults(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        assert (server.transport.highWater, server.transport.outputLimit) == (65536, 16 * 1024 * 1024)
        server.transport.write(b"x" * (16 * 1024 * 1024))
        server.transport.write(b"x")
        assert not server.transport.disconnecting
        server.transport.write(b"x")
        assert server.transport.disconnecting
        world.until(lost(server))
        assert reasonOf(server) is OutputLimitExceeded
        client.transport.abortConnection()
        world.until(lost(client))

    def test_aProducerThatListensNeverMeetsIt(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        server.transport.setOutputLimits(highWater=10_000, outputLimit=20_000)
        written: list[int] = []

        def produce() -> None:
            while server.transport.producer is not None and not server.transport.producerPaused:
                server.transport.write(PIECE)
                written.append(server.transport.unsent)
                if len(written) == 2000:
                    server.transport.unregisterProducer()
                    server.transport.loseConnection()

        producer = Producer(resume=produce)
        server.transport.registerProducer(producer, True)
        produce()
        client.transport.resumeProducing()
        world.until(lost(server, client))
        assert len(client.received) == 2000 * 1024
        assert max(written) <= 10_000 + 1024
        assert reasonOf(server) is ConnectionDone

    @pytest.mark.parametrize("limits", [(-1, 5), (6, 5)])
    def test_wrongLimits(self, world: World, limits: tuple[int, int]) -> None:
        server, client = world.pair()
        with pytest.raises(ValueError, match="output limits"):
            server.transport.setOutputLimits(*limits)
        client.transport.loseConnection()
        world.until(lost(server, client))

    def test_limitsCountAtOnce(self, world: World) -> None:
        server, client = world.pair()
        client.transport.pauseProducing()
        producer = Producer()
        server.transport.registerProducer(producer, True)
        server.transport.write(b"x" * 1000)
        server.transport.setOutputLimits(highWater=500, outputLimit=2000)
        server.transport.write(b"x")
        assert producer.trace == ["pause"]
        server.transport.write(b"x" * 1000)
        server.transport.setOutputLimits()
        server.transport.write(b"x" * 60_000)
        assert not server.transport.disconnecting
        client.transport.resumeProducing()
        world.until(lambda: len(client.received) == 62_001)


class TransportContract(Life, Writing, Reading, HalfClose, Producing, Proxying, Coroutines, OutputLimit):
    """All of it. A subclass has the fixture `world`."""
