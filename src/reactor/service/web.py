"""Connections of HTTP among the others of a server: their idle time, and their end in order."""

from __future__ import annotations

from typing import Any

from reactor.http.channel import HTTPChannel
from reactor.protocol.standins import behind


def channelOf(transport: Any) -> HTTPChannel | None:
    """Return the HTTPChannel of a connection, None if it has another protocol."""
    protocol = transport.protocol
    while protocol is not None and not isinstance(protocol, HTTPChannel):
        protocol = behind(protocol)
    return protocol


def limitIdling(transport: Any, seconds: float) -> None:
    """Give a new connection of HTTP `seconds` for its first request, and from each answer to the next request.

    Heads, bodies and the taking of answers have deadlines of their own. An answer itself may take any time.
    """
    channel = channelOf(transport)
    if channel is not None:
        channel.setTimeout(seconds)


def takeLastRequest(transport: Any) -> None:
    """Let a connection of HTTP end in order, with `Connection: close`: behind the requests that it has, or the next."""
    channel = channelOf(transport)
    if channel is None:
        return
    if channel.requests:
        channel.closeSoon()
    else:
        channel.maxRequests = channel.requestCount + 1
