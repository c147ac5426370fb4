"""The HTTP client over real sockets, on each reactor, plain and with TLS: what servers do, good and hostile ones."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.defer import CancelledError, Deferred
from reactor.error import ConnectError, ConnectionRefusedError, DNSLookupError, SSLError, TimeoutError
from reactor.http.client import Client, request
from reactor.http.clienterrors import BadResponse, BodyTooLarge, ClientClosed, NoResponse
from reactor.http.errors import BodyLost, HTTPError
from reactor.http.factory import HTTPFactory
from reactor.http.response import Response
from reactor.protocol import Protocol, ServerFactory
from reactor.tlsoptions import optionsForClientTLS
from tests.support.httpclients import OK, Scripted, ServerWorld, Sized
from tests.support.tlsworlds import HOST, TRUST
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, OURS, refusedPort, silentServer

NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
WORLDS = [(side, isTLS) for side in LOOPS for isTLS in (False, True)]


@pytest.fixture(params=WORLDS, ids=lambda param: f"{param[0].name}-{'TLS' if param[1] else 'plain'}")
def world(request: pytest.FixtureRequest) -> Iterator[ServerWorld]:
    side, isTLS = request.param
    made = ServerWorld(side, isTLS)
    yield made
    made.close()


@pytest.fixture
def plain() -> Iterator[ServerWorld]:
    made = ServerWorld(OURS)
    yield made
    made.close()


def get(world: ServerWorld, url: str, **options: Any) -> Any:
    """The response and its whole body, by a connection of its own."""

    async def run() -> Any:
        response = await request("GET", url, context=world.context, reactor=world.reactor, **options)
        return response, await response.body

    return world.run(run())


def clientOf(world: ServerWorld, **options: Any) -> Client:
    return Client(world.reactor, context=world.context, **options)


def test_oneRequest(world: ServerWorld) -> None:
    """It asks for the end of its connection, and the connection ends."""
    url, server = world.serve([OK])
    response, body = get(world, url + "a?b#c")
    assert (response.code, body) == (200, b"ok")
    (head,) = server.heads
    lines = head.split(b"\r\n")
    assert lines[0] == b"GET /a?b HTTP/1.1"
    assert lines[1] == b"Host: " + url.partition("://")[2].rstrip("/").encode()
    assert b"Connection: close" in lines
    world.until(lambda: server.connections[0].transport.disconnected)


def test_manyRequestsOnAConnection(world: ServerWorld) -> None:
    url, server = world.serve([OK])

    async def run() -> tuple[int, ...]:
        async with clientOf(world) as client:
            for _ in range(20):
                response = await client.request("GET", url)
                assert await response.body == b"ok"
            return client.openedCount, client.reusedCount, client.idleCount

    assert world.run(run()) == (1, 19, 1)
    assert len(server.connections) == 1
    world.until(lambda: server.connections[0].transport.disconnected)


def test_bodiesBothWays(world: ServerWorld) -> None:
    """5 MiB up in chunks, and the same back until the end of the connection; nothing is held beyond the marks."""
    size = 5 * 1024 * 1024
    piece = bytes(range(256)) * 64

    class Mirror(Protocol):
        """Answers with all that it gets behind the head, and ends when the last chunk has come."""

        head = b""
        sent = 0

        def dataReceived(self, data: bytes) -> None:
            if not self.head.endswith(b"\r\n\r\n"):
                self.head, _, data = (self.head + data).partition(b"\r\n\r\n")
                self.head += b"\r\n\r\n"
                self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            self.transport.write(data)
            self.last = (getattr(self, "last", b"") + data)[-5:]
            if self.last == b"0\r\n\r\n":
                self.transport.loseConnection()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async def run() -> tuple[int, str]:
        response = await request("PUT", url, body=pieces(), context=world.context, reactor=world.reactor)
        got, digest = 0, hashlib.sha256()
        async for each in response.body:
            digest.update(each)
            got += len(each)
        return got, digest.hexdigest()

    url = world.serveFactory(ServerFactory.forProtocol(Mirror))
    framed = (b"4000\r\n" + piece + b"\r\n") * (size // len(piece)) + b"0\r\n\r\n"
    assert world.run(run()) == (len(framed), hashlib.sha256(framed).hexdigest())


def test_backPressureFromTheServer(world: ServerWorld) -> None:
    """A server that does not read makes the client stop asking the program for pieces; then all of it arrives."""
    given: list[int] = []
    total = 400

    class Slow(Protocol):
        """Pauses at once; a test lets it read."""

        got = 0

        def connectionMade(self) -> None:
            servers.append(self)
            self.transport.pauseProducing()

        def dataReceived(self, data: bytes) -> None:
            self.got += len(data)
            if data.endswith(b"0\r\n\r\n"):
                self.transport.write(OK)

    def pieces() -> Iterator[bytes]:
        for number in range(total):
            given.append(number)
            yield bytes(65536)

    servers: list[Slow] = []
    url = world.serveFactory(ServerFactory.forProtocol(Slow))
    client = clientOf(world, timeout=None)

    async def run() -> bytes:
        return await (await client.request("POST", url, body=pieces())).body

    done = Deferred.fromCoroutine(run())
    seen = [-1]

    def isStill() -> bool:
        """Whether no piece was asked for in some turns."""
        seen.append(len(given))
        return bool(servers) and len(seen) > 50 and len(set(seen[-50:])) == 1 and bool(given)

    world.until(isStill)
    assert len(given) < total - 50
    servers[0].transport.resumeProducing()
    world.until(lambda: done.called)
    assert done.result == b"ok"
    assert len(given) == total
    assert servers[0].got > total * 65536


def test_backPressureOnTheServer(world: ServerWorld) -> None:
    """A program that takes no pieces makes the server stop: at most the marks and the kernel's buffers are filled."""
    written: list[int] = []

    class Fast(Protocol):
        def connectionMade(self) -> None:
            self.transport.registerProducer(self, False)

        def resumeProducing(self) -> None:
            if not written:
                self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")
            written.append(65536)
            self.transport.write(bytes(65536))
            if len(written) == 400:
                self.transport.unregisterProducer()
                self.transport.loseConnection()

        def stopProducing(self) -> None:
            pass

    url = world.serveFactory(ServerFactory.forProtocol(Fast))
    response = world.run(clientOf(world, timeout=None).request("GET", url).__await__())
    seen = [-1]

    def isStill() -> bool:
        seen.append(len(written))
        return len(seen) > 50 and len(set(seen[-50:])) == 1

    world.until(isStill)
    assert len(written) < 350

    async def count() -> int:
        return sum([len(piece) async for piece in response.body])

    assert world.run(count()) == 400 * 65536


