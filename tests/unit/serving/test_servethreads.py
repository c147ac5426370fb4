"""`serve --threads`: a reactor in each of several threads of a worker. Real processes, which run with the GIL, too.

A script takes the place of the command. It says that there is no GIL, so that every build takes the option.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
from typing import Any

import pytest

from reactor.service.combining import combined
from reactor.serving import checks
from reactor.serving.config import planOf
from reactor.serving.errors import CommandError
from reactor.serving.plan import Plan
from tests.support.statuses import listenerOf, snapshotOf
from tests.unit.serving.test_configured import DEADLINE, Server, ending, freePorts, write

COMMAND = """\
import sys

from reactor.serving import checks

checks.hasGIL = lambda: False
from reactor.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
"""
OWN = '''\
import os
import threading
import time

import reactor
from reactor import LineReceiver


class Teller(LineReceiver):
    """Answers with its process and thread; some lines do harm."""

    delimiter = b"\\n"

    def lineReceived(self, line):
        if line == b"hang":
            time.sleep(1000)
        if line == b"stop":
            self.transport.reactor.stop()
        isOurs = reactor.current() is self.transport.reactor
        told = f"{os.getpid()} {threading.current_thread().name} {isOurs}"
        self.sendLine(told.encode())


def failing():
    if threading.current_thread() is not threading.main_thread():
        raise ValueError("this thread has no factory")
    return reactor.Factory.forProtocol(Teller)
'''


class ThreadedServer(Server):
    """A Server whose process is the script."""

    def __init__(self, directory: pathlib.Path, *arguments: str) -> None:
        script = directory / "command.py"
        script.write_text(COMMAND)
        become = f"import os, sys; os.execv(sys.executable, [sys.executable, {str(script)!r}, 'serve', *sys.argv[1:]])"
        super().__init__(directory, *arguments, before=become, module=OWN)

    def tell(self, client: socket.socket, line: bytes = b"x") -> tuple[int, str, bool]:
        """Return the process and the thread of the answer, and whether the current reactor is right there."""
        client.sendall(line + b"\n")
        process, rest = client.recv(1000).decode().strip().split(" ", 1)
        thread, isOurs = rest.rsplit(" ", 1)
        return int(process), thread, isOurs == "True"

    def find(self, port: int, stack: contextlib.ExitStack) -> tuple[socket.socket, int]:
        """Return a client of the second thread, and the process."""
        while True:
            client = stack.enter_context(self.connect(port))
            process, thread, _isOurs = self.tell(client)
            if thread == "reactor 1":
                return client, process

    def renews(self, port: int, pid: int) -> None:
        """Wait until another process serves in the place of `pid`."""
        self.until(lambda: pid not in self.children())
        with self.connect(port) as client:
            assert self.tell(client)[0] != pid


def serving(directory: pathlib.Path, *arguments: str) -> contextlib.AbstractContextManager[ThreadedServer]:
    return ending(ThreadedServer(directory, *arguments))


def planWith(**options: Any) -> Plan:
    return planOf({"threads": "2", "port": "0", **options}, {})


def test_aGILRefusesThreads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "hasGIL", lambda: True)
    with pytest.raises(CommandError) as refused:
        planWith()
    assert str(refused.value) == (
        "--threads: threads need a free-threaded Python with its GIL off, and this one has a GIL: take workers"
    )


def test_threadsMeanWorkers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "hasGIL", lambda: False)
    plan = planWith()
    assert (plan.workers, plan.threads) == (1, 2)
    assert plan.summary()[0].startswith("1 workers with 2 threads each,")
    assert planWith(workers="3").workers == 3
    assert planWith(app="collect", output="lines").threads == 2
    with pytest.raises(CommandError, match="cannot share"):
        planWith(app="chat")
    with pytest.raises(CommandError, match="a whole number from 1 to 1024"):
        planWith(threads="0")


def accepted(server: Server, admin: int) -> int:
    status = json.loads(server.get(admin, "/status.json")[1])
    return int(sum(total["accepted"] for total in status["totals"].values()))


def test_everyThreadServesAndIsCounted(tmp_path: pathlib.Path) -> None:
    """Clients come to both threads; limits, sums, USR1 and HUP are those of workers; TERM ends all in order."""
    port, admin = freePorts(2)
    options = ["--threads", "2", "--port", str(port), "--admin", f"127.0.0.1:{admin}", "--log-file", "messages"]
    options += ["--idle-timeout", "500", "--max-lines", "100000", "--watchdog", "30"]
    with serving(tmp_path, "own:Teller", *options) as server:
        server.says("1 worker, 2 threads in each")
        server.connect(admin).close()
        clients, told = [server.connect(port) for _ in range(24)], []
        with contextlib.ExitStack() as stack:
            for client in clients:
                stack.enter_context(client)
                told.append(server.tell(client))
            assert {thread for _pid, thread, _isOurs in told} == {"MainThread", "reactor 1"}
            assert all(isOurs for _pid, _thread, isOurs in told)
            (pid,) = {pid for pid, _thread, _isOurs in told}
            server.until(lambda: accepted(server, admin) >= 24)
            (tmp_path / "messages").rename(tmp_path / "old")
            server.process.send_signal(signal.SIGUSR1)
            server.until((tmp_path / "messages").exists)
            server.process.send_signal(signal.SIGHUP)  # the old worker ends when its clients have
            for client in clients:
                client.shutdown(socket.SHUT_WR)
                assert client.recv(10) == b""
        server.renews(port, pid)
        server.until(lambda: accepted(server, admin) >= 25)


def test_aThreadThatHangsCostsTheWorker(tmp_path: pathlib.Path) -> None:
    """The watchdog watches each loop, and not that of the main thread alone."""
    (port,) = freePorts(1)
    options = ["--threads", "2", "--port", str(port), "--watchdog", "2", "--grace", "1"]
    with serving(tmp_path, "own:Teller", *options) as server, contextlib.ExitStack() as stack:
        server.says("try: ")
        client, pid = server.find(port, stack)
        client.sendall(b"hang\n")
        server.renews(port, pid)
        assert "Fatal Python error: Aborted" in server.log


def test_aThreadThatStopsItsReactorEndsTheWorker(tmp_path: pathlib.Path) -> None:
    (port,) = freePorts(1)
    options = ["--threads", "2", "--port", str(port), "--grace", "1"]
    with serving(tmp_path, "own:Teller", *options) as server, contextlib.ExitStack() as stack:
        server.says("try: ")
        client, pid = server.find(port, stack)
        client.sendall(b"stop\n")
        server.renews(port, pid)


def test_anApplicationThatFailsInAThreadEndsTheServer(tmp_path: pathlib.Path) -> None:
    (port,) = freePorts(1)
    server = ThreadedServer(tmp_path, "own:failing", "--threads", "2", "--port", str(port))
    try:
        assert server.process.wait(DEADLINE) != 0
        assert "this thread has no factory" in server.log
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server._log.close()


def test_aUNIXSocketIsShared(tmp_path: pathlib.Path) -> None:
    where = str(tmp_path / "socket")
    place = f"[[listen]]\nendpoint = 'unix:{where}'\napp = 'own:Teller'\n"
    config = write(tmp_path, f"threads = 2\nloop = 'asyncio'\n{place}")
    with serving(tmp_path, "--config", config) as server:
        server.says("try: ")
        for _ in range(4):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(DEADLINE)
                client.connect(where)
                assert server.tell(client)[2]
    assert not os.path.exists(where)


def kept(server: Server, admin: int) -> dict[str, int]:
    counters: dict[str, dict[str, int]] = json.loads(server.get(admin, "/status.json")[1])["application"]
    return counters.get("collect", {})  # nothing before the first beat


@pytest.mark.parametrize("options", [(), ("--rotate-size", "20000", "--fsync", "always")])
def test_collectHasThreads(options: tuple[str, ...], tmp_path: pathlib.Path) -> None:
    """Every line of both threads is in the file, whole and once, and in the order of its client."""
    port, admin = freePorts(2)
    arguments = ["--threads", "2", "--workers", "2", "--port", str(port), "--admin", f"127.0.0.1:{admin}"]
    with serving(tmp_path, "collect", "--output", "lines", *options, *arguments) as server:
        server.says("2 workers, 2 threads in each")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(server.connect(port)) for _ in range(24)]
            for turn in range(50):
                for number, client in enumerate(clients):
                    client.sendall(b"".join(b"%d %d %d\n" % (number, turn, line) for line in range(5)))
            for client in clients:
                client.shutdown(socket.SHUT_WR)
                assert client.recv(10) == b""
        server.until(lambda: kept(server, admin).get("keptLines") == 24 * 50 * 5)
        assert kept(server, admin).get("rotations", 0) > 0 or "--rotate-size" not in options
    files = [*sorted(tmp_path.glob("lines.*")), tmp_path / "lines"]
    assert len(files) > 1 or "--rotate-size" not in options
    lines = [tuple(map(int, line.split())) for each in files for line in each.read_text().splitlines()]
    assert sorted(lines) == [(number, turn, line) for number in range(24) for turn in range(50) for line in range(5)]
    for number in range(24):
        own = [line for line in lines if line[0] == number]
        assert own == sorted(own)


def test_countersOfThreadsAreAddedUp() -> None:
    one, other = snapshotOf(accepted=1), snapshotOf(accepted=2, started=800.0, state="draining")
    other["listeners"]["more"] = listenerOf(5, addresses=["unix /tmp/x"])
    both = combined([one, other])
    assert both["pid"] == one["pid"]
    assert (both["started"], both["state"]) == (800.0, "draining")
    assert both["listeners"]["syslog"] == {**listenerOf(3), "open": 2, "pendingBytes": 10}
    assert both["listeners"]["more"] == other["listeners"]["more"]
    assert both["loop"] == {"lag": 0.001, "lagMax": 0.01, "slowCallbacks": 3, "cpuSeconds": 0.5, "rssBytes": 1000}
    assert both["peers"] == [{"peer": "192.0.2.1", "open": 2, "lines": 3, "bytes": 30}]
    assert combined([one]) == one
