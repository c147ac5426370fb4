"""Child processes to test with: a recording protocol on one side's reactor, ours or Twisted's."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import twisted.internet.process

from tests.support.worlds import OURS, TWISTED, Condition, turnUntil

SHELL = "/bin/sh"


class Recording:
    """The callbacks of a ProcessProtocol: each is written down, then its hook called, with the protocol first."""

    def __init__(self, hooks: dict[str, Callable[..., object]]) -> None:
        self.trace: list[Any] = []
        self.hooks = hooks
        self.received: dict[int, bytearray] = defaultdict(bytearray)
        self.exited: Any = None
        self.ended: Any = None
        self.transport: Any = None

    def _saw(self, event: str, *details: object) -> None:
        if not (event == "data" and self.trace and self.trace[-1] == (event, *details)):
            self.trace.append((event, *details))
        if event in self.hooks:
            self.hooks[event](self, *details)

    def connectionMade(self) -> None:
        self._saw("made")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.received[childFD] += data
        self._saw("data", childFD)

    def childConnectionLost(self, childFD: int) -> None:
        self._saw("lost", childFD)

    def processExited(self, reason: Any) -> None:
        self.exited = reason.value
        self._saw("exited")

    def processEnded(self, reason: Any) -> None:
        self.ended = reason.value
        self._saw("ended")

    def summary(self) -> dict[str, Any]:
        """Return the part of the trace that is not left to chance.

        Chance decides in which order pipes and child end, but for the rules of the contract.
        """
        events = [event[0] for event in self.trace]
        assert events[0] == "made"
        assert events[-1] == "ended"
        assert [events.count(once) for once in ("made", "exited", "ended")] == [1, 1, 1]
        lost = [event[1] for event in self.trace if event[0] == "lost"]
        for fd in lost:
            assert ("data", fd) not in self.trace[self.trace.index(("lost", fd)) :]
        assert self.exited is self.ended or vars(self.exited) == vars(self.ended)
        how = (type(self.ended).__name__, self.ended.exitCode, self.ended.signal, self.ended.status)
        return {"received": {fd: bytes(data) for fd, data in self.received.items()}, "lost": sorted(lost), "how": how}


class Children:
    """A reactor of one side that starts children."""

    def __init__(self, side: Any = OURS) -> None:
        self.side = side
        self.reactor = side.makeReactor()
        self.kind = type("Recorder", (Recording, side.protocol.ProcessProtocol), {})

    def spawn(self, executable: str, *args: str, hooks: Any = None, **options: Any) -> Any:
        """Start `executable`; return its recording protocol."""
        protocol = self.kind(hooks or {})
        options.setdefault("env", None)
        self.reactor.spawnProcess(protocol, executable, [executable, *args], **options)
        return protocol

    def shell(self, script: str, hooks: Any = None, **options: Any) -> Any:
        """Start a shell with `script`."""
        return self.spawn(SHELL, "-c", script, hooks=hooks, **options)

    def python(self, program: str, *args: str, hooks: Any = None, **options: Any) -> Any:
        """Start an interpreter with `program`."""
        return self.spawn(sys.executable, "-I", "-S", "-c", program, *args, hooks=hooks, **options)

    def until(self, condition: Condition) -> None:
        """Go on until `condition()` is true."""

        def look() -> object:
            if self.side is TWISTED:  # whose SIGCHLD handler works while run() does
                twisted.internet.process.reapAllProcesses()
            return condition()

        turnUntil(self.reactor, look)

    def ended(self, *protocols: Any) -> Any:
        """Go on until all have ended; return the summary of the first."""
        self.until(lambda: all(protocol.ended for protocol in protocols))
        return protocols[0].summary()


@contextlib.contextmanager
def children(side: Any = OURS) -> Iterator[Children]:
    """A reactor with children, none of which is left at the end, not even as a zombie."""
    world = Children(side)
    try:
        yield world
    finally:
        side.close(world.reactor)
    with contextlib.suppress(ChildProcessError):
        left = os.waitpid(-1, os.WNOHANG)
        raise AssertionError(f"a child is left: {left}")
