"""HTTP's dates: written in one way, read in three; Twisted's functions beside ours."""

from __future__ import annotations

import email.utils
import locale
import random
import time
from contextlib import suppress

import pytest
from twisted.web import http as twistedHTTP

from reactor.http import dates, datetimeToLogString, datetimeToString, stringToDatetime

EXAMPLE = 784111777  # of RFC 9110, 5.6.7


def test_theExampleOfTheRFC() -> None:
    assert datetimeToString(EXAMPLE) == datetimeToString(EXAMPLE + 0.9) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert datetimeToLogString(EXAMPLE) == "[06/Nov/1994:08:49:37 +0000]"
    for text in (
        b"Sun, 06 Nov 1994 08:49:37 GMT",
        b"Sunday, 06-Nov-94 08:49:37 GMT",
        b"Sun Nov  6 08:49:37 1994",
    ):
        assert stringToDatetime(text) == stringToDatetime(text.upper()) == stringToDatetime(text.lower()) == EXAMPLE


def test_now() -> None:
    before = int(time.time())
    assert before <= stringToDatetime(datetimeToString()) <= time.time()
    assert abs(time.time() - time.mktime(time.strptime(datetimeToLogString()[1:-7], "%d/%b/%Y:%H:%M:%S"))) < 2 * 86400


def test_randomMomentsBothWays() -> None:
    rng = random.Random("moments")
    for _ in range(3000):
        moment = rng.randrange(253402300800)  # up to the year 9999
        text = datetimeToString(moment)
        assert text == twistedHTTP.datetimeToString(moment) == email.utils.formatdate(moment, usegmt=True).encode()
        assert datetimeToLogString(moment) == twistedHTTP.datetimeToLogString(moment)
        assert stringToDatetime(text) == twistedHTTP.stringToDatetime(text) == moment
        parts = time.gmtime(moment)
        ctime = time.asctime(parts).encode()
        assert stringToDatetime(ctime) == twistedHTTP.stringToDatetime(ctime) == moment
        old = time.strftime("%A, %d-%b-%Y %H:%M:%S GMT", parts).encode()
        assert stringToDatetime(old) == twistedHTTP.stringToDatetime(old) == moment


@pytest.mark.parametrize(
    "text",
    [
        b"06 Nov 1994 08:49:37 GMT",
        b"06 Nov 1994 08:49:37",
        b"Sun, 6 Nov 1994 08:49:37 GMT",
        b"Sunday, 06 Nov 1994 08:49:37 gmt",
        b"Mon, 06 Nov 1994 08:49:37 GMT",
        b"06-nov-94 08:49:37",
        b"Sun, 06-Nov-1994 08:49:37 GMT",
        b"  Sun,  06\tNov 1994  08:49:37 GMT ",
        b"Nov 6 08:49:37 1994",
        b"Sun Nov 06 08:49:37 1994",
    ],
)
def test_leniencesOfTwisted(text: bytes) -> None:
    assert stringToDatetime(text) == EXAMPLE
    # A date in the style of C without its day is too short for Twisted's.
    if not text.startswith(b"Nov"):
        assert twistedHTTP.stringToDatetime(text) == EXAMPLE


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b" ",
        b"Sun",
        b"yesterday",
        b"784111777",
        b"Sun, 06 Nov 1994 08:49:37 EST",
        b"Sun, 06 Nov 1994 08:49:37 +0000",
        b"Sun, 06 Nov 1994 08:49:37 GMT; length=5",
        b"Sun, 06 Nov 1994 24:00:00 GMT",
        b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT",
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 29 Feb 2023 08:49:37 GMT",
        b"Sun, 00 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nix 1994 08:49:37 GMT",
        b"Sun, 06 Nov 94 08:49:37 GMT",
        b"Sun, 06 Nov 19945 08:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT",
        b"Sun, +6 Nov 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 8:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49 GMT",
        b"Sun, 06 Nov 1994 08:49:37.5 GMT",
        b"Sun, 06 Nov 1994\n08:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 GMT\n",
        b"Sun, 06-Nov-994 08:49:37 GMT",
        b"\xd9\xa0\xd9\xa6 Nov 1994 08:49:37 GMT",
    ],
)
def test_noDates(text: bytes) -> None:
    with pytest.raises(ValueError, match="HTTP date"):
        stringToDatetime(text)


