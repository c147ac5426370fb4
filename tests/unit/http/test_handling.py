"""Handlers, and Requests of Twisted's kind: every way to answer, to read a body, and to fail."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any, cast

import pytest

from reactor.defer import CancelledError, Deferred, ensureDeferred, succeed
from reactor.filesender import FileSender, TransferStopped
from reactor.http import BodyLost, HTTPError, HTTPFactory, Request, Response
from reactor.http.responding import IN_A_ROW
from reactor.testing.pair import makeFakeServer
from tests.support.httpscenes import Answering, Scene, chunked, get, post


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


async def asynchronous(_: Any) -> Response:
    return Response(200, b"ok")


async def inTwoSteps(_: Any) -> bytes:
    await succeed(None)
    return b"ok"


async def nested(request: Any) -> Any:
    return await inTwoSteps(request)


KINDS = {
    "async": asynchronous,
    "steps": inTwoSteps,
    "nested": nested,
    "response": lambda _: Response(200, b"ok"),
    "bytes": lambda _: b"ok",
    "deferred": lambda _: succeed(Response(200, b"ok")),
    "deferred bytes": lambda _: succeed(b"ok"),
    "coroutine": lambda request: asynchronous(request),
    "ensured": lambda request: ensureDeferred(inTwoSteps(request)),
    "respond": lambda request: request.respond(Response(200, b"ok")),
    "write": lambda request: (request.write(b"o"), request.write(b"k"), request.finish())[2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_kindsOfHandlers(kind: str) -> None:
    scene = Scene(KINDS[kind])
    assert [(each.code, each.body) for each in scene.send(get(), get() * 2)] == [(200, b"ok")] * 3


def test_handlerIsCallable() -> None:
    with pytest.raises(TypeError, match="cannot be called"):
        HTTPFactory.forHandler(b"ok")  # type: ignore[arg-type]


class Mine(Exception):
    pass


def failing(error: Exception) -> Any:
    raise error


async def failingLate(gate: Deferred[None]) -> Any:
    await gate
    raise Mine("secret")


FAILURES: dict[str, Any] = {
    "raises": lambda _: failing(Mine("secret")),
    "async": lambda _: failingLate(succeed(None)),
    "None": lambda _: None,
    "async None": lambda _: ensureDeferred(_nothing()),
    "text": lambda _: "secret",
    "number": lambda _: 5,
    "generator": lambda _: (each for each in [b"secret"]),
    "asynchronous generator": lambda _: _pieces(),
    "bad code": lambda _: Response(5),
}


async def _nothing() -> None:
    pass


async def _pieces() -> AsyncIterator[bytes]:
    yield b"secret"


@pytest.mark.parametrize("kind", FAILURES)
def test_failureIs500(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Logged once, and nothing of it reaches the peer. The connection goes on."""
    scene = Scene(FAILURES[kind])
    for _ in range(2):
        caplog.clear()
        answer = scene.ask(get())
        assert (answer.code, answer.body, answer.closes) == (500, b"Internal Server Error\n", False)
        assert b"secret" not in repr(answer).encode()
        assert len(errors(caplog)) == 1
        assert caplog.records[0].exc_info


def test_lateFailure(caplog: pytest.LogCaptureFixture) -> None:
    gate: Deferred[None] = Deferred()
    scene = Scene(lambda _: failingLate(gate))
    assert scene.send(get()) == []
    gate.callback(None)
    assert [answer.code for answer in scene.take()] == [500]
    assert len(errors(caplog)) == 1


def test_failureOfADeferred(caplog: pytest.LogCaptureFixture) -> None:
    handler = Answering(lambda _: Deferred())
    scene = Scene(handler)
    scene.send(get())
    handler.answers[0].errback(Mine("secret"))
    assert [answer.code for answer in scene.take()] == [500]
    assert len(errors(caplog)) == 1


