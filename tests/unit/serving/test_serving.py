"""The parts of the command, in this process: applications, errors, idle sweep, drain, load."""

from __future__ import annotations

import argparse
import errno
import fcntl
import importlib.metadata
import io
import logging
import os
import pathlib
import re
import resource
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest

import reactor.__main__ as command
from reactor._logger import Repeats
from reactor.address import IPv4Address
from reactor.defer import Deferred
from reactor.endpoints.streams import SSL4ServerEndpoint
from reactor.error import ConnectError, ConnectionDone, IdleTimeout, TimeoutError
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Factory, Protocol, ServerFactory
from reactor.service import draining as drain
from reactor.service import watch
from reactor.service.server import Server
from reactor.serving import apps, descriptors, load, loadclient, loadtarget, options, places, serve
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.latency import Latencies, ProgressBar
from reactor.serving.logformats import CleanFormatter
from reactor.serving.logs import Tracebacks, logTo
from reactor.stdio import StandardIO
from reactor.task import Clock
from reactor.transports.output import OutputStream
from reactor.transports.tcp import TCPConnection
from reactor.transports.tls.connection import TLSConnection
from tests.support.tlsworlds import HOST, TRUST, TLSWorld, serverOptions
from tests.support.worlds import LOOPS, dial, turnUntil

DEADLINE = 20.0


@pytest.fixture(scope="module")
def theLoop() -> EpollReactor:
    return EpollReactor()


@pytest.fixture
def loop(theLoop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollReactor]:
    """One reactor for all, and the command's. The process's own limits and logging stay as they are."""
    monkeypatch.setattr(command, "current", lambda: theLoop)
    for module in (serve, load):
        monkeypatch.setattr(module, "logTo", lambda *arguments: None)
        monkeypatch.setattr(module, "allowDescriptors", lambda: None)
    monkeypatch.setattr(sys, "argv", ["linereactor"])
    tooLong = theLoop.callLater(DEADLINE, theLoop.stop)
    yield theLoop
    tooLong.cancel()
    assert theLoop.getDelayedCalls() == []


def reads(client: socket.socket) -> bytes:
    """All there is, to the end; a reset raises."""
    parts = []
    while part := client.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


class Meanwhile:
    """A dialogue in another thread, with a server that runs in this one until the dialogue is over."""

    def __init__(self, loop: EpollReactor) -> None:
        self.loop = loop

    def run(self, serve: Callable[[], Any], talk: Callable[[], Any]) -> tuple[Any, Any]:
        """Call both; return what each returned. `serve` runs the loop; `talk` is called when that runs."""
        with ThreadPoolExecutor(1) as pool:
            talking: list[Any] = []

            def begin() -> None:
                talking.append(pool.submit(talk))
                talking[0].add_done_callback(lambda _: self.loop.callFromThread(self.end))

            self.loop.callWhenRunning(begin)
            served = serve()
            talked = talking[0].result(DEADLINE)
        self.loop.iterate()  # what the thread has said too late is not for the next run
        return served, talked

    def end(self) -> None:
        if self.loop.running and self.loop._mayStop:
            self.loop.stop()


