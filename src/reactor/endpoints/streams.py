"""Endpoints of TCP, UNIX sockets, TLS over TCP, standard input and output, and of open sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reactor._arguments import checkFactory, checkProtocol
from reactor._beside import Running, refused, started
from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, SOCKET_MODE
from reactor._numbers import closeNumber
from reactor.address import IPv6Address, destinationOf, hostText, isIPv6Address
from reactor.defer import CancelledError, Deferred, execute, fail, maybeDeferred
from reactor.error import AlreadyListened, ConnectingCancelledError, DNSLookupError, NoProtocol
from reactor.failure import Failure
from reactor.interfaces.asking import conform
from reactor.loops.names import addressesOf
from reactor.protocol import BaseProtocol, ClientFactory, Factory, abandon
from reactor.protocol.standins import StandIn, giveWay
from reactor.stdio import PipeAddress, StandardIO
from reactor.transports.binding import BindAddress, Binding

if TYPE_CHECKING:
    from reactor.interfaces import (
        IConnector,
        IListeningPort,
        IProtocolFactory,
        IReactor,
        IReactorSocket,
        IReactorSSL,
        IReactorTCP,
        IReactorUNIX,
    )
    from reactor.tlsoptions import ContextFactory
    from reactor.transports.unix.stream import Path

P = TypeVar("P", bound=BaseProtocol)


class Introduction(StandIn):
    """A stand-in for `protocol` until its connection is made. Then it gives way, and calls `met` with the transport.

    So code that builds protocols for others learns of the connection, and later calls go straight to the protocol.
    """

    def __init__(
        self, protocol: Any, met: Callable[[Any], None], entering: Callable[[Any], None] | None = None
    ) -> None:
        self.wrappedProtocol = protocol
        self._met = met
        self._entering = entering

    def makeConnection(self, transport: Any) -> Running | None:
        """Called by the transport, and passed on. Then `met` gets the transport, unless connectionMade raised.

        `entering`, if given, gets it before.
        """
        giveWay(self, transport)
        if self._entering is not None:
            self._entering(transport)
        made = started(self.wrappedProtocol.makeConnection(transport))
        self._met(transport)
        return made


class _EndpointFactory(ClientFactory[BaseProtocol]):
    """Connects once on behalf of another factory, and fires `connected` with its protocol or the failure."""

    noisy = False

    def __init__(self, factory: IProtocolFactory) -> None:
        checkFactory(factory, "ClientFactory")
        self._factory = factory
        self._connector: IConnector | None = None
        self.connected: Deferred[Any] = Deferred(self._giveUp)

    def _giveUp(self, deferred: Deferred[Any]) -> None:
        connector = self._connector
        assert connector is not None, "a connector tells of itself before connectTCP returns"
        deferred.errback(ConnectingCancelledError(connector.getDestination()))
        connector.stopConnecting()

    def doStart(self) -> Any:
        return self._factory.doStart()

    def doStop(self) -> Any:
        return self._factory.doStop()

    def startedConnecting(self, connector: IConnector) -> None:
        self._connector = connector

    def buildProtocol(self, addr: Any) -> Any:
        try:
            protocol = self._factory.buildProtocol(addr)
            if protocol is None:
                raise NoProtocol()
            refused(protocol, "buildProtocol")
        except BaseException:
            self.connected.errback()
            return None
        return Introduction(protocol, lambda transport: self.connected.callback(protocol))

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        """Fail `connected` if it has not fired: connectionMade raised then."""
        if not self.connected.called:
            self.connected.errback(reason)


def _connect(protocolFactory: IProtocolFactory, start: Callable[[_EndpointFactory], object]) -> Deferred[Any]:
    """Have `start` connect with a factory in front of `protocolFactory`; return a Deferred of the result."""
    factory = _EndpointFactory(protocolFactory)
    try:
        start(factory)
    except Exception:
        return fail()
    return factory.connected


class _TCPServerEndpoint:
    """A place for a server to listen. Nothing happens before listen()."""

    __conform__ = conform

    def __init__(self, reactor: IReactorTCP, port: int | Binding, backlog: int, interface: str) -> None:
        self._reactor = reactor
        self._port = port
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen for `protocolFactory`. The Deferred has the port at once, or has failed, as with CannotListenError."""
        return execute(
            self._reactor.listenTCP, self._port, protocolFactory, backlog=self._backlog, interface=self._interface
        )


class TCP4ServerEndpoint(_TCPServerEndpoint):
    """Listens on IPv4: `interface` is a literal address of this machine, "" for every one."""

    def __init__(self, reactor: IReactorTCP, port: int | Binding, backlog: int = BACKLOG, interface: str = "") -> None:
        super().__init__(reactor, port, backlog, interface)


