"""Interfaces as they are asked at run time: by what an object has, by what was declared, by zope.interface.

Twisted's answers for its own objects are the reference. Where ours differ is written below, with the reason.
"""

from __future__ import annotations

import inspect
import pathlib
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import pytest
import twisted.internet.address
import twisted.internet.endpoints
import twisted.internet.interfaces
import twisted.internet.protocol
import twisted.internet.task
import twisted.internet.testing
import twisted.protocols.basic
import zope.interface
from zope.interface.interface import InterfaceClass as ZopeInterface

import reactor
from reactor import _current, interfaces
from reactor.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    Interface,
    InterfaceClass,
    IProtocol,
    IPullProducer,
    IPushProducer,
    IStreamClientEndpoint,
    NotProvided,
    alsoProvides,
    classImplements,
    directlyProvides,
    implementedBy,
    implementer,
    providedBy,
    provider,
    verifyClass,
    verifyObject,
)
from reactor.transports.tcp import TCPClientConnection
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.udp import MulticastPort
from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort
from reactor.transports.unix.stream import UNIXClientConnection
from tests.support.worlds import LOOPBACK, OURS, TWISTED, UNIXWorld, World, runProgram

THEIRS: dict[str, Any] = {
    name: value
    for name, value in vars(twisted.internet.interfaces).items()
    if isinstance(value, ZopeInterface) and name in interfaces.__all__ and name != "Interface"
}
MINE: dict[str, InterfaceClass] = {
    name: getattr(interfaces, name)
    for name in interfaces.__all__
    if isinstance(getattr(interfaces, name), InterfaceClass) and name != "Interface"
}

PORTS = frozenset({"port", "udp", "multicast"})
STREAMS = frozenset({"server", "client", "unixServer", "unixClient"})
# Which of our objects answer otherwise than Twisted's.
DIFFERENT: dict[str, frozenset[str]] = {
    # Twisted's ports inherit the methods of connections, which raise.
    **dict.fromkeys(("ITransport", "IReadWriteDescriptor", "IWriteDescriptor"), PORTS),
    "IHalfCloseableDescriptor": PORTS | STREAMS,  # our transports tell their protocol
    # A class that has the methods provides the interface.
    "IConsumer": PORTS,
    "IProducer": PORTS | {"LineReceiver"},
    "IPushProducer": PORTS | {"LineReceiver", "FileSender"},
    "IPullProducer": STREAMS | {"LineReceiver", "FileSender", "StringTransport"},
    "IUNIXDatagramTransport": frozenset({"udp", "multicast"}),
}


class Side:
    """Objects of one implementation, by names that are the same for both."""

    def __init__(self, side: Any, parts: dict[str, Any]) -> None:
        protocol, endpoints, address, task, testing = (
            parts[name] for name in ("protocol", "endpoints", "address", "task", "testing")
        )
        self.tcp, self.unix = World(side), UNIXWorld(side)
        loop = self.tcp.reactor
        server, client = self.tcp.pair()
        unixServer, unixClient = self.unix.pair()
        port = loop.listenTCP(0, protocol.ServerFactory.forProtocol(protocol.Protocol), interface=LOOPBACK)
        self.call = loop.callLater(100, print)
        self.objects = {
            "reactor": loop,
            "server": server.transport,
            "client": client.transport,
            "unixServer": unixServer.transport,
            "unixClient": unixClient.transport,
            "port": port,
            "connector": loop.connectTCP(LOOPBACK, port.getHost().port, self.tcp.clientFactory()),
            "udp": loop.listenUDP(0, protocol.DatagramProtocol(), interface=LOOPBACK),
            "multicast": loop.listenMulticast(0, protocol.DatagramProtocol(), interface=LOOPBACK),
            "call": self.call,
            "Protocol": protocol.Protocol(),
            "LineReceiver": parts["LineReceiver"](),
            "ProcessProtocol": protocol.ProcessProtocol(),
            "DatagramProtocol": protocol.DatagramProtocol(),
            "Factory": protocol.Factory(),
            "ClientFactory": protocol.ClientFactory(),
            "FileSender": parts["FileSender"](),
            "IPv4Address": address.IPv4Address("TCP", LOOPBACK, 1),
            "IPv6Address": address.IPv6Address("TCP", "::1", 1),
            "UNIXAddress": address.UNIXAddress(b"/nowhere"),
            "HostnameAddress": address.HostnameAddress(b"host", 1),
            "Clock": task.Clock(),
            "StringTransport": testing.StringTransport(),
            "MemoryReactor": testing.MemoryReactor(),
            "MemoryReactorClock": testing.MemoryReactorClock(),
            "TCP4ClientEndpoint": endpoints.TCP4ClientEndpoint(loop, "host", 1),
            "TCP4ServerEndpoint": endpoints.TCP4ServerEndpoint(loop, 1),
            "UNIXClientEndpoint": endpoints.UNIXClientEndpoint(loop, "/nowhere"),
            "UNIXServerEndpoint": endpoints.UNIXServerEndpoint(loop, "/nowhere"),
            "HostnameEndpoint": endpoints.HostnameEndpoint(loop, "host", 1),
            "None": None,
            "a str": "",
            "a class": protocol.Factory,
        }

    def close(self) -> None:
        self.call.cancel()
        self.tcp.close()
        self.unix.close()


