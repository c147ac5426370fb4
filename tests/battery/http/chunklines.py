"""Chunks: sizes, extensions, and the ends of their data."""

from __future__ import annotations

from tests.battery.http import rules
from tests.battery.http.cases import HIDDEN, Seen, Theme, chunked, get, received, shown

THEME = Theme("chunk")
refuse, accept, wait = THEME.refuse, THEME.accept, THEME.wait
END = b"0\r\n\r\n"


def sized(size: bytes, data: bytes = b"hello") -> bytes:
    return chunked(size + b"\r\n" + data + b"\r\n" + END) + HIDDEN


for size in (b"5", b"05", b"005", b"0000000000000005"):
    accept(
        f"size {shown(size)}",
        rules.CHUNK_SIZE,
        chunked(size + b"\r\nhello\r\n" + END) + get(),
        received(b"hello"),
        Seen(),
    )
for size, length in ((b"a", 10), (b"A", 10), (b"1f", 31), (b"1F", 31), (b"Ff", 255), (b"100", 256)):
    accept(
        f"size {shown(size)}",
        rules.CHUNK_SIZE,
        chunked(size + b"\r\n" + b"x" * length + b"\r\n" + END) + get(),
        received(b"x" * length),
        Seen(),
    )
for last in (b"0", b"00", b"000", b"0000000000000000"):
    accept(f"last {shown(last)}", rules.CHUNK_SIZE, chunked(last + b"\r\n\r\n") + get(), received(b""), Seen())
for size in (
    b"0x5",
    b"0X5",
    b"x5",
    b"5h",
    b"5x",
    b"+5",
    b"-5",
    b"-0",
    b"+0",
    b"5_0",
    b"0_5",
    b"_5",
    b"5_",
    b"5.",
    b"5.0",
    b"5g",
    b"g",
    b"z",
    b"h5",
    b"#5",
    b"$5",
    b"5,",
    b"5,5",
    b"5:",
    b'"5"',
    b"(5)",
    b"5=",
    b"=5",
    b"%35",
    b"5%",
    b"5\\",
    b"5/",
    b"five",
    b"5L",
    b"",
    b" ",
    b"\t",
    b"\x00",
    b"5\x00",
    b"\x005",
    b"5\x0b",
    b"\x0b5",
    b"5\x0c",
    b"5\x1f",
    b"5\x7f",
    b"5\xa0",
    b"\xa05",
    b"5\x85",
    "\u0665".encode(),
    "\uff15".encode(),
    "\u00b2".encode(),
    b"\xb2",
    "5\u200b".encode(),
    b" 5",
    b"\t5",
    b"5 ",
    b"5\t",
    b"5  ",
    b"5 5",
    b"5 x",
    b"5\t5",
    b"5 hello",
    b"5: x",
    b"0x",
    b"5\x1c",
    b"5\x1e",
):
    refuse(f"size {shown(size) or 'that is empty'}", rules.CHUNK_SIZE, sized(size))
for last in (
    b"-0",
    b"+0",
    b"0x0",
    b"0x",
    b"0 ",
    b" 0",
    b"0\t",
    b"0.0",
    b"0_0",
    b"0L",
    b"0g",
    b"\x000",
    b"0\x00",
    b"O",
    "\u0660".encode(),
):
    refuse(f"last {shown(last)}", rules.CHUNK_SIZE, chunked(b"5\r\nhello\r\n" + last + b"\r\n\r\n") + HIDDEN)
for size in (
    b"00000000000000005",
    b"0" * 20 + b"5",
    b"10000000000000005",
    b"1" + b"0" * 16,
    b"f" * 17,
    b"f" * 32,
    b"f" * 200,
    b"0" * 17,
):
    refuse(f"{len(size)} digits, {shown(size[:2])} to {shown(size[-1:])}", rules.CHUNK_SIZE, sized(size), 400, 413)
for size in (b"ffffffffffffffff", b"8000000000000000", b"7fffffffffffffff", b"100000005", b"fffffffffffffff5"):
    wait(f"a huge one {shown(size)}", rules.CHUNK_SIZE, sized(size))

