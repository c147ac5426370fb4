"""The addresses of connections, as in `twisted.internet.address`.

Addresses are compared by their fields. Like Twisted's, they are not frozen, and a program may add attributes of its
own. A program should not change an address that is the key of a dict.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

from reactor._later import later
from reactor.interfaces.asking import conform, implementer
from reactor.interfaces.streams import IAddress

if TYPE_CHECKING:
    from encodings import idna
else:
    idna = later("encodings.idna", globals(), withReactor=True)

SocketType: TypeAlias = Literal["TCP", "UDP"]

_new = object.__new__
_INET6 = int(socket.AF_INET6)
LONGEST_NAME = 253  # characters, without the final dot (RFC 1035, 3.1)


def _checkType(kind: str) -> None:
    if kind not in ("TCP", "UDP"):
        raise ValueError(f"the type of an address is 'TCP' or 'UDP', not {kind!r}")


@implementer(IAddress)
class _Address:
    """Room for attributes of the program's own. An address without such attributes costs one pointer more."""

    __conform__ = conform

    __slots__ = ("__dict__", "__weakref__")
    __match_args__: ClassVar[tuple[str, ...]]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash(self._fields())

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__qualname__}({values})"

    def _fields(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self.__match_args__])

    def __replace__(self, /, **changes: Any) -> Self:
        """For copy.replace, which Python 3.13 has: a new address with other values."""
        return type(self)(**{name: getattr(self, name) for name in self.__match_args__} | changes)

    def __copy__(self) -> Self:
        copied = _new(type(self))
        copied.__setstate__(self.__getstate__())
        return copied

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__} | self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


class IPv4Address(_Address):
    """An IPv4 socket's address: `type` is "TCP" or "UDP", `host` a dotted quad, `port` 0 to 65535."""

    __slots__ = __match_args__ = ("type", "host", "port")

    def __init__(self, type: SocketType, host: str, port: int) -> None:
        _checkType(type)
        self.type = type
        self.host = host
        self.port = port


class IPv6Address(_Address):
    """An IPv6 socket's address (RFC 3493): like IPv4Address, with a colon-separated `host`, flow label and scope."""

    __slots__ = __match_args__ = ("type", "host", "port", "flowInfo", "scopeID")

    def __init__(self, type: SocketType, host: str, port: int, flowInfo: int = 0, scopeID: int | str = 0) -> None:
        _checkType(type)
        self.type = type
        self.host = host
        self.port = port
        self.flowInfo = flowInfo
        self.scopeID = scopeID


class HostnameAddress(_Address):
    """A host name, not yet resolved: `hostname` is bytes, `port` 0 to 65535."""

    __slots__ = __match_args__ = ("hostname", "port")

    def __init__(self, hostname: bytes, port: int) -> None:
        self.hostname = hostname
        self.port = port


class UNIXAddress(_Address):
    """A UNIX socket's address.

    `name` is a path in the file system's encoding, an abstract name (it starts with a NUL byte), or None for an unnamed
    socket. Two addresses are equal if their names are, or if both paths lead to the same file.
    """

    __slots__ = __match_args__ = ("name",)

    def __init__(self, name: str | bytes | os.PathLike[str] | None) -> None:
        self.name = None if name is None else os.fsencode(name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UNIXAddress):
            return NotImplemented
        if self.name == other.name:
            return True
        mine = self._identity()
        return isinstance(mine, tuple) and mine == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"UNIXAddress({None if self.name is None else os.fsdecode(self.name)!r})"

    def _identity(self) -> object:
        """The file behind the path, which decides equality; else the name itself."""
        if not self.name or self.name.startswith(b"\0"):
            return self.name
        try:
            status = os.stat(self.name)
        except OSError:
            return self.name
        return (status.st_dev, status.st_ino)


Address: TypeAlias = IPv4Address | IPv6Address | UNIXAddress | HostnameAddress


def hostText(host: str | bytes) -> str:
    """Return `host`, a name or a literal address, as text. TypeError unless it is str or bytes.

    Bytes that are not ASCII become text that is no host name. Its look-up fails, as for any wrong name.
    """
    if isinstance(host, str):
        return host
    if isinstance(host, bytes):
        return host.decode("ascii", "backslashreplace")
    raise TypeError(f"a host is a str or bytes, not {host!r}")


