"""Of `twisted.python.reflect`: objects by their dotted names, and safe texts."""

from __future__ import annotations

from importlib import import_module
from types import FunctionType
from typing import Any

from reactor.failure import safeRepr as safe_repr


def namedModule(name: str) -> Any:
    """Return the module `name`, which is imported if need be."""
    return import_module(name)


def namedAny(name: str) -> Any:
    """Return the object with the dotted `name`: a module, or an attribute of one, at any depth.

    ValueError for an empty name or part; ModuleNotFoundError or AttributeError if there is none.
    """
    if not name or not all(name.split(".")):
        raise ValueError(f"a dotted name is needed, not {name!r}")
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        path = ".".join(parts[:count])
        try:
            found: Any = import_module(path)
        except ModuleNotFoundError as error:
            if count == 1 or not (error.name and f"{path}.".startswith(f"{error.name}.")):
                raise
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise ValueError(name)


namedObject = namedClass = namedAny


def qual(clazz: type[Any]) -> str:
    """Return the dotted name of a class."""
    return f"{clazz.__module__}.{clazz.__qualname__}"


fullyQualifiedName = qual


def safe_str(o: object) -> str:
    """Return str(o), with bytes decoded, or a substitute if that raises."""
    if isinstance(o, bytes):
        try:
            return o.decode()
        except UnicodeDecodeError:
            return repr(o)
    try:
        return str(o)
    except Exception:
        return safe_repr(o)


def prefixedMethods(obj: Any, prefix: str = "") -> list[Any]:
    """Return the methods of `obj` whose names begin with `prefix`, in the order of dir()."""
    return [getattr(obj, name) for name in dir(obj) if name.startswith(prefix) and callable(getattr(obj, name))]


def addMethodNamesToDict(
    classObj: type[Any], dict: dict[str, int], prefix: str, baseClass: type[Any] | None = None
) -> None:
    """Put into `dict` the names behind `prefix` of the methods of `classObj` and its bases, each with the value 1.

    With `baseClass`, only the methods of classes directly below it count.
    """
    for base in classObj.__bases__:
        addMethodNamesToDict(base, dict, prefix, baseClass)
    if baseClass is None or baseClass in classObj.__bases__:
        for name, method in vars(classObj).items():
            if isinstance(method, FunctionType) and name.startswith(prefix) and name != prefix:
                dict[name[len(prefix) :]] = 1


def accumulateClassList(classObj: type[Any], attr: str, listObj: list[Any], baseClass: type[Any] | None = None) -> None:
    """Append to `listObj` the lists `attr` of the bases of `classObj`, and its own, below `baseClass`."""
    for base in classObj.__bases__:
        accumulateClassList(base, attr, listObj, baseClass)
    if baseClass is None or baseClass in classObj.__bases__:
        listObj.extend(classObj.__dict__.get(attr, []))


__all__ = [
    "accumulateClassList",
    "addMethodNamesToDict",
    "fullyQualifiedName",
    "namedAny",
    "namedClass",
    "namedModule",
    "namedObject",
    "prefixedMethods",
    "qual",
    "safe_repr",
    "safe_str",
]
