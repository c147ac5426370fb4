"""The string receivers: beside Twisted's with the same script where both agree, alone where we differ on purpose."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from twisted.protocols import basic as twisted

from reactor import stringreceivers as ours
from reactor.stringreceivers import FramingError, OctetCountError


class Transport:
    """Records what a protocol asks of it."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.disconnecting = False

    def write(self, data: bytes) -> None:
        self.said.append(("write", type(data), data))

    def loseConnection(self) -> None:
        self.disconnecting = True
        self.said.append("lose")

    def pauseProducing(self) -> None:
        self.said.append("pause")

    def resumeProducing(self) -> None:
        self.said.append("resume")

    def stopProducing(self) -> None:
        self.said.append("stop")


Actions = dict[int, Callable[[Any], object]]


def receiver(base: type[Any], actions: Actions | None = None, **attributes: Any) -> tuple[Any, list[Any]]:
    """A connected instance of a subclass of `base`, and its trace; its n-th stringReceived calls `actions[n]`."""
    transport = Transport()
    trace = transport.said
    count = 0

    class Receiver(base):  # type: ignore[misc]
        def stringReceived(self, string: bytes) -> None:
            nonlocal count
            count += 1
            trace.append((type(string), string))
            if actions and count in actions:
                actions[count](self)

    for name, value in attributes.items():
        setattr(Receiver, name, value)
    protocol = Receiver()
    protocol.makeConnection(transport)
    return protocol, trace


def feed(protocol: Any, trace: list[Any], chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        trace.append("chunk")
        try:
            protocol.dataReceived(chunk)
        except Exception as error:
            trace.append(type(error).__name__)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """`data` whole, byte by byte, and in every two pieces."""
    yield [data]
    yield [data[i : i + 1] for i in range(len(data))]
    for i in range(1, len(data)):
        yield [data[:i], data[i:]]


def randomCuts(rnd: random.Random, data: bytes) -> list[bytes]:
    at = sorted(rnd.randrange(len(data) + 1) for _ in range(rnd.randrange(6)))
    return [data[i:j] for i, j in zip([0, *at], [*at, len(data)], strict=True) if i < j]


def strings(trace: list[Any]) -> list[bytes]:
    return [said[1] for said in trace if isinstance(said, tuple) and said[0] is bytes]


NAMES = ["NetstringReceiver", "Int8StringReceiver", "Int16StringReceiver", "Int32StringReceiver"]
ALL = [*NAMES, "OctetCountedReceiver"]
INTS = NAMES[1:]


def framed(name: str, string: bytes) -> bytes:
    """The obvious encoding, written again."""
    if name == "NetstringReceiver":
        return str(len(string)).encode() + b":" + string + b","
    if name == "OctetCountedReceiver":
        return str(len(string)).encode() + b" " + string
    return (
        len(string).to_bytes({"Int8": 1, "Int16": 2, "Int32": 4}[name.removesuffix("StringReceiver")], "big") + string
    )


MESSAGES = [b"hello", b"x", b"5:quote,", b"\x00\xff" * 20, b"12 ", b"," * 11, b"last"]


@pytest.mark.parametrize("name", ALL)
def test_everyCutDeliversTheSameStrings(name: str) -> None:
    messages = MESSAGES if name == "OctetCountedReceiver" else [*MESSAGES, b"", b"", b"end"]
    stream = b"".join(framed(name, message) for message in messages)
    for chunks in cuts(stream):
        protocol, trace = receiver(getattr(ours, name))
        feed(protocol, trace, chunks)
        assert strings(trace) == messages
        assert "lose" not in trace
        if name != "OctetCountedReceiver":
            theirs, theirTrace = receiver(getattr(twisted, name))
            feed(theirs, theirTrace, chunks)
            assert trace == theirTrace


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [bytearray, memoryview, type("Bytes", (bytes,), {})])
def test_anyBytesLikeObjectIsTakenAndNotKept(name: str, kind: Any) -> None:
    stream = framed(name, b"hello") + framed(name, b"again")
    for length in (1, 3, len(stream)):
        protocol, trace = receiver(getattr(ours, name))
        for i in range(0, len(stream), length):
            chunk = bytearray(stream[i : i + length])
            protocol.dataReceived(kind(chunk))
            chunk[:] = b"!" * len(chunk)
        assert trace == [(bytes, b"hello"), (bytes, b"again")]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("data", ["5:hello,", 5, None, [5]])
