"""Re-entrancy: everything is called from everywhere.

The matrix calls every method, twice, in every callback that test_exceptions.py has. It does so as the connection
stands, and after its end has begun. A bystander's connection must work before and after. Random walks (walks.py) do as
much at random. Connectors and ports do the same as Twisted's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from reactor.error import (
    CannotListenError,
    ConnectionDone,
    ConnectionLost,
    NotConnectingError,
    ReactorAlreadyRunning,
    ReactorNotRunning,
)
from reactor.failure import Failure
from reactor.protocol import ClientFactory, DatagramProtocol, ServerFactory
from reactor.testing import PumpReactor, connect, makeFakeClient, makeFakeServer
from reactor.transports.tls.connection import TLSConnection
from tests.battery.sizes import size
from tests.battery.test_exceptions import (
    CASES,
    DEADLINE,
    HOSTS,
    IN_MEMORY,
    OVER_ALL,
    OVER_TLS_ONLY,
    WITHOUT_SIDES,
    Bystander,
    Clients,
    Echo,
    Marker,
    Partner,
    PumpWorld,
    Stage,
    connectToNobody,
    label,
    pace,
)
from tests.battery.walks import (
    BUDGET,
    PARTIES,
    Boom,
    Logged,
    Party,
    Walk,
    abortConnection,
    explain,
    judge,
    logged,
    loseConnection,
)
from tests.battery.walks import outside as actOutside
from tests.support import tlsworlds
from tests.support.tlsworlds import TLSWorld
from tests.support.worlds import ASYNCIO, LOOPBACK, OURS, TWISTED, UVLOOP, UNIXWorld, World, refusedPort, turnUntil

# Random walks.


def turnsAndEnd(walk: Walk, parties: tuple[Party, Party], turn: Callable[[], object]) -> int:
    """Act between turns, then have both sides leave; return how many exceptions of the script came out."""
    dice, caught = walk.dice, 0
    for _ in range(dice.randrange(2, 8)):
        party = dice.choice(parties)
        if party.made:
            caught += actOutside(walk, party)
        for _ in range(dice.randrange(0, 3)):
            turn()
    walk.budget = min(walk.budget, 5)
    for party in parties:
        if party.made and not party.lost:
            (loseConnection if dice.random() < 0.7 else abortConnection)(party)
    for _ in range(6):
        turn()
    walk.budget = 0
    return caught


def walkInMemory(seed: int, budget: int = BUDGET) -> Walk:
    """Over a pair in memory; the two may sit on TLS."""
    return inMemory(seed, budget, overTLS=False)


def walkOverTLSInMemory(seed: int, budget: int = BUDGET) -> Walk:
    return inMemory(seed, budget, overTLS=True)


def inMemory(seed: int, budget: int, overTLS: bool) -> Walk:
    walk = Walk(seed, budget)
    parties = server, client = walk.dice.choice(PARTIES)(), walk.dice.choice(PARTIES)()
    server.begin(walk, "server")
    client.begin(walk, "client")
    pumping = walk.reactor = PumpReactor()
    walk.turn = pumping.turn  # type: ignore[assignment]
    ends: tuple[Any, Any] = parties
    if overTLS:
        ends = (
            TLSConnection(pumping, tlsworlds.serverOptions(), False, None, lambda _: server, None),
            TLSConnection(pumping, tlsworlds.clientOptions(), True, tlsworlds.HOST, lambda _: client, None),
        )
    carriers = makeFakeServer(ends[0]), makeFakeClient(ends[1])
    with logged() as log:
        connect(ends[0], carriers[0], ends[1], carriers[1], greet=False, clock=pumping)
        caught = turnsAndEnd(walk, parties, pumping.turn)
        for party, carrier in zip(parties, carriers, strict=True):
            if not party.lost and party.made:
                abortConnection(party)
            elif not party.made:
                carrier.abortConnection()
        rest = next((turns for turns in range(50) if not pumping.turn()), None)
        pumping.clock.advance(60)  # what a deadline would still do, it does now
        pumping.turn()
        if rest is None:
            walk.complain("there is no end of turns")
        judge(walk, parties, log, caught, mayFail=overTLS)
    left = [pumping.getReaders(), pumping.getWriters(), list(pumping._open), pumping.getDelayedCalls()]
    if any(left) or not all(carrier.wire.closed for carrier in carriers):
        walk.complain(f"something is left: {left}")
    return walk


def test_walksInMemory() -> None:
    for seed in range(100_000):
        if walkInMemory(seed).broken:
            explain("in memory", seed, walkInMemory)


def test_walksOverTLSInMemory() -> None:
    for seed in range(size(3_000, 100_000)):
        if walkOverTLSInMemory(seed).broken:
            explain("TLS in memory", seed, walkOverTLSInMemory)


class Sockets:
    """Walks over sockets, in one reactor."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.isTLS = isinstance(world, TLSWorld)

    def turn(self) -> None:
        try:
            self.world.reactor.iterate(0)
        except ReactorAlreadyRunning:  # event loops do not nest
            assert self.world.side is not OURS

    def walk(self, seed: int, budget: int = BUDGET) -> Walk:
        walk = Walk(seed, budget)
        parties = server, client = walk.dice.choice(PARTIES)(), walk.dice.choice(PARTIES)()
        server.begin(walk, "server")
        client.begin(walk, "client")
        reactor = walk.reactor = self.world.reactor
        walk.turn = self.turn
        servers: Any = ServerFactory()
        clients: Any = ClientFactory()
        ended: list[object] = []
        self.world.host = next(HOSTS)
        servers.noisy = clients.noisy = False
        built: list[Party] = []
        servers.buildProtocol = lambda addr: built.append(server) or server  # type: ignore[func-returns-value]
        clients.buildProtocol = lambda addr: client
        clients.clientConnectionLost = clients.clientConnectionFailed = lambda connector, reason: ended.append(reason)
        with logged() as log:
            port = self.world.listen(servers)
            connector = self.world.connect(port, clients)
            for _ in range(300):
                self.turn()
                if (server.made and client.made) or ended:
                    break
            caught = turnsAndEnd(walk, parties, self.turn)
            connector.disconnect()
            port.stopListening()
            for party in parties:
                if party.made and not party.lost:
                    abortConnection(party)
            for _ in range(300):
                if not reactor._open and not reactor.getDelayedCalls():
                    break
                reactor.iterate(0.001)
            if len(ended) != 1:
                walk.complain(f"the connector was told {len(ended)} times: {ended}")
            judge(walk, parties, log, caught, mayFail=True)
        left = [reactor.getReaders(), reactor.getWriters(), list(reactor._open), reactor.getDelayedCalls()]
        if any(left):
            walk.complain(f"something is left: {left}")
            reactor.disconnectAll()
        return walk


