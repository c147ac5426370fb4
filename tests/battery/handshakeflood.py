"""Clients that begin a TLS handshake and do not end it: a program of test_handshakeflood.py, and the server in it.

`python -m tests.battery.handshakeflood KIND COUNT TIMEOUT RATE SECONDS` prints as JSON what a good client has seen
meanwhile. RATE full handshakes a second, or as many as the machine can, come for SECONDS from two processes.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import Any

from reactor import CertificateOptions, LineReceiver, ServerFactory
from tests.battery.forkserver import KINDS
from tests.conftest import openFiles
from tests.support.tlsworlds import HOST, certificatePath

LOOPBACK = "127.0.0.1"
PAGE = os.sysconf("SC_PAGESIZE")
PINGS = 200
FLOODERS = 2  # processes
DEADLINE = 60.0


class Echo(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"%d" % len(openFiles()) if line == b"files" else line)


def serve(kind: str, timeout: float) -> None:
    """Serve until the end of standard input."""
    reactor = KINDS[kind]()
    options = CertificateOptions(certificatePath(), handshakeTimeout=timeout)
    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    port = reactor.listenSSL(0, factory, options, backlog=4096, interface=LOOPBACK)
    print(port.getHost().port, flush=True)
    reactor.callInThread(lambda: (sys.stdin.read(), reactor.callFromThread(reactor.stop)))
    reactor.run()


class Good:
    """A client that ends its handshake, and asks."""

    def __init__(self, context: ssl.SSLContext, address: tuple[str, int]) -> None:
        self.sock = context.wrap_socket(socket.create_connection(address, DEADLINE), server_hostname=HOST)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, line: bytes) -> bytes:
        self.sock.sendall(line + b"\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += self.sock.recv(4096)
        return answer[:-2]

    def pings(self, count: int) -> list[float]:
        """Return the seconds that each answer took."""
        times = []
        for _ in range(count):
            begun = time.monotonic()
            assert self.ask(b"ping") == b"ping"
            times.append(time.monotonic() - begun)
        return times


def p99(times: list[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def untilEvicted(socks: list[socket.socket], good: Good) -> tuple[float, list[float]]:
    """Return when the last of them was closed by the server, and the pings of the good client meanwhile."""
    times: list[float] = []
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_READ)
        end = time.monotonic() + DEADLINE
        while selector.get_map():
            assert time.monotonic() < end
            for key, _ in selector.select(0.01):
                peer: Any = key.fileobj
                try:
                    said = peer.recv(4096)
                except ConnectionError:
                    said = b""
                if not said:
                    selector.unregister(peer)
                    peer.close()
            times += good.pings(1)
    return time.monotonic(), times


def halfAHello(context: ssl.SSLContext) -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOST)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = outgoing.read()
    return hello[: len(hello) // 2]


def insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def flood(port: int, rate: float, seconds: float) -> None:
    """Shake hands at this rate, one after the other, and print as JSON how long each took."""
    context, took = insecure(), []
    begun = due = time.monotonic()
    while due < begun + seconds:
        time.sleep(max(0.0, due - time.monotonic()))
        at = time.monotonic()
        with closing(Good(context, (LOOPBACK, port)).sock):
            took.append(time.monotonic() - at)
        due = max(due + 1 / rate, time.monotonic() - 0.1)
    print(json.dumps(took))


def flooding(port: int, rate: float, seconds: float, good: Good) -> tuple[list[float], list[float]]:
    """Return the seconds of each handshake of the flood, and the pings of the good client meanwhile."""
    command = [sys.executable, "-m", "tests.battery.handshakeflood", str(port), str(rate / FLOODERS), str(seconds), ""]
    flooders = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(FLOODERS)]
    pings: list[float] = []
    while any(flooder.poll() is None for flooder in flooders):
        pings += good.pings(1)
        time.sleep(0.002)
    took: list[float] = []
    for flooder in flooders:
        assert flooder.stdout is not None
        took += json.loads(flooder.stdout.read())
    return took, pings


def resident(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * PAGE


def main(kind: str, count: int, timeout: float, rate: float, seconds: float) -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.battery.handshakeflood", kind, str(timeout)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        address = (LOOPBACK, int(server.stdout.readline()))
        context = insecure()
        good = Good(context, address)
        good.pings(PINGS)
        before = resident(server.pid)

        hello, socks = halfAHello(context), []
        for number in range(count):
            sock = socket.create_connection(address, DEADLINE)
            if number % 2:
                sock.sendall(hello)
            socks.append(sock)
        end = time.monotonic() + DEADLINE
        while int(good.ask(b"files")) < count:
            assert time.monotonic() < end
        opened = time.monotonic()  # the last one has been accepted
        memory = (resident(server.pid) - before) / count
        idle = good.pings(PINGS)
        last, evicting = untilEvicted(socks, good)

        handshakes, flooded = flooding(address[1], rate, seconds, good)
        server.stdin.close()
        code = server.wait(DEADLINE)
    found = {
        "idle": p99(idle),
        "evicting": p99(evicting),
        "flooded": p99(flooded),
        "handshake": p99(handshakes),
        "rate": len(handshakes) / seconds,
        "eviction": last - opened,
        "memory": memory,
        "code": code,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        serve(sys.argv[1], float(sys.argv[2]))
    elif len(sys.argv) == 5:
        flood(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
    else:
        main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
