"""The other modules of `reactor.compat`: databases, certificates, inotify, test cases, small names, and the hook."""

from __future__ import annotations

import os
import pathlib
import sqlite3
import subprocess
import sys
import unittest as standard
from collections.abc import Iterator
from typing import Any

import pytest
import twisted.python.compat
import twisted.python.reflect

import reactor.compat
from reactor import ClientFactory, DatagramProtocol, Deferred, EpollReactor, Factory, Protocol
from reactor.compat import adbapi, inotify, main, pycompat, reflect, ssl, tcp, udp
from reactor.compat.counterparts import MODULES
from reactor.error import ConnectionDone, ConnectionLost
from reactor.interfaces import BytesLike
from reactor.porting.lookup import moduleFor
from tests.support.tlsworlds import TRUST, certificatePath
from tests.support.worlds import OURS, turnUntil

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture
def loop() -> Iterator[Any]:
    made = EpollReactor()
    yield made
    OURS.close(made)


def test_everyCounterpartIsThere() -> None:
    assert [name for name in MODULES if moduleFor(name) is None] == []
    assert [name for name in reactor.compat.MODULES if getattr(reactor.compat, name) is None] == []


def test_thePageShowsTheTable() -> None:
    """docs/porting.md has a row for each module of the table, and no other."""
    page = (ROOT / "docs" / "porting.md").read_text()
    table = page.split("<!-- modules -->")[1].split("<!-- /modules -->")[0]
    rows = dict(line.strip("| `").split("` | `") for line in table.strip().split("\n")[2:])
    assert rows == {name: counterpart.module for name, counterpart in MODULES.items()}


def test_main() -> None:
    assert isinstance(main.CONNECTION_DONE, ConnectionDone)
    assert isinstance(main.CONNECTION_LOST, ConnectionLost)


def test_smallNames() -> None:
    values: list[Any] = ["text", b"text"]
    for value in values:
        assert pycompat.nativeString(value) == twisted.python.compat.nativeString(value)
    assert list(pycompat.iterbytes(b"ab")) == list(twisted.python.compat.iterbytes(b"ab"))
    assert pycompat.networkString("a") == b"a"
    for wrong in ("ü", b"\xff"):
        with pytest.raises(UnicodeError):
            pycompat.nativeString(wrong)
    for name in ("os.path.join", "sys", "collections.OrderedDict.fromkeys"):
        assert reflect.namedAny(name) == twisted.python.reflect.namedAny(name)
    with pytest.raises(AttributeError):
        reflect.namedAny("os.nonsense")


def test_database(loop: Any, tmp_path: pathlib.Path) -> None:
    """Statements in threads, a transaction that is rolled back, and the end with the pool's close."""
    path = str(tmp_path / "file.db")
    pool = adbapi.ConnectionPool("sqlite3", path, check_same_thread=False, cp_reactor=loop, cp_max=1)
    results: list[Any] = []

    def wrong(transaction: Any) -> None:
        transaction.execute("insert into t values (3)")
        raise ValueError("no")

    pool.runOperation("create table t (n integer)")
    pool.runOperation("insert into t values (?)", (1,))
    pool.runInteraction(lambda transaction: transaction.execute("insert into t values (2)") and 5).addBoth(
        results.append
    )
    pool.runInteraction(wrong).addErrback(lambda failure: results.append(failure.type))
    pool.runQuery("select n from t order by n").addBoth(results.append)
    turnUntil(loop, lambda: len(results) == 3)
    assert results == [5, ValueError, [(1,), (2,)]]
    pool.close()
    assert not pool.running
    with sqlite3.connect(path) as other:
        assert other.execute("select count(*) from t").fetchone() == (2,)
    other.close()


def test_certificates() -> None:
    data = pathlib.Path(certificatePath()).read_bytes()
    found = ssl.PrivateCertificate.loadPEM(data)
    again = ssl.PrivateCertificate.loadPEM(found.dumpPEM())
    assert found == again
    assert ssl.Certificate.load(found.dump()) == found
    assert found.serialNumber() == again.serialNumber() != 0
    assert len(found.digest("sha256")) == 95
    assert found.options(found).getContext().verify_mode.name == "CERT_REQUIRED"
    assert ssl.KeyPair.load(found.privateKey.dump()).dump() == found.privateKey.dump()
    with pytest.raises(ValueError, match="no certificate"):
        ssl.Certificate.loadPEM(b"nonsense")
    with pytest.raises(ValueError, match="no certificate"):
        ssl.Certificate.load(b"nonsense")


