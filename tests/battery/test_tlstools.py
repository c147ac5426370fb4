"""Other people's TLS: openssl, curl, socat, sslyze. Nothing old or weak is spoken, all that is good is."""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from reactor import CertificateOptions, LineReceiver, Protocol, ServerFactory, optionsForClientTLS
from reactor.transports.tlsports import TLSFactory
from tests.support.certificates import ROOT, dns
from tests.support.tlsprograms import Echoes, run, sClient
from tests.support.tlsworlds import CA, HOST, TRUST, certificatePath, pemOf, serverOptions, write
from tests.support.worlds import LOOPBACK, UNIXWorld, World, refusedPort, turnUntil

pytestmark = pytest.mark.needs("openssl", "curl", "socat")

ALL = "ALL:@SECLEVEL=0"
OLD = ["-ssl3", "-tls1", "-tls1_1"]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


@contextlib.contextmanager
def sServer(*options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """An s_server that takes one connection, and its port."""
    port = refusedPort()
    command = ["openssl", "s_server", "-accept", str(port), "-cert", certificatePath(), "-naccept", "1", *options]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    try:
        while b"ACCEPT" not in (line := process.stdout.readline()):
            assert line, "s_server does not begin"
        yield port, process
    finally:
        process.kill()
        process.communicate()


def spoken() -> list[str]:
    """The options of the old versions that this openssl knows. (Debian's has no SSL 3.0; the scan below tries that.)"""
    said = subprocess.run(["openssl", "s_client", "-help"], capture_output=True, check=True).stderr.decode().split()
    return [version for version in OLD if version in said]


class TestOldProtocols:
    """Old protocols are refused. The tool speaks each of them to another peer, which shows that it does speak it."""

    @pytest.mark.parametrize("version", spoken())
    def test_ofClients(self, world: World, version: str) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, version, "-cipher", ALL)
        assert code == 1
        assert b"alert protocol version" in said
        assert factory.made == []
        with sServer(version, "-cipher", ALL, "-rev") as (number, _):
            command = ("openssl", "s_client", "-connect", f"{LOOPBACK}:{number}", version, "-cipher", ALL)
            code, said = run(world, *command, say=b"Q\n")
        assert code == 0
        assert b"Protocol  : TLSv1" in said

    @pytest.mark.parametrize("version", spoken())
    def test_ofServers(self, world: World, version: str) -> None:
        with sServer(version, "-cipher", ALL) as (number, _):
            reasons: list[Any] = []
            clients = world.clientFactory(failed=lambda factory, connector, reason: reasons.append(reason.value))
            world.reactor.connectSSL(LOOPBACK, number, clients, optionsForClientTLS(HOST, TRUST))
            world.until(lambda: reasons)
        assert type(reasons[0]).__name__ == "SSLError"
        assert clients.built == []

    @pytest.mark.parametrize(
        "suites", ["NULL", "aNULL", "kRSA", "AES128-SHA", "ECDHE-RSA-AES128-SHA256", "DHE", "CAMELLIA", "ARIA"]
    )
    def test_weakSuites(self, world: World, suites: str) -> None:
        factory = Echoes()
        port = world.reactor.listenSSL(0, factory, serverOptions(), interface=LOOPBACK)
        code, said = sClient(world, port, "-tls1_2", "-cipher", f"{suites}:@SECLEVEL=0")
        assert code == 1
        assert b"alert handshake failure" in said
        assert factory.made == []

    def test_forgedVersions(self, world: World) -> None:
        """A downgrade by somebody in the middle shows (RFC 7507)."""
        port = world.reactor.listenSSL(0, Echoes(), serverOptions(), interface=LOOPBACK)
        _, said = sClient(world, port, "-tls1_2", "-fallback_scsv")
        assert b"alert inappropriate fallback" in said


SCANS = """
sslv2 sslv3 tlsv1 tlsv1_1 tlsv1_2 tlsv1_3 compression early_data fallback heartbleed openssl_ccs reneg robot ems resum
resum_attempts=3 elliptic_curves certinfo
"""

# Mozilla's lists have no curves beyond the usual; these two are stronger, and `ssl` has no way to leave them out.
BEYOND = ["X448", "secp521r1"]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["ECDSA", "RSA"])
def test_sslyze(world: World, tmp_path: pathlib.Path, kind: str) -> None:
    """The scanner tries everything that it looks for, and Mozilla's recommendation ("intermediate")."""
    key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else None
    options = CertificateOptions(write("scanned.pem", ROOT.issue(dns(HOST), key=key)))
    port = world.reactor.listenSSL(0, Echoes(), options, interface=LOOPBACK)
    report, root = tmp_path / "report.json", write("scanner-root.pem", ROOT.pem)
    where = f"{HOST}:{port.getHost().port}{{{LOOPBACK}}}"
    scans = [*(f"--{name}" for name in SCANS.split()), f"--json_out={report}", f"--certinfo_ca_file={root}"]
    command = [sys.executable, "-m", "sslyze", *scans, "--mozilla_config", "intermediate", where]
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            turnUntil(world.reactor, lambda: process.poll() is not None, 200)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        said = output.read().decode()
    (scan,) = json.loads(report.read_text())["server_scan_results"]
    assert scan["scan_status"] == "COMPLETED", said
    check({name: outcome["result"] for name, outcome in scan["scan_result"].items()})
    verdict = said.partition("COMPLIANCE AGAINST TLS CONFIGURATION")[2]
    complaints = [line.strip() for line in verdict.splitlines() if line.strip().startswith("*")]
    assert [line.partition(":")[0] for line in complaints] == ["* tls_curves"], verdict
    assert sorted(re.findall(r"'(\w+)'", complaints[0])) == BEYOND


