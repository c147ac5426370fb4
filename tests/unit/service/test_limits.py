"""Limits: what cannot be is an error where it is made. Networks, buckets and groups by themselves."""

from __future__ import annotations

import ipaddress
import sys
from typing import Any

import pytest

from reactor.address import IPv4Address, IPv6Address, UNIXAddress
from reactor.service import Keepalive, Limits
from reactor.service.buckets import Bucket, Groups
from reactor.service.networks import addressOf, groupOf, isIn, networkOf


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"maxConnections": -1}, ValueError, "maxConnections is at least 0, not -1"),
        ({"maxConnections": 1.5}, TypeError, "maxConnections is a whole number"),
        ({"maxPerAddress": -1}, ValueError, "maxPerAddress is at least 0"),
        ({"maxOutput": 0}, ValueError, "maxOutput is at least 1"),
        ({"maxPending": 0}, ValueError, "maxPending is at least 1"),
        ({"backlog": -1}, ValueError, "backlog is at least 0"),
        ({"lineDeadline": 0}, ValueError, "lineDeadline is more than 0 seconds"),
        ({"lineDeadline": "5"}, TypeError, "lineDeadline is a number of seconds, not '5'"),
        ({"idleTimeout": float("inf")}, ValueError, "idleTimeout is more than 0 seconds, and finite"),
        ({"lineRate": 0}, ValueError, "lineRate is more than 0 lines a second"),
        ({"maxPending": sys.maxsize + 1}, ValueError, "maxPending is at most 9223372036854775807"),
        ({"backlog": 1 << 31}, ValueError, "backlog is at most 2147483647"),
        ({"userTimeout": 2147484}, ValueError, "userTimeout is at most 2147483 seconds"),
        ({"byteRate": b"x"}, TypeError, "byteRate is a number of bytes a second"),
        ({"addressLineRate": -1}, ValueError, "addressLineRate is more than 0"),
        ({"addressByteRate": -1}, ValueError, "addressByteRate is more than 0"),
        ({"burst": None}, TypeError, "burst is a number of seconds, not None"),
        ({"burst": 0}, ValueError, "burst is more than 0"),
        ({"userTimeout": 0}, ValueError, "userTimeout is more than 0"),
        ({"refusal": "full"}, TypeError, "refusal is bytes, not str"),
        ({"addressPrefix": 24}, TypeError, "addressPrefix is two lengths"),
        ({"addressPrefix": (33, 64)}, ValueError, "at most 32 bits for IPv4"),
        ({"allow": "10.0.0.0/8"}, TypeError, "allow is a list of networks"),
        ({"deny": ["10.0.0.1/8"]}, ValueError, "has host bits set"),
        ({"deny": [7]}, TypeError, "a network is text or an ipaddress network"),
        ({"idleTimeout": 0.04}, ValueError, "idleTimeout is at least 0.05 seconds, not 0.04"),
        ({"lineDeadline": 1e-9}, ValueError, "lineDeadline is at least 0.05 seconds"),
        ({"keepalive": 60}, TypeError, "keepalive is three whole numbers"),
        ({"keepalive": (60, 10)}, None, ""),
        ({"keepalive": (0, 10, 5)}, ValueError, "the numbers of keepalive are from 1 to 32767"),
    ],
)
def test_whatCannotBeIsAnError(given: dict[str, Any], error: Any, text: str) -> None:
    if error is None:
        assert Limits(**given).keepalive == Keepalive(*given["keepalive"])
        return
    with pytest.raises(error, match=text):
        Limits(**given)


def test_limitsAreValues() -> None:
    assert Limits(deny=["192.0.2.0/24"]) == Limits(deny=(ipaddress.ip_network("192.0.2.0/24"),))
    assert hash(Limits(maxConnections=5)) == hash(Limits(maxConnections=5))
    with pytest.raises(AttributeError):
        Limits().maxConnections = 5  # type: ignore[misc]


def test_addressesOfPeers() -> None:
    assert addressOf(IPv4Address("TCP", "192.0.2.1", 1)) == ipaddress.ip_address("192.0.2.1")
    assert addressOf(IPv6Address("TCP", "::ffff:192.0.2.1", 1)) == ipaddress.ip_address("192.0.2.1")
    assert addressOf("fe80::1%lo") == ipaddress.ip_address("fe80::1")
    assert addressOf(UNIXAddress(b"/run/x")) is None
    assert addressOf("host") is None


def test_networks() -> None:
    mapped = ipaddress.ip_address("10.1.2.3")
    assert isIn(mapped, [networkOf("::ffff:10.0.0.0/104")])
    assert not isIn(mapped, [networkOf("2001:db8::/32"), networkOf("10.1.2.4")])


@pytest.mark.parametrize(
    ("host", "prefixes", "name"),
    [
        ("192.0.2.77", (32, 64), "192.0.2.77"),
        ("192.0.2.77", (24, 64), "192.0.2.0/24"),
        ("2001:db8::1:2", (32, 64), "2001:db8::/64"),
        ("2001:db8::1:2", (32, 128), "2001:db8::1:2"),
        ("::ffff:192.0.2.77", (32, 64), "192.0.2.77"),
    ],
)
def test_groups(host: str, prefixes: tuple[int, int], name: str) -> None:
    assert groupOf(addressOf(host), prefixes) == name


def test_aBucketFillsAtItsRate() -> None:
    bucket = Bucket(10.0, 2.0, now=0.0)
    bucket.take(20, 0.0)
    assert bucket.wait == pytest.approx(0.1)
    bucket.take(0, 0.1)
    assert bucket.wait == 0
    bucket.take(11, 0.1)
    assert bucket.tokens == pytest.approx(-10)
    assert bucket.wait == pytest.approx(1.1)
    assert not bucket.isFull(3.0)
    assert bucket.isFull(3.2)
    bucket.take(0, 100.0)
    assert bucket.tokens == 20  # no more than the burst


def test_aGroupInDebtOutlivesItsConnections() -> None:
    """Otherwise a client would come back for another burst."""
    groups = Groups(10.0, None, 1.0)
    group = groups.enter("a", 0.0)
    assert group.lineBucket is not None
    group.lineBucket.take(30, 0.0)
    groups.leave("a", 0.0)
    assert groups.enter("a", 1.0) is group
    groups.leave("a", 60.0)
    assert groups.enter("a", 60.0) is not group


def test_groupsAreForgotten() -> None:
    groups = Groups(10.0, None, 1.0)
    for number in range(3000):
        group = groups.enter(str(number), number)
        assert group.lineBucket is not None
        group.lineBucket.take(5, number)
        groups.leave(str(number), number)
    assert len(groups._groups) <= 1025
