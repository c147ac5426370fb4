"""Stream transports that carry a protocol: the meaning of each method, for every carrier of the bytes.

There are three ways to end, and all of them come through connectionLost, which runs once:
- loseConnection: reading stops, and all that waits is sent. A pull producer or a paused push producer finishes first.
- abortConnection, or a backlog above the output limit: all that waits is dropped, and the peer sees a reset.
- The peer's end of stream, an error of the stream, or an exception of the protocol.

The two halves of a stream can end apart. A transport tells each half's end to a protocol that has readConnectionLost
and writeConnectionLost. For any other protocol, the peer's end of stream ends the connection.

Each half is in a phase. A phase moves down the table only.

    the writing half, `_writeHalf`               moved by
    OPEN     all that is written is sent         loseWriteConnection, loseConnection -> ENDING; an abort -> ABORTED
    ENDING   as OPEN; the end of our half, or    all that waits is sent, and no producer is waited for: our half ends,
             of the connection, is asked for     writeConnectionLost -> ENDED; an abort -> ABORTED
    ENDED    writes are dropped                  an abort -> ABORTED
    ABORTED  writes are dropped, and the socket
             is reset when it closes

    the reading half, `_readHalf`                moved by
    OPEN     input is delivered, unless the      the peer's end of stream, readConnectionLost -> ENDED
             protocol has paused the transport
             (the reactor knows) or it closes
    ENDED    nothing more can come

    the connection, in public attributes         moved by
    connected      both halves as above          loseConnection, an abort -> disconnecting; connectionLost
    disconnecting  nothing is delivered, and     the end of ENDING, at once if the writing half has ended before; the
                   the writing half goes on      turn after an abort: connectionLost
    disconnected   connectionLost has begun,
                   and the writing half is over

`connected` stays true while disconnecting. connectionLost moves the connection to disconnected, and a writing half
before ENDED to ENDED. `_lost` notes how far it has come: LOSING from its first step on, TOLD from the protocol's
connectionLost on. An exception of a signal's handler breaks it off and takes LOSING back. Then the steps are done
again, except those calls of the protocol and the producer that have been made.

Apart are the attributes of a producer, and `_writing`, which tells that doWrite will be called when the peer takes
more. StandardIO has let go of its `_input` when its reading half is ENDED. TLS adds phases: see tls/layer.py.
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
from reactor.protocol.standins import behind
from reactor.transports.output import ABORTED, ENDED, ENDING, TOLD, OutputStream

log = getLogger("reactor.transports")

FREE, WANTED, UNWANTED = range(3)  # not throttled; throttled, and whether the protocol wants to be read for


class DuplexStream(OutputStream):
    """A stream of bytes each way for `protocol`. A subclass reads, and knows how each half is ended.

    The transport calls `ended`, if it is not None, with the reason after the protocol's connectionLost.
    """

    __slots__ = ("__weakref__", "_throttled", "ended", "protocol")

    def __init__(
        self, reactor: ITransportReactor, protocol: IProtocol, ended: Callable[[Failure], None] | None = None
    ) -> None:
        OutputStream.__init__(self, reactor)
        self.protocol: Any = protocol
        self.ended = ended
        self._throttled = FREE

    # Supplied by a subclass.

    def getPeer(self) -> Any:
        """Return the address of the other side, also after the connection's end."""
        raise NotImplementedError

    def fileno(self) -> int:
        """Return the descriptor that the loop watches, -1 once it is closed."""
        raise NotImplementedError

    def startReading(self) -> None:
        """Deliver the peer's input from now on, if the peer can still send."""
        raise NotImplementedError

    def stopReading(self) -> None:
        """Undo startReading."""
        raise NotImplementedError

    def _endWriting(self) -> None:
        """End our half, and tell the protocol. Called when all that was written has been sent."""
        raise NotImplementedError

    def _close(self) -> None:
        """End every watch of the reactor, and close."""
        raise NotImplementedError

    # For protocols.

    def logPrefix(self) -> str:
        """Return the protocol's name for log messages."""
        name: str = self.protocol.logPrefix() if hasattr(self.protocol, "logPrefix") else type(self.protocol).__name__
        return name

    def loseConnection(self) -> None:
        """Stop reading, send all that was written, then close. Calling it again does nothing.

        connectionLost(ConnectionDone) comes later, never from here, unless loseWriteConnection has already ended our
        half.
        """
        if not self.connected or self.disconnecting:
            return
        if self._writeHalf < ENDED:
            self._flushSoon()  # first: if there is no memory for it, nothing has happened
            self._writeHalf = ENDING
        self.disconnecting = True
        self.stopReading()
        if self._writeHalf >= ENDED:
            self.connectionLost(self._closedInOrder())

    def abortConnection(self) -> None:
        """Drop all unsent output and reset the connection. connectionLost(ConnectionAborted) comes on the next turn."""
        self._abort(ConnectionAborted())

    def loseWriteConnection(self) -> None:
        """Send all that was written, then end our half; writeConnectionLost follows. Later writes are dropped."""
        if self.connected and self._writeHalf < ENDED:
            self._flushSoon()
            self._writeHalf = ENDING

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing."""
        self.stopReading()

    def resumeProducing(self) -> None:
        """Read again, unless the connection is closing."""
        if self.connected and not self.disconnecting:
            self.startReading()

    def stopProducing(self) -> None:
        """Call loseConnection(), under the name that a producer has."""
        self.loseConnection()

    # For code that limits the rate of a connection.

    def throttle(self) -> None:
        """Read nothing until unthrottle(). The wishes of the protocol are kept, and count from then on."""
        if self._throttled == FREE:
            wanted = self._isReading()
            self.stopReading()
            self._throttled = WANTED if wanted else UNWANTED

    def unthrottle(self) -> None:
        """Undo throttle(): read on, if the protocol has not paused the connection meanwhile, or before."""
        throttled, self._throttled = self._throttled, FREE
        if throttled == WANTED and self.connected and not self.disconnecting:
            self.startReading()

    @property
    def isThrottled(self) -> bool:
        """Whether the connection would be read, if it were not for throttle()."""
        return self._throttled == WANTED

    def _isReading(self) -> bool:
        """Whether the loop reads now."""
        return self.reactor.isReading(self)

    # For the loop and other transports.

    def reactorStops(self) -> None:
        """Called by the reactor before it closes everything: a protocol that is a transport too takes its leave."""
        tellStop(self.protocol)

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, which a callback of the protocol has raised or returned, and end the connection with it."""
        try:
            self.reactor.reportFailure(failure, "a callback of", self)
        finally:
            self.connectionLost(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Close, and tell the producer, the protocol and `ended`. Once only: later calls do nothing."""
        self._endOnce(reason)

    def _end(self, reason: Failure) -> None:
        """See OutputStream._end."""
        self.disconnected = True
        if self._writeHalf < ENDED:
            self._writeHalf = ENDED
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
        tally = self.tally
        if tally is not None:
            tally.ended(self, reason)
        ended = self.ended
        if ended is not None:
            self._tellFollower(ended, reason)
        self.protocol = None  # breaks the cycle with protocol.transport, which stays
        self.disconnecting = True  # a protocol that is still delivering lines looks at this after each

    def _tellFollower(self, ended: Callable[[Failure], None], reason: Failure) -> None:
        """Call `ended`. A Connector's goes on if it is called again with the same reason."""
        ended(reason)
        self.ended = None

    def _broke(self, why: object) -> None:
        """An error of the stream ends the connection. It is logged, unless TLS above only waits for an answer."""
        above = self.protocol
        if not (isinstance(above, OutputStream) and above.endIsKnown):
            tellBroken(self.getPeer(), why)
        self.connectionLost(Failure(ConnectionLost(str(why))))

    def _stopProducer(self, producer: Any) -> None:
        """Detach `producer` and call its stopProducing."""
        try:
            self.producer = None
            if (told := producer.stopProducing()) is not None:
                self._besideReported(told, "stopProducing of")
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "stopProducing of", self)

    def _besideReported(self, told: object, what: str) -> None:
        """Run a coroutine beside the end, and report its failure.

        It is apart from its callers: a function that makes another one takes memory before its first line, and an end
        must take none.
        """
        beside(told, lambda failure: self.reactor.reportFailure(failure, what, self))

    def _abort(self, reason: ConnectionLost) -> None:
        if self.disconnected or self._writeHalf == ABORTED:
            return
        self.reactor.callLater(0, self.connectionLost, Failure(reason))  # first: there may be no memory for it
        self._writeHalf = ABORTED
        self.disconnecting = True
        self._discardOutput()
        self._stopAsking()
        self.stopReading()
        self.stopWriting()

    def _endSoon(self, error: BaseException) -> None:
        """End on the next turn, as a callback is under way: the system refuses to watch the descriptor."""
        log.limited(logging.WARNING, "%r: the system refuses to watch it, and so it ends: %r", self, error)
        self.reactor.callLater(0, self.connectionLost, Failure(ConnectionLost(str(error))))

    # The methods that OutputStream calls.

    def _sendFailed(self, error: OSError) -> None:
        self._broke(error)

    def _outputOverflowed(self) -> None:
        text = "%r: more than the limit is unsent, %d bytes; the connection is reset"
        log.limited(logging.WARNING, text, self, self.unsent)
        self._abort(OutputLimitExceeded(f"{self.unsent} bytes"))

    def _outputEnded(self) -> None:
        if self.disconnecting:
            self.connectionLost(self._closedInOrder())
        elif self._writeHalf == ENDING:
            self._endWriting()


def tellStop(protocol: Any) -> None:
    """Call reactorStops of `protocol`, or of a protocol behind it, if that is a transport as well (TLS is)."""
    while protocol is not None and not hasattr(type(protocol), "reactorStops"):
        protocol = behind(protocol)
    if protocol is not None:
        protocol.reactorStops()


def isHalfCloseable(protocol: object) -> bool:
    """Whether `protocol` is an IHalfCloseableProtocol.

    isinstance would cost ten times as much, and from Python 3.12 on it does not see methods that a wrapper passes on.
    """
    return hasattr(protocol, "readConnectionLost") and hasattr(protocol, "writeConnectionLost")
