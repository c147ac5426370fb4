"""Runs cases: starts all rivals of a case, and measures them in turn, A B C A B C.

So other work of the machine affects all of them alike. Each rival gets as much work as fills the time of the case.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench.cases import Case
from bench.results import CaseResult, Row
from bench.rivals import RIVALS, missing
from bench.subjects import SUBJECTS, Failed, Workshop
from bench.work.task import WrongAnswer

FIRST = 1000
LEAST_SHARE = 8  # a run that took less than this part of its time is too short to judge by
MOST_GROWTH = 50
LONGEST = 1.5  # seconds that a run of a case of growth may take; larger sizes are left out


@dataclass(frozen=True)
class Pace:
    """The pace of a run: the share of each run's time, of a fixed count, and the most repetitions."""

    share: float = 1.0
    countShare: float = 1.0
    repetitions: int = 99


class Progress:
    """One line on a terminal; nothing elsewhere."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.where = ""

    def show(self, what: str) -> None:
        if sys.stderr.isatty():
            minutes, seconds = divmod(int(time.monotonic() - self.begun), 60)
            print(f"\r\x1b[K{minutes}:{seconds:02} {self.where} {what}"[:120], end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class CaseRun:
    """One case, with its rivals."""

    def __init__(self, case: Case, names: list[str], workshop: Workshop, pace: Pace, progress: Progress) -> None:
        self.case = case
        self.pace = pace
        self.progress = progress
        self.workshop = workshop
        self.result = CaseResult(case.title, case.unit, case.how, {name: Row() for name in names})
        self.subjects: dict[str, Any] = {}
        self.counts: dict[str, int] = {}

    def run(self) -> CaseResult:
        """Calibrate, measure, and return the result."""
        try:
            self.start()
            self.each("warms up", self.calibrate)
            for number in range(min(self.case.repetitions, self.pace.repetitions)):
                self.each(f"repetition {number + 1}", self.sample)
            self.each("is checked", lambda name, subject: subject.verify())
        finally:
            for subject in self.subjects.values():
                subject.close()
            self.progress.clear()
        return self.result

    def start(self) -> None:
        tls = self.case.job.startswith("tls-")
        for name, row in self.result.rows.items():
            absent = missing(RIVALS[name], tls)
            if absent:
                row.problem = f"not installed: {absent}"
            else:
                self.subjects[name] = SUBJECTS[self.case.how](self.case, RIVALS[name], self.workshop)
        self.each("starts", lambda name, subject: subject.ready())

    def each(self, what: str, step: Callable[[str, Any], object]) -> None:
        """Take a step with each subject in turn; one that fails takes part no more."""
        for name, subject in list(self.subjects.items()):
            self.progress.show(f"{name} {what}")
            try:
                step(name, subject)
            except (WrongAnswer, Failed) as error:
                kind = "wrong answer" if isinstance(error, WrongAnswer) else "failed"
                self.result.rows[name].problem = f"{kind}: {error}"
                self.result.rows[name].failed = True
                self.subjects.pop(name).close()

    def calibrate(self, name: str, subject: Any) -> None:
        """Find the count of a run. The trials also warm up."""
        case = self.case
        if case.how == "growth":
            self.calibrateSizes(name, subject)
            return
        if case.count:
            self.counts[name] = max(int(case.count * self.pace.countShare), 1)
            return
        aim = case.seconds * self.pace.share
        count = FIRST * 1000 if case.unit == "byte" else FIRST
        while True:
            sample = subject.measure(count)
            if sample.wall >= aim / LEAST_SHARE:
                break
            count = int(sample.count * min(max(aim / sample.wall, 2), MOST_GROWTH))
        self.counts[name] = max(int(sample.count * aim / sample.wall), 1)

    def calibrateSizes(self, name: str, subject: Any) -> None:
        """Find the sizes that do not take too long; with fewer than two there is no exponent."""
        row = self.result.rows[name]
        for size in self.case.options["sizes"]:
            wall = subject.measure(size).wall
            row.sizes.append(size)
            if wall > LONGEST:
                break
        if len(row.sizes) < 2:
            row.problem = f"{wall:.1f} s for the first {size:,} bytes: left out"
            self.subjects.pop(name).close()

    def sample(self, name: str, subject: Any) -> None:
        row = self.result.rows[name]
        for count in row.sizes or [self.counts[name]]:
            row.samples.append(subject.measure(count))
