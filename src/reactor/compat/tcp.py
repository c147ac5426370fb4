"""The names of `twisted.internet.tcp` that programs ask for with isinstance()."""

from __future__ import annotations

from reactor.transports.tcp import TCPClientConnection as Client
from reactor.transports.tcp import TCPConnection as Connection
from reactor.transports.tcp import TCPConnection as Server
from reactor.transports.tcp import TCPConnector as Connector
from reactor.transports.tcp import TCPPort as Port

__all__ = ["Client", "Connection", "Connector", "Port", "Server"]
