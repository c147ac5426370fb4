"""Configuration: the part of a supervisor that a reload may change."""

from __future__ import annotations

from dataclasses import dataclass

from reactor._arguments import checkCount
from reactor.service.hands import Program
from reactor.service.members import Plan
from reactor.service.reuse import Place

GRACE_TIME = 5.0
LEAST_WATCHDOG = 0.1  # seconds; workers beat several times in it


@dataclass(frozen=True)
class Configuration:
    """All that a reload may change. Supervisor tells the meaning of the fields; `program` is that of the workers."""

    program: Program
    workers: int = 1
    grace: float = GRACE_TIME
    watchdog: float | None = None
    admin: Program | None = None

    def __post_init__(self) -> None:
        checkCount(self.workers, "the number of workers")
        if self.workers < 1:
            raise ValueError(f"a server needs one worker or more, and not {self.workers}")
        if not self.grace >= 0:
            raise ValueError(f"the grace is a number of seconds from 0, and not {self.grace!r}")
        if self.watchdog is not None and not self.watchdog >= LEAST_WATCHDOG:
            raise ValueError(
                f"the time of a watchdog is at least {LEAST_WATCHDOG:g} seconds, and not {self.watchdog!r}"
            )

    @property
    def places(self) -> set[Place]:
        """All places, also those of the admin process."""
        admin = () if self.admin is None else self.admin.sockets.values()
        return {*self.program.sockets.values(), *admin}

    @property
    def plan(self) -> Plan:
        """The plan of the workers' fleet."""
        return Plan(self.program, self.workers, self.grace, self.watchdog)


class ReloadRefused(Exception):
    """Raised by `reconfigure`, with the reason as its text: the log has it in one line, without a traceback."""
