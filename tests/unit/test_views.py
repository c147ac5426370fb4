"""Buffers that change their size on a Python that frees views late: each view is kept here, as a test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from reactor import _arguments, _views, stringreceivers
from reactor._views import SHORT, content, piece, sizeOf
from reactor.linecore import _locked, _pure, _sending
from reactor.policies import throttling
from reactor.testing import StringTransport, wire
from reactor.testing.wire import MemorySocket
from reactor.transports import datagram, descriptors, output, sharing
from reactor.transports.tls import output as tlsOutput

MODULES = (
    _arguments, _locked, _pure, _sending, _views, datagram, descriptors, output, sharing, stringreceivers, throttling,
    tlsOutput, wire,
)  # fmt: skip
LARGE = SHORT + 1


@pytest.fixture(autouse=True)
def views(monkeypatch: pytest.MonkeyPatch) -> list[memoryview]:
    """Every view that the package makes, none of which goes away while the test runs."""
    kept: list[memoryview] = []

    def keeping(data: Any) -> memoryview:
        kept.append(memoryview(data))
        return kept[-1]

    for module in MODULES:
        monkeypatch.setattr(module, "memoryview", keeping, raising=False)
    return kept


@pytest.fixture(params=[_pure.LineBuffer, _locked.LineBuffer], ids=["pure", "locked"])
def buffer(request: pytest.FixtureRequest) -> Any:
    return request.param(b"\r\n")


def growing(buffer: Any, size: int = 3) -> None:
    """Feed bytes so that the buffer keeps them in a bytearray."""
    buffer.feed(b"h" * size)
    assert buffer.cut(b"\r\n") is None
    buffer.feed(b"l")
    assert buffer.cut(b"\r\n") is None
    assert type(buffer._data) is bytearray


@pytest.mark.parametrize("size", [3, LARGE])
def test_aLineInThreePieces(buffer: Any, size: int) -> None:
    growing(buffer, size)
    buffer.feed(b"o\r\nx")
    assert buffer.cut(b"\r\n") == b"h" * size + b"lo"
    buffer.feed(b"y\r\n")
    assert buffer.cut(b"\r\n") == b"xy"


@pytest.mark.parametrize("size", [3, LARGE])
@pytest.mark.parametrize(
    "use",
    [
        lambda buffer: buffer.peek(),
        lambda buffer: buffer.take(2),
        lambda buffer: buffer.take(SHORT + 1),
        lambda buffer: buffer.skip(),
        lambda buffer: buffer.lines(),
    ],
    ids=["peek", "take", "takeMore", "skip", "lines"],
)
def test_aBufferGrowsAfterEachUse(buffer: Any, use: Callable[[Any], object], size: int) -> None:
    growing(buffer, size)
    held = buffer._data
    use(buffer)
    held += b"more"


TAKERS: dict[str, Callable[[Any], object]] = {
    "feed": lambda data: _pure.LineBuffer(b"\r\n").feed(data),
    "delimiter": lambda data: setattr(_pure.LineBuffer(b"\r\n"), "delimiter", data),
    "checkLine": _sending.checkLine,
    "checkDelimiter": _arguments.checkDelimiter,
    "asBytes": _sending.asBytes,
    "sizeOf": sizeOf,
    "content": content,
    "MemorySocket": lambda data: MemorySocket().send(data),
}


@pytest.mark.parametrize("take", TAKERS.values(), ids=TAKERS)
def test_whatACallerGaveMayChangeItsSize(take: Callable[[Any], object], views: list[memoryview]) -> None:
    given = bytearray(b"some bytes")
    take(given)
    assert views, "no view was made, so this test says nothing"
    given += b" more"


def test_aSocketInMemoryGivesAndTakes() -> None:
    one, other = MemorySocket(), MemorySocket()
    one.join(other)
    for size in (5, 2 * LARGE):
        output = bytearray(b"x" * size)
        assert one.send(output) == size
        del output[:2]
        assert other.recv(2) == b"xx"
        other.incoming += b"more"
        assert other.recv(10**6) == b"x" * (size - 2) + b"more"


class Strings(stringreceivers.Int32StringReceiver):
    MAX_LENGTH = 10**6

    def __init__(self) -> None:
        self.strings: list[bytes] = []

    def stringReceived(self, string: bytes) -> None:
        self.strings.append(string)


@pytest.mark.parametrize("size", [10, 3 * LARGE])
def test_aStringInPieces(size: int) -> None:
    receiver = Strings()
    receiver.makeConnection(StringTransport())
    framed = size.to_bytes(4, "big") + b"s" * size
    for _ in range(2):
        receiver.dataReceived(framed[: size - 1])
        receiver.dataReceived(framed[size - 1 : size])
        held = receiver._buffer
        assert type(held) is bytearray
        assert len(receiver.recvd) == size
        receiver.dataReceived(framed[size:] + framed[:1])
        held += b"more"
        receiver.dataReceived(framed[1:])
    assert receiver.strings == [b"s" * size] * 4


def test_outputToADescriptorThatIsShared(views: list[memoryview]) -> None:
    given = os.open("/dev/null", os.O_WRONLY)
    shared = sharing.SharedDescriptor(given, os.O_WRONLY)
    try:
        waiting = bytearray(b"x" * 10_000)
        assert shared.write(waiting) == 10_000
        assert views
        del waiting[:10]
    finally:
        shared.close()
        os.close(given)


def test_theSameBytesAsASlice() -> None:
    data = bytes(range(256)) * 64
    for start, end in ((0, None), (0, 0), (5, 5), (7, 20), (7, 7 + SHORT), (7, 8 + SHORT), (3, None), (99, 10**6)):
        for kind in (bytes, bytearray):
            found = piece(kind(data), start, end)
            assert type(found) is bytes
            assert found == data[start:end]
    assert sizeOf(memoryview(b"12345678").cast("I")) == 8
    for ask in (content, sizeOf):
        with pytest.raises(TypeError):
            ask("text")  # type: ignore[arg-type]