def test_failureAmidAnAnswer(caplog: pytest.LogCaptureFixture) -> None:
    """The peer must not take the answer for complete."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        raise Mine("secret")

    scene = Scene(lambda _: Response(200, pieces()))
    assert all(not answer.ended for answer in scene.send(get()))
    assert not scene.isOpen
    assert len(errors(caplog)) == 1


def test_errorsWithACode(caplog: pytest.LogCaptureFixture) -> None:
    """The peer gets the code and the text; it is no failure of the program, so nothing is logged."""
    for handler in (
        lambda _: failing(HTTPError(404, "no such page", {"X-Why": "gone"})),
        lambda request: ensureDeferred(_raising(HTTPError(404, "no such page", [(b"X-Why", b"gone")]))),
    ):
        answer = Scene(handler).ask(get())
        assert (answer.code, answer.body, answer.closes) == (404, b"no such page\n", False)
        assert answer.fields[b"x-why"] == b"gone"
        assert answer.fields[b"content-type"] == b"text/plain; charset=utf-8"
    assert Scene(lambda _: failing(HTTPError(503))).ask(get()).body == b"Service Unavailable\n"
    assert Scene(lambda _: failing(HTTPError(400, "\ud800\xe4"))).ask(get()).body == b"?\xc3\xa4\n"
    assert errors(caplog) == []
    with pytest.raises(ValueError, match="400 to 599"):
        HTTPError(200)


async def _raising(error: Exception) -> Any:
    raise error


def test_fieldsOfAnAnswerThatWasNotSent() -> None:
    """An error is an answer of its own: nothing that was set before is in it."""

    def handler(request: Any) -> None:
        request.setHeader(b"Content-Length", b"500")
        request.setHeader(b"X-Secret", b"x")
        request.addCookie(b"a", b"b")
        request.setETag(b'"a"')
        request.setResponseCode(200, b"My Reason")
        raise Mine

    answer = Scene(handler).ask(get())
    assert (answer.code, answer.ended) == (500, True)
    assert not {b"x-secret", b"set-cookie", b"etag"} & answer.fields.keys()


def test_secondAnswer(caplog: pytest.LogCaptureFixture) -> None:
    def handler(request: Any) -> Response:
        request.respond(Response(200, b"first"))
        return Response(200, b"second")

    scene = Scene(handler)
    assert [answer.body for answer in scene.send(get())] == [b"first"]
    assert len(errors(caplog)) == 1
    assert [answer.body for answer in scene.send(get())] == [b"first"]


# The body of the request.


def reading(how: str) -> Any:
    async def handler(request: Any) -> bytes:
        if how == "awaits":
            body: bytes = await request.body
            return body
        return b"".join([piece async for piece in request.body])

    return handler


HOW = pytest.mark.parametrize("how", ["awaits", "iterates"])


@HOW
def test_bodyInPieces(how: str) -> None:
    for message in (post(b"hello world"), chunked(b"hello", b" ", b"world")):
        for at in range(1, len(message)):
            assert Scene(reading(how)).ask(message[:at], message[at:]).body == b"hello world", at
    assert Scene(reading(how)).ask(get()).body == b""
    assert Scene(reading(how)).ask(post(b"")).body == b""
    assert Scene(reading(how)).ask(chunked()).body == b""


def test_wholeBodyMayBeAwaitedAgain() -> None:
    async def handler(request: Any) -> bytes:
        whole = await request.body
        again = await request.body
        return b"%b|%b|%r" % (whole, again, request.body.length)

    assert Scene(handler).ask(post(b"once")).body == b"once|once|4"
    assert Scene(handler).ask(chunked(b"once")).body == b"once|once|None"


def test_piecesAreNoWhole(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: Any) -> bytes:
        assert [piece async for piece in request.body] == [b"once"]
        assert [piece async for piece in request.body] == []
        return await request.body  # type: ignore[no-any-return]

    assert Scene(handler).ask(post(b"once")).code == 500
    assert "read piece by piece" in caplog.text


def test_bodyThatIsTooLong() -> None:
    """1 MiB is what a handler may await. Iterating has no limit."""
    limit = 1 << 20
    for size in (limit, limit + 1):
        code = 200 if size == limit else 413
        for message in (post(b"x" * size), chunked(b"x" * size)):
            answer = Scene(reading("awaits")).ask(message)
            assert (answer.code, answer.closes) == (code, code == 413)
    assert len(Scene(reading("iterates")).ask(post(b"x" * 2 * limit)).body) == 2 * limit


def test_limitIsTheFactorysOrTheHandlers() -> None:
    async def handler(request: Any) -> bytes:
        if request.path == b"/more":
            request.maxBodySize = 20
        body: bytes = await request.body
        return body

    for message in (post, lambda body, path: chunked(body, path=path)):
        for path, most in ((b"/", 10), (b"/more", 20)):
            for size in (most, most + 1):
                factory = HTTPFactory.forHandler(handler)
                factory.maxBodySize = 10
                answer = Scene(factory=factory).ask(message(b"x" * size, path=path))
                assert answer.code == (200 if size == most else 413)


def test_announcedLengthIsEnoughToRefuse() -> None:
    scene = Scene(reading("awaits"))
    answer = scene.ask(get(b"/", b"Content-Length: %d" % ((1 << 20) + 1), b"Expect: 100-continue", method=b"PUT"))
    assert (answer.code, answer.closes) == (413, True)


def test_handlerMayCatchThatItIsTooLong() -> None:
    async def handler(request: Any) -> Response:
        try:
            await request.body
        except HTTPError as error:
            return Response(error.code, b"mine")
        return Response(200)

    answer = Scene(handler).ask(get(b"/", b"Content-Length: 9000000", method=b"POST"))
    assert (answer.code, answer.body, answer.closes) == (413, b"mine", True)


@HOW
def test_bodyThatIsCutOff(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """BodyLost in the handler; nothing is logged, since any peer can do it."""
    seen: list[type] = []

    async def handler(request: Any) -> Any:
        try:
            return await reading(how)(request)
        except Exception as error:
            seen.append(type(error))
            raise

    for message in (post(b"hello")[:-1], chunked(b"hello")[:-2]):
        for end in ("leave", "loseConnection"):
            seen.clear()
            scene = Scene(handler)
            scene.send(message)
            scene.leave() if end == "leave" else scene.peer.transport.loseConnection()
            scene.pump.flush()
            assert seen == [BodyLost]
    assert errors(caplog) == []


def test_piecesThatCameBeforeTheEnd() -> None:
    """A slow handler gets what has come, and then BodyLost."""
    gate: Deferred[None] = Deferred()
    got: list[Any] = []

    async def handler(request: Any) -> None:
        await gate
        try:
            async for piece in request.body:
                got.append(piece)  # noqa: PERF401 - those before the error count
        except BodyLost as error:
            got.append(type(error))
            raise

    scene = Scene(handler)
    scene.send(post(b"hello")[:-1])
    scene.leave()
    gate.callback(None)
    assert got == [b"hell", BodyLost]


@HOW
def test_bodyThatIsBroken(how: str, caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(reading(how))
    scene.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"), b"5\r\nhello\r\n")
    answer = scene.ask(b"nonsense\r\n")
    assert (answer.code, answer.closes) == (400, True)
    assert errors(caplog) == []


def test_answerThatIsTooLate(caplog: pytest.LogCaptureFixture) -> None:
    """The body broke, and the channel has answered: what the handler gives later is dropped without a word."""
    gate: Deferred[None] = Deferred()
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Any:
            return iter([b"late"])

        def close(self) -> None:
            closed.append(True)

    async def handler(request: Any) -> Response:
        await gate
        return Response(200, Body())

    scene = Scene(handler)
    answer = scene.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"), b"nonsense\r\n")
    assert (answer.code, answer.closes) == (400, True)
    gate.callback(None)
    assert scene.take() == []
    assert errors(caplog) == []
    assert closed == [True]


def test_twoReaders() -> None:
    async def handler(request: Any) -> bytes:
        first = ensureDeferred(reading("awaits")(request))
        with pytest.raises(RuntimeError, match="being read"):
            await request.body
        body: bytes = await first
        return body

    assert Scene(handler).ask(post(b"hello")[:-1], b"o").body == b"hello"


def test_streamedEcho() -> None:
    """A body that is sent back while it comes."""

    async def pieces(request: Any) -> AsyncIterator[bytes]:
        async for piece in request.body:
            yield piece

    scene = Scene(lambda request: Response(200, pieces(request)))
    data = bytes(range(256)) * 4096
    answer = scene.ask(post(data))
    assert (answer.body == data, answer.ended) == (True, True)


# Bodies of answers, and the end of the connection.


@pytest.mark.parametrize("isEarly", [False, True])
def test_generatorIsClosedWithTheConnection(isEarly: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Also one that waits for something that never comes."""
    events: list[object] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            if not isEarly:
                yield b"first"
            await Deferred()
            yield b"never"
        except BaseException as error:
            events.append(type(error).__name__)
            raise
        finally:
            events.append("closed")

    scene = Scene(lambda _: Response(200, pieces()))
    scene.send(get())
    assert events == []
    scene.leave()
    assert events == ["CancelledError", "closed"]
    assert errors(caplog) == []


