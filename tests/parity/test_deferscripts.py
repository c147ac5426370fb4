"""Random scripts of operations on Deferreds, run on ours and on Twisted's.

These must be the same: the calls, their arguments and their order, the state of every Deferred after each step, and the
unhandled failures.
"""

from __future__ import annotations

import gc
import logging
import random
import warnings
from typing import Any

import pytest
from twisted.internet import defer as twistedDefer
from twisted.internet import task
from twisted.logger import globalLogBeginner, globalLogPublisher
from twisted.python import failure as twistedFailure

from reactor import defer as ourDefer
from reactor import failure as ourFailure

POOL = 5

# Of no interest to users, who see it only if they look at the result of a Deferred that was paused and then cancelled.
ALIASES = {"_InternalInlineCallbacksCancelledError": "Cancelling"}


# Until logging has begun, Twisted prints what it logs, and keeps it, with every object the tracebacks lead to.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)

# Where Twisted trips over itself: cancel() on Deferreds that wait in a ring, and a second await of a failed Deferred
# from inside its callbacks. test_defer.py has a test for each.
ACCIDENTS = (RecursionError, AssertionError)


class Boom(Exception):
    pass


def makeAction(rng: random.Random, depth: int) -> tuple[Any, ...]:
    """Return the action of a callback; a nested operation may come before it returns or raises."""
    kind = rng.choice(
        ["value"] * 4 + ["pass"] * 3 + ["raise", "raise", "failure", "interrupt", "deferred", "deferred", "none"]
    )
    inner = makeStep(rng, depth + 1) if depth < 2 and rng.random() < 0.3 else None
    return kind, rng.randrange(100), rng.randrange(POOL), inner


def makeStep(rng: random.Random, depth: int = 0) -> tuple[Any, ...]:
    kind = rng.choice(
        ["addCallbacks", "addCallback", "addErrback", "addBoth"] * 4
        + ["callback", "callback", "callback", "errback", "errback", "callbackFailure", "callbackDeferred"]
        + ["pause", "unpause", "unpause", "cancel", "cancel", "chain", "timeout", "timeoutConvert", "advance"]
        + ["coroutine", "coroutine", "inline", "list", "gather", "race", "renew", "lock", "await"]
    )
    detail: Any = None
    if kind.startswith("add"):
        detail = (makeAction(rng, depth), makeAction(rng, depth))
    elif kind == "renew":
        detail = rng.choice(["plain", "plain", "silent", "value", "failure", "raising"])
    elif kind in ("coroutine", "inline"):
        detail = [
            (
                rng.choice(["wait", "wait", "waitCatching", "value", "nested"]),
                rng.randrange(POOL),
                makeAction(rng, depth),
            )
            for _ in range(rng.randrange(4))
        ] + [(rng.choice(["return", "raise"]), 0, None)]
    elif kind == "list":
        detail = tuple(rng.random() < 0.4 for _ in range(3))
    return kind, rng.randrange(POOL), rng.randrange(POOL), rng.randrange(100), detail


