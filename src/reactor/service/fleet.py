"""The decisions of a supervisor: which processes run, and what follows from an event.

A fleet starts no process and reads no socket. Its hands do that (members.Hands), and it has the time of a clock. So a
test needs neither processes nor waits.

A position is a number from 0, and has one serving process. The events, and what follows from them:

- A process ends. Another takes its place at once. A process that had not lived (ready, and for LIVED seconds) was a
  failure. From the second failure of a position in a row on, the next start waits: FIRST_DELAY, then twice as long each
  time, up to LONGEST_DELAY. After FAILURES in a row the fleet gives up, unless a process lives meanwhile. It gives up
  at once if a process says that it cannot start, and none was ever ready.
- reload(): processes with the new setup start beside the old ones. When all are ready, the old ones drain. If one ends
  before that, the new ones drain, and the old ones stay. Until then the old ones are replaced as always. Retirements,
  and changes of the number, wait for the end of the reload. A second reload waits, too, and only the last one counts.
- retiring(): a successor starts, and when it is ready, the old process drains. If the successor fails, another follows
  after the delay of a failure, and the old process serves meanwhile.
- A process drains without an order (it got a signal): another starts at once.
- more(), fewer(): one position more, or less. The process of a position that ends hands its sockets to others. Without
  a process that can take them, it stays.
- stop(): every process drains, in `grace` seconds and not a second longer. A starting process has nothing to drain, and
  is ended; a serving one takes its sockets, as clients may wait there.
- hurry(): every process ends now, and is killed if that takes long.
- A process that ends its drain with an exit code above 0, for example as it has lost lines: the end is no success.
- A process whose last beat is `watchdog` seconds old writes its stacks, and is killed DUMP_TIME later.
- A process that is not ready after `startTimeout` seconds is killed.

An order is no more than a wish: whatever a process does with it, it is killed when its time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from reactor._logger import getLogger
from reactor.interfaces import IDelayedCall, IReactorTime
from reactor.service.members import WORKER, Hands, Member, Phase, Plan, Watcher, positionOf

log = getLogger("reactor.service")

LIVED = 1.0  # seconds of service after which a process has lived
FAILURES = 5  # starts in a row without one that lives
FIRST_DELAY, LONGEST_DELAY = 0.1, 10.0
START_TIMEOUT = 60.0
DRAIN_LEEWAY = 0.4  # seconds beyond the grace, for the end of the interpreter
LEAVE_TIME = 0.5  # seconds that a process has to end at once
DUMP_TIME = 0.5


class Fleet:
    """Processes of one kind. See the module."""

    def __init__(
        self,
        clock: IReactorTime,
        hands: Hands,
        watcher: Watcher,
        *,
        givesUp: bool = True,
        kind: str = WORKER,
        startTimeout: float = START_TIMEOUT,
    ) -> None:
        self.plan = Plan(None)
        self.workers = 0
        self.generation = self._newest = 0  # that which serves, and the last one that was begun
        self.isStopping = self.hasEnded = False
        self.members: list[Member] = []  # every process that has not ended
        self.serving: dict[int, Member] = {}
        self.successors: dict[int, Member] = {}
        self._clock = clock
        self._hands = hands
        self._watcher = watcher
        self._givesUp = givesUp
        self._kind = kind
        self._startTimeout = startTimeout
        self._restarts: dict[int, IDelayedCall] = {}
        self._failures: dict[int, int] = {}  # in a row, of each position
        self._row = 0  # in a row, of all positions
        self._wasReady = False

        self._error: str | None = None
        self._newcomers: dict[int, Member] | None = None  # of the reload under way
        self._newPlan = self.plan
        self._waitingPlan: Plan | None = None
        self._waiting: list[Callable[[], None]] = []

    @property
    def isReloading(self) -> bool:
        """Whether a reload is under way."""
        return self._newcomers is not None

    # Wishes of the supervisor.

    def start(self, plan: Plan) -> None:
        """Start the processes of `plan`."""
        self.plan, self.workers = plan, plan.workers
        for number in range(plan.workers):
            self._fill(number)

    def reload(self, plan: Plan) -> None:
        """Replace all processes by those of `plan`. During a reload, it waits, and only the last such plan counts."""
        if self.isStopping:
            return
        if self.isReloading:
            self._waitingPlan = plan
            return
        self._newest += 1
        self._newPlan = plan
        self._newcomers = {}
        for number in range(plan.workers):
            self._newcomers[number] = self._begin(number, plan, plan.workers, self._newest)

    def more(self) -> None:
        """Add a position."""
        if self.isStopping or self._later(self.more):
            return
        self.workers += 1
        self._fill(self.workers - 1)

    def fewer(self) -> None:
        """Remove the last position, unless it is the only one, or nobody could take its sockets."""
        if self.isStopping or self._later(self.fewer):
            return
        if self.workers == 1:
            log.warning("one worker is the least, it stays")
            return
        last = self.workers - 1
        takers = [member for number, member in self.serving.items() if number != last and member.isUp]
        if not any(map(self._hands.canCover, takers)):
            log.warning("no other worker can take the sockets of worker %d, it stays", last)
            return
        self.workers = last
        self._cancelRestart(last)
        self._failures.pop(last, None)
        leaving = [self.serving.pop(last, None), self.successors.pop(last, None)]
        self.cover()
        for member in leaving:
            if member is not None:
                self._drain(member)

    def stop(self) -> None:
        """Drain all processes. The watcher hears when none is left."""
        if self.isStopping:
            return
        self._coverAll()
        self._endDecisions()
        for member in list(self.members):
            self._drain(member)
        self._tellEnd()

    def hurry(self, patience: float = LEAVE_TIME) -> None:
        """End all processes now. Those that need more than `patience` seconds are killed."""
        self._endDecisions()
        for member in list(self.members):
            self._leave(member, patience)
        self._tellEnd()

    # Events of processes.

    def ready(self, member: Member) -> None:
        """`member` serves."""
        if member.phase is not Phase.STARTING:
            return
        member.forget("deadline")
        member.phase = Phase.READY
        member.wasReady = True
        member.settling = self._clock.callLater(LIVED, self._hasLived, member)
        if member.plan.watchdog is not None:
            member.silence = self._clock.callLater(member.plan.watchdog, self._silent, member)
        newcomers = self._newcomers
        if newcomers is not None and newcomers.get(member.number) is member:
            if all(each.phase is Phase.READY for each in newcomers.values()):
                self._endReload()
            return
        if self.successors.get(member.number) is member:
            del self.successors[member.number]
            old = self.serving.get(member.number)
            self.serving[member.number] = member
            if old is not None:
                self._drain(old)
        self._hands.cover(member, self.workers)
        self._tellReady()

    def beat(self, member: Member) -> None:
        """The loop of `member` has turned."""
        watchdog = member.plan.watchdog
        if watchdog is not None and member.silence is not None and member.silence.active():
            member.silence.reset(watchdog)

    def failed(self, member: Member, reason: str) -> None:
        """`member` says why it cannot serve. Its end follows."""
        member.reason = reason

    def retiring(self, member: Member) -> None:
        """`member` wants to be replaced."""
        member.wantsToRetire = True
        self._replaceRetired(member.number)

    def draining(self, member: Member) -> None:
        """`member` has begun to drain, by an order or by itself."""
        if not member.isUp:
            return
        wasStarting = member.phase is Phase.STARTING
        self._await(member, Phase.DRAINING, self.plan.grace + DRAIN_LEEWAY)
        if self._isNewcomer(member):
            self._endReload(f"{member} drains already")
        elif self.serving.get(member.number) is member:
            del self.serving[member.number]
            log.info("%s drains by itself", member)
            if wasStarting:
                self._countFailure(member)
            self._fill(member.number)

    def ended(self, member: Member, how: str) -> None:
        """The process of `member` has ended; `how` tells with which code or signal."""
        if member.phase is Phase.ENDED:
            return
        wasUp = member.isUp
        member.forget("deadline", "settling", "silence")
        how = f"{how}: {member.reason}" if member.reason else how
        hasFailed = bool(member.reason) or (how.startswith("exit code ") and how != "exit code 0")  # not by a signal
        if self.isStopping and member.wasReady and hasFailed:
            self._error = self._error or f"{member} could not end in order ({how})"
        member.phase = Phase.ENDED
        self.members.remove(member)
        number = member.number
        if self.isStopping:
            self._tellEnd()
        elif self._isNewcomer(member):
            self._endReload(f"{member} has ended ({how}) before all were ready")
        elif self.successors.get(number) is member:
            del self.successors[number]
            log.error("%s, a successor, has ended (%s); the old one stays for now", member, how)
            self._countFailure(member)
            self._fill(number)
        elif self.serving.get(number) is member:
            del self.serving[number]
            log.error("%s has ended %s (%s)", member, "by itself" if member.wasReady else "before it was ready", how)
            self._replace(member)
        elif wasUp:  # the fleet had no place for it any more
            log.info("%s has ended (%s)", member, how)

    # Processes.

    def _begin(self, number: int, plan: Plan, workers: int, generation: int) -> Member:
        """Start a process of `plan`, one of `workers`. If the system cannot, that is its end."""
        member = Member(number, generation, plan, workers, self._kind)
        self.members.append(member)
        self._await(member, Phase.STARTING, self._startTimeout, "was not ready in time")
        try:
            self._hands.start(member)
        except Exception as error:
            self._clock.callLater(0, self.ended, member, f"the system could not start it: {error}")
        return member

    def _drain(self, member: Member) -> None:
        if not member.isUp:
            return
        wasStarting = member.phase is Phase.STARTING
        self._await(member, Phase.DRAINING, self.plan.grace + DRAIN_LEEWAY)
        self._hands.drain(member, self.plan.grace)
        if wasStarting:
            self._hands.terminate(member)

    def _leave(self, member: Member, patience: float) -> None:
        wasStarting, wasLeaving = member.phase is Phase.STARTING, member.phase is Phase.LEAVING
        if wasLeaving and patience >= member.patience:
            return
        member.patience = patience
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
        isWanted = self.isStopping and member.phase is Phase.LEAVING  # nobody is to wait for it
        log.log(logging.WARNING if isWanted else logging.ERROR, "%s %s, killed", member, why)
        self._hands.kill(member)

    def _hasLived(self, member: Member) -> None:
        member.hasLived = True
        self._row = 0
        self._failures.pop(member.number, None)

    def _silent(self, member: Member) -> None:
        log.error("%s has not turned its loop for %g s, and is killed", member, member.plan.watchdog)
        self._await(member, Phase.LEAVING, DUMP_TIME, "has not ended with its stacks")
        self._hands.dump(member)

    # Positions.

    def _fill(self, number: int) -> None:
        """Have a process at the position `number`, now or after the delay of its failures."""
        if self.isStopping:
            return
        failures = self._failures.get(number, 0)
        self._cancelRestart(number)
        if failures < 2:
            self._place(number)
            return
        delay = min(FIRST_DELAY * 2 ** (failures - 2), LONGEST_DELAY)
        who = positionOf(self._kind, number)
        log.warning("%s has failed %d times in a row, the next start is in %g s", who, failures, delay)
        self._restarts[number] = self._clock.callLater(delay, self._place, number)

    def _place(self, number: int) -> None:
        self._restarts.pop(number, None)
        if self.isStopping or number >= self.workers:
            return
        if number not in self.serving:
            self.serving[number] = self._begin(number, self.plan, self.workers, self.generation)
        else:
            self._replaceRetired(number)

    def _replace(self, member: Member) -> None:
        """Have a process in the place of `member`, which has ended by itself."""
        if not member.hasLived:
            self._countFailure(member)
        if self.isStopping:  # there were too many failures
            return
        number = member.number
        successor = self.successors.pop(number, None)
        if successor is not None:
            self.serving[number] = successor
        else:
            self._fill(number)
        self._watcher.restarted(member)

    def _replaceRetired(self, number: int) -> None:
        """Start the successor of a process that wants to retire, unless it must wait."""
        member = self.serving.get(number)
        if member is None or not member.wantsToRetire or member.phase is not Phase.READY or self.isStopping:
            return
        if self.isReloading or number in self.successors or number in self._restarts:
            return
        log.info("%s retires", member)
        self.successors[number] = self._begin(number, self.plan, self.workers, self.generation)

    def _countFailure(self, member: Member) -> None:
        """Count a process that has not lived, and give up after too many."""
        number = member.number
        self._failures[number] = self._failures.get(number, 0) + 1
        if any(each.hasLived for each in self.members):
            return
        self._row += 1
        if member.reason and not self._wasReady:
            self._giveUp(f"{member} could not start: {member.reason}")
        elif self._row >= FAILURES:
            self._giveUp(f"{self._row} workers in a row have not lived for {LIVED:g} s")

    def _giveUp(self, why: str) -> None:
        if self._givesUp and not self.isStopping:
            self._error = why
            self.hurry()

    def _cancelRestart(self, number: int) -> None:
        call = self._restarts.pop(number, None)
        if call is not None and call.active():
            call.cancel()

    def cover(self) -> None:
        """Have the serving processes get the sockets that they should have."""
        for member in self.serving.values():
            if member.phase is Phase.READY:
                self._hands.cover(member, self.workers)

    def _coverAll(self) -> None:
        """Have a serving process take the sockets of processes that do not serve yet: clients may wait there."""
        ready = [member for member in self.serving.values() if member.phase is Phase.READY]
        taker = next(filter(self._hands.canCover, ready), None)
        if taker is not None and len(ready) < len(self.members) + len(self._restarts):
            self._hands.coverAll(taker, ready)

    # Reloads and the end.

    def _isNewcomer(self, member: Member) -> bool:
        return self._newcomers is not None and self._newcomers.get(member.number) is member

    def _later(self, wish: Callable[[], None]) -> bool:
        """Keep `wish` for the end of the reload, and return whether there is one."""
        if self.isReloading:
            self._waiting.append(wish)
        return self.isReloading

    def _endReload(self, why: str | None = None) -> None:
        """End a reload: all newcomers are ready, or one has failed, for the reason `why`."""
        newcomers, self._newcomers = self._newcomers, None
        assert newcomers is not None
        if why is None:
            for number in list(self._restarts):
                self._cancelRestart(number)
            leaving = [*self.serving.values(), *self.successors.values()]
            self.serving, self.successors = newcomers, {}
            self.plan, self.workers, self.generation = self._newPlan, len(newcomers), self._newest
            self._failures.clear()
            self._watcher.fleetReloaded(self.plan)
            self._tellReady()
        else:
            leaving = list(newcomers.values())
            self.cover()
            self._watcher.reloadFailed(self._newPlan, why)
        for member in leaving:
            self._drain(member)
        waiting, self._waiting = self._waiting, []
        for wish in waiting:
            wish()
        plan, self._waitingPlan = self._waitingPlan, None
        if plan is not None:
            self.reload(plan)
        for number in list(self.serving):
            self._replaceRetired(number)

    def _endDecisions(self) -> None:
        self.isStopping = True
        self._newcomers = None
        self._waitingPlan = None
        self._waiting.clear()
        self.serving.clear()
        self.successors.clear()
        for number in list(self._restarts):
            self._cancelRestart(number)

    def _tellReady(self) -> None:
        if self._wasReady or len(self.serving) < self.workers:
            return
        if all(member.phase is Phase.READY for member in self.serving.values()):
            self._wasReady = True
            self._watcher.fleetReady()

    def _tellEnd(self) -> None:
        if self.members or self.hasEnded:
            return
        self.hasEnded = True
        self._clock.callLater(0, self._watcher.fleetEnded, self._error)
