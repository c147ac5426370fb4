"""The Twisted network model: a reactor that calls protocols, factories that build them, Deferreds for results.

A server of lines, whole:

    import reactor
    from reactor import LineReceiver, ServerFactory

    class Echo(LineReceiver):
        def lineReceived(self, line):       # bytes, without the CR LF behind them
            self.sendLine(line)

    reactor.listenTCP(7000, ServerFactory.forProtocol(Echo), interface="127.0.0.1")
    reactor.run()                           # until Ctrl-C, SIGTERM or reactor.stop()

Where to look:

- Servers: listenTCP, listenSSL (TLS), listenUNIX, listenUDP. Clients: connectTCP, connectSSL, ClientCreator,
  ReconnectingClientFactory, and `reactor.endpoints` for places as text.
- Classes to subclass: Protocol, LineReceiver, DatagramProtocol, ProcessProtocol; Factory, ClientFactory.
- Results that come later: Deferred, which `await` takes; deferLater, gatherResults, inlineCallbacks.
- Time: callLater, LoopingCall. Threads: deferToThread, callFromThread. Child processes: spawnProcess, `reactor.utils`.
- Limits: TimeoutMixin, LimitTotalConnectionsFactory, ThrottlingFactory. A server in production: `reactor.service`.
- HTTP: `reactor.http`. Streams for asyncio: `reactor.aio`. Tests without sockets or time: `reactor.testing`, Clock.

help(reactor.listenTCP) has the whole contract of that function, as for every other name. `python -m reactor serve`
serves without a program.

The functions of this module speak to the current reactor: the one that runs in this thread, or started this worker
thread. Otherwise they speak to the process's default, which is made when it is first needed. So the module can be
passed wherever a reactor is asked for. Unless a docstring says otherwise, a function is for the thread that runs the
reactor.
"""

from __future__ import annotations

__distribution__ = "linereactor"  # reactor._overwritten looks for it
__version__ = "0.1.0"  # pyproject.toml reads it from here

import select
import sys
from typing import TYPE_CHECKING, Any

# The modules that `import reactor` loads are its attributes, for type checkers too.
from reactor import address as address
from reactor import defer as defer
from reactor import error as error
from reactor import failure as failure
from reactor import filesender as filesender
from reactor import interfaces as interfaces
from reactor import linecore as linecore
from reactor import linereceiver as linereceiver
from reactor import policies as policies
from reactor import protocol as protocol
from reactor import stringreceivers as stringreceivers
from reactor import task as task
from reactor import threads as threads
from reactor import tlsoptions as tlsoptions
from reactor._current import current, install, registerMaker
from reactor._functions import currentBase as _currentBase
from reactor._functions import functions as _functions
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
from reactor.interfaces.asking import conform as _conform
from reactor.interfaces.asking import directlyProvides as _directlyProvides
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
    IncompleteNetstring,
    Int8StringReceiver,
    Int16StringReceiver,
    Int32StringReceiver,
    IntNStringReceiver,
    NetstringParseError,
    NetstringReceiver,
    OctetCountedReceiver,
    StatefulStringProtocol,
    StringTooLongError,
)
from reactor.task import Clock, Cooperator, LoopingCall, cooperate, deferLater, react
from reactor.threads import blockingCallFromThread, callMultipleInThread, deferToThread
from reactor.tlsoptions import CertificateOptions, ServerNameOptions, optionsForClientTLS
from reactor.transports.binding import makeBinding

