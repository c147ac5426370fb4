"""The base of pieces of work."""

from __future__ import annotations

from typing import Any, Protocol


class WrongAnswer(Exception):
    """A measured program did the wrong work."""


class Task(Protocol):
    """Made as `Task(rival, **options)`, with the options of a case."""

    def run(self, count: int) -> int:
        """Do `count` units of work, or a few more; return how many. WrongAnswer if the outcome is not right."""

    def verify(self) -> None:
        """Check, after the measured runs, the answers that they did not check. WrongAnswer if one is wrong."""


def expect(what: str, got: Any, wanted: Any) -> None:
    """WrongAnswer unless the two are equal."""
    if got != wanted:
        raise WrongAnswer(f"{what}: {str(got)[:80]}, not {str(wanted)[:80]}")