class World:
    """One implementation, a pool of Deferreds, and the trace."""

    def __init__(self, defer: Any, failure: Any) -> None:
        self.defer = defer
        self.failure = failure
        self.clock = task.Clock()
        self.trace: list[Any] = []
        self.pool: list[Any] = [defer.Deferred() for _ in range(POOL)]
        self.known: dict[int, str] = {}
        self.keep: list[Any] = []
        self.accident = False
        self.cancelsByItself = False
        self.serial = 0
        self.lock = defer.DeferredLock()

    def show(self, thing: Any) -> Any:
        """Describe `thing` in words that are the same for both implementations."""
        if isinstance(thing, self.failure.Failure):
            return ("failure", self.show(thing.value))
        if isinstance(thing, self.defer.FirstError):
            return ("first", thing.index, self.show(thing.subFailure))
        if isinstance(thing, self.defer.FailureGroup):
            return ("group", [self.show(each) for each in thing.failures])
        if isinstance(thing, BaseException):
            self.accident = self.accident or isinstance(thing, ACCIDENTS)
            name = type(thing).__name__
            text = "" if name == "AlreadyCalledError" else str(thing)  # ours says what to do; Twisted's has no text
            return (ALIASES.get(name, name), text)
        if hasattr(thing, "addCallbacks"):
            return self.known.get(id(thing), "deferred")
        if isinstance(thing, list | tuple):
            return [self.show(each) for each in thing]
        if hasattr(thing, "acquire"):
            return "lock"
        return thing

    def note(self, *what: Any) -> None:
        self.trace.append([self.show(each) for each in what])

    def name(self) -> str:
        self.serial += 1
        return f"#{self.serial}"

    def callbackFor(self, action: tuple[Any, ...]) -> Any:
        kind, number, index, inner = action
        label = self.name()

        def run(result: Any) -> Any:
            self.note(label, kind, result)
            if inner is not None:
                self.step(inner)
            if kind == "raise":
                raise Boom(number)
            if kind == "interrupt":
                raise KeyboardInterrupt(number)
            return {
                "value": number,
                "pass": result,
                "failure": self.failure.Failure(Boom(number)),
                "deferred": self.pool[index],
                "none": None,
            }[kind]

        return run

    def cancellerFor(self, kind: str, number: int) -> Any:
        def canceller(deferred: Any) -> None:
            self.note("canceller", kind)
            # The cost of a broken canceller to a race and a time-out is a difference on purpose.
            self.accident = self.accident or (kind == "raising" and self.cancelsByItself)
            if kind == "value":
                deferred.callback(number)
            elif kind == "failure":
                deferred.errback(Boom(number))
            elif kind == "raising":
                raise Boom(number)

        return None if kind == "plain" else canceller

    def steps(self, script: Any) -> Any:
        """A generator for inlineCallbacks; a coroutine awaits the same things."""
        for kind, index, action in script:
            result: Any = None
            if kind == "return":
                return "returned"
            if kind == "raise":
                raise Boom("in generator")
            if kind == "wait":
                result = yield self.pool[index]
            elif kind == "waitCatching":
                try:
                    result = yield self.pool[index]
                except BaseException as error:
                    if isinstance(error, GeneratorExit):
                        raise
                    self.note("caught", error)
            elif kind == "nested":
                result = yield self.steps([("wait", index, None), ("return", 0, None)])
            else:
                result = yield index
            self.note("resumed", kind, result)
            if action is not None and action[3] is not None:
                self.step(action[3])

    async def coroutine(self, script: Any) -> Any:
        for kind, index, action in script:
            result: Any = None
            if kind == "return":
                return "returned"
            if kind == "raise":
                raise Boom("in coroutine")
            if kind == "wait":
                result = await self.pool[index]
            elif kind == "waitCatching":
                try:
                    result = await self.pool[index]
                except BaseException as error:
                    if isinstance(error, GeneratorExit):
                        raise
                    self.note("caught", error)
            elif kind == "nested":
                result = await self.coroutine([("wait", index, None), ("return", 0, None)])
            self.note("resumed", kind, result)
            if action is not None and action[3] is not None:
                self.step(action[3])
        return None

    def put(self, index: int, deferred: Any) -> None:
        self.keep.append(deferred)
        self.pool[index] = deferred

    def step(self, step: tuple[Any, ...]) -> None:
        kind, a, b, number, detail = step
        try:
            getattr(self, "do_" + kind)(self.pool[a], a, b, number, detail)
        except BaseException as error:
            self.note(kind, error)

    def do_addCallbacks(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.addCallbacks(self.callbackFor(detail[0]), self.callbackFor(detail[1]))

    def do_addCallback(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.addCallback(self.callbackFor(detail[0]))

    def do_addErrback(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.addErrback(self.callbackFor(detail[0]))

    def do_addBoth(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.addBoth(self.callbackFor(detail[0]))

    def do_callback(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.callback(number)

    def do_callbackFailure(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.callback(self.failure.Failure(Boom(number)))

    def do_callbackDeferred(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        if a != b:
            d.callback(self.pool[b])

    def do_errback(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.errback(Boom(number))

    def do_pause(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.pause()

    def do_unpause(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.unpause()

    def do_cancel(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.cancel()

    def do_chain(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        d.chainDeferred(self.pool[b])

    def do_timeout(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.cancelsByItself = True
        d.addTimeout(1 + b, self.clock)

    def do_timeoutConvert(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        def convert(result: Any, seconds: float) -> Any:
            self.note("converting", result, seconds)
            return number

        self.cancelsByItself = True
        d.addTimeout(1 + b, self.clock, convert)

    def do_advance(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.clock.advance(b)

    def do_coroutine(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(b, self.defer.Deferred.fromCoroutine(self.coroutine(detail)))

    def do_inline(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(b, self.defer.inlineCallbacks(self.steps)(detail))

    def do_list(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(b, self.defer.DeferredList(self.pool[: number % 4], *detail))

    def do_gather(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(b, self.defer.gatherResults(self.pool[: number % 4], number % 2 == 0))

    def do_race(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.cancelsByItself = True
        self.put(b, self.defer.race(self.pool[: number % 4]))

    def do_renew(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(a, self.defer.Deferred(self.cancellerFor(detail, number)))

    def do_lock(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        self.put(b, self.lock.run(lambda: d))

    def do_await(self, d: Any, a: int, b: int, number: int, detail: Any) -> None:
        if d.called and not d.paused:
            try:
                next(iter(d))
            except StopIteration as stop:
                self.note("awaited", stop.value)

    def state(self) -> list[Any]:
        self.known = {id(each): f"pool {index}" for index, each in enumerate(self.pool)}
        return [
            (each.called, each.paused, self.show(each.result) if hasattr(each, "result") else "no result")
            for each in self.pool
        ]

    def run(self, script: list[tuple[Any, ...]]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for step in script:
                self.step(step)
                self.trace.append((step[0], self.state()))

    def drop(self) -> None:
        self.pool.clear()
        self.keep.clear()
        self.known.clear()
        self.clock = task.Clock()
        self.lock = None


def unhandledOfOurs(world: World, script: list[tuple[Any, ...]]) -> list[str]:
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            assert record.exc_info is not None
            assert record.exc_info[0] is not None
            found.append(record.exc_info[0].__name__)

    logger = logging.getLogger("reactor.defer")
    handler = Collect()
    logger.addHandler(handler)
    propagate, logger.propagate = logger.propagate, False
    try:
        world.run(script)
        world.drop()
        gc.collect()
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
    return sorted(found)


def unhandledOfTwisted(world: World, script: list[tuple[Any, ...]]) -> list[str]:
    found: list[str] = []

    def observe(event: Any) -> None:
        if "log_failure" in event:
            name = event["log_failure"].type.__name__
            found.append(ALIASES.get(name, name))

    globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
    try:
        world.run(script)
        world.drop()
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(observe)  # type: ignore[arg-type]
    return sorted(found)


def runBoth(seed: int) -> tuple[Any, Any] | None:
    """The traces of ours and of Twisted's, or None if Twisted had one of its accidents."""
    rng = random.Random(seed)
    script = [makeStep(rng) for _ in range(rng.randrange(3, 30))]
    theirs = World(twistedDefer, twistedFailure)
    theirUnhandled = unhandledOfTwisted(theirs, script)
    ours = World(ourDefer, ourFailure)
    ourUnhandled = unhandledOfOurs(ours, script)
    if theirs.accident or not {each.__name__ for each in ACCIDENTS}.isdisjoint(theirUnhandled):
        return None
    return (ours.trace, ourUnhandled), (theirs.trace, theirUnhandled)


@pytest.mark.parametrize("first", range(0, 600, 100))
def test_randomScripts(first: int) -> None:
    gc.collect()
    gc.freeze()
    try:
        compared = 0
        for seed in range(first, first + 100):
            both = runBoth(seed)
            if both is not None:
                compared += 1
                assert both[0] == both[1], f"seed {seed}"
        assert compared > 90
    finally:
        gc.unfreeze()
