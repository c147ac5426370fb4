"""LineOnlyReceiver behaves as Twisted's. Random scripts are in differential/, Twisted's tests in test_linereceiver."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from twisted.protocols import basic

from reactor import linecore
from reactor.linecore import _pure
from reactor.linereceiver import LineOnlyReceiver
from tests.support.cutting import KINDS, cuttings, pieces

BUFFERS: dict[str, Any] = {linecore.IMPLEMENTATION: linecore.LineBuffer, "pure": _pure.LineBuffer}


class Transport:
    def __init__(self, trace: list[Any]) -> None:
        self.trace = trace
        self.disconnecting = False

    def writeSequence(self, parts: Any) -> str:
        self.trace.append(("write", parts))
        return "written"

    def loseConnection(self) -> str:
        self.trace.append("lose")
        self.disconnecting = True
        return "lost"


class Recorded:
    trace: list[Any]

    def lineReceived(self, line: bytes) -> Any:
        self.trace.append(line)
        return "ignored"


@pytest.fixture(params=[*BUFFERS, "twisted"])
def base(request: pytest.FixtureRequest) -> Any:
    if request.param == "twisted":
        return basic.LineOnlyReceiver
    return type("Receiver", (LineOnlyReceiver,), {"_bufferClass": BUFFERS[request.param]})


def connected(base: Any, **attributes: Any) -> tuple[Any, list[Any]]:
    protocol = type("Recorder", (Recorded, base), attributes)()
    protocol.trace = []
    protocol.makeConnection(Transport(protocol.trace))
    return protocol, protocol.trace


def test_theDefaults(base: Any) -> None:
    assert (base.delimiter, base.MAX_LENGTH, base().transport) == (b"\r\n", 16384, None)
    with pytest.raises(NotImplementedError):
        base().lineReceived(b"")


def test_linesOfEveryKindAndCut(base: Any) -> None:
    for reads in cuttings(b"one\r\n\r\n\r\r\ntwo\nthree\r\nrest"):
        for kind in KINDS:
            protocol, trace = connected(base)
            assert [protocol.dataReceived(kind(read)) for read in reads] == [None] * len(reads)
            protocol.dataReceived(b"!\r\n")
            assert trace == [b"one", b"", b"\r", b"two\nthree", b"rest!"]
            assert {type(line) for line in trace} == {bytes}


@pytest.mark.parametrize("delimiter", [b"aa", b"aba", b"aab", b"abab", b"aabaa", b"b"])
def test_delimitersWhoseEndIsLikeTheirBeginning(base: Any, delimiter: bytes) -> None:
    for length in range(9):
        for stream in map(bytes, itertools.product(b"ab", repeat=length)):
            for cut in range(length):
                protocol, trace = connected(base, delimiter=delimiter)
                protocol.dataReceived(stream[:cut])
                protocol.dataReceived(stream[cut:])
                begun = stream[:cut].split(delimiter)
                assert trace == begun[:-1] + (begun[-1] + stream[cut:]).split(delimiter)[:-1]


@pytest.mark.parametrize("length", [3, 4, 5, 6])
def test_theLimit(base: Any, length: int) -> None:
    """There is no allowance for a delimiter that has begun."""
    protocol, trace = connected(base, MAX_LENGTH=4)
    text = b"x" * length
    assert protocol.dataReceived(text + b"\r\nrest\r\n") == (None if length <= 4 else "lost")
    assert trace == ([text, b"rest"] if length <= 4 else ["lose"])
    protocol, trace = connected(base, MAX_LENGTH=4)
    assert protocol.dataReceived(text) == (None if length <= 4 else "lost")
    protocol, trace = connected(base, MAX_LENGTH=4)
    assert protocol.dataReceived(b"four\r") == "lost"


def test_whatIsUnfinishedAndTooLongIsKept(base: Any) -> None:
    told: list[bytes] = []
    protocol, trace = connected(base, MAX_LENGTH=4, lineLengthExceeded=lambda self, line: told.append(line))
    for read in pieces(b"sevenxx\r\n1\r\n", 5):
        protocol.dataReceived(read)
    assert told == [b"seven", b"sevenxx"]
    assert trace == [b"1"]


def test_whatFollowsAClosingLineIsLost(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"lose":
            self.transport.loseConnection()

    protocol, trace = connected(base, lineReceived=lineReceived)
    protocol.dataReceived(b"1\r\nlose\r\n2\r\n3")
    protocol.dataReceived(b"\r\n")
    assert trace == [b"1", b"lose", "lose"]


def test_anExceptionLosesTheRestOfTheRead(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"bad":
            raise ValueError

    protocol, trace = connected(base, lineReceived=lineReceived)
    with pytest.raises(ValueError, match=r"^$"):
        protocol.dataReceived(b"bad\r\n1\r\n2")
    protocol.dataReceived(b"3\r\n")
    assert trace == [b"bad", b"23"]


def test_aNewDelimiterCountsFromTheNextRead(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        self.delimiter = b";"

    protocol, trace = connected(base, lineReceived=lineReceived)
    protocol.dataReceived(b"a\r\nb;c\r\nd;e")
    assert trace == [b"a", b"b;c"]
    protocol.dataReceived(b"f;g")
    assert trace[2:] == [b"d", b"ef"]


def test_aLineFedInACallbackComesBeforeTheRest(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"1":
            self.dataReceived(b"again\r\n")

    protocol, trace = connected(base, lineReceived=lineReceived)
    protocol.dataReceived(b"1\r\n2\r\n")
    assert trace == [b"1", b"again", b"2"]


@pytest.mark.parametrize(("delimiter", "error"), [(b"", ValueError), ("\r\n", TypeError), (3, TypeError)])
def test_aBadDelimiter(base: Any, delimiter: Any, error: type[Exception]) -> None:
    protocol, trace = connected(base)
    protocol.delimiter = delimiter
    with pytest.raises(error):
        protocol.dataReceived(b"lost\r\n")
    protocol.delimiter = b"\r\n"
    protocol.dataReceived(b"line\r\n")
    assert trace == [b"line"]


def test_aTransportIsNeededForALine(base: Any) -> None:
    protocol, trace = connected(base)
    protocol.transport = None
    protocol.dataReceived(b"a")
    with pytest.raises(AttributeError):
        protocol.dataReceived(b"\r\n")
    assert trace == []


def test_sendLine(base: Any) -> None:
    protocol, trace = connected(base)
    assert protocol.sendLine(b"x") == "written"
    assert trace == [("write", (b"x", b"\r\n"))]
