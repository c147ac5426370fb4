"""Python's own messages under the command: one record each, which no peer can forge and no stalled reader holds up."""

from __future__ import annotations

import logging
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from reactor.serving import capture
from tests.unit.serving.test_command import COMMAND, DEADLINE, Served, readLine

APPLICATION = """
import threading
import warnings
from reactor import LineReceiver

class Raising:
    def __init__(self, text):
        self.text = text

    def __del__(self):
        raise ValueError(self.text)

def fail(text):
    raise ValueError(text)

class App(LineReceiver):
    delimiter = b"\\n"

    def lineReceived(self, line):
        kind, _, text = line.decode().partition(" ")
        text = text.replace("|", "\\n")
        if kind == "del":
            Raising(text)
        elif kind == "warn":
            warnings.warn(text, stacklevel=1)
        elif kind == "thread":
            thread = threading.Thread(target=fail, args=(text,))
            thread.start()
            thread.join()
        elif kind == "exit":
            raise SystemExit(text)
        self.sendLine(b"done")
"""
FORGED = "2026-01-01 00:00:00,000 CRITICAL reactor: forged"
RECORD = r"\d{4}-\d\d-\d\dT[\d:.]+Z (\w+) ([\w.]+): (.*)"


@pytest.fixture
def served(tmp_path: pathlib.Path) -> Iterator[Served]:
    (tmp_path / "stray.py").write_text(APPLICATION)
    command = [*COMMAND, "serve", "stray:App", "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            yield Served(process)
        finally:
            process.kill()


def say(client: socket.socket, kind: str, text: str) -> None:
    client.sendall(f"{kind} {text}\n".encode())
    assert readLine(client) == b"done\n"


@pytest.mark.parametrize(
    ("kind", "level", "logger", "told"),
    [
        (
            "del",
            "ERROR",
            "reactor.serving",
            r"Exception ignored (?:in|while calling deallocator).*<function Raising\.__del__ at \w+>",
        ),
        ("warn", "WARNING", "py.warnings", r"UserWarning: x\\n2026.*\(.*stray\.py, line \d+\)"),
        ("thread", "ERROR", "reactor.serving", r"unhandled error in thread Thread-\d+ \(fail\)"),
    ],
)
def test_eachIsOneRecord(served: Served, kind: str, level: str, logger: str, told: str) -> None:
    with served.connect() as client:
        say(client, kind, f"x|{FORGED}\x1b[2J")
    served.stop()
    assert served.wait() == 0
    lines = served.log.decode().splitlines()
    records = [line for line in lines if line.startswith("2")]
    assert len(records) == 1
    found = re.fullmatch(RECORD, records[0])
    assert found, records
    assert (found[1], found[2]) == (level, logger)
    assert re.fullmatch(told, found[3]), found[3]
    assert all(line.isprintable() for line in lines)
    assert served.log.count(b"forged") == 1


def test_theTextOfAnExitIsOneLine(served: Served) -> None:
    """An application that raises SystemExit with a peer's text: Python would write the text as it is."""
    with served.connect() as client:
        client.sendall(f"exit x|{FORGED}\n".encode())
        assert served.wait() == 1
    assert served.log.decode() == f"x\\n{FORGED}\n"


@pytest.mark.parametrize("kind", ["del", "warn", "thread"])
def test_aStalledReaderHoldsNobodyUp(served: Served, kind: str) -> None:
    """Twice as much as a pipe takes; the clients are answered, and one signal ends the command."""
    with served.connect() as client:
        for number in range(300):
            say(client, kind, f"{number} {'x' * 500}")
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(DEADLINE) == 0


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Captures until the test is over; tells how often `finish` was called."""
    for place, name in ((sys, "unraisablehook"), (sys, "excepthook"), (threading, "excepthook")):
        monkeypatch.setattr(place, name, getattr(place, name))
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    finished: list[None] = []
    capture.capture(lambda: finished.append(None))
    return lambda: len(finished)


def test_whatEndsTheProgram(
    hooks: Callable[[], int], caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is a record, and the log is written before the process ends."""
    sys.excepthook(ValueError, ValueError("x\ny"), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    first, second = caplog.records
    assert (first.levelno, second.getMessage()) == (logging.CRITICAL, "interrupted")
    assert (first.exc_text or "").endswith(r"ValueError: x\ny")
    assert hooks() == 2
    assert capsys.readouterr().err == ""


def test_aWarningForAFile(hooks: Callable[[], int], tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """A program that names a file has it there."""
    with (tmp_path / "file").open("w+") as file:
        warnings.showwarning(UserWarning("plain"), UserWarning, "here.py", 7, file)
        file.seek(0)
        assert "here.py:7: UserWarning: plain" in file.read()
    assert caplog.records == []


def test_aThreadThatExits(hooks: Callable[[], int], caplog: pytest.LogCaptureFixture) -> None:
    """SystemExit ends a thread without a word, as Python has it."""
    thread = threading.Thread(target=sys.exit)
    thread.start()
    thread.join()
    assert caplog.records == []
