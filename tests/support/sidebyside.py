"""Runs one script with our names and with Twisted's, and compares what the two said."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

# Twisted makes its reactor at import: here, so that no single test is taken for the owner of its files.
import twisted.internet.reactor  # noqa: F401
from twisted.internet import defer as twistedDefer
from twisted.internet import error as twistedError
from twisted.internet import task as twistedTask

from reactor import defer, error, task

OURS = SimpleNamespace(
    Clock=task.Clock, LoopingCall=task.LoopingCall, task=task, Deferred=defer.Deferred, defer=defer, error=error
)
THEIRS = SimpleNamespace(
    Clock=twistedTask.Clock,
    LoopingCall=twistedTask.LoopingCall,
    task=twistedTask,
    Deferred=twistedDefer.Deferred,
    defer=twistedDefer,
    error=twistedError,
)

Script = Callable[[Any, Callable[..., None]], object]


def traceOf(kit: Any, script: Script) -> list[Any]:
    """Run `script` with our kit or Twisted's: what it said, and the name of the exception that ended it, if one did."""
    trace: list[Any] = []

    def say(*words: object) -> None:
        trace.append(words)

    try:
        script(kit, say)
    except Exception as error:
        trace.append(("raised", type(error).__name__))
    return trace


def same(script: Script) -> list[Any]:
    """The trace of `script`, which is the same with Twisted."""
    ours = traceOf(OURS, script)
    assert ours == traceOf(THEIRS, script)
    assert ours
    return ours


def result(deferred: Any, say: Callable[..., None], name: str = "result") -> None:
    """Say what `deferred` fires with, when it does."""
    deferred.addCallbacks(
        lambda value: say(name, value if isinstance(value, str | int | None) else type(value).__name__),
        lambda failure: say(name, "failed", failure.type.__name__, failure.getErrorMessage()),
    )
