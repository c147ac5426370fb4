"""Reactors: ports, connections and children, and the methods for transports. See the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE, SOCKET_MODE
from reactor.interfaces.asking import Interface
from reactor.interfaces.loops import IReactorCore, IReactorFDSet, IReactorThreads, IReactorTime, IResolver

if TYPE_CHECKING:
    from collections import Counter

    from reactor.defer import Deferred
    from reactor.error import ConnectionDone
    from reactor.failure import Failure
    from reactor.interfaces.datagrams import IDatagramProtocol
    from reactor.interfaces.loops import IClosable, IFileDescriptor, IFlushable, IHostnameResolver
    from reactor.interfaces.protocols import (
        IClientFactory,
        IConnector,
        IProcessProtocol,
        IProtocolFactory,
    )


@runtime_checkable
class IReactorTCP(Interface, Protocol):
    """TCP ports and connections."""

    def listenTCP(
        self, port: Any, factory: IProtocolFactory, backlog: int = BACKLOG, interface: str | bytes = ""
    ) -> Any:
        """Listen on `port` (0: a free one) of `interface` ("": all of IPv4; "::": all) for `factory`."""

    def connectTCP(
        self,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: Any = None,
    ) -> IConnector:
        """Connect to `host`, a name or an address, within `timeout` seconds; return the Connector at once."""


@runtime_checkable
class IReactorSSL(Interface, Protocol):
    """TLS over TCP."""

    def listenSSL(
        self,
        port: Any,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = BACKLOG,
        interface: str | bytes = "",
    ) -> Any:
        """Listen as listenTCP does, for TLS with the contexts of `contextFactory`."""

    def connectSSL(
        self,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        contextFactory: Any,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: Any = None,
    ) -> IConnector:
        """Connect as connectTCP does, then with TLS; return the Connector at once."""


@runtime_checkable
class IReactorUNIX(Interface, Protocol):
    """Streams over UNIX sockets. An address is a path, or an abstract name, which begins with a NUL."""

    def listenUNIX(
        self,
        address: Any,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> Any:
        """Listen at `address` for `factory`; the file has `mode`. With `wantPID` it takes over a dead owner's path."""

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool = False
    ) -> IConnector:
        """Connect to `address` within `timeout` seconds; return the Connector at once."""


@runtime_checkable
class IReactorSocket(Interface, Protocol):
    """Streams on sockets that other code has opened. The descriptor is duplicated, and the caller keeps its own."""

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Accept connections for `factory` on a listening socket; return the port."""

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> Any:
        """Have `factory` build a protocol for a connected socket; return its transport."""


@runtime_checkable
class IReactorUNIXDatagram(Interface, Protocol):
    """Datagrams over UNIX sockets."""

    def listenUNIXDatagram(
        self,
        address: Any,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> Any:
        """Give `protocol` the datagrams for `address`."""

    def connectUNIXDatagram(
        self,
        address: Any,
        protocol: Any,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        bindAddress: Any = None,
        wantPID: bool = True,
    ) -> Any:
        """Exchange datagrams with `address` for `protocol`, a ConnectedDatagramProtocol."""


@runtime_checkable
class IReactorUDP(Interface, Protocol):
    """UDP ports."""

    def listenUDP(
        self, port: int, protocol: IDatagramProtocol, interface: str | bytes = "", maxPacketSize: int = MAX_PACKET_SIZE
    ) -> Any:
        """Give `protocol` the datagrams for `port` (0: a free one) of `interface` ("": all of IPv4)."""

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: IDatagramProtocol, maxPacketSize: int = MAX_PACKET_SIZE
    ) -> Any:
        """Do the same as listenUDP, on a duplicate of a bound UDP socket's descriptor."""


@runtime_checkable
class IReactorMulticast(Interface, Protocol):
    """Multicast over UDP."""

    def listenMulticast(
        self,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        listenMultiple: bool = False,
    ) -> Any:
        """Do the same as listenUDP; the port can join multicast groups."""


