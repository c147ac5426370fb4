"""The programs of docs/http.md that serve, and their curl dialogues: they run as they stand there.

The table of refused requests is held against the server, too.
"""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import aiohttp
import pytest

from reactor import Clock, http
from reactor.http import HTTPFactory, Response
from reactor.testing import StringTransport
from tests.house.test_docs import DEADLINE, PAGES, between, connected, freePorts
from tests.support.tlsworlds import TRUST, certificatePath

PAGE = PAGES["docs/http.md"]
MARKS = ["server", "lines", "twisted", "log", "tls", "takeover"]

# These differ from one run to the next.
DATES = re.compile(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT|\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000")


class Program:
    """A program of the page, in a process and a folder of its own, at ports that are free."""

    def __init__(self, mark: str, folder: pathlib.Path, alter: Callable[[str], str] = str) -> None:
        part = between(PAGE, f"http-{mark}")
        (program,) = re.findall(r"```python\n(.*?)```", part, re.DOTALL)
        self.dialogue = "".join(re.findall(r"```sh\n(.*?)```", part, re.DOTALL))
        known = sorted(set(re.findall(r"\b700\d\b", program)))
        self.ports = dict(zip(known, freePorts(len(known)), strict=True))
        self.folder = folder
        (folder / "server.pem").write_bytes(pathlib.Path(certificatePath()).read_bytes())
        (folder / "ca.pem").write_bytes(TRUST)
        (folder / ".curlrc").write_text("no-progress-meter\n")  # as on a terminal
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.atPorts(alter(program))],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def atPorts(self, text: str) -> str:
        for name, port in self.ports.items():
            text = text.replace(name, str(port))
        return text

    def connect(self, port: str) -> socket.socket:
        return connected(self.process, self.ports[port])

    def hold(self) -> None:
        """Run each command of the dialogue. It must print the lines behind it."""
        for name in self.ports:
            with closing(self.connect(name)) as probe:
                probe.shutdown(socket.SHUT_WR)
                assert probe.recv(1) == b""  # the server has seen the end, too
        exchanges = re.split(r"^\$ ", self.dialogue, flags=re.MULTILINE)[1:]
        assert exchanges
        for command, _, expected in (each.partition("\n") for each in exchanges):
            done = subprocess.run(
                self.atPorts(command),
                shell=True,
                cwd=self.folder,
                env={**os.environ, "CURL_HOME": str(self.folder)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=DEADLINE,
                check=False,
            )
            printed = done.stdout.decode().replace("\r\n", "\n")
            assert (command, DATES.sub("(date)", printed)) == (command, DATES.sub("(date)", expected))

    def stop(self) -> str:
        """End the program, which must end well; return what it has printed."""
        self.process.send_signal(signal.SIGTERM)
        printed = self.process.communicate(timeout=DEADLINE)[0].decode()
        assert self.process.returncode == 0, printed
        return printed


Run = Callable[..., Program]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Iterator[Run]:
    """Starts programs of the page."""
    with ExitStack() as stack:

        def start(mark: str, alter: Callable[[str], str] = str) -> Program:
            program = Program(mark, tmp_path, alter)
            stack.callback(program.process.communicate)
            stack.callback(program.process.kill)
            return program

        yield start


@pytest.mark.needs("curl")
@pytest.mark.parametrize("mark", MARKS)
def test_dialogues(run: Run, mark: str) -> None:
    program = run(mark)
    program.hold()
    printed = program.stop()
    if mark == "server":  # it has a fault, which is logged once
        assert printed.count("Traceback") == 1
        assert printed.endswith("ZeroDivisionError: division by zero\n")
    else:
        assert printed == ""


def test_everyProgramIsRun() -> None:
    others = ["client", "pool", "streams", "aiohttp", "files"]  # test_httpclientdocs.py, test_httpfilesdocs.py
    assert sorted(re.findall(r"<!-- http-(\w+) -->", PAGE)) == sorted(MARKS + others)
    assert PAGE.count("```python\n") == len(MARKS + others)
    assert PAGE.count("```sh\n") == len(MARKS)


def test_everyNameIsInTheReference() -> None:
    named = re.findall(r"`(\w+)`", between(PAGES["docs/reference.md"], "http-names"))
    codes = {name for name in http.__all__ if name.isupper()}
    assert sorted(set(named) - codes) == sorted(set(http.__all__) - codes)
    assert len(set(named)) == len(named)


def ofTwisted(program: str) -> str:
    assert program.startswith("import reactor\nfrom reactor.http import ")
    program = program.replace("import reactor\n", "from twisted.internet import reactor\n", 1)
    return program.replace("from reactor.http import ", "from twisted.web.http import ", 1)


@pytest.mark.needs("curl")
def test_twistedHoldsTheDialogueToo(run: Run) -> None:
    program = run("twisted", ofTwisted)
    program.hold()
    assert program.stop() == ""


def test_postedLinesReachLineClients(run: Run) -> None:
    program = run("lines")
    with closing(program.connect("7000")) as member, member.makefile("rb") as lines:
        member.sendall(b"hello\r\n")
        assert lines.readline() == b"hello\r\n"
        with closing(program.connect("7001")) as peer, peer.makefile("rb") as answers:
            peer.sendall(b"POST /tell HTTP/1.1\r\nHost: here\r\nContent-Length: 7\r\n\r\none\ntwo")
            assert answers.readline() == b"HTTP/1.1 204 No Content\r\n"
        assert [lines.readline() for _ in range(2)] == [b"one\r\n", b"two\r\n"]


def test_websocket(run: Run) -> None:
    """A real client over the connection that a handler has given away."""
    program = run("takeover")
    program.connect("7000").close()

    async def talk() -> None:
        url = f"ws://127.0.0.1:{program.ports['7000']}/"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as peer:
            await peer.send_str("text")
            assert await peer.receive_str() == "text"
            await peer.ping()
            for size in (1, 100, 200000):
                await peer.send_bytes(b"x" * size)
                assert await peer.receive_bytes() == b"x" * size
            await peer.close()
            assert peer.close_code == 1000

    asyncio.run(asyncio.wait_for(talk(), DEADLINE))
    assert program.stop() == ""


HANDSHAKE = {
    b"Upgrade": b"WebSocket",
    b"Connection": b"keep-alive, Upgrade",
    b"Sec-WebSocket-Version": b"13",
    b"Sec-WebSocket-Key": b"dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        (b"", b"", 101),
        (b"Upgrade", b"other", 426),
        (b"Connection", b"keep-alive", 426),
        (b"Sec-WebSocket-Version", b"12", 426),
        (b"Sec-WebSocket-Key", b"", 400),
        (b"Sec-WebSocket-Key", b"c2hvcnQ=", 400),
        (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ", 400),
        (b"method", b"HEAD", 400),
    ],
)
def test_handshakes(run: Run, name: bytes, value: bytes, code: int) -> None:
    """A request that is no handshake of RFC 6455 is refused."""
    program = run("takeover")
    fields = HANDSHAKE | {name: value} if name in HANDSHAKE else HANDSHAKE
    lines = [b"%b: %b" % field for field in fields.items()]
    with closing(program.connect("7000")) as peer:
        peer.settimeout(DEADLINE)
        peer.sendall(request(*lines, first=b"%b / HTTP/1.1" % (value if name == b"method" else b"GET")))
        assert peer.recv(1000).startswith(b"HTTP/1.1 %d " % code)
    assert program.stop() == ""


def request(*lines: bytes, first: bytes = b"POST / HTTP/1.1", body: bytes = b"") -> bytes:
    return b"\r\n".join([first, b"Host: here", *lines, b"", body])


def line(first: bytes) -> bytes:
    return request(first=first)


CHUNKED = b"Transfer-Encoding: chunked"

# By the first cell of the row: requests that the row speaks of.
REFUSED: dict[str, list[bytes]] = {
    "a request line that is not a method, a target and a version": [
        *map(line, (b"GET /", b"GET  / HTTP/1.1", b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 ", b"GET / a HTTP/1.1"))
    ],
    "a version of another form, for example `http/1.1`": [
        *map(line, (b"GET / http/1.1", b"GET / HTTP/1", b"GET / HTTP/1.10", b"GET / HTTPS/1.1"))
    ],
    "another major version": [*map(line, (b"GET / HTTP/2.0", b"GET / HTTP/0.9"))],
    "a method that is no token": [*map(line, (b"G(T / HTTP/1.1", b"G\xc9T / HTTP/1.1"))],
    "a target in none of the four forms, or with a fragment": [
        *map(line, (b"GET index.html HTTP/1.1", b"GET /a#b HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET http:/a HTTP/1.1"))
    ],
    "a host and a port as the target of another method than CONNECT": [line(b"GET here:80 HTTP/1.1")],
    "an asterisk as the target of another method than OPTIONS": [line(b"GET * HTTP/1.1")],
    "user information in its target": [line(b"GET http://me@here/ HTTP/1.1")],
    "CONNECT and a body": [request(b"Content-Length: 3", first=b"CONNECT here:80 HTTP/1.1", body=b"abc")],
    "two empty lines before it": [b"\r\n\r\n" + request()],
    "a bare LF or CR in its head": [request(b"X: a\nY: b"), request(b"X: a\rY: b"), line(b"GET /\nX HTTP/1.1")],
    "white space before its first field": [b"GET / HTTP/1.1\r\n Host: here\r\n\r\n"],
    "a field's name that is no token, or none": [request(b"X(y): z"), request(b"X y: z"), request(b": z")],
    "white space before a colon": [request(b"X : y"), request(b"Content-Length : 3", body=b"abc")],
    "NUL or another control character in a field": [request(b"X: a\0b"), request(b"X: a\x0bb"), request(b"X: \x7f")],
    "a field that goes on in a second line": [request(b"X: a", b" b"), request(b"X: a", b"\tb")],
    "two fields of a kind that has one value, for example Content-Type": [
        request(b"Content-Type: a/b", b"Content-Type: c/d")
    ],
    "no Host in HTTP/1.1, two of them, or one that is no host": [
        b"GET / HTTP/1.1\r\n\r\n",
        request(b"Host: there"),
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a, b\r\n\r\n",
    ],
    "a Content-Length that is no number, or several": [
        request(b"Content-Length: +3", body=b"abc"),
        request(b"Content-Length: 3, 3", body=b"abc"),
        request(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    ],
    "Content-Length beside Transfer-Encoding": [request(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")],
    "Transfer-Encoding in HTTP/1.0": [request(CHUNKED, first=b"POST / HTTP/1.0", body=b"0\r\n\r\n")],
    "a last transfer coding other than chunked, or chunked twice": [
        request(CHUNKED, CHUNKED, body=b"0\r\n\r\n"),
        request(b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        request(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"),
    ],
    "a transfer coding before chunked": [request(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n")],
    "a chunk's size that is not hexadecimal, or a malformed extension": [
        *(request(CHUNKED, body=size + b"\r\nabc\r\n0\r\n\r\n") for size in (b"0x3", b"-3", b" 3", b"3;=", b'3;a="'))
    ],
    "a chunk without CR LF after its data": [
        request(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n"),
        request(CHUNKED, body=b"3\r\nabc\n0\r\n\r\n"),
    ],
    "a trailer that would decide about framing or routing": [
        request(CHUNKED, body=b"0\r\nContent-Length: 3\r\n\r\n"),
        request(CHUNKED, body=b"0\r\nHost: there\r\n\r\n"),
    ],
    "an expectation other than 100-continue": [request(b"Expect: a miracle")],
    "a request line that is too long": [line(b"GET /" + b"x" * 9000 + b" HTTP/1.1")],
    "a field, a head or trailers that are too large": [
        request(b"X: " + b"y" * 9000),
        request(*[b"X: " + b"y" * 6000] * 3),
        request(*[b"X: y"] * 100),
        request(CHUNKED, body=b"0\r\n" + b"X: y\r\n" * 100 + b"\r\n"),
    ],
    "a body that is too large": [request(b"Content-Length: 1048577"), request(b"Content-Length: " + b"9" * 30)],
    "a head or a body that comes too slowly": [
        b"GET / HTTP/1.1\r\nHost: he",
        request(b"Content-Length: 9", body=b"abc"),
        request(CHUNKED, body=b"3\r\nabc\r\n"),
    ],
}
ROWS = re.findall(r"^\| ([^|]+?) \| (\d{3}) \| (RFC \d{4}, [\d.]+) \|$", between(PAGE, "refused"), re.MULTILINE)


def answerTo(data: bytes) -> tuple[int, bool, int]:
    """The code of the first answer, whether it is the last one, and how many requests the handler has seen whole."""
    seen: list[bytes] = []

    async def handler(request: Any) -> Response:
        seen.append(await request.body)
        return Response(200)

    clock, transport = Clock(), StringTransport()
    channel: Any = HTTPFactory.forHandler(handler, reactor=clock).buildProtocol(None)
    channel.makeConnection(transport)
    channel.dataReceived(data)
    for _ in range(12):
        clock.advance(1)
    answer = transport.value()
    assert answer.startswith(b"HTTP/1.1 ")
    if b"\r\nConnection: close\r\n" not in answer:
        return int(answer[9:12]), False, len(seen)
    before = len(answer)
    channel.dataReceived(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    return int(answer[9:12]), len(transport.value()) == before, len(seen)


def test_theTableOfRefusedRequestsIsWhole() -> None:
    assert len(ROWS) == between(PAGE, "refused").count("\n|") - 2
    assert [row[0] for row in ROWS] == list(REFUSED)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].replace(" ", "-"))
def test_refusedRequests(row: tuple[str, str, str]) -> None:
    for data in REFUSED[row[0]]:
        assert (data[:200], *answerTo(data)) == (data[:200], int(row[1]), True, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n" + request(),
        line(b"GET / HTTP/1.7"),
        line(b"GET http://there/ HTTP/1.1"),
        line(b"OPTIONS * HTTP/1.1"),
        line(b"BREW / HTTP/1.1"),
    ],
)
def test_unusualRequestsThatAreTaken(data: bytes) -> None:
    assert answerTo(data) == (200, False, 1)
