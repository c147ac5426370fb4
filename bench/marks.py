"""The marks: linereactor's targets against its rivals, one row each, and whether a run has reached them.

A mark is about one case. Most marks are about cost: our cost, in units of the rival's, must be at most the limit. A
"quicker" mark is the inverse: a number of times as fast, at least the limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.results import CaseResult, Results
from bench.rivals import RIVALS

KIB = 1024


@dataclass(frozen=True)
class Mark:
    """One mark.

    `kind` is one of these:

    - "quicker": at least `bound` times as fast;
    - "cost": at most `bound` times the rival's;
    - "below": less than the rival's;
    - "exponent" and "bytes": at most `bound`;
    - "rate": at least `bound` units for a second of CPU time;
    - "least": less than every rival's.

    `beyond` is the next mark, after this one is met.
    """

    what: str
    case: str
    ours: str
    rival: str
    kind: str
    bound: float = 1.0
    beyond: float | None = None

    @property
    def limit(self) -> str:
        """Return the bound as text."""
        shown = {
            "quicker": f">= {self.bound:g}x",
            "cost": f"<= {self.bound:g}x",
            "below": "below",
            "exponent": f"<= {self.bound:g}",
            "bytes": f"<= {self.bound / KIB:g} KiB",
            "rate": f">= {self.bound:,.0f}/s",
            "least": "below",
        }
        return shown[self.kind]

    @property
    def againstWhat(self) -> str:
        """Return the rival's label."""
        if self.kind == "least":
            return "every rival in Python"
        return RIVALS[self.rival].label if self.rival else ""

    def figure(self, case: CaseResult) -> float | None:
        """Return the figure to compare with the bound, or None if it was not measured."""
        row = case.measured().get(self.ours)
        if row is None:
            return None
        if self.kind == "exponent":
            return row.exponent
        if self.kind == "bytes":
            return row.cost
        if self.kind == "rate":
            return 1 / row.cost
        if self.kind == "least":
            others = [name for name in case.measured() if RIVALS[name].family not in ("ours", "c")]
            return max((row.cost / case.rows[name].cost for name in others), default=None)
        ratio = case.ratio(self.ours, self.rival)
        return 1 / ratio if ratio and self.kind == "quicker" else ratio

    def holds(self, figure: float, bound: float) -> bool:
        """Whether a figure keeps a bound, both rounded as shown."""
        if self.kind in ("quicker", "rate"):
            return figure >= bound
        return figure < bound if self.kind in ("below", "least") else figure <= bound


@dataclass(frozen=True)
class Verdict:
    """The result of a mark: its figure, as shown and as a number, and "met", "missed" or "not measured"."""

    mark: Mark
    figure: str
    word: str
    value: float | None = None


def judge(results: Results) -> list[Verdict]:
    """Compare a run with every mark whose case was part of it."""
    verdicts = []
    for mark in MARKS:
        if mark.case not in results.cases:
            continue
        figure = mark.figure(results.cases[mark.case])
        if figure is None:
            verdicts.append(Verdict(mark, "", "not measured"))
            continue
        word = "met" if mark.holds(figure, mark.bound) else "missed"
        if mark.beyond is not None and word == "met":
            word += ", and the next one" if mark.holds(figure, mark.beyond) else f" (next: {mark.beyond:g})"
        verdicts.append(Verdict(mark, shownAs(mark.kind, figure), word, figure))
    return verdicts


def shownAs(kind: str, figure: float) -> str:
    """Return a figure of a kind of mark as text."""
    if kind == "bytes":
        return f"{figure / KIB:.2f} KiB"
    if kind == "rate":
        return f"{figure:,.0f}/s"
    return f"{figure:.3f}" if figure < 10 else f"{figure:.1f}"


def parsingMarks() -> Iterator[Mark]:
    crlf = {8: 0.9, 32: 1.4, 100: 2.5, 1000: 8.0}
    lf = {8: 0.9, 32: 1.1, 100: 1.5, 1000: 4.0}
    for how, bounds in (("crlf", crlf), ("lf", lf)):
        for length, bound in bounds.items():
            beyond = 1.0 if (how, length) == ("crlf", 8) else None
            what = f"LineReceiver, {length}-byte lines, " + ("CRLF" if how == "crlf" else "LF set by a subclass")
            yield Mark(what, f"parse-{how}-{length}", "ours", "naive", "quicker", bound, beyond)
        for rival, bound in (("twisted", 12.0), ("asyncio-streams", 18.0)):
            for length in (8, 32, 100):
                what = f"LineReceiver, {length}-byte lines, " + ("CRLF" if how == "crlf" else "LF set by a subclass")
                yield Mark(what, f"parse-{how}-{length}", "ours", rival, "quicker", bound)
    for ours, name in (("ours", "LineReceiver"), ("ours-only", "LineOnlyReceiver")):
        for length, bound in {8: 1.7, 32: 2.1, 100: 3.2}.items():
            yield Mark(f"{name}, {length}-byte lines", f"parse-crlf-{length}", ours, "twisted-only", "quicker", bound)
    for length, bound in {8: 1.0, 32: 1.7, 100: 3.5, 1000: 8.0}.items():
        yield Mark(
            f"linesReceived, {length}-byte lines", f"parse-crlf-{length}", "ours-batch", "split", "quicker", bound
        )
    for how in ("trickle1", "trickle16", "floodOfCR", "floodOfPrefixes", "toggles", "pauses"):
        yield Mark(f"exponent: {how}", f"growth-{how}", "ours", "", "exponent", 1.05)


