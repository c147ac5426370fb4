"""Headers: the fields of a message by their names, with the API of Twisted's `http_headers`.

Each name has a list of values. Names go out in the usual capitalisation, whatever the program wrote. Names and values
are checked where a program gives them, and nothing is altered: a bad one is a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar, overload

from reactor.http.grammar import checkName, checkValue

_T = TypeVar("_T")

# Names whose words are not just capitalised.
_SPECIAL = {
    name.lower(): name
    for name in (b"Content-MD5", b"DNT", b"ETag", b"P3P", b"TE", b"WWW-Authenticate", b"X-XSS-Protection")
}
# Canonical names by the ones that programs and peers wrote. Bytes and text have a table each: as keys of one, they
# would be compared with each other, which is an error under `python -bb`.
_ofBytes: dict[bytes, bytes] = {}
_ofText: dict[str, bytes] = {}
# A peer may invent names without end. A full table begins anew, and long names are not kept.
MOST_SPELLINGS = 2000
LONGEST_SPELLING = 64

_TEXTS = (str, bytes, bytearray, memoryview)


def canonicalName(name: bytes | str) -> bytes:
    """Return a field's name as bytes, capitalised as usual: `b"Content-Type"`, but `b"ETag"`.

    InvalidHeaderName, a ValueError, unless it is a token; TypeError for other types than bytes and str.
    """
    known: dict[Any, bytes] = _ofBytes if type(name) is bytes else _ofText if isinstance(name, str) else _ofBytes
    try:
        return known[name]
    except KeyError:
        pass
    except TypeError:  # it cannot be a key; checkName says what is wrong
        pass
    data = checkName(name)
    lower = data.lower()
    canonical = _SPECIAL.get(lower) or b"-".join([word.capitalize() for word in lower.split(b"-")])
    if len(name) <= LONGEST_SPELLING:
        if len(known) >= MOST_SPELLINGS:
            known.clear()
        known[data if known is _ofBytes else name] = canonical
    return canonical


class Headers:
    """The fields of a request or of an answer. Each name, in whatever capitalisation, has a list of values.

    Names and values are bytes or str. A str name stands for its ASCII bytes, a str value for its UTF-8. A method that
    is given a str name returns str values. A name that is no token is a ValueError, and so is a value with a line
    break, a NUL or another control character. Nothing is changed then.

    `rawHeaders` maps names to lists of values.
    """

    __slots__ = ("_fields", "_pairs")

    def __init__(self, rawHeaders: Mapping[Any, Sequence[bytes | str]] | None = None) -> None:
        self._fields: dict[bytes, list[bytes]] | None = {}
        self._pairs: Iterable[tuple[bytes, bytes]] = ()
        if rawHeaders is not None:
            for name, values in rawHeaders.items():
                self.setRawHeaders(name, values)

    @classmethod
    def ofPairs(cls, pairs: Iterable[tuple[bytes, bytes]]) -> Self:
        """Return the fields of `pairs`, names and values that a parser has checked already. They are not looked at yet.

        The first use of the fields reads `pairs`, so the caller no longer changes them.
        """
        headers = cls.__new__(cls)
        headers._fields = None
        headers._pairs = pairs
        return headers

    def _all(self) -> dict[bytes, list[bytes]]:
        fields = self._fields
        if fields is None:
            fields = self._fields = {}
            for name, value in self._pairs:
                canonical = canonicalName(name)
                values = fields.get(canonical)
                if values is None:
                    fields[canonical] = [value]
                else:
                    values.append(value)
            self._pairs = ()
        return fields

    def hasHeader(self, name: bytes | str) -> bool:
        """Whether the field `name` has been set, to an empty list too."""
        return canonicalName(name) in self._all()

    def removeHeader(self, name: bytes | str) -> None:
        """Remove all values of the field `name`. Nothing happens if there are none."""
        self._all().pop(canonicalName(name), None)

    def setRawHeaders(self, name: bytes | str, values: Iterable[bytes | str]) -> None:
        """Give the field `name` these values, in the place of any that it has. ValueError: see the class."""
        canonical = canonicalName(name)
        if type(values) is not list and isinstance(values, _TEXTS):
            raise TypeError(f"a header has a list of values: give [{values!r}]")
        self._all()[canonical] = [checkValue(value) for value in values]

    def addRawHeader(self, name: bytes | str, value: bytes | str) -> None:
        """Add a value after those that the field `name` has. ValueError: see the class."""
        canonical, data = canonicalName(name), checkValue(value)
        self._all().setdefault(canonical, []).append(data)

    @overload
    def getRawHeaders(self, name: bytes) -> Sequence[bytes] | None: ...

    @overload
    def getRawHeaders(self, name: bytes, default: _T) -> Sequence[bytes] | _T: ...

    @overload
    def getRawHeaders(self, name: str) -> Sequence[str] | None: ...

    @overload
    def getRawHeaders(self, name: str, default: _T) -> Sequence[str] | _T: ...

    def getRawHeaders(
        self, name: bytes | str, default: _T | None = None
    ) -> Sequence[bytes] | Sequence[str] | _T | None:
        """Return a new list of the values of the field `name`: bytes for a name of bytes, str for one of str.

        `default` if there is no value. UnicodeDecodeError, a ValueError, if str is asked for, and a value is not UTF-8.
        """
        values = self._all().get(canonicalName(name))
        if not values:
            return default
        # The list itself would be a way around the checks.
        return [value.decode() for value in values] if isinstance(name, str) else values.copy()

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """Iterate over the fields in the order in which they came: the name, as it goes out, and its values."""
        return iter([(name, values.copy()) for name, values in self._all().items()])

    def asLines(self) -> bytes:
        """Return the fields as they go out: `b"Name: value"` and CRLF for each value, and no empty line after them."""
        return b"".join([b"%b: %b\r\n" % (name, value) for name, values in self._all().items() for value in values])

    def copy(self) -> Self:
        """Return the same fields, with lists of their own."""
        return self.__class__(self._all())

    def __eq__(self, other: object) -> bool:
        return self._all() == other._all() if isinstance(other, Headers) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # they are equal by what they hold, and change

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._all()!r})"
