"""EpollReactor under the reactor contract, and what is epoll's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from reactor.loops.epoll import EpollReactor
from tests.conftest import openFiles
from tests.contract.reactor import ReactorContract
from tests.harness import OURS


@pytest.fixture
def make() -> Iterator[Callable[[], EpollReactor]]:
    made: list[EpollReactor] = []

    def makeOne() -> EpollReactor:
        made.append(EpollReactor())
        return made[-1]

    yield makeOne
    for each in made:
        OURS.close(each)


class TestContract(ReactorContract):
    pass


def test_closeGivesBackEveryDescriptor() -> None:
    before = openFiles()
    reactor = EpollReactor()
    assert len(openFiles()) == len(before) + 3
    reactor.close()
    assert openFiles() == before
