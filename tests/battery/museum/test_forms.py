"""Forms, cookies and numbers: the time of reading them grows with the bytes, and the limits hold for the whole."""

from __future__ import annotations

import logging
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from reactor.http import FilesHandler, Headers, stringToDatetime
from reactor.http.forms import MAX_FORM_FIELDS, MAX_PART_HEAD
from tests.battery.museum.halls import Form, chunked, formScene, isLinear, message, posted, repeated
from tests.support.httpscenes import Scene, get


async def echo(request: Any) -> bytes:
    body: bytes = await request.body
    return body


LIFTED: dict[str, Any] = {
    "MAX_LENGTH": 1 << 26,
    "totalHeadersSize": 1 << 26,
    "maxHeaders": 1 << 20,
    "maxContentLength": 1 << 26,
}
MULTIPART = b"Content-Type: multipart/form-data; boundary=b"


def form(body: bytes, kind: bytes = MULTIPART) -> bytes:
    return posted(kind, b"Content-Length: %d" % len(body), body=body)


def parts(*heads: bytes) -> bytes:
    return b"".join(b"--b\r\n" + head + b"\r\n\r\nx\r\n" for head in heads) + b"--b--\r\n"


def named(number: int) -> bytes:
    return b'Content-Disposition: form-data; name="%d"' % number


def grows(make: Callable[[int], bytes], count: int, *codes: int) -> None:
    """Check that the server's time for the request `make(n)` grows with n, and not with its square."""

    def work(raw: bytes) -> None:
        scene = formScene(**LIFTED)
        scene.channel.dataReceived(raw)
        assert scene.take()[0].code in (codes or (200,))

    assert isLinear(make, work, count)


def test_CVE_2024_30251() -> None:
    """A broken form sent the parser of multipart bodies around an endless loop."""
    broken = [
        *(b"", b"--b", b"--b\r\n", b"--b--", b"--b\r\n\r\n", b"--b\r\nContent-Disposition: form-data\r\n"),
        *(b"--b\r\n\r\n--b\r\n\r\n", b"\r\n--b", b"--b \t", b"--b\r", b"--b-", b"--b\r\n--b\r\n--b", b"--b--x"),
        *(b"--b\r\nX\r\n\r\n\r\n--b--", b"--b" * 1000, b"\r\n--b" * 1000, b"--b\r\n" * 900),
    ]
    source = random.Random(30251)
    whole = parts(named(1), named(2))
    for _ in range(300):
        at = source.randrange(len(whole))
        broken.append(whole[:at] + source.choice([b"", b"-", b"\r", b"\n", b"--b", b"\0"]) + whole[at + 1 :])
    broken += [whole[:at] for at in range(len(whole))]
    for body in broken:
        answer = formScene().ask(form(body))
        assert answer.code in (200, 400), body
    assert formScene().ask(form(whole[:-8])).code == 400


def test_CVE_2026_34516() -> None:
    """The head of a part had no limit of its own when it came in many lines."""
    for head in (
        *(b"X: " + b"y" * MAX_PART_HEAD, b"X: y\r\n" * MAX_PART_HEAD + named(1)),
        *(named(1) + b"\r\n " * MAX_PART_HEAD + b"x", b"y" * MAX_PART_HEAD + b": x"),
    ):
        answer = formScene().ask(form(parts(head)))
        assert answer.code == 400
    assert formScene().ask(form(parts(named(1) + b"\r\nX: " + b"y" * 8000))).body == b"1 fields"


def test_CVE_2025_69228() -> None:
    """The limit of a body was counted for each part alone, so many parts took all memory."""
    piece = b"--b\r\n" + named(1) + b"\r\n\r\n" + b"x" * 60_000 + b"\r\n"
    tracemalloc.start()
    try:
        scene = formScene(maxContentLength=1 << 20)
        body = piece * 200
        raw = chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), MULTIPART)
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for at in range(0, len(raw), 65536):
            scene.channel.dataReceived(raw[at : at + 65536])
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert scene.take()[0].code == 413
    assert peak < 4 << 20
    assert formScene().ask(form(parts(*map(named, range(MAX_FORM_FIELDS + 1))))).code == 413
    assert formScene().ask(form(parts(*map(named, range(MAX_FORM_FIELDS))))).body == b"%d fields" % MAX_FORM_FIELDS


def test_CVE_2025_69229() -> None:
    """A body of many small chunks took the square of their number, and held up the loop."""
    grows(lambda count: chunked(b"1\r\nx\r\n" * count + b"0\r\n\r\n"), 5000)
    grows(lambda count: chunked(b"1;a=b\r\nx\r\n" * count + b"0\r\n\r\n"), 5000)


