"""Names to addresses, off the loop: answers, failures, hung servers, other resolvers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from reactor.defer import CancelledError, Deferred, succeed
from reactor.error import DNSLookupError
from reactor.loops.epoll import EpollReactor
from reactor.loops.resolving import RESOLVER_THREADS
from tests.harness import DEADLINE, OURS, runUntil, turnUntil

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
        asked.append((args, threading.current_thread() is threading.main_thread()))
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


@pytest.mark.parametrize("name", ["x" * 254, "a\0b", "a..b", "x" * 64 + ".example"])
def test_whatIsNoName(reactor: EpollReactor, name: str) -> None:
    assert resultOf(reactor, reactor.resolve(name)).check(DNSLookupError)
    assert resultOf(reactor, reactor.resolveAll(name, 0)).check(DNSLookupError)


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


def test_aHungServerNeverHoldsUpTheLoop(
    reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = HungServer(monkeypatch)
    results: list[Any] = []
    count = RESOLVER_THREADS * 3
    for number in range(count):
        reactor.resolve(f"slow{number}.example", timeout=(0.01, 0.02)).addErrback(results.append)
    longest = 0.0
    while len(results) < count:
        started = time.monotonic()
        reactor.iterate(0.005)
        longest = max(longest, time.monotonic() - started)
    assert all(result.check(DNSLookupError) for result in results)
    assert longest < 1.0  # a stall would be DEADLINE long
    assert len(server.asked) == RESOLVER_THREADS
    server.gate.set()
    turnUntil(reactor, lambda: len(server.asked) == count)
    # The late answers find nobody, and the threads work on.
    assert resultOf(reactor, reactor.resolve("quick.example")) == "192.0.2.7"
    assert caplog.records == []


def test_cancelling(reactor: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HungServer(monkeypatch)
    answer = reactor.resolve("slow.example", timeout=10)
    failures: list[Any] = []
    answer.addErrback(failures.append)
    answer.cancel()
    assert failures[0].check(CancelledError)
    assert reactor.getDelayedCalls() == []
    server.gate.set()
    turnUntil(reactor, lambda: server.asked)
    reactor.iterate(0)


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
    for _ in range(2):
        results: list[Any] = []
        reactor.resolve("x.example").addBoth(results.append)
        runUntil(reactor, results.copy)
        assert results == ["192.0.2.7"]
        for thread in threading.enumerate():
            if thread is not threading.main_thread():
                thread.join(DEADLINE)
                assert not thread.is_alive()
