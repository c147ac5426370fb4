"""Sender and RelayEngine, over real sockets, to a server that loses its connections."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.defer import CancelledError
from reactor.endpoints import TCP4ClientEndpoint
from reactor.failure import Failure
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Protocol, ServerFactory
from reactor.sinks import (
    AcknowledgedLines,
    AcknowledgingFactory,
    Batch,
    LinesRefused,
    Numbers,
    Piece,
    QueuedSink,
    RelayEngine,
    Sender,
    SinkClosed,
    SinkError,
    SinkFull,
)
from reactor.testing import connectableEndpoint
from tests.support.worlds import turnUntil
from tests.unit.sinks.sinks import HeldSink

RETRY = 0.001  # seconds


class Server:
    """A server of acknowledged lines, whose connections the test can reset."""

    def __init__(self, reactor: EpollReactor, sink: HeldSink) -> None:
        self.reactor = reactor
        self.sink = sink
        self.connections: list[AcknowledgedLines] = []
        server = self

        class Remembering(AcknowledgedLines):
            MAX_LENGTH = 1000

            def connectionMade(self) -> None:
                server.connections.append(self)
                super().connectionMade()

            def connectionLost(self, reason: Any = None) -> None:
                server.connections.remove(self)
                super().connectionLost(reason)

        self.factory = AcknowledgingFactory(sink, clock=reactor)
        self.factory.protocol = Remembering
        self.port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port)

    def reset(self) -> None:
        for each in list(self.connections):
            each.transport.abortConnection()


@pytest.fixture
def loop() -> Iterator[EpollReactor]:
    made = EpollReactor()
    yield made
    made.close()


@pytest.fixture
def server(loop: EpollReactor) -> Iterator[Server]:
    made = Server(loop, HeldSink(takes=True))
    yield made
    made.port.stopListening()
    loop.iterate()


def senderTo(server: Server, session: str | None = None, **settings: Any) -> Sender:
    return Sender(server.endpoint, session, clock=server.reactor, retryPolicy=lambda _: RETRY, **settings)


def stop(server: Server, sender: Sender) -> None:
    stopped = sender.stop()
    turnUntil(server.reactor, lambda: stopped.called)


def wait(server: Server, deferred: Any) -> Any:
    """Turn until a Deferred has fired; return its result, or the class of its error."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    turnUntil(server.reactor, lambda: results)
    return results[0].type if isinstance(results[0], Failure) else results[0]


def once(server: Server) -> list[bytes]:
    """Return the lines of the server's sink, without doubles, in the order of their numbers."""
    found: dict[int, bytes] = {}
    for lines, _, numbers, _ in server.sink.appended:
        assert numbers is not None
        for index, line in enumerate(lines):
            assert found.setdefault(numbers.first + index, line) == line
    return [found[number] for number in sorted(found)]


def test_linesOfBeforeTheConnectionAreSentAndAcknowledged(server: Server) -> None:
    sender = senderTo(server, "me")
    kept = sender.sendLines([b"one", b"two"])
    sender.start()
    assert wait(server, kept) is None
    assert wait(server, sender.sendLine(b"three")) is None
    assert once(server) == [b"one", b"two", b"three"]
    assert sender.nextNumber == 4
    counts = sender.counters()
    assert (counts["ackedLines"], counts["sentLines"], counts["connections"], counts["heldBytes"]) == (3, 3, 1, 0)
    stop(server, sender)


def test_aSessionGoesOnAtANumber(server: Server) -> None:
    sender = senderTo(server, "me", first=100)
    sender.start()
    wait(server, sender.sendLine(b"hundredth"))
    ((_, origin, numbers, _),) = server.sink.appended
    assert (origin, numbers) == ("session me", ("me", 100))
    stop(server, sender)


def test_whatIsNotAcknowledgedIsSentAgain(server: Server) -> None:
    server.sink.takes = False
    sender = senderTo(server)
    sender.start()
    first = sender.sendLines([b"one", b"two"])
    turnUntil(server.reactor, lambda: server.sink.lines == [b"one", b"two"])
    second = sender.sendLine(b"three")
    turnUntil(server.reactor, lambda: server.sink.lines == [b"one", b"two", b"three"])
    server.sink.kept[0].callback(None)
    wait(server, first)
    server.reset()
    turnUntil(server.reactor, lambda: len(server.sink.lines) == 4)
    assert server.sink.lines[3] == b"three"
    assert server.sink.appended[-1][2] == (sender.session, 3)
    server.sink.kept[-1].callback(None)
    assert wait(server, second) is None
    stop(server, sender)


