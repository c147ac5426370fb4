"""Every reactor, when a signal's handler raises in the midst of the reactor's own work. The fixture is reactor.py's.

The interpreter calls such a handler at the entry of a function in Python, and behind a call of one in C. A profile
function is called at the same places, so each of them can be tried in turn, one exception a trial.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.failure import Failure
from reactor.policies import LimitConnectionsByPeer, LimitTotalConnectionsFactory, ThrottlingFactory, TimeoutFactory
from reactor.protocol import ClientFactory, DatagramProtocol, ProcessProtocol, Protocol, ServerFactory
from reactor.stdio import StandardIO
from reactor.transports import stream
from reactor.transports.tcp import TCPConnector
from tests.support.tlsworlds import clientOptions, serverOptions
from tests.support.worlds import DEADLINE, LOOPBACK, dial, turnUntil

Make = Callable[[], Any]


class Interruption(Exception):
    pass


def refused(code: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> Any:
        raise OSError(code, os.strerror(code))

    return refuse


class Interrupter:
    """Raises once: at place number `place` of those inside functions called `inside`, or called from them.

    With `second` it raises once more, at the entry of a function: as many functions are entered in between.
    Garbage waits meanwhile: a `__del__` of another test's may be anywhere, and what is raised there goes nowhere.
    """

    def __init__(self, inside: set[str], place: int, second: int | None = None) -> None:
        self.inside = inside
        self.left = place
        self.second = second
        self.where = ""

    def __enter__(self) -> Interrupter:
        gc.disable()
        self.tracer = sys.gettrace()
        sys.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        sys.settrace(self.tracer)
        gc.enable()

    def _look(self, frame: Any, event: str, argument: object) -> None:
        if event not in ("call", "c_return") or not self._isInside(frame):
            return
        self.left -= 1
        if self.left < 0:
            sys.setprofile(None)
            self.where = f"{event} {argument} in {frame.f_code.co_qualname}"
            if self.second is not None:
                self.left = self.second
                sys.settrace(self._lookAgain)  # a profile function that has raised is called no more
            raise Interruption

    def _lookAgain(self, frame: Any, event: str, argument: object) -> None:
        if event == "call" and self._isInside(frame):
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                self.where += f", then {frame.f_code.co_qualname}"
                raise Interruption

    def _isInside(self, frame: Any) -> bool:
        if "/reactor/" not in frame.f_code.co_filename:
            return False
        while frame is not None and frame.f_code.co_name not in self.inside:
            frame = frame.f_back
        return frame is not None


class Interrupted:
    def test_aCallFromAThreadIsNotLost(self, make: Make) -> None:
        """Calls behind the interrupted one are made on the next turn, and each is made once."""
        reactor = make()
        for place in range(100):
            order, count = list[int](), 5
            for number in range(count):
                reactor.callFromThread(order.append, number)
            interrupter = Interrupter({"_runThreadCalls"}, place)
            try:
                with interrupter:
                    reactor._runThreadCalls()
            except Interruption:
                pass
            reactor._runThreadCalls()
            assert order == [*range(count)], interrupter.where
            if not interrupter.where:
                break
        assert place > 5


class InterruptedLoops:
    def test_timersGoOn(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """After a turn is broken off, at any place, the next come: for delayed calls and for calls from threads."""
        caplog.set_level(logging.CRITICAL, "reactor")
        caplog.set_level(logging.CRITICAL, "asyncio")
        reactor, places = make(), 0
        while reached := self._turn(reactor, places):
            places += 1
        assert places > 20, reached

    def _turn(self, reactor: Any, place: int) -> str:
        interrupter = Interrupter({"_ticking", "_beginTurn", "_turnSoon", "_finishTurn"}, place)
        left, seen = [4], list[str]()

        def chain() -> None:
            left[0] -= 1
            if not left[0]:
                sys.setprofile(None)
            if left[0] <= 0 and interrupter.where:
                reactor.callLater(0.001, reactor.callFromThread, reactor.stop)
            elif left[0] > -3:
                again()
            else:
                reactor.stop()

        def again() -> None:
            try:
                reactor.callLater(0.001, chain)
            except Interruption:
                reactor.callLater(0.001, chain)

        def late() -> None:
            seen.append("stood still")
            reactor.callFromThread(reactor.stop)

        watch = threading.Timer(DEADLINE, late)
        watch.start()
        reactor.callLater(0, sys.setprofile, interrupter._look)
        again()
        gc.disable()
        reactor.run(installSignalHandlers=False)
        sys.setprofile(None)
        gc.enable()
        watch.cancel()
        assert not seen, interrupter.where
        return interrupter.where


class Ending:
    """One thing that ends, and how often its protocol was told so."""

    def __init__(self, reactor: Any, told: list[str], end: Callable[[], object], close: Callable[[], object]) -> None:
        self.reactor = reactor
        self.told = told
        self.end = end
        self.close = close


def tcpEnd(reactor: Any) -> Ending:
    """A connection whose peer closes."""
    told = list[str]()

    class Told(Protocol):
        def connectionLost(self, reason: Failure) -> None:
            told.append("connectionLost")

    factory = ServerFactory.forProtocol(Told)
    factory.noisy = False
    port = reactor.listenTCP(0, factory, interface=LOOPBACK)
    peer = dial(port)
    turnUntil(reactor, lambda: len(reactor.openTransports()) == 2)

    def close() -> None:
        port.stopListening()

    return Ending(reactor, told, peer.close, close)


def abortEnd(reactor: Any) -> Ending:
    """A connection that is aborted here, with a producer."""
    ending = tcpEnd(reactor)
    connection = reactor.openTransports()[1]

    class Producer:
        def stopProducing(self) -> None:
            ending.told.append("stopProducing")

    connection.registerProducer(Producer(), True)
    peerCloses = ending.end

    def end() -> None:
        connection.abortConnection()
        peerCloses()

    ending.end = end
    return ending


def unixEnd(reactor: Any) -> Ending:
    """A connection over a UNIX socket that closes in order."""
    told = list[str]()

    class Told(Protocol):
        def connectionLost(self, reason: Failure) -> None:
            told.append("connectionLost")

    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(Told))
    ours.close()
    connection = reactor.openTransports()[0]
    return Ending(reactor, told, connection.loseConnection, theirs.close)


def datagramEnd(reactor: Any) -> Ending:
    told = list[str]()

    class Told(DatagramProtocol):
        noisy = False

        def stopProtocol(self) -> None:
            told.append("stopProtocol")

    port = reactor.listenUDP(0, Told(), interface=LOOPBACK)

    def end() -> None:
        port.stopListening().addCallback(lambda _: told.append("stopListening"))

    return Ending(reactor, told, end, bool)


def portEnd(reactor: Any) -> Ending:
    told = list[str]()

    class Told(ServerFactory):
        noisy = False
        protocol = Protocol

        def stopFactory(self) -> None:
            told.append("stopFactory")

    port = reactor.listenTCP(0, Told(), interface=LOOPBACK)

    def end() -> None:
        port.stopListening().addCallback(lambda _: told.append("stopListening"))

    return Ending(reactor, told, end, bool)


def childEnd(reactor: Any) -> Ending:
    told = list[str]()

    class Told(ProcessProtocol):
        def childConnectionLost(self, childFD: int) -> None:
            told.append(f"childConnectionLost {childFD}")

        def processExited(self, reason: Failure) -> None:
            told.append("processExited")

        def processEnded(self, reason: Failure) -> None:
            told.append("processEnded")

    child = reactor.spawnProcess(Told(), "/bin/cat", ["cat"], {}, childFDs={0: "w", 1: "r"})
    return Ending(reactor, told, child.closeStdin, bool)


def silent(kind: Any, protocol: Any, **attributes: Any) -> Any:
    """A factory of such protocols, with attributes that are set on it."""
    factory = kind.forProtocol(protocol)
    factory.noisy = False
    vars(factory).update(attributes)
    return factory


def wrappedEnd(reactor: Any) -> Ending:
    """A connection through wrappers, whose factories count."""
    told = list[str]()

    class Told(Protocol):
        def connectionLost(self, reason: Failure) -> None:
            told.append("connectionLost")

    total = LimitTotalConnectionsFactory()
    total.noisy = False
    total.protocol = Told
    byPeer = LimitConnectionsByPeer(total)
    throttling = ThrottlingFactory(byPeer, readLimit=1 << 30)
    timing = TimeoutFactory(throttling)
    throttling.callLater = timing.callLater = reactor.callLater  # type: ignore[method-assign]
    port = reactor.listenTCP(0, timing, interface=LOOPBACK)
    peer = dial(port)
    turnUntil(reactor, lambda: timing.protocols)

    def close() -> None:
        assert (total.connectionCount, byPeer.peerConnections, throttling.connectionCount) == (0, {}, 0)
        assert [*timing.protocols, *throttling.protocols, *byPeer.protocols] == []
        turnUntil(reactor, lambda: not reactor.getDelayedCalls())
        port.stopListening()

    return Ending(reactor, told, peer.close, close)


class ToldClient(ClientFactory):
    noisy = False
    protocol = Protocol

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append("clientConnectionLost")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append("clientConnectionFailed")


def connectorEnd(reactor: Any) -> Ending:
    """A client's connection, which the server closes."""
    told = list[str]()
    listening = socket.create_server((LOOPBACK, 0))
    connector = reactor.connectTCP(*listening.getsockname(), ToldClient(told))
    turnUntil(reactor, lambda: connector.state == "connected")
    peer, _ = listening.accept()
    listening.close()

    def close() -> None:
        assert (connector.state, connector.transport) == ("disconnected", None)

    return Ending(reactor, told, peer.close, close)


