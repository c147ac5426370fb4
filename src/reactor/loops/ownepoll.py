"""An epoll of our own inside an event loop that gives up a descriptor at the first error.

libuv, and so uvloop, answers POLLERR by ending its watch (uv__poll_io of libuv's poll.c, _fatal_error of uvloop's
poll.pyx). It calls the callback once more, and never again. A program that adds the reader again gets an error: the
handler is closed. But a connection that was reset may have more to read than one callback reads, and a datagram socket
lives on after a refusal. So such an event loop watches one descriptor without errors: this epoll's.

Flags only wake, as in EpollReactor. A watch that has ended gets no more calls, even in the present batch, and even if
its number belongs to another file now. The events of a batch are matched with watches before the first callback, and a
watch that has ended stays ended.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactor._later import later
from reactor._numbers import openEpoll

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = later("asyncio", globals())

BATCH = 512

Callback = Callable[[Any], object]


class _Watch:
    """The callbacks of one descriptor, with their arguments."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        self.reader: tuple[Callback, Any] | None = None
        self.writer: tuple[Callback, Any] | None = None

    def events(self) -> int:
        return (select.EPOLLIN if self.reader else 0) | (select.EPOLLOUT if self.writer else 0)


class OwnEpoll:
    """The add_reader of `eventloop` and its like, with one difference: a watch lasts until it is removed.

    `failed` is called with the error if the epoll could not be read. The next try comes at once.
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
        """Call `callback` with `argument` while `fd` can be written to, or has failed. OSError if epoll refuses it."""
        self._watched(fd, select.EPOLLOUT).writer = (callback, argument)

    def remove_reader(self, fd: int) -> None:
        """Undo add_reader. OSError if `fd` was closed meanwhile; it is removed all the same."""
        self._unwatch(fd, select.EPOLLIN)

    def remove_writer(self, fd: int) -> None:
        """Undo add_writer, in the same way."""
        self._unwatch(fd, select.EPOLLOUT)

    def catchUp(self) -> None:
        """Make the callbacks of all ready descriptors, once."""
        self._dispatch(len(self._watches) or 1)

    def close(self) -> None:
        """Stop all watches. The event loop may have been closed before."""
        if not self._eventloop.is_closed():
            self._eventloop.remove_reader(self._epoll.fileno())
        self._epoll.close()
        self._watches.clear()

    def abandon(self) -> None:
        """In a forked child: make no more callbacks, and leave the epoll, which is the parent's, alone."""
        for watch in self._watches.values():
            watch.reader = watch.writer = None
        self._watches.clear()
        self._epoll.close()
        self._epoll = openEpoll()  # for a present call of _dispatch

    def _watched(self, fd: int, events: int) -> _Watch:
        watch = self._watches.get(fd)
        if watch is not None:
            try:
                self._epoll.modify(fd, watch.events() | events)
            except FileNotFoundError:
                # It was closed before it could be removed, and the number belongs to a new file.
                watch.reader = watch.writer = None
                del self._watches[fd]
                watch = None
        if watch is None:
            # The table first: without memory for it, epoll would report events without an owner.
            watch = self._watches[fd] = _Watch()
            try:
                self._epoll.register(fd, events)
            except BaseException:
                with suppress(OSError):  # a signal's handler may have raised just after it
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
        # last, so a descriptor that epoll still watches has callbacks, whatever is raised
        self._forget(fd, watch, event)

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
