"""MemoryReactor: it opens no ports and connections, but remembers the calls for the test."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from reactor._arguments import checkClientFactory, checkFactory, checkProtocol
from reactor._beside import beside
from reactor._defaults import BACKLOG, CONNECT_TIMEOUT, MAX_PACKET_SIZE
from reactor.address import Address, IPv4Address, IPv6Address, UNIXAddress, isIPv6Address
from reactor.defer import Deferred, succeed
from reactor.error import UnsupportedAddressFamily
from reactor.interfaces import IHostnameResolver, IReactorTime, IResolutionReceiver
from reactor.interfaces.asking import conform
from reactor.loops.names import HostResolution, answer, targetsOf
from reactor.task import Clock, LoopingCall
from reactor.transports.binding import listeningBinding

MEMORY_MODE = 0o666  # as with Twisted's MemoryReactor, since there is no file: a real reactor's is SOCKET_MODE


class SynchronousResolver:
    """The nameResolver of a MemoryReactor: every name is 127.0.0.1, at once."""

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type] | None = None,
        transportSemantics: str = "TCP",
    ) -> HostResolution:
        """See IHostnameResolver. The receiver has got all its calls when this returns."""
        return answer(resolutionReceiver, hostName, succeed([IPv4Address("TCP", "127.0.0.1", portNumber)]))


class MemoryPort:
    """The port that listenXXX of a MemoryReactor returns."""

    def __init__(self, hostAddress: Address) -> None:
        self._hostAddress = hostAddress

    def startListening(self) -> None:
        """Do nothing."""

    def stopListening(self) -> None:
        """Do nothing."""

    def getHost(self) -> Address:
        """Return the requested address."""
        return self._hostAddress


class MemoryConnector:
    """The connector that connectXXX of a MemoryReactor returns. `stoppedConnecting`: stopConnecting was called."""

    stoppedConnecting = False
    _disconnected = False

    def __init__(self, address: Address) -> None:
        self._address = address

    def connect(self) -> None:
        """Do nothing."""

    def stopConnecting(self) -> None:
        """Note it."""
        self.stoppedConnecting = True

    def disconnect(self) -> None:
        """Note it."""
        self._disconnected = True

    def getDestination(self) -> Address:
        """Return the requested address."""
        return self._address


class MemoryReactor:
    """A reactor that only remembers its calls. It refuses an object that is no factory, or no protocol.

    - `tcpServers`, `tcpClients`, `sslServers`, `sslClients`, `unixServers`, `unixClients`, `adoptedPorts` and
      `adoptedStreamConnections` hold the arguments of each call, as tuples in the order of the parameters.
    - `connectors` holds the results of connectXXX.
    - `readers` and `writers` hold the present ones.
    - `triggers` maps phases to event types to (callable, args, kwargs). `whenRunningHooks` holds the
      calls of callWhenRunning in the same form.
    - `hasInstalled`, `hasRun`, `hasStopped` and `hasCrashed` say which methods were called.
    """

    __conform__ = conform

    def __init__(self) -> None:
        self.hasInstalled = False
        self.running: bool | None = False
        self.hasRun = False
        self.hasStopped = False
        self.hasCrashed = False
        self.whenRunningHooks: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = []
        self.triggers: dict[str, dict[str, list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]]]] = {}
        self.tcpClients: list[tuple[Any, ...]] = []
        self.tcpServers: list[tuple[Any, ...]] = []
        self.sslClients: list[tuple[Any, ...]] = []
        self.sslServers: list[tuple[Any, ...]] = []
        self.unixClients: list[tuple[Any, ...]] = []
        self.unixServers: list[tuple[Any, ...]] = []
        self.adoptedPorts: list[tuple[Any, ...]] = []
        self.adoptedStreamConnections: list[tuple[Any, ...]] = []
        self.connectors: list[MemoryConnector] = []
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.nameResolver: IHostnameResolver = SynchronousResolver()

    # Running.

    def install(self) -> None:
        """Note the call in `hasInstalled`."""
        self.hasInstalled = True

    def run(self, installSignalHandlers: bool = True) -> None:
        """Make the calls that callWhenRunning has kept, then call stop(). AssertionError if it runs."""
        assert self.running is False, "the reactor is running, or has crashed"
        self.running = True
        self.hasRun = True
        for call, args, kwargs in self.whenRunningHooks:
            beside(call(*args, **kwargs))
        self.stop()

    def stop(self) -> None:
        """Note the call in `hasStopped`; `running` is False."""
        self.running = False
        self.hasStopped = True

    def crash(self) -> None:
        """Note the call in `hasCrashed`; `running` is None."""
        self.running = None
        self.hasCrashed = True

    def iterate(self, delay: float = 0) -> NoReturn:
        """Raise NotImplementedError: there is no loop."""
        raise NotImplementedError("a MemoryReactor has no loop")

    def fireSystemEvent(self, eventType: str) -> NoReturn:
        """Raise NotImplementedError: look at `triggers`."""
        raise NotImplementedError("a MemoryReactor fires no events")

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., object], *args: Any, **kw: Any
    ) -> None:
        """Keep it in `triggers`."""
        self.triggers.setdefault(phase, {}).setdefault(eventType, []).append((callable, args, kw))

    def removeSystemEventTrigger(self, triggerID: Any) -> NoReturn:
        """Raise NotImplementedError: triggers have no ID here."""
        raise NotImplementedError("triggers of a MemoryReactor have no ID")

    def callWhenRunning(self, callable: Callable[..., object], *args: Any, **kw: Any) -> None:
        """Make the call if run() has ever been called, else keep it for run()."""
        if self.running or self.hasRun:
            beside(callable(*args, **kw))
        else:
            self.whenRunningHooks.append((callable, args, kw))

    # Names.

    def resolve(self, name: str, timeout: Any = 10) -> Deferred[str]:
        """Return a Deferred that has fired with 127.0.0.1, whatever the name."""
        return succeed("127.0.0.1")

    def resolveAll(self, name: str, port: int) -> Deferred[list[tuple[int, Any]]]:
        """Return a Deferred of the addresses of `nameResolver`; its default gives 127.0.0.1 and `port`."""
        return targetsOf(self.nameResolver, name, port)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Make endpoints ask `resolver`; return the earlier one."""
        before, self.nameResolver = self.nameResolver, resolver
        return before

    # Listening and connecting.

    def listenTCP(self, port: Any, factory: Any, backlog: int = BACKLOG, interface: str = "") -> MemoryPort:
        """Remember it in `tcpServers`. TypeError if `factory` is none."""
        binding = listeningBinding(port, interface)
        checkFactory(factory)
        self.tcpServers.append((port, factory, backlog, interface))
        if isIPv6Address(binding.interface):
            return MemoryPort(IPv6Address("TCP", binding.interface, binding.port))
        return MemoryPort(IPv4Address("TCP", "0.0.0.0", binding.port))

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = CONNECT_TIMEOUT, bindAddress: Any = None
    ) -> MemoryConnector:
        """Remember it in `tcpClients`, and call factory.startedConnecting.

        TypeError for what is no client's factory.
        """
        checkClientFactory(factory)
        self.tcpClients.append((host, port, factory, timeout, bindAddress))
        if isIPv6Address(host):
            return self._connecting(factory, IPv6Address("TCP", host, port))
        return self._connecting(factory, IPv4Address("TCP", host, port))

    def listenSSL(
        self, port: Any, factory: Any, contextFactory: Any, backlog: int = BACKLOG, interface: str = ""
    ) -> MemoryPort:
        """Remember it in `sslServers`. TypeError if `factory` is none; nobody asks `contextFactory` for a context."""
        binding = listeningBinding(port, interface)
        checkFactory(factory)
        self.sslServers.append((port, factory, contextFactory, backlog, interface))
        return MemoryPort(IPv4Address("TCP", "0.0.0.0", binding.port))

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: Any = None,
    ) -> MemoryConnector:
        """Remember it in `sslClients`, and call factory.startedConnecting. Errors as for connectTCP."""
        checkClientFactory(factory)
        self.sslClients.append((host, port, factory, contextFactory, timeout, bindAddress))
        return self._connecting(factory, IPv4Address("TCP", host, port))

    def listenUNIX(
        self,
        address: str | bytes,
        factory: Any,
        backlog: int = BACKLOG,
        mode: int = MEMORY_MODE,
        wantPID: bool | int = 0,
    ) -> MemoryPort:
        """Remember it in `unixServers`. TypeError if `factory` is none."""
        checkFactory(factory)
        self.unixServers.append((address, factory, backlog, mode, wantPID))
        return MemoryPort(UNIXAddress(address))

    def connectUNIX(
        self, address: str | bytes, factory: Any, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool | int = 0
    ) -> MemoryConnector:
        """Remember it in `unixClients`, and call factory.startedConnecting. Errors as for connectTCP."""
        checkClientFactory(factory)
        self.unixClients.append((address, factory, timeout, checkPID))
        return self._connecting(factory, UNIXAddress(address))

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: Any) -> MemoryPort:
        """Remember it in `adoptedPorts`. TypeError if `factory` is none.

        UnsupportedAddressFamily if `addressFamily` is not AF_INET or AF_INET6.
        """
        checkFactory(factory)
        port = MemoryPort(_anyAddress("TCP", addressFamily))
        self.adoptedPorts.append((fileno, addressFamily, factory))
        return port

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> None:
        """Remember it in `adoptedStreamConnections`. TypeError if `factory` is none."""
        checkFactory(factory)
        self.adoptedStreamConnections.append((fileDescriptor, addressFamily, factory))

    def adoptDatagramPort(
        self, fileno: int, addressFamily: int, protocol: Any, maxPacketSize: int = MAX_PACKET_SIZE
    ) -> MemoryPort:
        """Remember it in `adoptedPorts`. TypeError if `protocol` is none.

        UnsupportedAddressFamily if `addressFamily` is not AF_INET or AF_INET6.
        """
        checkProtocol(protocol)
        port = MemoryPort(_anyAddress("UDP", addressFamily))
        self.adoptedPorts.append((fileno, addressFamily, protocol, maxPacketSize))
        return port

    def _connecting(self, factory: Any, address: Address) -> MemoryConnector:
        connector = MemoryConnector(address)
        beside(factory.startedConnecting(connector))
        self.connectors.append(connector)
        return connector

    # Descriptors.

    def addReader(self, reader: Any) -> None:
        """Keep it in `readers`."""
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        """Keep it in `writers`."""
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        """Undo addReader."""
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        """Undo addWriter."""
        self.writers.discard(writer)

    def getReaders(self) -> list[Any]:
        """Return the added ones, in no order."""
        return list(self.readers)

    def getWriters(self) -> list[Any]:
        """Return the added ones, in no order."""
        return list(self.writers)

    def removeAll(self) -> list[Any]:
        """Remove and return all readers and writers."""
        found = list(self.readers | self.writers)
        self.readers.clear()
        self.writers.clear()
        return found


