"""Streams that carry descriptors beside bytes (SCM_RIGHTS, unix(7)).

A descriptor is sent as a duplicate, so the program may close its own at once. It goes with a byte of its own, as a
receiver may have room for one at a time. It is received with O_CLOEXEC, and only for a protocol that has
fileDescriptorReceived. For other protocols the kernel closes the peer's descriptors.
"""

from __future__ import annotations

import logging
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor._numbers import closeNumber
from reactor.address import Address
from reactor.error import FileDescriptorOverrun, OutputLimitExceeded, SSLError
from reactor.failure import Failure
from reactor.interfaces import IProtocol, ITransportReactor
from reactor.protocol.standins import behind
from reactor.transports.output import ENDED
from reactor.transports.stream import Connection
from reactor.transports.tls.layer import PLAIN_BYTES, TLSLayer

with suppress(ImportError):  # Windows has neither it nor such sockets
    import fcntl

log = getLogger("reactor.transports")

# The number of descriptors that may wait on one connection, which is also the limit of one message on Linux
# (SCM_MAX_FD).
DESCRIPTOR_LIMIT = 253
_SPACE = socket.CMSG_SPACE(DESCRIPTOR_LIMIT * struct.calcsize("i")) if hasattr(socket, "CMSG_SPACE") else 0


