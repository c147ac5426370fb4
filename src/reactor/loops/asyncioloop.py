"""AsyncioReactor: the loop is asyncio's, or any that has its add_reader, uvloop among them.

The event loop belongs to other code too: asyncio libraries run in it beside our protocols. So this reactor does not
decide when it sleeps. The work of an EpollReactor between two sleeps (steps 1 to 4 of a turn, see ReactorBase) is a
callback here, `_tick`. Code that leaves work for it calls `_turnSoon`. Examples are flushSoon, stop, a failure that
ends the reactor, and a deadline before all others. Other threads and signals call it through the waker. The event loop
itself watches descriptors, each with a callback of its own.

- After the end of a watch, an event loop drops the events of that descriptor, even those of the present batch. So
  sockets are closed at once, without waiting for the end of a batch.
- It may have no memory to forget a descriptor, and the end of a connection must not fail for that. Then _GONE takes the
  place of its owner. The event loop is told again when it reports that number, or when another owner needs it.
- It does not notice that a number belongs to another file now. It would then watch nothing (asyncio) or wake the wrong
  owner (uvloop). For this reason `_files` holds the file of each number when its first watch began.
- uvloop ends the watch of a descriptor at its first error. So it watches an OwnEpoll, which watches the others.
- There are three ways to run. run() runs the event loop. start() lives in one that runs already. iterate() lets it poll
  once, and is refused inside it: event loops do not nest.
"""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._arguments import checkHas
from reactor._later import later
from reactor._numbers import threeTaken
from reactor.error import ReactorAlreadyRunning
from reactor.failure import Failure, failureOf
from reactor.interfaces import IFlushable
from reactor.loops import forks
from reactor.loops.base import RUNNING, ReactorBase
from reactor.loops.guard import LOOP_REST, RAISED
from reactor.loops.guests import Guest, isOwn, numberOf, ownerOf
from reactor.loops.ownepoll import OwnEpoll
from reactor.loops.waker import Waker

if TYPE_CHECKING:
    import asyncio
else:
    asyncio = later("asyncio", globals())

PATIENCE = 10  # exceptions in a row before the loop rests

_GONE: Any = object()


