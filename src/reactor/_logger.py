"""The package's loggers: those of `logging`, but a handler that raises costs nobody more than its record.

`logging` lets through what a handler's emit() or a filter raises, and what a `__repr__` raises in a handler's format()
as soon as it is no plain Exception. A port that says it cannot accept would be closed by its own log record.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from typing import Any


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A logger of the standard library's whose methods raise nothing but KeyboardInterrupt and SystemExit.

    What a handler raises is written to standard error instead, as logging does with the errors that it catches itself,
    unless logging.raiseExceptions is false.
    """

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """See logging.Logger.log."""
        if not self.isEnabledFor(level):
            return
        # Whoever called info() or error() is two frames further out than logging, which leaves out its own, thinks.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        try:
            self.logger.log(level, msg, *args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:
            if logging.raiseExceptions and sys.stderr is not None:
                with suppress(Exception):
                    sys.stderr.write(f"A log record of {self.logger.name} was lost, as a handler failed:\n")
                    traceback.print_exc(file=sys.stderr)


def getLogger(name: str) -> Logger:
    """Return the Logger around logging.getLogger(name)."""
    return Logger(logging.getLogger(name), {})
