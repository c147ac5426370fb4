"""Every system call of a server fails, once and for a while: it costs at most the operation that the call is for."""

from __future__ import annotations

import json
import pathlib

import pytest

from tests.battery import failing
from tests.battery.sizes import size
from tests.harness import LOOPS

STEP = size(9, 1)
LEAST = size(200, 2000)  # points
DEADLINE = size(100.0, 1200.0)  # seconds


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return failing.compiled(tmp_path_factory.mktemp("failing"))


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_oneSystemCallFails(side: object, library: pathlib.Path) -> None:
    child = failing.start(library, "-m", "tests.battery.systemcalls", side.name, str(STEP))  # type: ignore[attr-defined]
    try:
        out, errors = child.communicate(timeout=DEADLINE)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0, errors[-3000:]
    found = json.loads(out.splitlines()[-1])
    assert found["faults"] == []
    assert sum(found["points"].values()) >= LEAST
    assert all(found["points"].values()), found["points"]
