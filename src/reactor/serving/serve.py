"""`linereactor serve`: applications on ports, in one process or below a supervisor, until a signal stops it."""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

from reactor import _current
from reactor.error import ReactorAlreadyInstalledError
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.base import ReactorBase
from reactor.loops.epoll import EpollReactor
from reactor.service.control import CONTROL, NUMBER, SOCKETS, countIn, parseSockets
from reactor.service.worker import Worker
from reactor.serving.adminpages import SOCKET, serveAdmin
from reactor.serving.apps import BUILT_IN, findApplication
from reactor.serving.checks import missingText
from reactor.serving.config import planOf
from reactor.serving.descriptors import allowDescriptors
from reactor.serving.errors import USAGE, CommandError
from reactor.serving.logformats import ADMIN
from reactor.serving.logs import logTo
from reactor.serving.plan import Plan
from reactor.serving.running import Serving
from reactor.serving.supervising import Supervising, commandLine
from reactor.serving.threads import Threads

OF_POSIX = ("fcntl", "grp", "pwd", "resource", "termios")


class LateReactor:
    """The reactor that is current when it is needed: an application may install its own when it is imported."""

    def __init__(self, reactorOf: Callable[[], ReactorBase]) -> None:
        self._reactorOf = reactorOf

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactorOf(), name)


def serve(options: argparse.Namespace, reactorOf: Callable[[], ReactorBase]) -> int:
    """Serve until the reactor stops; return the exit code. CommandError if it cannot begin or go on.

    `reactorOf` returns the current reactor. It is called when the applications are imported.
    """
    demandPOSIX()
    isWorker = CONTROL in os.environ
    try:
        plan = planOf(vars(options), os.environ)
        late = cast(ReactorBase, LateReactor(reactorOf))
        logTo(plan.logLevel, late, plan.logFormat, plan.logFile, _processName() if isWorker else None)
        allowDescriptors()
        if plan.workers is not None and not isWorker:
            arguments = commandLine(getattr(options, "commandLine", None))
            return Supervising(plan, options, arguments, reactorOf()).run()
        reactor = reactorOf() if isWorker and _isAdmin() else reactorFor(plan, reactorOf)
    except CommandError as error:
        if isWorker:
            _tellFailed(_workerOf(reactorOf()), error)
        raise
    worker = _workerOf(reactor)
    try:
        if worker is not None and SOCKET in worker.sockets:
            return serveAdmin(reactor, worker)
        if plan.threads is not None and worker is not None:
            return Threads(plan, reactor, worker, partial(makeReactor, loopOf(plan, reactor))).run()
        return Serving(plan, reactor, worker).run()
    except CommandError as error:
        _tellFailed(worker, error)
        raise


def demandPOSIX() -> None:
    """CommandError if this system is not one that can serve: Windows is none."""
    missing = [name for name in OF_POSIX if importlib.util.find_spec(name) is None]
    if missing:
        lacks = f"this Python has no module {missing[0]}"
        raise CommandError(f"a POSIX system is needed, for example Linux, and {lacks}. Try reactor.aio here", USAGE)


def _isAdmin() -> bool:
    """Whether the supervisor has started this process for the admin pages."""
    with suppress(ValueError):  # _workerOf tells the mistake
        return SOCKET in parseSockets(os.environ.get(SOCKETS, ""))
    return False


def _processName() -> int | str | None:
    """Return the name of this process of a supervisor for the log: a worker's number, or ADMIN."""
    if _isAdmin():
        return ADMIN
    with suppress(ValueError):  # _workerOf tells the mistake
        return countIn(os.environ, NUMBER, 0)
    return None


def _workerOf(reactor: ReactorBase) -> Worker | None:
    """Return the Worker of this process, None without a supervisor. CommandError if its variables are not in order."""
    try:
        return Worker.fromEnvironment(reactor)
    except ValueError as error:
        raise CommandError(f"these variables are for a supervisor to set: {error}", USAGE) from None


def _tellFailed(worker: Worker | None, error: CommandError) -> None:
    if worker is not None:
        worker.failed(str(error))


def reactorFor(plan: Plan, reactorOf: Callable[[], ReactorBase]) -> ReactorBase:
    """Return the reactor of a plan: that of --loop, or else one that an application has installed, or the default."""
    if plan.loop is not None:
        installLoop(plan.loop)
    for listener in plan.listeners:
        name = listener.http or listener.app
        if name is not None and name not in BUILT_IN:
            findApplication(name)
    return reactorOf()


def installLoop(loop: str) -> None:
    """Make a reactor of the kind `loop` the process's default. CommandError if another one is, or without uvloop."""
    try:
        _current.install(makeReactor(loop))
    except ReactorAlreadyInstalledError:
        raise CommandError("--loop: this process has a reactor already", USAGE) from None


def loopOf(plan: Plan, reactor: ReactorBase) -> str:
    """Return the kind of loop of `plan`, or else that of `reactor`, which an application may have installed."""
    return plan.loop or ("asyncio" if isinstance(reactor, AsyncioReactor) else "epoll")


def makeReactor(loop: str) -> Any:
    """Return a reactor of the kind `loop`: epoll, asyncio or uvloop."""
    if loop == "epoll":
        return EpollReactor()
    if loop == "asyncio":
        return AsyncioReactor()
    try:
        uvloop: Any = importlib.import_module("uvloop")
    except ImportError:
        raise CommandError(missingText("uvloop"), USAGE) from None
    return AsyncioReactor(uvloop.new_event_loop())
