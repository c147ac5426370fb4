"""ClientService over real sockets, with coroutines, and with wrong endpoints.

tests/differential/test_clientservice.py compares its machine with Twisted's.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import Clock, Deferred, EpollReactor, Factory, Failure, LineReceiver, Protocol, ServerFactory, _current
from reactor.defer import CancelledError
from reactor.endpoints import TCP4ClientEndpoint
from reactor.error import ConnectionDone, ConnectionRefusedError
from reactor.protocol.standins import behind
from reactor.service import ClientService, backoffPolicy
from reactor.testing import StringTransport
from tests.support.worlds import OURS, refusedPort, turnUntil

HOST = "127.0.0.1"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollReactor]:
    loop = EpollReactor()
    monkeypatch.setattr(_current, "current", lambda: loop)
    yield loop
    OURS.close(loop)


class Lines(LineReceiver):
    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.halves: list[str] = []

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)

    def readConnectionLost(self) -> None:
        self.halves.append("read")
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


class Greeter(LineReceiver):
    made: list[Any]

    def connectionMade(self) -> None:
        self.made.append(self)
        self.sendLine(b"welcome")

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(b"you said " + line)


def greeting(loop: EpollReactor, port: int = 0) -> tuple[Any, list[Any]]:
    """A port that greets, and its protocols."""
    made: list[Any] = []
    factory = ServerFactory.forProtocol(type("Greeting", (Greeter,), {"made": made}))
    return loop.listenTCP(port, factory, interface=HOST), made


def test_connectsAgain(loop: EpollReactor) -> None:
    """Lost connections are made anew, each protocol sees its lines, and the coroutine that prepares sees the first."""
    port, made = greeting(loop)
    prepared: list[Any] = []

    async def prepare(protocol: Lines) -> None:
        protocol.sendLine(b"secret")
        await asked(protocol, 2)
        prepared.append(protocol)

    def asked(protocol: Lines, count: int) -> Deferred[None]:
        ready: Deferred[None] = Deferred()

        def look() -> None:
            if len(protocol.lines) >= count:
                ready.callback(None)
            else:
                loop.callLater(0.001, look)

        look()
        return ready

    endpoint = TCP4ClientEndpoint(loop, HOST, port.getHost().port)
    service = ClientService(endpoint, Factory.forProtocol(Lines), lambda _: 0.01, prepareConnection=prepare)
    service.startService()
    for number in (1, 2, 3):
        found: list[Any] = []
        service.whenConnected().addCallback(found.append)
        turnUntil(loop, lambda found=found: found)
        (protocol,) = found
        assert type(protocol) is Lines
        assert (protocol.lines, prepared[-1], len(made)) == ([b"welcome", b"you said secret"], protocol, number)
        made[-1].transport.loseConnection()
        turnUntil(loop, lambda protocol=protocol: protocol.halves)
        assert protocol.halves == ["read"]
        turnUntil(loop, lambda: service._attempt is None or service._attempt.protocol is not protocol)  # noqa: B023
    stopped: list[Any] = []
    turnUntil(loop, lambda: len(prepared) == 4)
    service.stopService().addCallback(stopped.append)
    assert stopped == []
    turnUntil(loop, lambda: stopped)
    port.stopListening()


def test_refusals(loop: EpollReactor) -> None:
    """A server that is not there yet is found when it is."""
    number = refusedPort()
    endpoint = TCP4ClientEndpoint(loop, HOST, number)
    service = ClientService(endpoint, Factory.forProtocol(Lines), lambda _: 0.01)
    service.startService()
    refused: list[Any] = []
    service.whenConnected(2).addErrback(refused.append)
    turnUntil(loop, lambda: refused)
    assert refused[0].check(ConnectionRefusedError)
    port, made = greeting(loop, number)
    turnUntil(loop, lambda: made)
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    turnUntil(loop, lambda: stopped)
    port.stopListening()


def test_stopsWhileConnecting(loop: EpollReactor) -> None:
    with socket.create_server((HOST, 0), backlog=1) as silent:
        endpoint = TCP4ClientEndpoint(loop, HOST, silent.getsockname()[1])
        service = ClientService(endpoint, Factory.forProtocol(Lines))
        service.startService()
        ended: list[Any] = []
        service.whenConnected().addErrback(lambda failure: ended.append(failure.type))
        service.stopService().addCallback(ended.append)
        assert ended == [CancelledError, None]


class Endpoint:
    """Connects when a test says so."""

    def __init__(self, cancel: Any = None) -> None:
        self.attempts: list[Deferred[Any]] = []
        self.cancel = cancel

    def connect(self, factory: Any) -> Deferred[Any]:
        self.factory = factory
        self.attempts.append(Deferred(self.cancel))
        return self.attempts[-1]

    def succeed(self) -> tuple[Any, StringTransport]:
        facing, transport = self.factory.buildProtocol(None), StringTransport()
        facing.makeConnection(transport)
        self.attempts[-1].callback(facing)
        return facing, transport


DONE = Failure(ConnectionDone())


def test_standsBeforeTheProtocol() -> None:
    """Other code finds the methods that the protocol and the factory have, and no others."""
    endpoint = Endpoint()
    service = ClientService(endpoint, Factory.forProtocol(Lines), clock=Clock())
    service.startService()
    facing, _transport = endpoint.succeed()
    assert type(behind(facing)) is Lines
    assert endpoint.factory.protocol is Lines
    assert (hasattr(facing, "readConnectionLost"), hasattr(facing, "handshakeCompleted")) == (True, False)
    assert repr(facing).startswith("<_Watched before <")
    assert "Factory" in repr(endpoint.factory)
    for each in (facing, endpoint.factory):
        blank = object.__new__(type(each))
        with pytest.raises(AttributeError):
            blank.anything  # noqa: B018  as copy.copy asks
    service.stopService()
    facing.connectionLost(DONE)
    assert facing.connectionLost(DONE) is None


def test_endpointsOfOthers() -> None:
    """An endpoint may give another object than the factory's protocol; without a protocol the attempt fails."""
    endpoint, clock = Endpoint(), Clock()
    service = ClientService(endpoint, Factory.forProtocol(Protocol), lambda _: 1.0, clock)
    service.startService()
    found: list[Any] = []
    service.whenConnected(1).addErrback(lambda failure: found.append(failure.type))
    endpoint.attempts[-1].callback("a wrapper")
    assert found == [TypeError]
    clock.advance(1)
    service.whenConnected().addCallback(found.append)
    facing, transport = endpoint.factory.buildProtocol(None), StringTransport()
    facing.makeConnection(transport)
    endpoint.attempts[-1].callback("a wrapper")
    assert found[1] == "a wrapper"
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    assert (transport.disconnecting, stopped) == (True, [])
    facing.connectionLost(DONE)
    assert stopped == [None]


