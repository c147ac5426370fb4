"""The package's loggers: what a handler, a filter or a __repr__ raises costs nobody more than the record."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor._logger import LOG_BURST, Repeats, getLogger, tellRepeats, tracebackOf

NAME = "reactor.test_logger"


class Boom(Exception):
    pass


class BaseBoom(BaseException):
    pass


KINDS = [Boom, BaseBoom, GeneratorExit, MemoryError, RecursionError, StopIteration, asyncio.CancelledError]


class Failing(logging.Handler):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


@pytest.fixture
def handle() -> Iterator[Callable[[logging.Handler], None]]:
    """Gives the logger a handler until the test is over."""
    logger = logging.getLogger(NAME)
    added: list[logging.Handler] = []

    def add(handler: logging.Handler) -> None:
        logger.addHandler(handler)
        added.append(handler)

    yield add
    for handler in added:
        logger.removeHandler(handler)


@pytest.mark.parametrize("kind", KINDS)
def test_whatAHandlerRaisesIsToldOnStandardError(
    kind: type[BaseException], handle: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    handle(Failing(kind("of the handler")))
    log = getLogger(NAME)
    for write in (log.debug, log.info, log.warning, log.error, log.exception, log.critical):
        logging.getLogger(NAME).setLevel(logging.DEBUG)
        try:
            raise Boom("the first")
        except Boom:
            write("a record with %s", "arguments")
        told = capsys.readouterr().err
        assert told.startswith(f"A log record of {NAME} was lost")
        assert "Boom: the first" in told
        assert told.rstrip().endswith(f"{kind.__name__}: of the handler")


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_whatLeavesTheProgramLeaves(kind: type[BaseException], handle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    handle(Failing(kind("now")))
    with pytest.raises(kind):
        getLogger(NAME).error("a record")
    assert capsys.readouterr().err == ""


def test_aReprThatRaises(handle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    class Nameless:
        def __repr__(self) -> str:
            raise BaseBoom("no name")

    handle(logging.StreamHandler(sys.stderr))
    getLogger(NAME).error("about %r", Nameless())
    assert "BaseBoom: no name" in capsys.readouterr().err


def test_loggingMayBeAskedToBeSilent(
    handle: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle(Failing(Boom("unheard")))
    monkeypatch.setattr(logging, "raiseExceptions", False)
    getLogger(NAME).error("a record")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("broken", [False, True])
def test_withoutStandardError(handle: Any, monkeypatch: pytest.MonkeyPatch, broken: bool) -> None:
    class Broken:
        def write(self, text: str) -> None:
            raise OSError("no space left")

    handle(Failing(Boom("unheard")))
    monkeypatch.setattr(sys, "stderr", Broken() if broken else None)
    getLogger(NAME).error("a record")


def test_recordsAreThoseOfLogging(caplog: pytest.LogCaptureFixture) -> None:
    """The caller is who called, the arguments are kept, and a level that is off costs no record."""
    log = getLogger(NAME)
    caplog.set_level(logging.INFO, NAME)
    log.debug("not told")
    log.info("%s and %d", "one", 2)
    log.log(logging.WARNING, "by its number")
    try:
        raise Boom("x")
    except Boom as error:
        log.exception("with a traceback")
        caught = error
    here = test_recordsAreThoseOfLogging.__name__
    assert [(r.levelname, r.getMessage(), r.name, r.funcName) for r in caplog.records] == [
        ("INFO", "one and 2", NAME, here),
        ("WARNING", "by its number", NAME, here),
        ("ERROR", "with a traceback", NAME, here),
    ]
    assert caplog.records[0].args == ("one", 2)
    assert caplog.records[2].exc_info is not None
    assert caplog.records[2].exc_info[1] is caught


FORGED = "x\n2026-01-01 00:00:00,000 CRITICAL reactor: forged\x1b[2J\u202e"


def errorWith(how: str) -> Exception:
    if how == "cause":
        error: Exception = ValueError("last")
        error.__cause__ = KeyError(FORGED)
    elif how == "context":
        error = ValueError("last")
        error.__context__ = OSError(2, FORGED)
    elif how == "group":
        error = ExceptionGroup(FORGED, [ValueError(FORGED), ExceptionGroup("in", [ValueError(FORGED)])])
    elif how == "syntax":
        error = SyntaxError(FORGED, (FORGED, 1, 1, FORGED))
    else:
        error = ValueError(FORGED)
        if how == "note":
            error.add_note(FORGED)
            error.add_note("2026-01-01 00:00:00,000 CRITICAL reactor: forged")
    return error


@pytest.mark.parametrize("how", ["text", "note", "cause", "context", "group", "syntax"])
def test_noTextMakesARecordOfItsOwn(how: str, handle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """For any handler of a program: what a peer may have sent stays on its line, without control characters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handle(handler)
    try:
        raise errorWith(how)
    except Exception:
        getLogger(NAME).exception("about %s", FORGED)
    told = capsys.readouterr().err
    first, *rest = told.removesuffix("\n").split("\n")
    assert r"x\n2026-01-01 00:00:00,000 CRITICAL reactor: forged\x1b[2J\u202e" in first
    assert all(line.isprintable() for line in rest)
    assert not [line for line in rest if line.startswith("2026")]
    assert told.count(r"x\n2026") >= 2