def serves(loop: EpollReactor, capsys: Any, talk: Callable[[tuple[str, int]], Any], *arguments: str) -> Any:
    """Run `serve` with `arguments` on a free port while `talk(address)` runs; return what both returned."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        address = sock.getsockname()
    return Meanwhile(loop).run(
        lambda: command.main(["serve", "--port", str(address[1]), *arguments]), lambda: talk(address)
    )


def says(sent: bytes) -> Callable[[tuple[str, int]], bytes]:
    """A dialogue: send, end the half, return all that comes."""

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            return reads(client)

    return talk


# Errors.


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fly",), 2, "invalid choice: 'fly'"),
        (("serve", "a\x1bb"), 2, "no application 'a\\x1bb'"),
        (("serve", "--fly\n"), 2, r"unrecognized arguments: --fly\n"),
        (("serve", "no.such:App"), 2, "no module named 'no'"),
        (("serve", "json:no.such"), 2, "json has no 'no.such'"),
        (("serve", "json:__name__"), 2, "json:__name__ is no Protocol class, no Factory"),
        (("serve", "os:getcwd"), 2, "os:getcwd is no Protocol class, no Factory"),
        (("serve", "os:stat"), 1, "os:stat failed: TypeError: "),
        (("serve", "--port", "70000"), 2, "must be a whole number from 0 to 65535, not '70000'"),
        (("serve", "--port", "x"), 2, "must be a whole number from 0 to 65535, not 'x'"),
        (("serve", "--host", ""), 2, "must be an address, not an empty text"),
        (("serve", "--host", "a" * 70), 2, "no address for"),
        (("serve", "--host", "192.0.2.1", "--port", "0"), 1, "cannot listen on 192.0.2.1:0: Cannot assign"),
        (("serve", "--listen", "tcp:x"), 2, "--listen: the port of a tcp endpoint is a whole number, not 'x'"),
        (("serve", "--listen", "fly:1"), 2, "--listen: unknown endpoint type 'fly'"),
        (("serve", "--listen", "tcp:70000"), 2, "--listen: the port of a tcp endpoint is from 0 to 65535, not 70000"),
        (("serve", "--listen", "tcp:0:interface=here"), 1, "cannot listen on here:0: "),
        (("serve", "--listen", "tcp:0", "--listen", "tcp:0:interface=192.0.2.1"), 1, "cannot listen on 192.0.2.1:0"),
        (("serve", "--delimiter", "0"), 2, "must be one of crlf, lf, newline, nul, or bytes in hexadecimal"),
        (("serve", "--delimiter", ""), 2, "must be one of"),
        (("serve", "--max-line", "0"), 2, "must be a whole number of at least 1, not '0'"),
        (("serve", "--idle-timeout", "0"), 2, "must be a positive number of seconds, not '0'"),
        (("serve", "--idle-timeout", "soon"), 2, "must be a positive number of seconds, not 'soon'"),
        (("serve", "--overlong", "cut"), 2, "must be one of close, skip, not 'cut'"),
        (("serve", "--log-level", "loud"), 2, "must be one of debug, info, warning, error, critical, not 'loud'"),
        (("serve", "collect"), 2, "collect needs --output FILE"),
        (("serve", "--output", "x"), 2, "--output is for collect only"),
        (("serve", "--output-delimiter", "nul"), 2, "--output-delimiter is for collect only"),
        (
            ("serve", "collect", "--output", "x", "--output-delimiter", "0d"),
            2,
            "must be one of lf, crlf, nul, same, not '0d'",
        ),
        (("serve", "collect", "--output", "/no/such/file"), 1, "cannot open /no/such/file: No such file or directory"),
        (("serve", "collect", "--output", "/"), 1, "cannot open /: Is a directory"),
        (
            ("serve", "echo", "extra"),
            2,
            "linereactor serve: unrecognized arguments: extra (see linereactor serve --help)",
        ),
        (("serve", "--nope"), 2, "linereactor serve: unrecognized arguments: --nope (see linereactor serve --help)"),
        (("load", "h:7", "x"), 2, "linereactor load: unrecognized arguments: x (see linereactor load --help)"),
        (("serve", "./own.py:App"), 2, "'./own.py:App' names a file, and a module is needed: own:App"),
        (("serve", "apps/own.py"), 2, "'apps/own.py' names a file, and a module is needed: own:name, called in apps"),
        (("serve", f"{__name__}:later"), 2, f"{__name__}:later returns a coroutine; a plain function that returns"),
        (("load", "::1:7000"), 2, "must be HOST:PORT or [IPv6]:PORT"),
        (("load", ":7000"), 2, "must be HOST:PORT"),
        (("load", "here:0"), 2, "the port in 'here:0' is no number from 1 to 65535"),
        (("load", "here:99999"), 2, "the port in 'here:99999' is no number from 1 to 65535"),
        (("load", "h:7", "--line-length", "15"), 2, "must be a whole number of at least 16, not '15'"),
    ],
)
def test_anErrorIsOneLine(loop: EpollReactor, capsys: Any, arguments: tuple[str, ...], code: int, message: str) -> None:
    try:
        result: Any = command.main(arguments)
    except SystemExit as leaving:
        result = leaving.code
    out, said = capsys.readouterr()
    assert (result, out, said.count("\n")) == (code, "", 1)
    assert said.startswith("linereactor")
    assert message in said
    assert said[:-1].isprintable()


async def later() -> Any:
    return Factory.forProtocol(Echo)


def test_aHostThatIsNotFound(loop: EpollReactor, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookUp(*arguments: Any, **more: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", lookUp)
    assert command.main(["serve", "--host", "there.example"]) == 2
    assert command.main(["load", "there.example:7"]) == 1
    assert re.fullmatch(
        r"linereactor serve: --host: no address for 'there.example': Name or service not known\n"
        r"linereactor load: cannot connect to there.example:7: .*Name or service not known\.?\n",
        capsys.readouterr().err,
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothingsuch", r"ModuleNotFoundError: No module named 'nothingsuch' \(.*broken.py, line 1\)"),
        ("x = 1\nx.y", r"AttributeError: 'int' object has no attribute 'y' \(.*broken.py, line 2\)"),
        ("class (", r"SyntaxError: invalid syntax \(broken.py, line 1\)"),
        ("raise SystemExit(3)", r"SystemExit: 3 \(.*broken.py, line 1\)"),
        ("raise ValueError('a\\n\\x1b[31m')", r"ValueError: a\\n\\x1b\[31m \(.*broken.py, line 1\)"),
    ],
)
def test_aModulesOwnErrorIsShown(
    loop: EpollReactor, capsys: Any, text: str, message: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert command.main(["serve", "broken:App"]) == 1
    assert re.fullmatch(rf"linereactor serve: cannot import broken: {message}\n", capsys.readouterr().err)


def test_ctrlCBeforeTheReactorRuns(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(command.COMMANDS, "serve", interrupt)
    assert command.main(["serve"]) == 130


def test_reasons() -> None:
    assert reasonOf(OSError(errno.ENOSPC, "No space")) == "No space"
    assert reasonOf(ValueError("so")) == "so"
    assert reasonOf(ValueError()) == "ValueError"
    assert reasonOf("because") == "because"
    assert load.connectReason(Failure(ConnectError(111, "refused"))) == "refused"
    assert load.connectReason(Failure(TimeoutError())) == "no answer in 10 s"
    assert load.connectReason(Failure(ValueError("odd"))) == "odd"


def test_theVersionOfATreeThatIsNotInstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    assert re.match(r"\d", options.version())
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert options.version() == "(not installed)"


# Applications and their settings.


@pytest.mark.parametrize(
    ("arguments", "sent", "answered"),
    [
        (("--delimiter", "crlf"), b"a\nb\r\nc\n", b"a\nb\r\n"),
        (("--delimiter", "lf"), b"a\r\nb\n", b"a\r\nb\n"),
        (("--delimiter", "newline"), b"a\r\nb\n", b"a\nb\n"),
        (("--delimiter", "NUL"), b"a\n\0b\0", b"a\n\0b\0"),
        (("--delimiter", "3b3b"), b"a;b;;c;;", b"a;b;;c;;"),
        (("--max-line", "3", "--overlong", "skip"), b"abc\nabcd\nabcde\nab\n", b"abc\nab\n"),
        (("--max-line", "3"), b"abc\nabcd\nab\n", b"abc\n"),
    ],
)
def test_lineSettings(
    loop: EpollReactor, capsys: Any, arguments: tuple[str, ...], sent: bytes, answered: bytes
) -> None:
    assert serves(loop, capsys, says(sent), *arguments) == (0, answered)


class Shout(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())


class Raw(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Own(ServerFactory[Shout]):
    protocol = Shout


class Peculiar(ServerFactory[Any]):
    """It builds in a way of its own; every second protocol is no LineReceiver."""

    count = 0

    def buildProtocol(self, addr: Any) -> Any:
        self.count += 1
        return Shout() if self.count % 2 else Raw()


class Nobody(ServerFactory[Any]):
    def buildProtocol(self, addr: Any) -> Any:
        return None


instance = Own()


def make() -> Any:
    return Own()


def makeClass() -> Any:
    return Own


class Holder:
    protocol = Shout


@pytest.mark.parametrize("name", ["Shout", "Own", "instance", "make", "makeClass", "Holder.protocol", "Peculiar"])
def test_anApplicationOfOnesOwn(loop: EpollReactor, capsys: Any, name: str) -> None:
    """Its own settings stand, but for those that the command is told."""

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"a\nb\r\n")
            return client.recv(100)

    assert serves(loop, capsys, talk, f"{__name__}:{name}") == (0, b"A\nB\r\n")
    assert serves(loop, capsys, talk, f"{__name__}:{name}", "--delimiter", "newline") == (0, b"A\nB\n")
    assert Shout.delimiter == b"\r\n"
    instance.protocol = Shout


def test_lineSettingsNeedALineReceiver(loop: EpollReactor, capsys: Any) -> None:
    assert command.main(["serve", f"{__name__}:Raw", "--max-line", "5"]) == 2
    assert "are for LineReceivers, and" in capsys.readouterr().err
    prepare = apps.makeApplication(f"{__name__}:Peculiar", {"MAX_LENGTH": 5}, None, lambda error: None).prepare
    assert prepare is not None
    shout = Shout()
    prepare(shout)
    assert shout.MAX_LENGTH == 5
    with pytest.raises(CommandError, match="serves Raw"):
        prepare(Raw())


def test_aFactoryThatRefuses(loop: EpollReactor, capsys: Any) -> None:
    assert serves(loop, capsys, says(b""), f"{__name__}:Nobody") == (0, b"")


def test_aModuleOfTheCurrentDirectory(
    loop: EpollReactor, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here_only.py").write_text("from reactor import Protocol as App")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    assert apps.findApplication("here_only:App") is Protocol
    assert apps.findApplication("here_only:App") is Protocol
    assert sys.path.count(str(tmp_path)) == 1


@pytest.mark.parametrize("first", [socket.AF_INET, socket.AF_INET6])
def test_aNamesAddress(first: socket.AddressFamily, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv4, if there is one."""
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    found.sort(key=lambda entry: entry[0] != first)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **more: found)
    assert places.literalAddress("localhost") == "127.0.0.1"
    del found[[entry[0] for entry in found].index(socket.AF_INET)]
    assert places.literalAddress("localhost") == "::1"


def test_theBacklogAndInterfaceOfAnEndpointStand(loop: EpollReactor) -> None:
    wanted = argparse.Namespace(listen=["tcp:7:backlog=3", "tcp6:8:interface=\\:\\:"], host=None, port=None)
    (_, first), (_, second) = places.endpointsOf(wanted, loop)
    assert (first._port, first._backlog, first._interface) == (7, 3, "127.0.0.1")
    assert (second._port, second._interface) == (8, "::")


