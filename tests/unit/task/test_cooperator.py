"""Cooperator: driven turn by turn, and where it can be, beside Twisted's with the same script."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import _current, defer, task
from reactor.task.cooperator import _cooperators
from tests.support.sidebyside import OURS, result, same


def cooperatorOf(kit: Any, say: Callable[..., None], items: int = 3, **kw: Any) -> tuple[Any, Callable[[], None]]:
    """A Cooperator that does `items` items a turn, and a function that runs its next turn."""
    due: list[Any] = []

    def predicate() -> Callable[[], bool]:
        left = [items]

        def isOver() -> bool:
            left[0] -= 1
            return left[0] <= 0

        return isOver

    class Call:
        def __init__(self, f: Callable[[], None]) -> None:
            self.f = f

        def cancel(self) -> None:
            say("cancelled")
            due.remove(self)

    def scheduler(f: Callable[[], None]) -> Call:
        call = Call(f)
        due.append(call)
        return call

    def turn() -> None:
        say("turn", len(due))
        if due:
            due.pop().f()

    return kit.task.Cooperator(predicate, scheduler, **kw), turn


def work(say: Callable[..., None], name: str, items: int) -> Iterator[Any]:
    for i in range(items):
        say(name, i)
        yield None


def test_cooperatorTakesTurns() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say)
        say(cooperator.running)
        for name, items in [("a", 4), ("b", 2), ("c", 3)]:
            iterator = work(say, name, items)
            deferred = cooperator.coiterate(iterator)
            deferred.addCallback(lambda got, name=name, iterator=iterator: say(name, "done", got is iterator))
        for _ in range(7):
            turn()

    trace = same(script)
    assert [words for words in trace if words[1:] == ("done", True)] != []
    assert trace[1:5] == [("turn", 1), ("a", 0), ("b", 0), ("c", 0)]


def test_cooperatorCoiterateFiresTheGivenDeferred() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say)
        given = kit.Deferred()
        say(cooperator.coiterate(iter([1]), given) is given)
        result(given, say)
        turn()

    assert same(script)[-1] == ("result", "list_iterator")


def test_cooperatorWaitsForDeferreds() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say)
        waiting = [kit.Deferred(), kit.Deferred()]

        def run() -> Iterator[Any]:
            say("one")
            yield waiting[0]
            say("two")
            yield waiting[1]
            say("never")

        task = cooperator.cooperate(run())
        result(task.whenDone(), say)
        turn()
        turn()
        waiting[0].callback("ignored")
        turn()
        waiting[1].errback(KeyError("x"))
        turn()
        result(task.whenDone(), say)
        with pytest.raises(kit.task.TaskFailed):
            task.stop()

    assert ("result", "failed", "KeyError", "'x'") in same(script)


def test_cooperatorTaskThatRaises() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say)

        def run() -> Iterator[Any]:
            yield None
            raise KeyError("x")

        result(cooperator.coiterate(run()), say)
        other = cooperator.cooperate(work(say, "other", 3))
        result(other.whenDone(), say, "other")
        for _ in range(4):
            turn()
        for finished in (other.stop, other.pause):
            with pytest.raises(kit.task.TaskDone):
                finished()

    assert ("result", "failed", "KeyError", "'x'") in same(script)


def test_cooperativeTaskPauseResumeStop() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say, items=1)
        task = cooperator.cooperate(work(say, "a", 10))
        result(task.whenDone(), say)
        with pytest.raises(kit.task.NotPaused):
            task.resume()
        turn()
        task.pause()
        task.pause()
        turn()
        task.resume()
        turn()
        task.resume()
        turn()
        task.pause()
        task.stop()
        task.resume()
        turn()
        result(task.whenDone(), say)
        for finished in (task.stop, task.pause):
            with pytest.raises(kit.task.TaskStopped):
                finished()
        with pytest.raises(kit.task.NotPaused):
            task.resume()

    assert [words for words in same(script) if words[0] == "a"] == [("a", 0), ("a", 1)]


def test_cooperatorStopAndStart() -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        cooperator, turn = cooperatorOf(kit, say, items=1, started=False)
        result(cooperator.coiterate(work(say, "a", 10)), say, "a done")
        say(cooperator.running)
        turn()
        cooperator.start()
        say(cooperator.running)
        turn()
        paused = cooperator.cooperate(work(say, "b", 10))
        paused.pause()
        result(paused.whenDone(), say, "b done")
        cooperator.stop()
        say(cooperator.running)
        paused.resume()
        result(cooperator.coiterate(work(say, "c", 10)), say, "c done")
        turn()
        cooperator.start()
        cooperator.start()
        say(cooperator.running)
        result(cooperator.coiterate(work(say, "d", 1)), say, "d done")
        turn()
        turn()

    trace = same(script)
    assert [words[0] for words in trace if len(words) > 2 and words[2] == "SchedulerStopped"] == [
        "a done",
        "b done",
        "c done",
    ]


def loggedErrors(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.exc_info and record.exc_info[0] for record in caplog.records if record.name == "reactor.task"]


@pytest.mark.parametrize("seed", range(30))
def test_cooperatorRunsRandomScriptsAsTwisted(seed: int) -> None:
    def script(kit: Any, say: Callable[..., None]) -> None:
        rnd = random.Random(seed)
        cooperator, turn = cooperatorOf(kit, say, items=rnd.randrange(1, 6))
        tasks: list[Any] = []
        waiting: list[Any] = []

        def run(name: int) -> Iterator[Any]:
            for item in range(rnd.randrange(8)):
                say(name, item)
                what = rnd.randrange(6)
                if what == 0:
                    waiting.append(kit.Deferred())
                    yield waiting[-1]
                elif what == 1 and rnd.random() < 0.2:
                    raise KeyError(name)
                else:
                    yield item

        for _ in range(120):
            what = rnd.randrange(6)
            if what == 0:
                tasks.append(cooperator.cooperate(run(len(tasks))))
                result(tasks[-1].whenDone(), say, f"end {len(tasks)}")
            elif what == 1 and tasks:
                chosen = rnd.choice(tasks)
                try:
                    getattr(chosen, rnd.choice(["pause", "resume", "resume"]))()
                except kit.task.SchedulerError as caught:
                    say(type(caught).__name__)
            elif what == 2 and waiting:
                # To resume a task that waits is a misuse, of which its Deferred hears in the end.
                deferred = waiting.pop(rnd.randrange(len(waiting)))
                deferred.callback(None)
                deferred.addErrback(lambda failure: say("misuse", failure.type.__name__))
            else:
                turn()

    assert len(same(script)) > 40


def test_cooperatorStopEndsEveryTask() -> None:
    # Twisted's leaves every second one waiting for ever.
    said: list[Any] = []

    def say(*words: object) -> None:
        said.append(words)

    cooperator, turn = cooperatorOf(OURS, say)
    tasks = [cooperator.cooperate(work(say, str(i), 5)) for i in range(5)]
    for i, each in enumerate(tasks):
        result(each.whenDone(), say, f"end {i}")
    tasks[0].whenDone().addBoth(lambda _: tasks[3].stop())  # a callback may end another
    cooperator.stop()
    assert [words[2] for words in said if words[0].startswith("end")] == [
        "SchedulerStopped",
        "TaskStopped",
        "SchedulerStopped",
        "SchedulerStopped",
        "SchedulerStopped",
    ]
    turn()
    assert said[-1] == ("turn", 0)


@pytest.mark.parametrize("end", ["return", "yield", "raise"])
@pytest.mark.parametrize("isWhole", [False, True])
def test_aTaskMayEndItselfFromInside(end: str, isWhole: bool, caplog: pytest.LogCaptureFixture) -> None:
    # In Twisted this is an error inside the cooperator, which then does nothing more.
    said: list[Any] = []

    def say(*words: object) -> None:
        said.append(words)

    def stopping() -> Iterator[Any]:
        (cooperator if isWhole else stopped).stop()
        if end == "raise":
            raise KeyError("x")
        if end == "yield":
            yield defer.Deferred()

    cooperator, turn = cooperatorOf(OURS, say, items=2)
    stopped = cooperator.cooperate(stopping())
    result(stopped.whenDone(), say, "stopped")
    result(cooperator.coiterate(iter([1])), say, "other")
    turn()
    turn()
    assert said[1][:2] == ("stopped", "failed")
    assert said[1][2] == ("SchedulerStopped" if isWhole else "TaskStopped")
    assert [words[1] for words in said if words[0] == "other"] == ["failed" if isWhole else "list_iterator"]
    assert loggedErrors(caplog) == ([KeyError] if end == "raise" else [])


def test_aDeferredThatFailsAfterItsTaskWasStoppedIsLogged(caplog: pytest.LogCaptureFixture) -> None:
    cooperator, turn = cooperatorOf(OURS, lambda *words: None)
    waiting = defer.Deferred[None]()
    stopped = cooperator.cooperate(iter([waiting]))
    turn()
    stopped.whenDone().addErrback(lambda failure: failure.trap(task.TaskStopped) and None)
    stopped.stop()
    waiting.errback(KeyError("x"))
    gc.collect()
    assert loggedErrors(caplog) == [KeyError]
    with pytest.raises(task.TaskStopped):
        stopped.stop()


def test_aFailureNobodyWaitsForIsLogged(caplog: pytest.LogCaptureFixture) -> None:
    cooperator, turn = cooperatorOf(OURS, lambda *words: None)

    def run() -> Iterator[Any]:
        raise KeyError("x")
        yield

    cooperator.cooperate(run())
    turn()
    assert loggedErrors(caplog) == [KeyError]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_interruptsLeaveTheCooperatorWhichGoesOn(kind: type[BaseException]) -> None:
    said: list[Any] = []

    def say(*words: object) -> None:
        said.append(words)

    cooperator, turn = cooperatorOf(OURS, say)

    def run() -> Iterator[Any]:
        raise kind
        yield

    result(cooperator.cooperate(run()).whenDone(), say)
    cooperator.cooperate(work(say, "other", 1))
    with pytest.raises(kind):
        turn()
    turn()
    assert said == [("turn", 1), ("result", "failed", kind.__name__, ""), ("turn", 1), ("other", 0)]


def test_theDefaultCooperatorUsesTheCurrentReactorInSlices(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock, other = task.Clock(), task.Clock()
    done: list[int] = []

    def run() -> Iterator[None]:
        for i in range(10):
            done.append(i)
            now[0] += 0.004
            yield

    def turn() -> None:
        (call,) = clock.calls
        assert call.getTime() == 0.0
        popped = clock._queue.popDue(0.0)
        assert popped is call
        popped.run()

    with _current.running(clock):  # type: ignore[arg-type]
        mine = task.cooperate(run())
        ended: list[Any] = []
        task.coiterate(iter([])).addCallback(ended.append)
        turn()
        assert (done, len(ended)) == ([0, 1, 2], 1)
        turn()
        assert done == [0, 1, 2, 3, 4, 5]
        with _current.running(other):  # type: ignore[arg-type]
            theirs = task.cooperate(iter([1]))
        assert (len(clock.calls), len(other.calls)) == (1, 1)
        mine.stop()
        mine.whenDone().addErrback(lambda failure: None)
        assert (clock.calls, len(other.calls)) == ([], 1)
        theirs.pause()
        assert other.calls == []


def test_cooperatorsGoWithTheirReactors() -> None:
    clock = task.Clock()
    with _current.running(clock):  # type: ignore[arg-type]
        task.coiterate(iter([1]))
        clock.advance(0)
    gc.collect()
    before = len(_cooperators)
    del clock
    gc.collect()
    assert len(_cooperators) == before - 1
