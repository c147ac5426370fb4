"""The errors of the command: one line for the user, and an exit code."""

from __future__ import annotations

RUNTIME = 1
USAGE = 2


class CommandError(Exception):
    """`str(error)` is one line for the user; `code` is the command's exit code, RUNTIME or USAGE."""

    def __init__(self, message: str, code: int = RUNTIME) -> None:
        super().__init__(message)
        self.code = code


def reasonOf(error: BaseException | str) -> str:
    """Return an error in a few words: the system's own for an OSError, else the error's text or its type."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
