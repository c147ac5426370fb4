"""Deadlines of one length for many connections, which cost nearly nothing as long as none passes.

A connection begins to wait thousands of times a second, and hardly ever waits to the end. A timer for each would be
moved with every request, and take 400 bytes. So the connections that begin to wait in the same slice of time share a
set, and the set has the timers. A deadline has SLICES slices. A connection is told at its deadline, or at most a
sixteenth of it later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from reactor._logger import getLogger

SLICES = 16

log = getLogger("reactor.http")


class Waiter(Protocol):
    """A thing that waits. `waitsIn` is the set that holds it, or None; this module alone sets it."""

    waitsIn: set[Any] | None

    def waitedTooLong(self) -> object:
        """Called once when the deadline has passed."""


class Deadline:
    """A deadline of `period` seconds, for any number of waiters, each of which waits for one thing at a time."""

    __slots__ = ("_callLater", "current", "period")

    def __init__(self, period: float, callLater: Callable[..., object]) -> None:
        self.period = period
        self._callLater = callLater
        self.current: set[Any] | None = None

    def begin(self, waiter: Waiter) -> None:
        """Let `waiter`, which waits for nothing, wait from now on."""
        current = self.current
        if current is None:
            current = self.current = set()
            slice = self.period / SLICES
            self._callLater(slice, self._close, current)
            self._callLater(self.period + slice, self._pass, current)
        current.add(waiter)
        waiter.waitsIn = current

    def _close(self, waiters: set[Any]) -> None:
        """The slice is over: what begins to wait from now on shares another set."""
        if self.current is waiters:
            self.current = None

    def _pass(self, waiters: set[Any]) -> None:
        """The deadline of all that still wait has passed."""
        self._close(waiters)
        while waiters:
            waiter = waiters.pop()
            waiter.waitsIn = None
            try:
                waiter.waitedTooLong()
            except Exception:
                log.exception("%r has waited too long, and its end has failed", waiter)


def endWait(waiter: Waiter) -> None:
    """Let `waiter` wait no more. It may wait for nothing."""
    if waiter.waitsIn is not None:
        waiter.waitsIn.discard(waiter)
        waiter.waitsIn = None


class Deadlines:
    """The deadlines of a factory under one reactor, by their length."""

    __slots__ = ("_byPeriod", "_callLater")

    def __init__(self, callLater: Callable[..., object]) -> None:
        self._callLater = callLater
        self._byPeriod: dict[float, Deadline] = {}

    def of(self, period: float) -> Deadline:
        """Return the deadline of `period` seconds."""
        found = self._byPeriod.get(period)
        if found is None:
            found = self._byPeriod[period] = Deadline(period, self._callLater)
        return found
