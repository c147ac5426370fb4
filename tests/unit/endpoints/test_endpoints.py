"""Endpoints: their strings, read as Twisted reads them, and what listening and connecting through them does."""

from __future__ import annotations

import datetime
import errno
import os
import pathlib
import socket
import ssl
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.endpoints as model
from hypothesis import example, given
from hypothesis import strategies as st

from reactor.address import HostnameAddress
from reactor.defer import Deferred
from reactor.endpoints import (
    HostnameEndpoint,
    ProcessEndpoint,
    SSL4ClientEndpoint,
    StandardIOEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    TCP6ClientEndpoint,
    TCP6ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    clientFromString,
    connectProtocol,
    quoteStringArgument,
    serverFromString,
    wrapClientTLS,
    wrapServerTLS,
)
from reactor.endpoints.pemfiles import PEMDirectory, namesOf, trustIn
from reactor.endpoints.strings import serverArguments, split
from reactor.error import (
    BadFileError,
    CannotListenError,
    ConnectingCancelledError,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
    SSLError,
)
from reactor.failure import Failure
from reactor.haproxy import proxyClientEndpoint
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Factory, Protocol, ServerFactory
from reactor.testing import MemoryReactor
from reactor.tlsoptions import RELOAD_INTERVAL, CertificateOptions
from tests.support.tlsworlds import CA, HOST, TRUST, certificatePath, clientOptions, pemOf, serverOptions, write
from tests.support.worlds import silentServer

SERVERS = [
    "tcp:80",
    "tcp:80:interface=127.0.0.1",
    "tcp:80:backlog=10",
    "tcp:port=80",
    "tcp:port=80:interface=1.2.3.4:backlog=7",
    "tcp:80:127.0.0.1",
    "tcp:80:127.0.0.1:5",
    "tcp: 80",
    "tcp:-1",
    "tcp:8_0",
    "tcp:80:interface",
    "tcp:80:interface=",
    "tcp:80:interface=a=b",
    "tcp:80:backlog=5:backlog=6",
    "tcp6:80",
    "tcp6:80:9",
    "tcp6:80:9:\\:\\:1",
    "tcp6:80:interface=\\:\\:1",
    "tcp6:80:interface=a\\=b\\\\c",
    "=:x",
    "key=tcp:tcp:80",
    "tc\\p:80",
    "",
    ":",
    "tcp",
    "tcp:",
    "TCP:80",
    "tc:80",
    "tcp:a",
    "tcp:80:x=1",
    "tcp:80:backlog=x",
    "tcp:80:::1",
    "tcp:80:port=81",
    "tcp:80:interface=a=b:c",
    "tcp:80\\",
    "tcp=x:80",
    "foo:1",
    "80",
    "unix:/x:mode=600",
    "unix:/x:600:7:0",
    "unix:address=/x:mode=660:backlog=3:lockfile=0",
    "unix:/x:mode=600:lockfile=1",
    "unix:/x:mode=9",
    "unix:/x:lockfile=no",
    "unix",
    "UNIX:/x:mode=600",
    "TCP6:80",
    "stdio:",
    "stdio",
    "STDIO:",
    "systemd:domain=INET",
    "systemd:domain=INET:index=0",
    "systemd:domain=INET:index=0:name=x",
    "systemd:domain=INET:name=x",
]

CLIENTS = [
    "tcp:h:80",
    "TCP:h:80",
    "Tcp:h:80",
    "tcp:80:host=h",
    "tcp:host=h:port=80",
    "tcp:h:port=80:timeout=3:bindAddress=1.2.3.4",
    "tcp:h:80:host=other",
    "tcp:\\:\\:1:80",
    "tcp:h",
    "tcp:80:port=80",
    "tcp:h:80:5",
    "tcp:h:80:x=1",
    "tcp:h:80:timeout=0.5",
    "tcp:h:x",
    "h:80",
    "unix:/x",
    "unix:path=/x:timeout=9:lockfile=1",
    "UNIX:/x:lockfile=0",
    "unix:/x:timeout=x",
    "unix:timeout=3",
    "",
    "a=b",
]


