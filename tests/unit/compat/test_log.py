"""`reactor.compat.log` and `logger` beside Twisted's: the same calls give the same events, texts and files."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.logger
import twisted.python.failure
import twisted.python.log

import reactor.failure
from reactor import Deferred
from reactor.compat import log, logger

OURS = SimpleNamespace(name="ours", log=log, logger=logger, Failure=reactor.failure.Failure)
TWISTED = SimpleNamespace(
    name="twisted", log=twisted.python.log, logger=twisted.logger, Failure=twisted.python.failure.Failure
)
BOTH = pytest.mark.parametrize("side", [pytest.param(OURS, id="ours"), pytest.param(TWISTED, id="twisted")])


@pytest.fixture
def quiet() -> Iterator[None]:
    """Records of the package reach no handler of pytest's."""
    package = logging.getLogger("reactor")
    before, level = package.propagate, package.level
    package.propagate = False
    yield
    package.propagate = before
    package.setLevel(level)


def collected(side: Any, call: Any) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    side.log.addObserver(events.append)
    try:
        call()
    finally:
        side.log.removeObserver(events.append)
    return events


def raising() -> None:
    raise ValueError("wrong")


@BOTH
@pytest.mark.usefixtures("quiet")
def test_msg(side: Any) -> None:
    (event,) = collected(side, lambda: side.log.msg("one", 2, b"three", system="here", extra=4))
    assert (event["message"], event["system"], event["extra"], event["isError"]) == (("one", 2, b"three"), "here", 4, 0)
    assert side.log.textFromEventDict(event) == "one 2 three"
    (event,) = collected(side, lambda: side.log.msg(format="%(x)d of %(y)s", x=1, y="two"))
    assert side.log.textFromEventDict(event) == "1 of two"
    (event,) = collected(side, lambda: side.log.msg(format="%(x)d", x="no"))
    assert "format" in str(side.log.textFromEventDict(event))


@BOTH
@pytest.mark.usefixtures("quiet")
def test_err(side: Any) -> None:
    def current() -> None:
        try:
            raising()
        except ValueError:
            side.log.err()
            side.log.err(None, "why")

    for event in collected(side, current):
        assert event["isError"] == 1
        assert event["failure"].check(ValueError)
        assert re.match(r"(Unhandled Error|why)\nTraceback", side.log.textFromEventDict(event))
    (event,) = collected(side, lambda: side.log.err(side.Failure(KeyError("k")), "doing"))
    assert (event["why"], event["failure"].type, event["isError"]) == ("doing", KeyError, 1)
    (event,) = collected(side, lambda: side.log.err(KeyError("k")))
    assert event["failure"].type is KeyError
    (event,) = collected(side, lambda: side.log.err("a text"))
    assert (event["message"], event["isError"]) == (("'a text'",), 1)


@BOTH
def test_aPublisherOfTheProgram(side: Any) -> None:
    """A LogPublisher gives its own messages to its own observers, and to no others."""
    own: list[dict[str, Any]] = []
    publisher = side.log.LogPublisher()
    publisher.addObserver(own.append)
    common = collected(side, lambda: publisher.msg("one", 2, system="a"))
    publisher.removeObserver(own.append)
    publisher.msg("gone")
    assert [(event["message"], event["system"], event["isError"]) for event in own] == [(("one", 2), "a", 0)]
    assert side.log.textFromEventDict(own[0]) == "one 2"
    assert common == []


@BOTH
@pytest.mark.usefixtures("quiet")
def test_showwarning(side: Any) -> None:
    """A warning is an event, whose text says where it was."""
    arguments = (UserWarning("old"), UserWarning, "a.py", 3)
    (event,) = collected(side, lambda: side.log.showwarning(*arguments))
    assert side.log.textFromEventDict(event) == "a.py:3: builtins.UserWarning: old"


def test_showwarningToAFile() -> None:
    file = io.StringIO()
    log.showwarning(UserWarning("old"), UserWarning, "a.py", 3, file, "x = 1")
    assert file.getvalue() == "a.py:3: UserWarning: old\n  x = 1\n"


@BOTH
def test_errWithoutAnException(side: Any) -> None:
    error = sys.modules[side.Failure.__module__].NoCurrentExceptionError
    with pytest.raises(error):
        side.log.err()


@pytest.mark.usefixtures("quiet")
def test_errAsErrback() -> None:
    deferred: Deferred[Any] = Deferred()
    results: list[Any] = []
    errback: Any = log.err
    deferred.addErrback(errback)
    deferred.addBoth(results.append)
    assert len(collected(OURS, lambda: deferred.errback(ValueError()))) == 1
    assert results == [None]


@BOTH
@pytest.mark.usefixtures("quiet")
def test_anObserverThatRaises(side: Any) -> None:
    """It costs no other observer, which gets the error."""

    def bad(event: Any) -> None:
        if not event["isError"]:
            raising()

    side.log.addObserver(bad)
    try:
        events = collected(side, lambda: side.log.msg("x"))
    finally:
        side.log.removeObserver(bad)
    assert [event["isError"] for event in sorted(events, key=lambda event: event["isError"])] == [0, 1]


