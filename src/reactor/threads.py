"""From the reactor into threads, and back.

A Deferred made here fires in the thread of its reactor. Worker threads of a reactor's pool inherit it as the current
reactor.
"""

from __future__ import annotations

import errno
from _thread import start_new_thread
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import Executor, Future
from functools import update_wrapper
from queue import SimpleQueue
from threading import get_ident
from time import sleep
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from reactor import _current
from reactor._arguments import checkCall
from reactor._beside import refused
from reactor.defer import CancelledError, Deferred, fail, maybeDeferred
from reactor.failure import Failure

if TYPE_CHECKING:
    from reactor.interfaces import IReactorFromThreads

__all__ = ["blockingCallFromThread", "callMultipleInThread", "deferToThread", "deferToThreadPool"]

P = ParamSpec("P")
T = TypeVar("T")

WAKE_REST = 0.01

_NO_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM})


class _Work:
    """A call for an executor, which can be taken back as long as it has not begun.

    An executor may refuse a call that it has queued: ThreadPoolExecutor does, if no thread can be started. It would
    make the call later, and whoever was told of the refusal makes it again.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        update_wrapper(self, f, updated=())  # an executor may ask for its name
        del self.__wrapped__  # type: ignore[attr-defined]  # a call that is over, or taken back, keeps nothing alive
        self._f = [f]  # whoever takes it, thread or withdraw(), is the only one
        self.done: Future[Any] = Future()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            f = self._f.pop()
        except IndexError:
            return None
        try:
            result = f(*args, **kwargs)
        except BaseException as error:
            self.done.set_exception(error)
            del self, args, kwargs  # the error's traceback has this frame, and so would have itself
            raise
        self.done.set_result(result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        # For another process: the function itself, or what does nothing.
        return (_same, (self._f[0] if self._f else _nothing,))

    def withdraw(self) -> bool:
        """Have the call not made. False if it is too late for that."""
        try:
            self._f.pop()
        except IndexError:
            return False
        return True


def _same(f: Callable[..., Any]) -> Callable[..., Any]:
    return f


def _nothing(*args: Any, **kwargs: Any) -> None:
    pass


def submit(executor: Executor, f: Callable[..., T], *args: Any, **kwargs: Any) -> Future[T]:
    """As executor.submit; but a call that is refused, by whatever that raises, will not be made."""
    work = _Work(f)
    try:
        return executor.submit(work, *args, **kwargs)
    except BaseException:
        if work.withdraw():
            raise
        return work.done  # a thread was faster


def callWhenWoken(reactor: IReactorFromThreads, call: Callable[..., object], *args: Any) -> None:
    """reactor.callFromThread, from a thread that may wait: as long as there is no memory to wake the reactor."""
    while True:
        try:
            reactor.callFromThread(call, *args)
            return
        except MemoryError:
            pass
        except OSError as error:
            if error.errno not in _NO_MEMORY:
                raise
        sleep(WAKE_REST)


class _Birth:
    """What a thread is given to run. If the thread has died before it could, `stillborn` is called."""

    __slots__ = ("_run", "_stillborn", "begun")

    def __init__(self, run: Callable[[], None], stillborn: Callable[[], None]) -> None:
        self._run = run
        self._stillborn = stillborn
        self.begun = False

    def __call__(self) -> None:
        self.begun = True
        self._run()

    def __del__(self) -> None:
        if not self.begun:
            self._stillborn()


def startThread(run: Callable[[], None], stillborn: Callable[[], None]) -> None:
    """Have a thread of its own call `run()`, and do not wait for it. RuntimeError or MemoryError if there is none.

    threading.Thread.start() waits for the first step of the thread. One that has no memory for that step dies, and then
    the wait never ends, which a loop must not risk. Here such a thread calls `stillborn()`, its last act. Like a daemon
    the thread does not keep the program from ending; it is not among threading.enumerate().
    """
    birth = _Birth(run, stillborn)
    try:
        start_new_thread(birth, ())
    except BaseException:
        birth.begun = True  # what is raised tells it
        raise


def deferToThread(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call `f(*args, **kwargs)` in a thread of the current reactor's pool; return a Deferred of what it returns.

    For the reactor's thread. Failures and cancelling: see `deferToThreadPool`.
    """
    reactor = _current.current()
    return deferToThreadPool(reactor, reactor.getThreadPool(), f, *args, **kwargs)