def test_generatorIsClosedWhileThePeerReadsNothing() -> None:
    closed: list[bool] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 100_000
        finally:
            closed.append(True)

    scene = Scene(lambda _: Response(200, pieces()))
    scene.peer.transport.pauseProducing()
    scene.send(get())
    assert closed == []
    scene.leave()
    assert closed == [True]


def test_answerForAClientThatHasLeft() -> None:
    """Its body is closed, and never begun."""
    events: list[str] = []

    class Body:
        def __iter__(self) -> Any:
            events.append("begun")
            return iter([])

        def close(self) -> None:
            events.append("closed")

    handler = Answering(lambda _: Deferred())
    scene = Scene(handler)
    scene.send(get())
    scene.leave()
    handler.answers[0].callback(Response(200, Body()))
    assert events == ["closed"]


def test_drained() -> None:
    """A handler that writes waits for the peer."""
    written = 0

    async def handler(request: Any) -> None:
        nonlocal written
        for _ in range(200):
            request.write(b"x" * 16384)
            written += 1
            drained = request.drained()
            if drained is not None:
                await drained
        request.finish()

    scene = Scene(handler)
    scene.peer.transport.pauseProducing()
    scene.send(get())
    assert written < 50
    scene.peer.transport.resumeProducing()
    (answer,) = scene.take()
    assert (len(answer.body), answer.ended) == (200 * 16384, True)


