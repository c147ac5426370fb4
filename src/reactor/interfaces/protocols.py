"""Protocols of streams and of child processes, factories, ports, connectors and endpoints. See the package."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor.interfaces.asking import Interface
from reactor.interfaces.streams import IConsumer

if TYPE_CHECKING:
    from reactor.address import Address
    from reactor.defer import Deferred
    from reactor.failure import Failure
    from reactor.interfaces.streams import BytesLike


@runtime_checkable
class IProtocol(Interface, Protocol):
    """The methods that a transport calls: makeConnection, dataReceived any number of times, connectionLost once."""

    def makeConnection(self, transport: Any, /) -> Any:
        """The connection stands."""

    def dataReceived(self, data: bytes, /) -> Any:
        """Some bytes arrived: at least one, cut anywhere."""

    def connectionLost(self, reason: Failure, /) -> Any:
        """The connection has ended.

        `reason` is a Failure of ConnectionDone, ConnectionLost or a subclass, or of a callback's exception.
        """


@runtime_checkable
class IHandshakeListener(IProtocol, Protocol):
    """A protocol that gets a call after the TLS handshake. Having this method is enough."""

    def handshakeCompleted(self) -> Any:
        """The handshake is complete and the peer verified. It comes after connectionMade, or later after startTLS."""


@runtime_checkable
class IFileDescriptorReceiver(Interface, Protocol):
    """A protocol on a UNIX socket that takes descriptors. It must have this method when its first data come."""

    def fileDescriptorReceived(self, descriptor: int) -> Any:
        """The peer has sent `descriptor`, which the protocol must close. The byte that carried it follows."""


@runtime_checkable
class IHalfCloseableProtocol(Interface, Protocol):
    """A protocol that gets a call at the end of each half. Having these two methods is enough."""

    def readConnectionLost(self) -> Any:
        """The peer has ended its half: no more data comes, but writing works. The protocol decides when to close."""

    def writeConnectionLost(self) -> Any:
        """Our half has ended after loseWriteConnection(): the kernel has all output."""


@runtime_checkable
class IProcessProtocol(Interface, Protocol):
    """The methods that the transport of a child process calls, processEnded last."""

    def makeConnection(self, transport: Any, /) -> Any:
        """The child has been started; `transport` is an IProcessTransport."""

    def childDataReceived(self, childFD: int, data: bytes, /) -> Any:
        """The child has written to its descriptor `childFD`."""

    def childConnectionLost(self, childFD: int, /) -> Any:
        """The pipe to or from the child's descriptor `childFD` is closed. Called once for each."""

    def processExited(self, reason: Failure, /) -> Any:
        """The child has exited; `reason` is a Failure of ProcessDone or ProcessTerminated. Data may still come."""

    def processEnded(self, reason: Failure, /) -> Any:
        """The child has exited, and all its pipes are closed."""


@runtime_checkable
class IProcessTransport(IConsumer, Protocol):
    """A child process. As a consumer it stands for the child's standard input."""

    pid: int | None

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Send the pieces of `seq` to standard input, as one write."""

    def writeToChild(self, childFD: int, data: BytesLike) -> None:
        """Send `data` to the child's descriptor `childFD`. KeyError if there is no pipe to it."""

    def closeChildFD(self, descriptor: int) -> None:
        """Close the pipe to or from the child's `descriptor`, after its output has been sent."""

    def closeStdin(self) -> None:
        """Call closeChildFD(0)."""

    def closeStdout(self) -> None:
        """Call closeChildFD(1)."""

    def closeStderr(self) -> None:
        """Call closeChildFD(2)."""

    def loseConnection(self) -> None:
        """Close the pipes of descriptors 0, 1 and 2."""

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, by name ("KILL") or number. ProcessExitedAlready if the child has exited."""


@runtime_checkable
class IProtocolFactory(Interface, Protocol):
    """The methods of a factory that a port or connector calls."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Return the protocol for a connection from or to `addr`, or None to close it."""

    def doStart(self) -> Any:
        """A port or connector begins to use the factory."""

    def doStop(self) -> Any:
        """A port or connector no longer uses the factory."""


@runtime_checkable
class IClientFactory(IProtocolFactory, Protocol):
    """The methods of a client's factory that a connector calls about its attempts."""

    def startedConnecting(self, connector: Any, /) -> Any:
        """An attempt begins."""

    def clientConnectionFailed(self, connector: Any, reason: Failure, /) -> Any:
        """The attempt failed, with a Failure of ConnectError or DNSLookupError. connector.connect() tries again."""

    def clientConnectionLost(self, connector: Any, reason: Failure, /) -> Any:
        """The connection has ended; the protocol's connectionLost came before. connector.connect() connects again."""


@runtime_checkable
class IConnector(Interface, Protocol):
    """A client's handle on its connection and on the attempts to make it."""

    def connect(self) -> None:
        """Start an attempt. RuntimeError unless disconnected."""

    def disconnect(self) -> None:
        """Stop the attempt, or close the connection, or do nothing."""

    def stopConnecting(self) -> None:
        """Stop the attempt: clientConnectionFailed(UserError). NotConnectingError if there is none."""

    def getDestination(self) -> Address:
        """Return the requested address."""


@runtime_checkable
class IListeningPort(Interface, Protocol):
    """A server's handle on its listening socket."""

    def startListening(self) -> None:
        """Bind and listen. CannotListenError if the system refuses."""

    def stopListening(self) -> Deferred[None] | None:
        """Close the listening socket. The Deferred fires with None when it is closed; None if it was already."""

    def getHost(self) -> Any:
        """Return the address listened on, with the real port number."""


@runtime_checkable
class IStreamClientEndpoint(Interface, Protocol):
    """A place that can be connected to."""

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """Connect; return a Deferred of the protocol that `protocolFactory` builds. Cancelling it gives up."""


@runtime_checkable
class IStreamServerEndpoint(Interface, Protocol):
    """A place that can be listened on."""

    def listen(self, protocolFactory: Any) -> Deferred[Any]:
        """Listen; return a Deferred of the IListeningPort, failing with CannotListenError."""


@runtime_checkable
class IProtocolNegotiationFactory(Interface, Protocol):
    """A factory that names the protocols for ALPN."""

    def acceptableProtocols(self) -> Any:
        """Return a list of names, as bytes, in order of preference."""
