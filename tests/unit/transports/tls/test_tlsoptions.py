"""Contexts: their settings, certificates that change under way, names that choose one, and what clients refuse."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import pathlib
import resource
import ssl
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from reactor import CertificateOptions, ClientCreator, ServerNameOptions, error, optionsForClientTLS
from reactor.aio import openConnection
from reactor.tlsoptions import RELOAD_INTERVAL, contextOf, defaultClientContext
from tests.support.certificates import DAY, FOREIGN, NOW, ROOT, dns, weakContext
from tests.support.rawtls import Recorder, Wire, peerContext
from tests.support.tlsworlds import CA, CERTIFICATE, HOST, TRUST, certificatePath, pemOf, write
from tests.support.worlds import LOOPBACK, World


class TestSettings:
    def test_ofServers(self) -> None:
        context = CertificateOptions(certificatePath()).getContext()
        check(context)
        assert context.num_tickets == 0

    def test_ofClients(self) -> None:
        for context in (optionsForClientTLS(HOST, TRUST).getContext(), defaultClientContext()):
            check(context)
            assert context.check_hostname
            assert context.verify_mode is ssl.CERT_REQUIRED
            assert not context.hostname_checks_common_name
        assert defaultClientContext() is defaultClientContext()

    def test_contextsAndFactories(self) -> None:
        context = peerContext(isClient=True)
        assert contextOf(context) is context
        options = CertificateOptions(certificatePath())
        assert contextOf(options) is options.getContext() is options.getContext()

    def test_wrongArguments(self, tmp_path: pathlib.Path) -> None:
        with pytest.raises(ValueError, match="trustRoot"):
            CertificateOptions(certificatePath(), revoked="list.pem")
        with pytest.raises(OSError, match="No such file"):
            CertificateOptions(tmp_path / "none.pem")
        for name in ("", None, b"bytes"):
            with pytest.raises(TypeError):
                optionsForClientTLS(name)  # type: ignore[arg-type]

    def test_keysInFilesOfTheirOwn(self) -> None:
        certificate = write("alone.pem", *(blob.bytes() for blob in CERTIFICATE.cert_chain_pems))
        key = write("alone.key", CERTIFICATE.private_key_pem.bytes())
        assert Wire(options=CertificateOptions(certificate, key)).handshake().protocol.events

    def test_encryptedKeys(self) -> None:
        key = serialization.load_pem_private_key(CERTIFICATE.private_key_pem.bytes(), None)
        sealed = write(
            "sealed.key",
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(b"sesame"),
            ),
        )
        assert CertificateOptions(certificatePath(), sealed, password="sesame").getContext()
        with pytest.raises(ValueError, match="no password"):
            CertificateOptions(certificatePath(), sealed)
        with pytest.raises(ssl.SSLError):
            CertificateOptions(certificatePath(), sealed, password="wrong")

    def test_clientCertificates(self) -> None:
        mine = CA.issue_cert("client.test")
        together = write("together.pem", pemOf(mine))
        apart = (
            write("apart.pem", *(blob.bytes() for blob in mine.cert_chain_pems)),
            write("apart.key", mine.private_key_pem.bytes()),
        )
        for certificate in (together, apart):
            context = optionsForClientTLS(HOST, TRUST, certificate).getContext()
            wire = Wire(options=CertificateOptions(certificatePath(), trustRoot=TRUST), context=context).handshake()
            assert wire.protocol.events == ["made", "handshake"]

    def test_alpnOfClients(self) -> None:
        context = peerContext(isClient=False)
        context.set_alpn_protocols(["one", "two"])
        options = optionsForClientTLS(HOST, TRUST, acceptableProtocols=["two", b"three"])
        wire = Wire(options=options, context=context, weAreClient=True).handshake()
        assert wire.ours.negotiatedProtocol == b"two"

    @pytest.mark.needs("openssl")
    def test_waysToTrust(self, tmp_path: pathlib.Path) -> None:
        path = write("root.pem", TRUST)
        for trust in (TRUST, path, pathlib.Path(path)):
            assert Wire(options=optionsForClientTLS(HOST, trust), weAreClient=True).handshake().protocol.events
        with pytest.raises(OSError, match=r"certificate|PEM"):
            optionsForClientTLS(HOST, write("no.pem", b"no certificate"))
        (tmp_path / f"{nameHash(path)}.0").write_bytes(TRUST)
        assert Wire(options=optionsForClientTLS(HOST, tmp_path), weAreClient=True).handshake().protocol.events


@contextlib.contextmanager
def noDescriptors() -> Iterator[None]:
    """None is free inside."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as taken:
        taken.callback(resource.setrlimit, resource.RLIMIT_NOFILE, limits)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 2, limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def nameHash(path: str) -> str:
    """Return OpenSSL's name for a certificate in a directory."""
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", path]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check(context: ssl.SSLContext) -> None:
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher
        assert cipher["protocol"] == "TLSv1.3" or cipher["kea"] == "kx-ecdhe", cipher


