"""Limits on the number of connections, in all or of each peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor._closing import goesOn, note
from reactor.error import ConnectionUnwanted
from reactor.policies.wrapping import ProtocolWrapper, WrappingFactory
from reactor.protocol import ServerFactory

if TYPE_CHECKING:
    pass


class LimitConnectionsByPeer(WrappingFactory):
    """Closes connections from a host that has `maxConnectionsPerPeer` of them already; `refusedCount` counts them.

    `peerConnections` maps hosts, as text, to numbers of connections. All peers without a host, such as those on UNIX
    sockets, count as one peer, None.
    """

    maxConnectionsPerPeer = 5
    refusedCount = 0

    def __init__(self, wrappedFactory: Any) -> None:
        super().__init__(wrappedFactory)
        self.peerConnections: dict[Any, int] = {}
        self._hosts: dict[Any, Any] = {}

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapper around the wrapped factory's protocol; None if this peer has too many connections."""
        host = getattr(addr, "host", None)
        count = self.peerConnections.get(host, 0)
        if count >= self.maxConnectionsPerPeer:
            self.refusedCount += 1
            return None
        protocol = super().buildProtocol(addr)
        if protocol is not None:
            self.peerConnections[host] = self.peerConnections.get(host, 0) + 1
            self._hosts[protocol] = host
        return protocol

    @goesOn
    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over."""
        super().unregisterProtocol(p)
        if p in self._hosts:
            # Without a call, behind which a signal's handler could raise: all of it, or nothing.
            host = self._hosts[p]
            if self.peerConnections[host] > 1:
                self.peerConnections[host] -= 1
            else:
                del self.peerConnections[host]
            del self._hosts[p]


class _Overflow(ProtocolWrapper):
    """Wraps an overflowProtocol: whatever closes it, the reason is that there were too many connections."""

    def loseConnection(self) -> None:
        note(self, ConnectionUnwanted(f"there are {self.factory.connectionLimit} already"))
        super().loseConnection()


class LimitTotalConnectionsFactory(ServerFactory[Any]):
    """Builds `connectionLimit` protocols at a time (None: any number), and refuses further connections.

    Without an `overflowProtocol` it closes these at once. Otherwise it builds an `overflowProtocol`, to refuse them
    politely, which `connectionCount` counts too. `refusedCount` counts both.
    """

    connectionCount = 0
    connectionLimit: int | None = None
    overflowProtocol: Callable[..., Any] | None = None
    refusedCount = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapped `protocol` or `overflowProtocol`, its `factory` set; None closes the connection."""
        build, wrap = self.protocol, ProtocolWrapper
        if self.connectionLimit is not None and self.connectionCount >= self.connectionLimit:
            self.refusedCount += 1
            if self.overflowProtocol is None:
                return None
            build, wrap = self.overflowProtocol, _Overflow
        assert build is not None, "a factory needs a protocol, or a buildProtocol of its own"
        wrapped: Any = build()
        wrapped.factory = self
        self.connectionCount += 1
        return wrap(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """Called by each wrapper when its connection stands."""

    @goesOn
    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over."""
        self.connectionCount -= 1  # the one step: nothing of it can be broken off
