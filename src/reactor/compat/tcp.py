"""The names of `twisted.internet.tcp`, for isinstance(), and for programs that make a Port or a Connector themselves.

Twisted's classes take the reactor last, and so do these. The reactors here make instances of them.
"""

from __future__ import annotations

from typing import Any

from reactor._defaults import BACKLOG
from reactor.compat.standing import Standing, reactorOf
from reactor.interfaces import IClientFactory, IProtocolFactory
from reactor.transports.binding import BindAddress
from reactor.transports.tcp import TCPClientConnection as Client
from reactor.transports.tcp import TCPConnection as Connection
from reactor.transports.tcp import TCPConnection as Server
from reactor.transports.tcp import TCPConnector, TCPPort


class Connector(TCPConnector, metaclass=Standing):
    """A connector that connects by connect() only. `reactor` None is the current one."""

    standsIn = True

    def __init__(
        self,
        host: str | bytes,
        port: Any,
        factory: IClientFactory,
        timeout: float | None,
        bindAddress: BindAddress | None,
        reactor: Any = None,
    ) -> None:
        super().__init__(reactorOf(reactor), host, 0 if port is None else port, factory, timeout, bindAddress)


class Port(TCPPort, metaclass=Standing):
    """A port that listens from startListening() on. `reactor` None is the current one."""

    standsIn = True

    def __init__(
        self,
        port: int,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
        reactor: Any = None,
    ) -> None:
        super().__init__(reactorOf(reactor), port, factory, backlog, interface)


__all__ = ["Client", "Connection", "Connector", "Port", "Server"]
