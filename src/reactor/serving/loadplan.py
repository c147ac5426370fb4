"""The plan of a load, from the command's options."""

from __future__ import annotations

import argparse
import math
from typing import NamedTuple

from reactor.serving.errors import USAGE, CommandError
from reactor.serving.loadtarget import AnyTarget

CONNECTIONS = 50
PIPELINE = 16
LINES = 100_000


class LoadPlan(NamedTuple):
    """One process's part of a load: part number `part` of `parts`.

    `connections`, `lines` (infinite: until `duration` is over) and `rate` (None: a closed load) are those of the whole.
    """

    target: AnyTarget
    connections: int
    pipeline: int
    lines: float
    length: int
    rate: float | None = None
    duration: float | None = None
    part: int = 0
    parts: int = 1
    ca: str | None = None
    insecure: bool = False

    @property
    def ownConnections(self) -> int:
        """The connections of this part."""
        return share(self.connections, self.part, self.parts)

    @property
    def ownLines(self) -> float:
        """The lines of this part, each `parts`th of the whole."""
        return self.lines if self.lines == math.inf else share(int(self.lines), self.part, self.parts)

    def dueAfter(self, number: int) -> float:
        """Return the time from the beginning at which line `number` of this part is due, in seconds."""
        assert self.rate is not None
        return (number * self.parts + self.part) / self.rate

    def dueWithin(self, seconds: float) -> int:
        """Return the number of this part's lines that are due up to `seconds` after the beginning."""
        assert self.rate is not None
        return int(min(max((seconds * self.rate - self.part) // self.parts + 1, 0), self.ownLines))

    def told(self, received: int) -> str:
        """Return the first line of the figures."""
        how = f"{self.pipeline} deep" if self.rate is None else f"{self.rate:g} lines/s asked for"
        several = f", {self.parts} processes" if self.parts > 1 else ""
        return f"{received} lines of {self.length} bytes, {self.connections} connections, {how}{several}"


def share(whole: int, part: int, parts: int) -> int:
    """Return the share of part number `part`; the first ones take the remainder of the division."""
    each, rest = divmod(whole, parts)
    return each + (part < rest)


def planOf(options: argparse.Namespace) -> LoadPlan:
    """Return the plan of the command's options. CommandError for options that exclude each other."""
    if options.rate is not None and options.pipeline is not None:
        raise CommandError("--rate sends lines at their times, however many are in flight: leave out --pipeline", USAGE)
    lines: float = options.lines or (LINES if options.duration is None else math.inf)
    if options.rate is not None and options.duration is not None:
        lines = min(lines, max(math.ceil(options.duration * options.rate), 1))
    connections = int(min(options.connections, lines))
    part, parts = options.part or (0, min(options.processes, connections))
    return LoadPlan(
        options.target,
        connections,
        options.pipeline or PIPELINE,
        lines,
        options.line_length,
        options.rate,
        options.duration,
        part,
        parts,
        options.ca,
        options.insecure,
    )
