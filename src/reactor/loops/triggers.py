"""System events: calls that run before, during or after the reactor's start and stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reactor._arguments import checkCall
from reactor._beside import started
from reactor.defer import Deferred, DeferredList, succeed
from reactor.failure import Failure

PHASES = ("before", "during", "after")


class Trigger:
    """One call to make in one phase of an event's next firing. It is its own ID."""

    __slots__ = ("args", "call", "eventType", "kwargs", "phase")

    def __init__(
        self, phase: str, eventType: str, call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.phase = phase
        self.eventType = eventType
        self.call = call
        self.args = args
        self.kwargs = kwargs

    def __repr__(self) -> str:
        return f"<trigger {self.phase} {self.eventType}: {self.call!r}>"


class SystemEvents:
    """The triggers of every event type. Each runs once. An exception goes to `report` and stops nothing."""

    def __init__(self, report: Callable[..., None]) -> None:
        self._report = report
        self._gates: dict[str, list[Deferred[None]]] = {}
        self._triggers: dict[tuple[str, str], list[Trigger]] = {}

    def add(self, trigger: Trigger) -> None:
        """Add `trigger`. KeyError for an unknown phase; TypeError if it cannot be called."""
        checkCall(trigger.call)
        if trigger.phase not in PHASES:
            raise KeyError(f"invalid phase {trigger.phase!r}: it is one of {', '.join(PHASES)}")
        self._triggers.setdefault((trigger.eventType, trigger.phase), []).append(trigger)

    def remove(self, trigger: Trigger) -> None:
        """Remove `trigger`. ValueError if it has run, was removed, or is no trigger."""
        if not isinstance(trigger, Trigger):
            raise ValueError(f"what addSystemEventTrigger has returned removes a trigger, not {trigger!r}")
        self._triggers.get((trigger.eventType, trigger.phase), []).remove(trigger)

    def fire(
        self, eventType: str, begin: Callable[[], None] | None = None, finish: Callable[[], None] | None = None
    ) -> Deferred[None]:
        """Run the phases in order and return a Deferred that fires after the last.

        This waits for Deferreds and coroutines of the "before" triggers. Then come `begin` and the "during" triggers.
        With `finish`, it waits for theirs too, and calls `finish` before the "after" triggers.
        """

        def during(_: None) -> Deferred[None] | None:
            if begin is not None:
                begin()
            waiting = self._runPhase(eventType, "during")
            return None if finish is None else waiting

        def after(_: None) -> None:
            if finish is not None:
                finish()
            self._runPhase(eventType, "after")

        return self._runPhase(eventType, "before").addCallback(during).addCallback(after)

    def hurry(self, eventType: str) -> None:
        """Stop waiting for any Deferred of the present firing: its phases run at once."""
        while gates := self._gates.get(eventType):
            gates.pop(0).callback(None)

    def clear(self) -> None:
        """Remove every trigger, also those that the present firing has not reached yet."""
        for triggers in self._triggers.values():
            triggers.clear()
        self._gates.clear()

    def forget(self, *eventTypes: str) -> None:
        """Give up the present firings: the results that they wait for have no effect."""
        for eventType in eventTypes:
            self._gates.pop(eventType, None)

    def _runPhase(self, eventType: str, phase: str) -> Deferred[None]:
        """Call the triggers of a phase, including those added meanwhile; wait for their Deferreds."""
        triggers = self._triggers.get((eventType, phase), [])
        pending: list[Deferred[Any]] = []
        while triggers:
            trigger = triggers.pop(0)
            try:
                result = trigger.call(*trigger.args, **trigger.kwargs)
                running = started(result)
            except BaseException:
                self._report(Failure(), "the", trigger)
                continue
            if isinstance(result, Deferred):
                pending.append(result.addErrback(self._report, "the", trigger))
            elif running is not None:
                pending.append(running.addErrback(self._report, "the", trigger))
        if not pending:
            return succeed(None)
        gate: Deferred[None] = Deferred()
        self._gates.setdefault(eventType, []).append(gate)
        DeferredList(pending).addCallback(lambda _: self._pass(eventType, gate))
        return gate

    def _pass(self, eventType: str, gate: Deferred[None]) -> None:
        """Go on after a phase, unless this firing was given up."""
        gates = self._gates.get(eventType, [])
        if gate in gates:
            gates.remove(gate)
            gate.callback(None)
