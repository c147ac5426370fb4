"""The pool of a reactor that may have no thread: its work waits."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future
from threading import Lock
from typing import Any

from reactor import _overwritten as _overwritten


class WaitingWork(Executor):
    """The pool of a reactor with 0 threads: it keeps its calls until moveTo."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Keep the call. For any thread."""
        future: Future[Any] = Future()
        with self._lock:
            self._calls.append((future, functools.partial(fn, *args, **kwargs)))
        return future

    def moveTo(self, pool: Executor) -> None:
        """Have `pool` make the kept calls, in order, except the cancelled ones."""
        with self._lock:
            calls, self._calls = self._calls, []
        for future, call in calls:
            pool.submit(_settle, future, call)

    def forget(self) -> None:
        """In a forked child: drop the calls, which are the parent's, and the lock, which its thread may hold."""
        self._lock = Lock()
        self._calls = []


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)
