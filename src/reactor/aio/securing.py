"""The values of `ssl` for streams: a context, True, or a context factory of this package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor._later import later
from reactor._logger import getLogger
from reactor.tlsoptions import ContextFactory, checkContext, contextOf, defaultClientContext

if TYPE_CHECKING:
    import ssl
else:
    ssl = later("ssl", globals())

log = getLogger("reactor.tls")

# Settings that SSL objects take from their first context, and keep when another one replaces it.
_KEPT = ("options", "minimum_version", "maximum_version", "verify_mode", "verify_flags", "num_tickets")


def secureClient(options: dict[str, Any]) -> None:
    """Replace a context factory in `options`, for asyncio's create_connection, by its ssl.SSLContext.

    Its hostname and timeouts become options too, unless these exist. `ssl=True` verifies as connectSSL does; asyncio's
    own context would take a common name for the host's. Errors as for tlsoptions.checkContext.
    """
    given = options.get("ssl")
    if given is True:
        options["ssl"] = defaultClientContext()
    elif given is not None and given is not False:
        options["ssl"] = contextOf(checkContext(given, isClient=True))
        hostname = getattr(given, "hostname", None)
        if hostname is not None and options.get("server_hostname") is None:
            options["server_hostname"] = hostname
        _keepTimeouts(given, options)


def secureServer(options: dict[str, Any]) -> None:
    """Replace a context factory in `options`, for create_server. The context asks it for each connection."""
    given = options.get("ssl")
    if given is None:
        return
    if isinstance(given, bool):
        raise TypeError("a server needs a certificate: give ssl a CertificateOptions or an ssl.SSLContext")
    checkContext(given, isClient=False)
    if not isinstance(given, ssl.SSLContext):
        options["ssl"] = askingContext(given)
        _keepTimeouts(given, options)


def askingContext(contextFactory: ContextFactory) -> ssl.SSLContext:
    """Return a context for servers that each handshake replaces by the present one of `contextFactory`.

    OpenSSL calls back in each handshake when it has read the client's first message, whether that names a host (RFC
    6066) or not. So a renewed certificate is served. The first context decides for all connections which versions of
    TLS are allowed, and whether a client must show a certificate.
    """
    first = contextOf(contextFactory)
    asking = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in _KEPT:
        setattr(asking, name, getattr(first, name))

    def choose(sslObject: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> Any:
        try:
            context = contextOf(contextFactory)
            sslObject.context = context
            chooseByName = context.sni_callback
        except Exception:
            log.exception("no context for a connection")
            return ssl.ALERT_DESCRIPTION_INTERNAL_ERROR
        asked: Any = name  # None if the client names no host; typeshed does not know that
        return None if chooseByName is None else chooseByName(sslObject, asked, context)

    asking.sni_callback = choose
    return asking


def _keepTimeouts(contextFactory: Any, options: dict[str, Any]) -> None:
    for name, option in (("handshakeTimeout", "ssl_handshake_timeout"), ("closeTimeout", "ssl_shutdown_timeout")):
        seconds = getattr(contextFactory, name, None)
        if seconds is not None:
            options.setdefault(option, seconds)
