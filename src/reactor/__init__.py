"""The Twisted network model: a reactor that dispatches events to protocols, factories that build protocols, Deferreds.

Everything common is here. The functions of this module speak to the current reactor: the one that runs in this
thread, or started this worker thread, else the process's default, which is made when it is first needed. So the
module can stand wherever a reactor is asked for. Unless a docstring says otherwise, a function is for the thread that
runs the reactor.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from reactor._calls import (
    addReader,
    addSignalHandler,
    addSystemEventTrigger,
    addWriter,
    callFromThread,
    callInThread,
    callLater,
    callWhenRunning,
    crash,
    currentBase,
    fireSystemEvent,
    getDelayedCalls,
    getReaders,
    getThreadPool,
    getWriters,
    installResolver,
    iterate,
    removeAll,
    removeReader,
    removeSignalHandler,
    removeSystemEventTrigger,
    removeWriter,
    resolve,
    resolveAll,
    run,
    seconds,
    stop,
    suggestThreadPoolSize,
)
from reactor._current import current, install, registerMaker
from reactor._opening import (
    adoptDatagramPort,
    adoptStreamConnection,
    adoptStreamPort,
    connectSSL,
    connectTCP,
    connectUNIX,
    connectUNIXDatagram,
    listenMulticast,
    listenSSL,
    listenTCP,
    listenUDP,
    listenUNIX,
    listenUNIXDatagram,
    spawnProcess,
)
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
    running: bool

if hasattr(select, "epoll"):
    from reactor.loops.epoll import EpollReactor

    registerMaker(EpollReactor)
else:
    registerMaker(AsyncioReactor)

__version__ = "0.1.0"


def __getattr__(name: str) -> bool:
    if name == "running":
        return currentBase().running
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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

# Tracebacks and help() name the package; the file that a function is in is of no interest.
for _name in __all__:
    if getattr(globals().get(_name), "__module__", "") in ("reactor._calls", "reactor._opening"):
        globals()[_name].__module__ = __name__
