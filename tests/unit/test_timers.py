"""Delayed calls: exact order, barriers, cancelling and moving, and what is refused."""

import gc
import heapq
import math
import random
import sys
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from reactor.error import AlreadyCalled, AlreadyCancelled
from reactor.timers import DelayedCall, DelayError, TimerQueue


class Time:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 100.0
        self.queue = TimerQueue(lambda: self.now)
        self.ran: list[object] = []

    def add(self, delay: float, name: object, action: Callable[[], object] = lambda: None) -> DelayedCall:
        def run(name: object) -> None:
            self.ran.append(name)
            action()

        return self.queue.callLater(delay, run, (name,), {})

    def turn(self) -> list[object]:
        """Run one turn as a reactor does; return what it ran."""
        self.ran = []
        barrier = self.queue.mark()
        while (call := self.queue.popDue(self.now, barrier)) is not None:
            call.run()
        return self.ran


@pytest.fixture
def time() -> Time:
    return Time()


def test_runsInOrderOfTimeAndFirstInFirstOut(time: Time) -> None:
    for name, delay in [("c", 2), ("a", 1), ("d", 2), ("b", 1.5), ("e", 2)]:
        time.add(delay, name)
    assert time.queue.nextTime() == 101.0
    time.now = 102.0
    assert time.turn() == ["a", "b", "c", "d", "e"]
    assert time.queue.nextTime() is None
    assert time.queue.popDue(math.inf) is None


def test_nothingRunsEarlyAndTheExactDeadlineIsDue(time: Time) -> None:
    time.add(1, "a")
    time.now = math.nextafter(101.0, 0)
    assert time.turn() == []
    time.now = 101.0
    assert time.turn() == ["a"]


def test_argumentsAreKeptAndPassed(time: Time) -> None:
    got: list[object] = []

    def take(*args: object, **kwargs: object) -> None:
        got.append((args, kwargs))

    call = time.queue.callLater(1, take, (1, "x"), {"key": b"v"})
    assert (call.func, call.args, call.kw, call.time) == (take, (1, "x"), {"key": b"v"}, 101.0)
    assert time.queue.popDue(200) is call
    call.run()
    assert got == [((1, "x"), {"key": b"v"})]
    assert time.queue.callLater(1, take, (), {}).kw == {}


def test_aCallIsActiveUntilItRunsOrIsCancelled(time: Time) -> None:
    states: list[bool] = []
    call = time.add(0, "a", lambda: states.append(call.active()))
    assert (call.active(), call.called, call.cancelled) == (True, False, False)
    time.turn()
    assert states == [False]
    assert (call.called, call.cancelled) == (True, False)
    other = time.add(0, "b")
    other.cancel()
    assert (other.active(), other.called, other.cancelled) == (False, False, True)
    assert time.turn() == []


@pytest.mark.parametrize("method", ["cancel", "reset", "delay"])
def test_finishedCallsRefuse(time: Time, method: str) -> None:
    arguments = () if method == "cancel" else (1,)
    called, cancelled = time.add(0, "a"), time.add(0, "b")
    cancelled.cancel()
    time.turn()
    with pytest.raises(AlreadyCalled):
        getattr(called, method)(*arguments)
    with pytest.raises(AlreadyCancelled):
        getattr(cancelled, method)(*arguments)
    assert time.queue.calls() == []


def test_aCallCannotCancelItselfWhileItRuns(time: Time) -> None:
    def tryIt() -> None:
        with pytest.raises(AlreadyCalled):
            call.cancel()

    call = time.add(0, "a", tryIt)
    assert time.turn() == ["a"]


def test_aCallMayCancelAndMoveOthersOfItsTurn(time: Time) -> None:
    def act() -> None:
        calls[1].cancel()
        calls[2].reset(5)
        calls[4].cancel()

    calls = [time.add(0, "a", act), time.add(0, "b"), time.add(0, "c"), time.add(0, "d"), time.add(0.5, "e")]
    time.now += 1
    assert time.turn() == ["a", "d"]
    time.now += 5
    assert time.turn() == ["c"]


