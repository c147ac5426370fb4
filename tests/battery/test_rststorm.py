"""100,000 connections that are reset: before they are accepted, just after, in the middle of a line, with full output.

Half of them are reset by a close without a linger. The system resets a quarter at the client's end, and a quarter at
the server's own. The server asks each socket for its addresses, and sets options on it. It may log no error, keep no
descriptor and no object, and use no more than 1% of a core afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.battery.forkserver import KINDS
from tests.battery.sizes import FULL, size
from tests.support.worlds import ROOT

TOTAL = {"epoll": size(10_000, 100_000), "asyncio": 100_000, "uvloop": size(1000, 100_000)}
IDLE = 0.01  # of a core
DEADLINE = 1200 if FULL else 110


@pytest.mark.needs("namespaces", "root", "ip", "ss")
@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize("kind", size(("epoll", "uvloop"), tuple(KINDS)))
def test_resets(kind: str) -> None:
    program = [sys.executable, "-m", "tests.battery.rststorm", kind, str(TOTAL[kind])]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    counts = found["counts"]
    assert counts.get("errors", 0) == 0
    assert counts["made"] == counts["lost"] + 1
    assert counts["made"] > TOTAL[kind] * 0.7  # of those that end before they are accepted, some are never seen
    assert counts["ConnectionLost"] > TOTAL[kind] * 0.7
    assert {name: found[name] for name in ("files", "protocols", "transports")} == dict.fromkeys(
        ("files", "protocols", "transports"), 0
    )
    assert found["idle"] <= IDLE
    assert found["code"] == 0
