"""Answers in their order, nothing of a program's or a peer's text taken for syntax, and limits of a connection."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.http import Headers, HTTPError, HTTPFactory, Request, Response
from reactor.task import Clock
from tests.battery.museum.halls import HIDDEN, Hall, chunked, message, posted
from tests.support.httpscenes import Scene, answersIn, get
from tests.support.worlds import dial, turnUntil

BREAKS = (b"x\r\nInjected: y", b"x\nInjected: y", b"x\rInjected: y", b"x\x00")


@pytest.fixture
def hall() -> Iterator[Hall]:
    hall = Hall()
    yield hall
    hall.close()


def ordered(hall: Hall, give: Callable[[bytes], Any], order: tuple[int, ...]) -> None:
    """Check that pipelined requests are answered in their order, though the program answers them in `order`."""
    waiting: list[tuple[Deferred[Any], bytes]] = []

    def handler(request: Any) -> Any:
        waiting.append((Deferred(), request.uri))
        return waiting[-1][0]

    port = hall.site(handler)
    with dial(port) as sock:
        sock.sendall(b"".join(get(b"/%d" % number) for number in range(len(order))))
        turnUntil(hall.reactor, lambda: len(waiting) == len(order))
        for number in order:
            deferred, uri = waiting[number]
            deferred.callback(give(uri))
            hall.reactor.iterate(0)
        received = b""
        while received.count(b"HTTP/1.1 200") < len(order) or not received.endswith(b"/%d" % (len(order) - 1)):
            hall.reactor.iterate(0)
            received += sock.recv(1 << 16)
    assert [answer.body for answer in answersIn(received)] == [b"/%d" % number for number in range(len(order))]


def test_CVE_2023_46137(hall: Hall) -> None:
    """Of pipelined requests the one that was answered first got its answer first, and so another's."""
    ordered(hall, lambda uri: uri, (4, 3, 2, 1, 0))


def test_CVE_2024_41671(hall: Hall) -> None:
    """The same again: the answer of a later request could begin while that of an earlier one was being sent."""
    ordered(hall, lambda uri: Response(200, [uri[:1], uri[1:]], {"Content-Length": str(len(uri))}), (2, 0, 4, 1, 3))


async def echo(request: Any) -> bytes:
    body: bytes = await request.body
    return body


def page(hall: Hall, request: bytes, handler: Callable[[Any], Any] | None = None) -> bytes:
    return hall.say(hall.site(handler), request)


