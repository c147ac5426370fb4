"""Response: what it takes and refuses, and how each kind of answer looks on the wire."""

from __future__ import annotations

import functools
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.http import Headers, HTTPError, HTTPFactory, InvalidHeaderName, Request, Response
from tests.support.httpscenes import Answer, Scene, get


def answered(answer: Any, request: bytes = get(), *methods: bytes) -> Answer:
    """How a handler's answer arrives."""
    scene = Scene(lambda _: answer)
    scene.peer.transport.write(request)
    (found,) = scene.take(*methods)
    return found


@pytest.mark.parametrize("code", [100, 199, 600, 0, -200, True, 200.0, "200", None])
def test_badCode(code: Any) -> None:
    with pytest.raises(ValueError, match="200 to 599"):
        Response(code)


@pytest.mark.parametrize("body", ["text", None, 5, object()])
def test_badBody(body: Any) -> None:
    with pytest.raises(TypeError, match="body is bytes"):
        Response(200, body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"A", b"x\r\nB: y"),
        (b"A", b"x\ny"),
        (b"A", b"x\ry"),
        (b"A", b"x\x00"),
        (b"A\r\nB", b"x"),
        (b"A:", b"x"),
        (b"A ", b"x"),
        (b"", b"x"),
        ("A", "x\r\n\r\nHTTP/1.1 200 OK"),
        (b"Transfer-Encoding", b"chunked"),
        (b"content-length", b"x"),
        (b"content-length", b"-1"),
        (b"content-length", b"3"),
    ],
)
def test_badField(name: Any, value: Any) -> None:
    for fields in ({name: value}, [(name, value)], {name: [value]}):
        with pytest.raises(ValueError, match=r"header|length|Transfer-Encoding"):
            Response(200, b"four", fields)
    assert issubclass(InvalidHeaderName, ValueError)


def test_twoLengths() -> None:
    with pytest.raises(ValueError, match="length"):
        Response(200, b"a", [(b"Content-Length", b"1"), (b"content-length", b"1")])


@pytest.mark.parametrize(
    "fields",
    [
        {"A": "1", b"B": [b"2", "3"]},
        [(b"A", "1"), ("B", b"2"), (b"B", b"3")],
        Headers({b"A": [b"1"], b"B": [b"2", b"3"]}),
    ],
)
def test_fieldsInAnyShape(fields: Any) -> None:
    response = Response(200, b"", fields)
    assert response.fields == {b"a": [b"1"], b"b": [b"2", b"3"]}
    assert repr(response) == "Response(200)"


@pytest.mark.parametrize("body", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_bytesHaveALength(body: Any) -> None:
    answer = answered(Response(201, body, {"X": "y"}))
    assert (answer.code, answer.body) == (201, b"bytes")
    assert answer.fields[b"content-length"] == b"5"
    assert answer.fields[b"x"] == b"y"
    assert not answer.closes


def test_oneAnswerForManyRequests() -> None:
    response = Response(200, b"same", {"A": "1"})
    scene = Scene(lambda _: response)
    answers = scene.send(get() * 3)
    assert [each.body for each in answers] == [b"same"] * 3
    assert len({tuple(each.fields) for each in answers}) == 1


def test_dateIsThere() -> None:
    for response in (Response(), Response(200, b"x", {"A": "b"}), Response(200, [b"x"])):
        assert answered(response).fields[b"date"].endswith(b" GMT")
    assert answered(Response(200, b"", {"Date": "mine"})).fields[b"date"] == b"mine"


def test_iterableIsChunked() -> None:
    answer = answered(Response(200, [b"a", b"", b"bc"]))
    assert answer.fields[b"transfer-encoding"] == b"chunked"
    assert (answer.body, answer.ended) == (b"abc", True)


def test_iterableWithALength() -> None:
    class Sized:
        length = 3

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"a", b"bc"])

    for response in (Response(200, Sized()), Response(200, [b"a", b"bc"], {"Content-Length": "3"})):
        answer = answered(response)
        assert answer.fields[b"content-length"] == b"3"
        assert b"transfer-encoding" not in answer.fields
        assert (answer.body, answer.ended) == (b"abc", True)


def test_wrongLengthOfAnIterable(caplog: pytest.LogCaptureFixture) -> None:
    """The peer must not take the answer for complete, nor bytes for the next answer."""
    for pieces in ([b"ab"], [b"ab", b"cd"]):
        caplog.clear()
        response = Response(200, pieces, {"Content-Length": "3"})
        scene = Scene(functools.partial(lambda response, _: response, response))
        scene.peer.transport.write(get())
        scene.pump.flush()
        assert not scene.isOpen
        assert bytes(scene.peer.received).partition(b"\r\n\r\n")[2] in (b"", b"ab")
        assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1


def test_asynchronousIterable() -> None:
    gate: Deferred[bytes] = Deferred()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield await gate
        yield b" three"

    scene = Scene(lambda _: Response(200, pieces()))
    answer = scene.ask(get())
    assert (answer.body, answer.ended) == (b"one ", False)
    gate.callback(b"two")
    scene.pump.flush()
    assert bytes(scene.peer.received) == b"3\r\ntwo\r\n6\r\n three\r\n0\r\n\r\n"


