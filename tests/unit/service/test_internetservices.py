"""Services for ports, connections and repeated calls, over real sockets where there are some."""

from __future__ import annotations

import logging
import os
import pathlib
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from reactor import ClientFactory, Clock, Deferred, EpollReactor, Failure, Protocol, ServerFactory, _current
from reactor.defer import succeed
from reactor.endpoints import TCP4ServerEndpoint
from reactor.error import CannotListenError
from reactor.protocol import DatagramProtocol
from reactor.service import (
    CooperatorService,
    MulticastServer,
    MultiService,
    SSLClient,
    SSLServer,
    StreamServerEndpointService,
    TCPClient,
    TCPServer,
    TimerService,
    UDPServer,
    UNIXClient,
    UNIXDatagramClient,
    UNIXDatagramServer,
    UNIXServer,
    strports,
)
from reactor.task import SchedulerStopped
from tests.support.tlsworlds import clientOptions, serverOptions
from tests.support.worlds import OURS, turnUntil

HOST = "127.0.0.1"


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[EpollReactor]:
    loop = EpollReactor()
    monkeypatch.setattr(_current, "current", lambda: loop)
    yield loop
    OURS.close(loop)


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Asking(Protocol):
    factory: Any

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.factory.heard.append(data)

    def connectionLost(self, reason: Failure) -> None:
        self.factory.heard.append("lost")


class Callers(ClientFactory[Any]):
    protocol = Asking

    def __init__(self) -> None:
        self.heard: list[Any] = []


def talk(loop: EpollReactor, server: Any, client: Any, callers: Callers) -> None:
    """Start both, have them talk, and stop them. The client is connected after its answer."""
    client.startService()
    turnUntil(loop, lambda: callers.heard)
    assert callers.heard == [b"hello"]
    client.stopService()
    stopped: list[Any] = []
    server.stopService().addCallback(stopped.append)
    turnUntil(loop, lambda: stopped and callers.heard[-1] == "lost")
    assert (server.running, client.running) == (0, 0)


def test_tcp(loop: EpollReactor) -> None:
    callers = Callers()
    server = TCPServer(0, ServerFactory.forProtocol(Echo), interface=HOST)
    server.privilegedStartService()
    port: Any = server._port
    number = port.getHost().port
    server.startService()
    assert server._port is port
    talk(loop, server, TCPClient(HOST, number, callers), callers)
    server.startService()
    assert server._port is not port
    server.stopService()


def test_tls(loop: EpollReactor) -> None:
    callers = Callers()
    server = SSLServer(0, ServerFactory.forProtocol(Echo), serverOptions(), interface=HOST)
    server.startService()
    port: Any = server._port
    talk(loop, server, SSLClient(HOST, port.getHost().port, callers, clientOptions()), callers)


def test_unix(loop: EpollReactor, tmp_path: pathlib.Path) -> None:
    callers, path = Callers(), str(tmp_path / "socket")
    server = UNIXServer(path, ServerFactory.forProtocol(Echo), mode=0o600)
    server.startService()
    talk(loop, server, UNIXClient(path, callers), callers)
    assert not os.path.exists(path)


class Heard(DatagramProtocol):
    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)


def test_datagrams(loop: EpollReactor, tmp_path: pathlib.Path) -> None:
    protocol = Heard()
    for server in (UDPServer(0, protocol, interface=HOST), MulticastServer(0, protocol, interface=HOST)):
        server.startService()
        port: Any = server._port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"to a port", (HOST, port.getHost().port))
        turnUntil(loop, lambda: protocol.heard)
        assert protocol.heard.pop() == b"to a port"
        closed: list[Any] = []
        server.stopService().addCallback(closed.append)
        turnUntil(loop, lambda ended=closed: ended)

    path = str(tmp_path / "socket")
    listener = UNIXDatagramServer(path, protocol)
    listener.startService()
    client = UNIXDatagramClient(path, Sender())
    client.startService()
    turnUntil(loop, lambda: protocol.heard)
    assert protocol.heard == [b"to a path"]
    stopped: list[Any] = []
    for service in (client, listener):
        service.stopService().addCallback(stopped.append)
    turnUntil(loop, lambda: len(stopped) == 2)
    assert client.stopService() is None


class Sender(DatagramProtocol):
    def startProtocol(self) -> None:
        transport: Any = self.transport
        transport.write(b"to a path")


def test_portsInUse(loop: EpollReactor) -> None:
    """The error of a port is the start's."""
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        service: Any
        for service in (
            TCPServer(port, ServerFactory.forProtocol(Echo), interface=HOST),
            strports.service(f"tcp:{port}:interface={HOST}", ServerFactory.forProtocol(Echo)),
        ):
            parent = MultiService()
            service.setServiceParent(parent)
            with pytest.raises(CannotListenError):
                parent.privilegedStartService()
            with pytest.raises(CannotListenError):
                parent.startService()
            parent.stopService()


