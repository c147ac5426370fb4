"""ConnectionRecord: what is known of a connection when it has ended."""

from __future__ import annotations

from typing import Any, NamedTuple

from reactor.error import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectionDone,
    ConnectionLost,
    IdleTimeout,
    LineDeadlineExceeded,
    LineLengthExceeded,
    OutputLimitExceeded,
    PendingLimitExceeded,
    SSLError,
)
from reactor.haproxy.receiving import ProxyRefused


class ConnectionRecord(NamedTuple):
    """One ended connection: `Server.onEnded` gets it.

    `listener` is the listener's name. `peer` is the address object of the peer. `why` is one of the reasons below.
    `lines` counts the peer's lines, or the requests of HTTP. `bytesIn` and `bytesOut` count what the socket carried,
    TLS included. `seconds` is the time from the accept to the end.

    The reasons:

    - "done" is an end in order, and "drained" is that of a drain.
    - "lost" is a broken connection, and "aborted" is a reset by this side.
    - "idle", "line-deadline", "overlong", "max-pending" and "output" name a limit. "output" is that of unsent bytes.
    - "handler" is a callback that raised. "tls" is a failed handshake. "proxy" is a wrong header before the connection.
    """

    listener: str
    peer: Any
    why: str
    lines: int
    bytesIn: int
    bytesOut: int
    seconds: float


# The first that fits counts, so a class stands before its bases.
_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (IdleTimeout, "idle"),
    (LineDeadlineExceeded, "line-deadline"),
    (PendingLimitExceeded, "max-pending"),
    (LineLengthExceeded, "overlong"),
    (OutputLimitExceeded, "output"),
    (ProxyRefused, "proxy"),
    (ConnectionAborted, "aborted"),
    (ConnectionDone, "done"),
    (ConnectionLost, "lost"),
    (ConnectionClosed, "lost"),
    (SSLError, "tls"),
)

# Words of limits whose connections are closed in order. That of "output" is reset at once.
OF_LIMITS = ("idle", "line-deadline", "max-pending", "overlong")


def reasonWord(value: BaseException, draining: bool = False) -> str:
    """Return the word for a connection's end with the exception `value`. During a drain, it ends as "drained"."""
    for kind, word in _WORDS:
        if isinstance(value, kind):
            return "drained" if draining and word in ("done", "aborted") else word
    return "handler"
