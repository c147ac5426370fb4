"""Name resolvers of both kinds: what a reactor's own says, others in its place, who asks them; beside Twisted's."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.address
import twisted.internet.endpoints
import twisted.internet.interfaces
import twisted.internet.testing
from zope.interface import directlyProvides

import reactor
from reactor import Factory, IPv4Address, IPv6Address, Protocol
from reactor.defer import CancelledError, fail, succeed
from reactor.endpoints import HostnameEndpoint, TCP6ClientEndpoint, clientFromString
from reactor.error import ConnectingCancelledError, DNSLookupError
from reactor.loops.names import addressesOf
from reactor.task import Clock
from reactor.testing import MemoryReactor, MemoryReactorClock, SynchronousResolver
from tests.support.worlds import LOOPS, TWISTED, World, runProgram

FOUR = IPv4Address("TCP", "192.0.2.7", 80)
SIX = IPv6Address("TCP", "2001:db8::7", 80)


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class Receiver:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.trace: list[Any] = []

    def resolutionBegan(self, resolution: Any) -> None:
        self.resolution = resolution
        self.trace.append(("began", resolution.name))

    def addressResolved(self, address: Any) -> None:
        self.trace.append((type(address).__name__, address.type, address.host, address.port))

    def resolutionComplete(self) -> None:
        self.trace.append("complete")

    @property
    def isOver(self) -> bool:
        return self.trace[-1:] == ["complete"]


class Own:
    """A name resolver of the test's: the answers are given at once."""

    def __init__(self, *addresses: Any) -> None:
        self.addresses = addresses
        self.asked: list[Any] = []

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, **more: Any) -> Any:
        self.asked.append((hostName, portNumber))
        resolution = SimpleNamespace(name=hostName, cancel=lambda: self.asked.append("cancelled"))
        receiver.resolutionBegan(resolution)
        for address in self.addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()
        return resolution


