"""Listener: the ports of one factory, the limits of their connections, and their counters."""

from __future__ import annotations

import heapq
import math
import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._closing import closeFor
from reactor.address import UNIXAddress
from reactor.defer import Deferred
from reactor.error import ConnectionDone, PendingLimitExceeded
from reactor.failure import Failure
from reactor.interfaces import IProtocolFactory
from reactor.linecore import Tally
from reactor.service.buckets import Bucket, Group, Groups
from reactor.service.entries import ACCEPTED, MET, Entry, lowestOf
from reactor.service.limits import Limits
from reactor.service.networks import addressOf, groupOf, isIn
from reactor.service.rates import Meter
from reactor.service.sweeps import LineSweep
from reactor.service.watch import Connections, IdleSweep
from reactor.service.ways import Way
from reactor.service.web import channelOf, limitIdling
from reactor.stdio import StandardIO
from reactor.timers import monotonicTime
from reactor.tlsoptions import ContextFactory
from reactor.transports.listening import ListeningPort
from reactor.transports.output import HIGH_WATER
from reactor.transports.stream import READ_SIZE
from reactor.transports.tlsports import TLSFactory

if TYPE_CHECKING:
    from reactor.service.server import Server

KEPT_PENDING = 0.75  # the part of maxPending that is left when connections have been closed for it


class Total(Tally):
    """The tally of all connections of a listener."""

    __slots__ = ("listener",)

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        if listener.limits.maxPending is not None:
            self.maxPending = listener.limits.maxPending

    def _passedLimit(self) -> None:
        self.listener.relieveSoon()


