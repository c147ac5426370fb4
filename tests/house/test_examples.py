"""Every program of examples/ runs, over real sockets, and holds the dialogue it is meant to hold.

Twisted runs the examples in its style too: only their import lines are rewritten, and the same test must pass. Neither
run can reach the other's package.
"""

from __future__ import annotations

import ast
import hashlib
import os
import pathlib
import random
import select
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from types import ModuleType
from typing import ClassVar, NamedTuple

import pytest
import trustme
from twisted.internet import defer, error, interfaces, protocol, task, threads
from twisted.protocols import basic
from twisted.python import failure

from tests.support.tlsworlds import CA, HOST, TRUST

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
OURS_ALONE = {"tlsserver", "webserver"}  # Twisted has no twin of CertificateOptions with files, and of handlers
OURS_ALONE |= {"cacheserver", "redislike", "shellserver", "nmeaingest"}  # see test_seedservers.py
OURS_ALONE |= {"smtpreceiver"}  # see test_seedprotocols.py
OURS_ALONE |= {"dnsresponder", "ftpserver", "statsdingest", "xmlrpcserver"}  # see test_seedservices.py
DEADLINE = 30.0

# Where Twisted keeps what our modules, and the package itself, offer.
TWINS: dict[str, tuple[ModuleType, ...]] = {
    "reactor": (protocol, defer, task, threads, error, basic, failure),
    "reactor.defer": (defer,),
    "reactor.error": (error,),
    "reactor.interfaces": (interfaces,),
    "reactor.linereceiver": (basic,),
    "reactor.protocol": (protocol,),
    "reactor.task": (task,),
}
GUARD = "import runpy, sys; _, other, *sys.argv = sys.argv; sys.modules[other] = None; "
GUARD += "runpy.run_path(sys.argv[0], run_name='__main__')"


def importForTwisted(module: str, name: str) -> str:
    if f"{module}.{name}" in TWINS:
        return f"from twisted.internet import {name}"
    homes = [twin.__name__ for twin in TWINS[module]]
    (home,) = (
        at
        for at, twin in zip(homes, TWINS[module], strict=True)
        if getattr(vars(twin).get(name), "__module__", "") == at
    )
    return f"from {home} import {name}"


def isOurs(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names] == ["reactor"]
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "reactor"


def rewrite(source: str, replace: Callable[[ast.stmt], list[str]]) -> str:
    """`source` with the lines of each of its imports of ours replaced."""
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isOurs(node):
            lines[node.lineno - 1 : node.end_lineno] = replace(node)
    return "\n".join(lines) + "\n"


def forTwisted(source: str) -> str:
    def replace(node: ast.stmt) -> list[str]:
        if isinstance(node, ast.ImportFrom):
            assert node.module is not None
            return [importForTwisted(node.module, alias.name) for alias in node.names]
        return ["from twisted.internet import reactor"]

    return rewrite(source, replace)


