"""Throttling: a limit on the bytes a second, for all connections of a factory together.

After a second with too many bytes, the factory stops all connections for the time that the excess would have taken.
Both the user of a connection and the throttle can stop its reading, or its producer. It goes on when neither wants it
stopped.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._beside import beside
from reactor._closing import goesOn
from reactor._logger import getLogger
from reactor._views import sizeOf
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.policies.wrapping import ProtocolWrapper, WrappingFactory
from reactor.protocol import connectionDone

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall

log = getLogger("reactor.policies")


class _Valve:
    """Stands between a transport and its producer: it passes on the transport's calls, unless it is shut."""

    def __init__(self, producer: Any, streaming: bool, isShut: bool) -> None:
        self.producer = producer
        self.isStopped = False
        self._streaming = streaming
        self._isShut = isShut
        self._isWanted = streaming  # the transport wants data; of a pull producer, a piece

    def pauseProducing(self) -> Any:
        self._isWanted = False
        return None if self._isShut else self.producer.pauseProducing()

    def resumeProducing(self) -> Any:
        self._isWanted = True
        return None if self._isShut else self._ask()

    def stopProducing(self) -> Any:
        self.isStopped = True
        return self.producer.stopProducing()

    def shut(self) -> None:
        self._isShut = True
        if self._streaming and self._isWanted:
            beside(self.producer.pauseProducing())

    def open(self) -> None:
        self._isShut = False
        if self._isWanted:
            beside(self._ask())

    def _ask(self) -> Any:
        self._isWanted = self._streaming
        return self.producer.resumeProducing()


