"""Child processes that do not behave: they live on, do not read, or are killed at once, one after another."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.transports.output import HIGH_WATER
from tests.conftest import openFiles
from tests.support.children import SHELL, Children, children
from tests.support.worlds import LOOPS, TWISTED

MIB = 1 << 20


@pytest.fixture(params=(*LOOPS, TWISTED), ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[Children]:
    with children(request.param) as made:
        yield made


@pytest.fixture
def gate() -> Iterator[tuple[int, int]]:
    """A pipe: its reader waits until the test lets it go."""
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


ORPHANS = "(read x <&9; echo late) & exit 4"  # a shell gives a job in the background /dev/null to read


def test_aGrandchildKeepsThePipes(world: Children, gate: tuple[int, int]) -> None:
    """The child's exit is told at once, the end when its pipes are closed too; output between the two is received."""
    child = world.shell(ORPHANS, childFDs={0: "w", 1: "r", 2: "r", 9: gate[0]})
    world.until(lambda: child.exited and ("lost", 0) in child.trace)
    for _ in range(5):
        world.reactor.iterate(0)
    assert child.ended is None
    assert [event for event in child.trace if event[0] == "lost"] == [("lost", 0)]
    with pytest.raises(world.side.error.ProcessExitedAlready):
        child.transport.signalProcess("TERM")
    os.write(gate[1], b"go\n")
    assert world.ended(child) == {
        "received": {1: b"late\n"},
        "lost": [0, 1, 2],
        "how": ("ProcessTerminated", 4, None, 4 << 8),
    }
    order = [event[0] for event in child.trace]
    assert order.index("exited") < order.index("data") < order.index("ended")


def test_aGrandchildIsLeftAlone(world: Children, gate: tuple[int, int]) -> None:
    """loseConnection closes our ends, and nobody waits for a process that still has the others."""
    child = world.shell(ORPHANS, childFDs={0: "w", 1: "r", 2: "r", 9: gate[0]})
    world.until(lambda: child.exited)
    child.transport.loseConnection()
    assert world.ended(child)["received"] == {}
    os.write(gate[1], b"go\n")  # or it would stay


@pytest.mark.parametrize("name", ["KILL", "SIGKILL", 9, signal.SIGKILL])
def test_killedInConnectionMade(world: Children, name: Any) -> None:
    if name == "SIGKILL" and world.side is TWISTED:
        name = "KILL"  # which knows the short names only
    hooks = {"made": lambda child: child.transport.signalProcess(name)}
    child = world.spawn("/bin/cat", hooks=hooks)
    assert world.ended(child) == {"received": {}, "lost": [0, 1, 2], "how": ("ProcessTerminated", None, 9, 9)}
    assert child.trace[0] == ("made",)


def test_aTerminalIsKilledInConnectionMade(world: Children) -> None:
    hooks = {"made": lambda child: child.transport.signalProcess("KILL")}
    child = world.spawn("/bin/cat", hooks=hooks, usePTY=True)
    assert world.ended(child) == {"received": {}, "lost": [], "how": ("ProcessTerminated", None, 9, 9)}


def test_twoHundredInTurn(world: Children) -> None:
    """Each is started by the end of the one before; nothing is left of any."""
    before = len(openFiles())
    ended: list[Any] = []

    def go(child: Any) -> None:
        ended.append(child)
        if len(ended) < 200:
            world.spawn("/bin/true", hooks={"ended": go})

    world.spawn("/bin/true", hooks={"ended": go})
    world.until(lambda: len(ended) == 200)
    world.reactor.iterate(0)
    assert {child.summary()["how"] for child in ended} == {("ProcessDone", 0, None, 0)}
    assert len(openFiles()) == before


def test_highNumbers(world: Children) -> None:
    """Pipes at the highest numbers there may be."""
    program = "import os; os.write(1021, os.read(1022, 10)); os.write(1023, b'also')"
    child = world.python(program, childFDs={1021: "r", 1022: "w", 1023: "r"})
    child.transport.writeToChild(1022, b"hello")
    assert world.ended(child) == {
        "received": {1021: b"hello", 1023: b"also"},
        "lost": [1021, 1022, 1023],
        "how": ("ProcessDone", 0, None, 0),
    }


class Flooding:
    """A push producer of a hundred MiB, which heeds what it is told."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.paused = False
        self.written = 0
        self.trace: list[str] = []

    def resumeProducing(self) -> None:
        self.trace.append("resume")
        self.paused = False
        while not self.paused and self.written < 100 * MIB:
            self.transport.write(bytes(MIB // 16))
            self.written += MIB // 16

    def pauseProducing(self) -> None:
        self.trace.append("pause")
        self.paused = True

    def stopProducing(self) -> None:
        self.trace.append("stop")


def test_aHundredMiBForAChildThatNeverReads(world: Children) -> None:
    """The producer is paused after the pipe and the high-water mark, and stopped when the child has ended."""
    child = world.shell("while :; do read x <&9 && exit 0; done", childFDs={0: "w", 9: "w"})
    flooding = Flooding(child.transport)
    child.transport.registerProducer(flooding, True)
    flooding.resumeProducing()
    world.until(lambda: flooding.paused)
    for _ in range(10):
        world.reactor.iterate(0)
    assert flooding.trace[-1] == "pause"
    assert flooding.written <= 4 * HIGH_WATER + MIB // 16
    child.transport.writeToChild(9, b"end\n")
    assert world.ended(child)["how"] == ("ProcessDone", 0, None, 0)
    assert flooding.trace[-1] == "stop"


def test_itsOutputIsClosedAndItLives(world: Children) -> None:
    """Both outputs end long before the child does, and its input goes on."""
    child = world.shell("exec >&- 2>&-; while read x; do [ $x = end ] && exit 3; done")
    world.until(lambda: {("lost", 1), ("lost", 2)} <= set(child.trace))
    assert child.exited is None
    for line in (b"one\n", b"two\n", b"end\n"):
        child.transport.write(line)
    assert world.ended(child)["how"] == ("ProcessTerminated", 3, None, 3 << 8)


def test_stdinAfterAllElse(world: Children) -> None:
    """A protocol that closes the descriptors itself, one by one, in callbacks."""

    def lost(child: Any, fd: int) -> None:
        if fd == 2:
            child.transport.closeStdout()
        elif fd == 1:
            child.transport.closeStdin()

    hooks = {"made": lambda child: child.transport.closeStderr(), "lost": lost}
    child = world.spawn(SHELL, "-c", "cat >/dev/null", hooks=hooks)
    world.ended(child)
    assert [event for event in child.trace if event[0] == "lost"] == [("lost", 2), ("lost", 1), ("lost", 0)]
