"""An epoll of our own inside an event loop, for one that gives up a descriptor at the first sign of an error.

libuv, and so uvloop, answers POLLERR by ending its watch (uv__poll_io of libuv's poll.c, _fatal_error of uvloop's
poll.pyx). The callback is called once more, and never again; who adds the reader anew is told that the handler is
closed. But a connection that was reset may have more to read than one callback reads, and a datagram socket lives on
after a refusal. So such an event loop watches one descriptor that knows no errors: this epoll's.

Flags only wake, as in EpollReactor. What is no longer watched is not woken, not by the present batch either, also if
its number has been given to another file meanwhile: the events of a batch are matched with watches before the first
callback, and a watch that has ended stays ended.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from reactor._numbers import openEpoll

BATCH = 512

Callback = Callable[[Any], object]


class _Watch:
    """Who is to be called for one descriptor, each with what it is to be called with."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        self.reader: tuple[Callback, Any] | None = None
        self.writer: tuple[Callback, Any] | None = None

    def events(self) -> int:
        return (select.EPOLLIN if self.reader else 0) | (select.EPOLLOUT if self.writer else 0)


class OwnEpoll:
    """add_reader and its like, as `eventloop` has them but for errors: a watch lasts until it is removed.

    `failed` is told why there was no telling what is ready. It is asked again at once.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop, failed: Callable[[Exception], object]) -> None:
        self._eventloop = eventloop
        self._failed = failed
        self._epoll = openEpoll()
        self._watches: dict[int, _Watch] = {}
        eventloop.add_reader(self._epoll.fileno(), self._dispatch)

    def add_reader(self, fd: int, callback: Callback, argument: Any) -> None:
        """Call `callback` with `argument` while `fd` can be read from, or has failed. OSError if epoll refuses it."""
        self._watched(fd, select.EPOLLIN).reader = (callback, argument)

    def add_writer(self, fd: int, callback: Callback, argument: Any) -> None:
        """The same while `fd` can be written to, or has failed."""
        self._watched(fd, select.EPOLLOUT).writer = (callback, argument)

    def remove_reader(self, fd: int) -> None:
        """Undo add_reader. OSError if `fd` was closed meanwhile; it is forgotten all the same."""
        self._unwatch(fd, select.EPOLLIN)

    def remove_writer(self, fd: int) -> None:
        """Undo add_writer, in the same way."""
        self._unwatch(fd, select.EPOLLOUT)

    def catchUp(self) -> None:
        """Call back for everything that is ready now, once."""
        self._dispatch(len(self._watches) or 1)

    def close(self) -> None:
        """Watch nothing any more. The event loop may have been closed before."""
        if not self._eventloop.is_closed():
            self._eventloop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._watches.clear()

    def abandon(self) -> None:
        """In a forked child: call nobody any more, and leave the epoll, which is the parent's, as it is."""
        for watch in self._watches.values():
            watch.reader = watch.writer = None
        self._watches.clear()
        self._epoll.close()
        self._epoll = openEpoll()  # for a call of _dispatch that is under way

    def _watched(self, fd: int, events: int) -> _Watch:
        watch = self._watches.get(fd)
        if watch is not None:
            try:
                self._epoll.modify(fd, watch.events() | events)
            except FileNotFoundError:
                # It was closed before it could be removed, and the number has come round again.
                watch.reader = watch.writer = None
                del self._watches[fd]
                watch = None
        if watch is None:
            # The table first: for want of memory there, epoll would go on telling nobody.
            watch = self._watches[fd] = _Watch()
            try:
                self._epoll.register(fd, events)
            except BaseException:
                with suppress(OSError):  # a signal's handler may have raised behind it
                    self._epoll.unregister(fd)
                del self._watches[fd]
                raise
        return watch

    def _unwatch(self, fd: int, event: int) -> None:
        watch = self._watches.get(fd)
        if watch is None:
            return
        events = watch.events() & ~event
        try:
            if events:
                self._epoll.modify(fd, events)
            else:
                self._epoll.unregister(fd)
        except OSError:
            self._forget(fd, watch, event)
            raise
        self._forget(fd, watch, event)  # last: what epoll still watches has somebody to be called, whatever is raised

    def _forget(self, fd: int, watch: _Watch, event: int) -> None:
        if event == select.EPOLLIN:
            watch.reader = None
        else:
            watch.writer = None
        if not watch.events():
            self._watches.pop(fd, None)

    def _dispatch(self, most: int = BATCH) -> None:
        watches = self._watches
        try:
            events = self._epoll.poll(0, most)
        except (OSError, MemoryError) as error:
            self._failed(error)
            return
        notIn, notOut = ~select.EPOLLIN, ~select.EPOLLOUT
        for watch, flags in [(watches[fd], flags) for fd, flags in events if fd in watches]:
            if flags & notOut and watch.reader is not None:
                callback, argument = watch.reader
                callback(argument)
            if flags & notIn and watch.writer is not None:
                callback, argument = watch.writer
                callback(argument)
