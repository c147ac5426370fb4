"""Addresses: values that compare, hash, print and refuse, beside Twisted's."""

from __future__ import annotations

import copy
import encodings.idna
import os
import pathlib
import pickle
import socket
from typing import Any

import pytest
from twisted.internet import abstract
from twisted.internet import address as theirs

from reactor import address as ours
from reactor.address import (
    HostnameAddress,
    IPv4Address,
    IPv6Address,
    UNIXAddress,
    destinationOf,
    encodeHostname,
    fromSocketName,
    isIPAddress,
    isIPv6Address,
)

LO = socket.if_nametoindex("lo")

MAKERS: list[tuple[str, tuple[Any, ...]]] = [
    ("IPv4Address", ("TCP", "127.0.0.1", 80)),
    ("IPv4Address", ("UDP", "127.0.0.1", 80)),
    ("IPv4Address", ("TCP", "127.0.0.2", 80)),
    ("IPv4Address", ("TCP", "127.0.0.1", 81)),
    ("IPv6Address", ("TCP", "::1", 80)),
    ("IPv6Address", ("TCP", "::1", 80, 0, 0)),
    ("IPv6Address", ("TCP", "::1", 80, 1, 0)),
    ("IPv6Address", ("TCP", "::1", 80, 0, "eth0")),
    ("HostnameAddress", (b"example.com", 80)),
    ("HostnameAddress", (b"example.com", 81)),
    ("UNIXAddress", ("/nowhere/socket",)),
    ("UNIXAddress", (b"/nowhere/socket",)),
    ("UNIXAddress", ("/nowhere/else",)),
    ("UNIXAddress", (b"\0abstract",)),
    ("UNIXAddress", (None,)),
]


def test_equalityAndHash() -> None:
    own = [getattr(ours, name)(*args) for name, args in MAKERS]
    their = [getattr(theirs, name)(*args) for name, args in MAKERS]
    for i in range(len(MAKERS)):
        for j in range(len(MAKERS)):
            assert (own[i] == own[j]) == (their[i] == their[j]), (own[i], own[j])
            if own[i] == own[j]:
                assert hash(own[i]) == hash(own[j])
        assert own[i] != MAKERS[i][1]
    assert len({repr(each) for each in own}) == len(set(own))


def test_programsMayChangeThem() -> None:
    """As Twisted's. Programs write what they know besides into the addresses that they get."""
    for module in (ours, theirs):
        for name, args in MAKERS:
            if module is theirs and name == "UNIXAddress":
                continue  # Twisted's asks the file system for an abstract name
            each, same = getattr(module, name)(*args), getattr(module, name)(*args)
            each.country = "none"
            assert (each.country, each, hash(each)) == ("none", same, hash(same))
            assert not hasattr(same, "country")
            for version in range(pickle.HIGHEST_PROTOCOL + 1):
                for copied in (pickle.loads(pickle.dumps(each, version)), copy.copy(each), copy.deepcopy(each)):
                    assert (type(copied), copied, copied.country) == (type(each), each, "none")
                    copied.country = "another"
            assert each.country == "none"
            field = "name" if name == "UNIXAddress" else "port"
            setattr(each, field, b"/changed" if field == "name" else 4242)
            assert each != same


@pytest.mark.parametrize(
    ("family", "name", "expected"),
    [
        (socket.AF_INET, ("127.0.0.1", 80), IPv4Address("UDP", "127.0.0.1", 80)),
        (socket.AF_INET6, ("::1", 80, 1, 0), IPv6Address("UDP", "::1", 80, 1, 0)),
        (socket.AF_INET6, ("fe80::1", 80, 1, LO), IPv6Address("UDP", "fe80::1%lo", 80, 1, LO)),
        (socket.AF_INET6, ("fe80::1", 80, 0, 999999), IPv6Address("UDP", "fe80::1%999999", 80, 0, 999999)),
    ],
)
def test_whatSocketNamesBecome(family: int, name: tuple[Any, ...], expected: Any) -> None:
    made = fromSocketName(family, name, "UDP")
    assert type(made) is type(expected)
    assert (made, hash(made), repr(made)) == (expected, hash(expected), repr(expected))
    assert pickle.loads(pickle.dumps(made)) == made.__replace__() == copy.copy(made) == expected
    made.port, made.country = 81, "none"  # type: ignore[union-attr]
    assert made != expected


@pytest.mark.parametrize("kind", [IPv4Address, IPv6Address])
def test_wrongTypes(kind: Any) -> None:
    with pytest.raises(ValueError, match="SCTP"):
        kind("SCTP", "127.0.0.1", 80)


