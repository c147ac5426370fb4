"""The jobs on linereactor and on Twisted: the same classes, with different imports.

VARIANT is a rival's name: ours, ours-batch, ours-only, ours-pull, ours-raw, ours-uvloop, twisted, twisted-only.
"""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from bench.servers.common import ASKING, BACKLOG, BLOCK, HEADER, PONG, jobsOf, tlsContext, total, totals

VARIANT = sys.argv[1] if len(sys.argv) > 1 else "ours"
TWISTED = VARIANT.startswith("twisted")

if TWISTED:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, ensureDeferred
    from twisted.internet.interfaces import IHalfCloseableProtocol
    from twisted.internet.protocol import DatagramProtocol, Protocol, ServerFactory
    from twisted.protocols.basic import LineOnlyReceiver, LineReceiver
    from zope.interface import classImplements
else:
    import reactor
    from reactor import DatagramProtocol, Deferred, LineOnlyReceiver, LineReceiver, Protocol, ServerFactory

Lines: Any = LineOnlyReceiver if VARIANT.endswith("-only") else LineReceiver


class Pong(Lines):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(PONG)


class BatchPong(LineReceiver):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.sendLines([PONG] * len(lines))


class Echo(Lines):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class BatchEcho(LineReceiver):
    def linesReceived(self, lines: list[bytes]) -> None:
        self.sendLines(lines)


class Count(Lines):
    lines = size = 0

    def lineReceived(self, line: bytes) -> None:
        self.lines += 1
        self.size += len(line)

    def readConnectionLost(self) -> None:
        self.transport.write(totals(self.lines, self.size))
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


class BatchCount(LineReceiver):
    lines = size = 0

    def linesReceived(self, lines: list[bytes]) -> None:
        self.lines += len(lines)
        self.size += sum(map(len, lines))

    readConnectionLost = Count.readConnectionLost
    writeConnectionLost = Count.writeConnectionLost


class Chat(Lines):
    clients: ClassVar[set[Chat]] = set()

    def connectionMade(self) -> None:
        self.clients.add(self)

    def lineReceived(self, line: bytes) -> None:
        for client in (self,) if line == ASKING else self.clients:
            client.sendLine(line)

    def connectionLost(self, reason: Any = None) -> None:
        self.clients.discard(self)


async def answer(line: bytes) -> bytes:
    return PONG


def nextTurn() -> Any:
    turned = Deferred()
    reactor.callLater(0, turned.callback, None)
    return turned


class Async(LineReceiver):
    async def handle(self, line: bytes) -> None:
        self.sendLine(await answer(line))

    # Twisted's LineReceiver takes a coroutine for a true value, and never runs it. A program has to do this instead.
    # Nothing then holds a client's next line back.
    if TWISTED:

        def lineReceived(self, line: bytes) -> None:
            ensureDeferred(self.handle(line))
    else:

        async def lineReceived(self, line: bytes) -> None:
            await self.handle(line)


class Asleep(Async):
    async def handle(self, line: bytes) -> None:
        await nextTurn()
        self.sendLine(await answer(line))


class Sink(Protocol):
    size = announced = 0

    def dataReceived(self, data: bytes) -> None:
        self.size += len(data)
        if not self.announced:
            self.announced = int(data[:HEADER])
        if self.size >= self.announced:
            self.transport.write(total(self.size))


class RawSink(LineReceiver):
    size = announced = 0
    line_mode = 0
    rawDataReceived = Sink.dataReceived


class Blocks:
    """A push producer: writes blocks until it is paused, and closes at the end."""

    def __init__(self, transport: Any, left: int) -> None:
        self.transport = transport
        self.left = left
        self.paused = False

    def writeBlock(self) -> None:
        self.transport.write(BLOCK[: self.left])
        self.left -= min(self.left, len(BLOCK))
        if not self.left:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.writeBlock()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.left = 0


class PulledBlocks(Blocks):
    """A pull producer: writes one block whenever everything has been sent."""

    def resumeProducing(self) -> None:
        self.writeBlock()


class Source(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        if VARIANT == "ours-pull":
            self.transport.registerProducer(PulledBlocks(self.transport, int(line)), False)
            return
        blocks = Blocks(self.transport, int(line))
        self.transport.registerProducer(blocks, True)
        blocks.resumeProducing()


class EchoDatagrams(DatagramProtocol):
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram, addr)


if TWISTED:
    classImplements(Count, IHalfCloseableProtocol)

CLASSES: dict[str, Any] = {
    "pong": Pong,
    "echo": Echo,
    "count": Count,
    "chat": Chat,
    "async": Async,
    "asleep": Asleep,
    "sink": Sink,
    "source": Source,
}
if VARIANT == "ours-batch":
    CLASSES |= {"pong": BatchPong, "echo": BatchEcho, "count": BatchCount}
elif VARIANT == "ours-raw":
    CLASSES["sink"] = RawSink


def contextFactory() -> Any:
    if not TWISTED:
        return tlsContext()
    from twisted.internet.ssl import PrivateCertificate  # needs pyOpenSSL, so only TLS imports it

    with open(os.environ["BENCH_PEM"]) as file:
        return PrivateCertificate.loadPEM(file.read()).options()


def main() -> None:
    if VARIANT == "ours-uvloop":
        import uvloop

        reactor.install(reactor.AsyncioReactor(uvloop.new_event_loop()))
    for job in jobsOf(sys.argv[2:]):
        if job.name == "udp":
            reactor.listenUDP(job.port, EchoDatagrams(), interface="127.0.0.1")
            continue
        factory = ServerFactory.forProtocol(CLASSES[job.name])
        if job.tls:
            reactor.listenSSL(job.port, factory, contextFactory(), BACKLOG, "127.0.0.1")
        else:
            reactor.listenTCP(job.port, factory, BACKLOG, "127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
