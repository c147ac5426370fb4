"""Policies: limits on connections, deadlines, throttling and traffic logs, as in `twisted.protocols.policies`.

- `TimeoutMixin`: a deadline for a protocol of yours.
- `WrappingFactory`, `ProtocolWrapper`: the base for code between transports and the protocols of any factory.
- `TimeoutFactory`, `LimitConnectionsByPeer`, `ThrottlingFactory`, `TrafficLoggingFactory`, `SpewingFactory`: wrapping
  factories. One can wrap another.
- `LimitTotalConnectionsFactory`: a fixed number of connections at a time.
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
