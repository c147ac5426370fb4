"""How a connection ends behind its last request: by the client's word, or by a decision of the server."""

from __future__ import annotations

from typing import Any

import pytest

from reactor import Clock
from reactor.http import HandledRequest, HTTPFactory, Response
from reactor.testing import StringTransport

# The last one is not there when the head is read, and ends while the program waits for it.
BODIES = [b"\r\n", b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"]


class Transport(StringTransport):
    """Notes how it is ended."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[str] = []

    def loseConnection(self) -> None:
        self.ends.append("close")

    def loseWriteConnection(self) -> None:
        self.ends.append("half")

    def abortConnection(self) -> None:
        self.ends.append("reset")


async def answer(request: HandledRequest) -> Response:
    return Response(200, await request.body)


def served(data: bytes, handler: Any = answer, **settings: Any) -> tuple[Transport, Any, Clock]:
    clock, transport = Clock(), Transport()
    channel: Any = HTTPFactory.forHandler(handler, reactor=clock).buildProtocol(None)
    for name, value in settings.items():
        setattr(channel, name, value)
    channel.makeConnection(transport)
    channel.dataReceived(data)
    return transport, channel, clock


def asked(fields: bytes, body: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: here\r\n%b%b" % (fields, body)


@pytest.mark.parametrize("body", BODIES)
def test_theClientSaysThatItIsTheLast(body: bytes) -> None:
    """It sends nothing more, so that no unread data resets the connection."""
    transport, _, _ = served(asked(b"Connection: close\r\n", body))
    assert b"\r\nConnection: close\r\n" in transport.value()
    assert transport.ends == ["close"]


@pytest.mark.parametrize("body", BODIES)
def test_theServerDecidesThatItIsTheLast(body: bytes) -> None:
    """The client may have sent more. A plain close would reset the connection, and the answer might be lost."""
    request = asked(b"", body)
    transport, channel, clock = served(request * 3, maxRequests=2)
    assert transport.value().count(b"HTTP/1.1 200 OK") == 2
    assert transport.value().count(b"\r\nConnection: close\r\n") == 1
    assert transport.ends == ["half"]
    channel.dataReceived(request)
    clock.pump([0.5] * 20)
    assert transport.value().count(b"HTTP/1.1") == 2
    assert transport.ends == ["half", "reset"]


@pytest.mark.parametrize("body", BODIES)
def test_theProgramDecidesThatItIsTheLast(body: bytes) -> None:
    """A peer that does not end its half is reset, also if the answer came while the body ended."""

    async def closing(request: HandledRequest) -> Response:
        return Response(200, await request.body, {"Connection": "close"})

    transport, _, clock = served(asked(b"", body), closing)
    assert transport.ends == ["half"]
    clock.pump([0.5] * 20)
    assert transport.ends == ["half", "reset"]
