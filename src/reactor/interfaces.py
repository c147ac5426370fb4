"""The contracts between the rooms of the house, as ``typing.Protocol`` classes.

Nothing registers with them: an object that has the methods satisfies the contract, for type checkers and at run time.
Names are those of ``twisted.internet.interfaces``. Unless a docstring says otherwise, every method is for the thread
that runs the reactor, and may be called from inside any callback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import ssl

    from reactor.address import Address
    from reactor.defer import Deferred
    from reactor.failure import Failure

BytesLike: TypeAlias = bytes | bytearray | memoryview

# What the system's calls take as paths and arguments, and the environment of a program.
Text: TypeAlias = str | bytes
Environment: TypeAlias = Mapping[str, str] | Mapping[bytes, bytes]
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


class IProducer(Protocol):
    """Somebody who writes to a consumer."""

    def stopProducing(self) -> None:
        """The consumer has gone: write no more. Called at most once."""


class IPullProducer(IProducer, Protocol):
    """A producer that writes only when asked."""

    def resumeProducing(self) -> None:
        """Write one more piece. Called once at registration, then each time everything written has been sent."""


class IPushProducer(IPullProducer, Protocol):
    """A producer that writes as it likes until it is paused."""

    def pauseProducing(self) -> None:
        """Write no more until resumeProducing. Called when more than the high-water mark waits to be sent."""


class IConsumer(Protocol):
    """Somebody to whom a producer writes."""

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Attach `producer`, an IPushProducer if `streaming`, else an IPullProducer. RuntimeError if there is one."""

    def unregisterProducer(self) -> None:
        """Detach the producer; it has written its last."""

    def write(self, data: BytesLike) -> None:
        """Take `data`, bytes to be sent in order."""


class ITransport(Protocol):
    """The way out to the peer, as every protocol meets it."""

    def write(self, data: BytesLike) -> None:
        """Send `data` in order, after everything written before. Never blocks; dropped once the connection is lost."""

    def writeSequence(self, iovec: Iterable[BytesLike]) -> None:
        """Send the pieces of `iovec` in order, as one write."""

    def loseConnection(self) -> None:
        """Read no more, send what was written, then close."""

    def getPeer(self) -> Any:
        """Return the address of the other side."""

    def getHost(self) -> Any:
        """Return the address of this side."""


class IStreamTransport(ITransport, IConsumer, Protocol):
    """What every connection of this package offers, whatever its socket's family."""

    connected: bool
    disconnected: bool
    disconnecting: bool

    def abortConnection(self) -> None:
        """Close at once and drop what was not sent; connectionLost(ConnectionAborted) follows on the next turn."""

    def loseWriteConnection(self) -> None:
        """Send what was written, then end our half of the stream; the peer can go on."""

    def pauseProducing(self) -> None:
        """Read nothing until resumeProducing: no dataReceived, and the peer is held up by the kernel."""

    def resumeProducing(self) -> None:
        """Read again."""

    def stopProducing(self) -> None:
        """loseConnection(), in the words of a producer."""


class ITCPTransport(IStreamTransport, Protocol):
    """A TCP connection."""

    def getTcpNoDelay(self) -> bool:
        """Whether TCP_NODELAY is set."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set or clear TCP_NODELAY."""

    def getTcpKeepAlive(self) -> bool:
        """Whether SO_KEEPALIVE is set."""

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set or clear SO_KEEPALIVE."""


class ITLSTransport(IStreamTransport, Protocol):
    """A connection that can go on with TLS."""

    def startTLS(self, contextFactory: Any = None, normal: bool = True, hostname: str | None = None) -> None:
        """Go on with TLS. `protocol.transport` is another object from now on, an ISSLTransport."""


class ISSLTransport(IStreamTransport, Protocol):
    """A TLS connection."""

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN has agreed on, None if nothing."""

    def getPeerCertificate(self, parsed: bool = False) -> Any:
        """Return the peer's certificate: None, or DER bytes, or, `parsed`, a dict as ssl has it."""


