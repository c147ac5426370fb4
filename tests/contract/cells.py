"""Every stream transport on every reactor: the worlds to try something everywhere.

A pair in memory has no descriptors for a reactor to watch. On a reactor means: that one tells its time, and it lives
inside that one's turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from tests.support.tlsworlds import TLSInMemoryWorld, TLSOverUNIXWorld, TLSWorld
from tests.support.worlds import LOOPS, IPv6World, MemoryWorld, UNIXWorld, World

TRANSPORTS: dict[str, Callable[[Any], World]] = {
    "TCP4": World,
    "TCP6": IPv6World,
    "UNIX": UNIXWorld,
    "TLS over TCP": TLSWorld,
    "TLS over UNIX": TLSOverUNIXWorld,
    "TLS in memory": TLSInMemoryWorld,
    "memory": MemoryWorld,
}
REACTORS = {"epoll" if side.name == "ours" else side.name: side for side in LOOPS}
CELLS = list(itertools.product(TRANSPORTS, REACTORS))


def makeWorld(cell: tuple[str, str]) -> World:
    """The world of one cell."""
    transport, reactor = cell
    return TRANSPORTS[transport](REACTORS[reactor])
