"""The engine under Deferred: a result, the callbacks that wait for it, and how results travel between chains.

A chain is *called* once it has a result. Its callbacks then run in order, each with the result of the last one. The
chain stands still while `paused` is above zero. If a callback returns another chain, its own chain is paused and puts a
link among the other's callbacks. The result comes back along that link. chainDeferred and coroutines use links too.

Links, not calls, carry results from chain to chain, so chains of any length need no deeper stack.
`_advance` runs one chain until it ends, waits, or hands its result to the chain that it returns. `_propagate` keeps the
chains that go on afterwards. There are two kinds of link, which differ in the state of the giver meanwhile:

- A link to a chain that waited gives the result away. The giver is not running, and its own result is None.
- With chainDeferred or a coroutine, the giver is in the middle of a callback (`_running`, its result still in place).
  It looks as if it had called the other chain's `callback` method.
"""

from __future__ import annotations

import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from reactor._gil import hasGIL
from reactor._logger import getLogger
from reactor.failure import Failure

T = TypeVar("T")

# A link gets the chain that runs it and that chain's result. It returns the chain to go on with.
Link: TypeAlias = "Callable[[CallbackChain, Any], CallbackChain | None]"
# callback, its arguments, errback, its arguments; or LINK, a Link, None, and the same again.
Item: TypeAlias = tuple[Any, Any, Any, Any, Any, Any]

LINK: Final = object()
# Without the GIL only: each serves many chains, and is held for a few steps.
_LOCKS: Final = () if hasGIL() else tuple(threading.Lock() for _ in range(64))
LONG: Final = 64  # callbacks; a longer queue is a deque, because removing a list's first item moves all others
logger: Final = getLogger("reactor.defer")


class AlreadyCalledError(Exception):
    """`callback` or `errback` was called on a Deferred that had its result already."""

    def __str__(self) -> str:
        return super().__str__() or "this Deferred has its result already; setDebugging(True) tells where it came from"


class CancelledError(Exception):
    """The result of a Deferred that was cancelled."""


def passthru(arg: T) -> T:
    """Return `arg`."""
    return arg


def logFailure(message: str, failure: Failure) -> None:
    """Write one ERROR record, with the traceback, to the logger `reactor.defer`."""
    if isinstance(failure.value, BaseException):
        logger.error(message, exc_info=(failure.type, failure.value, failure.tb))
    else:
        logger.error("%s: %r", message, failure)


class DebugInfo:
    """The failure and the stacks of a chain that failed or is debugged.

    `failResult` is a failure that no errback has handled; `creator` and `invoker` are stacks, or None. The object is
    collected with its chain, and then logs such a failure. (A `__del__` on every Deferred would cost those that
    succeed.)
    """

    __slots__ = ("creator", "failResult", "invoker")

    def __init__(self) -> None:
        self.failResult: Failure | None = None
        self.creator: list[str] | None = None
        self.invoker: list[str] | None = None

    def describe(self) -> str:
        """Return the known stacks, each line after a "C:" or "I:"."""
        text = ""
        for mark, title, stack in (
            ("C", "Deferred was created", self.creator),
            ("I", "First Invoker was", self.invoker),
        ):
            if stack is not None:
                lines = "".join(stack).rstrip().replace("\n", f"\n {mark}:")
                text += f" {mark}: {title}:\n {mark}:{lines}\n"
        return text

    def __del__(self) -> None:
        if self.failResult is not None:
            known = self.describe()
            logFailure(f"Unhandled error in Deferred (debug:\n{known})" if known else _UNHANDLED, self.failResult)


_UNHANDLED: Final = "Unhandled error in Deferred"


