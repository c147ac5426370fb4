"""Giving up root for good: a server that has bound its ports goes on as another user.

Real, effective and saved ids change together, and the supplementary groups become those of the user (or none). A
process that keeps one of them can do what root's groups may do, or become root again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reactor._later import later
from reactor._logger import quoted

if TYPE_CHECKING:
    import grp
    import pwd
else:
    grp = later("grp", globals())
    pwd = later("pwd", globals())

ROOT = 0
MOST_ID = (1 << 32) - 2
DIGITS = 10


class PrivilegeError(RuntimeError):
    """A user or a group is unknown, or root cannot be given up."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and a group to become. `name` is the user's, None for a user without a name. See `identityOf`."""

    uid: int
    gid: int
    name: str | None = None

    def assume(self) -> None:
        """Become this user for good, with its groups only. PrivilegeError unless root; or if a way back is left.

        Call it while the process has one thread. A process that is this user already, with its group, stays as it is.
        """
        if os.getresuid() == (self.uid,) * 3 and os.getresgid() == (self.gid,) * 3 and self.uid != ROOT:
            return
        if os.geteuid() != ROOT:
            raise PrivilegeError(f"only root can become another user, and this process is user {os.geteuid()}")
        try:
            if self.name is None:
                os.setgroups([self.gid])
            else:
                os.initgroups(self.name, self.gid)
            os.setresgid(self.gid, self.gid, self.gid)
            os.setresuid(self.uid, self.uid, self.uid)
        except OSError as error:
            raise PrivilegeError(f"user {self.uid}, group {self.gid}: {error.strerror}") from error
        self._check()

    def groups(self) -> set[int]:
        """Return the groups that the user has."""
        return {self.gid} if self.name is None else set(os.getgrouplist(self.name, self.gid))

    def _check(self) -> None:
        """PrivilegeError if anything of root is left."""
        if os.getresuid() != (self.uid,) * 3 or os.getresgid() != (self.gid,) * 3:
            raise PrivilegeError("the system has not changed every user and group id")
        if not set(os.getgroups()) <= self.groups():
            raise PrivilegeError("the process has kept supplementary groups")
        if self.uid == ROOT:
            return
        with suppress(OSError):
            os.setuid(ROOT)
            raise PrivilegeError("the process could become root again")


def identityOf(user: str | None, group: str | None = None) -> Identity:
    """Return the Identity for `user` and `group`, names or numbers. Without `group` it is the user's own.

    Without `user` only the group changes. PrivilegeError for an unknown name, and for a number without a user if no
    group is given.
    """
    name: str | None = None
    gid: int | None = None
    if user is None:
        uid = os.geteuid()
        with suppress(KeyError):
            name = pwd.getpwuid(uid).pw_name
    else:
        try:
            entry = pwd.getpwuid(_idOf(user, "user")) if user.isdecimal() else pwd.getpwnam(user)
            uid, gid, name = entry.pw_uid, entry.pw_gid, entry.pw_name
        except (KeyError, ValueError):
            if not user.isdecimal():
                raise PrivilegeError(f"there is no user {quoted(user)}") from None
            uid = _idOf(user, "user")
    if group is not None:
        try:
            gid = _idOf(group, "group") if group.isdecimal() else grp.getgrnam(group).gr_gid
        except (KeyError, ValueError):
            raise PrivilegeError(f"there is no group {quoted(group)}") from None
    if gid is None:
        raise PrivilegeError(f"user {user or uid} has no group of its own here, so a group must be given")
    return Identity(uid, gid, name)


def _idOf(text: str, kind: str) -> int:
    """Return the id that digits make. PrivilegeError for one that no `kind` can have; -1 means "unchanged"."""
    number = int(text) if len(text) <= DIGITS else MOST_ID + 1
    if number > MOST_ID:
        raise PrivilegeError(f"there is no {kind} {text[:DIGITS]!r}: the largest number is {MOST_ID}")
    return number