def test_endpointsThatRaise() -> None:
    """It is a failed attempt, and the next one follows."""
    clock = Clock()

    class Raising(Endpoint):
        def connect(self, factory: Any) -> Deferred[Any]:
            super().connect(factory)
            raise ValueError("no such place")

    endpoint = Raising()
    service = ClientService(endpoint, Factory.forProtocol(Lines), lambda _: 1.0, clock)
    service.startService()
    clock.advance(1)
    assert len(endpoint.attempts) == 2
    service.stopService()


def test_lostBeforeItIsReady() -> None:
    """A connection that ends inside connect(), or beside a preparation that heeds no cancelling, was an attempt."""
    endpoint, clock = Endpoint(), Clock()
    stubborn: Deferred[None] = Deferred(lambda deferred: deferred.callback(None))
    service = ClientService(endpoint, Factory.forProtocol(Lines), lambda _: 1.0, clock, lambda _: stubborn)
    service.startService()
    facing = endpoint.factory.buildProtocol(None)
    facing.makeConnection(StringTransport())
    facing.connectionLost(DONE)
    endpoint.attempts[-1].callback(facing)
    clock.advance(1)
    assert len(endpoint.attempts) == 2
    failed: list[Any] = []
    service.whenConnected(1).addErrback(failed.append)
    facing, _transport = endpoint.succeed()
    facing.connectionLost(DONE)
    assert failed[0].check(ConnectionDone)
    clock.advance(1)
    assert len(endpoint.attempts) == 3
    service.stopService()


