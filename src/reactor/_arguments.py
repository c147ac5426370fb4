"""Checks of arguments: a mistake is an error where the program makes it, in words that help.

For example, a program gives a class in the place of a factory, or text in the place of a delimiter.
"""

from __future__ import annotations

import operator
import types
from typing import Any

from reactor import _overwritten as _overwritten

# The methods that a Connector calls on a client's factory.
_FOR_CLIENTS = ("startedConnecting", "clientConnectionFailed", "clientConnectionLost")


def checkFactory(factory: Any, kind: str = "ServerFactory") -> None:
    """TypeError unless `factory` looks like a factory; `kind` is the class that the message recommends."""
    if isinstance(factory, type):
        name = factory.__name__
        if not hasattr(factory, "buildProtocol"):
            raise TypeError(f"a factory is needed, not the class {name}: give {kind}.forProtocol({name})")
        if _needsInstance(factory, "buildProtocol"):
            raise TypeError(f"a factory is needed, not the class of one: give {name}()")
    elif not hasattr(factory, "buildProtocol"):
        if hasattr(factory, "makeConnection"):
            name = type(factory).__name__
            raise TypeError(f"a factory is needed, not a protocol, {factory!r}: give {kind}.forProtocol({name})")
        raise TypeError(f"a factory is needed, not {factory!r}, which has no buildProtocol")
    elif _wraps(factory, "doStart"):
        if factory.wrappedFactory is None:
            raise TypeError(f"{factory!r} has no wrappedFactory yet")
    elif _callsProtocol(factory):
        checkProtocolClass(factory.protocol, f"the `protocol` of {factory!r} is a class, or a function that returns")


def checkClientFactory(factory: Any) -> None:
    """TypeError unless `factory` has the methods of a client's factory, which a Connector calls."""
    checkFactory(factory, "ClientFactory")
    if _wraps(factory, "startedConnecting"):
        checkClientFactory(factory.wrappedFactory)
    for name in _FOR_CLIENTS:
        if not hasattr(factory, name):
            raise TypeError(
                f"a client's factory is needed, not {factory!r}, which has no {name}: give a ClientFactory, "
                "or this factory to an endpoint"
            )


def checkProtocol(protocol: Any) -> None:
    """TypeError unless `protocol` looks like an instance of a protocol."""
    if isinstance(protocol, type):
        if not hasattr(protocol, "makeConnection") or _needsInstance(protocol, "makeConnection"):
            raise TypeError(f"a protocol is needed, not a class: give an instance of {protocol.__name__}")
    elif not hasattr(protocol, "makeConnection"):
        what = "a factory, " if hasattr(protocol, "buildProtocol") else ""
        raise TypeError(f"a protocol is needed, not {what}{protocol!r}, which has no makeConnection")


def checkProtocolClass(protocol: Any, what: str = "a protocol's class is needed, or a function that returns") -> None:
    """TypeError unless `protocol` can be called, or is None. A program may replace None by a class later."""
    if protocol is not None and not callable(protocol):
        raise TypeError(f"{what} a protocol, not {protocol!r}")


def staticAttribute(kind: type, name: str) -> Any:
    """Return the attribute `name` of the class `kind` as its class statement has it; None if there is none."""
    return next((vars(base)[name] for base in kind.__mro__ if name in vars(base)), None)


def _needsInstance(kind: type, name: str) -> bool:
    """Whether the method `name` of the class `kind` cannot be called on the class itself."""
    return isinstance(staticAttribute(kind, name), types.FunctionType)


def _callsProtocol(factory: Any) -> bool:
    """Whether `factory` builds by our Factory's own method, which calls the factory's `protocol`."""
    build = getattr(type(factory), "buildProtocol", None)
    return getattr(build, "__module__", None) == "reactor.protocol.factories" and not _hasOwn(factory, "buildProtocol")


def _wraps(factory: Any, name: str) -> bool:
    """Whether `factory` passes `name` on to its `wrappedFactory` by the method of our WrappingFactory."""
    method = getattr(type(factory), name, None)
    return (
        getattr(method, "__module__", None) == "reactor.policies.wrapping"
        and _hasOwn(factory, "wrappedFactory")
        and not _hasOwn(factory, name)
    )


def _hasOwn(thing: Any, name: str) -> bool:
    return name in getattr(thing, "__dict__", ())


def connected(protocol: Any, call: str) -> Any:
    """Return the transport of `protocol`. AttributeError, in words, if there is none yet; `call` is what needs it.

    It is the error of Twisted's protocols, which ask None for the transport's method.
    """
    transport = protocol.transport
    if transport is None:
        kind = type(protocol).__name__
        text = f"this {kind} has no transport yet, which {call}() needs: makeConnection() gives it one"
        raise AttributeError(text, name="transport", obj=protocol)
    return transport


def checkConnected(protocol: Any, call: str, error: AttributeError) -> None:
    """The same, when `call` has raised `error`: a look beforehand would cost something for each line that is sent."""
    try:
        connected(protocol, call)
    except AttributeError as clear:
        raise clear from error


def checkCall(call: Any) -> None:
    """TypeError unless `call` can be called. Often a program has called it already, and gives the result."""
    if not callable(call):
        raise TypeError(f"{call!r} is not callable: give the function itself, and its arguments behind it")


def checkSeconds(seconds: Any, what: str) -> None:
    """TypeError, with the name `what`, if `seconds` cannot be compared with a number."""
    try:
        seconds < 0  # noqa: B015  # whether it can be asked is all that counts
    except TypeError:
        raise TypeError(f"{what} is a number of seconds, not {seconds!r}") from None


def checkLimit(limit: Any, name: str = "MAX_LENGTH") -> None:
    """TypeError, with the name `name`, if the `limit` of a length cannot be compared with a number."""
    try:
        limit < 0  # noqa: B015  # whether it can be asked is all that counts
    except TypeError:
        raise TypeError(f"{name} is a number of bytes, not {limit!r}") from None


def checkDelimiter(delimiter: Any, what: str = "a delimiter") -> None:
    """TypeError unless `delimiter` is bytes-like."""
    if type(delimiter) is bytes:
        return
    if isinstance(delimiter, str):
        raise TypeError(f"{what} is bytes, not str: write b{delimiter!r}")
    try:
        memoryview(delimiter).release()
    except TypeError:
        raise TypeError(f"{what} is bytes, not {delimiter!r}") from None


def checkHas(thing: Any, name: str, what: str) -> None:
    """TypeError unless `thing` has the method `name`; `what` says what is needed, for example "a producer"."""
    if isinstance(thing, type):
        if _needsInstance(thing, name) if hasattr(thing, name) else True:
            raise TypeError(f"{what} is needed, not the class {thing.__name__}")
    elif not hasattr(thing, name):
        raise TypeError(f"{what} is needed, not {thing!r}, which has no {name}")


def checkProducer(producer: Any) -> None:
    """TypeError if `producer` has none of a producer's methods. The connection decides which of them it calls."""
    if not any(hasattr(producer, name) for name in ("resumeProducing", "pauseProducing", "stopProducing")):
        raise TypeError(f"a producer is needed, not {producer!r}, which has no resumeProducing")


def checkCount(count: Any, what: str) -> None:
    """TypeError, with the name `what`, unless `count` is a whole number."""
    try:
        operator.index(count)
    except TypeError:
        raise TypeError(f"{what} is a whole number, not {count!r}") from None


def checkNames(names: Any) -> None:
    """TypeError for one ALPN name in the place of several, because each letter would count as a name."""
    if isinstance(names, str | bytes):
        raise TypeError(f"acceptableProtocols are a list of names, not {names!r}: give [{names!r}]")
