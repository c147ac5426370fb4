"""Addresses: values that compare, hash, print and refuse, beside Twisted's."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import socket
from typing import Any

import pytest
from twisted.internet import abstract
from twisted.internet import address as theirs

from reactor import address as ours
from reactor.address import IPv4Address, IPv6Address, UNIXAddress, fromSocketName, isIPAddress, isIPv6Address

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


def test_theyDoNotChange() -> None:
    for name, args in MAKERS:
        each = getattr(ours, name)(*args)
        for field in dataclasses.fields(each):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(each, field.name, None)


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


def test_fromSocketName() -> None:
    assert fromSocketName(socket.AF_INET, ("127.0.0.1", 80)) == IPv4Address("TCP", "127.0.0.1", 80)
    assert fromSocketName(socket.AF_INET, ("127.0.0.1", 80), "UDP") == IPv4Address("UDP", "127.0.0.1", 80)
    assert fromSocketName(socket.AF_INET6, ("::1", 80, 3, 4)) == IPv6Address("TCP", "::1", 80, 3, 4)
