"""Opening what a request's path names below a directory, and nothing else.

A path is walked one name at a time. Each name is looked up in the directory that was opened for the name before it
(`dir_fd`). The system never follows a symbolic link on the way. So a link or a renamed directory cannot lead the walk
away between a check and an open. Links are followed here. One may lead to another place below the root, also by `..`,
and never above it. A target that begins with `/` is below the root if it begins with the root's own path.

Only regular files and directories are opened. A name is looked at first, so that a device or a FIFO is not opened even
for a moment. If another program puts one in the place of a file right then, O_NONBLOCK keeps the open from waiting.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from reactor._numbers import closeNumber, ofSystem, raised

MAX_LINKS = 40  # as many as the system follows

_COMMON = ofSystem("O_CLOEXEC", "O_NOFOLLOW")
_DIRECTORY = _COMMON | ofSystem("O_DIRECTORY", "O_PATH")
_READ = os.O_RDONLY | _COMMON | ofSystem("O_NONBLOCK", "O_NOCTTY")


class Opened(NamedTuple):
    """A regular file open for reading, or a directory open to be looked in; `status` is its fstat."""

    fd: int
    status: os.stat_result

    @property
    def isDirectory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)


def namesOf(path: bytes, hidden: bool = False) -> list[bytes] | None:
    """Return the names in the path of a request, the last one b"" if it ends in a slash. None if it can name nothing.

    Each name is percent-decoded once. A name is refused if it is empty inside the path, `.` or `..`, or if it holds
    a slash, a backslash or NUL. Without `hidden`, so is a name that begins with a dot.
    """
    if not path.startswith(b"/"):
        return None
    *inner, last = map(unquote_to_bytes, path[1:].split(b"/"))
    for name in (*inner, last):
        if name in (b".", b"..") or b"/" in name or b"\\" in name or b"\0" in name:
            return None
        if name.startswith(b".") and not hidden:
            return None
    return None if b"" in inner else [*inner, last]


def openBelow(root: str, names: Sequence[bytes]) -> Opened:
    """Open the file or directory that `names` lead to, from the directory `root`; b"" stands for no step.

    OSError if there is none. It has ENOENT also for a link that leads out of `root`, and for anything but files and
    directories. The caller closes the descriptor.
    """
    walk = _Walk(root)
    try:
        return walk.to(names)
    finally:
        walk.close()


def openListed(fd: int) -> int:
    """Open the directory of `fd` again, to read its names; return the new descriptor. OSError if that fails."""
    return raised(os.open(b".", os.O_RDONLY | _COMMON | getattr(os, "O_DIRECTORY", 0), dir_fd=fd))


def openFile(path: str | bytes, directory: int | None = None) -> Opened:
    """Open a regular file, below `directory` if that is given. OSError with ENOENT for anything else."""
    flags = _READ if directory is not None else _READ & ~getattr(os, "O_NOFOLLOW", 0)
    _checked(os.stat(path, dir_fd=directory, follow_symlinks=directory is None))
    fd = raised(os.open(path, flags, dir_fd=directory))
    try:
        return Opened(fd, _checked(os.fstat(fd)))
    except BaseException:
        closeNumber(fd)
        raise


def _checked(status: os.stat_result) -> os.stat_result:
    """Return `status`, if it is one of a regular file. Otherwise OSError with ENOENT."""
    if not stat.S_ISREG(status.st_mode):
        raise _refusal(errno.ENOENT)
    return status


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _openRoot(root: str) -> int:
    """Open the directory `root`, whose path may hold links."""
    return raised(os.open(root, _DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0)))


class _Walk:
    """The directories between the root and the place that the walk has reached, all open."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._open = [_openRoot(root)]
        self._links = 0

    def close(self) -> None:
        for fd in self._open:
            closeNumber(fd)
        self._open.clear()

    def to(self, names: Sequence[bytes]) -> Opened:
        ahead = list(reversed(names))
        while ahead:
            name = ahead.pop()
            if name == b"..":
                self._leave()
            elif name not in (b"", b"."):
                here = self._open[-1]
                mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
                if stat.S_ISLNK(mode):
                    ahead += reversed(self._targetOf(name))
                elif stat.S_ISDIR(mode):
                    self._open.append(raised(os.open(name, _DIRECTORY, dir_fd=here)))
                elif ahead:
                    raise _refusal(errno.ENOTDIR)
                else:
                    return openFile(name, here)
        last = self._open[-1]
        opened = Opened(last, os.fstat(last))
        self._open.pop()
        return opened

    def _leave(self) -> None:
        if len(self._open) == 1:
            raise _refusal(errno.ENOENT)
        closeNumber(self._open.pop())

    def _targetOf(self, name: bytes) -> list[bytes]:
        """Return the names that a link in the last directory stands for. The walk is at the place they begin at."""
        self._links += 1
        if self._links > MAX_LINKS:
            raise _refusal(errno.ELOOP)
        target = os.readlink(name, dir_fd=self._open[-1])
        if not target.startswith(b"/"):
            return target.split(b"/")
        for root in {os.path.abspath(self._root), os.path.realpath(self._root)}:
            prefix = os.fsencode(root).rstrip(b"/") + b"/"
            if (target + b"/").startswith(prefix):
                while len(self._open) > 1:
                    self._leave()
                return target[len(prefix) :].split(b"/")
        raise _refusal(errno.ENOENT)
