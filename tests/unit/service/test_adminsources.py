"""Sources of the admin pages: this process, or a server in others."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from reactor import Clock
from reactor.service.admin import LocalSource, RemoteSource
from tests.support.statuses import snapshotOf, statusOf


class Local:
    """A LocalSource, whose process counts up."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.asked = 0
        self.state = "ready"
        self.broken = False
        self.source = LocalSource(self.stats, version="1.2.3", configuration="a.toml", reactor=self.clock)

    def stats(self) -> dict[str, Any]:
        self.asked += 1
        if self.broken:
            raise OSError("no memory")
        return snapshotOf(accepted=self.asked, state=self.state)


def test_aLocalSourceAsksWhenItIsAsked() -> None:
    local = Local()
    status = local.source.status()
    assert (status["version"], status["configuration"], status["state"]) == ("1.2.3", "a.toml", "ready")
    assert status["totals"]["syslog"]["accepted"] == 1
    assert local.source.status()["totals"]["syslog"]["accepted"] == 2


def test_reloadsOfALocalSource() -> None:
    source = Local().source
    source.reloads, source.reloadFailures = 3, 1
    assert [source.status()[name] for name in ("reloads", "reloadFailures", "restarts")] == [3, 1, 0]


def test_theStateOfALocalSource() -> None:
    local = Local()
    assert (local.source.isReady(), local.source.reason()) == (True, "ready")
    local.state = "draining"
    assert (local.source.isReady(), local.source.reason()) == (False, "draining")
    local.source.state = "starting"
    assert (local.source.isReady(), local.source.reason()) == (False, "starting")
    assert local.source.status()["state"] == "starting"


def test_aLocalSourceTellsEachSecondAsLongAsAnyoneListens() -> None:
    local = Local()
    told: list[int] = []
    ends = [local.source.subscribe(lambda status: told.append(status["totals"]["syslog"]["accepted"]))]
    assert told == []
    local.clock.pump([0.5, 0.5, 1.0])
    assert told == [1, 2]
    ends.append(local.source.subscribe(lambda _: told.append(-1)))
    local.clock.advance(1.0)
    assert told == [1, 2, 3, -1]
    for end in ends * 2:  # the second call does nothing
        end()
    local.clock.pump([1.0] * 3)
    assert told == [1, 2, 3, -1]
    assert local.clock.getDelayedCalls() == []


def test_aSecondTimeALocalSourceBegins() -> None:
    local = Local()
    told: list[float] = []
    for _ in range(2):
        end = local.source.subscribe(lambda _: told.append(1))
        local.clock.advance(1.0)
        end()
    assert told == [1, 1]


def test_statsThatFailAreLoggedAndAskedAgain(caplog: pytest.LogCaptureFixture) -> None:
    local = Local()
    told: list[int] = []
    local.source.subscribe(lambda status: told.append(status["totals"]["syslog"]["accepted"]))
    local.broken = True
    local.clock.advance(1.0)
    local.broken = False
    local.clock.advance(1.0)
    assert told == [2]
    assert [record.getMessage() for record in caplog.records] == ["the status of this process cannot be told"]


def test_aRemoteSourceBeforeItsFirstStatus() -> None:
    source = RemoteSource(version="1.2.3", reactor=Clock())
    assert (source.isReady(), source.reason()) == (False, "starting")
    status = source.status()
    assert (status["version"], status["state"], status["workers"], status["totals"]) == ("1.2.3", "starting", [], {})


def test_aRemoteSourceTellsWhatItIsFed() -> None:
    source = RemoteSource(reactor=Clock())
    told: list[Any] = []
    end = source.subscribe(told.append)
    first, second = statusOf(snapshotOf()), statusOf(snapshotOf(state="draining"))
    source.feed(first)
    assert (source.status(), source.isReady(), source.reason()) == (first, True, "ready")
    source.feed(second)
    assert (source.status(), source.isReady(), source.reason()) == (second, False, "draining")
    end()
    source.feed(first)
    assert told == [first, second]


def test_aRemoteSourceWithoutNewsIsNotReady() -> None:
    clock = Clock()
    source = RemoteSource(reactor=clock)
    source.feed(statusOf(snapshotOf()))
    clock.advance(5.0)
    assert source.isReady()
    clock.advance(2.0)
    assert (source.isReady(), source.reason()) == (False, "no status of the server for 7 s")
    source.feed(statusOf(snapshotOf()))
    assert source.isReady()


@pytest.mark.parametrize("wrong", [None, [], {}, {"state": "ready"}, {"totals": {}}, {"state": "ready", "totals": []}])
def test_aStatusThatIsNone(wrong: Any) -> None:
    source = RemoteSource(reactor=Clock())
    told: list[Any] = []
    source.subscribe(told.append)
    with pytest.raises(ValueError, match="a status is a dictionary"):
        source.feed(wrong)
    assert (told, source.reason()) == ([], "starting")


def test_aSubscriberThatFailsHarmsNoOther(caplog: pytest.LogCaptureFixture) -> None:
    source = RemoteSource(reactor=Clock())
    told: list[Any] = []
    source.subscribe(lambda _: 1 / 0)
    source.subscribe(told.append)
    source.feed(statusOf())
    assert len(told) == 1
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno) == ("a subscriber of the status has failed", logging.ERROR)


def test_aSubscriberMayLeaveWhileItIsTold() -> None:
    source = RemoteSource(reactor=Clock())
    told: list[str] = []

    def leave(_: Any) -> None:
        told.append("one")
        end()

    end = source.subscribe(leave)
    source.subscribe(lambda _: told.append("two"))
    source.feed(statusOf())
    source.feed(statusOf())
    assert told == ["one", "two", "two"]