def test_nothingIsLeftOfARequest() -> None:
    """No cycle holds a request behind its answer: the collector has nothing to do."""
    scene = Scene(reading("awaits"))
    scene.send(get(), post(b"x"), chunked(b"x"))
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            scene.send(get(), post(b"x"), chunked(b"x"))
        found = [each for each in gc.get_objects() if isinstance(each, Request)]
    finally:
        gc.enable()
    assert found == []


# Requests of Twisted's kind.


def serving(process: Any) -> Scene:
    factory = HTTPFactory()
    factory.requestFactory = type("Mine", (Request,), {"process": process})
    return Scene(factory=factory)


def test_process() -> None:
    def process(request: Any) -> None:
        request.setHeader(b"X", b"y")
        request.setResponseCode(201)
        request.write(b"a=")
        request.write(request.args[b"a"][0] + request.content.read())
        request.finish()

    answer = serving(process).ask(post(b"body", path=b"/x?a=1"))
    assert (answer.code, answer.body, answer.fields[b"x"]) == (201, b"a=1body", b"y")


def test_asynchronousProcess(caplog: pytest.LogCaptureFixture) -> None:
    gate: Deferred[None] = Deferred()

    async def process(request: Any) -> None:
        if request.path == b"/fail":
            raise Mine("secret")
        await gate
        if request.path == b"/late":
            raise Mine("secret")
        request.write(b"done")
        request.finish()

    scene = serving(process)
    assert scene.send(get(b"/x") + get(b"/fail") + get(b"/late")) == []
    gate.callback(None)
    assert [(answer.code, answer.body[:4]) for answer in scene.take()] == [
        (200, b"done"),
        (500, b"Inte"),
        (500, b"Inte"),
    ]
    assert len(errors(caplog)) == 2


def test_writingTooMuchOrTooLittle(caplog: pytest.LogCaptureFixture) -> None:
    def process(request: Any) -> None:
        request.setHeader(b"Content-Length", b"3")
        request.write(b"ab")
        if request.path == b"/more":
            request.write(b"cd")
        request.finish()

    for path in (b"/more", b"/less"):
        caplog.clear()
        scene = serving(process)
        assert all(not answer.ended for answer in scene.send(get(path)))
        assert not scene.isOpen
        assert len(errors(caplog)) == 1


def test_writeBehindTheEnd() -> None:
    scene = serving(lambda request: kept.append(request))
    kept: list[Any] = []
    scene.send(get())
    kept[0].finish()
    with pytest.raises(RuntimeError, match=r"after Request\.finish"):
        kept[0].write(b"x")
    with pytest.warns(UserWarning, match="twice"):
        kept[0].finish()
    scene.send(get())
    scene.leave()
    kept[1].write(b"nobody reads it")
    with pytest.raises(RuntimeError, match="connection was lost"):
        kept[1].finish()


class Push:
    """A push producer that writes as long as it may."""

    def __init__(self, request: Any, size: int) -> None:
        self.request = request
        self.left = size
        self.isPaused = self.isStopped = False
        self.isRunning = False

    def begin(self) -> None:
        self.request.registerProducer(self, True)
        if not self.request.queued:
            self.resumeProducing()

    def resumeProducing(self) -> None:
        self.isPaused = False
        if self.isRunning:
            return
        self.isRunning = True
        while self.left and not (self.isPaused or self.isStopped):
            self.left -= 1
            self.request.write(b"x" * 16384)
        self.isRunning = False
        if not self.left:
            self.left = -1
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self.isPaused = True

    def stopProducing(self) -> None:
        self.isStopped = True