@pytest.mark.parametrize("seed", range(8))
def test_nothingIsLostWhenConnectionsAre(server: Server, seed: int) -> None:
    chance = random.Random(seed)
    server.sink.takes = False
    sender = senderTo(server, highWater=400)
    sender.start()
    sent: list[bytes] = []
    acknowledged: list[bytes] = []
    for number in range(300):
        lines = [b"line %d %d" % (number, index) for index in range(chance.randrange(1, 4))]
        sent += lines
        kept = sender.sendLines(lines)
        kept.addCallback(lambda _, lines: acknowledged.extend(lines), lines)
        server.reactor.iterate(0)
        for each in list(server.sink.kept):
            if chance.random() < 0.5:
                server.sink.kept.remove(each)
                each.callback(None)
                assert set(acknowledged) <= set(server.sink.lines)
        if chance.random() < 0.05:
            server.reset()
    server.sink.takes = True
    for each in server.sink.kept:
        each.callback(None)
    server.sink.kept.clear()
    assert wait(server, sender.flush()) is None
    turnUntil(server.reactor, lambda: acknowledged == sent)
    assert once(server) == sent
    stop(server, sender)


def test_aRefusedLineFailsItsCallAlone(server: Server) -> None:
    sender = senderTo(server)
    sender.start()
    good, bad, last = sender.sendLine(b"good"), sender.sendLines([b"x" * 1001, b"fine"]), sender.sendLine(b"last")
    assert wait(server, bad) is LinesRefused
    assert wait(server, good) is None
    assert wait(server, last) is None
    assert server.sink.lines == [b"good", b"fine", b"last"]
    assert sender.counters()["refusedLines"] == 1
    stop(server, sender)


def test_aSenderIsFullAndThenRefuses(server: Server) -> None:
    sender = senderTo(server, highWater=10, maxHeld=20)
    assert wait(server, sender.whenRoom()) is None
    sender.sendLine(b"x" * 11)
    assert sender.isFull
    room = sender.whenRoom()
    assert wait(server, sender.sendLine(b"y" * 20)) is SinkFull
    sender.start()
    assert wait(server, room) is None
    assert not sender.isFull
    stop(server, sender)


def test_withoutAnAcknowledgementTheConnectionIsMadeAnew(server: Server) -> None:
    server.sink.takes = False
    sender = senderTo(server, ackTimeout=0.05)
    sender.start()
    kept = sender.sendLine(b"one")
    turnUntil(server.reactor, lambda: sender.counters()["timeouts"] == 1)
    server.sink.takes = True
    assert wait(server, kept) is None
    assert sender.counters()["connections"] > 1
    stop(server, sender)


def test_stopFailsWhatIsNotAcknowledged(server: Server) -> None:
    server.sink.takes = False
    sender = senderTo(server, highWater=1)
    sender.start()
    kept, room = sender.sendLine(b"one"), sender.whenRoom()
    turnUntil(server.reactor, lambda: server.sink.lines)
    stop(server, sender)
    assert wait(server, kept) is SinkClosed
    assert wait(server, room) is None
    assert wait(server, sender.sendLine(b"two")) is SinkClosed


def test_aServerThatSpeaksOtherwiseIsLeft(loop: EpollReactor) -> None:
    class Rude(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"ack 999999\nHTTP/1.1 400 Bad Request\n")

    port = loop.listenTCP(0, ServerFactory.forProtocol(Rude), interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port.getHost().port)
    sender = Sender(endpoint, clock=loop, retryPolicy=lambda _: RETRY)
    sender.start()
    kept = sender.sendLine(b"one")
    kept.addErrback(lambda _: None)
    turnUntil(loop, lambda: sender.counters()["connections"] > 2)
    assert sender.counters()["ackedLines"] == 0
    stopped = sender.stop()
    turnUntil(loop, lambda: stopped.called)
    port.stopListening()
    loop.iterate()


