"""Exceptions everywhere: one from a program's callback costs what docs/semantics.md says, and nothing else.

Each callback of the table there raises each kind of exception, on every loop, and a connection's callbacks over every
transport too. Beside it lives a bystander, whose connection must work before and after. The table is the judge:
its effects choose what is checked, and it has exactly the callbacks that are tried here.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.error import ConnectError, ConnectionDone, ConnectionLost
from reactor.failure import Failure
from reactor.linereceiver import LineReceiver
from reactor.protocol import ClientFactory, DatagramProtocol, ProcessProtocol, Protocol, ServerFactory, connectionDone
from reactor.task import LoopingCall, deferLater
from reactor.testing import PumpReactor, connect, makeFakeClient, makeFakeServer
from reactor.threads import deferToThread
from tests.support import tlsworlds
from tests.support.tlsworlds import TLSWorld
from tests.support.worlds import ASYNCIO, LOOPBACK, OURS, ROOT, UVLOOP, UNIXWorld, World, refusedPort

DEADLINE = 20.0
MUCH = b"x" * 200_000


class Boom(Exception):
    pass


class BaseBoom(BaseException):
    pass


class Marker(Exception):
    """An exception that is raised so that something is logged, where the trial is of the logging."""


KINDS: tuple[type[BaseException], ...] = (
    Boom,
    BaseBoom,
    KeyboardInterrupt,
    SystemExit,
    GeneratorExit,
    MemoryError,
    RecursionError,
    asyncio.CancelledError,
    StopIteration,
)
EXITS = (KeyboardInterrupt, SystemExit)


def deeper(depth: int) -> int:
    return deeper(depth + 1) + 1


class PumpWorld(World):
    """Pairs in memory, and a reactor that has nothing else: nobody listens there."""

    pace = 0.001  # or else its time stands still

    def __init__(self, side: Any) -> None:
        super().__init__(SimpleNamespace(**{**vars(side), "makeReactor": PumpReactor}))


# So many connections would use up the ports of one address, each of which rests for a minute. (Clients connect from
# 127.0.0.1.)
HOSTS = itertools.cycle(f"127.1.{block}.{host}" for block in range(16) for host in range(1, 255))


def pace(world: World) -> float:
    """How long to wait between two looks at what has happened, in seconds."""
    return getattr(world, "pace", 0)


class Records(logging.Handler):
    """Keeps the errors of the package's loggers."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record)

    def errors(self) -> list[BaseException | None]:
        return [record.exc_info[1] if record.exc_info else None for record in self.found]


class Partner(Protocol):
    """The other end of a trial: it greets, and keeps what it gets. With `ends`, it ends its half at once."""

    def __init__(self, greeting: bytes = b"a line\r\n", ends: bool = False) -> None:
        self.greeting = greeting
        self.ends = ends
        self.received = bytearray()
        self.lost: list[Failure] = []

    def connectionMade(self) -> None:
        self.transport.write(self.greeting)
        if self.ends:
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class Halves(Partner):
    def readConnectionLost(self) -> None:
        pass

    def writeConnectionLost(self) -> None:
        pass


class Bystander(Partner):
    """Says a word at a time, and calls back when it has come home."""

    def __init__(self, made: Callable[[], None]) -> None:
        super().__init__()
        self.made = made
        self.echoed: list[bytes] = []

    def connectionMade(self) -> None:
        self.made()

    def say(self, word: bytes, heard: Callable[[], None]) -> None:
        self.word, self.heard = word, heard
        self.received.clear()
        self.transport.write(word)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.received == self.word:
            self.echoed.append(self.word)
            self.heard()


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Clients(ClientFactory[Any]):
    """Hands one protocol out, and writes down what it is told."""

    noisy = False

    def __init__(self, protocol: Any = None, **raising: Callable[..., Any]) -> None:
        self.theirs = protocol
        self.told: list[str] = []
        self.reasons: list[Failure] = []
        self.raising = raising

    def _saw(self, event: str) -> None:
        self.told.append(event)
        if event in self.raising:
            self.raising[event]()

    def startFactory(self) -> None:
        self._saw("startFactory")

    def startedConnecting(self, connector: Any) -> None:
        self._saw("startedConnecting")

    def buildProtocol(self, addr: Any) -> Any:
        self._saw("buildProtocol")
        if self.told.count("buildProtocol") > 1:
            return Partner()  # somebody connects again
        return self.theirs

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.reasons.append(reason)
        self._saw("clientConnectionFailed")

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.reasons.append(reason)
        self._saw("clientConnectionLost")

    def stopFactory(self) -> None:
        self._saw("stopFactory")


