"""Connections, descriptors and processes: races of accepting and closing, bounds of output, whose bytes are whose."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import DatagramProtocol, LineReceiver, ProcessProtocol, Protocol
from reactor.aio import openConnection
from reactor.error import OutputLimitExceeded
from reactor.haproxy import HAProxyWrappingFactory
from tests.battery.museum.halls import Hall, Keeping
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, Producer, dial, reset, runProgram, silentServer, turnUntil

MIB = 1 << 20
STARVED = 0.3  # seconds without free descriptors


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def hall(request: pytest.FixtureRequest) -> Iterator[Hall]:
    hall = Hall(request.param)
    yield hall
    hall.close()


def serves(hall: Hall, port: Any) -> None:
    """A new client is served."""
    assert hall.say(port, b"hi\r\n", until=lambda data: data.endswith(b"\r\n")) == b"got hi\r\n"
    hall.settle()


def numbers() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def rests(hall: Hall) -> bool:
    """Whether the reactor sleeps when nothing goes on."""
    for _ in range(50):
        began = time.monotonic()
        hall.reactor.iterate(0.02)
        if time.monotonic() - began > 0.015:
            return True
    return False


class Ending(Protocol):
    lost: Any = None

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason


@pytest.mark.parametrize("way", ["write", "writeSequence"])
def test_CVE_2024_12254(hall: Hall, way: str) -> None:
    """One of the ways to write paused no producer, and had no bound."""
    factory = Keeping(Ending)
    port = hall.listen(factory)
    producer = Producer()
    with dial(port, receiveBuffer=4096):
        turnUntil(hall.reactor, lambda: factory.built)
        (protocol,) = factory.built
        protocol.transport.registerProducer(producer, True)
        give = getattr(protocol.transport, way)
        written = 0
        while protocol.lost is None and written < 64 * MIB:
            give(bytes(MIB) if way == "write" else [bytes(MIB // 16)] * 16)
            written += MIB
            hall.reactor.iterate(0)
        turnUntil(hall.reactor, lambda: protocol.lost)
    assert producer.trace[:1] == ["pause"]
    assert written <= 32 * MIB
    assert type(protocol.lost.value).__name__ == "OutputLimitExceeded"


def test_theSameInAStream() -> None:
    """CVE-2024-12254 where it was found: writelines() of asyncio, and drain() that did not wait."""

    async def trial() -> None:
        with socket.create_server((LOOPBACK, 0)) as listening:
            _, writer = await openConnection(*listening.getsockname())
            peer, _ = listening.accept()
            with peer:
                writer.writelines([bytes(MIB)] * 8)
                drained = asyncio.ensure_future(writer.drain())
                for _ in range(10):
                    await asyncio.sleep(0)
                assert not drained.done()
                for _ in range(30):
                    writer.writelines([bytes(MIB)])
                with pytest.raises(OutputLimitExceeded):
                    await asyncio.wait_for(drained, DEADLINE)
            writer.transport.abort()
            await asyncio.sleep(0)

    asyncio.run(trial())


def test_CVE_2010_3492(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """A client that was reset before its accept() made the server's loop raise, and end."""
    port = hall.listen(Keeping())
    for _ in range(40):
        reset(dial(port))
    serves(hall, port)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_CVE_2010_3493(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that connect and leave at once, or with half a line, ended the server."""
    port = hall.listen(Keeping())
    for number in range(60):
        with dial(port) as sock:
            sock.sendall(b"half a line"[: number % 12])
            if number % 3 == 0:
                reset(sock)
        if number % 20 == 0:
            hall.reactor.iterate(0)
    serves(hall, port)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_CVE_2024_49769(hall: Hall) -> None:
    """A client that was reset before getpeername() leaked its descriptor, and the loop spun."""
    port = hall.listen(Keeping())
    serves(hall, port)
    before = numbers()
    for _ in range(40):
        reset(dial(port))
    serves(hall, port)
    turnUntil(hall.reactor, lambda: numbers() <= before)
    assert rests(hall)


def test_CVE_2022_31015(hall: Hall) -> None:
    """A thread closed a socket that the loop was about to watch, and the process died."""
    factory = Keeping()
    port = hall.listen(factory)

    def abort(protocol: Any) -> None:
        hall.reactor.callFromThread(protocol.transport.abortConnection)

    for _ in range(20):
        with dial(port) as sock:
            turnUntil(hall.reactor, lambda: factory.built)
            protocol = factory.built.pop()
            sock.sendall(b"hi\r\n" * 10)
            thread = threading.Thread(target=abort, args=(protocol,))
            thread.start()
            hall.reactor.iterate(0)
            thread.join()
            turnUntil(hall.reactor, lambda protocol=protocol: protocol.lost)
    serves(hall, port)


def test_gh_151615(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """Without free descriptors the loop accepted again and again, with an error in the log each time."""
    factory = Keeping()
    port = hall.listen(factory)
    serves(hall, port)
    records: list[logging.LogRecord] = []
    starved: list[int] = []
    end = time.monotonic() + DEADLINE
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    spent: list[float] = []

    def starve() -> None:
        free = os.dup(0)
        os.close(free)
        spent.append(time.thread_time())
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, usual[1]))

    def feed() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        spent.append(time.thread_time())
        records.extend(caplog.records)
        starved.append(len(factory.built))
        look()

    def look() -> None:
        if len(factory.built) > 20 or time.monotonic() > end:
            hall.reactor.stop()
        else:
            hall.reactor.callLater(0.001, look)

    with contextlib.ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(dial(port))
        hall.reactor.callLater(0, starve)
        hall.reactor.callLater(STARVED, feed)
        try:
            hall.reactor.run(installSignalHandlers=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, usual)
        assert spent[1] - spent[0] < STARVED / 3
        assert starved == [1]
        assert 1 <= len(records) <= 6
        assert len(factory.built) > 20


def test_gh_131728(hall: Hall) -> None:
    """The number of a closed socket was given to a new one while the loop still watched the old one for output."""
    factory = Keeping()
    port = hall.listen(factory)
    again = 0
    for _ in range(10):
        with dial(port, receiveBuffer=4096) as stuck:
            turnUntil(hall.reactor, lambda: factory.built)
            old = factory.built.pop()
            old.transport.write(bytes(12 * MIB))
            hall.reactor.iterate(0)
            number = old.transport.fileno()
            old.transport.abortConnection()
            turnUntil(hall.reactor, lambda old=old: old.lost)
            reset(stuck)
        with dial(port) as sock:
            turnUntil(hall.reactor, lambda: factory.built)
            new = factory.built.pop()
            again += new.transport.fileno() == number
            sock.sendall(b"mine\r\n")
            turnUntil(hall.reactor, lambda new=new: new.lines)
            assert sock.recv(100) == b"got mine\r\n"
            assert old.lines == []
    assert again > 0
    hall.settle()


class Secret(LineReceiver):
    """Answers each line with what belongs to this client alone."""

    token = b""

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"end"):
            self.transport.loseConnection()
            self.transport.abortConnection()
            self.transport.abortConnection()
            self.transport.getHandle().close()
            return
        self.token = self.token or line
        self.sendLine(hashlib.sha256(self.token + line).hexdigest().encode())


def test_uvloop_645(hall: Hall) -> None:
    """A descriptor was closed twice. The second time it was another client's, and answers went to the wrong one."""
    port = hall.listen(Keeping(Secret))
    with contextlib.ExitStack() as stack:
        good: list[tuple[socket.socket, bytes]] = []
        for number in range(15):
            token = b"token %d" % number
            sock = stack.enter_context(dial(port))
            sock.sendall(token + b"\r\n")
            good.append((sock, token))
            with dial(port) as bad:
                bad.sendall(b"end\r\n")
                hall.reactor.iterate(0)
                hall.reactor.iterate(0)
                reset(bad)
        for sock, token in good:
            sock.sendall(b"line\r\n")
            expected = b"".join(
                hashlib.sha256(token + line).hexdigest().encode() + b"\r\n" for line in (token, b"line")
            )
            sock.setblocking(False)
            received = b""

            def whole(sock: socket.socket = sock) -> bool:
                nonlocal received
                with contextlib.suppress(BlockingIOError):
                    received += sock.recv(1000)
                return len(received) >= 132

            turnUntil(hall.reactor, whole)
            assert received == expected
    hall.settle()


def test_uvloop_740(hall: Hall) -> None:
    """An attempt to connect that ended in two ways closed its descriptor twice."""
    with silentServer() as (host, number):
        for _ in range(10):
            clients = hall.clientFactory()
            connector = hall.reactor.connectTCP(host, number, clients, timeout=DEADLINE)
            hall.reactor.iterate(0)
            connector.stopConnecting()
            mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(3)]
            connector.disconnect()
            turnUntil(hall.reactor, lambda clients=clients: any(each[0] == "failed" for each in clients.trace))
            hall.reactor.iterate(0)
            for each in mine:
                assert os.readlink(f"/proc/self/fd/{each}") == "/dev/null"
                os.close(each)


