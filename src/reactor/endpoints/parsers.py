"""Types of endpoints that others have: those that a program registers, and Twisted's plugins where it is installed.

A parser is an object with a `prefix`, the type's name, and a method that makes the endpoint of the rest of the string:
parseStreamServer(reactor, *fields, **fields) for servers, parseStreamClient(...) for clients. Those are the names of
IStreamServerEndpointStringParser and IStreamClientEndpointStringParserWithReactor, so a package that has a plugin for
Twisted need not be changed. Twisted is imported only when a string has a type that nobody here knows.
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
    """Have serverFromString and clientFromString ask `parser` for strings that begin with its `prefix`.

    A type of this package's own is not replaced; another parser with that prefix is. TypeError if it has no `prefix`,
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
    """Undo registerEndpointParser; nothing if it was not registered."""
    for parsers in (_servers, _clients):
        for prefix in [prefix for prefix, each in parsers.items() if each is parser]:
            del parsers[prefix]


def serverParser(prefix: str) -> Any:
    """Return who makes server endpoints of the type `prefix`, None if nobody does."""
    return _servers.get(prefix.lower()) or _plugin(prefix, "IStreamServerEndpointStringParser")


def clientParser(prefix: str) -> Any:
    """Return who makes client endpoints of the type `prefix`, None if nobody does."""
    return _clients.get(prefix.lower()) or _plugin(prefix, "IStreamClientEndpointStringParserWithReactor")


def _plugin(prefix: str, interface: str) -> Any:
    """Return the plugin of Twisted's for `prefix`, None if there is none or no Twisted."""
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
