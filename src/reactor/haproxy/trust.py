"""The networks from which a header of the PROXY protocol is believed."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any

from reactor.address import UNIXAddress

UNIX = "unix"
#: Balancers on this machine: the loopback addresses, and UNIX sockets.
LOCAL = ("127.0.0.0/8", "::1", UNIX)


class TrustedNetworks:
    """A set of networks, given as texts: `10.0.0.0/8`, `fd00::/8`, `192.0.2.7`, or `unix` for every UNIX socket.

    ValueError for a text that is no network, for example one with bits behind its prefix. TypeError for a single text
    in place of several.
    """

    def __init__(self, networks: Iterable[str] = LOCAL) -> None:
        if isinstance(networks, str | bytes):
            raise TypeError(f"trusted networks are a list of texts, not {networks!r}")
        texts = [str(each).strip() for each in networks]
        self._unix = UNIX in texts
        self._networks = [_network(text) for text in texts if text != UNIX]
        self._texts = texts

    def __str__(self) -> str:
        return ", ".join(self._texts) or "nobody"

    def __contains__(self, address: Any) -> bool:
        """Whether `address`, a peer's, is in one of the networks. An address of another kind is in none."""
        if isinstance(address, UNIXAddress):
            return self._unix
        try:
            found = ipaddress.ip_address(address.host.partition("%")[0])
        except (AttributeError, ValueError):
            return False
        # A socket for both families shows an IPv4 client in this form.
        if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"a trusted network is written as 10.0.0.0/8, fd00::/8 or unix, not {text!r}: {error}"
        ) from None
