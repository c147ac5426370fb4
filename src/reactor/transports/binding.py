"""Local addresses of TCP sockets, and whether other sockets may share them: the results of makeBinding."""

from __future__ import annotations

import errno
import os
import socket
from typing import NamedTuple, TypeAlias

from reactor.address import checkPort, hostText


class Binding(NamedTuple):
    """A local address for listenTCP and connectTCP, with the options of its socket. makeBinding makes it."""

    interface: str = ""
    port: int = 0
    reuseAddress: bool = False
    reusePort: bool = False

    def setOptions(self, sock: socket.socket) -> None:
        """Set the options, before `sock` is bound. OSError if the system has no SO_REUSEPORT."""
        if self.reuseAddress and os.name == "posix":  # on other systems it lets any program take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.reusePort:
            if not hasattr(socket, "SO_REUSEPORT"):
                raise OSError(errno.ENOPROTOOPT, "this system has no SO_REUSEPORT")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


BindAddress: TypeAlias = Binding | str | bytes | tuple[str | bytes, int]


def makeBinding(
    interface: str | bytes = "", port: int = 0, reuseAddress: bool = False, reusePort: bool = False
) -> Binding:
    """Return a binding, for listenTCP as its `port`, and for connectTCP as its `bindAddress`.

    `reuseAddress` is SO_REUSEADDR, which listenTCP sets by itself for a port number. With `reusePort` (SO_REUSEPORT,
    socket(7)) several sockets of one user can listen on one port, and the kernel spreads the connections over them.
    TypeError and ValueError for a host or port that is none.
    """
    return Binding(hostText(interface), checkPort(port), bool(reuseAddress), bool(reusePort))


def listeningBinding(port: int | Binding, interface: str | bytes = "") -> Binding:
    """Return the binding for the arguments of listenTCP. ValueError if `interface` is not the binding's own."""
    if not isinstance(port, Binding):
        return makeBinding(interface, port, reuseAddress=True)
    if interface and hostText(interface) != port.interface:
        raise ValueError(f"the binding is for interface {port.interface!r}, not {interface!r}")
    return port


def clientBinding(bindAddress: BindAddress | None) -> Binding | None:
    """Return the binding for the `bindAddress` of connectTCP; a host alone gets any port."""
    if bindAddress is None or isinstance(bindAddress, Binding):
        return bindAddress
    if isinstance(bindAddress, (str, bytes)):
        return makeBinding(bindAddress)
    try:
        host, port = bindAddress
    except (TypeError, ValueError) as error:
        what = f"cannot unpack {bindAddress!r}: a bindAddress is (host, port), a host or a binding"
        raise type(error)(what) from None
    # A wrong port is an error of the attempt, so the factory gets it.
    return Binding(hostText(host or ""), port)