def test_uvloop_764(hall: Hall) -> None:
    """The same with the pipes of child processes."""

    class Child(ProcessProtocol):
        ended = False

        def processEnded(self, reason: Any) -> None:
            self.ended = True

    child = Child()
    transport = hall.reactor.spawnProcess(child, sys.executable, [sys.executable, "-Sc", "input()"], env={})
    hall.reactor.iterate(0)
    transport.closeStdin()
    transport.closeStdout()
    mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    transport.closeStdin()
    transport.closeStdout()
    transport.loseConnection()
    transport.loseConnection()
    turnUntil(hall.reactor, lambda: child.ended)
    for each in mine:
        assert os.readlink(f"/proc/self/fd/{each}") == "/dev/null"
        os.close(each)


def test_haproxy_tlv(hall: Hall) -> None:
    """A TLV whose length went beyond the header was read from what lay behind it."""
    addresses = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 1, 2)
    for tlv in (
        b"\x01\xff\xff",
        b"\x01\x00\x05x",
        b"\x20\x00\x40" + bytes(10),
        b"\x01",
        b"\x01\x00",
        b"\x20\x00\x01\x01",
    ):
        built = Keeping()
        factory = HAProxyWrappingFactory(built)
        port = hall.listen(factory)
        header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", len(addresses + tlv)) + addresses + tlv
        assert hall.say(port, header + b"EVIL\r\n" * 20) == b""
        assert built.built == []
        assert factory.refused["invalid"] == 1
        port.stopListening()
    hall.settle()


