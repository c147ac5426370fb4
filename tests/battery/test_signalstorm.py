"""Storms of signals: no work is lost, no child is left behind, nothing crashes."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from tests.battery.checkedload import CheckedLoad
from tests.battery.forkserver import KINDS
from tests.battery.signalserver import CHILDREN
from tests.battery.signalserver import INTERRUPTED as TIMES
from tests.support.worlds import ROOT

pytestmark = pytest.mark.needs("strace")

# Calls that may wait, and are restarted by Python or by us. write() is left to the interpreter, which writes its
# messages so.
INTERRUPTED = ("accept4", "recvfrom", "sendto", "epoll_wait", "epoll_pwait", "poll", "read", "wait4")


def weather(kind: str, storm: str, connections: int = 20, tracer: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the server saw, and how many rounds of lines it answered until the storm was over."""
    with (
        contextlib.ExitStack() as stack,
        subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.battery.signalserver", kind, storm],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        ) as server,
    ):
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            if tracer:
                stack.enter_context(subprocess.Popen([*tracer, "-p", str(server.pid)]))
            with CheckedLoad(port, connections) as load:
                said = server.stdout.readline()
                rounds = load.rounds
            output, errors = server.communicate(timeout=30)
        finally:
            server.kill()
    assert errors == ""
    assert said == "finished\n"
    assert server.returncode == 0, "the server has not ended in order"
    seen: dict[str, Any] = json.loads(output)
    assert seen["lost"] == [], "connections were lost"
    assert seen["zombies"] == []
    assert seen["ticks"] > 0
    assert seen["handlersKept"], "the handlers of the program are not there any more"
    return {**seen, "rounds": rounds}


@pytest.mark.parametrize("storm", ["everySignal", "handlersOfPython"])
@pytest.mark.parametrize("kind", KINDS)
def test_everySignal(kind: str, storm: str) -> None:
    """100,000 signals of five kinds. (The kernel keeps one of each kind that is not delivered yet.)"""
    seen = weather(kind, storm)
    assert min(seen["handled"].values()) > 0, f"a signal was never delivered: {seen['handled']}"
    assert seen["rounds"] > 0, "no line was answered during the storm"


@pytest.mark.parametrize("kind", KINDS)
def test_fullWakeUp(kind: str) -> None:
    seen = weather(kind, "fullWakeUp")
    assert seen["handled"]["SIGUSR1"] > 0
    assert seen["rounds"] > 0, "no line was answered during the storm"


@pytest.mark.parametrize("kind", KINDS)
def test_everyCallIsInterrupted(kind: str, tmp_path: pathlib.Path) -> None:
    """EINTR for every second system call of each kind that may wait, as if a signal had come at that moment."""
    log = tmp_path / "calls"
    faults = ["-e", f"trace={','.join(INTERRUPTED)}"]
    for call in INTERRUPTED:
        faults += ["-e", f"inject={call}:error=EINTR:when=1+2"]
    seen = weather(kind, "interruptions", tracer=["strace", "-qq", "-o", str(log), *faults])
    assert seen["rounds"] > 0, "no line was answered meanwhile"
    assert seen["handled"]["SIGUSR1"] == TIMES, "calls from threads were lost"
    everything = ("answered question", "ready", "exited", "ended with 7")
    expected = [(what, number) for number in range(TIMES) for what in everything]
    assert sorted(map(tuple, seen["told"])) == sorted(expected)
    injected = collections.Counter(line.partition("(")[0] for line in log.read_text().splitlines() if "EINTR" in line)
    for call in ("accept4", "recvfrom", "sendto", "read", "wait4"):
        assert injected[call] > 0, f"{call} was never interrupted"


@pytest.mark.parametrize("kind", KINDS)
def test_childrenThatEndAtOnce(kind: str) -> None:
    seen = weather(kind, "children")
    expected = [(what, number) for number in range(CHILDREN) for what in ("ready", "exited", "ended with 7")]
    told = collections.Counter((what, number) for what, number in seen["told"])
    assert told == dict.fromkeys(expected, 1), "the end of a child was not told, or more than once"
    assert seen["rounds"] > 0, "no line was answered meanwhile"
