"""Modules that are loaded when they are first used: `import reactor` need not load asyncio, or all of TLS.

    if TYPE_CHECKING:
        import ssl
    else:
        ssl = later("ssl", globals())

The first use of an attribute loads the module and puts it in the stand-in's place, so later uses cost nothing more. Any
thread may be the first one: the import system has a lock for each module. An annotation or a default value in a
signature must not use it, as that would load the module at once.

A module that a running loop may need at any time is loaded `withReactor`: by the first reactor, when it is made. So a
loop does not wait for its import. And the import cannot fail late, when no descriptor is left, for example.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Any

from reactor import _overwritten as _overwritten

TRIES = 10  # in a storm of signals


def later(name: str, namespace: dict[str, Any], withReactor: bool = False) -> Any:
    """Return a stand-in for the module `name`, for the variable of `namespace` that has the last part of its name.

    `withReactor` has the first reactor load it.
    """
    standIn = _Later(name, namespace)
    if withReactor:
        _withReactor.append(standIn)
    return standIn


def loadForReactor() -> None:
    """Load the modules that a reactor needs at once. ImportError if one cannot be loaded; a later call tries again."""
    # A copy, as another thread may make its first reactor now, too.
    for found in _withReactor.copy():
        found.load()
        with suppress(ValueError):
            _withReactor.remove(found)


def _imported(name: str) -> ModuleType:
    """Import the module. The C library opens the file of an extension, and gives up at a signal (EINTR): try again."""
    for _ in range(TRIES - 1):
        try:
            return import_module(name)
        except InterruptedError:
            continue
        except ImportError as error:
            if os.strerror(errno.EINTR) not in str(error):
                raise
    return import_module(name)


class LacksModule(ModuleNotFoundError):
    """This Python was built without a module of the standard library, whose name is `name`: `_ssl`, for example."""


class _Later:
    __slots__ = ("_name", "_namespace")

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        self._name = name
        self._namespace = namespace

    def load(self) -> Any:
        """Put the module in this one's place, and return it. LacksModule if this Python does not have it."""
        try:
            module = _imported(self._name)
        except ModuleNotFoundError as error:
            raise LacksModule(f"this Python has no module {error.name or self._name}", name=error.name) from error
        self._namespace[self._name.rpartition(".")[2]] = module
        return module

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.load(), attribute)


_withReactor: list[_Later] = []
