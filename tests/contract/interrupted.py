"""What every reactor does when a signal's handler raises in the midst of its own work. Its fixture is reactor.py's.

The interpreter calls such a handler at the entry of a function, and behind a call of one. A profile function is called
at the same places, and more, so each of them can be tried in turn, one exception a trial.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Make = Callable[[], Any]


class Interruption(Exception):
    pass


class Interrupter:
    """Raises once: at place number `place` of those inside functions called `inside`, or called from them."""

    def __init__(self, inside: set[str], place: int) -> None:
        self.inside = inside
        self.left = place
        self.where = ""

    def __enter__(self) -> Interrupter:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: Any, event: str, argument: object) -> None:
        if event == "return" or not self._isInside(frame):
            return
        self.left -= 1
        if self.left < 0:
            sys.setprofile(None)
            self.where = f"{event} {argument} in {frame.f_code.co_qualname}"
            raise Interruption

    def _isInside(self, frame: Any) -> bool:
        if "/reactor/" not in frame.f_code.co_filename:
            return False
        while frame is not None and frame.f_code.co_name not in self.inside:
            frame = frame.f_back
        return frame is not None


class Interrupted:
    def test_aCallFromAThreadIsNotLost(self, make: Make) -> None:
        """Those behind the one that is interrupted are made on the next turn, and each is made once."""
        reactor = make()
        for place in range(100):
            order, count = list[int](), 5
            for number in range(count):
                reactor.callFromThread(order.append, number)
            interrupter = Interrupter({"_runThreadCalls"}, place)
            try:
                with interrupter:
                    reactor._runThreadCalls()
            except Interruption:
                pass
            reactor._runThreadCalls()
            assert order == [*range(count)], interrupter.where
            if not interrupter.where:
                break
        assert place > 5
