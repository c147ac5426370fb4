"""The clients over HTTP, for the jobs http-...: as those of loads.py, they check every answer.

A request has eight fields, as a browser sends them. In a `varied` load each of MANY requests has values of its own.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.loads import RUN_DEADLINE, Connected, Idle, connect
from bench.servers.common import BLOCK, HELLO
from bench.work.heads import MANY, headOf
from bench.work.task import WrongAnswer, expect

SOURCE = Path(__file__).resolve().parent / "asker.c"


@functools.cache
def compiled() -> tuple[Path, Any]:
    """Compile the client in C, once a process, and return its path and the folder that holds it until the end."""
    folder = tempfile.TemporaryDirectory(prefix="linereactor-bench-")
    path = Path(folder.name) / "asker"
    subprocess.run(["cc", "-O2", "-o", path, SOURCE], check=True)
    return path, folder


def requestOf(number: int = 0, body: bytes = b"") -> bytes:
    """Return a request: GET, or POST with a body."""
    if not body:
        return headOf(number)
    return headOf(number, b"POST", extra=b"Content-Length: %d\r\n" % len(body)) + body


class Asked:
    """Requests by the client in C. The unit is a request.

    Options: `connections`; `pipeline`, the requests in flight on each of them; `varied`, see above. `body` is the
    number of bytes of a request's body; the right answer is then its SHA-256.
    """

    def __init__(
        self, port: int, tls: bool, connections: int = 64, pipeline: int = 1, varied: bool = False, body: int = 0
    ) -> None:
        self.port = port
        self.connections = connections
        self.pipeline = pipeline
        sent = BLOCK[:body]
        self.wanted = hashlib.sha256(sent).hexdigest() if sent else HELLO.decode()
        requests = [requestOf(number, sent) for number in range(1, MANY + 1)] if varied else [requestOf(0, sent)]
        self.length = len(requests[0])
        self.requests = b"".join(requests) * (1 if varied else pipeline)

    def round(self, count: int) -> int:
        step = self.connections * self.pipeline
        return -(-count // step) * step

    def run(self, count: int) -> float:
        path, _folder = compiled()
        numbers = (self.port, self.connections, self.pipeline, count, self.length)
        command = [str(path), *map(str, numbers), self.wanted]
        done = subprocess.run(command, input=self.requests, capture_output=True, timeout=RUN_DEADLINE, check=False)
        if done.returncode:
            raise WrongAnswer(f"the client ended with {done.returncode}: {done.stdout.decode('latin-1').strip()}")
        return float(done.stdout)

    def close(self) -> None:
        pass


def exchange(sock: Any, request: bytes, wanted: bytes) -> None:
    """Send a request, and read its answer, which must be 200 with the body `wanted`."""
    sock.sendall(request)
    response = http.client.HTTPResponse(sock)
    try:
        response.begin()
        expect("the status", response.status, 200)
        expect("the answer", response.read(len(wanted) + 1), wanted)
    except http.client.HTTPException as error:
        raise WrongAnswer(f"no answer: {error!r}") from error
    finally:
        response.close()


class Upload(Connected):
    """A body to the server, in writes of 64 KiB, whose length is the answer. The unit is a byte."""

    def round(self, count: int) -> int:
        return -(-count // len(BLOCK)) * len(BLOCK)

    def send(self, count: int) -> None:
        (sock,) = self.sockets
        sock.sendall(headOf(0, b"POST", extra=b"Content-Length: %d\r\n" % count))
        for _ in range(count // len(BLOCK) - 1):
            sock.sendall(BLOCK)
        exchange(sock, BLOCK, b"%d bytes\r\n" % count)


class Download(Connected):
    """A body from the server, every byte compared. The unit is a byte."""

    def send(self, count: int) -> None:
        (sock,) = self.sockets
        sock.sendall(headOf(0, target=b"/?%d" % count))
        response = http.client.HTTPResponse(sock)
        response.begin()
        expect("the status", response.status, 200)
        buffer = memoryview(bytearray(4 * len(BLOCK)))
        twice = BLOCK * 5
        done = 0
        while size := response.readinto(buffer):
            begin = done % len(BLOCK)
            if buffer[:size] != twice[begin : begin + size]:
                raise WrongAnswer(f"a wrong byte within {size} after {done}")
            done += size
        expect("bytes", done, count)


class Kept(Idle):
    """Connections that have each asked once; `finish` asks again, and sees that all are still served."""

    def send(self, count: int) -> None:
        for _ in range(count):
            sock = connect(self.port)
            self.sockets.append(sock)
            exchange(sock, requestOf(), HELLO)

    def finish(self) -> None:
        for sock in self.sockets:
            exchange(sock, requestOf(), HELLO)


class Greeting(Connected):
    """One request on each connection. The unit is a request."""

    def send(self, count: int) -> None:
        for _ in range(count):
            for sock in self.sockets:
                exchange(sock, requestOf(), HELLO)


class Digesting(Connected):
    """One request with a body on each connection. The unit is a request."""

    def send(self, count: int) -> None:
        body = BLOCK[:1024]
        for _ in range(count):
            for sock in self.sockets:
                exchange(sock, requestOf(0, body), hashlib.sha256(body).hexdigest().encode())


HTTP_LOADS: dict[str, Any] = {"http": Asked, "http-up": Upload, "http-down": Download, "http-idle": Kept}