def outcome(read: Callable[[Any, str], Any], description: str) -> Any:
    """The endpoint that `read` makes, as plain values; "refused" for an error of whatever type."""
    try:
        endpoint = read(None, description)
    except (ValueError, TypeError, RuntimeError, LookupError, OSError):
        return "refused"
    return type(endpoint).__name__, dict(vars(endpoint))


@pytest.mark.parametrize("description", SERVERS)
def test_serverStringsAsTwistedReadsThem(description: str) -> None:
    assert outcome(serverFromString, description) == outcome(model.serverFromString, description)


@pytest.mark.parametrize("description", CLIENTS)
def test_clientStringsAsTwistedReadsThem(description: str) -> None:
    assert outcome(clientFromString, description) == outcome(model.clientFromString, description)


def test_theListsHoldBoth() -> None:
    """The comparison is of endpoints and of refusals, not of one of them only."""
    for read, descriptions in ((model.serverFromString, SERVERS), (model.clientFromString, CLIENTS)):
        refused = [outcome(read, description) == "refused" for description in descriptions]
        assert any(refused)
        assert not all(refused)


@given(st.text(alphabet=":=\\ab1", max_size=20))
@example("a:=b:\\=c")
def test_fieldsAsTwistedSplitsThem(description: str) -> None:
    try:
        theirs = model._parse(description)
    except RuntimeError:
        with pytest.raises(ValueError, match="ends in a backslash"):
            split(description)
        return
    assert split(description) == theirs


@given(st.text(max_size=30))
def test_aQuotedArgumentStandsForItself(text: str) -> None:
    assert quoteStringArgument(text) == model.quoteStringArgument(text)
    assert serverArguments(f"tcp:1:interface={quoteStringArgument(text)}")[2]["interface"] == text


