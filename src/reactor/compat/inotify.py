"""`twisted.internet.inotify`: changes of files and directories, as Linux tells them (inotify(7))."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import pathlib
import struct
from collections.abc import Callable, Iterable
from typing import Any

from reactor._functions import functions
from reactor._logger import getLogger
from reactor.failure import Failure

log = getLogger("reactor.inotify")

IN_ACCESS = 0x00000001
IN_MODIFY = 0x00000002
IN_ATTRIB = 0x00000004
IN_CLOSE_WRITE = 0x00000008
IN_CLOSE_NOWRITE = 0x00000010
IN_OPEN = 0x00000020
IN_MOVED_FROM = 0x00000040
IN_MOVED_TO = 0x00000080
IN_CREATE = 0x00000100
IN_DELETE = 0x00000200
IN_DELETE_SELF = 0x00000400
IN_MOVE_SELF = 0x00000800
IN_UNMOUNT = 0x00002000
IN_Q_OVERFLOW = 0x00004000
IN_IGNORED = 0x00008000
IN_ONLYDIR = 0x01000000
IN_DONT_FOLLOW = 0x02000000
IN_MASK_ADD = 0x20000000
IN_ISDIR = 0x40000000
IN_ONESHOT = 0x80000000
IN_CLOSE = IN_CLOSE_WRITE | IN_CLOSE_NOWRITE
IN_MOVED = IN_MOVED_FROM | IN_MOVED_TO
IN_CHANGED = IN_MODIFY | IN_ATTRIB
IN_WATCH_MASK = IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT
IN_WATCH_MASK |= IN_MOVED_FROM | IN_MOVED_TO

_WORDS = {
    IN_ACCESS: "access",
    IN_MODIFY: "modify",
    IN_ATTRIB: "attrib",
    IN_CLOSE_WRITE: "close_write",
    IN_CLOSE_NOWRITE: "close_nowrite",
    IN_OPEN: "open",
    IN_MOVED_FROM: "moved_from",
    IN_MOVED_TO: "moved_to",
    IN_CREATE: "create",
    IN_DELETE: "delete",
    IN_DELETE_SELF: "delete_self",
    IN_MOVE_SELF: "move_self",
    IN_UNMOUNT: "unmount",
    IN_Q_OVERFLOW: "queue_overflow",
    IN_IGNORED: "ignored",
    IN_ONLYDIR: "only_dir",
    IN_DONT_FOLLOW: "dont_follow",
    IN_MASK_ADD: "mask_add",
    IN_ISDIR: "is_dir",
    IN_ONESHOT: "one_shot",
}
_HEAD = struct.Struct("=iIII")
_READ = 65536
_NONBLOCKING = os.O_NONBLOCK | os.O_CLOEXEC

Callback = Callable[[Any, "WatchedPath", int], Any]


class INotifyError(Exception):
    """The kernel has refused inotify, or a watch. Its text is the system's."""


class WatchedPath(pathlib.PosixPath):
    """The path of an event: a pathlib path, with the names of FilePath that callbacks of inotify use."""

    @property
    def path(self) -> str:
        """The path as text."""
        return os.fspath(self)

    def child(self, name: str) -> WatchedPath:
        """Return the path of `name` in this directory."""
        return WatchedPath(self, name)

    def basename(self) -> str:
        """Return the last part of the path."""
        return self.name


class _Watch:
    def __init__(self, path: WatchedPath, mask: int, autoAdd: bool, callbacks: Iterable[Callback] | None) -> None:
        self.path = path
        self.mask = mask
        self.autoAdd = autoAdd
        self.callbacks = list(callbacks or ())


def humanReadableMask(mask: int) -> list[str]:
    """Return the words for the bits of a mask."""
    return [word for bit, word in _WORDS.items() if mask & bit]


