"""Headers of the PROXY protocol, as bytes and as values: every rule of the specification, whole and byte by byte."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from reactor.haproxy import HeaderParser, InvalidProxyHeader, ProxyHeader, SSLInfo, encodeSSL, encodeV1, encodeV2
from reactor.haproxy import header as names
from reactor.haproxy.header import SIGNATURE, crc32c
from reactor.haproxy.parser import MAX_V1, MAX_V2, parseV2

CLIENT, SERVER = IPv4Address("TCP", "192.0.2.1", 56324), IPv4Address("TCP", "198.51.100.7", 443)
CLIENT6, SERVER6 = IPv6Address("TCP", "2001:db8::1", 1), IPv6Address("TCP", "::1", 65535)
TEXT = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n"
TEXT6 = b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"
BINARY = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 1, 198, 51, 100, 7]) + struct.pack("!HH", 56324, 443)
LONGEST = b"PROXY UNKNOWN " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n"


def binary(body: bytes = b"", command: int = 0x21, family: int = 0x11, length: int | None = None) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body) if length is None else length) + body


def parse(data: bytes, **settings: Any) -> tuple[ProxyHeader, bytes] | None:
    """Parse `data` whole, and byte by byte; both have one answer."""
    whole: Any
    pieces: Any
    try:
        whole = HeaderParser(**settings).feed(data)
    except InvalidProxyHeader:
        whole = InvalidProxyHeader
    parser, rest, pieces = HeaderParser(**settings), b"", None
    try:
        for number in range(len(data)):
            if pieces is None:
                pieces = parser.feed(data[number : number + 1])
            else:
                rest += data[number : number + 1]
        if pieces is not None:
            pieces = (pieces[0], pieces[1] + rest)
    except InvalidProxyHeader:
        pieces = InvalidProxyHeader
    assert pieces == whole
    if whole is InvalidProxyHeader:
        raise InvalidProxyHeader
    found: tuple[ProxyHeader, bytes] | None = whole
    return found


def only(data: bytes) -> ProxyHeader:
    """Parse one whole header with bytes behind it, which come back untouched."""
    found = parse(data + b"GET /\r\nPROXY \r\n")
    assert found is not None
    assert found[1] == b"GET /\r\nPROXY \r\n"
    assert found[0].raw == data
    return found[0]


class TestVersion1:
    def test_addresses(self) -> None:
        assert only(TEXT) == ProxyHeader(1, "PROXY", CLIENT, SERVER, raw=TEXT)
        assert only(TEXT6) == ProxyHeader(1, "PROXY", CLIENT6, SERVER6, raw=TEXT6)

    def test_canonicalText(self) -> None:
        header = only(b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::FFFF:1.2.3.4 0 1\r\n")
        assert header.source == IPv6Address("TCP", "2001:db8::1", 0)
        assert header.destination == IPv6Address("TCP", "::ffff:1.2.3.4", 1)

    @pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN x  \xff\ny\r\n", LONGEST])
    def test_unknown(self, line: bytes) -> None:
        header = only(line)
        assert (header.command, header.source, header.destination) == ("PROXY", None, None)

    @pytest.mark.parametrize(
        "line",
        [
            b"GET / HTTP/1.1\r\n",
            b"proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY\r\n",
            b"PROXY \r\n",
            b"PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n",
            b"PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n",
            b"PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.256 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 1.2.3.4 1.2.3.4 1 1\r\n",
            b"PROXY TCP6 ::1%lo ::1 1 1\r\n",
            b"PROXY TCP6 1::2::3 ::1 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 -1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 \xd9\xa1\r\n",
            b"PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 1 1\rx\r\n",
        ],
    )
    def test_otherLinesAreInvalid(self, line: bytes) -> None:
        with pytest.raises(InvalidProxyHeader):
            parse(line)

    def test_aNULIsInNoAddress(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """PyPy's function reads to a NUL, and CPython's refuses it."""
        convert = socket.inet_pton
        monkeypatch.setattr(socket, "inet_pton", lambda family, text: convert(family, text.partition("\0")[0]))
        with pytest.raises(InvalidProxyHeader):
            parse(b"PROXY TCP4 1.2.3.4\0 1.2.3.4 1 1\r\n")

    def test_theLongestLine(self) -> None:
        assert len(LONGEST) == MAX_V1 == 107
        with pytest.raises(InvalidProxyHeader):
            parse(LONGEST[:-2] + b"5\r\n")
        with pytest.raises(InvalidProxyHeader):
            parse(b"PROXY UNKNOWN " + b"x" * 200)
        assert parse(LONGEST[:-2] + b"\r") is None  # 106 bytes, and the next may be the LF

    @pytest.mark.parametrize("end", [b"\n", b"\r"])
    def test_aLoneEndDoesNotEndTheLine(self, end: bytes) -> None:
        assert parse(TEXT[:-2] + end) is None


class TestVersion2:
    def test_addresses(self) -> None:
        assert only(BINARY) == ProxyHeader(2, "PROXY", CLIENT, SERVER, raw=BINARY)
        datagram = only(BINARY[:13] + b"\x12" + BINARY[14:])
        assert datagram.source == IPv4Address("UDP", CLIENT.host, CLIENT.port)
        body = b"".join(socket.inet_pton(socket.AF_INET6, each.host) for each in (CLIENT6, SERVER6))
        header = only(binary(body + struct.pack("!HH", 1, 65535), family=0x21))
        assert (header.source, header.destination) == (CLIENT6, SERVER6)

    @pytest.mark.parametrize(
        ("padded", "name"),
        [
            (b"/run/a", b"/run/a"),
            (b"\0abstract\0x", b"\0abstract\0x"),
            (b"", None),
            (b"/run/a\0rest", b"/run/a"),
            (b"x" * 108, b"x" * 108),
        ],
    )
    def test_paths(self, padded: bytes, name: bytes | None) -> None:
        header = only(binary(padded.ljust(108, b"\0") + b"/b".ljust(108, b"\0"), family=0x31))
        assert isinstance(header.source, UNIXAddress)
        assert header.source.name == name
        assert header.destination == UNIXAddress(b"/b")

    @pytest.mark.parametrize("family", [0x00, 0x11, 0xFF])
    @pytest.mark.parametrize("body", [b"", b"\x01", b"x" * 300])
    def test_localIgnoresTheRest(self, family: int, body: bytes) -> None:
        header = only(binary(body, 0x20, family))
        assert (header.command, header.source, header.destination, header.tlvs) == ("LOCAL", None, None, ())

    @pytest.mark.parametrize("family", [0x00, 0x01, 0x10, 0x20, 0x32 & 0xF0])
    def test_unspecified(self, family: int) -> None:
        header = only(binary(b"", 0x21, family))
        assert (header.command, header.source, header.destination) == ("PROXY", None, None)

    @pytest.mark.parametrize(
        "data",
        [
            SIGNATURE + b"\x11",
            SIGNATURE + b"\x31",
            SIGNATURE + b"\x22",
            SIGNATURE + b"\x2f",
            binary(BINARY[16:], family=0x41),
            binary(BINARY[16:], family=0x13),
            binary(BINARY[16:-1]),
            binary(b"", family=0x21),
            binary(b"x" * 215, family=0x31),
            binary(BINARY[16:] + b"\x01"),
            binary(BINARY[16:] + b"\x01\0"),
            binary(BINARY[16:] + b"\x01\0\x01"),
            binary(BINARY[16:] + b"\x01\xff\xffabc"),
            binary(BINARY[16:] + b"\x20\0\x04abcd"),
            binary(BINARY[16:] + b"\x20\0\x08\x01\0\0\0\0\x21\0\x09"),
            binary(BINARY[16:] + b"\x05\0\x81" + b"i" * 129),
            binary(BINARY[16:] + b"\x03\0\x04\0\0\0\0"),
            binary(BINARY[16:] + b"\x03\0\x03\0\0\0"),
            binary(b"junk", family=0x00),
            b"\r\n\r\n\0\r\nQUIT\r",
        ],
    )
    def test_otherBytesAreInvalid(self, data: bytes) -> None:
        with pytest.raises(InvalidProxyHeader):
            parse(data)

    def test_aLengthBeyondTheLimit(self) -> None:
        """The error comes with the length, before the bytes."""
        fits = binary(BINARY[16:] + b"\x04" + struct.pack("!H", MAX_V2 - 31) + bytes(MAX_V2 - 31))
        assert len(fits) == MAX_V2 == 4096
        assert only(fits).tlvs == ((names.NOOP, bytes(MAX_V2 - 31)),)
        with pytest.raises(InvalidProxyHeader, match="4097 bytes is longer than 4096"):
            HeaderParser().feed(binary(b"", length=MAX_V2 - 15))
        assert HeaderParser(maxLength=65551).feed(binary(b"", length=65535)) is None

    def test_whatVersionsAreAccepted(self) -> None:
        for data, other in ((TEXT, 2), (BINARY, 1)):
            with pytest.raises(InvalidProxyHeader):
                parse(data, versions=(other,))
            assert parse(data, versions=(3 - other,)) is not None

    def test_onlyWholeHeadersAreParsed(self) -> None:
        for data in (BINARY[:-1], BINARY + b"x", b"", TEXT):
            with pytest.raises(InvalidProxyHeader):
                parseV2(data)


class TestTLVs:
    SSL = SSLInfo(
        names.CLIENT_SSL | names.CLIENT_CERT_CONN,
        0,
        (
            (names.SSL_VERSION, b"TLSv1.3"),
            (names.SSL_CN, "Zoë".encode()),
            (names.SSL_CIPHER, b"TLS_AES_256_GCM_SHA384"),
            (names.SSL_SIG_ALG, b"RSA-SHA256"),
            (names.SSL_KEY_ALG, b"RSA2048"),
            (names.SSL_GROUP, b"secp256r1"),
            (names.SSL_SIG_SCHEME, b"rsa_pss_rsae_sha256"),
            (names.SSL_CLIENT_CERT, b"\x30\x82"),
        ),
    )

    def test_allOfThem(self) -> None:
        tlvs = (
            (names.ALPN, b"h2"),
            (names.AUTHORITY, b"example.org"),
            (names.NOOP, b"..."),
            (names.UNIQUE_ID, b"\0" * 128),
            (names.NETNS, b"blue"),
            (0xE0, b"own"),
            encodeSSL(self.SSL),
        )
        header = only(encodeV2(CLIENT, SERVER, tlvs, checksum=True))
        assert header.tlvs[:-1] == tlvs
        assert header.tlvs[-1][0] == names.CRC32C
        assert (header.alpn, header.authority, header.uniqueId, header.netns) == (
            b"h2",
            "example.org",
            bytes(128),
            "blue",
        )
        assert header.find(0xE0) == b"own"
        ssl = header.ssl
        assert ssl == self.SSL
        assert ssl is not None
        assert (ssl.isTLS, ssl.isVerified, ssl.version, ssl.commonName) == (True, True, "TLSv1.3", "Zoë")
        assert (ssl.cipher, ssl.signatureAlgorithm, ssl.keyAlgorithm) == (
            "TLS_AES_256_GCM_SHA384",
            "RSA-SHA256",
            "RSA2048",
        )
        assert (ssl.group, ssl.signatureScheme) == ("secp256r1", "rsa_pss_rsae_sha256")
        assert ssl.clientCertificate == b"\x30\x82"

    def test_none(self) -> None:
        header = only(BINARY)
        assert (header.alpn, header.authority, header.uniqueId, header.netns, header.ssl) == (None,) * 5
        ssl = SSLInfo(0, 0)
        assert (ssl.isTLS, ssl.isVerified, ssl.version, ssl.clientCertificate) == (False, False, None, None)
        assert not SSLInfo(names.CLIENT_SSL | names.CLIENT_CERT_CONN, 1).isVerified

    def test_namesThatClientsChoose(self) -> None:
        """The balancer passes on what a client sends as SNI. That must not cost more than its own connection."""
        header = only(encodeV2(CLIENT, SERVER, [(names.AUTHORITY, b"a\xffb\n")]))
        assert header.authority == "a\\xffb\n"
        assert header.find(names.AUTHORITY) == b"a\xffb\n"

    def test_theChecksum(self) -> None:
        assert crc32c(b"123456789") == 0xE3069283  # of the catalogue of CRCs
        good = encodeV2(CLIENT6, SERVER6, [(names.ALPN, b"h2")], checksum=True)
        assert only(good).source == CLIENT6
        kind = len(good) - 7  # another type, and there is no checksum
        for place in {*range(16, len(good))} - {kind}:
            bad = bytearray(good)
            bad[place] ^= 1
            with pytest.raises(InvalidProxyHeader):
                HeaderParser().feed(bytes(bad))

    def test_twoChecksumsAreInvalid(self) -> None:
        one = encodeV2(CLIENT, SERVER, [(names.CRC32C, bytes(4))])
        summed = one[:-4] + struct.pack("!I", crc32c(one))
        assert only(summed).source == CLIENT
        with pytest.raises(InvalidProxyHeader, match="checksum"):
            HeaderParser().feed(encodeV2(CLIENT, SERVER, [(names.CRC32C, summed[-4:])], checksum=True))


class TestEncoding:
    @pytest.mark.parametrize(
        ("source", "destination", "expected"),
        [
            (CLIENT, SERVER, TEXT),
            (CLIENT6, SERVER6, TEXT6),
            (IPv6Address("TCP", "fe80::1%eth0", 1), SERVER6, b"PROXY TCP6 fe80::1 ::1 1 65535\r\n"),
            (None, None, b"PROXY UNKNOWN\r\n"),
            (UNIXAddress("/a"), UNIXAddress(None), b"PROXY UNKNOWN\r\n"),
        ],
    )
    def test_version1(self, source: Any, destination: Any, expected: bytes) -> None:
        assert encodeV1(source, destination) == expected

    def test_version2(self) -> None:
        assert encodeV2(CLIENT, SERVER) == BINARY
        assert encodeV2() == binary(b"", 0x21, 0x00)
        assert encodeV2(CLIENT, SERVER, local=True) == binary(b"", 0x20, 0x00)

    @pytest.mark.parametrize(
        ("source", "destination"),
        [
            (CLIENT, SERVER),
            (CLIENT6, SERVER6),
            (IPv4Address("UDP", "192.0.2.1", 0), IPv4Address("UDP", "192.0.2.1", 0)),
            (UNIXAddress("/run/a"), UNIXAddress(None)),
            (UNIXAddress("\0name"), UNIXAddress("x" * 108)),
        ],
    )
    def test_backAndForth(self, source: Any, destination: Any) -> None:
        header = only(encodeV2(source, destination))
        assert (header.source, header.destination) == (source, destination)

    @pytest.mark.parametrize(
        ("source", "destination"),
        [
            (CLIENT, SERVER6),
            (CLIENT, UNIXAddress("/a")),
            (HostnameAddress(b"a", 1), HostnameAddress(b"a", 1)),
            (IPv4Address("TCP", "example.org", 1), SERVER),
            (IPv4Address("TCP", "1.2.3.4", 65536), SERVER),
        ],
    )
    def test_addressesThatNoHeaderNames(self, source: Any, destination: Any) -> None:
        for encode in (encodeV1, encodeV2):
            with pytest.raises(ValueError, match=r"family|literal|port is"):
                encode(source, destination)

    @pytest.mark.parametrize(
        "tlv", [(256, b""), (-1, b""), (1, bytes(65536)), (1, bytes(65530)), (names.UNIQUE_ID, bytes(129))]
    )
    def test_tlvsThatDoNotFit(self, tlv: tuple[int, bytes]) -> None:
        with pytest.raises(ValueError, match=r"TLV has|unique ID|has room"):
            encodeV2(CLIENT, SERVER, [tlv])

    def test_pathsThatDoNotFit(self) -> None:
        with pytest.raises(ValueError, match="108 bytes of a path"):
            encodeV2(UNIXAddress("x" * 109), UNIXAddress(None))


@given(st.sampled_from([b"", SIGNATURE, SIGNATURE + b"\x21\x11", b"PROXY TCP4 ", BINARY[:-3], BINARY]), st.binary())
def test_anyBytes(start: bytes, rest: bytes) -> None:
    """The answer to any bytes is a header with all the bytes behind it, or an error; nothing else is raised."""
    data = start + rest
    try:
        found = HeaderParser().feed(data)
    except InvalidProxyHeader:
        return
    if found is not None:
        header, behind = found
        assert header.raw + behind == data
