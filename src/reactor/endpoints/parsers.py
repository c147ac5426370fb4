"""Types of endpoints from elsewhere: those that a program registers, and Twisted's plugins if it is installed.

A parser is an object with a `prefix`, the type's name, and a method that makes an endpoint from the rest of the string.
The method is parseStreamServer(reactor, *fields, **fields) for servers, and parseStreamClient(...) for clients.
IStreamServerEndpointStringParser and IStreamClientEndpointStringParserWithReactor have these names. So a package with a
plugin for Twisted works unchanged. Twisted is imported only when a string has an unknown type.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from reactor._logger import getLogger

log = getLogger("reactor")

_servers: dict[str, Any] = {}
_clients: dict[str, Any] = {}


def registerEndpointParser(parser: Any) -> None:
    """Have serverFromString and clientFromString call `parser` for strings that begin with its `prefix`.

    This replaces another parser with that prefix, but no type of this package. TypeError if `parser` has no `prefix`,
    or neither parseStreamServer nor parseStreamClient.
    """
    prefix = getattr(parser, "prefix", None)
    parses = [hasattr(parser, "parseStreamServer"), hasattr(parser, "parseStreamClient")]
    if not isinstance(prefix, str) or not prefix or not any(parses):
        raise TypeError(f"a parser has a prefix, and parseStreamServer or parseStreamClient: {parser!r} has not")
    for has, parsers in zip(parses, (_servers, _clients), strict=True):
        if has:
            parsers[prefix.lower()] = parser


def unregisterEndpointParser(parser: Any) -> None:
    """Undo registerEndpointParser. It does nothing if `parser` was not registered."""
    for parsers in (_servers, _clients):
        for prefix in [prefix for prefix, each in parsers.items() if each is parser]:
            del parsers[prefix]


def serverParser(prefix: str) -> Any:
    """Return the parser for server endpoints of the type `prefix`, or None."""
    return _servers.get(prefix.lower()) or _plugin(prefix, "IStreamServerEndpointStringParser")


def clientParser(prefix: str) -> Any:
    """Return the parser for client endpoints of the type `prefix`, or None."""
    return _clients.get(prefix.lower()) or _plugin(prefix, "IStreamClientEndpointStringParserWithReactor")


def _plugin(prefix: str, interface: str) -> Any:
    """Return Twisted's plugin for `prefix`, or None without such a plugin or without Twisted."""
    if importlib.util.find_spec("twisted") is None:
        return None
    try:
        plugins: Any = importlib.import_module("twisted.plugin")
        interfaces: Any = importlib.import_module("twisted.internet.interfaces")
    except ImportError as error:
        log.warning("Twisted is installed, and its plugins cannot be asked for %r: %s", prefix, error)
        return None
    found = plugins.getPlugins(getattr(interfaces, interface))
    return next((plugin for plugin in found if str(plugin.prefix).lower() == prefix.lower()), None)
