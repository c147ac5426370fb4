"""listenXXX and connectXXX: the part of a reactor that opens sockets, one pair of methods for each kind."""

from __future__ import annotations

from reactor.interfaces import IClientFactory, IProtocolFactory, ITransportReactor
from reactor.transports.tcp import TCPConnector, TCPPort


class SocketServices:
    """For a class that is an ITransportReactor. Every method is for the thread that runs the reactor."""

    def listenTCP(
        self: ITransportReactor, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> TCPPort:
        """Listen on `port` (0: one that is free, see getHost) for connections that `factory` builds protocols for.

        `interface` is an address or name of this machine; "" means every IPv4 one and "::" every one. `backlog` is how
        many connections may wait to be accepted. CannotListenError if the system refuses.
        """
        listening = TCPPort(self, port, factory, backlog, interface)
        listening.startListening()
        return listening

    def connectTCP(
        self: ITransportReactor,
        host: str,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> TCPConnector:
        """Connect to `host`, a name or a literal address, and `port`, a number or service name; never blocks.

        Every address of a name is tried in turn, within `timeout` seconds in all (None: as long as the system takes),
        from `bindAddress` (host, port) if given. How it went is told to `factory`.
        """
        connector = TCPConnector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector
