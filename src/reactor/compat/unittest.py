"""A TestCase as of `twisted.trial.unittest`, for pytest and for the standard library's unittest.

Tests, setUp, tearDown and cleanups may return Deferreds or be coroutines: the reactor runs until they have a result.
Cleanups come before tearDown, as in trial. A test also fails if a failure was logged that flushLoggedErrors has not
taken. It fails if a delayed call, a port or a connection of the reactor is left. Warnings that flushWarnings has not
taken are raised at its end. If Twisted's own log is imported, its errors count, too.
"""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import time
import unittest
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

from reactor._functions import currentBase
from reactor.compat import events
from reactor.compat.assertions import Assertions
from reactor.compat.warned import Warned
from reactor.defer import Deferred, ensureDeferred
from reactor.defer import TimeoutError as DeferredTimeout
from reactor.failure import Failure

DEFAULT_TIMEOUT = 120.0  # seconds for a test, or for one of the functions around it
TURNS = 2  # of the reactor at the end of a test, for what goes on its way at once
SETTLING = 0.05  # seconds at most for connections and ports that are about to end: a peer's answer may be on its way

SkipTest = unittest.SkipTest
FailTest = AssertionError
TestSuite = unittest.TestSuite


class DirtyReactorAggregateError(Exception):
    """A test has left delayed calls, ports or connections in the reactor."""

    def __init__(self, delayedCalls: list[Any], selectables: list[Any] | None = None) -> None:
        self.delayedCalls = delayedCalls
        self.selectables = selectables
        super().__init__(delayedCalls, selectables)

    def __str__(self) -> str:
        parts = ["Reactor was unclean."]
        for title, things in (("DelayedCalls", self.delayedCalls), ("Selectables", self.selectables)):
            if things:
                parts += [f"{title}:", *map(str, things)]
        return "\n".join(parts)


class Todo:
    """Why a test fails, and the errors with which it may."""

    def __init__(self, reason: str, errors: Any = None) -> None:
        self.reason = reason
        self.errors = errors


def makeTodo(value: Any) -> Todo:
    """Return a Todo of a reason, or of (errors, reason)."""
    if isinstance(value, str):
        return Todo(value)
    errors, reason = value
    return Todo(reason, errors if isinstance(errors, tuple | list) else [errors])


