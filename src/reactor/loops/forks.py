"""What a process made by os.fork() does with the reactors that it finds.

Its parent's sockets, epolls and wakers are its own too, and not copies: what it removes from an epoll is removed for
both, a byte that it takes from a waker wakes nobody, and what it shuts down is shut down. So before anything else runs
in the child, each reactor there gets kernel objects of its own, and the sockets of one that had been at work are
replaced by a dead one, number by number. The objects that hold those numbers need not know: they find that their peer
has gone, and close what is theirs. Not chosen: to ask for the process's number, which every event would have to; to
close the numbers, which their objects would close again when somebody else has got them.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakSet

from reactor._numbers import closeNumber


class IForkable(Protocol):
    """A reactor, as a fork sees it."""

    def _forked(self) -> None:
        """This is a child process, in which only this thread lives: share nothing with the parent any more."""


_reactors: WeakSet[IForkable] = WeakSet()


def watch(reactor: IForkable) -> None:
    """Have `_forked` called in every child process made by a fork, as long as `reactor` exists."""
    _reactors.add(reactor)


def descriptorsOf(transport: Any) -> list[int]:
    """What `transport` holds open: its fileno(), and what its _forked() returns, if it has one. In that method a
    transport that has more gives up in the child what is the parent's.
    """
    more: list[int] = transport._forked() if hasattr(transport, "_forked") else []
    return [fd for fd in (transport.fileno(), *more) if fd >= 0]


def replaceByDead(fds: Iterable[int]) -> None:
    """Have each of `fds` stand for a directory, which takes nothing, gives nothing and has no peer; what it stood for
    is closed, in this process only.
    """
    numbers = set(fds)
    for fd in numbers:
        with suppress(OSError):
            closeNumber(fd)
    dead = os.open("/", os.O_RDONLY)
    for fd in numbers - {dead}:
        os.dup2(dead, fd, inheritable=False)
    if dead not in numbers:
        closeNumber(dead)


def interestsOf(readers: Iterable[int], writers: Iterable[int]) -> dict[int, int]:
    """The events of an epoll that watches `readers` and `writers`."""
    interests = dict.fromkeys(readers, select.EPOLLIN)
    for fd in writers:
        interests[fd] = interests.get(fd, 0) | select.EPOLLOUT
    return interests


def replaceEpoll(fd: int, interests: Mapping[int, int]) -> None:
    """Have `fd`, an epoll of somebody else's, stand for a new one, which watches `interests` (descriptor: events)."""
    with select.epoll() as fresh:
        for watched, events in interests.items():
            with suppress(OSError):  # it was closed behind the back of who watches it
                fresh.register(watched, events)
        os.dup2(fresh.fileno(), fd, inheritable=False)


def _afterFork() -> None:
    # subprocess calls it if there is a preexec_fn, with descriptors to pass on and an exec to come, which closes ours.
    if sys._getframe(1).f_globals.get("__name__") != "subprocess":
        failures = [error for reactor in list(_reactors) if (error := _tell(reactor)) is not None]
        if failures:
            raise failures[0]


def _tell(reactor: IForkable) -> BaseException | None:
    """Return what `reactor` raised, which may have found no descriptor free: the others must not stay as they are."""
    try:
        reactor._forked()
    except BaseException as error:
        return error
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_afterFork)
