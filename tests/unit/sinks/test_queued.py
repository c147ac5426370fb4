"""QueuedSink: what it appends goes to its engine once, in order, in batches, and within its bounds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor.defer import CancelledError, Deferred, fail, succeed
from reactor.error import TimeoutError
from reactor.failure import Failure
from reactor.sinks import Batch, LinesRefused, Numbers, QueuedSink, SinkClosed, SinkFull
from reactor.task import Clock


class Engine:
    """An engine of the test: it has `answers`, and without one the test fires what it has sent."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.openings: list[Any] = []
        self.sent: list[tuple[Batch, Deferred[None]]] = []
        self.stored: list[bytes] = []

    def open(self) -> Any:
        self.opened += 1
        return self.openings.pop(0) if self.openings else succeed(None)

    def send(self, batch: Batch) -> Deferred[None]:
        sending: Deferred[None] = Deferred()
        self.sent.append((batch, sending))
        return sending

    def take(self, index: int = 0) -> list[bytes]:
        """Store a batch; return its lines."""
        batch, sending = self.sent.pop(index)
        lines = [entry.line for entry in batch.entries()]
        self.stored += lines
        sending.callback(None)
        return lines

    def refuse(self, error: Exception, index: int = 0) -> None:
        self.sent.pop(index)[1].errback(error)

    def close(self) -> None:
        self.closed += 1


def opened(engine: Engine, clock: Clock | None = None, **limits: Any) -> QueuedSink:
    sink = QueuedSink(engine, clock or Clock(), jitter=lambda: 1.0, **limits)
    assert sink.open().result is None
    return sink


