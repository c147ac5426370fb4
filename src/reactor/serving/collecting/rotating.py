"""Rotation of a file: when it is due, the names of rotated files, and their later life.

A rotated file keeps its name and gets the time of its end behind it, in UTC: `lines.txt.20261130T235959.123456Z`. So
names sort by time, no file is renamed twice, and no process has to know the others' files. Not chosen: `lines.txt.1`,
which renames all files each time, also the one that is being compressed.

A file belongs to the period of its last write. That is its time of modification, which all processes see, and which
outlives them.
"""

from __future__ import annotations

import datetime
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from reactor._later import later
from reactor._numbers import openFile

if TYPE_CHECKING:
    import fcntl
    import gzip
else:
    gzip = later("gzip", globals())
    fcntl = later("fcntl", globals())

GRAIN = 0.01  # seconds: a file's time lags behind the clock by a tick of the kernel
BLOCK = 256 * 1024
NICE = 10
COMPRESSED = ".gz"
UNFINISHED = ".gz.tmp"

_STAMP = re.compile(r"\.\d{8}T\d{6}\.\d{6}Z(\.gz)?")


@dataclass(frozen=True)
class Rotation:
    """When to rotate, and which files to keep.

    `size` is in bytes: a file is rotated before a record that would make it longer. A longer record has a file of its
    own. `every` is in seconds: a file is
    rotated before the first write of a new period. Periods begin at multiples of `every` since 1970, in UTC. `keep` is
    the number of rotated files that stay; None: all. `compress`: they are compressed with gzip.
    """

    size: int | None = None
    every: float | None = None
    keep: int | None = None
    compress: bool = False
    now: Callable[[], float] = time.time

    def isDue(self, found: os.stat_result, more: int) -> bool:
        """Whether a file is to be rotated before a write of `more` bytes. An empty file never is."""
        if not found.st_size:
            return False
        if self.size is not None and found.st_size + more > self.size:
            return True
        return self.every is not None and self.now() // self.every > (found.st_mtime + GRAIN) // self.every


def rotatedName(path: str, now: float) -> str:
    """Return a free name for the file at `path`, which is rotated at `now`, in seconds since 1970."""
    moment = datetime.datetime.fromtimestamp(now, datetime.UTC)
    while True:
        name = f"{path}.{moment:%Y%m%dT%H%M%S.%f}Z"
        if not os.path.lexists(name) and not os.path.lexists(name + COMPRESSED):
            return name
        moment += datetime.timedelta(microseconds=1)


def rotatedFiles(path: str) -> list[str]:
    """Return the paths of the rotated files of `path`, the oldest first."""
    folder, name = os.path.split(path)
    there = [each for each in os.listdir(folder or ".") if each.startswith(name)]
    found = [each for each in there if _STAMP.fullmatch(each, len(name))]
    return [os.path.join(folder, each) for each in sorted(found)]


def tidy(path: str, keep: int | None, compress: bool) -> None:
    """Remove the rotated files of `path` but for the newest `keep`, and compress the rest. For a thread; may block.

    Several processes may do it at once. It also takes care of files whose process was killed. OSError if the system
    refuses; the files that were not reached stay as they are.
    """
    found = rotatedFiles(path)
    if keep is not None:
        for each in found[: max(len(found) - keep, 0)]:
            with suppress(FileNotFoundError):  # another process was faster
                os.unlink(each)
        found = found[max(len(found) - keep, 0) :]
    if compress:
        for each in found:
            if not each.endswith(COMPRESSED):
                compressFile(each)


def compressFile(path: str) -> None:
    """Replace the file at `path` by `path`.gz, with the same owner, mode and times. For a thread; may block.

    The file under its old name stays until the new one is whole and on the disk.
    """
    unfinished = path + UNFINISHED
    fd = openFile(unfinished, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "r+b") as target:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another process is at it
        if not _isAt(fd, unfinished):
            return  # another process has finished it
        try:
            with open(path, "rb", opener=openFile) as source:
                target.truncate()
                _compress(source, target)
                _copyStatus(os.fstat(source.fileno()), fd, unfinished)
            os.rename(unfinished, path + COMPRESSED)
        except BaseException as error:
            with suppress(OSError):
                os.unlink(unfinished)
            if not isinstance(error, FileNotFoundError):  # another process has removed it, or compressed it
                raise
            return
        with suppress(FileNotFoundError):
            os.unlink(path)


def _compress(source: IO[bytes], target: IO[bytes]) -> None:
    with suppress(OSError):  # of this thread alone, which ends soon
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as packed:
        shutil.copyfileobj(source, packed, BLOCK)
    target.flush()
    os.fsync(target.fileno())


def _copyStatus(found: os.stat_result, fd: int, path: str) -> None:
    with suppress(PermissionError):
        os.fchown(fd, found.st_uid, found.st_gid)
    os.fchmod(fd, stat.S_IMODE(found.st_mode))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def _isAt(fd: int, path: str) -> bool:
    """Whether the file `fd` is the one at `path`."""
    own = os.fstat(fd)
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return False
    return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)
