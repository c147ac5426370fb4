"""A soak with a nemesis: clients of `serve --workers 2` write lines and get answers, whatever happens to the server.

Each line that was answered is kept, once, in the order of its connection, and answered to the client that sent it.
Processes hold no more descriptors and memory at the end than at the beginning.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import pathlib
import random
import re
import resource
import statistics
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.battery.sizes import size
from tests.battery.soakclients import LINK, Clients, Way
from tests.battery.soakhistory import FAULTS, FIN, RESET, History, lineOf
from tests.battery.soaknemesis import Nemesis
from tests.support.networks import Network, networkOf
from tests.support.served import Command, workersOf
from tests.support.supervised import waitUntil
from tests.support.worlds import ROOT

CLIENTS = size(150, 1000)
SECONDS = size(1.0, 600.0)
PAUSE = size(0.1, 0.5)  # seconds, between the lines of a client
NEMESIS = size(0.0, 4.0)  # seconds, between its faults
EACH = size(0.25, 2.0)  # seconds between looks at the processes
SEED = int(os.environ.get("REACTOR_SEED") or time.time_ns() % 1_000_000)
PORT = 7000
GROWTH = size(4, 2) << 20  # bytes of memory from the first third to the last, of a process
MORE = size(16, 2)  # descriptors of the supervisor; in a short time two generations of workers count
PAGE = os.sysconf("SC_PAGESIZE")
ENOUGH = 16_000  # descriptors

CONFIGURATION = """
app = "tests.battery.soaked:makeFactory"
arguments = {{ folder = "{folder}" }}
host = "0.0.0.0"
max-connections = {limit}
refusal = "full"
max-output = 200000
watchdog = 30.0
"""


def resident(pid: int) -> int:
    """Resident bytes of a process; 0 if it has ended."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
    except OSError:
        return 0


def descriptors(pid: int) -> list[str]:
    """The kinds of a process's descriptors."""
    folder = pathlib.Path(f"/proc/{pid}/fd")
    found = []
    for path in folder.iterdir():
        try:
            found.append(re.sub(r":.*|\d+$", "", os.readlink(path)))  # without their numbers
        except OSError:
            continue
    return sorted(found)


def held(pid: int) -> tuple[str, ...]:
    """The kinds of a process's descriptors that are no sockets."""
    return tuple(kind for kind in descriptors(pid) if kind != "socket")


class Watch:
    """Looks at the processes again and again."""

    def __init__(self, command: Command, folder: pathlib.Path) -> None:
        self._command = command
        self._folder = folder
        self.supervisors: list[int] = []  # bytes
        self.workers: list[int] = []
        self.descriptors: list[int] = []

    async def look(self) -> None:
        """For ever."""
        pid = self._command.process.pid
        while True:
            self.supervisors.append(resident(pid))
            self.descriptors.append(len(descriptors(pid)))
            serving = [each for each in workersOf(self._command) if (self._folder / f"journal-{each}").exists()]
            sizes = [found for each in serving if (found := resident(each))]
            if sizes:
                self.workers.append(max(sizes))
            await asyncio.sleep(EACH)

    @staticmethod
    def slope(values: list[int]) -> float:
        """The growth from the first third to the last, by their medians."""
        third = len(values) // 3
        return statistics.median(values[-third:]) - statistics.median(values[:third])


