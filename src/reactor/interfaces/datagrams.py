"""Transports of datagrams, and their protocols. See the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    from reactor.defer import Deferred
    from reactor.interfaces.streams import BytesLike


@runtime_checkable
class IDatagramPort(Interface, Protocol):
    """The methods of every port for datagrams. The counts are of datagrams."""

    oversizedCount: int
    unsentCount: int

    def getHost(self) -> Any:
        """Return the address of this side."""

    def stopListening(self) -> Deferred[None] | None:
        """Close the socket. The Deferred fires with None when it is closed; None if it was already."""

    def getDroppedCount(self) -> int:
        """Return the number of datagrams that the kernel has dropped because its receive buffer was full."""

    def getReceiveBufferSize(self) -> int:
        """Return the size in bytes of the kernel's receive buffer."""

    def setReceiveBufferSize(self, size: int) -> int:
        """Ask for a receive buffer of `size` bytes; return the granted size."""


@runtime_checkable
class IUDPTransport(IDatagramPort, Protocol):
    """A UDP port."""

    def write(self, datagram: BytesLike, addr: tuple[str, int] | None = None) -> None:
        """Send `datagram` to `addr`, (literal address, port); a connected port needs none."""

    def connect(self, host: str, port: int) -> None:
        """Exchange datagrams with this peer only."""

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Allow or forbid sending to broadcast addresses."""

    def getBroadcastAllowed(self) -> bool:
        """Whether sending to broadcast addresses is allowed."""


@runtime_checkable
class IMulticastTransport(IUDPTransport, Protocol):
    """A UDP port with the options of multicast."""

    def joinGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Receive the datagrams for group `addr`; the Deferred may fail with MulticastJoinError."""

    def leaveGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Undo joinGroup."""

    def getTTL(self) -> int:
        """Return the TTL of datagrams to groups: the number of routers that they may pass, plus one."""

    def setTTL(self, ttl: int) -> None:
        """Set the TTL of datagrams to groups, 0 to 255."""

    def getLoopbackMode(self) -> bool:
        """Whether this machine receives the port's own datagrams to groups."""

    def setLoopbackMode(self, mode: bool | int) -> None:
        """Set or clear the loopback mode."""

    def getOutgoingInterface(self) -> str | int:
        """Return the interface for datagrams to groups: an IPv4 address, or an interface's index for IPv6."""

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Set the interface for datagrams to groups; the Deferred fires with 1."""


@runtime_checkable
class IUNIXDatagramTransport(IDatagramPort, Protocol):
    """A UNIX datagram port."""

    def write(self, datagram: BytesLike, address: Any) -> None:
        """Send `datagram` to `address`, a path or abstract name."""


@runtime_checkable
class IUNIXDatagramConnectedTransport(IDatagramPort, Protocol):
    """A UNIX datagram port with one peer."""

    def write(self, datagram: BytesLike) -> None:
        """Send `datagram` to the peer."""

    def getPeer(self) -> Any:
        """Return the address of the other side."""


@runtime_checkable
class IDatagramProtocol(Interface, Protocol):
    """The methods that a port for datagrams calls.

    A datagram that is too long goes to datagramLengthExceeded(datagram, addr), if there is such a method.
    """

    def makeConnection(self, transport: Any, /) -> Any:
        """The port is open."""

    def datagramReceived(self, datagram: bytes, addr: Any, /) -> Any:
        """A whole datagram, from 0 to maxPacketSize bytes. transport.write takes `addr` for an answer."""

    def connectionRefused(self) -> Any:
        """A connected port's peer does not listen."""

    def doStop(self) -> Any:
        """The port is closed."""


@runtime_checkable
class IAnyDatagramTransport(IMulticastTransport, Protocol):
    """The type of a datagram protocol's `self.transport`: all methods that a port of this package may have.

    See IAnyTransport.
    """

    protocol: Any
    reactor: Any

    def write(self, datagram: BytesLike, addr: Any = None) -> None:
        """Send `datagram` to `addr`: (address, port), the path or name of a UNIX socket, or the only peer."""

    def getPeer(self) -> Any:
        """Return the address of the only peer, for a UNIX socket that has one."""
