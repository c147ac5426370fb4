"""The framing of bodies: every cut, the limits, and what breaks the rules."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from reactor.http import HTTPError
from reactor.http.bodies import (
    LAST_CHUNK,
    MAX_SIZE_LINE,
    ChunkedDecoder,
    Decoder,
    LengthDecoder,
    UntilCloseDecoder,
    chunk,
    decoderFor,
)
from reactor.http.head import CHUNKED, MAX_FIELDS, MAX_HEAD, MAX_LINE, UNTIL_CLOSE

BODY = (
    b'5\r\nhello\r\n1;name=value;x="quo\\"ted"\r\n \r\n00A \t;y\r\n0123456789\r\n0;last\r\nSum: 1\r\nOther:\r\n\r\nGET'
)
CONTENT = b"hello 0123456789"


def feedAll(decoder: Decoder, pieces: Iterable[bytes]) -> tuple[bytes, bytes | None]:
    """The content, and what follows it; pieces behind the end are added to that."""
    content, rest = b"", None
    for piece in pieces:
        if rest is not None:
            rest += piece
            continue
        got, rest = decoder.feed(piece)
        content += got
    return content, rest


def codeOf(decoder: Decoder, *pieces: bytes) -> int:
    with pytest.raises(HTTPError) as caught:
        feedAll(decoder, pieces)
    return caught.value.code


def test_everyCutInTwo() -> None:
    for at in range(len(BODY) + 1):
        decoder = ChunkedDecoder()
        assert feedAll(decoder, [BODY[:at], BODY[at:]]) == (CONTENT, b"GET"), at
        assert decoder.trailers == [(b"sum", b"1"), (b"other", b"")]


def test_everyCutInThree() -> None:
    short = b"2;a=b\r\nab\r\n0\r\nT: 1\r\n\r\nrest"
    for one in range(len(short) + 1):
        for two in range(one, len(short) + 1):
            decoder = ChunkedDecoder()
            assert feedAll(decoder, [short[:one], short[one:two], short[two:]]) == (b"ab", b"rest"), (one, two)
            assert decoder.trailers == [(b"t", b"1")]


def test_byteByByte() -> None:
    assert feedAll(ChunkedDecoder(), [BODY[at : at + 1] for at in range(len(BODY))]) == (CONTENT, b"GET")


def test_manySmallChunks() -> None:
    source = random.Random(2)
    pieces = [source.randbytes(source.randint(1, 40)) for _ in range(2000)]
    stream = b"".join(map(chunk, pieces)) + LAST_CHUNK
    cuts = sorted(source.sample(range(len(stream)), 300))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feedAll(ChunkedDecoder(), parts) == (b"".join(pieces), b"")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"0x5",
        b"+5",
        b"-5",
        b" 5",
        b"5_0",
        b"g",
        b"5;",
        b"5;=x",
        b"5; ;",
        b"5;a=",
        b'5;a="',
        b"5\n",
        b"5\r",
        b"5 x",
        b"1" * 17,
        b"5;a=\x00",
        b"5;a=b c",
        b"\xd9\xa5",
    ],
)
def test_badSizeLine(line: bytes) -> None:
    assert codeOf(ChunkedDecoder(), line + b"\r\n") == 400


def test_sizeOfSixteenDigits() -> None:
    assert ChunkedDecoder().feed(b"7fffffffffffffff\r\nx") == (b"x", None)


def test_longestSizeLine() -> None:
    line = b"1;" + b"x" * (MAX_SIZE_LINE - 2)
    assert feedAll(ChunkedDecoder(), [line, b"\r", b"\na\r\n0\r\n\r\n"]) == (b"a", b"")
    assert codeOf(ChunkedDecoder(), line + b"x\r\n") == 400
    assert codeOf(ChunkedDecoder(), line, b"xx") == 400
    assert codeOf(ChunkedDecoder(), *[b"0"] * (MAX_SIZE_LINE + 2)) == 400


@pytest.mark.parametrize("behind", [b"x", b"\n", b"\rx", b"0\r\n"])
def test_chunkLongerThanItsSize(behind: bytes) -> None:
    assert codeOf(ChunkedDecoder(), b"2\r\nab" + behind) == 400
    assert codeOf(ChunkedDecoder(), b"2\r\nab", *[behind[at : at + 1] for at in range(len(behind))]) == 400


def test_tooManyTrailers() -> None:
    most = b"0\r\n" + b"A: b\r\n" * (MAX_FIELDS - 3)
    assert feedAll(ChunkedDecoder(fields=3), [most, b"\r\n"]) == (b"", b"")
    assert codeOf(ChunkedDecoder(fields=4), most) == 431


def test_trailersAndHeadTogetherTooLarge() -> None:
    line = b"A: " + b"x" * 95 + b"\r\n"
    assert feedAll(ChunkedDecoder(size=MAX_HEAD - 100), [b"0\r\n", line, b"\r\n"]) == (b"", b"")
    assert codeOf(ChunkedDecoder(size=MAX_HEAD - 99), b"0\r\n", line) == 431


def test_trailerLineTooLong() -> None:
    assert codeOf(ChunkedDecoder(), b"0\r\n", b"A: " + b"x" * MAX_LINE) == 431


@pytest.mark.parametrize(
    "name", [b"Content-Length", b"transfer-encoding", b"Host", b"Cookie", b"Connection", b"Expect"]
)
def test_trailerThatMustNotBeOne(name: bytes) -> None:
    assert codeOf(ChunkedDecoder(), b"0\r\n" + name + b": 1\r\n\r\n") == 400


@pytest.mark.parametrize("line", [b"no colon", b" folded: x", b"Name : x", b"A: \x00", b": x"])
def test_trailerThatIsNone(line: bytes) -> None:
    assert codeOf(ChunkedDecoder(), b"0\r\n" + line + b"\r\n\r\n") == 400


def test_chunkedBodyIsNeverCompleteAtTheEnd() -> None:
    decoder = ChunkedDecoder()
    decoder.feed(b"2\r\nab\r\n0\r\n")
    assert not decoder.close()


def test_heldBytesAreFew() -> None:
    """Of what was fed, only a beginning of a line is kept."""
    decoder = ChunkedDecoder()
    decoder.feed(b"fffffff\r\n" + b"x" * 1_000_000)
    assert not decoder._held
    assert len(decoder.feed(b"y" * 1000)[0]) == 1000


def test_length() -> None:
    for at in range(6):
        decoder = LengthDecoder(5)
        assert not decoder.close()
        assert feedAll(decoder, [b"hello"[:at], b"hello"[at:] + b"GET"]) == (b"hello", b"GET")
        assert decoder.close()
    assert LengthDecoder(5).feed(b"hello") == (b"hello", b"")


def test_untilClose() -> None:
    decoder = UntilCloseDecoder()
    assert feedAll(decoder, [b"a", b"b"]) == (b"ab", None)
    assert decoder.close()


def test_decoderFor() -> None:
    assert type(decoderFor(CHUNKED)) is ChunkedDecoder
    assert type(decoderFor(UNTIL_CLOSE)) is UntilCloseDecoder
    assert type(decoderFor(3)) is LengthDecoder
    assert codeOf(decoderFor(CHUNKED, MAX_FIELDS, 0), b"0\r\nA: b\r\n\r\n") == 431


def test_chunk() -> None:
    assert chunk(b"") == b""
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"
