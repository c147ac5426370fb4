"""A protocol as a consumer, and a consumer as a protocol."""

from __future__ import annotations

from typing import Any

from reactor._beside import beside
from reactor.failure import Failure


class ProtocolToConsumerAdapter:
    """The consumer that gives everything to the protocol `original`. It keeps no producer."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def write(self, data: bytes) -> None:
        """Give `data` to the protocol's dataReceived."""
        beside(self.original.dataReceived(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Do nothing: the protocol takes all data."""

    def unregisterProducer(self) -> None:
        """Do nothing: see registerProducer."""


class ConsumerToProtocolAdapter:
    """The protocol that writes everything to the consumer `original`. It passes on no beginning and no end."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def dataReceived(self, data: bytes) -> None:
        """Write `data` to the consumer."""
        self.original.write(data)

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing: a consumer has no call for an end."""

    def makeConnection(self, transport: Any) -> None:
        """Do nothing: a consumer has no transport."""

    def connectionMade(self) -> None:
        """Do nothing: a consumer has no call for a beginning."""