@pytest.mark.parametrize(
    ("session", "first", "error"),
    [("", 1, "a session has"), ("a b", 1, "a session has"), ("x" * 65, 1, "a session has"), ("a", 0, "at least 1")],
)
def test_aSessionOrNumberThatTheProtocolDoesNotKnowIsAnError(session: str, first: int, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Sender(connectableEndpoint()[0], session, first=first)


def test_aLineHasNoLineFeed(server: Server) -> None:
    with pytest.raises(ValueError, match="a line has no LF"):
        senderTo(server).sendLine(b"a\nb")


class TestRelay:
    def relayTo(self, server: Server, **settings: Any) -> QueuedSink:
        engine = RelayEngine(server.endpoint, clock=server.reactor, retryPolicy=lambda _: RETRY, **settings)
        sink = QueuedSink(engine, server.reactor)
        wait(server, sink.open())
        return sink

    def test_theNumbersOfASenderGoOn(self, server: Server) -> None:
        before = Server(server.reactor, HeldSink())
        relay = self.relayTo(server)
        before.factory.sink = relay
        sender = senderTo(before, "origin", first=5)
        sender.start()
        assert wait(server, sender.sendLines([b"one", b"two"])) is None
        ((lines, origin, numbers, _),) = server.sink.appended
        assert (lines, origin, numbers) == ([b"one", b"two"], "session origin", ("origin", 5))
        stop(server, sender)
        wait(server, relay.close())
        before.port.stopListening()

    def test_anOriginWithoutNumbersGetsThemOnce(self, server: Server) -> None:
        relay = self.relayTo(server)
        server.sink.takes = False
        kept = relay.append([b"one"], "a")
        turnUntil(server.reactor, lambda: server.sink.lines)
        server.reset()
        server.sink.takes = True
        assert wait(server, kept) is None
        (first, second) = (numbers for _, _, numbers, _ in server.sink.appended)
        assert first == second
        wait(server, relay.append([b"two"], "a"))
        assert once(server) == [b"one", b"two"]
        wait(server, relay.close())

    def test_linesThatASenderSendsAgainGoOnAgain(self, server: Server) -> None:
        """Behind a lower number, or a gap, comes a connection of its own."""
        relay = self.relayTo(server)
        for first in (1, 1, 7, 3):
            wait(server, relay.append([b"%d" % first], "a", Numbers("s", first)))
        assert [numbers for _, _, numbers, _ in server.sink.appended] == [("s", 1), ("s", 1), ("s", 7), ("s", 3)]
        wait(server, relay.close())

    def test_aBatchThatIsCancelledDoesNotGoOnTwice(self, server: Server) -> None:
        engine = RelayEngine(server.endpoint, clock=server.reactor, retryPolicy=lambda _: RETRY)
        server.sink.takes = False
        piece = Piece([b"one"], "a", None, "")
        sending = engine.send(Batch([piece]))
        turnUntil(server.reactor, lambda: server.sink.lines)
        sending.cancel()
        assert wait(server, sending) is CancelledError
        assert engine.connectionCount == 0
        server.sink.takes = True
        assert wait(server, engine.send(Batch([piece]))) is None
        assert once(server) == [b"one"]
        wait(server, engine.close())

    def test_anIdleConnectionIsClosedForAnother(self, server: Server) -> None:
        relay = self.relayTo(server, maxConnections=2)
        for origin in ("a", "b", "c", "a"):
            assert wait(server, relay.append([origin.encode()], origin)) is None
        turnUntil(server.reactor, lambda: len(server.connections) == 2)
        wait(server, relay.close())

    def test_aBatchOfMoreOriginsThanConnectionsFails(self, server: Server) -> None:
        engine = RelayEngine(server.endpoint, clock=server.reactor, maxConnections=1, retryPolicy=lambda _: RETRY)
        with pytest.raises(SinkError, match="more than 1 origins"):
            engine.send(Batch([Piece([b"1"], "a", None, ""), Piece([b"2"], "b", None, "")]))
        wait(server, engine.close())

    def test_theNumberOfConnectionsIsAtLeastOne(self, server: Server) -> None:
        with pytest.raises(ValueError, match="maxConnections is at least 1, not 0"):
            RelayEngine(server.endpoint, maxConnections=0)

    def test_aRefusedLineDoesNotHoldUpTheOthers(self, server: Server) -> None:
        relay = self.relayTo(server)
        bad, good = relay.append([b"x" * 1001], "a"), relay.append([b"good"], "b")
        assert wait(server, bad) is LinesRefused
        assert wait(server, good) is None
        wait(server, relay.close())
