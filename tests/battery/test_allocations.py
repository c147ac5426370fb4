"""Every allocation of a server's turns fails once: what that costs is at most the connection that it happened in."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

from tests.battery.sizes import size
from tests.harness import ROOT

BUDGET = size(12.0, 120.0)  # seconds
STEP = size(7, 1)
LEAST = size(100, 300)  # points
SCENARIOS = ("accept", "lines", "send", "close", "timers", "wakeUps", "datagrams", "listen", "rest")


def test_oneAllocationFails(tmp_path: pathlib.Path) -> None:
    command = [sys.executable, "-m", "tests.battery.allocations", "ours", str(BUDGET), str(STEP), "once", *SCENARIOS]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=BUDGET * 4,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["faults"] == []
    assert sum(found["points"].values()) >= LEAST
    assert found["files"][1] <= found["files"][0] + 1
