"""Workers die, freeze and are renewed under load, and nobody else's connection notices.

The first trial kills one worker after the other, and stops one. The second reloads again and again while clients
connect, at times with a configuration that cannot work.
"""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import statistics
import threading
import time
from typing import Any

from tests.battery.sizes import size
from tests.support.supervised import Supervised, supervised, waitUntil
from tests.support.worlds import runProgram

WORKERS = 3
STANDING = 24  # connections that ask all the time
CONNECTS = 500  # a second
REPLACED = 0.5  # seconds
PAUSE = 0.02  # seconds behind each answer
PATIENCE = 20.0


class Standing:
    """Connections that ask without a pause. `worker` of each is the process that answers it."""

    def __init__(self, server: Supervised, count: int) -> None:
        self.faults: list[str] = []
        self.worker: dict[int, int] = {}  # by the number of the connection
        self.lost: set[int] = set()  # workers whose end is no fault
        self.answers = 0
        self.reconnects = self.unknown = 0
        self._server = server
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._live, args=(number,)) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _live(self, number: int) -> None:
        while not self._over.is_set():
            try:
                self._ask(number)
            except Exception as error:
                self.faults.append(f"connection {number}: {error!r}")
                return
            self.reconnects += 1

    def _ask(self, number: int) -> None:
        """Ask on one connection until it, or its worker, ends. Answers come in order, and once."""
        asked = 0
        self.worker.pop(number, None)
        with self._server.connect() as peer:
            peer.settimeout(PATIENCE)
            with peer.makefile("rb") as lines:
                while not self._over.is_set():
                    asked += 1
                    try:
                        peer.sendall(b"%d %d\n" % (number, asked))
                        answer = lines.readline()
                    except (ConnectionResetError, BrokenPipeError):
                        answer = b""
                    if not answer.endswith(b"\n"):
                        pid = self.worker.get(number)
                        assert answer == b""
                        if pid is None:
                            self.unknown += 1  # the worker had let it in, and died before its first answer
                        else:
                            waitUntil(lambda pid=pid: pid in self.lost, 5)  # type: ignore[misc]
                        return
                    pid, _generation, *echoed = map(int, answer.split())
                    assert echoed == [number, asked]
                    self.worker[number] = pid
                    self.answers += 1
                    self._over.wait(PAUSE)


def startsIn() -> float:
    """The seconds that the program of a worker takes to start, on the machine as it is now: the median of three."""
    took = []
    for _ in range(3):
        begun = time.monotonic()
        assert runProgram("import tests.support.supervised").returncode == 0
        took.append(time.monotonic() - begun)
    return statistics.median(took)


def test_workersThatAreKilled(tmp_path: pathlib.Path) -> None:
    """Each second one is killed: its clients alone see that, another serves in half a second, and none is refused."""
    kills = size(12, 50)
    appeared, served = [], []
    with supervised(tmp_path, workers=WORKERS, watchdog=1.0) as server:
        standing = Standing(server, STANDING)
        try:
            enough = max(REPLACED, 2 * startsIn())
            for _ in range(kills):
                begun = time.monotonic()
                victim, *others = server.workers()  # the oldest one has lived
                standing.lost.add(victim)
                os.kill(victim, signal.SIGKILL)
                waitUntil(lambda victim=victim: victim not in server.workers())  # type: ignore[misc]
                waitUntil(lambda: len(server.workers()) == WORKERS)
                appeared.append(time.monotonic() - begun)
                (successor,) = set(server.workers()) - set(others)
                waitUntil(lambda pid=successor: server.serves(pid))  # type: ignore[misc]
                served.append(time.monotonic() - begun)
                assert set(others) < set(server.workers())
                waitUntil(lambda end=begun + 1.0: time.monotonic() >= end)  # type: ignore[misc]
            frozen = server.workers()[0]
            standing.lost.add(frozen)
            os.kill(frozen, signal.SIGSTOP)
            server.until("has not turned its loop for 1 s")
            waitUntil(lambda: frozen not in server.workers() and len(server.workers()) == WORKERS)
        finally:
            standing.stop()
        assert standing.faults == []
        assert standing.answers > 50 * kills
        assert standing.reconnects >= kills
        assert standing.unknown <= kills
        assert statistics.median(appeared) <= REPLACED / 2, appeared
        assert statistics.median(served) <= enough, served
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        assert "in a row, the next start is in" not in server.log()


class Visitors:
    """Clients that connect at a steady rate, ask once, and leave."""

    def __init__(self, address: tuple[str, int], rate: float, threads: int = 5) -> None:
        self.visits = 0
        self.faults: list[str] = []
        self.generations: set[int] = set()
        self._address = address
        self._interval = threads / rate
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._come) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _come(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            try:
                self._visit()
            except Exception as error:
                self.faults.append(repr(error))
            self.visits += 1
            due += self._interval
            self._over.wait(max(0.0, due - time.monotonic()))

    def _visit(self) -> None:
        with socket.create_connection(self._address, PATIENCE) as peer:
            peer.sendall(b"visit\n")
            answer = b""
            while not answer.endswith(b"\n"):
                chunk = peer.recv(1000)
                assert chunk, f"an end behind {answer!r}"
                answer += chunk
            self.generations.add(int(answer.split()[1]))


def test_workersThatAreRenewed(tmp_path: pathlib.Path) -> None:
    """No client is refused, or loses its connection. A configuration that cannot work changes nothing."""
    seconds = size(11.0, 60.0)
    broken: list[dict[str, Any]] = [
        {"workers": 0},
        {"crashes": True},
        {"fails": True},
        {"places": {"echo": {"kind": "tcp", "port": -1}}},
    ]
    with supervised(tmp_path, workers=2) as server:
        good = server.settings
        visitors = Visitors(server.tcp(), CONNECTS)
        reloads = failures = 0
        begun = time.monotonic()
        try:
            for turn in range(int(seconds / 2)):
                fails = turn % 5 == 2
                server.settings = {**good, **(broken[failures % len(broken)] if fails else {})}
                server.configure()
                server.signal(signal.SIGHUP)
                failures += fails
                reloads += not fails
                text, count = ("the reload has failed", failures) if fails else ("reloaded: ", reloads)
                waitUntil(lambda text=text, count=count: server.log().count(text) == count)  # type: ignore[misc]
                waitUntil(lambda count=reloads: len(visitors.generations) == count + 1)  # type: ignore[misc]
                waitUntil(lambda end=begun + 2.0 * (turn + 1): time.monotonic() >= end)  # type: ignore[misc]
        finally:
            visitors.stop()
        assert visitors.faults == []
        assert visitors.visits > seconds * CONNECTS / 4
        server.settings = good
        server.signal(signal.SIGTERM)
        assert server.end() == 0
