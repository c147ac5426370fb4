"""AsyncioReactor, on asyncio and uvloop: what is its own, beside the contracts of tests/contract/test_matrix.py."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvloop

from reactor import AsyncioReactor, ClientCreator, DatagramProtocol, Deferred, Protocol, ServerFactory, current
from reactor.error import ConnectionLost, ReactorAlreadyRunning
from reactor.loops import asyncioloop
from reactor.loops.guard import LOOP_REST
from tests.conftest import openFiles
from tests.support.worlds import ASYNCIO, DEADLINE, LOOPBACK, LOOPS, UVLOOP, World, dial, reset, runProgram, turnUntil

SIDES = [pytest.param(side, id=side.name) for side in (ASYNCIO, UVLOOP)]


@contextlib.contextmanager
def newLoop(side: Any) -> Iterator[asyncio.AbstractEventLoop]:
    eventloop = uvloop.new_event_loop() if side is UVLOOP else asyncio.new_event_loop()
    yield eventloop
    eventloop.close()


async def turns(count: int = 5) -> None:
    """Let the event loop do what it has in hand."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture(params=SIDES)
def eventloop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    with newLoop(request.param) as made:
        yield made


class TestShutdownThatWaitsForAsyncio:
    """A trigger's Deferred may wait for a callback of the event loop itself, when nothing of ours follows."""

    @pytest.mark.parametrize("phase", ["before", "during"])
    @pytest.mark.parametrize("how", ["run", "start"])
    def test_theLastFutureEndsIt(self, eventloop: asyncio.AbstractEventLoop, how: str, phase: str) -> None:
        reactor, told = AsyncioReactor(eventloop), list[str]()

        async def bye() -> None:
            await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0.001)))
            told.append("bye")

        async def main() -> None:
            await reactor.start()

        reactor.addSystemEventTrigger(phase, "shutdown", lambda: Deferred.fromCoroutine(bye()))
        reactor.callLater(0, reactor.stop)
        giveUp = eventloop.call_later(DEADLINE, reactor.crash)  # else it would sleep for ever
        if how == "run":
            reactor.run()
        else:
            eventloop.run_until_complete(main())
        told.append("in time" if eventloop.time() < giveUp.when() else "late")
        giveUp.cancel()
        assert told == ["bye", "in time"]
        reactor.close()

    def test_whatADescriptorFires(self, eventloop: asyncio.AbstractEventLoop) -> None:
        """A connection's end, for which shutdown waits, comes in a callback of the event loop, too."""
        reactor, ended = AsyncioReactor(eventloop), Deferred[None]()

        class Told(Protocol):
            def connectionLost(self, reason: Any = None) -> None:
                ended.callback(None)

        factory: Any = ServerFactory.forProtocol(Told)
        factory.noisy = False
        port = reactor.listenTCP(0, factory, interface=LOOPBACK)
        peer = dial(port)
        reactor.addSystemEventTrigger("before", "shutdown", lambda: ended)
        reactor.callLater(0.001, reactor.stop)
        eventloop.call_later(0.02, peer.close)
        giveUp = eventloop.call_later(DEADLINE, reactor.crash)
        reactor.run()
        assert eventloop.time() < giveUp.when()
        giveUp.cancel()
        reactor.close()

    @pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
    def test_aMainFunctionThatBeginsWithIt(self, kind: str) -> None:
        """Of react(), before the reactor runs: it finds the reactor's event loop as the running one."""
        found = runProgram(
            """
import asyncio, sys, reactor, uvloop
from reactor import AsyncioReactor, Deferred, react
reactor.install(AsyncioReactor(uvloop.new_event_loop() if sys.argv[1] == "uvloop" else None))

async def main(given):
    assert given is reactor
    print(await Deferred.fromFuture(asyncio.ensure_future(asyncio.sleep(0.001, "slept"))))

react(main, (), reactor)
""",
            kind,
        )
        assert (found.stdout, found.stderr, found.returncode) == ("slept\n", "", 0)


class Echo(Protocol):
    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data.upper())

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lost.append(type(reason.value))


def echoFactory() -> Any:
    factory: Any = ServerFactory.forProtocol(Echo)
    factory.lost = []
    return factory