@pytest.fixture
def objects() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    import reactor.endpoints
    import reactor.testing

    mine = {name: getattr(reactor, name) for name in ("protocol", "endpoints", "address", "task", "testing")}
    mine |= {"LineReceiver": reactor.LineReceiver, "FileSender": reactor.FileSender}
    theirs = {name: getattr(twisted.internet, name) for name in ("protocol", "endpoints", "address", "task", "testing")}
    basic = twisted.protocols.basic
    theirs |= {"LineReceiver": basic.LineReceiver, "FileSender": basic.FileSender}
    sides = [Side(OURS, mine), Side(TWISTED, theirs)]
    yield sides[0].objects, sides[1].objects
    for side in sides:
        side.close()


def test_answersAreTwisteds(objects: tuple[dict[str, Any], dict[str, Any]]) -> None:
    ours, theirs = objects
    found: dict[str, set[str]] = {}
    for name, interface in THEIRS.items():
        for what, ob in ours.items():
            answer = MINE[name].providedBy(ob)
            assert isinstance(ob, MINE[name]) is answer
            if answer != interface.providedBy(theirs[what]):
                found.setdefault(name, set()).add(what)
    assert found == {name: set(those) for name, those in DIFFERENT.items()}


def test_zopeAdaptsWhatIsOursToTwistedsInterfaces(objects: tuple[dict[str, Any], dict[str, Any]]) -> None:
    """Twisted's own code does so: IHostnameResolver(x), ITransport(x). It costs a `__conform__`, and no import."""
    ours, _ = objects
    adapted = 0
    for what, ob in {**ours, "package": reactor}.items():
        if type(ob) in (str, type, type(None)) or what == "FileSender":
            continue
        for name, interface in THEIRS.items():
            mine = MINE[name].providedBy(ob)
            assert (interface(ob, None) is ob) is mine, (what, name)
            adapted += mine
    assert adapted > 100
    assert zope.interface.Interface.implementedBy(reactor.Protocol)
    foreign = ZopeInterface("IProtocol", (zope.interface.Interface,), __module__="somewhere.else")
    assert foreign(ours["Protocol"], None) is None


def test_thePackageIsAReactor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_current, "_default", None)
    monkeypatch.setattr(_current, "_maker", None)  # no reactor is made for the question
    reactors = [each for name, each in MINE.items() if name.startswith("IReactor")]
    assert len(reactors) > 15
    for each in reactors:
        assert each.providedBy(reactor), each
        assert each.implementedBy(reactor.EpollReactor), each
        assert verifyClass(each, reactor.AsyncioReactor)


class Greeter(Interface, Protocol):
    """An interface of a program's own."""

    name: str

    def greet(self, whom: str, loudly: bool = False) -> str:
        """Greet."""


class Polite(Greeter, Protocol):
    def bow(self) -> None:
        """Bow."""


class Has:
    name = "has"

    def greet(self, whom: str) -> str:
        return whom

    def bow(self, *deeply: int) -> None:
        pass


def test_whatHasTheMembersProvides() -> None:
    assert Greeter.providedBy(Has())
    assert isinstance(Has(), Polite)  # type: ignore[misc]
    assert Polite.implementedBy(Has)
    assert issubclass(Has, Greeter)  # type: ignore[misc]
    assert Polite.names() == ["name", "greet", "bow"]
    for wrong in (
        lambda self: None,
        lambda self, whom, loudly: None,
        lambda self, whom, *, loudly: None,
        None,
        "a text",
    ):
        kind = type("Wrong", (Has,), {"greet": wrong})
        assert not Greeter.providedBy(kind())
        assert not Greeter.implementedBy(kind)
        with pytest.raises(NotProvided, match=r"Wrong.* does not provide Greeter: greet"):
            verifyObject(Greeter, kind())
        with pytest.raises(NotProvided, match="greet"):
            verifyClass(Greeter, kind)
    rights: list[Any] = [
        lambda self, *args: None,
        lambda self, whom=1, more=2: None,
        staticmethod(lambda whom: None),
        classmethod(lambda cls, whom: None),
        print,
    ]
    for right in rights:
        kind = type("Right", (Has,), {"greet": right})
        assert Greeter.providedBy(kind())
        assert verifyClass(Greeter, kind)
    assert not Greeter.providedBy(Has)  # a class is not its instances
    assert not Greeter.providedBy(object())


