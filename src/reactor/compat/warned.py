"""The warnings of a test, kept for flushWarnings, as trial keeps them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from typing import Any


class Warned:
    """Keeps the warnings that are raised between `begin` and `end`; `end` raises the others anew."""

    def __init__(self) -> None:
        self._kept: list[warnings.WarningMessage] = []
        self._catching: Any = None

    def begin(self) -> None:
        """Keep all warnings from now on, also those that were shown before."""
        self._catching = warnings.catch_warnings(record=True)
        self._kept = self._catching.__enter__()
        warnings.simplefilter("always")

    def flush(self, functions: Iterable[Callable[..., Any]] | None = None) -> list[dict[str, Any]]:
        """Return the warnings, and forget them: those of places in `functions`, or all.

        Each is a dict of message, category, filename and lineno.
        """
        places = None if functions is None else [_Place(each) for each in functions]
        found = [each for each in self._kept if places is None or any(each in place for place in places)]
        self._kept[:] = [each for each in self._kept if each not in found]
        return [
            {
                "message": each.message.args[0] if isinstance(each.message, Warning) else each.message,
                "category": each.category,
                "filename": each.filename,
                "lineno": each.lineno,
            }
            for each in found
        ]

    def end(self) -> list[warnings.WarningMessage]:
        """Keep no more warnings; return those that are left."""
        self._catching.__exit__(None, None, None)
        left, self._kept = self._kept, []
        return left


class _Place:
    """The file and the lines of a function, or of a method. A warning is in it, or is not."""

    def __init__(self, function: Any) -> None:
        code = inspect.unwrap(getattr(function, "__func__", function)).__code__
        self._file = code.co_filename
        self._lines = {line for _, _, line in code.co_lines() if line is not None}

    def __contains__(self, warning: warnings.WarningMessage) -> bool:
        return warning.filename == self._file and warning.lineno in self._lines