class SynchronousTestCase(Assertions):
    """A test case whose tests need no reactor."""

    def run(self, result: Any = None) -> Any:
        """Run the test. Attributes `skip` and `todo`, of the method, the class or the module, are heeded."""
        reason = self._attribute("skip")
        if reason is not None:
            result = self.defaultTestResult() if result is None else result
            result.startTest(self)
            result.addSkip(self, reason if isinstance(reason, str) else str(reason))
            result.stopTest(self)
            return result
        if self._attribute("todo") is not None:
            self.__unittest_expecting_failure__ = True
        self._loggedErrors: list[Any] = []
        self._warned = Warned()
        theirs = _twistedsLog()
        events.addObserver(self._observe)
        if theirs is not None:
            theirs.addObserver(self._observe)
        self._warned.begin()
        self._isWarned = True
        try:
            return super().run(result)
        finally:
            self._endWarned()
            events.removeObserver(self._observe)
            if theirs is not None:
                theirs.removeObserver(self._observe)

    def _attribute(self, name: str) -> Any:
        for place in (getattr(self, self._testMethodName, None), self, sys.modules.get(type(self).__module__)):
            found = getattr(place, name, None)
            if found is not None and not callable(found):
                return found
        return None

    def _observe(self, event: dict[str, Any]) -> None:
        if event.get("isError") and event.get("failure") is not None:  # as in trial
            self._loggedErrors.append(event["failure"])

    def flushLoggedErrors(self, *errorTypes: Any) -> list[Any]:
        """Return the failures that were logged, and take them away: those of `errorTypes`, or all."""
        found = [each for each in self._loggedErrors if not errorTypes or each.check(*errorTypes)]
        self._loggedErrors[:] = [each for each in self._loggedErrors if each not in found]
        return found

    def _callTestMethod(self, method: Callable[[], Any]) -> None:
        self._within("test", method)

    def _callSetUp(self) -> None:
        self._within("setUp", self.setUp)

    def _callTearDown(self) -> None:
        self.doCleanups()
        self._within("tearDown", self.tearDown)
        self._atTheEnd()

    def _callCleanup(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._within("cleanup", lambda: function(*args, **kwargs))

    def _within(self, what: str, call: Callable[[], Any]) -> None:
        result = call()
        if isinstance(result, Deferred) and result.called:
            results: list[Any] = []
            result.addBoth(results.append)
            if results and isinstance(results[0], Failure):
                results[0].raiseException()
        elif isinstance(result, Deferred) or inspect.iscoroutine(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError(f"{self.id()}: the {what} returned {result!r}, and only a TestCase waits for it")

    def _atTheEnd(self) -> None:
        """Fail for each logged error that is left. Raise each warning that is left."""
        outcome: Any = self._outcome  # type: ignore[attr-defined]
        for failure in self.flushLoggedErrors():
            with outcome.testPartExecutor(self):
                failure.raiseException()
        for each in self._endWarned():
            with outcome.testPartExecutor(self):
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

    def _endWarned(self) -> list[warnings.WarningMessage]:
        isWarned, self._isWarned = self._isWarned, False
        return self._warned.end() if isWarned else []

    def mktemp(self) -> str:
        """Return the path of a file that does not exist, in a new directory below the current one."""
        base = os.path.join("_trial_temp", type(self).__module__, type(self).__name__, self._testMethodName[:32])
        os.makedirs(base, exist_ok=True)
        return os.path.join(tempfile.mkdtemp("", "", base), "temp")

    def patch(self, obj: Any, attribute: str, value: Any) -> Any:
        """Set an attribute for the length of the test. The result has restore()."""
        patched = _Patch(obj, attribute, value)
        self.addCleanup(patched.restore)
        return patched

    def flushWarnings(self, offendingFunctions: Any = None) -> list[dict[str, Any]]:
        """Return the warnings of the test, and take them away: those of lines in `offendingFunctions`, or all.

        Each is a dict of message, category, filename and lineno.
        """
        return self._warned.flush(offendingFunctions)

    def id(self) -> str:
        """Return the name of the test."""
        return super().id()


class TestCase(SynchronousTestCase):
    """A test case whose tests may wait for the reactor. `timeout` is the time of each function, in seconds.

    `timeout` may also be an attribute of the method, or of the module.
    """

    __test__ = False  # pytest collects the subclasses
    timeout: float | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__test__" not in vars(cls):
            cls.__test__ = True

    def getTimeout(self) -> float:
        """Return the time that the test may take, in seconds."""
        found = self._attribute("timeout")
        return DEFAULT_TIMEOUT if found is None else float(found)

    def run(self, result: Any = None) -> Any:
        """Run the test."""
        reactor = currentBase()
        self._before = [*reactor.getReaders(), *reactor.getWriters()]
        self._callsBefore = list(reactor.getDelayedCalls())
        return super().run(result)

    def _within(self, what: str, call: Callable[[], Any]) -> None:
        result = call()
        if inspect.isawaitable(result) and not isinstance(result, Deferred):
            result = ensureDeferred(result)  # type: ignore[arg-type]
        if isinstance(result, Deferred):
            self._wait(result)
        elif inspect.isgenerator(result):
            raise TypeError(f"{self.id()}: the {what} is a generator: it lacks @inlineCallbacks")

    def _wait(self, deferred: Deferred[Any]) -> None:
        """Run the reactor until `deferred` has a result. Its failure is raised."""
        results: list[Any] = []
        reactor = currentBase()

        def done(result: Any) -> None:
            results.append(result)
            if late is not None and late.active():
                late.cancel()
            reactor.crash()

        def tooLate() -> None:
            text = f"{self!r} ({self._testMethodName}) still running at {self.getTimeout()} secs"
            deferred.cancel()
            results[:] = [Failure(DeferredTimeout(text))]
            reactor.crash()

        late: Any = None
        deferred.addBoth(done)
        if not results:
            late = reactor.callLater(self.getTimeout(), tooLate)
            self._run(reactor, results)
            if late.active():
                late.cancel()
        if isinstance(results[0], Failure):
            results[0].raiseException()

    def _run(self, reactor: Any, results: list[Any]) -> None:
        reactor.run(installSignalHandlers=False)
        if not results:
            raise KeyboardInterrupt("the reactor was stopped in a test")

    def _atTheEnd(self) -> None:
        outcome: Any = self._outcome  # type: ignore[attr-defined]
        with outcome.testPartExecutor(self):
            self._checkReactor()
        super()._atTheEnd()

    def _checkReactor(self) -> None:
        """Raise DirtyReactorAggregateError if anything is left, which is removed then."""
        reactor = currentBase()
        for _ in range(TURNS):
            reactor.iterate(0)
        calls = [each for each in reactor.getDelayedCalls() if each.active() and each not in self._callsBefore]
        end = time.monotonic() + SETTLING
        while self._selectables(reactor) and time.monotonic() < end:
            reactor.iterate(SETTLING / 10)
        selectables = self._selectables(reactor)
        texts = list(map(str, calls)), list(map(repr, selectables))
        for call in calls:
            if call.active():
                call.cancel()
        for each in selectables:
            reactor.removeReader(each)
            reactor.removeWriter(each)
            lose = getattr(each, "connectionLost", None)
            if lose is not None:
                lose(Failure(DirtyReactorAggregateError([], [repr(each)])))
        if calls or selectables:
            raise DirtyReactorAggregateError(*texts)

    def _selectables(self, reactor: Any) -> list[Any]:
        now = [*reactor.getReaders(), *reactor.getWriters()]
        return [each for index, each in enumerate(now) if each not in self._before and each not in now[:index]]


def _twistedsLog() -> Any:
    """Return twisted.python.log, which gets the events of twisted.logger, too, if one is imported and Twisted's own."""
    if any(getattr(sys.modules.get(name), "__name__", "") == name for name in ("twisted.logger", "twisted.python.log")):
        return import_module("twisted.python.log")
    return None


class _Patch:
    def __init__(self, obj: Any, attribute: str, value: Any) -> None:
        self._obj, self._attribute = obj, attribute
        self._old = getattr(obj, attribute)
        setattr(obj, attribute, value)

    def restore(self) -> None:
        """Set the attribute as it was."""
        setattr(self._obj, self._attribute, self._old)


def suppress(*args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a filter of warnings for the attribute `suppress`, which is kept and has no effect."""
    return args, kwargs


__all__ = [
    "DirtyReactorAggregateError",
    "FailTest",
    "SkipTest",
    "SynchronousTestCase",
    "TestCase",
    "TestSuite",
    "Todo",
    "makeTodo",
    "suppress",
]
