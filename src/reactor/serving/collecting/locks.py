"""Locks on an open file, between processes.

There are two kinds, which do not see each other:

- The lock for life, flock(2), tells other programs that the file is in use. Processes of one server share it.
- The lock for a write, fcntl(2), keeps two processes from writing at once. It belongs to the process and not to the
  open file, so it also holds between processes that have inherited one descriptor. The system frees it when the process
  dies. It is lost if the process closes any descriptor of the same file, so nothing is closed while it is held.

Not chosen: flock(2) for both, because heirs of one descriptor own its lock together. Nor a second file for the lock,
which stays behind in the directory of the first.
"""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from reactor._later import later

if TYPE_CHECKING:
    import fcntl
else:
    fcntl = later("fcntl", globals())

PATIENCE = 0.005  # seconds
REST = 0.00005  # seconds

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
