"""Field lines: names, values, folds, line ends."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import CRLF, HIDDEN, HOST, Seen, Theme, get, pairs, shown

THEME = Theme("field")
refuse, accept = THEME.refuse, THEME.accept
START = b"GET / HTTP/1.1\r\n"
CONTROLS = (*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)


def read(**fields: bytes | tuple[bytes, ...]) -> Seen:
    return Seen(fields=pairs(host=b"a", **fields))


for byte in CONTROLS:
    refuse(f"a value with {shown(byte)}", rules.FIELD_VALUE, get(b"X: y%cz" % byte) + HIDDEN)
for byte in (0x00, 0x0B, 0x0C, 0x1C, 0x7F):
    refuse(f"a value that begins with {shown(byte)}", rules.FIELD_VALUE, get(b"X: %cy" % byte) + HIDDEN)
    refuse(f"a value that ends with {shown(byte)}", rules.FIELD_VALUE, get(b"X: y%c" % byte) + HIDDEN)
    refuse(f"a value of {shown(byte)} alone", rules.FIELD_VALUE, get(b"X:%c" % byte) + HIDDEN)
for byte in b'"(),/;<=>?@[\\]{} \t':
    refuse(f"a name with {shown(byte)}", rules.FIELD_NAME, get(b"X%cY: z" % byte) + HIDDEN)
for byte in (0x00, 0x01, 0x08, 0x0B, 0x0C, 0x1B, 0x1F, 0x7F, 0x80, 0xA0, 0xFF):
    refuse(f"a name with {shown(byte)}", rules.FIELD_NAME, get(b"X%cY: z" % byte) + HIDDEN)
    refuse(f"a name that begins with {shown(byte)}", rules.FIELD_NAME, get(b"%cX: z" % byte) + HIDDEN)
    refuse(f"a name that ends with {shown(byte)}", rules.FIELD_NAME, get(b"X%c: z" % byte) + HIDDEN)
refuse("a name in UTF-8", rules.FIELD_NAME, get("\u00e9: y".encode()) + HIDDEN)
refuse("a Kelvin sign for a k", rules.FIELD_NAME, get("Coo\u212aie: y".encode()) + HIDDEN)
refuse("no name", rules.FIELD_NAME, get(b": y") + HIDDEN)
refuse("a colon alone", rules.FIELD_NAME, get(b":") + HIDDEN)
refuse("no colon", rules.FIELD_NAME, get(b"X") + HIDDEN)
refuse("no colon, but a space", rules.FIELD_NAME, get(b"X y") + HIDDEN)
refuse("no colon, but an equals sign", rules.FIELD_NAME, get(b"X=y") + HIDDEN)
refuse("a request line in its place", rules.FIELD_NAME, get(b"GET /hidden HTTP/1.1") + HIDDEN)
for name, text in {
    "a space": b"X : y",
    "two spaces": b"X  : y",
    "a tab": b"X\t: y",
    "a vertical tab": b"X\x0b: y",
    "a form feed": b"X\x0c: y",
    "a no-break space": b"X\xa0: y",
}.items():
    refuse(f"{name} before the colon", rules.BEFORE_COLON, get(text) + HIDDEN)

for text in (b"X:y", b"X: y", b"X:\ty", b"X:  y  ", b"X: \t y\t \t", b"x: y"):
    accept(f"spaces around {shown(text)}", rules.FIELD_SPACE, get(text), read(x=b"y"))
for text in (b"X:", b"X: ", b"X: \t "):
    accept(f"no value {shown(text)}", rules.FIELD_SPACE, get(text), read(x=b""))
for value in (
    b"y z",
    b"y\tz",
    b"y:z",
    b":",
    b"::",
    b'"y"',
    b"y, z",
    b"(y)",
    b"y;z=1",
    b"\x80",
    b"\xe9t\xe9",
    "\u00e9".encode(),
    b"\xff",
    b"y=\\z",
    b"{}",
):
    accept(f"a value {shown(value)}", rules.FIELD_VALUE, get(b"X: " + value), read(x=value))
for token in (b"!#$%&'*+-.^_`|~", b"0", b"_", b"-", b"X.Y"):
    fields = tuple(sorted([(b"host", b"a"), (token.lower(), b"y")]))
    accept(f"a name {shown(token)}", rules.FIELD_NAME, get(token + b": y"), Seen(fields=fields))
accept("two of one name", rules.FIELD_ORDER, get(b"X: 1", b"X: 2"), read(x=(b"1", b"2")))
accept(
    "three of one name, apart, in any case",
    rules.FIELD_ORDER,
    get(b"X: 3", b"Y: 0", b"x: 1", b"X: 2"),
    read(x=(b"3", b"1", b"2"), y=b"0"),
)

for byte in b" \t":
    for name, lines in {
        "a value that goes on": (b"X: y", b"%cz" % byte),
        "a value that begins in the second line": (b"X:", b"%cy" % byte),
        "a line of white space": (b"X: y", b"%c" % byte),
        "a line of white space at the end": (b"X: y", b"%c%c" % (byte, byte)),
        "a colon in the second line": (b"X: y", b"%cContent-Length: 5" % byte),
        "a name that goes on": (b"X", b"%c: y" % byte),
        "three lines": (b"X: 1", b"%c2" % byte, b"%c3" % byte),
    }.items():
        refuse(f"folded with {shown(byte)}, {name}", rules.FOLDING, get(*lines) + HIDDEN)

for name, text in {
    "a bare LF in a value": b"X: y\nz",
    "a bare LF behind a value": b"X: y\nY: z",
    "a bare LF in a name": b"X\nY: z",
    "a bare LF behind the colon": b"X:\ny",
    "a bare LF and a length": b"X: y\nContent-Length: 33",
    "LF CR": b"X: y\n\rY: z",
    "two bare LF and a request": b"X: y\n\nGET /hidden HTTP/1.1\nHost: a\n\n",
    "a line of LF alone": b"\nX: y",
}.items():
    refuse(name, rules.BARE_LF, get(text) + HIDDEN)
for name, text in {
    "a bare CR in a value": b"X: y\rz",
    "a bare CR in front of a value": b"X: \ry",
    "a bare CR behind a value": b"X: y\r",
    "a bare CR and a field": b"X: y\rY: z",
    "a bare CR and a length": b"X: y\rContent-Length: 33",
    "a bare CR in a name": b"X\rY: z",
    "a bare CR before the colon": b"X\r: z",
    "a bare CR in front of a name": b"\rX: y",
    "a bare CR for a line": b"\r\rX: y",
}.items():
    refuse(name, rules.BARE_CR, get(text) + HIDDEN)
refuse("the head ends with LF LF", rules.BARE_LF, START + HOST + b"\n\n" + HIDDEN)
refuse("the head ends with CR LF LF", rules.BARE_LF, START + HOST + b"\r\n\n" + HIDDEN)
refuse("the head ends with LF CR LF", rules.BARE_LF, START + HOST + b"\n\r\n" + HIDDEN)
refuse("the head ends with CR CR", rules.BARE_CR, START + HOST + b"\r\r" + HIDDEN)
refuse("the head ends with CR LF CR CR LF", rules.BARE_CR, START + HOST + b"\r\n\r\r\n" + HIDDEN)
refuse("the head ends with CR LF CR and a request", rules.BARE_CR, START + HOST + b"\r\n\r" + HIDDEN)
refuse("the empty line holds a NUL", rules.FIELD_NAME, START + HOST + b"\r\n\x00\r\n" + HIDDEN)
THEME.wait("a head without its empty line", rules.INCOMPLETE, START + HOST + CRLF)
THEME.wait("a head that ends within a line", rules.INCOMPLETE, START + b"Hos")
THEME.wait("a head that ends with CR", rules.INCOMPLETE, START + HOST + b"\r\n\r")