@pytest.mark.parametrize("side", [OURS, ASYNCIO, UVLOOP], ids=lambda side: str(side.name))
@pytest.mark.parametrize("kind", [World, UNIXWorld, TLSWorld], ids=["tcp", "unix", "tls"])
def test_walksOverSockets(kind: type[World], side: Any) -> None:
    world = kind(side)
    sockets = Sockets(world)
    try:
        for seed in range(size(400, 10_000)):
            if sockets.walk(seed).broken:
                explain(f"{side.name}, {kind.__name__}", seed, sockets.walk)
    finally:
        world.close()


# The matrix: each callback of test_exceptions.py calls each of these, twice.


class Calls:
    """The things that a callback can use: a connection, the reactor, and the ports and connectors around it."""

    def __init__(self, stage: Calling) -> None:
        self.stage = stage
        self.reactor = stage.reactor

    @property
    def transport(self) -> Any:
        """The connection of the one whose callback it is, or else of a neighbour."""
        mine = getattr(self.stage.victim, "transport", None)
        return self.stage.neighbour.transport if mine is None else mine

    def write(self) -> None:
        self.transport.write(b"again")

    def writeMuch(self) -> None:
        self.transport.write(b"x" * 100_000)

    def writeSequence(self) -> None:
        self.transport.writeSequence([b"a", b"b"])

    def loseConnection(self) -> None:
        self.transport.loseConnection()

    def abortConnection(self) -> None:
        self.transport.abortConnection()

    def loseWriteConnection(self) -> None:
        self.transport.loseWriteConnection()

    def stopConsuming(self) -> None:
        self.transport.stopConsuming()

    def stopProducing(self) -> None:
        self.transport.stopProducing()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def registerPush(self) -> None:
        with suppress(RuntimeError):  # there is one
            self.transport.registerProducer(Producer(), True)

    def registerPull(self) -> None:
        with suppress(RuntimeError):
            self.transport.registerProducer(Producer(), False)

    def unregisterProducer(self) -> None:
        self.transport.unregisterProducer()

    def setOutputLimits(self) -> None:
        self.transport.setOutputLimits(10, 1000)

    def ask(self) -> None:
        transport = self.transport
        assert transport.getHost() is not None
        assert transport.getPeer() is not None
        assert transport.logPrefix()
        assert isinstance(transport.fileno() if hasattr(type(transport), "fileno") else -1, int)
        assert repr(transport)

    def setOptions(self) -> None:
        with suppress(OSError):  # it has been closed
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
            assert isinstance(self.transport.getTcpNoDelay(), bool)

    def startTLS(self) -> None:
        with suppress(RuntimeError):  # there is TLS, or it is too late for it
            hasConnected = getattr(self.transport, "_hasConnected", False)
            self.transport.startTLS(tlsworlds.serverOptions(), normal=not hasConnected)

    def flush(self) -> None:
        self.transport.flush()

    def doWrite(self) -> None:
        self.transport.doWrite()

    def doRead(self) -> None:
        if self.transport.connected and hasattr(self.transport, "doRead"):
            self.transport.doRead()

    def startReading(self) -> None:
        if self.transport.connected and hasattr(self.transport, "startReading"):
            self.transport.startReading()
            self.transport.startWriting()

    def stopReading(self) -> None:
        if hasattr(self.transport, "stopReading"):
            self.transport.stopReading()
            self.transport.stopWriting()

    def failConnection(self) -> None:
        self.transport.failConnection(Failure(Boom("said by the callback")))

    def connectionLost(self) -> None:
        self.transport.connectionLost(Failure(ConnectionLost("said by the callback")))

    # The reactor.

    def stop(self) -> None:
        with suppress(ReactorNotRunning):  # it is stopping already
            self.reactor.stop()

    def crash(self) -> None:
        self.reactor.crash()

    def run(self) -> None:
        with pytest.raises(ReactorAlreadyRunning):
            self.reactor.run()

    def close(self) -> None:
        with pytest.raises(ReactorAlreadyRunning):
            self.reactor.close()

    def iterate(self) -> None:
        with suppress(ReactorAlreadyRunning):  # event loops do not nest
            self.reactor.iterate(0)

    def callLater(self) -> None:
        self.reactor.callLater(0, self.stage.later.append, "callLater")

    def cancelled(self) -> None:
        call = self.reactor.callLater(0, self.stage.later.append, "cancelled")
        call.reset(1)
        call.delay(1)
        call.cancel()

    def callFromThread(self) -> None:
        self.reactor.callFromThread(self.stage.later.append, "callFromThread")

    def callInThread(self) -> None:
        self.reactor.callInThread(self.stage.later.append, "callInThread")

    def callWhenRunning(self) -> None:
        self.reactor.callWhenRunning(self.stage.later.append, "callWhenRunning")

    def addTrigger(self) -> None:
        self.reactor.removeSystemEventTrigger(self.reactor.addSystemEventTrigger("before", "alarm", Boom))
        self.reactor.addSystemEventTrigger("before", "shutdown", self.stage.later.append, "shutdown")

    def fireSystemEvent(self) -> None:
        self.reactor.fireSystemEvent("fire")

    def addReader(self) -> None:
        if self.transport.connected and hasattr(self.transport, "fileno"):
            self.reactor.addReader(lowest(self.transport))
            self.reactor.addWriter(lowest(self.transport))

    def removeReader(self) -> None:
        self.reactor.removeReader(lowest(self.transport))
        self.reactor.removeWriter(lowest(self.transport))

    def lists(self) -> None:
        assert isinstance(self.reactor.getReaders(), list)
        assert isinstance(self.reactor.getWriters(), list)
        assert isinstance(self.reactor.getDelayedCalls(), list)

    def removeAll(self) -> None:
        self.reactor.removeAll()

    def disconnectAll(self) -> None:
        self.reactor.disconnectAll()

    def resolve(self) -> None:
        self.reactor.resolve("127.0.0.1").addCallback(self.stage.later.append)

    # Ports and connectors.

    def listen(self) -> None:
        self.stage.world.listen(quiet(ServerFactory[Any].forProtocol(Echo)))

    def connect(self) -> None:
        stage = self.stage
        stage.world.connect(stage.world.listen(quiet(ServerFactory[Any].forProtocol(Echo))), Clients(Partner()))

    def connectToNobody(self) -> None:
        connectToNobody(self.stage, Clients())

    def listenUDP(self) -> None:
        protocol = DatagramProtocol()
        protocol.noisy = False
        self.reactor.listenUDP(0, protocol, interface=LOOPBACK)

    def stopListening(self) -> None:
        for port in self.stage.ports:
            port.stopListening()

    def listenAgain(self) -> None:
        for port in self.stage.ports:
            with suppress(CannotListenError):  # somebody may have come first
                port.startListening()

    def pausePorts(self) -> None:
        for port in self.stage.ports:
            port.pauseProducing()

    def resumePorts(self) -> None:
        for port in self.stage.ports:
            port.resumeProducing()

    def closePorts(self) -> None:
        for port in self.stage.ports:
            port.connectionLost(Failure(ConnectionDone()))

    def connectAgain(self) -> None:
        for connector in self.stage.connectors:
            with suppress(RuntimeError):  # it is not disconnected
                connector.connect()

    def stopConnecting(self) -> None:
        for connector in self.stage.connectors:
            with suppress(NotConnectingError):
                connector.stopConnecting()

    def disconnect(self) -> None:
        for connector in self.stage.connectors:
            connector.disconnect()
            connector.stopConnection()

    def askConnectors(self) -> None:
        for connector in self.stage.connectors:
            assert connector.getDestination() is not None
            assert repr(connector)


