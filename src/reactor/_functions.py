"""The package's functions, which are those of the current reactor. See the package."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from reactor._current import current
from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE, SOCKET_MODE
from reactor.defer import Deferred
from reactor.interfaces import NO_ENVIRONMENT
from reactor.loops.base import ReactorBase

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from reactor.interfaces import (
        IClientFactory,
        IDatagramProtocol,
        IHostnameResolver,
        IProcessProtocol,
        IProtocolFactory,
        IResolver,
    )
    from reactor.loops.triggers import Trigger
    from reactor.timers import DelayedCall
    from reactor.tlsoptions import ContextFactory
    from reactor.transports.adopting import AdoptedConnection, AdoptedPort
    from reactor.transports.binding import BindAddress, Binding
    from reactor.transports.children.process import Process
    from reactor.transports.tcp import TCPConnector, TCPPort
    from reactor.transports.tlsports import TLSConnector
    from reactor.transports.udp import MulticastPort, UDPPort
    from reactor.transports.unix.datagram import ConnectedUNIXDatagramPort, UNIXDatagramPort
    from reactor.transports.unix.stream import UNIXConnector, UNIXPort


def currentBase() -> ReactorBase:
    """Return the current reactor, typed as the base of every reactor of this package."""
    return cast("ReactorBase", current())


class CurrentReactor:
    """The reactor for calls that name none. The package's functions are the methods of its one instance.

    The functions of the standard library's `random` are such methods too. A program of Twisted writes
    `callLater = reactor.callLater` in a class body, so that its tests can replace the clock. A bound method stays as is
    there; a plain function would become a method of that class.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<the current reactor>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled as the package, so that pickles name nothing of this module."""
        return import_module, ("reactor",)

    # Time, events, threads and descriptors.

    def run(self, installSignalHandlers: bool = True) -> None:
        """Run the current reactor until stop(). See ReactorBase.run."""
        currentBase().run(installSignalHandlers)

    def stop(self) -> None:
        """Leave run() in order. ReactorNotRunning if the reactor does not run or is stopping. See ReactorBase.stop."""
        currentBase().stop()

    def crash(self) -> None:
        """Leave run() after this turn, without triggers: ports and connections stay for the next run."""
        currentBase().crash()

    def iterate(self, delay: float = 0) -> None:
        """Turn the loop once, sleeping no longer than `delay` seconds."""
        currentBase().iterate(delay)

    def seconds(self) -> float:
        """Return the seconds since 1970, which jump when the wall clock is set. Any thread may call it."""
        return currentBase().seconds()

    def monotonic(self) -> float:
        """Return the seconds of the clock for deadlines, which never jumps and has no date. Any thread may call it."""
        return currentBase().monotonic()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
        """Call `callable(*args, **kw)` once, `delay` >= 0 seconds from now or later. See ReactorBase.callLater."""
        return currentBase().callLater(delay, callable, *args, **kw)

    def getDelayedCalls(self) -> list[DelayedCall]:
        """Return the pending calls, in no order."""
        return currentBase().getDelayedCalls()

    def callWhenRunning(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Trigger | None:
        """Call now if the reactor runs (and return None), else after startup (and return a trigger ID)."""
        return currentBase().callWhenRunning(callable, *args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Trigger:
        """Call `callable` once in `phase` of the next `eventType`. See ReactorBase.addSystemEventTrigger."""
        return currentBase().addSystemEventTrigger(phase, eventType, callable, *args, **kwargs)

    def removeSystemEventTrigger(self, triggerID: Trigger) -> None:
        """Take a trigger back. ValueError if it has run or been removed."""
        currentBase().removeSystemEventTrigger(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of `eventType`."""
        currentBase().fireSystemEvent(eventType)

    def addSignalHandler(self, number: int, callable: Callable[..., Any], *args: Any) -> None:
        """Have signal `number` call `callable(*args)` in the loop. See ReactorBase.addSignalHandler."""
        currentBase().addSignalHandler(number, callable, *args)

    def removeSignalHandler(self, number: int) -> bool:
        """Undo addSignalHandler; return whether there was anything to undo."""
        return currentBase().removeSignalHandler(number)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have the reactor's thread make the call, in order, on its next turn.

        Any thread and any signal handler may call it. From a thread that no reactor started, it reaches the default
        reactor.
        """
        currentBase().callFromThread(callable, *args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Have a thread of the pool make the call; an exception is logged."""
        currentBase().callInThread(callable, *args, **kwargs)

    def getThreadPool(self) -> Executor:
        """Return the pool for callInThread and deferToThread, made on first use."""
        return currentBase().getThreadPool()

    def suggestThreadPoolSize(self, size: int) -> None:
        """Limit the pool to `size` threads; with 0 new work waits for another size."""
        currentBase().suggestThreadPoolSize(size)

    def addReader(self, reader: Any) -> None:
        """Call reader.doRead() whenever its descriptor may be readable. See ReactorBase.addReader."""
        currentBase().addReader(reader)

    def addWriter(self, writer: Any) -> None:
        """Call writer.doWrite() whenever its descriptor may be writable. See ReactorBase.addReader."""
        currentBase().addWriter(writer)

    def removeReader(self, reader: Any) -> None:
        """Undo addReader. It does nothing for a reader that was not added."""
        currentBase().removeReader(reader)

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter; nothing if it was not added."""
        currentBase().removeWriter(writer)

    def removeAll(self) -> list[Any]:
        """Forget every reader and writer but the reactor's own, and return them."""
        return currentBase().removeAll()

    def getReaders(self) -> list[Any]:
        """Return the readers."""
        return currentBase().getReaders()

    def getWriters(self) -> list[Any]:
        """Return the writers."""
        return currentBase().getWriters()

    def resolve(self, name: str | bytes, timeout: Any = (1, 3, 11, 45)) -> Deferred[str]:
        """Return a Deferred of one address of `name` as text, failing with DNSLookupError. Never blocks."""
        return currentBase().resolve(name, timeout)

    def resolveAll(self, name: str | bytes, port: int) -> Deferred[list[tuple[int, Any]]]:
        """Return a Deferred of every (address family, socket address) of `name`, best first. Never blocks."""
        return currentBase().resolveAll(name, port)

    def installResolver(self, resolver: IResolver) -> Any:
        """Have `resolver.getHostByName(name, timeout)` answer for names; return the resolver from before."""
        return currentBase().installResolver(resolver)

    def installNameResolver(self, resolver: IHostnameResolver) -> Any:
        """Have `resolver.resolveHostName(receiver, name, ...)` answer for names; return the one from before."""
        return currentBase().installNameResolver(resolver)

    # Ports, connections and children.

    def __deepcopy__(self, memo: object) -> CurrentReactor:
        return self

    def listenTCP(
        self, port: int | Binding, factory: IProtocolFactory, backlog: int = BACKLOG, interface: str | bytes = ""
    ) -> TCPPort:
        """Listen on `port` of `interface` for `factory`. See ReactorBase.listenTCP."""
        return currentBase().listenTCP(port, factory, backlog, interface)

    def connectTCP(
        self,
        host: str | bytes,
        port: int | str,
        factory: IClientFactory,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> TCPConnector:
        """Connect to `host` and `port`, and call `factory` with the result. See ReactorBase.connectTCP."""
        return currentBase().connectTCP(host, port, factory, timeout, bindAddress)

    def listenSSL(
        self,
        port: int | Binding,
        factory: IProtocolFactory,
        contextFactory: ContextFactory,
        backlog: int = BACKLOG,
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
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: BindAddress | None = None,
    ) -> TLSConnector:
        """Connect to `host` and `port` with TLS, and call `factory` with the result. See ReactorBase.connectSSL."""
        return currentBase().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)

    def listenUNIX(
        self,
        address: Any,
        factory: IProtocolFactory,
        backlog: int = BACKLOG,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> UNIXPort:
        """Listen on the UNIX socket `address` for `factory`. See ReactorBase.listenUNIX."""
        return currentBase().listenUNIX(address, factory, backlog, mode, wantPID)

    def connectUNIX(
        self, address: Any, factory: IClientFactory, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool = False
    ) -> UNIXConnector:
        """Connect to the UNIX socket `address`, and call `factory` with the result. See ReactorBase.connectUNIX."""
        return currentBase().connectUNIX(address, factory, timeout, checkPID)

    def listenUNIXDatagram(
        self,
        address: Any,
        protocol: IDatagramProtocol,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        wantPID: bool = True,
    ) -> UNIXDatagramPort:
        """Give `protocol` the datagrams for the UNIX socket `address`. See ReactorBase.listenUNIXDatagram."""
        return currentBase().listenUNIXDatagram(address, protocol, maxPacketSize, mode, wantPID)

    def connectUNIXDatagram(
        self,
        address: Any,
        protocol: Any,
        maxPacketSize: int = MAX_PACKET_SIZE,
        mode: int = SOCKET_MODE,
        bindAddress: Any = None,
        wantPID: bool = True,
    ) -> ConnectedUNIXDatagramPort:
        """Exchange datagrams with the UNIX socket `address`. See ReactorBase.connectUNIXDatagram."""
        return currentBase().connectUNIXDatagram(address, protocol, maxPacketSize, mode, bindAddress, wantPID)

    def listenUDP(
        self, port: int, protocol: IDatagramProtocol, interface: str | bytes = "", maxPacketSize: int = MAX_PACKET_SIZE
    ) -> UDPPort:
        """Give `protocol` the datagrams for UDP `port` of `interface`. See ReactorBase.listenUDP."""
        return currentBase().listenUDP(port, protocol, interface, maxPacketSize)

    def listenMulticast(
        self,
        port: int,
        protocol: IDatagramProtocol,
        interface: str | bytes = "",
        maxPacketSize: int = MAX_PACKET_SIZE,
        listenMultiple: bool = False,
    ) -> MulticastPort:
        """Do the same as listenUDP; the port can join multicast groups. See ReactorBase.listenMulticast."""
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
        self, fileDescriptor: int, addressFamily: int, protocol: IDatagramProtocol, maxPacketSize: int = MAX_PACKET_SIZE
    ) -> UDPPort:
        """Do the same as listenUDP, on a duplicate of a bound UDP socket. See ReactorBase.adoptDatagramPort."""
        return currentBase().adoptDatagramPort(fileDescriptor, addressFamily, protocol, maxPacketSize)

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory) -> AdoptedPort:
        """Accept for `factory` on a duplicate of a listening socket's descriptor. See ReactorBase.adoptStreamPort."""
        return currentBase().adoptStreamPort(fileDescriptor, addressFamily, factory)

    def adoptStreamConnection(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> AdoptedConnection | None:
        """Have `factory` build a protocol for a duplicate of a connected socket; return its transport.

        See ReactorBase.adoptStreamConnection.
        """
        return currentBase().adoptStreamConnection(fileDescriptor, addressFamily, factory)


functions = CurrentReactor()

# Tracebacks, pickles and help() name the package. The class and the file of a function do not matter to users. The
# contract stands once, at the reactor's method. The docstrings above are for editors, which read the source.
for _name, _function in vars(CurrentReactor).items():
    if not _name.startswith("_"):
        _function.__doc__ = getattr(ReactorBase, _name).__doc__
        _function.__module__ = "reactor"
        _function.__qualname__ = _name
