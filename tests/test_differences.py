"""The README's list of differences from Twisted, one test each: the same script on ours and on Twisted's, two answers.

A reactor of Twisted's own runs here too, a new one for each test, as it cannot run twice.
"""

from __future__ import annotations

import errno
import gc
import io
import itertools
import logging
import os
import resource
import socket
import ssl
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, suppress
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.internet.defer
import twisted.internet.epollreactor
import twisted.internet.error
import twisted.internet.protocol
import twisted.protocols.basic
import twisted.protocols.policies
import twisted.python.failure
from twisted.internet._resolver import GAIResolver
from twisted.internet.process import unregisterReapProcessHandler
from twisted.internet.tcp import _reservedFD
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogBeginner, globalLogPublisher

import reactor
import reactor.policies
import reactor.stringreceivers
from reactor import CertificateOptions, EpollReactor, optionsForClientTLS
from reactor.endpoints import clientFromString
from reactor.stdio import StandardIO
from reactor.testing import connectedServerAndClient
from tests.children import children
from tests.datagrams import leavingSockets
from tests.harness import SIDES, World, turnUntil
from tests.rawtls import Wire
from tests.test_hostname import FOUR, Names
from tests.tlsharness import TRUST, TLSWorld, certificatePath, clientOptions, serverOptions

# Until logging has begun, Twisted keeps what it logs, with every object the tracebacks lead to. (It warns of a second
# beginning, in another file of tests.) And it keeps one descriptor in reserve from its first port on.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
_reservedFD.reserve()

DEADLINE = 20.0
HOST = "127.0.0.1"

OURS = SimpleNamespace(
    name="ours",
    Reactor=EpollReactor,
    protocol=reactor.protocol,
    defer=reactor.defer,
    error=reactor.error,
    LineReceiver=reactor.LineReceiver,
    FileSender=reactor.FileSender,
    strings=reactor.stringreceivers,
    policies=reactor.policies,
    Failure=reactor.Failure,
)
TWISTED = SimpleNamespace(
    name="twisted",
    Reactor=twisted.internet.epollreactor.EPollReactor,
    protocol=twisted.internet.protocol,
    defer=twisted.internet.defer,
    error=twisted.internet.error,
    LineReceiver=twisted.protocols.basic.LineReceiver,
    FileSender=twisted.protocols.basic.FileSender,
    strings=twisted.protocols.basic,
    policies=twisted.protocols.policies,
    Failure=twisted.python.failure.Failure,
)


class Model:
    """One implementation, its reactor, and what a test notes of it."""

    def __init__(self, parts: SimpleNamespace) -> None:
        self.parts = parts
        self.isOurs = parts is OURS
        self.reactor = parts.Reactor()
        self.trace: list[Any] = []
        self.clock: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.parts, name)

    def note(self, *what: Any) -> None:
        self.trace.append(what[0] if len(what) == 1 else what)

    def run(self) -> list[Any]:
        def tooLong() -> None:
            self.note("too long")
            self.reactor.stop()

        late = self.reactor.callLater(DEADLINE, tooLong)
        self.reactor.run(installSignalHandlers=False)
        if late.active():
            late.cancel()
        return self.trace

    def serve(self, protocol: Callable[[], Any]) -> int:
        factory = self.protocol.ServerFactory.forProtocol(protocol)
        factory.noisy = False
        port: int = self.reactor.listenTCP(0, factory, interface=HOST).getHost().port
        return port

    def connect(self, port: int, protocol: Callable[[], Any], host: str = HOST, **methods: Any) -> Any:
        factory = type("Factory", (self.protocol.ClientFactory,), {"noisy": False, **methods}).forProtocol(protocol)
        return self.reactor.connectTCP(host, port, factory)

    def soon(self, turns: int, call: Callable[[], Any]) -> None:
        """Call after `turns` further turns of the loop."""
        if turns:
            self.reactor.callLater(0, self.soon, turns - 1, call)
        else:
            call()

    def close(self) -> None:
        """Close the reactor's own descriptors: tracebacks in log records keep it from being collected."""
        if self.isOurs:
            self.reactor.close()
        else:
            for reader in self.reactor._internalReaders:
                reader.connectionLost(None)
            self.reactor._poller.close()