METHODS = [name for name, member in vars(Calls).items() if callable(member) and not name.startswith("_")]
# They end, or hold up, more than the connection at hand.
WIDE = {"stop", "crash", "removeAll", "disconnectAll"}
WITH_SOCKETS = {"listen", "connect", "connectToNobody", "listenUDP"}
# There only callFromThread may be called.
IN_THREADS = {"a call of `callInThread`", "a call of `deferToThread`"}
BEFORE = (None, "loseConnection", "abortConnection", "connectionLost")


def quiet(factory: Any) -> Any:
    factory.noisy = False
    return factory


def lowest(transport: Any) -> Any:
    """The one that has the descriptor."""
    while hasattr(transport, "lower"):
        transport = transport.lower
    return transport


class Producer:
    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass


class Recorded:
    """A world that remembers the ports and connectors that a stage has asked it for."""

    def __init__(self, world: World, stage: Calling) -> None:
        self._world, self._stage = world, stage

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # for code that asks what kind of world it is
        return type(self._world)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._world, name)

    def listen(self, factory: Any) -> Any:
        port = self._world.listen(factory)
        self._stage.ports.append(port)
        return port

    def connect(self, port: Any, factory: Any) -> Any:
        connector = self._world.connect(port, factory)
        self._stage.connectors.append(connector)
        return connector


