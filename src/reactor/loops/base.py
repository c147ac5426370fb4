"""ReactorBase: everything that reactors share.

A subclass supplies interest in descriptors, a wake-up from other threads, and the loop itself.

One turn of the loop, in this order:
1. It makes the calls from threads and signals that were queued when the turn began, first in, first out.
2. It makes the delayed calls that are due, except those made in this turn. If the turn is late (timers.LATE), it polls
   once before and serves the events. So delayed calls see the input that had come in time.
3. If stop() was called, it begins the shutdown.
4. It sends the output that was written outside its own connection's event.
5. It sleeps until a descriptor is ready, a delayed call is due, or a wake-up comes.
6. It serves the events of one batch, and sends the output of each event behind it. Then it closes in the kernel the
   sockets that were closed in the batch. Earlier, a number given back could belong to a new socket while events of the
   old one are still in hand.

An exception of a callback is reported once, in reportFailure, and costs the connection that it belongs to, nothing
else. Only KeyboardInterrupt and SystemExit do more: they stop the reactor in order and then leave run().

A reactor is always in one phase. MOVES is the whole table; an event that a phase does not list there moves nothing.

    phase     what it means                        what it allows    what moves it
    FRESH     nothing has been begun, or the last  run, close        run -> RUNNING, iterate -> LEFT, close -> CLOSED
              run() has ended in order
    RUNNING   run() is under way                   stop              stop, or an exit -> STOPPING
    STOPPING  stop() has been called                                 step 3 of the turn -> SHUTTING
    SHUTTING  the "shutdown" event is under way                      its end -> ENDED; an exception between two
                                                                     triggers -> STOPPING, to run those that are left
    ENDED     everything has been closed                             the end of run() -> FRESH
    LEFT      the reactor has turned, and has not  run, close        run -> RUNNING, close -> CLOSED
              ended in order since
    CLOSED    close() has been called                                nothing

Every phase but CLOSED allows iterate, and all that a program prepares. An exit is a KeyboardInterrupt or SystemExit of
a callback. The end of run() moves RUNNING, STOPPING and SHUTTING to LEFT. A fork moves the child's reactor to FRESH,
unless it is CLOSED.

Three booleans are apart, as each can change in several phases:
- `running` follows the events: the end of "startup", whose Deferreds may be late, and the end of "during shutdown".
- `_looping` tells whether the loop turns again. ENDED ends it, and so does crash() in any phase. From crash() on, the
  reactor allows what LEFT allows, although the phase stays until the end of run().
- `_inBatch` tells whether events of one batch are being served. iterate() inside a callback nests it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

from reactor import _current
from reactor._arguments import checkCall
from reactor._beside import beside, refused
from reactor._later import loadForReactor
from reactor._logger import getLogger, tellRepeats
from reactor.error import (
    ConnectionDone,
    ConnectionLost,
    ReactorAlreadyRunning,
    ReactorNotRestartable,
    ReactorNotRunning,
)
from reactor.failure import Failure, failureOf, safeRepr
from reactor.interfaces import IClosable, IFileDescriptor, IFlushable
from reactor.interfaces.asking import conform
from reactor.loops import forks
from reactor.loops.children import ProcessServices
from reactor.loops.guard import LoopGuard
from reactor.loops.guests import isOwn, isRepeatable
from reactor.loops.signals import SignalHandling
from reactor.loops.sockets import SocketServices
from reactor.loops.triggers import SystemEvents, Trigger
from reactor.loops.workers import ThreadServices
from reactor.timers import LATE, DelayedCall, TimerQueue

log = getLogger("reactor")

# See the table above.
CLOSED, FRESH, LEFT, RUNNING, STOPPING, SHUTTING, ENDED = range(7)
_IN_RUN = {"run": RUNNING, "close": CLOSED, "leave": LEFT, "fork": FRESH}  # the first two after crash() alone
MOVES: dict[int, dict[str, int]] = {
    CLOSED: {},
    FRESH: {"run": RUNNING, "iterate": LEFT, "close": CLOSED},
    LEFT: {"run": RUNNING, "close": CLOSED, "fork": FRESH},
    RUNNING: {"stop": STOPPING, **_IN_RUN},
    STOPPING: {"shutDown": SHUTTING, **_IN_RUN},
    SHUTTING: {"tryAgain": STOPPING, "end": ENDED, **_IN_RUN},
    ENDED: {"leave": FRESH, "fork": FRESH},
}

LONGEST_SLEEP = 86400.0  # seconds: the argument of a poll is bounded, at 24 days for epoll


class ReactorBase(SocketServices, ProcessServices, ThreadServices):
    """A reactor without its loop. Unless a docstring says otherwise, every method is for the thread that runs it.

    `running` is true from startup to shutdown. `overflowCount` is the number of connections that were reset because
    more than their limit was unsent. `closeCounts` is the number of connections that this side closed for a reason, by
    the reason's class: `closeCounts[error.IdleTimeout]`, for example. `skippedLineCount` is the number of lines that
    were skipped for their length, on connections that have ended.
    """

    __conform__ = conform

    def __init__(self) -> None:
        super().__init__()
        loadForReactor()
        self.running = False
        self.overflowCount = 0
        self.closeCounts: Counter[type[ConnectionDone]] = Counter()
        self.skippedLineCount = 0
        self._phase = FRESH
        self._looping = False
        self._timers = TimerQueue(self.monotonic, self.seconds)
        self._looked = self.monotonic()  # the time of the last look at the delayed calls
        self._events = SystemEvents(self.reportFailure)
        self._threadCalls: deque[list[Any]] = deque()
        self._signals = SignalHandling(self._callFromSignal, self._wakeupFd)
        self._guard = LoopGuard(self)
        self._open: dict[IFileDescriptor, Any] = {}  # and the note of each, or None
        self._toFlush: dict[IFlushable, None] = {}
        self._toClose: list[IClosable] = []
        self._inBatch = False

    # The phase.

    def _move(self, event: str) -> None:
        """Move to the phase that MOVES names for `event`."""
        self._phase = MOVES[self._phase].get(event, self._phase)

    @property
    def _isInRun(self) -> bool:
        """Whether run() is under way, and crash() has not been called in it."""
        return self._looping or self._phase == ENDED

    @property
    def _mayStop(self) -> bool:
        """Whether stop() is allowed."""
        return self._looping and self._phase == RUNNING

    # Supplied by a subclass.

    def _loop(self) -> None:
        """Turn while `_looping` is true."""
        raise NotImplementedError

    def _turn(self, longest: float | None) -> None:
        """Turn once, sleeping no longer than `longest` seconds."""
        raise NotImplementedError

    def _catchUp(self) -> None:
        """Poll once for every descriptor, without a sleep, and serve the events."""
        raise NotImplementedError

    def _wake(self) -> None:
        """End the loop's sleep. Any thread, and signal handlers."""
        raise NotImplementedError

    def _wakeupFd(self) -> int:
        """Return a non-blocking descriptor; a byte written to it by a signal ends the loop's sleep."""
        raise NotImplementedError

    def _heedWaker(self) -> None:
        """Watch the waker."""
        raise NotImplementedError

    def _ignoreWaker(self) -> None:
        """Do not watch the waker until the next _heedWaker."""
        raise NotImplementedError

    def _closeLoop(self) -> None:
        """Give back the descriptors of the loop itself."""
        raise NotImplementedError

    def _renewLoop(self, looping: bool) -> None:
        """Called in a forked child: watch nothing, with descriptors that are not the parent's.

        `looping` tells whether the parent's loop was turning.
        """
        raise NotImplementedError

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable, until removeReader.

        A result of doRead other than None ends the reader, and so does an exception of it. The reactor removes the
        reader and calls its connectionLost with a Failure of that.
        """
        raise NotImplementedError

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable, until removeWriter. See addReader."""
        raise NotImplementedError

    def removeReader(self, reader: Any) -> None:
        """Undo addReader. It does nothing for a reader that was not added."""
        raise NotImplementedError

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter. It does nothing for a writer that was not added."""
        raise NotImplementedError

    def getReaders(self) -> list[Any]:
        """Return the objects that are watched for reading."""
        raise NotImplementedError

    def getWriters(self) -> list[Any]:
        """Return the objects that are watched for writing."""
        raise NotImplementedError

    def isReading(self, reader: Any) -> bool:
        """Whether `reader` is watched for reading."""
        raise NotImplementedError

    # Running.

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until stop(). ReactorAlreadyRunning if it runs, ReactorNotRestartable if it is closed.

        It can run again afterwards.

        In the main thread SIGINT and SIGTERM then call stop(), unless `installSignalHandlers` is false; the handlers
        from before come back at the end. SIGINT is left alone if the program has a handler of its own.
        """
        self._begin()
        try:
            with _current.running(self):
                self._startUp(installSignalHandlers)
                self._loop()
                self._guard.settle()
                self._finishTurn()
        finally:
            self._end()
        self._raiseExit()

    def close(self) -> None:
        """Give back descriptors and threads; the reactor is of no use afterwards. ReactorAlreadyRunning if it runs.

        Ports and connections that are left are closed with ConnectionLost. Delayed calls are no longer made. Calling it
        again does nothing.
        """
        if self._isInRun:
            raise ReactorAlreadyRunning("the reactor is running: it is closed after it has stopped")
        if self._phase != CLOSED:
            self._move("close")
            self.disconnectAll()
            self._finishTurn()
            self._releaseThreads()
            self._ownResolver.close()
            self._closeLoop()

    def stop(self) -> None:
        """Leave run() in order, on this turn or the next.

        "before shutdown" and "during shutdown" triggers run, and the reactor still works while it waits for their
        Deferreds. Then it closes every port and connection with ConnectionLost. The "after" triggers come last. Delayed
        calls stay for the next run. ReactorNotRunning if the reactor does not run or is stopping.
        """
        if not self._mayStop:
            raise ReactorNotRunning("the reactor is not running, or is stopping already")
        self._move("stop")

    def crash(self) -> None:
        """Leave run() after this turn, without triggers: ports and connections stay as they are for the next run."""
        self.running = self._looping = False
        self._wake()

    def iterate(self, delay: float = 0) -> None:
        """Turn once, sleeping no longer than `delay` seconds."""
        if self._phase == FRESH:
            self._move("iterate")
        self._turn(delay)
        self._raiseExit()

    def _raiseExit(self) -> None:
        """Let out the KeyboardInterrupt or SystemExit that a callback raised."""
        leaving, self._guard.exit = self._guard.exit, None
        if leaving is not None:
            raise leaving

    def _begin(self) -> None:
        if self._isInRun:
            raise ReactorAlreadyRunning("the reactor is running already")
        if self._phase == CLOSED:
            raise ReactorNotRestartable("the reactor has been closed, and cannot run again")
        self._move("run")
        self._looping = True
        self._looked = self.monotonic()
        self._events.forget("startup", "shutdown")

    def _startUp(self, installSignalHandlers: bool) -> None:
        self._events.fire("startup", begin=lambda: self._nowRunning(installSignalHandlers))

    def _end(self) -> None:
        self._signals.restore()
        self.running = self._looping = False
        if self._phase == ENDED:
            self._releaseThreads()
        self._move("leave")
        self._guard.tellUnreported()
        tellRepeats(everything=True)

    def _nowRunning(self, installSignalHandlers: bool) -> None:
        self.running = True
        self._signals.install(self._signalled if installSignalHandlers else None)

    def _signalled(self, number: int) -> None:
        """Called for SIGINT and SIGTERM: the first stops in order, a second ends the waiting of the shutdown.

        The first signal after the program's own stop() is a first one too.
        """
        again, self._signals.hasAsked = self._signals.hasAsked, True
        if self._mayStop:
            self.stop()
            log.info("received signal %d, stopping", number)
        elif not again:
            log.info("received signal %d, and the reactor is stopping already", number)
        elif self._phase != ENDED:
            self._events.hurry("shutdown")
            log.warning("received signal %d again, stopping at once", number)

    def _beginShutdown(self) -> None:
        self._move("shutDown")
        try:
            fired = self._events.fire("shutdown", finish=self._endRunning)
            fired.addErrback(self.reportFailure, "the shutdown").addCallback(lambda _: self._stopLooping())
        except BaseException:
            self._move("tryAgain")  # the triggers that are left run on the next turn
            raise

    def _endRunning(self) -> None:
        self.disconnectAll()
        self.running = False

    def _stopLooping(self) -> None:
        if self.running:
            self._endRunning()  # an exception between two triggers has kept it from being called
        self._move("end")
        self._looping = False

    def disconnectAll(self) -> None:
        """Close every port, attempt and connection, and all that programs have added, with ConnectionLost."""
        self._flushOutput()
        for transport in [*self._open]:
            if (stops := getattr(transport, "reactorStops", None)) is not None:
                stops()
        for transport in [*self._open, *(other for other in self.removeAll() if other not in self._open)]:
            try:
                self._beside(transport.connectionLost(Failure(ConnectionLost())), "connectionLost of", transport)
            except BaseException as error:
                self.reportFailure(failureOf(error), "connectionLost of", transport)

    # Forks.

    def _forked(self) -> None:
        """Called in a forked child: the child keeps what a FRESH reactor has prepared, and no work of a later phase."""
        if self._phase == CLOSED:
            return
        looping, atWork, theirs = self._looping, self._phase != FRESH, list[int]()
        self._forgetThreads()
        if atWork:
            theirs = self._forgetWork()
        readers, writers = self.getReaders(), self.getWriters()
        self._renewLoop(looping)
        if not atWork:
            for add, owners in ((self.addReader, readers), (self.addWriter, writers)):
                for owner in owners:
                    with contextlib.suppress(OSError, ValueError):  # it was closed without a call
                        add(owner)
        forks.replaceByDead(theirs)
        self._ownResolver.goOn()
        self._wake()  # the turn in which the fork was made must not sleep: nothing would wake it

    def _forgetWork(self) -> list[int]:
        """Be as new, and call no callback. Return the descriptors of all that was open."""
        self._signals.forked()
        self._timers.end()
        self._timers = TimerQueue(self.monotonic, self.seconds)
        self._guard.wakerRest.cancel()
        self._events.clear()
        self._threadCalls.clear()
        self._ownResolver.close()
        for file in self._toClose:
            _close(file)
        open_ = list(self._open)
        for each in (self._toClose, self._toFlush, self._open):
            each.clear()
        self.running = self._looping = self._inBatch = False
        self._move("fork")
        self._guard.exit = None
        return [fd for transport in open_ for fd in forks.descriptorsOf(transport)]

    # The parts of a turn.

    def _beginTurn(self) -> float | None:
        """Steps 1 to 4. Return how long the loop may sleep then, in seconds; None: until woken."""
        due = self._timers.nextTime()
        if not (self._threadCalls or self._toFlush or self._toClose or self._phase > RUNNING):
            # The usual turn of a busy server: all there is to do comes from descriptors.
            if due is None:
                return None
            now = self.monotonic()
            wait = due - now
            if wait > 0:
                self._looked = now
                return wait if wait < LONGEST_SLEEP else LONGEST_SLEEP
        if self._threadCalls:
            self._runThreadCalls()
        self._runDelayedCalls()
        if self._phase == STOPPING:
            self._beginShutdown()
        self._finishTurn()
        return self._sleepTime()

    def _runThreadCalls(self) -> None:
        for _ in range(len(self._threadCalls)):
            if not self._threadCalls:  # a call has turned the loop by itself, with iterate()
                break
            # No function is called here: a signal's handler could run after it, and its exception would cost the entry.
            entry = self._threadCalls[0]
            del self._threadCalls[0]
            try:
                call, args, kwargs = entry[0]
                del entry[0]
            except IndexError:  # it was withdrawn
                continue
            try:
                # Without an allocation where possible: its failure would lose a call that was taken.
                if (result := call(*args, **kwargs) if kwargs else call(*args)) is not None:
                    self._beside(result, "callFromThread of", call)
            except BaseException as error:
                try:
                    if isRepeatable(call):
                        call(*args)  # as for delayed calls
                except BaseException:
                    if isRepeatable(call):
                        call(*args)
                    raise
                finally:
                    self.reportFailure(failureOf(error), "callFromThread of", call)

    def _runDelayedCalls(self) -> None:
        timers = self._timers
        now = self.monotonic()
        if now - self._looked > LATE:
            due = timers.nextTime()
            if due is not None and due <= now:
                self._catchUp()
        self._looked = now
        barrier = timers.mark()
        while (call := timers.popDue(now, barrier)) is not None:
            try:
                if (result := call.run()) is not None:
                    self._beside(result, "the delayed call", call)
            except BaseException as error:
                try:
                    if not call.called or isRepeatable(call.func):
                        call.run()  # a signal's handler may have raised before the function's first line
                except BaseException:
                    if not call.called or isRepeatable(call.func):
                        call.run()  # and again
                    raise
                finally:
                    self.reportFailure(failureOf(error), "the delayed call", call)

    def _beside(self, result: object, what: str, about: object) -> None:
        """`what` of `about` has returned `result`: run a coroutine beside the next calls, and report its failure."""
        beside(result, lambda failure: self.reportFailure(failure, what, about))

    def _sleepTime(self) -> float | None:
        """How long the loop may sleep, in seconds; None: until woken."""
        if self._threadCalls or self._toFlush or self._phase in (STOPPING, ENDED):
            return 0.0
        due = self._timers.nextTime()
        return None if due is None else min(max(0.0, due - self.monotonic()), LONGEST_SLEEP)

    def _finishTurn(self) -> None:
        """Send the output written outside events, and close the files that were closed in the batch."""
        if self._toFlush:
            self._flushOutput()
        if self._toClose and not self._inBatch:
            closing, self._toClose = self._toClose, []
            try:
                for file in closing:
                    _close(file)
            except BaseException:  # between two files; closing a closed file again has no effect
                self._toClose = [*closing, *self._toClose]
                raise

    def _flushOutput(self) -> None:
        # One pass: a resumed producer's output is sent on the next turn, so that no producer holds up the loop.
        flushing, self._toFlush = self._toFlush, {}
        try:
            for transport in flushing:
                try:
                    transport.flush()
                except BaseException as error:
                    transport.failConnection(failureOf(error))
        except BaseException:  # between two transports. All get another turn; those that have sent all send nothing
            later, self._toFlush = self._toFlush, flushing
            flushing.update(later)
            raise

    def _ownerFailed(self, owner: Any, failure: Failure) -> None:
        """doRead or doWrite of `owner` raised: it loses its descriptor. None if the loop raised between two owners."""
        if owner is None:
            self.reportFailure(failure, "the loop")
            return
        try:
            if isOwn(owner):
                owner.failConnection(failure)
                return
            try:
                self.reportFailure(failure, "doRead or doWrite of", owner)
            finally:
                self._ownerEnded(owner, failure)
        except BaseException as error:
            self.reportFailure(failureOf(error), "failConnection of", owner)

    def _ownerEnded(self, owner: Any, reason: Any) -> None:
        """A descriptor that a program added has ended."""
        self.removeReader(owner)
        self.removeWriter(owner)
        try:
            refused(reason, "doRead or doWrite")
        except TypeError:
            reason = Failure()
            self.reportFailure(reason, "doRead or doWrite of", owner)
        try:
            lost = owner.connectionLost(reason if isinstance(reason, Failure) else Failure(reason))
            self._beside(lost, "connectionLost of", owner)
        except BaseException as error:
            self.reportFailure(failureOf(error), "connectionLost of", owner)

    def _wakerFailed(self, failure: Failure) -> None:
        """The waker cannot be read, or not be watched."""
        self._guard.wakerFailed(failure)

    # Time.

    def seconds(self) -> float:
        """Return the time in seconds since 1970, as time.time() does: it jumps when the wall clock is set. Any thread.

        The getTime() of a DelayedCall is in this time. Nothing in the package depends on it.
        """
        return time.time()

    def monotonic(self) -> float:
        """Return the time in seconds, as time.monotonic() does: it never jumps, and has no date. Any thread.

        Every deadline and delay of the package follows this clock.
        """
        return time.monotonic()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """Call `callable(*args, **kw)` once, no sooner than `delay` seconds from now; return its DelayedCall.

        Equal deadlines keep their order. A call with delay 0 made by another call runs on the next turn. A negative
        delay is an AssertionError (timers.DelayError).
        """
        return self._timers.callLater(delay, callable, args, kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the pending calls, in no order."""
        return self._timers.calls()

    # Calls of the system's making.

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Trigger | None:
        """Call now if running (and return None), else after startup (and return a trigger ID)."""
        if self.running:
            self._beside(callable(*args, **kwargs), "callWhenRunning of", callable)
            return None
        return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Trigger:
        """Call `callable(*args, **kwargs)` once, in `phase` of the next `eventType`; return an ID for its removal.

        Phases are "before", "during" and "after" (KeyError for another), events "startup", "shutdown" and whatever
        fireSystemEvent is given. A Deferred or coroutine from a "before" trigger is waited for.
        """
        trigger = Trigger(phase, eventType, callable, args, kwargs)
        self._events.add(trigger)
        return trigger

    def removeSystemEventTrigger(self, triggerID: Trigger) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""
        self._events.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of `eventType`."""
        self._events.fire(eventType)

    def addSignalHandler(self, number: int, callable: Callable[..., Any], *args: Any) -> None:
        """While running in the main thread, call `callable(*args)` in the loop for each signal `number`.

        It takes the place of any handler before it, the reactor's own for SIGINT and SIGTERM included.
        """
        self._signals.add(number, callable, args)

    def removeSignalHandler(self, number: int) -> bool:
        """Undo addSignalHandler; return whether there was anything to undo."""
        return self._signals.remove(number)

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        """Log once what `what` of `about`, a callback, raised. KeyboardInterrupt and SystemExit stop the reactor.

        A lack of memory raises nothing here. (So there is no `*about`: a call with it makes a tuple.)
        """
        value = failure.value
        if not isinstance(value, (KeyboardInterrupt, SystemExit)):
            try:
                text = what if about is None else f"{what} {safeRepr(about)}"
                log.error("unhandled error in %s", text, exc_info=(type(value), value, failure.getTracebackObject()))
                return
            except MemoryError:  # the caller has something to end, and must go on
                self._guard.unreported += 1
                return
            except (KeyboardInterrupt, SystemExit) as leaving:  # a handler's
                value = leaving
        self._guard.exit = self._guard.exit or value
        if self._looping and self._phase == RUNNING:  # without a call, for which there may be no memory
            self._phase = STOPPING
        if self._phase >= SHUTTING and isinstance(value, KeyboardInterrupt):
            self.callFromThread(self._events.hurry, "shutdown")

    # Threads.

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread make the call, in order, on its next turn. Any thread, and signal handlers.

        A reactor that does not run makes the call when it runs again. OSError if the reactor is closed, or cannot be
        woken for lack of memory; then the call will not be made.
        """
        checkCall(callable)
        entry: list[Any] = [(callable, args, kwargs)]
        self._threadCalls.append(entry)
        try:
            self._wake()
        except BaseException:
            try:
                entry.pop()  # either this or the loop takes it, never both
            except IndexError:
                return  # the loop has taken it already
            raise

    def _callFromSignal(self, callable: Callable[..., Any], *args: Any) -> None:
        """callFromThread for a signal's handler, which must not fail. The signal itself has woken the loop."""
        self._threadCalls.append([(callable, args, {})])
        with contextlib.suppress(OSError):
            self._wake()

    # For transports.

    def removeAll(self) -> list[Any]:
        """Forget every reader and writer but the reactor's own, and return them."""
        found = list(dict.fromkeys([*self.getReaders(), *self.getWriters()]))
        for owner in found:
            self.removeReader(owner)
            self.removeWriter(owner)
        return found

    def opened(self, transport: IFileDescriptor) -> None:
        """`transport` lives: stop() will close it."""
        self._open[transport] = None

    def closed(self, transport: IFileDescriptor) -> None:
        """`transport` has ended by itself."""
        self._open.pop(transport, None)

    def replaced(self, old: IFileDescriptor, new: IFileDescriptor) -> None:
        """`new` lives in the place of `old`, on the same descriptor, and has its note."""
        self._open[new] = self._open.pop(old, None)

    def keepNote(self, transport: Any, note: object) -> None:
        """Keep `note` for `transport` as long as it lives, in the place of an earlier note. Else do nothing.

        It is for code that follows many connections and wants no table of its own.
        """
        if transport in self._open:
            self._open[transport] = note

    def noteOf(self, transport: Any) -> Any:
        """Return the note of `transport`; None if it has none, or lives no more."""
        return self._open.get(transport)

    def openTransports(self) -> list[Any]:
        """Return every port, attempt and connection that lives, the oldest first. For TLS, the transport below it."""
        return list(self._open)

    def flushSoon(self, transport: IFlushable) -> None:
        """Call transport.flush() once before the loop sleeps, however often it is asked for."""
        self._toFlush[transport] = None

    def flushBehindRead(self, transport: IFlushable) -> None:
        """Call transport.flush(), now or together with those of other transports that have been read in this turn."""
        transport.flush()

    def closeSoon(self, file: IClosable) -> None:
        """Close `file` once no event of this batch can name its descriptor any more."""
        if self._inBatch:
            try:
                self._toClose.append(file)
                return
            except MemoryError:
                pass  # at once, then: a file left open would never end for its peer
        _close(file)

    def placeholder(self) -> int:
        """Return a descriptor that os.dup2 may put in the place of another, -1 if there is none.

        The other one ends now, and is closed with closeSoon later.
        """
        waker = getattr(self, "_waker", None)
        return waker.writeFd if waker is not None and os.name == "posix" else -1


def _close(file: IClosable) -> None:
    try:  # noqa: SIM105  # suppress() would take longer than all else here
        file.close()
    except OSError:
        pass  # other code may have closed the descriptor itself, behind the object's back
