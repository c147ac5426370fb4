"""The collect application: every line of every client, whole and once, into a file.

A read's lines are one write to the file, made before the next read, so nothing is held back in this process: when the
client has been read, the system has its lines. Lines of one client keep their order; those of others stand between
them. What cannot be written is nobody's to keep: all clients are dropped, the command ends, and its exit code says so.

A pipe, terminal or socket in the file's place may stall. Then lines wait here, and their senders are paused: each once
it has brought lines that wait, and all of them above HELD bytes. At the end they may wait until the connections' own
deadline; what is still not taken then is lost, counted and said, and the exit code is not 0.
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
from reactor.serving.drain import DEADLINE
from reactor.serving.errors import CommandError
from reactor.serving.linefile import LineFile, LinePipe
from reactor.serving.lines import ServedLines

log = getLogger("reactor.serving")

MAX_LINE = 1024 * 1024
HELD = 1024 * 1024  # bytes: above them nobody at all is read from


class Collector(ServedLines):
    """One client. A CR before the LF is part of the line; what follows the last LF is a line, if the client ended in
    order: the same line as with its LF, so one that is too long is treated as such.
    """

    MAX_LENGTH = MAX_LINE
    factory: Collection

    def connectionMade(self) -> None:
        """Wait, if all others do."""
        self.factory.joined(self)

    def linesReceived(self, lines: list[bytes]) -> None:
        """Keep a read's lines."""
        self.factory.keep(lines, self)

    def readConnectionLost(self) -> None:
        """The client has said everything."""
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
        """A line that the client did not end is not whole."""
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
        """Write what a client said after its last delimiter."""
        self.keep([self._output.framing.lastLine(rest)])

    def joined(self, client: Collector) -> None:
        """A client has come."""
        self._clients[client] = None
        if self._isFull():
            self._pause(client)

    def left(self, client: Collector) -> None:
        """A client has gone."""
        self._clients.pop(client, None)
        self._paused.pop(client, None)

    def stopBegins(self) -> None:
        """The command has been told to stop: from now on the deadline runs."""
        self._deadline = time.monotonic() + DEADLINE

    def allTaken(self, reactor: ITransportReactor) -> Deferred[None]:
        """The clients have gone. The Deferred fires when nothing waits any more, or at the deadline."""
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
        """Nothing waits any more."""
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