class CallbackChain:
    """Deferred without its types; its docstrings are the contracts."""

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_callbacks",
        "_canceller",
        "_chainedTo",
        "_debugInfo",
        "_running",
        "_suppressAlreadyCalled",
        "called",
        "paused",
        "result",
    )

    debug: bool = False

    called: bool
    paused: int
    result: Any

    def __init__(self, canceller: Callable[[Any], object] | None = None) -> None:
        self.called = False
        self.paused = 0
        self._callbacks: list[Item] | deque[Item] = []
        self._canceller = canceller
        self._chainedTo: CallbackChain | None = None
        self._debugInfo: DebugInfo | None = None
        self._running = False
        self._suppressAlreadyCalled = False
        if self.debug:
            self._debugInfo = DebugInfo()
            self._debugInfo.creator = traceback.format_stack()[:-1]

    @property
    def callbacks(self) -> list[tuple[tuple[Any, Any, Any], tuple[Any, Any, Any]]]:
        """A copy of the waiting callbacks: ((callback, args, kwargs), (errback, args, kwargs)) each."""
        return [(item[:3], item[3:]) for item in self._callbacks]

    def callback(self, result: Any) -> None:
        """Give the result and run the callbacks; a Failure works as with errback. AlreadyCalledError if called."""
        if self._take(result) and not self.paused:
            onward = self._advance()
            if onward is not None:
                _propagate(self, onward)

    def errback(self, fail: object = None) -> None:
        """Give a failure and run the errbacks. AlreadyCalledError if called.

        `fail` is a Failure, or an exception, which is wrapped in one. None means the exception that is being handled,
        or NoCurrentExceptionError if there is none.
        """
        if fail is None:
            fail = Failure(captureVars=self.debug)
        elif not isinstance(fail, Failure):
            fail = Failure(fail)
        CallbackChain.callback(self, fail)

    def pause(self) -> None:
        """Run no more callbacks until unpause() has been called as often as pause(). A running callback goes on."""
        self.paused += 1

    def unpause(self) -> None:
        """Undo one pause(). After the last one, run the waiting callbacks if there is a result."""
        self.paused -= 1
        if not self.paused and self.called:
            self._runCallbacks()

    def cancel(self) -> None:
        """Ask for an end: call the canceller, and fail with CancelledError unless it gives a result.

        Without a canceller, one later callback or errback is ignored. If this Deferred is called already, cancel()
        cancels the Deferred that it waits for, if any. An exception of a canceller passes through to the caller.
        """
        target = self._awaited()
        if target is not self and type(target).cancel is not CallbackChain.cancel:
            target.cancel()
        else:
            target._cancelUncalled()

    def _awaited(self) -> CallbackChain:
        """Return the last chain that this one waits for, or the first with a cancel() of its own."""
        target = self
        seen: set[int] = set()
        while target.called and isinstance(target.result, CallbackChain) and id(target) not in seen:
            seen.add(id(target))
            target = target.result
            if type(target).cancel is not CallbackChain.cancel:
                break
        return target

    def _cancelForCertain(self) -> None:
        """Cancel. If the canceller raises, log that and fail with CancelledError; a later result is ignored."""
        if cancelQuietly(self):
            return
        target = self._awaited()
        if not target.called:
            target._suppressAlreadyCalled = True
            target.errback(Failure(CancelledError()))

    def _cancelUncalled(self) -> None:
        if self.called:
            return
        if self._canceller:
            self._canceller(self)
        else:
            self._suppressAlreadyCalled = True
        if not self.called:
            self.errback(Failure(CancelledError()))

    def chainDeferred(self, d: Any) -> Any:
        """Call `d` with the result or failure when it comes here, and go on with None. Return self.

        Long lines of Deferreds that are chained in this way do not recurse.
        """
        d._chainedTo = self
        if getattr(d.callback, "__func__", None) is CallbackChain.callback:
            self._addLink(d._callFrom)
        else:
            # A subclass has a callback method of its own, which must be called.
            self._callbacks.append((d.callback, (), {}, d.errback, (), {}))
        if self.called:
            self._runCallbacks()
        return self

    def _take(self, result: Any) -> bool:
        """Set the result. Return False if a cancellation means that this one is ignored."""
        if self.called or (_LOCKS and not self._isFirst()):
            if self._suppressAlreadyCalled:
                self._suppressAlreadyCalled = False
                return False
            if self.debug and self._debugInfo is not None:
                raise AlreadyCalledError("\n" + self._debugInfo.describe())
            raise AlreadyCalledError
        if self.debug:
            if self._debugInfo is None:
                self._debugInfo = DebugInfo()
            self._debugInfo.invoker = traceback.format_stack()[:-2]
        self.called = True
        # A canceller usually refers to its Deferred, and is no longer needed.
        self._canceller = None
        self.result = result
        return True

    def _isFirst(self) -> bool:
        """Whether no other thread has called this chain before. One that is used from two threads must tell of it."""
        with _LOCKS[(id(self) >> 6) % len(_LOCKS)]:
            if self.called:
                return False
            self.called = True
        return True

    def _addLink(self, link: Link) -> None:
        self._callbacks.append((LINK, link, None, LINK, link, None))

    def _continueFrom(self, giver: CallbackChain, result: Any) -> CallbackChain:
        """The link of a chain that waits for `giver`, which one of its callbacks returned."""
        self.result = result
        giver._running = False
        giver._forget()
        self.paused -= 1
        return self

    def _callFrom(self, giver: CallbackChain, result: Any) -> CallbackChain | None:
        """The link of chainDeferred."""
        return self if self._take(result) else None

    def _forget(self) -> None:
        """Drop the result, which another chain has taken over."""
        self.result = None
        if self._debugInfo is not None:
            self._debugInfo.failResult = None

    def _runCallbacks(self) -> None:
        if self._running or self.paused:
            return
        onward = self._advance()
        if onward is not None:
            _propagate(self, onward)

    # When a callback raises, the Failure's traceback keeps this frame alive. If a local variable kept the Failure at
    # the end, every error, handled or not, would be a cycle for the garbage collector.
    def _advance(self) -> CallbackChain | None:
        """Run callbacks until none is left or one waits for a chain. Return a chain to run next, or None."""
        self._chainedTo = None
        self._running = True
        callbacks = self._callbacks
        result = self.result
        try:
            while count := len(callbacks):
                if count > LONG and type(callbacks) is list:
                    callbacks = self._callbacks = deque(callbacks)
                callback, args, kwargs, errback, errArgs, errKwargs = callbacks[0]
                del callbacks[0]
                if isinstance(result, Failure):
                    callback, args, kwargs = errback, errArgs, errKwargs
                if callback is passthru and not isinstance(result, CallbackChain):
                    continue
                try:
                    if callback is LINK:
                        onward: CallbackChain | None = args(self, result)
                        result = None
                        if onward is not None:
                            return onward
                    elif args or kwargs:
                        result = callback(result, *args, **kwargs)
                    else:
                        result = callback(result)
                except BaseException:
                    result = Failure(captureVars=self.debug)
                self.result = result
                if isinstance(result, CallbackChain):
                    if self._waitsFor(result, callback):
                        break
                    result = self.result
        except BaseException:
            # Only an exception from outside gets here, such as that of a signal between two callbacks.
            self._running = False
            raise
        self._running = False
        if isinstance(result, Failure):
            if self._debugInfo is None:
                self._debugInfo = DebugInfo()
            self._debugInfo.failResult = result
            result = None
        elif self._debugInfo is not None:
            self._debugInfo.failResult = None
        return None

    def _waitsFor(self, other: CallbackChain, callback: Any) -> bool:
        """Take the result of the chain that `callback` returned, or pause for it. Return whether it must wait."""
        if other is self:
            try:
                _warnOfSelf(callback)
            except Warning:  # the program turns warnings into errors; this one is its callback's
                self.result = Failure()
                return False
        if other.called and not other.paused and not isinstance(other.result, CallbackChain):
            self.result = other.result
            other._forget()
            return False
        self.pause()
        self._chainedTo = other
        other._addLink(self._continueFrom)
        return True

    def __str__(self) -> str:
        state = ""
        if self._chainedTo is not None:
            state = f" waiting on Deferred at 0x{id(self._chainedTo):x}"
        elif self.called:
            state = f" current result: {self.result!r}"
        return f"<{self.__class__.__name__} at 0x{id(self):x}{state}>"

    __repr__ = __str__


