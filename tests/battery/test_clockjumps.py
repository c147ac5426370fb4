"""Clocks that jump, and a process that stands still: no call comes early, none is made up for, and nobody spins."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.battery.clockwork import DELAYED, INTERVALS
from tests.battery.forkserver import KINDS
from tests.support.worlds import ROOT

pytestmark = pytest.mark.needs("faketime", "namespaces")

FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
RUN = 3.0  # seconds
STOPPED = 10.0
LATE = 1.0  # seconds by which a busy machine may be late, far from an hour
ROUNDING = 1e-6  # seconds by which two ways to add up floats may differ


def start(kind: str, seconds: float, *prefix: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "tests.battery.clockwork", kind, str(seconds)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environment},
        text=True,
    )


def finish(program: subprocess.Popen[str]) -> dict[str, Any]:
    try:
        output, _ = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 0
    seen: dict[str, Any] = json.loads(output.splitlines()[-1])
    return seen


def checkDelayed(seen: dict[str, Any], late: float = LATE) -> None:
    assert len(seen["delayed"]) == DELAYED, "delayed calls are missing"
    early = [due - came for due, came in seen["delayed"] if came < due]
    assert early == [], "delayed calls came early, by so many seconds"
    assert max(came - due for due, came in seen["delayed"]) <= late
    assert [due for due, _ in seen["delayed"]] == sorted(due for due, _ in seen["delayed"])


def checkLooping(seen: dict[str, Any]) -> None:
    """Each call of a LoopingCall belongs to an interval of its own: from one to the next but one it takes longer."""
    for interval, calls in seen["looping"]:
        assert len(calls) > RUN / interval / 10, f"hardly a call, every {interval} s"
        pairs = [later - before for before, later in zip(calls, calls[2:], strict=False)]
        assert min(pairs) > interval - ROUNDING, f"calls were made up for, every {interval} s"
    total = sum(count for _, count in seen["counted"])
    assert total * INTERVALS[0] == pytest.approx(seen["ended"] - seen["started"], abs=0.1)


def checkIdle(seen: dict[str, Any]) -> None:
    """A loop that spins takes all of the processor that it gets; two thousand calls a second take some of it."""
    assert seen["cpu"] <= RUN * 0.4, f"{seen['cpu']} s of processor time in {RUN} s"


@pytest.mark.parametrize("kind", KINDS)
def test_wallClockJumps(kind: str, tmp_path: pathlib.Path) -> None:
    """An hour back, a day forth, and back again, seven times a second, as anybody with the right to may set it."""
    (library,) = pathlib.Path("/").glob(FAKETIME[1:])
    assert shutil.which("faketime")
    path = tmp_path / "now"
    path.write_text("+0")
    faking = {"FAKETIME_TIMESTAMP_FILE": str(path), "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    seen = finish(start(kind, RUN, LD_PRELOAD=str(library), **faking))
    assert min(seen["jumps"]) < -80_000, "the wall clock has not jumped"
    assert max(seen["jumps"]) > 80_000, "the wall clock has not jumped"
    checkDelayed(seen)
    checkLooping(seen)
    checkIdle(seen)


@pytest.mark.parametrize("kind", KINDS)
def test_monotonicClockElsewhere(kind: str) -> None:
    """In a time namespace, as in a container that has been moved from another machine."""
    offset = 100_000
    seen = finish(start(kind, RUN, "unshare", "--time", "--monotonic", str(offset), "--fork", "--kill-child"))
    assert seen["ended"] - time.monotonic() > offset - 100, "the monotonic clock is the same"
    checkDelayed(seen)
    checkLooping(seen)
    checkIdle(seen)


def test_stoppedFor10Seconds() -> None:
    """SIGSTOP, and SIGCONT after ten seconds, on every reactor at once: one call of each LoopingCall for that time."""
    programs = {kind: start(kind, STOPPED + RUN) for kind in KINDS}
    try:
        for program in programs.values():
            assert program.stdout is not None
            assert program.stdout.readline() == "ready\n"
        time.sleep(0.5)
        for program in programs.values():
            program.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED)
        for program in programs.values():
            program.send_signal(signal.SIGCONT)
        for seen in map(finish, programs.values()):
            checkDelayed(seen, late=STOPPED + LATE)
            checkLooping(seen)
            checkIdle(seen)
            for interval, calls in seen["looping"]:
                gaps = [later - before for before, later in itertools.pairwise(calls)]
                resumed = calls[gaps.index(max(gaps)) + 1]
                assert max(gaps) > STOPPED - 1, "it was not stopped"
                soon = [when for when in calls if resumed <= when < resumed + 10 * interval]
                assert len(soon) <= 11, f"{len(soon)} calls within ten intervals after the stop, {interval} s each"
            skipped = max(count for _, count in seen["counted"])
            assert skipped == pytest.approx(STOPPED / INTERVALS[0], rel=0.1), "withCount did not hear of the intervals"
    finally:
        for program in programs.values():
            program.kill()
            program.communicate()
