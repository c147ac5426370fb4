"""Policies: who may connect, how long, and what is noted of it. The names and behaviour are those of
``twisted.protocols.policies``.

- `TimeoutMixin`: a deadline for a protocol of yours.
- `WrappingFactory`, `ProtocolWrapper`: to put something between transports and the protocols of any factory.
- `TimeoutFactory`, `LimitConnectionsByPeer`, `ThrottlingFactory`, `TrafficLoggingFactory`, `SpewingFactory`: such
  things. They can be put around each other.
- `LimitTotalConnectionsFactory`: so many connections and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactor import _current
from reactor._closing import closeFor, note
from reactor._logger import getLogger
from reactor._numbers import openFile
from reactor._throttling import ThrottlingFactory, ThrottlingProtocol
from reactor._wrapping import ProtocolWrapper, WrappingFactory
from reactor.error import ConnectionUnwanted, IdleTimeout
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.linecore import asBytes
from reactor.protocol import ServerFactory, connectionDone

if TYPE_CHECKING:
    from typing import TextIO

    from reactor.interfaces import IDelayedCall

__all__ = [
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "ProtocolWrapper",
    "SpewingFactory",
    "SpewingProtocol",
    "ThrottlingFactory",
    "ThrottlingProtocol",
    "TimeoutFactory",
    "TimeoutMixin",
    "TimeoutProtocol",
    "TrafficLoggingFactory",
    "TrafficLoggingProtocol",
    "WrappingFactory",
]

log = getLogger("reactor.policies")

ELIDED = b"<... elided>"


class SpewingProtocol(ProtocolWrapper):
    """The wrapper of a SpewingFactory."""

    def dataReceived(self, data: bytes) -> Any:
        """Logged, and passed on."""
        log.info("Received: %r", data)
        return super().dataReceived(data)

    def write(self, data: BytesLike) -> None:
        """Logged, and passed on."""
        log.info("Sending: %r", data)
        super().write(data)


class SpewingFactory(WrappingFactory):
    """Logs all that is received and written."""

    protocol: Callable[..., Any] | None = SpewingProtocol


class LimitConnectionsByPeer(WrappingFactory):
    """Closes connections from a host that has `maxConnectionsPerPeer` of them already; `refusedCount` counts them.

    `peerConnections` maps hosts, as text, to numbers of connections. Peers without a host, those on UNIX sockets, are
    one peer, None.
    """

    maxConnectionsPerPeer = 5
    refusedCount = 0

    def __init__(self, wrappedFactory: Any) -> None:
        super().__init__(wrappedFactory)
        self.peerConnections: dict[Any, int] = {}
        self._hosts: dict[Any, Any] = {}

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapper around what the wrapped factory builds; None if this peer has too many connections."""
        host = getattr(addr, "host", None)
        count = self.peerConnections.get(host, 0)
        if count >= self.maxConnectionsPerPeer:
            self.refusedCount += 1
            return None
        protocol = super().buildProtocol(addr)
        if protocol is not None:
            self.peerConnections[host] = self.peerConnections.get(host, 0) + 1
            self._hosts[protocol] = host
        return protocol

    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over."""
        super().unregisterProtocol(p)
        host = self._hosts.pop(p)
        self.peerConnections[host] -= 1
        if not self.peerConnections[host]:
            del self.peerConnections[host]


class _Overflow(ProtocolWrapper):
    """Around an overflowProtocol: however that closes, the reason is that the connection was one too many."""

    def loseConnection(self) -> None:
        note(self, ConnectionUnwanted(f"there are {self.factory.connectionLimit} already"))
        super().loseConnection()


class LimitTotalConnectionsFactory(ServerFactory[Any]):
    """Builds `connectionLimit` protocols at a time (None: any number); what comes beyond that is closed at once.

    Or, if there is an `overflowProtocol`, gets one of those, to be refused politely; it counts in `connectionCount` as
    well. `refusedCount` counts both.
    """

    connectionCount = 0
    connectionLimit: int | None = None
    overflowProtocol: Callable[..., Any] | None = None
    refusedCount = 0

    def buildProtocol(self, addr: Any) -> Any:
        """Return a wrapped `protocol` or `overflowProtocol`, its `factory` set; None closes the connection."""
        build, wrap = self.protocol, ProtocolWrapper
        if self.connectionLimit is not None and self.connectionCount >= self.connectionLimit:
            self.refusedCount += 1
            if self.overflowProtocol is None:
                return None
            build, wrap = self.overflowProtocol, _Overflow
        assert build is not None, "a factory needs a protocol, or a buildProtocol of its own"
        wrapped: Any = build()
        wrapped.factory = self
        self.connectionCount += 1
        return wrap(self, wrapped)

    def registerProtocol(self, p: Any) -> None:
        """Called by each wrapper when its connection stands."""

    def unregisterProtocol(self, p: Any) -> None:
        """Called by each wrapper once, when its connection is over."""
        self.connectionCount -= 1


class TimeoutProtocol(ProtocolWrapper):
    """The wrapper of a TimeoutFactory: calls timeoutFunc() after `timeoutPeriod` seconds without data either way."""

    def __init__(self, factory: Any, wrappedProtocol: Any, timeoutPeriod: float | None) -> None:
        super().__init__(factory, wrappedProtocol)
        self.timeoutCall: IDelayedCall | None = None
        self.timeoutPeriod: float | None = None
        self.setTimeout(timeoutPeriod)

    def setTimeout(self, timeoutPeriod: float | None = None) -> None:
        """Begin to wait for `timeoutPeriod` seconds from now; None: no more."""
        self.cancelTimeout()
        self.timeoutPeriod = timeoutPeriod
        if timeoutPeriod is not None:
            self.timeoutCall = self.factory.callLater(timeoutPeriod, self._timedOut)

    def cancelTimeout(self) -> None:
        """Wait no more; nothing, if that is so."""
        self.timeoutPeriod = None
        call, self.timeoutCall = self.timeoutCall, None
        if call is not None and call.active():
            call.cancel()

    def resetTimeout(self) -> None:
        """Begin anew, because something has happened; nothing after cancelTimeout() or the timeout."""
        if self.timeoutCall is not None and self.timeoutPeriod is not None:
            self.timeoutCall.reset(self.timeoutPeriod)

    def write(self, data: BytesLike) -> None:
        """Passed on; begins anew."""
        self.resetTimeout()
        super().write(data)

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Passed on; begins anew."""
        self.resetTimeout()
        super().writeSequence(seq)

    def dataReceived(self, data: bytes) -> Any:
        """Passed on; begins anew."""
        self.resetTimeout()
        return super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Passed on; waits no more."""
        self.cancelTimeout()
        return super().connectionLost(reason)

    def timeoutFunc(self) -> Any:
        """Called when the time is over: loseConnection(), for which a peer that does not read can keep us waiting.
        Override it to abort, or to do something else; setTimeout() begins again.

        connectionLost then gets an IdleTimeout, which is a ConnectionDone.
        """
        closeFor(self, _idle(self.timeoutPeriod))

    def _timedOut(self) -> Any:
        self.timeoutCall = None
        return self.timeoutFunc()


class TimeoutFactory(WrappingFactory):
    """Closes connections on which nothing is read or written for `timeoutPeriod` seconds (None: keeps them)."""

    protocol: Callable[..., Any] | None = TimeoutProtocol

    def __init__(self, wrappedFactory: Any, timeoutPeriod: float | None = 30 * 60) -> None:
        super().__init__(wrappedFactory)
        self.timeoutPeriod = timeoutPeriod

    def wrap(self, wrapped: Any) -> Any:
        """Return the wrapper for `wrapped`; the time begins."""
        assert self.protocol is not None
        return self.protocol(self, wrapped, timeoutPeriod=self.timeoutPeriod)

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """The current reactor's callLater. Tests replace it by a Clock's."""
        return _current.current().callLater(period, func)


class TrafficLoggingProtocol(ProtocolWrapper):
    """The wrapper of a TrafficLoggingFactory: writes lines to `logfile`, C for what comes and S for what is sent.

    `lengthLimit` is how many bytes of each piece are written (None or 0: all), `number` stands in each line.
    """

    _hasEnded = False

    def __init__(
        self, factory: Any, wrappedProtocol: Any, logfile: TextIO, lengthLimit: int | None = None, number: int = 0
    ) -> None:
        super().__init__(factory, wrappedProtocol)
        self.logfile = logfile
        self.lengthLimit = lengthLimit
        self._number = number

    def _log(self, line: str) -> None:
        if not self._hasEnded:
            self.logfile.write(line + "\n")
            self.logfile.flush()

    def _shown(self, data: BytesLike) -> bytes:
        shown = asBytes(data)
        if self.lengthLimit and len(shown) > self.lengthLimit:
            return shown[: max(0, self.lengthLimit - len(ELIDED))] + ELIDED
        return shown

    def connectionMade(self) -> None:
        """Noted."""
        self._log("*")

    def dataReceived(self, data: bytes) -> Any:
        """Noted, and passed on."""
        self._log(f"C {self._number}: {self._shown(data)!r}")
        return super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Noted, and passed on; a file that the factory has opened is closed."""
        try:
            self._log(f"C {self._number}: {reason!r}")
        finally:
            try:
                told = super().connectionLost(reason)
            finally:
                self._hasEnded = True
                self.factory.closeLog(self.logfile)
        return told

    def write(self, data: BytesLike) -> None:
        """Noted, and passed on."""
        self._log(f"S {self._number}: {self._shown(data)!r}")
        super().write(data)

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Noted, and passed on."""
        pieces = list(iovec)
        self._log(f"SV {self._number}: {[self._shown(piece) for piece in pieces]!r}")
        super().writeSequence(pieces)

    def loseConnection(self) -> None:
        """Noted, and passed on."""
        self._log(f"S {self._number}: *")
        super().loseConnection()


class TrafficLoggingFactory(WrappingFactory):
    """Writes what each connection receives and sends to a file of its own, `logfilePrefix`-1 and so on.

    That slows everything down, and is for debugging. `lengthLimit` is how many bytes of each piece are written.
    """

    protocol: Callable[..., Any] | None = TrafficLoggingProtocol
    _counter = 0

    def __init__(self, wrappedFactory: Any, logfilePrefix: str, lengthLimit: int | None = None) -> None:
        super().__init__(wrappedFactory)
        self.logfilePrefix = logfilePrefix
        self.lengthLimit = lengthLimit
        self._opened: set[object] = set()

    def open(self, name: str) -> Any:
        """Return the file to write to. What this method opens is closed with its connection; what one of yours returns
        is yours.
        """
        # closeLog closes it.
        file = open(name, "w", encoding="utf-8", errors="backslashreplace", opener=openFile)  # noqa: SIM115
        self._opened.add(file)
        return file

    def closeLog(self, logfile: Any) -> None:
        """Called by each wrapper last."""
        if logfile in self._opened:
            self._opened.discard(logfile)
            logfile.close()

    def wrap(self, wrapped: Any) -> Any:
        """Return the wrapper for `wrapped`, with its file open."""
        assert self.protocol is not None
        self._counter += 1
        logfile = self.open(f"{self.logfilePrefix}-{self._counter}")
        return self.protocol(self, wrapped, logfile, self.lengthLimit, self._counter)

    def resetCounter(self) -> None:
        """Have the next file be the first again."""
        self._counter = 0


class TimeoutMixin:
    """A deadline for a protocol: timeoutConnection() is called when it passes. `timeOut`: seconds, or None for none."""

    timeOut: float | None = None
    __timeoutCall: IDelayedCall | None = None

    if TYPE_CHECKING:
        transport: Any

    def callLater(self, period: float, func: Callable[[], object]) -> Any:
        """The current reactor's callLater. Tests replace it by a Clock's."""
        return _current.current().callLater(period, func)

    def resetTimeout(self) -> None:
        """Begin anew, because the peer has done something; nothing if there is no deadline, or it has passed."""
        if self.__timeoutCall is not None and self.timeOut is not None:
            self.__timeoutCall.reset(self.timeOut)

    def setTimeout(self, period: float | None) -> float | None:
        """Set the deadline to `period` seconds from now, or take it away (None). Return the `timeOut` before.

        A protocol takes it away in its connectionLost.
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
        """Called when the deadline has passed: transport.loseConnection(), for which a peer that does not read can keep
        us waiting. Override it to abort, or to do something else.

        connectionLost then gets an IdleTimeout, which is a ConnectionDone.
        """
        closeFor(self.transport, _idle(self.timeOut))


def _idle(seconds: float | None) -> IdleTimeout:
    return IdleTimeout() if seconds is None else IdleTimeout(f"{seconds:g} s")
