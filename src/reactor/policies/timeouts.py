"""Deadlines: TimeoutMixin for protocols, TimeoutFactory around the protocols of any factory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._arguments import checkSeconds, connected
from reactor._closing import closeFor, goesOn
from reactor.error import IdleTimeout
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.policies.wrapping import ProtocolWrapper, WrappingFactory
from reactor.protocol import connectionDone

if TYPE_CHECKING:
    from reactor.interfaces import IDelayedCall


class TimeoutProtocol(ProtocolWrapper):
    """The wrapper of a TimeoutFactory: calls timeoutFunc() after `timeoutPeriod` seconds without data either way."""

    def __init__(self, factory: Any, wrappedProtocol: Any, timeoutPeriod: float | None) -> None:
        super().__init__(factory, wrappedProtocol)
        self.timeoutCall: IDelayedCall | None = None
        self.timeoutPeriod: float | None = None
        self.setTimeout(timeoutPeriod)

    def setTimeout(self, timeoutPeriod: float | None = None) -> None:
        """Wait for `timeoutPeriod` seconds from now; None ends the waiting."""
        self.cancelTimeout()
        self.timeoutPeriod = timeoutPeriod
        if timeoutPeriod is not None:
            self.timeoutCall = self.factory.callLater(timeoutPeriod, self._timedOut)

    def cancelTimeout(self) -> None:
        """Wait no more. It may be called twice."""
        self.timeoutPeriod = None
        call = self.timeoutCall
        if call is not None and call.active():
            call.cancel()
        self.timeoutCall = None

    def resetTimeout(self) -> None:
        """Start the time again, because there was traffic. After cancelTimeout() or the timeout it does nothing."""
        if self.timeoutCall is not None and self.timeoutPeriod is not None:
            self.timeoutCall.reset(self.timeoutPeriod)

    def write(self, data: BytesLike) -> None:
        """Passed on; the time starts again."""
        self.resetTimeout()
        super().write(data)

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Passed on; the time starts again."""
        self.resetTimeout()
        super().writeSequence(seq)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on; the time starts again."""
        self.resetTimeout()
        return super().dataReceived(data)

    @goesOn
    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Passed on; the waiting ends."""
        self.cancelTimeout()
        return super().connectionLost(reason)

    def timeoutFunc(self) -> Any:
        """Called when the time is over: calls loseConnection(), so connectionLost gets an IdleTimeout.

        IdleTimeout is a ConnectionDone. loseConnection() can wait long for a peer that does not read. Override this
        method to abort, or to do something else; setTimeout() starts the time again.
        """
        closeFor(self, _idle(self.timeoutPeriod))

    def _timedOut(self) -> Any:
        self.timeoutCall = None
        return self.timeoutFunc()


class TimeoutFactory(WrappingFactory):
    """Closes connections without reading or writing for `timeoutPeriod` seconds (None: keeps them)."""

    protocol: Callable[..., Any] | None = TimeoutProtocol

    def __init__(self, wrappedFactory: Any, timeoutPeriod: float | None = 30 * 60) -> None:
        if timeoutPeriod is not None:
            checkSeconds(timeoutPeriod, "a timeoutPeriod")
        super().__init__(wrappedFactory)
        self.timeoutPeriod = timeoutPeriod

    def wrap(self, wrapped: Any) -> Any:
        """Return the wrapper for `wrapped`, whose time starts now."""
        assert self.protocol is not None
        return self.protocol(self, wrapped, timeoutPeriod=self.timeoutPeriod)

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """The current reactor's callLater. Tests replace it by a Clock's."""
        return _current.current().callLater(period, func)


class TimeoutMixin:
    """A deadline for a protocol, which calls timeoutConnection(). `timeOut`: seconds, or None for no deadline."""

    timeOut: float | None = None
    __timeoutCall: IDelayedCall | None = None

    if TYPE_CHECKING:
        transport: Any

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """The current reactor's callLater. Tests replace it by a Clock's."""
        return _current.current().callLater(period, func)

    def resetTimeout(self) -> None:
        """Start the time again, because the peer made progress. Without a deadline, or after it, this does nothing."""
        if self.__timeoutCall is not None and self.timeOut is not None:
            self.__timeoutCall.reset(self.timeOut)

    def setTimeout(self, period: float | None) -> float | None:
        """Set the deadline to `period` seconds from now, or remove it (None). Return the earlier `timeOut`.

        A protocol removes its deadline in its connectionLost.
        """
        previous, self.timeOut = self.timeOut, period
        call = self.__timeoutCall
        if call is None:
            if period is not None:
                self.__timeoutCall = self.callLater(period, self.__timedOut)
        elif period is not None:
            call.reset(period)
        else:
            self.__timeoutCall = None
            if call.active():
                call.cancel()
        return previous

    def __timedOut(self) -> Any:
        self.__timeoutCall = None
        return self.timeoutConnection()

    def timeoutConnection(self) -> Any:
        """Called at the deadline: calls transport.loseConnection(), so connectionLost gets an IdleTimeout.

        IdleTimeout is a ConnectionDone. loseConnection() can wait long for a peer that does not read. Override this
        method to abort, or to do something else.
        """
        closeFor(connected(self, "timeoutConnection"), _idle(self.timeOut))


def _idle(seconds: float | None) -> IdleTimeout:
    return IdleTimeout() if seconds is None else IdleTimeout(f"{seconds:g} s")
