"""EpollReactor: the loop on Linux's epoll, level-triggered.

- A descriptor is registered only while it has a reader or a writer. An idle registration would still report errors and
  hang-ups, again and again.
- Flags only wake. EPOLLERR and EPOLLHUP wake the reader and the writer alike, and recv or send shows the error.
- Each event looks its owner up again, because an earlier callback of the batch may have removed it. A number cannot get
  a new owner within the batch: sockets closed meanwhile are closed in the kernel after it (ReactorBase.closeSoon).
- A refused registration leaves no trace in our tables. A table that cannot grow leaves no trace in the kernel.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from reactor._arguments import checkHas
from reactor._numbers import openEpoll
from reactor.failure import failureOf
from reactor.interfaces import IFlushable
from reactor.loops import forks
from reactor.loops.base import ReactorBase
from reactor.loops.guard import RAISED
from reactor.loops.guests import Guest, isOwn, numberOf, ownerOf
from reactor.loops.waker import Waker

IN, OUT = 1, 4  # EPOLLIN and EPOLLOUT: this module can be imported where there is no epoll, too
BATCH = 512
# The number of transports whose output is sent together, in the middle of a batch of events. A send leaves the caches
# to the kernel, and wakes the peer's process, if that is on this machine. In a burst it costs less.
BURST = 16


class EpollReactor(ReactorBase):
    """A reactor on epoll, on Linux only. There may be any number of them, each run by one thread at a time."""

    def __init__(self) -> None:
        self._epoll = openEpoll()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._waker = Waker(self._wakerFailed)
        super().__init__()
        self.addReader(self._waker)
        forks.watch(self)

    def _wake(self) -> None:
        self._waker.wake()

    def _wakeupFd(self) -> int:
        return self._waker.writeFd

    def _closeLoop(self) -> None:
        self._epoll.close()
        self._waker.close()

    def _renewLoop(self, looping: bool) -> None:
        self._readers.clear()
        self._writers.clear()
        self._closeLoop()  # first, as no other number may be left
        self._epoll = openEpoll()
        self._waker = Waker(self._wakerFailed)
        self.addReader(self._waker)

    def _heedWaker(self) -> None:
        self.addReader(self._waker)

    def _ignoreWaker(self) -> None:
        self.removeReader(self._waker)

    def addReader(self, reader: Any) -> None:
        """See ReactorBase.addReader."""
        try:
            fd = reader.fileno()
        except AttributeError:
            checkHas(reader, "fileno", "an object that has a descriptor, and doRead()")
            raise
        known = reader if isOwn(reader) else Guest(self, reader)
        if fd not in self._readers and fd not in self._writers:
            # before the registration: without memory here, epoll would report events without an owner
            self._readers[fd] = known
            try:
                self._epoll.register(fd, IN)
            except BaseException:
                self._readers.pop(fd, None)
                with suppress(OSError, ValueError):  # a signal's handler may have raised just after it
                    self._epoll.unregister(fd)
                raise
        elif self._readers.get(fd) is not reader:
            self._watch(fd, IN, OUT if fd in self._writers else 0)
            self._readers[fd] = known

    def addWriter(self, writer: Any) -> None:
        """See ReactorBase.addWriter."""
        try:
            fd = writer.fileno()
        except AttributeError:
            checkHas(writer, "fileno", "an object that has a descriptor, and doWrite()")
            raise
        if self._writers.get(fd) is not writer:
            known = writer if isOwn(writer) else Guest(self, writer)
            self._watch(fd, OUT, IN if fd in self._readers else 0)
            self._writers[fd] = known

    def removeReader(self, reader: Any) -> None:
        """See ReactorBase.removeReader."""
        self._remove(reader, self._readers, self._writers, OUT)

    def removeWriter(self, writer: Any) -> None:
        """See ReactorBase.removeWriter."""
        if self._writers:
            self._remove(writer, self._writers, self._readers, IN)

    def getReaders(self) -> list[Any]:
        """See ReactorBase.getReaders."""
        return [ownerOf(reader) for reader in self._readers.values() if reader is not self._waker]

    def getWriters(self) -> list[Any]:
        """See ReactorBase.getWriters."""
        return [ownerOf(writer) for writer in self._writers.values()]

    def isReading(self, reader: Any) -> bool:
        """See ReactorBase.isReading."""
        return ownerOf(self._readers.get(reader.fileno())) is reader

    def flushBehindRead(self, transport: IFlushable) -> None:
        """See ReactorBase.flushBehindRead: BURST transports are flushed together, or all at the end of the turn."""
        self._toFlush[transport] = None

    def _watch(self, fd: int, wanted: int, already: int) -> None:
        if fd in self._readers or fd in self._writers:
            try:
                self._epoll.modify(fd, wanted | already)
                return
            except FileNotFoundError:
                # The known owner of this number was closed without a call, and the number belongs to a new file.
                self._readers.pop(fd, None)
                self._writers.pop(fd, None)
        self._epoll.register(fd, wanted)

    def _remove(self, owner: Any, table: dict[int, Any], others: dict[int, Any], rest: int) -> None:
        fd = numberOf(owner, table)
        known = table.get(fd)
        if known is not owner and ownerOf(known) is not owner:
            return
        try:
            if fd in others:
                self._epoll.modify(fd, rest)
            else:
                self._epoll.unregister(fd)
        except (OSError, ValueError):
            # The descriptor was closed without a call, so epoll has dropped it already.
            pass
        del table[fd]  # last, so a descriptor that epoll still watches has an owner even if a signal's handler raises

    def _loop(self) -> None:
        while self._looping:
            try:
                while self._looping:  # inside a try, as the interpreter handles signals where a loop begins again
                    try:
                        self._guard.rest()
                        while self._looping:
                            self._turn(None)
                    except RAISED as error:
                        self._guard.taken = error
            except RAISED as error:
                self._guard.taken = error

    def _turn(self, longest: float | None) -> None:
        sleep = self._beginTurn()
        if longest is None:
            if not self._looping:
                sleep = 0.0  # crash() or a fork has ended run(), and an inner run() may have taken the wake-up
        elif sleep is None or sleep > longest:
            sleep = longest
        events = self._epoll.poll(-1 if sleep is None else sleep, BATCH)  # PyPy wants a number
        outer, self._inBatch = self._inBatch, True  # outer batch: a callback of a batch has called iterate()
        try:
            self._dispatch(events)
        finally:
            self._inBatch = outer
            if self._toFlush or self._toClose:
                self._finishTurn()

    def _catchUp(self) -> None:
        """Serve every ready descriptor, as the next batch may come after a timeout. See ReactorBase._catchUp."""
        most = len(self._readers) + len(self._writers)
        events = self._epoll.poll(0, most or 1)  # without memory, not even the waker may be watched
        outer, self._inBatch = self._inBatch, True
        try:
            self._dispatch(events)
        finally:
            self._inBatch = outer  # the kernel closes the closed sockets at the end of this turn's calls

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        readers, writers = self._readers, self._writers
        for fd, flags in events:
            if len(self._toFlush) >= BURST:
                self._flushOutput()
            owner = None
            try:
                if flags != OUT and (owner := readers.get(fd)) is not None:
                    result = owner.doRead()
                    if result is not None:
                        self._ownerEnded(owner, result)
                if flags != IN and (owner := writers.get(fd)) is not None:
                    result = owner.doWrite()
                    if result is not None:
                        self._ownerEnded(owner, result)
            except BaseException as error:
                self._ownerFailed(owner, failureOf(error))
