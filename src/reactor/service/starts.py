"""The starts at the positions of a fleet: at once, or after the delay of failures in a row."""

from __future__ import annotations

from collections.abc import Callable

from reactor._logger import getLogger
from reactor.interfaces import IDelayedCall, IReactorTime
from reactor.service.members import positionOf

log = getLogger("reactor.service")

FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0


class Starts:
    """Calls `place(number)` for a start at a position. `kind` is that of the fleet. `len()` counts those that wait."""

    def __init__(self, clock: IReactorTime, kind: str, place: Callable[[int], None]) -> None:
        self._clock = clock
        self._kind = kind
        self._place = place
        self._waiting: dict[int, IDelayedCall] = {}
        self._failures: dict[int, int] = {}  # in a row, of each position

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, number: int) -> bool:
        return number in self._waiting

    @property
    def positions(self) -> list[int]:
        """The positions that wait for a start."""
        return list(self._waiting)

    def isAnyBelow(self, number: int) -> bool:
        """Whether a position below `number` waits for a start."""
        return any(each < number for each in self._waiting)

    def start(self, number: int) -> None:
        """Start at the position `number`, now or after the delay of its failures."""
        failures = self._failures.get(number, 0)
        self.cancel(number)
        if failures < 2:
            self._place(number)
            return
        delay = min(FIRST_DELAY * 2 ** (failures - 2), LONGEST_DELAY)
        who = positionOf(self._kind, number)
        log.warning("%s has failed %d times in a row, the next start is in %g s", who, failures, delay)
        self._waiting[number] = self._clock.callLater(delay, self._late, number)

    def failed(self, number: int) -> None:
        """Count a process that has not lived."""
        self._failures[number] = self._failures.get(number, 0) + 1

    def lived(self, number: int) -> None:
        """Forget the failures of a position."""
        self._failures.pop(number, None)

    def cancel(self, number: int) -> None:
        """Have the position wait for no start."""
        call = self._waiting.pop(number, None)
        if call is not None:
            call.cancel()

    def cancelAll(self) -> None:
        """Have no position wait for a start."""
        for number in list(self._waiting):
            self.cancel(number)

    def forget(self) -> None:
        """Forget all failures, and the starts that wait."""
        self.cancelAll()
        self._failures.clear()

    def _late(self, number: int) -> None:
        del self._waiting[number]
        self._place(number)