def test_CVE_2018_1000115(hall: Hall) -> None:
    """A service of UDP, on by default, answered small questions of forged senders with large answers."""
    kinds = []

    class Mute(DatagramProtocol):
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            kinds.append(len(datagram))

    port = hall.reactor.listenUDP(0, Mute(), interface=LOOPBACK)
    with socket.socket(type=socket.SOCK_DGRAM) as peer:
        peer.bind((LOOPBACK, 0))
        for size in (0, 1, 1472, 8000):
            peer.sendto(bytes(size), (LOOPBACK, port.getHost().port))
        turnUntil(hall.reactor, lambda: len(kinds) == 4)
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
    port.stopListening()


@pytest.mark.needs("root")
def test_GLSA_201611_10() -> None:
    """The user was changed, and the supplementary groups of root stayed."""
    program = """
import os
from reactor.service import identityOf
for user in ("65534", "64123"):  # nobody, and one without a name
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    os.setgroups([0, 4, 42])
    identityOf(user, user).assume()
    assert not {0, 4, 42} & {*os.getgroups(), *os.getresuid(), *os.getresgid()}, os.getgroups()
    for back in (os.setuid, os.setgid, lambda number: os.setgroups([number])):
        try:
            back(0)
        except PermissionError:
            print("refused", flush=True)
    os._exit(0)
"""
    done = runProgram(program)
    assert (done.stdout, done.stderr) == ("refused\n" * 6, "")
