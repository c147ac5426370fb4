"""Mistakes in the place of a factory, a protocol or a line: told where they are given, in words."""

from __future__ import annotations

import asyncio
import io
import os
import pathlib
import re
import signal
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import twisted.protocols.basic

from reactor import (
    ClientCreator,
    ClientFactory,
    DatagramProtocol,
    Failure,
    FileSender,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    LoopingCall,
    NetstringReceiver,
    OctetCountedReceiver,
    ProcessProtocol,
    Protocol,
    ServerFactory,
    StatefulStringProtocol,
    TimeoutMixin,
    endpoints,
    stdio,
    task,
)
from reactor._arguments import checkFactory, checkProtocol
from reactor.aio import ProtocolFactory
from reactor.aio.serving import servicesOf
from reactor.defer import AlreadyCalledError, Deferred, DeferredList, gatherResults, race
from reactor.error import ConnectError, ConnectionDone, ProcessExitedAlready, SSLError
from reactor.failure import NoCurrentExceptionError
from reactor.loops.epoll import EpollReactor
from reactor.policies import (
    LimitConnectionsByPeer,
    SpewingFactory,
    ThrottlingFactory,
    TimeoutFactory,
    TrafficLoggingFactory,
    WrappingFactory,
)
from reactor.protocol import FileWrapper, closeFor
from reactor.testing import StringTransport, connectedServerAndClient
from reactor.threads import blockingCallFromThread, callMultipleInThread, deferToThreadPool
from reactor.tlsoptions import CertificateOptions, defaultClientContext, optionsForClientTLS
from tests.support.tlsworlds import serverOptions
from tests.support.worlds import LOOPS, turnUntil


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Any:
    loop = request.param.makeReactor()
    yield loop
    request.param.close(loop)


def outcome(answer: Any) -> Any:
    """Return the answer; raise what a Deferred fails with."""
    if isinstance(answer, Deferred):
        failures: list[Any] = []
        answer.addErrback(failures.append)
        if failures:
            failures[0].raiseException()
    return answer


