"""Processes to measure: each on a core, with a clock that another process can read."""

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
    """Processes started inside the block run on this core alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Used:
    """The CPU use of a process, in all or between two moments: seconds, and ticks in user and system mode."""

    cpu: float
    ticks: tuple[int, int]

    def __sub__(self, before: Used) -> Used:
        ticks = (self.ticks[0] - before.ticks[0], self.ticks[1] - before.ticks[1])
        return Used(self.cpu - before.cpu, ticks)


def usedBy(pid: int) -> Used:
    """Return the CPU use of process `pid` and its threads.

    The seconds come from the process's CPU clock, in nanoseconds. /proc counts ticks of 10 ms, which serve only to tell
    user from system time. While a process runs, its clock stands still until the next tick. So this waits until it is
    idle.
    """
    end = time.monotonic() + SETTLING
    while (fields := Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split())[0] == "R":
        if time.monotonic() > end:
            break
        time.sleep(0.0002)
    # Linux makes the id of another process's clock from its pid. 2 stands for the scheduler's count.
    return Used(time.clock_gettime(~pid << 3 | 2), (int(fields[11]), int(fields[12])))


def memoryOf(pid: int) -> int:
    """Return the bytes of memory that are the process's own (RssAnon)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise LookupError("no RssAnon")


class Port:
    """A free port of 127.0.0.1, for TCP and UDP, which no other run takes before `close`.

    The system gives clients ports from a range of its own. A client may connect to a port in it before the server
    listens. The system may then give it that very port, and it is connected to itself. So `number` lies below that
    range.
    """

    def __init__(self) -> None:
        below = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        while True:
            self.number = random.randrange(max(below // 2, 1024), below)
            # A name that one process at a time can have. It is free again when its socket is closed.
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
        """Release the port."""
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
