"""The head of a message: lines in, values or an HTTPError out."""

from __future__ import annotations

import random
from typing import Any

import pytest

from reactor.http import HTTPError, dates, head

BAD_LINES = [
    (b"GET / HTTP/1.1 ", 400),
    (b" GET / HTTP/1.1", 400),
    (b"GET  / HTTP/1.1", 400),
    (b"GET /", 400),
    (b"GET / x HTTP/1.1", 400),
    (b"GET\t/\tHTTP/1.1", 400),
    (b"G(T / HTTP/1.1", 400),
    (b"GET /\x00 HTTP/1.1", 400),
    (b"GET /\xff HTTP/1.1", 400),
    (b"GET /#part HTTP/1.1", 400),
    (b"GET / http/1.1", 400),
    (b"GET / HTTP/1.1\r", 400),
    (b"GET / HTTP/11", 400),
    (b"GET / HTTP/1.10", 400),
    (b"GET / HTTP/2.0", 505),
    (b"GET / HTTP/0.9", 505),
    (b"GET * HTTP/1.1", 400),
    (b"GET path HTTP/1.1", 400),
    (b"GET http:///x HTTP/1.1", 400),
    (b"GET http://user@host/ HTTP/1.1", 400),
    (b"CONNECT / HTTP/1.1", 400),
    (b"CONNECT host HTTP/1.1", 400),
    (b"CONNECT host: HTTP/1.1", 400),
    (b"CONNECT http://host:1/ HTTP/1.1", 400),
]


@pytest.mark.parametrize(("line", "code"), BAD_LINES)
def test_badRequestLine(line: bytes, code: int) -> None:
    with pytest.raises(HTTPError) as caught:
        head.parseRequestLine(line)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"GET / HTTP/1.1", (b"GET", b"/", 1)),
        (b"GET /a?b=%20 HTTP/1.0", (b"GET", b"/a?b=%20", 0)),
        (b"get / HTTP/1.1", (b"get", b"/", 1)),
        (b"M-SEARCH / HTTP/1.9", (b"M-SEARCH", b"/", 1)),
        (b"OPTIONS * HTTP/1.1", (b"OPTIONS", b"*", 1)),
        (b"GET http://host:80/x?y HTTP/1.1", (b"GET", b"http://host:80/x?y", 1)),
        (b"GET http://[::1]/ HTTP/1.1", (b"GET", b"http://[::1]/", 1)),
        (b"CONNECT host:443 HTTP/1.1", (b"CONNECT", b"host:443", 1)),
    ],
)
def test_requestLine(line: bytes, expected: tuple[bytes, bytes, int]) -> None:
    assert head.parseRequestLine(line) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK", (1, 200, b"OK")),
        (b"HTTP/1.0 404 Not Found", (0, 404, b"Not Found")),
        (b"HTTP/1.1 200 ", (1, 200, b"")),
        (b"HTTP/1.1 200", (1, 200, b"")),
        (b"HTTP/1.7 599 \xe4", (1, 599, b"\xe4")),
    ],
)
def test_statusLine(line: bytes, expected: tuple[int, int, bytes]) -> None:
    assert head.parseStatusLine(line) == expected


@pytest.mark.parametrize(
    "line", [b"", b"HTTP/2 200", b"HTTP/1.1 099 x", b"HTTP/1.1 600 x", b"HTTP/1.1  200 OK", b"HTTP/1.1 200 a\x00b"]
)
def test_badStatusLine(line: bytes) -> None:
    with pytest.raises(HTTPError) as caught:
        head.parseStatusLine(line)
    assert caught.value.code == 502


def test_fieldsAreInOrderAndJoined() -> None:
    pairs, known = head.parseFields([b"A: 1", b"b:2", b"a:\t3 ", b"Cookie: x=1", b"cookie: y=2", b"Empty:"])
    assert pairs == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"a", b"3"),
        (b"cookie", b"x=1"),
        (b"cookie", b"y=2"),
        (b"empty", b""),
    ]
    assert known == {b"a": b"1, 3", b"b": b"2", b"cookie": b"x=1; y=2", b"empty": b""}