def test_CVE_2025_67725() -> None:
    """A field that came many times was joined anew for each line."""
    grows(lambda count: message(b"GET / HTTP/1.1", *[b"X: y"] * count), 2000)

    def joined(count: int) -> Headers:
        headers = Headers()
        for _ in range(count):
            headers.addRawHeader(b"X", b"y")
        return headers

    assert isLinear(lambda count: count, lambda count: joined(count).getRawHeaders(b"x"), 10_000)


@pytest.mark.parametrize(
    "parameter", [b"; a%d=b", b'; a*%d="b"', b'; a%d="\\"', b"; %d", b" %d;", b';"%d', b"; a%d =  ", b"\\;\\%d"]
)
def test_CVE_2025_67726(parameter: bytes) -> None:
    """The parameters of a field were read with the square of their number."""

    def made(count: int) -> bytes:
        kind = MULTIPART + b"".join(parameter % number for number in range(count))
        return form(parts(named(1)), kind)

    grows(made, 2000, 200, 400)


def test_CVE_2025_47287(caplog: pytest.LogCaptureFixture) -> None:
    """A line of the log for each bad part: a small form made megabytes of log."""
    caplog.set_level(logging.DEBUG)
    for head in (b"Content-Disposition: x", b"no field", b"", b"Content-Disposition: form-data"):
        formScene().ask(form(parts(*[head] * 900)))
    assert len(caplog.records) <= 8
    assert all(len(record.getMessage()) < 1000 for record in caplog.records)


def test_twoHundredBadForms(caplog: pytest.LogCaptureFixture) -> None:
    """The same with a form for each bad part: repeats are counted, and not written."""
    scene = formScene()
    for _ in range(200):
        formScene().ask(form(b"--b\r\nno field\r\n\r\nx\r\n--b--"))
    assert scene.isOpen
    assert len(caplog.records) <= 10


@pytest.mark.parametrize("cookie", [b"a%d=b; ", b'a="\\"%d', b"\\%d", b";%d", b"=%d;", b'a="%d\\\\";'])
def test_CVE_2024_7592(cookie: bytes) -> None:
    """Cookies with backslashes, and quotes, were read with the square of their length."""

    class Cookies(Form):
        def process(self) -> None:
            self.getCookie(b"a")
            self.finish()

    def work(raw: bytes) -> None:
        scene = formScene(**LIFTED)
        scene.channel.requestFactory = Cookies
        scene.channel.dataReceived(raw)
        assert scene.take()[0].code == 200

    def made(count: int) -> bytes:
        return message(b"GET / HTTP/1.1", b"Cookie: " + b"".join(cookie % number for number in range(count)))

    assert isLinear(made, work, 5000)


def test_CVE_2020_10735() -> None:
    """Making a number of a long text takes the square of its digits."""
    for digit in (b"9", b"0"):
        grows(repeated(digit, lambda text: posted(b"Content-Length: " + text)), 20_000, 400, 413)
        grows(repeated(digit, lambda text: chunked(text + b"\r\n")), 20_000, 400, 413)
    for raw in (posted(b"Content-Length: " + b"9" * 7000), chunked(b"f" * 900 + b"\r\n")):
        assert Scene(echo).ask(raw).code in (400, 413)

    def files(count: int) -> Scene:
        scene = Scene(FilesHandler(__file__.rpartition("/")[0]), **LIFTED)
        name = b"/" + __file__.rpartition("/")[2].encode()
        scene.peer.transport.write(get(name, b"Range: bytes=" + b"9" * count + b"-" + b"9" * count))
        return scene

    assert isLinear(files, lambda scene: scene.take()[0].fields[b"content-range"], 20_000)


def test_CVE_2020_5236() -> None:
    """A pattern for fields went back and forth over spaces, and invalid bytes at their end."""
    for value in (b" " * 20, b"\t \t", b"a ", b"\x80 ", b", ", b'"', b"\\"):
        grows(repeated(value, lambda text: message(b"GET / HTTP/1.1", b"X: " + text + b"\x01")), 4000, 400)
        grows(repeated(value, lambda text: message(b"GET / HTTP/1.1", b"X: " + text + b"y")), 4000)
    grows(lambda count: message(b"GET / HTTP/1.1", b"Connection:" + b" ," * count), 4000)
    grows(lambda count: posted(b"Transfer-Encoding:" + b" ," * count), 4000, 400)

    def noDate(text: bytes) -> None:
        with pytest.raises(ValueError, match="date"):
            stringToDatetime(text)

    for unit in (b" ", b"\t", b"1 ", b"Sun, ", b"0"):
        assert isLinear(repeated(unit), noDate, 4000)
