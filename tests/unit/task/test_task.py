"""task: driven by a Clock, and where it can be, beside Twisted's with the same script."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.python import log as twistedLog

from reactor import _current, defer, error, task
from reactor.timers import DelayedCall, DelayError
from tests.support.sidebyside import result, same

# Clock


def test_clockRunsWhatIsDueInOrder() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        for delay, name in [(2, "c"), (1, "a"), (2, "d"), (1.5, "b")]:
            clock.callLater(delay, say, name, clock.seconds())
        clock.advance(0.5)
        say("at", clock.seconds())
        clock.advance(1.5)
        say("at", clock.rightNow, len(clock.getDelayedCalls()))

    assert same(script)[1:5] == [("a", 0.0), ("b", 0.0), ("c", 0.0), ("d", 0.0)]


def test_clockCallsMadeByCallsRunInTheSameAdvance() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()

        def first() -> None:
            say("first", clock.seconds())
            clock.callLater(0, say, "second")
            clock.callLater(1, say, "third")

        clock.callLater(1, first)
        clock.advance(5)
        clock.pump([0.5, 0.25, 0.25])
        say(clock.seconds())

    assert same(script)[-2:] == [("third",), (6.0,)]


def test_clockKeepsTheRestWhenACallRaises() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        clock.callLater(1, lambda: 1 / 0)
        clock.callLater(1, say, "other")
        try:
            clock.advance(1)
        except ZeroDivisionError:
            say("raised")
        clock.advance(0)

    assert same(script) == [("raised",), ("other",)]


def test_clockPassesKeywordsAndListsCalls() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        late = clock.callLater(2, say, "x")
        early = clock.callLater(1, lambda **kw: say(sorted(kw.items())), delays=3, name="n")
        say(clock.getDelayedCalls() == [early, late], clock.calls == [early, late], late.getTime(), late.active())
        late.cancel()
        say(clock.calls == [early], late.active())
        clock.advance(1)

    assert same(script) == [(True, True, 2.0, True), (True, False), ([("delays", 3), ("name", "n")],)]


@pytest.mark.parametrize("seed", range(40))
def test_clockRunsRandomScriptsAsTwisted(seed: int) -> None:
    # No two deadlines are equal here: Twisted's order of moved calls with one deadline depends on when it last sorted.
    # Its sum of a moved deadline is rounded in another place.
    def script(kit: Any, say: Callable[..., None]) -> None:
        rnd = random.Random(seed)
        clock = kit.Clock()
        calls: list[Any] = []

        def run(name: int) -> None:
            say("run", name, clock.seconds())
            if rnd.random() < 0.5:
                act()

        def act() -> None:
            what = rnd.randrange(6)
            if what < 3 or not calls:
                calls.append(clock.callLater(rnd.random() * 4, run, len(calls)))
                return
            call = rnd.choice(calls)
            try:
                if what == 3:
                    call.cancel()
                elif what == 4:
                    call.reset(rnd.random() * 4)
                else:
                    call.delay(rnd.random() * 4 - 1)
            except kit.error.AlreadyCalled:
                say("called")
            except kit.error.AlreadyCancelled:
                say("cancelled")
            else:
                say(what, round(call.getTime(), 9), call.active())

        for _ in range(200):
            act()
            if rnd.random() < 0.3:
                clock.advance(rnd.random())
        clock.advance(20)
        say([call.active() for call in calls])

    assert len(same(script)) > 100


def test_clockRefusesWhatAReactorRefuses() -> None:
    # Twisted's Clock takes negative delays, which its reactors refuse; ours has one rule for both.
    clock = task.Clock()
    with pytest.raises(DelayError):
        clock.callLater(-1, print)
    with pytest.raises(AssertionError):
        clock.callLater(-1, print)
    assert clock.calls == []


def test_clockCallsAreThoseOfAReactor() -> None:
    assert isinstance(task.Clock().callLater(1, print), DelayedCall)


# LoopingCall


def test_loopingCallRunsAtTheMultiplesOfItsInterval() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        loop = kit.LoopingCall(lambda *a, **k: say(clock.seconds(), a, sorted(k)), 1, b=2)
        loop.clock = clock
        done = loop.start(2)
        result(done, say)
        say(loop.running, loop.interval, loop.starttime, loop.call is not None)
        clock.pump([1, 1, 1, 1, 3, 1])
        loop.stop()
        say(loop.running, loop.call)
        clock.advance(10)

    assert [words[0] for words in same(script)] == [0.0, True, 2.0, 4.0, 7.0, 8.0, "result", False]


def test_loopingCallNotNow() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        clock.advance(3)
        loop = kit.LoopingCall(lambda: say(clock.seconds()))
        loop.clock = clock
        loop.start(1, now=False)
        say("started")
        clock.pump([0.5] * 5)

    assert same(script) == [("started",), (4.0,), (5.0,)]


def test_loopingCallSkipsAfterAStall() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        plain = kit.LoopingCall(lambda: say("plain", clock.seconds()))
        counted = kit.LoopingCall.withCount(lambda count: say("counted", count, clock.seconds()))
        for loop in (plain, counted):
            loop.clock = clock
            loop.start(0.5)
        clock.advance(5000.25)
        clock.advance(0.25)
        clock.advance(0.5)

    assert same(script) == [
        ("plain", 0.0),
        ("counted", 1, 0.0),
        ("plain", 5000.25),
        ("counted", 10000, 5000.25),
        ("plain", 5000.5),
        ("counted", 1, 5000.5),
        ("plain", 5001.0),
        ("counted", 1, 5001.0),
    ]


def test_loopingCallWithCountNotNowAndWithZeroInterval() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        for interval, now in [(1, False), (0.25, True)]:
            loop = kit.LoopingCall.withCount(lambda count, interval=interval: say(interval, count, clock.seconds()))
            loop.clock = clock
            loop.start(interval, now)

        def stopLater(count: int) -> None:
            say("zero", count)
            if clock.seconds():
                zero.stop()

        zero = kit.LoopingCall.withCount(stopLater)
        zero.clock = clock
        zero.start(0, now=False)
        clock.rightNow = 0.1
        clock.pump([0.4, 0.5, 3, 0.125, 0.125])

    same(script)


def test_loopingCallZeroIntervalRunsEveryTurn() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        count = 0

        def run() -> None:
            nonlocal count
            count += 1
            say(count)
            if count == 5:
                loop.stop()

        loop = kit.LoopingCall(run)
        loop.clock = clock
        result(loop.start(0), say)
        clock.advance(0)

    assert same(script)[-1] == ("result", "LoopingCall")


def test_loopingCallWaitsForItsDeferred() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        waiting: list[Any] = []

        def run() -> Any:
            say("run", clock.seconds())
            waiting.append(kit.Deferred())
            return waiting[-1]

        loop = kit.LoopingCall(run)
        loop.clock = clock
        result(loop.start(1), say)
        clock.advance(3.25)
        say(len(clock.calls), loop.call)
        waiting.pop().callback(None)
        say(loop.call.getTime())
        clock.advance(0.75)
        loop.reset()  # nothing to reset while the Deferred is awaited
        loop.stop()
        say("stopped", loop.running)
        waiting.pop().callback(None)

    assert same(script)[-2:] == [("stopped", False), ("result", "LoopingCall")]


def test_loopingCallAwaitsACoroutine() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        waiting = kit.Deferred()

        async def run() -> None:
            say("run")
            await waiting
            say("goes on")

        loop = kit.LoopingCall(run)
        loop.clock = clock
        loop.start(1)
        clock.advance(5)
        waiting.callback(None)
        say(loop.call.getTime())

    assert same(script) == [("run",), ("goes on",), (6.0,)]


@pytest.mark.parametrize("how", ["raises", "fails", "fails later"])
def test_loopingCallFails(how: str) -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        later = kit.Deferred()

        def run() -> Any:
            if how == "raises":
                raise KeyError("x")
            return kit.defer.fail(KeyError("x")) if how == "fails" else later

        loop = kit.LoopingCall(run)
        loop.clock = clock
        done = loop.start(1)
        if how == "fails later":
            say(loop.running)
            later.errback(KeyError("x"))
        result(done, say)
        say(loop.running, loop.call, clock.calls)

    assert same(script)[-2] == ("result", "failed", "KeyError", "'x'")


def test_loopingCallStopsItselfAndStartsAgain() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()

        def run() -> None:
            say(clock.seconds())
            if clock.seconds() == 2:
                loop.stop()

        loop = kit.LoopingCall(run)
        loop.clock = clock
        result(loop.start(1), say)
        clock.pump([1, 1, 1])
        say(loop.running)
        result(loop.start(3, now=False), say)
        clock.pump([1, 1, 1])
        loop.stop()

    assert same(script) == [
        (0.0,),
        (1.0,),
        (2.0,),
        ("result", "LoopingCall"),
        (False,),
        (6.0,),
        ("result", "LoopingCall"),
    ]


def test_loopingCallReset() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        loop = kit.LoopingCall(lambda: say(clock.seconds()))
        loop.clock = clock
        loop.start(2)
        clock.advance(1.5)
        loop.reset()
        say(loop.call.getTime(), len(clock.calls))
        clock.pump([1.5, 0.5, 2])

    assert same(script) == [(0.0,), (3.5, 1), (3.5,), (5.5,)]


def test_loopingCallMisuse() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        loop = kit.LoopingCall(say, "run")
        loop.clock = kit.Clock()
        for misuse in (loop.stop, loop.reset, lambda: loop.start(-1)):
            with pytest.raises((AssertionError, ValueError)) as caught:
                misuse()
            say(type(caught.value).__name__)
        loop.start(1)
        with pytest.raises(AssertionError):
            loop.start(1)

    assert same(script) == [("AssertionError",), ("AssertionError",), ("ValueError",), ("run",)]


@pytest.mark.parametrize("interval", [float("nan"), float("inf"), float("-inf")])
def test_loopingCallRefusesIntervalsThatAreNone(interval: float) -> None:
    ran: list[int] = []
    loop = task.LoopingCall(ran.append, 1)
    loop.clock = task.Clock()
    with pytest.raises(ValueError, match="an interval is a number of seconds"):
        loop.start(interval)
    assert (ran, loop.running, loop.deferred) == ([], False, None)


def test_loopingCallRoundingGivesNoExtraCall() -> None:
    # The remainder of the interval is lost in rounding when the time is large: Twisted's ticket 9333 and its kin.
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        clock.advance(3_000_000.1)
        loop = kit.LoopingCall(lambda: say(clock.seconds()))
        loop.clock = clock
        loop.start(0.1)
        for _ in range(300):
            clock.advance(0.1)

    assert len(same(script)) >= 299


@pytest.mark.parametrize("seed", range(30))
def test_loopingCallRunsRandomScriptsAsTwisted(seed: int) -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        rnd = random.Random(seed)
        clock = kit.Clock()
        waiting: list[Any] = []

        def run(*count: int) -> Any:
            say("run", clock.seconds(), count)
            what = rnd.randrange(8)
            if what == 0:
                waiting.append(kit.Deferred())
                return waiting[-1]
            if what == 1 and loop.running:
                loop.stop()
            return None

        # Twisted's counts go wrong after a second start, so each run has a loop of its own.
        loop = kit.LoopingCall(run)
        for _ in range(150):
            what = rnd.randrange(6)
            if not loop.running and not waiting:
                loop = kit.LoopingCall.withCount(run) if rnd.random() < 0.5 else kit.LoopingCall(run)
                loop.clock = clock
                result(loop.start(rnd.choice([0.5, 1, 0.3, 2]), rnd.random() < 0.5), say)
            elif what == 0 and waiting:
                waiting.pop().callback(None)
            elif what == 1 and loop.running and rnd.random() < 0.3:
                loop.stop()
            elif what == 2 and loop.running:
                loop.reset()
            else:
                clock.advance(rnd.choice([0.1, 0.25, 0.5, 1.75]))

    assert len(same(script)) > 20


def test_loopingCallCountsAnewAfterAnotherStart() -> None:
    # Twisted goes on from the last count of the run before.
    clock, counts = task.Clock(), list[int]()
    loop = task.LoopingCall.withCount(counts.append)
    loop.clock = clock
    loop.start(1)
    clock.advance(5)
    loop.stop()
    clock.advance(10)
    loop.start(1)
    clock.advance(1)
    assert counts == [1, 5, 1, 1]


def test_loopingCallStartedAgainWhileTheOldRunWaits() -> None:
    # In Twisted the Deferred of the first run is lost here, and two loops go on.
    clock, trace = task.Clock(), list[Any]()
    waiting = [defer.Deferred[None](), defer.Deferred[None]()]
    loop = task.LoopingCall(lambda: trace.append(clock.seconds()) or (waiting.pop() if waiting else None))  # type: ignore[func-returns-value]
    loop.clock = clock
    second = waiting[0]
    first = waiting[1]
    loop.start(1).addBoth(trace.append)
    loop.stop()
    loop.start(1).addBoth(trace.append)
    first.callback(None)
    assert trace == [0.0, 0.0, loop]
    assert clock.calls == []
    second.callback(None)
    clock.advance(1)
    assert trace == [0.0, 0.0, loop, 1.0]
    assert len(clock.calls) == 1
    loop.stop()
    assert trace == [0.0, 0.0, loop, 1.0, loop]


def test_loopingCallFailureOfAnOldRunDoesNotStopTheNewOne() -> None:
    clock = task.Clock()
    old = defer.Deferred[None]()
    waiting: list[Any] = [None, old]
    loop = task.LoopingCall(lambda: waiting.pop() if waiting else None)
    loop.clock = clock
    ends: list[Any] = []
    loop.start(1).addErrback(lambda failure: ends.append(failure.type))
    loop.stop()
    loop.start(1).addBoth(ends.append)
    old.errback(KeyError())
    assert ends == [KeyError]
    assert loop.running
    assert len(clock.calls) == 1
    loop.stop()
    assert loop.deferred is None
    assert ends == [KeyError, loop]


@pytest.mark.parametrize("isFailing", [False, True])
def test_loopingCallLetsGoOfItsDeferred(isFailing: bool) -> None:
    loop = task.LoopingCall(lambda: 1 / 0 if isFailing else loop.stop())
    loop.clock = task.Clock()
    started = loop.start(1)
    assert loop.deferred is None
    started.addErrback(lambda failure: failure.trap(ZeroDivisionError))


def test_loopingCallUsesTheCurrentReactorAndSaysSo() -> None:
    clock = task.Clock()
    loop = task.LoopingCall(test_loopingCallUsesTheCurrentReactorAndSaysSo)
    assert repr(loop) == f"LoopingCall<None>({test_loopingCallUsesTheCurrentReactorAndSaysSo.__name__}, *(), **{{}})"
    with _current.running(clock):  # type: ignore[arg-type]
        assert loop.clock is clock
    assert loop.clock is clock

    class Callable:
        def __call__(self) -> None: ...

    assert Callable.__qualname__ in repr(task.LoopingCall(Callable()))
    assert repr(clock.callLater(1, task.LoopingCall(print))) == "<DelayedCall of LoopingCall, in 1 s>"


# deferLater


def test_deferLater() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        clock = kit.Clock()
        result(kit.task.deferLater(clock, 2, lambda a, b: a + b, 1, b=2), say, "sum")
        result(kit.task.deferLater(clock, 1), say, "nothing")
        result(kit.task.deferLater(clock, 1, lambda: 1 / 0), say, "error")
        result(kit.task.deferLater(clock, 1, lambda: kit.defer.succeed("inner")), say, "chained")
        cancelled = kit.task.deferLater(clock, 1, say, "never")
        result(cancelled, say, "cancelled")
        cancelled.cancel()
        clock.pump([1, 1, 1])
        say(len(clock.calls))

    assert same(script)[0][:3] == ("cancelled", "failed", "CancelledError")


def test_deferLaterRefusesABadDelay() -> None:
    with pytest.raises(DelayError):
        task.deferLater(task.Clock(), -1)


# react


class FakeReactor:
    """The part of a reactor that react uses: it stands on both sides of the comparison."""

    def __init__(self, say: Callable[..., None], notRunning: type[Exception], duringRun: Callable[[], object]) -> None:
        self.say, self.notRunning, self.duringRun = say, notRunning, duringRun
        self.whenRunning: list[Callable[[], object]] = []
        self.beforeShutdown: list[Callable[[], object]] = []
        self.running = False

    def addSystemEventTrigger(self, phase: str, event: str, f: Callable[[], object]) -> None:
        self.say("trigger", phase, event)
        self.beforeShutdown.append(f)

    def callWhenRunning(self, f: Callable[..., object], *args: object) -> None:
        if self.running:
            f(*args)
        else:
            self.whenRunning.append(lambda: f(*args))

    def run(self) -> None:
        self.say("run")
        self.running = True
        for f in self.whenRunning:
            f()
        self.duringRun()
        if self.running:
            self.say("nobody stopped it")
            self.stop()
        self.say("ran")

    def stop(self) -> None:
        if not self.running:
            raise self.notRunning
        self.say("stop")
        for f in self.beforeShutdown:
            f()
        self.running = False


def reactTrace(
    main: Callable[..., Any], argv: tuple[object, ...] = (), duringRun: Callable[[], object] = lambda: None
) -> list[Any]:
    """Return the trace of react with `main(kit, say, reactor, *argv)`, the same as Twisted's."""

    def script(kit: Any, say: Callable[..., None]) -> None:
        reactor = FakeReactor(say, kit.error.ReactorNotRunning, duringRun)
        with pytest.raises(SystemExit) as caught:
            kit.task.react(lambda reactor, *args: main(kit, say, reactor, *args), argv, _reactor=reactor)
        say("exit", caught.value.code)

    return same(script)


