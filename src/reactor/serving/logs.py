"""The command's log: on standard error, with nothing in it that a terminal or a reader of lines could take for more.

What peers send ends up in log messages sooner or later. Control characters, line ends among them, and whatever else is
not printable are written as escapes; only a traceback keeps its own line ends.

The reader of standard error may stall. So a record is written if it is taken at once; else it waits, for the loop to
write it, up to HELD bytes in all. Further ones are dropped, and how many there were is the next thing that is said.

A peer that makes a handler raise can have a traceback written for each line that it sends. So of the package's records
with a traceback only a few a second are written for each place that raises; the number of the others is told.
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
    """A formatter whose every record is one line, and lines of a traceback after it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return escaped(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record. Another handler's formatter may have left its own text of the traceback."""
        if record.exc_info:
            record.exc_text = None
        elif record.exc_text:
            record.exc_text = escaped(record.exc_text)
        return super().format(record)

    def formatException(self, ei: logging._SysExcInfoType) -> str:
        """The traceback, in which the text of each exception is one line."""
        kind, value, frames = ei
        if kind is None or value is None:
            return "NoneType: None"
        try:
            return tracebackOf((kind, value, frames))[0]
        except Exception:  # an exception that has no text, say
            return escaped(super().formatException(ei))

    def formatStack(self, stack_info: str) -> str:
        """The stack that a program has asked for: whatever names its frames, all lines but the first are indented."""
        first, *rest = stack_info.split("\n")
        lines = [each if each.startswith("  ") else f"  {each}" for each in rest]
        return "\n".join([escaped(first), *(escaped(each) for each in lines)])


class Tracebacks(logging.Filter):
    """Lets a few records with a traceback pass each second, for each place that raises, and counts the others."""

    def __init__(self, repeats: Repeats | None = None) -> None:
        super().__init__()
        self._repeats = repeats or Repeats()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if not record.exc_info or record.exc_info[0] is None or record.name.partition(".")[0] != OURS:
            return True
        left = self._repeats.admit((record.name, record.levelno, _placeOf(record.exc_info)))
        if left:
            self._tell(record.name, record.levelno, _placeOf(record.exc_info), left)
        return left is not None

    def tell(self, everything: bool = False) -> None:
        """Log how many were left out in the seconds that are over, or in `everything`."""
        for (name, level, place), left in self._repeats.over(everything):
            self._tell(name, level, place, left)

    def _tell(self, name: str, level: int, place: str, left: int) -> None:
        logging.getLogger(name).log(level, "%d more tracebacks were left out: %s", left, place)


def _placeOf(found: logging._SysExcInfoType) -> str:
    """Return the type of an exception, and where it was raised."""
    kind, _value, frames = found
    name = "" if kind is None else kind.__name__
    with suppress(Exception):
        last = traceback.extract_tb(frames)[-1]
        return f"{name} in {last.filename}, line {last.lineno}"
    return name


_tracebacks = Tracebacks()


def tellLeftOut(everything: bool = False) -> None:
    """Log how many records were left out in the seconds that are over, or in `everything`."""
    tellRepeats(everything)
    _tracebacks.tell(everything)


class StandardError(logging.Handler):
    """A log handler that writes to descriptor 2 and never blocks. Any thread may log; the loop of `reactor` writes what
    has to wait. `droppedCount` is how many records were dropped in all.
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
        self._said: deque[str] = deque()  # what is said while something is written, by a __del__ or a signal handler

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            self.say(self.format(record))
        except RecursionError:
            raise
        except Exception as error:  # of the record; logging would print it to standard error itself, which may block
            told, _ = tracebackOf((type(error), error, error.__traceback__))
            self.say(f"{escaped(f'a record cannot be formatted: {safeRepr(record.msg)}')}\n{told}")

    def say(self, text: str) -> None:
        """Write `text` and a line end, now or later. Any thread."""
        with self._guard:
            self._said.append(text)
            self._work(flush=False)
            self._watchIfNeeded()

    def finish(self, seconds: float = LAST_WORDS) -> None:
        """Write what waits, for at most `seconds`, and drop the rest: for the program's end, when there is no loop."""
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
        """Standard error takes more."""
        with self._guard:
            self._work()
            if not self._backlog.size:
                self._isWatched = False
                self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has stopped."""
        self._isWatched = False

    def _watchIfNeeded(self) -> None:
        if self._backlog.size and not self._isWatched:
            self._isWatched = True
            try:
                self._reactor.callFromThread(self._watch)
            except OSError:  # the reactor is closed: finish() is all that is left
                self._isWatched = False

    def _watch(self) -> None:
        with self._guard:
            try:
                self._reactor.addWriter(self)
            except OSError:  # to be tried again with the next record
                self._isWatched = False

    def _work(self, flush: bool = True) -> None:
        """Write what was said, and with `flush` what waits. A call inside this one leaves its text to this one."""
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
            self._flush()  # those before it come first
        if self._untold or self._backlog.size + len(data) > HELD:
            self._count(1)
        else:
            self._write(data)

    def _flush(self) -> None:
        """Write what waits; once nothing does, say how much was dropped."""
        self._write(b"")
        if self._untold and not self._backlog.size:
            untold, self._untold = self._untold, 0
            text = "%d records of this log were dropped: nobody took standard error"
            said = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (untold,), None)
            before = self.droppedCount
            self._write(f"{self.format(said)}\n".encode())
            if self.droppedCount > before:  # this one, which is none of them
                self.droppedCount, self._untold = before, untold

    def _write(self, data: bytes) -> None:
        try:
            self._backlog.write(data)
            while self._backlog.size and not self._descriptor.mayBlock:
                self._backlog.flush()  # the disk is full, perhaps, and will say so
        except OSError:
            self._count(self._backlog.drop()[0])

    def _count(self, records: int) -> None:
        self.droppedCount += records
        self._untold += records


def logTo(level: str, reactor: ReactorBase) -> None:
    """Send every record of `level`, one of LEVELS, and above to standard error, and nowhere else. So goes what Python
    itself would write there.

    Where a program has put something of its own in place of sys.stderr, that is written to, and may block.
    """
    handler = StandardError(reactor) if _isDescriptor(2) else logging.StreamHandler(sys.stderr)
    handler.addFilter(_tracebacks)
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    capture(finish)


def say(text: str) -> None:
    """Write `text` and a line end to standard error, as the log is written."""
    handler = _handler()
    if handler is not None:
        handler.say(text)
    else:
        print(text, file=sys.stderr, flush=True)


def finish() -> None:
    """Write what waits for standard error; see StandardError.finish. For the program's end."""
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
