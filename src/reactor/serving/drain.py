"""How a server ends its connections: what was read is answered, what is owed is sent, and no peer sees a reset.

    accepting  a port closes as soon as nobody waits in its queue any more: at once, unless the system has no descriptor
               left, which the connections that end give back
    reading    as before, until the kernel has nothing left to be read (READ_GRACE at most: some clients never stop)
    leaving    what is owed is sent, then our half is ended. What still comes is delivered as before: nobody knows how
               much of it a client that watches nothing has counted as taken. A protocol that has paused its transport
               still has something to deliver, and is waited for
    sent       the peer has what it was owed and the connection is closed, as soon as the peer has acknowledged it and
               is silent, or after LINGER; in the same step what the kernel has by then is read and delivered

After DEADLINE in all, whatever is left is reset. What was not taken from the peers is counted, and told in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.serving.watch import handshaking, held, isRead, readOnce, unacknowledged, unread
from reactor.task import LoopingCall
from reactor.timers import monotonicTime

log = getLogger("reactor.serving")

DEADLINE = 5.0
READ_GRACE = 1.0
LINGER = 1.0
TICK = 0.02
LAST_READS = 64


class Leaving:
    """Stands before a connection's protocol from the end of our half on, and passes everything on."""

    def __init__(self, transport: Any, drain: Drain) -> None:
        self.transport = transport
        self.protocol = transport.protocol
        self.ending = False
        self.sentAt: float | None = None
        self._drain = drain
        transport.protocol = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self.protocol, name)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on."""
        return self.protocol.dataReceived(data)

    def readConnectionLost(self) -> Any:
        """The peer has nothing more to say. The protocol is told that, too, if it can be."""
        told = None
        if hasattr(self.protocol, "readConnectionLost"):
            told = self.protocol.readConnectionLost()
        self.transport.loseConnection()
        return told

    def writeConnectionLost(self) -> None:
        """All is with the kernel."""
        self.sentAt = self._drain.now()

    def connectionLost(self, reason: Failure) -> Any:
        """For the protocol, too."""
        self._drain.left(self)
        return self.protocol.connectionLost(reason)


class Drain:
    """Ends `ports` and `transports`. `done` fires with the number of connections that had to be reset, at the end.

    `untaken` is the number of bytes that were not taken from peers: those that the kernel still had when their
    connection was closed, and those that had been read and were not delivered.
    """

    def __init__(self, reactor: ReactorBase, transports: Iterable[Any], ports: Iterable[Any] = ()) -> None:
        self.now = partial(monotonicTime, reactor)
        self.done: Deferred[int] = Deferred()
        self.untaken = 0
        self._reactor = reactor
        self._begun = self.now()
        self._ports = list(ports)
        self._closing = 0
        self._reading: dict[Any, float] = dict.fromkeys(transports, self._begun)
        self._leaving: dict[Leaving, None] = {}
        self._cut = 0  # connections from which something was not taken
        self._reset = 0
        self._aborted: set[Any] = set()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor

    def start(self) -> Deferred[int]:
        """Begin, and return `done`. The connections that the ports still accept are to be added."""
        self._loop.start(TICK).addErrback(self.done.errback)
        return self.done

    def add(self, transport: Any) -> None:
        """A connection that the kernel had let in has been made."""
        self._reading[transport] = self.now()

    def left(self, leaving: Leaving) -> None:
        """A connection has gone."""
        self._leaving.pop(leaving, None)

    def giveUp(self) -> None:
        """Nobody waits for the rest: tell what it is. Nothing if all is done."""
        if self._loop.running:
            self._loop.stop()
            for transport in [*self._reading, *(leaving.transport for leaving in self._leaving)]:
                if not transport.disconnected:
                    self._count(transport)
            self._tell()

    def _tick(self) -> None:
        now = self.now()
        late = now >= self._begun + DEADLINE
        self._closePorts(late)
        self._stopReading(now)
        for leaving in list(self._leaving):
            self._letGo(leaving, isRead(leaving.transport, self._reactor), now)
        awaited = now < self._begun + READ_GRACE and handshaking(self._reactor)
        if not (self._ports or self._closing or self._reading or self._leaving or awaited):
            self._loop.stop()
            self._tell()
            self.done.callback(self._reset)
        elif late:
            self._resetAll()

    def _closePorts(self, late: bool) -> None:
        for port in list(self._ports):
            port.acceptWaiting()
            if port.resting and not late:
                continue
            self._ports.remove(port)
            closed = port.stopListening()
            if closed is not None:
                self._closing += 1
                closed.addBoth(self._portClosed)

    def _portClosed(self, result: Any) -> None:
        self._closing -= 1

    def _stopReading(self, now: float) -> None:
        for transport, since in list(self._reading.items()):
            if transport.disconnected:
                del self._reading[transport]
            elif now >= since + READ_GRACE or not (isRead(transport, self._reactor) and unread(transport)):
                del self._reading[transport]
                self._leaving[Leaving(transport, self)] = None

    def _letGo(self, leaving: Leaving, reads: bool, now: float) -> None:
        transport = leaving.transport
        if not reads:
            return  # a handler is waited for
        if not leaving.ending:
            leaving.ending = True
            transport.loseWriteConnection()
        elif leaving.sentAt is not None:
            if now >= leaving.sentAt + LINGER:
                self._takeLast(transport)
            elif unread(transport) or unacknowledged(transport):
                return
            if transport.disconnected or not isRead(transport, self._reactor):
                return  # what came last has ended it, or is waited for
            self._count(transport)
            transport.loseConnection()

    def _takeLast(self, transport: Any) -> None:
        """Deliver what the kernel has, so that as little as possible is lost of a peer that never falls silent."""
        for _ in range(LAST_READS):
            if transport.disconnected or not (isRead(transport, self._reactor) and unread(transport)):
                return
            try:
                readOnce(transport)
            except BaseException:
                transport.failConnection(Failure())

    def _count(self, transport: Any) -> None:
        """Count what is not taken from a connection that is closed now."""
        size = unread(transport) + held(transport)
        if size:
            self.untaken += size
            self._cut += 1

    def _tell(self) -> None:
        if self.untaken:
            text = "%d bytes were not taken from %d connections that still sent, or whose handlers had not done"
            log.warning(text, self.untaken, self._cut)

    def _resetAll(self) -> None:
        """Too late: reset whoever is left."""
        left = [*self._reading, *(leaving.transport for leaving in self._leaving)]
        left = [transport for transport in left if transport not in self._aborted]
        if left:
            self._reset += len(left)
            log.warning("%d connections did not take what was owed to them in %g s, reset", len(left), DEADLINE)
            for transport in left:
                self._aborted.add(transport)
                self._count(transport)
                transport.abortConnection()
