"""Scheduled work: a clock for tests, repeated calls, calls later, main programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import nullcontext, suppress
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, overload

from reactor import _current
from reactor._arguments import checkCall, checkSeconds
from reactor._beside import beside, isCoroutine
from reactor._logger import getLogger
from reactor.defer import Deferred, ensureDeferred, maybeDeferred
from reactor.error import ReactorNotRunning
from reactor.failure import Failure, safeRepr
from reactor.interfaces.asking import conform
from reactor.timers import DelayedCall, TimerQueue, monotonicTime

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IReactorCore, IReactorTime

log = getLogger("reactor.task")

T = TypeVar("T")


class Clock:
    """Time for tests: it stands still until it is advanced. It replaces a reactor where only time is needed."""

    __conform__ = conform

    rightNow = 0.0

    def __init__(self) -> None:
        self._queue = TimerQueue(self.seconds)

    def seconds(self) -> float:
        """The time, `rightNow`, in seconds."""
        return self.rightNow

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> DelayedCall:
        """Have `callable(*args, **kw)` called by the `advance` that reaches `delay` seconds from now.

        The errors are a reactor's: see TimerQueue.callLater.
        """
        return self._queue.callLater(delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """The pending calls, in the order in which they would run."""
        return self._queue.calls()

    @property
    def calls(self) -> list[DelayedCall]:
        """The pending calls, as from getDelayedCalls."""
        return self._queue.calls()

    def advance(self, amount: float) -> None:
        """Move the time by `amount` seconds, then make the calls that are due, including new ones with delay 0.

        Every call sees the new time. If a call raises, the exception leaves `advance`, and the next `advance` makes the
        rest. If a call returns a coroutine, it runs beside the rest; its exception after the first wait is logged.
        """
        self.rightNow += amount
        while (call := self._queue.popDue(self.rightNow)) is not None:
            if (result := call.run()) is not None:
                beside(result)

    def pump(self, timings: Iterable[float]) -> None:
        """Advance by each of `timings`, one after the other."""
        for amount in timings:
            self.advance(amount)


class LoopingCall:
    """Calls `f(*a, **kw)` at a fixed interval, counted from the start: one late call does not move the next.

    Calls are left out, for good, while a Deferred or coroutine of `f` is not done, and when the reactor was held up. A
    jump of the wall clock changes nothing. `running` is true from `start` to `stop` or a failure. Use it in the thread
    of its clock.
    """

    call: IDelayedCall | None = None
    interval: float | None = None
    running = False
    starttime: float | None = None

    _clock: IReactorTime | None = None
    _deferred: Deferred[LoopingCall] | None = None
    _lastCount: float | None = None
    _runsAtStart = False
    _started = 0.0  # the same as starttime, on the clock that never jumps

    def __init__(self, f: Callable[..., object] | None, *a: object, **kw: object) -> None:
        """Make a LoopingCall for `f`, which a program may also set before `start` if it is None here.

        TypeError for another `f` that cannot be called. `clock` may be set before `start`; otherwise it is the current
        reactor.
        """
        if f is not None:
            checkCall(f)
        self.f: Callable[..., object] = f  # type: ignore[assignment]  # `start` looks again
        self.a = a
        self.kw = kw

    @classmethod
    def withCount(cls, countCallable: Callable[[int], object]) -> LoopingCall:
        """Return a LoopingCall that calls `countCallable(count)`; count is the number of intervals since its last call.

        That is 1, or more when calls were left out. With interval 0 it is always 1.
        """
        checkCall(countCallable)

        def counter() -> object:
            count = loop._countIntervals()
            return countCallable(count) if count else None

        loop = cls(counter)
        return loop

    @property
    def clock(self) -> IReactorTime:
        """The object that tells and keeps the time: a reactor or a Clock."""
        if self._clock is None:
            self._clock = _current.current()
        return self._clock

    @clock.setter
    def clock(self, clock: IReactorTime) -> None:
        self._clock = clock

    @property
    def deferred(self) -> Deferred[LoopingCall] | None:
        """The Deferred that `start` returned, until it fires."""
        return self._deferred

    def start(self, interval: float, now: bool = True) -> Deferred[LoopingCall]:
        """Call at once, if `now`, and then every `interval` seconds (0: every turn).

        Return a Deferred that fires with this LoopingCall after `stop`, or fails with the failure of `f`.
        AssertionError if it runs already; ValueError for a negative or infinite interval. TypeError for an interval
        that is no number, and for an `f` that cannot be called.
        """
        if self.running:
            raise AssertionError("this LoopingCall runs already")
        checkCall(self.f)
        checkSeconds(interval, "an interval")
        if not 0 <= interval < inf:
            raise ValueError(f"an interval is a number of seconds, 0 or more, not {interval!r}")
        deferred: Deferred[LoopingCall] = Deferred()
        self.running = True
        self._deferred = deferred
        self._lastCount = None
        self._runsAtStart = now
        self.interval = interval
        self._startNow()
        if now:
            self()
        else:
            self._schedule(self._started)
        return deferred

    def stop(self) -> None:
        """Call no more. AssertionError if it does not run.

        The Deferred of `start` fires at once, or, inside `f` or while its Deferred is not done, after that.
        """
        if not self.running:
            raise AssertionError("this LoopingCall does not run")
        self.running = False
        if self.call is not None:
            self.call.cancel()
            self.call = None
            deferred, self._deferred = self._deferred, None
            assert deferred is not None
            deferred.callback(self)

    def reset(self) -> None:
        """Leave out the next call, and count the intervals from now. AssertionError if it does not run."""
        if not self.running:
            raise AssertionError("this LoopingCall does not run")
        if self.call is not None:
            self.call.cancel()
            self._startNow()
            self._schedule(self._started)

    def __call__(self) -> None:
        """Called by the clock: one call of `f`."""
        self.call = None
        run = self._deferred
        assert run is not None
        maybeDeferred(self.f, *self.a, **self.kw).addCallback(self._succeeded, run).addErrback(self._failed, run)

    # `run` is the Deferred of the run that made the call. While the call waited, the program may have stopped that run
    # and started another.

    def _succeeded(self, _: object, run: Deferred[LoopingCall]) -> None:
        if run is self._deferred:
            if self.running:
                self._schedule(monotonicTime(self.clock))
                return
            self._deferred = None
        run.callback(self)

    def _failed(self, failure: Failure, run: Deferred[LoopingCall]) -> None:
        if run is self._deferred:
            self._deferred = None
            self.running = False
        run.errback(failure)

    def _startNow(self) -> None:
        self.starttime = self.clock.seconds()
        self._started = monotonicTime(self.clock)

    def _schedule(self, now: float) -> None:
        assert self.interval is not None
        delay = self.interval
        if delay:
            delay -= (now - self._started) % self.interval
            if now + delay == now:
                # The remainder is lost in rounding: the interval has ended, and the next one counts.
                delay = self.interval
        self.call = self.clock.callLater(delay, self)

    def _countIntervals(self) -> int:
        assert self.interval is not None
        now = monotonicTime(self.clock)
        if not self.interval:
            return 1
        last = self._lastCount
        if last is None:
            last = self._started - self.interval if self._runsAtStart else self._started
        count = int((now - self._started) / self.interval) - int((last - self._started) / self.interval)
        if count > 0:
            self._lastCount = now
        return max(count, 0)

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", None) or safeRepr(self.f)
        return f"LoopingCall<{self.interval!r}>({name}, *{safeRepr(self.a)}, **{safeRepr(self.kw)})"


@overload
def deferLater(clock: IReactorTime, delay: float, callable: None = None) -> Deferred[None]: ...


@overload
def deferLater(
    clock: IReactorTime, delay: float, callable: Callable[..., T], *args: object, **kw: object
) -> Deferred[T]: ...


def deferLater(
    clock: IReactorTime, delay: float, callable: Callable[..., Any] | None = None, *args: object, **kw: object
) -> Deferred[Any]:
    """Call `callable(*args, **kw)` in `delay` seconds of `clock`; return a Deferred of its result.

    The Deferred waits for a Deferred or coroutine of the call. Without a callable it fires with None. Cancelling it
    cancels the call. TypeError if `callable` cannot be called.
    """

    if callable is not None:
        checkCall(callable)

    def cancel(_: Deferred[Any]) -> None:
        delayedCall.cancel()

    def call(_: None) -> Any:
        return None if callable is None else maybeDeferred(callable, *args, **kw)

    deferred: Deferred[Any] = Deferred(cancel)
    deferred.addCallback(call)
    delayedCall = clock.callLater(delay, deferred.callback, None)
    return deferred


def react(
    main: Callable[..., Deferred[Any] | Coroutine[Any, Any, Any]],
    argv: Iterable[object] = (),
    _reactor: IReactorCore | None = None,
) -> NoReturn:
    """Run a program: call `main(reactor, *argv)`, run the reactor until its Deferred or coroutine is done, and exit.

    The exit code is 0, or that of a SystemExit of `main`, or 1 for another failure, which is logged. It ends with
    SystemExit. An exception that `main` raises before it returns passes through.
    """
    given: Any = main
    if isCoroutine(given):
        given.close()  # otherwise Python warns, too, that no code has awaited it
    checkCall(main)
    reactor = _current.current() if _reactor is None else _reactor
    code: Any = 0
    isStopping = False

    def shutdownBegins() -> None:
        nonlocal isStopping
        isStopping = True

    def finish(result: object) -> None:
        nonlocal code
        if not isStopping:
            with suppress(ReactorNotRunning):
                reactor.stop()
        if isinstance(result, Failure):
            if result.check(SystemExit) is not None:
                code = result.value.code  # type: ignore[attr-defined]
            else:
                code = 1
                log.error("The main function failed", exc_info=(result.type, result.value, result.getTracebackObject()))

    def done(result: object) -> None:
        if isStopping:
            finish(result)
        else:
            reactor.callWhenRunning(finish, result)

    real = _current.current() if isinstance(reactor, ModuleType) else reactor
    with getattr(real, "insideLoop", nullcontext)():  # main may begin with an await of asyncio's
        deferred = ensureDeferred(main(reactor, *argv))
    reactor.addSystemEventTrigger("before", "shutdown", shutdownBegins)
    deferred.addBoth(done)
    reactor.run()
    sys.exit(code)
