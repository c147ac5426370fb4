"""Links between a server and its clients that break, break for a while, lose packets, are slow, or take small packets.

Server and clients are in network namespaces. All loops serve side by side, so a fault happens to all of them at once.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import pathlib
import random
import re
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.linereceiver import LineReceiver
from reactor.protocol import ReconnectingClientFactory
from tests.battery.sizes import size
from tests.support.networks import Link, Network, networkOf
from tests.support.served import Command, status
from tests.support.supervised import waitUntil
from tests.support.worlds import LOOPBACK, LOOPS, World

pytestmark = [pytest.mark.needs("networks", "tc", "nft"), pytest.mark.timeout(400)]

KINDS = ("epoll", "asyncio", "uvloop")
BROKEN = ("pulled", "unplugged", "dropped")  # at the server's end, at the client's, and without a word to either
LINKS = (*BROKEN, "restored", "lossy", "narrow", "small", "full")

ADMIN, FIRST = 7000, 7001  # ports
PLACES = ("watched", "room", "plain")
SILENCE, TIMEOUT = 1, 2.0  # --keepalive and --user-timeout
LATE = 1.0  # seconds by which a dead peer may be noticed later than was set
OUTAGE = size(1.0, 30.0)
PATIENCE = 60.0

ROOM = """
app = "chat"
"""
WATCHED = f"""
keepalive = {SILENCE}
user-timeout = {TIMEOUT}
"""
SETTINGS = {"watched": WATCHED, "room": ROOM + WATCHED, "plain": ""}


class Server:
    """A `serve` with one of the loops, in the host of the network that is for servers."""

    def __init__(self, network: Network, folder: pathlib.Path, kind: str) -> None:
        folder.mkdir()
        self.name = kind
        self.host = network.server
        self.opened = contextlib.ExitStack()
        base = ADMIN + 10 * KINDS.index(kind)
        self.ports = {place: base + number for number, place in enumerate(PLACES, 1)}
        self.admin = base
        tables = [
            f'[[listen]]\nname = "{place}"\nendpoint = "tcp:{self.ports[place]}:interface=0.0.0.0"\n{SETTINGS[place]}'
            for place in PLACES
        ]
        top = f'app = "echo"\nlog-connections = true\nadmin = "{LOOPBACK}:{base}"\nloop = "{kind}"\n'
        configuration = folder / "linereactor.toml"
        configuration.write_text(top + "".join(tables))
        with self.host.inside():
            self.command = Command(folder, base + len(PLACES) + 1, 0, "--config", str(configuration))

    def connect(self, link: Link, place: str) -> socket.socket:
        """Connect to a place from the far end of a link."""
        with link.far.inside():
            return self._connect(link.address, place)

    def near(self, place: str) -> socket.socket:
        """Connect to a place from the server's own host."""
        with self.host.inside():
            return self._connect(LOOPBACK, place)

    def _connect(self, address: str, place: str) -> socket.socket:
        return self.opened.enter_context(socket.create_connection((address, self.ports[place]), PATIENCE))

    def resident(self) -> int:
        """Resident bytes of the process."""
        return int(self._status()["loop"]["rssBytes"])

    def pending(self) -> int:
        """Bytes of unfinished and undelivered lines."""
        return sum(int(place["pendingBytes"]) for place in self._status()["totals"].values())

    def _status(self) -> dict[str, Any]:
        with self.host.inside():
            return status(self.admin)

    def end(self, peer: socket.socket, place: str) -> tuple[float, str] | None:
        """When (by the wall clock) and why the server's end of a connection has ended; None if it has not."""
        host, port = peer.getsockname()
        found = re.search(
            rf"^(\S+)Z INFO \S+ {re.escape(host)}:{port} on {place}: (.*?), \d+ lines", self.command.log(), re.M
        )
        if found is None:
            return None
        return datetime.datetime.fromisoformat(found[1] + "+00:00").timestamp(), found[2]


