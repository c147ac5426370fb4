"""A server in a process of its own, and clients that attack it: its limits hold, and the polite ones notice nothing.

Each attack measures the log, too: no more bytes than the attacker has sent.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.battery.sizes import size
from tests.support.worlds import DEADLINE, LOOPBACK, ROOT

PAGE = os.sysconf("SC_PAGESIZE")
LOG_LINES = size(10, 100)  # repeats are counted, and told once a second at the most
P99 = size(0.05, 0.02)  # seconds; the other core is busy with another test in the small size


class Limited:
    """The server, and what is known of it."""

    def __init__(self, log: pathlib.Path, **options: Any) -> None:
        self.log = log
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.battery.limitedserver", json.dumps(options)],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        assert self.process.stdout is not None
        self.port, control = json.loads(self.process.stdout.readline())
        self.sent = 0
        self._sockets: list[socket.socket] = []
        self._control = self.dial(control)

    def dial(self, port: int | None = None) -> socket.socket:
        peer = socket.create_connection((LOOPBACK, self.port if port is None else port), timeout=DEADLINE)
        self._sockets.append(peer)
        return peer

    def send(self, peer: socket.socket, data: bytes) -> bool:
        """Send as an attacker; False if the server has ended the connection."""
        try:
            peer.sendall(data)
        except OSError:
            return False
        self.sent += len(data)
        return True

    def cpuSeconds(self) -> float:
        """Return the time of its main thread, by the system: an answer of stats() would take some itself."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0]) / 1e9

    def resident(self) -> int:
        """Return the memory that it has, in bytes."""
        return int(pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    def stats(self) -> dict[str, Any]:
        self._control.sendall(b"?\n")
        whole: dict[str, Any] = json.loads(readLine(self._control))
        return {**whole, **whole["listeners"].get("it", {})}

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = DEADLINE) -> float:
        """Ask until the counters are so; return how long it took."""
        begun = time.monotonic()
        while not condition(found := self.stats()):
            assert time.monotonic() < begun + seconds, found
            time.sleep(0.02)
        return time.monotonic() - begun

    def files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def close(self) -> None:
        for peer in self._sockets:
            peer.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            assert self.process.wait(DEADLINE) == 0
        finally:
            self.process.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()
        said = self.log.read_bytes()
        lines = said.count(b"\n")
        print(
            f"the log: {len(said)} bytes, {lines} lines, for {self.sent} bytes and {len(self._sockets)} clients or more"
        )
        assert len(said) <= self.sent, said[-2000:]
        assert lines <= LOG_LINES, said[-2000:]


def readLine(peer: socket.socket) -> bytes:
    got = b""
    while not got.endswith(b"\n"):
        piece = peer.recv(1 << 16)
        assert piece, got
        got += piece
    return got


@pytest.fixture
def limited(tmp_path: pathlib.Path) -> Iterator[Callable[..., Limited]]:
    """A function that starts a server with limits."""
    made: list[Limited] = []

    def start(application: str = "echo", spins: bool = False, **limits: Any) -> Limited:
        made.append(Limited(tmp_path / "log", application=application, spins=spins, limits=limits))
        return made[-1]

    yield start
    for each in made:
        each.close()


@contextlib.contextmanager
def polite(limited: Limited, count: int) -> Iterator[list[float]]:
    """Clients that send a line now and then meanwhile. The list has how long each answer took."""
    peers = [limited.dial() for _ in range(count)]
    took: list[float] = []
    failed: list[BaseException] = []
    over = threading.Event()

    def talk() -> None:
        try:
            while not over.is_set():
                for number, peer in enumerate(peers):
                    begun = time.monotonic()
                    peer.sendall(b"%d\n" % number)
                    assert readLine(peer) == b"%d\n" % number
                    took.append(time.monotonic() - begun)
                    time.sleep(0.002)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield took
    finally:
        over.set()
        thread.join()
    assert not failed, failed
    assert len(took) > 20


def p99(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)]


