"""100 MiB each way at once over every stream transport on every reactor, with pauses: nothing is lost, doubled, moved.

And 100 MiB for a peer that stops reading: little is kept of them, or the connection ends, whatever writes them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import os
import random
import socket
import ssl
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, ClassVar

import pytest
import uvloop

from reactor import LineOnlyReceiver, LineReceiver, ProcessProtocol, Protocol, ServerFactory
from reactor.aio import ProtocolFactory, openConnection
from reactor.error import ConnectionDone, OutputLimitExceeded, ProcessExitedAlready
from reactor.stdio import StandardIO
from reactor.transports.output import HIGH_WATER, OUTPUT_LIMIT
from tests.contract.cells import CELLS, TRANSPORTS, makeWorld
from tests.support.tlsworlds import TRUST, certificatePath
from tests.support.worlds import DEADLINE, LOOPBACK, OURS, ROOT, World

SIZE = 100 << 20
PIECE = 60_000
LINE = 16 * 1024
MARK = HIGH_WATER + 64 * 1024
PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    """How many bytes of this process are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


class Writer:
    """A producer of `size` bytes, push or pull: pieces with their number and of many lengths, all in `digest`."""

    def __init__(self, transport: Any, size: int, seed: int, streaming: bool, most: int = PIECE) -> None:
        self.transport, self.left, self.streaming, self.most = transport, size, streaming, most
        self.rng = random.Random(seed)
        self.content = self.rng.randbytes(most)
        self.digest = hashlib.sha256()
        self.number = 0
        self.pauses = 0
        self.paused = False

    def start(self) -> None:
        self.transport.registerProducer(self, self.streaming)
        if self.streaming:
            self.resumeProducing()

    def resumeProducing(self) -> None:
        self.paused = False
        self.writeOne()
        while self.streaming and self.left and not self.paused:
            self.writeOne()
        if not self.left and self.transport.producer is self:
            self.transport.unregisterProducer()

    def writeOne(self) -> None:
        if self.left:
            self.number += 1
            piece = (self.number.to_bytes(8, "big") + self.content[: self.rng.randrange(self.most)])[: self.left]
            self.left -= len(piece)
            self.digest.update(piece)
            self.transport.write(piece)

    def pauseProducing(self) -> None:
        self.paused = True
        self.pauses += 1

    def stopProducing(self) -> None:
        self.left = 0


class Reader:
    """Takes what comes, and pauses at irregular points, each time for a few turns."""

    def __init__(self, world: World, protocol: Any, seed: int) -> None:
        self.world, self.protocol = world, protocol
        self.rng = random.Random(seed)
        self.digest = hashlib.sha256()
        self.count = 0
        self.pauses = 0
        self.next = 0
        protocol.hooks = {**protocol.hooks, "data": self.take}

    def take(self, protocol: Any, data: bytes) -> None:
        protocol.received.clear()
        self.digest.update(data)
        self.count += len(data)
        if self.count >= self.next:
            self.next = self.count + self.rng.randrange(2 << 20)
            self.pauses += 1
            protocol.transport.pauseProducing()
            self.rest(self.rng.randrange(5))

    def rest(self, turns: int) -> None:
        call = (self.rest, turns - 1) if turns else (self.protocol.transport.resumeProducing,)
        self.world.reactor.callLater(0, *call)


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = makeWorld(request.param)
    yield made
    made.close()


EVERYWHERE = pytest.mark.parametrize("world", CELLS, ids=" on ".join, indirect=True)
TRANSPORTS_ON_EPOLL = [(transport, "epoll") for transport in TRANSPORTS]
ON_EPOLL = pytest.mark.parametrize("world", TRANSPORTS_ON_EPOLL, ids=TRANSPORTS, indirect=True)


