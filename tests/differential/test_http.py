"""HTTP programs on our classes and on Twisted's: the same text, the same traces.

The subjects are those of `twisted.web.test.test_http`, as far as they are behaviour. Chosen differences are not here,
but in tests/parity/test_differences.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.differential.httpscripts import CUTS, OURS, THEIRS, Script, World, traceOf

SCRIPTS: list[Script] = []


def script(function: Script) -> Script:
    SCRIPTS.append(function)
    return function


Case = Callable[[World, Any], object]


def scriptsOf(**cases: Any) -> Callable[[Case], Case]:
    """Make a script of each case, from a function of a world and the case."""

    def decorate(function: Case) -> Case:
        for name, case in cases.items():

            def run(world: World, case: Any = case) -> None:
                function(world, case)

            run.__name__ = f"{function.__name__}-{name}"
            SCRIPTS.append(run)
        return function

    return decorate


# The client of HTTP/1.0.


def client(world: World) -> Any:
    """Connect a client that tells of everything."""

    class Client(world.kit.HTTPClient):  # type: ignore[name-defined,misc]
        def connectionMade(self) -> None:
            self.sendCommand(b"GET", b"/path?query")
            self.sendHeader(b"Host", b"example.com")
            self.sendHeader(b"X-Number", 5)
            self.endHeaders()

        def handleStatus(self, version: bytes, status: bytes, message: bytes) -> None:
            world.say("status", version, status, message)

        def handleHeader(self, key: bytes, val: bytes) -> None:
            world.say("header", key, val)

        def handleEndHeaders(self) -> None:
            world.say("end of headers", self.length)

        def handleResponse(self, response: bytes) -> None:
            world.say("response", response, self.length)

    made = Client()
    world.connect(made)
    return made


@scriptsOf(
    withLength=b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nServer: x\r\n\r\nhello",
    untilTheEnd=b"HTTP/1.1 201 Very well\r\nServer: x\r\n\r\nhello\r\nyou",
    noMessage=b"HTTP/1.0 201\r\n\r\n",
    trailingSpace=b"HTTP/1.0 201 \r\n\r\n",
    spaces=b"HTTP/1.0   404\tNot  Found \r\n\r\n",
    noFields=b"HTTP/1.0 200 OK\r\n\r\nhello",
    folded=b"HTTP/1.0 200 OK\r\nX-A: line-0\r\n\tline-1\r\nX-B: line-2\r\n line-3\r\nContent-Length: 2\r\n\r\nab",
    spacesAroundValues=b"HTTP/1.0 200 OK\r\nA:b\r\nC:   d  \r\nE:\r\nF :g\r\n\r\n",
    oneFieldTwice=b"HTTP/1.0 200 OK\r\nA: 1\r\na: 2\r\n\r\nhello",
    cutOff=b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n\r\nhello",
    cutOffInTheHead=b"HTTP/1.0 200 OK\r\nContent-Length: 50\r\n",
    cutOffInTheStatus=b"HTTP/1.0 200",
    nothing=b"",
)
def clientReads(world: World, answer: bytes) -> None:
    client(world)
    world.wire()
    world.receive(answer)
    world.lose()


@script
def clientTakesTheBodyInPieces(world: World) -> None:
    made = client(world)
    made.handleResponsePart = lambda data: world.say("part", data)
    made.handleResponseEnd = lambda: world.say("over")
    for piece in (b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nab", b"cd", b"ef", b"gh"):
        world.attempt(made.dataReceived, piece)
    world.lose()


@script
def clientSendsABody(world: World) -> None:
    class Client(world.kit.HTTPClient):  # type: ignore[name-defined,misc]
        def connectionMade(self) -> None:
            self.sendCommand(b"POST", b"/")
            self.sendHeader(b"Content-Length", 4)
            self.endHeaders()
            self.transport.write(b"body")

        def handleResponse(self, response: bytes) -> None:
            world.say("response", response)
            self.transport.loseConnection()

    world.connect(Client())
    world.receive(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    world.lose()


@script
def clientWithoutATransport(world: World) -> None:
    made = client(World(world.kit))
    made.transport = None
    made.handleStatus = lambda *words: world.say("status", words)
    made.handleHeader = lambda *words: world.say("header", words, made.length)
    made.handleEndHeaders = lambda: world.say("end of headers", made.length)
    for line in (b"HTTP/1.0 201", b"Content-Length: 10", b"X: y", b""):
        made.lineReceived(line)
        world.say("length", made.length)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_asTwisteds(script: Script, cut: str) -> None:
    ours = traceOf(script, OURS, cut)
    assert ours == traceOf(script, THEIRS, cut)
    assert len(ours) > 1
