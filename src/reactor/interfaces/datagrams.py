"""Transports of datagrams, and their protocols. See the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor.interfaces.asking import Interface

if TYPE_CHECKING:
    from reactor.defer import Deferred
    from reactor.interfaces.streams import BytesLike


@runtime_checkable
class IDatagramPort(Interface, Protocol):
    """What every port for datagrams offers. The counts are of datagrams."""

    oversizedCount: int
    unsentCount: int

    def getHost(self) -> Any:
        """Return the address of this side."""

    def stopListening(self) -> Deferred[None] | None:
        """Close the socket. The Deferred fires with None when it is closed; None if it was already."""

    def getDroppedCount(self) -> int:
        """Return how many datagrams the kernel has dropped because its receive buffer was full."""

    def getReceiveBufferSize(self) -> int:
        """Return how many bytes the kernel keeps until they are read."""

    def setReceiveBufferSize(self, size: int) -> int:
        """Ask for `size` bytes; return what was granted."""


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
        """Whether that is allowed."""


@runtime_checkable
class IMulticastTransport(IUDPTransport, Protocol):
    """A UDP port with the options of multicast."""

    def joinGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Receive what is sent to group `addr`; the Deferred may fail with MulticastJoinError."""

    def leaveGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Undo joinGroup."""

    def getTTL(self) -> int:
        """Return how many routers a datagram to a group may pass, plus one."""

    def setTTL(self, ttl: int) -> None:
        """Set that number, 0 to 255."""

    def getLoopbackMode(self) -> bool:
        """Whether this machine receives what the port sends to groups."""

    def setLoopbackMode(self, mode: bool | int) -> None:
        """Set or clear that."""

    def getOutgoingInterface(self) -> str | int:
        """Return from where datagrams to groups leave: an IPv4 address, or an interface's index for IPv6."""

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Set that; the Deferred has 1."""


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
    """What a port for datagrams calls. One that is longer than it should be goes to datagramLengthExceeded(datagram,
    addr), if there is such a method.
    """

    def makeConnection(self, transport: Any, /) -> Any:
        """The port is open."""

    def datagramReceived(self, datagram: bytes, addr: Any, /) -> Any:
        """A datagram, whole, from 0 to maxPacketSize bytes; `addr` is what transport.write takes for an answer."""

    def connectionRefused(self) -> Any:
        """A connected port's peer does not listen."""

    def doStop(self) -> Any:
        """The port is closed."""


@runtime_checkable
class IAnyDatagramTransport(IMulticastTransport, Protocol):
    """What type checkers take `self.transport` of a datagram protocol for: all that a port of this package may offer.

    See IAnyTransport.
    """

    protocol: Any
    reactor: Any

    def write(self, datagram: BytesLike, addr: Any = None) -> None:
        """Send `datagram` to `addr`: (address, port), the path or name of a UNIX socket, or the only peer."""

    def getPeer(self) -> Any:
        """Return the address of the only peer, for a UNIX socket that has one."""
