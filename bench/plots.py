"""Draws the figures of a run as SVG, and fills the page beside them: `python -m bench.plots [DIR]`.

DIR holds cpython-311/results.jsonl and the like. This needs matplotlib.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.figures import FIGURES, Figure
from bench.marks import Verdict, judge
from bench.page import fillPage
from bench.report import costUnit, number
from bench.results import CaseResult, Results, loadResults
from bench.rivals import RIVALS, ROOT

mpl.use("svg")
# The same figures make the same file, without dates and random names. Text stays text.
mpl.rcParams.update({"svg.hashsalt": "linereactor", "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10})
COLOURS = {
    "ours": "#c2410c",
    "twisted": "#1d4ed8",
    "asyncio": "#4d7c0f",
    "uvloop": "#0f766e",
    "rloop": "#7e22ce",
    "gevent": "#a16207",
    "tornado": "#be185d",
    "trio": "#0369a1",
    "uvicorn": "#0e7490",
    "granian": "#6d28d9",
    "hypercorn": "#92400e",
    "aiohttp": "#3f6212",
    "c": "#525252",
    "plain": "#737373",
}
STYLES = ("-", "--", ":", "-.")
MARKERS = "os^Dv"
FAR_APART = 30  # times the cheapest


def familyStyles(names: list[str]) -> dict[str, dict[str, Any]]:
    """Return styles: a colour for each family, with line styles and marks to tell its members apart."""
    seen: dict[str, int] = {}
    styles = {}
    for name in names:
        family = RIVALS[name].family
        index = seen[family] = seen.get(family, -1) + 1
        styles[name] = {
            "color": COLOURS[family],
            "linestyle": STYLES[index % len(STYLES)],
            "marker": MARKERS[index % len(MARKERS)],
            "linewidth": 2.2 if family == "ours" else 1.2,
            "zorder": 3 if family == "ours" else 2,
        }
    return styles


def drawBars(axes: Any, case: CaseResult, only: tuple[str, ...]) -> None:
    """Draw the cost of each rival, the cheapest on top."""
    unit, factor = costUnit(case)
    rows = {name: row for name, row in case.measured().items() if not only or name in only}
    names = sorted(rows, key=lambda name: -rows[name].cost)
    costs = [rows[name].cost * factor for name in names]
    if costs[0] > FAR_APART * costs[-1]:
        drawDots(axes, names, costs)
    else:
        drawShares(axes, case, names, costs)
    for place, cost in enumerate(costs):
        axes.annotate(number(cost), (cost, place), (6, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_yticks(range(len(names)), [RIVALS[name].label for name in names], fontsize=8)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        if RIVALS[name].family == "ours":
            label.set(color=COLOURS["ours"], fontweight="bold")
    axes.set_title("\n".join(textwrap.wrap(case.title, 44)), loc="left", fontsize=9)
    axes.set_xlabel(f"{unit}, less is better")
    axes.margins(x=0.18)
    axes.spines[["top", "right"]].set_visible(False)


def drawDots(axes: Any, names: list[str], costs: list[float]) -> None:
    """Draw dots on an axis in powers of ten, where a linear one would show only the dearest rival."""
    for place, (name, cost) in enumerate(zip(names, costs, strict=True)):
        axes.plot(cost, place, "o", color=COLOURS[RIVALS[name].family], markersize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.grid(axis="y", alpha=0.3)


def drawShares(axes: Any, case: CaseResult, names: list[str], costs: list[float]) -> None:
    """Draw bars, with the kernel's share in a lighter colour."""
    rows = case.rows
    for place, (name, cost) in enumerate(zip(names, costs, strict=True)):
        system = (rows[name].system or 0.0) if case.how == "serve" else 0.0
        colour = COLOURS[RIVALS[name].family]
        axes.barh(place, cost * (1 - system), color=colour)
        axes.barh(place, cost * system, left=cost * (1 - system), color=colour, alpha=0.45)
    axes.locator_params(axis="x", nbins=5)


