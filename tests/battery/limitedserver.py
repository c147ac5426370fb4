"""A server with limits: a program of test_limitedserver.py, and of others.

Its argument is JSON: the limits, and the application; `bare` wants its port without a Server. It prints the address of
its listener and of another that answers a line with the snapshot of all counters. Its log goes to standard error, with
the default level.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import time
from typing import Any, ClassVar

from reactor import EpollReactor, Factory, LineReceiver
from reactor.endpoints import TCP4ServerEndpoint
from reactor.service import Limits, Server

LONG_TURN = 20_000_000  # nanoseconds of the processor


class TimedReactor(EpollReactor):
    """Counts the turns of its loop, and those that have computed for longer than LONG_TURN, sleep left out."""

    def __init__(self) -> None:
        super().__init__()
        self.turns = self.long = 0

    def _turn(self, longest: float | None) -> None:
        begun = time.thread_time_ns()
        super()._turn(longest)
        self.turns += 1
        self.long += time.thread_time_ns() - begun > LONG_TURN

    def counters(self) -> dict[str, int]:
        return {"turns": self.turns, "long": self.long}


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Room(Echo):
    """Sends each line to all others."""

    members: ClassVar[set[Any]] = set()

    def connectionMade(self) -> None:
        self.members.add(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.members.discard(self)

    def lineReceived(self, line: bytes) -> None:
        for member in self.members:
            if member is not self:
                member.sendLine(line)


class Slow(Echo):
    """Computes some microseconds for each line."""

    def lineReceived(self, line: bytes) -> None:
        sum(range(300))
        self.sendLine(line)


class Asked(Echo):
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(json.dumps(self.factory.server.stats()).encode())


def main(options: dict[str, Any]) -> None:
    logging.basicConfig(level=logging.WARNING)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    reactor = TimedReactor()
    server = Server(reactor)
    server.addCounters("loop", reactor.counters)
    limits = options["limits"]
    if isinstance(limits.get("refusal"), str):
        limits["refusal"] = limits["refusal"].encode()
    if options.get("spins"):

        def again() -> None:
            reactor.callLater(0, again)

        again()
    protocol = {"echo": Echo, "room": Room, "slow": Slow}[options.get("application", "echo")]
    endpoint, factory = TCP4ServerEndpoint(reactor, 0, 4096, "127.0.0.1"), Factory.forProtocol(protocol)
    factory.noisy = False
    ports: list[Any] = []
    if options.get("bare"):
        endpoint.listen(factory).addCallback(ports.append)
    else:
        server.addListener(endpoint, factory, name="it", limits=Limits(**limits))
    asked = Factory.forProtocol(Asked)
    asked.server = server  # type: ignore[attr-defined]
    server.addListener(TCP4ServerEndpoint(reactor, 0, 10, "127.0.0.1"), asked, name="control")
    ports += [listener.ports[0] for listener in server.listeners.values()]
    reactor.callWhenRunning(lambda: print(json.dumps([port.getHost().port for port in ports]), flush=True))
    server.run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
