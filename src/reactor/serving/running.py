"""One process that serves a plan: alone, or as a worker of a supervisor."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from reactor._logger import escaped, getLogger
from reactor.defer import CancelledError, Deferred, gatherResults, maybeDeferred, succeed
from reactor.error import CannotListenError, ReactorNotRunning
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.service.endsignals import EndSignals
from reactor.service.listener import Listener, placeOf
from reactor.service.notify import Notifier
from reactor.service.privileges import PrivilegeError, identityOf
from reactor.service.running import ServiceRunner
from reactor.service.server import Server
from reactor.serving.adminpages import OwnPages
from reactor.serving.announce import Served, adminServed, announce
from reactor.serving.apps import Application, lineSettings, makeApplication
from reactor.serving.collecting.settings import OPTIONS, CollectSettings
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.limits import limitsOf
from reactor.serving.logs import logConnection, tellLeftOut
from reactor.serving.logs import reopen as reopenLog
from reactor.serving.places import Spot, cannotListen, checkInherited, datagramPort, endpointOf, spotsOf
from reactor.serving.plan import ListenPlan, Plan
from reactor.serving.servicefile import changeUser, findService
from reactor.serving.setting import camelCase
from reactor.task import LoopingCall

log = getLogger("reactor.serving")

TELL_EVERY = 1.0  # seconds
LINES = ("delimiter", "maxLine", "overlong")


def socketName(listener: ListenPlan, number: int) -> str:
    """Return the name, between a supervisor and its workers, of the sockets of a listener's endpoint."""
    return f"{listener.name}:{number}"


class IWorker(Protocol):
    """A Worker as Serving sees it: the process's, or a thread's part of it. Worker has the contracts."""

    number: int
    generation: int
    sendFin: bool
    sockets: dict[str, list[socket.socket]]

    def onTake(self, call: Callable[[str, socket.socket], object]) -> None: ...
    def onReopen(self, call: Callable[[], object]) -> None: ...
    def onDrain(self, call: Callable[[float], object]) -> None: ...
    def reports(self, stats: Callable[[], Mapping[str, Any]]) -> None: ...
    def limitLife(self, maxLines: int | None = None, maxLifetime: float | None = None) -> None: ...
    def ready(self) -> None: ...
    def cannotGoOn(self, reason: str) -> None: ...


