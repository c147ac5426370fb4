"""Conditional requests and ranges, against the sentences of RFC 9110 and against a model."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactor.http.conditions import (
    MAX_RANGES,
    Span,
    Validators,
    conditionFailed,
    contentRange,
    rangesOf,
    validatorsOf,
)
from tests.support.httprequests import Asked

CHANGED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"
STRONG = Validators(b'"tag"', CHANGED)
WEAK = Validators(b'W/"tag"', CHANGED)


def failed(headers: dict[str, str | list[str]], validators: Validators = STRONG) -> int:
    return conditionFailed(Asked(headers=headers), validators)


def asked(value: str | list[str], size: int = 100, **headers: str) -> list[Span] | None:
    named: dict[str, str | list[str]] = {name.replace("_", "-"): text for name, text in headers.items()}
    return rangesOf(Asked(headers={"Range": value, **named}), STRONG, size)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 0),
        ({"If-Match": "*"}, 0),
        ({"If-Match": '"tag"'}, 0),
        ({"If-Match": '"other", "tag"'}, 0),
        ({"If-Match": ['"other"', '"tag"']}, 0),
        ({"If-Match": '"other,tag"'}, 412),
        ({"If-Match": 'W/"tag"'}, 412),  # a strong comparison
        ({"If-Match": "tag"}, 412),
        ({"If-Match": ""}, 412),
        ({"If-Unmodified-Since": DATE}, 0),
        ({"If-Unmodified-Since": AFTER}, 0),
        ({"If-Unmodified-Since": BEFORE}, 412),
        ({"If-Unmodified-Since": "yesterday"}, 0),  # no valid date: ignored
        ({"If-Unmodified-Since": [BEFORE, BEFORE]}, 0),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"tag"'}, 304),
        ({"If-None-Match": 'W/"tag"'}, 304),  # a weak comparison
        ({"If-None-Match": '"a" , "tag"'}, 304),
        ({"If-None-Match": '"other"'}, 0),
        ({"If-None-Match": "tag"}, 0),
        ({"If-Modified-Since": DATE}, 304),
        ({"If-Modified-Since": AFTER}, 304),
        ({"If-Modified-Since": BEFORE}, 0),
        ({"If-Modified-Since": "Sunday, 06-Nov-94 08:49:37 GMT"}, 304),
        ({"If-Modified-Since": "0"}, 0),
        # The order of 13.2.2: a tag makes the date beside it mean nothing.
        ({"If-Match": '"tag"', "If-Unmodified-Since": BEFORE}, 0),
        ({"If-Match": '"other"', "If-None-Match": '"tag"'}, 412),
        ({"If-Unmodified-Since": BEFORE, "If-None-Match": '"tag"'}, 412),
        ({"If-None-Match": '"other"', "If-Modified-Since": AFTER}, 0),
        ({"If-None-Match": '"tag"', "If-Modified-Since": BEFORE}, 304),
        ({"If-Match": '"tag"', "If-None-Match": '"tag"'}, 304),
    ],
)
def test_conditions(headers: dict[str, str | list[str]], code: int) -> None:
    assert failed(headers) == code


def test_weakValidatorsMatchWeaklyOnly() -> None:
    assert failed({"If-None-Match": '"tag"'}, WEAK) == 304
    assert failed({"If-Match": 'W/"tag"'}, WEAK) == 412
    assert failed({"If-Match": "*"}, WEAK) == 0


def test_aYoungFileHasAWeakTag() -> None:
    """Its bytes may change again, and the clock of the file system may not show it."""

    class Status:
        st_mtime_ns = CHANGED * 10**9 + 5
        st_size = 0x123

    status: os.stat_result = Status()  # type: ignore[assignment]
    young, old = validatorsOf(status, CHANGED + 1.9), validatorsOf(status, CHANGED + 2.1)
    assert old == (b'"%x-123"' % Status.st_mtime_ns, CHANGED)
    assert young == (b"W/" + old.tag, CHANGED)
    assert (young.isStrong, old.isStrong) == (False, True)
    assert validatorsOf(status, CHANGED - 100.5) == (b"W/" + old.tag, CHANGED - 101)  # RFC 9110, 8.8.2.1
    Status.st_mtime_ns = -(10**30)
    assert validatorsOf(status, CHANGED).modified == 0


@pytest.mark.parametrize(
    ("value", "spans"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=10-", [(10, 90)]),
        ("bytes=10-1000", [(10, 90)]),
        ("bytes=-1", [(99, 1)]),
        ("bytes=-1000", [(0, 100)]),
        ("Bytes=5-5", [(5, 1)]),  # units have no case (14.1)
        ("bytes=0-0,-1", [(0, 1), (99, 1)]),
        ("bytes= 0-0 ,\t,, 2-2 ", [(0, 1), (2, 1)]),  # empty elements of a list (5.6.1)
        ("bytes=50-59,0-9", [(50, 10), (0, 10)]),  # in the order of the request
        ("bytes=0-9,5-14", [(0, 10), (5, 10)]),
        ("bytes=0-0,200-300", [(0, 1)]),  # those that the file has
        ("bytes=100-", []),
        ("bytes=-0", []),
        ("bytes=100-200,300-", []),
        (f"bytes={'9' * 8000}-", []),
        (f"bytes=1-{'9' * 8000}", [(1, 99)]),
        (f"bytes=-{'9' * 8000}", [(0, 100)]),
        (f"bytes={'0' * 8000}7-7", [(7, 1)]),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=--1", None),
        ("bytes=1-2-3", None),
        ("bytes=1 - 2", None),
        ("bytes=+1-2", None),
        ("bytes=0x1-2", None),
        ("bytes=5-4", None),
        ("bytes=0-0,5-4", None),
        ("bytes 0-0", None),
        ("bytes =0-0", None),
        ("lines=0-0", None),
        ("0-0", None),
        ("bytes=0-9,5-14,8-20", None),  # more than two that overlap (14.2)
        ("bytes=0-,0-", None),  # more bytes than the file has
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES)), [(n, 1) for n in range(MAX_RANGES)]),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES + 1)), None),
        (["bytes=0-0", "bytes=0-0"], None),
    ],
)
def test_ranges(value: str | list[str], spans: list[tuple[int, int]] | None) -> None:
    assert asked(value) == spans


def test_rangesAreForGetAlone() -> None:
    assert rangesOf(Asked(method=b"HEAD", headers={"Range": "bytes=0-0"}), STRONG, 100) is None
    assert rangesOf(Asked(), STRONG, 100) is None


def test_anEmptyFileIsSentWhole() -> None:
    assert asked("bytes=0-", size=0) is None
    assert asked("bytes=-5", size=0) is None


@pytest.mark.parametrize(
    ("value", "isRange"),
    [
        ('"tag"', True),
        ('W/"tag"', False),
        ('"other"', False),
        ('"other", "tag"', False),
        (DATE, True),
        (BEFORE, False),
        (AFTER, False),  # the exact date only
        ("tag", False),
        ("", False),
    ],
)
def test_ifRange(value: str, isRange: bool) -> None:
    assert (asked("bytes=0-0", if_range=value) is not None) == isRange
    request = Asked(headers={"Range": "bytes=0-0", "If-Range": value})
    assert rangesOf(request, WEAK, 100) is None  # a weak validator shows nothing (13.1.5)


def test_ifRangeTwice() -> None:
    request = Asked(headers={"Range": "bytes=0-0", "If-Range": ['"tag"', '"tag"']})
    assert rangesOf(request, STRONG, 100) is None


def test_contentRange() -> None:
    assert contentRange(Span(10, 5), 100) == b"bytes 10-14/100"
    assert contentRange(None, 100) == b"bytes */100"


BOUND = st.none() | st.integers(0, 40)


@given(st.lists(st.tuples(BOUND, BOUND).filter(lambda pair: pair != (None, None)), min_size=1, max_size=5))
def test_rangesAgainstAModel(bounds: list[tuple[int | None, int | None]]) -> None:
    """Each range is a slice of Python's, and a set that is not taken is one of those that need not be."""
    file = list(range(30))
    value = ",".join(f"{'' if low is None else low}-{'' if high is None else high}" for low, high in bounds)
    spans = asked(f"bytes={value}", size=len(file))
    wanted = []
    for low, high in bounds:
        if low is None:
            assert high is not None
            wanted.append(file[-high:] if high else [])
        else:
            wanted.append(file[low:] if high is None else file[low : high + 1])
    isBad = any(low is not None and high is not None and high < low for low, high in bounds)
    wanted = [part for part in wanted if part]
    overlapping = sum(
        any(set(one) & set(two) for at, two in enumerate(wanted) if at != here) for here, one in enumerate(wanted)
    )
    if isBad or overlapping > 2 or sum(map(len, wanted)) > len(file):
        assert spans is None
    else:
        assert spans is not None
        assert [file[span.start : span.start + span.length] for span in spans] == wanted
