"""`linereactor load`: many connections to an echo server, and a check of every reply.

A connection keeps up to P lines in flight. At first it sends P, then one for each reply, those of a read in one write.
All lines differ, so a reply that is lost, doubled, damaged, out of order or another client's is found at once. The load
is closed: a slow server is asked less often. A latency runs from the write of a line to the read that brings its reply,
with this process's own share. Every line counts.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import deque
from typing import Any

from reactor.error import ConnectError, TimeoutError
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.loops.base import ReactorBase
from reactor.protocol import ClientFactory
from reactor.serving.descriptors import allowDescriptors
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.latency import Latencies, ProgressBar
from reactor.serving.logs import logTo
from reactor.serving.options import Target
from reactor.task import LoopingCall

log = logging.getLogger("reactor.serving")

CONNECTING = 50
CONNECT_TIMEOUT = 10.0
STALL = 10.0
SHOW_EVERY = 0.2
SHOWN_BYTES = 60


def load(options: argparse.Namespace, reactor: ReactorBase) -> int:
    """Run one load and print its figures; return 0. CommandError if a reply was wrong or missing."""
    logTo("warning", reactor)
    allowDescriptors()
    run = Load(reactor, options.target, options.connections, options.pipeline, options.lines, options.line_length)
    run.start()
    reactor.run()
    run.finish()
    print(run.report(), flush=True)
    return 0


class LoadClient(LineReceiver):
    """One connection: sends its own lines, number 0 to `total` - 1, and checks that they come back."""

    delimiter = b"\n"
    stripCR = True
    factory: Load

    def __init__(self, number: int, total: int, length: int) -> None:
        self.MAX_LENGTH = length + 1
        self.total = total
        self.received = 0
        self._sent = 0
        self._prefix = b"%08x" % number
        self._filler = b"x" * (length - 16)
        self._expected: list[bytes] = []
        self._batches: deque[tuple[float, int]] = deque()

    def connectionMade(self) -> None:
        """Wait for the other connections."""
        self.factory.connectionMade(self)

    def send(self, count: int) -> None:
        """Send `count` more lines, or as many as are left."""
        first, self._sent = self._sent, min(self._sent + count, self.total)
        if first == self._sent:
            return
        prefix, filler = self._prefix, self._filler
        lines = [b"%b%08x%b" % (prefix, number, filler) for number in range(first, self._sent)]
        self._expected += lines
        self._batches.append((time.perf_counter(), len(lines)))
        self.transport.write(b"\r\n".join([*lines, b""]))

    def linesReceived(self, lines: list[bytes]) -> None:
        """Check the replies of a read, and send as many lines."""
        now = time.perf_counter()
        count = len(lines)
        expected = self._expected
        if lines != expected[:count]:
            self._reportWrong(lines)
            return
        del expected[:count]
        self.received += count
        self._time(now, count)
        self.factory.repliesReceived(count)
        if self.received < self.total:
            self.send(count)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Fail: no line this long was sent."""
        self._reportWrong([line])

    def connectionLost(self, reason: Any = None) -> None:
        """Fail, unless the load is over: the end came too early."""
        assert isinstance(reason, Failure)
        self.factory.connectionLost(self, reason)

    def _time(self, now: float, count: int) -> None:
        batches = self._batches
        latencies = self.factory.latencies
        while count:
            sentAt, size = batches[0]
            taken = min(size, count)
            latencies.add(now - sentAt, taken)
            count -= taken
            if taken == size:
                batches.popleft()
            else:
                batches[0] = (sentAt, size - taken)

    def _reportWrong(self, lines: list[bytes]) -> None:
        pairs = zip(lines, [*self._expected, *[None] * len(lines)], strict=False)
        at, (got, wanted) = next((at, pair) for at, pair in enumerate(pairs) if pair[0] != pair[1])
        shown = "nothing more" if wanted is None else shortened(wanted)
        where = f"connection {int(self._prefix, 16)}, reply {self.received + at}"
        self.factory.fail(f"{where}: {shown} was expected, {shortened(got)} came")


def shortened(line: bytes) -> str:
    """Return a line in a form to show."""
    return repr(line) if len(line) <= SHOWN_BYTES else f"{line[:SHOWN_BYTES]!r}... ({len(line)} bytes)"


