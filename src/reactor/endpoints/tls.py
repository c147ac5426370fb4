"""TLS over any endpoint: wrapClientTLS and wrapServerTLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactor._arguments import checkFactory
from reactor.defer import Deferred, execute, fail
from reactor.endpoints.streams import Introduction, SSL4ServerEndpoint, TCP4ServerEndpoint
from reactor.error import ConnectingCancelledError, NoProtocol
from reactor.failure import Failure
from reactor.interfaces import IListeningPort, IProtocolFactory
from reactor.interfaces.asking import conform
from reactor.tlsoptions import ContextFactory
from reactor.transports.starttls import askedContext, contextFor, hostOf
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tls.layer import TLSLayer
from reactor.transports.tlsports import TLSFactory


class _Beginning:
    """Takes the place of a TLS connection until the transport below is there, which has the reactor."""

    def __init__(self, wrapping: Any, addr: Any) -> None:
        self._wrapping = wrapping
        self._addr = addr

    def makeConnection(self, transport: Any) -> None:
        layer = self._wrapping.layerFor(transport, self._addr)
        transport.protocol = layer
        layer.makeConnection(transport)

    def connectionLost(self, reason: Failure) -> None:
        """The layer could not be made."""
        self._wrapping.lost(reason)


class _Wrapping:
    """A factory in front of the program's own."""

    recommended = "ServerFactory"

    def __init__(self, factory: IProtocolFactory) -> None:
        checkFactory(factory, self.recommended)
        self._factory = factory

    def doStart(self) -> Any:
        return self._factory.doStart()

    def doStop(self) -> Any:
        return self._factory.doStop()

    def buildProtocol(self, addr: Any) -> _Beginning:
        return _Beginning(self, addr)

    def lost(self, reason: Failure) -> None:
        """The transport has failed already, and reports that itself."""


class _ServerWrapping(_Wrapping):
    def __init__(self, factory: IProtocolFactory, contextFactory: ContextFactory) -> None:
        super().__init__(factory)
        self._contextFactory = contextFactory
        self._tls: TLSFactory | None = None  # set by the first connection, which has the reactor

    def layerFor(self, transport: Any, addr: Any) -> TLSLayer:
        if self._tls is None:
            self._tls = TLSFactory(transport.reactor, self._factory, self._contextFactory)
        return self._tls.buildProtocol(addr)


class _ClientWrapping(_Wrapping):
    """Fires `connected` with the program's protocol, or with a failure."""

    recommended = "ClientFactory"

    def __init__(self, factory: IProtocolFactory, contextFactory: ContextFactory | None, hostname: str | None) -> None:
        super().__init__(factory)
        self._contextFactory = contextFactory
        self._hostname = hostname
        self.below: Deferred[Any] | None = None
        self.connected: Deferred[Any] = Deferred(self._giveUp)
        self._layer: TLSLayer | None = None

    def layerFor(self, transport: Any, addr: Any) -> TLSLayer:
        def build(_: TLSLayer) -> Any:
            try:
                protocol = self._factory.buildProtocol(addr)
                if protocol is None:
                    raise NoProtocol()
            except BaseException:
                self.lost(Failure())
                return None
            return Introduction(protocol, lambda _: self.connected.callback(protocol))

        self._layer = TLSConnection(
            transport.reactor,
            contextFor(self._contextFactory, isClient=True),
            isClient=True,
            hostname=hostOf(self._contextFactory, self._hostname or getattr(transport, "hostname", None)),
            build=build,
            failed=lambda _, reason: self.lost(reason),
            ended=self.lost,
        )
        return self._layer

    def lost(self, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def _giveUp(self, connected: Deferred[Any]) -> None:
        if self._layer is not None:
            self._layer.fail(ConnectingCancelledError(self._layer.lower.getPeer()))
        elif self.below is not None:
            self.below.cancel()


class _TLSClientEndpoint:
    __conform__ = conform

    def __init__(self, contextFactory: ContextFactory | None, wrappedEndpoint: Any) -> None:
        self._contextFactory = contextFactory
        self._wrappedEndpoint = wrappedEndpoint

    def __repr__(self) -> str:
        return f"<TLS over {self._wrappedEndpoint!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See wrapClientTLS."""
        try:
            askedContext(self._contextFactory, isClient=True)
        except Exception:
            return fail()
        hostname = getattr(self._wrappedEndpoint, "hostname", None)
        wrapping = _ClientWrapping(protocolFactory, self._contextFactory, hostname)
        below = wrapping.below = self._wrappedEndpoint.connect(wrapping)
        below.addErrback(wrapping.lost)
        return wrapping.connected


class _TLSServerEndpoint:
    __conform__ = conform

    def __init__(self, contextFactory: ContextFactory, wrappedEndpoint: Any) -> None:
        self._contextFactory = contextFactory
        self._wrappedEndpoint = wrappedEndpoint

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See wrapServerTLS."""
        wrapping = _ServerWrapping(protocolFactory, self._contextFactory)
        asked = execute(askedContext, self._contextFactory, isClient=False)
        return asked.addCallback(lambda _: self._wrappedEndpoint.listen(wrapping))


def wrapClientTLS(connectionCreator: ContextFactory | None, wrappedEndpoint: Any, clock: Any = None) -> Any:
    """Return a client endpoint that connects as `wrappedEndpoint` does, then with TLS.

    `connectionCreator` is a context factory; None means the system's trust. TLS verifies its `hostname`, as of
    reactor.optionsForClientTLS(hostname). Without one it verifies the `hostname` of `wrappedEndpoint`, else the host
    that was connected to. The Deferred of connect() fires after the handshake and connectionMade. It fails with
    SSLError if TLS fails. It fails at once, with TypeError or ValueError, if `connectionCreator` is no context factory,
    or one for servers. `clock` is accepted for programs written for Twisted, and ignored.
    """
    return _TLSClientEndpoint(connectionCreator, wrappedEndpoint)


def wrapServerTLS(connectionCreator: ContextFactory, wrappedEndpoint: Any, clock: Any = None) -> Any:
    """Return a server endpoint that listens as `wrappedEndpoint` does, for TLS.

    `connectionCreator` is a context factory, for example a reactor.CertificateOptions. The Deferred of listen() fails
    at once, with TypeError or ValueError, if it is none, or one for clients. `clock` is as in wrapClientTLS.
    """
    return _TLSServerEndpoint(connectionCreator, wrappedEndpoint)


def belowTLS(endpoint: Any, wrap: Callable[[Any], Any]) -> Any:
    """Return a server endpoint as `endpoint`, with `wrap` around what is below its TLS. ValueError if it has no TLS."""
    if isinstance(endpoint, _TLSServerEndpoint):
        return _TLSServerEndpoint(endpoint._contextFactory, wrap(endpoint._wrappedEndpoint))
    if isinstance(endpoint, SSL4ServerEndpoint):
        reactor: Any = endpoint._reactor
        lower = TCP4ServerEndpoint(reactor, endpoint._port, endpoint._backlog, endpoint._interface)
        return _TLSServerEndpoint(endpoint._sslContextFactory, wrap(lower))
    raise ValueError("header=before-tls is for endpoints with TLS: ssl and tls")
