"""Reactors: opening ports, connections and children; all of it, and what transports ask for. See the package."""

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
    """TCP."""

    def listenTCP(
        self, port: Any, factory: IProtocolFactory, backlog: int = BACKLOG, interface: str | bytes = ""
    ) -> Any:
        """Listen on `port` (0: one that is free) of `interface` ("": all IPv4 ones; "::": all) for `factory`."""

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
        """Listen at `address` for `factory`; the file has `mode`. With `wantPID` a dead owner's path is taken over."""

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool = False
    ) -> IConnector:
        """Connect to `address` within `timeout` seconds; return the Connector at once."""


@runtime_checkable
class IReactorSocket(Interface, Protocol):
    """Streams on sockets that somebody else has opened. The descriptor is duplicated and stays the caller's."""

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
        """Give `protocol` the datagrams that are sent to `address`."""

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
    """UDP."""

    def listenUDP(
        self, port: int, protocol: IDatagramProtocol, interface: str | bytes = "", maxPacketSize: int = MAX_PACKET_SIZE
    ) -> Any:
        """Give `protocol` the datagrams that come to `port` (0: a free one) of `interface` ("": all IPv4 ones)."""

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: IDatagramProtocol, maxPacketSize: int = MAX_PACKET_SIZE
    ) -> Any:
        """As listenUDP, on a duplicate of a descriptor that is a bound UDP socket."""


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
        """As listenUDP; the port can join multicast groups."""


@runtime_checkable
class IReactorProcess(Interface, Protocol):
    """Child processes."""

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
    """Resolvers that tell of every address of a name."""

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The resolver that gives the addresses of names."""

    def installNameResolver(self, resolver: IHostnameResolver) -> Any:
        """Have `resolver` asked from now on; return the one from before."""


@runtime_checkable
class IStreamServerEndpointStringParser(Interface, Protocol):
    """Makes server endpoints of strings that begin with its `prefix`: see endpoints.registerEndpointParser."""

    prefix: str

    def parseStreamServer(self, reactor: Any, *args: str, **kwargs: str) -> Any:
        """Return the endpoint for the fields of the string: those without a key in order, and the others by key."""


@runtime_checkable
class IStreamClientEndpointStringParserWithReactor(Interface, Protocol):
    """The same for client endpoints."""

    prefix: str

    def parseStreamClient(self, reactor: Any, *args: str, **kwargs: str) -> Any:
        """See parseStreamServer."""


@runtime_checkable
class IReactorPluggableResolver(Interface, Protocol):
    """Host names, by somebody else."""

    def installResolver(self, resolver: IResolver) -> Any:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the resolver from before."""


@runtime_checkable
class IReactorNames(IReactorPluggableResolver, IReactorPluggableNameResolver, Protocol):
    """Host names."""

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
    """What transports ask of their reactor besides.

    `overflowCount`: how many were ended because more than their limit was unsent. `closeCounts`: how many were closed
    from here for each reason, by its class. `skippedLineCount`: how many lines were too long, and skipped, on
    connections that have ended.
    """

    overflowCount: int
    closeCounts: Counter[type[ConnectionDone]]
    skippedLineCount: int

    def opened(self, transport: IFileDescriptor) -> None:
        """`transport` lives: stop() will close it."""

    def closed(self, transport: IFileDescriptor) -> None:
        """`transport` has ended by itself."""

    def replaced(self, old: IFileDescriptor, new: IFileDescriptor) -> None:
        """`new` lives in the place of `old`, on the same descriptor."""

    def flushSoon(self, transport: IFlushable) -> None:
        """Call transport.flush() once before the loop sleeps, however often it is asked for."""

    def closeSoon(self, file: IClosable) -> None:
        """Close `file` once no event of this batch can name its descriptor any more."""

    def isReading(self, reader: Any) -> bool:
        """Whether `reader` is watched for reading."""

    def placeholder(self) -> int:
        """Return a descriptor of the reactor's own, for os.dup2 onto one that is to end now and be closed with
        closeSoon; -1 if there is none.
        """

    def reportFailure(self, failure: Failure, what: str, about: object = None) -> None:
        """Log what `what` of `about`, a callback of the user, raised. KeyboardInterrupt and SystemExit also stop the
        reactor in order.
        """
