"""UNIX stream sockets under the transport contract, and what is their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.transport import TransportContract
from tests.harness import LOOPS, UNIXWorld

SIDES = [pytest.param(side, id=side.name) for side in LOOPS]


class TestTransport(TransportContract):
    @pytest.fixture(params=SIDES)
    def world(self, request: pytest.FixtureRequest) -> Iterator[UNIXWorld]:
        world = UNIXWorld(request.param)
        yield world
        world.close()
