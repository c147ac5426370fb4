"""Request lines: spaces, methods, versions, line ends, and what other protocols say first."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import CRLF, HIDDEN, HOST, Seen, Theme, get, message, shown

THEME = Theme("request line")
refuse, accept = THEME.refuse, THEME.accept


def line(text: bytes) -> bytes:
    return message(text, HOST)


for name, text in {
    "two spaces before the target": b"GET  / HTTP/1.1",
    "two spaces before the version": b"GET /  HTTP/1.1",
    "a space in front": b" GET / HTTP/1.1",
    "a tab in front": b"\tGET / HTTP/1.1",
    "a space behind": b"GET / HTTP/1.1 ",
    "a tab behind": b"GET / HTTP/1.1\t",
    "a tab before the target": b"GET\t/ HTTP/1.1",
    "a tab before the version": b"GET /\tHTTP/1.1",
    "a vertical tab for a space": b"GET\x0b/ HTTP/1.1",
    "a form feed for a space": b"GET /\x0cHTTP/1.1",
    "a no-break space of Latin-1": b"GET\xa0/ HTTP/1.1",
    "no target": b"GET HTTP/1.1",
    "an empty target": b"GET  HTTP/1.1",
    "no method": b"/ HTTP/1.1",
    "an empty method": b" / HTTP/1.1",
    "a method alone": b"GET",
    "a method and a space": b"GET ",
    "four words": b"GET / /x HTTP/1.1",
    "two versions": b"GET / HTTP/1.1 HTTP/1.1",
    "words behind the version": b"GET / HTTP/1.1 x",
    "a colon behind the version": b"GET / HTTP/1.1:",
    "a field in its place": b"Host: a",
    "spaces alone": b"   ",
    "a quoted target": b'GET "/ x" HTTP/1.1',
    "an absolute URI with a space": b"GET http://a/ x HTTP/1.1",
    "a byte order mark": b"\xef\xbb\xbfGET / HTTP/1.1",
    "wide characters": "GET / HTTP/1.1".encode("utf-16-le"),
    "a whole request in the target": b"GET /x HTTP/1.1 GET / HTTP/1.1",
}.items():
    refuse(name, rules.REQUEST_LINE, line(text) + HIDDEN)

for name, text in {
    "of HTTP/0.9, without a version": b"GET /",
    "of HTTP/0.9, with a space": b"GET / ",
}.items():
    refuse(name, rules.VERSION, text + CRLF + HIDDEN)
    refuse(f"{name}, and fields", rules.VERSION, line(text) + HIDDEN)

for version in (
    b"HTTP/1.10",
    b"HTTP/1.32",
    b"HTTP/4294967297.1",
    b"HTTP/1.4294967297",
    b"HTTP/1.01",
    b"HTTP/01.1",
    b"HTTP/11.1",
    b"HTTP/1.",
    b"HTTP/.1",
    b"HTTP/1",
    b"HTTP/",
    b"HTTP",
    b"HTTP/1,1",
    b"HTTP/1.1.1",
    b"HTTP/1.x",
    b"HTTP/x.1",
    b"HTTP/-1.1",
    b"HTTP/1.-1",
    b"HTTP/+1.1",
    b"HTTP/1 .1",
    b"HTTP/ 1.1",
    b"HTTP /1.1",
    b"HTTP\\1.1",
    b"HTTP//1.1",
    b"http/1.1",
    b"Http/1.1",
    b"HTTp/1.1",
    b"HTTPS/1.1",
    b"HTTP/1_1",
    b"HTTP/1.1\x00",
    b"HTTP/1.\x001",
    b"HTTP/1.1\x0b",
    b"\x00HTTP/1.1",
    b"XHTTP/1.1",
    b"HTTP-1.1",
    "HTTP/1.\u0661".encode(),
    "HTTP/\uff11.1".encode(),
    b"HTTP/1.\xb9",
    b"RTSP/1.0",
    b"SIP/2.0",
    b"ICY/1.1",
):
    refuse(f"version {shown(version)}", rules.VERSION, line(b"GET / " + version) + HIDDEN)
for version in (b"HTTP/0.9", b"HTTP/0.1", b"HTTP/2.0", b"HTTP/2.1", b"HTTP/3.0", b"HTTP/9.9"):
    refuse(f"version {shown(version)}", rules.MAJOR_VERSION, line(b"GET / " + version) + HIDDEN, 505)
for version in (b"HTTP/1.2", b"HTTP/1.9"):
    accept(f"version {shown(version)}", rules.MINOR_VERSION, line(b"GET / " + version))

for method in (
    b"GET",
    b"PUT",
    b"PATCH",
    b"DELETE",
    b"get",
    b"Get",
    b"FOO",
    b"M-SEARCH",
    b"X",
    b"!#$%&'*+-.^_`|~",
    b"0123456789",
    b"PROPFIND",
    b"TRACE",
    b"GETT",
    b"A" * 64,
):
    accept(f"method {shown(method)}", rules.METHOD, line(method + b" / HTTP/1.1"), Seen(method))
for byte in b'"(),/:;<=>?@[\\]{}':
    text = b"GE%cT" % byte
    refuse(f"method {shown(text)}", rules.METHOD, line(text + b" / HTTP/1.1") + HIDDEN)
for byte in (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F, 0x80, 0xFF):
    refuse(f"method with {shown(byte)}", rules.METHOD, line(b"GE%cT / HTTP/1.1" % byte) + HIDDEN)
    refuse(f"method with {shown(byte)} in front", rules.METHOD, line(b"%cGET / HTTP/1.1" % byte) + HIDDEN)

accept("one empty line in front", rules.EMPTY_LINES, CRLF + get())
accept("an empty line between two requests", rules.EMPTY_LINES, get() + CRLF + get(), Seen(), Seen())
refuse("a thousand empty lines in front", rules.EMPTY_LINES, CRLF * 1000 + get())
refuse("a bare LF in front", rules.BARE_LF, b"\n" + get())
refuse("a bare LF in front, behind an empty line", rules.BARE_LF, CRLF + b"\n" + get())
refuse("a bare CR in front", rules.BARE_CR, b"\r" + get())
refuse("two CR in front", rules.BARE_CR, b"\r\r\n" + get())
refuse("LF CR in front", rules.BARE_LF, b"\n\r" + get())
refuse("a line of one space in front", rules.EMPTY_LINES, b" \r\n" + get())
refuse("a line of a NUL in front", rules.EMPTY_LINES, b"\x00\r\n" + get())

refuse("ended by a bare LF", rules.BARE_LF, b"GET / HTTP/1.1\nHost: a\r\n\r\n" + HIDDEN)
refuse("ended by LF CR", rules.BARE_LF, b"GET / HTTP/1.1\n\rHost: a\r\n\r\n" + HIDDEN)
refuse("ended by a bare CR", rules.BARE_CR, b"GET / HTTP/1.1\rHost: a\r\n\r\n" + HIDDEN)
refuse("ended by CR CR LF", rules.BARE_CR, b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n" + HIDDEN)
refuse("a bare LF behind the method", rules.BARE_LF, line(b"GET\n/ HTTP/1.1") + HIDDEN)
refuse("a bare LF behind the target", rules.BARE_LF, line(b"GET /\nHTTP/1.1") + HIDDEN)
refuse("a bare CR behind the method", rules.BARE_CR, line(b"GET\r/ HTTP/1.1") + HIDDEN)
refuse("a bare CR behind the target", rules.BARE_CR, line(b"GET /\rHTTP/1.1") + HIDDEN)
refuse("a bare CR in the target", rules.BARE_CR, line(b"GET /x\ry HTTP/1.1") + HIDDEN)
refuse("a bare CR in the version", rules.BARE_CR, line(b"GET / HTTP/1\r.1") + HIDDEN)
refuse("a bare CR in the method", rules.BARE_CR, line(b"G\rET / HTTP/1.1") + HIDDEN)
refuse("a request in a bare LF's shadow", rules.BARE_LF, b"GET / HTTP/1.1\nHost: a\n\n" + HIDDEN)

for byte in b" \t":
    refuse(
        f"{shown(byte)} before the first field",
        rules.BEFORE_FIELDS,
        message(b"GET / HTTP/1.1", b"%cHost: a" % byte, HOST) + HIDDEN,
    )
    refuse(
        f"a line of {shown(byte)} before the first field",
        rules.BEFORE_FIELDS,
        message(b"GET / HTTP/1.1", bytes([byte]), HOST) + HIDDEN,
    )
refuse("a version of its own line", rules.BEFORE_FIELDS, message(b"GET / HTTP/1.1", b" HTTP/1.1", HOST) + HIDDEN)

refuse("the preface of HTTP/2", rules.MAJOR_VERSION, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, 400)
for name, text in {
    "TLS": b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" + bytes(range(64)) + CRLF + CRLF,
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "SMTP": b"EHLO a\r\n",
    "SIP": b"INVITE sip:a SIP/2.0\r\nHost: a\r\n\r\n",
    "the PROXY protocol": b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(),
    "an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "memcached": b"set x 0 0 1\r\ny\r\n",
    "Redis": b"*1\r\n$4\r\nPING\r\n",
    "JSON": b'{"method": "GET"}\r\n',
}.items():
    refuse(name, rules.OTHER_PROTOCOL, text + CRLF)
