"""The status of a whole server: the snapshots of its workers, and their sums, which never go back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, cast

Snapshot: TypeAlias = Mapping[str, Any]  # what `stats()` of one process gives
Status: TypeAlias = dict[str, Any]  # what a whole server shows

PEERS = 10  # the busiest peers of a status
RETIRED = 1024  # ended processes whose late snapshots are known as such
GAUGES = frozenset({"open", "pendingBytes"})  # the numbers of a listener that also fall
COUNTERS = ("accepted", "linesIn", "bytesIn", "bytesOut", "overlong", "outputOverflows")
FAMILIES = ("refused", "ended", "limited")  # counters of a listener by a reason, or by a limit
LOOP_COUNTERS = ("slowCallbacks", "cpuSeconds")

_Counts: TypeAlias = dict[str, Any]  # numbers by name, or more of such dictionaries
_Key: TypeAlias = tuple[int, float]


class Totals:
    """Sums the snapshots of processes, each of which replaces the one before.

    A process is known by its pid and the time of its start. So a pid that the system uses again is a new process, and
    so is a new process in the place of an old worker. Its counters begin at 0, and are added to those of the old one.

    - `add(snapshot)`: the newest snapshot of a process.
    - `retire(pid)`: the process has ended. Its counters stay in the sums for ever, its gauges leave them.
    - `status()`: the document of `/status.json`.

    Several processes may have the same worker number: an old one drains while its successor is ready.
    """

    def __init__(self, version: str = "", configuration: str | None = None) -> None:
        """`version` and `configuration`, the path of a file or None, are for `status()`."""
        self.version = version
        self.configuration = configuration
        self._live: dict[int, _Process] = {}
        self._retired: dict[_Key, None] = {}
        self._ended: _Counts = {}
        self._started: float | None = None

    def add(self, snapshot: Snapshot) -> None:
        """Take the newest snapshot of a process.

        A snapshot of a process that has retired is late, and changes nothing. ValueError for one without a pid, the
        time of the start, or with other than numbers where it counts.
        """
        process = _Process(snapshot)
        if process.key in self._retired:
            return
        known = self._live.get(process.pid)
        if known is not None and known.key != process.key:
            self.retire(process.pid)
        elif known is not None:
            process.goOnFrom(known)
        self._live[process.pid] = process
        self._started = process.started if self._started is None else min(self._started, process.started)

    def retire(self, pid: int) -> None:
        """Keep the counters of the process `pid`, which has ended, and forget its gauges. Unknown pids do nothing."""
        process = self._live.pop(pid, None)
        if process is None:
            return
        _sum(self._ended, process.counters)
        self._retired[process.key] = None
        if len(self._retired) > RETIRED:
            del self._retired[next(iter(self._retired))]

    def status(
        self,
        *,
        state: str | None = None,
        restarts: int = 0,
        reloads: int = 0,
        reloadFailures: int = 0,
        now: float | None = None,
    ) -> Status:
        """Return the status of the server, which JSON can carry.

        - `state`: "starting", "ready" or "draining". None: "ready" if a worker is, else what the workers are.
        - `restarts`: how many workers were replaced because they had died.
        - `reloads`, `reloadFailures`: how many times the configuration was read again, and could not be.
        - `now`: the time in unix seconds. None: the system's.

        "totals" has the sums of the listeners, "loop" and "application" those of the processes. "peers" are the
        busiest of all workers, "started" is the time of the first process.
        """
        workers = sorted((process.snapshot for process in self._live.values()), key=_place)
        counts: _Counts = {}
        _sum(counts, self._ended)
        for process in self._live.values():
            _sum(counts, process.counters)
        return {
            "version": self.version,
            "time": time.time() if now is None else now,
            "started": self._started,
            "state": _stateOf(workers) if state is None else state,
            "workers": workers,
            "totals": self._listeners(counts.get("listeners", {}), workers),
            "loop": {**_loopOf(workers), **{name: counts.get("loop", {}).get(name, 0) for name in LOOP_COUNTERS}},
            "application": counts.get("application", {}),
            "peers": busiestPeers(workers),
            "restarts": restarts,
            "reloads": reloads,
            "reloadFailures": reloadFailures,
            "configuration": self.configuration,
        }

    def _listeners(self, counts: _Counts, workers: Iterable[Snapshot]) -> dict[str, dict[str, Any]]:
        totals: dict[str, dict[str, Any]] = {}
        for name, counters in counts.items():
            blank = {**dict.fromkeys(COUNTERS, 0), **{family: {} for family in FAMILIES}}
            totals[name] = {"addresses": [], **dict.fromkeys(sorted(GAUGES), 0), **blank, **counters}
        for worker in workers:
            for name, listener in worker.get("listeners", {}).items():
                total = totals[name]
                known = total["addresses"]
                known += [address for address in listener.get("addresses", ()) if address not in known]
                for gauge in GAUGES:
                    total[gauge] += listener.get(gauge, 0)
        return totals


class _Process:
    """The last snapshot of a process, and its counters, apart from the gauges."""

    def __init__(self, snapshot: Snapshot) -> None:
        pid, started = snapshot.get("pid"), snapshot.get("started")
        if type(pid) is not int or not _isNumber(started):
            raise ValueError(f"a snapshot has a pid and the time of its start, not {pid!r} and {started!r}")
        self.snapshot = snapshot
        self.pid: int = pid
        self.started = float(cast(float, started))
        self.key = (self.pid, self.started)
        loop = _numbers(_dictionary(snapshot, "loop"))
        listeners = _dictionary(snapshot, "listeners")
        application = _dictionary(snapshot, "application")
        self.counters: _Counts = {
            "listeners": {name: _listenersCounters(_dictionary(listeners, name)) for name in listeners},
            "loop": {name: loop.get(name, 0) for name in LOOP_COUNTERS},
            "application": {name: _numbers(_dictionary(application, name)) for name in application},
        }

    def goOnFrom(self, earlier: _Process) -> None:
        """Keep what only `earlier` knows, a closed port for example, and no counter below its earlier value."""
        self.counters = _highest(earlier.counters, self.counters)


def _isNumber(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _dictionary(place: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = place.get(name, {})
    if not isinstance(found, dict):
        raise ValueError(f"{name} of a snapshot is a dictionary, not {found!r}")
    return found


def _numbers(counts: Mapping[str, Any]) -> _Counts:
    """Return a copy of `counts`. ValueError for anything in it that is no number of 0 or more."""
    for name, value in counts.items():
        if not _isNumber(value) or value < 0:
            raise ValueError(f"{name} of a snapshot counts, and {value!r} is no number of 0 or more")
    return dict(counts)


def _listenersCounters(listener: dict[str, Any]) -> _Counts:
    """Return what a listener has counted. A kind of entry that is not known here is left out: newer code has more."""
    numbers = _numbers({name: value for name, value in listener.items() if not isinstance(value, dict | list)})
    families = {family: _numbers(_dictionary(listener, family)) for family in FAMILIES}
    return {**{name: value for name, value in numbers.items() if name not in GAUGES}, **families}


def _sum(into: _Counts, counts: _Counts) -> None:
    for name, value in counts.items():
        if isinstance(value, dict):
            _sum(into.setdefault(name, {}), value)
        else:
            into[name] = into.get(name, 0) + value


def _highest(one: _Counts, other: _Counts) -> _Counts:
    """Return each counter of both, and of two the higher value."""
    highest = dict(one)
    for name, value in other.items():
        known = one.get(name)
        if isinstance(value, dict):
            highest[name] = _highest(known or {}, value)
        else:
            highest[name] = value if known is None else max(known, value)
    return highest


def _place(snapshot: Snapshot) -> tuple[int, int, int]:
    return (snapshot.get("worker") or 0, snapshot.get("generation") or 0, snapshot["pid"])


def _stateOf(workers: list[Snapshot]) -> str:
    states = {worker.get("state") for worker in workers}
    return next((state for state in ("ready", "draining") if state in states), "starting")


def _loopOf(workers: list[Snapshot]) -> dict[str, float]:
    """Return the gauges of all event loops: the largest lags, and the memory of all."""
    loops = [worker.get("loop", {}) for worker in workers]
    largest = {name: max((loop.get(name, 0) for loop in loops), default=0) for name in ("lag", "lagMax")}
    return {**largest, "rssBytes": sum(loop.get("rssBytes", 0) for loop in loops)}


def busiestPeers(workers: Iterable[Snapshot]) -> list[dict[str, Any]]:
    """Return the peers with most bytes. One that several workers serve counts once, with the sums."""
    peers: dict[str, dict[str, Any]] = {}
    for worker in workers:
        for entry in worker.get("peers", ()):
            peer = peers.setdefault(str(entry.get("peer")), {"peer": str(entry.get("peer"))})
            for name in ("open", "lines", "bytes"):
                peer[name] = peer.get(name, 0) + entry.get(name, 0)
    return sorted(peers.values(), key=lambda peer: (-peer["bytes"], -peer["lines"], peer["peer"]))[:PEERS]
