"""Delayed calls, and the one queue that keeps them; the reactors and `task.Clock` all use it.

A heap holds deadlines, bare floats, and a dict tells what is due at each: one call or, where several share a deadline,
an ordered set of calls. Every scheduling (callLater, reset, delay) files the call last, so calls with equal deadlines
run in the order in which they were given that deadline.

Cancelling or moving a call takes it out of its place at once, in constant time; its deadline stays in the heap, and is
dropped when it surfaces with nothing due. More of those than of the others cause a rebuild. The invariant: a deadline
with a call is in the heap (or held back), maybe twice.

Deadlines are in the time of a clock that never jumps. What a program sees of them is in the time that its reactor's
`seconds()` tells, which is the calendar's, as in Twisted. So `getTime() - seconds()` is the time that is left, and a
jump of the wall clock moves both and no deadline.

A heap of (time, number, call) tuples was tried first: twice as
many objects for the garbage collector to walk, slower comparisons, and a million calls took half as long again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from heapq import heapify, heappop, heappush
from math import isfinite
from typing import Any

from reactor.error import AlreadyCalled, AlreadyCancelled
from reactor.interfaces.asking import conform

__all__ = ["LATE", "DelayError", "DelayedCall", "TimerQueue", "monotonicTime"]

# Seconds. A turn that begins by more than this after the one before is late: a callback has taken its time, or the
# machine has slept. Before the calls that came due, it reads once what waits, so that no peer is judged by what the
# loop had not read yet. A loop that has only slept for want of work is late, too, and pays for it with one poll.
LATE = 0.1

MIN_STALE = 64  # fewer deadlines without a call than this are not worth a rebuild
JUMP = 0.001  # seconds: less is how far apart two clocks are read, and no jump
NO_KEYWORDS: dict[str, object] = {}  # shared: the empty dict of `**kwargs` would be a third of a pending call's memory


class DelayError(AssertionError, ValueError):
    """A delay is negative, not finite, or too large for a float. (An AssertionError because Twisted raises that.)"""


class DelayedCall:
    """One scheduled call, as `callLater` returns it. Only the thread of the reactor that made it may use its methods.

    `time` is when it is due, as `getTime` has it; `deadline` is the same on the clock that never jumps. `func`, `args`
    and `kw` are what will be called; a cancelled call has let go of them. `turn` is the last `mark` before it was
    scheduled.
    """

    __conform__ = conform

    __slots__ = ("_queue", "args", "called", "cancelled", "deadline", "func", "kw", "turn")

    def __init__(
        self,
        queue: TimerQueue,
        deadline: float,
        turn: int,
        func: Callable[..., object],
        args: tuple[object, ...],
        kw: dict[str, object],
    ) -> None:
        """For TimerQueue only; users call `callLater`."""
        self._queue = queue
        self.deadline = deadline
        self.turn = turn
        self.func = func
        self.args = args
        self.kw = kw
        self.called = False
        self.cancelled = False

    def getTime(self) -> float:
        """When the call is due, in the time that the reactor's `seconds()` tells.

        When the wall clock jumps, so does this: less `seconds()`, it is always the time that is left.
        """
        return self._queue.publicTime(self.deadline)

    @property
    def time(self) -> float:
        """What getTime() returns."""
        return self._queue.publicTime(self.deadline)

    @property
    def seconds(self) -> Callable[[], float]:
        """What tells the time that getTime() is in: a function without arguments, as the reactor's `seconds`."""
        queue = self._queue
        return lambda: queue.publicTime(queue.seconds())

    def active(self) -> bool:
        """True until it has been called or cancelled; already False inside the call itself."""
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        """Make sure it never runs. Raises AlreadyCancelled or AlreadyCalled (both ValueErrors) if it is too late."""
        self._checkActive()
        self.cancelled = True
        try:
            self._queue.remove(self)
        except BaseException:  # a signal's handler has raised: what is cancelled must not run
            self._queue.forget(self)
            raise
        del self.func, self.args, self.kw

    def reset(self, secondsFromNow: float) -> None:
        """Make it due `secondsFromNow` seconds from now, sooner or later than before; errors as for `cancel`."""
        self._checkActive()
        self._queue.move(self, self._queue.seconds(), secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Make it due `secondsLater` seconds later than it was, earlier if negative; errors as for `cancel`."""
        self._checkActive()
        self._queue.move(self, self.deadline, secondsLater)

    def run(self) -> object:
        """Call the function, and return what it returns; the call is no longer active. For reactors: once, at once,
        with what `popDue` gave.
        """
        self.called = True
        if self.kw:
            return self.func(*self.args, **self.kw)
        return self.func(*self.args)  # without an allocation, for which a call that is due could be lost

    def _checkActive(self) -> None:
        if self.cancelled:
            raise AlreadyCancelled
        if self.called:
            raise AlreadyCalled

    def __repr__(self) -> str:
        if self.cancelled:
            return "<DelayedCall, cancelled>"
        name = getattr(self.func, "__qualname__", None) or type(self.func).__qualname__
        state = "called" if self.called else f"in {self.deadline - self._queue.seconds():.6g} s"
        return f"<DelayedCall of {name}, {state}>"


class TimerQueue:
    """The pending calls of one clock: `seconds` is a function that returns the time, in seconds. One thread only.

    `public` returns the time that programs are told, if that is another: the calendar's.

    `sooner`, if set, is called whenever a deadline comes before all others. It is for a loop that sleeps on behalf of
    others too, and so does not ask for the next deadline each time.
    """

    __slots__ = ("_ahead", "_deadlines", "_due", "_heldBack", "_heldBarrier", "_public", "_turn", "seconds", "sooner")

    def __init__(self, seconds: Callable[[], float], public: Callable[[], float] | None = None) -> None:
        self.seconds = seconds
        self._public = public
        self._ahead = 0.0  # of `seconds`, by how much `public` is
        self.sooner: Callable[[], None] | None = None
        self._deadlines: list[float] = []
        self._due: dict[float, DelayedCall | dict[DelayedCall, None]] = {}
        # Deadlines whose calls are all behind the barrier of the turn that runs now; back to the heap when it is over.
        self._heldBack: list[float] = []
        self._heldBarrier: int | None = None
        self._turn = 0

    def callLater(
        self, delay: float, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> DelayedCall:
        """Schedule `function(*args, **kwargs)` in `delay` seconds.

        Raises DelayError for a negative or infinite delay or NaN, TypeError for what is no number or not callable.
        """
        if not callable(function):
            raise TypeError(f"{function!r} is not callable")
        time = _deadline(self.seconds(), delay)
        if delay < 0:
            raise DelayError(f"a call cannot be scheduled {delay!r} seconds from now: that is in the past")
        call = DelayedCall(self, time, self._turn, function, args, kwargs or NO_KEYWORDS)
        try:
            if self._due.setdefault(time, call) is call:
                heappush(self._deadlines, time)
                if self.sooner is not None and self._deadlines[0] == time:
                    self.sooner()
                return call
        except BaseException:  # no memory, or a signal's handler: a call that could not be scheduled is never made
            if self._due.get(time) is call:
                del self._due[time]
            raise
        self._share(call)
        return call

    def mark(self) -> int:
        """A barrier for `popDue`: calls scheduled (or moved) from now on are behind it."""
        self._turn += 1
        return self._turn

    def nextTime(self) -> float | None:
        """When the earliest pending call is due; None if there is none."""
        if self._heldBack:
            self._releaseHeldBack()
        deadlines = self._deadlines
        while deadlines:
            first = deadlines[0]
            if first in self._due:
                return first
            heappop(deadlines)
        return None

    def popDue(self, now: float, barrier: int | None = None) -> DelayedCall | None:
        """Take out and return the earliest call due at `now` or before; None if there is none.

        With a barrier, calls scheduled after `mark` returned it wait, and do not keep older ones waiting.
        """
        if self._heldBack and barrier != self._heldBarrier:
            self._releaseHeldBack()
        deadlines = self._deadlines
        while deadlines and deadlines[0] <= now:
            due = self._due.get(deadlines[0])
            if due is None:
                heappop(deadlines)
                continue
            call = next(iter(due)) if isinstance(due, dict) else due
            if barrier is not None and call.turn >= barrier:
                self._heldBack.append(deadlines[0])
                heappop(deadlines)
                self._heldBarrier = barrier
                continue
            if call is due:
                deadline = deadlines[0]
                del self._due[deadline]
                try:
                    heappop(deadlines)
                except BaseException:  # a signal's handler has raised behind it
                    self._due[deadline] = call
                    heappush(deadlines, deadline)
                    raise
            else:
                try:
                    self.remove(call)
                except BaseException:  # the same, behind the removal
                    if self._due.setdefault(call.deadline, call) is not call:
                        self._share(call)
                    heappush(deadlines, call.deadline)  # twice does no harm
                    raise
            return call
        return None

    def end(self) -> None:
        """Give no call any more. Those that are pending can still be cancelled or moved, without effect."""
        self._deadlines.clear()
        self._heldBack.clear()
        self.sooner = None

    def calls(self) -> list[DelayedCall]:
        """The pending calls, in the order in which they would run."""
        pending: list[DelayedCall] = []
        for time in sorted(self._due):
            due = self._due[time]
            pending.extend(due if isinstance(due, dict) else (due,))
        return pending

    def publicTime(self, deadline: float) -> float:
        """Return `deadline`, in the time that programs are told. Between two jumps it is always the same."""
        public = self._public
        if public is None:
            return deadline
        if abs(public() - self.seconds() - self._ahead) > JUMP:
            self._ahead = min(self._readBoth(public) for _ in range(3))[1]
        return deadline + self._ahead

    def _readBoth(self, public: Callable[[], float]) -> tuple[float, float]:
        """How long it took to read both clocks, and the difference between them, which is out by no more than that."""
        before = self.seconds()
        ahead = public() - before
        return self.seconds() - before, ahead

    def move(self, call: DelayedCall, base: float, seconds: float) -> None:
        """For DelayedCall: make a pending call due `seconds` after `base`."""
        time, before = _deadline(base, seconds), call.deadline
        due = self._due[before]
        if isinstance(due, dict) and len(due) > 1:
            del due[call]
        else:
            del self._due[before]
        call.deadline = time
        try:
            if self._due.setdefault(time, call) is call:
                heappush(self._deadlines, time)
                if self.sooner is not None and self._deadlines[0] == time:
                    self.sooner()
            else:
                self._share(call)
        except BaseException:  # there is no memory: it stays where it was, and its deadline is in the heap still
            if self._due.get(time) is call:
                del self._due[time]
            call.deadline = before
            if self._due.setdefault(before, call) is not call:
                self._share(call)
            raise
        call.turn = self._turn
        if len(self._deadlines) > 2 * len(self._due) + MIN_STALE:
            self._rebuild()

    def remove(self, call: DelayedCall) -> None:
        """For DelayedCall: take a pending call out."""
        due = self._due[call.deadline]
        if isinstance(due, dict):
            del due[call]
            if due:
                return
        del self._due[call.deadline]
        if len(self._deadlines) > 2 * len(self._due) + MIN_STALE:
            self._rebuild()

    def forget(self, call: DelayedCall) -> None:
        """For DelayedCall: take a call out, if it is in still."""
        due = self._due.get(call.deadline)
        if isinstance(due, dict):
            due.pop(call, None)
        if due is call or due == {}:
            del self._due[call.deadline]

    def _rebuild(self) -> None:
        """Drop the deadlines without a call; another time, if there is no memory for that."""
        with suppress(MemoryError):
            self._deadlines[:] = self._due
            heapify(self._deadlines)

    def _share(self, call: DelayedCall) -> None:
        due = self._due[call.deadline]
        if not isinstance(due, dict):
            self._due[call.deadline] = due = {due: None}
        due[call] = None

    def _releaseHeldBack(self) -> None:
        for time in self._heldBack:
            heappush(self._deadlines, time)
        self._heldBack.clear()


def monotonicTime(clock: Any) -> float:
    """Return the time of `clock`, any IReactorTime, for what is measured in it.

    That is the one which never jumps, if it tells two, as reactors do, and else `seconds()`.
    """
    monotonic = getattr(clock, "monotonic", None)
    time: float = clock.seconds() if monotonic is None else monotonic()
    return time


def _deadline(base: float, seconds: float) -> float:
    try:
        time = base + seconds
        finite = isfinite(time)
    except TypeError:
        raise TypeError(f"{seconds!r} is not a number of seconds") from None
    except OverflowError:
        finite = False
    if not finite:
        raise DelayError(f"{seconds!r} seconds give no finite deadline")
    return time
