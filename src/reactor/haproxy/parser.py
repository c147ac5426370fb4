"""The parser of headers of the PROXY protocol: bytes in, a ProxyHeader out. It knows nothing of sockets.

A header is never guessed. The first byte that no header can have is an error, and so is everything that proxy-protocol
.txt rules out. The parser waits for the whole header, and returns the bytes behind it untouched.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import Any

from reactor.address import IPv4Address, IPv6Address, SocketType, UNIXAddress
from reactor.haproxy.header import (
    CRC32C,
    FIXED,
    LONGEST_UNIQUE_ID,
    SIGNATURE,
    SSL,
    TLV,
    UNIQUE_ID,
    InvalidProxyHeader,
    ProxyHeader,
    SSLInfo,
    crc32c,
    find,
)

MAX_V1 = 107  # bytes of a header of version 1, its CR LF included: the longest that the specification knows
MAX_V2 = 4096  # bytes of a header of version 2, its first 16 included, unless a program sets another limit

_TEXT = b"PROXY "
_PORT = re.compile(rb"0|[1-9][0-9]{0,4}")
_FAMILIES = {b"TCP4": socket.AF_INET, b"TCP6": socket.AF_INET6}
_SIZES = {0x0: 0, 0x1: 12, 0x2: 36, 0x3: 216}  # bytes of the addresses of each family


class HeaderParser:
    """Parses the header of one connection. `versions` are the accepted ones, `maxLength` bounds version 2 in bytes."""

    def __init__(self, versions: tuple[int, ...] = (1, 2), maxLength: int = MAX_V2) -> None:
        self._starts = {1: _TEXT, 2: SIGNATURE}
        self._versions = versions
        self._maxLength = maxLength
        self._buffer = b""

    @property
    def hasBegun(self) -> bool:
        """Whether any byte has come."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> tuple[ProxyHeader, bytes] | None:
        """Take `data`. Return the header and the bytes behind it once it is whole, None before that.

        InvalidProxyHeader for bytes that are no header. The parser is of no use after a header or an error.
        """
        self._buffer = buffer = self._buffer + data if self._buffer else bytes(data)
        for version in self._versions:
            start = self._starts[version]
            if buffer.startswith(start):
                return self._feedText(buffer) if version == 1 else self._feedBinary(buffer)
            if start.startswith(buffer):
                return None
        raise InvalidProxyHeader("the first bytes are no header")

    def _feedText(self, buffer: bytes) -> tuple[ProxyHeader, bytes] | None:
        end = buffer.find(b"\r\n", 0, MAX_V1)
        if end >= 0:
            return parseV1(buffer[: end + 2]), buffer[end + 2 :]
        if len(buffer) >= MAX_V1:
            raise InvalidProxyHeader(f"there is no end of line in {MAX_V1} bytes")
        return None

    def _feedBinary(self, buffer: bytes) -> tuple[ProxyHeader, bytes] | None:
        if len(buffer) > 12:
            _checkCommand(buffer[12])
        if len(buffer) < FIXED:
            return None
        length = FIXED + int.from_bytes(buffer[14:16])
        if length > self._maxLength:
            raise InvalidProxyHeader(f"a header of {length} bytes is longer than {self._maxLength}")
        return (parseV2(buffer[:length]), buffer[length:]) if len(buffer) >= length else None


def parseV1(line: bytes) -> ProxyHeader:
    """Return the header that `line`, with its CR LF, is in version 1. InvalidProxyHeader if it is none."""
    words = line.removesuffix(b"\r\n").split(b" ")
    if words[:2] == [b"PROXY", b"UNKNOWN"]:
        return ProxyHeader(1, "PROXY", None, None, raw=line)
    if len(words) != 6 or words[1] not in _FAMILIES:
        raise InvalidProxyHeader("a header of version 1 has a known family, two addresses and two ports")
    family = _FAMILIES[words[1]]
    kind: Any = IPv4Address if family == socket.AF_INET else IPv6Address
    source, destination = (
        kind("TCP", _host(family, host), _port(port)) for host, port in zip(words[2:4], words[4:], strict=True)
    )
    return ProxyHeader(1, "PROXY", source, destination, raw=line)


def _host(family: int, text: bytes) -> str:
    try:
        if b"\0" in text:
            raise ValueError("PyPy's inet_pton reads to the NUL")
        return socket.inet_ntop(family, socket.inet_pton(family, text.decode("ascii")))
    except (OSError, ValueError):
        raise InvalidProxyHeader(f"{text!r} is no address of the family that is announced") from None


