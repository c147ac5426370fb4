"""How a server ends its connections: it answers and sends everything, and resets no peer that stops sending.

The phases of a connection:

- accepting: a port closes as soon as its queue is empty. That is at once, unless the system has no descriptor left for
  a client. Connections that end give theirs back. If no other process serves the port (`isLast`), the kernel lets no
  new client in from the beginning on.
- reading: goes on until the kernel has nothing left to read, of any connection. One client's line may be output to
  another. Some clients never stop, so the limit is READ_GRACE. A client may have connected a moment ago, and its first
  line is on its way. So a peer that has never sent a byte gets FIRST_WORDS.
- leaving: the output is sent, and then our half ends. Data that still comes is delivered as before, because a client
  that does not watch for the end takes it for received. A protocol that has paused its transport still works on data,
  and gets time. So does a connection of HTTP that owes an answer; its last answer says that it is the last.
- sent: the peer has acknowledged all output. The connection closes as soon as the peer is silent (for QUIET, if it has
  sent something since). One that goes on sending is read until LAST_MOMENT before the deadline. One that acknowledges
  nothing has LINGER. Then the kernel refuses new data; the data that it has is delivered first.

Connections of applications that only receive (`sendFin`, or those in `receiving`) skip the reading phase: our half ends
at once, behind the output that waits. So senders that heed the end stop at once, and lose nothing. A sender may have
looked for our end just before it came, and write one line more. So a silent one gets HEED to end its half.

A peer that still sends at its last moment gets a reset. A plain close would not be enough. The peer would count its
next lines as sent, since only the answer to one of them shows the close. That answer may not come: Linux silently drops
a segment that arrives while it makes a closed socket a TIME_WAIT one. Then the peer's kernel takes lines for a fifth of
a second more, until it tries again. The reset costs the peer no answer, as it has acknowledged all of them. Linux keeps
the data that a reader has not read yet.

After the deadline (DEADLINE, unless another is given), the remaining connections are reset. A log record counts the
bytes that were not taken from the peers. Bytes that the peers' own systems had not sent yet are unknown here.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from reactor._logger import getLogger
from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.service.leaving import Leaving
from reactor.service.watch import (
    handshaking,
    hasEnded,
    hasEndedOutput,
    held,
    isMute,
    isRead,
    owesAnswer,
    readOnce,
    refuseMore,
    resetOnClose,
    topOf,
    unacknowledged,
    unread,
)
from reactor.service.web import takeLastRequest
from reactor.task import LoopingCall
from reactor.timers import monotonicTime
from reactor.transports.listening import ListeningPort
from reactor.transports.stream import Connection

log = getLogger("reactor.serving")

DEADLINE = 5.0
READ_GRACE = 1.0
FIRST_WORDS = 0.1
LINGER = 1.0
HEED = 0.25  # seconds, an eighth of the deadline at most
LAST_MOMENT = 0.25  # seconds before the deadline at which peers that still send are closed, an eighth of it at most
TICK = 0.02
LAST_TIME = 0.02  # seconds for the last reads in each tick, as there are other connections to serve, and signals
LAST_READS = 64  # the most last reads of one connection while its peer can still send


class Drain:
    """Ends `ports` and `transports`. At the end `done` fires with the number of connections that were reset.

    `untaken` is the number of bytes that were not taken from peers. The kernel still had some of them when their
    connection was closed; others had been read and were not delivered.
    """

    def __init__(
        self,
        reactor: ReactorBase,
        transports: Iterable[Any],
        ports: Iterable[Any] = (),
        deadline: float | None = None,
        sendFin: bool = False,
        receiving: Iterable[Any] = (),
        isLast: bool = False,
    ) -> None:
        self._deadline = DEADLINE if deadline is None else deadline
        self._readGrace = min(READ_GRACE, self._deadline / 5)
        self._heed = min(HEED, self._deadline / 8)
        self._sendFin = sendFin
        self._patience = self._deadline - min(LAST_MOMENT, self._deadline / 8)
        self.now = partial(monotonicTime, reactor)
        self.done: Deferred[int] = Deferred()
        self.untaken = 0
        self._reactor = reactor
        self._begun = self.now()
        self._ports = list(ports)
        self._isLast = isLast
        self._closing = 0
        self._reading: dict[Any, float] = {}
        self._receiving: list[Any] = []  # our half ends in the next tick
        self._leaving: dict[Leaving, None] = {}
        self._cut = 0  # connections with untaken bytes
        self._speaking = 0  # connections that still sent
        self._lastTime = 0.0
        self._reset = 0
        self._counted: set[Any] = set()
        self._awaiting: list[Deferred[int]] = []
        self._isOver = False
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        for transport in transports:
            self.add(transport)
        for transport in receiving:
            self.add(transport, receives=True)

    def start(self) -> Deferred[int]:
        """Begin, and return `done`. The caller adds the connections that the ports still accept."""
        if self._isLast:
            for port in self._ports:
                if isinstance(port, ListeningPort):
                    port.shutOut()
        self._loop.start(TICK).addErrback(self.done.errback)
        return self.done

    def add(self, transport: Any, receives: bool = False) -> None:
        """Add a connection that the kernel had let in. `receives`: its application only receives."""
        if receives or self._sendFin:
            self._receiving.append(transport)
        else:
            self._reading[transport] = self.now()

    def left(self, leaving: Leaving) -> None:
        """Remove a connection that has ended."""
        self._leaving.pop(leaving, None)
        if leaving.refuses:
            self._count(leaving.transport)

    def finish(self, leaving: Leaving) -> None:
        """Close a connection: its data has been delivered, or cannot be."""
        self._count(leaving.transport)
        leaving.transport.loseConnection()

    def giveUp(self) -> None:
        """Stop waiting, and log the rest, if there is any."""
        if self._loop.running:
            self._loop.stop()
            for transport in self._open():
                if not transport.disconnected:
                    self._count(transport)
            self._tell()
            self._finish()

    def whenDone(self) -> Deferred[int]:
        """Return a new Deferred of the number of connections that were reset. It fires when the drain is over."""
        later: Deferred[int] = Deferred()
        if self._isOver:
            later.callback(self._reset)
        else:
            self._awaiting.append(later)
        return later

    def _finish(self) -> None:
        self._isOver = True
        awaiting, self._awaiting = self._awaiting, []
        if not self.done.called:
            self.done.callback(self._reset)
        for later in awaiting:
            later.callback(self._reset)

    def _tick(self) -> None:
        now = self.now()
        late = now >= self._begun + self._deadline
        self._closePorts(late)
        self._endReceivers()
        self._stopReading(now)
        self._lastTime = LAST_TIME
        for leaving in list(self._leaving):
            self._letGo(leaving, now)
        awaited = now < self._begun + min(READ_GRACE, self._deadline / 5) and handshaking(self._reactor)
        if not (self._ports or self._closing or self._open() or awaited):
            self._loop.stop()
            self._tell()
            self._finish()
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

    def _open(self) -> list[Any]:
        return [*self._receiving, *self._reading, *(leaving.transport for leaving in self._leaving)]

    def _endReceivers(self) -> None:
        """End our half of the connections of applications that only receive."""
        receiving, self._receiving = self._receiving, []
        for transport in receiving:
            if not transport.disconnected:
                self._leaving[Leaving(transport, self, self._heed)] = None

    def _stopReading(self, now: float) -> None:
        """End all our halves together: one peer's line may be output to another, as in chat."""
        waits = False
        for transport, since in list(self._reading.items()):
            if transport.disconnected:
                del self._reading[transport]
            elif now < since + self._readGrace and not transport.disconnecting:
                isWaiting = unread(transport) > 0 or not isRead(transport, self._reactor)
                isWaiting = isWaiting or (now < since + FIRST_WORDS and isMute(transport))
                waits = waits or isWaiting
                if not isWaiting:
                    takeLastRequest(transport)
        if not waits:
            for transport in self._reading:
                takeLastRequest(transport)
                self._leaving[Leaving(transport, self)] = None
            self._reading.clear()

    def _letGo(self, leaving: Leaving, now: float) -> None:
        transport = leaving.transport
        if not isRead(transport, self._reactor) or owesAnswer(transport):
            return  # a handler still works
        if not leaving.ending:
            # A line may have come since the others were read: it gets an answer, and then our half ends at once.
            if unread(transport) and not self._readLast(transport):
                return
            leaving.ending = True
            if hasEndedOutput(transport):
                leaving.sentAt = now
            self._endOutput(transport)
        elif leaving.sentAt is not None:
            speaks = bool(unread(transport)) or leaving.speaks(now)
            patience = self._begun + self._patience if speaks else leaving.sentAt + LINGER
            busy = speaks or leaving.mayHeed(now) or unacknowledged(transport)
            if self._lastTime > LAST_TIME / 100 and (leaving.refuses or not busy or now >= patience):
                self._close(leaving, now)

    def _close(self, leaving: Leaving, now: float) -> None:
        """Refuse more, deliver what the kernel has, and close."""
        transport = leaving.transport
        if not leaving.refuses:
            if hasEnded(transport):
                return  # the order is right: the loop reads up to the end
            # with this acknowledgement, the peer sends the data that it had held back
            self._takeLast(transport, bounded=False)
            if transport.disconnected or not isRead(transport, self._reactor) or hasEnded(transport):
                return
            leaving.refuses = True
            if leaving.speaks(now):
                self._speaking += 1
                if not unacknowledged(transport):
                    resetOnClose(transport)
        self._takeLast(transport, refuseMore(transport))
        if not transport.disconnected and isRead(transport, self._reactor):
            self.finish(leaving)  # otherwise the last data has ended it, or a handler works on it

    def _endOutput(self, transport: Any) -> None:
        """End our half now if the kernel takes all output, and not at the end of the turn: more may come until then."""
        try:
            transport.loseWriteConnection()
            transport.flush()
        except BaseException:
            transport.failConnection(Failure())

    def _readLast(self, transport: Any) -> bool:
        """Read once, and deliver. Return whether the connection goes on, and no handler works on the data."""
        try:
            readOnce(transport)
        except BaseException:
            transport.failConnection(Failure())
        return not transport.disconnected and isRead(transport, self._reactor) and not owesAnswer(transport)

    def _takeLast(self, transport: Any, bounded: bool) -> None:
        """Deliver the data that the kernel has. `bounded`: the kernel takes no more."""
        reads, before = 0, -1
        while not transport.disconnected and isRead(transport, self._reactor) and (size := unread(transport)):
            begun = self.now()
            if (size == before if bounded else reads == LAST_READS) or begun >= self._begun + self._deadline:
                return
            reads, before = reads + 1, size
            self._readLast(transport)
            self._lastTime -= self.now() - begun

    def _count(self, transport: Any) -> None:
        """Count the untaken bytes of a connection that is closed now. Later calls for it do nothing."""
        if transport in self._counted:
            return
        self._counted.add(transport)
        size = unread(transport) + held(transport)
        if size:
            self.untaken += size
            self._cut += 1

    def _tell(self) -> None:
        if self._speaking:
            text = "%d connections still sent when they were closed; what their systems had not sent yet is lost"
            log.warning(text, self._speaking)
        if self.untaken:
            text = "%d bytes were not taken from %d connections that still sent, or whose handlers had not finished"
            log.warning(text, self.untaken, self._cut)

    def _resetAll(self) -> None:
        """Reset the remaining connections: the deadline is over."""
        left = [transport for transport in self._open() if transport not in self._counted]
        if left:
            self._reset += len(left)
            waiting = [t for t in left if not (t.disconnecting or isRead(t, self._reactor))]
            if waiting:
                text = (
                    "%d connections reset after %.3g s: what they had sent still waited for a handler or for the output"
                )
                log.warning(text, len(waiting), self._deadline)
            if len(left) > len(waiting):
                text = "%d connections did not take what was owed to them in %.3g s, reset"
                log.warning(text, len(left) - len(waiting), self._deadline)
            sent = {leaving.transport for leaving in self._leaving if leaving.sentAt is not None}
            for transport in left:
                refuseMore(transport, isSent=transport in sent)
                self._count(transport)
                transport.abortConnection()


