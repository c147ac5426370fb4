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

# What the system's calls take as paths and arguments, and the environment of a program.
Text: TypeAlias = str | bytes
Environment: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes]
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


@runtime_checkable
class IAddress(Interface, Protocol):
    """An address, of whatever family. It has no members: what is one is declared to be."""


@runtime_checkable
class ILoggingContext(Interface, Protocol):
    """Somebody with a name for log messages."""

    def logPrefix(self) -> str:
        """Return the name."""


@runtime_checkable
class ISystemHandle(Interface, Protocol):
    """Somebody around something of the system's."""

    def getHandle(self) -> Any:
        """Return it: a socket, for a connection."""


@runtime_checkable
class IProducer(Interface, Protocol):
    """Somebody who writes to a consumer."""

    def stopProducing(self) -> None:
        """The consumer has gone: write no more. Called at most once."""


@runtime_checkable
class IPullProducer(IProducer, Protocol):
    """A producer that writes only when asked."""

    def resumeProducing(self) -> None:
        """Write one more piece. Called once at registration, then each time everything written has been sent."""


@runtime_checkable
class IPushProducer(IPullProducer, Protocol):
    """A producer that writes as it likes until it is paused."""

    def pauseProducing(self) -> None:
        """Write no more until resumeProducing. Called when more than the high-water mark waits to be sent."""


@runtime_checkable
class IConsumer(Interface, Protocol):
    """Somebody to whom a producer writes."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach `producer`, an IPushProducer if `streaming`, else an IPullProducer. RuntimeError if there is one."""

    def unregisterProducer(self) -> None:
        """Detach the producer; it has written its last."""

    def write(self, data: BytesLike) -> None:
        """Take `data`, bytes to be sent in order."""


@runtime_checkable
class ITransport(Interface, Protocol):
    """The way out to the peer, as every protocol meets it."""

    def write(self, data: BytesLike) -> None:
        """Send `data` in order, after everything written before. Never blocks; dropped once the connection is lost."""

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Send the pieces of `iovec` in order, as one write."""

    def loseConnection(self) -> None:
        """Read no more, send what was written, then close."""

    def getPeer(self) -> Any:
        """Return the address of the other side."""

    def getHost(self) -> Any:
        """Return the address of this side."""


@runtime_checkable
class IStreamTransport(ITransport, IConsumer, Protocol):
    """What every connection of this package offers, whatever its socket's family."""

    disconnected: bool
    disconnecting: bool

    @property
    def connected(self) -> bool:
        """Whether it has not ended: the contrary of `disconnected`."""

    def abortConnection(self) -> None:
        """Close at once and drop what was not sent; connectionLost(ConnectionAborted) follows on the next turn."""

    def loseWriteConnection(self) -> None:
        """Send what was written, then end our half of the stream; the peer can go on."""

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing: no dataReceived, and the peer is held up by the kernel."""

    def resumeProducing(self) -> None:
        """Read again."""

    def stopProducing(self) -> None:
        """loseConnection(), in the words of a producer."""


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
        """Go on with TLS. `protocol.transport` is another object from now on, an ISSLTransport."""


@runtime_checkable
class INegotiated(Interface, Protocol):
    """A connection on which a protocol may have been agreed."""

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN has agreed on, None if nothing."""


@runtime_checkable
class ISSLTransport(IStreamTransport, INegotiated, Protocol):
    """A TLS connection."""

    @overload
    def getPeerCertificate(self, parsed: Literal[False] = False) -> bytes | None: ...
    @overload
    def getPeerCertificate(self, parsed: Literal[True]) -> dict[str, Any] | None: ...
    def getPeerCertificate(self, parsed: bool = False) -> bytes | dict[str, Any] | None:
        """Return the peer's certificate: None, or DER bytes, or, `parsed`, a dict as ssl has it."""


@runtime_checkable
class ILowerTransport(IStreamTransport, Protocol):
    """What TLS asks of the transport that carries it."""

    bufferSize: int

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""

    def setOutputLimits(self, highWater: int, outputLimit: int) -> None:
        """Bound what waits: pause the producer, and end the connection, above so many bytes."""

    def flush(self) -> None:
        """Send what the peer takes of them."""

    def writeNow(self, data: bytes) -> None:
        """Write `data`, and send what the peer takes at once."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


@runtime_checkable
class IContextFactory(Interface, Protocol):
    """Somebody who knows the ssl.SSLContext for a new TLS connection."""

    def getContext(self) -> ssl.SSLContext:
        """Return the context. Called for each connection, in the reactor's thread."""


@runtime_checkable
class IUNIXTransport(IStreamTransport, Protocol):
    """A connection over a UNIX socket."""

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a duplicate of `descriptor` with a byte that is written. At least as many bytes must be written."""

    def getPeerCredentials(self) -> tuple[int, int, int]:
        """Return the process, user and group of the other side, as the kernel noted them."""


@runtime_checkable
class IAnyTransport(ITCPTransport, ITLSTransport, ISSLTransport, IUNIXTransport, Protocol):
    """What type checkers take `self.transport` of a protocol for: all that a connection of this package may offer.

    TCP, TLS and UNIX sockets have each their part of it: ITCPTransport, ISSLTransport and IUNIXTransport say which. So
    nothing at run time provides it, and a protocol that is made for one of them needs no cast. `connector`, a
    Connector, and `hostname`, whom it was to reach, are those of a client's connection, `TLS` whether it is one.
    """

    TLS: bool
    bufferSize: int
    connector: IConnector
    highWater: int
    hostname: str
    outputLimit: int
    producer: Any
    protocol: Any
    reactor: Any
    streamingProducer: bool

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""

    def setOutputLimits(self, highWater: int = ..., outputLimit: int = ...) -> None:
        """Bound what waits: pause the producer, and end the connection, above so many bytes."""

    def stopConsuming(self) -> None:
        """Detach the producer and close in order."""

    def startReading(self) -> None:
        """resumeProducing(), whatever the state."""

    def stopReading(self) -> None:
        """pauseProducing()."""

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""

    def getHandle(self) -> Any:
        """Return the socket. It stays the transport's."""

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""

    def getCipher(self) -> tuple[str, str, int] | None:
        """Return the cipher suite, the version of TLS that defines it, and the number of secret bits."""

    def getTLSVersion(self) -> str | None:
        """Return "TLSv1.3" or "TLSv1.2"; None before the handshake."""
