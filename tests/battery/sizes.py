"""How much of a trial is run: the part for every change, or, with REACTOR_BATTERY=full, the whole of it."""

from __future__ import annotations

import os
from typing import TypeVar

FULL = os.environ.get("REACTOR_BATTERY") == "full"

Size = TypeVar("Size")


def size(usual: Size, full: Size) -> Size:
    return full if FULL else usual
