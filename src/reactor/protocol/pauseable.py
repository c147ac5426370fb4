"""PauseableMixin: the producer's three methods, for protocols that keep what they have not delivered yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor._arguments import connected

__all__ = ["PauseableMixin"]


class PauseableMixin:
    """Makes a protocol a push producer. While `paused` is true its dataReceived only stores what it is given."""

    paused = False

    if TYPE_CHECKING:
        transport: Any

        def dataReceived(self, data: bytes) -> object: ...

    def pauseProducing(self) -> None:
        """Deliver nothing more, from inside a callback too, and have the transport read nothing more."""
        self.paused = True
        connected(self, "pauseProducing").pauseProducing()

    def resumeProducing(self) -> None:
        """Let the transport read again, and deliver what has been stored."""
        self.paused = False
        connected(self, "resumeProducing").resumeProducing()
        self.dataReceived(b"")

    def stopProducing(self) -> None:
        """Deliver nothing more; the transport closes the connection."""
        self.paused = True
        connected(self, "stopProducing").stopProducing()
