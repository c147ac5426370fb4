"""Locks on an open file, between processes and between the threads of one.

There are two kinds, which do not see each other:

- The lock for life, flock(2), tells other programs that the file is in use. Processes of one server share it.
- The lock for a write, fcntl(2), keeps two processes from writing at once. It belongs to the process and not to the
  open file, so it also holds between processes that have inherited one descriptor. The system frees it when the process
  dies. It is lost if the process closes any descriptor of the same file, so nothing is closed while it is held.

Two threads of a process have the same lock of fcntl(2), so a WriteLock has a turn, too. All of a process's WriteLocks
for one file share a turn, and take it first. A descriptor of the file is closed in a turn.

Not chosen: flock(2) for both, because heirs of one descriptor own its lock together. Nor a second file for the lock,
which stays behind in the directory of the first.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from reactor._later import later
from reactor._numbers import closeNumber

if TYPE_CHECKING:
    import fcntl
else:
    fcntl = later("fcntl", globals())

PATIENCE = 0.005  # seconds
REST = 0.00005  # seconds
CLOSE_PATIENCE = 1.0  # seconds: another thread's write ends, unless the disk hangs

_BUSY = frozenset({errno.EAGAIN, errno.EACCES})


def lockForLife(fd: int, shared: bool) -> bool:
    """Take the lock for life; `shared`: together with processes that share it, too. Return whether it was free."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lockForWrite(fd: int, patience: float = PATIENCE) -> bool:
    """Take the lock for a write, within `patience` seconds. Return whether this process has it. OSError without locks.

    Another process holds it for the time of a write. So it is asked for again and again, which costs less than a
    timer. A process that was stopped while it held the lock makes the caller wait for all of `patience`.
    """
    end = 0.0
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _BUSY:
                raise
        else:
            return True
        now = time.monotonic()
        if end and now >= end:
            return False
        end = end or now + patience
        time.sleep(REST)


def unlockForWrite(fd: int) -> None:
    """Give the lock for a write back."""
    fcntl.lockf(fd, fcntl.LOCK_UN)


class _Turn:
    """The turn of one thread at a file."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


_turns: WeakValueDictionary[tuple[int, int], _Turn] = WeakValueDictionary()
_guard = threading.Lock()


def _turnOf(fd: int) -> _Turn:
    """Return the turn at the file of `fd`. It has no other file's number as long as the file is open."""
    found = os.fstat(fd)
    with _guard:
        turn = _turns.get((found.st_dev, found.st_ino))
        if turn is None:
            turn = _turns[found.st_dev, found.st_ino] = _Turn()
    return turn


class WriteLock:
    """The lock for a write to the file of `fd`. Nobody else, of any process and thread, has it at the same time.

    An object is for one thread.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._turn = _turnOf(fd)
        self._isTaken = False

    def take(self, patience: float = PATIENCE) -> bool:
        """Take it, within `patience` seconds. Return whether this thread has it. OSError without locks."""
        end = time.monotonic() + patience
        if not self._turn.lock.acquire(timeout=patience):
            return False
        try:
            self._isTaken = lockForWrite(self._fd, max(end - time.monotonic(), 0))
        finally:
            if not self._isTaken:
                self._turn.lock.release()
        return self._isTaken

    def give(self) -> None:
        """Give it back, if it was taken. OSError if the system refuses; this process has the lock no more then."""
        if self._isTaken:
            self._isTaken = False
            try:
                unlockForWrite(self._fd)
            finally:
                self._turn.lock.release()


def closeInTurn(fd: int) -> None:
    """Close `fd`, whose file may be one that another thread writes: it would lose the lock of the process."""
    turn: _Turn | None = None
    try:
        with suppress(OSError):  # without its number, no turn can be found
            found = _turnOf(fd)
            turn = found if found.lock.acquire(timeout=CLOSE_PATIENCE) else None
    finally:
        closeNumber(fd)
        if turn is not None:
            turn.lock.release()
