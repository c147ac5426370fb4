"""Every reactor, where Python itself has no memory. The fixture is reactor.py's.

A protocol that has heard of a beginning hears of the end, once. Each question is answered. No child is left.
"""

from __future__ import annotations

import _thread
import os
from collections.abc import Callable
from typing import Any

import pytest

from reactor import threads
from reactor.defer import Deferred
from reactor.error import ConnectError
from reactor.failure import Failure
from reactor.protocol import ClientFactory, ProcessProtocol, Protocol
from reactor.transports.children import pipes as childpipes
from reactor.transports.children import process
from reactor.transports.tcp import TCPConnector
from tests.conftest import openFiles
from tests.contract.failures import children, listen
from tests.support.worlds import LOOPBACK, turnUntil

Make = Callable[[], Any]


def failing(real: Callable[..., Any], times: int = 1) -> Callable[..., Any]:
    """`real`, after it has had no memory for `times` calls."""
    failures = list(range(times))

    def call(*args: Any, **kwargs: Any) -> Any:
        if failures:
            failures.pop()
            raise MemoryError
        return real(*args, **kwargs)

    return call


class Client(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.told = list[Any]()

    def buildProtocol(self, addr: Any) -> Any:
        self.told.append("built")
        return Protocol()

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.told.append(reason.value)

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.told.append("lost")

    def stopFactory(self) -> None:
        self.told.append("stopped")


class Child(ProcessProtocol):
    def __init__(self) -> None:
        self.told = list[Any]()

    def processExited(self, reason: Failure) -> None:
        self.told.append("exited")

    def processEnded(self, reason: Failure) -> None:
        self.told.append(reason.value)


class Connecting:
    def test_noMemoryForTheNameOfThePeer(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """The socket is connected, and no protocol comes of it: that is a failure, and the state is as after one."""
        reactor, factory = make(), Client()
        monkeypatch.setattr(TCPConnector, "_peerOf", failing(TCPConnector._peerOf))
        connector = reactor.connectTCP(LOOPBACK, listen(reactor).getHost().port, factory)
        turnUntil(reactor, lambda: "stopped" in factory.told)
        assert isinstance(factory.told[0], ConnectError)
        assert len(factory.told) == 2
        assert connector.state == "disconnected"
        connector.connect()
        turnUntil(reactor, lambda: "built" in factory.told)

    def test_noMemoryForTheCallThatTellsOfAFailure(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told at once."""
        reactor, factory, real = make(), Client(), None
        real = reactor.callLater

        def callLater(delay: float, *args: Any) -> Any:
            if not delay:
                raise MemoryError
            return real(delay, *args)

        monkeypatch.setattr(reactor, "callLater", callLater)
        reactor.connectTCP(LOOPBACK, 1, factory, bindAddress=("192.0.2.1", 0))
        assert isinstance(factory.told[0], ConnectError)
        assert factory.told[1:] == ["stopped"]
        assert reactor.getDelayedCalls() == []

    def test_whatCouldNotBeFlushedIsFlushedLater(self, make: Make, caplog: pytest.LogCaptureFixture) -> None:
        """Nor could its failure be dealt with. Nobody behind it is forgotten."""
        reactor, flushed = make(), list[str]()

        class Output:
            def __init__(self, name: str, times: int) -> None:
                self.name = name
                self.flush = failing(lambda: flushed.append(name), times)
                self.failConnection = failing(lambda failure: None, times)

        for name, times in (("first", 2), ("second", 0)):
            reactor.flushSoon(Output(name, times))
        while len(set(flushed)) < 2:
            try:
                reactor.iterate(0)
            except MemoryError:
                assert reactor._toFlush
        assert set(flushed) == {"first", "second"}


class Asking:
    def test_aThreadThatDiesAtItsBirth(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """It has no memory for its first step. Nobody waits for that step, and another takes its place."""
        reactor, answers, begun = make(), list[Any](), list[int]()
        real = _thread.start_new_thread

        def start(run: Callable[[], None], args: Any) -> None:
            begun.append(1)
            if len(begun) > 2:
                real(run, args)

        monkeypatch.setattr(threads, "start_new_thread", start)
        reactor.resolve("localhost").addBoth(answers.append)
        turnUntil(reactor, lambda: answers)
        assert isinstance(answers[0], str)
        assert len(begun) == 3

    def test_noMemoryBetweenTwoCallbacks(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, answers = make(), list[Any]()
        asked = reactor.resolve("localhost")
        real, failures = Deferred._advance, [1]

        def advance(self: Any) -> Any:
            if failures and self.called:
                failures.pop()
                raise MemoryError
            return real(self)

        asked.addCallback(answers.append)
        monkeypatch.setattr(Deferred, "_advance", advance)
        turnUntil(reactor, lambda: answers)
        assert not failures


class Children:
    def test_noMemoryToTellOfTheEnd(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Its status is kept: it can be asked for only once."""
        reactor, child = make(), Child()
        monkeypatch.setattr(process, "outcomeOf", failing(process.outcomeOf, 2))
        reactor.spawnProcess(child, "/bin/sh", ["sh", "-c", "exit 3"])
        turnUntil(reactor, lambda: len(child.told) == 2)
        assert child.told[0] == "exited"
        assert child.told[1].exitCode == 3

    def test_theThreadThatWaitsDiesAtItsBirth(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        reactor, child, begun = make(), Child(), list[int]()
        real = _thread.start_new_thread

        def start(run: Callable[[], None], args: Any) -> None:
            begun.append(1)
            if len(begun) > 1:
                real(run, args)

        with monkeypatch.context() as patch:
            patch.setattr(threads, "start_new_thread", start)
            patch.delattr(os, "pidfd_open")
            reactor.spawnProcess(child, "true")
            turnUntil(reactor, lambda: len(child.told) == 2)
        assert len(begun) == 2

    def test_aChildThatIsNotStartedIsEnded(self, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also if there is no memory for that, at first."""
        reactor, before = make(), openFiles()
        with monkeypatch.context() as patch:
            patch.setattr(process.ExitWatch, "start", failing(process.ExitWatch.start))
            patch.setattr(os, "kill", failing(os.kill, 2))
            patch.setattr(childpipes.ChildReader, "abandon", failing(childpipes.ChildReader.abandon))
            with pytest.raises(MemoryError):
                reactor.spawnProcess(Child(), "sleep", ["sleep", "1000"])
        assert children() == []
        assert openFiles().keys() == before.keys()


class MemoryContract(Connecting, Asking, Children):
    """All of it. A subclass has the fixture `make`."""
