"""The names of `twisted.internet.unix` that programs ask for with isinstance()."""

from __future__ import annotations

from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort as ConnectedDatagramPort
from reactor.transports.unix.datagram import UNIXDatagramPort as DatagramPort
from reactor.transports.unix.stream import UNIXConnection as Client
from reactor.transports.unix.stream import UNIXConnection as Server
from reactor.transports.unix.stream import UNIXConnector as Connector
from reactor.transports.unix.stream import UNIXPort as Port

__all__ = ["Client", "ConnectedDatagramPort", "Connector", "DatagramPort", "Port", "Server"]
