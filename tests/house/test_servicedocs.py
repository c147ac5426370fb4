"""docs/service.md says what is so: its program runs, and its tables are those of the code."""

from __future__ import annotations

import dataclasses
import re
import signal

import pytest

from reactor import EpollReactor, Factory
from reactor.service import Limits, Server
from tests.house.test_docs import PAGES, Start, between, connected, start
from tests.support.worlds import DEADLINE

PAGE = PAGES["docs/service.md"]

__all__ = ["start"]


def test_theTableOfLimitsIsThatOfTheCode() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| [^|]+ \|$", between(PAGE, "listenerLimits"), re.MULTILINE)
    assert rows == [(field.name, repr(field.default)) for field in dataclasses.fields(Limits)]
    told = re.findall(r"`(\w+)`", Limits.__doc__ or "")
    assert {name for name, _default in rows} <= set(told)


def test_theTableOfCountersIsThatOfTheCode() -> None:
    reactor = EpollReactor()
    server = Server(reactor)
    server.makeListener(Factory(), name="it")
    found = server.stats()
    server.close()
    reactor.close()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \|$", between(PAGE, "listenerCounters"), re.MULTILINE)
    assert rows == list(found["listeners"]["it"])
    for key in (*found, *found["loop"]):
        assert f"`{key}`" in PAGE


@pytest.mark.timeout(2 * DEADLINE)
def test_theProgramRuns(start: Start) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", between(PAGE, "service-program"), re.DOTALL)
    process, (port,) = start(program)
    first, second = connected(process, port), connected(process, port)
    for each in (first, second):
        each.sendall(b"hello\r\n")
        assert each.recv(100) == b"hello\r\n"
    with connected(process, port) as third:
        assert third.recv(100) == b"too many\r\n"
    first.close()
    second.close()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=DEADLINE)[0].decode()
    assert process.returncode == 0
    assert said.count("ConnectionRecord(listener='echo'") == 2, said


@pytest.mark.timeout(3 * DEADLINE)
def test_theProgramOfSeveralProcessesRuns(start: Start) -> None:
    """It reloads at HUP, and ends in order at TERM."""
    (program,) = re.findall(r"```python\n(.*?)```", between(PAGE, "service-workers"), re.DOTALL)
    process, (port,) = start("import logging; logging.basicConfig(level=logging.INFO)\n" + program)
    with connected(process, port) as client:
        client.sendall(b"hello\r\n")
        assert client.recv(100) == b"hello\r\n"
        process.send_signal(signal.SIGHUP)
        assert client.recv(100) == b""  # the old worker has drained
    with connected(process, port) as client:
        client.sendall(b"again\r\n")
        assert client.recv(100) == b"again\r\n"
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=DEADLINE)[0].decode()
    assert process.returncode == 0, said
    assert "ERROR" not in said
