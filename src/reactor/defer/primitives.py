"""Taking turns with Deferreds: DeferredLock, DeferredSemaphore, DeferredQueue."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, Literal, ParamSpec, Self, TypeVar, overload

from reactor.defer.deferred import Deferred, maybeDeferred, succeed

T = TypeVar("T")
P = ParamSpec("P")


class QueueOverflow(Exception):
    """put() on a DeferredQueue that holds `size` objects."""


class QueueUnderflow(Exception):
    """get() on a DeferredQueue with `backlog` waiting calls already."""


class Turns(ABC):
    """The common part of a lock and a semaphore: run(), `async with`, and `waiting`.

    `waiting` has the Deferreds of acquire() that have not fired, in order.
    """

    def __init__(self) -> None:
        self.waiting: deque[Deferred[Any]] = deque()
        self._owed = 0  # turns that belong to the first waiting Deferreds, which have not fired yet
        self._isTelling = False

    @abstractmethod
    def acquire(self) -> Deferred[Self]:
        """Return a Deferred that fires with this object at the caller's turn. Cancelling it gives up."""

    @abstractmethod
    def release(self) -> None:
        """End the turn; the next in line, if any, has it at once.

        If a callback of such a Deferred calls this, the next Deferred fires when that one's callbacks have returned.
        """

    @abstractmethod
    def _putBack(self) -> None:
        """Keep the turn that has ended, as no call waits for it."""

    def _passOn(self) -> None:
        """Give the turn that has ended to the next in line. It is a loop, so the stack does not bound the line."""
        if len(self.waiting) <= self._owed:
            self._putBack()
            return
        self._owed += 1
        if self._isTelling:
            return
        self._isTelling = True
        try:
            while self._owed:
                self._owed -= 1
                if self.waiting:
                    self.waiting.popleft().callback(self)
                else:  # the call was cancelled meanwhile
                    self._putBack()
        finally:
            self._isTelling = False

    @overload
    def run(self, /, f: Callable[P, Deferred[T]], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    @overload
    def run(self, /, f: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    @overload
    def run(self, /, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]: ...

    def run(self, /, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Acquire, call `f`, wait for its Deferred or coroutine, release; return a Deferred of the call's result."""

        def call(_: object) -> Deferred[Any]:
            return maybeDeferred(f, *args, **kwargs).addBoth(self._releaseAndReturn)

        return self.acquire().addCallback(call)

    def _releaseAndReturn(self, result: Any) -> Any:
        self.release()
        return result

    def __aenter__(self) -> Deferred[Self]:
        return self.acquire()

    def __aexit__(
        self, excType: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Deferred[Literal[False]]:
        self.release()
        return succeed(False)


class DeferredLock(Turns):
    """A lock: one holder at a time. `locked` is True while it has a holder."""

    locked: bool = False

    def acquire(self) -> Deferred[Self]:
        """Return a Deferred that fires with the lock when the caller has it. Cancelling it gives up."""
        deferred: Deferred[Self] = Deferred(self.waiting.remove)
        if self.locked:
            self.waiting.append(deferred)
        else:
            self.locked = True
            deferred.callback(self)
        return deferred

    def release(self) -> None:
        """Unlock, or hand the lock to the next in line. AssertionError if it is not locked."""
        if not self.locked:
            raise AssertionError("Tried to release an unlocked lock")
        self._passOn()

    def _putBack(self) -> None:
        self.locked = False


class DeferredSemaphore(Turns):
    """A semaphore: at most `limit` holders at a time; `tokens` are left. ValueError for fewer than one token."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        if tokens < 1:
            raise ValueError("DeferredSemaphore requires tokens >= 1")
        self.tokens = tokens
        self.limit = tokens

    def acquire(self) -> Deferred[Self]:
        """Return a Deferred that fires with the semaphore when there is a token. Cancelling it gives up."""
        deferred: Deferred[Self] = Deferred(self.waiting.remove)
        if self.tokens:
            self.tokens -= 1
            deferred.callback(self)
        else:
            self.waiting.append(deferred)
        return deferred

    def release(self) -> None:
        """Give a token back, or on to the next in line. AssertionError if all tokens are there."""
        if self.tokens >= self.limit:
            raise AssertionError("Someone released me too many times: too many tokens!")
        self._passOn()

    def _putBack(self) -> None:
        self.tokens += 1


class DeferredQueue(Generic[T]):
    """A queue of objects, and of Deferreds that wait for them, first in, first out.

    It keeps at most `size` objects (QueueOverflow), and at most `backlog` Deferreds wait (QueueUnderflow). None is no
    limit. `pending` has the objects, `waiting` the Deferreds.
    """

    def __init__(self, size: int | None = None, backlog: int | None = None) -> None:
        self.waiting: deque[Deferred[T]] = deque()
        self.pending: deque[T] = deque()
        self.size = size
        self.backlog = backlog
        self._owed: deque[T] = deque()  # the objects for the first waiting Deferreds
        self._isGiving = False

    def put(self, obj: T) -> None:
        """Give `obj` to the first waiting Deferred, or keep it. QueueOverflow if there is no room.

        If a callback of such a Deferred calls this, the next Deferred fires when that one's callbacks have returned.
        """
        if len(self.waiting) > len(self._owed):
            self._owed.append(obj)
            if not self._isGiving:
                self._give()
        elif self.size is None or len(self.pending) < self.size:
            self.pending.append(obj)
        else:
            raise QueueOverflow

    def _give(self) -> None:
        """Serve the waiting Deferreds in a loop, so the stack does not bound their number."""
        self._isGiving = True
        try:
            while self._owed and self.waiting:
                self.waiting.popleft().callback(self._owed.popleft())
        finally:
            self._isGiving = False
            if not self.waiting:  # some calls were cancelled meanwhile
                self.pending.extendleft(reversed(self._owed))
                self._owed.clear()

    def get(self) -> Deferred[T]:
        """Return a Deferred of the next object. Cancelling it gives up. QueueUnderflow if too many wait."""
        if self.pending:
            return succeed(self.pending.popleft())
        if self.backlog is not None and len(self.waiting) - len(self._owed) >= self.backlog:
            raise QueueUnderflow
        deferred: Deferred[T] = Deferred(self.waiting.remove)
        self.waiting.append(deferred)
        return deferred
