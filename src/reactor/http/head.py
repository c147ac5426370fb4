"""The head of a message: the request or status line, and the fields (RFC 9112, 2 to 6). Lines in, values out.

Nothing here does input or output. Each function takes lines without their CRLF, and returns values, or raises an
HTTPError with the status code of the answer. The rules are strict: what two parsers may read in different ways is
refused. An attacker could otherwise hide a request inside another (RFC 9112, 11.2).

Most clients send the same fields with each request, byte for byte. So what a block of fields means is remembered, and
a block that was seen before costs one look-up in a dict. Safe, because the meaning depends on the bytes alone. A block
is kept at its second sight, so that blocks which never come again push nothing out. A full dict begins anew. Blocks may
have secrets: all are forgotten when the Date field changes, so that none outlives its requests by much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from reactor.http.dates import atNewSecond
from reactor.http.errors import HTTPError
from reactor.http.grammar import TOKEN

Pair = tuple[bytes, bytes]

MAX_FIELDS = 100
MAX_HEAD = 16384
MAX_LINE = 8192

CHUNKED = -1  # the length of a body that tells its end itself
UNTIL_CLOSE = -2  # and of a response's body that ends with the connection

LONGEST_KEPT = 2048  # bytes of a block
MOST_KEPT = 512  # blocks
LONGEST_NAME = 64
MOST_NAMES = 1024
# More than one of these would leave a choice to the reader (RFC 9110, 5.3).
SINGLE = frozenset((b"content-length", b"host", b"content-type", b"authorization", b"expect", b"if-modified-since"))
# Framing and routing are decided before trailers come (RFC 9110, 6.5.1).
NOT_IN_TRAILERS = frozenset(
    (
        b"transfer-encoding",
        b"content-length",
        b"host",
        b"connection",
        b"expect",
        b"upgrade",
        b"te",
        b"trailer",
        b"authorization",
        b"cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
    )
)
METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"))

PLAIN_TARGET = re.compile(rb"[!\"$-~]+")  # RFC 9112, 3.2: visible, and no fragment
VERSION = re.compile(rb"HTTP/([0-9])\.([0-9])")  # RFC 9112, 2.3
STATUS_LINE = re.compile(rb"HTTP/1\.([0-9]) ([1-5][0-9][0-9])(?: ([\t -~\x80-\xff]*))?")  # RFC 9112, 4
HOST = re.compile(  # RFC 3986, 3.2.2, without user information (RFC 9110, 4.2.4)
    rb"(\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[0-9A-Za-z._~!$&'()*+,;=:-]+\]"
    rb"|(?:[0-9A-Za-z._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
)
ABSOLUTE = re.compile(rb"([A-Za-z][0-9A-Za-z+.-]*)://([^/?]*)([/?].*)?", re.DOTALL)
# Most hosts, at a third of the price.
NAMED_HOST = re.compile(rb"[0-9A-Za-z.-]+(?::[0-9]{1,5})?")
CONTROLS = bytes(set(range(32)) - {9}) + b"\x7f"  # what no field has (RFC 9110, 5.5)
LONGEST_LENGTH = 18  # digits: more than any disk, and less than 2**63


def knownRequestLine(line: bytes) -> tuple[bytes, bytes, int]:
    """Return the result of parseRequestLine. A line that is seen again in the same second is remembered."""
    found = _lines.get(line)
    if found is None:
        found = parseRequestLine(line)
        _remember(_lines, _seenLines, line, found)
    return found


def _remember(table: dict[bytes, Any], seen: list[int], key: bytes, meaning: object) -> None:
    """Keep what `key` means, at its second sight: `seen` has the hashes of keys that were seen once."""
    mark = hash(key)
    if seen[mark % MOST_KEPT] != mark:
        seen[mark % MOST_KEPT] = mark
    elif len(key) <= LONGEST_KEPT:
        if len(table) >= MOST_KEPT:
            table.clear()
        table[key] = meaning


def parseRequestLine(line: bytes) -> tuple[bytes, bytes, int]:
    """Return the method, the target and the minor version of HTTP/1 (0 or 1) of a request line (RFC 9112, 3).

    HTTPError: 400 for a line of another form, 505 for another major version.
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        raise HTTPError(400, "a request line has a method, a target and a version, with one space between them")
    method, target, version = parts
    minor = 1 if version == b"HTTP/1.1" else _minorOf(version)
    if method not in METHODS and not TOKEN.fullmatch(method):
        raise HTTPError(400, "the method is no token")
    if not PLAIN_TARGET.fullmatch(target):
        raise HTTPError(400, "the target has characters that no target has")
    if target[0] != 47 or method == b"CONNECT":
        _checkForm(method, target)
    return method, target, minor


