"""Twisted's own tests of services, with our classes in the place of Twisted's.

Their text is read from the Twisted that is installed, without its imports: the names in it are ours. They pass, or
stand in one of two lists: those that are not about ours, and those that a difference on purpose makes fail.
"""

from __future__ import annotations

import ast
import copy
import importlib.util
import io
import logging
import os
import pathlib
import pickle
import sys
import types
import unittest
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import reactor
import reactor.service.internet
from reactor import EpollReactor, LineReceiver, Protocol, _current, defer, interfaces, protocol, task
from reactor.endpoints import TCP4ServerEndpoint
from reactor.failure import Failure
from reactor.service import strports
from reactor.testing import MemoryReactor, StringTransport
from tests.support.worlds import OURS, turnUntil

service: Any = reactor.service


class Passing(logging.Handler):
    """Passes records on to a function."""

    def __init__(self, take: Callable[[logging.LogRecord], object]) -> None:
        super().__init__()
        self.emit = take  # type: ignore[assignment, method-assign]


class Case(unittest.TestCase):
    """The part of trial's TestCase that their tests use. A test may return a Deferred."""

    assertIdentical = unittest.TestCase.assertIs
    assertNotIdentical = failIfIdentical = unittest.TestCase.assertIsNot

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        """Collect the exceptions that are logged meanwhile."""
        records: list[logging.LogRecord] = []
        handler = Passing(records.append)
        self._records = records
        logging.getLogger("reactor").addHandler(handler)
        try:
            return super().run(result)
        finally:
            logging.getLogger("reactor").removeHandler(handler)

    def _callTestMethod(self, method: Callable[[], object]) -> None:
        self._settle(method())

    def _callTearDown(self) -> None:
        self._settle(self.tearDown())  # type: ignore[func-returns-value]

    def _settle(self, result: object) -> None:
        if isinstance(result, defer.Deferred):
            ended: list[Any] = []
            result.addBoth(ended.append)
            turnUntil(_current.current(), lambda: ended)
            if isinstance(ended[0], Failure):
                ended[0].raiseException()

    def flushLoggedErrors(self, *kinds: type[BaseException]) -> list[Failure]:
        """Return the exceptions that have been logged, if they are of `kinds`."""
        found = [record.exc_info[1] for record in self._records if record.exc_info]
        self._records.clear()
        return [Failure(error) for error in found if isinstance(error, kinds)]

    def patch(self, thing: Any, name: str, value: object) -> None:
        """Set an attribute for this test."""
        self.addCleanup(setattr, thing, name, getattr(thing, name))
        setattr(thing, name, value)

    def assertNoResult(self, deferred: Any) -> None:
        """The Deferred has not fired."""
        assert not deferred.called

    def successResultOf(self, deferred: Any) -> Any:
        """Return the result of the Deferred, which has succeeded."""
        ended: list[Any] = []
        deferred.addBoth(ended.append)
        assert ended
        assert not isinstance(ended[0], Failure)
        return ended[0]

    def failureResultOf(self, deferred: Any, *kinds: type[BaseException]) -> Any:
        """Return the Failure of the Deferred, which has failed with one of `kinds`."""
        ended: list[Any] = []
        deferred.addBoth(ended.append)
        assert isinstance(ended[0], Failure)
        if kinds:
            assert ended[0].check(*kinds)
        return ended[0]


class Logs:
    """Their publisher of log events, for records of `logging`."""

    def __init__(self) -> None:
        self._handlers: dict[Any, logging.Handler] = {}

    def addObserver(self, observer: Callable[[logging.LogRecord], object]) -> None:
        """Have `observer` called with each record."""
        handler = Passing(observer)
        self._handlers[id(observer)] = handler
        logging.getLogger("reactor").addHandler(handler)

    def removeObserver(self, observer: object) -> None:
        """Undo addObserver. Their tests make the observer anew, so all of them go."""
        for handler in self._handlers.values():
            logging.getLogger("reactor").removeHandler(handler)


