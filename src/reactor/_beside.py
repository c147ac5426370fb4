"""The results of callbacks: a coroutine runs beside the events that follow, and all other results are ignored.

There is one rule for all callbacks whose results the caller does not wait for. (It waits for a LineReceiver's handlers
and for triggers.) The caller hands a result that is not None to `beside`, with a function for a failure. An exception
of a coroutine before its first wait is raised there. So it takes the same way as an exception of the callback itself. A
later exception goes to `failed`.

A protocol or factory may call a callback of its own on behalf of a transport; makeConnection calls connectionMade. It
cannot know the effect of a failure. So it starts the coroutine, and returns it as a Running, which the transport hands
to `beside`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from types import CoroutineType, GeneratorType
from typing import Any, Final, cast

from reactor._logger import Logger
from reactor.defer.chain import CancelledError, logFailure
from reactor.defer.combinators import DeferredList
from reactor.defer.coroutines import Driver
from reactor.defer.deferred import Deferred
from reactor.failure import Failure

CO_ITERABLE_COROUTINE = 0x100  # of types.coroutine, as in `inspect`

# The exact type first: asking the abstract class is slow.
_COROUTINES: Final = (CoroutineType, Coroutine)

# The errors of a callback whose Deferred was cancelled, for example because the connection has ended.
CANCELLED: Final = (CancelledError, "twisted.internet.defer.CancelledError")


class Running(Deferred[Any]):
    """A coroutine of a callback, started. If no code handles its failure, it is logged."""

    __slots__ = ()


def isCoroutine(result: object) -> bool:
    """Whether the `result` of a callback is a coroutine. TypeError for a generator, which no code would run.

    This closes a generator. A generator that `types.coroutine` has made is a coroutine.
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
    """Run a coroutine, now, up to its first wait. An exception before that is raised here.

    Return a Running as is, and None for any other result of a callback, for example a Deferred. TypeError for a
    generator.
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
    """Handle the `result` of a callback: run a coroutine beside the events that follow.

    The exceptions are those of `started`. A later failure of the coroutine goes to `failed`, or is logged without it.
    """
    running = started(result)
    if running is not None:
        running.addErrback(failed or _logged)


def _logged(failure: Failure) -> None:
    logFailure("Unhandled error in a coroutine that a callback has returned", failure)


def both(first: object, second: object) -> Running | None:
    """Return one Running for the results of two callbacks; it fails if either does."""
    own, other = started(first), started(second)
    if own is None or other is None:
        return own if other is None else other
    joined = Running()
    DeferredList([own, other], fireOnOneErrback=True, consumeErrors=True).addErrback(_first).chainDeferred(joined)
    return joined


def _first(failure: Failure) -> Failure:
    return failure.value.subFailure  # type: ignore[no-any-return, attr-defined]


def failTransport(protocol: Any, failure: Failure, log: Logger) -> None:
    """End the connection of `protocol`, a handler of which has failed without a caller to raise to.

    This works with any transport. It does nothing if the connection has ended and the handler was cancelled. If the
    transport is not of this package, the failure goes to `log`.
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
    """Refuse the `result` of `name` if it is a coroutine or a generator, which no code here can run: TypeError."""
    if isCoroutine(result):
        close = getattr(result, "close", None)
        if close is not None:
            close()
        raise TypeError(f"{name} has returned a coroutine, {_nameOf(result)}, and nothing waits for its result")


def _nameOf(thing: Any) -> str:
    return str(getattr(thing, "__qualname__", type(thing).__qualname__))
