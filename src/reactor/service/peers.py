"""The busiest peers of a server, in a table with a bound."""

from __future__ import annotations

import heapq
from itertools import islice
from typing import Any

from reactor.address import UNIXAddress
from reactor.service.entries import ACCEPTED, Entry

SCAN = 1000  # the most open connections that one snapshot looks at
ROOM = 1024  # peers without an open connection that the table keeps
TOP = 10


def nameOf(peer: Any) -> str:
    """Return the name of a peer in the table: its IP address, or the kind of its socket."""
    host = getattr(peer, "host", None)
    return host if isinstance(host, str) else "unix" if isinstance(peer, UNIXAddress) else "pipe"


class Peers:
    """Counts the open connections, lines and bytes of each peer. It looks at connections in turn, and at their end."""

    def __init__(self) -> None:
        self._table: dict[str, list[int]] = {}  # open, lines, bytes
        self._at = 0
        self._gone = 0

    def opened(self, entry: Entry) -> None:
        """Count a connection more."""
        found = self._table.setdefault(nameOf(entry.peer), [0, 0, 0])
        if not found[0] and any(found):
            self._gone -= 1
        found[0] += 1

    def lost(self, entry: Entry) -> None:
        """Count a connection fewer. The table forgets the least busy of those that are gone, in time."""
        self._look(entry)
        found = self._table[nameOf(entry.peer)]
        found[0] -= 1
        if not found[0]:
            self._gone += 1
            if self._gone > 2 * ROOM:
                self._forget()

    def top(self, entries: list[Entry]) -> list[dict[str, Any]]:
        """Return the TOP busiest peers, after a look at SCAN of the open connections."""
        if len(entries) <= SCAN:
            some = entries
        else:
            self._at = self._at % len(entries)
            some = list(islice(entries, self._at, self._at + SCAN))
            self._at += SCAN
        for entry in some:
            if entry.state != ACCEPTED:  # behind the PROXY protocol the client is known later
                self._look(entry)
        busiest = heapq.nlargest(TOP, self._table.items(), key=lambda item: (item[1][1], item[1][2], item[1][0]))
        return [{"peer": name, "open": each[0], "lines": each[1], "bytes": each[2]} for name, each in busiest]

    def _look(self, entry: Entry) -> None:
        lines, data = entry.lineTotal, entry.bytesIn + entry.bytesOut
        found = self._table[nameOf(entry.peer)]
        found[1] += lines - entry.seenLines
        found[2] += data - entry.seenBytes
        entry.seenLines, entry.seenBytes = lines, data

    def _forget(self) -> None:
        gone = [(found[1], found[2], name) for name, found in self._table.items() if not found[0]]
        for _lines, _bytes, name in heapq.nsmallest(len(gone) - ROOM, gone):
            del self._table[name]
        self._gone = min(len(gone), ROOM)
