"""Calls from the reactor into threads, and back.

A Deferred made here fires in the thread of its reactor. In a worker thread of a reactor's pool, that reactor is the
current one.
"""

from __future__ import annotations

import errno
from _thread import start_new_thread
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import update_wrapper
from queue import SimpleQueue
from threading import get_ident
from time import sleep
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from reactor import _current
from reactor._arguments import checkCall
from reactor._beside import refused
from reactor._later import later
from reactor.defer import CancelledError, Deferred, fail, maybeDeferred
from reactor.failure import Failure

if TYPE_CHECKING:
    from concurrent import futures
    from concurrent.futures import Executor, Future

    from reactor.interfaces import IReactorFromThreads
else:
    futures = later("concurrent.futures", globals())

__all__ = ["blockingCallFromThread", "callMultipleInThread", "deferToThread", "deferToThreadPool"]

P = ParamSpec("P")
T = TypeVar("T")

WAKE_REST = 0.01

_NO_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM})


class _Work:
    """A call for an executor, which can be taken back until it begins.

    An executor may refuse a call that it has queued. ThreadPoolExecutor does so if it cannot start a thread. It would
    make the call later, although the caller saw a refusal and may make the call again.
    """

    def __init__(self, f: Callable[..., Any]) -> None:
        update_wrapper(self, f, updated=())  # an executor may read its name
        del self.__wrapped__  # type: ignore[attr-defined]  # a call that is over, or taken back, keeps nothing alive
        self._f = [f]  # only one of the thread and withdraw() gets the item
        # A call that is over lets go of it. The error's traceback may hold the call, and that would be a cycle.
        self._done: list[Future[Any]] = [futures.Future()]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            f = self._f.pop()
        except IndexError:
            return None
        try:
            result = f(*args, **kwargs)
        except BaseException as error:
            self._done.pop().set_exception(error)
            del self, args, kwargs  # the error's traceback holds this frame: without the del this is a cycle
            raise
        self._done.pop().set_result(result)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        # For another process: the function itself, or one that does nothing.
        return (_same, (self._f[0] if self._f else _nothing,))

    def withdraw(self) -> bool:
        """Prevent the call. Return False if it has begun."""
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
    """Call executor.submit, and make sure that a refused call is never made."""
    work = _Work(f)
    (done,) = work._done
    try:
        return executor.submit(work, *args, **kwargs)
    except BaseException:
        if work.withdraw():
            raise
        return done  # a thread was faster


def callWhenWoken(reactor: IReactorFromThreads, call: Callable[..., object], *args: Any) -> None:
    """Call reactor.callFromThread from a thread that may wait, until there is memory to wake the reactor."""
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
    """The function that a new thread runs. If the thread dies before its first step, `stillborn` is called."""

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
    """Have a new thread call `run()`, and do not wait for it. RuntimeError or MemoryError if there is none.

    threading.Thread.start() waits for the first step of the thread. If the thread has no memory for that step, it dies,
    and the wait never ends. A loop must not risk that. Here such a thread calls `stillborn()` before it dies. Like a
    daemon, the thread does not keep the program from ending. threading.enumerate() does not list it.
    """
    birth = _Birth(run, stillborn)
    try:
        start_new_thread(birth, ())
    except BaseException:
        birth.begun = True  # the exception says so
        raise


def deferToThread(f: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Call `f(*args, **kwargs)` in a thread of the current reactor's pool; return a Deferred of its result.

    Only the reactor's thread may call this. Failures and cancelling: see `deferToThreadPool`.
    """
    reactor = _current.current()
    return deferToThreadPool(reactor, reactor.getThreadPool(), f, *args, **kwargs)


def deferToThreadPool(
    reactor: IReactorFromThreads, threadpool: Executor, f: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> Deferred[T]:
    """Call `f(*args, **kwargs)` in `threadpool`, any Executor; return a Deferred of its result.

    The Deferred fires in the thread of `reactor`. It fails with an exception of `f`. If the pool refuses the call, it
    fails with the pool's exception, and the call is not made. Cancelling it fails it at once with CancelledError. A
    call that has not begun then never begins. A call that has begun goes on, and its result is dropped. TypeError if
    `f` cannot be called.
    """
    checkCall(f)
    # If the package itself is given, it means the current reactor of this thread, not of the pool's thread.
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
                fire(future)  # no loop needs a wake-up here, and no other code would report it
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
            return  # the Deferred was cancelled meanwhile
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
    """Call the functions of (function, args, kwargs) tuples, one after the other, in one thread of the pool.

    The pool is the current reactor's. If one raises, the exception is logged, and the rest are not called. TypeError,
    at once, if one cannot be called.
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

    An exception of the call is raised here. In the reactor's own thread, which would wait for itself, it is a
    RuntimeError while the reactor runs. The wait has no limit: it never ends if the reactor stops and does not run
    again.
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
