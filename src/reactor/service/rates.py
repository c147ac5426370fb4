"""Rates of one connection: its reading pauses while a bucket is empty.

The line core calls at a mark, a number of lines or bytes. The mark is set so that the buckets may be empty there. So a
connection below its rates costs a call a burst, and no timer. A read is delivered whole. It may leave a bucket in debt.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from reactor.interfaces import IDelayedCall
from reactor.service.buckets import Bucket, Group

if TYPE_CHECKING:
    from reactor.service.entries import Entry

SHORTEST_WAIT = 0.001
LONGEST_WAIT = 3600.0  # then the buckets are looked at again; a very low rate could give an endless time


class Meter:
    """Watches the rates of the connection of `entry`: `buckets` are its own, those of `group` are shared."""

    __slots__ = ("_bytes", "_call", "_entry", "_group", "_lines", "_own")

    def __init__(self, entry: Entry, lineBucket: Bucket | None, byteBucket: Bucket | None, group: Group | None) -> None:
        self._entry = entry
        self._own = lineBucket, byteBucket
        self._group = group
        self._lines = 0  # what has been charged
        self._bytes = 0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Set the first marks, or pause at once if the group has nothing left. Earlier lines and bytes are free."""
        self._lines, self._bytes = self._entry.lines, self._entry.bytesIn
        self.look()

    def look(self) -> None:
        """Charge what has come since the last look. Pause reading, or set the next marks."""
        entry, now = self._entry, self._entry.now()
        group = self._group
        lines, data = entry.lines - self._lines, entry.bytesIn - self._bytes
        self._lines, self._bytes = entry.lines, entry.bytesIn
        lineBuckets = [self._own[0]] if group is None else [self._own[0], group.lineBucket]
        byteBuckets = [self._own[1]] if group is None else [self._own[1], group.byteBucket]
        sharing = 1 if group is None else max(1, group.open)
        waits = []
        for buckets, count, limit in ((lineBuckets, lines, "line-rate"), (byteBuckets, data, "byte-rate")):
            found = [bucket for bucket in buckets if bucket is not None]
            for bucket in found:
                bucket.take(count, now)
            wait = max((bucket.wait for bucket in found), default=0.0)
            if wait:
                waits.append(wait)
                if self._call is None and count:
                    entry.countLimited(limit)
        if waits:
            self._pause(max(waits))
            return
        entry.linesMark = _markOf(entry.lines, lineBuckets, group, sharing)
        entry.bytesMark = _markOf(entry.bytesIn, byteBuckets, group, sharing)

    def stop(self) -> None:
        """Limit the rates no more."""
        self._entry.linesMark = self._entry.bytesMark = sys.maxsize
        if self._call is not None:
            call, self._call = self._call, None
            call.cancel()

    def _pause(self, seconds: float) -> None:
        entry = self._entry
        entry.linesMark = entry.bytesMark = sys.maxsize
        if self._call is None:
            entry.throttle()
            self._call = entry.callLater(min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT), self._goOn)

    def _goOn(self) -> None:
        self._call = None
        entry = self._entry
        self.look()
        if self._call is None:
            entry.unthrottle()


def _markOf(count: int, buckets: list[Any], group: Group | None, sharing: int) -> int:
    """Return the mark for a count: behind it, one of the buckets may be empty. A shared one is parted equally."""
    rooms = []
    for bucket in buckets:
        if bucket is not None:
            isShared = group is not None and bucket in (group.lineBucket, group.byteBucket)
            rooms.append(bucket.tokens / sharing if isShared else bucket.tokens)
    room = min(rooms, default=math.inf)
    return sys.maxsize if room >= sys.maxsize - count else count + int(max(0.0, room))
