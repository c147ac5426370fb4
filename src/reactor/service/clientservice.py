"""A service that keeps one connection to an endpoint, and connects again when it is lost, as Twisted's ClientService.

The machine, with a state a row, and the next state for each event:

    state          start       stop           made       over (attempt failed or connection lost)   timer
    IDLE           CONNECTING  STOPPED
    CONNECTING                 DISCONNECTING  CONNECTED  WAITING
    CONNECTED                  DISCONNECTING             WAITING
    WAITING                    STOPPED                                                              CONNECTING
    DISCONNECTING  RESTARTING                            STOPPED
    RESTARTING                 DISCONNECTING             CONNECTING
    STOPPED        CONNECTING

An empty cell means that the state stays. A connection that is made in DISCONNECTING or RESTARTING is closed again.

Each attempt is an object of its own, from connect() to the end of its connection. The service heeds its present attempt
alone. So a connection that was rejected may end at any time. Deferreds of callers fire last in each step, because their
callbacks may call the service.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._arguments import checkCall, checkFactory, checkHas
from reactor._closing import goesOn
from reactor._logger import getLogger
from reactor.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from reactor.failure import Failure
from reactor.protocol.standins import StandIn
from reactor.service.services import Service

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall, IProtocolFactory, IReactorTime, IStreamClientEndpoint

log = getLogger("reactor.service")

MOST_STEPS = 100  # factor ** attempt ends to grow here, long after any sensible maxDelay


class State(enum.Enum):
    """The states of a ClientService."""

    IDLE = "idle"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    DISCONNECTING = "disconnecting"
    RESTARTING = "restarting"
    STOPPED = "stopped"


def backoffPolicy(
    initialDelay: float = 1.0,
    maxDelay: float = 60.0,
    factor: float = 1.5,
    jitter: Callable[[], float] = random.random,
) -> Callable[[int], float]:
    """Return a retry policy whose delay, in seconds, grows by `factor` with each failed attempt in a row.

    The delay after attempt n is `initialDelay * factor ** n`, at most `maxDelay`, and `jitter()` seconds on top.
    """

    def policy(attempt: int) -> float:
        try:
            delay = min(initialDelay * factor ** min(MOST_STEPS, attempt), maxDelay)
        except OverflowError:
            delay = maxDelay
        return delay + jitter()

    return policy


_defaultPolicy = backoffPolicy()


class ClientService(Service):
    """Keeps one connection to `endpoint` while it runs, with protocols of `factory`.

    When an attempt fails, or the connection is lost, it waits for `retryPolicy(n)` seconds and tries again. The number
    n counts these ends since the last connection was ready.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        factory: IProtocolFactory,
        retryPolicy: Callable[[int], float] | None = None,
        clock: IReactorTime | None = None,
        prepareConnection: Callable[[Any], object] | None = None,
    ) -> None:
        """TypeError if `endpoint` has no `connect`, `factory` is no factory, or a callable is none.

        `retryPolicy` is backoffPolicy() by default, and `clock` the current reactor. `prepareConnection` is called with
        the protocol of each new connection, and may return a Deferred or a coroutine. If that fails, the connection is
        closed and counts as a failed attempt. Before it succeeds, whenConnected does not tell of the connection.
        """
        checkHas(endpoint, "connect", "a client endpoint")
        checkFactory(factory, "Factory")
        for call in (retryPolicy, prepareConnection):
            if call is not None:
                checkCall(call)
        self._endpoint = endpoint
        self._factory = factory
        self._policy = _defaultPolicy if retryPolicy is None else retryPolicy
        self._clock = clock
        self._prepare = prepareConnection
        self._state = State.IDLE
        self._attempt: _Attempt | None = None
        self._retry: IDelayedCall | None = None
        self._failures = 0
        self._waiting: dict[Deferred[Any], int | None] = {}
        self._stopping: list[Deferred[None]] = []

    def whenConnected(self, failAfterFailures: int | None = None) -> Deferred[Any]:
        """Return a Deferred of the factory's protocol of the present connection, or of the next one.

        It fails with CancelledError when the service stops. If `failAfterFailures` is a number, it fails with the
        error of that many failed attempts in a row, counted from now. Cancelling it stops nothing.
        """
        if self._state is State.CONNECTED:
            assert self._attempt is not None
            return succeed(self._attempt.protocol)
        if self._state is State.STOPPED:
            return fail(CancelledError())
        waiting: Deferred[Any] = Deferred(lambda it: self._waiting.pop(it, None))
        self._waiting[waiting] = failAfterFailures
        return waiting

    def startService(self) -> Any:
        """Begin to connect. A service that disconnects connects again when that is done. One that runs is warned."""
        if self.running:
            log.warning("Duplicate ClientService.startService of %r", self)
            return
        super().startService()
        if self._state in (State.IDLE, State.STOPPED):
            self._connect()
        elif self._state is State.DISCONNECTING:
            self._state = State.RESTARTING

    def stopService(self) -> Deferred[None]:
        """End the connection and the attempts. The Deferred fires when the connection has ended.

        A peer that does not take its output can hold it up: `addTimeout`, or aborting the transport, ends the wait.
        """
        super().stopService()
        state, attempt = self._state, self._attempt
        if state in (State.IDLE, State.STOPPED, State.WAITING):
            self._state = State.STOPPED
            if self._retry is not None:
                self._retry.cancel()
                self._retry = None
            self._fire(Failure(CancelledError()))
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        self._stopping.append(stopped)
        self._state = State.DISCONNECTING
        if state in (State.CONNECTING, State.CONNECTED):
            assert attempt is not None
            attempt.close()
        return stopped

    def _connect(self) -> None:
        self._state = State.CONNECTING
        self._attempt = attempt = _Attempt(self._made, self._over)
        attempt.begin(self._endpoint, self._factory, self._prepare)
        self._fireStopped()  # of a service that was stopped and started again
        attempt.follow()

    def _made(self, attempt: _Attempt) -> None:
        """Called by an attempt whose connection is ready."""
        if attempt is not self._attempt or self._state is not State.CONNECTING:
            attempt.close()
            return
        self._state = State.CONNECTED
        self._failures = 0
        self._fire(attempt.protocol)

    def _over(self, attempt: _Attempt, failure: Failure) -> None:
        """Called by an attempt that has failed, or whose connection is lost."""
        if attempt is not self._attempt:
            return
        self._attempt = None
        state = self._state
        if state is State.CONNECTING:
            self._wait(failure)
            self._fireFailures(failure)
        elif state is State.CONNECTED:
            self._wait(failure)
        elif state is State.RESTARTING:
            self._connect()
        else:
            self._state = State.STOPPED
            self._fire(Failure(CancelledError()))
            self._fireStopped()

    def _wait(self, failure: Failure) -> None:
        self._state = State.WAITING
        self._failures += 1
        clock = _current.current() if self._clock is None else self._clock
        try:
            delay = self._policy(self._failures)
            self._retry = clock.callLater(delay, self._tryAgain)
        except Exception:
            log.exception("The retry policy of %r has failed: the default one takes its place", self)
            delay = _defaultPolicy(self._failures)
            self._retry = clock.callLater(delay, self._tryAgain)
        told = failure.getErrorMessage()
        log.info("%r: attempt %d follows in %.3f seconds: %s", self._endpoint, self._failures, delay, told)

    def _tryAgain(self) -> None:
        self._retry = None
        self._connect()

    def _fire(self, result: Any) -> None:
        waiting, self._waiting = self._waiting, {}
        for each in waiting:
            each.callback(result)

    def _fireFailures(self, failure: Failure) -> None:
        ready = [each for each, left in self._waiting.items() if left is not None and left <= 1]
        self._waiting = {
            each: None if left is None else left - 1 for each, left in self._waiting.items() if each not in ready
        }
        for each in ready:
            each.callback(failure)

    def _fireStopped(self) -> None:
        stopping, self._stopping = self._stopping, []
        for each in stopping:
            each.callback(None)


