"""Connections that come and go over one transport: a program of test_churn.py.

It prints as JSON what went wrong, and what was left behind.

Both ends are ours, in one process. Every third connection is ended by its client, every third by a reset, every third
by the server; each has exchanged a line before. There are many ports, because the kernel keeps the addresses of a
connection for a minute after its end. It has 28,000 for a client of one port. For the same reason the program is to run
in a network namespace of its own. Programs that run after it would find no port that is free.
"""

from __future__ import annotations

import collections
import gc
import json
import os
import sys
from typing import Any

from reactor import ClientFactory, LineReceiver, ServerFactory
from tests.conftest import openFiles
from tests.contract.cells import makeWorld
from tests.support.worlds import World

PORTS = 16
AT_ONCE = 32
WAVE = 100
WARM = 0.1
PAGE = os.sysconf("SC_PAGESIZE")

CLIENT, RESET, SERVER = range(3)


class Serving(LineReceiver):
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())
        if line == b"bye":
            self.transport.loseConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.churn.serverEnds[type(reason.value).__name__] += 1


class Coming(LineReceiver):
    factory: Any

    def connectionMade(self) -> None:
        churn = self.factory.churn
        churn.made += 1
        self.how = churn.made % 3
        self.sendLine(b"bye" if self.how == SERVER else b"hello")

    def lineReceived(self, line: bytes) -> None:
        self.factory.churn.answered += line in (b"HELLO", b"BYE")
        if self.how == CLIENT:
            self.transport.loseConnection()
        elif self.how == RESET:
            self.transport.abortConnection()

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.churn.clientEnds[type(reason.value).__name__] += 1
        self.factory.churn.next()


class ComingFactory(ClientFactory[Any]):
    protocol = Coming

    def __init__(self, churn: Churn) -> None:
        self.churn = churn

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.churn.failed.append(repr(reason.value))
        self.churn.next()


class Churn:
    """`total` connections in `world`, AT_ONCE at a time."""

    def __init__(self, world: World, total: int) -> None:
        self.world, self.total = world, total
        self.begun = self.made = self.answered = 0
        self.failed: list[str] = []
        self.serverEnds: collections.Counter[str] = collections.Counter()
        self.clientEnds: collections.Counter[str] = collections.Counter()
        self.until = 0
        servers: Any = ServerFactory.forProtocol(Serving)
        servers.churn = self
        servers.noisy = False
        self.clients = ComingFactory(self)
        self.clients.noisy = False
        self.ports = [world.listen(servers) for _ in range(PORTS)]

    def next(self) -> None:
        """One more, from the reactor's own turn."""
        if self.begun < self.until:
            self.begun += 1
            self.world.reactor.callLater(0, self.world.connect, self.ports[self.begun % PORTS], self.clients)

    def go(self, until: int) -> None:
        """Have as many connections come and go as make `until` in all."""
        for wave in [*range(self.begun + WAVE, until, WAVE), until]:
            self.until = wave
            for _ in range(AT_ONCE):
                self.next()
            self.world.until(lambda: self.ended() == self.begun == self.until)

    def ended(self) -> int:
        """How many are over, on both sides."""
        failed = len(self.failed)
        return min(self.serverEnds.total() + failed, self.clientEnds.total() + failed)


def look() -> dict[str, Any]:
    """Return the resources that this process holds now."""
    gc.collect()
    kinds = collections.Counter(type(each).__name__ for each in gc.get_objects())
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    return {"files": len(openFiles()), "resident": resident, "blocks": sys.getallocatedblocks(), "kinds": kinds}


def main(transport: str, reactor: str, total: int) -> None:
    world = makeWorld((transport, reactor))
    churn = Churn(world, total)
    churn.go(round(total * WARM))
    look()  # what looking itself needs is there from now on
    before = look()
    churn.go(total)
    after = look()
    kinds = {kind: count - before["kinds"][kind] for kind, count in after["kinds"].items()}
    found = {
        "made": churn.made,
        "answered": churn.answered,
        "failed": churn.failed[:10],
        "server": churn.serverEnds,
        "client": churn.clientEnds,
        "files": after["files"] - before["files"],
        "resident": after["resident"] - before["resident"],
        "blocks": after["blocks"] - before["blocks"],
        "kinds": {kind: more for kind, more in kinds.items() if more > 0},
    }
    world.close()
    print(json.dumps(found))


main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