@pytest.mark.parametrize(
    "lines",
    [
        [b"no colon"],
        [b": nothing before it"],
        [b"Name : value"],
        [b" folded: value"],
        [b"A: 1", b"\tfolded"],
        [b"A: nul\x00"],
        [b"A: cr\rB: x"],
        [b"A: lf\nB: x"],
        [b"A: \x7f"],
        [b"Content-Length: +1"],
        [b"Content-Length: 1_0"],
        [b"Content-Length: 1, 1"],
        [b"Content-Length:"],
        [b"Content-Length: 1", b"Content-Length: 1"],
        [b"Host: a", b"Host: a"],
        [b"Host: a/b"],
        [b"Host: user@a"],
        [b"Host: a, b"],
    ],
)
def test_badFields(lines: list[bytes]) -> None:
    with pytest.raises(HTTPError) as caught:
        head.parseFields(lines)
    assert caught.value.code == 400


def test_lengthBeyondAnything() -> None:
    assert head.parseFields([b"Content-Length: " + b"9" * head.LONGEST_LENGTH])
    with pytest.raises(HTTPError) as caught:
        head.parseFields([b"Content-Length: " + b"9" * (head.LONGEST_LENGTH + 1)])
    assert caught.value.code == 413


@pytest.mark.parametrize(
    ("known", "minor", "expected"),
    [
        ({}, 1, 0),
        ({b"content-length": b"007"}, 1, 7),
        ({b"transfer-encoding": b"Chunked"}, 1, head.CHUNKED),
        ({b"transfer-encoding": b"chunked"}, 0, 400),
        ({b"transfer-encoding": b"chunked", b"content-length": b"1"}, 1, 400),
        ({b"transfer-encoding": b"gzip, chunked"}, 1, 501),
        ({b"transfer-encoding": b"chunked, gzip"}, 1, 400),
        ({b"transfer-encoding": b"chunked, chunked"}, 1, 400),
        ({b"transfer-encoding": b"gzip"}, 1, 400),
        ({b"transfer-encoding": b""}, 1, 400),
        ({b"transfer-encoding": b"x y, chunked"}, 1, 400),
    ],
)
def test_requestLength(known: dict[bytes, bytes], minor: int, expected: int) -> None:
    if expected < 400:
        assert head.requestLength(known, minor) == expected
    else:
        with pytest.raises(HTTPError) as caught:
            head.requestLength(known, minor)
        assert caught.value.code == expected


@pytest.mark.parametrize(
    ("known", "code", "method", "expected"),
    [
        ({}, 200, b"GET", head.UNTIL_CLOSE),
        ({b"content-length": b"5"}, 200, b"GET", 5),
        ({b"transfer-encoding": b"chunked"}, 200, b"GET", head.CHUNKED),
        ({b"content-length": b"5"}, 200, b"HEAD", 0),
        ({b"content-length": b"5"}, 304, b"GET", 0),
        ({}, 204, b"GET", 0),
        ({}, 100, b"GET", 0),
        ({}, 200, b"CONNECT", 0),
        ({b"content-length": b"5"}, 407, b"CONNECT", 5),
        ({b"content-length": b"5", b"transfer-encoding": b"chunked"}, 200, b"GET", None),
        ({b"transfer-encoding": b"gzip"}, 200, b"GET", None),
    ],
)
def test_responseLength(known: dict[bytes, bytes], code: int, method: bytes, expected: int | None) -> None:
    if expected is not None:
        assert head.responseLength(known, 1, code, method) == expected
    else:
        with pytest.raises(HTTPError) as caught:
            head.responseLength(known, 1, code, method)
        assert caught.value.code == 502


@pytest.mark.parametrize(
    ("value", "inOld", "inNew"),
    [
        (None, False, True),
        (b"close", False, False),
        (b"Close", False, False),
        (b"keep-alive", True, True),
        (b"Keep-Alive, x", True, True),
        (b"keep-alive, close", False, False),
        (b"x", False, True),
        (b"", False, True),
    ],
)
def test_persistence(value: bytes | None, inOld: bool, inNew: bool) -> None:
    known = {} if value is None else {b"connection": value}
    assert (head.persists(known, 0), head.persists(known, 1)) == (inOld, inNew)


def test_expectations() -> None:
    assert not head.expectsContinue({}, 1)
    assert head.expectsContinue({b"expect": b"100-Continue"}, 1)
    assert not head.expectsContinue({b"expect": b"100-continue"}, 0)  # RFC 9110, 10.1.1
    with pytest.raises(HTTPError) as caught:
        head.expectsContinue({b"expect": b"payment"}, 1)
    assert caught.value.code == 417


