"""Values for the length of a call, as in `twisted.python.context`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")

defaultContextDict: dict[Any, Any] = {}
_values: ContextVar[Mapping[Any, Any]] = ContextVar("reactor.compat.context", default=defaultContextDict)


def call(ctx: Mapping[Any, Any], func: Callable[..., T], *args: Any, **kw: Any) -> T:
    """Call `func` with the values of `ctx` added to those around it; return its result."""
    token = _values.set({**_values.get(), **ctx})
    try:
        return func(*args, **kw)
    finally:
        _values.reset(token)


def get(key: Any, default: Any = None) -> Any:
    """Return the value of `key`, of the nearest call() that has it, or `default`."""
    values = _values.get()
    return values[key] if key in values else defaultContextDict.get(key, default)


def setDefault(key: Any, value: Any) -> None:
    """Set the value of `key` outside of every call()."""
    defaultContextDict[key] = value
