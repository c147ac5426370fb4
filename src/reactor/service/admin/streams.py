"""Server-sent events: one stream of events for each subscriber (HTML, 9.2)."""

from __future__ import annotations

import json
from typing import Any

RETRY = 1000  # milliseconds until a browser that has lost the stream asks again
#: Events in a row that a subscriber may fail to take. Then its connection is reset.
MOST_MISSED = 10


def eventOf(name: str, data: Any, number: int | None = None) -> bytes:
    """Return an event: its name, its data as JSON on one line, and its id if it has a number."""
    identity = "" if number is None else f"id: {number}\n"
    return f"{identity}event: {name}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class _Stream:
    """One subscriber. `missed` counts the events in a row that it has not taken."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.missed = 0


class EventStreams:
    """The subscribers, `most` at a time.

    An event is written to those alone who have taken the ones before. So a subscriber that does not read costs its
    output's mark and one event, and gets the newest event when it reads again.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._streams: dict[int, _Stream] = {}

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def isFull(self) -> bool:
        """Whether no further subscriber may come."""
        return len(self._streams) >= self.most

    def open(self, request: Any, first: bytes) -> None:
        """Make `request` a subscriber, whose head is set. `first` are its first events."""
        key = id(request)
        self._streams[key] = _Stream(request)
        request.notifyFinish().addBoth(lambda _: self._streams.pop(key, None))
        request.write(b"retry: %d\n\n%b" % (RETRY, first))

    def publish(self, event: bytes) -> None:
        """Send an event to every subscriber that takes it."""
        for stream in list(self._streams.values()):
            if stream.request.drained() is None:
                stream.missed = 0
                stream.request.write(event)
                continue
            stream.missed += 1
            if stream.missed >= MOST_MISSED:
                stream.request.transport.abortConnection()

    def close(self) -> None:
        """End all streams in order."""
        for stream in list(self._streams.values()):
            stream.request.finish()
