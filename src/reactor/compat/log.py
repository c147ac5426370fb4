"""`twisted.python.log` on `logging`: msg, err, observers, startLogging.

A message is an event for the observers, and an INFO record of the logger "reactor.log"; an error is an ERROR record.
Without observers and without handlers of `logging`, errors go to standard error and messages nowhere.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol, TextIO, TypeVar, runtime_checkable

from reactor.compat import context, events
from reactor.compat.events import PACKAGE, UNHANDLED, Event, Observer, addObserver, removeObserver
from reactor.compat.events import publisher as theLogPublisher
from reactor.compat.levels import LogLevel, levelOf
from reactor.compat.reflect import qual, safe_str
from reactor.failure import Failure
from reactor.interfaces import Interface

T = TypeVar("T")


@runtime_checkable
class ILogObserver(Interface, Protocol):
    """A callable that takes an event, a dict."""

    def __call__(self, eventDict: Event) -> Any:
        """Take an event."""


def msg(*message: object, **kw: Any) -> None:
    """Log a message, whose parts are joined by spaces. `kw` are more keys of the event.

    With `format`, the text is `format % event`. With `isError` it is an error. `system` names the part of the program.
    """
    event = _event(message, kw)
    text = textFromEventDict(event)
    event["log_format"], event["log_text"] = "{log_text}", text or ""
    failure = event.get("failure")
    events.publish(event, text if failure is None else event.get("why") or UNHANDLED)


def _event(message: tuple[object, ...], kw: dict[str, Any]) -> Event:
    now = time.time()
    isError = bool(kw.get("isError", 0))
    event: Event = {
        "message": message,
        "time": now,
        "system": "-",
        "isError": 0,
        "log_level": LogLevel.critical if isError else LogLevel.info,
        "log_namespace": events.LOGGER,
        "log_time": now,
    }
    level = kw.pop("logLevel", None)
    if isinstance(level, int):
        event["log_level"] = levelOf(level)
        kw["logLevel"] = level
    event.update(kw)
    if "failure" in event:
        event["log_failure"] = event["failure"]
    return event


class LogPublisher(events.Publisher):
    """A publisher of the program's own: its observers get the messages that its msg() logs, and no others."""

    def msg(self, *message: object, **kw: Any) -> None:
        """Give a message to the observers. See the function `msg`."""
        event = _event(message, kw)
        event["log_format"], event["log_text"] = "{log_text}", textFromEventDict(event) or ""
        self(event)


def err(_stuff: object = None, _why: str | None = None, **kw: Any) -> None:
    """Log an error: a Failure, an exception, or another object by its repr. `_why` says what was done.

    Without arguments it is the exception that is being handled; NoCurrentExceptionError if there is none. As an errback
    it takes the failure out of the chain, since it returns None.
    """
    if _stuff is None:
        _stuff = Failure()
    if isinstance(_stuff, Exception) and not isFailure(_stuff):
        _stuff = Failure(_stuff)
    if isFailure(_stuff):
        msg(failure=_stuff, why=_why, isError=1, **kw)
    else:
        msg(repr(_stuff), why=_why, isError=1, **kw)


deferr = err


def showwarning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning, or write it to `file`; for `warnings.showwarning`."""
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
        return
    msg(
        warning=message,
        category=qual(category),
        filename=filename,
        lineno=lineno,
        format="%(filename)s:%(lineno)s: %(category)s: %(warning)s",
    )


def isFailure(thing: object) -> bool:
    """Whether `thing` is a Failure, of this package or of Twisted's."""
    return isinstance(thing, Failure) or (type(thing).__name__ == "Failure" and hasattr(thing, "getTraceback"))


def textFromEventDict(eventDict: Mapping[str, Any]) -> str | None:
    """Return the text of an event, or None if it has none."""
    if eventDict.get("isError") and "failure" in eventDict:
        why = eventDict.get("why") or UNHANDLED
        try:
            traceback = eventDict["failure"].getTraceback()
        except Exception as error:
            traceback = f"(unable to obtain traceback): {error}"
        return f"{why}\n{traceback}"
    if eventDict.get("message"):
        return " ".join(map(safe_str, eventDict["message"]))
    if "format" in eventDict:
        try:
            return str(eventDict["format"] % eventDict)
        except Exception as error:
            return f"Invalid format string or unformattable object in log message: {eventDict['format']!r}, {error!r}"
    text = eventDict.get("log_text")
    return None if text is None else str(text)


