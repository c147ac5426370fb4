"""Lines of access logs, beside Twisted's own formatters, and with hostile values."""

from __future__ import annotations

import io
import logging
import os
import pathlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import address
from twisted.web import http

from reactor.address import IPv6Address, UNIXAddress
from reactor.defer import Deferred
from reactor.http.accesslog import combinedLogFormatter, proxiedLogFormatter
from reactor.http.factory import HTTPFactory
from reactor.http.requests import Request
from reactor.http.response import Response
from tests.support.httprequests import Asked
from tests.support.httpscenes import Scene, get

WHEN = "[06/Nov/1994:08:49:37 +0000]"


def answered(uri: bytes = b"/a?b", **headers: str) -> Asked:
    request = Asked(uri, headers={name.replace("_", "-"): value for name, value in headers.items()})
    request.code = 206
    request.sentLength = 1234
    return request


def test_theWholeLine() -> None:
    request = answered(referer="http://example/", user_agent="curl/8")
    request.user = b"ann"
    line = f'"192.0.2.7" - ann {WHEN} "GET /a?b HTTP/1.1" 206 1234 "http://example/" "curl/8"'
    assert combinedLogFormatter(WHEN, request) == line


def test_valuesThatAreNotThere() -> None:
    request = answered()
    request.sentLength = 0
    request.address = UNIXAddress(None)
    assert combinedLogFormatter(WHEN, request) == f'"-" - - {WHEN} "GET /a?b HTTP/1.1" 206 - "-" "-"'
    request.address = IPv6Address("TCP", "2001:db8::1", 1)
    assert combinedLogFormatter(WHEN, request).startswith('"2001:db8::1" - - [')


@pytest.mark.parametrize(
    ("user", "shown"),
    [(b"", "-"), (b"-", '"-"'), (b"a b", '"a b"'), (b'a"b', r'"a\"b"'), (b"a\nb", r'"a\nb"'), (b"a@b.c", "a@b.c")],
)
def test_userNames(user: bytes, shown: str) -> None:
    request = answered()
    request.user = user
    assert combinedLogFormatter(WHEN, request).startswith(f'"192.0.2.7" - {shown} [')


def test_behindAProxy() -> None:
    request = answered(x_forwarded_for="198.51.100.1, 192.0.2.1")
    assert proxiedLogFormatter(WHEN, request).startswith('"198.51.100.1" - - [')
    assert combinedLogFormatter(WHEN, request).startswith('"192.0.2.7" - - [')
    assert proxiedLogFormatter(WHEN, answered()).startswith('"-" - - [')
    assert proxiedLogFormatter(WHEN, answered(x_forwarded_for="")).startswith('"" - - [')
    assert proxiedLogFormatter(WHEN, answered(x_forwarded_for='1" - \x1b[2J')).startswith(r'"1\" - \x1b[2J" - - [')


class Twin(Asked):
    """The same request, with Twisted's address."""

    address = address.IPv4Address("TCP", "192.0.2.7", 4711)


@given(
    st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 3)
)
def test_asTwistedWritesIt(uri: bytes, method: bytes, referer: bytes, agent: bytes, length: int) -> None:
    ours, theirs = Asked(uri, method), Twin(uri, method)
    for request in (ours, theirs):
        request.requestHeaders.values = {b"referer": [referer], b"user-agent": [agent]}
        request.sentLength = length
    line = combinedLogFormatter(WHEN, ours)
    assert line == http.combinedLogFormatter(WHEN, theirs)
    assert line.isascii()
    assert line.isprintable()


def test_textOfPrograms() -> None:
    """A program may set text where bytes are usual."""
    request: Any = answered()
    request.clientproto, request.method = "HTTP/1.0", "GET"
    assert '"GET /a?b HTTP/1.0"' in combinedLogFormatter(WHEN, request)
    request.uri = "/ä"
    assert r'"GET /\xc3\xa4 HTTP/1.0"' in combinedLogFormatter(WHEN, request)


# The log of a factory.


