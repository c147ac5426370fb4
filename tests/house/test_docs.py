"""README.md and docs/ say what is so: their programs run, and what they name exists."""

from __future__ import annotations

import ast
import http.client
import importlib
import inspect
import pathlib
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

import reactor
from reactor.serving.options import makeParser
from reactor.serving.settings import optionTable
from reactor.timers import DelayedCall
from reactor.transports.children.process import PTYProcess
from reactor.transports.tcp import TCPConnection, TCPConnector, TCPPort
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.udp import MulticastPort
from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort, UNIXDatagramPort
from reactor.transports.unix.stream import UNIXConnection, UNIXConnector, UNIXPort
from tests.house.test_layers import COMPILED, ROWS
from tests.support.tlsworlds import HOST, TRUST, certificatePath

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        ROOT / "README.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "howto").glob("*.md")),
    )
}
README = PAGES["README.md"]
DESIGN = PAGES["docs/design.md"]
SEMANTICS = PAGES["docs/semantics.md"]
COMMAND = PAGES["docs/command.md"]
WORDS = 1100  # of the README: it is one page
DEADLINE = 30.0

SERVER, CLIENT, BEYOND, WEB, STREAMS, LIBRARIES, IN_MEMORY = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def between(text: str, mark: str) -> str:
    (part,) = re.findall(rf"<!-- {mark} -->(.*?)<!-- /{mark} -->", text, re.DOTALL)
    return str(part)


