"""Snapshots of processes and statuses of servers, for tests."""

from __future__ import annotations

from typing import Any

from reactor.service import Totals


def listenerOf(accepted: int = 0, **more: Any) -> dict[str, Any]:
    """The counters of a listener, in proportion to what it has accepted."""
    return {
        "addresses": ["tcp 127.0.0.1:7000"],
        "open": 1,
        "accepted": accepted,
        "refused": {"denied": 2 * accepted},
        "ended": {"done": 3 * accepted},
        "linesIn": 10 * accepted,
        "bytesIn": 100 * accepted,
        "bytesOut": 1000 * accepted,
        "overlong": 0,
        "limited": {},
        "outputOverflows": 0,
        "pendingBytes": 5,
        **more,
    }


def snapshotOf(pid: int = 100, accepted: int = 0, **more: Any) -> dict[str, Any]:
    """The snapshot of a process with one listener."""
    return {
        "time": 1000.0,
        "pid": pid,
        "worker": 1,
        "generation": 1,
        "state": "ready",
        "started": 900.0,
        "loop": {"lag": 0.001, "lagMax": 0.01, "slowCallbacks": accepted, "cpuSeconds": 0.5, "rssBytes": 1000},
        "listeners": {"syslog": listenerOf(accepted)},
        "peers": [{"peer": "192.0.2.1", "open": 1, "lines": accepted, "bytes": 10 * accepted}],
        "application": {"collect": {"kept": accepted}},
        **more,
    }


def statusOf(*snapshots: dict[str, Any], now: float = 1000.0, **more: Any) -> dict[str, Any]:
    """The status of a server with these processes."""
    totals = Totals("1.2.3", "/etc/linereactor.toml")
    for snapshot in snapshots:
        totals.add(snapshot)
    return totals.status(now=now, **more)
