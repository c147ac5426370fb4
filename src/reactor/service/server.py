"""Server: several listeners with their limits, their connections, and the end of all in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from reactor.defer import Deferred, gatherResults, maybeDeferred
from reactor.error import ReactorNotRunning
from reactor.interfaces import IProtocolFactory
from reactor.loops.base import ReactorBase
from reactor.service.drain import DEADLINE, Drain
from reactor.service.limits import Limits
from reactor.service.listener import Listener
from reactor.service.records import ConnectionRecord
from reactor.stdio import StandardIO

NO_LIMITS = Limits()


class Server:
    """Listeners on one reactor: `addListener` adds one, and `drain` ends all of them in order.

    `onEnded`, if set, is called with the ConnectionRecord of each connection that has ended. `listeners` has the
    listeners by name. `worker` and `generation` are numbers for the snapshot of a program with several processes.
    """

    def __init__(self, reactor: ReactorBase) -> None:
        self.reactor = reactor
        self.onEnded: Callable[[ConnectionRecord], object] | None = None
        self.worker = 0
        self.generation = 0
        self._listeners: dict[str, Listener] = {}
        self._drain: Drain | None = None

    @property
    def listeners(self) -> Mapping[str, Listener]:
        """The listeners, by name."""
        return MappingProxyType(self._listeners)

    def addListener(
        self,
        endpoint: Any,
        factory: IProtocolFactory,
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        prepare: Callable[[Any], None] | None = None,
    ) -> Deferred[Listener]:
        """Listen on `endpoint` for `factory`, within `limits`. The Deferred fires with the Listener.

        It fails with the endpoint's error, for example CannotListenError, and then there is no listener of that name.
        `prepare`, if given, is called with each protocol before its connection is made. ValueError if the name is
        taken.
        """
        listener = self.makeListener(factory, name=name, limits=limits, prepare=prepare)

        def failed(failure: Any) -> Any:
            del self._listeners[name]
            return failure

        return listener.listen(endpoint).addCallbacks(lambda _: listener, failed)

    def makeListener(
        self,
        factory: IProtocolFactory,
        *,
        name: str,
        limits: Limits = NO_LIMITS,
        prepare: Callable[[Any], None] | None = None,
    ) -> Listener:
        """Return a listener that has no address yet: its methods `listen` and `adopt` add some. See addListener."""
        if name in self._listeners:
            raise ValueError(f"there is a listener {name!r} already")
        self._listeners[name] = listener = Listener(self, factory, name, limits, prepare)
        return listener

    def run(self) -> None:
        """Run the reactor until it is stopped. Its shutdown drains the server first."""
        self.reactor.addSystemEventTrigger("before", "shutdown", self.drain)
        self.reactor.addSystemEventTrigger("during", "shutdown", self.giveUp)
        self.reactor.run()

    def drain(self, grace: float = DEADLINE, sendFin: bool = False) -> Deferred[int]:
        """Accept no more, and end every connection in order. The Deferred fires when all have ended.

        Its result is the number of connections that were reset, `grace` seconds later at the latest. Clients that the
        kernel has let in already are accepted first, because closing the socket would reset them.
        """
        ports = [port for listener in self._listeners.values() for port in listener.takePorts()]
        self.close()
        self._drain = Drain(self.reactor, self.connections(), ports)
        return self._drain.start()

    def giveUp(self) -> None:
        """Wait no longer for a drain that goes on."""
        if self._drain is not None:
            self._drain.giveUp()

    def connections(self) -> list[Any]:
        """Return the transports of all open connections."""
        return [transport for listener in self._listeners.values() for transport in listener.connections()]

    def abort(self) -> None:
        """Reset every connection."""
        for transport in self.connections():
            transport.abortConnection()

    def close(self) -> Deferred[Any]:
        """Stop accepting and sweeping. The Deferred fires when the ports are closed. Later calls do nothing."""
        ports = []
        for listener in self._listeners.values():
            listener.stopSweeping()
            ports += listener.takePorts()
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        if ports and not self.reactor.running:
            self.reactor.iterate()
        return closed

    # For listeners.

    def met(self, transport: Any) -> None:
        """A connection has been made."""
        if self._drain is not None and not isinstance(transport, StandardIO):
            self._drain.add(transport)

    def pipeEnded(self) -> None:
        """Stop, if the server serves only standard input, which has ended."""
        if not any(listener.ports for listener in self._listeners.values()):
            with suppress(ReactorNotRunning):  # the reactor is stopping already
                self.reactor.stop()
