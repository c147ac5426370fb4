"""TLS with other people's programs: openssl s_client and s_server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from reactor import CertificateOptions, Protocol, optionsForClientTLS
from tests.support.tlsprograms import Echoes, run, sClient
from tests.support.tlsworlds import CA, HOST, TRUST, certificatePath, pemOf, serverOptions, write
from tests.support.worlds import DEADLINE, LOOPBACK, World, refusedPort

pytestmark = pytest.mark.needs("openssl")


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def trusted() -> str:
    return write("trusted-root.pem", TRUST)


class TestClients:
    @pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
    def test_sClient(self, world: World, trusted: str, version: str) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, version, "-CAfile", trusted, "-verify_return_error", "-verify_hostname", HOST)
        assert b"you said hello\nyou said bye\n" in said
        assert b"Verification: OK" in said
        assert b"Compression: NONE" in said
        assert code == 0
        world.until(lambda: factory.ends == ["ConnectionDone"])

    def test_sClientEndsFirst(self, world: World) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        where = f"{LOOPBACK}:{port.getHost().port}"
        _, said = run(world, "openssl", "s_client", "-connect", where, say=b"Q\n")
        assert b"DONE" in said
        world.until(lambda: factory.ends == ["ConnectionDone"])

    def test_alpnAndMutual(self, world: World) -> None:
        factory = Echoes()
        options = CertificateOptions(certificatePath(), trustRoot=TRUST, acceptableProtocols=[b"line/1"])
        port = world.reactor.listenSSL(0, factory, options, interface=LOOPBACK)
        mine = write("sclient.pem", pemOf(CA.issue_cert("client.test")))
        _, said = sClient(world, port, "-cert", mine, "-key", mine, "-alpn", "other,line/1")
        assert b"ALPN protocol: line/1" in said
        assert b"you said bye" in said
        (transport,) = factory.made
        assert transport.negotiatedProtocol == b"line/1"
        assert ("DNS", "client.test") in transport.getPeerCertificate(True)["subjectAltName"]
        code, said = sClient(world, port, "-tls1_2")
        assert (code, b"you said" in said, len(factory.made)) == (1, False, 1)


class Asker(Protocol):
    def connectionMade(self) -> None:
        self.received = b""
        self.transport.write(b"olleh\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"hello" in self.received:
            self.transport.loseConnection()


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sServer(world: World, version: str) -> None:
    """Our client, and a server that turns lines round."""
    number = refusedPort()
    command = [
        "openssl",
        "s_server",
        "-accept",
        str(number),
        "-cert",
        certificatePath(),
        version,
        "-rev",
        "-naccept",
        "1",
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        while b"ACCEPT" not in (line := process.stdout.readline()):
            assert line, "s_server does not begin"
        clients = world.clientFactory()
        clients.protocolClass = lambda *_: Asker()
        world.reactor.connectSSL(LOOPBACK, number, clients, optionsForClientTLS(HOST, TRUST))
        world.until(lambda: clients.trace[-1] == "stop")
        assert clients.trace[-2] == ("connectorLost", "disconnected", "ConnectionDone")
        assert clients.only.received == b"hello\n"
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.communicate()
