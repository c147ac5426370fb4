"""Deferreds. Most tests are scripts that run on ours and on Twisted's, and must give the same; `expected` pins what."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import itertools
import logging
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator
from typing import Any

import pytest
from twisted.internet import defer as twistedDefer
from twisted.internet import task
from twisted.python import failure as twistedFailure

from reactor import defer
from reactor.defer import Deferred
from reactor.failure import Failure, NoCurrentExceptionError

LONG = 30_000


# twisted.internet.defer happens to have the name Failure; ours is in its own module.
class Ours:
    Failure = Failure

    def __getattr__(self, name: str) -> Any:
        return getattr(defer, name)


BOTH = pytest.mark.parametrize("m", [Ours(), twistedDefer], ids=["ours", "twisted"])


class Boom(Exception):
    pass


def show(thing: Any) -> Any:
    """Describe `thing` in words that are the same for both implementations."""
    if isinstance(thing, Failure | twistedFailure.Failure):
        assert thing.type is not None
        return f"{thing.type.__name__}({thing.getErrorMessage()})"
    if isinstance(thing, Deferred | twistedDefer.Deferred):
        return "Deferred"
    if isinstance(thing, list | tuple):
        return type(thing)(show(each) for each in thing)
    return thing


def outcomeOf(d: Any) -> Any:
    """The present result, consumed."""
    if not d.called or d.paused:
        return "waiting"
    found: list[Any] = []
    d.addBoth(found.append)
    return show(found[0])


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise error

    return fail


@pytest.fixture(scope="module", autouse=True)
def littleToCollect() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Leave no unhandled failure of one test to be logged in another."""
    gc.collect()


# -- results and callbacks


@BOTH
def test_arguments(m: Any) -> None:
    seen: list[Any] = []

    def callback(*args: Any, **kwargs: Any) -> str:
        seen.append((show(args), kwargs))
        return "next"

    d = m.Deferred()
    assert d.addCallback(callback, 1, k=2) is d
    d.addBoth(callback, 3)
    d.addCallbacks(callback, None, (4,), {"x": 5})
    d.addCallbacks(callback, callback, None, None, None, None)
    d.addCallback(raising(Boom("b")))
    d.addErrback(callback, 6, y=7)
    d.addCallback(raising(Boom("c")))
    d.addCallbacks(callback, errback=callback, errbackArgs=(8,), errbackKeywords={"z": 9})
    d.callback("first")
    assert seen == [
        (("first", 1), {"k": 2}),
        (("next", 3), {}),
        (("next", 4), {"x": 5}),
        (("next",), {}),
        (("Boom(b)", 6), {"y": 7}),
        (("Boom(c)", 8), {"z": 9}),
    ]
    assert d.result == "next"


@BOTH
def test_failuresPassBy(m: Any) -> None:
    d = m.Deferred()
    d.addCallback(lambda r: pytest.fail("called")).addCallbacks(lambda r: pytest.fail("called"))
    d.errback(Boom("x"))
    assert outcomeOf(d) == "Boom(x)"
    d.addErrback(lambda f: pytest.fail("called"))


@BOTH
def test_failureAsResult(m: Any) -> None:
    try:
        raise Boom("x")
    except Boom:
        d = m.Deferred()
        d.errback()
    assert d.result.tb is not None
    assert outcomeOf(d) == "Boom(x)"
    d = m.Deferred()
    d.callback(m.Failure(Boom("y")))
    assert outcomeOf(d) == "Boom(y)"
    with pytest.raises((NoCurrentExceptionError, twistedFailure.NoCurrentExceptionError)):
        m.Deferred().errback()


@BOTH
def test_alreadyCalled(m: Any) -> None:
    d = m.Deferred()
    d.callback(1)
    again: Callable[[], object]
    for again in (lambda: d.callback(2), lambda: d.errback(Boom())):
        with pytest.raises(m.AlreadyCalledError):
            again()
    assert outcomeOf(d) == 1


@BOTH
def test_addFromInside(m: Any) -> None:
    """A callback that is added by a running one gets what that one returns."""
    seen: list[Any] = []
    d = m.Deferred()

    def outer(result: Any) -> str:
        d.addCallback(seen.append)
        seen.append("outer ends")
        return "from outer"

    d.addCallback(outer)
    d.callback(None)
    assert seen == ["outer ends", "from outer"]


@BOTH
def test_everythingRaisedIsCaught(m: Any) -> None:
    for error in (KeyboardInterrupt("k"), SystemExit(3), GeneratorExit()):
        d = m.succeed(None).addCallback(raising(error))
        assert d.result.value is error
        d.addErrback(lambda f: None)


@BOTH
def test_pause(m: Any) -> None:
    seen: list[Any] = []
    d = m.Deferred()
    d.addCallback(seen.append)
    d.pause()
    d.pause()
    d.callback(1)
    d.unpause()
    assert (seen, d.paused, d.called) == ([], 1, True)
    d.unpause()
    assert (seen, d.paused) == ([1], 0)
    d = m.Deferred()
    d.pause()
    d.unpause()
    assert not d.called


@BOTH
def test_wait(m: Any) -> None:
    inner, outer = m.Deferred(), m.Deferred()
    outer.addCallback(lambda _: inner)
    outer.callback("ignored")
    assert outcomeOf(outer) == "waiting"
    assert f"waiting on Deferred at 0x{id(inner):x}" in str(outer)
    inner.callback("value")
    assert (inner.result, outer.result, outer.paused) == (None, "value", 0)
    ready = m.succeed("ready")
    outer.addCallback(lambda _: ready)
    assert (outer.result, ready.result) == ("ready", None)


