"""Connections and connectors beside Twisted's: the same script over real sockets on both, and the traces compared.

The differences on purpose are in tests/parity/test_differences.py.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.worlds import (
    LOOPBACK,
    OURS,
    SIDES,
    TWISTED,
    Producer,
    World,
    dial,
    readAll,
    refusedPort,
    reset,
    silentServer,
)

Script = Callable[[World], Any]


def compare(script: Script) -> Any:
    """Run `script` on both sides; return the trace they agree on."""
    traces = []
    for side in SIDES:
        world = World(side)
        try:
            traces.append(script(world))
        finally:
            world.close()
    assert traces[0] == traces[1]
    return traces[0]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Exceptions of callbacks are logged; whose log it is differs."""
    caplog.set_level(logging.CRITICAL)


class Boom(Exception):
    pass


class BaseBoom(BaseException):
    pass


def bothLost(*ends: Any) -> Callable[[], bool]:
    return lambda: all(end.lost is not None for end in ends)


def lose(protocol: Any, *_: object) -> None:
    protocol.transport.loseConnection()


def abort(protocol: Any, *_: object) -> None:
    protocol.transport.abortConnection()


def answerAndLose(protocol: Any, *_: object) -> None:
    protocol.transport.write(b"answer")
    protocol.transport.loseConnection()


def raising(kind: type[BaseException]) -> Callable[..., None]:
    def hook(*_: object) -> None:
        raise kind

    return hook


def halfClose(protocol: Any, *_: object) -> None:
    protocol.transport.loseWriteConnection()


# The actions of the server in a callback, and the first action of the client.
def inTurn(*actions: Callable[[Any], object]) -> Callable[..., None]:
    def act(protocol: Any, *_: object) -> None:
        for action in actions:
            action(protocol)

    return act


ACTIONS: dict[str, Any] = {
    "nothing": lambda *_: None,
    "lose": lose,
    "lose twice": inTurn(lose, lose),
    "answer and lose": answerAndLose,
    "lose and answer": inTurn(lose, lambda protocol: protocol.transport.write(b"late")),
    "abort": abort,
    "abort twice": inTurn(abort, abort),
    "lose and abort": inTurn(lose, abort),
    "abort and lose": inTurn(abort, lose),
    "stopProducing": lambda protocol, *_: protocol.transport.stopProducing(),
    "raise": raising(Boom),
    "raise BaseException": raising(BaseBoom),
    "write and raise": lambda protocol, *_: (protocol.transport.write(b"x"), raising(Boom)()),
    "half": halfClose,
    "half and lose": inTurn(halfClose, lose),
    "answer and half": inTurn(lambda protocol: protocol.transport.write(b"answer"), halfClose),
}


@pytest.mark.parametrize(
    ("client", "action"),
    [
        *itertools.product(["write", "write and half"], sorted(ACTIONS)),
        # Where both act at once it is chance who is faster.
        *itertools.product(["write and lose"], sorted(ACTIONS.keys() - {"half", "answer and half", "nothing"})),
        ("abort later", "nothing"),
    ],
)
def test_actionsInDataReceived(client: str, action: str) -> None:
    def script(world: World) -> Any:
        server, peer = world.pair(server={"data": ACTIONS[action]})
        peer.transport.write(b"question")
        if client == "write and lose":
            peer.transport.loseConnection()
        elif client == "write and half":
            peer.transport.loseWriteConnection()
        world.until(lambda: server.received)
        if client == "abort later":
            peer.transport.abortConnection()
        if action == "nothing" and client == "write":
            peer.transport.loseConnection()
        if action in ("half", "answer and half") and client == "write":
            world.until(lambda: peer.lost)
        world.until(bothLost(server, peer))
        return server.trace, bytes(server.received), peer.trace if client == "write" else None

    compare(script)


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - {"raise", "raise BaseException", "write and raise"}))
def test_actionsInConnectionMade(action: str) -> None:
    def script(world: World) -> Any:
        server, peer = world.pair(server={"made": ACTIONS[action]})
        if action == "nothing":
            peer.transport.loseConnection()
        world.until(bothLost(server, peer))
        return server.trace, peer.trace, bytes(peer.received)

    compare(script)


