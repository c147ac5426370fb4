"""A reactor with delayed and looping calls, as a program: `python -m tests.battery.clockwork KIND SECONDS`.

It prints "ready", runs for that long, and prints as JSON when its calls came, by the clock that nobody has touched. Its
environment may hold FAKETIME_TIMESTAMP_FILE: then it makes the wall clock jump, over and over, by writing that file.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from typing import Any

from reactor import task
from tests.battery.forkserver import KINDS

JUMPS = (0, -3600, 86400, 0, 86400, -3600)  # seconds, from the true time
JUMP_EVERY = 0.15
DELAYED = 400
INTERVALS = (0.001, 0.01, 0.1)


class Clockwork:
    def __init__(self, reactor: Any, seconds: float) -> None:
        self.reactor = reactor
        self.seconds = seconds
        self.delayed: list[tuple[float, float]] = []  # when it was due, when it came
        self.looping: dict[float, list[float]] = {interval: [] for interval in INTERVALS}
        self.counted: list[tuple[float, int]] = []
        self.walls: list[float] = []

    def begin(self) -> None:
        now = time.monotonic()
        for number in range(DELAYED):
            due = self.seconds * number / DELAYED
            self.reactor.callLater(due, lambda due=now + due: self.delayed.append((due, time.monotonic())))
        for interval, calls in self.looping.items():
            self.loop(task.LoopingCall(lambda calls=calls: calls.append(time.monotonic())), interval)
        counting = task.LoopingCall.withCount(lambda count: self.counted.append((time.monotonic(), count)))
        self.loop(counting, INTERVALS[0])
        path = os.environ.get("FAKETIME_TIMESTAMP_FILE")
        if path is not None:
            self.loop(task.LoopingCall(self.jump, path, itertools.cycle(JUMPS)), JUMP_EVERY)
        self.reactor.callLater(self.seconds, self.reactor.stop)
        self.started, self.cpu = time.monotonic(), time.process_time()
        print("ready", flush=True)

    def loop(self, looping: task.LoopingCall, interval: float) -> None:
        looping.clock = self.reactor
        looping.start(interval, now=False)

    def jump(self, path: str, jumps: Any) -> None:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"{next(jumps):+d}")
        self.walls.append(time.time() - time.monotonic())

    def run(self) -> None:
        self.reactor.callWhenRunning(self.begin)
        self.reactor.run()
        print(
            json.dumps(
                {
                    "started": self.started,
                    "ended": time.monotonic(),
                    "delayed": self.delayed,
                    "looping": list(self.looping.items()),
                    "counted": self.counted,
                    "cpu": time.process_time() - self.cpu,
                    "jumps": [later - before for before, later in itertools.pairwise(self.walls)],
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    Clockwork(KINDS[sys.argv[1]](), float(sys.argv[2])).run()
