"""CR, LF and NUL in what a program sends are a ValueError where the program gives them, and nothing of it goes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from reactor.http import Headers, HTTPFactory, Request, Response
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.battery.http.cases import get
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
