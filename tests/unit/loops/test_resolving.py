"""Names to addresses, off the loop: answers, failures, hung servers, other resolvers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor import threads as reactor_threads
from reactor.defer import CancelledError, Deferred, succeed
from reactor.error import DNSLookupError
from reactor.loops.epoll import EpollReactor
from reactor.loops.resolving import RESOLVER_THREADS
from tests.support.worlds import DEADLINE, LOOPS, OURS, nativeThreads, runProgram, runUntil, turnUntil

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 80))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::7", 80, 0, 0))


@pytest.fixture
def reactor() -> Iterator[EpollReactor]:
    reactor = EpollReactor()
    yield reactor
    OURS.close(reactor)


def resultOf(reactor: EpollReactor, deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    turnUntil(reactor, lambda: results)
    return results[0]


def answers(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[Any]:
    """Have getaddrinfo give `answer`, or raise it; return the list of what it is asked."""
    asked: list[Any] = []

    def getaddrinfo(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, threading.get_ident() == threading.main_thread().ident))
        if isinstance(answer, BaseException):
            raise answer
        return answer

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize(("found", "expected"), [([V6, V4], "192.0.2.7"), ([V6], "2001:db8::7"), ([V4], "192.0.2.7")])
def test_oneAddress(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, found: Any, expected: str) -> None:
    asked = answers(monkeypatch, found)
    assert resultOf(reactor, reactor.resolve("example.com")) == expected
    assert asked == [(("example.com", 0), False)]  # not in the loop's thread


def test_everyAddress(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [V6, V4])
    assert resultOf(reactor, reactor.resolveAll("example.com", 80)) == [(V6[0], V6[4]), (V4[0], V4[4])]
    assert reactor.getDelayedCalls() == []


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "fe80::1%lo", ""])
def test_literalsAreTheirOwnAnswer(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked = answers(monkeypatch, [V4])
    results: list[str] = []
    reactor.resolve(name).addCallback(results.append)
    assert results == [name or "0.0.0.0"]
    assert asked == []


@pytest.mark.parametrize(
    "error", [socket.gaierror(socket.EAI_NONAME, "unknown"), OSError("broken"), UnicodeError("no idna"), MemoryError()]
)
def test_failures(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    answers(monkeypatch, error)
    result = resultOf(reactor, reactor.resolve("no.such.name.invalid"))
    assert result.check(DNSLookupError)
    assert "no.such.name.invalid" in str(result.value)


@pytest.mark.parametrize("name", ["x" * 254, "localhost\0b", "a..b", "x" * 64 + ".example", "127.1", "\u2460.2.3.4"])
def test_whatIsNoName(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The system is not even asked."""
    asked = answers(monkeypatch, [V4])
    assert resultOf(reactor, reactor.resolve(name)).check(DNSLookupError)
    assert resultOf(reactor, reactor.resolveAll(name, 0)).check(DNSLookupError)
    assert asked == []


def test_whatTheSystemIsAsked(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, [V4])
    for name in ("b\xfccher.example", "127.0.0.1", "fe80::1%lo"):
        resultOf(reactor, reactor.resolveAll(name, 7))
    assert [question for question, _ in asked] == [("xn--bcher-kva.example", 7), ("127.0.0.1", 7), ("fe80::1%lo", 7)]


def test_noAddress(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [])
    assert resultOf(reactor, reactor.resolve("empty.example")).check(DNSLookupError)


class HungServer:
    """getaddrinfo that answers when it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gate = threading.Event()
        self.asked: list[str] = []
        monkeypatch.setattr(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, name: str, *_: object, **__: object) -> Any:
        self.asked.append(name)
        assert self.gate.wait(DEADLINE)
        return [V4]


@pytest.mark.timing
def test_aHungServerNeverHoldsUpTheLoop(
    reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = HungServer(monkeypatch)
    results: list[Any] = []
    count = RESOLVER_THREADS * 3
    for number in range(count):
        reactor.resolve(f"slow{number}.example", timeout=(0.1, 0.4)).addErrback(results.append)
    longest = 0.0
    while len(results) < count:
        started = time.monotonic()
        reactor.iterate(0.005)
        longest = max(longest, time.monotonic() - started)
    assert all(result.check(DNSLookupError) for result in results)
    assert longest < 1.0  # a stall would be DEADLINE long
    assert len(server.asked) == RESOLVER_THREADS
    server.gate.set()
    # The late answers find nobody, and the threads work on; a name that nobody waits for any longer is not asked.
    assert resultOf(reactor, reactor.resolve("quick.example")) == "192.0.2.7"
    assert server.asked[RESOLVER_THREADS:] == ["quick.example"]
    assert caplog.records == []


def test_cancelling(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HungServer(monkeypatch)
    failures: list[Any] = []
    reactor.resolve("never.example").addErrback(failures.append).cancel()
    answer = reactor.resolve("slow.example", timeout=10)
    answer.addErrback(failures.append)
    turnUntil(reactor, lambda: server.asked)
    answer.cancel()
    assert [failure.type for failure in failures] == [CancelledError] * 2
    assert reactor.getDelayedCalls() == []
    waiting = [reactor.resolve(f"{number}.example") for number in range(RESOLVER_THREADS + 5)]
    for each in waiting[-6:]:  # the last ones, who have no thread yet
        each.addErrback(failures.append).cancel()
    server.gate.set()
    assert [resultOf(reactor, each) for each in waiting[:-6]] == ["192.0.2.7"] * (RESOLVER_THREADS - 1)
    assert len(server.asked) == RESOLVER_THREADS
    assert len(failures) == 8
    assert "never.example" not in server.asked


def test_theReactorStopsMeanwhile(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are looked up further, and the answers come in the next run."""
    server = HungServer(monkeypatch)
    results: list[Any] = []
    for number in range(RESOLVER_THREADS * 2):
        reactor.resolve(f"{number}.example").addBoth(results.append)
    runUntil(reactor, lambda: len(server.asked) == RESOLVER_THREADS)
    assert results == []
    server.gate.set()
    runUntil(reactor, lambda: len(results) == RESOLVER_THREADS * 2)
    assert set(results) == {"192.0.2.7"}