def test_endpoints(loop: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    factory = ServerFactory.forProtocol(Echo)
    service = StreamServerEndpointService(TCP4ServerEndpoint(loop, 0, interface=HOST), factory)
    for _ in range(2):
        service.privilegedStartService()
        service.startService()
        waiting: Any = service._waitingForPort
        address = waiting.result.getHost()
        with socket.create_connection((address.host, address.port)) as client:
            client.sendall(b"hello")
            turnUntil(
                loop, lambda peer=client: peer.recv(9, socket.MSG_PEEK | socket.MSG_DONTWAIT) if ready(peer) else 0
            )
            assert client.recv(9) == b"hello"
        stopped: list[Any] = []
        service.stopService().addCallback(stopped.append)
        turnUntil(loop, lambda ended=stopped: ended)
        assert (stopped, service.running) == ([None], False)
    caplog.clear()
    with socket.create_server((HOST, 0)) as taken:
        endpoint = TCP4ServerEndpoint(loop, taken.getsockname()[1], interface=HOST)
        service = StreamServerEndpointService(endpoint, factory)
        service.startService()
        assert "A service cannot listen on" in caplog.text
        assert service.stopService().called


def ready(sock: socket.socket) -> bool:
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True


def test_strports(loop: EpollReactor) -> None:
    port = strports.listen(f"tcp:0:interface={HOST}", ServerFactory.forProtocol(Echo))
    with socket.create_server((HOST, 0)) as taken, pytest.raises(CannotListenError):
        strports.listen(f"tcp:{taken.getsockname()[1]}:interface={HOST}", ServerFactory.forProtocol(Echo))
    port.stopListening()
    loop.iterate()
    with pytest.raises(ValueError, match="unknown endpoint type"):
        strports.service("nothing:7", ServerFactory.forProtocol(Echo))


def test_listeningTakesItsTime(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow:
        def listen(self, factory: object) -> Deferred[Any]:
            return Deferred()

    monkeypatch.setattr(strports, "serverFromString", lambda *_: Slow())
    with pytest.raises(RuntimeError, match="takes its time"):
        strports.listen("slow:", ServerFactory.forProtocol(Echo))


def test_servicesThatWereNeverStarted() -> None:
    """They stop at once, and have nothing to close."""
    factory = ServerFactory.forProtocol(Echo)
    services: list[Any] = [TimerService(1, print), StreamServerEndpointService(TCP4ServerEndpoint(Clock(), 0), factory)]  # type: ignore[arg-type]
    for service in services:
        assert service.stopService().called
    for each in (TCPServer(0, factory), TCPClient(HOST, 1, Callers())):
        assert each.stopService() is None


def test_anEndpointServiceThatStartsAgain() -> None:
    """The end of its old port does not count for the new one."""
    gates: list[Deferred[None]] = [Deferred(), Deferred()]
    closing = iter(gates)

    class Endpoint:
        def listen(self, factory: object) -> Deferred[Any]:
            return succeed(SimpleNamespace(stopListening=lambda: next(closing)))

    endpoint: Any = Endpoint()
    unset: Any = None
    service = StreamServerEndpointService(endpoint, unset)
    service.factory = ServerFactory.forProtocol(Echo)
    service.startService()
    service.stopService()
    service.startService()
    gates[0].callback(None)
    assert service.running
    service.stopService()
    gates[1].callback(None)
    assert not service.running


def test_mistakes() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="a server endpoint is needed"):
        StreamServerEndpointService(wrong, ServerFactory.forProtocol(Echo))
    with pytest.raises(TypeError, match="a factory is needed"):
        StreamServerEndpointService(TCP4ServerEndpoint(wrong, 0), wrong)
    with pytest.raises(TypeError, match="is not callable"):
        TimerService(1, wrong)


def test_timers(caplog: pytest.LogCaptureFixture) -> None:
    """A coroutine is waited for. A failure ends the calls until the next start."""
    clock, calls = Clock(), [0]
    gate: Deferred[None] = Deferred()

    async def call(step: int) -> None:
        calls[0] += step
        await gate

    service = TimerService(2, call, 10)
    service.clock = clock
    service.startService()
    clock.advance(10)
    assert calls == [10]
    stopped: list[Any] = []
    service.stopService().addCallback(stopped.append)
    assert (stopped, service.running) == ([], 1)
    gate.callback(None)
    assert (stopped, service.running) == ([None], 0)
    service.startService()
    clock.advance(2)
    clock.advance(2)
    assert calls == [40]
    service.stopService()

    broken = TimerService(1, lambda: 1 // 0)
    broken.clock = clock
    for _ in range(2):
        caplog.clear()
        broken.startService()
        (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
        assert "has failed, and there are no more" in record.getMessage()
        assert broken.running
        assert broken.stopService().called
        assert not broken.running


def test_cooperators(loop: EpollReactor) -> None:
    service = CooperatorService()
    done: list[Any] = []
    service.startService()
    service.coiterate(iter([None, None])).addCallback(done.append)
    turnUntil(loop, lambda: done)
    service.coiterate(iter(int, 1)).addErrback(lambda failure: done.append(failure.type))
    service.stopService()
    assert done[1] is SchedulerStopped
