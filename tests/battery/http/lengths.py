"""Content-Length: its value, several of it, and beside Transfer-Encoding."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, HOST, Seen, Theme, get, message, pairs, post, posted, shown

THEME = Theme("length")
refuse, accept = THEME.refuse, THEME.accept
FIVE = b"Content-Length: 5"
CHUNKED = b"Transfer-Encoding: chunked"

for value in (
    b"+5",
    b"-5",
    b"-0",
    b"+0",
    b"0x5",
    b"0X5",
    b"5h",
    b"5_0",
    b"1_0",
    b"_5",
    b"5_",
    b"5.0",
    b"5.",
    b".5",
    b"5e0",
    b"5E1",
    b"0b101",
    b"0o5",
    b"5L",
    b"5 5",
    b"5\t5",
    b"5;",
    b"5;q=1",
    b'"5"',
    b"'5'",
    b"(5)",
    b"a",
    b"A",
    b"five",
    b"",
    b" ",
    b"\t",
    b"-",
    b"+",
    b"--5",
    b"NaN",
    b"inf",
    b"Infinity",
    b"None",
    b"5/1",
    b"%35",
    b"5%",
    b"$5",
    b"5\\",
    b"5:",
    b"=5",
    b"5\x00",
    b"\x005",
    b"\x0b5",
    b"5\x0b",
    b"5\x0c",
    b"5\x1f",
    b"5\xa0",
    b"5\x85",
    "\u0665".encode(),
    "\uff15".encode(),
    "\u00b2".encode(),
    "5\u200b".encode(),
    b"\xb2",
    b"5\x7f",
    b"chunked",
):
    refuse(
        f"the value {shown(value) or 'that is empty'}",
        rules.LENGTH,
        post(b"Content-Length: " + value, body=b"hello") + HIDDEN,
    )
for value in (
    b"5,5",
    b"5, 5",
    b"5 , 5",
    b"5,6",
    b"6, 5",
    b"5,",
    b",5",
    b",",
    b"5,,5",
    b"5, 5, 5",
    b"0, 5",
    b"5, 0",
    b"05, 5",
    b"5, +5",
    b"5, x",
    b"5;5",
):
    refuse(f"a list {shown(value)}", rules.LENGTHS, post(b"Content-Length: " + value, body=b"hello") + HIDDEN)
for first, second in (
    (b"5", b"5"),
    (b"5", b"6"),
    (b"6", b"5"),
    (b"0", b"5"),
    (b"5", b"0"),
    (b"0", b"0"),
    (b"5", b"05"),
    (b"5", b""),
    (b"", b"5"),
    (b"5", b"x"),
):
    raw = post(b"Content-Length: " + first, b"Content-Length: " + second, body=b"hello") + HIDDEN
    refuse(f"two, {shown(first) or 'empty'} and {shown(second) or 'empty'}", rules.LENGTHS, raw)
refuse("two, in other cases", rules.LENGTHS, post(FIVE, b"content-length: 5", body=b"hello") + HIDDEN)
refuse("two, apart", rules.LENGTHS, post(FIVE, b"X: y", b"CONTENT-LENGTH: 5", body=b"hello") + HIDDEN)
refuse("two, of a GET", rules.LENGTHS, get(b"Content-Length: 0", b"Content-Length: 33") + HIDDEN)
refuse("three", rules.LENGTHS, post(FIVE, FIVE, FIVE, body=b"hello") + HIDDEN)

for value in (
    b"18446744073709551615",
    b"18446744073709551616",
    b"18446744073709551621",
    b"9223372036854775808",
    b"4294967301",
    b"9" * 30,
    b"1" + b"0" * 999,
):
    refuse(
        f"a huge one, {len(value)} digits, {shown(value[-3:])}",
        rules.LENGTH,
        post(b"Content-Length: " + value, body=b"hello") + HIDDEN,
        400,
        413,
    )
refuse(
    "5000 digits, more than Python's int takes",
    rules.LENGTH,
    post(b"Content-Length: " + b"1" * 5000, body=b"hello") + HIDDEN,
    400,
    413,
)

accept("5", rules.BODY_LENGTH, post(FIVE, body=b"hello"), posted(b"hello", content_length=b"5"))
accept("0", rules.BODY_LENGTH, post(b"Content-Length: 0"), posted(b"", content_length=b"0"))
accept("00", rules.LENGTH, post(b"Content-Length: 00"), posted(b"", content_length=b"00"))
accept("0005", rules.LENGTH, post(b"Content-Length: 0005", body=b"hello"), posted(b"hello", content_length=b"0005"))
accept(
    "spaces around",
    rules.FIELD_SPACE,
    post(b"Content-Length:\t 5 \t", body=b"hello"),
    posted(b"hello", content_length=b"5"),
)
accept("no space", rules.FIELD_SPACE, post(b"Content-Length:5", body=b"hello"), posted(b"hello", content_length=b"5"))
accept(
    "in upper case", rules.FIELD_NAME, post(b"CONTENT-LENGTH: 5", body=b"hello"), posted(b"hello", content_length=b"5")
)
accept("none, of a POST", rules.BODY_LENGTH, post() + get(), posted(b""), Seen())
accept(
    "a GET with a body",
    rules.BODY_LENGTH,
    get(b"Content-Length: 33") + HIDDEN,
    Seen(fields=pairs(host=b"a", content_length=b"33"), body=HIDDEN),
)
for method in (b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"TRACE", b"FOO"):
    raw = message(method + b" / HTTP/1.1", HOST, b"Content-Length: 33") + HIDDEN
    accept(
        f"a {method.decode()} with a body",
        rules.BODY_LENGTH,
        raw,
        Seen(method, fields=pairs(host=b"a", content_length=b"33"), body=HIDDEN),
    )
accept(
    "a body of a request's bytes, and one behind it",
    rules.BODY_LENGTH,
    post(b"Content-Length: 33", body=HIDDEN) + get(),
    posted(HIDDEN, content_length=b"33"),
    Seen(),
)
accept(
    "a body of CR LF",
    rules.BODY_LENGTH,
    post(b"Content-Length: 2", body=b"\r\n") + get(),
    posted(b"\r\n", content_length=b"2"),
    Seen(),
)
accept(
    "a body of all bytes",
    rules.BODY_LENGTH,
    post(b"Content-Length: 256", body=bytes(range(256))),
    posted(bytes(range(256)), content_length=b"256"),
)
accept(
    "of another name",
    rules.BODY_LENGTH,
    post(b"X-Content-Length: 33") + get(),
    posted(b"", x_content_length=b"33"),
    Seen(),
)
accept(
    "with an underscore",
    rules.BODY_LENGTH,
    post(b"Content_Length: 33") + get(),
    Seen(b"POST", fields=((b"content_length", b"33"), (b"host", b"a"))),
    Seen(),
)
refuse(
    "one byte more than it says",
    rules.AFTER_ERROR,
    post(FIVE, body=b'hello"') + HIDDEN,
    after=(posted(b"hello", content_length=b"5"),),
)
THEME.wait("one byte less than it says", rules.INCOMPLETE, post(FIVE, body=b"hell"))
THEME.wait("a request where the body is missing", rules.INCOMPLETE, post(b"Content-Length: 100", body=HIDDEN))
refuse("a space before the colon", rules.BEFORE_COLON, post(b"Content-Length : 5", body=b"hello") + HIDDEN)
refuse("a tab before the colon", rules.BEFORE_COLON, post(b"Content-Length\t: 5", body=b"hello") + HIDDEN)
refuse("folded", rules.FOLDING, post(b"Content-Length:", b" 5", body=b"hello") + HIDDEN)
refuse("folded digits", rules.FOLDING, post(b"Content-Length: 5", b" 5", body=b"hello") + HIDDEN)
refuse("a NUL in the name", rules.FIELD_NAME, post(b"Content\x00-Length: 5", body=b"hello") + HIDDEN)
refuse("a bare CR before it", rules.BARE_CR, post(b"X: y\rContent-Length: 5", body=b"hello") + HIDDEN)

for name, length, coding in (
    ("both", FIVE, CHUNKED),
    ("both, the coding first", CHUNKED, FIVE),
    ("both, length 0", b"Content-Length: 0", CHUNKED),
    ("both, a huge length", b"Content-Length: 99999999999", CHUNKED),
    ("both, an invalid length", b"Content-Length: x", CHUNKED),
    ("both, an empty length", b"Content-Length:", CHUNKED),
    ("both, coding in upper case", FIVE, b"TRANSFER-ENCODING: CHUNKED"),
    ("both, an empty coding", FIVE, b"Transfer-Encoding:"),
    ("both, coding identity", FIVE, b"Transfer-Encoding: identity"),
    ("both, coding gzip", FIVE, b"Transfer-Encoding: gzip"),
    ("both, coding xchunked", FIVE, b"Transfer-Encoding: xchunked"),
    ("both, coding gzip and chunked", FIVE, b"Transfer-Encoding: gzip, chunked"),
    ("both, a vertical tab before the coding", FIVE, b"Transfer-Encoding: \x0bchunked"),
    ("both, a space before the colon", FIVE, b"Transfer-Encoding : chunked"),
    ("both, a tab before the coding", FIVE, b"Transfer-Encoding:\tchunked"),
    ("both, a folded coding", FIVE, b"Transfer-Encoding:\r\n chunked"),
    ("both, a NUL behind the coding", FIVE, b"Transfer-Encoding: chunked\x00"),
    ("both, a bare LF between", b"Content-Length: 5\nTransfer-Encoding: chunked", b"X: y"),
    ("both, a bare CR between", b"Content-Length: 5\rTransfer-Encoding: chunked", b"X: y"),
):
    statuses = (400, 501) if "coding gzip" in name or "identity" in name or "xchunked" in name else (400,)
    refuse(name, rules.LENGTH_AND_CODING, post(length, coding, body=b"0\r\n\r\n") + HIDDEN, *statuses)
refuse(
    "both, in HTTP/1.0", rules.OLD_CODING, message(b"POST / HTTP/1.0", HOST, FIVE, CHUNKED, body=b"0\r\n\r\n") + HIDDEN
)
refuse("both, of a GET", rules.LENGTH_AND_CODING, get(b"Content-Length: 5", CHUNKED) + b"0\r\n\r\n" + HIDDEN)
accept(
    "010, which is no octal number",
    rules.LENGTH,
    post(b"Content-Length: 010", body=b"0123456789") + get(),
    posted(b"0123456789", content_length=b"010"),
    Seen(),
)
refuse("no colon", rules.FIELD_NAME, post(b"Content-Length 33") + HIDDEN)
refuse("a name that goes on in a second line", rules.FIELD_NAME, post(b"Content-", b"Length: 33") + HIDDEN)
refuse("behind an empty name", rules.FIELD_NAME, post(b":", b"Content-Length: 33") + HIDDEN)
refuse(
    "both, a comma before the coding",
    rules.LENGTH_AND_CODING,
    post(FIVE, b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n") + HIDDEN,
)
