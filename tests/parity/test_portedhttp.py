"""An HTTP server written for Twisted, in processes of its own: with Twisted's imports and with ours, over real sockets.

The program's text is one. Real clients fetch the same from both, and get the same.
"""

from __future__ import annotations

import hashlib
import http.client
import select
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest

DEADLINE = 20.0

IMPORTS = {
    "ours": """
import reactor
from reactor import Deferred, FileSender
from reactor import http
""",
    "twisted": """
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.protocols.basic import FileSender
from twisted.web import http
""",
}

PROGRAM = '''
import hashlib
import io
import sys


class Numbers:
    """A push producer: it writes until it is paused."""

    def __init__(self, request, count):
        self.request, self.left, self.isPaused, self.pauses = request, count, False, 0
        request.registerProducer(self, True)
        self.resumeProducing()

    def resumeProducing(self):
        self.isPaused = False
        while self.left and not self.isPaused:
            self.left -= 1
            self.request.write(b"%08d" % self.left * 1000)
        if not self.left and self.request is not None:
            request, self.request = self.request, None
            request.unregisterProducer()
            request.finish()

    def pauseProducing(self):
        self.isPaused = True

    def stopProducing(self):
        self.left, self.request = 0, None
        self.isPaused = True


class Request(http.Request):
    def process(self):
        getattr(self, "get_" + self.path[1:].decode() or "get_index", self.missing)()

    def answer(self, body, code=200):
        self.setResponseCode(code)
        self.setHeader("content-type", "text/plain; charset=utf-8")
        self.setHeader("content-length", str(len(body)))
        self.write(body)
        self.finish()

    def missing(self):
        self.answer(b"nothing here", http.NOT_FOUND)

    def get_index(self):
        self.answer(b"index")

    def get_echo(self):
        parts = [self.method, self.uri, self.clientproto, self.getRequestHostname(), self.getUser(), self.getPassword()]
        parts += [b"%s=%s" % (k, b"|".join(v)) for k, v in sorted(self.args.items())]
        parts += [b"%s~%s" % item for item in sorted(self.received_cookies.items())]
        self.answer(b"\\n".join(parts))

    def get_digest(self):
        self.answer(hashlib.sha256(self.content.read()).hexdigest().encode())

    def get_chunks(self):
        for number in range(5):
            self.write(b"chunk %d\\n" % number)
        self.finish()

    def get_later(self):
        self.write(b"now ")
        reactor.callLater(0.02, self.rest)

    def rest(self):
        self.write(b"and later")
        self.finish()

    def get_push(self):
        Numbers(self, 2000)

    def get_pull(self):
        sender = FileSender()
        sent = sender.beginFileTransfer(io.BytesIO(b"0123456789" * 200000), self)
        sent.addCallback(lambda _: (self.unregisterProducer() if self.producer else None, self.finish()))

    def get_cookie(self):
        self.addCookie("a", "b", path="/", httpOnly=True)
        self.addCookie(b"c", b"d", max_age=b"5", sameSite="lax")
        self.answer(b"")

    def get_there(self):
        self.redirect(b"/index")
        self.setHeader(b"content-length", b"0")
        self.finish()

    def get_cached(self):
        if self.setETag(b'"tag"') or self.setLastModified(784111777):
            self.finish()
        else:
            self.answer(b"cached")

    def get_lost(self):
        self.notifyFinish().addErrback(lambda why: report("lost " + why.type.__name__))
        report("waiting")

    def get_error(self):
        raise RuntimeError("as the test says")


def report(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


class Channel(http.HTTPChannel):
    requestFactory = Request


class Factory(http.HTTPFactory):
    protocol = Channel

    def log(self, request):
        pass


port = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
report(str(port.getHost().port))
reactor.run()
'''


class Server:
    def __init__(self, side: str) -> None:
        command = [sys.executable, "-W", "ignore", "-c", IMPORTS[side] + PROGRAM]
        self.side = side
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.port = int(self.line())

    def line(self) -> str:
        """The next line that the program prints."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], DEADLINE)[0]
        return self.process.stdout.readline().strip()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def servers() -> Iterator[list[Server]]:
    made = [Server("ours"), Server("twisted")]
    yield made
    for server in made:
        server.close()


Answer = tuple[int, list[tuple[str, str]], bytes]


def fetch(
    connection: http.client.HTTPConnection, target: str, method: str = "GET", body: Any = None, **fields: str
) -> Answer:
    """The code, the fields that both send, and the body of an answer. A list as a body is sent in chunks."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    connection.request(method, target, body=iter(body) if isinstance(body, list) else body, headers=headers)
    response = connection.getresponse()
    data = response.read()
    told = [(name.lower(), value) for name, value in response.getheaders() if name.lower() != "date"]
    return response.status, sorted(told), data


