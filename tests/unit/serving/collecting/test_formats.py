"""The formats of lines: times and addresses, and JSON that keeps every byte."""

from __future__ import annotations

import base64
import json
import random

import pytest

from reactor.address import IPv4Address, IPv6Address, UNIXAddress
from reactor.serving.collecting.formats import addressText, asJSON, asText, prefixed, rfc3339
from reactor.stdio import PipeAddress

TIME = 1_000_000_000.25
SHOWN = "2001-09-09T01:46:40.250000Z"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(TIME, SHOWN), (0, "1970-01-01T00:00:00.000000Z"), (4_102_444_800, "2100-01-01T00:00:00.000000Z")],
)
def test_times(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (IPv4Address("TCP", "192.0.2.1", 514), "192.0.2.1:514"),
        (IPv6Address("TCP", "2001:db8::1", 514), "[2001:db8::1]:514"),
        (IPv6Address("TCP", "fe80::1%eth0", 514), "[fe80::1%eth0]:514"),
        (("192.0.2.1", 514), "192.0.2.1:514"),
        (("2001:db8::1", 514), "[2001:db8::1]:514"),
        (UNIXAddress("/run/app"), "unix:/run/app"),
        (UNIXAddress(None), "unix:"),
        (None, "unix:"),
        (b"/run/a b\n\xff", r"unix:/run/a\x20b\n\udcff"),
        (UNIXAddress("\0abstract"), r"unix:\x00abstract"),
        (PipeAddress(), "stdio"),
        ("other", "unix:other"),
        (object, "<class\\x20'object'>"),
    ],
)
def test_addresses(address: object, text: str) -> None:
    assert addressText(address) == text
    assert " " not in text


def test_theTextItself() -> None:
    lines = [b"a", b""]
    assert asText(lines, "peer", "name") is lines


def test_aPrefix() -> None:
    """One time for a read."""
    now = iter([TIME, 0.0])
    made = prefixed(lambda: next(now))([b"a", b"", b"\xff b"], "192.0.2.1:514", "name")
    prefix = f"{SHOWN} 192.0.2.1:514 ".encode()
    assert made == [prefix + b"a", prefix, prefix + b"\xff b"]


def test_JSON() -> None:
    """Every byte comes back; text and other bytes have keys of their own. Nothing unprintable is in it."""
    source = random.Random(1)
    lines = [
        b"",
        b"text",
        "Grüße, \u2028\u202e\U0001f600".encode(),
        b"\xff",
        b'"\\/',
        b"\0\x1b[2J\x7f\x85",
        b"\xed\xa0\x80",
    ]
    lines += [bytes(source.randrange(256) for _ in range(source.randrange(50))) for _ in range(500)]
    made = asJSON(lambda: TIME)(lines, 'pe"er', "name\n")
    for line, text in zip(lines, made, strict=True):
        assert text.isascii()
        assert text.decode().isprintable()
        found = json.loads(text)
        kept = found.pop("line").encode() if "line" in found else base64.b64decode(found.pop("base64"), validate=True)
        assert kept == line
        assert found == {"time": SHOWN, "peer": 'pe"er', "listener": "name\n"}
    assert [b'"base64"' in text for text in made[:7]] == [False, False, False, True, False, True, True]