class Echo(Protocol):
    """Sends back all data."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


NAMES: dict[str, Any] = {
    **{name: getattr(interfaces, name) for name in interfaces.__all__},
    **{name: getattr(service, name) for name in service.__all__},
    "BrokenImplementation": interfaces.NotProvided,
    "CancelledError": defer.CancelledError,
    "Clock": task.Clock,
    "Deferred": defer.Deferred,
    "Factory": reactor.Factory,
    "Failure": Failure,
    "MemoryReactor": MemoryReactor,
    "Protocol": Protocol,
    "StringIO": io.StringIO,
    "StringTransport": StringTransport,
    "SynchronousTestCase": Case,
    "SkipTest": unittest.SkipTest,
    "TCP4ServerEndpoint": TCP4ServerEndpoint,
    "TestCase": Case,
    "basic": types.SimpleNamespace(LineReceiver=LineReceiver),
    "copy": copy,
    "defer": defer,
    "formatEvent": logging.LogRecord.getMessage,
    "globalLogPublisher": Logs(),
    "interfaces": interfaces,
    "internet": reactor.service.internet,
    "os": os,
    "pickle": pickle,
    "protocol": protocol,
    "reactor": reactor,
    "service": service,
    "skipIf": unittest.skipIf,
    "strports": strports,
    "task": task,
    "wire": types.SimpleNamespace(Echo=Echo),
}

SOURCES = (
    "twisted.application.test.test_internet",
    "twisted.application.test.test_service",
    "twisted.test.test_application",
    "twisted.test.test_strports",
)

# Their classes about what is not ours: reactors as plugins, saved applications, and twistd's options.
LEFT_OUT = {"AppSupportTests", "FakeReactor", "HelpReactorsTests", "LoadingTests", "PluggableReactorTests"}

# Their text names private attributes of theirs.
ADAPTED = {
    "cq.constructedProtocols[0]._protocol": "cq.constructedProtocols[0].wrappedProtocol",
}


def loaded(name: str) -> types.ModuleType:
    """Run their module `name` without its imports and LEFT_OUT, with our names."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    text = pathlib.Path(spec.origin).read_text()
    for theirs, ours in ADAPTED.items():
        text = text.replace(theirs, ours)
    tree = ast.parse(text)
    tree.body = [
        node
        for node in tree.body
        if not isinstance(node, ast.Import | ast.ImportFrom | ast.Try) and getattr(node, "name", "") not in LEFT_OUT
    ]
    module = types.ModuleType(name.replace("twisted.", f"{__name__}."))
    sys.modules[module.__name__] = module  # for pickle
    vars(module).update(NAMES)
    exec(compile(tree, spec.origin, "exec"), vars(module))
    return module


def casesOf(suite: unittest.TestSuite) -> Iterator[tuple[str, unittest.TestCase]]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from casesOf(test)
        else:
            yield ".".join(test.id().split(".")[-3:]), test


CASES = {
    name: case
    for source in SOURCES
    for name, case in casesOf(unittest.TestLoader().loadTestsFromModule(loaded(source)))
    if type(case) is not Case
}


@pytest.fixture(autouse=True)
def world(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A reactor and a directory for each test."""
    loop = EpollReactor()
    monkeypatch.setattr(_current, "current", lambda: loop)
    monkeypatch.chdir(tmp_path)
    yield
    OURS.close(loop)


def outcomeOf(name: str) -> str:
    """Run one of their tests; return the end of its traceback, or nothing if it has passed."""
    result = unittest.TestResult()
    CASES[name].run(result)
    bad = [*result.failures, *result.errors, *((test, f"skipped: {why}") for test, why in result.skipped)]
    return "" if not bad else "\n".join(bad[0][1].strip().splitlines()[-12:])


# Their tests of what is not ours: pickles, saved applications, and private names. The last one asks for Twisted's
# reactor.
NOT_OURS = (
    "test_application.ApplicationTests.testPersistableComponent",
    "test_application.InternetTests.testPickledTimer",
    "test_internet.TimerServiceTests.test_pickleTimerServiceNotPickleLoop",
    "test_internet.TimerServiceTests.test_pickleTimerServiceNotPickleLoopFinished",
    "test_internet.TimerServiceTests.test_startServiceUsesGlobalReactor",
    "test_service.ApplicationTests.test_applicationComponents",
    "test_strports.ServiceTests.test_serviceDefaultReactor",
    # it connects before the reactor has turned, and waits for a refusal: see test_stopListeningServesWhoWaits
    "test_application.InternetTests.testStoppingServer",
)

# Their tests that fail because of a difference, by the test that shows it in test_differences.py; or else the reason.
DIFFERENT = {
    "test_application.InternetTests.testVolatile": "test_copiesOfServices",
    "test_application.InternetTests.test_reactorParametrizationInServer": "its factory is a plain object",
    "test_application.ServiceTests.testCopying": "test_copiesOfServices",
    "test_internet.ClientServiceTests.test_interfacesForTransport": "test_methodsAreEnough",
    "test_internet.ClientServiceTests.test_prepareConnectionCalledWithProtocol": (
        "test_prepareConnectionGetsTheProtocol"
    ),
}


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_OURS and name not in DIFFERENT])
def test_theirs(name: str) -> None:
    assert outcomeOf(name) == ""


@pytest.mark.parametrize("name", DIFFERENT)
def test_theirsThatDiffer(name: str) -> None:
    """A difference that no longer exists leaves the list, too."""
    assert outcomeOf(name) != ""


def test_theListsNameWhatThereIs() -> None:
    assert not [name for name in [*NOT_OURS, *DIFFERENT] if name not in CASES]
    differences = (pathlib.Path(__file__).parent / "test_differences.py").read_text()
    assert not [why for why in DIFFERENT.values() if why.startswith("test_") and f"def {why}(" not in differences]
    assert len(CASES) - len(NOT_OURS) - len(DIFFERENT) > 80
