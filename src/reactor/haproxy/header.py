"""The header of the PROXY protocol as a value, and the bytes of a new one: versions 1 and 2.

The rules are those of HAProxy's proxy-protocol.txt; the sections in the docstrings are its sections.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from reactor.address import Address, IPv4Address, IPv6Address, UNIXAddress, checkPort

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
FIXED = 16  # bytes of a header of version 2 before its addresses
LONGEST_UNIQUE_ID = 128
_VERSION, _LOCAL, _PROXY = 0x20, 0x00, 0x01
_PATH = 108  # bytes of a path in a header

# The types of TLVs (2.2), and those within one of type SSL (2.2.6).
ALPN = 0x01
AUTHORITY = 0x02
CRC32C = 0x03
NOOP = 0x04
UNIQUE_ID = 0x05
SSL = 0x20
NETNS = 0x30
SSL_VERSION = 0x21
SSL_CN = 0x22
SSL_CIPHER = 0x23
SSL_SIG_ALG = 0x24
SSL_KEY_ALG = 0x25
SSL_GROUP = 0x26
SSL_SIG_SCHEME = 0x27
SSL_CLIENT_CERT = 0x28

# The flags of `SSLInfo.client`.
CLIENT_SSL = 0x01
CLIENT_CERT_CONN = 0x02
CLIENT_CERT_SESS = 0x04

TLV: TypeAlias = tuple[int, bytes]
Command: TypeAlias = Literal["PROXY", "LOCAL"]


class InvalidProxyHeader(ValueError):
    """The first bytes of a connection are no header of the PROXY protocol; the text says why."""


def find(tlvs: Iterable[TLV], kind: int) -> bytes | None:
    """Return the value of the first TLV of the type `kind`, None if there is none."""
    return next((value for each, value in tlvs if each == kind), None)


def _text(value: bytes | None) -> str | None:
    """Return a TLV's text. Bytes that are not UTF-8 become backslash escapes: a client may have chosen them."""
    return None if value is None else value.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class SSLInfo:
    """The TLS between the client and the balancer (2.2.6).

    `client` has the flags CLIENT_SSL, CLIENT_CERT_CONN and CLIENT_CERT_SESS. `verify` is 0 if the client has shown a
    certificate and the balancer has verified it. `tlvs` are the pairs of type and value.
    """

    client: int
    verify: int
    tlvs: tuple[TLV, ...] = ()

    def find(self, kind: int) -> bytes | None:
        """Return the value of the first TLV of the type `kind`, None if there is none."""
        return find(self.tlvs, kind)

    @property
    def isTLS(self) -> bool:
        """Whether the client has connected with TLS."""
        return bool(self.client & CLIENT_SSL)

    @property
    def isVerified(self) -> bool:
        """Whether the client has shown a certificate, on this connection or in its session, that was verified."""
        return bool(self.client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS)) and self.verify == 0

    @property
    def version(self) -> str | None:
        """The version of TLS, for example "TLSv1.3"."""
        return _text(self.find(SSL_VERSION))

    @property
    def commonName(self) -> str | None:
        """The common name of the client's certificate."""
        return _text(self.find(SSL_CN))

    @property
    def cipher(self) -> str | None:
        """The name of the cipher suite."""
        return _text(self.find(SSL_CIPHER))

    @property
    def signatureAlgorithm(self) -> str | None:
        """The algorithm that has signed the balancer's certificate, for example "RSA-SHA256"."""
        return _text(self.find(SSL_SIG_ALG))

    @property
    def keyAlgorithm(self) -> str | None:
        """The algorithm of the key of the balancer's certificate, for example "RSA2048"."""
        return _text(self.find(SSL_KEY_ALG))

    @property
    def group(self) -> str | None:
        """The group of the key exchange, for example "secp256r1"."""
        return _text(self.find(SSL_GROUP))

    @property
    def signatureScheme(self) -> str | None:
        """The scheme of the balancer's signature in the handshake, for example "rsa_pss_rsae_sha256"."""
        return _text(self.find(SSL_SIG_SCHEME))

    @property
    def clientCertificate(self) -> bytes | None:
        """The client's certificate in DER."""
        return self.find(SSL_CLIENT_CERT)


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A header of the PROXY protocol: the ends of the connection that a balancer passes on.

    - `version`: 1 or 2.
    - `command`: "PROXY", or "LOCAL" for a connection of the balancer's own, for example a health check.
    - `source`, `destination`: the client's address and the one that it has connected to. Both are None if the header
      names none: for LOCAL, and for an unknown protocol. The real addresses count then.
    - `tlvs`: the pairs of type and value of version 2, in order, unknown ones too.
    - `raw`: the header's own bytes.
    """

    version: int
    command: Command
    source: Address | None
    destination: Address | None
    tlvs: tuple[TLV, ...] = ()
    ssl: SSLInfo | None = None
    raw: bytes = b""

    def find(self, kind: int) -> bytes | None:
        """Return the value of the first TLV of the type `kind`, None if there is none."""
        return find(self.tlvs, kind)

    @property
    def alpn(self) -> bytes | None:
        """The protocol that the client and the balancer have agreed on (2.2.1), for example b"h2"."""
        return self.find(ALPN)

    @property
    def authority(self) -> str | None:
        """The host name that the client asks for, as by SNI (2.2.2)."""
        return _text(self.find(AUTHORITY))

    @property
    def uniqueId(self) -> bytes | None:
        """The balancer's name for the connection (2.2.5), at most 128 bytes."""
        return self.find(UNIQUE_ID)

    @property
    def netns(self) -> str | None:
        """The name of the network namespace (2.2.7)."""
        return _text(self.find(NETNS))


