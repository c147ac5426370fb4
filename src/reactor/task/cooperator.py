"""Cooperator: long work in pieces, which iterators make, spread over the turns of a reactor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from reactor import _current
from reactor._beside import isCoroutine
from reactor._logger import getLogger
from reactor.defer import Deferred, ensureDeferred
from reactor.failure import Failure

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IReactor

__all__ = [
    "CooperativeTask",
    "Cooperator",
    "NotPaused",
    "SchedulerError",
    "SchedulerStopped",
    "TaskDone",
    "TaskFailed",
    "TaskFinished",
    "TaskStopped",
    "coiterate",
    "cooperate",
]

log = getLogger("reactor.task")

IteratorT = TypeVar("IteratorT", bound=Iterator[Any])

SLICE = 0.01  # seconds of work in one turn


class SchedulerError(Exception):
    """A cooperator or one of its tasks is in the wrong state for a call."""


class SchedulerStopped(SchedulerError):
    """The cooperator has been stopped."""


class TaskFinished(SchedulerError):
    """The task has finished, with or without success."""


class TaskDone(TaskFinished):
    """The task's iterator came to its end."""


class TaskStopped(TaskFinished):
    """The task was stopped."""


class TaskFailed(TaskFinished):
    """The task's iterator, or a Deferred that it yielded, failed."""


class NotPaused(SchedulerError):
    """A task was resumed more often than it was paused."""


class CooperativeTask(Generic[IteratorT]):
    """One iterator at work in a Cooperator; `cooperate` makes it. All of this module is for the reactor's thread."""

    def __init__(self, iterator: IteratorT, cooperator: Cooperator) -> None:
        """Not for users: `cooperate` makes tasks. TypeError if `iterator` is no iterator."""
        if not hasattr(iterator, "__next__"):
            raise TypeError(f"an iterator is needed, not {iterator!r}: give iter(...) of it, or a generator")
        self._iterator = iterator
        self._cooperator = cooperator
        self._waiting: list[Deferred[IteratorT]] = []
        self._pauseCount = 0
        self._end: SchedulerError | None = None
        self._result: IteratorT | Failure | None = None
        cooperator._add(self)

    def whenDone(self) -> Deferred[IteratorT]:
        """Return a new Deferred that fires with the iterator at its end, or fails.

        It fails with the exception of the iterator or of a Deferred that it yielded, with TaskStopped, or with
        SchedulerStopped. If no Deferred of whenDone waits when the iterator fails, the failure is logged.
        """
        deferred: Deferred[IteratorT] = Deferred()
        if self._result is None:
            self._waiting.append(deferred)
        else:
            deferred.callback(self._result)
        return deferred

    def pause(self) -> None:
        """Do no work until there were as many `resume` calls as `pause` calls. TaskFinished if it has finished."""
        self._checkEnd()
        self._pauseCount += 1
        if self._pauseCount == 1:
            self._cooperator._remove(self)

    def resume(self) -> None:
        """Undo one `pause`. NotPaused if there is none to undo."""
        if not self._pauseCount:
            raise NotPaused
        self._pauseCount -= 1
        if not self._pauseCount and self._end is None:
            self._cooperator._add(self)

    def stop(self) -> None:
        """Do no more work: whenDone fails with TaskStopped. TaskFinished if it has finished."""
        self._checkEnd()
        self._finish(TaskStopped(), Failure(TaskStopped()))

    def _checkEnd(self) -> None:
        if self._end is not None:
            raise self._end

    def _finish(self, end: SchedulerError, result: IteratorT | Failure) -> None:
        self._end = end
        self._result = result
        if not self._pauseCount:
            self._cooperator._remove(self)
        # Last, as a callback may do anything to the cooperator and its tasks.
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(result)

    def _step(self) -> None:
        # The iterator may have stopped its own task, or the cooperator, by the time it returns.
        try:
            result: Any = next(self._iterator)
            if result is not None and not isinstance(result, Deferred) and isCoroutine(result):
                result = ensureDeferred(result)
        except StopIteration:
            if self._end is None:
                self._finish(TaskDone(), self._iterator)
        except (KeyboardInterrupt, SystemExit):
            self._fail(Failure())
            raise
        except BaseException:
            self._fail(Failure())
        else:
            if isinstance(result, Deferred) and self._end is None:
                self.pause()
                result.addCallbacks(self._goOn, self._fail)

    def _goOn(self, _: object) -> None:
        self.resume()

    def _fail(self, failure: Failure) -> None:
        if not self._waiting:
            log.error(
                "A cooperative task failed, and nothing waits for its result",
                exc_info=(failure.type, failure.value, failure.getTracebackObject()),
            )
        if self._end is None:
            self._finish(TaskFailed(), failure)


