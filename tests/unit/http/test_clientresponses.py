"""How the client reads responses: framing, limits, deadlines, and what is refused. In memory, byte for byte."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from reactor.defer import CancelledError, Deferred
from reactor.error import ConnectionDone, ConnectionLost, TimeoutError, UserError
from reactor.failure import Failure
from reactor.http.clienterrors import BadResponse, BodyTooLarge, ClientClosed, NoResponse
from reactor.http.errors import BodyLost
from reactor.http.headers import Headers
from reactor.http.incoming import HIGH_WATER
from tests.support.httpclients import OK, URL, Asked, MemoryWorld

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def test_response() -> None:
    world = MemoryWorld()
    asked, wire = world.get(b"HTTP/1.1 418 I'm a teapot\r\nX-Pot: a\r\nx-pot:b \r\nContent-Length: 3\r\n\r\nabc")
    response = asked.result
    assert response.code == 418
    assert response.reason == b"I'm a teapot"
    assert response.version == b"HTTP/1.1"
    assert response.headers.getRawHeaders("x-pot") == ["a", "b"]
    assert asked.body().result == b"abc"
    assert asked.body().result == b"abc"
    assert response.trailers == Headers()
    assert repr(response) == '<ClientResponse 418 "I\'m a teapot">'
    assert not wire.disconnecting
    assert world.client.idleCount == 1


BODIES: dict[str, tuple[str, bytes, bytes, bool]] = {
    # the method, what the server sends, the body, whether the connection can be reused
    "length": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", True),
    "length 0": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"", True),
    "no reason": ("GET", b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "empty reason": ("GET", b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "chunks": ("GET", CHUNKED + b"5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n", b"hello!", True),
    "no chunk": ("GET", CHUNKED + b"0\r\n\r\n", b"", True),
    "HEAD": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"", True),
    "HEAD chunked": ("HEAD", CHUNKED, b"", True),
    "204": ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "204 with a length": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"", True),
    "204 that speaks of a body": ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"", False),
    "204 that speaks of chunks": ("GET", b"HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n", b"", False),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", b"", True),
    "close": ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", b"x", False),
    "close among others": (
        "GET",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: a, Close\r\n\r\nx",
        b"x",
        False,
    ),
    "1.0": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", False),
    "1.0 keep-alive": ("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\nx", b"x", True),
    "1.7": ("GET", b"HTTP/1.7 200 OK\r\nContent-Length: 1\r\n\r\nx", b"x", True),
    "100": ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, b"ok", True),
    "folded": ("GET", b"HTTP/1.1 200 OK\r\nX: a\r\n\t b\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
    "something behind it": ("GET", OK + b"x", b"ok", False),
    "a second response": ("GET", OK + OK, b"ok", False),
    "something behind no body": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nx", b"", False),
    "a line behind no body": ("GET", b"HTTP/1.1 204 No Content\r\n\r\nx\r\n", b"", False),
    "something behind chunks": ("GET", CHUNKED + b"0\r\n\r\n\r\n", b"", False),
}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("name", BODIES)
def test_bodies(name: str, size: int) -> None:
    """RFC 9112, 6.3, however the stream is cut."""
    method, data, body, isReusable = BODIES[name]
    world = MemoryWorld()
    asked = world.ask(method)
    wire = world.connect()
    for piece in cut(data, size):
        if not wire.disconnecting:
            wire.says(piece)
    assert asked.body().result == body
    assert asked.result.body.length in (None, len(body))
    assert (asked.result.body.length is None) == (method == "GET" and b"chunked\r\n" in data and b"204" not in data)
    assert wire.disconnecting == (not isReusable)
    assert world.client.idleCount == isReusable
    assert not wire.aborted or name.startswith(("something", "a "))


def test_foldedValues() -> None:
    """RFC 9112, 5.2: a client reads them as one line."""
    asked, _ = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nX: a\r\n  b\t\r\n\tc\r\nY: d\r\nContent-Length: 0\r\n\r\n")
    assert asked.result.headers.getRawHeaders("x") == ["a b c"]
    assert asked.result.headers.getRawHeaders("y") == ["d"]


def test_bodyUntilTheEndOfTheConnection() -> None:
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\n\r\nhel")
    body = asked.body()
    wire.says(b"lo")
    assert not body.isOver
    wire.ends()
    assert body.result == b"hello"


@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        CHUNKED + b"5\r\nhell",
        CHUNKED + b"5\r\nhello",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n",
    ],
)
def test_truncatedBodies(start: bytes, reason: Exception) -> None:
    """RFC 9112, 8: never a short body."""
    asked, wire = MemoryWorld().get(start)
    body = asked.body()
    wire.ends(reason)
    assert isinstance(body.error, BodyLost)
    assert isinstance(asked.body().error, BodyLost)


def test_bodyUntilTheEndThatIsNoEnd() -> None:
    """A reset, or the end of a TLS stream without close_notify, may have been made by anybody."""
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\n\r\nhel")
    body = asked.body()
    wire.ends(ConnectionLost("the peer's stream ended without close_notify"))
    assert isinstance(body.error, BodyLost)


BAD_HEADS = {
    "nothing": b"\r\n",
    "empty line first": b"\r\n" + OK,
    "HTTP/0.9": b"hello\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "another major version": b"HTTP/2.0 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "no code": b"HTTP/1.1 OK\r\n\r\n",
    "two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "code 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "code 600": b"HTTP/1.1 600 OK\r\n\r\n",
    "control character in the reason": b"HTTP/1.1 200 O\x01K\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "empty name": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    "folded first line": b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n",
    "folded length": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 0\r\n\r\n",
    "folded coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "the same length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "a list of lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "length in hexadecimal": b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
    "length with an underscore": b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
    "empty length": b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
    "endless length": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "length and coding without a body": (b"HTTP/1.1 204 No\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "another coding without a body": b"HTTP/1.1 304 No\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "coding in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "xchunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n",
    "101 that was not asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "100 with a length": b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + OK,
    "103 with a coding": b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + OK,
    "endless 100": b"HTTP/1.1 100 Continue\r\n\r\n" * 17,
    "endless 103": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17,
    "long status line": b"HTTP/1.1 200 " + b"x" * 9000,
    "long field": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 9000,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101,
    "large head": b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 4000 + b"\r\n") * 5,
    "half a line that is endless": b"x" * 10000,
}


@pytest.mark.parametrize("size", [1, 1000000])
@pytest.mark.parametrize("name", BAD_HEADS)
def test_badHeads(name: str, size: int) -> None:
    world = MemoryWorld()
    asked = world.ask()
    wire = world.connect()
    for piece in cut(BAD_HEADS[name], size):
        if not wire.disconnecting:
            wire.says(piece)
    assert type(asked.error) is BadResponse
    assert str(asked.error)
    assert wire.aborted
    wire.ends()
    assert world.client.connectionCount == 0
    assert world.reactor.getDelayedCalls() == []


LARGEST = b"HTTP/1.1 204 " + b"x" * (8192 - 13) + b"\r\n"


@pytest.mark.parametrize(
    "head",
    [
        LARGEST + b"\r\n",
        LARGEST + b"X: " + b"y" * (8190 - 3 - 2) + b"\r\n\r\n",
        b"HTTP/1.1 204 x\r\n" + b"X: y\r\n" * 100 + b"\r\n",
        b"HTTP/1.1 100 x\r\n\r\n" * 16 + b"HTTP/1.1 204 x\r\n\r\n",
    ],
    ids=["line", "head", "fields", "interim"],
)
def test_largestHeads(head: bytes) -> None:
    """The limits themselves are allowed: lines of 8 KiB, heads of 16 KiB, 100 fields, 16 responses of 1xx."""
    assert MemoryWorld().get(head)[0].result.code == 204


BAD_BODIES = {
    "no size": b"\r\n",
    "signed size": b"+5\r\nhello\r\n",
    "0x": b"0x5\r\nhello\r\n",
    "space before": b" 5\r\nhello\r\n",
    "17 digits": b"0" * 16 + b"5\r\nhello\r\n",
    "long chunk": b"5\r\nhello!\r\n",
    "LF in an extension": b"5;a\nb\r\nhello\r\n",
    "long extension": b"5;" + b"a" * 300,
    "bare LF": b"5\nhello\n0\n\n\r\n",
    "bad trailer": b"0\r\nX\r\n\r\n",
    "length as a trailer": b"0\r\nContent-Length: 5\r\n\r\n",
    "endless trailers": b"0\r\n" + b"X: y\r\n" * 101,
    "long trailer": b"0\r\nX: " + b"y" * 9000,
}


@pytest.mark.parametrize("size", [1, 1000000])
@pytest.mark.parametrize("name", BAD_BODIES)
def test_badBodies(name: str, size: int) -> None:
    asked, wire = MemoryWorld().get(CHUNKED)
    body = asked.body()
    for piece in cut(BAD_BODIES[name], size):
        if not wire.disconnecting:
            wire.says(piece)
    assert type(body.error) is BadResponse
    assert wire.aborted


def test_trailers() -> None:
    """They are there at the end of the body. Head and trailers share their limit (RFC 9112, 7.1.2)."""
    world = MemoryWorld()
    asked, wire = world.get(CHUNKED + b"2\r\nok\r\n")
    body = asked.body()
    assert asked.result.trailers == Headers()
    wire.says(b"0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n")
    assert body.result == b"ok"
    assert asked.result.trailers.getRawHeaders("X-Sum") == ["1", "2"]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + b"X: y\r\n" * 99 + b"\r\n"
    assert isinstance(world.get(head + b"0\r\nX: y\r\n\r\n", url="http://other.test")[0].body().error, BadResponse)


# The body, and the program that takes it.


def test_iteration() -> None:
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab")
    pieces = []

    async def read() -> str:
        async for piece in asked.result.body:
            pieces.append(piece)  # noqa: PERF401  # each is looked at as it comes
        return "over"

    reading = Asked(Deferred.fromCoroutine(read()))
    assert pieces == [b"ab"]
    wire.says(b"cd")
    assert pieces == [b"ab", b"cd"]
    wire.says(b"ef")
    assert pieces == [b"ab", b"cd", b"ef"]
    assert reading.result == "over"


def test_awaited() -> None:
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")

    async def read() -> Any:
        return await asked.result.body + await asked.result.body

    reading = Asked(Deferred.fromCoroutine(read()))
    wire.says(b"cd")
    assert reading.result == b"abcdabcd"


def test_whatComesIsBoundedUntilItIsTaken() -> None:
    size = 4 * HIGH_WATER
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    wire.says(b"x" * (HIGH_WATER - 1))
    assert wire.producerState == "producing"
    wire.says(b"x")
    assert wire.producerState == "paused"
    taken = Asked(Deferred.fromCoroutine(asked.result.body.__anext__()))
    assert taken.result == b"x" * HIGH_WATER
    assert wire.producerState == "producing"


def test_aPausedConnectionIsNotReusedAsSuch() -> None:
    """The last piece pauses nothing: the connection is idle behind it, and has to notice its end."""
    world = MemoryWorld()
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HIGH_WATER)
    wire.says(b"x" * HIGH_WATER)
    assert wire.producerState == "producing"
    assert world.client.idleCount == 1
    assert asked.body().result == b"x" * HIGH_WATER


def test_bodiesThatAreTooLarge() -> None:
    """A length beyond the limit fails at once, and chunks where they pass it."""
    world = MemoryWorld(maxBody=4)
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(asked.body().error, BodyTooLarge)
    assert wire.aborted
    asked, wire = world.get(CHUNKED + b"4\r\nabcd\r\n", url="http://b.test/")
    body = asked.body()
    assert not body.isOver
    wire.says(b"1\r\ne\r\n")
    assert isinstance(body.error, BodyTooLarge)
    assert wire.aborted
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", url="http://c.test/")
    assert asked.body().result == b"abcd"


def test_theLimitOfAWholeBody() -> None:
    """1 MiB unless the client, the request or the call says otherwise. Iteration has none."""
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1048577
    assert isinstance(MemoryWorld().get(large)[0].body().error, BodyTooLarge)
    fits = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n" + b"x" * 1048576
    assert len(MemoryWorld().get(fits)[0].body().result) == 1048576
    assert len(MemoryWorld().get(large, maxBody=2000000)[0].body().result) == 1048577
    assert len(MemoryWorld().get(large)[0].body(2000000).result) == 1048577
    assert len(MemoryWorld(maxBody=2000000).get(large)[0].body().result) == 1048577

    async def count(body: Any) -> int:
        return sum([len(piece) async for piece in body])

    assert Asked(Deferred.fromCoroutine(count(MemoryWorld().get(large)[0].result.body))).result == 1048577


def test_oneTakerAtATime() -> None:
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    first = asked.body()
    assert isinstance(asked.body().error, RuntimeError)
    wire.says(b"cd")
    assert first.result == b"abcd"


def test_closedResponse() -> None:
    world = MemoryWorld()
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    asked.result.close()
    asked.result.close()
    assert wire.aborted
    assert isinstance(asked.body().error, ClientClosed)
    assert world.reactor.getDelayedCalls() == []
    asked, wire = world.get(OK)
    asked.result.close()
    assert not wire.disconnecting


def test_cancelledBody() -> None:
    asked, wire = MemoryWorld().get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    body = asked.body()
    body.deferred.cancel()
    assert isinstance(body.error, CancelledError)
    assert wire.aborted


def test_noCircles() -> None:
    """A response, its body and its request are freed without a collection, if all goes well."""
    world = MemoryWorld()
    gc.disable()
    try:
        for start, rest in ((OK, b""), (CHUNKED, b"2\r\nok\r\n0\r\n\r\n")):
            asked, wire = world.get(start, url=f"http://{len(world.wires)}.test/")
            exchange = wire.protocol._exchange
            freed = [weakref.ref(each) for each in (asked.result, asked.result.body, asked.result._inflow)]
            if exchange is not None:
                freed.append(weakref.ref(exchange))
            body = asked.body()
            if rest:
                wire.says(rest)
            assert body.isOver
            del exchange, asked, body
            assert [each() for each in freed] == [None] * len(freed)
    finally:
        gc.enable()


def test_aResponseThatIsDropped() -> None:
    """Its connection is given up, as nobody can read the rest."""
    world = MemoryWorld()
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    del asked
    gc.collect()
    world.reactor.advance(0)
    assert wire.aborted
    assert world.reactor.getDelayedCalls() == []


# Deadlines.


def test_deadlineOfTheHead() -> None:
    """It counts from the call on, and progress of the head does not move it."""
    world = MemoryWorld()
    asked = world.ask(timeout=10)
    world.reactor.advance(4)
    wire = world.connect()
    wire.says(b"HTTP/1.1 200 OK\r\n")
    world.reactor.advance(5.9)
    wire.says(b"X: y\r\n")
    assert not asked.isOver
    world.reactor.advance(0.1)
    assert isinstance(asked.error, TimeoutError)
    assert "no head of a response came within 10 seconds" in str(asked.error)
    assert wire.aborted
    assert world.reactor.getDelayedCalls() == []


def test_deadlineOfTheConnection() -> None:
    world = MemoryWorld(timeout=10)
    asked = world.ask()
    (connector,) = world.reactor.connectors
    world.reactor.advance(10)
    assert isinstance(asked.error, TimeoutError)
    assert connector.stoppedConnecting


def test_defaultDeadline() -> None:
    world = MemoryWorld()
    asked, forever = world.ask(), world.ask(timeout=None)
    world.reactor.advance(29.9)
    assert not asked.isOver
    world.reactor.advance(0.1)
    assert isinstance(asked.error, TimeoutError)
    assert not forever.isOver


def test_deadlineOfTheBody() -> None:
    """Each piece moves it. While the program lets the peer wait, it does not count."""
    world = MemoryWorld(timeout=10)
    asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * HIGH_WATER))
    for _ in range(3):
        world.reactor.advance(9.9)
        wire.says(b"x")
    wire.says(b"x" * HIGH_WATER)
    world.reactor.advance(1000)
    taken = Asked(Deferred.fromCoroutine(asked.result.body.__anext__()))
    assert len(taken.result) == HIGH_WATER + 3
    world.reactor.advance(9.9)
    body = asked.body()
    assert not body.isOver
    world.reactor.advance(0.1)
    assert isinstance(body.error, TimeoutError)
    assert "no more of the response's body came within 10 seconds" in str(body.error)
    assert wire.aborted


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_wrongTimeouts(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        MemoryWorld().client.request("GET", URL, timeout=timeout)


# Ends of the connection, and cancelling.


def test_cancelling() -> None:
    """In each phase: in line, while connecting, before the head."""
    world = MemoryWorld(connectionsPerHost=1)
    connecting, waiting = world.ask(), world.ask()
    waiting.deferred.cancel()
    assert isinstance(waiting.error, CancelledError)
    connecting.deferred.cancel()
    assert isinstance(connecting.error, CancelledError)
    assert world.reactor.connectors[0].stoppedConnecting
    world.reactor.tcpClients[0][2].clientConnectionFailed(None, Failure(UserError()))
    world.reactor.tcpClients.clear()
    asked = world.ask()
    wire = world.connect()
    asked.deferred.cancel()
    assert isinstance(asked.error, CancelledError)
    assert wire.aborted
    assert world.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 x\r\n\r\n"]
)
@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()])
def test_theConnectionEndsBeforeTheHead(start: bytes, reason: Exception) -> None:
    world = MemoryWorld()
    asked = world.ask()
    wire = world.connect()
    if start:
        wire.says(start)
    wire.ends(reason)
    assert isinstance(asked.error, NoResponse)
    assert asked.error.reason is reason
    assert world.reactor.tcpClients == []  # no second attempt: it was no idle connection
    assert world.reactor.getDelayedCalls() == []


# Expect: 100-continue.


def expecting(body: Any = b"body", **options: Any) -> tuple[MemoryWorld, Any, Any]:
    world = MemoryWorld(**options)
    asked = world.ask("POST", URL, {"Expect": "100-continue"}, body)
    wire = world.connect()
    assert wire.asked().endswith(b"\r\n\r\n")
    return world, asked, wire


def test_bodyAfterA100() -> None:
    world, asked, wire = expecting()
    wire.says(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.asked() == b"body"
    wire.says(OK)
    assert asked.body().result == b"ok"
    assert world.client.idleCount == 1


def test_bodyAfterASecond() -> None:
    world, _asked, wire = expecting(iter([b"body"]))
    world.reactor.advance(0.99)
    assert wire.asked() == b""
    world.reactor.advance(0.01)
    assert wire.asked() == b"4\r\nbody\r\n0\r\n\r\n"
    wire.says(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert wire.asked() == b""
    assert world.client.idleCount == 1


def test_refusedBody() -> None:
    """The server may still wait for the body, so the connection is no good for a further request."""
    world, asked, wire = expecting()
    wire.says(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
    assert asked.result.code == 413
    world.reactor.advance(2)
    assert wire.asked() == b""
    assert wire.disconnecting
    assert world.client.idleCount == 0


def test_deadlineWhileABodyIsHeldBack() -> None:
    world, asked, wire = expecting(timeout=0.5)
    world.reactor.advance(0.5)
    assert isinstance(asked.error, TimeoutError)
    assert wire.asked() == b""


# 101.


class Talk:
    """A protocol for what follows 101."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Any) -> None:
        self.events.append("lost")


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: talk\r\n\r\n"