@runtime_checkable
class IReactorProcess(Interface, Protocol):
    """Running child processes."""

    def spawnProcess(
        self,
        processProtocol: IProcessProtocol,
        executable: Any,
        args: Any = (),
        env: Any = ...,
        path: Any = None,
        uid: int | None = None,
        gid: int | None = None,
        usePTY: Any = False,
        childFDs: Any = None,
    ) -> Any:
        """Run `executable` with `args`, in the directory `path`; return the child's IProcessTransport."""


@runtime_checkable
class IReactorPluggableNameResolver(Interface, Protocol):
    """Resolvers that give every address of a name."""

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The resolver that gives the addresses of names."""

    def installNameResolver(self, resolver: IHostnameResolver) -> Any:
        """Have `resolver` look names up from now on; return the earlier one."""


@runtime_checkable
class IStreamServerEndpointStringParser(Interface, Protocol):
    """Makes server endpoints from strings that begin with its `prefix`: see endpoints.registerEndpointParser."""

    prefix: str

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> Any:
        """Return the endpoint for the fields of the string: those without a key in order, and the others by key."""


@runtime_checkable
class IStreamClientEndpointStringParserWithReactor(Interface, Protocol):
    """Makes client endpoints from strings that begin with its `prefix`."""

    prefix: str

    def parseStreamClient(self, reactor: Any, *args: str, **kwargs: str) -> Any:
        """See parseStreamServer."""


@runtime_checkable
class IReactorPluggableResolver(Interface, Protocol):
    """A replaceable resolver of host names."""

    def installResolver(self, resolver: IResolver) -> Any:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the earlier resolver."""


@runtime_checkable
class IReactorNames(IReactorPluggableResolver, IReactorPluggableNameResolver, Protocol):
    """Look-ups of host names."""

    def resolve(self, name: str | bytes, timeout: Any = ...) -> Deferred[str]:
        """Return a Deferred of `name`'s address as text, failing with DNSLookupError. Never blocks."""

    def resolveAll(self, name: str | bytes, port: int) -> Deferred[list[tuple[int, Any]]]:
        """Return a Deferred of every (address family, socket address) of `name`, best first."""


@runtime_checkable
class IReactor(
    IReactorCore,
    IReactorTime,
    IReactorThreads,
    IReactorFDSet,
    IReactorTCP,
    IReactorSSL,
    IReactorUNIX,
    IReactorSocket,
    IReactorUNIXDatagram,
    IReactorUDP,
    IReactorMulticast,
    IReactorProcess,
    IReactorNames,
    Protocol,
):
    """Everything that a reactor offers to programs. The package `reactor` is one too."""


@runtime_checkable
class ITransportReactor(IReactor, Protocol):
    """Further methods of a reactor, for transports.

    - `overflowCount`: the connections that ended because their unsent output passed its limit.
    - `closeCounts`: the connections that this side closed for a reason, by the reason's class.
    - `skippedLineCount`: the lines that were skipped as too long, on connections that have ended.
    """

    overflowCount: int
    closeCounts: Counter[type[ConnectionDone]]
    skippedLineCount: int

    def opened(self, transport: IFileDescriptor) -> None:
        """`transport` is open: stop() will close it."""

    def closed(self, transport: IFileDescriptor) -> None:
        """`transport` has ended by itself."""

    def replaced(self, old: IFileDescriptor, new: IFileDescriptor) -> None:
        """`new` lives in the place of `old`, on the same descriptor."""

    def flushSoon(self, transport: IFlushable) -> None:
        """Call transport.flush() once before the loop sleeps, however often this is called."""

    def flushBehindRead(self, transport: IFlushable) -> None:
        """Call transport.flush(), now or together with those of other transports that have been read in this turn."""

    def closeSoon(self, file: IClosable) -> None:
        """Close `file` once no event of this batch can name its descriptor any more."""

    def isReading(self, reader: Any) -> bool:
        """Whether `reader` is one of the readers."""

    def placeholder(self) -> int:
        """Return a descriptor of the reactor's own, or -1.

        os.dup2 of it onto a descriptor ends that one now, and closeSoon then closes it.
        """

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        """Log the exception of `what` of `about`, a callback of the user.

        KeyboardInterrupt and SystemExit also stop the reactor in order.
        """
