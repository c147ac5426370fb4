"""TLS connections that end at each step: a program of test_tlsleak.py. It prints as JSON what was left behind.

Server and clients are in one process, and the clients hold the handshake in their hands. Each connection goes as far as
its step, and ends by a FIN or a reset.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import itertools
import json
import os
import socket
import ssl
import sys
import time
from typing import Any

from reactor import LineReceiver, ServerFactory
from tests.battery.forkserver import KINDS
from tests.conftest import openFiles
from tests.support.rawtls import peerContext
from tests.support.tlsworlds import HOST, serverOptions
from tests.support.worlds import DEADLINE, OURS, reset, turnUntil

LOOPBACK = "127.0.0.1"
WARM = 0.2
PAGE = os.sysconf("SC_PAGESIZE")
STEPS = ("connected", "half a hello", "hello", "server's flight", "handshake", "line", "answer", "close_notify")
WAYS = list(itertools.product(STEPS, ("FIN", "RST")))


class Echo(LineReceiver):
    counts: collections.Counter[str]

    def handshakeCompleted(self) -> None:
        self.counts["handshakes"] += 1

    def lineReceived(self, line: bytes) -> None:
        self.counts["lines"] += 1
        self.sendLine(line)


class Client:
    """One connection, up to `step`."""

    def __init__(self, leak: Leak, step: str) -> None:
        self.leak = leak
        self.step = step
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = leak.context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        self.sock = socket.create_connection(leak.address)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # a line follows its handshake at once
        self.goAsFar()

    def passed(self, step: str) -> bool:
        return STEPS.index(self.step) > STEPS.index(step)

    def goAsFar(self) -> None:
        if not self.passed("connected"):
            return
        self.tries(self.tls.do_handshake)
        hello = self.outgoing.read()
        self.sock.sendall(hello if self.passed("half a hello") else hello[: len(hello) // 2])
        if not self.passed("hello"):
            return
        self.incoming.write(self.read())
        if not self.passed("server's flight"):
            return
        while not self.tries(self.tls.do_handshake):
            self.flush()
            self.incoming.write(self.read())
        self.flush()
        if self.passed("handshake"):
            self.tls.write(b"a line\r\n")
            self.flush()
        if self.passed("line"):
            while not self.tries(self.tls.read, 100):
                self.incoming.write(self.read())
        if self.passed("answer"):
            self.tries(self.tls.unwrap)
            self.flush()

    def tries(self, call: Any, *arguments: Any) -> bool:
        """Make a call of `ssl`; whether it needs nothing more."""
        try:
            call(*arguments)
        except ssl.SSLWantReadError:
            return False
        return True

    def flush(self) -> None:
        self.sock.sendall(self.outgoing.read())

    def read(self) -> bytes:
        """Turn until the server has sent something, and return it. No turn sleeps: the client is no event."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            self.leak.reactor.iterate()
            with contextlib.suppress(BlockingIOError):
                return self.sock.recv(1 << 16)
        raise AssertionError("the server says nothing")


class Leak:
    """The server, and its connections, one after the other."""

    def __init__(self, kind: str) -> None:
        self.reactor = KINDS[kind]()
        self.context = peerContext(isClient=True)
        self.counts = Echo.counts = collections.Counter()
        factory = ServerFactory.forProtocol(Echo)
        factory.noisy = False
        port = self.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        self.address = (LOOPBACK, port.getHost().port)

    def go(self, total: int) -> None:
        for number in range(total):
            step, end = WAYS[number % len(WAYS)]
            client = Client(self, step)
            if end == "FIN":
                client.sock.close()
            else:
                reset(client.sock)
            if number % 8 == 0:
                self.reactor.iterate()

    def look(self) -> dict[str, Any]:
        """Return what the process holds, when the server has seen every end."""
        idle = self.idle
        turnUntil(self.reactor, lambda: len(openFiles()) <= idle and not self.reactor.getDelayedCalls())
        gc.collect()
        kinds = collections.Counter(type(each).__name__ for each in gc.get_objects())
        with open("/proc/self/statm") as file:
            resident = int(file.read().split()[1]) * PAGE
        return {"resident": resident, "blocks": sys.getallocatedblocks(), "kinds": kinds, "files": len(openFiles())}

    def measure(self, total: int) -> dict[str, Any]:
        self.reactor.iterate()
        self.idle = len(openFiles())
        self.go(round(total * WARM) // len(WAYS) * len(WAYS))
        self.look()
        before = self.look()
        self.go(total - round(total * WARM))
        after = self.look()
        kinds = {kind: count - before["kinds"][kind] for kind, count in after["kinds"].items()}
        OURS.close(self.reactor)
        return {
            **{name: after[name] - before[name] for name in ("files", "resident", "blocks")},
            "kinds": {kind: more for kind, more in kinds.items() if more > 0},
            "counts": self.counts,
        }


if __name__ == "__main__":
    print(json.dumps(Leak(sys.argv[1]).measure(int(sys.argv[2]))))
