"""Set-Cookie fields (RFC 6265, 4.1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from reactor import _overwritten as _overwritten

_ATTRIBUTES = (b"Expires", b"Domain", b"Path", b"Max-Age", b"Comment")
_SAME_SITE = (b"lax", b"strict", b"none")


def cookieText(
    name: bytes | str,
    value: bytes | str,
    attributes: Sequence[bytes | str | None],
    secure: bool | None,
    httpOnly: bool,
    sameSite: bytes | str | None,
) -> bytes:
    """Return the value of a Set-Cookie field. ValueError for what no cookie may have: see Answer.addCookie.

    `attributes` are the values of Expires, Domain, Path, Max-Age and Comment, or None.
    """
    parts = [_partOf(name) + b"=" + _partOf(value)]
    for attribute, text in zip(_ATTRIBUTES, attributes, strict=True):
        if text is not None:
            parts.append(attribute + b"=" + _partOf(text))
    if secure:
        parts.append(b"Secure")
    if httpOnly:
        parts.append(b"HttpOnly")
    if sameSite:
        site = _partOf(sameSite).lower()
        if site not in _SAME_SITE:
            raise ValueError(f"sameSite is lax, strict or none, not {sameSite!r}")
        if site == b"none" and not secure:
            raise ValueError("sameSite none needs secure")
        parts.append(b"SameSite=" + site)
    return b"; ".join(parts)


def _partOf(part: bytes | str) -> bytes:
    text = part.encode() if isinstance(part, str) else bytes(part)
    if not _isPart(text):
        raise ValueError(f"no part of a cookie has a semicolon or a control character: {part!r}")
    return text


_isPart: Callable[[bytes], Any] = re.compile(rb"[\t -:<-~\x80-\xff]*").fullmatch
