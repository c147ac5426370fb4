"""`twisted.logger` on `logging`: Logger, its levels, and observers in outline.

An event is a record of the logger that the namespace names, with its level. See `reactor.compat.events`.
"""

from __future__ import annotations

import json
import string
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Protocol, runtime_checkable

from reactor.compat import events
from reactor.compat.events import Event, Observer, Publisher
from reactor.compat.levels import InvalidLogLevelError, LogLevel
from reactor.compat.log import FileLogObserver as _ClassicObserver
from reactor.compat.log import isFailure, logerr, logfile
from reactor.failure import Failure, safeRepr
from reactor.interfaces import Interface

LogPublisher = Publisher


@runtime_checkable
class ILogObserver(Interface, Protocol):
    """A callable that takes an event, a dict."""

    def __call__(self, event: Event) -> Any:
        """Take an event."""


class _EventFormatter(string.Formatter):
    """Fields may end in (), which calls them: "{request.path()}"."""

    def get_field(self, field_name: str, args: Any, kwargs: Any) -> Any:
        called = field_name.endswith("()")
        found, used = super().get_field(field_name[:-2] if called else field_name, args, kwargs)
        return (found() if called else found), used


_formatter = _EventFormatter()


def formatEvent(event: Event) -> str:
    """Return the text of an event: its `log_format` with its other values. If that fails, the text says so."""
    pattern = event.get("log_format")
    if pattern is None:
        return ""
    try:
        if isinstance(pattern, bytes):
            pattern = pattern.decode()
        return _formatter.vformat(pattern, (), event)
    except Exception as error:
        return f"Unable to format event {safeRepr(event)}: {safeRepr(error)}"


def formatTime(when: float | None, timeFormat: str | None = "%Y-%m-%dT%H:%M:%S%z", default: str = "-") -> str:
    """Return a time in seconds since 1970 as text, or `default` for None."""
    if timeFormat is None or when is None:
        return default
    return time.strftime(timeFormat, time.localtime(when))


