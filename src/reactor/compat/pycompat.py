"""The names of `twisted.python.compat` that programs for Python 3 still use."""

from __future__ import annotations

from builtins import chr as unichr
from builtins import range as xrange
from collections.abc import Iterator
from functools import cmp_to_key
from functools import reduce as reduce
from io import StringIO as NativeStringIO
from itertools import filterfalse as filterfalse
from os import environb

_PY3 = True
_PYPY = False
long = int
unicode = str
range = xrange


def nativeString(s: str | bytes) -> str:
    """Return ASCII text as str. UnicodeError for other characters, TypeError for other types."""
    if not isinstance(s, str | bytes):
        raise TypeError(f"{s!r} is neither bytes nor str")
    if isinstance(s, bytes):
        return s.decode("ascii")
    s.encode("ascii")
    return s


def networkString(s: str) -> bytes:
    """Return ASCII text as bytes. UnicodeError for other characters, TypeError if it is no str."""
    if not isinstance(s, str):
        raise TypeError(f"can only convert text to bytes, not {s!r}")
    return s.encode("ascii")


def intToBytes(i: int) -> bytes:
    """Return a whole number as ASCII digits."""
    return b"%d" % i


def iterbytes(originalBytes: bytes) -> Iterator[bytes]:
    """Yield each byte as bytes."""
    return (originalBytes[index : index + 1] for index in range(len(originalBytes)))


def lazyByteSlice(object: bytes, offset: int = 0, size: int | None = None) -> bytes:
    """Return a part of bytes-like data, of `size` bytes from `offset` on."""
    end = None if size is None else offset + size
    with memoryview(object) as data, data[offset:end] as part:
        return part.tobytes()


def bytesEnviron() -> dict[bytes, bytes]:
    """Return the environment as bytes."""
    return dict(environb)


def cmp(a: object, b: object) -> int:
    """Compare as Python 2 did: -1, 0 or 1."""
    if a == b:
        return 0
    return -1 if a < b else 1  # type: ignore[operator]


__all__ = [
    "NativeStringIO",
    "bytesEnviron",
    "cmp",
    "cmp_to_key",
    "filterfalse",
    "intToBytes",
    "iterbytes",
    "lazyByteSlice",
    "long",
    "nativeString",
    "networkString",
    "range",
    "reduce",
    "unichr",
    "unicode",
    "xrange",
]
