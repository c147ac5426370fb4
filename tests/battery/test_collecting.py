"""Collecting: processes that share a file are killed in the middle of their writes, and every record stays whole."""

from __future__ import annotations

import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.battery.sizes import size
from tests.support.served import PATIENCE, freePort, running
from tests.support.worlds import LOOPBACK, ROOT

SECONDS = size(2.0, 60.0)
WORKERS = size(2, 4)
SENDERS = 8
LINES = size(300, 2500)  # of each sender: more than the small disk takes
LENGTH = 1000  # bytes of a line


@pytest.mark.timeout(SECONDS * 5 + 70)
@pytest.mark.parametrize("kind", ["opened", "inherited", "rotated"])
def test_killedWriters(kind: str, tmp_path: pathlib.Path) -> None:
    """Each has opened the path, or inherited one descriptor, or they rotate the file under each other's load.

    A record that a process was told is kept is there; the records of a process are in their order; each one is whole.
    """
    command = [sys.executable, "-m", "tests.battery.killedwriters", str(tmp_path / "lines"), kind, str(SECONDS), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS * 5 + 60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["lines"] > 100, report
    assert report["killed"] > 10, report
    assert report["files"] > 1 or kind != "rotated", report
    for fault in ("torn", "doubled", "disordered", "lost", "failed"):
        assert report[fault] == 0, report


@pytest.fixture
def small(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of 256 KiB."""
    where = tmp_path / "small"
    where.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(where)], check=True)
    yield where
    subprocess.run(["umount", "-l", str(where)], check=True)


class Sender(threading.Thread):
    """Sends its lines, and waits for the end of the stream. `error` is what it has met."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__()
        self.number = number
        self.error: Exception | None = None
        self._port = port
        self.start()

    def run(self) -> None:
        try:
            with socket.create_connection((LOOPBACK, self._port), PATIENCE) as peer:
                for number in range(LINES):
                    peer.sendall(lineOf(self.number, number))
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(1) == b""
        except Exception as error:
            self.error = error


def lineOf(sender: int, number: int) -> bytes:
    return b"%d %d " % (sender, number) + b"x" * (LENGTH - 20) + b"\n"


def untilTrue(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.needs("root")
def test_aFullDiskUnderSeveralWorkers(small: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The senders wait, each worker says so once, and goes on when there is room: every line is there, whole, once."""
    output, port = small / "lines", freePort()
    with running(tmp_path, port, WORKERS, "collect", "--output", str(output)) as command:
        senders = [Sender(number, port) for number in range(SENDERS)]
        full = "No space left on device; the senders wait until there is room"
        untilTrue(lambda: full in command.log())
        seen = output.read_bytes()
        assert re.fullmatch(rb"(?:\d+ \d+ x+\n)+", seen), "only whole lines"
        assert len(seen) > 128 * 1024
        assert all(sender.is_alive() for sender in senders)
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        for sender in senders:
            sender.join(PATIENCE)
        assert [sender.error for sender in senders] == [None] * SENDERS
        command.end()
    found: dict[int, list[int]] = {number: [] for number in range(SENDERS)}
    for line in output.read_bytes().splitlines(keepends=True):
        by, number = map(int, line.split()[:2])
        assert line == lineOf(by, number)
        found[by].append(number)
    assert found == {number: list(range(LINES)) for number in range(SENDERS)}
    records = command.log().splitlines()[2:]
    for worker in range(WORKERS):
        own = [record for record in records if f" [worker {worker}, " in record]
        assert sum(full in record for record in own) == sum("there is room again" in record for record in own) <= 1
    assert sum(full in record for record in records) >= 1