class Calling(Stage):
    """A stage on which the callback calls things, and raises nothing."""

    def __init__(self, world: World, asClient: bool, before: str | None, method: str) -> None:
        super().__init__(world, Boom, asClient)
        self.ports: list[Any] = []
        self.connectors: list[Any] = []
        self.later: list[object] = []
        self.neighbour: Any = Partner()
        self.calls = [before] if before else []
        self.calls += [method, method]
        self.acted = False
        self.strange: list[BaseException] = []
        self.plain = world

    def fail(self, *_: object) -> Any:
        """Called in the callback."""
        if not self.acted:
            self.acted = True
            calls = Calls(self)
            try:
                for name in self.calls:
                    getattr(calls, name)()
            except BaseException as error:
                self.strange.append(error)


def callEverything(name: str, world: World, asClient: bool, before: str | None, method: str, log: Logged) -> None:
    """Run the reactor for one cell of the matrix."""
    world.host = next(HOSTS)
    stage = Calling(world, asClient, before, method)
    context = (name, "client" if asClient else "server", before, method)
    reactor = world.reactor
    quietTurns = iter(range(3))
    wide = method in WIDE
    others = Stage(world, Boom, asClient=True)
    reactor.callWhenRunning(others.join, stage.neighbour, Echo())

    happened: list[Callable[[], object]] = []

    def provoke() -> None:
        stage.world = Recorded(world, stage)  # type: ignore[assignment]
        try:
            happened.append(CASES[name](stage))
        except Exception as error:  # what was called may have taken the ground from under the case itself
            if not stage.acted:
                stage.strange.append(error)
                reactor.stop()
        look()

    def look() -> None:
        if not reactor.running:
            return
        if not stage.acted:
            happened[0]()  # which may help it along
        if stage.acted and next(quietTurns, None) is None:
            if wide:
                reactor.stop()
                return
            bystander.say(b"after", lambda: reactor.running and reactor.stop())
        else:
            reactor.callLater(pace(world), look)

    bystander = Bystander(lambda: bystander.say(b"before", lambda: reactor.callLater(0, provoke)))
    reactor.callWhenRunning(others.join, bystander, Echo())

    late = reactor.callLater(DEADLINE, reactor.crash)
    reactor.run(installSignalHandlers=False)
    assert late.active(), (context, "it has not come to an end", stage.strange, bystander.echoed, bystander.lost)
    late.cancel()
    reactor.disconnectAll()  # crash() leaves connections as they are
    for _ in range(3):
        reactor.iterate(0)
    for call in reactor.getDelayedCalls():
        call.cancel()
    for undo in stage.undo:
        undo()
    assert stage.acted, context
    assert stage.strange == [], context
    expected = [Boom] * 2 * (method == "failConnection") + [Marker] * (stage.isLogged is not None)
    assert sorted(log.kinds, key=repr) == sorted(expected, key=repr), (context, log.kinds, log.strange)
    log.forget()
    assert bystander.echoed[:1] == [b"before"], context
    if not wide:
        assert bystander.echoed == [b"before", b"after"], context
    for party in (bystander, stage.neighbour, stage.victim):
        lost = getattr(party, "lost", None)
        assert lost is None or len(lost) == 1, (context, party, lost)
    assert (reactor.getReaders(), reactor.getWriters(), list(reactor._open)) == ([], [], []), context
    if method in ("callLater", "callFromThread", "callWhenRunning") and before is None:
        assert stage.later == [method, method], context


