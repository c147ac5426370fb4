"""The sending side of the PROXY protocol: clients that begin with a header."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from reactor._beside import Running
from reactor.defer import Deferred
from reactor.haproxy.header import SIGNATURE, encodeV1, encodeV2
from reactor.haproxy.receiving import checkVersions
from reactor.interfaces import IProtocolFactory
from reactor.interfaces.asking import conform
from reactor.policies.wrapping import WrappingFactory
from reactor.protocol.standins import StandIn
from reactor.transports.handover import replace

# The bytes of a header, or a function that returns them for a new transport.
Header: TypeAlias = bytes | Callable[[Any], bytes]


def ownHeader(version: int = 2) -> Callable[[Any], bytes]:
    """Return a function for the header of a connection that relays nothing: it names that connection's own ends."""
    (version,) = checkVersions([version])
    encode: Callable[..., bytes] = encodeV1 if version == 1 else encodeV2
    return lambda transport: encode(transport.getHost(), transport.getPeer())


def _checkHeader(header: Header) -> Header:
    if callable(header) or (isinstance(header, bytes) and header.startswith((b"PROXY ", SIGNATURE))):
        return header
    raise TypeError(f"a header is bytes of encodeV1 or encodeV2, or a function that returns them, not {header!r}")


class _Sender(StandIn):
    """A stand-in for `protocol` until its connection is made: writes the header before anything else."""

    def __init__(self, protocol: Any, header: Header) -> None:
        self.wrappedProtocol = protocol
        self._header = header

    def makeConnection(self, transport: Any) -> Running | None:
        """Called by the transport, and passed on."""
        replace(transport, self, self.wrappedProtocol)
        header = self._header(transport) if callable(self._header) else self._header
        transport.write(header)
        made: Running | None = self.wrappedProtocol.makeConnection(transport)
        return made


class ProxyClientFactory(WrappingFactory):
    """Wraps a client's factory: each connection begins with `header`, sent before anything of the protocol.

    `header` is the bytes of encodeV1 or encodeV2, or a function that is called with the transport and returns them. By
    default it is version 2, with the connection's own ends.
    """

    def __init__(self, wrappedFactory: IProtocolFactory, header: Header | None = None) -> None:
        super().__init__(wrappedFactory)
        self._header = ownHeader() if header is None else _checkHeader(header)

    def wrap(self, wrapped: Any) -> Any:
        """Return the stand-in that sends the header, and then gives way to `wrapped`."""
        return _Sender(wrapped, self._header)


class _ProxyClientEndpoint:
    __conform__ = conform

    def __init__(self, wrappedEndpoint: Any, header: Header | None) -> None:
        self._wrappedEndpoint = wrappedEndpoint
        self._header = ownHeader() if header is None else _checkHeader(header)

    def __repr__(self) -> str:
        return f"<PROXY header over {self._wrappedEndpoint!r}>"

    @property
    def hostname(self) -> Any:
        """The host that TLS over this endpoint verifies."""
        return self._wrappedEndpoint.hostname

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See proxyClientEndpoint."""
        connected: Deferred[Any] = self._wrappedEndpoint.connect(ProxyClientFactory(protocolFactory, self._header))
        return connected.addCallback(lambda protocol: getattr(protocol, "wrappedProtocol", protocol))


def proxyClientEndpoint(wrappedEndpoint: Any, header: Header | None = None) -> Any:
    """Return a client endpoint that connects as `wrappedEndpoint` does, and sends `header` before anything else.

    `header` is as for ProxyClientFactory. TLS comes behind the header if it is wrapped around this endpoint
    (`wrapClientTLS(options, proxyClientEndpoint(endpoint))`), which is what servers expect. The other way round, the
    header is inside TLS.
    """
    return _ProxyClientEndpoint(wrappedEndpoint, header)
