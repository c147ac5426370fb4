"""Logs of traffic: to the package's log, or to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from reactor._closing import goesOn
from reactor._logger import getLogger
from reactor._numbers import openFile
from reactor.failure import Failure
from reactor.interfaces import BytesLike
from reactor.linecore import asBytes
from reactor.policies.wrapping import ProtocolWrapper, WrappingFactory
from reactor.protocol import connectionDone

if TYPE_CHECKING:
    from typing import TextIO

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
    """Logs all input and output."""

    protocol: Callable[..., Any] | None = SpewingProtocol


class TrafficLoggingProtocol(ProtocolWrapper):
    """The wrapper of a TrafficLoggingFactory: writes lines to `logfile`, with C for input and S for output.

    `lengthLimit` is the number of bytes of each piece in a line (None or 0: all). `number` stands in each line.
    """

    _hasEnded = False
    _isEndNoted = False

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

    @goesOn
    def connectionLost(self, reason: Failure = connectionDone) -> Any:
        """Noted, and passed on. A file that the factory has opened is closed."""
        try:
            if not self._isEndNoted:
                self._isEndNoted = True
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
    """Logs the input and output of each connection to a file of its own, `logfilePrefix`-1 and so on.

    This slows everything down, and is for debugging. `lengthLimit` is the number of bytes of each piece in a line.
    """

    protocol: Callable[..., Any] | None = TrafficLoggingProtocol
    _counter = 0

    def __init__(self, wrappedFactory: Any, logfilePrefix: str, lengthLimit: int | None = None) -> None:
        super().__init__(wrappedFactory)
        self.logfilePrefix = logfilePrefix
        self.lengthLimit = lengthLimit
        self._opened: set[object] = set()

    def open(self, name: str) -> Any:
        """Return the file to write to, which is closed with its connection.

        A program that overrides this method closes its own files.
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
        """Start again with the first file."""
        self._counter = 0
