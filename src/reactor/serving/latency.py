"""Counting latencies, and a bar that shows progress.

Latencies are kept in cells, as in an HdrHistogram: to the microsecond below 2 ms, and then 1,024 cells for each
doubling of the time. So the memory is bounded, whatever comes. A cell also has the sum of its latencies. So it stands
for their mean, within a thousandth of each.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from reactor.transports.sharing import SharedDescriptor

BAR_WIDTH = 40
ROW_WIDTH = 30
CELLS = 2048  # of the first microseconds, one each; a doubling of the time has half of them
LONGEST = 3600 * 1_000_000  # microseconds; a longer latency counts in the cell of this one
PERCENTILES = (50.0, 90.0, 99.0, 99.9)


def cellOf(microseconds: int) -> int:
    """Return the number of the cell that counts a latency."""
    microseconds = min(microseconds, LONGEST)
    shift = max(microseconds.bit_length() - CELLS.bit_length() + 1, 0)
    return shift * (CELLS // 2) + (microseconds >> shift)


class Latencies:
    """Counts of latencies, with their number `count` and the longest one, `max`, in seconds."""

    def __init__(self) -> None:
        self.count = 0
        self.max = 0.0
        self._cells: dict[int, list[int]] = {}  # the number of latencies, and their sum in microseconds

    def add(self, seconds: float, count: int = 1) -> None:
        """Count a latency of `seconds`, `count` times."""
        microseconds = max(round(seconds * 1_000_000), 0)
        if seconds > self.max:
            self.max = seconds
        self._put(cellOf(microseconds), count, microseconds * count)

    def _put(self, number: int, count: int, total: int) -> None:
        self.count += count
        cell = self._cells.get(number)
        if cell is None:
            self._cells[number] = [count, total]
        else:
            cell[0] += count
            cell[1] += total

    def cells(self) -> list[tuple[int, int, int]]:
        """Return each cell's number, count and sum, for addCells of another process."""
        return [(number, count, total) for number, (count, total) in self._cells.items()]

    def addCells(self, cells: Iterable[tuple[int, int, int]], longest: float) -> None:
        """Count the latencies of another process, whose `max` is `longest`."""
        self.max = max(self.max, longest)
        for number, count, total in cells:
            self._put(number, count, total)

    def steps(self) -> list[tuple[float, int]]:
        """Return the latency of each cell, in seconds, and the number of latencies up to it, in order."""
        found, passed = [], 0
        for number in sorted(self._cells):
            count, total = self._cells[number]
            passed += count
            found.append((total / count / 1_000_000, passed))
        return found

    def percentile(self, share: float) -> float:
        """Return the latency, in seconds, that `share` per cent of all do not exceed; 0 without any."""
        wanted = self.count * share / 100
        return next((seconds for seconds, passed in self.steps() if passed >= wanted), 0.0)

    def told(self) -> str:
        """Return the percentiles and the longest latency, in one line."""
        shares = [f"p{share:g} {self.percentile(share) * 1e3:.3f} ms" for share in PERCENTILES]
        return f"latency {', '.join(shares)}, max {self.max * 1e3:.3f} ms"

    def histogram(self) -> str:
        """Return a row for each of 1, 2, 5, 10 ... microseconds, with the latencies up to it and beyond the row before.

        Rows without any at both ends are left out.
        """
        rows, passed, last = list[tuple[float, int]](), 0, 0
        steps = self.steps()
        for edge in (digit * 10**power / 1_000_000 for power in range(11) for digit in (1, 2, 5)):
            while passed < len(steps) and steps[passed][0] <= edge:
                passed += 1
            upTo = steps[passed - 1][1] if passed else 0
            if upTo:
                rows.append((edge, upTo - last))
            last = upTo
            if last == self.count:
                break
        most = max((count for _, count in rows), default=1)
        texts = []
        for edge, count in rows:
            bar = "#" * round(count / most * ROW_WIDTH)
            texts.append(f"{edge * 1e3:>10g} ms {count:>10} {count / self.count:>6.1%} {bar}".rstrip())
        return "\n".join(texts)


class ProgressBar:
    """One line on a terminal that is written again and again; silent if `stream` is no terminal.

    A terminal that takes nothing (Ctrl-S) misses some of them, and does not block the program.
    """

    def __init__(self, stream: TextIO, total: float) -> None:
        self._stream = stream
        self._total = total
        self._shows = stream.isatty()
        self._descriptor = _descriptorOf(stream) if self._shows else None

    def show(self, done: float, text: str) -> None:
        """Draw the bar for `done` of the total, with `text` behind it."""
        if self._shows:
            share = min(done / self._total, 1.0)
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
