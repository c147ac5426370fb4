"""One connection of a server: each phase of its input, each limit beyond its value, order, deadlines, back-pressure."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred, ensureDeferred
from reactor.error import IdleTimeout
from reactor.http import HTTPChannel, HTTPFactory, Request, Response, channelstate
from reactor.http.channelpace import GRACE, MIN_RATE
from reactor.http.channelstate import BODY, BUSY, CONTENT, ENDING, HEAD, IDLE, OUTPUT, QUEUE, TAKEN
from reactor.protocol import Protocol
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.support.httpscenes import HOST, Answering, Scene, Staying, answersIn, chunked, get, post

KiB = 1024


def echo(request: Any) -> bytes:
    """The path of the request."""
    path: bytes = request.path
    return path


async def echoBody(request: Any) -> bytes:
    body: bytes = await request.body
    return body


def waiting() -> tuple[Answering, Scene]:
    """A handler whose answers are Deferreds for the test to fire, and its scene."""
    handler = Answering(lambda _: Deferred())
    return handler, Scene(handler)


class Collecting(Request):
    """A Request of Twisted's kind, which answers with its body."""

    def process(self) -> None:
        self.write(self.content.read())
        self.finish()


def collecting() -> HTTPFactory:
    factory = HTTPFactory()
    factory.requestFactory = Collecting
    return factory


# Phases.


def test_phasesOfARequestWithoutABody() -> None:
    handler, scene = waiting()
    channel = scene.channel
    assert channel._phase == IDLE
    scene.send(b"GET")
    assert channel._phase == HEAD
    scene.send(b" / HTTP/1.1\r\n", HOST)
    assert channel._phase == HEAD
    scene.send(b"\r\n")
    assert channel._phase == BUSY
    handler.answers[0].callback(b"x")
    assert channel._phase == IDLE
    assert [answer.body for answer in scene.take()] == [b"x"]


def test_phasesOfARequestWithABody() -> None:
    handler, scene = waiting()
    channel = scene.channel
    scene.send(post(b"12345")[:-3])
    assert channel._phase == BODY
    scene.send(b"3")
    assert channel._phase == BODY
    scene.send(b"45")
    assert channel._phase == BUSY
    handler.answers[0].callback(b"x")
    assert channel._phase == IDLE


def test_fromBusyToHead() -> None:
    """A part of the next head is there when the answer comes: its deadline begins then."""
    for part in (b"GET /next", b"GET /next HTTP/1.1\r\nA: b\r\n"):
        handler, scene = waiting()
        scene.send(get(), part)
        scene.advance(100)
        assert scene.channel._phase == BUSY
        handler.answers[0].callback(b"x")
        assert scene.channel._phase == HEAD
        scene.advance(9)
        assert [answer.code for answer in scene.take()] == [200]
        scene.advance(3)
        assert [answer.code for answer in scene.take()] == [408]


def test_wholeExchangesInOneRead() -> None:
    """A body that came with its head, heads around it, and a part of another: all phases in one read."""
    scene = Scene(echoBody)
    answers = scene.send(get() + post(b"one") + chunked(b"tw", b"o") + get() + post(b"three")[:-1])
    assert [answer.body for answer in answers] == [b"", b"one", b"two", b""]
    assert scene.channel._phase == BODY
    assert scene.ask(b"e").body == b"three"
    assert scene.channel._phase == IDLE


@pytest.mark.parametrize("make", [lambda: Scene(echoBody), lambda: Scene(factory=collecting())], ids=["new", "old"])
def test_everyCut(make: Any) -> None:
    """Wherever the stream is cut in two, the answers are the same."""
    stream = get() + post(b"hello") + chunked(b"a", b"bc", trailers=[b"T: 1"]) + b"\r\n" + get()
    for at in range(len(stream) + 1):
        scene = make()
        answers = scene.send(stream[:at], stream[at:]) if at else scene.send(stream)
        assert [answer.body for answer in answers] == [b"", b"hello", b"abc", b""], at
        assert scene.channel._phase == IDLE


def test_byteByByte() -> None:
    stream = get() + post(b"hello") + chunked(b"a", b"bc")
    scene = Scene(echoBody)
    answers = scene.send(*[stream[at : at + 1] for at in range(len(stream))])
    assert [answer.body for answer in answers] == [b"", b"hello", b"abc"]


def test_endingDropsWhatComes() -> None:
    """Behind a request that does not persist nothing is read, also while its answer is missing."""
    handler, scene = waiting()
    scene.send(get(b"/last", b"Connection: close"))
    assert scene.channel._phase == ENDING
    for _ in range(20):
        scene.send(get(b"/more") * 500)
    assert len(handler.requests) == 1
    assert scene.channel.heldSize == 0
    handler.answers[0].callback(b"x")
    (answer,) = scene.take()
    assert answer.closes
    assert not scene.isOpen


def test_bodyBehindTheLastRequestIsRead() -> None:
    scene = Scene(echoBody)
    (answer,) = scene.send(post(b"hello", b"Connection: close")[:-2], b"lo" + get())
    assert (answer.body, answer.closes) == (b"hello", True)
    assert not scene.isOpen


def test_takenFromBusy() -> None:
    taker = Protocol()
    scene = Scene(lambda request: request.takeOver(taker))
    scene.send(get(b"/", b"Upgrade: x", b"Connection: upgrade"))
    assert scene.channel._phase == TAKEN
    scene.advance(1000)
    assert scene.isOpen


# Limits.