def cancelQuietly(chain: Any) -> bool:
    """Cancel, and log an exception of the canceller. Return whether there was none."""
    try:
        chain.cancel()
    except BaseException:
        logFailure("Exception raised from user supplied canceller", Failure())
        return False
    return True


def _propagate(giver: CallbackChain, taker: CallbackChain) -> None:
    """Run `taker` with its new result, then all chains that follow from it, then the rest of `giver`."""
    # Each chain, and whether it is in the middle of a callback.
    unfinished = [(giver, giver._running)]
    current = taker
    calling = False
    try:
        while True:
            if current.paused and not calling:
                # As in Twisted, the chains that gave their result to a paused one stop here too, until another call
                # runs them.
                while unfinished and not unfinished[-1][1]:
                    unfinished.pop()
            else:
                onward = current._advance()
                if onward is not None:
                    unfinished.append((current, current._running))
                    current = onward
                    calling = False
                    continue
            if not unfinished:
                return
            current, calling = unfinished.pop()
            if calling:
                current.result = None
    except BaseException:
        for chain, _ in unfinished:
            chain._running = False
        raise


def _warnOfSelf(callback: Any) -> None:
    message = "Callback returned the Deferred it was attached to; this breaks the callback chain."
    code = getattr(callback, "__code__", None)
    if code is None:
        warnings.warn(message, DeprecationWarning, stacklevel=2)
    else:
        warnings.warn_explicit(message, DeprecationWarning, code.co_filename, code.co_firstlineno)
