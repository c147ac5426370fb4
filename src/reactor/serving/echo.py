"""The echo application."""

from __future__ import annotations

from reactor.serving.lines import ServedLines


class Echo(ServedLines):
    """Sends each line back as it came. A CR before the LF is part of the line, so CRLF comes back as CRLF.

    A client that does not read its answers is not read from either, once 64 KiB of them wait.
    """

    def connectionMade(self) -> None:
        """Have the transport say when the client falls behind."""
        self.transport.registerProducer(self, True)

    def linesReceived(self, lines: list[bytes]) -> None:
        """Answer a read with one write."""
        self.sendLines(lines)
