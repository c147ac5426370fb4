"""Scenes of a server to which something is refused: one for each thing that can happen, with what must follow.

A scene is called with a Server and `arm`, which begins the fault, whatever that is; the Server ends it. The scene
returns what went wrong, None if nothing did: a fault costs at most the operation that it hit.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

from reactor import ClientFactory, LineReceiver, ProcessProtocol, Protocol, ServerFactory
from reactor.tlsoptions import RELOAD_INTERVAL
from tests.battery.faultservers import Arm, Echo, Peer, Server, TLSPeer, Told
from tests.support.worlds import LOOPBACK

Scene = Callable[[Server, Arm], str | None]


def accept(server: Server, arm: Arm) -> str | None:
    peer = Peer(server)
    peer.send(b"hello\n")
    server.run(lambda: peer.hears(6), arm)
    problem = peer.judge(server, b"hello\n")
    peer.sock.close()
    return problem


def lines(server: Server, arm: Arm) -> str | None:
    peer = Peer(server)
    peer.send(b"first\n")
    server.run(lambda: peer.hears(6))
    server.run(lambda: peer.hears(206), lambda: (peer.send(b"x\n" * 100), arm()))  # type: ignore[func-returns-value]
    problem = peer.judge(server, b"first\n" + b"x\n" * 100)
    peer.sock.close()
    return problem


@contextlib.contextmanager
def _serving(server: Server, protocol: Any) -> Iterator[None]:
    server.factory.protocol = protocol
    try:
        yield
    finally:
        server.factory.protocol = Echo


def send(server: Server, arm: Arm) -> str | None:
    """More than the kernel takes at once."""
    peer = Peer(server)
    data = b"y" * 400_000

    class Large(Protocol):
        def connectionMade(self) -> None:
            arm()
            self.transport.write(data)

    with _serving(server, Large):
        server.run(lambda: peer.hears(len(data)))
    problem = peer.judge(server, data)
    peer.sock.close()
    return problem


def close(server: Server, arm: Arm) -> str | None:
    left, lost, peer = Told(), Told(), Peer(server)

    class Leaving(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            left.append(line)
            arm()
            self.transport.loseConnection()

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    with _serving(server, Leaving):
        peer.send(b"go\n")
        server.run(lambda: peer.hears(1))
    if not peer.ended and not peer.isLost(server):
        return "the connection is not closed"
    peer.sock.close()
    return f"connectionLost came {len(lost)} times" if len(lost) != len(left) else None


def leave(server: Server, arm: Arm) -> str | None:
    """The peer closes."""
    made, lost, peer = Told(), Told(), Peer(server)

    class Staying(Protocol):
        def connectionMade(self) -> None:
            made.append(self.transport)

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason)

    with _serving(server, Staying):
        server.run(lambda: made)
        server.run(lambda: lost, lambda: (peer.sock.close(), arm()))  # type: ignore[func-returns-value]
    if made[0] in server.loop.openTransports():
        return f"the connection is still open, and connectionLost came {len(lost)} times"
    return f"connectionLost came {len(lost)} times" if len(lost) != 1 else None


def timers(server: Server, arm: Arm) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callLater(0.001 * (number % 3), ran.append, number)
                made.append(number)
            except Exception:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) <= set(made) | {7} else f"scheduled {made}, refused {refused}, ran {ran}"


def wakeUps(server: Server, arm: Arm) -> str | None:
    made, refused, ran = Told(), Told(), Told()

    def begin() -> None:
        numbers = iter(range(8))
        arm()
        for number in numbers:
            try:
                server.loop.callFromThread(ran.append, number)
                made.append(number)
            except Exception:
                refused.append(number)

    server.run(lambda: len(made) + len(refused) == 8 and len(ran) >= len(made), begin)
    return None if set(made) <= set(ran) and len(ran) == len(set(ran)) else f"taken {made}, made {ran}"


def connect(server: Server, arm: Arm) -> str | None:
    """The factory is told one end of what it was told the beginning of."""
    told = Told()

    class Asking(Protocol):
        def connectionMade(self) -> None:
            told.append("made")
            self.transport.loseConnection()

    class Client(ClientFactory):
        noisy = False
        protocol = Asking

        def stopFactory(self) -> None:
            told.append("stopped")

    factory = Client()

    def begin() -> None:
        arm()
        try:
            server.loop.connectTCP(LOOPBACK, server.number, factory, timeout=1)
        except Exception:
            told.raised = True

    over = server.run(lambda: not factory.numPorts and (told.raised or "stopped" in told), begin)
    return None if over else f"no end was told, but {told}"


def resolve(server: Server, arm: Arm) -> str | None:
    told = Told()

    def begin() -> None:
        arm()
        try:
            server.loop.resolve("localhost", timeout=1).addBoth(told.append)
        except Exception:
            told.raised = True

    return None if server.run(lambda: told or told.raised, begin) else "no answer"


def spawn(server: Server, arm: Arm) -> str | None:
    told = Told()

    class Child(ProcessProtocol):
        def processEnded(self, reason: Any) -> None:
            told.append("ended")

    def begin() -> None:
        arm()
        try:
            server.loop.spawnProcess(Child(), "/bin/true")
        except Exception:
            told.raised = True

    with _fork() as lost:
        over = server.run(lambda: told or told.raised, begin)
    left = server.alarm.otherChildren()
    for pid in left:
        os.waitpid(pid, 0)
    if not over:
        return "the child's end is not told"
    return f"a child is left, told {told}, raised {told.raised}" if left and not lost else None


@contextlib.contextmanager
def _fork() -> Iterator[list[bool]]:
    """The list is not empty if CPython's own fork_exec has failed.

    It makes an int of the child's number after the fork, and raises MemoryError if it cannot. That child lives, and
    nobody can know its number.
    """
    lost, real = list[bool](), subprocess._fork_exec  # type: ignore[attr-defined]

    def forkExec(*args: Any) -> Any:
        lost.append(True)
        pid = real(*args)
        lost.clear()
        return pid

    subprocess._fork_exec = forkExec  # type: ignore[attr-defined]
    try:
        yield lost
    finally:
        subprocess._fork_exec = real  # type: ignore[attr-defined]


def datagrams(server: Server, arm: Arm) -> str | None:
    del server.datagrams[:]
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.connect((LOOPBACK, server.udp.getHost().port))
        server.run(lambda: server.datagrams, lambda: (peer.send(b"x"), arm(), None)[2])
        if not server.datagrams:  # the one that was read without memory for it is lost, as datagrams may be
            peer.send(b"y")
            if not server.run(lambda: server.datagrams):
                return "the port is deaf"
    return None


def listen(server: Server, arm: Arm) -> str | None:
    ports = Told()
    factory = ServerFactory.forProtocol(Echo)
    factory.noisy = False
    told = Told()

    def begin() -> None:
        arm()
        try:
            ports.append(server.loop.listenTCP(0, factory, interface=LOOPBACK))
            told.append("listens")
        except Exception:
            told.raised = True

    server.run(lambda: told or told.raised, begin)
    for port in ports:
        port.stopListening()
        if not server.run(lambda port=port: not port.connected):
            return "the port does not stop"
    return f"a factory of a port that was refused counts {factory.numPorts}" if factory.numPorts else None


def rest(server: Server, arm: Arm) -> str | None:
    """The port rests, and its end is hit."""
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


def renew(server: Server, arm: Arm) -> str | None:
    """The certificate is renewed: the next client gets one that is whole, and the client after it the new one."""
    renewed, options, first = server.certificates.renew(), server.certificates.options, TLSPeer(server)
    real = options.getContext

    def getContext() -> ssl.SSLContext:
        del options.getContext
        arm()
        return real()

    options.getContext = getContext  # type: ignore[method-assign]
    try:
        first.visit(server)
    finally:
        options.__dict__.pop("getContext", None)
    if not (first.peer.ended or first.got):
        return "the client is not served"
    server.certificates.time += RELOAD_INTERVAL * 2
    second = TLSPeer(server)
    second.visit(server)
    if second.got != b"hello\n":
        return "the next client is not served"
    return None if second.shown == renewed else "the renewed certificate is not shown"


SCENES: list[Scene] = [
    accept,
    lines,
    send,
    close,
    leave,
    timers,
    wakeUps,
    connect,
    resolve,
    spawn,
    datagrams,
    listen,
    rest,
    renew,
]


def illnessOf(server: Server) -> str | None:
    """Return the first thing that is wrong afterwards, or None.

    The next client must be served, a call must wake the loop, and the loop must sleep.
    """
    woken, peer = list[int](), Peer(server)
    peer.send(b"well?\n")
    server.loop.callFromThread(woken.append, 1)
    server.run(lambda: peer.hears(6) and woken)
    peer.sock.close()
    if peer.got != b"well?\n" or not woken:
        return "the next client is not served" if woken else "the loop is not woken"
    for _ in range(3):  # an idle machine is not asked for: other programs here may have had their share
        looks = iter(range(3))
        begin, worked = time.monotonic(), time.process_time()
        server.run(lambda looks=looks: next(looks, None) is None)
        worked, lasted = time.process_time() - worked, time.monotonic() - begin
        if worked < lasted * 0.6:
            return None
    return "the loop spins"