FORM = urllib.parse.urlencode({"a": "ü b", "c": "d&e"})
REQUESTS: dict[str, Callable[[http.client.HTTPConnection], Answer]] = {
    "index": lambda c: fetch(c, "/index"),
    "missing": lambda c: fetch(c, "/nowhere"),
    "head": lambda c: fetch(c, "/index", "HEAD"),
    "query": lambda c: fetch(c, "/echo?x=1&y=%20&x=2", Cookie="m=n; o=p", Authorization="Basic dXNlcjpwYXNz"),
    "form": lambda c: fetch(c, "/echo", "POST", FORM, Content_Type="application/x-www-form-urlencoded"),
    "digest": lambda c: fetch(c, "/digest", "PUT", bytes(range(256)) * 1000),
    "chunkedUpload": lambda c: fetch(c, "/digest", "POST", [b"piece" * 1000] * 50),
    "chunks": lambda c: fetch(c, "/chunks"),
    "later": lambda c: fetch(c, "/later"),
    "push": lambda c: fetch(c, "/push"),
    "pull": lambda c: fetch(c, "/pull"),
    "cookie": lambda c: fetch(c, "/cookie"),
    "redirect": lambda c: fetch(c, "/there"),
    "conditional": lambda c: fetch(c, "/cached", If_None_Match='"tag"'),
    "modified": lambda c: fetch(c, "/cached", If_Modified_Since="Sun, 06 Nov 1994 08:49:37 GMT"),
    "unconditional": lambda c: fetch(c, "/cached"),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_aRequest(servers: list[Server], name: str) -> None:
    answers = []
    for server in servers:
        connection = server.connection()
        answers.append([REQUESTS[name](connection) for _ in range(2)])  # the second over the same connection
        connection.close()
    ours, theirs = answers
    assert ours == theirs
    assert ours[0][0] in (200, 302, 304, 404)


def test_allOverOneConnection(servers: list[Server]) -> None:
    answers = []
    for server in servers:
        connection = server.connection()
        answers.append([ask(connection) for ask in REQUESTS.values()])
        answers[-1].append((connection.sock is not None, [], b""))  # it is open still
        connection.close()
    ours, theirs = answers
    assert ours == theirs
    digest = hashlib.sha256(b"piece" * 50000).hexdigest().encode()
    assert digest in [body for _code, _fields, body in ours]


def test_aClientOfHTTP10(servers: list[Server]) -> None:
    bodies = []
    for server in servers:
        for target in ("/index", "/chunks", "/later", "/push"):
            with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as client:
                client.sendall(f"GET {target} HTTP/1.0\r\n\r\n".encode())
                data = b"".join(iter(lambda: client.recv(65536), b""))
            bodies.append(data.partition(b"\r\n\r\n")[2])
    assert bodies[:4] == bodies[4:]
    assert len(bodies[3]) == 16_000_000


def test_aClientThatLeaves(servers: list[Server]) -> None:
    for server in servers:
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as client:
            client.sendall(b"GET /lost HTTP/1.1\r\nHost: x\r\n\r\n")
            assert server.line() == "waiting"
        assert server.line() == "lost ConnectionDone"


def test_aClientThatStopsReading(servers: list[Server]) -> None:
    """A producer is stopped with the connection, and the server serves others meanwhile and afterwards."""
    for server in servers:
        with socket.create_connection(("127.0.0.1", server.port), DEADLINE) as client:
            client.sendall(b"GET /push HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(10)
            connection = server.connection()
            assert fetch(connection, "/index")[2] == b"index"
        assert fetch(connection, "/index")[2] == b"index"
        connection.close()


def test_anErrorOfTheProgram(servers: list[Server]) -> None:
    """It costs one answer here, one connection there, and other clients nothing."""
    for server in servers:
        connection = server.connection()
        if server.side == "ours":
            code, _fields, body = fetch(connection, "/error")
            assert (code, b"as the test says" in body) == (500, False)
            assert fetch(connection, "/index")[2] == b"index"
        else:
            with pytest.raises(ConnectionError):
                fetch(connection, "/error")
        connection.close()
        assert fetch(connection, "/index")[2] == b"index"  # it connects again
        connection.close()
