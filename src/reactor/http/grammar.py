"""The grammar of a head: checks of the names, values, reasons, methods and targets that go out.

A line break or a NUL in one of them would let its author write fields, or whole messages, of their own. So each part
is checked where a program gives it. Nothing is cleaned: a part is sent as it is, or is a ValueError.
"""

from __future__ import annotations

import re
from typing import Any

from reactor import _overwritten as _overwritten

# RFC 9110, 5.6.2. The bytes of a method, and of a field's name.
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110, 5.5: spaces, tabs, visible characters, and bytes beyond ASCII. Spaces at the ends carry no meaning there.
VALUE = re.compile(rb"[\t \x21-\x7e\x80-\xff]*")
# RFC 9112, 3.2. Visible ASCII: a space would end the target, and other characters have to be percent-encoded.
TARGET = re.compile(rb"[\x21-\x7e]+")

_isToken = TOKEN.fullmatch
_isValue = VALUE.fullmatch
_isTarget = TARGET.fullmatch


class InvalidHeaderName(ValueError):
    """A field's name that is no token of RFC 9110, 5.6.2. Twisted's `http_headers` has the same name."""


def checkName(name: bytes | str) -> bytes:
    """Return a field's name as bytes, as it is written. InvalidHeaderName, a ValueError, unless it is a token.

    A token has ASCII letters, digits, and most punctuation: no space, and none of `"(),/:;<=>?@[\\]{}`. TypeError for
    other types.
    """
    data = _bytesOf(name, "a header's name")
    if _isToken(data) is None:
        raise InvalidHeaderName(f"a header's name is a token of letters, digits and -, not {name!r}")
    return data


def checkValue(value: bytes | str) -> bytes:
    """Return a field's value as bytes; text becomes UTF-8, as in Twisted.

    ValueError for a control character other than tab (RFC 9110, 5.5), TypeError for other types.
    """
    # The common case first, at the price of one look at the type: a response has several of them.
    data = value if type(value) is bytes else _bytesOf(value, "a header's value")
    if _isValue(data) is None:
        raise ValueError(f"a header's value has no line break, NUL or other control character: {value!r}")
    return data


def checkReason(reason: bytes | str) -> bytes:
    """Return a reason phrase as bytes; text becomes UTF-8. It may be empty.

    ValueError for a control character other than tab (RFC 9112, 4), TypeError for other types.
    """
    data = _bytesOf(reason, "a reason phrase")
    if _isValue(data) is None:
        raise ValueError(f"a reason phrase has no line break, NUL or other control character: {reason!r}")
    return data


def checkMethod(method: bytes | str) -> bytes:
    """Return a request's method as bytes, as it is written. ValueError unless it is a token, TypeError for other types.

    Methods are case-sensitive (RFC 9110, 9.1).
    """
    data = _bytesOf(method, "a method")
    if _isToken(data) is None:
        raise ValueError(f"a method is a token, for example b'GET', not {method!r}")
    return data


def checkTarget(target: bytes | str) -> bytes:
    """Return a request's target as bytes. ValueError unless it is visible ASCII of at least one byte.

    Spaces, controls and characters beyond ASCII have to be percent-encoded (RFC 9112, 3.2). TypeError for other types.
    """
    data = _bytesOf(target, "a request's target")
    if _isTarget(data) is None:
        raise ValueError(f"a request's target is visible ASCII, with all else percent-encoded, not {target!r}")
    return data


def _bytesOf(part: Any, what: str) -> bytes:
    """Bytes as they are, a bytes-like object's content, text as UTF-8. Lone surrogates are a ValueError."""
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, bytearray | memoryview):
        return bytes(part)
    raise TypeError(f"{what} is bytes or str, not {part!r}")
