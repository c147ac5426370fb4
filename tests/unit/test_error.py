"""The exceptions beside Twisted's: names, bases, texts and attributes."""

from __future__ import annotations

import errno
import inspect
import socket
from typing import Any

import pytest
import twisted.internet.error as theirs

from reactor import error as ours
from reactor.address import IPv4Address

SHARED = sorted(
    name
    for name, value in vars(ours).items()
    if inspect.isclass(value) and issubclass(value, Exception) and not name.startswith("_") and hasattr(theirs, name)
)
# Theirs are the only ones of their kind to have a base class of their own.
OWN_ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "CannotListenError": ("127.0.0.1", 80, "in use"),
    "ProcessDone": (0,),
    "InvalidAddressError": ("x", "not an address"),
    "ConnectingCancelledError": (IPv4Address("TCP", "127.0.0.1", 80),),
}


def both(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    return getattr(ours, name)(*args, **kwargs), getattr(theirs, name)(*args, **kwargs)


def test_thereAreMany() -> None:
    assert len(SHARED) > 40


@pytest.mark.parametrize("name", SHARED)
def test_bases(name: str) -> None:
    """Where Twisted's is a kind of another error, ours is a kind of ours, and of the same built-in exceptions."""
    own, their = getattr(ours, name), getattr(theirs, name)
    for other in SHARED:
        assert issubclass(own, getattr(ours, other)) == issubclass(their, getattr(theirs, other)), other
    for builtin in (OSError, ValueError, RuntimeError, AssertionError, LookupError):
        assert issubclass(own, builtin) == issubclass(their, builtin), builtin


# These texts are our own words, or tell more.
OTHER_TEXTS = {"CannotListenError", "ConnectingCancelledError", "InvalidAddressError", "ProcessTerminated"}
PLAIN = {name for name in SHARED if not issubclass(getattr(ours, name), (ours.ConnectError, ours._Described))}


@pytest.mark.parametrize("name", sorted(set(SHARED) - OTHER_TEXTS - PLAIN - set(OWN_ARGUMENTS)))
@pytest.mark.parametrize("args", [(), ("why",), ("why", "not"), (errno.EPERM, "no")])
def test_textsHaveTheirShape(name: str, args: tuple[Any, ...]) -> None:
    """One sentence: what happened, and after a colon what it was made with."""
    text = str(getattr(ours, name)(*args))
    assert text.endswith(".")
    assert (":" in text) == bool(args)
    for arg in args:
        assert str(arg) in text


@pytest.mark.parametrize("name", ["ConnectionDone", "ConnectionLost", "ConnectionRefusedError", "TimeoutError"])
def test_theUsualTextsAreTwisteds(name: str) -> None:
    own, their = both(name)
    assert str(own) == str(their)


@pytest.mark.parametrize(
    "given",
    [
        OSError(errno.ENETUNREACH, "net"),
        OSError(errno.ECONNREFUSED, "refused"),
        OSError(errno.ETIMEDOUT, "late"),
        OSError(errno.EPERM, "no"),
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        (errno.ECONNREFUSED, "refused"),
        ("text", "more"),
        OSError("only text"),
        ValueError(),
        Exception(1, 2, 3),
    ],
    ids=repr,
)
def test_getConnectError(given: Any) -> None:
    own, their = ours.getConnectError(given), theirs.getConnectError(given)
    assert type(own).__name__ == type(their).__name__
    assert str(own.osError) == str(their.osError)
    assert isinstance(own, ours.ConnectError)


def test_cannotListenError() -> None:
    cause = OSError(errno.EADDRINUSE, "Address already in use")
    own, their = both("CannotListenError", "127.0.0.1", 80, cause)
    assert (own.interface, own.port, own.socketError) == (their.interface, their.port, their.socketError)
    assert str(own) == str(their)
    assert str(ours.CannotListenError("", 80, cause)) == str(theirs.CannotListenError("", 80, cause))


def test_connectError() -> None:
    for args in ((), (5,), (5, "text"), (None, "text")):
        own, their = both("ConnectError", *args)
        assert own.osError == their.osError
        assert str(own) == str(their)


def test_processErrors() -> None:
    own, their = both("ProcessDone", 0)
    assert (own.exitCode, own.signal, own.status) == (their.exitCode, their.signal, their.status)
    assert str(own) == str(their)
    for kwargs in ({"exitCode": 3, "status": 768}, {"signal": 9}, {}):
        own, their = both("ProcessTerminated", **kwargs)
        assert (own.exitCode, own.signal, own.status) == (their.exitCode, their.signal, their.status)
        assert str(own) == str(their)


def test_attributes() -> None:
    address = IPv4Address("TCP", "127.0.0.1", 80)
    assert ours.ConnectingCancelledError(address).address is address
    invalid = ours.InvalidAddressError("x", "not an address")
    assert (invalid.address, invalid.message) == ("x", "not an address")


def test_ourOwn() -> None:
    assert issubclass(ours.OutputLimitExceeded, ours.ConnectionLost)
    assert not hasattr(theirs, "OutputLimitExceeded")
