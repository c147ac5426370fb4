"""QueuedSink: the queue before an engine, with batches, order, retries and bounds.

- Batches: what waits when the engine is free goes together, up to `batchLines` and `batchBytes`. With a `linger`, less
  than that waits so long for more.
- Order: an origin has lines in one batch under way, at most. So no line passes an earlier one of its origin, even if a
  batch fails and is sent again. Several batches are under way, of different origins.
- Failure: the engine is opened anew, and the same batches are sent again, until it has them. The waits between attempts
  grow, up to MAX_DELAY.
- Bounds: above `highWater` bytes the sink is full, and says so. Above `maxHeld` an append is refused.
"""

from __future__ import annotations

import logging
import random
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._logger import getLogger
from reactor.defer import Deferred, fail, maybeDeferred, succeed
from reactor.error import TimeoutError
from reactor.failure import Failure
from reactor.sinks.contract import Batch, IEngine, LinesRefused, Numbers, Piece, SinkClosed, SinkFull

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IReactorTime

log = getLogger("reactor.sinks")

BATCH_LINES = 512
BATCH_BYTES = 512 * 1024
IN_FLIGHT = 8  # batches
HIGH_WATER = 1024 * 1024  # bytes
MAX_HELD = 16 * 1024 * 1024  # bytes
FIRST_DELAY = 0.05  # seconds
MAX_DELAY = 2.0  # seconds
ATTEMPT_TIMEOUT = 10.0  # seconds