class TCP6ServerEndpoint(_TCPServerEndpoint):
    """Listens on IPv6: `interface` is a literal address of this machine, "::" for every one."""

    def __init__(
        self, reactor: IReactorTCP, port: int | Binding, backlog: int = BACKLOG, interface: str = "::"
    ) -> None:
        super().__init__(reactor, port, backlog, interface)


class TCP4ClientEndpoint:
    """Connects with reactor.connectTCP to `host`, a name or a literal address, within `timeout` seconds.

    `bindAddress` is (host, port) of this side, or its host alone, or a makeBinding().
    """

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactorTCP,
        host: str | bytes,
        port: int,
        timeout: float = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = hostText(host)
        self._port = port
        self._timeout = timeout
        self._bindAddress = bindPair(bindAddress)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {atPort(self._host, self._port)}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """Connect once; return a Deferred of the protocol, which fires after its connectionMade.

        `protocolFactory` builds the protocol. The Deferred fails with the error that clientConnectionFailed would get,
        or with an exception of connectionMade or buildProtocol. It fails with NoProtocol if the factory builds none.
        Cancelling it fails it with ConnectingCancelledError.
        """
        return self._connectTo(self._host, protocolFactory)

    def _connectTo(self, host: str, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectTCP(
                host, self._port, factory, timeout=self._timeout, bindAddress=self._bindAddress
            ),
        )


def atPort(host: str, port: int | str) -> str:
    """Return HOST:PORT for a text, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if isIPv6Address(host) else f"{host}:{port}"


def bindPair(bindAddress: BindAddress | None) -> Any:
    """Return `bindAddress` in the form that every reactor takes: a host alone becomes text, with any port."""
    if bindAddress is None or isinstance(bindAddress, Binding):
        return bindAddress
    host, port = (bindAddress, 0) if isinstance(bindAddress, (str, bytes)) else bindAddress
    return hostText(host or ""), port


def lookUpWithin(
    reactor: IReactor, host: str, port: int, timeout: float | None, addressTypes: list[type] | None = None
) -> Deferred[list[Any]]:
    """Return a Deferred of the address objects that the reactor's nameResolver gives for `host`.

    It fails with DNSLookupError if there are none, and after `timeout` seconds. TypeError if the reactor cannot look up
    names.
    """
    resolver = getattr(reactor, "nameResolver", None)
    if resolver is None:
        raise TypeError(f"{reactor!r} has no nameResolver, so nobody can look up {host!r}")
    lookup = addressesOf(resolver, host, port, addressTypes)
    return lookup if timeout is None else lookup.addTimeout(timeout, reactor, _noAnswer)


def _noAnswer(_: object, timeout: float) -> None:
    raise DNSLookupError(f"no answer in {timeout:g} s")


class TCP6ClientEndpoint(TCP4ClientEndpoint):
    """Connects to the first IPv6 address of `host`, as TCP4ClientEndpoint does.

    The look-up may take `timeout` seconds as well.
    """

    _reactor: IReactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See TCP4ClientEndpoint.connect. The Deferred fails with DNSLookupError if the name has no IPv6 address."""
        if isIPv6Address(self._host):
            return self._connectTo(self._host, protocolFactory)
        lookup = maybeDeferred(lookUpWithin, self._reactor, self._host, self._port, self._timeout, [IPv6Address])
        return lookup.addCallbacks(self._firstOf, self._givenUp).addCallback(self._connectTo, protocolFactory)

    def _givenUp(self, failure: Failure) -> Failure:
        if failure.check(CancelledError):
            raise ConnectingCancelledError(destinationOf(self._host, self._port))
        return failure

    def _firstOf(self, addresses: list[Any]) -> str:
        for address in addresses:
            if isIPv6Address(address.host):
                return str(address.host)
        raise DNSLookupError(f"no IPv6 address for {self._host!r}")


