"""The output of collect: a file, or a pipe, terminal or socket.

A file is written in the callback that brings the lines. The others are written when they take something, and never
block.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from typing import Any

from reactor._numbers import duplicate, openFile
from reactor.interfaces import ITransportReactor
from reactor.serving.backlog import Backlog
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.framing import Framing
from reactor.serving.standard import demand, numberOf
from reactor.transports.sharing import SharedDescriptor

STANDARD_OUTPUT = "-"
FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


class Output:
    """The output called `path`. Every method that can fail raises CommandError with one clear line."""

    def __init__(self, path: str, framing: Framing) -> None:
        self.path = path
        self.framing = framing
        self._name = "standard output" if path == STANDARD_OUTPUT else path

    @property
    def waits(self) -> bool:
        """Whether lines wait for the output's reader."""
        return False

    def write(self, lines: list[bytes]) -> None:
        """Append each of `lines`, with an end."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the output. Later calls do nothing."""
        raise NotImplementedError

    def _error(self, what: str, error: OSError) -> CommandError:
        return CommandError(f"cannot {what} {self._name}: {reasonOf(error)}")


def openOutput(path: str, framing: Framing, reactor: ITransportReactor) -> LineFile | LinePipe:
    """Return the output called `path`; "-" is standard output."""
    file = LineFile(path, framing)
    return file.asPipe(reactor) or file


class LineFile(Output):
    """A file to which whole lines are appended.

    A regular file is locked against a second collector. If it ends inside a line, that line is ended first. A write
    that fails halfway is taken back to the last whole line.
    """

    def __init__(self, path: str, framing: Framing | None = None) -> None:
        super().__init__(path, framing or Framing())
        demand([1] if path == STANDARD_OUTPUT else [numberOf(path)])
        try:
            self._fd = duplicate(1) if path == STANDARD_OUTPUT else self._open(path)
            self._regular = stat.S_ISREG(os.fstat(self._fd).st_mode)
        except OSError as error:
            raise self._error("open", error) from error

    def asPipe(self, reactor: ITransportReactor) -> LinePipe | None:
        """Return a LinePipe to replace it if its reader may stall; None if it is a regular file."""
        descriptor = SharedDescriptor(self._fd, os.O_WRONLY, own=self.path != STANDARD_OUTPUT)
        if descriptor.mayBlock:
            if descriptor.fd != self._fd:
                os.close(self._fd)
            return LinePipe(self.path, self.framing, descriptor, reactor)
        if descriptor.fd != self._fd:
            descriptor.close()
        return None

    def write(self, lines: list[bytes]) -> None:
        """Append each of `lines`, with an end."""
        data = self.framing.join(lines)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            self._takeBack(data[: len(data) - len(rest)])
            raise self._error("write to", error) from error

    def close(self) -> None:
        """Make the system write everything to the disk, and close. Later calls do nothing."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if self._regular:
                os.fsync(fd)
        except OSError as error:
            raise self._error("write", error) from error
        finally:
            os.close(fd)

    def _open(self, path: str) -> int:
        fd = openFile(path, FLAGS)
        try:
            if stat.S_ISREG(os.fstat(fd).st_mode):
                self._lock(fd)
                size = os.fstat(fd).st_size
                length = min(size, len(self.framing.delimiter))
                if ending := self.framing.ending(os.pread(fd, length, size - length)):
                    os.write(fd, ending)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"another program has locked {self._name}") from None

    def _takeBack(self, written: bytes) -> None:
        torn = len(written) - self.framing.whole(written)
        if torn and self._regular:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - torn)


class LinePipe(Output):
    """A pipe, terminal or socket. Lines that its reader does not take at once wait, and the loop writes them later.

    `taken` is called each time that nothing waits any more. `failed` is called with the error of a write in the loop of
    `reactor`.
    """

    taken: Callable[[], object]
    failed: Callable[[CommandError], object]

    def __init__(self, path: str, framing: Framing, descriptor: SharedDescriptor, reactor: ITransportReactor) -> None:
        super().__init__(path, framing)
        self._descriptor = descriptor
        self._backlog = Backlog(descriptor, framing.delimiter)
        self._reactor = reactor
        self._isWatched = False

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
        try:
            self._backlog.write(self.framing.join(lines))
            if self.waits and not self._isWatched:
                self._reactor.addWriter(self)
                self._isWatched = True
        except OSError as error:
            self._backlog.drop()
            raise self._error("write to", error) from error

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
            lines, size = self._backlog.drop()
            self._descriptor.close()
        if size:
            what = "1 line" if lines == 1 else f"{lines} lines"
            raise CommandError(f"{what}, {size} bytes: lost, as nobody took them from {self._name}")

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
            self._backlog.drop()
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
