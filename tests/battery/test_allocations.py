"""Allocations of a server's turns fail, once and several in a row: that costs one operation at most.

Every loop is swept in a process of its own, all of them at once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.battery.faultscenes import SCENES
from tests.battery.sizes import size
from tests.support.worlds import LOOPS, ROOT

SHARE = size(8, 1000)  # points of each scene
SECONDS = size(25.0, 900.0)
LEAST = size(3, 15)  # points of each scene, of which a machine that is busy otherwise may try fewer


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    sweeps = {
        side.name: subprocess.Popen(
            [sys.executable, "-m", "tests.battery.allocations", side.name, str(SHARE), str(SECONDS)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path_factory.mktemp(side.name),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for side in LOOPS
    }
    yield sweeps
    for sweep in sweeps.values():
        sweep.kill()
        sweep.communicate()


@pytest.mark.timeout(SECONDS * 4 + 10)
@pytest.mark.parametrize("name", [side.name for side in LOOPS])
def test_allocationsFail(name: str, sweeps: dict[str, subprocess.Popen[str]]) -> None:
    output, errors = sweeps[name].communicate(timeout=SECONDS * 4)
    assert sweeps[name].returncode == 0, errors[-3000:]
    found = json.loads(output.splitlines()[-1])
    assert found["faults"] == []
    assert found["points"].keys() == {scene.__name__ for scene in SCENES}
    assert min(found["points"].values()) >= LEAST, found["points"]
    assert found["filesLeft"] <= 0
