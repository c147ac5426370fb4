"""Clients: what they send, whom they ask, how much they take, and the names that they look up."""

from __future__ import annotations

import gzip
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.address import encodeHostname
from reactor.defer import Deferred
from reactor.endpoints import HostnameEndpoint
from reactor.error import DNSLookupError
from reactor.http import BadResponse, BodyTooLarge, Client, HTTPClient
from reactor.testing import StringTransport
from tests.battery.museum.halls import Hall, isLinear, message, repeated
from tests.support.httpclients import OK, Asked, ServerWorld
from tests.support.worlds import OURS, turnUntil

ANY_WORDS = r"\w+"
BREAKS = ("\r\n", "\n", "\r", "\0", " ")


@pytest.fixture
def world() -> Iterator[ServerWorld]:
    world = ServerWorld(OURS)
    yield world
    world.close()


@pytest.fixture
def client(world: ServerWorld) -> Iterator[Client]:
    client = Client(world.reactor)
    yield client
    closed = Asked(client.close().addCallback(lambda _: True))
    world.until(lambda: closed.isOver)


def sendsNothing(world: ServerWorld, client: Client, *requests: tuple[Any, ...]) -> None:
    """Check that each request is a ValueError at once, and that the server hears nothing of it."""
    url, factory = world.serve([OK])
    for method, target, fields in requests:
        with pytest.raises(ValueError, match=ANY_WORDS):
            client.request(method, url + target, fields)
    asked = Asked(client.request("GET", url))
    world.until(lambda: asked.isOver)
    assert asked.body().result == b"ok"
    assert len(factory.heads) == 1


def test_CVE_2019_12387(world: ServerWorld, client: Client) -> None:
    """Line breaks in a method or an address were sent, and began fields and requests of their own."""
    for text in BREAKS:
        injected = f"x{text}Injected: y"
        sendsNothing(world, client, (injected, "", None), ("GET", injected, None), ("GET", f"?{injected}", None))
        old, transport = HTTPClient(), StringTransport()
        old.makeConnection(transport)
        for method, target in ((injected, "/"), ("GET", f"/{injected}")):
            with pytest.raises(ValueError, match=ANY_WORDS):
                old.sendCommand(method, target)
        assert transport.value() == b""


def test_CVE_2020_26116(world: ServerWorld, client: Client) -> None:
    """The method of a request was sent as it was given."""
    for text in BREAKS:
        sendsNothing(
            world, client, (f"GET / HTTP/1.1{text}Host: b", "", None), (f"GET{text}", "", None), ("", "", None)
        )


def test_CVE_2023_49081(world: ServerWorld, client: Client) -> None:
    """The version of a request was sent as it was given. Here it is none of the caller's; the rest is checked."""
    for text in BREAKS[:-1]:
        value = f"x HTTP/1.1{text}Injected: y"
        sendsNothing(world, client, ("GET", value, None), ("GET", "", {"X": value}), ("GET", "", {value: "x"}))


def test_CVE_2023_49082(world: ServerWorld, client: Client) -> None:
    """A method that is no token was sent."""
    sendsNothing(world, client, *[(method, "", None) for method in ("GET /", "G(T", "G\u00c9T", "GET\t", 'G"', "G{}")])


def test_CVE_2022_21712(world: ServerWorld, client: Client) -> None:
    """A redirection took the passwords and cookies along, to whatever host it named."""
    elsewhere, stolen = world.serve([OK])
    url, _ = world.serve([b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % elsewhere.encode()])
    asked = Asked(client.request("GET", url, {"Authorization": "Basic c2VjcmV0", "Cookie": "a=b"}))
    world.until(lambda: asked.isOver)
    assert asked.result.code == 302
    assert asked.body().result == b""
    world.reactor.iterate(0.01)
    assert stolen.connections == []


