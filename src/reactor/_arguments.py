"""What programs give by mistake in the place of a factory, a protocol, a function or a delimiter.

They are told where they give it, in words that help.
"""

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


def checkCall(call: Any) -> None:
    """TypeError unless `call` can be called. As a rule, somebody has called it already, and gives what it returned."""
    if not callable(call):
        raise TypeError(f"{call!r} is not callable: give the function itself, and its arguments behind it")


def checkLimit(limit: Any) -> None:
    """TypeError if `limit`, of a line's length, is no number."""
    if limit is None or isinstance(limit, str | bytes):
        raise TypeError(f"MAX_LENGTH is a number of bytes, not {limit!r}")


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
