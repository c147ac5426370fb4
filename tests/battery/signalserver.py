"""A server under a storm of signals, as a program: `python -m tests.battery.signalserver KIND STORM`.

It prints its port and answers lines. At the end of standard input it stops, and prints as JSON what it saw. STORM says
what happens to it meanwhile: see the methods of Storms.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import threading
import time
from typing import Any

from reactor import LineReceiver, ServerFactory, task
from reactor.protocol import ClientFactory, ProcessProtocol
from tests.battery.forkserver import KINDS

LOOPBACK = "127.0.0.1"
SIGNALS = (signal.SIGUSR1, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE, signal.SIGWINCH)
SENT = 100_000
CHILDREN = 500
INTERRUPTED = 20  # times that everything is done once


class Echo(LineReceiver):
    delimiter = b"\n"
    factory: Any

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.lost.append(type(reason.value).__name__)


class Ends(ProcessProtocol):
    """One of many children."""

    def __init__(self, told: list[tuple[str, int]], number: int) -> None:
        self.told = told
        self.number = number

    def outReceived(self, data: bytes) -> None:
        self.told.append(("ready", self.number))

    def processExited(self, reason: Any) -> None:
        self.told.append(("exited", self.number))

    def processEnded(self, reason: Any) -> None:
        self.told.append((f"ended with {reason.value.exitCode}", self.number))


class Ask(LineReceiver):
    """A client that asks once."""

    delimiter = b"\n"

    def __init__(self, told: list[tuple[str, int]], number: int) -> None:
        self.told = told
        self.number = number

    def connectionMade(self) -> None:
        self.sendLine(b"question")

    def lineReceived(self, line: bytes) -> None:
        self.told.append((f"answered {line.decode()}", self.number))
        self.transport.loseConnection()


class Asking(ClientFactory):
    noisy = False

    def __init__(self, told: list[tuple[str, int]], number: int) -> None:
        self.told = told
        self.number = number

    def buildProtocol(self, addr: Any) -> Ask:
        return Ask(self.told, self.number)


class Echoes(ServerFactory[Echo]):
    protocol = Echo

    def __init__(self) -> None:
        self.lost: list[str] = []


class Storms:
    def __init__(self, kind: str, storm: str) -> None:
        self.reactor = KINDS[kind]()
        self.storm = getattr(self, storm)
        self.factory = Echoes()
        self.handled = dict.fromkeys(SIGNALS, 0)
        self.ticks = 0
        self.seen: dict[str, Any] = {}

    # The things that can happen.

    def everySignal(self) -> None:
        """Each with a handler of the program's, SENT in all, as fast as another thread can send them."""
        for number in SIGNALS:
            self.reactor.addSignalHandler(number, self.count, number)
        self.send(SIGNALS)

    def handlersOfPython(self) -> None:
        """Handlers that are not the reactor's, set before it runs: they stay, and are called."""
        self.send(SIGNALS)

    def fullWakeUp(self) -> None:
        """The same, while the descriptor that tells the loop of signals takes no byte more, over and over."""
        self.reactor.addSignalHandler(signal.SIGUSR1, self.count, signal.SIGUSR1)
        filling = task.LoopingCall(self.fill)
        filling.clock = self.reactor
        filling.start(0.01)
        self.send((signal.SIGUSR1,))

    def children(self) -> None:
        """CHILDREN children end at the same moment, and the end of each is told once."""
        wait, self.go = os.pipe()
        self.told: list[tuple[str, int]] = []
        for number in range(CHILDREN):
            command = ["/bin/sh", "-c", "echo; read line; exit 7"]
            protocol = Ends(self.told, number)
            self.reactor.spawnProcess(protocol, command[0], command, childFDs={0: wait, 1: "r"})
        os.close(wait)
        self.releaseChildren()

    def interruptions(self) -> None:
        """The server works for a while: children, threads, names. It begins when somebody traces this process."""
        self.told = []
        self.left = INTERRUPTED
        self.awaitTracer()

    def awaitTracer(self) -> None:
        with open("/proc/self/status", encoding="ascii") as status:
            traced = "TracerPid:\t0\n" not in status.read()
        self.reactor.callLater(0.01, self.goOn if traced else self.awaitTracer)

    def goOn(self) -> None:
        if not self.left:
            self.awaitTold(4 * INTERRUPTED)
            return
        self.left -= 1
        command = ["/bin/sh", "-c", "echo; read line; exit 7"]
        process = self.reactor.spawnProcess(Ends(self.told, self.left), command[0], command)
        process.write(b"line\n")
        self.reactor.callInThread(self.reactor.callFromThread, self.count, signal.SIGUSR1)
        self.reactor.connectTCP(LOOPBACK, self.port.getHost().port, Asking(self.told, self.left))
        self.reactor.resolve("localhost").addCallback(lambda _: self.reactor.callLater(0.05, self.goOn))

    def awaitTold(self, wanted: int, patience: float = 30.0) -> None:
        if len(self.told) < wanted and patience > 0:
            self.reactor.callLater(0.01, self.awaitTold, wanted, patience - 0.01)
        else:
            self.reactor.callLater(0.1, self.finished)  # time for what should not come

    # How.

    def count(self, number: int) -> None:
        self.handled[signal.Signals(number)] += 1

    def countOutside(self, number: int, frame: Any) -> None:
        self.handled[signal.Signals(number)] += 1

    def send(self, numbers: tuple[int, ...]) -> None:
        threading.Thread(target=self.sendAll, args=(numbers, os.getpid())).start()

    def sendAll(self, numbers: tuple[int, ...], pid: int) -> None:
        """In a process of its own, which the kernel runs beside this one."""
        sender = os.fork()
        if not sender:
            try:
                for number in range(SENT):
                    os.kill(pid, numbers[number % len(numbers)])
                    if number % 100 == 0:
                        time.sleep(0.001)  # or the kernel would keep one of each kind for thousands
            finally:
                os._exit(0)
        os.waitpid(sender, 0)
        self.reactor.callFromThread(self.finished)

    def fill(self) -> None:
        try:
            while True:
                os.write(self.reactor._waker.writeFd, b"\0" * 4096)
        except BlockingIOError:
            pass

    def releaseChildren(self) -> None:
        if sum(what == "ready" for what, _ in self.told) < CHILDREN:
            self.reactor.callLater(0.01, self.releaseChildren)
            return
        os.close(self.go)
        self.awaitTold(3 * CHILDREN)

    def finished(self) -> None:
        self.seen["lost"] = [reason for reason in self.factory.lost if reason != "ConnectionDone"]
        print("finished", flush=True)

    def tick(self) -> None:
        self.ticks += 1

    def awaitEnd(self) -> None:
        """In a thread."""
        while not select.select([0], [], [])[0]:
            pass
        self.reactor.callFromThread(self.reactor.stop)

    def zombies(self) -> list[str]:
        """The children of this process that nobody has waited for."""
        while True:
            found = []
            try:
                for task_ in os.listdir("/proc/self/task"):
                    with open(f"/proc/self/task/{task_}/children", encoding="ascii") as children:
                        found += children.read().split()
            except (FileNotFoundError, ProcessLookupError):  # a thread has ended, and another has its children
                continue
            return found

    def run(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4 * CHILDREN)), hard))
        outside = {number: signal.signal(number, self.countOutside) for number in SIGNALS}
        reactor = self.reactor
        port = self.port = reactor.listenTCP(0, self.factory, interface=LOOPBACK)
        ticking = task.LoopingCall(self.tick)
        ticking.clock = reactor

        def begin() -> None:
            ticking.start(0.01)
            print(port.getHost().port, flush=True)
            threading.Thread(target=self.awaitEnd).start()
            self.storm()

        began = time.monotonic()
        reactor.callWhenRunning(begin)
        reactor.run()
        self.seen["handlersKept"] = all(signal.getsignal(number) == self.countOutside for number in SIGNALS)
        for number, handler in outside.items():
            signal.signal(number, handler)
        self.seen |= {
            "handled": {signal.Signals(number).name: count for number, count in self.handled.items()},
            "ticks": self.ticks,
            "seconds": time.monotonic() - began,
            "told": getattr(self, "told", []),
            "zombies": self.zombies(),
        }
        reactor.close()
        print(json.dumps(self.seen), flush=True)


if __name__ == "__main__":
    Storms(sys.argv[1], sys.argv[2]).run()