class ILowerTransport(IStreamTransport, Protocol):
    """What TLS asks of the transport that carries it."""

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""

    def setOutputLimits(self, highWater: int, outputLimit: int) -> None:
        """Bound what waits: pause the producer, and end the connection, above so many bytes."""

    def flush(self) -> None:
        """Send what the peer takes of them."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


class IContextFactory(Protocol):
    """Somebody who knows the ssl.SSLContext for a new TLS connection."""

    def getContext(self) -> ssl.SSLContext:
        """Return the context. Called for each connection, in the reactor's thread."""


class IUNIXTransport(IStreamTransport, Protocol):
    """A connection over a UNIX socket."""

    def getPeerCredentials(self) -> tuple[int, int, int]:
        """Return the process, user and group of the other side, as the kernel noted them."""


class IDatagramPort(Protocol):
    """What every port for datagrams offers. The counts are of datagrams."""

    oversizedCount: int
    unsentCount: int

    def getHost(self) -> Any:
        """Return the address of this side."""

    def stopListening(self) -> Deferred[None] | None:
        """Close the socket. The Deferred fires with None when it is closed; None if it was already."""

    def getDroppedCount(self) -> int:
        """Return how many datagrams the kernel has dropped because its receive buffer was full."""

    def getReceiveBufferSize(self) -> int:
        """Return how many bytes the kernel keeps until they are read."""

    def setReceiveBufferSize(self, size: int) -> int:
        """Ask for `size` bytes; return what was granted."""


class IUDPTransport(IDatagramPort, Protocol):
    """A UDP port."""

    def write(self, datagram: BytesLike, addr: tuple[str, int] | None = None) -> None:
        """Send `datagram` to `addr`, (literal address, port); a connected port needs none."""

    def connect(self, host: str, port: int) -> None:
        """Exchange datagrams with this peer only."""

    def setBroadcastAllowed(self, enabled: bool) -> None:
        """Allow or forbid sending to broadcast addresses."""

    def getBroadcastAllowed(self) -> bool:
        """Whether that is allowed."""


class IMulticastTransport(IUDPTransport, Protocol):
    """A UDP port with the options of multicast."""

    def joinGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Receive what is sent to group `addr`; the Deferred may fail with MulticastJoinError."""

    def leaveGroup(self, addr: str, interface: str = "") -> Deferred[None]:
        """Undo joinGroup."""

    def getTTL(self) -> int:
        """Return how many routers a datagram to a group may pass, plus one."""

    def setTTL(self, ttl: int) -> None:
        """Set that number, 0 to 255."""

    def getLoopbackMode(self) -> bool:
        """Whether this machine receives what the port sends to groups."""

    def setLoopbackMode(self, mode: bool | int) -> None:
        """Set or clear that."""

    def getOutgoingInterface(self) -> str | int:
        """Return from where datagrams to groups leave: an IPv4 address, or an interface's index for IPv6."""

    def setOutgoingInterface(self, addr: str | int) -> Deferred[int]:
        """Set that; the Deferred has 1."""


class IUNIXDatagramTransport(IDatagramPort, Protocol):
    """A UNIX datagram port."""

    def write(self, datagram: BytesLike, address: Any) -> None:
        """Send `datagram` to `address`, a path or abstract name."""


class IUNIXDatagramConnectedTransport(IDatagramPort, Protocol):
    """A UNIX datagram port with one peer."""

    def write(self, datagram: BytesLike) -> None:
        """Send `datagram` to the peer."""

    def getPeer(self) -> Any:
        """Return the address of the other side."""


class IDatagramProtocol(Protocol):
    """What a port for datagrams calls. One that is longer than it should be goes to datagramLengthExceeded(datagram,
    addr), if there is such a method.
    """

    def makeConnection(self, transport: Any) -> None:
        """The port is open."""

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """A datagram, whole, from 0 to maxPacketSize bytes; `addr` is what transport.write takes for an answer."""

    def connectionRefused(self) -> None:
        """A connected port's peer does not listen."""

    def doStop(self) -> None:
        """The port is closed."""


