"""Secret tokens on connections whose descriptors are used again at once: a program of test_crosstalk.py.

`python -m tests.battery.crosstalk KIND LIVES` starts its server and prints as JSON what both have seen. It is to run in
a network namespace of its own. `python -m tests.battery.crosstalk KIND` is the server.

The server answers each line with a digest of it and the connection's token. A stale event, or output that goes to the
next owner of a descriptor, shows as a digest that its client does not expect.
"""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import logging
import os
import random
import selectors
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

from reactor import ClientFactory, LineReceiver, Protocol, ServerFactory
from tests.battery.forkserver import KINDS
from tests.conftest import openFiles
from tests.support.tlsworlds import serverOptions

LOOPBACK = "127.0.0.1"
AT_ONCE = 64
VICTIMS = 10
RESET = struct.pack("ii", 1, 0)
DEADLINE = 30.0
END = b"\r\n"


def digest(token: bytes, line: bytes) -> bytes:
    return hashlib.sha256(token + line).hexdigest().encode()


class Tokens(LineReceiver):
    """The first line is the connection's token. The others are answered, or are orders."""

    server: Server
    token: bytes | None = None
    isOver = False

    def connectionMade(self) -> None:
        self.server.open[self] = None

    def dataReceived(self, data: bytes) -> Any:
        self.server.counts["events after the end"] += self.isOver
        return super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        if line == b"look":
            self.sendLine(self.server.look())
        elif line == b"tls":
            self.transport.startTLS(serverOptions())
        elif self.token is None:
            self.token = line
        elif line == b"boom":
            self.server.boom(self)
        else:
            self.server.answered()
            self.sendLine(digest(self.token, line))

    def connectionLost(self, reason: Any = None) -> None:
        self.server.counts["ends told twice"] += self.isOver
        self.isOver = True
        self.server.open.pop(self, None)
        self.server.counts["lost"] += 1


class Cancelled(ClientFactory[Any]):
    """Connects to the server itself, and is cancelled or closed at any time."""

    noisy = False
    protocol = Protocol


