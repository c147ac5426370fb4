"""Endpoints: where to listen or connect, as objects and as strings, as in ``twisted.internet.endpoints``.

The strings, `tcp:7000:interface=127.0.0.1` say, are read in two steps: `_split` knows the grammar (fields between
colons, `key=value`, a backslash takes the next character as it is), and the table of kinds knows the fields of each.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from reactor.address import isIPv6Address
from reactor.defer import Deferred, execute, fail
from reactor.error import ConnectingCancelledError, DNSLookupError, NoProtocol
from reactor.failure import Failure
from reactor.protocol import BaseProtocol, ClientFactory, Factory
from reactor.threads import deferToThreadPool

if TYPE_CHECKING:
    from reactor.interfaces import IConnector, IListeningPort, IProtocolFactory, IReactor, IReactorTCP

P = TypeVar("P", bound=BaseProtocol)


class Introduction:
    """Stands for `protocol` until its transport is there: puts it in its own place, connects it, then calls `met`.

    So whoever builds protocols for others learns of the connection, and no later call takes a way round.
    """

    def __init__(self, protocol: Any, met: Callable[[Any], None]) -> None:
        self._protocol = protocol
        self._met = met

    def makeConnection(self, transport: Any) -> None:
        """Called by the transport: passed on. `met` gets the transport after that, unless connectionMade raised."""
        transport.protocol = self._protocol
        self._protocol.makeConnection(transport)
        self._met(transport)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)


class _EndpointFactory(ClientFactory[BaseProtocol]):
    """Connects once on behalf of another factory, and fires `connected` with its protocol or the reason why not."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory
        self._connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._giveUp)

    def _giveUp(self, deferred: Deferred[Any]) -> None:
        connector = self._connector
        assert connector is not None, "a connector tells of itself before connectTCP returns"
        deferred.errback(ConnectingCancelledError(connector.getDestination()))
        connector.stopConnecting()

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: Any) -> Any:
        try:
            protocol = self._factory.buildProtocol(addr)
            if protocol is None:
                raise NoProtocol()
        except BaseException:
            self.connected.errback()
            return None
        return Introduction(protocol, lambda transport: self.connected.callback(protocol))

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """If nobody has been told yet, connectionMade raised."""
        if not self.connected.called:
            self.connected.errback(reason)


