"""Endpoints as strings, checked as far as possible before a port is open. `serve` and `check` share these checks."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

from reactor._logger import quoted, shortened
from reactor.address import isIPAddress, isIPv6Address
from reactor.endpoints.strings import ProxiedMaker, serverArguments, split
from reactor.service.limits import MOST_BACKLOG
from reactor.serving.collecting.places import datagramPlace
from reactor.serving.errors import reasonOf
from reactor.serving.values import where
from reactor.transports.unix.path import checkName

LOOPBACK = {"tcp": "127.0.0.1", "ssl": "127.0.0.1", "tcp6": "::1", "tls": "::1"}
DATAGRAMS = ("udp", "unixgram")
HAPROXY = "haproxy"
TLS_PORT = 443  # of a tls endpoint
MOST_MODE = 0o7777
LONGEST_REASON = 400  # characters, as it may quote a whole endpoint
TWICE = "haproxy: and --proxy each expect a PROXY header, and a client sends one: leave out one of the two"


class Parsed(NamedTuple):
    """An endpoint's string in parts. `make(reactor, **arguments)` makes the endpoint; `kind` is its type."""

    kind: str
    make: Callable[..., Any]
    arguments: dict[str, Any]

    @property
    def isDatagram(self) -> bool:
        """Whether datagrams come here, which only collect takes."""
        return self.kind in DATAGRAMS

    @property
    def isProxied(self) -> bool:
        """Whether the string itself asks for headers of the PROXY protocol."""
        return isinstance(self.make, ProxiedMaker)


def parsed(description: str) -> Parsed:
    """Return the parts of an endpoint's string. OSError or ValueError if it cannot be served, whatever is open.

    No socket is made, no file is read, and no name is looked up.
    """
    datagrams = datagramPlace(description)
    if datagrams is not None:
        found = Parsed(datagrams.kind, dict, datagrams.arguments)
    else:
        found = Parsed(*serverArguments(description))
        words = [word.lower() for word in split(description)[0][:2]]
        if words == [HAPROXY, HAPROXY]:
            raise ValueError("an endpoint has haproxy: once, as a client sends one header")
    _checkNumbers(found)
    if "address" in found.arguments:
        checkName(os.fsencode(found.arguments["address"]))
    interface = found.arguments.get("interface")
    if found.isDatagram and interface and not _isLiteral(interface):
        raise ValueError(f"the interface of a {found.kind} endpoint is an address, not {quoted(interface)}")
    return found


def _checkNumbers(found: Parsed) -> None:
    limits = (("port", 65535, "{}"), ("backlog", MOST_BACKLOG, "{}"), ("mode", MOST_MODE, "{:o}"))
    for key, most, form in limits:
        number = found.arguments.get(key, 0)
        if not 0 <= number <= most:
            shown = form.format(number)
            raise ValueError(f"the {key} of a {found.kind} endpoint is from 0 to {form.format(most)}, not {shown}")


def _isLiteral(interface: str) -> bool:
    return isIPAddress(interface) or isIPv6Address(interface)


def checkInterface(found: Parsed) -> None:
    """ValueError if the interface of an endpoint is a name without an address, in the words of a port that fails."""
    interface = found.arguments.get("interface")
    if not interface or _isLiteral(interface):
        return
    try:
        socket.getaddrinfo(interface, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        place = where(interface, found.arguments.get("port", TLS_PORT))
        raise ValueError(f"cannot listen on {place}: {reasonOf(error)}") from None


def endpointReason(error: Exception) -> str:
    """Return the reason for which an endpoint cannot be served, in one line, with the name of a file."""
    name = getattr(error, "filename", None)
    file = "" if name is None else f": {os.fsdecode(name) or 'the name is empty'}"
    return shortened(f"{reasonOf(error)}{file}", LONGEST_REASON)
