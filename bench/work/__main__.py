"""One rival at one piece of work, in a process of its own: `python -m bench.work RIVAL TASK OPTIONS`.

OPTIONS is a dict in Python's notation. Standard input then has one order a line. `run COUNT` does the work and answers
with a JSON object: `count`, `cpu` and `wall` in seconds, and `ticks` of user and system time. `verify` checks and
answers `{}`. An error is `{"error": ...}`.
"""

from __future__ import annotations

import ast
import gc
import json
import os
import sys
import time
from typing import Any

from bench.work.deferreds import Deferreds
from bench.work.growth import Growth
from bench.work.heads import Heads
from bench.work.loops import FromThread, Timers, Turns
from bench.work.parsing import Answer, Parse
from bench.work.task import Task, WrongAnswer

TASKS: dict[str, Any] = {
    "parse": Parse,
    "answer": Answer,
    "growth": Growth,
    "timers": Timers,
    "turns": Turns,
    "threads": FromThread,
    "deferreds": Deferreds,
    "heads": Heads,
}


def measure(task: Task, count: int) -> dict[str, Any]:
    """Do one run, and return its cost to this process."""
    gc.collect()
    before, began, cpu = os.times(), time.perf_counter(), time.process_time()
    done = task.run(count)
    cpu, wall, after = time.process_time() - cpu, time.perf_counter() - began, os.times()
    ticks = [round((after[index] - before[index]) * 100) for index in (0, 1)]
    return {"count": done, "cpu": cpu, "wall": wall, "ticks": ticks}


def obey(task: Task, order: str) -> dict[str, Any]:
    """Carry out the order of one line."""
    verb, _, count = order.partition(" ")
    try:
        if verb == "run":
            return measure(task, int(count))
        task.verify()
    except WrongAnswer as error:
        return {"error": str(error)}
    return {}


def main() -> None:
    rival, name, options = sys.argv[1:]
    task = TASKS[name](rival, **ast.literal_eval(options))
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(obey(task, line.strip())), flush=True)


if __name__ == "__main__":
    main()
