"""Way: the way of clients into a listener, through one of its ports."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor.interfaces import IProtocolFactory
from reactor.service.entries import ENROLLED
from reactor.service.watch import WatchedFactory
from reactor.transports.listening import ListeningPort
from reactor.transports.tlsports import TLSFactory

if TYPE_CHECKING:
    from reactor.service.listener import Listener


class Way:
    """The way in through one port of a listener: a gate, and the factory that the port gets.

    A port is direct if its peers are the clients themselves. Behind the PROXY protocol they are not: then the client's
    address is known to buildProtocol, and counts from there on.
    """

    def __init__(self, listener: Listener, factory: IProtocolFactory, prepare: Callable[[Any], None] | None) -> None:
        self.factory = WatchedFactory(factory, listener.met, prepare, self._admitsLater, listener.entering)
        self._listener = listener
        self._isGuarded = self._isDirect = self._hasTLS = False

    def guard(self, port: ListeningPort) -> None:
        """Be the gate of `port`."""
        inner: Any = port.factory
        self._isGuarded = True
        self._hasTLS = isinstance(inner, TLSFactory)
        self._isDirect = (inner.wrappedFactory if isinstance(inner, TLSFactory) else inner) is self.factory
        port.gate = self

    def admits(self, sock: socket.SocketType, peer: Any) -> bool:
        """See IGate. A refused client gets the refusal, unless it expects TLS."""
        listener = self._listener
        reason = listener.reasonAgainst(peer) if self._isDirect else None
        if reason is None and listener.isFull():
            reason = "max-connections"
        if reason is None:
            return True
        listener.refuse(reason)
        listener.server.refusals.refuse(sock, None if self._hasTLS else listener.limits.refusal)
        return False

    def opens(self, connection: Any) -> None:
        """See IGate."""
        listener = self._listener
        entry = listener.begin(connection)
        if self._isDirect:
            listener.enroll(entry, entry.peer)
            entry.state = ENROLLED
        listener.setOptions(connection)

    def _admitsLater(self, peer: Any) -> bool:
        listener = self._listener
        reason = None if self._isDirect else listener.reasonAgainst(peer)
        if reason is None and not self._isGuarded and listener.isFull():
            reason = "max-connections"
        if reason is not None:
            listener.refuse(reason)
        return reason is None
