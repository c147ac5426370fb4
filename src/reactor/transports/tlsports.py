"""TLS from the first byte: the wrappers of listenSSL and connectSSL around the factories of programs."""

from __future__ import annotations

import logging
import socket
from typing import Any

from reactor._arguments import checkFactory
from reactor._defaults import CONNECT_TIMEOUT
from reactor._logger import getLogger
from reactor.address import Address
from reactor.failure import Failure
from reactor.interfaces import IClientFactory, IProtocolFactory, ITransportReactor
from reactor.tlsoptions import ContextFactory
from reactor.transports.binding import BindAddress
from reactor.transports.connecting import Connector
from reactor.transports.starttls import askedContext, contextFor, hostOf
from reactor.transports.tcp import TCPConnector
from reactor.transports.tls.connection import TLSConnection
from reactor.transports.tls.layer import TLSLayer

log = getLogger("reactor.tls")


class TLSFactory:
    """A factory for listening ports of any family, whose connections speak TLS and belong to `wrappedFactory`.

    It calls buildProtocol of that one after each good handshake. A failed handshake is a record of level INFO, and ends
    that connection. `contextFactory` is asked at once, and for each connection; errors as for tlsoptions.checkContext.
    """

    def __init__(
        self, reactor: ITransportReactor, wrappedFactory: IProtocolFactory, contextFactory: ContextFactory
    ) -> None:
        checkFactory(wrappedFactory)
        self.reactor = reactor
        self.wrappedFactory = wrappedFactory
        self.contextFactory = askedContext(contextFactory, isClient=False)

    def logPrefix(self) -> str:
        """Return the wrapped factory's name for log messages, with TLS."""
        name = getattr(self.wrappedFactory, "logPrefix", None)
        return f"{type(self.wrappedFactory).__name__ if name is None else name()} (TLS)"

    def doStart(self) -> Any:
        """Passed on."""
        return self.wrappedFactory.doStart()

    def doStop(self) -> Any:
        """Passed on."""
        return self.wrappedFactory.doStop()

    def buildProtocol(self, addr: Any) -> TLSConnection:
        """Return the TLS layer for an accepted connection. An exception of getContext() passes through."""
        return TLSConnection(
            self.reactor,
            self.contextFactory,
            isClient=False,
            hostname=None,
            build=lambda _: self.wrappedFactory.buildProtocol(addr),
            failed=self._failed,
        )

    def _failed(self, layer: TLSLayer, reason: Failure) -> None:
        log.limited(logging.INFO, "no TLS with %s: %s", layer.lower.getPeer(), reason.getErrorMessage())


class TLSConnecting(Connector):
    """A mixin that makes a family's Connector one for TLS: it is "connecting" until the handshake is complete."""

    contextFactory: ContextFactory | None
    host: str | None = None

    def _begin(self, sock: socket.socket, peer: Address) -> None:
        def build(_: TLSLayer) -> Any:
            self._attempt = None
            protocol = self.buildProtocol(peer)
            self.transport = layer
            return protocol

        layer = TLSConnection(
            self.reactor,
            contextFor(self.contextFactory, isClient=True),
            isClient=True,
            hostname=hostOf(self.contextFactory, self.host),
            build=build,
            failed=lambda _, reason: self.connectionFailed(reason),
            ended=self.connectionLost,
        )
        lower = self._makeConnection(sock, layer, peer, None)
        self._attempt = layer
        lower.start()


class TLSConnector(TLSConnecting, TCPConnector):
    """A client's handle on a TLS connection over TCP. `contextFactory` is asked at once, and for each connection."""

    host: str

    def __init__(
        self,
        reactor: ITransportReactor,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        contextFactory: ContextFactory | None,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> None:
        super().__init__(reactor, host, port, factory, timeout, bindAddress)
        self.contextFactory = askedContext(contextFactory, isClient=True)
