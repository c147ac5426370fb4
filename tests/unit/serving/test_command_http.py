"""The command as a server of HTTP: files, handlers, factories, its log, and its end in order."""

from __future__ import annotations

import http.client
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from reactor.http.factory import HTTPFactory
from reactor.policies import WrappingFactory
from reactor.serving.apps import makeApplication
from reactor.serving.errors import CommandError
from reactor.serving.web import webFactoryOf
from tests.support.tlsworlds import certificatePath
from tests.unit.serving.test_command import DEADLINE, Served, readAll, run, serving

DOCS = pathlib.Path(__file__).resolve().parents[3] / "docs"
APP = """
from reactor import Deferred, callLater
from reactor.http.factory import HTTPFactory
from reactor.http.response import Response
from reactor.policies import WrappingFactory

started = []

async def handler(request):
    if request.path == b"/slow":
        waited = Deferred()
        callLater(1.0, waited.callback, None)
        print("begun", flush=True)
        await waited
    return Response(200, b"answer to " + request.uri + b"\\n")

def plain(request):
    return b"plain"

factory = HTTPFactory.forHandler(handler)
wrapped = WrappingFactory(factory)

def make():
    return factory
"""
GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """A directory with the module `webapp`, and a root of files."""
    (tmp_path / "webapp.py").write_text(APP)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "page.html").write_text("<p>a page")
    (tmp_path / "secret").write_text("secret")
    return tmp_path


def ask(served: Served, uri: str, method: str = "GET", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(*served.address, timeout=DEADLINE)
    try:
        connection.request(method, uri, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_files(folder: pathlib.Path) -> None:
    with serving("files", "--root", "root", cwd=folder) as served:
        host, port = served.address
        assert served.said.startswith("linereactor ")
        assert f": files on 127.0.0.1:{port} (" in served.said
        assert served.hint == f"try:  curl http://{host}:{port}/\n"
        assert ask(served, "/page.html") == (200, b"<p>a page")
        assert ask(served, "/page.html", range="bytes=3-") == (206, b"a page")
        assert ask(served, "/page.html", "HEAD") == (200, b"")
        assert ask(served, "/page.html", "POST")[0] == 405
        assert b'href="page.html"' in ask(served, "/")[1]
        for uri in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "//secret", "/none"):
            assert ask(served, uri)[0] == 404


@pytest.mark.parametrize(
    "arguments",
    [("--http", "webapp:handler"), ("webapp:factory",), ("webapp:wrapped",), ("webapp:make",)],
    ids=["handler", "factory", "wrapped", "function"],
)
def test_programs(folder: pathlib.Path, arguments: tuple[str, ...]) -> None:
    with serving(*arguments, cwd=folder) as served:
        assert f": {arguments[-1]} on 127.0.0.1:" in served.said
        assert served.hint.startswith("try:  curl http://127.0.0.1:")
        assert ask(served, "/a?b") == (200, b"answer to /a?b\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "files"}, "files needs --root DIR"),
        ({"name": "files", "root": ""}, "--root: a directory is needed"),
        ({"name": "files", "root": "/nowhere"}, "cannot serve '/nowhere': No such file or directory"),
        ({"name": "files", "root": __file__}, "cannot serve .*: Not a directory"),
        ({"name": "files", "root": "a\0"}, "cannot serve .*: .*null"),
        ({"name": "echo", "root": "."}, "--root is for files only"),
        ({"name": "echo", "http": "a:b"}, "--http names the application: leave out APP"),
        ({"http": "here"}, "no application 'here'"),
        ({"http": "echo"}, "no application 'echo': --http takes package.module:handler"),
        ({"http": "no.module:here"}, "no module named 'no'"),
        ({"http": f"{__name__}:HTTPFactory"}, "is a factory: give it as APP"),
        ({"http": "reactor.http.files:FilesHandler"}, "is no handler"),
        ({"http": f"{__name__}:GET"}, "is no handler"),
        ({"http": "reactor.http.files:serveFile", "settings": {"MAX_LENGTH": 3}}, "serves HTTP"),
        ({"name": "files", "root": ".", "settings": {"MAX_LENGTH": 3}}, "servers of lines, and files serves HTTP"),
        ({"name": "files", "root": ".", "output": "x"}, "--output is for collect only"),
    ],
)
def test_mistakes(arguments: dict[str, object], message: str) -> None:
    settings: object = arguments.pop("settings", {})
    name, output = arguments.pop("name", None), arguments.pop("output", None)
    with pytest.raises(CommandError, match=message):
        makeApplication(name, settings, output, lambda error: None, **arguments)  # type: ignore[arg-type]


