"""The members that autodoc shows."""

from __future__ import annotations

from typing import Any


def skip(_app: Any, _what: str, _name: str, thing: Any, _skipped: bool, _options: Any) -> bool | None:
    """Leave out the methods that refer to those of a base alone: they are described there."""
    return True if (getattr(thing, "__doc__", None) or "").startswith("See ReactorBase.") else None
