"""UDP over IPv4 and IPv6: ports, connected ports, multicast."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._defaults import MAX_PACKET_SIZE
from reactor._numbers import openSocket, raisedSocket
from reactor.address import (
    Address,
    IPv4Address,
    IPv6Address,
    checkPort,
    fromSocketName,
    hostText,
    ipv6Name,
    isIPAddress,
    isIPv6Address,
    scopedHost,
    withoutScope,
)
from reactor.defer import Deferred, maybeDeferred
from reactor.error import (
    AlreadyListened,
    CannotListenError,
    InvalidAddressError,
    MulticastJoinError,
    UnsupportedAddressFamily,
    UnsupportedSocketType,
)
from reactor.interfaces import BytesLike, ITransportReactor
from reactor.transports.datagram import DatagramPort

BROADCAST = "<broadcast>"


class UDPPort(DatagramPort):
    """A UDP socket. `interface` is a literal address of this machine, "" for every IPv4 one, "::" for every one.

    Hosts of IPv6 have their scope, as in "fe80::1%eth0", both in arguments and in results.
    """

    def __init__(
        self,
        reactor: ITransportReactor,
        port: int,
        protocol: Any,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        adopted: socket.socket | None = None,
    ) -> None:
        super().__init__(reactor, protocol, maxPacketSize)
        self.port = checkPort(port)
        self.interface = interface = hostText(interface)
        if interface and not isIPAddress(interface) and not isIPv6Address(interface):
            raise InvalidAddressError(interface, "not an IPv4 or IPv6 address")
        self.addressFamily = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
        self._adopted = adopted
        self._wasAdopted = adopted is not None
        self._peer: tuple[str, int] | None = None

    # For programs.

    if TYPE_CHECKING:

        def getHost(self) -> IPv4Address | IPv6Address: ...

    def write(self, datagram: BytesLike, addr: tuple[str | bytes, int] | None = None) -> None:
        """Send `datagram` to `addr`, (literal address or "<broadcast>", port); a connected port needs none.

        MessageLengthError if it is longer than UDP takes (65,507 bytes over IPv4). InvalidAddressError for a name, an
        address of the other family, or an address that is not the peer's. OSError if the system refuses. The datagram
        is dropped, and counted in `unsentCount`, if a buffer is full. The same holds for port 0, which a peer has that
        wants no answer (RFC 768).
        """
        if self._peer is not None:
            if addr is not None and self._nameOf(hostText(addr[0]), addr[1]) != self._nameOf(*self._peer):
                raise InvalidAddressError(str(addr), f"the port is connected to {self._peer}")
            self._sendToPeer(datagram)
            return
        if addr is None:
            raise InvalidAddressError("", "a port that is not connected needs an address")
        host, number = addr
        host = self._checkHost(host)
        if number:
            self._send(datagram, self._nameOf(host, number))
        else:
            self._unsent("there is no port 0")

    def connect(self, host: str | bytes, port: int) -> None:
        """Exchange datagrams with this peer only, a literal address.

        If the peer does not listen, connectionRefused is called. RuntimeError if connected; InvalidAddressError unless
        it is an address of the port's family.
        """
        if self._peer is not None:
            raise RuntimeError("already connected, and a port connects once")
        host = self._checkHost(host)
        if host == BROADCAST:
            raise InvalidAddressError(host, "not an IPv4 or IPv6 address")
        self._sock().connect(self._nameOf(host, port))
        self._peer = (host, port)

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Set or clear SO_BROADCAST, without which sending to a broadcast address fails. It is clear at first."""
        self._sock().setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, bool(enabled))

    def getBroadcastAllowed(self) -> bool:
        """Whether SO_BROADCAST is set."""
        return bool(self._sock().getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST))

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        return f"{super().logPrefix()} (UDP)"

    # The methods that DatagramPort calls.

    def _openSocket(self) -> socket.socket:
        self._peer = None
        sock, self._adopted = self._adopted, None
        if sock is not None:
            return sock
        if self._wasAdopted:
            raise AlreadyListened("an adopted descriptor can be listened on once")
        try:
            sock = openSocket(self.addressFamily, socket.SOCK_DGRAM)
            sock.setblocking(False)
            self._setOptions(sock)
            sock.bind(self._nameOf(self.interface, self.port))
        except OSError as error:
            if sock is not None:
                sock.close()
            raise self._cannotListen(error) from error
        return sock

    def _cannotListen(self, error: OSError) -> CannotListenError:
        return CannotListenError(self.interface, self.port, error)

    def _setOptions(self, sock: socket.socket) -> None:
        """Prepare a socket that is not bound yet."""

    def _describe(self, sock: socket.socket) -> Address:
        return fromSocketName(self.addressFamily, sock.getsockname(), "UDP")

    def _received(self, callback: Callable[..., object], datagram: bytes, name: Any) -> object:
        return callback(datagram, name if len(name) == 2 else (scopedHost(name), name[1]))

    def _refused(self) -> None:
        if self._peer is not None:
            super()._refused()

    def _sendToPeer(self, datagram: BytesLike) -> None:
        try:
            self._send(datagram)
        except ConnectionRefusedError:
            # The error is about an earlier datagram, and this one has not been sent.
            with suppress(ConnectionRefusedError):
                self._send(datagram)
            self._refused()

    def _nameOf(self, host: str, port: int) -> Any:
        """Return the socket name of a literal address of the port's family."""
        return ipv6Name(host, port) if self.addressFamily == socket.AF_INET6 else (host, port)

    def _checkHost(self, host: str | bytes) -> str:
        """Return `host`, a literal address, as text. InvalidAddressError for another host.

        The look-up of a name would block the loop, and an address of the other family could only fail.
        """
        host = hostText(host)
        if isIPv6Address(host):
            if self.addressFamily != socket.AF_INET6:
                raise InvalidAddressError(host, "an IPv4 port does not reach IPv6 addresses")
        elif not isIPAddress(host) and host != BROADCAST:
            raise InvalidAddressError(host, "not an IPv4 or IPv6 address")
        elif self.addressFamily != socket.AF_INET:
            raise InvalidAddressError(host, "an IPv6 port does not reach IPv4 addresses, or broadcast")
        return host