class IProtocol(Protocol):
    """What a transport calls. The order is makeConnection, dataReceived any number of times, connectionLost once."""

    def makeConnection(self, transport: Any) -> None:
        """The connection stands."""

    def dataReceived(self, data: bytes) -> None:
        """Some bytes arrived: at least one, cut anywhere."""

    def connectionLost(self, reason: Failure) -> None:
        """The connection is over; `reason` holds ConnectionDone, ConnectionLost or a subclass, or what a callback
        raised.
        """


class IHandshakeListener(IProtocol, Protocol):
    """A protocol that wants to know when TLS is there. It is recognised by having this method."""

    def handshakeCompleted(self) -> None:
        """The handshake is done, the peer verified: after connectionMade, or some time after startTLS."""


@runtime_checkable
class IHalfCloseableProtocol(Protocol):
    """A protocol that is told of each half's end. It is recognised by having these two methods."""

    def readConnectionLost(self) -> None:
        """The peer has ended its half: no more data will come, writing still works. Closing is up to the protocol."""

    def writeConnectionLost(self) -> None:
        """Our half has ended after loseWriteConnection(): everything written was handed to the kernel."""


class IProcessProtocol(Protocol):
    """What the transport of a child process calls, processEnded last."""

    def makeConnection(self, transport: Any) -> None:
        """The child has been started; `transport` is an IProcessTransport."""

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """The child has written to its descriptor `childFD`."""

    def childConnectionLost(self, childFD: int) -> None:
        """The pipe to or from the child's descriptor `childFD` is closed. Called once for each."""

    def processExited(self, reason: Failure) -> None:
        """The child has exited; `reason` holds ProcessDone or ProcessTerminated. What it wrote may still come."""

    def processEnded(self, reason: Failure) -> None:
        """It has exited, and all its pipes are closed."""


class IProcessTransport(IConsumer, Protocol):
    """A child process. As a consumer it is its standard input."""

    pid: int | None

    def writeSequence(self, seq: Iterable[BytesLike]) -> None:
        """Send the pieces of `seq` to standard input, as one write."""

    def writeToChild(self, childFD: int, data: BytesLike) -> None:
        """Send `data` to the child's descriptor `childFD`. KeyError if there is no pipe to it."""

    def closeChildFD(self, descriptor: int) -> None:
        """Close the pipe to or from the child's `descriptor`, after what was written."""

    def closeStdin(self) -> None:
        """closeChildFD(0)."""

    def closeStdout(self) -> None:
        """closeChildFD(1)."""

    def closeStderr(self) -> None:
        """closeChildFD(2)."""

    def loseConnection(self) -> None:
        """Close all three."""

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, by name ("KILL") or number. ProcessExitedAlready if the child has exited."""


class IProtocolFactory(Protocol):
    """What a listening port or connector asks for protocols."""

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol for a connection from or to `addr`, or None to close it."""

    def doStart(self) -> None:
        """A port or connector begins to use the factory."""

    def doStop(self) -> None:
        """A port or connector has ceased to use it."""


class IClientFactory(IProtocolFactory, Protocol):
    """What a connector tells about its attempts."""

    def startedConnecting(self, connector: Any) -> None:
        """An attempt begins."""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """The attempt failed; `reason` holds a ConnectError or DNSLookupError. connector.connect() tries again."""

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """The connection is over, after the protocol's connectionLost. connector.connect() connects again."""


class IConnector(Protocol):
    """A client's handle on its connection and on the attempts to make it."""

    def connect(self) -> None:
        """Start an attempt. RuntimeError unless disconnected."""

    def disconnect(self) -> None:
        """Stop the attempt, or close the connection, or do nothing."""

    def stopConnecting(self) -> None:
        """Stop the attempt: clientConnectionFailed(UserError). NotConnectingError if there is none."""

    def getDestination(self) -> Address:
        """Return the address asked for."""


class IListeningPort(Protocol):
    """A server's handle on its listening socket."""

    def startListening(self) -> None:
        """Bind and listen. CannotListenError if the system refuses."""

    def stopListening(self) -> Deferred[None] | None:
        """Close the listening socket. The Deferred fires with None when it is closed; None if it was already."""

    def getHost(self) -> Any:
        """Return the address listened on, with the real port number."""


