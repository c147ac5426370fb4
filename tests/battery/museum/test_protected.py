"""TLS: nothing plain is taken for protected, no certificate is believed that proves nothing, and nothing is left."""

from __future__ import annotations

import contextlib
import functools
import gc
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

import OpenSSL.SSL
import pytest

from reactor import CertificateOptions, optionsForClientTLS
from reactor.http import Client
from tests.battery.museum.halls import Hall
from tests.support.certificates import FOREIGN, ROOT, dns, selfSigned, weakContext
from tests.support.httpclients import Asked
from tests.support.rawtls import peerContext
from tests.support.tlsworlds import HOST, TRUST, certificatePath, serverOptions
from tests.support.upgrading import KINDS, Caller, Dialogue, Kept, KeptClient, lostOf
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, dial, readAll, reset, turnUntil


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def hall(request: pytest.FixtureRequest) -> Iterator[Hall]:
    hall = Hall(request.param)
    yield hall
    hall.close()


def hello() -> bytes:
    """A ClientHello."""
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        peerContext(isClient=True).wrap_bio(ssl.MemoryBIO(), said, server_hostname=HOST).do_handshake()
    return said.read()


def test_CVE_2023_40217(hall: Hall) -> None:
    """Bytes before the handshake, and then the end: a server that wants certificates took them for a client's."""
    options = CertificateOptions(certificatePath(), trustRoot=TRUST)
    for words in (b"EVIL\r\n", b"\x17\x03\x03\x00\x06EVIL\r\n", hello() + b"EVIL\r\n"):
        for end in (socket.socket.close, reset):
            servers = hall.serverFactory()
            port = hall.reactor.listenSSL(0, servers, options, interface=LOOPBACK)
            sock = dial(port)
            sock.sendall(words)
            end(sock)
            hall.reactor.iterate(0.01)
            hall.settle()
            assert servers.trace == ["start"]
            port.stopListening()


def upgraded(hall: Hall, kind: Any, *packets: bytes) -> Any:
    """The protocol of a server that has got these packets, and a handshake behind them."""
    servers = Kept(kind)
    port = hall.reactor.listenTCP(0, servers, interface=LOOPBACK)
    with dial(port) as sock:
        for packet in packets:
            sock.sendall(packet)
            hall.reactor.iterate(0.001)
        with contextlib.suppress(OSError):
            sock.sendall(hello())
        turnUntil(hall.reactor, lambda: servers.built and lostOf(servers.built[0]) is not None)
    port.stopListening()
    return servers.built[0]


@pytest.mark.parametrize("kind", KINDS)
def test_CVE_2011_0411(hall: Hall, kind: Any) -> None:
    """Commands behind STARTTLS in one packet were run under TLS, as if they had come protected."""
    protocol = upgraded(hall, kind, b"STARTTLS\r\nEVIL\r\n")
    assert not any(isProtected for line, isProtected in filter(lambda each: isinstance(each, tuple), protocol.events))
    assert b"EVIL" not in protocol.lines
    assert "handshake" not in protocol.events


def test_CVE_2024_34083(hall: Hall) -> None:
    """The buffer was kept at STARTTLS: half a line in plain began the first line under TLS."""
    for packets in ([b"STARTTLS\r\nEVI"], [b"STARTTLS\r\n", b"EVIL\r\n"], [b"STARTTLS\r\n" + b"E" * 20_000]):
        protocol = upgraded(hall, Dialogue, *packets)
        assert protocol.lines == [b"STARTTLS"]
        assert "handshake" not in protocol.events


