"""Random scripts on our ClientService and on Twisted's, on Clocks: the traces are the same.

A script starts and stops the service, connects, refuses and loses its connections, lets time pass, and asks for
protocols. The differences on purpose are about a connection that ends, or a service that stops, while
prepareConnection works; scripts leave that out. tests/parity/test_differences.py has them.
"""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.application.internet
import twisted.internet.defer
import twisted.internet.protocol
import twisted.internet.task
import twisted.python.failure

import reactor.defer
import reactor.failure
import reactor.protocol
import reactor.service
import reactor.task

OURS = SimpleNamespace(
    internet=reactor.service,
    defer=reactor.defer,
    protocol=reactor.protocol,
    Clock=reactor.task.Clock,
    Failure=reactor.failure.Failure,
)
THEIRS = SimpleNamespace(
    internet=twisted.application.internet,
    defer=twisted.internet.defer,
    protocol=twisted.internet.protocol,
    Clock=twisted.internet.task.Clock,
    Failure=twisted.python.failure.Failure,
)
SCRIPTS = 400
STEPS = 60
STEP = (
    *("start", "stop", "ask", "ask", "cancel", "connect", "connect", "refuse", "lose", "lose"),
    *("advance", "advance", "advance", "prepared", "rejected"),
)


class Lost(Exception):
    pass


class Transport:
    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.isRejected = False

    def loseConnection(self) -> None:
        if not self.isRejected:
            self.world.say("loseConnection", self.number)


class World:
    """One ClientService, with an endpoint whose connections the script makes."""

    def __init__(self, kit: Any, seed: int) -> None:
        self.kit = kit
        self.trace: list[Any] = []
        self.random = random.Random(seed)
        self.clock = kit.Clock()
        self.attempts: list[Any] = []  # Deferreds of endpoint.connect, with their factories
        self.facing: Any = None  # the protocol that the transport sees
        self.preparing: Any = None
        self.waiting: list[Any] = []
        self.number = 0
        self.wasStarted = False
        self.immediate = self.random.choice([None, None, "connect", "refuse"])
        prepare = self.random.choice([None, self.prepareNow, self.prepareLater])
        world = self

        class Factory(kit.protocol.Factory):  # type: ignore[misc]
            def buildProtocol(self, addr: object) -> Any:
                protocol = kit.protocol.Protocol()
                protocol.number = world.number
                world.say("buildProtocol")
                return None if world.random.random() < 0.05 else protocol

        self.service = kit.internet.ClientService(self, Factory(), self.policy, self.clock, prepare)

    def say(self, *words: object) -> None:
        self.trace.append(words)

    def policy(self, attempt: int) -> float:
        self.say("policy", attempt)
        return float(attempt)

    def prepareNow(self, protocol: Any) -> Any:
        self.say("prepare", protocol.number)
        if self.random.random() < 0.3:
            protocol.transport.isRejected = True
            raise Lost("unfit")
        return 5

    def prepareLater(self, protocol: Any) -> Any:
        self.say("prepare", protocol.number)
        self.preparing = (self.kit.defer.Deferred(), protocol)
        return self.preparing[0]

    def connect(self, factory: Any) -> Any:
        """Called by the service: this is its endpoint."""
        self.say("connect")
        attempt = self.kit.defer.Deferred()
        self.attempts.append((attempt, factory))
        if self.immediate is not None and self.random.random() < 0.5:
            getattr(self, f"do_{self.immediate}")()
        return attempt

    def watch(self, name: str, deferred: Any) -> None:
        def ended(result: Any) -> None:
            failed = isinstance(result, self.kit.Failure)
            self.say(name, result.type.__name__ if failed else getattr(result, "number", result))

        deferred.addBoth(ended)

    def do_start(self) -> None:
        self.wasStarted = True
        self.say("start", self.service.startService())

    def do_stop(self) -> None:
        if self.preparing is None:
            self.number += 1
            self.watch(f"stopped {self.number}", self.service.stopService())

    def do_ask(self) -> None:
        if self.wasStarted:
            self.number += 1
            asked = self.service.whenConnected(self.random.choice([None, None, 1, 2, 3]))
            self.waiting.append(asked)
            self.watch(f"asked {self.number}", asked)

    def do_cancel(self) -> None:
        if self.waiting:
            self.waiting.pop(self.random.randrange(len(self.waiting))).cancel()

    def do_connect(self) -> None:
        if not self.attempts:
            return
        attempt, factory = self.attempts.pop()
        if attempt.called:
            return
        facing = factory.buildProtocol(None)
        if facing is None:
            attempt.errback(Lost("no protocol"))
            return
        self.number += 1
        facing.makeConnection(Transport(self, self.number))
        self.facing = facing
        attempt.callback(facing)

    def do_refuse(self) -> None:
        if self.attempts:
            attempt, _factory = self.attempts.pop()
            if not attempt.called:
                attempt.errback(Lost("refused"))

    def do_lose(self) -> None:
        if self.facing is not None and self.preparing is None:
            facing, self.facing = self.facing, None
            if not facing.transport.isRejected:
                facing.connectionLost(self.kit.Failure(Lost("lost")))

    def do_advance(self) -> None:
        self.clock.advance(self.random.choice([0.5, 1.0, 2.0, 7.0]))

    def do_prepared(self) -> None:
        if self.preparing is not None:
            (deferred, _protocol), self.preparing = self.preparing, None
            deferred.callback("ready")

    def do_rejected(self) -> None:
        if self.preparing is not None:
            (deferred, protocol), self.preparing = self.preparing, None
            protocol.transport.isRejected = True
            deferred.errback(Lost("unfit"))

    def play(self) -> list[Any]:
        for _ in range(STEPS):
            step = self.random.choice(STEP)
            self.say(step)
            getattr(self, f"do_{step}")()
            self.say(bool(self.service.running), [call.getTime() for call in self.clock.getDelayedCalls()])
        return self.trace


@pytest.mark.parametrize("part", range(4))
def test_clientService(part: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "reactor.service")  # a failure would print every second start
    events: set[Any] = set()
    for seed in range(part * SCRIPTS // 4, (part + 1) * SCRIPTS // 4):
        ours = World(OURS, seed).play()
        assert ours == World(THEIRS, seed).play(), seed
        events.update(word[0].partition(" ")[0] for word in ours if isinstance(word[0], str))
    assert {"connect", "buildProtocol", "policy", "prepare", "loseConnection", "stopped", "asked"} <= events
