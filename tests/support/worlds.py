"""Worlds to test the network in: a reactor with recording protocols on it, on our side or on Twisted's.

A test drives the reactor turn by turn until what it waits for is true, or fails at a deadline; it never sleeps. Both
sides take the same scripts, so the traces of their callbacks can be compared.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import twisted.internet.defer
import twisted.internet.epollreactor
import twisted.internet.error
import twisted.internet.interfaces
import twisted.internet.protocol
import twisted.internet.reactor
import twisted.internet.task
import twisted.internet.tcp
import uvloop
from zope.interface import classImplements

import reactor.defer
import reactor.error
import reactor.protocol
import reactor.task
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.base import CLOSED
from reactor.loops.epoll import EpollReactor
from reactor.testing import PumpReactor, connect, makeFakeClient, makeFakeServer

DEADLINE = 20.0
LOOPBACK = "127.0.0.1"
ROOT = pathlib.Path(__file__).resolve().parents[2]

# Twisted makes its reactor at import, and keeps a descriptor in reserve from its first listening on. Both are opened
# here, so that no single test is taken for their owner. So does libuv, for signals, with the first event loop.
twisted.internet.tcp._reservedFD.reserve()
uvloop.new_event_loop().close()

Hooks = dict[str, Callable[..., object]]
Condition = Callable[..., object]  # nothing is passed; a lambda in a loop binds what it reads by defaults


def turnUntil(reactor: Any, condition: Condition, deadline: float = DEADLINE) -> None:
    """Turn `reactor` until `condition()` is true; fail after `deadline` seconds."""
    end = time.monotonic() + deadline
    while not condition():
        reactor.iterate(0.02)
        assert time.monotonic() < end, "the condition has not come true in time"


def runUntil(reactor: Any, condition: Condition, deadline: float = DEADLINE) -> None:
    """Run `reactor` and stop it once `condition()` is true; fail after `deadline` seconds."""
    end = time.monotonic() + deadline

    def look() -> None:
        if condition() or time.monotonic() > end:
            reactor.stop()
        else:
            reactor.callLater(0.001, look)

    reactor.callLater(0, look)
    reactor.run(installSignalHandlers=False)
    assert condition(), "the condition has not come true in time"


def dial(port: Any, host: str = LOOPBACK, receiveBuffer: int | None = None) -> socket.socket:
    """Connect a plain blocking socket to a listening port, or to a port number."""
    number = port if isinstance(port, int) else port.getHost().port
    peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if receiveBuffer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receiveBuffer)
    peer.settimeout(DEADLINE)
    try:
        peer.connect((host, number))
    except OSError:
        peer.close()
        raise
    return peer


def reset(peer: socket.socket) -> None:
    """Close a socket so that the other side sees a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


def readAll(peer: socket.socket) -> bytes:
    """Read a blocking socket to its end."""
    chunks = []
    while chunk := peer.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


@contextlib.contextmanager
def silentServer(backlog: int = 0) -> Iterator[tuple[str, int]]:
    """The address of a socket that accepts nothing and whose queue is full, so that a connect() to it hangs."""
    with socket.socket() as listening, contextlib.ExitStack() as queue:
        listening.bind((LOOPBACK, 0))
        listening.listen(backlog)
        address = listening.getsockname()
        for _ in range(backlog + 8):
            filler = queue.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address


def nativeThreads() -> set[str]:
    """The numbers of this process's threads, those included that threading.enumerate() does not know."""
    return set(os.listdir("/proc/self/task"))


def refusedPort() -> int:
    """A port number at which nobody listens."""
    with socket.socket() as free:
        free.bind((LOOPBACK, 0))
        port: int = free.getsockname()[1]
        return port


def runProgram(
    text: str, *arguments: str, timeout: float = DEADLINE, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a Python program in a process of its own, with the tests importable; return what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
        **options,
    )


def _closeTwisted(each: Any) -> None:
    each.iterate(0)
    each.iterate(0)  # ports that have been asked to stop close now, and not twice
    each.disconnectAll()
    each.iterate(0)
    for waker in list(each._internalReaders):
        each._internalReaders.discard(waker)
        each.removeReader(waker)
        waker.connectionLost(None)
    each._poller.close()


def _closeOurs(each: Any) -> None:
    if each._phase != CLOSED:
        each.disconnectAll()
        each.iterate(0)
        each.close()


def _closeUvloop(each: Any) -> None:
    _closeOurs(each)
    each.eventloop.close()


