"""Conditional requests and ranges, as values: what a request asks for, of a file with given validators and size.

Conditions are tried in the order of RFC 9110, 13.2.2. Ranges follow RFC 9110, 14. Nothing here reads a file.
"""

from __future__ import annotations

import os
import re
import sys
from typing import Any, NamedTuple

from reactor.http.dates import stringToDatetime

MAX_RANGES = 16
SETTLED = 2.0  # seconds; a younger file may change again, and its time of change may stay the same

_TAG = re.compile(rb'(?:W/)?"[^"]*"')
_RANGES = re.compile(rb"bytes=([0-9, \t-]+)", re.IGNORECASE)
_RANGE = re.compile(rb"([0-9]*)-([0-9]*)")
_MOST_DIGITS = 18  # a longer number is larger than any file


class Validators(NamedTuple):
    """The validators of a file: its entity tag, as it is sent, and the time of its last change in whole seconds."""

    tag: bytes
    modified: int

    @property
    def isStrong(self) -> bool:
        """Whether two files with these validators have the same bytes (RFC 9110, 8.8.1)."""
        return not self.tag.startswith(b"W/")


class Span(NamedTuple):
    """A range of a file: the offset of its first byte, and its length in bytes."""

    start: int
    length: int


def validatorsOf(status: os.stat_result, now: float) -> Validators:
    """Return the validators of a file with this `status`, at the time `now` (seconds since 1970).

    They are weak for a file that has changed less than SETTLED seconds ago. A time in the future is given as `now`
    (RFC 9110, 8.8.2.1), and one before 1970 as its beginning.
    """
    tag = b'"%x-%x"' % (status.st_mtime_ns, status.st_size)
    isSettled = status.st_mtime_ns <= (now - SETTLED) * 1e9
    return Validators(tag if isSettled else b"W/" + tag, int(max(0, min(status.st_mtime_ns // 10**9, now))))


def conditionFailed(request: Any, validators: Validators) -> int:
    """Return the code that a conditional request is answered with: 412, 304, or 0 if the file is to be sent."""
    wanted = _listOf(request, b"if-match")
    if wanted is not None:
        if wanted != b"*" and not (validators.isStrong and validators.tag in _TAG.findall(wanted)):
            return 412
    elif (date := _dateOf(request, b"if-unmodified-since")) is not None and validators.modified > date:
        return 412
    known = _listOf(request, b"if-none-match")
    if known is not None:
        bare = validators.tag.removeprefix(b"W/")
        isKnown = known == b"*" or bare in (tag.removeprefix(b"W/") for tag in _TAG.findall(known))
        return 304 if isKnown else 0
    date = _dateOf(request, b"if-modified-since")
    return 304 if date is not None and validators.modified <= date else 0


def rangesOf(request: Any, validators: Validators, size: int) -> list[Span] | None:
    """Return the ranges that a request asks for, of a file of `size` bytes; None means the whole file.

    The list is empty if the file has none of them (RFC 9110, 15.5.17). A header with another unit or bad syntax asks
    for the whole file. So do more than MAX_RANGES ranges, more than two that overlap, or more bytes than the file has
    (RFC 9110, 14.2). An empty file is always sent whole.
    """
    header = _onlyOf(request, b"range")
    if request.method != b"GET" or header is None or size == 0 or not _isCurrent(request, validators):
        return None
    found = _RANGES.fullmatch(header)
    specified = [part for part in (part.strip(b" \t") for part in found[1].split(b",")) if part] if found else []
    if not specified or len(specified) > MAX_RANGES:
        return None
    spans = []
    for text in specified:
        bounds = _RANGE.fullmatch(text)
        if bounds is None or bounds[0] == b"-":
            return None
        first, last = map(_numberOf, bounds.groups())
        if first is not None and last is not None and last < first:
            return None
        if (span := _spanOf(first, last, size)) is not None:
            spans.append(span)
    return None if _overlapping(spans) > 2 or sum(span.length for span in spans) > size else spans


def contentRange(span: Span | None, size: int) -> bytes:
    """Return the value of Content-Range for `span` of a file of `size` bytes; None: for a range that it has not."""
    if span is None:
        return b"bytes */%d" % size
    return b"bytes %d-%d/%d" % (span.start, span.start + span.length - 1, size)


def _spanOf(first: int | None, last: int | None, size: int) -> Span | None:
    """Return the part of a range that the file has, None if it has none. Without `first`, `last` is its length."""
    if first is None:
        length = min(last or 0, size)
        return Span(size - length, length) if length else None
    if first >= size:
        return None
    return Span(first, (size if last is None else min(last + 1, size)) - first)


def _numberOf(digits: bytes) -> int | None:
    """Return a number; all that are larger than any file are the same one. None for no digits."""
    if not digits:
        return None
    digits = digits.lstrip(b"0")
    return int(digits or b"0") if len(digits) <= _MOST_DIGITS else sys.maxsize


def _overlapping(spans: list[Span]) -> int:
    """Return the number of spans that share a byte with another one."""
    ordered = sorted(spans)
    shared: set[int] = set()
    longest = 0
    for place, span in enumerate(ordered):
        before = ordered[longest]
        if place and span.start < before.start + before.length:
            shared |= {longest, place}
        if span.start + span.length > before.start + before.length:
            longest = place
    return len(shared)


def _isCurrent(request: Any, validators: Validators) -> bool:
    """Whether the file is the one that a range is asked of (RFC 9110, 13.1.5). Weak validators never match."""
    values = request.requestHeaders.getRawHeaders(b"if-range")
    if not values:
        return True
    value = values[0].strip(b" \t")
    if len(values) > 1 or not validators.isStrong:
        return False
    if value.startswith((b'"', b"W/")):
        return bool(value == validators.tag)
    return _parsed(value) == validators.modified


def _listOf(request: Any, name: bytes) -> bytes | None:
    """Return a header that holds a list, its lines as one; None without it."""
    values = request.requestHeaders.getRawHeaders(name)
    return b", ".join(values).strip(b" \t") if values else None


def _onlyOf(request: Any, name: bytes) -> bytes | None:
    """Return a header that may come once; None without it, or if it comes again."""
    values = request.requestHeaders.getRawHeaders(name)
    return bytes(values[0]).strip(b" \t") if values and len(values) == 1 else None


def _dateOf(request: Any, name: bytes) -> int | None:
    """Return the date of a header; None without a valid one, which is as if the header were not there."""
    value = _onlyOf(request, name)
    return None if value is None else _parsed(value)


def _parsed(text: bytes) -> int | None:
    try:
        return stringToDatetime(text)
    except ValueError:
        return None
