"""TLS over TCP, UNIX sockets and memory under the transport contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.transport import TransportContract
from tests.harness import LOOPS, World
from tests.tlsharness import TLSInMemoryWorld, TLSOverUNIXWorld, TLSWorld

SIDES = [pytest.param(side, id=side.name) for side in LOOPS]


class TestOverTCP(TransportContract):
    @pytest.fixture(params=SIDES)
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = TLSWorld(request.param)
        yield world
        world.close()


class TestOverUNIX(TransportContract):
    @pytest.fixture(params=SIDES)
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = TLSOverUNIXWorld(request.param)
        yield world
        world.close()


class TestInMemory(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = TLSInMemoryWorld()
        yield world
        world.close()
