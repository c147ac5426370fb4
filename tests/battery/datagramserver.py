"""Servers of datagrams in processes of their own, which tell over TCP what they have got, and who floods them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from reactor import DatagramProtocol, LineReceiver, ServerFactory
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, ROOT, dial

_PROGRAM = "import sys; from tests.battery import datagramserver as d; getattr(d, sys.argv[1])(*sys.argv[2:])"


class Counting(DatagramProtocol):
    """Counts what it gets, and sends it back if that is asked for."""

    noisy = False

    def __init__(self, answering: bool) -> None:
        self.answering = answering
        self.count = 0

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.count += 1
        if self.answering:
            self.transport.write(datagram, addr)


class Telling(LineReceiver):
    """A line says how large the receive buffer shall be, or is sent back; an empty one asks for the numbers."""

    counting: Counting

    def lineReceived(self, line: bytes) -> None:
        port: Any = self.counting.transport
        if line.isdigit():
            self.sendLine(b"%d" % port.setReceiveBufferSize(int(line)))
        elif line:
            self.sendLine(line)
        else:
            numbers = (self.counting.count, port.getDroppedCount(), port.oversizedCount, port.unsentCount)
            self.sendLine(b" ".join(b"%d" % number for number in numbers))


def serve(loop: str, path: str, answering: str) -> None:
    """Listen on UDP, or at `path` on a UNIX socket, and on TCP; print the numbers of the ports; run until killed."""
    (side,) = [side for side in LOOPS if side.name == loop]
    reactor, counting = side.makeReactor(), Counting(bool(answering))
    if path:
        reactor.listenUNIXDatagram(path, counting)
        name = path
    else:
        name = str(reactor.listenUDP(0, counting, interface=LOOPBACK).getHost().port)
    telling = type("TellingOfIt", (Telling,), {"counting": counting})
    port = reactor.listenTCP(0, ServerFactory.forProtocol(telling), interface=LOOPBACK)
    print(port.getHost().port, name, flush=True)
    reactor.run()


def flood(port: str, number: str) -> None:
    """Send datagrams of 32 bytes to a port as fast as they go; print how many the system has taken."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((LOOPBACK, int(port)))
        send, data, taken = sender.send, b"x" * 32, 0
        for _ in range(int(number)):
            with contextlib.suppress(OSError):
                taken += send(data) == 32
        print(taken)


def floodUNIX(loop: str, path: str, number: str) -> None:
    """Send datagrams through a port of ours, connected to `path`; print how many were not sent."""
    (side,) = [side for side in LOOPS if side.name == loop]
    reactor, protocol = side.makeReactor(), DatagramProtocol()
    protocol.noisy = False
    port = reactor.listenUNIXDatagram(None, protocol)
    for _ in range(int(number)):
        port.write(b"x" * 32, path)
    print(port.unsentCount)


@contextlib.contextmanager
def process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A function of this module in a process of its own, which is killed at the end."""
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        try:
            yield child
        finally:
            child.kill()


class Server:
    """A server's process, and a client of its TCP port."""

    def __init__(self, child: subprocess.Popen[str], port: int, name: str) -> None:
        self.pid = child.pid
        self.name = name
        self.client = dial(port)
        self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._lines = self.client.makefile("rb")

    def close(self) -> None:
        self._lines.close()
        self.client.close()

    def ask(self, line: bytes = b"") -> bytes:
        """Send a line, and return what comes back."""
        self.client.sendall(line + b"\r\n")
        return self._lines.readline().removesuffix(b"\r\n")

    def numbers(self) -> tuple[int, int, int, int]:
        """How many were received, dropped by the system, too long, not sent."""
        received, dropped, oversized, unsent = map(int, self.ask().split())
        return received, dropped, oversized, unsent


@contextlib.contextmanager
def serving(loop: str, path: str = "", answering: bool = False) -> Iterator[Server]:
    """A server in a process of its own."""
    with process("serve", loop, path, "yes" if answering else "") as child:
        assert child.stdout is not None
        port, name = child.stdout.readline().split()
        server = Server(child, int(port), name)
        try:
            yield server
        finally:
            server.close()


def printed(child: subprocess.Popen[str]) -> int:
    """The number that `child` prints at its end."""
    return int(child.communicate(timeout=4 * DEADLINE)[0])
