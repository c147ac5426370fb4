"""Deferreds: results that are not there yet. The public face of the modules that make up the family."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar

from reactor._chain import AlreadyCalledError, CancelledError, DebugInfo, logFailure, passthru
from reactor._combinators import (
    FAILURE,
    SUCCESS,
    DeferredList,
    FailureGroup,
    FirstError,
    gatherResults,
    race,
)
from reactor._coroutines import ReturnValue
from reactor._deferred import (
    Deferred,
    NotACoroutineError,
    TimeoutError,
    ensureDeferred,
    execute,
    fail,
    maybeDeferred,
    succeed,
)
from reactor._filelock import AlreadyTryingToLockError, DeferredFilesystemLock
from reactor._primitives import DeferredLock, DeferredQueue, DeferredSemaphore, QueueOverflow, QueueUnderflow
from reactor.failure import Failure

T = TypeVar("T")
P = ParamSpec("P")

__all__ = [
    "FAILURE",
    "SUCCESS",
    "AlreadyCalledError",
    "AlreadyTryingToLockError",
    "CancelledError",
    "DebugInfo",
    "Deferred",
    "DeferredFilesystemLock",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "FailureGroup",
    "FirstError",
    "NotACoroutineError",
    "QueueOverflow",
    "QueueUnderflow",
    "TimeoutError",
    "ensureDeferred",
    "execute",
    "fail",
    "gatherResults",
    "getDebugging",
    "inlineCallbacks",
    "logError",
    "maybeDeferred",
    "passthru",
    "race",
    "returnValue",
    "setDebugging",
    "succeed",
    "timeout",
]


def inlineCallbacks(f: Callable[P, Generator[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Make a function of a generator: a call runs it, and returns a Deferred of what it returns or raises.

    `yield` of a Deferred (or a coroutine, or a generator) waits for it, and gives its result or raises its error;
    anything else that is yielded comes straight back. Context and cancellation are as in Deferred.fromCoroutine. A call
    raises TypeError if `f` does not return a generator.
    """

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            steps = f(*args, **kwargs)
        except ReturnValue:
            raise TypeError(
                f"inlineCallbacks requires {f!r} to produce a generator; instead caught returnValue being used "
                "in a non-generator"
            ) from None
        if not isinstance(steps, GeneratorType):
            raise TypeError(f"inlineCallbacks requires {f!r} to produce a generator; instead got {steps!r}")
        return Deferred.fromCoroutine(steps)

    return call


def returnValue(val: object) -> NoReturn:
    """End the inlineCallbacks generator that calls this, with the result `val`. The old form of `return val`.

    It raises an exception outside Exception, so a bare `except:` around it is a mistake.
    """
    raise ReturnValue(val)


def timeout(deferred: Deferred[Any]) -> None:
    """Fail `deferred` with TimeoutError. The old way to a deadline; see Deferred.addTimeout."""
    deferred.errback(TimeoutError("Callback timed out"))


def logError(err: Failure) -> Failure:
    """An errback that logs the failure (ERROR, with traceback, logger `reactor.defer`) and passes it on."""
    logFailure("", err)
    return err


def setDebugging(on: bool) -> None:
    """Make Deferreds remember the stacks of their creator and invoker, for error reports; slow."""
    Deferred.debug = bool(on)


def getDebugging() -> bool:
    """Return what setDebugging has set."""
    return Deferred.debug


# People meet these names in tracebacks and give them to Failure.check as text; the file they are in is of no interest.
for _name in __all__:
    if getattr(globals()[_name], "__module__", "").startswith("reactor._"):
        globals()[_name].__module__ = __name__