class Listener:
    """One listener of a Server, from Server.addListener. `name` and `limits` are those given there.

    `ports` has its open ports. `total` has what all connections have carried so far. `refused`, `ended` and `limited`
    count by reason, and `accepted` counts the connections that were let in. `isHTTP` tells whether it serves HTTP; a
    request counts as a line there. `sendFin` tells whether its application only receives.
    """

    def __init__(
        self,
        server: Server,
        factory: IProtocolFactory,
        name: str,
        limits: Limits,
        prepare: Callable[[Any], None] | None,
        sendFin: bool,
    ) -> None:
        self.server = server
        self.sendFin = sendFin
        self.name = name
        self.limits = limits
        self.ports: list[Any] = []
        self.entries: dict[Entry, None] = {}
        self.total = Total(self)
        self.accepted = 0
        self.refused: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self.limited: Counter[str] = Counter()
        self.isHTTP = False
        self._addresses: list[str] = []
        self._factory = factory
        self._prepare = prepare
        self._pipes: list[StandardIO] = []
        self._groups = Groups(limits.addressLineRate, limits.addressByteRate, limits.burst)
        self._relieving = False
        self._connections = Connections(server.reactor)
        timeout, deadline = limits.idleTimeout, limits.lineDeadline
        self._sweeps: list[IdleSweep | LineSweep] = []
        if timeout is not None:
            self._sweeps.append(IdleSweep(server.reactor, timeout, self._connections))
        if deadline is not None:
            self._sweeps.append(LineSweep(self, deadline))
        for sweep in self._sweeps:
            sweep.start()

    def __repr__(self) -> str:
        return f"<Listener {self.name!r} on {', '.join(self._addresses) or 'nothing yet'}>"

    # For programs.

    def listen(self, endpoint: Any) -> Deferred[Any]:
        """Listen on one endpoint more. The Deferred fires with the port, or with the endpoint's error.

        ConnectionDone if the connection over standard input and output has ended at once.
        """
        way = Way(self, self._factory, self._prepare)
        listening: Deferred[Any] = endpoint.listen(way.factory)
        return listening.addCallback(self._opened, way)

    def adopt(self, sock: socket.socket | int, contextFactory: ContextFactory | None = None) -> Any:
        """Accept from a listening stream socket, or its descriptor, that is open already. Return the port.

        It is duplicated, so its owner keeps it. With a `contextFactory` there is TLS from the first byte. OSError if it
        is no listening socket, UnsupportedAddressFamily if its family is another than IPv4, IPv6 or UNIX.
        """
        number = sock if isinstance(sock, int) else sock.fileno()
        with socket.socket(fileno=os.dup(number)) as copy:
            family = copy.family
        reactor = self.server.reactor
        way = Way(self, self._factory, self._prepare)
        factory: Any = way.factory
        if contextFactory is not None:
            factory = TLSFactory(reactor, factory, contextFactory)
        return self._opened(reactor.adoptStreamPort(number, family, factory), way)

    def refuse(self, reason: str) -> None:
        """Count a refused client. Code that refuses clients itself calls it, with a reason of its own."""
        self.refused[reason] += 1

    def connections(self) -> list[Any]:
        """Return the transports of the open connections."""
        return [*self._connections, *self._pipes]

    def counters(self) -> dict[str, Any]:
        """Return the counters, for a snapshot: see Server.stats."""
        total = self.total
        return {
            "addresses": list(self._addresses),
            "open": len(self.entries),
            "accepted": self.accepted,
            "refused": dict(self.refused),
            "ended": dict(self.ended),
            "linesIn": total.requests if self.isHTTP else total.lines,
            "requests": total.requests,
            "bytesIn": total.bytesIn,
            "bytesOut": total.bytesOut,
            "overlong": total.overlong + self.ended["overlong"],
            "limited": dict(self.limited),
            "outputOverflows": self.ended["output"],
            "pendingBytes": total.pending,
        }

    # For the server.

    def addAddress(self, place: str) -> None:
        """Show the address `place`, for example of a port for datagrams. See placeOf."""
        if place not in self._addresses:  # the port of another worker may come here, or a path that was bound anew
            self._addresses.append(place)

    def takePorts(self) -> list[Any]:
        """Return the open ports, which the caller closes."""
        ports, self.ports = self.ports, []
        return ports

    def stopSweeping(self) -> None:
        """Look for idle connections and late lines no more."""
        for sweep in self._sweeps:
            sweep.stop()

    def stopLimiting(self) -> None:
        """Read every connection at its own rate from now on."""
        for entry in list(self.entries):
            if entry.meter is not None:
                entry.meter.stop()
                entry.meter = None
                entry.unthrottle()

    def lost(self, entry: Entry) -> None:
        """A connection has ended."""
        why = entry.why or "done"
        self.ended[why] += 1
        if why == "proxy":
            self.refused[why] += 1
        self.entries.pop(entry, None)
        now = monotonicTime(self.server.reactor)
        if entry.group is not None:
            self._groups.leave(entry.group, now)
        self.server.connectionEnded(self, entry, why, now - entry.began)

    # For the tally.

    def relieveSoon(self) -> None:
        """More than maxPending bytes are pending: close connections on the next turn."""
        if not self._relieving:
            self._relieving = True
            self.server.reactor.callLater(0, self._relieve)

    def _relieve(self) -> None:
        """Close the connections that hold the most, the oldest first among equals."""
        self._relieving = False
        limit, held = self.total.maxPending, self.total.pending
        if held <= limit:
            return
        waiting = [(-entry.pending, entry.began, number) for number, entry in enumerate(self.entries)]
        entries = list(self.entries)
        heapq.heapify(waiting)
        while waiting and held > limit * KEPT_PENDING:
            size, _began, number = heapq.heappop(waiting)
            entry = entries[number]
            held += size
            self.limited["max-pending"] += 1
            entry.why = entry.why or "max-pending"
            transport = entry.transport
            if transport.unsent:
                transport.abortConnection()  # a peer that takes nothing would keep its lines here
            else:
                closeFor(transport, PendingLimitExceeded(f"{-size} bytes of {self.total.pending}"))
            entry.leave()  # its memory goes with its protocol

    # Beginning.

    def _opened(self, port: Any, way: Way) -> Any:
        if isinstance(port, StandardIO):
            if port.disconnected:
                raise ConnectionDone("the connection over standard input and output has ended at once")
            self.addAddress("stdio")
            return port
        if isinstance(port, ListeningPort):
            way.guard(port)
            if self.limits.backlog is not None and port.socket is not None:
                port.socket.listen(self.limits.backlog)
        self.ports.append(port)
        self.addAddress(placeOf(port.getHost()))
        return port

    def isFull(self) -> bool:
        """Whether maxConnections are open."""
        return self.limits.maxConnections is not None and len(self.entries) >= self.limits.maxConnections

    def reasonAgainst(self, peer: Any) -> str | None:
        """Return the reason to refuse a client with the address `peer`, None if there is none."""
        limits = self.limits
        if limits.allow or limits.deny:
            address = addressOf(peer)
            if address is not None and (
                isIn(address, limits.deny) or (limits.allow and not isIn(address, limits.allow))
            ):
                return "denied"
        if limits.maxPerAddress is not None:
            address = addressOf(peer)
            group = groupOf(address, limits.addressPrefix)
            if address is not None and self._groups.openIn(group) >= limits.maxPerAddress:
                return "max-per-address"
        return None

    def begin(self, transport: Any) -> Entry:
        """Count a connection, whose lowest transport is `transport`."""
        entry = Entry(self, transport, monotonicTime(self.server.reactor))
        self.entries[entry] = None
        self.accepted += 1
        transport.tally = entry
        transport.countsBytes = True
        return entry

    def enroll(self, entry: Entry, peer: Any) -> None:
        """Count a connection under its client's address, `peer`, and begin to watch its rates."""
        entry.peer = peer
        self.server.peers.opened(entry)
        limits, group, now = self.limits, None, entry.began
        if limits.hasGroups:
            address = addressOf(peer)
            if address is not None:
                entry.group = groupOf(address, limits.addressPrefix)
                group = self._groups.enter(entry.group, now)
        if limits.hasRates and not self.server.isDraining:
            self._meter(entry, group, now)

    def _meter(self, entry: Entry, group: Group | None, now: float) -> None:
        limits = self.limits
        lines, data = (
            None if rate is None else Bucket(rate, limits.burst, now) for rate in (limits.lineRate, limits.byteRate)
        )
        entry.meter = Meter(entry, lines, data, group)
        rates = [rate for rate in (limits.byteRate, limits.addressByteRate) if rate is not None]
        if rates and hasattr(entry.transport, "_readSize"):
            entry.transport.bufferSize = max(1, min(READ_SIZE, int(min(rates) * limits.burst)))

    def setOptions(self, connection: Any) -> None:
        """Set the options of an accepted TCP socket."""
        limits = self.limits
        if limits.keepalive is None and limits.userTimeout is None:
            return
        sock = connection._sock
        if sock.family == getattr(socket, "AF_UNIX", None):
            return
        with suppress(OSError):  # the client has left already
            if limits.keepalive is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in zip(_KEEPALIVE, limits.keepalive, strict=True):
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
            if limits.userTimeout is not None:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, math.ceil(limits.userTimeout * 1000))

    def entering(self, transport: Any) -> None:
        """The protocol of a connection is about to get `transport`."""
        lowest = lowestOf(transport)
        entry = getattr(lowest, "tally", None)
        if not isinstance(entry, Entry):
            if not hasattr(type(lowest), "countsBytes"):
                return  # a transport of another package
            entry = self.begin(lowest)
        if entry.state == ACCEPTED:
            self.enroll(entry, transport.getPeer())
        entry.transport = transport
        entry.state = MET
        if self.limits.maxOutput is not None and hasattr(transport, "setOutputLimits"):
            transport.setOutputLimits(min(HIGH_WATER, self.limits.maxOutput), self.limits.maxOutput)
        if entry.meter is not None:
            entry.meter.start()

    def met(self, transport: Any) -> None:
        """A connection has been made."""
        if channelOf(transport) is not None:
            self.isHTTP = True
        if isinstance(transport, StandardIO):
            transport.ended = self._pipeEnded
            self._pipes.append(transport)
            return
        self._connections.add(transport)
        if self.limits.idleTimeout is not None:
            limitIdling(transport, self.limits.idleTimeout)
        self.server.met(transport, self.sendFin)

    def _pipeEnded(self, reason: Failure) -> None:
        self._pipes.clear()
        self.server.pipeEnded()


_KEEPALIVE = tuple(getattr(socket, name, 0) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"))


def placeOf(address: Any, unix: str = "unix") -> str:
    """Return an address as text, with its kind: `tcp 127.0.0.1:7000`, `unix /run/socket`. `unix` is that of a path."""
    if isinstance(address, UNIXAddress):
        return f"{unix} {os.fsdecode(address.name or b'')}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{address.type.lower()} {host}:{address.port}"
