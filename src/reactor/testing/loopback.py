"""Two protocols that talk to each other until one of them closes the connection."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from reactor import _current
from reactor._arguments import checkProducer
from reactor._beside import beside
from reactor.address import IPv4Address
from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.linecore import asBytes
from reactor.protocol import ClientFactory, ServerFactory
from reactor.transports.output import PULL_REST

PumpPolicy = Callable[["LoopbackQueue", Any], None]


class LoopbackQueue:
    """The output of one side that the other has not got.

    It is true while it is not empty, and `get()` takes the next piece. None stands for the end of the connection.
    """

    def __init__(self) -> None:
        self._pieces: deque[bytes | None] = deque()
        self.disconnect = False
        self.changed: Callable[[], None] = lambda: None

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def get(self) -> bytes | None:
        """Take out the next piece, and return it."""
        return self._pieces.popleft()

    def put(self, piece: bytes | None) -> None:
        """Append a piece."""
        self._pieces.append(piece)
        self.changed()


def identityPumpPolicy(queue: LoopbackQueue, target: Any) -> None:
    """Deliver each piece as it was written."""
    while queue and (piece := queue.get()) is not None:
        beside(target.dataReceived(piece))


def collapsingPumpPolicy(queue: LoopbackQueue, target: Any) -> None:
    """Deliver all pieces joined."""
    pieces = []
    while queue and (piece := queue.get()) is not None:
        pieces.append(piece)
    if pieces:
        beside(target.dataReceived(b"".join(pieces)))


class LoopbackRelay:
    """A transport that keeps the output until clearBuffer() gives it to the protocol `target`, at the other end.

    `logFile`, if there is one, gets all output.
    """

    buffer = b""
    shouldLose = 0
    disconnecting = 0
    producer: Any = None

    def __init__(self, target: Any, logFile: Any = None) -> None:
        self.target = target
        self.logFile = logFile

    def write(self, data: BytesLike) -> None:
        """Keep `data`."""
        data = asBytes(data)
        self.buffer += data
        self._log(f"loopback writing {data!r}\n")

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Keep the pieces of `iovec`."""
        self.write(b"".join(iovec))

    def clearBuffer(self) -> None:
        """Ask the producer for more, deliver the kept output, and then the end, if loseConnection() was called."""
        if self.shouldLose == -1:
            return
        if self.producer is not None:
            beside(self.producer.resumeProducing())
        if self.buffer:
            self._log(f"loopback receiving {self.buffer!r}\n")
            data, self.buffer = self.buffer, b""
            beside(self.target.dataReceived(data))
        if self.shouldLose == 1:
            self.shouldLose = -1
            beside(self.target.connectionLost(Failure(ConnectionDone())))

    def loseConnection(self) -> None:
        """Make the next clearBuffer() end the connection."""
        if self.shouldLose != -1:
            self.shouldLose = 1

    def getHost(self) -> str:
        """Return "loopback"."""
        return "loopback"

    def getPeer(self) -> str:
        """Return "loopback"."""
        return "loopback"

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Make clearBuffer() ask `producer` for more."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Undo registerProducer."""
        self.producer = None

    def logPrefix(self) -> str:
        """Return the name of the target's class."""
        return f"Loopback({type(self.target).__name__!r})"

    def _log(self, text: str) -> None:
        if self.logFile:
            self.logFile.write(text)


class _LoopbackTransport:
    """The transport of loopbackAsync: its output goes into a queue."""

    connected = True
    disconnected = False
    disconnecting = False
    producer: Any = None
    streamingProducer = False

    _asking = False

    def __init__(self, queue: LoopbackQueue, host: IPv4Address, peer: IPv4Address) -> None:
        self._queue = queue
        self._host = host
        self._peer = peer

    def write(self, data: BytesLike) -> None:
        self._queue.put(asBytes(data))

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self._queue.disconnect = True
        self._queue.put(None)

    abortConnection = loseConnection

    def getPeer(self) -> IPv4Address:
        return self._peer

    def getHost(self) -> IPv4Address:
        return self._host

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        checkProducer(producer)
        if self.producer is not None:
            raise RuntimeError(f"cannot register producer {producer!r}: {self.producer!r} was never unregistered")
        self.producer = producer
        self.streamingProducer = streaming
        self.askProducer()

    def unregisterProducer(self) -> None:
        self.producer = None

    def askProducer(self) -> None:
        """Ask a pull producer for more: all output is delivered. If it writes nothing, ask again a little later."""
        producer = self.producer
        if producer is None or self.streamingProducer or self.disconnected:
            return
        producer.resumeProducing()
        if self.producer is producer and not (self._queue or self._asking):
            self._asking = True
            _current.current().callLater(PULL_REST, self._askAgain)

    def _askAgain(self) -> None:
        self._asking = False
        if not self._queue:
            self.askProducer()

    def pauseProducing(self) -> None:
        """Do nothing: all output is delivered."""

    def resumeProducing(self) -> None:
        """See pauseProducing."""

    def end(self, protocol: Any) -> None:
        self.connected = False
        self.disconnected = True
        beside(protocol.connectionLost(Failure(ConnectionDone())))


