"""threads: on a small fake reactor, and on the real one."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import pickle
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import pytest

import reactor
from reactor import _current, defer, task, threads
from reactor.loops.epoll import EpollReactor
from tests.support.worlds import turnUntil

DEADLINE = 10.0


class FakeReactor:
    """A queue for calls from threads, run by the test, and a pool."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = SimpleQueue()
        self.pool = ThreadPoolExecutor(2, initializer=_current.adopt, initargs=(self,))  # type: ignore[arg-type]
        self.inThread: list[Any] = []

    def callFromThread(self, f: Callable[..., object], *args: Any) -> None:
        self.queue.put((f, args))

    def getThreadPool(self) -> Executor:
        return self.pool

    def callInThread(self, f: Callable[..., object], *args: Any) -> None:
        self.inThread.append(self.pool.submit(f, *args))

    def turn(self) -> None:
        """Run the next call from a thread, which comes within the deadline."""
        f, args = self.queue.get(timeout=DEADLINE)
        f(*args)


@pytest.fixture
def fake() -> Iterator[Any]:
    fake = FakeReactor()
    with _current.running(fake):  # type: ignore[arg-type]
        yield fake
    fake.pool.shutdown()


def outcome(deferred: Any) -> list[Any]:
    got: list[Any] = []
    deferred.addBoth(got.append)
    return got


def test_deferToThreadGivesTheResultInTheReactorsThread(fake: FakeReactor) -> None:
    seen: list[Any] = []

    def work(a: int, b: int) -> int:
        seen.append((threading.current_thread(), _current.current()))
        return a + b

    got: list[Any] = []
    threads.deferToThread(work, 1, b=2).addCallback(lambda result: got.append((result, threading.current_thread())))
    fake.turn()
    assert got == [(3, threading.current_thread())]
    assert seen[0][0] is not threading.current_thread()
    assert seen[0][1] is fake


@pytest.mark.parametrize("kind", [KeyError, SystemExit, KeyboardInterrupt])
def test_deferToThreadGivesTheFailureWithItsTraceback(fake: FakeReactor, kind: type[BaseException]) -> None:
    def work() -> None:
        raise kind("x")

    got = outcome(threads.deferToThread(work))
    fake.turn()
    assert got[0].type is kind
    assert traceback.extract_tb(got[0].getTracebackObject())[-1].name == "work"


def test_nothingFiresBeforeTheReactorsTurn(fake: FakeReactor) -> None:
    done = threading.Event()
    got = outcome(threads.deferToThread(done.set))
    assert done.wait(DEADLINE)
    assert got == []
    fake.turn()
    assert got == [None]