class _Attempt:
    """One attempt to connect, its preparation, and its connection. `made` or `over` is called, and later `over`."""

    def __init__(self, made: Callable[[_Attempt], None], over: Callable[[_Attempt, Failure], None]) -> None:
        self.protocol: Any = None
        self._made = made
        self._over = over
        self._work: Deferred[Any] | None = None
        self._watched: _Watched | None = None
        self._built: _Watched | None = None
        self._isClosing = False

    def begin(self, endpoint: Any, factory: Any, prepare: Callable[[Any], object] | None) -> None:
        """Connect `factory` to `endpoint`, and then let `prepare` work with the protocol."""

        def connected(result: Any) -> Any:
            watched = result if isinstance(result, _Watched) else self._built
            if watched is None:
                raise TypeError(f"{endpoint!r} has connected {result!r}, which the service's factory has not built")
            self._watched = watched
            self.protocol = watched.wrappedProtocol if result is watched else result
            if watched.lost is not None:
                return watched.lost
            return None if prepare is None or self._isClosing else maybeDeferred(prepare, self.protocol)

        self._work = work = maybeDeferred(endpoint.connect, _WatchingFactory(factory, self._builds, self._lost))
        work.addCallback(connected)

    def follow(self) -> None:
        """Call `made` or `over` when the work is done, which may be at once."""
        assert self._work is not None
        self._work.addCallbacks(self._ready, self._failed)

    def close(self) -> None:
        """End the attempt or the connection, in order."""
        self._isClosing = True
        if self._work is not None:
            self._work.cancel()
        elif self._watched is not None and self._watched.transport is not None:
            self._watched.transport.loseConnection()

    def _builds(self, watched: _Watched) -> None:
        self._built = watched

    def _ready(self, _: Any) -> None:
        self._work = None
        assert self._watched is not None
        if self._watched.lost is None:
            self._made(self)
        else:  # the preparation has heeded no cancelling
            self._over(self, self._watched.lost)

    def _failed(self, failure: Failure) -> None:
        """The attempt or the preparation has failed. A connection that stands is closed."""
        self._work = None
        watched = self._watched
        if watched is None:
            self._over(self, failure)
        elif watched.lost is not None:
            self._over(self, watched.lost)
        elif self._isClosing:
            self.close()
        else:
            self._over(self, failure)
            self.close()

    def _lost(self, watched: _Watched, reason: Failure) -> None:
        """The connection is lost. A preparation that is under way ends."""
        if watched is not self._watched:
            return  # the endpoint tells of it
        if self._work is not None:
            self._work.cancel()
        else:
            self._over(self, reason)


