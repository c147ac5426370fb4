"""A storm of callFromThread: nothing lost, each thread's calls in their order, a quick wake-up, and nobody hangs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import LineReceiver, ServerFactory
from reactor.defer import Deferred
from reactor.threads import deferToThreadPool
from tests.battery.checkedload import CheckedLoad
from tests.battery.sizes import size
from tests.support.worlds import DEADLINE, LOOPBACK, LOOPS, ROOT

THREADS = 8
CALLS = size(125_000, 125_000)  # of each thread
WAKES = size(1000, 5000)
LATEST = 0.005  # seconds, of 99 in 100 wake-ups
ROUNDS = 5


@pytest.fixture(params=LOOPS, ids=lambda side: "epoll" if side.name == "ours" else side.name)
def reactor(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = request.param.makeReactor()
    yield made
    request.param.close(made)


class Echo(LineReceiver):
    delimiter = b"\n"

    def lineReceived(self, line: bytes) -> None:
        self.sendLine(line)


class Storm:
    """THREADS threads, each of which has CALLS calls made, from when the reactor runs."""

    def __init__(self, reactor: Any, calls: int = CALLS) -> None:
        self.reactor = reactor
        self.calls = calls
        self.seen: list[list[int]] = [[] for _ in range(THREADS)]
        self.wrongThread = 0
        self.threads = [threading.Thread(target=self.call, args=(numbers,)) for numbers in self.seen]

    def call(self, numbers: list[int]) -> None:
        """In a thread."""
        callFromThread, append = self.reactor.callFromThread, numbers.append
        for number in range(self.calls):
            callFromThread(append, number)
        callFromThread(self.look)

    def look(self) -> None:
        self.wrongThread += threading.current_thread() is not threading.main_thread()

    def start(self) -> None:
        for thread in self.threads:
            thread.start()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive(), "callFromThread hangs"

    def isOver(self) -> bool:
        return sum(map(len, self.seen)) >= THREADS * self.calls

    def stopWhenOver(self) -> None:
        if self.isOver():
            self.reactor.stop()
        else:
            self.reactor.callLater(0.01, self.stopWhenOver)

    def check(self) -> None:
        lost = THREADS * self.calls - sum(map(len, self.seen))
        assert lost == 0, f"{lost} calls are lost"
        assert all(numbers == list(range(self.calls)) for numbers in self.seen), "calls of one thread in another order"
        assert self.wrongThread == 0


def test_idle(reactor: Any) -> None:
    storm = Storm(reactor)
    reactor.callWhenRunning(storm.start)
    reactor.callWhenRunning(storm.stopWhenOver)
    reactor.run(installSignalHandlers=False)
    storm.join()
    storm.check()


def test_busy(reactor: Any) -> None:
    """With connections, whose every line is answered, and delayed calls, all of which must share the interpreter."""
    port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
    storm, ticks = Storm(reactor), list[float]()

    def tick() -> None:
        ticks.append(reactor.monotonic())
        reactor.callLater(0.001, tick)

    reactor.callWhenRunning(tick)
    reactor.callWhenRunning(storm.start)
    reactor.callWhenRunning(storm.stopWhenOver)
    load = CheckedLoad(port.getHost().port)
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: deferToThreadPool(reactor, reactor.getThreadPool(), load.end)
    )
    load.start()
    reactor.run(installSignalHandlers=False)
    storm.join()
    storm.check()
    assert load.rounds > 0, "no connection was served meanwhile"
    assert len(ticks) > 1, "no delayed call was made meanwhile"


def test_stopping(reactor: Any) -> None:
    """stop() comes in the midst: calls in time are run, later ones by the next run, in their order."""
    storm = Storm(reactor)
    waited: Deferred[None] = Deferred()

    def stop() -> None:
        reactor.stop()
        reactor.callLater(0.05, waited.callback, None)

    reactor.addSystemEventTrigger("before", "shutdown", lambda: waited)
    reactor.callWhenRunning(storm.start)
    storm.threads.append(threading.Thread(target=reactor.callFromThread, args=(stop,)))
    reactor.run(installSignalHandlers=False)
    soFar = sum(map(len, storm.seen))
    storm.join()
    assert soFar == sum(map(len, storm.seen)), "a call was made although the reactor does not run"
    reactor.callWhenRunning(storm.stopWhenOver)
    reactor.run(installSignalHandlers=False)
    storm.check()


def test_closed(reactor: Any) -> None:
    """Each call is refused: a thread that goes on is told, each time."""
    made: list[int] = []
    reactor.callFromThread(made.append, 1)
    reactor.close()
    for number in range(3):
        with pytest.raises(OSError, match="Bad file descriptor"):
            reactor.callFromThread(made.append, number)
    assert made == []


def test_wakeUpFull(reactor: Any) -> None:
    """The socket that wakes the loop takes no byte more, as after too many signals: nothing is lost, nobody waits."""
    storm = Storm(reactor, CALLS // 10)

    def fill() -> None:
        try:
            while True:
                os.write(reactor._waker.writeFd, b"\0" * 4096)
        except BlockingIOError:
            pass
        storm.start()
        storm.join()

    reactor.callWhenRunning(fill)
    reactor.callWhenRunning(storm.stopWhenOver)
    reactor.run(installSignalHandlers=False)
    storm.check()


def percentile(numbers: list[float], share: float) -> float:
    return sorted(numbers)[math.ceil(share * len(numbers)) - 1]


def measure(reactor: Any) -> float:
    """The latency of 99 in 100 calls of a thread that has nothing else to do, in seconds."""
    late: list[float] = []

    def made(called: float) -> None:
        late.append(time.perf_counter() - called)

    def call() -> None:
        for _ in range(WAKES):
            time.sleep(0.0005)
            reactor.callFromThread(made, time.perf_counter())
        reactor.callFromThread(reactor.stop)

    thread = threading.Thread(target=call)
    reactor.callWhenRunning(thread.start)
    reactor.run(installSignalHandlers=False)
    thread.join()
    assert len(late) == WAKES
    return percentile(late, 0.99)


def test_latencyIdle(reactor: Any) -> None:
    found = 1.0
    for _ in range(ROUNDS):
        if (found := min(found, measure(reactor))) <= LATEST:
            break
    assert found <= LATEST, f"the wake-up takes {found * 1000:.1f} ms, in 1 of 100 cases, at best"


def test_latencyBusy(reactor: Any) -> None:
    """With connections, served for another process all the time."""
    text = (
        "import sys, time; from tests.battery.checkedload import CheckedLoad\n"
        "with CheckedLoad(int(sys.argv[1])) as load: print('ready', flush=True); sys.stdin.read()\n"
        "print(load.rounds)"
    )
    found = 1.0
    for _ in range(ROUNDS):
        port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
        with subprocess.Popen(
            [sys.executable, "-c", text, str(port.getHost().port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
        ) as client:
            assert client.stdout is not None
            client.stdout.readline()
            found = min(found, measure(reactor))
            client.kill()
        if found <= LATEST:
            break
    assert found <= LATEST, f"the wake-up takes {found * 1000:.1f} ms, in 1 of 100 cases, at best"