def test_whatInstancesHave() -> None:
    class Slow:
        def greet(self, whom: str) -> None: ...

    slow: Any = Slow()
    assert not Greeter.providedBy(slow)
    assert Greeter.implementedBy(Slow)  # data may come in __init__
    assert verifyClass(Greeter, Slow)
    with pytest.raises(NotProvided, match="name is missing"):
        verifyObject(Greeter, slow)
    slow.name = "slow"
    assert Greeter.providedBy(slow)

    class Wrapper:
        def __getattr__(self, name: str) -> Any:
            return getattr(slow, name)

    assert Greeter.providedBy(Wrapper())
    assert not IProtocol.providedBy(Wrapper())


def test_propertiesAreNotAskedForTheirValue() -> None:
    class Touchy:
        greet = Has.greet

        @property
        def name(self) -> str:
            raise AssertionError("asked")

    assert Greeter.providedBy(Touchy())


def test_declaring() -> None:
    @implementer(Polite)
    class Said:
        pass

    class Child(Said):
        pass

    for interface in (Greeter, Polite):
        assert isinstance(Child(), interface)  # type: ignore[misc]
        assert interface.implementedBy(Child)
        assert not interface.providedBy(Child)
    assert not IConsumer.providedBy(Child())
    classImplements(Child, [IConsumer], IAddress)
    assert IAddress.providedBy(Child())
    assert IConsumer.implementedBy(Child)
    assert not IConsumer.implementedBy(Said)
    assert IAddress in providedBy(Child())
    assert IAddress in implementedBy(Child)
    with pytest.raises(NotProvided):
        verifyObject(Polite, Said())
    for wrong in (str, "IConsumer", None):
        with pytest.raises(TypeError, match=r"no interface of reactor\.interfaces"):
            implementer(wrong)(Said)


def test_declaringOfOneObject() -> None:
    class Plain:
        pass

    one, other = Plain(), Plain()
    directlyProvides(one, Greeter)
    assert (Greeter.providedBy(one), Greeter.providedBy(other)) == (True, False)
    alsoProvides(one, IAddress)
    assert Greeter.providedBy(one)
    assert IAddress.providedBy(one)
    directlyProvides(one, IAddress)
    assert not Greeter.providedBy(one)

    @provider(Greeter)
    class Shop:
        pass

    assert Greeter.providedBy(Shop)
    assert not Greeter.providedBy(Shop())
    assert not Greeter.implementedBy(Shop)
    with pytest.raises(TypeError, match="takes no attributes"):
        directlyProvides(object(), Greeter)


def test_interfacesAreCalledToAdapt() -> None:
    class Can:
        def __conform__(self, interface: Any) -> Any:
            return Has() if interface is Greeter else None

    call: Any = Greeter
    has = Has()
    assert call(has) is has
    assert type(call(Can())) is Has
    assert call(3, None) is None
    with pytest.raises(TypeError, match="could not adapt 3 to Greeter"):
        call(3)
    call = Polite
    with pytest.raises(TypeError):
        call(Can())


def test_aClassThatInheritsIsAClass() -> None:
    class Chatty(IHalfCloseableProtocol):
        def readConnectionLost(self) -> None: ...

        def writeConnectionLost(self) -> None: ...

    chatty = Chatty()
    assert IHalfCloseableProtocol.providedBy(chatty)
    assert isinstance(chatty, Chatty)
    assert not isinstance(Has(), Chatty)
    assert issubclass(Chatty, IHalfCloseableProtocol)


def test_halvesAndProducers() -> None:
    class Push:
        def pauseProducing(self) -> None: ...

        def resumeProducing(self) -> None: ...

        def stopProducing(self) -> None: ...

    assert IPushProducer.providedBy(Push())
    assert not IPushProducer.providedBy(type("Pull", (Push,), {"pauseProducing": None})())
    assert IPullProducer.providedBy(type("Pull", (Push,), {"pauseProducing": None})())
    assert not IHalfCloseableProtocol.providedBy(reactor.Protocol())
    assert not IStreamClientEndpoint.providedBy(type("Connector", (), {"connect": lambda self: None})())


