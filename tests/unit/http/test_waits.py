"""Deadlines that many connections share."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from reactor.http.waits import SLICES, Deadline, Deadlines, endWait
from reactor.task import Clock


class Waiting:
    """It writes down when it has waited too long."""

    def __init__(self, clock: Clock) -> None:
        self.waitsIn: set[Any] | None = None
        self.clock = clock
        self.told: list[float] = []

    def waitedTooLong(self) -> None:
        self.told.append(self.clock.seconds())


def test_toldOnceInTime() -> None:
    """At the deadline, or at most a slice later, whenever it has begun."""
    clock = Clock()
    deadline = Deadline(16.0, clock.callLater)
    begun: list[tuple[float, Waiting]] = []
    for _ in range(100):
        waiter = Waiting(clock)
        begun.append((clock.seconds(), waiter))
        deadline.begin(waiter)
        clock.advance(0.25)
    for _ in range(200):
        clock.advance(0.25)
    for start, waiter in begun:
        (told,) = waiter.told
        assert 16.0 <= told - start <= 16.0 * (1 + 1 / SLICES)
        assert waiter.waitsIn is None


def test_endedWaitIsNotTold() -> None:
    clock = Clock()
    deadline = Deadline(1.0, clock.callLater)
    waiter, other = Waiting(clock), Waiting(clock)
    deadline.begin(waiter)
    deadline.begin(other)
    endWait(waiter)
    assert waiter.waitsIn is None
    endWait(waiter)  # it waits for nothing
    clock.advance(2)
    assert (waiter.told, other.told) == ([], [2.0])


def test_timersAreShared() -> None:
    """Any number of waits in a slice of time costs two timers, and none of them stays."""
    clock = Clock()
    deadline = Deadline(16.0, clock.callLater)
    waiter = Waiting(clock)
    for _ in range(1000):
        deadline.begin(waiter)
        endWait(waiter)
    assert len(clock.getDelayedCalls()) == 2
    for _ in range(1000):
        deadline.begin(waiter)
        endWait(waiter)
        clock.advance(0.05)
        assert len(clock.getDelayedCalls()) <= 2 * SLICES
    clock.advance(20)
    assert not clock.getDelayedCalls()
    assert not waiter.told


def test_mayBeginAgainWhenTold() -> None:
    clock = Clock()
    deadline = Deadline(1.0, clock.callLater)

    class Again(Waiting):
        def waitedTooLong(self) -> None:
            super().waitedTooLong()
            if len(self.told) < 3:
                deadline.begin(self)

    waiter = Again(clock)
    deadline.begin(waiter)
    for _ in range(80):
        clock.advance(0.0625)
    assert len(waiter.told) == 3


def test_mayEndTheWaitOfAnotherWhenTold() -> None:
    clock = Clock()
    deadline = Deadline(1.0, clock.callLater)
    told: list[object] = []

    class Last(Waiting):
        def waitedTooLong(self) -> None:
            told.append(self)
            for each in waiters:
                endWait(each)

    waiters = [Last(clock) for _ in range(5)]
    for waiter in waiters:
        deadline.begin(waiter)
    clock.advance(2)
    assert len(told) == 1


def test_failureOfOneIsNotThatOfOthers(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    deadline = Deadline(1.0, clock.callLater)

    class Failing(Waiting):
        def waitedTooLong(self) -> None:
            super().waitedTooLong()
            raise ValueError("mine")

    waiters = [Failing(clock) for _ in range(3)]
    for waiter in waiters:
        deadline.begin(waiter)
    with caplog.at_level(logging.ERROR, "reactor.http"):
        clock.advance(2)
    assert [waiter.told for waiter in waiters] == [[2.0]] * 3
    assert len(caplog.records) == 3


def test_oneDeadlineForEachLength() -> None:
    deadlines = Deadlines(Clock().callLater)
    assert deadlines.of(1.0) is deadlines.of(1)
    assert deadlines.of(2.0) is not deadlines.of(1.0)
