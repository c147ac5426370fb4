"""The admin pages in a process of their own: each line of standard input is a status, as JSON, that is fed to them.

It writes its port on standard output, and serves until it is killed or its input ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import reactor
from reactor import LineReceiver
from reactor.service.admin import RemoteSource, adminFactory
from reactor.stdio import StandardIO


class Feeding(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, source: RemoteSource) -> None:
        self.source = source

    def lineReceived(self, line: bytes) -> None:
        self.source.feed(json.loads(line))

    def connectionLost(self, reason: Any = None) -> None:
        reactor.stop()


def main() -> None:
    source = RemoteSource(version="1.2.3")
    factory = adminFactory(source, maxSubscribers=int(sys.argv[2]) if len(sys.argv) > 2 else 32)
    port = reactor.listenTCP(int(sys.argv[1]), factory, interface="127.0.0.1")
    StandardIO(Feeding(source))
    reactor.callWhenRunning(os.write, 1, b"%d\n" % port.getHost().port)
    reactor.run()


if __name__ == "__main__":
    main()
