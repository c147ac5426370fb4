"""Mistakes in the settings for lines are told in words; a setting that is only made late is not taken for a mistake."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import attr
import pytest
from twisted.internet import protocol as theirProtocol
from twisted.internet import task as theirTask
from twisted.internet.testing import StringTransport as TheirTransport
from twisted.protocols import basic, policies

import reactor
from reactor import LineOnlyReceiver, LineReceiver, ServerFactory, task
from reactor import policies as ourPolicies
from reactor.testing import StringTransport
from tests.support.worlds import LOOPS, dial, turnUntil

OURS = SimpleNamespace(
    LineReceiver=LineReceiver, LineOnlyReceiver=LineOnlyReceiver, transport=StringTransport, name="reactor"
)
THEIRS = SimpleNamespace(
    LineReceiver=basic.LineReceiver, LineOnlyReceiver=basic.LineOnlyReceiver, transport=TheirTransport, name="twisted"
)
BASES = ["LineReceiver", "LineOnlyReceiver"]


def deliver(kit: Any, make: Callable[[Any, Any], Any], base: str) -> list[bytes]:
    """Return what the class from `make` receives of two lines."""
    got: list[bytes] = []

    class Noting(getattr(kit, base)):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            got.append(line)

        def rawDataReceived(self, data: bytes) -> None:
            got.append(data)

    protocol = make(Noting, kit)()
    protocol.makeConnection(kit.transport())
    protocol.dataReceived(b"a\nb\n")
    return got


def _dataclass(base: Any, kit: Any) -> Any:
    @dataclasses.dataclass
    class Kind(base):  # type: ignore[misc]
        name: str = "x"
        delimiter: bytes = dataclasses.field(default=b"\n", repr=False)
        MAX_LENGTH: int = dataclasses.field(default=100)

    return Kind


def _slotted(base: Any, kit: Any) -> Any:
    @dataclasses.dataclass(slots=True)
    class Kind(base):  # type: ignore[misc]
        delimiter: bytes = dataclasses.field(default=b"\n")

    return Kind


def _attrs(base: Any, kit: Any) -> Any:
    def anyLength(value: int | None) -> int:
        return value or 100

    @attr.s
    class Kind(base):  # type: ignore[misc]
        delimiter: Any = attr.ib(default=b"\n")
        MAX_LENGTH: Any = attr.ib(default=None, converter=anyLength)

    return Kind


def _annotatedAttrs(base: Any, kit: Any) -> Any:
    @attr.s(auto_attribs=True)
    class Kind(base):  # type: ignore[misc]
        delimiter: bytes = attr.ib(default=b"\n", converter=bytes)

    return Kind


def _abstract(base: Any, kit: Any) -> Any:
    class Abstract(base):  # type: ignore[misc]
        delimiter = None
        MAX_LENGTH = None

    class Kind(Abstract):
        delimiter = b"\n"  # type: ignore[assignment]
        MAX_LENGTH = 100  # type: ignore[assignment]

    return Kind


def _connectionMade(base: Any, kit: Any) -> Any:
    class Kind(base):  # type: ignore[misc]
        delimiter = None
        MAX_LENGTH = None

        def connectionMade(self) -> None:
            self.delimiter = b"\n"
            self.MAX_LENGTH = 100

    return Kind


def _init(base: Any, kit: Any) -> Any:
    class Kind(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self.delimiter: bytes | None = None

        def connectionMade(self) -> None:
            self.delimiter = b"\n"

    return Kind


def _property(base: Any, kit: Any) -> Any:
    class Kind(base):  # type: ignore[misc]
        @property
        def delimiter(self) -> bytes:
            return self.separator

        def connectionMade(self) -> None:
            self.separator = b"\n"

    return Kind


def _descriptor(base: Any, kit: Any) -> Any:
    class Descriptor:
        def __get__(self, owner: Any, kind: Any = None) -> bytes:
            if owner is None:
                raise AttributeError("delimiter")
            return b"\n"

    return type("Kind", (base,), {"delimiter": Descriptor()})


def _infinite(base: Any, kit: Any) -> Any:
    return type("Kind", (base,), {"delimiter": b"\n", "MAX_LENGTH": float("inf")})


LATE = [
    _dataclass,
    _slotted,
    _attrs,
    _annotatedAttrs,
    _abstract,
    _connectionMade,
    _init,
    _property,
    _descriptor,
    _infinite,
]


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kit", [OURS, THEIRS], ids=["ours", "Twisted"])
@pytest.mark.parametrize("make", LATE)
def test_settingsThatComeLate(make: Any, kit: Any, base: str) -> None:
    assert deliver(kit, make, base) == [b"a", b"b"]


@pytest.mark.parametrize("kit", [OURS, THEIRS], ids=["ours", "Twisted"])
@pytest.mark.parametrize("unset", ["delimiter", "MAX_LENGTH"])
def test_rawDataNeedsNoSettings(kit: Any, unset: str) -> None:
    kind = lambda base, kit: type("Kind", (base,), {unset: None, "line_mode": 0})  # noqa: E731
    assert deliver(kit, kind, "LineReceiver") == [b"a\nb\n"]


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_textInTheBodyOfAClass(base: Any) -> None:
    """No program can mean it: the class statement tells."""
    with pytest.raises(TypeError, match=r"a delimiter is bytes, not str: write b'\\n'"):
        type("Kind", (base,), {"delimiter": "\n"})
    for limit in ("100", b"100"):
        with pytest.raises(TypeError, match=f"MAX_LENGTH is a number of bytes, not {limit!r}"):
            type("Kind", (base,), {"MAX_LENGTH": limit})
    for overlong in ("ignore", b"skip", True):
        with pytest.raises(ValueError, match=f'overlong must be "close" or "skip", not {overlong!r}'):
            type("Kind", (LineReceiver,), {"overlong": overlong})


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
@pytest.mark.parametrize("where", ["__init__", "connectionMade"])
def test_textOnAnInstance(base: Any, where: str) -> None:
    for name, value, words in (
        ("delimiter", "\n", "a delimiter is bytes, not str"),
        ("MAX_LENGTH", "10", "MAX_LENGTH is a number of bytes, not '10'"),
    ):
        kind = type("Kind", (base,), {where: lambda self: setattr(self, name, value)})  # noqa: B023
        with pytest.raises(TypeError, match=words):
            kind().makeConnection(StringTransport())
    kind = type("Kind", (LineReceiver,), {where: lambda self: setattr(self, "overlong", "ignore")})
    with pytest.raises(ValueError, match="not 'ignore'"):
        kind().makeConnection(StringTransport())


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("delimiter", "\n", "a delimiter is bytes, not str"),
        ("delimiter", None, "a delimiter is bytes, not None"),
        ("delimiter", 10, "a delimiter is bytes, not 10"),
        ("MAX_LENGTH", "10", "MAX_LENGTH is a number of bytes, not '10'"),
        ("MAX_LENGTH", None, "MAX_LENGTH is a number of bytes, not None"),
        ("MAX_LENGTH", [1], r"MAX_LENGTH is a number of bytes, not \[1\]"),
    ],
)
@pytest.mark.parametrize("how", ["instance", "class", "property", "handler", "half", "batches"])
def test_settingsThatCannotBeUsed(base: Any, name: str, value: Any, words: str, how: str) -> None:
    """Told where the first line would be cut by them, whatever has set them."""

    class Kind(base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            setattr(self, name, value)

    if how == "batches":
        Kind.linesReceived = lambda self, lines: None
    kind: Any = Kind
    if how == "property":
        kind = type("Asked", (Kind,), {name: property(lambda self: value)})
    protocol = kind()
    protocol.makeConnection(StringTransport())
    if how == "class":
        setattr(Kind, name, value)
    elif how != "property" and how != "handler":
        setattr(protocol, name, value)
    data = b"a" if how == "half" else b"a\r\nb\r\nc"
    if how == "handler" and base is LineOnlyReceiver and name == "delimiter":
        protocol.dataReceived(data)  # it counts for the next read
    # A property is not asked again for the sake of words: a program sees how often it is asked.
    isWordless = how == "property" and name == "MAX_LENGTH"
    with pytest.raises(TypeError, match="not supported between" if isWordless else words):
        protocol.dataReceived(data)


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_mistakesOfHandlersStayTheirs(base: Any) -> None:
    """An exception of a handler is no word about settings, though they are to be set yet."""

    class Kind(base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            self.MAX_LENGTH = None
            raise TypeError("mine")

        def rawDataReceived(self, data: bytes, more: int) -> None: ...

    protocol = Kind()
    protocol.makeConnection(StringTransport())
    with pytest.raises(TypeError, match="mine"):
        protocol.dataReceived(b"a\r\n")
    if base is LineReceiver:
        protocol = Kind()
        protocol.makeConnection(StringTransport())
        protocol.delimiter = None
        protocol.setRawMode()
        with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'more'"):
            protocol.dataReceived(b"a\r\n")
    protocol = base()
    protocol.makeConnection(StringTransport())
    with pytest.raises((TypeError, NotImplementedError)):
        protocol.dataReceived("text")


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_sendLineWithADelimiterThatIsText(base: Any) -> None:
    protocol = base()
    protocol.makeConnection(StringTransport())
    protocol.delimiter = "\n"
    sends: list[Callable[[], object]] = [lambda: protocol.sendLine(b"x")]
    sends += [lambda: protocol.sendLines([b"x"])] * (base is LineReceiver)
    for send in sends:
        with pytest.raises(TypeError, match="a delimiter is bytes, not str"):
            send()


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kit", [OURS, THEIRS], ids=["ours", "Twisted"])
def test_aNegativeLimit(kit: Any, base: str) -> None:
    """Every line is too long."""
    kind = lambda base, kit: type("Kind", (base,), {"delimiter": b"\n", "MAX_LENGTH": -1})  # noqa: E731
    assert deliver(kit, kind, base) == []


@pytest.mark.parametrize("kit", [OURS, THEIRS], ids=["ours", "Twisted"])
def test_anEmptyDelimiter(kit: Any) -> None:
    """Nothing is ever a line."""
    assert deliver(kit, lambda base, kit: type("Kind", (base,), {"delimiter": b""}), "LineReceiver") == []


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_missingHandlersAreNamed(base: Any) -> None:
    protocol = type("Kind", (base,), {})()
    protocol.makeConnection(StringTransport())
    with pytest.raises(NotImplementedError, match="Kind defines no lineReceived"):
        protocol.dataReceived(b"a\r\n")
    if base is LineReceiver:
        protocol.setRawMode()
        with pytest.raises(NotImplementedError, match="Kind defines no rawDataReceived"):
            protocol.dataReceived(b"a\r\n")


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
@pytest.mark.parametrize("loop", LOOPS)
def test_connectionMadeAsACoroutine(base: Any, loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    """An exception after its first wait costs the connection, as in every protocol."""
    running = loop.makeReactor()
    lost: list[Any] = []

    class Kind(base):  # type: ignore[misc]
        async def connectionMade(self) -> None:
            await task.deferLater(running, 0)
            raise ValueError("late")

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason.value)

    port = running.listenTCP(0, ServerFactory.forProtocol(Kind), interface="127.0.0.1")
    client = dial(port)
    turnUntil(running, lambda: lost)
    assert isinstance(lost[0], ValueError)
    client.close()
    loop.close(running)


@pytest.mark.parametrize("kit", ["ours", "Twisted"])
def test_whatIsSetLater(kit: str) -> None:
    """None in the place of a class, a factory or a function is legal until it is used."""
    isOurs = kit == "ours"
    protocols: Any = reactor.protocol if isOurs else theirProtocol
    wrapping: Any = ourPolicies if isOurs else policies
    tasks: Any = task if isOurs else theirTask
    factory = protocols.Factory.forProtocol(None)
    factory.protocol = protocols.Protocol
    assert isinstance(factory.buildProtocol(None), protocols.Protocol)
    creator = protocols.ClientCreator(None, None)
    creator.protocolClass = protocols.Protocol
    wrapper = wrapping.WrappingFactory(None)
    wrapper.wrappedFactory = factory
    assert wrapper.buildProtocol(None) is not None
    calls: list[int] = []
    repeated = tasks.LoopingCall(None)
    repeated.clock = tasks.Clock()
    repeated.f = lambda: calls.append(1)
    repeated.start(1)
    assert calls == [1]


@pytest.mark.parametrize("loop", LOOPS)
def test_classesWithoutInstances(loop: Any) -> None:
    """A class is its own factory if its methods need no instance."""

    class Static:
        noisy = False
        doStart = staticmethod(lambda: None)
        doStop = staticmethod(lambda: None)
        buildProtocol = staticmethod(lambda addr: None)

    class Classes:
        noisy = False
        doStart = classmethod(lambda cls: None)
        doStop = classmethod(lambda cls: None)
        buildProtocol = classmethod(lambda cls, addr: None)

    running = loop.makeReactor()
    for factory in (Static, Classes):
        running.listenTCP(0, factory, interface="127.0.0.1").stopListening()
    loop.close(running)