@pytest.fixture
def manyFiles() -> Iterator[None]:
    """Enough descriptors for all ends; the server inherits the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(ENOUGH, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connected(network: Network) -> list[str]:
    """The connections of the server's host that a process still has."""
    states = ["state", "established", "state", "close-wait"]
    command = ["ip", "netns", "exec", network.server.name, "ss", "-Htn", *states, f"sport = :{PORT}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.needs("networks", "nft", "ss")
@pytest.mark.timeout(SECONDS + 180)
def test_aSoak(tmp_path: pathlib.Path, manyFiles: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """REACTOR_SEED repeats what a seed has decided."""
    print(f"REACTOR_SEED={SEED}")
    faulthandler.cancel_dump_traceback_later()  # it comes too soon for the whole; the timeout above holds
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    configuration = tmp_path / "linereactor.toml"
    configuration.write_text(CONFIGURATION.format(folder=tmp_path, limit=CLIENTS))
    with networkOf(LINK) as network:
        with network.server.inside():
            command = Command(tmp_path, PORT, 2, "--config", str(configuration))
        try:
            with network.server.inside():
                command.untilReady()
            check(network, command, configuration)
        finally:
            command.close()


def check(network: Network, command: Command, configuration: pathlib.Path) -> None:
    history = History()
    way = Way(network, PORT)
    nemesis = Nemesis(command, configuration, network, way, history, random.Random(SEED), CLIENTS)
    watch = Watch(command, configuration.parent)
    waitUntil(lambda: len(list(configuration.parent.glob("journal-*"))) == len(workersOf(command)) == 2)
    waitUntil(lambda: len({held(pid) for pid in workersOf(command)}) == 1)
    (fresh,) = {held(pid) for pid in workersOf(command)}
    most = max(descriptors(pid).count("socket") for pid in workersOf(command))
    first, second = asyncio.run(soak(history, way, nemesis, watch))
    waitUntil(lambda: not connected(network))
    for pid in workersOf(command):
        waitUntil(lambda pid=pid: held(pid) == fresh)  # type: ignore[misc]
        sockets = descriptors(pid).count("socket")
        assert sockets <= most + 2, sockets  # it may have a listening one of a worker that has left
    command.end()
    log = command.log()
    paths = configuration.parent.glob("journal-*")
    journals = {int(path.name.split("-")[1]): path.read_bytes().splitlines() for path in paths}
    lines = sum(map(len, journals.values()))
    found = history.judge(journals)
    print(f"{len(history.lives)} lives, {lines} lines, {len(history.killed)} killed, {nemesis.refused} refused")
    print(history.examples)
    print(f"growth: {[watch.slope(each) for each in (watch.supervisors, watch.workers, watch.descriptors)]}")
    assert found == dict.fromkeys(FAULTS, 0), history.examples
    assert "Traceback" not in log, log
    assert set(nemesis.dealt) == {*nemesis.processFaults(), *nemesis.networkFaults()}
    assert nemesis.refused
    assert lines > CLIENTS * SECONDS / PAUSE / 20
    late = [client for client in range(CLIENTS) if second.get(client, 0) <= size(0, first.get(client, 0))]
    assert late == []
    assert watch.slope(watch.supervisors) <= GROWTH
    assert watch.slope(watch.workers) <= GROWTH
    assert watch.slope(watch.descriptors) <= MORE


async def soak(history: History, way: Way, nemesis: Nemesis, watch: Watch) -> list[dict[int, int]]:
    """Have it all happen; return the answers of each client after each half of the time."""
    clients = Clients(way, history, CLIENTS, SEED, PAUSE)
    looking = asyncio.create_task(watch.look())
    halves = []
    lanes = [nemesis.processFaults(), nemesis.networkFaults()]
    for half in range(2):
        parts = [size(lane[half::2], lane) for lane in lanes]
        await asyncio.gather(*(nemesis.deal(part, SECONDS / 2, NEMESIS) for part in parts))
        halves.append(dict(history.answers))
    looking.cancel()
    await clients.stop()
    return halves


# The judge.


def played(answers: list[bytes], kept: list[bytes], ended: str = FIN, sent: int = 3, worker: int = 7) -> dict[str, int]:
    """Judge the first life of client 1, who has sent `sent` lines. `kept` is the journal of process 7."""
    history = History()
    life = history.begin(1)
    life.lines(sent)
    life.ended = ended
    for answer in answers:
        history.answered(life, b"%d %s" % (worker, answer))
    return {kind: count for kind, count in history.judge({7: kept}).items() if count}


LINES = [lineOf(1, 0, number) for number in range(3)]


@pytest.mark.parametrize(
    ("answers", "kept", "ended", "found"),
    [
        (LINES, LINES, FIN, {}),
        (LINES[:1], LINES[:1], FIN, {}),
        ([], [], RESET, {}),
        (LINES[:2], LINES, "ours", {}),
        ([LINES[0], lineOf(2, 0, 1)], LINES[:1], FIN, {"foreign": 1}),
        ([LINES[0], lineOf(1, 1, 1)], LINES[:1], FIN, {"foreign": 1}),
        ([LINES[0], lineOf(1, 0, 3)], LINES[:1], FIN, {"foreign": 1}),
        ([LINES[0], LINES[1][:-1]], LINES[:1], FIN, {"foreign": 1}),
        (LINES, [*LINES, lineOf(2, 0, 0)], FIN, {"foreign": 1}),
        (LINES, [*LINES, lineOf(1, 0, 3)], FIN, {"foreign": 1}),
        (LINES, [*LINES, LINES[0][:5] + LINES[1]], FIN, {"foreign": 1}),
        (LINES, LINES[:2], FIN, {"lost": 1}),
        (LINES[:1], [], FIN, {"lost": 1}),
        (LINES, [LINES[0], LINES[2]], FIN, {"lost": 1, "reordered": 1}),
        ([*LINES, LINES[2]], LINES, FIN, {"doubled": 1}),
        (LINES, [*LINES, LINES[2]], FIN, {"doubled": 1}),
        ([LINES[0], LINES[2]], LINES, "ours", {"reordered": 1}),
        (LINES, [LINES[0], LINES[2], LINES[1]], "ours", {"reordered": 1, "lost": 1}),
        (LINES[:2], LINES, FIN, {"unanswered": 1}),
        (LINES[:1], [*LINES[:2], b"late " + LINES[2]], FIN, {"unanswered": 1}),
        (LINES[:2], [*LINES[:2], b"late " + LINES[2]], FIN, {}),
        (LINES[:2], [*LINES[:2], b"late " + LINES[1]], FIN, {"doubled": 1}),
        (LINES, LINES, RESET, {"cut": 1}),
    ],
)
def test_theJudge(answers: list[bytes], kept: list[bytes], ended: str, found: dict[str, int]) -> None:
    """A history that was forged shows its fault, and a good one none."""
    assert played(answers, kept, ended) == found


def test_theJudgeKnowsTheDead() -> None:
    """The clients of a worker that was killed may be cut, and may miss answers. Its lines are still kept, once."""
    history = History(killed={7})
    for client in range(3):
        history.begin(client).lines(2)
    cut, unanswered, lost = (history.lives[client, 0] for client in range(3))
    cut.ended, unanswered.ended = RESET, FIN
    history.answered(lost, b"7 " + lineOf(2, 0, 0))
    found = history.judge({7: [lineOf(0, 0, 0), lineOf(1, 0, 0)], 8: [lineOf(1, 0, 0)]})
    assert {kind: count for kind, count in found.items() if count} == {"lost": 1, "doubled": 1}


def test_theJudgeKnowsPartitions() -> None:
    """A server may give up a client that it cannot reach."""
    history = History()
    near, far = history.begin(0), history.begin(1, mayBeCut=True)
    for life in (near, far):
        life.lines(1)
        history.answered(life, b"7 " + lineOf(life.client, 0, 0))
        life.ended = RESET
    found = history.judge({7: [lineOf(0, 0, 0), lineOf(1, 0, 0)]})
    assert {kind: count for kind, count in found.items() if count} == {"cut": 1}


def test_growthIsSeen() -> None:
    """Noise is none; a leak is."""
    assert Watch.slope([5, 9, 5, 6, 5, 5, 9, 5, 5]) == 0
    assert Watch.slope([*range(90)]) == 60