@EVERYWHERE
def test_bothDirectionsAtOnce(world: World) -> None:
    """A push producer on one side and a pull producer on the other."""
    server, client = world.pair()
    writers = [Writer(server.transport, SIZE, 1, True), Writer(client.transport, SIZE, 2, False)]
    readers = [Reader(world, client, 3), Reader(world, server, 4)]
    for writer in writers:
        writer.start()
    counted = -1
    while counted < (counted := sum(reader.count for reader in readers)) or counted < 2 * SIZE:
        step = min(counted + (16 << 20), 2 * SIZE)
        world.until(lambda step=step: sum(reader.count for reader in readers) >= step)
    assert [reader.count for reader in readers] == [SIZE, SIZE]
    assert [reader.digest.digest() for reader in readers] == [writer.digest.digest() for writer in writers]
    assert min(reader.pauses for reader in readers) > 50
    assert writers[0].pauses > 50
    client.transport.loseConnection()
    world.until(lambda: server.lost is not None and client.lost is not None)
    assert (type(server.lost.value), type(client.lost.value)) == (ConnectionDone, ConnectionDone)


def unsentBelow(transport: Any) -> int:
    """Return how much is written and not sent, TLS's ciphertext too."""
    lower = getattr(transport, "lower", None)
    return int(transport.unsent + (lower.unsent if lower is not None else 0))


def betweenThem(transport: Any) -> int:
    """Return how much lies in a wire in memory, which stands for the kernel's buffers."""
    sock = getattr(transport, "lower", transport).socket
    return len(getattr(sock, "outgoing", b"")) + len(getattr(sock, "incoming", b""))


def stalled(world: World) -> tuple[int, int]:
    """Want 100 MiB on each of 16 connections that nobody reads.

    Return what each takes of Python's memory at the most, and of the process's in the end, in bytes.
    """
    pairs = [world.pair() for _ in range(16)]
    for _, client in pairs:
        client.transport.pauseProducing()
    writers = [Writer(server.transport, SIZE, number, True, 4096) for number, (server, _) in enumerate(pairs)]
    gc.collect()
    before = resident()
    tracemalloc.start()
    state: list[Any] = []

    def standsStill() -> bool:
        state.append([writer.number for writer in writers])
        assert max(unsentBelow(writer.transport) for writer in writers) <= MARK
        return len(state) > 20 and state[-1] == state[-20]

    for writer in writers:
        writer.start()
    world.until(standsStill)
    traced, _ = tracemalloc.get_traced_memory()
    traced -= sum(betweenThem(end.transport) for pair in pairs for end in pair)
    tracemalloc.stop()
    grown = resident() - before
    assert all(writer.paused and writer.transport.producerPaused for writer in writers)
    assert min(writer.left for writer in writers) > SIZE // 2
    for end in [end for pair in pairs for end in pair]:
        end.transport.abortConnection()
    world.until(lambda: all(end.lost is not None for pair in pairs for end in pair))
    return traced // len(pairs), grown // len(pairs)


@EVERYWHERE
def test_aProducerThatListensCostsTheHighWaterMark(world: World) -> None:
    """And 64 KiB. The process grows by less, once such a time has come and gone: malloc has kept its holes."""
    traced, _ = stalled(world)
    assert traced <= MARK, f"{traced} bytes of Python's for each connection"
    _, grown = stalled(world)
    assert grown <= MARK, f"{grown} bytes of memory for each connection"


# The hard cap: each of these writes LINE bytes, in one more way.


def lines(transport: Any, kind: Any) -> Any:
    receiver = kind()
    receiver.transport = transport
    return receiver