@BOTH
def test_returnedItself(m: Any) -> None:
    d = m.Deferred()
    d.addCallback(lambda _: d)
    with pytest.warns(DeprecationWarning, match="Callback returned the Deferred it was attached to"):
        d.callback(1)
    assert d.paused == 1


def test_returnedItselfByMethod() -> None:
    d: Deferred[Any] = Deferred()
    d.addCallback({1: d}.get)
    with pytest.warns(DeprecationWarning, match="Callback returned the Deferred"):
        d.callback(1)


@BOTH
def test_texts(m: Any) -> None:
    d = m.Deferred()
    assert str(d) == repr(d) == f"<Deferred at 0x{id(d):x}>"
    d.callback("x")
    assert str(d) == f"<Deferred at 0x{id(d):x} current result: 'x'>"


@BOTH
def test_callbacksToBeSeen(m: Any) -> None:
    d = m.Deferred()
    d.addCallbacks(len, str, (1,), {"a": 2}, (3,), {"b": 4})
    d.addErrback(str, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, second = d.callbacks
    assert first == ((len, (1,), {"a": 2}), (str, (3,), {"b": 4}))
    assert second == ((m.passthru, (), {}), (str, (5,), {}))


def test_ownAttributesAndWeakReferences() -> None:
    d: Any = Deferred()
    d.label = "mine"
    seen: Callable[[], Any] = weakref.ref(d)
    assert seen().label == "mine"
    gc.disable()
    try:
        del d
        assert seen() is None
    finally:
        gc.enable()


# -- chains


@BOTH
def test_chainDeferred(m: Any) -> None:
    seen: list[Any] = []
    first, second = m.Deferred(), m.Deferred()
    assert first.chainDeferred(second) is first
    assert f"waiting on Deferred at 0x{id(first):x}" in str(second)
    first.addCallback(lambda r: seen.append(("first", r)))
    second.addCallback(lambda r: seen.append(("second", r, show(first.result))))
    # Until `second` is through, `first` is in the middle of a callback.
    second.addCallback(lambda _: first.addCallback(lambda r: seen.append("last")))
    first.callback("x")
    assert seen == [("second", "x", "x"), ("first", None), "last"]
    third = m.Deferred()
    m.fail(Boom("y")).chainDeferred(third)
    assert outcomeOf(third) == "Boom(y)"


@BOTH
def test_chainToCalled(m: Any) -> None:
    d = m.succeed(1).chainDeferred(m.succeed(2))
    assert outcomeOf(d) == f"AlreadyCalledError({m.AlreadyCalledError()})"
    cancelled = m.Deferred()
    cancelled.cancel()
    assert outcomeOf(cancelled) == "CancelledError()"
    d = m.succeed(1).chainDeferred(cancelled)
    assert outcomeOf(d) is None


@BOTH
def test_chainToPaused(m: Any) -> None:
    seen: list[Any] = []
    first, second = m.Deferred(), m.Deferred()
    first.chainDeferred(second).addCallback(lambda r: seen.append("first"))
    second.addCallback(lambda r: seen.append("second"))
    second.pause()
    first.callback(1)
    assert seen == ["first"]
    second.unpause()
    assert seen == ["first", "second"]


@BOTH
def test_chainToOwnCallbackMethod(m: Any) -> None:
    seen: list[Any] = []

    class Mine(m.Deferred):  # type: ignore[misc]
        def callback(self, result: Any) -> None:
            seen.append(result)
            super().callback(result + 1)

    d = Mine()
    m.succeed(1).chainDeferred(d)
    assert (seen, d.result) == ([1], 2)


@BOTH
def test_waitingWhilePaused(m: Any) -> None:
    """As in Twisted, a chain that has handed its result to a paused one stands still until it is touched again."""
    seen: list[Any] = []
    inner, outer = m.Deferred(), m.Deferred()
    outer.addCallback(lambda _: inner)
    outer.callback(None)
    inner.addCallback(lambda r: seen.append(("inner", r)))
    outer.pause()
    source = m.Deferred()
    source.chainDeferred(inner).addCallback(lambda r: seen.append(("source", r)))
    source.callback(5)
    assert seen == [("source", None)]
    inner.addCallback(lambda r: seen.append("touched"))
    assert seen == [("source", None), ("inner", None), "touched"]
    outer.unpause()
    assert outer.result == 5


def test_longChains() -> None:
    """Twisted's chainDeferred and coroutines recurse here and lose the end of the line."""
    line: list[Deferred[int]] = [Deferred() for _ in range(LONG)]
    for one, following in itertools.pairwise(line):
        one.chainDeferred(following)
    line[0].callback(7)
    assert line[-1].result == 7

    async def addOne(d: Deferred[int]) -> int:
        return await d + 1

    first: Deferred[int] = Deferred()
    last = first
    for _ in range(LONG):
        last = Deferred.fromCoroutine(addOne(last))
    first.callback(0)
    assert last.result == LONG

    first = last = Deferred()
    for _ in range(LONG):
        last = defer.succeed(None).addCallback(lambda _, d: d, last)
    last.cancel()
    assert outcomeOf(last) == "CancelledError()"
    assert outcomeOf(first) is None


# -- cancel, timeout


@BOTH
def test_cancelWithoutCanceller(m: Any) -> None:
    d = m.Deferred()
    d.cancel()
    assert outcomeOf(d) == "CancelledError()"
    d.callback("swallowed")
    with pytest.raises(m.AlreadyCalledError):
        d.callback("not swallowed")
    d.cancel()


@BOTH
@pytest.mark.parametrize(
    ("canceller", "expected"),
    [
        (lambda d: None, "CancelledError()"),
        (lambda d: d.callback("result"), "result"),
        (lambda d: d.errback(Boom("mine")), "Boom(mine)"),
    ],
)
def test_cancellers(m: Any, canceller: Any, expected: str) -> None:
    d = m.Deferred(canceller)
    d.cancel()
    assert outcomeOf(d) == expected
    with pytest.raises(m.AlreadyCalledError):
        d.callback("late")


@BOTH
def test_cancellerRaises(m: Any) -> None:
    d = m.Deferred(raising(Boom("x")))
    with pytest.raises(Boom):
        d.cancel()
    assert not d.called


@BOTH
def test_cancelWaiting(m: Any) -> None:
    class Special(m.Deferred):  # type: ignore[misc]
        def cancel(self) -> None:
            self.callback("special")

    inner = m.Deferred()
    outer = m.succeed(None).addCallback(lambda _: inner)
    outer.cancel()
    assert outcomeOf(outer) == "CancelledError()"
    outer = m.succeed(None).addCallback(lambda _: Special())
    outer.cancel()
    assert outcomeOf(outer) == "special"


def test_cancelInARing() -> None:
    """There is nothing to cancel; Twisted raises RecursionError."""
    one: Deferred[Any] = Deferred()
    two: Deferred[Any] = Deferred()
    one.addCallback(lambda _: two)
    two.addCallback(lambda _: one)
    one.callback(None)
    two.callback(None)
    one.cancel()
    assert (one.paused, two.paused) == (1, 1)


def test_cancellerIsLetGo() -> None:
    class Canceller:
        def __call__(self, d: object) -> None: ...

    canceller = Canceller()
    seen = weakref.ref(canceller)
    d: Deferred[int] = Deferred(canceller)
    del canceller
    d.callback(1)
    assert seen() is None


@BOTH
def test_timeout(m: Any) -> None:
    clock = task.Clock()
    seen: list[Any] = []

    def onTimeout(result: Any, seconds: float) -> str:
        seen.append((show(result), seconds))
        return "converted"

    late = m.Deferred().addTimeout(3, clock)
    inTime = m.Deferred().addTimeout(3, clock)
    converted = m.Deferred().addTimeout(3, clock, onTimeout)
    byCanceller = m.Deferred(lambda d: d.callback("canceller")).addTimeout(3, clock)
    other = m.Deferred(lambda d: d.errback(Boom("other"))).addTimeout(3, clock)
    cancelled = m.Deferred().addTimeout(3, clock)
    assert len(clock.getDelayedCalls()) == 6
    clock.advance(2)
    inTime.callback("in time")
    cancelled.cancel()
    assert len(clock.getDelayedCalls()) == 4
    clock.advance(1)
    assert outcomeOf(late) == "TimeoutError((3, 'Deferred'))"
    assert outcomeOf(inTime) == "in time"
    assert (outcomeOf(converted), seen) == ("converted", [("CancelledError()", 3)])
    assert outcomeOf(byCanceller) == "canceller"
    assert outcomeOf(other) == "Boom(other)"
    assert outcomeOf(cancelled) == "CancelledError()"


# -- unhandled failures, debugging


def records(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    gc.collect()
    found = [each for each in caplog.records if each.name == "reactor.defer"]
    caplog.clear()
    return found


def test_unhandledIsOneRecord(caplog: pytest.LogCaptureFixture) -> None:
    d = defer.succeed(None).addCallback(raising(Boom("x")))
    assert records(caplog) == []
    del d
    (record,) = records(caplog)
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "Unhandled error in Deferred")
    assert record.exc_info is not None
    kind, value, tb = record.exc_info
    assert (kind, str(value)) == (Boom, "x")
    assert tb is not None


def test_unhandledOfAChain(caplog: pytest.LogCaptureFixture) -> None:
    ds: list[Deferred[Any]] = [Deferred(), Deferred()]
    ds.append(defer.succeed(None).addCallback(lambda _: ds[0]))
    ds[2].chainDeferred(ds[1])
    ds[0].errback(Boom("once"))
    ds.clear()
    assert len(records(caplog)) == 1


def test_unhandledWithoutAnException(caplog: pytest.LogCaptureFixture) -> None:
    Deferred[None]().errback("text")
    (record,) = records(caplog)
    assert "text" in record.getMessage()
    assert record.exc_info is None


def test_handledIsSilent(caplog: pytest.LogCaptureFixture) -> None:
    defer.fail(Boom()).addErrback(lambda f: None)
    late = defer.fail(Boom())
    late.addErrback(lambda f: None)
    del late
    waiting = defer.succeed(None).addCallback(lambda _: defer.fail(Boom()))
    waiting.addErrback(lambda f: None)

    async def main() -> None:
        with pytest.raises(Boom):
            await defer.fail(Boom())

    defer.ensureDeferred(main())
    assert records(caplog) == []


def test_handledErrorsLeaveNoCycles() -> None:
    """The exception is freed as soon as nobody needs it, without the help of the garbage collector."""

    class Watched(Exception):
        def __init__(self) -> None:
            kept.append(weakref.ref(self))

    kept: list[weakref.ref[Exception]] = []

    def fail(_: object) -> None:
        raise Watched

    async def failing() -> None:
        fail(None)

    async def waiting() -> None:
        await Deferred[None](lambda d: d.callback(None)).addCallback(fail)

    gc.disable()
    try:
        defer.succeed(None).addCallback(fail).addErrback(lambda f: None)
        d: Deferred[None] = Deferred()
        d.addCallback(fail)
        d.callback(None)
        d.addErrback(lambda f: None)
        giver = Deferred[None]().addCallback(fail)
        taker = defer.succeed(None).addCallback(lambda _: giver)
        taker.addErrback(lambda f: None)
        giver.callback(None)
        defer.ensureDeferred(failing()).addErrback(lambda f: None)
        waits = defer.ensureDeferred(waiting()).addErrback(lambda f: None)
        waits.cancel()
        assert [ref() for ref in kept] == [None] * 5
    finally:
        gc.enable()


def test_logError(caplog: pytest.LogCaptureFixture) -> None:
    d = defer.fail(Boom("x")).addErrback(defer.logError)
    (record,) = records(caplog)
    assert record.exc_info is not None
    assert record.exc_info[0] is Boom
    assert outcomeOf(d) == "Boom(x)"


@BOTH
def test_debugging(m: Any) -> None:
    assert m.getDebugging() is False
    plain = m.Deferred()
    m.setDebugging(True)
    try:
        assert m.getDebugging() is True
        d = m.Deferred()
        d.callback(1)
        with pytest.raises(m.AlreadyCalledError, match=r"C: Deferred was created:(.|\n)*I: First Invoker was:") as info:
            d.callback(2)
        assert "test_debugging" in str(info.value)
        plain.callback(1)
        with pytest.raises(m.AlreadyCalledError, match="\n I: First Invoker was:"):
            plain.callback(2)
        failed = m.succeed(1).addCallback(raising(Boom()))
        assert failed.result.captureVars
        failed.addErrback(lambda f: None)
        ready = m.succeed(1)
        ready.called = True
        ready._debugInfo = None
        with pytest.raises(m.AlreadyCalledError):
            ready.callback(1)
    finally:
        m.setDebugging(False)


def test_debuggingUnhandled(caplog: pytest.LogCaptureFixture) -> None:
    defer.setDebugging(True)
    try:
        Deferred[None]().errback(Boom("x"))
    finally:
        defer.setDebugging(False)
    (record,) = records(caplog)
    assert "C: Deferred was created" in record.getMessage()
    assert "I: First Invoker was" in record.getMessage()


class Hostile:
    """A result that cannot be looked at, once: isinstance() with it raises."""

    def __init__(self) -> None:
        self.armed = True

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return Hostile


@pytest.mark.parametrize("chained", [False, True])
def test_interruptedBetweenCallbacks(chained: bool) -> None:
    """An exception outside of callbacks, for example by a signal, leaves callback(); the Deferreds work afterwards."""
    first: Deferred[Any] = Deferred()
    second: Deferred[Any] = Deferred()
    if chained:
        first.chainDeferred(second)
    else:
        second = first
    second.addCallback(lambda _: Hostile())
    with pytest.raises(KeyboardInterrupt):
        first.callback(0)
    for d in (first, second):
        d.addCallback(lambda _: "works")
        assert d.result == "works"


# -- lists, races


@BOTH
def test_deferredList(m: Any) -> None:
    ds = [m.Deferred() for _ in range(3)]
    both = m.DeferredList(ds)
    ds[2].callback("c")
    ds[0].errback(Boom("a"))
    assert outcomeOf(both) == "waiting"
    ds[1].callback("b")
    assert outcomeOf(both) == [(False, "Boom(a)"), (True, "b"), (True, "c")]
    assert [outcomeOf(d) for d in ds] == ["Boom(a)", "b", "c"]
    assert outcomeOf(m.DeferredList([])) == []
    assert outcomeOf(m.DeferredList([], fireOnOneCallback=True)) == "waiting"
    assert (m.SUCCESS, m.FAILURE) == (True, False)


@BOTH
def test_deferredListFirst(m: Any) -> None:
    ds = [m.Deferred() for _ in range(3)]
    first = m.DeferredList(iter(ds), fireOnOneCallback=True, consumeErrors=True)
    ds[1].errback(Boom("b"))
    assert outcomeOf(ds[1]) is None
    ds[2].callback("c")
    ds[0].callback("a")
    assert outcomeOf(first) == ("c", 2)
    ds = [m.Deferred() for _ in range(2)]
    failed = m.DeferredList(ds, fireOnOneErrback=True)
    ds[1].errback(Boom("b"))
    error = failed.result.value
    assert (error.index, show(error.subFailure)) == (1, "Boom(b)")
    assert repr(error) == "FirstError[#1, Boom('b')]"
    assert str(error) == f"FirstError[#1, {error.subFailure}]"
    assert error == m.FirstError(error.subFailure, 1)
    assert error != m.FirstError(error.subFailure, 2)
    assert error != "something else"
    assert outcomeOf(failed).startswith("FirstError(")
    assert outcomeOf(ds[1]) == "Boom(b)"


def test_firstErrorHash() -> None:
    failure = Failure(Boom())
    assert len({defer.FirstError(failure, 1), defer.FirstError(failure, 1), defer.FirstError(failure, 2)}) == 2


@BOTH
def test_cancelList(m: Any, caplog: pytest.LogCaptureFixture) -> None:
    ds = [m.Deferred(), m.Deferred(raising(Boom("canceller"))), m.Deferred()]
    both = m.DeferredList(ds, consumeErrors=True)
    both.cancel()
    ds[1].callback("b")
    assert outcomeOf(both) == [(False, "CancelledError()"), (True, "b"), (False, "CancelledError()")]
    both.cancel()
    if m is not twistedDefer:
        (record,) = records(caplog)
        assert record.exc_info is not None
        assert record.exc_info[0] is Boom


@BOTH
def test_gatherResults(m: Any) -> None:
    ds = [m.Deferred(), m.succeed("b")]
    both = m.gatherResults(ds)
    ds[0].callback("a")
    assert outcomeOf(both) == ["a", "b"]
    failed = m.gatherResults([m.fail(Boom("x")), m.Deferred()], consumeErrors=True)
    assert outcomeOf(failed.addErrback(lambda f: (f.value.index, show(f.value.subFailure)))) == (0, "Boom(x)")
    ds = [m.Deferred(), m.Deferred()]
    both = m.gatherResults(ds, consumeErrors=True)
    both.cancel()
    assert outcomeOf(both.addErrback(lambda f: show(f.value.subFailure))) == "CancelledError()"
    assert [outcomeOf(d) for d in ds] == [None, None]


@BOTH
def test_race(m: Any) -> None:
    ds = [m.Deferred() for _ in range(3)]
    winner = m.race(ds)
    ds[0].errback(Boom("a"))
    ds[1].callback("b")
    assert outcomeOf(winner) == (1, "b")
    assert outcomeOf(ds[2]) is None
    # A Deferred that answers its cancellation with a result of its own comes too late.
    ds = [m.Deferred(), m.Deferred(lambda d: d.callback("stubborn"))]
    winner = m.race(ds)
    ds[0].callback("a")
    assert outcomeOf(winner) == (0, "a")
    ds = [m.Deferred() for _ in range(2)]
    nobody = m.race(ds)
    ds[1].errback(Boom("b"))
    ds[0].errback(Boom("a"))
    assert outcomeOf(nobody.addErrback(lambda f: [show(each) for each in f.value.failures])) == ["Boom(a)", "Boom(b)"]
    ds = [m.Deferred() for _ in range(2)]
    cancelled = m.race(ds)
    cancelled.cancel()
    assert outcomeOf(cancelled) == "FailureGroup()"
    assert outcomeOf(m.race([])) == "waiting"


# -- making Deferreds


@BOTH
def test_makers(m: Any) -> None:
    assert outcomeOf(m.succeed(1)) == 1
    assert outcomeOf(m.fail(Boom("x"))) == "Boom(x)"
    assert outcomeOf(m.execute(divmod, 7, 2)) == (3, 1)
    assert outcomeOf(m.execute(raising(Boom("x")))) == "Boom(x)"
    inner = m.succeed(1)
    assert m.execute(lambda: inner).result is inner
    assert m.maybeDeferred(lambda: inner) is inner
    assert outcomeOf(m.maybeDeferred(int, "11", base=2)) == 3
    assert outcomeOf(m.maybeDeferred(raising(Boom("x")))) == "Boom(x)"
    assert outcomeOf(m.maybeDeferred(lambda: m.Failure(Boom("y")))) == "Boom(y)"
    assert m.passthru(inner) is inner

    async def coroutine(x: int) -> Any:
        return x + await m.succeed(1)

    assert outcomeOf(m.maybeDeferred(coroutine, 2)) == 3
    assert outcomeOf(m.ensureDeferred(coroutine(3))) == 4
    assert outcomeOf(m.Deferred.fromCoroutine(coroutine(4))) == 5
    assert m.ensureDeferred(inner) is inner
    for make, text in (
        (m.ensureDeferred, "3 is not a coroutine or a Deferred"),
        (m.Deferred.fromCoroutine, "3 is not"),
    ):
        with pytest.raises(m.NotACoroutineError, match=text):
            make(3)
    assert issubclass(m.NotACoroutineError, TypeError)


# -- coroutines and generators


@BOTH
def test_inlineCallbacks(m: Any) -> None:
    seen: list[Any] = []
    first, second = m.Deferred(), m.Deferred()

    @m.inlineCallbacks  # type: ignore[untyped-decorator]
    def steps(a: int, *, b: int) -> Generator[Any, Any, Any]:
        seen.append((yield first))
        seen.append((yield "no Deferred"))
        try:
            yield second
        except Boom as error:
            seen.append(str(error))
        seen.append((yield m.succeed("at once")))
        seen.append((yield coroutine()))
        seen.append((yield generator()))
        return a + b

    async def coroutine() -> str:
        return "from coroutine"

    def generator() -> Generator[Any, Any, Any]:
        return (yield m.succeed("from generator"))

    d = steps(1, b=2)
    assert steps.__name__ == "steps"
    first.callback("first")
    assert (seen, outcomeOf(d)) == (["first", "no Deferred"], "waiting")
    second.errback(Boom("second"))
    assert seen[2:] == ["second", "at once", "from coroutine", "from generator"]
    assert outcomeOf(d) == 3
    assert outcomeOf(first) is None


@BOTH
def test_manyReadySteps(m: Any) -> None:
    @m.inlineCallbacks  # type: ignore[untyped-decorator]
    def count() -> Generator[Any, Any, int]:
        total = 0
        for _ in range(5000):
            total += yield m.succeed(1)
        return total

    assert outcomeOf(count()) == 5000


@BOTH
def test_inlineCallbacksMisused(m: Any) -> None:
    def plain() -> int:
        return 3

    def returning() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            m.returnValue(3)

    with pytest.raises(TypeError, match="to produce a generator; instead got 3"):
        m.inlineCallbacks(plain)()
    with pytest.raises(TypeError, match="returnValue being used in a non-generator"):
        m.inlineCallbacks(returning)()


@BOTH
@pytest.mark.parametrize("failing", [False, True])
def test_returnValue(m: Any, failing: bool) -> None:
    def helper() -> None:
        m.returnValue("from helper")

    def deepHelper() -> None:
        helper()

    def ending(function: Callable[..., object]) -> Any:
        @m.inlineCallbacks  # type: ignore[untyped-decorator]
        def steps() -> Generator[Any, Any, None]:
            with contextlib.suppress(Boom):
                yield m.fail(Boom()) if failing else m.succeed(None)
            if function is m.returnValue:
                function("direct")
            function()

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = outcomeOf(steps())
        # Twisted also deprecates returnValue as such.
        return result, [str(each.message).split(":")[0] for each in caught if "causing" in str(each.message)]

    assert ending(m.returnValue) == ("direct", [])
    assert ending(helper) == ("from helper", ["returnValue() in 'helper' causing 'steps' to exit"])
    assert ending(deepHelper) == ("from helper", ["returnValue() in 'helper' causing 'steps' to exit"])


def test_returnValueFromACoroutine() -> None:
    async def main() -> None:
        defer.returnValue("odd, but it ends it")

    assert outcomeOf(defer.ensureDeferred(main())) == "odd, but it ends it"


@BOTH
def test_await(m: Any) -> None:
    seen: list[Any] = []

    async def main(d: Any, failing: Any) -> str:
        seen.append(await d)
        seen.append(await d)
        try:
            await failing
        except Boom as error:
            seen.append(str(error))
        paused = m.succeed("was paused")
        paused.pause()
        unpause.append(paused.unpause)
        seen.append(await paused)
        return "end"

    unpause: list[Any] = []
    first, failing = m.Deferred(), m.Deferred()
    d = m.Deferred.fromCoroutine(main(first, failing))
    first.callback("first")
    assert seen == ["first", "first"]
    failing.errback(Boom("x"))
    assert (seen[2:], outcomeOf(d)) == (["x"], "waiting")
    unpause[0]()
    assert (seen[3:], outcomeOf(d)) == (["was paused"], "end")
    assert next(iter(m.Deferred()), None) is not None


def test_awaitFailedTwice() -> None:
    """A coroutine may await the same failed Deferred again; inside its callbacks Twisted trips over an assertion."""
    d: Deferred[None] = Deferred()
    seen: list[str] = []

    async def main() -> None:
        for _ in range(2):
            try:
                await d
            except Boom as error:
                seen.append(str(error))

    defer.ensureDeferred(main())
    d.errback(Boom("x"))
    assert seen == ["x", "x"]


@BOTH
def test_coroutineRaises(m: Any) -> None:
    async def main(d: Any) -> None:
        await d
        raise Boom("x")

    d = m.Deferred()
    outcome = m.Deferred.fromCoroutine(main(d))
    d.callback(None)
    assert [frame[0] for frame in outcome.result.frames][-1] == "main"
    assert outcomeOf(outcome) == "Boom(x)"
    assert outcomeOf(d) is None


@BOTH
def test_outcomeGivenByHand(m: Any) -> None:
    """The coroutine's own result then comes too late, and is a failure of what it waited for."""

    async def main(d: Any) -> None:
        await d

    d = m.Deferred()
    outcome = m.Deferred.fromCoroutine(main(d))
    outcome.callback("by hand")
    d.callback(None)
    assert outcomeOf(outcome) == "by hand"
    assert outcomeOf(d) == f"AlreadyCalledError({m.AlreadyCalledError()})"


@BOTH
def test_cancelCoroutine(m: Any) -> None:
    async def main(d: Any, stubborn: bool) -> Any:
        try:
            return await d
        except m.CancelledError:
            if stubborn:
                return await waiting
            raise

    d, waiting = m.Deferred(), m.Deferred()
    outcome = m.Deferred.fromCoroutine(main(d, False))
    outcome.cancel()
    assert (outcomeOf(outcome), outcomeOf(d)) == ("CancelledError()", None)
    outcome = m.Deferred.fromCoroutine(main(m.Deferred(), True))
    outcome.addCallback(lambda r: f"after {r}")
    outcome.cancel()
    assert outcomeOf(outcome) == "waiting"
    assert isinstance(outcome.result, m.Deferred)
    waiting.callback("the second wait")
    assert outcomeOf(outcome) == "after the second wait"
    waiting = m.Deferred()
    outcome = m.Deferred.fromCoroutine(main(m.Deferred(), True))
    outcome.cancel()
    outcome.cancel()
    assert outcomeOf(outcome) == "CancelledError()"


@BOTH
def test_cancelsItself(m: Any) -> None:
    """A running coroutine that cancels its own Deferred goes on; it is not waiting for anything."""

    async def main() -> str:
        await first
        outcome.cancel()
        return "went on"

    first = m.Deferred()
    outcome = m.Deferred.fromCoroutine(main())
    first.callback(None)
    assert outcomeOf(outcome) == "went on"


@BOTH
def test_context(m: Any) -> None:
    """A coroutine has its own copy of the context; callbacks run in that of the code that makes them run."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="default")
    seen: list[str] = []

    async def main(d: Any) -> None:
        variable.set("in coroutine")
        await d
        seen.append(variable.get())

    d = m.Deferred()
    variable.set("at start")
    m.Deferred.fromCoroutine(main(d))
    d.addCallback(lambda _: seen.append(variable.get()))
    contextvars.Context().run(d.callback, None)
    assert (seen, variable.get()) == (["in coroutine", "default"], "at start")


# -- asyncio


def runLoop(main: Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, Any]]) -> Any:
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.close()


@BOTH
def test_asFuture(m: Any) -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> list[Any]:
        found: list[Any] = []
        d = m.Deferred()
        future = d.asFuture(loop)
        loop.call_soon(d.callback, "result")
        found.append(await future)
        with pytest.raises(Boom):
            await m.fail(Boom()).asFuture(loop)
        for canceller in (None, lambda d: d.callback("late"), lambda d: d.errback(Boom("late"))):
            d = m.Deferred(canceller)
            future = d.asFuture(loop)
            future.cancel()
            with pytest.raises(asyncio.CancelledError):
                await future
            await asyncio.sleep(0)
            found.append((d.called, outcomeOf(d)))
        return found

    assert runLoop(main) == ["result", (True, None), (True, None), (True, None)]


@BOTH
def test_fromFuture(m: Any) -> None:
    async def main(loop: asyncio.AbstractEventLoop) -> list[Any]:
        found: list[Any] = []
        finish: Callable[[Any], object]
        for finish in (
            lambda f: f.set_result("result"),
            lambda f: f.set_exception(Boom("x")),
            lambda f: f.cancel(),
        ):
            future: asyncio.Future[str] = loop.create_future()
            d = m.Deferred.fromFuture(future)
            finish(future)
            await asyncio.sleep(0)
            found.append(outcomeOf(d))
        future = loop.create_future()
        d = m.Deferred.fromFuture(future)
        d.cancel()
        found.append((future.cancelled(), outcomeOf(d)))
        await asyncio.sleep(0)
        found.append(outcomeOf(d))
        return found

    assert runLoop(main) == ["result", "Boom(x)", "CancelledError()", (True, "waiting"), "CancelledError()"]


# -- lock, semaphore, queue


@BOTH
def test_lock(m: Any) -> None:
    lock = m.DeferredLock()
    assert not lock.locked
    first, second, third, fourth = (lock.acquire() for _ in range(4))
    assert (first.result, second.called, lock.locked, len(lock.waiting)) == (lock, False, True, 3)
    third.cancel()
    assert outcomeOf(third) == "CancelledError()"
    lock.release()
    assert (second.result, fourth.called, lock.locked) == (lock, False, True)
    lock.release()
    lock.release()
    assert (fourth.result, lock.locked) == (lock, False)
    with pytest.raises(AssertionError, match="Tried to release an unlocked lock"):
        lock.release()


@BOTH
def test_run(m: Any) -> None:
    lock = m.DeferredLock()
    inner = m.Deferred()
    seen: list[Any] = []

    def job(*args: Any, **kwargs: Any) -> Any:
        seen.append((args, kwargs, lock.locked))
        return inner

    async def coroutine() -> str:
        return "from coroutine"

    first = lock.run(job, 1, k=2)
    second = lock.run(raising(Boom("x")))
    third = lock.run(coroutine)
    assert (seen, outcomeOf(second)) == ([((1,), {"k": 2}, True)], "waiting")
    inner.callback("done")
    assert [outcomeOf(each) for each in (first, second, third)] == ["done", "Boom(x)", "from coroutine"]
    assert not lock.locked


@BOTH
def test_asyncWith(m: Any) -> None:
    async def main(lock: Any) -> str:
        async with lock as entered:
            assert entered is lock
            await inside
        with pytest.raises(Boom):
            async with lock:
                raise Boom
        return "end"

    inside = m.Deferred()
    lock = m.DeferredLock()
    d = m.Deferred.fromCoroutine(main(lock))
    assert lock.locked
    inside.callback(None)
    assert (outcomeOf(d), lock.locked) == ("end", False)


@BOTH
def test_semaphore(m: Any) -> None:
    with pytest.raises(ValueError, match="tokens >= 1"):
        m.DeferredSemaphore(0)
    semaphore = m.DeferredSemaphore(2)
    first, second, third, fourth, fifth = (semaphore.acquire() for _ in range(5))
    assert (semaphore.tokens, semaphore.limit, len(semaphore.waiting)) == (0, 2, 3)
    assert (first.result, second.result, third.called) == (semaphore, semaphore, False)
    fourth.cancel()
    assert outcomeOf(fourth) == "CancelledError()"
    semaphore.release()
    semaphore.release()
    assert (third.called, fifth.called, semaphore.tokens) == (True, True, 0)
    semaphore.release()
    semaphore.release()
    assert semaphore.tokens == 2
    with pytest.raises(AssertionError, match="released me too many times"):
        semaphore.release()


@BOTH
def test_queue(m: Any) -> None:
    queue = m.DeferredQueue(size=2, backlog=2)
    first, second = queue.get(), queue.get()
    with pytest.raises(m.QueueUnderflow):
        queue.get()
    first.cancel()
    assert outcomeOf(first) == "CancelledError()"
    queue.put("a")
    assert outcomeOf(second) == "a"
    queue.put("b")
    queue.put("c")
    with pytest.raises(m.QueueOverflow):
        queue.put("d")
    assert (list(queue.pending), len(queue.waiting)) == (["b", "c"], 0)
    assert [outcomeOf(queue.get()) for _ in range(3)] == ["b", "c", "waiting"]
    unbounded = m.DeferredQueue()
    for number in range(100):
        unbounded.put(number)
    assert [outcomeOf(unbounded.get()) for _ in range(101)] == [*range(100), "waiting"]


WAITING = 2000  # more than the stack is deep


@pytest.mark.parametrize("make", [defer.DeferredLock, lambda: defer.DeferredSemaphore(1)], ids=["lock", "semaphore"])
@pytest.mark.parametrize("how", ["run", "with", "callbacks"])
def test_anyNumberWaits(make: Callable[[], Any], how: str) -> None:
    """Each that waits has its turn, however many there are and however short the turns."""
    turns, done = make(), list[int]()
    turns.acquire()

    async def work(number: int) -> None:
        async with turns:
            done.append(number)

    def begin(number: int) -> Any:
        if how == "run":
            return turns.run(done.append, number)
        if how == "with":
            return Deferred.fromCoroutine(work(number))
        return turns.acquire().addCallback(lambda _: (done.append(number), turns.release()))  # type: ignore[func-returns-value]

    begun = [begin(number) for number in range(WAITING)]
    turns.release()
    assert done == list(range(WAITING))
    assert all(each.called and not isinstance(each.result, Failure) for each in begun)
    assert (len(turns.waiting), turns.tokens if hasattr(turns, "tokens") else not turns.locked) == (0, 1)


def test_aTurnGivenUpInsideATurn() -> None:
    """A Deferred may be given up before it hears of its turn; a turn that nobody wants is there for the next."""
    lock = defer.DeferredLock()
    lock.acquire()
    seen: list[str] = []

    def first(_: Any) -> None:
        lock.release()
        seen.append("released")
        second.cancel()

    lock.acquire().addCallback(first)
    second = lock.acquire().addErrback(lambda failure: seen.append(failure.type.__name__))
    lock.release()
    assert (seen, lock.locked, len(lock.waiting)) == (["released", "CancelledError"], False, 0)

    semaphore = defer.DeferredSemaphore(2)
    for _ in range(2):
        semaphore.acquire()

    def both(_: Any) -> None:
        semaphore.release()
        semaphore.release()
        seen.append(f"{semaphore.tokens} left")

    semaphore.acquire().addCallback(both)
    last = semaphore.acquire()
    semaphore.release()
    assert (seen[-1], last.called, semaphore.tokens) == ("1 left", True, 1)


def test_aQueueThatItsReadersFill() -> None:
    queue: defer.DeferredQueue[int] = defer.DeferredQueue(size=0, backlog=WAITING)
    seen: list[int] = []

    def put(number: int) -> None:
        seen.append(number)
        if number + 1 < WAITING:
            queue.put(number + 1)

    for _ in range(WAITING):
        queue.get().addCallback(put)
    with pytest.raises(defer.QueueUnderflow):
        queue.get()
    queue.put(0)
    assert (seen, len(queue.waiting), len(queue.pending)) == (list(range(WAITING)), 0, 0)

    def putAndGiveUp(_: int) -> None:
        queue.put(2)
        again.append(queue.get())  # Deferreds that are to get something do not count as waiting
        second.cancel()
        again[0].cancel()

    again: list[Any] = []
    queue = defer.DeferredQueue(size=0, backlog=2)
    queue.get().addCallback(putAndGiveUp)
    second = queue.get()
    queue.put(1)
    assert [outcomeOf(each) for each in (second, *again)] == ["CancelledError()"] * 2
    assert outcomeOf(queue.get()) == 2  # nobody was there for it: it is kept


def test_brokenCancellersOfARace(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a canceller is logged; the race has its result, and the others are cancelled."""
    ds = [Deferred(raising(Boom("canceller"))), Deferred[int](), Deferred[int]()]
    winner = defer.race(ds)
    ds[1].callback(7)
    assert (outcomeOf(winner), outcomeOf(ds[2])) == ((1, 7), None)
    ds = [Deferred(raising(Boom("canceller"))), Deferred()]
    cancelled = defer.race(ds)
    cancelled.cancel()
    assert (outcomeOf(cancelled), outcomeOf(ds[1])) == ("CancelledError()", None)
    logged = records(caplog)
    assert [each.getMessage() for each in logged] == ["Exception raised from user supplied canceller"] * 2
    assert all(each.exc_info and each.exc_info[0] is Boom for each in logged)


@pytest.mark.parametrize("waits", [False, True])
def test_brokenCancellerOfATimeout(waits: bool, caplog: pytest.LogCaptureFixture) -> None:
    clock = task.Clock()
    inner: Deferred[int] = Deferred(raising(Boom("canceller")))
    outer = defer.succeed(None).addCallback(lambda _: inner) if waits else inner
    timed = outer.addTimeout(3, clock)
    clock.advance(3)
    assert outcomeOf(timed) == "TimeoutError((3, 'Deferred'))"
    inner.callback(1)  # it comes too late, and is ignored once
    with pytest.raises(defer.AlreadyCalledError):
        inner.callback(2)
    (record,) = records(caplog)
    assert record.exc_info is not None
    assert record.exc_info[0] is Boom


def test_aLongListOfCallbacksIsADeque() -> None:
    """The first of a list costs what is behind it: n callbacks would cost n squared."""
    kinds: list[type] = []
    d: Deferred[int] = Deferred()

    def note(result: int) -> int:
        kinds.append(type(d._callbacks))
        return result + 1

    for _ in range(1000):
        d.addCallback(note)
    d.callback(0)
    assert (outcomeOf(d), set(kinds)) == (1000, {deque})

    def addMany(_: Any) -> None:
        for _ in range(1000):
            d.addCallback(lambda _: note(0))

    kinds.clear()
    d.addCallback(addMany)
    assert (len(kinds), set(kinds)) == (1000, {deque})


def test_names() -> None:
    """A name is known as reactor.defer's, whatever file it lives in."""
    for name in defer.__all__:
        assert getattr(getattr(defer, name), "__module__", "reactor.defer") == "reactor.defer"
    assert Failure(defer.CancelledError()).check("reactor.defer.CancelledError")
    assert set(twistedDefer.__all__) - set(defer.__all__) == set()