def outcome(deferred: Deferred[Any]) -> Any:
    """Return None if it has not fired, True for success, or the class of its error."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    if not results:
        return None
    return results[0].type if isinstance(results[0], Failure) else True


def test_anAppendFiresWhenTheEngineHasTheLines() -> None:
    engine = Engine()
    sink = opened(engine)
    kept = sink.append([b"a", b"b"], "one", Numbers("s", 7))
    batch = engine.sent[0][0]
    assert [(entry.line, entry.id) for entry in batch.entries()] == [(b"a", "s:7"), (b"b", "s:8")]
    assert (batch.count, batch.size) == (2, 2)
    assert not kept.called
    engine.take()
    assert kept.called
    assert sink.counters()["keptLines"] == 2
    assert sink.counters()["heldBytes"] == 0


def test_anAppendWithoutLinesIsDurable() -> None:
    assert outcome(opened(Engine()).append([])) is True


def test_linesAppendedBeforeOpenWaitForIt() -> None:
    engine = Engine()
    sink = QueuedSink(engine, Clock())
    kept = sink.append([b"a"])
    assert not engine.sent
    sink.open()
    engine.take()
    assert kept.called


def test_anOpenThatFailsCanBeTriedAgain() -> None:
    engine = Engine()
    engine.openings = [fail(OSError("nobody there"))]
    sink = QueuedSink(engine, Clock())
    assert outcome(sink.open()) is OSError
    assert outcome(sink.open()) is True


def test_whatWaitsGoesTogether() -> None:
    engine = Engine()
    sink = opened(engine, inFlight=1)
    sink.append([b"first"], "one")
    for origin in ("two", "three", "four"):
        sink.append([origin.encode()], origin)
    engine.take()
    assert engine.take() == [b"two", b"three", b"four"]


def test_aBatchHasAtMostItsLinesAndBytes() -> None:
    engine = Engine()
    sink = opened(engine, inFlight=1, batchLines=3, batchBytes=10)
    sink.append([b"-"], "first")
    for number in range(5):
        sink.append([b"%d" % number], f"o{number}")
    sink.append([b"x" * 9], "large")
    sink.append([b"y" * 2], "more")
    sink.append([b"z"] * 7, "many")
    batches = []
    while engine.sent:
        batches.append(b"".join(engine.take()))
    assert batches == [b"-", b"012", b"34", b"xxxxxxxxx", b"yy", b"zzzzzzz"]


def test_linesOfAnOriginWaitForItsBatchUnderWay() -> None:
    engine = Engine()
    sink = opened(engine)
    sink.append([b"a1"], "a")
    sink.append([b"a2"], "a")
    sink.append([b"b1"], "b")
    assert [next(iter(batch.entries())).line for batch, _ in engine.sent] == [b"a1", b"b1"]
    engine.take(1)
    assert len(engine.sent) == 1
    engine.take()
    assert engine.take() == [b"a2"]


def test_aFailedBatchIsSentAgainBeforeLaterLinesOfItsOrigin() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock)
    first = sink.append([b"a1"], "a")
    second = sink.append([b"a2"], "a")
    engine.refuse(ConnectionError("away"))
    assert sink.counters()["isAway"] == 1
    sink.append([b"b1"], "b")
    assert not engine.sent  # the engine is away for all
    clock.advance(0.05)
    assert engine.opened == 2
    assert engine.take() == [b"a1"]
    assert first.called
    assert not second.called
    assert sorted(engine.take() + engine.take()) == [b"a2", b"b1"]
    assert engine.stored.index(b"a1") < engine.stored.index(b"a2")
    assert sink.counters()["failedAttempts"] == 1
    assert sink.counters()["isAway"] == 0


def test_theWaitsBetweenAttemptsGrow() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock)
    sink.append([b"a"])
    engine.openings = [fail(OSError("nobody there")) for _ in range(9)]
    engine.refuse(ConnectionError("away"))
    waits = []
    while not engine.sent:
        (retry,) = clock.getDelayedCalls()
        waits.append(retry.getTime() - clock.seconds())
        clock.advance(waits[-1])
    assert waits == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0])
    engine.take()
    sink.append([b"b"])
    engine.refuse(ConnectionError("away"))
    clock.advance(0.05)
    assert engine.take() == [b"b"]


def test_anAttemptThatTakesTooLongIsCancelledAndMadeAgain() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock, attemptTimeout=3.0)
    kept = sink.append([b"a"])
    _, sending = engine.sent[0]
    clock.advance(3.0)
    assert sending.called
    assert outcome(sending) in (True, CancelledError, TimeoutError)
    engine.sent.clear()
    clock.advance(0.05)
    engine.take()
    assert kept.called


def test_ofARefusedBatchOnlyTheRefusedAppendFails() -> None:
    engine = Engine()
    sink = opened(engine, inFlight=1)
    sink.append([b"-"])
    kept = [sink.append([line], "same" if line == b"3" else line.decode()) for line in (b"1", b"2", b"3", b"4")]
    behind = sink.append([b"5"], "same")
    engine.take()
    engine.refuse(LinesRefused("too long"))
    while engine.sent:
        if next(iter(engine.sent[0][0].entries())).line == b"2":
            engine.refuse(LinesRefused("too long"))
        else:
            engine.take()
    assert [outcome(each) for each in kept] == [True, LinesRefused, True, True]
    assert outcome(behind) is True
    assert engine.stored == [b"-", b"1", b"3", b"5", b"4"]
    assert sink.counters()["refusedLines"] == 1


def test_aboveItsHighWaterTheSinkIsFullAndAboveItsLimitItRefuses() -> None:
    engine = Engine()
    sink = opened(engine, highWater=10, maxHeld=20)
    sink.append([b"x" * 10])
    assert not sink.isFull
    assert outcome(sink.whenRoom()) is True
    sink.append([b"y" * 10])
    assert sink.isFull
    room = sink.whenRoom()
    cancelled = sink.whenRoom()
    cancelled.addErrback(lambda _: None)
    cancelled.cancel()
    assert outcome(sink.append([b"z"])) is SinkFull
    assert sink.counters()["fullLines"] == 1
    assert not room.called
    engine.take()
    assert room.called
    assert not sink.isFull


def test_lingerWaitsForMoreLines() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock, linger=0.5, batchLines=3)
    sink.append([b"1"], "a")
    sink.append([b"2"], "b")
    assert not engine.sent
    sink.append([b"3"], "c")
    assert engine.take() == [b"1", b"2", b"3"]
    sink.append([b"4"], "a")
    clock.advance(0.5)
    assert engine.take() == [b"4"]


def test_flushWaitsForAllThatWasAppendedBefore() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock, linger=5.0)
    assert outcome(sink.flush()) is True
    sink.append([b"1"], "a")
    flushed = sink.flush()
    sink.append([b"2"], "a")
    assert not flushed.called
    assert engine.take() == [b"1"]
    assert flushed.called
    clock.advance(5.0)
    assert engine.take() == [b"2"]


def test_closeFailsWhatIsNotDurable() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock, inFlight=1, highWater=1)
    pieces = [sink.append([b"1"], "a"), sink.append([b"2"], "a"), sink.append([b"3"], "b")]
    room = sink.whenRoom()
    closed = sink.close()
    assert [outcome(each) for each in pieces] == [SinkClosed] * 3
    assert outcome(room) is True
    assert outcome(closed) is True
    assert engine.closed == 1
    assert outcome(sink.append([b"4"])) is SinkClosed
    assert outcome(sink.open()) is SinkClosed
    assert outcome(sink.close()) is True
    assert not clock.getDelayedCalls()


def test_closeEndsTheWaitForAnEngineThatIsAway() -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock)
    kept = sink.append([b"1"])
    engine.refuse(ConnectionError("away"))
    sink.close()
    assert outcome(kept) is SinkClosed
    assert not clock.getDelayedCalls()


def test_linesAreBytesAndNumbersAreNumbers() -> None:
    sink = opened(Engine())
    wrong: Any = "text"
    with pytest.raises(TypeError, match="str found"):
        sink.append([b"a", wrong])
    with pytest.raises(TypeError, match="numbers is a Numbers, not"):
        sink.append([b"a"], "origin", ("session", 1))  # type: ignore[arg-type]
    assert sink.counters()["heldBytes"] == 0


@pytest.mark.parametrize("limits", [{"batchLines": 0}, {"batchBytes": 0}, {"inFlight": 0}, {"highWater": 0}])
def test_aLimitIsAtLeastOne(limits: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limits))} is at least 1, not 0"):
        QueuedSink(Engine(), **limits)


def test_theLimitIsNotBelowTheHighWater() -> None:
    with pytest.raises(ValueError, match="maxHeld is at least highWater, 10, not 9"):
        QueuedSink(Engine(), highWater=10, maxHeld=9)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 4)),
        st.tuples(st.just("take"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=300)
def test_everyLineIsStoredOnceAndInTheOrderOfItsOrigin(
    steps: list[tuple[str, int, int]], inFlight: int, batchLines: int
) -> None:
    engine, clock = Engine(), Clock()
    sink = opened(engine, clock, inFlight=inFlight, batchLines=batchLines)
    appended: defaultdict[str, list[bytes]] = defaultdict(list)
    kept = []
    for step, number, count in steps:
        if step == "append":
            origin = f"o{number}"
            lines = [b"%s %d" % (origin.encode(), len(appended[origin]) + index) for index in range(count)]
            appended[origin] += lines
            kept.append(sink.append(lines, origin))
        elif step == "wait":
            clock.advance(number * 0.05)
        elif engine.sent and step == "take":
            engine.take(number % len(engine.sent))
        elif engine.sent:
            engine.refuse(ConnectionError("away"), number % len(engine.sent))
    while engine.sent or clock.getDelayedCalls():
        while engine.sent:
            engine.take()
        clock.advance(2.0)
    assert all(outcome(each) is True for each in kept)
    stored: defaultdict[str, list[bytes]] = defaultdict(list)
    for line in engine.stored:
        stored[line.split()[0].decode()].append(line)
    assert stored == appended
    assert sink.counters()["heldBytes"] == 0
    assert sink.counters()["keptLines"] == len(engine.stored)
