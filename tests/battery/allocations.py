"""Lets allocations fail inside a reactor's run(), one after the other, or several in a row. Prints what went wrong.

Run in a process of its own: a crash is a result too. A signal's handler removes the fault after a moment and looks
whether the scenario is over, as whatever else could do so would be hit itself.
"""

from __future__ import annotations

import _testcapi
import contextlib
import errno
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from reactor import (
    ClientFactory,
    DatagramProtocol,
    LineReceiver,
    ProcessProtocol,
    Protocol,
    ServerFactory,
)
from reactor.loops.epoll import EpollReactor
from tests.conftest import openFiles
from tests.harness import LOOPBACK, LOOPS

TICK = 0.004
PATIENCE = 3.0
ROWS = {"once": 1, "for a while": 6}


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Server:
    """A reactor that listens, and what the scenarios need of it."""

    def __init__(self, side: Any) -> None:
        self.loop = side.makeReactor()
        self.close = lambda: side.close(self.loop)
        self.factory = ServerFactory.forProtocol(Echo)
        self.factory.noisy = False
        self.port = self.loop.listenTCP(0, self.factory, interface=LOOPBACK)
        self.number = self.port.getHost().port
        self.datagrams = list[bytes]()
        self.udp = self.loop.listenUDP(0, self._datagramProtocol(), LOOPBACK)

    def _datagramProtocol(self) -> Any:
        came = self.datagrams

        class Noting(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                came.append(datagram)

        return Noting()

    def run(self, until: Callable[[], object], begin: Callable[[], object] = lambda: None) -> bool:
        """Run, with `begin` as the first call, until `until` is true; False if it does not become so."""
        nudge = time.monotonic() + 0.1
        end = time.monotonic() + PATIENCE

        def look(*_: object) -> None:
            _testcapi.remove_mem_hooks()
            if until() or time.monotonic() > end:
                self.loop.crash()
            elif time.monotonic() > nudge and not isinstance(self.loop, EpollReactor):
                self.loop._wake()  # an event loop that had no memory for a callback has forgotten it

        signal.signal(signal.SIGALRM, look)
        self.loop.callLater(0, begin)
        signal.setitimer(signal.ITIMER_REAL, TICK, TICK)
        try:
            self.loop.run(installSignalHandlers=False)
        finally:
            _testcapi.remove_mem_hooks()
            signal.setitimer(signal.ITIMER_REAL, 0)
        return bool(until())


class Told(list[Any]):
    """A list that tries until there is memory for the next entry."""

    def append(self, what: Any) -> None:
        while True:
            try:
                super().append(what)
                return
            except MemoryError:
                continue


class Peer:
    """A client's socket, which nothing of the server's process can be hit in but its own calls."""

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection((LOOPBACK, server.number))
        self.sock.setblocking(False)
        self.got = bytearray()
        self.ended = False

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def hears(self, size: int) -> bool:
        """Whether `size` bytes have come, or the end."""
        while not self.ended and len(self.got) < size:
            try:
                data = self.sock.recv(1 << 16)
            except BlockingIOError:
                return False
            except OSError:
                data = b""
            self.got += data
            self.ended = not data
        return True

    def isLost(self, server: Server) -> bool:
        """Whether CPython itself had no memory for who had been accepted, and has left the socket open."""
        known = {transport.fileno() for transport in server.loop.openTransports()}
        for number in set(openFiles()) - known - {self.sock.fileno()}:
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as found:
                if found.getpeername() == self.sock.getsockname():
                    os.close(number)
                    return True
        return False

    def judge(self, server: Server, expected: bytes) -> str | None:
        if not expected.startswith(self.got):
            return f"wrong bytes: {bytes(self.got[:60])!r}"
        if self.got != expected and not self.ended and not self.isLost(server):
            return f"silent after {len(self.got)} bytes of {len(expected)}"
        return None


def accept(server: Server, arm: Callable[[], None]) -> str | None:
    peer = Peer(server)
    peer.send(b"hello\n")
    server.run(lambda: peer.hears(6), arm)
    problem = peer.judge(server, b"hello\n")
    peer.sock.close()
    return problem


def lines(server: Server, arm: Callable[[], None]) -> str | None:
    peer = Peer(server)
    peer.send(b"first\n")
    server.run(lambda: peer.hears(6))
    server.run(lambda: peer.hears(206), lambda: (peer.send(b"x\n" * 100), arm()))
    problem = peer.judge(server, b"first\n" + b"x\n" * 100)
    peer.sock.close()
    return problem


def send(server: Server, arm: Callable[[], None]) -> str | None:
    """More than the kernel takes at once."""
    peer = Peer(server)
    data = b"y" * 400_000

    class Large(Protocol):
        def connectionMade(self) -> None:
            arm()
            self.transport.write(data)

    server.factory.protocol = Large
    try:
        server.run(lambda: peer.hears(len(data)))
    finally:
        server.factory.protocol = Echo
    problem = peer.judge(server, data)
    peer.sock.close()
    return problem


def close(server: Server, arm: Callable[[], None]) -> str | None:
    lost, peer = list[Any](), Peer(server)

    class Leaving(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            arm()
            self.transport.loseConnection()

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    server.factory.protocol = Leaving
    try:
        peer.send(b"go\n")
        server.run(lambda: peer.hears(1))
    finally:
        server.factory.protocol = Echo
    if not peer.ended and not peer.isLost(server):
        return "the connection is not closed"
    peer.sock.close()
    return f"connectionLost came {len(lost)} times" if len(lost) > 1 else None


def timers(server: Server, arm: Callable[[], None]) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callLater(0.001 * (number % 3), ran.append, number)
                made.append(number)
            except MemoryError:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) <= set(made) | {7} else f"scheduled {made}, refused {refused}, ran {ran}"


def wakeUps(server: Server, arm: Callable[[], None]) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callFromThread(ran.append, number)
                made.append(number)
            except MemoryError:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) and len(ran) == len(set(ran)) else f"taken {made}, made {ran}"


