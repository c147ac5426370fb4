"""Connection: a connected stream socket of any family, and the protocol that lives on it.

The path of a line runs through doRead: one bounded recv an event (level-triggered polling asks again, so nobody
starves the rest), one call of dataReceived, and one send of what that call wrote. doRead takes care of its own end of
stream and errors; what escapes from it was raised by the protocol, and the loop gives that to failConnection.

A readiness flag only wakes: recv and send tell what really happened, and no connection is closed because of a flag.

There are three ways to end, and all of them come through connectionLost, which runs once:
- loseConnection: reading stops, what was written is sent, a pull producer or a paused push producer may finish first;
- abortConnection, or a backlog above the output limit: everything unsent is dropped and the peer sees a reset;
- the peer's end of stream, an error of the socket, or an exception of the protocol.

The two halves can end apart. A protocol that has readConnectionLost and writeConnectionLost is told of each half; for
one that has not, the peer's end of stream ends the connection.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor.address import Address
from reactor.error import ConnectionAborted, ConnectionDone, ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure
from reactor.interfaces import IProtocol, ITransportReactor
from reactor.transports.output import OutputStream

log = logging.getLogger("reactor.transports")

READ_SIZE = 64 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


# Which halves of a connection are open.
_READ, _WRITE = 1, 2


class Connection(OutputStream):
    """The transport of one connected stream socket. A port or an attempt makes it, then calls start().

    `ended`, if given, is called with the reason after the protocol's connectionLost: a Connector follows its connection
    this way.
    """

    __slots__ = ("__weakref__", "_aborting", "_ended", "_fd", "_halves", "_host", "_peer", "protocol", "socket")

    bufferSize = READ_SIZE

    def __init__(
        self,
        reactor: ITransportReactor,
        sock: socket.socket,
        protocol: IProtocol,
        host: Address,
        peer: Address,
        ended: Callable[[Failure], None] | None = None,
    ) -> None:
        super().__init__(reactor)
        self.socket = sock
        self.protocol: Any = protocol
        self._fd = sock.fileno()
        self._host = host
        self._peer = peer
        self._ended = ended
        self._aborting = False
        self._halves = _READ | _WRITE

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {type(self.protocol).__name__} with {self._peer}>"

    def start(self) -> None:
        """Begin to read and tell the protocol. What its connectionMade raises costs the connection.

        OSError if the system refuses to watch one more socket, which then is the caller's to close.
        """
        self.reactor.addReader(self)
        self.reactor.opened(self)
        try:
            self.protocol.makeConnection(self)
        except BaseException:
            self.failConnection(Failure())

    # For protocols.

    def getHost(self) -> Address:
        """Return the address of this side, also after the connection's end."""
        return self._host

    def getPeer(self) -> Address:
        """Return the address of the other side, also after the connection's end."""
        return self._peer

    def getHandle(self) -> socket.socket:
        """Return the socket itself. It is non-blocking, and it stays the transport's."""
        return self.socket

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        name: str = self.protocol.logPrefix() if hasattr(self.protocol, "logPrefix") else type(self.protocol).__name__
        return name

    def loseConnection(self) -> None:
        """Read no more, send what was written, then close. connectionLost(ConnectionDone) comes later, never from here,
        unless our half has been closed already by loseWriteConnection. Calling it again does nothing.
        """
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        self.stopReading()
        if self._halves & _WRITE:
            self._flushSoon()
        else:
            self.connectionLost(Failure(ConnectionDone()))

    def abortConnection(self) -> None:
        """Drop what was not sent and reset the connection. connectionLost(ConnectionAborted) comes on the next turn."""
        self._abort(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Send what was written, then end our half; writeConnectionLost follows. Later writes are dropped."""
        if self.connected and self._halves & _WRITE:
            self._ending = True
            self._flushSoon()

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self.stopReading()

    def resumeProducing(self) -> None:
        """Read again, unless the connection is closing."""
        if self.connected and not self.disconnecting:
            self.startReading()

    def stopProducing(self) -> None:
        """loseConnection(), in the words of a producer."""
        self.loseConnection()

    # For the loop and other transports.

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self._fd

    def startReading(self) -> None:
        """Have doRead called, if the peer can still send."""
        if self.connected and self._halves & _READ:
            self.reactor.addReader(self)

    def stopReading(self) -> None:
        """Undo startReading."""
        self.reactor.removeReader(self)

    def startWriting(self) -> None:
        """Have doWrite called when the peer takes more."""
        self.reactor.addWriter(self)

    def stopWriting(self) -> None:
        """Undo startWriting."""
        self.reactor.removeWriter(self)

    def doRead(self) -> None:
        """Read once, deliver, and send what the protocol wrote meanwhile."""
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self.connectionLost(Failure(ConnectionLost(str(error))))
            return
        if not data:
            self._readEnded()
            return
        if self._mark < 0:
            self._mark = self.highWater
        self.protocol.dataReceived(data)
        if self._output:
            self.flush()
        else:
            self._mark = -1

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol raised or answered with, and end the connection with it."""
        self.reactor.reportFailure(failure, f"a callback of {self!r}")
        self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and tell the producer, the protocol and the connector. Once only: later calls do nothing."""
        if self.disconnected:
            return
        self.disconnected = True
        self.connected = False
        self._over = True
        self._discardOutput()
        reactor = self.reactor
        reactor.removeReader(self)
        reactor.removeWriter(self)
        reactor.closed(self)
        if self._aborting:
            self._resetOnClose()
        elif self.disconnecting:
            # Without it, closing while there is unread input resets the connection before the peer has read our last.
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)
        reactor.closeSoon(self.socket)
        self._fd = -1
        producer, self.producer = self.producer, None
        if producer is not None:
            self._tell(producer.stopProducing, "stopProducing")
        protocol = self.protocol
        self._tell(protocol.connectionLost, "connectionLost", reason)
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(reason)
        self.protocol = None  # breaks the cycle with protocol.transport, which stays

    def _tell(self, callback: Callable[..., object], name: str, *args: object) -> bool:
        """Call `callback`; log what it raises. Return whether it raised nothing."""
        try:
            callback(*args)
        except BaseException:
            self.reactor.reportFailure(Failure(), f"{name} of {self!r}")
            return False
        return True

    def _readEnded(self) -> None:
        """The peer has ended its half."""
        reason = Failure(ConnectionDone())
        if not _isHalfCloseable(self.protocol):
            self.connectionLost(reason)
            return
        self._halves &= ~_READ
        self.stopReading()
        self.protocol.readConnectionLost()
        if self._output:
            self.flush()

    def _abort(self, reason: ConnectionLost) -> None:
        if self.disconnected or self._aborting:
            return
        self._aborting = True
        self._over = True
        self.disconnecting = True
        self._discardOutput()
        self.stopReading()
        self.stopWriting()
        self.reactor.callLater(0, self.connectionLost, Failure(reason))

    def _resetOnClose(self) -> None:
        with suppress(OSError):  # the peer was faster, or the family knows no reset: closing is all there is to do
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    # OutputStream's questions.

    def _send(self, data: bytearray | memoryview) -> int:
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _sendFailed(self, error: OSError) -> None:
        self.connectionLost(Failure(ConnectionLost(str(error))))

    def _outputOverflowed(self) -> None:
        log.warning("%r: more than the limit is unsent, %d bytes; the connection is reset", self, self.unsent)
        self._abort(OutputLimitExceeded(f"{self.unsent} bytes"))

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self.connectionLost(Failure(ConnectionDone()))
        elif self._ending:
            self._endWriting()

    def _endWriting(self) -> None:
        self._halves &= ~_WRITE
        self._ending = False
        self._over = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._sendFailed(error)
            return
        if _isHalfCloseable(self.protocol):
            self.protocol.writeConnectionLost()


def _isHalfCloseable(protocol: object) -> bool:
    """Whether `protocol` is an IHalfCloseableProtocol. (isinstance would say so too, at ten times the cost.)"""
    return hasattr(protocol, "readConnectionLost") and hasattr(protocol, "writeConnectionLost")
