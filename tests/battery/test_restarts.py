"""`linereactor serve` ends and begins again under load, with one process and with two workers: a checker for each line.

Clients of echo must get every answer that is owed. Senders to collect stop at our end, connect anew, and lose nothing.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import re
import select
import selectors
import signal
import socket
import subprocess
import threading
import time

import pytest

from tests.battery.sizes import size
from tests.support.served import GRACE, PATIENCE, Command, freePort, metrics, running, workersOf
from tests.support.worlds import LOOPBACK

CLIENTS = 12
ASKERS = size(40, 200)
PAUSE = 0.05  # seconds between the lines of an Asker, on the average
CROSSING = 0.1  # seconds: a line that was sent so shortly before our end was seen may have crossed it
CROSSED = 0.001  # the part of all lines that may
LIFE = size(0.0, 2.0)  # seconds between kills: five workers in a row that do not live are the end
ESTABLISHED = 1  # linux/tcp_states.h

pytestmark = pytest.mark.timeout(600)


class Asker:
    """A client of echo: it sends numbered lines without waiting, until it sees our end."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection((LOOPBACK, port), PATIENCE)
        self.sock.setblocking(False)
        self.name = str(self.sock.getsockname()[1])
        self.due = time.monotonic() + random.random() * PAUSE
        self.sent: list[tuple[float, bool]] = []  # when, and whether our end was there by then
        self.got = bytearray()
        self.ended = 0.0

    def ask(self) -> None:
        """Send some lines at once. In loopback, the server's system has them when the call returns."""
        first, count = len(self.sent), random.randrange(1, 4)
        self.sock.sendall(b"".join(b"%d\r\n" % (first + each) for each in range(count)))
        state = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        self.sent += [(time.monotonic(), state != ESTABLISHED)] * count
        self.due = time.monotonic() + random.random() * 2 * PAUSE

    def hear(self) -> None:
        """Read an answer, or the end."""
        if data := self.sock.recv(1 << 16):
            self.got += data
        else:
            self.ended = time.monotonic()

    def check(self, read: int) -> int:
        """`read`: the number of its lines that the server has read. Return how many of them crossed our end."""
        answers = bytes(self.got).splitlines(keepends=True)
        assert answers == [b"%d\r\n" % number for number in range(len(answers))]
        assert len(answers) <= read <= len(self.sent)
        crossed = [at for at, isLate in self.sent[len(answers) :] if not isLate]
        assert [at for at in crossed if at < self.ended - CROSSING] == [], (len(answers), read, len(self.sent))
        return len(crossed)


class Askers(threading.Thread):
    """Clients of echo, until each has seen our end. `refused`: whether a new client was refused at the first end."""

    def __init__(self, port: int, count: int) -> None:
        super().__init__()
        self.asking = [Asker(port) for _ in range(count)]
        self.errors: list[str] = []
        self.refused: bool | None = None
        self._port = port
        self.start()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for asker in self.asking:
                selector.register(asker.sock, selectors.EVENT_READ, asker)
            end = time.monotonic() + PATIENCE
            while selector.get_map() and time.monotonic() < end:
                ready = {key.data for key, _ in selector.select(PAUSE / 10)}
                for asker in [key.data for key in selector.get_map().values()]:
                    try:
                        if asker in ready:
                            asker.hear()
                        elif asker.due <= time.monotonic():
                            asker.ask()
                    except OSError as error:
                        self.errors.append(f"{error!r} after {len(asker.sent)} lines")
                        asker.ended = time.monotonic()
                    if asker.ended:
                        self._leave(asker)
                        selector.unregister(asker.sock)
                        asker.sock.close()

    def _leave(self, asker: Asker) -> None:
        if self.refused is None:
            try:
                socket.create_connection((LOOPBACK, self._port), PATIENCE).close()
                self.refused = False
            except ConnectionRefusedError:
                self.refused = True