def test_resetAndDelay(time: Time) -> None:
    a, b, c, d = (time.add(delay, name) for delay, name in [(10, "a"), (20, "b"), (30, "c"), (40, "d")])
    time.now = 105.0
    a.reset(100)
    b.reset(1)
    c.delay(-25)
    d.delay(2.5)
    assert [call.getTime() for call in (a, b, c, d)] == [205.0, 106.0, 105.0, 142.5]
    assert time.queue.calls() == [c, b, d, a]
    assert time.queue.nextTime() == 105.0
    time.now = 300.0
    assert time.turn() == ["c", "b", "d", "a"]


def test_movingCountsAsSchedulingAnew(time: Time) -> None:
    a, b = time.add(1, "a"), time.add(2, "b")
    a.reset(2)
    b.reset(2)
    time.add(2, "c")
    a.delay(0)
    time.now += 2
    assert time.turn() == ["b", "c", "a"]


def test_deadlinesInThePastRunNextTurn(time: Time) -> None:
    a = time.add(5, "a")
    b = time.add(6, "b")
    a.reset(-3)
    b.delay(-1000)
    assert time.queue.nextTime() == -894.0
    assert time.turn() == ["b", "a"]


def test_zeroDelayFromInsideACallRunsTheNextTurn(time: Time) -> None:
    def again() -> None:
        time.add(0, "again", again)

    time.add(0, "first", again)
    time.add(0, "second")
    assert time.turn() == ["first", "second"]
    assert time.turn() == ["again"]
    assert time.turn() == ["again"]
    assert len(time.queue.calls()) == 1


def test_withoutABarrierZeroDelaysRunAtOnce(time: Time) -> None:
    time.add(0, "a")
    first = time.queue.popDue(time.now)
    time.add(0, "b")
    second = time.queue.popDue(time.now)
    assert first is not None
    assert second is not None
    assert (first.args, second.args) == (("a",), ("b",))


def test_newCallsWithEarlierDeadlinesDoNotHoldUpOldOnes(time: Time) -> None:
    # A call moved into the past while the turn runs sorts before everything else, and still waits for the next turn.
    late = time.add(1000, "late")

    def act() -> None:
        late.delay(-2000)
        time.add(0, "new")

    time.add(1, "a", act)
    time.add(2, "b")
    time.now += 5
    assert time.turn() == ["a", "b"]
    assert time.queue.calls()[0] is late
    assert time.queue.nextTime() == -900.0
    deadlines = len(time.queue._deadlines)
    assert time.queue.nextTime() == -900.0
    assert len(time.queue._deadlines) == deadlines
    assert time.turn() == ["late", "new"]


def test_heldBackCallsMayBeCancelledAndJoined(time: Time) -> None:
    late, later = time.add(1000, "late"), time.add(1000, "later")

    def act() -> None:
        late.delay(-2000)
        later.delay(-2000)

    def undo() -> None:
        late.cancel()
        later.cancel()
        time.add(50, "x").delay(-1050)

    time.add(1, "a", act)
    time.add(2, "b", undo)
    time.add(3, "c")
    time.now += 5
    assert time.turn() == ["a", "b", "c"]
    assert time.turn() == ["x"]
    assert time.queue.nextTime() is None


def test_aRebuildInTheMiddleOfATurnLosesNothing(time: Time) -> None:
    many = [time.add(1000 + i, i) for i in range(1000)]
    late = time.add(5000, "late")

    def cancelAll() -> None:
        for call in many:
            call.cancel()

    time.add(1, "a", lambda: late.delay(-6000))
    time.add(2, "b", cancelAll)
    time.add(3, "c")
    time.now += 5
    assert time.turn() == ["a", "b", "c"]
    assert time.turn() == ["late"]


@pytest.mark.parametrize("delay", [-1, -1e-300, -math.inf, math.inf, math.nan, 10**400, Fraction(-1, 3)])
def test_badDelaysAreRefused(time: Time, delay: float) -> None:
    with pytest.raises(DelayError) as caught:
        time.add(delay, "a")
    assert isinstance(caught.value, AssertionError)  # as Twisted's
    assert isinstance(caught.value, ValueError)
    assert time.queue.calls() == []


