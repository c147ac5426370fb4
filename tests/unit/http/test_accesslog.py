"""Lines of access logs, beside Twisted's own formatters, and with hostile values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import address
from twisted.web import http

from reactor.address import IPv6Address, UNIXAddress
from reactor.http.accesslog import combinedLogFormatter, proxiedLogFormatter
from tests.support.httprequests import Asked

WHEN = "[06/Nov/1994:08:49:37 +0000]"


def answered(uri: bytes = b"/a?b", **headers: str) -> Asked:
    request = Asked(uri, headers={name.replace("_", "-"): value for name, value in headers.items()})
    request.code = 206
    request.sentLength = 1234
    return request


def test_theWholeLine() -> None:
    request = answered(referer="http://example/", user_agent="curl/8")
    request.user = b"ann"
    line = f'"192.0.2.7" - ann {WHEN} "GET /a?b HTTP/1.1" 206 1234 "http://example/" "curl/8"'
    assert combinedLogFormatter(WHEN, request) == line


def test_valuesThatAreNotThere() -> None:
    request = answered()
    request.sentLength = 0
    request.address = UNIXAddress(None)
    assert combinedLogFormatter(WHEN, request) == f'"-" - - {WHEN} "GET /a?b HTTP/1.1" 206 - "-" "-"'
    request.address = IPv6Address("TCP", "2001:db8::1", 1)
    assert combinedLogFormatter(WHEN, request).startswith('"2001:db8::1" - - [')


@pytest.mark.parametrize(
    ("user", "shown"),
    [(b"", "-"), (b"-", '"-"'), (b"a b", '"a b"'), (b'a"b', r'"a\"b"'), (b"a\nb", r'"a\nb"'), (b"a@b.c", "a@b.c")],
)
def test_userNames(user: bytes, shown: str) -> None:
    request = answered()
    request.user = user
    assert combinedLogFormatter(WHEN, request).startswith(f'"192.0.2.7" - {shown} [')


def test_behindAProxy() -> None:
    request = answered(x_forwarded_for="198.51.100.1, 192.0.2.1")
    assert proxiedLogFormatter(WHEN, request).startswith('"198.51.100.1" - - [')
    assert combinedLogFormatter(WHEN, request).startswith('"192.0.2.7" - - [')
    assert proxiedLogFormatter(WHEN, answered()).startswith('"-" - - [')
    assert proxiedLogFormatter(WHEN, answered(x_forwarded_for="")).startswith('"" - - [')
    assert proxiedLogFormatter(WHEN, answered(x_forwarded_for='1" - \x1b[2J')).startswith(r'"1\" - \x1b[2J" - - [')


class Twin(Asked):
    """The same request, with Twisted's address."""

    address = address.IPv4Address("TCP", "192.0.2.7", 4711)


@given(
    st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 3)
)
def test_asTwistedWritesIt(uri: bytes, method: bytes, referer: bytes, agent: bytes, length: int) -> None:
    ours, theirs = Asked(uri, method), Twin(uri, method)
    for request in (ours, theirs):
        request.requestHeaders.values = {b"referer": [referer], b"user-agent": [agent]}
        request.sentLength = length
    line = combinedLogFormatter(WHEN, ours)
    assert line == http.combinedLogFormatter(WHEN, theirs)
    assert line.isascii()
    assert line.isprintable()


def test_textOfPrograms() -> None:
    """A program may set text where bytes are usual."""
    request: Any = answered()
    request.clientproto, request.method = "HTTP/1.0", "GET"
    assert '"GET /a?b HTTP/1.0"' in combinedLogFormatter(WHEN, request)
    request.uri = "/ä"
    assert r'"GET /\xc3\xa4 HTTP/1.0"' in combinedLogFormatter(WHEN, request)
