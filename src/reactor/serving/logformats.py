"""The two formats of the command's log: text, and JSON.

Both are safe for programs that read lines, and for terminals. The texts of peers and exceptions are escaped, so that no
control character, line end or other unprintable character is left. The strings of JSON are the same escaped texts. So a
program that prints one of them is safe, too.
"""

from __future__ import annotations

import datetime
import json
import logging
import math
import os
from collections.abc import Mapping
from typing import Any

from reactor._logger import escaped, tracebackOf
from reactor.failure import safeRepr

TEXT, JSON = LOG_FORMATS = ("text", "json")
TEXT_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"
TEXT_LINE_OF = "%(asctime)s %(levelname)s %(name)s [{}, %(process)s]: %(message)s"  # of a supervisor's processes
ADMIN = "admin"
EXTRA = "reactorFields"  # the attribute of a record with fields of its own


def momentOf(seconds: float) -> str:
    """Return a time, in seconds since 1970, as in RFC 3339: in UTC, with three digits behind the second's point."""
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment.isoformat(timespec='milliseconds').removesuffix('+00:00')}Z"


class CleanFormatter(logging.Formatter):
    """A formatter that makes one line of each record, with the lines of a traceback after it. Times are in UTC."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """Return the record's time."""
        return momentOf(record.created)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the record's line."""
        return escaped(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """Return the whole record. Another handler's formatter may have left its own text of the traceback."""
        if record.exc_info:
            record.exc_text = None
        elif record.exc_text:
            record.exc_text = escaped(record.exc_text)
        return super().format(record)

    def formatException(self, ei: logging._SysExcInfoType) -> str:
        """Return the traceback, with the text of each exception on one line."""
        kind, value, frames = ei
        if kind is None or value is None:
            return "NoneType: None"
        try:
            return tracebackOf((kind, value, frames))[0]
        except Exception:  # for example, an exception whose str() raises
            return escaped(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The stack that a program has asked for: whatever names its frames, all lines but the first are indented."""
        first, *rest = stack_info.split("\n")
        lines = [each if each.startswith("  ") else f"  {each}" for each in rest]
        return "\n".join([escaped(first), *(escaped(each) for each in lines)])

    def formatFailure(self, record: logging.LogRecord, error: BaseException) -> str:
        """Return the text in place of a record that cannot be formatted, because of `error`."""
        told, _ = tracebackOf((type(error), error, error.__traceback__))
        return f"{escaped(f'a record cannot be formatted: {safeRepr(record.msg)}')}\n{told}"

    def formatPlain(self, text: str) -> str:
        """Return a text of the command that is no record. A process of a supervisor makes a record of it."""
        if self._fmt == TEXT_LINE:
            return text
        return self.format(_plainRecord(text))


# The attributes that logging itself gives a record: all others are from `extra`. "taskName" is new in Python 3.12.
_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", EXTRA}


def _value(value: object) -> str | int | float | bool | None:
    """Return a value of JSON for one of a program: its repr, if JSON has nothing for its type."""
    if value is None or type(value) in (bool, int):
        return value  # type: ignore[return-value]
    if type(value) is float and math.isfinite(value):
        return value
    return escaped(value if type(value) is str else safeRepr(value))


class JSONFormatter(CleanFormatter):
    """A formatter that makes one JSON object of each record, on one line, of printable ASCII characters.

    Its keys are "time", "level", "logger" and "message", and "traceback" and "stack" if there are any. The keys of the
    `extra` of a call of logging follow, and those of a record for a connection. `marks` are keys for each record, with
    "pid": a supervisor's processes have some.
    """

    def __init__(self, marks: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self._marks = marks

    def format(self, record: logging.LogRecord) -> str:
        """Return the record."""
        fields = self._fields(record.created, record.levelname, record.name, record.getMessage())
        fields.update(getattr(record, EXTRA, {}))
        for name, value in vars(record).items():
            if name not in _ATTRIBUTES:
                fields.setdefault(escaped(str(name)), _value(value))
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        elif record.exc_text:
            fields["traceback"] = escaped(record.exc_text, keep="\n")
        if record.stack_info:
            fields["stack"] = self.formatStack(record.stack_info)
        return json.dumps(fields)

    def formatFailure(self, record: logging.LogRecord, error: BaseException) -> str:
        """See CleanFormatter."""
        message = f"a record cannot be formatted: {safeRepr(record.msg)}"
        fields = self._fields(record.created, logging.getLevelName(logging.ERROR), record.name, message)
        fields["traceback"] = tracebackOf((type(error), error, error.__traceback__))[0]
        return json.dumps(fields)

    def formatPlain(self, text: str) -> str:
        """See CleanFormatter."""
        return self.format(_plainRecord(text))

    def _fields(self, created: float, level: str, name: str, message: str) -> dict[str, Any]:
        texts = {"level": level, "logger": name, "message": message}
        marks = {} if self._marks is None else {**self._marks, "pid": os.getpid()}
        return {"time": momentOf(created), **{key: escaped(text) for key, text in texts.items()}, **marks}


def _plainRecord(text: str) -> logging.LogRecord:
    return logging.LogRecord("reactor.serving", logging.INFO, __file__, 0, "%s", (text,), None)


def formatterOf(name: str, process: int | str | None = None) -> CleanFormatter:
    """Return the formatter of one of LOG_FORMATS.

    `process` is the number of a supervisor's worker, or ADMIN. Then each record names it, and its process id.
    """
    if process is None:
        return JSONFormatter() if name == JSON else CleanFormatter(TEXT_LINE)
    isAdmin = process == ADMIN
    if name == JSON:
        return JSONFormatter({ADMIN: True} if isAdmin else {"worker": process})
    return CleanFormatter(TEXT_LINE_OF.format(ADMIN if isAdmin else f"worker {process}"))
