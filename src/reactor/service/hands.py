"""The hands of a fleet: its decisions as processes, orders and signals."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from reactor._logger import getLogger
from reactor.loops.base import ReactorBase
from reactor.service import notify
from reactor.service.control import BEAT, GENERATION, GRACE, NUMBER, VARIABLES, Message
from reactor.service.fleet import Fleet
from reactor.service.members import Member, Watcher
from reactor.service.processes import ManagedProcess
from reactor.service.reuse import Groups, Place
from reactor.service.worker import BEAT_INTERVAL

log = getLogger("reactor.service")

BEATS = 4  # in the time of a watchdog, at least
NOT_INHERITED = frozenset({*VARIABLES, *notify.VARIABLES, "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"})


@dataclass(frozen=True)
class Program:
    """A program that a supervisor runs: its `arguments`, of which the first is its path, and a Place for each name.

    `environment` is its whole environment; None means the supervisor's own. The variables of the channel are added, and
    those of systemd are removed. Two names need different places, see Place.label. `sendFin` tells whether the program
    only receives, see Supervisor. A process gets `threads` sockets of each place that has one for each worker.
    """

    arguments: Sequence[str]
    sockets: Mapping[str, Place] = field(default_factory=dict)
    environment: Mapping[str, str] | None = None
    sendFin: bool = False
    threads: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.arguments, str | bytes) or not self.arguments:
            raise TypeError(f"the arguments are a list of strings, and not {self.arguments!r}")
        if len(set(self.sockets.values())) < len(self.sockets):
            raise ValueError("two names have equal places, and would share sockets: a label tells them apart")


class ProcessHands:
    """Runs the processes of a fleet, whose setups are Programs, and tells the fleet their events.

    `counted(member, snapshot)` is called with each snapshot, and `gone(member, pid)` at the end of each process.
    """

    def __init__(
        self,
        reactor: ReactorBase,
        groups: Groups,
        watcher: Watcher,
        counted: Callable[[Mapping[str, Any]], None],
        gone: Callable[[int], None],
        **options: Any,
    ) -> None:
        """`options` are those of Fleet."""
        self.fleet = Fleet(reactor, self, watcher, **options)
        self._reactor = reactor
        self._groups = groups
        self._counted = counted
        self._gone = gone
        self._processes: dict[Member, ManagedProcess] = {}

    def places(self) -> set[Place]:
        """Return the places of all processes that have not ended, and of those to come."""
        plans = [self.fleet.plan, *(member.plan for member in self.fleet.members)]
        programs = [cast(Program, plan.setup) for plan in plans if plan.setup is not None]
        return {place for program in programs for place in program.sockets.values()}

    def order(self, message: Message) -> None:
        """Give an order to all processes."""
        for process in self._processes.values():
            process.order(message)

    def report(self, message: Message) -> None:
        """Send a message to all processes, which the next one replaces."""
        for process in self._processes.values():
            process.report(message)

    def keepSlots(self) -> None:
        """Keep a socket for each worker of the present plan: it has been in use."""
        program = cast(Program, self.fleet.plan.setup)
        for place in program.sockets.values():
            group = self._groups[place]
            group.kept = max(group.kept, min(self.fleet.workers * program.threads, len(group)))

    def renewed(self, place: Place) -> None:
        """Give the new socket of `place`, a path that was lost, to the processes that serve."""
        for member, process in self._processes.items():
            for name, each in cast(Program, member.plan.setup).sockets.items():
                if each == place:
                    process.slots[name].clear()
        self.fleet.cover()

    def closeUnused(self) -> None:
        """Close sockets that a failed reload has opened, once no process has them."""
        if self.fleet.isReloading:
            return
        used: dict[Place, int] = {}
        for member, process in self._processes.items():
            for name, place in cast(Program, member.plan.setup).sockets.items():
                used[place] = max([used.get(place, 0), *(slot + 1 for slot in process.slots[name])])
        for place in self.places():
            self._groups[place].shrink(used.get(place, 0))

    # As members.Hands.

    def start(self, member: Member) -> None:
        """See members.Hands."""
        program = cast(Program, member.plan.setup)
        slots: dict[str, set[int]] = {}
        sockets: dict[str, list[int]] = {}
        for name, place in program.sockets.items():
            group = self._groups[place]
            group.grow(member.workers * program.threads)
            mine = group.slotsOf(member.number, member.workers)
            slots[name] = set(mine)
            sockets[name] = [group[slot].fileno() for slot in mine]
        process = ManagedProcess(
            self._reactor,
            program.arguments,
            self._environment(program, member),
            sockets,
            lambda message: self._heard(member, message),
            lambda how: self._ended(member, how),
        )
        process.slots = slots
        self._processes[member] = process
        if not self.fleet.isReloading:
            self.keepSlots()
        log.debug("%s has started, process %d", member, process.pid)

    def drain(self, member: Member, grace: float) -> None:
        """See members.Hands."""
        sendFin = cast(Program, member.plan.setup).sendFin
        self._tell(member, {"order": "drain", "grace": grace, "sendFin": sendFin})

    def leave(self, member: Member) -> None:
        """See members.Hands."""
        self._tell(member, {"order": "now"})

    def terminate(self, member: Member) -> None:
        """See members.Hands."""
        self._signal(member, signal.SIGTERM)

    def dump(self, member: Member) -> None:
        """See members.Hands. The worker has faulthandler on, which writes the stacks of all threads at SIGABRT."""
        self._signal(member, signal.SIGABRT)

    def kill(self, member: Member) -> None:
        """See members.Hands."""
        self._signal(member, signal.SIGKILL)

    def hasClients(self, member: Member) -> bool:
        """See members.Hands."""
        process = self._processes.get(member)
        poll = select.poll()
        for name, place in cast(Program, member.plan.setup).sockets.items():
            group = self._groups[place]
            slots = group.slotsOf(member.number, member.workers) if process is None else process.slots[name]
            for slot in slots:
                poll.register(group[slot], select.POLLIN)
        return bool(poll.poll(0))

    def cover(self, member: Member, workers: int) -> None:
        """See members.Hands."""
        for name, place in cast(Program, member.plan.setup).sockets.items():
            for slot in self._groups[place].slotsOf(member.number, workers):
                self._give(member, name, place, slot)

    def coverAll(self, member: Member, ready: Sequence[Member]) -> None:
        """See members.Hands."""
        serving = [self._processes[each] for each in ready if each in self._processes]
        for name, place in cast(Program, member.plan.setup).sockets.items():
            held = {slot for process in serving for slot in process.slots.get(name, ())}
            for slot in set(range(len(self._groups[place]))) - held:
                self._give(member, name, place, slot)

    def _give(self, member: Member, name: str, place: Place, slot: int) -> None:
        process, group = self._processes.get(member), self._groups[place]
        mayLack = group.spreads or group.isRenewed
        if process is not None and process.takes and mayLack and slot not in process.slots[name]:
            process.slots[name].add(slot)
            group.kept = max(group.kept, slot + 1)
            process.order({"order": "take", "name": name}, group[slot].fileno())

    def canCover(self, member: Member) -> bool:
        """See members.Hands. Shared sockets need no cover."""
        process = self._processes.get(member)
        places = cast(Program, member.plan.setup).sockets.values()
        return process is not None and (process.takes or not any(self._groups[place].spreads for place in places))

    # Helpers.

    def _environment(self, program: Program, member: Member) -> dict[str, str]:
        inherited = os.environ if program.environment is None else program.environment
        watchdog = member.plan.watchdog
        beat = BEAT_INTERVAL if watchdog is None else min(BEAT_INTERVAL, watchdog / BEATS)
        return {
            **{name: value for name, value in inherited.items() if name not in NOT_INHERITED},
            NUMBER: str(member.number),
            GENERATION: str(member.generation),
            GRACE: repr(float(member.plan.grace)),
            BEAT: repr(beat),
        }

    def _tell(self, member: Member, message: Message) -> None:
        if (process := self._processes.get(member)) is not None:
            process.order(message)

    def _signal(self, member: Member, number: int) -> None:
        if (process := self._processes.get(member)) is not None:
            process.signal(number)

    def _heard(self, member: Member, message: dict[str, Any]) -> None:
        event = message.get("event")
        if event == "beat":
            self.fleet.beat(member)
            snapshot = message.get("snapshot")
            if isinstance(snapshot, dict):
                self._counted(snapshot)
        elif event == "ready":
            if (process := self._processes.get(member)) is not None:
                process.takes = bool(message.get("takes"))
            self.fleet.ready(member)
        elif event == "draining":
            self.fleet.draining(member)
        elif event == "retiring":
            self.fleet.retiring(member)
        elif event == "failed":
            self.fleet.failed(member, str(message.get("reason")))
        elif event == "cannotGoOn":
            self.fleet.cannotGoOn(member, str(message.get("reason")))
        else:
            log.error("an unknown message of %s: %r", member, message)

    def _ended(self, member: Member, how: str) -> None:
        process = self._processes.pop(member, None)
        self.fleet.ended(member, how)
        if process is not None:
            self._gone(process.pid)
