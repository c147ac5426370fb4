"""Where a name of Twisted's is in this package, by the table of counterparts and by the modules themselves."""

from __future__ import annotations

import functools
import sys
from importlib import import_module
from importlib.util import find_spec

from reactor.compat.counterparts import MODULES, NAMES

PACKAGES = frozenset(name.rpartition(".")[0] for name in MODULES if name.count(".") > 1) | {"twisted"}


def isTwisted(name: str | None) -> bool:
    """Whether a dotted name is one of Twisted's."""
    return name is not None and (name == "twisted" or name.startswith("twisted."))


@functools.cache
def has(module: str, name: str) -> bool:
    """Whether a module of this package has `name`. No attribute is read, as that could make a reactor."""
    found = import_module(module)
    if name in vars(found) or name in getattr(found, "_shown", ()):
        return True
    try:
        return hasattr(found, "__path__") and find_spec(f"{module}.{name}") is not None
    except (ImportError, ValueError):
        return False


@functools.cache
def isShown(module: str, name: str) -> bool:
    """Whether `from module import *` brings `name`."""
    found = import_module(module)
    shown = getattr(found, "__all__", None)
    return (name[:1] != "_" and name in vars(found)) if shown is None else name in shown


def moduleFor(name: str) -> str | None:
    """Return our module for one of Twisted's, or None."""
    found = MODULES.get(name)
    return None if found is None or not _isHere(found.module) else found.module


@functools.cache
def _isHere(module: str) -> bool:
    """Whether a counterpart can be imported on this platform."""
    try:
        import_module(module)
    except (ImportError, AttributeError, OSError):
        return False
    return module in sys.modules


def homesOf(module: str, name: str) -> list[str]:
    """Return our modules that have `name` of Twisted's `module`, the preferred one first; none if it has no place."""
    found = MODULES.get(module)
    if found is None or f"{module}.{name}" in NAMES or moduleFor(module) is None:
        return []
    if name == "*":
        return [found.module]
    return [each for each in (*found.names, found.module) if has(each, name)]
