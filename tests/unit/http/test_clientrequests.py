"""Requests of the client as they stand on the wire, and those that are refused before anything is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.http.grammar import InvalidHeaderName
from reactor.http.headers import Headers
from reactor.http.outgoing import prepare
from reactor.http.urls import Origin, parseURL
from tests.support.httpclients import URL, Full, MemoryWorld, Sized

GOOD_URLS = {
    "http://server.test": (Origin(False, "server.test", 80), b"server.test", b"/"),
    "http://server.test/": (Origin(False, "server.test", 80), b"server.test", b"/"),
    "HTTP://Server.Test/Path?Query": (Origin(False, "server.test", 80), b"server.test", b"/Path?Query"),
    "https://server.test": (Origin(True, "server.test", 443), b"server.test", b"/"),
    "https://server.test:443/": (Origin(True, "server.test", 443), b"server.test", b"/"),
    "https://server.test:80/": (Origin(True, "server.test", 80), b"server.test:80", b"/"),
    "http://server.test:/x": (Origin(False, "server.test", 80), b"server.test", b"/x"),
    "http://server.test:8080?a=b": (Origin(False, "server.test", 8080), b"server.test:8080", b"/?a=b"),
    "http://server.test/a#b?c": (Origin(False, "server.test", 80), b"server.test", b"/a"),
    "http://server.test#": (Origin(False, "server.test", 80), b"server.test", b"/"),
    "http://server.test?a#b": (Origin(False, "server.test", 80), b"server.test", b"/?a"),
    "http://server.test/%2e%2E/%0a;x?%zz": (Origin(False, "server.test", 80), b"server.test", b"/%2e%2E/%0a;x?%zz"),
    "http://server.test/a//../b?x=http://y": (Origin(False, "server.test", 80), b"server.test", b"/a//../b?x=http://y"),
    "http://server.test./": (Origin(False, "server.test.", 80), b"server.test.", b"/"),
    "http://a_b.server.test/": (Origin(False, "a_b.server.test", 80), b"a_b.server.test", b"/"),
    "http://127.0.0.1:1/": (Origin(False, "127.0.0.1", 1), b"127.0.0.1:1", b"/"),
    "http://[::1]/": (Origin(False, "::1", 80), b"[::1]", b"/"),
    "https://[FE80::1%25eth0]:8443/": (Origin(True, "fe80::1%eth0", 8443), b"[fe80::1]:8443", b"/"),
    "http://b\xfccher.test/x": (Origin(False, "xn--bcher-kva.test", 80), b"xn--bcher-kva.test", b"/x"),
    b"http://server.test/x": (Origin(False, "server.test", 80), b"server.test", b"/x"),
}

BAD_URLS: list[str | bytes] = [
    "",
    "/",
    "server.test/",
    "//server.test/",
    "ftp://server.test/",
    "http:/server.test/",
    "http:server.test",
    "http:///",
    "http://",
    "http://?x",
    "http://:80/",
    "http://user@server.test/",
    "http://user:secret@server.test/",
    "http://@server.test/",
    "http://good.test\\@server.test/",
    "http://server.test/\\x",
    "http://server.test:0/",
    "http://server.test:65536/",
    "http://server.test:99999999999999999999/",
    "http://server.test:8x/",
    "http://server.test:+80/",
    "http://server.test:-1/",
    "http://server.test:80:80/",
    "http://server.test:\u0661/",
    "http://server test/",
    " http://server.test/",
    "http://server.test/ ",
    "http://server.test/a b",
    "http://server.test/\r\nX: y",
    "http://server.test/\n",
    "http://server.test\r\n/",
    "http://server.test/\t",
    "http://server.test/\0",
    "http://server.test/\x7f",
    "http://server.test/\x1f#x",
    "http://server.test/#a b",
    "http://server.test/\xe9",
    "http://server.test/?\u2028",
    "http://server%2etest/",
    "http://server,test/",
    "http://server;test/",
    "http://a..b/",
    "http://" + "a" * 64 + ".test/",
    "http://" + "a." * 130 + "test/",
    "http://127.1/",
    "http://0x7f.1/",
    "http://2130706433/",
    "http://[::1/",
    "http://::1/",
    "http://[127.0.0.1]/",
    "http://[::1%eth0]/",
    "http://[::1%25]x/",
    "http://[::1]x/",
    "http://[v1.x]/",
    "http://[::1%25a b]/",
    "http://[::1%25a%25b]/",
    b"http://server.test/\xff",
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_goodURLs(url: str | bytes) -> None:
    assert parseURL(url) == GOOD_URLS[url]


@pytest.mark.parametrize("url", BAD_URLS)
def test_badURLs(url: str | bytes) -> None:
    """RFC 9110, 4.2: nothing is guessed, cleaned or encoded. The error never shows a password."""
    world = MemoryWorld()
    with pytest.raises(ValueError, match=r"URL") as caught:
        world.client.request("GET", url)
    assert "secret" not in str(caught.value)
    assert world.reactor.tcpClients == []
    assert world.client.requestCount == 0


@pytest.mark.parametrize("url", [None, 1, ["http://server.test/"]])
def test_URLsOfOtherTypes(url: Any) -> None:
    with pytest.raises(TypeError, match="a URL is str or bytes"):
        parseURL(url)


def head(
    method: Any = "GET", url: Any = URL, headers: Any = None, body: Any = b"", closes: bool = False
) -> list[bytes]:
    """The lines of a request's head."""
    text = prepare(method, url, headers, body, closes).head
    assert text.endswith(b"\r\n\r\n")
    return text[:-4].split(b"\r\n")


