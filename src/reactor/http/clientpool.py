"""The connections of a Client: at most so many for each server, and those that wait for a further request.

An exchange gets the connection that became idle last, as the server has had the least time to end it. Otherwise a new
one is made, as long as there are fewer than `connectionsPerHost`. Otherwise it waits in line.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor.defer import Deferred
from reactor.error import NotConnectingError
from reactor.failure import Failure
from reactor.http.clientconnection import ClientConnection
from reactor.http.exchange import CONNECTING, WAITING, Exchange
from reactor.http.urls import Origin
from reactor.protocol import ClientFactory
from reactor.tlsoptions import ContextFactory

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall


class _Host:
    """The share of one server in a pool. `count` includes the connections that are being made."""

    __slots__ = ("count", "idle", "waiting")

    def __init__(self) -> None:
        self.count = 0
        self.idle: list[ClientConnection] = []
        self.waiting: deque[Exchange] = deque()


class _Connecting(ClientFactory[ClientConnection]):
    """One attempt to connect, for one exchange. The exchange may give up meanwhile."""

    noisy = False

    def __init__(self, pool: Pool, exchange: Exchange) -> None:
        self._pool = pool
        self._exchange: Exchange | None = exchange
        self._connector: Any = None
        self.origin = exchange.request.destination.origin

    def startedConnecting(self, connector: Any) -> None:
        """Keep the connector, to stop it."""
        self._connector = connector

    def buildProtocol(self, addr: Any) -> ClientConnection:
        """Return the connection, which the exchange gets as soon as it stands."""
        return ClientConnection(self._pool, self._connected)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """The exchange fails with `reason`, if it has not given up itself."""
        self.failed(reason)

    def failed(self, reason: Failure) -> None:
        """The same, for an attempt that could not begin, too."""
        exchange = self._forget()
        self._pool.notConnected(self)
        if exchange is not None and exchange.phase == CONNECTING:
            exchange.fail(reason)

    def stop(self) -> None:
        """Give the attempt up. An attempt that has failed cannot be stopped."""
        if self._connector is not None:
            with suppress(NotConnectingError):
                self._connector.stopConnecting()

    def close(self) -> None:
        """The client was closed."""
        if self._exchange is not None:
            self._exchange.close()

    def _connected(self, connection: ClientConnection) -> None:
        exchange = self._forget()
        self._pool.connected(self, connection)
        if exchange is not None and exchange.phase == CONNECTING:
            connection.begin(exchange)
        else:
            self._pool.freed(connection)

    def _forget(self) -> Exchange | None:
        """Return the exchange. The connector keeps this factory for as long as the connection lasts."""
        exchange, self._exchange, self._connector = self._exchange, None, None
        return exchange


class Pool:
    """See the module. It counts what it does: `openedCount`, `reusedCount` and `repeatedCount`."""

    def __init__(
        self,
        reactor: Any,
        contextFactory: ContextFactory | None,
        connectionsPerHost: int,
        idleConnections: int,
        idleSeconds: float,
    ) -> None:
        self._reactor = reactor
        self._contextFactory = contextFactory
        self._perHost = connectionsPerHost
        self._mostIdle = idleConnections
        self._idleSeconds = idleSeconds
        self._hosts: dict[Origin, _Host] = {}
        self._origins: dict[ClientConnection, Origin] = {}  # of all that count for their host
        self._open: set[ClientConnection] = set()
        self._connecting: set[_Connecting] = set()
        self._idle: dict[ClientConnection, IDelayedCall] = {}  # the one that is idle longest comes first
        self._unserved: deque[_Host] = deque()
        self._ended: Deferred[None] | None = None
        self.isClosed = False
        self.openedCount = 0
        self.reusedCount = 0
        self.repeatedCount = 0

    @property
    def idleCount(self) -> int:
        """The number of idle connections."""
        return len(self._idle)

    @property
    def connectionCount(self) -> int:
        """The number of open connections, with those that are being closed."""
        return len(self._open)

    def start(self, exchange: Exchange) -> None:
        """Send the request of `exchange` as soon as there is a connection for it."""
        host = self._hosts.setdefault(exchange.request.destination.origin, _Host())
        if host.idle:
            self._reuse(self._notIdle(host.idle[-1]), exchange)
            return
        exchange.giveUp = lambda: self._leaveLine(host, exchange)
        host.waiting.append(exchange)
        self._serve(host)

    def close(self) -> Deferred[None]:
        """End all connections and exchanges; return a Deferred that fires when the last connection has ended."""
        self.isClosed = True
        for host in list(self._hosts.values()):
            while host.waiting:
                host.waiting[0].close()
        for attempt in list(self._connecting):
            attempt.close()
        for connection in list(self._open):
            connection.closeNow()
        ended: Deferred[None] = Deferred()
        if self._ended is not None:
            ended.chainDeferred(self._ended)
        self._ended = ended
        self._tellEnded()
        return ended

    # For connections and attempts.

    def connected(self, attempt: _Connecting, connection: ClientConnection) -> None:
        """A connection stands."""
        self._connecting.discard(attempt)
        self._open.add(connection)
        self._origins[connection] = attempt.origin
        self.openedCount += 1

    def notConnected(self, attempt: _Connecting) -> None:
        """An attempt has failed."""
        self._connecting.discard(attempt)
        self._uncount(attempt.origin)
        self._tellEnded()

    def freed(self, connection: ClientConnection) -> None:
        """See clientconnection.Owner."""
        host = self._hosts[self._origins[connection]]
        waiting = host.waiting
        if self.isClosed or not (waiting or self._mostIdle):
            connection.closeIdle()
        elif waiting:
            self._reuse(connection, waiting.popleft())
        else:
            host.idle.append(connection)
            self._idle[connection] = self._reactor.callLater(self._idleSeconds, connection.closeIdle)
            if len(self._idle) > self._mostIdle:
                next(iter(self._idle)).closeIdle()

    def spent(self, connection: ClientConnection) -> None:
        """See clientconnection.Owner."""
        self._notIdle(connection)
        origin = self._origins.pop(connection, None)
        if origin is not None:
            self._uncount(origin)

    def ended(self, connection: ClientConnection) -> None:
        """See clientconnection.Owner."""
        self.spent(connection)
        self._open.discard(connection)
        self._tellEnded()

    def repeat(self, exchange: Exchange) -> None:
        """See clientconnection.Owner. It is the first in line, and so gets the place of the connection that ends."""
        exchange.isRepeated = True
        exchange.phase = WAITING
        self.repeatedCount += 1
        host = self._hosts[exchange.request.destination.origin]
        exchange.giveUp = lambda: self._leaveLine(host, exchange)
        host.waiting.appendleft(exchange)

    # The rest is its own.

    def _reuse(self, connection: ClientConnection, exchange: Exchange) -> None:
        self.reusedCount += 1
        connection.begin(exchange)

    def _notIdle(self, connection: ClientConnection) -> ClientConnection:
        timer = self._idle.pop(connection, None)
        if timer is not None:
            self._hosts[self._origins[connection]].idle.remove(connection)
            if timer.active():
                timer.cancel()
        return connection

    def _leaveLine(self, host: _Host, exchange: Exchange) -> None:
        with suppress(ValueError):
            host.waiting.remove(exchange)

    def _uncount(self, origin: Origin) -> None:
        host = self._hosts[origin]
        host.count -= 1
        self._serve(host)
        if not host.count and not host.waiting:
            self._hosts.pop(origin, None)

    def _serve(self, host: _Host) -> None:
        """Make connections for those that wait. It is a loop, since each attempt may fail at once."""
        self._unserved.append(host)
        if len(self._unserved) > 1:
            return
        try:
            while self._unserved:
                host = self._unserved[0]
                if host.waiting and host.count < self._perHost:
                    self._connect(host, host.waiting.popleft())
                else:
                    self._unserved.popleft()
        finally:
            self._unserved.clear()

    def _connect(self, host: _Host, exchange: Exchange) -> None:
        attempt = _Connecting(self, exchange)
        host.count += 1
        self._connecting.add(attempt)
        exchange.phase = CONNECTING
        exchange.giveUp = attempt.stop
        isTLS, name, port = attempt.origin
        try:
            if isTLS:
                self._reactor.connectSSL(name, port, attempt, self._contextFactory, timeout=None)
            else:
                self._reactor.connectTCP(name, port, attempt, timeout=None)
        except Exception:
            attempt.failed(Failure())

    def _tellEnded(self) -> None:
        ended = self._ended
        if ended is not None and not self._open and not self._connecting:
            self._ended = None
            ended.callback(None)