for extension in (
    b";a",
    b";a=b",
    b";a=b;c=d",
    b";a;b;c",
    b';a="b"',
    b';a="b;c"',
    b';a="b c"',
    b';a="\\""',
    b';a="\\\\"',
    b';a=""',
    b';a="\xe9"',
    b";a-b=c.d",
    b';a="b\tc"',
    b";0",
    b";5=5",
):
    raw = b"5" + extension + b"\r\nhello\r\n0" + extension + b"\r\n\r\n"
    accept(f"extension {shown(extension)}", rules.CHUNK_EXTENSION, chunked(raw) + get(), received(b"hello"), Seen())
for extension in (
    b";",
    b";;",
    b";;a",
    b";a;",
    b";=",
    b";=b",
    b";a=",
    b";a=;b",
    b";a==b",
    b";a=b=c",
    b";a=b c",
    b";a b",
    b';a="b',
    b';a=b"',
    b';a="b"c',
    b';a="b""c"',
    b';a="\\',
    b';"a"',
    b";a=(b)",
    b";a/b",
    b";a=b/c",
    b";a,b",
    b";a=b,c",
    b";a:b",
    b";\x00",
    b";a\x00",
    b";a=\x00",
    b';a="\x00"',
    b';a="\\\x00"',
    b";a\x0b",
    b";a=b\x0b",
    b";a\x7f",
    b';a="\x7f"',
    b";a\xff",
    b";\xe9=b",
    b";a=\xe9",
    b";a=b\x1f",
    b" a=b",
    b"\ta",
    b"=5",
    b":a=b",
    b",a",
):
    refuse(f"extension {shown(extension)}", rules.CHUNK_EXTENSION, sized(b"5" + extension))
    if extension[:1] == b";":
        refuse(
            f"extension {shown(extension)} of the last",
            rules.CHUNK_EXTENSION,
            chunked(b"5\r\nhello\r\n0" + extension + b"\r\n\r\n") + HIDDEN,
        )
for extension in (
    b";a=" + b"b" * 300,
    b";a" * 200,
    b';a="' + b"b" * 300 + b'"',
    b";" + b"a" * 300,
    b";a=" + b"b" * 5000,
):
    refuse(
        f"an extension of {len(extension)} bytes, {shown(extension[:6])}",
        rules.CHUNK_EXTENSION,
        sized(b"5" + extension),
        400,
        413,
        431,
    )

for name, raw in {
    "LF in an extension": b"5;a\nb\r\nhello\r\n",
    "LF behind an extension": b"5;a=b\nhello\r\n",
    "LF in a quoted extension": b'5;a="b\nc"\r\nhello\r\n',
    "LF and a request in an extension": b"5;\nGET /hidden HTTP/1.1\r\nhello\r\n",
    "LF behind a size": b"5\nhello\r\n",
    "LF behind the data": b"5\r\nhello\n",
    "LF CR behind a size": b"5\n\rhello\r\n",
    "LF CR behind the data": b"5\r\nhello\n\r",
    "LF before a size": b"\n5\r\nhello\r\n",
    "LF everywhere": b"5\nhello\n",
}.items():
    refuse(name, rules.BARE_LF, chunked(raw + END) + HIDDEN)
for name, raw in {
    "CR in an extension": b"5;a\rb\r\nhello\r\n",
    "CR behind an extension": b"5;a=b\r\r\nhello\r\n",
    "CR in a quoted extension": b'5;a="b\rc"\r\nhello\r\n',
    "CR behind a size": b"5\rhello\r\n",
    "CR CR LF behind a size": b"5\r\r\nhello\r\n",
    "CR X behind a size": b"5\rXhello\r\n",
    "CR before a size": b"\r5\r\nhello\r\n",
    "CR behind the data": b"5\r\nhello\r",
    "CR CR LF behind the data": b"5\r\nhello\r\r\n",
}.items():
    refuse(name, rules.BARE_CR, chunked(raw + END) + HIDDEN)
