"""DatagramPort: a datagram socket of any family, and the protocol that lives on it.

One readiness event takes at most RECEIVE_BATCH datagrams, so a flood leaves other connections their turns. Polling is
level-triggered and reports the rest again. An exception of the protocol is logged, and has no other effect.

Nothing is cut, and nothing is lost without a count:

- Every datagram is read whole. A datagram longer than `maxPacketSize` goes to datagramLengthExceeded of the protocol,
  is counted in `oversizedCount`, and logged.
- getDroppedCount() returns the number of datagrams that the kernel dropped because its receive buffer was full.
  setReceiveBufferSize() gives it more room.
- A datagram is dropped, as datagrams may be, if a buffer or the receiver's queue is full. So is an answer to a peer
  that gave no address. `unsentCount` counts them, and they are logged. Not chosen: queueing them, as they would be old
  when they leave; raising, because a peer would then decide whether write() raises.

The log has at most one such record a LOG_INTERVAL: a flood of datagrams must not fill a disk.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from reactor._arguments import checkProtocol
from reactor._beside import beside
from reactor._closing import tellStopped
from reactor._logger import getLogger
from reactor._views import sizeOf
from reactor.address import Address
from reactor.defer import Deferred
from reactor.error import CannotListenError, ConnectionDone, MessageLengthError
from reactor.failure import Failure, failureOf
from reactor.interfaces import BytesLike, ITransportReactor
from reactor.interfaces.asking import conform
from reactor.timers import monotonicTime
from reactor.transports.resting import Rest

log = getLogger("reactor.transports")

RECEIVE_BATCH = 64
RECEIVE_SIZE = 64 * 1024  # bytes: more than a UDP datagram can have
RECEIVE_REST = 0.1
LOG_INTERVAL = 1.0

_NOT_NOW = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS, errno.ENOMEM})
_SO_MEMINFO, _MEMINFO = 55, struct.Struct("9I")  # linux/sock_diag.h; the last number counts the drops


class DatagramPort:
    """A datagram socket and its protocol. reactor.listenXXX makes one and starts it.

    `oversizedCount` and `unsentCount` count datagrams, from the port's making on.
    """

    __conform__ = conform

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: ITransportReactor, protocol: Any, maxPacketSize: int) -> None:
        if maxPacketSize < 0:
            raise ValueError(f"maxPacketSize is a number of bytes, not {maxPacketSize}")
        checkProtocol(protocol)
        self.reactor = reactor
        self.protocol = protocol
        self.maxPacketSize = maxPacketSize
        self.connected = False
        self.disconnected = False
        self.socket: socket.socket | None = None
        self.oversizedCount = 0
        self.unsentCount = 0
        self._droppedCount = 0
        # One byte more than the limit shows that the kernel has cut a datagram.
        self._buffer = memoryview(bytearray(max(RECEIVE_SIZE, maxPacketSize + 1)))
        self._host: Address | None = None
        self._reading = False
        self._stopped: Deferred[None] | None = None
        self._stopTold = False  # the protocol has had the call for the port's end
        self._rest = Rest(reactor, RECEIVE_REST)
        self._nextLog = float("-inf")

    def __repr__(self) -> str:
        where = self._host if self.connected else "(not listening)"
        return f"<{type(self).__name__} of {type(self.protocol).__name__} on {where}>"

    # The methods of a family.

    def _openSocket(self) -> socket.socket:
        """Return a bound, non-blocking socket. CannotListenError if the system refuses."""
        raise NotImplementedError

    def _describe(self, sock: socket.socket) -> Address:
        """Return the address that `sock` is bound to."""
        raise NotImplementedError

    def _cannotListen(self, error: OSError) -> CannotListenError:
        """Return the error with the address where listening failed."""
        raise NotImplementedError

    def _received(self, callback: Callable[..., object], datagram: bytes, name: Any) -> object:
        """Call `callback` with a datagram, and with its sender in the family's form. Return the result."""
        raise NotImplementedError

    def _released(self) -> None:
        """Release further resources of a family: the port no longer has its socket."""

    # For programs.

    def startListening(self) -> None:
        """Bind, and call the protocol. CannotListenError if the system refuses; the protocol then gets no call."""
        if self.connected:
            return
        sock = self._openSocket()
        try:
            self._host = self._describe(sock)
        except BaseException as error:
            sock.close()
            self._released()
            if isinstance(error, OSError):
                raise self._cannotListen(error) from error
            raise
        self.socket = sock
        self.connected = True
        self.disconnected = False
        try:
            self.reactor.opened(self)
            self.startReading()
            made = self.protocol.makeConnection(self)
            if made is not None:
                beside(made, self._startFailed)
        except BaseException:
            self._close()
            self.protocol.transport = None
            raise

    def _startFailed(self, failure: Failure) -> None:
        """Close the port: startProtocol was a coroutine and has failed, which is the same as if it had raised."""
        self.reactor.reportFailure(failure, "startProtocol of", self.protocol)
        self.connectionLost(Failure(ConnectionDone()))

    def writeSequence(self, seq: Iterable[BytesLike], *addr: Any) -> None:
        """Send the pieces of `seq` as one datagram, as with write(b"".join(seq), *addr)."""
        family: Any = self  # each subclass has its own write
        family.write(b"".join(seq), *addr)

    def stopListening(self) -> Deferred[None] | None:
        """Receive no more. The Deferred fires on the next turn, with the socket closed; None if it was closed."""
        if not self.connected:
            return None
        if self._stopped is None:
            stopped: Deferred[None] = Deferred()
            self.reactor.callLater(0, self._stop, stopped)  # first, as there may be no memory for it
            self._stopped = stopped
            self.stopReading()
        return self._stopped

    loseConnection = stopListening

    def getHost(self) -> Address:
        """Return the address of this side, with the port number that the system chose for port 0."""
        if self.socket is not None:
            with suppress(OSError):  # other code may have closed the descriptor
                self._host = self._describe(self.socket)  # connect() may have changed it
        if self._host is None:
            raise RuntimeError("the port has never listened")
        return self._host

    def getHandle(self) -> socket.socket:
        """Return the socket itself, which is non-blocking and still belongs to the port."""
        return self._sock()

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        name = getattr(self.protocol, "logPrefix", None)
        return str(name()) if name is not None else type(self.protocol).__name__

    def getDroppedCount(self) -> int:
        """Return the number of datagrams that the kernel dropped because the port's receive buffer was full.

        It is the number of this moment (SO_MEMINFO), which SO_RXQ_OVFL (socket(7)) would give with the next datagram.
        It is 0 if the system does not count.
        """
        if self.socket is not None:
            with suppress(OSError, struct.error):
                data = self.socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
                self._droppedCount = _MEMINFO.unpack(data)[8]
        return self._droppedCount

    def getReceiveBufferSize(self) -> int:
        """Return the size in bytes of the kernel's receive buffer for this port, its own overhead included."""
        return self._sock().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def setReceiveBufferSize(self, size: int) -> int:
        """Ask for `size` bytes of SO_RCVBUF. Return the granted size: the system has a minimum and a maximum.

        Linux doubles the requested size for its own overhead. The maximum is in net.core.rmem_max.
        """
        self._sock().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        return self.getReceiveBufferSize()

    def pauseProducing(self) -> None:
        """Receive nothing until resumeProducing: the kernel fills its buffer, and drops the rest."""
        self.stopReading()

    def resumeProducing(self) -> None:
        """Receive again."""
        if self.connected and self._stopped is None:
            try:
                self.startReading()
            except (OSError, MemoryError):
                self.failConnection(Failure())

    # For the loop.

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 if there is none."""
        return -1 if self.socket is None else self.socket.fileno()

    def startReading(self) -> None:
        """Have the loop call doRead."""
        if not self._reading and not self._rest:
            self.reactor.addReader(self)
            self._reading = True

    def stopReading(self) -> None:
        """Undo startReading."""
        self._rest.cancel()
        if self._reading:
            self._reading = False
            self.reactor.removeReader(self)

    def doRead(self) -> None:
        """Receive waiting datagrams, a bounded batch."""
        sock, buffer, failed = self._sock(), self._buffer, False
        for _ in range(RECEIVE_BATCH):
            try:
                size, name = sock.recvfrom_into(buffer)
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionRefusedError:
                self._refused()
            except OSError as error:
                # An error of the network comes once, and there may be datagrams behind it. One that comes again at once
                # is an error of the socket.
                self._warn("%r cannot receive: %s", self, error)
                if failed:
                    self._takeRest()
                    return
                failed = True
            else:
                failed = False
                self._deliver(bytes(buffer[:size]), name)
            if not self._reading:
                return

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket and call the protocol. Later calls do nothing."""
        if not self.connected:
            return
        self._stopTold = False
        try:
            self._end()
        except BaseException:  # a signal's handler has raised between two steps, each of which can be repeated
            self._end()
            raise

    def _end(self) -> None:
        if self.socket is not None:
            self._close()
        if not self._stopTold:
            try:
                self._stopTold = True
                if (told := self.protocol.doStop()) is not None:
                    self._besideReported(told, "doStop of")
            except BaseException as error:
                self.reactor.reportFailure(failureOf(error), "doStop of", self.protocol)
        stopped = self._stopped
        if stopped is not None:
            tellStopped(self, stopped)

    def failConnection(self, failure: Failure) -> None:
        """Rest, and go on: receiving has failed, usually for lack of memory."""
        if self.connected and self._stopped is None:
            self._takeRest()
        if isinstance(failure.value, (OSError, MemoryError)):
            self._warn("%r cannot receive: %s", self, str(failure.value) or type(failure.value).__name__)
        else:
            self.reactor.reportFailure(failure, "receiving of", self)

    def _sock(self) -> socket.socket:
        if self.socket is None:
            raise RuntimeError("the port is not listening")
        return self.socket

    def _close(self) -> None:
        self.getHost()
        self.getDroppedCount()
        self.connected = False
        self.disconnected = True
        self.stopReading()
        self.reactor.closed(self)
        self._released()
        self.reactor.closeSoon(self._sock())
        self.socket = None

    def _stop(self, stopped: Deferred[None]) -> None:
        if stopped is self._stopped:  # the reactor may have ended before, and the port may be open again by now
            self.connectionLost(Failure(ConnectionDone()))

    def _deliver(self, datagram: bytes, name: Any) -> None:
        protocol = self.protocol
        try:
            if len(datagram) <= self.maxPacketSize:
                result = self._received(protocol.datagramReceived, datagram, name)
                if result is not None:
                    beside(result, self._callbackFailed)
                return
            self.oversizedCount += 1
            self._warn("%r: over %d bytes in a datagram (%d so far)", self, self.maxPacketSize, self.oversizedCount)
            callback = getattr(protocol, "datagramLengthExceeded", None)
            if callback is not None:
                beside(self._received(callback, datagram, name), self._callbackFailed)
        except BaseException:
            self._callbackFailed(Failure())

    def _callbackFailed(self, failure: Failure) -> None:
        self.reactor.reportFailure(failure, "a callback of", self.protocol)

    def _refused(self) -> None:
        """Handle a refusal: the peer of a connected socket does not listen."""
        try:
            if (told := self.protocol.connectionRefused()) is not None:
                self._besideReported(told, "connectionRefused of")
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "connectionRefused of", self.protocol)

    def _besideReported(self, told: object, what: str) -> None:
        """See DuplexStream._besideReported."""
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, self.protocol))

    def _takeRest(self) -> None:
        self._rest.take(self.startReading, self.failConnection)
        if self._reading:
            self._reading = False
            self.reactor.removeReader(self)

    # Sending.

    def _send(self, datagram: BytesLike, name: Any = None) -> None:
        """Send to `name`, or to the peer of a connected socket. OSError of the system, but see the module."""
        if self.socket is None:
            return
        try:
            if name is None:
                self.socket.send(datagram)
            else:
                self.socket.sendto(datagram, name)
        except OSError as error:
            if error.errno == errno.EMSGSIZE:
                raise MessageLengthError(f"{sizeOf(datagram)} bytes") from error
            if error.errno not in _NOT_NOW:
                raise
            self._unsent(str(error))

    def _unsent(self, why: str) -> None:
        self.unsentCount += 1
        self._warn("%r: a datagram is dropped unsent, %s (%d so far)", self, why, self.unsentCount)

    def _warn(self, text: str, *arguments: object) -> None:
        now = monotonicTime(self.reactor)
        if now >= self._nextLog:
            self._nextLog = now + LOG_INTERVAL
            log.warning(text, *arguments)
