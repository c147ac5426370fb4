"""PauseableMixin: the producer's three methods, for protocols that keep undelivered data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor._arguments import connected

__all__ = ["PauseableMixin"]


class PauseableMixin:
    """Makes a protocol a push producer. While `paused` is true its dataReceived only stores the data."""

    paused = False

    if TYPE_CHECKING:
        transport: Any

        def dataReceived(self, data: bytes) -> object: ...

    def pauseProducing(self) -> None:
        """Deliver nothing more, and have the transport read nothing more. It works inside a callback too."""
        self.paused = True
        connected(self, "pauseProducing").pauseProducing()

    def resumeProducing(self) -> None:
        """Let the transport read again, and deliver the stored data."""
        self.paused = False
        connected(self, "resumeProducing").resumeProducing()
        self.dataReceived(b"")

    def stopProducing(self) -> None:
        """Deliver nothing more, and close the connection."""
        self.paused = True
        connected(self, "stopProducing").stopProducing()