def test_anErrorIsOneLine(folder: pathlib.Path) -> None:
    done = run("serve", "files", "--root", "secret", cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "python -m reactor serve: cannot serve 'secret': Not a directory\n"


def test_theFactoryBehindWrappers() -> None:
    factory = HTTPFactory()
    assert webFactoryOf(WrappingFactory(WrappingFactory(factory))) is factory
    loop = WrappingFactory(factory)
    loop.wrappedFactory = loop
    assert webFactoryOf(loop) is None


# The log.


def test_theAccessLog(folder: pathlib.Path) -> None:
    """One line a request, whatever the client sends; and none unless it is asked for."""
    with serving("files", "--root", "root", "--log-level", "info", cwd=folder) as served:
        # the first two lines are a record of the log, and what Served takes for the hint
        port = int(re.findall(r":(\d+) \(line core", served.said + served.hint)[0])
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
            client.sendall(
                b'GET /page.html?"q HTTP/1.1\r\nHost: a\r\nUser-Agent: a"b\\ \xff\x80\r\n\r\n'
                b"GET /none HTTP/1.1\r\nHost: a\r\nReferer: http://x/\r\nConnection: close\r\n\r\n"
            )
            assert readAll(client).count(b"HTTP/1.1 ") == 2
        served.stop()
        assert served.wait() == 0
    lines = [line for line in served.log.decode().splitlines() if "reactor.http.access" in line]
    date = r"\d+-\d+-\d+T\d+:\d+:\d+\.\d+Z INFO reactor.http.access: 127.0.0.1 "
    assert len(lines) == 2
    assert re.fullmatch(date + r'"GET /page\.html\?\\"q HTTP/1\.1" 200 9 "-" "a\\"b\\\\ \\xff\\x80"', lines[0])
    assert re.fullmatch(date + r'"GET /none HTTP/1\.1" 404 \d+ "http://x/" "-"', lines[1])


# The end in order.


Open = Callable[..., socket.socket]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Connects to a server, and sends something; at the end of the test the connections are closed."""
    with ExitStack() as stack:

        def connect(served: Served, sent: bytes = b"") -> socket.socket:
            client = stack.enter_context(served.connect())
            client.sendall(sent)
            return client

        yield connect


@pytest.fixture
def slow(folder: pathlib.Path) -> Iterator[tuple[Served, pathlib.Path]]:
    """A server whose handler takes a second; its standard output tells when one has begun."""
    output = folder / "begun"
    with output.open("wb") as file, serving("--http", "webapp:handler", cwd=folder, stdout=file) as served:
        yield served, output


def readSome(client: socket.socket, end: bytes) -> bytes:
    """Read up to `end`."""
    data = b""
    while not data.endswith(end):
        part = client.recv(4096)
        assert part, data
        data += part
    return data


def waitFor(output: pathlib.Path, count: int) -> None:
    end = time.monotonic() + DEADLINE
    while output.read_bytes().count(b"begun") < count:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_aStopAnswersAndClosesInOrder(opened: Open, slow: tuple[Served, pathlib.Path]) -> None:
    """Requests that have come are answered, the last with `Connection: close`. Connections without one just end."""
    served, output = slow
    idle, used = opened(served), opened(served, GET % b"/first")
    assert readSome(used, b"answer to /first\n")
    part = opened(served, b"GET / HTTP/1.1\r\nHost: an")  # the first line is taken, these 8 bytes are no line yet
    one, two = opened(served, GET % b"/slow"), opened(served, (GET % b"/slow") * 2)
    waitFor(output, 3)
    served.stop()
    for client in (idle, used, part):
        assert client.recv(1000) == b""
    answers = [readAll(client).decode() for client in (one, two)]
    assert [answer.count("HTTP/1.1 200 OK") for answer in answers] == [1, 2]
    for answer in answers:
        head, _, body = answer.rpartition("\r\n\r\n")
        assert body == "answer to /slow\n"
        assert "Connection: close" in head.rpartition("HTTP/1.1")[2]
        assert answer.count("Connection: close") == 1
    for client in (idle, used, part, one, two):
        client.close()
    assert served.wait() == 0
    (record,) = served.log.decode().splitlines()
    assert "8 bytes were not taken from 1 connections" in record


def test_whatWasSentBeforeTheSignalIsAnswered(opened: Open, folder: pathlib.Path) -> None:
    """Requests that the kernel has are read and answered; the signal is handled before them or behind them."""
    count = 40
    with serving("--http", "webapp:plain", cwd=folder) as served:
        clients = [opened(served) for _ in range(5)]
        served.process.send_signal(signal.SIGSTOP)
        for client in clients:
            client.sendall((GET % b"/") * count)
        served.stop()
        served.process.send_signal(signal.SIGCONT)
        for client in clients:
            answered = readAll(client)
            assert answered.count(b"\r\n\r\nplain") == count
            client.close()
        assert served.wait() == 0
        assert served.log == b""


def test_aClientThatStaysAfterItsLastAnswer(opened: Open, slow: tuple[Served, pathlib.Path]) -> None:
    """The server has ended its half before the signal. So nothing is owed, and the stop is in order."""
    served, _output = slow
    with opened(served, b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") as client:
        assert b"answer to /x" in readAll(client)
        served.stop()
        assert served.wait() == 0
    assert served.log == b""  # at the deadline it would have been reset, and the log would tell


# The time between requests.


def test_idleConnections(opened: Open, folder: pathlib.Path) -> None:
    """They are closed. One whose answer takes longer, or whose download does, is not idle."""
    large = folder / "root" / "large"
    with large.open("wb") as file:
        file.truncate(30_000_000)
    with serving("--http", "webapp:handler", "--idle-timeout", "0.3", cwd=folder) as served:
        waits, idle = opened(served, GET % b"/slow"), opened(served)
        assert idle.recv(100) == b""
        answer = readSome(waits, b"answer to /slow\n")
        assert b"Connection: close" not in answer
        assert waits.recv(100) == b""
    with serving("files", "--root", "root", "--idle-timeout", "0.2", cwd=folder) as served:
        got = 0
        with opened(served, b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") as client:
            end = time.monotonic() + 1.0
            while time.monotonic() < end:
                got += len(client.recv(65536))
                time.sleep(0.02)
            got += len(readAll(client))
        assert got > 30_000_000


# Other transports.


@pytest.mark.needs("curl")
def test_unixSocketsAndTLS(folder: pathlib.Path) -> None:
    """The command's hint works as it stands."""
    listen = ("--listen", "unix:web.sock", "--listen", f"ssl:0:privateKey={certificatePath()}")
    for chosen in (listen, listen[2:]):
        with serving("files", "--root", "root", *chosen, cwd=folder) as served:
            command = served.hint.removeprefix("try:  ").split()
            got = subprocess.run([*command, "-s"], capture_output=True, timeout=DEADLINE, check=True, cwd=folder)
            assert b'href="page.html"' in got.stdout
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            with context.wrap_socket(served.connect()) as client:
                client.sendall(GET % b"/page.html")
                assert b"<p>a page" in readSome(client, b"<p>a page")


# A browser.


def pixelsOf(png: bytes) -> tuple[int, int, set[bytes]]:
    """The width and height of a picture, and the colours in a sample of its lines that use no filter but `none`."""
    width, height, _depth, kind = struct.unpack(">IIBB", png[16:26])
    size = {2: 3, 6: 4}[kind]
    data, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    return width, height, {raw[at : at + size] for at in range(1, len(raw) - size, 997)}


@pytest.mark.needs("chromium")
def test_aBrowserShowsAPicture(tmp_path: pathlib.Path) -> None:
    """Headless Chromium gets docs/bench/cpython-311/requests.svg from the command, and draws it."""
    browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    picture = tmp_path / "picture.png"
    with serving("files", "--root", str(DOCS)) as served:
        host, port = served.address
        uri = f"http://{host}:{port}/bench/cpython-311/requests.svg"
        for options in (("--dump-dom",), (f"--screenshot={picture}", "--window-size=1300,500")):
            shown = subprocess.run([*browser, *options, uri], capture_output=True, timeout=90, check=True)
            if options == ("--dump-dom",):
                assert b"<svg" in shown.stdout
                assert b'id="axes_1"' in shown.stdout
        listing = subprocess.run(
            [*browser, "--dump-dom", f"http://{host}:{port}/bench/cpython-311/"],
            capture_output=True,
            timeout=90,
            check=True,
        )
        assert b'<a href="requests.svg">requests.svg</a>' in listing.stdout
    width, height, colours = pixelsOf(picture.read_bytes())
    assert (width, height) == (1300, 500)
    assert len(colours) > 8  # an empty page has one