def test_hostOfAnAbsoluteTargetCounts() -> None:
    """RFC 9112, 3.2.2: whatever Host says."""
    pairs, known = [(b"host", b"other"), (b"a", b"1")], {b"host": b"other", b"a": b"1"}
    pairs = head.checkHost(pairs, known, b"http://right:8080/x", 1)
    assert pairs == [(b"host", b"right:8080"), (b"a", b"1")]
    assert known[b"host"] == b"right:8080"
    with pytest.raises(HTTPError):
        head.checkHost([], {}, b"/", 1)
    assert head.checkHost([], {}, b"/", 0) == []


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> dict[bytes, Any]:
    """The blocks that are remembered: none at first."""
    monkeypatch.setattr(head, "_blocks", {})
    monkeypatch.setattr(head, "_seen", [0] * head.MOST_KEPT)
    return head._blocks


def ask(*lines: bytes) -> head.Block:
    return head.parseBlock(lines, b"\r\n".join(lines))


def test_blockIsKeptAtItsSecondSight(blocks: dict[bytes, Any]) -> None:
    first = ask(b"Host: a", b"Content-Length: 3", b"Connection: close")
    assert first[2:] == (3, False, False)
    assert not blocks
    assert ask(b"Host: a", b"Content-Length: 3", b"Connection: close") == first
    assert len(blocks) == 1
    assert (
        ask(b"Host: a", b"Content-Length: 3", b"Connection: close")
        is blocks[b"Host: a\r\nContent-Length: 3\r\nConnection: close"]
    )


def test_blocksAndLinesAreForgottenWithTheSecond(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may have secrets."""
    now = 1000.0
    monkeypatch.setattr("reactor.http.dates.time.time", lambda: now)
    dates.dateLine()
    for _ in range(2):
        ask(b"Host: a", b"Cookie: a=b")
        head.knownRequestLine(b"GET /?token=x HTTP/1.1")
    assert (len(head._blocks), len(head._lines)) == (1, 1)
    dates.dateLine()
    assert (len(head._blocks), len(head._lines)) == (1, 1)
    now += 1
    dates.dateLine()
    assert (len(head._blocks), len(head._lines)) == (0, 0)


def test_longBlockIsNotKept(blocks: dict[bytes, Any]) -> None:
    for _ in range(4):
        ask(b"Host: a", b"X: " + b"x" * head.LONGEST_KEPT)
    assert not blocks


def test_badBlockIsRefusedEachTime(blocks: dict[bytes, Any]) -> None:
    for _ in range(4):
        with pytest.raises(HTTPError):
            ask(b"X: no host")
        with pytest.raises(HTTPError):
            ask(b"Host: a", b"Transfer-Encoding: chunked", b"Content-Length: 1")
    assert not blocks


def test_keptBlocksAreBounded(blocks: dict[bytes, Any]) -> None:
    for number in range(3 * head.MOST_KEPT):
        for _ in range(2):
            ask(b"Host: a", b"X: %d" % number)
        assert len(head._blocks) <= head.MOST_KEPT
    assert head._blocks


def test_namesAreBounded() -> None:
    names = head.Names()
    for number in range(3 * head.MOST_NAMES):
        assert names[b"X-%d" % number] == b"x-%d" % number
    assert len(names) == head.MOST_NAMES
    assert names[b"Y" * (head.LONGEST_NAME + 1)] == b"y" * (head.LONGEST_NAME + 1)


def test_meaningDoesNotDependOnTheMemory(blocks: dict[bytes, Any]) -> None:
    """Random blocks have the same meaning at each sight."""
    source = random.Random(1)
    some = [b"Host: a", b"Content-Length: 2", b"Connection: close", b"Expect: 100-continue", b"X: y", b"Host: b"]
    seen: dict[tuple[bytes, ...], object] = {}
    for _ in range(400):
        lines = tuple(source.choice(some) for _ in range(source.randint(1, 3)))
        meaning: object
        try:
            meaning = ask(*lines)
        except HTTPError as error:
            meaning = error.code
        assert seen.setdefault(lines, meaning) == meaning
    assert head._blocks
