"""The command `linereactor load`: one process or several, the figures, and a plot of them."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import pathlib
from typing import Any

from reactor._logger import quoted
from reactor.loops.base import ReactorBase
from reactor.serving.errors import USAGE, CommandError, reasonOf
from reactor.serving.latency import Latencies
from reactor.serving.load import Outcome, runLoad
from reactor.serving.loadplan import LoadPlan, planOf
from reactor.serving.loadprocesses import runPart, runParts

FORMATS = (".svg", ".png", ".pdf")


def load(options: argparse.Namespace, reactor: ReactorBase) -> int:
    """Run one load and print its figures; return 0. CommandError if a reply was wrong or missing."""
    plan = planOf(options)
    if options.part is not None:
        return runPart(plan, reactor)
    if options.plot is not None:
        checkPlot(options.plot)
    outcome = runLoad(plan, reactor) if plan.parts == 1 else runParts(plan, reactor)
    print(outcome.told(plan, options.histogram), flush=True)
    if options.plot is not None:
        plot(plan, outcome, options.plot)
    return 0


def checkPlot(name: str) -> None:
    """Raise CommandError, before the load runs, if no plot can be drawn to the file `name`."""
    if not name.endswith(FORMATS):
        raise CommandError(f"--plot: must be a name that ends in {', '.join(FORMATS)}, not {quoted(name)}", USAGE)
    if importlib.util.find_spec("matplotlib") is None:
        raise CommandError("--plot needs matplotlib: pip install 'linereactor[plot]'", USAGE)
    folder = pathlib.Path(name).absolute().parent
    if not folder.is_dir():
        raise CommandError(f"--plot: there is no directory {quoted(str(folder))}", USAGE)


def plot(plan: LoadPlan, outcome: Outcome, name: str) -> None:
    """Draw the latency over the share of lines that it does not exceed. CommandError if the file cannot be written."""
    figures: Any = importlib.import_module("matplotlib.figure")
    figure = figures.Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    places, latencies, beyond = curve(outcome.latencies)
    axes.plot(places, latencies, color="#1f6feb", linewidth=1.8, drawstyle="steps-post")
    axes.set(xscale="log", yscale="log", xlim=(1, max(beyond, 10)), xlabel="share of lines", ylabel="latency up to, ms")
    ranks = [10**power for power in range(9) if 10**power <= max(beyond, 10)]
    axes.set_xticks(ranks, [f"{100 - 100 / rank:.7g} %" for rank in ranks])
    low, high = axes.get_ylim()
    axes.set_yticks([digit * 10.0**power for power in range(-3, 7) for digit in (1, 2, 5)])
    axes.set_ylim(low, high)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(visible=True, color="#d8dee4", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(plan.told(outcome.received), fontsize=10, loc="left")
    axes.annotate(
        f"max {outcome.latencies.max * 1e3:.3g} ms",
        (places[-1], latencies[-1]),
        xytext=(-6, 6),
        textcoords="offset points",
        ha="right",
    )
    try:
        figure.savefig(name)
    except OSError as error:
        raise CommandError(f"cannot write {name}: {reasonOf(error)}") from None


def curve(latencies: Latencies) -> tuple[list[float], list[float], float]:
    """Return the points of the plot, 1 / (1 - share of lines) and milliseconds, and the right end of its axis."""
    places, heights, count = [1.0], list[float](), latencies.count
    for seconds, upTo in latencies.steps():
        heights.append(max(seconds * 1e3, 1e-3))
        places.append(count / (count - upTo) if upTo < count else float(count))
    return places, [*heights, max(latencies.max * 1e3, 1e-3)], float(count)
