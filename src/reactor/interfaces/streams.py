"""Transports of streams, and producers and consumers. See the package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    import ssl

    from reactor.failure import Failure

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

    def getPeerCertificate(self, parsed: bool = False) -> Any:
        """Return the peer's certificate: None, or DER bytes, or, `parsed`, a dict as ssl has it."""


@runtime_checkable
class ILowerTransport(IStreamTransport, Protocol):
    """What TLS asks of the transport that carries it."""

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

    def getPeerCredentials(self) -> tuple[int, int, int]:
        """Return the process, user and group of the other side, as the kernel noted them."""
