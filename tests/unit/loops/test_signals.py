"""Signals: they stop the reactor in order, hurry it, wake it, call in the loop, and are given back afterwards."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from reactor.defer import Deferred
from reactor.loops.epoll import EpollReactor
from tests.support.worlds import DEADLINE, LOOPS, OURS, ROOT, dial

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2)


@pytest.fixture
def reactor() -> Iterator[EpollReactor]:
    reactor = EpollReactor()
    yield reactor
    OURS.close(reactor)


@pytest.fixture(autouse=True)
def _givenBack() -> Iterator[None]:
    """After any test, every handler and the wake-up descriptor are as before."""
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before
    assert signal.set_wakeup_fd(-1) == -1


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopInOrder(reactor: EpollReactor, number: int) -> None:
    order: list[Any] = []
    done: Deferred[None] = Deferred()
    reactor.callWhenRunning(send, number)

    def wait() -> Deferred[None]:
        reactor.callLater(0.001, done.callback, None)
        return done.addCallback(lambda _: order.append("waited"))

    reactor.addSystemEventTrigger("before", "shutdown", wait)
    reactor.addSystemEventTrigger("after", "shutdown", order.append, "after")
    reactor.run()
    assert order == ["waited", "after"]


def test_aSecondSignalDoesNotWait(reactor: EpollReactor) -> None:
    """Every trigger still runs, and every connection is closed; only the Deferreds are not waited for."""
    order: list[Any] = []

    def never(phase: str) -> Deferred[None]:
        order.append(phase)
        reactor.callLater(0, send, signal.SIGTERM)
        return Deferred()

    for phase in ("before", "during", "after"):
        reactor.addSystemEventTrigger(phase, "shutdown", never, phase)
    reactor.callWhenRunning(send, signal.SIGTERM)
    reactor.run()
    assert order == ["before", "during", "after"]
    # The third signal found nothing to hurry, and nothing is left of all this.
    for call in reactor.getDelayedCalls():
        call.cancel()


def test_theFirstSignalAfterStop(reactor: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    """The program has called stop() by itself. One signal asks for what is under way already; a second one hurries."""
    caplog.set_level(logging.INFO, "reactor")
    told: list[str] = []

    def begin() -> Deferred[None]:
        reactor.callLater(0, send, signal.SIGTERM)
        late.append(reactor.callLater(0.05, look))
        return Deferred()

    def look() -> None:
        told.extend(record.getMessage() for record in caplog.records)
        send(signal.SIGTERM)

    late: list[Any] = []
    reactor.addSystemEventTrigger("before", "shutdown", begin)
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert told == ["received signal 15, and the reactor is stopping already"]
    assert caplog.records[-1].getMessage() == "received signal 15 again, stopping at once"
    caplog.clear()
    reactor.callWhenRunning(send, signal.SIGTERM)
    reactor.run()
    assert [record.getMessage() for record in caplog.records] == ["received signal 15, stopping"]


def test_theProgramsHandlerOfSigchldStays(reactor: EpollReactor) -> None:
    """And it wakes the loop. So does SIG_IGN stay, which is a decision, too."""
    found: list[Any] = []

    def stop(number: int, frame: Any) -> None:
        reactor.stop()

    for handler in (stop, signal.SIG_IGN):
        before = signal.signal(signal.SIGCHLD, handler)
        try:
            reactor.callWhenRunning(lambda: found.append(signal.getsignal(signal.SIGCHLD)))
            if handler is stop:
                reactor.callWhenRunning(threading.Timer(0.01, send, [signal.SIGCHLD]).start)
            else:
                reactor.callWhenRunning(reactor.stop)
            late = reactor.callLater(DEADLINE, reactor.crash)
            reactor.run()
            late.cancel()
        finally:
            signal.signal(signal.SIGCHLD, before)
    assert found == [stop, signal.SIG_IGN]


def test_aSignalAfterTheEndIsNotForUs(reactor: EpollReactor) -> None:
    reactor.addSystemEventTrigger("after", "shutdown", send, signal.SIGTERM)
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    reactor.callLater(0.002, reactor.stop)
    reactor.run(installSignalHandlers=False)


def test_theProgramsOwnSigintIsLeftAlone(reactor: EpollReactor) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        reactor.callWhenRunning(send, signal.SIGINT)
        reactor.callLater(0.002, reactor.stop)
        reactor.run()
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_withoutHandlersSigintLeavesInOrder(reactor: EpollReactor) -> None:
    """Python's own handler raises KeyboardInterrupt somewhere: the reactor stops in order all the same."""
    order: list[str] = []
    thread = threading.Thread(target=lambda: send(signal.SIGINT))
    reactor.callWhenRunning(thread.start)
    reactor.addSystemEventTrigger("before", "shutdown", order.append, "shutdown")
    with pytest.raises(KeyboardInterrupt):
        reactor.run(installSignalHandlers=False)
    thread.join()
    assert order == ["shutdown"]


