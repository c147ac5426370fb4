"""The peers that are believed: clients without any option against bad certificates, servers against bad clients."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import pathlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from reactor import CertificateOptions
from tests.support.certificates import BAD, DAY, FOREIGN, GOOD, NOW, ROOT, dns, weakContext
from tests.support.rawtls import peerContext
from tests.support.tlsworlds import HOST, certificatePath, write
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, World, dial, readAll, reset

pytestmark = pytest.mark.needs("openssl", "namespaces")

HERE = pathlib.Path(__file__).parent
VERSIONS = {"TLS 1.2": ssl.TLSVersion.TLSv1_2, "TLS 1.3": ssl.TLSVersion.TLSv1_3}
WELCOME = b"welcome"


class Host:
    """A server of Python's ssl, in a thread, that shows `pem` to every client, and notes what it hears after that.

    It has a port for TLS, and one that begins in plain and upgrades at the first line.
    """

    def __init__(self, host: str, pem: bytes, version: ssl.TLSVersion) -> None:
        self.name = host
        self.heard: list[bytes] = []  # of each connection, under TLS
        self.plain: list[bytes] = []
        self._context = weakContext(pem)
        self._context.maximum_version = version
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        address = "::1" if ":" in host else LOOPBACK
        self._listening = [socket.create_server((address, 0), family=family) for _ in range(2)]
        self.ports = [each.getsockname()[1] for each in self._listening]
        self._threads = [
            threading.Thread(target=self._serve, args=(listening, upgrades))
            for listening, upgrades in zip(self._listening, (False, True), strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def _serve(self, listening: socket.socket, upgrades: bool) -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), sock:
                sock.settimeout(DEADLINE)
                if upgrades:
                    self.plain.append(sock.recv(100))
                    sock.sendall(b"go ahead\r\n")
                self.heard.append(b"")
                with self._context.wrap_socket(sock, server_side=True) as tls:
                    tls.sendall(WELCOME)
                    while data := tls.recv(100):
                        self.heard[-1] += data
                    tls.unwrap()

    def close(self) -> None:
        for listening in self._listening:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for thread in self._threads:
            thread.join()


def visit(hosts: list[Host]) -> list[dict[str, tuple[str | None, str]]]:
    """Have the program without options visit them all; return the outcomes.

    The system's trust is our root, by OpenSSL's own variable; names stand in a file of hosts that only that program
    sees.
    """
    trusted = write("trusted-by-the-system.pem", ROOT.pem)
    names = {host.name for host in hosts if host.name.endswith(".test")}
    table = write("hosts", f"{LOOPBACK} localhost {' '.join(sorted(names))}\n".encode())
    command = f"mount --bind {table} /etc/hosts && exec {sys.executable} {HERE / 'optionless.py'}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", command],
        input=json.dumps([[host.name, *host.ports] for host in hosts]),
        capture_output=True,
        text=True,
        timeout=100,
        env={"SSL_CERT_FILE": trusted, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes: list[dict[str, tuple[str | None, str]]] = json.loads(done.stdout)
    return outcomes


@functools.cache
def certificates() -> tuple[dict[str, tuple[str, bytes]], dict[str, tuple[str, bytes]]]:
    bad = {kind: (host, make()) for kind, (host, _, make) in BAD.items()}
    return bad, {kind: (host, make()) for kind, (host, make) in GOOD.items()}


@pytest.mark.parametrize("version", VERSIONS)
def test_clientsWithoutOptions(version: str) -> None:
    """Every bad certificate is refused in every way there is, before a byte of the application goes either way."""
    bad, good = certificates()
    assert len(bad) >= 14
    hosts = {kind: Host(host, pem, VERSIONS[version]) for kind, (host, pem) in [*bad.items(), *good.items()]}
    try:
        outcomes = dict(zip(hosts, visit(list(hosts.values())), strict=True))
    finally:
        for host in hosts.values():
            host.close()
    for kind, outcome in outcomes.items():
        assert len(outcome) >= 6
        for way, (received, end) in outcome.items():
            if kind in bad:
                assert received is None, f"{kind} was accepted by {way}"
                assert end in ("SSLError", "SSLCertVerificationError"), f"{kind}, {way}: {end}"
            else:
                assert received == WELCOME.decode(), f"{kind} was refused by {way}: {end}"
        assert hosts[kind].plain == [b"STARTTLS\r\n"]
        assert hosts[kind].heard == [b"" if kind in bad else b"secret"] * len(outcome), kind


# Servers against bad clients.


@pytest.fixture(params=[pytest.param(side, id=side.name) for side in LOOPS])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


@functools.cache
def visitors() -> dict[str, bytes | None]:
    """Return the certificates that clients show, and a list that revokes one of them in `revocations`."""
    clients = ExtendedKeyUsageOID.CLIENT_AUTH
    return {
        "right": ROOT.issue(dns("right"), usage=clients),
        "none": None,
        "foreign": FOREIGN.issue(dns("foreign"), usage=clients),
        "expired": ROOT.issue(dns("expired"), usage=clients, begin=NOW - 9 * DAY, days=8),
        "not yet valid": ROOT.issue(dns("early"), usage=clients, begin=NOW + DAY),
        "revoked": ROOT.issue(dns("revoked"), usage=clients),
        "for servers only": ROOT.issue(dns("server")),
        "weak key": ROOT.issue(dns("weak"), usage=clients, key=rsa.generate_private_key(65537, 1024)),
    }


@functools.cache
def revocations() -> str:
    pem = visitors()["revoked"]
    assert pem is not None
    entry = x509.RevokedCertificateBuilder().revocation_date(NOW - DAY)
    entry = entry.serial_number(x509.load_pem_x509_certificate(pem).serial_number)
    listed = x509.CertificateRevocationListBuilder().issuer_name(ROOT.name).last_update(NOW - DAY)
    listed = listed.next_update(NOW + DAY).add_revoked_certificate(entry.build())
    return write("revoked.pem", listed.sign(ROOT.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def strict() -> CertificateOptions:
    return CertificateOptions(certificatePath(), trustRoot=ROOT.pem, revoked=revocations())


def comes(world: World, port: Any, kind: str, version: str, behindHello: bytes = b"") -> None:
    """A client does its best to be heard.

    `behindHello` goes in one packet with its ClientHello, and words of its own in one with the end of its handshake.
    With TLS 1.3 it believes then that it is through.
    """
    context = peerContext(isClient=True)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = VERSIONS[version]
    shown = visitors()[kind]
    if shown is not None:
        context.load_cert_chain(write("visitor.pem", shown))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
    with dial(port) as sock:
        sock.setblocking(False)
        spoken, more = False, behindHello
        while True:
            try:
                tls.do_handshake()
                if not spoken:
                    tls.write(b"words")
                    spoken = True
                if tls.read(100):
                    return
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return
            if said := outgoing.read():
                sock.sendall(said + more)
                more = b""
            world.reactor.iterate(0.002)
            try:
                piece = sock.recv(1 << 16)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return
            if not piece:
                return
            incoming.write(piece)


class TestMutual:
    """No callback of a protocol, and no protocol, comes before its client has proved itself."""

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("kind", visitors())
    def test_kinds(self, world: World, kind: str, version: str) -> None:
        servers = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
        port = world.reactor.listenSSL(0, servers, strict(), interface=LOOPBACK)
        comes(world, port, kind, version)
        world.until(lambda: len(world.reactor.getReaders()) == 1)
        if kind == "right":
            assert servers.trace[:4] == ["start", "build", "made", "data"]
            assert servers.only.received == b"words"
        else:
            assert servers.trace == ["start"]

    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize(
        "evil", [b"EVIL\r\n", b"\x17\x03\x03\x00\x06EVIL\r\n", b"\x17\x03\x03\x40\x00" + bytes(16384)]
    )
    @pytest.mark.parametrize("kind", ["right", "none"])
    def test_dataBehindTheClientHello(self, world: World, kind: str, evil: bytes, version: str) -> None:
        servers = world.serverFactory()
        port = world.reactor.listenSSL(0, servers, strict(), interface=LOOPBACK)
        comes(world, port, kind, version, evil)
        world.until(lambda: len(world.reactor.getReaders()) == 1)
        assert servers.trace == ["start"]

    @pytest.mark.parametrize("end", ["close", "half-close", "reset"])
    @pytest.mark.parametrize("early", ["words", "words like a record", "hello", "hello and words"])
    def test_bytesThenTheEnd(self, world: World, caplog: pytest.LogCaptureFixture, early: str, end: str) -> None:
        """CVE-2023-40217: bytes before the handshake, and then the end, both before the server has looked."""
        caplog.set_level(logging.INFO, "reactor.tls")
        hello = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            peerContext(isClient=True).wrap_bio(ssl.MemoryBIO(), hello, server_hostname=HOST).do_handshake()
        said = hello.read()
        words = {
            "words": b"EVIL\r\n",
            "words like a record": b"\x17\x03\x03\x00\x06EVIL\r\n",
            "hello": said,
            "hello and words": said + b"EVIL\r\n",
        }[early]
        servers = world.serverFactory()
        port = world.reactor.listenSSL(0, servers, strict(), interface=LOOPBACK)
        with dial(port) as sock:
            sock.sendall(words)
            if end == "half-close":
                sock.shutdown(socket.SHUT_WR)
            elif end == "close":
                sock.close()
            else:
                reset(sock)
            world.until(lambda: caplog.records and len(world.reactor.getReaders()) == 1)
            if end == "half-close":
                with contextlib.suppress(ConnectionResetError):
                    assert b"EVIL" not in readAll(sock)
        assert servers.trace == ["start"]
