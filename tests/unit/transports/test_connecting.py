"""Connectors and their attempts: every way to connect, to fail, to give up and to try again."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor import ClientFactory, defer, error
from reactor.address import HostnameAddress, IPv4Address, IPv6Address
from reactor.failure import Failure
from reactor.transports import connecting
from tests.support.worlds import LOOPBACK, World, refusedPort, silentServer


class Boom(Exception):
    pass


def boom(*_: object) -> Any:
    raise Boom


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def ended(factory: Any) -> Any:
    return lambda: factory.trace and factory.trace[-1] == "stop"


def answers(monkeypatch: pytest.MonkeyPatch, *targets: tuple[int, Any]) -> None:
    """Have every host name mean these socket addresses."""
    found = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in targets]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


class TestFailures:
    def test_refused(self, world: World) -> None:
        reasons: list[Any] = []
        factory = world.clientFactory(failed=lambda factory, connector, reason: reasons.append(reason))
        connector = world.reactor.connectTCP(LOOPBACK, refusedPort(), factory)
        assert factory.trace == ["start", ("started", "connecting")]
        assert connector.state == "connecting"
        world.until(ended(factory))
        assert factory.trace[2:] == [("failed", "disconnected", "ConnectionRefusedError"), "stop"]
        assert reasons[0].value.osError == errno.ECONNREFUSED
        assert isinstance(reasons[0].value, error.ConnectError)
        assert factory.numPorts == 0

    def test_timeout(self, world: World) -> None:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            connector = world.reactor.connectTCP(host, port, factory, timeout=0.01)
            world.until(ended(factory))
        assert factory.trace[2:] == [("failed", "disconnected", "TimeoutError"), "stop"]
        assert issubclass(error.TimeoutError, error.UserError)
        assert connector.timeout == 0.01
        assert world.reactor.getWriters() == []

    def test_noTimeout(self, world: World) -> None:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            connector = world.reactor.connectTCP(host, port, factory, timeout=None)
            assert world.reactor.getDelayedCalls() == []
            connector.stopConnecting()
        assert factory.trace[-2:] == [("failed", "disconnected", "UserError"), "stop"]

    def test_aTimeoutDoesNotOutliveItsAttempt(self, world: World) -> None:
        factory = world.clientFactory()
        connector = world.reactor.connectTCP(LOOPBACK, world.listen(world.serverFactory()).getHost().port, factory)
        assert len(world.reactor.getDelayedCalls()) == 1
        world.until(lambda: factory.built)
        assert world.reactor.getDelayedCalls() == []
        connector.disconnect()
        world.until(ended(factory))

    def test_aNameThatHasNoAddress(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        factory = world.clientFactory()
        world.reactor.connectTCP("no.such.name.invalid", 80, factory)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "DNSLookupError")

    @pytest.mark.parametrize("name", ["", "x" * 254, "a..b", "\udc80"])
    def test_whatIsNoName(self, world: World, name: str) -> None:
        factory = world.clientFactory()
        connector = world.reactor.connectTCP(name, 80, factory)
        assert "connecting" in repr(connector)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "DNSLookupError")

    def test_aNameWithoutTargets(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        answers(monkeypatch)
        factory = world.clientFactory()
        world.reactor.connectTCP("empty.example", 80, factory)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "DNSLookupError")

    def test_timeoutWhileTheNameIsLookedUp(self, world: World) -> None:
        class Hung:
            def getHostByName(self, name: str, timeout: Any = None) -> Any:
                return asked

        cancelled: list[bool] = []
        asked: defer.Deferred[str] = defer.Deferred(lambda _: cancelled.append(True))
        world.reactor.installResolver(Hung())
        factory = world.clientFactory()
        world.reactor.connectTCP("slow.example", 80, factory, timeout=0.01)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "TimeoutError")
        assert cancelled == [True]

    @pytest.mark.parametrize("how", ["raise", "garbage", "fail"])
    def test_aBadResolver(self, world: World, how: str) -> None:
        class Bad:
            def getHostByName(self, name: str, timeout: Any = None) -> Any:
                ways: dict[str, Callable[[], Any]] = {
                    "raise": boom,
                    "garbage": lambda: defer.succeed("garbage"),
                    "fail": lambda: defer.fail(Boom()),
                }
                return ways[how]()

        world.reactor.installResolver(Bad())
        factory = world.clientFactory()
        world.reactor.connectTCP("bad.example", 80, factory)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "DNSLookupError" if how == "garbage" else "Boom")

    @pytest.mark.parametrize("address", [LOOPBACK, "::1"])
    def test_anInstalledResolver(self, world: World, address: str) -> None:
        class Own:
            def getHostByName(self, name: str, timeout: Any = None) -> Any:
                return defer.succeed(address)

        before = world.reactor.installResolver(Own())
        world.host = address
        port = world.listen(world.serverFactory())
        factory = world.clientFactory()
        connector = world.reactor.connectTCP("own.example", port.getHost().port, factory)
        world.until(lambda: factory.built)
        assert connector.getDestination() == HostnameAddress(b"own.example", port.getHost().port)
        assert factory.only.transport.getPeer().host == address
        assert world.reactor.installResolver(before) is not before

    def test_severalAddressesAreTriedInTurn(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        port = world.listen(world.serverFactory())
        good = (socket.AF_INET, (LOOPBACK, port.getHost().port))
        refused = [(socket.AF_INET6, ("::1", refusedPort(), 0, 0)), (socket.AF_INET, (LOOPBACK, refusedPort()))]
        answers(monkeypatch, *refused, good)
        factory = world.clientFactory()
        world.reactor.connectTCP("three.example", 80, factory)
        world.until(lambda: factory.built)
        assert factory.only.transport.getPeer() == port.getHost()
        answers(monkeypatch, *refused)
        factory = world.clientFactory()
        world.reactor.connectTCP("two.example", 80, factory)
        world.until(ended(factory))
        assert factory.trace[2:] == [("failed", "disconnected", "ConnectionRefusedError"), "stop"]

    @pytest.mark.timing
    def test_aSilentAddressDoesNotUseUpTheTime(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each address has its share of what is left of the timeout."""
        port = world.listen(world.serverFactory())
        good = (socket.AF_INET, (LOOPBACK, port.getHost().port))
        with silentServer() as (host, number):
            silent = (socket.AF_INET, (host, number))
            answers(monkeypatch, silent, silent, good)
            began = world.reactor.seconds()
            factory = world.clientFactory()
            world.reactor.connectTCP("three.example", 80, factory, timeout=0.3)
            world.until(lambda: factory.built)
            assert 0.2 <= world.reactor.seconds() - began < 0.3
            answers(monkeypatch, silent, silent)
            began = world.reactor.seconds()
            factory = world.clientFactory()
            world.reactor.connectTCP("two.example", 80, factory, timeout=0.1)
            world.until(ended(factory))
            assert world.reactor.seconds() - began >= 0.1
            assert factory.trace[2:] == [("failed", "disconnected", "TimeoutError"), "stop"]
        assert world.reactor.getDelayedCalls() == []

    def test_withoutATimeoutAnAddressHasAsLongAsTheSystemTakes(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with silentServer() as (host, number):
            answers(monkeypatch, (socket.AF_INET, (host, number)), (socket.AF_INET, (host, number)))
            connector = world.reactor.connectTCP("two.example", 80, world.clientFactory(), timeout=None)
            world.until(world.reactor.getWriters)
            (lookup,) = world.reactor.getDelayedCalls() or [None]
            assert lookup is None
            connector.stopConnecting()

    @pytest.mark.parametrize(
        ("number", "kind"),
        [
            (errno.ENETUNREACH, error.NoRouteError),
            (errno.ETIMEDOUT, error.TCPTimedOutError),
            (errno.EADDRNOTAVAIL, error.ConnectError),
        ],
    )
    def test_failuresThatAreSeenAtOnce(
        self, world: World, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[BaseException]
    ) -> None:
        """They are still told on the next turn, never inside connectTCP."""
        monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: number)
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, 80, factory)
        assert factory.trace == ["start", ("started", "connecting")]
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", kind.__name__)

    def test_noDescriptorLeft(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(socket, "socket", refuse)
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, 80, factory)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectError")

    def test_aSocketThatCannotBeWatched(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        port = world.listen(world.serverFactory())
        for method in ("addWriter", "addReader"):
            monkeypatch.setattr(world.reactor, method, refuse)
            factory = world.clientFactory()
            connector = world.connect(port, factory)
            world.until(ended(factory))
            monkeypatch.undo()
            assert ("failed", "disconnected", "ConnectError") in factory.trace
            assert (connector.state, connector.transport) == ("disconnected", None)
            assert all(protocol.trace == [] for protocol in factory.built)

    def test_theReactorStops(self, world: World) -> None:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            world.reactor.connectTCP(host, port, factory)
            world.reactor.callLater(0, world.reactor.stop)
            world.reactor.run()
        assert factory.trace[2:] == [("failed", "disconnected", "ConnectError"), "stop"]

    def test_wokenForNothing(self, world: World) -> None:
        with silentServer() as (host, port):
            factory = world.clientFactory()
            connector = world.reactor.connectTCP(host, port, factory)
            (attempt,) = world.reactor.getWriters()
            attempt.doWrite()
            assert connector.state == "connecting"
            assert attempt.fileno() >= 0
            assert "ConnectionAttempt" in repr(attempt)
            connector.disconnect()
            assert attempt.fileno() == -1

    def test_anAttemptThatBreaks(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(connecting, "_isConnected", boom)
        factory = world.clientFactory()
        world.connect(world.listen(world.serverFactory()), factory)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectError")
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Boom]

    def test_aPeerThatHasGoneBeforeWeLook(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def gone(*_: object) -> None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

        factory = world.clientFactory()
        connector = world.connect(world.listen(world.serverFactory()), factory)
        monkeypatch.setattr(connector, "_peerOf", gone)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectError")


class TestStates:
    def test_orderOfALife(self, world: World) -> None:
        servers = world.serverFactory({"data": lambda protocol, data: protocol.transport.loseConnection()})
        port = world.listen(servers)
        states: list[str] = []
        factory = world.clientFactory({"made": lambda _: states.append(connector.state)})
        connector = world.connect(port, factory)
        assert connector.getDestination() == port.getHost()
        assert connector.transport is None
        world.until(lambda: factory.built)
        client = factory.only
        assert connector.transport is client.transport
        client.transport.write(b"x")  # type: ignore[attr-defined]
        world.until(ended(factory))
        assert factory.trace == [
            "start",
            ("started", "connecting"),
            "build",
            "made",
            ("lost", "ConnectionDone"),
            ("connectorLost", "disconnected", "ConnectionDone"),
            "stop",
        ]
        assert (states, connector.transport) == (["connected"], None)

    def test_whenWhatIsAllowed(self, world: World) -> None:
        factory = world.clientFactory()
        connector = world.connect(world.listen(world.serverFactory()), factory)
        with pytest.raises(RuntimeError, match="connecting"):
            connector.connect()
        world.until(lambda: factory.built)
        with pytest.raises(RuntimeError, match="connected"):
            connector.connect()
        with pytest.raises(error.NotConnectingError):
            connector.stopConnecting()
        connector.stopConnection()
        connector.stopConnection()
        world.until(ended(factory))
        assert factory.trace[-2] == ("connectorLost", "disconnected", "ConnectionDone")
        for method in (connector.disconnect, connector.stopConnection):
            method()
        with pytest.raises(error.NotConnectingError):
            connector.stopConnecting()
        connector.connect()
        world.until(lambda: len(factory.built) == 2)

    @pytest.mark.parametrize("how", ["stopConnecting", "disconnect", "stopConnection"])
    @pytest.mark.parametrize("when", ["started", "returned", "looking up", "on the way"])
    def test_givingUp(self, world: World, how: str, when: str) -> None:
        hooks: dict[str, Any] = {}
        if when == "started":
            hooks["started"] = lambda factory, connector: getattr(connector, how)()
        factory = world.clientFactory(**hooks)
        with silentServer() as (host, port):
            connector = world.reactor.connectTCP("localhost" if when == "looking up" else host, port, factory)
            if when == "on the way":
                world.reactor.iterate(0)
            if when != "started":
                getattr(connector, how)()
            # At once, inside the call.
            assert factory.trace == [
                "start",
                ("started", "connecting"),
                ("failed", "disconnected", "UserError"),
                "stop",
            ]
        assert world.reactor.getDelayedCalls() == world.reactor.getWriters() == []
        world.reactor.iterate(0.01)
        assert factory.trace[-1] == "stop"

    def test_givingUpWhenTheFailureIsKnown(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The failure waits for the next turn, and stopConnecting is faster: told once."""
        monkeypatch.setattr(socket.socket, "connect_ex", lambda *_: errno.ENETUNREACH)
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, 80, factory).stopConnecting()
        world.reactor.iterate(0)
        assert factory.trace[2:] == [("failed", "disconnected", "UserError"), "stop"]

    @pytest.mark.parametrize("where", ["connectorLost", "failed"])
    def test_connectAgainFromTheCallback(self, world: World, where: str) -> None:
        """The factory is not stopped in between."""
        left = [3]

        def again(factory: Any, connector: Any, reason: Any) -> None:
            left[0] -= 1
            if left[0]:
                connector.connect()

        hook: Any = {where: again}
        factory = world.clientFactory({"made": lambda protocol: protocol.transport.loseConnection()}, **hook)
        port = world.listen(world.serverFactory()).getHost().port if where == "connectorLost" else refusedPort()
        world.reactor.connectTCP(LOOPBACK, port, factory)
        world.until(ended(factory))
        assert [event for event in factory.trace if event in ("start", "stop")] == ["start", "stop"]
        assert factory.trace.count(("started", "connecting")) == 3

    def test_oneFactoryForTwoConnectors(self, world: World) -> None:
        factory = world.clientFactory()
        port = world.listen(world.serverFactory())
        first, second = world.connect(port, factory), world.connect(port, factory)
        world.until(lambda: len(factory.built) == 2)
        assert factory.numPorts == 2
        first.disconnect()
        world.until(lambda: factory.numPorts == 1)
        assert "stop" not in factory.trace
        second.disconnect()
        world.until(ended(factory))


class TestProtocols:
    def test_noProtocol(self, world: World) -> None:
        servers = world.serverFactory()
        factory = world.clientFactory(build=lambda *_: None)
        world.connect(world.listen(servers), factory)
        world.until(ended(factory))
        assert factory.trace[2:] == ["build", ("connectorLost", "disconnected", "ConnectionDone"), "stop"]
        world.until(lambda: servers.built and servers.only.lost)

    @pytest.mark.parametrize("kind", [Boom, error.SSLError, OSError])
    def test_buildProtocolRaises(self, world: World, caplog: pytest.LogCaptureFixture, kind: type[Exception]) -> None:
        raised = kind("x")
        reasons: list[Any] = []

        def build(*_: object) -> None:
            raise raised

        def failed(factory: Any, connector: Any, reason: Failure) -> None:
            reasons.append(reason.value)

        factory = world.clientFactory(build=build, failed=failed)
        world.connect(world.listen(world.serverFactory()), factory)
        world.until(ended(factory))
        (reason,) = reasons
        assert isinstance(reason, error.ConnectError)
        assert reason is raised or reason.args == (raised,)
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [raised]

    @pytest.mark.parametrize("where", ["connectorLost", "failed", "stop"])
    def test_callbacksOfTheFactoryThatRaise(self, world: World, caplog: pytest.LogCaptureFixture, where: str) -> None:
        """They are logged, and the factory is still stopped."""
        hook: Any = {where: boom}
        factory = world.clientFactory({"made": lambda protocol: protocol.transport.loseConnection()}, **hook)
        if where == "connectorLost":
            world.connect(world.listen(world.serverFactory()), factory)
        else:
            world.reactor.connectTCP(LOOPBACK, refusedPort(), factory)
        world.until(ended(factory))
        assert factory.numPorts == 0
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Boom]

    def test_startedConnectingRaises(self, world: World) -> None:
        """The caller gets the exception, and the attempt goes on."""
        factory = world.clientFactory(started=boom)
        with pytest.raises(Boom):
            world.reactor.connectTCP(LOOPBACK, refusedPort(), factory)
        world.until(ended(factory))

    def test_aFactoryThatCannotStart(self, world: World) -> None:
        """connect() passes it on, and can be called again."""
        factory = world.clientFactory()
        connector = world.connect(world.listen(world.serverFactory()), factory)
        world.until(lambda: factory.built)
        factory.only.transport.loseConnection()
        world.until(ended(factory))
        factory.hooks["start"] = boom
        for _ in range(2):
            with pytest.raises(Boom):
                connector.connect()
            assert (connector.state, factory.numPorts) == ("disconnected", 0)
        del factory.hooks["start"]
        connector.connect()
        world.until(lambda: len(factory.built) == 2)

    def test_connectionLostOfTheProtocolRaises(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        factory = world.clientFactory({"made": lambda protocol: protocol.transport.loseConnection(), "lost": boom})
        connector = world.connect(world.listen(world.serverFactory()), factory)
        world.until(ended(factory))
        assert factory.trace[-2] == ("connectorLost", "disconnected", "ConnectionDone")
        assert connector.state == "disconnected"


class TestAddresses:
    def test_bindAddress(self, world: World) -> None:
        servers = world.serverFactory()
        port = world.listen(servers).getHost().port
        for bindAddress, host in [(("127.0.0.77", 0), "127.0.0.77"), (("", 0), LOOPBACK)]:
            factory = world.clientFactory()
            world.reactor.connectTCP(LOOPBACK, port, factory, bindAddress=bindAddress)
            world.until(lambda factory=factory: factory.built)
            assert factory.only.transport.getHost().host == host

    @pytest.mark.parametrize("bindAddress", [("192.0.2.1", 0), ("no address", 0), ("::1", 0)])
    def test_bindAddressThatIsNotOurs(self, world: World, bindAddress: Any) -> None:
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, refusedPort(), factory, bindAddress=bindAddress)
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectBindError")

    def test_bindAddressInUse(self, world: World) -> None:
        port = world.listen(world.serverFactory()).getHost()
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, refusedPort(), factory, bindAddress=(port.host, port.port))
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectBindError")

    def test_bindAddressOfNoUse(self, world: World) -> None:
        factory = world.clientFactory()
        world.reactor.connectTCP(LOOPBACK, refusedPort(), factory, bindAddress=(LOOPBACK, 70000))
        world.until(ended(factory))
        assert factory.trace[2] == ("failed", "disconnected", "ConnectBindError")
        factory = world.clientFactory()
        with pytest.raises(ValueError, match="unpack"):
            world.reactor.connectTCP(LOOPBACK, refusedPort(), factory, bindAddress=(LOOPBACK,))
        assert factory.trace == []

    def test_destinations(self, world: World) -> None:
        port = refusedPort()
        for host, expected in [
            (LOOPBACK, IPv4Address("TCP", LOOPBACK, port)),
            ("::1", IPv6Address("TCP", "::1", port)),
            ("localhost", HostnameAddress(b"localhost", port)),
            ("bücher.example", HostnameAddress(b"xn--bcher-kva.example", port)),
            ("a..b", HostnameAddress(b"a..b", port)),
        ]:
            factory = world.clientFactory()
            connector = world.reactor.connectTCP(host, port, factory)
            assert connector.getDestination() == expected
            connector.stopConnecting()

    def test_anIPv6ScopeThatDoesNotExist(self, world: World) -> None:
        factory = world.clientFactory()
        connector = world.reactor.connectTCP("fe80::1%nosuchdevice", 80, factory)
        world.until(ended(factory))
        assert factory.trace[2][0] == "failed"
        assert connector.state == "disconnected"

    def test_services(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        factory = world.clientFactory()
        with pytest.raises(error.ServiceNameUnknownError, match="no-such-service"):
            world.reactor.connectTCP(LOOPBACK, "no-such-service", factory)
        port = refusedPort()
        monkeypatch.setattr(socket, "getservbyname", lambda name, kind: port)
        connector = world.reactor.connectTCP(LOOPBACK, "echo", factory)
        assert connector.getDestination().port == port
        world.until(ended(factory))

    @pytest.mark.parametrize("port", [-1, 65536, None])
    def test_wrongPorts(self, world: World, port: Any) -> None:
        with pytest.raises(ValueError, match="0 to 65535"):
            world.reactor.connectTCP(LOOPBACK, port, world.clientFactory())


def test_whatAFamilySupplies() -> None:
    nothing: Any = None
    bare = connecting.Connector(nothing, ClientFactory(), None)
    for method, args in [
        (bare.getDestination, ()),
        (bare._lookUp, ()),
        (bare._bind, ()),
        (bare._peerOf, (nothing,)),
        (bare._makeConnection, (nothing, nothing, nothing, nothing)),
    ]:
        with pytest.raises(NotImplementedError):
            method(*args)  # type: ignore[operator]