refuse("LF behind the last size", rules.BARE_LF, chunked(b"5\r\nhello\r\n0\n\r\n") + HIDDEN)
refuse("LF behind the last size and at the end", rules.BARE_LF, chunked(b"5\r\nhello\r\n0\n\n") + HIDDEN)
refuse("CR behind the last size", rules.BARE_CR, chunked(b"5\r\nhello\r\n0\r\r\n\r\n") + HIDDEN)

for name, raw in {
    "nothing": b"5\r\nhello" + END,
    "one byte more": b"5\r\nhello!\r\n" + END,
    "two bytes more": b"5\r\nhelloXY" + END,
    "many bytes more": b"5\r\nhello, this is more\r\n" + END,
    "one byte less": b"5\r\nhell\r\n" + END,
    "an empty line more": b"5\r\nhello\r\n\r\n" + END,
    "a size in their place": b"5\r\nhello05\r\nhello\r\n" + END,
    "a space before CR LF": b"5\r\nhello \r\n" + END,
    "a NUL before CR LF": b"5\r\nhello\x00\r\n" + END,
    "another chunk without CR LF": b"5\r\nhello5\r\nhello\r\n" + END,
}.items():
    refuse(f"behind the data: {name}", rules.CHUNK_END, chunked(raw) + HIDDEN)
refuse("the empty line comes first", rules.CHUNK_SIZE, chunked(b"\r\n5\r\nhello\r\n" + END) + HIDDEN)
refuse("no chunks, but the next request", rules.CHUNK_SIZE, chunked(HIDDEN))
refuse("data without a size", rules.CHUNK_SIZE, chunked(b"hello\r\n" + END) + HIDDEN)
refuse("bytes behind the last size", rules.TRAILERS, chunked(b"0\r\nX\r\n\r\n") + HIDDEN)
refuse("a request behind the last size", rules.TRAILERS, chunked(b"0\r\n" + HIDDEN))

accept(
    "two chunks",
    rules.CHUNKED,
    chunked(b"5\r\nhello\r\n7\r\n, world\r\n" + END) + get(),
    received(b"hello, world"),
    Seen(),
)
accept("chunks of a byte", rules.CHUNKED, chunked(b"1\r\nx\r\n" * 100 + END) + get(), received(b"x" * 100), Seen())
accept("data of CR LF", rules.CHUNKED, chunked(b"4\r\n\r\n\r\n\r\n" + END) + get(), received(b"\r\n\r\n"), Seen())
accept(
    "data of a last chunk", rules.CHUNKED, chunked(b"5\r\n0\r\n\r\n\r\n" + END) + get(), received(b"0\r\n\r\n"), Seen()
)
accept(
    "data of a request", rules.CHUNKED, chunked(b"21\r\n" + HIDDEN + b"\r\n" + END) + get(), received(HIDDEN), Seen()
)
accept("data of LF", rules.CHUNKED, chunked(b"2\r\n\n\n\r\n" + END) + get(), received(b"\n\n"), Seen())
wait("no last chunk", rules.INCOMPLETE, chunked(b"5\r\nhello\r\n"))
wait("no empty line behind the last chunk", rules.INCOMPLETE, chunked(b"5\r\nhello\r\n0\r\n"))
wait("the end within the data", rules.INCOMPLETE, chunked(b"ff\r\nhello"))
wait("the end within a size", rules.INCOMPLETE, chunked(b"f"))
for size in (b"0_2e", b"0x2_e", b"5these", b"+0x5", b"5\r\r;a"):
    refuse(f"size {shown(size)}, whose prefix or suffix is one", rules.CHUNK_SIZE, sized(size))
refuse("last -0x0", rules.CHUNK_SIZE, chunked(b"5\r\nhello\r\n-0x0\r\n\r\n") + HIDDEN)
refuse("letters for sizes", rules.CHUNK_SIZE, chunked(b"Z\r\nZZ\r\nZZZ\r\n\r\n") + HIDDEN)
refuse("two empty lines for the end", rules.CHUNK_SIZE, chunked(b"5\r\nhello\r\n\r\n\r\n") + HIDDEN)