class SSL4ServerEndpoint:
    """Listens for TLS on IPv4 with the contexts of `sslContextFactory` (see reactor.listenSSL)."""

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactorSSL,
        port: int | Binding,
        sslContextFactory: ContextFactory,
        backlog: int = BACKLOG,
        interface: str = "",
    ) -> None:
        self._reactor = reactor
        self._port = port
        self._sslContextFactory = sslContextFactory
        self._backlog = backlog
        self._interface = interface

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen for `protocolFactory`. The Deferred has the port at once, or has failed, as with CannotListenError."""
        return execute(
            self._reactor.listenSSL,
            self._port,
            protocolFactory,
            contextFactory=self._sslContextFactory,
            backlog=self._backlog,
            interface=self._interface,
        )


class SSL4ClientEndpoint:
    """Connects with reactor.connectSSL to `host` within `timeout` seconds; the TLS handshake has a deadline of its own.

    `sslContextFactory` is the contextFactory of connectSSL: None verifies `host` with the system's trust. `bindAddress`
    is (host, port) of this side, or its host alone, or a makeBinding().
    """

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactorSSL,
        host: str | bytes,
        port: int,
        sslContextFactory: ContextFactory | None,
        timeout: float = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> None:
        self._reactor = reactor
        self._host = hostText(host)
        self._port = port
        self._sslContextFactory = sslContextFactory
        self._timeout = timeout
        self._bindAddress = bindPair(bindAddress)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {atPort(self._host, self._port)}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See TCP4ClientEndpoint.connect; the Deferred fires after the handshake, or fails with SSLError."""
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectSSL(
                self._host,
                self._port,
                factory,
                self._sslContextFactory,
                timeout=self._timeout,
                bindAddress=self._bindAddress,
            ),
        )


class UNIXServerEndpoint:
    """Listens on the UNIX socket `address`; the arguments are those of reactor.listenUNIX."""

    __conform__ = conform

    def __init__(
        self,
        reactor: IReactorUNIX,
        address: Path,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool | int = True,
    ) -> None:
        self._reactor = reactor
        self._address = address
        self._backlog = backlog
        self._mode = mode
        self._wantPID = wantPID

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen for `protocolFactory`. The Deferred has the port at once, or has failed, as with CannotListenError."""
        return execute(
            self._reactor.listenUNIX,
            self._address,
            protocolFactory,
            backlog=self._backlog,
            mode=self._mode,
            wantPID=bool(self._wantPID),
        )


class UNIXClientEndpoint:
    """Connects to the UNIX socket `path` within `timeout` seconds; `checkPID` is that of reactor.connectUNIX."""

    __conform__ = conform

    def __init__(
        self, reactor: IReactorUNIX, path: Path, timeout: float = CONNECT_TIMEOUT, checkPID: bool | int = False
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._timeout = timeout
        self._checkPID = checkPID

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._path!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See TCP4ClientEndpoint.connect."""
        return _connect(
            protocolFactory,
            lambda factory: self._reactor.connectUNIX(
                self._path, factory, timeout=self._timeout, checkPID=bool(self._checkPID)
            ),
        )


class AdoptedStreamServerEndpoint:
    """Listens, once, on `fileno`, a listening socket that other code has opened, and owns it from then on."""

    __conform__ = conform

    def __init__(self, reactor: IReactorSocket, fileno: int, addressFamily: int) -> None:
        self.reactor = reactor
        self.fileno = fileno
        self.addressFamily = addressFamily
        self._used = False

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Accept for `factory`. The Deferred has the port at once, or has failed: the second time, AlreadyListened."""
        if self._used:
            return fail(AlreadyListened())
        self._used = True
        return execute(self._adopt, factory)

    def _adopt(self, factory: IProtocolFactory) -> IListeningPort:
        port: IListeningPort = self.reactor.adoptStreamPort(self.fileno, self.addressFamily, factory)
        closeNumber(self.fileno)
        return port


class StandardIOEndpoint:
    """Standard input and output as the one connection of a server."""

    __conform__ = conform

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def listen(self, stdioProtocolFactory: IProtocolFactory) -> Deferred[StandardIO]:
        """Connect the factory's protocol, at once.

        The Deferred has the transport, or has failed, for example with NoProtocol.
        """
        return execute(self._listen, stdioProtocolFactory)

    def _listen(self, factory: IProtocolFactory) -> StandardIO:
        checkFactory(factory)
        protocol = factory.buildProtocol(PipeAddress())
        if protocol is None:
            raise NoProtocol()
        try:
            return StandardIO(protocol, reactor=self._reactor)
        except BaseException:
            abandon(protocol)
            raise


class _OneProtocolFactory(Factory[P], Generic[P]):
    noisy = False

    def __init__(self, instance: P) -> None:
        self.instance = instance

    def buildProtocol(self, addr: Any) -> P:
        return self.instance


def connectProtocol(endpoint: Any, protocol: P) -> Deferred[P]:
    """Connect `protocol`, an instance, to a client endpoint; return the Deferred of endpoint.connect()."""
    checkProtocol(protocol)
    connected: Deferred[P] = endpoint.connect(_OneProtocolFactory(protocol))
    return connected