def freePorts(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
        return [sock.getsockname()[1] for sock in sockets]


Start = Callable[..., tuple[subprocess.Popen[bytes], list[int]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Runs a program of the README, its ports replaced by free ones; returns the process and the ports."""
    with ExitStack() as stack:

        def run(text: str, ports: list[int] | None = None) -> tuple[subprocess.Popen[bytes], list[int]]:
            known = sorted(set(re.findall(r"\b700\d\b", text)))
            ports = ports or freePorts(len(known))
            for name, port in zip(known, ports, strict=True):
                text = text.replace(name, str(port))
            command = [sys.executable, "-c", text]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process, ports

        yield run


def connected(process: subprocess.Popen[bytes], port: int) -> socket.socket:
    """A connection to `port`, as soon as the process listens there."""
    while process.poll() is None:
        try:
            sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
        except ConnectionRefusedError:
            continue
        sock.settimeout(DEADLINE)
        return sock
    raise AssertionError(process.communicate())


def ask(process: subprocess.Popen[bytes], port: int, question: bytes) -> bytes:
    """Return the server's answer to `question`, which is as long as the question."""
    with closing(connected(process, port)) as sock:
        sock.sendall(question)
        answer = b""
        while len(answer) < len(question):
            data = sock.recv(65536)
            assert data, answer
            answer += data
        return answer


def stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=DEADLINE)[0] == b""
    assert process.returncode == 0


def test_serverAndClient(start: Start) -> None:
    """The ten lines, and the client that talks to them."""
    assert len(SERVER.strip().splitlines()) <= 10
    server, ports = start(SERVER)
    assert ask(server, ports[0], b"hello\r\n\r\nworld\r\n") == b"hello\r\n\r\nworld\r\n"
    client, _ = start(CLIENT, ports)
    assert client.communicate(timeout=DEADLINE)[0] == b"b'hello'\n"
    assert client.returncode == 0
    stop(server)


def test_beyondTwisted(start: Start) -> None:
    server, (batches, slow) = start(BEYOND)
    assert ask(server, slow, b"one two\r\nthree\r\n") == b"One Two\r\nThree\r\n"
    with closing(connected(server, batches)) as sock, sock.makefile("rb") as file:
        sock.sendall(b"first\nsecond\r\n" + b"x" * 1001 + b"\nthird\n")
        assert [file.readline() for _ in range(4)] == [b"FIRST\n", b"SECOND\n", b"too long\n", b"THIRD\n"]
    stop(server)


def test_httpBesideTheLines(start: Start) -> None:
    """Fifteen lines: a server of lines, and its health on another port."""
    assert len(WEB.strip().splitlines()) <= 15
    server, (lines, web) = start(WEB)
    with closing(connected(server, lines)) as sock:
        sock.sendall(b"one\r\ntwo\r\nthree\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    answers = {}
    for path in ("/healthz", "/other"):
        with closing(http.client.HTTPConnection("127.0.0.1", web, timeout=DEADLINE)) as client:
            client.request("GET", path)
            response = client.getresponse()
            answers[path] = (response.status, response.read())
    assert answers == {"/healthz": (200, b"3 lines\n"), "/other": (404, b"3 lines\n")}
    stop(server)


def test_streamsForAsyncio(start: Start) -> None:
    process, _ = start(STREAMS)
    assert process.communicate(timeout=DEADLINE)[0] == b"b'HELLO\\n'\n"


def test_withoutSockets(start: Start) -> None:
    process, _ = start(IN_MEMORY)
    assert process.communicate(timeout=DEADLINE) == (b"", None)  # type: ignore[comparison-overlap]
    assert process.returncode == 0


def test_theReadmeIsOnePage() -> None:
    assert len(README.split()) < WORDS


def test_insideAsyncio(start: Start) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", between(SEMANTICS, "asyncio"), re.DOTALL)
    process, _ = start(program)
    assert process.communicate(timeout=DEADLINE)[0] == b"b'HELLO\\r\\n'\n" * 2


def test_linesOfAChild(start: Start) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", between(SEMANTICS, "processes"), re.DOTALL)
    process, _ = start(program)
    assert process.communicate(timeout=DEADLINE)[0] == b"b'apple'\nb'pear'\n"


@pytest.mark.parametrize("isTLS", [False, True])
def test_stoppingInOrder(start: Start, isTLS: bool) -> None:
    """The recipe of the page. A peer that talks when the signal comes is answered, and may go on after our end.

    With TLS, so does one whose handshake comes after the signal.
    """
    (program,) = re.findall(r"```python\n(.*?)```", between(SEMANTICS, "stopping"), re.DOTALL)
    if isTLS:
        options = f"reactor.CertificateOptions({certificatePath()!r})"
        program = program.replace("listenTCP(7000, factory,", f"listenSSL(7000, factory, {options},")
    process, ports = start(program)
    with ExitStack() as stack:

        def ready(sock: socket.socket) -> socket.socket:
            return stack.enter_context(sheltered(sock)) if isTLS else sock

        early, late = (stack.enter_context(connected(process, ports[0])) for _ in range(2))
        clients = [ready(early)]
        clients[0].sendall(b"first\r\n")
        assert readLine(clients[0]) == b"FIRST\r\n"
        process.send_signal(signal.SIGTERM)
        clients.append(ready(late))
        for client in clients:
            client.sendall(b"second\r\n")
            assert readLine(client) == b"SECOND\r\n"
        for client in clients:
            assert client.recv(1) == b""
            for number in range(100):
                client.sendall(b"late %d\r\n" % number)
            if isinstance(client, ssl.SSLSocket):
                client.unwrap()
            else:
                client.shutdown(socket.SHUT_WR)
                assert client.recv(1) == b""
    assert process.communicate(timeout=DEADLINE)[0] == b""
    assert process.returncode == 0


def sheltered(sock: socket.socket) -> ssl.SSLSocket:
    """TLS on a connected socket."""
    context = ssl.create_default_context(cadata=TRUST.decode())
    return context.wrap_socket(sock, server_hostname=HOST)


def readLine(client: socket.socket) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        got = client.recv(1)
        assert got, line
        line += got
    return line


def test_commandsOfMake() -> None:
    """The two commands come first, and every target that is named exists."""
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [name for page in PAGES.values() for name in re.findall(r"\bmake ([a-z-]+)\b(?=[ `\n])", page)]
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["serve", "test"]
    code = [name for name in named if f"`make {name}`" in "".join(PAGES.values())]
    assert set(code) <= set(targets)


def test_commandLines() -> None:
    """Every `linereactor` line is one that the command's parser takes, and every option named is one of its options."""
    for page in (README, COMMAND):
        lines = re.findall(r"^linereactor (.*?)(?:  +#.*)?$", page, re.MULTILINE)
        assert len(lines) == 8
        for line in lines:
            makeParser().parse_args(line.split())
    assert between(COMMAND, "options").strip().split("\n") == optionTable()
    helps = "".join(subcommand.format_help() for subcommand in subparsers().values())
    assert set(re.findall(r"--[a-z-]+", COMMAND)) == set(re.findall(r"--[a-z-]+", helps))


def subparsers() -> dict[str, Any]:
    (actions,) = (action for action in makeParser()._actions if action.dest == "command")
    assert isinstance(actions.choices, dict)
    return actions.choices


def test_differencesAreTested() -> None:
    tree = ast.parse((ROOT / "tests" / "parity" / "test_differences.py").read_text())
    tests = [node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    listed = between(PAGES["docs/differences.md"], "differences")
    named = re.findall(r"\(`(test_\w+)`\)", listed)
    assert len(named) == listed.count("\n- ")
    assert sorted(named) == sorted(tests)


@pytest.mark.parametrize("page", PAGES)
def test_linksLeadSomewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[page]):
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^a-z0-9 -]", "", text.lower()).replace(" ", "-") for text in headings], target


def test_portingTable() -> None:
    """Every import line of it works."""
    rows = re.findall(r"^\| `(from twisted[^`]+)` \| `([^`]+)` \|$", PAGES["docs/porting.md"], re.MULTILINE)
    assert len(rows) == 14
    program = "".join(line.replace(", ...", "") + "\n" for row in rows for line in row)
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).stderr == b""


def test_everyRoomIsInTheTable() -> None:
    """The table of docs/design.md names every room of the package, and no other, on the floor where it is kept."""
    rows = re.findall(r"^\| (\d) \| ([^|]*) \|", between(DESIGN, "rooms"), re.MULTILINE)
    rooms = {name: int(floor) for floor, names in rows for name in re.findall(r"`([\w/.]+)`", names)}
    modules = {name: ".".join(["reactor", *pathlib.Path(name).with_suffix("").parts]) for name in rooms}
    held = {name: floor for floor, names in ROWS for name in names}
    unnamed = {"reactor.loops", "reactor.transports"} | COMPILED
    assert {modules[name].removesuffix(".__init__"): floor for name, floor in rooms.items()} == {
        name: floor for name, floor in held.items() if name not in unnamed
    }


def numberAt(path: str) -> float:
    """The number that a dotted path leads to: an attribute, or the default of a function's parameter."""
    parent, _, name = path.rpartition(".")
    found: Any = reactor
    for depth, part in enumerate(parent.split(".")[1:], 2):
        if not hasattr(found, part):
            importlib.import_module(".".join(parent.split(".")[:depth]))
        found = getattr(found, part)
    value = inspect.signature(found).parameters[name].default if inspect.isroutine(found) else getattr(found, name)
    return float(sum(value) if isinstance(value, tuple) else value)


def test_limitsAreThoseOfTheCode() -> None:
    table = between(SEMANTICS, "limits")
    rows = re.findall(r"^\| `(reactor[\w.]+)` \| ([\d,.]+)[^|]* \| [^|]+ \|$", table, re.MULTILINE)
    assert len(rows) == table.count("\n|") - 2
    stated = {path: float(number.replace(",", "")) for path, number in rows}
    assert stated == {path: numberAt(path) for path in stated}


def publicMethods(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_") and inspect.isroutine(getattr(cls, name))}


def test_everyMethodHasItsThread() -> None:
    """docs/semantics.md says for each public function and method which thread may call it."""
    functions = {name for name in reactor.__all__ if inspect.isfunction(vars(reactor).get(name))}
    streams = (TCPConnection, TLSConnection, TCPPort, TCPConnector, UNIXConnection, UNIXPort, UNIXConnector)
    datagrams = (MulticastPort, UNIXDatagramPort, ConnectedUNIXDatagramPort)
    classes = (reactor.AsyncioReactor, *streams, *datagrams, PTYProcess, DelayedCall, reactor.Deferred)
    known = functions.union(*map(publicMethods, classes))
    named = set(re.findall(r"`(\w+)`", between(SEMANTICS, "threads")))
    assert named - {"running", "LineBuffer"} == known