USUAL = [b"Host: server.test", b"User-Agent: linereactor", b"Accept-Encoding: identity"]


def test_plainRequest() -> None:
    assert head() == [b"GET / HTTP/1.1", *USUAL]
    assert head(b"GET", b"http://server.test:81/a?b#c") == [
        b"GET /a?b HTTP/1.1",
        b"Host: server.test:81",
        *USUAL[1:],
    ]
    assert head("patch-it")[0] == b"patch-it / HTTP/1.1"


def test_optionsOfTheServer() -> None:
    """RFC 9112, 3.2.4: OPTIONS without a path speaks of the whole server."""
    assert head("OPTIONS", "http://server.test")[0] == b"OPTIONS * HTTP/1.1"
    assert head("OPTIONS", b"http://server.test#a/b")[0] == b"OPTIONS * HTTP/1.1"
    assert head("OPTIONS", "http://server.test/")[0] == b"OPTIONS / HTTP/1.1"
    assert head("OPTIONS", "http://server.test?x")[0] == b"OPTIONS /?x HTTP/1.1"


@pytest.mark.parametrize(
    "headers",
    [
        {"x-one": "1", b"x-two": b"2"},
        [("X-One", b"1"), (b"X-Two", "2")],
        iter([("X-One", b"1"), (b"X-Two", "2")]),
        {"x-one": ["1"], b"x-two": (b"2",)},
        [("X-One", [b"1"]), (b"X-Two", iter(["2"]))],
        Headers({"x-one": ["1"], b"x-two": [b"2"]}),
    ],
)
def test_formsOfHeaders(headers: Any) -> None:
    assert head(headers=headers) == [b"GET / HTTP/1.1", USUAL[0], b"X-One: 1", b"X-Two: 2", *USUAL[1:]]


def test_fieldsThatTheProgramDecides() -> None:
    given = {"Host": "other.test:1", "User-Agent": "me", "Accept-Encoding": "gzip"}
    assert head(headers=given)[1:] == [b"Host: other.test:1", b"User-Agent: me", b"Accept-Encoding: gzip"]
    assert head(headers=[("Accept", "a"), ("Accept", "b")])[2:4] == [b"Accept: a", b"Accept: b"]
    assert head(closes=True)[-3:] == [b"Connection: close", *USUAL[1:]]
    assert b"Connection: close" in head(headers={"Connection": "close"}, closes=True)
    upgrade = {"Connection": "Upgrade", "Upgrade": "x"}
    assert [line for line in head(headers=upgrade, closes=True) if b"Conn" in line] == [b"Connection: Upgrade"]


@pytest.mark.parametrize(
    ("method", "body", "headers", "line"),
    [
        ("GET", b"", {}, None),
        ("DELETE", b"", {}, None),
        ("POST", b"", {}, b"Content-Length: 0"),
        ("PUT", b"", {}, b"Content-Length: 0"),
        ("PATCH", b"", {}, b"Content-Length: 0"),
        ("GET", b"", {"Content-Length": "0"}, b"Content-Length: 0"),
        ("GET", b"abc", {}, b"Content-Length: 3"),
        ("POST", bytearray(b"abc"), {"content-length": "3"}, b"Content-Length: 3"),
        ("POST", memoryview(b"abc"), {}, b"Content-Length: 3"),
        ("POST", [b"abc"], {}, b"Transfer-Encoding: chunked"),
        ("POST", [b"abc"], {"Content-Length": "3"}, b"Content-Length: 3"),
        ("POST", [], {"Content-Length": "0"}, b"Content-Length: 0"),
    ],
)
def test_framing(method: str, body: Any, headers: dict[str, str], line: bytes | None) -> None:
    lines = [each for each in head(method, headers=headers, body=body) if each[:8] in (b"Content-", b"Transfer")]
    assert lines == ([] if line is None else [line])


