"""URLs of requests: the server that one names, and the target that goes into the request line (RFC 9110, 4.2).

A URL is taken as it is written, or refused: nothing in it is cleaned or encoded anew. Only the host is put in the form
in which name servers and certificates know it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from reactor.address import encodeHostname, isIPAddress, isIPv6Address

PORTS = {"http": 80, "https": 443}

# RFC 3986, 3, without user information. The fragment is the last part.
_URL = re.compile(r"([A-Za-z][0-9A-Za-z+.-]*)://([^/?#]*)([^#]*)(?:#.*)?", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?", re.DOTALL)
_NAME = re.compile(r"[0-9A-Za-z._-]+")
_VISIBLE = re.compile(r"[!-~]*")
_NEVER = re.compile(r"[\x00-\x20\x7f\\]")


class Origin(NamedTuple):
    """A server, as far as a connection to it is concerned. `host` is ASCII: a name or a literal address."""

    isTLS: bool
    host: str
    port: int


class Destination(NamedTuple):
    """The meaning of a URL: the server, the value of the field Host, and the target of the request line."""

    origin: Origin
    hostField: bytes
    target: bytes


def parseURL(url: str | bytes) -> Destination:
    """Return what `url` stands for, an absolute URL of the scheme http or https. The fragment is dropped.

    ValueError for any other text. That includes spaces, line breaks, backslashes, and characters beyond ASCII after
    the host: the caller has to percent-encode them. A user name or password in the URL is refused, as it would end up
    in logs (RFC 9110, 4.2.4). TypeError unless it is str or bytes.
    """
    text = _textOf(url)
    if found := _NEVER.search(text):
        raise ValueError(f"a URL has no space, backslash or control character, as {found[0]!r} in {url!r}")
    parts = _URL.fullmatch(text)
    scheme = "" if parts is None else parts[1].lower()
    if parts is None or scheme not in PORTS:
        raise ValueError(f"a URL begins with http:// or https://, not as {url!r} does")
    if "@" in parts[2]:
        raise ValueError("a URL has no user name or password: give the field Authorization in their place")
    host, port = _authorityOf(parts[2], PORTS[scheme])
    if not _VISIBLE.fullmatch(parts[3]):
        raise ValueError(f"after its host a URL is ASCII, with all else percent-encoded: {url!r}")
    shown = f"[{host.partition('%')[0]}]" if isIPv6Address(host) else host
    hostField = shown if port == PORTS[scheme] else f"{shown}:{port}"
    target = parts[3] if parts[3].startswith("/") else f"/{parts[3]}"
    return Destination(Origin(scheme == "https", host, port), hostField.encode("ascii"), target.encode("ascii"))


def _textOf(url: object) -> str:
    if isinstance(url, str):
        return url
    if not isinstance(url, bytes):
        raise TypeError(f"a URL is str or bytes, not {url!r}")
    try:
        return url.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError(f"a URL of bytes is ASCII, with all else percent-encoded: {url!r}") from None


def _authorityOf(authority: str, defaultPort: int) -> tuple[str, int]:
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not parts[1]:
        raise ValueError(f"a URL has a host and, after a colon, a port number: not {authority!r}")
    port = int(parts[2][:6]) if parts[2] else defaultPort
    if not 0 < port <= 65535:
        raise ValueError(f"the port of a URL is from 1 to 65535, not {parts[2]}")
    return _hostOf(parts[1]), port


def _hostOf(text: str) -> str:
    """Return the host in ASCII: a literal address without brackets, or a name as name servers know it."""
    if text.startswith("["):
        address, _, scope = text[1:-1].partition("%25")  # RFC 6874
        if not isIPv6Address(address) or "%" in address or (scope and not _NAME.fullmatch(scope)):
            raise ValueError(f"between brackets a URL has an IPv6 address, not {text!r}")
        return f"{address.lower()}%{scope}" if scope else address.lower()
    if isIPAddress(text):
        return text
    try:
        name = encodeHostname(text).decode("ascii").lower()
    except ValueError as error:
        raise ValueError(f"{text!r} in a URL is no host name: {error}") from error
    if not _NAME.fullmatch(name):
        raise ValueError(f"{text!r} in a URL is no host name")
    return name
