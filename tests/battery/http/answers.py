"""Answers, right and a little wrong, and how our client, h11 and llhttp read one to a GET or a HEAD."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random
from typing import Any, NamedTuple

import h11
import httptools

from tests.battery.http.cases import Pairs
from tests.battery.http.mutations import BODIES, CODINGS, ENDS, LENGTHS, SIZES, TRAILERS, changed, filled
from tests.battery.http.others import sortedPairs
from tests.battery.http.quarrel import plainFields
from tests.support.httpclients import MemoryWorld

STATUS_LINES = (b"HTTP/1.1 200 OK",) * 60 + (
    *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 200") * 4,
    *(b"HTTP/1.0 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 500 \xe9", b"HTTP/1.1 299 x y") * 3,
    b"HTTP/1.1  200 OK",
    b"HTTP/1.1 2000 OK",
    b"HTTP/1.1 20 OK",
    b"HTTP/1.1 +20 OK",
    b"HTTP/2.0 200 OK",
    b"http/1.1 200 OK",
    b"HTTP/1.1 200\tOK",
    b"HTTP/1.1 600 OK",
    b"HTTP/1.1 099 OK",
)
FIELDS = (
    b"X: y",
    b"X:",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Set-Cookie: a=b",
    b"Server: x",
    b"X: \xe9",
) * 4 + (
    b"X : y",
    b" X: y",
    b"X",
    b": y",
    b"X: y\x00",
    b"X: y\rz",
    b"Connection: x",
)
BEFORE = (b"",) * 30 + (
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"\r\n",
    b"\n",
)


class Answer(NamedTuple):
    """How a client read the bytes of a connection that then ended. `end` is "whole", "refused" or "cut short".

    `persists` tells whether the next answer may follow on the same connection.
    """

    code: int = 0
    fields: Pairs = ()
    body: bytes = b""
    end: str = "cut short"
    persists: bool = False
    error: str = ""


def anAnswer(random: Random) -> bytes:
    """An answer that is right more often than not."""
    choose = random.choice
    body = choose(BODIES)
    lines = [choose(STATUS_LINES), *(choose(FIELDS) for _ in range(random.randrange(3)))]
    kind = random.randrange(10)
    if kind < 4:
        lines.append(b"Content-Length: " + filled(random, choose(LENGTHS), len(body)))
    elif kind < 8:
        lines.append(b"Transfer-Encoding: " + choose(CODINGS))
        chunk = filled(random, choose(SIZES), len(body)) + choose(ENDS) + body + choose(ENDS) if body else b""
        body = chunk + filled(random, choose(SIZES), 0) + choose(ENDS) + choose(TRAILERS) + choose(ENDS)
    if not random.randrange(40):
        lines.append(b"Content-Length: %d" % len(body))
    return choose(BEFORE) + b"".join(line + choose(ENDS) for line in (*lines, b"")) + body


def answers(count: int, seed: int) -> Iterator[bytes]:
    """`count` answers, a third of them with a change. Some have a second answer behind them."""
    random = Random(seed)
    others = [anAnswer(random) for _ in range(100)]
    for _ in range(count):
        raw = anAnswer(random)
        if not random.randrange(10):
            raw += anAnswer(random)
        for _ in range(random.choice((0, 0, 1))):
            raw = changed(random, raw, others)
        yield raw


def byOurClient(pieces: Iterable[bytes], method: str = "GET") -> Answer:
    world = MemoryWorld()
    asked = world.ask(method)
    wire = world.connect()
    for piece in pieces:
        if not wire.disconnecting:
            wire.says(piece)
    persists = world.client.idleCount == 1
    body = asked.body() if asked.result is not None else asked
    wire.ends()
    response = asked.result
    if response is None or body.error is not None:
        return Answer(end="refused", error=repr(body.error or asked.error))
    headers: Any = response.headers.getAllRawHeaders()
    fields = sortedPairs((name, value) for name, values in headers for value in values)
    return Answer(response.code, fields, body.result, "whole", persists)


def byH11Client(pieces: Iterable[bytes], method: str = "GET") -> Answer:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    code, body = 0, b""
    fields: Pairs = ()
    for piece in (*pieces, b""):
        try:
            connection.receive_data(piece)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response):
                    code = event.status_code
                    fields = sortedPairs((bytes(name), bytes(value)) for name, value in event.headers)
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    persists = connection.their_state is h11.DONE and not connection.trailing_data[0]
                    return Answer(code, fields, bytes(body), "whole", persists)
                elif not isinstance(event, h11.InformationalResponse):
                    return Answer(code, fields, bytes(body), "cut short")
        except h11.RemoteProtocolError as error:
            return Answer(code, fields, bytes(body), "refused", error=f"{error}")
    return Answer(code, fields, bytes(body), "cut short")


class _ForHttptools:
    """The callbacks that httptools makes; those of an interim answer begin anew."""

    answer: Answer | None = None
    parser: Any = None
    code = 0
    inHead = True
    body = b""

    def on_message_begin(self) -> None:
        self.body = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.inHead = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.inHead:
            self.fields.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.inHead = False
        self.code = self.parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.answer is None and self.code >= 200:
            persists = self.parser.should_keep_alive()
            self.answer = Answer(self.code, sortedPairs(self.fields), self.body, "whole", persists)


def byHttptoolsClient(pieces: Iterable[bytes], method: str = "GET") -> Answer:
    """Read an answer to a GET: httptools has no way to tell the method. The end of a connection is an end of a body."""
    callbacks = _ForHttptools()
    callbacks.parser = parser = httptools.HttpResponseParser(callbacks)
    try:
        for piece in pieces:
            parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        return Answer(101)
    except httptools.HttpParserError as error:
        return callbacks.answer or Answer(end="refused", error=f"{error}")
    if callbacks.answer is not None:
        return callbacks.answer
    names = {name.lower() for name, _ in getattr(callbacks, "fields", ())}
    if callbacks.inHead or callbacks.code < 200 or names & {b"content-length", b"transfer-encoding"}:
        return Answer()
    return Answer(callbacks.code, sortedPairs(callbacks.fields), callbacks.body, "whole")


def difference(ours: Answer, theirs: Answer) -> str | None:
    """The difference in words, if our client takes the answer. A stricter client takes nothing wrong for true."""
    if ours.end != "whole":
        return None
    if theirs.end != "whole":
        return f"{theirs.end}: {theirs.error}"
    if ours.code != theirs.code:
        return "reads another code"
    if plainFields(ours.fields) != plainFields(theirs.fields):
        return "reads other fields"
    if ours.body != theirs.body:
        return "reads another body"
    return "does not persist" if ours.persists and not theirs.persists else None