class ThrottlingProtocol(ProtocolWrapper):
    """The wrapper of a ThrottlingFactory. `producer` is the one that the protocol has registered, or None."""

    producer: Any = None
    _valve: _Valve | None = None
    _isPaused = False
    _readsThrottled = False
    _writesThrottled = False
    _isUncounted = False  # the factory's connectionCount does not hold it any more

    def write(self, data: BytesLike) -> None:
        """Counted, and passed on."""
        self.factory.registerWritten(sizeOf(data))
        super().write(data)

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Counted, and passed on."""
        pieces = list(seq)
        self.factory.registerWritten(sum(map(sizeOf, pieces)))
        super().writeSequence(pieces)

    def dataReceived(self, data: bytes) -> Any:
        """Counted, and passed on."""
        self.factory.registerRead(len(data))
        return super().dataReceived(data)

    def pauseProducing(self) -> None:
        """Passed on, and remembered: the end of throttling does not undo this pause."""
        self._isPaused = True
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """Passed on, when reading is not throttled."""
        self._isPaused = False
        if not self._readsThrottled:
            self.transport.resumeProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Passed on; throttling can stop the producer. The errors are the transport's."""
        before = self.producer, self._valve
        self.producer = producer
        self._valve = valve = _Valve(producer, bool(streaming), self._writesThrottled)
        try:
            super().registerProducer(valve, streaming)
        except BaseException:
            self.producer, self._valve = before
            raise
        if valve.isStopped:
            self.producer = self._valve = None
        elif streaming and self._writesThrottled:
            valve.shut()

    def unregisterProducer(self) -> None:
        """Passed on."""
        self.producer = self._valve = None
        super().unregisterProducer()

    def stopConsuming(self) -> None:
        """Passed on."""
        self.producer = self._valve = None
        super().stopConsuming()

    @goesOn
    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Passed on."""
        self.producer = self._valve = None
        return super().connectionLost(reason)

    def throttleReads(self) -> None:
        """Called by the factory: read no more."""
        self._readsThrottled = True
        self.transport.pauseProducing()

    def unthrottleReads(self) -> None:
        """Called by the factory: read again, unless the protocol has paused."""
        self._readsThrottled = False
        if not self._isPaused:
            self.transport.resumeProducing()

    def throttleWrites(self) -> None:
        """Called by the factory: stop the producer, if there is one."""
        self._writesThrottled = True
        if self._valve is not None:
            self._valve.shut()

    def unthrottleWrites(self) -> None:
        """Called by the factory: let the producer go on, if the transport wants more."""
        self._writesThrottled = False
        if self._valve is not None:
            self._valve.open()


class ThrottlingFactory(WrappingFactory):
    """Limits the number of connections, and the bytes a second that all of them together read and write.

    A connection above `maxConnectionCount` is closed at once and counted in `refusedCount`. After a second with more
    than `readLimit` bytes read, all reading stops for the time that the excess would have taken. `writeLimit` stops the
    producers that protocols have registered in the same way, as no other writing can be stopped. None is no limit.
    ValueError unless the limits are above 0.
    """

    protocol: Callable[..., Any] | None = ThrottlingProtocol

    def __init__(
        self,
        wrappedFactory: Any,
        maxConnectionCount: int = sys.maxsize,
        readLimit: float | None = None,
        writeLimit: float | None = None,
    ) -> None:
        for limit in (readLimit, writeLimit):
            if limit is not None and limit <= 0:
                raise ValueError(f"a limit must be above 0 bytes a second, not {limit}")
        super().__init__(wrappedFactory)
        self.connectionCount = 0
        self.refusedCount = 0
        self.maxConnectionCount = maxConnectionCount
        self.readLimit = readLimit
        self.writeLimit = writeLimit
        self.readThisSecond = 0
        self.writtenThisSecond = 0
        self.checkReadBandwidthID: IDelayedCall | None = None
        self.unthrottleReadsID: IDelayedCall | None = None
        self.checkWriteBandwidthID: IDelayedCall | None = None
        self.unthrottleWritesID: IDelayedCall | None = None

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """The current reactor's callLater. Tests replace it by a Clock's."""
        return _current.current().callLater(period, func)

    def registerWritten(self, length: int) -> None:
        """Each wrapper calls this after it has written `length` bytes."""
        self.writtenThisSecond += length

    def registerRead(self, length: int) -> None:
        """Each wrapper calls this after it has read `length` bytes."""
        self.readThisSecond += length

    def checkReadBandwidth(self) -> None:
        """Called every second while there are connections."""
        assert self.readLimit is not None
        excess = self.readThisSecond / self.readLimit - 1.0
        if excess > 0:
            if self.unthrottleReadsID is None:
                self.throttleReads()
                self.unthrottleReadsID = self.callLater(excess, self.unthrottleReads)
            else:
                self.unthrottleReadsID.delay(excess)
        self.readThisSecond = 0
        self.checkReadBandwidthID = self.callLater(1, self.checkReadBandwidth)

    def checkWriteBandwidth(self) -> None:
        """Called every second while there are connections."""
        assert self.writeLimit is not None
        excess = self.writtenThisSecond / self.writeLimit - 1.0
        if excess > 0:
            if self.unthrottleWritesID is None:
                self.throttleWrites()
                self.unthrottleWritesID = self.callLater(excess, self.unthrottleWrites)
            else:
                self.unthrottleWritesID.delay(excess)
        self.writtenThisSecond = 0
        self.checkWriteBandwidthID = self.callLater(1, self.checkWriteBandwidth)

    def throttleReads(self) -> None:
        """Stop reading on all connections."""
        log.info("Throttling reads on %r", self)
        self._tellAll("throttleReads")

    def unthrottleReads(self) -> None:
        """Let all connections read again."""
        self.unthrottleReadsID = None
        log.info("Stopped throttling reads on %r", self)
        self._tellAll("unthrottleReads")

    def throttleWrites(self) -> None:
        """Stop the producers of all connections."""
        log.info("Throttling writes on %r", self)
        self._tellAll("throttleWrites")

    def unthrottleWrites(self) -> None:
        """Let the producers of all connections go on."""
        self.unthrottleWritesID = None
        log.info("Stopped throttling writes on %r", self)
        self._tellAll("unthrottleWrites")

    def _tellAll(self, what: str) -> None:
        for protocol in list(self.protocols):
            try:
                getattr(protocol, what)()
            except BaseException:
                protocol.failConnection(Failure())

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapper around the wrapped factory's protocol; None if there are too many connections."""
        if self.connectionCount >= self.maxConnectionCount:
            log.limited(logging.INFO, "Max connection count reached!")
            self.refusedCount += 1
            return None
        protocol = super().buildProtocol(addr)
        if protocol is not None:
            self.connectionCount += 1
            if self.connectionCount == 1:
                self._startChecks()
        return protocol

    def registerProtocol(self, p: Any) -> None:
        """Called by each wrapper when its connection stands. If the others are throttled, so is this one."""
        super().registerProtocol(p)
        if self.unthrottleReadsID is not None:
            p.throttleReads()
        if self.unthrottleWritesID is not None:
            p.throttleWrites()

    @goesOn
    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over. Without connections, the checks stop."""
        super().unregisterProtocol(p)
        if not p._isUncounted:
            p._isUncounted = True
            self.connectionCount -= 1
        if self.connectionCount == 0:
            self._stopChecks()

    def _startChecks(self) -> None:
        if self.readLimit is not None:
            self.checkReadBandwidth()
        if self.writeLimit is not None:
            self.checkWriteBandwidth()

    def _stopChecks(self) -> None:
        for name in ("checkReadBandwidthID", "unthrottleReadsID", "checkWriteBandwidthID", "unthrottleWritesID"):
            call = getattr(self, name)
            if call is not None:
                if call.active():
                    call.cancel()
                setattr(self, name, None)