def _castagnoli() -> list[int]:
    table = []
    for number in range(256):
        for _ in range(8):
            number = (number >> 1) ^ (0x82F63B78 if number & 1 else 0)
        table.append(number)
    return table


_TABLE = _castagnoli()


def crc32c(data: bytes) -> int:
    """Return the CRC32c of `data` (RFC 4960, appendix B)."""
    table, crc = _TABLE, 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def encodeV1(source: Address | None = None, destination: Address | None = None) -> bytes:
    """Return a header of version 1 (2.1), a line of text.

    Without addresses, and for UNIX sockets, it says that they are unknown. ValueError unless both addresses are of one
    family.
    """
    if source is None or destination is None or _familyOf(source, destination) is UNIXAddress:
        return b"PROXY UNKNOWN\r\n"
    family = b"TCP4" if isinstance(source, IPv4Address) else b"TCP6"
    hosts = [_hostOf(each).encode("ascii") for each in (source, destination)]
    ports = [b"%d" % each.port for each in (source, destination)]  # type: ignore[union-attr]
    return b" ".join([b"PROXY", family, *hosts, *ports]) + b"\r\n"


def encodeV2(
    source: Address | None = None,
    destination: Address | None = None,
    tlvs: Iterable[TLV] = (),
    local: bool = False,
    checksum: bool = False,
) -> bytes:
    """Return a header of version 2 (2.2).

    `tlvs` are pairs of a type, 0 to 255, and bytes. `local` says that the connection is this side's own and relays
    nothing. `checksum` adds a CRC32c. Without addresses the header says that they are unknown. ValueError for addresses
    of two families, and for TLVs that do not fit.
    """
    family, addresses = 0x00, b""
    if not local and source is not None and destination is not None:
        family, addresses = _packed(source, destination)
    body = addresses + b"".join(_encodeTLV(kind, value) for kind, value in tlvs)
    if checksum:
        body += _encodeTLV(CRC32C, bytes(4))
    if len(body) > 0xFFFF:
        raise ValueError(f"a header has room for 65535 bytes, not for {len(body)}")
    command = _LOCAL if local else _PROXY
    header = SIGNATURE + struct.pack("!BBH", _VERSION | command, family, len(body)) + body
    return header[:-4] + struct.pack("!I", crc32c(header)) if checksum else header


def encodeSSL(info: SSLInfo) -> TLV:
    """Return the TLV of type SSL for `info`."""
    tlvs = b"".join(_encodeTLV(kind, value) for kind, value in info.tlvs)
    return SSL, struct.pack("!BI", info.client, info.verify) + tlvs


def _encodeTLV(kind: int, value: bytes) -> bytes:
    if kind == UNIQUE_ID and len(value) > LONGEST_UNIQUE_ID:
        raise ValueError(f"a unique ID has at most {LONGEST_UNIQUE_ID} bytes, not {len(value)}")
    try:
        return struct.pack("!BH", kind, len(value)) + value
    except struct.error:
        raise ValueError(f"a TLV has a type up to 255 and 65535 bytes, not {kind!r} and {len(value)}") from None


def _familyOf(source: Address, destination: Address) -> type[Any]:
    """Return the class of both addresses. ValueError if they have two classes, or no header can name them."""
    kind = type(source)
    if type(destination) is not kind or not isinstance(source, IPv4Address | IPv6Address | UNIXAddress):
        raise ValueError(f"a header names two addresses of one family, not {source} and {destination}")
    return kind


def _hostOf(address: Any) -> str:
    """Return the literal address of `address` in its canonical form, without a scope. ValueError if it is none."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    checkPort(address.port)
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address.host.partition("%")[0]))
    except OSError:
        raise ValueError(f"{address.host!r} is not known as a literal address") from None


def _packed(source: Any, destination: Any) -> tuple[int, bytes]:
    """Return the byte of family and protocol, and the block of addresses."""
    kind = _familyOf(source, destination)
    if kind is UNIXAddress:
        return 0x31, b"".join(_packedPath(each) for each in (source, destination))
    family, number = (socket.AF_INET, 0x10) if kind is IPv4Address else (socket.AF_INET6, 0x20)
    pack: Callable[[Any], bytes] = lambda each: socket.inet_pton(family, _hostOf(each))  # noqa: E731
    hosts = pack(source) + pack(destination)
    return number | (0x1 if source.type == "TCP" else 0x2), hosts + struct.pack("!HH", source.port, destination.port)


def _packedPath(address: UNIXAddress) -> bytes:
    name = address.name or b""
    if len(name) > _PATH:
        raise ValueError(f"a header has room for {_PATH} bytes of a path, not for {os.fsdecode(name)!r}")
    return name.ljust(_PATH, b"\0")