class Files:
    """A certificate's files, options that read them, and a clock that says when they may look."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        self.time = 0.0
        self.put(CERTIFICATE)
        self.options = CertificateOptions(self.certificate, self.key, seconds=lambda: self.time)

    def put(self, issued: trustme.LeafCert, key: bool = True) -> None:
        self.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        if key:
            self.key.write_bytes(issued.private_key_pem.bytes())

    def wait(self) -> None:
        self.time += RELOAD_INTERVAL

    def served(self) -> bytes:
        """The certificate that a new client sees."""
        wire = Wire(options=self.options).handshake()
        shown = wire.peer.getpeercert(True)
        assert shown is not None
        return shown


def derOf(issued: trustme.LeafCert) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())


class TestReload:
    """A certificate that changes while connections stand and come."""

    def test_aNewCertificate(self, tmp_path: pathlib.Path) -> None:
        files, renewed = Files(tmp_path), CA.issue_cert(HOST)
        old = Wire(options=files.options).handshake()
        assert files.served() == derOf(CERTIFICATE)
        files.put(renewed)
        assert files.served() == derOf(CERTIFICATE)  # it has just looked
        files.wait()
        assert files.served() == derOf(renewed)
        old.say(b"still here")
        assert old.protocol.received == b"still here"

    def test_underWay(self, tmp_path: pathlib.Path) -> None:
        """A handshake that has begun ends with the certificate that it began with."""
        files = Files(tmp_path)
        wire = Wire(options=files.options)
        files.put(CA.issue_cert(HOST))
        files.wait()
        files.options.getContext()
        assert wire.handshake().peer.getpeercert(True) == derOf(CERTIFICATE)

    @pytest.mark.parametrize("harm", ["broken", "mismatch", "missing", "empty"])
    def test_whatDoesNotHoldTogether(self, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, harm: str) -> None:
        files, renewed = Files(tmp_path), CA.issue_cert(HOST)
        match harm:
            case "broken":
                files.certificate.write_bytes(b"-----BEGIN CERTIFICATE-----\nnonsense\n")
            case "mismatch":
                files.put(renewed, key=False)
            case "missing":
                files.key.unlink()
            case "empty":
                files.certificate.write_bytes(b"")
        for _ in range(3):
            files.wait()
            assert files.served() == derOf(CERTIFICATE)
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        with pytest.raises((OSError, ValueError)):
            files.options.reload()
        assert files.served() == derOf(CERTIFICATE)
        files.put(renewed)
        files.wait()
        assert files.served() == derOf(renewed)

    def test_afterAFailureOfTheSystem(
        self, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Files that could not be read for want of something are read again, though they are the same files."""
        files = Files(tmp_path)
        failures: list[BaseException] = [
            *(OSError(number, os.strerror(number)) for number in (errno.EMFILE, errno.EMFILE, errno.EIO, errno.ENOMEM)),
            MemoryError(),
        ]
        expected = [derOf(CERTIFICATE)] * len(failures)
        renewed = CA.issue_cert(HOST)
        files.put(renewed)
        make = CertificateOptions._makeContext

        def makeContext(options: CertificateOptions) -> ssl.SSLContext:
            if failures:
                raise failures.pop(0)
            return make(options)

        monkeypatch.setattr(CertificateOptions, "_makeContext", makeContext)
        served = []
        for _ in range(6):
            files.wait()
            served.append(files.served())
        assert served == [*expected, derOf(renewed)]
        assert len(caplog.records) == 4  # once for each kind
        files.put(CA.issue_cert(HOST), key=False)
        for _ in range(2):
            files.wait()
            assert files.served() == derOf(renewed)
        assert len(caplog.records) == 5

    def test_withoutADescriptor(self, tmp_path: pathlib.Path) -> None:
        files, renewed = Files(tmp_path), CA.issue_cert(HOST)
        files.put(renewed)
        files.wait()
        with noDescriptors():
            assert files.options.getContext() is files.options.getContext()
        files.wait()
        assert files.served() == derOf(renewed)

    def test_whoIsTrusted(self, tmp_path: pathlib.Path) -> None:
        """The file of the trustRoot is one of the files."""
        root = tmp_path / "root.pem"
        root.write_bytes(TRUST)
        files = Files(tmp_path)
        options = CertificateOptions(files.certificate, files.key, trustRoot=root, seconds=lambda: files.time)
        before = options.getContext()
        files.wait()
        assert options.getContext() is before
        root.write_bytes(ROOT.pem)
        files.wait()
        assert options.getContext().get_ca_certs(True) == [ssl.PEM_cert_to_DER_cert(ROOT.pem.decode())]

    def test_theSystemsTrust(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A context that could not read it is not made: OpenSSL would keep silent, and it would trust nobody."""
        path = write("systems.pem", TRUST)
        monkeypatch.setenv("SSL_CERT_FILE", path)
        monkeypatch.setenv("SSL_CERT_DIR", str(pathlib.Path(path).parent / "none"))
        defaultClientContext.cache_clear()
        for make in (defaultClientContext, lambda: optionsForClientTLS(HOST)):
            with noDescriptors(), pytest.raises(OSError, match="Too many open files"):
                make()
        assert defaultClientContext().cert_store_stats()["x509_ca"] == 1
        defaultClientContext.cache_clear()

    def test_reloadAtOnce(self, tmp_path: pathlib.Path) -> None:
        files, renewed = Files(tmp_path), CA.issue_cert(HOST)
        files.put(renewed)
        files.options.reload()
        assert files.served() == derOf(renewed)

    def test_underLoad(self, tmp_path: pathlib.Path) -> None:
        """New certificates, good and broken, between any two handshakes: every client is served, none is cut off."""
        files = Files(tmp_path)
        wires = []
        for number in range(60):
            if number % 3 == 0:
                files.put(CA.issue_cert(HOST), key=number % 2 == 0)
            files.wait()
            wires.append(Wire(options=files.options).handshake())
        for number, wire in enumerate(wires):
            wire.say(b"%d" % number)
            assert wire.protocol.received == b"%d" % number


class TestServerNames:
    def served(self, options: Any, name: str) -> bytes:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=TRUST.decode())
        context.check_hostname = False
        wire = Wire(options=options, context=context)
        if name:
            wire.peer = context.wrap_bio(wire._in, wire._out, False, name)
        else:
            wire.peer = context.wrap_bio(wire._in, wire._out, False, None)
        shown = wire.handshake().peer.getpeercert(True)
        assert shown is not None
        assert wire.protocol.events == ["made", "handshake"]
        return shown

    def test_theNameChooses(self) -> None:
        others = {name: CA.issue_cert(name) for name in ("one.test", "*.wild.test")}
        table = {
            name: CertificateOptions(write(f"sni{number}.pem", pemOf(issued)))
            for number, (name, issued) in enumerate(others.items())
        }
        options = ServerNameOptions(CertificateOptions(certificatePath(), closeTimeout=3, handshakeTimeout=4), table)
        assert (options.closeTimeout, options.handshakeTimeout) == (3, 4)
        assert self.served(options, "one.test") == derOf(others["one.test"])
        assert self.served(options, "ONE.test") == derOf(others["one.test"])
        assert self.served(options, "any.wild.test") == derOf(others["*.wild.test"])
        for name in ("", "unknown.test", "a.b.wild.test", "wild.test", LOOPBACK):
            assert self.served(options, name) == derOf(CERTIFICATE)

    def test_aFunctionChooses(self, caplog: pytest.LogCaptureFixture) -> None:
        special = CA.issue_cert("special.test")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        special.configure_cert(context)
        asked: list[str] = []

        def choose(name: str) -> Any:
            asked.append(name)
            if name == "bad.test":
                raise LookupError(name)
            return context if name == "special.test" else None

        options = ServerNameOptions(CertificateOptions(certificatePath()), choose)
        assert self.served(options, "special.test") == derOf(special)
        assert self.served(options, "other.test") == derOf(CERTIFICATE)
        assert self.served(options, "bad.test") == derOf(CERTIFICATE)  # the default serves, and the log tells
        assert [type(record.exc_info[1]) for record in caplog.records if record.exc_info] == [LookupError]
        assert asked == ["special.test", "other.test", "bad.test"]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


class TestMutual:
    """No callback of a protocol comes before its client has proved itself."""

    def options(self, **more: Any) -> CertificateOptions:
        return CertificateOptions(certificatePath(), trustRoot=ROOT.pem, **more)

    def visit(self, pem: bytes | None, **more: Any) -> Wire:
        context = peerContext(isClient=True)
        context.set_ciphers("ALL:@SECLEVEL=0")
        if pem is not None:
            context.load_cert_chain(write("visitor.pem", pem))
        wire = Wire(options=self.options(**more), context=context).handshake()
        wire.say(b"words")
        return wire

    def test_right(self) -> None:
        wire = self.visit(ROOT.issue(dns("client.test"), usage=ExtendedKeyUsageOID.CLIENT_AUTH))
        assert wire.protocol.events == ["made", "handshake", "data"]
        shown = wire.ours.getPeerCertificate(True)
        assert shown is not None
        assert shown["subjectAltName"] == (("DNS", "client.test"),)

    @pytest.mark.parametrize("kind", ["none", "foreign", "expired", "for servers only", "weak"])
    def test_wrong(self, kind: str) -> None:
        clients = ExtendedKeyUsageOID.CLIENT_AUTH
        pems: dict[str, Callable[[], Any]] = {
            "none": lambda: None,
            "foreign": lambda: FOREIGN.issue(dns("c"), usage=clients),
            "expired": lambda: ROOT.issue(dns("c"), usage=clients, begin=NOW - 9 * DAY, days=8),
            "for servers only": lambda: ROOT.issue(dns("c")),
            "weak": lambda: ROOT.issue(dns("c"), usage=clients, key=rsa.generate_private_key(65537, 1024)),
        }
        wire = self.visit(pems[kind]())
        assert wire.protocol.events == []
        assert [type(failure.value) for failure in wire.failures] == [error.SSLError]
        assert wire.raw.ended

    def test_revoked(self) -> None:
        good = ROOT.issue(dns("good"), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        bad = ROOT.issue(dns("bad"), usage=ExtendedKeyUsageOID.CLIENT_AUTH)
        revoked = x509.RevokedCertificateBuilder().serial_number(x509.load_pem_x509_certificate(bad).serial_number)
        entry = revoked.revocation_date(NOW - DAY).build()
        listed = x509.CertificateRevocationListBuilder().issuer_name(ROOT.name).last_update(NOW - DAY)
        crl = listed.next_update(NOW + DAY).add_revoked_certificate(entry).sign(ROOT.key, hashes.SHA256())
        path = write("revoked.pem", crl.public_bytes(serialization.Encoding.PEM))
        assert self.visit(good, revoked=path).protocol.events == ["made", "handshake", "data"]
        wire = self.visit(bad, revoked=path)
        assert wire.protocol.events == []
        assert "revoked" in str(wire.failures[0].value)

    def test_notRequired(self) -> None:
        assert self.visit(None, requireCertificate=False).protocol.events == ["made", "handshake", "data"]
        assert self.visit(FOREIGN.issue(dns("c")), requireCertificate=False).protocol.events == []


def test_clientCreator(world: World) -> None:
    port = world.reactor.listenSSL(0, world.serverFactory(), CertificateOptions(certificatePath()), interface=LOOPBACK)
    made: list[Any] = []
    creator = ClientCreator(world.reactor, Recorder)
    deferred = creator.connectSSL(LOOPBACK, port.getHost().port, optionsForClientTLS(HOST, TRUST))
    deferred.addCallback(made.append)
    world.until(lambda: made)
    assert made[0].events == ["made", "handshake"]
    failures: list[Any] = []
    creator.connectSSL(LOOPBACK, port.getHost().port, optionsForClientTLS("other.test", TRUST)).addErrback(
        failures.append
    )
    world.until(lambda: failures)
    assert failures[0].check(error.SSLError)


@pytest.mark.parametrize("isGood", [False, True])
def test_streamsForCoroutines(monkeypatch: pytest.MonkeyPatch, isGood: bool) -> None:
    """ssl=True means what no options mean elsewhere: asyncio's own would believe in a common name."""
    monkeypatch.setenv("SSL_CERT_FILE", write("trusted.pem", ROOT.pem))
    defaultClientContext.cache_clear()
    context = weakContext(ROOT.issue(dns("localhost") if isGood else [], common="localhost"))

    async def main() -> bytes:
        server = await asyncio.start_server(lambda _, writer: writer.close(), LOOPBACK, 0, ssl=context)
        async with server:
            reader, writer = await openConnection(
                LOOPBACK, server.sockets[0].getsockname()[1], ssl=True, server_hostname="localhost"
            )
            said = await reader.read(100)
            writer.close()
            return said

    if isGood:
        assert asyncio.run(main()) == b""
    else:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            asyncio.run(main())
    defaultClientContext.cache_clear()