@pytest.mark.parametrize(
    ("headers", "body", "match"),
    [
        ({"Content-Length": "4"}, b"abc", "Content-Length is 4, and the body has 3 bytes"),
        ({"Content-Length": "+3"}, b"abc", "a number of bytes"),
        ({"Content-Length": "3, 3"}, b"abc", "a number of bytes"),
        ({"Content-Length": ""}, b"", "a number of bytes"),
        ({"Content-Length": "9" * 19}, [b""], "a number of bytes"),
        ([("Content-Length", "3"), ("Content-Length", "3")], b"abc", "2 times"),
        ({"Transfer-Encoding": "chunked"}, [b"abc"], "Transfer-Encoding is the client's"),
        ({"Expect": "100-continue"}, b"", "none to hold back"),
        ({"Expect": "more"}, b"abc", "100-continue"),
        ({"Host": "a b"}, b"", "Host"),
        ({"Host": "a/b"}, b"", "Host"),
        ({"Host": "a@b"}, b"", "Host"),
        ([("Host", "a"), ("Host", "a")], b"", "2 times"),
    ],
)
def test_contradictions(headers: Any, body: Any, match: str) -> None:
    world = MemoryWorld()
    with pytest.raises(ValueError, match=match):
        world.client.request("POST", URL, headers, body)
    assert world.reactor.tcpClients == []


BREAKS = ["\r", "\n", "\r\n", "\0", "\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"]
SPLITTING: list[tuple[Any, Any, Any]] = []
for each in BREAKS:
    SPLITTING += [
        (f"GET{each}", URL, None),
        (f"{each}GET", URL, None),
        (f"GET {each}", URL, None),
        ("GET", f"http://server.test/{each}x", None),
        ("GET", f"http://server{each}.test/", None),
        ("GET", f"http://server.test:80{each}/", None),
        ("GET", f"{each}http://server.test/", None),
        ("GET", f"http://server.test/?{each}", None),
        ("GET", f"http://server.test/#{each}", None),
        ("GET", f"http://server.test/{each}".encode(), None),
        ("GET", URL, {f"X{each}": "y"}),
        ("GET", URL, {f"X{each}Y": "y"}),
        ("GET", URL, {f"{each}X".encode(): b"y"}),
        ("GET", URL, {"X": f"y{each}"}),
        ("GET", URL, {"X": f"y{each}z"}),
        ("GET", URL, [(b"X", f"{each}y".encode())]),
        ("GET", URL, {"Host": f"server.test{each}"}),
        ("GET", URL, {"Expect": f"100-continue{each}"}),
        ("GET", URL, {"Connection": f"close{each}"}),
        ("GET", URL, {"User-Agent": f"me{each}x"}),
        ("POST", URL, {"Content-Length": f"0{each}"}),
    ]
SPLITTING += [
    ("", URL, None),
    ("GET /evil HTTP/1.1", URL, None),
    ("G\tT", URL, None),
    ("G:T", URL, None),
    ("G\xc9T", URL, None),
    ("GET", "http://server.test/ HTTP/1.1", None),
    ("GET", URL, {"X Y": "z"}),
    ("GET", URL, {"X:": "z"}),
    ("GET", URL, {"": "z"}),
    ("GET", URL, {"X\xe9": "z"}),
    ("GET", URL, {"X": "\x01"}),
    ("GET", URL, {"X": "\x7f"}),
    ("CONNECT", URL, None),
]


