"""`--reload`: changes of a program's files, for development. watchfiles, an extra, notices them in a thread."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

from reactor._logger import getLogger
from reactor.loops.base import ReactorBase
from reactor.serving.checks import missingText
from reactor.serving.errors import USAGE, CommandError

log = getLogger("reactor.serving")

DEBOUNCE = 200  # milliseconds in which changes are gathered
SUFFIXES = (".py", ".toml", ".tac")


class Changes:
    """Calls `changed` in the loop of `reactor` when a file of the program changes below the current directory.

    `config`, the path of the configuration, counts wherever it lies. CommandError if watchfiles is not installed.
    """

    def __init__(self, reactor: ReactorBase, changed: Callable[[], object], config: str | None = None) -> None:
        try:
            self._watchfiles: Any = importlib.import_module("watchfiles")
        except ImportError:
            raise CommandError(missingText("reload"), USAGE) from None
        self._reactor = reactor
        self._changed = changed
        self._config = None if config is None else os.path.abspath(config)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()
        self._thread.join()

    def isProgram(self, _change: object, path: str) -> bool:
        """Whether a file at `path` belongs to the program."""
        hidden = any(part.startswith(".") or part == "__pycache__" for part in path.split(os.sep))
        return path == self._config or (path.endswith(SUFFIXES) and not hidden)

    def _watch(self) -> None:
        here = os.getcwd()
        paths = {here} if self._config is None else {here, os.path.dirname(self._config)}
        for changes in self._watchfiles.watch(
            *paths, watch_filter=self.isProgram, stop_event=self._over, debounce=DEBOUNCE, raise_interrupt=False
        ):
            self._reactor.callFromThread(self._tell, sorted({path for _change, path in changes}))

    def _tell(self, paths: Iterable[str]) -> None:
        log.warning("a reload, as these files have changed: %s", ", ".join(map(os.path.relpath, paths)))
        self._changed()
