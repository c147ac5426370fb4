"""Replacements for single transports, producers and protocols."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from typing import Any, ClassVar

from reactor._beside import beside
from reactor.address import IPv4Address
from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.interfaces.asking import conform
from reactor.linecore import Disconnectable, asBytes
from reactor.linereceiver import LineReceiver
from reactor.protocol import Protocol, connectionDone


class StringTransport(Disconnectable):
    """Keeps the output, and notes all other calls. Nothing happens by itself.

    `disconnecting` is set by loseConnection and abortConnection, `disconnected` by abortConnection. `producer` and
    `streaming` are those of registerProducer. `producerState` is "producing", "paused" or "stopped". pauseProducing and
    resumeProducing raise RuntimeError when it is stopped or, unless `lenient`, disconnecting.
    """

    __conform__ = conform

    disconnected = False
    connected = True
    producer: Any = None
    streaming: bool | None = None
    hostAddr: Any = None
    peerAddr: Any = None
    producerState = "producing"

    def __init__(self, hostAddress: Any = None, peerAddress: Any = None, lenient: bool = False) -> None:
        """Make a transport. getHost and getPeer return `hostAddress` and `peerAddress`, if given."""
        if hostAddress is not None:
            self.hostAddr = hostAddress
        if peerAddress is not None:
            self.peerAddr = peerAddress
        self.connected = True
        self._lenient = lenient
        self.clear()

    def clear(self) -> None:
        """Forget the output. For the test."""
        self.io = BytesIO()

    def value(self) -> bytes:
        """Return all output since the last clear(). For the test."""
        return self.io.getvalue()

    def write(self, data: BytesLike) -> None:
        """Keep `data`. TypeError unless it is bytes-like."""
        self.io.write(asBytes(data))

    def writeSequence(self, data: Iterable[BytesLike]) -> None:
        """Keep the pieces of any iterable."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Set `disconnecting`."""
        self.disconnecting = True

    def abortConnection(self) -> None:
        """Set `disconnected`, and do what loseConnection does."""
        self.disconnected = True
        self.loseConnection()

    def getPeer(self) -> Any:
        """Return the address given for the other side."""
        return IPv4Address("TCP", "192.168.1.1", 54321) if self.peerAddr is None else self.peerAddr

    def getHost(self) -> Any:
        """Return the address given for this side."""
        return IPv4Address("TCP", "10.0.0.1", 12345) if self.hostAddr is None else self.hostAddr

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Note the producer, without a call to it. RuntimeError if there is one."""
        if self.producer is not None:
            raise RuntimeError("Cannot register two producers")
        self.producer = producer
        self.streaming = streaming

    def unregisterProducer(self) -> None:
        """Forget the producer. RuntimeError if there is none."""
        if self.producer is None:
            raise RuntimeError("Cannot unregister a producer unless one is registered")
        self.producer = None
        self.streaming = None

    def _checkState(self) -> None:
        if self.disconnecting and not self._lenient:
            raise RuntimeError("Cannot resume producing after loseConnection")
        if self.producerState == "stopped":
            raise RuntimeError("Cannot resume a stopped producer")

    def pauseProducing(self) -> None:
        """Set `producerState`."""
        self._checkState()
        self.producerState = "paused"

    def stopProducing(self) -> None:
        """Set `producerState`."""
        self.producerState = "stopped"

    def resumeProducing(self) -> None:
        """Set `producerState`."""
        self._checkState()
        self.producerState = "producing"


class StringTransportWithDisconnection(StringTransport):
    """A StringTransport whose loseConnection calls connectionLost of `protocol`, which the test sets, at once."""

    protocol: Any

    def loseConnection(self) -> None:
        """Call protocol.connectionLost, once."""
        if self.connected:
            self.connected = False
            beside(self.protocol.connectionLost(Failure(ConnectionDone("Bye."))))


class FakeDatagramTransport:
    """Keeps the (packet, address) of each write in `written`; a missing address is `noAddr`."""

    noAddr: ClassVar[object] = object()

    def __init__(self) -> None:
        self.written: list[tuple[bytes, Any]] = []

    def write(self, packet: bytes, addr: Any = noAddr) -> None:
        """Keep the datagram."""
        self.written.append((packet, addr))


class AccumulatingProtocol(Protocol):
    """Keeps its input in `data`, and notes its callbacks.

    `made` and `closed` are 0, then 1. `closedReason` is connectionLost's; `closedDeferred`, if set, then fires with
    None. The factory's `protocolConnectionMade`, a Deferred or None, fires once with the protocol that is connected.
    """

    made = 0
    closed = 0
    closedReason: Failure | None = None
    closedDeferred: Deferred[None] | None = None
    data = b""

    def connectionMade(self) -> None:
        """Note the call, and fire the factory's `protocolConnectionMade`."""
        self.made = 1
        deferred = None if self.factory is None else self.factory.protocolConnectionMade
        if deferred is not None:
            self.factory.protocolConnectionMade = None
            deferred.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Keep `data`."""
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the call, and fire `closedDeferred`."""
        self.closed = 1
        self.closedReason = reason
        deferred, self.closedDeferred = self.closedDeferred, None
        if deferred is not None:
            deferred.callback(None)


class LineSendingProtocol(LineReceiver):
    """Sends `lines`, when connected or, if not `start`, after its first line. `response`: the lines that it got."""

    lostConn = False

    def __init__(self, lines: list[bytes], start: bool = True) -> None:
        self.lines = list(lines)
        self.response: list[bytes] = []
        self.start = start

    def connectionMade(self) -> None:
        """Send the lines, if this side begins."""
        if self.start:
            self._sendAll()

    def lineReceived(self, line: bytes) -> None:
        """Keep the line. If it is the first and the other side begins, send the lines of this side."""
        if not self.start:
            self._sendAll()
            self.lines = []
        self.response.append(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the end in `lostConn`."""
        self.lostConn = True

    def _sendAll(self) -> None:
        for line in self.lines:
            self.sendLine(line)


class NonStreamingProducer:
    """A pull producer that writes the numbers 0 to 9, one a call, and unregisters.

    `result` fires with None when it is done or has been stopped (`stopped`). A further call, or a pause, is a
    RuntimeError, because a consumer must not make it.
    """

    counter = 0
    stopped = False

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.result: Deferred[None] = Deferred()

    def resumeProducing(self) -> None:
        """Write the next number."""
        if self.consumer is None or self.counter >= 10:
            raise RuntimeError("BUG: resume after unregister/stop.")
        self.consumer.write(b"%d" % self.counter)
        self.counter += 1
        if self.counter == 10:
            self.consumer.unregisterProducer()
            self._done()

    def pauseProducing(self) -> None:
        """Raise RuntimeError: a consumer must not pause a pull producer."""
        raise RuntimeError("BUG: pause should never be called.")

    def stopProducing(self) -> None:
        """The consumer takes no more."""
        self.stopped = True
        self._done()

    def _done(self) -> None:
        self.consumer = None
        result = self.result
        del self.result
        result.callback(None)


class StringIOWithoutClosing(BytesIO):
    """A BytesIO that can still be read after a close()."""

    def close(self) -> None:
        """Do nothing."""
