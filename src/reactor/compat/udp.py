"""The names of `twisted.internet.udp`, for isinstance(), and for programs that make a Port themselves."""

from __future__ import annotations

from typing import Any

from reactor._defaults import MAX_PACKET_SIZE
from reactor.compat.standing import Standing, reactorOf
from reactor.transports.udp import MulticastPort, UDPPort


class Port(UDPPort, metaclass=Standing):
    """A port that listens from startListening() on. `reactor` None is the current one."""

    standsIn = True

    def __init__(
        self,
        port: int,
        proto: Any,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        reactor: Any = None,
    ) -> None:
        super().__init__(reactorOf(reactor), port, proto, interface, maxPacketSize)


__all__ = ["MulticastPort", "Port"]
