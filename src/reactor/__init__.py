"""The Twisted network model: a reactor that dispatches events to protocols, factories that build protocols, Deferreds.

Everything common is here. The functions of this module speak to the current reactor: the one that runs in this
thread, or started this worker thread, else the process's default, which is made when it is first needed. So the
module can stand wherever a reactor is asked for. Unless a docstring says otherwise, a function is for the thread that
runs the reactor.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, cast

from reactor._current import current, install, registerMaker
from reactor.address import HostnameAddress, IPv4Address, IPv6Address, UNIXAddress
from reactor.defer import (
    AlreadyCalledError,
    CancelledError,
    Deferred,
    DeferredList,
    DeferredLock,
    DeferredQueue,
    DeferredSemaphore,
    FirstError,
    ensureDeferred,
    execute,
    fail,
    gatherResults,
    inlineCallbacks,
    maybeDeferred,
    race,
    succeed,
)
from reactor.failure import Failure
from reactor.filesender import FileSender
from reactor.interfaces import NO_ENVIRONMENT
from reactor.linereceiver import LineOnlyReceiver, LineReceiver
from reactor.loops.asyncioloop import AsyncioReactor
from reactor.loops.base import ReactorBase
from reactor.policies import (
    LimitConnectionsByPeer,
    LimitTotalConnectionsFactory,
    ProtocolWrapper,
    ThrottlingFactory,
    TimeoutFactory,
    TimeoutMixin,
    TrafficLoggingFactory,
    WrappingFactory,
)
from reactor.protocol import (
    BaseProtocol,
    ClientCreator,
    ClientFactory,
    ConnectedDatagramProtocol,
    DatagramProtocol,
    Factory,
    FileWrapper,
    ProcessProtocol,
    Protocol,
    ReconnectingClientFactory,
    ServerFactory,
    connectionDone,
)
from reactor.stringreceivers import (
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    NetstringReceiver,
    OctetCountedReceiver,
)
from reactor.task import Clock, Cooperator, LoopingCall, cooperate, deferLater, react
from reactor.threads import blockingCallFromThread, callMultipleInThread, deferToThread
from reactor.tlsoptions import CertificateOptions, ServerNameOptions, optionsForClientTLS

if TYPE_CHECKING:
    from reactor.interfaces import IResolver
    from reactor.loops.triggers import Trigger
    from reactor.timers import DelayedCall
    from reactor.tlsoptions import ContextFactory
    from reactor.transports.adopting import AdoptedConnection, AdoptedPort
    from reactor.transports.process import Process
    from reactor.transports.tcp import TCPConnector, TCPPort
    from reactor.transports.tlsports import TLSConnector
    from reactor.transports.udp import MulticastPort, UDPPort
    from reactor.transports.unix import UNIXConnector, UNIXPort
    from reactor.transports.unixdatagram import ConnectedUNIXDatagramPort, UNIXDatagramPort

    running: bool

if hasattr(select, "epoll"):
    from reactor.loops.epoll import EpollReactor

    registerMaker(EpollReactor)
else:
    registerMaker(AsyncioReactor)

__version__ = "0.1.0"


def _reactor() -> ReactorBase:
    """The current reactor, as what every reactor of this package is."""
    return cast("ReactorBase", current())


def __getattr__(name: str) -> bool:
    if name == "running":
        return _reactor().running
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def run(installSignalHandlers: bool = True) -> None:
    """Run the current reactor until stop(). See ReactorBase.run."""
    _reactor().run(installSignalHandlers)


def stop() -> None:
    """Leave run() in order. ReactorNotRunning if it does not run or is stopping. See ReactorBase.stop."""
    _reactor().stop()


def crash() -> None:
    """Leave run() after this turn, without triggers: ports and connections stay as they are for the next run."""
    _reactor().crash()


def iterate(delay: float = 0) -> None:
    """Turn the loop once, sleeping no longer than `delay` seconds."""
    _reactor().iterate(delay)


def seconds() -> float:
    """Return the reactor's time in seconds: monotonic, with no relation to the calendar. Any thread."""
    return _reactor().seconds()


