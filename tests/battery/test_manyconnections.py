"""Thousands of connections, each of which sends a line a second: none is lost, and each costs little.

In the whole trial these are 10,000 in one process for a minute, then 19,000, then 50,000 over three workers. Clients
are in processes of their own, as many as the machine's descriptors need, with a source address each.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.battery.sizes import FULL, size
from tests.battery.test_limitedserver import Limited
from tests.support.served import freePort, running, workersOf
from tests.support.worlds import ROOT

P99 = size(0.2, 0.05)  # seconds
IDLE = size(0.05, 0.01)  # of a core; where a wake-up alone takes some milliseconds
BARE, SERVED = 1024, 1216  # bytes of memory for an idle connection of a LineReceiver: its own, and behind a Server
TURNS = size(4, 60)
SOURCES = ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]


class Many:
    """The processes of the clients."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def _heard(self) -> list[str]:
        return [process.stdout.readline() for process in self._processes if process.stdout is not None]

    def untilOpen(self) -> None:
        assert self._heard() == ["open\n"] * len(self._processes)

    def run(self) -> list[dict[str, Any]]:
        """Have all clients ask, and return what each process has seen."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        found = [json.loads(said) for said in self._heard()]
        print("rates:", [round(each["rate"]) for each in found], "p99:", [round(each["p99"], 4) for each in found])
        return found


@contextlib.contextmanager
def many(port: int, count: int, turns: int, interval: float, processes: int = 1) -> Iterator[Many]:
    """Connections, `count` in all, from several processes."""
    each = [str(turns), str(interval), str(port)]
    command = [sys.executable, "-m", "tests.battery.manyclients"]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    with contextlib.ExitStack() as stack:
        made = [
            stack.enter_context(subprocess.Popen([*command, source, str(count // processes), *each], **pipes))
            for source in SOURCES[:processes]
        ]
        try:
            yield Many(made)
        finally:
            for process in made:
                process.kill()


def check(found: list[dict[str, Any]], asked: int) -> None:
    assert sum(each["asked"] for each in found) == asked
    assert [each for each in found if each["lost"] or each["wrong"]] == []
    assert max(each["p99"] for each in found) <= P99, found


@pytest.mark.timing
@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", size([2000], [10_000, 19_000]))
def test_oneProcess(count: int, tmp_path: pathlib.Path) -> None:
    """Every line has its answer. The idle connections then cost no time."""
    turns = TURNS if count == 10_000 or not FULL else 20
    server = Limited(tmp_path / "log", limits={})
    try:
        before = server.stats()["loop"]["rssBytes"]
        with many(server.port, count, turns, 1.0) as clients:
            clients.untilOpen()
            server.until(lambda counters: counters["open"] == count)
            check(clients.run(), count * turns)
            found = server.stats()
            assert found["linesIn"] == count * turns
            assert (found["loop"]["rssBytes"] - before) / count <= SERVED
            begun, cpu = time.monotonic(), server.cpuSeconds()
            time.sleep(size(1, 5))
            assert server.cpuSeconds() - cpu <= IDLE * (time.monotonic() - begun)
            more = server.stats()["application"]["loop"]["turns"] - found["application"]["loop"]["turns"]
            assert more <= 8 * (time.monotonic() - begun)
        server.sent = found["bytesIn"]
    finally:
        server.close()


@pytest.mark.parametrize("count", size([2000], [10_000]))
def test_withoutAServer(count: int, tmp_path: pathlib.Path) -> None:
    """The memory of a connection alone."""
    server = Limited(tmp_path / "log", limits={}, bare=True)
    try:
        server.stats()
        before = server.resident()
        with many(server.port, count, 1, 0.2) as clients:
            clients.untilOpen()
            clients.run()
            assert (server.resident() - before) / count <= BARE
    finally:
        server.close()


if FULL:

    @pytest.mark.timing
    @pytest.mark.timeout(600)
    def test_threeWorkers(tmp_path: pathlib.Path) -> None:
        """With 50,000 connections, each of which asks every four seconds: two cores do not drive one a second each."""
        port, turns, interval, processes = freePort(), 5, 4.0, 3
        count = 50_000 // processes * processes
        with running(tmp_path, port, 3, "echo", "--backlog", "4096", "--delimiter", "lf") as command:
            assert len(workersOf(command)) == 3
            with many(port, count, turns, interval, processes) as clients:
                clients.untilOpen()
                check(clients.run(), count * turns)
            command.end()
