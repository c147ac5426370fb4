"""The PROXY protocol, versions 1 and 2: the client's address behind a balancer, as in `twisted.protocols.haproxy`.

- `proxyEndpoint`, `HAProxyWrappingFactory`: servers whose connections begin with a header. `transport.proxyHeader` is
  the ProxyHeader, and getPeer() is the client.
- `proxyClientEndpoint`, `ProxyClientFactory`: clients that send a header first; `encodeV1`, `encodeV2`, `encodeSSL`
  make one.
- `HeaderParser`: bytes in, a ProxyHeader out, without a socket.
"""

from __future__ import annotations

from reactor._faces import publish
from reactor.haproxy.header import (
    InvalidProxyHeader,
    ProxyHeader,
    SSLInfo,
    encodeSSL,
    encodeV1,
    encodeV2,
)
from reactor.haproxy.listening import proxyEndpoint
from reactor.haproxy.parser import HeaderParser
from reactor.haproxy.receiving import HAProxyWrappingFactory
from reactor.haproxy.sending import ProxyClientFactory, ownHeader, proxyClientEndpoint
from reactor.haproxy.trust import TrustedNetworks

__all__ = [
    "HAProxyWrappingFactory",
    "HeaderParser",
    "InvalidProxyHeader",
    "ProxyClientFactory",
    "ProxyHeader",
    "SSLInfo",
    "TrustedNetworks",
    "encodeSSL",
    "encodeV1",
    "encodeV2",
    "ownHeader",
    "proxyClientEndpoint",
    "proxyEndpoint",
]

publish(globals())
