"""Totals: the counters of all processes that there are and were, which never go back."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reactor.service import Totals
from tests.support.statuses import listenerOf, snapshotOf


def test_oneProcess() -> None:
    totals = Totals("1.2.3", "/etc/linereactor.toml")
    totals.add(snapshotOf(accepted=7))
    status = totals.status(restarts=1, reloads=2, reloadFailures=3, now=2000.0)
    assert status == {
        "version": "1.2.3",
        "time": 2000.0,
        "started": 900.0,
        "state": "ready",
        "workers": [snapshotOf(accepted=7)],
        "totals": {"syslog": listenerOf(7)},
        "loop": {"lag": 0.001, "lagMax": 0.01, "slowCallbacks": 7, "cpuSeconds": 0.5, "rssBytes": 1000},
        "application": {"collect": {"kept": 7}},
        "peers": [{"peer": "192.0.2.1", "open": 1, "lines": 7, "bytes": 70}],
        "restarts": 1,
        "reloads": 2,
        "reloadFailures": 3,
        "configuration": "/etc/linereactor.toml",
    }
    assert json.loads(json.dumps(status)) == status


def test_theTimeIsTheSystems() -> None:
    before = time.time()
    assert before <= Totals().status()["time"] <= time.time()


def test_aNewerSnapshotReplacesTheOneBefore() -> None:
    totals = Totals()
    for accepted in (1, 4, 9):
        totals.add(snapshotOf(accepted=accepted))
    assert totals.status()["totals"]["syslog"] == listenerOf(9)


def test_severalProcessesAreSummed() -> None:
    totals = Totals()
    totals.add(snapshotOf(101, 5, worker=2))
    other = {"udp": listenerOf(1), "syslog": listenerOf(2, addresses=["tcp 127.0.0.1:7000", "tcp ::1:7000"])}
    totals.add(snapshotOf(100, 2, started=800.0, listeners=other))
    status = totals.status()
    assert [worker["pid"] for worker in status["workers"]] == [100, 101]
    syslog = status["totals"]["syslog"]
    assert syslog == listenerOf(7, open=2, pendingBytes=10, addresses=["tcp 127.0.0.1:7000", "tcp ::1:7000"])
    assert status["totals"]["udp"] == listenerOf(1)
    assert status["loop"]["cpuSeconds"] == 1.0
    assert status["loop"]["rssBytes"] == 2000
    assert status["loop"]["lagMax"] == 0.01
    assert status["started"] == 800.0


def test_whatAnEndedProcessCountedStays() -> None:
    totals = Totals()
    totals.add(snapshotOf(100, 5))
    totals.retire(100)
    status = totals.status()
    assert status["workers"] == []
    assert status["totals"]["syslog"] == listenerOf(5, open=0, pendingBytes=0, addresses=[])
    assert status["loop"] == {"lag": 0, "lagMax": 0, "slowCallbacks": 5, "cpuSeconds": 0.5, "rssBytes": 0}
    assert status["application"] == {"collect": {"kept": 5}}
    assert (status["state"], status["started"], status["peers"]) == ("starting", 900.0, [])
    totals.add(snapshotOf(102, 1, started=950.0))
    assert totals.status()["totals"]["syslog"] == listenerOf(6)


def test_aPidThatIsUsedAgainIsANewProcess() -> None:
    totals = Totals()
    totals.add(snapshotOf(100, 5))
    totals.add(snapshotOf(100, 1, started=950.0))
    status = totals.status()
    assert len(status["workers"]) == 1
    assert status["totals"]["syslog"]["accepted"] == 6


def test_anOldWorkerBesideItsSuccessor() -> None:
    """Both have worker number 1 while the old one drains."""
    totals = Totals()
    totals.add(snapshotOf(100, 5, state="draining"))
    assert totals.status()["state"] == "draining"
    totals.add(snapshotOf(101, 1, generation=2))
    status = totals.status()
    assert [worker["state"] for worker in status["workers"]] == ["draining", "ready"]
    assert status["state"] == "ready"
    assert status["totals"]["syslog"] == listenerOf(6, open=2, pendingBytes=10)


def test_aLateSnapshotOfARetiredProcessChangesNothing() -> None:
    totals = Totals()
    totals.add(snapshotOf(100, 5))
    totals.retire(100)
    totals.add(snapshotOf(100, 6))
    assert totals.status()["totals"]["syslog"]["accepted"] == 5
    totals.retire(100)
    totals.retire(4711)
    assert totals.status()["totals"]["syslog"]["accepted"] == 5


def test_retiredProcessesAreRememberedUpToABound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reactor.service.summing.RETIRED", 3)
    totals = Totals()
    for pid in range(100, 110):
        totals.add(snapshotOf(pid, 1))
        totals.retire(pid)
    assert list(totals._retired) == [(pid, 900.0) for pid in (107, 108, 109)]
    assert totals.status()["totals"]["syslog"]["accepted"] == 10


def test_aClosedListenerKeepsItsCounters() -> None:
    totals = Totals()
    totals.add(snapshotOf(accepted=5))
    totals.add(snapshotOf(accepted=0, listeners={}))
    status = totals.status()
    assert status["totals"]["syslog"] == listenerOf(5, open=0, pendingBytes=0, addresses=[])
    assert status["loop"]["slowCallbacks"] == 5


def test_thePeersOfAllWorkers() -> None:
    totals = Totals()
    for pid in (100, 101):
        peers = [{"peer": f"192.0.2.{number}", "open": 1, "lines": number, "bytes": number} for number in range(12)]
        totals.add(snapshotOf(pid, peers=peers))
    peers = totals.status()["peers"]
    assert [peer["peer"] for peer in peers] == [f"192.0.2.{number}" for number in range(11, 1, -1)]
    assert peers[0] == {"peer": "192.0.2.11", "open": 2, "lines": 22, "bytes": 22}


def test_unknownEntriesAreLeftOut() -> None:
    """Workers of newer code may have more to tell than this process knows."""
    totals = Totals()
    totals.add(snapshotOf(listeners={"a": {"accepted": 1, "newCounter": 2, "newFamily": {"x": {"y": 1}}}}))
    total = totals.status()["totals"]["a"]
    assert (total["accepted"], total["newCounter"], total["linesIn"], "newFamily" in total) == (1, 2, 0, False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"pid": None},
        {"pid": "100"},
        {"pid": True},
        {"started": None},
        {"started": "900"},
        {"started": float("nan")},
        {"listeners": []},
        {"listeners": {"a": 1}},
        {"listeners": {"a": {"accepted": "1"}}},
        {"listeners": {"a": {"accepted": -1}}},
        {"listeners": {"a": {"open": None}}},
        {"listeners": {"a": {"refused": 3}}},
        {"listeners": {"a": {"refused": {"denied": "x"}}}},
        {"loop": 1},
        {"loop": {"cpuSeconds": float("inf")}},
        {"application": {"collect": {"kept": []}}},
    ],
)
def test_aSnapshotThatIsNone(wrong: dict[str, Any]) -> None:
    totals = Totals()
    totals.add(snapshotOf(accepted=5))
    before = totals.status(now=1.0)
    with pytest.raises(ValueError, match=r"snapshot"):
        totals.add(snapshotOf(**{"accepted": 6, **wrong}))
    assert totals.status(now=1.0) == before


def countersOf(status: dict[str, Any]) -> dict[str, float]:
    """Every number of a status that only grows, by its path."""
    found: dict[str, float] = {}

    def walk(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                if name not in ("open", "pendingBytes", "addresses"):
                    walk(f"{path}/{name}", inner)
        else:
            found[path] = value

    walk("totals", status["totals"])
    walk("application", status["application"])
    for name in ("slowCallbacks", "cpuSeconds"):
        found[name] = status["loop"][name]
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "retire", "restart", "late"]),
        st.integers(1, 4),  # the pid
        st.integers(0, 5),  # how much more it has counted
        st.sampled_from(["one", "other"]),  # the listener
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_noCounterGoesBack(steps: list[tuple[str, int, int, str]]) -> None:
    """Processes start, die, get a pid that was used, open and close listeners, and tell late.

    The sum is also right: all that any process has told, once.
    """
    totals = Totals()
    live: dict[int, tuple[float, dict[str, int]]] = {}
    last: dict[int, dict[str, Any]] = {}
    told = 0
    clock = 0.0
    before: dict[str, float] = {}
    for step, pid, more, listener in steps:
        clock += 1
        if step == "retire":
            totals.retire(pid)
            live.pop(pid, None)
        elif step == "late":
            if pid in last and pid not in live:
                totals.add(last[pid])
        else:
            if step == "restart":
                live.pop(pid, None)
            started, counts = live.setdefault(pid, (clock, {}))
            counts[listener] = counts.get(listener, 0) + more
            told += more
            # A snapshot has the listener of this step alone: the other one is closed by now.
            listeners = {listener: listenerOf(counts[listener])}
            last[pid] = snapshotOf(pid, more, started=started, listeners=listeners, application={})
            totals.add(last[pid])
        status = totals.status(now=clock)
        after = countersOf(status)
        assert {name: value for name, value in before.items() if after.get(name, -1) < value} == {}
        assert sum(total["accepted"] for total in status["totals"].values()) == told
        assert sum(total["open"] for total in status["totals"].values()) == len(live)
        before = after