class Pull(Push):
    def begin(self) -> None:
        self.request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        self.left -= 1
        self.request.write(b"x" * 16384)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()


@pytest.mark.parametrize("kind", [Push, Pull])
@pytest.mark.parametrize("count", [1, 3], ids=["alone", "pipelined"])
def test_producers(kind: type[Push], count: int) -> None:
    """In their order, and each only as fast as the peer reads."""
    producers: list[Push] = []

    def process(request: Any) -> None:
        producers.append(kind(request, 300))
        producers[-1].begin()

    scene = serving(process)
    scene.peer.transport.pauseProducing()
    scene.send(get() * count)
    assert 0 < len(producers) <= count
    assert all(producer.left > 200 for producer in producers)
    scene.peer.transport.resumeProducing()
    while scene.pump.pump():
        assert scene.transport.unsent < 1 << 20
    answers = scene.take()
    assert [(len(answer.body), answer.ended) for answer in answers] == [(300 * 16384, True)] * count
    assert scene.channel.requests == []


@pytest.mark.parametrize("kind", [Push, Pull])
def test_producerIsStopped(kind: type[Push]) -> None:
    producers: list[Push] = []

    def process(request: Any) -> None:
        producers.append(kind(request, 300))
        producers[-1].begin()

    scene = serving(process)
    scene.peer.transport.pauseProducing()
    scene.send(get())
    scene.leave()
    assert producers[0].isStopped


@pytest.mark.parametrize("kind", [Push, Pull])
def test_producerIsStoppedBeforeItsTurn(kind: type[Push]) -> None:
    """A producer is stopped at the end, also if its request waits behind another one."""
    kept: list[Any] = []
    scene = serving(lambda request: kept.append(request))
    scene.send(get() * 2)
    producer = kind(kept[1], 300)
    producer.begin()
    scene.leave()
    assert producer.isStopped
    assert producer.left == 300


@pytest.mark.parametrize("place", [0, 1], ids=["first", "queued"])
def test_fileThatIsSentBehindTheEnd(place: int) -> None:
    """A program that goes on after the end of its connection is told at once that nothing can be sent."""
    kept: list[Any] = []
    scene = serving(lambda request: kept.append(request))
    scene.send(get() * 2)
    ends: list[Any] = []
    FileSender().beginFileTransfer(BytesIO(b"x"), kept[1]).addErrback(ends.append)
    scene.leave()
    assert [each.type for each in ends] == [TransferStopped]
    request = kept[place]
    file = BytesIO(b"nobody reads it")
    for isPush in (False, True):
        producer = Push(request, 1)
        request.registerProducer(producer, isPush)
        assert producer.isStopped
    FileSender().beginFileTransfer(file, request).addErrback(ends.append)
    assert ends[-1].type is TransferStopped
    assert len(ends) == 2
    assert file.tell() == 0


def test_turnOfAProducerWhileThePeerReadsNothing() -> None:
    """A producer whose turn comes when the transport is full waits, too."""
    kept: list[Any] = []
    scene = serving(lambda request: kept.append(request))
    scene.send(get() * 2)
    scene.peer.transport.pauseProducing()
    producer = Push(kept[1], 300)
    producer.begin()
    kept[0].write(b"x" * (1 << 20))
    scene.pump.flush()
    kept[0].finish()
    assert producer.left == 300
    scene.peer.transport.resumeProducing()
    assert [len(answer.body) for answer in scene.take()] == [1 << 20, 300 * 16384]


def test_producerThatWasForgotten(caplog: pytest.LogCaptureFixture) -> None:
    kept: list[Any] = []
    scene = serving(lambda request: kept.append(request))
    scene.send(get())
    kept[0].registerProducer(Push(kept[0], 1), True)
    with pytest.raises(ValueError, match="previous"):
        kept[0].registerProducer(Push(kept[0], 1), True)
    kept[0].finish()
    assert len(errors(caplog)) == 1
    scene.send(get())
    kept[1].write(b"next")
    kept[1].finish()
    assert [answer.body for answer in scene.take()] == [b"next"]


