"""A relay: lines go on to another server of acknowledged lines, over TCP, TLS or a UNIX socket.

Durable means that the other server has acknowledged the line. Each origin has a connection of its own. So its order,
session and numbers stay, and the place behind all servers may remove doubles. An origin without a session gets one.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from reactor.defer import Deferred, DeferredList, gatherResults
from reactor.failure import Failure
from reactor.sinks.contract import Batch, LinesRefused, Numbers, Piece, SinkError
from reactor.sinks.sender import Sender

if TYPE_CHECKING:
    from reactor.interfaces import IReactorTime, IStreamClientEndpoint

MAX_CONNECTIONS = 1000


class RelayEngine:
    """The engine for another server of this kind, at `endpoint`. `connectionCount` is the number of open ones.

    At most `maxConnections` are open: then the one that was idle for the longest time is closed for a new one. A batch
    with more origins than that fails with SinkError.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        *,
        maxConnections: int = MAX_CONNECTIONS,
        clock: IReactorTime | None = None,
        retryPolicy: Callable[[int], float] | None = None,
    ) -> None:
        """ValueError if `maxConnections` is less than 1."""
        if maxConnections < 1:
            raise ValueError(f"maxConnections is at least 1, not {maxConnections}")
        self._endpoint = endpoint
        self._maxConnections = maxConnections
        self._clock = clock
        self._policy = retryPolicy
        self._senders: OrderedDict[str, Sender] = OrderedDict()  # the last one was used last
        self._busy: dict[str, int] = {}  # origins, and their batches under way

    @property
    def connectionCount(self) -> int:
        """The number of senders, one an origin."""
        return len(self._senders)

    def open(self) -> None:
        """See IEngine. Connections are made when there are lines."""

    def send(self, batch: Batch) -> Deferred[None]:
        """See IEngine. The senders keep on until the server has the lines."""
        return gatherResults([self._relay(piece) for piece in batch.pieces], consumeErrors=True).addCallbacks(
            lambda _: None, lambda failure: failure.value.subFailure
        )

    def _relay(self, piece: Piece) -> Deferred[None]:
        origin = piece.origin
        sender = self._senders.get(origin)
        if sender is None:
            self._makeRoom()
            session = os.urandom(12).hex() if piece.numbers is None else piece.numbers.session
            sender = Sender(self._endpoint, session, clock=self._clock, retryPolicy=self._policy)
            self._senders[origin] = sender
            sender.start()
        self._senders.move_to_end(origin)
        if piece.numbers is None:
            piece.numbers = Numbers(sender.session, sender.nextNumber)  # which stay when the batch is sent again
        self._busy[origin] = self._busy.get(origin, 0) + 1
        return sender.sendLines(piece.lines, piece.numbers.first).addBoth(self._over, origin, sender)

    def _over(self, result: Failure | None, origin: str, sender: Sender) -> Failure | None:
        self._busy[origin] -= 1
        if not self._busy[origin]:
            del self._busy[origin]
        if isinstance(result, Failure) and not result.check(LinesRefused) and self._senders.get(origin) is sender:
            # The batch was cancelled, and comes again. This sender would send its lines, too.
            del self._senders[origin]
            sender.stop()
        return result

    def _makeRoom(self) -> None:
        if len(self._senders) < self._maxConnections:
            return
        for origin, sender in self._senders.items():
            if origin not in self._busy:
                del self._senders[origin]
                sender.stop()
                return
        raise SinkError(f"more than {self._maxConnections} origins have lines at once")

    def close(self) -> Deferred[None]:
        """See IEngine."""
        senders = [*self._senders.values()]
        self._senders.clear()
        return DeferredList([sender.stop() for sender in senders]).addCallback(lambda _: None)