class Stage:
    """One trial: the object that raises `kind`, its known effects, and the checks in the end besides the table."""

    def __init__(self, world: World, kind: type[BaseException], asClient: bool) -> None:
        self.world = world
        self.reactor = world.reactor
        self.kind = kind
        self.asClient = asClient
        self.raised: list[BaseException] = []
        self.caught: list[BaseException] = []
        self.victim: Any = None
        self.isLogged: BaseException | None = None  # instead of what was raised
        self.checks: list[Callable[[], object]] = []
        self.undo: list[Callable[[], object]] = []

    @property
    def error(self) -> BaseException:
        (error,) = self.raised
        return error

    def fail(self, *_: object) -> Any:
        """Raise, but once only."""
        if self.raised:
            return
        try:
            if self.kind is RecursionError:
                with noCollection():
                    deeper(0)
            raise self.kind(f"number {len(self.raised)}")
        except BaseException as error:
            self.raised.append(error)
            raise

    def catch(self, call: Callable[[], object]) -> None:
        """Make a call whose exception must pass through."""
        try:
            call()
        except BaseException as error:
            self.caught.append(error)

    def serve(self, protocol: Any) -> Any:
        factory = ServerFactory[Any]()
        factory.noisy = False
        left = [protocol]  # nothing keeps it but its connection
        factory.buildProtocol = lambda addr: left.pop() if left else None  # type: ignore[method-assign]
        return self.world.listen(factory)

    def join(self, one: Any, other: Any, factory: Any = None) -> None:
        """Connect two protocols, the first being the client if that is to be tried."""
        server, client = (other, one) if self.asClient or factory is not None else (one, other)
        if isinstance(self.world, PumpWorld):
            connect(server, makeFakeServer(server), client, makeFakeClient(client), greet=False, clock=self.reactor)
        else:
            self.world.connect(self.serve(server), factory or Clients(client))

    def tryOut(self, victim: Any, partner: Any) -> Callable[[], object]:
        """Connect the protocol that will raise; it is over when its connection is."""
        self.victim = victim
        victim.lost = []
        self.join(victim, partner)
        return lambda: victim.lost


# The code that raises, and how it comes to that. Each returns a condition that is true when it has happened.
Scenario = Callable[[Stage], Callable[[], object]]
CASES: dict[str, Scenario] = {}


def case(name: str) -> Callable[[Scenario], Scenario]:
    def add(scenario: Scenario) -> Scenario:
        CASES[name] = scenario
        return scenario

    return add


def keep(self: Any, reason: Failure = connectionDone) -> None:
    self.lost.append(reason)


def victimOf(base: type[Any], stage: Stage, *where: str, **members: Any) -> Any:
    methods = {name: lambda self, *args: stage.fail() for name in where}
    return type("Victim", (base,), {"connectionLost": keep, **members, **methods})()


