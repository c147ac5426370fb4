"""Of `twisted.python.components`: Adapter, and adapters that are registered, where zope.interface is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from reactor.interfaces import InterfaceClass


class Adapter:
    """Something that provides an interface for `original`, another object."""

    def __init__(self, original: Any) -> None:
        self.original = original


def registerAdapter(adapterFactory: Callable[[Any], Any], origInterface: Any, *interfaceClasses: Any) -> None:
    """Have `Interface(thing)` return `adapterFactory(thing)` for things that provide, or are of, `origInterface`.

    TypeError for interfaces of reactor.interfaces, which take no adapters. ValueError if one is registered already.
    """
    if not interfaceClasses:
        raise ValueError("an adapter is registered for one interface or more")
    ofOurs = [each for each in (origInterface, *interfaceClasses) if isinstance(each, InterfaceClass)]
    if ofOurs:
        raise TypeError(f"{ofOurs[0].__name__} of reactor.interfaces takes no adapters: call the adapter's class")
    interface = sys.modules.get("zope.interface.interface")
    if interface is None:
        raise TypeError(f"{interfaceClasses[0]!r} is no interface of zope.interface")
    registry = _registry()
    required = origInterface
    if not isinstance(origInterface, interface.InterfaceClass):
        required = sys.modules["zope.interface"].implementedBy(origInterface)
    for each in interfaceClasses:
        if registry.registered([required], each) is not None:
            raise ValueError(f"an adapter ({registry.registered([required], each)!r}) was already registered.")
    for each in interfaceClasses:
        registry.register([required], each, "", adapterFactory)


_registries: list[Any] = []


def _registry() -> Any:
    """Return the registry of adapters, which zope.interface asks from its first adapter on."""
    if not _registries:
        interface = sys.modules["zope.interface.interface"]
        registry = sys.modules["zope.interface.adapter"].AdapterRegistry()
        interface.adapter_hooks.append(lambda iface, thing: registry.queryAdapter(thing, iface))
        _registries.append(registry)
    return _registries[0]


__all__ = ["Adapter", "registerAdapter"]
