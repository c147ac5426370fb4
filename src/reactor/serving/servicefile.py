"""`linereactor serve --service`: the application of a .tac file or of a module, and the user that it names."""

from __future__ import annotations

import os
import sys
from typing import Any

from reactor.service.application import ApplicationError, loadApplication
from reactor.service.privileges import PrivilegeError, identityOf
from reactor.serving.errors import USAGE, CommandError


def findService(source: str) -> Any:
    """Return the application of `source`. A module may lie in the current directory. CommandError if there is none."""
    if (here := os.getcwd()) not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return loadApplication(source)
    except ApplicationError as error:
        raise CommandError(f"--service: {error}", USAGE, "service") from error


def changeUser(uid: int | None, gid: int | None) -> None:
    """Become the user and the group that an application names by their numbers, for good; None for both does nothing.

    Without `gid` it is the user's own group. The supplementary groups become those of the user. CommandError if that is
    not allowed, or if the user has no group.
    """
    if uid is None and gid is None:
        return
    try:
        identityOf(None if uid is None else str(uid), None if gid is None else str(gid)).assume()
    except PrivilegeError as error:
        raise CommandError(str(error)) from None
