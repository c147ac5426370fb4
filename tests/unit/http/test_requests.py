"""Requests that wait for their turn, and what a program may write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reactor.http import HTTPFactory, Request, Response
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.support.httpscenes import Scene


class Served:
    """A channel on a transport in memory. It receives `count` requests, each of which `process` answers."""

    def __init__(self, process: Callable[[Any], object], count: int = 1) -> None:
        requests: list[Request] = []

        class Noted(Request):
            def process(self) -> None:
                requests.append(self)
                process(self)

        self.requests = requests
        channel = HTTPFactory(reactor=Clock()).buildProtocol(None)
        channel.requestFactory = Noted
        self.transport = StringTransport()
        channel.makeConnection(self.transport)
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * count)


def nothing(request: Any) -> None:
    """Answer later."""


def answer(request: Request, body: bytes) -> None:
    request.setHeader(b"content-length", b"%d" % len(body))
    request.write(body)
    request.finish()


def test_textIsATypeErrorAndTheAnswerIs500(caplog: pytest.LogCaptureFixture) -> None:
    served = Served(lambda request: request.write("text"))
    assert served.transport.value().startswith(b"HTTP/1.1 500 ")
    assert not served.transport.disconnecting
    assert "Data must be bytes-like, not str" in caplog.text


def test_contentIsThatOfTheCall() -> None:
    """A program may use its buffer again, for an answer that waits, too."""
    served = Served(nothing, 2)
    buffer = bytearray(b"12345")
    served.requests[1].setHeader(b"content-length", b"10")
    for later in (b"67890", b"other"):
        served.requests[1].write(buffer)  # type: ignore[arg-type]
        buffer[:] = later
    served.requests[1].finish()
    answer(served.requests[0], memoryview(b"first"))  # type: ignore[arg-type]
    assert b"first" in served.transport.value()
    assert served.transport.value().endswith(b"1234567890")


def test_aCloseWaitsForEarlierAnswers() -> None:
    served = Served(nothing, 2)
    served.requests[1].setHeader(b"content-length", b"50")
    served.requests[1].write(b"second")
    served.requests[1].loseConnection()
    assert (served.transport.value(), served.transport.disconnecting) == (b"", False)
    answer(served.requests[0], b"first")
    assert served.transport.disconnecting
    assert served.transport.value().endswith(b"second")
    assert b"first" in served.transport.value()


@pytest.mark.parametrize("how", ["short", "raised"])
def test_anAbortWaitsForEarlierAnswers(how: str) -> None:
    """The second answer is not what its head said, or breaks off. The first one is complete."""

    seen: list[Request] = []

    def process(request: Request) -> None:
        seen.append(request)
        if len(seen) == 2:
            request.setHeader(b"content-length", b"50")
            request.write(b"second")
            if how == "raised":
                raise RuntimeError("as the test says")
            request.finish()

    transport = Served(process, 2).transport
    assert (transport.value(), transport.disconnected) == (b"", False)
    answer(seen[0], b"first")
    assert transport.disconnected
    assert b"first" in transport.value()


class Giving(Request):
    """Answers with a Response in `process`, as a program of Twisted's kind may do."""

    def process(self) -> None:
        if self.uri == b"/pieces":
            self.respond(Response(200, iter([b"one", b"two"]), {"X-A": "b"}))
        elif self.uri == b"/wrong":
            self.respond(Response(204))
            self.respond(Response(200))
        else:
            self.respond(Response(404, b"nothing"))


def test_processGivesAResponse() -> None:
    scene = Scene(factory=HTTPFactory(), requestFactory=Giving)
    first, second = scene.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /pieces HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (first.code, first.body) == (404, b"nothing")
    assert (second.code, second.body) == (200, b"onetwo")


def test_aSecondResponseIsRefused(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(factory=HTTPFactory(), requestFactory=Giving)
    assert scene.ask(b"GET /wrong HTTP/1.1\r\nHost: a\r\n\r\n").code == 204
    assert "has its answer already" in caplog.text


def test_notificationsComeInTheOrderOfTheRequests() -> None:
    order: list[int] = []
    served = Served(nothing, 3)
    for number, request in enumerate(served.requests):
        request.notifyFinish().addCallback(lambda _, number: order.append(number), number)
    for request in reversed(served.requests):
        answer(request, b"x")
    assert order == [0, 1, 2]
