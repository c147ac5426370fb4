"""The command is started as root, and serves as another user: the kernel knows of nothing that is left of root."""

from __future__ import annotations

import pathlib
import pwd
import re
import socket

import pytest

from tests.support.served import PATIENCE, freePort, running
from tests.support.worlds import LOOPBACK

pytestmark = pytest.mark.needs("root")


def status(pid: int) -> dict[str, str]:
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s*(.*?)\s*$", text, re.MULTILINE))


def test_nothingOfRootIsLeft(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it could not write what it has measured
    nobody = pwd.getpwnam("nobody")
    with running(tmp_path, port := freePort(), 0, "echo", "--user", "nobody") as command:
        with socket.create_connection((LOOPBACK, port), PATIENCE) as peer:
            peer.sendall(b"hi\r\n")
            assert peer.recv(100) == b"hi\r\n"
        found = status(command.process.pid)
        command.end()
    assert found["Uid"].split() == [str(nobody.pw_uid)] * 4  # real, effective, saved, and of the file system
    assert found["Gid"].split() == [str(nobody.pw_gid)] * 4
    assert found["Groups"].split() in ([], [str(nobody.pw_gid)])
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(found[name], 16) == 0, name
