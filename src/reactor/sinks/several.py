"""Several sinks at once: each line in all of them, or each in one of them by a key."""

from __future__ import annotations

import binascii
from collections.abc import Callable, Sequence
from typing import Any

from reactor.defer import Deferred, DeferredList, gatherResults, succeed
from reactor.failure import Failure
from reactor.sinks.contract import ISink, Numbers


class _Several:
    """The parts of an ISink that CopySink and SplitSink share."""

    def __init__(self, sinks: Sequence[ISink]) -> None:
        """ValueError without a sink."""
        if not sinks:
            raise ValueError("at least one sink is needed")
        self._sinks = tuple(sinks)

    def open(self) -> Deferred[None]:
        """See ISink. It fails if one of the sinks does."""
        return _all([sink.open() for sink in self._sinks])

    @property
    def isFull(self) -> bool:
        """See ISink: whether one of the sinks is full."""
        return any(sink.isFull for sink in self._sinks)

    def whenRoom(self) -> Deferred[None]:
        """See ISink."""
        return _all([sink.whenRoom() for sink in self._sinks])

    def flush(self) -> Deferred[None]:
        """See ISink."""
        return _all([sink.flush() for sink in self._sinks])

    def close(self) -> Deferred[None]:
        """See ISink. All are closed, also if one fails."""
        return DeferredList([sink.close() for sink in self._sinks], consumeErrors=True).addCallback(_firstError)

    def counters(self) -> dict[str, int]:
        """See ISink: the sums."""
        counts: dict[str, int] = {}
        for sink in self._sinks:
            for name, count in sink.counters().items():
                counts[name] = counts.get(name, 0) + count
        return counts


class CopySink(_Several):
    """Gives each line to all of `sinks`. It is durable when all have it. One that is away holds up the others."""

    def append(
        self,
        lines: Sequence[bytes],
        origin: str = "",
        numbers: Numbers | None = None,
        routes: Sequence[str] | str = "",
    ) -> Deferred[None]:
        """See ISink."""
        return _all([sink.append(lines, origin, numbers, routes) for sink in self._sinks])


class SplitSink(_Several):
    """Gives each line to one of `sinks`, by `key(line, origin)`: equal keys go to the same one, in all processes.

    Without a key it is the origin. Lines of one origin keep their order within each sink.
    """

    def __init__(self, sinks: Sequence[ISink], key: Callable[[bytes, str], bytes] | None = None) -> None:
        """ValueError without a sink."""
        super().__init__(sinks)
        self._key = key

    def append(
        self,
        lines: Sequence[bytes],
        origin: str = "",
        numbers: Numbers | None = None,
        routes: Sequence[str] | str = "",
    ) -> Deferred[None]:
        """See ISink. Lines in a row with the same sink go to it together."""
        if not lines:
            return succeed(None)
        if self._key is None:
            return self._sinkOf(origin.encode()).append(lines, origin, numbers, routes)
        appended = []
        start, current = 0, self._sinkOf(self._key(lines[0], origin))
        for index in range(1, len(lines) + 1):
            sink = self._sinkOf(self._key(lines[index], origin)) if index < len(lines) else None
            if sink is current:
                continue
            own = None if numbers is None else Numbers(numbers.session, numbers.first + start)
            theirs = routes if isinstance(routes, str) else routes[start:index]
            appended.append(current.append(lines[start:index], origin, own, theirs))
            if sink is not None:
                start, current = index, sink
        return _all(appended)

    def _sinkOf(self, key: bytes) -> ISink:
        return self._sinks[binascii.crc32(key) % len(self._sinks)]


def _all(deferreds: Sequence[Deferred[Any]]) -> Deferred[None]:
    """Return a Deferred that fires when all have, and fails with the first error."""
    joined = gatherResults(deferreds, consumeErrors=True)
    return joined.addCallbacks(lambda _: None, lambda failure: failure.value.subFailure)


def _firstError(results: list[tuple[bool, Any]]) -> None:
    for isGood, result in results:
        if not isGood:
            assert isinstance(result, Failure)
            result.raiseException()