def drain(
    ports: Iterable[Any], deadline: float = DEADLINE, transports: Iterable[Any] | None = None, sendFin: bool = False
) -> Deferred[int]:
    """End listening `ports` and their connections in order. The Deferred fires with the number of those reset.

    `deadline` is in seconds. `transports` are the connections to end; None means those that have the address of one of
    the ports on this side. See Server.drain for the rest. ValueError without a port, if `transports` is None.
    """
    ports, connections = list(ports), None if transports is None else list(transports)
    if not ports and not connections:
        raise ValueError("there is nothing to end: give ports, or transports")
    reactor = (ports or connections or [None])[0].reactor
    if connections is None:
        for port in ports:
            port.acceptWaiting()
        connections = [topOf(each) for each in reactor.openTransports() if _isOf(each, ports)]
    return Drain(reactor, connections, ports, deadline, sendFin).start()


def _isOf(transport: Any, ports: list[Any]) -> bool:
    """Whether `transport` is a connection that one of `ports` has accepted."""
    return isinstance(transport, Connection) and any(_isAt(transport.getHost(), port.getHost()) for port in ports)


def _isAt(host: Any, place: Any) -> bool:
    isAny = getattr(place, "host", None) in ("0.0.0.0", "::")
    return bool(host == place or (isAny and getattr(host, "port", None) == place.port))
