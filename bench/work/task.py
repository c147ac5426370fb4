"""What a piece of work is."""

from __future__ import annotations

from typing import Any, Protocol


class WrongAnswer(Exception):
    """What was measured did something else than it was asked to do."""


class Task(Protocol):
    """Made as `Task(rival, **options)`, with the options of a case."""

    def run(self, count: int) -> int:
        """Do `count` units of work, or a few more; return how many. WrongAnswer if the outcome is not right."""

    def verify(self) -> None:
        """After the measured runs: see that what they only counted, or not even that, was right. WrongAnswer if not."""


def expect(what: str, got: Any, wanted: Any) -> None:
    """WrongAnswer unless the two are equal."""
    if got != wanted:
        raise WrongAnswer(f"{what}: {str(got)[:80]}, not {str(wanted)[:80]}")
