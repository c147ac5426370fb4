"""The programs of docs/http.md that ask, and the README's with httpx: they run as they stand there."""

from __future__ import annotations

import http.server
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.house.test_docs import DEADLINE, LIBRARIES, PAGES, between, connected, freePorts

PAGE = PAGES["docs/http.md"]
BODY = b"<p>hello</p>\n"


class Handler(http.server.BaseHTTPRequestHandler):
    """Pages, a mirror for chunked bodies, and a page that is seen only after a redirect that sets a cookie."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/seen")
            self.send_header("Set-Cookie", "key=value")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            isRight = self.path != "/seen" or self.headers["Cookie"] == "key=value"
            self.answer(BODY, 200 if isRight else 403)

    def do_POST(self) -> None:
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size + 2)[:-2])
        self.rfile.readline()
        self.answer(b"".join(pieces))

    def answer(self, body: bytes, code: int = 200) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server in threads of this process."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server.server_port
        server.shutdown()
        serving.join(DEADLINE)


def programAt(mark: str) -> str:
    (program,) = re.findall(r"```python\n(.*?)```", between(PAGE, mark), re.DOTALL)
    return str(program)


def outputOf(mark: str, port: int) -> bytes:
    command = [sys.executable, "-c", programAt(mark).replace("7000", str(port))]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_oneRequest(port: int) -> None:
    assert outputOf("http-client", port) == b"200 ['text/html']\n13\n"


def test_aClient(port: int) -> None:
    assert outputOf("http-pool", port) == b"20 4 16\n"


def test_bodiesInPieces(port: int) -> None:
    assert outputOf("http-streams", port) == b"588890\n"


@pytest.mark.parametrize("library", ["httpx", "aiohttp"])
def test_librariesOfAsyncio(port: int, library: str) -> None:
    """A line server that fetches pages by httpx or aiohttp, which follow a redirect and keep its cookie."""
    (free,) = freePorts(1)
    program = LIBRARIES if library == "httpx" else programAt("http-aiohttp")
    assert f"import {library}\n" in program
    command = [sys.executable, "-c", program.replace("7000", str(free))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        with connected(process, free) as client, client.makefile("rb") as answers:
            for path in ("moved", "seen", "page.html"):
                client.sendall(b"http://localhost:%d/%b\r\n" % (port, path.encode()))
            assert [answers.readline() for _ in range(3)] == [b"200, 13 bytes\r\n"] * 3
            client.shutdown(socket.SHUT_WR)
    finally:
        process.kill()
        process.communicate()
