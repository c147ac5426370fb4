"""Our server under the cases: a real factory's channel on a transport that keeps its output."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from reactor.defer import Deferred
from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.http import HTTPFactory, Request, Response
from reactor.task import Clock
from reactor.testing import StringTransport
from tests.battery.http.cases import Seen
from tests.battery.http.others import Reading, sortedPairs

CANARY = b"/canary"
CANARIES = b"GET /canary HTTP/1.1\r\nHost: canary\r\n\r\n"


def seenOf(request: Request, body: bytes) -> Seen:
    """A request as the cases write it."""
    headers = request.requestHeaders.getAllRawHeaders()
    return Seen(
        request.method, request.uri, sortedPairs((name, each) for name, values in headers for each in values), body
    )


class Server:
    """One connection of a server, and the requests that its handler has seen.

    The handler reads the whole body, and answers. One that `ignores` bodies answers at once. One that `delays` answers
    in answerAll(), after everything has come.
    """

    def __init__(self, ignores: bool = False, delays: bool = False) -> None:
        self.found: list[Seen] = []
        self.ignores = ignores
        self.delays = delays
        self.delayed: list[Deferred[None]] = []
        self.transport = StringTransport(lenient=True)
        self.channel: Any = self.makeFactory().buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)

    def makeFactory(self) -> HTTPFactory:
        return HTTPFactory.forHandler(self.handle, reactor=Clock())

    async def handle(self, request: Any) -> Response:
        body = b"" if self.ignores else await request.body
        self.found.append(seenOf(request, body))
        if self.delays:
            self.delayed.append(Deferred())
            await self.delayed[-1]
        return Response(200)

    def answerAll(self) -> None:
        """Let the handler answer the requests that have come, and those that come then."""
        while self.delayed:
            self.delayed.pop().callback(None)

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Deliver the pieces. Those behind the end come, too, as a transport may have read them already."""
        for piece in pieces:
            self.channel.dataReceived(piece)

    @property
    def isClosed(self) -> bool:
        return bool(self.transport.disconnecting)

    def end(self) -> None:
        self.channel.connectionLost(Failure(ConnectionDone()))


class PortedServer(Server):
    """The same with a Request in the way of Twisted, whose `process` gets the whole body."""

    def makeFactory(self) -> HTTPFactory:
        server = self

        class Ported(Request):
            def process(self) -> None:
                server.found.append(seenOf(self, self.content.read()))
                self.setHeader(b"Content-Length", b"0")
                self.finish()

        factory = HTTPFactory(reactor=Clock())
        factory.requestFactory = Ported
        return factory


def answersIn(output: bytes) -> list[tuple[int, bytes]]:
    """The status and the head of each answer, in order, 100 (Continue) left out.

    ValueError if the output is no answers.
    """
    found, at = [], 0
    while at < len(output):
        end = output.find(b"\r\n\r\n", at)
        head = output[at:end] if end >= 0 else output[at:]
        version, _, rest = head.partition(b" ")
        if end < 0 or version not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise ValueError(f"no answer: {head!r}")
        at = end + 4
        status = int(rest[:3])
        if status >= 200:
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            found.append((status, head))
            at += int(length[1]) if length else 0
    if at > len(output) != end + 4:  # a refused HEAD has no body
        raise ValueError(f"an answer is not complete: {output[-100:]!r}")
    return found


def byOurs(pieces: Iterable[bytes]) -> Reading:
    """How our channel reads a stream. A canary behind it tells whether the next request may come."""
    server = Server()
    server.feed(pieces)
    requests = tuple(server.found)
    refusal = ""
    if server.isClosed:
        status = answersIn(server.transport.value())[-1][0]
        end, refusal = ("refused", str(status)) if status >= 400 else ("closed", "")
    else:
        end = "within"
    server.feed([CANARIES])
    if len(server.found) > len(requests):
        found = server.found[len(requests) :]
        end = "open" if end == "within" and [each.target for each in found] == [CANARY] else f"{end}, and then {found}"
    server.end()
    return Reading(requests, end, refusal)
