"""A sink of tests: it has lines when the test says so."""

from __future__ import annotations

from collections.abc import Sequence

from reactor.defer import Deferred, succeed
from reactor.sinks import Numbers


class HeldSink:
    """Keeps what is appended in `appended`. With `takes`, each append is durable at once."""

    def __init__(self, takes: bool = False) -> None:
        self.takes = takes
        self.isFull = False
        self.appended: list[tuple[list[bytes], str, Numbers | None, Sequence[str] | str]] = []
        self.kept: list[Deferred[None]] = []
        self.room: list[Deferred[None]] = []
        self.opened = self.closed = 0

    def open(self) -> Deferred[None]:
        self.opened += 1
        return succeed(None)

    def append(
        self,
        lines: Sequence[bytes],
        origin: str = "",
        numbers: Numbers | None = None,
        routes: Sequence[str] | str = "",
    ) -> Deferred[None]:
        self.appended.append((list(lines), origin, numbers, routes))
        kept: Deferred[None] = Deferred()
        if self.takes:
            kept.callback(None)
        else:
            self.kept.append(kept)
        return kept

    def whenRoom(self) -> Deferred[None]:
        if not self.isFull:
            return succeed(None)
        self.room.append(Deferred())
        return self.room[-1]

    def makeRoom(self) -> None:
        self.isFull = False
        room, self.room = self.room, []
        for each in room:
            each.callback(None)

    def flush(self) -> Deferred[None]:
        return succeed(None)

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)

    def counters(self) -> dict[str, int]:
        return {"appends": len(self.appended)}

    @property
    def lines(self) -> list[bytes]:
        """All lines, in the order of their appends."""
        return [line for lines, *_ in self.appended for line in lines]
