"""What the built-in applications share."""

from __future__ import annotations

import logging
from typing import Any

from reactor.linereceiver import LineReceiver

log = logging.getLogger("reactor.serving")


class ServedLines(LineReceiver):
    """A line receiver that takes plain nc for a client: lines end in LF, and a client that has ended its half still
    gets what it is owed.
    """

    delimiter = b"\n"

    _complained = False

    def readConnectionLost(self) -> None:
        """The client has said everything: send what it is owed, then close."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Here because a transport asks for both or none; nothing is left to do."""

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Say so, once a connection; then as LineReceiver does."""
        if not self._complained:
            self._complained = True
            what = "skipped" if self.overlong == "skip" else "connection closed"
            log.warning("%s sent a line of more than %d bytes, %s", self.transport.getPeer(), self.MAX_LENGTH, what)
        return super().lineLengthExceeded(line)