def callLater(delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> DelayedCall:
    """Call `callable(*args, **kw)` once, no sooner than `delay` >= 0 seconds from now. See ReactorBase.callLater."""
    return _reactor().callLater(delay, callable, *args, **kw)


def getDelayedCalls() -> list[DelayedCall]:
    """Return the calls to come, in no order."""
    return _reactor().getDelayedCalls()


def callWhenRunning(callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Trigger | None:
    """Call now if the reactor runs (and return None), else after startup (and return a trigger ID)."""
    return _reactor().callWhenRunning(callable, *args, **kwargs)


def addSystemEventTrigger(
    phase: str, eventType: str, callable: Callable[..., Any], *args: Any, **kwargs: Any
) -> Trigger:
    """Call `callable` once in `phase` of the next `eventType`. See ReactorBase.addSystemEventTrigger."""
    return _reactor().addSystemEventTrigger(phase, eventType, callable, *args, **kwargs)


def removeSystemEventTrigger(triggerID: Trigger) -> None:
    """Take a trigger back. ValueError if it has run or been removed."""
    _reactor().removeSystemEventTrigger(triggerID)


def fireSystemEvent(eventType: str) -> None:
    """Run the triggers of `eventType`."""
    _reactor().fireSystemEvent(eventType)


def addSignalHandler(number: int, callable: Callable[..., Any], *args: Any) -> None:
    """Have signal `number` call `callable(*args)` in the loop. See ReactorBase.addSignalHandler."""
    _reactor().addSignalHandler(number, callable, *args)


def removeSignalHandler(number: int) -> bool:
    """Undo addSignalHandler; whether there was anything to undo."""
    return _reactor().removeSignalHandler(number)


def callFromThread(callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Have the reactor's thread make the call, in order, on its next turn. Any thread, and signal handlers.

    From a thread that no reactor started, it reaches the default one.
    """
    _reactor().callFromThread(callable, *args, **kwargs)


def callInThread(callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Have a thread of the pool make the call; what it raises is logged."""
    _reactor().callInThread(callable, *args, **kwargs)


def getThreadPool() -> Executor:
    """Return the pool for callInThread and deferToThread, made on first use."""
    return _reactor().getThreadPool()


def suggestThreadPoolSize(size: int) -> None:
    """Have up to `size` >= 1 threads in the pool."""
    _reactor().suggestThreadPoolSize(size)


def addReader(reader: Any) -> None:
    """Call reader.doRead() whenever its descriptor may be readable. See ReactorBase.addReader."""
    _reactor().addReader(reader)


def addWriter(writer: Any) -> None:
    """Call writer.doWrite() whenever its descriptor may be writable. See ReactorBase.addReader."""
    _reactor().addWriter(writer)


def removeReader(reader: Any) -> None:
    """Undo addReader; nothing if it was not added."""
    _reactor().removeReader(reader)


def removeWriter(writer: Any) -> None:
    """Undo addWriter; nothing if it was not added."""
    _reactor().removeWriter(writer)


def removeAll() -> list[Any]:
    """Forget every reader and writer but the reactor's own, and return them."""
    return _reactor().removeAll()


def getReaders() -> list[Any]:
    """Return what is watched for reading."""
    return _reactor().getReaders()


def getWriters() -> list[Any]:
    """Return what is watched for writing."""
    return _reactor().getWriters()


def resolve(name: str, timeout: Any = (1, 3, 11, 45)) -> Deferred[str]:
    """Return a Deferred of one address of `name` as text, failing with DNSLookupError. Never blocks."""
    return _reactor().resolve(name, timeout)


def resolveAll(name: str, port: int) -> Deferred[list[tuple[int, Any]]]:
    """Return a Deferred of every (address family, socket address) of `name`, best first. Never blocks."""
    return _reactor().resolveAll(name, port)


def installResolver(resolver: IResolver) -> Any:
    """Have `resolver.getHostByName(name, timeout)` answer for names; return the resolver from before."""
    return _reactor().installResolver(resolver)


def listenTCP(port: int, factory: Any, backlog: int = 50, interface: str = "") -> TCPPort:
    """Listen on `port` of `interface` for `factory`. See ReactorBase.listenTCP."""
    return _reactor().listenTCP(port, factory, backlog, interface)


def connectTCP(
    host: str, port: int | str, factory: Any, timeout: float | None = 30, bindAddress: tuple[str, int] | None = None
) -> TCPConnector:
    """Connect to `host` and `port`, and tell `factory` how it went. Never blocks. See ReactorBase.connectTCP."""
    return _reactor().connectTCP(host, port, factory, timeout, bindAddress)


def listenSSL(
    port: int, factory: Any, contextFactory: ContextFactory, backlog: int = 50, interface: str = ""
) -> TCPPort:
    """Listen for TLS on `port` of `interface` for `factory`. See ReactorBase.listenSSL."""
    return _reactor().listenSSL(port, factory, contextFactory, backlog, interface)


def connectSSL(
    host: str,
    port: int | str,
    factory: Any,
    contextFactory: ContextFactory | None,
    timeout: float | None = 30,
    bindAddress: tuple[str, int] | None = None,
) -> TLSConnector:
    """Connect to `host` and `port` with TLS, and tell `factory` how it went. See ReactorBase.connectSSL."""
    return _reactor().connectSSL(host, port, factory, contextFactory, timeout, bindAddress)


def listenUNIX(address: Any, factory: Any, backlog: int = 50, mode: int = 0o600, wantPID: bool = True) -> UNIXPort:
    """Listen on the UNIX socket `address` for `factory`. See ReactorBase.listenUNIX."""
    return _reactor().listenUNIX(address, factory, backlog, mode, wantPID)


def connectUNIX(address: Any, factory: Any, timeout: float | None = 30, checkPID: bool = False) -> UNIXConnector:
    """Connect to the UNIX socket `address`, and tell `factory` how it went. See ReactorBase.connectUNIX."""
    return _reactor().connectUNIX(address, factory, timeout, checkPID)


def listenUNIXDatagram(
    address: Any, protocol: Any, maxPacketSize: int = 8192, mode: int = 0o600, wantPID: bool = True
) -> UNIXDatagramPort:
    """Give `protocol` the datagrams for the UNIX socket `address`. See ReactorBase.listenUNIXDatagram."""
    return _reactor().listenUNIXDatagram(address, protocol, maxPacketSize, mode, wantPID)


def connectUNIXDatagram(
    address: Any,
    protocol: Any,
    maxPacketSize: int = 8192,
    mode: int = 0o600,
    bindAddress: Any = None,
    wantPID: bool = True,
) -> ConnectedUNIXDatagramPort:
    """Exchange datagrams with the UNIX socket `address`. See ReactorBase.connectUNIXDatagram."""
    return _reactor().connectUNIXDatagram(address, protocol, maxPacketSize, mode, bindAddress, wantPID)


def listenUDP(port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> UDPPort:
    """Give `protocol` the datagrams that come to UDP `port` of `interface`. See ReactorBase.listenUDP."""
    return _reactor().listenUDP(port, protocol, interface, maxPacketSize)


def listenMulticast(
    port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192, listenMultiple: bool = False
) -> MulticastPort:
    """As listenUDP; the port can join multicast groups. See ReactorBase.listenMulticast."""
    return _reactor().listenMulticast(port, protocol, interface, maxPacketSize, listenMultiple)


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
    return _reactor().spawnProcess(processProtocol, executable, args, env, path, uid, gid, usePTY, childFDs)


def adoptDatagramPort(fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int = 8192) -> UDPPort:
    """As listenUDP, on a duplicate of a descriptor that is a bound UDP socket. See ReactorBase.adoptDatagramPort."""
    return _reactor().adoptDatagramPort(fileDescriptor, addressFamily, protocol, maxPacketSize)


def adoptStreamPort(fileDescriptor: int, addressFamily: int, factory: Any) -> AdoptedPort:
    """Accept for `factory` on a duplicate of a listening socket's descriptor. See ReactorBase.adoptStreamPort."""
    return _reactor().adoptStreamPort(fileDescriptor, addressFamily, factory)


def adoptStreamConnection(fileDescriptor: int, addressFamily: int, factory: Any) -> AdoptedConnection | None:
    """Have `factory` build a protocol for a duplicate of a connected socket's descriptor; return its transport.

    See ReactorBase.adoptStreamConnection.
    """
    return _reactor().adoptStreamConnection(fileDescriptor, addressFamily, factory)


__all__ = [
    "AlreadyCalledError",
    "AsyncioReactor",
    "BaseProtocol",
    "CancelledError",
    "CertificateOptions",
    "ClientCreator",
    "ClientFactory",
    "Clock",
    "ConnectedDatagramProtocol",
    "Cooperator",
    "DatagramProtocol",
    "Deferred",
    "DeferredList",
    "DeferredLock",
    "DeferredQueue",
    "DeferredSemaphore",
    "Factory",
    "Failure",
    "FileSender",
    "FileWrapper",
    "FirstError",
    "HostnameAddress",
    "IPv4Address",
    "IPv6Address",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "LineOnlyReceiver",
    "LineReceiver",
    "LoopingCall",
    "NetstringReceiver",
    "OctetCountedReceiver",
    "ProcessProtocol",
    "Protocol",
    "ProtocolWrapper",
    "ReactorBase",
    "ReconnectingClientFactory",
    "ServerFactory",
    "ServerNameOptions",
    "ThrottlingFactory",
    "TimeoutFactory",
    "TimeoutMixin",
    "TrafficLoggingFactory",
    "UNIXAddress",
    "WrappingFactory",
    "addReader",
    "addSignalHandler",
    "addSystemEventTrigger",
    "addWriter",
    "adoptDatagramPort",
    "adoptStreamConnection",
    "adoptStreamPort",
    "blockingCallFromThread",
    "callFromThread",
    "callInThread",
    "callLater",
    "callMultipleInThread",
    "callWhenRunning",
    "connectSSL",
    "connectTCP",
    "connectUNIX",
    "connectUNIXDatagram",
    "connectionDone",
    "cooperate",
    "crash",
    "current",
    "deferLater",
    "deferToThread",
    "ensureDeferred",
    "execute",
    "fail",
    "fireSystemEvent",
    "gatherResults",
    "getDelayedCalls",
    "getReaders",
    "getThreadPool",
    "getWriters",
    "inlineCallbacks",
    "install",
    "installResolver",
    "iterate",
    "listenMulticast",
    "listenSSL",
    "listenTCP",
    "listenUDP",
    "listenUNIX",
    "listenUNIXDatagram",
    "maybeDeferred",
    "optionsForClientTLS",
    "race",
    "react",
    "removeAll",
    "removeReader",
    "removeSignalHandler",
    "removeSystemEventTrigger",
    "removeWriter",
    "resolve",
    "resolveAll",
    "run",
    "running",
    "seconds",
    "spawnProcess",
    "stop",
    "succeed",
    "suggestThreadPoolSize",
]
if hasattr(select, "epoll"):
    __all__ += ["EpollReactor"]
