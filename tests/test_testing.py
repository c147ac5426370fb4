"""reactor.testing: the in-memory pair under the transport contract, the doubles beside Twisted's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.address
import twisted.internet.defer
import twisted.internet.error
import twisted.internet.protocol
import twisted.internet.task
import twisted.internet.testing
import twisted.protocols.basic
import twisted.protocols.loopback
import twisted.test.iosim

import reactor
from reactor import Failure, LineReceiver, defer, error, protocol, task, testing
from reactor.testing import (
    Clock,
    ConnectionCompleter,
    FakeTransport,
    MemoryReactor,
    MemoryReactorClock,
    MemorySocket,
    PumpReactor,
    StringTransport,
    connect,
    connectedServerAndClient,
    loopbackAsync,
    loopbackTCP,
    makeFakeClient,
    makeFakeServer,
)
from tests.contract.transport import TransportContract
from tests.harness import DEADLINE, OURS, Hooks, World, runProgram

MEMORY = SimpleNamespace(**{**vars(OURS), "name": "memory", "makeReactor": PumpReactor})


class MemoryWorld(World):
    """Recording protocols on in-memory pairs."""

    def __init__(self) -> None:
        super().__init__(MEMORY)

    def pair(
        self, server: Hooks | None = None, client: Hooks | None = None, halves: bool = False, clientHalves: bool = False
    ) -> tuple[Any, Any]:
        servers, clients = self.serverFactory(server, halves), self.clientFactory(client, clientHalves)
        ends = servers.buildProtocol(None), clients.buildProtocol(None)
        connect(ends[0], makeFakeServer(ends[0]), ends[1], makeFakeClient(ends[1]), greet=False, clock=self.reactor)
        assert [end.trace[:1] for end in ends] == [["made"], ["made"]]
        return ends


class TestMemoryPair(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = MemoryWorld()
        yield world
        world.close()
