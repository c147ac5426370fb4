"""Time, descriptors, threads: what a loop does, whatever it is for. See the package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    from reactor.failure import Failure


@runtime_checkable
class IDelayedCall(Interface, Protocol):
    """A call to come."""

    def getTime(self) -> float:
        """Return when it is due, in the reactor's seconds(): less that, it is the time that is left."""

    def cancel(self) -> None:
        """Forget the call. AlreadyCalled or AlreadyCancelled (both ValueError) if there is nothing to forget."""

    def delay(self, secondsLater: float) -> None:
        """Move it `secondsLater` seconds later (sooner, if negative) than it was due."""

    def reset(self, secondsFromNow: float) -> None:
        """Make it due `secondsFromNow` seconds from now."""

    def active(self) -> bool:
        """Whether it is still to come."""


@runtime_checkable
class IFileDescriptor(Interface, Protocol):
    """Something with a file descriptor that the reactor can watch."""

    def fileno(self) -> int:
        """Return the descriptor, or -1 if it is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """It is over: doRead or doWrite failed, or the reactor stops."""


@runtime_checkable
class IReadDescriptor(IFileDescriptor, Protocol):
    """What addReader takes."""

    def doRead(self) -> Any:
        """The descriptor may be readable: None to go on; an exception object ends it with connectionLost."""


@runtime_checkable
class IWriteDescriptor(IFileDescriptor, Protocol):
    """What addWriter takes."""

    def doWrite(self) -> Any:
        """The descriptor may be writable: None to go on; an exception object ends it with connectionLost."""


@runtime_checkable
class IReadWriteDescriptor(IReadDescriptor, IWriteDescriptor, Protocol):
    """What both take."""


@runtime_checkable
class IHalfCloseableDescriptor(IFileDescriptor, Protocol):
    """A descriptor of which each half may end by itself."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Nothing more can be written."""

    def readConnectionLost(self, reason: Failure) -> None:
        """Nothing more will come."""


@runtime_checkable
class IClosable(Interface, Protocol):
    """A socket, or a raw file."""

    def close(self) -> None:
        """Give the descriptor back."""


@runtime_checkable
class IFlushable(Interface, Protocol):
    """A transport with output to send before the loop sleeps."""

    def flush(self) -> None:
        """Send what the kernel takes of what was written."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


@runtime_checkable
class IResolutionReceiver(Interface, Protocol):
    """Gets the addresses of a name from a resolver."""

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        """The look-up goes on: the argument has its `name`, and `cancel()`."""

    def addressResolved(self, address: Any) -> None:
        """The name has `address`, an IPv4Address or IPv6Address. Best first."""

    def resolutionComplete(self) -> None:
        """There are no more addresses, and maybe there was none."""


@runtime_checkable
class IHostResolution(Interface, Protocol):
    """A look-up that goes on."""

    name: str

    def cancel(self) -> None:
        """Give it up."""


@runtime_checkable
class IHostnameResolver(Interface, Protocol):
    """A replacement for the system's resolver, for installNameResolver: it tells of every address of a name."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Tell `resolutionReceiver` of the addresses of `hostName`, each with `portNumber`; return the IHostResolution.

        `addressTypes` (None: any) are those of the wanted address objects, `transportSemantics` "TCP" or "UDP".
        """


@runtime_checkable
class IResolverSimple(Interface, Protocol):
    """A replacement for the system's resolver, for installResolver."""

    def getHostByName(self, name: str, timeout: Any = ...) -> Any:
        """Return a Deferred of `name`'s IPv4 or IPv6 address as text, failing with DNSLookupError."""


IResolver = IResolverSimple  # Twisted's has questions for name servers besides, which nothing here asks


@runtime_checkable
class IReactorTime(Interface, Protocol):
    """Time and calls to come. A task.Clock is one too."""

    def seconds(self) -> float:
        """Return the time in seconds: since 1970, if it is a reactor's."""

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
        """Run until stop(). ReactorAlreadyRunning if it runs. It can run again afterwards."""

    def stop(self) -> None:
        """Leave run() in order: shutdown triggers, then every port and connection is closed. ReactorNotRunning if
        idle.
        """

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Call `callable` once in `phase` ("before", "during", "after") of the next `eventType` ("startup",
        "shutdown").
        """

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call now if running, else after startup (then a trigger ID is returned)."""


@runtime_checkable
class IReactorFromThreads(Interface, Protocol):
    """The one door into the reactor's thread."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread call `callable`, in order, on its next turn. Any thread, and signal handlers."""


@runtime_checkable
class IReactorInThreads(Interface, Protocol):
    """Work that blocks."""

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool call `callable`; what it raises is logged."""


@runtime_checkable
class IReactorThreads(IReactorFromThreads, IReactorInThreads, Protocol):
    """The same, the pool itself, and the way back."""

    def getThreadPool(self) -> Executor:
        """Return the pool, made on first use."""

    def suggestThreadPoolSize(self, size: int) -> None:
        """Have up to `size` threads in the pool."""


@runtime_checkable
class IReactorFDSet(Interface, Protocol):
    """Interest in file descriptors."""

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable, until removeReader."""

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable, until removeWriter."""

    def removeReader(self, reader: Any) -> None:
        """Undo addReader; nothing if it was not added."""

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter; nothing if it was not added."""

    def removeAll(self) -> list[Any]:
        """Forget, and return, everything that was added by a program (not the reactor's own)."""

    def getReaders(self) -> list[Any]:
        """Return what is watched for reading."""

    def getWriters(self) -> list[Any]:
        """Return what is watched for writing."""
