"""System events: phases, order, removal, Deferreds. Their scripts beside Twisted's are in differential/."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reactor.defer import Deferred, fail
from reactor.failure import Failure
from reactor.loops.triggers import SystemEvents, Trigger


class Boom(Exception):
    pass


class Events(SystemEvents):
    """With what was reported, and a shorter way to add."""

    def __init__(self) -> None:
        self.order: list[Any] = []
        self.reported: list[Any] = []
        super().__init__(lambda failure, *what: self.reported.append((type(failure.value), what)))

    def on(self, phase: str, call: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Trigger:
        trigger = Trigger(phase, "lunch", call or (lambda: self.order.append(phase)), args, kwargs)
        self.add(trigger)
        return trigger


@pytest.fixture
def events() -> Events:
    return Events()


def test_phasesInOrderThenDone(events: Events) -> None:
    for phase in ("after", "during", "before"):
        events.on(phase)
    events.fire(
        "lunch", begin=lambda: events.order.append("begin"), finish=lambda: events.order.append("finish")
    ).addCallback(events.order.append)
    assert events.order == ["before", "begin", "during", "finish", "after", None]
    events.fire("lunch")
    assert len(events.order) == 6


def test_arguments(events: Events) -> None:
    events.on("during", lambda *args, **kwargs: events.order.append((args, kwargs)), 1, key=2)
    events.fire("lunch")
    assert events.order == [((1,), {"key": 2})]


def test_waiting(events: Events) -> None:
    """For "before" always, for "during" only with a finish, for "after" never."""
    waits: dict[str, Deferred[Any]] = {phase: Deferred() for phase in ("before", "during", "after")}
    for finish in (None, lambda: events.order.append("finish")):
        events.order.clear()
        for phase in waits:
            waits[phase] = Deferred()
            events.on(phase, lambda phase=phase: events.order.append(phase) or waits[phase])  # type: ignore[func-returns-value]
        done = events.fire("lunch", finish=finish)
        assert events.order == ["before"]
        waits["before"].callback(1)
        if finish:
            assert events.order == ["before", "during"]
            waits["during"].errback(Boom())
        assert events.order == ["before", "during", *["finish"] * (finish is not None), "after"]
        assert done.called
    assert events.reported[0][0] is Boom


def test_failuresAreReportedAndStopNothing(events: Events) -> None:
    def boom() -> None:
        raise Boom

    first = events.on("before", boom)
    second = events.on("before", lambda: fail(Boom()))
    events.on("before")
    events.fire("lunch")
    assert events.order == ["before"]
    assert events.reported == [(Boom, ("the", first)), (Boom, ("the", second))]
    assert "before lunch" in repr(first)


def test_removal(events: Events) -> None:
    trigger = events.on("before")
    events.remove(trigger)
    for _ in range(2):
        with pytest.raises(ValueError, match="not in list"):
            events.remove(trigger)
    ran = events.on("during", lambda: events.remove(late))
    late = events.on("during")
    events.fire("lunch")
    assert events.order == []
    for trigger in (ran, late, Trigger("after", "supper", print, (), {})):
        with pytest.raises(ValueError, match="not in list"):
            events.remove(trigger)


def test_unknownPhase(events: Events) -> None:
    with pytest.raises(KeyError, match="around"):
        events.on("around")


def test_hurry(events: Events) -> None:
    events.hurry("lunch")
    slow: list[Deferred[Any]] = [Deferred(), Deferred()]
    events.on("before", lambda: slow[0])
    events.on("during", lambda: slow[1])
    events.on("after")
    done = events.fire("lunch", finish=lambda: events.order.append("finish"))
    events.hurry("supper")
    assert not done.called
    events.hurry("lunch")
    assert done.called
    assert events.order == ["finish", "after"]
    events.on("during")
    slow[0].callback(None)
    slow[1].errback(Failure(Boom()))
    assert events.order == ["finish", "after"]  # too late to matter
    assert events.reported == [(Boom, ("the", events.reported[0][1][1]))]


def test_forget(events: Events) -> None:
    slow: Deferred[Any] = Deferred()
    events.on("before", lambda: slow)
    events.on("during")
    done = events.fire("lunch")
    events.forget("lunch", "supper")
    slow.callback(None)
    assert not done.called
    assert events.order == []
    events.fire("lunch")
    assert events.order == ["during"]


def test_twoFiringsAtOnce(events: Events) -> None:
    slow: list[Deferred[Any]] = [Deferred(), Deferred()]
    for each in slow:
        events.on("before", lambda each=each: each)
        events.on("after")
        events.fire("lunch").addCallback(lambda _: events.order.append("done"))
    slow[1].callback(None)
    assert events.order == ["after", "after", "done"]
    slow[0].callback(None)
    assert events.order == ["after", "after", "done", "done"]
