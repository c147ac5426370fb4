"""200,000 connections come and go on every transport in turn: each is made, none leaves a descriptor or memory behind.

A thing left behind is one that the process holds at the end and did not hold after a tenth, no connection open both
times. There may be no more descriptors, objects of any kind, or blocks of Python's allocator. Resident memory may grow
by at most 2 MiB, which is what malloc may make of its own holes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.battery.sizes import FULL, size
from tests.contract.cells import TRANSPORTS
from tests.support.worlds import ROOT

pytestmark = pytest.mark.needs("namespaces", "ip")

TOTAL = 200_000
RESIDENT = 2 << 20
BLOCKS = 1000
OBJECTS = 10
DEADLINE = 3600 if FULL else 100


def churn(transport: str, reactor: str, total: int) -> dict[str, Any]:
    program = [sys.executable, "-m", "tests.battery.churn", transport, reactor, str(total)]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *program]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def usual(transport: str) -> int:
    return 2000 if "TLS" in transport else 20_000


@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize(
    ("transport", "reactor"),
    [*((transport, "epoll") for transport in TRANSPORTS), ("TCP4", "asyncio"), ("TCP4", "uvloop")],
)
def test_nothingIsLeftBehind(transport: str, reactor: str) -> None:
    total = size(usual(transport), TOTAL)
    found = churn(transport, reactor, total)
    assert found["failed"] == []
    assert (found["made"], found["answered"]) == (total, total)
    resets = (total + 2) // 3
    afterReset = "ConnectionDone" if transport == "UNIX" else "ConnectionLost"
    expected = {"ConnectionDone": total - resets}
    expected[afterReset] = expected.get(afterReset, 0) + resets
    assert found["server"] == expected
    assert found["client"] == {"ConnectionDone": total - resets, "ConnectionAborted": resets}
    assert found["files"] <= 0
    assert found["resident"] <= RESIDENT, f"{found['resident']} bytes more are resident; the mark is {RESIDENT}"
    assert found["blocks"] <= BLOCKS, f"{found['blocks']} blocks more; the mark is {BLOCKS}"
    assert {kind: more for kind, more in found["kinds"].items() if more > OBJECTS} == {}
