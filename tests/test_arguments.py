"""What programs give by mistake in the place of a factory, a protocol or a line: told where it is given, in words."""

from __future__ import annotations

import asyncio
import os
import pathlib
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
from reactor._arguments import checkDelimiter, checkFactory, checkProtocol
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
        (None, "not None"),
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
@pytest.mark.parametrize("delimiter", ["\n", 10, None])
def test_aDelimiterThatIsNoBytes(base: Any, delimiter: Any) -> None:
    """Refused with the class, and with an instance's connection; if a callback sets it, when it is used."""
    with pytest.raises(TypeError, match="a delimiter is bytes, not"):
        type("Kind", (base,), {"delimiter": delimiter})
    protocol = base()
    protocol.delimiter = delimiter
    with pytest.raises(TypeError, match="a delimiter is bytes, not"):
        protocol.makeConnection(StringTransport())
    for right in (b"", b"\n", bytearray(b"\n"), memoryview(b"\n")):
        checkDelimiter(right)
    kind = type("Kind", (base,), {"delimiter": property(lambda self: b"\n")})
    kind().makeConnection(StringTransport())


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
    with pytest.raises((TypeError, AttributeError)):
        protocol.sendLine([])
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
    "LoopingCall": lambda loop, given: LoopingCall(given),
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
    for given in (Protocol(), None, "Echo"):
        with pytest.raises(TypeError, match="a protocol's class is needed"):
            ServerFactory.forProtocol(given)  # type: ignore[arg-type]


@pytest.mark.parametrize("base", [LineReceiver, LineOnlyReceiver])
def test_aLimitThatIsNoNumber(base: Any) -> None:
    for limit in ("100", b"100", None):
        with pytest.raises(TypeError, match=f"MAX_LENGTH is a number of bytes, not {limit!r}"):
            type("Kind", (base,), {"MAX_LENGTH": limit})
    for fine in (100, 1e9, property(lambda self: 100)):
        type("Kind", (base,), {"MAX_LENGTH": fine})


@pytest.mark.parametrize("gather", [DeferredList, gatherResults, race])
def test_aDeferredInPlaceOfAList(gather: Any) -> None:
    """Iterating one gives it again and again, until there is no memory left."""
    with pytest.raises(TypeError, match="a list of Deferreds is needed"):
        gather(Deferred())
