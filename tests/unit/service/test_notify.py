"""sd_notify, against a stand-in for the manager's socket."""

from __future__ import annotations

import logging
import os
import pathlib
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from reactor.service.notify import Notifier
from reactor.task import Clock


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[tuple[socket.socket, str]]:
    name = f"{tmp_path}/notify" if request.param == "path" else f"\0reactor-notify-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
        sock.bind(name)
        sock.setblocking(False)
        yield sock, name.replace("\0", "@")


def test_states(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier.fromEnvironment({"NOTIFY_SOCKET": name})
    assert notifier.isHeard
    assert notifier.ready("2 workers")
    assert sock.recv(100) == b"READY=1\nSTATUS=2 workers"
    before = time.monotonic_ns() // 1000
    assert notifier.reloading()
    kind, stamp = sock.recv(100).split(b"\n")
    assert kind == b"RELOADING=1"
    assert before <= int(stamp.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
    assert notifier.stopping("draining")
    assert sock.recv(100) == b"STOPPING=1\nSTATUS=draining"
    assert notifier.status("né\nREADY=1")  # one field stays one
    assert sock.recv(100) == b"STATUS=n\xc3\xa9\\nREADY=1"
    assert notifier.mainProcess(7)
    assert sock.recv(100) == b"MAINPID=7"


def test_itNeverBlocks(manager: tuple[socket.socket, str], caplog: pytest.LogCaptureFixture) -> None:
    """A manager that does not read costs messages."""
    caplog.set_level(logging.DEBUG, "reactor.service")
    sock, name = manager
    notifier = Notifier(name)
    sent = 0
    while notifier.status("x" * 1000):
        sent += 1
        assert sent < 100_000
    assert "was not told" in caplog.text
    assert not notifier.ready("for what comes next")
    assert not notifier.stopping()  # the newest state counts
    notifier.again()
    assert not notifier.status("left out")
    messages = [sock.recv(2000) for _ in range(sent)]
    assert {message[:8] for message in messages} == {b"STATUS=x"}
    notifier.again()
    notifier.again()
    assert sock.recv(2000) == b"STOPPING=1"
    with pytest.raises(BlockingIOError):
        sock.recv(2000)


@pytest.mark.parametrize("name", [None, "", "relative", "@", "/", "/no/such/socket", "/" + "x" * 200, "vsock:2:1"])
def test_withoutAManager(name: str | None) -> None:
    notifier = Notifier.fromEnvironment({} if name is None else {"NOTIFY_SOCKET": name})
    assert not notifier.ready()
    assert not notifier.reloading()
    clock = Clock()
    notifier.watchdog = 1.0
    notifier.startBeating(clock)
    clock.advance(10)
    notifier.stopBeating()


def test_theWatchdogHearsTwiceInItsTime(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    notifier = Notifier.fromEnvironment(environment)
    assert notifier.watchdog == 3.0
    clock = Clock()
    notifier.startBeating(clock)
    notifier.startBeating(clock)
    assert sock.recv(100) == b"WATCHDOG=1"
    clock.advance(1.4)
    with pytest.raises(BlockingIOError):
        sock.recv(100)
    clock.advance(0.2)
    assert sock.recv(100) == b"WATCHDOG=1"
    notifier.stopBeating()
    clock.advance(10)
    with pytest.raises(BlockingIOError):
        sock.recv(100)


@pytest.mark.parametrize(
    ("environment", "watchdog"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "x"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_theWatchdogOfTheEnvironment(environment: dict[str, str], watchdog: float | None) -> None:
    assert Notifier.fromEnvironment(environment).watchdog == watchdog


def test_beatsHaveALeastInterval(manager: tuple[socket.socket, str]) -> None:
    """A manager that asks for one each microsecond does not keep the loop busy."""
    notifier = Notifier(manager[1], 2e-6)
    clock = Clock()
    notifier.startBeating(clock)
    (call,) = clock.getDelayedCalls()
    assert call.getTime() - clock.seconds() >= 0.01
    notifier.stopBeating()
