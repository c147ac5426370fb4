"""The collect application: every line of every client, whole and once, into a file.

The lines of a read are one write to the file, made before the next read. So this process holds nothing back: when it
has read from a client, the system has the lines. Lines of one client keep their order, with those of others between
them. If a write fails, no one else has the lines: all clients are dropped, the command ends, and its exit code says so.

An output may stall: a pipe whose reader is slow, a full disk, a disk that is to have the lines before they count. Then
lines wait here, and their senders are paused. Above HELD bytes all clients are paused. A client that has ended its half
gets our end when its lines are kept. At the end the lines may wait until the connections' own deadline. Lines that are
still not taken then are lost, counted and logged, and the exit code is not 0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Protocol

from reactor._logger import getLogger
from reactor.defer import Deferred, succeed
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import ITransportReactor
from reactor.linecore import Tally
from reactor.protocol import ServerFactory
from reactor.service.draining import DEADLINE
from reactor.serving.collecting.formats import Format, addressText, asText
from reactor.serving.collecting.frames import LINES, FrameError, Frames, TooLongError
from reactor.serving.errors import CommandError
from reactor.serving.lines import ServedLines
from reactor.serving.output import Output

log = getLogger("reactor.serving")

MAX_LINE = 1024 * 1024
HELD = 1024 * 1024  # bytes: above them no client is read
STUCK = 5.0  # seconds, until the log names a reader that takes nothing

OVERLONG, UNFINISHED, FAILED, FRAMES, EMPTY = ("Overlong", "Unfinished", "Failed", "BadFrames", "Empty")
REASONS = (OVERLONG, UNFINISHED, FAILED, FRAMES, EMPTY)


class Source(Protocol):
    """As much of a client, or of a port for datagrams, as a Collection needs."""

    def pauseProducing(self) -> object:
        """Bring no lines until resumeProducing."""

    def resumeProducing(self) -> object:
        """Bring lines again."""


class Collector(ServedLines):
    """One client. A CR before the LF is part of the line.

    If the client ends in order, the bytes behind the last LF are a line too. The same rules hold for it, MAX_LENGTH
    included.
    """

    MAX_LENGTH = MAX_LINE
    factory: Collection
    _told = 0  # skipped lines that the factory knows

    def connectionMade(self) -> None:
        """Pause, if all other clients are paused."""
        self.peerText = addressText(self.transport.getPeer())
        self.factory.joined(self)

    def linesReceived(self, lines: list[bytes]) -> None:
        """Keep the lines of a read."""
        self.factory.keep(lines, self)

    def lineLengthExceeded(self, line: bytes) -> Any:
        """See ServedLines; the factory counts it."""
        self.factory.drop(OVERLONG)
        return super().lineLengthExceeded(line)

    def readConnectionLost(self) -> None:
        """Keep the last line: the client has sent everything. Our end follows when its lines are kept."""
        self._keepRest()
        if not self.factory.endLater(self, super().readConnectionLost):
            super().readConnectionLost()

    def _keepRest(self) -> None:
        rest = self.clearLineBuffer()
        if rest:
            self._lastLineReceived(rest.removesuffix(b"\r") if self.stripCR else rest)

    def _lastLineReceived(self, line: bytes) -> None:
        if len(line) <= self.MAX_LENGTH:
            self.factory.keepLast(line, self)
            return
        if self.overlong == "skip":
            self._countOverlong()
        self.lineLengthExceeded(line)

    def _countOverlong(self) -> None:
        self.overlongCount += 1
        tally = getattr(self.transport, "tally", None)
        if isinstance(tally, Tally):
            tally.addOverlong()

    def connectionLost(self, reason: Any = None) -> None:
        """Log an unfinished line: it is not whole, so it is lost."""
        self.factory.left(self)
        rest = self.clearLineBuffer()
        if rest and isinstance(reason, Failure) and not self.factory.failed:
            self.factory.drop(UNFINISHED)
            why = "closed from here" if reason.type is ConnectionDone else reason.getErrorMessage()
            text, peer = "%s: an unfinished line of %d bytes is lost: %s", self.transport.getPeer()
            log.limited(logging.WARNING, text, peer, len(rest), why)


class FramedCollector(Collector):
    """A client whose messages may be octet-counted; see `frames`. The settings for lines hold for both framings."""

    line_mode = 0

    def connectionMade(self) -> None:
        """See Collector."""
        skips = self.overlong == "skip"
        escape = self.factory.escape
        mode = self.factory.frames
        self._frames = Frames(mode, self.delimiter, self.MAX_LENGTH, self.stripCR, skips, escape)
        super().connectionMade()

    def rawDataReceived(self, data: bytes) -> None:
        """Keep the messages of a read."""
        frames = self._frames
        before = frames.overlongCount
        messages, error = frames.feed(data)
        tally = getattr(self.transport, "tally", None)
        if isinstance(tally, Tally):
            frames.count(tally)
        if messages:
            self.factory.keep(messages, self)
        for _ in range(frames.overlongCount - before):
            self._countOverlong()
            self.lineLengthExceeded(b"")
        if isinstance(error, TooLongError):
            self.lineLengthExceeded(b"")
        elif error is not None:
            self._badFrame(error)

    def _badFrame(self, error: FrameError) -> None:
        self.factory.drop(FRAMES)
        log.limited(logging.WARNING, "%s: %s, connection closed", self.transport.getPeer(), error)
        self._frames.take()
        self.transport.loseConnection()

    def _keepRest(self) -> None:
        rest, isCounted = self._frames.take()
        if not rest:
            return
        if not isCounted:
            self._lastLineReceived(rest.removesuffix(b"\r") if self.stripCR else rest)
            return
        self.factory.drop(UNFINISHED)
        text = "%s: an unfinished message of %d bytes is lost: the client has ended"
        log.limited(logging.WARNING, text, self.transport.getPeer(), len(rest))

    def clearLineBuffer(self) -> bytes:
        """See LineReceiver."""
        rest = super().clearLineBuffer()
        return self._frames.take()[0] + rest if hasattr(self, "_frames") else rest

    @property
    def lineCount(self) -> int:
        """The number of messages that have ended on this connection, kept or dropped."""
        return self._frames.messageCount if hasattr(self, "_frames") else 0

    @property
    def heldSize(self) -> int:
        """The number of received bytes that are not kept yet."""
        return super().heldSize + len(self._frames) if hasattr(self, "_frames") else 0


class Collection(ServerFactory[Collector]):
    """Keeps lines in `output`. The first failure to write is the last: `fail` gets it, and nothing is kept.

    `format` makes the file's lines, of `listener` among others. `frames` is one of frames.MODES. `reactor` has the
    timer for a reader that takes nothing; without it, the log does not name one.
    """

    noisy = False
    protocol = Collector

    def __init__(
        self,
        output: Output,
        fail: Callable[[CommandError], object],
        format: Format = asText,
        frames: str = LINES,
        listener: str = "",
        reactor: Any = None,
    ) -> None:
        self.output = output
        self.frames = frames
        self.listener = listener
        self.escape = output.framing.escape
        self.failed = False
        if frames != LINES:
            self.protocol = FramedCollector
        self._fail = fail
        self._format = format
        self._reactor = reactor
        self._clients: dict[Source, None] = {}
        self._paused: dict[Source, None] = {}
        self._ending: dict[Source, Callable[[], object]] = {}
        self._deadline = 0.0
        self._taken: Deferred[None] | None = None
        self._stuck: Any = None
        self._isStuck = False
        self._dropped = dict.fromkeys(REASONS, 0)
        self._counting: list[Callable[[], dict[str, int]]] = []
        output.taken = self._goOn
        output.failed = self._broken

    def keep(self, lines: list[bytes], client: Any = None) -> None:
        """Write `lines` of `client`. After a failure they are dropped: their client is being dropped, too."""
        if client is not None:
            lines = self._format(lines, client.peerText, self.listener)
        self.keepFormatted(lines, client)

    def keepFormatted(self, lines: list[bytes], client: Source | None = None) -> None:
        """Write `lines`, which have the file's format already. See keep."""
        if self.failed:
            self.drop(FAILED, len(lines))
            return
        try:
            self.output.write(lines)
        except CommandError as error:
            self._broken(error)
            return
        if self.output.waits:
            if client is not None:
                self._pause(client)
            if self._isFull():
                for each in list(self._clients):
                    self._pause(each)

    def keepLast(self, rest: bytes, client: Any = None) -> None:
        """Write the bytes behind a client's last delimiter."""
        self.keep([self.output.framing.lastLine(rest)], client)

    def formatted(self, line: bytes, peerText: str) -> bytes:
        """Return a line of the peer in the file's format."""
        return self._format([line], peerText, self.listener)[0]

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that are not kept, for one of REASONS."""
        self._dropped[reason] += count

    def joined(self, client: Source) -> None:
        """Add a client."""
        self._clients[client] = None
        if self._isFull():
            self._pause(client)

    def left(self, client: Source) -> None:
        """Remove a client."""
        self._clients.pop(client, None)
        self._paused.pop(client, None)
        self._ending.pop(client, None)

    def endLater(self, client: Source, end: Callable[[], object]) -> bool:
        """Call `end()` when no line waits any more. False if none waits now: then it is not called."""
        if self.failed or client not in self._paused or not self.output.waits:
            return False
        self._ending[client] = end
        return True

    def reopen(self) -> None:
        """Go on with the file that the output's path names now: the other one was moved away."""
        if not self.failed:
            self.output.reopen()

    def counters(self) -> dict[str, int]:
        """Return what was kept, what was dropped and why, and what the output has done. The numbers only grow."""
        counts = {**self.output.counters(), **{f"dropped{reason}": count for reason, count in self._dropped.items()}}
        for counters in self._counting:
            for name, count in counters().items():
                counts[name] = counts.get(name, 0) + count
        return counts

    def addCounters(self, counters: Callable[[], dict[str, int]]) -> None:
        """Add what `counters()` returns to the result of `counters`, for a port for datagrams, for example."""
        self._counting.append(counters)

    def stopBegins(self, grace: float = DEADLINE) -> None:
        """Start the deadline, `grace` seconds from now: the command is stopping."""
        self._deadline = time.monotonic() + grace

    def allTaken(self, reactor: ITransportReactor) -> Deferred[None]:
        """Return a Deferred that fires when no line waits any more, or at the deadline. All clients have left."""
        self._cancelStuck()
        if not self.output.waits:
            return succeed(None)
        taken = self._taken = Deferred()
        late = reactor.callLater(max(self._deadline - time.monotonic(), 0), taken.callback, None)
        taken.addBoth(lambda _: late.cancel() if late.active() else None)
        return taken

    def _isFull(self) -> bool:
        return self.output.size > HELD

    def _pause(self, client: Source) -> None:
        if client not in self._paused:
            self._paused[client] = None
            client.pauseProducing()
        if self._stuck is None and self._reactor is not None and not self._isStuck:
            self._stuck = self._reactor.callLater(STUCK, self._sayStuck)

    def _sayStuck(self) -> None:
        self._stuck = None
        self._isStuck = True
        text = "%d senders wait for %s, which waits for %s"
        log.warning(text, len(self._paused), self.output.name, self.output.waitsFor)

    def _cancelStuck(self) -> None:
        stuck, self._stuck = self._stuck, None
        if stuck is not None:
            stuck.cancel()
        if self._isStuck:
            self._isStuck = False
            log.warning("%s goes on", self.output.name)

    def _goOn(self) -> None:
        """Resume the clients: no line waits any more."""
        self._cancelStuck()
        while self._paused and not self.output.waits:
            client = next(iter(self._paused))
            del self._paused[client]
            end = self._ending.pop(client, None)
            client.resumeProducing()
            if end is not None:
                end()
        self._noMoreWaiting()

    def _broken(self, error: CommandError) -> None:
        if self.failed:
            return
        self.failed = True
        self._cancelStuck()
        self._fail(error)
        self._noMoreWaiting()

    def _noMoreWaiting(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and not taken.called and not self.output.waits:
            taken.callback(None)
