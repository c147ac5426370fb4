"""Blocking work: a pool of threads, and the look-up of host names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from reactor import _current
from reactor._arguments import checkCall, checkCount, checkHas
from reactor._beside import refused
from reactor._later import later
from reactor._logger import getLogger
from reactor.address import hostText, isIPAddress, isIPv6Address
from reactor.defer import Deferred, maybeDeferred, succeed
from reactor.failure import safeRepr
from reactor.interfaces import IHostnameResolver, IReactor, IReactorTime, IResolver
from reactor.loops.names import OfNameResolver, OfSimple, targetsOf
from reactor.loops.resolving import TIMEOUT, Targets, ThreadedResolver
from reactor.threads import submit

if TYPE_CHECKING:
    from concurrent import futures
    from concurrent.futures import Executor, ThreadPoolExecutor

    from reactor.loops import waiting
else:
    futures = later("concurrent.futures", globals())
    waiting = later("reactor.loops.waiting", globals())

log = getLogger("reactor")

THREAD_POOL_SIZE = 10


class ThreadServices:
    """The threads of a reactor. Every method is for the thread that runs the reactor."""

    _queue: waiting.WaitingWork | None = None  # the calls of a pool without threads

    def __init__(self) -> None:
        self._threadPool: ThreadPoolExecutor | None = None
        self._threadPoolSize = THREAD_POOL_SIZE
        self._ownResolver = ThreadedResolver(self)
        # One attribute for both: CPython 3.11 looks methods up slowly on an instance of more than 29 attributes.
        self._resolvers: tuple[IResolver, IHostnameResolver] = (self._ownResolver, self._ownResolver)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool make the call; an exception is logged.

        RuntimeError if the pool has no thread for it; the call is not made then.
        """
        checkCall(callable)
        submit(self.getThreadPool(), self._runInThread, callable, args, kwargs)

    def _runInThread(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            refused(call(*args, **kwargs), "callInThread's function")
        except BaseException:
            log.exception("unhandled error in callInThread of %s", safeRepr(call))

    def getThreadPool(self) -> Executor:
        """Return the pool of callInThread and deferToThread, made on first use; its threads inherit this reactor."""
        if not self._threadPoolSize:
            if self._queue is None:
                self._queue = waiting.WaitingWork()
            return self._queue
        if self._threadPool is None:
            self._threadPool = futures.ThreadPoolExecutor(
                self._threadPoolSize,
                thread_name_prefix="reactor",
                initializer=_current.adopt,
                initargs=(cast("IReactor", self),),
            )
        return self._threadPool

    def suggestThreadPoolSize(self, size: int) -> None:
        """Limit the pool to `size` threads. Present work goes on; new work has the new limit.

        With 0 new work waits for another size. ValueError for a negative size.
        """
        checkCount(size, "the size of a thread pool")
        if size < 0:
            raise ValueError(f"a thread pool has no less than no threads, not {size}")
        if size != self._threadPoolSize:
            self._threadPoolSize = size
            pool, self._threadPool = self._threadPool, None
            if pool is not None:
                pool.shutdown(wait=False)
            if size and self._queue is not None:
                self._queue.moveTo(self.getThreadPool())

    def _releaseThreads(self) -> None:
        """Let idle threads end. They still do the queued work, whose results wait for the next run."""
        pool, self._threadPool = self._threadPool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _forgetThreads(self) -> None:
        """In a forked child: drop the pool. The parent's threads are not here, and do the parent's work."""
        self._threadPool = None
        if self._queue is not None:
            self._queue.forget()
        self._ownResolver.forked()

    def resolve(self, name: str | bytes, timeout: Any = TIMEOUT) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, IPv4 if it has one. Never blocks.

        It fails with DNSLookupError, at the latest after the sum of `timeout`, in seconds. For a literal address the
        answer is that address. "" means every interface.
        """
        name = hostText(name)
        if not name or isIPAddress(name) or isIPv6Address(name):
            return succeed(name or "0.0.0.0")
        found: Deferred[str] = maybeDeferred(self._resolvers[0].getHostByName, name, timeout)
        return found

    def resolveAll(self, name: str | bytes, port: int) -> Deferred[Targets]:
        """Return a Deferred of every (address family, socket address) of `name`, best first. Never blocks."""
        if self.nameResolver is self._ownResolver:
            return self._ownResolver.getTargets(name, port)
        return targetsOf(self.nameResolver, name, port)

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The resolver that connectTCP, resolve and endpoints ask for the addresses of names."""
        return self._resolvers[1]

    def installResolver(self, resolver: IResolver) -> IResolver:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the earlier resolver."""
        checkHas(resolver, "getHostByName", "a resolver")
        before = self._resolvers[0]
        if isinstance(resolver, ThreadedResolver):
            self._resolvers = (resolver, resolver)
        else:
            other = resolver.nameResolver if isinstance(resolver, OfNameResolver) else OfSimple(resolver)
            self._resolvers = (resolver, other)
        return before

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Have `resolver.resolveHostName(receiver, name, ...)` answer for names; return the earlier one."""
        checkHas(resolver, "resolveHostName", "a resolver of host names")
        before = self._resolvers[1]
        if isinstance(resolver, ThreadedResolver):
            self._resolvers = (resolver, resolver)
        else:
            clock = cast("IReactorTime", self)
            other = resolver.simple if isinstance(resolver, OfSimple) else OfNameResolver(resolver, clock)
            self._resolvers = (other, resolver)
        return before