@pytest.mark.parametrize(
    ("read", "description", "message"),
    [
        (serverFromString, "foo:/x", "unknown endpoint type 'foo', the types here are tcp, unix, ssl, tcp6, tls, "),
        (serverFromString, "", "unknown endpoint type ''"),
        (serverFromString, "a=b", "does not begin with its type"),
        (serverFromString, "tcp", "a tcp endpoint needs a port"),
        (serverFromString, "tcp:x", "the port of a tcp endpoint is a whole number, not 'x'"),
        (serverFromString, "tcp6:1:name=x", "tcp6 endpoints have no field 'name', they have port, backlog, interface"),
        (serverFromString, "tcp:1:::1", r"too many fields .* \(a colon inside a field is written \\:\)"),
        (serverFromString, "tcp:1:port=2", "two values for port"),
        (clientFromString, "foo:h:1", "unknown endpoint type 'foo', the types here are tcp, tcp6, hostname, unix"),
        (clientFromString, "unix:a:b", "too many fields for a unix endpoint, which has path, timeout, lockfile"),
        (clientFromString, "unix", "a unix endpoint needs a path"),
        (clientFromString, "hostname:h:1:attemptDelay=x", "the attemptDelay of a hostname endpoint is a number"),
        (serverFromString, "unix:/x:mode=9", "the mode of a unix endpoint is an octal number, not '9'"),
        (serverFromString, "unix:/x:lockfile=x", "the lockfile of a unix endpoint is 0 or 1"),
        (serverFromString, "stdio:1", "too many fields for a stdio endpoint, which has none"),
        (serverFromString, "ssl:1:sslmethod=TLSv1_METHOD", "negotiated, from 1.2 on; sslmethod=TLSv1_METHOD"),
        (serverFromString, "systemd:domain=INET", "needs an index or a name, and not both"),
        (serverFromString, "systemd:domain=IPX:index=0", "is INET, INET6 or UNIX, not 'IPX'"),
        (serverFromString, "systemd:domain=UNIX:index=0", "0 sockets were passed to this process"),
        (serverFromString, "systemd:domain=UNIX:name=x", "no socket called 'x' .* its names are none"),
        (clientFromString, "tcp:h", "a tcp endpoint needs a port"),
        (clientFromString, "tcp:a:b:c", "too many fields"),
    ],
)
def test_whatIsWrongIsSaid(read: Callable[[Any, str], Any], description: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(None, description)


@pytest.fixture(scope="module")
def theLoop() -> EpollReactor:
    return EpollReactor()


@pytest.fixture
def loop(theLoop: EpollReactor) -> Iterator[EpollReactor]:
    """One reactor for all: it can run again. A test that hangs is stopped."""
    tooLong = theLoop.callLater(20, theLoop.stop)
    yield theLoop
    tooLong.cancel()
    assert theLoop.getDelayedCalls() == []


def resultOf(loop: EpollReactor, start: Callable[..., Deferred[Any]]) -> Any:
    """Run until what `start` returns has its result; return that."""
    results: list[Any] = []

    def begin() -> None:
        start().addBoth(results.append).addCallback(lambda _: loop.callLater(0, loop.stop))

    loop.callWhenRunning(begin)
    loop.run()
    (result,) = results
    return result


def listening(loop: EpollReactor, endpoint: Any, factory: Any = None) -> Any:
    """Return the result of listen(): it is there at once."""
    results: list[Any] = []
    endpoint.listen(factory or ServerFactory.forProtocol(Protocol)).addBoth(results.append)
    (result,) = results
    return result


@pytest.mark.parametrize(
    ("description", "host"), [("tcp:0:interface=127.0.0.1", "127.0.0.1"), ("tcp6:0:interface=\\:\\:1", "::1")]
)
def test_listen(loop: EpollReactor, description: str, host: str) -> None:
    port = listening(loop, serverFromString(loop, description))
    assert port.getHost().host == host
    loop.disconnectAll()
    loop.iterate()


def test_listenFails(loop: EpollReactor) -> None:
    port = listening(loop, TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"))
    second = listening(loop, TCP4ServerEndpoint(loop, port.getHost().port, interface="127.0.0.1"))
    assert second.check(CannotListenError)
    assert listening(loop, TCP6ServerEndpoint(loop, 70000)).check(ValueError)
    loop.disconnectAll()
    loop.iterate()


class Trace(Protocol):
    """Writes down what happens, in order."""

    def __init__(self, failing: bool = False) -> None:
        self.events: list[Any] = []
        self.failing = failing

    def connectionMade(self) -> None:
        self.events.append("made")
        if self.failing:
            raise LookupError("no")

    def dataReceived(self, data: bytes) -> None:
        self.events.append(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")


class Greeter(Protocol):
    def connectionMade(self) -> None:
        self.transport.write(b"hello")
        self.transport.loseConnection()


def portOf(loop: EpollReactor) -> int:
    port = listening(loop, TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"), ServerFactory.forProtocol(Greeter))
    return int(port.getHost().port)


@pytest.mark.parametrize("bindAddress", [None, "127.0.0.1", ("127.0.0.1", 0)])
def test_connect(loop: EpollReactor, bindAddress: Any) -> None:
    """The Deferred has the protocol after its connectionMade, before its first byte; no wrapper is left in between."""
    port = portOf(loop)
    seen: list[Any] = []
    protocol = Trace()

    def connected(result: Any) -> Deferred[None]:
        seen.append((result, result.transport.protocol, list(result.events)))
        ended: Deferred[None] = Deferred()
        protocol.connectionLost = lambda reason=None: ended.callback(None)  # type: ignore[method-assign]
        return ended

    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port, bindAddress=bindAddress)
    resultOf(loop, lambda: connectProtocol(endpoint, protocol).addCallback(connected))
    assert seen == [(protocol, protocol, ["made"])]
    assert protocol.events == ["made", b"hello"]


def test_connectFromString(loop: EpollReactor) -> None:
    port = portOf(loop)
    endpoint = clientFromString(loop, f"tcp:127.0.0.1:{port}:timeout=5")
    counts: list[int] = []
    factory = Factory.forProtocol(Trace)
    factory.startFactory = lambda: counts.append(factory.numPorts)  # type: ignore[method-assign]
    result = resultOf(loop, lambda: endpoint.connect(factory))
    assert isinstance(result, Trace)
    assert result.factory is factory
    assert (counts, factory.numPorts) == ([0], 0)


def test_refused(loop: EpollReactor) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", port)
    assert resultOf(loop, lambda: connectProtocol(endpoint, Trace())).check(ConnectionRefusedError)


def test_notEvenBegun(loop: EpollReactor) -> None:
    assert resultOf(loop, lambda: connectProtocol(TCP4ClientEndpoint(loop, "h", 70000), Trace())).check(ValueError)


def test_noProtocol(loop: EpollReactor) -> None:
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))

    class Refusing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> None:
            return None

    class Failing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> Any:
            raise LookupError("no")

    def both() -> Deferred[Any]:
        outcomes: list[Any] = []
        first = endpoint.connect(Refusing()).addErrback(outcomes.append)
        second = endpoint.connect(Failing()).addErrback(outcomes.append)
        return first.addCallback(lambda _: second).addCallback(lambda _: outcomes)

    outcomes = resultOf(loop, both)
    assert {outcome.type for outcome in outcomes} == {NoProtocol, LookupError}


def test_connectionMadeRaises(loop: EpollReactor) -> None:
    """The Deferred fails with it. (Twisted's never fires.)"""
    protocol = Trace(failing=True)
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))
    result = resultOf(loop, lambda: connectProtocol(endpoint, protocol))
    assert result.check(LookupError)
    assert protocol.events == ["made", "lost"]


