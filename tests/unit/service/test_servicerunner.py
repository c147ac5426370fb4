"""The life of a service in a reactor: the order of its start, failures, and the deadline of its stop."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from reactor import Deferred, EpollReactor, _current
from reactor.defer import CancelledError
from reactor.service import MultiService, Service, ServiceRunner, runService
from tests.support.worlds import OURS


@pytest.fixture
def loop() -> Iterator[EpollReactor]:
    loop = EpollReactor()
    yield loop
    OURS.close(loop)


class Told(Service):
    """Notes its calls. A call may raise, return a Deferred or stop the reactor, by its name."""

    def __init__(self, loop: EpollReactor, **results: Any) -> None:
        self.loop = loop
        self.results = results
        self.trace: list[str] = []

    def note(self, call: str) -> Any:
        self.trace.append(call)
        result = self.results.get(call)
        if isinstance(result, Exception):
            raise result
        return result

    def privilegedStartService(self) -> Any:
        return self.note("privileged")

    def startService(self) -> Any:
        self.loop.callLater(0, self.loop.stop)
        return self.note("start")

    def stopService(self) -> Any:
        return self.note("stop")


def test_order(loop: EpollReactor) -> None:
    service = Told(loop)
    trace = service.trace
    runner = ServiceRunner(
        service, loop, privileges=lambda: trace.append("privileges"), started=lambda: trace.append("started")
    )
    runner.run()
    assert trace == ["privileged", "privileges", "start", "started", "stop"]


def test_eachStepWaits(loop: EpollReactor) -> None:
    """Each Deferred and coroutine is waited for before the next call, the stop's before the reactor ends."""
    waits: dict[str, Deferred[None]] = {name: Deferred() for name in ("privileged", "start", "stop")}

    def later(name: str, seen: str) -> None:
        service.trace.append(seen)
        waits[name].callback(None)

    service = Told(loop, **waits)
    service.startService = lambda: service.note("start")  # type: ignore[method-assign]
    loop.callLater(0.01, later, "privileged", "one")
    loop.callLater(0.02, later, "start", "two")
    loop.addSystemEventTrigger("before", "shutdown", lambda: loop.callLater(0.01, later, "stop", "three"))
    ServiceRunner(service, loop, started=loop.stop).run()
    assert service.trace == ["privileged", "one", "start", "two", "stop", "three"]


@pytest.mark.parametrize("call", ["privileged", "start"])
def test_startsThatFail(loop: EpollReactor, call: str) -> None:
    """The failure is raised when the reactor has stopped; what had started stops."""
    service = Told(loop, **{call: ValueError("broken")})
    with pytest.raises(ValueError, match="broken"):
        runService(service, loop)
    assert service.trace[-1] == "stop"
    assert ("start" in service.trace) == (call == "start")


def test_privilegesThatFail(loop: EpollReactor) -> None:
    """Nothing starts with rights that it should not have."""
    service = Told(loop)
    with pytest.raises(ZeroDivisionError):
        runService(service, loop, privileges=lambda: 1 // 0)
    assert service.trace == ["privileged", "stop"]


def test_deadline(loop: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    cancelled: list[str] = []
    service = Told(loop, stop=Deferred(lambda _: cancelled.append("cancelled")))
    runService(service, loop, grace=0.01)
    assert cancelled == ["cancelled"]
    (record,) = (each for each in caplog.records if each.levelno >= logging.WARNING)
    assert "has not stopped within 0.01 seconds" in record.getMessage()


def test_deadlineOfOneThatHeedsNothing(loop: EpollReactor) -> None:
    """A coroutine that swallows the cancelling holds up nothing."""

    class Stubborn(Service):
        def startService(self) -> None:
            super().startService()
            loop.callLater(0, loop.stop)

        async def stopService(self) -> None:
            for _ in range(2):
                with suppress(CancelledError):
                    await Deferred()

    runService(Stubborn(), loop, grace=0.01)


def test_stopsThatFail(loop: EpollReactor, caplog: pytest.LogCaptureFixture) -> None:
    runService(Told(loop, stop=ValueError("broken")), loop)
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert "has failed to stop" in record.getMessage()


def test_stoppedDuringItsStart(loop: EpollReactor) -> None:
    """A signal cancels a start that waits; then the service stops."""
    cancelled: list[str] = []
    service = Told(loop, privileged=Deferred(lambda _: cancelled.append("cancelled")))
    loop.callLater(0.01, loop.stop)
    runService(service, loop)
    assert (cancelled, service.trace) == (["cancelled"], ["privileged", "stop"])


def test_stoppedBeforeItsStart(loop: EpollReactor) -> None:
    service = Told(loop)
    runner = ServiceRunner(service, loop)
    ended: list[Any] = []
    runner.stop().addCallback(ended.append)
    runner.stop().addCallback(ended.append)
    loop.callLater(0.01, loop.stop)
    runner.run()
    assert (ended, service.trace) == ([None, None], [])


def test_stopIsOneForAll(loop: EpollReactor) -> None:
    """A second caller waits for the same end, and the deadline is the first caller's."""
    gate: Deferred[None] = Deferred()
    service = Told(loop, stop=gate)
    service.startService = lambda: service.note("start")  # type: ignore[method-assign]
    runner = ServiceRunner(service, loop)
    ended: list[int] = []
    runner.start()
    runner.stop(grace=60).addCallback(lambda _: ended.append(1))
    runner.stop().addCallback(lambda _: ended.append(2))
    assert ended == []
    gate.callback(None)
    assert (ended, service.trace.count("stop"), loop.getDelayedCalls()) == ([1, 2], 1, [])


def test_theCurrentReactor(loop: EpollReactor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_current, "current", lambda: loop)
    parent, service = MultiService(), Told(loop)
    service.setServiceParent(parent)
    runService(parent)
    assert service.trace == ["privileged", "start", "stop"]
    wrong: Any = 5
    with pytest.raises(TypeError, match="a service is needed"):
        runService(wrong)
