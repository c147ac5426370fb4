"""The newest snapshot of each process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Newest:
    """Keeps the newest snapshot of each process, until it ends.

    It stands in for summing.Totals, which also sums the counters.
    """

    def __init__(self) -> None:
        self._snapshots: dict[int, Mapping[str, Any]] = {}

    def add(self, snapshot: Mapping[str, Any]) -> None:
        """Take the newest snapshot of a process."""
        self._snapshots[snapshot["pid"]] = snapshot

    def retire(self, pid: int) -> None:
        """Forget a process, which has ended."""
        self._snapshots.pop(pid, None)

    def status(self, *, state: str, restarts: int = 0, reloads: int = 0, reloadFailures: int = 0) -> dict[str, Any]:
        """Return the status of the server."""
        workers = sorted(self._snapshots.values(), key=lambda each: (each["worker"], each["generation"], each["pid"]))
        counts = {"restarts": restarts, "reloads": reloads, "reloadFailures": reloadFailures}
        return {"state": state, "workers": workers, "totals": {}, **counts}
