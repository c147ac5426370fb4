"""10,000 pipelined requests: whatever their answers are, and whenever they are ready, they come in order.

The handler's Deferreds fire in random order. Some fail, some give pieces, some are ready at once, and some end the
connection: then a new one goes on behind the last answer. At most sixteen wait, and then the server reads no more.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred, succeed
from reactor.http import HTTPError, HTTPFactory, Response
from tests.support.httpscenes import answersIn, get
from tests.support.worlds import OURS, UVLOOP, World

COUNT = 10_000
BOUND = 16


class Site:
    """It answers each request in a way that is chosen at random, when it is chosen at random."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.waiting: list[tuple[Deferred[Any], bytes]] = []
        self.unanswered = self.most = self.count = self.latest = 0

    def __call__(self, request: Any) -> Any:
        self.count += 1
        self.unanswered += 1
        self.most = max(self.most, len(request.channel.requests))
        request.notifyFinish().addBoth(self.finished)
        number = request.path[1:]
        self.latest = int(number)
        if self.source.random() < 0.2:
            return self.answer(number)
        deferred: Deferred[Any] = Deferred()
        self.waiting.append((deferred, number))
        return deferred.addCallback(lambda number: self.answer(number))

    def finished(self, _: object) -> None:
        self.unanswered -= 1

    def answer(self, number: bytes) -> Any:
        chosen = self.source.random()
        if chosen < 0.1:
            raise HTTPError(404, number.decode())
        if chosen < 0.3:
            return Response(200, [number[:1], b"", number[1:]])
        if chosen < 0.5:
            return Response(200, self.pieces(number))
        if chosen < 0.501:
            return Response(200, number, {"Connection": "close"})
        return Response(201, number, {"X": "y"}) if chosen < 0.7 else number

    async def pieces(self, number: bytes) -> AsyncIterator[bytes]:
        yield number[:1]
        if self.source.random() < 0.5:
            gate: Deferred[Any] = Deferred()
            self.waiting.append((gate, number))
            await gate
        else:
            await succeed(None)
        yield number[1:]

    def fire(self) -> None:
        """Let some of those that wait go on."""
        for _ in range(self.source.randint(1, 20)):
            if self.waiting:
                at = self.source.randrange(len(self.waiting))
                deferred, number = self.waiting.pop(at)
                deferred.callback(number)


@pytest.fixture(params=[OURS, UVLOOP], ids=lambda side: str(side.name))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def test_order(world: World) -> None:
    site = Site(17)
    port = world.listen(HTTPFactory.forHandler(site, reactor=world.reactor))
    done, connections = 0, 0
    while done < COUNT:
        clients = world.clientFactory()
        world.connect(port, clients)
        world.until(lambda clients=clients: clients.built and "made" in clients.trace)
        client = clients.only
        client.transport.write(b"".join(get(b"/%d" % number) for number in range(done, COUNT)))
        connections += 1

        def complete(client: Any = client, left: int = COUNT - done) -> bool:
            site.fire()
            world.reactor.callLater(0, list)  # the next turn does not wait
            if client.lost:
                return True
            return site.latest == COUNT - 1 and not site.unanswered and len(answersIn(bytes(client.received))) == left

        world.until(complete)
        found = answersIn(bytes(client.received))
        assert all(answer.ended for answer in found)
        bodies = [answer.body.strip() for answer in found]
        assert bodies == [b"%d" % number for number in range(done, done + len(bodies))]
        done += len(bodies)
        assert client.lost is None or found[-1].closes
        site.waiting.clear()
        client.transport.abortConnection()
        world.until(lambda client=client: client.lost)
        world.until(lambda: not site.unanswered)
    assert connections > 3
    assert 1 < site.most <= BOUND
    assert site.count <= COUNT + connections * BOUND
