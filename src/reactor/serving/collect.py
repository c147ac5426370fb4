"""The collect application: every line of every client, whole and once, into a file.

The lines of a read are one write to the file, made before the next read. So this process holds nothing back: when it
has read from a client, the system has the lines. Lines of one client keep their order, with those of others between
them. If a write fails, no one else has the lines: all clients are dropped, the command ends, and its exit code says so.

A pipe, terminal or socket in the file's place may stall. Then lines wait here, and their senders are paused. Above HELD
bytes all clients are paused. At the end the lines may wait until the connections' own deadline. Lines that are still
not taken then are lost, counted and logged, and the exit code is not 0.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from reactor._logger import getLogger
from reactor.defer import Deferred, succeed
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import ITransportReactor
from reactor.protocol import ServerFactory
from reactor.service.drain import DEADLINE
from reactor.serving.errors import CommandError
from reactor.serving.linefile import LineFile, LinePipe
from reactor.serving.lines import ServedLines

log = getLogger("reactor.serving")

MAX_LINE = 1024 * 1024
HELD = 1024 * 1024  # bytes: above them no client is read


class Collector(ServedLines):
    """One client. A CR before the LF is part of the line.

    If the client ends in order, the bytes behind the last LF are a line too. The same rules hold for it, MAX_LENGTH
    included.
    """

    MAX_LENGTH = MAX_LINE
    factory: Collection

    def connectionMade(self) -> None:
        """Pause, if all other clients are paused."""
        self.factory.joined(self)

    def linesReceived(self, lines: list[bytes]) -> None:
        """Keep the lines of a read."""
        self.factory.keep(lines, self)

    def readConnectionLost(self) -> None:
        """Keep the last line: the client has sent everything."""
        rest = self.clearLineBuffer()
        if rest:
            self._lastLineReceived(rest.removesuffix(b"\r") if self.stripCR else rest)
        super().readConnectionLost()

    def _lastLineReceived(self, line: bytes) -> None:
        if len(line) <= self.MAX_LENGTH:
            self.factory.keepLast(line)
            return
        if self.overlong == "skip":
            self.overlongCount += 1
        self.lineLengthExceeded(line)

    def connectionLost(self, reason: Any = None) -> None:
        """Log an unfinished line: it is not whole, so it is lost."""
        self.factory.left(self)
        rest = self.clearLineBuffer()
        if rest and isinstance(reason, Failure) and not self.factory.failed:
            why = "closed from here" if reason.type is ConnectionDone else reason.getErrorMessage()
            text, peer = "%s: an unfinished line of %d bytes is lost: %s", self.transport.getPeer()
            log.limited(logging.WARNING, text, peer, len(rest), why)


class Collection(ServerFactory[Collector]):
    """Keeps lines in `output`. The first failure to write is the last: `fail` gets it, and nothing is kept."""

    noisy = False
    protocol = Collector

    def __init__(self, output: LineFile | LinePipe, fail: Callable[[CommandError], object]) -> None:
        self._output = output
        self._fail = fail
        self.failed = False
        self._clients: dict[Collector, None] = {}
        self._paused: dict[Collector, None] = {}
        self._deadline = 0.0
        self._taken: Deferred[None] | None = None
        if isinstance(output, LinePipe):
            output.taken = self._goOn
            output.failed = self._broken

    def keep(self, lines: list[bytes], client: Collector | None = None) -> None:
        """Write `lines` of `client`. After a failure they are dropped: their client is being dropped, too."""
        if self.failed:
            return
        try:
            self._output.write(lines)
        except CommandError as error:
            self._broken(error)
            return
        if self._output.waits:
            if client is not None:
                self._pause(client)
            if self._isFull():
                for each in list(self._clients):
                    self._pause(each)

    def keepLast(self, rest: bytes) -> None:
        """Write the bytes behind a client's last delimiter."""
        self.keep([self._output.framing.lastLine(rest)])

    def joined(self, client: Collector) -> None:
        """Add a client."""
        self._clients[client] = None
        if self._isFull():
            self._pause(client)

    def left(self, client: Collector) -> None:
        """Remove a client."""
        self._clients.pop(client, None)
        self._paused.pop(client, None)

    def stopBegins(self) -> None:
        """Start the deadline: the command is stopping."""
        self._deadline = time.monotonic() + DEADLINE

    def allTaken(self, reactor: ITransportReactor) -> Deferred[None]:
        """Return a Deferred that fires when no line waits any more, or at the deadline. All clients have left."""
        if not self._output.waits:
            return succeed(None)
        taken = self._taken = Deferred()
        late = reactor.callLater(max(self._deadline - time.monotonic(), 0), taken.callback, None)
        taken.addBoth(lambda _: late.cancel() if late.active() else None)
        return taken

    def _isFull(self) -> bool:
        return isinstance(self._output, LinePipe) and self._output.size > HELD

    def _pause(self, client: Collector) -> None:
        if client not in self._paused:
            self._paused[client] = None
            client.pauseProducing()

    def _goOn(self) -> None:
        """Resume the clients: no line waits any more."""
        while self._paused and not self._output.waits:
            client = next(iter(self._paused))
            del self._paused[client]
            client.resumeProducing()
        self._noMoreWaiting()

    def _broken(self, error: CommandError) -> None:
        self.failed = True
        self._fail(error)
        self._noMoreWaiting()

    def _noMoreWaiting(self) -> None:
        taken, self._taken = self._taken, None
        if taken is not None and not taken.called and not self._output.waits:
            taken.callback(None)