class _Loopback:
    """One connection of loopbackAsync. It works in calls of the current reactor, never inside a write."""

    def __init__(self, server: Any, client: Any, pumpPolicy: PumpPolicy) -> None:
        self.ended: Deferred[None] = Deferred()
        self._policy = pumpPolicy
        addresses = [IPv4Address("TCP", "127.0.0.1", port) for port in (7000, 7001)]
        # (writer, its queue, receiver)
        self._ways = [(server, LoopbackQueue(), client), (client, LoopbackQueue(), server)]
        self._awake = True
        for (writer, queue, _target), host, peer in zip(self._ways, addresses, reversed(addresses), strict=True):
            queue.changed = self._wake
            beside(writer.makeConnection(_LoopbackTransport(queue, host, peer)))
        self._run()

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            _current.current().callLater(0, self._runLater)

    def _runLater(self) -> None:
        try:
            self._run()
        except Exception:
            self.ended.errback(Failure())

    def _run(self) -> None:
        """Deliver until no side writes any more or one side closes."""
        while sum(self._deliver(*way) for way in self._ways):
            closing = next((way for way in self._ways if way[1].disconnect), None)
            if closing is not None:
                self._deliver(*closing)
                for protocol, _queue, _target in self._ways:
                    protocol.transport.end(protocol)
                self.ended.callback(None)
                return
        self._awake = False

    def _deliver(self, writer: Any, queue: LoopbackQueue, target: Any) -> bool:
        if not queue:
            return False
        self._policy(queue, target)
        if not queue:
            writer.transport.askProducer()
        return True


def loopbackAsync(server: Any, client: Any, pumpPolicy: PumpPolicy = identityPumpPolicy) -> Deferred[None]:
    """Connect two protocols in memory; the Deferred fires with None after connectionLost of both.

    `pumpPolicy(queue, protocol)` takes the output of one side from a LoopbackQueue and gives it to the other. Output
    that is written after everything has been delivered is delivered on the current reactor's next turn. An exception of
    a protocol passes through during this call, and fails the Deferred later.
    """
    return _Loopback(server, client, pumpPolicy).ended


class LoopbackClientFactory(ClientFactory[Any]):
    """Connects one protocol, an instance. `deferred` fires with None when its connection has ended, or fails."""

    def __init__(self, protocol: Any) -> None:
        self.disconnected = 0
        self.deferred: Deferred[None] = Deferred()
        self.protocol = protocol

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol."""
        return self.protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """Fail the Deferred. The connector calls this when the attempt has failed."""
        self.deferred.errback(reason)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Note the end. The connector calls this when the connection is over."""
        self.disconnected = 1
        self.deferred.callback(None)


class _LoopbackServerFactory(ServerFactory[Any]):
    def __init__(self, protocol: Any, noisy: bool) -> None:
        self.noisy = noisy
        self._protocol = protocol
        self.ended: Deferred[None] = Deferred()

    def buildProtocol(self, addr: Any) -> Any:
        return _Telling(self._protocol, self.ended)


class _Telling:
    """Passes all calls on to a protocol, and fires a Deferred after its connectionLost."""

    def __init__(self, protocol: Any, ended: Deferred[None]) -> None:
        self._protocol = protocol
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def connectionLost(self, reason: Failure) -> Any:
        try:
            return self._protocol.connectionLost(reason)
        finally:
            self._ended.callback(None)


def loopbackUNIX(server: Any, client: Any, noisy: bool = True) -> Deferred[None]:
    """Connect two protocols over a UNIX socket in a new directory, in the current reactor; see loopbackTCP."""
    reactor = _current.current()
    directory = tempfile.mkdtemp(prefix="reactor-loopback-")
    path = os.path.join(directory, "socket")

    def listen(factory: Any) -> Any:
        return reactor.listenUNIX(path, factory, wantPID=False)

    def removed(result: Any) -> Any:
        os.rmdir(directory)
        return result

    try:
        talked = _talk(server, client, noisy, listen, lambda _, factory: reactor.connectUNIX(path, factory))
    except BaseException:
        os.rmdir(directory)
        raise
    return talked.addBoth(removed)


def loopbackTCP(server: Any, client: Any, port: int = 0, noisy: bool = True) -> Deferred[None]:
    """Connect two protocols over TCP on 127.0.0.1, in the current reactor.

    The Deferred fires with None after connectionLost of both, when the port is closed.
    """
    reactor = _current.current()

    def listen(factory: Any) -> Any:
        return reactor.listenTCP(port, factory, interface="127.0.0.1")

    def connect(listening: Any, factory: Any) -> object:
        return reactor.connectTCP("127.0.0.1", listening.getHost().port, factory)

    return _talk(server, client, noisy, listen, connect)


def _talk(
    server: Any, client: Any, noisy: bool, listen: Callable[[Any], Any], connect: Callable[[Any, Any], object]
) -> Deferred[None]:
    serving, asking = _LoopbackServerFactory(server, noisy), LoopbackClientFactory(client)
    asking.noisy = noisy
    listening = listen(serving)
    connect(listening, asking)
    lost = asking.deferred.addCallback(lambda _: serving.ended)
    return lost.addBoth(lambda result: listening.stopListening().addCallback(lambda _: result))