def test_unixAddresses(tmp_path: pathlib.Path) -> None:
    real, link, other = tmp_path / "real", tmp_path / "link", tmp_path / "other"
    real.touch()
    other.touch()
    os.symlink(real, link)
    assert UNIXAddress(real) == UNIXAddress(str(link)) == UNIXAddress(os.fsencode(real))
    assert hash(UNIXAddress(real)) == hash(UNIXAddress(link))
    assert UNIXAddress(real) != UNIXAddress(other)
    assert UNIXAddress(None) != UNIXAddress(real)
    assert UNIXAddress(real).name == os.fsencode(real)
    assert repr(UNIXAddress(None)) == "UNIXAddress(None)"
    assert repr(UNIXAddress("/x")) == "UNIXAddress('/x')"


TEXTS = ["127.0.0.1", "127.1", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "", " 127.0.0.1", "::1", "::", "fe80::1%eth0"]
TEXTS += [
    "fe80::1%",
    "fe80::1%a%b",
    "%eth0",
    "1.2.3.4%eth0",
    ":::",
    "g::1",
    "localhost",
    "127.0.0.1\0",
    "::ffff:1.2.3.4",
]


@pytest.mark.parametrize("text", TEXTS)
def test_literals(text: str) -> None:
    assert isIPAddress(text) == _is(socket.AF_INET, text)
    assert isIPAddress(text, socket.AF_INET6) == isIPv6Address(text)
    if "%" not in text:
        assert isIPv6Address(text) == _is(socket.AF_INET6, text)
    if "\0" not in text and text not in ("01.2.3.4", "%eth0"):
        # Twisted takes leading zeros (which mean octal elsewhere), and passes an empty address before a scope.
        assert isIPAddress(text) == abstract.isIPAddress(text)
        if text not in ("fe80::1%a%b",):
            assert isIPv6Address(text) == abstract.isIPv6Address(text)


def _is(family: int, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except (OSError, ValueError):
        return False
    return True


def test_scopes() -> None:
    assert isIPv6Address("fe80::1%eth0")
    assert not isIPv6Address("fe80::1%a%b")
    with pytest.raises(ValueError, match="family"):
        isIPAddress("127.0.0.1", socket.AF_UNIX)


def test_aNULIsInNoAddress(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyPy's functions read to a NUL, and CPython's refuse it."""
    convert = socket.inet_pton
    monkeypatch.setattr(socket, "inet_pton", lambda family, text: convert(family, text.partition("\0")[0]))
    assert socket.inet_pton(socket.AF_INET, "127.0.0.1\0x")
    assert not isIPAddress("127.0.0.1\0x")
    assert not isIPv6Address("::1\0x")


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("example.com", b"example.com"),
        ("example.com.", b"example.com."),
        ("b\xfccher.example", b"xn--bcher-kva.example"),
        ("_a-b.1a", b"_a-b.1a"),
        (".".join(["x" * 49] * 5) + ".y.z", b".".join([b"x" * 49] * 5) + b".y.z"),
        (".".join(["x" * 62] * 4) + ".", b".".join([b"x" * 62] * 4) + b"."),
    ],
)
def test_hostNames(name: str, encoded: bytes) -> None:
    assert encodeHostname(name) == encoded
    assert destinationOf(name, 7) == HostnameAddress(encoded, 7)


# Names that the C library cuts at the NUL, or takes for an address, also when they are written in other scripts. (RFC
# 3490 has digits and full stops of all kinds made ASCII.)
NO_NAMES = [
    *("", ".", "a..b", ".a", "x" * 64 + ".example", "x." * 128, "\xfc." * 126, "\ud800"),
    *("localhost\0.example", "localhost\0", "\0"),
    *("127.1", "0x7f.1", "0", "2130706433", "0x7f000001", "010.0.0.1", "127.0.0.01", "\u2460\u2461\u2466.1"),
    *("127\u30020\u30020\u30021", "\uff11\uff12\uff17.0.0.1", "\uff1a\uff1a1"),
]


@pytest.mark.parametrize("name", NO_NAMES)
def test_whatIsNoHostName(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  each has its own words
        encodeHostname(name)
    assert destinationOf(name, 7) == HostnameAddress(name.encode("utf-8", "replace"), 7)


def test_aLongNameCostsNothing() -> None:
    """Making a million such characters ASCII takes seconds (CVE-2022-45061 was about more)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encodings.idna, "nameprep", None)
        with pytest.raises(ValueError, match="this one 1000000"):
            encodeHostname("\xfc" * 1_000_000)


def test_fromSocketName() -> None:
    assert fromSocketName(socket.AF_INET, ("127.0.0.1", 80)) == IPv4Address("TCP", "127.0.0.1", 80)
    assert fromSocketName(socket.AF_INET, ("127.0.0.1", 80), "UDP") == IPv4Address("UDP", "127.0.0.1", 80)
    assert fromSocketName(socket.AF_INET6, ("::1", 80, 3, 0)) == IPv6Address("TCP", "::1", 80, 3)