class _WatchingFactory:
    """Stands before a program's factory, and puts a _Watched before each of its protocols."""

    def __init__(
        self, factory: Any, built: Callable[[_Watched], None], ended: Callable[[_Watched, Failure], None]
    ) -> None:
        self.wrappedFactory = factory
        self._built = built
        self._ended = ended

    def buildProtocol(self, addr: Any) -> Any:
        """Return a _Watched before the protocol, or None if there is none."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        if protocol is None:
            return None
        watched = _Watched(protocol, self._ended)
        self._built(watched)
        return watched

    def __getattr__(self, name: str) -> Any:
        if name == "wrappedFactory":  # not set yet, as in a copy that is being made
            raise AttributeError(name)
        return getattr(self.wrappedFactory, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} before {self.wrappedFactory!r}>"


class _Watched(StandIn):
    """Stands before a protocol for all of its connection, and passes its end on to the attempt."""

    def __init__(self, protocol: Any, ended: Callable[[_Watched, Failure], None]) -> None:
        self.wrappedProtocol = protocol
        self.transport: Any = None
        self.lost: Failure | None = None
        self._ended = ended

    def makeConnection(self, transport: Any) -> Any:
        """Passed on."""
        self.transport = transport
        return self.wrappedProtocol.makeConnection(transport)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on."""
        return self.wrappedProtocol.dataReceived(data)

    @goesOn
    def connectionLost(self, reason: Failure) -> Any:
        """Passed on, once; then the attempt gets the reason."""
        if self.lost is not None:
            return None
        self.lost = reason
        try:
            return self.wrappedProtocol.connectionLost(reason)
        finally:
            self._ended(self, reason)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} before {self.wrappedProtocol!r}>"
