"""Workers die, freeze and are renewed under load, and nobody else's connection notices.

The first trial kills one worker after the other, and stops one. The second reloads again and again while clients
connect, at times with a configuration that cannot work.
"""

from __future__ import annotations

import json
import os
import pathlib
import select
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

from tests.battery.sizes import size
from tests.support.supervised import Supervised, supervised, waitUntil
from tests.support.worlds import ROOT, runProgram

WORKERS = 3
STANDING = 24  # connections that ask all the time
CONNECTS = size(500, 2000)  # a second
LASTING = 20  # connections that stay through reloads
REPLACED = 0.5  # seconds
PAUSE = 0.02  # seconds behind each answer
PATIENCE = 20.0
TICK = 0.02  # seconds: a drain closes a connection that is silent so long after its end
ESTABLISHED = 1  # linux/tcp_states.h


class Standing:
    """Connections that ask without a pause. `worker` of each is the process that answers it."""

    def __init__(self, server: Supervised, count: int) -> None:
        self.faults: list[str] = []
        self.worker: dict[int, int] = {}  # by the number of the connection
        self.lost: set[int] = set()  # workers whose end is no fault
        self.answers = 0
        self.slowest: dict[int, float] = {}  # by worker: the longest time that an answer took
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
                    begun = time.monotonic()
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
                    self.slowest[pid] = max(self.slowest.get(pid, 0.0), time.monotonic() - begun)
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
    kills = size(15, 50)
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
        print(f"a worker in {max(appeared):.3f} s, which served in {max(served):.3f} s; {standing.answers} answers")
        assert standing.faults == []
        assert standing.answers > 50 * kills
        assert standing.reconnects >= kills
        assert standing.unknown <= kills
        assert statistics.median(appeared) <= REPLACED / 2, appeared
        assert max(appeared) <= REPLACED * size(2, 1), appeared
        assert statistics.median(served) <= enough, served
        server.signal(signal.SIGTERM)
        assert server.end() == 0
        assert "in a row, the next start is in" not in server.log()


def test_aWorkerThatIsStopped(tmp_path: pathlib.Path) -> None:
    """It is stopped for some seconds and goes on: its clients have their answers then, and the others all the time."""
    seconds = size(1.0, 5.0)
    with supervised(tmp_path, workers=WORKERS) as server:
        standing = Standing(server, STANDING)
        try:
            waitUntil(lambda: len(standing.worker) == STANDING)
            frozen = server.workers()[0]
            os.kill(frozen, signal.SIGSTOP)
            begun, before = time.monotonic(), standing.answers
            waitUntil(lambda: time.monotonic() >= begun + seconds)
            assert standing.answers > before + seconds * 100
            os.kill(frozen, signal.SIGCONT)
            waitUntil(lambda: standing.slowest.get(frozen, 0.0) >= seconds * 0.9)
        finally:
            standing.stop()
        others = [took for pid, took in standing.slowest.items() if pid != frozen]
        print(f"the longest wait for the others: {max(others):.3f} s")
        assert (standing.faults, standing.reconnects, standing.unknown) == ([], STANDING, 0)
        assert max(others) < seconds * 0.9
        server.signal(signal.SIGTERM)
        assert server.end() == 0


class Visitors:
    """Clients in two processes that connect at a steady rate, ask once, and leave: see visitors.py."""

    def __init__(self, address: tuple[str, int], rate: float) -> None:
        self.generations: set[int] = set()
        host, port = address
        command = [sys.executable, "-m", "tests.battery.visitors", host, str(port), str(rate / 2)]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        self._processes = [subprocess.Popen(command, **pipes) for _ in range(2)]
        self._last: list[str] = []
        self._threads = [threading.Thread(target=self._hear, args=(each,)) for each in self._processes]
        for thread in self._threads:
            thread.start()

    def _hear(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self._last.append(line)
            else:
                self.generations.add(int(line))

    def stop(self) -> dict[str, Any]:
        """End them; return their faults and their rate."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process, thread in zip(self._processes, self._threads, strict=True):
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                process.wait()
                thread.join()
                assert process.stdout is not None
                process.stdout.close()
        found = [json.loads(line) for line in self._last]
        assert len(found) == len(self._processes)
        return {"rate": sum(each["rate"] for each in found), "faults": [each["faults"] for each in found]}


class Lasting(threading.Thread):
    """Connections that ask now and then, and connect anew when they see the end. They stop at it, as heedful ones do.

    A line that the server's system had before our end is owed an answer. `ends` is how many ends they have seen.
    """

    def __init__(self, server: Supervised, count: int) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.ends = self.answers = 0
        self._server = server
        self._peers = [server.connect() for _ in range(count)]
        self._over = threading.Event()
        self.start()

    def stop(self) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        while not self._over.wait(PAUSE):
            for number, peer in enumerate(self._peers):
                try:
                    goesOn = self._ask(peer)
                except Exception as error:
                    self.faults.append(repr(error))
                    goesOn = False
                if not goesOn:
                    self.ends += 1
                    peer.close()
                    self._peers[number] = self._server.connect()
        for peer in self._peers:
            peer.close()

    def _ask(self, peer: socket.socket) -> bool:
        """Ask, unless the end is there. Return whether there was none."""
        looked = time.monotonic()
        if select.select([peer], [], [], 0)[0]:
            assert peer.recv(10) == b""
            return False
        try:
            peer.sendall(b"lasting\n")
            isOwed = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
            answer = peer.recv(100)
        except ConnectionError:
            # The machine has kept this process from running between the look and the line.
            assert time.monotonic() - looked > TICK, "a reset"
            return False
        assert answer.endswith(b" lasting\n") or (answer == b"" and not isOwed), answer
        self.answers += bool(answer)
        return bool(answer)


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
        visitors, lasting = Visitors(server.tcp(), CONNECTS), Lasting(server, LASTING)
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
            lasting.stop()
            found = visitors.stop()
        print(f"{reloads} reloads, {failures} failed; {found['rate']:.0f} connects a second of {CONNECTS}")
        assert found["faults"] == [[], []]
        assert found["rate"] > CONNECTS / 4
        assert lasting.faults == []
        assert lasting.ends >= reloads  # two workers have some of them each
        assert lasting.answers > LASTING * seconds
        server.settings = good
        server.signal(signal.SIGTERM)
        assert server.end() == 0
