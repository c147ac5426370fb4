"""AsyncioReactor under the contracts of reactors and transports, on asyncio and uvloop, and what is its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.reactor import ReactorContract
from tests.contract.transport import TransportContract
from tests.harness import ASYNCIO, UVLOOP, World

SIDES = [pytest.param(side, id=side.name) for side in (ASYNCIO, UVLOOP)]


@pytest.fixture(params=SIDES)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    made: list[Any] = []

    def makeOne() -> Any:
        made.append(request.param.makeReactor())
        return made[-1]

    yield makeOne
    for each in made:
        request.param.close(each)


class TestReactor(ReactorContract):
    pass


class TestTransport(TransportContract):
    @pytest.fixture(params=SIDES)
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = World(request.param)
        yield world
        world.close()
