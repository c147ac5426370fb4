"""CR, LF and NUL in what a client sends are a ValueError, and no connection hears of it."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.http import Client, HTTPClient, request
from reactor.testing import StringTransport
from tests.battery.http.test_nothingsplit import INJECTED
from tests.support.worlds import LOOPBACK, World

GIVEN: dict[str, Callable[[str, bytes], tuple[Any, ...]]] = {
    "the method": lambda url, text: (text, url),
    "the method's end": lambda url, text: (b"GET" + text, url),
    "the method as text": lambda url, text: (text.decode(), url),
    "the path": lambda url, text: ("GET", url.encode() + text),
    "the path as text": lambda url, text: ("GET", url + text.decode()),
    "the query": lambda url, text: ("GET", url.encode() + b"?" + text),
    "the host": lambda url, text: ("GET", b"http://" + text + b"/"),
    "the host's end": lambda url, text: ("GET", b"http://127.0.0.1" + text + b"/"),
    "the port": lambda url, text: ("GET", url.rstrip("/").encode() + text + b"/"),
    "a name": lambda url, text: ("GET", url, {text: b"x"}),
    "a value": lambda url, text: ("GET", url, {b"X": text}),
    "a second value": lambda url, text: ("GET", url, [("X", "x"), (b"X", text)]),
    "a pair's name": lambda url, text: ("GET", url, [(text, b"x")]),
    "a pair's value as text": lambda url, text: ("GET", url, [("X", text.decode())]),
    "the value of Host": lambda url, text: ("GET", url, {"Host": text}),
    "the value of Connection": lambda url, text: ("GET", url, {"Connection": text}),
    "the value of Expect": lambda url, text: ("GET", url, {"Expect": text}, b"x"),
}


@pytest.fixture
def world() -> Iterator[World]:
    with contextlib.closing(World()) as made:
        yield made


@pytest.mark.parametrize("what", GIVEN)
def test_requests(world: World, what: str) -> None:
    servers = world.serverFactory()
    url = f"http://{LOOPBACK}:{world.listen(servers).getHost().port}/"
    client = Client(world.reactor)
    calls: list[Callable[..., Any]] = [client.request, functools.partial(request, reactor=world.reactor)]
    for text in INJECTED:
        for call in calls:
            errors: list[Any] = []
            try:
                call(*GIVEN[what](url, text)).addErrback(lambda failure, errors=errors: errors.append(failure.value))
            except ValueError as error:
                errors.append(error)
            assert [isinstance(error, ValueError) for error in errors] == [True], text
    good: list[Any] = []
    request("GET", url, reactor=world.reactor).addBoth(good.append)
    world.until(lambda: servers.built and servers.only.received.endswith(b"\r\n\r\n"))
    assert servers.only.received.startswith(b"GET / HTTP/1.1\r\n")
    assert b"Injected" not in servers.only.received
    servers.only.transport.abortConnection()
    world.until(lambda: good)


OLD: dict[str, Callable[[Any, bytes], object]] = {
    "the command": lambda client, text: client.sendCommand(text, b"/"),
    "the path": lambda client, text: client.sendCommand(b"GET", b"/" + text),
    "a name": lambda client, text: client.sendHeader(text, b"x"),
    "a value": lambda client, text: client.sendHeader(b"X", text),
    "a value as text": lambda client, text: client.sendHeader("X", text.decode()),
}


@pytest.mark.parametrize("what", OLD)
def test_ofTheOldClient(what: str) -> None:
    for text in INJECTED:
        client, transport = HTTPClient(), StringTransport()
        client.makeConnection(transport)
        with pytest.raises(ValueError, match=r"."):
            OLD[what](client, text)
        assert transport.value() == b""
