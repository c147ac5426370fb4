"""reactor.aio: our protocols on asyncio's transports under the transport contract, and streams of lines."""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import random
import socket
import ssl
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import trustme
import uvloop

import reactor as package
from reactor import (
    ClientFactory,
    Deferred,
    LineReceiver,
    LoopingCall,
    Protocol,
    ServerFactory,
    ThrottlingFactory,
    TimeoutFactory,
    TimeoutMixin,
    UNIXAddress,
    _current,
    blockingCallFromThread,
    cooperate,
    deferLater,
    deferToThread,
)
from reactor.aio import (
    LineReader,
    LineTooLong,
    LineWriter,
    LoopServices,
    ProtocolFactory,
    openConnection,
    serving,
    startServer,
)
from reactor.aio.serving import servicesOf
from reactor.error import ConnectionDone, ConnectionLost, OutputLimitExceeded
from tests.contract.transport import TransportContract
from tests.support.worlds import ASYNCIO, DEADLINE, LOOPBACK, UVLOOP, Condition, Hooks, World, reset, runProgram

SERVER, CLIENT = ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT
SIDES = [pytest.param(side, id=side.name) for side in (ASYNCIO, UVLOOP)]


class AioWorld(World):
    """Recording protocols on asyncio's transports. The reactor only turns the event loop."""

    hasConnectors = False

    def __init__(self, side: Any) -> None:
        super().__init__(side)
        self.ends: list[Any] = []

    def pair(
        self, server: Hooks | None = None, client: Hooks | None = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        servers, clients = self.serverFactory(server, halves), self.clientFactory(client, clientHalves)
        self.reactor.eventloop.run_until_complete(self.join(servers, clients))
        self.until(lambda: servers.built and "made" in servers.trace)
        self.ends += (servers.only, clients.only)
        return servers.only, clients.only

    def close(self) -> None:
        for protocol in self.ends:
            protocol.transport.abortConnection()
        self.until(lambda: all(protocol.lost is not None for protocol in self.ends))
        for _ in range(3):  # transports of asyncio close their sockets later
            self.reactor.iterate(0)
        super().close()

    def until(self, condition: Condition) -> None:
        """One poll of the event loop at a time: nothing here tells the reactor when something has happened."""
        end = time.monotonic() + DEADLINE
        while not condition():
            self.reactor.iterate(0)
            assert time.monotonic() < end, "the condition has not come true in time"

    async def join(self, servers: Any, clients: Any) -> None:
        loop = self.reactor.eventloop
        listening = await loop.create_server(ProtocolFactory(servers), self.host, 0)
        await loop.create_connection(ProtocolFactory(clients), self.host, listening.sockets[0].getsockname()[1])
        listening.close()


class TestAdapter(TransportContract):
    @pytest.fixture(params=SIDES)
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = AioWorld(request.param)
        yield world
        world.close()


@pytest.fixture(params=SIDES)
def run(request: pytest.FixtureRequest) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine on asyncio's event loop, and on uvloop's, within the deadline."""
    factory = uvloop.new_event_loop if request.param is UVLOOP else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        yield lambda main: runner.run(asyncio.wait_for(main, DEADLINE))


Run = Callable[[Coroutine[Any, Any, Any]], Any]


def contexts() -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of a server and of a client that trusts it."""
    authority, server, client = trustme.CA(), ssl.SSLContext(SERVER), ssl.SSLContext(CLIENT)
    authority.issue_cert(LOOPBACK).configure_cert(server)
    authority.configure_trust(client)
    return {"ssl": server}, {"ssl": client}


class Shout(LineReceiver):
    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())
        if line == b"bye":
            self.transport.loseConnection()


