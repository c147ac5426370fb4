"""The decisions of a supervisor: which processes run, and what follows from an event.

A fleet starts no process and reads no socket. Its hands do that (members.Hands), and it has the time of a clock. So a
test needs neither processes nor waits.

A position is a number from 0, and has one serving process. The events, and what follows from them:

- A process ends. Another takes its place at once. A process that had not lived (ready, and for LIVED seconds) was a
  failure. From the second failure of a position in a row on, the next start waits: FIRST_DELAY, then twice as long each
  time, up to LONGEST_DELAY. Another process takes its sockets meanwhile, as clients may wait there. After FAILURES in a
  row the fleet gives up, unless a process lives meanwhile. It gives up at once if a process says that it cannot start,
  and none was ever ready.
- reload(): processes with the new setup start beside the old ones. When all are ready, the old ones drain. If one ends
  before that, the new ones drain, and the old ones stay. Until then the old ones are replaced as always. Retirements,
  and changes of the number, wait for the end of the reload. A second reload waits, too, and only the last one counts.
- retiring(): a successor starts, and when it is ready, the old process drains. If the successor fails, another follows
  after the delay of a failure, and the old process serves meanwhile.
- A process drains without an order (it got a signal): another starts at once.
- more(), fewer(): one position more, or less. The process of a position that ends hands its sockets to others. Without
  a process that can take them, it stays. One that starts may be able to: then the wish waits for it, and later wishes
  wait behind it.
- stop(): every process drains, in `grace` seconds and not a second longer. A starting process has nothing to drain, and
  is ended; a serving one takes its sockets, as clients may wait there. The others drain when it has ended, or
  STARTERS_END later. While it has a copy of its sockets, the kernel lets clients in, and nobody would serve them. If
  none serves, a starting process that clients wait for drains when it is ready. If clients wait for one whose start is
  delayed, it starts at once.
- hurry(): every process ends now, and is killed if that takes long.
- A process that serves says that none can go on: the watcher is to call stop(), and the end is no success.
- A process that ends its drain with an exit code above 0, for example as it has lost lines: the end is no success.
- A process whose last beat is `watchdog` seconds old writes its stacks, and is killed DUMP_TIME later.
- A process that is not ready after `startTimeout` seconds is killed.

An order is no more than a wish: whatever a process does with it, it is killed when its time is over.
"""

from __future__ import annotations

from reactor._logger import getLogger
from reactor.interfaces import IDelayedCall, IReactorTime
from reactor.service.course import Course
from reactor.service.members import WORKER, Hands, Member, Phase, Plan, Watcher
from reactor.service.sizing import Sizing
from reactor.service.starts import Starts
from reactor.timers import monotonicTime

log = getLogger("reactor.service")

