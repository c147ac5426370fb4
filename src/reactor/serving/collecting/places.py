"""Endpoints of datagrams as strings, for collect: `udp:514` and `unixgram:/dev/log`.

The grammar is that of the endpoints for streams: fields between colons, `key=value`, and a backslash before a literal
character.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from reactor._defaults import SOCKET_MODE
from reactor.endpoints.strings import Kind, split
from reactor.serving.collect import Collection
from reactor.serving.collecting.datagrams import DatagramCollector

LOOPBACK = "127.0.0.1"
LARGEST_UDP = 65535  # bytes, more than a datagram over UDP can have
LARGEST_UNIX = 256 * 1024  # bytes, more than Linux sends by default (net.core.wmem_default)

_KINDS = {
    kind.name: kind
    for kind in (
        Kind("udp", dict, "port interface", "port"),
        Kind("unixgram", dict, "address mode lockfile", "address"),
    )
}


class DatagramPlace(NamedTuple):
    """Where to receive datagrams: the kind, "udp" or "unixgram", and its arguments by name."""

    kind: str
    arguments: dict[str, Any]


def datagramPlace(description: str) -> DatagramPlace | None:
    """Return the place that an endpoint's string names; None if the string is for another kind of endpoint.

    - `udp:PORT`, and interface=, a literal address of IPv4 or IPv6. The default is 127.0.0.1.
    - `unixgram:PATH`, and mode=, the octal permissions of the socket (600), and lockfile=0, for none beside it.

    ValueError for a field too many or too few, or a bad value.
    """
    (name, *positional), named = split(description) if description else ([""], {})
    kind = _KINDS.get(name.lower())
    if kind is None:
        return None
    arguments = kind.arguments(kind.byPosition(description, positional, named))
    if kind.name == "udp":
        arguments["interface"] = arguments.get("interface") or LOOPBACK
        if not 0 <= arguments["port"] <= 65535:
            raise ValueError(f"the port of a udp endpoint is from 0 to 65535, not {arguments['port']}")
    elif not arguments["address"]:
        raise ValueError("a unixgram endpoint needs an address")
    return DatagramPlace(kind.name, arguments)


def listenForDatagrams(reactor: Any, place: DatagramPlace, collection: Collection, maxLength: int) -> Any:
    """Have `collection` keep the datagrams that come to `place`; return the port, whose `protocol` counts them.

    `maxLength` is the longest message, in bytes. CannotListenError if the system refuses.
    """
    protocol = DatagramCollector(reactor, collection, maxLength)
    arguments = place.arguments
    if place.kind == "udp":
        return reactor.listenUDP(arguments["port"], protocol, arguments["interface"], LARGEST_UDP)
    return reactor.listenUNIXDatagram(
        arguments["address"],
        protocol,
        maxPacketSize=LARGEST_UNIX,
        mode=arguments.get("mode", SOCKET_MODE),
        wantPID=arguments.get("lockfile", True),
    )