def test_theNumberIsExact(limited: Callable[..., Limited]) -> None:
    """Of so many connections at once, just the allowed are served. The newest are refused, with a text."""
    allowed, more = size(100, 2000), size(30, 500)
    server = limited(maxConnections=allowed, refusal="full\n")
    server.stats()  # its answer shows that the connection for it is open
    before = server.files()
    peers = [server.dial() for _ in range(allowed + more)]
    for peer in peers[allowed:]:
        assert readLine(peer) == b"full\n"
        assert peer.recv(1) == b""
    for number, peer in enumerate(peers[:allowed]):
        peer.sendall(b"%d\n" % number)
        assert readLine(peer) == b"%d\n" % number
    found = server.stats()
    assert (found["open"], found["accepted"], found["refused"]) == (allowed, allowed, {"max-connections": more})
    for peer in peers:
        peer.close()
    server.until(lambda counters: counters["open"] == 0)
    server.until(lambda counters: server.files() <= before)


def test_ofOneAddressToo(limited: Callable[..., Limited]) -> None:
    server = limited(maxPerAddress=5)
    peers = [server.dial() for _ in range(8)]
    for peer in peers[:5]:
        peer.sendall(b"x\n")
        assert readLine(peer) == b"x\n"
    for peer in peers[5:]:
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""
    assert server.stats()["refused"] == {"max-per-address": 3}


@pytest.mark.timing
def test_slowAndSilent(limited: Callable[..., Limited]) -> None:
    """Clients that send a byte now and then, and none: evicted in time. Those that complete lines stay."""
    count, deadline = size(200, 5000), size(1.5, 5.0)
    server = limited(lineDeadline=deadline, idleTimeout=deadline * 2)
    with polite(server, size(20, 100)) as took:
        slow = [server.dial() for _ in range(count)]
        silent = [server.dial() for _ in range(count)]
        begun = time.monotonic()
        while time.monotonic() < begun + deadline + 1:
            for peer in slow:
                server.send(peer, b"x")
            time.sleep(0.3)
        found = server.stats()
        assert found["ended"] == {"line-deadline": count}
        # An idle connection is seen two sweeps later, and a sweep comes every eighth of the time.
        rest = max(1.0, begun + deadline * 2 * 1.25 + 1 - time.monotonic())
        server.until(lambda counters: counters["ended"].get("idle", 0) == count, rest)
        for peer in silent:
            assert peer.recv(1) == b""
    assert server.stats()["ended"] == {"line-deadline": count, "idle": count}
    assert p99(took) <= P99


@pytest.mark.timing
def test_linesWithoutAnEnd(limited: Callable[..., Limited]) -> None:
    """Clients whose line never ends are closed; clients that stop a byte short of the limit have maxPending in all.

    Without maxPending, see test_unendedlines.py.
    """
    count, most = size(400, 4000), size(4 << 20, 40 << 20)
    server = limited(maxPending=most)
    with polite(server, size(20, 50)) as took:
        before = server.stats()["loop"]["rssBytes"]
        for _ in range(count):
            peer = server.dial()
            for _piece in range(17):
                if not server.send(peer, b"x" * 1024):
                    break
        server.until(lambda counters: counters["overlong"] == count)
        for _ in range(count):
            server.send(server.dial(), b"x" * 16383)
        server.until(lambda counters: counters["accepted"] >= 2 * count)
        server.until(lambda counters: counters["limited"].get("max-pending", 0) > 0)
        found = server.stats()
        assert found["pendingBytes"] <= most
        assert found["ended"]["max-pending"] == found["limited"]["max-pending"]
        assert found["loop"]["rssBytes"] - before <= 3 * most + (8 << 20)
    assert p99(took) <= P99


