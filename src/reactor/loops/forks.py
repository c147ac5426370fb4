"""The reactors in a process made by os.fork().

The parent's sockets, epolls and wakers belong to the child too, and are not copies. If the child removes a descriptor
from an epoll, it is removed for both. If it takes a byte from a waker, the parent does not wake. If it shuts a socket
down, it is shut down for both. So before any other code runs in the child, each reactor there gets kernel objects of
its own. The sockets of a reactor that was at work are replaced by a dead one, number by number. The objects that hold
those numbers find that their peer has closed, and close their numbers.

Not chosen:

- Asking for the process's number, which every event would have to do.
- Closing the numbers. Their objects would close them again when other files have these numbers.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ReferenceType, WeakSet, ref

from reactor._later import later
from reactor._numbers import closeNumber

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = later("asyncio", globals())


class IForkable(Protocol):
    """The method of a reactor that a fork needs."""

    def _forked(self) -> None:
        """Stop sharing with the parent: this is a child process, in which only this thread lives."""


_reactors: WeakSet[IForkable] = WeakSet()
_inEventLoops: WeakSet[IForkable] = WeakSet()
_running: Any = None  # the event loop in which a fork is made
_named: ReferenceType[Any] | None = None  # in a child, the parent's event loop that our hook has named again


def watch(reactor: IForkable) -> None:
    """Call `_forked` in every child process made by a fork, as long as `reactor` exists."""
    _reactors.add(reactor)


def watchInEventLoop(reactor: IForkable) -> None:
    """As watch, for a reactor in an event loop.

    A hook of asyncio's own leaves the child without a running event loop. From Python 3.14 on, no task of the loop that
    made the fork could go on there. So our hook comes after that one, and names the loop again.
    """
    global _hasHook
    _inEventLoops.add(reactor)
    if not _hasHook and hasattr(os, "register_at_fork"):
        asyncio.get_running_loop  # noqa: B018  # now asyncio is loaded, and has its hook
        os.register_at_fork(before=_beforeLoopsFork, after_in_child=_afterLoopsFork)
        _hasHook = True


_hasHook = False


@contextmanager
def outsideParentsLoop() -> Iterator[None]:
    """For the block, a child that was made inside an event loop counts as outside it, so that another one may run."""
    parents = None if _named is None else _named()
    if parents is None or asyncio._get_running_loop() is not parents:
        yield
        return
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(parents)


def descriptorsOf(transport: Any) -> list[int]:
    """Return the descriptors of `transport`: its fileno(), and the result of its _forked(), if it has one.

    In that method a transport with further objects gives up the parent's objects in the child.
    """
    more: list[int] = transport._forked() if hasattr(transport, "_forked") else []
    return [fd for fd in (transport.fileno(), *more) if fd >= 0]


def replaceByDead(fds: Iterable[int]) -> None:
    """Replace each of `fds` by a directory, which takes nothing, gives nothing and has no peer.

    The earlier file is closed, in this process only.
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
    """Return the events of an epoll that watches `readers` and `writers`."""
    interests = dict.fromkeys(readers, select.EPOLLIN)
    for fd in writers:
        interests[fd] = interests.get(fd, 0) | select.EPOLLOUT
    return interests


def replaceEpoll(fd: int, interests: Mapping[int, int]) -> None:
    """Replace `fd`, the parent's epoll, by a new one, which watches `interests` (descriptor: events)."""
    with select.epoll() as fresh:
        for watched, events in interests.items():
            with suppress(OSError):  # it was closed without a call to the reactor
                fresh.register(watched, events)
        os.dup2(fresh.fileno(), fd, inheritable=False)


def _beforeLoopsFork() -> None:
    global _running
    _running = asyncio._get_running_loop()


def _afterLoopsFork() -> None:
    global _running, _named
    running, _running = _running, None
    if _isForProgram():
        if running is not None and sys.version_info >= (3, 14):
            asyncio._set_running_loop(running)
            _named = ref(running)
        _tellAll(_inEventLoops)


def _afterFork() -> None:
    if _isForProgram():
        _tellAll(_reactors)


def _isForProgram() -> bool:
    """Whether the child runs on as this program does.

    subprocess calls the hooks if there is a preexec_fn. Its child passes descriptors on, and the coming exec closes
    ours.
    """
    return sys._getframe(2).f_globals.get("__name__") != "subprocess"


def _tellAll(reactors: Iterable[IForkable]) -> None:
    failures = [error for reactor in list(reactors) if (error := _tell(reactor)) is not None]
    if failures:
        raise failures[0]


def _tell(reactor: IForkable) -> BaseException | None:
    """Call `_forked`, and return its exception: without a free descriptor it fails, but the others must go on."""
    try:
        reactor._forked()
    except BaseException as error:
        return error
    return None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_afterFork)