def test_theReactorIsClosedMeanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody hears the answers, and waiting look-ups are forgotten."""
    before = nativeThreads()
    server = HungServer(monkeypatch)
    for kind in LOOPS:
        reactor = kind.makeReactor()
        server.gate.clear()
        server.asked.clear()
        results: list[Any] = []
        for number in range(RESOLVER_THREADS * 2):
            reactor.resolve(f"{number}.example").addBoth(results.append)
        turnUntil(reactor, lambda: len(server.asked) == RESOLVER_THREADS)
        kind.close(reactor)
        server.gate.set()
        end = time.monotonic() + DEADLINE
        while nativeThreads() - before:
            assert time.monotonic() < end
        assert (results, len(server.asked)) == ([], RESOLVER_THREADS)


HANG = """
import socket, sys, threading
from tests.support.worlds import LOOPS
hung = threading.Semaphore(0)
def getaddrinfo(*_, **__):
    hung.release()
    threading.Event().wait()
socket.getaddrinfo = getaddrinfo
(kind,) = (kind for kind in LOOPS if kind.name == sys.argv[1])
reactor = kind.makeReactor()
for number in range(20):
    reactor.resolve(f"{number}.example")
def stop():
    if hung.acquire(blocking=False):
        reactor.stop()
    else:
        reactor.callLater(0.001, stop)
reactor.callWhenRunning(stop)
reactor.run()
print("stopped")
"""


@pytest.mark.parametrize("kind", [loop.name for loop in LOOPS])
def test_aProgramEndsWhileItsNamesAreLookedUp(kind: str) -> None:
    ended = runProgram(HANG, kind)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stopped\n", "")


def test_oneThreadATurn(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system takes its time to make one; a burst of names holds nobody up."""
    server = HungServer(monkeypatch)
    results: list[Any] = []
    for number in range(RESOLVER_THREADS * 2):
        reactor.resolve(f"{number}.example").addBoth(results.append)
    before = nativeThreads()
    for turn in range(RESOLVER_THREADS + 2):
        assert len(nativeThreads() - before) == min(turn, RESOLVER_THREADS)
        reactor.iterate(0)
    server.gate.set()
    turnUntil(reactor, lambda: len(results) == RESOLVER_THREADS * 2)


def test_noThreadLeft(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is none at all, look-ups fail; where there are others, they wait for those."""
    server = HungServer(monkeypatch)

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reactor_threads, "start_new_thread", refuse)
        for result in [resultOf(reactor, each) for each in (reactor.resolve("a.example"), reactor.resolve("a.test"))]:
            assert result.check(DNSLookupError)
            assert "can't start new thread" in str(result.value)
    first = reactor.resolve("b.example")
    turnUntil(reactor, lambda: server.asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reactor_threads, "start_new_thread", refuse)
        second = reactor.resolve("c.example")
        reactor.iterate(0)
    server.gate.set()
    assert [resultOf(reactor, each) for each in (first, second)] == ["192.0.2.7"] * 2
    assert server.asked == ["b.example", "c.example"]
    assert reactor.getDelayedCalls() == []


def test_aResolverOfCoroutines(reactor: EpollReactor) -> None:
    class Own:
        async def getHostByName(self, name: str, timeout: Any = None) -> str:
            if name == "none.example":
                raise LookupError(name)
            return "192.0.2.1"

    before = reactor.installResolver(Own())
    assert resultOf(reactor, reactor.resolve("a.example")) == "192.0.2.1"
    assert resultOf(reactor, reactor.resolveAll("a.example", 5)) == [(socket.AF_INET, ("192.0.2.1", 5))]
    for failed in (reactor.resolve("none.example"), reactor.resolveAll("none.example", 5)):
        assert resultOf(reactor, failed).check(LookupError)
    reactor.installResolver(before)


def test_anInstalledResolver(reactor: EpollReactor) -> None:
    class Own:
        def getHostByName(self, name: str, timeout: Any = None) -> Any:
            return succeed({"four.example": "192.0.2.1", "six.example": "2001:db8::1"}.get(name, "garbage"))

    before = reactor.installResolver(Own())
    assert resultOf(reactor, reactor.resolve("four.example")) == "192.0.2.1"
    assert resultOf(reactor, reactor.resolveAll("four.example", 5)) == [(socket.AF_INET, ("192.0.2.1", 5))]
    assert resultOf(reactor, reactor.resolveAll("six.example", 5)) == [(socket.AF_INET6, ("2001:db8::1", 5, 0, 0))]
    assert resultOf(reactor, reactor.resolveAll("odd.example", 5)).check(DNSLookupError)
    assert isinstance(reactor.installResolver(before), Own)


def test_theThreadsEndWithTheRun(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, [V4])
    before = nativeThreads()
    for _ in range(2):
        results: list[Any] = []
        reactor.resolve("x.example").addBoth(results.append)
        runUntil(reactor, results.copy)
        assert results == ["192.0.2.7"]
        turnUntil(reactor, lambda: nativeThreads() == before)
