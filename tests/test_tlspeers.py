"""TLS with other people's programs: openssl s_client and s_server, sslyze."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from reactor import CertificateOptions, LineReceiver, Protocol, ServerFactory, optionsForClientTLS
from tests.harness import DEADLINE, LOOPBACK, World, refusedPort, turnUntil
from tests.tlsharness import CA, HOST, TRUST, certificatePath, pemOf, serverOptions, write


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"you said " + line)
        if line == b"bye":
            self.transport.loseConnection()


class Echoes(ServerFactory[Echo]):
    """Notes what its protocols were and how they ended."""

    noisy = False

    def __init__(self) -> None:
        self.ends: list[str] = []
        self.made: list[Any] = []

    def buildProtocol(self, addr: Any) -> Echo:
        factory = self

        class Noting(Echo):
            def connectionMade(self) -> None:
                factory.made.append(self.transport)

            def connectionLost(self, reason: Any = None) -> None:
                factory.ends.append(type(reason.value).__name__)

        return Noting()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@pytest.fixture
def trusted() -> str:
    return write("trusted-root.pem", TRUST)


def run(world: World, *command: str, say: bytes = b"", quits: bool = True) -> tuple[int, bytes]:
    """Run a program to its end, with `say` as its input, while the reactor turns. Return its code and all it said."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        assert process.stdin is not None
        try:
            with closing(process.stdin) as talk:
                talk.write(say)
                talk.flush()
                if not quits:
                    world.until(lambda: process.poll() is not None)
            world.until(lambda: process.poll() is not None)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return process.returncode, output.read()


def sClient(world: World, port: Any, *more: str, say: bytes = b"hello\nbye\n") -> tuple[int, bytes]:
    where = f"{LOOPBACK}:{port.getHost().port}"
    return run(world, "openssl", "s_client", "-connect", where, "-servername", HOST, *more, say=say, quits=False)


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

    @pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
    def test_oldVersions(self, world: World, version: str) -> None:
        """T2: these clients do speak what we refuse."""
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, version, "-cipher", "ALL:@SECLEVEL=0")
        assert code == 1
        assert b"alert protocol version" in said
        assert factory.made == []

    @pytest.mark.parametrize("suites", ["NULL", "aNULL", "kRSA", "AES128-SHA", "ECDHE-RSA-AES128-SHA256", "DHE"])
    def test_weakSuites(self, world: World, suites: str) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, "-tls1_2", "-cipher", f"{suites}:@SECLEVEL=0")
        assert code == 1
        assert b"alert handshake failure" in said
        assert factory.made == []

    def test_renegotiation(self, world: World) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, "-tls1_2", say=b"R\n")
        assert b"RENEGOTIATING" in said
        assert b"no renegotiation" in said
        assert code != 0
        world.until(lambda: factory.ends)
        assert len(factory.made) == 1


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


@pytest.mark.timeout(240)
def test_sslyze(world: World, tmp_path: pathlib.Path) -> None:
    """A scanner finds nothing weak."""
    port = world.reactor.listenSSL(0, Echoes(), serverOptions(), interface=LOOPBACK)
    report = tmp_path / "report.json"
    where = f"{LOOPBACK}:{port.getHost().port}"
    scans = (
        "sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 compression early_data fallback heartbleed openssl_ccs reneg robot"
    )
    options = [f"--{name}" for name in [*scans.split(), "ems"]]
    command = [sys.executable, "-m", "sslyze", *options, f"--json_out={report}", where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        turnUntil(world.reactor, lambda: process.poll() is not None, 200)
    finally:
        process.kill()
        said = process.communicate()[0].decode()
    assert process.returncode == 0, said
    (scan,) = json.loads(report.read_text())["server_scan_results"]
    assert scan["scan_status"] == "COMPLETED"
    found = {name: outcome["result"] for name, outcome in scan["scan_result"].items() if outcome["result"] is not None}
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert found[f"{version}_cipher_suites"]["accepted_cipher_suites"] == []
    suites = {
        accepted["cipher_suite"]["name"]
        for version in ("tls_1_2", "tls_1_3")
        for accepted in found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
    }
    assert suites
    assert all(name.startswith(("TLS_ECDHE_", "TLS_AES_", "TLS_CHACHA20_")) for name in suites)
    assert all("GCM" in name or "CHACHA20" in name for name in suites)
    assert not found["tls_compression"]["supports_compression"]
    assert not found["tls_1_3_early_data"]["supports_early_data"]
    assert found["tls_fallback_scsv"]["supports_fallback_scsv"]
    assert found["tls_extended_master_secret"]["supports_ems_extension"]
    assert not found["heartbleed"]["is_vulnerable_to_heartbleed"]
    assert not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]
    assert found["robot"]["robot_result"].startswith("NOT_VULNERABLE")
    assert found["session_renegotiation"]["supports_secure_renegotiation"]
    assert not found["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"]
