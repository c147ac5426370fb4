"""The command's log, safe for terminals and for programs that read lines: see `logformats` and `logoutput`.

A peer that makes a handler raise can cause a traceback for each line that it sends. So for each place that raises, only
a few of the package's tracebacks a second are written. A record tells the number of the others.
"""

from __future__ import annotations

import io
import logging
import sys
import traceback
from contextlib import suppress

from reactor._logger import Repeats, escaped, tellRepeats
from reactor.loops.base import ReactorBase
from reactor.service.members import CHANGES
from reactor.service.records import ConnectionRecord
from reactor.serving.capture import capture
from reactor.serving.collecting.formats import addressText
from reactor.serving.logformats import EXTRA, TEXT, CleanFormatter, formatterOf
from reactor.serving.logoutput import LogFile, LogOutput, StandardError

LEVELS = ("debug", "info", "warning", "error", "critical")
OURS = "reactor"
CONNECTIONS = "reactor.connections"  # the logger of the lines for connections

_speaker: list[StandardError] = []  # writes the command's own texts, if the log goes to a file


class Tracebacks(logging.Filter):
    """Lets a few records with a traceback pass each second for each line of code that raises, and counts the others."""

    def __init__(self, repeats: Repeats | None = None) -> None:
        super().__init__()
        self._repeats = repeats or Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record."""
        if not record.exc_info or record.exc_info[0] is None or record.name.partition(".")[0] != OURS:
            return True
        left = self._repeats.admit((record.name, record.levelno, _placeOf(record.exc_info)))
        if left:
            self._tell(record.name, record.levelno, _placeOf(record.exc_info), left)
        return left is not None

    def tell(self, everything: bool = False) -> None:
        """Log the number of left-out tracebacks of past seconds, or of `everything`."""
        for (name, level, place), left in self._repeats.over(everything):
            self._tell(name, level, place, left)

    def _tell(self, name: str, level: int, place: str, left: int) -> None:
        logging.getLogger(name).log(level, "%d more tracebacks were left out: %s", left, place)


def _placeOf(found: logging._SysExcInfoType) -> str:
    """Return the type of an exception, and its place."""
    kind, _value, frames = found
    name = "" if kind is None else kind.__name__
    with suppress(Exception):
        last = traceback.extract_tb(frames)[-1]
        return f"{name} in {last.filename}, line {last.lineno}"
    return name


_tracebacks = Tracebacks()


def tellLeftOut(everything: bool = False) -> None:
    """Log the number of left-out records of past seconds, or of `everything`."""
    tellRepeats(everything)
    _tracebacks.tell(everything)


def logTo(
    level: str, reactor: ReactorBase, format: str = TEXT, path: str | None = None, process: int | str | None = None
) -> None:
    """Send every record of `level`, one of LEVELS, and above to the file `path`, and nowhere else.

    None: to standard error. `format` and `process` are those of formatterOf. The texts that Python itself writes to
    standard error become records, too. If a program has replaced sys.stderr, the log writes to the replacement, and may
    block. Records of changes that a user has asked for, such as reloads, count as those of the level "warning".
    CommandError if the file cannot be opened.
    """
    formatter = formatterOf(format, process)
    handler: logging.Handler
    if path is not None:
        handler = LogFile(reactor, path)
    else:
        handler = StandardError(reactor) if _isDescriptor(2) else logging.StreamHandler(sys.stderr)
    _speaker.clear()
    if path is not None and _isDescriptor(2):
        _speaker.append(StandardError(reactor))
    handler.addFilter(_tracebacks)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    isQuiet = logging.getLogger().level > logging.WARNING
    logging.getLogger(CHANGES).setLevel(logging.NOTSET if isQuiet else min(logging.getLogger().level, logging.INFO))
    capture(finish)


def reopen() -> None:
    """Go on with the file that the log's path names now. Without a file this does nothing."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LogFile):
            handler.reopen()


def logConnection(record: ConnectionRecord) -> None:
    """Log a line for a connection that has ended, whatever the lowest level of the log is.

    In JSON it also has a key for each field of the record, "bytes-in" for `bytesIn`.
    """
    logger = logging.getLogger(CONNECTIONS)
    logger.setLevel(logging.INFO)
    listener, address, why, lines, bytesIn, bytesOut, seconds = record
    told = (addressText(address), escaped(listener), why, lines, bytesIn, bytesOut, seconds)
    names = ("peer", "listener", "why", "lines", "bytes-in", "bytes-out", "seconds")
    fields = {**dict(zip(names, told, strict=True)), "seconds": round(seconds, 6)}
    text = "%s on %s: %s, %d lines, %d bytes in, %d bytes out, %.3f s"
    logger.info(text, *told, extra={EXTRA: fields})


def say(text: str) -> None:
    """Write `text` and a line end to standard error, in the same way as the log."""
    handler = _speaker[0] if _speaker else _handler()
    if handler is not None:
        formatter = handler.formatter
        handler.say(formatter.formatPlain(text) if isinstance(formatter, CleanFormatter) else text)
    else:
        print(text, file=sys.stderr, flush=True)


def finish() -> None:
    """Write the waiting records at the program's end; see LogOutput.finish."""
    for handler in (*_speaker, *logging.getLogger().handlers):
        if isinstance(handler, LogOutput):
            handler.finish()


def _handler() -> StandardError | None:
    return next((each for each in logging.getLogger().handlers if isinstance(each, StandardError)), None)


def _isDescriptor(number: int) -> bool:
    """Whether sys.stderr writes to descriptor `number`."""
    try:
        return sys.stderr.fileno() == number
    except (AttributeError, ValueError, OSError, io.UnsupportedOperation):
        return False