OURS = SimpleNamespace(
    name="ours",
    protocol=reactor.protocol,
    error=reactor.error,
    defer=reactor.defer,
    task=reactor.task,
    makeReactor=EpollReactor,
    close=_closeOurs,
)
# The same on other loops.
ASYNCIO = SimpleNamespace(**{**vars(OURS), "name": "asyncio", "makeReactor": AsyncioReactor})
UVLOOP = SimpleNamespace(
    **{
        **vars(OURS),
        "name": "uvloop",
        "makeReactor": lambda: AsyncioReactor(uvloop.new_event_loop()),
        "close": _closeUvloop,
    }
)
LOOPS = (OURS, ASYNCIO, UVLOOP)
TWISTED = SimpleNamespace(
    name="twisted",
    protocol=twisted.internet.protocol,
    error=twisted.internet.error,
    defer=twisted.internet.defer,
    task=twisted.internet.task,
    makeReactor=twisted.internet.epollreactor.EPollReactor,
    close=_closeTwisted,
)
SIDES = (OURS, TWISTED)


class _Recording:
    """The callbacks of a protocol: each is written down, then its hook called, with the protocol first."""

    def __init__(self, whole: list[Any], hooks: Hooks) -> None:
        self.trace: list[Any] = []
        self.whole = whole
        self.hooks = hooks
        self.received = bytearray()
        self.lost: Any = None

    def _saw(self, event: str, *details: object, arguments: tuple[object, ...] = ()) -> Any:
        for trace in (self.trace, self.whole):
            if event == "data" and trace and trace[-1] == "data":
                continue  # where the stream is cut is nobody's promise
            trace.append((event, *details) if details else event)
        hook = self.hooks.get(event)
        return None if hook is None else hook(self, *arguments)

    def connectionMade(self) -> Any:
        return self._saw("made")

    def dataReceived(self, data: bytes) -> Any:
        assert type(data) is bytes
        assert data
        self.received += data
        return self._saw("data", arguments=(data,))

    def connectionLost(self, reason: Any) -> Any:
        self.lost = reason
        return self._saw("lost", type(reason.value).__name__, arguments=(reason,))


class _RecordingHalves(_Recording):
    def readConnectionLost(self) -> Any:
        return self._saw("readLost")

    def writeConnectionLost(self) -> Any:
        return self._saw("writeLost")


class _RecordingFactory:
    """The callbacks of a factory and, among them, those of its protocols, which `built` holds."""

    def __init__(self, protocolClass: Any, hooks: Hooks, factoryHooks: Hooks) -> None:
        self.trace: list[Any] = []
        self.built: list[Any] = []
        self.protocolClass = protocolClass
        self.protocolHooks = hooks
        self.hooks = factoryHooks
        self.noisy = False

    def _saw(self, event: str, *details: object, arguments: tuple[object, ...] = ()) -> Any:
        self.trace.append((event, *details) if details else event)
        hook = self.hooks.get(event)
        return None if hook is None else hook(self, *arguments)

    def startFactory(self) -> Any:
        return self._saw("start")

    def stopFactory(self) -> Any:
        return self._saw("stop")

    def buildProtocol(self, addr: Any) -> Any:
        self.trace.append("build")
        if "build" in self.hooks:
            return self.hooks["build"](self, addr)
        self.built.append(self.protocolClass(self.trace, self.protocolHooks))
        return self.built[-1]

    def startedConnecting(self, connector: Any) -> Any:
        return self._saw("started", connector.state, arguments=(connector,))

    def clientConnectionFailed(self, connector: Any, reason: Any) -> Any:
        return self._saw("failed", connector.state, type(reason.value).__name__, arguments=(connector, reason))

    def clientConnectionLost(self, connector: Any, reason: Any) -> Any:
        return self._saw("connectorLost", connector.state, type(reason.value).__name__, arguments=(connector, reason))

    @property
    def only(self) -> Any:
        (protocol,) = self.built
        return protocol


