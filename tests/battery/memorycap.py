"""A bound on the memory of a process: a cgroup of the system's memory controller, of either version."""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

V1 = pathlib.Path("/sys/fs/cgroup/memory")
V2 = pathlib.Path("/sys/fs/cgroup")


class Cap:
    """The cgroup, with one process in it."""

    def __init__(self, folder: pathlib.Path, isFirst: bool) -> None:
        self._folder = folder
        self._isFirst = isFirst

    def peak(self) -> int | None:
        """Return the most bytes that it has held, with the page cache; None where the system does not tell."""
        file = self._folder / ("memory.max_usage_in_bytes" if self._isFirst else "memory.peak")
        return int(file.read_text()) if file.exists() else None

    def failures(self) -> int:
        """Return how often it has met the bound."""
        if self._isFirst:
            return int((self._folder / "memory.failcnt").read_text())
        counts = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
        return int(counts["max"])


@contextlib.contextmanager
def memoryCap(pid: int, size: int) -> Iterator[Cap | None]:
    """Keep process `pid` within `size` bytes: beyond them, the system kills it. None if this machine has no such thing.

    The caller ends the process before the block ends, or the cgroup stays.
    """
    isFirst = (V1 / "memory.limit_in_bytes").exists() or (V1 / "cgroup.procs").exists()
    folder = (V1 if isFirst else V2) / f"reactor-battery-{os.getpid()}"
    bound = "memory.limit_in_bytes" if isFirst else "memory.max"
    try:
        folder.mkdir()
    except OSError:
        yield None
        return
    try:
        try:
            (folder / bound).write_text(str(size))
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            yield None
        else:
            yield Cap(folder, isFirst)
    finally:
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            try:
                folder.rmdir()
                break
            except OSError:  # the process is not quite gone
                time.sleep(0.02)
