"""The common base of the built-in applications."""

from __future__ import annotations

import logging
from typing import Any

from reactor._closing import closeFor
from reactor._logger import getLogger
from reactor.error import LineLengthExceeded
from reactor.linereceiver import LineReceiver

log = getLogger("reactor.serving")


class ServedLines(LineReceiver):
    """A line receiver that works with plain nc as a client.

    Lines end in LF, and a client that has ended its half still gets its output.
    """

    delimiter = b"\n"

    # : The level of the record about skipped lines at the end of a connection.
    skippedLevel = logging.WARNING

    _complained = False

    def readConnectionLost(self) -> None:
        """Send all output, then close: the client has sent everything."""
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Do nothing. A transport needs both methods or none."""

    def lineLengthExceeded(self, line: bytes) -> Any:
        """Log it, once a connection, and do the same as LineReceiver. A last record counts the skipped lines."""
        if not self._complained:
            self._complained = True
            what = "skipped" if self.overlong == "skip" else "connection closed"
            peer = self.transport.getPeer()
            log.limited(logging.WARNING, "%s sent a line of more than %d bytes, %s", peer, self.MAX_LENGTH, what)
        if self.overlong == "skip":
            return None
        reason = LineLengthExceeded(f"a line of more than {self.MAX_LENGTH} bytes")
        return closeFor(self.transport, reason, logging.DEBUG)
