"""Ports and connections on open sockets: from systemd, a parent process, or a program's own code.

The descriptor is duplicated, so its owner keeps the given one, and may close it at any time. Both belong to one socket,
which becomes non-blocking. A port never calls listen() again, so the backlog stays the same. When it ends it only
closes its duplicate: other processes may accept from the same socket.
"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any, TypeAlias

from reactor._arguments import checkFactory
from reactor._numbers import closeNumber, duplicate
from reactor.address import Address, UNIXAddress, fromSocketName, scopedHost
from reactor.error import CannotListenError, UnsupportedAddressFamily, UnsupportedSocketType
from reactor.failure import Failure
from reactor.interfaces import IProtocolFactory, ITransportReactor
from reactor.protocol import abandon
from reactor.transports.output import ABORTED
from reactor.transports.stream import Connection
from reactor.transports.tcp import TCPConnection, TCPPort, noDelay
from reactor.transports.unix.datagram import UNIXDatagramPort
from reactor.transports.unix.stream import UNIXConnection, UNIXPort

_INTERNET = frozenset({socket.AF_INET, socket.AF_INET6})
_UNIX = getattr(socket, "AF_UNIX", None)


class _Adopted:
    """A mixin that makes a port use an open socket. It can be started once."""

    _socket: socket.socket | None

    def _openSocket(self) -> socket.socket:
        sock, self._socket = self._socket, None
        if sock is None:
            raise self._cannotListen(OSError(errno.EBADF, "the adopted socket has been given up"))
        try:
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                raise OSError(errno.EINVAL, "the adopted socket does not listen")
            if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT):
                self.acceptBatch = 1  # each process has a socket of its own only with that option
        except OSError as error:
            sock.close()
            raise self._cannotListen(error) from error
        return sock

    def _listen(self, sock: socket.socket) -> None:
        """Do nothing: the socket listens already."""

    def shutOut(self) -> None:
        """Do nothing: other processes may serve the socket."""

    def _cannotListen(self, error: OSError) -> CannotListenError:
        raise NotImplementedError


class AdoptedTCPPort(_Adopted, TCPPort):
    """A TCP port on the listening socket `sock`."""

    _inherits = False  # others accept from the socket too: its options are not ours to set

    def __init__(self, reactor: ITransportReactor, sock: socket.socket, factory: IProtocolFactory) -> None:
        name = sock.getsockname()
        super().__init__(reactor, name[1], factory, interface=scopedHost(name))
        self._socket = sock

    _cannotListen = TCPPort._cannotListen


class AdoptedUNIXPort(_Adopted, UNIXPort):
    """A UNIX port on the listening socket `sock`. It does not own the path, which stays."""

    def __init__(self, reactor: ITransportReactor, sock: socket.socket, factory: IProtocolFactory) -> None:
        super().__init__(reactor, sock.getsockname(), factory, wantPID=False)
        self._socket = sock

    _cannotListen = UNIXPort._cannotListen


class AdoptedUNIXDatagramPort(UNIXDatagramPort):
    """A UNIX datagram port on the bound socket `sock`. It does not own the path, which stays."""

    def __init__(self, reactor: ITransportReactor, sock: socket.socket, protocol: Any, maxPacketSize: int) -> None:
        super().__init__(reactor, sock.getsockname(), protocol, maxPacketSize, wantPID=False)
        self._socket: socket.socket | None = sock

    def _openSocket(self) -> socket.socket:
        sock, self._socket = self._socket, None
        if sock is None:
            raise self._cannotListen(OSError(errno.EBADF, "the adopted socket has been given up"))
        return sock


class _ShutDownAtTheEnd:
    """A mixin that ends the connection for the peer too, although the socket has another descriptor."""

    __slots__ = ()

    def connectionLost(self: Any, reason: Failure) -> None:
        """End the stream both ways, then close. An aborted one is only closed, which may be a reset."""
        if not (self.disconnected or self._writeHalf == ABORTED):
            with suppress(OSError):  # the connection has ended already
                self.socket.shutdown(socket.SHUT_RDWR)
        Connection.connectionLost(self, reason)


class AdoptedTCPConnection(_ShutDownAtTheEnd, TCPConnection):
    """A TCP connection on a socket that other code has opened."""

    __slots__ = ()


class AdoptedUNIXConnection(_ShutDownAtTheEnd, UNIXConnection):
    """A UNIX connection on a socket that other code has opened."""

    __slots__ = ()


AdoptedPort: TypeAlias = AdoptedTCPPort | AdoptedUNIXPort
AdoptedConnection: TypeAlias = AdoptedTCPConnection | AdoptedUNIXConnection


def adoptedPort(
    reactor: ITransportReactor, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
) -> AdoptedPort:
    """Return a port on a duplicate of a listening stream socket's descriptor.

    UnsupportedAddressFamily or UnsupportedSocketType for another socket; OSError if it is no socket.
    """
    checkFactory(factory)
    sock = _duplicate(fileDescriptor, addressFamily)
    try:
        make = AdoptedTCPPort if addressFamily in _INTERNET else AdoptedUNIXPort
        return make(reactor, sock, factory)
    except BaseException:
        sock.close()
        raise


def adoptUNIXDatagramPort(
    reactor: ITransportReactor, fileDescriptor: int, protocol: Any, maxPacketSize: int
) -> AdoptedUNIXDatagramPort:
    """Start a port on a duplicate of the descriptor of a bound UNIX datagram socket, and return it.

    Other processes may read from the same socket: each datagram comes to one of them. The errors are those of
    adoptedPort.
    """
    sock = _duplicate(fileDescriptor, socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        listening = AdoptedUNIXDatagramPort(reactor, sock, protocol, maxPacketSize)
        listening.startListening()
    except BaseException:
        sock.close()
        raise
    return listening


def adoptConnection(
    reactor: ITransportReactor,
    fileDescriptor: int,
    addressFamily: int,
    factory: IProtocolFactory,
    kind: type[AdoptedTCPConnection | AdoptedUNIXConnection] | None = None,
) -> AdoptedConnection | None:
    """Have `factory` build a protocol for a duplicate of a connected stream socket's descriptor.

    Return its transport, or None without a protocol, and then the duplicate is closed. `kind` is the transport's class,
    if it is not the usual one. The errors are those of adoptedPort.
    """
    checkFactory(factory)
    sock = _duplicate(fileDescriptor, addressFamily)
    protocol = None
    try:
        host, peer = (_addressOf(addressFamily, name) for name in (sock.getsockname(), sock.getpeername()))
        protocol = factory.buildProtocol(peer)
        if protocol is None:
            sock.close()
            return None
        if addressFamily in _INTERNET:
            noDelay(sock)
        make = kind or (AdoptedTCPConnection if addressFamily in _INTERNET else AdoptedUNIXConnection)
        connection: AdoptedConnection = make(reactor, sock, protocol, host, peer)
        connection.start()
        return connection
    except BaseException:
        abandon(protocol)
        sock.close()
        raise


def _addressOf(family: int, name: Any) -> Address:
    return fromSocketName(family, name) if family in _INTERNET else UNIXAddress(name or None)


def _duplicate(fileDescriptor: int, addressFamily: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    if addressFamily not in _INTERNET and addressFamily != _UNIX:
        raise UnsupportedAddressFamily(addressFamily)
    number = duplicate(fileDescriptor)
    try:
        sock = socket.socket(fileno=number)
    except OSError:
        closeNumber(number)
        raise
    try:
        if sock.family != addressFamily:
            raise UnsupportedAddressFamily(sock.family)
        if sock.type != kind:
            raise UnsupportedSocketType(sock.type)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