def test_whatIsNotBytesIsATypeError(name: str, data: Any) -> None:
    protocol, trace = receiver(getattr(ours, name))
    with pytest.raises(TypeError):
        protocol.dataReceived(data)
    with pytest.raises(TypeError):
        protocol.sendString(data)
    assert trace == []


@pytest.mark.parametrize("name", ALL)
def test_worksWithoutATransportAndWithoutInit(name: str) -> None:
    got: list[bytes] = []

    class Receiver(getattr(ours, name)):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def stringReceived(self, string: bytes) -> None:
            got.append(string)

    Receiver().dataReceived(framed(name, b"hello"))
    assert got == [b"hello"]


@pytest.mark.parametrize("name", ALL)
def test_stringReceivedIsForOverriding(name: str) -> None:
    with pytest.raises(NotImplementedError):
        getattr(ours, name)().dataReceived(framed(name, b"hello"))


@pytest.mark.parametrize("name", [*ALL, "StringReceiver", "DecimalStringReceiver"])
def test_theBasesAreIncomplete(name: str) -> None:
    protocol = getattr(ours, name)()
    with pytest.raises((NotImplementedError, AttributeError)):
        protocol.transport.nothing  # noqa: B018
    if name == "StringReceiver":
        with pytest.raises(NotImplementedError):
            protocol.dataReceived(b"x")
    if name == "DecimalStringReceiver":
        protocol._separator, protocol._errorType = b":", FramingError
        with pytest.raises(NotImplementedError):
            protocol.dataReceived(b"x")


# sendString


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendString(name: str, kind: Any) -> None:
    protocol, trace = receiver(getattr(ours, name))
    for message in MESSAGES:
        assert protocol.sendString(kind(message)) is None
    assert trace == [("write", bytes, framed(name, message)) for message in MESSAGES]
    if name != "OctetCountedReceiver" and kind is not memoryview:
        theirs, theirTrace = receiver(getattr(twisted, name))
        for message in MESSAGES:
            theirs.sendString(kind(message))
        assert [said[2] for said in theirTrace] == [said[2] for said in trace]


def test_sendStringCountsBytesNotItems() -> None:
    protocol, trace = receiver(ours.Int8StringReceiver)
    protocol.sendString(memoryview(struct.pack("=2I", 1, 2)).cast("I"))
    assert trace == [("write", bytes, b"\x08" + struct.pack("=2I", 1, 2))]


