"""Listening ports: opening, accepting, what goes wrong there, closing."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.error import BindError, CannotListenError, ConnectionDone, ConnectionUnwanted
from reactor.failure import Failure
from reactor.protocol import DatagramProtocol, Protocol, ServerFactory
from reactor.task import Clock
from reactor.transports import listening
from reactor.transports.listening import ACCEPT_BATCH, ACCEPT_REST, ListeningPort
from reactor.transports.tcp import TCPPort
from reactor.transports.udp import UDPPort
from reactor.transports.unix.datagram import UNIXDatagramPort
from reactor.transports.unix.stream import UNIXPort
from tests.conftest import openFiles
from tests.support.knocking import isLetIn
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, World, dial, readAll, runProgram


class Boom(Exception):
    pass


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


class TestOpening:
    def test_portZeroIsChosenBySystem(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.reactor.listenTCP(0, factory, interface=LOOPBACK)
        host = port.getHost()
        assert (host.type, host.host) == ("TCP", LOOPBACK)
        assert host.port > 0
        assert factory.trace == ["start"]
        assert str(host.port) in repr(port)
        assert "Server" in repr(port)
        assert port.logPrefix() == "Server"

    @pytest.mark.parametrize(
        ("interface", "host"),
        [("", "0.0.0.0"), ("::", "::"), ("::1", "::1"), ("127.0.0.3", "127.0.0.3"), ("localhost", LOOPBACK)],
    )
    def test_interfaces(self, world: World, interface: str, host: str) -> None:
        factory = world.serverFactory()
        port = world.reactor.listenTCP(0, factory, interface=interface)
        assert port.getHost().host == host
        peer = dial(port.getHost().port, {"0.0.0.0": "127.0.0.5", "::": LOOPBACK}.get(host, host))
        world.until(lambda: factory.built)
        transport = factory.only.transport
        # The address of this side is the one the client used, on a port that listens on all of them, too.
        assert (transport.getHost().host, transport.getHost().port) == peer.getpeername()[:2] or host == "::"
        assert transport.getPeer().port == peer.getsockname()[1]
        peer.close()

    def test_anAddressInUse(self, world: World) -> None:
        port = world.listen(world.serverFactory())
        number = port.getHost().port
        factory = world.serverFactory()
        with pytest.raises(CannotListenError) as caught:
            world.reactor.listenTCP(number, factory, interface=LOOPBACK)
        error = caught.value
        assert isinstance(error, BindError)
        assert (error.interface, error.port) == (LOOPBACK, number)
        assert error.socketError.errno == errno.EADDRINUSE  # type: ignore[union-attr]
        assert f"{LOOPBACK}:{number}" in str(error)
        assert factory.trace == []
        assert factory.numPorts == 0

    def test_listenItselfCanFail(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EADDRINUSE, "in use")

        monkeypatch.setattr(socket.socket, "listen", refuse)
        factory = world.serverFactory()
        with pytest.raises(CannotListenError):
            world.listen(factory)
        assert factory.trace == []

    @pytest.mark.parametrize("interface", ["300.1.1.1 ", "192.0.2.1", "fe80::1%none", "not an address"])
    def test_wrongInterfaces(self, world: World, interface: str) -> None:
        with pytest.raises(CannotListenError) as caught:
            world.reactor.listenTCP(0, world.serverFactory(), interface=interface)
        assert caught.value.interface == interface

    def test_noDescriptorLeft(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr(socket, "socket", refuse)
        with pytest.raises(CannotListenError, match="Too many open files"):
            world.listen(world.serverFactory())

    @pytest.mark.parametrize("number", [-1, 65536, "80", 1.5, None])
    def test_wrongPorts(self, world: World, number: Any) -> None:
        with pytest.raises(ValueError, match="0 to 65535"):
            world.reactor.listenTCP(number, world.serverFactory())

    def test_aFactoryThatCannotStart(self, world: World) -> None:
        def fail(*_: object) -> None:
            raise Boom

        factory = world.serverFactory(start=fail)
        port = TCPPort(world.reactor, 0, factory, interface=LOOPBACK)
        with pytest.raises(Boom):
            port.startListening()
        assert world.reactor.getReaders() == []
        assert "not listening" in repr(port)
        assert port.stopListening() is None

    def test_aPortThatCannotBeWatched(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_: object) -> None:
            raise OSError(errno.ENOSPC, "no room for one more")

        factory = world.serverFactory()
        monkeypatch.setattr(world.reactor, "addReader", refuse)
        with pytest.raises(OSError, match="no room"):
            world.listen(factory)
        monkeypatch.undo()
        assert factory.trace == ["start", "stop"]
        assert (factory.numPorts, world.reactor.getReaders(), world.reactor._open) == (0, [], {})

    @pytest.mark.parametrize("error", [OSError(errno.ENOBUFS, "no buffer"), MemoryError()])
    @pytest.mark.parametrize("kind", ["TCP", "UNIX", "UDP", "UNIX datagrams"])
    def test_aPortThatIsHalfOpen(
        self, world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, kind: str, error: Exception
    ) -> None:
        """The system refuses to tell the address of a bound socket: that is closed, and its path given up."""
        path, factory, before = str(tmp_path / "s"), world.serverFactory(), openFiles()

        def fail(*_: object) -> Any:
            raise error

        def listen() -> Any:
            if kind == "UDP":
                return world.reactor.listenUDP(0, DatagramProtocol(), LOOPBACK)
            if kind == "UNIX":
                return world.reactor.listenUNIX(path, factory)
            if kind == "TCP":
                return world.listen(factory)
            return world.reactor.listenUNIXDatagram(path, DatagramProtocol())

        with monkeypatch.context() as patch:
            for where in (TCPPort, UNIXPort, UDPPort, UNIXDatagramPort):
                patch.setattr(where, "_describe", fail)
            with pytest.raises(CannotListenError if isinstance(error, OSError) else MemoryError):
                listen()
        assert openFiles() == before
        assert list(tmp_path.iterdir()) == []
        assert factory.trace == []
        assert listen().connected

    def test_anAnswerOfPollThatTheKernelHasNoMemoryFor(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)

        def refuse(_: int) -> Any:
            raise OSError(errno.ENOMEM, "no memory")

        port._waiting = refuse
        with dial(port), dial(port):
            world.until(lambda: len(factory.built) == 2)
        assert port.connected

    def test_beforeTheFirstListening(self, world: World) -> None:
        port = TCPPort(world.reactor, 0, world.serverFactory(), interface=LOOPBACK)
        assert port.fileno() == -1
        port.pauseProducing()
        port.resumeProducing()
        with pytest.raises(RuntimeError):
            port.getHost()

    def test_reuseAddress(self, world: World) -> None:
        """A port whose last connection is in TIME_WAIT can be listened on at once."""
        factory = world.serverFactory({"made": lambda protocol: protocol.transport.loseConnection()})
        port = world.listen(factory)
        number = port.getHost().port
        peer = dial(port)
        world.until(lambda: factory.built and factory.only.lost)
        assert peer.recv(1) == b""
        peer.close()
        port.stopListening()
        world.until(lambda: not port.connected)
        again = world.reactor.listenTCP(number, world.serverFactory(), interface=LOOPBACK)
        assert again.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 1

    def test_aFactoryWithoutALogPrefix(self, world: World) -> None:
        class Plain:
            def doStart(self) -> None:
                pass

            doStop = doStart

            def buildProtocol(self, addr: Any) -> None:
                return None

        assert world.reactor.listenTCP(0, Plain(), interface=LOOPBACK).logPrefix() == "Plain"


class TestClosing:
    def test_stopListening(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)
        number = port.getHost().port
        results: list[Any] = []
        stopped = port.stopListening()
        assert port.stopListening() is stopped
        assert port.loseConnection() is stopped
        stopped.addCallback(lambda result: results.append((result, port.fileno(), list(factory.trace))))
        port.resumeProducing()
        assert results == []
        world.until(lambda: results)
        assert results == [(None, -1, ["start", "stop"])]
        assert port.stopListening() is None
        assert (port.connected, port.disconnected) == (False, True)
        assert port.getHost().port == number
        with pytest.raises(ConnectionRefusedError):
            dial(number)
        port.connectionLost(Failure(ConnectionDone()))
        assert factory.trace == ["start", "stop"]

    def test_listenAgain(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)
        port.startListening()
        assert factory.trace == ["start"]
        for _ in range(3):
            port.stopListening()
            world.until(lambda: not port.connected)
            port.startListening()
            assert (port.connected, port.disconnected) == (True, False)
            peer = dial(port)
            before = len(factory.built)
            world.until(lambda before=before: len(factory.built) > before)
            peer.close()
        assert factory.trace.count("start") == 4

    def test_anUnfinishedStopDoesNotCloseTheNextListening(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)
        stopped = port.stopListening()
        world.reactor.disconnectAll()
        assert stopped.called
        port.startListening()
        world.reactor.iterate(0)
        peer = dial(port)
        world.until(lambda: factory.built)
        peer.close()

    def test_connectionsOutliveTheirPort(self, world: World) -> None:
        factory = world.serverFactory({"data": lambda protocol, data: protocol.transport.write(data)})
        first, second = world.listen(factory), world.listen(factory)
        assert (factory.numPorts, factory.trace) == (2, ["start"])
        peer = dial(first)
        world.until(lambda: factory.built)
        first.stopListening()
        world.until(lambda: factory.numPorts == 1)
        assert "stop" not in factory.trace
        second.stopListening()
        world.until(lambda: "stop" in factory.trace)
        peer.sendall(b"still here")
        world.until(lambda: factory.only.received)
        assert peer.recv(100) == b"still here"
        peer.close()
        world.until(lambda: factory.only.lost)

    def test_aFactoryThatCannotStop(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def fail(*_: object) -> None:
            raise Boom

        port = world.listen(world.serverFactory(stop=fail))
        stopped = port.stopListening()
        world.until(lambda: stopped.called)
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Boom]

    def test_stoppedFromBuildProtocol(self, world: World) -> None:
        """A client that waits in the kernel's queue is no longer accepted."""

        def build(factory: Any, _: Any) -> None:
            port.stopListening()

        factory = world.serverFactory(build=build)
        port = world.listen(factory)
        with contextlib.ExitStack() as peers:
            for _ in range(3):
                peers.enter_context(dial(port))
            world.until(lambda: not port.connected)
        assert factory.trace == ["start", "build", "stop"]


