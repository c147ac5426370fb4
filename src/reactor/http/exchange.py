"""One request, from the call of the program to the end of its response.

    an exchange is       it has                  moved by
    WAITING              a place in a queue      the pool, when a connection is free or may be opened -> CONNECTING or
                                                 SENT; this is the first phase
    CONNECTING           a connector             the connection stands -> SENT; it cannot be made -> OVER
    SENT                 a connection            the head of the response -> ANSWERED; the connection has ended ->
                                                 WAITING once more if the request may be repeated, else OVER
    ANSWERED             a connection, and an    the end of the body, for better or worse -> OVER
                         Inflow
    OVER                 nothing

The deadline and a program that gives up move each phase to OVER. The deadline has one timer. Up to ANSWERED it counts
from the call on, and again from each time that the peer has taken some of the request's body. From then on it counts
from each piece of the response's body, while the program waits for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor.defer import CancelledError, Deferred
from reactor.failure import Failure
from reactor.http.clienterrors import ClientClosed, RequestTimedOut
from reactor.http.incoming import ClientResponse, Inflow
from reactor.http.outgoing import Outgoing

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall

WAITING, CONNECTING, SENT, ANSWERED, OVER = range(5)


def _nothing() -> None:
    """There is nothing to give up."""


def _never() -> bool:
    """Return False: no program is awaited, and no body is under way."""
    return False


class Exchange:
    """See the module. The pool and the connection set three calls.

    - `giveUp` ends the present phase from outside.
    - `waitsForProgram` tells whether the program is to give more of the request's body. Then the peer is not late.
    - `hasTaken` tells whether the peer has taken more of the request's body since the last look.
    """

    def __init__(self, reactor: Any, request: Outgoing, timeout: float | None, maxBody: int) -> None:
        self.reactor = reactor
        self.request = request
        self.maxBody = maxBody
        self.phase = WAITING
        self.isRepeated = False
        self.giveUp: Callable[[], None] = _nothing
        self.waitsForProgram: Callable[[], bool] = _never
        self.hasTaken: Callable[[], bool] = _never
        self.inflow: Inflow | None = None
        # The result of the Deferred is the response. Without a reference to it from here, the program can drop that.
        self._response: Deferred[ClientResponse] | None = None
        self._timeout = timeout
        self._timer: IDelayedCall | None = None

    def begin(self) -> Deferred[ClientResponse]:
        """Let the deadline count; return the Deferred of the response, which can be cancelled."""
        response = self._response = Deferred(self._cancelled)
        self.restart()
        return response

    # The deadline.

    def restart(self) -> None:
        """There was progress: the deadline counts from now on."""
        if self._timeout is None or self.phase == OVER:
            return
        if self._timer is not None:
            self._timer.reset(self._timeout)
        else:
            self._timer = self.reactor.callLater(self._timeout, self._expired)

    def suspend(self) -> None:
        """The deadline does not count until restart()."""
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _expired(self) -> None:
        self._timer = None
        if self.waitsForProgram() or (self.phase == SENT and self.hasTaken()):
            self.restart()
            return
        what = "no more of the response's body came" if self.phase == ANSWERED else "no head of a response came"
        self.fail(RequestTimedOut(string=f"{what} within {self._timeout:g} seconds"))

    # Its ends.

    def answered(self, inflow: Inflow) -> None:
        """The head of the response has come."""
        self.phase = ANSWERED
        self.inflow = inflow
        self.restart()

    def tell(self, result: ClientResponse | Failure) -> None:
        """Give the program the response, or the failure. Its callbacks may end the exchange."""
        response, self._response = self._response, None
        if response is not None:
            response.callback(result)

    def finish(self) -> None:
        """All is done. No reference is left in a circle, which would keep the body until the next collection."""
        self.phase = OVER
        self.suspend()
        self.giveUp = _nothing
        self.waitsForProgram = self.hasTaken = _never
        self.inflow = None

    def fail(self, error: BaseException | Failure) -> None:
        """End with `error`, whatever the phase: give up, and tell the program that waits for the head or the body."""
        if self.phase == OVER:
            return
        giveUp, inflow = self.giveUp, self.inflow
        self.finish()
        giveUp()
        failure = error if isinstance(error, Failure) else Failure(error)
        if inflow is not None:
            inflow.end(failure)
        else:
            self.tell(failure)

    def close(self) -> None:
        """The client was closed."""
        self.fail(ClientClosed("the client was closed"))

    def _cancelled(self, _: Deferred[ClientResponse]) -> None:
        self.fail(CancelledError())