def upgraded() -> tuple[MemoryWorld, Any, Any]:
    world = MemoryWorld(timeout=5)
    asked = world.ask("GET", URL, {"Connection": "Upgrade", "Upgrade": "talk"})
    return world, asked, world.connect()


def test_takeOver() -> None:
    world, asked, wire = upgraded()
    wire.says(SWITCH + b"more\r\nstill more")
    assert asked.result.code == 101
    assert asked.body().result == b""
    assert wire.producerState == "paused"
    talk = Talk()
    asked.result.takeOver(talk)
    assert talk.events == ["made", b"more\r\nstill more"]
    assert wire.protocol is talk
    assert wire.producerState == "producing"
    world.reactor.advance(100)
    assert not wire.disconnecting
    with pytest.raises(RuntimeError):
        asked.result.takeOver(talk)
    assert world.client.connectionCount == 0


def test_nobodyTakesOver() -> None:
    world, asked, wire = upgraded()
    wire.says(SWITCH)
    del asked
    gc.collect()
    world.reactor.advance(0)
    assert wire.aborted


def test_takeOverAfterTheEnd() -> None:
    _world, asked, wire = upgraded()
    wire.says(SWITCH)
    wire.ends()
    with pytest.raises(RuntimeError, match="has ended"):
        asked.result.takeOver(Talk())


def test_takeOverOfAnythingElse() -> None:
    asked, _ = MemoryWorld().get(OK)
    with pytest.raises(RuntimeError, match="101"):
        asked.result.takeOver(Talk())


def test_anUpgradeThatIsIgnored() -> None:
    world, asked, wire = upgraded()
    wire.says(OK)
    assert asked.body().result == b"ok"
    assert world.client.idleCount == 1
