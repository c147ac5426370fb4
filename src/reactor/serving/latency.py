"""Counting latencies, and a bar that shows progress."""

from __future__ import annotations

import os
from typing import TextIO

from reactor.transports.sharing import SharedDescriptor

BAR_WIDTH = 40


class Latencies:
    """Counts of latencies, to the microsecond. The memory depends on the number of different ones."""

    def __init__(self) -> None:
        self.count = 0
        self._times: dict[int, int] = {}

    def add(self, seconds: float, count: int) -> None:
        """Count a latency of `seconds`, `count` times."""
        key = round(seconds * 1_000_000)
        self.count += count
        self._times[key] = self._times.get(key, 0) + count

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` per cent of all do not exceed; 0 without any."""
        wanted = self.count * share / 100
        passed = 0
        for key in sorted(self._times):
            passed += self._times[key]
            if passed >= wanted:
                return key / 1_000_000
        return 0.0


class ProgressBar:
    """One line on a terminal that is written again and again; silent if `stream` is no terminal.

    A terminal that takes nothing (Ctrl-S) misses some of them, and does not block the program.
    """

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._total = total
        self._shows = stream.isatty()
        self._descriptor = _descriptorOf(stream) if self._shows else None

    def show(self, done: int, text: str) -> None:
        """Draw the bar for `done` of the total, with `text` behind it."""
        if self._shows:
            share = done / self._total
            bar = ("#" * int(share * BAR_WIDTH)).ljust(BAR_WIDTH, ".")
            self._write(f"\r[{bar}] {share:4.0%} {text}\033[K")

    def clear(self) -> None:
        """Remove the bar."""
        if self._shows:
            self._write("\r\033[K")

    def _write(self, text: str) -> None:
        if self._descriptor is not None:
            self._descriptor.write(text.encode())
        else:
            self._stream.write(text)
            self._stream.flush()


def _descriptorOf(stream: TextIO) -> SharedDescriptor | None:
    """Return the descriptor of a terminal; None if `stream` only looks like one."""
    try:
        return SharedDescriptor(stream.fileno(), os.O_WRONLY)
    except (OSError, ValueError, AttributeError):
        return None
