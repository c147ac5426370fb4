"""A rest: what the reactor owns stops reading when the system refuses it something, and begins again after a time.

A rest that cannot end, as the system refuses to watch the descriptor again, is taken again, for as long as that lasts.
One that cannot even be timed, for want of memory, ends with the turn.
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

    The delayed call for the end of a rest is made again before the owner is resumed, and cancelled afterwards. So an
    owner is not deaf for ever if a signal's handler raises anywhere in between.
    """

    __slots__ = ("_again", "_call", "_isOver", "_reactor", "_resume", "_seconds")

    _isReactorsOwn = True  # see loops.guests

    def __init__(self, reactor: Any, seconds: float) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._call: IDelayedCall | None = None
        # Known during a rest alone, or the owner would wait for the garbage collector.
        self._resume: Callable[[], None] | None = None
        self._again: Callable[[Failure], None] | None = None
        self._isOver = False  # the owner is being resumed

    def __bool__(self) -> bool:
        return self._resume is not None and not self._isOver

    def take(self, resume: Callable[[], None], again: Callable[[Failure], None]) -> None:
        """Begin a rest, if there is none. At its end `resume` is called; what that raises goes to `again`, which takes
        the next one. `resume` may be called when the owner has been resumed already.

        Whoever calls it stops reading afterwards, not before: nothing must be deaf without an end.
        """
        if self:
            return
        before, call = self._call, self._callLater()
        self._call, self._resume, self._again = call, resume, again  # last: half a rest would never end
        self._isOver = False
        if before is not None and before.active():
            before.cancel()
        if call is None:
            self._reactor.flushSoon(self)

    def cancel(self) -> None:
        """End the rest without a call, if there is one."""
        self._resume = self._again = None
        self._isOver = False
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def flush(self) -> None:
        """The turn is over in which no deadline could be kept."""
        if self and self._call is None:
            self._end()

    def failConnection(self, failure: Failure) -> None:
        """`again` has failed, and has taken no rest."""
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
            return  # it could not be noted, or has been cancelled, or ended
        self._call = self._callLater()
        self._isOver = True
        try:
            resume()
        except Exception as error:
            again(failureOf(error))
        if self._isOver:
            self.cancel()
