"""The processes of a fleet as its decisions see them, and the hands that carry the decisions out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from reactor.interfaces import IDelayedCall


class Phase(Enum):
    """The phases of a process, in their order. Each may be skipped, apart from the last."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    LEAVING = "leaving"  # it was told to leave at once
    ENDED = "ended"


@dataclass(frozen=True)
class Plan:
    """The description of the processes of a generation. A fleet does not look into `setup`, the program that they run.

    `grace` and `watchdog` are in seconds. Without a watchdog it is None.
    """

    setup: Any
    workers: int = 1
    grace: float = 5.0
    watchdog: float | None = None


CHANGES = "reactor.service.changes"  # the logger for changes that a user has asked for
WORKER = "worker"  # a kind of processes, of which there are several


def positionOf(kind: str, number: int) -> str:
    """Return the name of a position for the log. Only workers have numbers."""
    return f"{kind} {number}" if kind == WORKER else kind


@dataclass(eq=False)
class Member:
    """One process."""

    number: int  # its position, from 0
    generation: int
    plan: Plan
    workers: int = 1  # how many there were to be when it started
    kind: str = WORKER
    phase: Phase = Phase.STARTING
    wasReady: bool = False
    hasLived: bool = False
    wantsToRetire: bool = False
    patience: float = math.inf  # seconds that it has to leave at once
    isKillExpected: bool = False  # at the end of its patience
    reason: str = ""  # its own words for its failure
    deadline: IDelayedCall | None = None  # of its phase
    settling: IDelayedCall | None = None  # ends with hasLived
    silence: IDelayedCall | None = None  # each beat moves it

    def __str__(self) -> str:
        return f"{positionOf(self.kind, self.number)} of generation {self.generation}"

    @property
    def isUp(self) -> bool:
        """Whether it starts or serves, and was not told to leave."""
        return self.phase in (Phase.STARTING, Phase.READY)

    def forget(self, *timers: str) -> None:
        """Cancel the calls that wait for it: `deadline`, `settling`, `silence`."""
        for name in timers:
            call = getattr(self, name)
            setattr(self, name, None)
            if call is not None and call.active():
                call.cancel()


class Hands(Protocol):
    """The requests of a fleet. Each call returns at once, and what follows is reported to the fleet as an event."""

    def start(self, member: Member) -> None:
        """Start the process of `member`. OSError if the system cannot; any other exception counts as that."""

    def drain(self, member: Member, grace: float) -> None:
        """Have the process end in order, in `grace` seconds."""

    def leave(self, member: Member) -> None:
        """Have the process end at once."""

    def terminate(self, member: Member) -> None:
        """End a process that may not hear an order yet."""

    def dump(self, member: Member) -> None:
        """Have the process write its stacks down."""

    def kill(self, member: Member) -> None:
        """End the process without its help."""

    def hasClients(self, member: Member) -> bool:
        """Whether clients wait at the sockets of the process, or at those that it would have if it was started."""

    def cover(self, member: Member, workers: int) -> None:
        """Give a serving process the sockets that it should have among `workers`, and has not."""

    def coverAll(self, member: Member, ready: Sequence[Member]) -> None:
        """Give a serving process all sockets that none of the `ready` ones has."""

    def canCover(self, member: Member) -> bool:
        """Whether the process could take further sockets."""


class Watcher(Protocol):
    """The code that a fleet tells of its state."""

    def fleetReady(self) -> None:
        """All processes of the first generation are ready."""

    def fleetReloaded(self, plan: Plan) -> None:
        """A reload has succeeded: `plan` is the present one. The old processes will drain."""

    def reloadFailed(self, plan: Plan, reason: str) -> None:
        """A reload has failed, and `plan` is given up. Its processes will drain."""

    def restarted(self, member: Member) -> None:
        """`member` has ended by itself, and another takes its place, now or after a delay."""

    def fleetFails(self) -> None:
        """A process has said that none can go on: the fleet is to be stopped."""

    def fleetEnded(self, error: str | None) -> None:
        """No process is left. `error` is None after an end in order. It is told once."""
