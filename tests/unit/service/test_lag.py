"""The loop's lag, its slow callbacks, the busiest peers, and the end of ports without a Server."""

from __future__ import annotations

import logging
import threading
import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from reactor.address import IPv4Address
from reactor.linereceiver import LineReceiver
from reactor.protocol import ServerFactory
from reactor.service import drain
from reactor.service.entries import MET
from reactor.service.lag import PERIOD, LoopLag
from reactor.service.peers import ROOM, TOP, Peers
from reactor.task import Clock
from tests.support.worlds import LOOPS, OURS, World, dial, runUntil


class Running(Clock):
    """A clock that counts as a running reactor."""

    running = True


def test_theLagIsThatOfATimer() -> None:
    clock = Running()
    lag = LoopLag(cast("Any", clock))
    lag.start()
    lag.start()
    clock.advance(PERIOD)
    assert (lag.stats()["lag"], lag.stats()["lagMax"]) == (0, 0)
    clock.advance(PERIOD + 0.5)
    assert (lag.stats()["lag"], lag.stats()["lagMax"]) == (0.5, 0.5)
    for _ in range(8):
        clock.advance(PERIOD)
    assert (lag.stats()["lag"], lag.stats()["lagMax"]) == (0, 0.5)
    for _ in range(int(10 / PERIOD)):
        clock.advance(PERIOD)
    assert lag.stats()["lagMax"] == 0
    lag.stop()
    lag.stop()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("given", [0, -1])
def test_aSlowCallbackTakesSomeTime(given: float) -> None:
    with pytest.raises(ValueError, match="slowCallback is more than 0 seconds"):
        LoopLag(cast("Any", Running()), given)


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: side.name)
def test_aSlowCallbackIsNamed(side: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Its function, and the connection that it serves: once, also if it takes longer than the limit many times."""
    reactor = side.makeReactor()

    class Sleepy(LineReceiver):
        delimiter = b"\n"

        def lineReceived(self, line: bytes) -> None:
            end = time.monotonic() + float(line)
            while time.monotonic() < end:
                pass
            self.sendLine(b"done")

    lag = LoopLag(reactor, 0.05)
    lag.start()
    port = reactor.listenTCP(0, ServerFactory.forProtocol(Sleepy), interface="127.0.0.1")
    got: list[bytes] = []

    def talk() -> None:
        with dial(port) as client:
            for seconds in (b"0.4\n", b"0\n"):
                client.sendall(seconds)
                got.append(client.recv(100))

    thread = threading.Thread(target=talk)
    reactor.callWhenRunning(thread.start)
    runUntil(reactor, lambda: len(got) == 2)
    lag.stop()
    thread.join()
    side.close(reactor)
    assert lag.stats()["slowCallbacks"] == 1
    (record,) = (each for each in caplog.records if "a callback takes more than" in each.getMessage())
    assert record.levelno == logging.WARNING
    assert "Sleepy.lineReceived (" in record.getMessage()
    assert "TCPConnection of Sleepy with" in record.getMessage()


def test_withoutALimitNothingIsWatched() -> None:
    before = threading.active_count()
    lag = LoopLag(cast("Any", Running()))
    lag.start()
    assert threading.active_count() == before
    lag.stop()


def entry(host: str, lines: int = 0, data: int = 0) -> Any:
    peer = IPv4Address("TCP", host, 1)
    counts = {"lineTotal": lines, "bytesIn": data, "bytesOut": 0, "seenLines": 0, "seenBytes": 0}
    return SimpleNamespace(peer=peer, state=MET, **counts)


def test_theBusiestPeers() -> None:
    peers = Peers()
    entries = [entry(f"10.0.0.{number}", number, 10 * number) for number in range(30)]
    for each in entries:
        peers.opened(each)
    entries[5].lineTotal = 100
    top = peers.top(entries)
    assert len(top) == TOP
    assert top[0] == {"peer": "10.0.0.5", "open": 1, "lines": 100, "bytes": 50}
    assert top[1]["peer"] == "10.0.0.29"
    peers.top(entries)
    peers.lost(entries[5])
    assert peers.top(entries[6:])[0] == {"peer": "10.0.0.5", "open": 0, "lines": 100, "bytes": 50}


def test_theTableOfPeersHasABound() -> None:
    peers = Peers()
    busy = entry("192.0.2.1", 10)
    peers.opened(busy)
    peers.lost(busy)
    for number in range(3 * ROOM):
        each = entry(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 1)
        peers.opened(each)
        peers.lost(each)
    assert len(peers._table) <= 2 * ROOM + 1
    assert peers.top([])[0]["peer"] == "192.0.2.1"


def test_portsAreDrainedWithoutAServer() -> None:
    """A client that waits in the queue is served, too; connections of another port stay."""
    world = World(OURS)
    factories = [world.serverFactory({"data": lambda self, data: self.transport.write(data)}) for _ in range(2)]
    first, second = (world.listen(factory) for factory in factories)
    served, other, waiting = dial(first), dial(second), None
    world.until(lambda: all(factory.built for factory in factories))
    served.sendall(b"before")
    waiting = dial(first)
    waiting.sendall(b"queued")
    done: list[int] = []
    drain([first], 5.0).addCallback(done.append)
    world.until(lambda: len(factories[0].built) == 2 and all(each.received for each in factories[0].built))
    for client in (served, waiting):
        client.close()
    world.until(lambda: bool(done))
    assert done == [0]
    assert sorted(bytes(each.received) for each in factories[0].built) == [b"before", b"queued"]
    other.sendall(b"still")
    world.until(lambda: factories[1].only.received == b"still")
    other.close()
    with pytest.raises(ValueError, match="there is nothing to end"):
        drain([])
    world.close()
