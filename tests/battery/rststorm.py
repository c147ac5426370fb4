"""A storm of resets: a program of test_rststorm.py, and the server in it. It prints as JSON what was left behind.

`python -m tests.battery.rststorm KIND TOTAL` is to run in a network namespace of its own: it kills sockets by port.
"""

from __future__ import annotations

import collections
import gc
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from reactor import LineReceiver, ServerFactory
from tests.battery.forkserver import KINDS
from tests.conftest import openFiles

LOOPBACK = "127.0.0.1"
WAVE = 100
WARM = 0.1
FILL = bytes(512 << 10)  # more than the kernel takes for a client that does not read
AT_ONCE = struct.pack("ii", 1, 0)
IDLE = 1.0
DEADLINE = 30.0


class Stormed(LineReceiver):
    """Asks its socket for what a reset one refuses, fills the output of a client, and tells what the process holds."""

    counts: collections.Counter[str]

    def connectionMade(self) -> None:
        self.counts["made"] += 1
        self.transport.setTcpKeepAlive(True)
        self.transport.setTcpNoDelay(False)
        self.transport.getPeer()
        self.transport.getHost()

    def lineReceived(self, line: bytes) -> None:
        if line == b"fill":
            self.transport.write(FILL)
        elif line == b"look":
            begun = time.process_time()
            gc.collect()
            kinds = collections.Counter(type(each).__name__ for each in gc.get_objects())
            found: dict[str, Any] = {
                "begun": begun,
                "files": len(openFiles()),
                "protocols": kinds["Stormed"],
                "transports": kinds["TCPConnection"],
                "counts": self.counts,
            }
            found["ended"] = time.process_time()
            self.sendLine(json.dumps(found).encode())
        else:
            self.sendLine(line)

    def connectionLost(self, reason: Any = None) -> None:
        self.counts["lost"] += 1
        self.counts[type(reason.value).__name__] += 1


class Counting(logging.Handler):
    """Counts records of errors, and shows the first one."""

    def emit(self, record: logging.LogRecord) -> None:
        if not Stormed.counts["errors"]:
            print(self.format(record), file=sys.stderr)
        Stormed.counts["errors"] += 1


def serve(kind: str) -> None:
    """Serve until the end of standard input."""
    Stormed.counts = collections.Counter()
    logging.getLogger().addHandler(Counting(logging.ERROR))
    sys.unraisablehook = lambda found: logging.error("unraisable", exc_info=found.exc_value)
    reactor = KINDS[kind]()
    factory = ServerFactory.forProtocol(Stormed)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, backlog=2048, interface=LOOPBACK)
    print(port.getHost().port, flush=True)
    reactor.callInThread(lambda: (sys.stdin.read(), reactor.callFromThread(reactor.stop)))
    reactor.run()


class Storm:
    """Connections to a server, all of which are reset, in waves of one kind."""

    def __init__(self, kind: str) -> None:
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.battery.rststorm", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.server.stdout is not None
        self.address = (LOOPBACK, int(self.server.stdout.readline()))
        self.control = socket.create_connection(self.address, DEADLINE)
        self.answers = self.control.makefile("rb")

    def ask(self, line: bytes) -> bytes:
        """Send a line on the one connection that stays, and return its answer: the server has turned meanwhile."""
        self.control.sendall(line + b"\r\n")
        return self.answers.readline()

    def look(self) -> dict[str, Any]:
        """Return what the server holds, when no reset is on its way any longer."""
        end = time.monotonic() + DEADLINE
        while True:
            found: dict[str, Any] = json.loads(self.ask(b"look"))
            if found["counts"]["made"] - found["counts"].get("lost", 0) == 1:
                return found
            assert time.monotonic() < end, found

    def connect(self, receiveBuffer: int = 0) -> list[socket.socket]:
        socks = []
        for _ in range(WAVE):
            sock = socket.socket()
            if receiveBuffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
            sock.settimeout(DEADLINE)
            sock.connect(self.address)
            socks.append(sock)
        return socks

    def reset(self, socks: list[socket.socket], end: str) -> None:
        """Reset all: by a close without a linger, or by the system, at the client's end or at the server's."""
        if end == "close":
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        else:
            ours = self.control.getsockname()[1]
            wanted = f"{end} = :{self.address[1]} and not ( sport = :{ours} or dport = :{ours} )"
            command = ["ss", "--kill", "--tcp", "--numeric", "state", "established", *wanted.split()]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        for sock in socks:
            sock.close()

    def beforeTheyAreAccepted(self, end: str) -> None:
        os.kill(self.server.pid, signal.SIGSTOP)
        self.reset(self.connect(), end)
        os.kill(self.server.pid, signal.SIGCONT)

    def whenTheyAreAccepted(self, end: str) -> None:
        self.reset(self.connect(), end)

    def inTheMiddleOfALine(self, end: str) -> None:
        socks = self.connect()
        for sock in socks:
            sock.sendall(b"half a li")
        self.reset(socks, end)

    def withFullOutput(self, end: str) -> None:
        socks = self.connect(4096)
        for sock in socks:
            sock.sendall(b"fill\r\n")
        for sock in socks:
            sock.recv(1)
        self.reset(socks, end)

    def go(self, total: int) -> None:
        kinds: list[Callable[[str], None]] = [
            self.beforeTheyAreAccepted,
            self.whenTheyAreAccepted,
            self.inTheMiddleOfALine,
            self.withFullOutput,
        ]
        ends = ("close", "dport", "close", "sport")
        for wave in range(total // WAVE):
            kinds[wave % 4](ends[wave // 4 % 4])
            assert self.ask(b"still there") == b"still there\r\n"

    def end(self) -> int:
        assert self.server.stdin is not None
        self.server.stdin.close()
        return self.server.wait(DEADLINE)


def main(kind: str, total: int) -> None:
    storm = Storm(kind)
    storm.go(round(total * WARM))
    before = storm.look()
    storm.go(total - round(total * WARM))
    after = storm.look()
    time.sleep(IDLE)  # nothing is to happen for so long
    idle = storm.look()
    left = {name: after[name] - before[name] for name in ("files", "protocols", "transports")}
    code = storm.end()
    print(
        json.dumps({**left, "counts": after["counts"], "idle": (idle["begun"] - after["ended"]) / IDLE, "code": code})
    )


if len(sys.argv) == 2:
    serve(sys.argv[1])
else:
    main(sys.argv[1], int(sys.argv[2]))
