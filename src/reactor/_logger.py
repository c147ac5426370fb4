"""The package's loggers: those of `logging`, with three differences.

A handler that raises costs only its record. `logging` lets an exception of a handler's emit() or of a filter through.
It does the same with one of a `__repr__` in a handler's format(), unless it is a plain Exception. A port that logs that
it cannot accept would be closed by its own log record.

No record can be taken for two. The arguments of a record, and the texts of exceptions below it, can come from a peer.
Line ends and other control characters in them are written as escapes.

Records that a peer can cause at will go through `limited`, which counts those that it leaves out.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from reactor import _overwritten as _overwritten

LOG_BURST = 5
LOG_INTERVAL = 1.0

_OneException = tuple[type[BaseException], BaseException, Any]


def escaped(text: str, keep: str = "") -> str:
    """Return `text` with everything unprintable written as a backslash escape, but for the characters of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


LONGEST_QUOTE = 100  # characters of a user's value in an error


def shortened(text: str, most: int = LONGEST_QUOTE) -> str:
    """Return `text`, with its end as an ellipsis if it has more than `most` characters. For values in errors."""
    return text if len(text) <= most else f"{text[:most]}..."


def quoted(value: object) -> str:
    """Return a value for an error in quotes, as repr() has it, cut as `shortened` does."""
    if isinstance(value, str | bytes) and len(value) > LONGEST_QUOTE:
        return f"{value[:LONGEST_QUOTE]!r}..."
    return shortened(repr(value), 4 * LONGEST_QUOTE)  # escapes make it longer


def tracebackOf(found: _OneException) -> tuple[str, bool]:
    """Return the traceback as `logging` writes it, and whether it differs from Python's own.

    The text of each exception is one line, and so is each of its notes, which is indented. So is what names its frames
    and its type. At the beginning of a line stand only words of Python's and names of types. A name of a type that no
    class statement can give stands between < and >. Only the traceback's own line ends are kept.
    """
    whole = traceback.TracebackException(*found)
    before = "".join(whole.format())
    for part in _partsOf(whole):
        part._str = escaped(part._str)
        _nameType(part)
        for frame in part.stack:
            frame.filename, frame.name = escaped(frame.filename), escaped(frame.name)
        for name in ("msg", "text", "filename"):  # the attributes of a SyntaxError
            text = getattr(part, name, None)
            if isinstance(text, str):
                setattr(part, name, escaped(text.rstrip("\n")))
        notes = getattr(part, "__notes__", None)
        if notes is not None:
            part.__notes__ = [f"    {escaped(str(note))}" for note in (notes if isinstance(notes, list) else [notes])]
    clean = escaped("".join(whole.format()), keep="\n")
    return clean.removesuffix("\n"), clean != before


def _nameType(part: Any) -> None:
    """Have an exception's summary name its type by a clean name, if the type's own is none."""
    if not hasattr(part, "exc_type_qualname"):  # before CPython 3.13
        kind = part.exc_type
        if kind is None:
            return
        module, name = _dotted(kind.__module__), _dotted(kind.__qualname__)
        if (module, name) != (kind.__module__, kind.__qualname__):
            base = SyntaxError if issubclass(kind, SyntaxError) else Exception
            part.exc_type = type("named", (base,), {"__module__": module, "__qualname__": name})
    elif part.exc_type_qualname is not None:
        part.exc_type_qualname, part.exc_type_module = map(_dotted, (part.exc_type_qualname, part.exc_type_module))


def _dotted(name: Any) -> Any:
    """Return the name of a module or a type, which is between < and > if it does not consist of identifiers."""
    if not isinstance(name, str) or name.replace(".<locals>", "").replace(".", "_").isidentifier():
        return name
    return f"<{escaped(name)}>"


def _partsOf(whole: Any) -> Iterator[Any]:
    """Yield the summaries of an exception, of its causes and contexts, and of a group's members."""
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [
            other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other is not None
        ]