class TestBesideAsyncio:
    """Asyncio's own objects run beside ours, whichever side runs the event loop."""

    def test_insideARunningLoop(self, eventloop: asyncio.AbstractEventLoop) -> None:
        order: list[Any] = []
        factory = echoFactory()

        async def main() -> None:
            async with AsyncioReactor() as reactor:
                assert reactor.eventloop is eventloop
                assert reactor.running
                assert current() is reactor
                port = reactor.listenTCP(0, factory, interface=LOOPBACK)
                reading, writing = await asyncio.open_connection(LOOPBACK, port.getHost().port)
                writing.write(b"hello")
                order.append(await reading.readexactly(5))
                reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
            assert await reading.read() == b""
            writing.close()
            await writing.wait_closed()
            assert not reactor.running
            order.append("after")

        eventloop.run_until_complete(main())
        assert order == [b"HELLO", "shutdown", "after"]
        assert factory.lost == [ConnectionLost]

    def test_startIsRunForCoroutines(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor = AsyncioReactor(eventloop)
        seen: list[Any] = []

        async def main() -> None:
            reactor.callWhenRunning(seen.append, "startup")
            ended = reactor.start()
            seen.append("started")
            with pytest.raises(ReactorAlreadyRunning):
                reactor.start()
            for refused in (reactor.run, reactor.iterate, reactor.close):
                with pytest.raises(ReactorAlreadyRunning):
                    refused()
            reactor.callLater(0.001, reactor.stop)
            await ended

        for _ in range(2):
            eventloop.run_until_complete(main())
            assert not reactor.running
        assert seen == ["startup", "started"] * 2
        reactor.close()

    def test_startIsForTheOwnLoop(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor = AsyncioReactor(eventloop)

        async def main() -> None:
            reactor.start()

        with pytest.raises(RuntimeError, match="own event loop"):
            reactor.start()
        with pytest.raises(RuntimeError, match="own event loop"):
            asyncio.run(main())
        reactor.close()

    def test_cancellingTheFutureStops(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor = AsyncioReactor(eventloop)
        stopped: list[Any] = []

        async def main() -> None:
            reactor.addSystemEventTrigger("after", "shutdown", stopped.append, True)
            task = asyncio.ensure_future(asyncio.wait_for(reactor.start(), 0.002))
            with pytest.raises(asyncio.TimeoutError):
                await task
            while not stopped:
                await asyncio.sleep(0)

        eventloop.run_until_complete(main())
        assert not reactor.running
        reactor.close()

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_exitsGoThroughTheFuture(self, eventloop: asyncio.AbstractEventLoop, kind: type[BaseException]) -> None:
        reactor, leaving, stopped = AsyncioReactor(eventloop), kind("now"), list[Any]()

        def leave() -> None:
            raise leaving

        async def main() -> None:
            reactor.addSystemEventTrigger("before", "shutdown", stopped.append, True)
            reactor.callLater(0, leave)
            await reactor.start()

        with pytest.raises(kind) as caught:
            eventloop.run_until_complete(main())
        assert caught.value is leaving
        assert stopped == [True]
        assert not reactor.running
        reactor.close()

    def test_anExitThatNobodyWaitsFor(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor = AsyncioReactor(eventloop)

        def leave() -> None:
            raise SystemExit

        async def main() -> None:
            ended = reactor.start()
            reactor.callLater(0, leave)
            ended.cancel()
            while reactor._looping:
                await asyncio.sleep(0)

        eventloop.run_until_complete(main())
        reactor.close()

    def test_crashDuringStartup(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor = AsyncioReactor(eventloop)

        async def main() -> None:
            reactor.callWhenRunning(reactor.crash)
            await reactor.start()

        eventloop.run_until_complete(main())
        assert not reactor.running
        reactor.close()

    @pytest.mark.parametrize("when", ["before", "inside"])
    def test_theLastTurnIsOne(self, eventloop: asyncio.AbstractEventLoop, when: str) -> None:
        """stop() in an event, and a deadline met at the same time: the code that runs the event loop is not stopped."""
        ours, theirs = socket.socketpair()

        def wait() -> None:
            end = eventloop.time() + 0.01
            while eventloop.time() < end:
                pass

        async def main() -> None:
            reactor = AsyncioReactor()

            class Ear:
                fileno = ours.fileno

                def doRead(self) -> None:
                    reactor.stop()
                    if when == "inside":
                        wait()

                def connectionLost(self, reason: object) -> None:
                    pass

            ended = reactor.start()
            reactor.addReader(Ear())
            reactor.callLater(0.005, lambda: None)
            await turns()
            theirs.send(b"x")
            if when == "before":
                wait()
            await ended
            await turns()
            reactor.close()

        with ours, theirs:
            eventloop.run_until_complete(main())

    def test_noTurnInsideATurn(self, eventloop: asyncio.AbstractEventLoop) -> None:
        """Neither in what the event loop calls, nor in what iterate() calls beside it."""
        reactor = AsyncioReactor(eventloop)
        refused: list[object] = []

        def turn() -> None:
            for again in (reactor.iterate, reactor.run):
                with pytest.raises(ReactorAlreadyRunning):
                    again()
                refused.append(again)

        reactor.callLater(0, turn)
        reactor.iterate()
        eventloop.call_soon(turn)
        reactor.iterate()
        assert len(refused) == 4
        reactor.close()

    def test_aStoppedReactorLeavesTheBlock(self, eventloop: asyncio.AbstractEventLoop) -> None:
        async def main() -> None:
            async with AsyncioReactor() as reactor:
                reactor.stop()
                await turns()

        eventloop.run_until_complete(main())

    def test_tasksRunBesideProtocols(self, eventloop: asyncio.AbstractEventLoop) -> None:
        """A delayed call makes a task, the task makes a delayed call sooner than all others, and so on."""
        reactor, order = AsyncioReactor(eventloop), list[str]()
        late = reactor.callLater(1000, order.append, "never")

        async def work() -> str:
            order.append("task")
            await asyncio.sleep(0.001)
            late.reset(0.001)
            done: Deferred[str] = Deferred()
            reactor.callLater(0.002, done.callback, "result")
            return await done.asFuture(eventloop)

        def begin() -> None:
            assert asyncio.get_running_loop() is eventloop
            task = asyncio.ensure_future(work())
            Deferred.fromFuture(task).addCallback(order.append).addBoth(lambda _: reactor.stop())

        reactor.callWhenRunning(begin)
        reactor.run(installSignalHandlers=False)
        assert order == ["task", "never", "result"]
        reactor.close()

    def test_whatATaskWritesIsSent(self, eventloop: asyncio.AbstractEventLoop) -> None:
        """Written outside every event of ours, while the reactor has nothing else to do."""
        reactor = AsyncioReactor(eventloop)
        received: list[bytes] = []

        class Ask(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)
                reactor.stop()

        async def work() -> None:
            port = reactor.listenTCP(0, echoFactory(), interface=LOOPBACK)
            asking = ClientCreator(reactor, Ask).connectTCP(LOOPBACK, port.getHost().port)
            client = await asking.asFuture(eventloop)
            await turns()
            client.transport.write(b"late")

        reactor.callWhenRunning(lambda: tasks.append(asyncio.ensure_future(work())))
        tasks: list[Any] = []
        reactor.run(installSignalHandlers=False)
        assert received == [b"LATE"]
        reactor.close()

    def test_iterateAndStartupAreInsideTheLoop(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor, seen = AsyncioReactor(eventloop), list[Any]()

        def look() -> None:
            seen.append(asyncio.get_running_loop() is eventloop)

        reactor.callLater(0, look)
        reactor.iterate(0)
        reactor.callWhenRunning(look)
        reactor.callLater(0, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert seen == [True, True]
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        reactor.close()

    def test_whoStopsTheLoopStopsTheReactor(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor, order = AsyncioReactor(eventloop), list[str]()
        reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
        reactor.callLater(0, eventloop.stop)
        reactor.run(installSignalHandlers=False)
        assert order == ["shutdown"]
        reactor.close()

    @pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
    def test_exitsFromACallbackOfAsyncio(self, eventloop: asyncio.AbstractEventLoop, kind: type[BaseException]) -> None:
        reactor, order = AsyncioReactor(eventloop), list[str]()

        def leave() -> None:
            raise kind

        reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
        eventloop.call_soon(leave)
        with pytest.raises(kind):
            reactor.run(installSignalHandlers=False)
        assert order == ["shutdown"]
        reactor.close()

    def test_aLoopThatWasClosed(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor, factory = AsyncioReactor(eventloop), echoFactory()
        port = reactor.listenTCP(0, factory, interface=LOOPBACK)
        with dial(port):
            turnUntil(reactor, lambda: len(reactor.getReaders()) == 2)
            eventloop.close()
            reactor.close()
        assert factory.lost == [ConnectionLost]

    def test_manyTimersNeedOneTimerOfTheLoop(self, eventloop: asyncio.AbstractEventLoop) -> None:
        reactor, made = AsyncioReactor(eventloop), list[float]()
        later = eventloop.call_later

        def callLater(delay: float, *call: Any) -> Any:
            made.append(delay)
            return later(delay, *call)

        class Spy:
            def __getattr__(self, name: str) -> Any:
                return callLater if name == "call_later" else getattr(eventloop, name)

        reactor.eventloop = Spy()  # type: ignore[assignment]
        for number in range(50):
            reactor.callLater(1000 + number, print)
        reactor.callWhenRunning(lambda: [reactor.callFromThread(print, end="") for _ in range(50)])  # type: ignore[func-returns-value]
        soonest = reactor.callLater(0.003, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert not soonest.active()
        assert len(made) <= 3
        reactor.eventloop = eventloop
        reactor.close()


@pytest.fixture(params=LOOPS, ids=lambda side: side.name)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made = World(request.param)
    yield made
    made.close()


def test_itSleepsUntilACallIsDue(world: World) -> None:
    """A loop that rounds to milliseconds would wake too early, again and again."""
    for number in range(20):
        called, turns, delay = list[int](), 0, 0.002 + 0.0003 * number
        world.reactor.callLater(delay, called.append, 1)
        world.reactor.callLater(delay, world.reactor.callLater, 0, int)  # the turn that calls does not sleep
        while not called:
            world.reactor.iterate(1)
            turns += 1
        assert turns <= 3


class TestErrorsOfDescriptors:
    """uvloop gives a descriptor up when it shows an error. Nobody must notice."""

    UNREAD = bytes(range(256)) * 400  # two reads, and less than the kernel takes at once

    def accepted(self, world: World, **hooks: Any) -> tuple[Any, Any]:
        servers = world.serverFactory(hooks)
        peer = dial(world.listen(servers))
        world.until(lambda: servers.built and servers.only.trace)
        return servers.only, peer

    def test_bytesAndAReset(self, world: World) -> None:
        server, peer = self.accepted(world)
        peer.sendall(self.UNREAD)
        reset(peer)
        for _ in range(20):
            world.reactor.iterate(0.05)
        assert server.trace == ["made", "data", ("lost", "ConnectionLost")]
        assert server.received == self.UNREAD

    def test_aResetThatMeetsAPause(self, world: World) -> None:
        """The reader leaves after the first read, and comes back to a socket that has failed already."""
        server, peer = self.accepted(world, data=lambda protocol, _: protocol.transport.pauseProducing())
        peer.sendall(self.UNREAD)
        reset(peer)
        world.until(lambda: server.received)
        world.reactor.iterate(0)
        assert server.trace == ["made", "data"]
        assert len(server.received) < len(self.UNREAD)
        while len(server.received) < len(self.UNREAD):
            server.transport.resumeProducing()
            world.reactor.iterate(0.05)
        server.transport.resumeProducing()
        world.until(lambda: server.lost)
        assert server.received == self.UNREAD
        assert server.trace[-1] == ("lost", "ConnectionLost")

    def test_aResetWithOutputWaiting(self, world: World) -> None:
        server, peer = self.accepted(world)
        server.transport.write(bytes(10_000_000))
        world.reactor.iterate(0)
        assert world.reactor.getWriters() == [server.transport]
        reset(peer)
        world.until(lambda: server.lost)
        assert world.reactor.getWriters() == []
        assert server.lost.check(ConnectionLost)

    def test_aDatagramPortAfterARefusal(self, world: World) -> None:
        told: list[Any] = []

        class Asking(DatagramProtocol):
            def connectionRefused(self) -> None:
                told.append("refused")

            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                told.append(datagram)

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((LOOPBACK, 0))
            name = peer.getsockname()
        asking = Asking()
        port = world.reactor.listenUDP(0, asking, interface=LOOPBACK)
        asking.transport.connect(*name)
        for times in (1, 2):
            asking.transport.write(b"anybody there?")
            world.until(lambda times=times: told == ["refused"] * times)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(name)
            peer.sendto(b"yes", (LOOPBACK, port.getHost().port))
            world.until(lambda: told == ["refused", "refused", b"yes"])


class TestClose:
    def test_tasksOfAnOwnLoopAreCancelled(self) -> None:
        reactor, told = AsyncioReactor(), list[str]()

        async def work() -> None:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                told.append("cancelled")
                raise

        task = reactor.eventloop.create_task(work())
        reactor.callLater(0.001, reactor.stop)
        reactor.run(installSignalHandlers=False)
        assert told == []
        reactor.close()
        assert task.cancelled()
        assert told == ["cancelled"]
        assert reactor.eventloop.is_closed()

    def test_aLoopWithoutDescriptors(self) -> None:
        """Windows' proactor is one. Nothing is left behind."""

        class Blind(asyncio.SelectorEventLoop):
            def add_reader(self, *_: Any) -> None:  # type: ignore[override]
                raise NotImplementedError

        blind = Blind()
        with pytest.raises(TypeError, match=r"SelectorEventLoop, not .*Blind.* reactor\.aio runs"):
            AsyncioReactor(blind)
        blind.close()


SIGNALS = """
import asyncio, os, signal, sys
from reactor import AsyncioReactor
import uvloop
def loop():
    return uvloop.new_event_loop() if sys.argv[1] == "uvloop" else asyncio.new_event_loop()
"""


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
class TestSignals:
    @pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
    def test_aSignalStops(self, kind: str, number: str) -> None:
        program = f"""
reactor = AsyncioReactor(loop())
reactor.callWhenRunning(lambda: os.kill(os.getpid(), signal.{number}))
reactor.addSystemEventTrigger("before", "shutdown", print, "shutdown")
before = signal.getsignal(signal.{number})
reactor.run()
assert signal.getsignal(signal.{number}) is before
print(signal.set_wakeup_fd(-1))
"""
        result = runProgram(SIGNALS + program, kind)
        assert (result.stdout, result.stderr, result.returncode) == ("shutdown\n-1\n", "", 0)

    def test_aSignalFromOutsideEndsTheSleep(self, kind: str) -> None:
        program = """
reactor = AsyncioReactor(loop())
reactor.addSignalHandler(signal.SIGUSR1, reactor.stop)
reactor.callWhenRunning(os.write, 1, b"ready\\n")
reactor.run()
print("stopped")
"""
        command = [sys.executable, "-c", SIGNALS + program, kind]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(signal.SIGUSR1)
            assert process.communicate(timeout=DEADLINE) == (b"stopped\n", None)  # type: ignore[comparison-overlap]

    def test_handlersOfTheLoopGoOn(self, kind: str) -> None:
        program = """
eventloop = loop()
reactor = AsyncioReactor(eventloop)
def usr1():
    print("the loop's")
    os.kill(os.getpid(), signal.SIGTERM)
eventloop.add_signal_handler(signal.SIGUSR1, usr1)
reactor.callLater(0.001, os.kill, os.getpid(), signal.SIGUSR1)
reactor.run()
eventloop.remove_signal_handler(signal.SIGUSR1)
print("stopped")
"""
        result = runProgram(SIGNALS + program, kind)
        assert (result.stdout, result.stderr, result.returncode) == ("the loop's\nstopped\n", "", 0)


def test_theDefaultWithoutEpoll() -> None:
    """As on a system without epoll, fcntl, or UNIX sockets: everything can be imported, and serves."""
    program = """
import _socket, select, sys
for name in [name for name in dir(select) if name.lower().startswith("epoll")]:
    delattr(select, name)
del _socket.AF_UNIX, _socket.socketpair
for name in ("socket", "selectors", "subprocess", "tempfile"):
    sys.modules.pop(name, None)  # whoever measures coverage has imported them
import asyncio, socket, subprocess, tempfile
for name in ("fcntl", "grp", "pwd", "pty", "resource", "syslog", "termios", "tty"):
    sys.modules[name] = None
assert not hasattr(socket, "AF_UNIX")

from reactor import *
import reactor

class Echo(LineReceiver):
    def lineReceived(self, line):
        self.sendLine(line)

class Ask(LineReceiver):
    def connectionMade(self):
        self.sendLine(b"hello")
    def lineReceived(self, line):
        print(line, type(reactor.current()).__name__, "EpollReactor" in globals(), hasattr(reactor, "EpollReactor"))
        reactor.stop()

port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
ClientCreator(reactor, Ask).connectTCP("127.0.0.1", port.getHost().port)
reactor.run()
reactor.current().close()
"""
    result = runProgram(program)
    assert (result.stdout, result.stderr) == ("b'hello' AsyncioReactor False False\n", "")


def test_whereThereIsNoPoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late turn asks select() there."""
    monkeypatch.delattr(select, "poll")
    reactor = AsyncioReactor(asyncio.SelectorEventLoop())
    told: list[str] = []
    ours, theirs = socket.socketpair()

    class Ear:
        def fileno(self) -> int:
            return ours.fileno()

        def doRead(self) -> None:
            told.append("read")
            reactor.removeReader(self)

        def doWrite(self) -> None:
            told.append("write")
            reactor.removeWriter(self)

        def connectionLost(self, reason: object) -> None:
            raise AssertionError

    with ours, theirs:
        reactor._catchUp()
        ear = Ear()
        reactor.addWriter(ear)
        reactor._catchUp()
        assert told == ["write"]
        theirs.send(b"x")
        reactor.addReader(ear)
        reactor.addWriter(ear)
        reactor._catchUp()
        assert told == ["write", "read", "write"]
    reactor.close()
    reactor.eventloop.close()


@pytest.mark.timing  # a machine that stands still ends the row of failures
def test_theEpollInsideUvloopFails(caplog: pytest.LogCaptureFixture) -> None:
    """The reactor rests between two tries, and tells of it once."""
    world, tried = World(UVLOOP), list[float]()
    own = world.reactor._ownEpoll
    real = own._epoll

    class Failing:
        def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
            tried.append(time.monotonic())
            if len(tried) == 10:
                own._epoll = real
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    server, client = world.pair()
    own._epoll = Failing()
    client.transport.write(b"x")
    world.until(lambda: server.received)
    world.close()
    assert len(tried) == 10
    assert tried[-1] - tried[0] >= 8 * LOOP_REST * 0.9
    assert len(caplog.records) <= 2


@pytest.mark.parametrize("make", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_aReactorThatCannotBeMade(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves nothing in the event loop, which is the program's."""
    eventloop = make()
    before = openFiles()

    def noEpoll(*_: object) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncioloop, "_losesFailed", lambda _: True)
    monkeypatch.setattr(asyncioloop, "OwnEpoll", noEpoll)
    with pytest.raises(OSError, match="files"):
        AsyncioReactor(eventloop)
    assert openFiles().keys() == before.keys()
    eventloop.close()


UVLOOP_WITHOUT_DESCRIPTORS = """
import os, resource, sys
import uvloop
from reactor import AsyncioReactor

reactor = AsyncioReactor(uvloop.new_event_loop())
reactor.callLater(0, reactor.stop)
used = len(os.listdir("/proc/self/fd")) - 1
spare = [os.dup(0) for _ in range(10)]
resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1,) * 2)
for fd in spare[:2]:
    os.close(fd)  # one for the reactor's own, while uvloop begins, and one for a pair of sockets, of which it takes two
try:
    reactor.run(installSignalHandlers=False)
except OSError as error:
    print(error.errno, flush=True)
os._exit(0)
"""


def test_uvloopThatCannotBegin() -> None:
    """It counts as running from then on, and nothing can be done about it: run() ends, and says why."""
    result = runProgram(UVLOOP_WITHOUT_DESCRIPTORS)
    assert result.stdout == f"{errno.EMFILE}\n", result.stderr


@pytest.mark.parametrize("side", [ASYNCIO, UVLOOP], ids=lambda side: str(side.name))
def test_leavingCannotBeNoted(side: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio has no memory to note that a turn is over: the next turn is not taken for one inside it."""
    world, order, failures = World(side), list[str](), [MemoryError()]
    real = asyncio._set_running_loop

    def note(eventloop: Any) -> None:
        if eventloop is None and failures:
            raise failures.pop()
        real(eventloop)

    def nested() -> None:
        with pytest.raises(ReactorAlreadyRunning):
            world.reactor.iterate(0)
        order.append("refused")

    monkeypatch.setattr(asyncio, "_set_running_loop", note)
    with pytest.raises(MemoryError):
        world.reactor.iterate(0)
    world.reactor.callLater(0, nested)
    world.until(lambda: order)
    assert asyncio._get_running_loop() is None
    world.close()


@pytest.mark.parametrize("side", [ASYNCIO, UVLOOP], ids=lambda side: side.name)
@pytest.mark.parametrize("error", [MemoryError(), SystemError("error return without exception set")])
def test_anEventLoopThatCannotForget(side: Any, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """removeReader does not fail. A reader no longer watched is not called, and the next with that number is."""
    reactor, read = side.makeReactor(), list[str]()

    class Reader:
        def __init__(self, name: str) -> None:
            self.name = name
            self.ours, self.theirs = socket.socketpair()
            self.theirs.send(b"x")

        def fileno(self) -> int:
            return self.ours.fileno()

        def doRead(self) -> None:
            read.append(self.name)

        def connectionLost(self, reason: Any) -> None:
            raise AssertionError(reason)

    def refuse(fd: int) -> None:
        raise error

    first = Reader("first")
    reactor.addReader(first)
    with monkeypatch.context() as patch:
        if side is ASYNCIO:
            patch.setattr(reactor.eventloop, "remove_reader", refuse)
        else:
            patch.setattr(reactor._ownEpoll, "remove_reader", refuse)
        reactor.removeReader(first)
        assert not reactor.isReading(first)
        assert reactor.getReaders() == []
        reactor.iterate(0.01)
        number = first.fileno()
        first.ours.close()
        second = Reader("second")
        if second.fileno() != number:
            os.dup2(second.fileno(), number)
            second.ours.close()
            second.ours = socket.socket(fileno=number)
        with pytest.raises(MemoryError):
            reactor.addReader(second)
    assert read == []
    reactor.addReader(second)
    turnUntil(reactor, lambda: read)
    assert set(read) == {"second"}
    reactor.removeReader(second)
    assert reactor._files == {}
    for each in (first.theirs, second.ours, second.theirs):
        each.close()
    side.close(reactor)


class Raised(Exception):
    pass


@pytest.mark.parametrize("error", [Raised("by a handler"), TimeoutError("by a handler")])
@pytest.mark.parametrize("side", [ASYNCIO, UVLOOP], ids=lambda side: side.name)
def test_aHandlerThatRaisesInForgetting(
    side: Any, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, as all that is raised between callbacks; and who is watched no longer is not called."""
    reactor, read = side.makeReactor(), list[str]()
    ours, theirs = socket.socketpair()

    class Reader:
        fileno = ours.fileno

        def doRead(self) -> None:
            read.append("read")

        def connectionLost(self, reason: Any) -> None:
            raise AssertionError(reason)

    def interrupted(fd: int) -> None:
        raise error

    reader = Reader()
    reactor.addReader(reader)
    theirs.send(b"x")
    watching = reactor.eventloop if side is ASYNCIO else reactor._ownEpoll
    with monkeypatch.context() as patch:
        patch.setattr(watching, "remove_reader", interrupted)
        reactor.removeReader(reader)
    assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]
    assert reactor.getReaders() == []
    for _ in range(3):
        reactor.iterate(0)
    assert read == []
    reactor.addReader(reader)
    turnUntil(reactor, lambda: read)
    reactor.removeReader(reader)
    ours.close()
    theirs.close()
    side.close(reactor)


@pytest.mark.parametrize("how", ["addReader", "addWriter"])
def test_aHandlerThatRaisesBehindTheRegistration(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio knows nothing of it, and the kernel does: the next attempt succeeds all the same."""
    reactor, told = ASYNCIO.makeReactor(), list[str]()
    ours, theirs = socket.socketpair()
    theirs.send(b"x")
    selector: Any = reactor.eventloop._selector
    epoll, raised = selector._selector, list[int]()

    class Interrupted:
        def __getattr__(self, name: str) -> Any:
            return getattr(epoll, name)

        def register(self, fd: int, events: int) -> None:
            epoll.register(fd, events)
            raised.append(fd)
            raise Raised

    class Owner:
        fileno = ours.fileno

        def doRead(self) -> None:
            told.append("addReader")

        def doWrite(self) -> None:
            told.append("addWriter")

        def connectionLost(self, reason: Any) -> None:
            raise AssertionError(reason)

    owner = Owner()
    with monkeypatch.context() as patch:
        patch.setattr(selector, "_selector", Interrupted())
        with pytest.raises(Raised):
            getattr(reactor, how)(owner)
    assert raised == [ours.fileno()]
    assert reactor.getReaders() == reactor.getWriters() == []
    with pytest.raises(FileExistsError):
        epoll.register(ours.fileno(), select.EPOLLIN)
    getattr(reactor, how)(owner)
    turnUntil(reactor, lambda: told)
    assert {*told} == {how}
    for each in (ours, theirs):
        reactor.removeReader(owner)
        reactor.removeWriter(owner)
        each.close()
    ASYNCIO.close(reactor)
