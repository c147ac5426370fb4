"""Messages by the thousand, the same for a seed: of a grammar that is a little wrong, and cases with a change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from tests.battery.http.cases import CRLF

LONGEST = 1500  # bytes of a case that is changed; what limits do has cases of its own

METHODS = (b"GET", b"GET", b"POST", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"DELETE", b"PATCH")
TARGETS = (b"/", b"/", b"/x", b"/x?y=z", b"/%20", b"http://a/", b"http://a:80/x", b"*", b"//", b"/a/../b")
VERSIONS = (b"HTTP/1.1",) * 100 + (b"HTTP/1.0",) * 10 + (b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.10")
HOSTS = (b"Host: a",) * 90 + (b"Host: a:80", b"host:a", b"Host:", b"Host: [::1]") * 3 + (b"Host : a", b"Host: a b")
FIELDS = (
    b"X: y",
    b"Accept: */*",
    b"X:",
    b"X: y, z",
    b"Cookie: a=b; c=d",
    b"Connection: keep-alive",
    b"Connection: close",
    b"Connection: x",
    b"Expect: 100-continue",
    b"TE: trailers",
    b"Content-Type: text/plain",
    b"Content-Encoding: gzip",
    b"X: \xe9",
    b"X-Y_Z: 1",
) * 4 + (b"X : y", b" X: y", b"X", b": y")
LENGTHS = (b"%d",) * 60 + (
    b"+%d",
    b"-%d",
    b"0x%x",
    b"0%d",
    b"%d, %d",
    b"%d,",
    b" %d ",
    b"%d_0",
    b"%d\x0b",
    b"%d;",
    b"%d.0",
)
CODINGS = (b"chunked",) * 60 + (
    b"Chunked",
    b"chunked, chunked",
    b"gzip, chunked",
    b"identity",
    b"xchunked",
    b"chunked;a",
    b"\x0bchunked",
    b"chunked, identity",
    b'"chunked"',
    b"",
)
SIZES = (b"%x",) * 60 + (
    b"0x%x",
    b"%x;a=b",
    b"%X",
    b"00%x",
    b"%x ",
    b" %x",
    b"+%x",
    b"%x;",
    b"%x_",
    b'%x;a="b;c"',
    b"%x;a=b;c",
)
BODIES = (b"", b"hello", b"x" * 20, b"0\r\n\r\n", b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n", b"\n\n")
TRAILERS = (b"",) * 30 + (b"X: y\r\n", b"X : y\r\n", b"Content-Length: 5\r\n", b"X: y\n", b"Host: b\r\n", b"X\r\n")
ENDS = (CRLF,) * 500 + (b"\n", b"\r", b"\r\r\n", b"\n\r")
BYTES = tuple(bytes([each]) for each in b'\r\n \t\x00\x0b\x0c\x7f\x80\xff:;,"\\01-+_x#@')
PARTS = (
    *BYTES,
    b"\r\n",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"\r\n ",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b" HTTP/1.1",
    b"chunked",
    b"gzip, ",
)


def filled(random: Random, pattern: bytes, number: int) -> bytes:
    return pattern % ((number,) * pattern.count(b"%"))


def aRequest(random: Random) -> bytes:
    """A request that is right more often than not."""
    choose = random.choice
    method, body = choose(METHODS), choose(BODIES)
    lines = [b" ".join((method, choose(TARGETS), choose(VERSIONS)))]
    fields = [choose(HOSTS), *(choose(FIELDS) for _ in range(random.randrange(3)))]
    kind = random.randrange(10)
    if kind < 4:
        fields.append(b"Content-Length: " + filled(random, choose(LENGTHS), len(body)))
    elif kind < 8:
        fields.append(b"Transfer-Encoding: " + choose(CODINGS))
        chunk = filled(random, choose(SIZES), len(body)) + choose(ENDS) + body + choose(ENDS) if body else b""
        body = chunk + filled(random, choose(SIZES), 0) + choose(ENDS) + choose(TRAILERS) + choose(ENDS)
    elif kind < 9:
        body = b""
    if not random.randrange(40):
        fields.append(b"Content-Length: %d" % len(body))
    random.shuffle(fields)
    return b"".join(line + choose(ENDS) for line in (*lines, *fields, b"")) + body


def changed(random: Random, raw: bytes, others: Sequence[bytes]) -> bytes:
    """A message with one thing changed: bytes left out, put in, replaced, repeated, or lines exchanged."""
    kind = random.randrange(9)
    place = random.randrange(len(raw) + 1)
    if kind == 0:
        return raw[:place] + raw[place + random.randrange(1, 4) :]
    if kind in (1, 2, 3):
        return raw[:place] + random.choice(PARTS) + raw[place:]
    if kind == 4:
        return raw[:place] + random.choice(PARTS) + raw[place + 1 :]
    if kind == 5:
        return raw[:place] + bytes([random.randrange(256)]) + raw[place + 1 :]
    if kind == 6:
        other = random.choice(others)
        return raw[:place] + other[random.randrange(len(other) + 1) :]
    lines = raw.split(CRLF)
    at = random.randrange(len(lines))
    if kind == 7:
        lines.insert(random.randrange(len(lines)), lines[at])
    else:
        lines[at], lines[-at] = lines[-at], lines[at]
    return CRLF.join(lines)


def messages(count: int, good: Sequence[bytes], bad: Sequence[bytes], seed: int) -> Iterator[bytes]:
    """`count` messages: half of them from the grammar, half of them changed cases, of which most were good."""
    random = Random(seed)
    good, bad = ([raw for raw in raws if len(raw) <= LONGEST] for raws in (good, bad))
    for number in range(count):
        if number % 2:
            raw = b"".join(aRequest(random) for _ in range(random.randrange(1, 4)))
            changes = random.choice((0, 0, 1))
        else:
            raw = random.choice(good if random.randrange(4) else bad)
            changes = random.choice((1, 1, 2, 3))
        for _ in range(changes):
            raw = changed(random, raw, good)
        yield raw


def cuts(random: Random, raw: bytes) -> Iterator[bytes]:
    """`raw` in pieces of random lengths."""
    place = 0
    while place < len(raw):
        length = random.choice((1, 2, 3, 7, 20, 100))
        yield raw[place : place + length]
        place += length