def _sliceOfTime() -> Callable[[], bool]:
    end = time.monotonic() + SLICE
    return lambda: time.monotonic() >= end


def _nextTurn(function: Callable[[], None]) -> IDelayedCall:
    return _current.current().callLater(0, function)


class Cooperator:
    """Shares time between iterators: it asks each for one item in turn, until the time of this turn is used up.

    An item stands for a piece of work done. If it is a Deferred or a coroutine, its iterator waits for it.
    """

    def __init__(
        self,
        terminationPredicateFactory: Callable[[], Callable[[], bool]] = _sliceOfTime,
        scheduler: Callable[[Callable[[], None]], IDelayedCall] = _nextTurn,
        started: bool = True,
    ) -> None:
        """Make a cooperator.

        `terminationPredicateFactory()` gives, for each turn, a function that says after each item whether to end the
        turn. By default a turn lasts 10 ms. `scheduler(function)` has `function` called later, by default on the
        current reactor's next turn. It returns an object with a `cancel` method. Unless `started`, work waits for
        `start`.
        """
        self._tasks: list[CooperativeTask[Any]] = []
        self._round: Iterator[CooperativeTask[Any]] = iter(())
        self._terminationPredicateFactory = terminationPredicateFactory
        self._scheduler = scheduler
        self._nextTick: IDelayedCall | None = None
        self._isStopped = False
        self._isStarted = started

    def cooperate(self, iterator: IteratorT) -> CooperativeTask[IteratorT]:
        """Put `iterator` to work; return its task."""
        return CooperativeTask(iterator, self)

    def coiterate(self, iterator: IteratorT, doneDeferred: Deferred[IteratorT] | None = None) -> Deferred[IteratorT]:
        """Put `iterator` to work; return `doneDeferred`, or a new Deferred, which fires as that of `whenDone`."""
        if doneDeferred is None:
            doneDeferred = Deferred()
        CooperativeTask(iterator, self).whenDone().chainDeferred(doneDeferred)
        return doneDeferred

    def start(self) -> None:
        """Work, from the next turn on. After `stop`, work on the iterators that are added from now on."""
        self._isStopped = False
        self._isStarted = True
        self._reschedule()

    def stop(self) -> None:
        """Work no more: all tasks end with SchedulerStopped, paused ones when resumed, new ones when added."""
        self._isStopped = True
        for task in self._tasks.copy():
            # A callback of one task may have finished another.
            if task._end is None:
                task._finish(SchedulerStopped(), Failure(SchedulerStopped()))

    @property
    def running(self) -> bool:
        """Whether the cooperator has started and has not been stopped."""
        return self._isStarted and not self._isStopped

    def _add(self, task: CooperativeTask[Any]) -> None:
        self._tasks.append(task)
        if self._isStopped:
            task._finish(SchedulerStopped(), Failure(SchedulerStopped()))
        else:
            self._reschedule()

    def _remove(self, task: CooperativeTask[Any]) -> None:
        self._tasks.remove(task)
        if not self._tasks and self._nextTick is not None:
            self._nextTick.cancel()
            self._nextTick = None

    def _tick(self) -> None:
        self._nextTick = None
        isOver = self._terminationPredicateFactory()
        try:
            # A round that was cut short goes on where it ended.
            while self._tasks:
                for task in self._round:
                    task._step()
                    if isOver():
                        return
                self._round = iter(self._tasks)
        finally:
            self._reschedule()

    def _reschedule(self) -> None:
        if self._isStarted and self._nextTick is None and self._tasks:
            self._nextTick = self._scheduler(self._tick)


# One for each reactor, made when it is first needed: reactors in different threads share nothing.
_cooperators: WeakKeyDictionary[IReactor, Cooperator] = WeakKeyDictionary()


def _ofCurrentReactor() -> Cooperator:
    reactor = _current.current()
    cooperator = _cooperators.get(reactor)
    if cooperator is None:
        cooperator = _cooperators[reactor] = Cooperator()
    return cooperator


def coiterate(iterator: IteratorT) -> Deferred[IteratorT]:
    """Put `iterator` to work on the current reactor's turns; return a Deferred that fires with it at its end."""
    return _ofCurrentReactor().coiterate(iterator)


def cooperate(iterator: IteratorT) -> CooperativeTask[IteratorT]:
    """Put `iterator` to work, a piece at a time, on the current reactor's turns; return its task."""
    return _ofCurrentReactor().cooperate(iterator)