def isIPAddress(addr: str | bytes, family: int = socket.AF_INET) -> bool:
    """Whether `addr` is a literal address of `family`.

    For AF_INET this is a full dotted quad. For AF_INET6 it may have a scope.
    """
    addr = hostText(addr)
    if family == socket.AF_INET6:
        addr, _, scope = addr.partition("%")
        if not addr or "%" in scope:
            return False
    elif family != socket.AF_INET:
        raise ValueError(f"unknown address family {family!r}")
    if "\0" in addr:  # PyPy's inet_pton reads to there
        return False
    try:
        socket.inet_pton(family, addr)
    except (OSError, ValueError):
        return False
    return True


def isIPv6Address(addr: str | bytes) -> bool:
    """Whether `addr` is a literal IPv6 address, with or without a scope."""
    return isIPAddress(addr, socket.AF_INET6)


def encodeHostname(name: str) -> bytes:
    """Return the host name `name` as name servers know it (IDNA, RFC 3490). ValueError says why it is none.

    Some texts are addresses for the C library alone, and no names: "127.1", "0x7f.1", digits of other scripts. A text
    with a NUL is no name either, as the C library would cut it there.
    """
    _checkLength(name)  # check this first, because the conversion to ASCII is slow
    encoded, _ = idna.Codec().encode(name)
    text = encoded.decode("ascii")
    _checkLength(text)
    if "\0" in text or "\\" in text:
        raise ValueError("a host name has no NUL, no backslash, and as bytes nothing but ASCII")
    if _isAddressInC(text) or isIPAddress(text) or isIPv6Address(text):
        raise ValueError("an address is written with four decimal numbers, or with colons")
    return encoded


def destinationOf(host: str, port: int) -> HostnameAddress:
    """Return the address object for the name `host`, even if it is no name; the look-up will say so."""
    try:
        return HostnameAddress(encodeHostname(host), port)
    except ValueError:
        return HostnameAddress(host.encode("utf-8", "replace"), port)


def scopedHost(name: tuple[Any, ...]) -> str:
    """Return the host of an AF_INET or AF_INET6 socket name, with "%" and the interface's name if it has a scope."""
    host: str = name[0]
    if len(name) < 4 or not name[3] or "%" in host:
        return host
    try:
        return f"{host}%{socket.if_indextoname(name[3])}"
    except OSError:  # the interface no longer exists
        return f"{host}%{name[3]}"


def withoutScope(host: str) -> str:
    """Return `host`, a name or a literal address, without its scope, as in certificates."""
    return host.partition("%")[0] if isIPv6Address(host) else host


def ipv6Name(host: str, port: int) -> tuple[str, int, int, int]:
    """Return the socket name of a literal IPv6 address. OSError if there is no interface of its scope's name.

    Python takes the scope from the last number of the tuple alone, whatever the text of the address says.
    """
    host, _, scope = host.partition("%")
    return host, port, 0, int(scope) if scope.isdecimal() else socket.if_nametoindex(scope) if scope else 0


def _checkLength(name: str) -> None:
    if not 0 < len(name.removesuffix(".")) <= LONGEST_NAME:
        raise ValueError(f"a host name has 1 to {LONGEST_NAME} characters, this one {len(name)}")


def _isAddressInC(text: str) -> bool:
    try:
        socket.inet_aton(text)
    except OSError:
        return False
    return True


def socketName(host: str, port: int) -> Any:
    """Return the socket name of a literal address, with an IPv6 scope. OSError if it is no address."""
    if isIPAddress(host):
        return (host, port)
    if isIPv6Address(host):
        return ipv6Name(host, port)
    raise OSError(errno.EINVAL, f"{host!r} is not known as a literal address")


def fromSocketName(family: int, name: Any, kind: SocketType = "TCP") -> IPv4Address | IPv6Address:
    """Return the address object for the socket module's name of an AF_INET or AF_INET6 socket.

    The `host` of an IPv6 address has its scope (RFC 4007, 11), so a program can connect to it.
    """
    if family == _INET6:
        return IPv6Address(kind, scopedHost(name), *name[1:])
    # A server makes one for each connection. __init__ with its check would take twice as long.
    address = _new(IPv4Address)
    address.type, address.host, address.port = kind, name[0], name[1]
    return address


def checkPort(port: int) -> int:
    """Return `port`. ValueError unless it is a number from 0 to 65535."""
    if not isinstance(port, int) or not 0 <= port <= 65535:
        raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")
    return port