@pytest.mark.parametrize("workers", [0, 2])
def test_anEndAtARandomTime(workers: int, tmp_path: pathlib.Path) -> None:
    """Every line that was read is answered, each client sees an end and no reset, and the port is closed before.

    Only a line that crosses our end is not: the server has read all, and ends its half, as the line arrives.
    """
    crossed = lines = 0
    for _ in range(size(5, 15)):
        port = freePort()
        with running(tmp_path, port, workers, "echo", "--log-connections") as command:
            askers = Askers(port, ASKERS)
            threading.Event().wait(0.05 + random.random() * size(0.5, 6.0))
            took = command.end()
            askers.join(PATIENCE)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOOPBACK, port))
            assert took < GRACE + 0.5
            assert askers.errors == []
            assert askers.refused or workers, "the port was open when a connection had ended"
            read = {
                found[1]: int(found[2]) for found in re.finditer(r"127\.0\.0\.1:(\d+)\b.*? (\d+) lines", command.log())
            }
            crossed += sum(asker.check(read[asker.name]) for asker in askers.asking)
            lines += sum(len(asker.sent) for asker in askers.asking)
    print(f"{lines} lines, of which {crossed} crossed the end")
    assert crossed <= lines * CROSSED


@pytest.mark.parametrize("workers", [0, 2])
def test_aSecondSignalHurries(workers: int, tmp_path: pathlib.Path) -> None:
    """Also with an output that nobody takes: the client reads nothing."""
    port = freePort()
    with running(tmp_path, port, workers, "echo", "--grace", "60") as command:
        with socket.create_connection((LOOPBACK, port), PATIENCE) as peer:
            peer.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer.send(b"x" * 1000 + b"\r\n")
            command.process.send_signal(signal.SIGTERM)
            waited = select.select([], [], [], 0.5)
            assert waited == ([], [], [])
            assert command.process.poll() is None
            begun = time.monotonic()
            command.process.send_signal(signal.SIGTERM)
            command.process.wait(PATIENCE)
        assert time.monotonic() - begun < 3.0


class Sender(threading.Thread):
    """Sends numbered lines to collect. It looks for our end before each line, and connects anew when it sees it."""

    def __init__(self, number: int, port: int) -> None:
        super().__init__()
        self.number, self.port = number, port
        self.sent = self.connections = 0
        self.faults: list[str] = []
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            try:
                with socket.create_connection((LOOPBACK, self.port), PATIENCE) as peer:
                    self.connections += 1
                    self._send(peer)
            except ConnectionRefusedError:
                self.over.wait(0.01)
            except Exception as error:
                self.faults.append(f"sender {self.number} after {self.sent} lines: {error!r}")

    def _send(self, peer: socket.socket) -> None:
        while not self.over.is_set():
            if select.select([peer], [], [], random.random() * 0.004)[0]:
                assert peer.recv(10) == b""
                return
            peer.sendall(b"%d %d\n" % (self.number, self.sent))
            self.sent += 1
        peer.shutdown(socket.SHUT_WR)
        assert peer.recv(10) == b""

    def stop(self) -> None:
        self.over.set()
        self.join(PATIENCE)


def checkLines(output: pathlib.Path, senders: list[Sender]) -> None:
    """Each line is there, whole, once, and in the order of its sender."""
    found: dict[int, list[int]] = {sender.number: [] for sender in senders}
    for line in output.read_bytes().splitlines():
        name, number = line.split(b" ")
        found[int(name)].append(int(number))
    for sender in senders:
        got = found[sender.number]
        missing = sorted(set(range(sender.sent)) - set(got))
        assert missing == [], (sender.number, missing[:10])
        assert got == list(range(sender.sent))


@pytest.mark.parametrize("workers", [0, 2])
def test_sendersThatHeedTheEndLoseNothing(workers: int, tmp_path: pathlib.Path) -> None:
    """Over several restarts of the whole command."""
    output, port = tmp_path / "lines", freePort()
    senders: list[Sender] = []
    restarts = size(4, 15)
    try:
        for turn in range(restarts + 1):
            with running(tmp_path, port, workers, "collect", "--output", str(output)) as command:
                senders = senders or [Sender(number, port) for number in range(CLIENTS)]
                threading.Event().wait(0.05 + random.random() * 0.3)
                if turn == restarts:
                    for sender in senders:
                        sender.stop()
                assert command.end() < GRACE + 0.5
    finally:
        for sender in senders:
            sender.stop()
    assert [fault for sender in senders for fault in sender.faults] == []
    assert sum(sender.connections for sender in senders) >= CLIENTS * restarts / 2
    checkLines(output, senders)


