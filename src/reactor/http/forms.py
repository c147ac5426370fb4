"""Forms that clients post, and queries: their fields by name, as bytes.

A parser of our own reads multipart forms (RFC 7578). The standard library's is for mail. It decodes what no browser
sends, and takes seconds for a body below every limit, while nothing else is served. This one looks at each byte a fixed
number of times, and a form has at most MAX_FORM_FIELDS fields.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

from reactor.http.errors import HTTPError
from reactor.http.grammar import TOKEN

MAX_FORM_FIELDS = 1000  # of a form
MAX_PART_HEAD = 8192  # bytes

# RFC 2046, 5.1.1: of one to 70 characters, the last of which is no space.
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
# A parameter after a value: a token, or a quoted string (RFC 9110, 5.6.6). An unquoted value ends at a semicolon.
_PARAMETER = re.compile(rb';[ \t]*([^\s;="]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))')
_FOLD = re.compile(rb"\r\n[ \t]+")
_ESCAPE = re.compile(rb"\\(.)")


def formArgs(form: bytes, most: int | None = None) -> dict[bytes, list[bytes]]:
    """Return the decoded names and values of a query, or of a form that is encoded like one.

    As in Twisted, an item without "=" is left out. A semicolon separates nothing: caches do not see it so. HTTPError
    413 for more than `most` items.
    """
    if most is not None and form.count(b"&") >= most:
        raise HTTPError(413, f"a form of more than {most} fields")
    args: dict[bytes, list[bytes]] = {}
    for item in form.replace(b"+", b" ").split(b"&"):
        name, equals, value = item.partition(b"=")
        if equals:
            args.setdefault(unquote_to_bytes(name), []).append(unquote_to_bytes(value))
    return args


def multipartArgs(content: bytes, contentType: bytes) -> dict[bytes, list[bytes]]:
    """Return the fields of a multipart form: the content of each part, by its name. A file is a field, too.

    A part without a name is left out, as in Twisted. HTTPError 400 for a body that is no such form, or is cut off, and
    413 for more than MAX_FORM_FIELDS parts.
    """
    boundary = _parameters(contentType).get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        raise HTTPError(400, "a multipart form without a boundary")
    args: dict[bytes, list[bytes]] = {}
    for part in _partsOf(content, boundary):
        head, body = _split(part)
        kind, parameters = _disposition(head.get(b"content-disposition", b""))
        if kind == b"form-data" and parameters.get(b"name"):
            args.setdefault(parameters[b"name"], []).append(_decoded(head, body))
    return args


def _partsOf(content: bytes, boundary: bytes) -> list[bytes]:
    """The parts between the lines of the boundary. A preamble, and text after the last line, are dropped."""
    line = b"\r\n--" + boundary
    parts: list[bytes] = []
    # The first line may stand at the very beginning.
    begin = -1
    at = -2 if content.startswith(line[2:]) else content.find(line)
    while at != -1:
        behind = at + len(line)
        isLast = content.startswith(b"--", behind)
        end = behind + 2 * isLast
        while content[end : end + 1] in (b" ", b"\t"):
            end += 1
        if content.startswith(b"\r\n", end) or (isLast and end == len(content)):
            if begin >= 0:
                # The line's own CRLF also ends the part, and may be the one that ended the line before.
                parts.append(content[begin : max(begin, at)])
            if isLast:
                return parts
            if len(parts) >= MAX_FORM_FIELDS:
                raise HTTPError(413, f"a form of more than {MAX_FORM_FIELDS} fields")
            begin = end + 2
            at = content.find(line, end)
        else:
            at = content.find(line, behind)
    raise HTTPError(400, "a multipart form without its end")


def _split(part: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """The fields of a part by their names in lower case, and its content."""
    if part.startswith(b"\r\n") or not part:
        return {}, part[2:]
    end = part.find(b"\r\n\r\n", 0, MAX_PART_HEAD + 4)
    if end < 0:
        if len(part) > MAX_PART_HEAD:
            raise HTTPError(400, f"a part of the form has a head of more than {MAX_PART_HEAD} bytes")
        end = len(part)
    fields: dict[bytes, bytes] = {}
    # Without content, the line end after the head may be the boundary's.
    for line in _FOLD.sub(b" ", part[:end].removesuffix(b"\r\n")).split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.fullmatch(name):
            raise HTTPError(400, "a part of the form has a line that is no field")
        fields.setdefault(name.lower(), value.strip(b" \t"))
    return fields, part[end + 4 :]


def _disposition(value: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    return value.partition(b";")[0].strip(b" \t").lower(), _parameters(value)


def _parameters(value: bytes) -> dict[bytes, bytes]:
    """The parameters after a field's value; the first of several of one name counts."""
    found: dict[bytes, bytes] = {}
    for match in _PARAMETER.finditer(value):
        name, quoted, plain = match.groups()
        text = _ESCAPE.sub(rb"\1", quoted) if quoted is not None else plain.strip(b" \t")
        found.setdefault(name.lower(), text)
    return found


def _decoded(head: dict[bytes, bytes], body: bytes) -> bytes:
    """The content of a part without its transfer encoding, which old clients send (RFC 7578, 4.7)."""
    encoding = head.get(b"content-transfer-encoding", b"").lower()
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(body)
    if encoding == b"base64":
        try:
            return binascii.a2b_base64(body)
        except binascii.Error:
            raise HTTPError(400, "a part of the form is no base64") from None
    return body
