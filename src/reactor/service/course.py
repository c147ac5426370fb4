"""Course: the phases of a process of a fleet. Each has a deadline, and a process that misses it is killed."""

from __future__ import annotations

import logging
import math

from reactor._logger import getLogger
from reactor.interfaces import IReactorTime
from reactor.service.members import Hands, Member, Phase

log = getLogger("reactor.service")

DRAIN_LEEWAY = 0.4  # seconds beyond the grace, for the end of the interpreter
DUMP_TIME = 0.5


class Course:
    """Moves processes from phase to phase, with the time of `clock`, and has `hands` tell them."""

    def __init__(self, clock: IReactorTime, hands: Hands) -> None:
        self._clock = clock
        self._hands = hands

    def starts(self, member: Member, seconds: float) -> None:
        """`member` starts, and has `seconds` until it must be ready."""
        self._await(member, Phase.STARTING, seconds, "was not ready in time")

    def serves(self, member: Member) -> None:
        """`member` is ready. Its watchdog begins."""
        member.forget("deadline")
        member.phase = Phase.READY
        member.wasReady = True
        if member.plan.watchdog is not None:
            member.silence = self._clock.callLater(member.plan.watchdog, self._silent, member)

    def drains(self, member: Member, grace: float) -> None:
        """`member` has begun to drain."""
        self._await(member, Phase.DRAINING, grace + DRAIN_LEEWAY)

    def drain(self, member: Member, grace: float) -> None:
        """Have `member` drain in `grace` seconds. One that starts has nothing to drain, and is ended."""
        if not member.isUp:
            return
        wasStarting = member.phase is Phase.STARTING
        self.drains(member, grace)
        self._hands.drain(member, grace)
        if wasStarting:
            self._hands.terminate(member)

    def leave(self, member: Member, patience: float, isKillExpected: bool = False) -> None:
        """Have `member` end at once, in `patience` seconds. The shortest patience counts."""
        wasStarting, wasLeaving = member.phase is Phase.STARTING, member.phase is Phase.LEAVING
        if wasLeaving and patience >= member.patience:
            return
        member.patience, member.isKillExpected = patience, isKillExpected
        self._await(member, Phase.LEAVING, patience, "did not end at once")
        if not wasLeaving:
            self._hands.leave(member)
        if wasStarting:
            self._hands.terminate(member)  # it may not hear an order for a while

    def _await(self, member: Member, phase: Phase, seconds: float, why: str = "did not end in time") -> None:
        """Move `member` to `phase`, and kill it if that lasts longer than `seconds`."""
        member.forget("deadline", "settling")
        member.phase = phase
        member.deadline = self._clock.callLater(seconds, self._overdue, member, why)

    def _overdue(self, member: Member, why: str) -> None:
        isWanted = member.phase is Phase.LEAVING and member.patience < math.inf  # nobody is to wait for it
        level = logging.INFO if isWanted and member.isKillExpected else logging.WARNING if isWanted else logging.ERROR
        log.log(level, "%s %s, killed", member, why)
        self._hands.kill(member)

    def _silent(self, member: Member) -> None:
        log.error("%s has not turned its loop for %g s, and is killed", member, member.plan.watchdog)
        self._await(member, Phase.LEAVING, DUMP_TIME, "has not ended with its stacks")
        self._hands.dump(member)
