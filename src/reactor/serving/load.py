"""`linereactor load`: many connections to an echo server, and a check of every reply.

All lines differ, so a reply that is lost, doubled, damaged, out of order or another client's is found at once. A closed
load keeps up to P lines in flight on each connection: at first P, then one for each reply. So a slow server is asked
less often. An open load (`--rate`) sends each line at its time. A latency runs to the read that brings the reply, with
this process's own share. Every line counts. loadclient.py says where a latency begins.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from reactor.defer import Deferred
from reactor.error import ConnectError, TimeoutError
from reactor.failure import Failure
from reactor.interfaces import IDelayedCall
from reactor.loops.base import ReactorBase
from reactor.protocol import ClientFactory
from reactor.serving.descriptors import allowDescriptors
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.latency import Latencies, ProgressBar
from reactor.serving.loadclient import LoadClient
from reactor.serving.loadplan import LoadPlan, share
from reactor.serving.loadtarget import Dialler
from reactor.serving.logs import logTo
from reactor.task import LoopingCall

log = logging.getLogger("reactor.serving")

CONNECTING = 50
CONNECT_TIMEOUT = 10.0
STALL = 10.0
SHOW_EVERY = 0.2
LEAVE_TIME = 1.0  # seconds at the end in which connections end in order; the rest is reset
TICK = 0.001  # seconds, between two looks at the lines that are due: those of one are sent together


class Outcome(NamedTuple):
    """The figures of a load: the replies, when it began and ended by the monotonic clock, and the latencies."""

    received: int
    began: float
    ended: float
    latencies: Latencies

    def told(self, plan: LoadPlan, isLong: bool = False) -> str:
        """Return the figures as text; with `isLong`, or for an open load, with all percentiles and a histogram."""
        took = max(self.ended - self.began, 1e-9)
        lines = [f"{plan.told(self.received)}: every reply right", f"{self.received / took:.0f} lines/s ({took:.3f} s)"]
        if isLong or plan.rate is not None:
            return "\n".join([*lines, self.latencies.told(), self.latencies.histogram()])
        rank = self.latencies.percentile
        lines.append(
            f"latency p50 {rank(50) * 1e3:.3f} ms, p99 {rank(99) * 1e3:.3f} ms, p99.9 {rank(99.9) * 1e3:.3f} ms"
        )
        return "\n".join(lines)


def runLoad(plan: LoadPlan, reactor: ReactorBase) -> Outcome:
    """Run one load in this process. CommandError if a reply was wrong or missing."""
    logTo("warning", reactor)
    allowDescriptors()
    run = Load(reactor, plan)
    run.start()
    reactor.run()
    return run.finish()


class Load(ClientFactory[LoadClient]):
    """All connections: opened CONNECTING at a time, started together, and watched until the last reply.

    If `ready` is given, it is called when all connections stand, and begin() starts the lines. Else they start then.
    """

    noisy = False

    def __init__(
        self, reactor: ReactorBase, plan: LoadPlan, ready: Callable[[], object] | None = None, shows: bool = True
    ) -> None:
        self.latencies = Latencies()
        self.received = 0
        self._reactor = reactor
        self._plan = plan
        self._dialler = Dialler(reactor, plan.target, plan.ca, plan.insecure)
        self._ready = ready or self.begin
        self._lines: float = plan.ownLines
        self._connections = plan.ownConnections
        self._started = 0
        self._built = 0
        self._clients: list[LoadClient] = []
        self._open: set[LoadClient] = set()
        self._left: Deferred[None] | None = None  # fires when no connection is open any more
        self._begun = 0.0
        self._ended = 0.0
        self._over = False
        self._error: str | None = None
        self._lastReceived = 0
        self._lastProgress = 0.0
        self._issued = 0  # in an open load, the lines that were due
        self._calls: list[IDelayedCall] = []
        self._bar = ProgressBar(sys.stderr, 1) if shows else None
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def start(self) -> None:
        """Begin as soon as the reactor runs."""
        self._reactor.callWhenRunning(self._connectMore)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupted)
        self._loop.start(SHOW_EVERY, now=False)

    def finish(self) -> Outcome:
        """Finish, after the reactor has stopped. CommandError if a reply is missing."""
        if self._bar is not None:
            self._bar.clear()
        if self._loop.running:
            self._loop.stop()
        self._cancelCalls()
        if self._error is not None:
            raise CommandError(self._error)
        return Outcome(self.received, self._begun, self._ended, self.latencies)

    def buildProtocol(self, addr: Any) -> LoadClient:
        """Return the next connection."""
        at, plan = self._built, self._plan
        self._built += 1
        total = self._lines if plan.lines == float("inf") else share(int(self._lines), at, self._connections)
        dueAt = None if plan.rate is None else lambda number: self._dueAt(at + number * self._connections)
        client = LoadClient(at * plan.parts + plan.part, total, plan.length, self.latencies, dueAt)
        client.factory = self
        return client

    def connectionMade(self, client: LoadClient) -> None:
        """Called by each client."""
        self._clients.append(client)
        self._open.add(client)
        if self._over:
            client.leave()
        elif len(self._clients) == self._connections:
            self._clients.sort(key=lambda each: each.number)
            self._ready()
        else:
            self._connectMore()

    def begin(self) -> None:
        """Send the first lines, on all connections."""
        self._begun = self._lastProgress = time.perf_counter()
        if self._plan.rate is not None:
            self._sendDue()
            return
        for client in self._clients:
            client.send(self._plan.pipeline)
        if self._plan.duration is not None:
            self._later(self._plan.duration, self._endSending)

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Give up: one failure is enough."""
        self.fail(f"cannot connect to {self._plan.target}: {connectReason(reason)}")

    def connectionLost(self, client: LoadClient, reason: Failure) -> None:
        """Called by each client when its connection has ended."""
        self._open.discard(client)
        if self._left is not None and not self._open:
            self._allLeft()
        replies = f"{client.received} of {client.total} replies" if self._isCounted else f"{client.received} replies"
        self.fail(f"connection {client.number} was lost after {replies}: {reasonOf(reason.value)}")

    def repliesReceived(self, count: int) -> None:
        """Called by each client for its right replies."""
        self.received += count
        if self.received == self._lines:
            self._complete()

    def fail(self, message: str) -> None:
        """Give up. Only the first reason counts, and no reason after the end."""
        if not self._over:
            self._error = self._withCount(message)
            self._end()

    @property
    def _isCounted(self) -> bool:
        """Whether the number of lines is known."""
        return self._lines != float("inf")

    def _withCount(self, message: str) -> str:
        if not self._begun:
            return message
        return f"{message} ({self.received}{f' of {self._lines}' if self._isCounted else ''} replies were right)"

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._calls = [self._reactor.callLater(seconds, call)]

    def _cancelCalls(self) -> None:
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls.clear()

    # An open load.

    def _dueAt(self, number: int) -> float:
        return self._begun + self._plan.dueAfter(number)

    def _sendDue(self) -> None:
        """Send each line that is due, those of a connection in one write."""
        if self._over:
            return
        now, clients = time.perf_counter(), self._clients
        first, due = self._issued, self._plan.dueWithin(now - self._begun)
        self._issued = max(due, first)
        if due - first < len(clients):
            for number in range(first, due):
                clients[number % len(clients)].send(1)
        else:
            for at, client in enumerate(clients):
                client.send(-((at - due) // len(clients)) - client.sent)
        if due < self._lines:
            self._later(max(self._dueAt(due) - now, TICK), self._sendDue)

    # A closed load.

    def _endSending(self) -> None:
        """The time is over: only the lines in flight are still awaited."""
        if self._over:
            return
        for client in self._clients:
            client.endSending()
        self._lines = sum(client.sent for client in self._clients)
        if self.received == self._lines:
            self._complete()

    # The end.

    def _complete(self) -> None:
        self._ended = time.perf_counter()
        self._end()

    def _interrupted(self) -> Deferred[None] | None:
        """The reactor stops. If a signal did that, the reasons of the connections' ends no longer count."""
        if self._over:
            return None
        self._over = True
        self._error = self._withCount("interrupted")
        self._cancelCalls()
        return self._leave()

    def _end(self) -> None:
        self._over = True
        self._cancelCalls()
        self._reactor.callLater(0, self._stop)

    def _stop(self) -> None:
        if self._error is None:
            self._leave().addCallback(self._stopReactor)
        else:
            self._abort()
            self._stopReactor(None)

    def _stopReactor(self, _result: object) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _leave(self) -> Deferred[None]:
        """End the connections in order, so that the server sees no reset. The Deferred fires when none is open."""
        left = self._left = Deferred()
        self._later(LEAVE_TIME, self._abort)
        for client in list(self._open):
            client.leave()
        if not self._open:
            self._allLeft()
        return left

    def _allLeft(self) -> None:
        self._cancelCalls()
        left, self._left = self._left, None
        if left is not None:
            left.callback(None)

    def _abort(self) -> None:
        for client in list(self._open):
            client.transport.abortConnection()

    def _connectMore(self) -> None:
        while self._started < self._connections and self._started - len(self._clients) < CONNECTING and not self._over:
            self._started += 1
            self._dialler.connect(self, CONNECT_TIMEOUT)

    def _look(self) -> None:
        """Show the progress, and give up if there is none."""
        now = time.perf_counter()
        if not self._begun:
            self._show(0, f"{len(self._clients)} of {self._connections} connections")
            return
        if self.received != self._lastReceived or not self._awaits():
            self._lastReceived = self.received
            self._lastProgress = now
        elif now - self._lastProgress > STALL:
            self.fail(f"no reply for {STALL:g} s")
        took = max(now - self._begun, 1e-9)
        self._show(self.progress(), f"{self.received / took:.0f} lines/s")

    def progress(self) -> float:
        """Return the part that is done, from 0 to 1."""
        if self._plan.duration is not None and self._begun:
            return min((time.perf_counter() - self._begun) / self._plan.duration, 1.0)
        return self.received / self._lines

    def _awaits(self) -> bool:
        """Whether a reply is missing."""
        return any(client.received < client.sent for client in self._clients)

    def _show(self, done: float, text: str) -> None:
        if self._bar is not None:
            self._bar.show(done, text)


def connectReason(reason: Failure) -> str:
    """Return why a connection could not be made, in a few words."""
    error = reason.value
    if isinstance(error, TimeoutError):
        return f"no answer in {CONNECT_TIMEOUT:g} s"
    return str(error.args[0]) if isinstance(error, ConnectError) and error.args[0] else reasonOf(error)