def test_cancel(loop: EpollReactor) -> None:
    endpoint = TCP4ClientEndpoint(loop, "127.0.0.1", portOf(loop))
    protocol = Trace()

    def start() -> Deferred[Any]:
        connecting = connectProtocol(endpoint, protocol)
        connecting.cancel()
        return connecting

    assert resultOf(loop, start).check(ConnectingCancelledError)
    assert protocol.events == []


def test_ipv6(loop: EpollReactor) -> None:
    """By address and by name; the name's IPv6 address is taken."""
    port = (
        listening(loop, serverFromString(loop, "tcp6:0:interface=\\:\\:1"), ServerFactory.forProtocol(Greeter))
        .getHost()
        .port
    )
    peers: list[str] = []

    def connect(host: str) -> Deferred[Any]:
        connecting = connectProtocol(TCP6ClientEndpoint(loop, host, port), Trace())
        return connecting.addCallback(lambda protocol: peers.append(protocol.transport.getPeer().host))

    real = socket.getaddrinfo

    def lookUp(host: str, port: int, *rest: Any, **named: Any) -> Any:
        if host != "six.example":
            return real(host, port, *rest, **named)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookUp)
        resultOf(loop, lambda: connect("::1").addCallback(lambda _: connect("six.example")))
    assert peers == ["::1", "::1"]


@pytest.mark.parametrize("answer", [["127.0.0.1"], socket.gaierror(-2, "Name or service not known")])
def test_noIPv6Address(loop: EpollReactor, answer: Any) -> None:
    def lookUp(host: str, port: int, **_: object) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookUp)
        result: Failure = resultOf(loop, lambda: connectProtocol(TCP6ClientEndpoint(loop, "x.example", 1), Trace()))
    assert result.check(DNSLookupError)
    assert "x.example" in str(result.value)


@pytest.mark.parametrize("kind", [TCP4ClientEndpoint, TCP6ClientEndpoint, HostnameEndpoint])
@pytest.mark.parametrize("how", ["raises", "coroutine"])
def test_aResolverThatRaises(loop: EpollReactor, kind: Any, how: str) -> None:
    """It fails the Deferred of connect(), which never raises."""

    def raises(name: str, timeout: Any = None) -> Any:
        raise LookupError(name)

    async def coroutine(name: str, timeout: Any = None) -> Any:
        raise LookupError(name)

    before: Any = loop.installResolver(SimpleNamespace(getHostByName=raises if how == "raises" else coroutine))
    result = resultOf(loop, lambda: connectProtocol(kind(loop, "x.example", 1), Trace()))
    loop.installResolver(before)
    assert result.check(LookupError)


