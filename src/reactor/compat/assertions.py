"""The assertions of `twisted.trial.unittest` beyond those of the standard library's unittest."""

# ruff: noqa: PT009, PT027 - these are the assertions of unittest

from __future__ import annotations

import unittest
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

from reactor.defer import Deferred, ensureDeferred
from reactor.failure import Failure


class Assertions(unittest.TestCase):
    """Assertions by Twisted's names. Those that compare return their first argument, as in Twisted."""

    def assertEqual(self, first: Any, second: Any, msg: Any = None) -> Any:
        """Fail unless the two are equal. Return the first."""
        super().assertEqual(first, second, msg)
        return first

    def assertNotEqual(self, first: Any, second: Any, msg: Any = None) -> Any:
        """Fail if the two are equal. Return the first."""
        super().assertNotEqual(first, second, msg)
        return first

    def assertIs(self, first: Any, second: Any, msg: Any = None) -> Any:
        """Fail unless the two are one object. Return the first."""
        super().assertIs(first, second, msg)
        return first

    def assertIsNot(self, first: Any, second: Any, msg: Any = None) -> Any:
        """Fail if the two are one object. Return the first."""
        super().assertIsNot(first, second, msg)
        return first

    def assertIn(self, containee: Any, container: Any, msg: Any = None) -> Any:
        """Fail unless `container` contains `containee`, which is returned."""
        super().assertIn(containee, container, msg)
        return containee

    def assertNotIn(self, containee: Any, container: Any, msg: Any = None) -> Any:
        """Fail if `container` contains `containee`, which is returned."""
        super().assertNotIn(containee, container, msg)
        return containee

    def assertTrue(self, condition: Any, msg: Any = None) -> Any:
        """Fail unless the condition is true. Return it."""
        super().assertTrue(condition, msg)
        return condition

    def assertFalse(self, condition: Any, msg: Any = None) -> Any:
        """Fail if the condition is true. Return it."""
        super().assertFalse(condition, msg)
        return condition

    def assertApproximates(self, first: float, second: float, tolerance: float, msg: str | None = None) -> float:
        """Fail unless the two differ by `tolerance` at most. Return the first."""
        if abs(first - second) > tolerance:
            raise self.failureException(msg or f"{first} ~== {second}")
        return first

    def assertSubstring(self, substring: Any, astring: Any, msg: Any = None) -> Any:
        """Fail unless `astring` contains `substring`, which is returned."""
        return self.assertIn(substring, astring, msg)

    def assertNotSubstring(self, substring: Any, astring: Any, msg: Any = None) -> Any:
        """Fail if `astring` contains `substring`, which is returned."""
        return self.assertNotIn(substring, astring, msg)

    def assertRaises(  # type: ignore[override]
        self, exception: Any, f: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Fail unless `f` raises one of `exception`. Return what was raised; without `f`, a context manager."""
        context: Any = super().assertRaises(exception)
        if f is None:
            return context
        with context:
            result = f(*args, **kwargs)
            raise self.failureException(f"{exception} not raised ({result!r} returned)")
        return context.exception

    failUnlessRaises = assertRaises  # type: ignore[assignment]
    failUnlessEqual = assertEquals = assertEqual
    failIfEqual = failIfEquals = assertNotEquals = assertNotEqual
    failUnless = assert_ = assertTrue  # type: ignore[assignment]
    failIf = assertNot = assertFalse  # type: ignore[assignment]
    failUnlessIdentical = assertIdentical = assertIs
    failIfIdentical = assertNotIdentical = assertIsNot
    failUnlessIn, failIfIn = assertIn, assertNotIn
    failUnlessSubstring, failIfSubstring = assertSubstring, assertNotSubstring
    failUnlessApproximates = assertApproximates
    failUnlessAlmostEqual = assertAlmostEquals = unittest.TestCase.assertAlmostEqual

    def assertFailure(self, deferred: Deferred[Any], *expectedFailures: type[BaseException]) -> Deferred[Any]:
        """Return a Deferred that fails unless `deferred` fails with one of the errors. Its result is the exception."""

        def wrong(result: object) -> None:
            raise self.failureException(f"did not catch an error, instead got {result!r}")

        def right(failure: Failure) -> Any:
            if failure.check(*expectedFailures):
                return failure.value
            raise self.failureException(f"\nExpected: {expectedFailures!r}\nGot:\n{failure}")

        return deferred.addCallbacks(wrong, right)

    failUnlessFailure = assertFailure

    def successResultOf(self, deferred: Deferred[Any] | Coroutine[Any, Any, Any]) -> Any:
        """Return the result of a Deferred that has it now. Fail if it has none, or a failure."""
        results = self._resultsOf(ensureDeferred(deferred))
        if not results:
            raise self.failureException(f"Success result expected on {deferred!r}, found no result instead")
        if isinstance(results[0], Failure):
            raise self.failureException(
                f"Success result expected on {deferred!r}, found failure result instead:\n{results[0].getTraceback()}"
            )
        return results[0]

    def failureResultOf(self, deferred: Any, *expectedExceptionTypes: type[BaseException]) -> Failure:
        """Return the failure of a Deferred that has it now. Fail if it has none, or one of another type."""
        results = self._resultsOf(ensureDeferred(deferred))
        names = " or ".join(kind.__name__ for kind in expectedExceptionTypes)
        if not results:
            raise self.failureException(f"Failure result expected on {deferred!r}, found no result instead")
        found = results[0]
        if not isinstance(found, Failure):
            raise self.failureException(f"Failure result expected on {deferred!r}, found {found!r} instead")
        if expectedExceptionTypes and not found.check(*expectedExceptionTypes):
            raise self.failureException(
                f"Failure of type ({names}) expected on {deferred!r}, found {found.type.__name__} instead:\n"
                f"{found.getTraceback()}"
            )
        return found

    def assertNoResult(self, deferred: Any) -> None:
        """Fail if a Deferred has a result now. Its later result passes through."""
        results: list[Any] = []

        def keep(result: Any) -> Any:
            results.append(result)
            return result

        ensureDeferred(deferred).addBoth(keep)
        if results:
            deferred.addErrback(lambda _: None)
            raise self.failureException(f"No result expected on {deferred!r}, found {results[0]!r} instead")

    def _resultsOf(self, deferred: Deferred[Any]) -> list[Any]:
        results: list[Any] = []
        deferred.addBoth(results.append)
        return results

    def assertWarns(  # type: ignore[override]
        self, category: Any, message: Any = None, filename: Any = None, f: Any = None, *a: Any, **k: Any
    ) -> Any:
        """As Twisted's with four arguments and more: return the result of `f`, which must warn so. Else unittest's."""
        if f is None:
            return super().assertWarns(category) if message is None else super().assertWarns(category, message)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = f(*a, **k)
        found = [(each.category, str(each.message)) for each in caught]
        if (category, message) not in found:
            raise self.failureException(f"no warning of {category.__name__} with {message!r} among {found}")
        return result

    failUnlessWarns = assertWarns

    def callDeprecated(self, version: Any, f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the result of `f`, which must warn that it is deprecated."""
        with super().assertWarns(DeprecationWarning):
            return f(*args, **kwargs)
