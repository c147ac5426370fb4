"""Requests that two parsers read in different ways: all are refused, and no request hides in another."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.battery.museum.halls import HIDDEN, Hall, chunked, message, posted

SMUGGLED = b"0\r\n\r\n" + HIDDEN


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.close()


def lengthOf(body: bytes) -> bytes:
    return b"Content-Length: %d" % len(body)


def test_twisted_12754(hall: Hall) -> None:
    """A bare CR or LF inside a value began a field, or a request, of its own."""
    for cut in (b"\r", b"\n"):
        hall.refuses(message(b"GET / HTTP/1.1", b"X: a" + cut + b"Content-Length: 50"), HIDDEN)


def test_CVE_2022_24801(hall: Hall) -> None:
    """Signs in Content-Length, 0x in chunk sizes, and spaces around values were read leniently."""
    for length in (b"+5", b"-5", b"0x5", b"\x0b5"):
        hall.refuses(posted(b"Content-Length: " + length, body=b"hello"), HIDDEN)
    for size in (b"0x5", b"+5", b"5 ", b" 5", b"5;a\x00"):
        hall.refuses(chunked(size + b"\r\nhello\r\n" + SMUGGLED))
    hall.refuses(posted(b"Transfer-Encoding: \x0bchunked", body=SMUGGLED))


def test_CVE_2020_10108(hall: Hall) -> None:
    """Of two Content-Lengths the last one counted, where others take the first."""
    hall.refuses(posted(b"Content-Length: 0", lengthOf(HIDDEN), body=HIDDEN))
    hall.refuses(posted(b"Content-Length: 0, %d" % len(HIDDEN), body=HIDDEN))


def test_CVE_2020_10109(hall: Hall) -> None:
    """Content-Length won over the chunked coding beside it."""
    for fields in (
        [lengthOf(SMUGGLED), b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked", lengthOf(b"x")],
    ):
        hall.refuses(posted(*fields, body=SMUGGLED))


def test_CVE_2026_34525(hall: Hall) -> None:
    """Several Host fields were accepted, so two parsers route to different hosts."""
    hall.refuses(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HIDDEN)


def test_CVE_2024_52304(hall: Hall) -> None:
    """The parser in Python let a bare LF stand in a chunk's extension."""
    hall.refuses(chunked(b"1;a\n\r\nx\r\n" + SMUGGLED))
    hall.refuses(chunked(b"2;\nxx\r\n" + SMUGGLED))


