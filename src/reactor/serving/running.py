"""One process that serves a plan: alone, or as a worker of a supervisor."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor.defer import Deferred, gatherResults, maybeDeferred
from reactor.error import ReactorNotRunning
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.service.listener import Listener
from reactor.service.privileges import PrivilegeError, identityOf
from reactor.service.server import Server
from reactor.service.worker import Worker
from reactor.serving.announce import Served, announce
from reactor.serving.apps import Application, lineSettings, makeApplication
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.limits import limitsOf
from reactor.serving.logs import tellLeftOut
from reactor.serving.places import Spot, cannotListen, endpointOf, spotsOf
from reactor.serving.plan import ListenPlan, Plan
from reactor.task import LoopingCall

log = getLogger("reactor.serving")

TELL_EVERY = 1.0  # seconds
LINES = ("delimiter", "maxLine", "overlong")


def socketName(listener: ListenPlan, number: int) -> str:
    """Return the name, between a supervisor and its workers, of the sockets of a listener's endpoint."""
    return f"{listener.name}:{number}"


class Serving:
    """Serves `plan` in this process. `worker` is the link to its supervisor, None without one.

    CommandError of the constructor or of `run` if it cannot begin, or cannot go on.
    """

    def __init__(self, plan: Plan, reactor: ReactorBase, worker: Worker | None = None) -> None:
        self.server = Server(reactor)
        self._plan = plan
        self._reactor = reactor
        self._worker = worker
        self._applications: list[Application] = []
        self._served: list[Served] = []
        self._spots: dict[str, tuple[ListenPlan, Spot, Listener]] = {}
        self._broken: list[CommandError] = []

    def run(self) -> int:
        """Serve until the reactor stops; return the exit code."""
        telling = LoopingCall(tellLeftOut)
        telling.clock = self._reactor
        signals: dict[int, Callable[[], None]] = {}
        try:
            for listener in self._plan.listeners:
                self._open(listener)
            if self._worker is None:
                self._becomeUser()
                self._liveAlone()
                signals = {signal.SIGHUP: self._hangUp, signal.SIGUSR1: self.reopen}
            else:
                self._obey(self._worker)
            for number, handler in signals.items():
                if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup(1) has set it
                    self._reactor.addSignalHandler(number, handler)
            telling.start(TELL_EVERY, now=False)
            self._reactor.run()
        finally:
            for number in signals:
                self._reactor.removeSignalHandler(number)
            if telling.running:
                telling.stop()
                tellLeftOut(everything=True)
            self.server.close()
            self._closeApplications()
        if self._broken:
            raise self._broken[0]
        return 0

    def reopen(self) -> None:
        """Open the outputs anew: they may have been rotated. SIGUSR1 calls it."""
        for application in self._applications:
            application.reopen()

    # The begin.

    def _open(self, listener: ListenPlan) -> None:
        application = self._application(listener)
        self._applications.append(application)
        served = Served(listener.application, application.hint)
        self._served.append(served)
        made = self.server.makeListener(
            application.factory, name=listener.name, limits=_limits(listener), prepare=application.prepare
        )
        for number, spot in enumerate(spotsOf(listener)):
            name = socketName(listener, number)
            self._spots[name] = (listener, spot, made)
            for sock in self._socketsOf(name):
                port = _listening(made, endpointOf(spot, listener, self._reactor, sock))
                served.addresses.append(("ssl" if listener.cert else spot.kind, port.getHost()))

    def _socketsOf(self, name: str) -> list[Any]:
        if self._worker is None:
            return [None]
        try:
            return list(self._worker.sockets[name])
        except KeyError:
            raise CommandError(f"the supervisor has no socket for {name}: the configuration has changed") from None

    def _application(self, listener: ListenPlan) -> Application:
        own = lineSettings(*(listener.own(name) for name in LINES))
        inherited = lineSettings(*(getattr(listener, name) for name in LINES))
        isCollect, isFiles = listener.app == "collect", listener.app == "files"
        return makeApplication(
            listener.app,
            own,
            listener.output if isCollect else listener.own("output"),
            self._fail,
            self._reactor,
            listener.outputDelimiter if isCollect else listener.own("outputDelimiter"),
            root=listener.root if isFiles else listener.own("root"),
            http=listener.http,
            arguments=listener.arguments,
            inherited=inherited,
        )

    def _becomeUser(self) -> None:
        if self._plan.user is not None or self._plan.group is not None:
            try:
                identityOf(self._plan.user, self._plan.group).assume()
            except PrivilegeError as error:
                raise CommandError(str(error), USAGE) from None

    def _liveAlone(self) -> None:
        react = self._reactor
        react.callWhenRunning(announce, self._served)
        react.addSystemEventTrigger("before", "shutdown", self.drain, self._plan.grace)
        react.addSystemEventTrigger("during", "shutdown", self.server.giveUp)
        react.addSystemEventTrigger("during", "shutdown", self._outputsTaken)

    def _obey(self, worker: Worker) -> None:
        worker.onTake(self._take)
        worker.onReopen(self.reopen)
        worker.onDrain(self._drainAll)
        worker.limitLife(self._plan.maxLines, self._plan.maxLifetime)
        worker.ready()

    def _take(self, name: str, sock: socket.socket) -> None:
        """Accept on a further socket, which another worker leaves behind."""
        with sock:
            listener, spot, made = self._spots[name]
            _listening(made, endpointOf(spot, listener, self._reactor, sock))

    # The end.

    def drain(self, grace: float, sendFin: bool = False) -> Deferred[int]:
        """End the connections in order, within `grace` seconds."""
        for application in self._applications:
            if application.collection is not None:
                application.collection.stopBegins()
        return self.server.drain(grace, sendFin)

    def _outputsTaken(self) -> Deferred[Any]:
        collections = [each.collection for each in self._applications if each.collection is not None]
        return gatherResults([each.allTaken(self._reactor) for each in collections])

    def _drainAll(self, grace: float) -> Deferred[Any]:
        assert self._worker is not None
        drained = maybeDeferred(self.drain, grace, self._worker.sendFin)
        return drained.addBoth(lambda _: self._outputsTaken())

    def _fail(self, error: CommandError) -> None:
        """An application cannot go on."""
        self._broken.append(error)
        self.server.abort()
        with suppress(ReactorNotRunning):  # the reactor may be stopping already
            self._reactor.stop()

    def _closeApplications(self) -> None:
        for application in self._applications:
            try:
                application.close()
            except CommandError as error:
                self._broken.append(error)

    def _hangUp(self) -> None:
        log.warning("SIGHUP reloads a server with workers, for example with --workers 1; this one goes on as it is")


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
