"""The stream transports that a protocol lives on: what each of their methods means, whatever carries the bytes.

There are three ways to end, and all of them come through connectionLost, which runs once:
- loseConnection: reading stops, what was written is sent, a pull producer or a paused push producer may finish first;
- abortConnection, or a backlog above the output limit: everything unsent is dropped and the peer sees a reset;
- the peer's end of stream, an error of the stream, or an exception of the protocol.

What a signal's handler raises in connectionLost breaks it off. Then its steps are done again, but for those calls of
the protocol and the producer that have been made.

The two halves can end apart. A protocol that has readConnectionLost and writeConnectionLost is told of each half; for
one that has not, the peer's end of stream ends the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from reactor._beside import beside
from reactor._closing import mayGoOn, tellBroken, tellSkipped
from reactor._logger import getLogger
from reactor.error import ConnectionAborted, ConnectionLost, OutputLimitExceeded
from reactor.failure import Failure, failureOf
from reactor.interfaces import IProtocol, ITransportReactor
from reactor.transports.output import TOLD, OutputStream

log = getLogger("reactor.transports")


class DuplexStream(OutputStream):
    """A stream of bytes each way for `protocol`. A subclass reads, and knows how each half is ended.

    `ended`, if it is not None, is called with the reason after the protocol's connectionLost.
    """

    __slots__ = ("__weakref__", "_aborting", "ended", "protocol")

    def __init__(
        self, reactor: ITransportReactor, protocol: IProtocol, ended: Callable[[Failure], None] | None = None
    ) -> None:
        OutputStream.__init__(self, reactor)
        self.protocol: Any = protocol
        self.ended = ended
        self._aborting = False

    # What a subclass supplies.

    def getPeer(self) -> Any:
        """Return the address of the other side, also after the connection's end."""
        raise NotImplementedError

    def fileno(self) -> int:
        """Return the descriptor that the loop watches, -1 once it is closed."""
        raise NotImplementedError

    def startReading(self) -> None:
        """Have what the peer sends delivered, if it can still send."""
        raise NotImplementedError

    def stopReading(self) -> None:
        """Undo startReading."""
        raise NotImplementedError

    def _endWriting(self) -> None:
        """Everything has been sent: end our half, and tell the protocol."""
        raise NotImplementedError

    def _close(self) -> None:
        """Watch nothing any more, and close."""
        raise NotImplementedError

    # For protocols.

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
        if not self._over:
            self._flushSoon()  # first: if there is no memory for it, nothing has happened
        self.disconnecting = True
        self.stopReading()
        if self._over:
            self.connectionLost(self._closedInOrder())

    def abortConnection(self) -> None:
        """Drop what was not sent and reset the connection. connectionLost(ConnectionAborted) comes on the next turn."""
        self._abort(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Send what was written, then end our half; writeConnectionLost follows. Later writes are dropped."""
        if self.connected and not self._over:
            self._flushSoon()
            self._ending = True

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

    def reactorStops(self) -> None:
        """Called by the reactor before it closes everything: protocols that are transports, too, say their last."""
        tellStop(self.protocol)

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol raised or answered with, and end the connection with it."""
        try:
            self.reactor.reportFailure(failure, "a callback of", self)
        finally:
            self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close, and tell the producer, the protocol and whoever follows the connection. Once only: later calls do
        nothing.
        """
        self._endOnce(reason)

    def _end(self, reason: Failure) -> None:
        """See OutputStream._end."""
        self.disconnected = True
        self._over = True
        self._discardOutput()
        self._stopAsking()
        self.reactor.closed(self)
        self._close()
        if self.producer is not None:
            self._stopProducer(self.producer)
        if not self._lost & TOLD:
            protocol = self.protocol
            tellSkipped(self.reactor, self, protocol)
            try:
                self._lost |= TOLD
                if (told := protocol.connectionLost(reason)) is not None:
                    self._besideReported(told, "connectionLost of")
            except BaseException as error:
                self.reactor.reportFailure(failureOf(error), "connectionLost of", self)
                if mayGoOn(protocol, "connectionLost"):  # that of TLS, or of a wrapper
                    protocol.connectionLost(reason)
        ended = self.ended
        if ended is not None:
            self._tellFollower(ended, reason)
        self.protocol = None  # breaks the cycle with protocol.transport, which stays
        self.disconnecting = True  # a protocol that is still delivering lines asks for this after each

    def _tellFollower(self, ended: Callable[[Failure], None], reason: Failure) -> None:
        """Call `ended`. A Connector's goes on if it is called again with the same reason."""
        ended(reason)
        self.ended = None

    def _broke(self, why: object) -> None:
        """An error of the stream is the end. It is told, unless TLS above has done all, and waits for an answer."""
        above = self.protocol
        if not (isinstance(above, OutputStream) and above.endIsKnown):
            tellBroken(self.getPeer(), why)
        self.connectionLost(Failure(ConnectionLost(str(why))))

    def _stopProducer(self, producer: Any) -> None:
        """Tell `producer` that nothing more is wanted of it."""
        try:
            self.producer = None
            if (told := producer.stopProducing()) is not None:
                self._besideReported(told, "stopProducing of")
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "stopProducing of", self)

    def _besideReported(self, told: object, what: str) -> None:
        """Apart from its callers: a function that makes another one takes memory before its first line, and an end must
        take none.
        """
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, self))

    def _abort(self, reason: ConnectionLost) -> None:
        if self.disconnected or self._aborting:
            return
        self.reactor.callLater(0, self.connectionLost, Failure(reason))  # first: there may be no memory for it
        self._aborting = True
        self._over = True
        self.disconnecting = True
        self._discardOutput()
        self._stopAsking()
        self.stopReading()
        self.stopWriting()

    def _endSoon(self, error: BaseException) -> None:
        """The system refuses to watch the descriptor, of which nobody would hear any more. Not at once, as it is a
        callback that has asked.
        """
        log.limited(logging.WARNING, "%r: the system refuses to watch it, and so it ends: %r", self, error)
        self.reactor.callLater(0, self.connectionLost, Failure(ConnectionLost(str(error))))

    # OutputStream's questions.

    def _sendFailed(self, error: OSError) -> None:
        self._broke(error)

    def _outputOverflowed(self) -> None:
        text = "%r: more than the limit is unsent, %d bytes; the connection is reset"
        log.limited(logging.WARNING, text, self, self.unsent)
        self._abort(OutputLimitExceeded(f"{self.unsent} bytes"))

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self.connectionLost(self._closedInOrder())
        elif self._ending:
            self._endWriting()


def tellStop(protocol: Any) -> None:
    """Call reactorStops of `protocol`, or of the protocol that it wraps, if that is a transport as well (TLS is)."""
    while protocol is not None and not hasattr(type(protocol), "reactorStops"):
        protocol = getattr(protocol, "__dict__", {}).get("wrappedProtocol")
    if protocol is not None:
        protocol.reactorStops()


def isHalfCloseable(protocol: object) -> bool:
    """Whether `protocol` is an IHalfCloseableProtocol. (isinstance would say so too, at ten times the cost; and from
    Python 3.12 on it does not see what a wrapper passes on.)
    """
    return hasattr(protocol, "readConnectionLost") and hasattr(protocol, "writeConnectionLost")
