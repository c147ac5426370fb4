"""Services in trees: order, names, results, coroutines."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from reactor import Deferred, Failure
from reactor.defer import CancelledError
from reactor.interfaces import verifyObject
from reactor.service import IService, IServiceCollection, MultiService, Service


class Told(Service):
    """Notes its calls, and returns what it is given."""

    def __init__(self, name: str, trace: list[str], result: Any = None) -> None:
        self.name = name
        self.trace = trace
        self.result = result

    def privilegedStartService(self) -> Any:
        self.trace.append(f"{self.name} privileged")

    def startService(self) -> Any:
        super().startService()
        self.trace.append(f"{self.name} start")
        return self.result

    def stopService(self) -> Any:
        super().stopService()
        self.trace.append(f"{self.name} stop")
        return self.result


class Awaiting(Service):
    """Waits for a Deferred in each of its coroutines."""

    def __init__(self, trace: list[str]) -> None:
        self.trace = trace
        self.gates: dict[str, Deferred[None]] = {name: Deferred() for name in ("privileged", "start", "stop")}

    async def privilegedStartService(self) -> None:
        await self.gates["privileged"]
        self.trace.append("privileged")

    async def startService(self) -> None:
        super().startService()
        await self.gates["start"]
        self.trace.append("started")

    async def stopService(self) -> None:
        super().stopService()
        await self.gates["stop"]
        self.trace.append("stopped")


def tree(*services: Service) -> MultiService:
    parent = MultiService()
    for service in services:
        service.setServiceParent(parent)
    return parent


def test_orders() -> None:
    trace: list[str] = []
    parent = tree(Told("a", trace), tree(Told("b", trace), Told("c", trace)), Told("d", trace))
    assert parent.privilegedStartService().called
    assert parent.startService().called
    assert trace == [f"{name} {call}" for call in ("privileged", "start") for name in "abcd"]
    trace.clear()
    parent.stopService()
    assert trace == [f"{name} stop" for name in "dcba"]
    assert not parent.running


def test_resultsOfTheStop() -> None:
    """A failure keeps no other from stopping; the Deferred fires when the last has."""
    slow: Deferred[str] = Deferred()

    class Broken(Service):
        def stopService(self) -> Any:
            raise ValueError("broken")

    last = Told("last", [])
    parent = tree(last, Broken(), Told("slow", [], slow))
    parent.startService()
    stopped: list[Any] = []
    parent.stopService().addCallback(stopped.extend)
    assert (stopped, last.running) == ([], 0)
    slow.callback("done")
    (first, second, third) = stopped
    assert (first, third) == ((True, "done"), (True, None))
    assert not second[0]
    assert second[1].check(ValueError)
    second[1].cleanFailure()


def test_aStartThatRaises() -> None:
    """It ends the start of the collection, as in Twisted: the exception is the caller's."""
    trace: list[str] = []

    class Broken(Service):
        def startService(self) -> Any:
            raise ValueError("broken")

    parent = tree(Told("a", trace), Broken(), Told("b", trace))
    with pytest.raises(ValueError, match="broken"):
        parent.startService()
    assert trace == ["a start"]


def test_coroutines() -> None:
    trace: list[str] = []
    parent = tree(Awaiting(trace), Told("beside", trace))
    service: Any = parent.services[0]
    for call, gate in (("privilegedStartService", "privileged"), ("startService", "start"), ("stopService", "stop")):
        ended: list[Any] = []
        getattr(parent, call)().addCallback(ended.append)
        assert ended == []
        service.gates[gate].callback(None)
        assert len(ended) == 1
    assert trace == [
        *("beside privileged", "privileged", "beside start", "started"),
        *("beside stop", "stopped"),
    ]


def test_startsThatFail(caplog: pytest.LogCaptureFixture) -> None:
    """The first failure is the result, at once; a later one is logged. Cancelling reaches all."""
    gates: list[Deferred[None]] = [Deferred(), Deferred()]
    parent = tree(*(Told("x" * number, [], gate) for number, gate in enumerate(gates, 1)))
    failures: list[Failure] = []
    parent.startService().addErrback(failures.append)
    gates[1].errback(ValueError("first"))
    assert failures[0].getErrorMessage() == "first"
    gates[0].errback(ValueError("second"))
    (record,) = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert record.getMessage() == "Another service has failed to start"

    parent = tree(*(Told("y" * number, [], Deferred()) for number in (1, 2)))
    started = parent.startService()
    started.addErrback(failures.append)
    started.cancel()
    assert failures[1].check(CancelledError)
    assert len(caplog.records) == 1


def test_joiningOneThatRuns() -> None:
    """The newcomer starts at once, its steps one after the other, and its parent returns their Deferred."""
    trace: list[str] = []
    parent = tree()
    parent.startService()
    service = Awaiting(trace)
    ended: list[Any] = []
    service.setServiceParent(parent).addCallback(ended.append)
    assert not service.running
    service.gates["privileged"].callback(None)
    assert (service.running, ended) == (1, [])
    service.gates["start"].callback(None)
    assert (trace, ended) == (["privileged", "started"], [None])
    service.disownServiceParent().addCallback(ended.append)
    assert (service.parent, list(parent), len(ended)) == (None, [], 1)
    service.gates["stop"].callback(None)
    assert trace[-1] == "stopped"
    assert len(ended) == 2
    assert Told("plain", trace).setServiceParent(parent) is None
    assert trace[-2:] == ["plain privileged", "plain start"]


def test_moving() -> None:
    """A service that gets another parent leaves its own."""
    trace: list[str] = []
    first, second = tree(Told("a", trace)), tree()
    (service,) = first
    service.setServiceParent(second)
    assert (list(first), list(second), service.parent) == ([], [service], second)
    assert (first.namedServices, second.getServiceNamed("a")) == ({}, service)


def test_mistakes() -> None:
    parent = tree(Told("a", []))
    (service,) = parent
    with pytest.raises(RuntimeError, match="there is a service named 'a' already"):
        Told("a", []).setServiceParent(parent)
    with pytest.raises(RuntimeError, match="keeps its name"):
        service.setName("b")
    with pytest.raises(KeyError):
        parent.getServiceNamed("b")
    with pytest.raises(ValueError, match="no service of this collection"):
        parent.removeService(Service())
    with pytest.raises(AttributeError, match="no parent"):
        Service().disownServiceParent()
    wrong: Any = 5
    with pytest.raises(TypeError, match="a parent of services"):
        Service().setServiceParent(wrong)
    with pytest.raises(TypeError, match="a service is needed"):
        parent.addService(wrong)
    with pytest.raises(TypeError, match="a service is needed"):
        parent.addService(Service)


def test_interfaces() -> None:
    assert verifyObject(IService, Service())
    assert verifyObject(IServiceCollection, MultiService())
    assert not IServiceCollection.providedBy(Service())