def refused(scene: Scene, *pieces: bytes) -> int:
    """The code of the refusal, behind which the connection ends and nothing more is read."""
    answers = scene.send(*pieces)
    assert [answer.closes for answer in answers] == [True], answers
    assert scene.channel._phase == ENDING
    assert scene.factory is not None
    assert scene.factory.refusedCounts == {answers[0].code: 1}
    assert scene.send(get()) == []
    scene.advance(12)
    assert not scene.isOpen
    return answers[0].code


def test_longestRequestLine() -> None:
    path = b"/" + b"x" * (8192 - len(b"GET / HTTP/1.1"))
    assert Scene(echo).ask(get(path)).code == 200
    assert refused(Scene(echo), get(path + b"x")) == 414
    assert refused(Scene(echo), b"x" * 4096, b"x" * 4096, b"xxx") == 414


def test_longestField() -> None:
    field = b"A: " + b"x" * 8189
    assert Scene(echo).ask(get(b"/", field)).code == 200
    assert refused(Scene(echo), get(b"/", field + b"x")) == 431
    assert refused(Scene(echo), b"GET / HTTP/1.1\r\n", b"A: " + b"x" * 8192) == 431


def test_largestHead() -> None:
    line = b"GET / HTTP/1.1\r\n"
    head = line + HOST + b"A: " + b"x" * 8180 + b"\r\n"
    head += b"B: " + b"x" * (16384 - len(head) - len(b"B: \r\n\r\n")) + b"\r\n\r\n"
    assert len(head) == 16384
    tooLarge = head[:-4] + b"x\r\n\r\n"
    for cut in (16384, 20, 9000):
        assert Scene(echo).send(head[:cut], *[head[cut:]] * (cut < 16384))[0].code == 200
        assert refused(Scene(echo), tooLarge[:cut], tooLarge[cut:]) == 431


def test_mostFields() -> None:
    fields = [b"X-%d: y" % number for number in range(99)]  # and Host
    assert Scene(echo).ask(get(b"/", *fields)).code == 200
    head = get(b"/", *fields, b"X: y")
    assert refused(Scene(echo), head) == 431
    assert refused(Scene(echo), *[line + b"\r\n" for line in head.split(b"\r\n")[:-1]]) == 431


