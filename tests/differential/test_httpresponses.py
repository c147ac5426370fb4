"""Responses with random faults, read by the client and by h11: no response is read in two ways.

h11 is a strict parser of its own. The client may refuse more than h11 does. Where the client accepts, h11 has to read
the same code and the same body.
"""

from __future__ import annotations

import random
from typing import Any

import h11
import pytest

from reactor.error import ConnectionDone
from tests.support.httpclients import Asked, MemoryWorld

SEEDS = 60
ROUNDS = 100

STATUS_LINES = [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 204 No"]
STATUS_LINES += [b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 100 Continue", b"HTTP/1.1 500 \xe9t\xe9"]
FIELDS = [b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: close", b"Connection: keep-alive", b"X: y"]
FIELDS += [b"X-Empty:", b"Set-Cookie: a=b", b"content-length:3", b"Content-Length:\t5 ", b"TRANSFER-ENCODING: Chunked"]
BODIES = [
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"",
    b"0\r\n\r\n",
    b"A\r\n0123456789\r\n0\r\n\r\n",
]
ODD = [
    b"\r",
    b"\n",
    b"\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"0",
    b"1",
    b"-",
    b"+",
    b"x",
    b"\xff",
    b"\x0b",
    b"_",
]


def response(chance: random.Random) -> bytes:
    """A response that is right as a rule."""
    kind = chance.randrange(4)
    status = chance.choice(STATUS_LINES)
    framing = [[b"Content-Length: 5"], [b"Transfer-Encoding: chunked"], [], chance.sample(FIELDS, chance.randrange(4))]
    fields = framing[kind] + chance.sample(FIELDS[2:7], chance.randrange(3))
    chance.shuffle(fields)
    body = (b"hello", chance.choice(BODIES[1:3]), b"until the end", chance.choice(BODIES))[kind]
    return b"\r\n".join([status, *fields, b"", b""]) + body


def broken(chance: random.Random, data: bytes) -> bytes:
    """The same with up to three faults: something odd in it, or missing, or twice."""
    for _ in range(chance.randrange(4)):
        at = chance.randrange(len(data))
        kind = chance.randrange(4)
        if kind == 0:
            data = data[:at] + chance.choice(ODD) + data[at:]
        elif kind == 1:
            data = data[:at] + chance.choice(ODD) + data[at + 1 :]
        elif kind == 2:
            data = data[:at] + data[at + chance.randrange(1, 4) :]
        else:
            line = chance.choice(FIELDS) + b"\r\n"
            at = data.find(b"\r\n") + 2
            data = data[:at] + line + data[at:]
        data = data or b"\r\n"
    return data


def ours(method: str, data: bytes, cuts: list[int]) -> tuple[int, bytes] | None:
    """The code and the body that the client reads, or None if it refuses."""
    world = MemoryWorld()
    asked = world.ask(method)
    wire = world.connect()
    start = 0
    for end in (*cuts, len(data)):
        if end > start and not wire.disconnecting:
            wire.says(data[start:end])
        start = max(start, end)
    body: Asked | None = None if asked.result is None else asked.body()
    wire.ends(ConnectionDone())
    return None if body is None or body.error is not None else (asked.result.code, body.result)


def theirs(method: str, data: bytes) -> tuple[int, bytes] | None:
    """The same for h11."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "server.test")]))
    connection.send(h11.EndOfMessage())
    code, pieces = 0, []
    try:
        connection.receive_data(data)
        hasEnded = False
        while True:
            event: Any = connection.next_event()
            if event is h11.NEED_DATA and not hasEnded:
                connection.receive_data(b"")
                hasEnded = True
            elif isinstance(event, h11.Response):
                code = event.status_code
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                return code, b"".join(pieces)
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_noResponseIsReadInTwoWays(seed: int) -> None:
    chance = random.Random(seed)
    accepted = 0
    for _ in range(ROUNDS):
        method = chance.choice(["GET", "GET", "GET", "HEAD", "POST"])
        data = broken(chance, response(chance))
        cuts = sorted(chance.sample(range(len(data) + 1), min(len(data), chance.randrange(4))))
        found = ours(method, data, cuts)
        assert ours(method, data, []) == found, (method, data, cuts)
        if found is not None:
            accepted += 1
            assert theirs(method, data) == found, (method, data, found, theirs(method, data))
    assert accepted > ROUNDS // 10
