"""Deferred, the typed face of the callback chain, and the functions that make one."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast, overload

from reactor.defer.chain import CallbackChain, CancelledError, logFailure, passthru
from reactor.defer.coroutines import Driver, isSteps
from reactor.failure import Failure

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future

T = TypeVar("T")
N = TypeVar("N")
P = ParamSpec("P")


class TimeoutError(Exception):
    """A Deferred's addTimeout ran out. Arguments: the seconds, and "Deferred"."""


class NotACoroutineError(TypeError):
    """Something that is neither a coroutine nor a generator was given as one."""


class Timed(Protocol):
    """What addTimeout needs of a reactor or Clock."""

    def callLater(self, delay: float, callable: Callable[..., Any], /) -> Any:
        """Call `callable` after `delay` seconds; return something with active() and cancel()."""


class Deferred(CallbackChain, Generic[T]):
    """A result that is not there yet, and the callbacks that will be called with it.

    Whoever makes it calls `callback(result)` or `errback(failure)`, once (AlreadyCalledError otherwise). The callbacks,
    or the errbacks if the result is a Failure, then run in the order in which they were added; each gets what the one
    before returned, a Failure if it raised (SystemExit and KeyboardInterrupt included). A callback that returns a
    Deferred makes the rest wait for that one's result, which is taken out of it: its own becomes None. What is added
    after the result has come runs at once, or, from inside one of the callbacks, when that one has returned.

    `canceller(deferred)` is called by cancel(), and may give a result. A failure that no errback has handled is logged
    when the Deferred is collected: one ERROR record with the traceback, logger `reactor.defer`. Not safe for threads.

    `called`: whether there is, or has been, a result. `result`: the present one; absent until called. `paused`: how
    many unpause() are to come. `debug` (see setDebugging): remember who made and who called it.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        # The engine's methods, with the type of the result.
        def callback(self, result: T | Failure) -> None: ...
        def chainDeferred(self, d: Deferred[T]) -> Deferred[None]: ...

    def addCallbacks(
        self,
        callback: Callable[..., Deferred[N] | N | Failure],
        errback: Callable[..., Deferred[N] | N | Failure] | None = None,
        callbackArgs: tuple[Any, ...] | None = (),
        callbackKeywords: Mapping[str, Any] | None = None,
        errbackArgs: tuple[Any, ...] | None = (),
        errbackKeywords: Mapping[str, Any] | None = None,
    ) -> Deferred[N]:
        """Add a pair, of which one is called: `callback(result, *args, **keywords)` or `errback(failure, ...)`.

        Without errback, failures pass by. What one of the pair raises is for the next pair, never for the other of the
        two. Returns self, as all add methods do.
        """
        self._callbacks.append(
            (
                callback,
                callbackArgs or (),
                callbackKeywords or {},
                errback or passthru,
                errbackArgs or (),
                errbackKeywords or {},
            )
        )
        if self.called:
            self._runCallbacks()
        return cast("Deferred[N]", self)

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Deferred[N]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[N]: ...

    @overload
    def addCallback(
        self, callback: Callable[Concatenate[T, P], Deferred[N] | N | Failure], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[N]: ...

    def addCallback(self, callback: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Add `callback(result, *args, **kwargs)` for success; a failure passes by."""
        self._callbacks.append((callback, args, kwargs, passthru, (), {}))
        if self.called:
            self._runCallbacks()
        return self

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Deferred[N]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T | N]: ...

    @overload
    def addErrback(
        self, errback: Callable[Concatenate[Failure, P], Failure], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[T]: ...

    @overload
    def addErrback(
        self,
        errback: Callable[Concatenate[Failure, P], Deferred[N] | N | Failure],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[T | N]: ...

    def addErrback(self, errback: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Add `errback(failure, *args, **kwargs)` for failure; a success passes by."""
        self._callbacks.append((passthru, (), {}, errback, args, kwargs))
        if self.called:
            self._runCallbacks()
        return self

    @overload
    def addBoth(
        self, callback: Callable[Concatenate[T | Failure, P], Deferred[N]], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[N]: ...

    @overload
    def addBoth(
        self,
        callback: Callable[Concatenate[T | Failure, P], Deferred[N] | N | Failure],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Deferred[N]: ...

    def addBoth(self, callback: Any, *args: Any, **kwargs: Any) -> Deferred[Any]:
        """Add `callback(resultOrFailure, *args, **kwargs)` for success and failure alike."""
        self._callbacks.append((callback, args, kwargs, callback, args, kwargs))
        if self.called:
            self._runCallbacks()
        return self

    def addTimeout(
        self, timeout: float, clock: Timed, onTimeoutCancel: Callable[[Any, float], Any] | None = None
    ) -> Deferred[Any]:
        """Cancel in `timeout` seconds of `clock` (a reactor or Clock) unless everything added so far has finished.

        If that happens, `onTimeoutCancel(resultOrFailure, timeout)` gives the result from there on; without it,
        CancelledError becomes TimeoutError and anything else stays. A canceller that raises is logged, and counts
        as one that gave no result.
        """
        timedOut = False

        def expire() -> None:
            nonlocal timedOut
            timedOut = True
            self._cancelForCertain()

        delayed = clock.callLater(timeout, expire)

        def translate(result: Any) -> Any:
            return (onTimeoutCancel or _cancelledToTimeout)(result, timeout) if timedOut else result

        def stop(result: Any) -> Any:
            if delayed.active():
                delayed.cancel()
            return result

        return self.addBoth(translate).addBoth(stop)

    def __iter__(self) -> Generator[Deferred[T], None, T]:
        while not self.called or self.paused:
            yield self
        if isinstance(self.result, Failure):
            if self._debugInfo is not None:
                self._debugInfo.failResult = None
            try:
                raise self.result.value.with_traceback(self.result.tb)
            finally:
                # The traceback refers to this frame, and this Deferred to the exception: a cycle otherwise.
                del self
        return cast(T, self.result)

    __await__ = __iter__

    def asFuture(self, loop: AbstractEventLoop) -> Future[T]:
        """Return a Future of `loop` that gets the result or exception; this Deferred goes on with None.

        Cancelling the Future cancels this.
        """
        future: Future[T] = loop.create_future()

        def succeeded(result: T) -> None:
            if not future.cancelled():
                future.set_result(result)

        def failed(failure: Failure) -> None:
            if not future.cancelled():
                future.set_exception(failure.value)

        def done(_: Future[T]) -> None:
            if future.cancelled():
                self.cancel()

        self.addCallbacks(succeeded, failed)
        future.add_done_callback(done)
        return future

    @classmethod
    def fromFuture(cls, future: Future[T]) -> Deferred[T]:
        """Return a Deferred with the result or exception of an asyncio Future (or Task). Cancelling it cancels that."""
        cancelled = object()

        def cancel(deferred: Deferred[Any]) -> None:
            future.cancel()
            deferred.callback(cancelled)

        outer: Deferred[Any] = cls(cancel)
        target = outer

        def awaitCancellation(result: Any) -> Any:
            # The Future, cancelled, will still call `done`; what it says then is the result.
            nonlocal target
            if result is not cancelled:
                return result
            target = Deferred()
            return target

        def done(_: Future[T]) -> None:
            try:
                result: T | Failure = future.result()
            except BaseException:
                result = Failure()
            target.callback(result)

        outer.addCallback(awaitCancellation)
        future.add_done_callback(done)
        return outer

    @classmethod
    def fromCoroutine(cls, coro: Coroutine[Any, Any, N] | Generator[Any, Any, N]) -> Deferred[N]:
        """Run a coroutine, now, up to its first wait; return a Deferred of what it returns or raises.

        It may await Deferreds. It runs in a copy of the present context (contextvars). Cancelling the Deferred cancels
        what the coroutine awaits. NotACoroutineError if `coro` is neither a coroutine nor a generator.
        """
        if not isSteps(coro):
            raise NotACoroutineError(f"{coro!r} is not a coroutine")
        deferred: Deferred[N] = Deferred()
        Driver(coro, deferred).start()
        return deferred


def _cancelledToTimeout(result: Any, timeout: float) -> Any:
    if isinstance(result, Failure):
        result.trap(CancelledError)
        raise TimeoutError(timeout, "Deferred")
    return result


def succeed(result: N) -> Deferred[N]:
    """Return a Deferred that has `result` already."""
    deferred: Deferred[N] = Deferred()
    deferred.called = True
    deferred.result = result
    return deferred


def fail(result: Failure | BaseException | None = None) -> Deferred[Any]:
    """Return a Deferred that has failed already, with what `errback(result)` makes of it."""
    deferred: Deferred[Any] = Deferred()
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, N], *args: P.args, **kwargs: P.kwargs) -> Deferred[N]:
    """Call now; return a Deferred that has what the call returned (whatever that is) or raised."""
    try:
        result = callable(*args, **kwargs)
    except BaseException:
        return fail()
    return succeed(result)


@overload
def maybeDeferred(f: Callable[P, Deferred[N]], *args: P.args, **kwargs: P.kwargs) -> Deferred[N]: ...


@overload
def maybeDeferred(f: Callable[P, Coroutine[Any, Any, N]], *args: P.args, **kwargs: P.kwargs) -> Deferred[N]: ...


@overload
def maybeDeferred(f: Callable[P, N], *args: P.args, **kwargs: P.kwargs) -> Deferred[N]: ...


def maybeDeferred(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
    """Call now; return the Deferred that the call returned, or one for its coroutine, Failure, exception or value."""
    try:
        result = f(*args, **kwargs)
    except BaseException:
        return fail(Failure(captureVars=Deferred.debug))
    if isinstance(result, Deferred):
        return result
    if isinstance(result, Failure):
        return fail(result)
    if type(result) is CoroutineType:
        return Deferred.fromCoroutine(result)
    return succeed(result)


def ensureDeferred(coro: Coroutine[Any, Any, N] | Generator[Any, Any, N] | Deferred[N]) -> Deferred[N]:
    """Return `coro` itself if it is a Deferred, else fromCoroutine(coro), with its NotACoroutineError."""
    if isinstance(coro, Deferred):
        return coro
    if not isSteps(coro):
        raise NotACoroutineError(f"{coro!r} is not a coroutine or a Deferred")
    return Deferred.fromCoroutine(coro)


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
