"""The line core in Python with locks, for CPython without its GIL. With a GIL the classes without locks are used.

A transport and its protocol belong to the thread of their reactor, and so do these buffers. A lock only keeps a program
that breaks this rule from losing bytes: each method is done wholly before another one begins. `_passedMark` and the
counting of lines are called without the lock, because they call code of other objects.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Self

from reactor.linecore._pure import KEPT, SLOW
from reactor.linecore._pure import LineBuffer as _LineBuffer
from reactor.linecore._sending import OutputBuffer as _OutputBuffer
from reactor.linecore._sending import asBytes


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(self: Any, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            return method(self, *args, **kwargs)

    return guarded


def _guard(cls: Any, names: tuple[str, ...]) -> None:
    """Let each method or property of `cls` in `names` run with the lock of its object."""
    for name in names:
        found = getattr(cls, name)
        if isinstance(found, property):
            setter = None if found.fset is None else _guarded(found.fset)
            guarded: Any = property(None if found.fget is None else _guarded(found.fget), setter, doc=found.__doc__)
        else:
            guarded = _guarded(found)
        setattr(cls, name, guarded)


class LineBuffer(_LineBuffer):
    """A LineBuffer whose methods are done one after the other, whatever threads call them."""

    __slots__ = ("_lock",)
    _lock: Any

    def __init__(self, delimiter: bytes = b"\r\n", maxLength: int = 16384, stripCR: bool = False) -> None:
        self._lock = threading.RLock()
        super().__init__(delimiter, maxLength, stripCR)

    def receive(self, owner: Any, data: bytes | bytearray | memoryview, transport: object) -> int:
        with self._lock:
            self._add(data)
            isKept = bool(self.busy or self.waiting)
            if not isKept:
                if self._skipping and not owner.paused:
                    self.delimiter = owner.delimiter
                    self._find()
                self.busy = True
        if not isKept:
            return SLOW
        if self._counts:
            self._tell(transport)
        return KEPT


class OutputBuffer(_OutputBuffer):
    """An OutputBuffer whose methods are done one after the other, whatever threads call them."""

    __slots__ = ("_lock",)
    _lock: Any

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._lock = threading.RLock()
        return self

    def write(self, data: bytes | bytearray | memoryview, /) -> None:
        """Send `data`, in order. Takes any bytes-like object and keeps its present content; dropped after the end."""
        added = asBytes(data)
        with self._lock:
            if self._waiting:
                self._extend(added)
            else:
                self._waiting = added
            isPast = len(self._waiting) > self._mark
        if isPast:
            self._passedMark(len(added))


_guard(
    LineBuffer,
    (
        "__len__",
        "__next__",
        "clear",
        "cut",
        "delimiter",
        "exceeded",
        "feed",
        "holds",
        "lines",
        "peek",
        "skip",
        "skipping",
        "split",
        "take",
    ),
)
_guard(OutputBuffer, ("_discardOutput", "_drop", "_front", "_hold", "unsent"))