class Place:
    """The network, and a server for each loop."""

    def __init__(self, network: Network, servers: list[Server]) -> None:
        self.network = network
        self.links = network.links
        self.servers = servers


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("servers")
    with networkOf(*LINKS) as network, contextlib.ExitStack() as running:
        servers = []
        for kind in KINDS:
            servers.append(Server(network, folder / kind, kind))
            running.callback(servers[-1].command.close)
        for server in servers:
            server.command.untilReady()
        yield Place(network, servers)
        for server in servers:
            server.command.end()


@pytest.fixture
def place(built: Place) -> Iterator[Place]:
    """The network, whose links are good, and are so again at the end, when no connection of the test is left."""
    yield built
    for server in built.servers:
        server.opened.close()
    for link in built.links.values():
        link.mend()


def exchange(peer: socket.socket, line: bytes = b"hello\n") -> None:
    """Send a line to echo, and read it back."""
    peer.sendall(line)
    heard = b""
    while not heard.endswith(b"\n"):
        piece = peer.recv(1000)
        assert piece
        heard += piece
    assert heard == line


def hear(peer: socket.socket, text: bytes) -> None:
    """Read from the room until `text` comes."""
    heard = b""
    while text not in heard:
        piece = peer.recv(1 << 16)
        assert piece, heard
        heard += piece


class Asking(LineReceiver):
    delimiter = b"\n"
    factory: Any

    def connectionMade(self) -> None:
        self.transport.setTcpKeepAlive(True)
        self.sendLine(b"are you there?")

    def lineReceived(self, line: bytes) -> None:
        assert line == b"are you there?"
        self.factory.saw("answered")


class Persistent(ReconnectingClientFactory):
    """A client that asks on each connection, and comes again when it is lost."""

    protocol = Asking
    initialDelay = 0.1
    maxDelay = 0.2

    def __init__(self) -> None:
        self.trace: list[tuple[str, float]] = []

    def saw(self, event: str) -> None:
        self.trace.append((event, time.monotonic()))

    def names(self) -> list[str]:
        return [name for name, _ in self.trace]

    def buildProtocol(self, addr: Any) -> Any:
        self.resetDelay()
        return super().buildProtocol(addr)

    def clientConnectionLost(self, connector: Any, reason: Any) -> None:
        self.saw(type(reason.value).__name__)
        super().clientConnectionLost(connector, reason)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        self.saw(type(reason.value).__name__)
        super().clientConnectionFailed(connector, reason)


class Clients:
    """A Persistent client of each loop in the far host of a link. There, TCP probes a silent peer as `sysctl` says."""

    noticed = 2.0  # seconds: of silence, and of one probe

    def __init__(self, link: Link, server: Server) -> None:
        for name, value in (("time", 1), ("intvl", 1), ("probes", 1)):
            link.far.write(f"/proc/sys/net/ipv4/tcp_keepalive_{name}", value)
        self.link = link
        self.factories = [Persistent() for _ in LOOPS]
        self.worlds = [World(side) for side in LOOPS]
        with link.far.inside():
            for world, factory in zip(self.worlds, self.factories, strict=True):
                factory.clock = world.reactor
                world.reactor.connectTCP(link.address, server.ports["plain"], factory, timeout=0.5)

    def turn(self) -> None:
        with self.link.far.inside():
            for world in self.worlds:
                world.reactor.iterate(0.001)

    def until(self, condition: Callable[[Persistent], object]) -> None:
        def look() -> bool:
            self.turn()
            return all(map(condition, self.factories))

        waitUntil(look)

    def close(self) -> None:
        for factory in self.factories:
            factory.stopTrying()
        for world in self.worlds:
            world.close()


