"""What the built-in applications share."""

from __future__ import annotations

import logging
from typing import Any

from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor.error import LineLengthExceeded
from reactor.linereceiver import LineReceiver

log = getLogger("reactor.serving")


class ServedLines(LineReceiver):
    """A line receiver that takes plain nc for a client: lines end in LF, and a client that has ended its half still
    gets what it is owed.
    """

    delimiter = b"\n"

    #: The record at the end of a connection, of how many lines were skipped.
    skippedLevel = logging.WARNING

    _complained = False

    def readConnectionLost(self) -> None:
        """The client has said everything: send what it is owed, then close."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Here because a transport asks for both or none; nothing is left to do."""

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Say so, once a connection; then as LineReceiver does. The number of skipped lines is told at the end."""
        if not self._complained:
            self._complained = True
            what = "skipped" if self.overlong == "skip" else "connection closed"
            peer = self.transport.getPeer()
            log.limited(logging.WARNING, "%s sent a line of more than %d bytes, %s", peer, self.MAX_LENGTH, what)
        if self.overlong == "skip":
            return None
        reason = LineLengthExceeded(f"a line of more than {self.MAX_LENGTH} bytes")
        return closeFor(self.transport, reason, logging.DEBUG)
