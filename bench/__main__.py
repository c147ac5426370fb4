"""`python -m bench`: measure, print tables, and keep the figures and the plots.

    python -m bench                     everything, into docs/bench
    python -m bench --quick             what the marks need, in less than two minutes, into build/bench
    python -m bench --case parse-crlf-8 --case 'requests-*' --rival ours --rival redis
    python -m bench --list              the cases and the rivals

The exit code is 1 if a rival gave a wrong answer or failed. A missed mark is no error.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from bench.cases import CASES, Case
from bench.marks import MARKS, judge
from bench.processes import CLIENT_CORE
from bench.report import factsText, marksText, pageOf, textOf
from bench.results import Results
from bench.rivals import RIVALS, ROOT, facts
from bench.runner import CaseRun, Pace, Progress
from bench.subjects import Workshop

QUICK = Pace(share=0.35, countShare=0.2, repetitions=3)
DOCS = ROOT / "docs" / "bench"
SCRATCH = ROOT / "build" / "bench"


def parseArguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=(__doc__ or "").splitlines()[0])
    help = "shorter runs; fewer cases and rivals, unless some are named"
    parser.add_argument("--quick", action="store_true", help=help)
    parser.add_argument("--case", action="append", metavar="PATTERN", help="only these (repeat for more)")
    parser.add_argument("--rival", action="append", choices=RIVALS, metavar="NAME", help="only these (repeat for more)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="where figures and plots go")
    parser.add_argument("--list", action="store_true", help="name cases and rivals, and end")
    options = parser.parse_args(arguments)
    for pattern in options.case or ():
        if not any(fnmatch(name, pattern) for name in CASES):
            parser.error(f"no case is called {pattern}")
    return options


def chosen(options: argparse.Namespace) -> list[tuple[Case, list[str]]]:
    """The cases to run, each with its rivals."""
    found = []
    for case in CASES.values():
        if options.case and not any(fnmatch(case.name, pattern) for pattern in options.case):
            continue
        if options.quick and not options.case and not case.quick:
            continue
        rivals = [name for name in case.rivals if not options.rival or name in options.rival]
        if options.quick and not options.rival and not options.case:
            needed = quickRivals(case)
            rivals = [name for name in rivals if name in needed]
        if rivals:
            found.append((case, rivals))
    return found


def quickRivals(case: Case) -> set[str]:
    """Return the rivals of a quick run: ours, those that the marks of the case name, and a few more."""
    named = {name for mark in MARKS if mark.case == case.name for name in (mark.ours, mark.rival)}
    return named | {"ours", "twisted", "asyncio", "uvloop", "floor"}


def names() -> str:
    lines = ["Cases:", *(f"  {case.name:24} {case.title}" for case in CASES.values())]
    lines += ["Rivals:", *(f"  {rival.name:24} {rival.label}" for rival in RIVALS.values())]
    return "\n".join(lines)


def runAll(options: argparse.Namespace) -> Results:
    """Run the chosen cases, and print the table of each when it is done."""
    results = Results(facts(), datetime.now(UTC).isoformat(timespec="seconds"), options.quick)
    print(factsText(results.facts), flush=True)
    os.sched_setaffinity(0, {CLIENT_CORE})
    workshop, progress = Workshop(), Progress()
    cases = chosen(options)
    try:
        for index, (case, rivals) in enumerate(cases, 1):
            progress.where = f"[{index} of {len(cases)}] {case.name}:"
            pace = QUICK if options.quick else Pace()
            results.cases[case.name] = CaseRun(case, rivals, workshop, pace, progress).run()
            print(f"\n{textOf(results.cases[case.name])}", flush=True)
    finally:
        workshop.close()
    return results


def main(arguments: list[str]) -> int:
    options = parseArguments(arguments)
    if options.list:
        print(names())
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that servers end, too
    begun = time.monotonic()
    results = runAll(options)
    verdicts = judge(results)
    print(f"\n{marksText(verdicts)}")
    whole = not (options.quick or options.case or options.rival)
    folder = (options.output or (DOCS if whole else SCRATCH)) / (sys.implementation.cache_tag or "python")
    results.save(folder / "results.jsonl")
    (folder / "tables.md").write_text(pageOf(results, verdicts))
    print(f"\nAll figures: {folder}/results.jsonl, tables.md ({time.monotonic() - begun:.0f} s)")
    if whole:
        from bench.plots import drawAll  # only this needs matplotlib

        drawAll(folder.parent)
    failed = failuresOf(results)
    print("".join(f"FAILED {line}\n" for line in failed), end="")
    return bool(failed)


def failuresOf(results: Results) -> list[str]:
    """Return the rivals with a wrong answer or a failure, one a line."""
    rows = [(name, rival, row) for name, case in results.cases.items() for rival, row in case.rows.items()]
    return [f"{name}: {rival}: {row.problem}" for name, rival, row in rows if row.failed]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
