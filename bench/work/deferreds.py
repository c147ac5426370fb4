"""The cost of Deferreds. The unit is one object of the kind that a method makes."""

from __future__ import annotations

import importlib
from typing import Any

from bench.work.task import expect


class Deferreds:
    """Option: `how`, the name of a method here. Each returns a sum that shows that it did its work."""

    def __init__(self, rival: str, how: str) -> None:
        self.defer: Any = importlib.import_module("reactor.defer" if rival == "ours" else "twisted.internet.defer")
        self.work = getattr(self, how)

    def run(self, count: int) -> int:
        expect("the sum", self.work(count), count * (count - 1) // 2)
        return count

    def verify(self) -> None:
        pass

    def callbacks(self, count: int) -> int:
        """A Deferred with three callbacks."""
        total = 0
        for number in range(count):
            d = self.defer.Deferred()
            d.addCallback(int.__add__, 1)
            d.addCallback(int.__add__, 1)
            d.addCallback(int.__sub__, 2)
            d.callback(number)
            total += d.result
        return total

    def errbacks(self, count: int) -> int:
        """A callback that raises, and an errback that handles it."""
        total = 0

        def fail(number: int) -> None:
            raise ValueError(number)

        for number in range(count):
            d = self.defer.Deferred()
            d.addCallback(fail).addErrback(lambda failure: failure.trap(ValueError) and failure.value.args[0])
            d.callback(number)
            total += d.result
        return total

    def waiting(self, count: int) -> int:
        """A Deferred that waits for another one."""
        total = 0
        for number in range(count):
            inner, outer = self.defer.Deferred(), self.defer.Deferred()
            outer.addCallback(lambda _, inner=inner: inner)
            outer.callback(None)
            inner.callback(number)
            total += outer.result
        return total

    def coroutine(self, count: int) -> int:
        """A coroutine that awaits a Deferred."""

        async def same(d: Any) -> int:
            return int(await d)

        total = 0
        for number in range(count):
            d = self.defer.Deferred()
            outcome = self.defer.Deferred.fromCoroutine(same(d))
            d.callback(number)
            total += outcome.result
        return total

    def generator(self, count: int) -> int:
        """An inlineCallbacks generator that yields a Deferred."""

        @self.defer.inlineCallbacks  # type: ignore[untyped-decorator]
        def same(d: Any) -> Any:
            return (yield d)

        total = 0
        for number in range(count):
            d = self.defer.Deferred()
            outcome = same(d)
            d.callback(number)
            total += outcome.result
        return total

    def gathered(self, count: int) -> int:
        """gatherResults of ten Deferreds, each of which counts."""
        total = 0
        for begin in range(0, count, 10):
            waiting = [self.defer.Deferred() for _ in range(begin, min(begin + 10, count))]
            outcome = self.defer.gatherResults(waiting)
            for number, d in enumerate(waiting, begin):
                d.callback(number)
            total += sum(outcome.result)
        return total
