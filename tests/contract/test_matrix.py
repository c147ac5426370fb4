"""Every transport and every reactor under its contract, each transport on each reactor.

It is one list, which says what has been tested, and cannot become shorter unnoticed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.epoll import EpollReactor
from reactor.testing import FakeTransport
from tests.contract.cells import CELLS, REACTORS, makeWorld
from tests.contract.reactor import ReactorContract
from tests.contract.transport import TransportContract
from tests.support.worlds import World, runProgram


class TestTransports(TransportContract):
    @pytest.fixture(params=CELLS, ids=" on ".join)
    def world(self, request: pytest.FixtureRequest) -> Iterator[World]:
        world = makeWorld(request.param)
        yield world
        world.close()


class TestReactors(ReactorContract):
    @pytest.fixture(params=REACTORS)
    def make(self, request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
        side, made = REACTORS[request.param], list[Any]()

        def makeOne() -> Any:
            made.append(side.makeReactor())
            return made[-1]

        yield makeOne
        for each in made:
            side.close(each)


COLLECT = """
import sys, pytest

class Seen:
    def pytest_collection_finish(self, session):
        self.items = session.items

seen = Seen()
assert pytest.main([sys.argv[1], "--collect-only", "-qq", "-p", "no:cacheprovider"], [seen]) == 0
for item in seen.items:
    if item.cls is not None:
        assert not [mark for mark in item.iter_markers() if mark.name in ("skip", "skipif", "xfail")], item
        params = item.callspec.params
        cell = " on ".join(params["world"]) if "world" in params else params["make"]
        print("seen", item.cls.__name__, item.originalname, cell, sep="|")
"""


def namesIn(contract: type) -> set[str]:
    return {name for name in dir(contract) if name.startswith("test")}


def test_noCellIsMissing() -> None:
    """pytest finds in this file every test of both contracts in every cell, none marked to be left out."""
    transports = ("TCP4", "TCP6", "UNIX", "TLS over TCP", "TLS over UNIX", "TLS in memory", "memory")
    reactors = ("epoll", "asyncio", "uvloop")
    expected = {
        f"seen|TestTransports|{test}|{transport} on {reactor}"
        for test in namesIn(TransportContract)
        for transport in transports
        for reactor in reactors
    }
    expected |= {f"seen|TestReactors|{test}|{reactor}" for test in namesIn(ReactorContract) for reactor in reactors}
    result = runProgram(COLLECT, __file__)
    found = {line for line in result.stdout.splitlines() if line.startswith("seen|")}
    assert found == expected, result.stderr
    assert min(len(namesIn(contract)) for contract in (TransportContract, ReactorContract)) >= 50


@pytest.fixture
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    world = makeWorld(request.param)
    yield world, world.pair()[0].transport
    world.close()


@pytest.mark.parametrize(("pair", "cell"), [(cell, cell) for cell in CELLS], ids=" on ".join, indirect=["pair"])
def test_aCellIsWhatItIsCalled(pair: tuple[Any, Any], cell: tuple[str, str]) -> None:
    (world, transport), (carrier, reactor) = pair, cell
    inMemory = carrier.endswith("memory")
    outer = world.outer if inMemory else world.reactor
    if reactor == "epoll":
        assert type(outer) is EpollReactor
    else:
        assert type(outer) is AsyncioReactor
        assert type(outer.eventloop).__module__.partition(".")[0] == reactor
    assert transport.reactor is world.reactor
    assert (transport.getTLSVersion() if "TLS" in carrier else None) == ("TLSv1.3" if "TLS" in carrier else None)
    below = transport.lower if "TLS" in carrier else transport
    if inMemory:
        assert isinstance(below, FakeTransport)
        assert world.reactor.seconds() - outer.seconds() < 1
    else:
        families = {"TCP4": socket.AF_INET, "TCP6": socket.AF_INET6, "TCP": socket.AF_INET, "UNIX": socket.AF_UNIX}
        assert below.socket.family == families[carrier.removeprefix("TLS over ")]
