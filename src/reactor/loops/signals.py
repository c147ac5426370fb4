"""Signals, delivered in the reactor's loop.

The handler that Python calls only queues the delivery. A wake-up descriptor ends the loop's sleep, even if the signal
arrives between the last look at the queue and the sleep.

For SIGINT and SIGTERM the delivery is ReactorBase._signalled, which stops the reactor.
"""

from __future__ import annotations

import errno
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from reactor._arguments import checkCall

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))

_UNCATCHABLE = frozenset(getattr(signal, name) for name in ("SIGKILL", "SIGSTOP") if hasattr(signal, name))


class SignalHandling:
    """The signals of one reactor.

    `post(call, *args)` queues a call for its loop from any place. `wakeupFd()` returns the descriptor that wakes it.
    `hasAsked` says whether a signal has requested the end since install().
    """

    def __init__(self, post: Callable[..., None], wakeupFd: Callable[[], int]) -> None:
        self.hasAsked = False
        self._post = post
        self._wakeupFd = wakeupFd
        self._calls: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}
        self._before: dict[int, Any] = {}
        self._wakeupBefore = -1
        self._installed = False

    def add(self, number: int, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Make `call(*args)` in the loop for each signal `number`, in place of an earlier call.

        OSError or ValueError for a signal that cannot be caught; nothing has changed then.
        """
        checkCall(call)
        try:
            signal.getsignal(number)  # ValueError if it is no signal
        except TypeError:
            raise ValueError(f"a signal is a number, for example signal.SIGHUP, not {number!r}") from None
        if number in _UNCATCHABLE:
            raise OSError(errno.EINVAL, f"signal {int(number)} cannot be caught")
        if self._installed:
            self._install(number, call, args)
        self._calls[number] = (call, args)

    def remove(self, number: int) -> bool:
        """Undo add; return whether there was anything to undo."""
        found = self._calls.pop(number, None) is not None
        if number in self._before:
            _giveBack(number, self._before.pop(number))
        return found

    def install(self, stop: Callable[[int], None] | None) -> None:
        """Take over the signals, and with `stop` also those that end a program. Only in the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        self.restore()  # crash() and run() in a callback: the earlier run has not restored them yet
        try:
            self._wakeupBefore = signal.set_wakeup_fd(self._wakeupFd(), warn_on_full_buffer=False)
        except ValueError:  # in a subinterpreter (PEP 734): signals are for the main one
            return
        self._installed = True
        self.hasAsked = False
        for number, (call, args) in list(self._calls.items()):
            self._install(number, call, args)
        if stop is None:
            return
        for number in STOP_SIGNALS:
            # A program's own SIGINT handler is its own decision; Python's default one is not.
            if number in self._calls or (
                number == signal.SIGINT and signal.getsignal(number) is not signal.default_int_handler
            ):
                continue
            self._before[number] = signal.signal(number, self._poster(stop, (number,)))
        if hasattr(signal, "SIGCHLD") and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
            # The reactor's own children have pidfds. This wakes the loop for a program that waits for other children
            # itself. A program that has a handler, or ignores SIGCHLD, has decided. A handler wakes the loop as well.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, self._poster(lambda: None, ()))

    def restore(self) -> None:
        """Restore the earlier handler of every signal."""
        if not self._installed:
            return
        self._installed = False
        while self._before:
            _giveBack(*self._before.popitem())
        before, self._wakeupBefore = self._wakeupBefore, -1
        try:
            signal.set_wakeup_fd(before, warn_on_full_buffer=True)
        except (OSError, ValueError):  # its earlier owner has closed it meanwhile
            signal.set_wakeup_fd(-1)

    def forked(self) -> None:
        """In a forked child: restore, without a wake-up descriptor.

        An event loop that goes on there may set its own handlers again, so the next restore() repeats this.
        """
        if self._installed:
            self._wakeupBefore = -1
            self.restore()
            self._installed = True

    def _install(self, number: int, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        handler = signal.signal(number, self._poster(call, args))
        self._before.setdefault(number, handler)

    def _poster(self, call: Callable[..., Any], args: tuple[Any, ...]) -> Callable[[int, FrameType | None], None]:
        return lambda number, frame: self._post(call, *args)


def _giveBack(number: int, handler: Any) -> None:
    """Restore `handler` for a signal.

    CPython writes an OSError to standard error if the signal comes between its last look and the change. So this thread
    blocks the signal meanwhile; then the kernel delivers it to the restored handler.
    """
    if handler is None:  # the handler is C code, which Python cannot set: ours stays, and does no harm
        return
    if not hasattr(signal, "pthread_sigmask"):
        signal.signal(number, handler)
        return
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, (number,))
        signal.signal(number, handler)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