@pytest.mark.parametrize("delay", ["1", None, b"", 1j, [], object()])
def test_whatIsNoNumberIsRefused(time: Time, delay: object) -> None:
    with pytest.raises(TypeError, match="is not a number of seconds"):
        time.add(delay, "a")  # type: ignore[arg-type]
    call = time.add(1, "a")
    with pytest.raises(TypeError, match="is not a number of seconds"):
        call.reset(delay)  # type: ignore[arg-type]
    assert time.queue.calls() == [call]


@pytest.mark.parametrize("method", ["reset", "delay"])
@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, 10**400])
def test_aRefusedMoveChangesNothing(time: Time, method: str, seconds: float) -> None:
    call = time.add(1, "a")
    with pytest.raises(DelayError):
        getattr(call, method)(seconds)
    assert call.getTime() == 101.0
    time.now = 101.0
    assert time.turn() == ["a"]


def test_numbersOfOtherKinds(time: Time) -> None:
    time.add(Fraction(1, 2), "half")  # type: ignore[arg-type]
    time.add(True, "one")
    time.add(-0.0, "zero")
    time.now = 101.0
    assert time.turn() == ["zero", "half", "one"]


def test_whatIsNotCallableIsRefused(time: Time) -> None:
    with pytest.raises(TypeError, match="None is not callable"):
        time.queue.callLater(1, None, (), {})  # type: ignore[arg-type]


def test_anExceptionLeavesTheRest(time: Time) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    time.add(0, "a", fail)
    time.add(0, "b")
    with pytest.raises(ZeroDivisionError):
        time.turn()
    assert time.turn() == ["b"]


def test_repr(time: Time) -> None:
    call = time.queue.callLater(2.5, time.turn, (), {})
    time.now += 1
    assert repr(call) == "<DelayedCall of Time.turn, in 1.5 s>"
    time.now += 2
    assert repr(call) == "<DelayedCall of Time.turn, in -0.5 s>"
    call.run()
    assert repr(call) == "<DelayedCall of Time.turn, called>"

    class Named:
        def __call__(self) -> None: ...

        def __repr__(self) -> str:
            raise RuntimeError

    call = time.queue.callLater(1, Named(), (), {})
    assert repr(call) == f"<DelayedCall of {Named.__qualname__}, in 1 s>"
    call.cancel()
    assert repr(call) == "<DelayedCall, cancelled>"


def test_callsHaveSlotsAndCancelledOnesLetGo(time: Time) -> None:
    class Thing:
        def method(self) -> None: ...

    thing = Thing()
    call = time.queue.callLater(1, thing.method, (thing,), {"x": thing})
    assert not hasattr(call, "__dict__")
    seen = weakref.ref(thing)
    gc.disable()
    try:
        del thing
        assert seen() is not None
        call.cancel()
        assert seen() is None
    finally:
        gc.enable()


def test_cancelledAndMovedCallsDoNotPileUp(time: Time) -> None:
    keep = [time.add(1 + i, i) for i in range(10)]
    for i in range(20_000):
        time.add(1000 + i, i).cancel()
        keep[i % 10].reset(1 + (i % 97) / 7)
    assert len(time.queue.calls()) == 10
    assert len(time.queue._deadlines) < 200
    shared = [time.add(7, i) for i in range(20_000)]  # one deadline for all of them
    for call in shared[::-2]:
        call.cancel()
    assert len(time.queue.calls()) == 10_010
    time.now += 7
    assert [x for x in time.turn() if isinstance(x, int) and 10 <= x < 20_000] == list(range(10, 20_000, 2))


class Model:
    """The obviously right queue: a list, searched for the smallest (time, order of scheduling)."""

    def __init__(self) -> None:
        self.items: dict[int, tuple[float, int]] = {}
        self.count = 0

    def put(self, name: int, time: float) -> None:
        self.count += 1
        self.items[name] = (time, self.count)

    def pop(self, now: float, barrier: int | None) -> int | None:
        due = [
            (key, name) for name, key in self.items.items() if key[0] <= now and (barrier is None or key[1] <= barrier)
        ]
        if not due:
            return None
        name = min(due)[1]
        del self.items[name]
        return name