def connect(server: Server, arm: Callable[[], None]) -> str | None:
    """The factory is told one end of what it was told the beginning of."""
    told = Told()

    class Asking(Protocol):
        def connectionMade(self) -> None:
            told.append("made")
            self.transport.loseConnection()

    class Client(ClientFactory):  # type: ignore[type-arg]
        noisy = False
        protocol = Asking

        def stopFactory(self) -> None:
            told.append("stopped")

    factory = Client()

    def begin() -> None:
        arm()
        try:
            server.loop.connectTCP(LOOPBACK, server.number, factory, timeout=1)
        except MemoryError:
            told.append("raised")

    server.run(lambda: "stopped" in told or ("raised" in told and not factory.numPorts), begin)
    return None if "stopped" in told or "raised" in told else f"never told of an end, but {told}"


def resolve(server: Server, arm: Callable[[], None]) -> str | None:
    told = Told()

    def begin() -> None:
        arm()
        try:
            server.loop.resolve("localhost", timeout=1).addBoth(told.append)
        except MemoryError as error:
            told.append(error)

    server.run(lambda: told, begin)
    return None if told else "no answer"


def spawn(server: Server, arm: Callable[[], None]) -> str | None:
    told = Told()

    class Child(ProcessProtocol):
        def processEnded(self, reason: Any) -> None:
            told.append("ended")

    def begin() -> None:
        arm()
        try:
            server.loop.spawnProcess(Child(), "/bin/true")
        except (MemoryError, OSError) as error:
            told.append(error)

    server.run(lambda: told, begin)
    with contextlib.suppress(ChildProcessError):
        if os.waitpid(-1, os.WNOHANG)[0] and not _hasLostItsNumber(told):
            return f"a zombie is left, told {told!r}"
    return None if told else "the child's end is not told"


