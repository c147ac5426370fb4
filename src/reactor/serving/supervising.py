"""A supervisor for `serve --workers`: the sockets of a plan, its workers, and the reload of its configuration."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from reactor.address import UNIXAddress, fromSocketName
from reactor.error import CannotListenError
from reactor.loops.base import ReactorBase
from reactor.service.configuration import Configuration, ReloadRefused
from reactor.service.hands import Program
from reactor.service.privileges import Identity, PrivilegeError, identityOf
from reactor.service.reuse import INHERITED, TCP, UDP, Place
from reactor.service.summing import Totals
from reactor.service.supervisor import Supervisor
from reactor.serving.adminpages import SOCKET, placeOf
from reactor.serving.announce import Served, adminServed, announce
from reactor.serving.apps import hintOf
from reactor.serving.config import planOf
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import reopen as reopenLog
from reactor.serving.options import version
from reactor.serving.places import cannotListen, spotsOf
from reactor.serving.plan import ListenPlan, Plan
from reactor.serving.reloading import Changes
from reactor.serving.running import coresOf, socketName
from reactor.serving.values import AUTO

OF_ENDPOINTS = ("endpoint", "host", "port")  # the keys of a place's address


class Supervising:
    """Runs the workers of `plan`, processes with the same command line.

    `arguments` is that command line. `options` are those of the command, for a reload.
    """

    def __init__(self, plan: Plan, options: argparse.Namespace, arguments: Sequence[str], reactor: ReactorBase) -> None:
        self._plan = self._wanted = plan
        self._told: list[Served] = []
        self._options = options
        self._arguments = arguments
        self._reactor = reactor
        self.totals = Totals(version(), plan.config)
        self.supervisor = _Supervisor(
            reactor,
            arguments,
            placesOf(plan),
            workers=workersOf(plan),
            grace=plan.grace,
            watchdog=plan.watchdog,
            admin=self._adminOf(plan),
            reconfigure=self._reconfigure,
            identity=_identityOf(plan),
            totals=self.totals,
            sendFin=plan.onlyReceives,
            threads=plan.threads or 1,
        )

    def run(self) -> int:
        """Run until a signal ends the workers; return the exit code. CommandError if a port cannot be opened."""
        try:
            self.supervisor.open()
        except CannotListenError as error:
            raise self._named(error) from None
        except PrivilegeError as error:
            raise CommandError(str(error), USAGE) from None
        self.supervisor.reloaded = self._reloaded
        self._reactor.callWhenRunning(self._announce)
        changes = None
        if self._plan.reload:
            changes = Changes(self._reactor, self.supervisor.reload, self._plan.config)
            changes.start()
        try:
            return self.supervisor.run()
        finally:
            if changes is not None:
                changes.stop()

    def _named(self, error: CannotListenError) -> CommandError:
        """Return the error for a port that cannot be opened, with the key of its listener."""
        told = cannotListen(error)
        for listener in self._plan.listeners:
            places: dict[str, Place] = {}
            _addPlaces(listener, places)
            if any(_isAt(place, error) for place in places.values()):
                return told.at(listener.places, OF_ENDPOINTS)
        return told

    def _announce(self) -> None:
        """Tell the applications and their addresses, unless they are told."""
        served = self._served()
        if served != self._told:
            self._told = served
            count = workersOf(self._plan)
            threads = f", {self._plan.threads} threads in each" if self._plan.threads else ""
            announce(served, f"{count} worker{'s' if count > 1 else ''}{threads}, ")

    def _reloaded(self) -> None:
        self._plan = self._wanted
        self._announce()

    def _served(self) -> list[Served]:
        served = []
        for listener in self._plan.listeners:
            each = Served(listener.application, hintOf(listener.app, listener.http))
            for number, spot in enumerate(spotsOf(listener)):
                address = self.supervisor.addressOf(socketName(listener, number))
                each.addresses.append(("ssl" if listener.cert else spot.kind, addressFrom(address)))
            served.append(each)
        if self._plan.admin is not None:
            served.append(adminServed(addressFrom(self.supervisor.addressOf(SOCKET))))
        return served

    def _adminOf(self, plan: Plan) -> Program | None:
        return (
            None
            if plan.admin is None
            else Program(self._arguments, {SOCKET: replace(placeOf(plan.admin), label="admin")})
        )

    def _reconfigure(self, _before: Configuration) -> Configuration:
        """Read the configuration again. ReloadRefused if there is a mistake in it."""
        try:
            plan = planOf(vars(self._options), os.environ)
            if plan.workers is None:
                raise CommandError("the configuration has no workers any more: that needs a restart")
            program = Program(self._arguments, placesOf(plan), sendFin=plan.onlyReceives, threads=plan.threads or 1)
            admin = self._adminOf(plan)
        except CommandError as error:
            raise ReloadRefused(str(error)) from None
        self._wanted = plan
        return Configuration(program, workersOf(plan), plan.grace, plan.watchdog, admin)


class _Supervisor(Supervisor):
    """A supervisor that opens its own log anew, too, and tells its new addresses: `reloaded` does that."""

    reloaded: Callable[[], object] = bool

    def reopen(self) -> None:
        """See Supervisor."""
        reopenLog()
        super().reopen()

    def fleetReloaded(self, plan: Any) -> None:
        """See members.Watcher. Addresses may be new."""
        super().fleetReloaded(plan)
        self.reloaded()


def addressFrom(name: Any) -> Any:
    """Return the address object for a socket's name."""
    if isinstance(name, tuple):
        return fromSocketName(socket.AF_INET6 if ":" in name[0] else socket.AF_INET, name)
    return UNIXAddress(name)


def workersOf(plan: Plan) -> int:
    """Return the number of workers of a plan."""
    return coresOf() if plan.workers == AUTO else int(plan.workers or 1)


def placesOf(plan: Plan) -> dict[str, Place]:
    """Return the places of all endpoints of a plan, by the names that workers know them by."""
    places: dict[str, Place] = {}
    for listener in plan.listeners:
        try:
            _addPlaces(listener, places)
        except CommandError as error:
            raise error.at(listener.places, OF_ENDPOINTS) from None
    return places


def _addPlaces(listener: ListenPlan, places: dict[str, Place]) -> None:
    for number, spot in enumerate(spotsOf(listener)):
        name = socketName(listener, number)
        try:
            place = spot.place()
        except (OSError, TypeError, ValueError) as error:
            raise CommandError(f"cannot listen: {reasonOf(error)}", USAGE) from None
        if place.kind in (TCP, UDP) and not place.port:
            place = replace(place, label=name)  # each 0 is a free port of its own
        if place in places.values():
            raise CommandError(f"cannot listen on {place} twice", USAGE)
        places[name] = place


def _isAt(place: Place, error: CannotListenError) -> bool:
    """Whether `error` is about `place`."""
    if place.kind in (TCP, UDP):
        return (place.host, place.port) == (error.interface, error.port)
    if place.kind == INHERITED:
        return str(place) == error.interface
    return error.interface == "unix" and os.fsdecode(place.path) == str(error.port)


def _identityOf(plan: Plan) -> Identity | None:
    if plan.user is None and plan.group is None:
        return None
    try:
        return identityOf(plan.user, plan.group)
    except PrivilegeError as error:
        raise CommandError(str(error), USAGE) from None


def commandLine(arguments: Sequence[str] | None) -> list[str]:
    """Return the command line of a worker. `arguments` are those of main(); None: the process's own."""
    if arguments is None:
        return [sys.executable, *sys.orig_argv[1:]]
    return [sys.executable, "-m", "reactor", *arguments]
