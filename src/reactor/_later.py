"""Modules that are loaded when they are first used: `import reactor` need not load asyncio, or all of TLS.

    if TYPE_CHECKING:
        import ssl
    else:
        ssl = later("ssl", globals())

The first use of an attribute loads the module and puts it in the stand-in's place, so later uses cost nothing more. Any
thread may be the first one: the import system has a lock for each module. An annotation or a default value in a
signature must not use it, as that would load the module at once.

A reactor loads all that is left when it begins to run. So a loop waits for no import. And no import fails later: then a
process may have no descriptor left, or may have given up the right to read the files.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from typing import Any

from reactor import _overwritten as _overwritten


def later(name: str, namespace: dict[str, Any]) -> Any:
    """Return a stand-in for the module `name`, for the variable of `namespace` that has the last part of its name."""
    standIn = _Later(name, namespace)
    _waiting.append(standIn)
    return standIn


def loadAll() -> None:
    """Load all modules that are still to be loaded. One that this system lacks is an error where it is used."""
    with suppress(IndexError):  # no more is left; another thread may have taken the last one
        while True:
            with suppress(ImportError):
                _waiting.pop().load()


class _Later:
    __slots__ = ("_name", "_namespace")

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace

    def load(self) -> Any:
        """Put the module in this one's place, and return it."""
        module = self._namespace[self._name.rpartition(".")[2]] = import_module(self._name)
        return module

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.load(), attribute)


_waiting: list[_Later] = []