def raiseIn(fileName: str, function: str, kind: Any) -> None:
    """Raise kind("text") in code of such names."""
    namespace: dict[str, Any] = {"kind": kind}
    exec(compile("def run():\n    raise kind('text')\n", fileName, "exec"), namespace)
    run = namespace["run"]
    run.__code__ = run.__code__.replace(co_name=function, co_qualname=function)
    run()


KIND = "2026-01-01 00:00:00,000 CRITICAL reactor"  # as a type's name: printable, and yet no identifier


@pytest.mark.parametrize("where", ["file", "function", "type", "printable", "module", "syntax", "group"])
def test_noNameMakesARecordOfItsOwn(where: str, handle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Names of files, functions, types and modules: a program can make them of what a peer has sent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handle(handler)
    base: type[Exception] = SyntaxError if where == "syntax" else Exception
    name = KIND if where == "printable" else FORGED if where in ("type", "syntax", "group") else "Plain"
    kind: Any = type(name, (base,), {"__module__": FORGED if where == "module" else "m", "__qualname__": name})
    try:
        try:
            raiseIn(FORGED if where == "file" else "a file", FORGED if where == "function" else "function", kind)
        except Exception as error:
            if where == "group":
                raise ExceptionGroup("all", [error]) from None
            raise
    except Exception:
        getLogger(NAME).exception("about it")
    told = capsys.readouterr().err
    lines = told.removesuffix("\n").split("\n")
    assert all(line.isprintable() and not line.startswith("2026") for line in lines)
    name = KIND if where == "printable" else r"x\n2026-01-01 00:00:00,000 CRITICAL reactor: forged\x1b[2J\u202e"
    expected = {
        "file": f'  File "{name}", line 2, in function',
        "function": f'  File "a file", line 2, in {name}',
        "type": f"m.<{name}>: text",
        "printable": f"m.<{name}>: text",
        "module": f"<{name}>.Plain: text",
        "syntax": f"m.<{name}>: text",
        "group": f"    | m.<{name}>: text",
    }
    assert expected[where] in lines


def test_namesOfTypesWithinFunctionsAreAsTheyAre() -> None:
    class Local(Exception):
        pass

    error = Local("text")
    text, changed = tracebackOf((Local, error, None))
    assert not changed
    assert text == f"{__name__}.test_namesOfTypesWithinFunctionsAreAsTheyAre.<locals>.Local: text"


def test_whatAHandlerRaisesMakesNoRecordOfItsOwn(handle: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A handler's error can have a peer's text as well."""
    handle(Failing(ValueError(FORGED)))
    getLogger(NAME).warning("text")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(r"ValueError: x\n2026")
    assert all(line.isprintable() and not line.startswith("2026") for line in lines)


def test_aPlainTracebackIsPythonsOwn() -> None:
    """It is left to the formatter of the program."""
    try:
        raise ValueError("plain")
    except ValueError as error:
        text, changed = tracebackOf((type(error), error, error.__traceback__))
    assert not changed
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("ValueError: plain")


def test_repeatsAreCounted(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many a second, of each kind; the next one tells how many were left out, or tellRepeats() does."""
    now = [0.0]
    log = getLogger(NAME)
    monkeypatch.setattr(log, "_repeats", Repeats(now=lambda: now[0]))
    caplog.set_level(logging.INFO, NAME)
    for number in range(LOG_BURST + 7):
        log.limited(logging.INFO, "reset by %s", number)
        log.limited(logging.DEBUG, "not told")
    log.limited(logging.WARNING, "another kind")
    assert [r.getMessage() for r in caplog.records] == [*(f"reset by {n}" for n in range(LOG_BURST)), "another kind"]
    caplog.clear()
    tellRepeats()
    assert caplog.records == []
    now[0] = 1.0
    log.limited(logging.INFO, "reset by %s", "the next")
    for _ in range(LOG_BURST + 2):
        log.limited(logging.INFO, "reset by %s", "x")
    now[0] = 2.0
    tellRepeats()
    tellRepeats()
    told = [r.getMessage() for r in caplog.records]
    assert told[0] == "reset by the next (7 more like it were left out before)"
    assert told[LOG_BURST:] == ['3 more records were left out like this one: "reset by %s"']
    assert caplog.records[0].funcName == test_repeatsAreCounted.__name__
