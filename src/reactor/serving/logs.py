"""The command's log on standard error, safe for terminals and for programs that read lines.

Text from peers appears in log messages sooner or later. Control characters, line ends and other unprintable characters
are written as escapes. Only a traceback keeps its own line ends.

The reader of standard error may stall. So a record is written if the reader takes it at once. Otherwise it waits until
the loop can write it, up to HELD bytes in all. Further records are dropped, and the next record tells their number.

A peer that makes a handler raise can cause a traceback for each line that it sends. So for each place that raises, only
a few of the package's tracebacks a second are written. A record tells the number of the others.
"""

from __future__ import annotations

import io
import logging
import os
import select
import sys
import threading
import time
import traceback
from collections import deque
from contextlib import suppress

from reactor._logger import Repeats, escaped, tellRepeats, tracebackOf
from reactor.failure import Failure, safeRepr
from reactor.loops.base import ReactorBase
from reactor.serving.backlog import Backlog
from reactor.serving.capture import capture
from reactor.transports.sharing import SharedDescriptor

LEVELS = ("debug", "info", "warning", "error", "critical")
OURS = "reactor"
HELD = 256 * 1024  # bytes
LAST_WORDS = 1.0  # seconds, after the reactor has ended


class CleanFormatter(logging.Formatter):
    """A formatter that makes one line of each record, with the lines of a traceback after it."""

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


class StandardError(logging.Handler):
    """A log handler that writes to descriptor 2 and never blocks.

    Any thread may log. The loop of `reactor` writes the waiting records. `droppedCount` is the number of dropped
    records.
    """

    def __init__(self, reactor: ReactorBase) -> None:
        super().__init__()
        self.droppedCount = 0
        self._guard = threading.RLock()
        self._untold = 0
        self._reactor = reactor
        self._descriptor = SharedDescriptor(2, os.O_WRONLY)
        self._backlog = Backlog(self._descriptor)
        self._isWatched = False
        self._isWriting = False
        self._said: deque[str] = deque()  # text that a __del__ or a signal handler logs during a write

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            self.say(self.format(record))
        except RecursionError:
            raise
        except Exception as error:  # of the record; logging itself would print it to standard error, and may block
            told, _ = tracebackOf((type(error), error, error.__traceback__))
            self.say(f"{escaped(f'a record cannot be formatted: {safeRepr(record.msg)}')}\n{told}")

    def say(self, text: str) -> None:
        """Write `text` and a line end, now or later. For any thread."""
        with self._guard:
            self._said.append(text)
            self._work(flush=False)
            self._watchIfNeeded()

    def finish(self, seconds: float = LAST_WORDS) -> None:
        """Write the waiting records, for at most `seconds`, and drop the rest. For the program's end."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._descriptor.fd, select.POLLOUT)
        with self._guard:
            self._work()
            while self._backlog.size and (left := end - time.monotonic()) > 0:
                poll.poll(left * 1000)
                self._work()
            if not self._isWriting:
                self._backlog.drop()

    def close(self) -> None:
        """See logging.Handler."""
        super().close()
        self._descriptor.close()

    # For the loop.

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor.fd

    def doWrite(self) -> None:
        """Write the waiting records: standard error takes more."""
        with self._guard:
            self._work()
            if not self._backlog.size:
                self._isWatched = False
                self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has stopped: finish() writes the rest."""
        self._isWatched = False

    def _watchIfNeeded(self) -> None:
        if self._backlog.size and not self._isWatched:
            self._isWatched = True
            try:
                self._reactor.callFromThread(self._watch)
            except OSError:  # the reactor is closed: only finish() writes now
                self._isWatched = False

    def _watch(self) -> None:
        with self._guard:
            try:
                self._reactor.addWriter(self)
            except OSError:  # the next record tries again
                self._isWatched = False

    def _work(self, flush: bool = True) -> None:
        """Write the new texts, and with `flush` the waiting ones. A call inside this one leaves its text to it."""
        if self._isWriting:
            return
        self._isWriting = True
        try:
            if flush:
                self._flush()
            while self._said:
                self._add(f"{self._said.popleft()}\n".encode(errors="backslashreplace"))
        finally:
            self._isWriting = False

    def _add(self, data: bytes) -> None:
        if self._untold:
            self._flush()  # earlier records come first
        if self._untold or self._backlog.size + len(data) > HELD:
            self._count(1)
        else:
            self._write(data)

    def _flush(self) -> None:
        """Write the waiting records; when none waits any more, log the number of dropped ones."""
        self._write(b"")
        if self._untold and not self._backlog.size:
            untold, self._untold = self._untold, 0
            text = "%d records of this log were dropped: nobody took standard error"
            said = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (untold,), None)
            before = self.droppedCount
            self._write(f"{self.format(said)}\n".encode())
            if self.droppedCount > before:  # this record itself is not one of them
                self.droppedCount, self._untold = before, untold

    def _write(self, data: bytes) -> None:
        try:
            self._backlog.write(data)
            while self._backlog.size and not self._descriptor.mayBlock:
                self._backlog.flush()  # the disk may be full, and the next write shows it
        except OSError:
            self._count(self._backlog.drop()[0])

    def _count(self, records: int) -> None:
        self.droppedCount += records
        self._untold += records


def logTo(level: str, reactor: ReactorBase) -> None:
    """Send every record of `level`, one of LEVELS, and above to standard error, and nowhere else.

    The same holds for the texts that Python itself writes there. If a program has replaced sys.stderr, the log writes
    to the replacement, and may block.
    """
    handler = StandardError(reactor) if _isDescriptor(2) else logging.StreamHandler(sys.stderr)
    handler.addFilter(_tracebacks)
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    capture(finish)


def say(text: str) -> None:
    """Write `text` and a line end to standard error, in the same way as the log."""
    handler = _handler()
    if handler is not None:
        handler.say(text)
    else:
        print(text, file=sys.stderr, flush=True)


def finish() -> None:
    """Write the waiting records at the program's end; see StandardError.finish."""
    handler = _handler()
    if handler is not None:
        handler.finish()


def _handler() -> StandardError | None:
    return next((each for each in logging.getLogger().handlers if isinstance(each, StandardError)), None)


def _isDescriptor(number: int) -> bool:
    """Whether sys.stderr writes to descriptor `number`."""
    try:
        return sys.stderr.fileno() == number
    except (AttributeError, ValueError, OSError, io.UnsupportedOperation):
        return False
