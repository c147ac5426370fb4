"""A worker of `serve --threads`: a reactor in each of several threads, and one link to the supervisor.

The first reactor runs in the main thread, and has the link, the signals and the beats. Each thread has a Serving of its
own, with its own applications, listeners and limits. It has its own sockets, too, where there is SO_REUSEPORT. So
threads share nothing but the code. All that goes from thread to thread is a call: callFromThread carries it.

A Member takes the place of the Worker for the Serving of one thread. A thread gives its counters, as a new dictionary,
with each beat, and the main thread sums the last ones. A thread without such a beat does not turn. Then the process has
no beat, either, and the supervisor's watchdog replaces it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from reactor import _current
from reactor._logger import getLogger
from reactor.defer import Deferred, gatherResults, maybeDeferred, succeed
from reactor.error import ReactorNotRunning
from reactor.loops.base import ReactorBase
from reactor.service.combining import combined
from reactor.service.worker import Worker
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.plan import Plan
from reactor.serving.running import Serving
from reactor.task import LoopingCall

log = getLogger("reactor.serving")

LATE_BEATS = 3  # the beats of a thread that may be missing before the process has none
JOIN = 1.0  # seconds for each thread to end, when the main one has ended


class Member:
    """One thread of a worker: what its Serving sees of the Worker. Only its own thread calls the methods of this class.

    Its fields are a Worker's: `number` and `generation` are those of the process, `sockets` this thread's part.
    """

    def __init__(self, threads: Threads, position: int, reactor: ReactorBase, worker: Worker) -> None:
        self.number = worker.number
        self.generation = worker.generation
        self.sendFin = False
        self.reactor = reactor
        self.position = position
        self.sockets = {name: _part(position, threads.count, all) for name, all in worker.sockets.items()}
        self.snapshot: Mapping[str, Any] = {}  # replaced as a whole, so other threads may read it
        self.seen: float | None = None  # the time of the last beat
        self.error: BaseException | None = None
        self.over: Deferred[None] = Deferred()  # fires in the main thread
        self._threads = threads
        self._take: Callable[[str, Any], object] | None = None
        self._drain: Callable[[float], Any] | None = None
        self._reopen: Callable[[], object] | None = None
        self._stats: Callable[[], Mapping[str, Any]] = dict
        self._beating = LoopingCall(self.beat)
        self._beating.clock = reactor

    # For Serving.

    def onTake(self, call: Callable[[str, Any], object]) -> None:
        """See Worker."""
        self._take = call

    def onDrain(self, call: Callable[[float], Any]) -> None:
        """See Worker."""
        self._drain = call

    def onReopen(self, call: Callable[[], object]) -> None:
        """See Worker."""
        self._reopen = call

    def reports(self, stats: Callable[[], Mapping[str, Any]]) -> None:
        """See Worker."""
        self._stats = stats

    def limitLife(self, maxLines: int | None = None, maxLifetime: float | None = None) -> None:
        """Do nothing: the process has one life, which Threads limits."""

    def ready(self) -> None:
        """Tell the main thread that this one serves, as soon as its reactor runs."""
        self.reactor.callWhenRunning(self._begin)

    def cannotGoOn(self, reason: str) -> None:
        """See Worker. Another thread than the main one does nothing: the main one fails when that one has ended."""
        if self._threads.isFirst(self):
            self._threads.cannotGoOn(reason)

    def _begin(self) -> None:
        if self._threads.isFirst(self):
            self.beat()
        else:
            self._beating.start(self._threads.beatInterval)
        self._threads.tell(self._threads.memberReady)

    # For Threads, in this thread.

    def beat(self) -> None:
        """Give new counters."""
        self.snapshot = self._stats()
        self.seen = time.monotonic()

    def take(self, name: str, sock: Any) -> None:
        """Accept on a further socket, too."""
        if self._take is None:
            sock.close()
        else:
            self._take(name, sock)

    def reopen(self) -> None:
        """Open files anew."""
        if self._reopen is not None:
            self._reopen()

    def drain(self, grace: float, sendFin: bool) -> Deferred[Any]:
        """End the work of this thread in order."""
        self.sendFin = sendFin
        return succeed(None) if self._drain is None else maybeDeferred(self._drain, grace)

    def drainAndStop(self, grace: float, sendFin: bool) -> None:
        """The same, and then stop the reactor."""
        self.drain(grace, sendFin).addErrback(self.reactor.reportFailure, "the drain of a thread").addBoth(self.stop)

    def stop(self, _result: object = None) -> None:
        """Stop the reactor, behind a last beat."""
        if self._beating.running:
            self._beating.stop()
        self.beat()
        with suppress(ReactorNotRunning):
            self.reactor.stop()


class Threads:
    """Serves `plan` in `plan.threads` threads, of which this one is the first. `worker` is the link to the supervisor.

    `makeReactor()` makes the reactor of a further thread.
    """

    def __init__(
        self, plan: Plan, reactor: ReactorBase, worker: Worker, makeReactor: Callable[[], ReactorBase]
    ) -> None:
        self.count = plan.threads or 1
        self.beatInterval = worker.beatInterval
        self._plan = plan
        self._worker = worker
        self._left = self.count
        self._taken = 0
        reactors = [reactor, *(makeReactor() for _ in range(self.count - 1))]
        self._members = [Member(self, position, each, worker) for position, each in enumerate(reactors)]
        self._main = self._members[0]
        self._serving: Serving | None = None

    def run(self) -> int:
        """Serve until the supervisor, or a failure, ends all threads; return the exit code. CommandError as Serving."""
        worker, others = self._worker, self._members[1:]
        worker.onTake(self._take)
        worker.onReopen(self._reopen)
        worker.onDrain(self._drain)
        worker.reports(self.stats)
        worker.limitLife(self._plan.maxLines, self._plan.maxLifetime)
        if self._plan.watchdog is not None:
            worker.beatsWhile(self._allTurn)
        running = [
            threading.Thread(target=self._runMember, args=(each,), name=f"reactor {each.position}", daemon=True)
            for each in others
        ]
        try:
            self._serving = Serving(self._plan, self._main.reactor, self._main)
            for thread in running:
                thread.start()
            return self._serving.run()
        finally:
            for member, thread in zip(others, running, strict=True):
                if thread.is_alive():
                    with suppress(OSError):
                        member.reactor.callFromThread(member.stop)
            for thread in running:
                if thread.ident is not None:
                    thread.join(JOIN)

    def stats(self) -> Mapping[str, Any]:
        """Return the counters of all threads, in one snapshot."""
        self._main.beat()
        return combined([each.snapshot for each in self._members if each.snapshot])

    def isFirst(self, member: Member) -> bool:
        """Whether `member` is that of the main thread."""
        return member is self._main

    def tell(self, call: Callable[..., object], *arguments: object) -> None:
        """Make a call in the main thread. Any thread."""
        with suppress(OSError):  # the main reactor is closed
            self._main.reactor.callFromThread(call, *arguments)

    def cannotGoOn(self, reason: str) -> None:
        """Tell the supervisor why no process can go on."""
        self._worker.cannotGoOn(reason)

    def memberReady(self) -> None:
        """One more thread serves. When all do, the worker is ready."""
        self._left -= 1
        if not self._left:
            self._worker.ready()

    def _runMember(self, member: Member) -> None:
        """Run in a thread of its own."""
        _current.adopt(member.reactor)
        try:
            Serving(self._plan, member.reactor, member).run()
        except BaseException as error:
            member.error = error
        finally:
            with suppress(Exception):
                member.reactor.close()
            self.tell(self._memberOver, member)

    def _memberOver(self, member: Member) -> None:
        """A thread has ended: by the drain, or since its reactor has stopped, or failed."""
        member.over.callback(None)
        error, member.error = member.error, None
        if self._worker.isDraining:
            return
        if error is not None:
            if not isinstance(error, CommandError):
                log.error("a thread has failed", exc_info=error)
                error = CommandError(f"a thread has failed: {reasonOf(error)}")
            assert self._serving is not None
            self._serving.fail(error)
        else:
            with suppress(ReactorNotRunning):
                self._main.reactor.stop()

    def _take(self, name: str, sock: Any) -> None:
        """Give a further socket, which another worker leaves behind, to the threads in turn."""
        member = self._members[self._taken % self.count]
        self._taken += 1
        self._call(member, member.take, name, sock)

    def _reopen(self) -> None:
        for member in self._members:
            self._call(member, member.reopen)

    def _call(self, member: Member, call: Callable[..., object], *arguments: object) -> None:
        """Make a call in the thread of `member`."""
        if member is self._main:
            call(*arguments)
        else:
            with suppress(OSError):  # it has ended
                member.reactor.callFromThread(call, *arguments)

    def _drain(self, grace: float) -> Deferred[Any]:
        """End the work of all threads in order. The others have ended when the Deferred fires."""
        sendFin = self._worker.sendFin
        waiting = [self._main.drain(grace, sendFin)]
        for member in self._members[1:]:
            waiting.append(member.over)
            self._call(member, member.drainAndStop, grace, sendFin)
        return gatherResults(waiting, consumeErrors=True)

    def _allTurn(self) -> bool:
        """Whether each loop has turned lately. The main one does, as it asks."""
        oldest = time.monotonic() - LATE_BEATS * self.beatInterval
        others = self._members[1:]
        return self._worker.isDraining or all(each.seen is None or each.seen > oldest for each in others)


def _part(position: int, count: int, sockets: list[Any]) -> list[Any]:
    """Return the sockets of the thread `position` of `count`. One that is alone is shared."""
    return sockets[position::count] or [sockets[position % len(sockets)]]
