"""Datagrams over UNIX sockets: whole, in order, and never lost on the way."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor._beside import beside
from reactor._defaults import MAX_PACKET_SIZE, SOCKET_MODE
from reactor.address import Address, UNIXAddress
from reactor.error import CannotListenError
from reactor.failure import Failure
from reactor.interfaces import BytesLike, ITransportReactor
from reactor.transports.datagram import DatagramPort
from reactor.transports.unix.path import HoldsPath, checkName, openSocket
from reactor.transports.unix.stream import Path, cannotListen, openBound

_GONE = frozenset({errno.ECONNREFUSED, errno.ENOTCONN})


class _UNIXDatagramSocket(HoldsPath, DatagramPort):
    """The common base of both kinds: a socket that may have a file."""

    def __init__(
        self,
        reactor: ITransportReactor,
        address: Path | None,
        protocol: Any,
        maxPacketSize: int,
        mode: int,
        wantPID: bool,
    ) -> None:
        super().__init__(reactor, protocol, maxPacketSize)
        self.address = UNIXAddress(address)
        self.mode = mode
        self.wantPID = bool(wantPID)

    if TYPE_CHECKING:

        def getHost(self) -> UNIXAddress: ...

    def _openSocket(self) -> socket.socket:
        if self.address.name is None:
            return openSocket(socket.SOCK_DGRAM)
        sock, self._bound = openBound(socket.SOCK_DGRAM, self.address, self.mode, self.wantPID)
        return sock

    def _describe(self, sock: socket.socket) -> Address:
        return UNIXAddress(sock.getsockname() or None)

    def _cannotListen(self, error: OSError) -> CannotListenError:
        return cannotListen(self.address, error)


class UNIXDatagramPort(_UNIXDatagramSocket):
    """A UNIX datagram socket at `address`, a path or, if it begins with a NUL, an abstract name; None: at none."""

    def __init__(
        self,
        reactor: ITransportReactor,
        address: Path | None,
        protocol: Any,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> None:
        super().__init__(reactor, address, protocol, maxPacketSize, mode, wantPID)

    def write(self, datagram: BytesLike, address: Path | None) -> None:
        """Send `datagram` to `address`, a path or abstract name.

        MessageLengthError if it is longer than the send buffer; OSError without a receiver or without permission. The
        datagram is dropped, and counted in `unsentCount`, if the receiver's queue is full (net.unix.max_dgram_qlen).
        The same holds if `address` is None, which is the address of a peer without a name.
        """
        if address is None:
            self._unsent("its receiver has no address")
        else:
            self._send(datagram, os.fsencode(address))

    def _received(self, callback: Callable[..., object], datagram: bytes, name: Any) -> object:
        return callback(datagram, name)


class ConnectedUNIXDatagramPort(_UNIXDatagramSocket):
    """A UNIX datagram socket that is connected to `address`, and bound to `bindAddress` if one is given.

    The protocol's datagramReceived gets no address, as there is only one sender.
    """

    def __init__(
        self,
        reactor: ITransportReactor,
        address: Path,
        protocol: Any,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        bindAddress: Path | None = None,
        wantPID: bool = True,
    ) -> None:
        super().__init__(reactor, bindAddress, protocol, maxPacketSize, mode, wantPID)
        self.remoteAddress = UNIXAddress(address)

    def startListening(self) -> None:
        """Bind, connect, and call the protocol at once: makeConnection, or connectionFailed with a Failure."""
        try:
            super().startListening()
        except Exception:
            beside(
                self.protocol.connectionFailed(Failure()),
                lambda failure: self.reactor.reportFailure(failure, "connectionFailed of", self.protocol),
            )

    def write(self, datagram: BytesLike) -> None:
        """Send `datagram` to the peer. MessageLengthError if it is longer than the send buffer.

        It is dropped, and counted in `unsentCount`, if the peer's queue is full (net.unix.max_dgram_qlen). If the peer
        has ended, the datagram goes to the socket that has the address by now. Without one, connectionRefused of the
        protocol is called.
        """
        try:
            self._send(datagram)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self._sendToNext(datagram)

    def getPeer(self) -> Address:
        """Return the address of the other side."""
        return self.remoteAddress

    def _sendToNext(self, datagram: BytesLike) -> None:
        """Connect to the next peer: the old one has ended, and the kernel has dissolved the connection."""
        try:
            self._sock().connect(checkName(self.remoteAddress.name))
            self._send(datagram)
        except OSError:
            self._refused()

    def _openSocket(self) -> socket.socket:
        sock = super()._openSocket()
        try:
            sock.connect(checkName(self.remoteAddress.name))
        except BaseException:
            sock.close()
            self._released()
            raise
        return sock

    def _received(self, callback: Callable[..., object], datagram: bytes, name: Any) -> object:
        return callback(datagram)
