"""How the system finds a peer: whether its half has ended, and how much output it has not taken."""

from __future__ import annotations

import select
import struct
from contextlib import suppress
from typing import Any

with suppress(ImportError):  # Windows has neither
    import fcntl
    import termios

_ENDS = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def hasEnded(transport: Any) -> bool:
    """Whether the peer has sent its end, or a reset. Bytes that came before may be unread.

    False if `transport` has no descriptor, or if the system does not tell (only Linux tells of an end in order).
    """
    number = _numberOf(transport)
    if number < 0:
        return False
    poll = select.poll()
    poll.register(number, _ENDS)
    return bool(poll.poll(0))


def untaken(transport: Any) -> int:
    """Return how many bytes of the output the peer's system has not taken, whether sent or not.

    A reader may be so slow that for minutes the system asks for no more, as its own buffer is nearly full. This number
    shows that the reader goes on. Where the system does not tell its part, that counts as 0.
    """
    unsent: int = getattr(transport, "unsent", 0)
    number = _numberOf(transport)
    if number >= 0:
        with suppress(OSError, NameError):
            (queued,) = struct.unpack("i", fcntl.ioctl(number, termios.TIOCOUTQ, bytes(4)))
            return unsent + int(queued)
    return unsent


def _numberOf(transport: Any) -> int:
    fileno = getattr(transport, "fileno", None)
    number: int = -1 if fileno is None else fileno()
    return number