@pytest.mark.timing
def test_theDeadAreNoticed(place: Place) -> None:
    """Idle or with output that waits, after the time that was set, however the link breaks. Without it, never.

    Clients notice, too; they come again when the link is there again.
    """
    rooms = {server: server.near("room") for server in place.servers}
    peers: list[tuple[Server, str, socket.socket]] = []
    for server, near in rooms.items():
        near.sendall(b"near\n")
        for name in BROKEN:
            link = place.links[name]
            idle, member, plain = (server.connect(link, each) for each in ("watched", "room", "plain"))
            exchange(plain)
            member.sendall(name.encode() + b"\n")
            hear(member, b"welcome")
            peers += [(server, "watched", idle), (server, "room", member), (server, "plain", plain)]
    with contextlib.closing(Clients(place.links["dropped"], place.servers[0])) as clients:
        clients.until(lambda factory: factory.names() == ["answered"])
        spoken = time.time()
        for _, where, peer in peers:
            if where == "watched":
                exchange(peer)
        cut, cutHere = time.time(), time.monotonic()
        place.links["pulled"].pull()
        place.links["unplugged"].pull(atServer=False)
        place.links["dropped"].lose(100)
        for near in rooms.values():
            near.sendall(b"is anybody there?\n")
        watched = [(server, where, peer) for server, where, peer in peers if where != "plain"]
        clients.until(lambda factory: "TimeoutError" in factory.names())
        waitUntil(lambda: all(server.end(peer, where) for server, where, peer in watched))
        for server, where, peer in watched:
            end = server.end(peer, where)
            assert end is not None
            assert end[1] == "lost", (server.name, where, end)
            assert end[0] - spoken >= TIMEOUT, (server.name, where, end[0] - spoken)
            assert end[0] - cut <= TIMEOUT + LATE, (server.name, where, end[0] - cut)
        for factory in clients.factories:
            assert [*dict.fromkeys(factory.names())] == ["answered", "ConnectionLost", "TimeoutError"]
            lost = factory.trace[1][1] - cutHere
            assert clients.noticed - 0.2 <= lost <= clients.noticed + LATE
        for name in BROKEN:
            place.links[name].mend()
        clients.until(lambda factory: factory.names()[-1] == "answered")
    for server, where, peer in peers:
        if where == "plain":
            assert server.end(peer, where) is None
            exchange(peer)


def linesOf(amount: int, seed: int) -> bytes:
    """About so many bytes of lines of all lengths."""
    source = random.Random(seed)
    lines, total = [], 0
    while total < amount:
        lines.append(source.randbytes(source.randrange(1, 1500)).hex().encode() + b"\n")
        total += len(lines[-1])
    return b"".join(lines)


class Exchange:
    """Lines on their way to echo and back, over one connection."""

    def __init__(self, peer: socket.socket, data: bytes) -> None:
        self.peer = peer
        self.data = memoryview(data)
        self.wanted = hashlib.sha256(data).hexdigest()
        self.digest = hashlib.sha256()
        self.sent = self.heard = 0
        peer.setblocking(False)

    def send(self) -> None:
        """Send all that the system takes."""
        with contextlib.suppress(BlockingIOError):
            while self.sent < len(self.data):
                self.sent += self.peer.send(self.data[self.sent : self.sent + (1 << 16)])

    def receive(self) -> None:
        """Receive what is there."""
        with contextlib.suppress(BlockingIOError):
            while self.heard < len(self.data):
                piece = self.peer.recv(1 << 16)
                assert piece, "an end before the last line"
                self.digest.update(piece)
                self.heard += len(piece)

    def isOver(self) -> bool:
        """Whether all has come back."""
        return self.heard == len(self.data)

    def check(self) -> None:
        """The lines that came back are those that were sent."""
        assert self.digest.hexdigest() == self.wanted


