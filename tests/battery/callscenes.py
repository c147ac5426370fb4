"""Scenes of what a server does while system calls fail: each tells what became of its one operation.

Each returns DONE, FAILED or BROKEN. Anything else that it returns is a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

import uvloop

from reactor import (
    ClientFactory,
    ProcessProtocol,
    Protocol,
)
from reactor.error import CannotListenError
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.epoll import EpollReactor
from reactor.stdio import StandardIO
from reactor.threads import deferToThreadPool
from reactor.tlsoptions import RELOAD_INTERVAL, optionsForClientTLS
from tests.battery.callserver import (
    BROKEN,
    DONE,
    FAILED,
    SILENCE,
    Echo,
    EchoDatagrams,
    Server,
    Told,
    factoryOf,
    hear,
    talk,
    worst,
)
from tests.support.tlsworlds import HOST, TRUST
from tests.support.worlds import LOOPBACK, dial


def accept(server: Server) -> str:
    """Two clients, one after the other."""

    def work() -> str:
        server.faults.arm()
        with dial(server.port) as one, dial(server.port) as other:
            return worst(talk(one, b"hello\n"), talk(other, b"hello\n"))

    return server.run(work)


def acceptUNIX(server: Server) -> str:
    def work() -> str:
        server.faults.arm()
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(server.path("s"))
            return talk(peer, b"hello\n")

    return server.run(work)


def lines(server: Server) -> str:
    def work() -> str:
        with dial(server.port) as peer:
            if (heard := talk(peer, b"first\n")) != DONE:
                return heard
            server.faults.arm()
            return talk(peer, b"x\n" * 100)

    return server.run(work)


def send(server: Server) -> str:
    """More than the kernel takes at once."""

    def work() -> str:
        with dial(server.port, receiveBuffer=4096) as peer:
            if (heard := talk(peer, b"first\n")) != DONE:
                return heard
            server.faults.arm()
            peer.sendall(b"much\n")
            return hear(peer, b"y" * 400_000)

    return server.run(work)


def ending(server: Server, word: bytes) -> str:
    def work() -> str:
        with dial(server.port) as peer:
            if (heard := talk(peer, b"first\n")) != DONE:
                return heard
            server.faults.arm()
            peer.sendall(word)
            heard = hear(peer, b"?")
            return DONE if heard == FAILED else f"the connection does not end: {heard}"

    return server.run(work)


def close(server: Server) -> str:
    return ending(server, b"leave\n")


def abort(server: Server) -> str:
    return ending(server, b"abort\n")


def peerLeaves(server: Server) -> str:
    """connectionLost is called, once."""
    told = Told()

    class Leaving(Echo):
        def connectionLost(self, reason: Any = None) -> None:
            told("lost")

    def work() -> str:
        with dial(server.port) as peer:
            if (heard := talk(peer, b"first\n")) != DONE:
                return heard
            server.faults.arm()
        return DONE if told.next() else "connectionLost is not called"

    server.port.factory.protocol = Leaving
    try:
        return server.run(work)
    finally:
        server.port.factory.protocol = Echo


def timers(server: Server) -> str:
    told = Told()

    def begin() -> None:
        server.faults.arm()
        for number in range(6):
            server.loop.callLater(0.002 * number, told, number)

    def work() -> str:
        came = [told.next() for _ in range(6)]
        return DONE if came == list(range(6)) else f"delayed calls came as {came}"

    return server.run(work, begin)


def wakeUps(server: Server) -> str:
    """Calls from a thread whose own system calls fail, too."""
    told, refused = Told(), list[int]()

    def call() -> None:
        for number in range(6):
            try:
                server.loop.callFromThread(told, number)
            except OSError:
                refused.append(number)
            else:
                time.sleep(0.001)  # so that the loop sleeps again

    def work() -> str:
        thread = threading.Thread(target=call, daemon=True)
        server.faults.arm()
        thread.start()
        thread.join(SILENCE)
        expected = [number for number in range(6) if number not in refused]
        came = [told.next() for _ in expected]
        if came != expected or told.left():
            return f"taken {expected}, made {came + told.left()}"
        return FAILED if refused else DONE

    return server.run(work)


def signals(server: Server) -> str:
    told = Told()

    def work() -> str:
        server.faults.arm()
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGUSR1)
            if told.next() is None:
                return "a signal is not heard"
        return DONE

    server.loop.addSignalHandler(signal.SIGUSR1, told, 1)
    return server.run(work)


class Asking(Protocol):
    """A client: says hello, and is told the same."""

    told: Told

    def connectionMade(self) -> None:
        self.heard = b""
        self.transport.write(b"hello\n")

    def dataReceived(self, data: bytes) -> None:
        self.heard += data
        if self.heard == b"hello\n":
            self.transport.loseConnection()


class Clients(ClientFactory):
    noisy = False

    def __init__(self, told: Callable[[str], object]) -> None:
        self.told = told
        self.made: Asking | None = None

    def buildProtocol(self, addr: Any) -> Asking:
        self.made = Asking()
        return self.made

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.told("failed")

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.told("lost")


def connecting(server: Server, begin: Callable[[Any], object]) -> str:
    told = Told()
    factory = Clients(told)

    def first() -> None:
        server.faults.arm()
        try:
            begin(factory)
        except OSError:
            told("raised")

    def work() -> str:
        end = told.next()
        if end is None:
            return "the client's factory hears of no end"
        if told.left():
            return f"the client's factory is told more than one end: {end}, {told.left()}"
        heard = factory.made and getattr(factory.made, "heard", None)
        return DONE if heard == b"hello\n" else FAILED

    return server.run(work, first)


def connect(server: Server) -> str:
    return connecting(
        server, lambda factory: server.loop.connectTCP(LOOPBACK, server.port.getHost().port, factory, timeout=1)
    )


def connectByName(server: Server) -> str:
    return connecting(
        server, lambda factory: server.loop.connectTCP("localhost", server.port.getHost().port, factory, timeout=1)
    )


def connectUNIX(server: Server) -> str:
    return connecting(
        server, lambda factory: server.loop.connectUNIX(server.path("s"), factory, timeout=1, checkPID=True)
    )


def connectTLS(server: Server) -> str:
    context = optionsForClientTLS(HOST, TRUST)
    number = server.tls.getHost().port
    return connecting(server, lambda factory: server.loop.connectSSL(LOOPBACK, number, factory, context, timeout=1))


def adopt(server: Server) -> str:
    """A connection that somebody else has accepted."""
    told = Told()
    ours, theirs = socket.socketpair()

    def begin() -> None:
        server.faults.arm()
        try:
            server.loop.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factoryOf(Echo))
            told(DONE)
        except OSError:
            told(FAILED)

    def work() -> str:
        with ours, theirs:
            made: str = told.next() or "neither made nor refused"
            ours.close()
            return talk(theirs, b"hello\n") if made == DONE else made

    return server.run(work, begin)


def passDescriptors(server: Server) -> str:
    """A client sends a descriptor, and what it stands for is told. It is closed, whatever fails."""

    def work() -> str:
        reading, writing = os.pipe()
        server.faults.arm()
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(server.path("passing"))
                try:
                    socket.send_fds(peer, [b"hello\n"], [writing])
                except BrokenPipeError:
                    heard = FAILED
                else:
                    heard = hear(peer, b"hello\n")
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        end, got = time.monotonic() + SILENCE, None
        while got != b"" and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                got = os.read(reading, 100)
            time.sleep(0.001)
        os.close(reading)
        return heard if got == b"" else "the descriptor that was sent is left open"

    return server.run(work)


def resolve(server: Server) -> str:
    told = Told()

    def begin() -> None:
        server.faults.arm()
        for _ in range(2):
            server.loop.resolve("localhost", timeout=(1,)).addBoth(told)

    def work() -> str:
        answers = [told.next(), told.next()]
        if None in answers:
            return "a name has no answer"
        return DONE if all(isinstance(answer, str) for answer in answers) else FAILED

    return server.run(work, begin)


def inThread(server: Server) -> str:
    """A call in a thread of the pool, a new one: its answer, or why there is none."""
    told = Told()
    server.loop._releaseThreads()

    def begin() -> None:
        server.faults.arm()
        deferToThreadPool(server.loop, server.loop.getThreadPool(), lambda: "answer").addBoth(told)

    def work() -> str:
        answer = told.next()
        return {None: "no answer", "answer": DONE}.get(answer, FAILED)

    return server.run(work, begin)


class Child(ProcessProtocol):
    def __init__(self, told: Told) -> None:
        self.told = told
        self.heard = b""

    def connectionMade(self) -> None:
        self.transport.write(b"hello\n")
        self.transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.heard += data

    def processEnded(self, reason: Any) -> None:
        self.told("ended")


class TerminalsChild(Child):
    def connectionMade(self) -> None:
        self.transport.write(b"hello\n\x04")


def spawning(server: Server, child: Child, **options: Any) -> str:
    def begin() -> None:
        server.faults.arm()
        try:
            server.loop.spawnProcess(child, "/bin/cat", **options)
        except OSError:
            child.told("raised")

    def work() -> str:
        end = child.told.next()
        if end is None:
            return "the child's end is not told"
        if child.told.left():
            return f"told {end}, {child.told.left()}"
        return DONE if b"hello" in child.heard else FAILED

    return server.run(work, begin)


def spawn(server: Server) -> str:
    return spawning(server, Child(Told()))


def spawnOnTerminal(server: Server) -> str:
    return spawning(server, TerminalsChild(Told()), usePTY=True)


def exchange(server: Server, family: int, target: Any) -> str:
    """Datagrams: those that fail are lost, as datagrams may be, but not the port."""
    server.number += 1

    def work() -> str:
        with socket.socket(family, socket.SOCK_DGRAM) as peer:
            peer.bind(server.path(f"peer{server.number}") if family == socket.AF_UNIX else (LOOPBACK, 0))
            peer.settimeout(0.15)
            peer.connect(target)
            server.faults.arm()
            for number in range(40):
                peer.send(b"%d" % number)
                with contextlib.suppress(TimeoutError):
                    if peer.recv(100):
                        return FAILED if number else DONE
            return "the port is deaf"

    return server.run(work)


def datagrams(server: Server) -> str:
    return exchange(server, socket.AF_INET, (LOOPBACK, server.udp.getHost().port))


def datagramsUNIX(server: Server) -> str:
    return exchange(server, socket.AF_UNIX, server.path("d"))


def listening(server: Server, listen: Callable[[Any], Any], visit: Callable[[Any], Any]) -> str:
    """A port begins to listen, serves one, and stops."""
    told = Told()
    factory = factoryOf(Echo)

    def begin() -> None:
        server.faults.arm()
        try:
            told(listen(factory))
        except (CannotListenError, OSError) as error:
            told(error)

    def stop(port: Any) -> None:
        port.stopListening().addBoth(lambda _: told("stopped"))

    def work() -> str:
        port = told.next()
        if isinstance(port, Exception):
            return f"a port that was refused counts: {factory.numPorts}" if factory.numPorts else FAILED
        with visit(port) as peer:
            heard = talk(peer, b"hello\n")
        server.loop.callFromThread(stop, port)
        if told.next() != "stopped":
            return "the port does not stop"
        return f"a port that has stopped counts: {factory.numPorts}" if factory.numPorts else heard

    return server.run(work, begin)


def listen(server: Server) -> str:
    return listening(server, lambda factory: server.loop.listenTCP(0, factory, interface=LOOPBACK), dial)


def listenUNIX(server: Server) -> str:
    server.number += 1
    path = server.path(f"port{server.number}")

    def visit(_: Any) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(path)
        return peer

    found = listening(server, lambda factory: server.loop.listenUNIX(path, factory), visit)
    if not os.path.exists(path):
        return found
    with server.faults.exempt():
        os.unlink(path)
    return worst(found, FAILED)  # the next owner would take it over


def listenUDP(server: Server) -> str:
    told = Told()

    def begin() -> None:
        server.faults.arm()
        try:
            port = server.loop.listenUDP(0, EchoDatagrams(), LOOPBACK)
            port.stopListening().addBoth(lambda _: told(DONE))
        except (CannotListenError, OSError):
            told(FAILED)

    return server.run(lambda: told.next() or "the port does not stop", begin)


def stopListening(server: Server) -> str:
    """A client that the kernel has let in already is served, or hears of the end."""
    told = Told()
    port = server.loop.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)

    def work() -> str:
        with dial(port) as peer:
            server.loop.callFromThread(stop)
            heard = talk(peer, b"hello\n")
            return heard if told.next() else "the port does not stop"

    def stop() -> None:
        port.resumeProducing()
        server.faults.arm()
        port.stopListening().addBoth(lambda _: told("stopped"))

    return server.run(work, port.pauseProducing)


def shakingHands(server: Server, *, certificate: Any = None) -> str:
    sock = dial(server.tls)
    sock.settimeout(SILENCE)
    try:
        with server.trust.wrap_socket(sock, server_hostname=HOST) as peer:
            if certificate is not None and peer.getpeercert(True) != certificate:
                return "the renewed certificate is never shown"
            return talk(peer, b"hello\n")
    except TimeoutError:
        return "silent in the handshake"
    except OSError:
        return FAILED
    finally:
        sock.close()


def tls(server: Server) -> str:
    def work() -> str:
        server.faults.arm()
        return shakingHands(server)

    return server.run(work)


def renewal(server: Server) -> str:
    """The certificate is renewed: at the latest when all is well again, it is shown."""

    def work() -> str:
        issued = server.issue()
        server.now += RELOAD_INTERVAL * 2
        server.faults.arm()
        heard = shakingHands(server)
        server.faults.disarm()
        server.now += RELOAD_INTERVAL * 2
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        after = shakingHands(server, certificate=der)
        return heard if after == DONE else f"afterwards: {after}"

    return server.run(work)


def standardIO(server: Server) -> str:
    told = Told()
    (theirIn, ourOut), (ourIn, theirOut) = os.pipe(), os.pipe()

    class Line(Echo):
        def connectionLost(self, reason: Any = None) -> None:
            told("lost")

    def begin() -> None:
        server.faults.arm()
        try:
            StandardIO(Line(), ourIn, ourOut, reactor=server.loop)
            told("made")
        except OSError:
            told("raised")

    def work() -> str:
        if told.next() == "raised":
            return FAILED
        os.write(theirOut, b"hello\n")
        os.set_blocking(theirIn, False)
        heard, end = b"", time.monotonic() + SILENCE
        while heard != b"hello\n" and not told.left() and time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                heard += os.read(theirIn, 100)
            time.sleep(0.001)
        if not told.left():
            if heard != b"hello\n":
                return f"silent, but for {heard!r}"
            os.write(theirOut, b"leave\n")
        return (DONE if heard == b"hello\n" else FAILED) if told.next() else "connectionLost is not called"

    try:
        return server.run(work, begin)
    finally:
        with server.faults.exempt():
            for fd in (theirIn, ourOut, ourIn, theirOut):
                with contextlib.suppress(OSError):
                    os.close(fd)


def lifecycle(server: Server) -> str:
    """A reactor is made, serves one client, stops and is closed. A call that raises leaves nothing behind."""
    other = eventloop = None
    server.faults.arm()
    try:
        eventloop = makeEventLoop(server.side)
        other = EpollReactor() if eventloop is None else AsyncioReactor(eventloop)
        port = other.listenTCP(0, factoryOf(Echo), interface=LOOPBACK)
        other.connectTCP(LOOPBACK, port.getHost().port, Clients(lambda _: other.running and other.stop()), timeout=1)
        other.run()
        return DONE
    except (CannotListenError, OSError):
        return FAILED if eventloop is None or not eventloop.is_running() else BROKEN
    finally:
        server.faults.disarm()
        with server.faults.exempt():
            if other is not None:
                other.close()
            if eventloop is not None and not eventloop.is_running():
                eventloop.close()


def makeEventLoop(side: Any) -> Any:
    if side.name == "ours":
        return None
    return asyncio.SelectorEventLoop() if side.name == "asyncio" else uvloop.new_event_loop()


SCENES: list[Callable[[Server], str]] = [
    accept,
    acceptUNIX,
    lines,
    send,
    close,
    abort,
    peerLeaves,
    timers,
    wakeUps,
    signals,
    connect,
    connectByName,
    connectUNIX,
    connectTLS,
    adopt,
    passDescriptors,
    resolve,
    inThread,
    spawn,
    spawnOnTerminal,
    datagrams,
    datagramsUNIX,
    listen,
    listenUNIX,
    listenUDP,
    stopListening,
    tls,
    renewal,
    standardIO,
    lifecycle,
]