def test_connectionsAtOnce(world: ServerWorld) -> None:
    """30 requests on 4 connections: each gets its own answer."""

    def echo(connection: Scripted) -> None:
        target = connection.factory.heads[-1].split(b" ")[1]
        connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))

    url, server = world.serve([echo])

    async def one(client: Client, number: int) -> bytes:
        return await (await client.request("GET", f"{url}{number}")).body

    async def run() -> list[bytes]:
        client = clientOf(world, connectionsPerHost=4)
        asked = [Deferred.fromCoroutine(one(client, number)) for number in range(30)]
        results = [await each for each in asked]
        await client.close()
        return results

    assert world.run(run()) == [b"/%d" % number for number in range(30)]
    assert len(server.connections) == 4


# Errors of connections.


def test_refused(world: ServerWorld) -> None:
    with pytest.raises(ConnectionRefusedError):
        get(world, f"http{'s' * world.isTLS}://{LOOPBACK}:{refusedPort()}/")


def test_unknownHost(plain: ServerWorld) -> None:
    with pytest.raises((DNSLookupError, ConnectError)):
        get(plain, "http://unknown.invalid/")


def test_nobodyAccepts(world: ServerWorld) -> None:
    with silentServer() as (host, port), pytest.raises(TimeoutError, match=r"within 0\.1 seconds"):
        get(world, f"http{'s' * world.isTLS}://{host}:{port}/", timeout=0.1)
    assert world.reactor.getDelayedCalls() == []