class Repeats:
    """Lets a limited number of records of a kind through in an interval, and counts the others.

    The limit is `burst` records in each `interval` seconds, which begins with the first record. `now` tells the time in
    seconds. Any thread may call its methods: a record more may pass then, or one less be counted.
    """

    def __init__(
        self, burst: int = LOG_BURST, interval: float = LOG_INTERVAL, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._interval = interval
        self._now = now
        # the end of the interval, the records that may still pass, the records left out
        self._kinds: dict[Any, list[float]] = {}

    def admit(self, kind: Any) -> int | None:
        """Return None for a record above the limit, else the number of records left out since the last one."""
        now = self._now()
        found = self._kinds.get(kind)
        if found is None or now >= found[0]:
            left = 0 if found is None else int(found[2])
            self._kinds[kind] = [now + self._interval, self._burst - 1, 0]
            return left
        if found[1] > 0:
            found[1] -= 1
            return 0
        found[2] += 1
        return None

    def over(self, everything: bool = False) -> list[tuple[Any, int]]:
        """Forget each kind whose interval is over (or `everything`); return those with left-out records."""
        now = self._now()
        ended = [kind for kind, found in self._kinds.copy().items() if everything or now >= found[0]]
        forgotten = [(kind, self._kinds.pop(kind, None)) for kind in ended]  # another thread may have been here
        return [(kind, int(found[2])) for kind, found in forgotten if found is not None and found[2]]


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A logger of the standard library whose methods raise only KeyboardInterrupt and SystemExit.

    Other exceptions of a handler are written to standard error, unless logging.raiseExceptions is false. `logging` does
    the same with the errors that it catches itself.
    """

    def __init__(self, logger: logging.Logger) -> None:
        super().__init__(logger, {})
        self._repeats = Repeats()

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """See logging.Logger.log."""
        if not self.isEnabledFor(level):
            return
        # logging looks for the caller of info() or error(), and leaves out its own frames only. These two are more.
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        try:
            self.logger.log(level, msg, *args, **kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            if logging.raiseExceptions and sys.stderr is not None:
                with suppress(Exception):
                    sys.stderr.write(f"A log record of {self.logger.name} was lost, as a handler failed:\n")
                    sys.stderr.write(f"{tracebackOf((type(error), error, error.__traceback__))[0]}\n")

    def limited(self, level: int, msg: str, *args: object, error: BaseException | None = None) -> None:
        """Log an event that a peer can cause at will: LOG_BURST records with this `msg` in each LOG_INTERVAL.

        The others are counted. The next record with this `msg`, or tellRepeats(), logs their number.
        """
        if not self.isEnabledFor(level):
            return
        left = self._repeats.admit((level, msg))
        if left is None:
            return
        if left:
            msg, args = msg + " (%d more like it were left out before)", (*args, left)
        self.log(level, msg, *args, exc_info=error, stacklevel=2)

    def tellRepeats(self, everything: bool = False) -> None:
        """Log the number of left-out records of each kind whose interval is over, or of `everything`."""
        for (level, msg), left in self._repeats.over(everything):
            self.log(level, '%d more records were left out like this one: "%s"', left, msg)


class _Clean(logging.Filter):
    """A filter that makes sure that a record stays one, whatever the texts of its arguments and exceptions."""

    def filter(self, record: logging.LogRecord) -> bool:
        with suppress(Exception):  # a __repr__ raises: each handler deals with that in its own way
            if record.args and not (message := record.getMessage()).isprintable():
                record.msg, record.args = escaped(message), ()
        if record.exc_info and record.exc_info[1] is not None and not record.exc_text:
            with suppress(Exception):
                text, changed = tracebackOf(record.exc_info)
                if changed:
                    record.exc_text = text
        return True


_loggers: dict[str, Logger] = {}


def getLogger(name: str) -> Logger:
    """Return the Logger around logging.getLogger(name), always the same one."""
    found = _loggers.get(name)
    if found is None:
        inner = logging.getLogger(name)
        inner.addFilter(_Clean())
        found = _loggers[name] = Logger(inner)
    return found


def tellRepeats(everything: bool = False) -> None:
    """Call Logger.tellRepeats of all loggers."""
    for logger in list(_loggers.values()):
        logger.tellRepeats(everything)
