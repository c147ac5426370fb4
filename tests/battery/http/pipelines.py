"""Several requests on one connection: good ones, and a bad one behind them."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import CRLF, HIDDEN, HOST, Seen, Theme, chunked, get, message, post, posted, received

THEME = Theme("pipeline")
refuse, accept = THEME.refuse, THEME.accept
FIVE = post(b"Content-Length: 5", body=b"hello")
FIVE_SEEN = posted(b"hello", content_length=b"5")
CHUNKS = chunked(b"5\r\nhello\r\n0\r\n\r\n")
HEAD = message(b"HEAD / HTTP/1.1", HOST)

for count in (3, 10):
    accept(f"{count} requests", rules.PIPELINE, get() * count, *[Seen()] * count)
accept("a length, chunks, and none", rules.PIPELINE, FIVE + CHUNKS + get(), FIVE_SEEN, received(b"hello"), Seen())
accept("none, chunks, and a length", rules.PIPELINE, get() + CHUNKS + FIVE, Seen(), received(b"hello"), FIVE_SEEN)
accept("chunks twice", rules.PIPELINE, CHUNKS * 2, received(b"hello"), received(b"hello"))
accept("a trailer between two", rules.PIPELINE, chunked(b"0\r\nX: y\r\n\r\n") + get(), received(b""), Seen())
accept("HEAD between two", rules.PIPELINE, get() + HEAD + get(), Seen(), Seen(b"HEAD"), Seen())
accept("an empty line behind a body", rules.EMPTY_LINES, FIVE + CRLF + get(), FIVE_SEEN, Seen())
accept("an empty line behind chunks", rules.EMPTY_LINES, CHUNKS + CRLF + get(), received(b"hello"), Seen())
accept(
    "the last says close",
    rules.CLOSE,
    get() + message(b"GET /x HTTP/1.0", HOST) + HIDDEN,
    Seen(),
    Seen(target=b"/x"),
    end="closed",
)
THEME.wait("the last is not complete", rules.INCOMPLETE, get() + FIVE[:-1], Seen())
THEME.wait("the last is a part of a line", rules.INCOMPLETE, get() + b"GE", Seen())

BAD = {
    "length and coding": (post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "two lengths": (post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello"), 400),
    "a bad request line": (message(b"GET  / HTTP/1.1", HOST), 400),
    "a bad field": (get(b"X : y"), 400),
    "a bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "another version": (message(b"GET / HTTP/2.0", HOST), 505),
    "no Host": (message(b"GET / HTTP/1.1"), 400),
    "a bad chunk": (chunked(b"5x\r\nhello\r\n0\r\n\r\n"), 400),
    "no CR LF behind a chunk": (chunked(b"5\r\nhelloXX0\r\n\r\n"), 400),
    "a bad trailer": (chunked(b"0\r\nX : y\r\n\r\n"), 400),
    "an expectation": (post(b"Expect: x", b"Content-Length: 5", body=b"hello"), 417),
}
for name, (bad, status) in BAD.items():
    refuse(f"{name} behind a GET", rules.AFTER_ERROR, get() + bad + HIDDEN, status, after=(Seen(),))
    refuse(f"{name} behind a body", rules.AFTER_ERROR, FIVE + bad + HIDDEN, status, after=(FIVE_SEEN,))
    refuse(f"{name} behind chunks", rules.AFTER_ERROR, CHUNKS + bad + HIDDEN, status, after=(received(b"hello"),))
    refuse(
        f"{name} behind a HEAD and a GET",
        rules.AFTER_ERROR,
        HEAD + get() + bad + HIDDEN,
        status,
        after=(Seen(b"HEAD"), Seen()),
    )
accept("a byte too much behind a body is part of a method", rules.METHOD, FIVE + b"!" + get(), FIVE_SEEN, Seen(b"!GET"))
refuse("a NUL behind a body", rules.AFTER_ERROR, FIVE + b"\x00" + HIDDEN, after=(FIVE_SEEN,))
refuse("a space behind chunks", rules.AFTER_ERROR, CHUNKS + b" " + HIDDEN, after=(received(b"hello"),))
refuse("a second last chunk", rules.AFTER_ERROR, CHUNKS + b"0\r\n\r\n" + HIDDEN, after=(received(b"hello"),))
