"""The results: samples, rows and cases, and their file."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENOUGH_TICKS = 50
# The unit of a cost of one unit of work: its name, and the factor for seconds (or bytes).
COST_UNITS = {
    "line": ("ns/line", 1e9),
    "byte": ("s/GiB", float(1 << 30)),
    "request": ("us/request", 1e6),
    "head": ("us/head", 1e6),
    "delivery": ("us/delivery", 1e6),
    "datagram": ("us/datagram", 1e6),
    "connection": ("us/connection", 1e6),
    "turn": ("us/turn", 1e6),
    "timer": ("us/timer", 1e6),
    "call": ("us/call", 1e6),
    "Deferred": ("us/Deferred", 1e6),
}


@dataclass(frozen=True)
class Sample:
    """One run: the units done, and the cost of one of them (seconds of CPU, or bytes).

    It also has the seconds on the wall, and the ticks of user and system time.
    """

    count: int
    cost: float
    wall: float
    ticks: tuple[int, int]


@dataclass
class Row:
    """One rival at one case: its samples in order, or the problem.

    For cases of growth `sizes` are the measured sizes, and `samples` belong to them in turn, again and again.
    """

    samples: list[Sample] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    problem: str = ""
    failed: bool = False

    @property
    def cost(self) -> float:
        """Return the median cost of a unit."""
        return statistics.median(sample.cost for sample in self.samples)

    @property
    def rate(self) -> float:
        """Return the median of units a second, on the wall."""
        return statistics.median(sample.count / sample.wall for sample in self.samples)

    @property
    def spread(self) -> float:
        """Return the spread of the costs: half of the distance from the least to the most, as a share of the median."""
        costs = [sample.cost for sample in self.samples]
        return (max(costs) - min(costs)) / 2 / self.cost if self.cost else 0.0

    @property
    def system(self) -> float | None:
        """Return the share of system time, or None if there were too few ticks."""
        user = sum(sample.ticks[0] for sample in self.samples)
        system = sum(sample.ticks[1] for sample in self.samples)
        return system / (user + system) if user + system >= ENOUGH_TICKS else None

    @property
    def exponent(self) -> float:
        """Return the slope of log(time) over log(size); of each size the median counts."""
        points = []
        for index, size in enumerate(self.sizes):
            cost = statistics.median(sample.cost for sample in self.samples[index :: len(self.sizes)])
            points.append((math.log(size), math.log(cost * size)))
        return statistics.linear_regression(*zip(*points, strict=True)).slope


@dataclass
class CaseResult:
    """One case: its title, the unit, how it was measured, and the row of each rival."""

    title: str
    unit: str
    how: str
    rows: dict[str, Row] = field(default_factory=dict)

    def measured(self) -> dict[str, Row]:
        """Return the rows with figures."""
        return {name: row for name, row in self.rows.items() if row.samples and not row.problem}

    def ratio(self, one: str, other: str) -> float | None:
        """Return the cost of `one` in units of the cost of `other`, or None if one was not measured.

        It is the median over the repetitions. In each of them both were measured one after the other.
        """
        rows = self.measured()
        if one not in rows or other not in rows:
            return None
        pairs = zip(rows[one].samples, rows[other].samples, strict=False)
        return statistics.median(mine.cost / its.cost for mine, its in pairs)


@dataclass
class Results:
    """A whole run."""

    facts: dict[str, str | None]
    begun: str
    quick: bool
    cases: dict[str, CaseResult] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file: a line of JSON for the run, and then one for each case."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines: list[dict[str, Any]] = [{"facts": self.facts, "begun": self.begun, "quick": self.quick}]
        lines += [lineOf(name, case) for name, case in self.cases.items()]
        path.write_text("".join(f"{json.dumps(line, separators=(',', ':'))}\n" for line in lines))


def lineOf(name: str, case: CaseResult) -> dict[str, Any]:
    """A case as JSON has it. A sample is a list in the order of Sample; what a row has not, it does not name."""
    rows = {}
    for rival, row in case.rows.items():
        entry = {"samples": [[one.count, one.cost, one.wall, *one.ticks] for one in row.samples]}
        rows[rival] = {key: value for key, value in ({**vars(row), **entry}).items() if value}
    return {"case": name, "title": case.title, "unit": case.unit, "how": case.how, "rows": rows}


def loadResults(path: Path) -> Results:
    """Read the file of `save`."""
    first, *lines = map(json.loads, path.read_text().splitlines())
    return Results(**first, cases={line.pop("case"): caseOf(line) for line in lines})


def caseOf(line: dict[str, Any]) -> CaseResult:
    rows = {}
    for rival, row in line.pop("rows").items():
        rows[rival] = Row([sampleOf(*each) for each in row.pop("samples", ())], **row)
    return CaseResult(**line, rows=rows)


def sampleOf(count: int, cost: float, wall: float, user: int, system: int) -> Sample:
    return Sample(count, cost, wall, (user, system))
