"""Behind a real HAProxy: both versions, TLS on either side of it, its TLVs, its health checks."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.address import IPv4Address
from reactor.haproxy import HAProxyWrappingFactory
from reactor.linereceiver import LineReceiver
from reactor.protocol import ServerFactory
from reactor.transports.tlsports import TLSFactory
from tests.support.tlsworlds import HOST, TRUST, certificatePath, serverOptions
from tests.support.worlds import DEADLINE, LOOPBACK, World

pytestmark = pytest.mark.needs("haproxy")

CLIENT = "127.0.0.77"

CONFIGURATION = """
global
    maxconn 100
defaults
    mode tcp
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend clients
    bind fd@{listening} {bind}
    {frontend}
    default_backend servers
backend servers
    server one {server} {options}
"""


class Upper(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.factory.peers.append(self.transport.getPeer())
        self.factory.hosts.append(self.transport.getHost())
        self.factory.headers.append(self.transport.proxyHeader)

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line.upper())


class Uppers(ServerFactory[Any]):
    protocol = Upper
    noisy = False

    def __init__(self) -> None:
        self.peers: list[Any] = []
        self.hosts: list[Any] = []
        self.headers: list[Any] = []


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@contextlib.contextmanager
def balancer(folder: pathlib.Path, server: Any, options: str, bind: str = "", frontend: str = "") -> Iterator[int]:
    """A HAProxy before the port `server`; gives the number of its own port, whose socket it inherits."""
    with socket.create_server((LOOPBACK, 0)) as listening:
        host = server.getHost()
        text = CONFIGURATION.format(
            listening=listening.fileno(),
            bind=bind,
            frontend=frontend,
            server=f"{host.host}:{host.port}",
            options=options,
        )
        (folder / "haproxy.cfg").write_text(text)
        process = subprocess.Popen(
            ["haproxy", "-db", "-q", "-f", str(folder / "haproxy.cfg")],
            pass_fds=[listening.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            yield listening.getsockname()[1]
        finally:
            process.terminate()
            assert process.stdout is not None
            said = process.stdout.read()
            process.stdout.close()
            process.wait(DEADLINE)
            assert b"ALERT" not in said, said


@contextlib.contextmanager
def client(port: int, talksTLS: bool = False) -> Iterator[socket.socket]:
    """A client with an address of its own. Its handshake needs a server that runs elsewhere."""
    with socket.socket() as sock:
        sock.bind((CLIENT, 0))
        sock.settimeout(DEADLINE)
        sock.connect((LOOPBACK, port))
        yield sock


def ask(world: World, sock: Any, line: bytes) -> bytes:
    """Send a line, and return the answer; the server has its turns meanwhile."""
    sock.setblocking(False)
    sock.sendall(line)
    answer = bytearray()

    def look() -> bool:
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
            data = sock.recv(1000)
            assert data, "the connection has ended"
            answer.extend(data)
        return answer.endswith(b"\n")

    world.until(look)
    return bytes(answer)


def sheltered(world: World, sock: socket.socket) -> ssl.SSLSocket:
    """TLS on the client's side, while the server has its turns."""
    context = ssl.create_default_context(cadata=TRUST.decode())
    sock.setblocking(False)
    secure = context.wrap_socket(sock, server_hostname=HOST, do_handshake_on_connect=False)

    def shake() -> bool:
        with contextlib.suppress(ssl.SSLWantReadError):
            secure.do_handshake()
            return True
        return False

    world.until(shake)
    return secure


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c"])
def test_whoTheClientIs(world: World, tmp_path: pathlib.Path, options: str) -> None:
    factory = Uppers()
    port = world.listen(HAProxyWrappingFactory(factory))
    with balancer(tmp_path, port, options) as number, client(number) as sock:
        assert ask(world, sock, b"one\n") == b"ONE\n"
        assert factory.peers == [IPv4Address("TCP", *sock.getsockname())]
        assert factory.hosts == [IPv4Address("TCP", *sock.getpeername())]
        assert ask(world, sock, b"two\nthree\n").endswith(b"\n")
    assert factory.headers[0].version == (2 if "v2" in options else 1)
    assert bool(factory.headers[0].tlvs) == ("crc32c" in options)


@pytest.mark.parametrize("options", ["send-proxy", "send-proxy-v2"])
def test_TLSBehindTheHeader(world: World, tmp_path: pathlib.Path, options: str) -> None:
    """HAProxy passes the client's TLS through, and the header comes before it, in plain."""
    factory = Uppers()
    port = world.listen(HAProxyWrappingFactory(TLSFactory(world.reactor, factory, serverOptions())))
    with balancer(tmp_path, port, options) as number, client(number) as plain, sheltered(world, plain) as sock:
        assert ask(world, sock, b"one\n") == b"ONE\n"
        assert factory.peers == [IPv4Address("TCP", *sock.getsockname())]


def test_TLSOfTheBalancer(world: World, tmp_path: pathlib.Path) -> None:
    """HAProxy ends the client's TLS, tells of it in TLVs, and speaks TLS of its own behind the header."""
    factory = Uppers()
    port = world.listen(HAProxyWrappingFactory(TLSFactory(world.reactor, factory, serverOptions())))
    options = "ssl verify none send-proxy-v2-ssl-cn proxy-v2-options ssl,ssl-cipher,cert-sig,authority,unique-id"
    bind, frontend = f"ssl crt {certificatePath()}", "unique-id-format id-%ci"
    with (
        balancer(tmp_path, port, options, bind, frontend) as number,
        client(number) as plain,
        sheltered(world, plain) as sock,
    ):
        assert ask(world, sock, b"one\n") == b"ONE\n"
        assert factory.peers == [IPv4Address("TCP", *sock.getsockname())]
        cipher = sock.cipher()
    (header,) = factory.headers
    assert (header.authority, header.uniqueId) == (HOST, f"id-{CLIENT}".encode())
    assert cipher is not None
    assert (header.ssl.isTLS, header.ssl.version, header.ssl.cipher) == (True, "TLSv1.3", cipher[0])
    assert not header.ssl.isVerified
    assert header.ssl.commonName is None


def test_healthChecks(world: World, tmp_path: pathlib.Path) -> None:
    """A connection of the balancer's own, which says LOCAL, has its real addresses."""
    factory = Uppers()
    wrapping = HAProxyWrappingFactory(factory)
    port = world.listen(wrapping)
    check = "option tcp-check\n    tcp-check send one\\n\n    tcp-check expect string ONE"
    options = "send-proxy-v2 check inter 100"
    with balancer(tmp_path, port, f"{options} check-send-proxy\n    {check}"):
        world.until(lambda: factory.headers)
    assert {header.command for header in factory.headers} == {"LOCAL"}
    assert factory.peers[0].host == LOOPBACK
    assert factory.hosts[0] == port.getHost()
    assert wrapping.refused["invalid"] == 0


def test_anUntrustedBalancer(world: World, tmp_path: pathlib.Path) -> None:
    factory = Uppers()
    wrapping = HAProxyWrappingFactory(factory, trusted=["192.0.2.0/24"])
    port = world.listen(wrapping)
    with balancer(tmp_path, port, "send-proxy-v2") as number, client(number) as sock:
        sock.sendall(b"one\n")
        world.until(lambda: wrapping.refused["untrusted"])
    assert factory.peers == []
