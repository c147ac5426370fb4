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
    """The time of a Deferred's addTimeout ran out. The arguments are the seconds, and "Deferred"."""


class NotACoroutineError(TypeError):
    """An argument that should be a coroutine or a generator is neither."""


class Timed(Protocol):
    """The method of a reactor or Clock that addTimeout needs."""

    def callLater(self, delay: float, callable: Callable[..., Any], /) -> Any:
        """Call `callable` after `delay` seconds; return something with active() and cancel()."""


class Deferred(CallbackChain, Generic[T]):
    """A result that is not there yet, and the callbacks that will be called with it.

    The code that makes it calls `callback(result)` or `errback(failure)`, once (AlreadyCalledError otherwise). The
    callbacks then run in the order in which they were added, or the errbacks if the result is a Failure. Each gets the
    result of the last one, or a Failure if that raised (SystemExit and KeyboardInterrupt included). If a callback
    returns a Deferred, the rest wait for its result. They take the result over, and that Deferred's own becomes None. A
    callback that is added after the result has come runs at once. If it is added inside a callback, it runs when that
    one has returned.

    cancel() calls `canceller(deferred)`, which may give a result. A failure that no errback has handled is logged when
    the Deferred is collected: one ERROR record with the traceback, logger `reactor.defer`. A Deferred is not safe for
    threads.

    - `called`: whether there is, or has been, a result.
    - `result`: the present result; absent until called.
    - `paused`: the number of unpause() calls that are missing.
    - `debug` (see setDebugging): whether to remember the stacks of its creation and its first call.
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

        Without an errback, failures pass by. An exception of one of the pair goes to the next pair, never to the other
        of the two. Return self, as all add methods do.
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
        """Cancel after `timeout` seconds of `clock` (a reactor or Clock) unless everything added so far has finished.

        After a timeout, `onTimeoutCancel(resultOrFailure, timeout)` gives the result from there on. Without it,
        CancelledError becomes TimeoutError, and any other result stays. If the canceller raises, the exception is
        logged, and the canceller counts as one that gave no result.
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
                # The traceback refers to this frame, and this Deferred to the exception. Without the del this is a
                # cycle.
                del self
        return cast(T, self.result)

    __await__ = __iter__

    def asFuture(self, loop: AbstractEventLoop) -> Future[T]:
        """Return a Future of `loop` that gets the result or exception; this Deferred goes on with None.

        Cancelling the Future cancels this Deferred.
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
        """Return a Deferred of the result of an asyncio Future (or Task). Cancelling it cancels the Future."""
        cancelled = object()

        def cancel(deferred: Deferred[Any]) -> None:
            future.cancel()
            deferred.callback(cancelled)

        outer: Deferred[Any] = cls(cancel)
        target = outer

        def awaitCancellation(result: Any) -> Any:
            # The cancelled Future will still call `done`. Its outcome then is the result.
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
        """Run a coroutine, now, up to its first wait; return a Deferred of its result.

        The coroutine may await Deferreds. It runs in a copy of the present context (contextvars). Cancelling the
        Deferred cancels the Deferred that the coroutine awaits. NotACoroutineError if `coro` is neither a coroutine nor
        a generator.
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
    """Return a Deferred that has failed already, as by `errback(result)`."""
    deferred: Deferred[Any] = Deferred()
    deferred.errback(result)
    return deferred


def execute(callable: Callable[P, N], *args: P.args, **kwargs: P.kwargs) -> Deferred[N]:
    """Call now; return a Deferred that has the call's result or exception. A result is never unwrapped."""
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
