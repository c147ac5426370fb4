"""Descriptors that a program has added itself, as the loop calls them.

What is the reactor's own deals with its own failures, in failConnection, and closes nothing without removing itself.
Its class says so with the mark `_isReactorsOwn`: a program may have methods of any name. A program's descriptor is
looked at before each call, as Twisted does: one whose fileno() is -1 has gone, and would be called for its old number
over and over. Looking costs a call, which the reactor's own connections do not pay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor.error import ConnectionFdescWentAway

if TYPE_CHECKING:
    from reactor.failure import Failure
    from reactor.loops.base import ReactorBase


# Methods of the reactor's own that the loop calls at a time, or for a thread. Each ends something, or resumes it, and
# nobody else would. Called again, it does what is left to do.
_REPEATABLE = frozenset(
    {
        # Ends: of connections, attempts and handshakes, ports, children.
        "connectionLost",
        "fail",
        "_stop",
        "_exited",
        # Resumptions: after a rest, of a producer, of an input, of what TLS holds or waits for, of an attempt.
        "_end",
        "_endRest",
        "_askAgain",
        "_readAgain",
        "_deliverLater",
        "_stillClosing",
        "_silent",
        "_tryAgain",
        # Answers that a thread has found, or that did not come in time.
        "answered",
        "_timedOut",
        "_fire",
        "_waitElsewhere",
    }
)


class Guest:
    """Stands for `owner`, a program's descriptor, in the tables of `reactor`."""

    __slots__ = ("_reactor", "owner")

    _isReactorsOwn = True

    def __init__(self, reactor: ReactorBase, owner: Any) -> None:
        self._reactor = reactor
        self.owner = owner

    def doRead(self) -> None:
        """The descriptor may be readable."""
        if self._isOpen():
            result = self.owner.doRead()
            if result is not None:
                self._reactor._ownerEnded(self.owner, result)

    def doWrite(self) -> None:
        """The descriptor may be writable."""
        if self._isOpen():
            result = self.owner.doWrite()
            if result is not None:
                self._reactor._ownerEnded(self.owner, result)

    def failConnection(self, failure: Failure) -> None:
        """What the owner raised."""
        self._reactor._ownerFailed(self.owner, failure)

    def _isOpen(self) -> bool:
        if self.owner.fileno() != -1:
            return True
        self._reactor._ownerEnded(self.owner, ConnectionFdescWentAway("its fileno() has become -1"))
        return False


def isOwn(owner: Any) -> bool:
    """Whether `owner` deals with its own failures."""
    # Its class is asked: of an object with __getattr__ nobody knows what asking does.
    return getattr(type(owner), "_isReactorsOwn", None) is True


def isRepeatable(call: Any) -> bool:
    """Whether `call` ends or resumes something of the reactor's own, so that the loop calls it again if it is broken
    off: by what a signal's handler raises.
    """
    owner = getattr(call, "__self__", None)
    return owner is not None and isOwn(owner) and getattr(call, "__name__", "") in _REPEATABLE


def ownerOf(known: Any) -> Any:
    """Return who is meant by `known`, an entry of a table of owners and guests."""
    return known.owner if type(known) is Guest else known


def numberOf(owner: Any, table: dict[int, Any]) -> int:
    """The number under which `owner` is watched: its own, unless it was closed before it was removed."""
    try:
        fd: int = owner.fileno()
    except Exception:
        fd = -1  # a closed file's fileno() raises
    return fd if fd >= 0 else _searched(owner, table)


def _searched(owner: Any, table: dict[int, Any]) -> int:
    return next((number for number, known in table.items() if ownerOf(known) is owner), -1)