def cells() -> list[Any]:
    found = []
    for name in CASES:
        if name in IN_THREADS:
            continue
        for side in (OURS, ASYNCIO, UVLOOP):
            kinds: dict[str, Any] = {"tls": TLSWorld} if name in OVER_TLS_ONLY else {"tcp": World}
            if side is OURS and name in OVER_ALL:
                kinds = {"tcp": World, "unix": UNIXWorld, "tls": TLSWorld, "memory": PumpWorld}
                for kind, names in (("memory", IN_MEMORY), ("tcp", OVER_ALL - OVER_TLS_ONLY), ("unix", IN_MEMORY)):
                    if name not in names:
                        del kinds[kind]
            for kind, world in kinds.items():
                found.append(pytest.param(name, side, world, id=f"{label(name)}-{side.name}-{kind}"))
    return found


@pytest.mark.parametrize(("name", "side", "kind"), cells())
def test_everyMethodInEveryCallback(name: str, side: Any, kind: Callable[[Any], World]) -> None:
    world = kind(side)
    whole = side is OURS and kind is World and name in OVER_ALL
    methods = METHODS if kind is not PumpWorld else [each for each in METHODS if each not in WITH_SOCKETS]
    try:
        with logged() as log:
            for number, before in enumerate(BEFORE if whole else BEFORE[:1]):
                # Either side as the connection stands; after that, each in turn.
                sides = (False,) if name in WITHOUT_SIDES else (False, True) if before is None else (number % 2 == 1,)
                for asClient in sides:
                    for method in methods:
                        callEverything(name, world, asClient, before, method, log)
    finally:
        world.close()


