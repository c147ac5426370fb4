"""The list of docs/differences.md, one test each: the same script on ours and on Twisted's, two answers.

A reactor of Twisted's own runs here too, a new one for each test, as it cannot run twice.
"""

from __future__ import annotations

import copy
import errno
import gc
import io
import itertools
import logging
import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext, suppress
from math import inf, nan
from types import CoroutineType, SimpleNamespace
from typing import Any

import OpenSSL.SSL
import pytest
import twisted.application.internet
import twisted.application.service
import twisted.internet.address
import twisted.internet.defer
import twisted.internet.endpoints
import twisted.internet.epollreactor
import twisted.internet.error
import twisted.internet.protocol
import twisted.internet.reactor  # a LoopingCall of Twisted's makes it; here, so that no test leaves it behind
import twisted.internet.ssl
import twisted.internet.stdio
import twisted.internet.task
import twisted.internet.tcp
import twisted.internet.testing
import twisted.internet.threads
import twisted.internet.utils
import twisted.protocols.basic
import twisted.protocols.haproxy
import twisted.protocols.policies
import twisted.python.failure
import twisted.python.log
import twisted.test.iosim
import twisted.web.http
import twisted.web.http_headers
from twisted.internet._resolver import GAIResolver
from twisted.internet.process import unregisterReapProcessHandler
from twisted.internet.tcp import _reservedFD
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogBeginner, globalLogPublisher
from twisted.python.threadpool import ThreadPool

import reactor
import reactor.endpoints
import reactor.haproxy
import reactor.http
import reactor.policies
import reactor.service
import reactor.service.internet
import reactor.stringreceivers
import reactor.testing
import reactor.utils
from reactor import CertificateOptions, EpollReactor, optionsForClientTLS
from reactor.address import IPv4Address, IPv6Address
from reactor.endpoints import clientFromString
from reactor.haproxy import encodeV2
from reactor.haproxy.receiving import HEADER_TIMEOUT
from reactor.linecore import IMPLEMENTATION
from reactor.serving.options import makeParser
from reactor.serving.places import endpointsOf
from reactor.stdio import StandardIO
from reactor.testing import StringTransport as OurStringTransport
from reactor.testing import connectedServerAndClient
from tests.conftest import openFiles
from tests.support.children import children
from tests.support.datagrams import leavingSockets
from tests.support.httprequests import Asked
from tests.support.rawtls import Recorder, RecordingHalves, Wire, peerContext
from tests.support.tlsworlds import HOST as TLS_HOST
from tests.support.tlsworlds import TRUST, TLSWorld, certificatePath, clientOptions, serverOptions
from tests.support.worlds import SIDES, World, refusedPort, runProgram, turnUntil
from tests.unit.endpoints.test_hostname import FOUR, Names
from tests.unit.interfaces.test_interfaces import LEFT_OUT
from tests.unit.transports.test_descriptors import DescriptorWorld
from tests.unit.transports.test_scopes import LINK, found

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it is deprecated
    TwistedHTTPClient = twisted.web.http.HTTPClient

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
    endpoints=reactor.endpoints,
    task=reactor.task,
    threads=reactor.threads,
    policies=reactor.policies,
    http=reactor.http,
    haproxy=reactor.haproxy,
    Headers=reactor.http.Headers,
    HTTPClient=reactor.http.HTTPClient,
    Failure=reactor.Failure,
    service=reactor.service,
    internet=reactor.service.internet,
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
    endpoints=twisted.internet.endpoints,
    task=twisted.internet.task,
    threads=twisted.internet.threads,
    policies=twisted.protocols.policies,
    http=twisted.web.http,
    haproxy=twisted.protocols.haproxy,
    Headers=twisted.web.http_headers.Headers,
    HTTPClient=TwistedHTTPClient,
    Failure=twisted.python.failure.Failure,
    service=twisted.application.service,
    internet=twisted.application.internet,
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
        kind: Any = type("Factory", (self.protocol.ClientFactory,), {"noisy": False, **methods})
        factory = kind.forProtocol(protocol)
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

    class Receiver(model.LineReceiver):  # type: ignore[misc, name-defined]
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


def test_transportIsEachInstancesOwn(model: Model) -> None:
    for cls in (model.protocol.Protocol, model.LineReceiver):
        assert hasattr(cls, "transport") is not model.isOurs
        assert cls().transport is None


def test_insideOfLineReceiver(model: Model) -> None:
    class Receiver(model.LineReceiver):  # type: ignore[misc, name-defined]
        def lineReceived(self, line: bytes) -> None:
            model.note(line)

    receiver = Receiver()
    receiver.makeConnection(StringTransport())
    receiver.dataReceived(b"1\r\n")
    receiver.__dict__["delimiter"] = b"\n"
    receiver.dataReceived(b"2\n3\n\r\n4")
    isNoticed = not model.isOurs or IMPLEMENTATION == "pure"
    assert model.trace == ([b"1", b"2", b"3", b"\r"] if isNoticed else [b"1", b"2\n3\n"])
    lineOnly = reactor.LineOnlyReceiver if model.isOurs else twisted.protocols.basic.LineOnlyReceiver
    for each in (receiver, lineOnly()):
        assert hasattr(each, "_buffer") is not model.isOurs
    assert receiver.clearLineBuffer() == b"4"


def test_aForeignTransportInPlace(model: Model) -> None:
    class Foreign:
        disconnecting = True

    class Receiver(model.LineReceiver):  # type: ignore[misc, name-defined]
        def lineReceived(self, line: bytes) -> None:
            model.note(line)
            self.transport = Foreign()

    receiver = Receiver()
    receiver.makeConnection(OurStringTransport())
    receiver.dataReceived(b"1\r\n2\r\n")
    assert model.trace == ([b"1", b"2"] if model.isOurs and IMPLEMENTATION == "compiled" else [b"1"])
    receiver.dataReceived(b"3\r\n4\r\n")
    assert model.trace[-1] == (b"3" if len(model.trace) == 3 else b"2")


def test_connectionMadeRaises(model: Model) -> None:
    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            raise LookupError("no")

        def dataReceived(self, data: bytes) -> None:
            model.note("data")
            self.transport.loseConnection()

        def connectionLost(self, reason: Any) -> None:
            model.note("lost", reason.type.__name__)
            model.reactor.stop()

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.write(b"x")

    model.connect(model.serve(Server), Client)
    assert model.run() == ([("lost", "LookupError")] if model.isOurs else ["data", ("lost", "ConnectionDone")])


def test_connectionLostRaises(model: Model) -> None:
    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.loseConnection()

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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
    """Return the bytes that reach a peer when `speak(transport)` writes, and the transport then closes."""
    received = []

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            speak(self.transport)
            self.transport.loseConnection()

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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


def test_lateTurnsReadFirst(model: Model) -> None:
    """A callback takes longer than a deadline; data that comes meanwhile is there when the deadline is looked at."""

    class Server(model.LineReceiver):  # type: ignore[misc, name-defined]
        def lineReceived(self, line: bytes) -> None:
            model.note(line)
            if line == b"first":
                model.reactor.callLater(0.01, model.note, "deadline")
                model.reactor.callLater(0.02, model.reactor.stop)
                client.sendall(b"in time\r\n")
                end = time.monotonic() + 0.15
                while time.monotonic() < end:
                    pass

    with socket.create_connection((HOST, model.serve(Server))) as client:
        client.sendall(b"first\r\n")
        trace = model.run()
        assert trace[:3] == [b"first", b"in time", "deadline"] if model.isOurs else trace[:2] == [b"first", "deadline"]


def test_noLinesAfterAbort(model: Model) -> None:
    class Server(model.LineReceiver):  # type: ignore[misc, name-defined]
        def lineReceived(self, line: bytes) -> None:
            model.note(line)
            self.transport.abortConnection()

        def connectionLost(self, reason: Any) -> None:
            model.reactor.stop()

    class Client(model.LineReceiver):  # type: ignore[misc, name-defined]
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

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            for _ in range(18):
                self.transport.write(mebibyte)
                model.note(bool(self.transport.disconnecting))
            self.transport.abortConnection()

        def connectionLost(self, reason: Any) -> None:
            model.note(reason.type.__name__)
            client.transport.abortConnection()
            model.soon(1, model.reactor.stop)

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.pauseProducing()

    client = Client()
    model.connect(model.serve(Server), lambda: client)
    if model.isOurs:
        assert model.run() == [False] * 17 + [True, "OutputLimitExceeded"]
        assert issubclass(model.error.OutputLimitExceeded, model.error.ConnectionLost)
    else:
        assert model.run() == [False] * 18 + ["ConnectionAborted"]


@pytest.mark.parametrize("isRaised", [False, True])
def test_muchInOneCallback(model: Model, isRaised: bool) -> None:
    """Nothing is sent before the callback ends, so a peer that reads cannot help."""
    mebibyte = b"x" * 2**20

    def speak(transport: Any) -> None:
        if model.isOurs and isRaised:
            transport.setOutputLimits(outputLimit=18 * 2**20)
        for _ in range(18):
            transport.write(mebibyte)

    assert len(exchange(model, speak)) == (0 if model.isOurs and not isRaised else 18 * 2**20)


def test_getHostAfterTheEnd(model: Model) -> None:
    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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


def test_halfCloseBehindAProducer(model: Model) -> None:
    """The server closes when it sees the end of the client's half."""

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        written = False

        def connectionMade(self) -> None:
            self.transport.registerProducer(self, False)

        def resumeProducing(self) -> None:
            if self.written:
                self.transport.unregisterProducer()
                model.soon(20, model.reactor.stop)
            else:
                self.written = True
                self.transport.write(b"all")
                self.transport.loseWriteConnection()

        def stopProducing(self) -> None:
            pass

        def connectionLost(self, reason: Any) -> None:
            model.note(reason.type)

    model.connect(model.serve(model.protocol.Protocol), Client)
    # Twisted's connection is still there when its reactor stops.
    assert model.run() == [model.error.ConnectionDone if model.isOurs else model.error.ConnectionLost]


def test_halfCloseWithoutRegistration(model: Model) -> None:
    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def readConnectionLost(self) -> None:
            model.note("read")
            self.transport.write(b"answer")
            self.transport.loseConnection()

        def writeConnectionLost(self) -> None:
            model.note("write")

        def connectionLost(self, reason: Any) -> None:
            model.note("lost")
            model.reactor.stop()

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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

        monotonic = seconds

    model.close()
    model.reactor = Frozen()
    for number in range(8):
        model.reactor.callLater(0, model.note, number)
    model.soon(2, model.reactor.stop)
    model.reactor.run(installSignalHandlers=False)
    assert sorted(model.trace) == list(range(8))
    assert (model.trace == list(range(8))) is model.isOurs


def test_wallClockIsSet(model: Model) -> None:
    ahead = 0.0

    class Set(model.Reactor):  # type: ignore[name-defined,misc]
        def seconds(self) -> float:
            return time.time() + ahead

    model.close()
    model.reactor = Set()
    call = model.reactor.callLater(100, model.note, "early")
    assert call.getTime() - model.reactor.seconds() == pytest.approx(100, abs=DEADLINE)
    ahead = 3600.0
    left = call.getTime() - model.reactor.seconds()
    assert left == pytest.approx(100 if model.isOurs else -3500, abs=DEADLINE)
    model.reactor.iterate()
    assert model.trace == ([] if model.isOurs else ["early"])
    if model.isOurs:
        call.cancel()


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

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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

    class Receiver(model.strings.Int8StringReceiver):  # type: ignore[misc, name-defined]
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
    receiver.makeConnection(Transport())  # type: ignore[no-untyped-call]
    receiver.dataReceived(b"x")
    receiver.dataReceived(b"5:hello,")
    assert model.trace == ["lose"] * (1 if model.isOurs else 2)


