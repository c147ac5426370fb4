"""Many Deferreds into one: DeferredList, gatherResults, race."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Generic, Literal, TypeVar, cast, overload

from reactor.defer.chain import cancelQuietly
from reactor.defer.deferred import Deferred
from reactor.failure import Failure

T = TypeVar("T")
R = TypeVar("R")

SUCCESS: Final = True
FAILURE: Final = False


class FirstError(Exception):
    """A Deferred of a list has failed: `subFailure` is its Failure, `index` its place in the list."""

    def __init__(self, failure: Failure, index: int) -> None:
        super().__init__(failure, index)
        self.subFailure = failure
        self.index = index

    def __repr__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure.value!r}]"

    def __str__(self) -> str:
        return f"FirstError[#{self.index}, {self.subFailure}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FirstError):
            return NotImplemented
        return (self.index, self.subFailure) == (other.index, other.subFailure)

    def __hash__(self) -> int:
        return hash((self.index, self.subFailure))


class FailureGroup(Exception):
    """All Deferreds of a race have failed: `failures` has their Failures, in the race's order."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        super().__init__()
        self.failures = failures


def _listOf(deferreds: Iterable[Deferred[T]]) -> list[Deferred[T]]:
    """Return all Deferreds as a list. TypeError if one is no Deferred.

    A single Deferred is a TypeError too: iterated, it gives itself without end.
    """
    if isinstance(deferreds, Deferred):
        raise TypeError(f"a list of Deferreds is needed, not {deferreds!r}")
    found = list(deferreds)
    for each in found:
        if not hasattr(each, "addCallbacks"):
            raise TypeError(f"Deferreds are needed, not {each!r}: make one with maybeDeferred or ensureDeferred")
    return found


class DeferredList(Deferred[R], Generic[R]):
    """A Deferred that fires when all Deferreds of `deferredList` have a result.

    Its result is a list of (success, resultOrFailure), in the order of `deferredList`. An empty list fires at once, but
    never with fireOnOneCallback. cancel() cancels all Deferreds of the list, if this one has not fired.

    - fireOnOneCallback: fire at the first success, with (result, index).
    - fireOnOneErrback: fail at the first failure, with FirstError.
    - consumeErrors: each failure becomes None in its own Deferred, so that one does not log it. Otherwise results and
      failures stay in their Deferreds.
    """

    fireOnOneCallback: bool = False
    fireOnOneErrback: bool = False

    @overload
    def __init__(
        self: DeferredList[tuple[T, int]],
        deferredList: Iterable[Deferred[T]],
        fireOnOneCallback: Literal[True],
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self: DeferredList[list[tuple[bool, Any]]],
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None: ...

    def __init__(
        self,
        deferredList: Iterable[Deferred[Any]],
        fireOnOneCallback: bool = False,
        fireOnOneErrback: bool = False,
        consumeErrors: bool = False,
    ) -> None:
        super().__init__()
        self._deferredList = _listOf(deferredList)
        self.resultList: Any = [None] * len(self._deferredList)
        self.fireOnOneCallback = fireOnOneCallback
        self.fireOnOneErrback = fireOnOneErrback
        self.consumeErrors = consumeErrors
        self.finishedCount = 0
        if not self._deferredList and not fireOnOneCallback:
            self.callback(cast("R", self.resultList))
        for index, deferred in enumerate(self._deferredList):
            deferred.addCallbacks(
                self._oneFinished, self._oneFinished, callbackArgs=(index, SUCCESS), errbackArgs=(index, FAILURE)
            )

    def _oneFinished(self, result: Any, index: int, succeeded: bool) -> Any:
        self.resultList[index] = (succeeded, result)
        self.finishedCount += 1
        if not self.called:
            first: Any = (result, index)
            if succeeded and self.fireOnOneCallback:
                self.callback(first)
            elif not succeeded and self.fireOnOneErrback:
                self.errback(FirstError(*first))
            elif self.finishedCount == len(self.resultList):
                self.callback(cast("R", self.resultList))
        return result if succeeded or not self.consumeErrors else None

    def cancel(self) -> None:
        """Cancel every Deferred of the list, unless this one has fired. Exceptions of cancellers are logged."""
        if self.called:
            return
        for deferred in self._deferredList:
            cancelQuietly(deferred)


def gatherResults(deferredList: Iterable[Deferred[T]], consumeErrors: bool = False) -> Deferred[list[T]]:
    """Return a Deferred of the list of all results, which fails with FirstError at the first failure.

    consumeErrors and cancel() are as in DeferredList.
    """
    all_ = DeferredList(deferredList, fireOnOneErrback=True, consumeErrors=consumeErrors)
    return all_.addCallback(_valuesOf)


def _valuesOf(results: list[tuple[bool, T]]) -> list[T]:
    return [value for _, value in results]


def race(ds: Sequence[Deferred[T]]) -> Deferred[tuple[int, T]]:
    """Return a Deferred of (index, result) of the first success, which cancels the others.

    It fails with FailureGroup if all fail. Cancelling it cancels all. Exceptions of cancellers are logged.
    """
    contenders = _listOf(ds)
    decided = False
    failures: dict[int, Failure] = {}

    def cancelAll(_: Deferred[Any]) -> None:
        for contender in contenders:
            cancelQuietly(contender)

    final: Deferred[tuple[int, T]] = Deferred(cancelAll)

    def succeeded(result: T, index: int) -> None:
        nonlocal decided
        if decided:
            return
        decided = True
        for contender in contenders:
            if contender is not contenders[index]:
                cancelQuietly(contender)
        final.callback((index, result))

    def failed(failure: Failure, index: int) -> None:
        failures[index] = failure
        if len(failures) == len(contenders):
            final.errback(FailureGroup([failures[each] for each in range(len(contenders))]))

    for index, contender in enumerate(contenders):
        contender.addCallbacks(succeeded, failed, callbackArgs=(index,), errbackArgs=(index,))
    return final
