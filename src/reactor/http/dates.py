"""Dates as HTTP writes them (RFC 9110, 5.6.7), and as logs do. Names of days and months are English in every locale."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from reactor import _overwritten as _overwritten

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY_BYTES = tuple(day.encode() for day in _DAYS)
_MONTH_BYTES = tuple(month.encode() for month in _MONTHS)
_NUMBERS = {month.lower(): number for number, month in enumerate(_MONTH_BYTES) if number}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

# The three formats. As in Twisted, the day's name and "GMT" may be left out, and the day's name is not held against
# the date. Robustness in reading dates is what the RFC asks for; another zone than GMT would be another time.
_DAY_NAME = rb"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?,?[ \t]+)?"
_MONTH = rb"(?P<month>[a-z]{3})"
_TIME = rb"(?P<hour>\d{2}):(?P<minute>\d{2}):(?P<second>\d{2})"
_FORMATS = tuple(
    re.compile(rb"[ \t]*" + _DAY_NAME + pattern.replace(b" ", rb"[ \t]+") + rb"[ \t]*", re.IGNORECASE)
    for pattern in (
        # Sun, 06 Nov 1994 08:49:37 GMT
        rb"(?P<day>\d{1,2}) " + _MONTH + rb" (?P<year>\d{4}) " + _TIME + rb"(?: GMT)?",
        # Sunday, 06-Nov-94 08:49:37 GMT
        rb"(?P<day>\d{1,2})-" + _MONTH + rb"-(?P<year>\d{2}|\d{4}) " + _TIME + rb"(?: GMT)?",
        # Sun Nov  6 08:49:37 1994
        _MONTH + rb" (?P<day>\d{1,2}) " + _TIME + rb" (?P<year>\d{4})",
    )
)


def datetimeToString(msSinceEpoch: float | None = None) -> bytes:
    """Return seconds since the epoch as an HTTP date, 29 bytes: `b"Sun, 06 Nov 1994 08:49:37 GMT"`. None: now.

    The argument has Twisted's name, and is seconds there too. Fractions are cut off, downwards. ValueError for a year
    of more than four digits, or before 0.
    """
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(msSinceEpoch)
    if not 0 <= year <= 9999:
        raise ValueError(f"an HTTP date has a year of four digits, not {year}")
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAY_BYTES[weekday],
        day,
        _MONTH_BYTES[month],
        year,
        hour,
        minute,
        second,
    )


def datetimeToLogString(msSinceEpoch: float | None = None) -> str:
    """Return seconds since the epoch as access logs write them: `"[06/Nov/1994:08:49:37 +0000]"`. None: now."""
    year, month, day, hour, minute, second, _, _, _ = time.gmtime(msSinceEpoch)
    return f"[{day:02d}/{_MONTHS[month]}/{year:4d}:{hour:02d}:{minute:02d}:{second:02d} +0000]"


def stringToDatetime(dateString: bytes) -> int:
    """Return the seconds since the epoch that an HTTP date tells, negative before 1970.

    It takes the three formats of RFC 9110, 5.6.7, whatever the case of their letters, with or without the day's name
    and "GMT". A year of two digits is the one at most 50 years ahead, as the RFC says. ValueError for all else, for
    example for another time zone, or for a day that its month does not have.
    """
    for pattern in _FORMATS:
        found = pattern.fullmatch(dateString)
        if found is not None:
            break
    else:
        raise ValueError(f"this is no HTTP date: {dateString!r}")
    month = _NUMBERS.get(found["month"].lower())
    if month is None:
        raise ValueError(f"this HTTP date has no month's name: {dateString!r}")
    day, hour, minute, second = (int(found[part]) for part in ("day", "hour", "minute", "second"))
    # A leap second has no number of its own: it counts as the first second after it.
    leap = second == 60
    year = int(found["year"])
    if len(found["year"]) == 2:
        year = _fullYear(year, (month, day, hour, minute, second), time.gmtime())
    try:
        moment = datetime(year, month, day, hour, minute, second - leap, tzinfo=UTC)
    except ValueError as error:
        raise ValueError(f"this HTTP date does not exist ({error}): {dateString!r}") from None
    return (moment - _EPOCH) // _SECOND + leap


def _fullYear(year: int, rest: tuple[int, ...], now: time.struct_time) -> int:
    """The year of this century, or of the last one if that is more than 50 years ahead of `now`."""
    year += now.tm_year // 100 * 100
    return year - 100 if (year, *rest) > (now.tm_year + 50, *now[1:6]) else year


_line = (-1, b"")
#: Called when the Date field of a new second is made, for what must not be remembered any longer.
atNewSecond: list[Callable[[], object]] = []


def dateLine() -> bytes:
    """Return the field `Date` of this second, with its CRLF. It is made once a second, however many answers have it."""
    global _line
    second = int(time.time())
    made, line = _line
    if made != second:
        line = b"Date: " + datetimeToString(second) + b"\r\n"
        _line = (second, line)
        for forget in atNewSecond:
            forget()
    return line