def test_CVE_2025_13836(world: ServerWorld, client: Client) -> None:
    """The memory that a Content-Length announces was taken at once, for a body that never comes."""
    url, _ = world.serve([b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\nx", "close"])
    tracemalloc.start()
    try:
        asked = Asked(client.request("GET", url))
        world.until(lambda: asked.isOver)
        body = asked.body()
        world.until(lambda: body.isOver)
        large = Asked(client.request("GET", url, maxBody=10**15))
        world.until(lambda: large.isOver)
        cut = large.body()
        world.until(lambda: cut.isOver)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(body.error, BodyTooLarge)
    assert type(cut.error).__name__ == "BodyLost"
    assert peak < 8 << 20


def test_CVE_2021_3737(world: ServerWorld, client: Client) -> None:
    """A server that says "100 Continue" for ever kept its client busy for ever."""
    endless = b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
    url, factory = world.serve([lambda server: server.transport.write(endless)])
    asked = Asked(client.request("GET", url, timeout=None))
    world.until(lambda: asked.isOver)
    assert isinstance(asked.error, BadResponse)
    assert len(factory.heads) == 1


def test_aPackedResponse(world: ServerWorld, client: Client) -> None:
    """CVE-2026-49855 on this side: a limit counts what the program gets, as nothing is expanded."""
    small = gzip.compress(bytes(10_000_000))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(small)
    url, _ = world.serve([head + small])
    asked = Asked(client.request("GET", url, maxBody=len(small)))
    world.until(lambda: asked.isOver)
    body = asked.body()
    world.until(lambda: body.isOver)
    assert body.result == small


def test_CVE_2016_1000111(world: ServerWorld, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpoxy: the field Proxy of a request became HTTP_PROXY of the environment, which clients heed."""
    trap, trapped = world.serve([OK])
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, trap)
    url, factory = world.serve([OK])
    asked = Asked(client.request("GET", url))
    world.until(lambda: asked.isOver)
    assert asked.body().result == b"ok"
    assert (len(factory.heads), trapped.connections) == (1, [])
    before = dict(os.environ)
    hall = Hall()
    hall.say(hall.site(), message(b"GET / HTTP/1.1", b"Proxy: http://evil.test/", b"Connection: close"))
    assert dict(os.environ) == before
    assert hall.seen
    hall.close()


LONG = (
    "a." * 127 + "example.test",
    "127.0.0.1" + "." + "a" * 250,
    "0x7f.1." + "b" * 300 + ".test",
    "a" * 256,
    "a" * 64,
)


@pytest.mark.parametrize("name", [*LONG, "localhost\0.example.test", "127.0.0.1\0x", "0x7f.1", "127.1", "2130706433"])
def test_CVE_2024_24806(world: ServerWorld, client: Client, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long names were cut at 256 bytes, and what was left was looked up: another host."""
    looked: list[Any] = []

    def look(*arguments: Any, **_: Any) -> list[Any]:
        looked.append(arguments)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look)
    factory = world.clientFactory()
    asked: Deferred[Any] = HostnameEndpoint(world.reactor, name, 80).connect(factory)
    found = Asked(asked)
    world.until(lambda: found.isOver)
    assert isinstance(found.error, DNSLookupError)
    assert looked == []
    with pytest.raises(ValueError, match=ANY_WORDS):
        client.request("GET", f"http://{name}/")


def test_CVE_2026_42304(world: ServerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer with chained pointers kept the parser of names busy, and the reactor stood still.

    Here the system's resolver reads answers, in a thread: however long that takes, the loop turns.
    """
    go = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        go.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.9", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    found = [Asked(world.reactor.resolve(f"host{number}.test")) for number in range(20)]
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())
        world.reactor.callLater(0.001, tick)

    tick()
    try:
        turnUntil(world.reactor, lambda: len(ticks) > 20)
        assert not any(each.isOver for each in found)
    finally:
        go.set()
    world.until(lambda: all(each.isOver for each in found))
    assert {each.result for each in found} == {"127.0.0.9"}


def test_CVE_2022_45061() -> None:
    """Making a long name ASCII took the square of its length, before its length was looked at."""

    def refused(name: str) -> None:
        with pytest.raises(ValueError, match=ANY_WORDS):
            encodeHostname(name)

    for unit in ("\xfc", "\xfc.", "xn--", "\u0631", "\u00df\u0301"):
        assert isLinear(repeated(unit), refused, 100_000)
