"""The work of the HTTP channel grows with the bytes and no faster, and its memory does not grow with them.

The collector of garbage rests while a connection is measured: what it costs depends on all objects of the tests.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from math import log
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.http import HTTPFactory, Request, Response
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.battery.http.cases import CRLF, HOST, chunked, get, message, post
from tests.battery.http.ours import Server, answersIn
from tests.battery.sizes import size
from tests.support.cutting import pieces
from tests.support.worlds import World, dial

EXPONENT = 1.05  # of the processor time over the bytes
MEMORY = 1 << 20  # bytes
READ = 65536
WAITS = 200  # turns in which nothing goes on
PIPELINED = 16
MOST = size(32_000, 256_000)  # bytes of the longest message, or requests


def fed(raw: bytes, cut: int = READ, status: int = 200) -> float:
    """The processor time of a connection that reads `raw` in pieces of `cut` bytes."""
    server, cutRaw = Server(), pieces(raw, cut)
    gc.collect()
    gc.disable()
    try:
        began = time.process_time()
        server.feed(cutRaw)
        spent = time.process_time() - began
    finally:
        gc.enable()
    assert server.found
    assert {each for each, _ in answersIn(server.transport.value())} == {status}
    server.end()
    return spent


def chunks(count: int) -> float:
    """Chunks of a byte."""
    return fed(chunked(b"1\r\nx\r\n" * count + b"0\r\n\r\n"))


def extensions(count: int) -> float:
    """Chunks of a byte with an extension."""
    return fed(chunked(b"1;a=b\r\nx\r\n" * count + b"0\r\n\r\n"))


def trickle(count: int) -> float:
    """A body that comes byte by byte."""
    return fed(post(b"Content-Length: %d" % count) + b"x" * count, 1)


def chunkTrickle(count: int) -> float:
    """One chunk that comes byte by byte."""
    return fed(chunked(b"%x\r\n" % count + b"x" * count + b"\r\n0\r\n\r\n"), 1)


def requests(count: int) -> float:
    """Small requests that follow each other."""
    return fed(get() * (count // 4))


def bodies(count: int) -> float:
    """Requests with bodies that follow each other."""
    return fed(post(b"Content-Length: 5", body=b"hello") * (count // 8))


def heads(count: int) -> float:
    """Heads that come byte by byte."""
    return fed(get(b"X: " + b"y" * 60) * (count // 100), 1)


def emptyLines(count: int) -> float:
    """Requests with an empty line before each."""
    return fed((CRLF + get()) * (count // 4))


def fields(count: int) -> float:
    """Heads of many fields."""
    return fed(get(*[b"X-%d: y" % number for number in range(90)]) * (count // 400))


WORK: tuple[Callable[[int], float], ...] = (
    chunks,
    extensions,
    trickle,
    chunkTrickle,
    requests,
    bodies,
    heads,
    emptyLines,
    fields,
)


def exponent(work: Callable[[int], float]) -> float:
    """The slope of log(time) over log(size)."""
    sizes = [MOST >> power for power in (3, 2, 1, 0)]
    spent = [min(work(each) for _ in range(3)) for each in sizes]
    return statistics.linear_regression([log(each) for each in sizes], [log(each) for each in spent]).slope


@pytest.mark.timing
@pytest.mark.timeout(size(120, 600))
@pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
def test_linear(work: Callable[[int], float]) -> None:
    """Twice as many bytes are twice the work. Another program may disturb one measurement, hardly three."""
    found: list[float] = []
    while not found or (min(found) > EXPONENT and len(found) < 3):
        found.append(exponent(work))
    assert min(found) <= EXPONENT, found


@pytest.mark.timing
def test_aMillionChunks() -> None:
    """A chunk among a million costs as much as one among fifty thousand."""
    few, many = min(chunks(50_000) for _ in range(3)) / 50_000, chunks(1_000_000) / 1_000_000
    assert many <= few * 1.5


def longHeads() -> Iterator[float]:
    """The cost of a byte of one line that comes byte by byte, at lengths up to the limit."""
    for length in (1000, 2000, 4000, 8000):
        raw = message(b"GET / HTTP/1.1", HOST, b"X: " + b"y" * length)
        yield min(fed(raw * (32_000 // length), 1) for _ in range(3)) / (len(raw) * (32_000 // length))


@pytest.mark.timing
def test_longLines() -> None:
    """A byte of a long line costs no more than one of a short line."""
    short, *_, long = longHeads()
    assert long <= short * EXPONENT


ENDLESS = {
    "a request line": (b"GET /", b"x" * READ, 414),
    "a field": (b"GET / HTTP/1.1\r\nX: ", b"y" * READ, 431),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n" * 10_000, 431),
    "trailers": (chunked(b"0\r\n"), b"X: y\r\n" * 10_000, 431),
    "a trailer": (chunked(b"0\r\nX: "), b"y" * READ, 431),
    "a chunk size": (chunked(b""), b"0" * READ, 400),
    "an extension": (chunked(b"5;"), b"a" * READ, 400),
    "extensions": (chunked(b"5"), b";a=b" * 10_000, 400),
    "chunks": (chunked(b""), (b"40\r\n" + b"x" * 64 + CRLF) * 1000, 413),
    "a chunk": (chunked(b"ffffffff\r\n"), b"x" * READ, 413),
    "empty lines": (b"", CRLF * 30_000, 400),
    "a body": (post(b"Content-Length: 4000000000"), b"x" * READ, 413),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_endless(what: str) -> None:
    """The server ends a message that does not end itself, and keeps nothing of what still comes."""
    start, more, status = ENDLESS[what]
    server = Server()
    server.feed([start])
    tracemalloc.start()
    try:
        for _ in range(200):  # far behind the end, too
            server.feed([more])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    ((found, head),) = answersIn(server.transport.value())
    assert found == status
    assert b"\r\nconnection: close" in head.lower()
    assert server.isClosed
    assert server.found == []
    assert peak <= (4 * MEMORY if status == 413 else MEMORY)
    server.end()


def test_unanswered() -> None:
    """Requests that follow each other wait up to a number; then no more are read."""
    waiting: list[Deferred[Response]] = []

    def handle(request: Request) -> Deferred[Response]:
        waiting.append(Deferred())
        return waiting[-1]

    transport = StringTransport(lenient=True)
    channel = HTTPFactory.forHandler(handle, reactor=Clock()).buildProtocol(transport.getPeer())
    assert channel is not None
    channel.makeConnection(transport)
    count = 0
    while transport.producerState == "producing":
        channel.dataReceived(get())
        count += 1
        assert count <= 2 * PIPELINED
    assert len(waiting) <= count
    answered = 0
    while answered < len(waiting):
        waiting[answered].callback(Response(200, b"%d" % answered))
        answered += 1
    assert answered == count
    assert transport.producerState == "producing"
    assert [status for status, _ in answersIn(transport.value())] == [200] * count
    channel.connectionLost(Failure(ConnectionDone()))


def test_unreadAnswers() -> None:
    """A peer that asks and does not read is read no further; what waits for it is bounded, and all of it comes."""
    total, body = size(20_000, 100_000), b"x" * 1000
    channels = set()

    async def handle(request: Any) -> Response:
        channels.add(request.channel)
        return Response(200, body)

    with contextlib.closing(World()) as world, contextlib.ExitStack() as stack:
        port = world.listen(HTTPFactory.forHandler(handle))
        stack.enter_context(peer := dial(port, receiveBuffer=READ))
        peer.setblocking(False)
        asked, sent, waits, most = get(b"X: " + body) * total, 0, 0, 0
        while sent < len(asked) and waits < WAITS:
            try:
                sent += peer.send(asked[sent : sent + READ])
                waits = 0
            except BlockingIOError:
                waits += 1
            world.reactor.iterate(0)
            most = max([most, *(channel.transport.unsent for channel in channels)])
        isRead = sent == len(asked)
        assert not isRead
        assert most <= MEMORY
        received = 0
        answer = len(b"HTTP/1.1 200 OK\r\nDate: Mon, 30 Nov 2026 17:00:00 GMT\r\nContent-Length: 1000\r\n\r\n") + len(
            body
        )

        def isComplete() -> bool:
            nonlocal sent, received
            with contextlib.suppress(BlockingIOError):
                received += len(peer.recv(1 << 20))
            with contextlib.suppress(BlockingIOError):
                sent += peer.send(asked[sent : sent + READ])
            return received == total * answer

        world.until(isComplete)
