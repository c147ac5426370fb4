"""Endpoints: places to listen or connect, as objects and as strings, as in `twisted.internet.endpoints`."""

from __future__ import annotations

from reactor._faces import publish
from reactor.endpoints.hostname import HostnameEndpoint
from reactor.endpoints.parsers import registerEndpointParser, unregisterEndpointParser
from reactor.endpoints.process import ProcessEndpoint, StandardErrorBehavior
from reactor.endpoints.streams import (
    AdoptedStreamServerEndpoint,
    SSL4ClientEndpoint,
    SSL4ServerEndpoint,
    StandardIOEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from reactor.endpoints.strings import clientFromString, quoteStringArgument, serverFromString
from reactor.endpoints.tls import wrapClientTLS, wrapServerTLS

__all__ = [
    "AdoptedStreamServerEndpoint",
    "HostnameEndpoint",
    "ProcessEndpoint",
    "SSL4ClientEndpoint",
    "SSL4ServerEndpoint",
    "StandardErrorBehavior",
    "StandardIOEndpoint",
    "TCP4ClientEndpoint",
    "TCP4ServerEndpoint",
    "TCP6ClientEndpoint",
    "TCP6ServerEndpoint",
    "UNIXClientEndpoint",
    "UNIXServerEndpoint",
    "clientFromString",
    "connectProtocol",
    "quoteStringArgument",
    "registerEndpointParser",
    "serverFromString",
    "unregisterEndpointParser",
    "wrapClientTLS",
    "wrapServerTLS",
]

publish(globals())
