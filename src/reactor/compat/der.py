"""The parts of a certificate that programs read: subject, issuer, serial number (RFC 5280, 4.1; X.690)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

SEQUENCE, VERSION = 0x30, 0xA0

# The attributes of a name that have a short form (RFC 4514, 3, and PKCS #9).
NAMES = {
    bytes((0x55, 4, 3)): "commonName",
    bytes((0x55, 4, 6)): "countryName",
    bytes((0x55, 4, 7)): "localityName",
    bytes((0x55, 4, 8)): "stateOrProvinceName",
    bytes((0x55, 4, 10)): "organizationName",
    bytes((0x55, 4, 11)): "organizationalUnitName",
    bytes((0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1)): "emailAddress",
}
_BMP = 0x1E


class Parts(NamedTuple):
    """The serial number; issuer and subject as pairs of an attribute's name and its text."""

    serial: int
    issuer: list[tuple[str, bytes]]
    subject: list[tuple[str, bytes]]


def partsOf(der: bytes) -> Parts:
    """Return the parts of a certificate. ValueError if the bytes are none."""
    try:
        (_, certificate), *_ = _elements(der)
        (_, signed), *_ = _elements(certificate)
        fields = [field for field in _elements(signed) if field[0] != VERSION]
        (_, serial), _, (_, issuer), _, (_, subject), *_ = fields
        return Parts(int.from_bytes(serial, "big", signed=True), _name(issuer), _name(subject))
    except (ValueError, IndexError):
        raise ValueError("the bytes are no certificate in DER") from None


def _name(data: bytes) -> list[tuple[str, bytes]]:
    found = []
    for _, attributes in _elements(data):
        for _, pair in _elements(attributes):
            (_, identifier), (kind, value) = _elements(pair)
            text = value.decode("utf-16-be").encode() if kind == _BMP else value
            if identifier in NAMES:
                found.append((NAMES[identifier], text))
    return found


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each element. ValueError or IndexError if one is cut off."""
    position = 0
    while position < len(data):
        tag, size = data[position], data[position + 1]
        position += 2
        if size >= 0x80:
            count = size & 0x7F
            size = int.from_bytes(data[position : position + count], "big")
            position += count
        if position + size > len(data):
            raise ValueError("an element is cut off")
        yield tag, data[position : position + size]
        position += size