@pytest.mark.parametrize("seed", range(60))
def test_randomScriptsAgreeWithTheModel(seed: int) -> None:
    rnd = random.Random(seed)
    time, model = Time(), Model()
    calls: dict[int, DelayedCall] = {}
    barrier: int | None = None
    modelBarrier: int | None = None
    steps = [0, 0, 0.25, 0.5, 1, 3] if seed % 2 else [rnd.random() * 5 for _ in range(50)]
    for name in range(1500):
        match rnd.randrange(12):
            case 0 | 1 | 2 | 3 | 4:
                delay = rnd.choice(steps)
                calls[name] = time.add(delay, name)
                model.put(name, time.now + delay)
            case 5 if calls:
                victim = rnd.choice(sorted(calls))
                calls.pop(victim).cancel()
                del model.items[victim]
            case 6 | 7 if calls:
                victim = rnd.choice(sorted(calls))
                delay = rnd.choice(steps) - 1
                calls[victim].reset(delay)
                model.put(victim, time.now + delay)
            case 8 if calls:
                victim = rnd.choice(sorted(calls))
                delay = rnd.choice(steps) - 1
                model.put(victim, calls[victim].getTime() + delay)
                calls[victim].delay(delay)
            case 9:
                time.now += rnd.choice(steps) / 8
            case 10:
                barrier, modelBarrier = rnd.choice([(None, None), (time.queue.mark(), model.count)])
            case _:
                for _ in range(rnd.randrange(4)):
                    popped = time.queue.popDue(time.now, barrier)
                    expected = model.pop(time.now, modelBarrier)
                    assert (popped.args[0] if popped else None) == expected
                    if popped is not None:
                        popped.run()
                        del calls[expected]  # type: ignore[arg-type]
        if rnd.randrange(5) == 0:
            assert time.queue.nextTime() == min((key[0] for key in model.items.values()), default=None)
    expectedOrder = [name for name, _ in sorted(model.items.items(), key=lambda item: item[1])]
    assert [call.args[0] for call in time.queue.calls()] == expectedOrder


def test_workDoesNotGrowWithTheNumberOfCalls(monkeypatch: pytest.MonkeyPatch) -> None:
    # Counted, not timed: heap operations per call, with half of 20,000 cancelled and a quarter moved.
    counts = {"heappush": 0, "heappop": 0, "heapify": 0}

    def counting(name: str) -> Callable[..., object]:
        def count(heap: list[float], *args: float) -> object:
            counts[name] += len(heap) if name == "heapify" else 1
            return getattr(heapq, name)(heap, *args)

        return count

    for name in counts:
        monkeypatch.setattr(f"reactor.timers.{name}", counting(name))
    time, rnd, total = Time(), random.Random(1), 20_000
    calls = [time.add(rnd.random() * 100, i) for i in range(total)]
    for call in calls[::2]:
        call.cancel()
    for call in calls[1::4]:
        call.reset(rnd.random() * 200)
    expected = sorted((call.getTime(), call.args[0]) for call in calls[1::2])
    time.now += 1000
    assert time.turn() == [name for _, name in expected]
    assert sum(counts.values()) < 4 * total


def test_soonerIsToldOfDeadlinesBeforeAllOthers() -> None:
    """For a loop that sleeps until the deadline it knows of: it hears of each one before that, however it came."""
    told: list[float] = []
    queue = TimerQueue(lambda: 0.0)
    queue.sooner = lambda: told.append(queue.nextTime() or 0.0)
    late = queue.callLater(10, print, (), {})
    queue.callLater(20, print, (), {})
    early = queue.callLater(5, print, (), {})
    late.delay(1)
    late.reset(30)
    late.reset(4)
    late.delay(-1)
    early.cancel()
    queue.callLater(3, print, (), {})
    assert told == [10, 5, 4, 3]