@pytest.mark.parametrize(("method", "url", "headers"), SPLITTING)
def test_nothingIsSplitOnTheWayOut(method: Any, url: Any, headers: Any) -> None:
    """CVE-2019-12387, CVE-2020-26116 and their kind: a ValueError, and not one byte on the wire."""
    world = MemoryWorld()
    _asked, wire = world.get(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    wire.clear()
    with pytest.raises(ValueError, match=r".* (is|are|has|have) |no host"):
        world.client.request(method, url, headers)
    assert wire.value() == b""
    assert world.reactor.tcpClients == []
    assert not wire.disconnecting


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((1, URL), "a method"),
        (("GET", URL, "X: y"), "headers"),
        (("GET", URL, {"X": 1}), "value"),
        (("GET", URL, {1: "x"}), "name"),
        (("POST", URL, None, "text"), "encode it"),
        (("POST", URL, None, 5), "a body is"),
        (("POST", URL, None, None), "a body is"),
        (("GET", URL, None, b"", "soon"), "timeout"),
    ],
)
def test_wrongTypes(arguments: tuple[Any, ...], match: str) -> None:
    world = MemoryWorld()
    with pytest.raises(TypeError, match=match):
        world.client.request(*arguments)
    assert world.reactor.tcpClients == []


def test_invalidNames() -> None:
    with pytest.raises(InvalidHeaderName):
        head(headers={"X Y": "z"})


def test_bodyWithTheHeadInOneWrite() -> None:
    world = MemoryWorld()
    world.ask("POST", body=b"abc")
    wire = world.connect()
    assert wire.asked().endswith(b"\r\n\r\nabc")
    assert wire.producer is None


async def later(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.parametrize("make", [list, iter, tuple, lambda pieces: later(*pieces)])
def test_chunks(make: Any) -> None:
    """An empty piece is no chunk: that would be the end (RFC 9112, 7.1)."""
    world = MemoryWorld()
    world.ask("POST", body=make([b"abc", b"", bytearray(b"d" * 16), memoryview(b"e")]))
    wire = world.connect()
    assert wire.asked().partition(b"\r\n\r\n")[2] == b"3\r\nabc\r\n10\r\n" + b"d" * 16 + b"\r\n1\r\ne\r\n0\r\n\r\n"
    assert wire.producer is None


def test_piecesWithALength() -> None:
    world = MemoryWorld()
    world.ask("POST", URL, {"Content-Length": "4"}, [b"ab", b"cd"])
    assert world.connect().asked().partition(b"\r\n\r\n")[2] == b"abcd"
    world.ask("POST", URL, None, Sized(b"ab", b"cd", length=4))
    head, _, body = world.connect().asked().partition(b"\r\n\r\n")
    assert b"Content-Length: 4\r\n" in head
    assert body == b"abcd"
    world.ask("POST", URL, None, Sized(b"ab", b"cd", length=None))
    assert world.connect().asked().endswith(b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("pieces", "match"),
    [
        ([b"abc"], "ended 1 bytes before its Content-Length"),
        ([b"abc", b"de"], "longer than its Content-Length"),
        (["abcd"], "pieces are bytes"),
        ([1], "pieces are bytes"),
    ],
)
def test_piecesThatAreWrong(pieces: Any, match: str) -> None:
    """The request cannot be completed, so the connection ends."""
    world = MemoryWorld()
    asked = world.ask("POST", URL, {"Content-Length": "4"}, pieces)
    wire = world.connect()
    assert isinstance(asked.error, ValueError | TypeError)
    assert match in str(asked.error)
    assert wire.aborted
    assert not wire.asked().endswith(b"de")


def test_piecesThatRaise() -> None:
    def pieces() -> Any:
        yield b"abc"
        raise LookupError("no more")

    world = MemoryWorld()
    asked = world.ask("POST", body=pieces())
    wire = world.connect()
    assert isinstance(asked.error, LookupError)
    assert wire.aborted
    assert not wire.value().endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("isAsynchronous", [False, True])
def test_piecesWaitForThePeer(isAsynchronous: bool) -> None:
    given = []

    def pieces() -> Iterator[bytes]:
        for number in range(3):
            given.append(number)
            yield b"%d" % number

    async def asynchronousPieces() -> AsyncIterator[bytes]:
        for piece in pieces():
            yield piece

    world = MemoryWorld()
    world.ask("POST", body=asynchronousPieces() if isAsynchronous else pieces())
    wire = world.connect(Full)
    assert given == [0]
    producer = wire.producer
    producer.resumeProducing()
    assert given == [0, 1, 2]
    assert wire.producer is None
    assert wire.value().endswith(b"\r\n\r\n1\r\n0\r\n1\r\n1\r\n1\r\n2\r\n0\r\n\r\n")


def test_longBytesGoOutInPieces() -> None:
    world = MemoryWorld()
    body = bytes(range(256)) * 1024
    world.ask("PUT", body=body)
    wire = world.connect()
    sent = wire.asked().partition(b"\r\n\r\n")
    assert b"Content-Length: 262144" in sent[0]
    assert sent[2] == body
