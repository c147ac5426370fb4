"""The command's log: on standard error, with nothing in it that a terminal or a reader of lines could take for more.

What peers send ends up in log messages sooner or later. Control characters, line ends among them, and whatever else is
not printable are written as escapes; only a traceback keeps its own line ends.
"""

from __future__ import annotations

import logging
import sys

LEVELS = ("debug", "info", "warning", "error", "critical")


def escaped(text: str, keep: str = "") -> str:
    """Return `text` with everything unprintable written as a backslash escape, but for the characters of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


class CleanFormatter(logging.Formatter):
    """A formatter whose every record is one line, and lines of a traceback after it."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The record's line."""
        return escaped(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:
        """The traceback."""
        return escaped(super().formatException(ei), keep="\n")


def logTo(level: str) -> None:
    """Send every record of `level`, one of LEVELS, and above to standard error, and nowhere else."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(CleanFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
