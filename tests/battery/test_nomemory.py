"""Sends that fail as if the system had no memory (ENOBUFS, ENOMEM), injected by strace: nothing is lost or doubled."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import pytest

from tests.battery.nomemory import DATA
from tests.support.worlds import DEADLINE, LOOPS, ROOT

pytestmark = pytest.mark.needs("strace")

PROGRAM = "import sys; from tests.battery import nomemory; nomemory.main(*sys.argv[1:])"
FAILURES = 60


def underStrace(directory: pathlib.Path, number: int, loop: str, kind: str) -> tuple[str, list[str], float, int]:
    """The digest of what came, how the connection ended, how many seconds it took, and how many sends failed."""
    log = directory / "log"
    inject = f"inject=sendto:error={errno.errorcode[number]}:when=2..{1 + FAILURES}"
    command = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=sendto", "-e", inject]
    result = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM, loop, kind],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    digest, lost, seconds = json.loads(result.stdout)
    return digest, lost, seconds, log.read_text().count("(INJECTED)")


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM], ids=["ENOBUFS", "ENOMEM"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("loop", [side.name for side in LOOPS])
def test_itIsTriedAgain(tmp_path: pathlib.Path, loop: str, kind: str, number: int) -> None:
    """After a rest each time, and not as fast as polling calls the socket writable."""
    digest, lost, seconds, failed = underStrace(tmp_path, number, loop, kind)
    assert (digest, lost) == (hashlib.sha256(DATA).hexdigest(), ["ConnectionDone"])
    assert failed == FAILURES
    assert seconds >= FAILURES * 0.01 * 0.9


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_asTwistedDoes(tmp_path: pathlib.Path, kind: str) -> None:
    digest, lost, _, failed = underStrace(tmp_path, errno.ENOBUFS, "twisted", kind)
    assert (digest, lost, failed) == (hashlib.sha256(DATA).hexdigest(), ["ConnectionDone"], FAILURES)