class Silent(Own):
    """A resolver that never answers."""

    def resolveHostName(self, receiver: Any, hostName: str, portNumber: int = 0, **more: Any) -> Any:
        self.asked.append((hostName, portNumber))
        receiver.resolutionBegan(SimpleNamespace(name=hostName, cancel=lambda: self.asked.append("cancelled")))


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    asked: list[Any] = []

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, *more: Any, **named: Any) -> Any:
        asked.append((host, port, int(family), int(type)))
        if isinstance(answer, Exception):
            raise answer
        found = [(socket.AF_INET6, ("2001:db8::7", port, 0, 0)), (socket.AF_INET, ("192.0.2.7", port))]
        return [(each, type, 6, "", name) for each, name in found if family in (0, each)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("side", [pytest.param(side, id=side.name) for side in (*LOOPS, TWISTED)])
@pytest.mark.parametrize("types", [None, ["IPv4Address"], ["IPv6Address"], ["IPv4Address", "IPv6Address"]])
@pytest.mark.parametrize("semantics", ["TCP", "UDP"])
def test_ownAnswers(monkeypatch: pytest.MonkeyPatch, side: Any, types: Any, semantics: Any) -> None:
    """Every address with its port, best first, of the wanted types; then that there are no more."""
    world = World(side)
    asked = answers(monkeypatch, None)
    if side is TWISTED:
        world.reactor.installNameResolver(twisted.internet._resolver.GAIResolver(world.reactor, TWISTED_POOL))
        receiver: Any = Receiver()
        directlyProvides(receiver, twisted.internet.interfaces.IResolutionReceiver)
        monkeypatch.setattr(world.reactor.nameResolver, "_getaddrinfo", socket.getaddrinfo)
    else:
        receiver = Receiver()
    classes = twisted.internet.address if side is TWISTED else reactor
    wanted = None if types is None else [getattr(classes, name) for name in types]
    world.reactor.nameResolver.resolveHostName(
        receiver, "name.example", 80, addressTypes=wanted, transportSemantics=semantics
    )
    world.until(lambda: receiver.isOver)
    both = [("IPv6Address", semantics, "2001:db8::7", 80), ("IPv4Address", semantics, "192.0.2.7", 80)]
    chosen = [each for each in both if types is None or each[0] in types]
    assert receiver.trace == [("began", "name.example"), *chosen, "complete"]
    assert asked[0][3] == (socket.SOCK_STREAM if semantics == "TCP" else socket.SOCK_DGRAM)
    world.close()


def TWISTED_POOL() -> Any:
    return SimpleNamespace(callInThreadWithCallback=lambda done, call, *args: done(True, call(*args)))


@pytest.mark.parametrize("name", ["no.such.name.invalid", "a\0b", b"\xff.example", "127.1", "x" * 300])
def test_noAddress(world: World, monkeypatch: pytest.MonkeyPatch, name: Any) -> None:
    answers(monkeypatch, socket.gaierror(socket.EAI_NONAME, "unknown"))
    receiver = Receiver()
    resolution = world.reactor.nameResolver.resolveHostName(receiver, name)
    world.until(lambda: receiver.isOver)
    assert len(receiver.trace) == 2
    assert isinstance(resolution.error, DNSLookupError)


def test_ownGivenUp(world: World) -> None:
    receiver = Receiver()
    world.reactor.nameResolver.resolveHostName(receiver, "name.example")
    receiver.resolution.cancel()
    assert receiver.trace == [("began", "name.example"), "complete"]
    assert world.reactor.getDelayedCalls() == []


@pytest.mark.parametrize("wrong", [{"addressTypes": []}, {"addressTypes": [str]}, {"transportSemantics": "SCTP"}])
def test_questionsThatAreNone(world: World, wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"are of|is 'TCP'"):
        world.reactor.nameResolver.resolveHostName(Receiver(), "name.example", **wrong)


def test_whoAsks(world: World) -> None:
    """connectTCP, resolve, resolveAll, and every endpoint with a name ask a resolver that is installed."""
    loop, own = world.reactor, Own(SIX, FOUR)
    before = loop.installNameResolver(own)
    assert loop.nameResolver is own
    found: list[Any] = []
    loop.resolve("resolve.example").addCallback(found.append)
    loop.resolveAll("all.example", 9).addCallback(found.append)
    assert found == ["192.0.2.7", [(socket.AF_INET6, ("2001:db8::7", 80, 0, 0)), (socket.AF_INET, ("192.0.2.7", 80))]]
    loop.connectTCP(b"tcp.example", 5, world.clientFactory()).stopConnecting()
    factory = Factory.forProtocol(Protocol)
    for endpoint in (
        HostnameEndpoint(loop, "host.example", 6),
        TCP6ClientEndpoint(loop, "six.example", 7),
        clientFromString(loop, b"hostname:string.example:8"),
        clientFromString(loop, "tcp:four.example:9"),
    ):
        connecting = endpoint.connect(factory)
        connecting.addErrback(lambda failure: failure.trap(ConnectingCancelledError))
        connecting.cancel()
    assert own.asked == [
        ("resolve.example", 0),
        ("all.example", 9),
        ("tcp.example", 5),
        ("host.example", 6),
        ("six.example", 7),
        ("string.example", 8),
        ("four.example", 9),
    ]
    assert loop.installNameResolver(before) is own
    assert loop.nameResolver is before


def test_theOlderKindInstalled(world: World) -> None:
    """installResolver changes both kinds, and the resolver before it comes back."""
    loop, asked = world.reactor, []
    before = loop.nameResolver

    class Simple:
        def getHostByName(self, name: str, timeout: Any = ()) -> Any:
            asked.append(name)
            return fail(DNSLookupError("nothing")) if "none" in name else succeed(name.partition("/")[2] or "::1")

    simple = Simple()
    own = loop.installResolver(simple)
    receiver = Receiver()
    for name in ("six/::1", "four/192.0.2.1", "none", "odd/nonsense"):
        loop.nameResolver.resolveHostName(receiver, name, 7, addressTypes=[IPv4Address])
    complete: Any = "complete"
    four = ("IPv4Address", "TCP", "192.0.2.1", 7)
    parts = [[("began", "six/::1"), complete], [("began", "four/192.0.2.1"), four, complete]]
    parts += [[("began", "none"), complete], [("began", "odd/nonsense"), complete]]
    assert receiver.trace == [event for part in parts for event in part]
    assert loop.installNameResolver(loop.nameResolver) is loop.nameResolver
    assert loop.installResolver(own) is simple
    assert loop.nameResolver is before


def test_theNewerAsTheOlder(world: World) -> None:
    """resolve of one that is silent ends in time, and it is told; one that has none is a DNSLookupError."""
    loop, silent = world.reactor, Silent()
    loop.installNameResolver(silent)
    results: list[Any] = []
    loop.resolve("silent.example", 0.01).addErrback(results.append)
    world.until(lambda: results)
    assert results[0].check(DNSLookupError)
    assert silent.asked == [("silent.example", 0), "cancelled"]
    loop.installNameResolver(Own())
    loop.resolve("none.example").addErrback(results.append)
    assert results[1].check(DNSLookupError)


def test_oneThatRaises() -> None:
    """An exception of a resolver fails the look-up; one that cannot be given up is left alone."""

    class Raising(Own):
        def resolveHostName(self, *args: Any, **more: Any) -> Any:
            raise LookupError("broken")

    class Uncancellable(Own):
        def resolveHostName(self, receiver: Any, *args: Any, **more: Any) -> Any:
            receiver.resolutionBegan(SimpleNamespace(cancel=NotImplemented))

    results: list[Any] = []
    addressesOf(Raising(), "x", 1).addErrback(results.append)
    lookup = addressesOf(Uncancellable(), "x", 1).addErrback(results.append)  # type: ignore[arg-type]
    lookup.cancel()
    assert [result.type for result in results] == [LookupError, CancelledError]


def test_aReceiverThatRaises(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """It costs itself, and is told in the log."""
    loop = world.reactor
    loop.installResolver(SimpleNamespace(getHostByName=lambda name, timeout=None: succeed("192.0.2.1")))

    class Broken(Receiver):
        def addressResolved(self, address: Any) -> None:
            raise LookupError("of no use")

    broken = Broken()
    loop.nameResolver.resolveHostName(broken, "name.example")
    assert broken.trace == [("began", "name.example")]
    assert "of no use" in caplog.text


class TestFakes:
    def test_memoryReactors(self) -> None:
        """Endpoints ask the resolver of a fake, Twisted's and ours the same: 127.0.0.1, or what is installed."""
        memory = MemoryReactor()
        assert isinstance(memory.nameResolver, SynchronousResolver)
        for made in (MemoryReactorClock(), twisted.internet.testing.MemoryReactorClock()):
            loop: Any = made
            HostnameEndpoint(loop, "first.example", 5).connect(Factory.forProtocol(Protocol))
            before = loop.installNameResolver(Own(SIX))
            HostnameEndpoint(loop, "second.example", 5).connect(Factory.forProtocol(Protocol))
            TCP6ClientEndpoint(loop, "third.example", 5).connect(Factory.forProtocol(Protocol))
            assert [client[:2] for client in loop.tcpClients] == [("127.0.0.1", 5), (SIX.host, 80), (SIX.host, 5)]
            loop.installNameResolver(before)

    def test_twistedsAddresses(self) -> None:
        """A resolver that was made for Twisted gives address objects of Twisted's."""
        loop: Any = MemoryReactorClock()
        loop.installNameResolver(Own(twisted.internet.address.IPv4Address("TCP", "192.0.2.9", 7)))
        HostnameEndpoint(loop, "name.example", 7).connect(Factory.forProtocol(Protocol))
        assert loop.tcpClients[0][:2] == ("192.0.2.9", 7)

    def test_noResolver(self) -> None:
        """A reactor that looks up no names fails the connection, with a sentence."""
        clock: Any = Clock()
        for kind in (HostnameEndpoint, TCP6ClientEndpoint):
            results: list[Any] = []
            kind(clock, "name.example", 7).connect(Factory.forProtocol(Protocol)).addErrback(results.append)
            assert results[0].check(TypeError)
            assert "nameResolver" in str(results[0].value)


PROGRAM = """
import reactor
from reactor.defer import succeed

class Own:
    def resolveHostName(self, receiver, hostName, portNumber=0, addressTypes=None, transportSemantics="TCP"):
        receiver.resolutionBegan(None)
        receiver.addressResolved(reactor.IPv4Address("TCP", "192.0.2.7", portNumber))
        receiver.resolutionComplete()

assert reactor.nameResolver is reactor.current().nameResolver
before = reactor.installNameResolver(Own())
assert type(reactor.nameResolver) is Own
reactor.resolve(b"name.example").addCallback(print)
assert type(reactor.installNameResolver(before)) is Own
"""


def test_theModule() -> None:
    done = runProgram(PROGRAM)
    assert (done.stdout, done.stderr) == ("192.0.2.7\n", "")


def test_aResolverMayBeACoroutine(world: World) -> None:
    """And so may the methods of a receiver. An exception of either ends the look-up."""
    loop, found = world.reactor, list[Any]()

    class Async(Own):
        async def resolveHostName(self, *args: Any, **kwargs: Any) -> Any:
            if args[1] == "raises.example":
                raise ValueError("no such thing")
            return super().resolveHostName(*args, **kwargs)

    class Listening(Receiver):
        async def resolutionComplete(self) -> None:  # type: ignore[override]
            super().resolutionComplete()

    own = loop.installNameResolver(Async(FOUR))
    loop.resolve("name.example").addBoth(found.append)
    loop.resolve("raises.example").addErrback(lambda failure: found.append(failure.type))
    assert found == ["192.0.2.7", ValueError]
    loop.installNameResolver(own)
    receiver = Listening()
    loop.nameResolver.resolveHostName(receiver, "127.0.0.1", 80)
    world.until(lambda: receiver.isOver)
