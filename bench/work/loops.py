"""Event loops without sockets: timers, turns, calls from another thread. A loop is what `loopOf` returns."""

from __future__ import annotations

import asyncio
import importlib
import random
import threading
from collections.abc import Callable
from typing import Any, Protocol

from bench.work.task import expect
from reactor import AsyncioReactor, EpollReactor

WITHIN = 0.05  # seconds, in which timers are due


class Loop(Protocol):
    """The methods of an event loop for these measurements. `later` and `fromThread` are the loop's own."""

    later: Callable[..., Any]
    fromThread: Callable[..., Any]

    def runUntilStopped(self, begin: Callable[[], object]) -> None:
        """Run, call `begin` inside, and return after `stop`."""

    def stop(self) -> None: ...


class OurLoop:
    """linereactor's loop, on epoll or on an event loop of asyncio's."""

    def __init__(self, rival: str) -> None:
        self.reactor: Any
        if rival == "ours-uvloop":
            self.reactor = AsyncioReactor(importlib.import_module("uvloop").new_event_loop())
        else:
            self.reactor = EpollReactor()
        self.later = self.reactor.callLater
        self.fromThread = self.reactor.callFromThread
        self.stop = self.reactor.stop

    def runUntilStopped(self, begin: Callable[[], object]) -> None:
        self.reactor.callLater(0, begin)
        self.reactor.run(installSignalHandlers=False)


class AsyncioLoop:
    """asyncio's own event loop, or a replacement."""

    def __init__(self, rival: str) -> None:
        self.loop = importlib.import_module(rival).new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.later = self.loop.call_later
        self.fromThread = self.loop.call_soon_threadsafe
        self.stop = self.loop.stop

    def runUntilStopped(self, begin: Callable[[], object]) -> None:
        self.loop.call_soon(begin)
        self.loop.run_forever()


class TwistedLoop:
    """Twisted's mainLoop, which its crash leaves, because its reactor runs only once."""

    def __init__(self, rival: str) -> None:
        self.reactor: Any = importlib.import_module("twisted.internet.reactor")
        self.reactor.startRunning(installSignalHandlers=False)
        self.later = self.reactor.callLater
        self.fromThread = self.reactor.callFromThread

    def runUntilStopped(self, begin: Callable[[], object]) -> None:
        self.running = True
        self.reactor.callLater(0, begin)
        while self.running:
            self.reactor.runUntilCurrent()
            self.reactor.doIteration(self.reactor.timeout() if self.running else 0)

    def stop(self) -> None:
        self.running = False


def loopOf(rival: str) -> Loop:
    """The event loop of a rival."""
    if rival.startswith("ours"):
        return OurLoop(rival)
    return TwistedLoop(rival) if rival == "twisted" else AsyncioLoop(rival)


class Timers:
    """`count` delayed calls, all due within 50 ms in no order; every second one is cancelled.

    The run waits for the others. The unit is a scheduled call.
    """

    def __init__(self, rival: str) -> None:
        self.loop = loopOf(rival)

    def run(self, count: int) -> int:
        later, stop = self.loop.later, self.loop.stop
        rng = random.Random(1)
        delays = [rng.random() * WITHIN for _ in range(count)]
        fired: list[int] = []

        def fire(number: int) -> None:
            fired.append(number)
            if len(fired) == (count + 1) // 2:
                stop()

        def begin() -> None:
            calls = [later(delay, fire, number) for number, delay in enumerate(delays)]
            for call in calls[1::2]:
                call.cancel()

        self.loop.runUntilStopped(begin)
        expect("calls that came", sorted(fired), list(range(0, count, 2)))
        return count

    def verify(self) -> None:
        pass


class Turns:
    """A call that schedules the next one, with a delay of 0. The unit is a turn of the loop."""

    def __init__(self, rival: str) -> None:
        self.loop = loopOf(rival)

    def run(self, count: int) -> int:
        later, stop = self.loop.later, self.loop.stop
        turns = 0

        def turn() -> None:
            nonlocal turns
            turns += 1
            if turns < count:
                later(0, turn)
            else:
                stop()

        self.loop.runUntilStopped(turn)
        expect("turns", turns, count)
        return count

    def verify(self) -> None:
        pass


class FromThread:
    """Another thread requests `count` calls as fast as it can. The unit is a call."""

    def __init__(self, rival: str) -> None:
        self.loop = loopOf(rival)

    def run(self, count: int) -> int:
        fromThread, stop = self.loop.fromThread, self.loop.stop
        calls: list[int] = []

        def called(number: int) -> None:
            calls.append(number)
            if len(calls) == count:
                stop()

        def ask() -> None:
            for number in range(count):
                fromThread(called, number)

        thread = threading.Thread(target=ask)
        self.loop.runUntilStopped(thread.start)
        thread.join()
        expect("calls, in order", calls, list(range(count)))
        return count

    def verify(self) -> None:
        pass
