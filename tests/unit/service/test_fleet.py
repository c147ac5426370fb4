"""The decisions of a supervisor, without processes: a clock, and hands that only write down what they are to do."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from reactor.service.course import DRAIN_LEEWAY, DUMP_TIME
from reactor.service.fleet import (
    FAILURES,
    LEAVE_TIME,
    LIVED,
    START_TIMEOUT,
    STARTERS_END,
    Fleet,
)
from reactor.service.members import CHANGES, Member, Phase, Plan
from reactor.service.starts import FIRST_DELAY, LONGEST_DELAY
from reactor.task import Clock

GRACE = 5.0


class Stage:
    """A fleet whose hands and watcher write down what happens: (what, position, generation)."""

    def __init__(self, workers: int = 2, watchdog: float | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.log: list[Any] = []
        self.refuses: Exception | None = None  # why the system starts no process
        self.covers = True
        self.clients: set[int] = set()  # the positions at whose sockets clients wait
        self.grace = GRACE  # of a drain
        self.fleet = Fleet(self.clock, self, self, **options)
        self.fleet.start(Plan("old", workers, GRACE, watchdog))

    def take(self) -> list[Any]:
        """Return the entries since the last call."""
        self.log, happened = [], self.log
        return happened

    def find(self, number: int, generation: int = 0) -> Member:
        """The newest process at a position that has not ended."""
        found = [each for each in self.fleet.members if (each.number, each.generation) == (number, generation)]
        return found[-1]

    def readyAll(self) -> Stage:
        for member in list(self.fleet.members):
            self.fleet.ready(member)
        return self

    def live(self) -> Stage:
        """All are ready, and have lived."""
        self.readyAll()
        self.clock.advance(LIVED)
        self.take()
        return self

    def end(self, member: Member, how: str = "exit code 1") -> None:
        self.fleet.ended(member, how)

    def _saw(self, what: str, member: Member) -> None:
        self.log.append((what, member.number, member.generation))

    # As members.Hands.

    def start(self, member: Member) -> None:
        if self.refuses is not None:
            raise self.refuses
        self._saw("start", member)

    def drain(self, member: Member, grace: float) -> None:
        assert self.grace - STARTERS_END <= grace <= self.grace
        self._saw("drain", member)

    def leave(self, member: Member) -> None:
        self._saw("leave", member)

    def terminate(self, member: Member) -> None:
        self._saw("terminate", member)

    def dump(self, member: Member) -> None:
        self._saw("dump", member)

    def kill(self, member: Member) -> None:
        self._saw("kill", member)

    def hasClients(self, member: Member) -> bool:
        return member.number in self.clients

    def cover(self, member: Member, workers: int) -> None:
        self._saw(f"cover {workers}", member)

    def coverAll(self, member: Member, ready: Sequence[Member]) -> None:
        assert member in ready
        self._saw("cover all", member)

    def canCover(self, member: Member) -> bool:
        return self.covers

    # As members.Watcher.

    def fleetReady(self) -> None:
        self.log.append("ready")

    def fleetReloaded(self, plan: Plan) -> None:
        self.log.append(("reloaded", plan.setup))

    def reloadFailed(self, plan: Plan, reason: str) -> None:
        self.log.append(("failed", plan.setup, reason))

    def restarted(self, member: Member) -> None:
        self.log.append("restarted")

    def fleetFails(self) -> None:
        self.fleet.stop()

    def fleetEnded(self, error: str | None) -> None:
        self.log.append(("ended", error))


def plan(workers: int = 2, setup: str = "new") -> Plan:
    return Plan(setup, workers, GRACE)


def test_itIsReadyWhenAllAre() -> None:
    stage = Stage()
    assert stage.take() == [("start", 0, 0), ("start", 1, 0)]
    stage.fleet.ready(stage.find(1))
    assert "ready" not in stage.take()
    stage.fleet.ready(stage.find(0))
    assert stage.take() == [("cover 2", 0, 0), "ready"]
    stage.end(stage.find(0))
    stage.readyAll()
    assert "ready" not in stage.take()  # it is told once


# Deaths.


def test_aDeadWorkerIsReplacedAtOnce() -> None:
    stage = Stage().live()
    stage.end(stage.find(1), "signal 9 (SIGKILL)")
    assert stage.take() == [("start", 1, 0), "restarted"]


def test_aWorkerThatLivedOwesNoDelay() -> None:
    stage = Stage().live()
    for _ in range(3 * FAILURES):
        stage.end(stage.find(1))
        assert ("start", 1, 0) in stage.take()
        stage.live()


def test_aCrashLoopBacksOff() -> None:
    """One position fails again and again, while the other serves, also for its clients: each delay is twice as long."""
    stage = Stage().live()
    stage.end(stage.find(1))
    stage.end(stage.find(1))  # the first failure
    stage.take()
    delay = FIRST_DELAY
    delays = []
    for _ in range(12):
        stage.end(stage.find(1))
        assert stage.take() == [("cover all", 0, 0), "restarted"]
        stage.clock.advance(delay - 0.001)
        assert stage.take() == []
        stage.clock.advance(0.002)
        assert stage.take() == [("start", 1, 0)]
        delays.append(delay)
        delay = min(2 * delay, LONGEST_DELAY)
    assert delays[-1] == LONGEST_DELAY
    stage.live()  # it does live at last, and that is forgotten
    stage.end(stage.find(1))
    assert stage.take() == [("start", 1, 0), "restarted"]


def test_theSuccessorOfACoveringWorkerCoversToo() -> None:
    """Worker 1 fails, and worker 0 has its sockets. When worker 0 is replaced, the clients of both are served on."""
    stage = Stage().live()
    for _ in range(3):
        stage.end(stage.find(1))
    assert ("cover all", 0, 0) in stage.take()
    stage.end(stage.find(0))
    assert ("cover all", 0, 0) not in stage.take()  # it is not ready
    stage.fleet.ready(stage.find(0))
    assert ("cover all", 0, 0) in stage.take()


def test_aReadyWorkerHasNotLivedYet() -> None:
    stage = Stage().live()
    stage.end(stage.find(1))
    for _ in range(2):
        stage.fleet.ready(stage.find(1))
        stage.clock.advance(LIVED - 0.01)
        stage.end(stage.find(1))
    stage.take()
    stage.clock.advance(FIRST_DELAY - 0.001)
    assert stage.take() == []
    stage.clock.advance(0.002)
    assert stage.take() == [("start", 1, 0)]


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_itGivesUpIfNoneLives(workers: int) -> None:
    stage = Stage(workers)
    ended = 0
    while not stage.fleet.isStopping:
        members = list(stage.fleet.members)
        if members:
            stage.end(members[0])
            ended += 1
        else:
            stage.clock.advance(FIRST_DELAY)
    assert ended == FAILURES
    for member in list(stage.fleet.members):
        assert ("leave", member.number, 0) in stage.log
        stage.end(member)
    stage.clock.advance(0)
    assert stage.log[-1] == ("ended", "5 workers in a row have not lived for 1 s")
    assert stage.clock.calls == []


def test_itDoesNotGiveUpWhileOneLives() -> None:
    stage = Stage().live()
    stage.end(stage.find(1))
    for _ in range(3 * FAILURES):
        stage.end(stage.find(1))
        stage.clock.advance(LONGEST_DELAY)
    assert not stage.fleet.isStopping


def test_aLifeEndsTheRow() -> None:
    stage = Stage(1)
    for _ in range(3):
        for _ in range(FAILURES - 1):
            stage.end(stage.find(0))
            stage.clock.advance(LONGEST_DELAY)
        stage.live()
        stage.end(stage.find(0))
    assert not stage.fleet.isStopping


def test_itGivesUpAtOnceIfAWorkerSaysWhyItCannotStart() -> None:
    stage = Stage()
    stage.fleet.failed(stage.find(1), "no module named 'chatt'")
    stage.end(stage.find(1))
    stage.end(stage.find(0))
    stage.clock.advance(0)
    error = "worker 1 of generation 0 could not start: no module named 'chatt'"
    assert stage.log[-1] == ("ended", error)


def test_aWorkerMayFailAfterOthersWereReady() -> None:
    """A machine may lack something for a while, for example its network."""
    stage = Stage().live()
    stage.end(stage.find(1))
    stage.fleet.failed(stage.find(1), "no network")
    stage.end(stage.find(1))
    assert not stage.fleet.isStopping


def test_oneWithoutWorkersStaysIfItMust() -> None:
    stage = Stage(1, givesUp=False)
    for _ in range(2 * FAILURES):
        stage.fleet.failed(stage.find(0), "no port is free")
        stage.end(stage.find(0))
        stage.clock.advance(LONGEST_DELAY)
    assert not stage.fleet.isStopping
    assert stage.fleet.serving


@pytest.mark.parametrize("error", [OSError(11, "no process is left"), ValueError("embedded null byte")])
def test_theSystemStartsNoProcess(error: Exception) -> None:
    stage = Stage().live()
    stage.refuses = error
    stage.end(stage.find(1))
    stage.clock.advance(0)  # the start has failed
    stage.clock.advance(0)  # the first failure owes no delay
    stage.refuses = None
    stage.clock.advance(FIRST_DELAY)
    assert ("start", 1, 0) in stage.take()


def test_aWorkerThatIsNeverReadyIsKilled(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(1)
    stage.take()
    stage.clock.advance(START_TIMEOUT)
    assert stage.take() == [("kill", 0, 0)]
    assert "was not ready in time" in caplog.text


def test_anEndIsToldOnce() -> None:
    stage = Stage().live()
    member = stage.find(1)
    stage.end(member)
    stage.take()
    stage.end(member)
    assert stage.take() == []


# The watchdog.


def test_aWorkerThatDoesNotBeatIsKilled(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(watchdog=10.0).live()
    stage.clock.advance(8)
    stage.fleet.beat(stage.find(0))
    stage.clock.advance(2)
    assert stage.take() == [("dump", 1, 0)]
    assert "has not turned its loop for 10 s" in caplog.text
    stage.fleet.beat(stage.find(1))  # it was on its way
    stage.clock.advance(DUMP_TIME)
    assert stage.take() == [("kill", 1, 0)]
    stage.end(stage.find(1), "signal 9 (SIGKILL)")
    assert stage.take() == [("start", 1, 0), "restarted"]


def test_theStacksAreItsEnd() -> None:
    stage = Stage(1, watchdog=10.0).live()
    stage.clock.advance(10)
    stage.end(stage.find(0), "signal 6 (SIGABRT)")
    stage.take()
    stage.clock.advance(DUMP_TIME)
    assert stage.take() == []


def test_theWatchdogLeavesStartsAlone() -> None:
    stage = Stage(watchdog=0.5)
    stage.take()
    stage.clock.advance(START_TIMEOUT - 0.1)
    assert stage.take() == []


def test_theWatchdogAlsoSeesDraining() -> None:
    stage = Stage(1, watchdog=2.0).live()
    stage.fleet.stop()
    stage.take()
    stage.clock.advance(2)
    assert stage.take() == [("dump", 0, 0)]


def test_withoutAWatchdogNobodyIsKilled() -> None:
    stage = Stage().live()
    stage.clock.advance(10_000)
    assert stage.take() == []


# The end.


def test_stopDrains() -> None:
    stage = Stage().live()
    stage.fleet.stop()
    assert stage.take() == [("drain", 0, 0), ("drain", 1, 0)]
    for member in list(stage.fleet.members):
        stage.fleet.draining(member)
        stage.end(member, "exit code 0")
    assert stage.take() == []
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]
    assert stage.clock.calls == []
    stage.fleet.stop()
    stage.fleet.hurry()
    stage.clock.advance(100)
    assert stage.take() == []


def test_theGraceIsADeadline(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage().live()
    stage.fleet.stop()
    stage.end(stage.find(0), "exit code 0")
    stage.take()
    stage.clock.advance(GRACE + DRAIN_LEEWAY - 0.01)
    assert stage.take() == []
    stage.clock.advance(0.02)
    assert stage.take() == [("kill", 1, 0)]
    assert "did not end in time" in caplog.text


def test_aFailureOfADrainIsTheServers() -> None:
    """A worker that could not write all its lines ends with 1. The command would hide that."""
    stage = Stage().live()
    stage.fleet.stop()
    stage.take()
    stage.end(stage.find(1), "exit code 1")
    stage.end(stage.find(0), "exit code 0")
    stage.clock.advance(0)
    assert stage.take() == [("ended", "worker 1 of generation 0 could not end in order (exit code 1)")]


def test_aReasonCountsIfTheWorkerWasTooSlowToEnd() -> None:
    stage = Stage(1).live()
    stage.fleet.stop()
    stage.take()
    stage.fleet.failed(stage.find(0), "9 lines: lost")
    stage.end(stage.find(0), "signal 9 (SIGKILL)")
    stage.clock.advance(0)
    why = "worker 0 of generation 0 could not end in order (signal 9 (SIGKILL): 9 lines: lost)"
    assert stage.take() == [("ended", why)]


def test_aWorkerSaysThatNoneCanGoOn() -> None:
    """The others take its sockets and drain, and nothing takes its place. The error is that of the server."""
    stage = Stage().live()
    stage.fleet.cannotGoOn(stage.find(1), "no room")
    assert stage.take() == [("cover all", 0, 0), ("drain", 0, 0)]
    stage.end(stage.find(1))
    stage.fleet.cannotGoOn(stage.find(0), "no room, either")
    stage.end(stage.find(0))
    stage.clock.advance(0)
    assert stage.take() == [("ended", "worker 1 of generation 0 cannot go on: no room")]


def test_anOldOrANewWorkerEndsNoServer() -> None:
    """A reload fails by the new one, as by any failure; the old one has its successor already."""
    stage = Stage(1).live()
    stage.fleet.reload(plan(1))
    new = stage.find(0, 1)
    stage.fleet.cannotGoOn(new, "no room")
    stage.end(new)
    assert stage.take()[-1] == (
        "failed",
        "new",
        "worker 0 of generation 1 has ended (exit code 1: no room) before all were ready",
    )
    stage.fleet.reload(plan(1))
    old = stage.find(0)
    stage.fleet.ready(stage.find(0, 2))
    stage.fleet.cannotGoOn(old, "no room")
    stage.end(old)
    assert not stage.fleet.isStopping


def test_hurryEndsThemNow() -> None:
    stage = Stage().live()
    stage.fleet.stop()
    stage.take()
    stage.fleet.hurry()
    assert stage.take() == [("leave", 0, 0), ("leave", 1, 0)]
    stage.end(stage.find(1), "exit code 0")
    stage.clock.advance(LEAVE_TIME)
    assert stage.take() == [("kill", 0, 0)]
    stage.end(stage.find(0), "signal 9 (SIGKILL)")
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]


def test_whatIsKilledSinceNobodyWaitsForItIsNoError(caplog: pytest.LogCaptureFixture) -> None:
    """It was asked to end at once, it has no time left, and its record has its own name."""
    stage = Stage(1, kind="admin process").live()
    stage.fleet.hurry(2.0)
    assert stage.take() == [("leave", 0, 0)]
    stage.clock.advance(1.0)
    stage.fleet.hurry()  # the shorter time counts, from now on
    stage.fleet.hurry(5.0)
    stage.clock.advance(LEAVE_TIME - 0.01)
    assert stage.take() == []
    stage.clock.advance(0.02)
    assert stage.take() == [("kill", 0, 0)]
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "WARNING",
        "admin process of generation 0 did not end at once, killed",
    )


def test_aKillMayBeExpected(caplog: pytest.LogCaptureFixture) -> None:
    """The time of the whole server is over, and a busy machine may need longer: that is no warning."""
    caplog.set_level("INFO")
    stage = Stage(1, kind="admin process").live()
    stage.fleet.hurry(0.25, isKillExpected=True)
    stage.clock.advance(0.25)
    assert stage.take() == [("leave", 0, 0), ("kill", 0, 0)]
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == (
        "INFO",
        "admin process of generation 0 did not end at once, killed",
    )


def test_aStartingProcessThatIsHurriedGetsASignal() -> None:
    """A reload may be under way at the end: the new process does not hear an order before it has been imported."""
    stage = Stage(1).live()
    stage.fleet.reload(plan(1))
    stage.take()
    stage.fleet.hurry()
    assert stage.take() == [("leave", 0, 0), ("leave", 0, 1), ("terminate", 0, 1)]


def test_aStartingWorkerHasNothingToDrain() -> None:
    stage = Stage(1)
    stage.take()
    stage.fleet.stop()
    assert stage.take() == [("drain", 0, 0), ("terminate", 0, 0)]
    stage.fleet.ready(stage.find(0))  # it was on its way, and the order is behind it
    assert stage.find(0).phase is Phase.DRAINING


def test_clientsOfAStartingWorkerAreAwaited() -> None:
    """If no other serves: it is not ended, and drains when it is ready, in what is left of the grace."""
    stage = Stage(2)
    stage.clients = {0}
    stage.take()
    stage.fleet.stop()
    assert stage.take() == [("drain", 1, 0), ("terminate", 1, 0)]
    stage.end(stage.find(1), "signal 15 (SIGTERM)")
    stage.clock.advance(GRACE / 2)
    stage.grace = GRACE / 2
    member = stage.find(0)
    stage.fleet.ready(member)
    assert stage.take() == [("drain", 0, 0)]
    stage.clock.advance(GRACE / 2 + DRAIN_LEEWAY)
    assert stage.take() == [("kill", 0, 0)]
    stage.end(member, "exit code 0")
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]


@pytest.mark.parametrize("isAsked", [False, True])
def test_clientsOfAStartingWorkerAreNotAwaitedForEver(isAsked: bool) -> None:
    stage = Stage(1)
    stage.clients = {0}
    stage.fleet.stop()
    stage.take()
    if isAsked:
        stage.fleet.hurry()
        assert stage.take() == [("leave", 0, 0), ("terminate", 0, 0)]
    else:
        stage.clock.advance(GRACE)
        assert stage.take() == [("kill", 0, 0)]


def test_clientsOfAStartingWorkerHaveAnother() -> None:
    """Its socket is open already, and would reset them when it closes."""
    stage = Stage(2)
    stage.clients = {0}
    stage.fleet.ready(stage.find(1))
    stage.take()
    stage.fleet.stop()
    assert stage.take() == [("cover all", 1, 0), ("drain", 0, 0), ("terminate", 0, 0)]
    stage.end(stage.find(0), "signal 15 (SIGTERM)")
    assert stage.take() == [("drain", 1, 0)]
    stage.end(stage.find(1), "exit code 0")
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]
    assert stage.clock.calls == []


def test_aStartingWorkerThatStays() -> None:
    """The others drain all the same. The kernel may let clients in then that nobody serves."""
    stage = Stage(2)
    stage.fleet.ready(stage.find(1))
    stage.fleet.stop()
    stage.take()
    stage.clock.advance(STARTERS_END)
    assert stage.take() == [("drain", 1, 0)]
    stage.end(stage.find(0), "signal 15 (SIGTERM)")
    assert stage.take() == []


def test_hurryWaitsForNoStartingWorker() -> None:
    stage = Stage(2)
    stage.fleet.ready(stage.find(1))
    stage.fleet.stop()
    stage.take()
    stage.fleet.hurry()
    assert [each for each in stage.take() if each[1] == 1] == [("leave", 1, 0)]
    stage.clock.advance(STARTERS_END)
    assert stage.take() == []


@pytest.mark.parametrize("succeeds", [False, True])
def test_clientsOfACrashLoopGetALastWorker(succeeds: bool, caplog: pytest.LogCaptureFixture) -> None:
    """None serves, and the next start is delayed: it comes at once, only for a position that clients wait for."""
    stage = Stage(2)
    for number in (0, 1):
        stage.end(stage.find(number))
        stage.end(stage.find(number))
    stage.clients = {1}
    stage.take()
    stage.fleet.stop()
    assert stage.take() == [("start", 1, 0)]
    member = stage.find(1)
    if succeeds:
        stage.fleet.ready(member)
        assert stage.take() == [("drain", 1, 0)]
        stage.end(member, "exit code 0")
    else:
        stage.end(member)
    stage.clock.advance(LONGEST_DELAY)
    assert stage.take() == [("ended", None)]
    text = "worker 1 of generation 0 has ended (exit code 1), and the clients that waited for it are reset"
    assert (text in caplog.text) is not succeeds


def test_stopWhileARestartWaits() -> None:
    stage = Stage(2).live()
    for _ in range(3):
        stage.end(stage.find(1))
    stage.fleet.stop()
    stage.end(stage.find(0), "exit code 0")
    stage.take()
    stage.clock.advance(LONGEST_DELAY)
    assert stage.take() == [("ended", None)]


def test_nothingHappensAfterTheStop() -> None:
    stage = Stage().live()
    stage.fleet.stop()
    stage.take()
    stage.fleet.more()
    stage.fleet.fewer()
    stage.fleet.reload(plan())
    stage.fleet.retiring(stage.find(0))
    assert stage.take() == []
    stage.end(stage.find(0))
    assert stage.take() == []


# Reloads.


def test_aReloadDrainsTheOldWhenAllNewAreReady() -> None:
    stage = Stage().live()
    stage.fleet.reload(plan())
    assert stage.take() == [("start", 0, 1), ("start", 1, 1)]
    stage.fleet.ready(stage.find(0, 1))
    assert stage.take() == []
    stage.fleet.ready(stage.find(1, 1))
    assert stage.take() == [("reloaded", "new"), ("drain", 0, 0), ("drain", 1, 0)]
    for number in range(2):
        stage.end(stage.find(number), "exit code 0")
    assert stage.take() == []  # they are not replaced
    stage.end(stage.find(1, 1))
    assert stage.take() == [("start", 1, 1), "restarted"]


def test_aReloadMayChangeTheNumber() -> None:
    stage = Stage(1).live()
    stage.fleet.reload(plan(3))
    stage.readyAll()
    assert [member.workers for member in stage.fleet.serving.values()] == [3, 3, 3]
    stage.fleet.reload(plan(1))
    stage.readyAll()
    assert stage.fleet.workers == 1


@pytest.mark.parametrize("wasReady", [False, True])
def test_aReloadFailsWithItsFirstWorker(wasReady: bool) -> None:
    stage = Stage().live()
    stage.fleet.reload(plan())
    if wasReady:
        stage.fleet.ready(stage.find(0, 1))
    stage.fleet.failed(stage.find(0, 1), "no such file")
    stage.take()
    stage.end(stage.find(0, 1), "exit code 1")
    why = "worker 0 of generation 1 has ended (exit code 1: no such file) before all were ready"
    assert stage.take() == [
        ("cover 2", 0, 0),
        ("cover 2", 1, 0),
        ("failed", "new", why),
        ("drain", 1, 1),
        ("terminate", 1, 1),
    ]
    stage.end(stage.find(1, 1))
    assert stage.take() == []
    assert (stage.fleet.plan.setup, stage.fleet.isReloading) == ("old", False)
    stage.fleet.reload(plan(setup="newer"))
    stage.readyAll()
    assert ("reloaded", "newer") in stage.take()


def test_aReloadFailsIfAWorkerIsNotReadyInTime() -> None:
    stage = Stage().live()
    stage.fleet.reload(plan(1))
    stage.clock.advance(START_TIMEOUT)
    assert ("kill", 0, 1) in stage.take()
    stage.end(stage.find(0, 1), "signal 9 (SIGKILL)")
    assert not stage.fleet.isReloading
    assert ("failed", "new") in [entry[:2] for entry in stage.take()]


def test_aReloadFailsIfTheSystemStartsNoProcess() -> None:
    stage = Stage().live()
    stage.refuses = OSError(11, "no process is left")
    stage.fleet.reload(plan())
    stage.clock.advance(0)
    assert "could not start it" in next(entry[2] for entry in stage.take() if entry[0] == "failed")
    assert stage.fleet.plan.setup == "old"


def test_aReloadFailsIfANewWorkerDrainsAlready() -> None:
    stage = Stage().live()
    stage.fleet.reload(plan())
    stage.fleet.draining(stage.find(1, 1))
    assert ("failed", "new", "worker 1 of generation 1 drains already") in stage.take()


def test_failedReloadsDoNotCountForTheRow() -> None:
    stage = Stage().readyAll()
    for turn in range(3 * FAILURES):
        stage.fleet.reload(plan())
        for number in range(2):
            stage.end(stage.find(number, turn + 1))
    assert not stage.fleet.isStopping


def test_anOldWorkerThatDiesDuringAReloadIsReplaced() -> None:
    """By another old one: the reload may still fail."""
    stage = Stage().live()
    stage.fleet.reload(plan())
    stage.end(stage.find(1))
    assert ("start", 1, 0) in stage.take()
    replacement = stage.fleet.serving[1]
    assert replacement.plan.setup == "old"
    for number in range(2):
        stage.fleet.ready(stage.find(number, 1))
    assert ("terminate", 1, 0) in stage.take()
    assert replacement.phase is Phase.DRAINING


def test_aReloadDuringAReloadFollowsIt() -> None:
    """Only the last of those that wait counts."""
    stage = Stage(1).live()
    stage.fleet.reload(plan(1))
    stage.fleet.reload(plan(1, "never"))
    stage.fleet.reload(plan(1, "newest"))
    assert stage.take() == [("start", 0, 1)]
    stage.fleet.ready(stage.find(0, 1))
    assert stage.take() == [("reloaded", "new"), ("drain", 0, 0), ("start", 0, 2)]
    stage.fleet.ready(stage.find(0, 2))
    assert stage.take() == [("reloaded", "newest"), ("drain", 0, 1)]


def test_stopDuringAReload() -> None:
    stage = Stage(1).live()
    stage.fleet.reload(plan(2))
    stage.fleet.ready(stage.find(0, 1))
    stage.fleet.reload(plan(1, "never"))
    stage.take()
    stage.fleet.stop()
    assert stage.take() == [("cover all", 0, 0), ("drain", 1, 1), ("terminate", 1, 1)]
    stage.end(stage.find(1, 1), "signal 15 (SIGTERM)")
    assert stage.take() == [("drain", 0, 0), ("drain", 0, 1)]
    for member in list(stage.fleet.members):
        stage.end(member, "exit code 0")
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]


def test_aReloadBeforeTheFirstAreReady() -> None:
    stage = Stage()
    stage.fleet.reload(plan())
    for member in stage.fleet.members[2:]:
        stage.fleet.ready(member)
    assert stage.log[-6:] == [
        ("reloaded", "new"),
        "ready",
        ("drain", 0, 0),
        ("terminate", 0, 0),
        ("drain", 1, 0),
        ("terminate", 1, 0),
    ]


# Retirements.


def test_aRetiringWorkerIsReplacedFirst() -> None:
    stage = Stage().live()
    old = stage.find(1)
    stage.fleet.retiring(old)
    stage.fleet.retiring(old)
    assert stage.take() == [("start", 1, 0)]
    stage.fleet.ready(stage.fleet.successors[1])
    assert stage.take() == [("drain", 1, 0), ("cover 2", 1, 0)]
    assert old.phase is Phase.DRAINING
    stage.end(old, "exit code 0")
    assert stage.take() == []


def test_aRetiringWorkerStaysUntilASuccessorLives() -> None:
    stage = Stage().live()
    old = stage.find(1)
    stage.fleet.retiring(old)
    for _ in range(2):
        stage.end(stage.fleet.successors[1])
    assert old.isUp
    assert 1 not in stage.fleet.successors  # the next one waits
    stage.clock.advance(FIRST_DELAY)
    stage.fleet.ready(stage.fleet.successors[1])
    assert old.phase is Phase.DRAINING


def test_aRetiringWorkerThatDiesLeavesItsPlaceToTheSuccessor() -> None:
    stage = Stage().live()
    stage.fleet.retiring(stage.find(1))
    successor = stage.fleet.successors[1]
    stage.take()
    stage.end(stage.fleet.serving[1])
    assert stage.take() == ["restarted"]
    assert stage.fleet.serving[1] is successor


def test_aRetirementWaitsForTheReload() -> None:
    stage = Stage().live()
    stage.fleet.reload(plan())
    stage.take()
    stage.fleet.retiring(stage.find(1))
    assert stage.take() == []
    stage.end(stage.find(0, 1))
    assert ("start", 1, 0) in stage.take()  # the reload has failed
    assert stage.fleet.successors[1].plan.setup == "old"


def test_aReloadTakesTheSuccessorsPlace() -> None:
    stage = Stage(1).live()
    stage.fleet.retiring(stage.find(0))
    successor = stage.fleet.successors[0]
    stage.fleet.reload(plan(1))
    stage.fleet.ready(stage.find(0, 1))
    assert successor.phase is Phase.DRAINING
    assert stage.fleet.successors == {}


def test_aWorkerThatDrainsByItselfIsReplacedAtOnce() -> None:
    stage = Stage().live()
    old = stage.find(1)
    stage.fleet.draining(old)
    assert stage.take() == [("start", 1, 0)]
    stage.end(old, "exit code 0")
    assert stage.take() == []


def test_aWorkerThatDrainsBeforeItIsReadyHasFailed() -> None:
    stage = Stage().live()
    stage.end(stage.find(1))
    for _ in range(2):
        stage.fleet.draining(stage.fleet.serving[1])
    assert 1 not in stage.fleet.serving
    stage.clock.advance(FIRST_DELAY)
    assert 1 in stage.fleet.serving


# More and fewer.


def test_oneMore() -> None:
    stage = Stage().live()
    stage.fleet.more()
    assert stage.take() == [("start", 2, 0)]
    assert stage.find(2).workers == 3
    stage.end(stage.find(2))
    assert ("start", 2, 0) in stage.take()


def test_oneFewer() -> None:
    """Its sockets go to the others first."""
    stage = Stage(3).live()
    stage.fleet.fewer()
    assert stage.take() == [("cover 2", 0, 0), ("cover 2", 1, 0), ("drain", 2, 0)]
    stage.end(stage.find(2), "exit code 0")
    assert stage.take() == []
    stage.end(stage.find(1))
    assert stage.find(1).workers == 2


def test_theLastWorkerStays(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(1).live()
    stage.fleet.fewer()
    assert stage.take() == []
    assert "one worker is the least" in caplog.text


def test_aWorkerStaysIfNobodyTakesItsSockets(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage().live()
    stage.covers = False
    stage.fleet.fewer()
    assert stage.take() == []
    assert "no other worker can take the sockets of worker 1" in caplog.text
    assert stage.fleet.workers == 2


@pytest.mark.parametrize("isDelayed", [False, True])
def test_fewerBehindMoreBeforeAnyIsReady(isDelayed: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The wishes wait for a process that can take the sockets, and are carried out in their order."""
    caplog.set_level("INFO")
    stage = Stage(1)
    stage.covers = False
    if isDelayed:
        stage.end(stage.find(0))
        stage.end(stage.find(0))
    stage.fleet.more()
    stage.fleet.fewer()
    stage.fleet.more()
    stage.fleet.fewer()
    stage.take()
    assert stage.fleet.workers == 2
    stage.clock.advance(FIRST_DELAY)
    stage.covers = True
    stage.take()
    stage.fleet.ready(stage.find(0))
    assert stage.fleet.workers == 1
    starts = [each for each in stage.take() if each[0] in ("start", "drain")]
    assert starts == [("drain", 1, 0), ("start", 1, 0), ("drain", 1, 0)]
    assert [each.getMessage() for each in caplog.records if each.name == CHANGES] == [
        "worker 1 leaves, one fewer: 1 worker"
    ] * 2