def attemptEnd(reactor: Any) -> Ending:
    """A client's attempt to which nobody answers in time."""
    told, lookUp = list[str](), Deferred[Any]()
    connector = TCPConnector(reactor, LOOPBACK, 1, ToldClient(told))
    connector._lookUp = lambda: lookUp  # type: ignore[method-assign]

    def end() -> None:
        connector.timeout = 0
        connector.connect()

    def close() -> None:
        assert connector.state == "disconnected"

    return Ending(reactor, told, end, close)


def tlsEnd(reactor: Any, closer: str = "clientProtocol") -> Ending:
    """A TLS connection, whose two ends are here."""
    told = list[str]()

    def toldProtocol(name: str) -> Any:
        def connectionLost(self: Any, reason: Failure) -> None:
            told.append(name)

        def connectionMade(self: Any) -> None:
            made[name] = self

        return type(name, (Protocol,), {"connectionLost": connectionLost, "connectionMade": connectionMade})

    made = dict[str, Any]()
    port = reactor.listenSSL(
        0, silent(ServerFactory, toldProtocol("serverProtocol")), serverOptions(), interface=LOOPBACK
    )
    factory = ToldClient(told)
    factory.protocol = toldProtocol("clientProtocol")
    reactor.connectSSL(LOOPBACK, port.getHost().port, factory, clientOptions())
    turnUntil(reactor, lambda: len(made) == 2)
    return Ending(reactor, told, made[closer].transport.loseConnection, port.stopListening)


