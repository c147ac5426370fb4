"""The collect application: every line of every client, whole and once, into a file.

A read's lines are one write to the file, made before the next read, so nothing is held back in this process: when the
client has been read, the system has its lines. Lines of one client keep their order; those of others stand between
them. What cannot be written is nobody's to keep: all clients are dropped, the command ends, and its exit code says so.
"""

from __future__ import annotations

import fcntl
import logging
import os
import select
import stat
from collections.abc import Callable
from typing import Any

from reactor.error import ConnectionDone
from reactor.failure import Failure
from reactor.protocol import ServerFactory
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.lines import ServedLines

log = logging.getLogger("reactor.serving")

STANDARD_OUTPUT = "-"
MAX_LINE = 1024 * 1024


class LineFile:
    """A file that is only ever appended to, by whole lines; every method raises CommandError with one clear line.

    A regular file is locked against a second collector; one that ends within a line gets that line ended first, and a
    write that fails halfway is taken back to the last whole line.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._name = "standard output" if path == STANDARD_OUTPUT else path
        try:
            self._fd = os.dup(1) if path == STANDARD_OUTPUT else self._open(path)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            raise self._error("open", error) from error

    def write(self, lines: list[bytes]) -> None:
        """Append each of `lines` with an LF after it."""
        self._write(b"\n".join([*lines, b""]))

    def close(self) -> None:
        """Have the system put everything on the disk, and close. Later calls do nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if self._regular:
                os.fsync(fd)
        except OSError as error:
            raise self._error("write", error) from error
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._lock(fd)
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":
                    os.write(fd, b"\n")
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"another program has locked {self._name}") from None

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except BlockingIOError:  # somebody else has made the pipe or terminal non-blocking; we do wait for it
                select.select([], [self._fd], [])
            except OSError as error:
                self._takeBack(data[: len(data) - len(rest)])
                raise self._error("write to", error) from error

    def _takeBack(self, written: bytes) -> None:
        torn = len(written) - (written.rfind(b"\n") + 1)
        if torn and self._regular:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - torn)

    def _error(self, what: str, error: OSError) -> CommandError:
        return CommandError(f"cannot {what} {self._name}: {reasonOf(error)}")


class Collector(ServedLines):
    """One client. A CR before the LF is part of the line; what follows the last LF is a line, if the client ended in
    order: the same line as with its LF, so one that is too long is treated as such.
    """

    MAX_LENGTH = MAX_LINE
    factory: Collection

    def linesReceived(self, lines: list[bytes]) -> None:
        """Keep a read's lines."""
        self.factory.keep(lines)

    def readConnectionLost(self) -> None:
        """The client has said everything."""
        rest = self.clearLineBuffer()
        if rest:
            self._lastLineReceived(rest.removesuffix(b"\r") if self.stripCR else rest)
        super().readConnectionLost()

    def _lastLineReceived(self, line: bytes) -> None:
        if len(line) <= self.MAX_LENGTH:
            self.factory.keep([line])
            return
        if self.overlong == "skip":
            self.overlongCount += 1
        self.lineLengthExceeded(line)

    def connectionLost(self, reason: Any = None) -> None:
        """A line that the client did not end is not whole."""
        rest = self.clearLineBuffer()
        if rest and isinstance(reason, Failure) and not self.factory.failed:
            why = "closed from here" if reason.check(ConnectionDone) else reason.getErrorMessage()
            log.warning("%s: an unfinished line of %d bytes is lost: %s", self.transport.getPeer(), len(rest), why)


class Collection(ServerFactory[Collector]):
    """Keeps lines in `file`. The first failure to write is the last: `fail` is called with it, and nothing is kept."""

    noisy = False
    protocol = Collector

    def __init__(self, file: LineFile, fail: Callable[[CommandError], object]) -> None:
        self._file = file
        self._fail = fail
        self.failed = False

    def keep(self, lines: list[bytes]) -> None:
        """Write `lines`. After a failure they are dropped: their client is being dropped, too."""
        if self.failed:
            return
        try:
            self._file.write(lines)
        except CommandError as error:
            self.failed = True
            self._fail(error)
