"""Supervisor: a program that runs the workers of a server, and touches no connection itself.

It opens the ports, and keeps them open. Each worker is an exec'ed program that inherits its own sockets and a control
channel. fleet.py has the decisions, hands.py the processes, and reuse.py the sockets.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from reactor._logger import getLogger
from reactor.error import CannotListenError, ReactorNotRunning
from reactor.loops.base import ReactorBase
from reactor.service.configuration import GRACE_TIME, Configuration, ReloadRefused
from reactor.service.endsignals import EndSignals
from reactor.service.fleet import START_TIMEOUT
from reactor.service.hands import ProcessHands, Program
from reactor.service.members import CHANGES, Member, Plan
from reactor.service.notify import Notifier
from reactor.service.privileges import Identity
from reactor.service.reuse import Groups, Place
from reactor.service.summing import Totals
from reactor.task import LoopingCall

log = getLogger("reactor.service")
changes = getLogger(CHANGES)

ADMIN_GRACE = 1.0
ADMIN_LEEWAY = 0.2  # seconds that the admin process stays beyond the grace of the workers
ADMIN_LEAVE = 0.25  # seconds that it then has to end at once; it may well be killed, as it has nothing to finish
ADMIN_PATIENCE = 2.0  # the same, if the workers have ended long before their grace is over
STATUS_INTERVAL = 1.0


class Supervisor:
    """Runs `workers` processes of a program, each with its own sockets, and replaces those that end.

    - `arguments`: the command line of a worker, a list of strings. The first is the path of the program.
    - `sockets`: a Place for each name. Worker.sockets has the sockets by these names.
    - `grace`: seconds in which a worker drains.
    - `watchdog`: seconds after which a worker is killed whose loop does not turn; None: never.
    - `environment`: that of the workers; None means this process's. See Program.
    - `admin`: a Program that gets the status each second (Worker.onStatus). It is replaced like a worker.
    - `reconfigure`: called at SIGHUP with the present Configuration. It returns the new one, or raises an exception,
      with which the old one stays (ReloadRefused, for example). None: a reload is for fresh code.
    - `identity`: the user to become when all ports are open.
    - `totals`: the Totals that sum the snapshots of the workers; None: new ones.
    - `startTimeout`: seconds in which a worker must be ready.
    - `sendFin`: whether workers are to end their half of each connection when a drain begins (Worker.sendFin). It is
      for applications that only receive: those that answer would owe answers.

    TERM and INT drain, and a second one of them ends at once. EndSignals has the rule for two in a moment. HUP reloads,
    USR1 has files reopened, TTIN and TTOU add and remove a worker. `restarts`, `reloads` and `reloadFailures` count.
    TypeError or ValueError for arguments that cannot be.
    """

    def __init__(
        self,
        reactor: ReactorBase,
        arguments: Sequence[str],
        sockets: Mapping[str, Place],
        *,
        workers: int = 1,
        grace: float = GRACE_TIME,
        watchdog: float | None = None,
        environment: Mapping[str, str] | None = None,
        admin: Program | None = None,
        reconfigure: Callable[[Configuration], Configuration] | None = None,
        identity: Identity | None = None,
        notifier: Notifier | None = None,
        totals: Totals | None = None,
        startTimeout: float = START_TIMEOUT,
        sendFin: bool = False,
        threads: int = 1,
    ) -> None:
        program = Program(arguments, sockets, environment, sendFin, threads)
        self.configuration = Configuration(program, workers, grace, watchdog, admin)
        self.restarts = self.reloads = self.reloadFailures = 0
        self.totals = Totals() if totals is None else totals
        self._next = self.configuration
        self._reactor = reactor
        self._reconfigure = reconfigure
        self._identity = identity
        self._notifier = Notifier.fromEnvironment() if notifier is None else notifier
        self._options: dict[str, Any] = {"startTimeout": startTimeout}
        self._groups = Groups()
        self._isOpen = False
        self._workers = ProcessHands(reactor, self._groups, self, self._counted, self._gone, **self._options)
        self._admin: _Admin | None = None
        self._state = "starting"
        self._mustReload = False
        self._error: str | None = None
        self._told = ""
        self._telling = LoopingCall(self._tell)
        self._telling.clock = reactor

    # For the program.

    def addressOf(self, name: str) -> Any:
        """Return the address of the sockets `name`, as socket.getsockname() has it. They must be open.

        The names of the workers' sockets come first, then those of the admin process. KeyError for another name.
        """
        admin = {} if self.configuration.admin is None else self.configuration.admin.sockets
        return self._groups[{**admin, **self.configuration.program.sockets}[name]].address

    def open(self) -> None:
        """Open all ports, and become another user if that was wanted. run() does the same, unless it is done already.

        CannotListenError if the system refuses a port; PrivilegeError if root cannot be given up.
        """
        if self._isOpen:
            return
        try:
            self._openPlaces(self.configuration)
            if self._identity is not None:
                self._identity.assume()
        except BaseException:
            self._groups.close()
            raise
        self._isOpen = True

    def run(self) -> int:
        """Run the workers until a signal ends them. Return the exit code: 0 in order, 1 if no worker lives.

        The errors are those of open().
        """
        self.open()
        handlers: dict[int, Callable[[], None]] = {
            signal.SIGHUP: self.reload,
            signal.SIGUSR1: self.reopen,
            signal.SIGTTIN: self.moreWorkers,
            signal.SIGTTOU: self.fewerWorkers,
        }
        for number, handler in handlers.items():
            self._reactor.addSignalHandler(number, handler)
        ending = EndSignals(self._reactor, lambda _: self.stop())
        ending.install()
        self._reactor.callWhenRunning(self._begin)
        try:
            self._reactor.run()
        finally:
            ending.remove()
            for number in handlers:
                self._reactor.removeSignalHandler(number)
            self._groups.close()
            self._isOpen = False
        return 0 if self._error is None else 1

    def stop(self) -> None:
        """Drain all workers, and end. A second call ends them now. TERM and INT call it."""
        if self._workers.fleet.isStopping:
            log.warning("asked again to end: now")
            self._workers.fleet.hurry()
            if self._admin is not None:
                self._admin.hands.fleet.hurry()
            return
        grace = self.configuration.grace
        log.info("the workers end in order, in %g s", grace)
        self._workers.fleet.stop()
        self._beginEnd()
        if self._admin is not None:
            self._reactor.callLater(grace + ADMIN_LEEWAY, self._admin.hands.fleet.hurry, ADMIN_LEAVE, True)

    def reload(self) -> None:
        """Replace all workers by new ones, with fresh code and the new configuration. HUP calls it.

        The old ones stay if that fails. During a reload, it only notes that another is to follow.
        """
        fleet = self._workers.fleet
        if fleet.isStopping:
            return
        if fleet.isReloading:
            self._mustReload = True
            return
        if self._state == "ready":
            self._notifier.reloading("reloading")
        try:
            found = self.configuration if self._reconfigure is None else self._reconfigure(self.configuration)
            if not isinstance(found, Configuration):
                raise TypeError(f"reconfigure has returned no Configuration, but {found!r}")
            self._openPlaces(found)
        except (Exception, SystemExit) as error:  # a parser of arguments ends the process for a wrong one
            isPlain = isinstance(error, ReloadRefused | CannotListenError | SystemExit)
            self._reloadFailed(str(error) or type(error).__name__, None if isPlain else error)
            return
        self._next = found
        log.info("reloading: %d new workers start", found.workers)
        fleet.reload(found.plan)

    def reopen(self) -> None:
        """Have all processes open their log files and outputs anew. USR1 calls it."""
        self._workers.order({"order": "reopen"})
        if self._admin is not None:
            self._admin.hands.order({"order": "reopen"})

    def moreWorkers(self) -> None:
        """Add a worker. TTIN calls it."""
        self._workers.fleet.more()

    def fewerWorkers(self) -> None:
        """Remove a worker, on the next turn, unless it is the last. Another one takes its sockets. TTOU calls it.

        Python may call the handler of a TTOU inside that of the TTIN just before it, and so first.
        """
        self._reactor.callLater(0, self._workers.fleet.fewer)

    def status(self) -> dict[str, Any]:
        """Return the status of the whole server, as the admin process gets it."""
        return self.totals.status(
            state=self._state, restarts=self.restarts, reloads=self.reloads, reloadFailures=self.reloadFailures
        )

    # As members.Watcher.

    def fleetReady(self) -> None:
        """See members.Watcher."""
        self._state = "ready"
        self._notifier.ready(self._summary())
        log.info("%s", self._summary())

    def fleetReloaded(self, plan: Plan) -> None:
        """See members.Watcher."""
        self.configuration = self._next
        self.reloads += 1
        self._workers.keepSlots()
        changes.info("reloaded: %s, the old ones drain", self._summary())
        if self._state == "ready":
            self._notifier.ready(self._summary())
        self._reloadAdmin()
        self._reloadAgain()

    def reloadFailed(self, plan: Plan, reason: str) -> None:
        """See members.Watcher."""
        self._reloadFailed(reason)

    def restarted(self, member: Member) -> None:
        """See members.Watcher."""
        self.restarts += 1

    def fleetFails(self) -> None:
        """See members.Watcher."""
        self.stop()

    def fleetEnded(self, error: str | None) -> None:
        """See members.Watcher."""
        self._error = error
        if error is not None:
            log.error("the server ends: %s", error)
            self._beginEnd()
        if self._admin is None:
            self.adminEnded()
        else:
            self._admin.hands.fleet.hurry(ADMIN_PATIENCE)  # it has nothing to finish

    # The course of things.

    def _openPlaces(self, configuration: Configuration) -> None:
        program = configuration.program
        self._groups.open(program.sockets.values(), configuration.workers * program.threads)
        if configuration.admin is not None:
            self._groups.open(configuration.admin.sockets.values(), 1)
        for place in self._groups.lost(configuration.places):
            self._groups[place].renew()
            log.warning("%s was removed by another program, and is bound anew", place)
            self._workers.renewed(place)
            if self._admin is not None:
                self._admin.hands.renewed(place)

    def _begin(self) -> None:
        self._notifier.startBeating(self._reactor)
        self._telling.start(STATUS_INTERVAL, now=False)
        self._workers.fleet.start(self.configuration.plan)
        self._startAdmin()

    def _startAdmin(self) -> None:
        if self.configuration.admin is not None:
            self._admin = _Admin(self._reactor, self._groups, self, self._options)
            self._admin.hands.fleet.start(Plan(self.configuration.admin, 1, ADMIN_GRACE))

    def _reloadAdmin(self) -> None:
        """Replace the admin process, too. If the new one fails, the old one stays."""
        admin = self._admin
        if admin is None:
            self._startAdmin()
        elif self.configuration.admin is None:
            admin.hands.fleet.stop()
        else:
            admin.hands.fleet.reload(Plan(self.configuration.admin, 1, ADMIN_GRACE))

    def _reloadFailed(self, reason: str, error: BaseException | None = None) -> None:
        self.reloadFailures += 1
        log.error("the reload has failed, the old workers stay: %s", reason, exc_info=error)
        if self._state == "ready":
            self._notifier.ready(f"{self._summary()}; the last reload has failed: {reason}")
        self._closeUnused()
        self._reloadAgain()

    def _reloadAgain(self) -> None:
        again, self._mustReload = self._mustReload, False
        if again:
            self._reactor.callLater(0, self.reload)

    def _beginEnd(self) -> None:
        """No more clients are to come: the workers have the last copies of the sockets, and close them.

        The orders to drain leave at the end of the turn, so the kernel lets nobody in when the workers accept the last.
        """
        self._state = "draining"
        self._notifier.stopping("draining")
        self._groups.keep(() if self._admin is None else self._admin.hands.places(), shutsOut=True)

    def adminEnded(self) -> None:
        """No admin process is left: that is the end, unless only the admin was given up."""
        self._admin = None
        if not self._workers.fleet.isStopping:
            self._startAdmin()  # a reload meanwhile may want one again
            self._closeUnused()
        if not self._workers.fleet.hasEnded:
            return
        self._notifier.stopBeating()
        if self._telling.running:
            self._telling.stop()
        with suppress(ReactorNotRunning):
            self._reactor.stop()

    def _counted(self, snapshot: Mapping[str, Any]) -> None:
        try:
            self.totals.add(snapshot)
        except (ValueError, KeyError, TypeError) as error:
            log.error("the counters of a worker are not in order: %s", error)

    def _gone(self, pid: int) -> None:
        self.totals.retire(pid)
        self._closeUnused()

    def _closeUnused(self) -> None:
        """Close the sockets that no process has, or will have."""
        if self._workers.fleet.isStopping:
            return
        wanted = self._workers.places()
        if self._admin is not None:
            wanted |= self._admin.hands.places()
        if self._next.admin is not None:
            wanted |= set(self._next.admin.sockets.values())
        self._groups.keep(wanted)
        self._workers.closeUnused()

    def _summary(self) -> str:
        count = len(self._workers.fleet.serving)
        return f"{count} worker{'' if count == 1 else 's'} ready"

    def _tell(self) -> None:
        if self._admin is not None:
            self._admin.hands.report({"event": "status", "status": self.status()})
        self._notifier.again()
        if self._state == "ready" and self._summary() != self._told:
            self._told = self._summary()
            self._notifier.status(self._told)


class _Admin:
    """The fleet of the admin process, whose failures never end the server."""

    def __init__(self, reactor: ReactorBase, groups: Groups, owner: Supervisor, options: Mapping[str, Any]) -> None:
        self._owner = owner
        self.hands = ProcessHands(
            reactor,
            groups,
            self,
            lambda snapshot: None,
            lambda pid: None,
            givesUp=False,
            kind="admin process",
            **options,
        )

    def fleetReady(self) -> None:
        """See members.Watcher."""

    def fleetReloaded(self, plan: Plan) -> None:
        """See members.Watcher."""

    def reloadFailed(self, plan: Plan, reason: str) -> None:
        """See members.Watcher."""
        log.error("the new admin process has failed, the old one stays: %s", reason)

    def restarted(self, member: Member) -> None:
        """See members.Watcher."""

    def fleetFails(self) -> None:
        """See members.Watcher."""

    def fleetEnded(self, error: str | None) -> None:
        """See members.Watcher."""
        self._owner.adminEnded()
