"""A server that forks under load, as a program: `python -m tests.battery.forkserver KIND FORKS DIRECTORY`.

It prints its ports, and answers lines while it forks, printing a line for each child that has ended. Each child does
something else that a child may do, and must end in the way that is expected of it. At the end of standard input it
stops, and prints what it saw.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any

import uvloop

from reactor import LineReceiver, ServerFactory, defer, task
from reactor.error import ProcessDone, ReactorNotRunning
from reactor.failure import Failure
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.epoll import EpollReactor
from reactor.protocol import ClientFactory, DatagramProtocol, ProcessProtocol
from reactor.threads import deferToThreadPool

KINDS: dict[str, Callable[[], Any]] = {
    "epoll": EpollReactor,
    "asyncio": lambda: AsyncioReactor(asyncio.SelectorEventLoop()),
    "uvloop": lambda: AsyncioReactor(uvloop.new_event_loop()),
}
LOOPBACK = "127.0.0.1"
EXITED, KILLED, RETURNED = 3, 128 + signal.SIGTERM, 7  # how children end that are not to end with 0
CHILD_DEADLINE = 20


class Echo(LineReceiver):
    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.factory.open.append(self)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.open.remove(self)
        self.factory.lost.append(repr(reason.value))

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Ask(LineReceiver):
    """A client in a child: asks once."""

    delimiter = b"\n"

    def connectionMade(self) -> None:
        self.sendLine(b"question")

    def lineReceived(self, line: bytes) -> None:
        self.factory.answer.callback(line)
        self.transport.loseConnection()


class Echoes(ServerFactory[Echo]):
    protocol = Echo

    def __init__(self) -> None:
        self.open: list[Echo] = []
        self.lost: list[str] = []


class Asking(ClientFactory[Ask]):
    protocol = Ask

    def __init__(self) -> None:
        self.answer: defer.Deferred[bytes] = defer.Deferred()


class EchoDatagrams(DatagramProtocol):
    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        self.transport.write(datagram, addr)


class Ends(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: defer.Deferred[Any] = defer.Deferred()

    def processEnded(self, reason: Any) -> None:
        self.ended.callback(reason.value)


class Cat(ProcessProtocol):
    """A child with pipes, which lives as long as the server: what it says is what it is told."""

    def __init__(self) -> None:
        self.heard = b""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.heard += data


def fullDay(reactor: Any) -> bool:
    """Whether a reactor does all that a reactor does: TCP, threads, names, signals, a process, delayed calls."""
    seen: dict[str, Any] = {}
    factory = Echoes()
    asking = Asking()
    process = Ends()
    usr1: defer.Deferred[None] = defer.Deferred()

    @defer.inlineCallbacks
    def day() -> Generator[Any, Any, None]:
        port = reactor.listenTCP(0, factory, interface=LOOPBACK)
        reactor.connectTCP(LOOPBACK, port.getHost().port, asking)
        seen["line"] = yield asking.answer
        seen["thread"] = yield deferToThreadPool(reactor, reactor.getThreadPool(), threading.active_count)
        seen["name"] = yield reactor.resolve("localhost")
        reactor.spawnProcess(process, "/bin/true")
        seen["process"] = yield process.ended
        os.kill(os.getpid(), signal.SIGUSR1)
        yield usr1
        yield task.deferLater(reactor, 0.01)
        seen["done"] = True
        reactor.stop()

    def failed(failure: Failure) -> None:
        failure.printTraceback()
        reactor.stop()

    reactor.addSignalHandler(signal.SIGUSR1, usr1.callback, None)
    reactor.callWhenRunning(lambda: day().addErrback(failed))
    late = reactor.callLater(CHILD_DEADLINE, reactor.crash)
    reactor.run()
    return bool(
        late.active()
        and seen.get("done")
        and seen["line"] == b"question"
        and seen["name"] == LOOPBACK
        and isinstance(seen["process"], ProcessDone)
    )


class Server:
    """The server, and what its children do: a method that returns is to exit with 0."""

    def __init__(self, kind: str, forks: int) -> None:
        self.make = KINDS[kind]
        self.reactor = self.make()
        self.left = forks
        self.pid = os.getpid()
        self.problems: list[str] = []
        self.ticks = self.wakes = self.usr1 = 0
        self.factory = Echoes()
        self.cat = Cat()
        self.scenarios = itertools.cycle(
            [
                (self.exitsAtOnce, 0),
                (self.exitsInOrder, EXITED),
                (self.touches, 0),
                (self.touchesAndTurns, 0),
                (self.closesDescriptors, 0),
                (self.runsInherited, 0),
                (self.runsNew, 0),
                (self.returns, RETURNED),
                (self.livesOn, KILLED),
            ]
        )

    # The things that a child does.

    def exitsAtOnce(self) -> None:
        pass

    def exitsInOrder(self) -> None:
        sys.exit(EXITED)

    def returns(self) -> None:
        """run() returns in the child."""

    def livesOn(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # whose handler was the parent's
        time.sleep(CHILD_DEADLINE)

    def touches(self) -> None:
        reactor = self.reactor
        assert not reactor.running
        assert not reactor.getReaders() + reactor.getWriters() + reactor.getDelayedCalls()
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass
        else:
            raise AssertionError("the reactor runs in a child")
        for number, echo in enumerate(list(self.factory.open)):
            reactor.removeReader(echo.transport)
            reactor.removeWriter(echo.transport)
            with suppress(BufferError):  # the fork was made by another thread, while this was being sent
                echo.transport.write(b"from the child\n")
                (echo.transport.loseConnection, echo.transport.abortConnection)[number % 2]()
        for port in (self.port, self.udp, self.unix):
            port.stopListening()
        try:
            self.udp.write(b"from the child\n", (LOOPBACK, self.udp.getHost().port))
        except OSError:
            pass
        else:
            raise AssertionError("a datagram was sent")
        self.process.write(b"from the child\n")
        self.process.loseConnection()
        reactor.callLater(0, self.problems.append, "?")
        reactor.callFromThread(self.problems.append, "?")
        reactor.callWhenRunning(lambda: None)

    def touchesAndTurns(self) -> None:
        self.touches()
        for _ in range(5):
            self.reactor.iterate(0.001)
        self.reactor.disconnectAll()
        self.reactor.close()

    def closesDescriptors(self) -> None:
        os.closerange(3, 4096)

    def runsInherited(self) -> None:
        assert fullDay(self.reactor), "the inherited reactor does not work in the child"

    def runsNew(self) -> None:
        reactor = self.make()
        assert fullDay(reactor), "a new reactor does not work in the child"
        reactor.close()

    # The parent.

    def fork(self) -> None:
        """Fork, in the loop; the child is waited for in a thread."""
        if not self.left:
            print("forked", flush=True)
            return
        self.left -= 1
        scenario, expected = next(self.scenarios)
        pid = os.fork()
        if pid:
            self.reactor.callInThread(self.waitFor, pid, scenario.__name__, expected)
            return
        signal.alarm(CHILD_DEADLINE)
        try:
            scenario()
        except Exception:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        if scenario != self.returns:
            os._exit(0)

    def waitFor(self, pid: int, name: str, expected: int) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if (128 - code if code < 0 else code) != expected:
            self.problems.append(f"the child that {name} ended with {code}")
        self.reactor.callFromThread(self.woken)

    def woken(self) -> None:
        self.wakes += 1
        print(self.wakes, flush=True)
        os.kill(self.pid, signal.SIGUSR1)
        self.reactor.callLater(0.001, self.fork)

    def otherForks(self) -> None:
        """In a thread: forks without our doing."""
        for _ in range(5):
            pid = os.fork()
            if not pid:
                self.reactor.removeAll()
                os._exit(0)
            os.waitpid(pid, 0)
            process = multiprocessing.get_context("fork").Process(target=self.touches)
            process.start()
            process.join()
            if process.exitcode:
                self.problems.append(f"multiprocessing's child ended with {process.exitcode}")
            process.close()
            sock = self.factory.open[0].transport.getHandle()
            for prepare in (None, os.getpid):
                done = subprocess.run(
                    [sys.executable, "-c", "import os; os.fstat(0); print(os.readlink('/proc/self/fd/0'))"],
                    stdin=sock,
                    stdout=subprocess.PIPE,
                    preexec_fn=prepare,
                    check=True,
                )
                if not done.stdout.startswith(b"socket:"):
                    self.problems.append("subprocess could not pass a descriptor of ours on")
        self.reactor.callFromThread(self.fork)

    def tick(self) -> None:
        self.ticks += 1

    def inputEnded(self) -> None:
        self.reactor.callFromThread(self.reactor.stop)

    def counted(self) -> None:
        self.usr1 += 1

    def run(self, directory: str) -> None:
        reactor = self.reactor
        self.port = reactor.listenTCP(0, self.factory, interface=LOOPBACK)
        self.udp = reactor.listenUDP(0, EchoDatagrams(), interface=LOOPBACK)
        self.unix = reactor.listenUNIX(f"{directory}/echo", self.factory)
        self.process = reactor.spawnProcess(self.cat, "/bin/cat")
        reactor.addSignalHandler(signal.SIGUSR1, self.counted)
        looping = task.LoopingCall(self.tick)
        looping.clock = reactor

        def begin() -> None:
            looping.start(0.01)
            print(self.port.getHost().port, self.udp.getHost().port, flush=True)
            reactor.callInThread(lambda: (os.read(0, 1), self.inputEnded()))  # type: ignore[func-returns-value]
            # Not a thread of the pool: concurrent.futures has each of those joined when a process ends, by itself too.
            threading.Thread(target=self.otherForks).start()

        reactor.callWhenRunning(begin)
        reactor.addSystemEventTrigger("before", "shutdown", self.atEnd)
        reactor.run()
        if os.getpid() != self.pid:
            os._exit(RETURNED)
        reactor.close()

    @defer.inlineCallbacks
    def atEnd(self) -> Generator[Any, Any, None]:
        """The parent's own things must be as they were."""
        self.process.write(b"to the cat")
        for _ in range(500):
            if self.cat.heard == b"to the cat":
                break
            yield task.deferLater(self.reactor, 0.01)
        left = self.left
        print(
            json.dumps(
                {
                    "problems": self.problems,
                    "notForked": left,
                    "lost": self.factory.lost,
                    "open": len(self.factory.open),
                    "cat": self.cat.heard.decode(),
                    "wakes": self.wakes,
                    "usr1": self.usr1,
                    "ticks": self.ticks,
                    "unix": os.path.exists(os.fsdecode(self.unix.getHost().name)),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    Server(sys.argv[1], int(sys.argv[2])).run(sys.argv[3])