def deferToThreadPool(
    reactor: IReactorFromThreads, threadpool: Executor, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """Call `f(*args, **kwargs)` in `threadpool`, any Executor; return a Deferred, fired in the thread of `reactor`.

    It fails with what `f` raises, or with what the pool raises that does not take the call, which is not made then.
    Cancelling it fails it at once with CancelledError; a call that has not begun then never begins, one that has goes
    on and its result is dropped. TypeError if `f` cannot be called.
    """
    checkCall(f)
    # The package itself may stand for the current reactor: that of this thread, not of the pool's.
    target = _current.current() if isinstance(reactor, ModuleType) else reactor
    try:
        future = submit(threadpool, f, *args, **kwargs)
    except Exception:
        return fail()
    home = get_ident()

    def cancel(_: Deferred[T]) -> None:
        future.cancel()

    deferred: Deferred[T] = Deferred(cancel)
    fire = _Answer(deferred)._fire  # now: in the thread there may be no memory for it

    def done(future: Future[T]) -> None:
        if get_ident() == home:
            try:
                target.callFromThread(fire, future)
            except OSError as error:
                if error.errno not in _NO_MEMORY:
                    raise
                fire(future)  # nobody need be woken here, and nobody else would tell
        else:
            callWhenWoken(target, fire, future)

    future.add_done_callback(done)
    return deferred


class _Answer:
    """Gives a Deferred what a thread has found."""

    __slots__ = ("_deferred",)

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, deferred: Deferred[Any]) -> None:
        self._deferred = deferred

    def _fire(self, future: Future[Any]) -> None:
        deferred = self._deferred
        if deferred.called:
            return  # cancelled meanwhile
        if future.cancelled():
            deferred.errback(CancelledError())
            return
        error = future.exception()
        if error is not None:
            deferred.errback(Failure(error))
        else:
            deferred.callback(future.result())


def callMultipleInThread(
    tupleList: Iterable[tuple[Callable[..., object], Iterable[Any], Mapping[str, Any]]],
) -> None:
    """Call the functions of (function, args, kwargs) tuples one after the other in one thread of the current reactor.

    What one raises is logged, and the rest are not called. TypeError, at once, for one that cannot be called.
    """
    calls = list(tupleList)
    for function, _args, _kwargs in calls:
        checkCall(function)
    _current.current().callInThread(_runMultiple, calls)


def _runMultiple(calls: list[tuple[Callable[..., object], Iterable[Any], Mapping[str, Any]]]) -> None:
    for function, args, kwargs in calls:
        refused(function(*args, **kwargs), "callMultipleInThread's function")


@overload
def blockingCallFromThread(
    reactor: IReactorFromThreads, f: Callable[P, Deferred[T] | Coroutine[Any, Any, T]], *a: P.args, **kw: P.kwargs
) -> T: ...


@overload
def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[P, T], *a: P.args, **kw: P.kwargs) -> T: ...


def blockingCallFromThread(reactor: IReactorFromThreads, f: Callable[..., Any], *a: Any, **kw: Any) -> Any:
    """Call `f(*a, **kw)` in the thread of `reactor`, wait, and return the result, of a Deferred or coroutine too.

    Raises what it raised. For any thread but the reactor's, which would wait for itself: RuntimeError there, while the
    reactor runs. Waits for as long as it takes, and for ever if the reactor stops and does not run again.
    """
    checkCall(f)
    target: Any = _current.current() if isinstance(reactor, ModuleType) else reactor
    if _current.runsHere(target):
        raise RuntimeError("blockingCallFromThread in the reactor's own thread would wait for ever: call it in another")
    results: SimpleQueue[Any] = SimpleQueue()

    def call() -> None:
        maybeDeferred(f, *a, **kw).addBoth(results.put)

    reactor.callFromThread(call)
    result = results.get()
    if isinstance(result, Failure):
        result.raiseException()
    return result
