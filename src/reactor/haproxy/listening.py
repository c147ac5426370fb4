"""Server endpoints whose connections begin with a header of the PROXY protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reactor.defer import Deferred, execute
from reactor.haproxy.parser import MAX_V2
from reactor.haproxy.receiving import HEADER_TIMEOUT, HAProxyWrappingFactory, checkVersions
from reactor.haproxy.trust import LOCAL, TrustedNetworks
from reactor.interfaces import IListeningPort, IProtocolFactory
from reactor.interfaces.asking import conform


class _ProxyServerEndpoint:
    __conform__ = conform

    def __init__(self, wrappedEndpoint: Any, **settings: Any) -> None:
        self._wrappedEndpoint = wrappedEndpoint
        self._settings = settings

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """See proxyEndpoint."""
        made = execute(HAProxyWrappingFactory, protocolFactory, **self._settings)
        return made.addCallback(self._wrappedEndpoint.listen)


def proxyEndpoint(
    wrappedEndpoint: Any,
    trusted: Iterable[str] = LOCAL,
    headerTimeout: float = HEADER_TIMEOUT,
    maxHeaderLength: int = MAX_V2,
    versions: Iterable[int] = (1, 2),
) -> Any:
    """Return a server endpoint that listens as `wrappedEndpoint` does, for connections that begin with a header.

    The arguments are those of HAProxyWrappingFactory, which is the `factory` of the port. TLS comes behind the header
    if it is wrapped around this endpoint (`wrapServerTLS(options, proxyEndpoint(endpoint))`), which is what balancers
    send. The other way round, the header is inside TLS. ValueError for a network or a version that is none.
    """
    trusted = list(trusted) if not isinstance(trusted, str | bytes) else trusted
    TrustedNetworks(trusted)
    return _ProxyServerEndpoint(
        wrappedEndpoint,
        trusted=trusted,
        headerTimeout=headerTimeout,
        maxHeaderLength=maxHeaderLength,
        versions=checkVersions(versions),
    )
