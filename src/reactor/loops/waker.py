"""A pair of sockets through which other threads and signals wake a loop that sleeps.

Sockets and not a pipe: every kind of loop, on every system, can watch them.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from reactor._numbers import openPair
from reactor.failure import Failure


class Waker:
    """A descriptor that is readable as soon as any thread or signal handler has called wake().

    `failed` is called with the error if it could not be read. It is still readable then, and wakes again.
    """

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, failed: Callable[[Failure], None] = lambda failure: None) -> None:
        self._failed = failed
        self._buffer = bytearray(4096)  # kept, so reading needs no memory
        self._reading, self._writing = openPair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._awake = False

    def wake(self) -> None:
        """Make the loop's next sleep end at once. OSError if the waker is closed.

        This costs a system call only if the loop is not awake already.
        """
        if not self._awake:
            self._awake = True
            try:
                self._writing.send(b"w")
            except BlockingIOError:
                pass  # the buffer is full of signals: the loop will wake
            except OSError:
                self._awake = False  # so that the next call raises, too
                raise

    def fileno(self) -> int:
        """Return the end that becomes readable."""
        return self._reading.fileno()

    @property
    def writeFd(self) -> int:
        """The other end. A byte written to it wakes the loop too."""
        return self._writing.fileno()

    def doRead(self) -> None:
        """Take the bytes that woke the loop, which then looks at its queues.

        The bytes are taken before the flag falls. A wake() in between is not lost, because its call is queued.
        """
        self._awake = False  # here too, as an exception of a signal's handler could come before the last line
        try:
            while self._reading.recv_into(self._buffer) == len(self._buffer):
                pass
        except BlockingIOError:
            pass
        finally:
            self._awake = False  # also if it could not be read, as the remaining bytes wake again

    def failConnection(self, failure: Failure) -> None:
        """doRead has raised `failure`."""
        self._failed(failure)

    def renew(self) -> None:
        """In a forked child: replace both descriptors by a new pair, as the parent has the old one too."""
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
        # A reactor without a close() closes its descriptors without a warning.
        if hasattr(self, "_writing"):  # otherwise the system has refused the pair
            self.close()
