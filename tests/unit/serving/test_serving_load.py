"""`linereactor load`: latencies, plans, targets, the open loop, several processes, the plot."""

from __future__ import annotations

import argparse
import importlib.util
import io
import itertools
import math
import pathlib
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import __main__ as command
from reactor.linereceiver import LineReceiver
from reactor.loops.epoll import EpollReactor
from reactor.protocol import ServerFactory
from reactor.serving import load, loadcommand, loadprocesses
from reactor.serving.latency import CELLS, LONGEST, Latencies, cellOf
from reactor.serving.loadplan import LINES, PIPELINE, LoadPlan, planOf, share
from reactor.serving.loadtarget import Dialler, Target, TLSTarget, UNIXTarget, target
from reactor.serving.options import makeParser
from reactor.task import LoopingCall
from tests.support.tlsworlds import TRUST, serverOptions, write
from tests.support.worlds import DEADLINE, LOOPBACK, ROOT, runProgram


class TestLatencies:
    def test_cells(self) -> None:
        """Every time has a cell, in order, within a thousandth; and beyond the longest there are no more."""
        numbers = [cellOf(number) for number in range(3 * CELLS)]
        assert numbers[:CELLS] == list(range(CELLS))
        assert all(0 <= after - before <= 1 for before, after in itertools.pairwise(numbers))
        for number in (5000, 123_456, 7_654_321, LONGEST // 2):
            assert cellOf(number) < cellOf(number + number // 1000 + 1) <= cellOf(number) + 2
        assert cellOf(LONGEST * 10) == cellOf(LONGEST) < 26 * CELLS

    def test_memoryIsBounded(self) -> None:
        latencies = Latencies()
        for number in range(200_000):
            latencies.add(number**2 / 1e6)
        assert len(latencies.cells()) < 26 * CELLS
        assert latencies.count == 200_000
        assert latencies.max == 199_999**2 / 1e6

    def test_oneOfManyPercentiles(self) -> None:
        latencies = Latencies()
        for number in range(1, 10_001):
            latencies.add(number / 1e4)
        for rank in (1, 50, 90, 99, 99.9, 99.99):
            assert latencies.percentile(rank) == pytest.approx(rank / 100, rel=2e-3)
        assert latencies.told().startswith("latency p50 ")
        assert re.search(r"p90 \d+\.\d+ ms, p99 \d+\.\d+ ms, p99.9 \d+\.\d+ ms, max 1000.000 ms$", latencies.told())

    def test_clocksThatStepBack(self) -> None:
        latencies = Latencies()
        latencies.add(-0.1)
        assert (latencies.percentile(50), latencies.max) == (0, 0)

    def test_united(self) -> None:
        one, other, both = Latencies(), Latencies(), Latencies()
        for number in range(1000):
            (one if number % 3 else other).add(number / 1000)
            both.add(number / 1000)
        one.addCells(other.cells(), other.max)
        assert (one.steps(), one.max, one.count) == (both.steps(), both.max, both.count)

    def test_histogram(self) -> None:
        latencies = Latencies()
        assert latencies.histogram() == ""
        for milliseconds, count in ((0.3, 30), (1, 10), (4, 60)):
            latencies.add(milliseconds / 1000, count)
        assert latencies.histogram().split("\n") == [
            "       0.5 ms         30  30.0% ###############",
            "         1 ms         10  10.0% #####",
            "         2 ms          0   0.0%",
            "         5 ms         60  60.0% " + "#" * 30,
        ]


def plan(*arguments: str, where: str = "h:7") -> LoadPlan:
    return planOf(makeParser().parse_args(["load", where, *arguments]))


class TestPlans:
    def test_defaults(self) -> None:
        found = plan()
        assert (found.connections, found.pipeline, found.lines, found.rate, found.parts) == (50, 16, 100_000, None, 1)
        assert plan("--duration", "5").lines == math.inf
        assert plan("--duration", "5", "--lines", "9").lines == 9
        assert plan("--duration", "2.5", "--rate", "10").lines == 25
        assert plan("--duration", "0.01", "--rate", "10").lines == 1
        assert plan("--lines", "3").connections == 3
        assert plan("--lines", "3", "--processes", "8").parts == 3

    @pytest.mark.parametrize("lines", [1, 7, 1000])
    @pytest.mark.parametrize("parts", [1, 2, 3])
    def test_partsAreTheWhole(self, lines: int, parts: int) -> None:
        whole = LoadPlan(Target("h", 7), 5, 1, lines, 32, rate=100.0, parts=parts)
        each = [whole._replace(part=part) for part in range(parts)]
        assert sum(part.ownLines for part in each) == lines
        assert sum(part.ownConnections for part in each) == 5
        due = sorted(part.dueAfter(number) for part in each for number in range(int(part.ownLines)))
        assert due == [number / 100 for number in range(lines)]
        for part in each:
            for number in range(int(part.ownLines)):
                assert part.dueWithin(part.dueAfter(number) + 1e-9) == number + 1
            assert part.dueWithin(-1) == 0
            assert part.dueWithin(1e9) == part.ownLines

    def test_shares(self) -> None:
        assert [share(10, part, 4) for part in range(4)] == [3, 3, 2, 2]

    def test_argumentsOfParts(self) -> None:
        """A child that reads them has the same plan, but for its number."""
        for arguments, where in (
            (["--rate", "12.5", "--duration", "3", "--processes", "2"], "unix:/tmp/x"),
            (["--pipeline", "3", "--lines", "77", "--processes", "2", "--insecure"], "tls://[::1]:7"),
            (["--duration", "0.5", "--processes", "2", "--ca", "/x.pem", "--line-length", "99"], "tls://h:7"),
        ):
            whole = plan(*arguments, where=where)
            options = makeParser().parse_args(loadprocesses.argumentsOf(whole, 1))
            assert planOf(options) == whole._replace(part=1)


def test_targets() -> None:
    for text, found in (
        ("h:7", Target("h", 7)),
        ("[::1]:7", Target("::1", 7)),
        ("tls://h:7", TLSTarget("h", 7)),
        ("tls://[::1]:7", TLSTarget("::1", 7)),
        ("unix:/a/b:c", UNIXTarget("/a/b:c")),
    ):
        assert (target(text), type(target(text))) == (found, type(found))
        assert str(found) == text


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["unix:"], 2, "must be unix:PATH, not 'unix:'"),
        (["tls://h"], 2, "must be HOST:PORT"),
        (["tls://h:0"], 2, "the port in 'h:0' is no number"),
        (["h:7", "--rate", "0"], 2, "must be a positive number of lines a second, not '0'"),
        (["h:7", "--duration", "-1"], 2, "must be a positive number of seconds, not '-1'"),
        (["h:7", "--processes", "0"], 2, "must be a whole number of at least 1, not '0'"),
        (["h:7", "--rate", "5", "--pipeline", "2"], 2, "leave out --pipeline"),
        (["h:7", "--ca", "x"], 2, "--ca is for a target tls://HOST:PORT"),
        (["unix:/x", "--insecure"], 2, "--insecure is for a target tls://HOST:PORT"),
        (["tls://h:7", "--ca", "/nowhere.pem"], 2, "--ca: No such file or directory: /nowhere.pem"),
        (["tls://h:7", "--ca", "x", "--insecure"], 2, "--ca and --insecure exclude each other"),
        (["h:7", "--plot", "x.txt"], 2, "--plot: must be a name that ends in .svg, .png, .pdf, not 'x.txt'"),
        (["h:7", "--plot", "/nowhere/x.svg"], 2, "--plot: there is no directory '/nowhere'"),
    ],
)
def test_errorsAreOneLine(
    loop: EpollReactor, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    try:
        found = command.main(["load", *arguments])
    except SystemExit as leaving:
        found = int(leaving.code or 0)
    assert found == code
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith("linereactor load: ")
    assert text in said
    assert said.count("\n") == 1


def test_plotsNeedTheExtra(
    loop: EpollReactor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    assert command.main(["load", "h:7", "--plot", "x.svg"]) == 2
    assert capsys.readouterr().err == ("linereactor load: --plot needs matplotlib: pip install 'linereactor[plot]'\n")


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollReactor]:
    """The command's reactor, in this process, whose limits and logging stay as they are."""
    loop = EpollReactor()
    monkeypatch.setattr(command, "current", lambda: loop)
    for module in (load, loadprocesses):
        monkeypatch.setattr(module, "logTo", lambda *arguments: None)
    monkeypatch.setattr(load, "allowDescriptors", lambda: None)
    monkeypatch.setattr(sys, "argv", ["linereactor"])
    tooLong = loop.callLater(DEADLINE, loop.stop)
    yield loop
    tooLong.cancel()
    loop.disconnectAll()
    loop.iterate()
    loop.close()


class Echo(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.factory.connections += 1

    def lineReceived(self, line: bytes) -> Any:
        self.factory.lines += 1
        self.sendLine(line)
        return None


class Echoes(ServerFactory[Any]):
    protocol = Echo
    noisy = False
    connections = lines = 0


def listening(loop: EpollReactor, factory: Echoes) -> str:
    port: Any = loop.listenTCP(0, factory, interface=LOOPBACK)
    return f"{LOOPBACK}:{port.getHost().port}"


def figuresOf(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(p[\d.]+|max) ([\d.]+) ms", text)}


class TestRuns:
    def test_openLoop(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        factory = Echoes()
        arguments = ["--rate", "2000", "--duration", "0.3", "--connections", "7"]
        assert command.main(["load", listening(loop, factory), *arguments]) == 0
        first, rate, latency, *rows = capsys.readouterr().out.splitlines()
        assert first == "600 lines of 32 bytes, 7 connections, 2000 lines/s asked for: every reply right"
        assert float(rate.split()[0]) <= 2100
        figures = figuresOf(latency)
        assert list(figures) == ["p50", "p90", "p99", "p99.9", "max"]
        assert sorted(figures.values()) == list(figures.values())
        assert sum(int(row.split()[2]) for row in rows) == factory.lines == 600
        assert factory.connections == 7

    def test_slowRates(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        """A line has its own time, and no batch waits for others. There are no more connections than lines."""
        factory = Echoes()
        arguments = ["--rate", "50", "--lines", "5", "--connections", "20"]
        assert command.main(["load", listening(loop, factory), *arguments]) == 0
        out = capsys.readouterr().out
        assert out.startswith("5 lines of 32 bytes, 5 connections, 50 lines/s asked for: every reply right\n")
        took = re.search(r"\(([\d.]+) s\)", out)
        assert took is not None
        assert float(took[1]) >= 4 / 50

    def test_noCoordinatedOmission(self, loop: EpollReactor) -> None:
        """A server that stands still once: an open load sees it in each line that was due, a closed one in a single."""

        class Stalls(Echo):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if self.factory.lines == 50:
                    self.pauseProducing()
                    loop.callLater(0.3, self.resumeProducing)

        class Stalling(Echoes):
            protocol = Stalls

        slow = {}
        for name, arguments in {"open": ["--rate", "1000"], "closed": ["--pipeline", "1"]}.items():
            where = listening(loop, Stalling())
            found = plan(*arguments, "--lines", "500", "--connections", "1", where=where)
            latencies = load.runLoad(found, loop).latencies
            assert latencies.max >= 0.29
            slow[name] = latencies.count - max(
                (upTo for seconds, upTo in latencies.steps() if seconds < 0.1), default=0
            )
        assert slow["open"] >= 150
        assert slow["closed"] <= 20

    def test_duration(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        factory = Echoes()
        arguments = ["--duration", "0.2", "--pipeline", "3", "--connections", "2", "--histogram"]
        assert command.main(["load", listening(loop, factory), *arguments]) == 0
        first, rate, latency, *rows = capsys.readouterr().out.splitlines()
        assert first == f"{factory.lines} lines of 32 bytes, 2 connections, 3 deep: every reply right"
        took = re.search(r"\(([\d.]+) s\)", rate)
        assert took is not None
        assert float(took[1]) >= 0.2
        assert "max" in figuresOf(latency)
        assert rows

    def test_linesBeforeTheDuration(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["load", listening(loop, Echoes()), "--duration", "15", "--lines", "100"]) == 0
        assert capsys.readouterr().out.startswith("100 lines")
        left = [call.getTime() - loop.seconds() for call in loop.getDelayedCalls()]
        assert [delay for delay in left if 1 < delay < 16] == []

    @pytest.mark.parametrize("how", [[], ["--rate", "5000"]])
    def test_lostConnections(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str], how: list[str]) -> None:
        class Closes(Echo):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if self.factory.lines == 20:
                    self.transport.loseConnection()

        class Closing(Echoes):
            protocol = Closes

        arguments = ["--connections", "1", "--duration", "9", *how]
        assert command.main(["load", listening(loop, Closing()), *arguments]) == 1
        said = capsys.readouterr().err
        assert re.match(r"linereactor load: connection 0 was lost after \d+ (of 45000 )?replies: .*", said)
        assert re.search(r"\(\d+ (of 45000 )?replies were right\)\n$", said)

    def test_wrongReplies(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        class Doubles(Echo):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if self.factory.lines == 20:
                    self.sendLine(line)

        class Doubling(Echoes):
            protocol = Doubles

        assert command.main(["load", listening(loop, Doubling()), "--connections", "1", "--rate", "2000"]) == 1
        assert re.match(r"linereactor load: connection 0, reply 20: .* came \(", capsys.readouterr().err)

    def test_pausesAreNoStall(self, loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
        """Between two lines of a slow rate no reply is missing."""
        monkeypatch.setattr(load, "STALL", 0.05)
        monkeypatch.setattr(load, "SHOW_EVERY", 0.01)
        found = plan("--rate", "5", "--lines", "2", "--connections", "1", where=listening(loop, Echoes()))
        assert load.runLoad(found, loop).received == 2

    def test_aBarOfTime(self, loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        terminal = Terminal()
        monkeypatch.setattr(load, "SHOW_EVERY", 0.01)
        monkeypatch.setattr(sys, "stderr", terminal)
        assert command.main(["load", listening(loop, Echoes()), "--duration", "0.2"]) == 0
        assert re.search(r"\[#+\.*\] +[1-9]\d*% [1-9]\d* lines/s", terminal.getvalue())


class Witness(threading.Thread):
    """An echo server that stands beside the reactor. `ends` has the end of each connection, as the server saw it.

    With `isSlow` it answers a moment later.
    """

    def __init__(self, isSlow: bool = False) -> None:
        super().__init__()
        self.ends: list[str] = []
        self.lines = 0
        self._isSlow = isSlow
        self._door = socket.create_server((LOOPBACK, 0))
        self._over = threading.Event()
        self.where = f"{LOOPBACK}:{self._door.getsockname()[1]}"
        self.start()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector, self._door:
            selector.register(self._door, selectors.EVENT_READ)
            while not self._over.is_set() or len(selector.get_map()) > 1:
                for key, _ in selector.select(0.05):
                    sock: Any = key.fileobj
                    if sock is self._door:
                        selector.register(sock.accept()[0], selectors.EVENT_READ)
                    elif not self._answers(sock):
                        selector.unregister(sock)
                        sock.close()

    def _answers(self, sock: socket.socket) -> bool:
        try:
            data = sock.recv(1 << 16)
            if data and self._isSlow:
                self._over.wait(0.05)
            sock.sendall(data)
        except OSError as error:
            self.ends.append(type(error).__name__)
            return False
        self.lines += data.count(b"\n")
        if not data:
            self.ends.append("end")
        return bool(data)

    def stop(self) -> list[str]:
        self._over.set()
        self.join(DEADLINE)
        return self.ends


@pytest.fixture
def witness(request: pytest.FixtureRequest) -> Iterator[Witness]:
    witness = Witness(getattr(request, "param", False))
    yield witness
    witness.stop()


class TestEnds:
    """The server sees the end of each connection in order, and no reset."""

    @pytest.mark.parametrize(
        "arguments", [["--lines", "900"], ["--rate", "3000", "--duration", "0.2"], ["--duration", "0.2"]]
    )
    @pytest.mark.parametrize("processes", ["1", "2"])
    def test_ofTheLoad(self, loop: EpollReactor, witness: Witness, arguments: list[str], processes: str) -> None:
        more = ["--connections", "6", "--processes", processes]
        assert command.main(["load", witness.where, *arguments, *more]) == 0
        assert witness.stop() == ["end"] * 6

    @pytest.mark.parametrize("witness", [True], indirect=True)
    @pytest.mark.parametrize("processes", ["1", "2"])
    def test_ofAnInterruptedLoad(
        self, loop: EpollReactor, witness: Witness, processes: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Replies are in flight then, and come first."""

        def look() -> None:
            if witness.lines > 60:
                stopping.stop()
                loop.stop()

        stopping = LoopingCall(look)
        stopping.clock = loop
        stopping.start(0.01)
        more = ["--connections", "6", "--processes", processes, "--duration", "60"]
        assert command.main(["load", witness.where, *more]) == 1
        assert "interrupted" in capsys.readouterr().err
        assert witness.stop() == ["end"] * 6

    def test_ofAServerThatHangs(self, loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has LEAVE_TIME to answer after an interrupt."""
        monkeypatch.setattr(load, "LEAVE_TIME", 0.05)

        class Hangs(Echo):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if self.factory.lines == 50:
                    self.pauseProducing()
                    loop.callLater(0, loop.stop)

        class Hanging(Echoes):
            protocol = Hangs

        assert command.main(["load", listening(loop, Hanging()), "--connections", "1", "--duration", "60"]) == 1


class TestTargets:
    def test_unix(self, loop: EpollReactor, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
        path = str(tmp_path / "socket")
        loop.listenUNIX(path, Echoes())
        assert command.main(["load", f"unix:{path}", "--lines", "1000"]) == 0
        assert capsys.readouterr().out.startswith("1000 lines")
        assert command.main(["load", f"unix:{path}x", "--lines", "1000"]) == 1
        assert capsys.readouterr().err.startswith(f"linereactor load: cannot connect to unix:{path}x: ")

    @pytest.mark.parametrize("how", ["ca", "insecure", "neither"])
    def test_tls(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str], how: str) -> None:
        port: Any = loop.listenSSL(0, Echoes(), serverOptions(), interface=LOOPBACK)
        where = f"tls://{LOOPBACK}:{port.getHost().port}"
        options = {"ca": ["--ca", write("load-ca.pem", TRUST)], "insecure": ["--insecure"], "neither": []}[how]
        found = command.main(["load", where, "--lines", "500", "--connections", "3", *options])
        out, said = capsys.readouterr()
        if how == "neither":
            assert found == 1
            assert re.match(rf"linereactor load: cannot connect to {where}: .*certificate.*\n$", said)
        else:
            assert (found, said) == (0, "")
            assert out.startswith("500 lines of 32 bytes, 3 connections, 16 deep: every reply right\n")

    def test_whatIsVerified(self) -> None:
        dialler = Dialler(None, TLSTarget("h", 7), insecure=False)
        assert dialler._contexts.hostname == "h"


class TestProcesses:
    def test_severalProcesses(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        factory = Echoes()
        arguments = ["--processes", "2", "--connections", "5", "--lines", "3001", "--histogram"]
        assert command.main(["load", listening(loop, factory), *arguments]) == 0
        first, _rate, latency, *rows = capsys.readouterr().out.splitlines()
        assert first == "3001 lines of 32 bytes, 5 connections, 16 deep, 2 processes: every reply right"
        assert (factory.connections, factory.lines) == (5, 3001)
        assert sum(int(row.split()[2]) for row in rows) == 3001
        assert figuresOf(latency)["max"] > 0

    def test_theirRate(self, loop: EpollReactor, capsys: pytest.CaptureFixture[str]) -> None:
        factory = Echoes()
        arguments = ["--processes", "2", "--connections", "4", "--rate", "1000", "--duration", "0.4"]
        assert command.main(["load", listening(loop, factory), *arguments]) == 0
        out = capsys.readouterr().out
        assert out.startswith("400 lines of 32 bytes, 4 connections, 1000 lines/s asked for, 2 processes: every reply")
        assert factory.lines == 400

    def test_aWrongReply(self, loop: EpollReactor, capfd: pytest.CaptureFixture[str]) -> None:
        class Damages(Echo):
            def lineReceived(self, line: bytes) -> None:
                self.factory.lines += 1
                self.sendLine(line if self.factory.lines < 500 else line.upper())

        class Damaging(Echoes):
            protocol = Damages

        arguments = ["--processes", "2", "--lines", "100000", "--connections", "2"]
        assert command.main(["load", listening(loop, Damaging()), *arguments]) == 1
        out, said = capfd.readouterr()
        assert out == ""
        assert re.fullmatch(r"linereactor load: connection [01], reply \d+: .* came \(\d+ of 50000 .*\)\n", said)

    def test_nobodyThere(self, loop: EpollReactor, capfd: pytest.CaptureFixture[str]) -> None:
        with socket.create_server((LOOPBACK, 0)) as sock:
            where = f"{LOOPBACK}:{sock.getsockname()[1]}"
        assert command.main(["load", where, "--processes", "2"]) == 1
        assert capfd.readouterr().err == f"linereactor load: cannot connect to {where}: Connection refused\n"

    def test_interrupted(self) -> None:
        """A signal ends the children too."""
        with socket.create_server((LOOPBACK, 0)) as server:
            where = f"{LOOPBACK}:{server.getsockname()[1]}"
            arguments = [sys.executable, "-m", "reactor", "load", where, "--processes", "2", "--connections", "2"]
            with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
                clients = [server.accept()[0] for _ in range(2)]
                for client in clients:
                    client.settimeout(DEADLINE)
                    assert client.recv(10)
                process.send_signal(signal.SIGINT)
                _, said = process.communicate(timeout=DEADLINE)
                for client in clients:
                    while True:
                        try:
                            if not client.recv(1 << 16):
                                break
                        except ConnectionResetError:
                            break
                    client.close()
        assert process.returncode == 1
        assert said == "python -m reactor load: interrupted\n"

    def test_aKilledParent(self) -> None:
        """A part whose first process is no more ends by itself."""
        with socket.create_server((LOOPBACK, 0)) as server:
            where = f"{LOOPBACK}:{server.getsockname()[1]}"
            arguments = [sys.executable, "-m", "reactor", "load", where, "--connections", "1", "--part", "0/1"]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            with subprocess.Popen(arguments, **pipes) as process, server.accept()[0]:  # type: ignore[call-overload]
                out, _ = process.communicate(timeout=DEADLINE)
        assert out == b'{"ready": true}\n{"error": "the first process has ended"}\n'


PLOT = """
import sys
from reactor.serving.errors import CommandError
from reactor.serving.latency import Latencies
from reactor.serving.load import Outcome
from reactor.serving.loadcommand import checkPlot, plot
from reactor.serving.loadplan import LoadPlan
from reactor.serving.loadtarget import Target

latencies = Latencies()
for number in range(1, 1001):
    latencies.add(number / 1000)
for name in sys.argv[1:]:
    checkPlot(name)
    try:
        plot(LoadPlan(Target("h", 7), 50, 16, 1000, 32), Outcome(1000, 0.0, 1.0, latencies), name)
    except CommandError as error:
        print(error)
"""


class TestPlots:
    def test_files(self, tmp_path: pathlib.Path) -> None:
        """In a process of its own: the library keeps its fonts open."""
        good, other, bad = (tmp_path / name for name in ("latency.svg", "latency.png", "bad.svg"))
        bad.mkdir()
        done = runProgram(PLOT, str(good), str(other), str(bad))
        assert (done.stdout, done.stderr) == (f"cannot write {bad}: Is a directory\n", "")
        text = good.read_text()
        assert "<svg" in text
        assert "</svg>" in text
        assert other.read_bytes().startswith(b"\x89PNG")

    def test_drawnAfterTheRun(
        self, loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        drawn: list[Any] = []
        monkeypatch.setattr(loadcommand, "plot", lambda *arguments: drawn.append(arguments))
        assert command.main(["load", listening(loop, Echoes()), "--lines", "10", "--plot", "x.svg"]) == 0
        ((planned, outcome, name),) = drawn
        assert (planned.lines, outcome.received, outcome.latencies.count, name) == (10, 10, 10, "x.svg")

    def test_theCurve(self) -> None:
        latencies = Latencies()
        for number in range(1, 1001):
            latencies.add(number / 1000)
        places, heights, end = loadcommand.curve(latencies)
        assert (places[0], places[500], places[-1], end) == (1.0, 2.0, 1000.0, 1000.0)
        assert len(places) == len(heights)
        assert heights == sorted(heights)
        assert heights[-1] == 1000


def test_optionsOfAPart() -> None:
    """They are for the command itself, and no help names them."""
    (actions,) = [action for action in makeParser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert "--part" not in actions.choices["load"].format_help()


def test_thePage() -> None:
    """docs/command.md names each option of a load, with its default, and its example can be parsed."""
    page = (ROOT / "docs" / "command.md").read_text().partition("## The load")[2]
    options = vars(makeParser().parse_args(["load", "h:7"]))
    options |= {"pipeline": PIPELINE, "lines": LINES}
    rows = re.findall(r"^\| `--([a-z-]+)` \| (\d*) ?\|", page, re.MULTILINE)
    assert len(rows) == 9
    for name, default in rows:
        assert default == str(options[name.replace("-", "_")] or ""), name
    (example,) = re.findall(r"^`linereactor (load [^`]+)`$", page, re.MULTILINE)
    assert planOf(makeParser().parse_args(example.split())).rate == 20_000
