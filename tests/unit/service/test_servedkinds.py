"""A Server over other ways in than a plain port of lines: HTTP, standard input, the PROXY protocol. Shared rates."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.address import IPv4Address
from reactor.defer import succeed
from reactor.haproxy import encodeV1, proxyEndpoint
from reactor.http import HTTPFactory
from reactor.protocol import Factory
from reactor.service import Limits, Listener
from reactor.stdio import PipeAddress, StandardIO
from tests.support.worlds import DEADLINE, LOOPBACK, World
from tests.unit.service.test_server import Echo, Place, Served


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served(World())
    yield served
    served.close()
    served.world.close()


def client(served: Served, listener: Listener, header: bytes = b"", source: str = LOOPBACK) -> socket.socket:
    """Return a new client from the address `source`, which sends `header` first."""
    place = (LOOPBACK, listener.ports[0].getHost().port)
    peer = socket.create_connection(place, DEADLINE, source_address=(source, 0))
    peer.sendall(header)
    peer.setblocking(False)
    served.clients.append(peer)
    return peer


class TestHTTP:
    def test_requestsAreCounted(self, served: Served) -> None:
        """A request counts as a line of its listener, its peer and its record, however many lines it has."""
        factory = HTTPFactory.forHandler(lambda request: b"hello")
        served.server.addListener(Place(served.world), factory, name="web").addCallback(self.take)
        peer = client(served, self.listener)
        for number in range(1, 4):
            peer.sendall(b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\na\nb\n")
            served.world.until(lambda number=number: self.listener.counters()["requests"] == number)
        assert served.read(peer, 12) == b"HTTP/1.1 200"
        assert self.listener.counters()["linesIn"] == 3
        (entry,) = served.server.stats()["peers"]
        assert (entry["peer"], entry["open"], entry["lines"]) == (LOOPBACK, 1, 3)
        peer.close()
        served.world.until(lambda: served.records)
        assert (served.records[0].listener, served.records[0].lines) == ("web", 3)

    def take(self, listener: Listener) -> None:
        self.listener = listener


class Pipes:
    """An endpoint: standard input and output, with two pipes in their place."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.input, self.write = os.pipe()
        self.read, self.output = os.pipe()
        os.set_blocking(self.read, False)

    def listen(self, factory: Any) -> Any:
        protocol = factory.buildProtocol(PipeAddress())
        return succeed(StandardIO(protocol, self.input, self.output, reactor=self.served.world.reactor))

    def close(self) -> None:
        for fd in (self.input, self.write, self.read, self.output):
            os.close(fd)


@pytest.fixture
def pipes(served: Served) -> Iterator[Pipes]:
    pipes = Pipes(served)
    yield pipes
    pipes.close()


class TestStandardInput:
    def begin(self, served: Served, pipes: Pipes, **limits: Any) -> Listener:
        got: list[Listener] = []
        factory = Factory.forProtocol(Echo)
        served.server.addListener(pipes, factory, name="it", limits=Limits(**limits)).addCallback(got.append)
        return got[0]

    def test_linesAndBytes(self, served: Served, pipes: Pipes) -> None:
        listener = self.begin(served, pipes, deny=["0.0.0.0/0", "::/0"], maxPerAddress=1)
        os.write(pipes.write, b"one\ntwo\nthr")
        served.world.until(lambda: listener.total.bytesOut == 8)
        assert os.read(pipes.read, 100) == b"one\ntwo\n"
        counters = listener.counters()
        found = [counters[name] for name in ("open", "accepted", "linesIn", "bytesIn", "pendingBytes")]
        assert found == [1, 1, 2, 11, 3]
        assert served.server.stats()["peers"][0]["peer"] == "pipe"

    def test_aLineHasADeadline(self, served: Served, pipes: Pipes) -> None:
        listener = self.begin(served, pipes, lineDeadline=0.1)
        os.write(pipes.write, b"half a line")
        served.world.until(lambda: served.records)
        assert (served.records[0].why, dict(listener.ended)) == ("line-deadline", {"line-deadline": 1})

    def test_itHasARate(self, served: Served, pipes: Pipes) -> None:
        listener = self.begin(served, pipes, lineRate=100.0, burst=0.1)
        os.write(pipes.write, b"x\n" * 40)
        served.world.until(lambda: listener.total.bytesOut == 80)
        begun = time.monotonic()
        os.write(pipes.write, b"y\n")
        served.world.until(lambda: listener.total.lines == 41)
        assert listener.limited["line-rate"] == 1
        assert time.monotonic() - begun >= 0.1  # 30 lines are in debt: 0.3 s