def _minorOf(version: bytes) -> int:
    known = VERSION.fullmatch(version)
    if known is None:
        raise HTTPError(400, "the version is not like HTTP/1.1")
    if known[1] != b"1":
        raise HTTPError(505, "the version is not HTTP/1")
    return min(int(known[2]), 1)  # RFC 9110, 2.5: a higher minor version can be read as the highest known one


def _checkForm(method: bytes, target: bytes) -> None:
    """Check a target that is not in origin-form (RFC 9112, 3.2)."""
    if method == b"CONNECT":
        host = HOST.fullmatch(target)
        right = host is not None and host[1] != b"" and bool(host[2])
    elif target == b"*":
        right = method == b"OPTIONS"
    else:
        absolute = ABSOLUTE.fullmatch(target)
        host = None if absolute is None else HOST.fullmatch(absolute[2])
        right = host is not None and host[1] != b""
    if not right:
        raise HTTPError(400, "the target has none of the four forms, or not the one of its method")


def parseStatusLine(line: bytes) -> tuple[int, int, bytes]:
    """Return the minor version, the code and the reason of a status line (RFC 9112, 4); HTTPError 502 if it is none."""
    parts = STATUS_LINE.fullmatch(line)
    if parts is None:
        raise HTTPError(502, f"no status line: {line[:80]!r}")
    return min(int(parts[1]), 1), int(parts[2]), parts[3] or b""


class Names(dict[bytes, bytes]):
    """The names of fields in lower case, by the names that have come. HTTPError 400 for one that is no token."""

    def __missing__(self, name: bytes) -> bytes:
        if not TOKEN.fullmatch(name):
            raise HTTPError(400, "a field line does not begin with a name and a colon")
        lower = name.lower()
        if len(name) <= LONGEST_NAME and len(self) < MOST_NAMES:
            self[name] = lower
        return lower


_lowerOf = Names().__getitem__
_CHECKED = frozenset((b"content-length", b"host"))


def parseField(line: bytes) -> Pair:
    """Return the name, in lower case, and the value of a field line (RFC 9112, 5); HTTPError 400 if it is none."""
    return parseFields([line])[0][0]


def parseFields(lines: Sequence[bytes]) -> tuple[list[Pair], dict[bytes, bytes]]:
    """Return the fields in their order, and a dict of them; the values of equal names are joined by b", ".

    HTTPError: 400 for a line that is no field, and for a second field where one alone has a meaning.
    """
    whole = b"".join(lines)
    if len(whole.translate(None, CONTROLS)) != len(whole):
        raise HTTPError(400, "a field has a control character")
    pairs: list[Pair] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon:
            raise HTTPError(400, "a field line has no colon")
        lower = _lowerOf(name)
        value = value.strip()  # of the white space only spaces and tabs are left
        if lower in _CHECKED:
            _checkValue(lower, value)
        pairs.append((lower, value))
    known = dict(pairs)
    return pairs, known if len(known) == len(pairs) else _joined(pairs)


def _checkValue(name: bytes, value: bytes) -> None:
    if name == b"host":
        if not NAMED_HOST.fullmatch(value) and not HOST.fullmatch(value):
            raise HTTPError(400, "Host is no host, or has something else beside it")
    elif not value.isdigit():
        raise HTTPError(400, "Content-Length is no number")
    elif len(value) > LONGEST_LENGTH:
        raise HTTPError(413, "Content-Length is larger than anything")


# The fields of a request in their order, and by their names. Then the length of its body, and whether the connection
# persists. At last, whether the client waits for a 100.
Block = tuple[list[Pair], dict[bytes, bytes], int, bool, bool]

_blocks: dict[bytes, Block] = {}
atNewSecond.append(_blocks.clear)
_lines: dict[bytes, tuple[bytes, bytes, int]] = {}
_seenLines = [0] * MOST_KEPT
atNewSecond.append(_lines.clear)
# The hashes of blocks that were seen once, at the places that these choose.
_seen = [0] * MOST_KEPT