@pytest.mark.parametrize("action", ["raise", "raise BaseException"])
def test_aClientsConnectionMadeRaises(action: str) -> None:
    def script(world: World) -> Any:
        server, peer = world.pair(client={"made": ACTIONS[action]})
        world.until(bothLost(server, peer))
        return server.trace, peer.trace

    compare(script)


@pytest.mark.parametrize("ending", ["close", "reset", "half", "close unread"])
@pytest.mark.parametrize("halves", [False, True])
def test_howAPeerEnds(ending: str, halves: bool) -> None:
    """A plain socket closes, resets, ends its half, or closes with something unread."""

    def script(world: World) -> Any:
        factory = world.serverFactory({"readLost": lose}, halves)
        peer = dial(world.listen(factory))
        world.until(lambda: factory.built)
        server = factory.only
        if ending == "close unread":
            server.transport.write(b"unread")
            world.reactor.iterate(0)
            assert peer.recv(1) == b"u"
        peer.sendall(b"words")
        world.until(lambda: len(server.received) == 5)
        if ending == "reset":
            reset(peer)
        elif ending == "half":
            peer.shutdown(1)
            world.until(bothLost(server))
            assert readAll(peer) == b""
        peer.close()
        world.until(bothLost(server))
        return factory.trace, server.trace

    compare(script)


@pytest.mark.parametrize(
    ("serverHalves", "clientHalves", "queued"), list(itertools.product([False, True], [False, True], [0, 500_000]))
)
def test_halfCloseMatrix(serverHalves: bool, clientHalves: bool, queued: int) -> None:
    def script(world: World) -> Any:
        server, client = world.pair({"readLost": answerAndLose}, {"readLost": lose}, serverHalves, clientHalves)
        client.transport.write(b"x" * queued)
        client.transport.loseWriteConnection()
        world.until(bothLost(server, client))
        return server.trace, client.trace, len(server.received), bytes(client.received)

    trace = compare(script)
    assert trace[2] == queued


@pytest.mark.parametrize("halves", [False, True])
def test_writesAfterTheHalf(halves: bool) -> None:
    def script(world: World) -> Any:
        server, client = world.pair(halves=True, clientHalves=halves)
        client.transport.write(b"A")
        client.transport.loseWriteConnection()
        client.transport.write(b"B")
        world.until(lambda: "readLost" in server.trace)
        client.transport.write(b"C")
        server.transport.write(b"answer")
        world.until(lambda: client.received == b"answer")
        server.transport.loseConnection()
        world.until(bothLost(server))
        if halves:
            world.until(lambda: "readLost" in client.trace)
            client.transport.loseConnection()
        world.until(bothLost(client))
        return server.trace, client.trace, bytes(server.received)

    assert compare(script)[2] == b"AB"


