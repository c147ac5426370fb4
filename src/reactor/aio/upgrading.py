"""TLS for a stream that has begun in plain: the part of LineWriter.start_tls in the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reactor._later import later
from reactor.tlsoptions import ContextFactory
from reactor.transports.starttls import askedContext, hostOf
from reactor.transports.tls.layer import PLAIN_BYTES

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())


class Upgrade:
    """The settings of a start of TLS. ValueError and TypeError as for startTLS: `context` must fit the side."""

    def __init__(self, isClient: bool, context: ContextFactory | None, hostname: str | None, **timeouts: Any) -> None:
        factory = askedContext(context, isClient)
        self._context = factory if isinstance(factory, ssl.SSLContext) else factory.getContext()
        self._hostname = (hostname or hostOf(context, None)) if isClient else None
        if isClient and self._context.check_hostname and not self._hostname:
            raise ValueError("a client must be told the server_hostname, which it verifies")
        if timeouts["ssl_handshake_timeout"] is None:
            timeouts["ssl_handshake_timeout"] = getattr(context, "handshakeTimeout", None)
        self._options = {"server_side": not isClient, "server_hostname": self._hostname, **timeouts}

    async def of(self, transport: Any, eventloop: asyncio.AbstractEventLoop) -> Any:
        """Return asyncio's TLS transport over `transport`, after the handshake. asyncio's errors pass through."""
        secure = await eventloop.start_tls(transport, transport.get_protocol(), self._context, **self._options)
        if transport.is_closing():
            raise ConnectionResetError("the connection ended during the TLS handshake")
        return secure


def plainBytes() -> ssl.SSLError:
    """Return the error for plain bytes that would count as protected."""
    return ssl.SSLError(ssl.SSL_ERROR_SSL, PLAIN_BYTES)