class Serving:
    """Serves `plan` in this process. `worker` is the link to its supervisor, None without one.

    CommandError of the constructor or of `run` if it cannot begin, or cannot go on.
    """

    def __init__(self, plan: Plan, reactor: ReactorBase, worker: IWorker | None = None) -> None:
        slow = None if plan.slowCallback is None else plan.slowCallback / 1000
        self.server = Server(reactor, slow)
        self._plan = plan
        self._reactor = reactor
        self._worker = worker
        self._applications: dict[str, Application] = {}
        self._services: list[Any] = []
        self._runners: list[ServiceRunner] = []
        self._datagrams: list[Any] = []
        self._pages: OwnPages | None = None
        self._served: list[Served] = []
        self._spots: dict[str, tuple[ListenPlan, Spot, Listener]] = {}
        self._broken: list[CommandError] = []
        self._notifier = Notifier.fromEnvironment({} if worker is not None else None)  # a supervisor tells for workers
        if worker is not None:
            self.server.worker, self.server.generation = worker.number, worker.generation
        if plan.logConnections:
            self.server.onEnded = logConnection

    def run(self) -> int:
        """Serve until the reactor stops; return the exit code."""
        telling = LoopingCall(tellLeftOut)
        telling.clock = self._reactor
        signals: dict[int, Callable[[], None]] = {}
        ending = EndSignals(self._reactor, self._reactor._signalled)
        try:
            for listener in self._plan.listeners:
                self._open(listener)
            if self._worker is None:
                self._liveAlone()
                signals = {signal.SIGHUP: self._hangUp, signal.SIGUSR1: self.reopen}
                ending.install()
            else:
                self._obey(self._worker)
            for number, handler in signals.items():
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup(1) has set it
                    self._reactor.addSignalHandler(number, handler)
            telling.start(TELL_EVERY, now=False)
            self._reactor.run()
        finally:
            ending.remove()
            for number in signals:
                self._reactor.removeSignalHandler(number)
            if telling.running:
                telling.stop()
                tellLeftOut(everything=True)
            self._notifier.stopBeating()
            self.server.close()
            if self._pages is not None:
                self._pages.close()
            self._closeApplications()
        if self._broken:
            raise self._broken[0]
        return 0

    def reopen(self) -> None:
        """Open the log and the outputs anew: they may have been moved away. SIGUSR1 calls it."""
        reopenLog()
        for application in self._applications.values():
            application.reopen()

    # The begin.

    def _open(self, listener: ListenPlan) -> None:
        try:
            self._openPlace(listener)
        except CommandError as error:
            raise error.at(listener.places, ("endpoint", "host", "port")) from error.__cause__

    def _openPlace(self, listener: ListenPlan) -> None:
        if listener.service is not None:
            self._services.append(findService(listener.service))
            self._served.append(Served(listener.service, ""))
            return
        application = self._application(listener)
        self._applications[listener.name] = application
        if application.collection is not None:
            self.server.addCounters(listener.name, application.collection.counters)
        served = Served(listener.application, application.hint)
        self._served.append(served)
        made = self.server.makeListener(
            application.factory,
            name=listener.name,
            limits=_limits(listener),
            prepare=application.prepare,
            sendFin=application.collection is not None,  # it owes no answer
        )
        for number, spot in enumerate(spotsOf(listener)):
            name = socketName(listener, number)
            self._spots[name] = (listener, spot, made)
            for sock in self._socketsOf(name):
                port = self._listen(name, sock)
                served.addresses.append(("ssl" if listener.cert else spot.kind, port.getHost()))

    def _listen(self, name: str, sock: socket.socket | None) -> Any:
        """Listen at the spot `name`, and return the port. `sock` is the socket of the supervisor, if there is one."""
        listener, spot, made = self._spots[name]
        if not spot.isDatagram:
            return _listening(made, endpointOf(spot, listener, self._reactor, sock))
        collection = self._applications[listener.name].collection
        assert collection is not None
        port = datagramPort(spot, collection, self._reactor, sock)
        made.addAddress(placeOf(port.getHost(), spot.kind))
        self._datagrams.append(port)
        return port

    def _socketsOf(self, name: str) -> list[Any]:
        if self._worker is None:
            return [None]
        try:
            sockets = list(self._worker.sockets[name])
        except KeyError:
            raise CommandError(f"the supervisor has no socket for {name}: the configuration has changed") from None
        for sock in sockets:
            checkInherited(sock, name, self._spots[name][1].isDatagram)
        return sockets

    def _application(self, listener: ListenPlan) -> Application:
        key = {"collect": "output", "files": "root"}.get(listener.app or "", "app")
        try:
            return self._makeApplication(listener)
        except CommandError as error:
            raise error.at(listener.places, ("http" if listener.http is not None else key,)) from error.__cause__

    def _makeApplication(self, listener: ListenPlan) -> Application:
        own = lineSettings(*(listener.own(name) for name in LINES))
        inherited = lineSettings(*(getattr(listener, name) for name in LINES))
        isCollect, isFiles = listener.app == "collect", listener.app == "files"
        return makeApplication(
            listener.app,
            own,
            listener.output if isCollect else listener.own("output"),
            self.fail,
            self._reactor,
            root=listener.root if isFiles else listener.own("root"),
            http=listener.http,
            arguments=listener.arguments,
            inherited=inherited,
            collecting=collectSettingsOf(listener) if isCollect else None,
            shared=self._worker is not None or self._isShared(listener.output),
            listener=listener.name,
        )

    def _isShared(self, output: str | None) -> bool:
        """Whether several applications of this process have the same output."""
        return sum(each.output == output for each in self._plan.listeners if each.app == "collect") > 1

    def _becomeUser(self) -> None:
        if self._plan.user is not None or self._plan.group is not None:
            try:
                identityOf(self._plan.user, self._plan.group).assume()
            except PrivilegeError as error:
                raise CommandError(str(error), USAGE) from None

    def _liveAlone(self) -> None:
        react = self._reactor
        if self._plan.admin is not None:  # while this is root: the port may be below 1024, and a file is read
            self._pages = OwnPages(self._plan, react, self.server.stats)
            self._served.append(adminServed(self._pages.address))
        if self._services:
            react.callWhenRunning(self._startServices)
        else:
            self._becomeUser()
            react.callWhenRunning(self._tellReady)
        react.addSystemEventTrigger("before", "shutdown", self._notifier.stopping, "draining")
        react.addSystemEventTrigger("before", "shutdown", self._drainAll, self._plan.grace)
        react.addSystemEventTrigger("during", "shutdown", self.server.giveUp)

    def _startServices(self) -> None:
        """Start the applications of services, one after the other. The user changes when all ports are open."""
        starting: Deferred[Any] = succeed(None)
        for application in self._services:
            isLast = application is self._services[-1]
            runner = ServiceRunner(
                application,
                self._reactor,
                grace=self._plan.grace,
                privileges=partial(self._giveUpRights, application, isLast),
                started=self._tellReady if isLast else None,
            )
            self._runners.append(runner)
            starting.addCallback(_startNext, runner)
        starting.addErrback(self._notStarted)

    def _tellReady(self) -> None:
        announce(self._served)
        self._notifier.ready("one process is ready")
        self._notifier.startBeating(self._reactor)

    def _giveUpRights(self, application: Any, isLast: bool) -> None:
        changeUser(getattr(application, "uid", None), getattr(application, "gid", None))
        if isLast:
            self._becomeUser()

    def _notStarted(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return  # the end has come first
        error = failure.value
        if isinstance(error, CannotListenError):
            error = cannotListen(error)
        elif not isinstance(error, CommandError):
            told = escaped(f"{type(error).__name__}: {reasonOf(error)}")
            error = CommandError(f"an application of services cannot start: {told}")
        self.fail(error)

    def _obey(self, worker: IWorker) -> None:
        worker.onTake(self._take)
        worker.onReopen(self.reopen)
        worker.onDrain(self._drainAll)
        worker.reports(self.server.stats)
        worker.limitLife(self._plan.maxLines, self._plan.maxLifetime)
        worker.ready()

    def _take(self, name: str, sock: socket.socket) -> None:
        """Accept on a further socket, which another worker leaves behind."""
        with sock:
            self._listen(name, sock)

    # The end.

    def drain(self, grace: float, sendFin: bool = False) -> Deferred[int]:
        """End the connections in order, within `grace` seconds."""
        for application in self._applications.values():
            if application.collection is not None:
                application.collection.stopBegins(grace)
        for port in self._datagrams:
            port.protocol.takeLast()
        return self.server.drain(grace, sendFin, isLast=self._worker is None)

    def _drainAll(self, grace: float) -> Deferred[Any]:
        """End the connections, the services and the outputs."""
        sendFin = self._plan.onlyReceives if self._worker is None else self._worker.sendFin
        waiting: list[Deferred[Any]] = [maybeDeferred(self.drain, grace, sendFin)]
        waiting += [runner.stop(grace) for runner in self._runners]
        return gatherResults(waiting, consumeErrors=True).addBoth(self._outputsTaken)

    def _outputsTaken(self, _result: object) -> Deferred[Any]:
        collections = [each.collection for each in self._applications.values() if each.collection is not None]
        waiting = [each.allTaken(self._reactor) for each in collections]
        return gatherResults(waiting)

    def fail(self, error: CommandError) -> None:
        """Stop: an application cannot go on, because of `error`, which run() raises."""
        self._broken.append(error)
        if self._worker is not None:
            self._worker.cannotGoOn(str(error))
        self.server.abort()
        with suppress(ReactorNotRunning):  # the reactor may be stopping already
            self._reactor.stop()

    def _closeApplications(self) -> None:
        for application in self._applications.values():
            try:
                application.close()
            except CommandError as error:
                self._broken.append(error)

    def _hangUp(self) -> None:
        log.warning("SIGHUP reloads a server with workers, for example with --workers 1; this one goes on as it is")
        self._notifier.reloading("one process does not reload")
        self._notifier.ready("one process is ready; it does not reload")


def collectSettingsOf(listener: ListenPlan) -> CollectSettings:
    """Return the settings of collect of a place to listen."""
    given = {name: getattr(listener, camelCase(name.replace("_", "-"))) for name in OPTIONS}
    return CollectSettings(**{name: value for name, value in given.items() if value is not None})


def _startNext(_result: object, runner: ServiceRunner) -> Deferred[Any]:
    return runner.start()


def _limits(listener: ListenPlan) -> Any:
    try:
        return limitsOf(listener)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from None


def _listening(listener: Listener, endpoint: Any) -> Any:
    """Listen on `endpoint`, and return the port. CommandError if that fails."""
    opened: list[Any] = []
    failed: list[Failure] = []
    listener.listen(endpoint).addCallbacks(opened.append, failed.append)
    for failure in failed:
        raise cannotListen(failure.value) from None
    return opened[0]


def coresOf() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))