@case("`connectionMade`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(Protocol, stage, "connectionMade"), Partner())


@case("`handshakeCompleted`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(Protocol, stage, "handshakeCompleted"), Partner())


@case("`dataReceived`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(Protocol, stage, "dataReceived"), Partner())


@case("`lineReceived`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(LineReceiver, stage, "lineReceived"), Partner(b"a line\r\nanother\r\n"))


@case("`linesReceived`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(LineReceiver, stage, "linesReceived"), Partner(b"a line\r\nanother\r\n"))


@case("`rawDataReceived`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(LineReceiver, stage, "rawDataReceived", line_mode=0), Partner())


@case("`lineLengthExceeded`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(LineReceiver, stage, "lineLengthExceeded", MAX_LENGTH=3), Partner())


@case("`readConnectionLost`")
def _(stage: Stage) -> Callable[[], object]:
    return stage.tryOut(victimOf(Halves, stage, "readConnectionLost"), Partner(ends=True))


@case("`writeConnectionLost`")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.loseWriteConnection()

    return stage.tryOut(victimOf(Halves, stage, "writeConnectionLost", connectionMade=connectionMade), Halves())


@case("an asynchronous `lineReceived`")
def _(stage: Stage) -> Callable[[], object]:
    async def lineReceived(self: Any, line: bytes) -> None:
        await deferLater(stage.reactor, 0.001)
        stage.fail()

    return stage.tryOut(victimOf(LineReceiver, stage, lineReceived=lineReceived), Partner(b"a line\r\nanother\r\n"))


class Producer:
    """Raises in one of its methods; the others do nothing."""

    def __init__(self, stage: Stage, where: str) -> None:
        self.stage, self.where = stage, where
        self.told: list[str] = []

    def _told(self, word: str) -> None:
        self.told.append(word)
        if word == self.where:
            self.stage.fail()

    def pauseProducing(self) -> None:
        self._told("pause")

    def resumeProducing(self) -> None:
        self._told("resume")

    def stopProducing(self) -> None:
        self._told("stop")


@case("a producer's `resumeProducing` when everything is sent")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.registerProducer(Producer(stage, "resume"), True)
        self.transport.write(MUCH)

    return stage.tryOut(victimOf(Protocol, stage, connectionMade=connectionMade), Partner())


@case("a producer's `pauseProducing` in `write`")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.registerProducer(Producer(stage, "pause"), True)
        stage.catch(lambda: self.transport.write(MUCH))

    partner = Partner()
    stage.tryOut(victimOf(Protocol, stage, connectionMade=connectionMade), partner)
    return lambda: len(partner.received) == len(MUCH)


@case("a producer's `resumeProducing` in `registerProducer`")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        stage.catch(lambda: self.transport.registerProducer(Producer(stage, "resume"), False))
        self.transport.unregisterProducer()
        self.transport.write(MUCH)

    partner = Partner()
    stage.tryOut(victimOf(Protocol, stage, connectionMade=connectionMade), partner)
    return lambda: len(partner.received) == len(MUCH)


@case("a producer's `stopProducing` in `registerProducer`")
def _(stage: Stage) -> Callable[[], object]:
    """Here it is the connection's end that goes on."""

    def connectionLost(self: Any, reason: Failure = connectionDone) -> None:
        stage.catch(lambda: self.transport.registerProducer(Producer(stage, "stop"), False))

    def connectionMade(self: Any) -> None:
        self.transport.loseConnection()

    partner = Partner()
    stage.join(victimOf(Protocol, stage, connectionMade=connectionMade, connectionLost=connectionLost), partner)
    return lambda: partner.lost and stage.caught


@case("a producer's `stopProducing` at the end")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.registerProducer(Producer(stage, "stop"), True)
        self.transport.loseConnection()

    victim, partner = victimOf(Protocol, stage, connectionMade=connectionMade), Partner()
    over = stage.tryOut(victim, partner)
    stage.checks.append(lambda: victim.lost[0].check(ConnectionDone))
    return lambda: over() and partner.lost


@case("`connectionLost`")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.loseConnection()

    victim, partner = victimOf(Protocol, stage, "connectionLost", connectionMade=connectionMade), Partner()
    factory = Clients(victim)
    if stage.asClient and not isinstance(stage.world, PumpWorld):
        stage.join(victim, partner, factory)
        return lambda: factory.told[-1] == "stopFactory" and partner.lost
    stage.join(victim, partner)
    return lambda: partner.lost and stage.raised


def ends(factory: Clients, *before: str) -> Callable[[], object]:
    """Whether everything has been told, in this order."""
    return lambda: factory.told == ["startFactory", "startedConnecting", *before, "stopFactory"]


def connectToNobody(stage: Stage, factory: Any) -> None:
    world = stage.world
    if isinstance(world, UNIXWorld):
        stage.reactor.connectUNIX(world.path(), factory)
    elif isinstance(world, TLSWorld):
        stage.reactor.connectSSL(LOOPBACK, refusedPort(), factory, tlsworlds.clientOptions())
    else:
        stage.reactor.connectTCP(LOOPBACK, refusedPort(), factory)


@case("`clientConnectionLost`")
def _(stage: Stage) -> Callable[[], object]:
    class Leaver(Partner):
        def connectionMade(self) -> None:
            self.transport.loseConnection()

    factory = Clients(Leaver(), clientConnectionLost=stage.fail)
    stage.join(None, Partner(), factory)
    return ends(factory, "buildProtocol", "clientConnectionLost")


@case("`clientConnectionFailed`")
def _(stage: Stage) -> Callable[[], object]:
    factory = Clients(clientConnectionFailed=stage.fail)
    connectToNobody(stage, factory)
    return ends(factory, "clientConnectionFailed")


@case("`stopFactory`")
def _(stage: Stage) -> Callable[[], object]:
    factory = Clients(stopFactory=stage.fail)
    connectToNobody(stage, factory)
    port = stage.world.listen(ServerFactory[Any].forProtocol(Echo))
    port.factory.stopFactory = stage.fail  # whichever of the two is first
    stopped: list[object] = []
    port.stopListening().addCallback(stopped.append)
    over = ends(factory, "clientConnectionFailed")
    return lambda: over() and stopped


@case("`buildProtocol` of a server")
def _(stage: Stage) -> Callable[[], object]:
    port, partner = stage.serve(None), Partner()
    port.factory = _raisingFactory(stage, port.factory)
    stage.world.connect(port, Clients(partner))
    stage.checks.append(lambda: port.connected is False)
    return lambda: partner.lost


def _raisingFactory(stage: Stage, factory: Any) -> Any:
    """`factory`, or what TLS has put around it, raising in buildProtocol."""
    getattr(factory, "wrappedFactory", factory).buildProtocol = stage.fail
    return factory


@case("`buildProtocol` of a client")
def _(stage: Stage) -> Callable[[], object]:
    factory = Clients(buildProtocol=stage.fail)
    partner = Partner()
    stage.world.connect(stage.serve(partner), factory)

    def check() -> object:
        (reason,) = factory.reasons
        return reason.check(ConnectError) and reason.value.args == (stage.error,)

    stage.checks.append(check)
    over = ends(factory, "buildProtocol", "clientConnectionFailed")
    return lambda: over() and partner.lost


@case("`startFactory`")
def _(stage: Stage) -> Callable[[], object]:
    factory: Any = Clients(startFactory=stage.fail)
    readers = len(stage.reactor.getReaders())
    if stage.asClient:
        stage.catch(lambda: connectToNobody(stage, factory))
    else:
        stage.catch(lambda: stage.world.listen(factory))
    stage.checks.append(lambda: factory.told == ["startFactory"] and factory.numPorts == 0)
    return lambda: len(stage.reactor.getReaders()) == readers


@case("`startedConnecting`")
def _(stage: Stage) -> Callable[[], object]:
    factory = Clients(Partner(), startedConnecting=stage.fail)
    partner = Partner()
    stage.catch(lambda: stage.world.connect(stage.serve(partner), factory))
    return lambda: partner.received and factory.theirs.received


def datagrams(stage: Stage, where: str, size: int = 8192) -> Any:
    """A protocol of UDP that raises once, and what it has got after that."""

    class Victim(DatagramProtocol):
        noisy = False
        got: list[bytes]

        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            self.got.append(datagram)

    victim: Any = Victim()
    victim.got = []
    setattr(victim, where, stage.fail)
    stage.reactor.listenUDP(0, victim, interface=LOOPBACK, maxPacketSize=size)
    return victim


def sendTo(stage: Stage, victim: Any, *datagrams: bytes) -> None:
    sender = DatagramProtocol()
    sender.noisy = False
    port = stage.reactor.listenUDP(0, sender, interface=LOOPBACK)
    for datagram in datagrams:
        port.write(datagram, (LOOPBACK, victim.transport.getHost().port))


@case("`datagramReceived`")
def _(stage: Stage) -> Callable[[], object]:
    got: list[bytes] = []

    def received(datagram: bytes, addr: Any) -> None:
        got.append(datagram)
        stage.fail()

    victim = datagrams(stage, "datagramReceived")
    victim.datagramReceived = received
    sendTo(stage, victim, b"one", b"two")
    return lambda: got == [b"one", b"two"]


@case("`datagramLengthExceeded`")
def _(stage: Stage) -> Callable[[], object]:
    victim = datagrams(stage, "datagramLengthExceeded", size=3)
    sendTo(stage, victim, b"much too long", b"two")
    return lambda: victim.got == [b"two"]


@case("`connectionRefused`")
def _(stage: Stage) -> Callable[[], object]:
    victim = datagrams(stage, "connectionRefused")
    victim.transport.connect(LOOPBACK, refusedPort())
    victim.transport.write(b"anybody?")
    return lambda: stage.raised and victim.transport.connected


@case("`startProtocol`")
def _(stage: Stage) -> Callable[[], object]:
    readers = len(stage.reactor.getReaders())
    stage.catch(lambda: datagrams(stage, "startProtocol"))
    return lambda: len(stage.reactor.getReaders()) == readers


@case("`stopProtocol`")
def _(stage: Stage) -> Callable[[], object]:
    stopped: list[object] = []
    datagrams(stage, "stopProtocol").transport.stopListening().addCallback(stopped.append)
    return lambda: stopped


@case("a delayed call")
def _(stage: Stage) -> Callable[[], object]:
    stage.reactor.callLater(0, stage.fail)
    return lambda: stage.raised


@case("a call of `callFromThread`")
def _(stage: Stage) -> Callable[[], object]:
    stage.reactor.callFromThread(stage.fail)
    return lambda: stage.raised


@case("a trigger")
def _(stage: Stage) -> Callable[[], object]:
    others: list[str] = []
    for phase in ("before", "during", "after"):
        stage.reactor.addSystemEventTrigger(phase, "alarm", others.append, phase)
    stage.reactor.addSystemEventTrigger("before", "alarm", stage.fail)
    stage.reactor.fireSystemEvent("alarm")
    return lambda: others == ["before", "during", "after"]


@case("a call for a signal")
def _(stage: Stage) -> Callable[[], object]:
    stage.reactor.addSignalHandler(signal.SIGUSR2, stage.fail)
    stage.undo.append(lambda: stage.reactor.removeSignalHandler(signal.SIGUSR2))
    signal.raise_signal(signal.SIGUSR2)
    return lambda: stage.raised


class Ear:
    """A descriptor of the program's own."""

    def __init__(self, stage: Stage, fd: int) -> None:
        self.fd = fd
        self.doRead = self.doWrite = stage.fail
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self.fd

    def connectionLost(self, reason: Failure) -> None:
        self.lost.append(reason)


def ear(stage: Stage, end: int) -> Ear:
    pipe = os.pipe()
    for fd in pipe:
        stage.undo.append(functools.partial(os.close, fd))
    os.write(pipe[1], b"x")
    heard = Ear(stage, pipe[end])
    stage.checks.append(lambda: [reason.value for reason in heard.lost] == [stage.error])
    return heard


@case("`doRead` of a descriptor of your own")
def _(stage: Stage) -> Callable[[], object]:
    reader = ear(stage, 0)
    stage.reactor.addReader(reader)
    return lambda: reader.lost and reader not in stage.reactor.getReaders()


@case("`doWrite` of a descriptor of your own")
def _(stage: Stage) -> Callable[[], object]:
    writer = ear(stage, 1)
    stage.reactor.addWriter(writer)
    return lambda: writer.lost and writer not in stage.reactor.getWriters()


def child(stage: Stage, where: str) -> list[str]:
    told: list[str] = []

    def saw(name: str) -> Callable[..., None]:
        def callback(*_: object) -> None:
            told.append(name)
            if name == where:
                stage.fail()

        return callback

    victim: Any = ProcessProtocol()
    for name in ("outReceived", "childConnectionLost", "processExited", "processEnded"):
        setattr(victim, name, saw(name))
    stage.reactor.spawnProcess(victim, "/bin/echo", ["echo", "hello"])
    return told


@case("`outReceived`")
def _(stage: Stage) -> Callable[[], object]:
    told = child(stage, "outReceived")
    return lambda: "processEnded" in told and told.count("childConnectionLost") == 3


@case("`childConnectionLost`")
def _(stage: Stage) -> Callable[[], object]:
    told = child(stage, "childConnectionLost")
    return lambda: "processEnded" in told and told.count("childConnectionLost") == 3


@case("`processExited`")
def _(stage: Stage) -> Callable[[], object]:
    told = child(stage, "processExited")
    return lambda: "processEnded" in told


@case("`processEnded`")
def _(stage: Stage) -> Callable[[], object]:
    child(stage, "processEnded")
    return lambda: stage.raised


@case("a call of `callInThread`")
def _(stage: Stage) -> Callable[[], object]:
    stage.reactor.callInThread(stage.fail)
    after: list[int] = []
    stage.reactor.callInThread(after.append, 1)
    return lambda: stage.raised and after


@case("a resolver's `getHostByName`")
def _(stage: Stage) -> Callable[[], object]:
    class Resolver:
        def getHostByName(self, name: str, timeout: object = None) -> Any:
            stage.fail()

    factory = Clients()
    before = stage.reactor.installResolver(Resolver())
    stage.undo.append(lambda: stage.reactor.installResolver(before))
    stage.reactor.connectTCP("server.test", 7, factory)

    def over() -> bool:
        stage.caught = [reason.value for reason in factory.reasons]
        return factory.told[-1] == "stopFactory"

    return over


@case("a call of `deferToThread`")
def _(stage: Stage) -> Callable[[], object]:
    deferToThread(stage.fail).addErrback(lambda failure: stage.caught.append(failure.value))
    return lambda: stage.caught


@case("a callback of a Deferred")
def _(stage: Stage) -> Callable[[], object]:
    waiting: Deferred[None] = Deferred()
    waiting.addCallback(stage.fail).addErrback(lambda failure: stage.caught.append(failure.value))
    stage.reactor.callLater(0, waiting.callback, None)
    return lambda: stage.caught


@case("the function of a LoopingCall")
def _(stage: Stage) -> Callable[[], object]:
    calls: list[int] = []

    def call() -> None:
        calls.append(1)
        if len(calls) == 2:
            stage.fail()

    looping = LoopingCall(call)
    looping.clock = stage.reactor
    looping.start(0.001).addErrback(lambda failure: stage.caught.append(failure.value))
    stage.checks.append(lambda: len(calls) == 2 and not looping.running)
    return lambda: stage.caught


@case("a `__del__`")
def _(stage: Stage) -> Callable[[], object]:
    def connectionMade(self: Any) -> None:
        self.transport.loseConnection()

    partner = Partner()
    stage.join(victimOf(Protocol, stage, "__del__", connectionMade=connectionMade, lost=[]), partner)

    def over() -> object:
        if partner.lost and not stage.raised:
            gc.collect()
        return stage.raised

    return over


@case("a `__repr__` that a record needs")
def _(stage: Stage) -> Callable[[], object]:
    class Nameless(ServerFactory[Any]):
        noisy = False

        def __repr__(self) -> str:
            return str(stage.fail())

        def buildProtocol(self, addr: Any) -> Any:
            stage.isLogged = Marker("has no name")
            raise stage.isLogged

    partner = Partner()
    stage.world.connect(stage.world.listen(Nameless()), Clients(partner))
    stage.checks.append(lambda: stage.raised)
    return lambda: partner.lost


@case("a logging handler")
def _(stage: Stage) -> Callable[[], object]:
    class Failing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            stage.fail()

    def call() -> None:
        stage.isLogged = Marker("has a record")
        raise stage.isLogged

    handler = Failing(logging.ERROR)
    logging.getLogger("reactor").addHandler(handler)
    stage.undo.append(lambda: logging.getLogger("reactor").removeHandler(handler))
    stage.reactor.callLater(0, call)
    return lambda: stage.raised


# The table, and the trials that it judges.


def written() -> dict[str, str]:
    """Return the table of docs/semantics.md: the effect of an exception in each callback."""
    (table,) = re.findall(
        r"<!-- exceptions -->(.*?)<!-- /exceptions -->", (ROOT / "docs" / "semantics.md").read_text(), re.DOTALL
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()[2:]]
    return {name.strip(): effect for names, effect in rows for name in names.split(", ")}


EFFECTS = written()


def test_theTableHasWhatIsTriedHere() -> None:
    assert sorted(EFFECTS) == sorted(CASES)
    assert len(CASES) >= 25
    assert len(KINDS) >= 8


def isExpected(stage: Stage, error: BaseException) -> bool:
    """Whether `error` is the one that was raised. (Python makes another of a StopIteration in a coroutine.)"""
    if stage.kind is StopIteration and isinstance(error, RuntimeError) and not isinstance(error, RecursionError):
        error = error.__cause__ or error
    return error is stage.error


def judge(
    name: str, stage: Stage, bystander: Bystander, left: BaseException | None, records: Records, ignored: list[Any]
) -> None:
    effect, context = EFFECTS[name], (name, stage.kind)
    assert len(stage.raised) == 1, context
    isExit = issubclass(stage.kind, EXITS)
    staysInside = not effect.startswith("logged") or "in that thread" in effect
    if name == "a logging handler":
        staysInside = False
    leaves = isExit and not staysInside
    assert left is (stage.error if leaves else None), context
    assert bystander.echoed == [b"before"] + [b"after"] * (not leaves), context
    assert [type(reason.value) for reason in bystander.lost] == [ConnectionLost], context
    errors = records.errors()
    if "in that thread" in effect:  # which may log after another thread of the pool has done its work
        end = time.monotonic() + 10
        while not errors and time.monotonic() < end:
            time.sleep(0.001)
            errors = records.errors()
    if stage.isLogged is not None:
        assert errors == [stage.isLogged], context
    elif effect.startswith("logged") and not leaves:
        assert len(errors) == 1, (context, errors)
        assert errors[0] is not None, context
        assert isExpected(stage, errors[0]), (context, errors)
    else:
        assert errors == [], context
    assert len(ignored) == ("unraisablehook" in effect), (context, ignored)
    assert all(record.name.split(".")[0] == "reactor" for record in records.found)
    if effect.startswith(("passes through", "fails")):
        assert len(stage.caught) == 1, context
        assert isExpected(stage, stage.caught[0]), (context, stage.caught)
    victim = stage.victim
    if victim is not None and "the connection ends with it" in effect:
        (reason,) = victim.lost
        assert isExpected(stage, reason.value), (context, reason)
    elif victim is not None and "the connection goes on" in effect and victim.lost:
        assert [type(reason.value) for reason in victim.lost] == [ConnectionLost], context  # by stop()
    for check in stage.checks:
        assert check(), context


def perform(name: str, world: World, kind: type[BaseException], asClient: bool, records: Records) -> None:
    """Run the reactor for one trial: the bystander speaks, the callback raises, the bystander speaks again."""
    world.host = next(HOSTS)
    stage = Stage(world, kind, asClient)
    reactor = world.reactor
    over: list[Callable[[], object]] = []

    def provoke() -> None:
        over.append(CASES[name](stage))
        look()

    def look() -> None:
        if over[0]():
            bystander.say(b"after", reactor.stop)
        else:
            reactor.callLater(pace(world), look)

    bystander = Bystander(lambda: bystander.say(b"before", lambda: reactor.callLater(0, provoke)))
    others = Stage(world, Boom, asClient=True)
    reactor.callWhenRunning(others.join, bystander, Echo())
    reactor.callLater(DEADLINE, reactor.stop)
    left = None
    ignored: list[Any] = []
    with unraisables(ignored):
        try:
            reactor.run()
        except EXITS as error:
            left = error
        finally:
            for call in reactor.getDelayedCalls():
                call.cancel()
            for undo in stage.undo:
                undo()
        judge(name, stage, bystander, left, records, ignored)
    records.found.clear()


@contextmanager
def noCollection() -> Iterator[None]:
    """Let no garbage collection begin where no stack is left: a finalizer there fails for reasons of its own."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def unraisables(found: list[Any]) -> Iterator[None]:
    before = sys.unraisablehook
    sys.unraisablehook = lambda what: found.append(what.exc_type)
    try:
        yield
    finally:
        sys.unraisablehook = before


@pytest.fixture
def records() -> Iterator[Records]:
    logger, records = logging.getLogger("reactor"), Records()
    logger.addHandler(records)
    logger.propagate = False  # a traceback of a thousand frames is long in the writing
    yield records
    logger.propagate = True
    logger.removeHandler(records)


OVER_TLS_ONLY = {"`handshakeCompleted`"}
WITHOUT_SIDES = {
    name
    for name, effect in EFFECTS.items()
    if not any(
        word in effect for word in ("the connection ends", "the connection goes on", "the rest of the ending", "listen")
    )
} | {"`startProtocol`"}
IN_MEMORY = {
    name
    for name, effect in EFFECTS.items()
    if "the connection ends" in effect or "the connection goes on" in effect or name == "`connectionLost`"
} - OVER_TLS_ONLY
OVER_ALL = IN_MEMORY | {
    *OVER_TLS_ONLY,
    "`clientConnectionLost`",
    "`clientConnectionFailed`",
    "`stopFactory`",
    "`buildProtocol` of a server",
    "`buildProtocol` of a client",
    "`startFactory`",
    "`startedConnecting`",
}


def label(name: str) -> str:
    return name.replace("`", "").replace(" ", "_")


def trials() -> Iterator[Any]:
    worlds = {"tcp": World, "unix": UNIXWorld, "tls": TLSWorld, "memory": PumpWorld}
    for name in CASES:
        for side in (OURS, ASYNCIO, UVLOOP):
            first = "tls" if name in OVER_TLS_ONLY else "tcp"
            where = [first]
            if side is OURS:
                where += [kind for kind in worlds if kind != first and name in OVER_ALL and name not in OVER_TLS_ONLY]
            for kind in where:
                if kind != "memory" or name in IN_MEMORY:
                    yield pytest.param(name, side, worlds[kind], id=f"{label(name)}-{side.name}-{kind}")


@pytest.mark.parametrize(("name", "side", "kind"), list(trials()))
def test_raising(name: str, side: Any, kind: Callable[[Any], World], records: Records) -> None:
    world = kind(side)
    try:
        for asClient in (False,) if name in WITHOUT_SIDES else (False, True):
            for error in KINDS:
                perform(name, world, error, asClient, records)
    finally:
        with suppress(KeyboardInterrupt, SystemExit):
            world.close()