def carry(exchanges: list[Exchange], seconds: float = PATIENCE, untilOver: bool = True) -> None:
    """Send and receive on all, until all has come back, or for some seconds."""
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for each in exchanges:
            selector.register(each.peer, selectors.EVENT_READ | selectors.EVENT_WRITE, each)
        while (left := end - time.monotonic()) > 0 and selector.get_map():
            for key, events in selector.select(left):
                each = key.data
                if events & selectors.EVENT_WRITE:
                    each.send()
                    if each.sent == len(each.data):
                        selector.modify(each.peer, selectors.EVENT_READ, each)
                each.receive()
                if each.isOver():
                    selector.unregister(each.peer)
    assert not untilOver or all(each.isOver() for each in exchanges), [(each.sent, each.heard) for each in exchanges]


# Bytes for each loop over each link. A narrow one carries 32,000 in a second.
AMOUNTS = {
    "restored": size(1 << 20, 8 << 20),
    "lossy": size(1 << 16, 4 << 20),
    "narrow": size(16_000, 300_000),
    "small": size(1 << 18, 8 << 20),
}


def test_nothingIsLost(place: Place) -> None:
    """All lines come back from echo over a link that breaks for a while, and over three that are always bad."""
    exchanges: dict[str, list[Exchange]] = {}
    for number, (name, amount) in enumerate(AMOUNTS.items()):
        peers = [server.connect(place.links[name], "plain") for server in place.servers]
        exchanges[name] = [Exchange(peer, linesOf(amount, 10 * number + each)) for each, peer in enumerate(peers)]
    every = [each for some in exchanges.values() for each in some]
    place.links["lossy"].lose(10)
    place.links["narrow"].narrow("256kbit")
    place.links["small"].shrink(576)
    broken = exchanges["restored"]
    for each in broken:
        each.send()
    place.links["restored"].pull()
    assert not any(each.isOver() for each in broken)
    carry(every, OUTAGE, untilOver=False)
    assert not any(each.isOver() for each in broken)
    place.links["restored"].mend()
    carry(every)
    for each in every:
        each.check()


FLOOD = size(12, 200) << 20  # bytes
SAID = b"x" * 8000 + b"\n"
GROWTH = 3 << 20  # bytes by which a process may grow, with all of its connections
PENDING = 2 << 16  # a read for each of the two connections


def test_memoryIsBounded(place: Place) -> None:
    """While a client cannot read, for a link that is too slow or dead, the server keeps little for it."""
    narrow, dead = place.links["full"], place.links["dropped"]
    exchanges, rooms, members = [], [], []
    data = linesOf(FLOOD, 99)
    for server in place.servers:
        exchanges.append(Exchange(server.connect(narrow, "plain"), data))
        members.append(server.connect(dead, "room"))
        members[-1].sendall(b"far\n")
        hear(members[-1], b"welcome")
        rooms.append(server.near("room"))
        rooms[-1].sendall(b"near\n")
        hear(rooms[-1], b"welcome")
    before = [server.resident() for server in place.servers]
    narrow.narrow("256kbit")
    dead.lose(100)
    seen = [0] * len(place.servers)

    def look() -> None:
        for number, server in enumerate(place.servers):
            seen[number] = max(seen[number], server.resident() - before[number])
            assert server.pending() <= PENDING

    sent = [-1]
    while sent[-1] != sum(each.sent for each in exchanges):  # until nothing more is taken
        sent.append(sum(each.sent for each in exchanges))
        for each in exchanges:
            each.send()
        for room in rooms:
            speak(room, 20)
        look()
        time.sleep(0.1)
    end = time.monotonic() + PATIENCE
    while not all(server.end(member, "room") for server, member in zip(place.servers, members, strict=True)):
        for room in rooms:
            speak(room, 20)
        look()
        assert time.monotonic() < end
    assert all(each.sent < len(data) for each in exchanges)
    assert max(seen) <= GROWTH, seen
    narrow.mend()
    carry(exchanges)
    for each in exchanges:
        each.check()


def speak(room: socket.socket, lines: int) -> None:
    """Say something in the room, and read what it says."""
    room.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        room.recv(1 << 20)
    with contextlib.suppress(BlockingIOError):
        for _ in range(lines):
            room.send(SAID)