@pytest.fixture
def quietTwisted() -> Iterator[None]:
    """Twisted prints what it logs when nobody listens."""
    twistedLog.startLoggingWithObserver(lambda event: None, setStdout=False)
    yield
    twistedLog.removeObserver(twistedLog.theLogPublisher.observers[-1])


def test_reactExitsWithZero() -> None:
    def main(kit: Any, say: Callable[..., None], reactor: Any, *args: object) -> Any:
        say("main", args, reactor.running)
        return kit.defer.succeed(None)

    trace = reactTrace(main, ("a", 2))
    assert trace[0] == ("main", ("a", 2), False)
    assert trace[-1] == ("exit", 0)
    assert trace.count(("stop",)) == 1
    assert ("nobody stopped it",) not in trace


def test_reactRunsACoroutine() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        waiting = kit.Deferred()

        async def main(reactor: Any) -> None:
            say("main")
            await waiting
            say("done", reactor.running)

        reactor = FakeReactor(say, kit.error.ReactorNotRunning, lambda: waiting.callback(None))
        with pytest.raises(SystemExit) as caught:
            kit.task.react(main, _reactor=reactor)
        say("exit", caught.value.code)

    assert ("done", True) in same(script)


@pytest.mark.parametrize("code", [0, 3, None, "a message"])
def test_reactExitsWithTheCodeOfASystemExit(code: object) -> None:
    assert reactTrace(lambda kit, *_: kit.defer.fail(SystemExit(code)))[-1] == ("exit", code)