@pytest.mark.parametrize("kind", ["push", "pull"])
@pytest.mark.parametrize("size", [1, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("ending", ["unregister", "lose", "abort", "peer"])
def test_producers(kind: str, size: int, ending: str) -> None:
    def script(world: World) -> Any:
        left = [3]

        def produce() -> None:
            if left[0]:
                left[0] -= 1
                server.transport.write(b"x" * size)
            else:
                server.transport.unregisterProducer()

        server, client = world.pair()
        producer = Producer(resume=produce)
        server.transport.registerProducer(producer, kind == "push")
        if kind == "push":
            produce()
        if ending == "lose":
            server.transport.loseConnection()
            world.until(bothLost(server, client))
        elif ending == "abort":
            server.transport.abortConnection()
            world.until(bothLost(server, client))
            return producer.trace, server.trace
        elif ending == "unregister":
            total = size if kind == "push" and size <= 65_536 else 3 * size
            world.until(lambda: len(client.received) == total)
            world.until(lambda: server.transport.producer is None or total == size)
            lose(server)
            world.until(bothLost(server, client))
        else:
            client.transport.loseConnection()
            world.until(bothLost(server, client))
            # How much of it was sent by then is chance.
            return producer.trace[0] in ("pause", "resume", "stop"), producer.trace.count("stop") <= 1
        return producer.trace, server.trace, client.trace, len(client.received)

    compare(script)


def test_registrationRules() -> None:
    def script(world: World) -> Any:
        server, client = world.pair()
        producers = [Producer() for _ in range(4)]
        server.transport.registerProducer(producers[0], True)
        with pytest.raises(RuntimeError):
            server.transport.registerProducer(producers[1], False)
        server.transport.unregisterProducer()
        server.transport.unregisterProducer()
        server.transport.registerProducer(producers[2], False)
        world.reactor.iterate(0)
        client.transport.abortConnection()
        world.until(bothLost(server, client))
        server.transport.registerProducer(producers[3], False)
        return [producer.trace for producer in producers], server.transport.producer is None

    assert compare(script) == ([[], [], ["resume", "stop"], ["stop"]], True)


def test_flagsOfATransport() -> None:
    def script(world: World) -> Any:
        flags: list[Any] = []

        def note(protocol: Any, *_: object) -> None:
            transport = protocol.transport
            flags.append(
                tuple(bool(getattr(transport, name)) for name in ("connected", "disconnected", "disconnecting"))
            )
            flags.append(protocol.connected)

        server, client = world.pair({"made": note, "data": note, "lost": note}, {"lost": note})
        client.transport.write(b"x")
        world.until(lambda: server.received)
        lose(server)
        note(server)
        world.until(bothLost(server, client))
        note(server)
        return flags

    compare(script)


def test_pausedReading() -> None:
    def script(world: World) -> Any:
        server, client = world.pair({"data": lambda protocol, _: protocol.transport.pauseProducing()})
        counts = []
        client.transport.write(b"x" * 1_000_000)
        while len(server.received) < 1_000_000:
            before = len(server.received)
            world.until(lambda before=before: len(server.received) > before)
            world.reactor.iterate(0)
            counts.append(len(server.received) - before <= 65_536)
            server.transport.resumeProducing()
        client.transport.loseConnection()
        world.until(lambda: client.lost)
        world.until(lambda: server.lost)
        return set(counts), server.trace, client.trace

    assert compare(script)[0] == {True}


def test_optionsOfTcp() -> None:
    def script(world: World) -> Any:
        server, client = world.pair()
        seen = [bool(server.transport.getTcpKeepAlive())]
        for value in (True, False, 1, 0):
            server.transport.setTcpKeepAlive(value)
            client.transport.setTcpNoDelay(value)
            seen += [bool(server.transport.getTcpKeepAlive()), bool(client.transport.getTcpNoDelay())]
        assert server.transport.getHandle().fileno() == server.transport.fileno()
        abort(server)
        world.until(bothLost(server, client))
        return seen

    assert compare(script) == [False, True, True, False, False, True, True, False, False]


# Connectors.


def again(times: int) -> Callable[..., None]:
    left = [times]

    def hook(factory: Any, connector: Any, *_: object) -> None:
        left[0] -= 1
        if left[0]:
            connector.connect()

    return hook


def stopConnecting(factory: Any, connector: Any, *_: object) -> None:
    connector.stopConnecting()


def failedAttempt(hooks: Callable[[], dict[str, Any]], **arguments: Any) -> Script:
    def script(world: World) -> Any:
        factory = world.clientFactory(**hooks())
        try:
            world.reactor.connectTCP(LOOPBACK, refusedPort(), factory, **arguments)
        except Boom:
            factory.trace.append("raised")
        world.until(lambda: "stop" in factory.trace)
        return factory.trace

    return script


@pytest.mark.parametrize(
    "hooks",
    [
        dict,
        lambda: {"failed": again(3)},
        lambda: {"failed": raising(Boom)},
        lambda: {"started": stopConnecting},
        lambda: {"started": raising(Boom)},
    ],
)
def test_failedAttempts(hooks: Callable[[], dict[str, Any]]) -> None:
    if "failed" in hooks() and hooks()["failed"].__qualname__.startswith("raising"):
        # Twisted lets this exception out of its own machinery, and never stops the factory.
        world = World(OURS)
        assert failedAttempt(hooks)(world)[-1] == "stop"
        world.close()
        return
    compare(failedAttempt(hooks))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # Twisted's
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_badBindAddress() -> None:
    trace = compare(failedAttempt(dict, bindAddress=("192.0.2.1", 0)))
    assert ("failed", "disconnected", "ConnectBindError") in trace


def test_timeout() -> None:
    def script(world: World) -> Any:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            world.reactor.connectTCP(host, port, factory, timeout=0.01)
            world.until(lambda: "stop" in factory.trace)
        return factory.trace

    assert ("failed", "disconnected", "TimeoutError") in compare(script)


@pytest.mark.parametrize("how", ["stopConnecting", "disconnect"])
def test_givingUp(how: str) -> None:
    def script(world: World) -> Any:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            connector = world.reactor.connectTCP(host, port, factory)
            world.reactor.iterate(0)
            getattr(connector, how)()
        errors: list[str] = []
        for method in (connector.stopConnecting, connector.disconnect):
            try:
                method()
            except Exception as error:
                errors.append(type(error).__name__)
        return factory.trace, errors, connector.state

    compare(script)


@pytest.mark.parametrize("hooks", [dict, lambda: {"connectorLost": again(3)}, lambda: {"connectorLost": raising(Boom)}])
@pytest.mark.parametrize("action", [lose, abort, raising(Boom)])
@pytest.mark.parametrize("where", ["made", "data"])
def test_lostConnections(hooks: Callable[[], dict[str, Any]], action: Any, where: str) -> None:
    def script(world: World) -> Any:
        port = world.listen(world.serverFactory({"made": lambda protocol: protocol.transport.write(b"hello")}))
        factory = world.clientFactory({where: action}, **hooks())
        connector = world.connect(port, factory)
        seen = []
        for method in ("connect", "stopConnecting"):
            try:
                getattr(connector, method)()
            except Exception as error:
                seen.append(type(error).__name__)
            else:
                seen.append(method)
                break
        if seen[-1] == "stopConnecting":
            connector.connect()
        if hooks().get("connectorLost", again).__qualname__.startswith("raising") and world.side is TWISTED:
            # Twisted does not stop a factory whose clientConnectionLost raises.
            world.until(lambda: factory.trace[-1][0] == "connectorLost")
            factory.trace.append("stop")
        world.until(lambda: factory.trace[-1] == "stop" and len(factory.trace) > 5)
        return factory.trace, seen, connector.state

    compare(script)


@pytest.mark.parametrize("build", [lambda *_: None, raising(Boom), raising(BaseBoom)])
def test_aClientsBuildProtocol(build: Any) -> None:
    def script(world: World) -> Any:
        factory = world.clientFactory(build=build)
        world.connect(world.listen(world.serverFactory()), factory)
        world.until(lambda: factory.trace[-1] == "stop")
        return factory.trace

    compare(script)


def test_aServerWithoutAProtocol() -> None:
    def script(world: World) -> Any:
        factory = world.serverFactory(build=lambda *_: None)
        port = world.listen(factory)
        for _ in range(2):
            with dial(port) as peer:
                world.until(lambda: factory.trace[-1] == "build")
                factory.trace.append("next")
                assert peer.recv(1) == b""
        return factory.trace

    compare(script)


def test_factoriesAreCounted() -> None:
    def script(world: World) -> Any:
        factory = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
        ports = [world.listen(factory) for _ in range(2)]
        seen = [factory.numPorts]
        peer = dial(ports[0])
        world.until(lambda: factory.built)
        for port in ports:
            stopped = port.stopListening()
            stopped.addCallback(lambda result: factory.trace.append(("stopped", result)))
            seen.append(port.stopListening() is stopped or "other")
            world.until(lambda stopped=stopped: stopped.called)
            seen.append(factory.numPorts)
        peer.sendall(b"alive")
        world.until(lambda: factory.only.received)
        world.reactor.iterate(0)
        assert peer.recv(10) == b"alive"
        peer.close()
        world.until(lambda: factory.only.lost)
        return factory.trace, seen[0], [port.stopListening() for port in ports]

    compare(script)
