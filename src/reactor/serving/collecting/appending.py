"""AppendedFile: a file to which several processes and threads append whole records, each record whole and once.

A write takes these steps, all under the lock for a write (see `locks`):

1. If the file rotates itself, the path must still lead to the open file. Otherwise the file at the path is opened.
2. The end of the file is looked at, unless it is where this process's last write has left it. A process that was
   killed in the middle of a write, or a program without our lock, may have left an unfinished record. A shared file
   holds whole records only, so it is cut back to its last whole one. In a file of one process the record is ended.
3. The records are written, with O_APPEND.
4. If the system takes only some of them, as with a full disk, the file is cut back to the last whole one. The caller
   learns how many bytes stay.

So a process may be killed at any point. Nothing but the records that it was writing is lost.

Each process may open the path itself, or all may have inherited one descriptor: nothing here depends on it.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from reactor._later import later
from reactor._logger import getLogger
from reactor._numbers import closeNumber, ofSystem, openFile
from reactor.serving.collecting.locks import PATIENCE, WriteLock, closeInTurn, lockForLife
from reactor.serving.collecting.rotating import Rotation, rotatedName
from reactor.serving.framing import Framing

if TYPE_CHECKING:
    import fcntl
else:
    fcntl = later("fcntl", globals())

log = getLogger("reactor.serving")

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | ofSystem("O_CLOEXEC", "O_NOCTTY", "O_NONBLOCK")
NEXT = ".next"  # behind the path: a new file, until it has its place
BLOCKS = (64 * 1024, 1024 * 1024, 16 * 1024 * 1024)  # bytes from the end, until a whole record is among them
SHOWN = 200
ATTEMPTS = 5  # files opened for one write, as each may be rotated before it is locked
RETRY = 60.0  # seconds until a rotation that has failed is tried again
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LockedError(OSError):
    """Another program has the file."""


class Appended(NamedTuple):
    """The bytes of whole records that are in the file, and the error that kept the others out, if there was one.

    The error is a BlockingIOError if another process, or thread, has not given the lock back in time: no record was
    written.
    """

    kept: int
    error: OSError | None


class AppendedFile:
    """The file at `path`, or the open file `fd`, whose records end as `framing` says. OSError if it cannot be opened.

    LockedError if another program has it. `shared`: processes that open it with `shared` may have it too. `rotation`
    is for a path only. `leave(fd)` gets the descriptor of a file that was replaced by another, in place of a close.
    `rotated()` is called after this process has rotated the file.
    """

    def __init__(
        self,
        path: str,
        framing: Framing,
        fd: int = -1,
        shared: bool = False,
        rotation: Rotation | None = None,
    ) -> None:
        self.path = path
        self.framing = framing
        self.rotation = rotation
        self.leave: Callable[[int], object] = closeInTurn
        self.rotated: Callable[[], object] = lambda: None
        self.rotationCount = 0
        self._shared = shared
        self._end = -1  # where the last write of this process ended
        self._nextTry = 0.0
        self._hasPath = fd < 0
        self.fd = self._open() if fd < 0 else fd
        try:
            self._writeLock = WriteLock(self.fd)
            self.isRegular = stat.S_ISREG(os.fstat(self.fd).st_mode)
            flags = fcntl.fcntl(self.fd, fcntl.F_GETFL)
            self._appends = bool(flags & os.O_APPEND)
            self._reads = flags & os.O_ACCMODE == os.O_RDWR
            if self.isRegular and self._lock(0):
                self._unlock()
        except BaseException:
            if self._hasPath:
                closeInTurn(self.fd)
            raise

    def append(self, data: bytes, patience: float = PATIENCE) -> Appended:
        """Write `data`, which is whole records. Every error of the system is in the result, and none is raised.

        The lock for a write is waited for, for `patience` seconds. If files have a size, the records that fit go into
        the present one, and the others into its successors.
        """
        if not self.isRegular:
            return self._write(data)
        done, error = 0, None
        while done < len(data) and error is None:
            kept, error = self._appendSome(data, done, patience)
            done += kept
        return Appended(done, error)

    def _appendSome(self, data: bytes, start: int, patience: float) -> Appended:
        """Write the records from `start` on that fit into one file, at least one."""
        size = None if self.rotation is None else self.rotation.size
        try:
            if not self._lock(len(data) if size is None else self._firstLength(data, start), patience):
                return Appended(0, BlockingIOError(errno.EAGAIN, "another process, or thread, holds its lock"))
            try:
                return self._write(data if size is None else data[start : self._fittingEnd(data, start, size)])
            finally:
                self._unlock()
        except OSError as error:
            return Appended(0, error)

    def _firstLength(self, data: bytes, start: int) -> int:
        at = data.find(self.framing.delimiter, start)
        return (len(data) if at < 0 else at + len(self.framing.delimiter)) - start

    def _fittingEnd(self, data: bytes, start: int, size: int) -> int:
        """Return the end of the records that fit into the file: a first record that is longer goes there alone."""
        there = os.fstat(self.fd).st_size
        room = size - there
        if len(data) - start <= room:
            return len(data)
        first = self._firstLength(data, start)
        if first > room:
            return len(data) if there else start + first  # a file with records could not be rotated
        return start + self.framing.whole(data[start : start + room])

    def reopen(self) -> bool:
        """Open the file at the path, if it is another one now; return whether it is. OSError leaves the file as it is.

        Earlier records are in the old file, and later ones in the new one.
        """
        if not (self._hasPath and self.isRegular) or self._isCurrent(os.fstat(self.fd)):
            return False
        self._switch(self._open())
        return True

    def close(self) -> None:
        """Close the file. Later calls do nothing."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            closeInTurn(fd)

    def _open(self) -> int:
        fd = openFile(self.path, FLAGS)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._lockForLife(fd)
        except BaseException:
            closeInTurn(fd)
            raise
        return fd

    def _lockForLife(self, fd: int) -> None:
        if not lockForLife(fd, self._shared):
            raise LockedError(errno.EAGAIN, "another program has locked it")

    def _lock(self, more: int, patience: float = PATIENCE) -> bool:
        """Take the lock for a write of `more` bytes to a file with whole records. False if it is not free in time."""
        for _ in range(ATTEMPTS):
            if not self._writeLock.take(patience):
                return False
            try:
                found = os.fstat(self.fd)
                if self.rotation is None or not self._isMoved(found, more):
                    self._mend(found.st_size)
                    return True
            except BaseException:
                self._unlock()
                raise
        return False

    def _unlock(self) -> None:
        with suppress(OSError):  # a file that was just replaced has no lock any more
            self._writeLock.give()

    def _isCurrent(self, found: os.stat_result) -> bool:
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino)

    def _isMoved(self, found: os.stat_result, more: int) -> bool:
        """Follow the path to another file, or rotate if that is due. Return whether the file is another one now."""
        assert self.rotation is not None
        if not self._isCurrent(found):
            fresh = self._open()
        elif self.rotation.isDue(found, more) and time.monotonic() >= self._nextTry:
            try:
                fresh = self._rotate(found)
            except OSError as error:
                self._nextTry = time.monotonic() + RETRY
                log.warning("cannot rotate %s, and go on with it for %g s: %s", self.path, RETRY, error)
                return False
        else:
            return False
        self._unlock()
        self._switch(fresh)
        return True

    def _rotate(self, found: os.stat_result) -> int:
        """Give the file its rotated name; return the descriptor of the new one. OSError leaves everything as it is.

        The new file is made first, below a name of its own, as that is the step that may fail.
        """
        assert self.rotation is not None
        waiting = self.path + NEXT
        with suppress(FileNotFoundError):
            os.unlink(waiting)  # of a killed process: it may be another name of the present file
        fresh = openFile(waiting, FLAGS | os.O_EXCL, 0o600)
        try:
            with suppress(PermissionError):
                os.fchown(fresh, found.st_uid, found.st_gid)
            os.fchmod(fresh, stat.S_IMODE(found.st_mode))
            self._lockForLife(fresh)
            os.rename(self.path, rotatedName(self.path, self.rotation.now()))
        except BaseException:
            closeNumber(fresh)
            with suppress(OSError):
                os.unlink(waiting)
            raise
        self.rotationCount += 1
        try:
            os.link(waiting, self.path)
            os.unlink(waiting)
        except (FileExistsError, FileNotFoundError):
            # Another process or thread has opened the path meanwhile, and so made a file there. If that was rotated
            # already, the new name is not there any more.
            closeNumber(fresh)
            with suppress(FileNotFoundError):
                os.unlink(waiting)
            fresh = self._open()
        except OSError:  # a file system without hard links
            os.rename(waiting, self.path)
        self.rotated()
        return fresh

    def _switch(self, fresh: int) -> None:
        lock = WriteLock(fresh)
        old, self.fd, self._writeLock = self.fd, fresh, lock
        self._end = -1
        self.leave(old)

    def _mend(self, size: int) -> None:
        """Make sure that the file ends with a whole record. It has `size` bytes."""
        if size == self._end or not size or not (self._appends and self._reads):
            return
        length = min(size, len(self.framing.delimiter))
        ending = self.framing.ending(os.pread(self.fd, length, size - length))
        if not ending:
            return
        end = self._lastWhole(size) if self._shared else None
        if end is None:
            os.write(self.fd, ending)
            return
        torn = os.pread(self.fd, min(size - end, SHOWN), end)
        os.ftruncate(self.fd, end)
        text = "%s ended inside a line, and %d bytes were cut off: %r"
        log.limited(logging.WARNING, text, self.path, size - end, torn)

    def _lastWhole(self, size: int) -> int | None:
        """Return where the last whole record of the file ends; None if it is too far before `size`."""
        delimiter = self.framing.delimiter
        for length in BLOCKS:
            start = max(size - length, 0)
            at = lastEnd(os.pread(self.fd, size - start, start), delimiter)
            if start == 0 or at > 2 * len(delimiter):
                return start + at
        return None

    def _write(self, data: bytes) -> Appended:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        except OSError as error:
            written = len(data) - len(rest)
            return Appended(self._takeBack(data[:written]), error)
        if self.isRegular:
            self._end = os.fstat(self.fd).st_size
        return Appended(len(data), None)

    def _takeBack(self, written: bytes) -> int:
        """Cut the file back to the last whole record of `written`; return the number of bytes that stay."""
        whole = self.framing.whole(written)
        torn = len(written) - whole
        if torn and self.isRegular:
            size = os.fstat(self.fd).st_size
            tail = os.pread(self.fd, min(torn, size), max(size - torn, 0)) if self._reads else written[whole:]
            if tail == written[whole:]:  # no program without our lock has changed it since
                os.ftruncate(self.fd, size - torn)
                if not self._appends:
                    os.lseek(self.fd, size - torn, os.SEEK_SET)
        self._end = -1
        return whole


def lastEnd(tail: bytes, delimiter: bytes) -> int:
    """Return where the last whole record of `tail` ends, 0 if none does.

    The ends of a delimiter such as two LFs can overlap: of three LFs in a row, the first two are the end.
    """
    at = tail.rfind(delimiter)
    if at < 0:
        return 0
    while (before := tail.rfind(delimiter, 0, at + len(delimiter) - 1)) >= 0 and before + len(delimiter) > at:
        at = before
    end = at + len(delimiter)
    while tail.startswith(delimiter, end):
        end += len(delimiter)
    return end
