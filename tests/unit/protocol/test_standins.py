"""Stand-ins: every kind takes and gives its place, and is seen through, in the one way of protocol/standins.py."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from reactor.endpoints.streams import Introduction
from reactor.policies import ProtocolWrapper, ThrottlingFactory, WrappingFactory
from reactor.protocol import Factory, Protocol
from reactor.protocol.standins import StandIn, behind, giveWay, standBefore
from reactor.service.leaving import Leaving
from reactor.service.watch import Counted, held, progressOf
from reactor.transports.duplex import tellStop
from reactor.transports.starttls import Alias
from tests.support.worlds import World

KINDS = (ProtocolWrapper, Introduction, Counted, Leaving, Alias)


class Slotted:
    __slots__ = ("wrappedProtocol",)


class Ended:
    """A protocol that is a transport, too."""

    def __init__(self) -> None:
        self.told = 0

    def reactorStops(self) -> None:
        self.told += 1


def over(protocol: Any) -> Any:
    return SimpleNamespace(protocol=protocol)


def wrapped(protocol: Any, factory: Any = None) -> Any:
    return (factory or WrappingFactory(Factory())).wrap(protocol)


STANDING: dict[str, Callable[[Any], Any]] = {
    "wrapper": wrapped,
    "throttled": lambda protocol: wrapped(protocol, ThrottlingFactory(Factory())),
    "introduction": lambda protocol: Introduction(protocol, lambda transport: None),
    "counted": lambda protocol: Counted(over(protocol)),
    "leaving": lambda protocol: Leaving(over(protocol), cast("Any", None)),
}


def test_everyKindIsOne() -> None:
    assert all(issubclass(kind, StandIn) for kind in KINDS)


@pytest.mark.parametrize("kind", STANDING)
def test_behind(kind: str) -> None:
    protocol = Protocol()
    standIn = STANDING[kind](protocol)
    assert behind(standIn) is standIn.wrappedProtocol is protocol
    assert behind(protocol) is None
    assert behind(behind(STANDING[kind](standIn))) is protocol


@pytest.mark.parametrize("outer", STANDING)
@pytest.mark.parametrize("inner", STANDING)
def test_theReactorsStopReachesWhatIsBehind(outer: str, inner: str) -> None:
    """TLS that a program builds itself sends close_notify, whatever stands before it."""
    ended = Ended()
    tellStop(STANDING[outer](STANDING[inner](ended)))
    assert ended.told == 1


@pytest.mark.parametrize("kind", [Counted, Leaving])
def test_placesAreTakenAndGivenBack(kind: Any) -> None:
    transport, protocol = over(None), Protocol()
    transport.protocol = protocol
    standIn = kind(transport) if kind is Counted else kind(transport, None)
    assert (transport.protocol, behind(standIn)) == (standIn, protocol)
    giveWay(standIn, transport)
    assert transport.protocol is protocol
    standBefore(standIn, transport)
    assert (transport.protocol, behind(standIn)) == (standIn, protocol)


def test_anIntroductionGivesWay() -> None:
    protocol, met = Protocol(), list[Any]()
    introduction = Introduction(protocol, met.append)
    transport = over(introduction)
    introduction.makeConnection(transport)
    assert (transport.protocol, protocol.transport, met) == (protocol, transport, [transport])


def test_aTransportUnderTLSIsOne() -> None:
    """It hides all that it has itself, and still can be seen through."""
    world = World()
    server, _ = world.pair()
    transport = server.transport
    world.reactor.keepNote(transport, "note")
    transport.startTLS(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    assert isinstance(transport, Alias)
    assert behind(transport) is server.transport
    assert repr(transport) == repr(server.transport)
    assert world.reactor.noteOf(server.transport.lower) == "note"  # the reactor's note goes on with the socket
    world.close()


def test_wrappersOfPrograms() -> None:
    """Twisted's have the name in the instance; slots and properties count, too."""
    protocol, slotted = Protocol(), cast("Any", Slotted())
    slotted.wrappedProtocol = protocol
    assert behind(slotted) is behind(SimpleNamespace(wrappedProtocol=protocol)) is protocol
    tellStop(MagicMock(spec=object))
    assert behind(MagicMock()) is None  # it has every attribute, without an end


def test_theLookLeavesNoDict() -> None:
    """A protocol has no dict of its own afterwards. CPython would read its attributes in a slower way."""
    protocol = Protocol()
    protocol.connected = 1
    assert behind(protocol) is None
    assert not any(type(each) is dict for each in gc.get_referents(protocol))


def test_whatIsBehindThemIsCounted() -> None:
    transport = over(STANDING["wrapper"](Protocol()))
    first = progressOf(transport)
    assert type(transport.protocol) is Counted
    standIn = transport.protocol
    assert (progressOf(transport), transport.protocol is standIn) == (first, True)
    assert held(transport) == 0


@pytest.mark.parametrize("kind", [Counted, Introduction, Leaving])
def test_oneThatIsBeingMadeSaysWhatItLacks(kind: Any) -> None:
    with pytest.raises(AttributeError, match="wrappedProtocol"):
        _ = kind.__new__(kind).anything
