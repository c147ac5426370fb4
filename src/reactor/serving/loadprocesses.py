"""A load in several processes: the first one starts the others, has them begin together, and unites their figures.

Each child runs the same command with --part. It writes JSON objects to its standard output, one a line. The first says
"ready" when its connections stand, the last has its figures or an error, and between come the numbers so far. A line on
its standard input lets it begin. If that ends, the first process is no more, and the child ends too.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.loops.base import ReactorBase
from reactor.protocol import ProcessProtocol
from reactor.serving import load as loading
from reactor.serving.descriptors import allowDescriptors
from reactor.serving.errors import CommandError
from reactor.serving.latency import Latencies, ProgressBar
from reactor.serving.load import Load, Outcome
from reactor.serving.loadplan import LoadPlan
from reactor.serving.logs import logTo
from reactor.stdio import StandardIO
from reactor.task import LoopingCall

GO = b"go"


class _Parent(LineReceiver):
    """In a child: the way to the first process."""

    delimiter = b"\n"

    run: Load | None = None

    def lineReceived(self, line: bytes) -> None:
        """Begin."""
        assert self.run is not None
        self.run.begin()

    def tell(self, **what: Any) -> None:
        """Write one JSON object."""
        self.sendLine(json.dumps(what).encode())

    def connectionLost(self, reason: Failure | None = None) -> None:
        """End, unless the load is over: no process wants the figures any more."""
        if self.run is not None:
            self.run.fail("the first process has ended")


def runPart(plan: LoadPlan, reactor: ReactorBase) -> int:
    """Run one part, in a child; return 0. Errors are told to the first process, too."""
    logTo("warning", reactor)
    allowDescriptors()
    output = os.dup(1)  # StandardIO gives the number 1 away at its end
    parent = _Parent()
    StandardIO(parent, reactor=reactor)
    told: dict[str, Any]
    try:
        run = parent.run = Load(reactor, plan, lambda: parent.tell(ready=True), shows=False)
        telling = LoopingCall(lambda: parent.tell(received=run.received, progress=run.progress()))
        telling.clock = reactor
        telling.start(loading.SHOW_EVERY, now=False)
        run.start()
        reactor.run()
        outcome = run.finish()
        told = {
            "received": outcome.received,
            "began": outcome.began,
            "ended": outcome.ended,
            "longest": outcome.latencies.max,
            "cells": outcome.latencies.cells(),
        }
    except CommandError as error:
        told = {"error": str(error)}
    with open(output, "w") as file:
        print(json.dumps(told), file=file)
    return 0


class _Child(ProcessProtocol):
    """In the first process: one child."""

    def __init__(self, parts: _Parts) -> None:
        self.isReady = False
        self.received = 0
        self.progress = 0.0
        self.figures: dict[str, Any] | None = None
        self._parts = parts
        self._buffer = b""

    def outReceived(self, data: bytes) -> None:
        """Take what the child tells."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, told: dict[str, Any]) -> None:
        if "error" in told:
            self._parts.fail(told["error"])
        elif "ready" in told:
            self.isReady = True
            self._parts.beginIfReady()
        elif "cells" in told:
            self.figures = told
        else:
            self.received, self.progress = told["received"], told["progress"]

    def processEnded(self, reason: Failure) -> None:
        """The child has ended: with its figures, or the load has failed."""
        self._parts.ended(self, reason)


class _Parts:
    """All children."""

    def __init__(self, plan: LoadPlan, reactor: ReactorBase) -> None:
        self._plan = plan
        self._reactor = reactor
        self._children = [_Child(self) for _ in range(plan.parts)]
        self._living = 0
        self._error: str | None = None
        self._left: Deferred[None] | None = None  # after a signal: fires when all have ended
        self._begun = 0.0
        self._bar = ProgressBar(sys.stderr, 1)
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def start(self) -> None:
        for number, child in enumerate(self._children):
            arguments = [sys.executable, "-P", "-m", "reactor", *argumentsOf(self._plan, number)]
            self._reactor.spawnProcess(
                child, sys.executable, arguments, env=dict(os.environ), childFDs={0: "w", 1: "r", 2: 2}
            )
            self._living += 1
        self._loop.start(loading.SHOW_EVERY, now=False)
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupted)

    def beginIfReady(self) -> None:
        """Let all begin, once all are ready."""
        if all(child.isReady for child in self._children):
            self._begun = time.perf_counter()
            for child in self._children:
                child.transport.write(GO + b"\n")

    def fail(self, message: str) -> None:
        """End all; only the first reason counts. Those that were interrupted end by themselves."""
        if self._left is not None:
            return
        if self._error is None:
            self._error = message
        self._kill()

    def _kill(self) -> None:
        for child in self._children:
            if child.figures is None and child.transport.pid is not None:
                child.transport.signalProcess("KILL")

    def ended(self, child: _Child, reason: Failure) -> None:
        """Called by each child."""
        self._living -= 1
        if child.figures is None and self._error is None:
            self.fail(f"a process of the load ended without figures: {reason.getErrorMessage()}")
        if not self._living and self._left is not None:
            self._left.callback(None)
        elif not self._living and self._reactor.running:
            self._reactor.stop()

    def _interrupted(self) -> Deferred[None] | None:
        """A signal stops the load: the children end their connections in order, see Load."""
        if not self._living:
            return None
        self._error = self._error or "interrupted"
        self._left = Deferred()
        for child in self._children:
            if child.transport.pid is not None:
                child.transport.signalProcess("TERM")
        late = self._reactor.callLater(2 * loading.LEAVE_TIME, self._kill)
        return self._left.addCallback(lambda _: late.cancel() if late.active() else None)

    def _look(self) -> None:
        if self._begun:
            received = sum(child.received for child in self._children)
            rate = received / max(time.perf_counter() - self._begun, 1e-9)
            self._bar.show(min(child.progress for child in self._children), f"{rate:.0f} lines/s")

    def finish(self) -> Outcome:
        self._bar.clear()
        self._loop.stop()
        if self._error is not None:
            raise CommandError(self._error)
        figures = [child.figures for child in self._children if child.figures is not None]
        latencies = Latencies()
        for each in figures:
            latencies.addCells(each["cells"], each["longest"])
        received = sum(each["received"] for each in figures)
        began, ended = min(each["began"] for each in figures), max(each["ended"] for each in figures)
        return Outcome(received, began, ended, latencies)


def argumentsOf(plan: LoadPlan, number: int) -> list[str]:
    """Return the command line of part `number` of `plan`, which says all that the options have said."""
    found = ["load", str(plan.target), "--connections", str(plan.connections), "--line-length", str(plan.length)]
    found += ["--pipeline", str(plan.pipeline)] if plan.rate is None else ["--rate", repr(plan.rate)]
    if plan.lines != float("inf"):
        found += ["--lines", str(int(plan.lines))]
    if plan.duration is not None:
        found += ["--duration", repr(plan.duration)]
    if plan.ca is not None:
        found += ["--ca", plan.ca]
    if plan.insecure:
        found.append("--insecure")
    return [*found, "--part", f"{number}/{plan.parts}"]


def runParts(plan: LoadPlan, reactor: ReactorBase) -> Outcome:
    """Run a load in `plan.parts` processes. CommandError if a reply was wrong or missing."""
    logTo("warning", reactor)
    parts = _Parts(plan, reactor)
    reactor.callWhenRunning(parts.start)
    reactor.run()
    return parts.finish()
