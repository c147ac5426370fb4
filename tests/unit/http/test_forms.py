"""Forms that are posted: what a browser sends, what is refused, and that no form costs more than its length."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import Any

import pytest
from twisted.web import http as twistedHTTP

from reactor.http import HTTPError
from reactor.http.forms import MAX_FORM_FIELDS, MAX_PART_HEAD, formArgs, multipartArgs

KIND = b"multipart/form-data; boundary=AaB03x"


def formOf(*parts: bytes, boundary: bytes = b"AaB03x") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


def field(name: bytes, value: bytes, more: bytes = b"") -> bytes:
    return b'Content-Disposition: form-data; name="%b"%b\r\n\r\n%b' % (name, more, value)


def test_fieldsAndFiles() -> None:
    file = field(b"f", b"\0\xff\r\n--AaB03\r\n", b'; filename="a.bin"\r\nContent-Type: application/octet-stream')
    form = formOf(field(b"a", b"1"), field(b"b", b""), file, field(b"a", b"2\r\n\r\n3\r\n"))
    expected = {b"a": [b"1", b"2\r\n\r\n3\r\n"], b"b": [b""], b"f": [b"\0\xff\r\n--AaB03\r\n"]}
    assert multipartArgs(form, KIND) == expected
    assert multipartArgs(b"preamble\r\n" + form + b"epilogue\r\n--AaB03x", KIND) == expected
    assert multipartArgs(form[:-2], KIND) == expected  # no line end behind the last boundary


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b'content-disposition: FORM-DATA; NAME="a"', b"a"),
        (b"Content-Disposition: form-data; name=a", b"a"),
        (b"Content-Disposition: form-data ; name = a ; x=y", b"a"),
        (b'Content-Disposition: form-data; filename="x; name=b"; name="a"', b"a"),
        (b'Content-Disposition: form-data; name="a \\"b\\" \\\\c"', b'a "b" \\c'),
        (b'Content-Disposition: form-data; name="gr\xc3\xbcn"', b"gr\xc3\xbcn"),
        (b'Content-Disposition: form-data; name="a%22b"', b"a%22b"),
        (b'Content-Disposition: form-data;\r\n\tname="a"', b"a"),
        (b'X: y\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: text/plain', b"a"),
        (b'Content-Disposition: form-data; name="a"; name="b"', b"a"),
        (b"Content-Disposition: form-data", None),
        (b'Content-Disposition: form-data; name=""', None),
        (b"Content-Disposition: form-data; name*=utf-8''a", None),
        (b'Content-Disposition: attachment; name="a"', None),
        (b"Content-Type: text/plain", None),
    ],
)
def test_namesOfParts(head: bytes, name: bytes | None) -> None:
    args = multipartArgs(formOf(head + b"\r\n\r\nvalue", field(b"last", b"x")), KIND)
    assert args == ({b"last": [b"x"]} if name is None else {name: [b"value"], b"last": [b"x"]})


def test_partsWithoutAHead() -> None:
    assert multipartArgs(formOf(b"\r\nvalue", b"", field(b"a", b"b")), KIND) == {b"a": [b"b"]}


def test_partsWithoutContent() -> None:
    head = b'Content-Disposition: form-data; name="a"'
    for part in (head, head + b"\r\n", head + b"\r\n\r\n"):
        assert multipartArgs(formOf(part), KIND) == {b"a": [b""]}


def test_transferEncodings() -> None:
    def one(encoding: bytes, body: bytes) -> Any:
        more = b"\r\nContent-Transfer-Encoding: " + encoding
        return multipartArgs(formOf(field(b"a", body, more)), KIND)[b"a"]

    assert one(b"quoted-printable", b"a=3Db=\r\nc") == [b"a=bc"]
    assert one(b"BASE64", b"aGVs\r\nbG8=") == [b"hello"]
    assert one(b"binary", b"a=3D") == one(b"8bit", b"a=3D") == [b"a=3D"]
    with pytest.raises(HTTPError, match="no base64"):
        one(b"base64", b"a")


@pytest.mark.parametrize("boundary", [b"a", b"AaB03x", b"--", b"x" * 70, b"a b", b"'()+_,-./:=?"])
def test_boundaries(boundary: bytes) -> None:
    form = formOf(field(b"a", b"--" + boundary + b"x"), boundary=boundary)
    assert multipartArgs(form, b'multipart/form-data; boundary="%b"' % boundary) == {b"a": [b"--" + boundary + b"x"]}


def test_linesThatOnlyBeginLikeTheBoundary() -> None:
    tricky = b"\r\n--AaB03xy\r\n--AaB03x-\r\n--AaB03\r\n--AaB03x--x\r\n --AaB03x\r\n"
    assert multipartArgs(formOf(field(b"a", tricky)), KIND) == {b"a": [tricky]}
    spaced = formOf(field(b"a", b"b")).replace(b"AaB03x\r\n", b"AaB03x \t\r\n")
    assert multipartArgs(spaced, KIND) == {b"a": [b"b"]}


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (formOf(field(b"a", b"b")), b"multipart/form-data", 400),
        (formOf(field(b"a", b"b")), b"multipart/form-data; boundary=", 400),
        (formOf(field(b"a", b"b")), b"multipart/form-data; boundary=\xe2\x98\x83", 400),
        (formOf(field(b"a", b"b")), b"multipart/form-data; boundary=" + b"x" * 71, 400),
        (formOf(field(b"a", b"b")), b'multipart/form-data; boundary="a "', 400),
        (formOf(field(b"a", b"b")), b"multipart/form-data; boundary=other", 400),
        (b"", KIND, 400),
        (b"a=b", KIND, 400),
        (formOf(field(b"a", b"b"))[:-6], KIND, 400),
        (formOf(field(b"a", b"b")).replace(b"\r\n", b"\n"), KIND, 400),
        (formOf(b"no field\r\n\r\nx"), KIND, 400),
        (formOf(b"A B: c\r\n\r\nx"), KIND, 400),
        (formOf(b"A: b\r\n" * 1400 + b"\r\nx"), KIND, 400),
        (formOf(*[field(b"a", b"b")] * (MAX_FORM_FIELDS + 1)), KIND, 413),
    ],
)
def test_noForms(content: bytes, kind: bytes, code: int) -> None:
    with pytest.raises(HTTPError) as caught:
        multipartArgs(content, kind)
    assert caught.value.code == code


def test_theLimits() -> None:
    assert len(multipartArgs(formOf(*[field(b"a", b"b")] * MAX_FORM_FIELDS), KIND)[b"a"]) == MAX_FORM_FIELDS
    head = b'Content-Disposition: form-data; name="a"\r\nX: '
    long = head + b"y" * (MAX_PART_HEAD - len(head))
    assert multipartArgs(formOf(long + b"\r\n\r\nb"), KIND) == {b"a": [b"b"]}
    with pytest.raises(HTTPError, match="a head of more than 8192 bytes"):
        multipartArgs(formOf(long + b"y\r\n\r\nb"), KIND)
    assert len(formArgs(b"&".join([b"a=b"] * MAX_FORM_FIELDS), MAX_FORM_FIELDS)[b"a"]) == MAX_FORM_FIELDS
    with pytest.raises(HTTPError, match="more than 1000 fields"):
        formArgs(b"&".join([b"a=b"] * (MAX_FORM_FIELDS + 1)), MAX_FORM_FIELDS)


def test_queriesAsTwisteds() -> None:
    rng = random.Random("queries")
    for _ in range(3000):
        query = "".join(rng.choices("ab=&+%2041zZ\xe4", k=rng.randrange(30))).encode("latin-1")
        assert formArgs(query) == twistedHTTP.parse_qs(query, 1), query


def test_formsAsTwisteds() -> None:
    """Random forms such as browsers send."""
    rng = random.Random("forms")
    for _ in range(500):
        parts = []
        for _ in range(rng.randrange(1, 6)):
            name = bytes(rng.choices(b"abc_[]0", k=rng.randrange(1, 8)))
            # A browser takes a boundary that is in no value.
            value = b"".join(
                rng.choices([b"x", b"\r\n", b"--", b"AaB03x", b"\xff", b"\0", b" ", b"y" * 50], k=6)
            ).replace(b"--AaB03x", b"")
            more = rng.choice([b"", b'; filename="f"', b'; filename="f"\r\nContent-Type: application/octet-stream'])
            parts.append(field(name, value, more))
        form = formOf(*parts)
        assert multipartArgs(form, KIND) == twistedHTTP._getMultiPartArgs(form, KIND), form


def test_noFormCostsMoreThanItsLength() -> None:
    """Bodies of 1 MiB that took the parser for mail from 2 to 40 seconds, and others of that kind."""
    size = 1 << 20
    disposition = b'Content-Disposition: form-data; name="b"'
    bodies = [
        (field(b"b", b"c") + b"\r\n--AaB03x\r\n") * (size // 60),
        b"\r\n--AaB03x\r\n" * (size // 12),
        disposition + b"; x=y" * (size // 5) + b"\r\n\r\nc",
        disposition + b"\r\n x=y;" * (size // 7) + b"\r\n\r\nc",
        disposition + b"\r\nA: b" * (size // 6) + b"\r\n\r\nc",
        b"Content-Disposition: form-data; " + b"".join(b"name*%d=a;" % n for n in range(size // 12)) + b"\r\n\r\nc",
        (b'Content-Disposition: form-data; name="' + b"\\" * 7000 + b"\r\n\r\nc\r\n--AaB03x\r\n") * (size // 7060),
        (b"Content-Disposition: form-data" + b';a="' * 1900 + b"\r\n\r\nc\r\n--AaB03x\r\n") * (size // 7660),
        (b"Content-Disposition: form-data" + b"; " * 3900 + b"\r\n\r\nc\r\n--AaB03x\r\n") * (size // 7860),
        disposition + b"\r\n\r\n" + b"\r\n--AaB03" * (size // 9),
    ]
    for body in bodies:
        begun = time.process_time()
        with suppress(HTTPError):
            multipartArgs(formOf(body), KIND)
        assert time.process_time() - begun < 1.0, body[:80]