class AsyncioReactor(ReactorBase):
    """A reactor on `eventloop`, which must have add_reader, and which close() leaves open. TypeError if it has not.

    Without an argument it takes the event loop that runs in this thread. Otherwise it makes one of its own, by
    asyncio's policy, whose tasks close() cancels. `eventloop` is an attribute too. iterate() inside the event loop
    raises ReactorAlreadyRunning.
    """

    def __init__(self, eventloop: asyncio.AbstractEventLoop | None = None) -> None:
        self._runner: asyncio.Runner | None = None
        if eventloop is None:
            eventloop = asyncio._get_running_loop() or self._makeLoop()
        self._readers: dict[int, Any] = {}
        self._writers: dict[int, Any] = {}
        self._files: dict[int, tuple[int, int]] = {}
        self._stale = False  # whether a table has a _GONE
        self._attached = False
        self._polling = False
        self._inTick = False
        self._inside = 0  # the number of present blocks of insideLoop
        self._ticks = self._ticking()
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timerDue = 0.0
        self._life: ExitStack | None = None
        self._ended: asyncio.Future[None] | None = None
        self._waker = Waker(self._wakerFailed)
        try:
            self._enter(eventloop)
        except BaseException:
            with suppress(NotImplementedError):
                eventloop.remove_reader(self._waker.fileno())
            self._waker.close()
            raise
        super().__init__()
        next(self._ticks)
        self._timers.sooner = self._turnSoon
        forks.watchInEventLoop(self)

    def _enter(self, eventloop: asyncio.AbstractEventLoop) -> None:
        self.eventloop = eventloop
        self._heedWaker()
        self._ownEpoll = OwnEpoll(eventloop, self._pollFailed) if _losesFailed(eventloop) else None
        self._watching: OwnEpoll | asyncio.AbstractEventLoop = self._ownEpoll or eventloop

    def _makeLoop(self) -> asyncio.AbstractEventLoop:
        # On Windows the usual event loop cannot watch descriptors.
        factory = asyncio.SelectorEventLoop if sys.platform == "win32" else asyncio.new_event_loop
        self._runner = asyncio.Runner(loop_factory=factory)
        with threeTaken():
            return self._runner.get_loop()

    # Running.

    def run(self, installSignalHandlers: bool = True) -> None:
        """See ReactorBase.run. ReactorAlreadyRunning also if the event loop runs already: that is for start().

        If a program stops the event loop, that stops the reactor in order.
        """
        if self._isInsideLoop():
            raise ReactorAlreadyRunning("the event loop is running already: start() is for that")
        super().run(installSignalHandlers)

    def start(self) -> asyncio.Future[None]:
        """Run until stop() inside the event loop that runs this; return a Future of the end, at once.

        So `await reactor.start()` is run() for coroutines. Signals are left to the program that runs the event loop. A
        KeyboardInterrupt or SystemExit of a callback becomes the Future's exception. Cancelling the Future stops the
        reactor. RuntimeError in another event loop or none, ReactorAlreadyRunning if it runs already.
        """
        if asyncio._get_running_loop() is not self.eventloop:
            raise RuntimeError("start() is for a coroutine or callback of the reactor's own event loop")
        self._begin()
        self._life = ExitStack()
        self._life.enter_context(_current.running(self))
        self._ended = ended = self.eventloop.create_future()
        ended.add_done_callback(self._abandoned)
        self._startUp(False)
        self._attach()
        return ended

    async def __aenter__(self) -> AsyncioReactor:
        """start()."""
        self._entered = self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """stop(), if it still runs, wait for the end, and close()."""
        if self._mayStop:
            self.stop()
        await self._entered
        self.close()

    def stop(self) -> None:
        """See ReactorBase.stop."""
        super().stop()
        self._turnSoon()

    def flushSoon(self, transport: IFlushable) -> None:
        """See ReactorBase.flushSoon."""
        self._toFlush[transport] = None
        self._turnSoon()

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        """See ReactorBase.reportFailure."""
        ReactorBase.reportFailure(self, failure, what, about)  # super() would need memory
        if self._guard.exit is not None:
            self._turnSoon()

    def _stopLooping(self) -> None:
        super()._stopLooping()
        self._turnSoon()  # the last "during shutdown" Deferred may be fired by a callback of the event loop itself

    def _startUp(self, installSignalHandlers: bool) -> None:
        with self.insideLoop():
            super()._startUp(installSignalHandlers)

    def _loop(self) -> None:
        taken = ExitStack()
        try:
            if self._ownEpoll is not None:  # uvloop opens more when it begins to run
                taken.enter_context(threeTaken())
                self.eventloop.call_soon(taken.close)
            while self._looping:
                try:
                    while self._looping:  # inside a try, as the interpreter handles signals where a loop begins again
                        try:
                            self._leftLoop()
                            self._guard.rest()
                            self._attach()
                            with forks.outsideParentsLoop():
                                self.eventloop.run_forever()
                            if self._mayStop:
                                self.stop()
                        except RAISED as error:
                            self._guard.taken = error
                            self._leaveBroken(error)
                except RAISED as error:
                    self._guard.taken = error
        finally:
            taken.close()
            self._leftLoop()
            self._detach()

    def _leaveBroken(self, error: BaseException) -> None:
        """End run() with the error of a uvloop that cannot begin. Without a descriptor it counts as running."""
        if self.eventloop.is_running():
            self._guard.exit = self._guard.exit or error
            self._looping = False

    def _leftLoop(self) -> None:
        """Repair asyncio's note of the running event loop.

        Without memory asyncio keeps the old one, and would enter none again.
        """
        if asyncio._get_running_loop() is self.eventloop and not self.eventloop.is_running():
            asyncio._set_running_loop(None)

    def _turn(self, longest: float | None) -> None:
        eventloop = self.eventloop
        if self._isInsideLoop():
            raise ReactorAlreadyRunning("the event loop is running, and cannot be turned from inside")
        with self.insideLoop():
            sleep = self._beginTurn()
        if self.eventloop is not eventloop:  # a call has forked, and this is the child
            return
        if longest is not None and (sleep is None or sleep > longest):
            sleep = longest
        timer = None
        if not sleep:
            eventloop.stop()  # which lets it poll once
        else:
            timer = eventloop.call_later(_roundedUp(sleep), self._endOfPolling().send, None)
            self._polling = True
        try:
            with forks.outsideParentsLoop():
                eventloop.run_forever()
        finally:
            self._polling = False
            if timer is not None:
                timer.cancel()
        with self.insideLoop():
            self._finishTurn()

    def _stopPolling(self) -> None:
        if self._polling:  # once only, as uvloop would keep the second stop() for the next run
            self.eventloop.stop()
            self._polling = False

    def _endOfPolling(self) -> Generator[None, None, None]:
        """Call _stopPolling at each send. See _ticking."""
        ending = self._endingPolling()
        next(ending)
        return ending

    def _endingPolling(self) -> Generator[None, None, None]:
        raised: BaseException | None = None
        try:
            yield
            self._stopPolling()
        except GeneratorExit:
            return
        except BaseException as error:
            raised = error
        if raised is not None:
            self._guard.taken = raised
            self._stopPolling()
        yield

    def _isInsideLoop(self) -> bool:
        """Whether this is called from inside the event loop, or by insideLoop."""
        if not (self.eventloop.is_running() or self._inside):
            self._leftLoop()
        return self.eventloop.is_running() or asyncio._get_running_loop() is self.eventloop

    @contextmanager
    def insideLoop(self) -> Iterator[None]:
        """For the block, the event loop counts as running in this thread: asyncio returns it as the running one.

        It is for calling code that may use asyncio, while the event loop does not run.
        """
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self.eventloop)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            asyncio._set_running_loop(before)

    def _attach(self) -> None:
        """Schedule the callback anew: an event loop that an exception has ended may have lost its callbacks."""
        self._detach()
        self._attached = True
        self._turnSoon()

    def _detach(self) -> None:
        self._attached = False
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()
        self._soon = self._timer = None

    def _turnSoon(self) -> None:
        if self._soon is None and self._attached and not self._inTick:
            self._soon = self.eventloop.call_soon(self._ticks.send, False)

    def _ticking(self) -> Generator[None, bool, None]:
        """Call _tick at each send of the event loop, with True if `_timer` has come.

        It is a generator: an exception of a signal's handler at this call is raised at `yield`, and caught here. A
        function would be left before its first line, and no call would follow.
        """
        failures = 0  # in a row
        while True:
            try:
                try:
                    if failures:
                        self._recover(failures)
                        failures = 0
                    while True:
                        isTimer = yield
                        if isTimer:
                            self._timer = None
                        self._tick()
                except GeneratorExit:
                    return
                except BaseException as error:
                    failures += 1
                    self._guard.taken = error
            except BaseException as error:
                failures += 1
                self._guard.taken = error

    def _recover(self, failures: int) -> None:
        """Go on after an exception between callbacks, as the event loop does."""
        self._inTick = False
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()
        self._soon = self._timer = None
        if failures > PATIENCE:
            time.sleep(LOOP_REST)  # there is no memory at all
        try:
            self._turnSoon()
        except MemoryError:
            self._wake()

    def _tick(self) -> None:
        """Do the work between two polls, and schedule the next call."""
        soon, self._soon = self._soon, None
        if soon is not None:
            soon.cancel()  # done here, and once: the second of two last turns would stop another run
        rest = self._guard.settle() if self._guard.taken is not None else 0.0
        if rest:
            self._soon = self.eventloop.call_later(rest, self._ticks.send, False)
        else:
            self._tickOnce()

    def _tickOnce(self) -> None:
        eventloop, sleep = self.eventloop, None
        if self._looping:
            self._inTick = True
            try:
                sleep = self._beginTurn()
            finally:
                self._inTick = False
        if self.eventloop is not eventloop:
            return  # a call has forked, and this is the child: the earlier event loop ends here
        if not self._looping:
            self._leave()
        elif sleep == 0:
            self._turnSoon()
        elif sleep is not None:
            self._tickLater(sleep)

    def _tickLater(self, sleep: float) -> None:
        due = self._timers.nextTime()
        assert due is not None, "a reactor that sleeps for a time has a delayed call"
        if self._timer is not None:
            if due - sleep < self._timerDue <= due:
                return  # at worst it comes too early, because its call was cancelled meanwhile
            self._timer.cancel()  # a timer whose time is over may have come, and an exception lost it
        self._timer = self.eventloop.call_later(_roundedUp(sleep), self._ticks.send, True)
        self._timerDue = due

    def _leave(self) -> None:
        """End the event loop too, if this reactor runs it: the reactor has ended."""
        self._detach()
        if self._life is None or self._ended is None:
            self.eventloop.stop()
            return
        self._finishTurn()
        self._life.close()
        self._end()
        ended, self._ended, self._life = self._ended, None, None
        leaving, self._guard.exit = self._guard.exit, None
        if ended.cancelled():
            return
        if leaving is None:
            ended.set_result(None)
        else:
            ended.set_exception(leaving)

    def _abandoned(self, ended: asyncio.Future[None]) -> None:
        if ended.cancelled() and ended is self._ended and self._phase == RUNNING:
            self.stop()

    # Forks.

    def _renewLoop(self, looping: bool) -> None:
        """Move to another event loop of the same kind, as the old one shares more with the parent than we know.

        The old one has no effect any more, and ends if this reactor had run it.
        """
        old = self.eventloop
        if not old.is_closed():
            self._deafen(old)
            if self._polling or (looping and self._life is None):
                old.stop()
        self._detach()
        self._polling = self._inTick = False
        self._ticks = self._ticking()
        next(self._ticks)
        ended, life = self._ended, self._life
        self._ended = self._life = None
        if ended is not None and life is not None:
            life.close()
            if not ended.done():
                ended.set_result(None)
        self._waker.renew()
        self._runner = asyncio.Runner(loop_factory=type(old))
        self._enter(self._runner.get_loop())
        self._timers.sooner = self._turnSoon

    def _deafen(self, eventloop: asyncio.AbstractEventLoop) -> None:
        """Stop the event loop's polls of the parent's descriptors, and withdraw our callbacks."""
        own = self._ownEpoll
        watched = {} if own else forks.interestsOf(self._readers, self._writers)
        watched[self._waker.fileno()] = select.EPOLLIN
        poll = _pollOf(eventloop)
        if poll >= 0:
            forks.replaceEpoll(poll, watched)
        eventloop.remove_reader(self._waker.fileno())
        if own is not None:
            own.abandon()
            self._readers.clear()
            self._writers.clear()
            self._files.clear()
        for table in (self._readers, self._writers):
            for fd in list(table):
                self._forget(fd, table)

    def _pollFailed(self, error: Exception) -> None:
        """Rest, as a loop that fails does: the epoll inside uvloop could not be read."""
        self._guard.taken = error
        self._guard.rest()

    # Wake-up.

    def _heedWaker(self) -> None:
        try:
            self.eventloop.add_reader(self._waker.fileno(), self._woken)
        except NotImplementedError:
            raise TypeError(
                f"AsyncioReactor needs an event loop with add_reader, such as asyncio.SelectorEventLoop, "
                f"not {self.eventloop!r}. reactor.aio runs on every event loop."
            ) from None

    def _ignoreWaker(self) -> None:
        self.eventloop.remove_reader(self._waker.fileno())

    def _wake(self) -> None:
        self._waker.wake()

    def _woken(self) -> None:
        # First, as without memory for it the waker stays readable. Anew, as an event loop without memory for a call of
        # _tick has lost it.
        self._inTick = False
        if self._ticks.gi_frame is None:  # type: ignore[attr-defined]  # typeshed has it for GeneratorType alone
            self._ticks = self._ticking()
            next(self._ticks)
        soon, self._soon = self._soon, None
        self._turnSoon()
        if soon is not None:
            soon.cancel()
        try:
            self._waker.doRead()
        except BaseException as error:
            self._waker.failConnection(failureOf(error))
        if self._polling:
            self._stopPolling()

    def _callFromSignal(self, callable: Callable[..., Any], *args: Any) -> None:
        """See ReactorBase._callFromSignal. The signal has woken the event loop, but not our callback."""
        self._threadCalls.append([(callable, args, {})])
        try:
            self._wake()
        except OSError:
            with suppress(RuntimeError):  # the waker is closed
                self.eventloop.call_soon_threadsafe(self._turnSoon)

    def _wakeupFd(self) -> int:
        # The program may have signal handlers in the event loop, whose own descriptor for them wakes it too.
        before = signal.set_wakeup_fd(-1)
        if before == -1:
            return self._waker.writeFd
        signal.set_wakeup_fd(before)
        return before

    def _closeLoop(self) -> None:
        if not self.eventloop.is_closed():
            self.eventloop.remove_reader(self._waker.fileno())
        self._waker.close()
        if self._ownEpoll is not None:
            self._ownEpoll.close()
        if self._runner is not None:
            self._runner.close()

    # Interest.

    def addReader(self, reader: Any) -> None:
        """See ReactorBase.addReader."""
        try:
            fd = reader.fileno()
        except AttributeError:
            checkHas(reader, "fileno", "an object that has a descriptor, and doRead()")
            raise
        if self._readers.get(fd) is not reader:
            self._know(fd)
            self._watch(fd, self._readers, reader, self._watching.add_reader, self._read)

    def addWriter(self, writer: Any) -> None:
        """See ReactorBase.addWriter."""
        try:
            fd = writer.fileno()
        except AttributeError:
            checkHas(writer, "fileno", "an object that has a descriptor, and doWrite()")
            raise
        if self._writers.get(fd) is not writer:
            self._know(fd)
            self._watch(fd, self._writers, writer, self._watching.add_writer, self._write)

    def removeReader(self, reader: Any) -> None:
        """See ReactorBase.removeReader."""
        fd = numberOf(reader, self._readers)
        if self._readers.get(fd) is reader:
            self._forget(fd, self._readers)

    def removeWriter(self, writer: Any) -> None:
        """See ReactorBase.removeWriter."""
        fd = numberOf(writer, self._writers)
        if self._writers.get(fd) is writer:
            self._forget(fd, self._writers)

    def getReaders(self) -> list[Any]:
        """See ReactorBase.getReaders."""
        return [reader for reader in self._readers.values() if reader is not _GONE]

    def getWriters(self) -> list[Any]:
        """See ReactorBase.getWriters."""
        return [writer for writer in self._writers.values() if writer is not _GONE]

    def isReading(self, reader: Any) -> bool:
        """See ReactorBase.isReading."""
        return self._readers.get(reader.fileno()) is reader

    def _know(self, fd: int) -> None:
        """`fd` is to be watched. Forget its owner of the time when it stood for another file."""
        file = _fileOf(fd)
        if file is None:
            file = self._files.get(fd, _UNKNOWN)
        before = self._files.setdefault(fd, file)
        if before == _UNKNOWN:
            self._files[fd] = file
        elif before != file:
            for table in (self._readers, self._writers):
                if fd in table:
                    self._forget(fd, table)
                if fd in table:
                    raise MemoryError(f"the event loop has no memory to forget descriptor {fd}")
            self._files[fd] = file

    def _watch(
        self, fd: int, table: dict[int, Any], owner: Any, add: Callable[..., object], call: Callable[[Any], None]
    ) -> None:
        """Put `owner` into `table` and watch it, or leave no trace of it."""
        before = table.get(fd)
        table[fd] = owner
        try:
            known = owner if isOwn(owner) else Guest(self, owner)
            try:
                add(fd, call, known)
            except FileNotFoundError:
                # The event loop still has the old watch of this number, as it had no memory to forget it. It does so
                # now.
                add(fd, call, known)
            except FileExistsError:
                # A signal's handler has raised after the kernel's registration, so asyncio does not know of it.
                _unregister(self.eventloop, fd)
                add(fd, call, known)
        except BaseException:
            if before is None:
                del table[fd]
            else:
                table[fd] = before
            if fd not in self._readers and fd not in self._writers:
                del self._files[fd]
            raise

    def _forget(self, fd: int, table: dict[int, Any]) -> None:
        """Take `fd` out of `table`. It stays there as _GONE if the event loop has no memory to forget it."""
        if not self.eventloop.is_closed():
            try:
                if table is self._readers:
                    self._watching.remove_reader(fd)
                else:
                    self._watching.remove_writer(fd)
            except Exception as error:
                # An OSError of the kernel's, with a number, says that the descriptor was closed behind our back.
                if not isinstance(error, OSError) or error.errno is None:
                    table[fd] = _GONE
                    self._stale = True
                    if not isinstance(error, (MemoryError, SystemError)):  # as CPython can make one of the other
                        self.reportFailure(failureOf(error), "the loop")  # a signal's handler has raised
                    return
        del table[fd]
        if fd not in self._readers and fd not in self._writers:
            del self._files[fd]

    def _isGone(self, owner: Any, table: dict[int, Any]) -> bool:
        """Whether the event loop reports an `owner` that is no longer in `table`. Such owners are forgotten again."""
        self._stale = False
        for each in (self._readers, self._writers):
            for fd in [fd for fd, known in each.items() if known is _GONE]:
                self._forget(fd, each)
        return ownerOf(table.get(numberOf(ownerOf(owner), table))) is not ownerOf(owner)

    def _catchUp(self) -> None:
        """See ReactorBase._catchUp. The event loop cannot be turned from inside, so the descriptors are polled here.

        asyncio still has the results of its own poll, and calls for them once more: flags only wake.
        """
        if self._ownEpoll is not None:
            self._ownEpoll.catchUp()
            return
        readers, writers = _readyOf(self._readers, self._writers)
        for each, table, serve in ((readers, self._readers, self._read), (writers, self._writers, self._write)):
            for fd, owner in each:
                if table.get(fd) is owner and owner is not _GONE:  # otherwise an earlier callback has ended it
                    serve(owner if isOwn(owner) else Guest(self, owner))

    def _read(self, owner: Any) -> None:
        try:
            if self._stale and self._isGone(owner, self._readers):
                return
            result = owner.doRead()
            if result is not None:
                self._ownerEnded(owner, result)
        except BaseException as error:
            self._ownerFailed(owner, failureOf(error))
            self._turnSoon()  # the interrupted code may have been about to schedule it
        if self._polling:
            self._stopPolling()

    def _write(self, owner: Any) -> None:
        try:
            if self._stale and self._isGone(owner, self._writers):
                return
            result = owner.doWrite()
            if result is not None:
                self._ownerEnded(owner, result)
        except BaseException as error:
            self._ownerFailed(owner, failureOf(error))
            self._turnSoon()  # the interrupted code may have been about to schedule it
        if self._polling:
            self._stopPolling()