def servingMarks() -> Iterator[Mark]:
    for ours, how in (("ours", ""), ("ours-idle", ", idle deadlines on")):
        what = f"50 connections, 1 deep{how}"
        yield Mark(what, "requests-50x1", ours, "uvloop", "cost", 1.05, 0.95)
        yield Mark(what, "requests-50x1", ours, "twisted", "cost", 0.65)
        what = f"50 connections, 16 deep{how}"
        yield Mark(what, "requests-50x16", ours, "redis", "cost", 1.05)
        yield Mark(what, "requests-50x16", ours, "twisted", "cost", 0.5)
        yield Mark(what, "requests-50x16", ours, "uvloop", "cost", 0.12)
        what = f"50 connections, 100 deep{how}"
        yield Mark(what, "requests-50x100", ours, "redis", "cost", 0.9, 0.8)
        yield Mark(what, "requests-50x100", ours, "twisted", "cost", 0.4)
    what = "50 connections, 100 deep, linesReceived + sendLines"
    yield Mark(what, "requests-50x100", "ours-batch", "uvloop-tuned", "cost", 1.0)
    for ours, how in (("ours", ""), ("ours-idle", ", idle deadlines on")):
        what = f"memory of an idle connection{how}"
        yield Mark(what, "memory", ours, "", "bytes", 1.0 * KIB, 800)
        yield Mark(what, "memory", ours, "", "least")
    yield Mark("accept, one line, close", "accept", "ours", "uvloop", "cost", 1.0)
    yield Mark("raw bulk in", "bulk-in", "ours", "uvloop", "cost", 1.05)
    yield Mark("raw bulk out", "bulk-out", "ours", "uvloop", "cost", 1.05)
    for case, what in (("tls-lines", "TLS lines, 16 deep"), ("tls-in", "TLS bulk in"), ("tls-out", "TLS bulk out")):
        yield Mark(what, case, "ours", "asyncio", "below")
        yield Mark(what, case, "ours", "twisted", "below")
        yield Mark(what, case, "ours", "uvloop", "cost", 1.05)
    for pipeline in (16, 100):
        what = f"reactor.aio on uvloop, {pipeline} deep"
        yield Mark(what, f"aio-{pipeline}", "aio-uvloop", "uvloop-streams", "quicker", 5.0)
    for pipeline in (1, 16, 64):
        what = f"two workers, 256 connections, {pipeline} deep"
        yield Mark(what, f"workers-{pipeline}", "ours-workers", "ours-worker", "cost", 1.05)
    yield Mark("a million timers, half cancelled", "timers", "ours", "asyncio", "cost", 1.0)


def httpMarks() -> Iterator[Mark]:
    bounds = {"uvicorn": 0.5, "aiohttp": 0.5, "granian": 0.65, "granian-rsgi": 0.8, "twisted-web": 0.3}
    for rival, bound in bounds.items():
        yield Mark("HTTP: 64 connections, 1 deep", "http-1", "ours-http", rival, "cost", bound)
    yield Mark("HTTP: 64 connections, 16 deep", "http-16", "ours-http", "uvicorn", "cost", 0.3)
    yield Mark("HTTP: 64 connections, 16 deep, a core", "http-16", "ours-http", "", "rate", 100_000)
    yield Mark("HTTP: 1 KiB, answered with its SHA-256", "http-digest", "ours-http", "uvicorn", "cost", 0.6)
    yield Mark("HTTP: 100 MiB up", "http-up", "ours-http", "aiohttp", "cost", 1.05)
    yield Mark("HTTP: 100 MiB down", "http-down", "ours-http", "aiohttp", "cost", 1.05)
    for case, how in (("http-head", "the same each time"), ("http-heads", "their values differ")):
        yield Mark(f"HTTP: a head of 8 fields, {how}", case, "ours-http", "h11", "quicker", 6.0)
    yield Mark("HTTP: memory of an idle connection", "http-memory", "ours-http", "", "bytes", 1.5 * KIB)
    yield Mark("HTTP: memory of an idle connection", "http-memory", "ours-http", "", "least")


MARKS = [*parsingMarks(), *servingMarks(), *httpMarks()]
