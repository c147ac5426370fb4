"""The field Host."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, HOST, Seen, Theme, message, pairs, shown

THEME = Theme("Host")
refuse, accept = THEME.refuse, THEME.accept
LINE = b"GET / HTTP/1.1"

for value in (
    b"a",
    b"a.example",
    b"A.Example",
    b"a:80",
    b"a:",
    b"a:65535",
    b"192.0.2.1",
    b"192.0.2.1:80",
    b"[::1]",
    b"[::1]:80",
    b"[2001:db8::1]",
    b"a_b",
    b"-a",
    b"xn--a",
    b"a.",
    b"%61",
    b"localhost",
):
    accept(f"{shown(value)}", rules.HOST, message(LINE, b"Host: " + value), Seen(fields=pairs(host=value)))
accept("in lower case", rules.FIELD_NAME, message(LINE, b"host: a"))
accept("in upper case", rules.FIELD_NAME, message(LINE, b"HOST: a"))
accept("without a space", rules.FIELD_SPACE, message(LINE, b"Host:a"))
accept("with spaces and tabs around", rules.FIELD_SPACE, message(LINE, b"Host: \t a \t "))
accept("empty", rules.HOST, message(LINE, b"Host:"), Seen(fields=pairs(host=b"")))
accept("last of many", rules.HOST, message(LINE, b"X: y", HOST), Seen(fields=pairs(host=b"a", x=b"y")))
accept("none in HTTP/1.0", rules.HOST, message(b"GET / HTTP/1.0"), Seen(fields=()), end="closed")
refuse("none", rules.HOST, message(LINE) + HIDDEN)
refuse("none, but another field", rules.HOST, message(LINE, b"X-Host: a") + HIDDEN)
refuse("none in HTTP/1.2", rules.HOST, message(b"GET / HTTP/1.2") + HIDDEN)
for name, fields in {
    "two equal": (HOST, HOST),
    "two that differ": (HOST, b"Host: b"),
    "two, one in lower case": (HOST, b"host: a"),
    "two, one empty": (b"Host:", HOST),
    "two, apart": (HOST, b"X: y", b"Host: b"),
    "three": (HOST, HOST, HOST),
}.items():
    refuse(name, rules.HOST, message(LINE, *fields) + HIDDEN)
    refuse(f"{name}, in HTTP/1.0", rules.HOST, message(b"GET / HTTP/1.0", *fields) + HIDDEN)
for value in (
    b"a b",
    b"a\tb",
    b"a/",
    b"a/b",
    b"/",
    b"a?b",
    b"a#b",
    b"a@b",
    b"u:p@a",
    b"@",
    b"a\\b",
    b"a:b",
    b"a:80:80",
    b"a:-80",
    b"a:+80",
    b"a: 80",
    b"a :80",
    b"a:8_0",
    b"::1",
    b"[::1",
    b"::1]",
    b"[::1]x",
    b"[::1]:x",
    b"[a",
    b"a]",
    b"[]",
    b"[::1]80",
    b'"a"',
    b"<a>",
    b"{a}",
    b"a|b",
    b"a^b",
    b"a`b",
    b"http://a",
    b"http://a/",
    b"a%",
    b"a%2",
    b"a%zz",
    b"a\x80",
    b"\xff",
    "\u00e9.example".encode(),
    b"a\x00b",
    b"a\x01b",
    b"a\x7fb",
    b"a, b",
    b"a b:80",
    "a:\u0668\u0660".encode(),
):
    refuse(f"no host {shown(value)}", rules.HOST, message(LINE, b"Host: " + value) + HIDDEN)
refuse("folded", rules.FOLDING, message(LINE, b"Host:", b" a") + HIDDEN)
refuse("a space before the colon", rules.BEFORE_COLON, message(LINE, b"Host : a") + HIDDEN)
refuse("a space before the colon, beside a good one", rules.BEFORE_COLON, message(LINE, HOST, b"Host : b") + HIDDEN)
refuse("a NUL behind the name, beside a good one", rules.FIELD_NAME, message(LINE, HOST, b"Host\x00: b") + HIDDEN)