class World:
    """One reactor of one side, and what runs on it over TCP. Every party's trace is a list of names, or of tuples."""

    host = LOOPBACK
    afterReset = "ConnectionLost"  # what the peer of an aborted connection is told
    hasErrors = True  # whether a peer that leaves with something unread is an error of the stream
    isTLS = False
    hasConnectors = True  # whether the clients of its pairs have connected, through a Connector

    def __init__(self, side: Any = OURS) -> None:
        self.side = side
        self.reactor = side.makeReactor()
        base = side.protocol.Protocol
        self._plain = type("Plain", (_Recording, base), {})
        self._halves = type("Halves", (_RecordingHalves, base), {})
        if side is TWISTED:
            classImplements(self._halves, twisted.internet.interfaces.IHalfCloseableProtocol)

    def close(self) -> None:
        """End everything that is left."""
        self.side.close(self.reactor)

    def until(self, condition: Condition) -> None:
        """Go on until `condition()` is true."""
        turnUntil(self.reactor, condition)

    def serverFactory(self, hooks: Hooks | None = None, halves: bool = False, **factoryHooks: Any) -> Any:
        """A recording factory for accepted connections."""
        kind = type("Server", (_RecordingFactory, self.side.protocol.ServerFactory), {})
        return kind(self._halves if halves else self._plain, hooks or {}, factoryHooks)

    def clientFactory(self, hooks: Hooks | None = None, halves: bool = False, **factoryHooks: Any) -> Any:
        """A recording factory for connections that are made."""
        kind = type("Client", (_RecordingFactory, self.side.protocol.ClientFactory), {})
        return kind(self._halves if halves else self._plain, hooks or {}, factoryHooks)

    def listen(self, factory: Any) -> Any:
        """Listen somewhere for `factory`."""
        return self.reactor.listenTCP(0, factory, interface=self.host)

    def connect(self, port: Any, factory: Any) -> Any:
        """Connect `factory` to what listen() returned."""
        return self.reactor.connectTCP(self.host, port.getHost().port, factory)

    def pair(
        self, server: Hooks | None = None, client: Hooks | None = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        """A server's protocol and a client's, connected. Each one's `trace` begins with "made"."""
        servers = self.serverFactory(server, halves)
        clients = self.clientFactory(client, clientHalves)
        port = self.listen(servers)
        self.connect(port, clients)
        self.until(lambda: servers.built and clients.built and "made" in servers.trace and "made" in clients.trace)
        port.stopListening()
        return servers.only, clients.only


class IPv6World(World):
    """The same over IPv6."""

    host = "::1"


class UNIXWorld(World):
    """The same over UNIX sockets, whose files are in a directory of their own."""

    afterReset = "ConnectionDone"  # the kernel has no reset for them

    def __init__(self, side: Any = OURS) -> None:
        super().__init__(side)
        self.directory = tempfile.TemporaryDirectory()
        self._numbers = itertools.count()

    def close(self) -> None:
        super().close()
        self.directory.cleanup()

    def path(self) -> str:
        """A path at which there is nothing yet."""
        return f"{self.directory.name}/{next(self._numbers)}"

    def listen(self, factory: Any) -> Any:
        return self.reactor.listenUNIX(self.path(), factory)

    def connect(self, port: Any, factory: Any) -> Any:
        return self.reactor.connectUNIX(os.fsdecode(port.getHost().name), factory)


class MemoryWorld(World):
    """Pairs in memory, inside a reactor of the side: that tells the time, and in its turns the pairs have theirs."""

    hasConnectors = False

    def __init__(self, side: Any = OURS) -> None:
        super().__init__(side)
        self.outer = self.reactor
        self.reactor: Any = PumpReactor(self.outer)
        self.busy = False

    def close(self) -> None:
        self.reactor.disconnectAll()
        self.until(lambda: not self.reactor.turn())
        self.reactor.close()
        self.side.close(self.outer)

    def until(self, condition: Condition) -> None:
        end = time.monotonic() + DEADLINE
        while not condition():
            self.outer.callLater(0, self.turn)
            self.outer.iterate(0 if self.busy else 0.001)
            assert time.monotonic() < end, "the condition has not come true in time"

    def listen(self, factory: Any) -> Any:
        return SimpleNamespace(factory=factory, stopListening=lambda: None)

    def connect(self, port: Any, factory: Any) -> Any:
        server, client = self.end(port.factory, True), self.end(factory, False)
        connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False, clock=self.reactor)

    def turn(self) -> None:
        """The pairs have their turn, in one of the outer reactor's."""
        self.busy = self.reactor.turn()

    def end(self, factory: Any, isServer: bool) -> Any:
        """Return the protocol for one end of the pair: one of the factory's."""
        return factory.buildProtocol(None)


class Producer:
    """A producer that writes down what it is told, and calls a hook."""

    def __init__(self, **hooks: Callable[[], object]) -> None:
        self.trace: list[str] = []
        self.hooks = hooks

    def _told(self, word: str) -> None:
        self.trace.append(word)
        if word in self.hooks:
            self.hooks[word]()

    def pauseProducing(self) -> None:
        self._told("pause")

    def resumeProducing(self) -> None:
        self._told("resume")

    def stopProducing(self) -> None:
        self._told("stop")
