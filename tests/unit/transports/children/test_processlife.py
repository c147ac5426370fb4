"""Waiting for children: by the loop, or a thread where it cannot; reactors that stop, and run again, with children."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest

import reactor
from reactor.error import ProcessDone
from reactor.transports.children import spawning
from tests.support.children import Children, children
from tests.support.worlds import DEADLINE, LOOPS, SIDES, nativeThreads, runProgram, runUntil, turnUntil


def refuse(pid: int, flags: int = 0) -> int:
    raise OSError(38, "Function not implemented")


@pytest.fixture(params=["no such call", "refused"])
def noPidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "refused":
        monkeypatch.setattr(os, "pidfd_open", refuse)
    else:
        monkeypatch.delattr(os, "pidfd_open")


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_withoutPidfd(side: Any, noPidfd: None) -> None:
    with children(side) as world:
        several = [world.shell(f"echo {number}; exit {number}") for number in range(10)]
        world.ended(*several)
        assert [child.summary()["how"][1] for child in several] == list(range(10))
        assert several[4].received == {1: b"4\n"}


def test_theLoopWaitsNotAThread() -> None:
    with children() as world:
        before = nativeThreads()
        child = world.spawn("/bin/cat")
        assert nativeThreads() == before
        child.transport.closeStdin()
        world.ended(child)


def test_aWakeUpIsOnlyAHint() -> None:
    with children() as world:
        child = world.spawn("/bin/cat")
        for each in world.reactor.getReaders():
            each.doRead()
        assert child.trace == [("made",)]
        child.transport.closeStdin()
        world.ended(child)


def test_signalHandlersAreLeftAlone() -> None:
    """SIGCHLD is the program's own, even ignored: the kernel then tells nobody how a child has ended."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with children() as world:
            child = world.shell("exit 3")
            assert world.ended(child)["how"] == ("ProcessTerminated", None, None, None)
            assert child.transport.status == -1
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_somebodyElseHasWaited(caplog: pytest.LogCaptureFixture) -> None:
    with children() as world:
        child = world.shell("exit 3")
        assert os.waitpid(child.transport.pid, 0)[1] == 3 << 8
        assert world.ended(child)["how"] == ("ProcessTerminated", None, None, None)
    assert "somebody else" in caplog.text


def test_inAnotherThread() -> None:
    """Children of a reactor that no signal reaches."""
    found: list[Any] = []

    def main() -> None:
        with children() as world:
            child = world.shell("echo there; exit 2")
            runUntil(world.reactor, lambda: child.ended)
            found.append(child.summary())

    thread = threading.Thread(target=main)
    thread.start()
    thread.join(DEADLINE)
    assert found == [{"received": {1: b"there\n"}, "lost": [0, 1, 2], "how": ("ProcessTerminated", 2, None, 2 << 8)}]


@pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)
def test_runAndSignals(side: Any) -> None:
    """Under run(), with the reactor's own signal handlers."""
    with children(side) as world:
        child = world.shell("exit 6", {"ended": lambda child: world.reactor.stop()})
        world.reactor.run()
        assert child.summary()["how"][1] == 6


def test_stopLeavesTheChildAlive() -> None:
    """Its pipes are closed; when the reactor runs again it is told how the child has ended."""
    with children() as world:
        theirs, gate = os.pipe()
        child = world.shell("cat; read x <&9; exit 8", childFDs={0: "w", 1: "r", 9: theirs})
        os.close(theirs)
        runUntil(world.reactor, lambda: True)
        assert child.trace[0] == ("made",)
        assert sorted(child.trace[1:]) == [("lost", 0), ("lost", 1)]
        assert child.transport.pid is not None
        os.close(gate)
        runUntil(world.reactor, lambda: child.ended)
        assert child.summary()["how"][1] == 8


def test_closeWithALivingChild() -> None:
    """A thread waits for it, and finds nobody to tell."""
    world = Children()
    theirs, gate = os.pipe()
    child = world.spawn("/bin/cat", childFDs={0: theirs})
    os.close(theirs)
    before = nativeThreads()
    world.side.close(world.reactor)
    (thread,) = nativeThreads() - before
    os.close(gate)
    end = time.monotonic() + DEADLINE
    while thread in nativeThreads():
        assert time.monotonic() < end
    assert child.trace == [("made",)]
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_spawnedInACallback() -> None:
    """A child's end starts the next: numbers of descriptors come round, and nobody hears of another's end."""
    codes: list[int] = []

    with children() as world:

        def ended(child: Any) -> None:
            codes.append(child.ended.exitCode)
            if len(codes) < 40:
                world.shell(f"exit {len(codes)}", {"ended": ended})

        world.shell("exit 0", {"ended": ended})
        turnUntil(world.reactor, lambda: len(codes) == 40)
    assert codes == list(range(40))


def test_removedFromTheReactor() -> None:
    """A program that takes every descriptor away leaves no child that nobody waits for, once the reactor stops."""
    with children() as world:
        child = world.shell("read word")
        world.reactor.callLater(0, world.reactor.removeAll)
        world.reactor.callLater(0.001, world.reactor.stop)
        world.reactor.run(installSignalHandlers=False)
        turnUntil(world.reactor, lambda: child.ended)


def test_theModuleIsAReactor() -> None:
    """reactor.spawnProcess speaks to the current one."""
    world = Children()
    protocol = world.kind({"ended": lambda child: reactor.stop()})

    def begin() -> None:
        process = reactor.spawnProcess(protocol, "/bin/sh", ["sh", "-c", "echo $X"], {"X": "y"})
        assert "sh" in repr(process)

    world.reactor.callWhenRunning(begin)
    world.reactor.run()
    assert isinstance(protocol.ended, ProcessDone)
    assert protocol.received == {1: b"y\n"}
    world.side.close(world.reactor)


def test_withoutFork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawning, "HAS_CHILDREN", False)
    with children() as world, pytest.raises(NotImplementedError, match="fork"):
        world.shell("exit 0")


HIDDEN = """
import sys
for name in ("fcntl", "pwd", "termios"):
    sys.modules[name] = None
import reactor
try:
    reactor.spawnProcess(reactor.ProcessProtocol(), "/bin/true")
except NotImplementedError as error:
    print(error)
"""


def test_whereThereAreNoChildren() -> None:
    ran = runProgram(HIDDEN)
    assert (ran.stdout, ran.stderr) == ("child processes need fork and exec\n", "")


FORKING = """
import os, sys, threading
from tests.support.children import children
with children() as world:
    stop = threading.Event()
    def busy():
        while not stop.is_set():
            [object() for _ in range(1000)]
    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        gate = os.pipe()
        several = [world.shell("exit 1", usePTY=True), world.shell("exit 1", childFDs={gate[0]: "r", gate[1]: gate[0]})]
        world.ended(*several)
        os.close(gate[0])
        os.close(gate[1])
    stop.set()
    print(len(several))
"""


def test_startingAmongThreads() -> None:
    """With what must be done in the child in Python, while other threads are at work."""
    ran = runProgram(FORKING)
    assert (ran.stdout, ran.stderr) == ("2\n", "")


def test_reactorsHaveNoReapedNumber() -> None:
    """Children of two reactors do not meet."""
    with children() as one, children() as other:
        first, second = one.shell("exit 1"), other.shell("exit 2")
        one.ended(first)
        assert not second.trace[1:]
        other.ended(second)
        assert (first.ended.exitCode, second.ended.exitCode) == (1, 2)