class Program:
    """A running example. Its output, errors included, is read a line at a time."""

    def __init__(self, path: pathlib.Path, other: str, arguments: tuple[object, ...]) -> None:
        command = [sys.executable, "-c", GUARD, other, str(path), *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.read = b""

    def line(self) -> str:
        """The next line it prints."""
        until = time.monotonic() + DEADLINE
        while b"\n" not in self.read:
            assert select.select([self.output], [], [], max(0.0, until - time.monotonic()))[0], f"only {self.read!r}"
            data = os.read(self.output.fileno(), 65536)
            assert data, f"the program has ended, and printed {self.read!r}"
            self.read += data
        line, _, self.read = self.read.partition(b"\n")
        return line.decode()

    def port(self) -> int:
        words = self.line().split()
        assert words[:-1] == ["listening", "on"], words
        return int(words[-1])

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end; the exit status and what it printed meanwhile."""
        output, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, (self.read + output).decode().splitlines()

    def stop(self) -> tuple[int, list[str]]:
        self.process.send_signal(signal.SIGTERM)
        return self.end()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Peer:
    """A blocking client, or one accepted connection."""

    def __init__(self, port: int, sock: socket.socket | None = None) -> None:
        self.socket = sock or socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.socket.settimeout(DEADLINE)
        self.file = self.socket.makefile("rb")

    def send(self, *lines: str) -> None:
        self.socket.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def lines(self, count: int) -> list[str]:
        lines = [self.file.readline() for _ in range(count)]
        assert all(line.endswith(b"\r\n") for line in lines), lines
        return [line[:-2].decode() for line in lines]

    def hasEnded(self) -> bool:
        return self.file.read() == b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


class Stage:
    """Starts programs under one of the two implementations, and peers; closes what is left at the end."""

    def __init__(self, implementation: str, folder: pathlib.Path, left: ExitStack) -> None:
        self.implementation = implementation
        self.folder = folder
        self.left = left

    def run(self, name: str, *arguments: object) -> Program:
        path, other = EXAMPLES / f"{name}.py", "twisted"
        if self.implementation == "twisted":
            text = forTwisted(path.read_text())
            path, other = self.folder / f"{name}.py", "reactor"
            path.write_text(text)
        return self.left.enter_context(closing(Program(path, other, arguments)))

    def connect(self, port: int) -> Peer:
        return self.left.enter_context(closing(Peer(port)))

    def bind(self) -> socket.socket:
        """A socket with a port of its own, at which nobody listens yet."""
        sock = self.left.enter_context(socket.socket())
        sock.settimeout(DEADLINE)
        sock.bind(("127.0.0.1", 0))
        return sock

    def accept(self, listener: socket.socket) -> Peer:
        return self.left.enter_context(closing(Peer(0, listener.accept()[0])))


@pytest.fixture
def left() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["reactor", "twisted"])
def stage(request: pytest.FixtureRequest, tmp_path: pathlib.Path, left: ExitStack) -> Stage:
    return Stage(request.param, tmp_path, left)


@pytest.fixture(scope="module")
def webServer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of the web server."""
    with ExitStack() as stack:
        yield Stage("reactor", tmp_path_factory.mktemp("web"), stack).run("webserver").port()


@pytest.mark.parametrize("name", [name for name in PROGRAMS if name not in OURS_ALONE])
def test_onlyImportLinesChange(name: str) -> None:
    def without(node: ast.stmt) -> list[str]:
        return ["# an import"]

    source = (EXAMPLES / f"{name}.py").read_text()
    ported = forTwisted(source)
    assert "from twisted.internet import reactor\n" in ported
    assert not any(isOurs(node) for node in ast.walk(ast.parse(ported)) if isinstance(node, ast.stmt))
    kept = [line for line in rewrite(source, without).splitlines() if line != "# an import"]
    assert [line for line in ported.splitlines() if not line.startswith("from twisted.")] == kept


def test_everyExampleIsTested() -> None:
    """A program without a test of its own would be one that nobody has run."""
    text = "".join(path.read_text() for path in pathlib.Path(__file__).parent.glob("test_*.py"))
    calls = ('.run("{}"', 'Server(left, "{}"')
    assert [name for name in PROGRAMS if not any(call.format(name) in text for call in calls)] == []


def test_echoServer(stage: Stage) -> None:
    server = stage.run("echoserver")
    port = server.port()
    one, two = stage.connect(port), stage.connect(port)
    one.send("hello", "", "world")
    two.send(*map(str, range(2000)))
    assert one.lines(3) == ["hello", "", "world"]
    assert two.lines(2000) == [str(number) for number in range(2000)]
    one.send("x" * 20000)
    assert one.hasEnded()
    two.send("still here")
    assert two.lines(1) == ["still here"]
    assert server.stop() == (0, [])
    assert two.hasEnded()


def test_tlsServer(tmp_path: pathlib.Path, left: ExitStack) -> None:
    """The certificate is renewed while it runs. A stop answers the peers that are there, and those at the handshake."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def issue(issued: trustme.LeafCert) -> bytes:
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(issued.private_key_pem.bytes())
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def connect(sock: socket.socket | None = None) -> ssl.SSLSocket:
        plain = sock or socket.create_connection(("127.0.0.1", port), DEADLINE)
        return peers.enter_context(context.wrap_socket(plain, server_hostname=HOST))

    peers = left.enter_context(ExitStack())
    context = ssl.create_default_context(cadata=TRUST.decode())
    first = issue(CA.issue_cert(HOST))
    server = Stage("reactor", tmp_path, left).run("tlsserver", certificate, key)
    port = server.port()
    old = connect()
    assert old.getpeercert(binary_form=True) == first
    second = issue(CA.issue_cert(HOST))
    until = time.monotonic() + DEADLINE
    while connect().getpeercert(binary_form=True) != second:
        assert time.monotonic() < until
    waiting = peers.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE))
    server.process.send_signal(signal.SIGTERM)
    for client in (old, connect(waiting)):
        client.sendall(b"one\r\ntwo\n")
        file = peers.enter_context(client.makefile("rb"))
        assert [file.readline(), file.readline()] == [b"ONE\n", b"TWO\n"]
    peers.close()
    assert server.end() == (0, [])


def test_chatServer(stage: Stage) -> None:
    server = stage.run("chatserver")
    port = server.port()
    ann, bob, eve = (stage.connect(port) for _ in range(3))
    assert [peer.lines(1) for peer in (ann, bob, eve)] == [["Your name?"]] * 3
    ann.send("ann")
    assert ann.lines(1) == ["Welcome. Here are: you"]
    bob.send("ann", " ", "bob", "hello, ann", "how are you?")
    assert bob.lines(3) == ["Another name, please."] * 2 + ["Welcome. Here are: ann, you"]
    assert ann.lines(3) == ["bob has come", "bob: hello, ann", "bob: how are you?"]
    ann.send("fine")
    assert bob.lines(1) == ["ann: fine"]
    eve.send("eve", "x" * 401)
    assert eve.lines(1) == ["Welcome. Here are: ann, bob, you"]
    assert eve.hasEnded()
    assert bob.lines(2) == ["eve has come", "eve has left"]
    bob.close()
    assert ann.lines(3) == ["eve has come", "eve has left", "bob has left"]
    heir = stage.connect(port)
    heir.send("bob")
    assert heir.lines(2) == ["Your name?", "Welcome. Here are: ann, you"]
    assert [stage.connect(port).lines(1) for _ in range(98)] == [["Your name?"]] * 98
    assert stage.connect(port).hasEnded()
    assert server.stop() == (0, [])


def test_echoClientReconnects(stage: Stage) -> None:
    listener = stage.bind()
    client = stage.run("echoclient", listener.getsockname()[1], "one", "two", "three")
    assert client.line() == "connecting to 127.0.0.1"
    assert client.line() == "failed: Connection was refused by other side: 111: Connection refused."
    listener.listen()
    with closing(stage.accept(listener)) as peer:
        assert peer.lines(1) == ["one"]
        peer.send("one")
        peer.socket.shutdown(socket.SHUT_WR)
        printed = [client.line()]
        while printed[-1] != "got back one":
            printed.append(client.line())
        assert set(printed[:-1]) <= {
            "connecting to 127.0.0.1",
            "failed: Connection was refused by other side: 111: Connection refused.",
        }
        assert client.line() == "lost: Connection was closed cleanly."
    assert client.line() == "connecting to 127.0.0.1"
    peer = stage.accept(listener)
    for word in ("two", "three"):
        assert peer.lines(1) == [word]
        peer.send(word)
        assert client.line() == f"got back {word}"
    assert peer.hasEnded()
    assert client.end() == (0, ["lost: Connection was closed cleanly."])


def test_oneConnection(stage: Stage) -> None:
    listener = stage.bind()
    port = listener.getsockname()[1]
    refused = stage.run("oneconnection", port, "anybody there?")
    assert refused.end() == (1, ["no answer: ConnectionRefusedError"])
    listener.listen()
    answered, dropped = stage.run("oneconnection", port, "where?"), stage.run("oneconnection", port, "where?")
    peers = [stage.accept(listener), stage.accept(listener)]
    assert [peer.lines(1) for peer in peers] == [["where?"]] * 2
    for peer in peers:
        peer.send("here")
        assert peer.hasEnded()
    assert [program.end() for program in (answered, dropped)] == [(0, ["connected to 127.0.0.1", "answer: here"])] * 2
    silent = stage.run("oneconnection", port, "where?")
    peer = stage.accept(listener)
    assert peer.lines(1) == ["where?"]
    peer.close()
    assert silent.end() == (1, ["connected to 127.0.0.1", "no answer: ConnectionDone"])


@pytest.mark.parametrize(
    ("arguments", "dialogue"),
    [
        ((37,), ["50 is answered with lower", "25 is answered with higher", "37 is answered with right"]),
        ((50,), ["50 is answered with right"]),
        ((0,), [f"{guess} is answered with lower" for guess in (50, 25, 12, 6, 3, 1)] + ["that is not possible"]),
        ((1, 2), ["50 is answered with lower", "25 is answered with lower", "the dialogue broke off: ConnectionDone"]),
    ],
)
def test_dialogue(stage: Stage, arguments: tuple[int, ...], dialogue: list[str]) -> None:
    assert stage.run("dialogue", *arguments).end() == (0, dialogue)


def test_poetry(stage: Stage, tmp_path: pathlib.Path) -> None:
    poems = ["A line is short,\nits end is near.\n" * 3, "Who sends it late\nis still sincere: ß.\n" * 5]
    servers = []
    for number, poem in enumerate(poems):
        (tmp_path / f"{number}.txt").write_text(poem)
        servers.append(
            stage.run(
                "poetryserver", tmp_path / f"{number}.txt", "--bytes", 7 + number, "--delay", 0.001 * (number + 1)
            )
        )
    ports = [server.port() for server in servers]
    silent = stage.bind()
    client = stage.run("poetryclient", *ports, silent.getsockname()[1])
    status, output = client.end()
    assert status == 0
    refused = "no poem: Connection was refused by other side: 111: Connection refused."
    assert output.pop(output.index(refused)) == refused
    assert "\n".join(output) + "\n" in ("".join(poems), "".join(reversed(poems)))
    assert [server.stop() for server in servers] == [(0, [])] * 2


def test_poetryServerLosesAListener(stage: Stage, tmp_path: pathlib.Path) -> None:
    (tmp_path / "long.txt").write_text("on and on " * 100_000)
    server = stage.run("poetryserver", tmp_path / "long.txt", "--delay", 0.001)
    peer = stage.connect(server.port())
    assert peer.file.read(10) == b"on and on "
    peer.close()
    assert server.line() == "a listener left before the end"
    assert server.stop() == (0, [])


def test_poetryClientHearsTooMuch(stage: Stage) -> None:
    listener = stage.bind()
    listener.listen()
    client = stage.run("poetryclient", listener.getsockname()[1])
    stage.accept(listener).socket.sendall(b"x" * 1_000_001)
    aborted = "no poem: Connection was aborted locally using ITCPTransport.abortConnection."
    assert client.end() == (0, [aborted])


def test_fileServer(stage: Stage, tmp_path: pathlib.Path) -> None:
    directory = tmp_path / "files"
    directory.mkdir()
    files = {"big": random.Random(1).randbytes(3_000_000), "small": b"few\r\nbytes", "empty": b""}
    for name, content in files.items():
        (directory / name).write_bytes(content)
    with (directory / "huge").open("wb") as file:
        file.truncate(64 * 2**20)  # more than the kernel buffers
    (tmp_path / "secret").write_text("secret")
    server = stage.run("fileserver", directory)
    port = server.port()
    leaver = stage.connect(port)
    leaver.send("huge")
    assert leaver.lines(1) == ["67108864"]
    peer = stage.connect(port)
    wanted = ["small", "big", "empty", "none", "big", "..", "../secret", ".", "", "small"]
    peer.send(*wanted)
    for name in wanted:
        if name in files:
            assert peer.lines(1) == [str(len(files[name]))]
            assert peer.file.read(len(files[name])) == files[name]
        else:
            assert peer.lines(1) == ["no such file"]
    leaver.close()
    assert server.line() == "a transfer ended early"
    peer.send("small")
    assert peer.lines(2) == ["10", "few"]
    assert server.stop() == (0, [])


def residentBytes(process: subprocess.Popen[bytes]) -> int:
    """How much memory a process has in use."""
    pages = pathlib.Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def transfer(sender: Peer, receiver: Peer, content: bytes, halt: Callable[[int], None]) -> Callable[[], bytes]:
    """Send in a thread, receive in another, which calls `halt` with each count.

    Return a function that waits for both, and returns the digest.
    """
    digest = hashlib.sha256()

    def receive() -> None:
        count = 0
        while count < len(content):
            data = receiver.socket.recv(min(65536, len(content) - count))
            assert data
            digest.update(data)
            count += len(data)
            halt(count)

    sides = [threading.Thread(target=sender.socket.sendall, args=(content,)), threading.Thread(target=receive)]
    for side in sides:
        side.start()

    def wait() -> bytes:
        for side in sides:
            side.join(DEADLINE)
        assert not any(side.is_alive() for side in sides)
        return digest.digest()

    return wait


def test_portForward(stage: Stage) -> None:
    """Big transfers both ways at once.

    Each stands still while the other goes on. Meanwhile the peer does not read most of what it is sent, and the
    forwarder must not keep it.
    """
    listener = stage.bind()
    listener.listen()
    forwarder = stage.run("portforward", listener.getsockname()[1])
    near = stage.connect(forwarder.port())
    far = stage.accept(listener)
    near.send("first")
    assert far.lines(1) == ["first"]
    out, back = (random.Random(seed).randbytes(32 << 20) for seed in (1, 2))
    before = residentBytes(forwarder.process)
    most = [before]
    isHalfOut, isAllBack = threading.Event(), threading.Event()

    def haltOut(count: int) -> None:
        if count >= len(out) // 2 and not isHalfOut.is_set():
            most.append(residentBytes(forwarder.process))
            isHalfOut.set()
            assert isAllBack.wait(DEADLINE)

    def haltBack(count: int) -> None:
        if count >= 1 << 20:
            assert isHalfOut.wait(DEADLINE)
        if count == len(back):
            most.append(residentBytes(forwarder.process))
            isAllBack.set()

    waits = [transfer(near, far, out, haltOut), transfer(far, near, back, haltBack)]
    assert [wait() for wait in waits] == [hashlib.sha256(content).digest() for content in (out, back)]
    assert max(most) - before < 8 << 20
    far.socket.sendall(b"last words")
    far.close()
    assert near.file.read() == b"last words"
    assert forwarder.stop() == (0, [])


def test_portForwardSendsTheRestOfWhoHasGone(stage: Stage) -> None:
    """The end of one side ends the other, with everything that was read sent first, however slowly it is taken."""
    listener = stage.bind()
    listener.listen()
    forwarder = stage.run("portforward", listener.getsockname()[1])
    number = forwarder.port()
    content = random.Random(3).randbytes(64 << 20)
    for isReset in (False, True):
        near = stage.connect(number)
        far = stage.accept(listener)
        sent = 0
        while select.select([], [far.socket], [], 0.1)[1]:  # until nothing fits anywhere
            sent += far.socket.send(content[sent : sent + 65536])
        assert 65536 < sent < len(content)
        if isReset:
            far.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far.close()
        if isReset:
            near.send("this finds out")
        got = near.file.read()
        assert len(got) > 65536
        assert content.startswith(got)
        assert isReset or len(got) == sent
    other = stage.connect(number)
    other.send("going")
    far = stage.accept(listener)
    assert far.lines(1) == ["going"]
    other.close()
    assert far.hasEnded()
    listener.close()
    assert stage.connect(number).hasEnded()
    assert forwarder.line() == "no connection: ConnectionRefusedError"
    assert forwarder.stop() == (0, [])


def request(target: str, body: bytes = b"", *headers: str) -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"POST {target} HTTP/1.1", "Host: here", *length, *headers, "", ""]).encode() + body


class Answer(NamedTuple):
    status: bytes  # the code and its reason
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self) -> bool:
        return self.fields.get(b"connection") == b"close"


def answerFrom(peer: Peer, hasBody: bool = True) -> Answer:
    """Read an answer. It always has a date, and a length that is its body's."""
    version, _, status = peer.file.readline().rstrip(b"\r\n").partition(b" ")
    assert version == b"HTTP/1.1"
    fields: dict[bytes, bytes] = {}
    while line := peer.file.readline().removesuffix(b"\r\n"):
        name, _, value = line.partition(b": ")
        assert name.lower() not in fields
        fields[name.lower()] = value
    if status.startswith(b"1"):
        return Answer(status, fields, b"")
    assert b"date" in fields
    return Answer(status, fields, peer.file.read(int(fields[b"content-length"])) if hasBody else b"")


def test_webServer(tmp_path: pathlib.Path, left: ExitStack) -> None:
    stage = Stage("reactor", tmp_path, left)
    server = stage.run("webserver")
    port = server.port()
    asked = request("/a") + request("/b", b"a\r\nbody\r\n\r\n") + b"\r\n" + request("/c", b"x" * 100)
    answered = [
        b"POST /a, 0 bytes: \n",
        b"POST /b, 11 bytes: a\r\nbody\r\n\r\n\n",
        b"POST /c, 100 bytes: " + b"x" * 100 + b"\n",
    ]
    whole, trickling = stage.connect(port), stage.connect(port)
    trickling.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for peer in (whole, trickling):
        step = len(asked) if peer is whole else 1
        for start in range(0, len(asked), step):
            peer.socket.sendall(asked[start : start + step])
        answers = [answerFrom(peer) for _ in answered]
        assert [answer.body for answer in answers] == answered
        assert {(answer.status, answer.closes) for answer in answers} == {(b"200 OK", False)}
    whole.socket.sendall(request("/d", b"me", "Connection: close") + request("/e"))
    answer = answerFrom(whole)
    assert (answer.body, answer.closes) == (b"POST /d, 2 bytes: me\n", True)
    assert whole.hasEnded()
    for peer in (whole, trickling):
        peer.close()
    assert server.stop() == (0, [])


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (b"GET /\r\nHost: here\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost : here\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nContent-Length: 1048577\r\n\r\n", b"413"),
        (
            b"GET / HTTP/1.1\r\nHost: here\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(101)),
            b"431",
        ),
        (b"GET / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b"501"),
        (b"GET / HTTP/2.0\r\nHost: here\r\n\r\n", b"505"),
        (b"GET / HTTP/1.0\r\nHost: a/b\r\n\r\n", b"400"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: here\r\nExpect: a miracle\r\n\r\n", b"417"),
        *[
            (first + b"\r\n" + header + b"\r\n\r\n", b"400")
            for first, header in [
                # Bytes that one reader may take for two lines, or for another line, than the next reader does.
                *[
                    (b"POST / HTTP/1.1\r\nHost: here", header)
                    for header in (
                        b"X: a\0b",
                        b"X: a\rContent-Length: 5",
                        b"X: a\nTransfer-Encoding: chunked",
                        b"X\nContent-Length: 5",
                        b"Content Length: 5",
                        b"X(y): 5",
                        b"X\0: 5",
                        b": 5",
                        b"Content-Length: \x0b2",
                        b"Content-Length: 2\x0c",
                        b"Content-Length: 2, 2",
                        b"Content-Length: +2",
                        b"Transfer-Encoding : chunked",
                        b"X: a\r\n b",
                        b"X: a\x7f",
                    )
                ],
                *[
                    (first, b"Host: here")
                    for first in (
                        b"G\x01T / HTTP/1.1",
                        b" / HTTP/1.1",
                        b"GET  HTTP/1.1",
                        b"GET /\x0b HTTP/1.1",
                        b"GET /\nX HTTP/1.1",
                        b"GET /\xff HTTP/1.1",
                        b"GET / HTTP/1.1 ",
                        b"GET / http/1.1",
                        b"GET / HTTP/11",
                    )
                ],
                (b"GET / HTTP/1.1", b"Host: a, b"),
                (b"GET / HTTP/1.1", b"Host: a/b"),
                (b"GET / HTTP/1.1", b"Host: a@b"),
            ]
        ],
    ],
)
def test_webServerRefuses(webServer: int, asked: bytes, code: bytes) -> None:
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(asked)
        answer = answerFrom(peer)
        assert (answer.status.partition(b" ")[0], answer.closes) == (code, True)
        assert peer.hasEnded()


@pytest.mark.parametrize("headers", [b"", b"Host: here\r\n", b"Connection: close\r\n", b"Expect: a miracle\r\n"])
def test_webServerOldRequest(webServer: int, headers: bytes) -> None:
    """HTTP/1.0 needs no Host, knows no Expect, and its connection ends with the answer."""
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(b"POST /a HTTP/1.0\r\n%bContent-Length: 2\r\n\r\nme" % headers)
        answer = answerFrom(peer)
        assert (answer.status, answer.body, answer.closes) == (b"200 OK", b"POST /a, 2 bytes: me\n", True)
        assert peer.hasEnded()


def test_webServerHeadAndExpect(webServer: int) -> None:
    """No body answers HEAD, not even with an error. A client that waits for leave gets it, or a final answer."""
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(b"HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n" + request("/b"))
        assert answerFrom(peer, hasBody=False).fields[b"content-length"] == b"19"
        assert answerFrom(peer).body == b"POST /b, 0 bytes: \n"
        peer.socket.sendall(b"POST /c HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n")
        assert answerFrom(peer) == (b"100 Continue", {}, b"")
        peer.socket.sendall(b"me")
        assert answerFrom(peer).body == b"POST /c, 2 bytes: me\n"
        peer.socket.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n")
        assert answerFrom(peer).body == b"GET /, 0 bytes: \n"
        peer.socket.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\nExpect: 100-continue\r\n\r\n")
        answer = answerFrom(peer, hasBody=False)
        assert (answer.status[:3], answer.closes) == (b"413", True)
        assert peer.hasEnded()
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(request("/", b"", "Connection: keep-alive, close"))
        answer = answerFrom(peer)
        assert (answer.body, answer.closes) == (b"POST /, 0 bytes: \n", True)
        assert peer.hasEnded()


def test_webServerConnect(webServer: int) -> None:
    """The bytes behind CONNECT are for a tunnel, and never a request (RFC 9110, 9.3.6)."""
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(b"CONNECT here:443 HTTP/1.1\r\nHost: here:443\r\n\r\n" + request("/inside"))
        head, _, body = peer.file.read().partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head
        assert b"/inside" not in body


def test_webServerChunks(webServer: int) -> None:
    """A body in chunks, with trailers, is one body; the next request follows."""
    body = b"2\r\nme\r\nA;x=y\r\n, and you?\r\n0\r\nX: y\r\n\r\n"
    with closing(Peer(webServer)) as peer:
        peer.socket.sendall(b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + request("/b"))
        assert [answerFrom(peer).body for _ in range(2)] == [
            b"PUT /a, 12 bytes: me, and you?\n",
            b"POST /b, 0 bytes: \n",
        ]


def derived(rounds: int, password: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", rounds).hex()


def test_asyncServer(tmp_path: pathlib.Path, left: ExitStack) -> None:
    """Slow lines first: the answers come in the order of the lines."""
    server = Stage("reactor", tmp_path, left).run("asyncserver")
    port = server.port()
    peers = [Peer(port), Peer(port)]
    for peer in peers:
        left.enter_context(closing(peer))
        peer.send("100000 slow", "1 quick", "nonsense", "0 none", "10 last")
    for peer in peers:
        assert peer.lines(5) == [
            derived(100000, "slow"),
            derived(1, "quick"),
            "a number of rounds, please",
            "a number of rounds, please",
            derived(10, "last"),
        ]
    busy, other = peers
    busy.send(*["1000000 slow"] * 10)
    other.send("1 quick")
    assert other.lines(1) == [derived(1, "quick")]
    assert len(busy.socket.recv(65536)) < 10 * len(derived(1, "slow"))
    assert server.stop() == (0, [])


def test_asyncServerNeedsUs(tmp_path: pathlib.Path, left: ExitStack) -> None:
    """Twisted drops the coroutine, which is why this example is not one of the others."""
    server = Stage("twisted", tmp_path, left).run("asyncserver")
    peer = left.enter_context(closing(Peer(server.port())))
    peer.send("1 quick", "nonsense")
    assert server.line().endswith("RuntimeWarning: coroutine 'KeyServer.lineReceived' was never awaited")
    server.stop()
    assert peer.hasEnded()


class NameServer(threading.Thread):
    """Answers questions for the addresses of known names (RFC 1035), over UDP; never those for "silent"."""

    ADDRESSES: ClassVar = {b"one.example": ["192.0.2.1"], b"two.example": ["192.0.2.9", "192.0.2.2"]}

    def __init__(self) -> None:
        super().__init__()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self) -> None:
        while True:
            query, peer = self.socket.recvfrom(4096)
            if not query:
                return
            end = query.index(b"\0", 12) + 5  # of the question: the name's labels, type and class
            labels, at = [], 12
            while query[at]:
                labels.append(query[at + 1 : at + 1 + query[at]])
                at += 1 + query[at]
            found = self.ADDRESSES.get(b".".join(labels), [])
            header = query[:2] + struct.pack("!5H", 0x8180 if found else 0x8183, 1, len(found), 0, 0)
            records = [struct.pack("!3HIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(each) for each in found]
            if labels[0] != b"silent":
                self.socket.sendto(header + query[12:end] + b"".join(records), peer)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self.join()
        self.socket.close()


def test_lookupServer(tmp_path: pathlib.Path, left: ExitStack) -> None:
    """An asyncio library answers, in the order of the lines, and while one waits the others are served."""
    names = left.enter_context(closing(NameServer()))
    server = Stage("reactor", tmp_path, left).run("lookupserver", 0, "127.0.0.1", names.port)
    port = server.port()
    one, other = (left.enter_context(closing(Peer(port))) for _ in range(2))
    one.send("two.example", "nowhere.example", "one.example", "silent.example", "one.example")
    answers = one.lines(3)
    assert (answers[0], answers[2]) == ("192.0.2.2 192.0.2.9", "192.0.2.1")
    assert answers[1].startswith("? The DNS query name does not exist: nowhere.example.")
    other.send("one.example")
    assert other.lines(1) == ["192.0.2.1"]
    assert server.stop() == (0, [])
    assert one.hasEnded()
