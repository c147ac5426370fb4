"""A pipe through which other threads and signals wake a loop that sleeps."""

from __future__ import annotations

import os
from contextlib import suppress


class Waker:
    """Readable for the loop as soon as wake() has been called, from any thread or signal handler."""

    def __init__(self) -> None:
        self._fd, self.writeFd = os.pipe()
        os.set_blocking(self._fd, False)
        os.set_blocking(self.writeFd, False)
        self._awake = False

    def wake(self) -> None:
        """Make the loop's next sleep end at once. Costs a system call only if it is not awake already."""
        if not self._awake:
            self._awake = True
            with suppress(BlockingIOError):  # full of signals: the loop will wake
                os.write(self.writeFd, b"w")

    def fileno(self) -> int:
        """Return the end that becomes readable."""
        return self._fd

    def doRead(self) -> None:
        """Take what woke the loop, which then looks at its queues.

        The pipe is emptied before the flag falls: a wake() in between is not lost, because what it announces is queued.
        """
        with suppress(BlockingIOError):
            while len(os.read(self._fd, 4096)) == 4096:
                pass
        self._awake = False

    def close(self) -> None:
        """Close both ends."""
        if self._fd >= 0:
            os.close(self._fd)
            os.close(self.writeFd)
            self._fd = self.writeFd = -1

    __del__ = close
