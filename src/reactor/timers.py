"""Delayed calls, and the queue that keeps them for all reactors and `task.Clock`.

A heap holds deadlines, bare floats. A dict maps each deadline to its call or, if several share it, to an ordered set of
calls. Every scheduling (callLater, reset, delay) files the call last. So calls with equal deadlines run in the order in
which they got that deadline.

Cancelling or moving a call takes it out of its place at once, in constant time. Its deadline stays in the heap until it
comes first, and is dropped then. If such empty deadlines are more than half, the heap is rebuilt. The invariant: a
deadline with a call is in the heap (or held back), maybe twice.

Deadlines are in the time of a clock that never jumps. A program sees them in the time of its reactor's `seconds()`,
which is the calendar's, as in Twisted. So `getTime() - seconds()` is the time that is left. A jump of the wall clock
moves both, and no deadline.

A heap of (time, number, call) tuples was tried first. It had twice as many objects for the garbage collector and slower
comparisons. A million calls took half as long again.
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

# Seconds. A turn that begins more than this after the last one is late: a callback took long, or the machine slept.
# Such a turn reads all waiting data once before the calls that came due. So no peer is judged by data that the loop had
# not read yet. A loop that only slept for lack of work is late, too, and pays with one poll.
LATE = 0.1

MIN_STALE = 64  # below this number, deadlines without a call are not worth a rebuild
JUMP = 0.001  # seconds: a smaller difference is the time between two readings, not a jump
# shared, as an empty dict of `**kwargs` would be a third of a pending call's memory
NO_KEYWORDS: dict[str, object] = {}


class DelayError(AssertionError, ValueError):
    """A delay is negative, not finite, or too large for a float. It is an AssertionError, because Twisted's is."""


class DelayedCall:
    """One scheduled call, as `callLater` returns it. Only the thread of the reactor that made it may use its methods.

    `time` is the time at which it is due, as of `getTime`; `deadline` is the same on the clock that never jumps.
    `func`, `args` and `kw` are the call; a cancelled call no longer holds them. `turn` is the last `mark` before it was
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
        """Return the time at which the call is due, in the time of the reactor's `seconds()`.

        When the wall clock jumps, this jumps too. The difference from `seconds()` is always the time that is left.
        """
        return self._queue.publicTime(self.deadline)

    @property
    def time(self) -> float:
        """The result of getTime()."""
        return self._queue.publicTime(self.deadline)

    @property
    def seconds(self) -> Callable[[], float]:
        """The clock of getTime(): a function without arguments, such as the reactor's `seconds`."""
        queue = self._queue
        return lambda: queue.publicTime(queue.seconds())

    def active(self) -> bool:
        """Return True until it has been called or cancelled; it is already False inside the call itself."""
        return not (self.called or self.cancelled)

    def cancel(self) -> None:
        """Prevent the call. AlreadyCancelled or AlreadyCalled (both ValueErrors) if it is too late."""
        self._checkActive()
        self.cancelled = True
        try:
            self._queue.remove(self)
        except BaseException:  # a signal's handler has raised: what is cancelled must not run
            self._queue.forget(self)
            raise
        del self.func, self.args, self.kw

    def reset(self, secondsFromNow: float) -> None:
        """Make the call due `secondsFromNow` seconds from now, sooner or later than before; errors as for `cancel`."""
        self._checkActive()
        self._queue.move(self, self._queue.seconds(), secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        """Make the call due `secondsLater` seconds later than it was, earlier if negative; errors as for `cancel`."""
        self._checkActive()
        self._queue.move(self, self.deadline, secondsLater)

    def run(self) -> object:
        """Call the function, and return its result; the call is no longer active.

        A reactor calls this once, at once, on a call that `popDue` returned.
        """
        self.called = True
        if self.kw:
            return self.func(*self.args, **self.kw)
        return self.func(*self.args)  # without an allocation, whose failure could lose a call that is due

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
    """The pending calls of one clock, for one thread. `seconds` is a function that returns its time, in seconds.

    `public` returns the time that programs see, if it is another clock: the calendar's. `sooner`, if set, is called
    whenever a new deadline comes before all others. A loop that also sleeps on behalf of others sets it, and so does
    not ask for the next deadline each time.
    """

    __slots__ = ("_ahead", "_deadlines", "_due", "_heldBack", "_heldBarrier", "_public", "_turn", "seconds", "sooner")

    def __init__(self, seconds: Callable[[], float], public: Callable[[], float] | None = None) -> None:
        self.seconds = seconds
        self._public = public
        self._ahead = 0.0  # the difference of `public` from `seconds`
        self.sooner: Callable[[], None] | None = None
        self._deadlines: list[float] = []
        self._due: dict[float, DelayedCall | dict[DelayedCall, None]] = {}
        # Deadlines whose calls are all behind the barrier of the present turn. They return to the heap at its end.
        self._heldBack: list[float] = []
        self._heldBarrier: int | None = None
        self._turn = 0

    def callLater(
        self, delay: float, function: Callable[..., object], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> DelayedCall:
        """Schedule `function(*args, **kwargs)` in `delay` seconds.

        DelayError for a negative or infinite delay or NaN. TypeError for a delay that is no number, or a function that
        cannot be called.
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
        """Return a barrier for `popDue`: calls scheduled (or moved) from now on are behind it."""
        self._turn += 1
        return self._turn

    def nextTime(self) -> float | None:
        """Return the deadline of the earliest pending call; None if there is none."""
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
                except BaseException:  # a signal's handler has raised
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
        """Give no more calls. Pending calls can still be cancelled or moved, without effect."""
        self._deadlines.clear()
        self._heldBack.clear()
        self.sooner = None

    def calls(self) -> list[DelayedCall]:
        """Return the pending calls, in the order in which they would run."""
        pending: list[DelayedCall] = []
        for time in sorted(self._due):
            due = self._due[time]
            pending.extend(due if isinstance(due, dict) else (due,))
        return pending

    def publicTime(self, deadline: float) -> float:
        """Return `deadline` in the time that programs see. Between two jumps it is always the same."""
        public = self._public
        if public is None:
            return deadline
        if abs(public() - self.seconds() - self._ahead) > JUMP:
            self._ahead = min(self._readBoth(public) for _ in range(3))[1]
        return deadline + self._ahead

    def _readBoth(self, public: Callable[[], float]) -> tuple[float, float]:
        """Return the time that it took to read both clocks, and their difference, whose error is at most that time."""
        before = self.seconds()
        ahead = public() - before
        return self.seconds() - before, ahead

    def move(self, call: DelayedCall, base: float, seconds: float) -> None:
        """Make a pending call due `seconds` after `base`. For DelayedCall only."""
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
        except BaseException:  # no memory: the call stays in its old place, and its deadline is still in the heap
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
        """Take a pending call out. For DelayedCall only."""
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
        """Drop the deadlines without a call. If there is no memory for that, do it another time."""
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
    """Return the time of `clock`, any IReactorTime, for measurements.

    If the clock has a time that never jumps, as reactors do, it is that one, and else `seconds()`.
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
