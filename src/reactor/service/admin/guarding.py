"""Protection of the pages: fields against misuse by other sites, and names of hosts that may ask."""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import re
from collections.abc import Iterable
from typing import Any

# Nothing of the answers is for other sites, for caches or for guesses about types.
FIELDS = {
    b"Cache-Control": b"no-store",
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Content-Security-Policy": b"default-src 'none'; frame-ancestors 'none'",
}

_INLINE = re.compile(rb"<(script|style)>(.*?)</\1>", re.DOTALL)


def pagePolicy(page: bytes) -> bytes:
    """Return the Content-Security-Policy of `page`: its own scripts and styles by their hashes, its own server alone.

    The only other resource is the icon, which is data in the page.
    """
    hashes: dict[bytes, list[bytes]] = {b"script": [], b"style": []}
    for kind, text in _INLINE.findall(page):
        hashes[kind].append(b"'sha256-%b'" % base64.b64encode(hashlib.sha256(text).digest()))
    sources = {kind: b" ".join(found) or b"'none'" for kind, found in hashes.items()}
    return (
        b"default-src 'none'; script-src %b; style-src %b; img-src data:; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % (sources[b"script"], sources[b"style"])
    )


def mayAsk(request: Any, hosts: Iterable[str]) -> bool:
    """Whether the host that `request` names is one of ours.

    A page of another site can point its own name at a loopback address, and would then read our answers as its own
    (DNS rebinding). So on a loopback address, the host is an address, localhost, or one of `hosts`.
    """
    local = getattr(request.getHost(), "host", None)
    if local is None or not _isLoopback(local):
        return True
    name = request.getRequestHostname().decode("latin-1").lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost") or name in hosts or _addressOf(name) is not None


def _addressOf(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _isLoopback(host: str) -> bool:
    address = _addressOf(host)
    mapped = getattr(address, "ipv4_mapped", None)
    return address is not None and (mapped or address).is_loopback
