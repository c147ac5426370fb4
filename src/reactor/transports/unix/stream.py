"""Streams over UNIX sockets: ports, connectors, and the credentials of peers."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, SOCKET_MODE
from reactor.address import Address, UNIXAddress
from reactor.defer import Deferred, fail, succeed
from reactor.error import BadFileError, CannotListenError, ConnectError
from reactor.failure import Failure
from reactor.interfaces import IClientFactory, IProtocolFactory, ITransportReactor
from reactor.transports.connecting import Connector, Target
from reactor.transports.descriptors import DescriptorStream
from reactor.transports.listening import ListeningPort
from reactor.transports.starttls import StartTLSMixin
from reactor.transports.stream import Connection
from reactor.transports.unix.path import BoundPath, HoldsPath, PathLock, checkName, isAbstract, openSocket

Path: TypeAlias = str | bytes | os.PathLike[str]

_CREDENTIALS = struct.Struct("iII")


class PeerCredentials(NamedTuple):
    """The other end: its process, user and group, as the kernel noted them."""

    pid: int
    uid: int
    gid: int


class UNIXConnection(StartTLSMixin, DescriptorStream):
    """A connection over a UNIX stream socket.

    A peer sees an abortConnection() of this side as an end of stream: the kernel resets only a socket that is closed
    with unread data.

    Descriptors go both ways: see sendFileDescriptor, and IFileDescriptorReceiver for protocols.
    """

    __slots__ = ()

    def getPeerCredentials(self) -> PeerCredentials:
        """Return the credentials of the process that called connect(), or, for a client, listen().

        The kernel vouches for them (SO_PEERCRED, unix(7)). OSError after the connection's end. NotImplementedError on
        a system that does not tell them so, such as macOS.
        """
        if not hasattr(socket, "SO_PEERCRED"):
            raise NotImplementedError("this system has no SO_PEERCRED, which tells a peer's credentials")
        data = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return PeerCredentials(*_CREDENTIALS.unpack(data))

    def getTcpNoDelay(self) -> bool:
        """Return False. The method is for programs that treat every transport as TCP's, as in Twisted."""
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing: there is no delay."""

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set. It has no effect: a peer on the same machine does not vanish silently."""
        return bool(self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))


class UNIXClientConnection(UNIXConnection):
    """A connection that this side has made. `connector` is the Connector that made it."""

    __slots__ = ("connector",)

    connector: Connector


class UNIXPort(HoldsPath, ListeningPort):
    """A listening UNIX stream socket at `address`, a path or, if it begins with a NUL, an abstract name."""

    def __init__(
        self,
        reactor: ITransportReactor,
        address: Path,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> None:
        super().__init__(reactor, factory, backlog)
        self.address = UNIXAddress(address)
        self.mode = mode
        self.wantPID = bool(wantPID)

    if TYPE_CHECKING:

        def getHost(self) -> UNIXAddress: ...

    def _openSocket(self) -> socket.socket:
        sock, bound = openBound(socket.SOCK_STREAM, self.address, self.mode, self.wantPID)
        self._bound = bound
        return sock

    def _cannotListen(self, error: OSError) -> CannotListenError:
        return cannotListen(self.address, error)

    def _describe(self, sock: socket.socket) -> Address:
        return UNIXAddress(sock.getsockname())

    def _peerAddress(self, name: Any) -> Address:
        return UNIXAddress(name or None)

    def _makeConnection(self, sock: socket.SocketType, protocol: Any, peer: Address) -> Connection:
        return UNIXConnection(self.reactor, sock, protocol, self.getHost(), peer)


class UNIXConnector(Connector):
    """A client's handle on a UNIX stream connection to `address`, a path or an abstract name."""

    def __init__(
        self,
        reactor: ITransportReactor,
        address: Path,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        checkPID: bool = False,
    ) -> None:
        super().__init__(reactor, factory, timeout)
        self.address = UNIXAddress(address)
        self.checkPID = bool(checkPID)

    def getDestination(self) -> Address:
        """Return the requested address."""
        return copy(self.address)

    def _lookUp(self) -> Deferred[list[Target]]:
        try:
            name = checkName(self.address.name)
        except OSError as error:
            return fail(ConnectError(error.errno, error.strerror))
        if self.checkPID and not isAbstract(name) and not PathLock(name).isHeld():
            return fail(BadFileError(string=f"no live process holds the lock of {os.fsdecode(name)}"))
        return succeed([(socket.AF_UNIX, name)])

    def _bind(self) -> Callable[[socket.socket], None] | None:
        return None

    def _peerOf(self, sock: socket.socket) -> Address:
        return copy(self.address)

    def _makeConnection(
        self, sock: socket.socket, protocol: Any, peer: Address, ended: Callable[[Failure], None] | None
    ) -> Connection:
        connection = UNIXClientConnection(self.reactor, sock, protocol, UNIXAddress(None), peer, ended)
        connection.connector = self
        return connection


def openBound(kind: int, address: UNIXAddress, mode: int, wantLock: bool) -> tuple[socket.socket, BoundPath]:
    """Return a non-blocking socket bound to `address`, and the BoundPath to release with it. CannotListenError."""
    sock = openSocket(kind)
    try:
        bound = BoundPath(checkName(address.name), wantLock)
        bound.bind(sock, mode)
    except OSError as error:
        sock.close()
        raise cannotListen(address, error) from error
    return sock, bound


def cannotListen(address: UNIXAddress, error: OSError) -> CannotListenError:
    """Return the error with `address` and its fault."""
    return CannotListenError("unix", "" if address.name is None else os.fsdecode(address.name), error)
