"""LineReceiver: the behaviour of Twisted's, and its own beyond. Random scripts are in differential/."""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import importlib.util
import inspect
import itertools
import logging
import os
import pickle
import random
import subprocess
import sys
import types
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

import attr
import attrs
import pytest
from twisted.internet import defer as twistedDefer
from twisted.internet.testing import StringTransport as TwistedStringTransport
from twisted.protocols import basic
from twisted.protocols.test import test_basic as twistedTests

from reactor import linecore
from reactor.defer import CancelledError, Deferred, fail, succeed
from reactor.failure import Failure
from reactor.linecore import _pure
from reactor.linereceiver import LineOnlyReceiver, LineReceiver
from reactor.protocol import Protocol
from reactor.testing import StringTransport, connectedServerAndClient
from tests.support.cutting import KINDS, cuttings, pieces

BUFFERS: dict[str, Any] = {linecore.IMPLEMENTATION: linecore.LineBuffer, "pure": _pure.LineBuffer}

Trace = list[Any]


class Transport:
    """Records what it is asked for; `failConnection` and `disconnected` are what our own transports have."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.disconnecting = False
        self.disconnected = False
        self.reading = True

    def write(self, data: bytes) -> str:
        self.trace.append(("write", data))
        return "written"

    def loseConnection(self) -> None:
        self.trace.append("lose")
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.trace.append("abort")
        self.disconnecting = True

    def pauseProducing(self) -> None:
        assert not self.disconnecting
        self.trace.append("pause")
        self.reading = False

    def resumeProducing(self) -> None:
        assert not self.disconnecting
        self.trace.append("resume")
        self.reading = True

    def stopProducing(self) -> None:
        self.trace.append("stop")
        self.reading = False


class OurTransport(Transport):
    def failConnection(self, failure: Failure) -> None:
        self.trace.append(("failed", failure.type))
        self.disconnecting = True


@pytest.fixture(params=BUFFERS)
def base(request: pytest.FixtureRequest) -> Any:
    """LineReceiver, on each of the line buffers that this process has."""
    return type("Receiver", (LineReceiver,), {"_bufferClass": BUFFERS[request.param]})


@pytest.fixture(params=[*BUFFERS, "twisted"])
def either(request: pytest.FixtureRequest) -> Any:
    """The same, and Twisted's, for what must be the same."""
    if request.param == "twisted":
        return basic.LineReceiver
    return type("Receiver", (LineReceiver,), {"_bufferClass": BUFFERS[request.param]})


def connected(kind: Any, transport: Callable[[Trace], Any] = Transport) -> tuple[Any, Trace]:
    trace: Trace = []
    protocol = kind()
    protocol.trace = trace
    protocol.makeConnection(transport(trace))
    return protocol, trace


class Recorded:
    """Puts every callback into `trace`."""

    trace: Trace

    def lineReceived(self, line: bytes) -> Any:
        self.trace.append(line)

    def rawDataReceived(self, data: bytes) -> Any:
        self.trace.append(("raw", data))

    def lineLengthExceeded(self, line: bytes) -> Any:
        self.trace.append(("exceeded", line))
        return super().lineLengthExceeded(line)  # type: ignore[misc]


def recorder(base: Any, *more: type, **attributes: Any) -> Any:
    return type("Recorder", (*more, Recorded, base), attributes)


# The behaviour of Twisted's.

CASES = ("LineReceiverTests", "LineReceiverLineLengthExceededTests", "LineOnlyReceiverTests", "ProducerTests")
TESTS = [
    (case, test) for case in CASES for test in unittest.defaultTestLoader.getTestCaseNames(getattr(twistedTests, case))
]


