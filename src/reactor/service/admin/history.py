"""The recent past of a server, so that a page that opens shows a chart at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from reactor.service.summing import Status

HISTORY = 240  # samples, one a second

Sample = tuple[float, float, float, float, float]


def sampleOf(status: Status) -> Sample:
    """Return the time of a status, its lines, bytes in and bytes out so far, and its open connections."""
    totals: Iterable[dict[str, Any]] = status.get("totals", {}).values()
    lines = bytesIn = bytesOut = opened = 0
    for total in totals:
        lines += total.get("linesIn", 0)
        bytesIn += total.get("bytesIn", 0)
        bytesOut += total.get("bytesOut", 0)
        opened += total.get("open", 0)
    return (status.get("time", 0), lines, bytesIn, bytesOut, opened)


class History:
    """The last HISTORY samples of the sums of all listeners."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=HISTORY)

    def add(self, status: Status) -> None:
        """Take a sample of `status`."""
        self._samples.append(sampleOf(status))

    def samples(self) -> list[Sample]:
        """Return the samples, the oldest first."""
        return list(self._samples)
