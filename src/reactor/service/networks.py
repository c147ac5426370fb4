"""Networks and addresses of peers, for the rules of a listener."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from reactor._logger import quoted

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def addressOf(peer: Any) -> Address | None:
    """Return the IP address of `peer`, an address object or text; None if it has none, as a UNIX socket.

    An IPv4 address that is mapped to IPv6 (RFC 4291, 2.5.5.2) counts as IPv4. The zone of a link-local address is left
    out.
    """
    host = peer if isinstance(peer, str) else getattr(peer, "host", None)
    if not isinstance(host, str):
        return None
    try:
        found = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return found if mapped is None else mapped


def networkOf(text: Any) -> Network:
    """Return the network of `text`: `192.0.2.0/24`, or one address. ValueError if it is none, or has host bits.

    A network of addresses that are mapped to IPv6 becomes the one of IPv4.
    """
    if isinstance(text, ipaddress.IPv4Network | ipaddress.IPv6Network):
        found = text
    elif isinstance(text, str):
        try:
            found = ipaddress.ip_network(text)
        except ValueError as error:
            raise ValueError(f"a network is an address, or one with a prefix length: {error}") from None
    else:
        raise TypeError(f"a network is text or an ipaddress network, not {quoted(text)}")
    if isinstance(found, ipaddress.IPv6Network) and found.prefixlen >= 96:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, found.prefixlen - 96))
    return found


def networksOf(given: Iterable[Any], what: str) -> tuple[Network, ...]:
    """Return the networks of `given`, an iterable. TypeError for text in the place of one; `what` names it."""
    if isinstance(given, str | bytes):
        raise TypeError(f"{what} is a list of networks, not {quoted(given)}: give [{quoted(given)}]")
    return tuple(networkOf(each) for each in given)


def isIn(address: Address, networks: Iterable[Network]) -> bool:
    """Whether `address` is in one of `networks`."""
    return any(address in network for network in networks)


def groupOf(address: Address | None, prefixes: tuple[int, int]) -> str:
    """Return the name under which an address counts: the address, or its network if `prefixes` are shorter.

    `prefixes` are the lengths for IPv4 and IPv6. Peers without an address have the group "".
    """
    if address is None:
        return ""
    length = prefixes[0] if address.version == 4 else prefixes[1]
    if length == address.max_prefixlen:
        return str(address)
    return str(ipaddress.ip_network((address.packed, length), strict=False))
