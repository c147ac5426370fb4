"""`linereactor serve --service`: the application of a .tac file or of a module, in one process, until a signal."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from typing import Any

from reactor._logger import escaped
from reactor.error import CannotListenError
from reactor.linecore import IMPLEMENTATION
from reactor.loops.base import ReactorBase
from reactor.service.application import ApplicationError, loadApplication
from reactor.service.running import GRACE, ServiceRunner
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.logs import say, tellLeftOut
from reactor.serving.options import version
from reactor.task import LoopingCall

TELL_EVERY = 1.0


def findService(source: str) -> Any:
    """Return the application of `source`. A module may lie in the current directory. CommandError if there is none."""
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return loadApplication(source)
    except ApplicationError as error:
        raise CommandError(f"--service: {error}", USAGE) from error


def serveService(
    source: str,
    reactor: ReactorBase,
    grace: float = GRACE,
    privileges: Callable[[], object] | None = None,
    started: Callable[[], object] | None = None,
) -> int:
    """Run the application of `source` until the reactor stops; return the exit code.

    The ports that need the rights of root open first, in privilegedStartService. Then the application's own `uid` and
    `gid` count, and `privileges` is called; it may give up more. At the end stopService has `grace` seconds. `started`
    is called when the start is complete. CommandError if the application cannot be loaded or started.
    """
    application = findService(source)
    name = getattr(application, "name", None) or "the application"

    def giveUp() -> None:
        changeUser(getattr(application, "uid", None), getattr(application, "gid", None))
        if privileges is not None:
            privileges()

    def tell() -> None:
        say(f"linereactor {version()}: {escaped(str(name))} of {escaped(source)} runs (line core: {IMPLEMENTATION})")
        if started is not None:
            started()

    runner = ServiceRunner(application, reactor, grace=grace, privileges=giveUp, started=tell)
    telling = LoopingCall(tellLeftOut)
    telling.clock = reactor
    telling.start(TELL_EVERY, now=False)
    try:
        runner.run()
    except (KeyboardInterrupt, SystemExit, CommandError):
        raise
    except CannotListenError as error:
        raise CommandError(f"{escaped(source)}: {escaped(str(error))}") from error
    except Exception as error:
        told = f"{type(error).__name__}: {reasonOf(error)}"
        raise CommandError(f"{escaped(source)}: the application cannot start: {escaped(told)}") from error
    finally:
        telling.stop()
        tellLeftOut(everything=True)
    return 0


def changeUser(uid: int | None, gid: int | None) -> None:
    """Become the user `uid` and the group `gid`, for good. None leaves a group, and means the user's own group.

    The supplementary groups become those of the user. CommandError if that is not allowed, or if the user has no group.
    """
    if uid is None and gid is None:
        return
    user = os.geteuid() if uid is None else uid
    try:
        entry = pwd.getpwuid(user)
    except KeyError:
        entry = None
    group = entry.pw_gid if gid is None and entry is not None else gid
    if group is None:
        raise CommandError(f"user {user} has no group of its own here, so the application must name one")
    if os.getresuid() == (user,) * 3 and os.getresgid() == (group,) * 3:
        return
    try:
        if entry is None:
            os.setgroups([group])
        else:
            os.initgroups(entry.pw_name, group)
        os.setresgid(group, group, group)
        os.setresuid(user, user, user)
    except OSError as error:
        raise CommandError(f"cannot become user {user} and group {group}: {reasonOf(error)}") from None
