"""Processes to measure: each on a core, with a clock that another process can read."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE = CORES[0]
CLIENT_CORE = CORES[-1]
SETTLING = 1.0


@contextmanager
def onCores(cores: Iterable[int]) -> Iterator[None]:
    """Processes started inside the block run on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
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


def familyOf(pid: int) -> list[int]:
    """Return `pid`, its children and theirs: a server may leave its work to other processes."""
    found = [pid]
    for each in found:
        with suppress(OSError):  # it has ended
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def endFamily(pid: int) -> None:
    """Kill a process, its children and theirs."""
    for each in familyOf(pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def fieldsOf(stat: Path) -> list[str]:
    """Return the fields of a file "stat" of /proc, from the state on."""
    return stat.read_text().rpartition(")")[2].split()


def isRunning(pid: int) -> bool:
    """Whether a thread of the process runs."""
    return any(fieldsOf(stat)[0] == "R" for stat in Path(f"/proc/{pid}/task").glob("*/stat"))


def clockOf(pid: int) -> float:
    """Return the seconds of the process's CPU clock."""
    # Linux makes the id of another process's clock from its pid. 2 stands for the scheduler's count.
    return time.clock_gettime(~pid << 3 | 2)


def usedBy(pid: int) -> Used:
    """Return the CPU use of process `pid` and its children, with all their threads.

    The seconds come from the processes' CPU clocks, in nanoseconds. /proc counts ticks of 10 ms, which serve only to
    tell user from system time. While a process runs, its clock stands still until the next tick. So this waits until it
    is idle.
    """
    end = time.monotonic() + SETTLING
    family = familyOf(pid)
    while any(map(isRunning, family)):
        if time.monotonic() > end:
            break
        time.sleep(0.0002)
    ticks = [fieldsOf(Path(f"/proc/{each}/stat"))[11:13] for each in family]
    user, system = (sum(map(int, column)) for column in zip(*ticks, strict=True))
    return Used(sum(map(clockOf, family)), (user, system))


def memoryOf(pid: int) -> int:
    """Return the bytes of memory that are the process's own (RssAnon), with its children's."""
    found = 0
    for each in familyOf(pid):
        lines = Path(f"/proc/{each}/status").read_text().splitlines()
        found += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))
    return found


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
    family = familyOf(pid)
    before = sum(map(clockOf, family))
    while True:
        time.sleep(quiet)
        now = sum(map(clockOf, family))
        if now - before <= quiet / 100 or time.monotonic() > end:
            return
        before = now