class _Queue:
    """The pieces of one origin that wait, with the sums of their lines and bytes."""

    __slots__ = ("lines", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: deque[Piece] = deque()
        self.lines = self.size = 0

    def add(self, piece: Piece) -> None:
        self.pieces.append(piece)
        self.lines += len(piece.lines)
        self.size += piece.size

    def pop(self) -> Piece:
        piece = self.pieces.popleft()
        self.lines -= len(piece.lines)
        self.size -= piece.size
        return piece


class _Flight:
    """Batches that go to the engine one after the other: one, or after a refusal one a piece."""

    __slots__ = ("batches", "origins")

    def __init__(self, batch: Batch) -> None:
        self.batches = deque([batch])
        self.origins = dict.fromkeys(piece.origin for piece in batch.pieces)

    def pieces(self) -> Iterable[Piece]:
        return [piece for batch in self.batches for piece in batch.pieces]


def _timedOut(_: object, seconds: float) -> Failure:
    return Failure(TimeoutError(f"no answer for {seconds:g} s"))


class QueuedSink:
    """An ISink around `engine`. `clock` is the current reactor by default.

    `linger` and `attemptTimeout` are seconds. An attempt that has not ended by then is cancelled and counts as failed.
    `jitter()` is from 0 to 1; it spreads the retries of many processes.
    """

    def __init__(
        self,
        engine: IEngine,
        clock: IReactorTime | None = None,
        *,
        batchLines: int = BATCH_LINES,
        batchBytes: int = BATCH_BYTES,
        linger: float = 0.0,
        inFlight: int = IN_FLIGHT,
        highWater: int = HIGH_WATER,
        maxHeld: int = MAX_HELD,
        attemptTimeout: float = ATTEMPT_TIMEOUT,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """ValueError if a limit is less than 1, or `maxHeld` is less than `highWater`."""
        limits = {"batchLines": batchLines, "batchBytes": batchBytes, "inFlight": inFlight, "highWater": highWater}
        for name, limit in limits.items():
            if limit < 1:
                raise ValueError(f"{name} is at least 1, not {limit}")
        if maxHeld < highWater:
            raise ValueError(f"maxHeld is at least highWater, {highWater}, not {maxHeld}")
        self._engine = engine
        self._givenClock = clock
        self._batchLines = batchLines
        self._batchBytes = batchBytes
        self._linger = linger
        self._inFlight = inFlight
        self._highWater = highWater
        self._maxHeld = maxHeld
        self._attemptTimeout = attemptTimeout
        self._jitter = jitter
        self._ready: OrderedDict[str, _Queue] = OrderedDict()  # by origin; the first has waited longest
        self._readyLines = self._readyBytes = 0
        self._behind: dict[str, _Queue] = {}  # by origin, behind a flight
        self._flights: dict[_Flight, None] = {}
        self._stalled: list[_Flight] = []  # those that the engine has not taken
        self._attempts: dict[Deferred[Any], None] = {}
        self._held = 0
        self._isOpen = self._isClosed = self._isAway = False
        self._failures = 0  # in a row
        self._retry: IDelayedCall | None = None
        self._lingering: IDelayedCall | None = None
        self._room: list[Deferred[None]] = []
        names = ("keptLines", "keptBytes", "batches", "failedAttempts", "refusedLines", "fullLines")
        self._counts = dict.fromkeys(names, 0)

    # ISink.

    def open(self) -> Deferred[None]:
        """See ISink. It is one attempt, and may be called again after a failure."""
        if self._isClosed:
            return fail(SinkClosed("the sink is closed"))

        def opened(_: Any) -> None:
            self._isOpen = True
            self._pump()

        return self._attempt(self._engine.open).addCallback(opened)

    def append(
        self,
        lines: Sequence[bytes],
        origin: str = "",
        numbers: Numbers | None = None,
        routes: Sequence[str] | str = "",
    ) -> Deferred[None]:
        """See ISink. Lines that are appended before `open` wait for it."""
        if self._isClosed:
            return fail(SinkClosed("the sink is closed"))
        if not lines:
            return succeed(None)
        piece = Piece(lines, origin, numbers, routes)
        if self._held + piece.size > self._maxHeld:
            self._counts["fullLines"] += len(lines)
            return fail(SinkFull(f"the sink holds {self._held} bytes, and may hold {self._maxHeld}"))
        self._held += piece.size
        if (behind := self._behind.get(origin)) is not None:
            behind.add(piece)
        else:
            self._ready.setdefault(origin, _Queue()).add(piece)
            self._readyLines += len(lines)
            self._readyBytes += piece.size
            self._pump()
        return piece.kept

    @property
    def isFull(self) -> bool:
        """See ISink."""
        return self._held > self._highWater

    def whenRoom(self) -> Deferred[None]:
        """See ISink."""
        if not self.isFull:
            return succeed(None)
        room: Deferred[None] = Deferred(self._room.remove)
        self._room.append(room)
        return room

    def flush(self) -> Deferred[None]:
        """See ISink."""
        pieces = self._pieces()
        left = len(pieces)
        if not left:
            return succeed(None)
        flushed: Deferred[None] = Deferred(lambda _: None)

        def over(result: Any) -> Any:
            nonlocal left
            left -= 1
            if not left and not flushed.called:
                flushed.callback(None)
            return result

        for piece in pieces:
            piece.kept.addBoth(over)
        self._lingerOver()
        return flushed

    def close(self) -> Deferred[None]:
        """See ISink."""
        if self._isClosed:
            return succeed(None)
        self._isClosed = True
        for timer in (self._retry, self._lingering):
            if timer is not None:
                timer.cancel()
        self._retry = self._lingering = None
        pieces = self._pieces()
        self._flights.clear()
        self._ready.clear()
        self._behind.clear()
        self._stalled.clear()
        self._held = 0
        for attempt in list(self._attempts):
            attempt.cancel()
        for piece in pieces:
            piece.kept.errback(SinkClosed("the sink was closed before it had the lines"))
        self._tellRoom()
        return maybeDeferred(self._engine.close).addCallback(lambda _: None)

    def counters(self) -> dict[str, int]:
        """See ISink. `heldBytes` and `isAway` are of now."""
        return {**self._counts, "heldBytes": self._held, "isAway": int(self._isAway)}

    # Batches.

    def _pieces(self) -> list[Piece]:
        """Return all that is not durable yet."""
        pieces = [piece for flight in self._flights for piece in flight.pieces()]
        for queues in (self._behind, self._ready):
            pieces += [piece for queue in queues.values() for piece in queue.pieces]
        return pieces

    def _pump(self) -> None:
        """Send as many batches as may be under way."""
        while self._ready and len(self._flights) < self._inFlight and self._isOpen and not self._isAway:
            isWhole = self._readyLines >= self._batchLines or self._readyBytes >= self._batchBytes
            if self._linger and not isWhole:
                if self._lingering is None:
                    self._lingering = self._clock().callLater(self._linger, self._lingerOver)
                return
            flight = _Flight(self._take())
            self._flights[flight] = None
            self._send(flight)

    def _lingerOver(self) -> None:
        """Send what waits for more."""
        timer, self._lingering = self._lingering, None
        if timer is not None and timer.active():
            timer.cancel()
        linger, self._linger = self._linger, 0.0
        try:
            self._pump()
        finally:
            self._linger = linger

    def _take(self) -> Batch:
        """Make a batch of what has waited longest, and lock its origins.

        A piece is never cut. So a batch may have more lines than `batchLines`, if one append had.
        """
        pieces: list[Piece] = []
        lines = size = 0
        isWhole = False
        while self._ready and not isWhole:
            origin = next(iter(self._ready))
            queue = self._ready[origin]
            while queue.pieces:
                piece = queue.pieces[0]
                isWhole = lines + len(piece.lines) > self._batchLines or size + piece.size > self._batchBytes
                if isWhole and pieces:
                    break
                pieces.append(queue.pop())
                lines += len(piece.lines)
                size += piece.size
            if pieces[-1].origin == origin:
                self._behind[origin] = self._ready.pop(origin)
                self._readyLines -= queue.lines
                self._readyBytes -= queue.size
        self._readyLines -= lines
        self._readyBytes -= size
        return Batch(pieces)

    def _send(self, flight: _Flight) -> None:
        batch = flight.batches[0]
        attempt = self._attempt(self._engine.send, batch)
        attempt.addCallbacks(lambda _: self._sent(flight), lambda failure: self._notSent(flight, failure))
        attempt.addErrback(lambda failure: log.error("an error in a sink", exc_info=failure.value))

    def _attempt(self, call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        attempt = maybeDeferred(call, *args)
        if not attempt.called:
            attempt.addTimeout(self._attemptTimeout, self._clock(), _timedOut)
            self._attempts[attempt] = None
            attempt.addBoth(self._ended, attempt)
        return attempt

    def _ended(self, result: Any, attempt: Deferred[Any]) -> Any:
        del self._attempts[attempt]
        return result

    def _sent(self, flight: _Flight) -> None:
        if flight not in self._flights:
            return  # closed meanwhile
        self._failures = 0
        batch = flight.batches.popleft()
        self._counts["keptLines"] += batch.count
        self._counts["keptBytes"] += batch.size
        self._counts["batches"] += 1
        self._goOn(flight, batch, None)

    def _notSent(self, flight: _Flight, failure: Failure) -> None:
        if flight not in self._flights:
            return  # closed meanwhile
        if failure.check(LinesRefused) is None:
            self._stalled.append(flight)
            self._away(failure)
            return
        batch = flight.batches.popleft()
        if len(batch.pieces) > 1:  # which of them is refused?
            flight.batches.extendleft(Batch([piece]) for piece in reversed(batch.pieces))
            self._send(flight)
            return
        self._counts["refusedLines"] += batch.count
        self._goOn(flight, batch, failure)

    def _goOn(self, flight: _Flight, batch: Batch, failure: Failure | None) -> None:
        """`batch` is over: send the next one, or unlock the origins of the flight; tell who has appended."""
        self._held -= batch.size
        if flight.batches:
            self._send(flight)
        else:
            del self._flights[flight]
            for origin in flight.origins:
                queue = self._behind.pop(origin)
                if queue.pieces:
                    self._ready[origin] = queue
                    self._readyLines += queue.lines
                    self._readyBytes += queue.size
            self._pump()
        for piece in batch.pieces:
            if failure is None:
                piece.kept.callback(None)
            else:
                piece.kept.errback(failure)
        if not self.isFull:
            self._tellRoom()

    # The engine away.

    def _away(self, failure: Failure) -> None:
        """Open the engine again after a while."""
        self._counts["failedAttempts"] += 1
        text = "a sink does not take lines, and is asked again: %s"
        log.limited(logging.WARNING, text, failure.getErrorMessage() or failure.type.__name__)
        if not self._isAway:
            self._isAway = True
            delay = min(FIRST_DELAY * 2 ** min(self._failures, 16), MAX_DELAY)
            self._failures += 1
            self._retry = self._clock().callLater(delay * (0.5 + self._jitter() / 2), self._openAgain)

    def _openAgain(self) -> None:
        self._retry = None
        self._attempt(self._engine.open).addCallbacks(self._back, self._stillAway)

    def _stillAway(self, failure: Failure) -> None:
        if not self._isClosed:
            self._isAway = False
            self._away(failure)

    def _back(self, _: Any) -> None:
        if self._isClosed:
            return
        self._isAway = False
        stalled, self._stalled = self._stalled, []
        for flight in stalled:
            self._send(flight)
        self._pump()

    def _tellRoom(self) -> None:
        room, self._room = self._room, []
        for each in room:
            each.callback(None)

    def _clock(self) -> IReactorTime:
        return self._givenClock or _current.current()