def formatEventAsClassicLogText(event: Event, formatTime: Callable[[float | None], str] = formatTime) -> str | None:
    """Return an event as a line of a log, or None if it has no text. Further lines are indented by a tab."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not text:
        return None
    indented = text.replace("\n", "\n\t")
    return f"{formatTime(event.get('log_time'))} [{_systemOf(event)}] {indented}\n"


def eventAsText(
    event: Event, includeTraceback: bool = True, includeTimestamp: bool = True, includeSystem: bool = True
) -> str:
    """Return the text of an event, with the parts that are asked for."""
    text = formatEvent(event)
    if includeTraceback and "log_failure" in event:
        try:
            traceback = event["log_failure"].getTraceback()
        except Exception as error:
            traceback = f"(UNABLE TO OBTAIN TRACEBACK FROM EVENT):{error}"
        text = f"{text}\n{traceback}"
    if not text:
        return text
    before = [formatTime(event.get("log_time"))] if includeTimestamp else []
    before += [f"[{_systemOf(event)}]"] if includeSystem else []
    return " ".join([*before, text])


def _systemOf(event: Event) -> str:
    system = event.get("log_system")
    if system is not None:
        return str(system)
    level = event.get("log_level")
    return f"{event.get('log_namespace', '-')}#{'-' if level is None else level.name}"


class Logger:
    """Emits events. `namespace` is that of the calling module by default; it names the logger of `logging`.

    As an attribute of a class it is bound: its events have the instance, or the class, as `log_source`.
    """

    def __init__(self, namespace: str | None = None, source: object = None, observer: Observer | None = None) -> None:
        if namespace is None:
            namespace = sys._getframe(1).f_globals.get("__name__", "<unknown>")
        self.namespace = namespace
        self.source = source
        self.observer = observer

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Logger:
        if owner is None:
            raise TypeError("a Logger is an attribute of a class")
        source: Any = owner if instance is None else instance
        return type(self)(f"{owner.__module__}.{owner.__qualname__}", source, self.observer)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.namespace!r}>"

    def emit(self, level: LogLevel, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event with `format`, and `kwargs` as its values. An unknown level is an error in the log."""
        if not isinstance(level, LogLevel):
            self.failure(
                "Got invalid log level {invalidLevel!r}.", Failure(InvalidLogLevelError(level)), invalidLevel=level
            )
            return
        now = time.time()
        event: Event = {
            **kwargs,
            "log_logger": self,
            "log_level": level,
            "log_namespace": self.namespace,
            "log_source": self.source,
            "log_format": format,
            "log_time": now,
        }
        if self.observer is not None:
            self.observer(event)
            return
        text = formatEvent(event)
        failure = event.get("log_failure")
        event.setdefault("message", () if failure is not None else (text,))
        event.setdefault("time", now)
        event.setdefault("system", kwargs.get("log_system", self.namespace))
        event.setdefault("isError", int(failure is not None or level >= LogLevel.error))
        if failure is not None:
            event["failure"], event["why"] = failure, text
        events.publish(event, text)

    def failure(self, format: str, failure: Any = None, level: LogLevel = LogLevel.critical, **kwargs: Any) -> None:
        """Emit an event of a failure, by default of the exception that is being handled."""
        self.emit(level, format, log_failure=Failure() if failure is None else failure, **kwargs)

    @contextmanager
    def failuresHandled(self, format: str, level: LogLevel = LogLevel.critical, **kwargs: Any) -> Iterator[Operation]:
        """Log an exception of the block, and go on. The value of `as` tells then whether it `succeeded`."""
        operation = Operation()
        try:
            yield operation
        except BaseException as error:
            if not isinstance(error, Exception):
                raise
            operation.failure = Failure(error)
            self.failure(format, operation.failure, level, **kwargs)
        else:
            operation.succeeded = True

    def debug(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event of the level debug."""
        self.emit(LogLevel.debug, format, **kwargs)

    def info(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event of the level info."""
        self.emit(LogLevel.info, format, **kwargs)

    def warn(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event of the level warn."""
        self.emit(LogLevel.warn, format, **kwargs)

    def error(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event of the level error."""
        self.emit(LogLevel.error, format, **kwargs)

    def critical(self, format: str | None = None, **kwargs: Any) -> None:
        """Emit an event of the level critical."""
        self.emit(LogLevel.critical, format, **kwargs)


class Operation:
    """The value of failuresHandled: whether the block `succeeded`, and its `failure`, or None."""

    succeeded = False
    failure: Failure | None = None

    @property
    def failed(self) -> bool:
        """Whether the block has raised."""
        return self.failure is not None


class FileLogObserver:
    """Writes to `outFile` the text that `formatEvent` returns for each event; None writes nothing."""

    def __init__(self, outFile: IO[Any], formatEvent: Callable[[Event], str | None]) -> None:
        self._outFile = outFile
        self.formatEvent = formatEvent
        self._isText = not isinstance(getattr(outFile, "mode", ""), str) or "b" not in getattr(outFile, "mode", "")

    def __call__(self, event: Event) -> None:
        """Write an event."""
        text = self.formatEvent(event)
        if text:
            try:
                self._outFile.write(text if self._isText else text.encode())
            except TypeError:  # a file of bytes without a mode, such as BytesIO
                self._outFile.write(text.encode())
            self._outFile.flush()


def textFileLogObserver(outFile: IO[Any], timeFormat: str | None = "%Y-%m-%dT%H:%M:%S%z") -> FileLogObserver:
    """Return an observer that writes events as lines of text."""

    def formatted(event: Event) -> str | None:
        return formatEventAsClassicLogText(event, lambda when: formatTime(when, timeFormat))

    return FileLogObserver(outFile, formatted)


def jsonFileLogObserver(outFile: IO[Any], recordSeparator: str = "\x1e") -> FileLogObserver:
    """Return an observer that writes each event as an object of JSON, with `recordSeparator` before it."""
    return FileLogObserver(outFile, lambda event: f"{recordSeparator}{eventAsJSON(event)}\n")


def eventAsJSON(event: Event) -> str:
    """Return an event as JSON. A level is its name, a failure its texts; other objects are their repr."""

    def convert(thing: Any) -> Any:
        if isinstance(thing, LogLevel):
            return {"name": thing.name}
        if isinstance(thing, bytes):
            return thing.decode("charmap")
        if isFailure(thing):
            return {"type": thing.type.__name__, "value": thing.getErrorMessage(), "traceback": thing.getTraceback()}
        return safeRepr(thing)

    shown = {key: value for key, value in event.items() if key not in ("log_logger", "log_source", "failure")}
    return json.dumps(shown, default=convert, skipkeys=True)


def eventsFromJSONLogFile(inFile: IO[Any], recordSeparator: str = "\x1e") -> Iterator[Event]:
    """Yield the events of a file that jsonFileLogObserver wrote. A record that is cut off is left out."""
    data = inFile.read()
    for part in (data.decode() if isinstance(data, bytes) else data).split(recordSeparator or "\n"):
        try:
            event = json.loads(part)
        except ValueError:
            continue
        if isinstance(event.get("log_level"), dict):
            event["log_level"] = LogLevel.lookupByName(event["log_level"]["name"])
        yield event


@contextmanager
def capturedLogs() -> Iterator[list[Event]]:
    """Collect the events of the block in a list."""
    captured: list[Event] = []
    events.addObserver(captured.append)
    try:
        yield captured
    finally:
        events.removeObserver(captured.append)


class _Global:
    """globalLogPublisher: the observers of all events."""

    addObserver = staticmethod(events.addObserver)
    removeObserver = staticmethod(events.removeObserver)

    def __call__(self, event: Event) -> None:
        """Give an event to all observers."""
        events.publisher(event)


class _Beginner:
    """globalLogBeginner: adds the observers of a program, and may take what it prints."""

    def beginLoggingTo(
        self, observers: Iterable[Observer], discardBuffer: bool = False, redirectStandardIO: bool = True
    ) -> None:
        """Add `observers`. With `redirectStandardIO`, lines that the program prints become events."""
        for observer in observers:
            events.addObserver(observer)
        if redirectStandardIO:
            sys.stdout, sys.stderr = logfile, logerr


globalLogPublisher = _Global()
globalLogBeginner = _Beginner()
LegacyFileLogObserver = _ClassicObserver
