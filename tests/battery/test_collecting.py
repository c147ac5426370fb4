"""Collecting: processes that share a file are killed in the middle of their writes, and every record stays whole."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

from tests.battery.sizes import size
from tests.support.worlds import ROOT

SECONDS = size(2.0, 60.0)


@pytest.mark.timeout(SECONDS * 5 + 70)
@pytest.mark.parametrize("kind", ["opened", "inherited", "rotated"])
def test_killedWriters(kind: str, tmp_path: pathlib.Path) -> None:
    """Each has opened the path, or inherited one descriptor, or they rotate the file under each other's load.

    A record that a process was told is kept is there; the records of a process are in their order; each one is whole.
    """
    command = [sys.executable, "-m", "tests.battery.killedwriters", str(tmp_path / "lines"), kind, str(SECONDS), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 5 + 60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["lines"] > 100, report
    assert report["killed"] > 10, report
    assert report["files"] > 1 or kind != "rotated", report
    for fault in ("torn", "doubled", "disordered", "lost", "failed"):
        assert report[fault] == 0, report