class _TCPServerEndpoint:
    """Where a server listens; nothing happens before listen()."""

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int, interface: str) -> None:
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen for `protocolFactory`. The Deferred has the port at once, or fails, with CannotListenError say."""
        return execute(
            self._reactor.listenTCP, self._port, protocolFactory, backlog=self._backlog, interface=self._interface
        )


class TCP4ServerEndpoint(_TCPServerEndpoint):
    """Listens on IPv4: `interface` is a literal address of this machine, "" for every one."""

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int = 50, interface: str = "") -> None:
        super().__init__(reactor, port, backlog, interface)


class TCP6ServerEndpoint(_TCPServerEndpoint):
    """Listens on IPv6: `interface` is a literal address of this machine, "::" for every one."""

    def __init__(self, reactor: IReactorTCP, port: int, backlog: int = 50, interface: str = "::") -> None:
        super().__init__(reactor, port, backlog, interface)


class TCP4ClientEndpoint:
    """Connects with reactor.connectTCP to `host`, a name or a literal address, within `timeout` seconds.

    `bindAddress` is (host, port) of this side, or its host alone.
    """

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str,
        port: int,
        timeout: float = 30,
        bindAddress: str | tuple[str, int] | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._bindAddress = (bindAddress, 0) if isinstance(bindAddress, str) else bindAddress

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once. The Deferred fires with the protocol that `protocolFactory` builds, after its connectionMade.

        It fails as clientConnectionFailed would; with what connectionMade or buildProtocol raised; with NoProtocol if
        there is none to build. Cancelling it fails it with ConnectingCancelledError.
        """
        return self._connectTo(self._host, protocolFactory)

    def _connectTo(self, host: str, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        factory = _EndpointFactory(protocolFactory)
        try:
            self._reactor.connectTCP(host, self._port, factory, timeout=self._timeout, bindAddress=self._bindAddress)
        except Exception:
            return fail()
        return factory.connected


class TCP6ClientEndpoint(TCP4ClientEndpoint):
    """As TCP4ClientEndpoint, with the first IPv6 address that `host` has. `reactor` must have threads to look it up."""

    _reactor: IReactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See TCP4ClientEndpoint.connect. Fails with DNSLookupError if the name has no IPv6 address."""
        if isIPv6Address(self._host):
            return self._connectTo(self._host, protocolFactory)
        lookup: Deferred[Any] = deferToThreadPool(
            self._reactor, self._reactor.getThreadPool(), socket.getaddrinfo, self._host, 0, socket.AF_INET6
        )
        lookup.addErrback(self._notFound)
        return lookup.addCallback(lambda found: self._connectTo(found[0][4][0], protocolFactory))

    def _notFound(self, failure: Failure) -> None:
        failure.trap(OSError)
        raise DNSLookupError(f"no IPv6 address for {self._host!r}: {failure.getErrorMessage()}")


class _OneProtocolFactory(Factory[P], Generic[P]):
    noisy = False

    def __init__(self, instance: P) -> None:
        self.instance = instance

    def buildProtocol(self, addr: Any) -> P:
        return self.instance


def connectProtocol(endpoint: Any, protocol: P) -> Deferred[P]:
    """Connect `protocol`, an instance, to a client endpoint: what endpoint.connect() returns. It needs no factory."""
    connected: Deferred[P] = endpoint.connect(_OneProtocolFactory(protocol))
    return connected


def quoteStringArgument(argument: str) -> str:
    """Return `argument` so that it stands for itself as a value in an endpoint's string."""
    return argument.replace("\\", "\\\\").replace(":", "\\:")


def _split(description: str) -> tuple[list[str], dict[str, str]]:
    """Return the fields of an endpoint's string: those without a key in order, and the others by key."""
    positional: list[str] = []
    named: dict[str, str] = {}
    key: str | None = None
    field = ""

    def endField() -> None:
        if key is None:
            positional.append(field)
        else:
            named[key] = field

    characters = iter(description)
    for character in characters:
        if character == "\\":
            try:
                field += next(characters)
            except StopIteration:
                raise ValueError(f"the endpoint {description!r} ends in a backslash that escapes nothing") from None
        elif character == ":":
            endField()
            key, field = None, ""
        elif character == "=" and key is None:
            key, field = field, ""
        else:
            field += character
    endField()
    return positional, named


class _Kind:
    """A kind of endpoint: its class, and the fields that its string has, in order."""

    integers: ClassVar = frozenset({"port", "backlog", "timeout"})

    def __init__(self, name: str, make: Callable[..., Any], *fields: str) -> None:
        self.name = name
        self.make = make
        self.fields = fields

    def arguments(self, fields: dict[str, str], required: tuple[str, ...]) -> dict[str, Any]:
        """Return the arguments for `make`, with numbers as numbers. ValueError for a field too many or too few."""
        for key in fields:
            if key not in self.fields:
                raise ValueError(f"{self.name} endpoints have no field {key!r}, they have {', '.join(self.fields)}")
        for key in required:
            if key not in fields:
                raise ValueError(f"a {self.name} endpoint needs a {key}")
        return {key: self._number(key, text) if key in self.integers else text for key, text in fields.items()}

    def tooMany(self) -> ValueError:
        return ValueError(
            f"too many fields for a {self.name} endpoint, which has {', '.join(self.fields)}"
            " (a colon inside a field is written \\:)"
        )

    def _number(self, key: str, text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"the {key} of a {self.name} endpoint is a whole number, not {text!r}") from None


_SERVERS = {
    "tcp": _Kind("tcp", TCP4ServerEndpoint, "port", "interface", "backlog"),
    "tcp6": _Kind("tcp6", TCP6ServerEndpoint, "port", "backlog", "interface"),
}
_CLIENTS = {"TCP": _Kind("tcp", TCP4ClientEndpoint, "host", "port", "timeout", "bindAddress")}


def _kindOf(name: str, kinds: dict[str, _Kind]) -> _Kind:
    kind = kinds.get(name)
    if kind is None:
        known = ", ".join(known.name for known in kinds.values())
        raise ValueError(f"unknown endpoint type {name!r}, the types here are {known}")
    return kind


def serverArguments(description: str) -> tuple[str, Callable[..., Any], dict[str, Any]]:
    """Return a server endpoint's kind, its class, and those arguments beside the reactor that its string gives."""
    (name, *positional), named = _splitKind(description)
    kind = _kindOf(name, _SERVERS)
    if len(positional) > len(kind.fields):
        raise kind.tooMany()
    fields = dict(zip(kind.fields, positional, strict=False))
    for key in fields.keys() & named.keys():
        raise ValueError(f"the {kind.name} endpoint {description!r} has two values for {key}")
    return name, kind.make, kind.arguments({**fields, **named}, ("port",))


def _splitKind(description: str) -> tuple[list[str], dict[str, str]]:
    positional, named = _split(description)
    if not positional:
        raise ValueError(f"the endpoint {description!r} does not begin with its type")
    return positional, named


def serverFromString(reactor: IReactorTCP, description: str) -> Any:
    """Return the server endpoint that `description` names. ValueError if it names none.

    - `tcp:PORT[:INTERFACE[:BACKLOG]]`, IPv4; or by key, as in `tcp:7000:interface=127.0.0.1`
    - `tcp6:PORT[:BACKLOG[:INTERFACE]]`, IPv6; a colon in an address is escaped: `tcp6:7000:interface=\\:\\:1`
    """
    _name, make, arguments = serverArguments(description)
    return make(reactor, **arguments)


def clientFromString(reactor: IReactorTCP, description: str) -> Any:
    """Return the client endpoint that `description` names. ValueError if it names none.

    `tcp:HOST:PORT`, or `tcp:PORT:host=HOST`, or both by key; and timeout=SECONDS, a whole number, and bindAddress=HOST.
    """
    (name, *positional), fields = _splitKind(description)
    kind = _kindOf(name.upper(), _CLIENTS)
    if len(positional) > 2:
        raise kind.tooMany()
    if len(positional) == 2:
        fields["host"], fields["port"] = positional
    elif positional:
        fields["port" if "host" in fields else "host"] = positional[0]
    return kind.make(reactor, **kind.arguments(fields, ("host", "port")))
