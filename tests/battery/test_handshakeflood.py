"""Floods of TLS handshakes: half of the clients say nothing, half say half a ClientHello, and a good one is served.

With 2,000 of each (of both together, in the short run), a good client's answers take 100 ms at most, in 99 of 100
cases. Each of the others takes at most 40 KiB of memory, and is closed at most a second after the handshake's deadline.
The deadline is shorter in the short run. Then 500 full handshakes a second, or as many as the machine can, do not keep
the good client waiting either.
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

COUNT = size(2000, 4000)
RATE = 500  # full handshakes a second
SECONDS = size(1.0, 20.0)
REACHED = 0.1  # the least part of the rate, on a busy machine
TIMEOUT = size(2.0, HANDSHAKE_TIMEOUT)
LATENCY = 0.1
LATE = 1.0
MEMORY = 40 << 10
DEADLINE = 300 if FULL else 110


@pytest.mark.timing
@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize("kind", size(("epoll",), tuple(KINDS)))
def test_aGoodClientIsServed(kind: str) -> None:
    numbers = map(str, (COUNT, TIMEOUT, RATE, SECONDS))
    command = [sys.executable, "-m", "tests.battery.handshakeflood", kind, *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    print({name: round(value, 4) for name, value in found.items()})
    assert {name: found[name] for name in ("idle", "evicting", "flooded", "handshake") if found[name] > LATENCY} == {}
    assert found["eviction"] <= TIMEOUT + LATE
    assert found["memory"] <= MEMORY
    assert found["rate"] >= RATE * REACHED
    assert found["code"] == 0
