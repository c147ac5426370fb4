"""LineFile: a file as the output of collect, which is written in the callback that brings the lines.

Lines wait in these cases, and their senders wait with them:

- The disk is full.
- Another process, or thread, holds the file's lock for longer than a write takes.
- Lines count as kept only when the disk has them.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

from reactor._logger import getLogger
from reactor._numbers import duplicate
from reactor.serving.collecting.appending import FULL, AppendedFile, LockedError
from reactor.serving.collecting.background import Background
from reactor.serving.collecting.locks import PATIENCE
from reactor.serving.collecting.rotating import Rotation, tidy
from reactor.serving.collecting.syncing import NEVER, Syncing
from reactor.serving.errors import CommandError, reasonOf
from reactor.serving.framing import Framing
from reactor.serving.linepipe import LinePipe
from reactor.serving.output import STANDARD_OUTPUT, Output
from reactor.serving.standard import demand, numberOf
from reactor.timers import monotonicTime
from reactor.transports.sharing import SharedDescriptor

log = getLogger("reactor.serving")

WAIT, EXIT = ON_FULL = ("wait", "exit")
FULL_REST = 0.25  # seconds, until a full disk is tried again
LOCK_REST = 0.005  # seconds, until a lock is tried again that was not free in time
LAST_SYNC = 30.0  # seconds, for the last work of the threads; then close() does it itself


@dataclass(frozen=True)
class Keeping:
    """How a LineFile keeps its lines.

    - `sync`: fsync(2) is called in a thread. "never": at close() only. "interval": within SYNC_INTERVAL of a write.
      "always": after each write, and lines count as kept only then; see LineFile.waits.
    - `onFull`: if the disk is full, "wait" until there is room, or "exit": the write is an error.
    - `rotation`: when the file is rotated; None: never.
    - `shared`: other processes and threads that open the file as shared may have it, too.
    """

    sync: str = NEVER
    onFull: str = EXIT
    rotation: Rotation | None = None
    shared: bool = False


def openOutput(path: str, framing: Framing, reactor: Any, keeping: Keeping | None = None) -> LineFile | LinePipe:
    """Return the output called `path`; "-" is standard output. CommandError if it cannot be opened."""
    file = LineFile(path, framing, keeping, reactor)
    return file.asPipe(reactor) or file


class LineFile(Output):
    """A file to which whole lines are appended; see AppendedFile.

    A regular file is locked against a second collector, unless `keeping` shares it. If it ends inside a line, that line
    is ended first. A write that fails halfway is taken back to the last whole line. `reactor` has the timers and the
    threads. Without it nothing waits: a full disk is an error.
    """

    def __init__(
        self, path: str, framing: Framing | None = None, keeping: Keeping | None = None, reactor: Any = None
    ) -> None:
        super().__init__(path, framing or Framing())
        self._keeping = keeping or Keeping()
        self._reactor = reactor
        self._waiting: list[bytes] = []
        self._size = 0
        self._retry: Any = None
        self._fullSince: float | None = None
        self._stalls = 0
        self._reopenings = 0
        self._tidying = Background(reactor, "rotation")
        demand([1] if path == STANDARD_OUTPUT else [numberOf(path)])
        try:
            fd = duplicate(1) if path == STANDARD_OUTPUT else -1
            self._file = AppendedFile(path, self.framing, fd, self._keeping.shared, self._keeping.rotation)
        except LockedError:
            raise CommandError(f"another program has locked {self.name}") from None
        except OSError as error:
            raise self._error("open", error) from error
        policy = self._keeping.sync if self._file.isRegular else NEVER
        self._syncing = Syncing(reactor, policy, lambda: self._file.fd, self._synced)
        self._file.leave = self._syncing.leave
        self._file.rotated = self._tidy
        self._checkRotation()

    def _checkRotation(self) -> None:
        if self._keeping.rotation is None:
            return
        if not self._file.isRegular or self.path == STANDARD_OUTPUT:
            self._file.close()
            raise CommandError(f"cannot rotate {self.name}: it is no regular file with a name of its own")
        self._tidy()  # files of an earlier process, which was killed before it had come to them

    def asPipe(self, reactor: Any) -> LinePipe | None:
        """Return a LinePipe to replace it if its reader may stall; None if it is a regular file."""
        if self._file.isRegular:  # and a descriptor of it must not be closed while another thread writes it
            return None
        fd = self._file.fd
        descriptor = SharedDescriptor(fd, os.O_WRONLY, own=self.path != STANDARD_OUTPUT)
        if descriptor.mayBlock:
            if descriptor.fd != fd:
                os.close(fd)
            return LinePipe(self.path, self.framing, descriptor, reactor)
        if descriptor.fd != fd:
            descriptor.close()
        return None

    @property
    def waits(self) -> bool:
        """Whether lines are not written yet or, with "always", not on the disk yet."""
        return bool(self._size) or self._syncing.isPending

    @property
    def size(self) -> int:
        """The number of bytes that are not written yet."""
        return self._size

    @property
    def waitsFor(self) -> str:  # type: ignore[override]
        """The obstacle, in words."""
        return "room on the disk" if self._fullSince is not None else "the disk, or another process or thread"

    def write(self, lines: list[bytes]) -> None:
        """Append each of `lines`, with an end; or keep them until that is possible, see the module."""
        data = self.framing.join(lines)
        if self._size:
            self._waiting.append(data)
            self._size += len(data)
        else:
            self._append(data)

    def reopen(self) -> None:
        """Open the path anew if it leads to another file now. Lines that were written before are in the old file."""
        try:
            if self._file.reopen():
                self._reopenings += 1
        except OSError as error:
            log.error("cannot reopen %s, and go on with the old file: %s", self.name, reasonOf(error))
        if self._size:
            self._tryAgain()

    def close(self) -> None:
        """Make the system write everything to the disk, and close. Later calls do nothing.

        CommandError if lines still wait, as these are lost, or if the disk fails.
        """
        if self._file.fd < 0:
            return
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        lost = self._lastTry()
        self._syncing.stop(LAST_SYNC)
        try:
            if self._file.isRegular:
                os.fsync(self._file.fd)
                self._syncing.allSynced()
        except OSError as error:
            raise self._error("write", error) from error
        finally:
            self._file.close()
        if lost is not None:
            raise lost

    def kept(self) -> tuple[int, int]:
        """Return the number of lines and bytes that were kept."""
        return self._syncing.kept

    def counters(self) -> dict[str, int]:
        """Return the counters: of kept lines, of stalls, of files that were rotated or reopened, of fsync(2)."""
        return {
            **super().counters(),
            "stalls": self._stalls,
            "rotations": self._file.rotationCount,
            "reopenings": self._reopenings,
            "syncs": self._syncing.count,
        }

    # Writing.

    def _append(self, data: bytes, patience: float = PATIENCE) -> None:
        """Write `data`, or have it wait. CommandError if it can neither be written nor wait."""
        kept, error = self._file.append(data, patience)
        self._written(data, kept)
        if error is None:
            return
        isFull = error.errno in FULL and self._file.isRegular and self._keeping.onFull == WAIT
        if self._reactor is None or not (isFull or isinstance(error, BlockingIOError)):
            raise self._error("write to", error) from error
        self._waiting = [data[kept:]]
        self._size = len(data) - kept
        if isFull:
            self._sayFull(error)
        self._retry = self._reactor.callLater(FULL_REST if isFull else LOCK_REST, self._tryAgain)

    def _sayFull(self, error: OSError) -> None:
        if self._fullSince is None:
            self._fullSince = monotonicTime(self._reactor)
            self._stalls += 1
            log.warning("%s: %s; the senders wait until there is room", self.name, reasonOf(error))

    def _tryAgain(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()
        data, self._waiting, self._size = b"".join(self._waiting), [], 0
        try:
            self._append(data, 0)  # a process that was stopped with the lock must not cost each turn a wait
        except CommandError as error:
            self.failed(error)
            return
        if self._size:
            return
        if self._fullSince is not None:
            seconds = monotonicTime(self._reactor) - self._fullSince
            self._fullSince = None
            log.warning("%s: there is room again, after %.1f s", self.name, seconds)
        if not self.waits:
            self.taken()

    def _lastTry(self) -> CommandError | None:
        """Write the waiting lines; return the error about those that are lost."""
        if not self._size:
            return None
        data, self._waiting, self._size = b"".join(self._waiting), [], 0
        kept, error = self._file.append(data)
        self._written(data, kept)
        rest = data[kept:]
        if error is None:
            return None
        why = f"{self.name} took no more: {reasonOf(error)}"
        return self._lostError(rest.count(self.framing.delimiter), len(rest), why)

    def _written(self, data: bytes, size: int) -> None:
        if size:
            self._syncing.add(data.count(self.framing.delimiter, 0, size), size)

    def _synced(self, error: OSError | None) -> None:
        if error is not None:
            self.failed(self._error("write", error))
        elif not self.waits:
            self.taken()

    def _tidy(self) -> None:
        """Have a thread compress and remove rotated files."""
        rotation = self._keeping.rotation
        if rotation is not None and self._reactor is not None and (rotation.keep is not None or rotation.compress):
            self._tidying.do(partial(tidy, self.path, rotation.keep, rotation.compress), self._tidied)

    def _tidied(self, error: BaseException | None) -> None:
        if error is not None:
            text = "cannot compress or remove the rotated files of %s: %s"
            log.limited(logging.WARNING, text, self.name, reasonOf(error))