def onAKeptConnection(world: ServerWorld, *script: Any) -> Any:
    """The result of a request that the server answers with `script`, with half a second as the deadline.

    Its connection stands already, so that a handshake on a busy machine takes nothing of that.
    """
    url, server = world.serve([OK], list(script))
    client = clientOf(world, timeout=None)

    async def run() -> Any:
        assert await (await client.request("GET", url)).body == b"ok"
        try:
            return await (await client.request("POST", url, timeout=0.5)).body
        finally:
            await client.close()

    try:
        return world.run(run())
    finally:
        assert client.openedCount == 1
        world.until(lambda: server.connections[0].transport.disconnected)


def test_nobodyAnswers(world: ServerWorld) -> None:
    with pytest.raises(TimeoutError, match=r"no head of a response came within 0\.5 seconds"):
        onAKeptConnection(world)


def test_cancelled(world: ServerWorld) -> None:
    """The connection ends, in each phase."""
    url, server = world.serve([])
    client = clientOf(world)
    for condition in (lambda: True, lambda: server.connections, lambda: server.heads):
        asked = client.request("GET", url)
        world.until(condition)
        asked.cancel()
        failed: list[Any] = []
        asked.addErrback(failed.append)
        assert failed[0].check(CancelledError)
    world.until(lambda: client.connectionCount == 0)
    world.until(lambda: all(each.transport.disconnected for each in server.connections))


# TLS.


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_certificatesAreVerified(side: Any) -> None:
    """By default against the system's trust, and always for the host of the URL."""
    world = ServerWorld(side, isTLS=True)
    try:
        url, server = world.serve([OK])
        with pytest.raises(SSLError):
            world.run(request("GET", url, reactor=world.reactor).__await__())
        world.context = optionsForClientTLS("other.test", TRUST)
        with pytest.raises(SSLError, match=r"other\.test"):
            get(world, url)
        world.context = optionsForClientTLS("other.test", TRUST).getContext()
        assert get(world, url)[1] == b"ok"  # the context has no name, so the URL's counts
        assert len(server.heads) == 1
    finally:
        world.close()


def test_serverNameIndication(plain: ServerWorld) -> None:
    """RFC 6066: the server hears the name of the URL. The name is looked up by the reactor."""
    names: list[str | None] = []
    world = ServerWorld(OURS, isTLS=True)
    try:
        from tests.support.tlsworlds import serverOptions

        context = serverOptions().getContext()
        context.sni_callback = lambda _ssl, name, _context: names.append(name)
        url, _server = world.serve([OK])
        port = url.rsplit(":", 1)[1]
        world.context = optionsForClientTLS(HOST, TRUST).getContext()
        assert get(world, f"https://localhost:{port}")[1] == b"ok"
        assert names == ["localhost"]
    finally:
        context.sni_callback = None
        world.close()


def test_aStreamWithoutItsEnd(plain: ServerWorld) -> None:
    """The TCP connection ends without close_notify: a body until the end is not complete then (RFC 9112, 9.8)."""

    def cutOff(connection: Scripted) -> None:
        transport: Any = connection.transport
        transport.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        transport.flush()
        transport.lower.flush()
        transport.lower.socket.shutdown(socket.SHUT_WR)

    world = ServerWorld(OURS, isTLS=True)
    try:
        url, _ = world.serve([cutOff])
        with pytest.raises(BodyLost, match="close_notify"):
            get(world, url)
    finally:
        world.close()


# Hostile servers.


