"""Closing for a reason: the one way in which a close passes its reason to connectionLost.

The code that closes calls closeFor(transport, reason). A transport of this package gets the reason by noteClosing. Then
its plain loseConnection() is called, as for any other transport. So a wrapper's loseConnection works, and other
packages' transports see the same call as always. The transport keeps the reason until it calls connectionLost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from reactor._logger import getLogger
from reactor.error import ConnectionDone

log = getLogger("reactor.transports")


F = TypeVar("F", bound=Callable[..., Any])


def goesOn(function: F) -> F:
    """Mark `function`, a callback that tells of an end. Called again after an exception, it does what is left to do.

    A program's callbacks are not marked: what has been called counts as told, and is never called a second time.
    """
    function._goesOn = True  # type: ignore[attr-defined]
    return function


def mayGoOn(owner: object, name: str) -> bool:
    """Whether the method `name` of `owner` is marked by goesOn. That of a program's subclass is not."""
    return getattr(getattr(type(owner), name, None), "_goesOn", False) is True


def closeFor(transport: Any, reason: ConnectionDone, level: int = logging.INFO) -> Any:
    """Close `transport` in order, because of `reason`; return the result of its loseConnection().

    With a transport of this package, connectionLost gets `reason` in place of ConnectionDone. The reactor counts it in
    `closeCounts`, and logs it with `level`, at a limited rate. Any other transport is only closed. TypeError if the
    reason is no ConnectionDone, because such a close would not be in order. AttributeError if `transport` is None.
    """
    if not isinstance(reason, ConnectionDone):
        raise TypeError(f"a close is for a reason that is a ConnectionDone, not {reason!r}")
    if transport is None:
        raise AttributeError("there is no transport to be closed: the protocol has none before makeConnection()")
    note(transport, reason, level)
    return transport.loseConnection()


def note(transport: Any, reason: ConnectionDone, level: int = logging.INFO) -> None:
    """Pass the reason of the close that follows to `transport`, if it is of this package."""
    # Look at the class: a mock object that has every method must not see a new call.
    if hasattr(type(transport), "noteClosing"):
        transport.noteClosing(reason, level)


def tellClosing(reactor: Any, peer: object, reason: ConnectionDone, level: int = logging.INFO) -> None:
    """Count, and log, that this side closes a connection with `peer` because of `reason`."""
    reactor.closeCounts[type(reason)] += 1
    log.limited(level, "%s: closed from here: %s", peer, reason)


def tellBroken(peer: object, why: object) -> None:
    """Log that a connection with `peer` has broken off."""
    log.limited(logging.INFO, "%s: broken off: %s", peer, why)


def tellStopped(port: Any, stopped: Any) -> None:
    """Fire `stopped`, the Deferred of a port's stopListening, even if a signal's handler raises before."""
    try:
        port._stopped = None
        stopped.callback(None)
    except BaseException:
        if not stopped.called:
            stopped.callback(None)
        raise


def tellSkipped(reactor: Any, transport: Any, protocol: object, hasPeer: bool = True) -> None:
    """Count, and log, the lines that a protocol has skipped as too long; its connection has ended.

    The record names the peer, or, without `hasPeer`, the `transport` itself. The level is the protocol's
    `skippedLevel`, INFO if it has none.
    """
    try:
        count = getattr(protocol, "overlongCount", 0)
        if count and type(count) is int:
            reactor.skippedLineCount += count
            level = getattr(protocol, "skippedLevel", logging.INFO)
            where = transport.getPeer() if hasPeer else transport
            log.limited(level, "%s: lines that were too long, and skipped: %d", where, count)
    except Exception:
        log.exception("unhandled error in overlongCount of %s", type(protocol).__name__)
