"""LinePipe: a pipe, terminal or socket as the output of collect. It is written when it takes something."""

from __future__ import annotations

from typing import Any

from reactor.interfaces import ITransportReactor
from reactor.serving.backlog import Backlog
from reactor.serving.framing import Framing
from reactor.serving.output import Output
from reactor.transports.sharing import SharedDescriptor


class LinePipe(Output):
    """A pipe, terminal or socket. Lines that its reader does not take at once wait, and the loop writes them later.

    `failed` is called with the error of a write in the loop of `reactor`.
    """

    def __init__(self, path: str, framing: Framing, descriptor: SharedDescriptor, reactor: ITransportReactor) -> None:
        super().__init__(path, framing)
        self._descriptor = descriptor
        self._backlog = Backlog(descriptor, framing.delimiter)
        self._reactor = reactor
        self._isWatched = False
        self._givenLines = 0
        self._givenBytes = 0

    @property
    def waits(self) -> bool:
        """Whether lines wait for the reader to take them."""
        return self._backlog.size > 0

    @property
    def size(self) -> int:
        """The number of waiting bytes."""
        return self._backlog.size

    def write(self, lines: list[bytes]) -> None:
        """Write each of `lines`, with an end, or keep them until the reader takes more."""
        data = self.framing.join(lines)
        self._givenLines += len(lines)
        self._givenBytes += len(data)
        try:
            self._backlog.write(data)
            if self.waits and not self._isWatched:
                self._reactor.addWriter(self)
                self._isWatched = True
        except OSError as error:
            self._drop()
            raise self._error("write to", error) from error

    def kept(self) -> tuple[int, int]:
        """Return the number of lines and bytes that the reader has taken."""
        return self._givenLines - self._backlog.messages, self._givenBytes - self._backlog.size

    def close(self) -> None:
        """Close. CommandError if lines still wait, as these are lost. Later calls do nothing."""
        if self._descriptor.fd < 0:
            return
        self._unwatch()
        try:
            self._backlog.flush()
        except OSError as error:
            raise self._error("write to", error) from error
        finally:
            lines, size = self._drop()
            self._descriptor.close()
        if size:
            raise self._lostError(lines, size, f"nobody took them from {self.name}")

    # For the loop.

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor.fd

    def doWrite(self) -> None:
        """The reader takes more, or has closed."""
        try:
            self._backlog.flush()
        except OSError as error:
            self._unwatch()
            self._drop()
            self.failed(self._error("write to", error))
            return
        if not self.waits:
            self._unwatch()
            self.taken()

    def connectionLost(self, reason: Any) -> None:
        """The reactor has stopped. close() reports the rest."""
        self._isWatched = False

    def _unwatch(self) -> None:
        if self._isWatched:
            self._isWatched = False
            self._reactor.removeWriter(self)

    def _drop(self) -> tuple[int, int]:
        lines, size = self._backlog.drop()
        self._givenLines -= lines
        self._givenBytes -= size
        return lines, size