def test_stallOfAPulledAnswer() -> None:
    """A peer that takes nothing is reset. One that takes a little each time is not, and a slow producer is no stall."""
    producers: list[Pull] = []

    gate: Deferred[None] = Deferred()

    class Slow(Pull):
        async def resumeProducing(self) -> None:  # type: ignore[override]
            await gate
            super().resumeProducing()

    def process(request: Any) -> None:
        producers.append((Slow if request.path == b"/slow" else Pull)(request, 300))
        producers[-1].begin()

    scene = serving(process)
    scene.peer.transport.pauseProducing()
    scene.send(get())
    scene.advance(55)
    assert scene.transport.connected
    scene.advance(80)
    assert not scene.transport.connected
    assert producers[0].isStopped

    scene = serving(process)
    transport: Any = scene.peer.transport
    transport.pauseProducing()
    scene.send(get())
    for _ in range(10):
        scene.advance(40)
        scene.peer.received += transport.wire.recv(20_000)
        scene.pump.flush()
    transport.resumeProducing()
    assert [len(answer.body) for answer in scene.take()] == [300 * 16384]

    scene = serving(process)
    scene.send(get(b"/slow"))
    scene.advance(300)
    assert scene.transport.connected
    gate.callback(None)
    assert [len(answer.body) for answer in scene.take()] == [300 * 16384]
    scene.advance(70)
    assert not scene.isOpen


@pytest.mark.parametrize("isPlain", [False, True])
def test_outputThatGrowsIsNoStall(isPlain: bool) -> None:
    """A program writes more while the peer is slow: what counts is what the peer takes."""
    handler = Answering(lambda _: Deferred())
    scene = Scene(handler)
    transport: Any = scene.peer.transport
    scene.send(get() * 3)
    transport.pauseProducing()
    handler.answers[0].callback(b"x" * 300_000)
    scene.pump.flush()
    assert scene.channel.isFull
    scene.advance(30)
    handler.answers[1].callback(b"y" * (60_000 if isPlain else 300_000))
    scene.pump.flush()
    for _ in range(4):
        scene.advance(25)
        scene.peer.received += transport.wire.recv(12_000)
        scene.pump.flush()
    assert scene.transport.connected
    scene.advance(150)
    assert not scene.transport.connected


class Summed:
    """A body whose trailers are known at its end."""

    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"abc"
        self.trailers["X-Sum"] = "3"


def test_trailersOfAnAnswer() -> None:
    scene = Scene(lambda request: Response(200, Summed()))
    scene.peer.transport.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    scene.pump.flush()
    assert bytes(scene.peer.received).endswith(b"3\r\nabc\r\n0\r\nX-Sum: 3\r\n\r\n")


def test_trailersThatAreNone(caplog: pytest.LogCaptureFixture) -> None:
    body = Summed()
    body.trailers["Content-Length"] = "3"
    scene = Scene(lambda request: Response(200, body))
    scene.peer.transport.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    scene.pump.flush()
    assert not scene.isOpen
    assert "Content-Length is no trailer" in caplog.text


def test_aBodyThatIsReadBehindTheAnswer() -> None:
    """The rest of a body is dropped when the request is answered, and does not look complete."""
    errors: list[BaseException] = []

    async def handler(request: Any) -> None:
        request.respond(Response(202, b"ok"))
        try:
            await request.body
        except Exception as error:
            errors.append(error)

    scene = Scene(handler)
    assert scene.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n").code == 202
    assert [type(error) for error in errors] == [BodyLost]
    assert scene.send(b"0123456789", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")[0].code == 202


def test_targetsInAbsoluteFormHaveTheSamePath() -> None:
    paths: list[Any] = []

    def handler(request: Any) -> bytes:
        paths.append((request.path, request.getHeader(b"host"), request.args))
        return b""

    for line in (
        b"GET http://b/x/y?a=1 HTTP/1.1\r\nHost: c\r\n\r\n",
        b"GET http://b/x/y?a=1 HTTP/1.0\r\n\r\n",
        b"GET http://b HTTP/1.1\r\nHost: b\r\n\r\n",
    ):
        Scene(handler).send(line)
    assert paths == [(b"/x/y", b"b", {b"a": [b"1"]}), (b"/x/y", b"b", {b"a": [b"1"]}), (b"/", b"b", {})]


# Pieces.


def failingAtOnce(_: Any) -> Response:
    def pieces() -> Any:
        raise Mine
        yield b""

    return Response(200, pieces(), {b"X-Of": b"the answer"})


def failingInAsync(_: Any) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        raise Mine
        yield b""

    return Response(200, pieces(), {b"X-Of": b"the answer"})


def failingAfterAWait(_: Any) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        await succeed(None)
        raise HTTPError(503)
        yield b""

    return Response(200, pieces(), {b"X-Of": b"the answer"})


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        (failingAtOnce, 500),
        (failingInAsync, 500),
        (failingAfterAWait, 503),
        (lambda _: Response(200, iter(cast("list[bytes]", ["text"]))), 500),
        (lambda _: Response(200, iter([b"longer"]), {b"Content-Length": b"5"}), 0),
    ],
)
def test_piecesThatFailBeforeTheFirst(handler: Any, code: int, caplog: pytest.LogCaptureFixture) -> None:
    """The head goes with the first piece. Before it, a failure has an answer of its own, and the connection stays."""
    scene = Scene(handler)
    if not code:
        scene.send(get())
        assert not scene.isOpen
        return
    answer = scene.ask(get())
    assert (answer.code, answer.closes, b"x-of" in answer.fields) == (code, False, False)
    assert len(errors(caplog)) == (code == 500)
    assert scene.ask(get()).code == code