def test_withoutHandlersASecondSigintDoesNotWait(reactor: EpollReactor) -> None:
    order: list[str] = []

    def never(phase: str) -> Deferred[None]:
        order.append(phase)
        reactor.callLater(0, send, signal.SIGINT)
        return Deferred()

    reactor.addSystemEventTrigger("before", "shutdown", never, "before")
    reactor.addSystemEventTrigger("after", "shutdown", order.append, "after")
    reactor.callWhenRunning(send, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        reactor.run(installSignalHandlers=False)
    assert order == ["before", "after"]


def test_sigchldWakesTheLoop(reactor: EpollReactor) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    reactor.addSignalHandler(signal.SIGCHLD, reactor.stop)
    reactor.run()
    reactor.removeSignalHandler(signal.SIGCHLD)
    assert child.wait(DEADLINE) == 0


def test_sigchldHasAHandler(reactor: EpollReactor) -> None:
    handlers: list[Any] = []
    reactor.callWhenRunning(lambda: handlers.append(signal.getsignal(signal.SIGCHLD)))
    reactor.callWhenRunning(send, signal.SIGCHLD)
    reactor.callLater(0.002, reactor.stop)
    reactor.run()
    assert callable(handlers[0])


def test_handlersOfTheProgram(reactor: EpollReactor) -> None:
    """Before running and while running; with arguments; called in the loop; the last one counts."""
    seen: list[Any] = []
    main = threading.get_ident()

    def note(*args: Any) -> None:
        seen.append((*args, threading.get_ident() == main, reactor.running))

    reactor.addSignalHandler(signal.SIGUSR1, note, "replaced")
    reactor.addSignalHandler(signal.SIGUSR1, note, 1)
    reactor.addSignalHandler(signal.SIGTERM, note, "instead of stopping")
    for argument in ("replaced", 2):
        reactor.callWhenRunning(reactor.addSignalHandler, signal.SIGUSR2, note, argument)
    reactor.callLater(0, lambda: [send(number) for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)])  # type: ignore[func-returns-value]
    runUntilSignals(reactor, lambda: len(seen) == 3)
    assert sorted(seen, key=str) == sorted(
        [(1, True, True), (2, True, True), ("instead of stopping", True, True)], key=str
    )
    # They stay for the next run.
    seen.clear()
    reactor.callWhenRunning(send, signal.SIGUSR1)
    runUntilSignals(reactor, lambda: seen)
    assert seen == [(1, True, True)]


def runUntilSignals(reactor: EpollReactor, condition: Callable[[], object]) -> None:
    def look() -> None:
        if condition():
            reactor.stop()
        else:
            reactor.callLater(0.001, look)

    reactor.callWhenRunning(look)
    late = reactor.callLater(DEADLINE, reactor.crash)
    reactor.run()
    late.cancel()


def test_removal(reactor: EpollReactor) -> None:
    seen: list[Any] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("before"))
    try:
        assert reactor.removeSignalHandler(signal.SIGUSR1) is False
        reactor.addSignalHandler(signal.SIGUSR1, seen.append, "never")
        assert reactor.removeSignalHandler(signal.SIGUSR1) is True
        reactor.addSignalHandler(signal.SIGUSR1, seen.append, "never")

        def remove() -> None:
            assert reactor.removeSignalHandler(signal.SIGUSR1) is True
            send(signal.SIGUSR1)
            reactor.callLater(0.001, reactor.stop)

        reactor.callWhenRunning(remove)
        reactor.run()
        assert seen == ["before"]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_removingAStopSignalGivesItBack(reactor: EpollReactor) -> None:
    """The reactor's own handler stands again where the program's stood."""
    reactor.addSignalHandler(signal.SIGTERM, lambda: None)
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert reactor.removeSignalHandler(signal.SIGTERM)
    reactor.callWhenRunning(send, signal.SIGTERM)
    reactor.run()


