"""How a server ends its connections: what was read is answered, what is owed is sent, and no peer sees a reset.

    reading    as before, until the kernel has nothing left to be read (READ_GRACE at most: some clients never stop)
    leaving    nothing more is taken: what still comes is read and dropped, for closing a socket with unread data makes
               the kernel reset it, which can destroy answers that are on their way; a protocol that has paused its
               transport still has something to deliver, and is waited for; then our half is ended
    sent       the peer has what it was owed and the connection is closed, as soon as the peer has acknowledged it and
               is silent, or after LINGER

After DEADLINE in all, whatever is left is reset.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.serving.watch import isRead, unacknowledged, unread
from reactor.task import LoopingCall
from reactor.timers import monotonicTime

log = logging.getLogger("reactor.serving")

DEADLINE = 5.0
READ_GRACE = 1.0
LINGER = 1.0
TICK = 0.02


class Leaving:
    """Takes the place of a connection's protocol when nothing more is taken from the peer."""

    def __init__(self, transport: Any, drain: Drain) -> None:
        self.transport = transport
        self.ending = False
        self.sentAt: float | None = None
        self._dropped = False
        self._drain = drain
        self._protocol = transport.protocol
        transport.protocol = self

    def dataReceived(self, data: bytes) -> None:
        """Dropped."""
        self._dropped = True

    def readConnectionLost(self) -> None:
        """The peer has nothing more to say. The protocol is told that, too, if it was told all before it."""
        if not self._dropped and hasattr(self._protocol, "readConnectionLost"):
            self._protocol.readConnectionLost()
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """All is with the kernel."""
        self.sentAt = self._drain.now()

    def connectionLost(self, reason: Failure) -> None:
        """For the protocol, too."""
        self._drain.left(self)
        self._protocol.connectionLost(reason)


class Drain:
    """Ends `transports`. `done` fires with the number of connections that had to be reset, when all have gone."""

    def __init__(self, reactor: ReactorBase, transports: Iterable[Any]) -> None:
        self.now = partial(monotonicTime, reactor)
        self.done: Deferred[int] = Deferred()
        self._reactor = reactor
        self._begun = self.now()
        self._reading = list(transports)
        self._leaving: dict[Leaving, None] = {}
        self._reset = 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._loop.start(TICK).addErrback(self.done.errback)

    def left(self, leaving: Leaving) -> None:
        """A connection has gone."""
        self._leaving.pop(leaving, None)

    def _tick(self) -> None:
        now = self.now()
        self._stopReading(now >= self._begun + READ_GRACE)
        for leaving in list(self._leaving):
            self._letGo(leaving, isRead(leaving.transport, self._reactor), now)
        if not self._reading and not self._leaving:
            self._loop.stop()
            self.done.callback(self._reset)
        elif now >= self._begun + DEADLINE:
            self._resetAll()

    def _stopReading(self, enough: bool) -> None:
        still = []
        for transport in self._reading:
            if transport.disconnected:
                continue
            if not enough and isRead(transport, self._reactor) and unread(transport):
                still.append(transport)
            else:
                self._leaving[Leaving(transport, self)] = None
        self._reading = still

    def _letGo(self, leaving: Leaving, reads: bool, now: float) -> None:
        transport = leaving.transport
        if not leaving.ending:
            if reads:
                leaving.ending = True
                transport.loseWriteConnection()
        elif leaving.sentAt is not None:
            quiet = not unread(transport) and not unacknowledged(transport)
            if quiet or now >= leaving.sentAt + LINGER:
                transport.loseConnection()

    def _resetAll(self) -> None:
        """Too late. Nobody can be reading any more: READ_GRACE is shorter. Twice does nothing."""
        if not self._reset:
            self._reset = len(self._leaving)
            log.warning("%d connections did not take what was owed to them in %g s, reset", self._reset, DEADLINE)
            for leaving in list(self._leaving):
                leaving.transport.abortConnection()