OPENINGS: dict[str, Callable[[Any, Any, str], Any]] = {
    "listenTCP": lambda loop, factory, path: loop.listenTCP(0, factory, interface="127.0.0.1"),
    "connectTCP": lambda loop, factory, path: loop.connectTCP("127.0.0.1", 1, factory),
    "listenSSL": lambda loop, factory, path: loop.listenSSL(0, factory, serverOptions(), interface="127.0.0.1"),
    "connectSSL": lambda loop, factory, path: loop.connectSSL("127.0.0.1", 1, factory, defaultClientContext()),
    "listenUNIX": lambda loop, factory, path: loop.listenUNIX(path, factory),
    "connectUNIX": lambda loop, factory, path: loop.connectUNIX(path, factory),
    "TCP4ServerEndpoint": lambda loop, factory, path: endpoints.TCP4ServerEndpoint(loop, 0).listen(factory),
    "TCP4ClientEndpoint": lambda loop, factory, path: endpoints.TCP4ClientEndpoint(loop, "127.0.0.1", 1).connect(
        factory
    ),
    "UNIXServerEndpoint": lambda loop, factory, path: endpoints.UNIXServerEndpoint(loop, path).listen(factory),
    "UNIXClientEndpoint": lambda loop, factory, path: endpoints.UNIXClientEndpoint(loop, path).connect(factory),
    "HostnameEndpoint": lambda loop, factory, path: endpoints.HostnameEndpoint(loop, "localhost", 1).connect(factory),
    "wrapClientTLS": lambda loop, factory, path: endpoints.wrapClientTLS(
        optionsForClientTLS("localhost"), endpoints.TCP4ClientEndpoint(loop, "127.0.0.1", 1)
    ).connect(factory),
    "StandardIOEndpoint": lambda loop, factory, path: endpoints.StandardIOEndpoint(loop).listen(factory),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_whatIsNoFactory(loop: Any, tmp_path: pathlib.Path, name: str) -> None:
    """Nothing is opened, and the message says what to give."""
    recommended = r"(Server|Client)Factory\.forProtocol\(LineReceiver\)"
    for given, words in (
        (LineReceiver, recommended),
        (LineReceiver(), recommended),
        (ServerFactory, r"give ServerFactory\(\)"),
        (None, "not None"),
        ("text", "buildProtocol"),
    ):
        with pytest.raises(TypeError, match=words):
            outcome(OPENINGS[name](loop, given, str(tmp_path / "socket")))
    assert os.listdir(tmp_path) == []
    assert loop.getDelayedCalls() == []


def test_whatIsNoFactoryForSocketsOfOthers(loop: Any) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    ends = socket.socketpair()
    for call, fd, family in (
        (loop.adoptStreamPort, listening.fileno(), socket.AF_INET),
        (loop.adoptStreamConnection, ends[0].fileno(), socket.AF_UNIX),
    ):
        with pytest.raises(TypeError, match=r"forProtocol\(Protocol\)"):
            call(fd, family, Protocol)
    for sock in (listening, *ends):
        sock.close()


@pytest.mark.parametrize(
    "wrap",
    [
        WrappingFactory,
        SpewingFactory,
        LimitConnectionsByPeer,
        TimeoutFactory,
        ThrottlingFactory,
        lambda factory: TrafficLoggingFactory(factory, "/nonexistent/log"),
    ],
)
def test_whatIsNoFactoryToBeWrapped(wrap: Callable[[Any], Any]) -> None:
    for given, words in (
        (LineReceiver, r"give ServerFactory\.forProtocol\(LineReceiver\)"),
        (LineReceiver(), r"give ServerFactory\.forProtocol\(LineReceiver\)"),
        (ServerFactory, r"give ServerFactory\(\)"),
        ("text", "not 'text'"),
    ):
        with pytest.raises(TypeError, match=words):
            wrap(given)


def test_whatIsNoProtocol(loop: Any, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "socket")
    calls: list[Callable[[Any], Any]] = [
        lambda given: loop.listenUDP(0, given, interface="127.0.0.1"),
        lambda given: loop.listenMulticast(0, given, interface="127.0.0.1"),
        lambda given: loop.listenUNIXDatagram(path, given),
        lambda given: loop.connectUNIXDatagram(path, given),
        lambda given: loop.spawnProcess(given, "/bin/true"),
        lambda given: stdio.StandardIO(given, reactor=loop),
        lambda given: endpoints.connectProtocol(endpoints.TCP4ClientEndpoint(loop, "127.0.0.1", 1), given),
    ]
    for call in calls:
        for given, words in (
            (DatagramProtocol, "an instance of DatagramProtocol"),
            (ProcessProtocol, "an instance of ProcessProtocol"),
            (ServerFactory(), "not a factory"),
            (None, "not None"),
        ):
            with pytest.raises(TypeError, match=words):
                call(given)
    assert os.listdir(tmp_path) == []
    with pytest.raises(TypeError, match="a protocol's class is needed"):
        ClientCreator(loop, Protocol())  # type: ignore[arg-type]


def test_forAsyncio() -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match=r"forProtocol\(LineReceiver\)"):
            ProtocolFactory(LineReceiver)

    asyncio.run(main())


def test_classesThatDoTheWork() -> None:
    """A class may be the factory, or the protocol, itself."""

    class Single:
        @classmethod
        def buildProtocol(cls, addr: Any) -> None: ...

        @classmethod
        def makeConnection(cls, transport: Any) -> None: ...

    checkFactory(Single)
    checkProtocol(Single)


