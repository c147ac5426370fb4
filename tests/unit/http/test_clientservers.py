"""The HTTP client and servers of others: nginx, Python's http.server, and uvicorn, each a process of its own."""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from reactor.defer import Deferred
from reactor.http.client import Client
from reactor.http.clienterrors import BodyTooLarge, NoResponse
from tests.support.httpclients import ServerWorld
from tests.support.tlsworlds import certificatePath
from tests.support.worlds import DEADLINE, LOOPS, ROOT, refusedPort

LARGE = bytes(range(256)) * 40960  # 10 MiB
PAGE = b"<p>a page</p>\n"
# An address of this process alone (127.0.0.0/8 is all loopback): another one could take a port that is free now.
ADDRESS = "127." + ".".join(str(1 + os.getpid() // 250**power % 250) for power in (2, 1, 0))

NGINX = ROOT / "tests" / "support" / "nginx.conf"

APP = '''
import hashlib, http

async def application(scope, receive, send):
    """Answers with the digest of the body, in chunks, and with a trailer of uvicorn's own making: none."""
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return
        digest.update(event["body"])
        size += len(event["body"])
        more = event["more_body"]
    headers = [(b"x-size", b"%d" % size)]
    if scope["path"] == "/length":
        headers.append((b"content-length", b"64"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    text = digest.hexdigest().encode()
    await send({"type": "http.response.body", "body": text[:32], "more_body": True})
    await send({"type": "http.response.body", "body": text[32:]})
'''

HANDLER = """
import hashlib, http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = sys.argv[2]

    def do_GET(self):
        self.answer(b"hello")

    def do_HEAD(self):
        self.answer(b"hello")

    def do_POST(self):
        self.answer(hashlib.sha256(self.rfile.read(int(self.headers["Content-Length"]))).hexdigest().encode())

    def answer(self, body):
        self.send_response(200)
        if self.path != "/until-close":
            self.send_header("Content-Length", str(len(body)))
        else:
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer((sys.argv[3], int(sys.argv[1])), Handler).serve_forever()
"""

Start = Callable[..., None]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a server, and waits until it listens on a port; the process ends with the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def run(port: int, *command: str) -> None:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        processes.append(process)
        while process.poll() is None:
            try:
                socket.create_connection((ADDRESS, port), DEADLINE).close()
            except ConnectionRefusedError:
                continue
            return
        raise AssertionError(process.communicate()[0])

    yield run
    for process in processes:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[ServerWorld]:
    made = ServerWorld(request.param, isTLS=True)
    yield made
    made.close()


def digestOf(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 50000):
        yield data[at : at + 50000]


@pytest.fixture
def nginx(start: Start, tmp_path: pathlib.Path) -> list[str]:
    """The URLs of an nginx, plain and with TLS, without the last slash."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "page.html").write_bytes(PAGE)
    (files / "large.bin").write_bytes(LARGE)
    (files / "ssi.html").write_bytes(b"<!--#echo var='none' -->" + PAGE * 1000)
    port, tls = refusedPort(), refusedPort()
    text = NGINX.read_text()
    values = {"folder": tmp_path, "host": ADDRESS, "port": port, "tls": tls, "certificate": certificatePath()}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    (tmp_path / "nginx.conf").write_text(text)
    command = shutil.which("nginx")
    assert command is not None
    start(port, command, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log"))
    return [f"http://{ADDRESS}:{port}", f"https://{ADDRESS}:{tls}"]


@pytest.mark.needs("nginx")
def test_nginx(world: ServerWorld, nginx: list[str]) -> None:
    """Keep-alive, HEAD, ranges, 304, chunks, 10 MiB, 204, redirects, and 413 to an upload, plain and with TLS."""

    async def run(root: str) -> None:
        async with Client(world.reactor, context=world.context) as client:
            for _ in range(5):
                page = await client.request("GET", f"{root}/page.html")
                assert await page.body == PAGE
            (etag,) = page.headers.getRawHeaders(b"etag", [])
            head = await client.request("HEAD", f"{root}/page.html")
            assert (head.code, await head.body) == (200, b"")
            assert head.headers.getRawHeaders("content-length") == [str(len(PAGE))]
            unchanged = await client.request("GET", f"{root}/page.html", {"If-None-Match": etag})
            assert (unchanged.code, await unchanged.body) == (304, b"")
            part = await client.request("GET", f"{root}/large.bin", {"Range": "bytes=1000-1999"})
            assert (part.code, await part.body) == (206, LARGE[1000:2000])
            chunked = await client.request("GET", f"{root}/chunked")
            assert chunked.headers.getRawHeaders("transfer-encoding") == ["chunked"]
            assert (await chunked.body).endswith(PAGE * 1000)
            none = await client.request("GET", f"{root}/none")
            assert (none.code, await none.body) == (204, b"")
            moved = await client.request("GET", f"{root}/elsewhere")
            assert moved.code == 301
            assert moved.headers.getRawHeaders("location") == ["http://other.test/"]
            assert b"301" in await moved.body
            large = await client.request("GET", f"{root}/large.bin")
            assert await large.body.whole(len(LARGE)) == LARGE
            assert (client.openedCount, client.repeatedCount) == (1, 0)
            streamed = await client.request("GET", f"{root}/large.bin")
            digest = hashlib.sha256()
            async for piece in streamed.body:
                digest.update(piece)
            assert digest.hexdigest().encode() == digestOf(LARGE)
            with pytest.raises(BodyTooLarge):
                await (await client.request("GET", f"{root}/large.bin")).body
            assert (await client.request("GET", f"{root}/missing")).code == 404

    for root in nginx:
        world.run(run(root))


@pytest.mark.needs("nginx")
def test_uploadsToNginx(world: ServerWorld, nginx: list[str]) -> None:
    """Its limit is told before the body is sent, with `Expect` and without."""

    async def run(root: str) -> None:
        async with Client(world.reactor, context=world.context) as client:
            for body in (LARGE, pieces(LARGE)):
                answer = await client.request("POST", f"{root}/any", body=body)
                assert (answer.code, await answer.body) == (204, b"")
            refused = await client.request("POST", f"{root}/small", {"Expect": "100-continue"}, LARGE)
            assert refused.code == 413
            assert b"413" in await refused.body
            accepted = await client.request("POST", f"{root}/any", {"Expect": "100-continue"}, LARGE)
            assert accepted.code == 204

    for root in nginx:
        world.run(run(root))


@pytest.mark.needs("nginx")
def test_nginxEndsItsConnections(world: ServerWorld, nginx: list[str]) -> None:
    """After some requests it says `Connection: close`; at /nothing it closes without an answer."""

    async def run(root: str) -> None:
        async with Client(world.reactor, context=world.context) as client:
            for _ in range(6):
                assert await (await client.request("GET", f"{root}/few")).body == PAGE
            assert (client.openedCount, client.reusedCount) == (3, 3)
            with pytest.raises(NoResponse):
                await client.request("GET", f"{root}/nothing")

    for root in nginx:
        world.run(run(root))


@pytest.mark.needs("nginx")
def test_manyAtOnceToNginx(world: ServerWorld, nginx: list[str]) -> None:
    async def one(client: Client, root: str) -> bytes:
        return await (await client.request("GET", f"{root}/page.html")).body

    async def run(root: str) -> None:
        async with Client(world.reactor, context=world.context) as client:
            asked = [Deferred.fromCoroutine(one(client, root)) for _ in range(100)]
            assert [await each for each in asked] == [PAGE] * 100
            assert client.openedCount == 10

    for root in nginx:
        world.run(run(root))


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_httpServer(world: ServerWorld, start: Start, version: str) -> None:
    port = refusedPort()
    start(port, sys.executable, "-c", HANDLER, str(port), version, ADDRESS)
    root = f"http://{ADDRESS}:{port}"

    async def run() -> None:
        async with Client(world.reactor) as client:
            for path in ("/", "/until-close", "/"):
                answer = await client.request("GET", root + path)
                assert (answer.code, answer.version) == (200, version.encode())
                assert await answer.body == b"hello"
            head = await client.request("HEAD", f"{root}/")
            assert (head.headers.getRawHeaders("content-length"), await head.body) == (["5"], b"")
            posted = await client.request("POST", f"{root}/", body=LARGE)
            assert await posted.body == digestOf(LARGE)
            headers = {"Content-Length": str(len(LARGE)), "Expect": "100-continue"}
            posted = await client.request("POST", f"{root}/", headers, pieces(LARGE))
            assert await posted.body == digestOf(LARGE)
            assert client.openedCount == (2 if version == "HTTP/1.1" else 6)

    world.run(run())


@pytest.mark.parametrize("parser", ["h11", "httptools"])
def test_uvicorn(world: ServerWorld, start: Start, tmp_path: pathlib.Path, parser: str) -> None:
    (tmp_path / "app.py").write_text(textwrap.dedent(APP))
    port = refusedPort()
    options = ["--host", ADDRESS, "--port", str(port), "--http", parser, "--app-dir", str(tmp_path)]
    start(port, sys.executable, "-m", "uvicorn", "app:application", "--log-level", "warning", *options)
    root = f"http://{ADDRESS}:{port}"

    async def run() -> None:
        async with Client(world.reactor) as client:
            for path in ("/", "/length"):
                for body in (b"", b"x" * 1000, LARGE):
                    answer = await client.request("PUT", root + path, body=body)
                    assert await answer.body == digestOf(body)
                    assert answer.headers.getRawHeaders("x-size") == [str(len(body))]
                answer = await client.request("PUT", root + path, body=pieces(LARGE))
                assert await answer.body == digestOf(LARGE)
                answer = await client.request("PUT", root + path, {"Expect": "100-continue"}, pieces(LARGE))
                assert await answer.body == digestOf(LARGE)
            assert (client.openedCount, client.repeatedCount) == (1, 0)

    world.run(run())