class Server:
    """The server, and the work beside it that uses descriptors."""

    def __init__(self, kind: str) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.open: dict[Tokens, None] = {}
        self.held: list[int] = []
        self.random = random.Random(1)
        self.reactor = KINDS[kind]()
        self.isEnding = False
        Tokens.server = self
        factory = ServerFactory.forProtocol(Tokens)
        factory.noisy = False
        self.port = self.reactor.listenTCP(0, factory, backlog=1024, interface=LOOPBACK)
        self.threads = [threading.Thread(target=self.churn, args=(seed,)) for seed in range(2)]

    def churn(self, seed: int) -> None:
        """Open and close pipes and files, in a thread: a number that the server closes is another's at once."""
        rng = random.Random(seed)
        while not self.isEnding:
            files = [*os.pipe(), *os.pipe(), os.open(os.devnull, os.O_RDWR)]
            for number in (files[1], files[3], files[4]):
                os.write(number, b"not for a protocol")
            rng.shuffle(files)
            for number in files:
                os.close(number)
            self.counts["churned"] += len(files)

    def boom(self, cause: Tokens) -> None:
        """Close other connections, of which some are ready in this batch of events, and take their numbers."""
        others = [each for each in self.open if each is not cause]
        for each in self.random.sample(others, min(VICTIMS, len(others))):
            each.transport.abortConnection()
        for number in self.held:
            os.close(number)
        self.held = [number for _ in range(VICTIMS // 2) for number in os.pipe()]
        self.counts["booms"] += 1

    def answered(self) -> None:
        """Connect now and then, and cancel it at some time."""
        self.counts["answered"] += 1
        if self.counts["answered"] % 10 == 0:
            factory = Cancelled()
            connector = self.reactor.connectTCP(LOOPBACK, self.port.getHost().port, factory, timeout=5)
            self.reactor.callLater(self.random.choice([0, 0, 0.001, 0.005]), connector.disconnect)

    def look(self) -> bytes:
        return json.dumps({"counts": self.counts, "files": len(openFiles()), "open": len(self.open)}).encode()

    def run(self) -> None:
        """Serve until the end of standard input."""
        print(self.port.getHost().port, flush=True)

        def waitForTheEnd() -> None:
            sys.stdin.read()
            self.isEnding = True
            self.reactor.callFromThread(self.reactor.stop)

        self.reactor.callInThread(waitForTheEnd)
        for thread in self.threads:
            thread.start()
        self.reactor.run()
        for thread in self.threads:
            thread.join()


class Counting(logging.Handler):
    """Shows errors: there is to be none."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr)


class Life:
    """One client: its token, its lines, and the answers that it has."""

    KINDS = (*("fin", "reset") * 5, *("abort", "hang", "tls", "cancel") * 2, "boom")

    def __init__(self, rng: random.Random, address: tuple[str, int]) -> None:
        self.kind = rng.choice(self.KINDS)
        self.token = rng.randbytes(8).hex().encode()
        self.lines = [rng.randbytes(4).hex().encode() for _ in range(rng.randint(1, 5))]
        self.junk = rng.randbytes(200)
        self.received = b""
        self.sock = socket.socket()
        if self.kind == "cancel":
            self.sock.setblocking(False)
            self.sock.connect_ex(address)
            self.sock.close()
            return
        self.sock.settimeout(DEADLINE)
        self.sock.connect(address)

    def speak(self) -> None:
        """Send everything at once. The server may have closed the connection already."""
        if self.kind == "tls":
            said = b"tls" + END + self.junk
        else:
            orders = [b"boom"] if self.kind == "boom" else []
            said = b"".join(each + END for each in [self.token, *orders, *self.lines])
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(said)
        if self.kind == "abort":
            self.reset()
        else:
            self.sock.setblocking(False)

    @property
    def isOpen(self) -> bool:
        return self.sock.fileno() >= 0

    def hear(self) -> None:
        """Read. The end comes by the server, or when all answers are there."""
        try:
            piece = self.sock.recv(4096)
        except BlockingIOError:
            return
        except ConnectionError:
            piece = b""
        self.received += piece
        if not piece or (self.kind != "tls" and self.received.count(END) >= len(self.lines)):
            self.reset() if self.kind in ("reset", "boom") else self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.sock.close()

    def judge(self, counts: collections.Counter[str]) -> None:
        """Count the answers, and those that are not what comes next for this token."""
        if self.kind == "tls":
            return
        expected = b"".join(digest(self.token, line) + END for line in self.lines)
        counts["right"] += len(self.received) // 66
        counts["asked"] += len(self.lines) if self.kind not in ("abort", "cancel") else 0
        counts["wrong"] += not expected.startswith(self.received)


def wave(rng: random.Random, address: tuple[str, int], count: int, counts: collections.Counter[str]) -> None:
    """Live `count` lives at once. Those that hang read when the others are over."""
    lives = [Life(rng, address) for _ in range(count)]
    for life in lives:
        if life.isOpen:
            life.speak()
    for isHanging in (False, True):
        listen([life for life in lives if life.isOpen and (life.kind == "hang") == isHanging])
    for life in lives:
        life.judge(counts)


def listen(lives: list[Life]) -> None:
    """Have all of them hear until their end."""
    with selectors.DefaultSelector() as selector:
        for life in lives:
            selector.register(life.sock, selectors.EVENT_READ, life)
        while selector.get_map():
            ready = selector.select(DEADLINE)
            assert ready, [(key.data.kind, key.data.received) for key in selector.get_map().values()]
            for key, _ in ready:
                key.data.hear()
                if not key.data.isOpen:
                    selector.unregister(key.fd)


def main(kind: str, total: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.battery.crosstalk", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = (LOOPBACK, int(server.stdout.readline()))
        rng, counts = random.Random(2), collections.Counter[str]()
        for done in range(0, total, AT_ONCE):
            wave(rng, address, min(AT_ONCE, total - done), counts)
        with socket.create_connection(address, DEADLINE) as control, control.makefile("rb") as answers:
            control.sendall(b"look" + END)
            seen = json.loads(answers.readline())
        server.stdin.close()
        code = server.wait(DEADLINE)
    print(json.dumps({"clients": counts, "server": seen["counts"], "code": code}))


if len(sys.argv) == 2:
    logging.getLogger().addHandler(Counting(logging.ERROR))
    sys.unraisablehook = lambda found: logging.error("unraisable", exc_info=found.exc_value)
    Server(sys.argv[1]).run()
else:
    main(sys.argv[1], int(sys.argv[2]))
