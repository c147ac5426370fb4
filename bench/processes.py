"""Processes to be measured: each on a core, with a clock that another process can read."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
CLIENT_CORE = CORES[-1]
SETTLING = 1.0


@contextmanager
def onCore(core: int) -> Iterator[None]:
    """What is started inside runs on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Used:
    """What a process has used so far, or between two moments: seconds, and ticks in user and in system mode."""

    cpu: float
    ticks: tuple[int, int]

    def __sub__(self, before: Used) -> Used:
        ticks = (self.ticks[0] - before.ticks[0], self.ticks[1] - before.ticks[1])
        return Used(self.cpu - before.cpu, ticks)


def usedBy(pid: int) -> Used:
    """What process `pid` and its threads have used.

    The seconds are those of the process's CPU clock, in nanoseconds; /proc counts ticks of 10 ms, which only serve to
    tell user from system time. While a process runs, its clock stands still until the next tick, so this waits until it
    has nothing to do.
    """
    end = time.monotonic() + SETTLING
    while (fields := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())[0] == "R":
        if time.monotonic() > end:
            break
        time.sleep(0.0002)
    # Linux makes the id of another process's clock from its pid; 2 stands for what the scheduler has counted.
    return Used(time.clock_gettime(~pid << 3 | 2), (int(fields[11]), int(fields[12])))


def memoryOf(pid: int) -> int:
    """Bytes of memory that are this process's own (RssAnon)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no RssAnon")


class Port:
    """A port of 127.0.0.1 that nobody uses, for TCP nor for UDP, and that no other run takes before `close`.

    The system gives clients ports from a range of its own. A client that asks for a port in it at which nobody listens
    yet may be given that very port, and be connected to itself; so `number` lies below that range.
    """

    def __init__(self) -> None:
        below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        while True:
            self.number = random.randrange(max(below // 2, 1024), below)
            # A name that one process at a time can have; it goes when its socket is closed.
            self._claim = socket.socket(socket.AF_UNIX)
            try:
                self._claim.bind(f"\0linereactor-bench-{self.number}")
                with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
                    stream.bind(("127.0.0.1", self.number))
                    datagrams.bind(("127.0.0.1", self.number))
                return
            except OSError:
                self._claim.close()

    def close(self) -> None:
        """Others may have it."""
        self._claim.close()


def waitUntilIdle(pid: int, quiet: float = 0.05, deadline: float = 60.0) -> None:
    """Return when the process has used no more than a hundredth of the time for `quiet` seconds."""
    end = time.monotonic() + deadline
    clock = ~pid << 3 | 2
    before = time.clock_gettime(clock)
    while True:
        time.sleep(quiet)
        now = time.clock_gettime(clock)
        if now - before <= quiet / 100 or time.monotonic() > end:
            return
        before = now