@pytest.mark.parametrize(("name", "most"), [("Int8StringReceiver", 255), ("Int16StringReceiver", 65535)])
def test_sendStringTooLong(name: str, most: int) -> None:
    for module in (ours, twisted):
        protocol, trace = receiver(getattr(module, name))
        protocol.sendString(b"x" * most)
        assert len(trace.pop()[2]) == most + (most.bit_length() // 8)
        with pytest.raises(module.StringTooLongError):
            protocol.sendString(b"x" * (most + 1))
        assert trace == []
    assert issubclass(ours.StringTooLongError, AssertionError)


def test_octetCountedRefusesToSendNothing() -> None:
    protocol, trace = receiver(ours.OctetCountedReceiver)
    with pytest.raises(ValueError, match="at least one byte"):
        protocol.sendString(b"")
    assert trace == []


# Limits


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("limit", [1, 5, 9, 10, 99, 100, 254])
def test_aStringOfMaxLengthIsDelivered(name: str, limit: int) -> None:
    stream = framed(name, b"x" * limit)
    for chunks in cuts(stream):
        protocol, trace = receiver(getattr(ours, name), MAX_LENGTH=limit)
        feed(protocol, trace, chunks)
        assert strings(trace) == [b"x" * limit]
        if name != "OctetCountedReceiver" and limit > 1:
            theirs, theirTrace = receiver(getattr(twisted, name), MAX_LENGTH=limit)
            feed(theirs, theirTrace, chunks)
            assert theirTrace == trace


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("limit", [1, 5, 9, 10, 99, 100, 254])
def test_aLongerStringClosesTheConnection(name: str, limit: int) -> None:
    tooLong = framed(name, b"x" * (limit + 1))
    prefix = tooLong[: tooLong.index(b"x")]
    for cut in range(len(prefix)):
        protocol, trace = receiver(getattr(ours, name), MAX_LENGTH=limit)
        feed(protocol, trace, [framed(name, b"a") + prefix[:cut], prefix[cut:]])
        assert trace[:2] == ["chunk", (bytes, b"a")]
        assert trace.count("lose") == 1
        if name != "OctetCountedReceiver" and limit > 1:
            theirs, theirTrace = receiver(getattr(twisted, name), MAX_LENGTH=limit)
            feed(theirs, theirTrace, [framed(name, b"a") + prefix[:cut], prefix[cut:]])
            end = trace.index("lose") + 1
            assert theirTrace[:end] == trace[:end]


@pytest.mark.parametrize("name", ALL)
def test_defaultLimits(name: str) -> None:
    limit = getattr(ours, name).MAX_LENGTH
    assert limit == (65536 if name == "OctetCountedReceiver" else getattr(twisted, name).MAX_LENGTH)


def test_netstringLimitZeroAllowsOnlyTheEmptyString() -> None:
    # Twisted raises ValueError: it takes the logarithm of MAX_LENGTH.
    protocol, trace = receiver(ours.NetstringReceiver, MAX_LENGTH=0)
    feed(protocol, trace, [b"0:,0:,", b"1:"])
    assert trace == ["chunk", (bytes, b""), (bytes, b""), "chunk", "lose"]


# Netstrings that are none


MALFORMED = [
    b"x",
    b":",
    b",",
    b" 5:hello,",
    b"-1:,",
    b"+5:hello,",
    b"00:,",
    b"05:hello,",
    b"5x:hello,",
    b"5 :hello,",
    b"5:hello;",
    b"5:helloo,",
    b"0:x",
    b"999999999999",
    b"100000:",
    b"1_0:",
    b"\xb2:",
]


@pytest.mark.parametrize("bad", MALFORMED)
def test_malformedNetstringsCloseTheConnection(bad: bytes) -> None:
    for chunks in [[b"3:abc," + bad], [b"3:abc,", *(bad[i : i + 1] for i in range(len(bad)))]]:
        protocol, trace = receiver(ours.NetstringReceiver)
        theirs, theirTrace = receiver(twisted.NetstringReceiver)
        for chunk in chunks:
            feed(protocol, trace, [chunk])
            feed(theirs, theirTrace, [chunk])
            assert trace == theirTrace
            assert protocol.brokenPeer == theirs.brokenPeer
            if protocol.brokenPeer:
                break
        assert trace.count("lose") == 1


def test_aNewlineInALengthIsWrongAtOnce() -> None:
    # Twisted's pattern lets a final newline pass until the next byte comes.
    protocol, trace = receiver(ours.NetstringReceiver)
    feed(protocol, trace, [b"5\n"])
    assert trace == ["chunk", "lose"]


@pytest.mark.parametrize(
    ("name", "kind"), [("NetstringReceiver", "a netstring"), (ALL[-1], "an octet-counted message")]
)
def test_theReasonForClosingIsLogged(name: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "reactor")
    protocol, _ = receiver(getattr(ours, name), MAX_LENGTH=10)
    protocol.dataReceived(b"11")
    assert [record.getMessage() for record in caplog.records if record.name == "reactor.stringreceivers"] == [
        f"Closing a connection: {kind} was expected, but it is longer than 10 bytes"
    ]


def test_netstringFailsOnce() -> None:
    # Twisted parses what follows a break again, and fails again.
    protocol, trace = receiver(ours.NetstringReceiver)
    feed(protocol, trace, [b"x", b"3:abc,", b"y" * 1000])
    assert trace == ["chunk", "lose", "chunk", "chunk"]
    assert protocol.brokenPeer == 1
    assert protocol._buffer == b""


def test_netstringBeginsAnewWithANewConnection() -> None:
    for module in (ours, twisted):
        protocol, trace = receiver(module.NetstringReceiver)
        feed(protocol, trace, [b"5:hel"])
        protocol.makeConnection(protocol.transport)
        feed(protocol, trace, [b"3:abc,", b"?"])
        protocol.makeConnection(protocol.transport)
        feed(protocol, trace, [b"3:abc,"])
        assert strings(trace) == [b"abc", b"abc"]
        assert protocol.brokenPeer == 0


@pytest.mark.parametrize("seed", range(60))
def test_randomNetstringStreamsAsTwisted(seed: int) -> None:
    rnd = random.Random(seed)
    for _ in range(40):
        limit = rnd.choice([3, 9, 10, 42, 99999])
        pieces = [framed("NetstringReceiver", rnd.randbytes(rnd.randrange(12))) for _ in range(rnd.randrange(1, 6))]
        stream = bytearray(b"".join(pieces))
        if rnd.random() < 0.5:
            stream[rnd.randrange(len(stream))] = rnd.choice(b"0123456789:,x")
        chunks = randomCuts(rnd, bytes(stream))
        protocol, trace = receiver(ours.NetstringReceiver, MAX_LENGTH=limit)
        theirs, theirTrace = receiver(twisted.NetstringReceiver, MAX_LENGTH=limit)
        for chunk in chunks:
            feed(protocol, trace, [chunk])
            feed(theirs, theirTrace, [chunk])
            assert trace == theirTrace
            if protocol.brokenPeer:
                break


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("name", INTS)
def test_randomIntStreamsAsTwisted(name: str, seed: int) -> None:
    rnd = random.Random(seed)
    limit = rnd.choice([3, 50, 99999])
    stream = b"".join(framed(name, rnd.randbytes(rnd.randrange(9))) for _ in range(rnd.randrange(1, 9)))
    chunks = randomCuts(rnd, stream)
    protocol, trace = receiver(getattr(ours, name), MAX_LENGTH=limit)
    theirs, theirTrace = receiver(getattr(twisted, name), MAX_LENGTH=limit)
    for chunk in chunks:
        feed(protocol, trace, [chunk])
        feed(theirs, theirTrace, [chunk])
        assert trace == theirTrace
        if "lose" in trace:
            break
        assert protocol.recvd == theirs.recvd


# Pausing, re-entrance, exceptions


@pytest.mark.parametrize("name", INTS)
def test_pausingAsTwisted(name: str) -> None:
    stream = b"".join(framed(name, bytes([65 + i]) * 3) for i in range(6))
    for chunks in cuts(stream):
        traces = []
        for module in (ours, twisted):
            protocol, trace = receiver(getattr(module, name), {2: lambda p: p.pauseProducing(), 4: pauseAndStop})
            feed(protocol, trace, chunks)
            trace.append((protocol.paused, protocol.recvd))
            protocol.resumeProducing()
            feed(protocol, trace, [b""])
            trace.append((protocol.paused, protocol.recvd))
            traces.append(trace)
        assert traces[0] == traces[1]
        assert strings(traces[0]) == [b"AAA", b"BBB", b"CCC", b"DDD"]


def pauseAndStop(protocol: Any) -> None:
    protocol.pauseProducing()
    protocol.stopProducing()


@pytest.mark.parametrize("name", ALL)
def test_pauseAndResumeInsideACallbackGoesOnWithoutRecursion(name: str) -> None:
    def flip(protocol: Any) -> None:
        protocol.pauseProducing()
        protocol.resumeProducing()

    count = 3000
    protocol, trace = receiver(getattr(ours, name), dict.fromkeys(range(1, count + 1), flip))
    protocol.dataReceived(framed(name, b"x") * count)
    assert trace == [(bytes, b"x"), "pause", "resume"] * count


@pytest.mark.parametrize("name", ALL)
def test_pausedByHandAndFedMeanwhile(name: str) -> None:
    protocol, trace = receiver(getattr(ours, name))
    protocol.paused = True
    messages = [bytes([i]) * 3 for i in range(1, 9)]
    for message in messages:
        protocol.dataReceived(framed(name, message))
    assert trace == []
    protocol.paused = False
    protocol.dataReceived(b"")
    assert strings(trace) == messages


@pytest.mark.parametrize("name", ALL)
def test_dataFedInsideACallbackComesLastAndEachStringOnce(name: str) -> None:
    # Twisted's IntNStringReceiver delivers b"a" and b"b" again here.
    def feedMore(protocol: Any) -> None:
        protocol.dataReceived(framed(name, b"c") + framed(name, b"dd")[:2])
        protocol.dataReceived(framed(name, b"dd")[2:])

    for chunks in cuts(framed(name, b"a") + framed(name, b"b")):
        protocol, trace = receiver(getattr(ours, name), {1: feedMore})
        feed(protocol, trace, chunks)
        if len(chunks) == 1:
            assert strings(trace) == [b"a", b"b", b"c", b"dd"]
    protocol, trace = receiver(getattr(ours, name), dict.fromkeys(range(1, 2000), feedOne(name)))
    protocol.dataReceived(framed(name, b"x"))
    assert len(strings(trace)) == 2000


def feedOne(name: str) -> Callable[[Any], object]:
    return lambda protocol: protocol.dataReceived(framed(name, b"x"))


@pytest.mark.parametrize("name", ALL)
def test_anExceptionLosesNothingAndRepeatsNothing(name: str) -> None:
    # Twisted's IntNStringReceiver delivers b"a" and b"b" again with the next data.
    def fail(protocol: Any) -> None:
        raise KeyError

    for kind in range(2):
        protocol, trace = receiver(getattr(ours, name), {2: fail})
        stream = b"".join(framed(name, x) for x in (b"a", b"b", b"c"))
        if kind:
            feed(protocol, trace, [stream[i : i + 1] for i in range(len(stream))])
        else:
            feed(protocol, trace, [stream, b"", framed(name, b"d")])
        assert strings(trace) == [b"a", b"b", b"c", b"d"][: 4 - kind]
        assert trace.count("KeyError") == 1


# IntNStringReceiver


def test_lengthLimitExceededGetsTheLength() -> None:
    said: list[Any] = []
    protocol, _ = receiver(ours.Int16StringReceiver, MAX_LENGTH=10, lengthLimitExceeded=lambda self, n: said.append(n))
    protocol.dataReceived(framed("Int16StringReceiver", b"ok") + b"\x00\x0b")
    assert said == [11]


def test_afterTheLimitNothingIsDeliveredAgainOrKept() -> None:
    # Twisted's delivers b"ok" again with each read, and keeps all that comes.
    said: list[Any] = []
    protocol, trace = receiver(
        ours.Int16StringReceiver, MAX_LENGTH=10, lengthLimitExceeded=lambda self, n: said.append(n)
    )
    protocol.dataReceived(framed("Int16StringReceiver", b"ok") + b"\x00\x0b" + b"x" * 100)
    assert protocol.recvd == b""
    for _ in range(3):
        protocol.dataReceived(b"y" * 1000)
        assert protocol.recvd == b""
    protocol.MAX_LENGTH = 100
    protocol.dataReceived(framed("Int16StringReceiver", b"ok"))
    assert strings(trace) == [b"ok"]
    assert said == [11] * 5


def test_theLimitMayBeRaisedWhenItIsExceeded() -> None:
    for module in (ours, twisted):

        def raiseLimit(self: Any, length: int) -> None:
            self.MAX_LENGTH = length

        protocol, trace = receiver(module.Int16StringReceiver, MAX_LENGTH=1, lengthLimitExceeded=raiseLimit)
        feed(protocol, trace, [b"\x00\x02xx", b""])
        assert trace == ["chunk", "chunk", (bytes, b"xx")]


def test_recvdMayBeReplacedWhenTheLimitIsExceeded() -> None:
    def skip(self: Any, length: int) -> None:
        self.recvd = self.recvd[2 + length :]

    protocol, trace = receiver(ours.Int16StringReceiver, MAX_LENGTH=2, lengthLimitExceeded=skip)
    feed(protocol, trace, [b"\x00\x03xxx\x00\x02ok", b""])
    assert strings(trace) == [b"ok"]


@pytest.mark.parametrize("name", INTS)
def test_recvdIsWhatWaits(name: str) -> None:
    stream = framed(name, b"a") + framed(name, b"bb") + framed(name, b"ccc")[:-1]

    def note(protocol: Any) -> None:
        protocol.transport.said.append(protocol.recvd)

    for chunks in cuts(stream):
        traces = []
        for module in (ours, twisted):
            protocol, trace = receiver(getattr(module, name), {1: note, 2: note})
            note(protocol)
            for chunk in chunks:
                protocol.dataReceived(chunk)
                note(protocol)
            traces.append(trace)
        assert traces[0] == traces[1]
        assert traces[0][-1] == framed(name, b"ccc")[:-1]


@pytest.mark.parametrize("module", [ours, twisted])
def test_recvdMayBeAssignedInsideACallback(module: Any) -> None:
    # As Twisted's own test does: the rest of the data goes elsewhere.
    rest: list[bytes] = []

    def switch(self: Any) -> None:
        rest.append(self.recvd)
        self.recvd = b""

    def replace(self: Any) -> None:
        self.recvd = b"\x01z"

    protocol, trace = receiver(module.Int8StringReceiver, {2: switch, 3: replace})
    feed(protocol, trace, [b"\x01a\x01b not strings", b"\x01c", b"\x01d"])
    assert rest == [b" not strings"]
    assert strings(trace) == [b"a", b"b", b"c", b"z", b"d"]


@pytest.mark.parametrize("empty", ["", b"", bytearray()])
def test_recvdOfNothing(empty: Any) -> None:
    """`recvd = ""`, as old programs have it, in a class body or inside a callback, which Twisted takes as well."""

    def forget(self: Any) -> None:
        self.recvd = empty

    for settings in ({}, {"recvd": empty}):
        kind = type("Old", (ours.Int8StringReceiver,), settings)
        protocol, trace = receiver(kind, {2: forget})
        feed(protocol, trace, [b"\x01a\x01b not strings", b"\x01c", b"\x02d"])
        assert strings(trace) == [b"a", b"b", b"c"]
        assert protocol.recvd == b"\x02d"
        with pytest.raises(TypeError):
            protocol.recvd = "text"


def test_otherFormats() -> None:
    for module in (ours, twisted):
        protocol, trace = receiver(module.IntNStringReceiver, structFormat="<Q", prefixLength=8)
        protocol.sendString(b"hello")
        data = trace.pop()[2]
        assert data == b"\x05" + bytes(7) + b"hello"
        feed(protocol, trace, [data + data])
        assert strings(trace) == [b"hello", b"hello"]


def test_negativeLengthsAreRefused() -> None:
    # Twisted's would go backwards.
    protocol, trace = receiver(ours.IntNStringReceiver, structFormat="!i", prefixLength=4)
    feed(protocol, trace, [struct.pack("!i", -1) + b"x" * 10])
    assert trace == ["chunk", "lose"]


# OctetCountedReceiver


@pytest.mark.parametrize(
    ("bad", "reason", "length"),
    [
        (b"<34>1 2003-10-11T22:14:15Z host su - ID47 - x\n", "it does not begin with a length", None),
        (b" 5 hello", "it does not begin with a length", None),
        (b"-1 x", "it does not begin with a length", None),
        (b"5\nhello", "it does not begin with a length", None),
        (b"0 ", "its length begins with 0", None),
        (b"05 hello", "its length begins with 0", None),
        (b"65537 x", "it is longer than 65536 bytes", 65537),
        (b"999999", "it is longer than 65536 bytes", None),
        (b"99999999999999999999999999", "it is longer than 65536 bytes", None),
    ],
)
def test_octetCountedFailure(bad: bytes, reason: str, length: int | None) -> None:
    for chunks in [[bad, b"5 hello"], [*(bad[i : i + 1] for i in range(len(bad))), b"5 hello"]]:
        errors: list[OctetCountError] = []
        protocol, trace = receiver(
            ours.OctetCountedReceiver, framingFailed=lambda self, error, errors=errors: errors.append(error)
        )
        protocol.dataReceived(b"2 ok")
        feed(protocol, [], chunks)
        assert trace == [(bytes, b"ok")]
        (error,) = errors
        assert isinstance(error, OctetCountError)
        assert isinstance(error, ValueError)
        assert str(error) == reason
        assert error.length in {length, None}
        assert len(chunks) > 2 or error.length == length
        assert protocol._buffer == b""


def test_octetCountedClosesByDefaultAndOnce() -> None:
    protocol, trace = receiver(ours.OctetCountedReceiver)
    feed(protocol, trace, [b"2 ok<34>", b"2 no", b"x"])
    assert trace == ["chunk", (bytes, b"ok"), "lose", "chunk", "chunk"]


def test_octetCountedSyslogExample() -> None:
    # Two messages in one frame of TCP; the second has a newline of its own.
    first = b"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - 'su root' failed"
    second = b"<165>1 2003-10-11T22:14:15.003Z host evntslog - ID47 - line one\nline two"
    stream = b"%d %b%d %b" % (len(first), first, len(second), second)
    for chunks in cuts(stream):
        protocol, trace = receiver(ours.OctetCountedReceiver)
        for chunk in chunks:
            protocol.dataReceived(chunk)
        assert strings(trace) == [first, second]


# The buffer


@pytest.mark.parametrize("name", ["NetstringReceiver", "Int32StringReceiver", "OctetCountedReceiver"])
def test_aLargeStringInSmallPiecesCostsLinearTime(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Counted, not timed: the bytes that the buffer copies.
    size, piece = 1_000_000, 250
    copied = [0]
    protocol, trace = receiver(getattr(ours, name), MAX_LENGTH=size)
    stream = framed(name, b"x" * size)
    store = protocol._store

    def counting(data: bytes) -> None:
        before, kind = protocol._buffer, type(protocol._buffer)
        store(data)
        grown = kind is bytearray and protocol._buffer is before
        copied[0] += len(data) if grown else len(protocol._buffer) if protocol._buffer is not data else 0

    monkeypatch.setattr(protocol, "_store", counting)
    for i in range(0, len(stream), piece):
        protocol.dataReceived(stream[i : i + piece])
    assert strings(trace) == [b"x" * size]
    assert copied[0] < 2 * len(stream)


@pytest.mark.parametrize("name", ALL)
def test_nothingIsHeldWhenNothingWaits(name: str) -> None:
    protocol, trace = receiver(getattr(ours, name))
    protocol.dataReceived(framed(name, b"x" * 200) * 300)
    assert (protocol._buffer, protocol._offset) == (b"", 0)
    protocol.dataReceived(framed(name, b"x" * 200) * 300 + framed(name, b"tail")[:-1])
    assert len(protocol._buffer) < len(framed(name, b"tail"))
    protocol.dataReceived(framed(name, b"tail")[-1:])
    assert (protocol._buffer, protocol._offset) == (b"", 0)
    assert len(strings(trace)) == 601


@pytest.mark.parametrize("name", ALL)
def test_pausingAfterEachOfManyCostsLinearTime(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count, copied = 4000, [0]
    protocol, trace = receiver(getattr(ours, name), dict.fromkeys(range(1, count + 1), lambda p: p.pauseProducing()))
    trim = protocol._trim

    def counting() -> None:
        before = protocol._buffer
        trim()
        copied[0] += len(protocol._buffer) if protocol._buffer is not before else 0

    monkeypatch.setattr(protocol, "_trim", counting)
    stream = framed(name, b"hello") * count
    protocol.dataReceived(stream)
    for _ in range(count):
        protocol.resumeProducing()
    assert len(strings(trace)) == count
    assert copied[0] < 2 * len(stream)


# StatefulStringProtocol


def test_statefulStringProtocol(caplog: pytest.LogCaptureFixture) -> None:
    traces = []
    for module in (ours, twisted):

        class Dialogue(module.StatefulStringProtocol, module.Int8StringReceiver):  # type: ignore[misc,name-defined]
            def proto_init(self, string: bytes) -> str:
                self.transport.said.append(("init", string))
                return "next"

            def proto_next(self, string: bytes) -> str:
                self.transport.said.append(("next", string))
                return {b"again": "next", b"lost": "nowhere"}.get(string, "done")

        for words in ([b"a", b"again", b"again", b"bye"], [b"a", b"lost", b"x", b"y"]):
            protocol = Dialogue()
            protocol.makeConnection(Transport())
            for word in words:
                protocol.dataReceived(framed("Int8StringReceiver", word))
            traces.append((protocol.state, protocol.transport.said))
    assert traces[:2] == traces[2:]
    assert traces[0] == ("done", [("init", b"a"), ("next", b"again"), ("next", b"again"), ("next", b"bye"), "lose"])
    assert traces[1] == ("nowhere", [("init", b"a"), ("next", b"lost")])
    assert [record.getMessage() for record in caplog.records if record.name == "reactor.stringreceivers"] == [
        "A string was dropped: there is no method for the state 'nowhere'"
    ] * 2


def test_aStateThatIsNoNameIsATypeError() -> None:
    for module in (ours, twisted):

        class Dialogue(module.StatefulStringProtocol, module.Int8StringReceiver):  # type: ignore[misc,name-defined]
            def proto_init(self, string: bytes) -> None:
                pass

        protocol = Dialogue()
        protocol.makeConnection(Transport())
        with pytest.raises(TypeError):
            protocol.dataReceived(b"\x01a\x01b")


def test_namesForImports() -> None:
    assert issubclass(ours.NetstringParseError, ValueError)
    assert issubclass(ours.IncompleteNetstring, Exception)
    for name in ours.__all__:
        assert hasattr(ours, name)
