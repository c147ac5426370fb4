"""Headers: values by name, in bytes and in text; Twisted's beside it; and that nothing bad gets in."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import pytest
from twisted.web import http_headers

from reactor.http import Headers, InvalidHeaderName
from reactor.http import headers as module
from reactor.http.headers import canonicalName


def test_valuesByName() -> None:
    headers = Headers({b"content-type": [b"text/plain"], "x-y": ["1", b"2"]})
    headers.addRawHeader("CONTENT-TYPE", "text/html")
    assert headers.getRawHeaders(b"Content-Type") == [b"text/plain", b"text/html"]
    assert headers.getRawHeaders("content-type") == ["text/plain", "text/html"]
    assert headers.hasHeader("X-Y")
    headers.removeHeader(b"x-Y")
    headers.removeHeader(b"x-Y")
    assert not headers.hasHeader(b"x-y")
    assert headers.getRawHeaders("X-Y") is None
    assert headers.getRawHeaders("X-Y", 3) == 3
    assert list(headers.getAllRawHeaders()) == [(b"Content-Type", [b"text/plain", b"text/html"])]
    assert repr(headers) == "Headers({b'Content-Type': [b'text/plain', b'text/html']})"


def test_anEmptyListIsSetButHasNoValue() -> None:
    headers = Headers({b"a": []})
    assert headers.hasHeader(b"A")
    assert headers.getRawHeaders(b"a", "none") == "none"
    assert list(headers.getAllRawHeaders()) == [(b"A", [])]


def test_linesThatGoOut() -> None:
    headers = Headers({b"etag": [b'"1"'], b"none": [], "set-cookie": ["a=b", "c=d"], "x": [""]})
    assert headers.asLines() == b'ETag: "1"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX: \r\n'
    assert Headers().asLines() == b""


def test_equality() -> None:
    one, other = Headers({b"a": [b"1"], b"b": [b"2"]}), Headers({"B": ["2"], "A": ["1"]})
    assert one == other
    other.addRawHeader(b"a", b"3")
    assert one != other
    assert one != {b"A": [b"1"], b"B": [b"2"]}
    with pytest.raises(TypeError):
        hash(one)


@pytest.mark.parametrize("copied", [Headers.copy, copy.copy, copy.deepcopy, lambda h: pickle.loads(pickle.dumps(h))])
def test_copies(copied: Callable[[Headers], Headers]) -> None:
    class Own(Headers):
        pass

    kinds = Headers({b"a": [b"1"]}), Headers.ofPairs([(b"a", b"1")])
    for headers in kinds:
        assert copied(headers) == headers
    assert type(Own({b"a": [b"1"]}).copy()) is Own


def test_aCopyHasListsOfItsOwn() -> None:
    headers = Headers({b"a": [b"1"]})
    other = headers.copy()
    other.addRawHeader(b"a", b"2")
    other.setRawHeaders(b"b", [b"3"])
    assert headers == Headers({b"a": [b"1"]})


def test_checkedPairs() -> None:
    headers = Headers.ofPairs([(b"host", b"a"), (b"x-own", b"1"), (b"accept", b"b"), (b"x-own", b"2")])
    assert headers.getRawHeaders("X-Own") == ["1", "2"]
    assert list(headers.getAllRawHeaders()) == [(b"Host", [b"a"]), (b"X-Own", [b"1", b"2"]), (b"Accept", [b"b"])]
    assert headers == Headers({"host": ["a"], "x-own": ["1", "2"], "accept": ["b"]})


@pytest.mark.parametrize(
    "use",
    [
        lambda h: h.addRawHeader(b"b", b"2"),
        lambda h: h.setRawHeaders(b"b", [b"2"]),
        lambda h: h.removeHeader(b"b"),
        lambda h: h.hasHeader(b"b"),
        repr,
        lambda h: h == Headers(),
        lambda h: Headers() == h,
        lambda h: h.copy(),
    ],
)
def test_anyFirstUseReadsThePairs(use: Callable[[Headers], object]) -> None:
    headers = Headers.ofPairs(iter([(b"a", b"1")]))
    use(headers)
    assert headers.getRawHeaders(b"a") == [b"1"]


BAD_NAMES = (
    b"",
    b" ",
    b"a b",
    b"a:",
    b"a\r",
    b"a\n",
    b"a\0",
    b"\xe4",
    "ä",
    "a\u212a",
    b"(a)",
    b"a,b",
    b"a\tb",
    "\ud800",
)
BAD_VALUES = (b"a\r\nb: c", b"a\rb", b"a\nb", b"a\0", b"\x1b[2J", b"\x7f", "a\r\n", "a\0", b"\n", "\ud800")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_namesThatAreNoTokens(name: Any) -> None:
    headers = Headers({b"a": [b"1"]})
    before = repr(headers)
    for act in (
        lambda: headers.setRawHeaders(name, [b"x"]),
        lambda: headers.addRawHeader(name, b"x"),
        lambda: Headers({name: [b"x"]}),
        lambda: headers.getRawHeaders(name),
        lambda: headers.hasHeader(name),
        lambda: headers.removeHeader(name),
    ):
        with pytest.raises(ValueError, match=r"token|surrogates"):
            act()
    assert repr(headers) == before
    assert issubclass(InvalidHeaderName, ValueError)


@pytest.mark.parametrize("value", BAD_VALUES)
def test_valuesWithControls(value: Any) -> None:
    headers = Headers({b"a": [b"1"]})
    for act in (
        lambda: headers.setRawHeaders(b"a", [b"fine", value]),
        lambda: headers.addRawHeader(b"a", value),
        lambda: headers.addRawHeader(b"new", value),
        lambda: Headers({b"a": [value]}),
    ):
        with pytest.raises(ValueError, match=r"control character|surrogates"):
            act()
    assert repr(headers) == "Headers({b'A': [b'1']})"


def test_theErrorNamesWhatIsWrong() -> None:
    with pytest.raises(InvalidHeaderName, match=r"a token .* not b'a b'"):
        Headers({b"a b": [b""]})
    with pytest.raises(ValueError, match=r"line break, NUL .*b'x\\ny'"):
        Headers({b"a": [b"x\ny"]})
    with pytest.raises(TypeError, match=r"give \['text'\]"):
        Headers({"a": "text"})
    with pytest.raises(TypeError, match="a header's value is bytes or str, not 5"):
        Headers({"content-length": [5]})  # type: ignore[list-item]
    for name in (5, None, [b"a"]):
        with pytest.raises(TypeError, match="a header's name is bytes or str"):
            Headers().hasHeader(name)  # type: ignore[arg-type]


def test_nothingIsAltered() -> None:
    values = [b" a\t", b"", b"\xff\xfe", b"a  b", b'"; \\']
    headers = Headers({b"a": values})
    assert headers.getRawHeaders(b"a") == values
    headers.setRawHeaders(b"a", (value for value in [bytearray(b"x"), memoryview(b"y"), "ä"]))  # type: ignore[misc]
    assert headers.getRawHeaders(b"a") == [b"x", b"y", "ä".encode()]


def test_listsThatAreReturnedAreCopies() -> None:
    """A value appended to one of them would be a value that nobody checked."""
    headers = Headers({b"a": [b"1"]})
    headers.getRawHeaders(b"a").append(b"2\r\n")  # type: ignore[union-attr]
    for _name, values in headers.getAllRawHeaders():
        values.append(b"3\r\n")  # type: ignore[attr-defined]
    assert repr(headers) == "Headers({b'A': [b'1']})"


def test_fieldsMayChangeWhileTheyAreIteratedOver() -> None:
    headers = Headers({b"a": [b"1"], b"b": [b"2"]})
    for name, _values in headers.getAllRawHeaders():
        headers.removeHeader(name)
    assert headers == Headers()


def test_inventedNamesAreNotKeptWithoutEnd() -> None:
    for number in range(3 * module.MOST_SPELLINGS):
        assert canonicalName(b"x-%d" % number) == canonicalName(f"X-{number}") == b"X-%d" % number
    long = b"x" * (module.LONGEST_SPELLING + 1)
    assert canonicalName(long) == long.capitalize()
    assert 0 < len(module._ofBytes) <= module.MOST_SPELLINGS
    assert 0 < len(module._ofText) <= module.MOST_SPELLINGS
    assert long not in module._ofBytes


NAMES = ("host", "Content-MD5", "dnt", "ETag", "P3P", "te", "WWW-authenticate", "x-XSS-protection", "x-own", "a!b-c")
VALUES = ("", "a", " b ", "c\t", "ä", "1, 2", "text/html; charset=utf-8")


def randomTrace(seed: int, kind: Any) -> list[Any]:
    """The results of a random script of calls, with `kind`, ours or Twisted's."""
    rng = random.Random(seed)

    def word(words: tuple[str, ...]) -> str | bytes:
        text = rng.choice(words)
        text = rng.choice((text, text.lower(), text.upper()))
        return rng.choice((text, text.encode()))

    def words() -> list[str | bytes]:
        return [word(VALUES) for _ in range(rng.randrange(4))]

    headers = kind({word(NAMES): words() for _ in range(rng.randrange(3))})
    kept = [headers]
    trace: list[Any] = []
    for _ in range(30):
        match rng.randrange(9):
            case 0:
                trace.append(headers.setRawHeaders(word(NAMES), words()))
            case 1:
                trace.append(headers.addRawHeader(word(NAMES), word(VALUES)))
            case 2:
                trace.append(headers.removeHeader(word(NAMES)))
            case 3:
                trace.append(headers.hasHeader(word(NAMES)))
            case 4:
                trace.append(repr(headers.getRawHeaders(word(NAMES))))  # Twisted's lists change later
            case 5:
                trace.append(repr(headers.getRawHeaders(word(NAMES), "default")))
            case 6:
                trace.append(repr(list(headers.getAllRawHeaders())))
            case 7:
                kept.append(headers.copy())
                headers = rng.choice(kept)
            case _:
                trace.append([headers == other for other in kept])
                trace.append([headers != other for other in kept])
        trace.append(repr(headers))
    return trace


@pytest.mark.parametrize("seed", range(300))
def test_asTwisteds(seed: int) -> None:
    assert randomTrace(seed, Headers) == randomTrace(seed, http_headers.Headers)


def test_namesAreCapitalisedAsTwisteds() -> None:
    rng = random.Random("names")
    letters = "abcXYZ019-!#$%&'*+.^_`|~"
    for _ in range(2000):
        name = "".join(rng.choices(letters, k=rng.randrange(1, 12)))
        assert canonicalName(name) == http_headers._nameEncoder.encode(name), name
