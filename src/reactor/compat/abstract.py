"""Of `twisted.internet.abstract`: whether a text is an address."""

from __future__ import annotations

from reactor.address import isIPAddress, isIPv6Address

__all__ = ["isIPAddress", "isIPv6Address"]
