"""Entry: what a listener knows of one of its connections."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from reactor.failure import Failure
from reactor.interfaces import IDelayedCall
from reactor.linecore import Tally
from reactor.service.rates import Meter
from reactor.service.records import OF_LIMITS, reasonWord
from reactor.timers import monotonicTime
from reactor.transports.tls.layer import TLSLayer

if TYPE_CHECKING:
    from reactor.service.listener import Listener

LINGER = 2.0  # seconds for what is left to send, when a limit has ended a connection; then it is reset


def lowestOf(transport: Any) -> Any:
    """Return the transport that has the descriptor: the one below TLS."""
    return getattr(transport, "lower", transport)


class Entry(Tally):
    """One connection of `listener`, from the accept to the end. The transports tell it of what they carry.

    `transport` is the transport of the protocol, once that has one. `why` is the word for the end's reason. `seen` is
    what the connection has in the table of peers. `cut` is the reset of a connection that a limit has ended.
    """

    __slots__ = (
        "began",
        "cut",
        "group",
        "listener",
        "meter",
        "peer",
        "seenBytes",
        "seenLines",
        "since",
        "sinceLines",
        "state",
        "transport",
        "why",
    )

    def __init__(self, listener: Listener, transport: Any, now: float) -> None:
        self.listener: Listener | None = listener
        self.transport = transport
        self.whole = listener.total
        self.peer = transport.getPeer()
        self.began = now
        self.group: str | None = None
        self.meter: Meter | None = None
        self.why: str | None = None
        self.state = ACCEPTED
        self.since: float | None = None  # an unfinished line is there since then, and `sinceLines` had ended
        self.sinceLines = 0
        self.seenLines = self.seenBytes = 0
        self.cut: IDelayedCall | None = None

    def now(self) -> float:
        """Return the reactor's monotonic time."""
        return monotonicTime(self.transport.reactor)

    def callLater(self, seconds: float, call: Callable[[], None]) -> IDelayedCall:
        """Have the connection's reactor make the call."""
        later: IDelayedCall = self.transport.reactor.callLater(seconds, call)
        return later

    def throttle(self) -> None:
        """Read nothing until unthrottle()."""
        lowestOf(self.transport).throttle()

    def unthrottle(self) -> None:
        """Undo throttle()."""
        lowestOf(self.transport).unthrottle()

    @property
    def lineTotal(self) -> int:
        """The number of the peer's lines, or of its requests."""
        return self.requests or (0 if self.listener is not None and self.listener.isHTTP else self.lines)

    def countLimited(self, limit: str) -> None:
        """Count that the connection has hit `limit`."""
        if self.listener is not None:
            self.listener.limited[limit] += 1

    def closing(self, transport: Any, reason: BaseException) -> None:
        """This side is about to close for `reason`. If that is a limit, the peer has LINGER seconds to let go.

        A peer that is past a limit must not keep its place: neither by unread output, nor by a silent end of TLS.
        """
        word = reasonWord(reason)
        if word in OF_LIMITS and self.listener is not None and self.cut is None:
            self.why = self.why or word
            self.cut = self.callLater(LINGER, partial(self._cutOff, transport))

    def _cutOff(self, transport: Any) -> None:
        if self.listener is not None:
            lowestOf(transport).abortConnection()

    def ended(self, transport: Any, reason: Failure) -> None:
        """A transport of the connection has ended. The connection is over with the lowest, the one that has bytes."""
        listener = self.listener
        if listener is None:
            return
        if self.why is None:
            self.why = reasonWord(reason.value, listener.server.isDraining)
            if self.state < MET and isinstance(transport, TLSLayer) and self.why != "drained":
                self.why = "tls"
        if transport.countsBytes:
            if self.meter is not None:
                self.meter.stop()
                self.meter = None
            if self.cut is not None and self.cut.active():
                self.cut.cancel()
            self.cut = None
            self.leave()
            self.listener = None
            listener.lost(self)

    def _passedRate(self) -> None:
        if self.meter is not None:
            self.meter.look()


ACCEPTED, ENROLLED, MET = range(3)
