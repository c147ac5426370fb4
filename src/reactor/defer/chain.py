"""The engine under Deferred: a result, the callbacks that wait for it, and how results travel between chains.

A chain is *called* once it has a result; its callbacks are then run in order, each with what the one before returned.
It stands still while `paused` is above zero. A chain whose callback returned another chain is paused and has put a link
among the other's callbacks; the result comes back along that link. chainDeferred and coroutines use links too.

Links, not calls, carry results from chain to chain, so the length of a line of chains is not bound by the depth of the
stack: `_advance` runs one chain until it ends, waits, or hands its result to the chain that it returns; `_propagate`
keeps the chains that are to go on afterwards. Two kinds of link differ in what the giver looks like meanwhile:

- to a chain that waited, the result is given away: the giver is not running, and its own result is None;
- with chainDeferred or a coroutine, the giver is in the middle of a callback (`_running`, its result still in place),
  exactly as if it had called the other chain's `callback` method.
"""

from __future__ import annotations

import traceback
import warnings
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from reactor._logger import getLogger
from reactor.failure import Failure

T = TypeVar("T")

# What a link does: it is given the chain that runs it and that chain's result, and returns the chain to go on with.
Link: TypeAlias = "Callable[[CallbackChain, Any], CallbackChain | None]"
# callback, its arguments, errback, its arguments; or LINK, a Link, None, and the same again.
Item: TypeAlias = tuple[Any, Any, Any, Any, Any, Any]

LINK: Final = object()
LONG: Final = 64  # callbacks, from which on a deque keeps them: the first of a list costs all behind it
logger: Final = getLogger("reactor.defer")


class AlreadyCalledError(Exception):
    """callback or errback was called on a Deferred that had its result already."""

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
    """What a chain needs only if it failed or is debugged: `failResult`, and the stacks of creator and first invoker.

    It is collected with its chain, and then logs the failure if nothing has handled it. (A `__del__` on every Deferred
    would cost those that succeed.)
    """

    __slots__ = ("creator", "failResult", "invoker")

    def __init__(self) -> None:
        self.failResult: Failure | None = None
        self.creator: list[str] | None = None
        self.invoker: list[str] | None = None

    def describe(self) -> str:
        """Return the stacks that are known, each line after a "C:" or "I:"."""
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
    """Deferred without its typed face; see there for the contracts."""

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
        """The callbacks still to run: ((callback, args, kwargs), (errback, args, kwargs)) each. A copy, to look at."""
        return [(item[:3], item[3:]) for item in self._callbacks]

    def callback(self, result: Any) -> None:
        """Give the result and run the callbacks; a Failure takes the way of errback. AlreadyCalledError if called."""
        if self._take(result) and not self.paused:
            onward = self._advance()
            if onward is not None:
                _propagate(self, onward)

    def errback(self, fail: object = None) -> None:
        """Give a failure and run the errbacks. AlreadyCalledError if called.

        `fail` is a Failure, or an exception (wrapped in one), or None: the exception being handled, which raises
        NoCurrentExceptionError if there is none.
        """
        if fail is None:
            fail = Failure(captureVars=self.debug)
        elif not isinstance(fail, Failure):
            fail = Failure(fail)
        CallbackChain.callback(self, fail)

    def pause(self) -> None:
        """Run no more callbacks until unpause() was called as often as pause(). One that runs is not stopped."""
        self.paused += 1

    def unpause(self) -> None:
        """Undo one pause(); at the last, run the callbacks that wait, if there is a result."""
        self.paused -= 1
        if not self.paused and self.called:
            self._runCallbacks()

    def cancel(self) -> None:
        """Ask for an end: the canceller is called, and unless it gives a result, the result is CancelledError.

        Without a canceller, one later callback or errback is ignored. Once called, this cancels the Deferred that is
        being waited for, if any. What a canceller raises goes to the caller.
        """
        target = self._awaited()
        if target is not self and type(target).cancel is not CallbackChain.cancel:
            target.cancel()
        else:
            target._cancelUncalled()

    def _awaited(self) -> CallbackChain:
        """Return the chain that this one waits for, at any remove, or the first that has a cancel() of its own."""
        target = self
        seen: set[int] = set()
        while target.called and isinstance(target.result, CallbackChain) and id(target) not in seen:
            seen.add(id(target))
            target = target.result
            if type(target).cancel is not CallbackChain.cancel:
                break
        return target

    def _cancelForCertain(self) -> None:
        """Cancel; if the canceller raises, log that, and let CancelledError be the result. A later one is ignored."""
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
        """Call `d` with the result, or failure, when it comes here; go on with None. Returns self.

        Long lines of Deferreds chained like this do not recurse.
        """
        d._chainedTo = self
        if getattr(d.callback, "__func__", None) is CallbackChain.callback:
            self._addLink(d._callFrom)
        else:
            # Somebody's own callback method has to be called.
            self._callbacks.append((d.callback, (), {}, d.errback, (), {}))
        if self.called:
            self._runCallbacks()
        return self

    def _take(self, result: Any) -> bool:
        """Set the result. False if it is the one to be ignored after a cancellation."""
        if self.called:
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
        # A canceller usually refers to its Deferred, and cannot be needed any more.
        self._canceller = None
        self.result = result
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
        """Somebody has taken over the result."""
        self.result = None
        if self._debugInfo is not None:
            self._debugInfo.failResult = None

    def _runCallbacks(self) -> None:
        if self._running or self.paused:
            return
        onward = self._advance()
        if onward is not None:
            _propagate(self, onward)

    # When a callback raises, the Failure's traceback keeps this frame alive. So no local variable of it may keep the
    # Failure when it ends, or every error, handled or not, would be a cycle for the garbage collector.
    def _advance(self) -> CallbackChain | None:
        """Run callbacks until there is none, or one returned a chain to wait for; or return the chain to run next."""
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
            # Only what comes from outside, such as a signal between two callbacks, gets here.
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
        """Take the result of the chain that `callback` returned, or become paused until it has one."""
        if other is self:
            try:
                _warnOfSelf(callback)
            except Warning:  # the program has made errors of warnings, and this is one of its callback
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
    """Cancel, and log what a canceller raises: for all that goes on after cancellations. Return whether none did."""
    try:
        chain.cancel()
    except BaseException:
        logFailure("Exception raised from user supplied canceller", Failure())
        return False
    return True


def _propagate(giver: CallbackChain, taker: CallbackChain) -> None:
    """Run `taker` with what it was given, and all chains that follow from that, then what is left of `giver`."""
    # Each with whether it is in the middle of a callback.
    unfinished = [(giver, giver._running)]
    current = taker
    calling = False
    try:
        while True:
            if current.paused and not calling:
                # As in Twisted, the chains that gave their result away to one that is paused stop here too, until
                # something else makes them run.
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