@pytest.mark.parametrize(
    "trailers",
    [b"no field\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"a: b\nc: d\r\n", b": x\r\n"],
)
def test_CVE_2025_53643(hall: Hall, trailers: bytes) -> None:
    """The parser in Python read no trailers, so they were taken for the next request."""
    hall.refuses(chunked(b"1\r\nx\r\n0\r\n" + trailers + b"\r\n" + HIDDEN))


def test_CVE_2023_41419(hall: Hall) -> None:
    """Bytes in the place of a trailer were read as a request."""
    hall.refuses(chunked(b"0\r\n" + HIDDEN))
    hall.refuses(chunked(b"0\r\nGET /hidden HTTP/1.1\r\n\r\n"))


def test_CVE_2025_58068(hall: Hall) -> None:
    """Trailers were left in the stream, and the next request began with them."""
    answers = hall.ask(chunked(b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"))
    assert [answer.code for answer in answers] == [200, 200]
    assert [target for _, target, _ in hall.seen] == [b"/", b"/last"]
    hall.refuses(chunked(b"0\r\nHost: b\r\n\r\n"), HIDDEN)


def test_CVE_2024_23829(hall: Hall) -> None:
    """Field names and versions of any characters were accepted."""
    for field in (b"Content-Length\x00: 5", b"X Y: 5", b"X(: 5", b"\xc3\xa9: 5", b"X : 5", b"X\t: 5"):
        hall.refuses(message(b"GET / HTTP/1.1", field), HIDDEN)
    for version in (b"HTTP/1.1 ", b"HTTP/1.\xc2\xb9", b"HTTP/+1.1", b"HTTP/1.1.1", b"http/1.1"):
        hall.refuses(message(b"GET / " + version), HIDDEN)


def test_CVE_2023_47627(hall: Hall) -> None:
    """Python's int() read Content-Length: underscores, signs, spaces, and digits of all scripts."""
    for length in (b"1_0", b"\xd9\xa5", b"\xb2", b"5 5", b"5.0", b""):
        hall.refuses(posted(b"Content-Length: " + length, body=b"hello"), HIDDEN)
    for size in (b"1_0", b"-5", b"\xd9\xa5", b""):
        hall.refuses(chunked(size + b"\r\nhello\r\n" + SMUGGLED))


def test_CVE_2023_47641(hall: Hall) -> None:
    """Content-Length beside Transfer-Encoding: the parser in C took one, the parser in Python the other."""
    for coding in (b"chunked", b"identity", b"gzip", b"xchunked"):
        hall.refuses(posted(lengthOf(SMUGGLED), b"Transfer-Encoding: " + coding, body=SMUGGLED), codes=(400, 501))


def test_CVE_2023_37276(hall: Hall) -> None:
    """A CR without its LF ended a field."""
    hall.refuses(message(b"GET / HTTP/1.1", b"X: a\rTransfer-Encoding: chunked"), HIDDEN)


def test_CVE_2023_30589(hall: Hall) -> None:
    """A CR without its LF ended a line of the head, and the head."""
    hall.refuses(b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", HIDDEN)
    hall.refuses(b"GET / HTTP/1.1\r\nHost: a\r\rGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n")


def test_GHSA_qppv_j76h_2rpx(hall: Hall) -> None:
    """int() read lengths and chunk sizes that no other parser accepts."""
    hall.refuses(posted(b"Content-Length: 0_5", body=b"hello"), HIDDEN)
    hall.refuses(chunked(b"0_5\r\nhello\r\n" + SMUGGLED))


def test_CVE_2024_1135(hall: Hall) -> None:
    """Several or unknown codings were not refused, and Content-Length counted in place of them."""
    for codings in ([b"chunked", b"identity"], [b"identity, chunked"], [b"chunked, chunked"], [b"x", b"chunked"]):
        fields = [b"Transfer-Encoding: " + each for each in codings]
        hall.refuses(posted(*fields, body=SMUGGLED), codes=(400, 501))


def test_CVE_2024_6827(hall: Hall) -> None:
    """An unknown coding in the place of the last one was passed over, and the body had no length."""
    for coding in (b"tchunked", b"chunked;q=1", b'"chunked"', b"chunked,", b",chunked", b"\x00chunked"):
        hall.refuses(posted(b"Transfer-Encoding: " + coding, body=SMUGGLED), codes=(400, 501))


def test_CVE_2025_43859(hall: Hall) -> None:
    """Any two bytes behind a chunk counted as its line end."""
    for end in (b"XX", b"\n\n", b"\r\r", b"\n\r", b"0\n"):
        hall.refuses(chunked(b"5\r\nhello" + end + SMUGGLED))


def test_CVE_2019_16785(hall: Hall) -> None:
    """A bare LF ended a line of the head."""
    hall.refuses(b"GET / HTTP/1.1\nHost: a\n\n", HIDDEN)
    hall.refuses(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 50\r\n\r\n", HIDDEN)


def test_CVE_2019_16786(hall: Hall) -> None:
    """Only one value of Transfer-Encoding was known, so that lists of codings were passed over."""
    hall.refuses(posted(b"Transfer-Encoding: gzip, chunked", lengthOf(b"x"), body=SMUGGLED), codes=(400, 501))


def test_CVE_2019_16789(hall: Hall) -> None:
    """Odd white space around a value made chunked an unknown coding."""
    for space in (b"\x0b", b"\x0c", b"\x85", b"\xa0", b"\x1c"):
        hall.refuses(posted(b"Transfer-Encoding: " + space + b"chunked", body=SMUGGLED), codes=(400, 501))


def test_CVE_2019_16792(hall: Hall) -> None:
    """Of two Content-Lengths both were kept as a list, which was read as no body."""
    hall.refuses(posted(lengthOf(HIDDEN), lengthOf(HIDDEN), body=HIDDEN))


def test_CVE_2022_24761(hall: Hall) -> None:
    """int() took "+10" and "0x10", and extensions with bytes that no extension has were passed over."""
    for size in (b"+5", b"0x5", b"5;\x00", b"5;a=\x7f", b"5 ;\x0b"):
        hall.refuses(chunked(size + b"\r\nhello\r\n" + SMUGGLED))


def test_CVE_2023_25725(hall: Hall) -> None:
    """A field without a name ended the list of fields: those behind it were not heeded."""
    hall.refuses(message(b"POST / HTTP/1.1", b": x", lengthOf(HIDDEN), body=HIDDEN))


def test_CVE_2023_40225(hall: Hall) -> None:
    """An empty Content-Length was passed on, and read as none."""
    for length in (b"Content-Length:", b"Content-Length: ", b"Content-Length: ,", b"Content-Length: 5,"):
        hall.refuses(posted(length, body=HIDDEN))


def test_CVE_2021_40346(hall: Hall) -> None:
    """The length of a name was kept in a byte, so a name of 270 bytes was taken for Content-Length."""
    for name in (b"Content-Length" + b"0" * 256, b"Content-Length" + b"a" * 256, b"Transfer-Encoding" + b"a" * 256):
        hall.seen.clear()
        answers = hall.ask(posted(name + b": 60", b"Content-Length: 5", body=b"hello"), HIDDEN)
        assert [answer.code for answer in answers] == [200, 200, 200]
        assert hall.seen == [(b"POST", b"/", b"hello"), (b"GET", b"/hidden", b""), (b"GET", b"/last", b"")]


def test_thePrefaceOfAnotherVersion(hall: Hall) -> None:
    """The package speaks HTTP/1.1 only: a peer that begins with the preface of HTTP/2 is refused."""
    hall.refuses(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", codes=(400, 505))