def test_trailersCountIn() -> None:
    fields = [b"X-%d: y" % number for number in range(90)]
    head = get(b"/", b"Transfer-Encoding: chunked", *fields, method=b"POST")
    assert Scene(echoBody).ask(head + b"1\r\na\r\n0\r\n" + b"T: x\r\n" * 8 + b"\r\n").code == 200
    assert refused(Scene(echoBody), head, b"1\r\na\r\n0\r\n" + b"T: x\r\n" * 9) == 431


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        ([b"nonsense\r\n\r\n"], 400),
        ([b"GET / HTTP/1.1\r\n\r\n"], 400),
        ([b"GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n"], 400),
        ([b"GET / HTTP/1.1\nHost: a\n\n" + b"\r\n\r\n"], 400),
        ([b"\r\n\r\n"], 400),
        ([b"\r\n", b"\r\n"], 400),
        ([b"GET / HTTP/3.0\r\nHost: a\r\n\r\n"], 505),
        ([get(b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked")], 400),
        ([get(b"/", b"Transfer-Encoding: gzip, chunked")], 501),
        ([get(b"/", b"Transfer-Encoding: chunked", version=b"HTTP/1.0")], 400),
        ([get(b"/", b"Content-Length: " + b"9" * 19)], 413),
        ([get(b"/", b"Expect: a miracle")], 417),
        ([get(b"host:1", b"Content-Length: 1", method=b"CONNECT")], 400),
        ([get(b"/", b"Transfer-Encoding: chunked"), b"x\r\n"], 400),
        ([get(b"/", b"Transfer-Encoding: chunked") + b"1\r\nabc"], 400),
        ([get(b"/", b"Transfer-Encoding: chunked") + b"0\r\nHost: a\r\n\r\n"], 400),
        ([get(b"/", b"Transfer-Encoding: chunked"), b"1;" + b"x" * 256], 400),
    ],
)
def test_refusals(pieces: list[bytes], code: int) -> None:
    assert refused(Scene(echoBody), *pieces) == code
    assert refused(Scene(factory=collecting()), *pieces) == code


def test_refusalIsLoggedAtALimitedRate(caplog: pytest.LogCaptureFixture) -> None:
    """Any peer can cause it, as often as it likes."""
    with caplog.at_level(logging.INFO, "reactor.http"):
        for _ in range(200):
            Scene(echo).send(b"nonsense\r\n\r\n")
    assert 1 <= len(caplog.records) < 100


def test_oneEmptyLineBeforeARequest() -> None:
    """RFC 9112, 2.2."""
    assert [answer.code for answer in Scene(echo).send(b"\r\n" + get() + b"\r\n" + get(), b"\r\n", get())] == [200] * 3


def test_refusalBehindTheAnswersOfEarlierRequests() -> None:
    handler, scene = waiting()
    assert scene.send(get(b"/1") + get(b"/2") + b"nonsense\r\n\r\n" + get(b"/3")) == []
    assert len(handler.requests) == 2
    handler.answers[1].callback(b"two")
    handler.answers[0].callback(b"one")
    answers = scene.take()
    assert [(answer.code, answer.body[:3]) for answer in answers] == [(200, b"one"), (200, b"two"), (400, b"a r")]
    assert answers[-1].closes


def test_bodyThatIsKept() -> None:
    """For a Request of Twisted's kind: at most `maxContentLength` bytes, announced or not."""
    body = b"x" * 1000
    for message in (post, chunked):
        for size in (999, 1000, 1001):
            scene = Scene(factory=collecting(), maxContentLength=1000)
            answer = scene.ask(message(body[:size] + b"x" * (size - 1000)))
            assert answer.code == (200 if size <= 1000 else 413)
            assert answer.closes == (size > 1000)
    scene = Scene(factory=collecting())
    answer = scene.ask(get(b"/", b"Content-Length: %d" % (1024 * KiB + 1), method=b"POST"))
    assert (answer.code, answer.closes) == (413, True)


def test_mostRequests() -> None:
    scene = Scene(echo, maxRequests=3)
    answers = scene.send(get() * 5)
    assert [answer.closes for answer in answers] == [False, False, True]
    scene.advance(6)
    assert not scene.isOpen


# Order, and the queue.


def test_sixteenWait() -> None:
    """Then reading pauses, and goes on once one of them is answered."""
    handler, scene = waiting()
    assert scene.send(*[get(b"/%d" % number) for number in range(40)]) == []
    assert len(handler.requests) == 16
    assert scene.channel._holds == QUEUE
    # From then on, the peer's bytes wait on its side.
    scene.peer.transport.write(b"".join(get(b"/x%d" % number) for number in range(10_000)))
    scene.pump.flush()
    assert scene.peer.transport.unsent > 0
    assert scene.channel.heldSize < 256 * KiB
    handler.answers[0].callback(b"0")
    assert len(scene.take()) == 1
    assert len(handler.requests) == 17
    for number in range(1, 40):
        handler.answers[number].callback(b"%d" % number)
    assert [answer.body for answer in scene.take()] == [b"%d" % number for number in range(1, 40)]
    assert len(handler.requests) == 40 + 16


@pytest.mark.parametrize("most", [1, 2, 5])
def test_asManyAsAreSet(most: int) -> None:
    handler = Answering(lambda _: Deferred())
    scene = Scene(handler, maxPipelined=most)
    scene.send(get() * 10)
    for number in range(10):
        assert len(handler.requests) == min(10, number + most)
        handler.answers[number].callback(b"%d" % number)
        assert [answer.body for answer in scene.take()] == [b"%d" % number]
    assert scene.channel._phase == IDLE


def test_answersInOrder() -> None:
    """However the Deferreds fire, and whatever kind of answer each gives."""
    source = random.Random(3)
    for _ in range(60):
        handler, scene = waiting()
        count = source.randint(2, 40)
        scene.send(b"".join(get(b"/%d" % number) for number in range(count)))
        fired: set[int] = set()
        bodies: list[bytes] = []
        while len(fired) < count:
            number = source.choice([each for each in range(len(handler.answers)) if each not in fired])
            fired.add(number)
            body = b"%d" % number
            kind = source.randrange(4)
            if kind == 0:
                handler.answers[number].errback(KeyError(number))
            elif kind == 1:
                handler.answers[number].callback(Response(200, [body[:1], body[1:]]))
            elif kind == 2:
                handler.answers[number].callback(Response(200, body, {"A": "b"}))
            else:
                handler.answers[number].callback(body)
            scene.pump.flush()
            bodies += [answer.body if answer.code == 200 else b"!" for answer in scene.take()]
        assert len(bodies) == count
        assert all(body in (b"!", b"%d" % number) for number, body in enumerate(bodies))
        assert scene.channel._phase == IDLE


def test_laterRequestsAreToldWhenAnEarlierOneEndsTheConnection() -> None:
    handler, scene = waiting()
    scene.send(get() * 3)
    lost: list[Any] = []
    for request in handler.requests[1:]:
        request.notifyFinish().addErrback(lost.append)
    handler.answers[0].callback(Response(200, b"last", {"Connection": "close"}))
    handler.answers[2].callback(b"too late")
    assert [answer.body for answer in scene.take()] == [b"last"]
    assert len(lost) == 2


def test_handlersThatAnswerWhileOthersWait() -> None:
    """A plain answer of a request that is queued goes out at its turn."""
    gate: Deferred[bytes] = Deferred()
    scene = Scene(lambda request: gate if request.path == b"/slow" else request.path)
    assert scene.send(get(b"/slow") + get(b"/a") + get(b"/b")) == []
    gate.callback(b"slow")
    assert [answer.body for answer in scene.take()] == [b"slow", b"/a", b"/b"]


# Deadlines.


def test_idleConnectionIsClosed() -> None:
    for before in ([], [get()], [post(b"x")]):
        scene = Scene(echo)
        scene.send(*before)
        scene.advance(59)
        assert scene.isOpen
        scene.advance(6)
        assert not scene.isOpen
        assert bytes(scene.peer.received) == b""


def test_idleTimeBeginsWithEachRequest() -> None:
    scene = Scene(echo)
    for _ in range(5):
        assert scene.ask(get()).code == 200
        scene.advance(50)
    assert scene.isOpen


def test_noDeadlineBetweenRequests() -> None:
    factory = HTTPFactory.forHandler(echo, timeout=None)
    scene = Scene(factory=factory)
    scene.advance(1000)
    assert scene.ask(get()).code == 200
    scene.advance(1000)
    assert scene.isOpen
    scene.send(b"GET")
    scene.advance(12)
    assert [answer.code for answer in scene.take()] == [408]


def test_idleTimeIsTheFactorys() -> None:
    scene = Scene(factory=HTTPFactory.forHandler(echo, timeout=5.0))
    scene.advance(4)
    assert scene.isOpen
    scene.advance(2)
    assert not scene.isOpen


def test_setTimeout() -> None:
    scene = Scene(echo)
    assert scene.channel.setTimeout(10.0) == 60.0
    scene.advance(8)
    scene.channel.resetTimeout()
    scene.advance(8)
    assert scene.isOpen
    scene.advance(4)
    assert not scene.isOpen
    scene = Scene(echo)
    scene.channel.setTimeout(None)
    scene.advance(200)
    assert scene.ask(get()).code == 200


def test_reasonOfAnIdleEnd() -> None:
    scene = Scene(echo)
    reasons: list[Any] = []
    lost = scene.channel.connectionLost
    scene.channel.connectionLost = lambda reason: (reasons.append(reason.value), lost(reason))  # type: ignore
    scene.advance(70)
    (reason,) = reasons
    assert isinstance(reason, IdleTimeout)


@pytest.mark.parametrize("begin", [b"G", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA"])
def test_slowHead(begin: bytes) -> None:
    """The deadline does not move with what comes."""
    scene = Scene(echo)
    scene.send(begin)
    for _ in range(9):
        scene.advance(1)
        assert scene.send(b"x") == []
    scene.advance(2)
    (answer,) = scene.take()
    assert (answer.code, answer.closes) == (408, True)
    assert scene.factory.refusedCounts == {408: 1}


def test_headInTime() -> None:
    scene = Scene(echo)
    for _ in range(3):
        scene.send(b"GET / HTTP/1.1\r\n")
        scene.advance(9)
        assert scene.ask(HOST + b"\r\n").code == 200
        scene.advance(20)


@pytest.mark.parametrize("isOld", [False, True])
def test_slowBody(isOld: bool) -> None:
    def scene() -> Scene:
        return Scene(factory=collecting()) if isOld else Scene(echoBody)

    piece = int(MIN_RATE * GRACE)
    size = 4 * piece + 1
    fast = scene()
    fast.send(get(b"/", b"Content-Length: %d" % size, method=b"POST"))
    for _ in range(4):
        assert fast.take() == []
        fast.advance(GRACE * 0.9)
        assert fast.send(b"x" * piece) == []
    assert fast.ask(b"x").code == 200
    slow = scene()
    slow.send(get(b"/", b"Content-Length: %d" % size, method=b"POST"))
    for _ in range(3):
        slow.advance(GRACE * 0.26)
        assert slow.send(b"x" * (piece // 3 - 1)) == []
    slow.advance(GRACE * 0.5)
    (answer,) = slow.take()
    assert (answer.code, answer.closes) == (408, True)
    assert slow.factory.refusedCounts == {408: 1}


def test_slowBodyBehindItsAnswer() -> None:
    """A body that nobody wants, and that does not come, keeps no connection."""
    scene = Scene(echo, peer=Staying())
    assert scene.ask(get(b"/", b"Content-Length: 1000", method=b"POST")).code == 200
    assert scene.channel._phase == BODY
    scene.advance(GRACE * 1.2)
    assert scene.channel._phase == ENDING
    scene.advance(scene.channel.lingerTime * 1.2)
    assert not scene.transport.connected


def test_slowHandlerIsNoSlowBody() -> None:
    """The rate counts only while the peer is read from: not while the handler is slow."""
    gate: list[Deferred[None]] = []

    async def handler(request: Any) -> bytes:
        size = 0
        async for piece in request.body:
            size += len(piece)
            gate.append(Deferred())
            await gate[-1]
        return b"%d" % size

    scene = Scene(handler)
    body = b"x" * (1024 * KiB)
    scene.peer.transport.write(post(body))
    scene.pump.flush()
    while not scene.peer.received:
        scene.advance(GRACE * 1.06 - len(gate) % 7 * 0.3)
        gate[-1].callback(None)
        scene.pump.flush()
    assert len(gate) > 4
    assert [answer.body for answer in scene.take()] == [b"%d" % len(body)]


def test_releaseJustBeforeTheRateIsLookedAt() -> None:
    handler = Answering(lambda request: Deferred())
    scene = Scene(handler)
    scene.send(get(b"/", b"Content-Length: 1000000", method=b"POST"), b"x" * (100 * KiB))
    assert scene.channel._holds == CONTENT
    scene.advance(GRACE * 1.9)
    body = handler.requests[0].body
    got: list[bytes] = []

    async def read() -> None:
        got.extend([piece async for piece in body])

    reading = ensureDeferred(read())
    assert scene.channel._holds == 0
    scene.advance(GRACE * 0.4)
    assert scene.take() == []
    assert scene.isOpen
    scene.leave()

    reading.addErrback(lambda _: None)


def test_pausedReaderIsNoSlowBody() -> None:
    """A body while the output is held up: the peer's stall is what is looked at."""
    scene = Scene(echoBody)
    scene.send(get(b"/", b"Content-Length: 10", method=b"POST"))
    scene.channel.pauseProducing()
    scene.advance(GRACE * 3)
    assert scene.take() == []
    scene.channel.resumeProducing()
    assert scene.ask(b"0123456789").body == b"0123456789"


def endless() -> Iterator[bytes]:
    while True:
        yield b"x" * (64 * KiB)


@pytest.mark.parametrize("fields", [(), (b"Connection: close",)], ids=["persistent", "last"])
@pytest.mark.parametrize("size", [None, 8 * 1024 * KiB], ids=["pieces", "bytes"])
def test_peerThatTakesNothing(fields: tuple[bytes, ...], size: int | None) -> None:
    """It is reset after `stallTime`, in whatever phase the input is."""
    scene = Scene(lambda _: Response(200, endless() if size is None else b"x" * size))
    scene.peer.transport.pauseProducing()
    scene.send(get(b"/", *fields))
    assert scene.channel._holds & OUTPUT
    assert scene.transport.unsent < 2 * 1024 * KiB
    scene.advance(58)
    assert scene.transport.connected
    scene.advance(70)
    assert not scene.transport.connected


def test_peerThatTakesLittle() -> None:
    """As long as it takes something in each period, it may be as slow as it likes."""
    scene = Scene(lambda _: Response(200, b"x" * (512 * KiB)))
    transport: Any = scene.peer.transport
    transport.pauseProducing()
    scene.send(get())
    for _ in range(5):
        scene.advance(50)
        scene.peer.received += transport.wire.recv(20 * KiB)
        scene.pump.flush()
    assert scene.transport.connected
    scene.peer.transport.resumeProducing()
    scene.pump.flush()
    (answer,) = scene.take()
    assert len(answer.body) == 512 * KiB


def test_lingeringEnds() -> None:
    """A peer that keeps its half open behind an error, and goes on sending, is reset."""
    scene = Scene(echo, peer=Staying())
    scene.send(b"nonsense\r\n\r\n")
    for _ in range(4):
        scene.advance(1)
        scene.send(b"x" * 100_000)
        assert scene.transport.connected
    scene.advance(3)
    assert not scene.transport.connected


def test_peerThatEndsItsHalfEndsTheLingering() -> None:
    scene = Scene(echo, peer=Staying())
    assert scene.ask(b"nonsense\r\n\r\n").code == 400
    assert scene.transport.connected
    scene.peer.transport.loseConnection()
    scene.pump.flush()
    assert not scene.transport.connected


def test_endThatIsNotTaken() -> None:
    """An idle connection whose end the peer does not take is reset after `abortTimeout`."""
    scene = Scene(echo, abortTimeout=15.0)
    scene.transport.loseConnection = lambda: None  # type: ignore[method-assign]
    scene.advance(70)
    assert scene.transport.connected
    scene.advance(15)
    assert not scene.transport.connected


def test_noTimersWithoutConnections() -> None:
    scene = Scene(echo)
    scene.send(get(), b"GET")
    scene.leave()
    scene.advance(70)
    assert scene.clock.getDelayedCalls() == []


def test_busyConnectionHasNoDeadline() -> None:
    handler, scene = waiting()
    scene.send(get())
    scene.clock.advance(10_000)
    handler.answers[0].callback(b"late")
    assert [answer.body for answer in scene.take()] == [b"late"]


# Expect.


def test_continueIsSentWhenTheBodyIsRead() -> None:
    gate: Deferred[None] = Deferred()

    async def handler(request: Any) -> bytes:
        await gate
        body: bytes = await request.body
        return body

    scene = Scene(handler)
    assert scene.send(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST")) == []
    scene.advance(60)  # as long as the client waits for a word, its body is not slow
    assert scene.take() == []
    gate.callback(None)
    assert [answer.code for answer in scene.take()] == [100]
    scene.advance(GRACE * 0.5)
    answer = scene.ask(b"hello")
    assert (answer.body, answer.closes) == (b"hello", False)


def test_continueForAnOldRequest() -> None:
    scene = Scene(factory=collecting())
    assert [each.code for each in scene.send(get(b"/", b"Content-Length: 2", b"expect: 100-Continue"))] == [100]
    assert scene.ask(b"ok").body == b"ok"


def test_continueIsNotSentForABodyThatHasCome() -> None:
    scene = Scene(echoBody)
    assert scene.ask(post(b"hello", b"Expect: 100-continue")).body == b"hello"
    assert [each.code for each in scene.send(get(b"/", b"Content-Length: 0", b"Expect: 100-continue"))] == [200]
    (answer,) = scene.send(post(b"hello", b"Expect: 100-continue")[:-2], b"lo")
    assert answer.body == b"hello"


def test_continueForATurnThatHasNotCome() -> None:
    """It follows the answers of earlier requests."""
    gate: Deferred[bytes] = Deferred()
    scene = Scene(lambda request: gate if request.method == b"GET" else echoBody(request))
    assert scene.send(get() + get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"POST")) == []
    gate.callback(b"first")
    assert [answer.code for answer in scene.take()] == [200, 100]
    assert scene.ask(b"ok").body == b"ok"


def test_bodyThatIsNotWanted() -> None:
    """The client need not send it; whether it does cannot be told, so the connection ends (RFC 9110, 10.1.1)."""
    scene = Scene(lambda _: Response(403, b"no"))
    answer = scene.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
    assert (answer.code, answer.closes) == (403, True)
    assert scene.send(b"hello") == []
    scene.advance(12)
    assert not scene.isOpen


def test_continueIsNoPartOfAnAnswer() -> None:
    """An answer that has begun is never cut by a 100."""

    async def pieces(request: Any) -> AsyncIterator[bytes]:
        yield b""  # sends the head
        async for piece in request.body:
            yield piece

    scene = Scene(lambda request: Response(200, pieces(request)))
    answers = scene.send(get(b"/", b"Transfer-Encoding: chunked", b"Expect: 100-continue", method=b"POST"))
    assert [answer.code for answer in answers] == [100, 200]
    scene.peer.transport.write(b"3\r\nabc\r\n0\r\n\r\n")
    scene.pump.flush()
    assert bytes(scene.peer.received) == b"3\r\nabc\r\n0\r\n\r\n"


# Bodies, and what is left of them.


def test_shortRestIsDropped() -> None:
    scene = Scene(echo)
    answer = scene.ask(get(b"/1", b"Content-Length: %d" % (64 * KiB), method=b"POST"))
    assert not answer.closes
    assert scene.send(b"x" * (32 * KiB)) == []
    assert scene.ask(b"x" * (32 * KiB) + get(b"/2")).body == b"/2"


def test_longRestEndsTheConnection() -> None:
    scene = Scene(echo)
    answer = scene.ask(get(b"/1", b"Content-Length: %d" % (64 * KiB + 1), method=b"POST"))
    assert answer.closes
    answer = Scene(echo).ask(get(b"/1", b"Transfer-Encoding: chunked", method=b"POST"))
    assert answer.closes


def test_fastSenderAndSlowHandler() -> None:
    """At most about HIGH_WATER bytes wait for the handler; the rest waits on the peer's side."""
    gate: list[Deferred[None]] = [Deferred()]
    most = size = 0

    async def handler(request: Any) -> bytes:
        nonlocal most, size
        await gate[0]
        async for piece in request.body:
            most = max(most, len(piece))
            size += len(piece)
        return b"%d" % size

    scene = Scene(handler)
    body = b"x" * (8 * 1024 * KiB)
    scene.peer.transport.write(post(body))
    scene.pump.flush()
    assert scene.channel._holds == CONTENT
    assert scene.channel.requests[0].body.held < 512 * KiB
    assert scene.peer.transport.unsent > 7 * 1024 * KiB
    gate[0].callback(None)
    assert [answer.body for answer in scene.take()] == [b"%d" % len(body)]
    assert most < 512 * KiB


def test_slowReaderAndFastGenerator() -> None:
    asked = 0

    def pieces() -> Iterator[bytes]:
        nonlocal asked
        for _ in range(1000):
            asked += 1
            yield b"x" * (16 * KiB)

    scene = Scene(lambda _: Response(200, pieces()))
    scene.peer.transport.pauseProducing()
    scene.send(get())
    assert asked < 100
    assert scene.transport.unsent < 1024 * KiB
    scene.peer.transport.resumeProducing()
    (answer,) = scene.take()
    assert (len(answer.body), answer.ended) == (1000 * 16 * KiB, True)
    assert scene.ask(get() + b"\r\n").ended


def test_nothingIsReadWhileThePeerTakesNothing() -> None:
    """A peer that asks and asks, and never reads, costs no memory."""
    scene = Scene(lambda _: b"x" * (32 * KiB))
    scene.peer.transport.pauseProducing()
    scene.peer.transport.write(get() * 500)
    scene.pump.flush()
    assert scene.channel._holds & OUTPUT
    assert scene.transport.unsent + scene.channel.heldSize < 4 * 1024 * KiB
    assert scene.channel.requestCount < 200
    scene.peer.transport.resumeProducing()
    while scene.pump.pump():
        pass
    assert len(scene.take()) == 500


# The end.


def test_closeSoonWithoutARequest() -> None:
    for before in ([], [get()], [b"GET"]):
        scene = Scene(echo)
        scene.send(*before)
        scene.channel.closeSoon()
        scene.pump.flush()
        assert not scene.isOpen


def test_closeSoonAnswersWhatHasCome() -> None:
    handler, scene = waiting()
    scene.send(get(b"/1") + get(b"/2"))
    scene.channel.closeSoon()
    scene.channel.closeSoon()
    scene.send(get(b"/3"))
    assert len(handler.requests) == 2
    for deferred in handler.answers:
        deferred.callback(b"x")
    assert [answer.closes for answer in scene.take()] == [False, True]
    scene.advance(6)
    assert not scene.isOpen


def test_closeSoonAmidABody() -> None:
    scene = Scene(echoBody)
    scene.send(post(b"hello")[:-2])
    scene.channel.closeSoon()
    (answer,) = scene.send(b"lo" + get())
    assert (answer.body, answer.closes) == (b"hello", True)
    scene.advance(6)
    assert not scene.isOpen


def test_closeSoonAmidAnAnswer() -> None:
    gate: Deferred[bytes] = Deferred()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun "
        yield await gate

    scene = Scene(lambda _: Response(200, pieces()))
    scene.send(get())
    scene.channel.closeSoon()
    gate.callback(b"ended")
    scene.pump.flush()
    assert bytes(scene.peer.received).endswith(b"5\r\nended\r\n0\r\n\r\n")
    scene.advance(6)
    assert not scene.isOpen


def test_requestsAreToldOfALostConnection() -> None:
    handler, scene = waiting()
    scene.send(get() * 3)
    lost: list[Any] = []
    for request in handler.requests:
        request.notifyFinish().addErrback(lost.append)
    scene.leave()
    assert len(lost) == 3
    for deferred in handler.answers:
        deferred.callback(b"nobody reads it")
    assert scene.channel.requests == []


def test_notifyFinish() -> None:
    handler, scene = waiting()
    scene.send(get() * 2)
    told: list[Any] = []
    for number, request in enumerate(handler.requests):
        request.notifyFinish().addCallback(lambda result, number=number: told.append((number, result)))
    handler.answers[1].callback(b"x")
    assert told == []
    handler.answers[0].callback(b"x")
    assert sorted(told) == [(0, None), (1, None)]


def test_failureCostsOnlyItsConnection(caplog: pytest.LogCaptureFixture) -> None:
    """A program's code raises, in each of its callbacks: other connections of the factory go on."""

    class Failing(Request):
        def process(self) -> None:
            raise KeyError("mine")

        def connectionLost(self, reason: Any) -> None:
            raise KeyError("mine, too")

    factory = HTTPFactory()
    factory.requestFactory = Failing
    one, other = Scene(factory=factory), Scene(factory=factory)
    assert [answer.code for answer in one.send(get() * 2)] == [500, 500]
    one.channel.requestFactory = None
    one.send(get())
    assert not one.isOpen
    assert other.ask(get()).code == 500


# HTTP/1.0, and the forms of a target.


def test_oldVersionEndsWithItsAnswer() -> None:
    scene = Scene(echo)
    answer = scene.ask(b"GET /old HTTP/1.0\r\n\r\n")
    assert (answer.body, answer.closes) == (b"/old", True)
    assert not scene.isOpen


def test_oldVersionKeptAlive() -> None:
    scene = Scene(echo)
    for _ in range(3):
        answer = scene.ask(b"GET /old HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
        assert answer.body == b"/old"
        assert answer.fields[b"connection"] == b"keep-alive"
    assert scene.isOpen


def test_oldVersionHasNoChunks() -> None:
    for fields in (b"", b"Connection: keep-alive\r\n"):
        scene = Scene(lambda _: Response(200, [b"a", b"b"]))
        scene.peer.transport.write(b"GET / HTTP/1.0\r\n" + fields + b"\r\n")
        (answer,) = scene.take()
        assert (answer.body, answer.closes) == (b"ab", True)
        assert b"transfer-encoding" not in answer.fields
        scene.advance(6)
        assert not scene.isOpen


def test_oldVersionExpectsNothing() -> None:
    scene = Scene(echoBody)
    head = b"POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    assert scene.send(head) == []
    assert scene.ask(b"ok").body == b"ok"


def test_targets() -> None:
    seen: list[tuple[bytes, ...]] = []

    def handler(request: Any) -> bytes:
        seen.append((request.method, request.uri, request.getHeader(b"Host")))
        return b""

    scene = Scene(handler)
    answers = scene.send(
        get(b"http://right:81/x?y") + get(b"*", method=b"OPTIONS") + get(b"/a?b") + get(b"/", method=b"REPORT")
    )
    assert [answer.code for answer in answers] == [200] * 4
    assert seen == [
        (b"GET", b"http://right:81/x?y", b"right:81"),
        (b"OPTIONS", b"*", b"example"),
        (b"GET", b"/a?b", b"example"),
        (b"REPORT", b"/", b"example"),
    ]


def test_trailers() -> None:
    async def handler(request: Any) -> bytes:
        body: bytes = await request.body
        return body + repr(list(request.body.trailers)).encode()

    answer = Scene(handler).ask(chunked(b"a", b"b", trailers=[b"Sum: 1", b"Sum: 2"]))
    assert answer.body == b"ab[(b'sum', b'1'), (b'sum', b'2')]"


# Handing the connection over.


class Taker(Protocol):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def connectionMade(self) -> None:
        self.events.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)
        self.transport.write(data.upper())

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")


UPGRADE = {"Upgrade": "echo", "Connection": "Upgrade"}
TUNNEL = get(b"host:1", method=b"CONNECT")
UPGRADING = get(b"/", b"Upgrade: echo", b"Connection: upgrade")


@pytest.mark.parametrize("isLate", [False, True])
@pytest.mark.parametrize("code", [101, 200])
def test_takeOver(code: int, isLate: bool) -> None:
    """The bytes behind the head belong to the new protocol, also if the answer takes its time."""
    taker, gate = Taker(), Deferred[None]()

    async def handler(request: Any) -> None:
        if isLate:
            await gate
        request.takeOver(taker, code, UPGRADE if code == 101 else None)

    scene = Scene(handler)
    scene.peer.transport.write((UPGRADING if code == 101 else TUNNEL) + b"GET / like a head\r\n\r\nbehind")
    scene.pump.flush()
    if isLate:
        assert scene.send(b" and\r\n\r\n later") == []
        gate.callback(None)
    scene.pump.flush()
    head, _, rest = bytes(scene.peer.received).partition(b"\r\n\r\n")
    (answer,) = answersIn(head + b"\r\n\r\n", [b"CONNECT"])
    assert answer.code == code
    assert b"transfer-encoding" not in answer.fields
    assert b"content-length" not in answer.fields
    assert answer.fields.get(b"upgrade") == (b"echo" if code == 101 else None)
    expected = b"GET / like a head\r\n\r\nbehind" + b" and\r\n\r\n later" * isLate
    assert b"".join(taker.events[1:]) == expected
    assert rest == expected.upper()
    scene.peer.received.clear()
    scene.peer.transport.write(b"more")
    scene.pump.flush()
    assert bytes(scene.peer.received) == b"MORE"
    scene.advance(500)
    assert scene.isOpen
    scene.peer.transport.loseConnection()
    scene.pump.flush()
    assert taker.events[0] == "made"
    assert taker.events[-1] == "lost"


def test_refusedUpgradeIsAnAnswerLikeAnyOther() -> None:
    """The requests behind it are read then."""
    handler, scene = waiting()
    scene.send(UPGRADING + get(b"/2") + get(b"/3"))
    assert len(handler.requests) == 1
    handler.answers[0].callback(b"no")
    assert [answer.body for answer in scene.take()] == [b"no"]
    assert len(handler.requests) == 3
    scene = Scene(echo)
    assert [answer.body for answer in scene.send(UPGRADING + get(b"/2") + UPGRADING + get(b"/3"))] == [
        b"/",
        b"/2",
        b"/",
        b"/3",
    ]


def test_upgradeOfTheLastRequest() -> None:
    """Nothing may follow it, so reading goes on, and drops what comes."""
    fields = (b"Upgrade: x", b"Connection: close, upgrade")
    for request in (get(b"/", *fields), post(b"a", *fields)):
        handler, scene = waiting()
        scene.send(request)
        assert scene.channel._holds == 0
        scene.send(b"x" * 100_000)
        handler.answers[0].callback(b"no")
        assert [answer.body for answer in scene.take()] == [b"no"]
        assert not scene.isOpen


def test_upgradeWithABody() -> None:
    """The bytes behind the body wait for the answer, too."""
    handler, scene = waiting()
    taker = Taker()
    scene.send(post(b"body", b"Upgrade: x", b"Connection: upgrade") + b"behind")
    assert scene.channel._holds == channelstate.TUNNEL
    handler.requests[0].takeOver(taker)
    scene.pump.flush()
    assert taker.events == ["made", b"behind"]


def test_refusedTunnelEndsTheConnection() -> None:
    scene = Scene(lambda _: Response(405))
    answer = scene.ask(TUNNEL + get())
    assert (answer.code, answer.closes) == (405, True)


def test_onlyTheOnlyRequestTakesOver() -> None:
    handler, scene = waiting()
    scene.send(get() + UPGRADING)
    with pytest.raises(RuntimeError, match="only request"):
        handler.requests[1].takeOver(Taker())
    scene = Scene(handler)
    scene.send(get(b"/", b"Content-Length: 5", b"Upgrade: x"))
    with pytest.raises(RuntimeError, match="only request"):
        handler.requests[-1].takeOver(Taker())
    scene = Scene(handler)
    scene.send(get())
    handler.requests[-1].setHeader(b"A", b"b")
    handler.requests[-1].write(b"begun")
    with pytest.raises(RuntimeError, match="answer already"):
        handler.requests[-1].takeOver(Taker())


def test_takerMayBeAsynchronous() -> None:
    got: list[bytes] = []

    class Asynchronous(Protocol):
        async def connectionMade(self) -> None:
            got.append(b"made")

        async def dataReceived(self, data: bytes) -> None:
            got.append(data)

    scene = Scene(lambda request: request.takeOver(Asynchronous()))
    scene.send(UPGRADING + b"behind", b"more")
    assert got == [b"made", b"behind", b"more"]


def test_takerThatFails(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Protocol):
        def connectionMade(self) -> None:
            raise KeyError("mine")

    scene = Scene(lambda request: request.takeOver(Failing()))
    scene.peer.transport.write(UPGRADING)
    scene.pump.flush()
    assert not scene.isOpen
    assert len(caplog.records) == 1


def test_takenConnectionHasItsNotificationAndItsRecord() -> None:
    told: list[Any] = []
    logged: list[int] = []

    class Logging(HTTPFactory):
        def log(self, request: Any) -> None:
            logged.append(request.code)

    def handler(request: Any) -> None:
        request.notifyFinish().addCallback(told.append)
        request.takeOver(Taker(), 101, UPGRADE)

    Scene(factory=Logging.forHandler(handler)).send(UPGRADING)
    assert (told, logged) == ([None], [101])


# Deadlines of a channel without HTTPFactory.


def test_channelWithAClockOfItsOwn() -> None:
    clock = Clock()
    channel = HTTPChannel()
    channel.callLater = clock.callLater  # type: ignore[assignment,method-assign]
    transport = StringTransport()
    channel.makeConnection(transport)
    clock.advance(64)
    assert transport.disconnecting


def test_anUpgradeWaitsBehindAnotherRequest() -> None:
    """The answer to an earlier request lets nothing behind the upgrade be read."""
    first: Deferred[Any] = Deferred()
    taker = Taker()
    held: list[Any] = []

    def handler(request: Any) -> Any:
        if request.uri == b"/slow":
            return first
        held.append(request)
        return Deferred()

    scene = Scene(handler)
    scene.send(get(b"/slow") + get(b"/ws", b"Upgrade: echo", b"Connection: upgrade") + b"frame\r\n\r\n")
    first.callback(b"slow")
    assert [answer.body for answer in scene.take()] == [b"slow"]
    held[0].takeOver(taker, headers={"Upgrade": "echo", "Connection": "upgrade"})
    scene.pump.flush()
    assert taker.events == ["made", b"frame\r\n\r\n"]


class Push:
    """A push producer that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("end", ["abort", "loseConnection", "leave"])
def test_producersAreStoppedAtEachEnd(streaming: bool, end: str) -> None:
    producer = Push()

    class Producing(Request):
        def process(self) -> None:
            self.registerProducer(producer, streaming)

    scene = Scene(factory=HTTPFactory(), requestFactory=Producing)
    scene.send(get(b"/"))
    if end == "leave":
        scene.leave()
    else:
        getattr(scene.channel, end)()
    scene.pump.flush()
    assert producer.calls.count("stop") == 1


def test_aPullProducerWhileThePeerIsBehind() -> None:
    """The next request is read as soon as the producer is done."""

    class Sending(Request):
        def process(self) -> None:
            self.setHeader("Content-Length", str(200_000 if self.uri == b"/long" else 2))
            if self.uri == b"/long":
                self.write(b"x" * 199_998)
                self.registerProducer(self, False)
            else:
                self.resumeProducing()

        def resumeProducing(self) -> None:
            self.write(b"ok")
            if self.uri == b"/long":
                self.unregisterProducer()
            self.finish()

        def stopProducing(self) -> None: ...

    scene = Scene(factory=HTTPFactory(), requestFactory=Sending)
    assert [len(answer.body) for answer in scene.send(get(b"/long"))] == [200_000]
    assert [answer.body for answer in scene.send(get(b"/short"))] == [b"ok"]
