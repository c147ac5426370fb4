"""Leaving: a connection of a drain, from the end of our half on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor._closing import goesOn
from reactor.failure import Failure
from reactor.protocol.standins import StandIn, standBefore

if TYPE_CHECKING:
    from reactor.service.draining import Drain

QUIET = 0.1  # more than 40 ms: a peer's kernel may hold a line back for so long, until we acknowledge the last one


class Leaving(StandIn):
    """A stand-in for the protocol of `transport`, from the end of our half on."""

    def __init__(self, transport: Any, drain: Drain, heed: float = 0.0) -> None:
        """`heed`: the seconds that the peer has to end its half, once it has all output."""
        self.transport = transport
        self.heed = heed
        self.ending = False
        self.sentAt: float | None = None
        self.heardAt: float | None = None  # the time of the last data behind sentAt
        self.refuses = False
        self._drain = drain
        self._isOver = False
        standBefore(self, transport)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on."""
        if self.sentAt is not None:
            self.heardAt = self._drain.now()
        return self.wrappedProtocol.dataReceived(data)

    def readConnectionLost(self) -> Any:
        """The peer has ended its half. Pass that on to the protocol, if it has the method.

        If the kernel has refused more, this is not the peer's end, only the end of the data that had come.
        """
        if self.refuses:
            self._drain.finish(self)
            return None
        told = None
        if hasattr(self.wrappedProtocol, "readConnectionLost"):
            told = self.wrappedProtocol.readConnectionLost()
        self.transport.loseConnection()
        return told

    def writeConnectionLost(self) -> None:
        """The kernel has all output."""
        self.sentAt = self._drain.now()

    @goesOn
    def connectionLost(self, reason: Failure) -> Any:
        """Passed on, once."""
        if self._isOver:
            return None
        self._drain.left(self)
        self._isOver = True
        return self.wrappedProtocol.connectionLost(reason)

    def speaks(self, now: float) -> bool:
        """Whether the peer still sends after the end of our half."""
        return self.heardAt is not None and now < self.heardAt + QUIET

    def mayHeed(self, now: float) -> bool:
        """Whether the peer may be about to heed the end of our half."""
        return self.sentAt is not None and now < self.sentAt + self.heed
