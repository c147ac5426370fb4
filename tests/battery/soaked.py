"""The application of test_soak.py: it keeps each line in the journal of its process, and answers it then."""

from __future__ import annotations

import os
from typing import Any

from reactor import LineReceiver, ServerFactory
from reactor.transports.output import OPEN
from tests.battery.soakhistory import LATE, parsed


class Journaling(LineReceiver):
    """Answers a line with the process and the line. Other lines get another answer, and over-long ones the end."""

    delimiter = b"\n"
    MAX_LENGTH = 200
    journal = -1

    def lineReceived(self, line: bytes) -> None:
        if parsed(line) is None:
            self.sendLine(b"no")
            return
        transport: Any = self.transport
        isLate = transport._writeHalf != OPEN
        os.write(self.journal, LATE * isLate + line + b"\n")
        self.sendLine(b"%d %s" % (os.getpid(), line))

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        pass


def makeFactory(folder: str) -> ServerFactory:
    """Return a factory that keeps the journal of this process in `folder`."""
    path = os.path.join(folder, f"journal-{os.getpid()}")
    Journaling.journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
    factory = ServerFactory.forProtocol(Journaling)
    factory.noisy = False
    return factory