def test_CVE_2024_41810(hall: Hall) -> None:
    """The page of a redirection held its address, unescaped."""

    class Redirects(Request):
        def process(self) -> None:
            self.redirect(b'https://a/"><script>alert(1)</script>')
            self.finish()

    answer = hall.say(hall.ported(Redirects), message(b"GET / HTTP/1.1", b"Connection: close"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"302 Found" in head
    assert b"<script" not in body


def test_CVE_2022_39348(hall: Hall) -> None:
    """The page of an unknown host held the Host of the request, unescaped."""
    for host in (b"<script>alert(1)</script>", b'"><img src=x>', b"a<b"):
        answer = page(hall, b"GET /\x3cscript\x3e HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"<script" not in answer
        assert b"<img" not in answer

    def missing(request: Any) -> Any:
        raise KeyError(request.uri)

    answer = page(hall, message(b"GET /<script> HTTP/1.1", b"Connection: close"), missing)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"<script" not in answer


def test_CVE_2026_34519(hall: Hall) -> None:
    """A line break in a reason phrase began a field, and could end the head."""
    refused: list[bytes] = []

    class Reasons(Request):
        def process(self) -> None:
            for text in BREAKS:
                try:
                    self.setResponseCode(404, text)
                except ValueError:
                    refused.append(text)
            self.write(b"fine")
            self.finish()

    answer = hall.say(hall.ported(Reasons), message(b"GET / HTTP/1.1", b"Connection: close"))
    assert refused == list(BREAKS)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Injected" not in answer


def test_CVE_2025_67724(hall: Hall) -> None:
    """The reason of an error was sent with its line breaks, and stood in its page without escapes."""

    def handler(request: Any) -> Any:
        raise HTTPError(404, "x\r\nInjected: y\r\n\r\n<script>")

    (answer,) = answersIn(page(hall, message(b"GET / HTTP/1.1", b"Connection: close"), handler))
    assert answer.code == 404
    assert b"injected" not in answer.fields
    assert answer.fields[b"content-type"] == b"text/plain; charset=utf-8"


def test_CVE_2020_7695(hall: Hall) -> None:
    """Names and values of fields were sent with their line breaks."""
    for text in BREAKS:
        for pair in ((b"X", text), (text, b"y")):
            with pytest.raises(ValueError, match="header"):
                Headers({pair[0]: [pair[1]]})
    answer = page(hall, get(b"/"), lambda request: Response(200, b"", {"X": "a\r\nInjected: y"}))
    assert b"Injected" not in answer


def test_CVE_2020_7694(hall: Hall, caplog: pytest.LogCaptureFixture, tmp_path: Any) -> None:
    """Escapes of a terminal in a request's path stood in the log as they were."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "access.log"
    factory = HTTPFactory.forHandler(hall._handle, logPath=str(path), reactor=hall.reactor)
    port = hall.listen(factory)
    fields = (b"Referer: \xc2\x9b31m", b"User-Agent: a\xe2\x80\xaeb", b"Connection: close")
    hall.say(port, message(b"GET /%1b[31m HTTP/1.1", *fields))
    hall.say(port, message(b"GET /\x1b[31m HTTP/1.1", b"User-Agent: \x1b]0;x\x07"))
    hall.say(port, message(b"GET / HTTP/1.1\r\n127.0.0.1 - - forged", b"User-Agent: \x1b]0;x\x07"))
    port.stopListening()
    hall.settle()
    hall.reactor.iterate(0)
    text = path.read_bytes()
    assert text.count(b"\n") == text.count(b'"127.0.0.1" - - [') == 3
    assert b"/%1b[31m" in text
    for shown in (text.decode("utf-8", "surrogateescape"), caplog.text.replace("\n", "")):
        assert not any(
            (ord(char) < 32 and char != "\n") or 127 <= ord(char) < 160 or char == "\u202e" for char in shown
        )


def test_CVE_2026_22815() -> None:
    """Trailers had no limit: neither their bytes nor their number."""
    for trailers in (b"X: y\r\n" * 100_000, b"X: " + b"y" * 1_000_000, (b"X: " + b"y" * 8000 + b"\r\n") * 50):
        scene = Scene(echo)
        raw = chunked(b"1\r\nx\r\n0\r\n" + trailers)
        answer = scene.ask(*(raw[at : at + 65536] for at in range(0, len(raw), 65536)))
        assert answer.code in (400, 431)
        assert answer.closes
        assert scene.channel.heldSize == 0


def test_aiohttp_3_14_1_pipelining(hall: Hall) -> None:
    """Requests that follow an unanswered one were kept without a bound."""
    waiting: list[Deferred[Any]] = []

    def handler(request: Any) -> Any:
        waiting.append(Deferred())
        return waiting[-1]

    with dial(hall.site(handler)) as sock:
        sock.setblocking(False)
        flood, sent = get(b"/") * 1000, 0
        for _ in range(300):
            try:
                sent += sock.send(flood)
            except BlockingIOError:
                hall.reactor.iterate(0.001)
        assert sent < 20_000_000  # the rest is the sender's
        assert 1 < len(waiting) <= 16
        (channel,) = {each.protocol for each in hall.reactor.openTransports() if hasattr(each, "protocol")}
        assert channel.heldSize <= 1 << 17


LONGEST = 16_384


def test_aiohttp_3_14_1_split_line(hall: Hall) -> None:
    """The limit of a line did not hold when the line came in several reads."""
    line = b"GET /" + b"a" * (2 * LONGEST)
    for size in (1000, 4096, LONGEST - 10):
        answers = hall.ask(*(line[at : at + size] for at in range(0, len(line), size)), b" HTTP/1.1\r\n\r\n")
        assert [answer.code for answer in answers] == [414]
        field = message(b"GET / HTTP/1.1")[:-2] + b"X: " + b"a" * (2 * LONGEST)
        answers = hall.ask(*(field[at : at + size] for at in range(0, len(field), size)), b"\r\n\r\n")
        assert [answer.code for answer in answers] == [431]
    assert not hall.seen


def test_aiohttp_3_14_1_whole_line(hall: Hall) -> None:
    """The limit of a line did not hold when the line came whole, in one read."""
    assert [each.code for each in hall.ask(message(b"GET /" + b"a" * LONGEST + b" HTTP/1.1"))] == [414]
    assert [each.code for each in hall.ask(message(b"GET / HTTP/1.1", b"X: " + b"a" * LONGEST))] == [431]
    assert not hall.seen


def test_CVE_2024_49768(hall: Hall) -> None:
    """A request that came behind the last one of a connection was read, and served."""
    last = message(b"GET /first HTTP/1.1", b"Connection: close")
    for pieces in ([last + HIDDEN], [last, HIDDEN]):
        hall.seen.clear()
        assert [answer.code for answer in hall.ask(*pieces)] == [200]
        assert [target for _, target, _ in hall.seen] == [b"/first"]


def test_GHSA_9298_4cf8_g4wj(hall: Hall) -> None:
    """After an error the connection was to close, and yet the request behind was served, with the next read."""
    hall.refuses(b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", HIDDEN, codes=(505,))
    hall.refuses(posted(b"Content-Length: x"), HIDDEN, HIDDEN)
    hall.seen.clear()
    big = posted(b"Content-Length: 9999999", body=b"x" * 100_000)
    assert [answer.code for answer in hall.ask(big, HIDDEN)] == [413]
    assert not hall.seen


def test_CVE_2026_49855() -> None:
    """The limit held for the compressed body, and the program got the real one. Here nothing is expanded."""
    small = gzip.compress(bytes(10_000_000))
    scene = Scene(echo)
    answer = scene.ask(posted(b"Content-Encoding: gzip", b"Content-Length: %d" % len(small), body=small))
    assert answer.body == small


def test_CVE_2007_6750() -> None:
    """Slowloris: a client that sends its head slowly kept its connection for ever. The deadline is the head's."""
    scene = Scene(lambda request: b"")
    scene.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    clock: Clock = scene.clock
    began = clock.seconds()
    while scene.isOpen and clock.seconds() - began < 1000:
        scene.peer.transport.write(b"X: y\r\n")
        scene.advance(5)
    assert not scene.isOpen
    assert clock.seconds() - began <= 60
    (answer,) = scene.take()
    assert answer.code == 408
