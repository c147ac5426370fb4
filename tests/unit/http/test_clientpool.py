"""The connections of a client: kept, reused, bounded, and what happens when a server ends an idle one."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.error import ConnectionDone, ConnectionLost, ConnectionRefusedError, TimeoutError
from reactor.failure import Failure
from reactor.http.client import Client
from reactor.http.clienterrors import ClientClosed, NoResponse
from tests.support.httpclients import OK, URL, Asked, Full, MemoryWorld, Wire

NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"


def used(world: MemoryWorld, url: str = URL, method: str = "GET") -> Wire:
    """A connection that has answered one request, and is idle."""
    asked, wire = world.get(OK, url=url, method=method)
    assert asked.body().result == b"ok"
    wire.clear()
    return wire


def test_reuse() -> None:
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask()
    assert world.reactor.tcpClients == []
    assert wire.asked().startswith(b"GET / HTTP/1.1\r\n")
    wire.says(OK)
    assert asked.body().result == b"ok"
    client = world.client
    assert (client.requestCount, client.openedCount, client.reusedCount, client.repeatedCount) == (2, 1, 1, 0)
    assert (client.idleCount, client.connectionCount) == (1, 1)


@pytest.mark.parametrize(
    "url", ["http://other.test/", "http://server.test:81/", "https://server.test/", "https://server.test:80/"]
)
def test_otherServersGetOtherConnections(url: str) -> None:
    world = MemoryWorld()
    wire = used(world)
    world.ask(url=url)
    assert len(world.reactor.tcpClients) + len(world.reactor.sslClients) == 1
    assert wire.asked() == b""


@pytest.mark.parametrize("url", ["http://SERVER.test:80/x", "http://server.test:/y"])
def test_sameServer(url: str) -> None:
    world = MemoryWorld()
    wire = used(world)
    world.ask(url=url)
    assert wire.asked() != b""


def test_theLatestIdleConnectionIsUsed() -> None:
    """The server has had the least time to end it."""
    world = MemoryWorld()
    first, second = world.ask(), world.ask()
    one, two = world.connect(), world.connect()
    one.says(NOTHING)
    two.says(NOTHING)
    one.clear()
    two.clear()
    assert first.result
    assert second.result
    world.ask()
    assert (one.asked() != b"", two.asked() != b"") == (False, True)


def test_theNextRequestInACallbackReusesTheConnection() -> None:
    """When the end of the body is told, the connection is free."""
    world = MemoryWorld()
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    more: list[Asked] = []
    asked.body().deferred.addCallback(lambda _: more.append(world.ask()))
    wire.clear()
    wire.says(b"k")
    assert len(more) == 1
    assert wire.asked() != b""
    wire.says(NOTHING)
    assert more[0].result.code == 204


def test_connectionsToAHost() -> None:
    """10 by default; beyond it requests wait in order, each for the first connection that is free."""
    world = MemoryWorld()
    asked = [world.ask() for _ in range(12)]
    other = world.ask(url="http://other.test/")
    assert len(world.reactor.tcpClients) == 11
    wires = [world.connect() for _ in range(11)]
    for wire in wires:
        wire.clear()
    wires[3].says(NOTHING)
    assert asked[3].result
    assert wires[3].asked() != b""
    wires[3].says(NOTHING)
    assert asked[10].result
    assert not asked[11].isOver
    wires[0].says(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n")  # a new one takes its place
    assert len(world.reactor.tcpClients) == 0
    wires[3].says(NOTHING)
    assert asked[11].result
    assert not other.isOver


def test_aConnectionThatEndsGivesItsPlaceUp() -> None:
    world = MemoryWorld(connectionsPerHost=1)
    first, second, third = world.ask(), world.ask(), world.ask()
    wire = world.connect()
    assert world.reactor.tcpClients == []
    wire.says(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n")
    assert first.result
    world.connect().ends(ConnectionLost())
    assert isinstance(second.error, NoResponse)
    world.connect().says(NOTHING)
    assert third.result


def test_anAttemptThatFailsGivesItsPlaceUp() -> None:
    world = MemoryWorld(connectionsPerHost=1)
    first, second = world.ask(), world.ask()
    world.reactor.tcpClients.pop(0)[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    assert isinstance(first.error, ConnectionRefusedError)
    world.connect().says(NOTHING)
    assert second.result


def test_attemptsThatFailAtOnce() -> None:
    """However many wait, there is no recursion."""
    world = MemoryWorld(connectionsPerHost=1)

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no descriptor is free")

    asked = [world.ask() for _ in range(3000)]
    world.reactor.connectTCP = refuse
    world.reactor.tcpClients.pop(0)[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    world.reactor.pump([0] * 10)
    assert {type(each.error) for each in asked} == {ConnectionRefusedError, OSError}
    assert world.reactor.getDelayedCalls() == []


def test_waitingHasItsDeadline() -> None:
    world = MemoryWorld(connectionsPerHost=1, timeout=10)
    first, second = world.ask(timeout=None), world.ask()
    world.reactor.advance(10)
    assert isinstance(second.error, TimeoutError)
    world.connect().says(NOTHING)
    assert first.result
    assert world.client.idleCount == 1


def test_idleConnections() -> None:
    """Beyond the limit of all servers together, the one that is idle longest is closed."""
    world = MemoryWorld(idleConnections=2)
    wires = [used(world, f"http://{name}.test/") for name in "abc"]
    assert [wire.disconnecting for wire in wires] == [True, False, False]
    assert not wires[0].aborted
    assert world.client.idleCount == 2
    assert world.client.connectionCount == 3
    wires[0].ends()
    assert world.client.connectionCount == 2


def test_fiftyIdleConnections() -> None:
    world = MemoryWorld()
    wires = [used(world, f"http://{number}.test/") for number in range(51)]
    assert [wire.disconnecting for wire in wires] == [True] + [False] * 50


def test_noIdleConnections() -> None:
    world = MemoryWorld(idleConnections=0)
    assert used(world).disconnecting


def test_idleSeconds() -> None:
    """15 s by default. Each request begins the time anew."""
    world = MemoryWorld()
    wire = used(world)
    world.reactor.advance(14.9)
    world.ask()
    world.reactor.advance(10)
    wire.says(NOTHING)
    world.reactor.advance(14.9)
    assert not wire.disconnecting
    world.reactor.advance(0.2)
    assert wire.disconnecting
    assert not wire.aborted
    assert world.client.idleCount == 0
    shorter = MemoryWorld(idleSeconds=1)
    wire = used(shorter)
    shorter.reactor.advance(1)
    assert wire.disconnecting


@pytest.mark.parametrize("data", [b"x", OK, b"\r\n", b"HTTP/1.1 408 Request Timeout\r\n\r\n"])
def test_whatAnIdleConnectionSays(data: bytes) -> None:
    """Nobody has asked, so it must never be taken for the answer to the next request."""
    world = MemoryWorld()
    wire = used(world)
    wire.says(data)
    assert wire.aborted
    assert world.client.idleCount == 0
    asked = world.ask()
    world.connect().says(NOTHING)
    assert asked.result.code == 204


# Idle connections that the server ends.


def test_theServerEndsAnIdleConnection() -> None:
    world = MemoryWorld()
    wire = used(world)
    wire.ends()
    assert world.client.connectionCount == world.client.idleCount == 0
    assert world.reactor.getDelayedCalls() == []
    asked = world.ask()
    world.connect().says(NOTHING)
    assert asked.result


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
def test_repeated(method: str, reason: Exception) -> None:
    """RFC 9110, 9.2.2: the request has met the end of an idle connection. It goes out once more, on a new one."""
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask(method, body=b"x" * 100000)
    sent = wire.asked()
    wire.ends(reason)
    assert not asked.isOver
    fresh = world.connect()
    assert fresh.asked() == sent
    fresh.says(NOTHING)
    assert asked.result.code == 204
    assert world.client.repeatedCount == 1


def test_repeatedOnce() -> None:
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask()
    wire.ends()
    world.connect().ends()
    assert isinstance(asked.error, NoResponse)
    assert world.client.repeatedCount == 1


@pytest.mark.parametrize("method", ["POST", "PATCH", "get", "PURGE"])
def test_notRepeated(method: str) -> None:
    """The server may have done it already."""
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask(method)
    wire.ends()
    assert isinstance(asked.error, NoResponse)
    assert "before the head of the response" in str(asked.error)
    assert world.reactor.tcpClients == []
    assert world.client.repeatedCount == 0


def test_notRepeatedOnceTheServerHasAnswered() -> None:
    world = MemoryWorld()
    for start in (b"H", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"):
        wire = used(world)
        asked = world.ask()
        wire.says(start)
        wire.ends()
        assert isinstance(asked.error, NoResponse)


def test_notRepeatedWithABodyThatIsUsedUp() -> None:
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask("PUT", body=iter([b"x"]))
    wire.ends()
    assert isinstance(asked.error, NoResponse)


def test_repeatedWithABodyThatIsHeldBack() -> None:
    """Nothing has been asked of the iterable before the 100."""
    world = MemoryWorld()
    wire = used(world)
    asked = world.ask("PUT", URL, {"Expect": "100-continue"}, iter([b"x"]))
    wire.ends()
    fresh = world.connect()
    fresh.clear()
    fresh.says(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert fresh.asked() == b"1\r\nx\r\n0\r\n\r\n"
    fresh.says(NOTHING)
    assert asked.result


def test_repeatedKeepsItsDeadline() -> None:
    world = MemoryWorld(timeout=10)
    wire = used(world)
    asked = world.ask()
    world.reactor.advance(6)
    wire.ends()
    world.reactor.advance(4)
    assert isinstance(asked.error, TimeoutError)


def test_repeatedOnANewConnection() -> None:
    """Other idle connections may have ended, too, so none of them is used."""
    world = MemoryWorld(connectionsPerHost=2)
    world.ask()
    world.ask()
    one, two = world.connect(), world.connect()
    one.says(NOTHING)
    two.says(NOTHING)
    one.clear()
    asked = world.ask()
    two.ends()
    assert one.asked() == b""
    world.connect().says(NOTHING)
    assert asked.result


def test_repeatedComesFirst() -> None:
    """The request has been in line before: the place of the connection that has ended is its own."""
    world = MemoryWorld(connectionsPerHost=1)
    wire = used(world)
    stale, late = world.ask(), world.ask()
    wire.ends()
    fresh = world.connect()
    fresh.says(NOTHING)
    assert stale.result
    assert not late.isOver
    fresh.says(NOTHING)
    assert late.result


# Uploads that the response overtakes.


def test_earlyResponseThatClosesStopsTheUpload() -> None:
    """RFC 9112, 9.3: nobody reads the rest, and the connection ends."""
    closed = []

    def pieces() -> Any:
        try:
            for _ in range(100):
                yield b"x"
        finally:
            closed.append(True)

    world = MemoryWorld()
    asked = world.ask("POST", body=pieces())
    wire = world.connect(Full)
    wire.says(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    assert asked.result.code == 413
    assert wire.disconnecting
    world.reactor.advance(0)
    assert closed == [True]
    assert wire.producer is None
    wire.ends()
    assert world.reactor.getDelayedCalls() == []


def test_earlyResponseLetsTheUploadGoOn() -> None:
    """The response may need the rest of the request, and the connection is reused if both are complete."""

    world = MemoryWorld()
    asked = world.ask("POST", body=iter([b"a", b"b"]))
    wire = world.connect(Full)
    wire.says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert asked.result.code == 200
    wire.producer.resumeProducing()
    assert wire.value().endswith(b"1\r\nb\r\n0\r\n\r\n")
    wire.says(b"0\r\n\r\n")
    assert asked.body().result == b"x"
    assert world.client.idleCount == 1


@pytest.mark.parametrize("hasBegun", [False, True])
def test_theProgramMayTakeItsTimeForABody(hasBegun: bool) -> None:
    """The deadline does not count while the program gives no piece, whether the response has begun or not."""
    gate: Deferred[None] = Deferred()

    async def pieces() -> Any:
        yield b"a"
        await gate
        yield b"b"

    world = MemoryWorld(timeout=10)
    asked = world.ask("POST", body=pieces())
    wire = world.connect()
    if hasBegun:
        wire.says(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        asked = asked.body()
    world.reactor.pump([5] * 20)
    assert not asked.isOver
    gate.callback(None)
    world.reactor.advance(9.9)
    assert not asked.isOver
    world.reactor.advance(0.1)
    assert isinstance(asked.error, TimeoutError)
    assert wire.aborted


def test_aPeerThatTakesNothing() -> None:
    """The deadline counts while the peer takes none of the body. When it takes some, the deadline begins anew."""

    class Slow(Wire):
        def write(self, data: Any) -> None:
            super().write(data)
            if self.producer is not None:
                self.producer.pauseProducing()

    world = MemoryWorld(timeout=10)
    asked = world.ask("POST", body=iter([b"a", b"b", b"c", b"d"]))
    wire = world.connect(Slow)
    for _ in range(2):
        world.reactor.advance(9.9)
        wire.producer.resumeProducing()
    assert wire.value().endswith(b"1\r\nc\r\n")
    world.reactor.advance(9.9)
    assert not asked.isOver
    world.reactor.advance(0.1)
    assert isinstance(asked.error, TimeoutError)
    assert wire.aborted


# The end of a client.


def test_close() -> None:
    world = MemoryWorld(connectionsPerHost=2)
    idle = used(world, "http://a.test/")
    body, reading = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    connecting, waiting = world.ask(), world.ask()
    taken = body.body()
    closed = Asked(world.client.close().addCallback(lambda _: "closed"))
    again = Asked(world.client.close().addCallback(lambda _: "closed"))
    for each in (taken, connecting, waiting):
        assert isinstance(each.error, ClientClosed)
    assert idle.disconnecting
    assert not idle.aborted
    assert reading.aborted
    assert not closed.isOver
    world.reactor.tcpClients.pop()[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    idle.ends()
    assert not closed.isOver
    reading.ends()
    assert closed.result == again.result == "closed"
    assert world.reactor.getDelayedCalls() == []
    with pytest.raises(RuntimeError, match="was closed"):
        world.client.request("GET", URL)


def test_closeOfAnUnusedClient() -> None:
    assert Asked(Client(MemoryWorld().reactor).close().addCallback(lambda _: "closed")).result == "closed"


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"maxBody": -1},
        {"connectionsPerHost": 0},
        {"idleConnections": -1},
        {"idleSeconds": -1},
    ],
)
def test_wrongOptions(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Client(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": "1"},
        {"maxBody": 1.5},
        {"connectionsPerHost": None},
        {"idleConnections": "x"},
        {"idleSeconds": None},
        {"context": "server.pem"},
    ],
)
def test_optionsOfOtherTypes(options: Any) -> None:
    with pytest.raises(TypeError, match=r"number|SSLContext"):
        Client(**options)