def test_aProgramsOwnInterface() -> None:
    """It is zope's, and so must its implementer be, which takes ours beside it; ours refuses it, with its name."""
    own = ZopeInterface("IOwn", (zope.interface.Interface,))

    @zope.interface.implementer(own, interfaces.IHalfCloseableProtocol)
    class Kept(reactor.Protocol):
        pass

    assert own.providedBy(Kept())
    assert interfaces.IHalfCloseableProtocol.providedBy(Kept())
    with pytest.raises(TypeError, match=r"IOwn.* is no interface of reactor\.interfaces"):
        interfaces.implementer(own)(Kept)


def test_zopesOwnDeclarations() -> None:
    """A program that keeps its `from zope.interface import implementer`."""

    @zope.interface.implementer(interfaces.IStreamServerEndpoint)
    class Endpoint:
        pass

    assert interfaces.IStreamServerEndpoint.providedBy(Endpoint())
    assert isinstance(Endpoint(), interfaces.IStreamServerEndpoint)
    assert interfaces.IStreamServerEndpoint.implementedBy(Endpoint)
    assert not IStreamClientEndpoint.providedBy(Endpoint())

    @zope.interface.implementer(interfaces.ISSLTransport)
    class Transport:
        pass

    assert interfaces.ITransport.providedBy(Transport())

    class Plain:
        pass

    plain = Plain()
    zope.interface.directlyProvides(plain, interfaces.IAddress)
    assert IAddress.providedBy(plain)
    assert not IAddress.providedBy(Plain())
    zope.interface.alsoProvides(plain, interfaces.IConsumer)
    assert IConsumer.providedBy(plain)


def test_withoutZope() -> None:
    """It is neither needed nor imported, nor are interfaces iterable without it."""
    program = """
import sys
sys.modules["zope"] = None
import reactor
from reactor.interfaces import IProtocol, IReactorTCP, implementer
assert IReactorTCP.providedBy(reactor) and isinstance(reactor.Protocol(), IProtocol)
try:
    list(IProtocol)
except TypeError:
    print(sorted(name for name in sys.modules if name.startswith("zope.")))
"""
    result = runProgram(program)
    assert (result.stdout, result.stderr) == ("[]\n", "")


def test_everyNameIsOfThePackage() -> None:
    assert {each.__module__ for each in MINE.values()} == {"reactor.interfaces"}
    assert set(MINE) <= set(interfaces.__all__)
    assert pathlib.Path(inspect.getfile(sys.modules["reactor.interfaces"])).name == "__init__.py"


# Interfaces of zope, of Windows, of pyOpenSSL, or for parts of Twisted that are not here.
LEFT_OUT = {
    "IAcceptableCiphers",
    "ICipher",
    "IOpenSSLClientConnectionCreator",
    "IOpenSSLContextFactory",
    "IOpenSSLServerConnectionCreator",
    "IReactorDaemonize",
    "IReactorTCP2",
    "IReactorWin32Events",
    "IServiceCollection",
}


def test_namesOfTwisteds() -> None:
    names = {
        name
        for name, value in vars(twisted.internet.interfaces).items()
        if isinstance(value, ZopeInterface) and not name.startswith("_")
    }
    others = {
        "IFileDescriptorReceiver",
        "IHostResolution",
        "IHostnameResolver",
        "IReactorPluggableNameResolver",
        "IResolutionReceiver",
        "IStreamClientEndpointStringParserWithReactor",
        "IStreamServerEndpointStringParser",
    }
    assert names - set(interfaces.__all__) - others == LEFT_OUT


def test_whatTypeCheckersTakeTransportsFor() -> None:
    """`self.transport` completes with all that one of our transports offers to programs, and with nothing else."""
    offered = {
        name
        for kind in (TCPClientConnection, UNIXClientConnection, TLSConnection)
        for name in dir(kind)
        if not name.startswith("_")
    }
    inner = {
        "SEND_LIMIT",
        "closeTimeout",
        "connectionLost",
        "countsBytes",
        "dataReceived",
        "doRead",
        "doWrite",
        "endIsKnown",
        "ended",
        "fail",
        "failConnection",
        "fileDescriptorReceived",
        "flush",
        "handshakeTimeout",
        "isAccepting",
        "isThrottled",
        "lower",
        "makeConnection",
        "noteClosing",
        "producerPaused",
        "reactorStops",
        "readConnectionLost",
        "socket",
        "start",
        "startWriting",
        "stopWriting",
        "tally",
        "throttle",
        "unthrottle",
        "writeConnectionLost",
        "writeLarge",
        "writeNow",
    }
    assert offered - inner == set(interfaces.IAnyTransport.names())
    ports = {name for kind in (MulticastPort, ConnectedUNIXDatagramPort) for name in dir(kind)}
    ofInstances = {"protocol", "reactor", "oversizedCount", "unsentCount"}
    assert set(interfaces.IAnyDatagramTransport.names()) - ofInstances <= ports
