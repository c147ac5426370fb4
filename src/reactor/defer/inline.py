"""inlineCallbacks: a generator as a function that returns a Deferred."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, NoReturn, ParamSpec, TypeVar

from reactor.defer.coroutines import ReturnValue
from reactor.defer.deferred import Deferred

T = TypeVar("T")
P = ParamSpec("P")


def inlineCallbacks(f: Callable[P, Generator[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Make a function of a generator: a call runs it, and returns a Deferred of its result.

    `yield` of a Deferred, a coroutine or a generator waits for it, and gives its result or raises its error. Any other
    yielded object comes straight back. Context and cancellation are as in Deferred.fromCoroutine. A call raises
    TypeError if `f` does not return a generator.
    """

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        try:
            steps = f(*args, **kwargs)
        except ReturnValue:
            raise TypeError(
                f"inlineCallbacks requires {f!r} to produce a generator; instead caught returnValue being used "
                "in a non-generator"
            ) from None
        if not isinstance(steps, GeneratorType):
            raise TypeError(f"inlineCallbacks requires {f!r} to produce a generator; instead got {steps!r}")
        return Deferred.fromCoroutine(steps)

    return call


def returnValue(val: object) -> NoReturn:
    """End the inlineCallbacks generator that calls this, with the result `val`: the old form of `return val`.

    It raises an exception outside Exception, so a bare `except:` around it is a mistake.
    """
    raise ReturnValue(val)
