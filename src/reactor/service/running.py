"""The life of a service in a reactor: its start in the right order, and its stop within a deadline."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from reactor import _current
from reactor._arguments import checkHas
from reactor._logger import getLogger
from reactor.defer import CancelledError, Deferred, maybeDeferred, succeed
from reactor.error import ReactorNotRunning
from reactor.failure import Failure

log = getLogger("reactor.service")

GRACE = 5.0


class ServiceRunner:
    """Starts `service` and stops it, once each.

    `privileges` is called between privilegedStartService and startService, and may give up the rights of root.
    """

    def __init__(
        self,
        service: Any,
        reactor: Any = None,
        *,
        grace: float = GRACE,
        privileges: Callable[[], object] | None = None,
        started: Callable[[], object] | None = None,
    ) -> None:
        """TypeError if `service` is none.

        `reactor` is the current one by default. `grace` is the deadline of the stop, in seconds. `started` is called
        when the start is complete.
        """
        checkHas(service, "privilegedStartService", "a service")
        self._service = service
        self._reactor = _current.current() if reactor is None else reactor
        self._grace = grace
        self._privileges = privileges
        self._tellStarted = started
        self._starting: Deferred[Any] | None = None
        self._stopped: Deferred[None] | None = None
        self._failure: Failure | None = None

    def run(self) -> None:
        """Start the service, run the reactor until it is stopped, and stop the service before it ends.

        A failure of the start stops the reactor and the service, and is raised here.
        """
        self._reactor.callWhenRunning(self._begin)
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)
        self._reactor.run()
        if self._failure is not None:
            self._failure.raiseException()

    def start(self) -> Deferred[Any]:
        """Call privilegedStartService, `privileges` and startService. Each waits for the one before.

        The Deferred fires when the start is complete, or fails with the first failure.
        """
        calls = [self._service.privilegedStartService, self._privileges, self._service.startService, self._tellStarted]
        starting: Deferred[Any] = succeed(None)
        self._starting = starting
        for call in calls:
            if call is not None:
                starting.addCallback(partial(_calling, call))
        return starting

    def stop(self, grace: float | None = None) -> Deferred[None]:
        """Call stopService, and wait for its Deferred or coroutine, for `grace` seconds at most.

        A start that is under way is cancelled. The Deferred always fires with None; a failure is logged. Later calls
        return a Deferred of the same end.
        """
        if self._stopped is None:
            self._stopped = Deferred()
            if self._starting is not None:
                self._starting.addErrback(_cancelled)
                self._starting.cancel()
                self._stopNow(self._stopped, self._grace if grace is None else grace)
            else:
                self._stopped.callback(None)
        result: Deferred[None] = Deferred()
        self._stopped.addCallback(lambda _: result.callback(None))
        return result

    def _begin(self) -> None:
        if self._stopped is None:
            self.start().addErrback(self._startFailed)

    def _startFailed(self, failure: Failure) -> None:
        if self._stopped is not None and failure.check(CancelledError):
            return
        self._failure = failure
        with suppress(ReactorNotRunning):  # it may be stopping already
            self._reactor.stop()

    def _stopNow(self, done: Deferred[None], grace: float) -> None:
        stopping = maybeDeferred(self._service.stopService)
        isLate = False

        def late() -> None:
            nonlocal isLate
            isLate = True
            log.warning("%r has not stopped within %g seconds: nothing waits for it any longer", self._service, grace)
            stopping.cancel()
            if not done.called:
                done.callback(None)

        def ended(result: Any) -> None:
            if timer.active():
                timer.cancel()
            if isinstance(result, Failure) and not (isLate and result.check(CancelledError)):
                log.error("%r has failed to stop", self._service, exc_info=result.value)
            if not done.called:
                done.callback(None)

        timer = self._reactor.callLater(grace, late)
        stopping.addBoth(ended)


def _calling(call: Callable[[], Any], _: object) -> Deferred[Any]:
    return maybeDeferred(call)


def _cancelled(failure: Failure) -> None:
    failure.trap(CancelledError)


def runService(
    service: Any,
    reactor: Any = None,
    *,
    grace: float = GRACE,
    privileges: Callable[[], object] | None = None,
) -> None:
    """Start `service`, run the reactor until SIGINT, SIGTERM or reactor.stop(), and stop the service in order.

    The arguments and errors are those of ServiceRunner. A failure of the start is raised.
    """
    ServiceRunner(service, reactor, grace=grace, privileges=privileges).run()
