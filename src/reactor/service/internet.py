"""Services for ports, connections and repeated calls, as in `twisted.application.internet`.

Each server or client takes the arguments of the reactor's method of its name: TCPServer those of listenTCP. `reactor=`
names another reactor than the current one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._arguments import checkCall, checkFactory, checkHas
from reactor._logger import getLogger
from reactor.defer import CancelledError, Deferred, succeed
from reactor.failure import Failure
from reactor.service.clientservice import ClientService, backoffPolicy
from reactor.service.services import Service
from reactor.task import Cooperator, LoopingCall

if TYPE_CHECKING:
    from reactor.interfaces import IConnector, IListeningPort, IProtocolFactory, IReactorTime, IStreamServerEndpoint

__all__ = [
    "ClientService",
    "CooperatorService",
    "MulticastServer",
    "SSLClient",
    "SSLServer",
    "StreamServerEndpointService",
    "TCPClient",
    "TCPServer",
    "TimerService",
    "UDPServer",
    "UNIXClient",
    "UNIXDatagramClient",
    "UNIXDatagramServer",
    "UNIXServer",
    "backoffPolicy",
]

log = getLogger("reactor.service")


class _Called(Service):
    """A service that calls a method of the reactor with the arguments that it was given."""

    method = ""
    reactor: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args
        if "reactor" in kwargs:
            self.reactor = kwargs.pop("reactor")
        self.kwargs = kwargs

    def _call(self, verb: str) -> Any:
        reactor = _current.current() if self.reactor is None else self.reactor
        return getattr(reactor, verb + self.method)(*self.args, **self.kwargs)


class _Server(_Called):
    _port: IListeningPort | None = None

    def privilegedStartService(self) -> Any:
        """Listen. The errors are those of the reactor's method, for example CannotListenError."""
        super().privilegedStartService()
        self._port = self._call("listen")

    def startService(self) -> Any:
        """Listen, unless privilegedStartService has."""
        super().startService()
        if self._port is None:
            self._port = self._call("listen")

    def stopService(self) -> Any:
        """Stop listening. Return a Deferred that fires when the port is closed, or None without a port.

        Connections live on.
        """
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()


class _Client(_Called):
    _connection: IConnector | None = None

    def startService(self) -> Any:
        """Connect, once. The factory gets the end of a failed attempt; ClientService connects again."""
        super().startService()
        self._connection = self._call("connect")

    def stopService(self) -> Any:
        """Stop the attempt, or close the connection. Nothing waits for its end."""
        super().stopService()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()


class TCPServer(_Server):
    """Listens as reactor.listenTCP does: port, factory, backlog, interface."""

    method = "TCP"


class TCPClient(_Client):
    """Connects as reactor.connectTCP does: host, port, factory, timeout, bindAddress."""

    method = "TCP"


class UNIXServer(_Server):
    """Listens as reactor.listenUNIX does: address, factory, backlog, mode, wantPID."""

    method = "UNIX"


class UNIXClient(_Client):
    """Connects as reactor.connectUNIX does: address, factory, timeout, checkPID."""

    method = "UNIX"


class SSLServer(_Server):
    """Listens as reactor.listenSSL does: port, factory, contextFactory, backlog, interface."""

    method = "SSL"


class SSLClient(_Client):
    """Connects as reactor.connectSSL does: host, port, factory, contextFactory, timeout, bindAddress."""

    method = "SSL"


class UDPServer(_Server):
    """Listens as reactor.listenUDP does: port, protocol, interface, maxPacketSize."""

    method = "UDP"


class MulticastServer(_Server):
    """Listens as reactor.listenMulticast does: port, protocol, interface, maxPacketSize, listenMultiple."""

    method = "Multicast"


class UNIXDatagramServer(_Server):
    """Listens as reactor.listenUNIXDatagram does: address, protocol, maxPacketSize, mode."""

    method = "UNIXDatagram"


class UNIXDatagramClient(_Client):
    """Connects as reactor.connectUNIXDatagram does: address, protocol, maxPacketSize, mode, bindAddress."""

    method = "UNIXDatagram"

    def stopService(self) -> Any:
        """Close the port: it is no connector. Return the Deferred of that, or None."""
        Service.stopService(self)
        port: Any = self._connection
        self._connection = None
        return None if port is None else port.stopListening()


