"""The admin pages of a server with a supervisor and workers: its own process, the sums, and what a restart leaves."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

DEADLINE = 60.0


class Administered:
    """The program tests/support/administered.py, as a process with its own."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "tests.support.administered", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self.process.stdout is not None
        self.admin = port
        self.echo = int(self.process.stdout.readline())

    def ask(self, path: str) -> tuple[int, bytes]:
        """The code and the body of an answer. The kernel lets requests in before a process takes them."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=DEADLINE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.ask("/status.json")[1])
        return status

    def counters(self) -> dict[tuple[str, tuple[str, ...]], float]:
        families = text_string_to_metric_families(self.ask("/metrics")[1].decode())
        samples = [sample for family in families if family.type == "counter" for sample in family.samples]
        return {(sample.name, tuple(sample.labels.values())): sample.value for sample in samples}

    def line(self) -> int:
        """Send a line, and return the pid of the worker that has answered it."""
        with (
            closing(socket.create_connection(("127.0.0.1", self.echo), DEADLINE)) as sock,
            sock.makefile("rwb") as file,
        ):
            file.write(b"line\r\n")
            file.flush()
            return int(file.readline())

    def until(self, condition: Callable[[], Any]) -> Any:
        end = time.monotonic() + DEADLINE
        while not (found := condition()):
            assert time.monotonic() < end, self.status()
            assert self.process.poll() is None
            time.sleep(0.02)
        return found


@pytest.fixture
def server() -> Iterator[Administered]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    server = Administered(port)
    yield server
    server.process.kill()  # its processes notice its end
    server.process.communicate(timeout=DEADLINE)


def test_workersAreSummedAndNoCounterGoesBackWhenOneDies(server: Administered) -> None:
    server.until(lambda: server.ask("/readyz") == (200, b"ready\n"))
    workers = server.until(lambda: (found := server.status()["workers"]) and len(found) == 2 and found)
    assert [worker["worker"] for worker in workers] == [0, 1]
    pids = [server.line() for _ in range(20)]
    assert set(pids) <= {worker["pid"] for worker in workers}
    name = ("linereactor_lines_total", ("echo",))
    server.until(lambda: server.counters()[name] == 20)
    before = server.counters()
    os.kill(pids[0], signal.SIGKILL)
    while server.counters()["linereactor_worker_restarts_total", ()] == 0 or server.line() == pids[0]:
        after = server.counters()
        assert {name: value for name, value in before.items() if after[name] < value} == {}
        before = after
    server.until(lambda: server.counters()[name] > 20)
    assert server.status()["restarts"] == 1
    assert pids[0] not in [worker["pid"] for worker in server.status()["workers"]]


def test_anEndWithAnOpenStreamOfEvents(server: Administered) -> None:
    """A subscriber is no reason to wait for the deadline of the drain, which is long after that of this test."""
    server.until(lambda: server.ask("/readyz") == (200, b"ready\n"))
    address = f"http://127.0.0.1:{server.admin}/events"
    with urllib.request.urlopen(address, timeout=DEADLINE) as events:
        assert events.readline() == b"retry: 1000\n"
        server.process.send_signal(signal.SIGTERM)
        with suppress(http.client.IncompleteRead, ConnectionResetError):
            events.read()
    assert server.process.wait(DEADLINE) == 0