def test_garbageIsNothingButAValueError() -> None:
    rng = random.Random("garbage")
    whole = b"Sun, 06 Nov 1994 08:49:37 GMT"
    for _ in range(5000):
        text = bytearray(rng.choice((whole, b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994")))
        for _ in range(rng.randrange(1, 4)):
            text[rng.randrange(len(text))] = rng.choice((rng.randrange(256), *b"0189 ,-:"))
        with suppress(ValueError):
            stringToDatetime(bytes(text))


def test_leapSeconds() -> None:
    assert stringToDatetime(b"Sat, 31 Dec 2016 23:59:60 GMT") == stringToDatetime(b"Sun, 01 Jan 2017 00:00:00 GMT")
    assert stringToDatetime(b"Thu, 29 Feb 2024 00:00:00 GMT") == 1709164800


def test_before1970() -> None:
    assert stringToDatetime(datetimeToString(-1)) == -1
    assert datetimeToString(-0.5) == b"Wed, 31 Dec 1969 23:59:59 GMT"


def test_yearsOfTwoDigits() -> None:
    """They mean the most recent past, unless that leaves them at most 50 years ahead (RFC 9110, 5.6.7)."""
    now = time.struct_time((2026, 11, 30, 12, 0, 0, 0, 0, 0))
    noon = (11, 30, 12, 0, 0)
    assert [dates._fullYear(year, noon, now) for year in (0, 26, 75, 76, 77, 99)] == [
        2000,
        2026,
        2075,
        2076,
        1977,
        1999,
    ]
    assert dates._fullYear(76, (11, 30, 12, 0, 1), now) == 1976
    later = time.struct_time((2099, 1, 1, 0, 0, 0, 0, 0, 0))
    assert [dates._fullYear(year, noon, later) for year in (0, 99)] == [2000, 2099]
    year = time.gmtime().tm_year
    for ahead, expected in ((49, year + 49), (51, year - 49)):
        text = b"Sunday, 06-Nov-%02d 08:49:37 GMT" % ((year + ahead) % 100)
        assert time.gmtime(stringToDatetime(text)).tm_year == expected


def test_yearsOfMoreThanFourDigits() -> None:
    assert datetimeToString(253402300799) == b"Fri, 31 Dec 9999 23:59:59 GMT"
    for moment in (253402300800, -62167219201):
        with pytest.raises(ValueError, match="four digits"):
            datetimeToString(moment)


def test_theLocaleDoesNotMatter() -> None:
    before = locale.setlocale(locale.LC_ALL)
    try:
        for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "C.UTF-8"):
            with suppress(locale.Error):
                locale.setlocale(locale.LC_ALL, name)
            assert datetimeToString(EXAMPLE) == b"Sun, 06 Nov 1994 08:49:37 GMT"
            assert stringToDatetime(b"Sun, 06 Nov 1994 08:49:37 GMT") == EXAMPLE
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_theDateLineOfThisSecond(monkeypatch: pytest.MonkeyPatch) -> None:
    now = EXAMPLE + 0.25
    monkeypatch.setattr(time, "time", lambda: now)
    line = dates.dateLine()
    assert line == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    now = EXAMPLE + 0.99
    assert dates.dateLine() is line
    now = EXAMPLE + 1.0
    assert dates.dateLine() == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
    now = EXAMPLE - 3600.0  # the wall clock has been set back
    assert dates.dateLine() == b"Date: Sun, 06 Nov 1994 07:49:37 GMT\r\n"
