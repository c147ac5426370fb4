"""AcknowledgingFactory: what a client hears, and when."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.sinks import AcknowledgedLines, AcknowledgingFactory, LinesRefused, Numbers, SinkClosed
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.unit.sinks.sinks import HeldSink


def served(sink: HeldSink, clock: Clock | None = None, **settings: Any) -> tuple[AcknowledgedLines, StringTransport]:
    factory = AcknowledgingFactory(sink, clock=clock or Clock(), **settings)
    protocol = factory.buildProtocol(None)
    transport = StringTransport()
    assert protocol is not None
    protocol.makeConnection(transport)
    return protocol, transport


def said(transport: StringTransport) -> bytes:
    """Return what the client has heard since the last call."""
    value = transport.value()
    transport.clear()
    return value


def test_linesAreAcknowledgedWhenTheSinkHasThem() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.dataReceived(b"one\ntwo\nthr")
    assert sink.lines == [b"one", b"two"]
    assert said(transport) == b""
    sink.kept[0].callback(None)
    assert said(transport) == b"ack 2\n"
    protocol.dataReceived(b"ee\n")
    sink.kept[1].callback(None)
    assert said(transport) == b"ack 3\n"


def test_acknowledgementsKeepTheOrderOfTheLines() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    for line in (b"one\n", b"two\n", b"three\n"):
        protocol.dataReceived(line)
    sink.kept[1].callback(None)
    sink.kept[2].callback(None)
    assert said(transport) == b""
    sink.kept[0].callback(None)
    assert said(transport) == b"ack 3\n"


def test_aSessionNamesAndNumbersTheLines() -> None:
    sink = HeldSink(takes=True)
    protocol, transport = served(sink)
    protocol.dataReceived(b"session a.B_9-x 41\nline\nline\n")
    protocol.dataReceived(b"line\n")
    assert said(transport) == b"session a.B_9-x 41\nack 42\nack 43\n"
    assert [numbers for _, _, numbers, _ in sink.appended] == [Numbers("a.B_9-x", 41), Numbers("a.B_9-x", 43)]
    assert {origin for _, origin, _, _ in sink.appended} == {"session a.B_9-x"}


def test_connectionsWithoutASessionAreDifferentOrigins() -> None:
    sink = HeldSink(takes=True)
    factory = AcknowledgingFactory(sink, clock=Clock())
    for _ in range(2):
        protocol = factory.buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(StringTransport())
        protocol.dataReceived(b"line\n")
    first, second = (origin for _, origin, _, _ in sink.appended)
    assert first != second


@pytest.mark.parametrize(
    "greeting",
    [
        b"session",
        b"session ",
        b"session a",
        b"session a 0",
        b"session a 01",
        b"session a -1",
        b"session a b",
        b"session " + b"a" * 65 + b" 1",
        b"session a/b 1",
        b"session a 9223372036854775808",
        b"session a 1 2",
    ],
)
def test_aGreetingThatIsNoneEndsTheConnection(greeting: bytes) -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.dataReceived(greeting + b"\n")
    if greeting == b"session":
        assert sink.lines == [b"session"]  # that is a line of data
        return
    assert said(transport) == b"error a session is `session NAME FIRST`\n"
    assert transport.disconnecting
    assert not sink.appended


def test_onlyTheFirstLineIsAGreeting() -> None:
    sink = HeldSink(takes=True)
    protocol, transport = served(sink)
    protocol.dataReceived(b"first\nsession a 1\n")
    assert sink.lines == [b"first", b"session a 1"]
    assert said(transport) == b"ack 2\n"


def test_aLineThatIsTooLongIsRefusedAndHasANumber() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.MAX_LENGTH = 4
    protocol.dataReceived(b"one\n12345\ntwo\n")
    assert sink.lines == [b"one", b"two"]
    assert said(transport) == b""
    sink.kept[0].callback(None)
    assert said(transport) == b"ack 1\nrefused 2 a line has at most 4 bytes\nack 2\n"
    sink.kept[1].callback(None)
    assert said(transport) == b"ack 3\n"
    assert protocol.factory.refusedCount == 1


def test_linesThatTheSinkRefusesAreNamed() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.dataReceived(b"one\ntwo\n")
    protocol.dataReceived(b"three\n")
    sink.kept[0].errback(LinesRefused("too\nlong"))
    sink.kept[1].callback(None)
    assert said(transport) == b"refused 1 too long\nrefused 2 too long\nack 2\nack 3\n"
    assert protocol.factory.refusedCount == 2


def test_anErrorOfTheSinkEndsTheConnectionWithoutAnAcknowledgement() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.dataReceived(b"one\n")
    sink.kept[0].errback(SinkClosed("the sink was closed"))
    assert said(transport) == b"error the sink was closed\n"
    assert transport.disconnecting


def test_oneAcknowledgementForManyLinesComesAfterAWhile() -> None:
    sink, clock = HeldSink(takes=True), Clock()
    protocol, transport = served(sink, clock, ackEvery=3)
    sink.takes = False
    for _ in range(7):
        protocol.dataReceived(b"line\n")
    for kept in sink.kept[:2]:
        kept.callback(None)
    assert said(transport) == b""
    sink.kept[2].callback(None)
    assert said(transport) == b"ack 3\n"
    sink.kept[3].callback(None)
    clock.advance(0.1)
    assert said(transport) == b"ack 4\n"
    for kept in sink.kept[4:]:
        kept.callback(None)
    assert said(transport) == b"ack 7\n"  # nothing waits any more
    assert not clock.getDelayedCalls()


def test_aFullSinkPausesItsClients() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    sink.isFull = True
    protocol.dataReceived(b"one\n")
    assert transport.producerState == "paused"
    sink.makeRoom()
    assert transport.producerState == "producing"
    sink.isFull = True
    other, itsTransport = served(sink)
    assert itsTransport.producerState == "paused"
    other.transport.loseConnection()
    sink.makeRoom()
    assert itsTransport.producerState == "paused"


def test_aClientThatEndsItsHalfHearsOfAllItsLines() -> None:
    sink = HeldSink()
    protocol, transport = served(sink)
    protocol.dataReceived(b"one\nrest")
    protocol.readConnectionLost()
    assert sink.lines == [b"one", b"rest"]
    assert not transport.disconnecting
    for kept in sink.kept:
        kept.callback(None)
    assert said(transport) == b"ack 1\nack 2\n"
    assert transport.disconnecting


def test_nothingIsLeftOfAConnectionThatIsLost() -> None:
    sink, clock = HeldSink(), Clock()
    protocol, transport = served(sink, clock, ackEvery=5)
    protocol.dataReceived(b"one\n")
    protocol.dataReceived(b"two\n")
    sink.kept[0].callback(None)
    assert clock.getDelayedCalls()
    protocol.connectionLost(Failure(ConnectionDone()))
    assert not clock.getDelayedCalls()
    transport.disconnecting = True
    sink.kept[1].callback(None)
    assert said(transport) == b""


def test_linesHaveTheRouteOfAFunction() -> None:
    sink = HeldSink(takes=True)
    protocol, _ = served(sink, route=lambda line, protocol: line.decode().partition(" ")[0])
    protocol.dataReceived(b"a 1\nb 2\n")
    assert sink.appended[0][3] == ["a", "b"]


def test_ackEveryIsAtLeastOne() -> None:
    with pytest.raises(ValueError, match="ackEvery is at least 1, not 0"):
        AcknowledgingFactory(HeldSink(), ackEvery=0)
