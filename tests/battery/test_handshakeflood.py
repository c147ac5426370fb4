"""Floods of TLS handshakes: half of the clients say nothing, half say half a ClientHello, and a good one is served.

With 2,000 of them, a good client's answers and handshakes take 100 ms at most, in 99 of 100 cases. Each of the others
takes at most 40 KiB of memory, and is closed at most a second after the handshake's deadline. The deadline is shorter
in the short run. Full handshakes, one after the other, then do not keep the good client waiting either.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from reactor.tlsoptions import HANDSHAKE_TIMEOUT
from tests.battery.forkserver import KINDS
from tests.battery.sizes import FULL, size
from tests.support.worlds import ROOT

COUNT = 2000
TIMEOUT = size(2.0, HANDSHAKE_TIMEOUT)
LATENCY = 0.1
LATE = 1.0
MEMORY = 40 << 10
DEADLINE = 300 if FULL else 110


@pytest.mark.timing
@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize("kind", size(("epoll",), tuple(KINDS)))
def test_aGoodClientIsServed(kind: str) -> None:
    command = [sys.executable, "-m", "tests.battery.handshakeflood", kind, str(COUNT), str(TIMEOUT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert {name: found[name] for name in ("idle", "evicting", "flooded", "handshake") if found[name] > LATENCY} == {}
    assert found["eviction"] <= TIMEOUT + LATE
    assert found["memory"] <= MEMORY
    assert found["code"] == 0
