"""The sending half by itself, over a peer that takes what the test says: order, marks, limits, producers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.linecore import asBytes
from reactor.task import Clock
from reactor.transports.output import ENDED, ENDING, HIGH_WATER, OPEN, OUTPUT_LIMIT, PULL_REST, SEND_LIMIT, OutputStream
from tests.support.worlds import Producer


class FakeReactor:
    def __init__(self) -> None:
        self.waiting: list[Any] = []
        self.overflowCount = 0
        self.clock = Clock()
        self.callLater = self.clock.callLater

    def flushSoon(self, transport: Any) -> None:
        self.waiting.append(transport)

    def turn(self) -> None:
        waiting, self.waiting = self.waiting, []
        for transport in waiting:
            transport.flush()


class Output(OutputStream):
    """Sends into `sent`, at most `room` bytes in all; notes what else is asked of it."""

    def __init__(self) -> None:
        super().__init__(FakeReactor())  # type: ignore[arg-type]
        self.sent: bytes | bytearray = bytearray()
        self.sizes: list[int] = []
        self.room = 1 << 40
        self.broken: OSError | None = None
        self.ended = 0
        self.watched = False

    def turn(self) -> None:
        self.reactor.turn()  # type: ignore[attr-defined]

    @property
    def asked(self) -> int:
        return len(self.reactor.waiting)  # type: ignore[attr-defined]

    def _send(self, data: BytesLike) -> int:
        if self.broken is not None:
            raise self.broken
        size = min(len(data), self.room)
        self.room -= size
        self.sent += data[:size]
        self.sizes.append(len(data))
        return size

    def _sendFailed(self, error: OSError) -> None:
        self._writeHalf = ENDED
        self._discardOutput()

    def _outputEnded(self) -> None:
        self.ended += 1

    def _outputOverflowed(self) -> None:
        self._writeHalf = ENDED
        self._discardOutput()

    def startWriting(self) -> None:
        assert not self.watched
        self.watched = True

    def stopWriting(self) -> None:
        self.watched = False

    def loseConnection(self) -> None:
        self._writeHalf = ENDING
        self.disconnecting = True
        self._flushSoon()


@pytest.fixture
def output() -> Output:
    return Output()


def test_asBytes() -> None:
    for given in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"a.b.c.")[::2]):
        made = asBytes(given)
        assert type(made) is bytes
        assert made == b"abc"
    wrongs: list[Any] = ["abc", 3, None, [97]]
    for wrong in wrongs:
        with pytest.raises(TypeError, match=type(wrong).__name__):
            asBytes(wrong)


def test_writeNowSendsAtOnce(output: Output) -> None:
    output.registerProducer(producer := Producer(), True)
    output.setOutputLimits(10)
    output.writeNow(b"x" * 20)
    assert (output.sent, output.unsent, output.asked, producer.trace) == (b"x" * 20, 0, 0, [])
    output.room = 5
    output.writeNow(b"y" * 20)
    assert (output.unsent, output.watched, producer.trace) == (15, True, ["pause"])
    output.writeNow(b"z")
    assert (output.unsent, output.sizes[-1]) == (16, 16)
    output.room = 100
    output.doWrite()
    assert (output.sent[20:], output.watched) == (b"y" * 20 + b"z", False)
    assert producer.trace == ["pause", "resume"]


def test_writeNowBehindWhatWaits(output: Output) -> None:
    output.write(b"first ")
    output.writeNow(b"second")
    assert (output.sent, output.sizes) == (b"first second", [12])
    output._writeHalf = ENDED
    output.writeNow(b"too late")
    assert (output.sent, output.unsent) == (b"first second", 0)


def test_writeNowToABrokenStream(output: Output) -> None:
    output.broken = OSError()
    output.writeNow(b"x")
    assert (output._writeHalf, output.unsent) == (ENDED, 0)


def test_everythingOfATurnGoesInOneSend(output: Output) -> None:
    for piece in (b"a", memoryview(b"b.")[::2], bytearray(b"c")):
        output.write(piece)
    output.writeSequence([b"d", memoryview(b"e")])
    assert (output.sent, output.asked) == (b"", 1)
    output.turn()
    assert (output.sent, output.sizes) == (b"abcde", [5])
    output.write(b"f")
    assert output.asked == 1
    output.turn()
    assert output.sent == b"abcdef"


def test_emptyWrites(output: Output) -> None:
    for _ in range(3):
        output.write(b"")
    output.writeSequence([])
    assert output.asked == 0
    assert output.unsent == 0


def test_shortSends(output: Output) -> None:
    output.room = 3
    output.write(b"abcdef")
    output.turn()
    assert (output.sent, output.watched) == (b"abc", True)
    output.write(b"gh")
    output.room = 100
    output.doWrite()
    output.doWrite()
    assert (output.sent, output.watched) == (b"abcdefgh", False)


def test_watchedForNothing(output: Output) -> None:
    """Somebody else has had the descriptor watched: the loop comes once, and not for ever."""
    output.startWriting()
    output.doWrite()
    assert not output.watched
    output.startWriting()
    output.write(b"abc")
    output.room = 1
    output.doWrite()
    assert (output.sent, output.watched) == (b"a", True)


def test_oneSendIsBounded(output: Output) -> None:
    output.write(b"x" * (3 * SEND_LIMIT + 1))
    output.turn()
    while output.watched:
        output.doWrite()
    assert output.sizes == [SEND_LIMIT, SEND_LIMIT, SEND_LIMIT, 1]
    assert len(output.sent) == 3 * SEND_LIMIT + 1


def test_randomWritesAndRoom() -> None:
    """The bytes come out whole and in order, whatever is written and however little is taken."""
    for seed in range(40):
        rng, output, written = random.Random(seed), Output(), bytearray()
        output.room = 0
        for number in range(60):
            action = rng.random()
            if action < 0.5:
                data = bytes([number]) * rng.choice([0, 1, 10, 1000, 70_000, 200_000])
                written += data
                output.write(data)
            elif action < 0.8:
                output.room = rng.choice([0, 1, 500, 65_536, 300_000])
                (output.doWrite if output.watched else output.turn)()
            else:
                output.turn()
            assert output.sent + (output._front() or b"") == written
        output.room = 1 << 40
        output.turn()
        while output.watched:
            output.doWrite()
        assert output.sent == written


@pytest.mark.parametrize("way", ["turn", "doWrite"])
def test_aBrokenStream(output: Output, way: str) -> None:
    if way == "doWrite":
        output.room = 1
        output.write(b"ab")
        output.turn()
    else:
        output.write(b"ab")
    output.broken = ConnectionResetError()
    getattr(output, way)()
    assert (output.unsent, output.ended) == (0, 0)
    output.write(b"c")
    output.flush()
    assert (output.unsent, output.ended, bytes(output.sent)) == (0, 0, b"a" * (way == "doWrite"))


class TestProducers:
    def test_pushedOverTheMark(self, output: Output) -> None:
        producer = Producer()
        output.registerProducer(producer, True)
        output.room = 0
        output.write(b"x" * HIGH_WATER)
        assert producer.trace == []
        for _ in range(3):
            output.write(b"x")
        assert producer.trace == ["pause"]
        output.room = HIGH_WATER + 2
        output.turn()
        assert producer.trace == ["pause"]
        output.room = 100
        output.doWrite()
        assert producer.trace == ["pause", "resume"]
        assert output.producerPaused is False

    def test_theMarkMayBeZero(self, output: Output) -> None:
        producer = Producer()
        output.registerProducer(producer, True)
        output.setOutputLimits(highWater=0)
        output.write(b"x")
        assert producer.trace == ["pause"]
        output.turn()
        assert producer.trace == ["pause", "resume"]

    def test_pulled(self, output: Output) -> None:
        pieces = [b"a" * 10, b"b" * (SEND_LIMIT + 1), b"c"]

        def produce() -> None:
            if pieces:
                output.write(pieces.pop(0))
            else:
                output.unregisterProducer()

        producer = Producer(resume=produce)
        output.registerProducer(producer, False)
        for _ in range(20):
            output.turn()
            if output.watched:
                output.doWrite()
        assert producer.trace == ["resume"] * 4
        assert len(output.sent) == 10 + SEND_LIMIT + 1 + 1

    def test_aPullProducerIsAskedOnceForEachEmptyBuffer(self, output: Output) -> None:
        """Nothing but an empty buffer asks it again at once: no second flush, no loseConnection."""
        producer = Producer()
        output.write(b"x")
        output.unregisterProducer()
        output.unregisterProducer()
        output.registerProducer(producer, False)
        assert producer.trace == ["resume"]
        output.turn()
        assert producer.trace == ["resume"] * 2
        output.loseConnection()
        output.turn()
        assert producer.trace == ["resume"] * 2
        assert output.ended == 0
        output.unregisterProducer()
        output.turn()
        assert output.ended == 1

    def test_aPullProducerThatWritesNothingIsAskedAgain(self, output: Output) -> None:
        """After PULL_REST; not while something waits, and not when it has been unregistered, or another has come."""
        clock: Clock = output.reactor.clock  # type: ignore[attr-defined]
        producer, other = Producer(), Producer()
        output.registerProducer(producer, False)
        for count in range(1, 4):
            assert (producer.trace, len(clock.getDelayedCalls())) == (["resume"] * count, 1)
            clock.advance(PULL_REST)
        output.write(b"x")
        clock.advance(PULL_REST)
        assert (producer.trace, clock.getDelayedCalls()) == (["resume"] * 4, [])
        output.turn()
        assert (producer.trace, len(clock.getDelayedCalls())) == (["resume"] * 5, 1)
        output.unregisterProducer()
        assert clock.getDelayedCalls() == []
        output.registerProducer(other, True)
        clock.advance(1)
        assert (producer.trace, other.trace) == (["resume"] * 5, [])

    def test_pausedFromTheStart(self, output: Output) -> None:
        output.room = 0
        output.write(b"x" * (HIGH_WATER + 1))
        output.turn()
        producer = Producer()
        output.registerProducer(producer, True)
        assert producer.trace == []
        output.write(b"x")
        assert producer.trace == ["pause"]

    def test_theNextProducerStartsUnpaused(self, output: Output) -> None:
        first, second = Producer(), Producer()
        output.room = 0
        output.registerProducer(first, True)
        output.write(b"x" * (HIGH_WATER + 1))
        output.unregisterProducer()
        output.registerProducer(second, True)
        output.write(b"x")
        assert (first.trace, second.trace) == (["pause"], ["pause"])
        output.room = 1 << 20
        output.turn()
        output.turn()
        assert (first.trace, second.trace) == (["pause"], ["pause", "resume"])

    def test_pausedOnceWhateverTheLimitsBecome(self, output: Output) -> None:
        producer = Producer()
        output.room = 0
        output.registerProducer(producer, True)
        output.write(b"x" * (HIGH_WATER + 1))
        output.setOutputLimits(highWater=5)
        output.write(b"x")
        output.write(b"x")
        assert producer.trace == ["pause"]

    def test_onADeadTransport(self, output: Output) -> None:
        output.disconnected = True
        producer = Producer()
        output.registerProducer(producer, True)
        assert (producer.trace, output.producer) == (["stop"], None)

    def test_aProducerThatWritesWhenPaused(self, output: Output) -> None:
        """pauseProducing itself may write, or unregister."""
        output.room = 0
        output.registerProducer(Producer(pause=lambda: output.write(b"!")), True)
        output.write(b"x" * (HIGH_WATER + 1))
        assert output.unsent == HIGH_WATER + 2
        output.unregisterProducer()
        producer = Producer(pause=lambda: output.unregisterProducer())
        output.registerProducer(producer, True)
        output.write(b"x")
        output.write(b"x")
        assert (producer.trace, output.producer) == (["pause"], None)


class TestLimits:
    @pytest.mark.parametrize("write", [OutputStream.write, lambda output, data: output.writeSequence([data])])
    def test_theCapAndOneWrite(self, output: Output, write: Callable[[Output, BytesLike], None]) -> None:
        output.room = 0
        output.setOutputLimits(highWater=10, outputLimit=100)
        write(output, b"x" * 100)
        output.turn()
        write(output, b"x" * 50)
        assert (output.unsent, output._writeHalf) == (150, OPEN)
        write(output, b"")
        assert output._writeHalf == OPEN or output.unsent == 0
        write(output, b"x")
        assert (output.unsent, output._writeHalf) == (0, ENDED)
        write(output, b"x" * 1000)
        assert output.unsent == 0
        assert output.reactor.overflowCount == 1

    def test_nothingLeavesTheMarksWrong(self) -> None:
        """Random sizes, limits and sends: never above the cap and one write, and cut off only above the cap."""
        for seed in range(300):
            rng, output = random.Random(seed), Output()
            output.room = 0
            limit, high = 16 * 1024 * 1024, HIGH_WATER
            for _ in range(80):
                action = rng.random()
                if action < 0.1:
                    high, limit = sorted((rng.randrange(2000), rng.randrange(3000)))
                    output.setOutputLimits(high, limit)
                elif action < 0.8:
                    size, before = rng.choice([1, 10, 500]), output.unsent
                    output.write(b"x" * size)
                    assert (output._writeHalf == ENDED) == (before > limit)
                    if output._writeHalf == ENDED:
                        break
                    assert output.unsent == before + size <= limit + size
                else:
                    output.room = rng.choice([0, 5, 2000])
                    output.turn()
                    if output.watched:
                        output.doWrite()

    def test_defaults(self, output: Output) -> None:
        assert (output.highWater, output.outputLimit) == (HIGH_WATER, OUTPUT_LIMIT) == (65536, 16777216)
        output.setOutputLimits(1, 2)
        output.setOutputLimits()
        assert (output.highWater, output.outputLimit) == (HIGH_WATER, OUTPUT_LIMIT)
        assert (output.bufferSize if hasattr(output, "bufferSize") else 65536, output.SEND_LIMIT) == (65536, 131072)


def test_whatASubclassSupplies() -> None:
    bare = OutputStream(FakeReactor())  # type: ignore[arg-type]
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (bare._send, (b"",)),
        (bare._sendFailed, (OSError(),)),
        (bare.failConnection, (Failure(OSError()),)),
        (bare._outputEnded, ()),
        (bare._outputOverflowed, ()),
        (bare.startWriting, ()),
        (bare.stopWriting, ()),
        (bare.loseConnection, ()),
    ]
    for method, args in calls:
        with pytest.raises(NotImplementedError):
            method(*args)
