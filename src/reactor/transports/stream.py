"""Connection: a connected stream socket of any family, and the protocol that lives on it.

A line passes through doRead: one bounded recv an event, one call of dataReceived, and one send of the output of that
call. Level-triggered polling asks again, so no peer starves the rest. A read of short lines may hold so many that their
handlers take long. So the next reads are smaller after a full read whose delivery took longer than TURN. doRead takes
care of its own end of stream and errors. So an exception that escapes from it was raised by the protocol, and the loop
gives that to failConnection.

A readiness flag only wakes. recv and send tell the truth, and no connection is closed because of a flag. If the system
has no memory for a send, a timer tries it again after SEND_REST. Polling would call the socket writable all the time,
as its own buffer has room.

The phases of a connection, and the meaning of its methods, stand in duplex.py.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from socket import SocketType
from socket import socket as Socket
from typing import Any, cast

from reactor.address import Address
from reactor.error import ConnectionDone, ConnectionLost
from reactor.failure import Failure, failureOf
from reactor.interfaces import IDelayedCall, IProtocol, ITransportReactor
from reactor.timers import monotonicTime
from reactor.transports.duplex import UNWANTED, WANTED, DuplexStream, isHalfCloseable
from reactor.transports.output import ABORTED, ENDED, OPEN

READ_SIZE = 64 * 1024
TURN = 0.005  # seconds that a protocol should have for one read, as all others wait meanwhile
LEAST_READ = 256  # bytes; reads become no smaller by themselves
SEND_REST = 0.01
# ETOOMANYREFS: too many descriptors are on their way between processes. It passes when their receivers take them.
_NO_MEMORY = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(DuplexStream):
    """The transport of one connected stream socket. A port or an attempt makes it, then calls start().

    A Connector follows its connection through `ended`.
    """

    __slots__ = (
        "_fd",
        "_host",
        "_peer",
        "_readHalf",
        "_readLimit",
        "_readSize",
        "_rest",
        "_sock",
        "_unread",
        "proxyHeader",
    )

    #: The ProxyHeader with which the connection has begun, None without the PROXY protocol: see reactor.haproxy.
    proxyHeader: Any

    def __init__(
        self,
        reactor: ITransportReactor,
        sock: SocketType,
        protocol: IProtocol,
        host: Address,
        peer: Address,
        ended: Callable[[Failure], None] | None = None,
    ) -> None:
        DuplexStream.__init__(self, reactor, protocol, ended)
        self._sock = sock
        self._fd = sock.fileno()
        self._host = host
        self._peer = peer
        self._readHalf = OPEN
        self._readSize = self._readLimit = READ_SIZE
        self._rest: IDelayedCall | None = None
        self._unread: Any = None  # an Unread, see handover.py
        self.proxyHeader = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self.protocol).__name__} with {self._peer}>"

    def start(self) -> None:
        """Begin to read and tell the protocol. An exception of its connectionMade costs the connection.

        OSError if the system refuses to watch one more socket. Then the caller closes the socket.
        """
        reactor = self.reactor
        reactor.opened(self)
        try:
            reactor.addReader(self)
        except BaseException:
            reactor.closed(self)
            raise
        try:
            if (made := self.protocol.makeConnection(self)) is not None:
                self._beside(made)
        except BaseException as error:
            self.failConnection(failureOf(error))

    # For protocols.

    def getHost(self) -> Address:
        """Return the address of this side, also after the connection's end.

        It is a copy, as all connections of a port share one address with it.
        """
        return copy(self._host)

    def getPeer(self) -> Address:
        """Return the address of the other side, also after the connection's end."""
        return self._peer

    @property
    def bufferSize(self) -> int:
        """The most that one read gives the protocol, in bytes: READ_SIZE, unless a program sets another number.

        Reads are smaller for a time if the protocol takes long for each: see docs/semantics.md.
        """
        return self._readLimit

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"a read has room for at least one byte: {size!r} is no number of bytes")
        self._readSize = self._readLimit = size

    @property
    def socket(self) -> Socket:
        """The socket itself, as getHandle returns it. An accepted one becomes a socket.socket here."""
        sock = self._sock
        if type(sock) is SocketType:
            sock = self._sock = _whole(sock)
            if self._fd < 0:
                self.reactor.closeSoon(sock)  # the bare socket that was to be closed has just given up its number
        return cast("Socket", sock)

    @socket.setter
    def socket(self, sock: Socket) -> None:
        self._sock = sock

    def getHandle(self) -> Socket:
        """Return the socket itself, which is non-blocking and still belongs to the transport."""
        return self.socket

    # For the loop and other transports.

    def writeLarge(self, data: bytes | memoryview) -> None:
        """Write `data`, which is large, without a copy of it.

        It is sent with what waits before it, as far as the peer takes both. Alone it waits for more, unless it has
        more than `highWater` bytes. No producer is called from here, except one to pause. The connection does not end.
        """
        isPulled = self.producer is not None and not self.streamingProducer  # it is asked when what waits has been sent
        if self._writing or self.producerPaused or isPulled or self._writeHalf >= ENDED:
            self.write(data)
            return
        waiting = self._front()
        if waiting is None and len(data) <= self.highWater:
            self.write(data)  # which keeps the object itself
            return
        try:
            sent = self._sock.sendmsg((data,) if waiting is None else (waiting, data))
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self.write(data)  # the error will come again, when no code of the writer is under way
            return
        if waiting is not None:
            before = len(waiting)
            if sent < before:
                self._drop(sent)
                self._keep(data)
                return
            isAsked = self._mark >= 0
            self._drop(before)
            if isAsked:
                self._hold(self.highWater)  # the flush that was asked for will come
            sent -= before
        if self.tally is not None:
            self._tallySent(sent)
        if sent < len(data):
            self._keep(data[sent:])

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self._fd

    def startReading(self) -> None:
        """Have the loop call doRead, if the peer can still send. If the system refuses, the connection ends."""
        if self._unread is not None:
            self._unread.resume()
            return
        if self._throttled:
            self._throttled = WANTED
        elif self.connected and self._readHalf == OPEN:
            try:
                self.reactor.addReader(self)
            except (OSError, MemoryError) as error:
                self._endSoon(error)

    def stopReading(self) -> None:
        """Undo startReading."""
        if self._unread is not None:
            self._unread.pause()
        elif self._throttled:
            self._throttled = UNWANTED
        self.reactor.removeReader(self)

    def startWriting(self) -> None:
        """Have the loop call doWrite when the peer takes more."""
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Undo startWriting."""
        self.reactor.removeWriter(self)

    def doRead(self) -> None:
        """Read once, deliver, and have the protocol's output sent."""
        size = self._readSize
        try:
            data = self._sock.recv(size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broke(error)
            return
        if not data:
            self._readEnded()
            return
        self._holdRead(data)
        result = self.protocol.dataReceived(data) if len(data) < size else self._deliverFull(data, self.protocol)
        if result is not None:
            self._beside(result)
        if self._front() is not None:
            self.reactor.flushBehindRead(self)

    def _deliverFull(self, data: bytes, protocol: IProtocol) -> Any:
        """Deliver a read that was full, so that more may wait. Choose the size of the next by how long it takes."""
        size, begun = self._readSize, monotonicTime(self.reactor)
        result = protocol.dataReceived(data)
        took = monotonicTime(self.reactor) - begun
        if self._readSize != size:
            return result  # the protocol has set it
        if took > TURN:
            self._readSize = max(min(LEAST_READ, size), int(size * TURN / took))
        elif size < self._readLimit and took < TURN / 2:
            self._readSize = min(2 * size, self._readLimit)
        return result

    def _close(self) -> None:
        if self._rest is not None:
            self._cancelRest()
        reactor = self.reactor
        reactor.removeReader(self)
        reactor.removeWriter(self)
        if self._writeHalf == ABORTED:
            self._resetOnClose()
        elif self.disconnecting:
            # Without this, a close with unread input resets the connection before the peer has read our last output.
            try:  # noqa: SIM105  # suppress() takes longer than the call
                self._sock.shutdown(socket.SHUT_RDWR)
            except (OSError, MemoryError):  # an error may lack the memory for itself
                pass
        reactor.closeSoon(self._sock)
        self._fd = -1

    def _readEnded(self) -> None:
        """The peer has ended its half."""
        reason = Failure(ConnectionDone())
        if not isHalfCloseable(self.protocol):
            self.connectionLost(reason)
            return
        self.stopReading()
        if self._readHalf == ENDED:
            return  # a program has called addReader again
        self._readHalf = ENDED
        if (told := self.protocol.readConnectionLost()) is not None:
            self._beside(told)
        if self.unsent:
            self.flush()

    def _abort(self, reason: ConnectionLost) -> None:
        self._cancelRest()
        super()._abort(reason)

    def _resetOnClose(self) -> None:
        with suppress(OSError):  # the peer has closed before, or the family has no reset: a close is enough
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    # The methods that OutputStream calls.

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _sendFailed(self, error: OSError) -> None:
        if error.errno not in _NO_MEMORY:
            super()._sendFailed(error)
            return
        if self._rest is None:
            self._rest = self.reactor.callLater(SEND_REST, self._endRest)
        if self._writing:
            self._writing = False
            self.stopWriting()

    def _endRest(self) -> None:
        self._rest = None
        try:
            self.flush()
        except BaseException as error:
            self.failConnection(failureOf(error))

    def _cancelRest(self) -> None:
        rest, self._rest = self._rest, None
        if rest is not None and rest.active():  # else its call has been broken off, by a signal's handler
            rest.cancel()

    def _endWriting(self) -> None:
        self._writeHalf = ENDED
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._sendFailed(error)
            return
        if isHalfCloseable(self.protocol) and (told := self.protocol.writeConnectionLost()) is not None:
            self._beside(told)


def _whole(bare: SocketType) -> SocketType:
    """Return a socket.socket in place of `bare`, with the same number; a closed one if `bare` is closed."""
    number = bare.fileno()
    try:
        sock = Socket(bare.family, bare.type, bare.proto, None if number < 0 else number)
    except OSError:
        return bare  # no descriptor is free, or, after a fork, the number no longer belongs to a socket
    if number < 0:
        sock.close()
    else:
        bare.detach()
        sock.setblocking(False)
    return sock
