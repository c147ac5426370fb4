"""Sinks: places for lines. A sink tells when it has them for good.

A program appends lines. The Deferred of an append fires when the lines are durable: a crash of this process, or of the
sink's engine, loses none of them. The class of each sink says what that rests on.

Lines have an origin: the connection or the sender that they came from. Lines of one origin keep their order. Lines of
different origins may pass each other.

A sender may number its lines. Its session is a name that no other sender has, and each line has the next number. An
engine that removes doubles knows a line again by session and number, whichever server brings it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from reactor.defer import Deferred


class SinkError(Exception):
    """An append, or a sink, has failed."""


class SinkClosed(SinkError):
    """The sink was closed before it had the lines."""


class SinkFull(SinkError):
    """The sink holds as many bytes as it may. The lines of this append were not taken."""


class LinesRefused(SinkError):
    """The engine takes none of these lines, now or later: a line is too long for it, for example."""


class Numbers(NamedTuple):
    """The numbers that a sender has given to lines: its `session`, and the number of the `first` line."""

    session: str
    first: int

    def id(self, index: int) -> str:
        """Return the name of the line at `index`, which no other line of any sender has."""
        return f"{self.session}:{self.first + index}"


class Entry(NamedTuple):
    """One line on its way to an engine. `id` is None if the sender has not numbered it. `route` is a subject or a key.

    An empty `route` stands for the one that the engine was made with.
    """

    line: bytes
    id: str | None
    origin: str
    route: str


class Piece:
    """The lines of one append. `kept` fires when they are durable."""

    __slots__ = ("kept", "lines", "numbers", "origin", "routes", "size")

    def __init__(
        self, lines: Sequence[bytes], origin: str, numbers: Numbers | None, routes: Sequence[str] | str
    ) -> None:
        """TypeError if a line is not bytes, or `numbers` is something else."""
        if numbers is not None and not isinstance(numbers, Numbers):
            raise TypeError(f"numbers is a Numbers, not {numbers!r}")
        self.lines = lines
        self.size = len(b"".join(lines))
        self.origin = origin
        self.numbers = numbers
        self.routes = routes
        self.kept: Deferred[None] = Deferred()

    def entries(self) -> Iterator[Entry]:
        """Return the lines, one by one."""
        numbers, routes, origin = self.numbers, self.routes, self.origin
        for index, line in enumerate(self.lines):
            name = None if numbers is None else numbers.id(index)
            yield Entry(line, name, origin, routes if isinstance(routes, str) else routes[index])


class Batch:
    """The pieces that go to an engine together, for example in one request. `count` is the number of their lines."""

    __slots__ = ("count", "pieces", "size")

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = pieces
        self.count = sum(len(piece.lines) for piece in pieces)
        self.size = sum(piece.size for piece in pieces)

    def entries(self) -> Iterator[Entry]:
        """Return all lines, those of each origin in their order."""
        for piece in self.pieces:
            yield from piece.entries()


class IEngine(Protocol):
    """The part of a sink that speaks to the place of the lines. Each method may return a Deferred or a coroutine."""

    def open(self) -> Any:
        """Connect, and see that the place exists. It is called again after a failure."""

    def send(self, batch: Batch) -> Any:
        """Hand over all lines, and end when they are durable. The same batch is sent again after a failure.

        LinesRefused if the engine will never take one of them. Every other exception means that the engine is away.
        """

    def close(self) -> Any:
        """Disconnect. No send is under way."""


class ISink(Protocol):
    """A place for lines."""

    def open(self) -> Deferred[None]:
        """Open the sink. It fails if the place can never be used, for example because its name is not valid."""

    def append(
        self,
        lines: Sequence[bytes],
        origin: str = "",
        numbers: Numbers | None = None,
        routes: Sequence[str] | str = "",
    ) -> Deferred[None]:
        """Take lines of `origin`, without delimiters; the Deferred fires when they are durable.

        `routes` is one route for all lines, or one a line. It fails with LinesRefused, SinkFull or SinkClosed.
        """

    @property
    def isFull(self) -> bool:
        """Whether the caller should append nothing until whenRoom."""

    def whenRoom(self) -> Deferred[None]:
        """Return a Deferred that fires when the sink is not full, or is closed."""

    def flush(self) -> Deferred[None]:
        """Return a Deferred that fires when everything that was appended before is durable, or has failed."""

    def close(self) -> Deferred[None]:
        """Close the sink. Lines that are not durable fail with SinkClosed, so call flush() before."""

    def counters(self) -> dict[str, int]:
        """Return counters, which only grow, and figures of now, by name."""