def test_netstringsToTheLetter(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    class Transport(StringTransport):
        def loseConnection(self) -> None:
            model.note("lose")

    class Receiver(model.strings.NetstringReceiver):  # type: ignore[misc, name-defined]
        def stringReceived(self, string: bytes) -> None:
            model.note(string)

    caplog.set_level(logging.INFO, "reactor.stringreceivers")
    receiver = Receiver()
    receiver.makeConnection(Transport())  # type: ignore[no-untyped-call]
    receiver.dataReceived(b"5\n")
    assert (model.trace, len(caplog.records)) == ((["lose"], 1) if model.isOurs else ([], 0))
    receiver = Receiver()
    receiver.MAX_LENGTH = 0
    receiver.makeConnection(Transport())  # type: ignore[no-untyped-call]
    with nullcontext() if model.isOurs else pytest.raises(ValueError, match=r"math domain|positive"):
        receiver.dataReceived(b"0:,")
    assert model.trace == (["lose", b""] if model.isOurs else [])


@pytest.mark.parametrize("kind", ["Int8StringReceiver", "NetstringReceiver"])
def test_stringsFedInsideACallback(model: Model, kind: str) -> None:
    """Data that a callback feeds waits for its turn, and any number of times."""
    count = 1000

    class Receiver(getattr(model.strings, kind)):  # type: ignore[misc]
        def stringReceived(self, string: bytes) -> None:
            model.note(string)
            if len(model.trace) < count:
                self.dataReceived(b"\1x" if kind == "Int8StringReceiver" else b"1:x,")

    receiver = Receiver()
    receiver.makeConnection(StringTransport())
    with nullcontext() if model.isOurs else pytest.raises(RecursionError):
        receiver.dataReceived(b"\1a\1b" if kind == "Int8StringReceiver" else b"1:a,1:b,")
    if model.isOurs:
        assert model.trace == [b"a", b"b"] + [b"x"] * (count - 1)


def test_negativeLengths(model: Model) -> None:
    class Receiver(model.strings.IntNStringReceiver):  # type: ignore[misc, name-defined]
        structFormat = "!b"
        prefixLength = 1

        def stringReceived(self, string: bytes) -> None:
            model.note(string)
            if len(model.trace) == 3:
                raise LookupError("for ever")

        def lengthLimitExceeded(self, length: int) -> None:
            model.note("refused", length)

    receiver = Receiver()
    receiver.makeConnection(StringTransport())
    with nullcontext() if model.isOurs else pytest.raises(LookupError):
        receiver.dataReceived(b"\xffabc")
    assert model.trace == ([("refused", -1)] if model.isOurs else [b""] * 3)


def test_unhandledErrorIsOneRecord(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        model.defer.fail(LookupError("no"))
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
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


def test_cancelOfARing(model: Model) -> None:
    one, other = model.defer.Deferred(), model.defer.Deferred()
    one.addCallback(lambda _: other)
    other.addCallback(lambda _: one)
    one.callback(None)
    other.callback(None)
    with nullcontext() if model.isOurs else pytest.raises(RecursionError):
        one.cancel()


def test_anyNumberWaitsForALock(model: Model) -> None:
    """1,000 short turns of a lock; Twisted's stack ends, and the lock stays locked."""
    lock = model.defer.DeferredLock()
    lock.acquire()
    done: list[int] = []
    waiting = [lock.run(done.append, number).addErrback(lambda _: None) for number in range(1000)]
    lock.release()
    assert (len(done) == 1000, lock.locked) == ((True, False) if model.isOurs else (False, True))
    assert all(each.called for each in waiting) is model.isOurs


def test_brokenCancellers(model: Model) -> None:
    """A canceller that raises: the race that it lost, and a Deferred that has timed out."""

    def broken(_: Any) -> None:
        raise ValueError("canceller")

    contenders = [model.defer.Deferred(broken), model.defer.Deferred()]
    winner = model.defer.race(contenders)
    contenders[1].addErrback(lambda _: None)
    contenders[1].callback(None)
    clock = model.task.Clock()
    timed = model.defer.Deferred(broken).addTimeout(1, clock)
    with nullcontext() if model.isOurs else pytest.raises(ValueError, match="canceller"):
        clock.advance(1)
    assert (winner.called, timed.called) == (model.isOurs, model.isOurs)
    timed.addErrback(lambda _: None)


def test_aDeferredIsNoList(model: Model) -> None:
    waiting = model.defer.Deferred()
    if model.isOurs:
        with pytest.raises(TypeError, match="a list of Deferreds is needed"):
            model.defer.gatherResults(waiting)
    else:
        assert list(itertools.islice(waiting, 1000)) == [waiting] * 1000


def test_awaitInsideAnErrback(model: Model) -> None:
    """A coroutine that waits for a failed Deferred, begun by one of that Deferred's errbacks."""

    async def wait() -> None:
        try:
            await deferred
        except Exception as error:
            model.note(type(error))

    def begin(_: Any) -> None:
        model.defer.ensureDeferred(wait())

    deferred = model.defer.Deferred().addErrback(begin)
    deferred.errback(LookupError("no"))
    assert model.trace == [LookupError if model.isOurs else AssertionError]


def test_whatDeferredsShow(model: Model) -> None:
    deferred = model.defer.Deferred().addCallback(model.note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Twisted will hide it
        deferred.callbacks.clear()
    deferred.callback("called")
    assert model.trace == (["called"] if model.isOurs else [])
    queue = model.defer.DeferredQueue()
    waiting = [queue.pending, queue.waiting, model.defer.DeferredLock().waiting]
    assert {type(line) for line in waiting} == {deque if model.isOurs else list}


def test_clocksRefuseWhatReactorsDo(model: Model) -> None:
    with pytest.raises(AssertionError):
        model.reactor.callLater(-1, model.note)
    with pytest.raises(AssertionError) if model.isOurs else nullcontext():
        model.task.Clock().callLater(-1, model.note)
    for interval in (nan, inf):
        call = model.task.LoopingCall(model.note)
        call.clock = model.task.Clock()
        with pytest.raises(ValueError, match="interval") if model.isOurs else nullcontext():
            call.start(interval, now=False)


def test_loopingCallStartedAgain(model: Model) -> None:
    clock = model.task.Clock()
    counting = model.task.LoopingCall.withCount(model.note)
    waiting = [model.defer.Deferred() for _ in range(3)]
    slow = model.task.LoopingCall(iter(waiting).__next__)
    counting.clock = slow.clock = clock
    counting.start(1)
    counting.stop()
    clock.advance(10)
    counting.start(1)
    counting.stop()
    assert model.trace == [1, 1 if model.isOurs else 10]
    for name in ("first", "second"):
        slow.start(1).addCallback(lambda _, name=name: model.note(name))
        if name == "first":
            slow.stop()
    waiting[0].callback(None)
    waiting[1].callback(None)
    assert (model.trace[2:], len(clock.getDelayedCalls())) == ((["first"], 1) if model.isOurs else ([], 2))


class Turns:
    """A cooperator, and its turns, which end with every item."""

    def __init__(self, model: Model) -> None:
        self.turns: list[Callable[[], None]] = []
        self.cooperator = model.task.Cooperator(lambda: lambda: True, self.schedule)

    def schedule(self, turn: Callable[[], None]) -> Any:
        self.turns.append(turn)
        return SimpleNamespace(cancel=self.turns.clear)

    def run(self) -> None:
        while self.turns:
            self.turns.pop()()


def test_cooperatorEndsTasks(model: Model) -> None:
    turns = Turns(model)
    for number in range(3):
        task = turns.cooperator.cooperate(iter(range(9)))
        task.whenDone().addErrback(lambda failure, number=number: model.note(number))
    turns.cooperator.stop()
    assert model.trace == ([0, 1, 2] if model.isOurs else [0, 2])

    def work() -> Iterator[None]:
        yield
        ending.stop()

    turns = Turns(model)
    ending = turns.cooperator.cooperate(work())
    ending.whenDone().addErrback(lambda failure: model.note(failure.type.__name__))
    with nullcontext() if model.isOurs else pytest.raises(ValueError, match="x not in list"):
        turns.run()
    assert model.trace[-1] == "TaskStopped"


def test_cooperatorTellsOfErrors(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    def work(error: BaseException) -> Iterator[None]:
        yield
        raise error

    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    try:
        turns = Turns(model)
        turns.cooperator.cooperate(work(LookupError("no")))
        turns.run()
        gc.collect()
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert events == []
    assert [record.name for record in caplog.records] == (["reactor.task"] if model.isOurs else [])
    turns = Turns(model)
    turns.cooperator.cooperate(work(SystemExit(3))).whenDone().addErrback(lambda failure: model.note(failure.type))
    with pytest.raises(SystemExit) if model.isOurs else nullcontext():
        turns.run()
    assert model.trace == [SystemExit]


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


@pytest.mark.parametrize("side", SIDES, ids=lambda side: str(side.name))
def test_connectorsAroundTheirFactory(side: Any) -> None:
    """A connector whose factory cannot start, and one that connects again in stopFactory."""
    world = World(side)

    def start(factory: Any) -> None:
        if factory.trace.count("start") == 2:
            raise ZeroDivisionError

    def stop(factory: Any) -> None:
        if factory.trace.count("stop") == 1:
            with suppress(ZeroDivisionError):
                connectors[0].connect()

    connectors: list[Any] = []
    factory = world.clientFactory(start=start, stop=stop, started=lambda _, connector: connectors.append(connector))
    world.reactor.connectTCP("127.0.0.1", refusedPort(), factory)
    turnUntil(world.reactor, lambda: "stop" in factory.trace)
    for _ in range(5):
        world.reactor.iterate(0.001)
    ours = ["start", ("started", "connecting"), ("failed", "disconnected", "ConnectionRefusedError"), "stop", "start"]
    theirs = [*ours[:4], ("started", "connecting"), ("failed", "disconnected", "ConnectionRefusedError")]
    assert factory.trace == (ours if side.name == "ours" else theirs)
    assert (connectors[0].state, factory.numPorts) == ("disconnected", 0)
    world.close()


def test_connectErrorOfBuildProtocol(model: Model) -> None:
    mine = model.error.ConnectionRefusedError("mine")

    def refuse(factory: Any, addr: Any) -> None:
        raise mine

    def failed(factory: Any, connector: Any, reason: Any) -> None:
        model.note(reason.value is mine, isinstance(reason.value, model.error.ConnectError))
        model.reactor.stop()

    port = model.serve(model.protocol.Protocol)
    model.connect(port, model.protocol.Protocol, buildProtocol=refuse, clientConnectionFailed=failed)
    assert model.run() == [(model.isOurs, True)]


@pytest.mark.parametrize("description", ["tcp", "tcp:1:2:3:4:5", "tcp:1:nothing=3", "tcp:1\\"])
def test_badEndpoints(model: Model, description: str) -> None:
    for read in (model.endpoints.serverFromString, model.endpoints.clientFromString):
        with pytest.raises(ValueError if model.isOurs else (TypeError, RuntimeError)):
            read(model.reactor, description)


def test_endpointsConnectionMadeRaises(model: Model) -> None:
    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            model.soon(2, self.transport.loseConnection)
            raise LookupError("no")

        def connectionLost(self, reason: Any) -> None:
            model.soon(2, model.reactor.stop)

    factory = model.protocol.Factory.forProtocol(Client)
    factory.noisy = False
    endpoint = model.endpoints.TCP4ClientEndpoint(model.reactor, HOST, model.serve(model.protocol.Protocol))
    endpoint.connect(factory).addErrback(lambda failure: model.note(failure.type))
    assert model.run() == ([LookupError] if model.isOurs else [])


def test_processEndpointThatFails(model: Model) -> None:
    """connectionMade raises, with a child that would live on; and a factory that has no protocol for one."""
    lost: list[Any] = []
    connected: list[Any] = []

    class Failing(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            raise LookupError("no")

        def connectionLost(self, reason: Any) -> None:
            lost.append(reason.type)

    class Nobody(model.protocol.Factory):  # type: ignore[misc, name-defined]
        noisy = False

        def buildProtocol(self, addr: Any) -> Any:
            return None

    def spawnNothing(*_: Any) -> None:
        model.note("spawned")

    factory = model.protocol.Factory.forProtocol(Failing)
    factory.noisy = False
    with children(SIDES[0] if model.isOurs else SIDES[1]) as world:
        endpoint = model.endpoints.ProcessEndpoint(world.reactor, "/bin/sleep", ["sleep", "0.05"])
        endpoint.connect(factory).addBoth(connected.append)
        world.until(lambda: lost)
    fake: Any = SimpleNamespace(spawnProcess=spawnNothing)
    model.endpoints.ProcessEndpoint(fake, "/bin/true").connect(Nobody()).addBoth(connected.append)
    kinds = [getattr(each, "type", type(each)) for each in connected]
    if model.isOurs:
        assert (lost, kinds, model.trace) == ([LookupError], [LookupError, reactor.error.NoProtocol], [])
    else:
        assert (lost, kinds, model.trace) == ([model.error.ConnectionDone], [Failing, type(None)], ["spawned"])


def test_resolversThatRaise(model: Model) -> None:
    class Resolver:
        def getHostByName(self, name: str, timeout: Any = None) -> Any:
            raise LookupError(name)

        def resolveHostName(self, *_: Any, **__: Any) -> Any:
            raise LookupError("name")

    if model.isOurs:
        model.reactor.installResolver(Resolver())
    else:
        model.reactor.installNameResolver(Resolver())
    factory = model.protocol.Factory()
    factory.noisy = False
    endpoint = model.endpoints.HostnameEndpoint(model.reactor, "name.test", 1)
    with nullcontext() if model.isOurs else pytest.raises(LookupError):
        endpoint.connect(factory).addErrback(lambda failure: model.note(failure.type))
    assert model.trace == ([LookupError] if model.isOurs else [])


def test_resetDelayThenStopTrying(model: Model) -> None:
    factory = model.protocol.ReconnectingClientFactory()
    factory.noisy, factory.clock, factory.jitter = False, model.task.Clock(), None
    factory.retry(SimpleNamespace(connect=lambda: model.note("connected"), stopConnecting=lambda: None))
    factory.resetDelay()
    factory.stopTrying()
    factory.clock.advance(10)
    assert model.trace == ([] if model.isOurs else ["connected"])


def test_coroutinesOfCallbacks(model: Model) -> None:
    """Ours runs them beside what follows; Twisted's drops them, with a warning of Python's."""
    waiting = model.defer.Deferred()

    def told(name: str) -> Any:
        async def callback(*_: Any) -> None:
            model.note(name)
            await waiting

        return callback

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        connectionMade = told("made")
        dataReceived = told("data")

        def connectionLost(self, reason: Any) -> None:
            model.soon(2, model.reactor.stop)

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.write(b"x")
            model.soon(5, self.transport.loseConnection)

    class Forgotten(model.LineReceiver):  # type: ignore[misc, name-defined]
        def lineReceived(self, line: bytes) -> Any:
            yield model.note("never")  # type: ignore[func-returns-value]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.connect(model.serve(Server), Client)
        model.reactor.callLater(0, told("callLater"))
        model.run()
        gc.collect()
    assert sorted(model.trace) == (["callLater", "data", "made"] if model.isOurs else [])
    waiting.callback(None)
    receiver = Forgotten()
    receiver.makeConnection(StringTransport())
    with pytest.raises(TypeError, match="is a generator") if model.isOurs else nullcontext():
        receiver.dataReceived(b"a line\r\n")


def test_shutdownWaitsForCoroutines(model: Model) -> None:
    async def before() -> None:
        model.note("begun")
        waiting = model.defer.Deferred()
        model.soon(2, lambda: waiting.callback(None))
        await waiting
        model.note("done")

    model.reactor.addSystemEventTrigger("before", "shutdown", before)
    model.soon(0, lambda: model.reactor.callWhenRunning(model.reactor.stop))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.run()
        gc.collect()
    assert model.trace == (["begun", "done"] if model.isOurs else [])


def test_coroutinesThatAreWaitedFor(model: Model) -> None:
    """The result of a coroutine of deferLater's function; and a cooperative iterator that yields a coroutine."""
    clock = model.task.Clock()
    waiting = model.defer.Deferred()

    async def answer() -> Any:
        return await waiting

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.task.deferLater(clock, 1, answer).addCallback(lambda found: model.note(type(found)))
        clock.advance(1)
        work = iter([answer()])
        cooperator = model.task.Cooperator(scheduler=lambda turn: clock.callLater(1, turn))
        done = cooperator.coiterate(work)
        clock.advance(1)
        clock.advance(1)
        assert (model.trace, done.called) == (([], False) if model.isOurs else ([CoroutineType], True))
        del work
        gc.collect()
    waiting.callback("there")
    assert model.trace == ([str] if model.isOurs else [CoroutineType])


def test_commandListensOnLoopback(model: Model) -> None:
    """An endpoint's string means the same in both; the command, which Twisted's `twist` is like, adds to it."""
    endpoints = [model.endpoints.serverFromString(model.reactor, "tcp:0")]
    if model.isOurs:
        parsed = makeParser().parse_args(["serve", "--listen", "tcp:0"])
        endpoints += [endpoint for _kind, endpoint in endpointsOf(parsed, model.reactor)]
    factory = model.protocol.Factory()
    factory.noisy = False
    for endpoint in endpoints:
        endpoint.listen(factory).addCallback(lambda port: model.note(port.getHost().host))
    model.soon(1, model.reactor.stop)
    assert model.run() == (["0.0.0.0", HOST] if model.isOurs else ["0.0.0.0"])


def test_everyAddressIsTried(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses, and nobody at the first."""

    def answer(host: str, port: Any, *_: Any, **__: Any) -> list[Any]:
        assert host == "two.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.2", HOST)]

    port = model.serve(model.protocol.Protocol)
    if model.isOurs:
        monkeypatch.setattr(socket, "getaddrinfo", answer)
    else:
        model.reactor.installNameResolver(GAIResolver(model.reactor, model.reactor.getThreadPool, answer))  # type: ignore[arg-type]

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            model.note(self.transport.getPeer().host)
            model.reactor.stop()

    def failed(factory: Any, connector: Any, reason: Any) -> None:
        model.note(reason.value.osError)
        model.reactor.stop()

    model.connect(port, Client, "two.example", clientConnectionFailed=failed)
    assert model.run() == [HOST if model.isOurs else errno.ECONNREFUSED]


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "127.0.0.1\0.example"])
def test_whatIsNoHostName(model: Model, host: str) -> None:
    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            model.note(self.transport.getPeer().host)
            model.reactor.stop()

    def failed(factory: Any, connector: Any, reason: Any) -> None:
        model.note(reason.type)
        model.reactor.stop()

    model.connect(model.serve(model.protocol.Protocol), Client, host, clientConnectionFailed=failed)
    assert model.run() == [model.error.DNSLookupError if model.isOurs else HOST]


def test_noDescriptorLeft(model: Model) -> None:
    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
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


def test_stopListeningServesWhoWaits(model: Model) -> None:
    """The kernel has let the client in; the loop has not come round."""

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            self.transport.write(b"served")
            self.transport.loseConnection()

    factory = model.protocol.ServerFactory.forProtocol(Server)
    factory.noisy = False
    port = model.reactor.listenTCP(0, factory, interface=HOST)

    def stop() -> None:
        clients.append(socket.create_connection((HOST, port.getHost().port), timeout=DEADLINE))
        port.stopListening().addCallback(lambda _: model.reactor.callLater(0.05, model.reactor.stop))

    clients: list[socket.socket] = []
    model.reactor.callWhenRunning(stop)
    model.run()
    with clients[0] as client:
        if model.isOurs:
            assert client.recv(10) == b"served"
        else:
            with pytest.raises(ConnectionResetError):
                client.recv(10)


def test_closesTellTheirReason(model: Model) -> None:
    class Server(model.LineReceiver):  # type: ignore[misc, name-defined]
        MAX_LENGTH = 3

        def connectionLost(self, reason: Any = None) -> None:
            model.note(reason.type.__name__, bool(reason.check(model.error.ConnectionDone)))
            model.reactor.stop()

    with socket.create_connection((HOST, model.serve(Server))) as client:
        client.sendall(b"a line\r\n")
        assert model.run() == [("LineLengthExceeded" if model.isOurs else "ConnectionDone", True)]


def test_lastByteOfAnEmptyFile(model: Model, tmp_path: Any) -> None:
    (tmp_path / "empty").touch()
    consumer = model.protocol.FileWrapper(io.BytesIO())
    with (tmp_path / "empty").open("rb") as file:
        model.FileSender().beginFileTransfer(file, consumer).addCallback(model.note)
    assert model.trace in ([b""], [""])
    assert isinstance(model.trace[0], bytes) is model.isOurs


def test_fileWrapperTells(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "no space")

    wrapper = model.protocol.FileWrapper(Full())
    wrapper.write(b"x")
    assert [record.name for record in caplog.records] == (["reactor.protocol"] if model.isOurs else [])
    assert not wrapper.disconnecting
    wrapper.loseConnection()
    assert bool(wrapper.disconnecting) is model.isOurs


def test_fileSenderErrors(model: Model) -> None:
    """A file of which the second piece cannot be read."""
    pieces = iter([b"piece"])

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            file = SimpleNamespace(read=lambda size: next(pieces))
            model.FileSender().beginFileTransfer(file, self.transport).addErrback(self.failed)

        def failed(self, failure: Any) -> None:
            model.note(failure.type.__name__)
            self.transport.write(b", sorry")
            self.transport.loseConnection()

        def connectionLost(self, reason: Any) -> None:
            model.note(reason.type.__name__)

    class Client(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        received = b""

        def dataReceived(self, data: bytes) -> None:
            self.received += data

        def connectionLost(self, reason: Any) -> None:
            model.note(self.received)
            model.soon(2, model.reactor.stop)

    model.connect(model.serve(Server), Client)
    told = ["StopIteration", "ConnectionDone", b"piece, sorry"] if model.isOurs else ["Exception", "StopIteration"]
    assert model.run()[: len(told)] == told


def test_mistakesAreToldAtOnce(model: Model) -> None:
    """A class in the place of a factory, arguments that nobody takes, a delimiter or a limit that is text."""
    protocol, factory = model.protocol.Protocol, model.protocol.ServerFactory
    call: Callable[[], object]
    for call, words in (
        (lambda: model.reactor.connectTCP(HOST, 1, protocol), "ClientFactory.forProtocol(Protocol)"),
        (lambda: factory.forProtocol(protocol, "argument"), "functools.partial(Protocol, ...)"),
    ):
        with pytest.raises((TypeError, AttributeError)) as caught:
            call()
        assert (words in str(caught.value)) is model.isOurs
    receiver = model.LineReceiver()
    receiver.delimiter = "\n"
    for late in (
        lambda: type("Text", (model.LineReceiver,), {"delimiter": "\n"}),
        lambda: type("Text", (model.LineReceiver,), {"MAX_LENGTH": "100"}),
        lambda: receiver.makeConnection(SimpleNamespace()),
    ):
        with pytest.raises(TypeError) if model.isOurs else nullcontext():
            late()


def test_pullProducerThatWroteNothing(model: Model) -> None:
    """Asked again after 10 ms. A FileSender reads on for a transform that gives nothing, as compression does."""
    asked: list[float] = []

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            producer = SimpleNamespace(resumeProducing=self.produce, stopProducing=lambda: None)
            self.transport.registerProducer(producer, False)
            model.reactor.callLater(0.1, model.reactor.stop)

        def produce(self) -> None:
            asked.append(1)
            if len(asked) == 3:
                self.transport.unregisterProducer()

    model.connect(model.serve(Server), model.protocol.Protocol)
    model.run()
    assert len(asked) == (3 if model.isOurs else 1)
    pieces = iter([b"", b"", b"data"])
    consumer = SimpleNamespace(
        registerProducer=lambda producer, streaming: producer.resumeProducing(), write=model.note
    )
    model.FileSender().beginFileTransfer(io.BytesIO(bytes(99_999)), consumer, lambda piece: next(pieces))
    assert model.trace == [b"data" if model.isOurs else b""]


def test_fileSenderAgain(model: Model) -> None:
    """The next transfer, begun by the callback of the one before."""

    class Consumer:
        producer: Any = None

        def registerProducer(self, producer: Any, streaming: bool) -> None:
            self.producer = producer

        def unregisterProducer(self) -> None:
            self.producer = None

        def write(self, data: bytes) -> None:
            model.note(data)

    consumer = Consumer()
    sender = model.FileSender()

    def send(data: bytes) -> Any:
        return sender.beginFileTransfer(io.BytesIO(data), consumer)

    send(b"first").addCallback(lambda _: send(b"second")).addCallback(lambda _: model.note("done"))
    while consumer.producer is not None:
        consumer.producer.resumeProducing()
    assert model.trace == [b"first", b"second", *(["done"] if model.isOurs else [])]


def test_threadPoolIsAnExecutor() -> None:
    pool = EpollReactor().getThreadPool()
    assert isinstance(pool, Executor)
    assert pool.submit(int, "7").result(DEADLINE) == 7
    pool.shutdown()


def test_callsOfAThreadPool(model: Model) -> None:
    """A call that is cancelled while it waits for its thread, and one for a pool that takes no more."""
    free = threading.Event()
    pool: Any = ThreadPoolExecutor(1) if model.isOurs else ThreadPool(1, 1)
    if not model.isOurs:
        pool.start()
    model.threads.deferToThreadPool(model.reactor, pool, free.wait, DEADLINE)
    second = model.threads.deferToThreadPool(model.reactor, pool, model.note, "called")
    second.addErrback(lambda failure: model.note(failure.type.__name__)).cancel()
    free.set()
    (pool.shutdown if model.isOurs else pool.stop)()
    assert model.trace == (["CancelledError"] if model.isOurs else ["CancelledError", "called"])
    late = model.threads.deferToThreadPool(model.reactor, pool, model.note, "late")
    late.addErrback(lambda failure: model.note(failure.type))
    model.soon(2, model.reactor.stop)
    assert model.run()[1:] == ([RuntimeError] if model.isOurs else ["called"])


def test_noZope() -> None:
    """Interfaces are typing.Protocol: an object that has the methods provides them."""
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
    other = model.reactor.listenUNIXDatagram("datagrams", model.protocol.DatagramProtocol())
    for each in (path, "datagrams"):
        assert os.stat(each).st_mode & 0o777 == (0o600 if model.isOurs else 0o666)
    stopPort(model, port)
    stopPort(model, other)


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
    assert server.transport is not pump.serverIO  # type: ignore[comparison-overlap]
    assert pump.serverIO.TLS


@pytest.mark.parametrize("isOurs", [True, False])
def test_noSessionTickets(isOurs: bool) -> None:
    """Tickets come behind the client's last part of the handshake; a client that only sends never reads them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = peerContext(isClient=True).wrap_bio(incoming, outgoing, server_hostname=TLS_HOST)
    server: Any
    put: Callable[[bytes], object]
    take: Callable[[], bytes]
    if isOurs:
        ins, outs = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = CertificateOptions(certificatePath()).getContext().wrap_bio(ins, outs, server_side=True)
        put, take = ins.write, outs.read
    else:
        options = twisted.internet.ssl.DefaultOpenSSLContextFactory(certificatePath(), certificatePath())
        server = OpenSSL.SSL.Connection(options.getContext(), None)
        server.set_accept_state()
        put = server.bio_write

        def read() -> bytes:
            try:
                return bytes(server.bio_read(1 << 16))
            except OpenSSL.SSL.WantReadError:
                return b""

        take = read

    for _ in range(2):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        put(outgoing.read())
        with suppress(ssl.SSLWantReadError, OpenSSL.SSL.WantReadError):
            server.do_handshake()
        last = take()
        incoming.write(last)
    assert client.version() == "TLSv1.3"
    assert (last == b"") is isOurs


def test_tlsClosesInTime() -> None:
    wire = Wire(options=CertificateOptions(certificatePath())).handshake()
    wire.ours.loseConnection()
    wire.flush()
    wire.advance(9.9)
    assert wire.protocol.events == ["made", "handshake"]
    wire.advance(0.1)
    assert wire.protocol.events == ["made", "handshake", "ConnectionDone"]


@pytest.mark.parametrize("how", ["aborts", "raises"])
def test_tlsEndsSayWhy(how: str) -> None:
    """The other half, Twisted's, stands in test_tlstraces.py."""
    wire = Wire().handshake()
    if how == "aborts":
        wire.ours.abortConnection()
    else:
        wire.protocol.dataReceived = lambda data: 1 / 0  # type: ignore[method-assign]
        wire.say(b"x")
    wire.advance(0)
    assert wire.protocol.events[-1] == {"aborts": "ConnectionAborted", "raises": "ZeroDivisionError"}[how]


def test_tlsHalves() -> None:
    """The other half, Twisted's, stands in test_tlstraces.py."""
    wire = Wire(protocol=RecordingHalves()).handshake()
    wire.closeNotify()
    assert wire.protocol.events == ["made", "handshake", "readLost"]
    wire.ours.write(b"still here")
    wire.ours.loseConnection()
    assert wire.hear() == b"still here<end>"


def test_stopSaysGoodbye(tls: TLSWorld) -> None:
    servers, clients = tls.serverFactory(), TLSWorld()
    visitors = clients.clientFactory()
    clients.connect(tls.listen(servers), visitors)
    while not (servers.built and visitors.built):
        tls.reactor.iterate(0.001)
        clients.reactor.iterate(0.001)
    tls.reactor.disconnectAll()  # what stop() does at its end
    clients.until(lambda: visitors.only.lost)
    assert visitors.only.trace == ["made", ("lost", "ConnectionDone")]
    assert servers.only.trace == ["made", ("lost", "ConnectionLost")]
    clients.close()


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
    class Halves(policed.protocol.Protocol):  # type: ignore[misc, name-defined]
        def readConnectionLost(self) -> None: ...

        def writeConnectionLost(self) -> None: ...

    factory = policed.policies.WrappingFactory(policed.protocol.ServerFactory())
    wrapper = wrapped(policed, factory, Halves)
    assert hasattr(wrapper, "readConnectionLost") == policed.isOurs
    wrapper.wrappedProtocol.transport.abortConnection()
    assert bool(wrapper.disconnecting) == policed.isOurs


def test_wrappedRefusals(policed: Model) -> None:
    class Refusing(policed.protocol.ServerFactory):  # type: ignore[misc, name-defined]
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
def test_spawnProcessThatRaises(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system refuses to watch the second of the child's pipes."""
    with children(side) as world:
        before = openFiles()
        errors: list[BaseException] = [OSError(errno.ENOSPC, "no room for one more")]
        real = world.reactor.addReader
        refused = failing(world.reactor, "addReader", errors)
        calls = itertools.count()
        with monkeypatch.context() as patch:
            patch.setattr(world.reactor, "addReader", lambda reader: (refused if next(calls) else real)(reader))
            with pytest.raises(OSError, match="no room"):
                world.spawn("/bin/cat")
        with open(f"/proc/self/task/{threading.get_native_id()}/children") as found:
            left = [int(number) for number in found.read().split()]
        assert (left == []) is (side.name == "ours")
        for number in left:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
        if side.name == "ours":
            assert openFiles().keys() == before.keys()
        else:
            world.reactor.removeAll()
            for number in openFiles().keys() - before.keys():
                os.close(number)


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


@eachSide
def test_standardIOLeavesFlagsAlone(side: Any) -> None:
    world = World(side)
    for ours, theirs in (os.pipe()[::-1], [each.detach() for each in socket.socketpair()], os.openpty()):
        stdin, toUs = os.pipe()
        shared = os.dup(ours)  # a shell's
        protocol = world.serverFactory().buildProtocol(None)
        kind: Any = StandardIO if side.name == "ours" else twisted.internet.stdio.StandardIO
        kind(protocol, stdin, ours, reactor=world.reactor)
        assert os.get_blocking(shared) is (side.name == "ours")
        os.close(toUs)
        world.until(lambda protocol=protocol: protocol.lost is not None)
        for fd in {stdin, ours, theirs, shared}:
            with suppress(OSError):  # Twisted has closed its own
                os.close(fd)
    world.close()


NUMBERS = """
import os, sys
saying = os.dup2(os.open(sys.argv[1], os.O_WRONLY), 100)
if sys.argv[2] == "ours":
    from reactor import EpollReactor as Reactor
else:
    from twisted.internet.epollreactor import EPollReactor as Reactor
os.close(0)
os.close(1)
loop = Reactor()
os.write(saying, repr([os.path.exists(f"/proc/self/fd/{number}") for number in (0, 1)]).encode())
"""


@eachSide
def test_numbersOfDescriptors(side: Any, tmp_path: pathlib.Path) -> None:
    said = tmp_path / "said"
    said.touch()
    done = runProgram(NUMBERS, str(said), side.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert said.read_text() == ("[False, False]" if side.name == "ours" else "[True, True]")


@eachSide
def test_outputWithoutAReader(side: Any) -> None:
    world = World(side)
    (stdin, toUs), (fromUs, stdout) = os.pipe(), os.pipe()
    protocol = world.serverFactory().buildProtocol(None)
    kind: Any = StandardIO if side.name == "ours" else twisted.internet.stdio.StandardIO
    kind(protocol, stdin, stdout, reactor=world.reactor)
    os.close(fromUs)
    os.write(toUs, b"first")
    world.until(lambda: protocol.received == b"first")
    for _ in range(3):
        world.reactor.iterate(0)
    with suppress(BrokenPipeError):
        os.write(toUs, b"second")
    os.close(toUs)
    world.until(lambda: protocol.lost is not None)
    if side.name == "ours":
        assert (protocol.received, type(protocol.lost.value).__name__) == (b"first", "ConnectionLost")
    else:
        assert (protocol.received, type(protocol.lost.value).__name__) == (b"firstsecond", "ConnectionDone")
    world.close()
    for fd in (stdin, stdout):
        os.close(fd)


# Differences that have no words of their own elsewhere: names, hosts, descriptors.


def test_hostsThatAreNoText(model: Model) -> None:
    endpoint = model.endpoints.HostnameEndpoint(model.reactor, b"\xff-garbage", 80)
    endpoint.connect(model.protocol.Factory()).addErrback(lambda failure: model.note(failure.type.__name__))
    model.soon(2, model.reactor.stop)
    if model.isOurs:
        assert model.run() == ["DNSLookupError"]
    else:
        assert model.run() == ["ValueError"]


def test_literalsAreNotLookedUp(model: Model) -> None:
    class Resolver:
        def resolveHostName(self, receiver: Any, name: str, *args: Any, **more: Any) -> None:
            model.note(name)
            receiver.resolutionBegan(None)
            receiver.resolutionComplete()

    model.reactor.installNameResolver(Resolver())
    endpoint = model.endpoints.HostnameEndpoint(model.reactor, "127.0.0.1", refusedPort())
    endpoint.connect(model.protocol.Factory()).addErrback(lambda failure: model.note(failure.type.__name__))
    model.soon(5, model.reactor.stop)
    assert model.run() == (["ConnectionRefusedError"] if model.isOurs else ["127.0.0.1", "DNSLookupError"])


def test_ipv6OfNameResolvers(model: Model) -> None:
    kinds: Any = reactor.address if model.isOurs else twisted.internet.address

    class Resolver:
        def resolveHostName(self, receiver: Any, name: str, *args: Any, **more: Any) -> None:
            types = args[1] if len(args) > 1 else more.get("addressTypes")
            receiver.resolutionBegan(SimpleNamespace(name=name))
            if types is None or kinds.IPv6Address in types:
                receiver.addressResolved(kinds.IPv6Address("TCP", "::1", 0))
            receiver.resolutionComplete()

    model.reactor.installNameResolver(Resolver())
    model.reactor.resolve("six.example").addCallback(model.note).addErrback(lambda failure: model.note("none"))
    model.soon(2, model.reactor.stop)
    assert model.run() == (["::1"] if model.isOurs else ["none"])


def test_datagramsKeepTheScope() -> None:
    assert found("ours", "udp")["udp"][2] == [["answer", LINK]] * 3 + [["question", LINK]] * 3
    assert found("twisted", "udp")["udp"] != found("ours", "udp")["udp"]


@eachSide
def test_bindingsOfIPv6(side: Any) -> None:
    world = World(side)
    make = reactor.makeBinding if side.name == "ours" else twisted.internet.tcp.makeBinding
    if side.name == "ours":
        assert world.reactor.listenTCP(make("::1", 0), world.serverFactory()).getHost().host == "::1"
    else:
        with pytest.raises(side.error.CannotListenError):
            world.reactor.listenTCP(make("::1", 0), world.serverFactory())
    world.close()


@eachSide
def test_connectorHasNoHalfMadeTransport(side: Any) -> None:
    world = World(side)
    port = world.listen(world.serverFactory())
    clients = world.clientFactory()
    connector = world.connect(port, clients)
    assert (connector.transport is None) is (side.name == "ours")
    world.until(lambda: clients.built)
    assert connector.transport is clients.only.transport
    world.close()


@eachSide
def test_descriptorsAreSafe(side: Any) -> None:
    world = DescriptorWorld(side)

    def send(server: Any) -> None:
        server.transport.write(b"x")
        server.transport.sendFileDescriptor(world.file(b"one"))
        soonClosed = os.dup(world.file(b"two"))
        server.transport.sendFileDescriptor(soonClosed)
        os.close(soonClosed)
        server.transport.write(b"x")

    server, client = world.join(send)
    world.until(lambda: client.received == b"xx" or client.lost is not None)
    if side.name == "ours":
        assert (client.inherited, server.lost) == (False, None)
    else:  # the second descriptor was closed too early, which ends the connection
        assert (client.inherited, client.lost is not None) == (True, True)
    world.close()


@eachSide
def test_oneWaiterAfterAnother(side: Any, tmp_path: Any) -> None:
    clock, results = reactor.Clock(), list[Any]()
    lock = side.defer.DeferredFilesystemLock(str(tmp_path / "lock"), clock)
    os.symlink(str(os.getppid()), lock.name)
    lock.deferUntilLocked(1).addErrback(results.append)
    clock.pump([1, 1])
    lock.deferUntilLocked(5).addBoth(results.append)
    os.unlink(lock.name)
    if side.name == "ours":
        clock.advance(1)
        assert results[1] is None
    else:
        with pytest.raises(reactor.error.AlreadyCalled):
            clock.advance(1)


def test_oldTLSInStrings() -> None:
    for name in ("TLSv1_METHOD", "SSLv3_METHOD"):
        with pytest.raises(ValueError, match=r"from 1\.2 on"):
            reactor.endpoints.serverFromString(None, f"ssl:1:privateKey={certificatePath()}:sslmethod={name}")
    assert hasattr(OpenSSL.SSL, "TLSv1_METHOD")


def test_insideOfTransports() -> None:
    for name in ("doIteration", "runUntilCurrent", "mainLoop", "wakeUp", "threadpool", "resolver"):
        assert hasattr(twisted.internet.epollreactor.EPollReactor, name)
        assert not hasattr(EpollReactor, name)
    world = World()
    server, _ = world.pair()
    for name in ("dataBuffer", "writeSomeData", "logstr"):
        assert hasattr(twisted.internet.tcp.Server, name)
        assert not hasattr(server.transport, name)
    world.close()


def test_namesThatAreAbsent() -> None:
    for theirs, ours, names in (
        (twisted.python.failure, reactor.failure, ("DefaultException", "format_frames", "startDebugMode")),
        (twisted.internet.testing, reactor.testing, ("EventLoggingObserver",)),
        (twisted.test.iosim, reactor.testing, ("FakeAddress", "TLSNegotiation")),
    ):
        assert all(hasattr(theirs, name) and not hasattr(ours, name) for name in names)
    assert all(hasattr(twisted.internet.interfaces, name) for name in LEFT_OUT)
    assert not any(hasattr(reactor.interfaces, name) for name in LEFT_OUT)


class Boom(Exception):
    pass


def failing(owner: Any, name: str, errors: list[BaseException]) -> Callable[..., Any]:
    """A stand-in for a method of `owner`: it raises these first, one a call."""
    real = getattr(owner, name)

    def call(*args: Any) -> Any:
        if errors:
            raise errors.pop(0)
        return real(*args)

    return call


def noMemory() -> OSError:
    return OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_aLoopThatFailsRests(model: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Between callbacks, and again and again: both go on."""
    events: list[Any] = []
    errors: list[BaseException] = [Boom() for _ in range(20)]
    name = "_beginTurn" if model.isOurs else "runUntilCurrent"
    model.reactor.callLater(0, model.reactor.stop)
    monkeypatch.setattr(model.reactor, name, failing(model.reactor, name, errors))
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    began = time.monotonic()
    try:
        assert model.run() == []
    finally:
        globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]
    assert errors == []
    failures = [event for event in events if "log_failure" in event]
    if model.isOurs:
        assert time.monotonic() - began >= 18 * 0.01 * 0.9
        assert 1 <= len(caplog.records) <= 3
    else:
        assert len(failures) == 20


def test_refusedCallsAreNotMade(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """callFromThread that cannot wake the reactor raises in both."""
    with monkeypatch.context() as patch:
        name = "_wake" if model.isOurs else "wakeUp"
        patch.setattr(model.reactor, name, failing(model.reactor, name, [noMemory()]))
        with pytest.raises(OSError, match="memory"):
            model.reactor.callFromThread(model.note, "refused")
    model.soon(2, model.reactor.stop)
    assert model.run() == ([] if model.isOurs else ["refused"])


def test_noThreadLeft(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def noThread(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    pool: Any = ThreadPoolExecutor(1) if model.isOurs else ThreadPool(0, 1)
    if not model.isOurs:
        pool.start()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", noThread)
        with nullcontext() if model.isOurs else pytest.raises(RuntimeError, match="thread"):
            begun = model.threads.deferToThreadPool(model.reactor, pool, model.note, "called")
            begun.addErrback(lambda failure: model.note(failure.type))
    assert model.trace == ([RuntimeError] if model.isOurs else [])
    if model.isOurs:
        pool.shutdown()


class Starved:
    """A socket for which the system has no memory once."""

    def __init__(self, real: Any) -> None:
        self.real = real
        errors: list[BaseException] = [noMemory()]
        self.recvfrom = failing(real, "recvfrom", errors)
        self.recvfrom_into = failing(real, "recvfrom_into", errors)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


def test_datagramPortsLiveOn(model: Model) -> None:
    """The system has no memory for one datagram."""

    class Port(model.protocol.DatagramProtocol):  # type: ignore[misc, name-defined]
        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            model.note(datagram)
            model.reactor.stop()

        def stopProtocol(self) -> None:
            model.note("ended")
            model.reactor.stop()

    port = model.reactor.listenUDP(0, Port(), interface=HOST)
    port.socket = Starved(port.socket)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", (HOST, port.getHost().port))
        model.run()
    assert model.trace[0] == (b"hello" if model.isOurs else "ended")


def test_methodsAreEnough(model: Model, path: str) -> None:
    """Nothing declares that this protocol takes descriptors."""

    class Taking(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def fileDescriptorReceived(self, descriptor: int) -> None:
            model.note("descriptor")
            os.close(descriptor)

        def dataReceived(self, data: bytes) -> None:
            model.note(data)
            model.reactor.stop()

    factory = model.protocol.ServerFactory.forProtocol(Taking)
    model.reactor.listenUNIX(path, factory)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        socket.send_fds(peer, [b"x"], [peer.fileno()])
        assert model.run() == (["descriptor", b"x"] if model.isOurs else [b"x"])
    recorder = Recorder()
    wire = Wire(recorder)
    wire.handshake()
    assert "handshake" in recorder.events


def test_regularFiles(model: Model, tmp_path: pathlib.Path) -> None:
    """They are always ready, and epoll refuses them."""
    (tmp_path / "file").write_bytes(b"x")

    class Reader:
        def fileno(self) -> int:
            return file.fileno()

        def logPrefix(self) -> str:
            return ""

        def doRead(self) -> None:
            model.note("read")
            model.reactor.removeReader(self)
            model.reactor.stop()

    with open(tmp_path / "file", "rb") as file:
        if model.isOurs:
            with pytest.raises(PermissionError):
                model.reactor.addReader(Reader())
        else:
            model.reactor.addReader(Reader())
            assert model.run() == ["read"]


def test_aSecondSignalHurries(model: Model) -> None:
    """The first one has begun to wait for a trigger's Deferred."""
    model.reactor.addSystemEventTrigger("before", "shutdown", model.defer.Deferred)
    for turns in (2, 6):
        model.soon(turns, lambda: os.kill(os.getpid(), signal.SIGTERM))
    model.soon(20, lambda: (model.note("waiting"), model.reactor.crash()))  # type: ignore[func-returns-value]
    model.reactor.run()
    assert model.trace == ([] if model.isOurs else ["waiting"])


def test_endsInMemory() -> None:
    """They have what every transport has; TLS there is TLS."""
    theirs = twisted.test.iosim.FakeTransport(None, True)
    _, server, _ = connectedServerAndClient(reactor.LineReceiver, reactor.Protocol)
    for name in ("closed", "tls"):
        assert hasattr(theirs, name)
        assert not hasattr(server.transport, name)
    assert server.transport.disconnected is False
    server.transport.startTLS(serverOptions())
    assert server.transport.TLS


@eachSide
def test_bothHalvesOfStandardIO(side: Any) -> None:
    """The reader of the output disconnects, and then the writer of the input; the protocol hears of both halves."""
    world = World(side)
    kind: Any = StandardIO if side.name == "ours" else twisted.internet.stdio.StandardIO
    (stdin, toUs), (fromUs, stdout) = os.pipe(), os.pipe()
    protocol = world.serverFactory(halves=True).buildProtocol(None)
    kind(protocol, stdin, stdout, reactor=world.reactor)
    world.reactor.iterate(0)
    os.close(fromUs)
    world.until(lambda: "writeLost" in protocol.trace)
    os.close(toUs)
    world.until(lambda: "readLost" in protocol.trace)
    protocol.transport.loseConnection()
    for _ in range(5):
        world.reactor.iterate(0)
    assert (protocol.lost is not None) is (side.name == "ours")
    world.close()
    for number in (stdin, stdout):
        with suppress(OSError):  # Twisted's has closed them
            os.close(number)


def test_lineSendingProtocol(model: Model) -> None:
    """It waits for the first line, with lines of its own to send then."""
    kind = reactor.testing.LineSendingProtocol if model.isOurs else twisted.internet.testing.LineSendingProtocol
    sending = kind([b"one", b"two"], start=False)
    sending.makeConnection(StringTransport())
    sending.dataReceived(b"a\r\nb\r\n")
    assert sending.response == ([b"a", b"b"] if model.isOurs else [b"two", b"b"])


def test_blockingCallInTheReactorsOwnThread(model: Model) -> None:
    """It waits for what the thread that waits would do. Here an alarm ends the wait."""

    class Waited(Exception):
        pass

    def stopWaiting(number: int, frame: object) -> None:
        raise Waited

    def call() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        try:
            model.threads.blockingCallFromThread(model.reactor, int)
        except (RuntimeError, Waited) as error:
            model.note(type(error).__name__)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            model.reactor.stop()

    before = signal.signal(signal.SIGALRM, stopWaiting)
    try:
        model.reactor.callLater(0, call)
        assert model.run() == (["RuntimeError"] if model.isOurs else ["Waited"])
    finally:
        signal.signal(signal.SIGALRM, before)


def test_textAsADelimiter(model: Model) -> None:
    for name in ("delimiter", "MAX_LENGTH"):

        def use(name: str = name) -> None:
            receiver = type("Receiver", (model.LineReceiver,), {name: "1"})()
            model.note(name)
            receiver.makeConnection(StringTransport())
            receiver.dataReceived(b"a\r\n")

        with pytest.raises(TypeError):
            use()
    assert model.trace == ([] if model.isOurs else ["delimiter", "MAX_LENGTH"])


def test_memoryReactorsCheckFactories(model: Model) -> None:
    memory = (reactor.testing if model.isOurs else twisted.internet.testing).MemoryReactor()
    for call, where in ((memory.listenTCP, 7), (memory.listenUNIX, "path")):
        try:
            call(where, model.protocol.Protocol)
        except TypeError:
            model.note(call.__name__)
    assert model.trace == (["listenTCP", "listenUNIX"] if model.isOurs else [])
    assert bool(memory.tcpServers and memory.unixServers) is not model.isOurs


def test_aServersFactoryForAClient(model: Model) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    factory = model.protocol.ServerFactory.forProtocol(model.protocol.Protocol)
    factory.noisy = False
    with pytest.raises(TypeError if model.isOurs else AttributeError):
        model.reactor.connectTCP("127.0.0.1", listening.getsockname()[1], factory)
    model.reactor.callLater(0.05, model.reactor.stop)
    model.run()
    accepted = []
    with suppress(BlockingIOError):
        accepted.append(listening.accept()[0])
    assert len(accepted) == (0 if model.isOurs else 1)
    for each in (listening, *accepted):
        each.close()


def test_headersWithControls(model: Model) -> None:
    for value in (b"a\r\nb", b"a\0b", b"a\x1bb"):
        headers = model.Headers()
        try:
            headers.setRawHeaders(b"x", [value])
            headers.addRawHeader(b"x", value)
        except ValueError:
            model.note("refused")
        model.note(headers.getRawHeaders(b"x"))
    altered = [[b"a b"] * 2, [b"a\0b"] * 2, [b"a\x1bb"] * 2]
    assert model.trace == (["refused", None] * 3 if model.isOurs else altered)
    with pytest.raises(ValueError, match="a b"):
        headers.setRawHeaders(b"a b", [b""])


def test_listsOfHeadersAreCopies(model: Model) -> None:
    headers = model.Headers({b"x": [b"1"]})
    headers.getRawHeaders(b"x").append(b"2\r\n")
    for _name, values in headers.getAllRawHeaders():
        values.append(b"3\r\n")
    assert headers.getRawHeaders(b"x") == ([b"1"] if model.isOurs else [b"1", b"2\r\n", b"3\r\n"])


def test_aTextIsNoListOfValues(model: Model) -> None:
    headers = model.Headers()
    with pytest.raises(TypeError, match="a list of values") if model.isOurs else nullcontext():
        headers.setRawHeaders("x", "text")
    assert headers.getRawHeaders("x") == (None if model.isOurs else ["t", "e", "x", "t"])


def test_headersAreNoKeys(model: Model) -> None:
    one, other = model.Headers({b"a": [b"1"]}), model.Headers({b"b": [b"1"]})
    for act in (lambda: len({one, model.Headers({b"a": [b"1"]})}), lambda: one < other):
        try:
            model.note(act())
        except TypeError:
            model.note("refused")
    assert one == model.Headers({b"a": [b"1"]})
    assert model.trace == (["refused", "refused"] if model.isOurs else [2, True])


def test_datesToTheLetter(model: Model) -> None:
    for text in (
        b"Sun, 31 Feb 1994 08:49:37 GMT",
        b"Sun, 06 Nov 1994 25:49:37 GMT",
        b"Sun, 06 Nov 1994 08:49:37 EST",
        b"Wed, 31 Dec 1969 23:59:59 GMT",
        b"",
    ):
        try:
            model.note(model.http.stringToDatetime(text))
        except Exception as error:
            model.note(type(error).__name__)
    theirs = [762684577, 784172977, 784111777, "ValueError", "IndexError"]
    assert model.trace == (["ValueError", "ValueError", "ValueError", -1, "ValueError"] if model.isOurs else theirs)


def test_yearsOfTwoDigits(model: Model) -> None:
    for ahead in (49, 51):
        year = (time.gmtime().tm_year + ahead) % 100
        moment = time.gmtime(model.http.stringToDatetime(b"Sunday, 01-Jan-%02d 00:00:00 GMT" % year))
        model.note(moment.tm_year - time.gmtime().tm_year)
    thisYear = time.gmtime().tm_year
    ofTwisted = [(year % 100 + 31) % 100 + 1969 - thisYear for year in (thisYear + 49, thisYear + 51)]
    assert model.trace == ([49, -49] if model.isOurs else ofTwisted)
    assert ofTwisted != [49, -49]


def test_datesWithLongYears(model: Model) -> None:
    for moment in (253402300800, -62135596800):
        try:
            model.note(model.http.datetimeToString(moment))
        except ValueError:
            model.note("refused")
    theirs = [b"Sat, 01 Jan 10000 00:00:00 GMT", b"Mon, 01 Jan    1 00:00:00 GMT"]
    assert model.trace == (["refused", b"Mon, 01 Jan 0001 00:00:00 GMT"] if model.isOurs else theirs)


def oldClient(model: Model) -> Any:
    """An HTTPClient that notes its answer, on a transport in memory."""

    class Client(model.HTTPClient):  # type: ignore[name-defined,misc]
        def handleHeader(self, key: bytes, val: bytes) -> None:
            model.note((key, val))

        def handleResponse(self, response: bytes) -> None:
            model.note(response)

    client = Client()
    transport: Any = OurStringTransport() if model.isOurs else StringTransport()
    client.makeConnection(transport)
    return client


def test_requestsOfTheOldClient(model: Model) -> None:
    client = oldClient(model)
    acts: list[Callable[[], object]] = [
        lambda: client.sendCommand(b"GET", b"/ HTTP/1.1\r\nHost: x"),
        lambda: client.sendHeader(b"A B", b"c"),
        lambda: client.sendHeader(b"A", b"b\r\nc"),
    ]
    for act in acts:
        try:
            act()
        except ValueError:
            model.note("refused")
    assert model.trace == (["refused"] * 3 if model.isOurs else [])
    sent = b"" if model.isOurs else b"GET / HTTP/1.1\r\nHost: x HTTP/1.0\r\nA B: c\r\nA: b c\r\n"
    assert client.transport.value() == sent


def test_answersThatAreNoHTTP(model: Model) -> None:
    answers = {
        b"HTTP/1.0\r\n": "IndexError",
        b"HTTP/1.0 200 OK\r\nno colon\r\n\r\n": "ValueError",
        b"HTTP/1.0 200 OK\r\nContent-Length: x\r\n\r\n": "ValueError",
        b"HTTP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n": "taken",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n": "taken",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": "taken",
        b"HTTP/1.0 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n": "taken",
        b"HTTP/1.0 200 OK\r\n" + b"A: %s\r\n" % (b"b" * 9000) * 2 + b"\r\n": "taken",
        b"HTTP/1.0 200 OK\r\nA: b\r\n" + b" c\r\n" * 5000 + b"\r\n": "taken",
    }
    for answer in answers:
        client = oldClient(model)
        try:
            client.dataReceived(answer)
            model.note("closed" if client.transport.disconnecting else "taken")
        except (ValueError, IndexError) as error:
            model.note(type(error).__name__)
    outcomes = [each for each in model.trace if isinstance(each, str)]
    assert outcomes == (["closed"] * len(answers) if model.isOurs else [*answers.values()])


def test_answersWithoutABody(model: Model) -> None:
    client = oldClient(model)
    client.dataReceived(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
    model.note("end")
    client.connectionLost(model.Failure(model.error.ConnectionDone()))
    header = (b"Content-Length", b"0")
    assert model.trace == ([header, b"", "end"] if model.isOurs else [header, "end", b""])


def test_twoRequestsOfTheOldClient(model: Model) -> None:
    client = oldClient(model)
    answer = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab"
    client.dataReceived(answer + b"stray\r\n")
    client.firstLine, client.length = True, None
    with nullcontext() if model.isOurs else pytest.raises(ValueError, match="not enough values"):
        client.dataReceived(answer)
    header = (b"Content-Length", b"2")
    assert model.trace == ([header, b"ab"] * 2 if model.isOurs else [header, b"ab", header])


class Served:
    """A channel on a transport in memory, which receives `data`; its requests are processed by `process`."""

    def __init__(self, model: Model, process: Callable[[Any], Any], data: bytes = b"", timeout: float | None = None):
        requests: list[Any] = []

        class Request(model.http.Request):  # type: ignore[name-defined,misc]
            def process(self) -> Any:
                requests.append(self)
                return process(self)

        self.requests = requests
        self.clock = model.task.Clock()
        factory = model.http.HTTPFactory(timeout=timeout, reactor=self.clock)
        self.channel = factory.buildProtocol(None)
        self.channel.requestFactory = Request
        self.transport: Any = OurStringTransport() if model.isOurs else StringTransport()
        self.channel.makeConnection(self.transport)
        if data:
            self.channel.dataReceived(data)

    @property
    def wire(self) -> bytes:
        """The bytes that were sent, without the fields Date."""
        return re.sub(rb"Date: [^\r\n]*\r\n", b"", self.transport.value())

    @property
    def closed(self) -> bool:
        return bool(self.transport.disconnecting)


def answerFive(request: Any) -> None:
    """Answer with five bytes and their length."""
    request.setHeader(b"content-length", b"5")
    request.write(b"hello")
    request.finish()


GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
OLD = b"GET / HTTP/1.0\r\n\r\n"


def test_theHeadsOfAnswers(model: Model) -> None:
    served = Served(model, answerFive, GET)
    assert (b"\r\nDate: " in served.transport.value()) is model.isOurs
    served = Served(model, answerFive, OLD)
    ours = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    assert served.wire == (ours if model.isOurs else b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert served.closed


def test_keepAliveOfHTTP10(model: Model) -> None:
    asked = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    served = Served(model, answerFive, asked)
    assert served.closed is not model.isOurs
    assert (b"Connection: keep-alive\r\n" in served.wire) is model.isOurs
    served = Served(model, lambda request: [request.write(b"no length"), request.finish()], asked)
    assert served.closed


def test_answersThatWroteNothing(model: Model) -> None:
    served = Served(model, lambda request: request.finish(), GET)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert served.wire == (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" if model.isOurs else chunked)
    served = Served(model, lambda request: request.finish(), OLD)
    assert (b"Content-Length: 0" in served.wire) is model.isOurs


def test_programsThatClose(model: Model) -> None:
    def process(request: Any) -> None:
        request.setHeader(b"connection", b"close")
        answerFive(request)

    served = Served(model, process, GET)
    assert b"\r\nConnection: close\r\n" in served.wire
    assert served.closed is model.isOurs


def test_lengthsThatAreWrong(model: Model) -> None:
    def tooMuch(request: Any) -> None:
        request.setHeader(b"content-length", b"2")
        request.write(b"a")
        with pytest.raises(ValueError, match="1 bytes more") if model.isOurs else nullcontext():
            request.write(b"bc")

    served = Served(model, tooMuch, GET)
    assert served.wire.partition(b"\r\n\r\n")[2] == (b"a" if model.isOurs else b"abc")

    def tooLittle(request: Any) -> None:
        request.setHeader(b"content-length", b"9")
        request.write(b"a")
        request.finish()

    assert Served(model, tooLittle, GET).transport.disconnected is model.isOurs


def test_answersThatHaveNoLength(model: Model) -> None:
    def process(request: Any) -> None:
        request.setResponseCode(204)
        answerFive(request)

    served = Served(model, process, GET)
    assert served.wire.endswith(b"\r\n\r\n")
    assert (b"Content-Length" in served.wire) is not model.isOurs


def test_pipelinedRequests(model: Model) -> None:
    served = Served(model, lambda request: None, GET + GET.replace(b"/", b"/2", 1) + GET)
    assert len(served.requests) == (3 if model.isOurs else 1)
    if model.isOurs:
        for number in (2, 0, 1):
            served.requests[number].setHeader(b"x-number", b"%d" % number)
            served.requests[number].finish()
        assert re.findall(rb"X-Number: (\d)", served.wire) == [b"0", b"1", b"2"]


def test_processThatRaises(model: Model) -> None:
    def process(request: Any) -> None:
        raise RuntimeError("as the test says")

    served = Served(model, process)
    with nullcontext() if model.isOurs else pytest.raises(RuntimeError, match="as the test says"):
        served.channel.dataReceived(GET)
    assert served.wire[:12] == (b"HTTP/1.1 500" if model.isOurs else b"")
    assert b"as the test says" not in served.wire


def test_processThatIsACoroutine(model: Model) -> None:
    async def process(request: Any) -> None:
        answerFive(request)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was never awaited
        served = Served(model, process, GET)
        gc.collect()
    assert served.wire.endswith(b"hello") is model.isOurs


def test_semicolonsSeparateNothing(model: Model) -> None:
    Served(model, lambda request: model.note(request.args), GET.replace(b"/", b"/?a=1;b=2", 1))
    assert model.trace == [{b"a": [b"1;b=2"]} if model.isOurs else {b"a": [b"1"], b"b": [b"2"]}]


def test_fieldsThatStandTwice(model: Model) -> None:
    for name in (b"Authorization", b"Content-Type"):
        served = Served(model, answerFive, GET[:-2] + 2 * (name + b": x\r\n") + b"\r\n")
        model.note(served.wire[9:12])
    assert model.trace == ([b"400"] * 2 if model.isOurs else [b"200"] * 2)


def test_headsOfRequests(model: Model) -> None:
    for head in (b"GET / HTTP/1.1\r\n\r\n", GET[:-2] + b"A: b\r\n c\r\n\r\n"):
        served = Served(model, answerFive, head)
        model.note((served.wire[9:12], served.closed))
    assert model.trace == [(b"400", True)] * 2 if model.isOurs else [(b"200", False)] * 2


def test_transferCodings(model: Model) -> None:
    for coding in (b"identity", b"gzip"):
        served = Served(model, answerFive, POST + b"Transfer-Encoding: %b\r\nContent-Length: 1\r\n\r\nx" % coding)
        model.note(served.wire[9:12])
    chunked = POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
    for data in (chunked, chunked.replace(b"gzip, ", b"").replace(b"1.1", b"1.0")):
        model.note(Served(model, answerFive, data).wire[9:12])
    ours = [b"400", b"400", b"501", b"400"]
    assert model.trace == (ours if model.isOurs else [b"200", b"400", b"400", b"200"])


def test_laterVersions(model: Model) -> None:
    served = Served(model, answerFive, GET.replace(b"1.1", b"1.2"))
    assert served.wire[9:12] == (b"200" if model.isOurs else b"400")


def test_refusalsWait(model: Model) -> None:
    served = Served(model, answerFive, b"GET / HTTP/1.1\r\nno field\r\nX: y\r\n")
    assert served.closed is not model.isOurs
    if model.isOurs:
        served.channel.dataReceived(b"\r\n")
        assert (served.wire[9:12], served.closed) == (b"400", True)


def test_formsThatAreCutOff(model: Model) -> None:
    form = b'--a\r\nContent-Disposition: form-data; name="b"\r\n\r\nc'
    head = POST + b"Content-Type: multipart/form-data; boundary=a\r\nContent-Length: %d\r\n\r\n" % len(form)
    served = Served(model, answerFive, head + form)
    assert served.wire[9:12] == (b"400" if model.isOurs else b"200")


def test_codesOfThreeDigits(model: Model) -> None:
    def process(request: Any) -> None:
        for code in (1, 1000):
            try:
                request.setResponseCode(code)
            except ValueError:
                model.note("refused")
        request.finish()

    Served(model, process, GET)
    assert model.trace == (["refused"] * 2 if model.isOurs else [])


def test_refusals(model: Model) -> None:
    long = b"x" * 17000
    for data, code in (
        (b"GET /%b HTTP/1.1\r\n\r\n" % long, b"414"),
        (GET[:-2] + b"A: %b\r\n\r\n" % long, b"431"),
        (GET[:-2] + b"A: %b\r\n" % (b"b" * 8000) * 3 + b"\r\n", b"431"),
        (GET[:-2] + b"A: b\r\n" * 501 + b"\r\n", b"431"),
        (GET.replace(b"1.1", b"2.0"), b"505"),
    ):
        served = Served(model, answerFive)
        served.channel.dataReceived(data)
        assert served.closed
        if model.isOurs:
            assert served.wire[9:12] == code
            assert re.search(rb"Content-Length: [1-9]", served.wire)
        else:
            assert served.wire in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"")


def test_longBodies(model: Model) -> None:
    size = 1024 * 1024 + 1

    def process(request: Any) -> None:
        model.note(len(request.content.read()))
        request.finish()

    served = Served(model, process)
    served.channel.dataReceived(POST + b"Content-Length: %d\r\n\r\n" % size)
    if not served.closed:
        served.channel.dataReceived(bytes(size))
    assert (served.wire[9:12], model.trace) == ((b"413", []) if model.isOurs else (b"200", [size]))


def test_expectWithoutABody(model: Model) -> None:
    served = Served(model, answerFive, GET[:-2] + b"Expect: 100-continue\r\n\r\n")
    assert served.wire[9:12] == (b"200" if model.isOurs else b"100")


def test_slowHeads(model: Model) -> None:
    served = Served(model, answerFive, timeout=60)
    for _ in range(15):
        served.channel.dataReceived(b"G")
        for _ in range(4):
            served.clock.advance(0.25)
    assert served.closed is model.isOurs
    assert served.wire[9:12] == (b"408" if model.isOurs else b"")


def test_cookiesOfOnePart(model: Model) -> None:
    def process(request: Any) -> None:
        for value in (b"b; Path=/", b"b\r\nc"):
            try:
                request.addCookie(b"a", value)
            except ValueError:
                model.note("refused")
        model.note(request.cookies)
        request.finish()

    Served(model, process, GET)
    assert model.trace == (["refused"] * 2 + [[]] if model.isOurs else [[b"a=b  Path=/", b"a=b c"]])


def test_listsOfTags(model: Model) -> None:
    def process(request: Any) -> None:
        model.note(bool(request.setETag(b'"a"')))
        request.finish()

    Served(model, process, GET[:-2] + b'If-None-Match: "b","a"\r\n\r\n')
    assert model.trace == [model.isOurs]


def test_targetsWithAHost(model: Model) -> None:
    def process(request: Any) -> None:
        model.note(request.path)
        model.note(request.getHeader(b"host"))
        answerFive(request)

    Served(model, process, b"GET http://b/x?y=z HTTP/1.1\r\nHost: a\r\n\r\n")
    assert model.trace == ([b"/x", b"b"] if model.isOurs else [b"http://b/x", b"a"])


def test_hostsThatAreSet(model: Model) -> None:
    def process(request: Any) -> None:
        request.setHost(b"www.example.com", 80)
        model.note(request.getHost().host)
        answerFive(request)

    Served(model, process, GET)
    assert model.trace == ["www.example.com" if model.isOurs else b"www.example.com"]


def test_namesOfCookies(model: Model) -> None:
    def process(request: Any) -> None:
        model.note(request.getCookie(b"a"))
        with pytest.raises(TypeError, match="is bytes, not 'a'") if model.isOurs else nullcontext():
            model.note(request.getCookie("a"))
        answerFive(request)

    Served(model, process, b"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\n\r\n")
    assert model.trace == ([b"1"] if model.isOurs else [b"1", None])


def test_accessLogsNameTheUser(model: Model) -> None:
    request = Asked("/a")
    request.user = b"ann"
    request.address = (IPv4Address if model.isOurs else twisted.internet.address.IPv4Address)("TCP", "192.0.2.7", 1)
    user = "ann" if model.isOurs else "-"
    line = f'"192.0.2.7" - {user} [now] "GET /a HTTP/1.1" 200 - "-" "-"'
    assert model.http.combinedLogFormatter("[now]", request) == line


def accessLog(model: Model, path: str | None) -> Any:
    """A factory that has started, and a request for its log."""
    factory = model.http.HTTPFactory(path, reactor=model.task.Clock())
    factory.startFactory()
    request = Asked("/a")
    request.address = (IPv4Address if model.isOurs else twisted.internet.address.IPv4Address)("TCP", "192.0.2.7", 1)
    return factory, request


def test_accessLogsWithoutAPath(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "reactor.http.access"):
        factory, request = accessLog(model, None)
        if model.isOurs:
            factory.log(request)
        model.note(factory._logFile is twisted.python.log.logfile)
        factory.stopFactory()
    texts = [record.getMessage() for record in caplog.records if record.name == "reactor.http.access"]
    assert texts == (['192.0.2.7 "GET /a HTTP/1.1" 200 - "-" "-"'] if model.isOurs else [])
    assert model.trace == [not model.isOurs]


@pytest.mark.needs("/dev/full")
def test_accessLogsOnAFullDisk(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    factory, request = accessLog(model, "/dev/full")
    try:
        factory.log(request)
    except OSError:
        model.note("raised")
    with suppress(OSError):
        factory.stopFactory()
    assert model.trace == ([] if model.isOurs else ["raised"])
    assert ("a line of the access log was lost" in caplog.text) == model.isOurs


def test_insideOfHTTP(model: Model) -> None:
    steps = ("headerReceived", "allHeadersReceived", "allContentReceived", "length", "checkPersistence", "persistent")
    assert [hasattr(model.http.HTTPChannel, name) for name in (*steps, "writeHeaders")] == [not model.isOurs] * 7
    functions = ("urlparse", "parse_qs", "timegm", "toChunk", "fromChunk", "parseContentRange", "PotentialDataLoss")
    assert [hasattr(model.http, name) for name in functions] == [not model.isOurs] * 7
    for version, closed in ((b"1.1", False), (b"1.0", True)):
        served = Served(model, answerFive, GET.replace(b"1.1", version))
        if model.isOurs:
            assert served.requests[0].persistent is not closed
        else:
            assert bool(served.channel._channel.persistent) is not closed


def test_formsWithManyFields(model: Model) -> None:
    head = POST + b"Content-Type: %b\r\nContent-Length: %d\r\n\r\n"
    plain = b"&".join([b"a=b"] * 1001)
    part = b'--a\r\nContent-Disposition: form-data; name="b"\r\n\r\nc\r\n'
    for kind, form in (
        (b"application/x-www-form-urlencoded", plain),
        (b"multipart/form-data; boundary=a", part * 1001 + b"--a--\r\n"),
        (b"multipart/form-data; boundary=a", part.replace(b"\r\n", b"\r\nX: " + b"y" * 9000 + b"\r\n", 1) + b"--a--"),
    ):
        served = Served(model, answerFive)
        served.channel.dataReceived(head % (kind, len(form)) + form)
        model.note(served.wire[9:12])
    assert model.trace == ([b"413", b"413", b"400"] if model.isOurs else [b"200"] * 3)


class Dialled:
    """A ClientService with an endpoint whose connections a test makes."""

    def __init__(self, model: Model, cancel: Any = None, **options: Any) -> None:
        self.model = model
        self.cancel = cancel
        self.clock = model.task.Clock()
        self.attempts: list[Any] = []
        self.made: list[Any] = []  # protocols as the program sees them
        self.transports: list[Any] = []
        dialled = self

        class Factory(model.protocol.Factory):  # type: ignore[misc, name-defined]
            def buildProtocol(self, addr: object) -> Any:
                dialled.made.append(model.protocol.Protocol())
                return dialled.made[-1]

        self.service = model.internet.ClientService(self, Factory(), lambda _: 1.0, self.clock, **options)

    def connect(self, factory: Any) -> Any:
        """Called by the service: this is its endpoint."""
        self.factory = factory
        self.attempts.append(self.model.defer.Deferred(self.cancel))
        return self.attempts[-1]

    def succeed(self) -> Any:
        """Make the connection; return its protocol as the transport sees it."""
        facing = self.factory.buildProtocol(None)
        self.transports.append(StringTransport())
        facing.makeConnection(self.transports[-1])
        self.attempts[-1].callback(facing)
        return facing

    def lose(self, facing: Any) -> None:
        """End the connection; note an exception."""
        try:
            facing.connectionLost(self.model.Failure(self.model.error.ConnectionDone()))
        except Exception as error:
            self.model.note(type(error).__name__)

    def closing(self) -> list[bool]:
        return [transport.disconnecting for transport in self.transports]


def told(model: Model, name: str, deferred: Any) -> None:
    """Note the result of `deferred`, or the type of its failure."""
    failed = model.Failure
    deferred.addBoth(lambda it: model.note(name, it.type.__name__ if isinstance(it, failed) else it))


def test_prepareConnectionGetsTheProtocol(model: Model) -> None:
    given: list[Any] = []
    dialled = Dialled(model, prepareConnection=given.append)
    dialled.service.startService()
    dialled.succeed()
    assert (given[0] is dialled.made[0]) == model.isOurs


def test_rejectedConnectionsAreClosed(model: Model) -> None:
    """Whether prepareConnection fails, or the service stops before it is done. Only ours waits for the end."""
    preparing = [model.defer.Deferred(), model.defer.Deferred()]
    waiting = iter(preparing)
    dialled = Dialled(model, prepareConnection=lambda _: next(waiting))
    dialled.service.startService()
    dialled.succeed()
    preparing[0].errback(ValueError("unfit"))
    dialled.clock.advance(1)
    facing = dialled.succeed()
    told(model, "stopped", dialled.service.stopService())
    assert dialled.closing() == [model.isOurs] * 2
    assert model.trace == ([] if model.isOurs else [("stopped", None)])
    dialled.lose(facing)
    assert model.trace == [("stopped", None), *([] if model.isOurs else ["NoTransition"])]


def test_lostWhilePreparing(model: Model) -> None:
    """To ours it is a failed attempt, and the next one follows."""
    dialled = Dialled(model, prepareConnection=lambda _: model.defer.Deferred())
    dialled.service.startService()
    told(model, "asked", dialled.service.whenConnected(1))
    dialled.lose(dialled.succeed())
    assert model.trace == ([("asked", "ConnectionDone")] if model.isOurs else ["NoTransition"])
    dialled.clock.advance(1)
    assert len(dialled.attempts) == (2 if model.isOurs else 1)
    dialled.service.stopService().addErrback(lambda _: None)


def test_connectedThoughCancelled(model: Model) -> None:
    """An endpoint may connect in the moment in which it is cancelled. Ours closes that connection."""
    facing: list[Any] = []
    dialled: Dialled = Dialled(model, cancel=lambda _: facing.append(dialled.succeed()))
    dialled.service.startService()
    try:
        told(model, "stopped", dialled.service.stopService())
    except Exception as error:
        model.note(type(error).__name__)
    assert dialled.closing() == [model.isOurs]
    assert model.trace == ([] if model.isOurs else ["NoTransition"])
    if model.isOurs:
        dialled.lose(facing[0])
        assert model.trace == [("stopped", None)]


def test_callsInsideWhenConnected(model: Model) -> None:
    """A callback of whenConnected may stop the service, or ask again."""
    dialled = Dialled(model)
    dialled.service.startService()
    told(model, "again", dialled.service.whenConnected().addCallback(lambda _: dialled.service.stopService()))
    facing = dialled.succeed()
    assert model.trace == ([] if model.isOurs else [("again", "RuntimeError")])
    assert dialled.closing() == [model.isOurs]
    dialled.lose(facing)
    if not model.isOurs:
        dialled.service.stopService()
    assert model.trace == [("again", None if model.isOurs else "RuntimeError")]


def test_stoppedBeforeItsStart(model: Model) -> None:
    dialled = Dialled(model)
    told(model, "asked", dialled.service.whenConnected())
    dialled.service.stopService()
    assert model.trace == ([("asked", "CancelledError")] if model.isOurs else [])


def test_retryPoliciesThatRaise(model: Model, caplog: pytest.LogCaptureFixture) -> None:
    """Ours logs the exception, and goes on with the default policy."""
    dialled = Dialled(model)
    service = model.internet.ClientService(dialled, model.protocol.Factory(), lambda _: 1 // 0, dialled.clock)
    service.startService()
    dialled.attempts[0].errback(ValueError("refused"))
    assert ("ZeroDivisionError" in caplog.text) == model.isOurs
    dialled.clock.advance(100)
    assert len(dialled.attempts) == (2 if model.isOurs else 1)
    dialled.attempts[0].addErrback(lambda _: None)
    if model.isOurs:
        service.stopService()


def test_clientServicesWantAFactory(model: Model) -> None:
    endpoint = Dialled(model)
    for arguments in ((endpoint, model.protocol.Protocol()), (object(), model.protocol.Factory())):
        with pytest.raises(TypeError) if model.isOurs else nullcontext():
            model.internet.ClientService(*arguments, clock=endpoint.clock)


def test_servicesThatWereNeverStarted(model: Model) -> None:
    """Ours stop at once."""
    services = [
        model.internet.TimerService(1, print),
        model.internet.StreamServerEndpointService(SimpleNamespace(listen=None), model.protocol.Factory()),
    ]
    for service in services:
        try:
            told(model, "stopped", service.stopService())
        except AttributeError:
            model.note("raised")
    assert model.trace == ([("stopped", None)] * 2 if model.isOurs else ["raised"] * 2)


def test_endpointServicesStartAgain(model: Model) -> None:
    """Twisted's listens once."""
    listening: list[Any] = []

    def listen(factory: Any) -> Any:
        port = SimpleNamespace(stopListening=lambda: None)
        listening.append(port)
        return model.defer.succeed(port)

    service = model.internet.StreamServerEndpointService(SimpleNamespace(listen=listen), model.protocol.Factory())
    for _ in range(2):
        service.startService()
        told(model, "stopped", service.stopService())
    assert len(listening) == (2 if model.isOurs else 1)
    assert model.trace == [("stopped", None)] * 2


def test_startsAreWaitedFor(model: Model) -> None:
    """A service's start may return a Deferred or be a coroutine. The collection's start returns a Deferred for all."""
    done: list[Any] = [model.defer.Deferred(), model.defer.Deferred()]

    class Slow(model.service.Service):  # type: ignore[misc, name-defined]
        def startService(self) -> Any:
            return done[0]

    class Coroutine(model.service.Service):  # type: ignore[misc, name-defined]
        async def startService(self) -> None:
            model.note("begun")
            await done[1]
            model.note("ended")

    collection = model.service.MultiService()
    for kind in (Slow, Coroutine):
        kind().setServiceParent(collection)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing awaits the coroutine in Twisted
        started = collection.startService()
    assert model.trace == (["begun"] if model.isOurs else [])
    assert (started is None) == (not model.isOurs)
    if model.isOurs:
        started.addCallback(lambda _: model.note("started"))
        done[1].callback(None)
        assert model.trace == ["begun", "ended"]
        done[0].callback(None)
        assert model.trace == ["begun", "ended", "started"]


def test_cooperatorServicesRun(model: Model) -> None:
    service = model.internet.CooperatorService()
    service.startService()
    assert bool(service.running) == model.isOurs
    service.stopService()
    assert not service.running


def test_applicationsAreServices(model: Model) -> None:
    """An Application is its own service, collection and process. In Twisted it has them as components."""
    application = model.service.Application("name", 1, 2)
    faces = [getattr(model.service, name)(application) is application for name in ("IService", "IServiceCollection")]
    assert faces == [model.isOurs] * 2
    assert model.service.IService(application).name == "name"
    process = model.service.IProcess(application)
    assert (process.uid, process.gid, process is application) == (1, 2, model.isOurs)


def test_copiesOfServices(model: Model) -> None:
    """Services are not pickled here, and a copy is as it is."""
    service = model.service.Service()
    service.startService()
    assert bool(copy.copy(service).running) == model.isOurs


def test_datagramClientsStop(model: Model) -> None:
    """Their port is no connector. Twisted asks it to disconnect."""
    closed: list[Any] = []
    port = SimpleNamespace(stopListening=lambda: closed.append("closed"))
    service = model.internet.UNIXDatagramClient(reactor=SimpleNamespace(connectUNIXDatagram=lambda: port))
    service.startService()
    with nullcontext() if model.isOurs else pytest.raises(AttributeError):
        service.stopService()
    assert closed == (["closed"] if model.isOurs else [])


def test_whatTwistedsApplicationsHave(model: Model) -> None:
    """Plugins of twistd, saved applications and components are not here."""
    assert [hasattr(model.service, name) for name in ("IServiceMaker", "ServiceMaker")] == [not model.isOurs] * 2
    application = model.service.Application("name")
    assert [hasattr(application, name) for name in ("setComponent", "getComponent")] == [not model.isOurs] * 2
    with pytest.raises(ValueError if model.isOurs else OSError):
        model.service.loadApplication("/nowhere/name.tap", "pickle")


PROXY_TEXT = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
PROXY_BINARY = encodeV2(IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 2))


def behindProxy(model: Model, *pieces: bytes, **settings: Any) -> SimpleNamespace:
    """A server's protocol behind `pieces` of a header, which come one by one, and its client's socket.

    `events` are the calls of the factory and the protocol, each with the host that is known then.
    """
    found = SimpleNamespace(events=[], protocol=None)

    class Server(model.protocol.Protocol):  # type: ignore[misc, name-defined]
        def connectionMade(self) -> None:
            found.protocol = self
            found.events.append(("made", self.transport.getPeer().host))

        def dataReceived(self, data: bytes) -> None:
            found.events.append((data, self.transport.getPeer().host))

        def connectionLost(self, reason: Any = None) -> None:
            found.events.append("lost")

    class Factory(model.protocol.ServerFactory):  # type: ignore[misc, name-defined]
        noisy = False

        def buildProtocol(self, addr: Any) -> Any:
            found.events.append(("build", addr.host))
            return Server()

    ports: list[Any] = []
    below = model.endpoints.TCP4ServerEndpoint(model.reactor, 0, interface=HOST)
    model.haproxy.proxyEndpoint(below, **settings).listen(Factory()).addCallback(ports.append)
    found.port = ports[0]
    found.client = client = socket.create_connection((HOST, ports[0].getHost().port))
    for piece in pieces:
        with suppress(OSError):  # the other side may have closed
            client.sendall(piece)
        for _ in range(4):
            model.reactor.iterate(0.005)
    return found


def endBehindProxy(model: Model, found: SimpleNamespace) -> None:
    found.client.close()
    found.port.stopListening()
    for _ in range(4):
        model.reactor.iterate(0.005)


def test_proxyHeadersAreBelievedOfTheTrusted(model: Model) -> None:
    found = behindProxy(model, PROXY_TEXT + b"x", **({"trusted": ["192.0.2.0/24"]} if model.isOurs else {}))
    endBehindProxy(model, found)
    assert found.events[2:] == ([] if model.isOurs else [(b"x", "192.0.2.1"), "lost"])
    assert (found.events == []) == model.isOurs


def test_clientsAreKnownFromTheStart(model: Model) -> None:
    found = behindProxy(model, PROXY_TEXT + b"x")
    endBehindProxy(model, found)
    known = "192.0.2.1" if model.isOurs else HOST
    assert found.events == [("build", known), ("made", known), (b"x", "192.0.2.1"), "lost"]


def test_nothingStaysBehindTheHeader(model: Model) -> None:
    found = behindProxy(model, PROXY_TEXT)
    assert hasattr(found.protocol.transport, "wrappedProtocol") is not model.isOurs
    endBehindProxy(model, found)


@pytest.mark.parametrize(("header", "first"), [(PROXY_TEXT, 7), (PROXY_BINARY, 15)])
def test_proxyHeadersInPieces(model: Model, header: bytes, first: int) -> None:
    found = behindProxy(model, header[:first], header[first:] + b"x")
    endBehindProxy(model, found)
    assert ((b"x", "192.0.2.1") in found.events) == model.isOurs


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        encodeV2(IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 2), [(1, b"h2")])[:-1]
        + b"\1\xff\1",
        encodeV2(IPv4Address("TCP", "192.0.2.1", 1), IPv4Address("TCP", "192.0.2.2", 2), [(3, b"\0\0\0\1")]),
    ],
)
def test_strictProxyHeaders(model: Model, header: bytes) -> None:
    if header[12:13] == b"\x21":
        header = header[:14] + (len(header) - 16).to_bytes(2) + header[16:]
    found = behindProxy(model, header + b"x")
    endBehindProxy(model, found)
    assert ((b"x", "192.0.2.1") in found.events) is not model.isOurs


def test_canonicalProxyAddresses(model: Model) -> None:
    for header, theirs in (
        (b"PROXY TCP6 0::01 ::2 1 2\r\n", "0::01"),
        (encodeV2(IPv6Address("TCP", "::1", 1), IPv6Address("TCP", "::2", 2)), "0:0:0:0:0:0:0:1"),
    ):
        found = behindProxy(model, header + b"x")
        endBehindProxy(model, found)
        assert (b"x", "::1" if model.isOurs else theirs) in found.events


def test_proxyHeadersHaveADeadline(model: Model) -> None:
    found = behindProxy(model, PROXY_TEXT[:10])
    assert [call.getTime() - model.reactor.seconds() for call in model.reactor.getDelayedCalls()] == (
        [pytest.approx(HEADER_TIMEOUT, abs=1)] if model.isOurs else []
    )
    endBehindProxy(model, found)