class DescriptorStream(Connection):
    """A Connection that also carries descriptors."""

    __slots__ = ("_descriptors", "_wantsNone")

    def __init__(
        self,
        reactor: ITransportReactor,
        sock: socket.SocketType,
        protocol: IProtocol,
        host: Address,
        peer: Address,
        ended: Callable[[Failure], None] | None = None,
    ) -> None:
        Connection.__init__(self, reactor, sock, protocol, host, peer, ended)
        self._descriptors: list[int] | None = None  # waiting duplicates
        self._wantsNone: type | None = None  # a class of protocols that takes no descriptors

    def sendFileDescriptor(self, descriptor: int) -> None:
        """Send a duplicate of `descriptor`, for example of a file, pipe or socket, with a byte of output.

        Each goes with a byte of its own, the first waiting ones. So the same callback must write at least as many
        bytes, before or after this. Otherwise the connection ends with FileDescriptorOverrun. `descriptor` is
        duplicated at once and may be closed. Beyond DESCRIPTOR_LIMIT waiting ones the connection is reset, with
        OutputLimitExceeded. A push producer is paused above half of that. OSError if it is no descriptor; RuntimeError
        under TLS.
        """
        if self._writeHalf >= ENDED:
            return
        if isinstance(self.protocol, TLSLayer):
            raise RuntimeError("descriptors cannot be sent under TLS")
        waiting = self._descriptors
        if waiting is None:
            waiting = self._descriptors = []
        if len(waiting) >= DESCRIPTOR_LIMIT:
            self.reactor.overflowCount += 1
            text = "%r: the peer takes no descriptors, %d wait; the connection is reset"
            log.limited(logging.WARNING, text, self, len(waiting))
            self._abort(OutputLimitExceeded(f"{len(waiting)} descriptors"))
            return
        number: int = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
        waiting.append(number)
        if len(waiting) == 1:
            self.reactor.flushSoon(_Overrun(self))
        pausable = self.producer is not None and self.streamingProducer and not self.producerPaused
        if pausable and len(waiting) > DESCRIPTOR_LIMIT // 2:
            self.producerPaused = True
            if (asked := self.producer.pauseProducing()) is not None:
                self._beside(asked)

    # For the loop.

    def doRead(self) -> None:
        """See Connection.doRead. Descriptors go to the protocol before the byte that they came with."""
        protocol = self.protocol
        if type(protocol) is not self._wantsNone and self._takes(protocol):
            self._receive()
            return
        # The same as Connection.doRead, whose call would cost as much as a line.
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
        result = protocol.dataReceived(data) if len(data) < size else self._deliverFull(data, protocol)
        if result is not None:
            self._beside(result)
        if self._front() is not None:
            self.flush()

    def _takes(self, protocol: Any) -> bool:
        """Whether `protocol` takes descriptors. Classes that do not are remembered: the check takes 1% of an event."""
        if getattr(protocol, "fileDescriptorReceived", None) is not None:
            return True
        kind = type(protocol)
        if not hasattr(kind, "__getattr__"):  # otherwise another of its instances may
            self._wantsNone = kind
        return False

    def _receive(self) -> None:
        try:
            data, messages, flags, _ = self._sock.recvmsg(self._readSize, _SPACE, socket.MSG_CMSG_CLOEXEC)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._broke(error)
            return
        kind, received = type(self), deque(_descriptorsIn(messages))
        try:
            if flags & socket.MSG_CTRUNC:
                # The protocol would read the following bytes in a wrong way.
                self._broke("no room for the descriptors that the peer has sent")
                return
            if not data:
                self._readEnded()
                return
            self._holdRead(data)
            while received and type(self) is kind and not self.disconnecting:
                take = getattr(self.protocol, "fileDescriptorReceived", None)
                if take is None:  # an earlier descriptor has made the protocol replace itself by one that wants none
                    break
                if (told := take(received.popleft())) is not None:
                    self._beside(told)
        finally:
            for descriptor in received:
                closeNumber(descriptor)
        if type(self) is not kind:  # a descriptor has made the protocol call startTLS, and this is plain
            behind(self)._abort(SSLError(string=PLAIN_BYTES))
            return
        if not self.disconnecting and (result := self.protocol.dataReceived(data)) is not None:
            self._beside(result)
        if self._front() is not None:
            self.flush()

    def _forked(self) -> list[int]:
        """See loops.forks. The parent sends the waiting descriptors."""
        return self._descriptors or []

    def _close(self) -> None:
        waiting = self._descriptors
        while waiting:
            descriptor = waiting[-1]
            del waiting[-1]
            closeNumber(descriptor)
        self._descriptors = None
        Connection._close(self)

    def writeLarge(self, data: bytes | memoryview) -> None:
        """See Connection."""
        if self._descriptors:
            self.write(data)  # they go with the first bytes that are sent
        else:
            Connection.writeLarge(self, data)

    # The method that OutputStream calls.

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._sendWithDescriptors(data) if self._descriptors else self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def _sendWithDescriptors(self, data: bytes | bytearray | memoryview) -> int:
        """Send a byte with each waiting descriptor: a receiver may have room for one at a time."""
        waiting, sent = self._descriptors, 0
        assert waiting is not None, "there are some"
        with memoryview(data) as view:
            try:
                while waiting and sent < len(view):
                    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", waiting[0]))
                    with view[sent : sent + 1] as part:
                        sent += self._sock.sendmsg([part], [rights])
                    closeNumber(waiting.pop(0))
                if sent < len(view):
                    with view[sent:] as part:
                        sent += self._sock.send(part)
            except OSError:
                if not sent:
                    raise
        return sent


class _Overrun:
    """Checks, when the event is over, that each waiting descriptor has a byte to go with."""

    def __init__(self, connection: DescriptorStream) -> None:
        self._connection = connection

    def flush(self) -> None:
        connection: Any = self._connection
        if (tls := behind(connection)) is not None:  # startTLS has put a copy in its place
            connection = tls.lower
        if len(connection._descriptors or ()) > connection.unsent:
            connection.connectionLost(Failure(FileDescriptorOverrun("more descriptors than bytes were to be sent")))

    def failConnection(self, failure: Failure) -> None:
        self._connection.failConnection(failure)


def _descriptorsIn(messages: list[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors in the ancillary data of recvmsg."""
    received = array("i")
    for level, kind, data in messages:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            received.frombytes(data[: len(data) - len(data) % received.itemsize])
    return received.tolist()
