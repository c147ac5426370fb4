"""Endpoints: their strings, read as Twisted reads them, and what listening and connecting through them does."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import twisted.internet.endpoints as model
from hypothesis import example, given
from hypothesis import strategies as st

from reactor import endpoints
from reactor.defer import Deferred
from reactor.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverArguments,
    serverFromString,
)
from reactor.error import (
    CannotListenError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
)
from reactor.failure import Failure
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Factory, Protocol, ServerFactory

SERVERS = [
    "tcp:80",
    "tcp:80:interface=127.0.0.1",
    "tcp:80:backlog=10",
    "tcp:port=80",
    "tcp:port=80:interface=1.2.3.4:backlog=7",
    "tcp:80:127.0.0.1",
    "tcp:80:127.0.0.1:5",
    "tcp: 80",
    "tcp:-1",
    "tcp:8_0",
    "tcp:80:interface",
    "tcp:80:interface=",
    "tcp:80:interface=a=b",
    "tcp:80:backlog=5:backlog=6",
    "tcp6:80",
    "tcp6:80:9",
    "tcp6:80:9:\\:\\:1",
    "tcp6:80:interface=\\:\\:1",
    "tcp6:80:interface=a\\=b\\\\c",
    "=:x",
    "key=tcp:tcp:80",
    "tc\\p:80",
    "",
    ":",
    "tcp",
    "tcp:",
    "TCP:80",
    "tc:80",
    "tcp:a",
    "tcp:80:x=1",
    "tcp:80:backlog=x",
    "tcp:80:::1",
    "tcp:80:port=81",
    "tcp:80:interface=a=b:c",
    "tcp:80\\",
    "tcp=x:80",
    "foo:1",
    "80",
]

CLIENTS = [
    "tcp:h:80",
    "TCP:h:80",
    "Tcp:h:80",
    "tcp:80:host=h",
    "tcp:host=h:port=80",
    "tcp:h:port=80:timeout=3:bindAddress=1.2.3.4",
    "tcp:h:80:host=other",
    "tcp:\\:\\:1:80",
    "tcp:h",
    "tcp:80:port=80",
    "tcp:h:80:5",
    "tcp:h:80:x=1",
    "tcp:h:80:timeout=0.5",
    "tcp:h:x",
    "tcp6:h:80",
    "h:80",
    "",
    "a=b",
]


def outcome(read: Callable[[Any, str], Any], description: str) -> Any:
    """The endpoint that `read` makes, as plain values; "refused" for an error of whatever type."""
    try:
        endpoint = read(None, description)
    except (ValueError, TypeError, RuntimeError, IndexError):
        return "refused"
    return type(endpoint).__name__, dict(vars(endpoint))


@pytest.mark.parametrize("description", SERVERS)
def test_serverStringsAsTwistedReadsThem(description: str) -> None:
    assert outcome(serverFromString, description) == outcome(model.serverFromString, description)


@pytest.mark.parametrize("description", CLIENTS)
def test_clientStringsAsTwistedReadsThem(description: str) -> None:
    assert outcome(clientFromString, description) == outcome(model.clientFromString, description)


def test_theListsHoldBoth() -> None:
    """The comparison is of endpoints and of refusals, not of one of them only."""
    for read, descriptions in ((model.serverFromString, SERVERS), (model.clientFromString, CLIENTS)):
        refused = [outcome(read, description) == "refused" for description in descriptions]
        assert any(refused)
        assert not all(refused)


@given(st.text(alphabet=":=\\ab1", max_size=20))
@example("a:=b:\\=c")
def test_fieldsAsTwistedSplitsThem(description: str) -> None:
    try:
        theirs = model._parse(description)
    except RuntimeError:
        with pytest.raises(ValueError, match="ends in a backslash"):
            endpoints._split(description)
        return
    assert endpoints._split(description) == theirs


@given(st.text(max_size=30))
def test_aQuotedArgumentStandsForItself(text: str) -> None:
    assert quoteStringArgument(text) == model.quoteStringArgument(text)
    assert serverArguments(f"tcp:1:interface={quoteStringArgument(text)}")[2]["interface"] == text


@pytest.mark.parametrize(
    ("read", "description", "message"),
    [
        (serverFromString, "unix:/x", "unknown endpoint type 'unix', the types here are tcp, tcp6"),
        (serverFromString, "", "unknown endpoint type ''"),
        (serverFromString, "a=b", "does not begin with its type"),
        (serverFromString, "tcp", "a tcp endpoint needs a port"),
        (serverFromString, "tcp:x", "the port of a tcp endpoint is a whole number, not 'x'"),
        (serverFromString, "tcp6:1:name=x", "tcp6 endpoints have no field 'name', they have port, backlog, interface"),
        (serverFromString, "tcp:1:::1", r"too many fields .* \(a colon inside a field is written \\:\)"),
        (serverFromString, "tcp:1:port=2", "two values for port"),
        (clientFromString, "ssl:h:1", "unknown endpoint type 'SSL', the types here are tcp"),
        (clientFromString, "tcp:h", "a tcp endpoint needs a port"),
        (clientFromString, "tcp:a:b:c", "too many fields"),
    ],
)
def test_whatIsWrongIsSaid(read: Callable[[Any, str], Any], description: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(None, description)


@pytest.fixture(scope="module")
def theLoop() -> EpollReactor:
    return EpollReactor()


@pytest.fixture
def loop(theLoop: EpollReactor) -> Iterator[EpollReactor]:
    """One reactor for all: it can run again. A test that hangs is stopped."""
    tooLong = theLoop.callLater(20, theLoop.stop)
    yield theLoop
    tooLong.cancel()
    assert theLoop.getDelayedCalls() == []


def resultOf(loop: EpollReactor, start: Callable[[], Deferred[Any]]) -> Any:
    """Run until what `start` returns has its result; return that."""
    results: list[Any] = []

    def begin() -> None:
        start().addBoth(results.append).addCallback(lambda _: loop.callLater(0, loop.stop))

    loop.callWhenRunning(begin)
    loop.run()
    (result,) = results
    return result


def listening(loop: EpollReactor, endpoint: Any, factory: Any = None) -> Any:
    """What listen() gave: it is there at once."""
    results: list[Any] = []
    endpoint.listen(factory or ServerFactory.forProtocol(Protocol)).addBoth(results.append)
    (result,) = results
    return result


@pytest.mark.parametrize(
    ("description", "host"), [("tcp:0:interface=127.0.0.1", "127.0.0.1"), ("tcp6:0:interface=\\:\\:1", "::1")]
)
def test_listen(loop: EpollReactor, description: str, host: str) -> None:
    port = listening(loop, serverFromString(loop, description))
    assert port.getHost().host == host
    loop.disconnectAll()
    loop.iterate()


def test_listenFails(loop: EpollReactor) -> None:
    port = listening(loop, TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"))
    second = listening(loop, TCP4ServerEndpoint(loop, port.getHost().port, interface="127.0.0.1"))
    assert second.check(CannotListenError)
    assert listening(loop, TCP6ServerEndpoint(loop, 70000)).check(ValueError)
    loop.disconnectAll()
    loop.iterate()


class Trace(Protocol):
    """Writes down what happens, in order."""

    def __init__(self, failing: bool = False) -> None:
        self.events: list[Any] = []
        self.failing = failing

    def connectionMade(self) -> None:
        self.events.append("made")
        if self.failing:
            raise LookupError("no")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")


class Greeter(Protocol):
    def connectionMade(self) -> None:
        self.transport.write(b"hello")
        self.transport.loseConnection()


def portOf(loop: EpollReactor) -> int:
    port = listening(loop, TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"), ServerFactory.forProtocol(Greeter))
    return int(port.getHost().port)


@pytest.mark.parametrize("bindAddress", [None, "127.0.0.1", ("127.0.0.1", 0)])
def test_connect(loop: EpollReactor, bindAddress: Any) -> None:
    """The Deferred has the protocol after its connectionMade, before its first byte; no wrapper is left in between."""
    port = portOf(loop)
    seen: list[Any] = []
    protocol = Trace()

    def connected(result: Any) -> Deferred[None]:
        seen.append((result, result.transport.protocol, list(result.events)))
        ended: Deferred[None] = Deferred()
        protocol.connectionLost = lambda reason=None: ended.callback(None)  # type: ignore[method-assign]
        return ended

    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port, bindAddress=bindAddress)
    resultOf(loop, lambda: connectProtocol(endpoint, protocol).addCallback(connected))
    assert seen == [(protocol, protocol, ["made"])]
    assert protocol.events == ["made", b"hello"]


def test_connectFromString(loop: EpollReactor) -> None:
    port = portOf(loop)
    endpoint = clientFromString(loop, f"tcp:127.0.0.1:{port}:timeout=5")
    counts: list[int] = []
    factory = Factory.forProtocol(Trace)
    factory.startFactory = lambda: counts.append(factory.numPorts)  # type: ignore[method-assign]
    result = resultOf(loop, lambda: endpoint.connect(factory))
    assert isinstance(result, Trace)
    assert result.factory is factory
    assert (counts, factory.numPorts) == ([0], 0)


def test_refused(loop: EpollReactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port)
    assert resultOf(loop, lambda: connectProtocol(endpoint, Trace())).check(ConnectionRefusedError)


def test_notEvenBegun(loop: EpollReactor) -> None:
    assert resultOf(loop, lambda: connectProtocol(TCP4ClientEndpoint(loop, "h", 70000), Trace())).check(ValueError)


def test_noProtocol(loop: EpollReactor) -> None:
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))

    class Refusing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> None:
            return None

    class Failing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> Any:
            raise LookupError("no")

    def both() -> Deferred[Any]:
        outcomes: list[Any] = []
        first = endpoint.connect(Refusing()).addErrback(outcomes.append)
        second = endpoint.connect(Failing()).addErrback(outcomes.append)
        return first.addCallback(lambda _: second).addCallback(lambda _: outcomes)

    outcomes = resultOf(loop, both)
    assert {outcome.type for outcome in outcomes} == {NoProtocol, LookupError}


def test_connectionMadeRaises(loop: EpollReactor) -> None:
    """The Deferred fails with it. (Twisted's never fires.)"""
    protocol = Trace(failing=True)
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))
    result = resultOf(loop, lambda: connectProtocol(endpoint, protocol))
    assert result.check(LookupError)
    assert protocol.events == ["made", "lost"]