@pytest.fixture(params=[OURS, TWISTED], ids=["ours", "twisted"])
def model(request: pytest.FixtureRequest) -> Iterator[Model]:
    model = Model(request.param)
    yield model
    model.close()


def test_asynchronousHandlers(model: Model) -> None:
    """A Deferred from lineReceived is waited for; to Twisted it is a true value, which leaves the rest of the read."""
    waiting = model.defer.Deferred()

    class Receiver(model.LineReceiver):
        def lineReceived(self, line: bytes) -> Any:
            model.note(line)
            return waiting if line == b"1" else None

    receiver = Receiver()
    receiver.makeConnection(StringTransport())
    receiver.dataReceived(b"1\r\n2\r\n")
    assert model.trace == [b"1"]
    receiver.dataReceived(b"3\r\n")
    assert model.trace == ([b"1"] if model.isOurs else [b"1", b"2", b"3"])
    waiting.callback(None)
    assert model.trace == [b"1", b"2", b"3"]


def test_connectionMadeRaises(model: Model) -> None:
    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            raise LookupError("no")

        def dataReceived(self, data: bytes) -> None:
            model.note("data")
            self.transport.loseConnection()

        def connectionLost(self, reason: Any) -> None:
            model.note("lost", reason.type.__name__)
            model.reactor.stop()

    class Client(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"x")

    model.connect(model.serve(Server), Client)
    assert model.run() == ([("lost", "LookupError")] if model.isOurs else ["data", ("lost", "ConnectionDone")])


def test_connectionLostRaises(model: Model) -> None:
    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

    class Client(model.protocol.Protocol):
        def connectionLost(self, reason: Any) -> None:
            model.soon(3, model.reactor.stop)
            raise LookupError("no")

    model.connect(
        model.serve(Server),
        Client,
        clientConnectionLost=lambda self, connector, reason: model.note("clientConnectionLost"),
        stopFactory=lambda self: model.note("stopFactory"),
    )
    assert model.run() == (["clientConnectionLost", "stopFactory"] if model.isOurs else [])


def exchange(model: Model, speak: Callable[[Any], None]) -> bytes:
    """What a peer gets of what `speak(transport)` writes before it closes."""
    received = []

    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            speak(self.transport)
            self.transport.loseConnection()

    class Client(model.protocol.Protocol):
        def dataReceived(self, data: bytes) -> None:
            received.append(data)

        def connectionLost(self, reason: Any) -> None:
            model.reactor.stop()

    model.connect(model.serve(Server), Client)
    assert model.run() == []
    return b"".join(received)


def test_writeSequenceOfAGenerator(model: Model) -> None:
    def speak(transport: Any) -> None:
        transport.writeSequence(word for word in (b"a", b"b"))

    assert exchange(model, speak) == (b"ab" if model.isOurs else b"")


def test_writeOfBytesLike(model: Model) -> None:
    refused = []

    def speak(transport: Any) -> None:
        data = bytearray(b"abc")
        for piece in (data, memoryview(data), "text"):
            try:
                transport.write(piece)
            except TypeError:
                refused.append(type(piece).__name__)
        data[:] = b"xyz"

    sent = exchange(model, speak)
    if model.isOurs:
        assert (sent, refused) == (b"abcabc", ["str"])
    else:
        assert (sent, refused) == (b"", ["bytearray", "memoryview", "str"])


def test_noDelay(model: Model) -> None:
    answers = []
    exchange(model, lambda transport: answers.append(bool(transport.getTcpNoDelay())))
    assert answers == [model.isOurs]


