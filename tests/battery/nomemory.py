"""A server and its client in one process, run under strace: some of its sends fail as if there were no memory."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
from typing import Any

from tests.support.worlds import LOOPBACK, LOOPS, TWISTED, turnUntil

DATA = random.Random(7).randbytes(1_000_000)


def main(name: str, kind: str) -> None:
    """Send DATA over a stream of this kind, then tell what has come, how it ended, and how long it took."""
    (side,) = [side for side in (*LOOPS, TWISTED) if side.name == name]
    loop = side.makeReactor()
    received = bytearray()
    lost = list[Any]()

    class Sender(side.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.write(DATA)
            self.transport.loseConnection()

    class Receiver(side.protocol.Protocol):  # type: ignore[misc, name-defined]
        def dataReceived(self, data: bytes) -> None:
            received.extend(data)

        def connectionLost(self, reason: Any = None) -> None:
            lost.append(reason.type.__name__)

    servers = side.protocol.ServerFactory.forProtocol(Sender)
    clients = side.protocol.ClientFactory.forProtocol(Receiver)
    servers.noisy = clients.noisy = False
    if kind == "tcp":
        port = loop.listenTCP(0, servers, interface=LOOPBACK)
        loop.connectTCP(LOOPBACK, port.getHost().port, clients)
    else:
        loop.listenUNIX("s", servers)
        loop.connectUNIX("s", clients)
    began = time.monotonic()
    turnUntil(loop, lambda: lost)
    print(json.dumps([hashlib.sha256(received).hexdigest(), lost, time.monotonic() - began]))
    sys.stdout.flush()
    os._exit(0)  # the ports go with the process
