"""Of `twisted.python.util`: paths beside a module, and dictionaries that ignore case."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Any


def sibpath(path: str, sibling: str) -> str:
    """Return the path of the file `sibling` that lies beside the file `path`, often `__file__`."""
    return os.path.join(os.path.dirname(os.path.abspath(path)), sibling)


def unsignedID(obj: object) -> int:
    """Return id(obj)."""
    return id(obj)


class FancyEqMixin:
    """Equality by the attributes whose names `compareAttributes` lists, among objects of one class."""

    compareAttributes: Any = ()

    def __eq__(self, other: object) -> bool:
        if not self.compareAttributes:
            return self is other
        if not isinstance(self, other.__class__):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.compareAttributes)

    def __hash__(self) -> int:
        return id(self) if not self.compareAttributes else hash(tuple(map(self.__dict__.get, self.compareAttributes)))


println = print

__all__ = ["FancyEqMixin", "OrderedDict", "println", "sibpath", "unsignedID"]
