"""Protocols of streams and of child processes, factories, and what is between them and reactors. See the package."""

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
    """What a transport calls. The order is makeConnection, dataReceived any number of times, connectionLost once."""

    def makeConnection(self, transport: Any, /) -> Any:
        """The connection stands."""

    def dataReceived(self, data: bytes, /) -> Any:
        """Some bytes arrived: at least one, cut anywhere."""

    def connectionLost(self, reason: Failure, /) -> Any:
        """The connection is over; `reason` holds ConnectionDone, ConnectionLost or a subclass, or what a callback
        raised.
        """


@runtime_checkable
class IHandshakeListener(IProtocol, Protocol):
    """A protocol that wants to know when TLS is there. It is recognised by having this method."""

    def handshakeCompleted(self) -> Any:
        """The handshake is done, the peer verified: after connectionMade, or some time after startTLS."""


@runtime_checkable
class IFileDescriptorReceiver(Interface, Protocol):
    """A protocol on a UNIX socket that takes descriptors: one that has this method when its first data come."""

    def fileDescriptorReceived(self, descriptor: int) -> Any:
        """The peer has sent `descriptor`, which is the protocol's to close. The byte it came with follows."""


@runtime_checkable
class IHalfCloseableProtocol(Interface, Protocol):
    """A protocol that is told of each half's end. It is recognised by having these two methods."""

    def readConnectionLost(self) -> Any:
        """The peer has ended its half: no more data will come, writing still works. Closing is up to the protocol."""

    def writeConnectionLost(self) -> Any:
        """Our half has ended after loseWriteConnection(): everything written was handed to the kernel."""


@runtime_checkable
class IProcessProtocol(Interface, Protocol):
    """What the transport of a child process calls, processEnded last."""

    def makeConnection(self, transport: Any, /) -> Any:
        """The child has been started; `transport` is an IProcessTransport."""

    def childDataReceived(self, childFD: int, data: bytes, /) -> Any:
        """The child has written to its descriptor `childFD`."""

    def childConnectionLost(self, childFD: int, /) -> Any:
        """The pipe to or from the child's descriptor `childFD` is closed. Called once for each."""

    def processExited(self, reason: Failure, /) -> Any:
        """The child has exited; `reason` holds ProcessDone or ProcessTerminated. What it wrote may still come."""

    def processEnded(self, reason: Failure, /) -> Any:
        """It has exited, and all its pipes are closed."""


@runtime_checkable
class IProcessTransport(IConsumer, Protocol):
    """A child process. As a consumer it is its standard input."""

    pid: int | None

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Send the pieces of `seq` to standard input, as one write."""

    def writeToChild(self, childFD: int, data: BytesLike) -> None:
        """Send `data` to the child's descriptor `childFD`. KeyError if there is no pipe to it."""

    def closeChildFD(self, descriptor: int) -> None:
        """Close the pipe to or from the child's `descriptor`, after what was written."""

    def closeStdin(self) -> None:
        """closeChildFD(0)."""

    def closeStdout(self) -> None:
        """closeChildFD(1)."""

    def closeStderr(self) -> None:
        """closeChildFD(2)."""

    def loseConnection(self) -> None:
        """Close all three."""

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, by name ("KILL") or number. ProcessExitedAlready if the child has exited."""


@runtime_checkable
class IProtocolFactory(Interface, Protocol):
    """What a listening port or connector asks for protocols."""

    def buildProtocol(self, addr: Any, /) -> Any:
        """Return the protocol for a connection from or to `addr`, or None to close it."""

    def doStart(self) -> Any:
        """A port or connector begins to use the factory."""

    def doStop(self) -> Any:
        """A port or connector has ceased to use it."""


@runtime_checkable
class IClientFactory(IProtocolFactory, Protocol):
    """What a connector tells about its attempts."""

    def startedConnecting(self, connector: Any, /) -> Any:
        """An attempt begins."""

    def clientConnectionFailed(self, connector: Any, reason: Failure, /) -> Any:
        """The attempt failed; `reason` holds a ConnectError or DNSLookupError. connector.connect() tries again."""

    def clientConnectionLost(self, connector: Any, reason: Failure, /) -> Any:
        """The connection is over, after the protocol's connectionLost. connector.connect() connects again."""


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
        """Return the address asked for."""


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
    """A factory that knows what ALPN may agree on."""

    def acceptableProtocols(self) -> Any:
        """Return a list of names, as bytes, the best first."""