def drawCurves(axes: Any, figure: Figure, cases: list[CaseResult]) -> None:
    """Draw the cost over the size, both in powers of ten."""
    unit, factor = costUnit(cases[0])
    names = [name for name in RIVALS if any(name in case.measured() for case in cases)]
    names = [name for name in names if not figure.rivals or name in figure.rivals]
    for name, style in familyStyles(names).items():
        points = [
            (x, case.rows[name].cost * factor)
            for x, case in zip(figure.xs, cases, strict=True)
            if name in case.measured()
        ]
        axes.plot(*zip(*points, strict=True), label=RIVALS[name].label, markersize=5, **style)
    axes.set(xscale="log", yscale="log", xlabel=figure.xTitle, ylabel=f"{unit}, less is better")
    axes.set_xticks(figure.xs, [f"{x:,}" for x in figure.xs])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.01, 0.5))


def drawMarks(axes: Any, verdicts: list[Verdict]) -> None:
    """Draw each figure over its mark: to the right of 1 the mark is met."""
    shown = [verdict for verdict in verdicts if verdict.value is not None]
    for place, verdict in enumerate(reversed(shown)):
        assert verdict.value is not None
        better = verdict.value / verdict.mark.bound
        better = better if verdict.mark.kind in ("quicker", "rate") else 1 / better
        axes.barh(place, better - 1, left=1, color=COLOURS["asyncio" if verdict.word.startswith("met") else "ours"])
        axes.text(max(better, 1), place, f" {verdict.figure} ({verdict.mark.limit})", va="center", fontsize=7)
    labels = [f"{verdict.mark.what} / {verdict.mark.againstWhat or 'itself'}" for verdict in reversed(shown)]
    axes.set_yticks(range(len(shown)), labels, fontsize=7)
    axes.set_xscale("log")
    axes.set_xticks([0.5, 0.7, 1, 1.5, 2, 3], ["0.5", "0.7", "1", "1.5", "2", "3"])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xlabel("how far beyond the mark (to the right of 1: met)")
    axes.margins(x=0.15, y=0.01)
    axes.spines[["top", "right"]].set_visible(False)


def draw(figure: Figure, results: Results, verdicts: list[Verdict], path: Path) -> None:
    """Draw one figure, if the run has its cases."""
    cases = [results.cases[name] for name in figure.cases if name in results.cases and results.cases[name].measured()]
    if figure.kind == "marks":
        canvas, axes = plt.subplots(figsize=(11, 0.2 * len(verdicts) + 1.5), layout="constrained")
        drawMarks(axes, verdicts)
    elif len(cases) < len(figure.cases):
        return
    elif figure.kind == "curves":
        canvas, axes = plt.subplots(figsize=(10, 4.8), layout="constrained")
        drawCurves(axes, figure, cases)
    else:
        most = max(len(case.measured()) for case in cases)
        high = -(-len(cases) // figure.wide)
        size = (5.6 * figure.wide, (0.21 * most + 1.1) * high + 0.4)
        canvas, grid = plt.subplots(high, figure.wide, figsize=size, layout="constrained", squeeze=False)
        for axes, case in zip(grid.flat, cases, strict=False):
            drawBars(axes, case, figure.rivals)
        for axes in list(grid.flat)[len(cases) :]:
            axes.set_visible(False)
    canvas.suptitle(f"{figure.title} ({results.facts['Python']})", x=0.01, ha="left", fontsize=12)
    canvas.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(canvas)


def drawAll(folder: Path) -> None:
    """Draw every run below `folder`, and fill the page there."""
    runs = {}
    for path in sorted(folder.glob("*/results.jsonl")):
        results = loadResults(path)
        verdicts = judge(results)
        for figure in FIGURES:
            draw(figure, results, verdicts, path.parent / f"{figure.name}.svg")
        runs[path.parent.name] = (results, verdicts)
        print(f"{path.parent}: {len(list(path.parent.glob('*.svg')))} plots")
    if (folder / "README.md").exists():
        fillPage(folder / "README.md", runs)


if __name__ == "__main__":
    drawAll(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "bench")