@pytest.mark.parametrize("answer", [b"454 no TLS\r\n", b"", b"\x15\x03\x01\x00\x02\x02\x28", b"go ahead\r\nEVIL\r\n"])
def test_CVE_2016_0772(hall: Hall, answer: bytes) -> None:
    """A man in the middle refused STARTTLS, and the client went on in plain with its password."""
    clients = KeptClient(Caller)
    with socket.create_server((LOOPBACK, 0)) as listening:
        hall.reactor.connectTCP(*listening.getsockname(), clients)
        turnUntil(hall.reactor, lambda: clients.built)
        sock, _ = listening.accept()
    with sock:
        sock.sendall(b"go ahead\r\n")
        turnUntil(hall.reactor, lambda: (b"go ahead", False) in clients.built[0].events)
        hall.reactor.iterate(0.001)
        if answer:
            sock.sendall(answer)
        else:
            sock.shutdown(socket.SHUT_WR)
        turnUntil(hall.reactor, lambda: clients.lost)
        sock.settimeout(DEADLINE)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            received = readAll(sock)
    assert b"secret" not in received
    assert clients.built[0].events[0] == (b"go ahead", False)
    assert "handshake" not in clients.built[0].events


def believes(hall: Hall, host: str, pem: bytes) -> bool:
    """Whether a client that wants to speak to `host` takes this certificate for its."""
    servers, clients = hall.serverFactory(), hall.clientFactory()
    port = hall.reactor.listenSSL(0, servers, weakContext(pem), interface=LOOPBACK)
    options = optionsForClientTLS(host, ROOT.pem, closeTimeout=0.1)
    hall.reactor.connectSSL(LOOPBACK, port.getHost().port, clients, options)
    turnUntil(hall.reactor, lambda: "made" in clients.trace or any(each[0] == "failed" for each in clients.trace))
    port.stopListening()
    hall.reactor.disconnectAll()
    hall.settle()
    return "made" in clients.trace


def test_CVE_2013_4238(hall: Hall) -> None:
    """A name with a NUL was read up to it, so the certificate of another host was believed."""
    assert believes(hall, HOST, ROOT.issue(dns(HOST)))
    for name in (HOST + "\0.evil.test", "\0" + HOST, HOST + "\0"):
        assert not believes(hall, HOST, ROOT.issue(dns(name)))


def test_CVE_2013_2099(hall: Hall) -> None:
    """A name with many wildcards was matched by a pattern that went back and forth without end."""
    began = time.thread_time()
    for stars in (10, 60, 250):
        assert not believes(hall, "a" * 63 + ".test", ROOT.issue(dns("a*" * stars + ".test", "*." * stars + "test")))
    assert time.thread_time() - began < 5


def test_CVE_2013_7440(hall: Hall) -> None:
    """A wildcard inside an encoded label stood for parts of other names."""
    host = "xn--bcher-kva.server.test"
    for name in ("x*.server.test", "xn--*.server.test", "xn--b*kva.server.test", "*n--bcher-kva.server.test"):
        assert not believes(hall, host, ROOT.issue(dns(name)))


class Impostor(Dialogue):
    """A server that shows a certificate which proves nothing."""

    def __init__(self, pem: bytes) -> None:
        super().__init__()
        self.pem = pem

    def begin(self) -> None:
        self.transport.startTLS(weakContext(self.pem))


def haveEnded(servers: Kept, clients: KeptClient) -> bool:
    return bool(clients.lost and servers.built) and lostOf(servers.built[0]) is not None


def test_CVE_2019_12855(hall: Hall) -> None:
    """A client verified no certificate at its STARTTLS."""
    for pem in (FOREIGN.issue(dns(HOST)), selfSigned(), ROOT.issue(dns("other.test"))):
        servers, clients = Kept(functools.partial(Impostor, pem)), KeptClient(Caller)
        port = hall.reactor.listenTCP(0, servers, interface=LOOPBACK)
        hall.reactor.connectTCP(LOOPBACK, port.getHost().port, clients)
        turnUntil(hall.reactor, functools.partial(haveEnded, servers, clients))
        port.stopListening()
        assert servers.built[0].lines == [b"STARTTLS"]
        assert type(lostOf(clients.built[0]).value).__name__ == "SSLError"
        assert "handshake" not in clients.built[0].events