@pytest.mark.timing
@pytest.mark.timeout(300)
def test_stuckSubscribers(limited: Callable[..., Limited]) -> None:
    """Of many subscribers some read nothing: they are dropped at their bound, and the others get every line in time.

    The lines come at the asked rate, or as fast as all subscribers of one process can read them.
    """
    count, stuck, lines = size(100, 990), size(3, 10), size(300, 6000)
    rate, length, most = 200, size(16_000, 1000), 256 * 1024
    server = limited("room", maxOutput=most)
    readers = [server.dial() for _ in range(count)]
    for _ in range(stuck):
        peer = server.dial()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    publisher = server.dial()
    server.until(lambda counters: counters["open"] == count + stuck + 1)
    took: list[float] = []
    line = b"x" * length + b"\n"
    before, started, highest = server.resident(), time.monotonic(), 0
    for number in range(lines):
        time.sleep(max(0.0, started + number / rate - time.monotonic()))
        begun = time.monotonic()
        server.send(publisher, line)
        for reader in readers:
            assert len(reader.recv(len(line), socket.MSG_WAITALL)) == len(line)
        took.append(time.monotonic() - begun)
        highest = max(highest, server.resident() - before)
    print(f"{lines / (time.monotonic() - started):.0f} lines a second of {rate}, p99 {p99(took):.4f}, {highest} bytes")
    found = server.stats()
    assert (found["outputOverflows"], found["ended"]) == (stuck, {"output": stuck})
    assert found["open"] == count + 1
    assert highest <= stuck * (most + length) * 2 + (4 << 20)  # a buffer that grows is there twice for a moment
    assert p99(took) <= size(0.2, 0.05)  # for all of them together


@contextlib.contextmanager
def flooding(server: Limited) -> Iterator[None]:
    """One client, in a process of its own, sends short lines as fast as they are read, and reads the answers."""
    flooder = server.dial()
    flooder.setblocking(False)
    with subprocess.Popen([sys.executable, "-c", FLOOD, str(flooder.fileno())], pass_fds=[flooder.fileno()]) as process:
        try:
            server.until(lambda counters: counters["linesIn"] > 100_000)
            yield
        finally:
            process.kill()
    server.sent += server.stats()["bytesIn"]


FLOOD = """
import select, socket, sys
peer = socket.socket(fileno=int(sys.argv[1]))
data = b"x\\n" * 20_000
while True:
    readable, writable, _ = select.select([peer], [peer], [])
    if readable:
        peer.recv(1 << 20)
    if writable:
        peer.send(data)
"""


@pytest.mark.parametrize("application", ["echo", "slow"])
@pytest.mark.parametrize("spins", [False, True])
def test_aFloodHasShortTurns(limited: Callable[..., Limited], application: str, spins: bool) -> None:
    """One client sends short lines as fast as it can: no turn of the loop computes for 20 ms, so the others can wait.

    A callback that calls itself for ever changes nothing. Neither does a handler that takes long for each line, but for
    the first reads. The time is that of the processor, so the mark holds on a busy machine.
    """
    server = limited(application, spins=spins)
    with flooding(server), polite(server, size(20, 1000)):
        begun = server.stats()["application"]["loop"]
        server.until(lambda counters: counters["application"]["loop"]["turns"] > begun["turns"] + size(100, 3000))
        assert server.stats()["application"]["loop"]["long"] <= 3


@pytest.mark.timing
@pytest.mark.parametrize("spins", [False, True])
def test_oneFloods(limited: Callable[..., Limited], spins: bool) -> None:
    """One client sends short lines as fast as it can, or a callback calls itself for ever. The others are answered."""
    server = limited(spins=spins)
    with flooding(server), polite(server, size(50, 1000)) as took:
        time.sleep(size(2.0, 20.0))
        begun = time.monotonic()
        server.dial().sendall(b"new\n")
        assert time.monotonic() - begun <= size(0.1, 0.05)
    assert p99(took) <= P99


@pytest.mark.timing
def test_aFloodHasARate(limited: Callable[..., Limited]) -> None:
    """The same with a rate: the flooder is read at that, and loses nothing."""
    server = limited(lineRate=1000.0, burst=0.1)
    flooder = server.dial()
    flooder.setblocking(False)
    begun = time.monotonic()
    with contextlib.suppress(BlockingIOError):
        while True:
            server.sent += flooder.send(b"x\n" * 5000)
    time.sleep(1)
    found = server.stats()
    assert found["limited"] == {"line-rate": found["limited"]["line-rate"]}
    assert found["linesIn"] <= 1000 * (time.monotonic() - begun) + 100 + 32768 + 1000
    assert found["linesIn"] < server.sent // 2
