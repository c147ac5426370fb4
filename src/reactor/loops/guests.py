"""Descriptors that a program has added itself.

The reactor's own objects handle their failures in failConnection, and remove themselves before they close. Their
classes have the mark `_isReactorsOwn`, as a program may have methods of any name. The loop looks at a program's
descriptor before each call, as Twisted does. If its fileno() is -1, it was closed, and its old number would wake it
again and again. This look costs a call, which the reactor's own connections do not pay.
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
    """Takes the place of `owner`, a program's descriptor, in the tables of `reactor`."""

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
        """Handle an exception of the owner."""
        self._reactor._ownerFailed(self.owner, failure)

    def _isOpen(self) -> bool:
        if self.owner.fileno() != -1:
            return True
        self._reactor._ownerEnded(self.owner, ConnectionFdescWentAway("its fileno() has become -1"))
        return False


def isOwn(owner: Any) -> bool:
    """Whether `owner` handles its own failures."""
    # Look at its class, because reading an attribute may have effects on an object with __getattr__.
    return getattr(type(owner), "_isReactorsOwn", None) is True


def isRepeatable(call: Any) -> bool:
    """Whether the loop may call `call` again, if a signal's handler has broken it off.

    It may if `call` ends or resumes an object of the reactor's own.
    """
    owner = getattr(call, "__self__", None)
    return owner is not None and isOwn(owner) and getattr(call, "__name__", "") in _REPEATABLE


def ownerOf(known: Any) -> Any:
    """Return the owner of `known`, an entry of a table of owners and guests."""
    return known.owner if type(known) is Guest else known


def numberOf(owner: Any, table: dict[int, Any]) -> int:
    """Return the number under which `owner` is watched: its own, unless it was closed before its removal."""
    try:
        fd: int = owner.fileno()
    except Exception:
        fd = -1  # a closed file's fileno() raises
    return fd if fd >= 0 else _searched(owner, table)


def _searched(owner: Any, table: dict[int, Any]) -> int:
    return next((number for number, known in table.items() if ownerOf(known) is owner), -1)