HOSTILE: dict[str, tuple[list[Any], Any]] = {
    "closes at once": (["close"], NoResponse),
    "resets at once": (["reset"], NoResponse),
    "closes in the head": ([b"HTTP/1.1 200 OK\r\nX: y", "close"], NoResponse),
    "short body": ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "close"], BodyLost),
    "reset in the body": ([b"HTTP/1.1 200 OK\r\n\r\nhalf", "reset"], (BodyLost, NoResponse)),
    "no last chunk": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "close"], BodyLost),
    "bad chunk": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfour\r\nhalf"], BadResponse),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi"], BadResponse),
    "length beside chunks": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        BadResponse,
    ),
    "no HTTP": ([b"220 mail.test ESMTP\r\n\r\n"], BadResponse),
    "larger than memory": ([b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n"], BodyTooLarge),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostileServers(world: ServerWorld, name: str) -> None:
    script, error = HOSTILE[name]
    url, server = world.serve(script)
    with pytest.raises(error):
        get(world, url)
    world.until(lambda: server.connections[0].transport.disconnected)
    assert world.reactor.getDelayedCalls() == []


class Endless(Protocol):
    """Sends a beginning, and then the same again and again, as fast as the client takes it."""

    beginning = b"HTTP/1.1 200 OK\r\n"
    again = b""
    sent = 0

    def connectionMade(self) -> None:
        self.transport.write(self.beginning)
        self.transport.registerProducer(self, False)
        self.factory.served = self

    def resumeProducing(self) -> None:
        self.sent += len(self.again)
        self.transport.write(self.again)

    def stopProducing(self) -> None:
        pass


@pytest.mark.parametrize(
    ("beginning", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 10),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;", b"x" * 1000),
    ],
    ids=["head", "line", "100", "trailers", "extension"],
)
def test_endlessServers(world: ServerWorld, beginning: bytes, again: bytes) -> None:
    """A limit ends it, long before memory does."""
    kind = type("Kind", (Endless,), {"beginning": beginning, "again": again})
    factory = ServerFactory.forProtocol(kind)
    with pytest.raises(BadResponse, match=r"more than|too large"):
        get(world, world.serveFactory(factory))
    assert factory.served.sent < 1 << 24  # type: ignore[attr-defined]


def test_endlessBody(world: ServerWorld) -> None:
    kind = type("Kind", (Endless,), {"beginning": b"HTTP/1.1 200 OK\r\n\r\n", "again": bytes(65536)})
    with pytest.raises(BodyTooLarge):
        get(world, world.serveFactory(ServerFactory.forProtocol(kind)))


def test_drip(world: ServerWorld) -> None:
    """A head that comes byte by byte has the same time as any other."""

    class Drip(Protocol):
        def connectionMade(self) -> None:
            self.drip()

        def drip(self) -> None:
            if not self.transport.disconnected:
                self.transport.write(b"H")
                world.reactor.callLater(0.02, self.drip)

    with pytest.raises(TimeoutError, match="no head"):
        get(world, world.serveFactory(ServerFactory.forProtocol(Drip)), timeout=0.3)


class SlowReader(Protocol):
    """Reads 64 KiB of a body at a time, with a pause of a twentieth of a second, and answers at its end."""

    size = 3_000_000
    left = size

    def connectionMade(self) -> None:
        self.transport.bufferSize = 65536

    def dataReceived(self, data: bytes) -> None:
        self.left -= len(data.partition(b"\r\n\r\n")[2] if self.left == self.size else data)
        if self.left <= 0:
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread")
        else:
            self.transport.pauseProducing()
            self.factory.world.reactor.callLater(0.05, self.goOn)

    def goOn(self) -> None:
        if not self.transport.disconnected:
            self.transport.resumeProducing()


def test_aServerThatReadsSlowlyIsNotLate(world: ServerWorld) -> None:
    """The system asks for no more of the body for much longer than the deadline, as it holds what it has."""
    factory = ServerFactory.forProtocol(SlowReader)
    factory.world = world  # type: ignore[attr-defined]
    url = world.serveFactory(factory)
    client = clientOf(world)

    async def run() -> Any:
        try:
            return await (await client.request("POST", url, body=bytes(SlowReader.size), timeout=0.6)).body
        finally:
            await client.close()

    begun = time.monotonic()
    assert world.run(run()) == b"read"
    assert time.monotonic() - begun > 0.6


def test_stalledBody(world: ServerWorld) -> None:
    with pytest.raises(TimeoutError, match="no more of the response's body"):
        onAKeptConnection(world, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")


# Idle connections that the server ends.


def test_theServerEndsAnIdleConnection(world: ServerWorld) -> None:
    url, server = world.serve([OK])
    client = clientOf(world)

    async def ask() -> bytes:
        return await (await client.request("POST", url, body=b"x")).body

    assert world.run(ask()) == b"ok"
    server.connections[0].transport.loseConnection()
    world.until(lambda: client.connectionCount == 0)
    assert world.run(ask()) == b"ok"
    assert (client.openedCount, client.repeatedCount) == (2, 0)
    world.run(client.close().__await__())


@pytest.mark.parametrize("end", ["close", "reset"])
def test_theRequestMeetsTheEnd(world: ServerWorld, end: str) -> None:
    """The server ends the connection at the very request: a GET goes out again, and a POST does not."""
    url, server = world.serve([OK], [end], [OK])
    client = clientOf(world)

    async def ask(method: str) -> bytes:
        return await (await client.request(method, url)).body

    assert world.run(ask("GET")) == b"ok"
    assert world.run(ask("GET")) == b"ok"
    assert client.repeatedCount == 1
    server.script[:] = [[end], [OK]]
    with pytest.raises(NoResponse):
        world.run(ask("POST"))
    assert client.repeatedCount == 1
    assert len(server.heads) == 4
    world.run(client.close().__await__())


# Other things over real sockets.


def test_expect(world: ServerWorld) -> None:
    """The body follows the 100. To a server that does not answer with one it goes after a second."""

    class Waiting(Protocol):
        received = b""

        def dataReceived(self, data: bytes) -> None:
            self.received += data
            if self.received.endswith(b"\r\n\r\n") and not waits:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            elif self.received.endswith(b"the body"):
                self.transport.write(OK)

    url = world.serveFactory(ServerFactory.forProtocol(Waiting))

    async def ask() -> bytes:
        headers = {"Expect": "100-continue"}
        response = await request("POST", url, headers, b"the body", context=world.context, reactor=world.reactor)
        return await response.body

    waits = False
    assert world.run(ask()) == b"ok"
    waits = True
    assert world.run(ask()) == b"ok"


def test_takeOver(world: ServerWorld) -> None:
    """After 101 another protocol talks over the connection, with what has come behind the head."""
    switch = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: talk\r\n\r\nhello "
    events: list[Any] = []

    class Server(Protocol):
        def dataReceived(self, data: bytes) -> None:
            if data.endswith(b"\r\n\r\n"):
                self.transport.write(switch)
            else:
                self.transport.write(data.upper())

    class Talk(Protocol):
        def connectionMade(self) -> None:
            events.append("made")
            self.transport.write(b"world")

        def dataReceived(self, data: bytes) -> None:
            events.append(data)
            if b"".join(events[1:]) == b"hello WORLD":
                self.transport.loseConnection()

        def connectionLost(self, reason: Any) -> None:
            events.append("lost")

    url = world.serveFactory(ServerFactory.forProtocol(Server))

    async def run() -> None:
        headers = {"Connection": "Upgrade", "Upgrade": "talk"}
        response = await request("GET", url, headers, context=world.context, reactor=world.reactor)
        assert response.code == 101
        assert response.headers.getRawHeaders("upgrade") == ["talk"]
        response.takeOver(Talk())

    world.run(run())
    world.until(lambda: events[-1:] == ["lost"])
    assert events[0] == "made"
    assert b"".join(events[1:-1]) == b"hello WORLD"


def test_closeOfTheClient(world: ServerWorld) -> None:
    url, server = world.serve([OK], [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
    client = clientOf(world)

    async def run() -> None:
        assert await (await client.request("GET", url)).body == b"ok"
        response = await client.request("GET", url)
        await client.close()
        with pytest.raises(ClientClosed):
            await response.body

    world.run(run())
    assert client.connectionCount == 0
    world.until(lambda: all(each.transport.disconnected for each in server.connections))


def test_droppedResponse(world: ServerWorld) -> None:
    """The last reference ends in another thread: the connection ends all the same."""
    url, server = world.serve([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
    client = clientOf(world)
    held = [world.run(client.request("GET", url).__await__())]
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    dropping.join(DEADLINE)
    world.until(lambda: server.connections[0].transport.disconnected)
    world.until(lambda: client.connectionCount == 0)


def test_IPv6(plain: ServerWorld) -> None:
    _url, server = plain.serve([OK])
    port = plain.reactor.listenTCP(0, server, interface="::1").getHost().port
    assert get(plain, f"http://[::1]:{port}/")[1] == b"ok"
    assert b"Host: [::1]:%d" % port in server.heads[0]


def test_theCurrentReactor(plain: ServerWorld) -> None:
    """Without an argument, both use the reactor that runs."""
    url, _ = plain.serve([OK])
    got: list[Any] = []

    async def run() -> None:
        try:
            got.append(await (await request("GET", url)).body)
            async with Client() as client:
                got.append(await (await client.request("GET", url)).body)
        finally:
            plain.reactor.stop()

    plain.reactor.callWhenRunning(lambda: Deferred.fromCoroutine(run()).addErrback(got.append))
    plain.reactor.run(installSignalHandlers=False)
    assert got == [b"ok", b"ok"]


# The server of this package.


def test_ourOwnServer(world: ServerWorld) -> None:
    """Bodies of both kinds in both directions, and a handler's error, over one connection."""

    async def handler(asked: Any) -> Any:
        if asked.path == b"/fails":
            raise HTTPError(409, "no")
        if asked.path == b"/whole":
            return hashlib.sha256(await asked.body).hexdigest().encode()
        digest = hashlib.sha256()
        async for piece in asked.body:
            digest.update(piece)
        text = digest.hexdigest().encode()
        return Response(201, iter([text[:9], text[9:]]), {"X-Method": asked.method})

    async def pieces(data: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(data), 10000):
            yield data[at : at + 10000]

    async def run() -> tuple[int, int]:
        async with clientOf(world) as client:
            for size in (0, 1, 100000, 900000):
                data = bytes(range(256)) * (size // 256) + bytes(size % 256)
                digest = hashlib.sha256(data).hexdigest().encode()
                for path in ("whole", "pieces"):
                    for body in (data, pieces(data)):
                        answer = await client.request("PUT", url + path, body=body)
                        assert await answer.body == digest
                        assert answer.headers.hasHeader("X-Method") == (path == "pieces")
            failed = await client.request("GET", f"{url}fails")
            assert (failed.code, await failed.body) == (409, b"no\n")
            head = await client.request("HEAD", f"{url}whole")
            assert (head.code, await head.body) == (200, b"")
            return client.openedCount, client.repeatedCount

    url = world.serveFactory(HTTPFactory.forHandler(handler))
    assert world.run(run()) == (1, 0)


def test_aProxyInTenLines(world: ServerWorld) -> None:
    """A body goes through a handler and a client in pieces, and so does the response."""
    size = 3000000

    async def back(asked: Any) -> Any:
        total = 0
        async for piece in asked.body:
            total += len(piece)
        return Response(200, Sized(*[bytes(30000)] * (total // 30000), length=total), {"X-Total": str(total)})

    async def front(asked: Any) -> Any:
        answer = await client.request(asked.method, behind, {"Content-Type": "x/y"}, asked.body)
        return Response(answer.code, answer.body, {"X-Total": answer.headers.getRawHeaders("x-total")})

    behind = world.serveFactory(HTTPFactory.forHandler(back))
    client = clientOf(world)
    url = world.serveFactory(HTTPFactory.forHandler(front))

    async def run() -> tuple[Any, ...]:
        async with clientOf(world) as outer:
            answer = await outer.request("POST", url, {"Content-Length": str(size)}, [bytes(size // 3)] * 3)
            got = sum([len(piece) async for piece in answer.body])
            return answer.headers.getRawHeaders("x-total"), answer.body.length, got

    assert world.run(run()) == ([str(size)], size, size)
    world.run(client.close().__await__())