class Load(ClientFactory[LoadClient]):
    """All connections: opened CONNECTING at a time, started together, and watched until the last reply."""

    noisy = False

    def __init__(
        self, reactor: ReactorBase, target: Target, connections: int, pipeline: int, lines: int, length: int
    ) -> None:
        self.latencies = Latencies()
        self.received = 0
        self._reactor = reactor
        self._target = target
        self._pipeline = pipeline
        self._lines = lines
        self._length = length
        self._connections = min(connections, lines)
        self._started = 0
        self._built = 0
        self._clients: list[LoadClient] = []
        self._begun = 0.0
        self._ended = 0.0
        self._over = False
        self._error: str | None = None
        self._lastReceived = 0
        self._lastProgress = 0.0
        self._bar = ProgressBar(sys.stderr, lines)
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin as soon as the reactor runs."""
        self._reactor.callWhenRunning(self._connectMore)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupted)
        self._loop.start(SHOW_EVERY, now=False)

    def finish(self) -> None:
        """Finish, after the reactor has stopped. CommandError if a reply is missing."""
        self._bar.clear()
        if self._loop.running:
            self._loop.stop()
        if self._error is not None:
            told = f" ({self.received} of {self._lines} replies were right)" if self._begun else ""
            raise CommandError(self._error + told)

    def report(self) -> str:
        """Return the figures."""
        took = max(self._ended - self._begun, 1e-9)
        share = self.latencies.percentile
        return (
            f"{self.received} lines of {self._length} bytes, {self._connections} connections, {self._pipeline} deep:"
            f" every reply right\n{self.received / took:.0f} lines/s ({took:.3f} s)\n"
            f"latency p50 {share(50) * 1e3:.3f} ms, p99 {share(99) * 1e3:.3f} ms, p99.9 {share(99.9) * 1e3:.3f} ms"
        )

    def buildProtocol(self, addr: Any) -> LoadClient:
        """Return the next connection. The first ones take the remainder of the division."""
        share, rest = divmod(self._lines, self._connections)
        client = LoadClient(self._built, share + (self._built < rest), self._length)
        client.factory = self
        self._built += 1
        return client

    def connectionMade(self, client: LoadClient) -> None:
        """Called by each client. After the last call all begin."""
        self._clients.append(client)
        if len(self._clients) == self._connections:
            self._begun = self._lastProgress = time.perf_counter()
            for client in self._clients:
                client.send(self._pipeline)
        else:
            self._connectMore()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Give up: one failure is enough."""
        self.fail(f"cannot connect to {self._target}: {connectReason(reason)}")

    def connectionLost(self, client: LoadClient, reason: Failure) -> None:
        """Called by each client when its connection has ended."""
        number = self._clients.index(client) if not self._over else 0
        self.fail(
            f"connection {number} was lost after {client.received} of {client.total} replies: {reasonOf(reason.value)}"
        )

    def repliesReceived(self, count: int) -> None:
        """Called by each client for its right replies."""
        self.received += count
        if self.received == self._lines:
            self._ended = time.perf_counter()
            self._end()

    def fail(self, message: str) -> None:
        """Give up. Only the first reason counts, and no reason after the end."""
        if not self._over:
            self._error = message
            self._end()

    def _interrupted(self) -> None:
        """The reactor stops. If a signal did that, the reasons of the connections' ends no longer count."""
        if not self._over:
            self._over = True
            self._error = "interrupted"

    def _end(self) -> None:
        self._over = True
        self._reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        for client in self._clients:
            client.transport.abortConnection()
        if self._reactor.running:
            self._reactor.stop()

    def _connectMore(self) -> None:
        while self._started < self._connections and self._started - len(self._clients) < CONNECTING and not self._over:
            self._started += 1
            self._reactor.connectTCP(self._target.host, self._target.port, self, timeout=CONNECT_TIMEOUT)

    def _look(self) -> None:
        """Show the progress, and give up if there is none."""
        now = time.perf_counter()
        if not self._begun:
            self._bar.show(0, f"{len(self._clients)} of {self._connections} connections")
            return
        if self.received != self._lastReceived:
            self._lastReceived = self.received
            self._lastProgress = now
        elif now - self._lastProgress > STALL:
            self.fail(f"no reply for {STALL:g} s")
        self._bar.show(self.received, f"{self.received / max(now - self._begun, 1e-9):.0f} lines/s")


def connectReason(reason: Failure) -> str:
    """Return why a connection could not be made, in a few words."""
    error = reason.value
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT:g} s"
    return str(error.args[0]) if isinstance(error, ConnectError) and error.args[0] else reasonOf(error)
