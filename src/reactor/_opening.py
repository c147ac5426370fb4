"""The package's functions that open ports, connections and children, with the current reactor. See the package."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reactor._calls import Calls, currentBase
from reactor.interfaces import NO_ENVIRONMENT

if TYPE_CHECKING:
    from reactor.interfaces import IClientFactory, IDatagramProtocol, IProcessProtocol, IProtocolFactory
    from reactor.tlsoptions import ContextFactory
    from reactor.transports.adopting import AdoptedConnection, AdoptedPort
    from reactor.transports.binding import BindAddress, Binding
    from reactor.transports.process import Process
    from reactor.transports.tcp import TCPConnector, TCPPort
    from reactor.transports.tlsports import TLSConnector
    from reactor.transports.udp import MulticastPort, UDPPort
    from reactor.transports.unix import UNIXConnector, UNIXPort
    from reactor.transports.unixdatagram import ConnectedUNIXDatagramPort, UNIXDatagramPort


class CurrentReactor(Calls):
    """The reactor that is meant when none is named. The package's functions are the methods of its one instance.

    Methods, as those of the standard library's `random` are, because a method that is bound already does not become one
    of a class that keeps it: `callLater = reactor.callLater` in a class body is how programs of Twisted let their tests
    replace the clock.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<the current reactor>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as the package, so that nothing in here has a name in pickles."""
        return import_module, ("reactor",)

    def __deepcopy__(self, memo: object) -> CurrentReactor:
        return self

    def listenTCP(
        self, port: int | Binding, factory: IProtocolFactory, backlog: int = 50, interface: str | bytes = ""
    ) -> TCPPort:
        """Listen on `port` of `interface` for `factory`. See ReactorBase.listenTCP."""
        return currentBase().listenTCP(port, factory, backlog, interface)

    def connectTCP(
        self,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = 30,
        bindAddress: BindAddress | None = None,
    ) -> TCPConnector:
        """Connect to `host` and `port`, and tell `factory` how it went. Never blocks. See ReactorBase.connectTCP."""
        return currentBase().connectTCP(host, port, factory, timeout, bindAddress)

    def listenSSL(
        self,
        port: int | Binding,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int = 50,
        interface: str | bytes = "",
    ) -> TCPPort:
        """Listen for TLS on `port` of `interface` for `factory`. See ReactorBase.listenSSL."""
        return currentBase().listenSSL(port, factory, contextFactory, backlog, interface)

    def connectSSL(
        self,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        contextFactory: ContextFactory | None,
        timeout: float | None = 30,
        bindAddress: BindAddress | None = None,
    ) -> TLSConnector:
        """Connect to `host` and `port` with TLS, and tell `factory` how it went. See ReactorBase.connectSSL."""
        return currentBase().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)

    def listenUNIX(
        self, address: Any, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o600, wantPID: bool = True
    ) -> UNIXPort:
        """Listen on the UNIX socket `address` for `factory`. See ReactorBase.listenUNIX."""
        return currentBase().listenUNIX(address, factory, backlog, mode, wantPID)

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = 30, checkPID: bool = False
    ) -> UNIXConnector:
        """Connect to the UNIX socket `address`, and tell `factory` how it went. See ReactorBase.connectUNIX."""
        return currentBase().connectUNIX(address, factory, timeout, checkPID)

    def listenUNIXDatagram(
        self,
        address: Any,
        protocol: IDatagramProtocol,
        maxPacketSize: int = 8192,
        mode: int = 0o600,
        wantPID: bool = True,
    ) -> UNIXDatagramPort:
        """Give `protocol` the datagrams for the UNIX socket `address`. See ReactorBase.listenUNIXDatagram."""
        return currentBase().listenUNIXDatagram(address, protocol, maxPacketSize, mode, wantPID)

    def connectUNIXDatagram(
        self,
        address: Any,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o600,
        bindAddress: Any = None,
        wantPID: bool = True,
    ) -> ConnectedUNIXDatagramPort:
        """Exchange datagrams with the UNIX socket `address`. See ReactorBase.connectUNIXDatagram."""
        return currentBase().connectUNIXDatagram(address, protocol, maxPacketSize, mode, bindAddress, wantPID)

    def listenUDP(
        self, port: int, protocol: IDatagramProtocol, interface: str | bytes = "", maxPacketSize: int = 8192
    ) -> UDPPort:
        """Give `protocol` the datagrams that come to UDP `port` of `interface`. See ReactorBase.listenUDP."""
        return currentBase().listenUDP(port, protocol, interface, maxPacketSize)

    def listenMulticast(
        self,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = 8192,
        listenMultiple: bool = False,
    ) -> MulticastPort:
        """As listenUDP; the port can join multicast groups. See ReactorBase.listenMulticast."""
        return currentBase().listenMulticast(port, protocol, interface, maxPacketSize, listenMultiple)

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
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

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: IDatagramProtocol, maxPacketSize: int = 8192
    ) -> UDPPort:
        """As listenUDP, on a duplicate of a bound UDP socket's descriptor. See ReactorBase.adoptDatagramPort."""
        return currentBase().adoptDatagramPort(fileDescriptor, addressFamily, protocol, maxPacketSize)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> AdoptedPort:
        """Accept for `factory` on a duplicate of a listening socket's descriptor. See ReactorBase.adoptStreamPort."""
        return currentBase().adoptStreamPort(fileDescriptor, addressFamily, factory)

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> AdoptedConnection | None:
        """Have `factory` build a protocol for a duplicate of a connected socket's descriptor; return its transport.

        See ReactorBase.adoptStreamConnection.
        """
        return currentBase().adoptStreamConnection(fileDescriptor, addressFamily, factory)


functions = CurrentReactor()

# Tracebacks, pickles and help() name the package; the class and the file that a function is in are of no interest.
for _each in (Calls, CurrentReactor):
    for _name, _function in vars(_each).items():
        if not _name.startswith("_"):
            _function.__module__ = "reactor"
            _function.__qualname__ = _name
