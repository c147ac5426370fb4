"""Turns the texts that Python itself writes to standard error into records of the log.

Four texts can hold a peer's text: a warning, an exception in a thread, one in a `__del__`, and one that ends the
program. Python writes that text as is. If the reader of standard error has stalled, it waits, and so does the loop.
Here each becomes one escaped record, which never waits. Only these four are taken: `print()` is the program's own.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from reactor._logger import getLogger
from reactor.failure import safeRepr

log = getLogger("reactor.serving")
warningsLog = getLogger("py.warnings")  # the name that logging.captureWarnings() uses


def capture(finish: Callable[[], object]) -> None:
    """Log Python's own texts from now on. `finish` is called after the record of an exception that ends the program."""

    def uncaught(kind: type[BaseException], value: BaseException, frames: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            log.error("interrupted")
        else:
            log.critical("the program ends, as nothing caught this", exc_info=(kind, value, frames))
        finish()

    warnings.showwarning = _showWarning
    sys.unraisablehook = _unraisable
    threading.excepthook = _inThread
    sys.excepthook = uncaught


def _showWarning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """See warnings.showwarning."""
    if file is not None:
        file.write(warnings.formatwarning(message, category, filename, lineno, line))
    else:
        warningsLog.warning("%s: %s (%s, line %d)", category.__name__, message, filename, lineno)


def _unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    """See sys.unraisablehook."""
    text = unraisable.err_msg or "Exception ignored in"
    kind, value, frames = unraisable.exc_type, unraisable.exc_value, unraisable.exc_traceback
    place = "" if unraisable.object is None else f" {safeRepr(unraisable.object)}"
    log.error("%s%s", text, place, exc_info=(kind, value or kind(), frames))


def _inThread(args: threading.ExceptHookArgs) -> None:
    """See threading.excepthook: it ignores SystemExit."""
    if not issubclass(args.exc_type, SystemExit):
        name = "a thread" if args.thread is None else f"thread {args.thread.name}"
        value = args.exc_value or args.exc_type()
        log.error("unhandled error in %s", name, exc_info=(args.exc_type, value, args.exc_traceback))
