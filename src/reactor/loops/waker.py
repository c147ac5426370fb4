"""A pair of sockets through which other threads and signals wake a loop that sleeps.

Sockets and not a pipe: every kind of loop, on every system, can watch them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from reactor._numbers import openPair
from reactor.failure import Failure


class Waker:
    """Readable for the loop as soon as wake() has been called, from any thread or signal handler.

    `failed` is told why it could not be read. What woke it is still there then, and wakes again.
    """

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, failed: Callable[[Failure], None] = lambda failure: None) -> None:
        self._failed = failed
        self._buffer = bytearray(4096)  # kept, so that reading takes no memory
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
        self._awake = False  # here too: an exception of a signal's handler could come before the last line
        try:
            while self._reading.recv_into(self._buffer) == len(self._buffer):
                pass
        except BlockingIOError:
            pass
        finally:
            self._awake = False  # also if it could not be read: what is left there wakes again

    def failConnection(self, failure: Failure) -> None:
        """doRead has raised `failure`."""
        self._failed(failure)

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

    def __del__(self) -> None:
        # A reactor that nobody closes gives its descriptors back without a warning.
        if hasattr(self, "_writing"):  # else the system has refused it any
            self.close()