def test_CVE_2014_7143(hall: Hall) -> None:
    """The client of HTTP verified no certificate, unless a program asked it to."""
    seen: list[bytes] = []

    async def handler(request: Any) -> bytes:
        seen.append(request.uri)
        return b""

    port = hall.site(handler)
    port.stopListening()
    protected = hall.reactor.listenSSL(0, port.factory, serverOptions(), interface=LOOPBACK)
    client = Client(hall.reactor)
    asked = Asked(client.request("GET", f"https://{LOOPBACK}:{protected.getHost().port}/secret"))
    turnUntil(hall.reactor, lambda: asked.isOver)
    assert asked.result is None
    assert "certificate" in str(asked.error)
    assert seen == []


class Renegotiating:
    """A client of TLS 1.2 that asks for a new handshake within the connection, `times` over."""

    def __init__(self, hall: Hall, port: Any, times: int) -> None:
        context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_CLIENT_METHOD)
        context.set_max_proto_version(OpenSSL.SSL.TLS1_2_VERSION)
        self.tls = OpenSSL.SSL.Connection(context, None)
        self.tls.set_connect_state()
        self.refusals = self.done = 0
        with dial(port) as self.sock:
            self.sock.setblocking(False)
            self.go(hall, self.tls.do_handshake)
            self.go(hall, lambda: self.tls.send(b"before\r\n"))
            for _ in range(times):
                self.tls.renegotiate()
                try:
                    self.go(hall, self.tls.do_handshake)
                    self.done += 1
                except (OpenSSL.SSL.Error, ConnectionError):
                    self.refusals += 1
                    break

    def go(self, hall: Hall, step: Any) -> None:
        end = time.monotonic() + DEADLINE
        while True:
            assert time.monotonic() < end
            wants = False
            try:
                step()
            except OpenSSL.SSL.WantReadError:
                wants = True
            with contextlib.suppress(OpenSSL.SSL.WantReadError):
                self.sock.sendall(self.tls.bio_read(1 << 20))
            if not wants:
                return
            hall.reactor.iterate(0.001)
            with contextlib.suppress(BlockingIOError):
                if not (data := self.sock.recv(1 << 16)):
                    raise ConnectionError
                self.tls.bio_write(data)


def test_CVE_2011_1473(hall: Hall) -> None:
    """Each renegotiation cost the server ten times what it cost the client, and none was refused."""
    servers = hall.serverFactory()
    visitor = Renegotiating(hall, hall.reactor.listenSSL(0, servers, serverOptions(), interface=LOOPBACK), 10)
    assert (visitor.done, visitor.refusals) == (0, 1)
    assert visitor.tls.total_renegotiations() <= 1


def test_CVE_2009_3555(hall: Hall) -> None:
    """Bytes from before a renegotiation counted as those of the client that came with it."""
    servers = hall.serverFactory()
    visitor = Renegotiating(hall, hall.reactor.listenSSL(0, servers, serverOptions(), interface=LOOPBACK), 1)
    assert visitor.done == 0
    hall.settle()
    assert servers.only.received in (b"", b"before\r\n")
    assert servers.trace.count("made") == 1


def ends() -> int:
    gc.collect()
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


def test_gh_109534(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    """A connection that broke within its handshake was never freed."""
    caplog.set_level(logging.CRITICAL)
    servers = hall.serverFactory()
    port = hall.reactor.listenSSL(0, servers, serverOptions(), interface=LOOPBACK)
    first = hello()
    before = ends()
    for number in range(60):
        with dial(port) as sock:
            sock.sendall(first[: len(first) * number // 50])
            hall.reactor.iterate(0)
            if number % 2:
                reset(sock)
    hall.settle()
    hall.reactor.iterate(0)
    assert ends() <= before + 1
    assert servers.trace == ["start"]
