"""Trailers: the same grammar as fields, and nothing about framing or routing."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import CRLF, HIDDEN, Seen, Theme, chunked, get, received, shown

THEME = Theme("trailer")
refuse, accept = THEME.refuse, THEME.accept


def ended(*lines: bytes) -> bytes:
    return chunked(CRLF.join([b"5", b"hello", b"0", *lines, b"", b""]))


LINES: tuple[tuple[bytes, ...], ...] = (
    (b"X: y",),
    (b"X:",),
    (b"X:y",),
    (b"X: y", b"Y: z"),
    (b"X: 1", b"X: 2"),
    (b"X: \xe9",),
    (b"Expires: x",),
    (b"ETag: x",),
    (b"x-checksum: 0", b"Server-Timing: x"),
)
for lines in LINES:
    accept(shown(b"|".join(lines)), rules.TRAILERS, ended(*lines) + get(), received(b"hello"), Seen())
for name in (
    b"Transfer-Encoding",
    b"Content-Length",
    b"Host",
    b"transfer-encoding",
    b"CONTENT-LENGTH",
    b"hOST",
    b"Trailer",
    b"Content-Encoding",
    b"Authorization",
    b"Connection",
    b"Expect",
    b"Content-Type",
):
    value = {b"transfer-encoding": b"chunked", b"content-length": b"33", b"host": b"b"}.get(name.lower(), b"x")
    refuse(f"the name {shown(name)}", rules.TRAILER_NAMES, ended(name + b": " + value) + HIDDEN)
refuse("two lengths", rules.TRAILER_NAMES, ended(b"Content-Length: 5", b"Content-Length: 6") + HIDDEN)
refuse("a length behind a good one", rules.TRAILER_NAMES, ended(b"X: y", b"Content-Length: 33") + HIDDEN)
for what, lines in {
    "no colon": (b"X",),
    "no name": (b": y",),
    "a space before the colon": (b"X : y",),
    "a tab before the colon": (b"X\t: y",),
    "a space in front": (b" X: y",),
    "a tab in front": (b"\tX: y",),
    "a space in the name": (b"X Y: z",),
    "a NUL in the name": (b"X\x00: y",),
    "a NUL in the value": (b"X: y\x00",),
    "a vertical tab in the value": (b"X: y\x0bz",),
    "DEL in the value": (b"X: y\x7f",),
    "obs-text in the name": (b"X\xff: y",),
    "folded": (b"X: y", b" z"),
    "folded with a tab": (b"X: y", b"\tz"),
    "a line of white space": (b" ",),
    "a chunk in its place": (b"5", b"hello", b"0"),
    "a request line in its place": (b"GET /hidden HTTP/1.1",),
    "a parenthesis in the name": (b"X(: y",),
}.items():
    refuse(what, rules.TRAILERS, ended(*lines) + HIDDEN)
    refuse(f"{what}, behind a good one", rules.TRAILERS, ended(b"Y: z", *lines) + HIDDEN)
for where, raw in {
    "LF behind a trailer": b"X: y\n\r\n",
    "LF in a value": b"X: y\nz\r\n\r\n",
    "LF for the empty line": b"X: y\r\n\n",
    "LF for the empty line, without trailers": b"\n",
    "LF CR at the end": b"X: y\r\n\n\r",
    "LF LF": b"X: y\n\n",
}.items():
    refuse(where, rules.BARE_LF, chunked(b"5\r\nhello\r\n0\r\n" + raw) + HIDDEN)
for where, raw in {
    "CR in a value": b"X: y\rz\r\n\r\n",
    "CR behind a value": b"X: y\r\r\n\r\n",
    "CR for the empty line": b"X: y\r\n\r",
    "CR for the empty line, without trailers": b"\r",
    "CR CR LF at the end": b"\r\r\n",
    "CR in a name": b"X\rY: z\r\n\r\n",
    "CR X at the end": b"\rX",
}.items():
    refuse(where, rules.BARE_CR, chunked(b"5\r\nhello\r\n0\r\n" + raw) + HIDDEN)
accept(
    "a request line for a value", rules.TRAILERS, ended(b"X:GET /hidden HTTP/1.1") + get(), received(b"hello"), Seen()
)