class TestAccepting:
    def test_noProtocol(self, world: World) -> None:
        factory = world.serverFactory(build=lambda factory, addr: None)
        port = world.listen(factory)
        for _ in range(2):
            peer = dial(port)
            world.until(lambda: factory.trace.count("build") > 0)
            assert peer.recv(1) == b""
            peer.close()
            factory.trace.clear()

    def test_aFailingBuildProtocolCostsOneConnection(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        class Silent(ServerFactory[Any]):
            protocol = Protocol

            def __repr__(self) -> str:
                raise Boom("in repr")

            def buildProtocol(self, addr: Any) -> Any:
                if not caplog.records:
                    raise Boom("in buildProtocol")
                return super().buildProtocol(addr)

            noisy = False

        port = world.listen(Silent())
        first = dial(port)
        world.until(lambda: caplog.records)
        assert first.recv(1) == b""
        first.close()
        second = dial(port)
        world.until(lambda: len(world.reactor.getReaders()) == 2)
        second.close()
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [Boom]

    def test_aSocketThatCannotBeWatchedCostsOneConnection(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)

        def refuse(reader: Any) -> None:
            raise OSError(errno.ENOSPC, "max_user_watches")

        monkeypatch.setattr(world.reactor, "addReader", refuse)
        first = dial(port)
        world.until(lambda: caplog.records)
        monkeypatch.undo()
        assert first.recv(1) == b""
        first.close()
        assert factory.only.trace == []  # never connected, so never lost
        assert list(world.reactor._open) == [port]
        second = dial(port)
        world.until(lambda: len(factory.built) == 2 and factory.built[1].trace == ["made"])
        second.close()

    def test_aDescriptorIsClosedThatBecomesNoSocket(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise MemoryError

        factory = world.serverFactory()
        port = world.listen(factory)
        peer = dial(port)
        monkeypatch.setattr(socket, "SocketType", refuse)
        with pytest.raises(MemoryError):
            port.doRead()
        monkeypatch.undo()
        assert peer.recv(1) == b""
        peer.close()
        assert factory.trace == ["start"]

    def test_aBoundedBatch(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.reactor.listenTCP(0, factory, backlog=ACCEPT_BATCH * 2, interface=LOOPBACK)
        peers = [dial(port) for _ in range(ACCEPT_BATCH + 10)]
        world.reactor.iterate(1)
        assert len(factory.built) == ACCEPT_BATCH
        world.until(lambda: len(factory.built) == ACCEPT_BATCH + 10)
        for peer in peers:
            peer.close()

    def test_pausedPortsLeaveClientsInTheQueue(self, world: World) -> None:
        factory = world.serverFactory()
        port = world.listen(factory)
        port.pauseProducing()
        peer = dial(port)
        world.reactor.iterate(0)
        assert factory.built == []
        port.resumeProducing()
        world.until(lambda: factory.built)
        peer.close()

    def test_pausedFromBuildProtocol(self, world: World) -> None:
        """The next client waits, though it is of the same batch."""

        def build(factory: Any, _: Any) -> None:
            factory.built.append(1)
            port.pauseProducing()

        factory = world.serverFactory(build=build)
        port = world.listen(factory)
        peers = [dial(port) for _ in range(3)]
        for count in (1, 2, 3):
            world.until(lambda count=count: len(factory.built) == count)
            world.reactor.iterate(0)
            assert len(factory.built) == count
            port.resumeProducing()
        for peer in peers:
            peer.close()


class FakeReactor(Clock):
    """A clock, and what a port asks of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.closeCounts: Counter[Any] = Counter()
        self.failures: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def opened(self, transport: Any) -> None:
        pass

    closed = opened

    def closeSoon(self, sock: Any) -> None:
        sock.close()

    def placeholder(self) -> int:
        return -1

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        self.failures.append(failure.value)


class FakeSocket:
    """A listening socket whose _accept() does what it is told, then says that nobody waits."""

    family, type, proto = socket.AF_UNIX, socket.SOCK_STREAM, 0

    def __init__(self, *script: OSError | None) -> None:
        self.script = list(script)
        self.number = 2**31 - 1  # no descriptor, which poll() calls ready
        self.calls = 0
        self.ends: list[socket.socket] = []

    def _accept(self) -> tuple[int, Any]:
        self.calls += 1
        if not self.script:
            raise BlockingIOError
        error = self.script.pop(0)
        if error is not None:
            raise error
        ours, theirs = socket.socketpair()
        self.ends.append(theirs)
        return ours.detach(), None

    def listen(self, backlog: int) -> None:
        pass

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        for end in self.ends:
            end.close()


class FakePort(ListeningPort):
    def __init__(self, reactor: Any, sock: FakeSocket) -> None:
        self.sock = sock
        factory: Any = ServerFactory()
        factory.noisy = False
        factory.served = 0
        factory.buildProtocol = self.count
        super().__init__(reactor, factory, 5)
        self.startListening()

    def count(self, addr: Any) -> None:
        self.factory.served += 1  # type: ignore[attr-defined]

    def _openSocket(self) -> Any:
        return self.sock

    def _describe(self, sock: Any) -> Any:
        return None

    def _peerAddress(self, name: Any) -> Any:
        return name


def failing(number: int, times: int) -> list[OSError | None]:
    return [OSError(number, "injected") for _ in range(times)]


EXHAUSTED = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM]
PASSING = [errno.ECONNABORTED, errno.EPERM, errno.EPROTO, errno.ENETDOWN, errno.EHOSTUNREACH]


class TestTrouble:
    @pytest.mark.parametrize("number", EXHAUSTED)
    def test_exhaustionRestsThePort(self, number: int, caplog: pytest.LogCaptureFixture) -> None:
        reactor = FakeReactor()
        sock = FakeSocket(None, *failing(number, 25), None, None)
        port = FakePort(reactor, sock)
        port.doRead()
        assert (sock.calls, port.factory.served) == (2, 1)  # type: ignore[attr-defined]
        for _ in range(24):
            assert reactor.readers == set()
            reactor.advance(ACCEPT_REST)
            assert reactor.readers == {port}
            port.doRead()
        # 2.4 seconds: one try each rest, one line in the log each second.
        assert sock.calls == 26
        assert len(caplog.records) == 3
        assert "injected" in caplog.text
        reactor.advance(ACCEPT_REST)
        port.doRead()
        assert reactor.readers == {port}
        assert port.factory.served == 3  # type: ignore[attr-defined]
        sock.close()

    @pytest.mark.parametrize("number", PASSING)
    def test_theTroubleOfOneClientIsNotThePorts(self, number: int, caplog: pytest.LogCaptureFixture) -> None:
        reactor = FakeReactor()
        sock = FakeSocket(*failing(number, 3), None, *failing(number, 1), None)
        port = FakePort(reactor, sock)
        port.doRead()
        assert port.factory.served == 2  # type: ignore[attr-defined]
        assert reactor.readers == {port}
        assert caplog.records == []
        sock.close()

    @pytest.mark.parametrize("number", PASSING)
    def test_troubleThatNeverEndsDoesNotSpin(self, number: int, caplog: pytest.LogCaptureFixture) -> None:
        reactor = FakeReactor()
        sock = FakeSocket(*failing(number, 1000))
        port = FakePort(reactor, sock)
        port.doRead()
        assert sock.calls == ACCEPT_BATCH
        assert reactor.readers == set()
        assert len(caplog.records) == 1
        reactor.advance(ACCEPT_REST)
        assert reactor.readers == {port}

    def test_nobodyIsAskedForWhoDoesNotWait(self) -> None:
        reactor = FakeReactor()
        sock = FakeSocket(None, None)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            sock.number = ours.fileno()
            port = FakePort(reactor, sock)
            port.doRead()
            assert (sock.calls, port.factory.served) == (1, 1)  # type: ignore[attr-defined]
        sock.close()

    def test_interruptionsMeanNothing(self) -> None:
        reactor = FakeReactor()
        port = FakePort(reactor, FakeSocket(InterruptedError(errno.EINTR, "")))
        port.doRead()
        assert reactor.readers == {port}

    def test_stoppingAndPausingEndTheRest(self) -> None:
        for way in ("pauseProducing", "stopListening"):
            reactor = FakeReactor()
            port = FakePort(reactor, FakeSocket(*failing(errno.EMFILE, 1)))
            port.doRead()
            port.resumeProducing()
            assert reactor.readers == set()  # not before the rest is over
            getattr(port, way)()
            reactor.advance(ACCEPT_REST)
            assert reactor.readers == set()
            assert port.connected is (way == "pauseProducing")

    @pytest.mark.timing
    def test_noDescriptorsLeft(self) -> None:
        """RLIMIT_NOFILE: the port is quiet while nothing can be accepted, sheds nobody, and recovers at once."""
        done = runProgram(STARVED)
        assert done.returncode == 0, done.stderr
        cpu, lines, served, recovery = map(float, done.stdout.split())
        assert served == 1
        assert recovery < 1.0
        assert cpu < 0.1  # of 0.5 s; ten tries and ten rests cost a millisecond or two
        assert lines <= 2


WAITING = 100  # more than one event accepts


class Greeting(Protocol):
    """Says a word to every client, and closes."""

    def connectionMade(self) -> None:
        self.transport.write(b"served")
        self.transport.loseConnection()


class Waiters:
    """A port on a reactor, and clients that the kernel has let in, for whom the loop has not come round."""

    def __init__(self, world: World, family: str, path: str) -> None:
        self.world = world
        self.factory = ServerFactory.forProtocol(self.make)
        self.made = 0
        if family == "UNIX":
            self.port = world.reactor.listenUNIX(path, self.factory, backlog=2 * WAITING)
        else:
            self.port = world.reactor.listenTCP(0, self.factory, backlog=2 * WAITING, interface=LOOPBACK)
        self.where: Any = path if family == "UNIX" else self.port.getHost().port
        self.clients: list[socket.socket] = []

    def make(self) -> Greeting:
        self.made += 1
        return Greeting()

    def connect(self, count: int = WAITING) -> None:
        for _ in range(count):
            if isinstance(self.where, int):
                self.clients.append(dial(self.where))
            else:
                client = socket.socket(socket.AF_UNIX)
                self.clients.append(client)
                client.settimeout(DEADLINE)
                client.connect(self.where)

    def answers(self) -> list[bytes]:
        found = []
        for client in self.clients:
            try:
                found.append(readAll(client))
            except ConnectionResetError:
                found.append(b"reset")
            client.close()
        return found


@pytest.fixture(params=["TCP", "UNIX"])
def family(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def waiters(request: pytest.FixtureRequest, family: str, tmp_path: Any) -> Iterator[Waiters]:
    world = World(request.param)
    waiters = Waiters(world, family, str(tmp_path / "socket"))
    yield waiters
    for client in waiters.clients:
        client.close()
    world.close()


class TestTheLast:
    """A port that stops serves whom the kernel has let in, and closes in the same step."""

    @pytest.mark.parametrize("way", ["stopListening", "loseConnection"])
    @pytest.mark.parametrize("inAnEvent", [False, True])
    def test_whoWaitsIsServed(self, waiters: Waiters, way: str, inAnEvent: bool) -> None:
        done: list[Any] = []

        def stop(*_: object) -> None:
            waiters.connect()
            getattr(waiters.port, way)().addCallback(done.append)
            with pytest.raises(ConnectionRefusedError):  # though the batch of events is not over
                waiters.connect(1)
            for late in waiters.clients[WAITING:]:
                late.close()
            del waiters.clients[WAITING:]

        if inAnEvent:
            other = waiters.world.listen(waiters.world.serverFactory({"data": stop}))
            with dial(other) as client:
                client.sendall(b"stop")
                waiters.world.until(lambda: done)
        else:
            waiters.world.reactor.callLater(0, stop)
            waiters.world.until(lambda: done)
        waiters.world.until(lambda: not [each for each in waiters.world.reactor.openTransports() if sent(each)])
        assert waiters.answers() == [b"served"] * WAITING
        assert done == [None]
        assert waiters.factory.numPorts == 0

    def test_nobodyIsServedFromInsideAnAccept(self, waiters: Waiters) -> None:
        """A factory that wants one connection gets no second one, though others wait."""

        def build(addr: Any) -> Any:
            waiters.port.stopListening()
            return Greeting()

        waiters.factory.buildProtocol = build  # type: ignore[method-assign]
        waiters.connect(3)
        waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        assert sorted(waiters.answers()) == [b"reset", b"reset", b"served"]

    def test_aPausedPortServesNobody(self, waiters: Waiters) -> None:
        waiters.port.pauseProducing()
        waiters.connect(2)
        waiters.port.acceptWaiting()
        waiters.port.stopListening()
        waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        assert waiters.answers() == [b"reset"] * 2

    def test_nobodyElseIsLetIn(self, waiters: Waiters) -> None:
        """Whom the kernel has let in is served, before and behind the call."""
        waiters.connect(2)
        waiters.port.shutOut()
        family = socket.AF_UNIX if isinstance(waiters.where, str) else socket.AF_INET
        assert not isLetIn(family, waiters.where if family == socket.AF_UNIX else (LOOPBACK, waiters.where))
        waiters.port.acceptWaiting()
        assert waiters.made == 2
        waiters.port.stopListening()
        waiters.port.shutOut()  # it does nothing any more
        waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        waiters.port.shutOut()
        assert waiters.answers() == [b"served"] * 2

    def test_acceptWaitingGoesOnListening(self, waiters: Waiters) -> None:
        waiters.connect()
        waiters.port.acceptWaiting()
        assert not waiters.port.resting
        waiters.world.until(lambda: len(waiters.world.reactor.openTransports()) == 1)
        assert waiters.answers() == [b"served"] * WAITING
        waiters.clients.clear()
        waiters.connect(1)
        waiters.world.until(lambda: waiters.made == WAITING + 1)
        waiters.world.until(lambda: len(waiters.world.reactor.openTransports()) == 1)
        assert waiters.answers() == [b"served"]

    def test_thePriceOfAnExceptionIsNoDescriptor(self, waiters: Waiters) -> None:
        """KeyboardInterrupt of a buildProtocol: the others are served all the same."""

        def build(addr: Any) -> Any:
            raise KeyboardInterrupt

        waiters.factory.buildProtocol = build  # type: ignore[method-assign]
        waiters.connect(3)
        waiters.port.stopListening()
        with pytest.raises(KeyboardInterrupt):
            waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        assert waiters.answers() == [b""] * 3

    @pytest.mark.parametrize("waiting", [2, 5])
    def test_theLastAreBounded(
        self, waiters: Waiters, waiting: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """As many as ACCEPT_LAST are served in one step; the others are reset, and a record says so."""
        monkeypatch.setattr(listening, "ACCEPT_LAST", 3)
        waiters.connect(waiting)
        waiters.port.stopListening()
        waiters.world.until(lambda: not waiters.world.reactor.openTransports())
        assert waiters.answers() == [b"served"] * min(waiting, 3) + [b"reset"] * (waiting - 3)
        said = [record.getMessage() for record in caplog.records if "stops after" in record.getMessage()]
        assert len(said) == (waiting > 3)
        assert all(text.endswith("after 3 clients at once, and resets the clients behind them") for text in said)

    def test_acceptWaitingIsBoundedToo(self, waiters: Waiters, monkeypatch: pytest.MonkeyPatch) -> None:
        """The others have their turns, as the port goes on."""
        monkeypatch.setattr(listening, "ACCEPT_LAST", 3)
        waiters.connect(5)
        waiters.port.acceptWaiting()
        assert waiters.made == 3
        assert not waiters.port.resting
        waiters.world.until(lambda: waiters.made == 5)
        waiters.world.until(lambda: len(waiters.world.reactor.openTransports()) == 1)
        assert waiters.answers() == [b"served"] * 5

    def test_whomTheSystemLetsNobodyAccept(self, caplog: pytest.LogCaptureFixture) -> None:
        reactor, sock = FakeReactor(), FakeSocket(None, *failing(errno.EMFILE, 1))
        port = FakePort(reactor, sock)
        port.stopListening()
        assert port.factory.served == 1  # type: ignore[attr-defined]
        assert "resets clients that the system lets nobody accept: [Errno 24] injected" in caplog.text
        reactor.advance(ACCEPT_REST)
        assert not port.connected
        assert reactor.getDelayedCalls() == []

    def test_acceptWaitingRests(self) -> None:
        reactor, sock = FakeReactor(), FakeSocket(None, *failing(errno.EMFILE, 2), None)
        port = FakePort(reactor, sock)
        port.acceptWaiting()
        port.acceptWaiting()
        assert port.resting
        assert len(reactor.getDelayedCalls()) == 1
        port.acceptWaiting()
        assert port.factory.served == 2  # type: ignore[attr-defined]
        reactor.advance(ACCEPT_REST)
        assert not port.resting
        sock.close()


def sent(transport: Any) -> bool:
    return hasattr(transport, "write")


def test_aConnectionThatNoFactoryWantsIsCountedAndLogged(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    port = world.listen(world.serverFactory(build=lambda *_: None))
    with dial(port) as client:
        world.until(lambda: world.reactor.closeCounts[ConnectionUnwanted])
        assert readAll(client) == b""
    assert "closed from here: Connection was closed cleanly, as it was not wanted: Server." in caplog.text


def test_whatAFamilySupplies() -> None:
    bare = ListeningPort(FakeReactor(), ServerFactory(), 5)  # type: ignore[arg-type]
    nothing: Any = None
    for method, args in [
        (bare._openSocket, ()),
        (bare._describe, (nothing,)),
        (bare._cannotListen, (OSError(),)),
        (bare._peerAddress, (nothing,)),
        (bare._makeConnection, (nothing, nothing, nothing)),
    ]:
        with pytest.raises(NotImplementedError):
            method(*args)  # type: ignore[operator]


STARVED = """
import logging, os, resource, socket, time
from reactor.loops.epoll import EpollReactor
from reactor.protocol import DatagramProtocol, Protocol, ServerFactory

lines = []
class Count(logging.Handler):
    def emit(self, record): lines.append(record)
logging.getLogger("reactor.transports").addHandler(Count())

class Echo(Protocol):
    def dataReceived(self, data): self.transport.write(data)

reactor = EpollReactor()
port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
peers = [socket.create_connection(("127.0.0.1", port.getHost().port)) for _ in range(12)]
resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 5, 20000))
result = {}

def starved():
    result["cpu"] = time.process_time()
    reactor.callLater(0.5, free)

def free():
    result["cpu"] = time.process_time() - result["cpu"]
    result["lines"] = len(lines)
    result["start"] = time.monotonic()
    for peer in peers[:6]:
        peer.close()
    peers[-1].setblocking(False)
    peers[-1].send(b"?")
    look()

def look():
    try:
        served = peers[-1].recv(10) == b"?"
    except BlockingIOError:
        reactor.callLater(0.005, look)
    else:
        print(result["cpu"], result["lines"], int(served), time.monotonic() - result["start"])
        reactor.stop()

reactor.callLater(0.1, starved)
reactor.run()
"""