def adoptedPort(
    reactor: ITransportReactor, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int
) -> UDPPort:
    """Return a port on a duplicate of a bound UDP socket's descriptor. It can be started once.

    UnsupportedAddressFamily or UnsupportedSocketType if the descriptor is no such socket.
    """
    if addressFamily not in (socket.AF_INET, socket.AF_INET6):
        raise UnsupportedAddressFamily(addressFamily)
    sock = raisedSocket(socket.fromfd(fileDescriptor, addressFamily, socket.SOCK_DGRAM))
    try:
        kind = sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE)
        if kind != socket.SOCK_DGRAM:
            raise UnsupportedSocketType(kind)
        sock.setblocking(False)
        name = sock.getsockname()
        return UDPPort(reactor, name[1], protocol, scopedHost(name), maxPacketSize, sock)
    except BaseException:
        sock.close()
        raise


class MulticastPort(UDPPort):
    """A UDP socket with the options of multicast (RFC 1112, RFC 3493). With `listenMultiple` others may share its port.

    reactor.resolve looks up host names of groups and interfaces.
    """

    def __init__(
        self,
        reactor: ITransportReactor,
        port: int,
        protocol: Any,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        listenMultiple: bool = False,
    ) -> None:
        super().__init__(reactor, port, protocol, interface, maxPacketSize)
        self.listenMultiple = bool(listenMultiple)

    def joinGroup(self, addr: str | bytes, interface: str | bytes | int = "") -> Deferred[None]:
        """Receive the datagrams for group `addr`. The Deferred has None, or fails with MulticastJoinError.

        `interface` is an address of this machine for IPv4, a name or index for IPv6. "" means the interface of the
        scope of `addr`, as in "ff02::1%eth0". Without a scope it means the system's choice.
        """
        return maybeDeferred(self._change, socket.IP_ADD_MEMBERSHIP, socket.IPV6_JOIN_GROUP, addr, interface)

    def leaveGroup(self, addr: str | bytes, interface: str | bytes | int = "") -> Deferred[None]:
        """Undo joinGroup with the same arguments. The Deferred has None, or fails with MulticastJoinError."""
        return maybeDeferred(self._change, socket.IP_DROP_MEMBERSHIP, socket.IPV6_LEAVE_GROUP, addr, interface)

    def getTTL(self) -> int:
        """Return the number of routers that a datagram to a group may pass, plus one: 1 at first, for this network."""
        return self._sock().getsockopt(*self._option(socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS))

    def setTTL(self, ttl: int) -> None:
        """See getTTL. ValueError unless it is a number from 0, for this machine only, to 255."""
        if not 0 <= ttl <= 255:
            raise ValueError(f"a TTL is a number from 0 to 255, not {ttl!r}")
        self._sock().setsockopt(*self._option(socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS), ttl)

    def getLoopbackMode(self) -> bool:
        """Whether this machine receives the port's own datagrams to groups that it has joined: True at first."""
        return bool(self._sock().getsockopt(*self._option(socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP)))

    def setLoopbackMode(self, mode: bool | int) -> None:
        """See getLoopbackMode."""
        self._sock().setsockopt(*self._option(socket.IP_MULTICAST_LOOP, socket.IPV6_MULTICAST_LOOP), bool(mode))

    def getOutgoingInterface(self) -> str | int:
        """Return the interface for datagrams to groups.

        It is an address for IPv4, "0.0.0.0" if the system chooses; an interface's index for IPv6, 0 if the system
        chooses.
        """
        if self.addressFamily == socket.AF_INET6:
            return self._sock().getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF)
        return socket.inet_ntoa(self._sock().getsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, 4))

    def setOutgoingInterface(self, addr: str | bytes | int) -> Deferred[int]:
        """See getOutgoingInterface. The Deferred fires with 1, or fails with OSError without such an interface."""
        return maybeDeferred(self._setOutgoing, addr)

    def _setOptions(self, sock: socket.socket) -> None:
        if self.listenMultiple:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)

    def _option(self, forIPv4: int, forIPv6: int) -> tuple[int, int]:
        if self.addressFamily == socket.AF_INET6:
            return socket.IPPROTO_IPV6, forIPv6
        return socket.IPPROTO_IP, forIPv4

    async def _setOutgoing(self, addr: str | bytes | int) -> int:
        if self.addressFamily == socket.AF_INET6:
            self._sock().setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, self._index(addr))
        else:
            packed = self._pack(await self._resolved(addr if isinstance(addr, (str, bytes)) else str(addr)))
            self._sock().setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, packed)
        return 1

    async def _change(self, forIPv4: int, forIPv6: int, addr: str | bytes, interface: str | bytes | int) -> None:
        host = await self._resolved(addr)
        group = self._pack(host)
        try:
            if self.addressFamily == socket.AF_INET6:
                where = struct.pack("@I", self._indexFor(host, interface))
            else:
                where = self._pack(await self._resolved(str(interface) if isinstance(interface, int) else interface))
            self._sock().setsockopt(*self._option(forIPv4, forIPv6), group + where)
        except OSError as error:
            raise MulticastJoinError(addr, interface, *error.args) from error

    async def _resolved(self, host: str | bytes) -> str:
        host = hostText(host or "0.0.0.0")
        return host if isIPAddress(host) or isIPv6Address(host) else await self.reactor.resolve(host)

    def _indexFor(self, group: str, interface: str | bytes | int) -> int:
        """Return the index of the interface for a group of IPv6."""
        named, _, scope = self._index(interface), *group.partition("%")[1:]
        scoped = self._index(scope)
        if named and scoped and named != scoped:
            raise OSError(errno.EINVAL, f"the scope of {group} is another interface")
        return named or scoped

    def _pack(self, host: str) -> bytes:
        try:
            return socket.inet_pton(self.addressFamily, withoutScope(host))
        except OSError as error:
            raise MulticastJoinError(f"not an address of the port's family: {host!r}") from error

    def _index(self, interface: str | bytes | int) -> int:
        """Return the index of an interface of IPv6: a number, a name, or "" or "::" for the system's choice."""
        if isinstance(interface, int):
            return interface
        interface = hostText(interface)
        if interface.isdecimal():
            return int(interface)
        return socket.if_nametoindex(interface) if interface not in ("", "::") else 0
