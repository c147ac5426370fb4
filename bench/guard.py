"""Guards the hot path without timing it: `make guard`.

valgrind's callgrind counts the instructions of fixed work (guarded.py). They are divided by those of the naive loop in
the same run, and compared with the ratios in guard.json. A ratio that is higher by more than the tolerance fails. One
that is lower by more asks for `--update`, which writes the file. Each version of CPython has its own ratios. A version
without any passes, with a message.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.guarded import REPEATS
from bench.rivals import ROOT
from reactor.linecore import IMPLEMENTATION

KEPT = Path(__file__).resolve().parent / "guard.json"
TOLERANCE = 0.04  # other imports move memory about, which changes up to 0.015
BASE = "naive-32"
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"


def countsOf(dumps: list[str], said: str) -> dict[str, float]:
    """Return the instructions a line of each piece of work, from callgrind's files and the program's output."""
    totals = [int(re.findall(r"^totals: (\d+)", dump, re.MULTILINE)[-1]) for dump in dumps]
    pieces = [line.split() for line in said.splitlines()]
    if len(totals) < 2 * REPEATS * len(pieces) or not pieces:
        raise SystemExit(f"callgrind has written {len(totals)} counts for {len(pieces)} pieces of work")
    # At the first mark of a piece of work callgrind writes the counts before it, at the second its own.
    own = totals[1::2]
    found = {}
    for index, (name, lines) in enumerate(pieces):
        found[name] = statistics.median(own[index * REPEATS : (index + 1) * REPEATS]) / int(lines)
    return found


def run(command: list[str]) -> str:
    """Return the output of a command. The environment is empty, as it could move an address or a hash."""
    environment = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def count() -> dict[str, float]:
    """Run guarded.py under callgrind."""
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is needed to count instructions: install it (Debian: apt-get install valgrind)")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "counts"
        # Run it once without callgrind, so that every module has its byte code and the answers are checked.
        program = [sys.executable, "-m", "bench.guarded"]
        run(program)
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--dump-before=getppid", "--quiet"]
        said = run(command + program)
        dumps = sorted(out.parent.glob("counts.*"), key=lambda path: int(path.suffix[1:]))
        return countsOf([path.read_text() for path in dumps], said)


def compare(ratios: dict[str, float], kept: dict[str, float]) -> tuple[list[str], bool]:
    """Return the lines of a table, and whether all ratios hold."""
    lines, well = [], True
    for name, ratio in ratios.items():
        before = kept.get(name)
        if before is None:
            lines.append(f"  {name:18} {ratio:8.3f}  new: not in {KEPT.name}")
            continue
        change = ratio / before - 1
        word = "worse: FAILED" if change > TOLERANCE else "better: run --update" if change < -TOLERANCE else "as before"
        well = well and change <= TOLERANCE
        lines.append(f"  {name:18} {ratio:8.3f}  {before:8.3f}  {change:+7.1%}  {word}")
    return lines, well


def main(arguments: list[str]) -> int:
    if IMPLEMENTATION != "compiled":
        raise SystemExit("the guard counts the compiled line core, and this is the pure one")
    counts = count()
    ratios = {name: round(instructions / counts[BASE], 4) for name, instructions in counts.items()}
    kept: dict[str, dict[str, float]] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    print(f"Instructions a line, as a multiple of the naive loop's {counts[BASE]:.1f} (CPython {VERSION})")
    if "--update" in arguments:
        kept[VERSION] = ratios
        KEPT.write_text(json.dumps(dict(sorted(kept.items())), indent=2) + "\n")
    elif VERSION not in kept:
        print(f"{KEPT.name} has nothing for CPython {VERSION}, so there is nothing to compare with")
    lines, well = compare(ratios, kept.get(VERSION, {}))
    print("\n".join(lines))
    if not well:
        print(
            f"More instructions than {KEPT.name} says, by more than {TOLERANCE:.0%}. If that is the price of something"
        )
        print("worth it, say so in the commit that runs `make guard ARGS=--update`.")
    return not well


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
