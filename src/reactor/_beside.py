"""What a callback gave back. A coroutine is run beside what follows; nothing else that it may be is heeded.

One rule for all callbacks but those that are waited for (a LineReceiver's handlers, triggers): who calls one, and gets
something that is not None, hands it to `beside` together with what a failure costs. What a coroutine raises before its
first wait is raised there, so it goes the way of what the callback itself raises; what it raises later goes to
`failed`.

A protocol or factory that calls a callback of its own on behalf of a transport (makeConnection calls connectionMade)
cannot know what a failure costs. It starts the coroutine, and returns it as a Running, to be handed to `beside`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from inspect import CO_ITERABLE_COROUTINE
from types import CoroutineType, GeneratorType
from typing import Any, Final, cast

from reactor._logger import Logger
from reactor.defer.chain import CancelledError, logFailure
from reactor.defer.combinators import DeferredList
from reactor.defer.coroutines import Driver
from reactor.defer.deferred import Deferred
from reactor.failure import Failure

# The exact type first: asking the abstract class is slow.
_COROUTINES: Final = (CoroutineType, Coroutine)

# What a callback fails with whose Deferred was cancelled, for example because the connection has gone.
CANCELLED: Final = (CancelledError, "twisted.internet.defer.CancelledError")


class Running(Deferred[Any]):
    """A coroutine that a callback has returned, under way. Its failure is logged if nobody heeds it."""

    __slots__ = ()


def isCoroutine(result: object) -> bool:
    """Whether `result`, of a callback, is a coroutine. TypeError for a generator, which nothing would run.

    A generator is closed. One that `types.coroutine` has made is a coroutine.
    """
    if isinstance(result, _COROUTINES):
        return True
    if isinstance(result, GeneratorType):
        if result.gi_code.co_flags & CO_ITERABLE_COROUTINE:
            return True
        result.close()
        raise TypeError(
            f"{result.__qualname__} is a generator, and nothing of it has run: make it an `async def`, or decorate it "
            "with inlineCallbacks"
        )
    if isinstance(result, AsyncGenerator):
        raise TypeError(f"{_nameOf(result)} is an asynchronous generator, and nothing of it has run: it must not yield")
    return False


def started(result: object) -> Running | None:
    """Run a coroutine, now, up to its first wait. What it raises before that is raised here.

    None for anything else that a callback has returned, a Deferred for example, which is not heeded; a Running is
    returned as it is. TypeError for a generator.
    """
    if isinstance(result, Running):
        return result
    if result is None or not isCoroutine(result):
        return None
    running = Running()
    Driver(cast("Coroutine[Any, Any, Any]", result), running).start()
    if running.called and isinstance(running.result, Failure):
        failure = running.result
        running.addErrback(lambda _: None)
        try:
            failure.raiseException()
        finally:
            del failure, running, result  # the traceback leads to this frame, which must not lead to the Failure
    return running


def beside(result: object, failed: Callable[[Failure], object] | None = None) -> None:
    """A callback has returned `result`: run a coroutine beside what follows. See `started` for what this raises.

    `failed` is called with the Failure of what it raises later. Without it, that is logged.
    """
    running = started(result)
    if running is not None:
        running.addErrback(failed or _logged)


def _logged(failure: Failure) -> None:
    logFailure("Unhandled error in a coroutine that a callback has returned", failure)


def both(first: object, second: object) -> Running | None:
    """Return one Running for what two callbacks have returned; it fails if either does."""
    own, other = started(first), started(second)
    if own is None or other is None:
        return own if other is None else other
    joined = Running()
    DeferredList([own, other], fireOnOneErrback=True, consumeErrors=True).addErrback(_first).chainDeferred(joined)
    return joined


def _first(failure: Failure) -> Failure:
    return failure.value.subFailure  # type: ignore[no-any-return, attr-defined]


def failTransport(protocol: Any, failure: Failure, log: Logger) -> None:
    """A handler of `protocol` has failed, and nobody above it can be told: that costs the connection, of any transport.

    Nothing if the connection has gone, and the handler was cancelled. `log` is told where the transport is not ours.
    """
    transport = protocol.transport
    gone = transport is None or getattr(transport, "disconnected", False)
    if gone and failure.check(*CANCELLED):
        return
    if hasattr(transport, "failConnection"):
        transport.failConnection(failure)
        return
    log.error("A handler of %s failed", type(protocol).__name__, exc_info=failure.value)
    if not gone:
        (transport.abortConnection if hasattr(transport, "abortConnection") else transport.loseConnection)()


def refused(result: Any, name: str) -> None:
    """`name` has returned `result` where nothing can be run or waited for. TypeError for a coroutine or a generator."""
    if isCoroutine(result):
        close = getattr(result, "close", None)
        if close is not None:
            close()
        raise TypeError(f"{name} has returned a coroutine, {_nameOf(result)}, and nothing waits for its result")


def _nameOf(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
