"""The echo application."""

from __future__ import annotations

from reactor.serving.lines import ServedLines


class Echo(ServedLines):
    """Sends each line back as is. A CR before the LF is part of the line, so CRLF comes back as CRLF.

    While 64 KiB of answers wait for a client, the server does not read from it.
    """

    def connectionMade(self) -> None:
        """Register as a producer, so the transport pauses reading when the client falls behind."""
        self.transport.registerProducer(self, True)

    def linesReceived(self, lines: list[bytes]) -> None:
        """Answer a read with one write."""
        self.sendLines(lines)
