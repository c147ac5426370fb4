"""The grammar of what goes out: each byte of each part is allowed or refused by RFC 9110 and 9112."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import pytest

from reactor.http import grammar

TOKEN = set(b"!#$%&'*+-.^_`|~" + string.ascii_letters.encode() + string.digits.encode())
VISIBLE = set(range(0x21, 0x7F))
FIELD = VISIBLE | {0x09, 0x20} | set(range(0x80, 0x100))

CASES: list[tuple[Callable[[Any], bytes], set[int], str]] = [
    (grammar.checkName, TOKEN, "a header's name is a token"),
    (grammar.checkMethod, TOKEN, "a method is a token"),
    (grammar.checkValue, FIELD, "a header's value has no line break"),
    (grammar.checkReason, FIELD, "a reason phrase has no line break"),
    (grammar.checkTarget, VISIBLE, "a request's target is visible ASCII"),
]


@pytest.mark.parametrize(("check", "allowed", "refusal"), CASES)
def test_everyByte(check: Callable[[Any], bytes], allowed: set[int], refusal: str) -> None:
    """Alone, first, in the middle and last: a pattern's `$` would let a line feed pass at the end."""
    for code in range(256):
        for part in (bytes([code]), bytes([code, 97]), b"a%cb" % code, bytes([97, code])):
            if code in allowed:
                assert check(part) == part
            else:
                with pytest.raises(ValueError, match=refusal):
                    check(part)
    if allowed is FIELD:
        assert check(b"") == check("") == b""
    else:
        with pytest.raises(ValueError, match=refusal):
            check(b"")


@pytest.mark.parametrize("check", [check for check, _, _ in CASES])
def test_kindsOfText(check: Callable[[Any], bytes]) -> None:
    for part in (b"ab", "ab", bytearray(b"ab"), memoryview(b"ab")):
        checked = check(part)
        assert (type(checked), checked) == (bytes, b"ab")
    for wrong in (None, 5, [b"ab"]):
        with pytest.raises(TypeError, match="is bytes or str"):
            check(wrong)
    with pytest.raises(ValueError, match="surrogates"):
        check("\ud800")


def test_textIsUTF8() -> None:
    assert grammar.checkValue("grün") == grammar.checkReason("grün") == "grün".encode()
    for check in (grammar.checkName, grammar.checkMethod, grammar.checkTarget):
        with pytest.raises(ValueError, match="grün"):
            check("grün")


def test_theMessagesShowThePart() -> None:
    with pytest.raises(grammar.InvalidHeaderName, match="'a b'"):
        grammar.checkName("a b")
    with pytest.raises(ValueError, match=r"a reason phrase .*b'O\\nK'"):
        grammar.checkReason(b"O\nK")
    with pytest.raises(ValueError, match=r"a method .*b'GET '"):
        grammar.checkMethod(b"GET ")
    with pytest.raises(ValueError, match="percent-encoded, not '/a b'"):
        grammar.checkTarget("/a b")
