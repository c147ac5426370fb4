"""What programs give by mistake in the place of a factory or a protocol: told where it is given, in words that help."""

from __future__ import annotations

from typing import Any


def checkFactory(factory: Any, kind: str = "ServerFactory") -> None:
    """TypeError unless `factory` looks like a factory; `kind` is the class that the message recommends."""
    if isinstance(factory, type):
        name = factory.__name__
        if not hasattr(factory, "buildProtocol"):
            raise TypeError(f"a factory is needed, not the class {name}: give {kind}.forProtocol({name})")
        if getattr(factory.buildProtocol, "__self__", None) is None:
            raise TypeError(f"a factory is needed, not the class of one: give {name}()")
    elif not hasattr(factory, "buildProtocol"):
        if hasattr(factory, "makeConnection"):
            name = type(factory).__name__
            raise TypeError(f"a factory is needed, not a protocol, {factory!r}: give {kind}.forProtocol({name})")
        raise TypeError(f"a factory is needed, not {factory!r}, which has no buildProtocol")


def checkProtocol(protocol: Any) -> None:
    """TypeError unless `protocol` looks like an instance of a protocol."""
    if isinstance(protocol, type):
        if getattr(getattr(protocol, "makeConnection", None), "__self__", None) is None:
            raise TypeError(f"a protocol is needed, not a class: give an instance of {protocol.__name__}")
    elif not hasattr(protocol, "makeConnection"):
        what = "a factory, " if hasattr(protocol, "buildProtocol") else ""
        raise TypeError(f"a protocol is needed, not {what}{protocol!r}, which has no makeConnection")


def checkDelimiter(delimiter: Any) -> None:
    """TypeError unless `delimiter` is bytes-like."""
    if type(delimiter) is bytes:
        return
    if isinstance(delimiter, str):
        raise TypeError(f"a delimiter is bytes, not str: write b{delimiter!r}")
    try:
        memoryview(delimiter)
    except TypeError:
        raise TypeError(f"a delimiter is bytes, not {delimiter!r}") from None
