"""The errors of the command: one line for the user, and an exit code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

RUNTIME = 1
USAGE = 2


class CommandError(Exception):
    """`str(error)` is one line for the user; `code` is the command's exit code, RUNTIME or USAGE.

    `key` is the option that the error is about, None if it is none.
    """

    def __init__(self, message: str, code: int = RUNTIME, key: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.key = key
        self._isPlaced = False

    def at(self, places: Mapping[str, str], keys: Iterable[str] = ()) -> CommandError:
        """Return the error with the place of its key in front; `places` has those of all keys that were given.

        Without a key of its own, the first of `keys` that was given counts. An error of the command line stays as it
        is: there it names its option, where that helps.
        """
        key = next((each for each in (self.key, *keys) if each is not None and each in places), None)
        place = "" if key is None else places[key]
        if self._isPlaced or not place or isOfCommandLine(place):
            return self
        text = re.sub(r"^--[a-z-]+: ", "", str(self))
        placed = CommandError(f"{place}: {text}", self.code, key)
        placed._isPlaced = True
        return placed


def isOfCommandLine(place: str) -> bool:
    """Whether a value was given on the command line."""
    return place == "APP" or place.startswith("-")


def reasonOf(error: BaseException | str) -> str:
    """Return an error in a few words: the system's own for an OSError, else the error's text or its type."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
