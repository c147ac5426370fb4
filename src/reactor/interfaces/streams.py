"""Transports of streams, and producers and consumers. See the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, overload, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    import ssl

    from reactor.failure import Failure
    from reactor.interfaces.protocols import IConnector

BytesLike: TypeAlias = bytes | bytearray | memoryview

# Types of the system's calls: paths and arguments, and the environment of a program.
Text: TypeAlias = str | bytes
Environment: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes]
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


@runtime_checkable
class IAddress(Interface, Protocol):
    """An address of any family. It has no members, so a class must be declared to provide it."""


@runtime_checkable
class ILoggingContext(Interface, Protocol):
    """An object with a name for log messages."""

    def logPrefix(self) -> str:
        """Return the name."""


@runtime_checkable
class ISystemHandle(Interface, Protocol):
    """An object around a handle of the system."""

    def getHandle(self) -> Any:
        """Return the handle: for a connection, its socket."""


@runtime_checkable
class IProducer(Interface, Protocol):
    """An object that writes to a consumer."""

    def stopProducing(self) -> None:
        """The consumer takes no more: stop writing. Called at most once."""


@runtime_checkable
class IPullProducer(IProducer, Protocol):
    """A producer that writes only when asked."""

    def resumeProducing(self) -> None:
        """Write one more piece. Called once at registration, then each time all output has been sent."""


@runtime_checkable
class IPushProducer(IPullProducer, Protocol):
    """A producer that writes at its own pace until it is paused."""

    def pauseProducing(self) -> None:
        """Write no more until resumeProducing. Called when more than the high-water mark waits to be sent."""


@runtime_checkable
class IConsumer(Interface, Protocol):
    """An object to which a producer writes."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach `producer`, an IPushProducer if `streaming`, else an IPullProducer. RuntimeError if there is one."""

    def unregisterProducer(self) -> None:
        """Detach the producer; it has written its last."""

    def write(self, data: BytesLike) -> None:
        """Take `data`, bytes to send in order."""


@runtime_checkable
class ITransport(Interface, Protocol):
    """The connection to the peer: the methods that every protocol has."""

    def write(self, data: BytesLike) -> None:
        """Send `data` behind all earlier output. It never blocks. After the end of the connection it drops `data`."""

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Send the pieces of `iovec` in order, as one write."""

    def loseConnection(self) -> None:
        """Stop reading, send all output, then close."""

    def getPeer(self) -> Any:
        """Return the address of the other side."""

    def getHost(self) -> Any:
        """Return the address of this side."""


@runtime_checkable
class IStreamTransport(ITransport, IConsumer, Protocol):
    """The methods of every connection of this package, whatever its socket's family."""

    disconnected: bool
    disconnecting: bool

    @property
    def connected(self) -> bool:
        """Whether the connection has not ended: the opposite of `disconnected`."""

    def abortConnection(self) -> None:
        """Close at once and drop unsent output; connectionLost(ConnectionAborted) follows on the next turn."""

    def loseWriteConnection(self) -> None:
        """Send all output, then end our half of the stream; the peer can go on."""

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing: no dataReceived comes, and the kernel holds the peer up."""

    def resumeProducing(self) -> None:
        """Read again."""

    def stopProducing(self) -> None:
        """Call loseConnection(), under the name that a producer has."""


@runtime_checkable
class ITCPTransport(IStreamTransport, Protocol):
    """A TCP connection."""

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY."""

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE."""


@runtime_checkable
class ITLSTransport(IStreamTransport, Protocol):
    """A connection that can go on with TLS."""

    def startTLS(self, contextFactory: Any = None, normal: bool = True, hostname: str | None = None) -> None:
        """Go on with TLS. From now on `protocol.transport` is another object, an ISSLTransport."""


@runtime_checkable
class INegotiated(Interface, Protocol):
    """A connection that may have agreed on a protocol by ALPN."""

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN has agreed on, or None."""


@runtime_checkable
class ISSLTransport(IStreamTransport, INegotiated, Protocol):
    """A TLS connection."""

    @overload
    def getPeerCertificate(self, parsed: Literal[False] = False) -> bytes | None: ...
    @overload
    def getPeerCertificate(self, parsed: Literal[True]) -> dict[str, Any] | None: ...
    def getPeerCertificate(self, parsed: bool = False) -> bytes | dict[str, Any] | None:
        """Return the peer's certificate: None, or DER bytes, or, with `parsed`, a dict as of ssl."""


@runtime_checkable
class ILowerTransport(IStreamTransport, Protocol):
    """The methods that TLS needs of the transport below it."""

    bufferSize: int

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be sent."""

    def setOutputLimits(self, highWater: int, outputLimit: int) -> None:
        """Set the limits in bytes above which the producer is paused and the connection ends."""

    def flush(self) -> None:
        """Send as much of the waiting output as the peer takes."""

    def writeNow(self, data: bytes) -> None:
        """Write `data`, and send at once as much as the peer takes."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


@runtime_checkable
class IContextFactory(Interface, Protocol):
    """An object that gives the ssl.SSLContext of a new TLS connection."""

    def getContext(self) -> ssl.SSLContext:
        """Return the context. Called for each connection, in the reactor's thread."""


@runtime_checkable
class IUNIXTransport(IStreamTransport, Protocol):
    """A connection over a UNIX socket."""

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a duplicate of `descriptor` with a byte of output. Each descriptor needs at least one byte."""

    def getPeerCredentials(self) -> tuple[int, int, int]:
        """Return the process, user and group of the other side, as the kernel noted them."""


@runtime_checkable
class IAnyTransport(ITCPTransport, ITLSTransport, ISSLTransport, IUNIXTransport, Protocol):
    """The type of a protocol's `self.transport`: all methods that a connection of this package may have.

    TCP, TLS and UNIX sockets each have a part of it: see ITCPTransport, ISSLTransport and IUNIXTransport. So no object
    provides it at run time, and a protocol for one of them needs no cast. `connector`, a Connector, and `hostname`, its
    host, belong to a client's connection. `TLS` says whether it is one of TLS. `proxyHeader` is the ProxyHeader of
    reactor.haproxy with which it has begun, or None.
    """

    TLS: bool
    bufferSize: int
    connector: IConnector
    highWater: int
    hostname: str
    outputLimit: int
    producer: Any
    protocol: Any
    proxyHeader: Any
    reactor: Any
    streamingProducer: bool

    @property
    def unsent(self) -> int:
        """The number of bytes that wait to be sent."""

    def setOutputLimits(self, highWater: int = ..., outputLimit: int = ...) -> None:
        """Set the limits in bytes above which the producer is paused and the connection ends."""

    def stopConsuming(self) -> None:
        """Detach the producer and close in order."""

    def startReading(self) -> None:
        """Call resumeProducing(), whatever the state."""

    def stopReading(self) -> None:
        """Call pauseProducing()."""

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""

    def getHandle(self) -> Any:
        """Return the socket, which still belongs to the transport."""

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""

    def getCipher(self) -> tuple[str, str, int] | None:
        """Return the cipher suite, the version of TLS that defines it, and the number of secret bits."""

    def getTLSVersion(self) -> str | None:
        """Return "TLSv1.3" or "TLSv1.2"; None before the handshake."""