class MemoryReactorClock(MemoryReactor, Clock):
    """A MemoryReactor that is a task.Clock too."""

    def __init__(self) -> None:
        MemoryReactor.__init__(self)
        Clock.__init__(self)


class RaisingMemoryReactor:
    """A reactor whose listenXXX raise `listenException` and whose connectXXX raise `connectException`."""

    def __init__(self, listenException: Exception | None = None, connectException: Exception | None = None) -> None:
        self._listenException = listenException
        self._connectException = connectException

    def installNameResolver(self, nameResolver: IHostnameResolver) -> NoReturn:
        """Raise NotImplementedError: no name is ever looked up."""
        raise NotImplementedError("a RaisingMemoryReactor looks up no names")

    def _refuseListening(self) -> NoReturn:
        raise self._listenException or RuntimeError("no listenException was given")

    def _refuseConnecting(self) -> NoReturn:
        raise self._connectException or RuntimeError("no connectException was given")

    def listenTCP(self, port: int, factory: Any, backlog: int = BACKLOG, interface: str = "") -> NoReturn:
        """Raise."""
        self._refuseListening()

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float | None = CONNECT_TIMEOUT, bindAddress: Any = None
    ) -> NoReturn:
        """Raise."""
        self._refuseConnecting()

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = BACKLOG, interface: str = ""
    ) -> NoReturn:
        """Raise."""
        self._refuseListening()

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: Any,
        contextFactory: Any,
        timeout: float | None = CONNECT_TIMEOUT,
        bindAddress: Any = None,
    ) -> NoReturn:
        """Raise."""
        self._refuseConnecting()

    def listenUNIX(
        self,
        address: str | bytes,
        factory: Any,
        backlog: int = BACKLOG,
        mode: int = MEMORY_MODE,
        wantPID: bool | int = 0,
    ) -> NoReturn:
        """Raise."""
        self._refuseListening()

    def connectUNIX(
        self, address: str | bytes, factory: Any, timeout: float | None = CONNECT_TIMEOUT, checkPID: bool | int = 0
    ) -> NoReturn:
        """Raise."""
        self._refuseConnecting()

    def adoptStreamPort(self, fileno: int, addressFamily: int, factory: Any) -> NoReturn:
        """Raise."""
        self._refuseListening()

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> NoReturn:
        """Raise."""
        self._refuseConnecting()

    def adoptDatagramPort(self, fileDescriptor: int, addressFamily: int, protocol: Any, maxPacketSize: int) -> NoReturn:
        """Raise."""
        self._refuseConnecting()


def waitUntilAllDisconnected(reactor: IReactorTime, protocols: Iterable[Any]) -> Deferred[LoopingCall]:
    """Return a Deferred that fires when no transport of `protocols` is `connected` any more.

    It checks them every hundredth of a second of `reactor`.
    """
    waiting = list(protocols)

    def look() -> None:
        if not any(each.transport.connected for each in waiting):
            looking.stop()

    looking = LoopingCall(look)
    looking.clock = reactor
    return looking.start(0.01)


def _anyAddress(kind: Any, family: int) -> Address:
    if family == socket.AF_INET:
        return IPv4Address(kind, "0.0.0.0", 1234)
    if family == socket.AF_INET6:
        return IPv6Address(kind, "::", 1234)
    raise UnsupportedAddressFamily(family)
