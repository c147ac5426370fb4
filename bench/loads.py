"""The clients. Each is connected when it is made, sends what `run(count)` asks for, and checks every answer.

`run` returns its duration in seconds, by its own clock. WrongAnswer if an answer was missing, wrong or too long.
"""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Protocol

from bench.servers.common import ASKING, BLOCK, HEADER, LAST, PONG
from bench.work.task import WrongAnswer, expect

HOST = "127.0.0.1"
DEADLINE = 20.0
RUN_DEADLINE = 300.0
PING = b"PING\r\n"
ANSWER = PONG + b"\r\n"
QUESTION = ASKING + b"\r\n"


class Load(Protocol):
    """Made as `Load(port, tls, **options)`, with the options of a case."""

    def round(self, count: int) -> int:
        """Return the next number of units that it can do exactly."""

    def run(self, count: int) -> float: ...

    def close(self) -> None: ...


def connect(port: int, tls: bool = False) -> Any:
    """Return a connection to a server on this machine; over TLS its certificate is not checked."""
    sock = socket.create_connection((HOST, port), DEADLINE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not tls:
        return sock
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(sock)


def receive(sock: Any, wanted: bytes, what: str = "an answer") -> None:
    """Read exactly `wanted`."""
    got = sock.recv(len(wanted))
    while len(got) < len(wanted) and wanted.startswith(got):
        data = sock.recv(len(wanted) - len(got))
        if not data:
            break
        got += data
    expect(what, got, wanted)


class Connected:
    """Base of those that connect by themselves. Option: `connections`."""

    def __init__(self, port: int, tls: bool, connections: int = 1) -> None:
        self.port = port
        self.sockets: list[Any] = []
        try:
            for _ in range(connections):
                self.sockets.append(connect(port, tls))
        except BaseException:
            self.close()
            raise

    def round(self, count: int) -> int:
        return count

    def run(self, count: int) -> float:
        begun = time.perf_counter()
        self.send(count)
        return time.perf_counter() - begun

    def send(self, count: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def runTogether(commands: list[list[str]]) -> list[tuple[int, str]]:
    """Run programs at the same time, and return the exit code and the output of each."""
    processes = []
    try:
        for command in commands:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            processes.append(process)
        texts = [process.communicate(timeout=RUN_DEADLINE)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [(process.returncode, text) for process, text in zip(processes, texts, strict=True)]


class RedisBenchmark:
    """redis-benchmark, PING_INLINE.

    Options: `connections`; `pipeline`, the requests in flight on each of them; `clients`, the processes that share them
    equally.
    """

    def __init__(self, port: int, tls: bool, connections: int = 50, pipeline: int = 1, clients: int = 1) -> None:
        self.port = port
        self.connections = connections
        self.pipeline = pipeline
        self.clients = clients

    def round(self, count: int) -> int:
        step = self.connections * self.pipeline
        return -(-count // step) * step

    def run(self, count: int) -> float:
        each = count // self.clients
        command = ["redis-benchmark", "-h", HOST, "-p", str(self.port), "-t", "ping_inline", "-n", str(each)]
        command += ["-c", str(self.connections // self.clients), "-P", str(self.pipeline)]
        begun = time.perf_counter()
        done = runTogether([command] * self.clients)
        took = time.perf_counter() - begun
        return max(self.secondsOf(code, text, each) for code, text in done) or took  # it counts in milliseconds

    def secondsOf(self, code: int, text: str, count: int) -> float:
        """Return the duration that redis-benchmark has told."""
        # A server that is no redis has no CONFIG. The program asks for it before the run, so it is no part of it.
        text = re.sub(r".*(fetch server CONFIG|Fetching server CONFIG).*", "", text)
        completed = re.search(r"(\d+) requests completed in", text)
        rate = re.search(r"throughput summary: ([\d.]+|inf) requests per second", text)
        if code or re.search("error", text, re.IGNORECASE) or completed is None or rate is None:
            raise WrongAnswer(f"redis-benchmark failed with {code}: {text[-300:].strip()}")
        expect("requests completed", int(completed[1]), count)
        return count / float(rate[1])

    def close(self) -> None:
        pass


class OurLoad:
    """`linereactor load`, which checks every line that comes back. Options as those of RedisBenchmark."""

    def __init__(self, port: int, tls: bool, connections: int = 50, pipeline: int = 1, clients: int = 1) -> None:
        self.port = port
        self.connections = connections
        self.pipeline = pipeline
        self.clients = clients

    def round(self, count: int) -> int:
        return max(count, self.connections)

    def run(self, count: int) -> float:
        command = [sys.executable, "-m", "reactor", "load", f"{HOST}:{self.port}", "--lines", str(count)]
        command += ["--connections", str(self.connections), "--pipeline", str(self.pipeline)]
        command += ["--processes", str(self.clients)]
        ((code, text),) = runTogether([command])
        rate = re.search(r"(\d+) lines/s", text)
        if code or rate is None or not text.startswith(f"{count} lines"):
            raise WrongAnswer(f"linereactor load failed with {code}: {text[-300:]}")
        return count / float(rate[1])

    def close(self) -> None:
        pass


class Dialogue(Connected):
    """`pipeline` requests on each connection in turn, then all their answers, each of which must be `answer`."""

    def __init__(self, port: int, tls: bool, connections: int = 50, pipeline: int = 1, answer: bytes = ANSWER) -> None:
        super().__init__(port, tls, connections)
        self.pipeline = pipeline
        self.answer = answer

    def round(self, count: int) -> int:
        step = len(self.sockets) * self.pipeline
        return -(-count // step) * step

    def send(self, count: int) -> None:
        requests, answers = PING * self.pipeline, self.answer * self.pipeline
        for _ in range(count // (len(self.sockets) * self.pipeline)):
            for sock in self.sockets:
                sock.sendall(requests)
            for sock in self.sockets:
                receive(sock, answers)


class Paced(Connected):
    """`rate` requests a second: a burst each millisecond, one request on each of the next connections in turn.

    The answers of a burst must have come before the next one is sent.
    """

    def __init__(self, port: int, tls: bool, connections: int = 100, rate: int = 20_000) -> None:
        super().__init__(port, tls, connections)
        self.burst = min(rate // 1000, connections)
        self.answer = ANSWER if requestsJob() == "pong" else PING

    def round(self, count: int) -> int:
        return -(-count // self.burst) * self.burst

    def send(self, count: int) -> None:
        due = time.perf_counter()
        for begin in range(0, count, self.burst):
            size = len(self.sockets)
            chosen = [self.sockets[number % size] for number in range(begin, begin + self.burst)]
            for sock in chosen:
                sock.sendall(PING)
            for sock in chosen:
                receive(sock, self.answer)
            due += 0.001
            time.sleep(max(due - time.perf_counter(), 0))


class Accepts(Connected):
    """Connect, one request, its answer, close: 16 at a time. The unit is a connection."""

    UNDER_WAY = 16

    def __init__(self, port: int, tls: bool) -> None:
        super().__init__(port, tls, 0)
        self.tls = tls

    def round(self, count: int) -> int:
        return -(-count // self.UNDER_WAY) * self.UNDER_WAY

    def send(self, count: int) -> None:
        for _ in range(count // self.UNDER_WAY):
            for _ in range(self.UNDER_WAY):
                sock = connect(self.port, self.tls)
                self.sockets.append(sock)
                sock.sendall(PING)
            while self.sockets:
                with self.sockets.pop() as sock:
                    receive(sock, ANSWER)


class Ingest(Connected):
    """Lines on several connections, answered by totals alone. Options: `connections`, `length`. The unit is a line."""

    def __init__(self, port: int, tls: bool, connections: int = 10, length: int = 100) -> None:
        super().__init__(port, tls, connections)
        self.length = length
        self.perBlock = max(len(BLOCK) // (length + 2), 1)
        self.block = (b"x" * length + b"\r\n") * self.perBlock

    def round(self, count: int) -> int:
        step = len(self.sockets) * self.perBlock
        return -(-count // step) * step

    def send(self, count: int) -> None:
        blocks = count // (len(self.sockets) * self.perBlock)
        for _ in range(blocks):
            for sock in self.sockets:
                sock.sendall(self.block)
        each = blocks * self.perBlock
        for sock in self.sockets:
            sock.sendall(LAST + b"\r\n")
            with suppress(OSError):  # a server that answers at the last line may have closed already
                sock.shutdown(socket.SHUT_WR)
        for sock in self.sockets:
            wanted = b"%d lines %d bytes\r\n" % (each + 1, each * self.length + len(LAST))
            receive(sock, wanted, "the totals")


class Chat(Connected):
    """One client after the other sends a line, and waits until all have it. The unit is a received line."""

    def __init__(self, port: int, tls: bool, connections: int = 100) -> None:
        super().__init__(port, tls, connections)
        for sock in self.sockets:
            sock.sendall(QUESTION)
        for sock in self.sockets:
            receive(sock, QUESTION, "the sign that one is in the room")

    def round(self, count: int) -> int:
        return -(-count // len(self.sockets)) * len(self.sockets)

    def send(self, count: int) -> None:
        size = len(self.sockets)
        for number in range(count // size):
            line = b"%08d says hello to everybody\r\n" % number
            self.sockets[number % size].sendall(line)
            for sock in self.sockets:
                receive(sock, line, "a line of the chat")


class BulkIn(Connected):
    """Bytes to the server, in writes of 64 KiB. The unit is a byte."""

    def round(self, count: int) -> int:
        return -(-count // len(BLOCK)) * len(BLOCK)

    def send(self, count: int) -> None:
        (sock,) = self.sockets
        sock.sendall(b"%*d" % (HEADER, count) + BLOCK[HEADER:])
        for _ in range(count // len(BLOCK) - 1):
            sock.sendall(BLOCK)
        receive(sock, b"%d bytes\r\n" % count, "the total")


class BulkOut(Connected):
    """Bytes from the server, every one compared. The unit is a byte."""

    def send(self, count: int) -> None:
        (sock,) = self.sockets
        sock.sendall(b"%d\r\n" % count)
        twice = BLOCK * 5
        done = 0
        while data := sock.recv(4 * len(BLOCK)):
            begin = done % len(BLOCK)
            if data != twice[begin : begin + len(data)]:
                raise WrongAnswer(f"a wrong byte within {len(data)} after {done}")
            done += len(data)
            if done >= count:
                break
        expect("bytes", done, count)


class Datagrams(Connected):
    """Datagrams, `window` of them in flight, every answer compared. The unit is a datagram."""

    def __init__(self, port: int, tls: bool, window: int = 32, length: int = 64) -> None:
        super().__init__(port, tls, 0)
        sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sockets.append(sock)
        sock.settimeout(5.0)
        sock.connect((HOST, port))
        self.sent = [b"%0*d" % (length, number) for number in range(window)]

    def round(self, count: int) -> int:
        return -(-count // len(self.sent)) * len(self.sent)

    def send(self, count: int) -> None:
        (sock,) = self.sockets
        for _ in range(count // len(self.sent)):
            for datagram in self.sent:
                sock.send(datagram)
            for datagram in self.sent:
                expect("a datagram", sock.recv(2048), datagram)


class Idle(Connected):
    """Connections that each hold half a line; `finish` sends the other half, and sees that all are still served."""

    HALF = b"PI"

    def send(self, count: int) -> None:
        for _ in range(count):
            sock = connect(self.port)
            self.sockets.append(sock)
            sock.sendall(self.HALF)

    def finish(self) -> None:
        for sock in self.sockets:
            sock.sendall(PING.removeprefix(self.HALF))
        for sock in self.sockets:
            receive(sock, ANSWER)


def requestsJob() -> str:
    """Return the servers' job while requests are measured: `linereactor load` needs its lines back."""
    return "pong" if shutil.which("redis-benchmark") else "echo"


LOADS: dict[str, Any] = {
    "requests": RedisBenchmark if requestsJob() == "pong" else OurLoad,
    "paced": Paced,
    "dialogue": Dialogue,
    "accepts": Accepts,
    "ingest": Ingest,
    "chat": Chat,
    "in": BulkIn,
    "out": BulkOut,
    "datagrams": Datagrams,
    "idle": Idle,
}
