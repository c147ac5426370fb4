"""How long a connection lasts; Expect and Upgrade."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, HOST, Seen, Theme, get, message, pairs, post, posted, shown

THEME = Theme("connection")
refuse, accept = THEME.refuse, THEME.accept


def read(**fields: bytes | tuple[bytes, ...]) -> Seen:
    return Seen(fields=pairs(host=b"a", **fields))


for value in (
    b"keep-alive",
    b"Keep-Alive",
    b"x",
    b"",
    b"closed",
    b"x-close",
    b"close-x",
    b"closex",
    b"upgrade",
    b'"close"',
    b"TE",
    b"x, y",
):
    accept(
        f"stays after {shown(value) or 'an empty one'}",
        rules.PERSISTENCE,
        get(b"Connection: " + value) + get(),
        read(connection=value),
        Seen(),
    )
for value in (
    b"close",
    b"Close",
    b"CLOSE",
    b"close, x",
    b"x, close",
    b"x,close",
    b"x , close , y",
    b"close, keep-alive",
    b"keep-alive, close",
    b"close,",
    b", close",
    b"TE, close",
    b"close, close",
):
    accept(
        f"ends after {shown(value)}",
        rules.CLOSE,
        get(b"Connection: " + value) + HIDDEN,
        read(connection=value),
        end="closed",
    )
accept(
    "ends after close in the second line",
    rules.CLOSE,
    get(b"Connection: x", b"Connection: close") + HIDDEN,
    read(connection=(b"x", b"close")),
    end="closed",
)
accept(
    "ends after close in the first line",
    rules.CLOSE,
    get(b"Connection: close", b"Connection: keep-alive") + HIDDEN,
    read(connection=(b"close", b"keep-alive")),
    end="closed",
)
accept(
    "ends after the body of a request that says close",
    rules.CLOSE,
    post(b"Connection: close", b"Content-Length: 5", body=b"hello") + HIDDEN,
    posted(b"hello", connection=b"close", content_length=b"5"),
    end="closed",
)
accept(
    "ends after a chunked body",
    rules.CLOSE,
    post(b"Connection: close", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n") + HIDDEN,
    posted(b"", connection=b"close", transfer_encoding=b"chunked"),
    end="closed",
)
accept(
    "Proxy-Connection means nothing",
    rules.PERSISTENCE,
    get(b"Proxy-Connection: close") + get(),
    read(proxy_connection=b"close"),
    Seen(),
)
accept(
    "Keep-Alive alone means nothing",
    rules.PERSISTENCE,
    get(b"Keep-Alive: max=1") + get(),
    read(keep_alive=b"max=1"),
    Seen(),
)

OLD = b"GET / HTTP/1.0"
accept("HTTP/1.0 ends", rules.OLD_PERSISTENCE, message(OLD, HOST) + HIDDEN, end="closed")
for value in (b"keep-alive", b"Keep-Alive", b"x, keep-alive"):
    accept(
        f"HTTP/1.0 stays after {shown(value)}",
        rules.OLD_PERSISTENCE,
        message(OLD, HOST, b"Connection: " + value) + get(),
        read(connection=value),
        Seen(),
    )
for value in (b"close", b"x", b"", b"keep-alivex", b"keep-alive, close", b"upgrade"):
    accept(
        f"HTTP/1.0 ends after {shown(value) or 'an empty one'}",
        rules.OLD_PERSISTENCE,
        message(OLD, HOST, b"Connection: " + value) + HIDDEN,
        read(connection=value),
        end="closed",
    )
accept(
    "HTTP/1.0 with a length",
    rules.OLD_PERSISTENCE,
    message(b"POST / HTTP/1.0", HOST, b"Content-Length: 5", body=b"hello") + HIDDEN,
    posted(b"hello", content_length=b"5"),
    end="closed",
)
accept(
    "HTTP/1.0 without a length has no body",
    rules.BODY_LENGTH,
    message(b"POST / HTTP/1.0", HOST, body=b"hello") + HIDDEN,
    posted(b""),
    end="closed",
)
accept(
    "HTTP/1.1 behind HTTP/1.0",
    rules.OLD_PERSISTENCE,
    message(OLD, HOST, b"Connection: keep-alive") + get() + message(OLD, HOST) + HIDDEN,
    read(connection=b"keep-alive"),
    Seen(),
    Seen(),
    end="closed",
)

for value in (b"100-continue", b"100-Continue", b"100-CONTINUE"):
    accept(
        f"expects {shown(value)}",
        rules.EXPECT,
        post(b"Expect: " + value, b"Content-Length: 5", body=b"hello") + get(),
        posted(b"hello", content_length=b"5", expect=value),
        Seen(),
    )
accept(
    "expects, chunked",
    rules.EXPECT,
    post(b"Expect: 100-continue", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n") + get(),
    posted(b"hello", expect=b"100-continue", transfer_encoding=b"chunked"),
    Seen(),
)
accept(
    "expects, without a body", rules.EXPECT, get(b"Expect: 100-continue") + get(), read(expect=b"100-continue"), Seen()
)
accept(
    "expects, in HTTP/1.0",
    rules.EXPECT,
    message(b"POST / HTTP/1.0", HOST, b"Expect: 100-continue", b"Content-Length: 5", body=b"hello"),
    posted(b"hello", content_length=b"5", expect=b"100-continue"),
    end="closed",
)
for value in (b"200-ok", b"100", b"continue", b"100-continue-x", b"x=y", b"100-continue; x"):
    refuse(f"expects {shown(value)}", rules.EXPECT, post(b"Expect: " + value, b"Content-Length: 5", body=b"hello"), 417)
THEME.wait("expects, and the body has not come", rules.EXPECT, post(b"Expect: 100-continue", b"Content-Length: 500"))
refuse(
    "expects, with length and coding",
    rules.LENGTH_AND_CODING,
    post(b"Expect: 100-continue", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n") + HIDDEN,
)

for value in (b"h2c", b"websocket", b"HTTP/2.0", b"x/1, y/2", b"TLS/1.0"):
    accept(
        f"Upgrade to {shown(value)} is ignored",
        rules.UPGRADE,
        get(b"Connection: Upgrade", b"Upgrade: " + value) + get(),
        read(connection=b"Upgrade", upgrade=value),
        Seen(),
    )
accept(
    "Upgrade with a body",
    rules.UPGRADE,
    post(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 33", body=HIDDEN) + get(),
    posted(HIDDEN, connection=b"Upgrade", content_length=b"33", upgrade=b"h2c"),
    Seen(),
)
accept(
    "Upgrade in HTTP/1.0",
    rules.UPGRADE,
    message(OLD, HOST, b"Connection: Upgrade", b"Upgrade: h2c") + HIDDEN,
    read(connection=b"Upgrade", upgrade=b"h2c"),
    end="closed",
)

accept(
    "expects, and the next request is the body",
    rules.EXPECT,
    post(b"Expect: 100-continue", b"Content-Length: 33") + HIDDEN,
    posted(HIDDEN, content_length=b"33", expect=b"100-continue"),
)
refuse(
    "expects twice",
    rules.EXPECT,
    post(b"Expect: 100-continue", b"Expect: x", b"Content-Length: 5", body=b"hello"),
    417,
    400,
)
accept(
    "an option Transfer-Encoding takes nothing away",
    rules.PERSISTENCE,
    post(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n") + get(),
    posted(b"hello", connection=b"transfer-encoding", transfer_encoding=b"chunked"),
    Seen(),
)
accept(
    "an option Content-Length takes nothing away",
    rules.PERSISTENCE,
    post(b"Connection: content-length", b"Content-Length: 5", body=b"hello") + get(),
    posted(b"hello", connection=b"content-length", content_length=b"5"),
    Seen(),
)
