"""Plain bytes around the beginning of TLS are never read as if they had come protected (CVE-2011-0411).

An attacker in the middle puts lines of his own behind the command, or behind the answer to it. The two ends of the
connection then go on in good faith. None of his lines is delivered, none of theirs either, and the connection is
refused.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.rawtls import peerContext
from tests.support.tlsworlds import HOST
from tests.support.upgrading import KINDS, Batches, Caller, Kept, KeptClient, Quiet, lostOf
from tests.support.worlds import LOOPBACK, LOOPS, World, dial

EVIL = {
    "lines": b"EVIL\r\nEVIL\r\n",
    "half a line": b"EVI",
    "a long one": b"E" * 20_000 + b"\r\n",
    "an empty line": b"\r\n",
}
CUTS = ["one packet", "two packets", "single bytes", "one by one", "with the hello", "no attack"]


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def pieces(command: bytes, evil: bytes, cut: str) -> tuple[list[bytes], bytes]:
    """Return the packets that are sent in plain, and the bytes that go in one packet with the first of TLS."""
    match cut:
        case "one packet":
            return [command + evil], b""
        case "two packets":
            return [command, evil], b""
        case "single bytes":
            return [bytes([byte]) for byte in command + evil[:50]], b""
        case "one by one":
            return [b"before\r\n", command, *(evil[at : at + 3] for at in range(0, min(len(evil), 99), 3))], b""
        case "with the hello":
            return [command], evil
        case _:
            return [command], b""


def talk(world: World, sock: socket.socket, isServer: bool, packets: list[bytes], early: bytes, until: Any) -> bool:
    """Send the packets, then do a handshake and send a protected line, as far as that goes. Whether it came to that."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = peerContext(not isServer).wrap_bio(incoming, outgoing, isServer, None if isServer else HOST)
    plain, done = b"", False
    answers = sum(packet.startswith(b"before") for packet in packets) + 1  # lines, in plain
    end = time.monotonic() + 5
    with contextlib.suppress(ConnectionResetError, BrokenPipeError, ssl.SSLError):
        for packet in packets:
            sock.sendall(packet)
            world.reactor.iterate(0)
        while not until():
            assert time.monotonic() < end
            world.reactor.iterate(0.001)
            with contextlib.suppress(BlockingIOError):
                if not (data := sock.recv(1 << 16)):
                    break
                if isServer or plain.count(b"\n") >= answers:
                    incoming.write(data)
                else:
                    plain += data
                    if plain.count(b"\n") >= answers:
                        incoming.write(plain.split(b"\n", answers)[-1])
            with contextlib.suppress(ssl.SSLWantReadError):
                if not done and (isServer or plain.count(b"\n") >= answers):
                    tls.do_handshake()
                    tls.write(b"protected\r\n")
                    done = True
            if said := outgoing.read():
                sock.sendall(early + said)
                early = b""
    return done


def refused(world: World, protocol: Any, isAbortedHere: bool) -> None:
    world.until(lambda: lostOf(protocol) is not None)
    delivered = [event for event in protocol.events if isinstance(event, tuple)]
    assert {line for line, _ in delivered} <= {b"before", b"STARTTLS", b"go ahead"}
    assert not any(isProtected for _, isProtected in delivered)
    assert type(lostOf(protocol).value).__name__ in ("SSLError", *["ConnectionAborted"] * isAbortedHere)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("kind", KINDS)
def test_clientToServer(world: World, kind: Any, evil: str, cut: str) -> None:
    servers = Kept(kind)
    port = world.reactor.listenTCP(0, servers, interface=LOOPBACK)
    packets, early = pieces(b"STARTTLS\r\n", EVIL[evil], cut)
    with dial(port) as sock:

        def isOver() -> bool:
            built = servers.built
            return bool(built) and (
                built[0].lines[-1:] in ([b"protected"], [b"protected\r\n"]) or lostOf(built[0]) is not None
            )

        talk(world, sock, False, packets, early, isOver)
        (server,) = servers.built
        if cut == "no attack":
            assert [line.rstrip() for line in server.lines] == [b"STARTTLS", b"protected"]
        else:
            refused(world, server, kind is Batches)


class RawCaller(Caller):
    """Gets what is protected as raw data."""

    def begin(self) -> None:
        self.setRawMode()
        super().begin()

    def rawDataReceived(self, data: bytes) -> None:
        self.events.append((data.rstrip(), self.transport.TLS))


class PausedCaller(Caller):
    def begin(self) -> None:
        self.pauseProducing()
        super().begin()
        self.resumeProducing()


class LateCaller(Quiet):
    """Begins on a later turn, and reads nothing until then."""

    def connectionMade(self) -> None:
        self.sendLine(b"STARTTLS")

    def begin(self) -> None:
        self.pauseProducing()
        self.transport.reactor.callLater(0, self.later)

    def later(self) -> None:
        super().begin()
        self.resumeProducing()


CALLERS = [Caller, RawCaller, PausedCaller, LateCaller]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("kind", CALLERS)
def test_serverToClient(world: World, kind: Any, evil: str, cut: str) -> None:
    clients = KeptClient(kind)
    packets, early = pieces(b"go ahead\r\n", EVIL[evil], cut)
    with socket.create_server((LOOPBACK, 0)) as listening:
        world.reactor.connectTCP(*listening.getsockname(), clients)
        world.until(lambda: clients.built)
        sock, _ = listening.accept()
    with sock:
        asked = b""
        sock.setblocking(False)
        while b"\n" not in asked:
            world.reactor.iterate(0.001)
            with contextlib.suppress(BlockingIOError):
                asked += sock.recv(100)
        (client,) = clients.built
        talk(world, sock, True, packets, early, lambda: clients.lost or (b"protected", True) in client.events)
        if cut == "no attack":
            assert client.events[-1] == (b"protected", True)
        else:
            refused(world, client, False)
