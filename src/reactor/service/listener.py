"""Listener: the ports of one factory with the limits of their connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import IProtocolFactory
from reactor.service.limits import Limits
from reactor.service.watch import Connections, IdleSweep, WatchedFactory
from reactor.service.web import limitIdling
from reactor.stdio import StandardIO

if TYPE_CHECKING:
    from reactor.service.server import Server


class Listener:
    """One listener of a Server. `ports` has its open ports."""

    def __init__(
        self,
        server: Server,
        factory: IProtocolFactory,
        name: str,
        limits: Limits,
        prepare: Callable[[Any], None] | None,
    ) -> None:
        self.server = server
        self.name = name
        self.limits = limits
        self.ports: list[Any] = []
        self._factory = WatchedFactory(factory, self._met, prepare)
        self._pipes: list[StandardIO] = []
        self._connections = Connections(server.reactor)
        timeout = limits.idleTimeout
        self._sweep = None if timeout is None else IdleSweep(server.reactor, timeout, self._connections)
        if self._sweep is not None:
            self._sweep.start()

    def listen(self, endpoint: Any) -> Deferred[Any]:
        """Listen on one endpoint more. The Deferred fires with the port, or with the endpoint's error.

        ConnectionDone if the connection over standard input and output has ended at once.
        """
        listening: Deferred[Any] = endpoint.listen(self._factory)
        return listening.addCallback(self._opened)

    def connections(self) -> list[Any]:
        """Return the transports of the open connections."""
        return [*self._connections, *self._pipes]

    def takePorts(self) -> list[Any]:
        """Return the open ports, which the caller closes."""
        ports, self.ports = self.ports, []
        return ports

    def stopSweeping(self) -> None:
        """Look for idle connections no more."""
        if self._sweep is not None:
            self._sweep.stop()

    def _opened(self, port: Any) -> Any:
        if not isinstance(port, StandardIO):
            self.ports.append(port)
        elif port.disconnected:
            raise ConnectionDone("the connection over standard input and output has ended at once")
        return port

    def _met(self, transport: Any) -> None:
        if isinstance(transport, StandardIO):
            transport.ended = self._pipeEnded
            self._pipes.append(transport)
            return
        self._connections.add(transport)
        if self.limits.idleTimeout is not None:
            limitIdling(transport, self.limits.idleTimeout)
        self.server.met(transport)

    def _pipeEnded(self, reason: Failure) -> None:
        self._pipes.clear()
        self.server.pipeEnded()
