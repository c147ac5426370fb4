"""Where the command's log goes: standard error, or a file. Neither ever holds up the program.

The reader of standard error may stall. So a record is written if the reader takes it at once. Otherwise it waits until
the loop can write it, up to HELD bytes in all. Further records are dropped, and the next record tells their number.

A file gets each record in one write, so several processes can share it. If the disk is full, records are dropped and
counted in the same way. A record of which the disk took only the beginning is ended before the next one.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

from reactor._logger import escaped, getLogger
from reactor._numbers import ofSystem, openFile
from reactor.failure import Failure
from reactor.loops.base import ReactorBase
from reactor.serving.backlog import Backlog
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.logformats import CleanFormatter
from reactor.transports.sharing import SharedDescriptor

log = getLogger("reactor.serving")

HELD = 256 * 1024  # bytes
LAST_WORDS = 1.0  # seconds, after the reactor has ended
FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | ofSystem("O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK")


class LogOutput(logging.Handler):
    """A log handler that writes to `descriptor` and never blocks. `name` is that of the output, for records about it.

    Any thread may log. The loop of `reactor` writes the waiting records. `droppedCount` is the number of dropped
    records.
    """

    def __init__(self, reactor: ReactorBase, descriptor: SharedDescriptor, name: str) -> None:
        super().__init__()
        self.droppedCount = 0
        self._outputName = name
        self._guard = threading.RLock()
        self._untold = 0
        self._reactor = reactor
        self._descriptor = descriptor
        self._backlog = Backlog(descriptor)
        self._isWatched = False
        self._isWriting = False
        self._isTorn = False  # the file ends with the beginning of a record
        self._said: deque[str] = deque()  # text that a __del__ or a signal handler logs during a write

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        try:
            self.say(self.format(record))
        except RecursionError:
            raise
        except Exception as error:  # of the record; logging itself would print it to standard error, and may block
            formatter = self.formatter if isinstance(self.formatter, CleanFormatter) else CleanFormatter()
            self.say(formatter.formatFailure(record, error))

    def say(self, text: str) -> None:
        """Write `text` and a line end, now or later. For any thread."""
        with self._guard:
            self._said.append(text)
            self._work(flush=False)
            self._watchIfNeeded()

    def finish(self, seconds: float = LAST_WORDS) -> None:
        """Write the waiting records, for at most `seconds`, and drop the rest. For the program's end."""
        end = time.monotonic() + seconds
        with self._guard:
            self._work()
            if self._backlog.size:
                poll = select.poll()
                poll.register(self._descriptor.fd, select.POLLOUT)
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
        """Write the waiting records: the output takes more."""
        with self._guard:
            self._work()
            if not self._backlog.size:
                self._unwatch()

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

    def _unwatch(self) -> None:
        if self._isWatched:
            self._isWatched = False
            self._reactor.removeWriter(self)

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
            text = "%d records of this log were dropped: nobody took %s"
            said = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (untold, self._outputName), None)
            before = self.droppedCount
            self._write(f"{self.format(said)}\n".encode())
            if self.droppedCount > before:  # this record itself is not one of them
                self.droppedCount, self._untold = before, untold

    def _write(self, data: bytes) -> None:
        if not self._descriptor.mayBlock:
            self._writeFile(data)
            return
        try:
            self._backlog.write(data)
        except OSError:
            self._count(self._backlog.drop()[0])

    def _writeFile(self, data: bytes) -> None:
        """Write a record in one piece, and count it as dropped if the disk does not take all of it."""
        if not data:
            return
        rest = memoryview(b"\n" + data if self._isTorn else data)
        try:
            while rest:
                size = self._descriptor.write(rest)
                rest = rest[size:]
                self._isTorn = len(rest) > 0 and (size > 0 or self._isTorn)
        except OSError:
            self._count(1)

    def _count(self, records: int) -> None:
        self.droppedCount += records
        self._untold += records


class StandardError(LogOutput):
    """The log on descriptor 2."""

    def __init__(self, reactor: ReactorBase) -> None:
        super().__init__(reactor, SharedDescriptor(2, os.O_WRONLY), "standard error")


class LogFile(LogOutput):
    """The log in the file at `path`. CommandError if it cannot be opened."""

    def __init__(self, reactor: ReactorBase, path: str) -> None:
        self._path = path
        try:
            descriptor = self._open()
        except OSError as error:
            raise CommandError(f"cannot open {escaped(path)}: {reasonOf(error)}") from error
        super().__init__(reactor, descriptor, escaped(path))

    def reopen(self) -> None:
        """Go on with the file that the path names now: the other one was moved away. For the loop.

        Records that were written before are in the old file. If the new one cannot be opened, the old one stays, and a
        record says so.
        """
        try:
            fresh = self._open()
        except OSError as error:
            log.error("cannot reopen %s, and go on with the old file: %s", self._outputName, reasonOf(error))
            return
        with self._guard:
            self._work()
            self._unwatch()
            old, self._descriptor = self._descriptor, fresh
            self._count(self._backlog.drop()[0])  # a pipe's reader has not taken them
            self._backlog = Backlog(fresh)
            self._isTorn = False
            old.close()

    def _open(self) -> SharedDescriptor:
        return SharedDescriptor(openFile(self._path, FLAGS), os.O_WRONLY, own=True)
