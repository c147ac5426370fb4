"""Server: several listeners with their limits, their connections, and the end of all in order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from reactor.defer import Deferred, gatherResults, maybeDeferred
from reactor.error import ReactorNotRunning
from reactor.failure import failureOf
from reactor.interfaces import IProtocolFactory
from reactor.loops.base import ReactorBase
from reactor.service.draining import Drain
from reactor.service.entries import ACCEPTED, Entry
from reactor.service.lag import LoopLag
from reactor.service.limits import Limits
from reactor.service.listener import Listener
from reactor.service.memory import MemoryReturn
from reactor.service.peers import Peers
from reactor.service.records import ConnectionRecord
from reactor.service.refusing import Refusals
from reactor.stdio import StandardIO

NO_LIMITS = Limits()


class Server:
    """Listeners on one reactor: `addListener` adds one, and `drain` ends all of them in order.

    `onEnded`, if set, is called with the ConnectionRecord of each connection that has ended. `listeners` has the
    listeners by name. `worker` and `generation` are numbers for the snapshot of a program with several processes.
    A callback that takes longer than `slowCallback` seconds is logged, and counted; None: none is, and none is watched.
    """

    def __init__(self, reactor: ReactorBase, slowCallback: float | None = None) -> None:
        self.reactor = reactor
        self.onEnded: Callable[[ConnectionRecord], object] | None = None
        self.worker = 0
        self.generation = 0
        self.peers = Peers()
        self.refusals = Refusals(reactor)
        self._listeners: dict[str, Listener] = {}
        self._drain: Drain | None = None
        self._counters: dict[str, Callable[[], Mapping[str, int]]] = {}
        self._started = time.time()
        self._lag = LoopLag(reactor, slowCallback)
        self._memory = MemoryReturn(reactor)

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
        sendFin: bool = False,
    ) -> Deferred[Listener]:
        """Listen on `endpoint` for `factory`, within `limits`. The Deferred fires with the Listener.

        It fails with the endpoint's error, for example CannotListenError, and then there is no listener of that name.
        `prepare`, if given, is called with each protocol before its connection is made. `sendFin` is for an application
        that only receives: see drain. ValueError if the name is taken.
        """
        listener = self.makeListener(factory, name=name, limits=limits, prepare=prepare, sendFin=sendFin)

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
        sendFin: bool = False,
    ) -> Listener:
        """Return a listener that has no address yet: its methods `listen` and `adopt` add some. See addListener."""
        if name in self._listeners:
            raise ValueError(f"there is a listener {name!r} already")
        self._listeners[name] = listener = Listener(self, factory, name, limits, prepare, sendFin)
        self._lag.start()
        self._memory.start()
        return listener

    def run(self) -> None:
        """Run the reactor until it is stopped. Its shutdown drains the server first."""
        self.reactor.addSystemEventTrigger("before", "shutdown", self.drain)
        self.reactor.addSystemEventTrigger("during", "shutdown", self.giveUp)
        self.reactor.run()

    def drain(self, grace: float | None = None, sendFin: bool = False, isLast: bool = False) -> Deferred[int]:
        """Accept no more, and end every connection in order. The Deferred fires when all have ended.

        Its result is the number of connections that were reset, `grace` seconds later at the latest (5 unless given).
        Clients that the kernel has let in already are accepted first, because closing the socket would reset them.

        Lines that come meanwhile are delivered and answered. `sendFin` is for applications that only receive: every
        peer sees the end of our half at once, and its data is delivered until it stops. A listener may have that for
        itself, see addListener. Later calls begin nothing.

        `isLast`: no other process has the sockets of the ports, apart from adopted ones. Then the kernel lets no client
        in from now on (Linux; see transports/shutting.py). Otherwise one that connects just before the close is reset.
        """
        if self._drain is not None:
            return self._drain.whenDone()
        listeners = self._listeners.values()
        ports = [port for listener in listeners for port in listener.takePorts()]
        for listener in listeners:
            listener.stopSweeping()
            listener.stopLimiting()
        answering = [each for listener in listeners if not listener.sendFin for each in listener.connections()]
        receiving = [each for listener in listeners if listener.sendFin for each in listener.connections()]
        self._drain = Drain(self.reactor, answering, ports, grace, sendFin, receiving, isLast)
        self._drain.start()
        return self._drain.whenDone().addCallback(self._drained)

    def _drained(self, count: int) -> int:
        self._lag.stop()
        self._memory.stop()
        self.refusals.close()
        return count

    @property
    def isDraining(self) -> bool:
        """Whether drain() has been called."""
        return self._drain is not None

    @property
    def untaken(self) -> int:
        """The number of bytes that the drain has left unread in the kernel, or undelivered."""
        return 0 if self._drain is None else self._drain.untaken

    def stats(self) -> dict[str, Any]:
        """Return a snapshot of all counters, which json.dumps takes. docs/service.md has every key.

        All but "open" and "pendingBytes" only grow. It costs about the same with any number of connections.
        """
        running = self.reactor.running
        listeners = self._listeners.values()
        entries = [entry for listener in listeners for entry in listener.entries]
        return {
            "time": time.time(),
            "pid": os.getpid(),
            "worker": self.worker,
            "generation": self.generation,
            "state": "draining" if self.isDraining else "ready" if running else "starting",
            "started": self._started,
            "loop": self._lag.stats(),
            "listeners": {listener.name: listener.counters() for listener in listeners},
            "peers": self.peers.top(entries),
            "application": {name: dict(counters()) for name, counters in self._counters.items()},
        }

    def addCounters(self, name: str, counters: Callable[[], Mapping[str, int]]) -> None:
        """Have each snapshot show what `counters` returns, as "application" and `name`: counters of a program's own."""
        self._counters[name] = counters

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
        self._lag.stop()
        self._memory.stop()
        self.refusals.close()
        closed = gatherResults([maybeDeferred(port.stopListening) for port in ports])
        if ports and not self.reactor.running:
            self.reactor.iterate()
        return closed

    # For listeners.

    def connectionEnded(self, listener: Listener, entry: Entry, why: str, seconds: float) -> None:
        """A connection has ended: tell `onEnded`."""
        if entry.state != ACCEPTED:
            self.peers.lost(entry)
        if self.onEnded is None:
            return
        lines = entry.requests if listener.isHTTP else entry.lines
        record = ConnectionRecord(listener.name, entry.peer, why, lines, entry.bytesIn, entry.bytesOut, seconds)
        try:
            self.onEnded(record)
        except BaseException as error:
            self.reactor.reportFailure(failureOf(error), "onEnded of", self)

    def met(self, transport: Any, receives: bool) -> None:
        """A connection has been made. `receives`: its application only receives."""
        if self._drain is not None and not isinstance(transport, StandardIO):
            self._drain.add(transport, receives)

    def pipeEnded(self) -> None:
        """Stop, if the server serves only standard input, which has ended."""
        if not any(listener.ports for listener in self._listeners.values()):
            with suppress(ReactorNotRunning):  # the reactor is stopping already
                self.reactor.stop()