def test_madeCertificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys, certificates and requests are made, and the made ones serve TLS. They are those of Twisted's interface."""
    key = ssl.KeyPair.generate(size=2048)
    own = key.selfSignedCert(77, CN="me", O="here")
    assert (own.serialNumber(), own.getSubject().CN, own.getIssuer().O) == (77, b"me", b"here")
    assert own.options(own).getContext().cert_store_stats()["x509"] == 1
    other = ssl.KeyPair.generate()
    for form in (1, 2):
        request = other.certificateRequest(ssl.DN(CN="you", OU="unit"), form)
        asked: list[Any] = []

        def ask(dn: Any, asked: list[Any] = asked) -> bool:
            asked.append(dn)
            return True

        made = key.signCertificateRequest(own.getSubject(), request, ask, 5, form, form)
        assert asked == [ssl.DN(CN="you", OU="unit")]
        certificate = other.newCertificate(made, form)
        assert (certificate.getSubject(), certificate.getIssuer()) == (asked[0], own.getSubject())
        certificate.options(own).getContext()
        with pytest.raises(ssl.VerifyError):
            key.signCertificateRequest(own.getSubject(), request, lambda dn: False, 5, form)
    allowed: Deferred[bool] = Deferred()
    later = key.signCertificateRequest(own.getSubject(), other.certificateRequest(ssl.DN(CN="x")), lambda _: allowed, 6)
    allowed.callback(True)
    assert ssl.Certificate.load(later.result).serialNumber() == 6
    with pytest.raises(ValueError, match="no certificate request in PEM"):
        key.signCertificateRequest(own.getSubject(), b"nonsense", lambda dn: True, 5, 1)
    with pytest.raises(ValueError, match="'nonsense' is no attribute"):
        key.selfSignedCert(1, nonsense="x")
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.rsa", None)
    with pytest.raises(NotImplementedError, match="pip install cryptography"):
        ssl.KeyPair.generate()


@pytest.mark.parametrize("base", [None, Factory, Protocol])
def test_methodNames(base: Any) -> None:
    """addMethodNamesToDict collects what Twisted's collects."""

    class Some(Factory[Any]):
        def build(self) -> None: ...
        def buildMore(self) -> None: ...

    ours, theirs = dict[str, int](), dict[str, int]()
    reflect.addMethodNamesToDict(Some, ours, "build", base)
    twisted.python.reflect.addMethodNamesToDict(Some, theirs, "build", base)
    assert ours == theirs
    assert ("More" in ours) == (base is not Protocol)