def _port(text: bytes) -> int:
    if _PORT.fullmatch(text) is None or int(text) > 0xFFFF:
        raise InvalidProxyHeader(f"{text!r} is no port number")
    return int(text)


def _checkCommand(byte: int) -> None:
    if byte >> 4 != 2 or byte & 0xF > 1:
        raise InvalidProxyHeader(f"the byte {byte:#04x} is no command of version 2")


def parseV2(header: bytes) -> ProxyHeader:
    """Return the header that `header`, a whole one, is in version 2. InvalidProxyHeader if it is none."""
    if len(header) < FIXED or not header.startswith(SIGNATURE) or len(header) != FIXED + int.from_bytes(header[14:16]):
        raise InvalidProxyHeader("a header of version 2 has a signature and the length that it tells")
    command, family, protocol = header[12], header[13] >> 4, header[13] & 0xF
    _checkCommand(command)
    if not command & 0xF:
        # The rest, the family included, has no meaning and is skipped.
        return ProxyHeader(2, "LOCAL", None, None, raw=header)
    if family not in _SIZES or protocol > 2:
        raise InvalidProxyHeader(f"the byte {header[13]:#04x} is no family and protocol")
    if bool(family) != bool(protocol):  # half unspecified: the place where the TLVs begin is not known
        return ProxyHeader(2, "PROXY", None, None, raw=header)
    start = FIXED + _SIZES[family]
    if len(header) < start:
        raise InvalidProxyHeader("a header is shorter than the addresses of its family")
    source, destination = _addresses(family, protocol, header[FIXED:start])
    tlvs = _parseTLVs(header[start:])
    _checkTLVs(header, start, tlvs)
    ssl = find(tlvs, SSL)
    return ProxyHeader(2, "PROXY", source, destination, tlvs, None if ssl is None else _parseSSL(ssl), header)


def _addresses(family: int, protocol: int, block: bytes) -> tuple[Any, Any]:
    if not family:
        return None, None
    if family == 0x3:
        return _path(block[:108]), _path(block[108:])
    kind: SocketType = "TCP" if protocol == 1 else "UDP"
    make: Any = IPv4Address if family == 0x1 else IPv6Address
    number = socket.AF_INET if family == 0x1 else socket.AF_INET6
    size = (len(block) - 4) // 2
    hosts = (block[:size], block[size : 2 * size])
    ports = struct.unpack("!HH", block[-4:])
    source, destination = (
        make(kind, socket.inet_ntop(number, host), port) for host, port in zip(hosts, ports, strict=True)
    )
    return source, destination


def _path(padded: bytes) -> UNIXAddress:
    """Return the address of a padded path. An abstract name begins with a NUL, and may hold more."""
    name = b"\0" + padded[1:].rstrip(b"\0") if padded.startswith(b"\0") else padded.partition(b"\0")[0]
    return UNIXAddress(None if name == b"\0" else name)


def _parseTLVs(data: bytes) -> tuple[TLV, ...]:
    found = []
    while data:
        if len(data) < 3 or len(data) < 3 + (length := int.from_bytes(data[1:3])):
            raise InvalidProxyHeader("a TLV is longer than its header")
        found.append((data[0], data[3 : 3 + length]))
        data = data[3 + length :]
    return tuple(found)


def _parseSSL(value: bytes) -> SSLInfo:
    if len(value) < 5:
        raise InvalidProxyHeader("a TLV of type SSL has at least 5 bytes")
    client, verify = struct.unpack("!BI", value[:5])
    return SSLInfo(client, verify, _parseTLVs(value[5:]))


def _checkTLVs(header: bytes, start: int, tlvs: tuple[TLV, ...]) -> None:
    """Verify the checksum, if there is one, and the length of a unique ID."""
    place, sums = start, 0
    for kind, value in tlvs:
        place += 3
        if kind == CRC32C:
            sums += 1
            blank = header[:place] + bytes(len(value)) + header[place + len(value) :]
            if len(value) != 4 or sums > 1 or crc32c(blank) != int.from_bytes(value):
                raise InvalidProxyHeader("the checksum is wrong")
        elif kind == UNIQUE_ID and len(value) > LONGEST_UNIQUE_ID:
            raise InvalidProxyHeader(f"a unique ID of {len(value)} bytes is longer than {LONGEST_UNIQUE_ID}")
        place += len(value)