class Closing:
    """A body that notes its close."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = iter(pieces)
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self.pieces)

    def close(self) -> None:
        self.closed += 1


class AsynchronousClosing(Closing):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for piece in self.pieces:
            return piece
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("kind", [Closing, AsynchronousClosing])
@pytest.mark.parametrize(
    ("request_", "code"),
    [(get(), 200), (get(method=b"HEAD"), 200), (get(), 204), (get(), 205), (get(), 304)],
    ids=["GET", "HEAD", "204", "205", "304"],
)
def test_bodyIsClosed(kind: type[Closing], request_: bytes, code: int) -> None:
    body = kind(b"a", b"b")
    answer = answered(Response(code, body), request_, request_.split()[0])
    assert body.closed == 1
    assert answer.body == (b"ab" if code == 200 and request_.startswith(b"GET") else b"")


@pytest.mark.parametrize("kind", [Closing, AsynchronousClosing])
@pytest.mark.parametrize("piece", ["text", 5, None])
def test_pieceThatIsNotBytes(kind: type[Closing], piece: Any, caplog: pytest.LogCaptureFixture) -> None:
    body = kind(b"a", piece)
    scene = Scene(lambda _: Response(200, body))
    assert [answer for answer in scene.send(get()) if answer.ended] == []
    assert not scene.isOpen
    assert body.closed == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("body", [b"body", [b"bo", b"dy"]], ids=["bytes", "pieces"])
def test_headHasNoBody(body: Any) -> None:
    for fields in (None, {"A": "b"}):
        answer = answered(Response(200, body, fields), get(method=b"HEAD"), b"HEAD")
        assert (answer.code, answer.body) == (200, b"")
        assert answer.fields.get(b"content-length", b"4") == b"4"
        assert not answer.closes


@pytest.mark.parametrize("code", [204, 304])
@pytest.mark.parametrize("body", [b"", b"body", [b"bo", b"dy"]], ids=["empty", "bytes", "pieces"])
def test_codesWithoutABody(code: int, body: Any) -> None:
    scene = Scene(lambda _: Response(code, body))
    answers = scene.send(get() * 2)
    for answer in answers:
        assert (answer.code, answer.body) == (code, b"")
        assert b"content-length" not in answer.fields
        assert b"transfer-encoding" not in answer.fields
        assert not answer.closes


def test_resetContent() -> None:
    """RFC 9110, 15.3.6: it has no content, and says so."""
    for body in (b"body", [b"body"]):
        answer = answered(Response(205, body))
        assert (answer.code, answer.body, answer.fields[b"content-length"]) == (205, b"", b"0")


def test_closeIsHeeded() -> None:
    scene = Scene(lambda _: Response(200, b"x", {"Connection": "close"}))
    answers = scene.send(get() * 3)
    assert [(each.body, each.closes) for each in answers] == [(b"x", True)]


def test_unknownCode() -> None:
    assert answered(Response(299, b"x")).code == 299


# Nothing of a program's goes out as more than it is.

SPLITS = [b"a\r\nSet-Cookie: x=y", b"a\nb", b"a\rb", b"a\x00b"]


@pytest.mark.parametrize("text", SPLITS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda request, text: request.setHeader(b"X", text),
        lambda request, text: request.setHeader(text, b"x"),
        lambda request, text: request.setResponseCode(200, text),
        lambda request, text: request.redirect(text),
        lambda request, text: request.addCookie(b"k", text),
        lambda request, text: request.addCookie(text, b"v"),
        lambda request, text: request.addCookie(b"k", b"v", path=text),
        lambda request, text: request.responseHeaders.addRawHeader(b"X", text),
        lambda request, text: request.responseHeaders.setRawHeaders(b"X", [b"fine", text]),
        lambda request, text: request.cookies.append(text),
        lambda request, text: setattr(request, "etag", text),
        lambda request, text: setattr(request, "code_message", text),
    ],
    ids=["value", "name", "reason", "redirect", "cookie", "key", "path", "added", "set", "cookies", "etag", "message"],
)
def test_responseSplitting(spoil: Any, text: bytes) -> None:
    """ValueError, and the peer gets a 500 in place of the answer."""
    seen: list[type] = []

    class Spoilt(Request):
        def process(self) -> None:
            try:
                spoil(self, text)
                self.write(b"body")
            except Exception as error:
                seen.append(type(error))
                raise
            self.finish()

    factory = HTTPFactory()
    factory.requestFactory = Spoilt
    scene = Scene(factory=factory)
    scene.peer.transport.write(get())
    scene.pump.flush()
    data = bytes(scene.peer.received)
    assert len(seen) == 1
    assert issubclass(seen[0], ValueError)
    assert data.startswith(b"HTTP/1.1 500 ")
    assert text not in data
    assert b"x=y" not in data


@pytest.mark.parametrize("isLate", [False, True])
def test_errorWithBadFields(isLate: bool, caplog: pytest.LogCaptureFixture) -> None:
    """An error whose fields cannot be sent is a 500."""
    gate: Deferred[None] = Deferred()

    async def handler(request: Any) -> bytes:
        if isLate:
            await gate
        raise HTTPError(404, "no", {"A": "x\r\nB: y"})

    scene = Scene(handler)
    answers = scene.send(get())
    if isLate:
        gate.callback(None)
        answers = scene.take()
    assert [(each.code, each.body) for each in answers] == [(500, b"Internal Server Error\n")]
    assert caplog.records
