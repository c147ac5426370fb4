"""A rest: one of the reactor's own readers stops for a while after the system has refused it something.

If the rest cannot end, because the system refuses to watch the descriptor again, another rest follows. A rest without
memory for its timer ends with the turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactor._logger import getLogger
from reactor.failure import Failure, failureOf
from reactor.interfaces import IDelayedCall

log = getLogger("reactor.transports")


class Rest:
    """Rests of one owner, each of `seconds`. True while there is one.

    The end of a rest schedules another delayed call before it resumes the owner, and cancels it afterwards. So the
    owner does not stay deaf if a signal's handler raises in between.
    """

    __slots__ = ("_again", "_call", "_isOver", "_reactor", "_resume", "_seconds")

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: Any, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._call: IDelayedCall | None = None
        # Set only during a rest, as otherwise the owner would wait for the garbage collector.
        self._resume: Callable[[], None] | None = None
        self._again: Callable[[Failure], None] | None = None
        self._isOver = False  # the owner is resuming

    def __bool__(self) -> bool:
        return self._resume is not None and not self._isOver

    def take(self, resume: Callable[[], None], again: Callable[[Failure], None]) -> None:
        """Begin a rest, if there is none. At its end `resume` is called.

        An exception of `resume` goes to `again`, which takes the next rest. `resume` may be called when the owner has
        been resumed already. The caller stops reading after this call, not before, so that no owner is deaf without an
        end.
        """
        if self:
            return
        before, call = self._call, self._callLater()
        if call is None:
            self._reactor.flushSoon(self)
        self._call, self._resume, self._again = call, resume, again  # after both, as half a rest would never end
        self._isOver = False
        if before is not None and before.active():
            before.cancel()

    def cancel(self) -> None:
        """End the rest without a call, if there is one."""
        self._resume = self._again = None
        self._isOver = False
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def flush(self) -> None:
        """End the rest with the turn: there was no memory for a deadline."""
        if self._resume is not None and self._call is None:
            self._end()

    def failConnection(self, failure: Failure) -> None:
        """Log `failure`, and try again in the next turn: `again` has failed, and has taken no rest."""
        if self._resume is not None and self._call is None:
            self._reactor.flushSoon(self)
        log.error("a rest could not be taken: %s", failure.getErrorMessage())

    def _callLater(self) -> IDelayedCall | None:
        """Return the delayed call of `_end`; None if there is no memory for one."""
        try:
            call: IDelayedCall = self._reactor.callLater(self._seconds, self._end)
        except MemoryError:
            return None
        return call

    def _end(self) -> None:
        resume, again = self._resume, self._again
        if resume is None or again is None:
            return  # the call could not be stored, or was cancelled, or has ended
        self._call = self._callLater()
        self._isOver = True
        try:
            resume()
        except Exception as error:
            again(failureOf(error))
        if self._isOver:
            self.cancel()
