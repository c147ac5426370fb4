"""How late the loop is, and which callback holds it up.

The lag is that of a timer: each PERIOD its call is due, and how late it comes is how long any other event waits.

A slow callback is found from beside the loop, by a thread that looks at the loop's stack four times in each limit. A
callback that is there for the whole limit is slow. This works on every kind of loop, and while the callback runs. The
thread is there only if a program asks for it, so otherwise this costs nothing.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from types import FrameType
from typing import TYPE_CHECKING, Any

from reactor._arguments import checkSeconds
from reactor._later import later
from reactor._logger import getLogger
from reactor.failure import safeRepr
from reactor.loops.base import ReactorBase
from reactor.service.memory import residentBytes
from reactor.task import LoopingCall
from reactor.timers import monotonicTime

if TYPE_CHECKING:
    import resource
else:
    resource = later("resource", globals())

log = getLogger("reactor.service")

PERIOD = 0.5  # seconds: an idle process should sleep
WINDOW = 10.0  # seconds in which `lagMax` is the largest
SHORTEST_PAUSE = 0.0005  # seconds between two looks: fewer would take a core from the loop
LOOKS = 4
_LOOPS = ("reactor.loops.", "reactor.timers", "reactor.task", "asyncio.", "selectors", "reactor._beside")


class LoopLag:
    """Measures the lag of the loop of `reactor`, and watches for callbacks longer than `slowCallback` seconds."""

    def __init__(self, reactor: ReactorBase, slowCallback: float | None = None) -> None:
        if slowCallback is not None:
            checkSeconds(slowCallback, "slowCallback")
            if slowCallback <= 0:
                raise ValueError(f"slowCallback is more than 0 seconds, not {slowCallback}")
        self._reactor = reactor
        self._lags: deque[tuple[float, float]] = deque()
        self._due = 0.0
        self._last = 0.0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self._watch = None if slowCallback is None else SlowCallbacks(slowCallback)

    def start(self) -> None:
        """Begin to measure. Later calls do nothing."""
        if not self._loop.running:
            self._due = monotonicTime(self._reactor) + PERIOD
            self._loop.start(PERIOD, now=False)
            if self._watch is not None:
                self._reactor.callWhenRunning(self._watch.start)

    def stop(self) -> None:
        """Measure no more."""
        if self._loop.running:
            self._loop.stop()
        if self._watch is not None:
            self._watch.stop()

    def stats(self) -> dict[str, Any]:
        """Return the lag, the largest of the last ten seconds, and what the process has used."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        now = monotonicTime(self._reactor)
        self._forget(now)
        behind = max(0.0, now - self._due) if self._loop.running and self._reactor.running else 0.0
        return {
            "lag": max(self._last, behind),
            "lagMax": max([behind, *(lag for _at, lag in self._lags)]),
            "slowCallbacks": 0 if self._watch is None else self._watch.count,
            "cpuSeconds": used.ru_utime + used.ru_stime,
            "rssBytes": residentBytes(),
        }

    def _tick(self) -> None:
        now = monotonicTime(self._reactor)
        if self._reactor.running:
            self._last = max(0.0, now - self._due)
            self._lags.append((now, self._last))
            self._forget(now)
        self._due = now + PERIOD

    def _forget(self, now: float) -> None:
        while self._lags and self._lags[0][0] < now - WINDOW:
            self._lags.popleft()


class SlowCallbacks:
    """Counts and logs the callbacks of the loop in this thread that take longer than `limit` seconds."""

    def __init__(self, limit: float) -> None:
        self.count = 0
        self._limit = limit
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._loopThread = 0
        self._pid = 0

    def start(self) -> None:
        """Watch the thread that calls this. Later calls do nothing."""
        if self._thread is None or self._pid != os.getpid():  # a fork leaves the thread behind
            self._ended.clear()
            self._pid = os.getpid()
            self._loopThread = threading.get_ident()
            self._thread = threading.Thread(target=self._run, name="slow callbacks", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None and self._pid == os.getpid():
            thread.join()

    def _run(self) -> None:
        known: FrameType | None = None
        since, told = 0.0, False
        pause = min(max(self._limit / LOOKS, SHORTEST_PAUSE), threading.TIMEOUT_MAX)
        while not self._ended.wait(pause):
            frame, now = self._callback(), time.monotonic()
            if frame is None or frame is not known:
                known, since, told = frame, now, False
            elif not told and now - since >= self._limit:
                told = True
                self._tell(frame, now - since)
            frame = None

    def _callback(self) -> FrameType | None:
        """Return the frame of the callback that the loop has called, None if it sleeps."""
        frame = sys._current_frames().get(self._loopThread)
        outermost: FrameType | None = None
        while frame is not None:
            if frame.f_globals.get("__name__", "").startswith(_LOOPS):
                return outermost
            outermost, frame = frame, frame.f_back
        return None

    def _tell(self, callback: FrameType, seconds: float) -> None:
        self.count += 1
        innermost = sys._current_frames().get(self._loopThread)
        named, connection = callback, None
        frame = innermost
        while frame is not None:
            owner = frame.f_locals.get("self") if frame is callback else None
            if owner is not None:
                connection = owner
            if not frame.f_globals.get("__name__", "").startswith("reactor."):
                named = frame  # the outermost of the program's own frames
            if frame is callback:
                break
            frame = frame.f_back
        code = named.f_code
        name = getattr(code, "co_qualname", code.co_name)
        where = f"{code.co_filename}:{named.f_lineno}"
        about = "" if connection is None else f", for {safeRepr(connection)}"
        log.limited(logging.WARNING, "a callback takes more than %g s: %s (%s)%s", seconds, name, where, about)
