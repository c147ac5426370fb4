"""15,000 TLS connections that end at each step of their life, by a FIN or a reset, leave nothing behind.

The steps are: connected, half a ClientHello, a whole one, the server's flight, the handshake, a line, its answer, and a
close_notify. The marks are those of test_churn.py.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.battery.forkserver import KINDS
from tests.battery.sizes import FULL, size
from tests.battery.test_churn import BLOCKS, OBJECTS, RESIDENT
from tests.battery.tlsleak import WAYS
from tests.support.worlds import ROOT

TOTAL = {"epoll": size(1600, 15_000), "asyncio": 15_000, "uvloop": size(320, 15_000)}
DEADLINE = 1200 if FULL else 110


@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize("kind", size(("epoll", "uvloop"), tuple(KINDS)))
def test_nothingIsLeftBehind(kind: str) -> None:
    command = [sys.executable, "-m", "tests.battery.tlsleak", kind, str(TOTAL[kind])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["files"] <= 0
    assert found["resident"] <= RESIDENT, f"{found['resident']} bytes more are resident; the mark is {RESIDENT}"
    assert found["blocks"] <= BLOCKS, f"{found['blocks']} blocks more; the mark is {BLOCKS}"
    assert {each: more for each, more in found["kinds"].items() if more > OBJECTS} == {}
    lives = TOTAL[kind] // len(WAYS)
    assert found["counts"]["lines"] >= lives * 4  # the answers, and the ends behind them, by both ways
    assert found["counts"]["handshakes"] >= lives * 6