class IDelayedCall(Protocol):
    """A call to come."""

    def getTime(self) -> float:
        """Return when it is due, in the reactor's seconds()."""

    def cancel(self) -> None:
        """Forget the call. AlreadyCalled or AlreadyCancelled (both ValueError) if there is nothing to forget."""

    def delay(self, secondsLater: float) -> None:
        """Move it `secondsLater` seconds later (sooner, if negative) than it was due."""

    def reset(self, secondsFromNow: float) -> None:
        """Make it due `secondsFromNow` seconds from now."""

    def active(self) -> bool:
        """Whether it is still to come."""


class IFileDescriptor(Protocol):
    """Something with a file descriptor that the reactor can watch."""

    def fileno(self) -> int:
        """Return the descriptor, or -1 if it is closed."""

    def connectionLost(self, reason: Failure) -> None:
        """It is over: doRead or doWrite failed, or the reactor stops."""


class IReadDescriptor(IFileDescriptor, Protocol):
    """What addReader takes."""

    def doRead(self) -> Any:
        """The descriptor may be readable: None to go on; an exception object ends it with connectionLost."""


class IWriteDescriptor(IFileDescriptor, Protocol):
    """What addWriter takes."""

    def doWrite(self) -> Any:
        """The descriptor may be writable: None to go on; an exception object ends it with connectionLost."""


class IClosable(Protocol):
    """A socket, or a raw file."""

    def close(self) -> None:
        """Give the descriptor back."""


class IFlushable(Protocol):
    """A transport with output to send before the loop sleeps."""

    def flush(self) -> None:
        """Send what the kernel takes of what was written."""

    def failConnection(self, failure: Failure) -> None:
        """Log `failure` and end the connection with it."""


class IResolver(Protocol):
    """A replacement for the system's resolver, for installResolver."""

    def getHostByName(self, name: str, timeout: Any = ...) -> Any:
        """Return a Deferred of `name`'s IPv4 or IPv6 address as text, failing with DNSLookupError."""


class IReactorTime(Protocol):
    """Time and calls to come. A task.Clock is one too."""

    def seconds(self) -> float:
        """Return the time in seconds: monotonic, with no relation to the calendar."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        """Call `callable(*args, **kw)` once, no sooner than `delay` >= 0 seconds from now; return its DelayedCall.

        Equal deadlines keep their order. A call with delay 0 made by another call runs on the next turn.
        """


class IReactorCore(Protocol):
    """The loop itself."""

    @property
    def running(self) -> bool:
        """Whether the reactor has started and not yet stopped."""

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run until stop(). ReactorAlreadyRunning if it runs. It can run again afterwards."""

    def stop(self) -> None:
        """Leave run() in order: shutdown triggers, then every port and connection is closed. ReactorNotRunning if
        idle.
        """

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """Call `callable` once in `phase` ("before", "during", "after") of the next `eventType` ("startup",
        "shutdown").
        """

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call now if running, else after startup (then a trigger ID is returned)."""


class IReactorFromThreads(Protocol):
    """The one door into the reactor's thread."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread call `callable`, in order, on its next turn. Any thread, and signal handlers."""


class IReactorThreads(IReactorFromThreads, Protocol):
    """Work that blocks."""

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool call `callable`; what it raises is logged."""

    def getThreadPool(self) -> Executor:
        """Return the pool, made on first use."""

    def suggestThreadPoolSize(self, size: int) -> None:
        """Have up to `size` threads in the pool."""


class IReactorFDSet(Protocol):
    """Interest in file descriptors."""

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable, until removeReader."""

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable, until removeWriter."""

    def removeReader(self, reader: Any) -> None:
        """Undo addReader; nothing if it was not added."""

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter; nothing if it was not added."""

    def removeAll(self) -> list[Any]:
        """Forget, and return, everything that was added by a program (not the reactor's own)."""

    def getReaders(self) -> list[Any]:
        """Return what is watched for reading."""

    def getWriters(self) -> list[Any]:
        """Return what is watched for writing."""


