"""Sockets that systemd (or another manager) has opened for this process: sd_listen_fds(3)."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

FIRST = 3  # SD_LISTEN_FDS_START
MOST = 1 << 20  # descriptors that Linux lets a process have, unless fs.nr_open was changed


class ListenFDs:
    """The descriptors that a manager has passed on: `descriptors`, with their `names`."""

    def __init__(self, descriptors: list[int], names: dict[str, int]) -> None:
        self.descriptors = descriptors
        self.names = names

    @classmethod
    def fromEnvironment(cls, environ: Mapping[str, str] | None = None, start: int = FIRST) -> ListenFDs:
        """Read LISTEN_FDS and LISTEN_FDNAMES if LISTEN_PID is this process; None means os.environ.

        The variables stay. They do not affect a child, which has another process number. The names count only if there
        are as many as descriptors (systemd before 227 gave none).
        """
        environ = os.environ if environ is None else environ
        try:
            mine = int(environ["LISTEN_PID"]) == os.getpid()
            count = int(environ["LISTEN_FDS"])
        except (KeyError, ValueError):
            mine, count = False, 0
        descriptors = list(range(start, start + count)) if mine and count <= MOST else []
        names = environ.get("LISTEN_FDNAMES", "").split(":")
        return cls(descriptors, dict(zip(names, descriptors, strict=True)) if len(names) == len(descriptors) else {})

    def find(self, index: int | None, name: str | None) -> int:
        """Return the descriptor with this index from 0, or with this name. ValueError unless there is one."""
        if (index is None) == (name is None):
            raise ValueError("a systemd endpoint needs an index or a name, and not both")
        if name is not None:
            if name not in self.names:
                known = ", ".join(map(repr, self.names)) or "none"
                raise ValueError(f"no socket called {name!r} was passed to this process; its names are {known}")
            return self.names[name]
        assert index is not None
        if not 0 <= index < len(self.descriptors):
            raise ValueError(f"{len(self.descriptors)} sockets were passed to this process, so there is no {index}")
        return self.descriptors[index]


def familyOf(domain: str) -> int:
    """Return the address family that `domain` names: INET, INET6 or UNIX. ValueError for another."""
    if domain not in ("INET", "INET6", "UNIX"):
        raise ValueError(f"the domain of a systemd endpoint is INET, INET6 or UNIX, not {domain!r}")
    return int(getattr(socket, f"AF_{domain}"))
