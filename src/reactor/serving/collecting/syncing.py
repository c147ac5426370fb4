"""Syncing: fsync(2) in a thread, for a file that is written in the loop."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from reactor.serving.collecting.background import Background
from reactor.serving.collecting.locks import closeInTurn

NEVER, INTERVAL, ALWAYS = POLICIES = ("never", "interval", "always")
SYNC_INTERVAL = 1.0  # seconds


def syncAndClose(fd: int) -> None:
    """Make the system write a file to the disk, and close it. OSError if it is not on the disk."""
    try:
        os.fsync(fd)
    finally:
        closeInTurn(fd)


class Syncing:
    """Has a thread call fsync(2) for what was written to the descriptor that `current()` returns.

    `policy` is "interval": within SYNC_INTERVAL of a write. "always": at once; writes that come meanwhile are the next
    call's. "never": it is not called. `over(error)` is called in the loop after each call; None means success.
    `written` and `synced` are the lines and bytes that were written, and those that are on the disk.
    """

    def __init__(
        self, reactor: Any, policy: str, current: Callable[[], int], over: Callable[[OSError | None], object]
    ) -> None:
        self.written = (0, 0)
        self.synced = (0, 0)
        self.count = 0
        self._reactor = reactor
        self._policy = NEVER if reactor is None else policy
        self._current = current
        self._over = over
        self._thread = Background(reactor, "fsync")
        self._isBusy = False
        self._timer: Any = None

    @property
    def kept(self) -> tuple[int, int]:
        """The lines and bytes that count as kept: with "always" those on the disk, else the written ones."""
        return self.synced if self._policy == ALWAYS else self.written

    @property
    def isPending(self) -> bool:
        """Whether there are lines that count as kept only after the next call."""
        return self.kept != self.written

    def add(self, lines: int, size: int) -> None:
        """Count what was written, and have it synced as the policy says."""
        self.written = (self.written[0] + lines, self.written[1] + size)
        if self._policy == ALWAYS:
            self._begin()
        elif self._policy == INTERVAL and self._timer is None and not self._isBusy:
            self._timer = self._reactor.callLater(SYNC_INTERVAL, self._begin)

    def leave(self, fd: int) -> None:
        """Close `fd`, a file that was left for another one; unless the policy is "never", sync it before."""
        if self._policy == NEVER:
            closeInTurn(fd)
        else:
            self._thread.do(partial(syncAndClose, fd), self._left)

    def stop(self, seconds: float) -> None:
        """Wait until the thread has done its work, for at most `seconds`. For the program's end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._policy = NEVER if self._policy == INTERVAL else self._policy
        self._thread.finish(seconds)

    def allSynced(self) -> None:
        """Count everything as on the disk: the caller has seen to it."""
        self.synced = self.written

    def _begin(self) -> None:
        self._timer = None
        fd = self._current()
        if self._isBusy or fd < 0 or self.synced == self.written:
            return
        self._isBusy = True
        self.count += 1
        self._thread.do(partial(os.fsync, fd), partial(self._done, self.written))

    def _done(self, covered: tuple[int, int], error: BaseException | None) -> None:
        self._isBusy = False
        if self._current() < 0:
            return  # the file was closed, after a sync of its own
        if error is not None:
            self._over(asOSError(error))
            return
        self.synced = covered
        if self.synced != self.written:
            self.add(0, 0)
        self._over(None)

    def _left(self, error: BaseException | None) -> None:
        if error is not None:
            self._over(asOSError(error))


def asOSError(error: BaseException) -> OSError:
    """Return `error`, or an OSError with its text."""
    return error if isinstance(error, OSError) else OSError(str(error))
