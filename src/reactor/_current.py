"""The current reactor, for calls that name none.

It is the reactor that runs in this thread. Otherwise it is the services of reactor.aio, if an event loop that runs in
this thread serves protocols. Otherwise it is the process's default.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reactor.error import ReactorAlreadyInstalledError

if TYPE_CHECKING:
    from reactor.interfaces import IReactor


class _Current(threading.local):
    reactor: IReactor | None = None


_current = _Current()
_running = _Current()  # in a thread of its pool a reactor is the current one too, but does not run there
_lock = threading.Lock()
_default: IReactor | None = None
_maker: Callable[[], IReactor] | None = None
_inEventLoop: Callable[[], IReactor | None] | None = None


def registerMaker(maker: Callable[[], IReactor]) -> None:
    """Register the function that makes the default reactor, when one is needed. The package calls it at import."""
    global _maker
    _maker = maker


def registerEventLoops(inEventLoop: Callable[[], IReactor | None]) -> None:
    """Register the function that finds the services of this thread's event loop. reactor.aio calls it."""
    global _inEventLoop
    _inEventLoop = inEventLoop


def install(reactor: IReactor) -> None:
    """Make `reactor` the process's default: once, and before the default has been used.

    Any thread may call it. ReactorAlreadyInstalledError if another default exists; installing the same one again does
    nothing.
    """
    global _default
    with _lock:
        if _default is not None and _default is not reactor:
            raise ReactorAlreadyInstalledError("the default reactor has been installed or made already")
        _default = reactor


def current() -> IReactor:
    """Return the reactor that runs in this thread (or started this worker thread), else the default.

    Between the two come the services of an event loop that runs in this thread, if reactor.aio serves protocols there.
    Any thread may call it.
    """
    global _default
    reactor = _current.reactor or (None if _inEventLoop is None else _inEventLoop()) or _default
    if reactor is None:
        with _lock:
            if _default is None:
                if _maker is None:
                    raise RuntimeError("no reactor runs in this thread and no default reactor can be made")
                _default = _maker()
            reactor = _default
    return reactor


def runsHere(reactor: object) -> bool:
    """Whether `reactor` runs in this thread, now."""
    return reactor is not None and _running.reactor is reactor


def adopt(reactor: IReactor | None) -> None:
    """Make `reactor` the current one of this thread. Worker threads call it first, and `running` for run()."""
    _current.reactor = reactor


@contextmanager
def running(reactor: IReactor) -> Iterator[None]:
    """Make `reactor` the current one of this thread inside the block; afterwards the earlier one is."""
    before, ranBefore = _current.reactor, _running.reactor
    adopt(reactor)
    _running.reactor = reactor
    try:
        yield
    finally:
        adopt(before)
        _running.reactor = ranBefore
