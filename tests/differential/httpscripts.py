"""The world in which a script of test_http.py runs: with the names of `reactor.http` or of `twisted.web.http`.

A script is a function of a World. It makes a channel or a client on a transport in memory, receives bytes, lets time
pass. The world notes callbacks, values, exceptions, and the bytes on the wire.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import twisted.internet.address
import twisted.internet.defer
import twisted.internet.error
import twisted.internet.task
import twisted.internet.testing
import twisted.python.failure
import twisted.web.http
import twisted.web.http_headers

import reactor.address
import reactor.defer
import reactor.error
import reactor.failure
import reactor.http
import reactor.task
import reactor.testing

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Twisted's class is deprecated
    _TheirClient = twisted.web.http.HTTPClient

OURS = SimpleNamespace(
    isOurs=True,
    http=reactor.http,
    HTTPClient=reactor.http.HTTPClient,
    Headers=reactor.http.Headers,
    StringTransport=reactor.testing.StringTransport,
    Clock=reactor.task.Clock,
    Deferred=reactor.defer.Deferred,
    Failure=reactor.failure.Failure,
    error=reactor.error,
    address=reactor.address,
)
THEIRS = SimpleNamespace(
    isOurs=False,
    http=twisted.web.http,
    HTTPClient=_TheirClient,
    Headers=twisted.web.http_headers.Headers,
    StringTransport=twisted.internet.testing.StringTransport,
    Clock=twisted.internet.task.Clock,
    Deferred=twisted.internet.defer.Deferred,
    Failure=twisted.python.failure.Failure,
    error=twisted.internet.error,
    address=twisted.internet.address,
)

# The head of an answer. Its fields are compared in the order of their names.
_HEAD = re.compile(rb"HTTP/1\.[01] (\d{3} [^\r\n]*)\r\n((?:[^\r\n]+\r\n)*)\r\n(0\r\n\r\n)?")
_CHUNKED, _NOTHING = b"Transfer-Encoding: chunked\r\n", b"Content-Length: 0\r\n"
# Twisted's channel sends no Date, as its `Site` does that. When it closes, it says so only if it was asked to.
_UNEQUAL = (b"date:", b"connection:")
# How the bytes of a script reach the protocol: the sizes of the pieces, in turn.
CUTS: dict[str, tuple[int, ...]] = {"whole": (1 << 30,), "bytes": (1,), "pieces": (7, 1, 30, 2)}


class World:
    """One run of a script, with our names or with Twisted's."""

    def __init__(self, kit: Any, cut: str = "whole") -> None:
        self.kit = kit
        self.http = kit.http
        self.trace: list[Any] = []
        self.clock = kit.Clock()
        self.transport = kit.StringTransport()
        self.protocol: Any = None
        self.requests: list[Any] = []
        self.body = b""
        self.cut = cut
        self._sizes = CUTS[cut]

    def say(self, *words: Any) -> None:
        self.trace.append(words)

    def attempt(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call `function`; note the name of its exception, and the categories of its warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = function(*arguments, **named)
            except Exception as error:
                self.say("raised", type(error).__name__)
                result = None
        for warning in caught:
            self.say("warned", warning.category.__name__)
        return result

    def connect(self, protocol: Any) -> None:
        self.protocol = protocol
        self.attempt(protocol.makeConnection, self.transport)

    def serve(self, request: Any, timeout: float | None = None, factory: Any = None, channel: Any = None) -> None:
        """Connect a channel for requests of the class `request`, made by a factory."""
        channelClass = type("Channel", (channel or self.http.HTTPChannel,), {"requestFactory": request})
        factoryClass = type("Factory", (factory or self.http.HTTPFactory,), {"protocol": channelClass})
        made = factoryClass(timeout=timeout, reactor=self.clock)
        self.connect(made.buildProtocol(self.kit.address.IPv4Address("TCP", "192.168.1.1", 54321)))

    def receive(self, data: bytes) -> None:
        """Deliver `data` in pieces, until the protocol has closed its transport."""
        start = number = 0
        while start < len(data) and not self.transport.disconnecting:
            size = self._sizes[number % len(self._sizes)]
            self.attempt(self.protocol.dataReceived, data[start : start + size])
            start, number = start + size, number + 1

    def wait(self, seconds: int) -> None:
        """Let time pass, as it does in a reactor: not in one step."""
        for _ in range(4 * seconds):
            self.attempt(self.clock.advance, 0.25)

    def lose(self, error: str = "ConnectionDone") -> None:
        self.attempt(self.protocol.connectionLost, self.kit.Failure(getattr(self.kit.error, error)()))

    def watch(self, deferred: Any, name: str = "finished") -> None:
        deferred.addCallbacks(lambda value: self.say(name, value), lambda failed: self.say(name, failed.type.__name__))

    def wire(self, name: str = "wire") -> None:
        """Note the bytes sent since the last look, and whether the connection is closing."""
        self.say(name, comparable(self.transport.value()), bool(self.transport.disconnecting))
        self.transport.clear()


def comparable(wire: bytes) -> bytes:
    """The bytes of `wire` without the chosen differences, which tests/parity/test_differences.py shows."""

    def one(found: re.Match[bytes]) -> bytes:
        fields = [field for field in found[2].splitlines(True) if not field.lower().startswith(_UNEQUAL)]
        end = found[3] or b""
        if end and _CHUNKED in fields:
            # The same answer without a body: ours tells its length, theirs is an empty chunked body.
            fields[fields.index(_CHUNKED)], end = _NOTHING, b""
        return b"HTTP/1.1 %b\r\n%b\r\n%b" % (found[1], b"".join(sorted(fields)), end)

    return _HEAD.sub(one, wire)


Script = Callable[[World], object]


def traceOf(script: Script, kit: Any, cut: str) -> list[Any]:
    world = World(kit, cut)
    script(world)
    world.wire("end")
    return world.trace


def headOf(
    fields: Iterable[str | bytes] = (), target: str = "/", method: str = "GET", version: str = "HTTP/1.1"
) -> bytes:
    """A request's head, with a Host if the version wants one and no field is one."""
    lines = [f"{method} {target} {version}".encode()]
    lines += [field.encode() if isinstance(field, str) else field for field in fields]
    if version == "HTTP/1.1" and not any(line.lower().startswith(b"host:") for line in lines):
        lines.insert(1, b"Host: example.com")
    return b"\r\n".join([*lines, b"", b""])
