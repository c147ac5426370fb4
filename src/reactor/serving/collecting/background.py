"""Background: blocking work in a thread, one call after the other, for a loop that must not wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

Done = Callable[[BaseException | None], object]


class CallsFromThreads(Protocol):
    """The one method that Background needs of a reactor."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any) -> None:
        """Make the call in the loop's thread."""


class Background:
    """Makes calls in a thread of its own, in order, and tells the loop of `reactor` when each is over.

    The thread ends when there is no call left. It does not keep the program from ending.
    """

    def __init__(self, reactor: CallsFromThreads, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._guard = threading.Condition()
        self._calls: deque[tuple[Callable[[], object], Done]] = deque()
        self._runs = False

    def do(self, work: Callable[[], object], done: Done) -> None:
        """Call `work()` in the thread, then `done(error)` in the loop; `error` is None or what `work` has raised."""
        with self._guard:
            self._calls.append((work, done))
            if not self._runs:
                self._runs = True
                threading.Thread(target=self._run, name=self._name, daemon=True).start()

    def finish(self, seconds: float) -> bool:
        """Wait until all work is over, for at most `seconds`. Return whether it is. For the program's end."""
        with self._guard:
            return self._guard.wait_for(lambda: not self._runs, seconds)

    def _run(self) -> None:
        while True:
            with self._guard:
                if not self._calls:
                    self._runs = False
                    self._guard.notify_all()
                    return
                work, done = self._calls.popleft()
            failed: BaseException | None = None
            try:
                work()
            except BaseException as error:
                failed = error
            with suppress(OSError, RuntimeError):  # the reactor is closed: finish() has the caller's attention
                self._reactor.callFromThread(done, failed)