def test_aWishThatWaitsIsForgottenAtTheEnd() -> None:
    stage = Stage(2)
    stage.covers = False
    stage.fleet.fewer()
    stage.fleet.stop()
    stage.take()
    stage.fleet.more()
    for member in list(stage.fleet.members):
        stage.end(member, "signal 15 (SIGTERM)")
    stage.clock.advance(0)
    assert stage.take() == [("ended", None)]


def test_oneMoreIsToldWhenItIsReady(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    stage = Stage().live()
    stage.fleet.more()
    stage.fleet.more()
    stage.end(stage.find(2))  # the process in its place is another
    said = [each.getMessage() for each in caplog.records if each.name == CHANGES]
    assert said == []
    stage.fleet.ready(stage.find(3))
    stage.fleet.ready(stage.find(2))
    assert [each.getMessage() for each in caplog.records if each.name == CHANGES] == [
        "worker 3 of generation 0 is ready, one more: 4 workers",
        "worker 2 of generation 0 is ready, one more: 4 workers",
    ]


def test_fewerWhileARestartWaits() -> None:
    stage = Stage().live()
    for _ in range(3):
        stage.end(stage.find(1))
    stage.fleet.fewer()
    stage.take()
    stage.clock.advance(LONGEST_DELAY)
    assert stage.take() == []


def test_fewerAlsoEndsTheSuccessor() -> None:
    stage = Stage().live()
    stage.fleet.retiring(stage.find(1))
    stage.take()
    stage.fleet.fewer()
    assert stage.take() == [("cover 1", 0, 0), ("drain", 1, 0), ("drain", 1, 0), ("terminate", 1, 0)]


def test_changesOfTheNumberWaitForTheReload() -> None:
    stage = Stage().live()
    stage.fleet.reload(plan())
    stage.take()
    stage.fleet.more()
    stage.fleet.more()
    stage.fleet.fewer()
    assert stage.take() == []
    for number in range(2):
        stage.fleet.ready(stage.find(number, 1))
    assert stage.fleet.workers == 3
    assert ("start", 2, 1) in stage.take()


# Log records.


def test_anEndIsLoggedWithItsReason(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage().live()
    stage.end(stage.find(0), "signal 11 (SIGSEGV)")
    stage.end(stage.find(0), "exit code 3")
    ends = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert ends == [
        "worker 0 of generation 0 has ended by itself (signal 11 (SIGSEGV))",
        "worker 0 of generation 0 has ended before it was ready (exit code 3)",
    ]
