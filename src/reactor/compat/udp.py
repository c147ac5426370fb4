"""The names of `twisted.internet.udp` that programs ask for with isinstance()."""

from __future__ import annotations

from reactor.transports.udp import MulticastPort
from reactor.transports.udp import UDPPort as Port

__all__ = ["MulticastPort", "Port"]