class Timed:
    """A reactor that only tells the time."""

    def __init__(self) -> None:
        self.now = 784111777.9

    def seconds(self) -> float:
        return self.now


def test_aFileOfLines(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened for appending at the start, and closed at the stop; each line is there at once."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "access.log"
    path.write_text("before\n")
    clock = Timed()
    factory = HTTPFactory("access.log", reactor=clock)
    monkeypatch.chdir("/")
    assert not factory.logs
    factory.doStart()
    assert factory.logs
    factory.log(answered())
    clock.now += 1.0
    factory.log(answered(user_agent='x"\n'))
    first, second = path.read_text().removeprefix("before\n").splitlines()
    assert first == combinedLogFormatter(WHEN, answered())
    assert second.endswith(r'"x\"\n"')
    assert "08:49:38" in second
    file = factory.logFile
    factory.doStop()
    assert file.closed
    assert not factory.logs
    with pytest.raises(AttributeError, match="no log file present"):
        _ = factory.logFile


def test_aFormatterOfOnesOwn(tmp_path: pathlib.Path) -> None:
    def formatter(timestamp: str, request: Any) -> str:
        return f"{timestamp} {request.code}"

    factory = HTTPFactory(os.fsencode(tmp_path / "log"), logFormatter=formatter, reactor=Timed())
    factory.doStart()
    factory.log(answered())
    factory.doStop()
    assert (tmp_path / "log").read_text() == f"{WHEN} 206\n"
    wrong: Any = "%h %l"
    with pytest.raises(TypeError, match="cannot be called"):
        HTTPFactory(logFormatter=wrong)


def test_filesOfOnesOwn() -> None:
    factory = HTTPFactory(reactor=Timed())
    for file in (text := io.StringIO(newline="\n"), octets := io.BytesIO()):
        factory.logFile = file
        assert factory.logs
        factory.log(answered())
    line = combinedLogFormatter(WHEN, answered()) + "\n"
    assert (text.getvalue(), octets.getvalue()) == (line, line.encode())
    factory.logFile.detach()


def test_aSubclassThatLogs() -> None:
    """As in Twisted, a program may define `log`; it is called without a start of the factory, too."""

    class Own(HTTPFactory):
        def log(self, request: Any) -> None:
            """Keep nothing."""

    assert Own().logs
    assert not HTTPFactory().logs


def test_theLoggerInPlaceOfAFile(caplog: pytest.LogCaptureFixture) -> None:
    """Each value is escaped there as well; and it is asked at the start whether it wants such records."""
    factory = HTTPFactory()
    with caplog.at_level(logging.WARNING, "reactor.http.access"):
        factory.doStart()
        assert not factory.logs
        factory.doStop()
    with caplog.at_level(logging.INFO, "reactor.http.access"):
        factory.doStart()
        assert factory.logs
        factory.log(answered(referer="a\x1b[2J"))
        factory.doStop()
    texts = [record.getMessage() for record in caplog.records if record.name == "reactor.http.access"]
    assert texts == [r'192.0.2.7 "GET /a?b HTTP/1.1" 206 1234 "a\x1b[2J" "-"']


@pytest.mark.needs("/dev/full")
def test_aLineThatIsLost(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk, or a closed file, costs the line. Requests go on, and a record tells of it."""
    factory = HTTPFactory("/dev/full")
    factory.doStart()
    factory.log(answered())
    assert "a line of the access log was lost: [Errno 28]" in caplog.text
    factory.doStop()
    factory = HTTPFactory()
    factory.logFile = io.StringIO()
    factory.logFile.close()
    factory.log(answered())
    assert "closed file" in caplog.text


def test_aLogThatCannotBeOpened(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        HTTPFactory(tmp_path / "none" / "log").doStart()


def test_requestsAnsweredBehindTheStopAreLogged(tmp_path: pathlib.Path) -> None:
    """The file closes when the last connection has ended."""
    path = tmp_path / "log"
    waiting: list[Deferred[Any]] = []

    def handler(request: Any) -> Deferred[Any]:
        waiting.append(Deferred())
        return waiting[0]

    scene = Scene(factory=HTTPFactory.forHandler(handler, logPath=path))
    scene.factory.doStart()
    scene.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
    scene.factory.doStop()
    waiting[0].callback(b"here")
    assert [answer.body for answer in scene.take()] == [b"here"]
    assert '"GET /late HTTP/1.1" 200 4' in path.read_text()
    scene.leave()
    with pytest.raises(AttributeError):
        scene.factory.logFile  # noqa: B018


def test_aLogThatRaisesCostsItsLine(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(HTTPFactory):
        def log(self, request: Any) -> None:
            raise ZeroDivisionError

    scene = Scene(factory=Failing.forHandler(lambda request: b"here"))
    assert scene.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"here"
    assert "the access log has failed" in caplog.text


def test_aFormatterWithoutAFile(caplog: pytest.LogCaptureFixture) -> None:
    """The record's text is that of the formatter."""
    caplog.set_level(logging.INFO, "reactor.http.access")
    factory = HTTPFactory(logFormatter=lambda when, request: f"{when[:1]} {request.code}")
    factory.requestFactory = HTTPFactory.forHandler(lambda _: b"").requestFactory
    factory.handler = lambda _: b"ok"
    factory.startFactory()
    Scene(factory=factory).ask(get())
    assert [record.getMessage() for record in caplog.records] == ["[ 200"]


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_anAnswerToHEADHasNoBytes(size: int, caplog: pytest.LogCaptureFixture) -> None:
    """The body that HEAD leaves out is not counted, however the answer is sent."""
    caplog.set_level(logging.INFO, "reactor.http.access")
    scene = Scene(factory=HTTPFactory.forHandler(lambda request: Response(200, b"x" * size)))
    scene.factory.doStart()
    scene.peer.transport.write(get(method=b"HEAD") + get())
    scene.take(b"HEAD")
    texts = [record.getMessage() for record in caplog.records if record.name == "reactor.http.access"]
    assert [text.split()[-3] for text in texts] == ["-", str(size or "-")]


@pytest.mark.parametrize("kind", ["handler", "process"])
def test_linesAreInTheOrderOfTheAnswers(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A request whose answer waits behind an earlier one is logged in its turn, and not if that turn never comes."""
    caplog.set_level(logging.INFO, "reactor.http.access")
    requests: list[Any] = []

    class Program(Request):
        def process(self) -> None:
            requests.append(self)

    def keep(request: Any) -> Deferred[Any]:
        requests.append(request)
        return Deferred()

    factory = HTTPFactory.forHandler(keep)
    if kind == "process":
        factory.requestFactory = Program
    scene = Scene(factory=factory)
    factory.doStart()
    scene.send(get(b"/0") + get(b"/1") + get(b"/2") + get(b"/3"))

    def answer(place: int) -> None:
        requests[place].write(b"x" * (place + 1))
        requests[place].finish()

    def logged() -> list[str]:
        return [record.getMessage().split()[2] for record in caplog.records if record.name == "reactor.http.access"]

    answer(1)
    answer(3)
    assert logged() == []
    answer(0)
    assert logged() == ["/0", "/1"]
    scene.leave()
    assert logged() == ["/0", "/1"]


def test_theLastAnswerOfAQueueIsLogged(caplog: pytest.LogCaptureFixture) -> None:
    """Also if its program ends the connection with it."""
    caplog.set_level(logging.INFO, "reactor.http.access")
    requests: list[Any] = []

    class Program(Request):
        def process(self) -> None:
            requests.append(self)

    factory = HTTPFactory()
    factory.requestFactory = Program
    scene = Scene(factory=factory)
    factory.doStart()
    scene.send(get(b"/0") + get(b"/1"))
    requests[1].loseConnection()
    requests[1].write(b"last")
    requests[1].finish()
    requests[0].finish()
    assert [answer.body for answer in scene.take()] == [b"", b"last"]
    lines = [record.getMessage().split()[2] for record in caplog.records if record.name == "reactor.http.access"]
    assert lines == ["/0", "/1"]