def test_deferToThreadPoolTakesAnyExecutor(fake: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        got = outcome(threads.deferToThreadPool(fake, pool, "a {b}".format, b="c"))
        fake.turn()
    assert got == ["a c"]
    # Forked, as the other ways to start processes leave a helper of theirs behind.
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as processes:
        got = outcome(threads.deferToThreadPool(fake, processes, divmod, 7, 2))
        fake.turn()
        failed = outcome(threads.deferToThreadPool(fake, processes, divmod, 7, 0))
        fake.turn()
    assert got == [(3, 1)]
    assert failed[0].type is ZeroDivisionError


def test_thePackageStandsForTheReactorOfTheCallingThread(fake: FakeReactor) -> None:
    with ThreadPoolExecutor(1) as pool:
        got = outcome(threads.deferToThreadPool(reactor, pool, divmod, 7, 2))
        fake.turn()
    assert got == [(3, 1)]


def test_aPoolThatTakesNoMoreFailsTheDeferred(fake: Any) -> None:
    # In Twisted such a Deferred never fires.
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    got = outcome(threads.deferToThreadPool(fake, pool, print))
    assert got[0].type is RuntimeError


def test_cancelledBeforeItBegins(fake: Any) -> None:
    release, ran = threading.Event(), list[int]()
    with ThreadPoolExecutor(1) as pool:
        first = outcome(threads.deferToThreadPool(fake, pool, release.wait, DEADLINE))
        second = threads.deferToThreadPool(fake, pool, ran.append, 1)
        got = outcome(second)
        second.cancel()
        assert got[0].type is defer.CancelledError
        release.set()
    fake.turn()
    fake.turn()
    assert first == [True]
    assert ran == []
    assert len(got) == 1


def test_cancelledWhileItRuns(fake: Any) -> None:
    begun, release, ended = threading.Event(), threading.Event(), list[int]()

    def work() -> None:
        begun.set()
        release.wait(DEADLINE)
        ended.append(1)

    deferred = threads.deferToThread(work)
    got = outcome(deferred)
    assert begun.wait(DEADLINE)
    deferred.cancel()
    assert got[0].type is defer.CancelledError
    release.set()
    fake.turn()
    assert ended == [1]
    assert len(got) == 1


def test_workThatThePoolCancelsFails(fake: Any) -> None:
    # As when a pool is shut down with cancel_futures.
    release = threading.Event()
    pool = ThreadPoolExecutor(1)
    first = threads.deferToThreadPool(fake, pool, release.wait, DEADLINE)
    got = outcome(threads.deferToThreadPool(fake, pool, print))
    pool.shutdown(wait=False, cancel_futures=True)
    release.set()
    pool.shutdown()
    fake.turn()
    fake.turn()
    assert outcome(first) == [True]
    assert got[0].type is defer.CancelledError


def test_callMultipleInThread(fake: FakeReactor) -> None:
    seen: list[Any] = []

    def note(*args: object, **kwargs: object) -> None:
        seen.append((threading.current_thread().name, args, kwargs))
        if args == ("fail",):
            raise KeyError

    threads.callMultipleInThread(iter([(note, [1, 2], {}), (note, (), {"a": 3})]))
    threads.callMultipleInThread([(note, ["fail"], {}), (note, ["never"], {})])
    assert fake.inThread[0].result(DEADLINE) is None
    assert isinstance(fake.inThread[1].exception(DEADLINE), KeyError)
    (name, *first), (otherName, *second), third = seen
    assert (first, second) == ([(1, 2), {}], [(), {"a": 3}])
    assert name == otherName != threading.current_thread().name
    assert third[1:] == (("fail",), {})


async def coroutine(value: object) -> object:
    return await defer.succeed(value)


def failing() -> Any:
    return defer.fail(KeyError("x"))


@pytest.mark.parametrize("f", [lambda a: a, defer.succeed, coroutine])
def test_blockingCallFromThreadWaitsForTheResult(fake: Any, f: Callable[..., Any]) -> None:
    future = fake.pool.submit(threads.blockingCallFromThread, fake, f, "result")
    fake.turn()
    assert future.result(DEADLINE) == "result"


def test_blockingCallFromThreadWaitsForALateResult(fake: Any) -> None:
    late = defer.Deferred[str]()
    future = fake.pool.submit(threads.blockingCallFromThread, fake, lambda: late)
    fake.turn()
    assert not future.done()
    late.callback("late")
    assert future.result(DEADLINE) == "late"


@pytest.mark.parametrize("f", [lambda: {}["x"], failing])  # type: ignore[index]
def test_blockingCallFromThreadRaises(fake: Any, f: Callable[..., Any]) -> None:
    future = fake.pool.submit(threads.blockingCallFromThread, fake, f)
    fake.turn()
    assert isinstance(future.exception(DEADLINE), KeyError)


class Refusing(Executor):
    """Queues a call, and then raises, as ThreadPoolExecutor does if no thread can be started."""

    def __init__(self, isFaster: bool) -> None:
        self.isFaster, self.queue = isFaster, list[Any]()

    def submit(self, f: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.queue.append(lambda: f(*args, **kwargs))
        if self.isFaster:
            with contextlib.suppress(KeyError):
                self.queue[-1]()
        raise RuntimeError("can't start new thread")


def fails() -> None:
    raise KeyError


def test_aRefusedCallIsNotMadeLater(fake: Any) -> None:
    pool, done = Refusing(False), list[int]()
    got = outcome(threads.deferToThreadPool(fake, pool, done.append, 1))
    assert got[0].type is RuntimeError
    assert pool.queue[0]() is None
    assert done == []


def test_aThreadThatWasFasterThanTheRefusal(fake: Any) -> None:
    """The call has been made, so it has its result."""
    pool = Refusing(True)
    got = [outcome(threads.deferToThreadPool(fake, pool, f)) for f in (lambda: "result", fails)]
    fake.turn()
    fake.turn()
    assert got[0] == ["result"]
    assert got[1][0].type is KeyError


def test_aRefusedCallForAnotherProcess() -> None:
    """A call that was taken back does nothing where it is unpickled; another is the function."""
    work = threads._Work(divmod)
    assert pickle.loads(pickle.dumps(work)) is divmod
    assert work.withdraw()
    assert not work.withdraw()
    assert pickle.loads(pickle.dumps(work))(7, 2) is None


# On the real reactor


def runUntil(loop: EpollReactor, deferred: defer.Deferred[Any]) -> list[Any]:
    """Run `loop` until `deferred` fires, or the deadline."""
    deferred.addTimeout(DEADLINE, loop)
    got: list[Any] = []

    def done(result: Any) -> None:
        got.append(result)
        loop.stop()

    loop.callWhenRunning(lambda: deferred.addBoth(done))
    loop.run(installSignalHandlers=False)
    return got


def test_onTheRealReactor() -> None:
    loop = EpollReactor()
    reactorThread = threading.current_thread()
    seen: list[Any] = []

    def inReactor(value: int) -> defer.Deferred[int]:
        seen.append(threading.current_thread() is reactorThread)
        return task.deferLater(loop, 0.01, lambda: value + 1)

    def inWorker(value: int) -> int:
        seen.append((threading.current_thread() is reactorThread, _current.current() is loop))
        return threads.blockingCallFromThread(loop, inReactor, value) * 10

    async def dialogue() -> list[int]:
        each = [threads.deferToThread(inWorker, i) for i in range(5)]
        return [await deferred for deferred in each]

    def start() -> defer.Deferred[list[int]]:
        return defer.ensureDeferred(dialogue())

    begun: defer.Deferred[None] = defer.Deferred()
    loop.callWhenRunning(begun.callback, None)
    assert runUntil(loop, begun.addCallback(lambda _: start())) == [[10, 20, 30, 40, 50]]
    assert seen.count(True) == 5
    assert seen.count((False, True)) == 5


def test_callMultipleInThreadOnTheRealReactor() -> None:
    loop = EpollReactor()
    ended: defer.Deferred[list[int]] = defer.Deferred()
    got: list[int] = []

    def end() -> None:
        loop.callFromThread(ended.callback, got)

    loop.callWhenRunning(threads.callMultipleInThread, [(got.append, [1], {}), (got.append, [2], {}), (end, [], {})])
    assert runUntil(loop, ended) == [[1, 2]]


def test_anExecutorSeesTheFunctionsName() -> None:
    """As with Twisted, whose pools get the function itself; and a call that failed keeps nothing alive."""
    loop, seen, results = EpollReactor(), list[str](), list[Any]()

    class Job:
        pass

    jobs = list[Any]()

    def failing() -> None:
        job = Job()
        jobs.append(weakref.ref(job))
        raise ZeroDivisionError

    class Named(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            seen.append(fn.__name__)
            return super().submit(fn, *args, **kwargs)

    gc.disable()
    try:
        with Named(1) as pool:
            threads.deferToThreadPool(loop, pool, len, "abc").addCallback(results.append)
            threads.deferToThreadPool(loop, pool, failing).addErrback(lambda _: results.append("failed"))
            turnUntil(loop, lambda: len(results) == 2)
            turnUntil(loop, lambda: jobs[0]() is None)
    finally:
        gc.enable()
        loop.close()
    assert seen == ["len", "failing"]
    assert results == [3, "failed"]
