"""TCP over IPv4 and IPv6: opening sockets, their options, their addresses."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT
from reactor._numbers import openSocket
from reactor.address import (
    Address,
    IPv4Address,
    IPv6Address,
    checkPort,
    destinationOf,
    fromSocketName,
    hostText,
    isIPAddress,
    isIPv6Address,
    socketName,
)
from reactor.defer import Deferred, fail, succeed
from reactor.error import CannotListenError, ServiceNameUnknownError
from reactor.failure import Failure
from reactor.interfaces import IClientFactory, IProtocolFactory, ITransportReactor
from reactor.transports.binding import BindAddress, Binding, clientBinding, listeningBinding
from reactor.transports.connecting import Connector, Target
from reactor.transports.listening import ListeningPort
from reactor.transports.starttls import StartTLSMixin
from reactor.transports.stream import Connection


class TCPConnection(StartTLSMixin, Connection):
    """A TCP connection, with TCP_NODELAY on.

    Output is gathered before it is sent, so waiting for more would only delay it.
    """

    __slots__ = ()

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set."""
        return bool(self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY: small segments leave without waiting for acknowledgements (RFC 896)."""
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, bool(enabled))

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set."""
        return bool(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE: the kernel probes a silent peer (RFC 1122, 4.2.3.6)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))


class TCPClientConnection(TCPConnection):
    """A connection that this side has made. `hostname` is the requested host, a name or a literal address.

    `connector` is the Connector that made it.
    """

    __slots__ = ("connector", "hostname")

    connector: Connector
    hostname: str


class TCPPort(ListeningPort):
    """A listening TCP socket. `interface` is an address or a host name, which is looked up at once.

    "" means every IPv4 interface and "::" every one. A `port` that is a Binding has all of that itself.
    """

    _inherits = sys.platform == "linux"  # whether accepted sockets have the TCP_NODELAY of the listening one

    def __init__(
        self,
        reactor: ITransportReactor,
        port: int | Binding,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ):
        super().__init__(reactor, factory, backlog)
        self._binding = listeningBinding(port, interface)
        self.port = self._binding.port
        self.interface = self._binding.interface
        self.addressFamily = socket.AF_INET6 if isIPv6Address(self.interface) else socket.AF_INET
        self._anyAddress = False

    def _openSocket(self) -> socket.socket:
        sock = None
        try:
            sock = openSocket(self.addressFamily, socket.SOCK_STREAM)
            sock.setblocking(False)
            self._binding.setOptions(sock)
            noDelay(sock)
            sock.bind(self._bindName())
        except OSError as error:
            if sock is not None:
                sock.close()
            raise self._cannotListen(error) from error
        return sock

    if TYPE_CHECKING:

        def getHost(self) -> IPv4Address | IPv6Address: ...

    def _bindName(self) -> Any:
        if self.addressFamily == socket.AF_INET6:
            return socketName(self.interface, self.port)
        return (self.interface, self.port)

    def _cannotListen(self, error: OSError) -> CannotListenError:
        return CannotListenError(self.interface, self.port, error)

    def _describe(self, sock: socket.socket) -> Address:
        host = fromSocketName(self.addressFamily, sock.getsockname())
        self._anyAddress = host.host in ("0.0.0.0", "::")
        return host

    def _peerAddress(self, name: Any) -> Address:
        return fromSocketName(self.addressFamily, name)

    def _makeConnection(self, sock: socket.SocketType, protocol: Any, peer: Address) -> Connection:
        if not self._inherits:
            noDelay(sock)
        # A connection accepted on one address has the port's. Only a wildcard must ask the kernel.
        host = fromSocketName(self.addressFamily, sock.getsockname()) if self._anyAddress else self._host
        assert host is not None, "the port listens"
        return TCPConnection(self.reactor, sock, protocol, host, peer)


class TCPConnector(Connector):
    """A client's handle on a TCP connection to `host` and `port`.

    The host is a name or a literal address, the port a number or a service name.
    """

    def __init__(
        self,
        reactor: ITransportReactor,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> None:
        super().__init__(reactor, factory, timeout)
        if isinstance(port, str):
            try:
                port = socket.getservbyname(port, "tcp")
            except OSError as error:
                raise ServiceNameUnknownError(string=f"{error} ({port!r})") from error
        self.host = hostText(host)
        self.port = checkPort(port)
        self.bindAddress = bindAddress
        self._binding = clientBinding(bindAddress)

    def getDestination(self) -> Address:
        """Return the requested address: an IPv4Address or IPv6Address for a literal, else a HostnameAddress."""
        if isIPAddress(self.host):
            return IPv4Address("TCP", self.host, self.port)
        if isIPv6Address(self.host):
            return fromSocketName(socket.AF_INET6, socketName(self.host, self.port))
        return destinationOf(self.host, self.port)

    def _lookUp(self) -> Deferred[list[Target]]:
        for family in (socket.AF_INET, socket.AF_INET6):
            if isIPAddress(self.host, family):
                try:
                    return succeed([(family, socketName(self.host, self.port))])
                except OSError:
                    return fail(Failure())
        return self.reactor.resolveAll(self.host, self.port)

    def _bind(self) -> Callable[[socket.socket], None] | None:
        binding = self._binding
        return None if binding is None else lambda sock: _bindTo(sock, binding)

    def _peerOf(self, sock: socket.socket) -> Address:
        return fromSocketName(sock.family, sock.getpeername())

    def _makeConnection(
        self, sock: socket.socket, protocol: Any, peer: Address, ended: Callable[[Failure], None] | None
    ) -> Connection:
        noDelay(sock)
        host = fromSocketName(sock.family, sock.getsockname())
        connection = TCPClientConnection(self.reactor, sock, protocol, host, peer, ended)
        connection.connector = self
        connection.hostname = self.host
        return connection


def _bindTo(sock: socket.socket, binding: Binding) -> None:
    binding.setOptions(sock)
    host, port = binding.interface, binding.port
    sock.bind(socketName(host, port) if host else ("", port))


def noDelay(sock: socket.SocketType) -> None:
    """Set TCP_NODELAY."""
    with suppress(OSError):  # the peer has reset the connection already; the first recv will show it
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
