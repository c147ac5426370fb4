"""Policies: who may connect, how long, and what is noted of it. The names and behaviour are those of
``twisted.protocols.policies``.

- `TimeoutMixin`: a deadline for a protocol of yours.
- `WrappingFactory`, `ProtocolWrapper`: to put something between transports and the protocols of any factory.
- `TimeoutFactory`, `LimitConnectionsByPeer`, `ThrottlingFactory`, `TrafficLoggingFactory`, `SpewingFactory`: such
  things. They can be put around each other.
- `LimitTotalConnectionsFactory`: so many connections and no more.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.policies.limits import LimitConnectionsByPeer, LimitTotalConnectionsFactory
from reactor.policies.throttling import ThrottlingFactory, ThrottlingProtocol
from reactor.policies.timeouts import TimeoutFactory, TimeoutMixin, TimeoutProtocol
from reactor.policies.traffic import SpewingFactory, SpewingProtocol, TrafficLoggingFactory, TrafficLoggingProtocol
from reactor.policies.wrapping import ProtocolWrapper, WrappingFactory

__all__ = [
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "ProtocolWrapper",
    "SpewingFactory",
    "SpewingProtocol",
    "ThrottlingFactory",
    "ThrottlingProtocol",
    "TimeoutFactory",
    "TimeoutMixin",
    "TimeoutProtocol",
    "TrafficLoggingFactory",
    "TrafficLoggingProtocol",
    "WrappingFactory",
]

publish(globals())