class FileLogObserver:
    """Writes events to a file: a line for each, with its time and system; further lines are indented by a tab.

    `timeFormat` is a format of strftime, or None for date, time and local offset.
    """

    timeFormat: str | None = None

    def __init__(self, f: Any) -> None:
        self.write = f.write
        self.flush = getattr(f, "flush", lambda: None)

    def formatTime(self, when: float) -> str:
        """Return a time, in seconds since 1970, as text."""
        moment = datetime.fromtimestamp(when).astimezone()
        return moment.strftime(self.timeFormat or "%Y-%m-%d %H:%M:%S%z")

    def emit(self, eventDict: Event) -> None:
        """Write an event that has a text."""
        text = textFromEventDict(eventDict)
        if text is None:
            return
        indented = text.replace("\n", "\n\t")
        self.write(f"{self.formatTime(eventDict['time'])} [{eventDict['system']}] {indented}\n")
        self.flush()

    def start(self) -> None:
        """Take events from now on."""
        addObserver(self.emit)

    def stop(self) -> None:
        """Take no more events."""
        removeObserver(self.emit)


class PythonLoggingObserver:
    """For programs that ask for it. Every event is a record of `logging` already, so it has nothing to do."""

    def __init__(self, loggerName: str = "twisted") -> None:
        self.logger = logging.getLogger(loggerName)

    def emit(self, eventDict: Event) -> None:
        """Do nothing."""

    def start(self) -> None:
        """Take events from now on."""
        addObserver(self.emit)

    def stop(self) -> None:
        """Take no more events."""
        removeObserver(self.emit)


class StdioOnnaStick:
    """A file whose lines are messages, or errors with isError=1: startLogging puts it in the place of sys.stdout."""

    closed = False
    softspace = 0
    mode = "wb"
    name = "<stdio (log)>"
    encoding = "utf-8"

    def __init__(self, isError: int = 0, encoding: str | None = None) -> None:
        self.isError = isError
        self._rest = ""

    def write(self, data: str) -> None:
        """Log each complete line, and keep the rest."""
        *lines, self._rest = (self._rest + data).split("\n")
        for line in lines:
            msg(line, printed=1, isError=self.isError)

    def writelines(self, lines: list[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Do nothing: a rest waits for its line end."""

    def isatty(self) -> bool:
        """Return False."""
        return False

    def close(self) -> None:
        """Do nothing."""

    def fileno(self) -> int:
        """Return -1, as in Twisted."""
        return -1


logfile = StdioOnnaStick()
logerr = StdioOnnaStick(1)


def startLogging(file: Any, *a: Any, **kw: Any) -> FileLogObserver | None:
    """Write all events to `file`, and what the program prints, too, unless `setStdout` is false.

    Return the FileLogObserver. INFO records of this package are events from now on.
    """
    if isinstance(file, StdioOnnaStick):
        return None
    observer = FileLogObserver(file)
    startLoggingWithObserver(observer.emit, *a, **kw)
    return observer


def startLoggingWithObserver(observer: Observer, setStdout: int = 1) -> None:
    """Call `observer` with all events. With `setStdout`, sys.stdout and sys.stderr become messages and errors."""
    addObserver(observer)
    logger = logging.getLogger(PACKAGE)
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    msg("Log opened.")
    if setStdout:
        sys.stdout, sys.stderr = logfile, logerr


def discardLogs() -> None:
    """Have the lines of `logfile` go nowhere."""
    global logfile
    logfile = _Nowhere()


class _Nowhere(StdioOnnaStick):
    def write(self, data: str) -> None:
        """Do nothing."""


def callWithContext(ctx: Mapping[Any, Any], func: Callable[..., T], *args: Any, **kw: Any) -> T:
    """Call `func`; events that it logs have the keys of `ctx`, `system` for example. Return its result."""
    known = context.get("reactor.log", {})
    return context.call({"reactor.log": {**known, **ctx}}, func, *args, **kw)


def callWithLogger(logger: Any, func: Callable[..., T], *args: Any, **kw: Any) -> T | None:
    """Call `func` with the system `logger.logPrefix()`. An exception is logged, and the result is then None."""
    try:
        prefix = logger.logPrefix()
    except Exception:
        prefix = "(buggy logPrefix method)"
        err(None)
    try:
        return callWithContext({"system": prefix}, func, *args, **kw)
    except Exception:
        callWithContext({"system": prefix}, err)
        return None


__all__ = [
    "FileLogObserver",
    "ILogObserver",
    "LogPublisher",
    "PythonLoggingObserver",
    "StdioOnnaStick",
    "addObserver",
    "callWithContext",
    "callWithLogger",
    "deferr",
    "discardLogs",
    "err",
    "logerr",
    "logfile",
    "msg",
    "removeObserver",
    "showwarning",
    "startLogging",
    "startLoggingWithObserver",
    "textFromEventDict",
    "theLogPublisher",
]
