"""A pair of sockets through which other threads and signals wake a loop that sleeps.

Sockets and not a pipe: every kind of loop, on every system, can watch them.
"""

from __future__ import annotations

import os
from contextlib import suppress

from reactor._numbers import openPair


class Waker:
    """Readable for the loop as soon as wake() has been called, from any thread or signal handler."""

    def __init__(self) -> None:
        self._reading, self._writing = openPair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._awake = False

    def wake(self) -> None:
        """Make the loop's next sleep end at once. Costs a system call only if it is not awake already.

        OSError if it is closed.
        """
        if not self._awake:
            self._awake = True
            try:
                self._writing.send(b"w")
            except BlockingIOError:
                pass  # full of signals: the loop will wake
            except OSError:
                self._awake = False  # so that the next one is told, too
                raise

    def fileno(self) -> int:
        """Return the end that becomes readable."""
        return self._reading.fileno()

    @property
    def writeFd(self) -> int:
        """The other end: a byte written to it wakes too."""
        return self._writing.fileno()

    def doRead(self) -> None:
        """Take what woke the loop, which then looks at its queues.

        They are emptied before the flag falls: a wake() in between is not lost, because what it announces is queued.
        """
        with suppress(BlockingIOError):
            while len(self._reading.recv(4096)) == 4096:
                pass
        self._awake = False

    def renew(self) -> None:
        """In a forked child: have both descriptors stand for another pair, as the old one is the parent's too."""
        fresh = Waker()
        for ours, new in ((self._reading, fresh._reading), (self._writing, fresh._writing)):
            os.dup2(new.fileno(), ours.fileno(), inheritable=False)
        fresh.close()
        self._awake = False

    def close(self) -> None:
        """Close both ends."""
        self._reading.close()
        self._writing.close()
        self._awake = False

    # A reactor that nobody closes gives its descriptors back without a warning.
    __del__ = close