# Connectors: the same calls in the same callbacks, here and with Twisted.

CONNECTOR_CALLS = ("connect", "stopConnecting", "disconnect")
SCRIPTS = [*((call,) for call in CONNECTOR_CALLS), *itertools.product(CONNECTOR_CALLS, repeat=2)]
CALLBACKS = ("start", "started", "build", "made", "data", "lost", "connectorLost", "failed", "stop")


def life(side: Any, where: str, calls: tuple[str, ...], accepted: bool) -> list[object]:
    """The trace of a client whose callback `where` makes these calls once, and of what they raised."""
    world = World(side)
    left, connectors, told = list(calls), list[Any](), list[str]()

    def act(*_: object) -> None:
        while left and connectors:
            name = left.pop(0)
            try:
                getattr(connectors[0], name)()
            except Exception as error:
                factory.trace.append((name, type(error).__name__))
            else:
                factory.trace.append((name, connectors[0].state))

    def started(_: Any, connector: Any) -> None:
        connectors.append(connector)
        if where == "started":
            act()

    def build(which: Any, addr: Any) -> Any:
        if where == "build":
            act()
        which.built.append(which.protocolClass(which.trace, which.protocolHooks))
        return which.built[-1]

    def made(protocol: Any) -> None:
        protocol.transport.write(b"x")
        if where == "made":
            act()

    def stop(_: Any) -> None:
        told.append("stop")
        if where == "stop":
            act()

    hooks: dict[str, Callable[..., object]] = {"made": made, **({where: act} if where in ("data", "lost") else {})}
    factoryHooks: dict[str, Any] = {where: act} if where in ("start", "connectorLost", "failed") else {}
    factory = world.clientFactory(hooks, **{**factoryHooks, "started": started, "build": build, "stop": stop})

    def bye(protocol: Any, data: bytes) -> None:
        protocol.transport.write(b"y")
        protocol.transport.loseConnection()

    try:
        port = world.listen(world.serverFactory({"data": bye}))
        if accepted:
            connector = world.connect(port, factory)
        else:
            connector = world.reactor.connectTCP(LOOPBACK, refusedPort(), factory)
        with suppress(AssertionError):  # what goes on for ever is compared, too
            turnUntil(world.reactor, lambda: told and connector.state == "disconnected", 2)
        if where == "start":  # where the first one cannot be reached
            connector.connect()
            told.clear()
            turnUntil(world.reactor, lambda: told and connector.state == "disconnected", 2)
        for _ in range(3):
            world.reactor.iterate(0)
        return [*factory.trace, connector.state, factory.numPorts]
    finally:
        world.close()


# Twisted's connector takes itself for something else than its state says, while its factory starts or stops
# (test_connectorsAroundTheirFactory of test_differences.py): there ours is asked alone.
ALONE = {
    ("start", "stopConnecting"): "NotConnectingError",
    ("start", "disconnect"): "NotConnectingError",
    ("stop", "connect"): "connecting",
}


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("where", CALLBACKS)
def test_connectorsAsTwisted(where: str, accepted: bool) -> None:
    for calls in SCRIPTS:
        ours = life(OURS, where, calls, accepted)
        alone = [(call, ALONE[where, call]) for call in calls if (where, call) in ALONE]
        if alone:
            assert alone[0] in ours, calls
            assert ours[-2:] == ["disconnected", 0], calls
            assert ours.count("start") == ours.count("stop"), calls
        else:
            assert ours == life(TWISTED, where, calls, accepted), calls
