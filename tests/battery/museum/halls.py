"""Shared by the exhibits: a reactor with real sockets, an HTTP server that notes what it sees, and growth."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from reactor import LineReceiver, ServerFactory
from reactor.http import HTTPFactory, Request, Response
from tests.support.httpscenes import Answer, Scene, answersIn
from tests.support.worlds import DEADLINE, OURS, World, dial, turnUntil

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
GENEROUS = 10  # where the input grows fourfold: between linear, which is 4, and square, which is 16
TRIALS = 5


class Lines(LineReceiver):
    """Keeps its lines, and answers each."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.lost: Any = None

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        self.sendLine(b"got " + line)

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


class Keeping(ServerFactory[Any]):
    """Keeps the protocols that it builds."""

    noisy = False

    def __init__(self, protocol: Callable[[], Any] = Lines) -> None:
        self.protocol = protocol
        self.built: list[Any] = []

    def buildProtocol(self, addr: Any) -> Any:
        self.built.append(super().buildProtocol(addr))
        return self.built[-1]


class Hall(World):
    """A world with visitors: plain sockets that say what the test tells them."""

    def __init__(self, side: Any = OURS) -> None:
        super().__init__(side)
        self.seen: list[tuple[bytes, bytes, bytes]] = []  # method, target and body of each request

    async def _handle(self, request: Any) -> Response:
        body = await request.body
        self.seen.append((request.method, request.uri, body))
        return Response(200, b"seen")

    def site(self, handler: Callable[[Any], Any] | None = None) -> Any:
        """A port of an HTTP server, whose own handler notes each request."""
        return self.listen(HTTPFactory.forHandler(handler or self._handle, reactor=self.reactor))

    def ported(self, kind: type[Request]) -> Any:
        """A port of an HTTP server whose program is written for Twisted's API."""
        factory = HTTPFactory(reactor=self.reactor)
        factory.requestFactory = kind
        return self.listen(factory)

    def say(self, port: Any, *pieces: bytes, until: Callable[[bytes], object] | None = None) -> bytes:
        """Connect, send the pieces, each in a packet; return what comes up to the end, or until `until` is true.

        Without `until` this side ends its half behind the pieces.
        """
        received = bytearray()
        with dial(port) as sock:
            sock.setblocking(False)
            waiting = [*pieces, *([b""] if until is None else [])]
            end = time.monotonic() + DEADLINE
            while until is None or not until(bytes(received)):
                assert time.monotonic() < end, bytes(received[-200:])
                try:
                    if waiting and not waiting[0]:
                        waiting.pop(0)
                        sock.shutdown(1)
                    elif waiting:
                        waiting[0] = waiting[0][sock.send(waiting[0]) :]
                        if not waiting[0]:
                            waiting.pop(0)
                except BlockingIOError:
                    pass
                except (BrokenPipeError, ConnectionResetError, OSError):
                    waiting.clear()
                self.reactor.iterate(0.001)
                try:
                    data = sock.recv(1 << 20)
                except BlockingIOError:
                    continue
                except ConnectionResetError:
                    break
                if not data:
                    break
                received += data
        return bytes(received)

    def ask(self, *pieces: bytes) -> list[Answer]:
        """The answers of a new HTTP server to these pieces, with a last request behind them."""
        port = self.site()
        answers = answersIn(self.say(port, *pieces, LAST))
        port.stopListening()
        return answers

    def refuses(self, *pieces: bytes, codes: tuple[int, ...] = (400,)) -> None:
        """Check that one refusal is the answer, and that no program sees what follows, or a request that hides there.

        The pieces come whole, and then byte by byte.
        """
        for cut in (pieces, [bytes([byte]) for byte in b"".join(pieces)[:400]]):
            self.seen.clear()
            answers = self.ask(*cut)
            assert [answer.code for answer in answers] in [[code] for code in codes], answers
            assert answers[0].closes
            assert not self.seen

    def settle(self) -> None:
        """Go on until only ports and what the reactor needs are left."""
        turnUntil(
            self.reactor, lambda: not [each for each in self.reactor.openTransports() if hasattr(each, "getPeer")]
        )


def message(first: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    return b"\r\n".join([first, b"Host: a", *fields, b"", body])


def posted(*fields: bytes, body: bytes = b"") -> bytes:
    return message(b"POST / HTTP/1.1", *fields, body=body)


def chunked(body: bytes, *fields: bytes) -> bytes:
    return posted(b"Transfer-Encoding: chunked", *fields, body=body)


def isLinear(make: Callable[[int], Any], work: Callable[[Any], object], count: int) -> bool:
    """Whether the processor time of `work(make(n))` grows fourfold, and not with the square, for four times as much.

    Of several measurements the least counts. The collector of garbage rests: what it costs depends on all the tests.
    """

    def spent(number: int) -> float:
        thing = make(number)
        began = time.thread_time()
        work(thing)
        return time.thread_time() - began

    wasEnabled = gc.isenabled()
    gc.disable()
    try:
        most = float("inf")
        least = float("inf")
        for _ in range(TRIALS):
            least = min(least, *(spent(count) for _ in range(3)))
            most = min(most, spent(4 * count))
            if most < GENEROUS * least:
                return True
        return False
    finally:
        if wasEnabled:
            gc.enable()


def repeated(unit: Any, put: Callable[[Any], Any] = lambda text: text) -> Callable[[int], Any]:
    """A function of n, for isLinear: `put` gets `unit` n times in a row."""
    return lambda count: put(unit * count)


class Form(Request):
    """A program for Twisted's API: it answers with the number of fields of a form."""

    def process(self) -> None:
        self.write(b"%d fields" % sum(map(len, self.args.values())))
        self.finish()


def formScene(**settings: Any) -> Scene:
    """A connection in memory to a server of forms."""
    factory = HTTPFactory()
    factory.requestFactory = Form
    return Scene(factory=factory, **settings)