def test_anEmptyPieceSendsTheHead() -> None:
    gate: Deferred[bytes] = Deferred()

    async def pieces() -> AsyncIterator[bytes]:
        yield b""
        yield await gate

    scene = Scene(lambda _: Response(200, pieces()))
    scene.peer.transport.write(get())
    scene.pump.flush()
    assert bytes(scene.peer.received).endswith(b"\r\n\r\n")
    gate.callback(b"late")
    assert scene.take()[0].body == b"late"


def test_piecesThatAreNone() -> None:
    """An answer without a piece is whole, with its trailers."""

    class Body:
        def __init__(self) -> None:
            self.trailers = {b"X-Sum": b"0"}

        def __iter__(self) -> Any:
            return iter(())

    scene = Scene(lambda _: Response(200, Body()))
    scene.peer.transport.write(get())
    scene.pump.flush()
    assert bytes(scene.peer.received).endswith(b"\r\n\r\n0\r\nX-Sum: 0\r\n\r\n")


def test_oneAnswerAlthoughItsFirstPieceIsAwaited() -> None:
    """Nothing is written yet, and there is an answer all the same."""
    gate: Deferred[bytes] = Deferred()

    async def pieces() -> AsyncIterator[bytes]:
        yield await gate

    def handler(request: Any) -> None:
        request.respond(Response(200, pieces()))
        with pytest.raises(RuntimeError, match="has its answer"):
            request.respond(Response(200))
        with pytest.raises(RuntimeError, match="has its answer"):
            request.takeOver(None)

    scene = Scene(handler)
    assert scene.send(get()) == []
    gate.callback(b"late")
    assert scene.take()[0].body == b"late"