def test_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(resource, "getrlimit", lambda which: (10, 20))
    monkeypatch.setattr(resource, "setrlimit", lambda which, limits: asked.append(limits))
    descriptors.allowDescriptors()
    assert asked == [(20, 20)]


# The log.


def test_theLogIsOneLineARecord() -> None:
    formatter = CleanFormatter("%(levelname)s %(message)s")
    try:
        raise ValueError("a\n\x1b[31mb")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "", 1, "from %s", ("\x1b[2J\r\n\u202e",), sys.exc_info())
    first, *rest = formatter.format(record).split("\n")
    assert first == r"INFO from \x1b[2J\r\n\u202e"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == r"ValueError: a\n\x1b[31mb"
    assert all(line.isprintable() for line in rest)


def test_aStackIsIndented() -> None:
    """The file that a frame is in may have any name."""
    record = logging.LogRecord("x", logging.INFO, "", 1, "m", (), None)
    record.stack_info = 'Stack (most recent call last):\n  File "a\n2026 forged\x1b", line 1, in b\n    c()'
    assert CleanFormatter("%(message)s").format(record).split("\n") == [
        "m",
        "Stack (most recent call last):",
        '  File "a',
        r"""  2026 forged\x1b", line 1, in b""",
        "    c()",
    ]


def test_theTracebackOfAnotherHandlerIsNotTaken() -> None:
    """A formatter of another handler leaves its text in the record."""
    formatter = CleanFormatter("%(message)s")
    try:
        raise ValueError("a\nb")
    except ValueError:
        record = logging.LogRecord("x", logging.INFO, "", 1, "m", (), sys.exc_info())
    logging.Formatter().format(record)
    assert formatter.format(record).endswith(r"ValueError: a\nb")
    record.exc_info, record.exc_text = None, "a\nb"
    assert formatter.format(record) == "m\na\\nb"


def test_aFloodOfTracebacksIsCounted(caplog: pytest.LogCaptureFixture) -> None:
    """Of the package's own, by the place that raises; other loggers are the program's."""
    now = [0.0]
    limit = Tracebacks(Repeats(now=lambda: now[0]))

    def passes(name: str) -> bool:
        try:
            raise ValueError("x")
        except ValueError:
            return limit.filter(logging.LogRecord(name, logging.ERROR, "", 1, "m", (), sys.exc_info()))

    assert [passes("reactor.x") for _ in range(9)] == [True] * 5 + [False] * 4
    assert all(passes("program") for _ in range(9))
    assert all(limit.filter(logging.LogRecord("reactor", 20, "", 1, "m", (), None)) for _ in range(9))
    now[0] = 1.0
    assert passes("reactor.x")
    limit.tell()
    (told,) = (r.getMessage() for r in caplog.records)
    assert re.fullmatch(r"4 more tracebacks were left out: ValueError in .*test_serving.py, line \d+", told)


