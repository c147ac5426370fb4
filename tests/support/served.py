"""`linereactor serve` as a process to test with, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.worlds import LOOPBACK

COMMAND = [sys.executable, "-m", "reactor"]
PATIENCE = 60.0
GRACE = 3.0


def freePort() -> int:
    """A port of the loopback address that nobody has."""
    with socket.create_server((LOOPBACK, 0)) as sock:
        return int(sock.getsockname()[1])


class Command:
    """A `serve` on `port` that has been started, and whose log is a file."""

    def __init__(self, folder: pathlib.Path, port: int, workers: int, *arguments: str) -> None:
        self.path = folder / "log.txt"
        several = ["--workers", str(workers)] if workers else []
        command = [*COMMAND, "serve", *several, "--port", str(port), "--grace", str(GRACE), *arguments]
        with self.path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        self.port = port
        self.workers = workers

    def untilReady(self) -> None:
        """Wait until it serves."""
        self.until("try:")
        if self.workers:
            self.meet()

    def meet(self) -> None:
        """Wait until a worker answers the end of a connection: the supervisor had the port before."""
        with socket.create_connection((LOOPBACK, self.port), PATIENCE) as peer:
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(10) == b""

    def log(self) -> str:
        """All that it has said."""
        return self.path.read_text(errors="replace")

    def until(self, text: str) -> None:
        """Wait until `text` is in its log."""
        end = time.monotonic() + PATIENCE
        while text not in self.log():
            assert time.monotonic() < end, self.log()
            assert self.process.poll() is None, self.log()
            time.sleep(0.005)

    def end(self) -> float:
        """Ask for the end in order; return the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.log()
        return time.monotonic() - begun

    def close(self) -> None:
        """Kill it, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def running(folder: pathlib.Path, port: int, workers: int, *arguments: str) -> Iterator[Command]:
    """A `serve` that serves, until the end of the block."""
    command = Command(folder, port, workers, *arguments)
    try:
        command.untilReady()
        yield command
    finally:
        command.close()


def workersOf(command: Command) -> set[int]:
    """The processes of a command that serve its port. The admin process, and a child that is not exec'ed, do not."""
    pid, found = command.process.pid, set()
    for number in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            variables = pathlib.Path(f"/proc/{number}/environ").read_bytes()
            if b"\0LINEREACTOR_SOCKETS=" in variables and b"LINEREACTOR_SOCKETS=%40admin" not in variables:
                found.add(int(number))
    return found


def metrics(port: int) -> dict[str, float]:
    """The sums of /metrics by name, by the parser of prometheus_client."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=PATIENCE) as answer:
        text = answer.read().decode()
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0) + sample.value
    return sums


def status(port: int) -> dict[str, Any]:
    """Return what the admin pages tell as JSON."""
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/status.json", timeout=PATIENCE) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
