"""Lets allocations fail inside a reactor's run(), one after the other, or several in a row. Prints what went wrong.

Run in a process of its own: a crash is a result too. Each scene (see faultscenes) runs once without a fault, which
counts its allocations. Then it runs once for each point: the number of the allocation that fails, and how many behind
it fail as well. A point counts only if the scene has come so far.
"""

from __future__ import annotations

import _testcapi
import gc
import json
import logging
import os
import sys
import time
from itertools import repeat
from operator import length_hint
from typing import Any

from tests.battery.faultscenes import SCENES, Scene, illnessOf
from tests.battery.faultservers import Server, lostSockets
from tests.conftest import openFiles
from tests.support.worlds import LOOPS

ROWS = {"once": 1, "for a while": 6}
MANY = 20_000  # allocations, more than a scene makes until its fault is ended


class Injector:
    """Fails the allocations from `first` on, `row` of them. `left` is how many there were to come before the first."""

    def __init__(self) -> None:
        self.first, self.row = MANY, 1
        self.left = 0
        self._armed = False
        self._more = repeat(None, 0)

    def arm(self) -> None:
        self._armed = True
        self._more = repeat(None, self.first + 1)  # here: counting must not make an allocation, nor begin with one
        _testcapi.set_nomemory(self.first, self.first + self.row)

    def disarm(self) -> None:
        """Make allocations here until one fails: what is left then was not reached by the scene."""
        if not self._armed:
            return
        self._armed = False
        try:
            for _ in self._more:
                object()
            self.left = 0
        except MemoryError:
            self.left = self.first - length_hint(self._more)
        _testcapi.remove_mem_hooks()


class Sweep:
    """The points of one loop. `points` counts them by scene; `faults` tells what was found."""

    def __init__(self, side: Any) -> None:
        self._side = side
        self._injector = Injector()
        self._server = Server(side, self._injector.disarm)
        self.points: dict[str, int] = {}
        self.faults: list[str] = []
        assert illnessOf(self._server) is None, "before the first fault"
        self._files = _files()

    def sweep(self, scene: Scene, share: int, seconds: float) -> None:
        """Try `share` points of `scene`, evenly spread over its allocations; all of them if there are fewer.

        After `seconds` no other is begun.
        """
        end = time.monotonic() + seconds
        length = self._measure(scene)
        step = max(1, -(-length * len(ROWS) // share))
        places = [(number, how) for number in range(length) for how in ROWS]
        count = 0
        for number, how in places[len(self.points) % step :: step]:
            if time.monotonic() > end:
                break
            count += self._point(scene, number, how)
        self.points[scene.__name__] = count

    def _measure(self, scene: Scene) -> int:
        """How many allocations the scene makes, in this server, until its fault is ended."""
        for _ in range(2):  # the first time there is more to make: what is kept
            self._injector.first, self._injector.row = MANY, 1
            result = scene(self._server, self._injector.arm)
            assert result is None, f"{scene.__name__}, without a fault: {result}"
        return MANY - self._injector.left

    def _point(self, scene: Scene, number: int, how: str) -> bool:
        self._injector.first, self._injector.row = number, ROWS[how]
        try:
            result = scene(self._server, self._injector.arm)
        except BaseException as error:
            result = f"run() was left by {error!r}"
        reached = not self._injector.left
        if result is None:
            result = illnessOf(self._server)
        if result is not None:
            self._server = Server(self._side, self._injector.disarm)
            self.faults.append(f"{scene.__name__} {how} from allocation {number}: {result}")
        return reached

    def filesLeft(self) -> int:
        """How many descriptors more are open than before the first fault, but for those that CPython may have lost."""
        gc.collect()
        illnessOf(self._server)  # sockets that were closed in the last turn are closed now
        return _files() - self._files - lostSockets[0]


def _files() -> int:
    """How many descriptors are open, pipes not counted.

    os.pipe() makes a tuple after pipe2(), and loses both ends if that fails. subprocess loses pipes of its own if it
    has no memory just then.
    """
    return sum(not file.startswith("pipe:") for file in openFiles().values())


def main(name: str, share: str, seconds: str, *names: str) -> None:
    """`share` points of each scene, for no longer than `seconds` in all; of all scenes, if none is named."""
    if "REACTOR_TALK" not in os.environ:
        logging.disable(logging.CRITICAL)
        sys.unraisablehook = lambda _: None
    scenes = [each for each in SCENES if each.__name__ in names] or SCENES
    found = Sweep(next(side for side in LOOPS if side.name == name))
    for scene in scenes:
        found.sweep(scene, int(share), float(seconds) / len(scenes))
    print(json.dumps({"points": found.points, "faults": found.faults, "filesLeft": found.filesLeft()}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