def tlsServerEnd(reactor: Any) -> Ending:
    return tlsEnd(reactor, "serverProtocol")


def standardEnd(reactor: Any) -> Ending:
    """A StandardIO whose input ends, with a follower."""
    told = list[str]()

    class Told(Protocol):
        def connectionLost(self, reason: Failure) -> None:
            told.append("connectionLost")

    (stdin, toUs), (fromUs, stdout) = os.pipe(), os.pipe()
    standard = StandardIO(Told(), stdin, stdout, reactor=reactor)
    standard.ended = lambda _: told.append("ended")
    for fd in (stdin, stdout):
        os.close(fd)

    def end() -> None:
        os.close(toUs)

    return Ending(reactor, told, end, lambda: os.close(fromUs))


def threadChildEnd(reactor: Any) -> Ending:
    """A child for which a thread waits, as the system has no pidfd."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "pidfd_open", refused(errno.ENOSYS))
        return childEnd(reactor)


TLS_TOLD = {"serverProtocol", "clientProtocol", "clientConnectionLost"}
# The functions that the loop calls, where it is not connectionLost alone.
INSIDE = {
    "child": {"doRead", "connectionLost"},
    "childInAThread": {"_runThreadCalls", "connectionLost"},
    "attempt": {"_runDelayedCalls"},
}
KINDS: dict[str, tuple[Callable[[Any], Ending], set[str]]] = {
    "wrapped": (wrappedEnd, {"connectionLost"}),
    "connector": (connectorEnd, {"clientConnectionLost"}),
    "attempt": (attemptEnd, {"clientConnectionFailed"}),
    "tlsClient": (tlsEnd, TLS_TOLD),
    "tlsServer": (tlsServerEnd, TLS_TOLD),
    "standard": (standardEnd, {"connectionLost", "ended"}),
    "childInAThread": (
        threadChildEnd,
        {"childConnectionLost 0", "childConnectionLost 1", "processExited", "processEnded"},
    ),
    "connection": (tcpEnd, {"connectionLost"}),
    "aborted": (abortEnd, {"connectionLost", "stopProducing"}),
    "unix": (unixEnd, {"connectionLost"}),
    "datagram": (datagramEnd, {"stopProtocol", "stopListening"}),
    "port": (portEnd, {"stopFactory", "stopListening"}),
    "child": (childEnd, {"childConnectionLost 0", "childConnectionLost 1", "processExited", "processEnded"}),
}


class InterruptedEnds:
    @pytest.mark.parametrize("kind", KINDS)
    def test_anEndIsMadeGood(self, make: Make, kind: str, caplog: pytest.LogCaptureFixture) -> None:
        """Wherever it is broken off: nothing is watched, nothing is open, and all are told once."""
        caplog.set_level(logging.CRITICAL, "reactor")
        reactor, places = make(), 0
        while reached := self._interrupt(reactor, kind, places):
            places += 1
            assert places < 1000, reached
        assert places > 5

    def _interrupt(self, reactor: Any, kind: str, place: int) -> str:
        """Try one place. Return which it was, nothing if there is none of that number."""
        begin, expected = KINDS[kind]
        ending = begin(reactor)
        inside = INSIDE.get(kind, {"connectionLost"})
        ending.end()
        with Interrupter(inside, place) as interrupter:
            while not (interrupter.where or expected <= {*ending.told}):
                with suppress(Interruption):
                    reactor.iterate(0.02)
        # A callback that has been entered counts as told, though the exception may have hit it before its first line.
        hit = {"stopProtocol", "stopFactory"} if "doStop" in interrupter.where else set()
        hit |= {"stopListening"} if "CallbackChain" in interrupter.where else set()
        turnUntil(reactor, lambda: expected - hit <= {*ending.told})
        ending.close()
        turnUntil(reactor, lambda: not reactor.openTransports())
        assert sorted(ending.told) == sorted({*ending.told}), interrupter.where
        assert reactor.getReaders() == reactor.getWriters() == [], interrupter.where
        return interrupter.where


class Resting:
    """One owner that rests. `ask` gives it something to do; `came`, for which `look` may be needed, shows that."""

    def __init__(
        self, came: list[Any], ask: Callable[[], object], close: Callable[[], object], look: Callable[[], object] = bool
    ) -> None:
        self.came = came
        self.ask = ask
        self.close = close
        self.look = look


def restingPort(reactor: Any) -> Resting:
    came = list[Any]()
    factory = ServerFactory()
    factory.noisy = False
    factory.buildProtocol = came.append  # type: ignore[assignment, method-assign]
    port = reactor.listenTCP(0, factory, interface=LOOPBACK)
    peers = list[socket.socket]()
    port._rest._seconds = 0
    port._takeRest(OSError(errno.EMFILE, "no descriptor is free"))

    def close() -> None:
        port.stopListening()
        for peer in peers:
            peer.close()

    return Resting(came, lambda: peers.append(dial(port)), close)


def restingDatagrams(reactor: Any) -> Resting:
    came = list[Any]()

    class Listening(DatagramProtocol):
        noisy = False

        def datagramReceived(self, datagram: bytes, addr: Any) -> None:
            came.append(datagram)

    port = reactor.listenUDP(0, Listening(), interface=LOOPBACK)
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port._rest._seconds = 0
    port._takeRest()

    def close() -> None:
        port.stopListening()
        peer.close()

    return Resting(came, lambda: peer.sendto(b"x", (LOOPBACK, port.getHost().port)), close)


def restingStream(reactor: Any) -> Resting:
    """A connection that has something to send, and the system had no memory for it. It may end, if it tells."""
    came = list[Any]()

    class Told(Protocol):
        def connectionLost(self, reason: Failure) -> None:
            came.append(reason)

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    connection = reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, ServerFactory.forProtocol(Told))
    ours.close()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(connection), "_send", refused(errno.ENOBUFS))
        connection.write(b"x")
        reactor.iterate(0)
    assert connection._rest is not None

    def look() -> None:
        with suppress(BlockingIOError):
            if data := theirs.recv(10):
                came.append(data)

    def close() -> None:
        connection.abortConnection()
        theirs.close()

    return Resting(came, bool, close, look)


def restingWaker(reactor: Any) -> Resting:
    came = list[Any]()
    reactor._guard.wakerRest._seconds = 0
    reactor._wakerFailed(Failure(OSError(errno.ENOMEM, "no memory")))
    return Resting(came, lambda: reactor.callFromThread(came.append, 1), bool)


RESTS: dict[str, Callable[[Any], Resting]] = {
    "port": restingPort,
    "datagrams": restingDatagrams,
    "stream": restingStream,
    "waker": restingWaker,
}
TURNS = 100


class InterruptedRests:
    @pytest.mark.parametrize("second", [None, 0, 1, 3], ids=lambda gap: f"second-{gap}")
    @pytest.mark.parametrize("kind", RESTS)
    def test_theEndOfARestComes(
        self,
        make: Make,
        kind: str,
        second: int | None,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Wherever the end of a rest is broken off, once or twice: a few turns later its owner reads again."""
        monkeypatch.setattr(stream, "SEND_REST", 0)
        caplog.set_level(logging.CRITICAL, "reactor")
        caplog.set_level(logging.CRITICAL, "asyncio")
        reactor, places = make(), 0
        while reached := self._interruptRest(reactor, kind, places, second):
            places += 1
            assert places < 1000, reached
        assert places > 5

    def _interruptRest(self, reactor: Any, kind: str, place: int, second: int | None) -> str:
        """Try one place. Return which it was, nothing if there is none of that number."""
        resting = RESTS[kind](reactor)
        with Interrupter({"_runDelayedCalls"}, place, second) as interrupter:
            for _ in range(3):
                with suppress(Interruption):
                    reactor.iterate(0)
        resting.ask()
        for _ in range(TURNS):
            reactor.iterate(0)
            resting.look()
            if resting.came:
                break
        assert resting.came, interrupter.where
        resting.close()
        turnUntil(reactor, lambda: not reactor.openTransports())
        return interrupter.where