TEXT = b"x" * (LINE - 2)
WAYS: dict[str, Callable[[Any], Any]] = {
    "write": lambda transport: transport.write(bytes(LINE)),
    "write of a bytearray": lambda transport: transport.write(bytearray(LINE)),
    "writeSequence": lambda transport: transport.writeSequence([bytes(LINE // 2)] * 2),
    "sendLine": lambda transport: lines(transport, LineReceiver).sendLine(TEXT),
    "sendLines": lambda transport: lines(transport, LineReceiver).sendLines([TEXT[: LINE // 2 - 2]] * 2),
    "sendLine of lines only": lambda transport: lines(transport, LineOnlyReceiver).sendLine(TEXT),
}


def flood(transport: Any, way: str) -> list[int]:
    """Write until the transport has enough, but no more than SIZE; return what was unsent after each write."""
    unsent: list[int] = []
    for _ in range(SIZE // LINE):
        WAYS[way](transport)
        unsent.append(transport.unsent)
        if transport.disconnecting:
            break
    return unsent


def check(unsent: list[int]) -> None:
    assert OUTPUT_LIMIT < max(unsent) <= OUTPUT_LIMIT + LINE
    assert unsent[-1] == 0  # let go of at once


@ON_EPOLL
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["anybody", "its dataReceived", "callLater", "another connection", "another thread"])
def test_whoDoesNotListenIsEndedAtTheCap(world: World, way: str, who: str) -> None:
    told: list[list[int]] = []
    server, client = world.pair()
    other, otherClient = world.pair()

    def write(*_: object) -> None:
        told.append(flood(server.transport, way))

    client.transport.pauseProducing()
    if who == "its dataReceived":
        server.hooks = {"data": write}
        client.transport.write(b"go")
    elif who == "callLater":
        world.reactor.callLater(0, write)
    elif who == "another connection":
        other.hooks = {"data": write}
        otherClient.transport.write(b"go")
    elif who == "another thread":
        world.reactor.callFromThread(write)
    else:
        write()
    world.until(lambda: server.lost is not None)
    check(told[0])
    assert len(told) == 1
    assert type(server.lost.value) is OutputLimitExceeded
    assert other.lost is None
    client.transport.abortConnection()
    world.until(lambda: client.lost is not None)


CAPPED = """
import gc, logging, sys
from tests.contract.cells import makeWorld
from tests.battery.test_transfers import LINE, OUTPUT_LIMIT, resident
logging.disable(logging.CRITICAL)
count = 10
world = makeWorld((sys.argv[1], "epoll"))
pairs = [world.pair() for _ in range(count)]
for _, client in pairs:
    client.transport.pauseProducing()
gc.collect()
before = most = resident()
piece = bytes(LINE)
left = [server.transport for server, _ in pairs]
while left:
    for transport in left:
        transport.write(piece)
    most = max(most, resident())
    left = [transport for transport in left if not transport.disconnecting]
print((most - before) // count - OUTPUT_LIMIT - LINE)
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_whatTheCapCosts(transport: str) -> None:
    """In memory: the cap and one write for each connection, give or take a twentieth of malloc's."""
    result = subprocess.run(
        [sys.executable, "-c", CAPPED, transport], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) <= OUTPUT_LIMIT // 20, f"{result.stdout.strip()} bytes above the cap and one write"


class Deaf(ProcessProtocol):
    def __init__(self) -> None:
        self.closed: list[int] = []
        self.reason: Any = None

    def childConnectionLost(self, childFD: int) -> None:
        self.closed.append(childFD)

    def processEnded(self, reason: Any) -> None:
        self.reason = reason


@pytest.mark.parametrize(
    ("usePTY", "way"),
    [
        (False, "write"),
        (False, "writeSequence"),
        (False, "writeToChild"),
        (True, "write"),
        (True, "writeSequence"),
    ],
)
def test_aChildThatDoesNotRead(usePTY: bool, way: str) -> None:
    world, deaf = World(OURS), Deaf()
    process: Any = world.reactor.spawnProcess(deaf, "/bin/sleep", ["sleep", "1000"], usePTY=usePTY)
    try:
        stdin = process._terminal if usePTY else process._pipes[0]
        ways: dict[str, Callable[[Any], object]] = {
            **WAYS,
            "writeToChild": lambda transport: transport.writeToChild(0, bytes(LINE)),
        }
        write = ways[way]
        unsent = []
        for _ in range(SIZE // LINE):
            write(process)
            unsent.append(stdin.unsent)
            if stdin.disconnecting:
                break
        check(unsent)
        world.until(lambda: stdin.disconnected)
        assert deaf.closed == ([] if usePTY else [0])
    finally:
        with contextlib.suppress(ProcessExitedAlready):  # the end of a terminal is told by SIGHUP
            process.signalProcess("KILL")
        world.until(lambda: deaf.reason)
        world.close()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["pipes", "sockets"])
def test_standardOutputThatNobodyReads(way: str, kind: str) -> None:
    world = World(OURS)
    lost: list[Any] = []

    class Speaking(Protocol):
        def connectionLost(self, reason: Any = None) -> None:
            lost.append(type(reason.value))

    with contextlib.ExitStack() as files:
        files.callback(world.close)
        ends: tuple[int, int, int, int]
        if kind == "pipes":
            ends = (*os.pipe(), *os.pipe())
            for fd in ends:
                files.callback(os.close, fd)
        else:
            pairs = [files.enter_context(each) for each in (*socket.socketpair(), *socket.socketpair())]
            ends = tuple(each.fileno() for each in pairs)  # type: ignore[assignment]
        protocol = Speaking()
        StandardIO(protocol, ends[0], ends[3], reactor=world.reactor)
        check(flood(protocol.transport, way))
        world.until(lambda: lost)
        assert lost == [OutputLimitExceeded]


# With no reactor of ours.


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Any], Any]]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


@contextlib.asynccontextmanager
async def deafServer(secure: bool) -> AsyncIterator[Any]:
    """Listens, with TLS or without, and gives its connections to protocols that read nothing."""

    class DeafProtocol(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            connected.append(transport)
            asyncio.get_running_loop().call_soon(transport.pause_reading)  # uvloop begins to read only after this

    connected: list[Any] = []
    context = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificatePath())
    server = await asyncio.get_running_loop().create_server(DeafProtocol, LOOPBACK, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for transport in connected:
            transport.abort()
        for _ in range(5):  # transports of asyncio close their sockets later
            await asyncio.sleep(0)


def trusting(secure: bool) -> dict[str, Any]:
    return {"ssl": ssl.create_default_context(cadata=TRUST.decode())} if secure else {}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_aProtocolOnAsynciosTransports(run: Callable[[Any], Any], way: str, secure: bool) -> None:
    unsent: list[int] = []

    class Speaking(Protocol):
        lost: ClassVar[asyncio.Future[type[BaseException]]]

        def connectionMade(self) -> None:
            unsent.extend(flood(self.transport, way))

        def connectionLost(self, reason: Any = None) -> None:
            self.lost.set_result(type(reason.value))

    async def main() -> None:
        Speaking.lost = asyncio.get_running_loop().create_future()
        async with deafServer(secure) as name:
            factory = ProtocolFactory(ServerFactory.forProtocol(Speaking))
            await asyncio.get_running_loop().create_connection(factory, *name, **trusting(secure))
            assert await Speaking.lost is OutputLimitExceeded

    run(main())
    check(unsent)


@pytest.mark.parametrize("way", ["write", "writelines"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("turning", [False, True], ids=["at once", "turn by turn"])
def test_aStreamThatNeverDrains(run: Callable[[Any], Any], way: str, secure: bool, turning: bool) -> None:
    held: list[int] = []

    async def main() -> None:
        async with deafServer(secure) as name:
            _, writer = await openConnection(*name, **trusting(secure))
            for _ in range(SIZE // LINE):
                if way == "write":
                    writer.write(bytes(LINE))
                else:
                    writer.writelines([bytes(LINE // 2)] * 2)
                held.append(writer.transport.get_write_buffer_size() + writer._size)
                if writer.is_closing():
                    break
                if turning:
                    await asyncio.sleep(0)
            with pytest.raises(OutputLimitExceeded):
                await writer.wait_closed()

    run(main())
    overhead = LINE // 64 if secure else 0  # of TLS's records
    assert OUTPUT_LIMIT < max(held) <= OUTPUT_LIMIT + LINE + overhead