class INotify:
    """Watches paths, and calls functions as `callback(self, path, mask)` when they change.

    `reactor` is None for the current one. INotifyError if there is no inotify here.
    """

    def __init__(self, reactor: Any = None) -> None:
        self.reactor = functions if reactor is None else reactor
        self._libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(self._libc, "inotify_init1"):
            raise INotifyError("this system has no inotify")
        self._fd: int = self._checked(self._libc.inotify_init1(_NONBLOCKING))
        self._watches: dict[int, _Watch] = {}
        self.connected = 1

    def _checked(self, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise INotifyError(number, os.strerror(number))
        return result

    def fileno(self) -> int:
        """Return the descriptor, -1 when it is closed."""
        return self._fd

    def logPrefix(self) -> str:
        """Return the name in logs."""
        return "inotify"

    def startReading(self) -> None:
        """Tell changes from now on."""
        self.reactor.addReader(self)

    def stopReading(self) -> None:
        """Tell no changes for now; the kernel keeps them."""
        self.reactor.removeReader(self)

    def loseConnection(self) -> None:
        """End all watches."""
        if self._fd >= 0:
            self.reactor.removeReader(self)
            self.connectionLost(None)

    def connectionLost(self, reason: Failure | None) -> None:
        """Close the descriptor. The reactor calls it at its end."""
        fd, self._fd = self._fd, -1
        self.connected = 0
        self._watches.clear()
        if fd >= 0:
            os.close(fd)

    def watch(
        self,
        path: Any,
        mask: int = IN_WATCH_MASK,
        autoAdd: bool = False,
        callbacks: Iterable[Callback] | None = None,
        recursive: bool = False,
    ) -> int:
        """Watch a path, and return the number of the watch.

        `path` is a text, a path, or has one as `path`. With `autoAdd`, directories that are made in it are watched,
        too; with `recursive`, those that are there. INotifyError if the kernel refuses, a path that is missing for
        example.
        """
        watched = WatchedPath(os.fsdecode(getattr(path, "path", path)))
        if recursive:
            for folder, _, _ in os.walk(watched):
                number = self._watch(WatchedPath(folder), mask, autoAdd, callbacks)
                if folder == os.fspath(watched):
                    first = number
            if watched.is_dir():
                return first
        return self._watch(watched, mask, autoAdd, callbacks)

    def _watch(self, path: WatchedPath, mask: int, autoAdd: bool, callbacks: Iterable[Callback] | None) -> int:
        asked = mask | IN_DELETE_SELF | (IN_CREATE if autoAdd else 0)
        number = self._checked(self._libc.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(asked)))
        known = self._watches.get(number)
        if known is None:
            self._watches[number] = _Watch(path, mask, autoAdd, callbacks)
        else:
            known.mask |= mask
            known.callbacks += [each for each in callbacks or () if each not in known.callbacks]
        return number

    def ignore(self, path: Any) -> None:
        """End the watch of a path. KeyError if there is none."""
        wanted = os.fsdecode(getattr(path, "path", path))
        for number, watch in self._watches.items():
            if os.fspath(watch.path) == wanted:
                del self._watches[number]
                self._libc.inotify_rm_watch(self._fd, number)
                return
        raise KeyError(f"{wanted!r} is not watched")

    def doRead(self) -> None:
        """Read what has changed, and call the functions. The reactor calls it."""
        try:
            data = os.read(self._fd, _READ)
        except BlockingIOError:
            return
        position = 0
        while position < len(data):
            number, mask, _, size = _HEAD.unpack_from(data, position)
            position += _HEAD.size
            name = data[position : position + size].rstrip(b"\0")
            position += size
            watch = self._watches.get(number)
            if watch is not None:
                self._tell(number, watch, mask, os.fsdecode(name))
            if self._fd < 0:
                return

    def _tell(self, number: int, watch: _Watch, mask: int, name: str) -> None:
        path = watch.path.child(name) if name else watch.path
        if mask & watch.mask:
            for callback in list(watch.callbacks):
                try:
                    callback(self, path, mask)
                except Exception as error:
                    log.error("A callback of inotify has failed", exc_info=error)
        if mask & IN_IGNORED:
            self._watches.pop(number, None)
        if watch.autoAdd and mask & IN_ISDIR and mask & IN_CREATE:
            self._addNew(path, watch)

    def _addNew(self, path: WatchedPath, watch: _Watch) -> None:
        """Watch a new directory, and tell what came into it before the watch."""
        try:
            self._watch(path, watch.mask, True, watch.callbacks)
            found = list(path.iterdir())
        except (INotifyError, OSError):
            return  # it was removed again
        for child in found:
            isFolder = child.is_dir() and not child.is_symlink()
            if watch.mask & IN_CREATE or isFolder:
                mask = IN_CREATE | (IN_ISDIR if isFolder else 0)
                self._tell(-1, watch, mask, os.path.relpath(child, watch.path))
