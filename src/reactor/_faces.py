"""The public name of a package whose parts lie in files of their own."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from reactor import _overwritten as _overwritten


def publish(face: dict[str, Any]) -> None:
    """Give the classes and functions of a package its name as their module. `face` is its globals, with `__all__`.

    Tracebacks, pickles and Failure.check name the module of a class. The file of the class may change.
    """
    package = face["__name__"]
    for name in face["__all__"]:
        thing = face[name]
        if isinstance(thing, type | FunctionType) and thing.__module__.startswith((f"{package}.", "reactor._")):
            thing.__module__ = package