class Following(Sender):
    """A sender whose worker may be killed: then it connects anew. `connections` has the numbers of the lines of each.

    The last item tells whether the sender has ended it, in order.
    """

    def __init__(self, number: int, port: int) -> None:
        self.lives: list[tuple[int, int, bool]] = []
        super().__init__(number, port)

    def _send(self, peer: socket.socket) -> None:
        first = self.sent
        isWhole = False
        try:
            super()._send(peer)
            isWhole = self.over.is_set()
        except ConnectionError:
            pass
        self.lives.append((first, self.sent, isWhole))


def replace(command: Command, number: int) -> None:
    """Have a signal renew all workers (SIGHUP), or one."""
    before = workersOf(command)
    if number == signal.SIGHUP:
        command.process.send_signal(number)
    else:
        os.kill(min(before), number)
    end = time.monotonic() + PATIENCE
    while len(now := workersOf(command)) != len(before) or len(now - before) != (
        len(before) if number == signal.SIGHUP else 1
    ):
        assert time.monotonic() < end, command.log()
        time.sleep(0.01)


@pytest.mark.needs("logger", "nc")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_collectIsReloadedAndKilled(number: signal.Signals, tmp_path: pathlib.Path) -> None:
    """After HUP every line is there, once. After kill -9 none is torn or doubled; only that worker's may miss."""
    output, port, admin = tmp_path / "lines", freePort(), freePort()
    arguments = ["collect", "--output", str(output), "--admin", f"{LOOPBACK}:{admin}"]
    logger = ["logger", "-T", "-n", LOOPBACK, "-P", str(port), "-t", "trial", "--", "by logger"]
    turns = size(2, 15)
    with running(tmp_path, port, 2, *arguments) as command:
        senders = [Following(each, port) for each in range(CLIENTS)]
        try:
            for _ in range(turns):
                threading.Event().wait(LIFE if number == signal.SIGKILL else 0)
                replace(command, number)
                subprocess.run(logger, check=True, timeout=PATIENCE)
                subprocess.run(["nc", "-N", LOOPBACK, str(port)], input=b"by nc\n", check=True, timeout=PATIENCE)
        finally:
            for sender in senders:
                sender.stop()
        accepted = CLIENTS + 2 * turns if number == signal.SIGHUP else 1  # a killed worker's last second is lost
        end = time.monotonic() + PATIENCE
        while metrics(admin).get("linereactor_connections_accepted_total", 0) < accepted:
            assert time.monotonic() < end, metrics(admin)
            time.sleep(0.05)
        command.process.send_signal(signal.SIGTERM)
        assert command.process.wait(PATIENCE) == 0, command.log()
    assert [fault for sender in senders for fault in sender.faults] == []
    lines = output.read_bytes().splitlines(keepends=True)
    assert sum(line.endswith(b"by logger\n") for line in lines) == turns
    assert lines.count(b"by nc\n") == turns
    found: dict[int, list[int]] = {each: [] for each in range(CLIENTS)}
    for line in lines:
        if b"by " not in line:
            assert re.fullmatch(rb"\d+ \d+\n", line), line
            found[int(line.split()[0])].append(int(line.split()[1]))
    for sender in senders:
        got = found[sender.number]
        # None is doubled. The order holds within a connection: the next one has another worker, which may be faster.
        assert len(got) == len(set(got))
        for first, last, isWhole in sender.lives:
            there = [each for each in got if first <= each < last]
            isWhole = isWhole or number == signal.SIGHUP
            assert there == list(range(first, last if isWhole else first + len(there)))
    assert max(len(sender.lives) for sender in senders) > 1
