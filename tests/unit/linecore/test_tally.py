"""The tally of the line core: what it counts, of either core."""

from __future__ import annotations

from typing import Any

import pytest

from reactor.linecore import LineBuffer, OutputBuffer, Tally


class Noted(Tally):
    """Notes what is called."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def _passedLimit(self) -> None:
        self.calls.append("limit")

    def _passedRate(self) -> None:
        self.calls.append("rate")


class Transport(OutputBuffer):
    def _passedMark(self, added: int) -> None:
        pass


@pytest.fixture
def parts() -> tuple[Any, Any, Any]:
    """A transport, its tally, and that of all."""
    transport, tally, whole = Transport(), Noted(), Noted()
    tally.whole = whole
    transport.tally = tally
    transport.countsBytes = True
    return transport, tally, whole


def test_bytesAreCountedWhereTheyAreCarried(parts: Any) -> None:
    transport, tally, whole = parts
    transport._holdRead(b"12345")
    transport.write(b"123")
    assert (tally.bytesIn, tally.bytesOut) == (5, 0)
    transport._drop(2)
    transport._drop(1)
    transport._tallySent(4)
    assert (tally.bytesOut, whole.bytesIn, whole.bytesOut) == (7, 5, 7)
    transport.countsBytes = False  # as TLS does, above the transport that counts
    transport._holdRead(b"12345")
    transport._tallySent(4)
    assert (whole.bytesIn, whole.bytesOut) == (5, 7)


def test_aReadHoldsTheOutput(parts: Any) -> None:
    transport = parts[0]
    transport.highWater = 7
    transport._holdRead(b"x")
    assert transport._mark == 7


def test_linesAreCountedOnceARead(parts: Any) -> None:
    transport, tally, whole = parts
    buffer = LineBuffer(b"\n")
    buffer.count(tally)
    buffer.feed(b"a\nb\nrest")
    assert list(buffer) == [b"a", b"b"]
    assert (tally.lines, tally.pending) == (0, 0)
    buffer.finish(transport)
    assert (tally.lines, tally.pending, whole.lines, whole.pending) == (2, 4, 2, 4)
    buffer.feed(b"\n")
    assert list(buffer) == [b"rest"]
    buffer.finish(transport)
    assert (whole.lines, whole.pending) == (3, 0)


def test_messagesOfAnotherKind(parts: Any) -> None:
    """A protocol that finds its messages itself counts them, and what it holds."""
    _, tally, whole = parts
    whole.maxPending = tally.linesMark = 4
    tally.addLines(3, 4)
    assert (tally.lines, tally.pending, whole.lines, whole.pending, tally.calls) == (3, 4, 3, 4, [])
    tally.addLines(2, 1)
    assert (whole.lines, whole.pending, whole.calls, tally.calls) == (5, 5, ["limit"], ["rate"])
    tally.addLines(0, -5)
    tally.addLines(1)
    assert (whole.lines, whole.pending) == (6, 0)


def test_onlyTheLastBufferCounts(parts: Any) -> None:
    """Another protocol has taken the connection over. The bytes that the first one held count no more."""
    transport, tally, whole = parts
    first, second = LineBuffer(b"\n"), LineBuffer(b"\n")
    first.count(tally)
    first.feed(b"a\nheld")
    list(first)
    first.finish(transport)
    second.count(tally)
    second.feed(b"b\nx")
    list(second)
    second.finish(transport)
    first.feed(b"\n")
    list(first)
    first.finish(transport)
    assert (whole.lines, whole.pending) == (2, 1)


def test_marksAndLimits(parts: Any) -> None:
    transport, tally, whole = parts
    tally.linesMark, tally.bytesMark, whole.maxPending = 1, 3, 4
    buffer = LineBuffer(b"\n")
    buffer.count(tally)
    transport._holdRead(b"a\n")
    buffer.feed(b"a\nrest")
    list(buffer)
    buffer.finish(transport)
    assert (tally.calls, whole.calls) == ([], [])
    transport._holdRead(b"er")
    assert tally.calls == ["rate"]
    buffer.feed(b"er")
    buffer.finish(transport)
    assert whole.calls == ["limit"]
    buffer.feed(b"\n")
    list(buffer)
    buffer.finish(transport)
    assert tally.calls == ["rate", "rate"]


def test_whoLeavesIsPendingNoMore(parts: Any) -> None:
    transport, tally, whole = parts
    buffer = LineBuffer(b"\n")
    buffer.count(tally)
    buffer.feed(b"rest")
    buffer.finish(transport)
    assert whole.pending == 4
    tally.leave()
    tally.leave()
    assert (tally.pending, whole.pending) == (4, 0)
    tally.addOverlong()
    tally.addRequest()
    assert (tally.overlong, tally.requests, whole.overlong, whole.requests) == (1, 1, 0, 0)
