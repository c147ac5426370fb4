"""Settings that announce themselves, in Python: none does, so LineReceiver asks for each setting before each line."""

from __future__ import annotations


def announcingFromTheStart(cls: type, root: type, names: tuple[str, ...]) -> None:
    """Have the class attributes `names` of `cls`, which has no instance yet, announce. Here: nothing."""


def announces(cls: type, root: type, names: tuple[str, ...]) -> bool:
    """Return whether setting one of `names` on an instance of `cls` is announced to its buffer. Here: never."""
    return False
