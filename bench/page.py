"""Fills docs/bench/README.md with the results of the runs beside it. The rest of that page is written by hand."""

from __future__ import annotations

from pathlib import Path

from bench.figures import FIGURES
from bench.marks import Verdict
from bench.report import markdownTable, marksTable
from bench.results import Results
from bench.rivals import PACKAGES

BEGIN, END = "<!-- runs -->", "<!-- /runs -->"
NOTHING = "No run has been kept yet: `make bench` makes one."


def fillPage(page: Path, runs: dict[str, tuple[Results, list[Verdict]]]) -> None:
    """Put the marks and the plots of each run, by the name of its folder, between the page's two comments."""
    head, _, rest = page.read_text().partition(BEGIN)
    tail = rest.partition(END)[2]
    parts = [sectionOf(page.parent, name, *run) for name, run in runs.items()] or [NOTHING]
    page.write_text("\n\n".join([head + BEGIN, *parts, END]) + tail)


def sectionOf(folder: Path, name: str, results: Results, verdicts: list[Verdict]) -> str:
    """Return the page's section about one run."""
    facts = results.facts
    packages = [package for package in PACKAGES if package in facts]  # older runs lack some
    versions = ", ".join(f"{package} {facts[package] or 'not installed'}" for package in packages)
    met = sum(verdict.word.startswith("met") for verdict in verdicts)
    parts = [f"## {facts['Python']}, {results.begun[:10]}"]
    parts.append(f"{facts['processor']}; {facts['system']}; line core {facts['line core']}; {versions}.")
    parts.append(
        f"{met} of {len(verdicts)} marks met. [All tables]({name}/tables.md), [all figures]({name}/results.jsonl)."
    )
    parts.append(markdownTable(marksTable(verdicts)))
    drawn = [figure for figure in FIGURES if (folder / name / f"{figure.name}.svg").exists()]
    parts += [f"![{figure.title}]({name}/{figure.name}.svg)" for figure in drawn]
    return "\n\n".join(parts)
