"""The writing half of a stream transport: its unsent output, and the producers that wait for it.

`write`, which is the line core's (OutputBuffer), only gathers. The transport is flushed behind the events of a burst,
or before the loop sleeps. So a pipelined client gets one packet a batch, and a lone request gets one send.
docs/design.md has the reasons.

The backlog is bounded. Above `highWater` bytes a streaming producer is paused until everything has been sent. A backlog
above `outputLimit` ends the connection at the next write with OutputLimitExceeded. So a peer that does not read costs
at most the limit and one write. One comparison in `write` watches both bounds: `_mark` is the size above which `write`
calls `_passedMark`.

    _mark = -1           the next write must ask for a flush (nothing waits), or is dropped (the writing half is over)
    _mark = highWater    a flush will come; below the mark there is nothing to do
    _mark = outputLimit  the high-water mark has been crossed, and the producer is paused

A pull producer is asked whenever nothing waits. If it then writes nothing, no end of sending asks it again. So a timer
asks it again after PULL_REST, until it writes or is unregistered.

The phases of the writing half, `_writeHalf`, stand in duplex.py.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from reactor._arguments import checkProducer
from reactor._beside import CANCELLED, beside, started
from reactor._closing import tellClosing
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import BytesLike, IDelayedCall, ITransportReactor
from reactor.interfaces.asking import conform
from reactor.linecore import OutputBuffer

HIGH_WATER = 64 * 1024
OUTPUT_LIMIT = 16 * 1024 * 1024
SEND_LIMIT = 128 * 1024
PULL_REST = 0.01

# The phases of a half. The tables are in duplex.py, and the one of HANDSHAKE is in tls/layer.py.
HANDSHAKE, OPEN, ENDING, ENDED, ABORTED = range(-1, 4)

LOSING = 1  # the end is under way, or over
TOLD = 2  # the protocol has had its call


class OutputStream(OutputBuffer):
    """Writing for all stream transports: write, writeSequence, producers. A subclass sends, and ends in order.

    setOutputLimits sets `highWater` and `outputLimit` (bytes; 64 KiB and 16 MiB by default). `bufferSize` is the limit
    of one read, and SEND_LIMIT that of one send, in bytes.
    """

    __conform__ = conform

    __slots__ = (
        "_asking",
        "_closeReason",
        "_lost",
        "_writeHalf",
        "_writing",
        "disconnected",
        "outputLimit",
        "producer",
        "producerPaused",
        "reactor",
        "streamingProducer",
    )

    SEND_LIMIT = SEND_LIMIT

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: ITransportReactor) -> None:
        self.reactor = reactor
        self.disconnected = False
        self.producer: Any = None
        self.producerPaused = False
        self.streamingProducer = False
        self.highWater = HIGH_WATER
        self.outputLimit = OUTPUT_LIMIT
        self._writeHalf = OPEN
        self._lost = 0  # how far connectionLost has come: LOSING and TOLD
        self._writing = False  # the peer is awaited: doWrite will be called when it takes more
        self._closeReason: ConnectionDone | None = None
        self._asking: IDelayedCall | None = None  # the pull producer will be asked again

    @property
    def connected(self) -> bool:
        """Whether the connection has not ended: the opposite of `disconnected`."""
        return not self.disconnected

    # Supplied by a subclass.

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        """Hand `data` to the peer; return how many bytes it took. OSError if the stream is broken."""
        raise NotImplementedError

    def _sendFailed(self, error: OSError) -> None:
        """Called when `_send` raised `error`: the stream is broken."""
        raise NotImplementedError

    def failConnection(self, failure: Failure) -> None:
        """A callback of the protocol or producer raised `failure`: end the connection with it."""
        raise NotImplementedError

    def _outputEnded(self) -> None:
        """Called when everything has been sent: close, or end our half, if `_writeHalf` is ENDING."""
        raise NotImplementedError

    def _outputOverflowed(self) -> None:
        """Called when the backlog is above the limit: drop it, and the connection."""
        raise NotImplementedError

    def connectionLost(self, reason: Failure) -> None:
        """End, and tell the producer and the protocol. Once only: later calls do nothing."""
        raise NotImplementedError

    def _end(self, reason: Failure) -> None:
        """Do the steps of an end, for _endOnce.

        Each step can be repeated, except calls of other objects, which are noted before they are made.
        """
        raise NotImplementedError

    def startWriting(self) -> None:
        """Have the loop call doWrite when the peer takes more."""
        raise NotImplementedError

    def stopWriting(self) -> None:
        """Undo startWriting."""
        raise NotImplementedError

    # For protocols.

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Send the pieces of any iterable, in order, as one write."""
        self.write(b"".join(iovec))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach a producer, or call its stopProducing() if the connection is over.

        A pull producer is asked at once, then whenever all is sent. If it writes nothing, it is asked again after
        10 ms. RuntimeError if there is a producer already, TypeError if `producer` is none.
        """
        checkProducer(producer)
        if self.producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: {self.producer!r} was never unregistered")
        if self.disconnected:
            beside(producer.stopProducing())
            return
        self.producer = producer
        self.streamingProducer = bool(streaming)
        self.producerPaused = False
        if self.unsent:
            self._mark = min(self._mark, self.highWater)
        if not streaming:
            self._ask(producer)

    def unregisterProducer(self) -> None:
        """Detach the producer. A connection that waited for it closes once everything is sent."""
        self.producer = None
        self._stopAsking()
        if self._writeHalf < ENDED:
            self._flushSoon()

    def stopConsuming(self) -> None:
        """Detach the producer and close in order. A producer that has failed calls it."""
        self.unregisterProducer()
        self.loseConnection()

    def loseConnection(self) -> None:
        """See ITransport."""
        raise NotImplementedError

    def setOutputLimits(self, highWater: int = HIGH_WATER, outputLimit: int = OUTPUT_LIMIT) -> None:
        """Set both bounds, in bytes. ValueError unless 0 <= highWater <= outputLimit."""
        if not 0 <= highWater <= outputLimit:
            raise ValueError(f"output limits must be 0 <= {highWater} <= {outputLimit}")
        self.highWater = highWater
        self.outputLimit = outputLimit
        if self._mark >= 0:
            self._mark = highWater

    def noteClosing(self, reason: ConnectionDone, level: int = logging.INFO) -> None:
        """Make connectionLost get `reason`, in place of ConnectionDone, after the loseConnection() that follows.

        The reactor counts it in `closeCounts`, and it is a record of `level`. The first reason stands. A reason that
        comes when the connection is already closing means nothing. See reactor.protocol.closeFor.
        """
        if self._closeReason is None and not (self.disconnecting or self.disconnected):
            self._closeReason = reason
            peer: Any = getattr(self, "getPeer", self.__repr__)
            tellClosing(self.reactor, peer(), reason, level)
            closing = getattr(self.tally, "closing", None)  # that of a server's connection
            if closing is not None:
                closing(self, reason)

    # For other transports and the loop.

    @property
    def endIsKnown(self) -> bool:
        """Whether the end of the transport below is no news: it has been told, or its reason is decided."""
        return self.disconnected

    def _closedInOrder(self) -> Failure:
        """Return the reason of an end by loseConnection()."""
        return Failure(self._closeReason or ConnectionDone())

    def writeNow(self, data: bytes) -> None:
        """Write `data`, and send at once as much as the peer takes."""
        if self.unsent or self._writing or self._writeHalf >= ENDED:
            self._writeAndFlush(data)
            return
        # As a rule the peer takes it whole. Then it is never kept, and no producer is paused and resumed for it.
        try:
            sent = self._send(data)
        except OSError:
            self._writeAndFlush(data)  # the error will come again, where all that must be kept is kept
            return
        if self.tally is not None:
            self._tallySent(sent)
        if sent < len(data):
            self._keep(data[sent:])

    def writeLarge(self, data: bytes | memoryview) -> None:
        """Write `data`, which is large. A transport that can spares a copy of it, by sending it at once."""
        self.write(data)

    def _keep(self, rest: bytes | memoryview) -> None:
        """Keep what the peer has not taken, until it takes more."""
        self._hold(self.highWater)
        self.write(rest)
        self._writing = True
        self.startWriting()

    def _writeAndFlush(self, data: bytes) -> None:
        self._hold(self.highWater)
        self.write(data)
        self.flush()

    def doWrite(self) -> None:
        """Send more. The loop calls this when the peer takes more."""
        if not self._writing:
            self.stopWriting()  # a program has called addWriter, and the loop would call for ever
        self.flush()

    def flush(self) -> None:
        """Send once as much as the peer takes. If that is all, do the work that waited for it."""
        output = self._front()
        if output is not None:
            if self._writeHalf >= ENDED:  # written during a delivery, when `_mark` lets writes through
                self._discardOutput()
                return
            try:
                sent = self._send(output) if len(output) <= SEND_LIMIT else self._sendSome(output)
            except OSError as error:
                self._sendFailed(error)
                return
            if not self._drop(sent):
                if not self._writing:
                    self._writing = True
                    self.startWriting()
                return
        elif self.producer is not None and not self.streamingProducer:
            return  # a pull producer has been asked already
        producer = self.producer
        if (
            self._writing
            or self._writeHalf
            or (producer is not None and (self.producerPaused or not self.streamingProducer))
        ):
            self._sentAll()

    def _sendSome(self, output: bytes | bytearray) -> int:
        with memoryview(output) as everything, everything[:SEND_LIMIT] as first:
            return self._send(first)

    def _sentAll(self) -> None:
        """Do the work that waited for the end of the output."""
        if self._writeHalf >= ENDED:
            return
        if self._writing:
            self._writing = False
            self.stopWriting()
        self._mark = -1
        producer = self.producer
        if producer is None or (self.streamingProducer and not self.producerPaused):
            self._outputEnded()
            return
        self.producerPaused = False
        if not self.streamingProducer:
            self._ask(producer)
        elif (asked := producer.resumeProducing()) is not None:
            self._beside(asked)

    def _ask(self, producer: Any) -> None:
        """Ask `producer`, the pull producer, to write, and again a little later if it does not."""
        asked = producer.resumeProducing()
        running = None if asked is None else started(asked)
        if running is None or running.called:
            self._askLaterUnlessWritten(producer)
        else:
            running.addCallbacks(lambda _: self._askLaterUnlessWritten(producer), self._besideFailed)

    def _askLaterUnlessWritten(self, producer: Any) -> None:
        if self.producer is producer and self._asking is None and not (self.unsent or self.streamingProducer):
            self._askLater()

    def _askLater(self) -> None:
        if self._writeHalf < ENDED:
            self._asking = self.reactor.callLater(PULL_REST, self._askAgain)

    def _askAgain(self) -> None:
        self._asking = None
        producer = self.producer
        if producer is None or self.streamingProducer or self.unsent or self._writeHalf >= ENDED:
            return  # the output that waits is sent first, and then the producer is asked
        try:
            self._ask(producer)
        except BaseException:
            self.failConnection(Failure())

    def _stopAsking(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None and asking.active():  # else its call has been broken off, by a signal's handler
            asking.cancel()

    def _passedMark(self, added: int) -> None:
        """A write of `added` bytes has brought the backlog above `_mark`."""
        if self._writeHalf >= ENDED:
            self._discardOutput()
            return
        size = self.unsent
        if not size:
            return
        if self._mark < 0:
            self._flushSoon()
            self._mark = self.highWater
        if size - added > self.outputLimit:
            self.reactor.overflowCount += 1
            self._outputOverflowed()
        elif size > self.highWater:
            self._mark = self.outputLimit
            if self.producer is not None and self.streamingProducer and not self.producerPaused:
                self.producerPaused = True
                if (asked := self.producer.pauseProducing()) is not None:
                    self._beside(asked)

    def _endOnce(self, reason: Failure) -> None:
        """Call `_end` once. If an exception breaks it off between two steps, call it anew, and raise that."""
        if self._lost & LOSING:
            return
        self._lost |= LOSING
        try:
            self._end(reason)
        except BaseException:
            self._lost &= ~LOSING  # if this is broken off as well, the next call goes on
            self._end(reason)
            self._lost |= LOSING
            raise

    def _flushSoon(self) -> None:
        self.reactor.flushSoon(self)

    def _beside(self, result: object) -> None:
        """Handle the `result` of a callback, which is not None.

        A coroutine runs beside the calls that follow, and its failure ends the connection.
        """
        beside(result, self._besideFailed)

    def _besideFailed(self, failure: Failure) -> None:
        if not (self.disconnected and failure.check(*CANCELLED)):
            self.failConnection(failure)