def test_refusedBeforeTheFirstPiece(caplog: pytest.LogCaptureFixture) -> None:
    """A request may be refused while the first piece of its answer is awaited. The generator is given up."""
    closed: list[str] = []

    async def pieces() -> AsyncIterator[bytes]:
        try:
            await Deferred()
            yield b""
        finally:
            closed.append("closed")

    scene = Scene(lambda _: Response(200, pieces()))
    scene.send(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
    assert scene.ask(b"no size\r\n").code == 400
    assert (closed, errors(caplog)) == (["closed"], [])


@pytest.mark.parametrize("isAsync", [False, True])
@pytest.mark.parametrize("kind", [bytes, memoryview, bytearray])
def test_othersHaveTheirTurn(isAsync: bool, kind: Any) -> None:
    """A peer that takes everything gets IN_A_ROW bytes in a row, and the rest in later turns of the loop."""
    piece = kind(b"x" * 65536)
    most = IN_A_ROW // 65536

    async def coming() -> AsyncIterator[Any]:
        for _ in range(3 * most):
            yield piece

    factory = HTTPFactory.forHandler(
        lambda _: Response(
            200, coming() if isAsync else iter([piece] * 3 * most), {b"Content-Length": str(3 * IN_A_ROW)}
        )
    )
    channel = factory.buildProtocol(None)
    transport = makeFakeServer(channel)  # to which nothing is connected: it takes everything
    transport.start()
    transport.bufferReceived(get())
    sizes: list[int] = []
    while transport.wire.outgoing or transport.unsent or not sizes:
        transport.flush()
        sizes.append(len(transport.wire.outgoing))
        transport.wire.outgoing.clear()
        cast("Any", transport.reactor).iterate(0)
    assert sum(sizes) - 3 * IN_A_ROW < 300
    assert max(sizes) < IN_A_ROW + 65536 + 300


# Settings on the request, and exceptions of other kinds.


def setting(code: int, message: bytes | None = None, body: bytes = b"body") -> Any:
    async def handler(request: Any) -> bytes:
        request.setResponseCode(code, message)
        request.setHeader(b"X-Set", b"yes")
        return body

    return handler


def test_whatIsSetOnTheRequestCounts() -> None:
    """A handler that returns bytes has set the rest as a Request of Twisted's kind does."""
    answer = Scene(setting(404)).ask(get())
    assert (answer.code, answer.body, answer.fields[b"x-set"]) == (404, b"body", b"yes")
    scene = Scene(setting(418, b"Short and Stout", b"x" * 100_000))
    scene.peer.transport.write(get())
    scene.pump.flush()
    assert scene.peer.received.startswith(b"HTTP/1.1 418 Short and Stout\r\n")
    assert scene.take()[0].body == b"x" * 100_000
    answer = Scene(setting(204)).ask(get())
    assert (answer.code, answer.body) == (204, b"")


def test_aReasonAlone() -> None:
    async def handler(request: Any) -> bytes:
        request.setResponseCode(200, b"Fine")
        return b"body"

    scene = Scene(handler)
    scene.peer.transport.write(get())
    scene.pump.flush()
    assert scene.peer.received.startswith(b"HTTP/1.1 200 Fine\r\n")


def test_validatorsThatAreSet() -> None:
    async def handler(request: Any) -> bytes:
        request.setETag(b'"one"')
        request.setLastModified(1e9)
        return b"body"

    answer = Scene(handler).ask(get())
    assert answer.fields[b"etag"] == b'"one"'
    assert answer.fields[b"last-modified"] == b"Sun, 09 Sep 2001 01:46:40 GMT"
    assert Scene(handler).ask(get(b"/", b'If-None-Match: "one"')).code == 304


def test_aResponseHasItsOwnCode() -> None:
    def handler(request: Any) -> Response:
        request.setResponseCode(404)
        return Response(201, b"made")

    assert Scene(handler).ask(get()).code == 201


def test_noAnswerHasACodeBelow200(caplog: pytest.LogCaptureFixture) -> None:
    assert Scene(setting(100)).ask(get()).code == 500
    assert "at least 200" in caplog.text


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, CancelledError])
@pytest.mark.parametrize("isLate", [False, True])
def test_handlersThatAreCancelled(error: type[BaseException], isLate: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It is answered and logged, and not closed without a word."""

    async def handler(_: Any) -> bytes:
        if isLate:
            await succeed(None)
        raise error

    scene = Scene(handler)
    assert [answer.code for answer in scene.send(get(), get())] == [500, 500]
    assert len(errors(caplog)) == 2


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit])
def test_processThatIsCancelled(error: type[BaseException], caplog: pytest.LogCaptureFixture) -> None:
    class Cancelled(Request):
        def process(self) -> None:
            raise error

    factory = HTTPFactory()
    factory.requestFactory = Cancelled
    assert Scene(factory=factory).ask(get()).code == 500
    assert len(errors(caplog)) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_theProgramMayEndInAHandler(error: type[BaseException]) -> None:
    def handler(_: Any) -> bytes:
        raise error

    scene = Scene(handler)
    with pytest.raises(error):
        scene.transport.bufferReceived(get())


# Answers in gotLength.


class Early(Request):
    """Answers before the body has come, as a program does that refuses an upload."""

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        self.write(b"early %b" % self.uri)
        self.finish()

    def process(self) -> None:
        raise AssertionError("it is answered")


@pytest.mark.parametrize(
    "first", [get(b"/1"), post(b"abc", path=b"/1"), post(b"x" * 1000, path=b"/1")[:-1], chunked(b"abc", path=b"/1")]
)
def test_anAnswerInGotLength(first: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It is sent, and the next request is understood, or the connection ends in order."""
    factory = HTTPFactory()
    factory.requestFactory = Early
    scene = Scene(factory=factory)
    (answer,) = scene.send(first)
    assert (answer.code, answer.body) == (200, b"early /1")
    if answer.closes:
        assert b"chunked" in first
    else:
        if first.endswith(b"x"):
            assert scene.send(b"x") == []
        assert scene.ask(get(b"/2")).body == b"early /2"
        assert [each.body for each in scene.send(first + b"x" * first.endswith(b"x") + get(b"/3"))] == [
            b"early /1",
            b"early /3",
        ]
    assert errors(caplog) == []


# Cookies.


def test_namesOfCookiesAreBytes() -> None:
    async def handler(request: Any) -> bytes:
        with pytest.raises(TypeError, match="the name of a cookie is bytes, not 'a'"):
            request.getCookie("a")
        return request.getCookie(b"a") or b""

    assert Scene(handler).ask(get(b"/", b"Cookie: a=1")).body == b"1"
