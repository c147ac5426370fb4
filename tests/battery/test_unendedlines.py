"""Thousands of clients whose lines do not end, within a bound of the system on the server's memory.

Some send for ever, and are closed. Others stop one byte short of the longest line, and stay: each holds its line and
little more. Good clients are served meanwhile. A cgroup of the kernel kills the server above 512 MiB. Where none can be
made, the peak of its memory is looked at alone.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from reactor import LineReceiver
from tests.battery.memorycap import memoryCap
from tests.battery.sizes import size
from tests.battery.test_limitedserver import P99, Limited, p99, polite
from tests.support.worlds import ROOT

COUNT = size(1000, 10_000)
GOOD = size(20, 50)
BOUND = 512 << 20
EACH = LineReceiver.MAX_LENGTH + 4096  # bytes
BACK = 0.1  # of the memory before
SLACK = 4 << 20  # bytes: of the good clients, and of holes that the allocator keeps


@contextlib.contextmanager
def attacking(server: Limited, kind: str, length: int) -> Iterator[None]:
    """The clients, from the moment at which all of them have sent what they send."""
    command = [sys.executable, "-m", "tests.battery.unendedlines", kind, str(COUNT), str(length), str(server.port)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            server.sent += int(process.stdout.readline())
            yield
        finally:
            process.kill()


def peak(server: Limited) -> int:
    """The most memory that it has had since the last call, in bytes."""
    folder = pathlib.Path(f"/proc/{server.process.pid}")
    most = re.findall(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())[0]
    (folder / "clear_refs").write_text("5")
    return int(most) << 10


@pytest.mark.timing
@pytest.mark.timeout(300)
def test_theMemoryIsBounded(tmp_path: pathlib.Path) -> None:
    server = Limited(tmp_path / "log", limits={})
    with contextlib.ExitStack() as stack:
        cap = stack.enter_context(memoryCap(server.process.pid, BOUND))
        stack.callback(server.close)
        with polite(server, GOOD) as took:
            before = server.stats()["loop"]["rssBytes"]
            peak(server)
            with attacking(server, "endless", 0):
                server.until(lambda counters: counters["overlong"] == COUNT)
                server.until(lambda counters: counters["open"] == GOOD)
            endless = peak(server) - before
            server.until(lambda counters: counters["loop"]["rssBytes"] <= before * (1 + BACK) + SLACK)
            with attacking(server, "short", LineReceiver.MAX_LENGTH):
                server.until(lambda counters: counters["pendingBytes"] >= COUNT * LineReceiver.MAX_LENGTH)
                assert server.stats()["open"] == COUNT + GOOD
            stopped = peak(server) - before
            server.until(lambda counters: counters["open"] == GOOD)
            server.until(lambda counters: counters["loop"]["rssBytes"] <= before * (1 + BACK) + SLACK)
            last = server.stats()["loop"]["rssBytes"] - before
        mib = [f"{each / (1 << 20):.1f}" for each in (before, endless, stopped, last)]
        print(f"MiB before, and more at the peak, at the second peak, and after: {mib}; p99 {p99(took):.4f}")
        print("no cgroup can be made here" if cap is None else f"peak {cap.peak()}, {cap.failures()} failures")
        assert max(endless, stopped) <= COUNT * EACH + SLACK
        assert p99(took) <= P99
        assert server.process.poll() is None