def test_aCallThatCannotBeScheduled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that raises has not happened: the call is not made, not even when the heap is built anew."""
    time = Time()
    kept, many = time.add(1, "kept"), [time.add(2 + number, "cancelled") for number in range(200)]

    def refuse(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("reactor.timers.heappush", refuse)
        with pytest.raises(MemoryError):
            time.add(0.5, "refused")
        for move in (kept.reset, kept.delay, many[0].reset):
            with pytest.raises(MemoryError):
                move(500)
    with monkeypatch.context() as patch:
        time.queue.sooner = refuse
        with pytest.raises(MemoryError):
            time.add(0.5, "refused")
        with pytest.raises(MemoryError):
            many[0].reset(0.25)
        time.queue.sooner = None
    assert (kept.getTime(), many[0].getTime()) == (101, 102)
    for call in many:
        call.cancel()
    assert time.queue.calls() == [kept]
    assert time.queue.nextTime() == 101
    time.now = 300.0
    assert time.turn() == ["kept"]


def test_aMoveThatFailsAmongEqualDeadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    calls = [time.add(1, name) for name in "abc"]

    def refuse(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("reactor.timers.heappush", refuse)
        with pytest.raises(MemoryError):
            calls[1].reset(5)
    calls[0].reset(1)
    time.now = 101.0
    assert time.turn() == ["c", "b", "a"]


def test_aHeapThatCannotBeBuiltAnew(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would have saved memory: a call is cancelled all the same."""
    time = Time()
    calls = [time.add(number, number) for number in range(200)]

    def refuse(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("reactor.timers.heapify", refuse)
    for call in calls[:-1]:
        call.cancel()
    time.now = 400.0
    assert time.turn() == [199]


class Interrupted(Exception):
    pass


def interruptions(work: Callable[[], object]) -> Iterator[str]:
    """Do `work` again and again. Each time a signal's handler raises in it, one place further, which is yielded."""
    for place in range(200):
        left, where = [place], list[str]()

        def look(frame: Any, event: str, argument: Any, left: list[int] = left, where: list[str] = where) -> None:
            if event in ("call", "c_return") and frame.f_code.co_filename.endswith("/reactor/timers.py"):
                left[0] -= 1
                if left[0] < 0:
                    sys.setprofile(None)
                    where.append(f"{event} {argument} in {frame.f_code.co_qualname}")
                    raise Interrupted

        sys.setprofile(look)
        try:
            work()
        except Interrupted:
            pass
        finally:
            sys.setprofile(None)
        yield "".join(where)
        if not where:
            return


@pytest.mark.parametrize("count", [1, 3])
def test_aCancelThatIsInterruptedHolds(count: int) -> None:
    """Else the function of a call that says it is cancelled would be called. Alone at its deadline, and not."""
    calls, made = list[DelayedCall](), list[int]()
    queue = TimerQueue(lambda: 0.0)

    def work() -> None:
        calls[:] = [queue.callLater(1, made.append, (number,), {}) for number in range(count)]
        calls[0].cancel()

    for where in interruptions(work):
        cancelled = [call for call in calls if call.cancelled]
        left = [call for call in queue.calls() if call in calls]
        assert not {*cancelled} & {*left}, where
        while (call := queue.popDue(1)) is not None:
            call.run()
        assert queue.calls() == []
    assert made


def test_aCallAmongOthersIsNotLost() -> None:
    """Where taking it out is interrupted it is due still, as one that is alone at its deadline."""
    queue = TimerQueue(lambda: 0.0)
    popped = list[Any]()

    def work() -> None:
        popped.append(queue.popDue(1))

    def fill() -> None:
        popped.clear()
        for _ in range(3):
            queue.callLater(1, bool, (), {})
        stale = [queue.callLater(2 + number, bool, (), {}) for number in range(200)]
        for call in stale:
            queue.forget(call)  # their deadlines stay, so that the queue is rebuilt

    fill()
    for where in interruptions(work):
        assert len(popped) + len(queue.calls()) == 3, where
        while queue.popDue(1) is not None:
            pass
        assert queue.calls() == [], where
        fill()
