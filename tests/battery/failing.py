"""Lets calls of the C library fail, by failing.c: compiled here, loaded into a child process before all else."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.support.worlds import ROOT

SOURCE = pathlib.Path(__file__).with_name("failing.c")
OF_LIBUV = "libuv's "
WHILE = 0.05  # seconds, what a fault lasts that lasts for a time
FOR_A_TIME = 1 << 40


def compiled(directory: pathlib.Path) -> pathlib.Path:
    """The shared object, made by the machine's C compiler, which has made the line core as well."""
    target = directory / "failing.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(target), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return target


def environment(library: pathlib.Path) -> dict[str, str]:
    """For a child whose calls are to fail."""
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)}


def start(library: pathlib.Path, *arguments: str) -> subprocess.Popen[str]:
    """A Python program whose calls are to fail."""
    command = [sys.executable, *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(library)
    )


class Fault(NamedTuple):
    """`call` fails with `error`, an errno, `count` times, after `skip` that succeed."""

    call: str
    error: int
    skip: int = 0
    count: int = 1  # type: ignore[assignment]


class Faults:
    """In the child: what is to fail. Calls of threads that are exempt are not counted, and do not fail."""

    def __init__(self) -> None:
        self._library = library = ctypes.CDLL(None)
        library.failing_name.restype = ctypes.c_char_p
        library.failing_hits.restype = library.failing_failed.restype = ctypes.c_long
        library.failing_arm.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long, ctypes.c_int]
        plain = [library.failing_name(number).decode() for number in range(library.failing_calls())]
        self._numbers = {name: number for number, name in enumerate([*plain, *(OF_LIBUV + name for name in plain)])}
        self._next: list[Fault] = []
        self._due = threading.Semaphore(0)
        self._begun = self._ends = 0.0
        self.lasted = 0.0  # seconds from the last arm() to the first disarm() after it
        threading.Thread(target=self._end, daemon=True).start()

    def prepare(self, *faults: Fault) -> None:
        """The next arm() is for these."""
        self.disarm()
        self._next = list(faults)

    def arm(self) -> None:
        """From now on calls fail, and are counted."""
        for number, fault in enumerate(self._next):
            self._library.failing_arm(number, self._numbers[fault.call], fault.skip, fault.count, fault.error)
        self._begun = time.monotonic()
        self._library.failing_count()
        if any(fault.count == FOR_A_TIME for fault in self._next):
            self._ends = time.monotonic() + WHILE
            self._due.release()

    def disarm(self) -> None:
        """Calls no longer fail, and nothing is counted."""
        self._library.failing_disarm()
        begun, self._begun = self._begun, 0.0
        if begun:
            self.lasted = time.monotonic() - begun

    def _end(self) -> None:
        self._library.failing_exempt(1)
        while self._due.acquire():
            time.sleep(max(0.0, self._ends - time.monotonic()))
            self.disarm()

    def failed(self, which: int = 0) -> int:
        """How often the fault has been met."""
        return int(self._library.failing_failed(which))

    def hits(self) -> dict[str, int]:
        """How often each call was made between the last arm() and disarm()."""
        found = {name: int(self._library.failing_hits(number)) for name, number in self._numbers.items()}
        return {name: count for name, count in found.items() if count}

    @contextlib.contextmanager
    def exempt(self) -> Iterator[None]:
        """For the block, nothing that this thread calls is counted, or fails."""
        before = self._library.failing_exempt(1)
        try:
            yield
        finally:
            self._library.failing_exempt(before)
