"""Messages at a limit and beyond it: the request line, fields, heads, bodies."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, HOST, Seen, Theme, chunked, get, message, post, received

THEME = Theme("limit")
refuse, accept = THEME.refuse, THEME.accept
LINE, FIELD, HEAD, FIELDS, CHUNK_LINE, BODY = 8192, 8192, 16384, 100, 256, 1 << 20

for over in (1, 2, 100, 8000):
    target = b"/" + b"x" * (LINE - len("GET / HTTP/1.1") + over)
    refuse(f"a request line {over} over", rules.LONG_LINE, message(b"GET " + target + b" HTTP/1.1", HOST) + HIDDEN, 414)
target = b"/" + b"x" * (LINE - len("GET / HTTP/1.1"))
accept("the longest request line", rules.LONG_LINE, message(b"GET " + target + b" HTTP/1.1", HOST), Seen(target=target))
refuse("a line that does not end", rules.LONG_LINE, b"GET /" + b"x" * 20000, 414)
refuse("a method that does not end", rules.LONG_LINE, b"X" * 20000, 414, 400, 501)
for over in (1, 100, 7000):
    refuse(f"a value {over} over", rules.LARGE_FIELDS, get(b"X: " + b"y" * (FIELD - 3 + over)) + HIDDEN, 431)
    refuse(f"a name {over} over", rules.LARGE_FIELDS, get(b"x" * (FIELD - 3 + over) + b": y") + HIDDEN, 431)
refuse("a field that does not end", rules.LARGE_FIELDS, b"GET / HTTP/1.1\r\nX: " + b"y" * 20000, 431)
refuse("fields of 20 KiB in all", rules.LARGE_FIELDS, get(*[b"X: " + b"y" * 2045] * 10) + HIDDEN, 431)
refuse("101 fields", rules.LARGE_FIELDS, get(*[b"X: y"] * FIELDS) + HIDDEN, 431)
refuse("1000 fields", rules.LARGE_FIELDS, get(*[b"X: y"] * 1000) + HIDDEN, 431)
fields = tuple([(b"host", b"a")] + [(b"x", b"y")] * (FIELDS - 1))
accept("100 fields", rules.LARGE_FIELDS, get(*[b"X: y"] * (FIELDS - 1)), Seen(fields=fields))
refuse("101 trailers", rules.LARGE_FIELDS, chunked(b"0\r\n" + b"X: y\r\n" * 101 + b"\r\n") + HIDDEN, 431)
refuse(
    "99 trailers beside two fields", rules.LARGE_FIELDS, chunked(b"0\r\n" + b"X: y\r\n" * 99 + b"\r\n") + HIDDEN, 431
)
refuse("a trailer of 9 KiB", rules.LARGE_FIELDS, chunked(b"0\r\nX: " + b"y" * 9000 + b"\r\n\r\n") + HIDDEN, 431)
refuse(
    "trailers of 20 KiB in all",
    rules.LARGE_FIELDS,
    chunked(b"0\r\n" + (b"X: " + b"y" * 2045 + b"\r\n") * 10 + b"\r\n") + HIDDEN,
    431,
)
accept(
    "98 trailers beside two fields",
    rules.LARGE_FIELDS,
    chunked(b"0\r\n" + b"X: y\r\n" * 98 + b"\r\n") + get(),
    received(b""),
    Seen(),
)
refuse(
    "a chunk line of 257 bytes",
    rules.CHUNK_EXTENSION,
    chunked(b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n") + HIDDEN,
    400,
    413,
    431,
)
accept(
    "a chunk line of 256 bytes",
    rules.CHUNK_EXTENSION,
    chunked(b"5;" + b"a" * 254 + b"\r\nhello\r\n0\r\n\r\n") + get(),
    received(b"hello"),
    Seen(),
)
refuse("a chunk line that does not end", rules.CHUNK_EXTENSION, chunked(b"5;" + b"a" * 5000), 400, 413, 431)
refuse("a size that does not end", rules.CHUNK_SIZE, chunked(b"0" * 5000), 400, 413, 431)
refuse("a length over the limit of bodies", rules.LARGE_BODY, post(b"Content-Length: %d" % (BODY + 1)) + HIDDEN, 413)
refuse(
    "a chunk over the limit of bodies",
    rules.LARGE_BODY,
    chunked(b"100001\r\n" + b"x" * (BODY + 1) + b"\r\n0\r\n\r\n") + HIDDEN,
    413,
)
refuse(
    "chunks over the limit of bodies",
    rules.LARGE_BODY,
    chunked((b"8000\r\n" + b"x" * 32768 + b"\r\n") * 33 + b"0\r\n\r\n") + HIDDEN,
    413,
)
accept(
    "chunks of the largest body",
    rules.LARGE_BODY,
    chunked((b"8000\r\n" + b"x" * 32768 + b"\r\n") * 32 + b"0\r\n\r\n") + get(),
    received(b"x" * BODY),
    Seen(),
)
refuse("three fields of 7000 bytes", rules.LARGE_FIELDS, get(*[b"X: " + b"y" * 6997] * 3) + HIDDEN, 431)
refuse("four fields of 4 KiB", rules.LARGE_FIELDS, get(*[b"X: " + b"y" * 4093] * 4) + HIDDEN, 431)
accept(
    "two fields of 8000 bytes",
    rules.LARGE_FIELDS,
    get(b"X: " + b"y" * 7997, b"Y: " + b"z" * 7997) + get(),
    Seen(fields=((b"host", b"a"), (b"x", b"y" * 7997), (b"y", b"z" * 7997))),
    Seen(),
)
refuse(
    "a head of 15 KiB, and trailers of 2 KiB",
    rules.LARGE_FIELDS,
    post(
        b"X: " + b"y" * 7500,
        b"X: " + b"y" * 7500,
        b"Transfer-Encoding: chunked",
        body=b"0\r\nX: " + b"y" * 2000 + b"\r\n\r\n",
    )
    + HIDDEN,
    431,
)
