"""IPv6 addresses with a scope, over real sockets in a network namespace: each one that comes out leads there again."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from tests.support.worlds import DEADLINE, LOOPS

pytestmark = pytest.mark.needs("link-local")

LINK = "fe80::1%lo"
ROOT = pathlib.Path(__file__).resolve().parents[3]
SETUP = "ip link set lo up && ip -6 addr add fe80::1/64 dev lo nodad && exec "


def inNamespace(command: str) -> list[str]:
    """A command in a network namespace of its own, as root of that."""
    return ["unshare", "--map-root-user", "--net", "sh", "-c", command]


def found(side: str, *scenarios: str) -> Any:
    command = SETUP + " ".join([sys.executable, "-m", "tests.support.linklocal", side, *scenarios])
    done = subprocess.run(
        inNamespace(command), capture_output=True, text=True, check=False, cwd=ROOT, timeout=2 * DEADLINE
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("side", [side.name for side in LOOPS])
def test_scopes(side: str) -> None:
    everything = found(side, "tcp", "anyAddress", "connecting", "adopted", "udp", "groups")
    assert everything == {
        "tcp": [[LINK, 1]] * 5,
        "anyAddress": [LINK, LINK],
        "connecting": dict.fromkeys(everything["connecting"], LINK),
        "adopted": LINK,
        "udp": [LINK, LINK, [["answer", LINK]] * 3 + [["question", LINK]] * 3],
        "groups": [None, None, None, None, "MulticastJoinError"],
    }


def test_asTwistedDoes() -> None:
    """The addresses of TCP; of UDP, Twisted's hosts have no scope (see tests/parity/test_differences.py)."""
    assert found("twisted", "tcp", "anyAddress") == {"tcp": [[LINK, 1]] * 5, "anyAddress": [LINK, LINK]}
