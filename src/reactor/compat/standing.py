"""Classes with the arguments of Twisted's, for those of this package that take them in another order."""

from __future__ import annotations

from typing import Any

from reactor._functions import currentBase
from reactor.loops.base import ReactorBase


class Standing(type):
    """The metaclass of a class that stands for its base: an instance of the base is one of it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__bases__) if "standsIn" in vars(cls) else super().__instancecheck__(instance)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__bases__) if "standsIn" in vars(cls) else super().__subclasscheck__(subclass)


def reactorOf(reactor: Any) -> Any:
    """Return the reactor that is meant: the current one for None, and for the package's module."""
    return reactor if isinstance(reactor, ReactorBase) else currentBase()
