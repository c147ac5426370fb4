"""The pace of an HTTPChannel: its deadlines, and back-pressure in both directions. See channel.py."""

from __future__ import annotations

from typing import Any

from reactor import _current
from reactor._beside import beside
from reactor._closing import closeFor
from reactor.error import IdleTimeout
from reactor.http.channelstate import BODY, BUSY, CONTENT, HEAD, IDLE, OUTPUT, QUEUE, TUNNEL, ChannelState
from reactor.http.errors import HTTPError
from reactor.http.peerend import hasEnded, untaken
from reactor.http.waits import Deadlines, endWait
from reactor.linereceiver import LineReceiver

MIN_RATE = 240  # bytes a second
GRACE = 5.0  # seconds
LOOK = 5.0  # seconds between two looks at a client whose bytes are not read


class Pacing(ChannelState):
    """The deadlines of a channel, and its producers. It is the transport's producer."""

    # Deadlines.

    def callLater(self, period: float, func: Any) -> Any:
        """The current reactor's callLater. A factory with a reactor, and tests, replace it."""
        return _current.current().callLater(period, func)

    def setTimeout(self, period: float | None) -> float | None:
        """Set the seconds between requests, None for no deadline; from now on if none is running. Return the earlier.

        As of Twisted's TimeoutMixin.
        """
        previous, self.timeOut = self.timeOut, period
        self._idle = None
        if self._phase == IDLE:
            self._wait(period)
        return previous

    def resetTimeout(self) -> None:
        """Start the time between requests again."""
        if self._phase == IDLE:
            self._wait(self.timeOut)

    def _wait(self, period: float | None) -> None:
        endWait(self)
        if period is None:
            return
        deadlines = self._deadlines
        if deadlines is None:
            deadlines = self._findDeadlines()
            if deadlines is None:
                return
        deadline = deadlines.of(period)
        deadline.begin(self)
        if self._phase == IDLE:
            self._idle = deadline

    def _findDeadlines(self) -> Deadlines | None:
        """A channel without a factory has deadlines if it knows a reactor, or has a callLater of its own."""
        if hasattr(self.factory, "deadlinesOf"):
            self._deadlines = self.factory.deadlinesOf(self)
        elif "callLater" in vars(self) or type(self).callLater is not Pacing.callLater:
            self._deadlines = Deadlines(self.callLater)
        elif hasattr(self.transport, "reactor"):
            self._deadlines = Deadlines(self.transport.reactor.callLater)
        return self._deadlines

    def waitedTooLong(self) -> None:
        """Called by the deadline of the phase."""
        if self._lastChance:
            self.forceAbortClient()
        elif self._holds & OUTPUT:
            self._stalled()
        elif self._pulls:
            self._pullStalled()
        elif self._phase == IDLE:
            self.timeoutConnection()
        elif self._phase == HEAD:
            self._refuse(HTTPError(408, "the head of the request has not come in time"))
        elif self._phase == BODY:
            self._checkRate()
        elif self._phase == BUSY:
            self._look()
        else:
            self._stalled()

    def _look(self) -> None:
        """Nothing is read, as requests wait for their answers. See whether the client has ended meanwhile.

        If so, nothing more can come but what the system holds already. It is kept unread, and the end follows it.
        """
        if not self._holds:
            return
        if hasEnded(self.transport):
            self.transport.resumeProducing()
        else:
            self._wait(LOOK)

    def _checkRate(self) -> None:
        if self._holds or self._owesContinue or self._received >= MIN_RATE * GRACE:
            self._received = 0
            self._wait(GRACE)
        else:
            self._refuseRequest(self.receiving, HTTPError(408, "the body of the request comes too slowly"))

    def _stalled(self) -> None:
        """The peer has taken no more output, or has not ended the connection: reset it, unless it is only slow.

        A reset destroys also what the system holds for the peer. So bytes there count as output that it has not taken.
        """
        waiting = untaken(self.transport)
        if waiting and (self._stalledAt is None or waiting < self._stalledAt):
            self._stalledAt = waiting
            self._wait(self.stallTime)
        else:
            self.forceAbortClient()

    def _pullStalled(self) -> None:
        """The transport has not asked its producer for more in time. The peer is slow, or the producer is."""
        if getattr(self.transport, "unsent", 0):
            self._stalled()
        else:
            self._wait(self.stallTime)

    def timeoutConnection(self) -> None:
        """Called when no request has come in time: closes the connection, and resets it after `abortTimeout`."""
        self._lastChance = True
        self._wait(self.abortTimeout)
        self._detach()
        closeFor(self.transport, IdleTimeout(f"{self.timeOut:g} s without a request"))

    def forceAbortClient(self) -> None:
        """Called when the connection has not ended in time: resets it."""
        self.transport.abortConnection()

    # Back-pressure: the channel is the transport's producer, and the programs' producers follow it.

    def _holdFor(self, request: Any) -> None:
        """Read nothing until `request` is answered. The bytes after it may be of another protocol."""
        self._upgrading = request
        self._hold(TUNNEL)

    def _hold(self, cause: int) -> None:
        if not self._holds:
            LineReceiver.pauseProducing(self)
        self._holds |= cause
        if cause in (QUEUE, TUNNEL) and self._phase == BUSY:
            self._rest()

    def _letGo(self, cause: int) -> None:
        if self._holds & cause:
            self._holds &= ~cause
            if cause == CONTENT:
                self._received = int(MIN_RATE * GRACE)  # the peer had no chance to send in the time that has begun
            if not self._holds:
                LineReceiver.resumeProducing(self)

    def pauseProducing(self) -> None:
        """Called by the transport when the peer takes no more."""
        self._hold(OUTPUT)
        self.isFull = True
        self._stalledAt = untaken(self.transport)
        self._wait(self.stallTime)
        if self._producer is not None:
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        """Called by the transport when the peer has taken everything."""
        self._holds &= ~OUTPUT  # first, as a producer that goes on may fill the transport again
        self.isFull = False
        self._stalledAt = None
        self._waitForInput()
        if self._producer is not None:
            self._producer.resumeProducing()
        if self.requests:
            self.requests[0].goOnSending()
        if not self._holds and self.paused:
            LineReceiver.resumeProducing(self)

    def _waitForInput(self) -> None:
        """Begin the deadline of the input's phase, unless the one for output runs."""
        if self._phase in (IDLE, HEAD, BODY) and not (self._holds & OUTPUT or self._pulls):
            self._received = 0
            self._wait({IDLE: self.timeOut, HEAD: self.headTimeOut, BODY: GRACE}[self._phase])
        else:
            self._rest()

    def _rest(self) -> None:
        """End the deadline, unless it is that for output. If nothing is read, the client is looked at from now on."""
        if not (self._holds & OUTPUT or self._pulls):
            if self._holds and self._phase == BUSY:
                self._wait(LOOK)
            else:
                endWait(self)

    def pulled(self) -> None:
        """Called when the transport asks a pull producer for more: the peer has taken everything."""
        self._stalledAt = None
        self._wait(self.stallTime)

    def stopProducing(self) -> None:
        """Called when the connection ends, by the transport and by the channel: tells the producer, once."""
        producer, self._producer = self._producer, None
        if producer is not None:
            beside(producer.stopProducing())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Called by the first request for its producer. RuntimeError if there is one."""
        if self._producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: there is one")
        if streaming:
            self._producer = producer
            if self.isFull:
                producer.pauseProducing()
            return
        self._producer = producer
        self._pulls = True
        self.transport.unregisterProducer()
        self.transport.registerProducer(_Pulled(self, producer), False)
        self.isFull = False
        self._letGo(OUTPUT)  # the transport tells the channel no more when the peer takes output again

    def unregisterProducer(self) -> None:
        """Called by the first request."""
        self._producer = None
        if self._pulls:
            self._pulls = False
            self._stalledAt = None
            self._waitForInput()
            self.transport.unregisterProducer()
            self.transport.registerProducer(self, True)

    def _detach(self) -> None:
        """Ask nothing more of producers, as the connection ends."""
        self.transport.unregisterProducer()
        self._pulls = False
        self.stopProducing()


class _Pulled:
    """A pull producer of a request. Each question of the transport for more shows that the peer takes output."""

    def __init__(self, channel: Pacing, producer: Any) -> None:
        self._channel = channel
        self._producer = producer

    def resumeProducing(self) -> Any:
        self._channel.pulled()
        return self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._channel.stopProducing()
