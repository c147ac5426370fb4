"""Work that blocks: a pool of threads, and the look-up of host names."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any, cast

from reactor import _current
from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import safeRepr
from reactor.interfaces import IReactor, IResolver
from reactor.loops.resolving import TIMEOUT, Targets, ThreadedResolver, lookUp, lookUpAll

log = getLogger("reactor")

THREAD_POOL_SIZE = 10


class ThreadServices:
    """The part of a reactor that has threads. Every method is for the thread that runs the reactor."""

    def __init__(self) -> None:
        self._threadPool: ThreadPoolExecutor | None = None
        self._threadPoolSize = THREAD_POOL_SIZE
        self._ownResolver = ThreadedResolver(self)
        self._resolver: IResolver | ThreadedResolver = self._ownResolver

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool make the call; what it raises is logged."""
        self.getThreadPool().submit(self._runInThread, callable, args, kwargs)

    def _runInThread(self, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            call(*args, **kwargs)
        except BaseException:
            log.exception("unhandled error in callInThread of %s", safeRepr(call))

    def getThreadPool(self) -> Executor:
        """Return the pool of callInThread and deferToThread, made on first use; its threads inherit this reactor."""
        if self._threadPool is None:
            self._threadPool = ThreadPoolExecutor(
                self._threadPoolSize,
                thread_name_prefix="reactor",
                initializer=_current.adopt,
                initargs=(cast("IReactor", self),),
            )
        return self._threadPool

    def suggestThreadPoolSize(self, size: int) -> None:
        """Have up to `size` threads in the pool. Work under way goes on; new work meets the new size."""
        if size < 1:
            raise ValueError(f"a thread pool has at least one thread, not {size}")
        if size != self._threadPoolSize:
            self._threadPoolSize = size
            pool, self._threadPool = self._threadPool, None
            if pool is not None:
                pool.shutdown(wait=False)

    def _releaseThreads(self) -> None:
        """Let idle threads end. Queued work is still done; its results wait for the next run."""
        pool, self._threadPool = self._threadPool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _forgetThreads(self) -> None:
        """In a forked child: its parent's threads are not here, and do the parent's work."""
        self._threadPool = None
        self._ownResolver.forked()

    def resolve(self, name: str, timeout: Any = TIMEOUT) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, IPv4 if it has one.

        It fails with DNSLookupError, at the latest after the sum of `timeout`, in seconds.
        """
        return lookUp(self._resolver, name, timeout)

    def resolveAll(self, name: str, port: int) -> Deferred[Targets]:
        """Return a Deferred of every (address family, socket address) of `name`, best first."""
        return lookUpAll(self._resolver, name, port)

    def installResolver(self, resolver: IResolver) -> IResolver | ThreadedResolver:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the resolver from before."""
        before, self._resolver = self._resolver, resolver
        return before
