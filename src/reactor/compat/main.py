"""The names of `twisted.internet.main`: the reasons of a closed connection, and the default reactor."""

from __future__ import annotations

from reactor._current import install
from reactor.error import ConnectionDone, ConnectionLost
from reactor.interfaces import IReactor

CONNECTION_DONE = ConnectionDone("Connection done")
CONNECTION_LOST = ConnectionLost("Connection lost")


def installReactor(reactor: IReactor) -> None:
    """Make `reactor` the process's default. ReactorAlreadyInstalledError if there is another one."""
    install(reactor)


__all__ = ["CONNECTION_DONE", "CONNECTION_LOST", "installReactor"]