def test_logTo(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, root = io.StringIO(), logging.RootLogger(logging.DEBUG)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(logging, "root", root)
    for module, hook in (
        (sys, "unraisablehook"),
        (sys, "excepthook"),
        (threading, "excepthook"),
        (warnings, "showwarning"),
    ):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    logTo("warning", EpollReactor())
    root.warning("yes")
    root.info("no")
    assert re.fullmatch(r".* WARNING root: yes\n", stream.getvalue())


# The idle sweep.


class FakeTransport(OutputStream):
    """As much of a transport as the sweep looks at. `sock` is one end of a pair."""

    def __init__(self, protocol: Any, sock: socket.socket) -> None:
        super().__init__(cast("Any", SimpleNamespace(closeCounts=Counter())))
        self.protocol = protocol
        self.sock = sock
        self.events: list[str] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def getHandle(self) -> socket.socket:
        return self.sock

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.events.append("lose")

    def abortConnection(self) -> None:
        self.disconnected = True
        self.protocol = None
        self.events.append("abort")


class Lines(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        if line == b"raw":
            self.setRawMode()

    def rawDataReceived(self, data: bytes) -> None:
        pass


class FakeReactor(Clock):
    """As much of a reactor as the sweep and the drain ask."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.open: list[Any] = []
        self.notes: dict[Any, Any] = {}

    def keepNote(self, transport: Any, note: object) -> None:
        self.notes[transport] = note

    def noteOf(self, transport: Any) -> Any:
        return self.notes.get(transport)

    def isReading(self, reader: Any) -> bool:
        return reader in self.readers

    def openTransports(self) -> list[Any]:
        return list(self.open)


class Sweeping:
    """A sweep on a clock, and one connection."""

    def __init__(self, protocol: Any, pair: tuple[socket.socket, socket.socket], timeout: float = 8.0) -> None:
        self.clock = FakeReactor()
        self.readers = self.clock.readers
        self.transport = FakeTransport(protocol, pair[0])
        self.readers.append(self.transport)
        self.connections = watch.Connections(cast("Any", self.clock))
        self.sweep = watch.IdleSweep(cast("Any", self.clock), timeout, self.connections)
        self.sweep.start()

    def accept(self, transport: Any = None) -> None:
        transport = transport or self.transport
        self.clock.open.append(transport)
        self.connections.add(transport)

    def evicted(self, feed: Callable[[], None] | None, longest: float = 100.0) -> float | None:
        """How long it takes to be evicted, while `feed` is called every half second; None: it is not."""
        start = self.clock.seconds()
        while self.clock.seconds() < start + longest:
            self.clock.advance(0.5)
            if self.transport.events:
                return self.clock.seconds() - start
            if feed is not None:
                feed()
        return None

    def receive(self, data: bytes) -> None:
        self.transport.protocol.dataReceived(data)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("phase", [0.0, 0.3, 0.5, 0.999])
def test_whoSendsNothingIsEvictedInTime(pair: Any, phase: float) -> None:
    """Between S and S + S/4, whenever it came and whenever it was last heard of."""
    sweeping = Sweeping(Lines(), pair)
    sweeping.clock.advance(phase)
    sweeping.accept()
    took = sweeping.evicted(None)
    assert took is not None
    assert 8 <= took <= 10
    assert sweeping.transport.events == ["lose"]

    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    sweeping.clock.advance(3 + phase)
    sweeping.receive(b"line\n")
    took = sweeping.evicted(None)
    assert took is not None
    assert 8 <= took <= 10


def test_whoIsEvictedIsToldWhy(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    assert sweeping.evicted(None) is not None
    assert isinstance(sweeping.transport._closeReason, IdleTimeout)
    assert sweeping.transport.reactor.closeCounts == {IdleTimeout: 1}


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_afterAStallTheActiveStay(side: Any) -> None:
    """The server stood still for longer than its timeout.

    The lines that came meanwhile are read before the sweep looks at anybody, and it looks at lines, not at bytes.
    """
    reactor = side.makeReactor()
    connections = watch.Connections(reactor)
    sweep = watch.IdleSweep(reactor, 0.4, connections)
    made: list[Any] = []

    class Kept(Lines):
        gone = False

        def connectionMade(self) -> None:
            made.append(self)
            connections.add(cast("Any", self.transport))

        def connectionLost(self, reason: Any = None) -> None:
            self.gone = True

    port = reactor.listenTCP(0, ServerFactory.forProtocol(Kept), interface="127.0.0.1")
    peers = [dial(port) for _ in range(6)]
    turnUntil(reactor, lambda: len(made) == 6)
    for peer in peers:
        peer.sendall(b"line\n")
    turnUntil(reactor, lambda: all(each.lineCount == 1 for each in made))
    sweep.start()
    turnUntil(reactor, lambda: all(reactor.noteOf(each.transport).time is not None for each in made))
    for peer in peers[:-1]:
        peer.sendall(b"active\n")
    peers[-1].sendall(b"dribbling")
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        pass
    turnUntil(reactor, lambda: any(each.gone for each in made))
    assert sorted(each.lineCount for each in made) == [1, 2, 2, 2, 2, 2]
    assert [each.lineCount for each in made if each.gone] == [1]
    sweep.stop()
    for peer in peers:
        peer.close()
    side.close(reactor)


def test_whoTricklesIsEvicted(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    took = sweeping.evicted(lambda: sweeping.receive(b"x"))
    assert took is not None
    assert 8 <= took <= 10


def test_whoSendsLinesStays(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    sent = iter(range(1000))
    assert sweeping.evicted(lambda: sweeping.receive(b"x\n" if next(sent) % 14 == 0 else b"y")) is None


def test_inRawModeEveryReadCounts(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    sweeping.receive(b"raw\n")
    assert sweeping.evicted(lambda: sweeping.receive(b"x")) is None
    assert sweeping.evicted(None) is not None


def test_aProtocolWithoutLinesIsHeardByEveryRead(pair: Any) -> None:
    sweeping = Sweeping(Protocol(), pair)
    sweeping.accept()
    assert sweeping.evicted(lambda: sweeping.receive(b"x")) is None
    assert sweeping.evicted(None) is not None


def test_whoIsNotReadFromStays(pair: Any) -> None:
    """The server has paused it. If that is because it does not take its answers, it is idle all the same."""
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    sweeping.readers.clear()
    assert sweeping.evicted(None) is None
    pair[0].send(b"answer")
    assert sweeping.evicted(None) is not None


def test_whoDoesNotLeaveIsReset(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    assert sweeping.evicted(None) is not None
    sweeping.readers.clear()
    sweeping.clock.advance(1)
    assert sweeping.transport.events == ["lose", "abort"]
    sweeping.clock.pump([1] * 20)
    assert sweeping.transport.events == ["lose", "abort"]
    sweeping.sweep.stop()
    sweeping.sweep.stop()
    assert sweeping.clock.getDelayedCalls() == []


def test_whoHasGoneAlreadyIsNotWatched(pair: Any) -> None:
    """For example TLS, whose socket stands until it has sent the last of it."""
    sweeping = Sweeping(None, pair)
    sweeping.transport.disconnected = True
    sweeping.accept()
    assert sweeping.evicted(None) is None


def test_whomTheServerHasNotMetIsNotWatched(pair: Any) -> None:
    """A connection that its application has made itself, another server's, what is no stream."""
    sweeping = Sweeping(Lines(), pair)
    others = [FakeTransport(Lines(), pair[0]) for _ in range(2)]
    watch.Connections(cast("Any", sweeping.clock)).add(others[0])
    sweeping.clock.open += [*others, object()]
    sweeping.readers += others
    assert sweeping.evicted(None) is None
    assert [other.events for other in others] == [[], []]
    assert list(sweeping.connections) == []


def test_aConnectionIsFoundFromItsHandshakeToItsEnd() -> None:
    """TLS is met with its protocol, and found until the socket below is closed: it is no plain connection then."""
    world = TLSWorld()
    connections = watch.Connections(world.reactor)
    found: list[tuple[Any, ...]] = []

    class Serving(Lines):
        def connectionMade(self) -> None:
            found.append(tuple(connections))
            connections.add(self.transport)
            found.append(tuple(connections))

        def connectionLost(self, reason: Any = None) -> None:
            found.append(tuple(connections))

    clients = world.clientFactory()
    world.connect(world.listen(ServerFactory.forProtocol(Serving)), clients)
    world.until(lambda: len(found) == 2 and clients.trace)
    ((transport,),) = found[1:]
    clients.only.transport.loseConnection()  # it is told at the client's close_notify, and answers that
    world.until(lambda: len(found) == 3)
    world.until(lambda: not tuple(connections))
    assert isinstance(transport, TLSConnection)
    assert found == [(), (transport,), (transport,)]
    world.close()


def test_theSweepIsOneTimerAndOneSighting(pair: Any) -> None:
    """All that a connection costs is the note of its last sighting, and that is shared."""
    sweeping = Sweeping(Lines(), pair)
    transports = [FakeTransport(Lines(), pair[0]) for _ in range(100)]
    for transport in transports:
        sweeping.accept(transport)
    assert len(sweeping.clock.getDelayedCalls()) == 1
    assert len({id(sweeping.clock.noteOf(transport)) for transport in transports}) == 1
    sweeping.clock.advance(1)
    assert len(sweeping.clock.getDelayedCalls()) == 1
    assert len({id(sweeping.clock.noteOf(transport)) for transport in transports}) == 1
    assert all(type(transport.protocol) is Lines for transport in transports)
    assert list(sweeping.connections) == transports


def test_aSweepDoesNotHoldUpTheLoop(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes a turn for each slice. A connection that ends meanwhile is left alone; a stop leaves all alone."""
    monkeypatch.setattr(watch, "SLICE", 10)
    sweeping, turn = Sweeping(Lines(), pair), 1 / 1024
    later = sweeping.clock.callLater
    monkeypatch.setattr(sweeping.clock, "callLater", lambda delay, *rest: later(delay or turn, *rest))
    transports = [FakeTransport(Lines(), pair[0]) for _ in range(35)]
    sweeping.readers += transports
    for transport in transports:
        sweeping.accept(transport)

    def evicted() -> int:
        return sum(transport.events == ["lose"] for transport in transports)

    around = [1 - 8 * turn, *[turn] * 8]  # the four turns before a sweep, and after it
    sweeping.clock.pump([4 * turn, *around * 8, around[0]])
    counts = []
    for step in around[1:]:
        sweeping.clock.advance(step)
        counts.append(evicted())
    assert counts == [0, 0, 0, 10, 20, 30, 35, 35]
    sweeping.clock.pump(around[:5])
    assert [transport.events for transport in transports].count(["lose", "abort"]) == 10
    sweeping.sweep.stop()
    assert sweeping.clock.getDelayedCalls() == []


def test_aSweepThatIsSlowIsNotBegunAgain(pair: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes to everybody, and is one call at a time."""
    monkeypatch.setattr(watch, "SLICE", 1)
    sweeping = Sweeping(Lines(), pair)
    later = sweeping.clock.callLater
    monkeypatch.setattr(sweeping.clock, "callLater", lambda delay, *rest: later(delay or 0.75, *rest))
    transports = [FakeTransport(Lines(), pair[0]) for _ in range(5)]
    sweeping.readers += transports
    for transport in transports:
        sweeping.accept(transport)
    for _ in range(80):
        sweeping.clock.advance(0.25)
        assert len(sweeping.clock.getDelayedCalls()) <= 2
    assert [transport.events for transport in transports] == [["lose", "abort"]] * 5
    sweeping.sweep.stop()


def test_aWatchedProtocolIsStillItself(pair: Any) -> None:
    """It is where it was, or what stands before it to count its reads answers as it does."""
    sweeping = Sweeping(Lines(), pair)
    protocol = sweeping.transport.protocol
    sweeping.accept()
    sweeping.clock.advance(1)
    assert sweeping.transport.protocol is protocol
    sweeping.receive(b"raw\n")
    sweeping.clock.advance(1)
    counted = sweeping.transport.protocol
    assert counted is not protocol
    assert counted.delimiter == b"\n"
    assert not hasattr(counted, "readConnectionLost")
    counted.transport = sweeping
    assert counted.transport is protocol.transport is sweeping


def test_whoRaisesWhenLookedAtIsFailedAlone(pair: Any) -> None:
    class Raising(Lines):
        line_mode: Any = property(lambda self: 1 // 0)

    sweeping = Sweeping(Lines(), pair)
    failed: list[Failure] = []
    for protocol in (Raising(), Lines()):
        transport = FakeTransport(protocol, pair[0])
        transport.failConnection = failed.append  # type: ignore[assignment, method-assign]
        sweeping.accept(transport)
    sweeping.accept()
    took = sweeping.evicted(None)
    assert took is not None
    assert 8 <= took <= 10
    assert {failure.type for failure in failed} == {ZeroDivisionError}


def test_aProtocolThatTakesAnothersPlaceIsWatchedToo(pair: Any) -> None:
    sweeping = Sweeping(Lines(), pair)
    sweeping.accept()
    sweeping.clock.advance(3)
    sweeping.transport.protocol = Protocol()
    assert sweeping.evicted(lambda: sweeping.receive(b"x")) is None
    sweeping.transport.protocol = Lines()
    assert sweeping.evicted(lambda: sweeping.receive(b"x\n")) is None
    assert sweeping.evicted(lambda: sweeping.receive(b"x")) is not None


def test_queuesOfAClosedSocket() -> None:
    sock = socket.socket()
    sock.close()
    assert watch.unread(FakeTransport(None, sock)) == 0


def test_idleTimeoutOfACommand(loop: EpollReactor, capsys: Any) -> None:
    """Accepted, watched, evicted; and the sweep ends with the server."""

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"x\nunfinished")
            return reads(client)

    assert serves(loop, capsys, talk, "--idle-timeout", "0.1") == (0, b"x\n")


class Upgrade(Lines):
    """Goes on with TLS when it is asked to."""

    def lineReceived(self, line: bytes) -> None:
        self.transport.write(b"go\n")
        if line == b"STARTTLS":
            self.transport.startTLS(serverOptions())


class AtOnce(Protocol):
    """Speaks TLS from the beginning, and echoes."""

    def connectionMade(self) -> None:
        self.transport.startTLS(serverOptions())

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"go\n")


class Later(AtOnce):
    """Begins TLS after it was looked at, with what counts its reads before it."""

    def connectionMade(self) -> None:
        pass

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"STARTTLS\n":
            self.transport.startTLS(serverOptions())


def upgraded(address: tuple[str, int], name: str) -> ssl.SSLSocket:
    """Return a client of `name`, with TLS."""
    client = socket.create_connection(address, timeout=DEADLINE)
    if name != "AtOnce":
        for line in (b"x\n", b"x\n", b"STARTTLS\n"):
            client.sendall(line)
            assert client.recv(3, socket.MSG_WAITALL) == b"go\n"
    context = ssl.create_default_context(cadata=TRUST.decode())
    return context.wrap_socket(client, server_hostname=HOST, suppress_ragged_eofs=False)


@pytest.mark.parametrize("name", ["Upgrade", "AtOnce", "Later"])
def test_whoHasStartedTLSIsWatched(loop: EpollReactor, capsys: Any, name: str) -> None:
    """As before: a client that makes progress stays, another is closed in order."""

    def talk(address: tuple[str, int]) -> bytes:
        with upgraded(address, name) as client:
            end = loop.seconds() + 0.4
            while loop.seconds() < end:
                client.sendall(b"x\n")
                assert client.recv(100) == b"go\n"
            client.sendall(b"x\n")
            return client.recv(100) + client.recv(100)

    assert serves(loop, capsys, talk, f"{__name__}:{name}", "--idle-timeout", "0.2") == (0, b"go\n")


# The drain.


class Slow(LineReceiver):
    """Answers each line when `answers` says so."""

    delimiter = b"\n"
    waiting: list[Any]

    def lineReceived(self, line: bytes) -> Any:
        answer: Deferred[None] = Deferred()
        self.waiting.append(answer)
        return answer.addCallback(lambda _: self.sendLine(line))


def drained(
    loop: EpollReactor, protocol: Callable[[], Protocol], talk: Callable[[tuple[str, int]], Any], *, stops: Any = None
) -> Any:
    """Serve `protocol` while `talk(address)` runs in a thread; then drain. `stops` gets a function that says when."""
    serving = Server(loop)
    ((_, endpoint),) = places.endpointsOf(argparse.Namespace(listen=[], host=None, port=0), loop)
    serving.addListener(endpoint, Factory.forProtocol(protocol), name="lines")
    address = serving.listeners["lines"].ports[0].getHost()
    if stops is not None:
        stops(loop)
    return Meanwhile(loop).run(serving.run, lambda: talk((address.host, address.port)))[1]


def untilAHandlerWorks() -> None:
    end = time.monotonic() + DEADLINE
    while not Slow.waiting:
        assert time.monotonic() < end, "no line has got to its handler in time"


def test_linesThatWaitForAHandlerAreAnswered(loop: EpollReactor) -> None:
    """They have been read: each is answered, one after the other, before the connection ends."""
    Slow.waiting = []

    def answer() -> None:
        if Slow.waiting:
            Slow.waiting.pop(0).callback(None)
        if loop._looping:
            loop.callLater(0.03, answer)

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"a\nb\nc\n")
            got = client.recv(2)
            loop.callFromThread(loop.stop)
            return got + reads(client)

    loop.callWhenRunning(loop.callLater, 0.1, answer)
    assert drained(loop, Slow, talk) == b"a\nb\nc\n"
    for call in loop.getDelayedCalls():
        if call.func == answer:
            call.cancel()


@pytest.mark.parametrize("protocol", [Upgrade, AtOnce])
def test_whoHasStartedTLSIsWaitedFor(loop: EpollReactor, protocol: Any) -> None:
    """Until it has all that it is owed, and the end is in order."""

    def talk(address: tuple[str, int]) -> int:
        with upgraded(address, protocol.__name__) as client:
            client.sendall(b"x\n")
            assert client.recv(100) == b"go\n"
            (transport,) = (each for each in loop.openTransports() if isinstance(each, TCPConnection))
            loop.callFromThread(transport.protocol.write, b"x" * 8_000_000)
            loop.callFromThread(loop.stop)
            return sum(map(len, iter(lambda: client.recv(100_000), b"")))

    assert drained(loop, protocol, talk) == 8_000_000


def test_whoTakesNothingIsReset(
    loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It never sees an end in order behind a part of what it is owed, even if it reads while the server gives up."""
    monkeypatch.setattr(drain, "DEADLINE", 0.2)
    late, taken = threading.Event(), threading.Event()

    def held(transport: Any) -> int:
        late.set()
        assert taken.wait(DEADLINE)
        return watch.held(transport)

    monkeypatch.setattr(drain, "held", held)

    class Talker(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"x" * 15_000_000)

    def talk(address: tuple[str, int]) -> int:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            got = len(client.recv(1))
            loop.callFromThread(loop.stop)
            assert late.wait(DEADLINE)
            while select.select([client], [], [], 0.1)[0] and (part := client.recv(1 << 20)):
                got += len(part)
            taken.set()
            with pytest.raises(ConnectionResetError):
                reads(client)
            return got

    assert drained(loop, Talker, talk) < 15_000_000
    assert "1 connections did not take what was owed to them in 0.2 s, reset" in caplog.text


def test_whoWaitsForAHandlerOwesNothing(
    loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection that is not read from at the deadline is reset, and the record does not blame its client."""
    monkeypatch.setattr(drain, "DEADLINE", 0.2)
    Slow.waiting = []

    def talk(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"a\nbb\n")
            untilAHandlerWorks()
            loop.callFromThread(loop.stop)
            with suppress(ConnectionResetError):
                reads(client)

    drained(loop, Slow, talk)
    waiting = "1 connections reset after 0.2 s: what they had sent still waited for a handler or for the output"
    assert waiting in caplog.text
    assert "owed" not in caplog.text


def test_whoNeverFallsSilentIsLeft(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets the end of the stream, goes on sending, and is closed after LINGER."""
    monkeypatch.setattr(drain, "READ_GRACE", 0.05)
    monkeypatch.setattr(drain, "LINGER", 0.1)

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"x" * 100)
            got = client.recv(100, socket.MSG_WAITALL)
            loop.callFromThread(loop.stop)
            ended = False
            try:
                while True:
                    client.sendall(b"y" * 10_000)
                    if not ended:
                        part = client.recv(1 << 20)
                        ended = not part
                        got += part
            except (BrokenPipeError, ConnectionResetError):
                assert ended
            return got

    got = drained(loop, Raw, talk)
    assert got.startswith(b"x" * 100)
    assert set(got[100:]) <= {ord("y")}


def test_whoIsBeingClosedAlready(loop: EpollReactor) -> None:
    """Its owed bytes are sent as they would have been."""

    class Farewell(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"x" * 8_000_000)
            self.transport.loseConnection()

    def talk(address: tuple[str, int]) -> int:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            got = len(client.recv(1))
            loop.callFromThread(loop.stop)
            return got + len(reads(client))

    assert drained(loop, Farewell, talk) == 8_000_000


# The drain of standard input and output.


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """Standard input, what is written to it, what reads from standard output, and that."""
    four = (*os.pipe(), *os.pipe())
    yield four
    for fd in four:
        os.close(fd)


def piped(loop: EpollReactor, protocol: Any, pipes: tuple[int, int, int, int]) -> Any:
    return StandardIO(protocol, pipes[0], pipes[3], reactor=loop)


def test_standardOutputIsDrained(loop: EpollReactor, pipes: Any) -> None:
    """Data that is in the input already is answered, and all answers are sent."""
    written = 0
    os.set_blocking(pipes[1], False)
    with suppress(BlockingIOError):
        while True:
            written += os.write(pipes[1], b"x" * 99 + b"\n")
    transport = piped(loop, Raw(), pipes)
    transport.write(b"y" * 500_000)
    done: list[int] = []
    drain.Drain(loop, [transport]).start().addCallback(done.append)
    got = bytearray()

    def read() -> bool:
        os.set_blocking(pipes[2], False)
        with suppress(BlockingIOError):
            got.extend(os.read(pipes[2], 4096))
        return bool(done)

    turnUntil(loop, read)
    while part := os.read(pipes[2], 1 << 20):
        got += part
    assert len(got) == 500_000 + written
    assert done == [0]


def test_standardInputWaitsForItsHandler(loop: EpollReactor, pipes: Any) -> None:
    Slow.waiting = []
    transport = piped(loop, Slow(), pipes)
    os.write(pipes[1], b"a\nb\n")
    turnUntil(loop, lambda: Slow.waiting)
    done: list[int] = []
    drain.Drain(loop, [transport]).start().addCallback(done.append)
    for _ in range(2):
        turnUntil(loop, lambda: Slow.waiting)
        assert not done
        Slow.waiting.pop().callback(None)
    turnUntil(loop, lambda: done)
    assert os.read(pipes[2], 10) == b"a\nb\n"
    assert os.read(pipes[2], 10) == b""


def test_standardOutputThatNobodyReads(loop: EpollReactor, pipes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "DEADLINE", 0.1)
    transport = piped(loop, Raw(), pipes)
    transport.write(b"y" * 500_000)
    done: list[int] = []
    drain.Drain(loop, [transport]).start().addCallback(done.append)
    turnUntil(loop, lambda: done)
    assert done == [1]
    assert transport.disconnected


def test_aSignalLeavesNothingUnsent() -> None:
    """The command on pipes: all that it has read is on its way out when it ends."""
    command = [sys.executable, "-m", "reactor", "serve", "echo", "--listen", "stdio:"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 4096)
        assert any(b"on standard input" in line for line in child.stderr)
        child.stdin.write((b"x" * 99 + b"\n") * 600)
        child.stdin.flush()
        child.terminate()
        assert len(child.stdout.read()) == 60_000
        assert child.wait(DEADLINE) == 0


class EndingTransport(FakeTransport):
    """Has nothing left to send, so each half's end is told at once."""

    def doRead(self) -> None:
        self.protocol.dataReceived(self.sock.recv(100))

    def loseWriteConnection(self) -> None:
        self.events.append("end")
        self.protocol.writeConnectionLost()

    def loseConnection(self) -> None:
        super().loseConnection()
        self.protocol.connectionLost(Failure(ConnectionDone()))


def ending(pair: Any) -> tuple[FakeReactor, EndingTransport, list[int]]:
    """A drain of one connection, whose half has just been ended; and what the drain's Deferred will have fired with."""
    clock, done = FakeReactor(), list[Any]()
    transport = EndingTransport(Protocol(), pair[0])
    clock.readers.append(transport)
    drain.Drain(cast("Any", clock), [transport]).start().addCallback(done.append)
    assert transport.events == ["end"]
    return clock, transport, done


def test_whoHasEverythingAndIsSilentIsClosedAtOnce(pair: Any) -> None:
    clock, transport, done = ending(pair)
    clock.advance(drain.TICK)
    assert (transport.events, done) == (["end", "lose"], [0])
    assert clock.getDelayedCalls() == []


def test_whoHasNotTakenEverythingIsWaitedFor(pair: Any) -> None:
    pair[0].send(b"owed")
    clock, transport, done = ending(pair)
    clock.advance(drain.TICK)
    assert done == []
    assert pair[1].recv(100) == b"owed"
    clock.advance(drain.TICK)
    assert (transport.events, done) == (["end", "lose"], [0])


def test_whoGoesOnSendingIsClosedAfterAWhile(pair: Any) -> None:
    clock, transport, done = ending(pair)
    pair[1].send(b"more")
    clock.pump([drain.TICK] * int((drain.DEADLINE - drain.LAST_MOMENT) / drain.TICK - 1))
    assert done == []
    clock.pump([drain.TICK] * 2)
    assert (transport.events, done) == (["end", "lose"], [0])


def test_theLastReadsTakeABoundedTimeOfEachTick() -> None:
    """One connection whose handler takes long is closed in each, and the loop serves others between two."""
    clock, done = FakeReactor(), list[Any]()

    class Long(Protocol):
        def dataReceived(self, data: bytes) -> None:
            clock.rightNow += drain.LAST_TIME

    pairs = [socket.socketpair() for _ in range(3)]
    transports = [EndingTransport(Long(), ours) for ours, _theirs in pairs]
    clock.readers.extend(transports)
    drain.Drain(cast("Any", clock), transports).start().addCallback(done.append)
    for _ours, theirs in pairs:
        theirs.send(b"more")
    closed = [0]
    while not done:
        clock.advance(drain.TICK)
        closed.append([transport.events for transport in transports].count(["end", "lose"]))
    assert closed[-4:] == [0, 1, 2, 3]
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


@pytest.mark.parametrize("isRead", [True, False])
def test_whatWaitsInTheKernelIsReadFirst(pair: Any, isRead: bool) -> None:
    """By the protocol itself; for no longer than READ_GRACE. Then the drain reads it, ends our half, and closes."""
    clock, protocol = FakeReactor(), Protocol()
    transport = EndingTransport(protocol, pair[0])
    clock.readers.append(transport)
    pair[1].send(b"unread")
    drain.Drain(cast("Any", clock), [transport]).start()
    clock.advance(drain.TICK)
    assert (transport.protocol, transport.events) == (protocol, [])
    if isRead:
        pair[0].recv(100)
        clock.advance(drain.TICK)
    else:
        clock.pump([drain.TICK] * int(drain.READ_GRACE / drain.TICK))
    assert transport.events == (["end"] if isRead else ["end", "lose"])
    assert transport.protocol is not protocol


def test_whoWaitsToBeAcceptedIsAnswered(loop: EpollReactor) -> None:
    """The kernel has let them in before the stop: they are served like everybody, also more than one event accepts."""
    clients: list[socket.socket] = []

    def talk(address: tuple[str, int]) -> list[bytes]:
        def connectAndStop() -> None:
            # In the loop's own thread: it cannot accept meanwhile.
            for number in range(100):
                clients.append(socket.create_connection(address, timeout=DEADLINE))
                clients[-1].sendall(b"%d\n" % number)
            loop.stop()

        with socket.create_connection(address, timeout=DEADLINE) as first:
            loop.callFromThread(connectAndStop)
            assert reads(first) == b""
        return [reads(client) for client in clients]

    try:
        assert drained(loop, Echo, talk) == [b"%d\n" % number for number in range(100)]
    finally:
        for client in clients:
            client.close()


def test_aPortThatRestsServesItsClientsFirst(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no descriptors at the stop. The port waits for those that the leaving connections give back."""
    clients: list[socket.socket] = []
    accept, budget = socket.socket._accept, [3]  # type: ignore[attr-defined]

    def scarce(sock: socket.socket) -> Any:
        if budget[0] <= 0:
            raise OSError(errno.EMFILE, "injected")
        number = accept(sock)
        budget[0] -= 1
        return number

    class Returning(Echo):
        def connectionLost(self, reason: Any = None) -> None:
            budget[0] += 1

    def talk(address: tuple[str, int]) -> list[bytes]:
        def connectAndStop() -> None:
            monkeypatch.setattr(socket.socket, "_accept", scarce, raising=False)
            for number in range(12):
                clients.append(socket.create_connection(address, timeout=DEADLINE))
                clients[-1].sendall(b"%d\n" % number)
            loop.stop()

        loop.callFromThread(connectAndStop)
        end = time.monotonic() + DEADLINE
        while len(clients) < 12 and time.monotonic() < end:
            pass
        return [reads(client) for client in clients]

    try:
        assert drained(loop, Returning, talk) == [b"%d\n" % number for number in range(12)]
    finally:
        for client in clients:
            client.close()


def test_clientsThatNobodyCanAcceptAreTold(
    loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The descriptors do not come back in time: the stop ends all the same, and says so."""
    monkeypatch.setattr(drain, "DEADLINE", 0.3)
    clients: list[socket.socket] = []

    def without(sock: socket.socket) -> Any:
        raise OSError(errno.EMFILE, "injected")

    def talk(address: tuple[str, int]) -> None:
        def connectAndStop() -> None:
            monkeypatch.setattr(socket.socket, "_accept", without, raising=False)
            clients.append(socket.create_connection(address, timeout=DEADLINE))
            loop.stop()

        loop.callFromThread(connectAndStop)
        end = time.monotonic() + DEADLINE
        while not clients and time.monotonic() < end:
            pass
        with pytest.raises(ConnectionResetError):
            clients[0].recv(1)

    try:
        drained(loop, Echo, talk)
    finally:
        for client in clients:
            client.close()
    assert "resets clients that the system lets nobody accept: [Errno 24] injected" in caplog.text


class Kept(LineReceiver):
    """Keeps its lines, and answers nothing."""

    delimiter = b"\n"
    lines: list[bytes]

    def linesReceived(self, lines: list[bytes]) -> None:
        self.lines.extend(lines)


@pytest.mark.parametrize("tls", [False, True])
def test_whatComesWhileLeavingIsDelivered(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, tls: bool) -> None:
    """A client that watches nothing sends on after the stop.

    Each line that it could send before its connection was closed is delivered, but for the one that was on its way.
    """
    monkeypatch.setattr(drain, "LINGER", 0.2)
    Kept.lines = []
    wanted = AtOnceKept if tls else Kept

    def talk(address: tuple[str, int]) -> int:
        sent = 0
        with socket.create_connection(address, timeout=DEADLINE) as plain:
            # Bytes that the client's kernel keeps back could not be taken.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            context = ssl.create_default_context(cadata=TRUST.decode())
            client = context.wrap_socket(plain, server_hostname=HOST) if tls else plain
            end = time.monotonic() + DEADLINE
            with client, suppress(OSError):
                while time.monotonic() < end:
                    client.sendall(b"%d\n" % sent)
                    sent += 1
                    if sent == 20:
                        loop.callFromThread(loop.stop)
                    time.sleep(0.002)  # a pace; nothing is waited for
        return sent

    sent = drained(loop, wanted, talk)
    assert Kept.lines == [b"%d" % number for number in range(len(Kept.lines))]
    assert sent > 20
    assert sent - len(Kept.lines) <= 3


class AtOnceKept(Kept):
    def connectionMade(self) -> None:
        self.transport.startTLS(serverOptions())


def test_whatIsNotTakenIsTold(
    loop: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler is not done at the deadline. Data read behind its line, and data that the kernel has, is counted."""
    monkeypatch.setattr(drain, "DEADLINE", 0.2)
    Slow.waiting = []

    def talk(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"a\nbb\n")
            untilAHandlerWorks()
            client.sendall(b"ccc\n")
            loop.callFromThread(loop.stop)
            with suppress(ConnectionResetError):
                reads(client)

    drained(loop, Slow, talk)
    assert "7 bytes were not taken from 1 connections" in caplog.text


def test_aSecondSignalTellsToo(loop: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    """The server no longer waits for anything, and tells all the same of the data that nobody took."""
    Slow.waiting = []

    def talk(address: tuple[str, int]) -> None:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"a\nbb\n")
            untilAHandlerWorks()
            loop.callFromThread(loop._signalled, 15)
            loop.callFromThread(loop.callLater, 0.05, loop._signalled, 15)
            with suppress(ConnectionResetError):
                reads(client)

    drained(loop, Slow, talk)
    assert "3 bytes were not taken from 1 connections" in caplog.text


def test_aHandshakeThatWasBegunIsWaitedFor(loop: EpollReactor) -> None:
    """A client of TLS that was let in before the stop is answered, or hears of the end in order; it is not cut off."""
    serving = Server(loop)
    endpoint = SSL4ServerEndpoint(loop, 0, serverOptions(), interface="127.0.0.1")
    serving.addListener(endpoint, Factory.forProtocol(Echo), name="echo")
    address = serving.listeners["echo"].ports[0].getHost()

    def talk() -> bytes:
        with socket.create_connection((address.host, address.port), timeout=DEADLINE) as plain:
            loop.callFromThread(loop.stop)
            context = ssl.create_default_context(cadata=TRUST.decode())
            with context.wrap_socket(plain, server_hostname=HOST) as client:
                client.sendall(b"x\n")
                return client.recv(10)

    assert Meanwhile(loop).run(serving.run, talk)[1] in (b"x\n", b"")


def test_whoHasEndedItsHalf(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The protocol is told, if it was told everything before."""
    events: list[str] = []

    class Half(Raw):
        def readConnectionLost(self) -> None:
            events.append("read")
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            events.append("write")

        def connectionLost(self, reason: Any = None) -> None:
            events.append("lost")

    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(b"x")
            got = client.recv(1)
            loop.callFromThread(client.shutdown, socket.SHUT_WR)
            loop.callFromThread(loop.stop)
            return got + reads(client)

    assert drained(loop, Half, talk) == b"x"
    assert events == ["read", "lost"]


# Counting and showing.


def test_percentiles() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) == 0
    for milliseconds in range(1, 1001):
        latencies.add(milliseconds / 1000, 2)
    assert latencies.count == 2000
    assert [latencies.percentile(share) for share in (50, 99, 99.9, 100)] == [0.5, 0.99, 0.999, 1.0]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_theBar() -> None:
    terminal, file = Terminal(), io.StringIO()
    for stream in (terminal, file):
        bar = ProgressBar(stream, 200)
        bar.show(50, "fast")
        bar.clear()
    assert terminal.getvalue() == "\r[##########..............................]  25% fast\033[K\r\033[K"
    assert file.getvalue() == ""


# The load.


@pytest.fixture
def echo(loop: EpollReactor) -> Iterator[Callable[[Any], str]]:
    """A server for `protocol` in the same loop; where it is."""
    ports: list[Any] = []

    def listen(protocol: Any) -> str:
        ports.append(loop.listenTCP(0, ServerFactory.forProtocol(protocol), interface="127.0.0.1"))
        return f"127.0.0.1:{ports[0].getHost().port}"

    yield listen
    for port in ports:
        port.stopListening()
        loop.iterate()


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


@pytest.mark.parametrize(
    ("connections", "pipeline", "lines"), [(1, 1, 1), (60, 7, 5000), (10, 100, 1003), (5, 3, 2)], ids=str
)
def test_everyReplyIsRight(
    loop: EpollReactor, echo: Any, capsys: Any, connections: int, pipeline: int, lines: int
) -> None:
    where = echo(Echo)
    sizes = ["--connections", str(connections), "--pipeline", str(pipeline), "--lines", str(lines)]
    assert command.main(["load", where, *sizes]) == 0
    out, said = capsys.readouterr()
    used = min(connections, lines)
    assert out.startswith(f"{lines} lines of 32 bytes, {used} connections, {pipeline} deep: every reply right\n")
    assert said == ""


class Liar(Echo):
    """Right 49 times, then `lie` answers."""

    count = 0

    def lineReceived(self, line: bytes) -> None:
        self.count += 1
        if self.count < 50:
            self.sendLine(line)
        else:
            self.lie(line)

    def lie(self, line: bytes) -> None:
        raise NotImplementedError


class Damages(Liar):
    def lie(self, line: bytes) -> None:
        self.sendLine(line.replace(b"x", b"y", 1))


class Doubles(Liar):
    def lie(self, line: bytes) -> None:
        self.sendLines([line, line])


class Exceeds(Liar):
    def lie(self, line: bytes) -> None:
        self.sendLine(line * 2)


class Closes(Liar):
    def lie(self, line: bytes) -> None:
        self.transport.loseConnection()


class Aborts(Liar):
    def lie(self, line: bytes) -> None:
        self.transport.abortConnection()


class Swaps(Liar):
    kept: bytes | None = None

    def lie(self, line: bytes) -> None:
        if self.kept is None:
            self.kept = line
        else:
            self.sendLines([line, self.kept])


@pytest.mark.parametrize(
    ("liar", "message"),
    [
        (Damages, r"connection 0, reply 49: b'0+31x+' was expected, b'0+31yx+' came"),
        (Doubles, r"connection 0, reply 50: (b'0+32x+'|nothing more) was expected, b'0+31x+' came"),
        (Exceeds, r"connection 0, reply \d+: b'0+31x+' was expected, b'0+31x+\\r0+31x+'\.\.\. \(67 bytes\) came"),
        (Closes, r"connection 0 was lost after 49 of 100 replies: .*"),
        (Aborts, r"connection 0 was lost after \d+ of 100 replies: .*"),
        (Swaps, r"connection 0, reply 49: b'0+31x+' was expected, b'0+32x+' came"),
    ],
)
@pytest.mark.parametrize("pipeline", ["1", "2"])
def test_whatIsWrongIsFound(
    loop: EpollReactor,
    echo: Any,
    capsys: Any,
    monkeypatch: pytest.MonkeyPatch,
    liar: type[Liar],
    message: str,
    pipeline: str,
) -> None:
    if (liar, pipeline) == (Swaps, "1"):
        # Nothing comes after it: the second line is only sent after the first reply.
        message = "no reply for 0.1 s"
        monkeypatch.setattr(load, "STALL", 0.1)
        monkeypatch.setattr(load, "SHOW_EVERY", 0.02)
    where = echo(liar)
    assert command.main(["load", where, "--connections", "1", "--pipeline", pipeline, "--lines", "100"]) == 1
    out, said = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"linereactor load: {message} \(\d+ of 100 replies were right\)\n", said)


def test_aLoadOnATerminal(loop: EpollReactor, echo: Any, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While connecting, then while it runs; the bar is removed in the end."""
    terminal = Terminal()
    monkeypatch.setattr(load, "SHOW_EVERY", 0.001)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert command.main(["load", echo(Echo), "--connections", "100", "--lines", "20000"]) == 0
    shown = terminal.getvalue()
    assert re.search(r"\[\.+\]   0% \d+ of 100 connections", shown)
    assert re.search(r"\[#+\.*\] +\d+% [1-9]\d* lines/s", shown)
    assert shown.endswith("\r\033[K")


def test_interrupted(loop: EpollReactor, echo: Any, capsys: Any) -> None:
    class Stops(Liar):
        def lie(self, line: bytes) -> None:
            loop.stop()

    assert command.main(["load", echo(Stops), "--connections", "1", "--lines", "100"]) == 1
    assert "linereactor load: interrupted (" in capsys.readouterr().err


def test_targets() -> None:
    assert loadtarget.target("[::1]:7") == ("::1", 7)
    assert str(loadtarget.target("[::1]:7")) == "[::1]:7"
    assert str(loadtarget.target("here:7")) == "here:7"


def test_shortened() -> None:
    assert loadclient.shortened(b"a\n") == r"b'a\n'"
    assert loadclient.shortened(b"a" * 61) == f"b'{'a' * 60}'... (61 bytes)"


def test_theCommandsName(monkeypatch: pytest.MonkeyPatch) -> None:
    for path, name in (("/x/reactor/__main__.py", "python -m reactor"), ("/bin/linereactor", "linereactor")):
        monkeypatch.setattr(sys, "argv", [path])
        assert options.programName() == name
    assert os.path.basename(command.__file__) == "__main__.py"
