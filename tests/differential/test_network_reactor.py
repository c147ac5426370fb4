"""Reactors beside Twisted's: running, triggers, delayed calls, descriptors. test_differences.py has the differences."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.worlds import SIDES, World

PHASES = ("before", "during", "after")


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Exceptions of callbacks are logged; whose log it is differs."""
    caplog.set_level(logging.CRITICAL)


class Boom(Exception):
    pass


def compare(script: Callable[[World, list[Any]], object]) -> list[Any]:
    """Run `script` on both sides; return the trace they agree on."""
    traces = []
    for side in SIDES:
        world, trace = World(side), list[Any]()
        try:
            script(world, trace)
        finally:
            world.close()
        traces.append(trace)
    assert traces[0] == traces[1]
    return traces[0]


def attempt(trace: list[Any], call: Callable[..., object], *args: Any) -> None:
    """Call, and write down what is raised."""
    try:
        call(*args)
    except Exception as error:
        trace.append(type(error).__name__)
    else:
        trace.append("fine")


def test_startAndStop() -> None:
    def script(world: World, trace: list[Any]) -> None:
        reactor = world.reactor
        attempt(trace, reactor.stop)

        def running() -> None:
            trace.append(reactor.running)
            attempt(trace, reactor.run)
            trace.append(reactor.callWhenRunning(trace.append, "at once"))
            attempt(trace, reactor.stop)
            attempt(trace, reactor.stop)
            trace.append(reactor.running)

        reactor.callWhenRunning(trace.append, "first")
        reactor.callWhenRunning(running)
        reactor.callLater(0, trace.append, "call")
        reactor.callFromThread(trace.append, "thread")
        for event in ("startup", "shutdown"):
            for phase in PHASES:
                reactor.addSystemEventTrigger(phase, event, trace.append, (phase, event))
        reactor.run(installSignalHandlers=False)
        trace.append(reactor.running)
        attempt(trace, reactor.stop)

    trace = compare(script)
    assert "ReactorAlreadyRunning" in trace
    assert trace.count("ReactorNotRunning") == 3


@pytest.mark.parametrize("fails", [False, True])
def test_beforeShutdownIsWaitedFor(fails: bool) -> None:
    def script(world: World, trace: list[Any]) -> None:
        reactor = world.reactor

        def wait() -> Any:
            trace.append(("asked", reactor.running))
            done = world.side.defer.Deferred()
            reactor.callLater(0.001, done.errback if fails else done.callback, Boom())
            done.addBoth(lambda result: trace.append(("there", reactor.running)))
            return done

        reactor.callWhenRunning(reactor.stop)
        for phase in PHASES:
            reactor.addSystemEventTrigger(phase, "shutdown", trace.append, phase)
        reactor.addSystemEventTrigger("before", "shutdown", wait)
        reactor.addSystemEventTrigger("before", "shutdown", trace.append, "more")
        reactor.run(installSignalHandlers=False)

    assert compare(script) == ["before", ("asked", True), "more", ("there", True), "during", "after"]


def test_triggersOfAnEvent() -> None:
    """Random scripts of adding, removing and firing, with triggers that raise, add more, or wait."""
    for seed in range(300):

        def script(world: World, trace: list[Any], seed: int = seed) -> None:
            rng = random.Random(seed)
            reactor, ids, waiting = world.reactor, list[Any](), list[Any]()

            def trigger(number: int, kind: str, extra: str) -> Any:
                trace.append((number, kind))
                if kind == "raise":
                    raise Boom
                if kind == "add":
                    add(extra, number + 1000, "note")
                if kind == "wait":
                    waiting.append(world.side.defer.Deferred())
                    return waiting[-1]
                return None

            def add(phase: str, number: int, kind: str) -> None:
                args = (number, kind, rng.choice(PHASES))
                ids.append(reactor.addSystemEventTrigger(phase, "lunch", trigger, *args))

            for number in range(12):
                add(rng.choice(PHASES), number, rng.choice(["note", "note", "raise", "add", "wait"]))
            for _ in range(4):
                attempt(trace, reactor.removeSystemEventTrigger, rng.choice(ids))
            attempt(trace, reactor.addSystemEventTrigger, "never", "lunch", trigger)
            for _ in range(3):
                reactor.fireSystemEvent("lunch")
                while waiting:
                    trace.append("there")
                    waiting.pop(rng.randrange(len(waiting))).callback(None)

        compare(script)


def test_delayedCalls() -> None:
    def script(world: World, trace: list[Any]) -> None:
        reactor = world.reactor

        def chain(number: int) -> None:
            trace.append(number)
            if number < 3:
                reactor.callLater(0, chain, number + 1)
            else:
                reactor.callFromThread(trace.append, "thread")

        calls = [reactor.callLater(0.004 * delay, trace.append, delay) for delay in (5, 3, 4, 1, 2)]
        calls[1].cancel()
        calls[2].reset(0.002)
        calls[3].delay(0.05)
        attempt(trace, calls[1].cancel)
        attempt(trace, calls[1].reset, 1)
        attempt(trace, calls[1].delay, 1)
        trace.append(len(reactor.getDelayedCalls()))
        trace.append([call.active() for call in calls])
        world.until(lambda: not reactor.getDelayedCalls())
        reactor.callLater(0, chain, 0)
        world.until(lambda: trace[-1] == "thread")
        attempt(trace, calls[0].cancel)
        attempt(trace, calls[0].reset, 1)
        trace.append([call.active() for call in calls])

    trace = compare(script)
    assert trace[5:9] == [4, 2, 5, 1]


def test_errorsInCalls() -> None:
    def script(world: World, trace: list[Any]) -> None:
        def fail() -> None:
            trace.append("fail")
            raise Boom

        for call in (fail, lambda: trace.append("fine"), fail):
            world.reactor.callLater(0, call)
            world.reactor.callFromThread(call)
        world.until(lambda: len(trace) == 6)

    compare(script)


class Ear:
    """A descriptor of the program's own."""

    def __init__(self, fd: int, trace: list[Any], result: Any) -> None:
        self.fd, self.trace, self.result = fd, trace, result

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "ear"

    def doRead(self) -> Any:
        self.trace.append(os.read(self.fd, 100))
        return self.end()

    def doWrite(self) -> Any:
        self.trace.append("write")
        return self.end()

    def end(self) -> Any:
        if isinstance(self.result, type):
            raise self.result
        return self.result

    def connectionLost(self, reason: Any) -> None:
        self.trace.append(("lost", type(reason.value).__name__))


@pytest.mark.parametrize("result", [None, Boom("returned"), Boom])
@pytest.mark.parametrize("way", ["read", "write"])
def test_descriptors(way: str, result: Any) -> None:
    def script(world: World, trace: list[Any]) -> None:
        reactor, ends = world.reactor, os.pipe()
        own = set(reactor.getReaders())  # Twisted counts its waker
        ear = Ear(ends[0] if way == "read" else ends[1], trace, result)
        os.write(ends[1], b"x")
        for _ in range(2):
            (reactor.addReader if way == "read" else reactor.addWriter)(ear)
        trace.append((set(reactor.getReaders()) - own == {ear}, reactor.getWriters() == [ear]))
        reactor.iterate(0)
        for _ in range(2):
            (reactor.removeReader if way == "read" else reactor.removeWriter)(ear)
        reactor.iterate(0)
        trace.append((set(reactor.getReaders()) - own, reactor.getWriters()))
        reactor.addReader(ear)
        trace.append([each is ear for each in reactor.removeAll()])
        trace.append(reactor.removeAll())
        for end in ends:
            os.close(end)

    compare(script)