@BOTH
@pytest.mark.usefixtures("quiet")
def test_file(side: Any) -> None:
    """The lines of FileLogObserver, but for the time."""
    file = io.StringIO()
    observer = side.log.FileLogObserver(file)
    observer.start()
    side.log.msg("two\nlines")
    side.log.msg("here", system="sys")
    observer.stop()
    side.log.msg("after")
    text = re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4} ", "T ", file.getvalue(), flags=re.MULTILINE)
    assert text == "T [-] two\n\tlines\nT [sys] here\n"


@BOTH
@pytest.mark.usefixtures("quiet")
def test_context(side: Any) -> None:
    prefixed = SimpleNamespace(logPrefix=lambda: "prefix")
    events = collected(side, lambda: side.log.callWithLogger(prefixed, side.log.msg, "x"))
    events += collected(side, lambda: side.log.callWithContext({"system": "s"}, side.log.msg, "y"))
    events += collected(side, lambda: side.log.callWithLogger(prefixed, raising))
    assert [(event["system"], event["isError"]) for event in events] == [("prefix", 0), ("s", 0), ("prefix", 1)]


@pytest.mark.usefixtures("quiet")
def test_startLogging(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    file = io.StringIO()
    observer = log.startLogging(file)
    assert observer is not None
    try:
        print("printed")
        sys.stderr.write("an error\n")
        logging.getLogger("reactor.x").info("of the package")
    finally:
        observer.stop()
    lines = [line.split(" ", 2)[2] for line in file.getvalue().splitlines()]
    assert lines == ["[-] Log opened.", "[-] printed", "[-] an error", "[reactor.x] of the package"]


def test_records(caplog: pytest.LogCaptureFixture) -> None:
    """Every event is a record of `logging`, once, also while there are observers."""
    caplog.set_level(logging.INFO)

    def both() -> None:
        log.msg("text")
        log.err(ValueError("v"), "why")

    collected(OURS, both)
    assert [(r.name, r.levelno, r.getMessage()) for r in caplog.records] == [
        ("reactor.log", logging.INFO, "text"),
        ("reactor.log", logging.ERROR, "why"),
    ]
    assert caplog.records[1].exc_info is not None


@pytest.mark.usefixtures("quiet")
def test_errorsOfThePackageAreEvents() -> None:
    def forget() -> None:
        deferred: Deferred[Any] = Deferred()
        deferred.errback(ValueError("lost"))
        del deferred

    (event,) = collected(OURS, forget)
    assert (event["isError"], event["system"], event["failure"].getErrorMessage()) == (1, "reactor.defer", "lost")


@BOTH
@pytest.mark.usefixtures("quiet")
def test_Logger(side: Any) -> None:
    events: list[dict[str, Any]] = []
    made = side.logger.Logger("space", observer=events.append)
    made.info("{x} {y.real} {f()}", x=1, y=2, f=lambda: "called")
    made.warn("{missing}")
    made.failure("failed {n}", side.Failure(ValueError("v")), n=3)
    with made.failuresHandled("handled"):
        raising()
    texts = [side.logger.formatEvent(event) for event in events]
    assert (texts[0], texts[2], texts[3]) == ("1 2 called", "failed 3", "handled")
    assert texts[1].startswith("Unable to format event")
    levels = [event["log_level"].name for event in events]
    assert levels == ["info", "warn", "critical", "critical"]
    assert {event["log_namespace"] for event in events} == {"space"}


@BOTH
def test_LoggerOfAClass(side: Any) -> None:
    class Part:
        log = side.logger.Logger()

    events: list[dict[str, Any]] = []
    part = Part()
    bound = part.log
    bound.observer = events.append
    bound.info("x")
    assert events[0]["log_source"] is part
    assert events[0]["log_namespace"].endswith("Part")


@BOTH
@pytest.mark.usefixtures("quiet")
def test_observersOfLogger(side: Any) -> None:
    file, json = io.StringIO(), io.StringIO()
    observers = [side.logger.textFileLogObserver(file, timeFormat=None), side.logger.jsonFileLogObserver(json)]
    for observer in observers:
        side.logger.globalLogPublisher.addObserver(observer)
    side.logger.Logger("space").error("a\nb {x}", x=1)
    for observer in observers:
        side.logger.globalLogPublisher.removeObserver(observer)
    assert file.getvalue() == "- [space#error] a\n\tb 1\n"
    (event,) = side.logger.eventsFromJSONLogFile(io.StringIO(json.getvalue()))
    assert (event["log_format"], event["x"], event["log_level"].name) == ("a\nb {x}", 1, "error")


@BOTH
def test_levels(side: Any) -> None:
    level = side.logger.LogLevel
    assert [each.name for each in level.iterconstants()] == ["debug", "info", "warn", "error", "critical"]
    assert level.levelWithName("warn") is level.warn
    assert level.debug < level.critical
    with pytest.raises(side.logger.InvalidLogLevelError):
        level.levelWithName("none")