def test_noLinesAfterAbort(model: Model) -> None:
    class Server(model.LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            model.note(line)
            self.transport.abortConnection()

        def connectionLost(self, reason: Any) -> None:
            model.reactor.stop()

    class Client(model.LineReceiver):
        def connectionMade(self) -> None:
            self.transport.write(b"1\r\n2\r\n3\r\n")

    model.connect(model.serve(Server), Client)
    assert model.run() == ([b"1"] if model.isOurs else [b"1", b"2", b"3"])


class Producer:
    def __init__(self, note: Callable[..., None]) -> None:
        self.note = note

    def pauseProducing(self) -> None:
        self.note("pause")

    def resumeProducing(self) -> None:
        self.note("resume")

    def stopProducing(self) -> None:
        self.note("stop")


def test_onePauseACrossing(model: Model) -> None:
    calls: list[str] = []

    def speak(transport: Any) -> None:
        transport.registerProducer(Producer(calls.append), True)
        for _ in range(3):
            transport.write(b"x" * 70_000)
        transport.unregisterProducer()

    assert len(exchange(model, speak)) == 210_000
    assert calls == ["pause"] * (1 if model.isOurs else 3)


def test_outputLimit(model: Model) -> None:
    """A peer that does not read costs 16 MiB and one write, and then the connection; Twisted keeps everything."""
    mebibyte = b"x" * 2**20

    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            for _ in range(18):
                self.transport.write(mebibyte)
                model.note(bool(self.transport.disconnecting))
            self.transport.abortConnection()

        def connectionLost(self, reason: Any) -> None:
            model.note(reason.type.__name__)
            client.transport.abortConnection()
            model.soon(1, model.reactor.stop)

    class Client(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

    client = Client()
    model.connect(model.serve(Server), lambda: client)
    if model.isOurs:
        assert model.run() == [False] * 17 + [True, "OutputLimitExceeded"]
        assert issubclass(model.error.OutputLimitExceeded, model.error.ConnectionLost)
    else:
        assert model.run() == [False] * 18 + ["ConnectionAborted"]


def test_getHostAfterTheEnd(model: Model) -> None:
    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

        def connectionLost(self, reason: Any) -> None:
            model.soon(2, self.look)

        def look(self) -> None:
            try:
                model.note(self.transport.getHost().host)
            except AttributeError:
                model.note("AttributeError")
            model.reactor.stop()

    model.connect(model.serve(Server), model.protocol.Protocol)
    assert model.run() == [HOST if model.isOurs else "AttributeError"]


def test_halfCloseWithoutRegistration(model: Model) -> None:
    class Server(model.protocol.Protocol):
        def readConnectionLost(self) -> None:
            model.note("read")
            self.transport.write(b"answer")
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            model.note("write")

        def connectionLost(self, reason: Any) -> None:
            model.note("lost")
            model.reactor.stop()

    class Client(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.loseWriteConnection()

        def readConnectionLost(self) -> None:
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            pass

    model.connect(model.serve(Server), Client)
    assert model.run() == (["read", "lost"] if model.isOurs else ["lost"])


def test_timersAreFirstInFirstOut(model: Model) -> None:
    class Frozen(model.Reactor):  # type: ignore[name-defined,misc]
        def seconds(self) -> float:
            return 1.0

    model.close()
    model.reactor = Frozen()
    for number in range(8):
        model.reactor.callLater(0, model.note, number)
    model.soon(2, model.reactor.stop)
    model.reactor.run(installSignalHandlers=False)
    assert sorted(model.trace) == list(range(8))
    assert (model.trace == list(range(8))) is model.isOurs


def test_runAgain(model: Model) -> None:
    model.soon(1, model.reactor.stop)
    model.run()
    model.reactor.callLater(0, model.reactor.stop)
    if model.isOurs:
        assert model.run() == []
    else:
        with pytest.raises(twisted.internet.error.ReactorNotRestartable):
            model.run()


def test_systemExitLeaves(model: Model) -> None:
    def leave() -> None:
        raise SystemExit(3)

    model.reactor.addSystemEventTrigger("after", "shutdown", model.note, "in order")
    model.reactor.callLater(0, leave)
    model.soon(5, lambda: model.reactor.stop() if not model.isOurs else None)
    if model.isOurs:
        with pytest.raises(SystemExit, match="3"):
            model.run()
        assert model.trace == ["in order"]
        for call in model.reactor.getDelayedCalls():
            call.cancel()
    else:
        assert model.run() == ["in order"]


def test_stopDisconnectsLast(model: Model) -> None:
    """ "during shutdown" triggers run with the connections still there, and their Deferreds are waited for."""

    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            model.reactor.addSystemEventTrigger("during", "shutdown", during)
            model.reactor.stop()

        def connectionLost(self, reason: Any) -> None:
            model.note("lost", reason.type.__name__)

    def during() -> Any:
        model.note("during")
        waiting = model.defer.Deferred()
        waiting.addCallback(lambda _: model.note("waited"))
        model.soon(2, lambda: waiting.callback(None))
        return waiting

    model.connect(model.serve(Server), model.protocol.Protocol)
    lost = ("lost", "ConnectionLost")
    assert model.run() == (["during", "waited", lost] if model.isOurs else [lost, "during"])


def test_stringsOnce(model: Model) -> None:
    """A string is delivered once, also when its callback raises."""

    class Receiver(model.strings.Int8StringReceiver):
        def stringReceived(self, string: bytes) -> None:
            model.note(string)
            if len(model.trace) == 1:
                raise LookupError("no")

    receiver = Receiver()
    receiver.makeConnection(StringTransport())
    with pytest.raises(LookupError):
        receiver.dataReceived(b"\1a\1b")
    receiver.dataReceived(b"\1c")
    assert model.trace == ([b"a", b"b", b"c"] if model.isOurs else [b"a", b"a", b"b", b"c"])


def test_netstringFailsOnce(model: Model) -> None:
    class Transport(StringTransport):
        def loseConnection(self) -> None:
            model.note("lose")

    receiver = model.strings.NetstringReceiver()
    receiver.makeConnection(Transport())
    receiver.dataReceived(b"x")
    receiver.dataReceived(b"5:hello,")
    assert model.trace == ["lose"] * (1 if model.isOurs else 2)


def test_unhandledErrorIsOneRecord(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        model.defer.fail(LookupError("no"))
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(events.append)
    records = [record for record in caplog.records if record.name == "reactor.defer"]
    assert (len(records), len(events)) == ((1, 0) if model.isOurs else (0, 2))
    if model.isOurs:
        assert (records[0].levelno, records[0].exc_info[0]) == (logging.ERROR, LookupError)  # type: ignore[index]


def test_callbacksAreReportedByLogging(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    model.reactor.callLater(0, [].pop)
    model.soon(2, model.reactor.stop)
    assert model.run() == []
    records = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in records] == (["reactor"] if model.isOurs else [])
    assert [record.exc_info[0] for record in records if record.exc_info] == ([IndexError] if model.isOurs else [])


def test_deepChains(model: Model) -> None:
    """A result travels through any number of Deferreds, joined with chainDeferred; Twisted's stack ends."""
    chain = [model.defer.Deferred() for _ in range(5000)]
    for one, other in itertools.pairwise(chain):
        one.chainDeferred(other)
    chain[-1].addCallback(model.note)
    chain[0].callback("there")
    for deferred in chain:
        deferred.addErrback(lambda _: None)
    assert model.trace == (["there"] if model.isOurs else [])


def test_stopConnection(model: Model) -> None:
    def connected(protocol: Any) -> None:
        model.note(hasattr(connector, "stopConnection"))
        (connector.stopConnection if model.isOurs else connector.disconnect)()

    connector = model.connect(
        model.serve(model.protocol.Protocol),
        type("Client", (model.protocol.Protocol,), {"connectionMade": connected}),
        clientConnectionLost=lambda self, connector, reason: model.reactor.stop(),
    )
    assert model.run() == [model.isOurs]
    connector = model.connect(
        1, model.protocol.Protocol, clientConnectionFailed=lambda self, _, why: model.note(why.type)
    )
    (connector.stopConnection if model.isOurs else connector.disconnect)()
    assert model.trace[1:] == [model.error.UserError]


def test_everyAddressIsTried(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses, and nobody at the first."""

    def answer(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        assert host == "two.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", HOST)]

    port = model.serve(model.protocol.Protocol)
    if model.isOurs:
        monkeypatch.setattr(socket, "getaddrinfo", answer)
    else:
        model.reactor.installNameResolver(GAIResolver(model.reactor, model.reactor.getThreadPool, answer))

    class Client(model.protocol.Protocol):
        def connectionMade(self) -> None:
            model.note(self.transport.getPeer().host)
            model.reactor.stop()

    def failed(factory: Any, connector: Any, reason: Any) -> None:
        model.note(reason.value.osError)
        model.reactor.stop()

    model.connect(port, Client, "two.example", clientConnectionFailed=failed)
    assert model.run() == [HOST if model.isOurs else errno.ECONNREFUSED]


def test_noDescriptorLeft(model: Model) -> None:
    class Server(model.protocol.Protocol):
        def connectionMade(self) -> None:
            self.transport.write(b"hello")

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def look(turn: int) -> None:
        if turn == 10:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        try:
            model.note(client.recv(10))
        except BlockingIOError:
            model.reactor.callLater(0, look, turn + 1)
        else:
            model.reactor.stop()

    port = model.serve(Server)
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        client = stack.enter_context(socket.create_connection((HOST, port)))
        client.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
        with suppress(OSError):  # the gaps below
            while True:
                stack.callback(os.close, os.dup(client.fileno()))
        model.reactor.callLater(0, look, 0)
        assert model.run() == [b"hello" if model.isOurs else b""]


def test_lastByteOfAnEmptyFile(model: Model, tmp_path: Any) -> None:
    (tmp_path / "empty").touch()
    consumer = model.protocol.FileWrapper(io.BytesIO())
    with (tmp_path / "empty").open("rb") as file:
        model.FileSender().beginFileTransfer(file, consumer).addCallback(model.note)
    assert model.trace in ([b""], [""])
    assert isinstance(model.trace[0], bytes) is model.isOurs


def test_threadPoolIsAnExecutor() -> None:
    pool = EpollReactor().getThreadPool()
    assert isinstance(pool, Executor)
    assert pool.submit(int, "7").result(DEADLINE) == 7
    pool.shutdown()


def test_noZope() -> None:
    """Interfaces are typing.Protocol: whoever has the methods provides them."""
    both = type("Both", (), {"readConnectionLost": print, "writeConnectionLost": print})
    assert isinstance(both(), reactor.interfaces.IHalfCloseableProtocol)
    assert not isinstance(reactor.Protocol(), reactor.interfaces.IHalfCloseableProtocol)


@pytest.fixture
def path(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a UNIX socket, short enough wherever the tests run."""
    monkeypatch.chdir(tmp_path)
    return "socket"


def leaveDead(path: str) -> None:
    """Leave a path behind which nobody lives, as a server does that is killed."""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)


def listenUNIX(model: Model, path: str) -> Any:
    return model.reactor.listenUNIX(path, model.protocol.ServerFactory())


def stopPort(model: Model, port: Any) -> None:
    stopped: list[Any] = []
    port.stopListening().addCallback(stopped.append)
    turnUntil(model.reactor, lambda: stopped)


def test_unixMode(model: Model, path: str) -> None:
    port = listenUNIX(model, path)
    assert os.stat(path).st_mode & 0o777 == (0o600 if model.isOurs else 0o666)
    stopPort(model, port)


@leavingSockets
def test_stalePath(model: Model, path: str) -> None:
    leaveDead(path)
    if model.isOurs:
        stopPort(model, listenUNIX(model, path))
    else:
        with pytest.raises(model.error.CannotListenError):
            listenUNIX(model, path)


def test_onlyTheOwnPathIsRemoved(model: Model, path: str) -> None:
    port = listenUNIX(model, path)
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(b"precious")
    stopPort(model, port)
    assert os.path.exists(path) is model.isOurs


def datagrams(model: Model, kind: str = "DatagramProtocol") -> Any:
    """A protocol for datagrams that notes what it is told."""

    def received(self: Any, datagram: bytes, addr: Any = None) -> None:
        model.note("received", len(datagram))

    methods: dict[str, Any] = {
        "noisy": False,
        "datagramReceived": received,
        "datagramLengthExceeded": lambda self, datagram, addr: model.note("exceeded", len(datagram)),
        "connectionRefused": lambda self: model.note("refused"),
        "stopProtocol": lambda self: model.note("stopped"),
    }
    return type("Datagrams", (getattr(model.protocol, kind),), methods)()


def test_datagramsAreNotCut(model: Model) -> None:
    port = model.reactor.listenUDP(0, datagrams(model), HOST)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"x" * 8193, (HOST, port.getHost().port))
    turnUntil(model.reactor, lambda: model.trace)
    assert model.trace == [("exceeded", 8193) if model.isOurs else ("received", 8192)]
    stopPort(model, port)


def nobodyThere() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        return HOST, free.getsockname()[1]


def test_aRefusalLeavesThePortOpen(model: Model) -> None:
    """Twisted's epoll reactor takes the error that it is told for the port's end."""
    port = model.reactor.listenUDP(0, datagrams(model), HOST)
    port.connect(*nobodyThere())
    port.write(b"x")
    turnUntil(model.reactor, lambda: model.trace)
    assert model.trace == ["refused" if model.isOurs else "stopped"]
    assert bool(port.connected) is model.isOurs
    if model.isOurs:
        stopPort(model, port)


def test_theFirstAfterARefusalIsSent(model: Model) -> None:
    port, name = model.reactor.listenUDP(0, datagrams(model), HOST), nobodyThere()
    port.connect(*name)
    port.write(b"refused")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(name)
        late.setblocking(False)
        port.write(b"not refused")
        if model.isOurs:
            assert late.recv(100) == b"not refused"
        else:
            with pytest.raises(BlockingIOError):
                late.recv(100)
    assert model.trace == ["refused"]
    stopPort(model, port)


def test_whatCannotBeSentIsCounted(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full buffer, and the port 0 of a peer that wants no answer: Twisted raises."""

    def full(*_: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    port = model.reactor.listenUDP(0, datagrams(model), HOST)

    def send(number: int) -> None:
        try:
            port.write(b"x", (HOST, number))
        except OSError as error:
            model.note(error.errno)

    send(0)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "sendto", full)
        send(9)
    if model.isOurs:
        assert (model.trace, port.unsentCount) == ([], 2)
    else:
        assert model.trace == [errno.EINVAL, errno.EAGAIN]
    stopPort(model, port)


def test_hopsOfIPv6(model: Model) -> None:
    """On an IPv6 port Twisted sets what counts for IPv4."""
    port = model.reactor.listenMulticast(0, datagrams(model), "::1")
    port.setTTL(7)
    hops = port.getHandle().getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS)
    assert hops == (7 if model.isOurs else 1)
    stopPort(model, port)


def test_pathsOfDatagramsAreRemoved(model: Model, path: str) -> None:
    stopPort(model, model.reactor.listenUNIXDatagram(path, datagrams(model)))
    assert os.path.exists(path) is not model.isOurs


def test_aRestartedPeerIsFound(model: Model, path: str) -> None:
    """Over a UNIX socket, the kernel undoes the connection when the peer ends; Twisted's port stays without."""

    def listening() -> socket.socket:
        with suppress(FileNotFoundError):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(path)
        return sock

    with listening():
        port = model.reactor.connectUNIXDatagram(path, datagrams(model, "ConnectedDatagramProtocol"))
    port.write(b"to nobody")
    with listening() as peer:
        if model.isOurs:
            port.write(b"to the next")
            assert peer.recv(100) == b"to the next"
        else:
            with pytest.raises(OSError, match="not connected"):
                port.write(b"to the next")
    assert model.trace == ["refused"]
    stopPort(model, port)


# TLS of Twisted's needs pyOpenSSL, so these run on ours alone.


@pytest.fixture
def tls() -> Iterator[TLSWorld]:
    world = TLSWorld()
    yield world
    world.close()


def test_contextFactories(tls: TLSWorld) -> None:
    class Factory:
        def getContext(self) -> ssl.SSLContext:
            return serverOptions().getContext()

    for server in (serverOptions().getContext(), Factory()):
        port = tls.reactor.listenSSL(0, tls.serverFactory(), server, interface=HOST)
        clients = tls.clientFactory()
        tls.reactor.connectSSL(HOST, port.getHost().port, clients, clientOptions().getContext())
        tls.until(lambda: clients.built and clients.only.trace == ["made"])  # noqa: B023
    clients = tls.clientFactory()
    tls.reactor.connectSSL(HOST, port.getHost().port, clients, None)  # nobody's trust but the tests' leads there
    tls.until(lambda: clients.trace[-1] == "stop")
    assert clients.trace[2] == ("failed", "disconnected", "SSLError")


def test_handshakeComesFirst(tls: TLSWorld) -> None:
    servers, clients = tls.serverFactory(), tls.clientFactory()
    port = tls.reactor.listenSSL(0, servers, serverOptions(), interface=HOST)
    tls.reactor.connectSSL(HOST, port.getHost().port, clients, optionsForClientTLS("other.test", TRUST))
    tls.until(lambda: clients.trace[-1] == "stop" and tls.reactor.getReaders() == [port])
    assert servers.trace == ["start"]
    assert clients.trace[2:] == [("failed", "disconnected", "SSLError"), "stop"]


def test_startTLSRefusesPlainBytes() -> None:
    class Upgrading(reactor.LineReceiver):
        lines: tuple[bytes, ...] = ()

        def lineReceived(self, line: bytes) -> None:
            self.lines += (line,)
            self.transport.startTLS(serverOptions())

        def connectionLost(self, reason: Any = None) -> None:
            self.reason = reason

    client, server, pump = connectedServerAndClient(Upgrading, reactor.Protocol)
    client.transport.write(b"STARTTLS\r\ninjected\r\n")
    pump.flush()
    pump.reactor.clock.advance(0)
    pump.flush()
    assert server.lines == (b"STARTTLS",)
    assert server.reason.check(reactor.error.SSLError)


def test_startTLSReplacesTheTransport() -> None:
    _, server, pump = connectedServerAndClient(reactor.LineReceiver, reactor.Protocol)
    server.transport.startTLS(serverOptions())
    assert server.transport is not pump.serverIO
    assert pump.serverIO.TLS


def test_tlsClosesInTime() -> None:
    wire = Wire(options=CertificateOptions(certificatePath())).handshake()
    wire.ours.loseConnection()
    wire.flush()
    wire.advance(9.9)
    assert wire.protocol.events == ["made", "handshake"]
    wire.advance(0.1)
    assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]


def test_peerCertificate() -> None:
    wire = Wire(weAreClient=True).handshake()
    assert isinstance(wire.ours.getPeerCertificate(), bytes)
    assert isinstance(wire.ours.getPeerCertificate(True), dict)


def wrapped(model: Model, factory: Any, protocol: Any = None, transport: Any = None, addr: Any = None) -> Any:
    """A connected wrapper of a policy's factory around `protocol`."""
    factory.wrappedFactory.protocol = protocol or model.protocol.Protocol
    factory.noisy = factory.wrappedFactory.noisy = False
    factory.callLater = model.clock.callLater
    wrapper = factory.buildProtocol(addr)
    wrapper.makeConnection(transport or StringTransport())
    return wrapper


@pytest.fixture
def policed(model: Model) -> Model:
    model.clock = reactor.Clock()
    return model


def test_wrappersPassEverythingOn(policed: Model) -> None:
    class Halves(policed.protocol.Protocol):
        def readConnectionLost(self) -> None: ...

        def writeConnectionLost(self) -> None: ...

    factory = policed.policies.WrappingFactory(policed.protocol.ServerFactory())
    wrapper = wrapped(policed, factory, Halves)
    assert hasattr(wrapper, "readConnectionLost") == policed.isOurs
    wrapper.wrappedProtocol.transport.abortConnection()
    assert bool(wrapper.disconnecting) == policed.isOurs


def test_wrappedRefusals(policed: Model) -> None:
    class Refusing(policed.protocol.ServerFactory):
        def buildProtocol(self, addr: Any) -> None: ...

    factory = policed.policies.ThrottlingFactory(Refusing())
    assert (factory.buildProtocol(None) is None) == policed.isOurs
    assert factory.connectionCount == (0 if policed.isOurs else 1)


def test_limitByPeer(policed: Model) -> None:
    address = reactor.IPv4Address("TCP", "10.0.0.7", 1)
    factory = policed.policies.LimitConnectionsByPeer(policed.protocol.ServerFactory())
    factory.startFactory()
    with suppress(TypeError):
        wrapped(policed, factory, addr=address, transport=StringTransport(peerAddress=address))
    assert factory.peerConnections == ({"10.0.0.7": 1} if policed.isOurs else {})


def test_throttlingKeepsPauses(policed: Model) -> None:
    factory = policed.policies.ThrottlingFactory(policed.protocol.ServerFactory(), readLimit=10)
    busy = wrapped(policed, factory)
    paused = wrapped(policed, factory)
    paused.wrappedProtocol.transport.pauseProducing()
    busy.dataReceived(b"x" * 20)
    policed.clock.advance(1)
    late = wrapped(policed, factory)
    assert late.transport.producerState == ("paused" if policed.isOurs else "producing")
    policed.clock.advance(1)
    states = [wrapper.transport.producerState for wrapper in (busy, paused, late)]
    assert states == ["producing", "paused" if policed.isOurs else "producing", "producing"]


def test_trafficLogs(policed: Model, tmp_path: Any) -> None:
    factory = policed.policies.TrafficLoggingFactory(policed.protocol.ServerFactory(), str(tmp_path / "log"), 15)
    wrapper = wrapped(policed, factory)
    with suppress(TypeError):
        wrapper.dataReceived(b"x" * 16)
    wrapper.connectionLost(policed.Failure(policed.error.ConnectionDone()))
    isClosed = wrapper.logfile.closed
    wrapper.logfile.close()
    assert isClosed == policed.isOurs
    assert ("xxx<... elided>" in (tmp_path / "log-1").read_text()) == policed.isOurs


def test_writingAfterTheTimeout(policed: Model) -> None:
    wrapper = wrapped(policed, policed.policies.TimeoutFactory(policed.protocol.ServerFactory(), 5))
    policed.clock.advance(5)
    with suppress(ValueError):  # AlreadyCalled
        wrapper.write(b"good-bye")
    assert wrapper.transport.value() == (b"good-bye" if policed.isOurs else b"")


eachSide = pytest.mark.parametrize("side", SIDES, ids=lambda side: side.name)


@eachSide
def test_childThatCannotBeStarted(side: Any, tmp_path: Any) -> None:
    with children(side) as world:
        for options in ({"path": str(tmp_path)}, {"usePTY": True}):
            if side.name == "ours":
                with pytest.raises(FileNotFoundError):
                    world.spawn("/nowhere/program", **options)
            else:
                assert world.ended(world.spawn("/nowhere/program", **options))["how"][0] == "ProcessTerminated"


@eachSide
def test_childWithoutArguments(side: Any) -> None:
    with children(side) as world:
        protocol = world.kind({})
        if side.name == "ours":
            world.reactor.spawnProcess(protocol, "/bin/true")
            assert world.ended(protocol)["how"][1] == 0
        else:
            with pytest.raises(ValueError, match="empty"):
                world.reactor.spawnProcess(protocol, "/bin/true")


def gated(world: Any) -> Any:
    """A child without pipes, which exits after spawnProcess has returned."""
    theirs, gate = os.pipe()
    child = world.shell("read x; exit 3", childFDs={0: theirs})
    os.close(theirs)
    os.close(gate)
    return child


@eachSide
def test_childrenWithoutSignals(side: Any) -> None:
    with children(side) as world:
        child = gated(world)
        os.waitid(os.P_PID, child.transport.pid, os.WEXITED | os.WNOWAIT)
        for _ in range(3):
            world.reactor.iterate(0)
        assert (child.ended is not None) == (side.name == "ours")
        assert world.ended(child)["how"][1] == 3


@eachSide
def test_childThatWasWaitedFor(side: Any) -> None:
    with children(side) as world:
        child = gated(world)
        assert os.waitpid(child.transport.pid, 0)[1] == 3 << 8
        for _ in range(3):
            world.reactor.iterate(0)
        assert (child.ended is not None) == (side.name == "ours")
        if side.name == "ours":
            assert child.ended.exitCode is None
        else:
            unregisterReapProcessHandler(child.transport.pid, child.transport)


@eachSide
def test_descriptorsLeftOut(side: Any) -> None:
    with children(side) as world:
        child = world.shell("test -e /proc/$$/fd/0; echo $?", childFDs={1: "r"})
        assert world.ended(child)["received"] == {1: b"0\n" if side.name == "ours" else b"1\n"}


def test_stringsVerify() -> None:
    options = clientFromString(None, "ssl:host.example:1")._sslContextFactory
    assert options.hostname == "host.example"
    assert options.getContext().check_hostname


def test_theNextAddressAtOnce() -> None:
    names = Names(*FOUR)
    names.begin()
    names.attempts[0].fail()
    assert names.trace == ["resolve name.example", "0.00 ::1", "0.00 1.1.1.1"]


def test_outputAfterTheInputEnds() -> None:
    world = World()
    (stdin, toUs), (fromUs, stdout) = os.pipe(), os.pipe()
    protocol = world.serverFactory({"made": lambda made: made.transport.write(b"x" * 100_000)}).buildProtocol(None)
    StandardIO(protocol, stdin, stdout, reactor=world.reactor)
    os.close(toUs)
    world.until(lambda: len(protocol.trace) == 1 and protocol.transport.disconnecting)
    found = b""
    while len(found) < 100_000:
        world.reactor.iterate(0)
        found += os.read(fromUs, 65536)
    world.until(lambda: protocol.lost is not None)
    assert [os.fstat(fd).st_rdev for fd in (stdin, stdout)] == [os.stat(os.devnull).st_rdev] * 2
    world.close()
    for fd in (stdin, stdout, fromUs):
        os.close(fd)
