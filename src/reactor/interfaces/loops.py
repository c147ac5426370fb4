"""Time, descriptors, threads: the general work of a loop. See the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from reactor.failure import Failure


@runtime_checkable
class IDelayedCall(Interface, Protocol):
    """A pending call."""

    def getTime(self) -> float:
        """Return the time at which it is due, on the scale of the reactor's seconds()."""

    def cancel(self) -> None:
        """Cancel the call. AlreadyCalled or AlreadyCancelled (both ValueErrors) if it is no longer pending."""

    def delay(self, secondsLater: float) -> None:
        """Make it due `secondsLater` seconds later than before (sooner if negative)."""

    def reset(self, secondsFromNow: float) -> None:
        """Make it due `secondsFromNow` seconds from now."""

    def active(self) -> bool:
        """Whether it is still pending."""


@runtime_checkable
class IFileDescriptor(Interface, Protocol):
    """Something with a file descriptor that the reactor can watch."""

    def fileno(self) -> int:
        """Return the descriptor, or -1 if it is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """The end: doRead or doWrite failed, or the reactor stops."""


@runtime_checkable
class IReadDescriptor(IFileDescriptor, Protocol):
    """A reader, for addReader."""

    def doRead(self) -> Any:
        """The descriptor may be readable: None to go on; an exception object ends it with connectionLost."""


@runtime_checkable
class IWriteDescriptor(IFileDescriptor, Protocol):
    """A writer, for addWriter."""

    def doWrite(self) -> Any:
        """The descriptor may be writable: None to go on; an exception object ends it with connectionLost."""


@runtime_checkable
class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor, Protocol):
    """A descriptor for both addReader and addWriter."""


@runtime_checkable
class IHalfCloseableDescriptor(IFileDescriptor, Protocol):
    """A descriptor whose halves may end separately."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Nothing more can be written."""

    def readConnectionLost(self, reason: Failure) -> None:
        """Nothing more will come."""


@runtime_checkable
class IClosable(Interface, Protocol):
    """A socket, or a raw file."""

    def close(self) -> None:
        """Close the descriptor."""


@runtime_checkable
class IFlushable(Interface, Protocol):
    """A transport with output to send before the loop sleeps."""

    def flush(self) -> None:
        """Send as much of the output as the kernel takes."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


@runtime_checkable
class IResolutionReceiver(Interface, Protocol):
    """Gets the addresses of a name from a resolver."""

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """The look-up has begun. The argument has its `name`, and `cancel()`."""

    def addressResolved(self, address: Any) -> None:
        """The name has `address`, an IPv4Address or IPv6Address. Best first."""

    def resolutionComplete(self) -> None:
        """There are no more addresses; there may have been none."""


@runtime_checkable
class IHostResolution(Interface, Protocol):
    """A look-up in progress."""

    name: str

    def cancel(self) -> None:
        """Cancel the look-up."""


@runtime_checkable
class IHostnameResolver(Interface, Protocol):
    """A replacement for the system's resolver, for installNameResolver. It gives every address of a name."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Give `resolutionReceiver` the addresses of `hostName`, each with `portNumber`; return the IHostResolution.

        `addressTypes` are the types of the wanted address objects (None: any). `transportSemantics` is "TCP" or "UDP".
        """


@runtime_checkable
class IResolverSimple(Interface, Protocol):
    """A replacement for the system's resolver, for installResolver."""

    def getHostByName(self, name: str, timeout: Any = ...) -> Any:
        """Return a Deferred of `name`'s IPv4 or IPv6 address as text, failing with DNSLookupError."""


IResolver = IResolverSimple  # Twisted's has more questions for name servers, which no code here asks


@runtime_checkable
class IReactorTime(Interface, Protocol):
    """Time and delayed calls. A task.Clock is one too."""

    def seconds(self) -> float:
        """Return the time in seconds; a reactor's are the seconds since 1970."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> IDelayedCall:
        """Call `callable(*args, **kw)` once, no sooner than `delay` >= 0 seconds from now; return its DelayedCall.

        Equal deadlines keep their order. A call with delay 0 made by another call runs on the next turn.
        """


@runtime_checkable
class IReactorCore(Interface, Protocol):
    """The loop itself."""

    @property
    def running(self) -> bool:
        """Whether the reactor has started and not yet stopped."""

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until stop(). ReactorAlreadyRunning if it runs already. It can run again afterwards."""

    def stop(self) -> None:
        """Leave run() in order. ReactorNotRunning if the reactor does not run.

        The shutdown triggers run first. Then the reactor closes every port and connection.
        """

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Call `callable` once in `phase` of the next `eventType`; return an ID.

        A phase is "before", "during" or "after", an event type "startup" or "shutdown".
        """

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call now if the reactor runs, else after startup; return a trigger ID in the second case."""


@runtime_checkable
class IReactorFromThreads(Interface, Protocol):
    """The only way for other threads to reach the reactor's thread."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread call `callable`, in order, on its next turn. For any thread and signal handler."""


@runtime_checkable
class IReactorInThreads(Interface, Protocol):
    """Work that blocks."""

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool call `callable`; an exception is logged."""


@runtime_checkable
class IReactorThreads(IReactorFromThreads, IReactorInThreads, Protocol):
    """Calls in threads and from threads, and the pool itself."""

    def getThreadPool(self) -> Executor:
        """Return the pool, made on first use."""

    def suggestThreadPoolSize(self, size: int) -> None:
        """Limit the pool to `size` threads."""


@runtime_checkable
class IReactorFDSet(Interface, Protocol):
    """Interest in file descriptors."""

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable, until removeReader."""

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable, until removeWriter."""

    def removeReader(self, reader: Any) -> None:
        """Undo addReader. It does nothing for a reader that was not added."""

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter. It does nothing for a writer that was not added."""

    def removeAll(self) -> list[Any]:
        """Remove, and return, the readers and writers that programs have added (not the reactor's own)."""

    def getReaders(self) -> list[Any]:
        """Return the readers."""

    def getWriters(self) -> list[Any]:
        """Return the writers."""
