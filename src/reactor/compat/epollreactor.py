"""`install()` of `twisted.internet.epollreactor`, `pollreactor` and `selectreactor`: all install EpollReactor."""

from __future__ import annotations

from reactor._current import install as _install
from reactor.loops.epoll import EpollReactor

EPollReactor = PollReactor = SelectReactor = EpollReactor


def install() -> None:
    """Make a new EpollReactor the default. ReactorAlreadyInstalledError if there is a default already."""
    _install(EpollReactor())


__all__ = ["EPollReactor", "PollReactor", "SelectReactor", "install"]
