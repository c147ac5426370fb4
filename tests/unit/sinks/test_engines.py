"""The engines, each with its real server: what is acknowledged is stored, in order, whatever happens to the server."""

from __future__ import annotations

import asyncio
import pathlib
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.sinks import (
    Batch,
    KafkaEngine,
    LinesRefused,
    NATSEngine,
    Numbers,
    Piece,
    QueuedSink,
    RedisEngine,
    SinkError,
)
from tests.support.engines import KafkaServer, NATSServer, RedisServer, Server, freePort, within

SERVERS = [
    pytest.param(NATSServer, id="nats"),
    pytest.param(RedisServer, id="redis", marks=pytest.mark.needs("redis-server")),
    pytest.param(KafkaServer, id="kafka"),
]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Any]:
    made = request.param(tmp_path)
    yield made
    made.end()


@pytest.fixture
def natsServer(tmp_path: pathlib.Path) -> Iterator[NATSServer]:
    made = NATSServer(tmp_path)
    yield made
    made.end()


@pytest.fixture
def redisServer(tmp_path: pathlib.Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path)
    yield made
    made.end()


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run `main` in the event loop of a reactor that runs."""

    async def within() -> None:
        async with AsyncioReactor():
            await main()

    asyncio.run(within())


async def get(deferred: Deferred[Any]) -> Any:
    return await within(deferred.asFuture(asyncio.get_running_loop()))


async def opened(server: Server, **settings: Any) -> QueuedSink:
    sink = QueuedSink(server.engine(), **settings)
    await get(sink.open())
    return sink


def numbered(first: int, last: int) -> list[bytes]:
    return [b"line %d" % number for number in range(first, last + 1)]


def inOrder(lines: list[bytes]) -> dict[bytes, list[int]]:
    """Return the numbers of `origin number` lines, by origin."""
    found: defaultdict[bytes, list[int]] = defaultdict(list)
    for line in lines:
        origin, number = line.rsplit(b" ", 1)
        found[origin].append(int(number))
    return found


def test_linesAreStoredInTheOrderOfTheirOrigins(server: Server) -> None:
    async def main() -> None:
        sink = await opened(server, batchLines=7)
        kept = []
        for number in range(1, 41):
            for origin in ("a", "b", "c"):
                lines = [b"%s %d" % (origin.encode(), 3 * number - 2 + index) for index in range(3)]
                kept.append(sink.append(lines, origin, Numbers(origin, 3 * number - 2)))
        await get(sink.flush())
        assert all(each.called for each in kept)
        await get(sink.close())
        stored = inOrder(await within(server.stored()))
        assert stored == {origin: [*range(1, 121)] for origin in (b"a", b"b", b"c")}

    run(main)


def test_anyBytesAreStored(server: Server) -> None:
    lines = [b"", b"\x00\xff\r", b"\n", bytes(range(256)), "ä".encode()]

    async def main() -> None:
        sink = await opened(server)
        await get(sink.append(lines, "origin"))
        await get(sink.close())
        assert await within(server.stored()) == lines

    run(main)


def test_linesThatAreSentAgainAreStoredOnceWhereTheServerKnowsThem(server: Server) -> None:
    async def main() -> None:
        sink = await opened(server)
        await get(sink.append(numbered(1, 5), "one", Numbers("s", 1)))
        await get(sink.append(numbered(1, 5), "other", Numbers("s", 1)))
        await get(sink.append(numbered(4, 8), "one", Numbers("s", 4)))
        await get(sink.append(numbered(4, 8), "one", Numbers("different", 4)))
        await get(sink.close())
        once = [*numbered(1, 8), *numbered(4, 8)]
        twice = [*numbered(1, 5), *numbered(1, 5), *numbered(4, 8), *numbered(4, 8)]
        assert await within(server.stored()) == (once if server.removesDoubles else twice)

    run(main)


def test_aServerThatStandsStillGetsTheLinesLater(server: Server) -> None:
    async def main() -> None:
        sink = await opened(server, attemptTimeout=0.3)
        await get(sink.append(numbered(1, 3), "o", Numbers("s", 1)))
        server.stop()
        kept = sink.append(numbered(4, 6), "o", Numbers("s", 4))
        while sink.counters()["failedAttempts"] < 2:
            assert not kept.called
            await asyncio.sleep(0.02)
        server.goOn()
        await get(kept)
        await get(sink.append(numbered(7, 9), "o", Numbers("s", 7)))
        await get(sink.close())
        stored = await within(server.stored())
        if server.removesDoubles:
            assert stored == numbered(1, 9)
        else:
            assert [*dict.fromkeys(stored)] == numbered(1, 9)

    run(main)


@pytest.mark.parametrize("kind", [SERVERS[0], SERVERS[1]])
def test_aServerThatIsKilledAndStartedAgainHasAllLines(kind: type[Server], tmp_path: pathlib.Path) -> None:
    server = kind(tmp_path)

    async def main() -> None:
        sink = await opened(server, attemptTimeout=2.0)
        kept = []
        for number in range(30):
            kept.append(sink.append(numbered(10 * number + 1, 10 * number + 10), "o", Numbers("s", 10 * number + 1)))
            await asyncio.sleep(0)
            if number in (10, 20):
                await get(kept[number - 5])
                server.kill()
                await asyncio.get_running_loop().run_in_executor(None, server.start)
        await get(sink.flush())
        await get(sink.close())
        assert await within(server.stored()) == numbered(1, 300)

    try:
        run(main)
    finally:
        server.end()


def test_aLineThatIsTooLongIsRefusedAndTheOthersAreStored(server: Server) -> None:
    if isinstance(server, RedisServer):
        return  # its limit is 512 MB

    async def main() -> None:
        sink = await opened(server)
        first = sink.append([b"first"], "a")
        bad, good = sink.append([b"x" * 2_000_000], "b"), sink.append([b"good"], "c")
        await get(first)
        await get(good)
        with pytest.raises(LinesRefused, match="longer than the"):
            await get(bad)
        await get(sink.close())
        assert sorted(await within(server.stored())) == [b"first", b"good"]

    run(main)


def test_withoutAServerOpenFails(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        port = freePort()
        engines = [
            NATSEngine(f"nats://127.0.0.1:{port}", "lines", "LINES"),
            RedisEngine(f"redis://127.0.0.1:{port}", "lines"),
            KafkaEngine(f"127.0.0.1:{port}", "lines"),
        ]
        for engine in engines:
            sink = QueuedSink(engine)
            with pytest.raises(Exception, match=r"(?i)connect|servers"):
                await get(sink.open())
            await get(sink.close())

    run(main)


def test_withoutAnEventLoopAnEngineSaysSo() -> None:
    with pytest.raises(RuntimeError, match="use AsyncioReactor"):
        RedisEngine("redis://127.0.0.1:1", "lines").open()


@pytest.mark.parametrize(
    ("module", "extra", "make"),
    [
        ("nats", "nats", lambda: NATSEngine("nats://127.0.0.1", "a", "A")),
        ("redis", "redis", lambda: RedisEngine("redis://127.0.0.1", "a")),
        ("aiokafka", "kafka", lambda: KafkaEngine("127.0.0.1:9092", "a")),
    ],
)
def test_aMissingLibraryIsNamedWithItsExtra(
    module: str, extra: str, make: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each == module or each.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{module} is not installed: pip install 'linereactor\[{extra}\]'"):
        make()


class TestNATS:
    def test_aStreamMustTakeAtomicBatches(self, natsServer: NATSServer) -> None:
        async def main() -> None:
            await natsServer.makeStream()
            sink = QueuedSink(natsServer.engine())
            with pytest.raises(SinkError, match="does not take atomic batches"):
                await get(sink.open())
            await get(sink.close())

        run(main)

    def test_aShortDuplicateWindowIsTold(self, natsServer: NATSServer, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            await natsServer.makeStream(allow_atomic=True, duplicate_window=60)
            sink = await opened(natsServer)
            await get(sink.close())

        run(main)
        assert "forgets ids after 60 s" in caplog.text

    def test_aLineGoesToTheSubjectOfItsRoute(self, natsServer: NATSServer) -> None:
        async def main() -> None:
            sink = await opened(natsServer)
            await get(sink.append([b"1", b"2"], routes=["lines.a", ""]))
            await get(sink.close())
            assert await within(natsServer.stored()) == [b"1", b"2"]

        run(main)

    def test_moreLinesThanAnAtomicBatchMayHave(self, natsServer: NATSServer) -> None:
        async def main() -> None:
            sink = await opened(natsServer)
            await get(sink.append(numbered(1, 2500), numbers=Numbers("s", 1)))
            await get(sink.close())
            assert await within(natsServer.stored()) == numbered(1, 2500)

        run(main)


@pytest.mark.needs("redis-server")
class TestRedis:
    def test_aLineGoesToTheStreamOfItsRoute(self, redisServer: RedisServer) -> None:
        async def main() -> None:
            sink = await opened(redisServer)
            await get(sink.append([b"1", b"2", b"3"], numbers=Numbers("s", 1), routes=["other", "", "other"]))
            await get(sink.append([b"4"], routes="third"))
            await get(sink.close())
            streams = [await within(redisServer.entries(name)) for name in ("lines", "other", "third")]
            assert [[fields[b"line"] for _, fields in each] for each in streams] == [[b"2"], [b"1", b"3"], [b"4"]]

        run(main)

    def test_aStreamCanHaveALength(self, redisServer: RedisServer) -> None:
        async def main() -> None:
            sink = QueuedSink(redisServer.engine(maxLength=100))
            await get(sink.open())
            await get(sink.append(numbered(1, 5000)))
            await get(sink.close())
            stored = await within(redisServer.stored())
            assert len(stored) < 1000
            assert stored == numbered(5001 - len(stored), 5000)

        run(main)

    def test_manyLinesOfOneAppendAreOneRow(self, redisServer: RedisServer) -> None:
        async def main() -> None:
            sink = await opened(redisServer)
            await get(sink.append(numbered(1, 9000), numbers=Numbers("s", 1)))
            await get(sink.append(numbered(1, 9001), numbers=Numbers("s", 1)))
            await get(sink.close())
            assert await within(redisServer.stored()) == numbered(1, 9001)

        run(main)

    def test_largeNumbersAreKeptExactly(self, redisServer: RedisServer) -> None:
        first = 2**53 - 3

        async def main() -> None:
            sink = await opened(redisServer)
            for start in (first, first + 1):
                await get(sink.append([b"%d" % (start + index) for index in range(2)], numbers=Numbers("s", start)))
            await get(sink.close())
            assert await within(redisServer.stored()) == [b"%d" % (first + index) for index in range(3)]

        run(main)


def test_kafkasKeyIsTheOriginOrTheRoute(tmp_path: pathlib.Path) -> None:
    server = KafkaServer(tmp_path)

    async def main() -> None:
        sink = await opened(server)
        await get(sink.append([b"1"], "origin"))
        await get(sink.append([b"2"], "origin", routes="route"))
        await get(sink.append([b"3"]))
        await get(sink.close())
        records = await within(server.records())
        assert {record.value: record.key for record in records} == {b"1": b"origin", b"2": b"route", b"3": None}

    try:
        run(main)
    finally:
        server.end()


def test_aBatchIsAnyIterableOfPieces() -> None:
    batch = Batch([Piece([b"a", b"b"], "o", Numbers("s", 3), ["x", ""]), Piece([b"c"], "p", None, "y")])
    assert (batch.count, batch.size) == (3, 3)
    assert [tuple(entry) for entry in batch.entries()] == [
        (b"a", "s:3", "o", "x"),
        (b"b", "s:4", "o", ""),
        (b"c", None, "p", "y"),
    ]