class TestServing:
    def test_aLineServerOnAsyncio(self, run: Run) -> None:
        told: list[str] = []

        class Lines(ServerFactory[Any]):
            protocol = Shout
            noisy = False

            def startFactory(self) -> None:
                told.append("start")

            def stopFactory(self) -> None:
                told.append("stop")

        async def main() -> None:
            factory = ProtocolFactory(Lines())
            server = await asyncio.get_running_loop().create_server(factory, LOOPBACK, 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\r\nbye\r\n")
            assert await reader.read() == b"HELLO\r\nBYE\r\n"
            writer.close()
            server.close()
            assert told == ["start"]
            factory.close()
            factory.close()

        run(main())
        assert told == ["start", "stop"]

    def test_unixSockets(self, run: Run, tmp_path: pathlib.Path) -> None:
        peers: list[Any] = []

        class Lines(ServerFactory[Any]):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                peers.append(addr)
                return Shout()

        async def main() -> None:
            path = str(tmp_path / "socket")
            loop = asyncio.get_running_loop()
            server = await loop.create_unix_server(ProtocolFactory(Lines()), path)
            reader, writer = await openConnection(path=path)
            writer.write(b"bye\r\n")
            assert await reader.read() == b"BYE\r\n"
            writer.close()
            server.close()
            client = ClientFactory.forProtocol(Shout)
            client.noisy = False
            with pytest.raises(OSError, match=r".+"):
                await loop.create_unix_connection(ProtocolFactory(client), path + "not")

        run(main())
        assert peers == [UNIXAddress(None)]

    def test_tls(self, run: Run) -> None:
        """asyncio's own TLS: lines pass, and its end is an orderly one; there is no half-close."""
        authority = trustme.CA()
        serverContext, clientContext = (ssl.SSLContext(each) for each in (SERVER, CLIENT))
        authority.issue_cert("localhost").configure_cert(serverContext)
        authority.configure_trust(clientContext)
        lost: list[Any] = []

        class Secret(Shout):
            def lineReceived(self, line: bytes) -> None:
                assert self.transport.getHandle().get_extra_info("cipher")
                if line == b"half":
                    self.transport.loseWriteConnection()
                else:
                    super().lineReceived(line)

            def connectionLost(self, reason: Any = None) -> None:
                lost.append(type(reason.value))

        async def main() -> None:
            secrets = ServerFactory.forProtocol(Secret)
            secrets.noisy = False
            loop = asyncio.get_running_loop()
            server = await loop.create_server(ProtocolFactory(secrets), LOOPBACK, 0, ssl=serverContext)
            for question, answer in (
                (b"hello\r\nbye\r\n", b"HELLO\r\nBYE\r\n"),
                (b"hello\r\n", b"HELLO\r\n"),
                (b"half\r\n", b""),
            ):
                reader, writer = await openConnection(
                    *server.sockets[0].getsockname(), ssl=clientContext, server_hostname="localhost"
                )
                assert not writer.can_write_eof()
                writer.write(question)
                assert await reader.readexactly(len(answer)) == answer
                if question == b"hello\r\n":
                    writer.close()
                assert await reader.read() == b""
                writer.close()
            while len(lost) < 3:
                await asyncio.sleep(0)
            server.close()

        run(main())
        assert lost[:2] == [ConnectionDone, ConnectionDone]
        assert issubclass(lost[2], ConnectionLost)

    @pytest.mark.parametrize("how", ["none", "raises"])
    def test_noProtocol(self, run: Run, how: str, caplog: pytest.LogCaptureFixture) -> None:
        class Refusing(ServerFactory[Any]):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                if how == "raises":
                    raise ValueError("no")

        async def main() -> None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(ProtocolFactory(Refusing()), LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            writer.write(b"x\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            server.close()

        run(main())
        assert len(caplog.records) == (how == "raises")

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_exitsLeaveTheEventLoop(self, kind: type[BaseException]) -> None:
        program = f"""
import asyncio
from reactor import Protocol, ServerFactory
from reactor.aio import ProtocolFactory
class Leave(Protocol):
    def connectionMade(self):
        raise {kind.__name__}(3)
    def connectionLost(self, reason):
        print("lost", type(reason.value).__name__)
async def main():
    factory = ServerFactory.forProtocol(Leave)
    server = await asyncio.get_running_loop().create_server(ProtocolFactory(factory), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    await asyncio.sleep(1000)
try:
    asyncio.run(main())
except BaseException as error:
    print(type(error).__name__, error.args)
"""
        result = runProgram(program)
        assert result.stdout == f"lost {kind.__name__}\n{kind.__name__} (3,)\n"

    def test_theClockOfTheTransport(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            clock, order = LoopServices(asyncio.get_running_loop()), list[Any]()
            done = asyncio.get_running_loop().create_future()
            clock.callLater(0, order.append, clock.seconds() > 0)
            clock.callLater(0.001, lambda: order.append(1 / 0))
            clock.callLater(0.002, order.append, 2)
            clock.callLater(0.003, done.set_result, None)
            clock.callLater(1000, order.append, "never").cancel()
            assert len(clock.getDelayedCalls()) == 4
            await done
            assert order == [True, 2]

        run(main())
        assert [record.name for record in caplog.records] == ["reactor.aio"]

    def test_outputThatIsAskedForTwiceIsFlushedOnce(self, run: Run) -> None:
        async def main() -> None:
            services, flushed = LoopServices(asyncio.get_running_loop()), list[int]()

            class Transport:
                def flush(self) -> None:
                    flushed.append(1)

            transport: Any = Transport()
            for _ in range(2):
                services.flushSoon(transport)
                services.flushSoon(transport)
                await asyncio.sleep(0)
            assert flushed == [1, 1]

        run(main())

    def test_aPullProducerOverTime(self, run: Run) -> None:
        """More than the buffers hold, to a peer that reads late."""

        class Flood(Protocol):
            left = 300

            def connectionMade(self) -> None:
                self.transport.registerProducer(self, False)

            def resumeProducing(self) -> None:
                self.left -= 1
                self.transport.write(b"x" * 50_000)
                if not self.left:
                    self.transport.unregisterProducer()
                    self.transport.loseConnection()

            def stopProducing(self) -> None:
                pass

        async def main() -> int:
            flood = ServerFactory.forProtocol(Flood)
            flood.noisy = False
            server = await asyncio.get_running_loop().create_server(ProtocolFactory(flood), LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            while not reader._paused:
                await asyncio.sleep(0)
            size = len(await reader.read())
            writer.close()
            server.close()
            return size

        assert run(main()) == 15_000_000


class TestTheCurrentReactor:
    """In an event loop where protocols are served, the package's functions mean that event loop."""

    async def ask(self, factory: Any, question: bytes, size: int = 100) -> bytes:
        factory.noisy = False
        adapters = ProtocolFactory(factory)
        server = await asyncio.get_running_loop().create_server(adapters, LOOPBACK, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(question)
        answer = await reader.read(size)
        writer.close()
        server.close()
        adapters.close()
        return answer

    def test_timeouts(self, run: Run) -> None:
        class Idle(LineReceiver, TimeoutMixin):
            def connectionMade(self) -> None:
                self.setTimeout(0.001)

        async def main() -> None:
            assert await self.ask(ServerFactory.forProtocol(Idle), b"") == b""
            plain: Any = ServerFactory.forProtocol(Shout)
            plain.noisy = False
            assert await self.ask(TimeoutFactory(plain, 0.001), b"") == b""

        run(main())

    def test_throttling(self, run: Run) -> None:
        """The bytes that are read count, and reading stops when the second is over."""
        stopped: list[bool] = []

        class Throttling(ThrottlingFactory):
            def throttleReads(self) -> None:
                super().throttleReads()
                stopped.append(True)
                for protocol in self.protocols:
                    protocol.loseConnection()

            def callLater(self, period: float, func: Any) -> Any:
                return super().callLater(period / 1000, func)

        async def main() -> None:
            plain: Any = ServerFactory.forProtocol(Protocol)
            plain.noisy = False
            assert await self.ask(Throttling(plain, readLimit=1), b"x" * 100) == b""

        run(main())
        assert stopped == [True]

    def test_whatProgramsCall(self, run: Run) -> None:
        """Threads, names, time, coroutines that wait for them; and through the module, too."""
        seen: list[Any] = []

        class Asking(LineReceiver):
            async def connectionMade(self) -> None:
                seen.append(package.current() is self.transport.reactor)
                package.callWhenRunning(seen.append, package.running)
                LoopingCall(self.sendLine, b"tick").start(1000)
                await deferLater(package, 0.001)
                self.sendLine(await deferToThread(bytes.upper, b"thread"))
                await cooperate(iter([None])).whenDone()
                self.sendLine((await package.resolve("127.0.0.1")).encode())
                await deferToThread(self.inThread)
                self.sendLine(b"end")
                self.transport.loseConnection()

            def inThread(self) -> None:
                """A thread of the pool speaks to the event loop, too."""
                seen.append(package.current() is self.transport.reactor)
                blockingCallFromThread(package, self.sendLine, b"from thread")

        async def main() -> None:
            asking: Any = ServerFactory.forProtocol(Asking)
            asking.noisy = False
            adapters = ProtocolFactory(asking)
            server = await asyncio.get_running_loop().create_server(adapters, LOOPBACK, 0)
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert (await reader.read()).split() == [b"tick", b"THREAD", b"127.0.0.1", b"from", b"thread", b"end"]
            writer.close()
            server.close()
            adapters.close()
            assert package.current() is servicesOf(asyncio.get_running_loop())
            with pytest.raises(AttributeError, match="there is no 'listenTCP': an AsyncioReactor has it"):
                package.listenTCP(0, ServerFactory())
            servicesOf(asyncio.get_running_loop()).release()

        run(main())
        assert seen == [True, True, True]

    def test_oneThatRunsComesFirst(self, run: Run) -> None:
        async def main() -> None:
            factory: Any = ServerFactory.forProtocol(Protocol)
            factory.noisy = False
            adapters = ProtocolFactory(factory)
            async with package.AsyncioReactor() as reactor:
                assert package.current() is reactor
            assert package.current() is servicesOf(asyncio.get_running_loop())
            adapters.close()

        run(main())

    def test_whereNothingIsServed(self, run: Run) -> None:
        """An event loop alone changes nothing: the default is meant."""

        async def main() -> None:
            services = _current._inEventLoop
            assert services is not None
            assert services() is None

        run(main())

    def test_whatFailsIsLogged(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            gate: Deferred[None] = Deferred()
            begun = list[int]()

            async def late() -> None:
                begun.append(1)
                await gate
                raise ValueError("late")

            services = servicesOf(asyncio.get_running_loop())
            for call in (services.callFromThread, lambda each: services.callLater(0, each), services.callWhenRunning):
                call(late)
            while len(begun) < 3:
                await asyncio.sleep(0)
            gate.callback(None)

        run(main())
        assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["late"] * 3

    def test_closedEventLoopsAreForgotten(self) -> None:
        loops = [asyncio.new_event_loop() for _ in range(3)]
        made = [servicesOf(loop) for loop in loops]
        assert servicesOf(loops[0]) is made[0]
        made[0].getThreadPool().submit(int).result()
        for loop in loops:
            loop.close()
        with pytest.raises(OSError, match="closed"):
            made[0].callFromThread(int)
        last = asyncio.new_event_loop()
        servicesOf(last)
        assert not {*loops} & {*serving._served}
        last.close()
        other = asyncio.new_event_loop()
        servicesOf(other)
        other.close()


def fed(*pieces: bytes, **settings: Any) -> LineReader:
    """A reader that has got some pieces and the end of the stream."""
    reader = LineReader(**settings)
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


def asyncioFed(*pieces: bytes, **settings: Any) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(**settings)
    for piece in pieces:
        reader.feed_data(piece)
    reader.feed_eof()
    return reader


TEXT = b"one\ntwo\r\n\nlast words"


async def saidBy(reader: Any, calls: list[tuple[Any, ...]]) -> list[Any]:
    said: list[Any] = []
    for name, *args in calls:
        try:
            if name == "for":
                async for line in reader:
                    said.append(line)
                    if args == [line]:
                        break
            else:
                said.append((name, await getattr(reader, name)(*args)))
        except (asyncio.IncompleteReadError, ValueError) as error:
            said.append((name, type(error).__name__, getattr(error, "partial", None)))
        said.append(reader.at_eof())
    return said


class TestReading:
    """Beside asyncio's StreamReader, then what is our own."""

    @pytest.mark.parametrize("seed", range(60))
    def test_asAsyncioHasIt(self, seed: int) -> None:
        rng = random.Random(seed)
        text = b"".join(rng.choice((b"a", b"bc", b"\n", b"\r\n", b"def\n")) for _ in range(rng.randrange(30)))
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(3))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        calls = [
            rng.choice(
                (
                    ("readline",),
                    ("readline",),
                    ("read", rng.randrange(5)),
                    ("readexactly", rng.randrange(6)),
                    ("readuntil", rng.choice((b"\n", b"\r\n", b"c", b"f\n"))),
                    ("for", b"def\n"),
                )
            )
            for _ in range(12)
        ]
        calls += [("readexactly", -1), ("readuntil", b""), ("for",), ("read",), ("read",), ("readline",)]

        async def main() -> tuple[list[Any], list[Any]]:
            return await saidBy(fed(*pieces), calls), await saidBy(asyncioFed(*pieces), calls)

        ours, theirs = asyncio.run(main())
        assert ours == theirs

    def test_bare(self) -> None:
        async def main() -> None:
            assert [line async for line in fed(TEXT, keepEnds=False)] == [b"one", b"two\r", b"", b"last words"]
            assert [line async for line in fed(b"a\n", keepEnds=False)] == [b"a"]
            reader = fed(b"a\n\nb", keepEnds=False)
            assert [await reader.readline() for _ in range(4)] == [b"a\n", b"\n", b"b", b""]
            assert [line async for line in fed(b"a\r\nb\r\n", delimiter=b"\r\n")] == [b"a\r\n", b"b\r\n"]

        asyncio.run(main())

    def test_batches(self) -> None:
        async def main() -> None:
            reader = LineReader()
            reader.feed_data(TEXT)
            assert await reader.readlines() == [b"one\n", b"two\r\n", b"\n"]
            waiting = asyncio.ensure_future(reader.readlines())
            await asyncio.sleep(0)
            reader.feed_data(b"!\nmore\nrest")
            assert await waiting == [b"last words!\n", b"more\n"]
            reader.feed_eof()
            assert [await reader.readlines() for _ in range(2)] == [[b"rest"], []]
            assert await fed(b"a\nb\n", keepEnds=False).readlines() == [b"a", b"b"]

        asyncio.run(main())

    def test_waiting(self) -> None:
        async def main() -> None:
            reader = LineReader()
            calls: list[Callable[[], Any]] = [
                reader.readline,
                reader.__aiter__().__anext__,
                lambda: reader.readexactly(2),
                reader.read,
            ]
            for number, call in enumerate(calls):
                waiting = asyncio.ensure_future(call())
                await asyncio.sleep(0)
                if number == 0:
                    with pytest.raises(RuntimeError, match="already waiting"):
                        await reader.readline()
                reader.feed_data(b"a")
                await asyncio.sleep(0)
                reader.feed_data(b"\n")
                if number == 3:
                    reader.feed_eof()
                assert await waiting == b"a\n"
            assert reader.at_eof()

        asyncio.run(main())

    def test_aCancelledReadLosesNothing(self) -> None:
        async def main() -> None:
            reader = LineReader()
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.001)
            reader.feed_data(b"a")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.001)
            reader.feed_data(b"b\n")
            assert await reader.readline() == b"ab\n"

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["readline", "for", "readlines"])
    @pytest.mark.parametrize("ended", [True, False])
    def test_skip(self, kind: str, ended: bool) -> None:
        """A line that is too long is dropped up to its delimiter, however it arrives, and counted."""
        end = b"\n" if ended else b""

        async def main() -> None:
            reader = fed(b"one\n123", b"4567", b"8\ntwo\n", b"x" * 50 + end, limit=5, overlong="skip")
            if kind == "for":
                lines = [line async for line in reader]
            elif kind == "readline":
                lines = []
                while line := await reader.readline():
                    lines.append(line)
            else:
                lines = []
                while batch := await reader.readlines():
                    lines += batch
            assert lines == [b"one\n", b"two\n"]
            assert reader.overlongCount == 2

        asyncio.run(main())

    @pytest.mark.parametrize("kind", ["readline", "for", "readlines"])
    @pytest.mark.parametrize("overlong", ["skip", "close"])
    @pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"\r\n\r\n"])
    def test_theLastLineHasTheSameLimit(self, kind: str, overlong: Any, delimiter: bytes) -> None:
        """A line that the end of the stream ends is too long where it is with its delimiter."""

        async def last(length: int) -> tuple[list[bytes] | str, int]:
            reader = fed(b"x" * length, limit=10, delimiter=delimiter, overlong=overlong)
            try:
                if kind == "for":
                    lines = [line async for line in reader]
                elif kind == "readline":
                    lines = [await reader.readline()]
                else:
                    lines = await reader.readlines()
            except LineTooLong:
                return "too long", reader.overlongCount
            assert reader.at_eof()
            return [line for line in lines if line], reader.overlongCount

        async def main() -> None:
            for length in range(1, 16):
                refused: Any = ([], 1) if overlong == "skip" else ("too long", 0)
                assert await last(length) == (([b"x" * length], 0) if length <= 10 else refused)

        asyncio.run(main())

    @pytest.mark.parametrize("call", ["read", "readall", "readexactly", "readuntil", "readline", "readlines"])
    def test_nothingOfASkippedLineComesBack(self, call: str) -> None:
        """A read was given up in the middle of such a line: the next read gets the bytes that follow the line."""

        async def main() -> None:
            reader = LineReader(limit=5, delimiter=b"\r\n", overlong="skip")
            reader.feed_data(b"x" * 50 + b"\r")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.readline(), 0.001)
            calls: dict[str, Any] = {
                "read": lambda: reader.read(100),
                "readall": reader.read,
                "readexactly": lambda: reader.readexactly(4),
                "readuntil": lambda: reader.readuntil(b"xt"),
            }
            waiting = asyncio.ensure_future(calls.get(call, lambda: getattr(reader, call)())())
            for piece in (b"xx\r", b"xt\r", b"\nnext\r\n"):
                await asyncio.sleep(0)
                assert not waiting.done()
                assert not reader.at_eof()
                reader.feed_data(piece)
            if call == "readall":
                reader.feed_eof()
            expected: dict[str, Any] = {"readexactly": b"next", "readuntil": b"next", "readlines": [b"next\r\n"]}
            assert await waiting == expected.get(call, b"next\r\n")
            assert reader.overlongCount == 1

        asyncio.run(main())

    def test_aSkippedLineThatNeverEnds(self) -> None:
        """The end of the stream is in it: nothing is left."""

        async def main() -> None:
            for call in ("read", "readline", "readlines", "readuntil"):
                reader = LineReader(limit=5, delimiter=b"\r\n", overlong="skip")
                reader.feed_data(b"x" * 50 + b"\r")
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(reader.readline(), 0.001)
                reader.feed_eof()
                if call == "readuntil":
                    with pytest.raises(asyncio.IncompleteReadError) as caught:
                        await reader.readuntil(b"x")
                    assert caught.value.partial == b""
                else:
                    assert not await getattr(reader, call)()
                assert reader.at_eof()

        asyncio.run(main())

    @pytest.mark.parametrize("seed", range(60))
    def test_overrunsAsAsyncioHasThem(self, seed: int) -> None:
        """readexactly() can read as many bytes as an error says are consumed, and reading goes on behind them."""
        rng = random.Random(seed)
        separator = rng.choice((b"\n", b"\r\n", b"aab"))
        text = b"".join(rng.choice((b"a", b"bc" * 9, b"\r", b"\n", separator, b"x" * 30)) for _ in range(30))
        cuts = sorted(rng.randrange(len(text) + 1) for _ in range(3))
        pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        limit = rng.randrange(1, 20)

        async def said(reader: Any) -> list[Any]:
            answers: list[Any] = []
            waiting = list(pieces)
            while True:
                asked = asyncio.ensure_future(reader.readuntil(separator))
                await asyncio.sleep(0)
                while not asked.done():
                    if waiting:
                        reader.feed_data(waiting.pop(0))
                    else:
                        reader.feed_eof()
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                try:
                    answers.append(await asked)
                except asyncio.LimitOverrunError as error:
                    answers.append((error.consumed, await reader.readexactly(error.consumed)))
                except asyncio.IncompleteReadError as error:
                    return [*answers, error.partial]

        async def main() -> tuple[list[Any], list[Any]]:
            return await said(LineReader(limit=limit)), await said(asyncio.StreamReader(limit=limit))

        ours, theirs = asyncio.run(main())
        assert ours == theirs

    def test_close(self) -> None:
        """The lines before it are read; then it raises, then and ever after. As a ValueError, which asyncio has."""

        class Transport:
            aborted = 0

            def abort(self) -> None:
                self.aborted += 1

        async def main() -> None:
            reader, transport = fed(b"one\ntoolong\ntwo\n", limit=5), Transport()
            reader.attach(transport)
            assert await reader.readline() == b"one\n"
            for _ in range(2):
                with pytest.raises(LineTooLong):
                    await reader.readline()
            assert isinstance(reader.exception(), ValueError)
            assert transport.aborted == 1
            reader.feed_data(b"dropped\n")
            with pytest.raises(LineTooLong):
                await reader.read()
            with pytest.raises(LineTooLong):
                await fed(b"toolong\n", limit=5).readline()
            exact = fed(b"exact\n", limit=5)
            assert await exact.readline() == b"exact\n"

        asyncio.run(main())

    def test_readuntilBeyondTheLimit(self) -> None:
        async def main() -> None:
            for make in (fed, asyncioFed):
                for text in (b"123456789;", b"123456789"):
                    reader = make(text, limit=5)
                    with pytest.raises(asyncio.LimitOverrunError):
                        await reader.readuntil(b";")
                    assert await reader.read() == text

        asyncio.run(main())

    def test_wrongSettings(self) -> None:
        with pytest.raises(ValueError, match="overlong"):
            LineReader(overlong="ignore")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="delimiter"):
            LineReader(delimiter=b"")
        assert "0 bytes held" in repr(LineReader())

    def test_whatArrivedBeforeAnErrorIsRead(self) -> None:
        async def main() -> None:
            reader = LineReader()
            reader.feed_data(b"one\ntwo\nrest")
            reader.broken(ConnectionResetError("broken"))
            reader.broken(ValueError("too late"))
            assert [await reader.readline() for _ in range(2)] == [b"one\n", b"two\n"]
            assert await reader.readexactly(2) == b"re"
            with pytest.raises(ConnectionResetError):
                await reader.readline()

        asyncio.run(main())


