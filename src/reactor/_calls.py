"""The package's functions for time, events, threads and descriptors: those of the current reactor. See the package."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, cast

from reactor._current import current
from reactor.defer import Deferred
from reactor.loops.base import ReactorBase

if TYPE_CHECKING:
    from reactor.interfaces import IHostnameResolver, IResolver
    from reactor.loops.triggers import Trigger
    from reactor.timers import DelayedCall


def currentBase() -> ReactorBase:
    """Return the current reactor, as what every reactor of this package is."""
    return cast("ReactorBase", current())


class Calls:
    """What CurrentReactor offers of time, events, threads and descriptors."""

    __slots__ = ()

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run the current reactor until stop(). See ReactorBase.run."""
        currentBase().run(installSignalHandlers)

    def stop(self) -> None:
        """Leave run() in order. ReactorNotRunning if it does not run or is stopping. See ReactorBase.stop."""
        currentBase().stop()

    def crash(self) -> None:
        """Leave run() after this turn, without triggers: ports and connections stay as they are for the next run."""
        currentBase().crash()

    def iterate(self, delay: float = 0) -> None:
        """Turn the loop once, sleeping no longer than `delay` seconds."""
        currentBase().iterate(delay)

    def seconds(self) -> float:
        """Return the time in seconds since 1970: it jumps when the wall clock is set. Any thread."""
        return currentBase().seconds()

    def monotonic(self) -> float:
        """Return the time in seconds that never jumps, and has no date: deadlines are kept in it. Any thread."""
        return currentBase().monotonic()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """Call `callable(*args, **kw)` once, `delay` >= 0 seconds from now or later. See ReactorBase.callLater."""
        return currentBase().callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the calls to come, in no order."""
        return currentBase().getDelayedCalls()

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Trigger | None:
        """Call now if the reactor runs (and return None), else after startup (and return a trigger ID)."""
        return currentBase().callWhenRunning(callable, *args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Trigger:
        """Call `callable` once in `phase` of the next `eventType`. See ReactorBase.addSystemEventTrigger."""
        return currentBase().addSystemEventTrigger(phase, eventType, callable, *args, **kwargs)

    def removeSystemEventTrigger(self, triggerID: Trigger) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""
        currentBase().removeSystemEventTrigger(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of `eventType`."""
        currentBase().fireSystemEvent(eventType)

    def addSignalHandler(self, number: int, callable: Callable[..., Any], *args: Any) -> None:
        """Have signal `number` call `callable(*args)` in the loop. See ReactorBase.addSignalHandler."""
        currentBase().addSignalHandler(number, callable, *args)

    def removeSignalHandler(self, number: int) -> bool:
        """Undo addSignalHandler; whether there was anything to undo."""
        return currentBase().removeSignalHandler(number)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread make the call, in order, on its next turn. Any thread, and signal handlers.

        From a thread that no reactor started, it reaches the default one.
        """
        currentBase().callFromThread(callable, *args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool make the call; what it raises is logged."""
        currentBase().callInThread(callable, *args, **kwargs)

    def getThreadPool(self) -> Executor:
        """Return the pool for callInThread and deferToThread, made on first use."""
        return currentBase().getThreadPool()

    def suggestThreadPoolSize(self, size: int) -> None:
        """Have up to `size` threads in the pool; with 0 new work waits until there is another size."""
        currentBase().suggestThreadPoolSize(size)

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable. See ReactorBase.addReader."""
        currentBase().addReader(reader)

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable. See ReactorBase.addReader."""
        currentBase().addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        """Undo addReader; nothing if it was not added."""
        currentBase().removeReader(reader)

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter; nothing if it was not added."""
        currentBase().removeWriter(writer)

    def removeAll(self) -> list[Any]:
        """Forget every reader and writer but the reactor's own, and return them."""
        return currentBase().removeAll()

    def getReaders(self) -> list[Any]:
        """Return what is watched for reading."""
        return currentBase().getReaders()

    def getWriters(self) -> list[Any]:
        """Return what is watched for writing."""
        return currentBase().getWriters()

    def resolve(self, name: str | bytes, timeout: Any = (1, 3, 11, 45)) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, failing with DNSLookupError. Never blocks."""
        return currentBase().resolve(name, timeout)

    def resolveAll(self, name: str | bytes, port: int) -> Deferred[list[tuple[int, Any]]]:
        """Return a Deferred of every (address family, socket address) of `name`, best first. Never blocks."""
        return currentBase().resolveAll(name, port)

    def installResolver(self, resolver: IResolver) -> Any:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the resolver from before."""
        return currentBase().installResolver(resolver)

    def installNameResolver(self, resolver: IHostnameResolver) -> Any:
        """Have `resolver.resolveHostName(receiver, name, ...)` answer for names; return the one from before."""
        return currentBase().installNameResolver(resolver)
