"""Sizing: the wishes for one position more or fewer of a fleet, which are carried out in their order.

A wish waits for the end of a reload. A position is only removed if another process can take its sockets. A process that
starts may be able to: the wish waits for it, and so do the wishes behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from reactor._logger import getLogger
from reactor.service.members import CHANGES, Member, Phase

if TYPE_CHECKING:
    from reactor.service.fleet import Fleet

log = getLogger("reactor.service")
changes = getLogger(CHANGES)


class Sizing:
    """The wishes for more and fewer positions of `fleet`. It tells when each has been carried out."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._wishes: deque[Callable[[], bool]] = deque()
        self._added: set[int] = set()  # positions, until they serve

    def more(self) -> None:
        """Add a position."""
        self._wishes.append(self._more)
        self.carryOut()

    def fewer(self) -> None:
        """Remove the last position, unless it is the only one, or nobody could take its sockets."""
        self._wishes.append(self._fewer)
        self.carryOut()

    def carryOut(self) -> None:
        """Carry out the wishes, up to one that must wait. For each time that something has changed."""
        while self._wishes and not (self._fleet.isStopping or self._fleet.isReloading):
            wish = self._wishes.popleft()
            if not wish():
                self._wishes.appendleft(wish)
                return

    def ready(self, member: Member) -> None:
        """`member` serves."""
        if member.number in self._added:
            self._added.remove(member.number)
            changes.info("%s is ready, one more: %s", member, self._count())
        self.carryOut()

    def forget(self) -> None:
        """All positions have been filled anew."""
        self._added.clear()

    def _more(self) -> bool:
        fleet = self._fleet
        number = fleet.workers
        fleet.workers += 1
        self._added.add(number)
        fleet.fill(number)
        return True

    def _fewer(self) -> bool:
        """Remove the last position, or say why not. Return whether that is decided."""
        fleet = self._fleet
        if fleet.workers == 1:
            log.warning("one worker is the least, it stays")
            return True
        last = fleet.workers - 1
        takers = [member for number, member in fleet.serving.items() if number != last and member.isUp]
        if not any(map(fleet.hands.canCover, takers)):
            if fleet.starts.isAnyBelow(last) or any(member.phase is Phase.STARTING for member in takers):
                return False
            log.warning("no other worker can take the sockets of worker %d, it stays", last)
            return True
        self._added.discard(last)
        fleet.remove(last)
        changes.info("worker %d leaves, one fewer: %s", last, self._count())
        return True

    def _count(self) -> str:
        count = self._fleet.workers
        return f"{count} worker{'' if count == 1 else 's'}"
