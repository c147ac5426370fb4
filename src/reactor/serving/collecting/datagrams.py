"""Datagrams for collect: each is one message, and all that come in a turn of the loop are one write to the output.

While the output stalls, the socket is not read. The kernel then keeps what fits into its buffer. Of UDP it drops the
rest, and counts that; on a UNIX socket the senders wait.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor.protocol import DatagramProtocol
from reactor.serving.collect import EMPTY, OVERLONG, Collection
from reactor.serving.collecting.formats import addressText

log = getLogger("reactor.serving")

RECEIVE_BUFFER = 4 * 1024 * 1024  # bytes that are asked of the kernel, which has a limit of its own
LAST_READS = 1.0  # seconds, at the end


def messageOf(datagram: bytes) -> bytes:
    """Return the message in a datagram: without one NUL at its end, and then without one LF or CRLF there."""
    message = datagram.removesuffix(b"\0")
    return message.removesuffix(b"\r\n") if message.endswith(b"\r\n") else message.removesuffix(b"\n")


class DatagramCollector(DatagramProtocol):
    """Keeps the messages of one port in `collection`. A message of more than `maxLength` bytes is dropped, and counted.

    An empty message is dropped, and counted, as it says nothing.
    """

    def __init__(self, reactor: Any, collection: Collection, maxLength: int) -> None:
        self._reactor = reactor
        self._collection = collection
        self._maxLength = maxLength
        self._messages: list[tuple[bytes, Any]] = []
        self._flush: Any = None
        self._isPaused = False
        self._kernelCount = 0
        self._kernelBefore = 0  # a worker before this one may have counted them: the socket is the supervisor's
        self.receivedCount = self.receivedBytes = 0
        collection.addCounters(self.counters)

    def startProtocol(self) -> None:
        """Become one of the collection's sources, with room in the kernel for a burst."""
        port: Any = self.transport
        with suppress(OSError):
            port.setReceiveBufferSize(RECEIVE_BUFFER)
        self._kernelBefore = port.getDroppedCount()
        self._collection.joined(self)

    def stopProtocol(self) -> None:
        """Keep what has come, and leave the collection."""
        self.flush()
        self._collection.left(self)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Take a datagram. The port calls this."""
        self.receivedCount += 1
        self.receivedBytes += len(datagram)
        message = messageOf(datagram)
        if not message:
            self._collection.drop(EMPTY)
        elif len(message) > self._maxLength:
            self._tooLong(addr)
        else:
            self._messages.append((message, addr))
            if self._flush is None:
                self._flush = self._reactor.callLater(0, self.flush)

    def datagramLengthExceeded(self, datagram: bytes, addr: Any) -> None:
        """Count a datagram that the port's buffer cannot hold."""
        self.receivedCount += 1
        self.receivedBytes += len(datagram)
        self._tooLong(addr)

    def flush(self) -> None:
        """Keep the messages that have come."""
        timer, self._flush = self._flush, None
        if timer is not None and timer.active():
            timer.cancel()
        messages, self._messages = self._messages, []
        if messages:
            collection = self._collection
            lines = [collection.formatted(collection.escape(each), addressText(addr)) for each, addr in messages]
            collection.keepFormatted(lines, self)

    def pauseProducing(self) -> None:
        """Leave further datagrams to the kernel."""
        self._isPaused = True
        port: Any = self.transport
        port.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self._isPaused = False
        port: Any = self.transport
        port.resumeProducing()

    def takeLast(self) -> None:
        """Read what the kernel has, within LAST_READS. For the end."""
        port: Any = self.transport
        end = time.monotonic() + LAST_READS
        before = -1
        while not self._isPaused and port.connected and self.receivedCount != before and time.monotonic() < end:
            before = self.receivedCount
            port.doRead()
            self.flush()

    def counters(self) -> dict[str, int]:
        """Return how many datagrams and bytes have come, and how many datagrams the kernel had no room for."""
        port: Any = self.transport
        if port is not None:
            self._kernelCount = port.getDroppedCount() - self._kernelBefore
        return {
            "datagrams": self.receivedCount,
            "datagramBytes": self.receivedBytes,
            "droppedByKernel": self._kernelCount,
        }

    def _tooLong(self, addr: Any) -> None:
        self._collection.drop(OVERLONG)
        text = "%s sent a datagram of more than %d bytes, dropped"
        log.limited(logging.WARNING, text, addressText(addr), self._maxLength)