def parseBlock(lines: Sequence[bytes], block: bytes) -> Block:
    """Return the meaning of the fields of an HTTP/1.1 request. The caller does not change it.

    `block` has the `lines` with CRLF between them. HTTPError as of parseFields, requestLength and expectsContinue, and
    400 without a Host.
    """
    found = _blocks.get(block)
    if found is None:
        pairs, known = parseFields(lines)
        if b"host" not in known:
            raise HTTPError(400, "HTTP/1.1 without Host")
        found = pairs, known, requestLength(known, 1), persists(known, 1), expectsContinue(known, 1)
        _remember(_blocks, _seen, block, found)
    return found


def _joined(pairs: list[Pair]) -> dict[bytes, bytes]:
    known: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in known:
            known[name] = value
        elif name in SINGLE:
            raise HTTPError(400, f"two fields {name.decode()}")
        else:
            known[name] = b"%b%b%b" % (known[name], b"; " if name == b"cookie" else b", ", value)
    return known


def requestLength(known: Mapping[bytes, bytes], minor: int) -> int:
    """Return the length of a request's body in bytes, or CHUNKED (RFC 9112, 6.3).

    HTTPError: 400 for contradictions and for a coding after which the end cannot be found, 501 for unknown codings.
    """
    coding = known.get(b"transfer-encoding")
    length = known.get(b"content-length")
    if coding is None:
        return 0 if length is None else int(length)
    if length is not None:
        raise HTTPError(400, "Content-Length beside Transfer-Encoding")
    if not minor:
        raise HTTPError(400, "Transfer-Encoding in HTTP/1.0")
    if coding.lower() != b"chunked":
        _refuseCoding(coding)
    return CHUNKED


def _refuseCoding(coding: bytes) -> None:
    names = [name.strip(b" \t").lower() for name in coding.split(b",")]
    if names.count(b"chunked") != 1 or names[-1] != b"chunked" or not all(map(TOKEN.fullmatch, names)):
        raise HTTPError(400, "chunked is not the last transfer coding, or is there twice")
    raise HTTPError(501, "a transfer coding other than chunked")


def responseLength(known: Mapping[bytes, bytes], minor: int, code: int, method: bytes) -> int:
    """Return the length of a response's body in bytes, or CHUNKED or UNTIL_CLOSE (RFC 9112, 6.3).

    HTTPError 502 for contradictions, and for codings that cannot be undone.
    """
    if method == b"HEAD" or code < 200 or code in (204, 304) or (method == b"CONNECT" and code < 300):
        return 0
    coding = known.get(b"transfer-encoding")
    length = known.get(b"content-length")
    if coding is not None:
        if length is not None or not minor or coding.lower() != b"chunked":
            raise HTTPError(502, "the end of the response's body cannot be told for certain")
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)


def persists(known: Mapping[bytes, bytes], minor: int) -> bool:
    """Whether the connection may stay open after this message (RFC 9112, 9.3)."""
    connection = known.get(b"connection")
    if connection is None:
        return minor == 1
    if connection == b"keep-alive":
        return True
    connection = connection.lower()
    if connection == b"keep-alive":
        return True
    options = words(connection)
    return b"close" not in options and (minor == 1 or b"keep-alive" in options)


def words(value: bytes) -> list[bytes]:
    """Return the members of a comma-separated value, in lower case, without empty ones (RFC 9110, 5.6.1)."""
    return [word for word in (part.strip(b" \t") for part in value.lower().split(b",")) if word]


def expectsContinue(known: Mapping[bytes, bytes], minor: int) -> bool:
    """Whether the client waits for a 100 (RFC 9110, 10.1.1); HTTPError 417 for an expectation that is unknown."""
    expect = known.get(b"expect")
    if expect is None or not minor:
        return False
    if expect.lower() != b"100-continue":
        raise HTTPError(417, "an expectation other than 100-continue")
    return True


def checkHost(pairs: list[Pair], known: dict[bytes, bytes], target: bytes, minor: int) -> list[Pair]:
    """Check that a request has its Host, and put the host of an absolute target in its place (RFC 9112, 3.2).

    Return the fields. HTTPError 400 for HTTP/1.1 without a Host.
    """
    if b"host" not in known and minor:
        raise HTTPError(400, "HTTP/1.1 without Host")
    if target[0] != 47 and (absolute := ABSOLUTE.fullmatch(target)) is not None:
        known[b"host"] = host = absolute[2]
        pairs = [(b"host", host), *(pair for pair in pairs if pair[0] != b"host")]
    return pairs
