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
        """Give it to the protocol's dataReceived."""
        beside(self.original.dataReceived(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Nothing: the protocol takes what comes."""

    def unregisterProducer(self) -> None:
        """Nothing."""


class ConsumerToProtocolAdapter:
    """The protocol that writes everything to the consumer `original`. It tells nobody of a connection or its end."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def dataReceived(self, data: bytes) -> None:
        """Write it to the consumer."""
        self.original.write(data)

    def connectionLost(self, reason: Failure) -> None:
        """Nothing: a consumer knows no end."""

    def makeConnection(self, transport: Any) -> None:
        """Nothing."""

    def connectionMade(self) -> None:
        """Nothing."""
