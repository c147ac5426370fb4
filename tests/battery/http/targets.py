"""Targets in their four forms."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, HOST, Seen, Theme, message, pairs, shown

THEME = Theme("target")
refuse, accept = THEME.refuse, THEME.accept


def asked(target: bytes, method: bytes = b"GET", *fields: bytes) -> bytes:
    return message(b"%s %s HTTP/1.1" % (method, target), *(fields or (HOST,)))


for target in (
    b"/x",
    b"/x?y",
    b"/?",
    b"/?x=y&z",
    b"/x/../y",
    b"//x",
    b"/%20",
    b"/%00",
    b"/%0d%0a",
    b"/x;y",
    b"/x:y",
    b"/@",
    b"/*",
    b"/http://a/",
    b"/x?y?z",
    b"/!$&'()*+,;=:@-._~",
    b"/" + b"x" * 2000,
):
    accept(f"a path {shown(target[:40])}", rules.ORIGIN_FORM, asked(target), Seen(target=target))
for target in (
    b"x",
    b"x/y",
    b"?x",
    b"./x",
    b"../x",
    b"\\x",
    b"%2f",
    b"&",
    b"-",
    b"~",
    b":",
    b"@",
    b"//x/../"[2:],
    b":80",
):
    refuse(f"no path {shown(target)}", rules.TARGET, asked(target) + HIDDEN)
for target in (b"/#", b"/x#y", b"/?x#y", b"#", b"#/", b"http://a/#x"):
    refuse(f"a fragment {shown(target)}", rules.ORIGIN_FORM, asked(target) + HIDDEN)
for byte in (*range(0x01, 0x09), 0x00, 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F):
    refuse(f"a path with {shown(byte)}", rules.ORIGIN_FORM, asked(b"/x%cy" % byte) + HIDDEN)
for byte in (0x80, 0x85, 0xA0, 0xE9, 0xFF):
    refuse(f"a path with {shown(byte)}", rules.ORIGIN_FORM, asked(b"/x%cy" % byte) + HIDDEN)
refuse("a path in UTF-8", rules.ORIGIN_FORM, asked("/\u00e9".encode()) + HIDDEN)
refuse("a path that hides CR LF in UTF-8", rules.ORIGIN_FORM, asked("/\u560d\u560a".encode()) + HIDDEN)

for target in (b"http://a/", b"http://a/x?y", b"http://a", b"http://a?x", b"HTTP://a/", b"https://a/"):
    accept(f"a URI {shown(target)}", rules.ABSOLUTE_FORM, asked(target), Seen(target=target))
for target, authority in (
    (b"http://a:80/", b"a:80"),
    (b"http://a:/", b"a:"),
    (b"http://[::1]/", b"[::1]"),
    (b"http://[::1]:80/", b"[::1]:80"),
    (b"http://192.0.2.1/", b"192.0.2.1"),
    (b"http://A.Example/", b"A.Example"),
):
    raw = asked(target, b"GET", b"Host: " + authority)
    accept(f"a URI {shown(target)}", rules.ABSOLUTE_FORM, raw, Seen(target=target, fields=pairs(host=authority)))
accept(
    "a URI with another host than Host",
    rules.ABSOLUTE_FORM,
    asked(b"http://b/", b"GET", HOST),
    Seen(target=b"http://b/", fields=pairs(host=b"b")),
)
refuse("a URI, and no Host", rules.HOST, message(b"GET http://a/ HTTP/1.1") + HIDDEN)
refuse("a URI, and two Hosts", rules.HOST, asked(b"http://a/", b"GET", HOST, HOST) + HIDDEN)
refuse("a URI, and an invalid Host", rules.HOST, asked(b"http://a/", b"GET", b"Host: a b") + HIDDEN)
for target in (
    b"http://",
    b"http:///x",
    b"http:/a",
    b"http:a",
    b"http:",
    b"://a/",
    b"http//a/",
    b"http://:80/",
    b"http://a:b/",
    b"http://a:-1/",
    b"http://a:+80/",
    b"http://[::1/",
    b"http://::1/",
    b"http://]/",
    b"http://a\\b/",
    b"http://a%/",
    b"1http://a/",
):
    refuse(f"no URI {shown(target)}", rules.ABSOLUTE_FORM, asked(target) + HIDDEN)
for target in (b"http://u@a/", b"http://u:p@a/", b"http://@a/", b"http://a@b@c/"):
    refuse(f"user information {shown(target)}", rules.USER_INFO, asked(target) + HIDDEN)

accept("OPTIONS of everything", rules.ASTERISK_FORM, asked(b"*", b"OPTIONS"), Seen(b"OPTIONS", b"*"))
for method in (b"GET", b"POST", b"HEAD", b"options", b"CONNECT", b"DELETE"):
    refuse(f"an asterisk for {shown(method)}", rules.ASTERISK_FORM, asked(b"*", method) + HIDDEN)
for target in (b"**", b"*/", b"*?x", b"*x"):
    refuse(f"an asterisk {shown(target)}", rules.ASTERISK_FORM, asked(target, b"OPTIONS") + HIDDEN)

for target in (
    b"/",
    b"a",
    b"a:",
    b":80",
    b"a:x",
    b"a:-1",
    b"u@a:80",
    b"http://a/",
    b"http://a:80",
    b"a:80/",
    b"a:80?x",
    b"[::1:80",
    b"::1:80",
    b"a:80:80",
):
    refuse(f"CONNECT {shown(target)}", rules.AUTHORITY_FORM, asked(target, b"CONNECT", HOST) + HIDDEN)
for method in (b"GET", b"OPTIONS", b"POST"):
    refuse(f"a host and a port for {shown(method)}", rules.AUTHORITY_FORM, asked(b"a:80", method) + HIDDEN)
accept(
    "CONNECT a:80, which ends HTTP",
    rules.CONNECT,
    asked(b"a:80", b"CONNECT") + HIDDEN,
    Seen(b"CONNECT", b"a:80"),
    end="closed",
)
accept(
    "CONNECT to IPv6",
    rules.CONNECT,
    asked(b"[::1]:80", b"CONNECT") + HIDDEN,
    Seen(b"CONNECT", b"[::1]:80"),
    end="closed",
)
refuse(
    "CONNECT with a length", rules.CONNECT, asked(b"a:80", b"CONNECT", HOST, b"Content-Length: 5") + b"hello" + HIDDEN
)
refuse(
    "CONNECT with chunks",
    rules.CONNECT,
    asked(b"a:80", b"CONNECT", HOST, b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + HIDDEN,
)
