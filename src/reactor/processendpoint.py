"""Another public name of `reactor.endpoints.process`: a child as the peer of an ordinary protocol."""

from __future__ import annotations

from reactor.endpoints.process import ProcessAddress, ProcessConnection, ProcessEndpoint, StandardErrorBehavior

__all__ = ["ProcessAddress", "ProcessConnection", "ProcessEndpoint", "StandardErrorBehavior"]