def test_ipv6LookupGivenUp(loop: EpollReactor) -> None:
    """Cancelling says the same before and after the name has been looked up."""
    failures: list[Any] = []
    before: Any = loop.installResolver(SimpleNamespace(getHostByName=lambda name, timeout=None: Deferred()))
    connecting = connectProtocol(TCP6ClientEndpoint(loop, "x.example", 1), Trace())
    connecting.addErrback(failures.append)
    connecting.cancel()
    loop.installResolver(before)
    assert failures[0].check(ConnectingCancelledError)
    assert failures[0].value.address == HostnameAddress(b"x.example", 1)


class Files:
    """Directories of certificates, and a path for a UNIX socket."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        self.trust = self.directory("trust", ca=TRUST)
        self.pems = self.directory("pems", a=pathlib.Path(certificatePath()).read_bytes())

    def directory(self, name: str, **files: bytes) -> str:
        path = self.root / name
        path.mkdir()
        for stem, content in files.items():
            (path / f"{stem}.pem").write_bytes(content)
        return str(path)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)


def talk(loop: EpollReactor, server: str, client: str, protocol: Any = None) -> Any:
    """Return the result of connecting from `client` to `server`; the greeting has come, if there is a connection."""
    port = listening(loop, serverFromString(loop, server), ServerFactory.forProtocol(Greeter))
    assert not isinstance(port, Failure), port
    client = client.replace("PORT", str(getattr(port.getHost(), "port", "")))
    protocol = protocol or Trace()

    def connected(result: Any) -> Deferred[Any]:
        ended: Deferred[Any] = Deferred()
        protocol.connectionLost = lambda reason=None: ended.callback(result)
        return ended

    return resultOf(loop, lambda: connectProtocol(clientFromString(loop, client), protocol).addCallback(connected))


def test_everyKindOfStringConnects(loop: EpollReactor, files: Files) -> None:
    key = certificatePath()
    path = quoteStringArgument(str(files.root / "socket"))
    there = "endpoint=tcp6\\:\\\\\\:\\\\\\:1\\:PORT"
    for server, client in (
        ("tcp:0:interface=127.0.0.1", "tcp:127.0.0.1:PORT"),
        ("tcp6:0:interface=\\:\\:1", "tcp6:\\:\\:1:PORT"),
        ("tcp:0:interface=127.0.0.1", "hostname:127.0.0.1:PORT"),
        (f"unix:{path}", f"unix:{path}:lockfile=1"),
        (f"ssl:0:interface=127.0.0.1:privateKey={key}", f"ssl:127.0.0.1:PORT:caCertsDir={files.trust}"),
        (f"ssl:0:interface=127.0.0.1:privateKey={key}", f"ssl:127.0.0.1:PORT:caCertsDir={files.trust}:hostname={HOST}"),
        (
            f"ssl:0:127.0.0.1:privateKey={key}".replace("0:127", "0:interface=127"),
            f"tls:127.0.0.1:PORT:trustRoots={files.trust}",
        ),
        (f"tls:{files.pems}:port=0:interface=\\:\\:1", f"tls:\\:\\:1:PORT:trustRoots={files.trust}"),
        (f"tls:{files.pems}:0:5:\\:\\:1", f"tls:{HOST}:PORT:trustRoots={files.trust}:{there}"),
    ):
        result = talk(loop, server, client)
        assert isinstance(result, Trace), (server, client, result)
        assert result.events == ["made", b"hello"]


def test_tlsStringsVerify(loop: EpollReactor, files: Files) -> None:
    """Another name, and a certificate of nobody that is trusted: no connection, no connectionMade."""
    server = f"ssl:0:interface=127.0.0.1:privateKey={certificatePath()}"
    for client in (
        f"ssl:127.0.0.1:PORT:caCertsDir={files.trust}:hostname=other.test",
        "ssl:127.0.0.1:PORT",
        f"tls:other.test:PORT:trustRoots={files.trust}:endpoint=tcp\\:127.0.0.1\\:PORT",
    ):
        protocol = Trace()
        assert talk(loop, server, client, protocol).check(SSLError), client
        assert protocol.events == []


def test_clientCertificate(loop: EpollReactor, files: Files) -> None:
    """In one file or in two; the server's protocol sees whose it is."""
    own = CA.issue_cert("client.test")
    (files.root / "own.pem").write_bytes(pemOf(own))
    (files.root / "own.crt").write_bytes(own.cert_chain_pems[0].bytes())
    (files.root / "own.key").write_bytes(own.private_key_pem.bytes())
    seen: list[Any] = []

    class Asking(Protocol):
        def connectionMade(self) -> None:
            certificate = self.transport.getPeerCertificate(parsed=True)
            assert certificate is not None
            seen.append(certificate["subjectAltName"])
            self.transport.loseConnection()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=TRUST.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificatePath())
    for fields in (f"certKey={files.root}/own.pem", f"certKey={files.root}/own.crt:privateKey={files.root}/own.key"):
        factory = ServerFactory.forProtocol(Asking)
        port = loop.listenSSL(0, factory, context, interface="127.0.0.1").getHost().port
        client = clientFromString(loop, f"ssl:127.0.0.1:{port}:caCertsDir={files.trust}:{fields}")
        ended: Deferred[Any] = Deferred()
        protocol: Any = Trace()
        protocol.connectionLost = lambda reason=None, ended=ended: ended.callback(None)

        def start(client: Any = client, protocol: Any = protocol, ended: Any = ended) -> Deferred[Any]:
            return connectProtocol(client, protocol).addCallback(lambda _: ended)

        assert resultOf(loop, start) is None
    assert seen == [(("DNS", "client.test"),)] * 2


