"""Every system call of a server fails, once and for a while: it costs at most the operation that the call is for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.battery import failing
from tests.battery.sizes import size
from tests.support.worlds import LOOPS

STEP = size(6, 1)
LEAST = size(300, 2000)  # points
DEADLINE = size(120.0, 1200.0)  # seconds
NAMES = [side.name for side in LOOPS]

Children = dict[str, subprocess.Popen[str]]


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """All at once: most of the time they wait."""
    library = failing.compiled(tmp_path_factory.mktemp("failing"))
    made = {name: failing.start(library, "-m", "tests.battery.systemcalls", name, str(STEP)) for name in NAMES}
    yield made
    for child in made.values():
        child.kill()
        child.communicate()


@pytest.mark.parametrize("name", NAMES)
def test_oneSystemCallFails(name: str, children: Children) -> None:
    out, errors = children[name].communicate(timeout=DEADLINE)
    assert children[name].returncode == 0, errors[-3000:]
    found = json.loads(out.splitlines()[-1])
    assert found["faults"] == []
    assert sum(found["points"].values()) >= LEAST
    assert all(found["points"].values()), found["points"]