# Bound methods: see CurrentReactor.
addReader = _functions.addReader
addSignalHandler = _functions.addSignalHandler
addSystemEventTrigger = _functions.addSystemEventTrigger
addWriter = _functions.addWriter
callFromThread = _functions.callFromThread
callInThread = _functions.callInThread
callLater = _functions.callLater
callWhenRunning = _functions.callWhenRunning
crash = _functions.crash
fireSystemEvent = _functions.fireSystemEvent
getDelayedCalls = _functions.getDelayedCalls
getReaders = _functions.getReaders
getThreadPool = _functions.getThreadPool
getWriters = _functions.getWriters
installNameResolver = _functions.installNameResolver
installResolver = _functions.installResolver
iterate = _functions.iterate
monotonic = _functions.monotonic
removeAll = _functions.removeAll
removeReader = _functions.removeReader
removeSignalHandler = _functions.removeSignalHandler
removeSystemEventTrigger = _functions.removeSystemEventTrigger
removeWriter = _functions.removeWriter
resolve = _functions.resolve
resolveAll = _functions.resolveAll
run = _functions.run
seconds = _functions.seconds
stop = _functions.stop
suggestThreadPoolSize = _functions.suggestThreadPoolSize
adoptDatagramPort = _functions.adoptDatagramPort
adoptStreamConnection = _functions.adoptStreamConnection
adoptStreamPort = _functions.adoptStreamPort
connectSSL = _functions.connectSSL
connectTCP = _functions.connectTCP
connectUNIX = _functions.connectUNIX
connectUNIXDatagram = _functions.connectUNIXDatagram
listenMulticast = _functions.listenMulticast
listenSSL = _functions.listenSSL
listenTCP = _functions.listenTCP
listenUDP = _functions.listenUDP
listenUNIX = _functions.listenUNIX
listenUNIXDatagram = _functions.listenUNIXDatagram
spawnProcess = _functions.spawnProcess

if hasattr(select, "epoll"):
    from reactor.loops.epoll import EpollReactor

    registerMaker(EpollReactor)
else:
    registerMaker(AsyncioReactor)


if TYPE_CHECKING:
    from collections import Counter

    from reactor.interfaces import IHostnameResolver

    closeCounts: Counter[type[error.ConnectionDone]]
    nameResolver: IHostnameResolver
    overflowCount: int
    running: bool  # and no __getattr__, which would make a bool of every missing name
    skippedLineCount: int
else:
    # Attributes of the reactor, read at each access, because another reactor may be the current one by then. In a
    # running program none of them is in __all__: a star import would read them, which makes a reactor.
    _shown = frozenset({"closeCounts", "nameResolver", "overflowCount", "running", "skippedLineCount"})

    def __getattr__(name):
        if name in _shown:
            return getattr(_currentBase(), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __conform__(interface: Any) -> Any:
    """Adapt the package to an interface of a reactor. zope.interface calls this."""
    return _conform(sys.modules[__name__], interface)


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
    "IncompleteNetstring",
    "Int8StringReceiver",
    "Int16StringReceiver",
    "Int32StringReceiver",
    "IntNStringReceiver",
    "LimitConnectionsByPeer",
    "LimitTotalConnectionsFactory",
    "LineOnlyReceiver",
    "LineReceiver",
    "LoopingCall",
    "NetstringParseError",
    "NetstringReceiver",
    "OctetCountedReceiver",
    "ProcessProtocol",
    "Protocol",
    "ProtocolWrapper",
    "ReactorBase",
    "ReconnectingClientFactory",
    "ServerFactory",
    "ServerNameOptions",
    "StatefulStringProtocol",
    "StringTooLongError",
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
    "installNameResolver",
    "installResolver",
    "iterate",
    "listenMulticast",
    "listenSSL",
    "listenTCP",
    "listenUDP",
    "listenUNIX",
    "listenUNIXDatagram",
    "makeBinding",
    "maybeDeferred",
    "monotonic",
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
    "seconds",
    "spawnProcess",
    "stop",
    "succeed",
    "suggestThreadPoolSize",
]
if hasattr(select, "epoll"):
    __all__ += ["EpollReactor"]

# Declared, because a check that reads `running` and other attributes would make a reactor.
_directlyProvides(sys.modules[__name__], interfaces.IReactor)

if TYPE_CHECKING:  # so that the package can stand for a reactor
    __all__ += ["closeCounts", "nameResolver", "overflowCount", "running", "skippedLineCount"]