@pytest.mark.parametrize("kind", ["ours", "pyOpenSSL"])
def test_certificateOptions(loop: Any, kind: str) -> None:
    """Both kinds of objects serve TLS, to a client that must show the certificate."""
    data = pathlib.Path(certificatePath()).read_bytes()
    key: Any = ssl.KeyPair.load(data, 1)
    certificate: Any = ssl.Certificate.loadPEM(data)
    if kind == "pyOpenSSL":
        crypto = pytest.importorskip("OpenSSL.crypto")
        key, certificate = crypto.load_privatekey(1, data), crypto.load_certificate(1, data)
    trusted = ssl.Certificate.loadPEM(TRUST)
    server = ssl.CertificateOptions(key, certificate, verify=True, caCerts=[trusted], acceptableProtocols=[b"x"])
    both = ssl.CertificateOptions(key, certificate, trustRoot=trusted, acceptableProtocols=[b"x"])
    got: list[bytes] = []

    class Sends(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")

    class Takes(Protocol):
        def dataReceived(self, data: BytesLike) -> None:
            got.append(bytes(data) + (self.transport.negotiatedProtocol or b""))

    port = loop.listenSSL(0, Factory.forProtocol(Sends), server, interface="127.0.0.1")
    factory = ClientFactory.forProtocol(Takes)
    connector = loop.connectSSL("127.0.0.1", port.getHost().port, factory, both)
    turnUntil(loop, lambda: got == [b"hellox"])
    connector.disconnect()
    port.stopListening()
    turnUntil(loop, lambda: connector.state == "disconnected")


def test_certificateOptionsRefused() -> None:
    """The wrong uses that Twisted refuses are refused here, by the same errors."""
    certificate = ssl.Certificate.loadPEM(pathlib.Path(certificatePath()).read_bytes())
    for error, kw in (
        (ValueError, {"certificate": certificate}),
        (ValueError, {"verify": True}),
        (ValueError, {"extraCertChain": [certificate]}),
        (TypeError, {"trustRoot": certificate, "caCerts": [certificate]}),
        (TypeError, {"trustRoot": object()}),
    ):
        with pytest.raises(error):
            ssl.CertificateOptions(**kw)
    assert ssl.CertificateOptions().getContext().verify_mode.name == "CERT_NONE"
    assert ssl.CertificateOptions(trustRoot=ssl.platformTrust()).getContext().get_ca_certs() is not None


def test_portsAndConnectorsOfTheProgram(loop: Any) -> None:
    """tcp.Port, tcp.Connector and udp.Port take the reactor last, and what a reactor makes is an instance of them."""
    got: list[bytes] = []

    class Sends(Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")

    class Takes(Protocol):
        def dataReceived(self, data: BytesLike) -> None:
            got.append(bytes(data))

    port = tcp.Port(0, Factory.forProtocol(Sends), interface="127.0.0.1", reactor=loop)
    port.startListening()
    connector = tcp.Connector("0.0.0.0", None, ClientFactory.forProtocol(Takes), 30, None, loop)
    connector.host, connector.port = "127.0.0.1", port.getHost().port
    connector.connect()
    datagrams = udp.Port(0, DatagramProtocol(), "127.0.0.1", reactor=loop)
    datagrams.startListening()
    turnUntil(loop, lambda: got == [b"hello"])
    connector.disconnect()
    turnUntil(loop, lambda: connector.state == "disconnected")
    for each in (port, datagrams):
        each.stopListening()
    other = loop.listenTCP(0, Factory.forProtocol(Sends), interface="127.0.0.1")
    assert isinstance(other, tcp.Port)
    assert not isinstance(other, tcp.Connector | udp.Port)

    class Own(tcp.Port):
        pass

    assert issubclass(Own, tcp.Port)
    assert not isinstance(other, Own)
    other.stopListening()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux's")
def test_inotify(loop: Any, tmp_path: pathlib.Path) -> None:
    told: list[Any] = []
    watcher = inotify.INotify(loop)
    watcher.startReading()
    watcher.watch(str(tmp_path), autoAdd=True, callbacks=[lambda _, path, mask: told.append((path.path, mask))])
    (tmp_path / "a").write_bytes(b"1")
    turnUntil(loop, lambda: (str(tmp_path / "a"), inotify.IN_MODIFY) in told)
    (tmp_path / "d").mkdir()
    turnUntil(loop, lambda: (str(tmp_path / "d"), inotify.IN_CREATE | inotify.IN_ISDIR) in told)
    (tmp_path / "d" / "b").write_bytes(b"1")
    turnUntil(loop, lambda: any(path == str(tmp_path / "d" / "b") for path, _ in told))
    with pytest.raises(inotify.INotifyError):
        watcher.watch(str(tmp_path / "missing"))
    watcher.loseConnection()
    assert inotify.humanReadableMask(inotify.IN_CREATE | inotify.IN_ISDIR) == ["create", "is_dir"]


CASES = """
import reactor
from reactor import Deferred
from reactor.compat import log, unittest
trace = []
class Tests(unittest.TestCase):
    timeout = 5
    def setUp(self):
        self.addCleanup(trace.append, "cleanup")
    def tearDown(self):
        trace.append("tearDown")
    def test_deferred(self):
        d = Deferred(); reactor.callLater(0, d.callback, None); return d
    async def test_coroutine(self):
        d = Deferred(); reactor.callLater(0, d.callback, 7); self.assertEqual(await d, 7)
    def test_bad_failure(self):
        d = Deferred(); reactor.callLater(0, d.errback, ValueError("no")); return d
    def test_bad_logged(self):
        log.err(ValueError("logged"))
    def test_flushed(self):
        log.msg("without a failure", isError=1)
        log.err(ValueError("logged")); self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
    def test_bad_dirty(self):
        reactor.callLater(60, print)
    def test_bad_port(self):
        reactor.listenTCP(0, reactor.Factory(), interface="127.0.0.1")
    def test_refused(self):
        class Refused(reactor.DatagramProtocol):
            def startProtocol(self):
                self.transport.connect("127.0.0.1", 1); self.transport.write(b"x")
            def connectionRefused(self):
                self.transport.stopListening()
        reactor.listenUDP(0, Refused(), interface="127.0.0.1")
    def test_bad_late(self):
        self.timeout = 0.01
        return Deferred()
    def test_todo(self):
        self.fail()
    test_todo.todo = "later"
    def test_skipped(self):
        pass
    test_skipped.skip = "why"
    def test_results(self):
        self.assertNoResult(Deferred())
        self.assertEqual(self.successResultOf(reactor.succeed(3)), 3)
        self.failureResultOf(reactor.fail(KeyError()), KeyError)
        return self.assertFailure(reactor.fail(KeyError()), KeyError)
"""


def test_testCase(tmp_path: pathlib.Path) -> None:
    """With unittest and with pytest: the same tests fail, and no others. Cleanups come before tearDown."""
    (tmp_path / "test_cases.py").write_text(CASES)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    program = (
        "import unittest, test_cases as t\n"
        "r = unittest.TestResult()\n"
        "unittest.defaultTestLoader.loadTestsFromTestCase(t.Tests).run(r)\n"
        "names = sorted({test.id().split('.')[-1] for test, _ in r.errors + r.failures})\n"
        "print(names, len(r.skipped), len(r.expectedFailures), t.trace[:2])"
    )
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    bad = ["test_bad_dirty", "test_bad_failure", "test_bad_late", "test_bad_logged", "test_bad_port"]
    assert ran.stdout == f"{bad} 1 1 ['cleanup', 'tearDown']\n", ran.stderr
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_cases.py"]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "5 failed, 5 passed, 1 skipped, 1 xfailed" in ran.stdout, ran.stdout
    assert issubclass(reactor.compat.unittest.TestCase, standard.TestCase)


HOOK = """
import reactor, reactor.compat
reactor.compat.install(); reactor.compat.install()
from twisted.internet import reactor as theirs, defer, protocol
from twisted.internet.interfaces import IProtocol, IReactorTCP
assert theirs is reactor and defer is reactor.defer and protocol.Protocol is reactor.Protocol
assert IProtocol.providedBy(reactor.Protocol()) and IReactorTCP.providedBy(reactor)
import zope.interface, reactor.interfaces, twisted.internet.interfaces
@zope.interface.implementer(reactor.interfaces.IStreamServerEndpointStringParser)
class Parser: pass
assert twisted.internet.interfaces.IStreamServerEndpointStringParser.providedBy(Parser())
from twisted.words.protocols import irc
got = []
class Server(irc.IRC):
    def irc_unknown(self, prefix, command, params):
        if command == "PING":
            self.sendMessage("PONG", *params)
class Client(irc.IRCClient):
    performLogin = False
    def connectionMade(self):
        irc.IRCClient.connectionMade(self)
        self.sendLine("PING :hello")
    def irc_PONG(self, prefix, params):
        got.extend(params)
        reactor.stop()
port = reactor.listenTCP(0, protocol.ServerFactory.forProtocol(Server), interface="127.0.0.1")
reactor.connectTCP("127.0.0.1", port.getHost().port, protocol.ClientFactory.forProtocol(Client))
reactor.callLater(20, reactor.stop)
reactor.run()
print(got)
"""
TOO_LATE = """
import twisted.internet.reactor, reactor.compat
try:
    reactor.compat.install()
except reactor.error.ReactorAlreadyInstalledError as error:
    print(error)
"""


def test_hook() -> None:
    """Twisted's IRC runs on our reactor."""
    ran = subprocess.run([sys.executable, "-c", HOOK], capture_output=True, text=True, check=False)
    assert ran.stdout == "['hello']\n", ran.stderr


def test_hookTooLate() -> None:
    ran = subprocess.run([sys.executable, "-c", TOO_LATE], capture_output=True, text=True, check=False)
    assert "was imported before reactor.compat.install() was called" in ran.stdout, ran.stderr


OWN_TESTS = """
import sys, unittest, warnings
import reactor.compat
reactor.compat.install()
warnings.simplefilter("ignore")
result = unittest.TestResult()
unittest.defaultTestLoader.loadTestsFromName(sys.argv[1]).run(result)
bad = sorted({test.id().rpartition(".")[2] for test, _ in result.failures + result.errors})
print(result.testsRun, bad, file=sys.__stdout__)
"""
# The bad ones want pyOpenSSL's objects, or return a Deferred that never fires to a SynchronousTestCase.
BAD = {
    "twisted.words.test.test_irc": [],
    "twisted.test.test_sip": [],
    "twisted.test.test_ftp": [],
    "twisted.test.test_amp": [
        *("test_anonymousVerifyingClient", "test_negotiationFailed", "test_negotiationFailedByClosing"),
        *("test_startTooManyTimes", "test_startingTLS"),
    ],
    "twisted.test.test_memcache": [],
    "twisted.mail.test.test_imap": [
        *("testAPileOfThings", "testLoginLogin", "testMultipleMultiPart", "testSingleMultiPart", "testSinglePart"),
        *("test_doubleSTARTTLS", "test_multiPartNoBoundary", "test_multiPartNoQuotes", "test_startTLS"),
        *("test_startTLSDefault", "test_startTLSWithExistingChallengers"),
    ],
    "twisted.mail.test.test_pop3": [],
    "twisted.mail.test.test_pop3client": [],
    "twisted.mail.test.test_smtp": ["testTLS", "test_ESMTPSenderFactory_TLSError"],
    "twisted.conch.test.test_telnet": [],
}


@pytest.mark.parametrize("module", BAD)
def test_twistedsOwnTests(module: str, tmp_path: pathlib.Path) -> None:
    """Twisted's tests of its protocols pass with our protocols, Deferreds, addresses and reactor below them."""
    command = [sys.executable, "-c", OWN_TESTS, module]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    count, _, bad = ran.stdout.strip().partition(" ")
    assert bad == str(BAD[module]), ran.stderr
    assert int(count) > 30