def check(found: dict[str, Any]) -> None:
    """Nothing that the scans have found is weak."""
    for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
        assert found[f"{version}_cipher_suites"]["accepted_cipher_suites"] == []
    suites = {
        accepted["cipher_suite"]["name"]
        for version in ("tls_1_2", "tls_1_3")
        for accepted in found[f"{version}_cipher_suites"]["accepted_cipher_suites"]
    }
    assert len(suites) == 6
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
    assert {curve["name"] for curve in found["elliptic_curves"]["rejected_curves"]} >= {"secp192r1", "secp224r1"}


class Asker(Protocol):
    """Says a word, and notes what it hears."""

    def connectionMade(self) -> None:
        self.received = b""
        self.agreed = self.transport.negotiatedProtocol, self.transport.getTLSVersion()
        self.transport.write(b"olleh\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"hello" in self.received:
            self.transport.loseConnection()


class TestServer:
    """s_server, which turns lines round, and our client."""

    def ask(self, world: World, options: Any, *more: str) -> tuple[Any, bytes]:
        with sServer("-rev", *more) as (number, process):
            clients = world.clientFactory()
            clients.protocolClass = lambda *_: Asker()
            world.reactor.connectSSL(LOOPBACK, number, clients, options)
            world.until(lambda: clients.trace[-1] == "stop")
            world.until(lambda: process.poll() is not None)
            assert process.stdout is not None
            return clients, process.stdout.read()

    @pytest.mark.parametrize("version", ["1.2", "1.3"])
    def test_mutual(self, world: World, version: str) -> None:
        """-Verify: it insists on a certificate of ours; -alpn."""
        root, mine = write("s-root.pem", TRUST), write("s-mine.pem", pemOf(CA.issue_cert("client.test")))
        options = optionsForClientTLS(HOST, TRUST, mine, ["other/1", "line/1"])
        name = f"-tls{version.replace('.', '_')}"
        insists = (name, "-Verify", "1", "-verify_return_error", "-CAfile", root, "-alpn", "line/1")
        clients, said = self.ask(world, options, *insists)
        assert clients.trace[-2] == ("connectorLost", "disconnected", "ConnectionDone")
        assert clients.only.received == b"hello\n"
        assert clients.only.agreed == (b"line/1", f"TLSv{version}")
        assert b"verify return:1" in said
        clients, said = self.ask(world, optionsForClientTLS(HOST, TRUST), *insists)
        assert b"peer did not return a certificate" in said
        assert all(each.received == b"" for each in clients.built)

    def test_ofTwoNames(self, world: World) -> None:
        """SNI: the name that we verify is the one that we ask for."""
        second = write("second.pem", pemOf(CA.issue_cert("second.test")))
        both = ("-servername", "second.test", "-cert2", second, "-key2", second)
        clients, _ = self.ask(world, optionsForClientTLS("second.test", TRUST), *both)
        assert clients.only.received == b"hello\n"

    def test_another(self, world: World) -> None:
        clients, _ = self.ask(world, optionsForClientTLS("another.test", TRUST))
        assert clients.built == []


class Web(LineReceiver):
    """As much of HTTP as curl needs."""

    def lineReceived(self, line: bytes) -> None:
        if not line:
            body = b"hello over " + (b"TLS" if self.transport.TLS else b"plain")
            self.transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
            )
            self.transport.loseConnection()


class TestCurl:
    def curl(self, world: World, *arguments: str) -> tuple[int, bytes]:
        root = write("curl-root.pem", TRUST)
        return run(world, "curl", "--silent", "--show-error", "--max-time", "10", "--cacert", root, *arguments)

    def test_https(self, world: World) -> None:
        port = world.reactor.listenSSL(0, ServerFactory.forProtocol(Web), serverOptions(), interface=LOOPBACK)
        number = port.getHost().port
        known = ("--resolve", f"{HOST}:{number}:{LOOPBACK}", "--resolve", f"wrong.test:{number}:{LOOPBACK}")
        for version in ("--tlsv1.2", "--tlsv1.3"):
            for most in ("1.2", "1.3"):
                code, said = self.curl(world, *known, version, "--tls-max", most, f"https://{HOST}:{number}/")
                if version == "--tlsv1.3" and most == "1.2":
                    assert code != 0
                else:
                    assert (code, said) == (0, b"hello over TLS")
        code, said = self.curl(world, *known, f"https://wrong.test:{number}/")
        assert code == 60, said  # the certificate is for another

    def test_unixSockets(self) -> None:
        world = UNIXWorld()
        plain, secure = world.path(), world.path()
        factory = ServerFactory.forProtocol(Web)
        world.reactor.listenUNIX(plain, factory)
        world.reactor.listenUNIX(secure, TLSFactory(world.reactor, factory, serverOptions()))
        assert self.curl(world, "--unix-socket", plain, f"http://{HOST}/") == (0, b"hello over plain")
        assert self.curl(world, "--unix-socket", secure, f"https://{HOST}/") == (0, b"hello over TLS")
        world.close()


def test_socat(world: World) -> None:
    port = world.reactor.listenSSL(0, Echoes(), serverOptions(), interface=LOOPBACK)
    root = write("socat-root.pem", TRUST)
    where = f"OPENSSL:{LOOPBACK}:{port.getHost().port},cafile={root},commonname={HOST},snihost={HOST}"
    code, said = run(world, "socat", "-", where, say=b"hello\nbye\n", quits=False)
    assert (code, said) == (0, b"you said hello\nyou said bye\n")
