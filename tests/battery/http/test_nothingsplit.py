"""CR, LF and NUL in what a program sends are a ValueError where the program gives them, and nothing of it goes out."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from typing import Any, ClassVar

import h11
import pytest

from reactor.http import Headers, HTTPFactory, Request, Response
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.battery.http.cases import HOST, get, message
from tests.battery.http.ours import answersIn

Give = Callable[[Any, bytes], object]

INJECTED = (
    b"x\r\nInjected: y",
    b"x\nInjected: y",
    b"x\rInjected: y",
    b"x\r\n\r\nInjected",
    b"\r\nInjected: y",
    b"Injected\r\n",
    b"Injected\n",
    b"Injected\r",
    b"Injected\x00",
    b"\x00Injected",
    b"x\x00Injected",
)

VALUES: dict[str, Give] = {
    "setHeader's value": lambda request, text: request.setHeader(b"X", text),
    "setHeader's text": lambda request, text: request.setHeader("X", text.decode()),
    "setHeader's name": lambda request, text: request.setHeader(text, b"x"),
    "setHeader's name as text": lambda request, text: request.setHeader(text.decode(), "x"),
    "setRawHeaders": lambda request, text: request.responseHeaders.setRawHeaders(b"X", [b"x", text]),
    "setRawHeaders' name": lambda request, text: request.responseHeaders.setRawHeaders(text, [b"x"]),
    "addRawHeader": lambda request, text: request.responseHeaders.addRawHeader(b"X", text),
    "addRawHeader's name": lambda request, text: request.responseHeaders.addRawHeader(text, b"x"),
    "setResponseCode": lambda request, text: request.setResponseCode(200, text),
    "redirect": lambda request, text: request.redirect(text),
    "a cookie's name": lambda request, text: request.addCookie(text, b"x"),
    "a cookie's value": lambda request, text: request.addCookie(b"x", text),
    "a cookie's value as text": lambda request, text: request.addCookie("x", text.decode()),
    "a cookie's path": lambda request, text: request.addCookie(b"x", b"x", path=text),
    "a cookie's domain": lambda request, text: request.addCookie(b"x", b"x", domain=text),
    "a cookie's expires": lambda request, text: request.addCookie(b"x", b"x", expires=text),
    "a cookie's max_age": lambda request, text: request.addCookie(b"x", b"x", max_age=text),
    "a cookie's comment": lambda request, text: request.addCookie(b"x", b"x", comment=text),
    "a cookie's sameSite": lambda request, text: request.addCookie(b"x", b"x", sameSite=text),
    "a Response's value": lambda request, text: Response(200, b"", {b"X": text}),
    "a Response's values": lambda request, text: Response(200, b"", {b"X": [b"x", text]}),
    "a Response's name": lambda request, text: Response(200, b"", [(text, b"x")]),
    "a Response's text": lambda request, text: Response(200, b"", [("X", text.decode())]),
    "Headers": lambda request, text: Headers({b"X": [text]}),
    "Headers' name": lambda request, text: Headers({text: [b"x"]}),
}
# An attribute is looked at when the head is made.
ATTRIBUTES: dict[str, Give] = {
    "setETag": lambda request, text: request.setETag(text),
    "the attribute etag": lambda request, text: setattr(request, "etag", text),
    "the attribute code_message": lambda request, text: setattr(request, "code_message", text),
    "the list cookies": lambda request, text: request.cookies.append(text),
}


class Answering(Request):
    """Gives the text, and answers whether that has failed or not."""

    give: Give
    text: bytes
    errors: ClassVar[list[Exception]]

    def process(self) -> None:
        try:
            type(self).give(self, self.text)
            if self.uri == b"/at-once":
                self.write(b"x")
        except Exception as error:
            self.errors.append(error)
            if self.channel.transport.value():
                self.errors.append(AssertionError("there is output already"))
        if self.uri != b"/at-once":
            self.setHeader(b"Content-Length", b"1")
            self.write(b"x")
            self.finish()


def answered(give: Give, text: bytes, isAtOnce: bool = False) -> tuple[list[Exception], bytes]:
    """The errors of a program that gives `text`, and what goes out."""
    kind: Any = type("Kind", (Answering,), {"give": give, "text": text, "errors": []})
    factory: Any = HTTPFactory(reactor=Clock())
    factory.requestFactory = kind
    transport = StringTransport(lenient=True)
    channel = factory.buildProtocol(transport.getPeer())
    channel.makeConnection(transport)
    channel.dataReceived(get().replace(b" / ", b" /at-once ") if isAtOnce else get())
    return kind.errors, transport.value()


@pytest.mark.parametrize("what", VALUES)
def test_whereItIsGiven(what: str) -> None:
    """The program learns of it at once, and the rest of its answer goes out whole."""
    for text in INJECTED:
        (error,), output = answered(VALUES[what], text)
        assert isinstance(error, ValueError), (text, error)
        ((status, head),) = answersIn(output)
        assert status == 200
        assert b"Injected" not in head
    errors, _ = answered(VALUES[what], b"Lax")
    assert errors == []


@pytest.mark.parametrize("what", ATTRIBUTES)
def test_whereTheHeadIsMade(what: str) -> None:
    """The first write raises, before anything goes out."""
    for text in INJECTED:
        (error,), output = answered(ATTRIBUTES[what], text, isAtOnce=True)
        assert isinstance(error, ValueError), (text, error)
        assert output == b""
    errors, _ = answered(ATTRIBUTES[what], b'"x"')
    assert errors == []


@pytest.mark.parametrize("text", INJECTED)
def test_ofAHandler(text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """A handler that makes such an answer has failed: the peer gets 500, and nothing of it."""

    async def handle(request: Request) -> Response:
        return Response(200, b"", {b"X": text})

    transport = StringTransport(lenient=True)
    channel = HTTPFactory.forHandler(handle, reactor=Clock()).buildProtocol(transport.getPeer())
    assert channel is not None
    channel.makeConnection(transport)
    channel.dataReceived(get())
    ((status, _),) = answersIn(transport.value())
    assert status == 500
    assert b"Injected" not in transport.value()
    assert "ValueError" in caplog.text


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n"):
        yield piece


BODIES: dict[str, Callable[[], Any]] = {
    "nothing": lambda: b"",
    "bytes": lambda: b"HTTP/1.1 200 OK\r\n\r\n",
    "an iterable": lambda: [b"HTTP/1.1 200 OK\r\n", b"", b"\r\n"],
    "asynchronous pieces": pieces,
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("code", [200, 204, 206, 304, 404, 503])
def test_oneAnswerForEach(code: int, body: str) -> None:
    """h11 reads as many answers as there were requests, whatever the codes, the methods and the bodies are."""
    for fields in (None, {"X": "y"}):

        async def handle(request: Request, fields: Any = fields) -> Response:
            return Response(code, BODIES[body](), fields)

        transport = StringTransport(lenient=True)
        channel = HTTPFactory.forHandler(handle, reactor=Clock()).buildProtocol(transport.getPeer())
        assert channel is not None
        channel.makeConnection(transport)
        methods = (b"GET", b"HEAD", b"POST", b"GET")
        channel.dataReceived(b"".join(message(method + b" / HTTP/1.1", HOST) for method in methods))
        client = h11.Connection(h11.CLIENT)
        client.receive_data(transport.value())
        for number, method in enumerate(methods):
            client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
            client.send(h11.EndOfMessage())
            answer = client.next_event()
            assert isinstance(answer, h11.Response)
            assert answer.status_code == code
            while not isinstance(event := client.next_event(), h11.EndOfMessage):
                assert isinstance(event, h11.Data)
                assert method != b"HEAD"
            if number + 1 < len(methods):
                client.start_next_cycle()
        assert client.trailing_data == (b"", False)


FRAMING: dict[str, Any] = {
    "a coding": {"Transfer-Encoding": "chunked"},
    "a coding that is none": {"Transfer-Encoding": "identity"},
    "two lengths": {"Content-Length": ["5", "6"]},
    "two equal lengths": {"Content-Length": ["5", "5"]},
    "a list of lengths": {"Content-Length": "5, 5"},
    "a negative length": {"Content-Length": "-5"},
    "a signed length": {"Content-Length": "+5"},
    "a length that is too small": {"Content-Length": "4"},
    "a length that is too large": {"Content-Length": "6"},
    "a length of other digits": {"Content-Length": "\u0665"},
}


@pytest.mark.parametrize("what", FRAMING)
def test_framingThatIsWrong(what: str) -> None:
    """A Response is as long as its body; the server alone decides about its framing."""
    with pytest.raises(ValueError, match=r"length|Transfer-Encoding"):
        Response(200, b"hello", FRAMING[what])


@pytest.mark.parametrize("fields", [each for each in FRAMING.values() if "Content-Length" in each])
def test_framingThatARequestSets(fields: dict[str, Any]) -> None:
    """Nothing but the announced bytes goes out for a Request that sets the length itself, or nothing at all."""
    given = fields["Content-Length"]

    def give(request: Any, text: bytes) -> None:
        request.responseHeaders.setRawHeaders(b"Content-Length", given if isinstance(given, list) else [given])
        request.write(b"hello")
        request.finish()

    _, output = answered(give, b"", isAtOnce=True)
    lengths = re.findall(rb"(?i)content-length: (.*)\r\n", output)
    assert len(lengths) <= 1
    if lengths:
        assert lengths[0].isdigit()
        assert len(output.partition(b"\r\n\r\n")[2]) <= int(lengths[0])
