"""Transfer-Encoding: its value, several of it, and in HTTP/1.0."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import (
    HIDDEN,
    HOST,
    Seen,
    Theme,
    chunked,
    get,
    message,
    pairs,
    post,
    posted,
    received,
    shown,
)

THEME = Theme("coding")
refuse, accept = THEME.refuse, THEME.accept
BODY = b"5\r\nhello\r\n0\r\n\r\n"


def coded(*lines: bytes) -> bytes:
    return post(*lines, body=BODY) + HIDDEN


accept("chunked", rules.CHUNKED, chunked(BODY), received(b"hello"))
for value in (b"Chunked", b"CHUNKED", b"cHuNkEd"):
    accept(
        shown(value),
        rules.CHUNKED,
        post(b"Transfer-Encoding: " + value, body=BODY),
        posted(b"hello", transfer_encoding=value),
    )
for text in (
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding:\tchunked",
    b"Transfer-Encoding:  chunked \t",
    b"transfer-encoding: chunked",
    b"TRANSFER-ENCODING: chunked",
):
    accept(f"written {shown(text)}", rules.FIELD_SPACE, post(text, body=BODY), received(b"hello"))
accept(
    "of a GET",
    rules.CHUNKED,
    get(b"Transfer-Encoding: chunked") + BODY + get(),
    Seen(fields=pairs(host=b"a", transfer_encoding=b"chunked"), body=b"hello"),
    Seen(),
)
accept(
    "of a HEAD",
    rules.CHUNKED,
    message(b"HEAD / HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=BODY),
    Seen(b"HEAD", fields=pairs(host=b"a", transfer_encoding=b"chunked"), body=b"hello"),
)
accept(
    "beside TE",
    rules.CHUNKED,
    post(b"TE: trailers", b"Transfer-Encoding: chunked", body=BODY),
    posted(b"hello", te=b"trailers", transfer_encoding=b"chunked"),
)
accept(
    "a Content-Encoding, which is no matter of framing",
    rules.CHUNKED,
    post(b"Content-Encoding: chunked", b"Content-Length: 5", body=b"hello"),
    posted(b"hello", content_encoding=b"chunked", content_length=b"5"),
)

for value in (b"chunked, chunked", b"chunked,chunked", b"Chunked, chunked", b"chunked, chunked, chunked"):
    refuse(f"twice {shown(value)}", rules.CHUNKED_ONCE, coded(b"Transfer-Encoding: " + value))
refuse("twice, in two lines", rules.CHUNKED_ONCE, coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"))
refuse(
    "twice, in two lines apart",
    rules.CHUNKED_ONCE,
    coded(b"Transfer-Encoding: chunked", b"X: y", b"transfer-encoding: Chunked"),
)
for value in (b"chunked, gzip", b"chunked, identity", b"chunked, x", b"chunked, gzip, deflate"):
    refuse(f"not last {shown(value)}", rules.LAST_CODING, coded(b"Transfer-Encoding: " + value), 400, 501)
refuse(
    "not last, in two lines",
    rules.LAST_CODING,
    coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
    400,
    501,
)
refuse(
    "not last, identity in the second line",
    rules.LAST_CODING,
    coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    400,
    501,
)
for value in (
    b"gzip",
    b"deflate",
    b"compress",
    b"identity",
    b"br",
    b"x",
    b"xchunked",
    b"chunkedx",
    b"chunke",
    b"chunk",
    b"x-chunked",
    b"chunked-x",
    b"trailers",
    b"cow",
    b"5",
    b"none",
    b"chunked chunked",
    b"chunked gzip",
    b"gzip chunked",
):
    refuse(f"unknown {shown(value)}", rules.CODING, coded(b"Transfer-Encoding: " + value), 501, 400)
for value in (b"gzip, chunked", b"identity, chunked", b"x, chunked", b"deflate, gzip, chunked", b"gzip;q=1, chunked"):
    refuse(f"unknown before chunked {shown(value)}", rules.CODING, coded(b"Transfer-Encoding: " + value), 501, 400)
refuse(
    "unknown in the first line",
    rules.CODING,
    coded(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
    501,
    400,
)
refuse(
    "identity in the first line",
    rules.CODING,
    coded(b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"),
    501,
    400,
)
refuse("an empty first line", rules.CODING, coded(b"Transfer-Encoding:", b"Transfer-Encoding: chunked"), 400, 501)
refuse("an empty second line", rules.CODING, coded(b"Transfer-Encoding: chunked", b"Transfer-Encoding:"), 400, 501)
for value in (
    b"",
    b",",
    b", ,",
    b"chunked,",
    b",chunked",
    b", chunked",
    b"chunked, ",
    b"chunked;",
    b"chunked;q=1",
    b"chunked; q=1",
    b"chunked ;q=1",
    b"chunked;q",
    b"chunked=1",
    b'"chunked"',
    b"'chunked'",
    b"(chunked)",
    b"<chunked>",
    b"[chunked]",
    b"{chunked}",
    b"chunked/",
    b"chunked:",
    b":chunked",
    b"=chunked",
    b"chunked\\",
    b"chunked.",
    b"-chunked",
    b"chun ked",
    b"chun\tked",
    b"chunked\xff",
    b"\xa0chunked",
    b"chunked\xa0",
    b"\x85chunked",
    "chun\u212aed".encode(),
    "\uff43hunked".encode(),
    "chunked\u200b".encode(),
):
    refuse(f"malformed {shown(value) or 'and empty'}", rules.CODING, coded(b"Transfer-Encoding: " + value), 400, 501)
for value in (
    b"\x0bchunked",
    b"\x0cchunked",
    b"chunked\x0b",
    b"chunked\x0c",
    b"chunked\x00",
    b"\x00chunked",
    b"chun\x00ked",
    b"chunked\x1f",
    b"\x1fchunked",
    b"chunked\x7f",
    b"chunked\x08",
):
    refuse(f"a control {shown(value)}", rules.FIELD_VALUE, coded(b"Transfer-Encoding: " + value))
for name, text in {
    "a space": b"Transfer-Encoding : chunked",
    "a tab": b"Transfer-Encoding\t: chunked",
    "a vertical tab": b"Transfer-Encoding\x0b: chunked",
    "a no-break space": b"Transfer-Encoding\xa0: chunked",
    "a NUL": b"Transfer-Encoding\x00: chunked",
}.items():
    refuse(f"{name} before the colon", rules.BEFORE_COLON, coded(text))
    refuse(
        f"{name} before the colon, and a length",
        rules.BEFORE_COLON,
        post(b"Content-Length: 15", text, body=BODY) + HIDDEN,
    )
for name, lines in {
    "before the value": (b"Transfer-Encoding:", b" chunked"),
    "before the value, with a tab": (b"Transfer-Encoding:", b"\tchunked"),
    "behind the value": (b"Transfer-Encoding: chunked", b" "),
    "within a list": (b"Transfer-Encoding: chunked,", b" identity"),
    "between name and colon": (b"Transfer-Encoding", b" : chunked"),
}.items():
    refuse(f"folded {name}", rules.FOLDING, coded(*lines))
refuse("a bare LF before the value", rules.BARE_LF, coded(b"Transfer-Encoding:\nchunked"))
refuse("a bare LF before the name", rules.BARE_LF, coded(b"X: y\nTransfer-Encoding: chunked"))
refuse("a bare LF behind the value", rules.BARE_LF, coded(b"Transfer-Encoding: chunked\nX: y"))
refuse("a bare CR before the value", rules.BARE_CR, coded(b"Transfer-Encoding:\rchunked"))
refuse("a bare CR before the name", rules.BARE_CR, coded(b"X: y\rTransfer-Encoding: chunked"))
refuse("a bare CR behind the value", rules.BARE_CR, coded(b"Transfer-Encoding: chunked\rX: y"))
refuse("a bare CR at the end", rules.BARE_CR, coded(b"Transfer-Encoding: chunked\r"))
for written in (
    b" Transfer-Encoding",
    b"\tTransfer-Encoding",
    b"\x00Transfer-Encoding",
    b"Transfer Encoding",
    b"Transfer-Encoding\xff",
    b"Transfer-Encod\x00ing",
    b"(Transfer-Encoding",
    b"Transfer-Encoding]",
):
    refuse(f"the name {shown(written)}", rules.FIELD_NAME, coded(b"X: y", written + b": chunked"))
accept(
    "an underscore in the name is another field",
    rules.FIELD_NAME,
    post(b"Transfer_Encoding: chunked") + get(),
    Seen(b"POST", fields=((b"host", b"a"), (b"transfer_encoding", b"chunked"))),
    Seen(),
)
accept(
    "X-Transfer-Encoding is another field",
    rules.FIELD_NAME,
    post(b"X-Transfer-Encoding: chunked") + get(),
    posted(b"", x_transfer_encoding=b"chunked"),
    Seen(),
)
for value in (b"chunked", b"gzip", b"gzip, chunked", b"identity", b""):
    raw = message(b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: " + value, body=BODY) + HIDDEN
    refuse(f"in HTTP/1.0, {shown(value) or 'empty'}", rules.OLD_CODING, raw, 400, 501)
refuse(
    "in HTTP/1.0 with keep-alive",
    rules.OLD_CODING,
    message(b"POST / HTTP/1.0", HOST, b"Connection: keep-alive", b"Transfer-Encoding: chunked", body=BODY) + HIDDEN,
)

for method in (b"OPTIONS", b"DELETE", b"PUT", b"TRACE", b"FOO"):
    accept(
        f"of a {method.decode()}",
        rules.CHUNKED,
        message(method + b" / HTTP/1.1", HOST, b"Transfer-Encoding: chunked", body=BODY) + get(),
        Seen(method, fields=pairs(host=b"a", transfer_encoding=b"chunked"), body=b"hello"),
        Seen(),
    )
accept(
    "in HTTP/1.2",
    rules.CHUNKED,
    message(b"POST / HTTP/1.2", HOST, b"Transfer-Encoding: chunked", body=BODY) + get(),
    received(b"hello"),
    Seen(),
)
refuse("a name that goes on in a second line", rules.FIELD_NAME, coded(b"Transfer-", b"Encoding: chunked"))
refuse("no colon", rules.FIELD_NAME, coded(b"Transfer-Encoding chunked"))
