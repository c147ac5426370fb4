"""An HTTP server on every stream transport and every reactor: the same dialogue, and back-pressure both ways."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.http import HTTPError, HTTPFactory, Response
from reactor.protocol import Protocol
from tests.contract.cells import CELLS, makeWorld
from tests.support.httpscenes import Answer, answersIn, chunked, get, post
from tests.support.worlds import World

PIECE = b"x" * 65536


@pytest.fixture(params=CELLS, ids=" on ".join)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = makeWorld(request.param)
    yield world
    world.close()


class Upper(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())


class Site:
    """A handler with a page of each kind. `made` are the pieces that were asked for."""

    def __init__(self) -> None:
        self.made = 0
        self.took = 0
        self.gate: Deferred[None] = Deferred()
        self.secure: list[bool] = []

    async def __call__(self, request: Any) -> Any:
        self.secure.append(request.isSecure())
        match request.path:
            case b"/plain":
                return b"plain"
            case b"/echo":
                return Response(200, await request.body, {"X": "y"})
            case b"/late":
                await self.gate
                return b"late"
            case b"/pieces":
                return Response(200, self.pieces())
            case b"/take":
                await self.gate
                async for piece in request.body:
                    self.took += len(piece)
                return b"%d" % self.took
            case b"/upgrade":
                return request.takeOver(Upper(), 101, {"Upgrade": "upper", "Connection": "upgrade"})
        raise HTTPError(404)

    async def pieces(self) -> AsyncIterator[bytes]:
        for _ in range(256):
            self.made += 1
            yield PIECE


@pytest.fixture
def site(world: World) -> tuple[Site, Any]:
    """A server in the world, and a client that has connected to it."""
    site = Site()
    port = world.listen(HTTPFactory.forHandler(site, reactor=getattr(world, "outer", world.reactor)))
    clients = world.clientFactory()
    world.connect(port, clients)
    world.until(lambda: clients.built and "made" in clients.trace)
    port.stopListening()
    return site, clients.only


def answers(world: World, client: Any, count: int) -> list[Answer]:
    """The next answers; all that was received until then is forgotten."""

    def complete() -> bool:
        text = bytes(client.received)
        return text.count(b"HTTP/1.1 ") >= count and all(each.ended for each in answersIn(text))

    world.until(complete)
    found = answersIn(bytes(client.received))
    client.received.clear()
    return found


def test_dialogue(world: World, site: tuple[Site, Any]) -> None:
    page, client = site
    write = client.transport.write
    write(get(b"/plain") + get(b"/late") + chunked(b"chu", b"nked", path=b"/echo") + get(b"/nothing"))
    assert [each.body for each in answers(world, client, 1)] == [b"plain"]
    page.gate.callback(None)
    assert [each.body for each in answers(world, client, 3)] == [b"late", b"chunked", b"Not Found\n"]
    body = bytes(range(256)) * 1000
    write(post(body, path=b"/echo"))
    (answer,) = answers(world, client, 1)
    assert (answer.code, answer.body == body, answer.fields[b"x"]) == (200, True, b"y")
    write(get(b"/plain", b"Connection: close"))
    (answer,) = answers(world, client, 1)
    assert answer.closes
    world.until(lambda: client.lost)
    assert client.trace[-1] == ("lost", "ConnectionDone")
    assert set(page.secure) == {world.isTLS or "TLS" in type(world).__name__}


def test_refusal(world: World, site: tuple[Site, Any]) -> None:
    """The client gets it, although it was still sending."""
    _, client = site
    client.transport.write(get(b"/plain") + b"nonsense\r\n\r\n" + b"x" * 500_000)
    world.until(lambda: client.lost)
    assert [each.code for each in answersIn(bytes(client.received))] == [200, 400]


def test_upgrade(world: World, site: tuple[Site, Any]) -> None:
    _, client = site
    client.transport.write(get(b"/upgrade", b"Upgrade: upper", b"Connection: upgrade") + b"behind")
    world.until(lambda: client.received.endswith(b"BEHIND"))
    client.transport.write(b" more")
    world.until(lambda: client.received.endswith(b"\r\n\r\nBEHIND MORE"))
    assert client.received.startswith(b"HTTP/1.1 101 ")


def test_slowReader(world: World, site: tuple[Site, Any]) -> None:
    """Pieces are asked for as fast as the peer reads."""
    page, client = site
    client.transport.pauseProducing()
    client.transport.write(get(b"/pieces"))
    world.until(lambda: page.made)
    made = 0
    while page.made != made:
        made = page.made
        for _ in range(4):
            world.reactor.callLater(0, list)
            world.until(iter([False, True]).__next__)
    assert made < 200
    client.transport.resumeProducing()
    world.until(lambda: client.received.endswith(b"\r\n0\r\n\r\n"))
    (answer,) = answers(world, client, 1)
    assert len(answer.body) == 256 * len(PIECE)


def test_slowHandler(world: World, site: tuple[Site, Any]) -> None:
    """A body is read as fast as its handler takes it."""
    page, client = site
    size = 256 * len(PIECE)
    client.transport.write(get(b"/take", b"Content-Length: %d" % size, method=b"POST"))
    client.transport.write(b"x" * size)
    left = -1
    while client.transport.unsent != left:
        left = client.transport.unsent
        for _ in range(4):
            world.reactor.callLater(0, list)
            world.until(iter([False, True]).__next__)
    assert left > 0
    page.gate.callback(None)
    (answer,) = answers(world, client, 1)
    assert answer.body == b"%d" % size
