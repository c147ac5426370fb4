"""The hub of log events, for `log` and `logger`: events reach observers of both kinds, and `logging`.

An event is a dict. The keys of `twisted.logger` begin with `log_`. Those of `twisted.python.log` are `message`, `time`,
`system` and `isError`, and `failure` and `why` of an error. An event has both kinds.

Each event is also a record of the logger that its namespace names, "reactor.log" without one. Records that the package
itself writes below "reactor" become events, as soon as there is an observer.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor.compat import context
from reactor.compat.levels import LogLevel, levelOf
from reactor.failure import Failure
from reactor.failure import safeRepr as reprOf

Event = dict[str, Any]
Observer = Callable[[Event], Any]

LOGGER = "reactor.log"
PACKAGE = "reactor"
UNHANDLED = "Unhandled Error"


class Publisher:
    """Observers, each called with every event, in the order of their coming. One that raises costs no other."""

    def __init__(self, *observers: Observer) -> None:
        self._observers: list[Observer] = list(observers)

    @property
    def observers(self) -> list[Observer]:
        """The observers, as a new list."""
        return list(self._observers)

    def addObserver(self, observer: Observer) -> None:
        """Add an observer: a callable that takes an event. TypeError if it is none. One that is here stays once."""
        if not callable(observer):
            raise TypeError(f"an observer is called with each event, and {observer!r} cannot be called")
        if observer not in self._observers:
            self._observers.append(observer)

    def removeObserver(self, observer: Observer) -> None:
        """Remove an observer. One that is not here is no error."""
        with suppress(ValueError):
            self._observers.remove(observer)

    def __call__(self, event: Event) -> None:
        """Call each observer with the event. An exception of one is told to the others."""
        for observer in self.observers:
            try:
                observer(event)
            except Exception as error:
                told = errorEvent(Failure(error), f"A log observer has failed: {reprOf(observer)}")
                for other in self.observers:
                    if other is not observer:
                        with suppress(Exception):
                            other(told)


class _Busy(threading.local):
    isPublishing = False


_busy = _Busy()
publisher = Publisher()


class FromLogging(logging.Handler):
    """Makes events of the package's own records: an unhandled error of a Deferred, for example."""

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler. A record that is an event already is left out."""
        if getattr(record, "isReactorEvent", False) or not publisher.observers:
            return
        try:
            text = record.getMessage()
        except Exception:
            text = str(record.msg)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            event = errorEvent(Failure(error), text)
        else:
            event = textEvent(text, LogLevel.error if record.levelno >= logging.ERROR else levelOf(record.levelno))
        event.update(system=record.name, time=record.created, log_namespace=record.name, log_time=record.created)
        publisher(event)


_bridge = FromLogging()


def addObserver(observer: Observer) -> None:
    """Add an observer of all events. The package's own records come, too, from now on."""
    logger = logging.getLogger(PACKAGE)
    if _bridge not in logger.handlers:
        logger.addHandler(_bridge)
    publisher.addObserver(observer)


def removeObserver(observer: Observer) -> None:
    """Remove an observer. Without any, the package's records are those of `logging` alone again."""
    publisher.removeObserver(observer)
    if not publisher.observers:
        logging.getLogger(PACKAGE).removeHandler(_bridge)


def textEvent(text: str, level: LogLevel) -> Event:
    """Return an event with a text."""
    now = time.time()
    isError = int(level >= LogLevel.error)
    return {
        "message": (text,),
        "time": now,
        "system": "-",
        "isError": isError,
        "log_format": "{log_text}",
        "log_text": text,
        "log_level": level,
        "log_namespace": LOGGER,
        "log_time": now,
    }


def errorEvent(failure: Any, why: str | None = None) -> Event:
    """Return the event of a failure. `why` says what was done."""
    event = textEvent(why or UNHANDLED, LogLevel.critical)
    event.update(message=(), failure=failure, why=why, isError=1, log_failure=failure)
    return event


def publish(event: Event, text: str | None) -> None:
    """Give an event to the observers and to `logging`, where its text is `text`; None has no record.

    An observer that logs while it is called would be called for ever: its events go to `logging` alone.
    """
    for key, value in context.get("reactor.log", {}).items():
        if event.get(key, "-") == "-":
            event[key] = value
    if not _busy.isPublishing:
        _busy.isPublishing = True
        try:
            publisher(event)
        finally:
            _busy.isPublishing = False
    if text is not None:
        _record(event, text)


def _record(event: Event, text: str) -> None:
    failure = event.get("failure") or event.get("log_failure")
    level = logging.ERROR if event.get("isError") else event["log_level"].number
    info: Any = None
    if failure is not None and isinstance(failure.value, BaseException):
        info = (type(failure.value), failure.value, failure.tb)
    logger = logging.getLogger(event["log_namespace"])
    try:
        logger.log(level, "%s", text, exc_info=info, extra={"isReactorEvent": True})
    except Exception:  # of a handler: an event is lost there, and the program goes on
        if logging.raiseExceptions and sys.stderr is not None:
            with suppress(Exception):
                sys.stderr.write(f"A log event was lost, as a handler failed: {text}\n")