def _hasLostItsNumber(told: list[Any]) -> bool:
    """Whether CPython itself had no memory for the number of a child that it had just forked."""
    return bool(told) and isinstance(told[0], MemoryError)


def datagrams(server: Server, arm: Callable[[], None]) -> str | None:
    del server.datagrams[:]
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect((LOOPBACK, server.udp.getHost().port))
        server.run(lambda: server.datagrams, lambda: (peer.send(b"x"), arm(), None)[2])
        if not server.datagrams:  # the one that was read without memory for it is lost, as datagrams may be
            peer.send(b"y")
            if not server.run(lambda: server.datagrams):
                return "the port is deaf"
    return None


def listen(server: Server, arm: Callable[[], None]) -> str | None:
    ports = Told()
    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    told = Told()

    def begin() -> None:
        arm()
        try:
            ports.append(server.loop.listenTCP(0, factory, interface=LOOPBACK))
        except (MemoryError, OSError) as error:
            told.append(error)
        told.append("tried")

    server.run(lambda: told, begin)
    for port in ports:
        port.stopListening()
        if not server.run(lambda port=port: not port.connected):
            return "the port does not stop"
    return f"a factory of a port that was refused counts {factory.numPorts}" if factory.numPorts else None


def rest(server: Server, arm: Callable[[], None]) -> str | None:
    """The port rests, and has no memory for its end."""
    failures, real = [1], server.port.doRead

    def doRead() -> None:
        if failures:
            failures.pop()
            arm()
            raise OSError(errno.ENOMEM, "injected")
        real()

    server.port.doRead = doRead
    try:
        return accept(server, lambda: None)
    finally:
        del server.port.doRead


SCENARIOS = [accept, lines, send, close, timers, wakeUps, connect, resolve, spawn, datagrams, listen, rest]


def isHealthy(server: Server) -> bool:
    """Whether the next client is served, and a call wakes the loop."""
    woken, peer = list[int](), Peer(server)
    peer.send(b"well?\n")
    server.loop.callFromThread(woken.append, 1)
    server.run(lambda: peer.hears(6) and woken)
    peer.sock.close()
    return peer.got == b"well?\n" and bool(woken)


def main(name: str, budget: float, step: int, *names: str) -> None:
    """Every `step`-th allocation of each scenario, within `budget` seconds for all; print the points and the faults."""
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda _: None
    (side,) = [side for side in LOOPS if side.name == name]
    hows = [each for each in names if each in ROWS] or list(ROWS)
    scenarios = [each for each in SCENARIOS if each.__name__ in names] or SCENARIOS
    faults, points, share = list[str](), dict[str, int](), budget / len(scenarios)
    server = Server(side)
    assert isHealthy(server), "before the first fault"
    for scenario in scenarios:
        assert scenario(server, lambda: None) is None, f"{scenario.__name__}, without a fault"
        end, count = time.monotonic() + share, 0
        for number in range(0, 400, step):
            for how in hows:
                if time.monotonic() > end:
                    break
                point = f"{scenario.__name__} {how} from allocation {number}"
                hit = _point(server, scenario, number, ROWS[how])
                count += 1
                if hit is not None:
                    faults.append(f"{point}: {hit}")
                if not isHealthy(server):
                    faults.append(f"{point}: the next client is not served")
                    server = Server(side)
        points[scenario.__name__] = count
    gc.collect()
    before = len(openFiles())
    for _ in range(2):
        isHealthy(server)
    gc.collect()
    print(json.dumps({"points": points, "faults": faults, "files": [before, len(openFiles())]}))
    sys.stdout.flush()
    os._exit(0)


def _point(server: Server, scenario: Any, number: int, row: int) -> str | None:
    try:
        result: str | None = scenario(server, lambda: _testcapi.set_nomemory(number, number + row))
    except BaseException as error:
        return f"run() was left by {error!r}"
    return result


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