class IReactorTCP(Protocol):
    """TCP."""

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen on `port` (0: one that is free) of `interface` ("": all IPv4 ones; "::": all) for `factory`."""

    def connectTCP(
        self,
        host: str,
        port: int | str,
        factory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Any:
        """Connect to `host`, a name or an address, within `timeout` seconds; return the Connector at once."""


class IReactorSSL(Protocol):
    """TLS over TCP."""

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen as listenTCP does, for TLS with the contexts of `contextFactory`."""

    def connectSSL(
        self,
        host: str,
        port: int | str,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Any:
        """Connect as connectTCP does, then with TLS; return the Connector at once."""


class IReactorUNIX(Protocol):
    """Streams over UNIX sockets. An address is a path, or an abstract name, which begins with a NUL."""

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o600, wantPID: bool = True) -> Any:
        """Listen at `address` for `factory`; the file has `mode`. With `wantPID` a dead owner's path is taken over."""

    def connectUNIX(self, address: Any, factory: Any, timeout: float | None = 30, checkPID: bool = False) -> Any:
        """Connect to `address` within `timeout` seconds; return the Connector at once."""


class IReactorSocket(Protocol):
    """Streams on sockets that somebody else has opened. The descriptor is duplicated and stays the caller's."""

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Accept connections for `factory` on a listening socket; return the port."""

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """Have `factory` build a protocol for a connected socket; return its transport."""


class IReactorUNIXDatagram(Protocol):
    """Datagrams over UNIX sockets."""

    def listenUNIXDatagram(
        self, address: Any, protocol: Any, maxPacketSize: int = 8192, mode: int = 0o600, wantPID: bool = True
    ) -> Any:
        """Give `protocol` the datagrams that are sent to `address`."""

    def connectUNIXDatagram(
        self,
        address: Any,
        protocol: Any,
        maxPacketSize: int = 8192,
        mode: int = 0o600,
        bindAddress: Any = None,
        wantPID: bool = True,
    ) -> Any:
        """Exchange datagrams with `address` for `protocol`, a ConnectedDatagramProtocol."""


class IReactorUDP(Protocol):
    """UDP."""

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        """Give `protocol` the datagrams that come to `port` (0: a free one) of `interface` ("": all IPv4 ones)."""

    def adoptDatagramPort(
        self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192
    ) -> Any:
        """As listenUDP, on a duplicate of a descriptor that is a bound UDP socket."""


class IReactorMulticast(Protocol):
    """Multicast over UDP."""

    def listenMulticast(
        self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192, listenMultiple: bool = False
    ) -> Any:
        """As listenUDP; the port can join multicast groups."""


class IReactorProcess(Protocol):
    """Child processes."""

    def spawnProcess(
        self,
        processProtocol: Any,
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


class IReactorNames(Protocol):
    """Host names."""

    def resolve(self, name: str, timeout: Any = ...) -> Deferred[str]:
        """Return a Deferred of `name`'s address as text, failing with DNSLookupError. Never blocks."""

    def resolveAll(self, name: str, port: int) -> Deferred[list[tuple[int, Any]]]:
        """Return a Deferred of every (address family, socket address) of `name`, best first."""


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


class ITransportReactor(IReactor, Protocol):
    """What transports ask of their reactor besides."""

    def opened(self, transport: IFileDescriptor) -> None:
        """`transport` lives: stop() will close it."""

    def closed(self, transport: IFileDescriptor) -> None:
        """`transport` has ended by itself."""

    def flushSoon(self, transport: IFlushable) -> None:
        """Call transport.flush() once before the loop sleeps."""

    def closeSoon(self, file: IClosable) -> None:
        """Close `file` once no event of this batch can name its descriptor any more."""

    def reportFailure(self, failure: Failure, what: str, *about: object) -> None:
        """Log what `what`, a callback of the user, raised. KeyboardInterrupt and SystemExit also stop the reactor in
        order.
        """
