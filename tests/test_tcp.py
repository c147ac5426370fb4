"""TCP over IPv4 and IPv6 under the transport contract, and what is TCP's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.transport import TransportContract
from tests.harness import World


class IPv6World(World):
    host = "::1"


class TestIPv4(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = World()
        yield world
        world.close()


class TestIPv6(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = IPv6World()
        yield world
        world.close()
