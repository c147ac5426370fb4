"""Giving up root, in a process of its own each time."""

from __future__ import annotations

import grp
import os
import pwd

import pytest

from reactor.service.privileges import Identity, PrivilegeError, identityOf
from tests.support.worlds import runProgram

ASSUME = """
import os, sys
from reactor.service.privileges import Identity, PrivilegeError, identityOf
os.setgroups([0, 4, 27])
identity = identityOf(*(text or None for text in sys.argv[1:3]))
identity.assume()
identity.assume()  # a second time, it is this user already
print(os.getresuid(), os.getresgid(), os.getgroups())
left = []
for back in (
    lambda: os.setuid(0), lambda: os.seteuid(0), lambda: os.setreuid(-1, 0), lambda: os.setresuid(-1, -1, 0),
    lambda: os.setgid(0), lambda: os.setegid(0), lambda: os.setresgid(-1, -1, 0), lambda: os.setgroups([0]),
    lambda: open("/etc/shadow").close(),
):
    try:
        back()
        left.append(back.__code__.co_names)
    except OSError:
        pass
lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(left, [int(lines[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")])
"""


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is no longer root cannot write what coverage has measured, and complains of that."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("user", "group", "uid", "gid"),
    [
        ("nobody", "", pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid),
        ("nobody", "daemon", pwd.getpwnam("nobody").pw_uid, grp.getgrnam("daemon").gr_gid),
        ("54321", "54322", 54321, 54322),
    ],
)
def test_nothingOfRootIsLeft(user: str, group: str, uid: int, gid: int) -> None:
    result = runProgram(ASSUME, user, group)
    groups = [gid] if not user.isdecimal() and not group else sorted({gid, *os.getgrouplist("nobody", gid)})
    expected = [gid] if user.isdecimal() else groups
    assert result.stderr == ""
    assert result.stdout.splitlines() == [f"{(uid,) * 3} {(gid,) * 3} {expected}", "[] [0, 0, 0]"]


@pytest.mark.needs("root")
def test_onlyTheGroup() -> None:
    text = "from reactor.service.privileges import identityOf; import os; identityOf(None, 'daemon').assume()\n"
    result = runProgram(text + "print(os.getresuid(), os.getresgid())")
    daemon = grp.getgrnam("daemon").gr_gid
    assert (result.stdout.strip(), result.stderr) == (f"(0, 0, 0) {(daemon,) * 3}", "")


@pytest.mark.needs("root")
def test_aWayBackIsRefused() -> None:
    """Capabilities that stay through the change of user (PR_SET_KEEPCAPS and securebits) would be a way back."""
    text = """
import ctypes
from reactor.service.privileges import PrivilegeError, identityOf
PR_SET_SECUREBITS, NO_SETUID_FIXUP = 28, 4
assert ctypes.CDLL(None).prctl(PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0, 0, 0) == 0
try:
    identityOf("nobody").assume()
except PrivilegeError as error:
    print(error)
"""
    assert runProgram(text).stdout == "the process could become root again\n"


@pytest.mark.needs("root")
def test_onlyRootCanChange() -> None:
    text = """
import os
from reactor.service.privileges import PrivilegeError, identityOf
os.setresuid(54321, 54321, 54321)
try:
    identityOf("nobody").assume()
except PrivilegeError as error:
    print(error)
"""
    assert runProgram(text).stdout == "only root can become another user, and this process is user 54321\n"


def test_names() -> None:
    nobody = pwd.getpwnam("nobody")
    assert identityOf("nobody") == Identity(nobody.pw_uid, nobody.pw_gid, "nobody")
    assert identityOf(str(nobody.pw_uid)) == identityOf("nobody")
    assert identityOf("nobody", "0") == Identity(nobody.pw_uid, 0, "nobody")
    assert identityOf("54321", "54322") == Identity(54321, 54322, None)
    assert identityOf("54321", "54322").groups() == {54322}


@pytest.mark.parametrize(
    ("user", "group", "why"),
    [
        ("nosuchuser", None, "there is no user 'nosuchuser'"),
        ("nobody", "nosuchgroup", "there is no group 'nosuchgroup'"),
        ("54321", None, "user 54321 has no group of its own here"),
        (None, None, "has no group of its own here"),
    ],
)
def test_unknownNames(user: str | None, group: str | None, why: str) -> None:
    with pytest.raises(PrivilegeError, match=why):
        identityOf(user, group)
