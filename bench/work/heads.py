"""Heads of requests: parsed in process, into the method, the target and the list of fields. The unit is a head."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from bench.work.task import expect
from reactor.linecore import LineBuffer

MANY = 4096  # different heads, when they vary
FIRST = 100000  # numbers in them have six digits


def fieldsOf(number: int) -> list[tuple[bytes, bytes]]:
    """Return the eight fields of a browser's request. With 0 they are usual ones; else all but one have that number."""
    mark = b"" if number == 0 else b"-%d" % (FIRST + number)
    agent = b"Mozilla/5.0 (X11; Linux x86_64%s) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
    accept = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,x/y%s,*/*;q=0.8"
    return [
        (b"Host", b"www%s.example.com" % mark),
        (b"Connection", b"keep-alive"),
        (b"User-Agent", agent % mark),
        (b"Accept", accept % mark),
        (b"Referer", b"https://www.example.com/a/page%s" % mark),
        (b"Accept-Encoding", b"gzip, deflate, br, x%s" % mark),
        (b"Accept-Language", b"en-GB,en;q=0.9,de;q=0.8,x%s;q=0.1" % mark),
        (b"Cookie", b"session=0123456789abcdef%s; theme=dark" % mark),
    ]


def headOf(number: int, method: bytes = b"GET", target: bytes = b"/", extra: bytes = b"") -> bytes:
    """Return a head with those fields, and with `extra` lines."""
    lines = b"".join(b"%s: %s\r\n" % field for field in fieldsOf(number))
    return b"%s %s HTTP/1.1\r\n%s%s\r\n" % (method, target, lines, extra)


Parsed = tuple[bytes, bytes, list[tuple[bytes, bytes]]]


class Httptools:
    """httptools' parser, with the callbacks of a server that wants a list of fields."""

    def __init__(self) -> None:
        self.parser = importlib.import_module("httptools").HttpRequestParser(self)
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_message_begin(self) -> None:
        self.target = b""
        self.fields = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))

    def parse(self, head: bytes) -> Parsed:
        self.parser.feed_data(head)
        return self.parser.get_method(), self.target, self.fields


def httptoolsParser() -> Callable[[bytes], Any]:
    return Httptools().parse


def h11Parser() -> Callable[[bytes], Any]:
    """h11's connection: a new one a head, as one that goes on would need an answer first."""
    h11: Any = importlib.import_module("h11")
    kind, side = h11.Connection, h11.SERVER

    def parse(head: bytes) -> Any:
        connection = kind(side)
        connection.receive_data(head)
        return connection.next_event()

    return parse


def h11Reader() -> Callable[[bytes], Any]:
    """The reader inside h11, which has no connection around it, and so no state to keep."""
    Buffer: Any = importlib.import_module("h11._receivebuffer").ReceiveBuffer
    read: Any = importlib.import_module("h11._readers").maybe_read_from_IDLE_client

    def parse(head: bytes) -> Any:
        buffer = Buffer()
        buffer += head
        return read(buffer)

    return parse


def ourParser() -> Callable[[bytes], Any]:
    """The line core and reactor.http.head, with all that a server asks of a head."""
    known: Any = importlib.import_module("reactor.http.head")
    buffer = LineBuffer(b"\r\n", known.MAX_LINE)
    feed, lines = buffer.feed, buffer.lines

    def parse(head: bytes) -> Any:
        feed(head)
        first, *rest = lines(True)
        rest.pop()
        method, target, _minor = known.parseRequestLine(first)
        pairs = known.parseBlock(rest, b"\r\n".join(rest))[0]
        return method, target, pairs

    return parse


def plainOf(parsed: Any) -> Parsed:
    """Return what was parsed as plain values, with names in lower case."""
    if isinstance(parsed, tuple):
        return parsed
    return parsed.method, parsed.target, [(bytes(name), bytes(value)) for name, value in parsed.headers]


PARSERS: dict[str, Callable[[], Callable[[bytes], Any]]] = {
    "ours-http": ourParser,
    "httptools": httptoolsParser,
    "h11": h11Parser,
    "h11-reader": h11Reader,
}


class Heads:
    """Option: `varied`, whether each of MANY heads has values of its own, or all have the same."""

    def __init__(self, rival: str, varied: bool) -> None:
        self.parse = PARSERS[rival]()
        self.numbers = list(range(1, MANY + 1)) if varied else [0] * MANY
        self.heads = [headOf(number) for number in self.numbers]

    def run(self, count: int) -> int:
        parse, heads = self.parse, self.heads
        times = -(-count // len(heads))
        for _ in range(times):
            for head in heads:
                parse(head)
        return times * len(heads)

    def verify(self) -> None:
        for number, head in zip(self.numbers, self.heads, strict=True):
            wanted = [(name.lower(), value) for name, value in fieldsOf(number)]
            expect("the head", plainOf(self.parse(head)), (b"GET", b"/", wanted))
