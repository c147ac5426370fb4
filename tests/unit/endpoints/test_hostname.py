"""Happy eyeballs: the order and the times of attempts, under a clock; real addresses, silent ones among them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.address import IPv4Address, IPv6Address
from reactor.defer import CancelledError, Deferred, succeed
from reactor.endpoints import HostnameEndpoint, clientFromString, connectProtocol
from reactor.endpoints.hostname import ATTEMPT_DELAY, interleaved
from reactor.error import ConnectError, ConnectingCancelledError, DNSLookupError, NoProtocol, UserError
from reactor.failure import Failure
from reactor.loops.names import answer
from reactor.protocol import Factory, Protocol, ServerFactory
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.support.worlds import OURS, World, silentServer, turnUntil

V4, V6 = socket.AF_INET, socket.AF_INET6


def addressOf(family: int, host: str) -> Any:
    return (IPv6Address if family == V6 else IPv4Address)("TCP", host, 7)


class Attempt:
    """A connector whose fate the test decides."""

    def __init__(self, names: Names, host: str, factory: Any, timeout: float | None) -> None:
        self.host = host
        self.factory = factory
        self.timeout = timeout
        self.names = names
        self.over = False

    def getDestination(self) -> str:
        return self.host

    def stopConnecting(self) -> None:
        self.names.trace.append(f"stop {self.host}")
        self.fail(UserError())

    def fail(self, error: Exception | None = None) -> None:
        assert not self.over
        self.over = True
        self.factory.clientConnectionFailed(self, Failure(error or ConnectError()))
        self.factory.doStop()

    def succeed(self) -> Any:
        transport = StringTransport()
        protocol = self.factory.buildProtocol(None)
        if protocol is not None:
            protocol.makeConnection(transport)
        return transport


class Names(Clock):
    """A reactor with a name, whose addresses the test gives, and attempts to connect."""

    def __init__(self, *targets: tuple[int, str]) -> None:
        super().__init__()
        self.trace: list[str] = []
        self.attempts: list[Attempt] = []
        self.answer: Deferred[Any] = Deferred()
        self.targets = [addressOf(family, host) for family, host in targets]
        self.nameResolver = self

    def resolveHostName(self, receiver: Any, name: str, **asked: Any) -> None:
        self.trace.append(f"resolve {name}")
        answer(receiver, name, self.answer)

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = 30, bindAddress: Any = None
    ) -> Attempt:
        self.trace.append(f"{self.seconds():.2f} {host}")
        attempt = Attempt(self, host, factory, timeout)
        self.attempts.append(attempt)
        factory.doStart()
        factory.startedConnecting(attempt)
        return attempt

    def begin(self, factory: Any = None, **options: Any) -> list[Any]:
        """Connect to the name, which has its addresses at once; return where the result will be."""
        results: list[Any] = []
        self.connecting = HostnameEndpoint(self, "name.example", 7, **options).connect(factory or Counting())  # type: ignore[arg-type]
        self.connecting.addBoth(results.append)
        if self.targets:
            self.answer.callback(self.targets)
        return results


class Counting(Factory[Protocol]):
    """Counts what it builds, and how often it is started and stopped."""

    noisy = False

    def __init__(self) -> None:
        self.events: list[str] = []

    def startFactory(self) -> None:
        self.events.append("start")

    def stopFactory(self) -> None:
        self.events.append("stop")

    def buildProtocol(self, addr: Any) -> Any:
        self.events.append("build")
        return Protocol()


FOUR = ((V6, "::1"), (V6, "::2"), (V4, "1.1.1.1"), (V4, "2.2.2.2"))


def test_familiesTakeTurns() -> None:
    """RFC 8305, section 4: the family of the best address comes first, then each in its turn."""

    def order(*targets: tuple[int, str]) -> list[str]:
        return [address.host for address in interleaved([addressOf(family, host) for family, host in targets])]

    assert order(*FOUR) == ["::1", "1.1.1.1", "::2", "2.2.2.2"]
    assert order((V4, "a"), (V4, "b"), (V4, "c"), (V6, "::1")) == ["a", "::1", "b", "c"]
    assert order((V4, "a"), (V4, "a"), (V6, "::1"), (V4, "b")) == ["a", "::1", "b"]
    assert order((V6, "::1")) == ["::1"]
    assert order() == []


def test_oneEachQuarterOfASecond() -> None:
    """Silent addresses: the next is tried beside them after the attempt delay of RFC 8305, section 5."""
    assert ATTEMPT_DELAY == 0.25
    names = Names(*FOUR)
    results = names.begin()
    names.pump([0.125] * 16)
    assert names.trace == ["resolve name.example", "0.00 ::1", "0.25 1.1.1.1", "0.50 ::2", "0.75 2.2.2.2"]
    assert results == []
    assert names.getDelayedCalls() == []
    assert [attempt.timeout for attempt in names.attempts] == [30] * 4


def test_theFirstWinsAndTheOthersAreGivenUp() -> None:
    names = Names(*FOUR)
    factory = Counting()
    results = names.begin(factory)
    names.advance(0.25)
    names.advance(0.25)
    transport = names.attempts[1].succeed()
    assert names.trace[-2:] == ["stop ::1", "stop ::2"]
    assert results == [transport.protocol]
    assert names.getDelayedCalls() == []
    assert len(names.attempts) == 3
    assert factory.events == ["start", "build"]
    names.attempts[1].factory.doStop()
    assert factory.events == ["start", "build", "stop"]


def test_theNextComesAtOnceWhenOneFails() -> None:
    names = Names(*FOUR)
    names.begin()
    names.advance(0.125)
    names.attempts[0].fail()
    names.advance(0.125)
    assert names.trace[1:] == ["0.00 ::1", "0.12 1.1.1.1"]
    names.advance(0.125)
    assert names.trace[-1] == "0.38 ::2"


def test_allFail() -> None:
    """The last failure is the result, when nothing is left; the factory was started once."""
    names = Names(*FOUR)
    factory = Counting()
    results = names.begin(factory)
    names.advance(0.25)
    for attempt in (0, 1, 2):
        names.attempts[attempt].fail()
    assert results == []
    last = ConnectError(string="the last")
    names.attempts[3].fail(last)
    assert results[0].value is last
    assert factory.events == ["start", "stop"]
    assert names.getDelayedCalls() == []


def test_cancelWhileConnecting() -> None:
    names = Names(*FOUR)
    factory = Counting()
    results = names.begin(factory)
    names.advance(0.25)
    names.connecting.cancel()
    assert results[0].check(ConnectingCancelledError)
    assert results[0].value.address.hostname == b"name.example"
    assert names.trace[-2:] == ["stop ::1", "stop 1.1.1.1"]
    assert factory.events == ["start", "stop"]
    assert names.getDelayedCalls() == []


def test_cancelWhileLookingUp() -> None:
    names = Names()
    factory = Counting()
    results = names.begin(factory)
    asked: list[Failure] = []
    names.answer.addErrback(asked.append)
    names.connecting.cancel()
    assert results[0].check(ConnectingCancelledError)
    assert names.answer.called
    assert factory.events == []
    assert names.getDelayedCalls() == []


def test_theLookUpHasTheTimeoutToo() -> None:
    names = Names()
    results = names.begin(timeout=3)
    names.pump([1, 1])
    assert results == []
    names.advance(1)
    assert results[0].check(DNSLookupError)
    assert names.attempts == []
    names = Names()
    results = names.begin(timeout=None)
    assert names.getDelayedCalls() == []
    names.answer.callback([addressOf(V4, "1.1.1.1")])
    assert names.attempts[0].timeout is None


@pytest.mark.parametrize("answer", [Failure(DNSLookupError("no")), []])
def test_noAddress(answer: Any) -> None:
    names = Names()
    results = names.begin()
    names.answer.callback(answer)
    assert results[0].check(DNSLookupError)
    assert names.attempts == []


def test_theWinnersFateIsFinal() -> None:
    """No second connection is made when the factory has no protocol, or connectionMade raises."""

    class Refusing(Counting):
        def buildProtocol(self, addr: Any) -> Any:
            return None

    names = Names(*FOUR)
    results = names.begin(Refusing())
    names.attempts[0].succeed()
    assert results[0].check(NoProtocol)
    names.pump([0.25] * 8)
    assert len(names.attempts) == 1


def test_literalAddressesAreNotLookedUp() -> None:
    for host in ("127.0.0.1", "::1", b"127.0.0.1"):
        names = Names()
        HostnameEndpoint(names, host, 7, attemptDelay=3).connect(Counting())  # type: ignore[arg-type]
        assert names.trace == [f"0.00 {host if isinstance(host, str) else host.decode()}"]


def test_itsOwnDelay() -> None:
    names = Names(*FOUR)
    names.begin(attemptDelay=1.0, timeout=9)
    names.advance(0.5)
    assert len(names.attempts) == 1
    names.advance(0.5)
    assert len(names.attempts) == 2
    assert names.attempts[0].timeout == 9


def test_names() -> None:
    names: Any = Names()
    assert repr(HostnameEndpoint(names, "::1", 7)) == "<HostnameEndpoint [::1]:7>"
    assert repr(HostnameEndpoint(names, b"a.example", 7)) == "<HostnameEndpoint a.example:7>"


@pytest.fixture
def world() -> Iterator[World]:
    world = World(OURS)
    yield world
    world.close()


def test_aSilentAddressCostsTheDelay(world: World) -> None:
    """A real black hole comes first: the address that answers has the connection, and the hole is let go."""
    with silentServer() as (_host, number):
        loop = world.reactor
        factory: Any = ServerFactory.forProtocol(Protocol)
        for good in ("127.0.0.2", "::1"):
            loop.listenTCP(number, factory, interface=good)
            loop.installNameResolver(Fixed("127.0.0.1", good))
            results: list[Any] = []
            began = loop.seconds()
            endpoint = clientFromString(loop, f"hostname:name.example:{number}:attemptDelay=0.05")
            connectProtocol(endpoint, Protocol()).addBoth(results.append)
            turnUntil(loop, lambda results=results: results)
            assert loop.seconds() - began >= 0.05
            assert results[0].transport.getPeer().host == good
            results[0].transport.abortConnection()
        turnUntil(loop, lambda: not loop.getWriters())


class Fixed:
    """A name resolver with the same answer for every name."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    def resolveHostName(self, receiver: Any, name: str, portNumber: int = 0, **asked: Any) -> None:
        kinds: Any = [(IPv6Address if ":" in host else IPv4Address, host) for host in self.hosts]
        answer(receiver, name, succeed([kind("TCP", host, portNumber) for kind, host in kinds]))


def test_cancelledIsNotAFailureOfTheLookUp() -> None:
    """The error with which the look-up answers to being given up is nobody's error."""
    names = Names()
    results = names.begin()
    names.connecting.cancel()
    assert [result.type for result in results] == [ConnectingCancelledError]
    assert not results[0].check(CancelledError)