def test_cancel(loop: EpollReactor) -> None:
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))
    protocol = Trace()

    def start() -> Deferred[Any]:
        connecting = connectProtocol(endpoint, protocol)
        connecting.cancel()
        return connecting

    assert resultOf(loop, start).check(ConnectingCancelledError)
    assert protocol.events == []


def test_ipv6(loop: EpollReactor) -> None:
    """By address and by name; the name's IPv6 address is taken."""
    port = (
        listening(loop, serverFromString(loop, "tcp6:0:interface=\\:\\:1"), ServerFactory.forProtocol(Greeter))
        .getHost()
        .port
    )
    peers: list[str] = []

    def connect(host: str) -> Deferred[Any]:
        connecting = connectProtocol(TCP6ClientEndpoint(loop, host, port), Trace())
        return connecting.addCallback(lambda protocol: peers.append(protocol.transport.getPeer().host))

    real = socket.getaddrinfo

    def lookUp(host: str, port: int, family: int = 0, *rest: int) -> Any:
        if host != "six.example":
            return real(host, port, family, *rest)
        return [(family, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))] if family == socket.AF_INET6 else []

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints.socket, "getaddrinfo", lookUp)
        resultOf(loop, lambda: connect("::1").addCallback(lambda _: connect("six.example")))
    assert peers == ["::1", "::1"]


def test_noIPv6Address(loop: EpollReactor) -> None:
    def lookUp(*arguments: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(endpoints.socket, "getaddrinfo", lookUp)
        result: Failure = resultOf(loop, lambda: connectProtocol(TCP6ClientEndpoint(loop, "x.example", 1), Trace()))
    assert result.check(DNSLookupError)
    assert "x.example" in str(result.value)
