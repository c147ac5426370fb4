"""docs/threads.md: its program runs, with a GIL and without."""

from __future__ import annotations

import re
import signal

import pytest

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
