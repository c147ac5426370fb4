"""The end in order of a server whose clients go on sending: over each family, with and without TLS, on each loop.

Client and server take turns in one thread, so nothing is on its way when a connection is closed.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from reactor.error import ConnectionDone
from reactor.linereceiver import LineReceiver
from reactor.protocol import Factory
from reactor.service import draining as drain
from reactor.service import watch
from reactor.serving.chat import FREE_LINES, Room
from tests.contract.cells import CELLS, REACTORS, makeWorld
from tests.support.tlsworlds import HOST, TRUST
from tests.support.worlds import DEADLINE, LOOPBACK, World

RECORD = 22  # bytes that TLS 1.3 adds to what is sent at once (RFC 8446, 5.2)
SOCKETS = [cell for cell in CELLS if "memory" not in cell[0]]
PLAIN = [cell for cell in SOCKETS if "TLS" not in cell[0]]


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """The world of the cell that is the test's parameter."""
    world = makeWorld(request.param)
    world.isTLS = "TLS" in request.param[0]
    yield world
    world.close()


def everywhere(cells: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("world", cells, ids=[" on ".join(cell) for cell in cells], indirect=True)


class Kept(LineReceiver):
    """Keeps its lines, and answers nothing."""

    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.lines: list[bytes] = []
        self.reasons: list[Any] = []

    def linesReceived(self, lines: list[bytes]) -> None:
        self.lines.extend(lines)

    def connectionLost(self, reason: Any = None) -> None:
        self.reasons.append(reason.type)


class Stalled(Kept):
    """Wants nothing more after its first read."""

    def linesReceived(self, lines: list[bytes]) -> None:
        self.lines.extend(lines)
        self.transport.pauseProducing()


class Served:
    """A port of `protocol`, and its clients."""

    def __init__(self, world: World, protocol: Any) -> None:
        self.world = world
        self.protocols: list[Any] = []
        self.factory = Factory()
        self.factory.buildProtocol = self._build  # type: ignore[method-assign]
        self.protocol = protocol
        self.port = world.listen(self.factory)
        self.done: list[int] = []
        self.clients: list[Client] = []

    def _build(self, addr: Any) -> Any:
        self.protocols.append(self.protocol())
        return self.protocols[-1]

    def meet(self) -> Client:
        """A client that has come through, and whose protocol is the last one."""
        client = Client(self.world, self.port)
        self.clients.append(client)
        self.world.until(lambda: client.isThrough() and len(self.protocols) == len(self.clients))
        return client

    def stop(self) -> drain.Drain:
        """Begin to end everything; `done` is not empty when that is over."""
        stopping = drain.Drain(self.world.reactor, [each.transport for each in self.protocols], [self.port])
        stopping.start().addCallback(self.done.append)
        return stopping

    def close(self) -> None:
        for client in self.clients:
            client.socket.close()


class Client:
    """It heeds no end of the stream, and counts as sent what its own kernel has taken."""

    def __init__(self, world: World, port: Any) -> None:
        host = port.getHost()
        if hasattr(host, "port"):
            plain = socket.socket(socket.AF_INET6 if ":" in host.host else socket.AF_INET)
            plain.connect((world.host, host.port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            plain = socket.socket(socket.AF_UNIX)
            plain.connect(os.fsdecode(host.name))
        plain.setblocking(False)
        self.socket: Any = plain
        self.shakesHands = world.isTLS
        if world.isTLS:
            context = ssl.create_default_context(cadata=TRUST.decode())
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            self.socket = context.wrap_socket(plain, server_hostname=HOST, do_handshake_on_connect=False)
        self.sent: list[bytes] = []
        self.refused = False
        self._isTCP = plain.family != socket.AF_UNIX

    @property
    def taken(self) -> list[bytes]:
        """The lines that the server's kernel has taken, if more was refused while the connection stood.

        TCP tells of that by its answer to one line more.
        """
        return self.sent[:-1] if self._isTCP else self.sent

    def isThrough(self) -> bool:
        if self.shakesHands:
            try:
                self.socket.do_handshake()
            except ssl.SSLWantReadError:
                return False
            self.shakesHands = False
        return True

    def hasTheEnd(self) -> bool:
        """Whether this side's kernel has the end of the server's half, without TLS."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(0))

    def heard(self) -> bytes:
        """Everything up to the end of the server's half."""
        self.socket.setblocking(True)
        self.socket.settimeout(DEADLINE)
        return b"".join(iter(lambda: self.socket.recv(10_000), b""))

    def send(self) -> None:
        """Send one line more, if the kernel takes it."""
        line = b"line %d" % len(self.sent)
        try:
            if not self.refused:
                self.socket.send(line + b"\n")
                self.sent.append(line)
        except (BlockingIOError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.refused = True


@pytest.fixture
def serving(world: World) -> Iterator[Any]:
    """A function that makes a Served of a protocol."""
    made: list[Served] = []

    def serve(protocol: Any) -> Served:
        made.append(Served(world, protocol))
        return made[-1]

    yield serve
    for each in made:
        each.close()


@everywhere(SOCKETS)
def test_whoNeverFallsSilentLosesNothing(
    serving: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every line that a client could send is delivered, as the kernel refuses the next one."""
    monkeypatch.setattr(drain, "DEADLINE", 1.2)  # peers that still send are closed shortly before it
    served = serving(Kept)
    clients = [served.meet() for _ in range(3)]

    def all_() -> None:
        for client in clients:
            client.send()

    def haveAllBegun() -> bool:
        all_()
        return all(len(each.lines) > 20 for each in served.protocols)

    served.world.until(haveAllBegun)
    stopping = served.stop()

    def hasAllEnded() -> bool:
        all_()
        return bool(served.done) and all(client.refused for client in clients)

    served.world.until(hasAllEnded)
    assert [each.lines for each in served.protocols] == [client.sent for client in clients]
    assert [each.reasons for each in served.protocols] == [[ConnectionDone]] * 3
    assert (served.done, stopping.untaken) == ([0], 0)
    assert "3 connections still sent when they were closed" in caplog.text


class Echoing(Kept):
    """Answers each line with the same."""

    def linesReceived(self, lines: list[bytes]) -> None:
        super().linesReceived(lines)
        for line in lines:
            self.sendLine(line)


@everywhere(SOCKETS)
def test_aLineThatComesBeforeOurEndIsAnswered(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel had nothing more to read, and then it had: our half has not ended yet, so the line gets its answer."""
    served = serving(Echoing)
    clients = [served.meet() for _ in range(3)]

    def send(transport: Any) -> None:
        for client in clients:
            client.send()

    monkeypatch.setattr(drain, "takeLastRequest", send)  # called when a connection has nothing to read
    served.stop()
    served.world.until(lambda: served.done)
    for client in clients:
        assert len(client.sent) >= 3
        assert client.heard().splitlines() == client.sent


@everywhere(PLAIN)
def test_aHalfEndsAtOnce(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends before the next connection's does, and so no line of that time comes too late for an answer."""
    served = serving(Echoing)
    clients = [served.meet() for _ in range(3)]
    ends: list[list[bool]] = []

    def look(transport: Any) -> bool:
        ends.append([client.hasTheEnd() for client in clients])
        return hasEndedOutput(transport)

    hasEndedOutput = watch.hasEndedOutput
    monkeypatch.setattr(drain, "hasEndedOutput", look)  # called just before our half ends
    served.stop()
    served.world.until(lambda: served.done)
    assert ends == [[False, False, False], [True, False, False], [True, True, False]]


@everywhere(SOCKETS)
def test_whatIsNotTakenIsCountedToTheByte(
    world: World, serving: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A protocol no longer takes lines, and its client sends until it is refused.

    The log has the number of bytes that the client could send behind those delivered. The kernel counts them, so that
    TLS's records count.
    """
    monkeypatch.setattr(drain, "DEADLINE", 0.2)
    served = serving(Stalled)
    client = served.meet()
    client.send()
    (protocol,) = served.protocols
    world.until(lambda: protocol.lines)
    stopping = served.stop()

    def isRefused() -> bool:
        client.send()
        return client.refused and bool(served.done)

    world.until(isRefused)
    delivered = len(protocol.lines)
    assert protocol.lines == client.taken[:delivered]
    untaken = sum(len(line) + 1 + RECORD * world.isTLS for line in client.taken[delivered:])
    assert untaken > 0
    assert stopping.untaken == untaken
    assert served.done == [1]
    assert f"{untaken} bytes were not taken from 1 connections" in caplog.text


class Pausing(Kept):
    """Pauses once, at the first read after `pauses` has come true."""

    pauses = False
    resumes = True

    def linesReceived(self, lines: list[bytes]) -> None:
        super().linesReceived(lines)
        if self.pauses:
            self.pauses = False
            self.transport.bufferSize = 1 << 16
            self.transport.pauseProducing()
            if self.resumes:
                self.transport.reactor.callLater(0.03, self.transport.resumeProducing)


def fillFirst(monkeypatch: pytest.MonkeyPatch, world: World, client: Client, protocol: Pausing) -> None:
    """20 lines of `client` are in the kernel when that is to refuse more. `protocol` pauses at the first of them."""
    refuseMore = watch.refuseMore

    def sendFirst(transport: Any, isSent: bool = True) -> bool:
        if not client.sent:
            for _ in range(20):
                client.send()
            size = sum(len(line) + 1 + RECORD * world.isTLS for line in client.sent)
            end = time.monotonic() + DEADLINE
            while watch.unread(transport) < size:
                assert time.monotonic() < end
            transport.bufferSize = 100
            protocol.pauses = True
        return refuseMore(transport, isSent)

    monkeypatch.setattr(drain, "refuseMore", sendFirst)


@everywhere(SOCKETS)
@pytest.mark.parametrize("sendsOn", [False, True])
def test_whatWasRefusedIsNoEndOfTheStream(
    world: World, serving: Any, monkeypatch: pytest.MonkeyPatch, sendsOn: bool
) -> None:
    """A handler pauses while the last of a connection is delivered, and goes on.

    It gets the rest, and does not hear that its client had ended in order. (Else a line that was cut off would pass for
    a whole one.)
    """
    ended: list[bool] = []
    monkeypatch.setattr(Pausing, "readConnectionLost", lambda self: ended.append(True), raising=False)
    monkeypatch.setattr(Pausing, "writeConnectionLost", lambda self: None, raising=False)
    served = serving(Pausing)
    client = served.meet()
    (protocol,) = served.protocols
    fillFirst(monkeypatch, world, client, protocol)
    stopping = served.stop()

    def isOver() -> bool:
        if client.sent and sendsOn:
            client.send()
        return bool(served.done)

    world.until(isOver)
    assert not protocol.pauses
    assert client.refused is sendsOn
    assert protocol.lines == (client.taken if sendsOn else client.sent)
    assert len(protocol.lines) == 20
    assert ended == []
    assert stopping.untaken == 0


@everywhere(PLAIN)
def test_whatAHandlerHoldsUpAtTheLastIsCountedOnce(
    world: World, serving: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It pauses while the last of its connection is delivered, and does not go on before the deadline."""
    monkeypatch.setattr(drain, "DEADLINE", 0.3)
    monkeypatch.setattr(Pausing, "resumes", False)
    served = serving(Pausing)
    client = served.meet()
    (protocol,) = served.protocols
    fillFirst(monkeypatch, world, client, protocol)
    stopping = served.stop()
    world.until(lambda: served.done)
    delivered = len(protocol.lines)
    assert 0 < delivered < 20
    assert stopping.untaken == sum(len(line) + 1 for line in client.sent[delivered:])
    assert f"{stopping.untaken} bytes were not taken from 1 connections" in caplog.text


@everywhere(PLAIN)
def test_whoFallsSilentSeesNoReset(world: World, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that has spoken after the end of our half is left to be silent, and its connection closed in order."""
    monkeypatch.setattr(drain, "LINGER", 30.0)
    monkeypatch.setattr(drain, "DEADLINE", 60.0)
    served = serving(Kept)
    client = served.meet()
    (protocol,) = served.protocols
    protocol.transport.write(b"owed")
    got: list[bytes] = []

    def hasEnded() -> bool:
        with suppress(BlockingIOError):
            while got[-1:] != [b""]:
                got.append(client.socket.recv(100))
        return got[-1:] == [b""]

    served.stop()
    world.until(hasEnded)
    client.send()
    world.until(lambda: served.done)
    assert client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert client.socket.recv(100) == b""
    assert b"".join(got) == b"owed"
    assert protocol.lines == client.sent == [b"line 0"]


class Ending(Kept):
    """Ends its half behind the first line; its client may go on."""

    ended = False

    def linesReceived(self, lines: list[bytes]) -> None:
        super().linesReceived(lines)
        self.transport.loseWriteConnection()

    def readConnectionLost(self) -> None:
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.ended = True


@everywhere(SOCKETS)
def test_ourHalfHasEndedBefore(world: World, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol had ended its half before the stop. Nothing is owed to its client, so nothing holds the stop up."""
    monkeypatch.setattr(drain, "DEADLINE", 60.0)
    served = serving(Ending)
    client = served.meet()
    client.send()
    (protocol,) = served.protocols
    world.until(lambda: protocol.ended)
    stopping = served.stop()
    world.until(lambda: served.done)
    assert protocol.reasons == [ConnectionDone]
    assert (served.done, stopping.untaken) == ([0], 0)


@everywhere(SOCKETS)
def test_whoEndsInOrderIsTold(world: World, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a client's stream waits in the kernel behind its last line when its connection would be closed.

    The protocol hears of both.
    """
    ended: list[list[bytes]] = []
    monkeypatch.setattr(Kept, "readConnectionLost", lambda self: ended.append(list(self.lines)), raising=False)
    monkeypatch.setattr(Kept, "writeConnectionLost", lambda self: None, raising=False)
    served = serving(Kept)
    client = served.meet()
    (protocol,) = served.protocols
    stopping = served.stop()
    letGo = stopping._letGo

    def endsFirst(leaving: Any, now: float) -> None:
        if leaving.sentAt is not None and not client.sent:
            client.send()
            if world.isTLS:
                with suppress(ssl.SSLWantReadError):
                    client.socket.unwrap()
            with suppress(OSError):
                client.socket.shutdown(socket.SHUT_WR)
            monkeypatch.setattr(drain, "LINGER", 0.0)  # nothing but the end of the stream holds the close up now
        letGo(leaving, now)

    monkeypatch.setattr(stopping, "_letGo", endsFirst)
    world.until(lambda: served.done)
    assert ended == [[b"line 0"]]
    assert protocol.reasons == [ConnectionDone]
    assert (served.done, stopping.untaken) == ([0], 0)


@pytest.mark.parametrize("loop", REACTORS)
def test_halvesEndWhenAllHasBeenSaid(loop: str) -> None:
    """Words of one member of the chat, from before the stop, reach the others.

    They come in several turns, and the others send none of their own.
    """
    world = World(REACTORS[loop])
    try:
        port = world.listen(Room())
        transports: list[Any] = []
        socks = []
        for name in (b"talker\n", b"listener\n"):
            sock = socket.create_connection((LOOPBACK, port.getHost().port))
            socks.append(sock)
            sock.setblocking(False)
            sock.send(name)
        talker, listener = socks
        got = bytearray()

        def hears(what: bytes) -> bool:
            with suppress(BlockingIOError):
                got.extend(listener.recv(1 << 16))
            return what in got

        world.until(lambda: hears(b"welcome"))
        said = [b"talker: %d" % number for number in range(2 * FREE_LINES)]
        talker.send(b"".join(b"%d\n" % number for number in range(2 * FREE_LINES)))
        transports = [each for each in world.reactor.openTransports() if each is not port]
        done: list[int] = []
        drain.Drain(world.reactor, transports, [port]).start().addCallback(done.append)
        world.until(lambda: hears(b"no such thing") or done)
        hears(b"")
        assert [line for line in bytes(got).splitlines() if line.startswith(b"talker: ")] == said
        for sock in socks:
            sock.close()
    finally:
        world.close()


class Answering(LineReceiver):
    """Sends each line back."""

    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


@everywhere([cell for cell in PLAIN if "UNIX" not in cell[0]])
def test_aFirstLineOnItsWayIsAnswered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client has connected just before the end begins, and its line comes just after."""
    monkeypatch.setattr(drain, "FIRST_WORDS", DEADLINE)
    monkeypatch.setattr(drain, "READ_GRACE", DEADLINE)
    monkeypatch.setattr(drain, "DEADLINE", 2 * DEADLINE)
    server = Served(world, Answering)
    client = server.meet()
    assert watch.isMute(server.protocols[0].transport)
    server.stop()
    world.until(lambda: not server.port.connected)
    client.socket.send(b"first\n")
    received = b""

    def isOver() -> bool:
        nonlocal received
        with suppress(BlockingIOError):
            chunk = client.socket.recv(100)
            received += chunk
            return not chunk
        return False

    world.until(isOver)
    assert received == b"first\n"
    server.close()
    world.until(lambda: server.done)
    assert server.done == [0]


@everywhere([cell for cell in PLAIN if "UNIX" not in cell[0]])
def test_aMuteClientHoldsUpTheEndForAMoment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "FIRST_WORDS", 0.05)
    server = Served(world, Answering)
    server.meet()
    begun = time.monotonic()
    server.stop()
    world.until(lambda: server.done)
    assert time.monotonic() - begun >= 0.05
    assert server.done == [0]
    server.close()