def test_argumentsOfForProtocol() -> None:
    class Own(ServerFactory[Protocol]):
        def __init__(self, word: str) -> None:
            self.word = word

    assert Own.forProtocol(Protocol, "word").word == "word"
    for factory in (ServerFactory, ClientFactory):
        give: Callable[[], object]
        for give in (
            lambda factory=factory: factory.forProtocol(LineReceiver, "word"),
            lambda factory=factory: factory.forProtocol(LineReceiver, word=1),
        ):
            with pytest.raises(TypeError, match=r"functools\.partial\(LineReceiver"):
                give()


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
@pytest.mark.parametrize("line", ["text", 7])
@pytest.mark.parametrize("hasData", [False, True])
def test_aLineThatIsText(base: Any, line: Any, hasData: bool) -> None:
    protocol = type("Kind", (base,), {"lineReceived": lambda self, line: None})()
    transport = StringTransport()
    protocol.makeConnection(transport)
    if hasData:
        protocol.dataReceived(b"x\r\n")
    sends = [protocol.sendLine]
    if base is LineReceiver:
        sends += [lambda line: protocol.sendLines([b"a", line]), lambda line: protocol.sendLines(iter([line]))]
    for send in sends:
        with pytest.raises(TypeError, match=r"a line is sent as bytes, not (str|int): encode it"):
            send(line)
    nothing: Any
    for nothing in ([], None):
        for send in sends:
            with pytest.raises(TypeError, match=rf"a line is sent as bytes, not {re.escape(repr(nothing))}"):
                send(nothing)
    assert transport.value() == b""


def test_filesAreNamed(tmp_path: pathlib.Path) -> None:
    """The error names the file that cannot be opened."""
    missing = str(tmp_path / "missing.pem")
    for call in (
        lambda: CertificateOptions(missing),
        lambda: optionsForClientTLS("localhost", trustRoot=missing),
        lambda: optionsForClientTLS("localhost", clientCertificate=missing),
        lambda: optionsForClientTLS("localhost", clientCertificate=(missing, missing)),
        lambda: endpoints.serverFromString(EpollReactor(), f"ssl:0:privateKey={missing}"),
    ):
        with pytest.raises(FileNotFoundError, match=r"missing\.pem"):
            call()


def test_thePathThatNobodyListensOn(loop: Any, tmp_path: pathlib.Path) -> None:
    failures: list[Any] = []
    path = str(tmp_path / "nobody")
    endpoints.UNIXClientEndpoint(loop, path).connect(ClientFactory()).addErrback(failures.append)
    turnUntil(loop, lambda: failures)
    assert failures[0].check(ConnectError)
    assert path in failures[0].getErrorMessage()


GIVERS: dict[str, Callable[[Any, Any], Any]] = {
    "callFromThread": lambda loop, given: loop.callFromThread(given),
    "callInThread": lambda loop, given: loop.callInThread(given),
    "callLater": lambda loop, given: loop.callLater(0, given),
    "callWhenRunning": lambda loop, given: loop.callWhenRunning(given),
    "addSystemEventTrigger": lambda loop, given: loop.addSystemEventTrigger("before", "shutdown", given),
    "deferToThreadPool": lambda loop, given: deferToThreadPool(loop, loop.getThreadPool(), given),
    "LoopingCall": lambda loop, given: LoopingCall(given).start(1),
    "LoopingCall.withCount": lambda loop, given: LoopingCall.withCount(given),
    "addSignalHandler": lambda loop, given: loop.addSignalHandler(signal.SIGUSR1, given),
}