def test_anEndpointThatHeedsNoCancelling() -> None:
    """A service that is started and stopped again meanwhile follows the last order."""
    slow: Deferred[Any] = Deferred(lambda _: None)
    outer: Deferred[Any] = Deferred()

    class Slow(Endpoint):
        def connect(self, factory: Any) -> Deferred[Any]:
            super().connect(factory)
            return outer

    outer.addCallback(lambda _: slow.addErrback(lambda _: held))
    held: Deferred[Any] = Deferred(lambda _: None)
    endpoint = Slow()
    service = ClientService(endpoint, Factory.forProtocol(Lines), clock=Clock())
    service.startService()
    outer.callback(None)
    ended: list[str] = []
    service.stopService().addCallback(lambda _: ended.append("first"))
    assert (ended, service._state.value) == ([], "disconnecting")
    service.startService()
    assert service._state.value == "restarting"
    service.stopService().addCallback(lambda _: ended.append("second"))
    held.errback(ConnectionRefusedError())
    assert (ended, service._state.value) == (["first", "second"], "stopped")


def test_retryPolicies(caplog: pytest.LogCaptureFixture) -> None:
    """One that raises, or gives no delay, is logged, and the default one takes its place."""
    for policy in (lambda _: 1 // 0, lambda _: -5.0):
        caplog.clear()
        endpoint, clock = Endpoint(), Clock()
        service = ClientService(endpoint, Factory.forProtocol(Lines), policy, clock)
        service.startService()
        endpoint.attempts[0].errback(ConnectionRefusedError())
        assert "the default one takes its place" in caplog.text
        clock.advance(3)
        assert len(endpoint.attempts) == 2
        service.stopService()


def test_restartsWhileItCancels() -> None:
    """An endpoint connects though it was cancelled: that connection ends, and the next is the service's."""
    made: list[Any] = []
    endpoint: Endpoint = Endpoint(lambda _: made.append(endpoint.succeed()))
    service = ClientService(endpoint, Factory.forProtocol(Lines), clock=Clock())
    service.startService()
    found: list[Any] = []
    service.stopService().addCallback(found.append)
    service.startService()
    ((facing, transport),) = made
    assert (transport.disconnecting, len(endpoint.attempts)) == (True, 1)
    facing.connectionLost(DONE)
    assert (found, len(endpoint.attempts)) == ([None], 2)
    endpoint.succeed()
    service.whenConnected().addCallback(found.append)
    assert type(found[1]) is Lines


def test_callersThatGiveUp() -> None:
    """A cancelled Deferred of whenConnected leaves nothing behind, and ends nothing."""
    service = ClientService(Endpoint(), Factory.forProtocol(Lines), clock=Clock())
    service.startService()
    for _ in range(3):
        asked = service.whenConnected()
        asked.addErrback(lambda failure: failure.trap(CancelledError))
        asked.cancel()
    assert (service._waiting, service.running) == ({}, 1)
    service.stopService()


def test_backoff() -> None:
    policy = backoffPolicy(1.0, 60.0, 1.5, jitter=lambda: 0.25)
    assert [policy(n) for n in (0, 1, 2, 100, 10**9)] == [1.25, 1.75, 2.5, 60.25, 60.25]
    assert 2.5 <= backoffPolicy()(1) + 1 <= 3.5
    assert backoffPolicy(1, 5, 1e300, jitter=lambda: 0)(3) == 5


def test_mistakes() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="is not callable"):
        ClientService(Endpoint(), Factory.forProtocol(Lines), wrong)
    with pytest.raises(TypeError, match="is not callable"):
        ClientService(Endpoint(), Factory.forProtocol(Lines), prepareConnection=wrong)