LIVED = 1.0  # seconds of service after which a process has lived
FAILURES = 5  # starts in a row without one that lives
START_TIMEOUT = 60.0
LEAVE_TIME = 0.5  # seconds that a process has to end at once
STARTERS_END = 0.25  # seconds that starting processes have to end before the others drain


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
        self.hands = hands
        self._watcher = watcher
        self._givesUp = givesUp
        self._kind = kind
        self._startTimeout = startTimeout
        self._course = Course(clock, hands)
        self.starts = Starts(clock, kind, self._place)
        self._row = 0  # failures in a row, of all positions
        self._wasReady = False
        self._endsAt = 0.0  # the time of the clock at which the grace of stop() is over
        self._starters: list[Member] = []  # those that stop() ends, as they were not ready
        self._drainLater: IDelayedCall | None = None
        self._error: str | None = None
        self._newcomers: dict[int, Member] | None = None  # of the reload under way
        self._newPlan = self.plan
        self._waitingPlan: Plan | None = None
        self._sizing = Sizing(self)

    @property
    def isReloading(self) -> bool:
        """Whether a reload is under way."""
        return self._newcomers is not None

    # Wishes of the supervisor.

    def start(self, plan: Plan) -> None:
        """Start the processes of `plan`."""
        self.plan, self.workers = plan, plan.workers
        for number in range(plan.workers):
            self.fill(number)

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
        self._sizing.more()

    def fewer(self) -> None:
        """Remove the last position, unless it is the only one, or nobody could take its sockets."""
        self._sizing.fewer()

    def stop(self) -> None:
        """Drain all processes. The watcher hears when none is left."""
        if self.isStopping:
            return
        isCovered = self._coverAll()
        delayed = [] if isCovered else self.starts.positions
        self._endDecisions()
        self._endsAt = monotonicTime(self._clock) + self.plan.grace
        for number in delayed:
            if self.hands.hasClients(Member(number, self.generation, self.plan, self.workers, self._kind)):
                self._begin(number, self.plan, self.workers, self.generation)
        for member in [each for each in self.members if each.phase is Phase.STARTING]:
            if not isCovered and self.hands.hasClients(member):
                self._course.starts(member, self.plan.grace)
            else:
                self._drain(member)
                self._starters.append(member)
        if self._starters:
            self._drainLater = self._clock.callLater(STARTERS_END, self._drainAll)
        else:
            self._drainAll()
        self._tellEnd()

    def hurry(self, patience: float = LEAVE_TIME, isKillExpected: bool = False) -> None:
        """End all processes now. Those that need more than `patience` seconds are killed.

        `isKillExpected`: that is no warning, as they have nothing to finish, and a busy machine may need longer.
        """
        self._endDecisions()
        self._cancelDrain()
        for member in list(self.members):
            self._course.leave(member, patience, isKillExpected)
        self._tellEnd()

    # Events of processes.

    def ready(self, member: Member) -> None:
        """`member` serves."""
        if member.phase is not Phase.STARTING:
            return
        self._course.serves(member)
        member.settling = self._clock.callLater(LIVED, self._hasLived, member)
        if self.isStopping:  # its clients have waited for it
            self._drain(member)
            return
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
        self.hands.cover(member, self.workers)
        if self.starts:  # the process that served their clients may be the one that this one replaces
            self._coverAll()
        self._tellReady()
        self._sizing.ready(member)

    def beat(self, member: Member) -> None:
        """The loop of `member` has turned."""
        watchdog = member.plan.watchdog
        if watchdog is not None and member.silence is not None and member.silence.active():
            member.silence.reset(watchdog)

    def failed(self, member: Member, reason: str) -> None:
        """`member` says why it cannot serve. Its end follows."""
        member.reason = reason

    def cannotGoOn(self, member: Member, reason: str) -> None:
        """`member` says why no process can go on. Its end follows, and that of all others if it serves."""
        self.failed(member, reason)
        if self.serving.get(member.number) is member and member.phase is Phase.READY:
            self._error = f"{member} cannot go on: {reason}"
            self._course.drains(member, self.plan.grace)
            self._watcher.fleetFails()

    def retiring(self, member: Member) -> None:
        """`member` wants to be replaced."""
        member.wantsToRetire = True
        self._replaceRetired(member.number)

    def draining(self, member: Member) -> None:
        """`member` has begun to drain, by an order or by itself."""
        if not member.isUp:
            return
        wasStarting = member.phase is Phase.STARTING
        self._course.drains(member, self.plan.grace)
        if self._isNewcomer(member):
            self._endReload(f"{member} drains already")
        elif self.serving.get(member.number) is member:
            del self.serving[member.number]
            log.info("%s drains by itself", member)
            if wasStarting:
                self._countFailure(member)
            self.fill(member.number)

    def ended(self, member: Member, how: str) -> None:
        """The process of `member` has ended; `how` tells with which code or signal."""
        if member.phase is Phase.ENDED:
            return
        wasUp = member.isUp
        isAwaited = self.isStopping and member.phase is Phase.STARTING
        member.forget("deadline", "settling", "silence")
        how = f"{how}: {member.reason}" if member.reason else how
        hasFailed = bool(member.reason) or (how.startswith("exit code ") and how != "exit code 0")  # not by a signal
        if self.isStopping and member.wasReady and hasFailed:
            self._error = self._error or f"{member} could not end in order ({how})"
        member.phase = Phase.ENDED
        self.members.remove(member)
        number = member.number
        if self.isStopping:
            if isAwaited:
                log.error("%s has ended (%s), and the clients that waited for it are reset", member, how)
            if self._drainLater is not None and all(each.phase is Phase.ENDED for each in self._starters):
                self._drainAll()
            self._tellEnd()
        elif self._isNewcomer(member):
            self._endReload(f"{member} has ended ({how}) before all were ready")
        elif self.successors.get(number) is member:
            del self.successors[number]
            log.error("%s, a successor, has ended (%s); the old one stays for now", member, how)
            self._countFailure(member)
            self.fill(number)
        elif self.serving.get(number) is member:
            del self.serving[number]
            log.error("%s has ended %s (%s)", member, "by itself" if member.wasReady else "before it was ready", how)
            self._replace(member)
        elif wasUp:  # the fleet had no place for it any more
            log.info("%s has ended (%s)", member, how)
        self._sizing.carryOut()

    # Processes.

    def _begin(self, number: int, plan: Plan, workers: int, generation: int) -> Member:
        """Start a process of `plan`, one of `workers`. If the system cannot, that is its end."""
        member = Member(number, generation, plan, workers, self._kind)
        self.members.append(member)
        self._course.starts(member, self._startTimeout)
        try:
            self.hands.start(member)
        except Exception as error:
            self._clock.callLater(0, self.ended, member, f"the system could not start it: {error}")
        return member

    def _drain(self, member: Member) -> None:
        grace = self.plan.grace if not self.isStopping else max(self._endsAt - monotonicTime(self._clock), 0)
        self._course.drain(member, grace)

    def _hasLived(self, member: Member) -> None:
        member.hasLived = True
        self._row = 0
        self.starts.lived(member.number)

    # Positions.

    def fill(self, number: int) -> None:
        """Have a process at the position `number`, now or after the delay of its failures."""
        if self.isStopping:
            return
        self.starts.start(number)
        if number in self.starts:  # a start waits, and so would its clients
            self._coverAll()

    def _place(self, number: int) -> None:
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
            self.fill(number)
        self._watcher.restarted(member)

    def _replaceRetired(self, number: int) -> None:
        """Start the successor of a process that wants to retire, unless it must wait."""
        member = self.serving.get(number)
        if member is None or not member.wantsToRetire or member.phase is not Phase.READY or self.isStopping:
            return
        if self.isReloading or number in self.successors or number in self.starts:
            return
        log.info("%s retires", member)
        self.successors[number] = self._begin(number, self.plan, self.workers, self.generation)

    def _countFailure(self, member: Member) -> None:
        """Count a process that has not lived, and give up after too many."""
        self.starts.failed(member.number)
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

    def remove(self, number: int) -> None:
        """Remove the last position, `number`: others take its sockets, and it drains."""
        self.workers = number
        self.starts.cancel(number)
        self.starts.lived(number)
        leaving = [self.serving.pop(number, None), self.successors.pop(number, None)]
        self.cover()
        for member in leaving:
            if member is not None:
                self._drain(member)

    def cover(self) -> None:
        """Have the serving processes get the sockets that they should have."""
        for member in self.serving.values():
            if member.phase is Phase.READY:
                self.hands.cover(member, self.workers)

    def _coverAll(self) -> bool:
        """Have a serving process take the sockets of processes that do not serve yet: clients may wait there.

        Return whether there is one.
        """
        ready = [member for member in self.serving.values() if member.phase is Phase.READY]
        taker = next(filter(self.hands.canCover, ready), None)
        if taker is not None and len(ready) < len(self.members) + len(self.starts):
            self.hands.coverAll(taker, ready)
        return taker is not None

    # Reloads and the end.

    def _isNewcomer(self, member: Member) -> bool:
        return self._newcomers is not None and self._newcomers.get(member.number) is member

    def _endReload(self, why: str | None = None) -> None:
        """End a reload: all newcomers are ready, or one has failed, for the reason `why`."""
        newcomers, self._newcomers = self._newcomers, None
        assert newcomers is not None
        if why is None:
            leaving = [*self.serving.values(), *self.successors.values()]
            self.serving, self.successors = newcomers, {}
            self.plan, self.workers, self.generation = self._newPlan, len(newcomers), self._newest
            self.starts.forget()
            self._sizing.forget()
            self._watcher.fleetReloaded(self.plan)
            self._tellReady()
        else:
            leaving = list(newcomers.values())
            self.cover()
            self._watcher.reloadFailed(self._newPlan, why)
        for member in leaving:
            self._drain(member)
        self._sizing.carryOut()
        plan, self._waitingPlan = self._waitingPlan, None
        if plan is not None:
            self.reload(plan)
        for number in list(self.serving):
            self._replaceRetired(number)

    def _drainAll(self) -> None:
        self._cancelDrain()
        for member in [each for each in self.members if each.phase is Phase.READY]:
            self._drain(member)

    def _cancelDrain(self) -> None:
        later, self._drainLater = self._drainLater, None
        if later is not None and later.active():
            later.cancel()

    def _endDecisions(self) -> None:
        self.isStopping = True
        self._newcomers = None
        self._waitingPlan = None
        self.serving.clear()
        self.successors.clear()
        self.starts.cancelAll()

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
