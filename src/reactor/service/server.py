"""Server: ports, their connections, and the end of both in order."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor.defer import Deferred, gatherResults, maybeDeferred
from reactor.error import ConnectionDone, ReactorNotRunning
from reactor.failure import Failure
from reactor.interfaces import IProtocolFactory
from reactor.loops.base import ReactorBase
from reactor.service.drain import Drain
from reactor.service.watch import Connections, IdleSweep, WatchedFactory
from reactor.service.web import limitIdling
from reactor.stdio import StandardIO


class Server:
    """The ports and connections of one `factory`.

    Connections without progress for `idleTimeout` seconds are closed; None: never. `prepare`, if given, is called with
    each protocol before its connection is made.
    """

    def __init__(
        self,
        reactor: ReactorBase,
        factory: IProtocolFactory,
        idleTimeout: float | None = None,
        prepare: Callable[[Any], None] | None = None,
    ) -> None:
        self._reactor = reactor
        self._factory = WatchedFactory(factory, self._met, prepare)
        self._ports: list[Any] = []
        self._pipes: list[StandardIO] = []
        self._connections = Connections(reactor)
        self._drain: Drain | None = None
        self._idleTimeout = idleTimeout
        self._sweep = None if idleTimeout is None else IdleSweep(reactor, idleTimeout, self._connections)

    def listen(self, endpoint: Any) -> Any:
        """Listen on `endpoint`, and return its address. CannotListenError, or the endpoint's other error, if it fails.

        ConnectionDone if the connection over standard input and output has ended at once.
        """
        opened: list[Any] = []
        failed: list[Failure] = []
        endpoint.listen(self._factory).addCallbacks(opened.append, failed.append)
        for failure in failed:
            raise failure.value
        if not isinstance(opened[0], StandardIO):
            self._ports.append(opened[0])
        elif opened[0].disconnected:
            raise ConnectionDone("the connection over standard input and output has ended at once")
        return opened[0].getHost()

    def run(self) -> None:
        """Run the reactor until it is stopped."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        self._reactor.addSystemEventTrigger("during", "shutdown", self._giveUp)
        if self._sweep is not None:
            self._sweep.start()
        self._reactor.run()

    def stop(self) -> Deferred[Any]:
        """Accept no more, and end every connection in order. The Deferred fires when all have ended.

        Clients that the kernel has let in already are accepted first, because closing the socket would reset them.
        """
        ports, self._ports = self._ports, []
        self.close()
        self._drain = Drain(self._reactor, [*self._connections, *self._pipes], ports)
        return self._drain.start()

    def _giveUp(self) -> None:
        """Give up: the reactor waits no longer."""
        if self._drain is not None:
            self._drain.giveUp()

    def abort(self) -> None:
        """Reset every connection."""
        for transport in [*self._connections, *self._pipes]:
            transport.abortConnection()

    def close(self) -> Deferred[Any]:
        """Stop accepting and sweeping. The Deferred fires when the ports are closed. Later calls do nothing."""
        if self._sweep is not None:
            self._sweep.stop()
        ports, self._ports = self._ports, []
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        if ports and not self._reactor.running:
            self._reactor.iterate()
        return closed

    def _met(self, transport: Any) -> None:
        if isinstance(transport, StandardIO):
            transport.ended = self._pipeEnded
            self._pipes.append(transport)
            return
        self._connections.add(transport)
        if self._idleTimeout is not None:
            limitIdling(transport, self._idleTimeout)
        if self._drain is not None:
            self._drain.add(transport)

    def _pipeEnded(self, reason: Failure) -> None:
        """Stop, if the server serves only standard input, which has ended."""
        self._pipes.clear()
        if not self._ports:
            with suppress(ReactorNotRunning):  # the reactor is stopping already
                self._reactor.stop()
