"""What programs give by mistake in the place of a factory, a protocol or a line: told where it is given, in words."""

from __future__ import annotations

import asyncio
import os
import pathlib
import re
import signal
import socket
from collections.abc import Callable
from typing import Any

import pytest

from reactor import (
    ClientCreator,
    ClientFactory,
    DatagramProtocol,
    LineOnlyReceiver,
    LineReceiver,
    LoopingCall,
    ProcessProtocol,
    Protocol,
    ServerFactory,
    endpoints,
    stdio,
)
from reactor._arguments import checkFactory, checkProtocol
from reactor.aio import ProtocolFactory
from reactor.aio.serving import servicesOf
from reactor.defer import Deferred, DeferredList, gatherResults, race
from reactor.error import ConnectError
from reactor.loops.epoll import EpollReactor
from reactor.policies import (
    LimitConnectionsByPeer,
    SpewingFactory,
    ThrottlingFactory,
    TimeoutFactory,
    TrafficLoggingFactory,
    WrappingFactory,
)
from reactor.testing import StringTransport
from reactor.threads import deferToThreadPool
from reactor.tlsoptions import CertificateOptions, defaultClientContext, optionsForClientTLS
from tests.harness import LOOPS, turnUntil
from tests.tlsharness import serverOptions


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Any:
    loop = request.param.makeReactor()
    yield loop
    request.param.close(loop)


def outcome(answer: Any) -> Any:
    """What was answered; what a Deferred fails with is raised."""
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
        for arguments in ((("word",), {}), ((), {"word": 1})):
            with pytest.raises(TypeError, match=r"functools\.partial\(LineReceiver"):
                factory.forProtocol(LineReceiver, *arguments[0], **arguments[1])


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
    for nothing in ([], None):
        for send in sends:
            with pytest.raises(TypeError, match=rf"a line is sent as bytes, not {re.escape(repr(nothing))}"):
                send(nothing)
    assert transport.value() == b""


def test_filesAreNamed(tmp_path: pathlib.Path) -> None:
    """Whatever cannot be opened: the error tells which."""
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
        factory = ServerFactory()  # type: ignore[var-annotated]
        factory.protocol = given  # type: ignore[assignment]
        client = ClientFactory()  # type: ignore[var-annotated]
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