@pytest.mark.usefixtures("quietTwisted")
def test_reactLogsAFailureAndExitsWithOne(caplog: pytest.LogCaptureFixture) -> None:
    assert reactTrace(lambda kit, *_: kit.defer.fail(KeyError("broken")))[-1] == ("exit", 1)
    (record,) = [record for record in caplog.records if record.name == "reactor.task"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert record.exc_info[0] is KeyError


@pytest.mark.usefixtures("quietTwisted")
@pytest.mark.parametrize("isFailing", [False, True])
def test_reactWhenStoppedFromOutside(isFailing: bool) -> None:
    # The reactor is stopped, for example by a signal, and main's Deferred fires while it shuts down.
    def script(kit: Any, say: Callable[..., None]) -> None:
        waiting = kit.Deferred()
        reactor = FakeReactor(say, kit.error.ReactorNotRunning, lambda: reactor.stop())

        def fire() -> None:
            if isFailing:
                waiting.errback(KeyError())
            else:
                waiting.callback(None)

        reactor.callWhenRunning(lambda: reactor.beforeShutdown.append(fire))
        with pytest.raises(SystemExit) as caught:
            kit.task.react(lambda _: waiting, _reactor=reactor)
        say("exit", caught.value.code)

    trace = same(script)
    assert trace[-1] == ("exit", int(isFailing))
    assert trace.count(("stop",)) == 1


def test_reactWhenMainStopsTheReactorItself() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        waiting = kit.Deferred()

        def duringRun() -> None:
            reactor.running = False  # crashed: stop() no longer has anything to stop
            waiting.callback(None)

        reactor = FakeReactor(say, kit.error.ReactorNotRunning, duringRun)
        reactor.callWhenRunning = lambda f, *args: f(*args)  # type: ignore[method-assign]
        with pytest.raises(SystemExit) as caught:
            kit.task.react(lambda _: waiting, _reactor=reactor)
        say("exit", caught.value.code)

    assert same(script)[-1] == ("exit", 0)


def test_reactRefusesWhatIsNoDeferred() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        kit.task.react(lambda _: 3, _reactor=FakeReactor(say, kit.error.ReactorNotRunning, lambda: None))

    assert same(script) == [("raised", "NotACoroutineError")]


def test_reactLeavesWhatMainRaises() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        kit.task.react(lambda _: 1 / 0, _reactor=FakeReactor(say, kit.error.ReactorNotRunning, lambda: None))

    assert same(script) == [("raised", "ZeroDivisionError")]


def test_reactUsesTheCurrentReactor() -> None:
    said: list[Any] = []
    fake = FakeReactor(lambda *words: said.append(words), error.ReactorNotRunning, lambda: None)
    with _current.running(fake), pytest.raises(SystemExit):  # type: ignore[arg-type]
        task.react(lambda reactor: defer.succeed(said.append(reactor)))  # type: ignore[func-returns-value]
    assert said[0] is fake
    assert said[-1] == ("ran",)