def test_aChainOfItsOwn(files: Files) -> None:
    """extraCertChain is sent after the certificate; a change of the file counts; one without any is an error."""
    chain, root = files.root / "chain.pem", files.root
    own = CA.issue_cert("chained.test")
    (root / "c.crt").write_bytes(own.cert_chain_pems[0].bytes())
    (root / "c.key").write_bytes(own.private_key_pem.bytes())
    chain.write_bytes(TRUST)
    before = set(os.listdir("/tmp"))
    text = f"ssl:0:privateKey={root}/c.key:certKey={root}/c.crt:extraCertChain={chain}:dhParameters=/nowhere"
    options = serverFromString(None, text)._sslContextFactory
    assert options.certificate == f"{root}/c.crt"
    assert namesOf(options) == ["chained.test"]
    assert not [name for name in set(os.listdir("/tmp")) - before if name.startswith("reactor-chain-")]
    chain.write_bytes(b"nothing")
    assert options._stateOfFiles() != options._state
    with pytest.raises(ValueError, match="no certificate in PEM format"):
        serverFromString(None, text)


def test_directoriesOfCertificates(files: Files) -> None:
    with pytest.raises(ValueError, match=r"no certificate in a file \*.pem"):
        trustIn(files.directory("empty"))
    with pytest.raises(ValueError, match="no certificate with its key"):
        PEMDirectory(files.trust)
    assert trustIn(None) is None
    known = PEMDirectory(files.pems)
    assert known.find(HOST) is known.options().default
    assert known.find("new.test") is None
    assert known.find("any.wild.test") is None
    pathlib.Path(files.pems, "b.pem").write_bytes(pemOf(CA.issue_cert("new.test", "*.wild.test")))
    os.utime(files.pems, ns=(1, 1))
    assert known.find("new.test") is known.find("any.wild.test") is not None
    expired = CA.issue_cert("old.test", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    old = PEMDirectory(files.directory("old", **{"old.test": pemOf(expired)}))
    assert old.find("old.test") is not None


def test_directoriesAreReadAgain(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure of the system, though nothing has changed since, but not for each name that is asked for.

    Files that do not hold together are read again when the directory has changed.
    """
    now = 0.0
    known = PEMDirectory(files.pems, lambda: now)
    new = pathlib.Path(files.pems, "b.pem")
    new.write_bytes(pemOf(CA.issue_cert("new.test")))
    os.utime(files.pems, ns=(1, 1))
    reads: list[object] = []

    def failing(path: pathlib.Path) -> bytes:
        reads.append(path)
        raise OSError(errno.EMFILE, "none is free")

    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "read_bytes", failing)
        with pytest.raises(OSError, match="none is free"):
            known.find("new.test")
        assert known.find("new.test") is None
        assert len(reads) == 1
    now += RELOAD_INTERVAL
    assert known.find("new.test") is not None
    new.write_bytes(b"-----BEGIN PRIVATE KEY-----")
    os.utime(files.pems, ns=(2, 2))
    with pytest.raises(OSError, match=r"PEM|SSL"):
        known.find("other.test")
    assert known.find("other.test") is None  # it has not changed
    assert known.find("new.test") is not None


def wrapped(loop: EpollReactor, factory: Any, context: Any = None) -> int:
    endpoint = wrapServerTLS(context or serverOptions(), TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"))
    return int(listening(loop, endpoint, factory).getHost().port)


def test_wrappedEndpoints(loop: EpollReactor) -> None:
    """The Deferred has the protocol after the handshake and its connectionMade."""
    protocol = Trace()
    port = wrapped(loop, ServerFactory.forProtocol(Greeter))
    endpoint = wrapClientTLS(clientOptions(), TCP4ClientEndpoint(loop, "127.0.0.1", port))
    seen: list[Any] = []
    resultOf(
        loop,
        lambda: connectProtocol(endpoint, protocol).addCallback(
            lambda result: seen.extend([result, list(result.events), result.transport.getTLSVersion()])
        ),
    )
    assert seen == [protocol, ["made"], "TLSv1.3"]


def test_aWrappedNameIsVerified(loop: EpollReactor) -> None:
    """A context alone names nobody: the name that the endpoint looks up is verified, not the address it finds."""
    context = ssl.create_default_context(cadata=TRUST.decode())
    server = CertificateOptions(write("localhost.pem", pemOf(CA.issue_cert("localhost"))))
    for host, isRight in (("localhost", True), ("127.0.0.1", False)):
        port = wrapped(loop, ServerFactory.forProtocol(Protocol), server)
        endpoint = wrapClientTLS(context, HostnameEndpoint(loop, host, port))
        result = resultOf(loop, lambda endpoint=endpoint: connectProtocol(endpoint, Trace()))
        assert isinstance(result, Failure) is not isRight
        assert isRight or result.check(SSLError)


def test_wrappedEndpointsFail(loop: EpollReactor) -> None:
    """With what is raised at each step."""

    class Refusing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> None:
            return None

    class Broken:
        """It raises when it is asked for the connection itself, not before."""

        def __init__(self, options: Any) -> None:
            self.contexts = [options.getContext()]

        def getContext(self) -> Any:
            if not self.contexts:
                raise LookupError("no context")
            return self.contexts.pop()

    def attempt(factory: Any, client: Any = None, server: Any = None) -> Failure:
        port = wrapped(loop, ServerFactory.forProtocol(Protocol), server)
        endpoint = wrapClientTLS(client or clientOptions(), TCP4ClientEndpoint(loop, "127.0.0.1", port))
        failure: Failure = resultOf(loop, lambda: endpoint.connect(factory))
        return failure

    assert attempt(Refusing()).check(NoProtocol)

    class FailingTrace(Trace):
        def __init__(self) -> None:
            super().__init__(failing=True)

    assert attempt(Factory.forProtocol(FailingTrace)).check(LookupError)
    good: Any = Factory.forProtocol(Trace)
    assert attempt(good, clientOptions("other.test")).check(SSLError)
    assert attempt(good, Broken(clientOptions())).check(LookupError)
    assert attempt(good, None, Broken(serverOptions())).check(SSLError)
    assert good.numPorts == 0
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    endpoint = wrapClientTLS(clientOptions(), TCP4ClientEndpoint(loop, "127.0.0.1", port))
    assert resultOf(loop, lambda: endpoint.connect(good)).check(ConnectionRefusedError)


def test_wrappedEndpointsAreCancelled(loop: EpollReactor) -> None:
    """While connecting, and while shaking hands with somebody who says nothing."""
    port = portOf(loop)
    endpoint = wrapClientTLS(clientOptions(), TCP4ClientEndpoint(loop, "127.0.0.1", port))

    def early() -> Deferred[Any]:
        connecting = connectProtocol(endpoint, Trace())
        connecting.cancel()
        return connecting

    assert resultOf(loop, early).check(ConnectingCancelledError)
    mute = listening(loop, TCP4ServerEndpoint(loop, 0, interface="127.0.0.1"), ServerFactory.forProtocol(Protocol))
    endpoint = wrapClientTLS(clientOptions(), TCP4ClientEndpoint(loop, "127.0.0.1", mute.getHost().port))

    def late() -> Deferred[Any]:
        connecting = connectProtocol(endpoint, Trace())
        loop.callLater(0.05, connecting.cancel)
        return connecting

    assert resultOf(loop, late).check(ConnectingCancelledError)


def test_unixEndpoints(loop: EpollReactor, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    port = listening(loop, UNIXServerEndpoint(loop, path))
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert port.wantPID
    assert listening(loop, UNIXServerEndpoint(loop, path)).check(CannotListenError)
    loop.disconnectAll()
    loop.iterate()
    unowned = clientFromString(loop, f"unix:{path}:lockfile=1")
    assert resultOf(loop, lambda: connectProtocol(unowned, Trace())).check(BadFileError)


def test_bindAddressAndTimeout(loop: EpollReactor) -> None:
    with silentServer() as (host, port):
        for endpoint in (
            SSL4ClientEndpoint(loop, host, port, None, 0.05, "127.0.0.1"),
            HostnameEndpoint(loop, host, port, 0.05, ("127.0.0.1", 0)),
        ):
            failure = resultOf(loop, lambda endpoint=endpoint: connectProtocol(endpoint, Trace()))
            assert failure.type.__name__ == "TimeoutError"


def test_standardIONeedsAProtocol(loop: EpollReactor) -> None:
    class Refusing(Factory[Protocol]):
        def buildProtocol(self, addr: Any) -> None:
            return None

    assert listening(loop, StandardIOEndpoint(loop), Refusing()).check(NoProtocol)


def test_clientEndpointsHaveTheirPlaceInTheirRepr() -> None:
    """A ClientService names its endpoint in its log."""
    reactor: Any = MemoryReactor()
    tcp = TCP4ClientEndpoint(reactor, "a.example", 7)
    assert repr(tcp) == "<TCP4ClientEndpoint a.example:7>"
    assert repr(TCP6ClientEndpoint(reactor, "::1", 7)) == "<TCP6ClientEndpoint [::1]:7>"
    assert repr(SSL4ClientEndpoint(reactor, b"a.example", 7, None)) == "<SSL4ClientEndpoint a.example:7>"
    assert repr(UNIXClientEndpoint(reactor, "/run/x")) == "<UNIXClientEndpoint '/run/x'>"
    assert repr(wrapClientTLS(None, tcp)) == "<TLS over <TCP4ClientEndpoint a.example:7>>"
    assert repr(proxyClientEndpoint(tcp)) == "<PROXY header over <TCP4ClientEndpoint a.example:7>>"
    assert repr(ProcessEndpoint(reactor, "/bin/true")) == "<ProcessEndpoint '/bin/true'>"