@pytest.mark.parametrize("giver", GIVERS)
def test_whatCannotBeCalled(loop: Any, giver: str, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody has called it already, and gives what it has returned."""
    with pytest.raises(TypeError, match="None is not callable"):
        GIVERS[giver](loop, None)
    loop.callLater(0, loop.callLater, 0, loop.stop)
    loop.run(installSignalHandlers=False)
    assert caplog.records == []


def test_whatCannotBeCalledUnderAsyncio() -> None:
    async def main() -> None:
        services = servicesOf(asyncio.get_running_loop())
        for give in (services.callFromThread, services.callInThread):
            with pytest.raises(TypeError, match="5 is not callable: give the function itself"):
                give(5)  # type: ignore[arg-type]

    asyncio.run(main())


@pytest.mark.parametrize("usePTY", [False, True])
def test_argumentsOfAChildAreAList(loop: Any, usePTY: bool) -> None:
    """Each letter would be one of them."""
    for given in ("true x", b"true x"):
        with pytest.raises(TypeError, match="args are a list of strings"):
            loop.spawnProcess(ProcessProtocol(), "/bin/true", given, usePTY=usePTY)


def test_forProtocolOfAnInstance() -> None:
    for given in (Protocol(), "Echo"):
        with pytest.raises(TypeError, match="a protocol's class is needed"):
            ServerFactory.forProtocol(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("gather", [DeferredList, gatherResults, race])
def test_aDeferredInPlaceOfAList(gather: Any) -> None:
    """Iterating one gives it again and again, until there is no memory left."""
    with pytest.raises(TypeError, match="a list of Deferreds is needed"):
        gather(Deferred())


def test_whatIsNoClientsFactory(loop: Any, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody would be told how the attempt fares: nothing begins."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    caplog.clear()
    path = str(tmp_path / "socket")
    for factory in (
        ServerFactory.forProtocol(Protocol),
        WrappingFactory(ServerFactory.forProtocol(Protocol)),
        LimitConnectionsByPeer(WrappingFactory(ServerFactory.forProtocol(Protocol))),
    ):
        connect: Callable[[], object]
        for connect in (
            lambda: loop.connectTCP("127.0.0.1", port, factory),  # noqa: B023
            lambda: loop.connectSSL("127.0.0.1", port, factory, defaultClientContext()),  # noqa: B023
            lambda: loop.connectUNIX(path, factory),  # noqa: B023
        ):
            with pytest.raises(TypeError, match=r"a client's factory is needed, not .* no startedConnecting"):
                connect()
    assert (loop.getDelayedCalls(), caplog.records) == ([], [])
    # An endpoint needs no such factory, as in Twisted.
    made: list[Any] = []
    plain = ServerFactory.forProtocol(Protocol)
    endpoints.TCP4ClientEndpoint(loop, "127.0.0.1", port).connect(plain).addBoth(made.append)
    turnUntil(loop, lambda: made)
    assert isinstance(made[0], Protocol)
    made[0].transport.abortConnection()
    listening.close()


def test_aClientsFactoryOfOthers(loop: Any) -> None:
    """It needs the methods, and no class of ours."""
    told: list[str] = []

    class Duck:
        noisy = False

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: told.append(name)

    loop.connectTCP("127.0.0.1", 1, Duck())
    turnUntil(loop, lambda: "doStop" in told)
    assert told == ["doStart", "startedConnecting", "clientConnectionFailed", "doStop"]


def test_theProtocolOfAFactoryIsNoClass(loop: Any, tmp_path: pathlib.Path) -> None:
    for given in (Protocol(), "Echo"):
        factory = ServerFactory()
        factory.protocol = given  # type: ignore[assignment]
        client = ClientFactory()
        client.protocol = given  # type: ignore[assignment]
        for call in (
            lambda: loop.listenTCP(0, factory),  # noqa: B023
            lambda: loop.listenUNIX(str(tmp_path / "socket"), factory),  # noqa: B023
            lambda: loop.connectTCP("127.0.0.1", 1, client),  # noqa: B023
            lambda: WrappingFactory(factory),  # noqa: B023
        ):
            with pytest.raises(TypeError, match=r"the `protocol` of .* is a class, or a function"):
                call()
    own = type("Own", (ServerFactory,), {"protocol": "smtp", "buildProtocol": lambda self, addr: None})()
    loop.listenTCP(0, own, interface="127.0.0.1").stopListening()
    with pytest.raises(TypeError, match="has no wrappedFactory yet"):
        loop.listenTCP(0, WrappingFactory(None), interface="127.0.0.1")
    with pytest.raises(TypeError, match="no protocolClass yet"):
        ClientCreator(loop, None).connectTCP("127.0.0.1", 1)


@pytest.mark.parametrize("interval", ["1", None])
def test_anIntervalThatIsNoNumber(interval: Any) -> None:
    with pytest.raises(TypeError, match=f"an interval is a number of seconds, not {interval!r}"):
        LoopingCall(print).start(interval)


class Nothing:
    """Has none of the methods that anybody asks for."""

    def __repr__(self) -> str:
        return "nothing"


MISTAKES: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "installResolver": (lambda loop: loop.installResolver(None), TypeError, "a resolver is needed, not None"),
    "installResolver of an object": (lambda loop: loop.installResolver(Nothing()), TypeError, "no getHostByName"),
    "installNameResolver": (lambda loop: loop.installNameResolver(None), TypeError, "which has no resolveHostName"),
    "installNameResolver of a class": (
        lambda loop: loop.installNameResolver(Nothing),
        TypeError,
        "not the class Nothing",
    ),
    "closeFor": (
        lambda loop: closeFor(StringTransport(), "why"),  # type: ignore[arg-type]
        TypeError,
        "a reason that is a ConnectionDone, not 'why'",
    ),
    "closeFor of a class": (
        lambda loop: closeFor(StringTransport(), ConnectionDone),  # type: ignore[arg-type]
        TypeError,
        "a reason that is a ConnectionDone, not <class",
    ),
    "TimeoutFactory": (
        lambda loop: TimeoutFactory(ServerFactory(), "30"),  # type: ignore[arg-type]
        TypeError,
        "a timeoutPeriod is a number of seconds, not '30'",
    ),
    "backlog": (
        lambda loop: loop.listenTCP(0, ServerFactory(), "127.0.0.1"),
        TypeError,
        r"a backlog is a whole number, not '127\.0\.0\.1'",
    ),
    "addSignalHandler": (
        lambda loop: loop.addSignalHandler("HUP", print),
        ValueError,
        r"a signal is a number, for example signal\.SIGHUP, not 'HUP'",
    ),
    "addSignalHandler beyond": (lambda loop: loop.addSignalHandler(99999, print), ValueError, "signal number"),
    "interface of tcp6": (
        lambda loop: endpoints.serverFromString(loop, "tcp6:0:interface=::1"),
        ValueError,
        r"a colon inside a field is written \\:",
    ),
    "interface of tcp": (
        lambda loop: endpoints.serverFromString(loop, "tcp:0:interface=::1"),
        ValueError,
        r"a colon inside a field is written \\:",
    ),
    "serverFromString": (
        lambda loop: endpoints.serverFromString(loop, None),  # type: ignore[arg-type]
        TypeError,
        "an endpoint is described by a text, not None",
    ),
    "serverFromString the other way round": (
        lambda loop: endpoints.serverFromString("tcp:0", loop),
        TypeError,
        "an endpoint is described by a text, behind the reactor, not <",
    ),
    "clientFromString": (
        lambda loop: endpoints.clientFromString(loop, 7),  # type: ignore[arg-type]
        TypeError,
        "an endpoint is described by a text, not 7",
    ),
    "suggestThreadPoolSize": (
        lambda loop: loop.suggestThreadPoolSize("5"),
        TypeError,
        "the size of a thread pool is a whole number, not '5'",
    ),
    "addReader": (lambda loop: loop.addReader(0), TypeError, "an object that has a descriptor, .* not 0, .* fileno"),
    "addWriter": (lambda loop: loop.addWriter(0), TypeError, "an object that has a descriptor, .* not 0, .* fileno"),
    "DeferredList": (lambda loop: DeferredList([1, 2]), TypeError, "Deferreds are needed, not 1"),  # type: ignore[list-item]
    "gatherResults": (lambda loop: gatherResults(["x"]), TypeError, "Deferreds are needed, not 'x'"),  # type: ignore[list-item]
    "race": (lambda loop: race([None]), TypeError, "Deferreds are needed, not None"),  # type: ignore[list-item]
    "callMultipleInThread": (
        lambda loop: callMultipleInThread([(print, (), {}), (None, (), {})]),  # type: ignore[list-item]
        TypeError,
        "None is not callable",
    ),
    "deferLater": (lambda loop: task.deferLater(loop, 0, "x"), TypeError, "'x' is not callable"),  # type: ignore[call-overload]
    "cooperate": (
        lambda loop: task.Cooperator(started=False).cooperate([1]),
        TypeError,
        r"an iterator is needed, not \[1\]: give iter",
    ),
    "coiterate": (
        lambda loop: task.Cooperator(started=False).coiterate(range(2)),
        TypeError,
        r"an iterator is needed, not range\(0, 2\)",
    ),
    "beginFileTransfer": (
        lambda loop: FileSender().beginFileTransfer("x", StringTransport()),  # type: ignore[arg-type]
        TypeError,
        "a file is needed, not 'x', which has no read",
    ),
    "beginFileTransfer to nobody": (
        lambda loop: FileSender().beginFileTransfer(io.BytesIO(), Nothing()),  # type: ignore[arg-type]
        TypeError,
        "a consumer is needed, not nothing",
    ),
    "args": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true", 7]),
        TypeError,
        "args are strings, not 7",
    ),
    "env": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], env={"A": 7}),
        TypeError,
        "the values in env are strings, also that of 'A', not 7",
    ),
    "names in env": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], env={7: "A"}),
        TypeError,
        "the names in env are strings, not 7",
    ),
    "env as a list": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], env=["A=7"]),
        TypeError,
        r"env is a mapping of strings, not \['A=7'\]",
    ),
    "childFDs as a list": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], childFDs=["w", "r"]),
        TypeError,
        "childFDs is a mapping, for example .*, not ",
    ),
    "childFDs that are not open": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], childFDs={0: 999}),
        OSError,
        "descriptor 999: Bad file descriptor",
    ),
    "childFDs by name": (
        lambda loop: loop.spawnProcess(ProcessProtocol(), "/bin/true", ["true"], childFDs={"0": "r"}),
        ValueError,
        "not '0' to 'r'",
    ),
    "StandardIO": (
        lambda loop: stdio.StandardIO(Protocol(), 999, 1, reactor=loop),
        OSError,
        "descriptor 999: Bad file descriptor",
    ),
    "adoptStreamPort": (
        lambda loop: loop.adoptStreamPort(999, socket.AF_INET, Protocol),
        TypeError,
        r"give ServerFactory\.forProtocol\(Protocol\)",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakesAreTold(loop: Any, name: str) -> None:
    make, kind, words = MISTAKES[name]
    with pytest.raises(kind, match=words):
        make(loop)


def test_whatIsNoProducer(loop: Any) -> None:
    made: list[Any] = []

    class Kind(Protocol):
        def connectionMade(self) -> None:
            for given in (None, Nothing()):
                for streaming in (True, False):
                    with pytest.raises(TypeError, match=r"a producer is needed, not .* no resumeProducing"):
                        self.transport.registerProducer(given, streaming)
            made.append(self)

    port = loop.listenTCP(0, ServerFactory.forProtocol(Kind), interface="127.0.0.1")
    peer = socket.create_connection(("127.0.0.1", port.getHost().port))
    turnUntil(loop, lambda: made)
    peer.close()


def test_whatIsNoProducerElsewhere(loop: Any) -> None:
    ends = socket.socketpair()
    connected = stdio.StandardIO(Protocol(), ends[0].fileno(), ends[0].fileno(), reactor=loop)
    consumers: list[Any] = [connected, FileWrapper(io.BytesIO()), pairOf(Protocol, Protocol)]
    for consumer in consumers:
        with pytest.raises(TypeError, match=r"a producer is needed, not None, which has no resumeProducing"):
            consumer.registerProducer(None, True)
    connected.loseConnection()
    turnUntil(loop, lambda: connected.disconnected)
    for end in ends:
        end.close()


def pairOf(*kinds: Any) -> Any:
    """The transport of one end of a connection in memory."""
    return connectedServerAndClient(*kinds)[1].transport


def test_stringReceivedIsNamed() -> None:
    receiver = NetstringReceiver()
    receiver.makeConnection(StringTransport())
    with pytest.raises(NotImplementedError, match="NetstringReceiver defines no stringReceived"):
        receiver.dataReceived(b"1:a,")


def test_aHostOfBytesThatAreNoASCII(loop: Any) -> None:
    failures: list[Any] = []
    loop.resolve(b"\xff").addErrback(failures.append)
    turnUntil(loop, lambda: failures)
    assert "as bytes nothing but ASCII" in failures[0].getErrorMessage()


def test_mainThatHasBeenCalled() -> None:
    async def main(loop: Any) -> None: ...

    given: Any = main(None)
    with pytest.raises(TypeError, match="is not callable: give the function itself"):
        task.react(given)
    assert given.cr_frame is None  # closed, so that Python does not warn of it as well


def test_blockingCallInTheReactorsOwnThread(loop: Any) -> None:
    """It would wait for itself. Twisted's does."""
    raised: list[Exception] = []

    def call() -> None:
        try:
            blockingCallFromThread(loop, print)
        except RuntimeError as error:
            raised.append(error)
        loop.callInThread(elsewhere)

    def elsewhere() -> None:
        assert blockingCallFromThread(loop, lambda: 7) == 7
        loop.callFromThread(loop.stop)

    loop.callLater(0, call)
    loop.run(installSignalHandlers=False)
    assert "in the reactor's own thread would wait for ever" in str(raised[0])


def test_errorsHaveTexts() -> None:
    deferred: Deferred[int] = Deferred()
    deferred.callback(1)
    with pytest.raises(AlreadyCalledError, match="this Deferred has its result already"):
        deferred.callback(2)
    with pytest.raises(NoCurrentExceptionError, match="no exception is being handled here"):
        Failure()
    assert repr(SSLError(ValueError("why"))) == "SSLError(ValueError('why'))"
    assert repr(SSLError(string="words")) == "SSLError('words')"
    assert repr(ConnectError()) == "ConnectError()"


def test_theChildThatHasExited(loop: Any) -> None:
    ended: list[Any] = []

    class Kind(ProcessProtocol):
        def processEnded(self, reason: Any) -> None:
            ended.append(reason)

    process = loop.spawnProcess(Kind(), "/bin/true", ["true"])
    turnUntil(loop, lambda: ended)
    with pytest.raises(ProcessExitedAlready, match="the child '/bin/true' has exited"):
        process.signalProcess("TERM")


def test_theChildThatDoesNotReadIsNamed(loop: Any, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[Any] = []

    class Kind(ProcessProtocol):
        def connectionMade(self) -> None:
            self.transport.write(bytes(2**20))
            loop.callLater(0, self.more)

        def more(self) -> None:
            self.transport.write(bytes(2**25))
            self.transport.write(b"x")

        def processEnded(self, reason: Any) -> None:
            ended.append(reason)

        def childConnectionLost(self, childFD: int) -> None:
            if childFD == 0:
                self.transport.signalProcess("KILL")

    loop.spawnProcess(Kind(), "/bin/sleep", ["sleep", "60"])
    turnUntil(loop, lambda: ended)
    assert "<Process '/bin/sleep' pid=" in caplog.text
    assert "does not read; closed its descriptor at" in caplog.text


def test_startTLSWithTheContextOfTheOtherSide(loop: Any) -> None:
    raised: list[str] = []

    class Kind(Protocol):
        def connectionMade(self) -> None:
            with pytest.raises(ValueError, match="this context is for the other side: a server needs") as error:
                self.transport.startTLS(defaultClientContext())
            raised.append(str(error.value))

    port = loop.listenTCP(0, ServerFactory.forProtocol(Kind), interface="127.0.0.1")
    peer = socket.create_connection(("127.0.0.1", port.getHost().port))
    turnUntil(loop, lambda: raised)
    peer.close()


class Timed(TimeoutMixin, Protocol):
    pass


class Stateful(StatefulStringProtocol, NetstringReceiver):
    def proto_init(self, string: bytes) -> str:
        return "done"


NOT_CONNECTED: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "sendLine": (LineReceiver, lambda it: it.sendLine(b"x")),
    "sendLines": (LineReceiver, lambda it: it.sendLines([b"x"])),
    "pauseProducing": (LineReceiver, lambda it: it.pauseProducing()),
    "resumeProducing": (LineReceiver, lambda it: it.resumeProducing()),
    "stopProducing": (LineReceiver, lambda it: it.stopProducing()),
    "lineLengthExceeded": (LineReceiver, lambda it: it.dataReceived(b"x" * 20_000)),
    "LineOnlyReceiver.sendLine": (LineOnlyReceiver, lambda it: it.sendLine(b"x")),
    "LineOnlyReceiver.dataReceived": (LineOnlyReceiver, lambda it: it.dataReceived(b"x\r\n")),
    "LineOnlyReceiver.lineLengthExceeded": (LineOnlyReceiver, lambda it: it.dataReceived(b"x" * 20_000)),
    "IntN.sendString": (Int16StringReceiver, lambda it: it.sendString(b"x")),
    "IntN.lengthLimitExceeded": (Int32StringReceiver, lambda it: it.dataReceived(b"\x7f" * 4)),
    "IntN.pauseProducing": (Int8StringReceiver, lambda it: it.pauseProducing()),
    "IntN.resumeProducing": (Int8StringReceiver, lambda it: it.resumeProducing()),
    "IntN.stopProducing": (Int8StringReceiver, lambda it: it.stopProducing()),
    "Netstring.sendString": (NetstringReceiver, lambda it: it.sendString(b"x")),
    "Netstring.dataReceived": (NetstringReceiver, lambda it: it.dataReceived(b"x")),
    "OctetCounted.sendString": (OctetCountedReceiver, lambda it: it.sendString(b"x")),
    "Stateful.stringReceived": (Stateful, lambda it: it.dataReceived(b"1:x,")),
    "Timeout.timeoutConnection": (Timed, lambda it: it.timeoutConnection()),
}


@pytest.mark.parametrize("name", NOT_CONNECTED)
def test_beforeThereIsATransport(name: str) -> None:
    """As with Twisted's, an AttributeError; but it says of what protocol, and of which of its methods."""
    make, use = NOT_CONNECTED[name]
    protocol = make()
    with pytest.raises(AttributeError) as raised:
        use(protocol)
    method = name.rpartition(".")[2]
    assert f"this {type(protocol).__name__} has no transport yet, which {method}() needs" in str(raised.value)
    transport = StringTransport()
    protocol.makeConnection(transport)
    if method.startswith("send"):
        use(protocol)
        assert b"x" in transport.value()


def test_closingBeforeThereIsATransport() -> None:
    with pytest.raises(AttributeError, match="there is no transport to be closed"):
        closeFor(Protocol().transport, ConnectionDone())


def test_beforeThereIsATransportAsTwistedDoes() -> None:
    for name, kind in (
        ("sendLine", twisted.protocols.basic.LineReceiver),
        ("LineOnlyReceiver.sendLine", twisted.protocols.basic.LineOnlyReceiver),
        ("LineOnlyReceiver.dataReceived", twisted.protocols.basic.LineOnlyReceiver),
        ("IntN.sendString", twisted.protocols.basic.Int16StringReceiver),
        ("Netstring.sendString", twisted.protocols.basic.NetstringReceiver),
        ("pauseProducing", twisted.protocols.basic.LineReceiver),
    ):
        with pytest.raises(AttributeError):
            NOT_CONNECTED[name][1](kind())


def test_anAttributeErrorOfTheProgramStaysItsOwn() -> None:
    """Of a handler of a protocol without a transport, and of a transport that there is."""

    class Wrong(LineOnlyReceiver):
        transport: Any = SimpleNamespace(disconnecting=False)

        def lineReceived(self, line: bytes) -> None:
            raise AttributeError("of the handler")

    protocol = Wrong()
    protocol.transport = SimpleNamespace(disconnecting=False)
    with pytest.raises(AttributeError, match=r"^of the handler$"):
        protocol.dataReceived(b"x\r\n")
    for kind in (LineReceiver, LineOnlyReceiver, NetstringReceiver):
        receiver: Any = kind()
        receiver.transport = SimpleNamespace(disconnecting=False)
        with pytest.raises(AttributeError, match="has no attribute 'write"):
            (getattr(receiver, "sendLine", None) or receiver.sendString)(b"x")