class TimerService(Service):
    """Calls `callable(*args, **kwargs)` every `step` seconds while it runs, the first time at once.

    A call that fails is logged and ends the calls until the next start. `clock` may be set before the start; otherwise
    it is the current reactor.
    """

    clock: IReactorTime | None = None
    _loop: LoopingCall | None = None
    _finished: Deferred[Any] | None = None

    def __init__(self, step: float, callable: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """TypeError if `callable` cannot be called."""
        checkCall(callable)
        self.step = step
        self.call: tuple[Callable[..., object], Any, Any] = (callable, args, kwargs)

    def startService(self) -> Any:
        """Begin the calls. The errors are those of LoopingCall.start."""
        super().startService()
        callable, args, kwargs = self.call
        self._loop = LoopingCall(callable, *args, **kwargs)
        if self.clock is not None:
            self._loop.clock = self.clock
        self._finished = self._loop.start(self.step, now=True).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        what, _, _ = self.call
        log.error("A call of %r has failed, and there are no more", what, exc_info=failure.value)

    def stopService(self) -> Deferred[Any]:
        """End the calls. The Deferred fires when a call that is under way has finished; `running` is true until then.

        A service that was never started stops at once.
        """
        if self._loop is None or self._finished is None:
            super().stopService()
            return succeed(None)
        if self._loop.running:
            self._loop.stop()
        return self._finished.addCallback(lambda _: Service.stopService(self))


class CooperatorService(Service):
    """Runs a Cooperator, `coop`, from startService to stopService."""

    def __init__(self) -> None:
        self.coop = Cooperator(started=False)

    def coiterate(self, iterator: Iterator[Any]) -> Deferred[Any]:
        """Have the cooperator work on `iterator`. See Cooperator.coiterate."""
        return self.coop.coiterate(iterator)

    def startService(self) -> Any:
        """Begin the work."""
        super().startService()
        self.coop.start()

    def stopService(self) -> Any:
        """End the work: the Deferreds of unfinished iterators fail with SchedulerStopped."""
        super().stopService()
        self.coop.stop()


class StreamServerEndpointService(Service):
    """Listens on `endpoint`, a server endpoint, with `factory` while it runs.

    A failure to listen is logged. strports.service makes one that raises it from the start.
    """

    _raiseSynchronously: bool | None = False

    def __init__(self, endpoint: IStreamServerEndpoint, factory: IProtocolFactory) -> None:
        """TypeError if `endpoint` has no `listen`, or if `factory` is none. `factory` may be None until the start."""
        checkHas(endpoint, "listen", "a server endpoint")
        if factory is not None:
            checkFactory(factory)
        self.endpoint = endpoint
        self.factory = factory
        self._waitingForPort: Deferred[Any] | None = None

    def privilegedStartService(self) -> Any:
        """Begin to listen. Nothing waits for an endpoint that takes its time; its failure is logged."""
        super().privilegedStartService()
        self._waitingForPort = waiting = self.endpoint.listen(self.factory)
        now: list[Failure] = []

        def failed(failure: Failure) -> None:
            if self._raiseSynchronously:
                now.append(failure)
            elif not failure.check(CancelledError):
                log.log(logging.ERROR, "A service cannot listen on %r", self.endpoint, exc_info=failure.value)

        waiting.addErrback(failed)
        if now:
            self._waitingForPort = None
            now[0].raiseException()
        self._raiseSynchronously = False

    def startService(self) -> Any:
        """Begin to listen, unless privilegedStartService has."""
        super().startService()
        if self._waitingForPort is None:
            self.privilegedStartService()

    def stopService(self) -> Deferred[Any]:
        """Stop listening, or give up the attempt. The Deferred fires with None when the port is closed.

        Connections live on. The service may be started again.
        """
        waiting, self._waitingForPort = self._waitingForPort, None
        if waiting is None:
            super().stopService()
            return succeed(None)
        waiting.cancel()

        def stopped(result: Any) -> Any:
            if self._waitingForPort is None:
                self.running = False
            return result

        return waiting.addCallback(lambda port: None if port is None else port.stopListening()).addBoth(stopped)
