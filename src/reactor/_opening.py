"""The package's functions that open ports, connections and children, with the current reactor. See the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reactor._calls import currentBase
from reactor.interfaces import NO_ENVIRONMENT

if TYPE_CHECKING:
    from reactor.tlsoptions import ContextFactory
    from reactor.transports.adopting import AdoptedConnection, AdoptedPort
    from reactor.transports.process import Process
    from reactor.transports.tcp import TCPConnector, TCPPort
    from reactor.transports.tlsports import TLSConnector
    from reactor.transports.udp import MulticastPort, UDPPort
    from reactor.transports.unix import UNIXConnector, UNIXPort
    from reactor.transports.unixdatagram import ConnectedUNIXDatagramPort, UNIXDatagramPort


def listenTCP(port: int, factory: Any, backlog: int = 50, interface: str = "") -> TCPPort:
    """Listen on `port` of `interface` for `factory`. See ReactorBase.listenTCP."""
    return currentBase().listenTCP(port, factory, backlog, interface)


def connectTCP(
    host: str, port: int | str, factory: Any, timeout: float | None = 30, bindAddress: tuple[str, int] | None = None
) -> TCPConnector:
    """Connect to `host` and `port`, and tell `factory` how it went. Never blocks. See ReactorBase.connectTCP."""
    return currentBase().connectTCP(host, port, factory, timeout, bindAddress)


def listenSSL(
    port: int, factory: Any, contextFactory: ContextFactory, backlog: int = 50, interface: str = ""
) -> TCPPort:
    """Listen for TLS on `port` of `interface` for `factory`. See ReactorBase.listenSSL."""
    return currentBase().listenSSL(port, factory, contextFactory, backlog, interface)


def connectSSL(
    host: str,
    port: int | str,
    factory: Any,
    contextFactory: ContextFactory | None,
    timeout: float | None = 30,
    bindAddress: tuple[str, int] | None = None,
) -> TLSConnector:
    """Connect to `host` and `port` with TLS, and tell `factory` how it went. See ReactorBase.connectSSL."""
    return currentBase().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)


def listenUNIX(address: Any, factory: Any, backlog: int = 50, mode: int = 0o600, wantPID: bool = True) -> UNIXPort:
    """Listen on the UNIX socket `address` for `factory`. See ReactorBase.listenUNIX."""
    return currentBase().listenUNIX(address, factory, backlog, mode, wantPID)


def connectUNIX(address: Any, factory: Any, timeout: float | None = 30, checkPID: bool = False) -> UNIXConnector:
    """Connect to the UNIX socket `address`, and tell `factory` how it went. See ReactorBase.connectUNIX."""
    return currentBase().connectUNIX(address, factory, timeout, checkPID)


def listenUNIXDatagram(
    address: Any, protocol: Any, maxPacketSize: int = 8192, mode: int = 0o600, wantPID: bool = True
) -> UNIXDatagramPort:
    """Give `protocol` the datagrams for the UNIX socket `address`. See ReactorBase.listenUNIXDatagram."""
    return currentBase().listenUNIXDatagram(address, protocol, maxPacketSize, mode, wantPID)


def connectUNIXDatagram(
    address: Any,
    protocol: Any,
    maxPacketSize: int = 8192,
    mode: int = 0o600,
    bindAddress: Any = None,
    wantPID: bool = True,
) -> ConnectedUNIXDatagramPort:
    """Exchange datagrams with the UNIX socket `address`. See ReactorBase.connectUNIXDatagram."""
    return currentBase().connectUNIXDatagram(address, protocol, maxPacketSize, mode, bindAddress, wantPID)


def listenUDP(port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> UDPPort:
    """Give `protocol` the datagrams that come to UDP `port` of `interface`. See ReactorBase.listenUDP."""
    return currentBase().listenUDP(port, protocol, interface, maxPacketSize)


def listenMulticast(
    port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192, listenMultiple: bool = False
) -> MulticastPort:
    """As listenUDP; the port can join multicast groups. See ReactorBase.listenMulticast."""
    return currentBase().listenMulticast(port, protocol, interface, maxPacketSize, listenMultiple)


def spawnProcess(
    processProtocol: Any,
    executable: Any,
    args: Any = (),
    env: Any = NO_ENVIRONMENT,
    path: Any = None,
    uid: int | None = None,
    gid: int | None = None,
    usePTY: Any = False,
    childFDs: Any = None,
) -> Process:
    """Run `executable` with `args` as a child process for `processProtocol`. See ReactorBase.spawnProcess."""
    return currentBase().spawnProcess(processProtocol, executable, args, env, path, uid, gid, usePTY, childFDs)


def adoptDatagramPort(fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192) -> UDPPort:
    """As listenUDP, on a duplicate of a descriptor that is a bound UDP socket. See ReactorBase.adoptDatagramPort."""
    return currentBase().adoptDatagramPort(fileDescriptor, addressFamily, protocol, maxPacketSize)


def adoptStreamPort(fileDescriptor: int, addressFamily: int, factory: Any) -> AdoptedPort:
    """Accept for `factory` on a duplicate of a listening socket's descriptor. See ReactorBase.adoptStreamPort."""
    return currentBase().adoptStreamPort(fileDescriptor, addressFamily, factory)


def adoptStreamConnection(fileDescriptor: int, addressFamily: int, factory: Any) -> AdoptedConnection | None:
    """Have `factory` build a protocol for a duplicate of a connected socket's descriptor; return its transport.

    See ReactorBase.adoptStreamConnection.
    """
    return currentBase().adoptStreamConnection(fileDescriptor, addressFamily, factory)
