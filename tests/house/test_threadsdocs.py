"""docs/threads.md: its program runs, with a GIL and without, and so does its measurement."""

from __future__ import annotations

import re
import signal

import pytest

from bench import threads
from tests.house.test_docs import PAGES, Start, between, connected, start
from tests.support.worlds import DEADLINE

__all__ = ["start"]


@pytest.mark.timeout(2 * DEADLINE)
def test_theProgramRuns(start: Start) -> None:
    """Clients are answered, whichever thread gets them, and SIGTERM ends all threads."""
    (program,) = re.findall(r"```python\n(.*?)```", between(PAGES["docs/threads.md"], "threads-program"), re.DOTALL)
    process, (port,) = start(program)
    clients = [connected(process, port) for _ in range(16)]
    for number, client in enumerate(clients):
        client.sendall(b"hello %d\r\n" % number)
        assert client.recv(100) == b"hello %d\r\n" % number
        client.close()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=DEADLINE)[0]
    assert (process.returncode, said) == (0, b"")


def test_theMeasurementRuns(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ROUNDS", "CONNECTIONS", "EXCHANGES", "READS"):
        monkeypatch.setattr(threads, name, 1)
    assert threads.main(["3"]) == 0
    head, memory, served = capsys.readouterr().out.splitlines()
    assert head.startswith("CPython ")
    assert re.match(r"in memory  1 thread +[\d.]+ ns a line, 3 threads +[\d.]+: [+-][\d.]+%", memory)
    assert re.match(r"served     1 thread +[\d.]+ ns a line, 3 threads +[\d.]+: [+-][\d.]+%", served)
