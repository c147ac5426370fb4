"""Whether a peer has ended its half of a connection that nobody reads."""

from __future__ import annotations

import select
from typing import Any

_ENDS = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


def hasEnded(transport: Any) -> bool:
    """Whether the peer has sent its end, or a reset. Bytes that came before may be unread.

    False if `transport` has no descriptor, or if the system does not tell (only Linux tells of an end in order).
    """
    fileno = getattr(transport, "fileno", None)
    number = -1 if fileno is None else fileno()
    if number < 0:
        return False
    poll = select.poll()
    poll.register(number, _ENDS)
    return bool(poll.poll(0))
