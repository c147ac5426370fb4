"""The counters of a process whose reactors run in several threads, as one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reactor.service.summing import Snapshot, busiestPeers

# Of the process, so each thread says the same.
_SHARED = ("cpuSeconds", "rssBytes")
_LARGEST = ("lag", "lagMax", *_SHARED)
_STATES = ("starting", "draining", "ready")  # the first one that a thread is in counts


def combined(snapshots: Sequence[Snapshot]) -> dict[str, Any]:
    """Return the sum of the `snapshots` of a process's threads, one or more, in the form of each.

    Numbers are added up, but for those of the whole process and the lags, of which the largest one counts.
    """
    first = snapshots[0]
    if len(snapshots) == 1:
        return dict(first)
    states = [snapshot.get("state") for snapshot in snapshots]
    loops = [snapshot.get("loop", {}) for snapshot in snapshots]
    return {
        **first,
        "state": next((state for state in _STATES if state in states), first.get("state")),
        "started": min(snapshot["started"] for snapshot in snapshots),
        "loop": {
            **_added(loops),
            **{name: max(loop.get(name, 0) for loop in loops) for name in _LARGEST},
        },
        "listeners": _added([snapshot.get("listeners", {}) for snapshot in snapshots]),
        "peers": busiestPeers(snapshots),
        "application": _added([snapshot.get("application", {}) for snapshot in snapshots]),
    }


def _added(counts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return each number of `counts` added up, and of each list the different items."""
    total: dict[str, Any] = {}
    for each in counts:
        for name, value in each.items():
            if isinstance(value, Mapping):
                total[name] = _added([total.get(name, {}), value])
            elif isinstance(value, list):
                total[name] = [*total.get(name, []), *(item for item in value if item not in total.get(name, []))]
            else:
                total[name] = total.get(name, 0) + value
    return total
