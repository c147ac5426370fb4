"""Modules that are loaded when they are first used: `import reactor` need not load asyncio, or all of TLS.

    if TYPE_CHECKING:
        import ssl
    else:
        ssl = later("ssl", globals())

The first use of an attribute loads the module and puts it in the stand-in's place, so later uses cost nothing more. Any
thread may be the first one: the import system has a lock for each module. An annotation or a default value in a
signature must not use it, as that would load the module at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from reactor import _overwritten as _overwritten


def later(name: str, namespace: dict[str, Any]) -> Any:
    """Return a stand-in for the module `name`, for the variable of `namespace` that has the last part of its name."""
    return _Later(name, namespace)


class _Later:
    __slots__ = ("_name", "_namespace")

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace

    def __getattr__(self, attribute: str) -> Any:
        module = import_module(self._name)
        self._namespace[self._name.rpartition(".")[2]] = module
        return getattr(module, attribute)