class TestStreams:
    """Over sockets."""

    def test_aDialogue(self, run: Run) -> None:
        ended: list[bool] = []

        async def serve(reader: LineReader, writer: LineWriter) -> None:
            async for line in reader:
                writer.write(line.upper())
                await writer.drain()
            writer.writelines([b"good", bytearray(b"bye"), b"\n"])
            writer.close()
            await writer.wait_closed()
            ended.append(writer.is_closing())

        async def main() -> None:
            server = await startServer(serve, LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            assert writer.get_extra_info("peername") == server.sockets[0].getsockname()
            assert writer.get_extra_info("nothing", 3) == 3
            writer.write(b"hello\n")
            assert await reader.readline() == b"HELLO\n"
            for number in range(1000):
                writer.write(b"%d\n" % number)
            assert writer.can_write_eof()
            writer.write_eof()
            assert [line async for line in reader] == [b"%d\n" % number for number in range(1000)] + [b"goodbye\n"]
            writer.close()
            await writer.wait_closed()
            writer.write(b"dropped")
            with pytest.raises(TypeError):
                writer.write("text")  # type: ignore[arg-type]
            while not ended:
                await asyncio.sleep(0)
            server.close()
            assert repr(writer).startswith("<LineWriter")

        run(main())
        assert ended == [True]

    def test_backPressure(self, run: Run) -> None:
        """A peer that does not read holds the writer up, and little is kept on either side; then everything arrives."""
        total, piece = 300, b"x" * 99_999 + b"\n"
        sizes: list[int] = []

        async def serve(reader: LineReader, writer: LineWriter) -> None:
            for _ in range(total):
                writer.write(piece)
                await writer.drain()
                sizes.append(writer.transport.get_write_buffer_size())
            writer.close()

        async def main() -> int:
            server = await startServer(serve, LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname(), limit=200_000)
            while len(reader._buffer) <= 400_000:
                await asyncio.sleep(0)
            for _ in range(100):
                await asyncio.sleep(0)
            held = len(reader._buffer)
            assert held < 1_000_000
            assert len(sizes) < total
            count = 0
            async for line in reader:
                assert line == piece
                count += 1
            writer.close()
            server.close()
            return count

        assert run(main()) == total
        assert max(sizes) < 1_000_000

    @pytest.mark.parametrize("size", [10_000, 200_000])
    def test_whoNeverDrainsIsBounded(self, run: Run, caplog: pytest.LogCaptureFixture, size: int) -> None:
        async def main() -> None:
            listening = socket.create_server((LOOPBACK, 0))  # nobody reads
            _reader, writer = await openConnection(*listening.getsockname())
            most = 0
            while not writer.is_closing():
                writer.write(b"x" * size)
                most = max(most, writer._size + writer.transport.get_write_buffer_size())
            assert 16 << 20 < most <= (16 << 20) + size
            for call in (writer.drain, writer.wait_closed):
                with pytest.raises(OutputLimitExceeded):
                    await call()
            listening.close()

        run(main())
        assert [record.levelname for record in caplog.records] == ["WARNING"]

    def test_drainEndsWithTheConnection(self, run: Run) -> None:
        async def main() -> None:
            listening = socket.create_server((LOOPBACK, 0))
            _reader, writer = await openConnection(*listening.getsockname())
            peer, _ = listening.accept()
            for _ in range(50):
                writer.write(b"x" * 200_000)
            writing = [asyncio.ensure_future(writer.drain()) for _ in range(2)]
            for _ in range(5):
                await asyncio.sleep(0)
            assert not writing[0].done()
            reset(peer)
            for each in writing:
                with pytest.raises(ConnectionError):
                    await each
            writer.close()
            listening.close()

        run(main())

    @pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
    @pytest.mark.parametrize("end", ["peer", "close", "abort"])
    def test_aLoopOfWriteAndDrainEnds(self, run: Run, end: str, secure: bool) -> None:
        """However the connection has ended: as in a loop of asyncio's streams."""
        server, client = contexts() if secure else ({}, {})

        async def serve(reader: Any, writer: Any) -> None:
            if end == "peer":
                writer.close()
            else:
                await reader.read()
                writer.close()

        async def loopOn(start: Any, connect: Any) -> list[BaseException]:
            listening = await start(serve, LOOPBACK, 0, **server)
            reader, writer = await connect(*listening.sockets[0].getsockname()[:2], **client)
            if end == "peer":
                assert await reader.read() == b""
            else:
                getattr(writer.transport, end)()

            async def loop() -> None:
                while True:
                    writer.write(b"x")
                    await writer.drain()

            with pytest.raises(ConnectionError) as caught:
                await loop()
            writer.close()
            with pytest.raises(ConnectionError) as again:
                await writer.drain()
            listening.close()
            return [caught.value, again.value]

        async def main() -> None:
            ours = await loopOn(startServer, openConnection)
            assert all(isinstance(error, ConnectionResetError | BrokenPipeError) for error in ours)
            # (uvloop's transports raise RuntimeError at the write. Chance decides what breaks first when the peer has
            # closed.)
            if end != "peer" and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
                theirs = await loopOn(asyncio.start_server, asyncio.open_connection)
                assert [*map(repr, ours)] == [*map(repr, theirs)]

        run(main())

    def test_drainTellsThatTheEndCameMeanwhile(self, run: Run) -> None:
        """It waits for a peer that does not read, when the connection is aborted here: the written data is lost."""

        async def main() -> None:
            done, ended = asyncio.Event(), asyncio.Event()

            async def serve(reader: LineReader, writer: LineWriter) -> None:
                await done.wait()
                writer.transport.abort()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
                ended.set()

            server = await startServer(serve, LOOPBACK, 0)
            _, writer = await openConnection(*server.sockets[0].getsockname())
            writer.write(bytes(8 << 20))
            writer.flush()
            asyncio.get_running_loop().call_soon(writer.transport.abort)
            with pytest.raises(ConnectionResetError, match="Connection lost"):
                await writer.drain()
            done.set()
            await ended.wait()
            server.close()

        run(main())

    def test_aHandlerThatFails(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        async def serve(reader: LineReader, writer: LineWriter) -> None:
            raise ValueError(await reader.readline())

        async def main() -> None:
            server = await startServer(serve, LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            writer.write(b"x\n")
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            server.close()

        run(main())
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]

    @pytest.mark.parametrize("how", ["cancelled", "cancelledEarly", "awaitsCancelled", "plain", "generator"])
    def test_aHandlerThatEndsInAnotherWay(self, run: Run, how: str, caplog: pytest.LogCaptureFixture) -> None:
        """The connection is closed, whatever ended the handler; what it had written before a cancellation is sent."""
        tasks: list[Any] = []

        async def cancelled(reader: LineReader, writer: LineWriter) -> None:
            writer.write(b"written")
            tasks.append(asyncio.current_task())
            if how == "awaitsCancelled":
                other = asyncio.get_running_loop().create_future()
                other.cancel()
                await other
            await reader.read()

        def plain(reader: LineReader, writer: LineWriter) -> Any:
            if how == "generator":
                return (_ for _ in ())
            if how == "cancelledEarly":
                task = asyncio.ensure_future(cancelled(reader, writer))
                task.cancel()
                return task
            raise ValueError("plain")

        async def main() -> None:
            handler = plain if how in ("plain", "generator", "cancelledEarly") else cancelled
            server = await startServer(handler, LOOPBACK, 0)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            if how == "cancelled":
                assert await reader.read(7) == b"written"
                tasks[0].cancel()
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == (b"written" if how == "awaitsCancelled" else b"")
            writer.close()
            server.close()

        run(main())
        assert len(caplog.records) == (1 if how in ("plain", "generator") else 0)
        assert all("a handler of" in record.getMessage() for record in caplog.records)

    def test_aHandlerThatIsNoCoroutine(self, run: Run, tmp_path: pathlib.Path) -> None:
        """Over a UNIX socket, too."""

        def serve(reader: LineReader, writer: LineWriter) -> None:
            writer.write(b"short\n")
            writer.close()

        async def main() -> None:
            path = str(tmp_path / "socket")
            server = await startServer(serve, path=path)
            reader, writer = await openConnection(path=path)
            assert await reader.read() == b"short\n"
            writer.close()
            server.close()

        run(main())

    def test_aLineThatIsTooLongCostsTheConnection(self, run: Run) -> None:
        failed: list[BaseException] = []

        async def serve(reader: LineReader, writer: LineWriter) -> None:
            try:
                await reader.readline()
            except LineTooLong as error:
                failed.append(error)

        async def main() -> None:
            server = await startServer(serve, LOOPBACK, 0, limit=100)
            reader, writer = await openConnection(*server.sockets[0].getsockname())
            writer.write(b"x" * 1000)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
            server.close()

        run(main())
        assert len(failed) == 1