def _losesFailed(eventloop: asyncio.AbstractEventLoop) -> bool:
    """Whether `eventloop` is uvloop's, on a system with epoll, which helps."""
    return hasattr(select, "epoll") and any(kind.__module__ == "uvloop" for kind in type(eventloop).__mro__)


def _pollOf(eventloop: asyncio.AbstractEventLoop) -> int:
    """Return the epoll of `eventloop`, asyncio's or uvloop's; -1 if it has none, or if it is unknown."""
    if not hasattr(select, "epoll"):
        return -1
    backend = getattr(eventloop, "_get_backend_id", None)  # uvloop
    fileno = getattr(getattr(eventloop, "_selector", None), "fileno", None)  # asyncio
    return int((backend or fileno or (lambda: -1))())


def _unregister(eventloop: asyncio.AbstractEventLoop, fd: int) -> None:
    """Take `fd` out of the epoll of `eventloop`, if it has one."""
    poll = _pollOf(eventloop)
    if poll >= 0:
        with select.epoll.fromfd(os.dup(poll)) as same, suppress(OSError):  # its number is closed with it
            same.unregister(fd)


_NOTHING = (0, 0)
_UNKNOWN = (-1, -1)

_Ready = list[tuple[int, Any]]


def _readyOf(readers: dict[int, Any], writers: dict[int, Any]) -> tuple[_Ready, _Ready]:
    """Return the owners of each table with a readable, writable or failed descriptor."""
    if not hasattr(select, "poll"):  # Windows
        if not (readers or writers):
            return [], []
        canRead, canWrite, failed = select.select([*readers], [*writers], [*writers], 0)
        return [(fd, readers[fd]) for fd in canRead], [(fd, writers[fd]) for fd in {*canWrite, *failed}]
    poll = select.poll()
    for fd in readers.keys() | writers.keys():
        poll.register(fd, (select.POLLIN if fd in readers else 0) | (select.POLLOUT if fd in writers else 0))
    ready = [(fd, flags) for fd, flags in poll.poll(0) if not flags & select.POLLNVAL]
    return (
        [(fd, readers[fd]) for fd, flags in ready if fd in readers and flags != select.POLLOUT],
        [(fd, writers[fd]) for fd, flags in ready if fd in writers and flags != select.POLLIN],
    )


def _fileOf(fd: int) -> tuple[int, int] | None:
    """Return the identity of the file of `fd`, None if it is unknown, _NOTHING if `fd` is closed."""
    try:
        status = os.fstat(fd)
    except OSError as error:
        return _NOTHING if error.errno == errno.EBADF else None
    return (status.st_dev, status.st_ino)


def _roundedUp(sleep: float) -> float:
    """Return `sleep` in whole milliseconds, rounded up. Some loops round down; they would come too early, and spin."""
    return math.ceil(sleep * 1000) / 1000