@pytest.mark.parametrize(("case", "test"), TESTS)
def test_twistedsOwnTests(case: str, test: str, base: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twisted's tests of its receivers, in a copy of their module that finds ours in place of its own."""
    monkeypatch.setattr(basic, "LineReceiver", base)
    monkeypatch.setattr(basic, "LineOnlyReceiver", LineOnlyReceiver)
    spec = importlib.util.spec_from_file_location("testsOnOurs", twistedTests.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = unittest.TestResult()
    getattr(module, case)(test).run(result)
    assert (result.errors, result.failures, result.skipped, result.testsRun) == ([], [], [], 1)


def test_theDefaults(either: Any) -> None:
    protocol = either()
    found = [(getattr(of, name)) for of in (either, protocol) for name in ("delimiter", "MAX_LENGTH", "line_mode")]
    assert found == [b"\r\n", 16384, 1] * 2
    assert protocol.paused is False
    assert either.paused is False
    assert protocol.transport is None
    for name in ("lineReceived", "rawDataReceived"):
        with pytest.raises(NotImplementedError):
            getattr(protocol, name)(b"")


def test_linesOfEveryKindAndCut(either: Any) -> None:
    for reads in cuttings(b"one\r\n\r\n\r\r\ntwo\nthree\r\nrest"):
        for kind in KINDS:
            protocol, trace = connected(recorder(either))
            assert [protocol.dataReceived(kind(read)) for read in reads] == [None] * len(reads)
            assert trace == [b"one", b"", b"\r", b"two\nthree"]
            assert {type(line) for line in trace} == {bytes}
            assert (protocol.clearLineBuffer(), protocol.clearLineBuffer()) == (b"rest", b"")


def test_refusedData(either: Any) -> None:
    protocol, trace = connected(recorder(either))
    for wrong in ("text", None, 3):
        with pytest.raises(TypeError):
            protocol.dataReceived(wrong)
    protocol.dataReceived(b"line\r\n")
    assert trace == [b"line"]


def test_anExceptionKeepsTheRest(either: Any) -> None:
    for error in (ValueError, StopIteration, KeyboardInterrupt):

        def lineReceived(self: Any, line: bytes, error: type[BaseException] = error) -> None:
            self.trace.append(line)
            if line == b"bad":
                raise error

        for reads in cuttings(b"bad\r\n1\r\nbad\r\n2\r\n"):
            protocol, trace = connected(recorder(either, lineReceived=lineReceived))
            for read in [*reads, b"", b""]:
                with contextlib.suppress(error):
                    protocol.dataReceived(read)
            assert trace == [b"bad", b"1", b"bad", b"2"]


def test_dataReceivedInACallbackAddsToTheEnd(either: Any) -> None:
    """However often: no recursion."""

    class Feeding(Recorded, either):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            self.trace.append(line)
            if len(self.trace) < 600:
                assert self.dataReceived(b"more%d\r\n" % len(self.trace)) is None

    protocol, trace = connected(Feeding)
    protocol.dataReceived(b"0\r\n1\r\n")
    assert trace[:4] == [b"0", b"1", b"more1", b"more2"]
    assert len(trace) == 601


def test_modesMayFlipAtEachByte(either: Any) -> None:
    class Flipping(Recorded, either):  # type: ignore[misc]
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            self.trace.append(line)
            self.setRawMode()

        def rawDataReceived(self, data: bytes) -> None:
            self.trace.append(data[:1])
            self.setLineMode(data[1:])

    count = 3 * sys.getrecursionlimit()
    for reads in ([b"a\nb" * count], pieces(b"a\nb" * count, 1), pieces(b"a\nb" * count, 50)):
        protocol, trace = connected(Flipping)
        for read in reads:
            protocol.dataReceived(read)
        assert trace == [b"a", b"b"] * count


class Request(Recorded):
    """The bones of an HTTP/1.1 server: headers are lines, a body is raw data, and requests follow each other."""

    def reset(self) -> None:
        self.headers: list[bytes] = []
        self.body = b""
        self.missing = 0

    def connectionMade(self) -> None:
        self.reset()

    def lineReceived(self, line: bytes) -> None:
        if line:
            self.headers.append(line)
            if line.lower().startswith(b"content-length:"):
                self.missing = int(line[15:])
        elif self.missing:
            self.setRawMode()  # type: ignore[attr-defined]
        else:
            self.done()

    def rawDataReceived(self, data: bytes) -> None:
        body, rest = data[: self.missing], data[self.missing :]
        self.body += body
        self.missing -= len(body)
        if not self.missing:
            self.done()
            self.setLineMode(rest)  # type: ignore[attr-defined]

    def done(self) -> None:
        self.trace.append((self.headers, self.body))
        self.reset()


REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
    b"POST /b HTTP/1.1\r\nContent-Length: 13\r\n\r\nbody\r\n\r\nbody2"
    b"POST /c HTTP/1.1\r\nContent-Length: 1\r\n\r\n\nGET /d HTTP/1.1\r\n\r\n"
)


def test_anHttpLikeChannel(either: Any) -> None:
    """Headers in line mode, the body in raw mode, and back for the next pipelined request: in every cut in three."""
    expected = [
        ([b"GET /a HTTP/1.1", b"Host: h"], b""),
        ([b"POST /b HTTP/1.1", b"Content-Length: 13"], b"body\r\n\r\nbody2"),
        ([b"POST /c HTTP/1.1", b"Content-Length: 1"], b"\n"),
        ([b"GET /d HTTP/1.1"], b""),
    ]
    kind = type("Channel", (Request, either), {})
    size = len(REQUESTS)
    halves = itertools.combinations_with_replacement(range(size + 1), 2)
    for reads in [*([REQUESTS[:a], REQUESTS[a:b], REQUESTS[b:]] for a, b in halves), *cuttings(REQUESTS)]:
        protocol, trace = connected(kind)
        for read in reads:
            protocol.dataReceived(read)
        assert trace == expected


def test_rawDataComesWhole(either: Any) -> None:
    for start in (b"", b"partial"):
        protocol, trace = connected(recorder(either))
        protocol.dataReceived(start)
        protocol.setRawMode()
        protocol.dataReceived(b"")
        protocol.dataReceived(b"raw" * 9000)
        assert trace[-1] == ("raw", start + b"raw" * 9000 if start == b"" else b"raw" * 9000)
        assert protocol.setLineMode() is None
        protocol.setLineMode(b"line\r\n")
        assert trace[-1] == b"line"


def test_setLineModeGoesThroughTheOverriddenDataReceived(either: Any) -> None:
    class Counting(Recorded, either):  # type: ignore[misc]
        def dataReceived(self, data: bytes) -> Any:
            self.trace.append(len(data))
            return super().dataReceived(data)

    protocol, trace = connected(Counting)
    protocol.setLineMode(b"x\r\n")
    protocol.resumeProducing()
    assert trace == [3, b"x", "resume", 0]


def test_trueResultsStop(either: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> Any:
        self.trace.append(line)
        return {b"stop": "why", b"zero": 0, b"empty": "", b"list": []}.get(line)

    protocol, trace = connected(recorder(either, lineReceived=lineReceived))
    assert protocol.dataReceived(b"zero\r\nempty\r\nlist\r\nstop\r\nx\r\nstop\r\ny\r\n") == "why"
    assert trace == [b"zero", b"empty", b"list", b"stop"]
    assert protocol.dataReceived(b"") == "why"
    assert protocol.dataReceived(b"") is None
    assert trace[4:] == [b"x", b"stop", b"y"]


def test_disconnectingIsAskedAfterEachLine(either: Any) -> None:
    for reads in cuttings(b"1\r\nlose\r\n2\r\n3\r\n"):

        def lineReceived(self: Any, line: bytes) -> None:
            self.trace.append(line)
            if line == b"lose":
                self.transport.loseConnection()

        protocol, trace = connected(recorder(either, lineReceived=lineReceived))
        protocol.dataReceived(b"".join(reads))
        assert trace == [b"1", b"lose", "lose"]
        assert protocol.dataReceived(b"") is None
        assert trace[3:] == [b"2"]
        assert protocol.clearLineBuffer() == b"3\r\n"


@pytest.mark.parametrize("closing", ["own", "other", "swapped"])
def test_linesWhileTransportsClose(either: Any, closing: str) -> None:
    """Transports of ours announce that they begin to close, all alike; only `self.transport` counts."""
    other = StringTransport()

    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"2":
            if closing == "swapped":
                self.transport = other
            (self.transport if closing == "own" else other).loseConnection()

    protocol, trace = connected(recorder(either, lineReceived=lineReceived))
    protocol.transport = StringTransport()
    protocol.dataReceived(b"1\r\n2\r\n3\r\n4\r\n")
    assert trace == ([b"1", b"2", b"3", b"4"] if closing == "other" else [b"1", b"2"])
    protocol.dataReceived(b"5\r\n6\r\n")
    assert trace[2:] == ([b"3", b"4", b"5", b"6"] if closing == "other" else [b"3"])


def test_aTransportWithoutDisconnecting(either: Any) -> None:
    protocol, trace = connected(recorder(either))
    protocol.transport = object()
    with pytest.raises(AttributeError):
        protocol.dataReceived(b"1\r\n2\r\n")
    protocol.transport = None
    protocol.dataReceived(b"3\r\n")
    assert trace == [b"1", b"2", b"3"]


def test_aSwappedTransportIsAsked(either: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        self.transport = Transport(self.trace)
        self.transport.disconnecting = line == b"2"

    protocol, trace = connected(recorder(either, lineReceived=lineReceived))
    protocol.dataReceived(b"1\r\n2\r\n3\r\n")
    assert trace == [b"1", b"2"]


def test_aReplacedHandlerIsCalled(either: Any) -> None:
    protocol, trace = connected(recorder(either))

    def second(line: bytes) -> None:
        trace.append(("second", line))

    def first(line: bytes) -> None:
        trace.append(("first", line))
        protocol.lineReceived = second

    protocol.lineReceived = first
    protocol.dataReceived(b"1\r\n2\r\n3\r\n")
    assert trace == [("first", b"1"), ("second", b"2"), ("second", b"3")]


@pytest.mark.parametrize("length", [3, 4, 5, 6])
def test_theExactLimit(either: Any, length: int) -> None:
    text = b"x" * length
    for reads in cuttings(text + b"\r\nrest\r\n"):
        protocol, trace = connected(recorder(either, MAX_LENGTH=4))
        results = [protocol.dataReceived(read) for read in reads]
        if length <= 4:
            assert trace == [text, b"rest"]
        else:
            event = trace[0]
            assert trace[:2] == [event, "lose"]
            assert (text + b"\r\nrest\r\n").startswith(event[1])
            assert set(results) == {None}
    protocol, trace = connected(recorder(either, MAX_LENGTH=4))
    protocol.dataReceived(text)
    assert trace == ([] if length < 6 else [("exceeded", text), "lose"])


def test_whatIsTooLongGetsAllAndClosesOnce(either: Any) -> None:
    protocol, trace = connected(recorder(either, MAX_LENGTH=3, delimiter=b";"))
    protocol.dataReceived(b"abc;abcd;a;b")
    assert trace == [b"abc", ("exceeded", b"abcd;a;b"), "lose"]
    assert protocol.clearLineBuffer() == b""


def test_dataPutBackByLineLengthExceededWaits(either: Any) -> None:
    class PuttingBack(Recorded, either):  # type: ignore[misc]
        MAX_LENGTH = 3

        def lineLengthExceeded(self, line: bytes) -> str:
            self.trace.append(("exceeded", line))
            assert self.clearLineBuffer() == b""
            self.setLineMode(b"a\r\n")
            return "result"

    protocol, trace = connected(PuttingBack)
    assert protocol.dataReceived(b"long\r\n") == "result"
    assert trace == [("exceeded", b"long\r\n")]
    protocol.dataReceived(b"b\r\n")
    assert trace[1:] == [b"a", b"b"]


def test_pauseAndResume(either: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"pause":
            self.pauseProducing()

    for reads in cuttings(b"pause\r\n1\r\npause\r\n2\r\n"):
        protocol, trace = connected(recorder(either, lineReceived=lineReceived))
        for read in reads:
            protocol.dataReceived(read)
        assert trace == [b"pause", "pause"]
        assert protocol.paused
        assert protocol.resumeProducing() is None
        assert trace[2:] == ["resume", b"1", b"pause", "pause"]
        protocol.paused = False
        protocol.dataReceived(b"")
        assert trace[6:] == [b"2"]
        protocol.stopProducing()
        protocol.dataReceived(b"3\r\n")
        assert trace[7:] == ["stop"]
        del protocol.paused
        assert protocol.paused is False
        protocol.dataReceived(b"4\r\n")
        assert trace[8:] == [b"3", b"4"]


def test_pauseWithoutATransport(either: Any) -> None:
    protocol = either()
    for method in ("pauseProducing", "resumeProducing", "stopProducing"):
        with pytest.raises(AttributeError):
            getattr(protocol, method)()
        assert protocol.paused is (method != "resumeProducing")


def test_sendLine(either: Any) -> None:
    protocol, trace = connected(recorder(either, delimiter=b";"))
    assert protocol.sendLine(b"x") == protocol.transport.write(b"x;")
    for wrong in ("text", None):
        with pytest.raises(TypeError):
            protocol.sendLine(wrong)
    assert trace == [("write", b"x;")] * 2


def test_onTwistedsTransport(base: Any) -> None:
    protocol = recorder(base)()
    protocol.trace = []
    transport = TwistedStringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"a\r\nb\r\n")
    protocol.sendLine(b"x")
    protocol.sendLines([b"y", b"z"])
    protocol.pauseProducing()
    assert (protocol.trace, transport.value(), transport.producerState) == ([b"a", b"b"], b"x\r\ny\r\nz\r\n", "paused")
    protocol.resumeProducing()
    protocol.dataReceived(b"z" * 20000)
    assert transport.disconnecting


def test_settingsSetOnClassesAtAnyTime(either: Any) -> None:
    """An attribute set on the class, a mixin or a base while lines are delivered counts for the next line."""
    for count in range(3):
        mixin: Any = type("Mixin", (), {})
        between = type("Between", (Recorded, either), {})
        kind: Any = type("Kind", (mixin, between), {})
        target = (kind, mixin, between)[count]

        def lineReceived(self: Any, line: bytes, target: Any = target) -> None:
            self.trace.append(line)
            if line == b"1":
                target.delimiter = b";"
            if line == b"2":
                target.delimiter = b"!"
            if line == b"3":
                target.MAX_LENGTH = 2

        kind.lineReceived = lineReceived
        protocol, trace = connected(kind)
        protocol.dataReceived(b"1\r\n2;3!4444!5")
        assert trace == [b"1", b"2", b"3", ("exceeded", b"4444!5"), "lose"]


WAYS_TO_KEEP: list[Any] = [
    lambda self, line: None,
    lambda self, line: hash(line) and None,
    lambda self, line: self.kept.append((line, bytes(bytearray(line)))),
    lambda self, line: self.kept.append((line[:], bytes(bytearray(line)))),
    lambda self, line: self.kept.append((memoryview(line), bytes(bytearray(line)))),
    lambda self, line: self.kept.append((next(iter([line])), bytes(bytearray(line)))),
    lambda self, line: self.counts.update([line]),
    lambda self, line: self.kept.append(((lambda: line), bytes(bytearray(line)))),
    lambda self, line: setattr(self, "last", line),
]


@pytest.mark.parametrize("receiver", [LineReceiver, LineOnlyReceiver])
@pytest.mark.parametrize("transport", ["told", "asked"])
def test_aLineStaysWhatItIs(base: Any, transport: str, receiver: Any) -> None:
    """Code that keeps a line, in any way, keeps that line, though a line that nobody keeps may become the next."""
    for seed in range(60):
        rng = random.Random(seed)
        lines = [
            bytes(rng.choices(b"abc", k=rng.choice([0, 1, 2, rng.randrange(70), rng.randrange(2000)])))
            for _ in range(300)
        ]
        protocol, got = connected(recorder(receiver, _bufferClass=base._bufferClass))
        protocol.kept, protocol.counts = [], collections.Counter()
        ways = rng.choices(WAYS_TO_KEEP, k=rng.choice([1, 3]))
        expected: collections.Counter[bytes] = collections.Counter()

        def lineReceived(self: Any, line: bytes, rng: Any = rng, ways: Any = ways, expected: Any = expected) -> Any:
            assert type(line) is bytes
            self.trace.append(bytearray(line))
            way = rng.choice(ways)
            if way is WAYS_TO_KEEP[6]:
                expected.update([bytes(bytearray(line))])
            return way(self, line)

        type(protocol).lineReceived = lineReceived
        protocol.makeConnection(Telling() if transport == "told" else Mute())
        for read in pieces(b"".join(line + b"\r\n" for line in lines), 1500):
            assert protocol.dataReceived(read) is None
        assert got == lines
        assert protocol.counts == expected
        for kept, content in protocol.kept:
            assert (kept() if callable(kept) else kept) == content


UNKEPT = """
from reactor import LineReceiver
from reactor.testing import StringTransport

class Counting(LineReceiver):
    MAX_LENGTH = 4000
    sizes = 0

    def lineReceived(self, line):
        self.sizes += len(line)

protocol = Counting()
protocol.makeConnection(StringTransport())
sizes = [*range(600), *range(600, 0, -1), *(size * 7919 % 3000 for size in range(3000))]
for size in sizes:
    protocol.dataReceived(b"".join(b"x" * each + b"\\r\\n" for each in (size, size + 15, size, size + 1)))
assert protocol.sizes == sum(4 * size + 16 for size in sizes)
"""


def test_noLineIsWrittenBeyondItsMemory() -> None:
    """An allocator that looks for that ends the process."""
    done = subprocess.run(
        [sys.executable, "-c", UNKEPT], env=os.environ | {"PYTHONMALLOC": "debug"}, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_aLineEndsWhereItEnds(base: Any) -> None:
    """Where a bytes object ends there is a zero, which C functions rely on."""
    protocol, got = connected(recorder(base, lineReceived=lambda self, line: self.trace.append(int(line))))
    protocol.dataReceived(b"\r\n".join([b"123456", b"12", b"345", b""]) * 3)
    assert got == [123456, 12, 345] * 3


# The behaviour beyond Twisted's.


def test_sendLines(base: Any) -> None:
    protocol, trace = connected(recorder(base))
    assert protocol.sendLines(iter([b"a", b"", b"b"])) == "written"
    assert protocol.sendLines([b""]) == "written"
    assert protocol.sendLines([]) is None
    protocol.delimiter = b"\n"
    protocol.sendLines([b"c"])
    assert trace == [("write", b"a\r\n\r\nb\r\n"), ("write", b"\r\n"), ("write", b"c\n")]
    with pytest.raises(TypeError):
        protocol.sendLines(["text"])
    protocol.delimiter = bytearray(b"--")
    protocol.sendLines([b"d", b"e"])
    assert trace[3:] == [("write", b"d--e--")]


class Gathering(linecore.OutputBuffer):
    __slots__ = ("disconnected", "producer", "told")

    def __init__(self) -> None:
        self.told: list[int] = []

    def _passedMark(self, added: int) -> None:
        self.told.append(added)

    def taken(self) -> bytes:
        data = bytes(self._front() or b"")
        self._drop(len(data))
        return data


def test_whatIsSentIsGathered(base: Any) -> None:
    """Lines for a transport of ours take a short way, which tells of them the same as write() would."""
    protocol, _trace = connected(recorder(base))
    protocol.makeConnection(Gathering())
    protocol.dataReceived(b"a\r\n")
    transport = protocol.transport
    transport._hold(9)
    send: Callable[[], object]
    for send in (lambda: protocol.sendLine(b"one"), lambda: protocol.sendLine(b"two"), lambda: protocol.sendLine(b"")):
        assert send() is None
    assert (transport.told, transport.unsent) == ([5, 2], 12)
    protocol.sendLines([b"three", b""])
    protocol.delimiter = b"\n"
    protocol.sendLine(b"four")
    assert transport.told == [5, 2, 9, 5]
    assert transport.taken() == b"one\r\ntwo\r\n\r\nthree\r\n\r\nfour\n"
    for wrong in ("text", None, 3):
        with pytest.raises(TypeError):
            protocol.sendLine(wrong)
        with pytest.raises(TypeError):
            protocol.sendLines([wrong])
    protocol.sendLine(bytearray(b"five"))
    protocol.sendLines((b"six", memoryview(b"seven")))
    assert transport.taken() == b"five\nsix\nseven\n"


def test_aWriteOfItsOwnIsCalled(base: Any) -> None:
    written: list[bytes] = []
    overriding: Any = type("Overriding", (Gathering,), {"write": lambda self, data: written.append(data)})
    loose: Any = type("Loose", (Gathering,), {})
    ours, theirs, own = Gathering(), overriding(), loose()
    protocol, _trace = connected(recorder(base))
    for transport in (ours, theirs, own):
        protocol.makeConnection(transport)
        protocol.dataReceived(b"a\r\n")
        protocol.sendLine(b"1")
    own.write = written.append
    protocol.sendLine(b"2")
    protocol.makeConnection(theirs)
    protocol.sendLine(b"3")
    assert written == [b"1\r\n", b"2\r\n", b"3\r\n"]
    assert (ours.taken(), theirs.taken(), own.taken()) == (b"1\r\n", b"", b"1\r\n")
    overriding.write = Gathering.write
    protocol.sendLine(b"4")
    loose.write = lambda self, data: written.append(data)
    del own.write
    protocol.makeConnection(own)
    protocol.sendLine(b"5")
    assert (theirs.taken(), own.taken(), written[3:]) == (b"4\r\n", b"", [b"5\r\n"])


def test_lineCount(base: Any) -> None:
    protocol, _trace = connected(recorder(base, MAX_LENGTH=3, overlong="skip"))
    assert protocol.lineCount == 0
    protocol.dataReceived(b"a\r\nlong\r\nb\r\nlonger")
    assert protocol.lineCount == 3
    protocol.dataReceived(b" than that\r\n")
    assert protocol.lineCount == 4


class Batches(Recorded):
    def linesReceived(self, lines: list[bytes]) -> Any:
        self.trace.append(lines)


def test_linesReceived(base: Any) -> None:
    protocol, trace = connected(recorder(base, Batches))
    for read in (b"a\r\nb\r\nc", b"\r", b"\n", b"", b"d\r\n", b"rest"):
        protocol.dataReceived(read)
    assert trace == [[b"a", b"b"], [b"c"], [b"d"]]
    assert {type(line) for lines in trace for line in lines} == {bytes}
    assert protocol.clearLineBuffer() == b"rest"


def test_aBatchEndsBeforeALineTooLong(base: Any) -> None:
    protocol, trace = connected(recorder(base, Batches, MAX_LENGTH=3))
    protocol.dataReceived(b"a\r\nb\r\nlong\r\nc\r\n")
    assert trace == [[b"a", b"b"], ("exceeded", b"long\r\nc\r\n"), "lose"]
    protocol, trace = connected(recorder(base, Batches, MAX_LENGTH=3, overlong="skip"))
    protocol.dataReceived(b"a\r\nb\r\nlong\r\nc\r\nlonger")
    assert trace == [[b"a", b"b"], ("exceeded", b"long"), [b"c"], ("exceeded", b"longer")]
    protocol.dataReceived(b" still\r\nd\r\n")
    assert trace[4:] == [[b"d"]]


def test_settingsChangedInABatchCountAfterIt(base: Any) -> None:
    def linesReceived(self: Any, lines: list[bytes]) -> None:
        self.trace.append(lines)
        self.delimiter = b"\n" if lines[0] == b"lf" else b"\r\n"
        if lines[0] == b"raw":
            self.setRawMode()
        if lines[0] == b"pause":
            self.pauseProducing()
        if lines[0] == b"lose":
            self.transport.loseConnection()

    protocol, trace = connected(recorder(base, linesReceived=linesReceived))
    protocol.dataReceived(b"lf\r\na\nb\r\nc\nd")
    assert trace == [[b"lf", b"a\nb"], [b"c"]]
    protocol.dataReceived(b"\r\n")
    protocol.dataReceived(b"raw\r\nx\r\ny")
    assert trace[2:] == [[b"d"], [b"raw", b"x"], ("raw", b"y")]
    protocol.setLineMode(b"pause\r\nz\r\n1")
    protocol.dataReceived(b"2\r\n")
    assert trace[5:] == [[b"pause", b"z"], "pause"]
    protocol.resumeProducing()
    protocol.dataReceived(b"lose\r\n")
    protocol.dataReceived(b"never\r\n")
    assert trace[7:] == ["resume", [b"12"], [b"lose"], "lose", [b"never"]]


class Heads(Recorded):
    """Reads messages with a head of lines and a body of as many bytes as its first line says."""

    batchEndsAtEmptyLine = True
    missing = 0

    def linesReceived(self: Any, lines: list[bytes]) -> Any:
        self.trace.append(lines)
        if lines[-1]:
            return
        if lines[0] == b"pause":
            self.pauseProducing()
        elif lines[0] == b"lose":
            self.transport.loseConnection()
        elif lines[0] == b"other":
            self.delimiter = b"\n"
        elif lines[0].isdigit():
            body = self.takeReceived(int(lines[0]))
            self.trace.append(("body", body))
            self.missing = int(lines[0]) - len(body)
            if self.missing:
                self.setRawMode()

    def rawDataReceived(self: Any, data: bytes) -> Any:
        piece, rest = data[: self.missing], data[self.missing :]
        self.trace.append(("raw", piece))
        self.missing -= len(piece)
        if not self.missing:
            self.setLineMode(rest)


def test_batchesThatEndAtEmptyLines(base: Any) -> None:
    """A head may decide about the bytes behind it, in the same read."""
    protocol, trace = connected(recorder(base, Heads))
    protocol.dataReceived(b"a\r\nb\r\n\r\n4\r\nx\r\n\r\n\r\n\r\nc\r\n\r\n\r\n3\r\n\r\n1")
    assert trace == [
        [b"a", b"b", b""],
        [b"4", b"x", b""],
        ("body", b"\r\n\r\n"),
        [b"c", b""],
        [b""],
        [b"3", b""],
        ("body", b"1"),
    ]
    protocol.dataReceived(b"23d\r\n")
    protocol.dataReceived(b"\r\npause\r\n\r\ne\r\n\r\n")
    assert trace[7:] == [("raw", b"23"), [b"d"], [b""], [b"pause", b""], "pause"]
    protocol.resumeProducing()
    protocol.dataReceived(b"other\r\n\r\nf\r\ng\n\nlose\n\nnever\n\n")
    assert trace[12:] == ["resume", [b"e", b""], [b"other", b""], [b"f\r", b"g", b""], [b"lose", b""], "lose"]


def test_takeReceivedEndsTheDelivery(base: Any) -> None:
    protocol, trace = connected(recorder(base, Heads))
    protocol.dataReceived(b"5\r\n\r\nhello")
    protocol.dataReceived(b"a\r\n\r\n")
    assert trace == [[b"5", b""], ("body", b"hello"), [b"a", b""]]
    with pytest.raises(ValueError, match="-1"):
        protocol.takeReceived(-1)


def test_aTrueResultOfABatchStops(base: Any) -> None:
    def linesReceived(self: Any, lines: list[bytes]) -> Any:
        self.trace.append(lines)
        self.delimiter = b"\n"
        return lines[0] == b"stop"

    protocol, trace = connected(recorder(base, linesReceived=linesReceived))
    assert protocol.dataReceived(b"stop\r\na\nb\n") is True
    assert trace == [[b"stop"]]
    assert protocol.dataReceived(b"") is None
    assert trace == [[b"stop"], [b"a", b"b"]]


def test_aBatchWhenSettingsAreProperties(base: Any) -> None:
    """The limit is asked for again for the line that ended a batch: it may be fine by then."""
    limits = iter([1, 5, 5, 5])
    kind = recorder(base, Batches, MAX_LENGTH=property(lambda self: next(limits)))
    protocol, trace = connected(kind)
    protocol.dataReceived(b"four\r\n")
    assert trace == [[b"four"]]


class Mute:
    """A transport of somebody else's: does not tell when it begins to close."""

    disconnecting = False

    def loseConnection(self) -> None:
        self.disconnecting = True

    def pauseProducing(self) -> None:
        pass

    resumeProducing = stopProducing = pauseProducing


class Telling(Mute, linecore.Disconnectable):
    """Tells, as our transports do."""

    disconnecting = linecore.Disconnectable.disconnecting


BATCH_ACTIONS: list[Any] = [
    lambda self: None,
    lambda self: "a true result",
    lambda self: 0,
    lambda self: setattr(self, "delimiter", b"\n"),
    lambda self: setattr(self, "delimiter", b"\r\n"),
    lambda self: setattr(self, "MAX_LENGTH", 3),
    lambda self: setattr(self, "stripCR", True),
    lambda self: setattr(type(self), "MAX_LENGTH", 4),
    lambda self: setattr(self, "linesReceived", None),
    lambda self: self.setRawMode(),
    lambda self: self.pauseProducing(),
    lambda self: self.transport.loseConnection(),
    lambda self: Telling().loseConnection(),
    lambda self: self.dataReceived(b"from\r\ninside\n"),
    lambda self: self.setLineMode(b"extra\r\n"),
    lambda self: self.clearLineBuffer(),
    lambda self: self.takeReceived(2),
    lambda self: 1 // 0,
    lambda self: succeed("at once"),
]


def batchTrace(seed: int, buffer: Any, transport: Any, **settings: Any) -> Trace:
    """Feed random reads to a receiver whose batches do random things, and return what happened."""
    rng = random.Random(seed)
    trace: Trace = []

    def linesReceived(self: Any, lines: list[bytes]) -> Any:
        trace.append(("batch", [*lines]))
        return rng.choice(BATCH_ACTIONS)(self)

    kind = recorder(
        LineReceiver,
        linesReceived=linesReceived,
        _bufferClass=buffer,
        overlong=rng.choice(["close", "skip"]),
        batchEndsAtEmptyLine=rng.random() < 0.5,
        **settings,
    )
    protocol = kind()
    protocol.trace = trace
    protocol.makeConnection(transport)
    for _ in range(6):
        read = b"".join(rng.choices([b"a", b"bcd", b"longer", b"\r\n", b"\n", b"\r"], k=rng.randrange(12)))
        for step in (lambda data=read: protocol.dataReceived(data), protocol.resumeProducing, protocol.setLineMode):
            try:
                trace.append(("returned", step(), protocol.lineCount) if rng.random() < 0.6 else "left out")
            except ZeroDivisionError:
                trace.append(("raised", protocol.lineCount))
    trace.append(protocol.clearLineBuffer())
    return trace


@pytest.mark.parametrize("buffer", BUFFERS.values(), ids=BUFFERS)
def test_batchesWhateverTheyDo(buffer: Any) -> None:
    """The settings may be known or must be asked for, the transport may tell of its end or not: all is the same."""
    for seed in range(1500):
        exact = batchTrace(seed, _pure.LineBuffer, Mute())
        assert batchTrace(seed, buffer, Mute()) == exact, seed
        assert batchTrace(seed, buffer, Telling()) == exact, seed
        assert batchTrace(seed, buffer, Telling(), __delattr__=lambda self, name: None) == exact, seed


def test_stripCR(base: Any) -> None:
    for reads in cuttings(b"a\r\nb\n\r\n\r\r\nc\rd\n"):
        for more in ({"stripCR": True}, {"stripCR": property(lambda self: True)}):
            protocol, trace = connected(recorder(base, delimiter=b"\n", **more))
            for read in reads:
                protocol.dataReceived(read)
            assert trace == [b"a", b"b", b"", b"\r", b"c\rd"]


def test_stripCRAtTheLimit(base: Any) -> None:
    """The CR counts as part of the delimiter: as long a line as with a delimiter of CR LF is delivered."""
    kind = recorder(base, delimiter=b"\n", stripCR=True, MAX_LENGTH=4)
    for reads in cuttings(b"four\r\nfour\n"):
        protocol, trace = connected(kind)
        for read in reads:
            protocol.dataReceived(read)
        assert trace == [b"four", b"four"]
    for data in (b"fiver\r\n", b"four\r\r\n", b"fiver\n", b"sixsix"):
        protocol, trace = connected(kind)
        protocol.dataReceived(data)
        assert trace == [("exceeded", data), "lose"]


def test_stripCRMayChange(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        self.stripCR = line == b"on"

    protocol, trace = connected(recorder(base, lineReceived=lineReceived, delimiter=b"\n"))
    protocol.dataReceived(b"a\r\non\nb\r\nc\r\n")
    assert trace == [b"a\r", b"on", b"b", b"c\r"]
    assert (base.stripCR, protocol.stripCR) == (False, False)


# A line that is too long is skipped.


def test_overlongSkip(base: Any) -> None:
    stream = b"a\r\n" + b"x" * 50 + b"\r\nb\r\n" + b"y" * 9 + b"\r\n\r\nc\r\n"
    for reads in cuttings(stream):
        protocol, trace = connected(recorder(base, MAX_LENGTH=5, overlong="skip"))
        for read in reads:
            protocol.dataReceived(read)
            assert len(protocol.clearLineBuffer.__self__._LineReceiver__buffer) <= 7
        lines = [event for event in trace if type(event) is bytes]
        told = [event[1] for event in trace if type(event) is tuple]
        assert lines == [b"a", b"b", b"", b"c"]
        assert [line[:1] for line in told] == [b"x", b"y"]
        assert all(5 < len(line) <= 51 for line in told)
        assert protocol.overlongCount == 2
        assert not protocol.transport.disconnecting


def test_skippedWithoutAHandler(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)

    kind = type("Kind", (base,), {"lineReceived": lineReceived, "MAX_LENGTH": 5, "overlong": "skip"})
    protocol, trace = connected(kind)
    protocol.dataReceived(b"too long\r\nfine\r\n")
    assert trace == [b"fine"]
    protocol.overlong = "close"
    protocol.dataReceived(b"too long\r\nfine\r\n")
    assert trace == [b"fine", "lose"]
    assert protocol.overlongCount == 1


def test_whatASkipsHandlerMayDo(base: Any) -> None:
    def lineLengthExceeded(self: Any, line: bytes) -> Any:
        self.trace.append(("exceeded", line))
        match line[:1]:
            case b"s":
                return "stop"
            case b"l":
                self.transport.loseConnection()
            case b"r":
                self.setRawMode()
            case b"c":
                assert self.clearLineBuffer() == b"gone\r\n"
            case b"p":
                self.pauseProducing()
        return None

    kind = recorder(base, lineLengthExceeded=lineLengthExceeded, MAX_LENGTH=2, overlong="skip")
    protocol, trace = connected(kind)
    assert protocol.dataReceived(b"stop\r\n1\r\n") == "stop"
    assert protocol.dataReceived(b"raw\r\n2\r\n") is None
    assert trace == [("exceeded", b"stop"), b"1", ("exceeded", b"raw"), ("raw", b"2\r\n")]
    protocol.setLineMode(b"clear\r\ngone\r\n")
    protocol.dataReceived(b"3\r\npause\r\n4\r\n")
    assert trace[4:] == [("exceeded", b"clear"), b"3", ("exceeded", b"pause"), "pause"]
    protocol.resumeProducing()
    protocol.dataReceived(b"lose\r\n5\r\n")
    assert trace[8:] == ["resume", b"4", ("exceeded", b"lose"), "lose"]


@pytest.mark.parametrize("delimiter", [b"\n", b"\r\n", b"abab", b"\r\n\r\n"])
@pytest.mark.parametrize("after", ["clear", "raw", "take"])
def test_nothingOfASkippedLineComesBack(base: Any, delimiter: bytes, after: str) -> None:
    """Not from clearLineBuffer, then or later, and not as raw data, which begins behind the line."""
    for end in range(len(delimiter)):
        protocol, trace = connected(recorder(base, MAX_LENGTH=5, overlong="skip", delimiter=delimiter))
        protocol.dataReceived(b"x" * 50 + delimiter[:end])
        del trace[:]
        match after:
            case "clear":
                assert protocol.clearLineBuffer() == b""
            case "raw":
                protocol.setRawMode()
            case "take":
                assert protocol.takeUndelivered() == b""
                protocol.dataReceived(b"y" + delimiter + b"z" * 50)
                assert trace.pop(0) == b"y"
                assert [event[0] for event in trace] == ["exceeded"]
                del trace[:]
        for _ in range(3):
            protocol.dataReceived(b"x" * 50 + delimiter[:end])
            assert (trace, len(protocol.clearLineBuffer())) == ([], 0)
        protocol.dataReceived(delimiter[end:] + b"next" + delimiter)
        assert trace == [("raw", b"next" + delimiter) if after == "raw" else b"next"]
        assert protocol.overlongCount == (2 if after == "take" else 1)


@pytest.mark.parametrize("when", ["told", "later", "paused", "waited"])
def test_aDelimiterThatChangesDuringASkipCountsAtOnce(base: Any, when: str) -> None:
    deferred: Deferred[None] = Deferred()

    def lineLengthExceeded(self: Any, line: bytes) -> Any:
        self.trace.append(("exceeded", line))
        if when == "told":
            self.delimiter = b";"
        return deferred if when == "waited" else None

    protocol, trace = connected(recorder(base, lineLengthExceeded=lineLengthExceeded, MAX_LENGTH=5, overlong="skip"))
    protocol.dataReceived(b"x" * 50)
    if when == "paused":
        protocol.pauseProducing()
        protocol.dataReceived(b"x\r\nx")
    elif when == "waited":
        protocol.dataReceived(b"x\r\nx")
    protocol.delimiter = b";"
    if when == "paused":
        protocol.resumeProducing()
    elif when == "waited":
        deferred.callback(None)
    for piece in (b"x\r\nx", b"x;next;", b"la\r\nst;"):
        protocol.dataReceived(piece)
    assert [event for event in trace if event not in ("pause", "resume")] == [
        ("exceeded", b"x" * 50),
        b"next",
        ("exceeded", b"la\r\nst"),
    ]
    assert protocol.lineCount == 3


@pytest.mark.parametrize("value", ["SKIP", None, 1, b"skip"])
def test_aBadOverlong(base: Any, value: Any) -> None:
    protocol, _trace = connected(recorder(base, MAX_LENGTH=2))
    protocol.overlong = value
    protocol.dataReceived(b"ab\r\n")
    with pytest.raises(ValueError, match="overlong must be"):
        protocol.dataReceived(b"abc\r\n")
    with pytest.raises(ValueError, match="overlong must be"):
        type("Bad", (base,), {"overlong": value})


def test_overlongMayBeAProperty(base: Any) -> None:
    kind = recorder(base, MAX_LENGTH=2, overlong=property(lambda self: "skip"))
    protocol, trace = connected(kind)
    protocol.dataReceived(b"abc\r\nd\r\n")
    assert trace == [("exceeded", b"abc"), b"d"]


def test_initSubclassIsCooperative(base: Any) -> None:
    class Registered:
        def __init_subclass__(cls, word: str = "", **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.word = word  # type: ignore[attr-defined]

    kind: Any = types.new_class("Kind", (base, Registered), {"word": "w"})
    assert kind.word == "w"


# A handler may be asynchronous.


class Waiting(Recorded):
    """Every line gets a Deferred of its own, in `waits`."""

    def connectionMade(self) -> None:
        self.waits: list[Any] = []

    def lineReceived(self, line: bytes) -> Any:
        self.trace.append(line)
        self.waits.append(self.newDeferred())
        return self.waits[-1]

    def newDeferred(self) -> Any:
        return Deferred()


class TwistedWaiting(Waiting):
    def newDeferred(self) -> Any:
        return twistedDefer.Deferred()


class CoroutineWaiting(Waiting):
    def lineReceived(self, line: bytes) -> Any:
        return self.wait(super().lineReceived(line))

    async def wait(self, deferred: Any) -> Any:
        return await deferred


@pytest.fixture(params=[Waiting, TwistedWaiting, CoroutineWaiting])
def waiting(request: pytest.FixtureRequest, base: Any) -> Any:
    return type("Kind", (request.param, base), {})


def test_theNextLineWaits(waiting: Any) -> None:
    protocol, trace = connected(waiting)
    assert protocol.dataReceived(b"1\r\n2\r\n3\r\n") is None
    assert trace == [b"1", "pause"]
    protocol.dataReceived(b"4\r\n5")
    protocol.waits[0].callback("ignored")
    assert trace == [b"1", "pause", b"2"]
    protocol.waits[1].callback(None)
    protocol.waits[2].callback(True)
    assert trace == [b"1", "pause", b"2", b"3", b"4"]
    protocol.waits[3].callback(None)
    assert trace[5:] == ["resume"]
    protocol.dataReceived(b"\r\n")
    assert trace[6:] == [b"5", "pause"]
    protocol.waits[4].callback(None)
    assert trace[8:] == ["resume"]
    assert protocol.paused is False


def test_rawDataAndBatchesWait(base: Any) -> None:
    class Both(Waiting, base):  # type: ignore[misc]
        def rawDataReceived(self, data: bytes) -> Any:
            return self.lineReceived(data)

        def linesReceived(self, lines: list[bytes]) -> Any:
            if b"raw" in lines:
                self.setRawMode()
            return self.lineReceived(b"|".join(lines))

    protocol, trace = connected(Both)
    protocol.dataReceived(b"1\r\n2\r\nraw\r\nx")
    protocol.dataReceived(b"y")
    assert trace == [b"1|2|raw", "pause"]
    protocol.waits[0].callback(None)
    assert trace[2:] == [b"xy"]
    protocol.dataReceived(b"z")
    protocol.setLineMode()
    protocol.dataReceived(b"\r\n4\r\n")
    assert trace[3:] == []
    protocol.waits[1].callback(None)
    assert trace[3:] == [b"z|4"]
    protocol.waits[2].callback(None)
    assert trace[4:] == ["resume"]


@pytest.mark.parametrize("overlong", ["close", "skip"])
def test_lineLengthExceededMayWait(base: Any, overlong: str) -> None:
    class Late(Waiting, base):  # type: ignore[misc]
        MAX_LENGTH = 2

        def lineLengthExceeded(self, line: bytes) -> Any:
            return Waiting.lineReceived(self, b"exceeded")

    protocol, trace = connected(Late)
    protocol.overlong = overlong
    assert protocol.dataReceived(b"long\r\n1\r\n") is None
    assert trace == [b"exceeded", "pause"]
    protocol.waits[0].callback(None)
    assert trace[2:] == ([b"1"] if overlong == "skip" else ["resume"])


def test_aResultThatIsThereAlreadyCostsNothing(base: Any) -> None:
    """A hundred thousand lines: no recursion, no pause."""

    async def coroutine() -> bool:
        return True

    ways: list[Callable[[], object]] = [lambda: succeed(True), coroutine, lambda: twistedDefer.succeed(1)]
    answers = itertools.cycle(ways)

    class Ready(base):  # type: ignore[misc]
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> Any:
            self.trace.append(line)
            return next(answers)()

    protocol, trace = connected(Ready)
    protocol.dataReceived(b"x\n" * 100_000)
    assert trace == [b"x"] * 100_000


def test_aResultThatComesWhileTheTransportIsPaused(base: Any) -> None:
    class Impatient(Transport):
        def pauseProducing(self) -> None:
            super().pauseProducing()
            protocol.waits[-1].callback(None)

    protocol, trace = connected(type("Kind", (Waiting, base), {}), Impatient)
    protocol.dataReceived(b"1\r\n2\r\n")
    assert trace == [b"1", "pause", "resume", b"2", "pause", "resume"]


def test_theUsersPauseAndTheWaitAreTwoThings(waiting: Any) -> None:
    protocol, trace = connected(waiting)
    protocol.dataReceived(b"1\r\n2\r\n3\r\n")
    # Resuming does not deliver: the handler is still at it.
    protocol.resumeProducing()
    assert trace == [b"1", "pause"]
    # Paused during the wait: it stays so when that ends, and nothing is delivered.
    protocol.pauseProducing()
    protocol.waits[0].callback(None)
    assert trace == [b"1", "pause", "pause"]
    protocol.resumeProducing()
    assert trace[3:] == ["resume", b"2", "pause"]
    # Paused and resumed during the wait.
    protocol.pauseProducing()
    protocol.resumeProducing()
    assert (trace[6:], protocol.paused, protocol.transport.reading) == (["pause"], False, False)
    protocol.waits[1].callback(None)
    assert trace[7:] == [b"3"]
    protocol.waits[2].callback(None)
    assert trace[8:] == ["resume"]


def test_pausedInTheHandlerThatWaits(base: Any) -> None:
    class Pausing(Waiting, base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> Any:
            result = super().lineReceived(line)
            self.pauseProducing()
            return result

    protocol, trace = connected(Pausing)
    protocol.dataReceived(b"1\r\n2\r\n")
    assert trace == [b"1", "pause"]
    protocol.resumeProducing()
    assert trace[2:] == []
    protocol.waits[0].callback(None)
    assert trace[2:] == [b"2", "pause"]
    protocol.waits[1].callback(None)
    assert trace[4:] == []
    protocol.resumeProducing()
    assert trace[4:] == ["resume"]


def test_whatTheHandlerDidBeforeItWaitedCounts(base: Any) -> None:
    class Changing(Waiting, base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> Any:
            self.delimiter = b";"
            return super().lineReceived(line)

    protocol, trace = connected(Changing)
    protocol.dataReceived(b"1\r\n2;3")
    protocol.waits[0].callback(None)
    assert trace == [b"1", "pause", b"2"]
    assert protocol.clearLineBuffer() == b"3"


def test_withoutATransport(waiting: Any) -> None:
    protocol = waiting()
    protocol.trace = []
    protocol.connectionMade()
    protocol.dataReceived(b"1\r\n2\r\n")
    protocol.waits[0].callback(None)
    assert protocol.trace == [b"1", b"2"]


def test_aFailureCostsTheConnection(waiting: Any) -> None:
    protocol, trace = connected(waiting, OurTransport)
    protocol.dataReceived(b"1\r\n2\r\n")
    protocol.waits[0].errback(ZeroDivisionError())
    assert trace == [b"1", "pause", ("failed", ZeroDivisionError)]
    protocol.dataReceived(b"3\r\n")
    assert trace[3:] == []


def test_aFailureThatIsThereAlready(base: Any) -> None:
    def lineReceived(self: Any, line: bytes) -> Any:
        self.trace.append(line)
        return fail(ZeroDivisionError())

    protocol, trace = connected(recorder(base, lineReceived=lineReceived), OurTransport)
    assert protocol.dataReceived(b"1\r\n2\r\n") is None
    assert trace == [b"1", ("failed", ZeroDivisionError)]


@pytest.mark.parametrize("method", ["abort", "lose"])
def test_aFailureOnAForeignTransport(base: Any, method: str, caplog: pytest.LogCaptureFixture) -> None:
    """A transport that cannot fail a connection: the failure is logged, once, with its traceback."""
    protocol, trace = connected(type("Kind", (CoroutineWaiting, base), {}))
    if method == "lose":
        protocol.transport = types.SimpleNamespace(
            disconnecting=False, pauseProducing=lambda: None, loseConnection=lambda: trace.append("lose")
        )
    with caplog.at_level(logging.ERROR):
        protocol.dataReceived(b"1\r\n2\r\n")
        protocol.waits[0].errback(ZeroDivisionError("by zero"))
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("reactor.linereceiver", "ERROR")
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert "in wait" in caplog.text
    assert trace[-1] == method


def test_aFailureWithoutATransport(waiting: Any, caplog: pytest.LogCaptureFixture) -> None:
    protocol = waiting()
    protocol.trace = []
    protocol.connectionMade()
    protocol.dataReceived(b"1\r\n2\r\n")
    protocol.waits[0].errback(ZeroDivisionError())
    assert protocol.trace == [b"1"]
    assert len(caplog.records) == 1


def test_whatIsRaisedAfterAWaitCostsTheConnectionToo(base: Any) -> None:
    class Failing(Waiting, base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> Any:
            if line == b"bad":
                raise ZeroDivisionError
            return super().lineReceived(line)

    protocol, trace = connected(Failing, OurTransport)
    protocol.dataReceived(b"1\r\nbad\r\n2\r\n")
    protocol.waits[0].callback(None)
    assert trace == [b"1", "pause", ("failed", ZeroDivisionError)]


@pytest.mark.parametrize("state", ["disconnecting", "disconnected"])
def test_nothingIsDeliveredOnceTheConnectionHasGone(waiting: Any, state: str) -> None:
    protocol, trace = connected(waiting, OurTransport)
    protocol.dataReceived(b"1\r\n2\r\n")
    setattr(protocol.transport, state, True)
    protocol.waits[0].callback(None)
    assert trace == [b"1", "pause"]


def test_closedByTheHandlerThatWaits(base: Any) -> None:
    class Closing(Waiting, base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> Any:
            self.transport.loseConnection()
            return super().lineReceived(line)

    protocol, trace = connected(Closing)
    protocol.dataReceived(b"1\r\n2\r\n")
    protocol.waits[0].callback(None)
    assert trace == ["lose", b"1"]


@pytest.mark.parametrize(("error", "told"), [(CancelledError, 0), (twistedDefer.CancelledError, 0), (ValueError, 1)])
def test_aFailureAfterTheEnd(waiting: Any, error: type[Exception], told: int, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that was cancelled because the connection has ended is no news; another failure is logged."""
    protocol, trace = connected(waiting)
    protocol.dataReceived(b"1\r\n")
    protocol.transport.disconnected = True
    protocol.waits[0].errback(error())
    assert trace == [b"1", "pause"]
    assert len(caplog.records) == told


@pytest.mark.parametrize("when", ["open", "gone"])
def test_anExitOfAHandlerThatWaits(waiting: Any, when: str) -> None:
    """It leaves the reactor, also when its connection has ended meanwhile."""
    kind = type("Kind", (waiting,), {"trace": []})
    peer, protocol, pump = connectedServerAndClient(kind, Protocol)
    peer.transport.write(b"1\r\n")
    pump.flush()
    if when == "gone":
        protocol.transport.abortConnection()
        pump.flush()
    protocol.waits[0].errback(SystemExit(3))
    with pytest.raises(SystemExit):
        pump.reactor.iterate()


def test_aSharedDeferredKeepsItsResult(base: Any) -> None:
    protocol, _trace = connected(type("Kind", (Waiting, base), {}))
    protocol.dataReceived(b"1\r\n")
    results: list[Any] = []
    protocol.waits[0].addCallback(results.append)
    protocol.waits[0].callback("shared")
    assert results == ["shared"]


# The settings announce that they were set, where the line core is compiled; nobody notices but the speed.


def followed(protocol: Any) -> bool:
    """Whether the buffer knows the settings by itself."""
    how = protocol._LineReceiver__buffer.receive(protocol, b"", None)
    protocol._LineReceiver__buffer.busy = False
    return how in (linecore.FAST, linecore.BATCHED)


def test_whoseSettingsAreFollowed() -> None:
    """The usual ways to set them are quick; the others, and all in the pure core, are asked before each line."""
    compiled = linecore.IMPLEMENTATION == "compiled"
    mixin = type("Mixin", (), {"delimiter": b"\n"})
    kinds: list[tuple[Any, bool]] = [
        (recorder(LineReceiver), True),
        (recorder(LineReceiver, delimiter=b"\n", MAX_LENGTH=100, stripCR=True, line_mode=True), True),
        (type("Kind", (recorder(LineReceiver, delimiter=b"\n"),), {}), True),
        (type("After", (Recorded, LineReceiver, mixin), {}), True),
        (type("Before", (Recorded, mixin, LineReceiver), {}), False),
        (recorder(LineReceiver, delimiter=property(lambda self: b"\n")), False),
        (recorder(LineReceiver, delimiter=bytearray(b"\n")), False),
        (recorder(LineReceiver, MAX_LENGTH=1e9), False),
        (recorder(LineReceiver, delimiter=b""), False),
        (recorder(LineReceiver, linesReceived=lambda self, lines: None), True),
        (recorder(LineReceiver, __setattr__=lambda self, name, value: self.__dict__.update({name: value})), False),
        (recorder(LineReceiver, __getattribute__=lambda self, name: object.__getattribute__(self, name)), False),
        (recorder(LineReceiver, __delattr__=lambda self, name: object.__delattr__(self, name)), False),
    ]
    for kind, quick in kinds:
        protocol, _trace = connected(kind)
        protocol.dataReceived(b"a")
        assert followed(protocol) is (quick and compiled), kind.__mro__
    protocol, trace = connected(kinds[0][0])
    protocol.dataReceived(b"")
    for change, quick in (
        (lambda: setattr(protocol, "MAX_LENGTH", 5), True),
        (lambda: setattr(protocol, "delimiter", b"\n"), True),
        (protocol.setRawMode, False),
        (protocol.setLineMode, True),
        (protocol.pauseProducing, False),
        (protocol.resumeProducing, True),
        (lambda: setattr(kinds[0][0], "MAX_LENGTH", 20), True),
        (lambda: setattr(kinds[0][0], "word", 20), True),
    ):
        change()
        assert not followed(protocol) or change == protocol.resumeProducing
        protocol.dataReceived(b"a\n")
        assert followed(protocol) is (quick and compiled), trace


def test_settingsReadAsTheyAlwaysDid(base: Any) -> None:
    """Types, texts, copies; an alias under another name announces nothing and sets nothing else."""

    class Kind(Recorded, base):  # type: ignore[misc]
        MAX_LENGTH = 20
        line_mode = True
        half = base.MAX_LENGTH // 2

    protocol, _trace = connected(Kind)
    protocol.dataReceived(b"")

    class Alias(Recorded, base):  # type: ignore[misc]
        limit = Kind.MAX_LENGTH
        ending = Kind.delimiter
        mode = Kind.line_mode

    protocol.dataReceived(b"\r\n")
    assert (repr(Kind.MAX_LENGTH), repr(Kind.delimiter), repr(Kind.line_mode)) == ("20", "b'\\r\\n'", "True")
    assert (Kind.half, Alias.limit, Alias.ending, Alias.mode) == (8192, 20, b"\r\n", True)
    assert isinstance(Kind.MAX_LENGTH, int)
    assert {type(value) for value in copy.deepcopy((Kind.MAX_LENGTH, Kind.delimiter, Kind.line_mode))} == {
        int,
        bytes,
        bool,
    }
    assert pickle.loads(pickle.dumps(Kind.delimiter)) == b"\r\n"
    protocol.limit = Kind.MAX_LENGTH
    alias, trace = connected(Alias)
    alias.limit = alias.ending = alias.mode = 3
    alias.dataReceived(b"long\r\n")
    assert trace == [b"long"]
    for name in ("MAX_LENGTH", "paused", "stripCR"):
        with pytest.raises(AttributeError, match=name):
            delattr(protocol, name)
        setattr(protocol, name, 5)
        assert (getattr(protocol, name), vars(protocol)[name]) == (5, 5)
        delattr(protocol, name)
        assert getattr(protocol, name) == getattr(Kind, name)


def test_whatAnInstanceHasFromBeforeItsClassAnnouncedIsHeeded(base: Any) -> None:
    """A setting that the class gets when instances live, or that an instance sets while its class has a plain value."""

    class Kind(Recorded, base):  # type: ignore[misc]
        delimiter = b"\n"

    protocol, trace = connected(Kind)
    protocol.dataReceived(b"a\n")
    Kind.delimiter = b";"
    protocol.delimiter = b"!"
    protocol.dataReceived(b"b;c!d\n")
    Kind.line_mode = 1
    protocol.setRawMode()
    protocol.dataReceived(b"e!")
    assert [event for event in trace if type(event) is bytes or event[0] == "raw"] == [b"a", b"b;c", ("raw", b"d\ne!")]


DECORATORS: dict[str, Callable[[type], Any]] = {
    "attr.s": attr.s(auto_attribs=True, eq=False),
    "attrs.define": attrs.define(eq=False),
    "attrs.define, no slots": attrs.define(eq=False, slots=False),
    "dataclass": dataclasses.dataclass(eq=False),
    "dataclass, slots": dataclasses.dataclass(eq=False, slots=True),
}


@pytest.mark.parametrize("decorator", DECORATORS)
def test_aClassDecoratorFindsThePlainValues(base: Any, decorator: str) -> None:
    """A decorator that takes what is in the class for a default gets the bool and the int that the program wrote."""

    class Kind(Recorded, base):  # type: ignore[misc]
        stripCR: bool = False
        MAX_LENGTH: int = 5

    kind = DECORATORS[decorator](Kind)
    protocol, trace = connected(kind)
    assert (protocol.stripCR, type(protocol.MAX_LENGTH), protocol.MAX_LENGTH) == (False, int, 5)
    protocol.dataReceived(b"a\r\r\n")
    other, more = connected(lambda: kind(stripCR=True))
    assert other.stripCR is True
    other.dataReceived(b"a\r\r\nlonger\r\n")
    assert (trace, more[0], more[1][0]) == ([b"a\r"], b"a", "exceeded")


def test_whatAnInstanceSetsWhileItsClassIsPatchedIsKept(base: Any) -> None:
    """A patched class attribute, put back, hides nothing that an instance has set meanwhile, before data and after."""
    kind = recorder(base, stripCR=False, MAX_LENGTH=100)
    fresh, lines = connected(kind)
    with mock.patch.object(kind, "stripCR", True), mock.patch.object(kind, "MAX_LENGTH", 50):
        protocol, trace = connected(kind)
        assert (fresh.stripCR, protocol.MAX_LENGTH) == (True, 50)
        fresh.stripCR = protocol.stripCR = True
        protocol.MAX_LENGTH = 1
    assert (fresh.stripCR, fresh.MAX_LENGTH, kind.stripCR) == (True, 100, False)
    assert (protocol.stripCR, protocol.MAX_LENGTH) == (True, 1)
    fresh.dataReceived(b"ab\r\r\n")
    protocol.dataReceived(b"a\r\r\nab\r\r\n")
    assert (lines, trace[0], trace[1][0]) == ([b"ab"], b"a", "exceeded")
    unpatched, rest = connected(kind)
    unpatched.dataReceived(b"ab\r\r\n")
    assert rest == [b"ab\r"]


def test_whatIsPutIntoAClass() -> None:
    """Nothing before it has an instance. Then, with the compiled core, descriptors in place of settings, and a mark."""
    first = type("First", (LineReceiver,), {"paused": False})
    kind: Any = type("Kind", (first,), {"stripCR": True, "other": True})
    assert (vars(kind)["stripCR"], vars(first)["paused"]) == (True, False)
    before = [set(vars(first)), set(vars(kind))]
    kind()
    compiled = linecore.IMPLEMENTATION == "compiled"
    mark = {"_LineReceiver__prepared"} if compiled else set()
    assert [set(vars(first)) - before[0], set(vars(kind)) - before[1]] == [mark, mark]
    types = [type(vars(first)["paused"]), type(vars(kind)["stripCR"]), type(vars(kind)["other"])]
    assert [each.__name__ for each in types] == [*(["AnnouncingAttribute"] * 2 if compiled else ["bool"] * 2), "bool"]
    assert (kind.stripCR, kind.paused, kind().stripCR, kind().paused) == (True, False, True, False)


def test_classAttributesStayTheVeryObjects(base: Any) -> None:
    """The attributes are the very objects that a class body gives them, before the first data and after it."""

    class Kind(Recorded, base):  # type: ignore[misc]
        delimiter = b"\n"
        MAX_LENGTH = 12345
        line_mode = True
        stripCR = True
        paused = False

    class OnlyKind(Recorded, LineOnlyReceiver):
        MAX_LENGTH = 12345

    settings = ("delimiter", "MAX_LENGTH", "line_mode", "stripCR", "paused")
    kinds = {
        Kind: {name: getattr(Kind, name) for name in settings},
        OnlyKind: {"MAX_LENGTH": OnlyKind.MAX_LENGTH},
        LineReceiver: {name: getattr(LineReceiver, name) for name in settings},
    }
    for kind in (Kind, OnlyKind):
        for data in (b"", b"a\r\n", b"b\n"):
            protocol, _trace = connected(kind)
            protocol.dataReceived(data)
            for name, value in kinds[kind].items():
                assert getattr(kind, name) is getattr(protocol, name) is value
    assert all(getattr(LineReceiver, name) is value for name, value in kinds[LineReceiver].items())
    Kind.stripCR = False
    assert protocol.MAX_LENGTH is kinds[OnlyKind]["MAX_LENGTH"]
    protocol.MAX_LENGTH = 3
    assert (protocol.MAX_LENGTH, OnlyKind.MAX_LENGTH) == (3, 12345)
    protocol.dataReceived(b"long\r\n")
    assert protocol.transport.disconnecting


@pytest.mark.parametrize("moment", ["before", "between", "inside"])
@pytest.mark.parametrize("defined", ["nowhere", "None", "mixin", "method"])
def test_linesReceivedOfAnInstance(base: Any, moment: str, defined: str) -> None:
    """It is heeded at once, whenever it is set or taken away, whatever its class says of it."""

    def single(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"!" and moment == "inside":
            turn(self)

    def batch(self: Any, lines: list[bytes]) -> None:
        self.trace.append(("method", lines))

    def turn(protocol: Any) -> None:
        protocol.linesReceived = lambda lines: protocol.trace.append(("own", list(lines)))

    bases: dict[str, tuple[Any, ...]] = {"mixin": (type("Mixin", (), {"linesReceived": None}), base)}
    attributes: dict[str, Any] = {"None": {"linesReceived": None}, "method": {"linesReceived": batch}}
    kind = type("Kind", bases.get(defined, (base,)), {"lineReceived": single, **attributes.get(defined, {})})
    for _ in range(2):
        protocol, trace = connected(kind)
        if moment == "before":
            turn(protocol)
        if defined == "method" and moment == "inside":
            protocol.linesReceived = None
        protocol.dataReceived(b"a\r\n!\r\n")
        del trace[:]
        if moment == "between":
            turn(protocol)
        protocol.dataReceived(b"!\r\nb\r\nc\r\nd")
        expected: list[Any] = [("own", [b"!", b"b", b"c"])]
        assert trace == expected
        protocol.linesReceived = None
        protocol.dataReceived(b"\r\n?\r\n")
        assert trace == [*expected, b"d", b"?"]
        del protocol.linesReceived
        protocol.dataReceived(b"e\r\nf\r\n")
        assert trace[3:] == ([("method", [b"e", b"f"])] if defined == "method" else [b"e", b"f"])


def test_linesReceivedSetWhileLinesAreDelivered(base: Any) -> None:
    """The rest of the same read is one batch; set back in it, lines come singly again."""

    class Kind(Recorded, base):  # type: ignore[misc]
        def lineReceived(self, line: bytes) -> None:
            self.trace.append(line)
            if line == b"!":
                self.linesReceived = self.batch

        def batch(self, lines: list[bytes]) -> None:
            self.trace.append(lines)
            self.linesReceived = None  # type: ignore[assignment]
            if b"b" in lines:
                self.dataReceived(b"x\r\n!\r\ny\r\n")

    for transport in (Transport, StringTransport):
        protocol, trace = connected(Kind, transport if transport is Transport else lambda trace: StringTransport())
        protocol.dataReceived(b"a\r\n!\r\nb\r\nc\r\n")
        assert trace == [b"a", b"!", [b"b", b"c"], b"x", b"!", [b"y"]]


def test_aLimitThatComparesInAWayOfItsOwn(either: Any) -> None:
    """A subclass of int is asked, not taken for the number that it is made of."""

    class Nothing(int):
        def __lt__(self, other: int) -> bool:
            return True

    protocol, trace = connected(recorder(either))
    protocol.dataReceived(b"a\r\n")
    protocol.MAX_LENGTH = Nothing(100)
    protocol.dataReceived(b"b\r\n")
    assert trace == [b"a", ("exceeded", b"b\r\n"), "lose"]


class Number(int):
    """Compares in a way of its own."""

    def __lt__(self, other: int) -> bool:
        return True


class Three:
    """A descriptor that says 3; no data descriptor, so that an instance's own value hides it."""

    def __get__(self, owner: object, kind: object = None) -> int:
        return 3


class Always(Three):
    """A descriptor that stands before an instance's own value."""

    def __set__(self, owner: object, value: object) -> None:
        pass


def setAnother(self: Any) -> None:
    """Gives the receiver another class, which takes lines of three bytes."""
    self.__class__ = type("Other", (Recorded, self.base), {"MAX_LENGTH": 3})


def setBefore(name: str, value: Any) -> Callable[[Any], None]:
    return lambda self: setattr(type(self).mro()[1], name, value)


def both(*changes: Callable[[Any], object]) -> Callable[[Any], None]:
    def change(self: Any) -> None:
        for each in changes:
            each(self)

    return change


def own(name: str, value: Any) -> Callable[[Any], None]:
    return lambda self: setattr(self, name, value)


def ofClass(name: str, value: Any) -> Callable[[Any], None]:
    return lambda self: setattr(type(self), name, value)


LIMITS = (3, True, Number(100), 3.5, float("inf"), -7, -1, 2**80, -(2**80), 2**62, 2**63 - 1)
CHANGES: dict[str, Callable[[Any], object]] = {
    **{f"limit {value!r}": own("MAX_LENGTH", value) for value in LIMITS},
    **{f"delimiter {value!r}": own("delimiter", value) for value in (b";", b"\n", bytearray(b";"), memoryview(b";"))},
    **{
        f"limit of the class: {name}": ofClass("MAX_LENGTH", value)
        for name, value in {
            "a number": 3,
            "a property": property(lambda self: 3),
            "a descriptor": Three(),
            "a data descriptor": Always(),
        }.items()
    },
    "delimiter of the class": ofClass("delimiter", b";"),
    "delimiter of a base": setBefore("delimiter", b";"),
    "object.__setattr__": lambda self: object.__setattr__(self, "MAX_LENGTH", 3),
    "type.__setattr__": lambda self: type.__setattr__(type(self), "MAX_LENGTH", 3),
    "__setattr__ of the class": both(
        ofClass("__setattr__", lambda self, name, value: self.__dict__.update({name: value})), own("MAX_LENGTH", 3)
    ),
    "__getattribute__ of the class": ofClass(
        "__getattribute__", lambda self, name: 3 if name == "MAX_LENGTH" else object.__getattribute__(self, name)
    ),
    "__getattr__ of the class": ofClass("__getattr__", lambda self, name: 3),
    "another class": setAnother,
    "line_mode 0": own("line_mode", 0),
    "line_mode []": own("line_mode", []),
    "line_mode of the class": ofClass("line_mode", 0),
    "paused": own("paused", True),
    "paused of the class": ofClass("paused", True),
    "paused as a property": ofClass("paused", property(lambda self: True)),
    "set and taken away": both(own("MAX_LENGTH", 3), lambda self: delattr(self, "MAX_LENGTH")),
    "lineReceived": lambda self: setattr(self, "lineReceived", lambda line: self.trace.append(("new", line))),
    "lineReceived of the class": ofClass("lineReceived", lambda self, line: self.trace.append(("new", line))),
    "closing": lambda self: self.transport.loseConnection(),
    "clearing": lambda self: self.clearLineBuffer(),
    "more data": lambda self: self.dataReceived(b"more\r\n"),
}
OURS_ALONE: dict[str, Callable[[Any], object]] = {
    "stripCR": both(own("stripCR", True), own("delimiter", b"\n")),
    "stripCR of the class": both(ofClass("stripCR", True), ofClass("delimiter", b"\n")),
    "stripCR, as a list": both(own("stripCR", [1]), own("delimiter", b"\n")),
    "overlong": both(own("overlong", "skip"), own("MAX_LENGTH", 3)),
    "no delimiter": own("delimiter", b""),
    "linesReceived": lambda self: setattr(self, "linesReceived", lambda lines: self.trace.append(list(lines))),
    "linesReceived of the class": ofClass("linesReceived", lambda self, lines: self.trace.append(list(lines))),
}


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("change", [*CHANGES, *OURS_ALONE])
def test_aChangeInTheMiddleOfARead(change: str, mixed: bool) -> None:
    """In whatever way a setting is changed, both cores deliver the same from the next line on, as Twisted's does."""
    act = CHANGES.get(change) or OURS_ALONE[change]
    bases = {name: type("Receiver", (LineReceiver,), {"_bufferClass": kind}) for name, kind in BUFFERS.items()}
    if change in CHANGES:
        bases["twisted"] = basic.LineReceiver

    def lineReceived(self: Any, line: bytes) -> None:
        self.trace.append(line)
        if line == b"!":
            act(self)

    found: dict[str, Any] = {}
    for name, base in bases.items():
        between = type("Between", (Recorded, base), {"base": base})
        after = (type("After", (), {"MAX_LENGTH": 100}),) if mixed else ()
        protocol, trace = connected(type("Kind", (between, *after), {"lineReceived": lineReceived}))
        for data in (b"a\r\n!\r\nbbbbb\r\nc;d\r\n", b"e;f\r\nggggg\r\n", b"h\r\n"):
            try:
                protocol.dataReceived(data)
            except Exception as error:
                trace.append(type(error))
        found[name] = (trace, protocol.clearLineBuffer())
    assert all(each == found["pure"] for each in found.values()), found


def test_announcingAttributesAreHarmlessElsewhere(base: Any) -> None:
    """A class of another kind that borrows them sets them as ever."""
    protocol, _trace = connected(recorder(base))
    protocol.dataReceived(b"\r\n")
    borrower = type("Borrower", (), {"delimiter": base.delimiter})()
    borrower.delimiter = b";"
    assert borrower.delimiter == b";"
    taker: Any = type("Taker", (), {"delimiter": inspect.getattr_static(base, "delimiter")})()
    assert taker.delimiter == b"\r\n"
    taker.delimiter = b";"
    assert taker.delimiter == b";"


def test_aClassThatRefusesChanges(base: Any) -> None:
    """A metaclass that lets nobody set a class attribute: such settings are asked for, and right."""

    class Frozen(type):
        def __setattr__(cls, name: str, value: object) -> None:
            raise TypeError(name)

    kind = Frozen("Kind", (Recorded, base), {"delimiter": b"\n"})
    protocol, trace = connected(kind)
    protocol.dataReceived(b"a\nb\n")
    protocol.delimiter = b";"
    protocol.dataReceived(b"c;")
    assert trace == [b"a", b"b", b"c"]


def test_aClassThatIsChangedAllTheTime(base: Any) -> None:
    """For example a count on the class. CPython numbers but so many versions of one; its lines come all the same."""

    class Counting(Recorded, base):  # type: ignore[misc]
        count = 0

        def lineReceived(self, line: bytes) -> None:
            type(self).count += 1
            if line == b"2500":
                self.delimiter = b";"

    protocol, _trace = connected(Counting)
    for number in range(2501):
        protocol.dataReceived(b"%d\r\nx\r\n" % number)
    protocol.dataReceived(b"y;z;")
    assert Counting.count == 2500 * 2 + 1 + 2


def test_aProxysAttributesAreItsOwn(base: Any) -> None:
    """A receiver that gets what it lacks from another one does not get that one's buffer."""

    class Proxy(Recorded, base):  # type: ignore[misc]
        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    inner, _trace = connected(recorder(base))
    inner.dataReceived(b"inner")
    inner.paused = True
    proxy, trace = connected(Proxy)
    proxy.inner = inner
    proxy.dataReceived(b" outer\r\n")
    assert (trace, proxy.paused, inner.clearLineBuffer()) == ([b" outer"], False, b"inner")