def test_aSignalWaitsWhileItsHandlerComesBack(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython complains of a signal that comes just before its handler goes, as a child did at the end of a run."""
    unchanged = signal.signal
    blocked: dict[int, bool] = {}

    def change(number: int, handler: Any) -> Any:
        blocked[number] = number in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        return unchanged(number, handler)

    reactor.callWhenRunning(monkeypatch.setattr, signal, "signal", change)
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert blocked == dict.fromkeys((signal.SIGINT, signal.SIGTERM, signal.SIGCHLD), True)
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_aHandlerThatRaises(reactor: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("in a handler")

    reactor.addSignalHandler(signal.SIGUSR1, fail)
    reactor.callWhenRunning(send, signal.SIGUSR1)
    runUntilSignals(reactor, lambda: caplog.records)
    assert "in a handler" in caplog.text


def test_loggingThatFailsKeepsNobodyFromStopping(reactor: EpollReactor) -> None:
    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise SystemExit("no space left")

    def never() -> Deferred[None]:
        reactor.callLater(0, send, signal.SIGTERM)
        return Deferred()

    handler = Full()
    logging.getLogger("reactor").addHandler(handler)
    logging.getLogger("reactor").setLevel(logging.INFO)
    reactor.addSystemEventTrigger("before", "shutdown", never)
    reactor.callWhenRunning(send, signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            reactor.run()
    finally:
        logging.getLogger("reactor").setLevel(logging.NOTSET)
        logging.getLogger("reactor").removeHandler(handler)
    assert reactor.getDelayedCalls() == []


def test_aHandlerThatPythonDidNotInstall(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """An embedding program's, for example: signal() tells None, and takes no None back. run() returns all the same."""
    install = signal.signal

    def installedElsewhere(number: int, handler: Any) -> Any:
        before = install(number, handler)
        return None if number == signal.SIGUSR1 else before

    monkeypatch.setattr(signal, "signal", installedElsewhere)
    reactor.addSignalHandler(signal.SIGUSR1, reactor.stop)
    reactor.callWhenRunning(send, signal.SIGUSR1)
    reactor.run()
    install(signal.SIGUSR1, signal.SIG_DFL)


def test_otherThreadsLeaveSignalsAlone(reactor: EpollReactor) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    found: list[Any] = []
    reactor.addSignalHandler(signal.SIGUSR1, found.append, "never")
    reactor.callWhenRunning(lambda: found.append([signal.getsignal(number) for number in SIGNALS]))
    reactor.callWhenRunning(reactor.stop)
    thread = threading.Thread(target=reactor.run)
    thread.start()
    thread.join(DEADLINE)
    assert found == [before]


def test_aSignalStopsTheMainThreadsReactorAlone(reactor: EpollReactor) -> None:
    other = EpollReactor()
    thread = threading.Thread(target=other.run)
    other.callWhenRunning(send, signal.SIGTERM)
    reactor.callWhenRunning(thread.start)
    reactor.run()
    assert other.running
    other.callFromThread(other.stop)
    thread.join(DEADLINE)
    assert not other.running
    OURS.close(other)


def test_aStorm(reactor: EpollReactor) -> None:
    """More signals than the wake-up pipe holds, from another thread, with work going on: nothing is lost."""
    seen: list[int] = []
    count = 3000
    reactor.addSignalHandler(signal.SIGUSR1, lambda: None)

    def storm() -> None:
        for number in range(count):
            send(signal.SIGUSR1)
            reactor.callFromThread(seen.append, number)

    thread = threading.Thread(target=storm)
    reactor.callWhenRunning(thread.start)
    runUntilSignals(reactor, lambda: len(seen) == count)
    thread.join()
    assert seen == list(range(count))


def test_anotherWakeupDescriptorComesBack(reactor: EpollReactor) -> None:
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    signal.set_wakeup_fd(ends[1])
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert signal.set_wakeup_fd(-1) == ends[1]
    for end in ends:
        os.close(end)


PROGRAM = """
import sys
from reactor.loops.epoll import EpollReactor
from reactor.protocol import Protocol, ServerFactory
reactor = EpollReactor()
class Server(Protocol):
    def connectionMade(self):
        print("connected", flush=True)
    def dataReceived(self, data):
        self.transport.write(data)
    def connectionLost(self, reason):
        print("lost", flush=True)
port = reactor.listenTCP(0, ServerFactory.forProtocol(Server), interface="127.0.0.1")
reactor.addSystemEventTrigger("before", "shutdown", print, "before", flush=True)
reactor.addSystemEventTrigger("after", "shutdown", print, "after", flush=True)
print(port.getHost().port, flush=True)
reactor.run()
print("done", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_aServerProcess(number: int) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdout is not None
        with dial(int(server.stdout.readline())) as peer:
            peer.sendall(b"hello")
            assert peer.recv(5) == b"hello"
            server.send_signal(number)
            assert server.stdout.read().split() == ["connected", "before", "lost", "after", "done"]
            assert peer.recv(1) == b""
        assert server.wait(DEADLINE) == 0


def test_aWakeupDescriptorThatIsClosedMeanwhile(reactor: EpollReactor) -> None:
    """There is nothing to give back to; the reactor can run again."""
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    signal.set_wakeup_fd(ends[1])
    for end in ends:
        reactor.callWhenRunning(os.close, end)
    for _ in range(2):
        reactor.callWhenRunning(reactor.stop)
        reactor.run()
    assert signal.set_wakeup_fd(-1) == -1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, 0, 1000])
@pytest.mark.parametrize("running", [False, True])
def test_aSignalThatCannotBeCaught(reactor: EpollReactor, number: int, running: bool) -> None:
    """It is refused at once, and leaves nothing for the next run."""
    refused: list[bool] = []

    def add() -> None:
        with pytest.raises((OSError, ValueError)):
            reactor.addSignalHandler(number, print)
        refused.append(reactor.removeSignalHandler(number))

    if running:
        reactor.callWhenRunning(add)
    else:
        add()
    reactor.callWhenRunning(reactor.stop)
    reactor.run()
    assert refused == [False]


def test_aSignalBehindACrash(reactor: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The run ends already, so the signal is no error of the loop."""

    def work() -> None:
        reactor.callFromThread(reactor.crash)
        send(signal.SIGINT)

    reactor.callLater(0, work)
    with caplog.at_level(logging.INFO):
        reactor.run()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
    assert f"received signal {int(signal.SIGINT)}, and the reactor is stopping already" in caplog.text


# In a process of its own: an exception behind a system call, or behind an acquire(), leaves a descriptor or a lock to
# nobody. The lock may be one of the standard library's, such as logging's.
STORM = """
import logging, os, signal, socket, sys, threading, time
from reactor import Protocol, ServerFactory
from tests.support.worlds import LOOPBACK, LOOPS

class Echo(Protocol):
    def dataReceived(self, data):
        self.transport.write(data)

logging.disable(logging.CRITICAL)
sys.unraisablehook = lambda _: None
(side,) = [side for side in LOOPS if side.name == sys.argv[1]]
reactor, raised, most = side.makeReactor(), [], 60
port = reactor.listenTCP(0, ServerFactory.forProtocol(Echo), interface=LOOPBACK)
name = (LOOPBACK, port.getHost().port)

def raising(*_):
    raised.append(1)
    raise ValueError("a mistake in a handler")

def isAnswered():
    try:
        with socket.create_connection(name, 0.2) as peer:
            peer.sendall(b"x")
            return peer.recv(10) == b"x"
    except OSError:
        return False  # the exception may hit what is done for this very connection, and that is what it costs

def talk():
    while len(raised) < most:
        isAnswered()
    signal.setitimer(signal.ITIMER_REAL, 0)
    reactor.callFromThread(signal.signal, signal.SIGALRM, signal.SIG_IGN)
    woken = threading.Event()
    reactor.callFromThread(reactor.callLater, 0.01, woken.set)
    print("woken" if woken.wait(20) else "asleep", flush=True)
    end = time.monotonic() + 20
    while not (answered := isAnswered()) and time.monotonic() < end:
        pass
    print("serving" if answered else "deaf", flush=True)
    os._exit(0)

signal.signal(signal.SIGALRM, raising)
reactor.callWhenRunning(threading.Thread(target=talk).start)
reactor.callLater(0, signal.setitimer, signal.ITIMER_REAL, 0.002, 0.002)
reactor.run(installSignalHandlers=False)
os._exit(1)
"""


@pytest.mark.parametrize("side", LOOPS, ids=lambda side: str(side.name))
def test_aStormOfHandlersThatRaise(side: Any) -> None:
    """The loop goes on, wherever it is interrupted: with its calls and its timers, and its port accepts."""
    result = subprocess.run(
        [sys.executable, "-c", STORM, side.name],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert result.stdout == "woken\nserving\n", result.stderr
