"""DeferredFilesystemLock: a lock between processes, which gives a Deferred. It is a symbolic link, as Twisted's is.

The link's target is the number of the process that holds the lock. So programs on Twisted and on this package keep each
other out. The lock of a dead process is taken over. flock(2) on the directory keeps two takers of one dead lock apart.
Otherwise the slower one would remove the lock that the faster one has just made.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from reactor import _current
from reactor.defer.chain import CancelledError
from reactor.defer.deferred import Deferred, TimeoutError, fail
from reactor.failure import Failure

with suppress(ImportError):  # Windows has no such call, and needs none: a link in use cannot be removed there
    import fcntl


class AlreadyTryingToLockError(Exception):
    """`deferUntilLocked` was called while an earlier call still waited."""


class FilesystemLock:
    """A lock at the path `name`.

    `locked`: whether this object has the lock. `clean`: whether the last owner released it, None before lock().
    """

    clean: bool | None = None
    locked = False

    def __init__(self, name: str | os.PathLike[str]) -> None:
        self.name = name

    def lock(self) -> bool:
        """Take the lock, and return whether that was possible. It never blocks. OSError as of symlink(2)."""
        if self._make():
            self.clean = True
        elif self._isDead():
            with _alone(os.path.dirname(os.path.abspath(self.name))) as isAlone:
                if not isAlone or not self._isDead():
                    return False
                with suppress(FileNotFoundError):
                    os.unlink(self.name)
                if not self._make():
                    return False
                self.clean = False
        else:
            return False
        self.locked = True
        return True

    def unlock(self) -> None:
        """Release the lock. OSError if there is none; ValueError if another process has it."""
        if int(os.readlink(self.name)) != os.getpid():
            raise ValueError(f"Lock {self.name!r} not owned by this process")
        os.unlink(self.name)
        self.locked = False

    def _make(self) -> bool:
        try:
            os.symlink(str(os.getpid()), self.name)
        except FileExistsError:
            return False
        return True

    def _isDead(self) -> bool:
        """Whether the lock's process is dead, or the lock is no longer there."""
        try:
            os.kill(int(os.readlink(self.name)), 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        except PermissionError:  # the process is another user's, and lives
            return False
        return False


class DeferredFilesystemLock(FilesystemLock):
    """A FilesystemLock that gives a Deferred: it tries once a second.

    `scheduler` has `callLater`; None means the current reactor.
    """

    _interval = 1.0

    def __init__(self, name: str | os.PathLike[str], scheduler: Any = None) -> None:
        super().__init__(name)
        self._scheduler = _current.current() if scheduler is None else scheduler
        self._tryLockCall: Any = None
        self._timeoutCall: Any = None

    def deferUntilLocked(self, timeout: float | None = None) -> Deferred[None]:
        """Return a Deferred that fires with None when this object holds the lock.

        It fails with TimeoutError after `timeout` seconds, with AlreadyTryingToLockError if another one waits, and with
        an exception of lock(). Cancelling it gives up.
        """
        if self._tryLockCall is not None:
            return fail(AlreadyTryingToLockError("deferUntilLocked isn't safe for concurrent use."))
        locked: Deferred[None] = Deferred(lambda deferred: self._giveUp(deferred, CancelledError()))
        if not self._try(locked) and timeout is not None:
            late = TimeoutError(f"Timed out acquiring lock: {self.name} after {timeout:f}s")
            self._timeoutCall = self._scheduler.callLater(timeout, self._giveUp, locked, late)
        return locked

    def _try(self, locked: Deferred[None]) -> bool:
        """Try once; return whether there is a result."""
        self._tryLockCall = None
        try:
            got = self.lock()
        except Exception:
            self._stopWaiting()
            locked.errback(Failure())
            return True
        if got:
            self._stopWaiting()
            locked.callback(None)
        else:
            self._tryLockCall = self._scheduler.callLater(self._interval, self._try, locked)
        return got

    def _giveUp(self, locked: Deferred[None], error: Exception) -> None:
        """Try a last time."""
        self._stopWaiting()
        if not self._try(locked):
            self._stopWaiting()
            locked.errback(error)

    def _stopWaiting(self) -> None:
        for call in (self._tryLockCall, self._timeoutCall):
            if call is not None and call.active():
                call.cancel()
        self._tryLockCall = self._timeoutCall = None


@contextmanager
def _alone(directory: str) -> Iterator[bool]:
    """Keep other processes from taking locks over in `directory`. Yield False at once if another one is there."""
    if not hasattr(fcntl, "flock"):
        yield True
        return
    fd = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(fd)
