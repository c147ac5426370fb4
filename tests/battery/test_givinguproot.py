"""The command is started as root, and serves as another user: the kernel knows of nothing that is left of root."""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import sys
import time

import pytest

from tests.support import served
from tests.support.served import PATIENCE, freePort, running, workersOf
from tests.support.worlds import LOOPBACK, ROOT

pytestmark = pytest.mark.needs("root")


def status(pid: int) -> dict[str, str]:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))


def check(found: dict[str, str]) -> None:
    """The kernel tells nothing of root about a process."""
    nobody = pwd.getpwnam("nobody")
    assert found["Uid"].split() == [str(nobody.pw_uid)] * 4  # real, effective, saved, and of the file system
    assert found["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert found["Groups"].split() in ([], [str(nobody.pw_gid)])
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found[name], 16) == 0, name


def childrenOf(pid: int) -> set[int]:
    return set(map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def ask(port: int) -> None:
    with socket.create_connection((LOOPBACK, port), PATIENCE) as peer:
        peer.sendall(b"hi\r\n")
        assert peer.recv(100) == b"hi\r\n"


def test_nothingOfRootIsLeft(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it could not write what it has measured
    with running(tmp_path, port := freePort(), 0, "echo", "--user", "nobody") as command:
        ask(port)
        found = status(command.process.pid)
        command.end()
    check(found)


OPENED = """
set -e
mkdir "$1"
count=0
for path in $2; do
    count=$((count + 1)); mkdir "$1/$count"; mount --rbind "$path" "$1/$count"
done
for folder in $3; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
count=0
for path in $2; do
    count=$((count + 1)); mkdir -p "$path"; mount --rbind "$1/$count" "$path"
done
cd /
shift 3
exec "$@"
"""


def openTo(scratch: pathlib.Path) -> list[str]:
    """The beginning of a command that lets every user read this Python and this package, in a mount namespace.

    They may be in a home directory that is closed to others, as root's is.
    """
    needed = [pathlib.Path(each).resolve() for each in (sys.base_prefix, sys.prefix, ROOT)]
    every = {folder for path in needed for folder in [path, *path.parents]}
    closed = {folder for folder in every if not folder.stat().st_mode & stat.S_IXOTH}
    folders = [each for each in closed if not any(parent in closed for parent in each.parents)]
    paths = [path for path in needed if any(folder in [path, *path.parents] for folder in folders)]
    given = [" ".join(map(str, each)) for each in (paths, folders)]
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", OPENED, "sh", str(scratch), *given]


@pytest.mark.needs("unshare", "mount")
def test_norInAnyOfSeveralProcesses(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the supervisor, the workers and the admin process, those of a reload, of TTIN and after a kill."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
    monkeypatch.setattr(served, "COMMAND", [*openTo(tmp_path / "scratch"), *served.COMMAND])
    admin = f"{LOOPBACK}:{freePort()}"
    with running(tmp_path, port := freePort(), 2, "echo", "--user", "nobody", "--admin", admin) as command:
        pid = command.process.pid
        seen: set[int] = set()

        def newProcesses(count: int) -> None:
            """Wait until there are `count` processes that were not seen before, and look at them."""
            end = time.monotonic() + PATIENCE
            while len(found := workersOf(command) - seen) < count:
                assert time.monotonic() < end, command.log()
                time.sleep(0.01)
            ask(port)
            for each in [pid, *childrenOf(pid)]:
                with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
                    told = status(each)
                    if told["State"][0] != "Z":
                        check(told)
            seen.update(found)

        newProcesses(2)
        assert len(childrenOf(pid)) == 3  # the admin process too
        os.kill(min(seen), signal.SIGKILL)
        newProcesses(1)
        command.process.send_signal(signal.SIGTTIN)
        newProcesses(1)
        command.process.send_signal(signal.SIGHUP)
        newProcesses(2)
        command.end()
