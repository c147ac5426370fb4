"""The public name of a module whose parts lie in files of their own."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from reactor import _overwritten as _overwritten


def publish(face: dict[str, Any]) -> None:
    """Have the classes and functions of `face`, the globals of a package with `__all__`, name that package.

    Tracebacks, pickles and Failure.check name the module of a class. The file that the class lies in may change.
    """
    package = face["__name__"]
    for name in face["__all__"]:
        thing = face[name]
        if isinstance(thing, type | FunctionType) and thing.__module__.startswith((f"{package}.", "reactor._")):
            thing.__module__ = package