class TestBehindABalancer:
    """Limits count the client that a header of the PROXY protocol names. The balancer itself does not count."""

    def begin(self, served: Served, **limits: Any) -> Listener:
        got: list[Listener] = []
        factory = Factory.forProtocol(Echo)
        endpoint = proxyEndpoint(Place(served.world))
        served.server.addListener(endpoint, factory, name="it", limits=Limits(**limits)).addCallback(got.append)
        return got[0]

    def comes(self, served: Served, listener: Listener, host: str) -> socket.socket:
        header = encodeV1(IPv4Address("TCP", host, 4000), IPv4Address("TCP", "192.0.2.99", 7000))
        return client(served, listener, header)

    def isServed(self, served: Served, peer: socket.socket) -> bool:
        peer.sendall(b"line\n")
        return served.read(peer, 5) == b"line\n"

    def test_soManyOfOneClient(self, served: Served) -> None:
        listener = self.begin(served, maxPerAddress=1)
        first = self.comes(served, listener, "192.0.2.1")
        assert self.isServed(served, first)
        assert self.isServed(served, self.comes(served, listener, "192.0.2.2"))
        assert self.isGone(served, self.comes(served, listener, "192.0.2.1"))
        assert dict(listener.refused) == {"max-per-address": 1}
        assert sorted(each["peer"] for each in served.server.stats()["peers"]) == ["192.0.2.1", "192.0.2.2"]
        first.close()
        served.world.until(lambda: any(record.why == "done" for record in served.records))
        assert self.isServed(served, self.comes(served, listener, "192.0.2.1"))

    def test_networks(self, served: Served) -> None:
        """The balancer's own network is denied, and it serves all the same: its address is no client's."""
        listener = self.begin(served, deny=["127.0.0.0/8", "192.0.2.1"], allow=["192.0.2.0/24", "127.0.0.0/8"])
        assert self.isServed(served, self.comes(served, listener, "192.0.2.2"))
        assert self.isGone(served, self.comes(served, listener, "192.0.2.1"))
        assert self.isGone(served, self.comes(served, listener, "198.51.100.1"))
        assert dict(listener.refused) == {"denied": 2}

    def test_theyShareTheRateOfTheirAddress(self, served: Served) -> None:
        listener = self.begin(served, addressLineRate=1.0, burst=1.0)
        for _ in range(2):
            peer = self.comes(served, listener, "192.0.2.1")
            peer.sendall(b"line\n" * 5)
        other = self.comes(served, listener, "192.0.2.2")
        assert self.isServed(served, other)
        served.world.until(lambda: sum(throttled(listener).values()) == 2)
        assert throttled(listener) == {"192.0.2.1": 2, "192.0.2.2": 0}

    def isGone(self, served: Served, peer: socket.socket) -> bool:
        try:
            return served.read(peer, 1) == b""
        except ConnectionResetError:
            return True


def throttled(listener: Listener) -> dict[str, int]:
    """How many connections of each client are not read, for a rate."""
    found: dict[str, int] = {}
    for entry in listener.entries:
        found[entry.peer.host] = found.get(entry.peer.host, 0) + entry.transport.isThrottled
    return found


def test_aRateIsShared(served: Served) -> None:
    """Connections of one address have its rate together. Nothing is dropped, and another address has its own."""
    listener = served.listen(addressLineRate=100.0, burst=0.1)
    peers = [client(served, listener) for _ in range(3)]
    begun = time.monotonic()
    for peer in peers:
        peer.sendall(b"line\n" * 30)
    for peer in peers:
        assert served.read(peer, 150) == b"line\n" * 30
    other = client(served, listener, source="127.0.0.2")
    other.sendall(b"line\n")
    assert served.read(other, 5) == b"line\n"
    for peer in peers:
        peer.sendall(b"more\n")
        assert served.read(peer, 5) == b"more\n"
    assert time.monotonic() - begun >= 0.7  # 90 lines, of which 10 may come at once: 0.8 s
    assert listener.total.lines == 94
    assert listener.limited["line-rate"] >= 1
