"""A million clients with secret tokens, while descriptors are used again at once: no answer goes to another client.

Clients end by a FIN, a reset, an abort before the answers, a broken TLS handshake, or before the connection stands. The
server closes connections that are ready in the same batch of events, and opens pipes in their place. It connects to
itself and cancels that at any time. Threads of it open and close pipes and files meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.battery.forkserver import KINDS
from tests.battery.sizes import FULL, size
from tests.support.worlds import ROOT

TOTAL = {"epoll": size(4000, 1_000_000), "asyncio": 200_000, "uvloop": size(1000, 200_000)}
DEADLINE = 3600 if FULL else 110


@pytest.mark.needs("namespaces", "ip")
@pytest.mark.timeout(DEADLINE + 10)
@pytest.mark.parametrize("kind", size(("epoll", "uvloop"), tuple(KINDS)))
def test_answersGoToTheirClients(kind: str) -> None:
    program = [sys.executable, "-m", "tests.battery.crosstalk", kind, str(TOTAL[kind])]
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    clients, server = found["clients"], found["server"]
    assert clients["wrong"] == 0
    assert clients["right"] > clients["asked"] * 0.3  # the others were closed from the server, on purpose
    assert server["events after the end"] == server["ends told twice"] == 0
    assert server["booms"] > TOTAL[kind] / 50
    assert server["churned"] > TOTAL[kind] * 5
    assert found["code"] == 0
